"""`--device sim:NAME` from the command line to every file: all of it predicted, and said to be so."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest

from bench import cli
from bench.analyse.runs import run_folder
from bench.run import launch, runner
from bench.show.export import report
from bench.spec.devices.predicted_devices import find_device, known
from bench.spec.errors import UserError
from bench.spec.model.model_parameters import prediction_of
from bench.spec.plan.plan import COMPILES_NOTHING
from tests import warm_worker

CONFIG = """
name: foretold
timing: {visit_seconds: 0.001, minutes: 0.001, second_opinions: 1}
experiments:
  shapes:
    blocks: [standard, separable]
    axes: {channels: [16, 64, 128], kernel: [3, 5], size: 28, threads: [1, all]}
  layers:
    blocks: [standard, separable]
    together: [size, depth]
    axes: {channels: 16, size: [16, 8, 4], depth: [1, 4, 16], mode: [eager, graph, compile], threads: 1}
  doses:
    blocks: [standard, separable]
    axes: {channels: 64, size: 14, batch: [1, 16, 4096], threads: 1}
  nets:
    blocks: [mobilenet_v1_standard, mobilenet_v1]
    axes: {size: 224, batch: 256, threads: 1, pass: [inference, training]}
"""


def bench(*words: str) -> int:
    """The command line, in this process."""
    with pytest.raises(SystemExit) as ended:
        cli.main(list(words))
    return int(ended.value.code or 0)


@pytest.fixture(scope="module")
def workers(warm_server: str) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launch, "WORKER", warm_worker.__name__)
        patch.setenv(warm_worker.ADDRESS, warm_server)
        yield


@pytest.fixture(scope="module")
def foretold(workers: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run on a predicted card and a predicted processor, and what it printed."""
    folder = tmp_path_factory.mktemp("foretold")
    (folder / "c.yaml").write_text(CONFIG)
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        assert (
            bench("run", str(folder / "c.yaml"), "--device", "sim:h100,sim:server_cpu", "--out", str(folder / "run"))
            == 0
        )
    assert "by the model, predicted h100" in err.getvalue()
    return folder / "run", out.getvalue()


def of_a_slower_host(folder: Path, row: dict[str, object], slower: float) -> float:
    """What a host so many times slower would change of a row's time, or of a pair's speedup, in ln: by the columns of its arms."""
    arms = pd.read_csv(folder / "measurements.csv")
    arms = arms[arms["trial_id"] == row["trial_id"]].set_index("arm_id")
    if arms["enqueue_time_median_s"].isna().all():
        return 0.0
    longer = (slower * arms["enqueue_time_median_s"] / arms["time_median_s"]).clip(lower=1)
    mine = float(longer[row["arm_id"]])
    base = float(longer.iloc[0]) if "speedup" in row else 1.0
    return abs(math.log(mine / base))


def test_every_row_is_predicted_within_the_models_error_or_says_why_not(foretold: tuple[Path, str]):
    folder, _ = foretold
    for name, width, ends in (
        ("measurements.csv", 0, ("time_median_s", "time_ci_low_s", "time_ci_high_s")),
        ("pairs.csv", 1, ("speedup", "speedup_ci_low", "speedup_ci_high")),
    ):
        table = pd.read_csv(folder / name)
        assert set(table["status"]) == {"predicted", "skipped"}
        assert set(table.loc[table["status"] == "skipped", "status_detail"]) == {
            COMPILES_NOTHING,
            "predicted server_cpu has no graphs to replay",
        }
        rows = table[table["status"] == "predicted"]
        assert rows["device_name"].str.startswith("predicted ").all()
        assert rows["status_detail"].str.endswith("nothing was measured").all()
        assert rows["processes"].eq(0).all()
        for device in ("sim:h100", "sim:server_cpu"):
            mine = rows[rows["device"] == device]
            said = prediction_of(find_device(device))
            errors = [said.of(word == "training")[width] for word in mine["pass"]]
            besides = [of_a_slower_host(folder, row, said.host) for row in mine.to_dict("records")]
            factors = [math.exp(error + more) for error, more in zip(errors, besides, strict=True)]
            middle, low, high = (mine[c] for c in ends)
            assert (middle / low).tolist() == pytest.approx(factors)
            assert (high / middle).tolist() == pytest.approx(factors)
            if device == "sim:h100":
                assert said.host == 4
                assert max(besides) > 0, "small eager calls wait for the host"
                if width == 0:
                    assert len(set(errors)) == 2, "training is farther off"
            else:
                assert max(besides) == 0, "a processor is its own host"
    arms = pd.read_csv(folder / "measurements.csv")
    for column in ("memory_peak_bytes", "launches", "backends", "samples", "flagged_share", "quality_notes"):
        assert arms[column].isna().all(), column
    assert set(arms.loc[arms["device"] == "sim:server_cpu", "threads"]) == {1, 40}, "a processor has its own cores"
    assert pd.read_csv(folder / "samples.csv").empty
    assert not (folder / "roofs.csv").exists()
    assert not (folder / "opinions.csv").exists()


