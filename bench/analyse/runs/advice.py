"""From the rows of a model's layers to advice: which convolutions to replace, and what that saves the whole model."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from bench.analyse.runs.rows import Record, records_of
from bench.analyse.runs.run_folder import Run
from bench.spec.columns import SPEEDUP
from bench.spec.plan.advise import WHOLE, layer_names, mix_name, shape_text, word_of
from bench.spec.plan.plan import Surroundings, Trial

Rows = tuple[dict[str, Record], dict[str, Record]]
"""The rows of measurements.csv and of pairs.csv, by arm_id."""
OFF = 0.1  # share by which a prediction and its measurement may differ before it needs a word


@dataclass(frozen=True, slots=True)
class Layer:
    """A kind of layer, measured alone: seconds of one layer with its convolution, and with the best candidate."""

    names: tuple[str, ...]
    shape: str
    now_s: float | None = None
    candidate: str = ""
    replaced_s: float | None = None
    low_s: float | None = None
    high_s: float | None = None
    answer: Literal["replace", "keep", "can't tell"] = "can't tell"
    why: str = ""  # where no time or no candidate is there
    arm_id: str = ""  # of the candidate's row

    @property
    def saving_s(self) -> float:
        """Seconds that all layers of the kind save if replaced; below 0 if the candidate is slower."""
        return len(self.names) * ((self.now_s or 0.0) - self.replaced_s) if self.replaced_s else 0.0


@dataclass(frozen=True, slots=True)
class Measured:
    """The mix against the model: the gain (time now / time of the mix) with its interval, both's times and costs."""

    gain: float
    low: float | None
    high: float | None
    times_s: tuple[float, float]
    params: tuple[int | None, int | None]
    macs: tuple[int | None, int | None]


@dataclass(frozen=True, slots=True)
class Advice:
    """The advice for one way to run the model; `whole_s` and `rest_s`: the model, and what of it is none of the layers."""

    model: str
    place: Surroundings
    whole_s: float | None
    rest_s: float | None
    layers: tuple[Layer, ...]
    mixed: Measured | None = None
    failed: str = ""  # why the mix has no time

    @property
    def layers_s(self) -> float:
        """Seconds of all layers together."""
        return sum(len(layer.names) * (layer.now_s or 0.0) for layer in self.layers)

    @property
    def replaced(self) -> tuple[Layer, ...]:
        return tuple(layer for layer in self.layers if layer.answer == "replace")

    @property
    def predicted(self) -> float | None:
        """The gain of the best mix by the layers alone: whole / (whole - what the replaced layers save)."""
        left = (self.whole_s or 0.0) - sum(layer.saving_s for layer in self.replaced)
        return self.whole_s / left if self.whole_s and self.replaced and left > 0 else None

    @property
    def off(self) -> float | None:
        """Predicted gain / measured gain - 1."""
        return self.predicted / self.mixed.gain - 1 if self.predicted and self.mixed else None

    def share(self, layer: Layer) -> float | None:
        """The layers' share of the model's time."""
        return len(layer.names) * layer.now_s / self.whole_s if layer.now_s and self.whole_s else None

    def chosen(self) -> dict[str, str]:
        """The best mix: each layer to replace, and the word of its candidate; a module of two kinds needs both."""
        kept = {name for layer in self.layers if layer.answer != "replace" for name in layer.names}
        return {name: layer.candidate for layer in self.replaced for name in layer.names if name not in kept}

    def to_dict(self) -> dict[str, Any]:
        """Plain data for advice.json, whose `layers` are rows of advice.csv; times in seconds."""
        more = {"layers_s": self.layers_s, "predicted_gain": self.predicted, "predicted_off": self.off}
        counts = [{"count": len(x.names), "saving_s": x.saving_s, "share": self.share(x)} for x in self.layers]
        rows = [asdict(x) | some | {"way": self.place.label} for x, some in zip(self.layers, counts, strict=True)]
        return asdict(self) | more | {"place": self.place.label, "layers": rows}


