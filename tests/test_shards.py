"""Shards of a run and their merge: every trial once, evenly shared, and the whole as if one machine had measured it."""

from __future__ import annotations

import json
import platform
import shutil
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import cli
from bench.analyse.claims.judge import judge
from bench.analyse.facts import facts_of
from bench.analyse.runs.merged import together
from bench.analyse.runs.run_folder import read, write_tables
from bench.run import merge as merging
from bench.run import runner
from bench.show.export import report as export
from bench.show.text import report
from bench.spec.config.config import check
from bench.spec.errors import UserError
from bench.spec.files import runs_of
from bench.spec.plan.durations import trial_seconds
from bench.spec.plan.plan import Plan, make
from bench.spec.plan.shards import part_of, shards_of, whole_of
from bench.spec.results_folder import read_plan
from tests.synthetic import config as synthetic
from tests.tiny_run import records, visits

TABLES = ["measurements.csv", "opinions.csv", "pairs.csv", "roofs.csv", "samples.csv"]


def shard(config: Path, out: Path, text: str | None, said: list[str] | None = None) -> Path:
    tell = (said if said is not None else []).append
    return runner.run(config, ["cpu"], out, ["second_opinions=0.5"], ["bench", "run"], tell, shard=text).folder


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of six trials: `whole`, and `1`, `2` and `3` of three shards, by fake workers."""
    from bench.run import environment, launch
    from tests.tiny_run import CONFIG, calm

    at = tmp_path_factory.mktemp("shards")
    (at / "tiny.yaml").write_text(CONFIG)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launch, "WORKER", "tests.fake_worker")
        patch.setattr(environment, "look", calm)
        shard(at / "tiny.yaml", at / "whole", None)
        for n in "123":
            shard(at / "tiny.yaml", at / n, f"{n}/3")
    return at


@pytest.fixture
def parts(measured: Path, tmp_path: Path) -> list[Path]:
    """Copies of the three shards, to be damaged."""
    return [shutil.copytree(measured / n, tmp_path / n) for n in "123"]


def merge(parts: list[Path], out: Path, partial: bool = False, across: bool = False) -> None:
    merging.merge(parts, out, ["bench", "merge"], partial, across)


def refusal(parts: list[Path], out: Path, across: bool = False) -> str:
    with pytest.raises(UserError) as told:
        merge(parts, out, across=across)
    assert not out.exists(), "nothing is written"
    assert "\n" not in str(told.value)
    return str(told.value)


def change(folder: Path, file: str, **facts: object) -> None:
    """Change facts of a JSON file, and let the journal know the file as it is now."""
    path = folder / file
    path.write_text(json.dumps({**json.loads(path.read_text()), **facts}))
    forget_hashes(folder)


def forget_hashes(folder: Path) -> None:
    journal = folder / "journal.jsonl"
    first, *rest = journal.read_text().splitlines()
    begun = {k: v for k, v in json.loads(first).items() if k != "sha256"}
    journal.write_text("\n".join([json.dumps(begun), *rest]) + "\n")


# ---------------------------------------------------------------- who measures what


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    channels = draw(st.lists(st.sampled_from([8, 16, 64, 256, 1024]), min_size=1, max_size=4, unique=True))
    size = draw(st.lists(st.sampled_from([7, 28, 224]), min_size=1, max_size=3, unique=True))
    axes = {"channels": channels, "size": size, "batch": draw(st.sampled_from([[1], [1, 64]])), "threads": [1, 2, 99]}
    devices = draw(st.sampled_from([["cpu"], ["cpu", "sim:h100"], ["cpu", "cuda:0"]]))
    return make(check(synthetic(axes, timing={"second_opinions": 0.3}), "drawn"), devices, 2)


@given(plans(), st.integers(1, 9))
def test_every_trial_is_in_one_shard_and_loads_differ_by_one_trial_at_most(plan: Plan, count: int):
    count = min(count, len(plan.active))
    owners = shards_of(plan, count)
    assert owners == shards_of(plan, count)
    seconds = {t.trial_id: trial_seconds(t, plan.timing) for t in plan.active}
    assert owners.keys() == seconds.keys()
    loads = Counter(dict.fromkeys(range(1, count + 1), 0.0))
    for trial_id, n in owners.items():
        loads[n] += seconds[trial_id]
    assert max(loads.values()) - min(loads.values()) <= max(seconds.values()) * (1 + 1e-9)
    parts = {n: part_of(plan, f"{n}/{count}") for n in range(1, count + 1)}
    assert Counter(t.trial_id for p in parts.values() for t in p.active) == Counter(seconds.keys())
    assert all(p.active for p in parts.values())
    assert whole_of(parts, {}) == plan
    chosen = [t.trial_id for p in parts.values() for t in p.chosen]
    assert sorted(chosen) == sorted(t.trial_id for t in plan.chosen), "second opinions are those of the whole run"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("0/8", "--shard 0/8: shards are numbered from 1/n to n/n, n up to 1000. Write 1/8; on a Slurm array: sbatch --array=1-8."),
        ("9/8", "--shard 9/8: shards are numbered from"),
        ("3/0", "--shard 3/0: shards are numbered from"),
        ("/", "--shard /: it is not a number and a count. Write 2/8 for the second of eight shards."),
        ("-1/8", "it is not a number and a count"),
        ("2 of 8", "it is not a number and a count"),
        ("1/7", "--shard 1/7: there are only 6 trials to measure. Use at most 6 shards."),
    ],
)  # fmt: skip
def test_a_shard_that_is_none_is_refused_in_one_line(config: Path, capsys, text: str, line: str):
    """Also what Slurm's variables give where the array begins at 0, or where they are not set."""
    with pytest.raises(SystemExit) as ended:
        cli.main(["plan", str(config), "--shard", text])
    told = capsys.readouterr()
    assert (ended.value.code, told.out, told.err.count("\n")) == (2, "", 1)
    assert line in told.err


