"""Advice on a model's layers in words: a row a kind of layer, the sums, and the mix as predicted and as measured; and a try's table."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bench.analyse.facts import facts_of
from bench.analyse.runs.advice import OFF, Advice, Layer, Measured, by_arm, layer_of
from bench.analyse.runs.rows import grouped, place_label
from bench.analyse.runs.run_folder import Run
from bench.show.text import run_facts, terminal
from bench.spec.format import digits, listed, percent, share, spanned, times, with_prefix

HEADER = ("layer", "shape", "count", "ms now", "ms replaced", "by", "saving", "of model", "answer")
KEYS = 2
MOST_NAMES = 2
WHY_OFF = "A layer is timed alone, with its data in the cache; in the model it runs once between others."
HONEST = "The replaced layers must be trained anew: their weights are random here. Whether the model is still as accurate is not asked."


def table(advice: Advice) -> list[tuple[str, ...]]:
    """A row for each kind of layer, by saving; times in ms, of one layer, the saving of all of the kind."""
    return [
        (names(x), x.shape, str(len(x.names)), _ms(x.now_s), _ms(x.replaced_s) + ("" if x.low_s is None else f" [{_ms(x.low_s)}, {_ms(x.high_s)}]"), x.candidate, "" if x.replaced_s is None else f"{_ms(x.saving_s)} ms",
         "" if (part := advice.share(x)) is None else share(part), x.answer + (f": {x.why}" if x.why else ""))
        for x in advice.layers
    ]  # fmt: skip


def names(layer: Layer) -> str:
    """The layers of a kind: the first two by name."""
    more = len(layer.names) - MOST_NAMES
    return ", ".join(layer.names) if more <= 1 else f"{', '.join(layer.names[:MOST_NAMES])}, {more} more"


def heading(advice: Advice) -> str:
    """The answer in one sentence."""
    many, untold = (sum(len(x.names) for x in advice.layers if x.answer == word) for word in ("replace", "can't tell"))
    every = sum(len(x.names) for x in advice.layers)
    said = f"replace {many or 'none'} of its {every} dense convolutions" + f", {untold} can't be told" * bool(untold)
    gain = f": a gain of {_gain(advice.mixed)}" if advice.mixed else ""
    return f"{advice.model} on {advice.place.label}: {said}{gain}"


def sentences(advice: Advice) -> list[str]:
    """The sums against the whole, the mix as predicted and measured, its costs, and what is not asked."""
    mixed, predicted, off = advice.mixed, advice.predicted, advice.off or 0.0
    lines = _sums(advice)
    if not advice.chosen():
        return [*lines, "No candidate is faster beyond doubt, so there is no mix to measure."]
    by = listed(sorted({x.candidate for x in advice.replaced}))
    said = "none, as the layers alone save more than the model takes" if predicted is None else times(predicted, 0.01)
    lines.append(f"Predicted gain of the best mix ({by}): {said}.")
    if mixed is None:
        return [*lines, f"The mix was not measured: {advice.failed or 'bench advise --resume goes on'}.", HONEST]
    before, after = map(_ms, mixed.times_s)
    apart = (mixed.times_s[0] or 0.0) / advice.whole_s - 1 if advice.whole_s and mixed.times_s[0] else 0.0
    lines.append(f"Measured gain, whole against whole: {_gain(mixed)} ({before} ms -> {after} ms).")
    if abs(apart) > OFF:
        lines.append(
            f"The unchanged model took {percent(abs(apart))} {'longer' if apart > 0 else 'less'} in that run than beside its layers: the machine's speed changed, so trust the measured gain."
        )
    if abs(off) > OFF:
        lines.append(f"The prediction is {percent(abs(off))} too {'high' if off > 0 else 'low'}. {WHY_OFF}")
    for what, two in (("Parameters", mixed.params), ("MACs", mixed.macs)):
        lines += [f"{what}: {' -> '.join(with_prefix(n or 0, 3) for n in two)}."] if None not in two else []
    return [*lines, HONEST]


def _sums(advice: Advice) -> list[str]:
    """The layers and the rest against the whole."""
    if not advice.whole_s or advice.rest_s is None:
        return ["The whole model was not timed, so no layer's share is known."]
    parts = advice.layers_s + advice.rest_s
    off = parts / advice.whole_s - 1
    line = f"The model takes {_ms(advice.whole_s)} ms. Alone these layers take {_ms(advice.layers_s)} ms and the rest {_ms(advice.rest_s)} ms: together {_ms(parts)} ms, {share(1 + off)} of the model."  # fmt: skip
    return [line, *[f"The parts are {percent(abs(off))} off. {WHY_OFF}"] * (abs(off) > OFF)]


def _gain(mixed: Measured) -> str:
    low, high = mixed.low or 0.0, mixed.high or 0.0
    return spanned(mixed.gain, low, high, (high - low) / 2 / mixed.gain) if low else times(mixed.gain)


def _ms(seconds: float | None) -> str:
    return "" if seconds is None else digits(seconds * 1000, 3)


def show(run: Run, every: Sequence[Advice]) -> None:
    """Print the advice for each way, and how far to trust the run of the layers."""
    for advice in every:
        terminal.print_lines(["", heading(advice), ""])
        terminal.print_table(HEADER, table(advice), KEYS)
        terminal.print_lines(["", *terminal.wrapped(sentences(advice))])
    terminal.print_lines(["", *terminal.wrapped(run_facts.brief_trust(facts_of(run)))])


def tried(run: Run) -> list[tuple[str, list[tuple[str, ...]]]]:
    """Of each way of a try its words and its table, the header first: a layer a row with ms of each block, then the sums."""
    arms, pairs = rows = by_arm(run)
    tables = []
    ways = grouped(
        run.plan.trials if run.plan else (),
        lambda t: (t.surroundings, t.dtype, t.layout, t.mode, t.pass_, t.shape.batch),
    )
    for trials in ways.values():
        blocks = [arm.choice.label for arm in trials[0].arms]
        lines: list[tuple[str, ...]] = [("layer", *(f"{block} ms" for block in blocks), "speedup", "best")]
        sums, best_s = [0.0] * len(blocks), 0.0
        for t in trials:
            layer = layer_of(t, ("",), rows)
            each = [arms[arm.arm_id]["time_median_s"] for arm in t.arms]
            sums = [total + (one or math.nan) for total, one in zip(sums, each, strict=True)]
            best_s += (arms[layer.arm_id]["time_median_s"] if layer.answer == "replace" else layer.now_s) or math.nan
            cell = terminal.cell(pairs[layer.arm_id]) if layer.arm_id else layer.why
            best = {"replace": layer.candidate, "keep": blocks[0]}.get(layer.answer, "?")
            lines.append((layer.shape, *(_ms(one) for one in each), cell, best))
        lines.append((f"all {len(trials)}", *map(_ms, sums), "", f"{_ms(best_s)} ms"))
        first = arms[trials[0].arms[0].arm_id]
        tables.append((f"{place_label(first)}, batch {first['batch']}", lines))
    return tables


def show_tried(run: Run) -> None:
    """Print the tables of a try, and what its intervals are over."""
    for words, (header, *lines) in tried(run):
        terminal.print_lines(["", words, ""])
        terminal.print_table(header, lines, 1)
        terminal.print_lines(terminal.explained([line[-2] for line in lines]))
    terminal.print_lines(["", f"Speedup: time of the first block / time of the best other. ± is the {run.timing.confidence:.0%} interval over {run.timing.processes_min} fresh processes."])  # fmt: skip