def is_advice(run: Run) -> bool:
    """Whether a run measured the layers of a model."""
    return run.plan is not None and bool(layer_names(run.plan.trials))


def parts(run: Run) -> set[str]:
    """The arm_ids of a model as a whole and of what of it is no layer, which are no blocks that a finding counts."""
    trials = run.plan.trials if run.plan is not None and is_advice(run) else ()
    return {arm.arm_id for trial in trials if trial.experiment == WHOLE for arm in trial.arms}


def advice_of(run: Run, mixed: Run | None = None) -> tuple[Advice, ...]:
    """The advice for each way of a run of a model's layers, with what `mixed`, the run of the mixes, measured."""
    trials, rows = run.plan.trials if run.plan else (), by_arm(run)
    names, made = layer_names(trials), []
    for place in dict.fromkeys(t.surroundings for t in trials if names):
        here = {t.experiment: t for t in trials if t.surroundings == place}
        whole, rest = here[WHOLE].arms
        whole_s, rest_s = (rows[0][arm.arm_id]["time_median_s"] for arm in (whole, rest))
        each = [layer_of(here[kind], tuple(some), rows) for kind, some in names.items() if kind in here]
        each.sort(key=lambda layer: -layer.saving_s)
        got = "" if mixed is None else _mixed(mixed, place)
        measured, failed = (None, got) if isinstance(got, str) else (got, "")
        made.append(Advice(whole.choice.given, place, whole_s, rest_s, tuple(each), measured, failed))
    return tuple(made)


def by_arm(run: Run) -> Rows:
    """The run's rows."""
    arms, pairs = ({str(r["arm_id"]): r for r in records_of(frame)} for frame in (run.measurements, run.pairs))
    return arms, pairs


def layer_of(trial: Trial, names: tuple[str, ...], rows: Rows) -> Layer:
    """The layers of these names, by the rows of the trial that measured one of them.

    replace if the best candidate is faster by its row's verdict, keep if each one is slower or the same.
    """
    now, shape = rows[0][trial.arms[0].arm_id]["time_median_s"], shape_text(trial.shape)
    others = [(word_of(arm.choice), rows[1][arm.arm_id]) for arm in trial.arms[1:]]
    timed = [(word, row) for word, row in others if row["speedup"] is not None]
    if now is None or not timed:
        why = next((str(row["status_detail"]) for _, row in others if row["status_detail"]), "no candidate fits")
        return Layer(names, shape, now, answer="can't tell" if others else "keep", why=why)
    word, best = max(timed, key=lambda each: (each[1]["verdict"] == "faster", each[1]["speedup"]))
    by, low, high = (None if best[name] is None else now / best[name] for name in (SPEEDUP[0], SPEEDUP[2], SPEEDUP[1]))
    kept = all(row["verdict"] in ("slower", "same") for _, row in timed)
    answer: Any = "replace" if best["verdict"] == "faster" else "keep" if kept else "can't tell"
    return Layer(names, shape, now, word, by, low, high, answer, "", best["arm_id"])


def _mixed(run: Run, place: Surroundings) -> Measured | str:
    """What the run of the mixes measured in this way; why it has no time, or nothing where it has no mix."""
    arms, pairs = by_arm(run)
    trial = next((t for t in run.plan.trials if t.experiment == mix_name(place)), None) if run.plan else None
    if trial is None:
        return ""
    now, pair, mix = arms[trial.arms[0].arm_id], *(of[trial.arms[1].arm_id] for of in (pairs, arms))
    if pair["speedup"] is None:
        return str(pair["status_detail"] or pair["status"])
    times, params, macs = ((now[name], mix[name]) for name in ("time_median_s", "params", "macs"))
    gain, low, high = (pair[name] for name in SPEEDUP)
    return Measured(gain, low, high, times, params, macs)