def test_a_shard_measures_its_trials_and_resuming_keeps_to_them(measured: Path, parts: list[Path], fake):
    fake()
    owned = [{t.trial_id for t in read_plan(part).active} for part in parts]
    assert sorted(map(len, owned)) == [2, 2, 2]
    assert [{trial for trial, _ in visits(part)} for part in parts] == owned
    part = parts[1]
    lines = (part / "journal.jsonl").read_text().splitlines()
    last = max(i for i, line in enumerate(lines) if '"type":"visit"' in line)
    (part / "journal.jsonl").write_text("\n".join(lines[:last]) + "\n")
    (part / "DONE").unlink()
    runner.resume(part, [].append)
    assert visits(part) == visits(measured / "2")
    skipped = {t.skip for t in read_plan(part).trials if t.skip}
    assert skipped == {"of shard 1/3, which is not here", "of shard 3/3, which is not here"}
    with pytest.raises(UserError, match="a run continues as it was planned"):
        cli.app(["run", "--resume", str(part), "--shard", "1/3"], standalone_mode=False)


# ---------------------------------------------------------------- the whole again


def test_the_merge_of_shards_has_the_tables_of_the_whole_run_byte_by_byte(measured: Path, tmp_path: Path):
    out = tmp_path / "out"
    merge([measured / n for n in "231"], out)
    ids, tables = [], []
    for folder in (out, measured / "whole"):
        run = read(folder, samples=True)
        for rows in (run.measurements, run.pairs):
            assert set(rows["machine"].dropna()) == ({platform.node()} if folder is out else set())
            rows["machine"] = None
        written = write_tables(run, tmp_path / f"{folder.name}-tables")
        assert sorted(path.name for path in written) == TABLES
        ids.append(run.run_id.encode())
        tables.append({path.name: path.read_bytes().replace(ids[-1], b"run") for path in written})
    assert tables[0] == tables[1]
    assert records(measured / "1", "run")[0]["run_id"].encode() == ids[0] + b"-shard1of3"
    assert read_plan(out) == read_plan(measured / "whole")
    run = read(out)
    assert [made["shard"] for made in run.environment["shards"]] == ["1/3", "2/3", "3/3"]
    assert run.sessions == 3
    assert run.wall_s == pytest.approx(sum(read(measured / n).wall_s for n in "123"))
    with pytest.raises(UserError, match="this run is complete"):
        runner.resume(out, [].append)


def test_bench_merge_writes_a_folder_that_reports(measured: Path, tmp_path: Path, capsys, sketched):
    out = tmp_path / "merged"
    cli.app(["merge", *(str(measured / n) for n in "123"), "--out", str(out)], standalone_mode=False)
    assert "Is separable faster" in capsys.readouterr().out
    page = (out / "report.html").read_text()
    assert f"<dt>machine {platform.node()}</dt><dd>12 rows</dd>" in page
    assert len(records(out, "run")) == 1


