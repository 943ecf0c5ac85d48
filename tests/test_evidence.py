"""What was published: every row has its source, its figures follow from what it quotes, and the page shows the table."""

from __future__ import annotations

import ast
import math
import operator
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import pytest

from bench.analyse.claims import published as evidence
from bench.analyse.claims.published import CLAIMS, Published, about, published
from bench.analyse.drivers.additive_model import BOTTLENECKS
from tools import evidence_page

ROOT = Path(__file__).resolve().parents[1]
FORMULA = re.compile(r"(speedup|mac_ratio) = ([0-9.+*/ ()]+?) \[")
DO: dict[type, Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def value(node: ast.expr) -> float:
    if isinstance(node, ast.BinOp):
        return DO[type(node.op)](value(node.left), value(node.right))
    assert isinstance(node, ast.Constant)
    return float(node.value)


def formulas(row: Published) -> dict[str, float]:
    """The ratios that a row's own arithmetic gives."""
    return {name: value(ast.parse(text, mode="eval").body) for name, text in FORMULA.findall(row.how)}


ROWS = pytest.mark.parametrize("row", published(), ids=lambda row: row.id)


@ROWS
def test_a_row_says_what_it_compares_how_it_reads_and_where_it_stands(row: Published):
    assert row.comparison
    assert row.reading.endswith(".")
    assert row.source
    assert row.how == "read off the source" or row.how.startswith("computed from the source: ")
    assert re.fullmatch(r"(\d+(-\d+)?)?", row.batch)
    assert row.claim in CLAIMS
    assert row.regime in ("", *BOTTLENECKS)
    assert row.device_kind in ("", "cpu", "gpu")
    assert row.pass_ in ("", "inference", "training")
    assert "|" not in "".join(str(getattr(row, name)) for name in Published.__slots__)


@ROWS
def test_a_ratio_is_what_its_arithmetic_gives(row: Published):
    told = formulas(row)
    for name, ratio in (("speedup", row.speedup), ("mac_ratio", row.mac_ratio)):
        assert (ratio is not None) == (name in told) or row.how == "read off the source"
        if ratio is not None:
            assert 0.1 < ratio < 100
            assert ratio == pytest.approx(told.get(name, ratio), abs=0.0051, rel=0.005)


@ROWS
def test_a_speedup_belongs_to_a_device(row: Published):
    assert row.speedup is None or (row.device and row.device_kind)


def test_ids_are_unique_and_every_claim_has_rows_in_order():
    rows = published()
    assert len({row.id for row in rows}) == len(rows)
    assert {claim for claim in CLAIMS if not about(claim)} == {"faster"}  # others published the two sides of it
    assert [row for claim in CLAIMS for row in about(claim)] == list(rows)
    with pytest.raises(KeyError):
        about("cpu_4x")


def test_the_columns_are_those_of_the_file_and_no_cell_is_missing():
    header, *lines = (files("bench.analyse.claims") / "published.csv").read_text(encoding="utf-8").splitlines()
    assert tuple(header.split(",")) == evidence.COLUMNS
    assert len(lines) == len(published())


def test_one_network_has_one_number_of_macs_in_every_comparison():
    """Ratios of two pairs give that of the third: against ResNet-18 and ResNet-50 the two MobileNets differ alike."""
    of = {row.id: row for row in published()}
    for tag in ("4090", "3090", "4090-compiled", "i7", "i9"):
        for name in ("mac_ratio", "speedup"):
            v1_r18, v2_r18, v1_r50, v2_r50 = (
                getattr(of[f"timm-{tag}-{pair}"], name) for pair in ("v1-r18", "v2-r18", "v1-r50", "v2-r50")
            )
            assert math.log(v1_r18 / v2_r18) == pytest.approx(math.log(v1_r50 / v2_r50), abs=0.015)


def test_the_page_shows_the_table_that_the_command_prints():
    told = subprocess.run([sys.executable, "-m", "tools.evidence_page"], cwd=ROOT, capture_output=True, text=True, check=True)  # fmt: skip
    assert told.stdout == evidence_page.markdown()
    page = (ROOT / "docs" / "EVIDENCE.md").read_text(encoding="utf-8")
    assert page.endswith(evidence_page.markdown()), "print the tables with: python -m tools.evidence_page"
