"""The ten claims of the texts: statement, cells, rule in words, alternative explanations, and the judging function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from bench.analyse.claims import rules_counted, rules_layers_or_macs, rules_ratios
from bench.analyse.claims.answers import BELOW, SPEEDUP, Verdict
from bench.analyse.claims.cells import Rows
from bench.spec.interval import EQUIVALENCE_MARGIN

DeviceKind = Literal["cpu", "gpu", "both", "any"]


@dataclass(frozen=True, slots=True)
class Claim:
    """One statement that runs can support or refute.

    `margin` is in ln, None where the claim has none; `device_kind`: what it is about; `to_measure`: how to measure rows
    for it; `judge` gives its verdicts, one for each condition, with p not yet adjusted.
    """

    id: str
    statement: str
    cells: str
    rule: str
    alternatives: tuple[str, ...]
    device_kind: DeviceKind
    margin: float | None
    to_measure: str
    judge: Callable[[Rows], list[Verdict]]

    def to_dict(self) -> dict[str, Any]:
        """For JSON, without its verdicts."""
        names = ("id", "statement", "cells", "rule", "alternatives", "device_kind", "margin")
        return {name: getattr(self, name) for name in names} | {"alternatives": list(self.alternatives)}


_CELLS = (
    "one separable block against one standard at k = 3, at every number of channels; and, apart, MobileNetV1 against its "
    "twin of standard convolutions"
)
_EACH_CELL = (
    "each cell is tested by itself, corrected for their number; the answer says from how many channels on it surely "
)
_SWEEPS = "designed sweeps of one block: layers growing at fixed MACs (E_L), and MACs growing at fixed layers (E_M); one verdict for each block"
_LEADS = "every {count} surely above every {other} (SUPPORTED) or below (REFUTED), by Welch's interval of their difference; UNDECIDED without both kinds of sweep"
_BASELINE = "the baseline's algorithm: a library that is bad at, or very good at (Winograd), the standard convolution"
_SETTINGS = "dtype, layout and the library's choice of algorithm"

CLAIMS: tuple[Claim, ...] = (
    Claim(
        id="fewer_flops",
        statement="A separable block needs fewer multiplications than the standard convolution it replaces.",
        cells="every row of separable against standard, measured or not; one verdict for each kernel",
        rule="exact: the MAC ratio is above 1 in all of them",
        alternatives=(),
        device_kind="any",
        margin=None,
        to_measure="no row of separable against standard: make bench",
        judge=rules_counted.fewer_flops,
    ),
    Claim(
        id="below_9x",
        statement="At k = 3 the multiplications never fall by 9 times or more, however many channels there are.",
        cells="every row of separable against standard at k = 3, measured or not",
        rule=f"exact: the MAC ratio, 1 / (1/N + 1/9) for N channels out, stays below {BELOW:g}",
        alternatives=(),
        device_kind="any",
        margin=None,
        to_measure="no row of separable against standard at k = 3: make bench",
        judge=rules_counted.below_9x,
    ),
    Claim(
        id="faster",
        statement="It is faster than the standard convolution.",
        cells=_CELLS,
        rule=f"{_EACH_CELL}is faster, or slower",
        alternatives=(_BASELINE, _SETTINGS),
        device_kind="any",
        margin=None,
        to_measure="no pair of separable against standard at k = 3: make bench",
        judge=rules_ratios.faster,
    ),
    Claim(
        id="cpu_3x",
        statement=f"On a CPU it is at least {SPEEDUP:g} times faster.",
        cells=_CELLS,
        rule=f"{_EACH_CELL}gains {SPEEDUP:g}x or more, or less",
        alternatives=(_BASELINE, _SETTINGS, "batch norm and ReLU, which grow with the layers", "a cache that holds one arm and not the other"),
        device_kind="cpu",
        margin=None,
        to_measure="no CPU pair of separable against standard at k = 3: make bench",
        judge=rules_ratios.cpu_3x,
    ),
    Claim(
        id="gpu_no_gain",
        statement="On an accelerator it brings no speed-up, at times a loss.",
        cells=_CELLS,
        rule=f"{_EACH_CELL}gains no more than the margin, or more",
        alternatives=(_BASELINE, _SETTINGS, "a batch too small for the device", "the host's speed at submitting calls"),
        device_kind="gpu",
        margin=EQUIVALENCE_MARGIN,
        to_measure="no accelerator in these runs: make reproduce DEVICE=cpu,cuda",
        judge=rules_ratios.gpu_no_gain,
    ),
    Claim(
        id="gpu_led_by_layers",
        statement="On an accelerator time follows the number of layers.",
        cells=_SWEEPS,
        rule=_LEADS.format(count="E_L", other="E_M"),
        alternatives=("activations that grow along the sweep", "the host's speed at submitting calls", "too few channels to fill the device"),
        device_kind="gpu",
        margin=None,
        to_measure="no designed sweep of layers or MACs on an accelerator in these runs",
        judge=rules_layers_or_macs.led_by_layers,
    ),
    Claim(
        id="cpu_led_by_compute",
        statement="On a CPU time follows the total compute.",
        cells=_SWEEPS,
        rule=_LEADS.format(count="E_M", other="E_L"),
        alternatives=("activations that grow along the sweep", "threads that wait for each other in every layer", "another algorithm for few channels"),
        device_kind="cpu",
        margin=None,
        to_measure="no designed sweep of layers or MACs on a CPU in these runs",
        judge=rules_layers_or_macs.led_by_compute,
    ),
    Claim(
        id="device_by_block",
        statement="A CPU gains more from it than an accelerator does.",
        cells=f"{_CELLS}; of the same dtype, layout, mode, pass and batch on a CPU and on an accelerator",
        rule=f"{_EACH_CELL}gains more on the CPU by over the margin, or does not",
        alternatives=("two machines that differ in more than the device", _SETTINGS, "the number of CPU threads"),
        device_kind="both",
        margin=EQUIVALENCE_MARGIN,
        to_measure="no block and shape measured on a CPU and an accelerator: make bench DEVICE=cpu,cuda:0, or give both runs",
        judge=rules_ratios.device_by_block,
    ),
    Claim(
        id="parallelism",
        statement="The more a CPU can do in parallel, the less it gains.",
        cells=f"{_CELLS}; that are the same but for their number of threads",
        rule=f"{_EACH_CELL}gains less with the most threads than with the fewest by over the margin, or does not",
        alternatives=("another kernel of the library for another number of threads", "clocks that fall as more cores work", "memory bandwidth that all cores share", "other programs on the cores"),
        device_kind="cpu",
        margin=EQUIVALENCE_MARGIN,
        to_measure='no pair at two numbers of CPU threads: make bench SET="threads=1,all"',
        judge=rules_ratios.parallelism,
    ),
    Claim(
        id="memory",
        statement="A separable block needs less memory while it runs.",
        cells="trials of separable against standard whose peaks were both measured",
        rule="the measured peak of standard / that of separable is above 1 + margin in every cell (SUPPORTED), in none (REFUTED), or within ±margin in all (EQUIVALENT), each time it was measured; the same ratio by theory tells whether the block or the library's work buffers make the difference; bytes are counted, so there is no test",
        alternatives=("the middle map that a separable block writes", "an allocator that rounds up"),
        device_kind="any",
        margin=EQUIVALENCE_MARGIN,
        to_measure="no trial of separable against standard with peaks of memory: make bench",
        judge=rules_counted.memory,
    ),
)  # fmt: skip

BY_ID = {claim.id: claim for claim in CLAIMS}
