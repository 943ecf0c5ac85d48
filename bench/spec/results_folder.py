"""Read plan.json, environment.json and journal.jsonl of a results folder: each is checked before any of it is used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from string import ascii_uppercase
from types import GenericAlias
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, create_model

from bench.spec.columns import COUNTED, SCHEMA_VERSION, TOOLS, Status
from bench.spec.config.axes import Axes
from bench.spec.config.yaml_file import Place, first_mistake
from bench.spec.errors import UserError
from bench.spec.files import ENVIRONMENT, PLAN, content_of, refuse_edited
from bench.spec.model.kernel_model import CallTime
from bench.spec.model.model_parameters import Prediction
from bench.spec.model.predicted_trial import Memory
from bench.spec.plan.plan import SIDES, Plan, Trial
from bench.spec.plan.shards import MOST_SHARDS

RESTORE = "Restore it from a copy"
Count = Annotated[int, Field(ge=0, lt=1 << 63)]
_Seconds = Annotated[float, Field(ge=0, le=1e12)]
_Time = Annotated[float, Field(ge=1e-15, le=1e18)]
_Reading = Annotated[float, Field(ge=-1e18, le=1e18)]  # also of what may be the difference of two clocks
_Rate = Annotated[float, Field(ge=1e-3, le=1e30)]


def part(needed: Mapping[str, Any], may: Mapping[str, Any]) -> Any:
    """A pydantic model of a JSON object: its keys with their types, those that it needs and those that it may lack."""
    fields: dict[str, Any] = {name: (kind, ...) for name, kind in needed.items()}
    fields |= {name: (kind | None, None) for name, kind in may.items()}
    return create_model("part", __config__=ConfigDict(strict=True, allow_inf_nan=False), **fields)


def _list(kind: Any) -> Any:
    return GenericAlias(list, (kind,))


def _each(names: str, kind: Any) -> dict[str, Any]:
    return dict.fromkeys(names.split(), kind)


_Flag = Annotated[int, Field(ge=0, lt=1 << 31)]
_Band = part({"noise_band": Annotated[float, Field(ge=0, le=10)], "threads": list[Count]}, {})
_Host = part({}, {"cpu_model": str, **_each("physical_cores memory_bytes", Count)})
_Device = part({}, {**_each("name torch", str), "torch_parallel": list[str], "prediction": Prediction, **_each("switches properties", dict[str, Any]), **_each("disagree imports", dict[str, str])})  # fmt: skip
_Environment = part({}, {
    **_each("run_id started_utc command torch machine node", str), "host": _Host, "devices": GenericAlias(dict, (str, _Device)), "ambers": list[str],
    "worker_environment": dict[str, dict[str, str]], "sides": _list(part({"devices": GenericAlias(dict, (str, _Device))}, {})),
    "noise_bands": GenericAlias(dict, (str, _list(_Band) | _Band)),  # until 2026-11-22 it was one for a device
})  # fmt: skip
_Noise = part({**_each("pairs noisy", Count), "noise_band": Annotated[float, Field(ge=0, le=10)]}, {**_each("device device_name torch started_utc", str), "threads": list[Count]})  # fmt: skip
_Verdict = part({"answer": str}, {**_each("confirmatory predicted", bool), "regime": str})
_Verdicts = part({"claims": _list(part({"verdicts": _list(_Verdict)}, {}))}, {})
_Inspected = part({"arm_id": str, "backends": list[str]}, {
    **_each("memory_peak_bytes memory_requested_bytes memory_reserved_bytes launches launches_graph", Count),
    "compile_ns": _Time, "counted": part({}, {**dict.fromkeys(COUNTED, Count), "unknown": str}), "call": CallTime, "memory": Memory,
})  # fmt: skip
_Timed = part(
    {"arm_id": str, "samples_ns": list[_Time], "flags": list[_Flag], "evaluations_per_sample": Annotated[Count, Field(ge=1)]},
    {**_each("device_ns device_cold_ns enqueue_ns", list[_Reading]), "device_proven": bool, "parts_ns": dict[str, _Reading]},
)  # fmt: skip
_Card = part({}, {**_each("sm_clock_hz temperature_c power_w", _Reading), "throttle_reasons": list[str], "processes_on_card": Count})  # fmt: skip
_Opinion = part({"arm_id": str, "tool": Literal[TOOLS]}, {**_each("time_min_s time_median_s", _Time), "time_iqr_s": _Seconds, "detail": str})  # fmt: skip
_OK, _ENDED = {"trial_id": str, "status": Literal["ok"]}, part(_each("wall_s timed_s", _Seconds), {})
_OTHER = part({"type": str}, {})
INCOMPLETE = "INCOMPLETE: "  # begins such a line among the ambers
_RECORDS: dict[str, type[BaseModel]] = {
    "run": part({"run_id": str, "schema_version": Count}, {"sha256": dict[str, str], "config": str, "machine": str}),
    "resume": part({}, {"machine": str}),
    "end": _ENDED,
    "interrupt": _ENDED,
    "roof": part(
        {**_each("device dtype", str), **_each("threads replicate cache_bytes", Count)},
        {**_each("matmul_flop_per_s conv_flop_per_s cache_bytes_per_s memory_bytes_per_s", _Rate), "detail": dict[str, str]},
    ),
    "settled": part(_each("trial_id why", str), {}),
    "inspect": part({**_OK, "arms": _list(_Inspected)}, {}),
    "opinion": part({**_OK, "arms": _list(_Opinion)}, {}),
    "visit": part(
        {**_OK, "replicate": Count, "orders": list[str], "arms": _list(_Timed), "timed_s": _Seconds,
         "warm_up": part({"samples_ns": dict[str, list[_Reading]]}, {"settled": bool})},
        {"predicted": bool, "counters": dict[str, dict[str, Count]], "card": _list(_Card), **_each("reds changed", list[str])},
    ),
    "failed": part({"trial_id": str, "status": Status}, {"status_detail": str}),
    "failed visit": part({"trial_id": str, "status": Status, "replicate": Count}, {"status_detail": str}),
}  # fmt: skip
"""A journal's records by their type."""


