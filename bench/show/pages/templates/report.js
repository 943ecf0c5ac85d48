"use strict";
// Sorts and filters the table of all pairs. Without scripts it stays a plain table.
(() => {
  const table = document.getElementById("pairs");
  if (!table) return;
  const body = table.tBodies[0];
  const rows = Array.from(body.rows);
  const heads = Array.from(table.tHead.rows[0].cells);
  const tools = document.getElementById("tools");
  const words = document.getElementById("filter");
  const choices = Array.from(tools.querySelectorAll("select"));
  const count = document.getElementById("count");
  const texts = rows.map((row) => row.textContent.toLowerCase());

  const value = (row, at) => row.cells[at].dataset.v ?? row.cells[at].textContent.trim();
  const compare = (a, b) => {
    const x = Number(a), y = Number(b);
    return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b) : x - y;
  };

  heads.forEach((head, at) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    button.title = head.title;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      const sorted = rows.map((row, place) => [value(row, at), place, row]);
      // What is empty comes last either way; what is equal keeps the order of the plan.
      sorted.sort(([a, i], [b, j]) => (a === "") - (b === "") || sign * compare(a, b) || i - j);
      body.append(...sorted.map(([, , row]) => row));
    });
  });

  const filter = () => {
    const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    rows.forEach((row, i) => {
      const fits = wanted.every((word) => texts[i].includes(word)) &&
        choices.every((choice) => !choice.value || value(row, Number(choice.dataset.at)) === choice.value);
      row.hidden = !fits;
      shown += fits;
    });
    count.textContent = `${shown} of ${rows.length} rows`;
  };
  words.addEventListener("input", filter);
  choices.forEach((choice) => choice.addEventListener("change", filter));
  document.getElementById("clear").addEventListener("click", () => {
    words.value = "";
    choices.forEach((choice) => { choice.value = ""; });
    filter();
    words.focus();
  });
  const more = document.getElementById("more");
  if (more) {
    more.hidden = !document.querySelector("#tools + style").textContent.includes("nth-child");
    table.classList.add("brief");
    more.addEventListener("click", () => {
      more.setAttribute("aria-pressed", String(!table.classList.toggle("brief")));
    });
  }
  tools.hidden = false;
  filter();
})();
