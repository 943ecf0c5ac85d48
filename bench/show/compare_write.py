"""Write what is to be looked at of comparisons: pictures, and the page that holds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.analyse.compare.compare import Comparison
from bench.analyse.runs.run_folder import write_text
from bench.show.pages import compare as compare_page
from bench.show.plots import compare as compare_picture

RESULTS = Path("results")


@dataclass(frozen=True, slots=True)
class Written:
    """The pictures of each comparison, .png and .svg, and the page over all of them."""

    pictures: tuple[tuple[Path, ...], ...]
    page: Path

    def words(self) -> list[str]:
        """A line for each picture, and one for the page."""
        drawn = [f"picture: {path}" for files in self.pictures for path in files if path.suffix == ".png"]
        return [*(drawn or ["no picture: no row was measured in both"]), f"page: {self.page}"]


def write(found: Sequence[Comparison], command: str, out: Path | None = None, html: Path | None = None) -> Written:
    """Draw all comparisons and write their page, which says that `command` made it.

    Two runs have a folder, `out` or results/compare-A-B; of more runs each comparison has such a folder within `out` or
    results, and the page stands beside these unless `html` says where.
    """
    folders = [_folder(c, out, len(found) > 1) for c in found]
    pictures = tuple(compare_picture.draw(c, folder) for c, folder in zip(found, folders, strict=True))
    page = html or (folders[0] if len(found) == 1 else folders[0].parent) / compare_page.NAME
    write_text(page, compare_page.text(found, pictures, command))
    return Written(pictures, page)


def _folder(found: Comparison, out: Path | None, several: bool) -> Path:
    name = f"compare-{found.a.run_id}-{found.b.run_id}"
    return RESULTS / name if out is None else out / name if several else out
