"""The configs that come with this program, by their names: `bench run default`. configs/ of the repository is in the wheel."""

from __future__ import annotations

import os
from pathlib import Path

from bench.spec.errors import UserError, nearest

_PACKAGE = Path(__file__).parents[2]


def shipped() -> dict[str, Path]:
    """Their files by name: in the package where it was installed from a wheel, beside it in a checkout."""
    inside = _PACKAGE / "configs"
    folder = inside if inside.is_dir() else _PACKAGE.parent / "configs"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def config_file(named: Path) -> Path:
    """A path as it is, or for a word that is no file the config of that name. UserError for a word that is neither."""
    word = str(named)
    if os.path.exists(named) or os.path.basename(word) != word or named.suffix in (".yaml", ".yml"):  # noqa: PTH110, PTH119 (also of what no path can be)
        return named
    known = shipped()
    if word not in known:
        raise UserError(word, "there is no such file, and no config of this name", nearest(word, known, "Known"))
    return known[word]