def test_partial_merges_what_there_is_and_says_incomplete(parts: list[Path], tmp_path: Path):
    one, two, _ = parts
    (two / "DONE").unlink()
    journal = (two / "journal.jsonl").read_text().splitlines()
    settled = [line for line in journal if '"type":"settled"' in line]
    (two / "journal.jsonl").write_text("\n".join(line for line in journal if line != settled[-1]) + "\n")
    resume = f"{two} (shard 2/3) is unfinished: bench run --resume {two}"
    assert resume + "; shard 3/3 not named" in refusal([one, two], tmp_path / "out")
    merge([one, two], tmp_path / "out", partial=True)
    run = read(tmp_path / "out")
    assert run.environment["ambers"][:2] == [f"INCOMPLETE: {resume}", "INCOMPLETE: shard 3/3 not named"]
    incomplete = f"INCOMPLETE: {resume}; shard 3/3 not named"
    assert incomplete in report.heads(run), "the terminal says so before the answer"
    assert f"**{export.plain(incomplete)}**" in export.text([run], "md")
    details = Counter(run.pairs["status_detail"].dropna())
    assert details == {"of shard 3/3, which is not here": 2, "of shard 2/3, which had not finished it": 1}
    assert len(records(tmp_path / "out", "visit")) == 9, "no process of a trial that has not all of its own"


# ---------------------------------------------------------------- machines that differ


@pytest.fixture
def mixed(parts: list[Path]) -> list[Path]:
    """Shard 2 is of another machine, on which separable is as much slower as it is faster on the first."""
    host = json.loads((parts[1] / "environment.json").read_text())["host"]
    change(parts[1], "environment.json", host={**host, "governor": "powersave"})
    journal = parts[1] / "journal.jsonl"
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    for one, other in (line["arms"] for line in lines if line["type"] == "visit"):
        one["samples_ns"], other["samples_ns"] = other["samples_ns"], one["samples_ns"]
    journal.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return parts


def test_machines_that_differ_are_merged_only_across_and_stay_apart(mixed: list[Path], tmp_path: Path):
    told = refusal(mixed, tmp_path / "out")
    assert "governor: powersave here" in told
    assert "--across keeps these machines apart" in told
    merge(mixed[::-1], tmp_path / "out", across=True)
    folders = runs_of(tmp_path / "out")
    assert [f.name for f in folders] == ["machine-1", "machine-2"]
    runs = [read(f) for f in folders]
    measured = [Counter(r.pairs.loc[r.pairs["status"] != "skipped", "run_id"]) for r in runs]
    base = records(mixed[0], "run")[0]["run_id"].removesuffix("-shard1of3")
    assert measured == [{f"{base}-machine-1": 4}, {f"{base}-machine-2": 2}], "each row says its machine"
    assert set(runs[1].pairs["status_detail"].dropna()) == {
        f"of shard {n}/3, which another machine measured" for n in (1, 3)
    }
    assert not any("INCOMPLETE" in amber for r in runs for amber in r.environment["ambers"])
    # A mean over both machines would be near 1x, which neither measured.
    joined = together(runs)
    tallies = [t for t in (*facts_of(joined.whole).ways, *facts_of(joined.whole).places) if t.cells]
    assert sorted(t.lean for t in tallies) == ["faster", "faster", "slower", "slower"]
    assert all(abs(t.mean.mean) > 0.9 for t in tallies)
    verdicts = [v for v in judge(runs).verdicts if v.claim == "faster" and v.cells.n]
    assert {r for v in verdicts for r in v.runs} == {r.run_id for r in runs}
    assert all(len(v.runs) == 1 for v in verdicts)


def test_alike_machines_are_one_run_with_across_too(measured: Path, tmp_path: Path):
    merge([measured / n for n in "123"], tmp_path / "out", across=True)
    assert runs_of(tmp_path / "out") == [tmp_path / "out"]
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "machine-1").symlink_to(tmp_path / "out")
    assert runs_of(tmp_path / "linked") == [tmp_path / "linked"], "no link is followed"


def test_bench_merge_across_puts_the_machines_side_by_side_on_one_page(
    mixed: list[Path], tmp_path: Path, capsys, sketched
):
    out = tmp_path / "merged"
    cli.app(["merge", *map(str, mixed), "--out", str(out), "--across"], standalone_mode=False)
    told = capsys.readouterr().out
    assert all(f"machine-{n}" in told for n in (1, 2))
    page = (out / "report.html").read_text()
    assert "Machines side by side" in page
    assert "powersave" in page
    cli.app(["verdict", str(out), "--all"], standalone_mode=False)
    assert "machine-2" in capsys.readouterr().out


def test_another_program_is_refused_across_machines_too(mixed: list[Path], tmp_path: Path):
    change(mixed[1], "environment.json", bench_version="0.0.1")
    assert "bench: 0.0.1 here, " in refusal(mixed, tmp_path / "out", across=True)


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("facts", "line"),
    [
        ({"bench_version": "0.0.1"}, "bench: 0.0.1 here, "),
        ({"git": "abc123-dirty"}, "commit: abc123-dirty here, "),
        ({"torch": "2.6.0"}, "torch: 2.6.0 here, fake in "),
        ({"host": {"cpu_model": "Another CPU"}}, "CPU model: Another CPU here, "),
        ({"devices": {"cpu": {"name": "x", "torch": "fake"}}}, "name of cpu: x here, "),
    ],
)
def test_another_program_or_machine_is_refused_and_named(parts: list[Path], tmp_path: Path, facts: dict, line: str):
    change(parts[1], "environment.json", **facts)
    told = refusal(parts, tmp_path / "out")
    assert told.startswith(f"{parts[1]} (shard 2/3): {line}")


