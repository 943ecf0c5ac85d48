"""The table of devices that times are predicted for, and what a user's own file may say."""

import re
import statistics
from dataclasses import replace
from importlib.resources import as_file, files

import pytest

from bench.spec.devices import predicted_devices
from bench.spec.devices.device_entries import TABLE, in_file
from bench.spec.errors import UserError

MINE = """\
devices:
  mine:
    title: My card
    kind: gpu
    units: 10
    clock_hz: 1e9
    peak: {fp32: 1e12, fp16: 8e12}
    memory_bytes_per_s: 100e9
    memory_bytes: 8e9
    cache_bytes: 2e6
    cache_bytes_per_s: 400e9
    sources: {units: a page, clock_hz: a page, peak: a page, memory_bytes_per_s: a page, memory_bytes: a page,
      cache_bytes: a page, cache_bytes_per_s: estimate}
"""


@pytest.fixture
def mine(tmp_path):
    def write(text=MINE):
        path = tmp_path / "mine.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_the_devices_of_the_issue_are_there():
    asked = {"t4", "v100", "rtx2080ti", "rtx3090", "rtx4090", "a100", "l4", "h100", "h200", "jetson_orin_nano"}
    assert asked | {"desktop_cpu", "server_cpu"} <= set(predicted_devices.known())


@pytest.mark.parametrize("name", predicted_devices.known())
def test_figures_of_a_device_agree_with_each_other(name):
    device = predicted_devices.find_device(f"sim:{name}")
    assert device.cache_bytes < device.memory_bytes
    assert device.cache_bytes_per_s > device.memory_bytes_per_s
    a_clock = device.peak["fp32"] / device.units / device.clock_hz  # FLOP of a unit in a clock: 2 for each fp32 lane
    assert a_clock == pytest.approx({"gpu": 256}.get(device.kind, 64), rel=0.55)
    assert device.peak.get("fp16", device.peak["fp32"]) >= device.peak["fp32"]


def test_a_file_of_the_users_adds_devices(mine):
    device = predicted_devices.find_device(f"sim:{mine()}#mine")
    assert (device.title, device.units, device.tensor("fp16"), device.tensor("fp32")) == ("My card", 10, True, False)


