"""Merge several runs into one: their rows in the same tables, each device under a name with its model or its run."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from bench.analyse.runs import noise_floor
from bench.analyse.runs.rows import records_of
from bench.analyse.runs.run_folder import Run
from bench.spec.errors import UserError
from bench.spec.format import letters

_MAKERS = re.compile(
    r"^predicted|\((R|TM|tm)\)|\b(Intel|AMD|NVIDIA|Processor|CPU|GPU|\d+-Core)\b|@.*$|with .* Graphics"
)


@dataclass(frozen=True, slots=True)
class Member:
    """One of several runs: its letter, and a name for each of its devices, such as `cuda:0 (H100 80GB HBM3)`."""

    letter: str
    run: Run
    devices: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Together:
    """Several runs. `whole` has all their rows: the member's letter is the run_id, its name the device, ids are distinct."""

    members: tuple[Member, ...]
    whole: Run

    def letters(self) -> dict[str, str]:
        """Letters by run_id; of runs with the same id, all their letters."""
        named: dict[str, str] = {}
        for m in self.members:
            named[m.run.run_id] = " ".join(filter(None, (named.get(m.run.run_id), m.letter)))
        return named


def together(runs: Sequence[Run]) -> Together:
    """Merge two runs or more, in the order given. UserError for one that compares blocks with themselves."""
    for run in runs:
        if noise_floor.against_itself(run):
            raise UserError(str(run.folder), "this run compares blocks with themselves", "Leave it out, and look at its own page.")  # fmt: skip
    names = [_hardware(run) for run in runs]
    members = []
    for letter, run, by_device in zip(letters(len(runs)), runs, names, strict=True):
        others = [n for n in names if n is not by_device]
        alike = {d for d, name in by_device.items() if any(n.get(d) == name for n in others)}
        labels = {d: f"{d} ({', '.join(filter(None, (name, letter if d in alike or not name else '')))})" for d, name in by_device.items()}  # fmt: skip
        members.append(Member(letter, run, labels))
    return Together(tuple(members), _whole(members))


def _hardware(run: Run) -> dict[str, str]:
    """The run's devices and their models, without their makers' usual words."""
    models: dict[str, str] = {}
    for r in records_of(run.pairs[["device", "device_name"]]):
        if r["device"] is not None:
            models[str(r["device"])] = short(str(r["device_name"] or "")) or models.get(str(r["device"]), "")
    return models


def short(name: str) -> str:
    """`H100 80GB HBM3` of `NVIDIA H100 80GB HBM3`, `Xeon` of `Intel(R) Xeon(R) Processor`."""
    return " ".join(_MAKERS.sub(" ", name).split()) or name


def _whole(members: Sequence[Member]) -> Run:
    first = members[0].run
    roofs = [_renamed(m.run.roofs, m) for m in members if m.run.roofs is not None]
    return replace(
        first,
        folder=Path(),
        run_id=" and ".join(m.run.run_id for m in members),
        measurements=_joined([_renamed(m.run.measurements, m) for m in members]),
        pairs=_joined([_renamed(m.run.pairs, m) for m in members]),
        samples=None,
        environment={},
        plan=None,
        from_journal=False,
        opinions=None,
        roofs=_joined(roofs) if roofs else None,
        members={m.letter: m.run for m in members},
        **{name: sum(getattr(m.run, name) for m in members) for name in ("timed_s", "wall_s", "sessions")},
    )


def _renamed(frame: pd.DataFrame, member: Member) -> pd.DataFrame:
    changed: dict[str, Any] = {"run_id": member.letter, "device": frame["device"].map(dict(member.devices)).astype("string")}  # fmt: skip
    changed |= {name: member.letter + "/" + frame[name] for name in ("trial_id", "arm_id") if name in frame}
    return frame.assign(**changed).astype({"run_id": "string"})


def _joined(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    return pd.concat(frames, ignore_index=True)
