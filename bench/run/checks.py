"""What would spoil the numbers on this machine: one small check each, on facts alone, and what to do about it.

green: fine. amber: numbers can be had, but read them with what is said here. red: they can't be had, or are worthless.
grey: this system does not tell, or nothing was asked of it. `bench doctor` shows all, `bench run` tells ambers and reds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from bench.run.machine import Machine, number, quota
from bench.run.worker_variables import not_passed_on, passed_on
from bench.spec.format import digits

State = Literal["grey", "green", "amber", "red"]

BUSY_CORES = 0.25  # what other programs may use before it is worth a word
LEAST_FREE_CORES = 0.5
PRESSURE = 5.0  # %: share of the last ten seconds in which something waited for a core
STOLEN, MUCH_STOLEN = 0.01, 0.1
MEMORY_AMBER, MEMORY_RED = 2 << 30, 1 << 30  # bytes; torch and the kept heap take about half of one GiB
SWAPPED = 0.05  # of all memory
DISK_AMBER, DISK_RED = 1 << 30, 100 << 20
COARSE_NS = 1000
SLOW_CLOCKS = ("hpet", "acpi_pm", "jiffies", "refined-jiffies", "pit")
ALLOCATORS = ("jemalloc", "tcmalloc", "mimalloc", "hoard", "tbbmalloc")
GUEST_VENDORS = ("QEMU", "Xen", "VMware, Inc.", "innotek GmbH")  # where the processor has no flag for it
GUEST_PRODUCTS = ("Virtual Machine", "Google Compute Engine")
CPU = "/sys/devices/system/cpu"
DMI = "/sys/class/dmi/id"


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at, how it stands, what was seen, and what to do where it is not green."""

    name: str
    state: State
    seen: str
    remedy: str = ""

    @property
    def line(self) -> str:
        """All of it in one line, for environment.json."""
        return f"{self.name}: {self.seen}" + (f": {self.remedy}" if self.remedy else "")


def worst(checks: Iterable[Check]) -> State:
    """red, amber or green; what is grey counts as green."""
    states = {check.state for check in checks}
    return "red" if "red" in states else "amber" if "amber" in states else "green"


def tally(checks: Sequence[Check]) -> str:
    """Such as `1 red, 3 ambers`; empty where all is green."""
    counts = {state: sum(c.state == state for c in checks) for state in ("red", "amber")}
    return ", ".join(f"{n} {state}{'s' if n > 1 else ''}" for state, n in counts.items() if n)


def summary(checks: Sequence[Check]) -> str:
    """Ambers and reds in one line: how many, which, and where to read on."""
    found = "; ".join(f"{c.name} ({c.seen})" for c in checks if c.state in ("red", "amber"))
    return f"{tally(checks)}: {found}: bench doctor says what to do"


def local(machine: Machine) -> list[Check]:
    """Every check that needs no worker."""
    return [check(machine) for check in CHECKS]


# ---------------------------------------------------------------- processor


def threads(m: Machine) -> Check:
    """Workers' threads against physical cores and the control group's quota."""
    granted = quota(m.read)
    seen = f"at most {m.usable}, one for each of {m.usable} of {m.cores} physical cores"
    if granted is None:
        return Check("threads", "green", seen)
    seen += f"; the control group grants {granted:g} cores"
    whole = "give the container whole cores (--cpuset-cpus, or --cpus with a whole number)"
    if granted < 1:
        return Check("threads", "red", seen, f"even one thread is stopped over and over: {whole}")
    if granted != int(granted):
        return Check("threads", "amber", seen, f"threads beyond {int(granted)} would be stopped in mid-sample: {whole}")
    return Check("threads", "green", seen)


def core_kinds(m: Machine) -> Check:
    """Fast and slow cores in one processor: a thread's time then depends on where it was put."""
    capacities = {m.read(f"{CPU}/cpu{cpu}/cpu_capacity") for cpu in m.cpus} - {""}
    fast, slow = (_cpu_list(m.read(f"/sys/devices/{kind}/cpus")) for kind in ("cpu_core", "cpu_atom"))
    if len(capacities) > 1 or (m.cpus & fast and m.cpus & slow):
        return Check(
            "core kinds", "amber", "fast and slow ones", "start bench on one kind: taskset -c LIST bench run ..."
        )
    told = bool(capacities or fast)
    return Check("core kinds", "green" if told else "grey", "all alike" if told else "not told by this system")


def smt(m: Machine) -> Check:
    """Simultaneous multithreading: workers leave a core's second thread free, but another program may take it."""
    active = m.read(f"{CPU}/smt/active")
    if active not in ("0", "1"):
        return Check("SMT", "grey", "not told by this system")
    if active == "0":
        return Check("SMT", "green", "off")
    if (m.busy or 0.0) > BUSY_CORES:
        return Check("SMT", "amber", "on, and other programs may share a worker's core", f"close them, or echo off | sudo tee {CPU}/smt/control")  # fmt: skip
    return Check("SMT", "green", "on; workers take one thread of a core")


