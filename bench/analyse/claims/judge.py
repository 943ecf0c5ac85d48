"""Judge the claims by one or several runs: each claim at each condition, corrected for the number of its tests."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bench.analyse.claims import cell_tests
from bench.analyse.claims.answers import ALPHA, ANSWERS, Verdict, sure_of, would
from bench.analyse.claims.bottleneck import of_the_host
from bench.analyse.claims.cells import Rows, gather
from bench.analyse.claims.claims import CLAIMS, Claim
from bench.analyse.runs.condition import Condition
from bench.analyse.runs.run_folder import Run
from bench.analyse.stats.estimators import CONFIDENCE
from bench.spec.columns import SCHEMA_VERSION
from bench.spec.devices.device_names import is_predicted
from bench.spec.errors import UserError
from bench.spec.format import listed, p_words
from bench.spec.interval import EQUIVALENCE_MARGIN


@dataclass(frozen=True, slots=True)
class Verdicts:
    """The verdicts on the claims, in the order of CLAIMS; at least one each, if only NOT MEASURED.

    Verdicts on predicted devices come last.
    """

    runs: tuple[Run, ...]
    verdicts: tuple[Verdict, ...]

    def of(self, claim: str) -> tuple[Verdict, ...]:
        return tuple(v for v in self.verdicts if v.claim == claim)

    def only(self, claims: Collection[str] = (), batch: int | None = None) -> Verdicts:
        """The verdicts on these claims (none named: all), at this batch if one is given. UserError where none is left."""
        kept = [v for v in self.verdicts if (not claims or v.claim in claims) and batch in (None, v.condition.batch)]
        if not kept:
            batches = sorted({v.condition.batch for v in self.only(claims).verdicts if v.condition.batch is not None})
            remedy = f"There are answers at {listed([f'{n}' for n in batches])}." if batches else "Leave it out."
            raise UserError("--batch", "no claim that was asked for has an answer at it", remedy, batch)
        return replace(self, verdicts=tuple(kept))

    def first(self, claim: str) -> tuple[Verdict, ...]:
        """The confirmatory verdicts on a claim; where none was measured, also the predicted ones that would confirm."""
        confirmed = [v for v in self.of(claim) if v.confirmatory]
        unmeasured = all(v.answer == "NOT MEASURED" for v in confirmed)
        return (*confirmed, *(v for v in self.of(claim) if v.would_confirm and unmeasured))

    def to_dict(self) -> dict[str, Any]:
        """For verdict.json and --json: numbers with all their digits, null where there is none."""
        return {
            "schema_version": SCHEMA_VERSION,
            "runs": [{"run_id": r.run_id, "folder": r.folder.name, "devices": _devices(r)} for r in self.runs],
            "confidence": CONFIDENCE,
            "margin": EQUIVALENCE_MARGIN,
            "claims": [c.to_dict() | {"verdicts": [v.to_dict() for v in vs]} for c in CLAIMS if (vs := self.of(c.id))],
        }


def judge(runs: Sequence[Run]) -> Verdicts:
    """The verdicts on all claims. UserError for a run given twice.

    The order of rows and runs has no effect.
    Predicted rows change no verdict on measured rows: they have verdicts of their own, with measured rows only where a
    predicted device is compared with a measured one. Exact answers need no clock, so predicted rows are enough for
    them.
    """
    rows = gather(runs)
    if not any(is_predicted(d) for run in runs for d in run.pairs["device"].unique()):
        verdicts = [v for claim in CLAIMS for v in _complete(claim, corrected(claim.judge(rows)))]
        return Verdicts(tuple(runs), tuple(verdicts))
    with_predicted = gather(runs, predicted=True)
    every = {claim.id: claim.judge(with_predicted) for claim in CLAIMS}
    verdicts = []
    for claim in CLAIMS:
        exact = [] if rows.pairs else [v for v in every[claim.id] if v.bottleneck == "exact"]
        verdicts += _complete(claim, corrected([*claim.judge(rows), *exact]))
    predicted = [v for claim in CLAIMS for v in every[claim.id] if v.condition.predicted and v.on_claimed_device]
    would_be = [_would_be(v, with_predicted) for v in predicted]
    return Verdicts(tuple(runs), (*verdicts, *would_be))


def _would_be(v: Verdict, rows: Rows) -> Verdict:
    """A verdict on predicted rows, marked as one, without p: the model's error is no sampling error."""
    devices = str(v.condition.device).split(" and ")
    where = [c for c in rows.arms if c.device in devices and _way(c) == _way(v.condition)]
    host = of_the_host([arm for c in where for arm in rows.arms[c]])
    why = f"by the model, not by measurement: {v.why}{f'; {host}' if host else ''}"
    return replace(v, answer=would(v.answer), why=why, p=None, p_adjusted=None, fragile=False, confirmatory=False, would_confirm=v.confirmatory)  # fmt: skip