def test_the_journal_marks_what_the_model_made_up(foretold: tuple[Path, str]):
    folder, _ = foretold
    records = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    visits = [r for r in records if r["type"] == "visit"]
    assert visits
    assert all(r["predicted"] for r in visits)
    assert records[-1]["timed_s"] == 0, "predicted seconds are none"
    assert not [r for r in records if r["type"] in ("roof", "opinion")]
    devices = json.loads((folder / "environment.json").read_text())["devices"]
    assert {d: set(f["prediction"]) for d, f in devices.items()} == {
        d: {"model", "time", "speedup", "training_time", "training_speedup", "host"}
        for d in ("sim:h100", "sim:server_cpu")
    }


def test_the_terminal_says_predicted_and_would_be_and_counts_nothing_as_measured(foretold: tuple[Path, str]):
    told = foretold[1]
    head, *_ = told.splitlines()
    assert head.startswith("Would separable be faster than standard?")
    assert "Nothing here was measured: " in " ".join(told.split())
    assert re.search(r"Separable would be (faster|slower|mixed) on predicted ", told)
    assert "\nPredicted speedup by channels" in told
    assert "\nSpeedup by channels" not in told
    ways = [
        line
        for line in told.splitlines()
        if re.search(r"  [\d.]+x \[", line) and not line.startswith(("mobilenet", "resnet", "vgg"))
    ]
    assert ways
    assert all("predicted " in line for line in ways)
    assert "rows measured" not in told
    assert "nothing measured" not in told
    assert "went into samples" not in told
    (count,) = re.findall(r"(\d+) rows predicted, not measured", told)
    assert int(count) > 20


def test_verdicts_read_would_be_and_confirm_nothing(foretold: tuple[Path, str], capsys: pytest.CaptureFixture[str]):
    folder, _ = foretold
    claims = json.loads((folder / "verdict.json").read_text())["claims"]
    seen = set()
    for claim in claims:
        for v in claim["verdicts"]:
            if claim["id"] in ("fewer_flops", "below_9x"):  # arithmetic needs no clock
                assert v["answer"] == "SUPPORTED"
            elif v["confirmatory"]:
                assert v["answer"] == "NOT MEASURED"
            else:
                assert v["answer"].startswith("WOULD ")
                assert v["predicted"] is True
                assert (v["p"], v["p_adjusted"]) == (None, None)
                assert v["why"].startswith("by the model, not by measurement")
                assert v["place"]["label"].startswith("predicted ")
                seen.add(claim["id"])
    assert seen >= {"cpu_3x", "gpu_no_gain", "gpu_led_by_layers", "device_by_block", "parallelism"}
    assert "memory" not in seen, "the model tells times alone"
    assert bench("verdict", str(folder)) == 0
    said = capsys.readouterr().out
    above, below = said.split("Predicted, not measured: ")
    assert "WOULD" not in above
    assert "predicted h100" not in above
    assert len(re.findall(r"WOULD|would", below)) >= len(seen)


def test_every_picture_is_hatched_and_has_the_word_in_its_title(foretold: tuple[Path, str]):
    pictures = sorted((foretold[0] / "plots").glob("*.svg"))
    assert {"speedup", "map", "delivery", "roofline", "depth", "networks", "ways", "claims"} <= {
        p.stem for p in pictures
    }
    for picture in pictures:
        svg = picture.read_text()
        assert "<pattern " in svg, picture.name
        title = re.search(r"<title>(.*?)</title>", svg, re.DOTALL)
        assert title is not None
        assert "predicted" in title[1].lower(), picture.name


