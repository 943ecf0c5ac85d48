"""Read a results folder into a Run, and write its CSV files. Frames have exactly the columns of bench.spec.columns."""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache, partial
from os import SEEK_END
from pathlib import Path
from string import ascii_uppercase
from typing import Any, Literal, cast

import pandas as pd
from pandas.api.types import is_string_dtype, union_categoricals
from pydantic import TypeAdapter

from bench.analyse.runs import predicted_rows
from bench.analyse.runs.journal import Journal, Visit, read_journal
from bench.analyse.runs.measured_rows import Row, RunContext, rows_of
from bench.analyse.runs.roofline import roof_rows
from bench.analyse.runs.rows import as_csv, by_process
from bench.analyse.runs.second_opinion_rows import opinion_rows
from bench.spec.columns import FILES, FLAGS, KEYS, SCHEMA_VERSION, SPEEDUP, STATUSES, TIME, Column, columns_of, text_of
from bench.spec.config.timing import MOST_PROCESSES, Timing
from bench.spec.errors import UserError
from bench.spec.files import PLAN, content_of, refuse_links, write_text
from bench.spec.model.model_parameters import Prediction
from bench.spec.plan.plan import Arm, Plan, Trial
from bench.spec.results_folder import RESTORE, read_environment, read_plan

File = Literal["m", "p", "s", "o", "r"]
MOST_OF_COLUMNS = 1 << 32  # bytes of a table of which only some columns are read


@dataclass(frozen=True, slots=True)
class Run:
    """A results folder, read.

    `samples` is None if not asked for or not kept, `opinions` if none were due, `roofs` if none were measured. In a
    folder with only tables `plan` is None, and `timed_s`, `wall_s` and `sessions` are 0. `timed_s` (in samples) and
    `wall_s` (from start to end) are sums over the sessions that ended by themselves or by Ctrl-C. `members`: of several
    runs merged into one, each run by its letter, which is the run_id of its rows.
    """

    folder: Path
    run_id: str
    measurements: pd.DataFrame
    pairs: pd.DataFrame
    samples: pd.DataFrame | None
    environment: dict[str, Any]
    plan: Plan | None
    timed_s: float = 0.0
    wall_s: float = 0.0
    sessions: int = 0
    from_journal: bool = True
    timing: Timing = field(default_factory=Timing)
    opinions: pd.DataFrame | None = None
    roofs: pd.DataFrame | None = None
    members: Mapping[str, Run] = field(default_factory=dict)
    typed: str = ""  # the folder as the user named it

    @property
    def called(self) -> str:
        """The folder in what the program prints."""
        return self.typed or str(self.folder)


