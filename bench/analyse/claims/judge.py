"""Judge one or several runs: every claim at every site that speaks of it, corrected for how many were asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from bench.analyse.claims.answers import DECIDED, WOULD_BE, Answer, Verdict, p_words, sure_of
from bench.analyse.claims.bottleneck import of_the_host
from bench.analyse.claims.claims import CLAIMS, Claim
from bench.analyse.claims.conditions import Rows, Site, gather
from bench.analyse.runs.run_folder import Run
from bench.analyse.stats.estimators import CONFIDENCE
from bench.analyse.stats.multiple_testing import holm
from bench.analyse.stats.row_verdict import EQUIVALENCE_MARGIN
from bench.spec.columns import SCHEMA_VERSION
from bench.spec.devices.device_names import is_predicted


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What runs say of the claims, in the order of CLAIMS; of each at least one verdict, if only that it was not measured.

    Behind them stands what a model says of the devices that were predicted. `alone` is what each of several runs says by
    itself, where that was found before.
    """

    runs: tuple[Run, ...]
    verdicts: tuple[Verdict, ...]
    alone: tuple[Verdicts, ...] = ()

    @property
    def tests(self) -> int:
        """How many tests Holm's correction is over."""
        return sum(v.confirmatory and v.p is not None for v in self.verdicts)

    def of(self, claim: str) -> tuple[Verdict, ...]:
        """The verdicts on one claim."""
        return tuple(v for v in self.verdicts if v.claim == claim)

    def first(self, claim: str) -> tuple[Verdict, ...]:
        """What is told of a claim before all else: what confirms, and where it was not measured what a model would answer there."""
        own = [v for v in self.of(claim) if v.confirmatory]
        unmeasured = all(v.answer == "NOT MEASURED" for v in own)
        return (*own, *(v for v in self.of(claim) if v.foremost and unmeasured))

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
    """The verdicts of all claims, with those of each run `alone` that are known. The order of rows and of runs changes nothing. UserError for a run given twice.

    Predicted rows change no verdict on what was measured: theirs are found apart, and hold measured rows only where a
    predicted device is set beside a measured one. What is exact needs no clock, so a plan that was but predicted has it.
    """
    rows = gather(runs)
    if not any(is_predicted(d) for run in runs for d in run.pairs["device"].unique()):
        found = [v for claim in CLAIMS for v in _asked(claim, claim.judge(rows))]
        return Verdicts(tuple(runs), tuple(corrected(found)), tuple(alone))
    with_predicted = gather(runs, predicted=True)
    every = {claim.id: claim.judge(with_predicted) for claim in CLAIMS}
    found = []
    for claim in CLAIMS:
        exact = [] if rows.pairs else [v for v in every[claim.id] if v.regime == "exact"]
        found += _asked(claim, [*claim.judge(rows), *exact])
    would = [_would_be(v, with_predicted) for claim in CLAIMS for v in every[claim.id] if v.site.predicted and v.own]
    return Verdicts(tuple(runs), (*corrected(found), *would), tuple(alone))


def weaker(found: Verdicts, alone: Sequence[Verdicts]) -> tuple[tuple[Verdict, Verdict], ...]:
    """Answers that a run gives when it is judged alone and that are UNDECIDED here: as it gives them, and as here.

    `alone` are the verdicts of each of the runs. Weaker for a larger family of questions, or as alike runs are taken together.
    """
    here = {(v.claim, v.site, v.about, run): v for v in found.verdicts if v.confirmatory for run in v.runs}
    decided = [v for one in alone for v in one.verdicts if v.confirmatory and v.answer in DECIDED]
    pairs = [(v, here.get((v.claim, v.site, v.about, *v.runs))) for v in decided if len(v.runs) == 1]
    return tuple((was, now) for was, now in pairs if now is not None and now.answer == "UNDECIDED")


def _would_be(v: Verdict, rows: Rows) -> Verdict:
    """A verdict on predicted rows, as such: the model's error is no sampling error, so there is no test and no p."""
    answer = cast("Answer", f"{WOULD_BE}{v.answer}")
    where = [s for s in rows.arms if s.device in str(v.site.device).split(" and ") and _way(s) == _way(v.site)]
    host = of_the_host([arm for s in where for arm in rows.arms[s]])
    why = f"by the model, not by measurement: {v.why}{f'; {host}' if host else ''}"
    return replace(v, answer=answer, why=why, p=None, confirmatory=False, foremost=v.confirmatory)


def _way(site: Site) -> tuple[Any, ...]:
    """How blocks were run at a site, whatever the device and its threads."""
    return (site.dtype, site.layout, site.mode, site.pass_, site.batch, site.allocator, site.waiting, site.cudnn_benchmark)  # fmt: skip


def corrected(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """The verdicts with Holm's p among those that confirm; an answer that does not survive it becomes UNDECIDED."""
    tested = [i for i, v in enumerate(verdicts) if v.confirmatory and v.p is not None]
    adjusted = dict(zip(tested, holm([p for i in tested if (p := verdicts[i].p) is not None]), strict=True))
    return [_weakened(replace(v, p_adjusted=adjusted[i])) if i in adjusted else v for i, v in enumerate(verdicts)]


def _weakened(verdict: Verdict) -> Verdict:
    if verdict.answer not in DECIDED or verdict.p is None or verdict.p_adjusted is None or sure_of(verdict.p_adjusted):
        return verdict
    why = f"Alone it would be {verdict.answer} (p = {p_words(verdict.p)}), but not among so many questions (Holm: {p_words(verdict.p_adjusted)})"
    return replace(verdict, answer="UNDECIDED", notes=(why, *verdict.notes))


def _asked(claim: Claim, found: Sequence[Verdict]) -> list[Verdict]:
    """A claim's verdicts, and if none is about its own kind of device, that it was not measured."""
    if any(v.own for v in found):
        return list(found)
    return [Verdict(claim.id, Site(), (), "", "NOT MEASURED", claim.to_measure, confirmatory=True), *found]


def _devices(run: Run) -> list[str]:
    return sorted({str(d) for d in run.measurements["device"].dropna()})