def test_page_and_document_open_with_it(foretold: tuple[Path, str]):
    page = (foretold[0] / "report.html").read_text()
    alarm = re.search(r'<p class="alarm">(.*?)</p>', page)
    assert alarm is not None
    assert re.match(r"Nothing here was measured: \d+ rows of predicted .* are predicted by a model", alarm[1])
    model = json.loads((foretold[0] / "environment.json").read_text())["devices"]["sim:h100"]["prediction"]["model"]
    assert model not in page[page.index("<body") : page.index('id="claims"')]
    assert f"{model}, named by the hash of its parameters." in page
    assert f"<dd>predicted NVIDIA H100 SXM5 80 GB ({model})</dd>" in page
    assert "status-predicted" in page
    assert "predicted, not measured</summary>" in page
    (document,) = [
        line for line in report.text([run_folder.read(foretold[0])], "md").splitlines() if "Nothing here" in line
    ]
    assert re.match(r"\*\*Nothing here was measured: \d+ rows of predicted ", document)
    assert "are predicted by a model" in document
    section = (foretold[0] / "reproduction.md").read_text()
    assert re.search(r"\*\*Predicted, not measured:\*\* \d+ rows of predicted NVIDIA H100", section)
    assert "No GPU was measured in this run." in section
    assert "measured in" not in section.replace("measured in this run", "")


def test_the_first_screen_answers_what_was_not_measured_as_a_prediction(foretold: tuple[Path, str]):
    page = (foretold[0] / "report.html").read_text()
    first = page[page.index('id="verdicts"') : page.index('id="where"')]
    section = (foretold[0] / "reproduction.md").read_text()
    claims = json.loads((foretold[0] / "verdict.json").read_text())["claims"]
    for claim in (c for c in claims if c["id"] in ("cpu_3x", "gpu_no_gain", "gpu_led_by_layers", "device_by_block")):
        group = re.findall(rf"<tbody>(?:(?!</tbody>).)*{re.escape(claim['statement'])}.*?</tbody>", first, re.DOTALL)
        assert len(group) == 1, claim["id"]
        assert 'class="answer would-be">Would be ' in group[0]
        assert re.search(r"Not measured here: .*" + re.escape(claim["statement"][1:].rstrip(".")), first)
    assert "“Would be”: a model's word" in first
    for part in (part for part in section.split("\n## ")[1:] if "cpu" in part or "h100" in part):
        assert part.split(". ")[1].startswith("Not measured: "), "no prediction looks like a measured answer"
        assert {row.split("|")[2].startswith(" by a model: ") for row in part.splitlines() if row.startswith("| predicted")} == {True}  # fmt: skip
    would = sum(v.get("predicted", False) for c in claims for v in c["verdicts"])
    assert page.count(f"<figcaption>{would} answers are predicted and none is measured</figcaption>") == 1


def test_what_only_a_measurement_has_is_not_told_of_a_prediction(foretold: tuple[Path, str]):
    folder, _ = foretold
    page = (folder / "report.html").read_text()
    assert "torch" not in re.findall(r'<span class="what">(.*?)</span>', page)[0]
    assert "roofs that were measured" not in page
    for picture in (folder / "plots").glob("*.svg"):
        assert "minimum time" not in picture.read_text(), picture.name
        assert "torch 2" not in picture.read_text(), picture.name
    about = page[page.index('id="machine"') : page.index('id="rows"')]
    assert "No block ran on it or on the predicted device." in about
    assert "Math Kernel Library" not in about, "the host's libraries are none of the card's"
    assert "OMP_NUM_THREADS" not in about
    assert "would make this page too large" not in page
    section = (folder / "reproduction.md").read_text()
    assert "measured beside its baseline" not in section
    assert "this machine's measured FLOP/s" not in section
    assert "## How it was measured" not in section


def test_what_rests_on_the_assumed_host_says_so(foretold: tuple[Path, str]):
    folder, _ = foretold
    arms = pd.read_csv(folder / "measurements.csv")
    there = arms[
        (arms["device"] == "sim:h100") & (arms["mode"] == "eager") & (arms["batch"] == 1) & arms["bound"].notna()
    ]
    waiting = there[there["bound"] == "launch-bound"]
    assert len(waiting) > 0
    host = f"{len(waiting)} of {len(there)} arms last as long as the host needs to submit them, an assumed 15 us an operator"
    claims = json.loads((folder / "verdict.json").read_text())["claims"]
    every = [
        (c["id"], v["place"]["label"], v["why"])
        for c in claims
        for v in c["verdicts"]
        if v["answer"].startswith("WOULD")
    ]
    assert any(host in why for claim, _, why in every if claim == "gpu_no_gain")
    for claim, label, why in every:
        assert "the host needs" not in why or claim not in ("cpu_3x", "cpu_led_by_compute", "parallelism"), label
        assert "us an operator" not in why or "graph" not in label, "a replay is one call"
    page = (folder / "report.html").read_text()
    assert host in page[: page.index('id="evidence"')]
    layers = page[page.index('id="layers"') : page.index('id="claims"')]
    assert re.search(r"\d+ of \d+ arms last as long as the host needs to submit them", layers)


