"""The columns of every CSV file: name, dtype, meaning, unit. Headers, readers, docs/COLUMNS.md and tooltips use them.

A column is one line. `files`: m for measurements.csv, p pairs.csv, s samples.csv, o opinions.csv, r roofs.csv.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args

SCHEMA_VERSION = 2

Status = Literal["ok", "noisy", "predicted", "skipped", "unsupported", "oom", "timeout", "crash", "nonfinite"]
STATUSES: tuple[Status, ...] = get_args(Status)
MEASURED: tuple[Status, ...] = ("ok", "noisy")
PREDICTED: Status = "predicted"
WITH_NUMBERS: tuple[Status, ...] = (*MEASURED, PREDICTED)
"""Statuses of rows with numbers. Measured and predicted rows may stand side by side, but never in one mean."""
Part = Literal["conv", "depthwise", "pointwise", "norm_act", "other"]
PARTS: tuple[Part, ...] = get_args(Part)
"""The parts of a block's time, besides the gaps between layers."""
LEAF = "leaf:"
"""Before the name of a user's module, beside the parts in the journal."""
FAILED: tuple[Status, ...] = ("oom", "timeout", "crash", "nonfinite")
NOT_YET = "not measured yet"  # how status_detail begins of a trial that a run has not come to


@dataclass(frozen=True, slots=True)
class Column:
    """`dtype`: a pandas dtype that can hold missing values; `unit`: SI or empty; `empty`: where the column is empty."""

    name: str
    unit: str
    dtype: Literal["string", "Int64", "Float64", "boolean"]
    meaning: str
    files: str
    empty: str


def _c(files: str, name: str, dtype: str, meaning: str, unit: str = "", empty: str = "") -> Column:
    kinds = {"str": "string", "int": "Int64", "float": "Float64", "bool": "boolean"}
    return Column(name, unit, kinds[dtype], meaning, files, empty)  # type: ignore[arg-type]


# Columns that are empty in the same rows.
_timed = partial(_c, empty="nothing was timed")
_spread = partial(_c, empty="fewer than three processes timed it")
_of_block = partial(_c, empty="it is a whole network")
_cost = partial(_c, empty="its costs are not known")
_device_time = partial(_c, empty="nothing was timed; on cpu and mps")
_part = partial(
    _c,
    empty="nothing was timed; not an eager inference; over 256 steps; a card whose queue can't be held back; most walks were left out (quality_notes)",
)
_card = partial(_c, empty="nothing was timed; no NVIDIA GPU, or NVML can't read it")
_roofed = partial(_c, empty="nothing was timed; no roof was measured for it; a user's block")
_a_roof = partial(_c, empty="it could not be measured: roof_detail says why")


