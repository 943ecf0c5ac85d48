"""Read any CSV file: its rows with their line numbers, and the numbers in its cells, with errors that name the cell."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.spec.errors import UserError


def number(
    row: Mapping[str, Any], column: str, at: str, low: float, high: float, unit: str = "", optional: bool = True
) -> float | None:
    """A cell's number, above 0 and within the limits; None where it is empty. UserError for anything else."""
    cell = row.get(column)
    if cell is None or cell == "":
        return None
    place, unknown = f"{at}: {column}", ", or leave the cell empty where it is unknown" if optional else ""
    try:
        value = float("x" if str(cell).lower() == "nan" or "_" in str(cell) else cell)  # Python would read both
    except ValueError:
        raise UserError(place, "it is not a number", f"Write digits, such as 0.0125 or 1.2e9{unknown}", cell) from None
    if not value > 0:
        raise UserError(place, "it is not above 0", f"Mend the cell or leave the row out{unknown}", cell)
    if not (math.isfinite(value) and low <= value <= high):
        units = f" {unit}" if unit else ""
        raise UserError(place, f"it is not between {low:g} and {high:g}{units}", f"Mend the cell or leave the row out{unknown}", cell)  # fmt: skip
    return value


def lines(path: Path, remedy: str) -> Iterator[tuple[int, dict[str, str]]]:
    """The header (its names as keys) and then every row, each with its line number, from 1.

    UserError, with `remedy`, for a file that can't be read or is no CSV in UTF-8.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UserError(str(path), f"the table can't be read: {error.strerror}", remedy) from None
    try:
        reader = csv.reader(io.StringIO(raw.decode("utf-8-sig"), newline=""), strict=True)
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}:{line}", "this is no text in UTF-8", remedy) from None
    try:
        header = [cell.strip() for cell in next(reader, [])]
        twice = next((name for name in header if header.count(name) > 1), None)
        if twice is not None:
            raise UserError(f"{path}:1", "two columns have the same name", "Rename or drop one of them.", twice)
        yield 1, dict.fromkeys(header, "")
        for cells in reader:
            if cells and len(cells) != len(header):
                raise UserError(f"{path}:{reader.line_num}", f"the row has {len(cells)} cells where the header has {len(header)}", "Mend the row; a cell with a comma in it needs quotes.")  # fmt: skip
            if cells:
                yield reader.line_num, dict(zip(header, (cell.strip() for cell in cells), strict=True))
    except csv.Error as error:
        raise UserError(f"{path}:{reader.line_num}", f"this is no CSV ({error})", remedy) from None


def first_names(header: Iterable[str], most: int = 8) -> str:
    """The first names of a header, and how many more there are."""
    names = [name for name in header if name]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(names[:most]) or "none") + more
