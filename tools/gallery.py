"""docs/GALLERY.md again, with what it shows: `make gallery`.

Writes the views of every run in results/reference (tables, pictures, report.html), a comparison of two of them, pictures
of the page as a browser shows it, and between the page's marks what the pictures' own titles say. The words outside the
marks are written by hand.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree

from PIL import Image

from bench.show import write
from tests import browser

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "GALLERY.md"
PICTURES = ROOT / "docs" / "gallery"
REFERENCE = ROOT / "results" / "reference"
COMPARED = ("h100-16-cores-speed-thinking", "h100-16-cores-speed-thinking-again")  # two cards of one model
COMPARISON = PICTURES / "compare.html"
_RUN = REFERENCE / "h100-16-cores" / "report.html"
SCREENS = {  # page, width, height, theme
    "page": (_RUN, 1280, 720, "light"),
    "page-dark": (_RUN, 1280, 720, "dark"),
    "page-phone": (_RUN, 360, 720, "light"),
    "page-compare": (COMPARISON, 1280, 720, "light"),
}
_MARK = re.compile(r"(<!-- (\w+): ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference run: its folder's name, the command that made it, where and when, and its pictures' titles by name."""

    name: str
    command: str
    devices: tuple[str, ...]
    device_names: tuple[str, ...]
    torch: str
    date: str
    titles: Mapping[str, str]

    @classmethod
    def of(cls, folder: Path, titles: Mapping[str, str]) -> Reference:
        """The run in this folder."""
        told = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
        devices = told["devices"]
        return cls(
            folder.name, str(told["command"]), tuple(devices), tuple(str(d["name"]) for d in devices.values()),
            str(told["torch"]), str(told["started_utc"])[:10], titles,
        )  # fmt: skip

    def picture(self, name: str) -> str:
        """A picture's address, as docs/GALLERY.md sees it."""
        return f"../{REFERENCE.relative_to(ROOT)}/{self.name}/plots/{name}.png"


def folders() -> list[Path]:
    """The reference runs, those of a CPU alone first."""
    found = [f.parent for f in REFERENCE.glob("*/environment.json")]
    return sorted(found, key=lambda f: (set(_devices(f)) != {"cpu"}, f.name))


def _devices(folder: Path) -> list[str]:
    return list(json.loads((folder / "environment.json").read_text(encoding="utf-8"))["devices"])


def title_of(svg: Path) -> str:
    """The finding that a picture of ours has as its title."""
    found = ElementTree.parse(svg).getroot().findtext("{http://www.w3.org/2000/svg}title")
    return " ".join((found or "").split())


def titles_of(pictures: Iterable[Path]) -> dict[str, str]:
    """The titles of those files that are SVG, by name."""
    return {p.stem: title_of(p) for p in pictures if p.suffix == ".svg"}


def text(page: str, runs: Sequence[Reference], compared: Mapping[str, str]) -> str:
    """The page with what lies between its marks made anew."""

    def anew(mark: re.Match[str]) -> str:
        if mark[2] == "run":
            lines = _of_runs(runs, mark[3])
        else:
            lines = {"runs": _runs(runs), "comparison": _of_comparison(compared)}[mark[2]]
        return mark[1] + "\n".join(lines) + "\n" + mark[4]

    return _MARK.sub(anew, page)


def marks(page: str) -> list[tuple[str, str]]:
    """Kind and name of the page's marks, in their order."""
    return [(kind, name) for _, kind, name, _ in _MARK.findall(page)]


def _runs(runs: Sequence[Reference]) -> Iterator[str]:
    yield "| run | device | torch | made on | by | its page |"
    yield "|---|---|---|---|---|---|"
    for r in runs:
        where = f"../{REFERENCE.relative_to(ROOT)}/{r.name}"
        names = ", ".join(f"{name} ({device})" for name, device in zip(r.device_names, r.devices, strict=True))
        yield f"| [{r.name}]({where}) | {names} | {r.torch} | {r.date} | `{r.command}` | [report.html]({where}/report.html) |"


def _of_runs(runs: Sequence[Reference], name: str) -> Iterator[str]:
    """The picture of the first run on each kind of device that has it; then what all of them say in it."""
    having = [r for r in runs if name in r.titles]
    if not having:
        yield "No reference run has the rows for it."
        return
    shown = {r.device_names: r for r in reversed(having)}
    for r in having:
        if r in shown.values():
            yield f"![{r.titles[name]}]({r.picture(name)})\n"
    for r in having:
        yield f"- [{r.name}]({r.picture(name)}): **{r.titles[name]}**"


def _of_comparison(titles: Mapping[str, str]) -> Iterator[str]:
    yield f"A is {COMPARED[0]}, B is {COMPARED[1]}.\n"
    yield "\n\n".join(f"**{title}**\n\n![{title}](gallery/{name}.png)" for name, title in titles.items())
    if COMPARISON.exists():
        yield f"\n[The page of this comparison](gallery/{COMPARISON.name}), one file to download and open, begins so:\n"
        yield "![The first screen of a comparison's page](gallery/page-compare.png)"


def comparison(into: Path) -> dict[str, str]:
    """Let `bench compare` draw the comparison into a folder; the titles of its pictures, speedups first."""
    runs = [str((REFERENCE / name).relative_to(ROOT)) for name in COMPARED]
    where = into.relative_to(ROOT) if into.is_relative_to(ROOT) else into  # its page shows the command
    command = [sys.executable, "-m", "bench", "compare", *runs, "--out", str(where)]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    drawn = sorted(into.glob("*.svg"), key=lambda svg: ("-" in svg.stem, svg.stem))
    told = titles_of(drawn)
    for svg in drawn:
        svg.unlink()
    return told


def screens() -> dict[str, tuple[Path, int, int, str]]:
    """Those screens whose page there is."""
    return {name: screen for name, screen in SCREENS.items() if screen[0].exists()}


def photograph(chromium: str) -> None:
    """Pictures of the pages as a browser shows them."""
    with tempfile.TemporaryDirectory(prefix="bench-gallery-", ignore_cleanup_errors=True) as profile:
        tab = browser.Tab(chromium, Path(profile))
        try:
            for name, (page, width, height, theme) in screens().items():
                tab.size(width, height)
                tab.media(prefers_color_scheme=theme)
                tab.open(page.as_uri())
                shot = Image.open(BytesIO(b64decode(tab.call("Page.captureScreenshot")["data"]))).convert("RGB")
                few = shot.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
                few.save(PICTURES / f"{name}.png", optimize=True)
        finally:
            tab.close()


def main() -> None:
    """Make everything again."""
    runs = []
    for folder in folders():
        views = write.write_views(folder)
        runs.append(Reference.of(folder, titles_of(views.pictures)))
        print(f"{folder.relative_to(ROOT)}: {len(runs[-1].titles)} pictures, {views.page.name}")
    compared = comparison(PICTURES)
    chromium = browser.find()
    if chromium is None:
        print("no Chromium, so docs/gallery/page*.png stay as they are: apt install chromium", file=sys.stderr)
    else:
        photograph(chromium)
    PAGE.write_text(text(PAGE.read_text(encoding="utf-8"), runs, compared), encoding="utf-8")


if __name__ == "__main__":
    main()
