"""A result that others published, in words: where it was measured, and its source with the addresses."""

from __future__ import annotations

from bench.analyse.claims.published import Published


def circumstances(row: Published) -> str:
    """`V100, fp32, eager, inference, batch 32`, as far as they were published."""
    batch = row.batch and f"batch {row.batch}"
    return ", ".join(filter(None, (row.device, row.dtype, row.mode, row.pass_, batch)))


def source(row: Published) -> tuple[str, list[str]]:
    """The source in words, and its addresses."""
    words, *rest = row.source.split(", http")
    return words, ["http" + part.split(",")[0].split(" ")[0].rstrip(";") for part in rest]
