"""`bench advise`: from a model's layers to the config that measures them, and from the advice to that of the best mixes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from bench.spec.blocks.blocks import FACTORY_PATTERN, BlockChoice, Shape
from bench.spec.config.config import NAME_PATTERN
from bench.spec.errors import UserError
from bench.spec.plan.plan import OURS, Arm, Plan, Surroundings, Trial, unfit

WHOLE, NOW, REST, MIX = "whole_model", "now", "rest", "mix"


def candidate(word: str) -> BlockChoice:
    """`separable`, `grouped:8` or `mine:block` as a block. UserError for another word."""
    if re.match(FACTORY_PATTERN, word):
        return BlockChoice(word.rpartition(":")[2].rpartition(".")[2], factory=word)
    name, _, groups = word.partition(":")
    choice = BlockChoice(name, groups=int(groups) if groups.isdecimal() else None)
    choice.options()
    return choice


def word_of(choice: BlockChoice) -> str:
    """The word that `candidate` makes a block of."""
    return choice.factory or (choice.name if choice.groups is None else f"{choice.name}:{choice.groups}")


def model_trial(model: str, size: Sequence[int]) -> Trial:
    """The trial that a worker walks: the model's path in its words, and channels, height and width of the input."""
    place = Surroundings("cpu", 1, "retain", "default")
    arm = Arm(NOW, BlockChoice(NOW, factory=f"{OURS}whole", given=model))
    shape = Shape(size[0], size[0], size[1], size[2], 1)
    return Trial(NOW, WHOLE, shape, "fp32", "contiguous", "eager", "inference", place, (arm,))


def layers_config(
    model: str, size: Sequence[int], batch: int, found: Sequence[Mapping[str, Any]], candidates: Sequence[str]
) -> dict[str, Any]:
    """The config's data: the whole model beside what is none of its layers, and an experiment for each kind of layer.

    `found`: the layers as bench.measure.user_models.walk gives them; equal ones are a kind, called as the first of
    them. UserError without a layer.
    """
    kinds: dict[str, list[Mapping[str, Any]]] = {}
    for layer in found:
        kinds.setdefault(repr([layer[k] for k in ("shape", "bias", "norm", "act", "odd")]), []).append(layer)
    experiments: dict[str, Any] = {}
    words, axes = [model], {"batch": batch, "threads": "all"}
    for first, *others in (some for some in kinds.values() if not some[0]["odd"]):
        name = first["name"] if re.match(NAME_PATTERN, first["name"]) else ""
        name = name if name and name not in (WHOLE, *experiments) else f"layer-{len(experiments) + 1}"
        words += [f"{layer['name']}={name}" for layer in (first, *others)]
        usual = {"norm": True, "act": True, "bias": False}
        flags = {key: first[key] for key, value in usual.items() if first[key] != value}
        shape, made = Shape(**first["shape"]), [{"name": "standard", **flags}]
        for choice in map(candidate, candidates):
            own = {"name": choice.name, **({"groups": choice.groups} if choice.groups else {}), **flags}
            own = {"import": choice.factory, "name": choice.name} if choice.factory else own
            made += [own] if unfit([choice], shape) is None else []
        experiments[name] = {"blocks": made, "shapes": [shape_text(shape)], "axes": dict(axes)}
    if not experiments:
        odd = "".join(f": {layer['name']}: {layer['odd']}" for layer in found[:1])
        raise UserError(model, f"it has no dense k x k convolution to replace{odd}", "Name another model.")
    both = [_part(NOW, "whole", model), _part(REST, "rest", " ".join(words))]
    whole = {"blocks": both, "axes": {"channels": size[0], "size": f"{size[1]}x{size[2]}", "kernel": 1, **axes}}
    plain = re.sub(r"[^\w.-]", "-", model.rpartition(":")[2])[:40]
    return {"name": f"advise-{plain}", "experiments": {WHOLE: whole, **experiments}}


def refuse_several(plan: Plan) -> None:
    """UserError for a plan of a model that would train or compile it, or has several values of an axis."""
    for name in ("batch", "dtype", "layout", "mode", "pass_", "cudnn_benchmark"):
        values = list(dict.fromkeys(getattr(trial, name, trial.shape.batch) for trial in plan.trials))
        if len(values) > 1 or values[0] in ("training", "compile"):
            rule = "a model is measured in inference, eager or as a graph, at one value of this axis"
            raise UserError(f"--set {name.rstrip('_')}", rule, "Give one value", ",".join(map(str, values)))


def mix_config(plan: Plan, data: Mapping[str, Any], chosen: Mapping[Surroundings, Mapping[str, str]]) -> dict[str, Any]:
    """The config's data of the whole model against a mix for each way: its layers and what replaces them.

    `plan`, `data`: those of the layers' run.
    """
    whole = data["experiments"][WHOLE]
    model = whole["blocks"][0]["given"]
    experiments = {}
    for place, replaced in chosen.items():
        words = " ".join([model, *(f"{layer}={word}" for layer, word in replaced.items())])
        blocks = [_part(NOW, "whole", model), _part(MIX, "mix", words)]
        experiments[mix_name(place)] = {"blocks": blocks, "axes": dict(whole["axes"])}
    return {"name": plan.name, "timing": plan.timing.model_dump(), "experiments": experiments}


def mix_name(place: Surroundings) -> str:
    """The experiment of a way's mix."""
    return re.sub(r"[^\w.-]", "-", f"{MIX}-{place.slug}")


def of_its_way(plan: Plan) -> Plan:
    """The plan, with each way's mix measured only there."""
    return replace(plan, trials=tuple(t for t in plan.trials if t.experiment == mix_name(t.surroundings)))


def shape_text(s: Shape) -> str:
    """A shape as a config's `shapes` have it: `32->64 56x56 k3 s2`."""
    more = [f"s{s.stride}" * (s.stride > 1), f"d{s.dilation}" * (s.dilation > 1), "valid" * (s.padding == "valid")]
    return " ".join([f"{s.c_in}->{s.c_out} {s.height}x{s.width} k{s.kernel}", *filter(None, more)])


def layer_names(trials: Iterable[Trial]) -> dict[str, list[str]]:
    """Of the run of a model: the names of the layers of each kind, by the experiment that measured it; else empty."""
    names: dict[str, list[str]] = {}
    given = next((a.choice.given for t in trials for a in t.arms if a.choice.factory == f"{OURS}rest"), "")
    for word in given.split()[1:]:
        layer, _, kind = word.rpartition("=")
        names.setdefault(kind, []).append(layer)
    return names


def _part(name: str, factory: str, given: str) -> dict[str, Any]:
    return {"import": f"{OURS}{factory}", "name": name, "given": given}