def checked(content: bytes | str, kind: Any, place: str, remedy: str = RESTORE) -> Any:
    """The JSON as a `kind`: a Plan, a part, plain data. UserError, in one line, for anything else."""
    try:
        return _adapter(kind).validate_json(content, strict=True)
    except ValidationError as error:
        first = first_mistake(error, BaseModel, Place(place))
        value = None if error.errors()[0]["type"] == "json_invalid" else first.value
        raise UserError(first.place, first.rule, remedy, value) from None


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def lacks_of(environment: Mapping[str, Any]) -> list[str]:
    """What a merge of some of the shards lacks, a line each, by its environment.json."""
    return [a.removeprefix(INCOMPLETE) for a in environment.get("ambers") or () if a.startswith(INCOMPLETE)]


def read_plan(folder: Path, known: dict[Trial, Trial] | None = None) -> Plan | None:
    """The plan of a run; None where there is none. UserError for one that no config makes.

    `known`: the trials of plans that were read before, which this plan's join; equal ones are checked and kept once.
    """
    path, known = folder / PLAN, {} if known is None else known
    if not path.is_file():
        return None
    plan: Plan = checked(content_of(path), Plan, str(path))
    for i, trial in enumerate(plan.trials):
        place = f"{path}: trials[{i}]"
        if trial not in known:
            _refuse_unplanned(trial, place)
        known.setdefault(trial, trial)
        if plan.sides and tuple(arm.choice.side for arm in trial.arms) != SIDES:
            raise UserError(place, "its arms are not sides a and b", RESTORE)
    if len(plan.sides) not in (0, 2) or any("\0" in side.label for side in plan.sides):
        raise UserError(f"{path}: sides", "they are not two Pythons", RESTORE)
    if plan.shard is not None and not 1 <= plan.shard[0] <= plan.shard[1] <= MOST_SHARDS:
        raise UserError(f"{path}: shard", f"it is none of 1/n to n/n, n up to {MOST_SHARDS}", RESTORE)
    return replace(plan, trials=tuple(map(known.__getitem__, plan.trials)))


