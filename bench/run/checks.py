"""Check what would spoil the numbers on this machine: load, clocks, memory, variables; a function and limits for each.

green: fine. amber: the numbers are less reliable. red: no or useless numbers. grey: unknown, or not asked for.
`bench doctor` prints all checks, `bench run` the amber and red ones; a red one stops it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from bench.run.launch import not_passed_on, passed_on
from bench.run.machine import Machine, number, quota
from bench.spec.format import in_bytes, plural

State = Literal["grey", "green", "amber", "red"]

BUSY_CORES = 0.25  # used by other programs, above which a check is amber
LEAST_FREE_CORES = 0.5
LEAST_QUOTA = 0.5  # cores: with 0.5 most samples are clean, with 0.3 three of four are disturbed
PRESSURE = 5.0  # %: share of the last ten seconds in which something waited for a core
STOLEN, MUCH_STOLEN = 0.01, 0.1  # share of the cores' time: amber, red
MEMORY_AMBER, MEMORY_RED = 2 << 30, 1 << 29  # bytes; torch and its heap need about 0.5 GiB
SWAPPED = 0.05  # of all memory
DISK_AMBER, DISK_RED = 1 << 30, 100 << 20
COARSE_NS = 1000  # a clock step above which short samples lose digits
SLOW_CLOCKS = ("hpet", "acpi_pm", "jiffies", "refined-jiffies", "pit")
ALLOCATORS = ("jemalloc", "tcmalloc", "mimalloc", "hoard", "tbbmalloc")
GUEST_VENDORS = ("QEMU", "Xen", "VMware, Inc.", "innotek GmbH")  # for processors without a flag
GUEST_PRODUCTS = ("Virtual Machine", "Google Compute Engine")
CPU = "/sys/devices/system/cpu"
DMI = "/sys/class/dmi/id"


@dataclass(frozen=True, slots=True)
class Check:
    """What was checked, its state, what was seen, and what to do if it is not green."""

    name: str
    state: State
    seen: str
    remedy: str = ""

    @property
    def line(self) -> str:
        """Name, observation and remedy in one line, for environment.json."""
        return f"{self.name}: {self.seen}" + (f": {self.remedy}" if self.remedy else "")


def worst(checks: Iterable[Check]) -> State:
    """red, amber or green; grey counts as green."""
    states = {check.state for check in checks}
    return "red" if "red" in states else "amber" if "amber" in states else "green"


def tally(checks: Sequence[Check]) -> str:
    """Such as `1 red, 3 ambers`; empty where all is green."""
    counts = {state: sum(c.state == state for c in checks) for state in ("red", "amber")}
    return ", ".join(plural(n, state) for state, n in counts.items() if n)


def summary(checks: Sequence[Check]) -> str:
    """Ambers and reds in one line: how many, which, and what to run next."""
    seen = "; ".join(f"{c.name} ({c.seen})" for c in checks if c.state in ("red", "amber"))
    return f"{tally(checks)}: {seen}: bench doctor says what to do"


def local(machine: Machine) -> list[Check]:
    """Every check that needs no worker."""
    return [check(machine) for check in CHECKS]


def _judged(name: str, seen: str, remedy: str, *, amber: bool, red: bool = False) -> Check:
    """A check that is green, and then without a remedy, where neither limit is passed."""
    return Check(name, "red" if red else "amber", seen, remedy) if red or amber else Check(name, "green", seen)


def _unknown(name: str) -> Check:
    return Check(name, "grey", "not reported by this system")


def threads(m: Machine) -> Check:
    """Workers' threads, the physical cores and the control group's quota."""
    granted = quota(m.read)
    seen = f"at most {m.usable}, one for each of {m.usable} of {m.cores} physical cores"
    seen += f"; the control group grants {granted:g} cores" if granted is not None else ""
    whole = "give the container whole cores (--cpuset-cpus, or --cpus with a whole number)"
    if granted is None or (granted >= 1 and granted == int(granted)):
        return Check("threads", "green", seen)
    which = f"more than {plural(int(granted), 'thread')} would be" if granted >= 1 else "even one thread is"
    remedy = f"{which} throttled within samples: {whole}"
    return _judged("threads", seen, remedy, amber=True, red=granted < LEAST_QUOTA)


def core_kinds(m: Machine) -> Check:
    """Fast and slow cores in one processor, on which a thread's time depends on its core."""
    capacities = {m.read(f"{CPU}/cpu{cpu}/cpu_capacity") for cpu in m.cpus} - {""}
    fast, slow = (_cpu_list(m.read(f"/sys/devices/{kind}/cpus")) for kind in ("cpu_core", "cpu_atom"))
    if len(capacities) > 1 or (m.cpus & fast and m.cpus & slow):
        remedy = "start bench on cores of one kind: taskset -c LIST bench run ..."
        return Check("core kinds", "amber", "fast and slow cores", remedy)
    return Check("core kinds", "green", "all alike") if capacities or fast else _unknown("core kinds")