def governor(m: Machine) -> Check:
    """What chooses the processor's frequency."""
    found = sorted({m.read(f"{CPU}/cpu{cpu}/cpufreq/scaling_governor") for cpu in m.cpus} - {""})
    if not found:
        return Check("governor", "grey", "not told by this system")
    slow = [g for g in found if g not in ("performance", "schedutil")]
    if slow:
        return Check("governor", "amber", ", ".join(found), "performance repeats better: sudo cpupower frequency-set -g performance")  # fmt: skip
    return Check("governor", "green", ", ".join(found))


def turbo(m: Machine) -> Check:
    """Frequencies above the nominal one, which last as long as heat and the other cores allow."""
    off, boost = f"{CPU}/intel_pstate/no_turbo", f"{CPU}/cpufreq/boost"
    states = {(off, "1"): False, (off, "0"): True, (boost, "1"): True, (boost, "0"): False}
    on = next((on for (path, text), on in states.items() if m.read(path) == text), None)
    if on is None:
        return Check("turbo", "grey", "not told by this system")
    if not on:
        return Check("turbo", "green", "off")
    path, text = (off, 1) if m.read(off) == "0" else (boost, 0)
    return Check("turbo", "amber", "on: the clock follows heat and the number of busy cores", f"leave it for times as in use; for times that repeat, echo {text} | sudo tee {path}")  # fmt: skip


def battery(m: Machine) -> Check:
    """Power that limits the clock."""
    if m.plugged is None:
        return Check("power", "green", "no battery seen")
    if m.plugged:
        return Check("power", "green", "on the mains")
    return Check("power", "amber", "running on battery", "plug in")


# ---------------------------------------------------------------- others


def load(m: Machine) -> Check:
    """Other programs on the cores that workers would use."""
    if m.busy is None:
        return Check("load", "grey", "not told by this system")
    seen = f"other programs use {m.busy:.1f} of {len(m.cpus)} logical cores"
    if len(m.cpus) - m.busy < LEAST_FREE_CORES:
        return Check("load", "red", seen, "close them, or wait: no core is free to measure on")
    if m.busy > BUSY_CORES:
        return Check("load", "amber", seen, "close them, or read intervals with care")
    return Check("load", "green", seen)


def pressure(m: Machine) -> Check:
    """How long something had to wait for a core (the kernel's pressure stall information)."""
    fields = dict(f.split("=", 1) for f in m.read("/proc/pressure/cpu").partition("\n")[0].split() if "=" in f)
    share = number(fields.get("avg10", ""))
    if share is None:
        return Check("pressure", "grey", "not told by this system")
    seen = f"something waited for a core in {share:.0f} % of the last 10 s"
    return Check("pressure", "amber", seen, "close other programs") if share >= PRESSURE else Check("pressure", "green", seen)  # fmt: skip


def steal(m: Machine) -> Check:
    """Time that the hypervisor gave to other guests."""
    if m.stolen is None:
        return Check("steal", "grey", "not told by this system")
    seen = f"{m.stolen:.1%} of the cores' time taken by the hypervisor".replace("%", " %")
    remedy = "wait, or use a machine or a kind of instance with cores of its own"
    state: State = "red" if m.stolen >= MUCH_STOLEN else "amber" if m.stolen >= STOLEN else "green"
    return Check("steal", state, seen, "" if state == "green" else remedy)


def hypervisor(m: Machine) -> Check:
    """A virtual machine: what other guests do to its caches and memory shows in no counter."""
    flags = (line.split() for line in m.read("/proc/cpuinfo").splitlines() if line.startswith("flags"))
    kind, vendor, product = (m.read(f) for f in ("/sys/hypervisor/type", f"{DMI}/sys_vendor", f"{DMI}/product_name"))
    guest = any("hypervisor" in line for line in flags) or bool(kind) or vendor in GUEST_VENDORS
    guest |= product in GUEST_PRODUCTS or (vendor == "Amazon EC2" and not product.endswith(".metal"))
    if not guest:
        return Check("hypervisor", "green", "none seen")
    name = kind or vendor
    return Check("hypervisor", "amber", f"a virtual machine{f' ({name})' if name else ''}: neighbours can't be seen", "repeat the run and compare, or use a machine of your own")  # fmt: skip


# ---------------------------------------------------------------- memory


def memory(m: Machine) -> Check:
    """Memory that can be had without swapping, within the control group's limit."""
    seen = f"{_gib(m.available_bytes)} of {_gib(m.memory_bytes)} available"
    if m.available_bytes < MEMORY_RED:
        return Check("memory", "red", seen, "close other programs, or raise the container's limit")
    if m.available_bytes < MEMORY_AMBER:
        return Check("memory", "amber", seen, "large shapes will be oom: close other programs")
    return Check("memory", "green", seen)