@pytest.mark.parametrize(
    ("fact", "of"),
    [("name of cuda:0", lambda x: {"name": x}), ("source of mine:block", lambda x: {"imports": {"mine:block": x}})],
)
def test_what_two_shards_have_is_compared_even_if_the_first_has_it_not(
    parts: list[Path], tmp_path: Path, fact: str, of
):
    for part, card in zip(parts[1:], ("H100", "H200"), strict=True):
        devices = json.loads((part / "environment.json").read_text())["devices"]
        change(part, "environment.json", devices={**devices, "cuda:0": of(card)})
    assert f"{parts[2]} (shard 3/3): {fact}: H200 here, H100 in {parts[1]}." in refusal(parts, tmp_path / "out")


def test_another_config_is_refused_with_the_lines_that_differ(parts: list[Path], tmp_path: Path):
    config = parts[2] / "config.yaml"
    config.write_text(config.read_text().replace("timeout_seconds: 3", "timeout_seconds: 4"))
    forget_hashes(parts[2])
    assert "- timeout_seconds: 3; + timeout_seconds: 4" in refusal(parts, tmp_path / "out")


def test_another_schema_is_refused(parts: list[Path], tmp_path: Path):
    journal = parts[2] / "journal.jsonl"
    now = records(parts[2], "run")[0]["schema_version"]
    journal.write_text(journal.read_text().replace(f'"schema_version":{now}', '"schema_version":0', 1))
    assert f"schema: 0 here, {now} in {parts[0]}" in refusal(parts, tmp_path / "out")


def test_another_plan_is_refused(parts: list[Path], tmp_path: Path):
    plan = json.loads((parts[1] / "plan.json").read_text())
    change(parts[1], "plan.json", trials=plan["trials"][:-1])
    assert "shard 2/3: its plan has other trials than shard 1/3" in refusal(parts, tmp_path / "out")


def test_a_trial_in_two_shards_is_refused(parts: list[Path], tmp_path: Path):
    twice = refusal([*parts, parts[0]], tmp_path / "out")
    assert f"{parts[0]} (shard 1/3): this shard is named twice, also by {parts[0]}" in twice
    trials = json.loads((parts[1] / "plan.json").read_text())["trials"]
    change(parts[1], "plan.json", trials=[{**t, "skip": None} for t in trials])
    assert "it should be a trial of one shard, and is one of 1/3 and 2/3" in refusal(parts, tmp_path / "out")


def test_results_of_a_trial_of_another_shard_are_refused(parts: list[Path], tmp_path: Path):
    other = next(line for line in (parts[0] / "journal.jsonl").read_text().splitlines() if '"type":"visit"' in line)
    with (parts[1] / "journal.jsonl").open("a") as journal:
        journal.write(other + "\n")
    assert "which is not a trial of this shard" in refusal(parts, tmp_path / "out")
    with (parts[0] / "journal.jsonl").open("a") as journal:
        journal.write('{"type":"later","trial_id":[1]}\n')
    assert "it has results of [1], which is not" in refusal(parts, tmp_path / "out")


def test_a_whole_run_a_link_and_a_used_folder_are_refused(measured: Path, parts: list[Path], tmp_path: Path):
    assert "whole: this is not the folder of a shard" in refusal([measured / "whole"], tmp_path / "out")
    assert "this is not the folder of a shard" in refusal([tmp_path / "nothing"], tmp_path / "out")
    with pytest.raises(UserError, match="it exists and is not empty"):
        merge(parts, parts[0])
    (parts[0] / "logs" / "x").symlink_to("/etc/passwd")
    assert "it is a link that leaves the folder" in refusal(parts, tmp_path / "out")
    change(parts[1], "plan.json", shard=[4, 3])
    assert "plan.json: shard: it is none of 1/n to n/n" in refusal(parts[1:], tmp_path / "out")


def test_numbers_that_json_has_not_are_refused_or_left_out(parts: list[Path], tmp_path: Path):
    journal = parts[0] / "journal.jsonl"
    journal.write_text(journal.read_text() + '{"type":"later","x":NaN}\n')
    merge(parts, tmp_path / "out")
    path = parts[1] / "environment.json"
    path.write_text(path.read_text().replace("{", '{"odd": NaN,', 1))
    forget_hashes(parts[1])
    assert "environment.json: it holds a number that is not finite" in refusal(parts, tmp_path / "again")