def read(folder: Path, samples: bool = False, only: Collection[str] | None = None) -> Run:
    """Read a run from its journal, or where there is none (a committed reference run) from its tables.

    `only`: the columns that are needed of tables; without, all. `samples` asks for the frame of all samples, which is large. UserError for a folder that is no run, a journal with
    a broken line before its last, and files of a newer schema.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(str(folder), "it is a file, no results folder" if folder.is_file() else "there is no such results folder", "Name a folder that bench run made, such as results/latest.")  # fmt: skip
    refuse_links(folder)
    plan = read_plan(folder)
    environment = read_environment(folder)
    if (folder / "journal.jsonl").is_file():
        if plan is None:
            raise UserError(str(folder), "plan.json is missing, so the journal can't be read", RESTORE)  # fmt: skip
        return _from_journal(folder, plan, environment, samples)
    if (folder / FILES["m"]).is_file():
        return _from_tables(folder, plan, environment, samples, only)
    raise UserError(str(folder), "this is no results folder: neither journal.jsonl nor measurements.csv is in it", "Name a folder that bench run made, such as results/latest.")  # fmt: skip


def read_tables(folder: Path, only: Collection[str] | None = None) -> Run:
    """Read a run from its tables even if there is a journal, which takes longer. UserError without tables."""
    refuse_links(folder)
    return _from_tables(folder, None, read_environment(folder), samples=False, only=only)


def write_tables(run: Run, folder: Path | None = None) -> tuple[Path, ...]:
    """Write measurements.csv, pairs.csv and, if the run has them, samples.csv, opinions.csv and roofs.csv.

    Each is written whole or not at all, by default into the run's folder. UTF-8 with a header: `pandas.read_csv` with no arguments reads
    them.
    """
    frames = {"m": run.measurements, "p": run.pairs, "s": run.samples, "o": run.opinions, "r": run.roofs}
    written = []
    for file, frame in frames.items():
        if frame is not None:
            path = (folder or run.folder) / FILES[file]
            write_text(path, as_csv(frame))
            written.append(path)
    return tuple(written)


def frame(rows: Sequence[Row], file: File) -> pd.DataFrame:
    """The rows as a frame with a file's columns, in order and of the registry's dtypes; what a row lacks is missing."""
    columns = columns_of(file)
    unknown = {name for row in rows for name in row} - {c.name for c in columns}
    if unknown:
        raise KeyError(f"columns that the registry doesn't hold: {sorted(unknown)}")
    return pd.DataFrame({c.name: _array([r.get(c.name) for r in rows], c) for c in columns})


def _array(values: Any, column: Column) -> Any:
    return pd.array(values, dtype=cast("Any", column.dtype))


def _from_journal(folder: Path, plan: Plan, environment: dict[str, Any], samples: bool) -> Run:
    journal = read_journal(folder / "journal.jsonl", {t.trial_id: t for t in plan.trials})
    run_id = journal.run_id or environment.get("run_id") or folder.name
    seen = environment.get("devices") or {}
    devices = {name: facts.get("name") or "" for name, facts in seen.items()}
    bands = {
        (device, threads): float(one["noise_band"])
        for device, measured in (environment.get("noise_bands") or {}).items()
        for one in (measured if isinstance(measured, list) else [measured])  # until 2026-11-22 it was one for a device
        for threads in one["threads"]
    }
    forecast = TypeAdapter(Prediction).validate_python
    predictions = {d: forecast(facts["prediction"]) for d, facts in seen.items() if facts.get("prediction")}
    context = RunContext(run_id, plan.timing, devices, plan.resume_command(folder), bands, journal.roofs, predictions)
    measurements: list[Row] = []
    pairs: list[Row] = []
    opinions: list[Row] = []
    chosen = {t.trial_id for t in plan.chosen}
    for trial in plan.trials:
        make, results = predicted_rows.rows_of if trial.predicted else rows_of, journal.of(trial.trial_id)
        rows, compared = make(trial, results, context)
        measurements += rows
        pairs += compared
        if trial.trial_id in chosen:
            opinions += opinion_rows(trial, results, context)
    return Run(
        folder=folder,
        run_id=run_id,
        measurements=frame(measurements, "m"),
        pairs=frame(pairs, "p"),
        samples=_samples([t for t in plan.trials if not t.predicted], journal, run_id) if samples else None,
        environment=environment,
        plan=plan,
        timed_s=journal.timed_s,
        wall_s=journal.wall_s if journal.begun <= journal.sessions else 0.0,  # a killed session's time is not known
        sessions=journal.sessions,
        timing=plan.timing,
        opinions=frame(opinions, "o") if opinions else None,
        roofs=frame(roof_rows(journal.roofs, run_id, devices), "r") if journal.roofs else None,
    )


def _samples(trials: Iterable[Trial], journal: Journal, run_id: str) -> pd.DataFrame:
    """Every sample in the order of measuring: the warm-up of a process (round 0), then its rounds."""
    visits = [(trial, visit) for trial in trials for visit in journal.of(trial.trial_id).visits]
    columns: dict[str, list[Any]] = {}
    for i, (trial, visit) in enumerate(visits):
        for letter, arm in zip(ascii_uppercase, trial.arms, strict=False):
            held = {"run_id": run_id, "trial_id": trial.trial_id, "visit": i, **_arm_samples(arm, letter, visit)}
            for name, value in held.items():
                columns.setdefault(name, []).extend(value if isinstance(value, list) else [value] * len(held["time_s"]))
    if not columns:
        return frame([], "s")
    every = pd.DataFrame(columns).sort_values(["visit", "round", "position"], kind="stable")
    return pd.DataFrame({c.name: _array(every[c.name].tolist(), c) for c in columns_of("s")})


def _arm_samples(arm: Arm, letter: str, visit: Visit) -> dict[str, Any]:
    """An arm's samples in one process, by the columns of samples.csv; `letter` stands for the arm in the rounds' orders."""
    one = visit.arms[arm.arm_id]
    warm_up, timed = one.warm_up_s.size, one.time_s.size
    flags = [_flag_words(value) for value in one.flags.tolist()]
    return {
        "arm_id": arm.arm_id,
        "block": arm.choice.label,
        "replicate": visit.replicate,
        "round": [0] * warm_up + [i // 2 + 1 for i in range(timed)],
        "position": [*range(1, warm_up + 1), *(i for order in visit.orders for i, x in enumerate(order, 1) if x == letter)],
        "time_s": [*one.warm_up_s, *one.time_s],
        "evaluations": [None] * warm_up + [one.evaluations] * timed,
        "flags": [None] * warm_up + flags,
    }  # fmt: skip


@cache
def _flag_words(value: int) -> str | None:
    return " ".join(word for bit, word in FLAGS.items() if value & bit) or None


def _from_tables(
    folder: Path, plan: Plan | None, environment: dict[str, Any], samples: bool, only: Collection[str] | None = None
) -> Run:
    measurements, pairs = (_columns(folder, file, only) for file in ("m", "p"))
    if "trial_id" in measurements:
        _refuse_lost(folder, measurements, pairs, plan)
        _refuse_odd_rows(folder / FILES["m"], measurements)
        _refuse_odd_rows(folder / FILES["p"], pairs)
    wanted: tuple[File, ...] = ("s", "o", "r") if samples else ("o", "r")
    kept = {file: _table(folder / FILES[file], file) for file in wanted if (folder / FILES[file]).is_file()}
    ids = measurements["run_id"].dropna()
    return Run(
        folder=folder,
        run_id=str(ids.iloc[0]) if len(ids) else folder.name,
        measurements=measurements,
        pairs=pairs,
        samples=kept.get("s"),
        environment=environment,
        plan=plan,
        from_journal=False,
        timing=plan.timing if plan else Timing(),
        opinions=kept.get("o"),
        roofs=kept.get("r"),
    )


def _refuse_lost(folder: Path, measurements: pd.DataFrame, pairs: pd.DataFrame, plan: Plan | None) -> None:
    """UserError where measurements.csv lacks a trial that pairs.csv or plan.json has."""
    held = {*measurements["trial_id"].unique()}
    due = [(trial, FILES["p"]) for trial in pairs["trial_id"].dropna().unique()]
    due += [(t.trial_id, PLAN) for t in (plan.trials if plan else ())]
    for trial, file in (one for one in due if one[0] not in held):
        raise UserError(str(folder / FILES["m"]), f"it lacks this trial, which {file} has", RESTORE, trial)


def _refuse_odd_rows(path: Path, rows: pd.DataFrame) -> None:
    """UserError for a row without status, as a spreadsheet's empty one, and for an arm that stands twice."""
    empty = rows["status"].isna().to_numpy()
    twice = rows["trial_id"].notna().to_numpy() & rows.duplicated([n for n in _ARM if n in rows]).to_numpy()
    for odd, rule in ((empty, "a row has no status"), (twice, "a row is there twice")):
        if odd.any():
            raise UserError(f"{path}:{int(odd.argmax()) + 2}", rule, RESTORE)