def test_the_page_says_how_far_off_the_model_was_and_where_it_is_worse(foretold: tuple[Path, str]):
    folder, _ = foretold
    page = (folder / "report.html").read_text()
    trust = page[page.index('id="quality"') : page.index('id="machine"')]
    assert trust.count("predicted, not measured") == 1, "that nothing was measured is said once"
    devices = json.loads((folder / "environment.json").read_text())["devices"]
    for device, kind in (("sim:h100", "GPU"), ("sim:server_cpu", "CPU")):
        said = devices[device]["prediction"]
        time, speedup = (f"x/÷ {math.exp(said[name]):.2f}" for name in ("time", "speedup"))
        assert f"{kind}s: 95 % of the model&#39;s times lay within {time}, " in trust
        assert f"of its speedups within {speedup}, on data left out of its fit" in trust
    for worse in ("in training and under torch.compile", "channels_last at fp32", "large batches of many channels"):
        assert worse in trust
    assert "docs/PREDICTION_FIT.md" in trust
    for device in ("h100", "server_cpu"):
        for figure, other in known()[device].disagree.items():
            assert f"<li>Sources disagree on the {figure} of predicted {device}: {other}.</li>" in trust
    assert trust.count("Sources disagree") == 3


def test_a_measured_half_stays_measured_beside_a_predicted_one(workers: None, tmp_path: Path, sketched, capsys):
    (tmp_path / "c.yaml").write_text(
        "name: both\ntiming: {processes_min: 2, processes_max: 2, seconds: 0.01, warmup_seconds: 0.01}\n"
        "experiments: {a: {blocks: [standard, separable], axes: {channels: [8, 16], size: 8, threads: 1}}}\n"
    )
    assert bench("run", str(tmp_path / "c.yaml"), "--device", "cpu,sim:a100", "--out", str(tmp_path / "run")) == 0
    said = capsys.readouterr().out
    pairs = pd.read_csv(tmp_path / "run" / "pairs.csv").set_index("device")
    assert set(pairs.loc["cpu", "status"]) <= {"ok", "noisy"}
    assert pairs.loc["cpu", "processes"].eq(2).all()
    assert set(pairs.loc["sim:a100", "status"]) == {"predicted"}
    samples = pd.read_csv(tmp_path / "run" / "samples.csv")
    assert len(samples)
    assert not samples["trial_id"].str.contains("sim").any()
    assert "of 2 rows noisy" in said
    assert re.search(r"2 rows of predicted NVIDIA A100 .* are\s+predicted\s+by a\s+model", said, re.DOTALL)
    assert "Nothing here was measured" not in said
    assert bench("report", str(tmp_path / "run"), "--format", "md") == 0
    said = capsys.readouterr().out
    assert re.search(r"\n\*\*2 rows of predicted NVIDIA A100 SXM4 40 GB \(.*\) are predicted by a model\.", said)
    assert "Nothing here was measured" not in said


def test_what_a_device_cannot_hold_is_a_row_that_says_so(workers: None, tmp_path: Path, sketched, capsys):
    (tmp_path / "c.yaml").write_text(
        "name: big\nexperiments: {a: {blocks: [standard, separable], axes: {channels: 512, size: 224, batch: [1, 512]}}}\n"
    )
    assert bench("run", str(tmp_path / "c.yaml"), "--device", "sim:t4", "--out", str(tmp_path / "run")) == 1
    pairs = pd.read_csv(tmp_path / "run" / "pairs.csv").set_index("batch")
    assert pairs["status"].to_dict() == {1: "predicted", 512: "oom"}
    assert "oom: it is predicted that the device could not hold it: Tried" in capsys.readouterr().err
    assert pairs["status_detail"][512].startswith(
        "it is predicted that the device could not hold it: Tried to allocate "
    )
    assert "simgpu" not in pairs["status_detail"][512]
    assert "measured" not in pairs["status_detail"][512]