def refused_in_a_line(mine, text, old, new, name, told):
    """That the file with `new` for `old` is refused, and in which words."""
    assert old in text
    with pytest.raises(UserError) as caught:
        predicted_devices.find_device(f"sim:{mine(text.replace(old, new))}#{name}")
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.fault(
    "configs", "a file of predicted devices has a mistake",
    "one line names its place",
)  # fmt: skip
@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("units: 10", "units: 0", "mine.yaml:5: devices.mine.units: 0: it is below 1."),
        ("    units: 10\n", "    unit: 10\n", "mine.yaml:5: devices.mine.unit: no such key. Did you mean units?"),
        ("fp32: 1e12, ", "", "mine.yaml:2: devices.mine: peak has no fp32."),
        ("clock_hz: a page, ", "", "a figure has no source. Write it under sources, or the word estimate: clock_hz."),
        ("clock_hz: a page", "clock_hz: a page, glock: x", "glock is no figure of this device."),
        ("fp16: 8e12", "int8: 8e12", "mine.yaml:7: devices.mine.peak.int8"),
        ("100e9", "450", "mine.yaml:8: devices.mine.memory_bytes_per_s: 450: it is below 1e8. Write bytes/s, as 450e9"),
        ("100e9", "450e3", "450000.0: it is below 1e8. Write bytes/s, as 450e9 for 450 GB/s."),
        ("400e9", "1270", "devices.mine.cache_bytes_per_s: 1270: it is below 1e8. Write bytes/s, as 450e9"),
        (
            "1e12",
            "20",
            "mine.yaml:7: devices.mine.peak.fp32: 20: it is below 1e8. Write FLOP/s by dtype, as {fp32: 20e12}",
        ),
        (
            "8e12",
            "65000",
            "devices.mine.peak.fp16: 65000: it is below 1e8. Write FLOP/s by dtype, as {fp32: 20e12} for 20",
        ),
        ("1e9", "1800", "mine.yaml:6: devices.mine.clock_hz: 1800: it is below 1e7. Write Hz, as 1.8e9 for 1,800 MHz."),
        ("1e9", "1.8", "devices.mine.clock_hz: 1.8: it is below 1e7. Write Hz"),
        ("8e9", "12", "devices.mine.memory_bytes: 12: it is below 1e8. Write bytes, as 12e9 for 12 GB."),
        ("8e9", "24576", "devices.mine.memory_bytes: 24576: it is below 1e8. Write bytes"),
        ("2e6", "4", "devices.mine.cache_bytes: 4: it is below 100000. Write bytes, as 4e6 for 4 MB."),
        ("2e6", "40960", "devices.mine.cache_bytes: 40960: it is below 100000. Write bytes"),
        (
            "    sources: {",
            "    launch_s: 5\n    sources: {launch_s: a page, ",
            "launch_s: 5: it is not below 0.002. Write seconds, as",
        ),
        (
            "    sources: {",
            "    floor_s: 0.005\n    sources: {floor_s: a page, ",
            "floor_s: 0.005: it is not below 0.002. Write",
        ),
        (
            "    sources: {",
            "    unit_bytes_per_s: 14\n    sources: {unit_bytes_per_s: a page, ",
            "14: it is below 1e8. Write bytes/s",
        ),
    ],
)
def test_a_mistake_in_the_file_is_one_line_that_names_its_place(mine, old, new, told):
    refused_in_a_line(mine, MINE, old, new, "mine", told)


CARD = """\
devices:
  card:
    title: RTX 4070
    kind: gpu
    units: 46
    clock_hz: 2.475e9
    peak: {fp32: 29.1e12, fp16: 58.2e12}
    memory_bytes_per_s: 504e9
    memory_bytes: 12e9
    cache_bytes: 36e6
    cache_bytes_per_s: 1.8e12
    sources: {units: p, clock_hz: p, peak: p, memory_bytes_per_s: p, memory_bytes: p, cache_bytes: p, cache_bytes_per_s: p}
"""


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            "units: 46",
            "units: 5888",
            (
                "mine.yaml:5: devices.card.units: 5888: that makes 2.0 FLOP a clock and unit in fp32, where known GPUs have 127 to 256. "
                "Units are a GPU's multiprocessors (SMs), not its cores; of a CPU they are its cores."
            ),
        ),
        (
            "29.1e12",
            "29.1e9",
            (
                "mine.yaml:7: devices.card.peak.fp32: 29100000000.0: that makes 0.26 FLOP a clock and unit in fp32, where known "
                "GPUs have 127 to 256. Write FLOP/s by dtype, as {fp32: 20e12} for 20 TFLOP/s."
            ),
        ),
        ("29.1e12", "29.1e15", "devices.card.peak.fp32: 2.91e+16: that makes 255,599 FLOP a clock and unit"),
        ("2.475e9", "2.475e7", "mine.yaml:6: devices.card.clock_hz: 24750000.0: that makes 25,560 FLOP a clock"),
        (
            "504e9",
            "504e6",
            (
                "mine.yaml:8: devices.card.memory_bytes_per_s: 504000000.0: the cache's rate is 3,571 times the memory's rate, "
                "where known GPUs have 1.2 to 6.0. Write bytes/s, as 450e9 for 450 GB/s."
            ),
        ),
        ("504e9", "504e10", "mine.yaml:8: devices.card.memory_bytes_per_s: 5040000000000.0: the cache's rate is 0.36"),
        ("1.8e12", "1.8e9", "mine.yaml:11: devices.card.cache_bytes_per_s: 1800000000.0: the cache's rate is 0.0036"),
        ("1.8e12", "1.8e15", "mine.yaml:11: devices.card.cache_bytes_per_s: 1800000000000000.0: the cache's rate is"),
        (
            "58.2e12",
            "58.2e9",
            "mine.yaml:7: devices.card.peak.fp16: 58200000000.0: it is 0.0020 times the peak of fp32.",
        ),
        ("36e6", "36e9", "mine.yaml:10: devices.card.cache_bytes: 36000000000.0: its cache is not smaller than its"),
    ],
)
def test_figures_that_no_device_has_together_are_one_line_that_names_the_wrong_one(mine, old, new, told):
    assert predicted_devices.find_device(f"sim:{mine(CARD)}#card").units == 46
    path = mine(CARD.replace(old, new))
    with pytest.raises(UserError) as caught:
        predicted_devices.find_device(f"sim:{path}#card")
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_processors_giga_for_tera_is_found_too(mine):
    text = CARD.replace("gpu", "cpu").replace("46", "16").replace("29.1e12, fp16: 58.2e12", "2e9")
    with pytest.raises(
        UserError, match=r"peak\.fp32: 2000000000\.0: that makes 0\.051 FLOP .* known CPUs have 32 to 64\."
    ):
        predicted_devices.find_device(f"sim:{mine(text)}#card")