def _columns(folder: Path, file: Literal["m", "p"], only: Collection[str] | None) -> pd.DataFrame:
    """A table, or quickly and in little memory `only` these columns of it; `_table` reads one with an odd value.

    Then texts and KEYS are categories, and what each process measured is a column (`by_process`).
    """
    path = folder / FILES[file]
    wanted = {c.name: c for c in columns_of(file) if only is not None and c.name in only}
    with suppress(OSError, KeyError, ValueError):
        if not wanted or not path.is_file() or not 0 < path.stat().st_size <= MOST_OF_COLUMNS:
            raise ValueError
        with path.open("rb") as content:
            content.seek(-1, SEEK_END)
            if content.read() != b"\n":  # cut
                raise ValueError
        kinds: dict[str, Any] = {  # of Float64 what pandas finds: told to read floats it would take True for 1
            c.name: "object" if c.name in _BY_PROCESS else "category" for c in wanted.values() if c.dtype != "Float64"
        }
        with pd.read_csv(
            path, usecols=lambda n: n in wanted, dtype=kinds, keep_default_na=False, na_values=[""],
            chunksize=_AT_ONCE, low_memory=False, **_EXACT,
        ) as chunks:  # fmt: skip
            parts = [pd.DataFrame(_quickly(chunk, wanted)) for chunk in chunks]
        data = _joined(parts)
        known = "schema_version" not in data or (data["schema_version"].fillna(0) <= SCHEMA_VERSION).all()
        if known and {*_NEEDED[file]} <= {*data}:
            lacking = {
                n: _array([None] * len(data), c) for n, c in wanted.items() if n not in data and n not in _BY_PROCESS
            }
            return data.assign(**lacking)
    return _table(path, file)


def _quickly(chunk: pd.DataFrame, wanted: Mapping[str, Column]) -> dict[str, Any]:
    """Some rows' columns, checked at once. ValueError for a value that does not fit."""
    found: dict[str, Any] = {}
    for name, column in chunk.items():
        of = wanted[str(name)]
        if of.name in _BY_PROCESS:
            found |= by_process(column, of.name)
        elif of.dtype == "Float64":
            least = 1e-30 if of.name in _ABOVE_0 else 0
            if column.dtype.kind not in "if" or not (column.isna() | column.between(least, 1e30)).all():
                raise ValueError
            found[of.name] = column.astype("float64")
        else:
            different = column.cat.categories
            if of.dtype == "string" and len(different) and not is_string_dtype(different.dtype):
                raise ValueError  # pandas has taken texts for numbers
            parse = _PARSERS.get(of.name) or _PARSERS[of.dtype]
            column = column.cat.rename_categories(pd.Series([parse(str(v)) for v in different], dtype=object).array)
            found[of.name] = column if of.dtype == "string" or of.name in KEYS else column.astype(of.dtype)
    return found


