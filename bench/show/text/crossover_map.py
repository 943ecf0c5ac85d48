"""The map of where separable would start to pay, on the terminal. Predicted, and marked so throughout."""

from __future__ import annotations

import math

from bench.analyse.predict.crossover_map import CrossoverMap, MapPoint
from bench.show.text.terminal import print_lines, print_table
from bench.show.text.titles import MOST
from bench.spec.format import percent, plural
from bench.spec.model.model_parameters import disagreements

HOW = "Speedup of the separable block: time of standard / time of separable; above 1x separable would be faster."


def show(found: CrossoverMap) -> None:
    """Print a table for each mode: batches downwards, channels across."""
    print_lines([f"PREDICTED for {found.device.called}: nothing was measured. {where(found)}", HOW])
    for mode in found.modes():
        cells = found.of(mode)
        channels = sorted({c for _, c in cells})
        print_lines(["", f"{mode}: {summary(found, mode)}"])
        lines = [(str(batch), *(word(cells[batch, c]) for c in channels)) for batch in sorted({b for b, _ in cells})]
        print_table(("batch", *(f"{c} ch" for c in channels)), lines, 1)
    hosts = "; h: the host would decide, not the device" if of_host(found) else ""
    marks = f"?: the model's error could turn it{or_host(found)}{hosts}. {doubt(found)}"
    rest = filter(None, [host(found), compiled(found), *disagreements(found.device.called, found.device.disagree)])
    print_lines(["", marks, *rest])


def where(found: CrossoverMap) -> str:
    """What the map holds for."""
    return f"{found.kernel} x {found.kernel} with batch norm and ReLU, as many channels out as in, {found.size} x {found.size} pixels, {found.dtype}, {found.layout}"


def doubt(found: CrossoverMap) -> str:
    """How far off the model may be."""
    share = math.exp(found.error)
    return f"95 % of speedups left out of the fit lay within a factor of {share:.2g} of what was predicted"


def host(found: CrossoverMap) -> str:
    """What is assumed of a GPU's host; nothing of a CPU, which is its own."""
    if found.device.kind != "gpu":
        return ""
    most = found.host * found.operator_us
    more = f", and ? allows for up to {most:.3g}: give yours by --host-us" if found.host > 1 else ""
    return f"host: {found.operator_us:.3g} us an operator{more}"


def or_host(found: CrossoverMap) -> str:
    """How much slower a host the map allows for; nothing where it allows for none."""
    return f", or a host {found.host:.3g} times slower" if found.host > 1 else ""


def compiled(found: CrossoverMap) -> str:
    """What is known to be wrong of compiled calls on a GPU; nothing of a CPU's, whose compiled tables are fitted."""
    told = "compile: on a GPU small blocks are predicted three times too fast (docs/PREDICTION.md)"
    return told if found.device.kind == "gpu" and "compile" in found.modes() else ""


def title(found: CrossoverMap) -> str:
    """In how many cells separable would be faster beyond all doubt that is allowed for."""
    won = sum(cell.state == "faster" for cell in found.points)
    text = f"Separable would be faster in {won} of {plural(len(found.points), 'cell')} on "
    device = f"predicted {found.device.called}"
    return text + (device if len(text + device) <= MOST else "a predicted device")


def footer(found: CrossoverMap) -> str:
    """The small print of the picture."""
    how = "speedup: time of standard / time of separable · heavy line: 1x"
    facts = filter(None, [where(found), how, doubt(found), host(found), compiled(found)])
    return " · ".join(["Predicted by bench's kernel model, not measured", *facts])


def summary(found: CrossoverMap, mode: str) -> str:
    """In how many cells separable would be faster or slower beyond the model's error."""
    cells = list(found.of(mode).values())
    states = [cell.state for cell in cells]
    open_ = states.count("undecided")
    return f"separable would be faster in {states.count('faster')} of {plural(len(cells), 'cell')}, slower in {states.count('slower')}, {open_} ({percent(open_ / len(cells))}) undecided"


def of_host(found: CrossoverMap) -> bool:
    """Whether any cell is bound by the host rather than the device."""
    return any(cell.bound == "host" for cell in found.points)


def word(cell: MapPoint) -> str:
    """A cell of the map: `1.42x ?`."""
    return f"{cell.speedup:.2f}x" + (" h" if cell.bound == "host" else "") + (" ?" if cell.state == "undecided" else "")