def untold(text):
    return text.replace("    cache_bytes_per_s: 1.8e12\n", "").replace(", cache_bytes_per_s: p", "")


@pytest.mark.parametrize(("kind", "bytes_a_clock"), [("gpu", 16), ("cpu", 12)])
def test_a_cache_whose_rate_is_not_told_is_taken_to_have_what_known_ones_have(mine, kind, bytes_a_clock):
    card = predicted_devices.find_device(f"sim:{mine(untold(CARD).replace('gpu', kind))}#card")
    assert card.cache_bytes_per_s == pytest.approx(bytes_a_clock * 46 * 2.475e9)
    assert card.sources["cache_bytes_per_s"] == f"estimate, {bytes_a_clock} bytes a clock and unit"
    have = [d.cache_bytes_per_s / d.units / d.clock_hz for d in predicted_devices.known().values() if d.kind == kind]
    assert min(have) < bytes_a_clock < max(have)
    assert bytes_a_clock == pytest.approx(statistics.median(have), rel=0.2)


def test_a_wrong_clock_is_named_where_the_caches_rate_rests_on_it(mine):
    with pytest.raises(UserError, match=r"mine\.yaml:6: devices\.card\.clock_hz: 24750000\.0: that makes"):
        predicted_devices.find_device(f"sim:{mine(untold(CARD).replace('2.475e9', '2.475e7'))}#card")


def test_an_estimated_cache_is_no_slower_than_memory_and_a_memory_far_faster_is_refused(mine):
    fast = predicted_devices.find_device(f"sim:{mine(untold(CARD).replace('504e9', '3e12'))}#card")
    assert fast.cache_bytes_per_s == 3e12
    assert fast.sources["cache_bytes_per_s"] == "estimate, as its memory (16 bytes a clock and unit would be less)"
    for wrong, told in (
        ("504e10", "5040000000000.0: it is 2.8 times the estimated rate of its cache (16 bytes a clock and unit)."),
        ("504e6", "504000000.0: the cache's rate is 3,614 times the memory's rate"),
    ):
        with pytest.raises(UserError) as caught:
            predicted_devices.find_device(f"sim:{mine(untold(CARD).replace('504e9', wrong))}#card")
        assert f"mine.yaml:8: devices.card.memory_bytes_per_s: {told}" in str(caught.value)
    told = (
        untold(CARD)
        .replace("504e9", "504e10")
        .replace("    sources: {", "    cache_bytes_per_s: 9e12\n    sources: {cache_bytes_per_s: p, ")
    )
    assert predicted_devices.find_device(f"sim:{mine(told)}#card").cache_bytes_per_s == 9e12


