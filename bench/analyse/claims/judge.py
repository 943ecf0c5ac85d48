"""Judge the claims by one or several runs: each claim at each condition, with Holm's correction over all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from bench.analyse.claims.answers import DECIDED, WOULD_BE, Answer, Verdict, sure_of
from bench.analyse.claims.bottleneck import of_the_host
from bench.analyse.claims.cells import Rows, gather
from bench.analyse.claims.claims import CLAIMS, Claim
from bench.analyse.runs.condition import Condition
from bench.analyse.runs.run_folder import Run
from bench.analyse.stats.estimators import CONFIDENCE
from bench.analyse.stats.multiple_testing import holm
from bench.spec.columns import SCHEMA_VERSION
from bench.spec.devices.device_names import is_predicted
from bench.spec.format import p_words
from bench.spec.interval import EQUIVALENCE_MARGIN


@dataclass(frozen=True, slots=True)
class Verdicts:
    """The verdicts on the claims, in the order of CLAIMS; at least one each, if only NOT MEASURED.

    Verdicts on predicted devices come last. `alone`: of several runs, the verdicts on each by itself, if known.
    """

    runs: tuple[Run, ...]
    verdicts: tuple[Verdict, ...]
    alone: tuple[Verdicts, ...] = ()

    @property
    def tests(self) -> int:
        """The number of tests that Holm's correction is over."""
        return sum(v.confirmatory and v.p is not None for v in self.verdicts)

    def of(self, claim: str) -> tuple[Verdict, ...]:
        """The verdicts on one claim."""
        return tuple(v for v in self.verdicts if v.claim == claim)

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
            "claims": [{**c.to_dict(), "verdicts": [v.to_dict() for v in self.of(c.id)]} for c in CLAIMS],
        }


def judge(runs: Sequence[Run], alone: Sequence[Verdicts] = ()) -> Verdicts:
    """The verdicts on all claims; `alone` is passed on. UserError for a run given twice.

    The order of rows and runs has no effect.
    Predicted rows change no verdict on measured rows: they have verdicts of their own, with measured rows only where a
    predicted device is compared with a measured one. Exact answers need no clock, so predicted rows are enough for
    them.
    """
    rows = gather(runs)
    if not any(is_predicted(d) for run in runs for d in run.pairs["device"].unique()):
        verdicts = [v for claim in CLAIMS for v in _complete(claim, claim.judge(rows))]
        return Verdicts(tuple(runs), tuple(corrected(verdicts)), tuple(alone))
    with_predicted = gather(runs, predicted=True)
    every = {claim.id: claim.judge(with_predicted) for claim in CLAIMS}
    verdicts = []
    for claim in CLAIMS:
        exact = [] if rows.pairs else [v for v in every[claim.id] if v.bottleneck == "exact"]
        verdicts += _complete(claim, [*claim.judge(rows), *exact])
    predicted = [v for claim in CLAIMS for v in every[claim.id] if v.condition.predicted and v.on_claimed_device]
    would_be = [_would_be(v, with_predicted) for v in predicted]
    return Verdicts(tuple(runs), (*corrected(verdicts), *would_be), tuple(alone))


def weaker(together: Verdicts, alone: Sequence[Verdicts]) -> tuple[tuple[Verdict, Verdict], ...]:
    """Verdicts that are decided for a run alone and UNDECIDED for all runs, as pairs (alone, for all).

    `alone`: the verdicts on each of the runs. The reason is the correction for more tests, or runs that differ.
    """
    here = {(v.claim, v.condition, v.about, run): v for v in together.verdicts if v.confirmatory for run in v.runs}
    decided = [v for one in alone for v in one.verdicts if v.confirmatory and v.answer in DECIDED]
    pairs = [(v, here.get((v.claim, v.condition, v.about, *v.runs))) for v in decided if len(v.runs) == 1]
    return tuple((was, now) for was, now in pairs if now is not None and now.answer == "UNDECIDED")


def _would_be(v: Verdict, rows: Rows) -> Verdict:
    """A verdict on predicted rows, marked as one, without p: the model's error is no sampling error."""
    answer = cast("Answer", f"{WOULD_BE}{v.answer}")
    devices = str(v.condition.device).split(" and ")
    where = [c for c in rows.arms if c.device in devices and _way(c) == _way(v.condition)]
    host = of_the_host([arm for c in where for arm in rows.arms[c]])
    why = f"by the model, not by measurement: {v.why}{f'; {host}' if host else ''}"
    return replace(v, answer=answer, why=why, p=None, confirmatory=False, would_confirm=v.confirmatory)


def _way(condition: Condition) -> tuple[Any, ...]:
    """A condition without its origin, device and threads."""
    return tuple(
        value for name, value in condition.fields().items() if name not in ("device", "device_name", "threads")
    )


def corrected(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """The verdicts with Holm's p for the confirmatory ones; an answer that does not survive it becomes UNDECIDED."""
    tested = [i for i, v in enumerate(verdicts) if v.confirmatory and v.p is not None]
    adjusted = dict(zip(tested, holm([p for i in tested if (p := verdicts[i].p) is not None]), strict=True))
    return [_weakened(replace(v, p_adjusted=adjusted[i])) if i in adjusted else v for i, v in enumerate(verdicts)]


def _weakened(verdict: Verdict) -> Verdict:
    if verdict.answer not in DECIDED or verdict.p is None or verdict.p_adjusted is None or sure_of(verdict.p_adjusted):
        return verdict
    why = f"Alone it would be {verdict.answer} (p = {p_words(verdict.p)}), but not among so many questions (Holm: {p_words(verdict.p_adjusted)})"
    return replace(verdict, answer="UNDECIDED", notes=(why, *verdict.notes))


def _complete(claim: Claim, verdicts: Sequence[Verdict]) -> list[Verdict]:
    """A claim's verdicts; with NOT MEASURED before them if none is about the claim's kind of device."""
    if any(v.on_claimed_device for v in verdicts):
        return list(verdicts)
    return [Verdict(claim.id, Condition(), (), "", "NOT MEASURED", claim.to_measure, confirmatory=True), *verdicts]


def _devices(run: Run) -> list[str]:
    return sorted({str(d) for d in run.measurements["device"].dropna()})
