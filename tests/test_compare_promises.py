"""What bench compare promises, asked of the command itself: the same is the same, what was planted is found and nothing else."""

from __future__ import annotations

import json
import math
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bench import cli
from bench.analyse.compare.compare import compare
from bench.analyse.compare.facts import Correction, QuantityComparison, Verdict
from bench.analyse.runs import run_folder
from bench.show.text.compare import print_comparison
from bench.spec.columns import KEYS
from tests.synthetic import Story, by_ops_and_flops, config, write_run
from tests.test_matching import row

ROOT = Path(__file__).parents[1]
REFERENCES = sorted(p.parent for p in (ROOT / "results" / "reference").glob("*/DONE"))
DATA = config({"channels": [16, 32, 64, 128, 256]})
Bench = Callable[..., tuple[int, Any, str]]
MIRRORED: dict[Verdict, Verdict] = {"FASTER": "SLOWER", "SLOWER": "FASTER"}


@pytest.fixture
def bench(capsys: pytest.CaptureFixture[str]) -> Bench:
    """`bench compare ... --json`: its status, what it printed as data, and its words on stderr."""

    def run(*given: object) -> tuple[int, Any, str]:
        with pytest.raises(SystemExit) as left:
            cli.main(["compare", *map(str, given), "--json"])
        told = capsys.readouterr()
        return int(left.value.code or 0), json.loads(told.out) if told.out else None, told.err

    return run


def made(folder: Path, story: Story, **more: Any) -> Path:
    write_run(folder, story, **{"data": DATA, **more})
    return folder


def stretched(source: Path, copy: Path, trials: Sequence[str], factor: float, **facts: object) -> Path:
    """A copy of a run in which every sample of the last arm of these trials took `factor` times as long."""
    shutil.copytree(source, copy)
    told = json.loads((copy / "environment.json").read_text())
    (copy / "environment.json").write_text(json.dumps({**told, **facts}))
    lines = []
    for line in (copy / "journal.jsonl").read_text().splitlines():
        record = json.loads(line)
        if record["type"] == "run":
            record["run_id"] = facts.get("run_id", record["run_id"])
        if record["type"] == "visit" and record["trial_id"] in trials:
            last = record["arms"][-1]
            last["samples_ns"] = [ns * factor for ns in last["samples_ns"]]
        lines.append(json.dumps(record))
    (copy / "journal.jsonl").write_text("\n".join(lines) + "\n")
    return copy


def verdicts(table: dict[str, Any]) -> Counter[str]:
    return Counter(r["verdict"] for r in table["rows"])


def changed(table: dict[str, Any], verdict: str) -> set[str]:
    return {r["trial_id_a"] for r in table["rows"] if r["verdict"] == verdict}


# ---------------------------------------------------------------- the same, and what was planted


@pytest.mark.parametrize("run", REFERENCES, ids=lambda p: p.name)
def test_a_reference_run_against_itself_is_the_same_everywhere(bench: Bench, run: Path) -> None:
    status, told, _ = bench(run, run, "--fail-on", "changed", "--margin", "1%")
    (found,) = told["comparisons"]
    assert status == 0
    for table in (found["speedups"], found["times"]):
        assert set(verdicts(table)) <= {"SAME", "NOT MEASURED"}  # what was skipped or failed is so in both
        assert verdicts(table)["SAME"] > 0
        assert (table["only_a"], table["only_b"]) == ([], [])
        assert table["geometric_mean"]["b_over_a"] == 1
    assert found["differences"] == []