LIKE = """\
devices:
  our_host:
    like: rtx5090
    dispatch_s: 30e-6
    sources: {dispatch_s: measured}
"""


def test_a_device_like_one_of_the_table_differs_by_what_it_says_itself(mine):
    ours, theirs = predicted_devices.find_device(f"sim:{mine(LIKE)}#our_host"), predicted_devices.find_device("rtx5090")
    assert ours.sources.pop("dispatch_s") == "measured"
    assert ours == replace(
        theirs, name="our_host", title="NVIDIA GeForce RTX 5090, as our_host", dispatch_s=30e-6, origin="mine.yaml"
    )
    titled = predicted_devices.find_device(
        f"sim:{mine(LIKE.replace('like', 'title: Ours' + chr(10) + '    like'))}#our_host"
    )
    assert titled.title == "Ours"
    only = predicted_devices.find_device(f"sim:{mine('devices: {it: {like: t4}}')}#it")
    assert (only.units, only.peak) == (40, predicted_devices.find_device("t4").peak)


def test_a_peak_of_ones_own_replaces_all_of_the_tables(mine):
    text = LIKE.replace("dispatch_s: 30e-6", "peak: {fp32: 110e12}").replace("dispatch_s: m", "peak: m")
    card = predicted_devices.find_device(f"sim:{mine(text)}#our_host")
    assert (card.peak, card.sources["peak"]) == ({"fp32": 110e12}, "measured")
    assert "peak" not in card.disagree


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("rtx5090", "rtx509", "mine.yaml:3: devices.our_host.like: 'rtx509': no such device. Did you mean rtx5090?"),
        ("rtx5090", "zzz", "mine.yaml:3: devices.our_host.like: 'zzz': no such device. Known devices: t4, v100,"),
        ("like: rtx5090", "like: [a]", "mine.yaml:3: devices.our_host.like: ['a']: no such device."),
        (
            "    like",
            "    kind: cpu\n    like",
            "mine.yaml:3: devices.our_host.kind: 'cpu': rtx5090 is a gpu. Remove kind",
        ),
        ("{dispatch_s: measured}", "{}", "a figure has no source. Write it under sources, or the word estimate: dispa"),
        (
            "{dispatch_s: measured}",
            "none",
            "mine.yaml:5: devices.our_host.sources: 'none': it is not a mapping of keys.",
        ),
        (
            "{dispatch_s",
            "{units: p, dispatch_s",
            "mine.yaml:5: devices.our_host.sources.units: this entry does not give that figure",
        ),
        ("dispatch_s: 30e-6", "dispatch_s: 30", "mine.yaml:4: devices.our_host.dispatch_s: 30: it is not below 0.002."),
        ("like", "lke", "mine.yaml:3: devices.our_host.lke: no such key. Did you mean like?"),
        (
            "dispatch_s: 30e-6\n    sources: {dispatch_s",
            "units: 21760\n    sources: {units",
            "mine.yaml:4: devices.our_host.units: 21760: that makes 2.0 FLOP a clock and unit",
        ),
        (
            "dispatch_s: 30e-6\n    sources: {dispatch_s",
            "clock_hz: 2e7\n    sources: {clock_hz",
            "mine.yaml:4: devices.our_host.clock_hz: 20000000.0: that makes 30,824 FLOP a clock and unit",
        ),
    ],
)
def test_a_mistake_in_a_device_like_another_is_one_line_too(mine, old, new, told):
    refused_in_a_line(mine, LIKE, old, new, "our_host", told)


def test_the_tables_own_devices_are_possible():
    with as_file(files("bench.spec.devices") / TABLE) as path:
        assert set(in_file(path)) == set(predicted_devices.known())


