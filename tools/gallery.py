"""Make docs/GALLERY.md and everything that it shows again: `make gallery`.

Writes the views of every run in results/reference (tables, pictures, report.html), a comparison of two of them and pictures
of the pages as a browser shows them. In docs/GALLERY.md it fills in the table of runs and, for each picture that the page
shows, the picture's own title. Everything else in that file is written by hand.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree

from PIL import Image

from bench.show import write
from bench.show.pages import compare, report
from tests import browser

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "GALLERY.md"
PICTURES = ROOT / "docs" / "gallery"
REFERENCE = ROOT / "results" / "reference"
KEPT_PAGE = REFERENCE / "h100-16-cores" / report.NAME  # the one page that the repository keeps
COMPARED = ("h100-16-cores-speed-thinking", "h100-16-cores-speed-thinking-again")  # two cards of one model
COMPARISON = ROOT / "results" / "gallery"
_COMPARISON_PAGE = COMPARISON / compare.NAME
SCREENS = {  # page, width, height, theme
    "page": (KEPT_PAGE, 1280, 720, "light"),
    "page-dark": (KEPT_PAGE, 1280, 720, "dark"),
    "page-phone": (KEPT_PAGE, 360, 720, "light"),
    "page-compare": (_COMPARISON_PAGE, 1280, 720, "light"),
}
TERMINAL = "terminal"
_RUNS = re.compile(r"(<!-- runs -->\n).*?(<!-- end -->)", re.DOTALL)
_PICTURE = re.compile(r"^!\[(.*)\]\(([^()\s]+)\)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference run: its folder's name, the command that made it, on what and when."""

    name: str
    command: str
    devices: tuple[str, ...]
    device_names: tuple[str, ...]
    torch: str
    date: str

    @classmethod
    def of(cls, folder: Path) -> Reference:
        """The run in this folder."""
        told = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
        devices = told["devices"]
        return cls(
            folder.name, str(told["command"]), tuple(devices), tuple(str(d["name"]) for d in devices.values()),
            str(told["torch"]), str(told["started_utc"])[:10],
        )  # fmt: skip


def folders() -> list[Path]:
    """The reference runs, those of a CPU alone first."""
    found = [f.parent for f in REFERENCE.glob("*/environment.json")]
    return sorted(found, key=lambda f: (set(Reference.of(f).devices) != {"cpu"}, f.name))


def title_of(svg: Path) -> str:
    """The finding that a picture of ours has as its title."""
    found = ElementTree.parse(svg).getroot().findtext("{http://www.w3.org/2000/svg}title")
    return " ".join((found or "").split())


def titles_of(owner: str, pictures: Iterable[Path]) -> dict[str, str]:
    """The titles of those files that are SVG, by owner/picture: the owner is a run, or the folder of the comparison."""
    return {f"{owner}/{p.stem}": title_of(p) for p in pictures if p.suffix == ".svg"}


def shown(page: str) -> dict[str, str]:
    """The addresses of the page's pictures, by owner/picture, in their order."""
    return {_key(address): address for _, address in _PICTURE.findall(page)}


def text(page: str, runs: Sequence[Reference], titles: Mapping[str, str]) -> str:
    """The page with its table of runs and the titles of its pictures made anew; a picture without a title keeps its words."""
    page = _RUNS.sub(lambda mark: mark[1] + "\n".join(_runs(runs)) + "\n" + mark[2], page)
    return _PICTURE.sub(lambda picture: f"![{titles.get(_key(picture[2]), picture[1])}]({picture[2]})", page)


def _key(address: str) -> str:
    path = Path(address)
    folder = path.parent.parent if path.parent.name == "plots" else path.parent
    return f"{folder.name}/{path.stem}"


def _runs(runs: Sequence[Reference]) -> Iterator[str]:
    yield "| run | device | torch | made on | by |"
    yield "|---|---|---|---|---|"
    for r in runs:
        names = ", ".join(f"{name} ({device})" for name, device in zip(r.device_names, r.devices, strict=True))
        yield f"| [{r.name}](../{REFERENCE.relative_to(ROOT)}/{r.name}) | {names} | {r.torch} | {r.date} | `{r.command}` |"


def comparison(into: Path) -> dict[str, str]:
    """Let `bench compare` draw the comparison into a folder; the titles of its pictures."""
    runs = [str((REFERENCE / name).relative_to(ROOT)) for name in COMPARED]
    where = into.relative_to(ROOT) if into.is_relative_to(ROOT) else into  # its page shows the command
    command = [sys.executable, "-m", "bench", "compare", *runs, "--out", str(where)]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return titles_of(PICTURES.name, into.glob("*.svg"))


def photograph(chromium: str) -> None:
    """Pictures of the pages as a browser shows them."""
    with tempfile.TemporaryDirectory(prefix="bench-gallery-", ignore_cleanup_errors=True) as profile:
        tab = browser.Tab(chromium, Path(profile))
        try:
            for name, (page, width, height, theme) in SCREENS.items():
                tab.size(width, height)
                tab.media(prefers_color_scheme=theme)
                tab.open(page.as_uri())
                _save(_shot(tab), name)
            page, lines = _terminal(Path(profile))
            tab.size(712, 18 * lines + 30)
            tab.open(page.as_uri())
            _save(_shot(tab), TERMINAL)
        finally:
            tab.close()


def _shot(tab: browser.Tab) -> Image.Image:
    return Image.open(BytesIO(b64decode(tab.call("Page.captureScreenshot")["data"]))).convert("RGB")


def _save(shot: Image.Image, name: str) -> None:
    few = shot.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(PICTURES / f"{name}.png", optimize=True)


def _terminal(folder: Path) -> tuple[Path, int]:
    """A page that looks like a terminal of 80 columns after `bench report`, and its lines."""
    command = ["bench", "report", str(KEPT_PAGE.parent.relative_to(ROOT))]
    told = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "80"},
    )
    text = f"$ {' '.join(command)}\n{told.stdout}"
    page = folder / "terminal.html"
    look = "margin: 12px 16px; background: #15181b; color: #e8e8e6; font: 14px/18px 'DejaVu Sans Mono', monospace"
    page.write_text(
        f'<body style="{look}"><pre style="font: inherit; margin: 0">{escape(text)}</pre></body>', encoding="utf-8"
    )
    return page, len(text.splitlines())


def main() -> None:
    """Make everything again."""
    page = PAGE.read_text(encoding="utf-8")
    titles: dict[str, str] = {}
    for folder in folders():
        views = write.write_views(folder)
        made = titles_of(folder.name, views.pictures)
        titles |= made
        print(f"{folder.relative_to(ROOT)}: {len(made)} pictures, {views.page.name}")
    compared = comparison(COMPARISON)
    for key in compared.keys() & shown(page).keys():
        shutil.copy(COMPARISON / f"{Path(key).name}.png", PICTURES)
    chromium = browser.find()
    if chromium is None:
        print("no Chromium, so docs/gallery/page*.png stay as they are: apt install chromium", file=sys.stderr)
    else:
        photograph(chromium)
    PAGE.write_text(text(page, [Reference.of(folder) for folder in folders()], titles | compared), encoding="utf-8")


if __name__ == "__main__":
    main()