def _way(condition: Condition) -> tuple[Any, ...]:
    """A condition without its origin, device and threads."""
    apart = ("device", "device_name", "threads")
    return tuple(value for name, value in condition.fields().items() if name not in apart)


def corrected(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """The verdicts of one claim with their p corrected; an answer that does not survive it becomes UNDECIDED.

    On each installation Holm's over the answers that confirm, Benjamini and Hochberg's over the others. Verdicts that
    come with a corrected p, of cells tested one by one, stay as they are.
    """
    done = list(verdicts)
    open_ = [i for i, v in enumerate(verdicts) if v.p is not None and v.p_adjusted is None]
    families = [(verdicts[i].confirmatory, verdicts[i].condition.origin) for i in open_]
    for i, p in zip(open_, cell_tests.in_families([verdicts[i].p or 0.0 for i in open_], families), strict=True):
        done[i] = _weakened(replace(verdicts[i], p_adjusted=p))
    return [_weighed(v) for v in done]


def _weighed(v: Verdict) -> Verdict:
    """The verdict, UNDECIDED where it rests on too little for an answer in capitals; arithmetic needs no repetition."""
    few = v.cells.processes is not None and v.cells.processes < cell_tests.LEAST_PROCESSES
    quiet = cell_tests.ALL_NOISY if v.cells.noisy == v.cells.n else ""
    why = cell_tests.ONE_CELL if v.cells.n < cell_tests.LEAST_CELLS else cell_tests.TOO_FEW if few else quiet
    if not why or v.weak or v.bottleneck == "exact" or ANSWERS[v.answer] in ("open", "unmeasured"):
        return v
    notes = (cell_tests.too_little(why, v.answer), *v.notes)
    return replace(v, answer="UNDECIDED", leaning=v.answer, weak=why, fragile=False, notes=notes)


def _weakened(verdict: Verdict) -> Verdict:
    p, adjusted = verdict.p or 0.0, verdict.p_adjusted or 0.0
    fragile = ALPHA / cell_tests.EDGE < adjusted <= ALPHA * cell_tests.EDGE and sure_of(p)
    if verdict.answer == "UNDECIDED" or sure_of(adjusted):
        return replace(verdict, fragile=fragile and verdict.answer != "UNDECIDED")
    alone = f"Alone it would be {verdict.answer} (p = {p_words(p)})"
    why = f"{alone}, but not among so many questions ({p_words(adjusted)})"
    return replace(verdict, answer="UNDECIDED", fragile=fragile, notes=(why, *verdict.notes))


def _complete(claim: Claim, verdicts: Sequence[Verdict]) -> list[Verdict]:
    """A claim's verdicts; with NOT MEASURED before them if none is about the claim's kind of device."""
    if any(v.on_claimed_device for v in verdicts):
        return list(verdicts)
    return [Verdict(claim.id, Condition(), (), "", "NOT MEASURED", claim.to_measure, confirmatory=True), *verdicts]


def _devices(run: Run) -> list[str]:
    return sorted({str(d) for d in run.measurements["device"].dropna()})