def swap(m: Machine) -> Check:
    """Memory that was moved to disk."""
    seen = f"{_gib(m.swap_bytes)} in use"
    if m.swap_bytes > SWAPPED * m.memory_bytes:
        return Check("swap", "amber", seen, "what a worker needs may be on disk: close other programs")
    return Check("swap", "green", seen if m.swap_bytes else "none in use")


def huge_pages(m: Machine) -> Check:
    """Transparent huge pages: with `always`, whether a buffer has them depends on how scattered memory is by then."""
    path = "/sys/kernel/mm/transparent_hugepage/enabled"
    mode = chosen(m.read(path))
    if mode is None:
        return Check("huge pages", "grey", "not told by this system")
    if mode == "always":
        return Check("huge pages", "amber", "always: which buffers get them differs between processes", f"echo madvise | sudo tee {path}")  # fmt: skip
    return Check("huge pages", "green", mode)


def allocator(m: Machine) -> Check:
    """The C library's allocator, which MALLOC_* can tell to keep its memory only if it is glibc's own."""
    loaded = m.environ.get("LD_PRELOAD", "") + " " + m.read("/etc/ld.so.preload")
    other = next((name for name in ALLOCATORS if name in loaded), None)
    if other:
        return Check("allocator", "amber", f"{other} is preloaded: allocator retain has no effect", "unset LD_PRELOAD, or say so beside the numbers")  # fmt: skip
    if not m.libc.startswith("glibc"):
        return Check("allocator", "amber", "the C library is not glibc: allocator retain has no effect", "measure where glibc is, or say so beside the numbers")  # fmt: skip
    return Check("allocator", "green", f"{m.libc}: allocator retain works")


# ---------------------------------------------------------------- the rest


def variables(m: Machine) -> Check:
    """The caller's variables that shape times: those that workers do not get, and those that they do."""
    out, passed = not_passed_on(m.environ), passed_on(m.environ)
    seen = [f"not passed on to workers: {' '.join(out)}"] if out else []
    seen += [f"passed on, and changes what is measured: {' '.join(passed)}"] if passed else []
    if not seen:
        return Check("variables", "green", "none that shape times")
    advice = ["the run sets those itself or keeps to defaults: use the axes threads, allocator, waiting"] if out else []
    advice += [f"unset {' '.join(passed)}"] if passed else []
    return Check("variables", "amber", "; ".join(seen), "; ".join(advice))


def clock(m: Machine) -> Check:
    """The clock's source, and the smallest step of perf_counter."""
    source = m.read("/sys/devices/system/clocksource/clocksource0/current_clocksource")
    seen = f"{source or 'source not told'}, steps of {m.clock_step_ns} ns"
    if source in SLOW_CLOCKS:
        return Check(
            "clock", "amber", seen, "each reading asks a slow device: see dmesg | grep -i tsc for why tsc is not used"
        )
    if m.clock_step_ns > COARSE_NS:
        return Check("clock", "amber", seen, "short samples lose digits: --set sample_seconds=0.01")
    return Check("clock", "green", seen)


def counters(m: Machine) -> Check:
    """The kernel's counters of waiting, which flag disturbed samples."""
    if m.read("/proc/self/schedstat"):
        return Check("counters", "green", "the kernel counts waiting and preemption")
    return Check("counters", "amber", "no counters of waiting and preemption: disturbed samples can't be flagged", "use Linux, outside a sandbox that hides /proc")  # fmt: skip


def disk(m: Machine) -> Check:
    """Room for results, and leave to write them."""
    if not m.writable:
        return Check("results", "red", f"{m.results} can't be written", "name another folder: --out DIR")
    if m.free_bytes is None:
        return Check("results", "grey", f"{m.results} can be written; free space not told")
    seen = f"{m.results} can be written, {_gib(m.free_bytes)} free"
    state: State = "red" if m.free_bytes < DISK_RED else "amber" if m.free_bytes < DISK_AMBER else "green"
    return Check("results", state, seen, "" if state == "green" else "make room, or name another disk: --out DIR")


def chosen(text: str) -> str | None:
    """The word in brackets of a kernel setting such as `always [madvise] never`."""
    return text.partition("[")[2].partition("]")[0] or None


def _cpu_list(text: str) -> frozenset[int]:
    """The kernel's `0-3,8` as numbers."""
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        if first.isdecimal():
            found |= set(range(int(first), int(last if last.isdecimal() else first) + 1))
    return frozenset(found)


def _gib(size: int) -> str:
    return f"{digits(size / (1 << 30), 3)} GiB"


CHECKS = (
    threads, core_kinds, smt, governor, turbo, battery, load, pressure, steal, hypervisor,
    memory, swap, huge_pages, allocator, variables, clock, counters, disk,
)  # fmt: skip