def test_a_planted_slow_down_of_a_tenth_is_found_in_its_rows_and_in_no_others(bench: Bench, tmp_path: Path) -> None:
    a = made(tmp_path / "a", Story(run_id="a", processes=8))
    fresh = made(tmp_path / "fresh", Story(run_id="fresh", seed=2, processes=8))
    every = [t["trial_id"] for t in json.loads((fresh / "plan.json").read_text())["trials"]]
    slowed = set(every[3::6])
    assert 2 <= len(slowed) < len(every) / 4
    b = stretched(fresh, tmp_path / "b", sorted(slowed), 1.1, run_id="b")

    status, told, _ = bench(a, b, "--fail-on", "slower")
    assert status == 1
    (found,) = told["comparisons"]
    assert changed(found["speedups"], "SLOWER") == slowed
    assert verdicts(found["speedups"]) == {"SLOWER": len(slowed), "SAME": len(every) - len(slowed)}
    slow = [r for r in found["times"]["rows"] if r["verdict"] == "SLOWER"]
    assert {(r["trial_id_a"], r["block"]) for r in slow} == {(t, "separable") for t in slowed}
    assert all(r["b_over_a_ci_low"] < 1.1 < r["b_over_a_ci_high"] for r in slow)
    assert bench(a, b, "--fail-on", "slower", "--by", "times")[0] == 1

    assert bench(a, fresh, "--fail-on", "changed")[0] == 0
    assert bench(b, a, "--fail-on", "slower")[0] == 0
    assert bench(b, a, "--fail-on", "changed")[0] == 1
    assert changed(bench(b, a)[1]["comparisons"][0]["speedups"], "FASTER") == slowed


def test_a_slow_down_of_both_blocks_is_found_in_their_times_alone(bench: Bench, tmp_path: Path) -> None:
    a = made(tmp_path / "a", Story(run_id="a", processes=8))
    b = made(tmp_path / "b", Story(run_id="b", seed=2, processes=8, base_s=lambda t: 1.1 * by_ops_and_flops(t)))
    assert bench(a, b, "--fail-on", "changed", "--by", "speedups")[0] == 0
    status, told, _ = bench(a, b, "--fail-on", "slower")
    (found,) = told["comparisons"]
    assert (status, verdicts(found["times"])) == (1, {"SLOWER": 40})
    assert verdicts(found["speedups"]) == {"SAME": 20}


def test_pairs_of_runs_of_one_truth_are_called_changed_no_oftener_than_claimed(bench: Bench, tmp_path: Path) -> None:
    """With hardly a margin, so that the correction alone stands guard. At the usual margin not one of them is."""
    data, pairs = config({"channels": [16, 64], "threads": [1]}), 30
    wrong = gates = usual = 0
    for i in range(pairs):
        a, b = (made(tmp_path / f"{i}{n}", Story(run_id=n, seed=100 + 2 * i + k, processes=6, rounds=4), data=data) for k, n in enumerate("ab"))  # fmt: skip
        status, told, *_ = bench(a, b, "--margin", "0.001%", "--fail-on", "changed")
        wrong += bool(verdicts(told["comparisons"][0]["speedups"]).keys() & {"FASTER", "SLOWER"})
        gates += status == 1
        usual += bench(a, b, "--fail-on", "changed")[0]
    most = stats.binom.ppf(0.99, pairs, 0.05)
    assert wrong <= most
    assert gates <= most
    assert usual == 0


def test_a_row_that_ran_out_of_memory_in_b_alone_closes_the_gate(bench: Bench, tmp_path: Path) -> None:
    fails = {0: (1, "oom", "no memory")}
    a, c = (made(tmp_path / n, Story(run_id=n)) for n in "ac")
    b = made(tmp_path / "b", Story(run_id="b", fails=fails))
    assert bench(a, b, "--fail-on", "slower")[0] == 1
    assert bench(b, a, "--fail-on", "slower")[0] == 0
    assert bench(a, c, "--fail-on", "slower")[0] == 0
    assert bench(b, made(tmp_path / "d", Story(run_id="d", fails=fails)), "--fail-on", "slower")[0] == 0


# ---------------------------------------------------------------- what differs


def test_another_torch_is_named_before_any_row(bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, sketched: None) -> None:  # fmt: skip
    a = made(tmp_path / "a", Story(run_id="a"))
    b = made(tmp_path / "b", Story(run_id="b", seed=2), environment={"torch": "2.14.0"})
    (found,) = bench(a, b)[1]["comparisons"]
    assert found["differences"] == [{"name": "torch", "a": "2.13.0", "b": "2.14.0"}]
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        cli.main(["compare", str(a), str(b)])
    told = capsys.readouterr().out
    assert told.index("differs: torch: 2.13.0 in A, 2.14.0 in B\n") < told.index("c16-k")
    assert len(told.splitlines()) < 40


