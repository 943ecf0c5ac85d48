"""Read any CSV file, also as a spreadsheet saves it: its rows with their line numbers, and the numbers in its cells.

The delimiter is that of `,`, `;` and tab which gives the header most cells. Empty rows and columns without a name are passed over.
Errors name the cell.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.spec.columns import text_of
from bench.spec.errors import UserError
from bench.spec.files import content_of

_NUMBER = re.compile(r"[-+]?[0-9.,]*[0-9][0-9.,]*(?:[eE][-+]?[0-9]+)?")
_SPACED = re.compile(r"[-+]?[0-9]{1,3}(?:[ '\u00a0\u2009\u202f\u2019][0-9]{3})+(?:[.,][0-9]*)?")
MOST_DIGITS = 60  # of a number with separators
NAMES_SHOWN = 8
_Rows = list[tuple[int, list[str]]]


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


def lines(path: Path, remedy: str, numbers: Collection[str] = ()) -> Iterator[tuple[int, dict[str, str]]]:
    """The header (its names as keys) and then every row, each with its line number, from 1.

    In the columns `numbers` decimal commas become points, and separators of thousands are left out. UserError, with `remedy`, for a
    file that can't be read or is no CSV in UTF-8, and for numbers that could be read in two ways.
    """
    try:
        raw = content_of(path)
    except OSError as error:
        raise UserError(str(path), f"the table can't be read: {error.strerror}", remedy) from None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}:{line}", "this is no text in UTF-8", remedy) from None
    rows = _rows(path, text, remedy)
    first, header = rows[0] if rows else (1, [])
    twice = next((name for name, count in Counter(header).items() if name and count > 1), None)
    if twice is not None:
        raise UserError(f"{path}:{first}", "two columns have the same name", "Rename or drop one of them.", twice)
    yield first, {name: "" for name in header if name}
    for line, cells in rows[1:]:
        if len(cells) < len(header) or any(cells[len(header) :]):
            raise UserError(f"{path}:{line}", f"the row has {len(cells)} cells where the header has {len(header)}", "Mend the row; a cell with a comma in it needs quotes.")  # fmt: skip
    _plain_numbers(path, rows[1:], [i for i, name in enumerate(header) if name in numbers])
    for line, cells in rows[1:]:
        yield line, {name: cell for name, cell in zip(header, cells, strict=False) if name}


def _rows(path: Path, text: str, remedy: str) -> _Rows:
    """The rows that are not empty, their cells without blanks at the ends, each with its line number."""
    head = next((line for line in text.splitlines() if line.strip(" ,;\t")), "")
    told = re.fullmatch(r"sep=([,;\t])", head)  # of Excel, the first line
    delimiter = told[1] if told else max(",;\t", key=lambda sign: len(_split(head, sign)))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        every = [(reader.line_num, [text_of(cell.strip()) for cell in cells]) for cells in reader]
    except csv.Error as error:
        raise UserError(f"{path}:{reader.line_num}", f"this is no CSV ({error})", remedy) from None
    return [row for row in every if any(row[1])][1 if told else 0 :]


def _split(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        return []


def _plain_numbers(path: Path, rows: _Rows, columns: Iterable[int]) -> None:
    """Write the numbers in these columns with a decimal point alone, in place; cells that are no numbers stay.

    UserError where the table does not tell which of , and . is its decimal sign.
    """
    points: str | None = None
    commas: str | None = None
    odd: list[tuple[int, list[str], int]] = []  # numbers with a comma or a point, by row and column
    for line, cells in rows:
        for i in columns:
            if len(cells[i]) > MOST_DIGITS:
                continue
            if _SPACED.fullmatch(cells[i]):
                cells[i] = re.sub(r"[^-+0-9.,]", "", cells[i])
            if _NUMBER.fullmatch(cells[i]) and ("," in cells[i] or "." in cells[i]):
                odd.append((line, cells, i))
                points, commas = points or _tells(cells[i], ".", ","), commas or _tells(cells[i], ",", ".")
    if points and commas:
        rule = f"in this table the decimal sign is . in {points} and , in {commas}"
        raise UserError(str(path), rule, "Write all numbers as 1234.5")
    unclear = None if points or commas else next(((n, c[i]) for n, c, i in odd if "," in c[i]), None)
    if unclear is not None:
        line, cell = unclear
        plain = cell.replace(",", "")
        raise UserError(f"{path}:{line}", f"it may be {cell.replace(',', '.')} or {plain}", f"Write {plain} or a decimal point", cell)  # fmt: skip
    decimal, grouping = (",", ".") if commas else (".", ",")
    grouped = re.compile(rf"[-+]?[0-9]{{1,3}}(?:\{grouping}[0-9]{{3}})+(?:\{decimal}[0-9]*)?(?:[eE][-+]?[0-9]+)?")
    for _, cells, i in odd:
        if grouping not in cells[i] or grouped.fullmatch(cells[i]):
            cells[i] = cells[i].replace(grouping, "").replace(decimal, ".")


def _tells(cell: str, decimal: str, grouping: str) -> str | None:
    """The cell, if its decimal sign can only be `decimal`: it is no number of groups of three digits, or `grouping` makes them."""
    if cell.count(grouping) > 1 or (cell.count(decimal) == 1 and cell.rfind(decimal) > cell.find(grouping) >= 0):
        return cell
    grouped = re.fullmatch(rf"[-+]?[1-9][0-9]{{0,2}}\{decimal}[0-9]{{3}}", cell)
    return cell if cell.count(decimal) == 1 and grouping not in cell and not grouped else None


def first_names(header: Collection[str]) -> str:
    """The first names of a header, and how many more there are."""
    more = f" and {len(header) - NAMES_SHOWN} more" if len(header) > NAMES_SHOWN else ""
    return (", ".join([*header][:NAMES_SHOWN]) or "none") + more
