"""`python -m tools.columns_page` prints the tables of docs/COLUMNS.md from the registry of columns."""

from __future__ import annotations

from collections.abc import Iterator

from bench.spec.columns import COLUMNS, FILES, SCHEMA_VERSION, Column, columns_of

ROWS = {
    "m": "One row for each arm: its costs, times and memory.",
    "p": "One row for each arm against the baseline of its trial: speedups.",
    "s": "One row for each sample, warm-up too, in the order in which they were taken. The largest file by far.",
    "o": "One row for each arm and tool, where the run was asked for second opinions.",
    "r": "One row for each device, number of threads and dtype: its measured peak rates.",
}
TYPES = {"string": "text", "Int64": "integer", "Float64": "number", "boolean": "True or False"}
HEAD = ("column", "in", "unit", "type", "meaning", "empty where")


def markdown() -> str:
    """Each file with its header, then each column."""
    return "\n".join([*_files(), *_table()]) + "\n"


def _files() -> Iterator[str]:
    yield f"## The files (schema {SCHEMA_VERSION})\n"
    for key, words in ROWS.items():
        yield f"**`{FILES[key]}`** {words} Its header:\n"
        yield f"> {' '.join(f'`{c.name}`' for c in columns_of(key))}\n"  # type: ignore[arg-type]


def _table() -> Iterator[str]:
    yield "## The columns\n"
    yield f"| {' | '.join(HEAD)} |"
    yield "|" + "---|" * len(HEAD)
    yield from (f"| {' | '.join(_cells(c))} |" for c in COLUMNS)


def _cells(column: Column) -> tuple[str, ...]:
    files = " ".join(FILES[key].removesuffix(".csv") for key in FILES if key in column.files)
    words = (f"`{column.name}`", files, column.unit, TYPES[column.dtype], column.meaning, column.empty or "never")
    return tuple(word.replace("|", r"\|") for word in words)


if __name__ == "__main__":
    print(markdown(), end="")
