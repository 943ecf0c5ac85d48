"""The doctor: each check's states on fakes, that nothing missing raises, and the verb as a whole."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
import time
import tomllib
from collections import namedtuple
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import cli
from bench.analyse.runs.run_folder import read
from bench.measure.device import device_list
from bench.run import checks, doctor, environment, launch, machine, runner
from bench.run.checks import Check
from bench.run.machine import Machine
from bench.show.text import terminal as findings
from bench.spec.errors import UserError
from bench.spec.files import file_text

ROOT = Path(__file__).parents[1]
GIB = 1 << 30
CPU = "/sys/devices/system/cpu"
SCALING = f"{CPU}/cpu{{}}/cpufreq/scaling_governor"
THP = "/sys/kernel/mm/transparent_hugepage/enabled"
SOURCE = "/sys/devices/system/clocksource/clocksource0/current_clocksource"
VENDOR, PRODUCT = "/sys/class/dmi/id/sys_vendor", "/sys/class/dmi/id/product_name"


def fake(files: dict[str, str] | None = None, **facts: object) -> Machine:
    """A quiet machine of four cores that tells what `files` say, changed by `facts`."""
    quiet = Machine(
        read=lambda path: (files or {}).get(path, ""), environ={}, cpus=frozenset(range(4)), cores=4, usable=4,
        busy=0.0, stolen=0.0, memory_bytes=16 * GIB, available_bytes=12 * GIB, swap_bytes=0, plugged=None,
        libc="glibc 2.36", clock_step_ns=60, results=Path("results"), free_bytes=50 * GIB, writable=True,
    )  # fmt: skip
    return dataclasses.replace(quiet, **facts)  # type: ignore[arg-type]


CASES = [
    # check, files, facts, state, a part of what was seen
    ("threads", {}, {}, "green", "4 of 4 physical cores"),
    ("threads", {"/sys/fs/cgroup/cpu.max": "max 100000"}, {}, "green", "4 of 4"),
    ("threads", {"/sys/fs/cgroup/cpu.max": "200000 100000"}, {"usable": 2}, "green", "grants 2 cores"),
    ("threads", {"/sys/fs/cgroup/cpu.max": "250000 100000"}, {"usable": 2}, "amber", "grants 2.5 cores"),
    ("threads", {"/sys/fs/cgroup/cpu.max": "50000 100000"}, {"usable": 1}, "amber", "grants 0.5 cores"),
    ("threads", {"/sys/fs/cgroup/cpu.max": "30000 100000"}, {"usable": 1}, "red", "grants 0.3 cores"),
    ("core_kinds", {}, {}, "grey", "not reported"),
    ("core_kinds", {f"{CPU}/cpu{i}/cpu_capacity": "1024" for i in range(4)}, {}, "green", "alike"),
    ("core_kinds", {f"{CPU}/cpu{i}/cpu_capacity": str(512 << i % 2) for i in range(4)}, {}, "amber", "fast and slow"),
    ("core_kinds", {"/sys/devices/cpu_core/cpus": "0-1", "/sys/devices/cpu_atom/cpus": "2-3,8"}, {}, "amber", "fast and slow"),
    ("core_kinds", {"/sys/devices/cpu_core/cpus": "0-3", "/sys/devices/cpu_atom/cpus": "4-7"}, {}, "green", "alike"),
    ("smt", {}, {}, "grey", "not reported"),
    ("smt", {f"{CPU}/smt/active": "0"}, {"busy": 1.0}, "green", "off"),
    ("smt", {f"{CPU}/smt/active": "1"}, {}, "green", "on"),
    ("smt", {f"{CPU}/smt/active": "1"}, {"busy": None}, "green", "on"),
    ("smt", {f"{CPU}/smt/active": "1"}, {"busy": 1.0}, "amber", "may share"),
    ("governor", {}, {}, "grey", "not reported"),
    ("governor", {SCALING.format(0): "performance"}, {}, "green", "performance"),
    ("governor", {SCALING.format(0): "schedutil"}, {}, "green", "schedutil"),
    ("governor", {SCALING.format(0): "performance", SCALING.format(3): "powersave"}, {}, "amber", "performance, powersave"),
    ("turbo", {}, {}, "grey", "not reported"),
    ("turbo", {f"{CPU}/intel_pstate/no_turbo": "1"}, {}, "green", "off"),
    ("turbo", {f"{CPU}/intel_pstate/no_turbo": "0"}, {}, "amber", "on"),
    ("turbo", {f"{CPU}/cpufreq/boost": "0"}, {}, "green", "off"),
    ("turbo", {f"{CPU}/cpufreq/boost": "1"}, {}, "amber", "on"),
    ("battery", {}, {}, "green", "no battery"),
    ("battery", {}, {"plugged": True}, "green", "mains"),
    ("battery", {}, {"plugged": False}, "amber", "battery"),
    ("load", {}, {"busy": None}, "grey", "not reported"),
    ("load", {}, {"busy": 0.2}, "green", "0.2 of 4"),
    ("load", {}, {"busy": 1.0}, "amber", "1.0 of 4"),
    ("load", {}, {"busy": 3.6}, "red", "3.6 of 4"),
    ("load", {}, {"busy": 1.0, "cpus": frozenset({2})}, "red", "1.0 of 1"),
    ("pressure", {}, {}, "grey", "not reported"),
    ("pressure", {"/proc/pressure/cpu": "some"}, {}, "grey", "not reported"),
    ("pressure", {"/proc/pressure/cpu": "some avg10=0.26 avg60=9.0 avg300=0.2 total=1\nfull avg10=9"}, {}, "green", "0 %"),
    ("pressure", {"/proc/pressure/cpu": "some avg10=12.26 avg60=0.6 avg300=0.2 total=1"}, {}, "amber", "12 %"),
    ("steal", {}, {"stolen": None}, "grey", "not reported"),
    ("steal", {}, {"stolen": 0.004}, "green", "0.4 %"),
    ("steal", {}, {"stolen": 0.03}, "amber", "3.0 %"),
    ("steal", {}, {"stolen": 0.25}, "red", "25.0 %"),
    ("hypervisor", {}, {}, "grey", "not reported"),
    ("hypervisor", {"/proc/cpuinfo": "flags\t: fpu sse\nmodel name\t: hypervisor", VENDOR: "Dell Inc."}, {}, "green", "none seen"),
    ("hypervisor", {"/proc/cpuinfo": "flags\t: fpu hypervisor lahf_lm"}, {}, "amber", "a virtual machine:"),
    ("hypervisor", {"/proc/cpuinfo": "flags\t: hypervisor", VENDOR: "Amazon EC2"}, {}, "amber", "(Amazon EC2)"),
    ("hypervisor", {"/sys/hypervisor/type": "xen"}, {}, "amber", "(xen)"),
    ("hypervisor", {VENDOR: "QEMU"}, {}, "amber", "(QEMU)"),
    ("hypervisor", {VENDOR: "Amazon EC2", PRODUCT: "m6g.large"}, {}, "amber", "(Amazon EC2)"),
    ("hypervisor", {VENDOR: "Amazon EC2", PRODUCT: "m6g.metal"}, {}, "green", "none seen"),
    ("hypervisor", {VENDOR: "Microsoft Corporation", PRODUCT: "Surface Laptop"}, {}, "green", "none seen"),
    ("hypervisor", {VENDOR: "Microsoft Corporation", PRODUCT: "Virtual Machine"}, {}, "amber", "(Microsoft"),
    ("memory", {}, {}, "green", "12 GiB of 16 GiB"),
    ("memory", {}, {"available_bytes": int(1.5 * GIB)}, "amber", "1.5 GiB"),
    ("memory", {}, {"available_bytes": GIB // 4}, "red", "0.25 GiB"),
    ("swap", {}, {}, "green", "none"),
    ("swap", {}, {"swap_bytes": GIB // 4}, "green", "0.25 GiB"),
    ("swap", {}, {"swap_bytes": 3 * GIB}, "amber", "3 GiB"),
    ("huge_pages", {}, {}, "grey", "not reported"),
    ("huge_pages", {THP: "always [madvise] never"}, {}, "green", "madvise"),
    ("huge_pages", {THP: "always madvise [never]"}, {}, "green", "never"),
    ("huge_pages", {THP: "[always] madvise never"}, {}, "amber", "always"),
    ("allocator", {}, {}, "green", "glibc 2.36"),
    ("allocator", {}, {"libc": ""}, "amber", "not glibc"),
    ("allocator", {}, {"environ": {"LD_PRELOAD": "/usr/lib/libjemalloc.so.2"}}, "amber", "jemalloc"),
    ("allocator", {"/etc/ld.so.preload": "/usr/lib/libtcmalloc_minimal.so.4"}, {}, "amber", "tcmalloc"),
    ("allocator", {}, {"environ": {"LD_PRELOAD": "/usr/lib/libsomething.so"}}, "green", "glibc"),
    ("variables", {}, {"environ": {"PATH": "x", "GLIBC_TUNABLES": ""}}, "green", "none"),
    ("variables", {}, {"environ": {"OMP_PROC_BIND": "true"}}, "amber", "not passed on to workers: OMP_PROC_BIND"),
    ("variables", {}, {"environ": {"ATEN_CPU_CAPABILITY": "default"}}, "amber", "passed on, and changes what is measured: ATEN"),
    ("clock", {SOURCE: "tsc"}, {}, "green", "tsc, steps of 60 ns"),
    ("clock", {SOURCE: "kvm-clock"}, {}, "green", "kvm-clock"),
    ("clock", {}, {}, "green", "source not reported"),
    ("clock", {SOURCE: "hpet"}, {}, "amber", "hpet"),
    ("clock", {SOURCE: "acpi_pm"}, {}, "amber", "acpi_pm"),
    ("clock", {SOURCE: "tsc"}, {"clock_step_ns": 15_625_000}, "amber", "15625000 ns"),
    ("counters", {"/proc/self/schedstat": "1 2 3"}, {}, "green", "counts"),
    ("counters", {}, {}, "amber", "no counters"),
    ("disk", {}, {}, "green", "50 GiB free"),
    ("disk", {}, {"free_bytes": None}, "grey", "not reported"),
    ("disk", {}, {"free_bytes": GIB // 2}, "amber", "0.5 GiB"),
    ("disk", {}, {"free_bytes": 1000}, "red", "results can be written"),
    ("disk", {}, {"writable": False}, "red", "can't be written"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "files", "facts", "state", "seen"), CASES)
def test_each_check_tells_its_states_apart(name: str, files: dict, facts: dict, state: str, seen: str):
    found = getattr(checks, name)(fake(files, **facts))
    assert found.state == state
    assert seen in found.seen
    assert bool(found.remedy) == (state in ("amber", "red"))


def test_no_check_goes_without_its_cases():
    named = {name for name, *_ in CASES}
    assert {check.__name__ for check in checks.CHECKS} == named
    for check in checks.CHECKS:
        states = {state for name, *_, state, _ in CASES if name == check.__name__}
        assert {"green", "amber"} <= states, check.__name__


def test_the_faq_lists_what_stops_a_run():
    stops = {getattr(checks, name)(fake(f, **facts)).name for name, f, facts, state, _ in CASES if state == "red"}
    table = (ROOT / "docs/FAQ.md").read_text().partition("| check | red if |")[2].partition("\n\n")[0]
    assert set(re.findall(r"^\| ([a-z ]+) \|", table, re.MULTILINE)) == stops


@pytest.mark.fault(
    "machine", "files of /proc and /sys are missing or hold anything",
    "no check of the doctor fails; what can't be known is grey",
)  # fmt: skip
@given(st.dictionaries(st.sampled_from(sorted({f for _, files, *_ in CASES for f in files})), st.text(max_size=40)))
def test_no_check_raises_whatever_a_file_holds(files: dict[str, str]):
    found = checks.local(fake(files))
    assert len(found) == len(checks.CHECKS)
    assert len({c.name for c in found}) == len(found)


@pytest.mark.fault(
    "machine", "files of /proc and /sys are missing or hold anything",
    "no check of the doctor fails; what can't be known is grey",
)  # fmt: skip
def test_a_machine_that_tells_nothing_is_told_about_all_the_same():
    silent = fake(busy=None, stolen=None, free_bytes=None, cpus=frozenset({0}))
    assert {c.state for c in checks.local(silent)} <= {"grey", "green", "amber"}


# ---------------------------------------------------------------- what is read


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, None),
        ({"/sys/fs/cgroup/cpu.max": "max 100000"}, None),
        ({"/sys/fs/cgroup/cpu.max": "150000 100000"}, 1.5),
        ({"/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1", "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"}, None),
        ({"/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "50000", "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"}, 0.5),
        (
            {
                "/proc/self/cgroup": "0::/user.slice/run.scope",
                "/sys/fs/cgroup/user.slice/run.scope/cpu.max": "400000 100000",
                "/sys/fs/cgroup/user.slice/cpu.max": "300000 100000",
            },
            3.0,
        ),
        (
            {
                "/proc/self/cgroup": "4:memory:/\n2:cpu,cpuacct:/docker/a",
                "/sys/fs/cgroup/cpu/docker/a/cpu.cfs_quota_us": "250000",
                "/sys/fs/cgroup/cpu/docker/a/cpu.cfs_period_us": "100000",
            },
            2.5,
        ),
        ({"/proc/self/cgroup": "rubbish", "/sys/fs/cgroup/cpu.max": "rubbish"}, None),
    ],
)
def test_a_quota_is_found_in_the_control_group_or_above_it(files: dict[str, str], cores: float | None):
    assert machine.quota(lambda path: files.get(path, "")) == cores


def test_memory_is_what_the_control_group_leaves_and_files_that_can_be_dropped_are_free():
    files = {
        "/proc/self/cgroup": "0::/a/b",
        "/sys/fs/cgroup/a/memory.max": str(4 * GIB),
        "/sys/fs/cgroup/a/memory.current": str(3 * GIB),
        "/sys/fs/cgroup/a/memory.stat": f"anon 5\ninactive_file {GIB}",
        "/sys/fs/cgroup/a/b/memory.max": "max",
        "/sys/fs/cgroup/a/b/memory.current": str(GIB),
    }
    assert machine.memory_room(lambda path: files.get(path, "")) == 2 * GIB
    assert machine.memory_room(lambda path: "") is None


def test_use_and_steal_are_read_on_the_cores_that_workers_may_use(monkeypatch: pytest.MonkeyPatch):
    linux = namedtuple("linux", "user nice system idle iowait irq softirq steal guest")
    told: list[tuple[float, ...]] = [
        linux(20.0, 10.0, 10.0, 40.0, 0.0, 0.0, 0.0, 20.0, 5.0),
        linux(0.0, 0.0, 0.0, 60.0, 40.0, 0.0, 0.0, 0.0, 0.0),
        linux(100.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
        linux(*[0.0] * 9),  # no tick has passed
        namedtuple("mac", "user nice system idle")(30.0, 0.0, 20.0, 50.0),
        linux(40.0, 0.0, 0.0, 5.0, 0.0, 0.0, 0.0, 5.0, 0.0),  # of half a second psutil gives half the shares
    ]
    monkeypatch.setattr(machine.psutil, "cpu_times_percent", lambda seconds, percpu: told)
    assert machine.load({0, 1}, 0.5) == (pytest.approx(0.4), pytest.approx(0.1))
    assert machine.load({2}, 0.5) == (pytest.approx(1.0), 0.0)
    assert machine.load({4}, 0.5) == (pytest.approx(0.5), None)
    assert machine.load({5}, 0.5) == (pytest.approx(0.8), pytest.approx(0.1))
    assert machine.load({3}, 0.5) == (None, None)
    assert machine.load({9}, 0.5) == (None, None)


def test_a_core_that_works_all_the_time_is_busy_however_short_the_look():
    one = min(machine._cpus())
    code = f"import os\nif hasattr(os, 'sched_setaffinity'): os.sched_setaffinity(0, [{one}])\nprint(flush=True)\nwhile True: pass"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as busy:
        busy.stdout.readline()
        used, stolen = machine.load({one}, 0.5)
        busy.kill()
    assert used is None or used + (stolen or 0.0) > 0.8


def test_a_look_at_this_machine_finds_it(tmp_path: Path):
    found = machine.look(tmp_path / "not" / "yet", sample_s=0.05)
    assert 1 <= found.usable <= max(1, found.cores)
    assert found.writable
    assert found.free_bytes
    assert found.available_bytes <= found.memory_bytes
    assert file_text(str(tmp_path)) == file_text("/no/such/file") == ""
    assert not machine.look(tmp_path.joinpath("file").touch() or tmp_path / "file", sample_s=0.01).writable


# ---------------------------------------------------------------- devices and torch

FACTS = {
    "torch": "2.13.0+cpu", "torch_cuda": None, "onednn": True, "cpu_capability": "AVX512", "threading": "OpenMP",
    "device_name": "", "cards": {},
    "devices": {"cpu": "present: AVX512 instructions", "cuda": "torch is a CPU-only build. Install another.", "xpu": "none. Buy one.", "mps": "none."},
}  # fmt: skip


def by_name(found: list[Check]) -> dict[str, Check]:
    assert len({(c.name, c.seen) for c in found}) == len(found)
    return {c.name: c for c in found}


def test_a_missing_accelerator_is_information_and_red_only_where_it_is_wanted():
    found = by_name(doctor.device_checks(["cpu"], fake(), lambda device: FACTS))
    assert [found[k].state for k in ("cpu", "cuda", "xpu", "mps", "torch")] == [
        "green",
        "grey",
        "grey",
        "grey",
        "green",
    ]
    assert (found["cuda"].seen, found["cuda"].remedy) == ("torch is a CPU-only build", "Install another.")
    assert checks.worst(found.values()) == "green"
    wanted = by_name(doctor.device_checks(["cuda:0", "cpu"], fake(), lambda device: FACTS))
    assert (wanted["cuda"].state, wanted["xpu"].state) == ("red", "grey")


def test_a_wanted_card_has_a_worker_of_its_own():
    here = FACTS | {"devices": FACTS["devices"] | {"cuda": "present: H100, the first of 2"}}

    def ask(device: str) -> dict:
        if device == "cuda:7":
            raise UserError("DEVICE=cuda:7", "only cuda:0 to cuda:1 exist", "Name one of them.")
        return here if device == "cpu" else here | {"device_name": "H100", "warnings": ["events lie"]}

    assert by_name(doctor.device_checks(["cpu"], fake(), ask))["cuda"] == Check("cuda", "green", "H100, the first of 2")
    found = [c for c in doctor.device_checks(["cuda:1", "cuda:7"], fake(), ask) if c.name.startswith("cuda")]
    assert [(c.name, c.state, c.seen) for c in found] == [
        ("cuda:1", "green", "H100"),
        ("cuda:1", "amber", "events lie"),
        ("cuda:7", "red", "only cuda:0 to cuda:1 exist"),
    ]


@pytest.mark.fault(
    "machine", "the doctor's worker can't start",
    "a red line says why",
)  # fmt: skip
def test_a_worker_that_cannot_start_is_red_and_one_that_tells_little_is_not(monkeypatch):
    def dead(device: str) -> dict:
        raise UserError("DEVICE=cpu", "a worker can't start: exit status 1", "Try it.")

    assert [(c.name, c.state) for c in doctor.device_checks(["cpu"], fake(), dead)] == [("cpu", "red")]
    assert {c.state for c in doctor.device_checks(["cpu"], fake(), lambda device: {"torch": "fake"})} == {
        "green",
        "grey",
    }


@pytest.mark.parametrize(
    ("reading", "state", "seen"),
    [
        ({"programs": 0, "temperature_c": 35, "throttle_reasons": []}, "green", "no other program, 35 °C"),
        ({"programs": 2, "throttle_reasons": []}, "amber", "2 other programs on it"),
        ({"programs": 0, "throttle_reasons": ["power cap"]}, "amber", "slowed down: power cap"),
        ({"programs": None}, "grey", "other programs not reported"),
        ({"programs": None, "why": "ModuleNotFoundError: No module named 'pynvml'"}, "grey", "no readings"),
    ],
)
def test_a_card_is_looked_at_through_nvml(reading: dict, state: str, seen: str):
    (found,) = doctor.card("cuda:0", reading)
    assert (found.name, found.state) == ("cuda:0 now", state)
    assert seen in found.seen
    assert len(doctor.card("cuda:0", {"programs": 1, "throttle_reasons": ["power cap"]})) == 2


@pytest.mark.parametrize(
    ("facts", "state", "words"),
    [
        ({}, "green", ""),
        ({"torch": "2.13.1+cu130", "torch_cuda": "13.0"}, "green", ""),
        ({"torch": "3.0.0a0+git12"}, "green", ""),
        ({"torch": "2.5.1+cu124"}, "amber", "oldest tested release is 2.6"),
        ({"onednn": False}, "amber", "oneDNN"),
        ({"cpu_capability": "DEFAULT"}, "amber", "vector"),
        ({"threading": "native thread pool"}, "amber", "OMP_"),
    ],
)
def test_a_torch_that_is_old_or_lacks_something_is_amber(facts: dict, state: str, words: str):
    found = doctor.torch_build(FACTS | facts)
    assert found.state == state
    assert words in found.remedy
    assert str((FACTS | facts)["torch"]) in found.seen


def test_the_oldest_tested_torch_is_what_the_project_asks_for():
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    least = next(re.fullmatch(r"torch>=(\d+)\.(\d+)", line) for line in asked if line.startswith("torch"))
    assert tuple(map(int, least.groups())) == doctor.OLDEST_TESTED_TORCH


def test_a_worker_tells_which_devices_there_are_and_a_sick_driver_costs_one_answer(monkeypatch):
    told = device_list.devices()
    assert set(told) == {"cpu", "cuda", "xpu", "mps"}
    assert told["cpu"].startswith("present: ")
    assert all("\n" not in line for line in told.values())

    def sick(name: str) -> UserError | None:
        if name == "cuda":
            raise RuntimeError("driver on fire\nand more")
        return UserError(name, "none", "Buy one")

    monkeypatch.setattr(device_list, "why_not", sick)
    monkeypatch.setattr(device_list.torch.version, "cuda", "13.0")
    assert device_list.devices()["cuda"] == "torch fails to look at it: RuntimeError: driver on fire"
    assert device_list.devices()["xpu"] == "none. Buy one"
    assert device_list.cards() == {"cuda": {"why": "RuntimeError: driver on fire"}}
    assert doctor.card("cuda", device_list.cards()["cuda"])[0].state == "grey"


def test_cards_are_read_by_their_names_here(monkeypatch):
    class Card:
        def __init__(self, properties: str) -> None:
            self.why = None if properties == "first" else "NVMLError: no"

        def read(self) -> dict:
            return {"temperature_c": 40}

        def programs(self) -> int:
            return 1

    monkeypatch.setattr(device_list, "Nvml", Card)
    monkeypatch.setattr(device_list, "why_not", lambda name: None)
    monkeypatch.setattr(device_list.torch.version, "cuda", "13.0")
    monkeypatch.setattr(device_list.torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(device_list.torch.cuda, "get_device_properties", lambda i: ["first", "second"][i])
    found = device_list.cards()
    assert found["cuda:0"] == {"temperature_c": 40, "programs": 1, "why": None}
    assert found["cuda:1"]["why"] == "NVMLError: no"
    monkeypatch.setattr(device_list.torch.version, "cuda", None)
    assert device_list.cards() == {}
    assert device_list.threading() == "OpenMP"
    assert device_list.why_not("cpu") is None


# ---------------------------------------------------------------- the verb and the run


def test_one_line_tells_a_run_what_is_amiss():
    found = [Check("load", "amber", "busy", "x"), Check("disk", "red", "full", "y"), Check("SMT", "green", "off")]
    assert checks.summary(found) == "1 red, 1 amber: load (busy); disk (full): bench doctor says what to do"
    assert checks.tally([found[2]]) == ""
    assert checks.worst(found) == "red"
    assert checks.worst([Check("a", "grey", "")]) == "green"
    assert found[0].line == "load: busy: x"


def test_a_burst_of_load_is_no_red_and_what_lasts_is(monkeypatch, tmp_path: Path):
    """A red machine is watched again, for longer; a calm one is not."""
    told: list[float] = []

    def looks(*busy: float) -> None:
        told.clear()
        monkeypatch.setattr(
            environment, "look", lambda results, s=0.5: fake(busy=busy[len(told)], cpus={told.append(s), 1})
        )

    looks(1.9, 0.1)
    assert checks.load(environment.watched(tmp_path)).state == "green"
    assert told[1] > 4 * told[0]
    looks(1.9, 1.8)
    assert checks.load(environment.watched(tmp_path)).state == "red"
    looks(0.5)
    assert checks.load(environment.watched(tmp_path)).state == "amber"
    assert len(told) == 1


def test_a_run_tells_its_ambers_in_one_line_and_keeps_them_with_their_remedies(bench, monkeypatch, tmp_path: Path):
    monkeypatch.setattr(environment, "look", lambda results: fake(plugged=False, results=results))
    (tmp_path / "c.yaml").write_text(
        "name: t\nexperiments: {a: {blocks: [standard, separable], axes: {channels: 8, threads: 1}}}\n"
    )
    said: list[str] = []
    folder = runner.run(tmp_path / "c.yaml", ["cpu"], tmp_path / "out", [], ["bench"], said.append).folder
    (line,) = [line for line in said if line.startswith("!")]
    assert line.startswith("! 2 ambers: power (running on battery); counters (")
    kept = json.loads((folder / "environment.json").read_text())["ambers"]
    assert kept[0] == "power: running on battery: plug in"
    assert len(kept) == 2


STOLEN = "red: steal: the hypervisor took 40.0 % of the cores' time: wait, or use a machine or an instance with"
CONFIG = """
name: t
timing: {processes_min: 3, processes_max: 3}
experiments: {a: {blocks: [standard, separable], axes: {channels: 8, threads: 1}}}
"""


@pytest.fixture
def measuring(capsys, monkeypatch, tmp_path, sketched):
    """A verb that measures with the fake worker, on a machine that is red twice over or quiet: status and stderr."""
    monkeypatch.setattr(launch, "WORKER", "tests.fake_worker")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.yaml").write_text(CONFIG)

    def run(*words: str, red: bool = True) -> tuple[int, list[str]]:
        spoilt = fake({"/sys/fs/cgroup/cpu.max": "30000 100000"}, stolen=0.4, usable=1)
        monkeypatch.setattr(environment, "look", lambda *_: spoilt if red else fake())
        with pytest.raises(SystemExit) as left:
            cli.main(list(words))
        return int(left.value.code or 0), capsys.readouterr().err.splitlines()

    return run


def interrupted(folder: Path, visits: int) -> None:
    """The same run, as a kill after so many visits leaves it."""
    (folder / "DONE").unlink()
    kept: list[str] = []
    for line in (folder / "journal.jsonl").read_text().splitlines():
        kept += [line] if sum('"type":"visit"' in one for one in kept) < visits else []
    (folder / "journal.jsonl").write_text("\n".join(kept) + "\n")


def files(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.fault(
    "machine", "the machine is overloaded, or lacks cores, memory, disk or a place to write",
    "`bench run` refuses before it writes, with what to mend; `--anyway` measures and marks every row",
)  # fmt: skip
@pytest.mark.parametrize("words", [("run", "c.yaml"), ("run", "c.yaml", "--out", "o"), ("aa", "--pairs", "2")])
def test_a_red_check_stops_what_measures_before_anything_is_written(measuring, tmp_path: Path, words: tuple[str, ...]):
    status, err = measuring(*words)
    assert status == 2
    assert [line.split(":")[:2] for line in err[:-1]] == [["red", " threads"], ["red", " steal"]]
    assert err[1].startswith(STOLEN)
    assert err[2] == (
        "bench: this machine: it is not fit to measure now, so nothing was measured. "
        "Mend that, or measure with --anyway (make: ANYWAY=1), which marks every row."
    )
    assert files(tmp_path).keys() == {str(tmp_path / "c.yaml")}


@pytest.mark.fault(
    "machine", "the machine is overloaded, or lacks cores, memory, disk or a place to write",
    "`bench run` refuses before it writes, with what to mend; `--anyway` measures and marks every row",
)  # fmt: skip
def test_anyway_measures_and_marks_every_row_in_the_tables_and_on_the_page(measuring, tmp_path: Path):
    status, err = measuring("run", "c.yaml", "--out", "o", "--anyway")
    assert status == 0
    assert err[0].startswith("! 2 reds, ")
    run = read(tmp_path / "o")
    for table in (run.measurements, run.pairs):
        for notes in table["quality_notes"]:
            assert "run despite red in 3 of 3 processes: threads (at most 1, " in notes
            assert "steal (the hypervisor took 40.0 % of the cores' time)" in notes
            assert next(n for n in notes.split("; ") if n.startswith("run despite red")).endswith("time)"), "one note"
    assert "run despite red" in (tmp_path / "o" / "report.html").read_text()


def test_a_run_that_nothing_spoils_is_not_marked(measuring, tmp_path: Path):
    assert measuring("run", "c.yaml", "--out", "o", red=False)[0] == 0
    assert "despite" not in (tmp_path / "o" / "pairs.csv").read_text()


def test_resuming_follows_the_same_rule_and_marks_the_processes_that_it_adds(measuring, tmp_path: Path):
    measuring("run", "c.yaml", "--out", "o", red=False)
    interrupted(tmp_path / "o", visits=1)
    before = files(tmp_path / "o")
    status, err = measuring("run", "--resume", "o")
    assert (status, err[1][: len(STOLEN)]) == (2, STOLEN)
    assert files(tmp_path / "o") == before
    assert measuring("run", "--resume", "o", "--anyway")[0] == 0
    assert read(tmp_path / "o").pairs["quality_notes"][0].startswith("run despite red in 2 of 3 processes: threads (")


def test_a_prediction_asks_nothing_of_this_machine(measuring):
    assert measuring("run", "c.yaml", "--device", "sim:h100")[0] == 0


def test_variables_that_change_what_is_measured_are_recorded():
    env = {"GLIBC_TUNABLES": "glibc.malloc.x=1", "ATEN_CPU_CAPABILITY": "default", "HOME": "x"}
    assert set(launch.recorded(env)) == {"GLIBC_TUNABLES", "ATEN_CPU_CAPABILITY"}
    assert launch.passed_on(env) == ["ATEN_CPU_CAPABILITY", "GLIBC_TUNABLES"]


@pytest.fixture
def bench(capsys, monkeypatch, tmp_path):
    """`bench doctor` with the fake worker, in an empty folder: status and what it printed."""
    monkeypatch.setattr(launch, "WORKER", "tests.fake_worker")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(tmp_path)

    def run(*words: str, machine: Machine | None = None) -> tuple[int, str]:
        if machine is not None:
            monkeypatch.setattr(environment, "look", lambda *_: machine)
        with pytest.raises(SystemExit) as left:
            cli.main(["doctor", *words])
        return int(left.value.code or 0), capsys.readouterr().out

    return run


def test_the_table_has_a_line_for_each_check_and_ends_with_the_count(bench):
    status, out = bench(machine=fake(plugged=False))
    assert status == 0
    head, *rows, last = out.splitlines()
    assert head.split() == ["check", "state", "seen", "what", "to", "do"]
    assert len(rows) == len(checks.CHECKS) + 5  # cpu, cuda, xpu, mps, torch
    assert any(re.fullmatch(r"power +amber +running on battery +plug in", row) for row in rows)
    assert last == "2 ambers"
    assert bench(machine=fake({"/proc/self/schedstat": "1"}))[1].endswith("nothing seen that would spoil the numbers\n")


def test_json_says_the_same_and_red_is_status_1(bench):
    status, out = bench("--json", machine=fake(writable=False))
    told = json.loads(out)
    assert (status, told["worst"]) == (1, "red")
    assert {tuple(c) for c in told["checks"]} == {("name", "state", "seen", "remedy")}
    assert {c["name"]: c["state"] for c in told["checks"]}["results"] == "red"
    assert bench("--device", "cuda", machine=fake())[0] == 1
    assert bench("--device", "gpu")[0] == 2


def test_the_real_worker_answers_the_doctor(monkeypatch, tmp_path: Path):
    begun = time.monotonic()
    found = by_name(doctor.examine(["cpu"], tmp_path))
    assert time.monotonic() - begun < 60
    assert found["cpu"].state == "green"
    assert found["torch"].seen.endswith("OpenMP")
    assert all("\n" not in c.seen + c.remedy for c in found.values())


def test_a_terminal_sees_colours_and_lines_that_fit(monkeypatch):
    class Terminal:
        text, encoding = "", "utf-8"

        def isatty(self) -> bool:
            return True

        def write(self, text: str) -> int:
            self.text += text
            return len(text)

        def flush(self) -> None:
            pass

    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    out = Terminal()
    with redirect_stdout(out):
        findings.print_findings([("load", "red", "word " * 30, "do " * 30)])
    assert "\x1b[1;31mred" in out.text
    plain = re.sub(r"\x1b\[[0-9;]*m", "", out.text)
    assert max(map(len, plain.splitlines())) <= 80
