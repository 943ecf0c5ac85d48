"""What the fitted model says of devices, what it says of itself, and bench predict."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest

from bench import cli
from bench.analyse.predict import crossover_map
from bench.spec.blocks.blocks import BlockChoice, Shape, build
from bench.spec.blocks.kernels import of_block
from bench.spec.devices.device_entries import DISPATCH_S, FLOOR_S, LAUNCH_S
from bench.spec.devices.predicted_devices import find_device
from bench.spec.model import kernel_model, model_parameters

ROOT = Path(__file__).resolve().parents[1]
STRONG = ("a100", "h100", "h200", "rtx4090")


def block(device, name, channels, size, batch, mode, dtype="fp32"):
    made = build(BlockChoice(name), Shape(channels, channels, size, size, batch=batch))
    return kernel_model.call_seconds(find_device(device), of_block(made, size, size, batch, dtype), mode)


def speedup(device, *shape, **how):
    return block(device, "standard", *shape, **how).wall_s / block(device, "separable", *shape, **how).wall_s


def network(device, name, batch=1024, dtype="fp16"):
    made = of_block(build(BlockChoice(name), Shape(3, 1000, 224, 224, batch=batch)), 224, 224, batch, dtype)
    return kernel_model.call_seconds(device, made).wall_s


# ---------------------------------------------------------------- what published measurements say, unforced


@pytest.mark.parametrize("device", STRONG)
@pytest.mark.parametrize("channels", [32, 64, 128])
def test_one_image_eager_on_a_strong_gpu_is_the_hosts_and_separable_loses_or_ties(device, channels):
    call = block(device, "separable", channels, 28, 1, "eager")
    assert call.host_s > 1.2 * call.device_s
    assert speedup(device, channels, 28, 1, mode="eager") < 1.05


@pytest.mark.parametrize("device", STRONG)
def test_a_graph_takes_the_host_out_of_it(device):
    eager, graph = (block(device, "separable", 128, 28, 1, mode) for mode in ("eager", "graph"))
    assert graph.wall_s < 0.6 * eager.wall_s
    assert graph.wall_s == graph.device_s
    assert speedup(device, 128, 28, 1, mode="graph") > speedup(device, 128, 28, 1, mode="eager")


@pytest.mark.parametrize("name", ["mobilenet_v1", "mobilenet_v2"])
@pytest.mark.parametrize("device", ["rtx4090", "h100"])
def test_in_large_batches_activations_rule(device, name):
    card = find_device(device)
    twice_the_bytes = replace(
        card, memory_bytes_per_s=2 * card.memory_bytes_per_s, cache_bytes_per_s=2 * card.cache_bytes_per_s
    )
    twice_the_flops = replace(card, peak={dtype: 2 * rate for dtype, rate in card.peak.items()})
    now = network(card, name)
    assert network(twice_the_bytes, name) < 0.7 * now
    assert network(twice_the_flops, name) > 0.85 * now


def test_a_weak_gpu_behaves_like_a_cpu():
    weak, strong, cpu = (speedup(d, 256, 28, 1, mode="eager") for d in ("jetson_orin_nano", "h100", "desktop_cpu"))
    assert weak > 1.3
    assert strong < 0.8
    assert cpu > 1.3


def test_mobilenet_v2_does_not_beat_resnet_18_on_a_4090_in_a_large_batch():
    assert network(find_device("rtx4090"), "mobilenet_v2") > network(find_device("rtx4090"), "resnet18")


# ---------------------------------------------------------------- the file of the fit


def test_the_file_holds_the_parameters_that_are_free_and_no_others():
    free = {name for name, one in model_parameters.PRIOR.items() if one.spread}
    assert set(model_parameters.fit_result()["parameters"]) == free
    assert all(value > 0 for value in model_parameters.fit_result()["parameters"].values())


def test_no_share_of_a_peak_or_of_a_bandwidth_is_beyond_all_of_it():
    for name, value in model_parameters.fit_result()["parameters"].items():
        if ".move." in name or ".cache.share" in name or ".compute." in name:
            assert value <= 1.1, name  # a little above 1 where a card's clock is above that of its peak


def test_the_intervals_are_no_narrower_than_what_was_left_out_asks_for():
    for kind, errors in model_parameters.fit_result()["errors"].items():
        medians = [
            s["times"]["source left out"]["median"]
            for s in model_parameters.fit_result()["scores"]
            if s["kind"] == kind
        ]
        assert errors["time"] > max(medians)
        assert errors["speedup"] > 0


def test_the_examples_of_the_page_are_devices(tmp_path):
    page = (ROOT / "docs" / "PREDICTION.md").read_text(encoding="utf-8")
    file = tmp_path / "my_devices.yaml"
    file.write_text(re.search(r"```yaml\n(.*?)```", page, re.DOTALL)[1], encoding="utf-8")
    card, host = find_device(f"sim:{file}#my_card"), find_device(f"sim:{file}#our_host")
    assert card.title == "The card in our lab"
    assert (card.dispatch_s, card.launch_s, card.floor_s) == (DISPATCH_S, LAUNCH_S, FLOOR_S), "what the page says"
    us = [f"{seconds * 1e6:.0f} us" for seconds in (DISPATCH_S, LAUNCH_S, FLOOR_S)]
    assert f"`dispatch_s` {us[0]}, `launch_s` {us[1]}, `floor_s` (the least time of a kernel) {us[2]}" in page
    assert f'"{host.title}"' in page
    assert (host.units, host.dispatch_s) == (find_device("rtx5090").units, 25e-6)


def test_the_page_reads_a_host_off_a_run(capsys):
    page = (ROOT / "docs" / "PREDICTION.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", page, re.DOTALL)[1]
    assert "results/latest" in code
    exec(
        code.replace("results/latest", str(ROOT / "results" / "reference" / "h100-16-cores")), {}
    )  # the page's own lines
    assert float(capsys.readouterr().out) == pytest.approx(21e-6, rel=0.1)


# ---------------------------------------------------------------- bench predict


def bench(capsys, *words):
    with pytest.raises(SystemExit) as left:
        cli.main(["predict", *words])
    told = capsys.readouterr()
    return left.value.code, told.out, told.err


def test_crossover_says_that_it_is_predicted_in_words_data_and_picture(tmp_path, capsys):
    asked = ["crossover", "--device", "sim:a100", "--channels", "16,256", "--batch", "1,64", "--out", str(tmp_path)]
    status, said, _ = bench(capsys, *asked)
    assert status == 0
    assert "PREDICTED for NVIDIA A100" in said
    assert "nothing was measured" in said
    svg = (tmp_path / "predicted-crossover-a100.svg").read_text(encoding="utf-8")
    assert "not measured" in svg
    assert (tmp_path / "predicted-crossover-a100.png").stat().st_size > 10_000
    memory = "the 80 GB card has 2,039 GB/s"
    assert f"\nSources disagree on the memory_bytes_per_s of NVIDIA A100 SXM4 40 GB: {memory}.\n" in said
    _, text, _ = bench(capsys, *asked, "--json")
    data = json.loads(text)
    assert data["status"] == "predicted"
    assert data["disagree"]["memory_bytes_per_s"] == memory
    assert data["error_of"] == "ln(speedup), half of its 95 % interval"
    assert f"within a factor of {math.exp(data['error']):.2g} of what was predicted" in said
    assert {(c["mode"], c["batch"], c["channels"]) for c in data["cells"]} == {
        (mode, b, c) for mode in ("eager", "graph") for b in (1, 64) for c in (16, 256)
    }


def test_a_device_of_ones_own_named_as_a_built_in_one_has_pictures_of_its_own(tmp_path, capsys):
    figures = "units: 9, clock_hz: 1e9, peak: {fp32: 1e12}, memory_bytes_per_s: 1e11, memory_bytes: 8e9, cache_bytes: 2e6, cache_bytes_per_s: 4e11"
    keys = [pair.split(":")[0] for pair in figures.split(", ")]
    sources = ", ".join(f"{key}: a page" for key in keys)
    path = tmp_path / "my.yaml"
    path.write_text(f"devices: {{a100: {{title: A card, kind: gpu, {figures}, sources: {{{sources}}}}}}}\n")
    asked = ["crossover", "--channels", "8", "--batch", "1", "--out", str(tmp_path), "--device"]
    for device, picture, title in (
        ("sim:a100", "predicted-crossover-a100", "NVIDIA A100 SXM4 40 GB"),
        (f"sim:{path}#a100", f"predicted-crossover-{find_device(f'{path}#a100').slug}", "A card (a100 of my.yaml)"),
    ):
        _, said, _ = bench(capsys, *asked, device)
        assert f"PREDICTED for {title}: nothing was measured" in said
        assert said.endswith(f"picture: {tmp_path / picture}.png\n")
        svg = " ".join((tmp_path / f"{picture}.svg").read_text().split())
        assert re.search(
            rf"<title>Separable would be faster in \d of \d cells on predicted {re.escape(title)}</title>", svg
        )
        assert "not measured" in svg
    _, text, _ = bench(capsys, *asked, f"sim:{path}#a100", "--json")
    assert (json.loads(text)["device"], json.loads(text)["device_origin"]) == ("a100", "my.yaml")
    other = tmp_path / "other" / "my.yaml"
    other.parent.mkdir()
    other.write_text(path.read_text().replace("memory_bytes_per_s: 1e11", "memory_bytes_per_s: 2e11"))
    again, first, second = (bench(capsys, *asked, f"sim:{p}#a100")[1].splitlines()[-1] for p in (path, path, other))
    assert again == first
    assert re.fullmatch(r"picture: .*/predicted-crossover-my-a100-[0-9a-f]{6}\.png", second)
    assert first != second, "a file of one name in another folder would overwrite its picture"
    assert all(Path(line.removeprefix("picture: ")).is_file() for line in (first, second))


def test_a_map_of_a_processor_has_no_graph_and_refuses_one_in_the_words_of_a_run(capsys):
    asked = ["crossover", "--device", "sim:server_cpu", "--channels", "8", "--batch", "1"]
    _, text, _ = bench(capsys, *asked, "--json")
    assert [cell["mode"] for cell in json.loads(text)["cells"]] == ["eager"]
    status, said, error = bench(capsys, *asked, "--mode", "eager,graph")
    assert (status, said) == (2, "")
    assert error == "bench: --mode: 'graph': predicted server_cpu has no graphs to replay. Take eager or compile.\n"


@pytest.mark.parametrize(
    ("device", "mode", "warned"),
    [("a100", "compile", True), ("a100", "eager,compile", True), ("a100", "", False), ("server_cpu", "compile", False)],
)
def test_a_map_of_compiled_calls_on_a_gpu_says_how_far_off_it_is(tmp_path, capsys, device, mode, warned):
    asked = ["crossover", "--device", f"sim:{device}", "--channels", "8", "--batch", "1", "--out", str(tmp_path)]
    _, said, _ = bench(capsys, *asked, *(["--mode", mode] if mode else []))
    assert ("\ncompile: on a GPU small blocks are predicted three times too fast" in said) is warned
    svg = (tmp_path / f"predicted-crossover-{device}.svg").read_text(encoding="utf-8")
    assert ("three times too fast" in " ".join(re.sub("<[^>]*>", "", svg).split())) is warned
    assert not warned or "is predicted three times too fast for small blocks" in (
        ROOT / "docs" / "PREDICTION.md"
    ).read_text(encoding="utf-8")


def test_a_cell_within_the_models_error_is_undecided():
    told_host = crossover_map.on_host(find_device("a100"), 15)
    found = crossover_map.mapped(told_host)
    assert (found.error, found.host) == (model_parameters.fit_result()["errors"]["gpu"]["speedup"], 1)
    assert {cell.state for cell in found.points} == {"faster", "slower", "undecided"}
    for cell in found.points:
        beyond = abs(math.log(cell.speedup)) > found.error
        assert (cell.state == "undecided") is not beyond
        if beyond:
            assert cell.state == ("faster" if cell.speedup > 1 else "slower")


@pytest.mark.parametrize("name", ["t4", "rtx5090", "h100"])
def test_no_cell_is_decided_that_a_host_of_15_to_60_us_an_operator_would_turn(name):
    usual = crossover_map.mapped(find_device(name))
    assert usual.host == 4
    for us in (15, 30, 45, 60):
        there = crossover_map.mapped(crossover_map.on_host(find_device(name), us))
        for mine, other in zip(usual.points, there.points, strict=True):
            assert (mine.mode, mine.batch, mine.channels) == (other.mode, other.batch, other.channels)
            if mine.state != "undecided":
                assert mine.state == ("faster" if other.speedup > 1 else "slower")
                assert abs(math.log(other.speedup)) > 0.5, "nor brought near to 1x"
    asked = {c.state for c in crossover_map.mapped(crossover_map.on_host(find_device(name), 15)).points}
    assert asked == {"faster", "slower", "undecided"}


def test_a_host_that_is_told_is_said_and_allows_for_no_other(tmp_path, capsys):
    asked = ["crossover", "--device", "sim:t4", "--channels", "256", "--batch", "1", "--out", str(tmp_path)]
    _, said, _ = bench(capsys, *asked)
    assert "host: 15 us an operator, and ? allows for up to 60: give yours by --host-us" in said
    _, said, _ = bench(capsys, *asked, "--host-us", "50")
    assert "host: 50 us an operator\n" in said
    assert "0.56x h" in said
    _, text, _ = bench(capsys, *asked, "--host-us", "50", "--json")
    assert (json.loads(text)["host_us_per_operator"], json.loads(text)["host_may_be_slower"]) == (50, 1)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["crossover", "--device", "sim:a10"], "'sim:a10': no such device. Did you mean sim:a100?"),
        (["crossover"], "--device: it is missing. Write sim:a100, or measure with bench run."),
        (["crossover", "--device", "cuda"], "--device: 'cuda': it is not a predicted device."),
        (["crossover", "--device", "my.yaml#card"], "it is not a predicted device. Write sim:my.yaml#card, or measure"),
        (["crossover", "--device", "H100"], "it is not a predicted device. Write sim:h100, or measure"),
        (["crossover", "--device", "sim:a100,sim:h100"], "a map is of one device. Write one, as sim:a100."),
        (["crossover", "--device", "sim:a100", "--mode", "egar"], "--mode: 'egar': no such mode."),
        (["crossover", "--device", "sim:t4", "--dtype", "bf16"], "sim:t4: no peak is known for bf16."),
        (["crossover", "--device", "sim:a100", "--channels", "8,x"], "--channels: '8,x': these are not whole numbers."),
        (["crossover", "--device", "sim:a100", "--host-us", "0"], "--host-us: 0.0: it is not from 0.5 to 2000."),
        (["crossover", "--device", "sim:server_cpu", "--host-us", "9"], "--host-us: 9.0: a CPU is its own host."),
        (["crossover", "--device", "sim:a100", "--kernel", "4"], "--kernel: 4: it is even"),
        (
            ["crossover", "--device", "sim:a100", "--batch", "0"],
            "--batch: 0: it is below 1. Give a whole number from 1 to 65536.",
        ),
        (["crossover", "--device", "3090"], "it is not a predicted device. Write sim:rtx3090, or measure"),
        (["crossover", "--device", "100"], "it is not a predicted device. Write sim:a100, or measure"),
        (
            ["crossover", "--device", "sim:t4", "--dtype", "half"],
            "--dtype: 'half': no such dtype. Known dtypes: fp64, fp32, fp32-tf32, bf16, fp16.",
        ),
        (["crossover", "--device", "sim:t4", "--dtype", "FP16"], "--dtype: 'FP16': no such dtype. Did you mean fp16?"),
        (
            ["crossover", "--device", "sim:a100", "--layout", "nchw"],
            "--layout: 'nchw': it is not one of the known words. Write contiguous or channels_last.",
        ),
    ],
)
def test_a_mistake_is_one_line_and_status_2(capsys, words, line):
    status, said, error = bench(capsys, *words)
    assert (status, said) == (2, "")
    assert line in error
    assert error.count("\n") == 1