def _refuse_unplanned(trial: Trial, place: str) -> None:
    """UserError for a trial that no config makes."""
    s = trial.shape
    given = {**asdict(trial.surroundings), **asdict(s), **trial.to_dict()}
    axes = {name: [given[name]] for name in Axes.model_fields.keys() & given.keys() - {"pass_"}}
    axes |= {"channels": [(s.c_in, s.c_out)], "size": [(s.height, s.width)], "pass": [trial.pass_]}
    try:
        Axes.model_validate(axes)
    except ValidationError as error:
        first = first_mistake(error, Axes, Place(place))
        raise UserError(first.place, first.rule, RESTORE, first.value) from None
    if not trial.arms:
        raise UserError(place, "it has no arm", RESTORE)


def read_environment(folder: Path) -> dict[str, Any]:
    """What environment.json says; empty where there is none. UserError for one that no run writes."""
    return _read(folder / ENVIRONMENT, _Environment)


def sources_of(environment: Mapping[str, Any]) -> dict[str, str]:
    """The hashes of the sources of users' blocks, by import path."""
    devices = (environment.get("devices") or {}).values()
    return {path: source for facts in devices for path, source in (facts.get("imports") or {}).items()}


def read_noise(folder: Path) -> dict[str, Any]:
    """What aa.json says, the result of an A/A test; empty where there is none. UserError for one that no test writes."""
    return _read(folder / "aa.json", _Noise)


def read_verdicts(folder: Path) -> dict[str, Any]:
    """What verdict.json says; empty where there is none. UserError for one that no judge writes."""
    return _read(folder / "verdict.json", _Verdicts)


def _read(path: Path, kind: Any) -> dict[str, Any]:
    if not path.is_file():
        return {}
    content, place = content_of(path), str(path)
    checked(content, kind, place)
    read: dict[str, Any] = checked(content, dict[str, Any], place)
    return read


def read_records(path: Path, content: bytes, trials: Mapping[str, Trial]) -> Iterator[dict[str, Any]]:
    """The records of a journal, whose last line is left out if a kill cut it off.

    UserError, with the line's number, for a line that is no record, a trial that is not among these (by trial_id), a
    schema newer than this program's, and files of the run that were edited since.
    """
    for number, line in enumerate(content.decode(errors="replace").split("\n")[:-1], 1):
        place, remedy = f"{path}:{number}", "Restore the journal from a copy, or delete this line and resume the run"
        record = checked(line, dict[str, Any], place, remedy)
        kind = str(record.get("type"))
        if kind in ("inspect", "visit", "opinion") and record.get("status") != "ok":
            kind = "failed visit" if kind == "visit" else "failed"
        checked(line, _RECORDS.get(kind, _OTHER), place, remedy)
        if kind == "run":
            if record["schema_version"] > SCHEMA_VERSION:
                raise UserError(place, f"the newest schema that this program reads is {SCHEMA_VERSION}", "Use a newer bench", record["schema_version"])  # fmt: skip
            refuse_edited(path.parent, record)
        elif kind not in ("end", "interrupt", "resume", "roof") and kind in _RECORDS:
            trial = trials.get(record["trial_id"])
            if trial is None:
                raise UserError(place, "plan.json holds no such trial", "Put the plan back that this journal began with", record["trial_id"])  # fmt: skip
            wrong = _wrong(record, kind, trial)
            if wrong is not None:
                raise UserError(place, wrong, remedy)
        yield record


def _wrong(record: Mapping[str, Any], kind: str, trial: Trial) -> str | None:
    """What in a record that is whole does not fit its trial, in words."""
    known = [arm.arm_id for arm in trial.arms]
    given = known if kind in ("failed", "failed visit", "settled") else [arm["arm_id"] for arm in record["arms"]]
    if not {*given} <= {*known} or (kind == "visit" and given != known):
        return "its arms are not those of its trial"
    if kind != "visit":
        costs = [arm["counted"] for arm in record["arms"] if arm.get("counted")] if kind == "inspect" else []
        return (
            None
            if all({*COUNTED} <= c.keys() or c.get("unknown") for c in costs)
            else "it lacks some of a block's costs"
        )
    letters, samples = sorted(2 * ascii_uppercase[: len(known)]), 2 * len(record["orders"])
    if not samples or any(sorted(order) != letters for order in record["orders"]):
        return "its orders do not hold each of its arms twice"
    even = all(len(arm[name]) == samples for arm in record["arms"] for name in ("samples_ns", "flags"))
    return None if even else f"it has not {samples} samples of each arm, two a round"
