"""A run of `bench ab` as the two runs that it stands for, side A and side B."""

from __future__ import annotations

from dataclasses import replace

from bench.analyse.runs.run_folder import Run
from bench.spec.plan.plan import SIDES


def side_of(run: Run, side: int) -> Run:
    """What one side measured, with its devices and versions.

    B's rows have what A's time / B's time is made of too: `speedup`, its `precision`, and the values by process.
    """
    told: list[dict[str, dict[str, dict[str, object]]]] = run.environment.get("sides") or []
    named = {device: {"name": facts.get("name")} for device, facts in (run.environment.get("devices") or {}).items()}
    devices = {d: named.get(d, {}) | facts for d, facts in told[side]["devices"].items()} if side < len(told) else {}
    first = next(iter(devices.values()), {})
    environment = {**run.environment, "devices": devices, **{name: first.get(name) for name in ("torch", "python")}}
    if run.plan is not None and run.plan.sides:
        environment["side"] = run.plan.sides[side].label
    rows = run.measurements[run.measurements["side"] == SIDES[side]].reset_index(drop=True)
    if side == 1:
        pairs = run.pairs.drop_duplicates("trial_id").set_index("trial_id")
        pairs = pairs.reindex(rows["trial_id"]).reset_index(drop=True)
        needed = [n for n in pairs if n in ("speedup", "precision") or str(n).startswith("speedup_by_process")]
        rows = rows.assign(**{str(name): pairs[name] for name in needed})
    return replace(run, run_id=f"{run.run_id}-{SIDES[side]}", measurements=rows, pairs=run.pairs.iloc[:0], environment=environment)  # fmt: skip