# fmt: off
COLUMNS: tuple[Column, ...] = (
    # identity
    _c("mpsor", "run_id", "str", "the run: config, device and start time"),
    _c("mpso", "trial_id", "str", "the trial: experiment, shape, settings and surroundings"),
    _c("mpso", "arm_id", "str", "the arm: the trial and its block"),
    _c("o", "tool", "str", "the tool that timed it a second time, the arms one after the other in one process; its speedup is of medians"),
    _c("s", "replicate", "int", "which fresh process took the sample, from 1"),
    _c("mp", "experiment", "str", "the experiment of the config"),
    _c("mpor", "schema_version", "int", "version of these files"),
    _c("mpo", "status", "str", "ok, noisy, predicted (by a model: nothing was measured), skipped, unsupported, oom, timeout, crash or nonfinite"),
    _c("mp", "status_detail", "str", "why the status is not ok; of a predicted row the model", empty="the status is ok"),
    # workload
    _c("mpso", "block", "str", "the block of this row"),
    _c("mpo", "baseline", "str", "the block that it is compared with"),
    _c("mp", "side", "str", "of bench ab: a or b, where it was measured; of a pair b, whose baseline is side a", empty="it is not a run of bench ab"),
    _c("mp", "batch", "int", "items in one evaluation"),
    _of_block("mp", "c_in", "int", "channels in"),
    _of_block("mp", "c_out", "int", "channels out"),
    _c("mp", "height", "int", "input height", "pixels"),
    _c("mp", "width", "int", "input width", "pixels"),
    _of_block("mp", "kernel", "int", "kernel size k of the k x k convolution", "pixels"),
    _of_block("mp", "stride", "int", "stride of the block", "pixels"),
    _of_block("mp", "padding", "str", "same or valid"),
    _of_block("mp", "dilation", "int", "distance between kernel taps", "pixels"),
    _c("mp", "groups", "int", "groups of the block's first convolution", empty="it is a network or a user's block, or has no convolution"),
    _of_block("mp", "depth", "int", "how many copies of the block are stacked"),
    _c("mpr", "dtype", "str", "fp32 (IEEE, no TF32), fp32-tf32, bf16, fp16 or fp64"),
    _c("mp", "layout", "str", "memory format: contiguous (NCHW) or channels_last (NHWC)"),
    _c("mp", "mode", "str", "eager, compile (torch.compile) or graph (CUDA graph replay)"),
    _c("mp", "cudnn_benchmark", "str", "whether cuDNN tries several algorithms and keeps the fastest: on or off"),
    _c("mp", "pass", "str", "inference (forward) or training (forward and backward)"),
    _c("mpr", "threads", "int", "CPU threads that one operator may use"),
    _c("mp", "allocator", "str", "retain: the C library keeps freed memory; default: it returns it"),
    _c("mp", "waiting", "str", "OpenMP's waiting: default, active (spin) or passive (sleep)"),
    _c("mpr", "device", "str", "cpu, cuda:0 and so on; sim:NAME is predicted"),
    _c("mpr", "device_name", "str", "the device's name; that of a predicted one begins with the word predicted", empty="the run's environment.json is lost"),
    _c("mp", "machine", "str", "the name of the machine that measured the trial", empty="nothing was measured; it is not a merge of shards"),
    # theory
    _cost("m", "params", "int", "trainable parameters, batch norm included"),
    _cost("m", "macs", "int", "multiply-accumulates of one evaluation: convolutions, and linear layers of networks"),
    _cost("m", "flops", "int", "floating point operations: 2 x macs", "FLOP"),
    _cost("m", "bytes_min", "int", "least traffic: each layer's input, weights and output once", "bytes"),
    _cost("m", "activations", "int", "output elements of all convolutions of one forward pass"),
    _cost("m", "layers", "int", "convolutions in the block"),
    _cost("m", "ops", "int", "operator calls that the block makes in one forward pass"),
    _cost("m", "cost_source", "str", "source of params to ops: formula, or counted by hooks while a user's block ran; or the operator that can't be counted"),
    _cost("m", "intensity_flop_per_byte", "float", "flops / bytes_min", "FLOP/byte"),
    # time
    _timed("mo", "time_median_s", "float", "median over samples in each process, geometric mean over processes", "s"),
    _spread("m", "time_ci_low_s", "float", "lower end of its interval over processes; of a predicted row by the model's error and a slower host", "s"),
    _spread("m", "time_ci_high_s", "float", "upper end of its interval over processes; of a predicted row by the model's error and a slower host", "s"),
    _timed("m", "time_by_process", "str", "the median in each process in seconds, as replicate:time, apart by spaces"),
    _c("mo", "time_min_s", "float", "minimum over samples in each process, geometric mean over processes", "s", empty="nothing was timed; torch.utils.benchmark, which gives none"),
    _c("o", "time_iqr_s", "float", "the middle half of the tool's samples: upper less lower quartile", "s", empty="nothing was timed"),
    _timed("m", "time_p10_s", "float", "10th percentile over samples of all processes", "s"),
    _timed("m", "time_p90_s", "float", "90th percentile over samples of all processes", "s"),
    _timed("m", "samples", "int", "samples taken, warm-up left out"),
    _timed("m", "evaluations_per_sample", "int", "evaluations in one sample (median over processes)"),
    _device_time("m", "device_time_median_s", "float", "the device's time of a call, between two events round a call that was fully queued before it began", "s"),
    _c("m", "device_time_cold_median_s", "float", "the same with the device's cache emptied before each call", "s", empty="nothing was timed; on cpu and mps, or the cache can't be emptied"),
    _device_time("m", "device_time_proven", "bool", "whether every such call was fully queued before the device reached it"),
    _c("m", "enqueue_time_median_s", "float", "time that the host takes to submit one evaluation", "s", empty="nothing was timed; on cpu"),
    _c("m", "bound", "str", "launch-bound: enqueue > 1.2 x device time; device-bound: the reverse; else balanced", empty="one of the two is empty"),
    _part("m", "time_in_conv_s", "float", "the part of time_median_s in k x k, grouped and transposed convolutions: the least over walks layer by layer, beside whole calls; on a card by its own clock, less the time of the events between layers", "s"),
    _part("m", "time_in_depthwise_s", "float", "the same in depthwise convolutions", "s"),
    _part("m", "time_in_pointwise_s", "float", "the same in 1 x 1 convolutions", "s"),
    _part("m", "time_in_norm_act_s", "float", "the same in batch norm and activations", "s"),
    _part("m", "time_in_other_s", "float", "the same in pooling, linear layers, additions", "s"),
    _part("m", "time_in_gaps_s", "float", "the same between the layers, on a card mostly waiting for the host; of a user's block also what its forward does outside of modules; 0 where a walk takes up to 5 % longer than a call", "s"),
    _part("m", "time_by_module", "str", "of a user's block: the part of time_median_s in seconds in each of its innermost modules that it calls, as name:time, apart by spaces; what its forward does outside of them is in time_in_gaps_s"),
    _c("m", "compile_time_s", "float", "time of an arm's first call in mode compile, in the inspection; the run starts without cache", "s", empty="in another mode; it was not inspected"),
    _c("m", "launches", "int", "kernels that one evaluation starts, by the profiler", empty="it was not inspected; on cpu and mps; the profiler saw none"),
    _c("m", "launches_graph", "int", "the same by the kernel nodes of a captured graph", empty="it was not inspected; on anything but CUDA with its Python bindings"),
    # memory
    _c("m", "memory_peak_bytes", "int", "most memory that one evaluation held beyond input and weights", "bytes", empty="it was not inspected; in mode graph; on mps"),
    _c("m", "memory_requested_bytes", "int", "the same before the allocator rounds up", "bytes", empty="it was not inspected; in mode graph; on cpu and mps"),
    _c("m", "memory_reserved_bytes", "int", "most memory that the allocator had taken from the device", "bytes", empty="it was not inspected; in mode graph; on cpu and mps"),
    _c("m", "memory_theory_bytes", "int", "the same by liveness of the operators' outputs, no workspace", "bytes", empty="its costs are not known by a formula"),
    _c("m", "backends", "str", "the library that runs each convolution, in order", empty="it was not inspected, or has no convolution"),
    # pairs
    _c("po", "speedup", "float", "time of the baseline / time of the block: above 1 the block is faster; midmean over rounds, geometric mean over processes", empty="nothing was timed; in the baseline's own row"),
    _spread("p", "speedup_ci_low", "float", "lower end of its interval over processes; of a predicted row by the model's error and a slower host"),
    _spread("p", "speedup_ci_high", "float", "upper end of its interval over processes; of a predicted row by the model's error and a slower host"),
    _timed("p", "speedup_of_minima", "float", "ratio of each process's minima, geometric mean: a second opinion"),
    _timed("p", "speedup_of_medians", "float", "ratio of each process's medians, geometric mean: a third"),
    _timed("p", "speedup_by_process", "str", "the speedup in each process as replicate:speedup, apart by spaces; the speedup is their geometric mean"),
    _c("p", "device_speedup", "float", "the same by the device's own time, device_time_median_s of both: speedup without what the host takes; it has no interval", empty="nothing was timed; on cpu and mps; a call of either was not proven to be queued"),
    _spread("p", "verdict", "str", "faster, slower, same (the whole interval lies within 3 % or the noise band) or undecided"),
    _c("p", "noise_band", "float", "ln: 95 % of this machine's A/A pairs lie within ± this (bench aa)", empty="no bench aa of this device, torch and number of threads was in the same folder"),
    _c("p", "mac_ratio", "float", "MACs of the baseline / MACs of the block: the speedup to expect by MACs alone", empty="costs are not known, or one of the two multiplies nothing"),
    _c("p", "layer_ratio", "float", "layers of the block / layers of the baseline", empty="costs are not known, or one of the two has no layer"),
    _c("p", "delivered_share", "float", "speedup / mac_ratio: the share of the expected speedup that was achieved", empty="nothing was timed; mac_ratio is empty"),
    _timed("p", "rounds", "int", "rounds in all processes"),
    _c("mpr", "processes", "int", "fresh processes that measured the trial; 0 for a predicted one"),
    _c("p", "precision_target", "float", "asked half-width of the interval of ln(speedup)", empty="the row is predicted"),
    _spread("p", "precision", "float", "half-width of the interval of ln(speedup): the one reached; of a predicted row by the model's error and a slower host"),
    # quality
    _timed("mp", "precision_reached", "bool", "whether the interval is as narrow as asked"),
    _timed("mp", "flagged_share", "float", "share of samples that the counters flag as disturbed"),
    _c("mp", "quality_notes", "str", "waiting, preemption, page faults, steal, estimators that differ, processes in two groups, red checks, layer times left out", empty="there is nothing to note"),
    _timed("m", "run_queue_wait_share", "float", "time that threads waited for a core / time measured"),
    _timed("m", "involuntary_switches", "int", "how often a thread lost its core within a sample"),
    _card("m", "card_clock_hz", "float", "the card's multiprocessor clock after the rounds (median; by NVML)", "Hz"),
    _card("m", "card_temperature_c", "float", "the card's temperature after the rounds (median; by NVML)", "degrees C"),
    _card("m", "card_power_w", "float", "the card's power after the rounds (median; by NVML)", "W"),
    _timed("m", "minor_faults_per_evaluation", "float", "minor page faults per evaluation"),
    _c("o", "detail", "str", "a limitation of the tool's times, or why there are none", empty="there is nothing to note"),
    # derived
    _c("m", "achieved_flop_per_s", "float", "flops / time_min_s", "FLOP/s", empty="nothing was timed; its costs are not known"),
    _c("m", "achieved_bytes_per_s", "float", "bytes_min / time_min_s", "bytes/s", empty="nothing was timed; its costs are not known"),
    # roofs
    _roofed("m", "attainable_flop_per_s", "float", "flops / the least time that the measured roofs allow", "FLOP/s"),
    _roofed("m", "attainable_share", "float", "that least time / time_min_s: a row over 1.05 has a quality note"),
    _roofed("m", "roof", "str", "the roof that most of that least time is due to: compute, cache or memory"),
    _a_roof("r", "matmul_flop_per_s", "float", "most that a square matrix product reached in any process", "FLOP/s"),
    _a_roof("r", "conv_flop_per_s", "float", "most that a dense 3x3 convolution reached", "FLOP/s"),
    _a_roof("r", "cache_bytes_per_s", "float", "most that a copy, triad or read reached in the last-level cache", "bytes/s"),
    _a_roof("r", "memory_bytes_per_s", "float", "most that a copy, triad or read reached well beyond the cache", "bytes/s"),
    _c("r", "cache_bytes", "int", "the last-level cache that the threads can reach", "bytes"),
    _c("r", "roof_detail", "str", "the load that reached each, or why there is none", empty="there is nothing to note"),
    # samples
    _c("s", "round", "int", "round of the trial in its process, from 1; 0 is warm-up"),
    _c("s", "position", "int", "place in the round's order, from 1"),
    _c("s", "time_s", "float", "time of one evaluation: the sample / its evaluations", "s"),
    _c("s", "evaluations", "int", "evaluations in the sample", empty="it is warm-up"),
    _c("s", "flags", "str", "what disturbed it: wait, preempted, faults, steal, throttled, stalled", empty="nothing disturbed it"),
)
# fmt: on