@pytest.mark.parametrize("field", ["dtype", "layout", "batch", "allocator"])
def test_what_was_run_otherwise_is_confounded_and_opens_no_gate(bench: Bench, tmp_path: Path, field: str) -> None:
    value = {"dtype": "bf16", "layout": "channels_last", "batch": 4, "allocator": "default"}[field]
    usual = {"dtype": "fp32", "layout": "contiguous", "batch": 1, "allocator": "retain"}[field]
    a = made(tmp_path / "a", Story(run_id="a"), data=config({field: [usual]}))
    b = made(tmp_path / "b", Story(run_id="b"), data=config({field: [value]}))
    found = bench(a, b)[1]["comparisons"][0]["speedups"]
    assert verdicts(found) == {"CONFOUNDED": 12}
    assert all(r["differs"] == {field: [usual, value]} for r in found["rows"])
    assert found["geometric_mean"] is None
    status, _, err = bench(a, b, "--fail-on", "slower", "--by", "speedups")
    assert (status, "no row can be compared" in err) == (2, True)


def test_a_card_in_hosts_of_unlike_cores_meets_itself_and_the_threads_are_named(bench: Bench, tmp_path: Path) -> None:
    data = config({"threads": ["all"]})
    runs = [made(tmp_path / str(n), Story(run_id=str(n), seed=n), data=data, devices=("cuda:0",), cores=n) for n in (8, 64)]  # fmt: skip
    (found,) = bench(*runs)[1]["comparisons"]
    assert verdicts(found["speedups"]) == {"SAME": 6}
    assert verdicts(found["times"]) == {"SAME": 12}  # the card's name is the same, and the host is no part of it
    assert {r["threads"] for r in found["speedups"]["rows"]} == {8}
    assert {"name": "threads", "a": "8", "b": "64"} in found["differences"]


def test_two_cards_of_one_model_are_named_and_their_times_have_a_wider_margin(bench: Bench, tmp_path: Path) -> None:
    def run(name: str, uuid: str | None, factor: float = 1.0) -> Path:
        told = {"cuda:0": {"name": "Imaginary GPU", "properties": {"uuid": uuid}}}
        story = Story(run_id=name, processes=8, base_s=lambda t: factor * by_ops_and_flops(t))
        return made(tmp_path / name, story, devices=("cuda:0",), environment={"devices": told})

    one = run("a", "aaaa")
    (found,) = bench(one, run("c", "cccc", 1.07))[1]["comparisons"]
    assert found["differences"] == [{"name": "card (cuda)", "a": "aaaa", "b": "cccc"}]
    assert [r["edge"] for r in found["speedups"]["rows"]] == pytest.approx([1.05] * 10)
    assert [r["edge"] for r in found["times"]["rows"]] == pytest.approx([1.08] * 20)
    assert "SLOWER" not in verdicts(found["times"])
    for same in (run("b", "aaaa", 1.07), run("d", None, 1.07)):  # what a run does not tell speaks for nothing
        assert verdicts(bench(one, same)[1]["comparisons"][0]["times"]) == {"SLOWER": 20}
    assert verdicts(bench(one, run("e", "eeee", 1.12))[1]["comparisons"][0]["times"]) == {"SLOWER": 20}


def test_a_cpus_rows_need_the_same_threads_and_it_is_said_where_they_have_others(bench: Bench, tmp_path: Path) -> None:
    data = config({"threads": [1, "all"]})
    runs = [made(tmp_path / str(n), Story(run_id=str(n), seed=n), data=data, cores=n) for n in (8, 64)]
    (found,) = bench(*runs)[1]["comparisons"]
    by_threads = Counter((r["threads"], r["verdict"]) for r in found["speedups"]["rows"])
    assert by_threads == {(1, "SAME"): 6, (8, "CONFOUNDED"): 6}
    confounded = [r["differs"] for r in found["speedups"]["rows"] if r["verdict"] == "CONFOUNDED"]
    assert confounded == [{"threads": [8, 64]}] * 6
    assert {"name": "threads", "a": "1, 8", "b": "1, 64"} in found["differences"]
    assert found["times"] is None
    assert "physical cores" in found["times_not_compared"]