@pytest.mark.parametrize(
    "figures",
    [
        "gpu 1 921e6 {fp32:236e9} 25.6e9 4e9 256e3 60e9",  # NVIDIA Jetson Nano
        "cpu 4 1.5e9 {fp32:48e9} 4e9 1e9 1e6 20e9",  # Raspberry Pi 4
        "cpu 1 1e9 {fp32:1e9} 1.5e9 512e6 128e3 2e9",  # Raspberry Pi Zero
        "gpu 8 500e6 {fp32:32e9} 4e9 4e9 128e3 8e9",  # its VideoCore VI
        "gpu 304 2.1e9 {fp32:163.4e12} 5.3e12 192e9 256e6 17e12",  # AMD MI300X
        "gpu 148 1.965e9 {fp32:75e12} 8e12 180e9 126e6 20e12",  # NVIDIA B200
        "gpu 512 2.1e9 {fp32:17.2e12} 560e9 16e9 16e6 4e12",  # Intel A770, by its vector engines
        "cpu 10 3.2e9 {fp32:2.9e12} 400e9 64e9 48e6 900e9",  # Apple M1 Max, with AMX
        "cpu 192 3.5e9 {fp32:43e12} 576e9 768e9 384e6 40e12",  # EPYC 9965
        "cpu 8 1.6e9 {fp32:4.9e12} 1.53e12 48e9 16e6 3e12",  # NEC SX-Aurora
    ],
)
def test_a_device_that_there_is_is_taken_however_small_or_odd(mine, figures):
    text = MINE.replace(", fp16: 8e12", "")
    keys = (
        "kind",
        "units",
        "clock_hz",
        "peak",
        "memory_bytes_per_s",
        "memory_bytes",
        "cache_bytes",
        "cache_bytes_per_s",
    )
    for key, figure in zip(keys, figures.split(), strict=True):
        text = re.sub(rf"(?m)^    {key}: .*", f"    {key}: {figure.replace(':', ': ')}", text)
    device = predicted_devices.find_device(f"sim:{mine(text)}#mine")
    assert f"{device.memory_bytes:g}" == f"{float(figures.split()[5]):g}"


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("sim:h10", "Did you mean sim:h100?"),
        ("sim:H100", "Did you mean sim:h100?"),
        ("sim:zzz", "Known devices: sim:t4, sim:v100"),
    ],
)
def test_a_device_that_is_not_known_is_answered_with_those_that_are(word, told):
    with pytest.raises(UserError, match="no such device") as caught:
        predicted_devices.find_device(word)
    assert told in str(caught.value)


def test_a_cpu_with_fewer_threads_has_their_share():
    whole = predicted_devices.find_device("desktop_cpu")
    one = whole.on(1)
    assert one.peak["fp32"] == pytest.approx(whole.peak["fp32"] / 14)
    assert one.memory_bytes_per_s == whole.unit_bytes_per_s
    assert whole.on(99) is whole
    assert predicted_devices.find_device("t4").on(1).units == 40


def test_a_dtype_without_a_peak_is_refused_and_tf32_falls_back():
    v100 = predicted_devices.find_device("v100")
    assert v100.rate("fp32-tf32") == v100.rate("fp32")
    with pytest.raises(UserError, match="no peak is known for bf16"):
        v100.rate("bf16")