def test_a_run_that_a_predicted_device_could_not_hold_is_marked_as_unmeasured(
    workers: None, tmp_path: Path, sketched, capsys
):
    (tmp_path / "c.yaml").write_text(
        "name: big\nexperiments: {a: {blocks: [standard, separable], axes: {channels: 512, size: 224, batch: [256, 512]}}}\n"
    )
    assert bench("run", str(tmp_path / "c.yaml"), "--device", "sim:t4", "--out", str(tmp_path / "run")) == 1
    alarm = re.search(r'<p class="alarm">(.*?)</p>', (tmp_path / "run" / "report.html").read_text())
    assert alarm is not None
    assert alarm[1].startswith("Nothing here was measured: 2 rows of predicted NVIDIA T4 should be predicted")
    capsys.readouterr()
    assert bench("report", str(tmp_path / "run"), "--format", "md") == 0
    assert "**Nothing here was measured: 2 rows of predicted NVIDIA T4 (" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ["run", "c.yaml", "--device", "sim:foo"],
            r"predicted device: 'sim:foo': no such device\. Known devices: sim:t4, .*sim:h100",
        ),
        (["plan", "c.yaml", "--device", "cpu,sim:h10"], r"'sim:h10': no such device\. Did you mean sim:h100\?"),
        (["run", "c.yaml", "--device", "my.yaml#card"], r"no such device\. Did you mean sim:my\.yaml#card\?"),
        (["run", "c.yaml", "--device", "h100"], r"no such device\. Did you mean sim:h100\?"),
        (["aa", "--device", "sim:h100"], r"sim:h100: a prediction has no noise to test"),
        (["run", "--resume", "run", "--device", "sim:h100"], r"--resume run: a run continues as it was planned"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(words, line, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.yaml").write_text(CONFIG)
    assert bench(*words) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert re.search(line, said), said


def test_a_run_goes_on_by_the_model_that_it_began_with(
    workers: None, foretold: tuple[Path, str], tmp_path: Path, monkeypatch
):
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("plan.json", "journal.jsonl", "environment.json"):
        (folder / name).write_bytes((foretold[0] / name).read_bytes())
    runner.resume(folder, lambda _: None)
    (folder / "DONE").unlink()
    monkeypatch.setattr("bench.spec.model.model_parameters.model_name", lambda: "another model")
    with pytest.raises(UserError, match=r"it was predicted by .*, here it is another model") as refused:
        runner.resume(folder, lambda _: None)
    assert "\n" not in str(refused.value)


OWN = """
name: own
experiments:
  a:
    blocks: [standard, {import: "tests.own_blocks:BLOCK"}]
    axes: {channels: [16, 64], size: 14}
"""


def test_blocks_of_ones_own_are_looked_at_by_a_worker_once_and_a_run_goes_on_from_there(
    workers: None, tmp_path: Path, sketched
):
    (tmp_path / "c.yaml").write_text(OWN.replace("BLOCK", "thin"))
    assert bench("run", str(tmp_path / "c.yaml"), "--device", "sim:t4", "--out", str(tmp_path / "run")) == 0
    arms = pd.read_csv(tmp_path / "run" / "measurements.csv")
    assert set(arms["status"]) == {"predicted"}
    assert set(arms.loc[arms["block"] == "thin", "cost_source"]) == {"counted by hooks"}
    journal = tmp_path / "run" / "journal.jsonl"
    records = [json.loads(line) for line in journal.read_text().splitlines()]
    assert [r["kind"] for r in records if r["type"] == "start"] == ["inspect"], "times need no worker"
    kept = [r for r in records if r["type"] in ("run", "start", "inspect")]
    journal.write_text("".join(json.dumps(r) + "\n" for r in kept))
    (tmp_path / "run" / "DONE").unlink()
    assert bench("run", "--resume", str(tmp_path / "run"), "--trust") == 0
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "run" / "measurements.csv"), arms)


def test_a_predicted_run_that_could_not_import_a_block_ends_before_it_begins(workers: None, tmp_path: Path, capsys):
    (tmp_path / "c.yaml").write_text(OWN.replace("BLOCK", "thinn"))
    assert bench("run", str(tmp_path / "c.yaml"), "--device", "sim:t4", "--out", str(tmp_path / "run")) == 2
    assert "tests.own_blocks:thinn: there is no thinn in tests.own_blocks" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