def _joined(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The rows of all parts. A column of a process that some parts lack is empty there."""
    sorts = [name for name, kind in parts[0].dtypes.items() if isinstance(kind, pd.CategoricalDtype)]
    rest = pd.concat([part.drop(columns=sorts) for part in parts], ignore_index=True)
    return rest.assign(**{str(name): union_categoricals([part[name] for part in parts]) for name in sorts})


def _table(path: Path, file: File) -> pd.DataFrame:
    """Read one of our CSV files. A missing column is empty, an unknown one is left out.

    Python's float() reads the numbers, because it keeps every digit in all versions of pandas.
    """
    try:
        content = content_of(path)
        data = pd.read_csv(io.BytesIO(content), dtype="string", keep_default_na=False, na_values=[""])
    except OSError as error:
        raise UserError(str(path), f"the table can't be read: {error.strerror}", RESTORE) from None
    except ValueError as error:
        raise UserError(str(path), f"this is none of our tables: {error}", RESTORE) from None
    if not content.endswith(b"\n"):
        last = 1 + content.count(b"\n")
        raise UserError(f"{path}:{last}", "its last line is cut: no line break ends it", RESTORE)
    lacking = [k for k in _NEEDED[file] if k not in data]
    if lacking:
        raise UserError(str(path), "a column that identifies the rows is missing", RESTORE, lacking[0])  # fmt: skip
    read: dict[str, Any] = {}
    for c in columns_of(file):
        texts = data[c.name].tolist() if c.name in data else [None] * len(data)
        parse, values = _PARSERS.get(c.name) or _PARSERS[c.dtype], []
        for line, text in enumerate(texts, 2):
            try:
                values.append(None if pd.isna(text) else parse(text))
            except (KeyError, ValueError):
                raise UserError(f"{path}:{line}: {c.name}", "it does not fit its column", RESTORE, text) from None
        read[c.name] = _array(values, c)
    table = pd.DataFrame(read)
    newest = max((int(v) for v in table["schema_version"].dropna()), default=0) if file != "s" else 0
    if newest > SCHEMA_VERSION:
        raise UserError(str(path), f"the newest schema that this program reads is {SCHEMA_VERSION}", "Use a newer bench.", newest)  # fmt: skip
    return table


_NEEDED: dict[File, tuple[str, ...]] = {
    "m": ("run_id", "status", *KEYS),
    "p": ("run_id", "status", *KEYS),
    "s": (),
    "o": ("run_id", "status", "arm_id", "tool"),
    "r": ("run_id", "device", "threads", "dtype"),
}


def _number(text: str, least: float = 0, most: float = 1e30, kind: type[float] = float) -> float:
    value = kind(text)
    if not least <= value <= most:
        raise ValueError
    return value


_above_0 = partial(_number, least=1e-30)


def _by_process(text: str) -> str:
    pairs = [each.partition(":") for each in text.split()]
    replicates = [
        (_number(replicate, most=MOST_PROCESSES, kind=int), _above_0(value))[0] for replicate, _, value in pairs
    ]
    if len({*replicates}) < len(replicates):
        raise ValueError
    return text


_OLD_PANDAS = tuple(map(int, pd.__version__.split(".")[:2])) < (3, 1)
_EXACT: dict[str, Any] = {"float_precision": "round_trip"} if _OLD_PANDAS else {}
"""Reads every digit of a number, as newer versions do by themselves."""
_ARM = ("run_id", "experiment", "trial_id", "block", "side")  # tell all rows of a table apart
_BY_PROCESS = ("speedup_by_process", "time_by_process")
_AT_ONCE = 100_000  # rows of a table that are read at once
_ABOVE_0 = (*SPEEDUP, *TIME, "time_min_s", "mac_ratio", "layer_ratio")
_PARSERS: dict[str, Callable[[str], object]] = {
    "string": text_of,
    "Int64": partial(_number, most=2**63 - 1, kind=int),
    "Float64": _number,
    "boolean": {"True": True, "False": False}.__getitem__,
    "status": {str(s): s for s in STATUSES}.__getitem__,
    **dict.fromkeys(_BY_PROCESS, _by_process),
    "time_in_gaps_s": partial(_number, least=-1e30),  # in tables of older versions
    **dict.fromkeys(_ABOVE_0, _above_0),
}
"""By the dtypes of columns, and for some columns by their names."""