def test_a_file_or_folder_without_the_name_of_a_device_is_answered_with_the_names_in_it(mine, tmp_path):
    path = mine(MINE + MINE.replace("devices:\n", "").replace("  mine:", "  other:"))
    with pytest.raises(UserError, match="it names a file or folder, but no device in it") as caught:
        predicted_devices.find_device(f"sim:{path}")
    assert str(caught.value).endswith(f"Write sim:{path}#mine or sim:{path}#other.")
    (tmp_path / "roofs.csv").write_text(ROOFS, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        predicted_devices.find_device(f"sim:{tmp_path}")
    assert str(caught.value).endswith(f"Write sim:{tmp_path}#cpu.")


@pytest.mark.parametrize("word", ["sim:nope.yaml#card", "sim:nope.yaml", "sim:results/nothing#cpu"])
def test_what_is_not_there_is_no_config(word):
    with pytest.raises(UserError, match="there is no such file of devices and no such results folder") as caught:
        predicted_devices.find_device(word)
    assert "Write sim:FILE.yaml#NAME or sim:RESULTS_FOLDER#cpu" in str(caught.value)


@pytest.mark.parametrize("text", ["", "devices: {}\n", b"\xff\xfe\x00"])
def test_a_file_without_devices_is_no_config_either(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError) as caught:
        predicted_devices.find_device(f"sim:{path}#mine")
    assert "config" not in str(caught.value)
    assert "devices" in str(caught.value)


ROOFS = """\
run_id,schema_version,dtype,threads,device,device_name,processes,matmul_flop_per_s,conv_flop_per_s,cache_bytes_per_s,memory_bytes_per_s,cache_bytes,roof_detail
r,1,fp32,1,cpu,A processor,3,1e11,2e11,9e10,1e10,1e8,
r,1,fp32,4,cpu,A processor,3,5e11,4e11,3e11,3e10,1e8,
r,1,bf16,4,cpu,A processor,3,9e11,,3e11,3e10,1e8,
r,1,fp32,4,cuda:0,A card,3,5e13,4e13,3e12,3e12,1e8,
"""


def test_the_processor_of_a_run_is_what_its_roofs_say(tmp_path):
    (tmp_path / "roofs.csv").write_text(ROOFS, encoding="utf-8")
    cpu = predicted_devices.find_device(f"sim:{tmp_path}#cpu")
    assert (cpu.title, cpu.kind, cpu.units) == ("A processor, 4 threads", "cpu", 4)
    assert cpu.peak == {"fp32": 5e11, "bf16": 9e11}
    assert (cpu.memory_bytes_per_s, cpu.unit_bytes_per_s, cpu.cache_bytes_per_s) == (3e10, 1e10, 3e11)
    assert cpu.on(1).memory_bytes_per_s == 1e10


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "roofs.csv: this file can't be read."),
        (ROOFS.replace(",cpu,", ",cuda:1,"), "roofs.csv: it has no roofs of a CPU in fp32."),
        (ROOFS.replace("3e10", ""), "roofs.csv: it has no roofs of a CPU in fp32."),
    ],
)
def test_a_folder_without_roofs_of_a_cpu_is_one_line(tmp_path, text, told):
    if text is not None:
        (tmp_path / "roofs.csv").write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        predicted_devices.find_device(f"sim:{tmp_path}#cpu")
    assert told in str(caught.value)


@pytest.mark.fault(
    "tables", "a column of roofs.csv is missing, or it begins with a byte order mark",
    "the device is made without it, or one line says what lacks",
)  # fmt: skip
@pytest.mark.parametrize("column", ROOFS.partition("\n")[0].split(","))
def test_a_column_that_a_file_of_roofs_lacks_is_no_traceback(tmp_path, column):
    lines = [line.split(",") for line in ROOFS.splitlines()]
    at = lines[0].index(column)
    text = "\ufeff" + "\n".join(",".join(cells[:at] + cells[at + 1 :]) for cells in lines)
    (tmp_path / "roofs.csv").write_text(text, encoding="utf-8")
    if column in ("dtype", "threads", "device", "memory_bytes_per_s", "cache_bytes"):
        with pytest.raises(UserError, match="it has no roofs of a CPU in fp32"):
            predicted_devices.find_device(f"sim:{tmp_path}#cpu")
    else:
        title = predicted_devices.find_device(f"sim:{tmp_path}#cpu").title
        assert title == ("CPU, 4 threads" if column == "device_name" else "A processor, 4 threads")


def test_a_runs_only_processor_is_called_cpu(tmp_path):
    (tmp_path / "roofs.csv").write_text(ROOFS, encoding="utf-8")
    with pytest.raises(UserError, match="no such device"):
        predicted_devices.find_device(f"sim:{tmp_path}#h100")
