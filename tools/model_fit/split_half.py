"""Fit the model to one half of a measured run and predict the other half: its error on the reader's own machine.

A CPU is described by its run's measured roofs, a GPU by its row of the table. The run is cut in two by shape, so that a half
holds both arms of a shape in every layout, mode and number of threads, and no row is predicted by a fit that saw its shape. Few
parameters are free, those that a machine's own library and host decide: what an operator costs to dispatch, and the shares of
peak and bandwidth by family of kernel. They are drawn to the shipped fit, each by its prior's spread; where that fit has seen
the run's machine, to the one without it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.analyse.runs.run_folder import Run
from bench.analyse.stats.estimators import Floats
from bench.spec.columns import PREDICTED
from bench.spec.errors import UserError
from bench.spec.model.model_parameters import PRIOR, Parameters, fit_result, fitted
from tools.model_fit import fitting, own_runs, unfitted_roofline
from tools.model_fit.cross_validation import Spread, of_speedups, spread
from tools.model_fit.own_runs import COLUMNS, Clock, Own
from tools.model_fit.published_times import Observed

RATE, ROOFLINE, SHIPPED, HALF = "MACs at the other half's rate", "unfitted roofline", "model without this machine", "model fitted to the other half"  # fmt: skip
WAYS = (RATE, ROOFLINE, SHIPPED, HALF)
FEWEST_SHAPES = 4
DISPATCH_SPREAD = 0.5  # of its logarithm: hosts differ by more than published tables could tell
_SHAPE = ("c_in", "c_out", "height", "width", "kernel", "stride", "padding", "dilation", "depth", "batch")


@dataclass(frozen=True, slots=True)
class Check:
    """One kind of device by one clock. Errors are of ln(predicted / measured), by WAYS.

    `halves`: rows of either. `parameters`: as shipped, and as each half has them. `worst`: the rows that the fit to the
    other half is farthest off on, with their errors. `seen`: the shipped fit has seen the machine, so that all here is of
    the fit without it.
    """

    kind: str
    clock: Clock
    device: str
    shapes: int
    halves: tuple[int, int]
    times: Mapping[str, Spread]
    speedups: Mapping[str, Spread]
    parameters: Mapping[str, tuple[float, float, float]]
    worst: tuple[tuple[str, float], ...]
    seen: bool = False

    def to_dict(self) -> dict[str, Any]:
        """For --json."""
        return {
            "kind": self.kind,
            "clock": self.clock,
            "device": self.device,
            "shapes": self.shapes,
            "shipped_fit_has_seen_the_machine": self.seen,
            "rows_of_halves": list(self.halves),
            "times": {way: told.to_dict() for way, told in self.times.items()},
            "speedups": {way: told.to_dict() for way, told in self.speedups.items()},
            "parameters": {
                name: dict(zip(("shipped", "first_half", "second_half"), values, strict=True))
                for name, values in self.parameters.items()
            },
            "worst": [{"arm_id": arm, "ln_error": error} for arm, error in self.worst],
        }


def check(run: Run, worst: int = 3) -> tuple[Check, ...]:
    """A check for each kind of device in the run, by the wall and, of an accelerator, by its own clock.

    UserError for a run that holds no row which the model knows the kernels of, or too few shapes to cut in two.
    """
    if run.measurements["status"].isin((PREDICTED, "skipped")).all():
        raise UserError(
            str(run.folder), "nothing of it was measured", "Name a measured run, such as one of make bench."
        )
    own = own_runs.read(run)
    found = [one for clock in COLUMNS for one in _by_clock(own, clock, worst)]
    if not found:
        raise UserError(str(run.folder), f"fewer than {FEWEST_SHAPES} shapes of it can be predicted", "Name a run of more shapes, such as one of make bench.")  # fmt: skip
    return tuple(found)


def halves(rows: Sequence[Observed]) -> npt.NDArray[np.bool_]:
    """Which rows are of the first half: shapes in the order of their hashes, so that neither half is the larger ones."""
    shapes = [_shape(row) for row in rows]
    order = sorted(set(shapes), key=lambda s: hashlib.sha256(s.encode()).hexdigest())
    first = set(order[: (len(order) + 1) // 2])
    return np.array([shape in first for shape in shapes])


def fitted_without(machine: str) -> Parameters:
    """All parameters by the fit that left out this machine of ours; by the shipped fit for an unknown machine."""
    return {**fitted(), **fit_result()["without"].get(machine, {})}


def _by_clock(own: Own, clock: Clock, worst: int) -> Iterator[Check]:
    rows = own.rows[clock]
    for kind in dict.fromkeys(row.device.kind for row in rows):
        mine = [row for row in rows if row.device.kind == kind]
        if len({_shape(row) for row in mine}) >= FEWEST_SHAPES:
            yield _checked(mine, kind, clock, worst, own_runs.part(mine[0], own.run))


def _checked(rows: Sequence[Observed], kind: str, clock: Clock, worst: int, machine: str) -> Check:
    shipped = fitted_without(machine)
    first = halves(rows)
    observed = np.array([row.time_s for row in rows])
    errors = {
        RATE: np.zeros(len(rows)),
        ROOFLINE: np.log(unfitted_roofline.seconds(rows) / observed),
        SHIPPED: fitting.errors(fitting.tabulate(rows), shipped),
        HALF: np.zeros(len(rows)),
    }
    free = _free(rows, kind)
    both: list[Parameters] = []
    for half in (True, False):
        seen = [row for row, mine in zip(rows, first, strict=True) if mine == half]
        rest = [row for row, mine in zip(rows, first, strict=True) if mine != half]
        p = fitting.fit(fitting.tabulate(seen), free, shipped, {f"{kind}.dispatch": DISPATCH_SPREAD})
        errors[HALF][first != half] = fitting.errors(fitting.tabulate(rest), p)
        errors[RATE][first != half] = _by_rate(seen, rest)
        both.append(p)
    paired = {way: of_speedups(rows, found) for way, found in errors.items()}
    farthest = np.argsort(-np.abs(errors[HALF]), kind="stable")[:worst]
    return Check(
        kind, clock, " and ".join(dict.fromkeys(row.device.title for row in rows)), len({_shape(r) for r in rows}),
        (int(first.sum()), int((~first).sum())),
        {way: spread(errors[way]) for way in WAYS},
        {way: spread(paired[way]) for way in WAYS if len(paired[way])},
        {name: (shipped[name], both[0][name], both[1][name]) for name in free},
        tuple((str(rows[i].extra["row"]["arm_id"]), float(errors[HALF][i])) for i in farthest),
        machine in fit_result()["without"],
    )  # fmt: skip


def _free(rows: Sequence[Observed], kind: str) -> list[str]:
    """Dispatch, and the shares of peak and bandwidth of the families that the rows have."""
    takes = fitting.tabulate(rows).takes
    used = {*takes.compute[0], *takes.move[0]}
    return [name for name in PRIOR if name in used or name == f"{kind}.dispatch"]


def _by_rate(seen: Sequence[Observed], rest: Sequence[Observed]) -> Floats:
    """Errors of the plainest guess: each block's MACs at the mean rate that it had on the other half's shapes."""
    rates: dict[tuple[str, ...], list[float]] = {}
    for row in seen:
        for key in _keys(row):
            rates.setdefault(key, []).append(math.log(row.time_s / _macs(row)))
    means = {key: math.fsum(found) / len(found) for key, found in rates.items()}
    rates_of = [next(means[key] for key in _keys(row) if key in means) for row in rest]
    return np.array([rate + math.log(_macs(row) / row.time_s) for rate, row in zip(rates_of, rest, strict=True)])


def _keys(row: Observed) -> list[tuple[str, ...]]:
    """By what a rate is told apart, the nearest first: block and circumstances, block, nothing."""
    where = tuple(str(row.extra["row"][name]) for name in ("threads", "dtype", "layout", "mode", "pass"))
    return [(row.name, *where), (row.name,), ()]


def _macs(row: Observed) -> int:
    return max(1, sum(kernel.macs * n for kernel, n in row.kernels))


def _shape(row: Observed) -> str:
    return repr([row.extra["row"][name] for name in _SHAPE])