def smt(m: Machine) -> Check:
    """Simultaneous multithreading: workers leave a core's second thread free, but another program may use it."""
    active = m.read(f"{CPU}/smt/active")
    if active not in ("0", "1"):
        return _unknown("SMT")
    if active == "0":
        return Check("SMT", "green", "off")
    if (m.busy or 0.0) > BUSY_CORES:
        return Check("SMT", "amber", "on, and other programs may share a worker's core", f"close them, or echo off | sudo tee {CPU}/smt/control")  # fmt: skip
    return Check("SMT", "green", "on; workers use one thread of a core")


def governor(m: Machine) -> Check:
    """The governor of the processor's frequency."""
    names = sorted({m.read(f"{CPU}/cpu{cpu}/cpufreq/scaling_governor") for cpu in m.cpus} - {""})
    if not names:
        return _unknown("governor")
    remedy = "performance repeats better: sudo cpupower frequency-set -g performance"
    return _judged("governor", ", ".join(names), remedy, amber=bool(set(names) - {"performance", "schedutil"}))


def turbo(m: Machine) -> Check:
    """Frequencies above the nominal one, which depend on heat and on the other cores."""
    for path, on, off in ((f"{CPU}/intel_pstate/no_turbo", "0", "1"), (f"{CPU}/cpufreq/boost", "1", "0")):
        if (now := m.read(path)) == off:
            return Check("turbo", "green", "off")
        if now == on:
            seen = "on: the clock follows heat and the number of busy cores"
            remedy = f"leave it on for realistic times; for repeatable times, echo {off} | sudo tee {path}"
            return Check("turbo", "amber", seen, remedy)
    return _unknown("turbo")


def battery(m: Machine) -> Check:
    """A battery, which limits the clock."""
    seen = {None: "no battery seen", True: "on the mains", False: "running on battery"}[m.plugged]
    return _judged("power", seen, "plug in", amber=m.plugged is False)


def load(m: Machine) -> Check:
    """Other programs on the cores for workers."""
    if m.busy is None:
        return _unknown("load")
    seen = f"other programs use {m.busy:.1f} of {len(m.cpus)} logical cores"
    full = len(m.cpus) - m.busy < LEAST_FREE_CORES
    remedy = "close them, or wait: no core is free" if full else "close them, or expect wider intervals"
    return _judged("load", seen, remedy, amber=m.busy > BUSY_CORES, red=full)


def pressure(m: Machine) -> Check:
    """How long programs waited for a core (the kernel's pressure stall information)."""
    fields = dict(f.split("=", 1) for f in m.read("/proc/pressure/cpu").partition("\n")[0].split() if "=" in f)
    share = number(fields.get("avg10", ""))
    if share is None:
        return _unknown("pressure")
    seen = f"programs waited for a core in {share:.0f} % of the last 10 s"
    return _judged("pressure", seen, "close other programs", amber=share >= PRESSURE)


def steal(m: Machine) -> Check:
    """Time that the hypervisor gave to other guests."""
    if m.stolen is None:
        return _unknown("steal")
    seen = f"the hypervisor took {m.stolen * 100:.1f} % of the cores' time"
    remedy = "wait, or use a machine or an instance with dedicated cores"
    return _judged("steal", seen, remedy, amber=m.stolen >= STOLEN, red=m.stolen >= MUCH_STOLEN)


def hypervisor(m: Machine) -> Check:
    """A virtual machine: no counter shows the effect of other guests on caches and memory."""
    flags = (line.split() for line in m.read("/proc/cpuinfo").splitlines() if line.startswith("flags"))
    kind, vendor, product = (m.read(f) for f in ("/sys/hypervisor/type", f"{DMI}/sys_vendor", f"{DMI}/product_name"))
    guest = any("hypervisor" in line for line in flags) or bool(kind) or vendor in GUEST_VENDORS
    guest |= product in GUEST_PRODUCTS or (vendor == "Amazon EC2" and not product.endswith(".metal"))
    if not any((guest, vendor, m.read("/proc/cpuinfo"))):
        return _unknown("hypervisor")
    name = f" ({kind or vendor})" if kind or vendor else ""
    seen = f"a virtual machine{name}: other guests can't be seen" if guest else "none seen"
    return _judged("hypervisor", seen, "repeat the run and compare, or use a dedicated machine", amber=guest)


def memory(m: Machine) -> Check:
    """Memory available without swapping, within the control group's limit."""
    if m.available_bytes is None or m.memory_bytes is None:
        return _unknown("memory")
    seen = f"{in_bytes(m.available_bytes, 'GiB')} of {in_bytes(m.memory_bytes, 'GiB')} available"
    remedy = "large shapes will run out of memory: close other programs, or raise the container's limit"
    return _judged("memory", seen, remedy, amber=m.available_bytes < MEMORY_AMBER, red=m.available_bytes < MEMORY_RED)