def test_keys_that_a_row_is_found_by_are_told(bench: Bench, tmp_path: Path) -> None:
    a = made(tmp_path / "a", Story(run_id="a"))
    gpu = made(tmp_path / "g", Story(run_id="g"), devices=("cuda:0",))
    told = [bench(a, b)[1]["comparisons"][0]["keys"] for b in (a, gpu)]
    assert told[0] == KEYS
    assert set(KEYS) - set(told[1]) == {"device", "threads", "allocator", "waiting"}


# ---------------------------------------------------------------- mirror images

ROWS = st.lists(
    st.tuples(
        st.integers(1, 3), st.sampled_from([1, 2, 8]), st.sampled_from(["fp32", "bf16"]), st.floats(-0.5, 0.5),
        st.sampled_from([0.0, 0.01, 0.05, 0.3, None]), st.integers(1, 8), st.sampled_from(["ok", "noisy", "oom"]),
    ),
    max_size=8,
)  # fmt: skip


def _run(name: str, told: list[Any], device: str, band: float | None) -> run_folder.Run:
    """A run whose rows have these widths, threads, dtypes, ln speedups, half-widths, processes and statuses."""
    rows = []
    for c, threads, dtype, log, width, processes, status in told:
        there = row(c_in=c, threads=threads, dtype=dtype, device=device)
        ok = status != "oom"
        values = {"speedup": math.exp(log), "precision": width if processes > 1 else None, "processes": processes}
        rows.append({**there, "status": status, "trial_id": f"{c}-{threads}-{dtype}", "noise_band": band, **(values if ok else {})})  # fmt: skip
    return run_folder.Run(
        Path(name), name, run_folder.frame([], "m"), run_folder.frame(rows, "p"), None, {"torch": name}, None
    )


@pytest.mark.parametrize("correction", ["benjamini-hochberg", "holm"])
@settings(max_examples=25)
@given(ROWS, ROWS, st.sampled_from([("cpu", "cpu"), ("cpu", "cuda:0"), ("cuda:0", "cuda:1")]), st.sampled_from([None, 0.08]))  # fmt: skip
def test_a_against_b_and_b_against_a_are_mirror_images(
    correction: Correction, one: list[Any], two: list[Any], devices: tuple[str, str], band: float | None
) -> None:
    a, b = _run("a", one, devices[0], None), _run("b", two, devices[1], band)
    there, back = compare(a, b, correction=correction), compare(b, a, correction=correction)
    assert [(d.name, d.a, d.b) for d in there.differences] == [(d.name, d.b, d.a) for d in back.differences]
    t, u = there.speedups, back.speedups
    assert _seen(t) == sorted((y, x, MIRRORED.get(v, v), differs) for x, y, v, differs in _seen(u))
    assert len(t.only_a) == len(u.only_b)
    assert t.edge == u.edge
    for m, n in zip(_ordered(t, "a"), _ordered(u, "b"), strict=True):
        assert (m.log is None) == (n.log is None)
        if m.log is not None and n.log is not None:
            assert m.log.mean == pytest.approx(-n.log.mean, abs=1e-12)
            assert m.log.half_width == pytest.approx(n.log.half_width)
            assert m.p_adjusted == pytest.approx(n.p_adjusted)
    if t.judged:
        assert t.mean.log.mean == pytest.approx(-u.mean.log.mean, abs=1e-12)
        assert t.mean.log.half_width == pytest.approx(u.mean.log.half_width)


def _place(record: Any) -> tuple[Any, ...]:
    return record["trial_id"], record["speedup"] or 0.0, record["precision"] or 0.0, record["processes"] or 0, record["status"]  # fmt: skip


def _seen(table: QuantityComparison) -> list[tuple[Any, ...]]:
    return sorted((_place(m.a), _place(m.b), m.verdict, m.differs) for m in table.matches)


def _ordered(table: QuantityComparison, side: str) -> list[Any]:
    other = "b" if side == "a" else "a"
    return sorted(table.matches, key=lambda m: (_place(getattr(m, side)), _place(getattr(m, other))))


def test_the_tables_of_long_names_fit_a_narrow_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    names = ("h100-16-cores-speed-thinking", "h100-16-cores-speed-thinking-again")
    print_comparison(compare(*(run_folder.read(ROOT / "results" / "reference" / name) for name in names)))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("…") and line.endswith("AMBIGUOUS") for line in lines)