BY_NAME: dict[str, Column] = {c.name: c for c in COLUMNS}
FILES = {"m": "measurements.csv", "p": "pairs.csv", "s": "samples.csv", "o": "opinions.csv", "r": "roofs.csv"}
COUNTED = ("params", "macs", "bytes_min", "layers", "ops", "activations")
"""Costs that hooks count of a user's block."""
TOOLS = ("torch.utils.benchmark", "pytest-benchmark")
"""The tools of second opinions."""


def columns_of(file: Literal["m", "p", "s", "o", "r"]) -> tuple[Column, ...]:
    """The columns of one file, in their order."""
    return tuple(c for c in COLUMNS if file in c.files)


_FORMULA = re.compile(r"'*[=+\-@\t\r\n]")


def cell_of(text: str) -> str:
    """A text as a cell of a CSV file: what a spreadsheet would take for a formula begins with a '."""
    return f"'{text}" if _FORMULA.match(text) else text


def text_of(cell: str) -> str:
    """The text that `cell_of` made the cell of."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


KEYS = (
    "experiment block baseline batch c_in c_out height width kernel stride padding dilation depth dtype layout mode"
    " cudnn_benchmark pass"
    " threads allocator waiting device"
).split()
"""The columns that identify a pair across runs; `bench compare` matches on them."""

SPEEDUP = ("speedup", "speedup_ci_low", "speedup_ci_high")
TIME = ("time_median_s", "time_ci_low_s", "time_ci_high_s")
"""A value and the ends of its interval over processes."""

FLAGS = {1: "wait", 2: "preempted", 4: "faults", 8: "steal", 16: "throttled", 32: "stalled"}
"""Bits of a sample's flags in the journal, and their words in samples.csv."""

SPOILED = 16 | 32
"""Flags of a spoiled sample: its threads were throttled, or stalled (bench/measure/disturbance.py has the limits)."""