def swap(m: Machine) -> Check:
    """Memory that was moved to disk."""
    if m.swap_bytes is None or m.memory_bytes is None:
        return _unknown("swap")
    seen = f"{in_bytes(m.swap_bytes, 'GiB')} in use" if m.swap_bytes else "none in use"
    remedy = "a worker's memory may be on disk: close other programs"
    return _judged("swap", seen, remedy, amber=m.swap_bytes > SWAPPED * m.memory_bytes)


def huge_pages(m: Machine) -> Check:
    """Transparent huge pages: with `always`, a buffer has them or not, depending on how fragmented memory is."""
    path = "/sys/kernel/mm/transparent_hugepage/enabled"
    mode = chosen(m.read(path))
    if mode is None:
        return _unknown("huge pages")
    seen = f"{mode}: which buffers have them differs between processes" if mode == "always" else mode
    return _judged("huge pages", seen, f"echo madvise | sudo tee {path}", amber=mode == "always")


def allocator(m: Machine) -> Check:
    """The C library's allocator: only glibc's obeys the MALLOC_* variables that make it keep its memory."""
    loaded = m.environ.get("LD_PRELOAD", "") + " " + m.read("/etc/ld.so.preload")
    other = next((name for name in ALLOCATORS if name in loaded), None)
    if other:
        return Check("allocator", "amber", f"{other} is preloaded: allocator retain has no effect", "unset LD_PRELOAD, or note it beside the numbers")  # fmt: skip
    if not m.libc.startswith("glibc"):
        return Check("allocator", "amber", "the C library is not glibc: allocator retain has no effect", "measure with glibc, or note it beside the numbers")  # fmt: skip
    return Check("allocator", "green", f"{m.libc}: allocator retain works")


def variables(m: Machine) -> Check:
    """The caller's variables that affect times: those that workers do not get, and those that they do."""
    out, passed = not_passed_on(m.environ), passed_on(m.environ)
    seen = [f"not passed on to workers: {' '.join(out)}"] if out else []
    seen += [f"passed on, and changes what is measured: {' '.join(passed)}"] if passed else []
    advice = ["the run sets those itself or uses the defaults: use the axes threads, allocator, waiting"] if out else []
    advice += [f"unset {' '.join(passed)}"] if passed else []
    return _judged("variables", "; ".join(seen) or "none that affect times", "; ".join(advice), amber=bool(seen))


def clock(m: Machine) -> Check:
    """The clock's source, and the smallest step of perf_counter."""
    source = m.read("/sys/devices/system/clocksource/clocksource0/current_clocksource")
    seen = f"{source or 'source not reported'}, steps of {m.clock_step_ns} ns"
    if source in SLOW_CLOCKS:
        return Check("clock", "amber", seen, "it is slow to read: see dmesg | grep -i tsc for why tsc is not used")
    if m.clock_step_ns > COARSE_NS:
        return Check("clock", "amber", seen, "short samples lose digits: --set sample_seconds=0.01")
    return Check("clock", "green", seen)


def counters(m: Machine) -> Check:
    """The kernel's counters of waiting, by which disturbed samples are flagged."""
    if m.read("/proc/self/schedstat"):
        return Check("counters", "green", "the kernel counts waiting and preemption")
    return Check("counters", "amber", "no counters of waiting and preemption: disturbed samples can't be flagged", "use Linux, outside a sandbox that hides /proc")  # fmt: skip


def disk(m: Machine) -> Check:
    """Free space for results, and the permission to write them."""
    if not m.writable:
        return Check("results", "red", f"{m.results} can't be written", "name another folder: --out DIR")
    if m.free_bytes is None:
        return Check("results", "grey", f"{m.results} can be written; free space not reported")
    seen = f"{m.results} can be written, {in_bytes(m.free_bytes, 'GiB')} free"
    remedy = "free some space, or name another disk: --out DIR"
    return _judged("results", seen, remedy, amber=m.free_bytes < DISK_AMBER, red=m.free_bytes < DISK_RED)


def chosen(text: str) -> str | None:
    """The word in brackets of a kernel setting such as `always [madvise] never`."""
    return text.partition("[")[2].partition("]")[0] or None


def _cpu_list(text: str) -> frozenset[int]:
    """The kernel's `0-3,8` as numbers."""
    cpus: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        if first.isdecimal():
            cpus |= set(range(int(first), int(last if last.isdecimal() else first) + 1))
    return frozenset(cpus)


CHECKS = (
    threads, core_kinds, smt, governor, turbo, battery, load, pressure, steal, hypervisor,
    memory, swap, huge_pages, allocator, variables, clock, counters, disk,
)  # fmt: skip
