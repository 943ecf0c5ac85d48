"""How rows were run, in words: a word for whatever differs, and none for what is the same in all of them."""

from __future__ import annotations

from collections.abc import Sequence

from bench.analyse.runs.condition import Condition
from bench.analyse.runs.rows import USUAL, Record
from bench.analyse.runs.way_grid import way_of
from bench.spec.devices.device_names import in_words, is_predicted
from bench.spec.format import plural, size_word

SETTINGS = {"cudnn_benchmark": "cuDNN's search", "waiting": "OpenMP's waiting"}
"""What a setting is called, where its column's name is not the word."""
_SHAPE = ("stride", "dilation", "padding", "depth")


def way_labels(ways: Sequence[Condition]) -> dict[Condition, str]:
    """Each way in words: `CPU, 1 thread`, `GPU, graph, batch 16`; what is usual goes unsaid, and a device that is the only one.

    A batch is said where the device has several or another than 1, the mode of an accelerator always.
    """
    devices = device_words(ways)
    batches = {d: {w.batch for w in ways if str(w.device) == d} - {None} for d in devices}
    labels = {}
    for w in ways:
        words = _way_words(w, batches[str(w.device)] != {1})
        alone = len(devices) == 1 and not is_predicted(w.device)
        labels[w] = ", ".join(words if words and alone else [devices[str(w.device)], *words])
    return labels


def device_words(ways: Sequence[Condition]) -> dict[str, str]:
    """`CPU` and `GPU` where one measured device is of that kind, else the devices' names."""
    kinds = {str(w.device): w.kind.upper() for w in ways if not is_predicted(w.device)}
    alone = {d: kind for d, kind in kinds.items() if list(kinds.values()).count(kind) == 1}
    return {str(w.device): alone.get(str(w.device), in_words(w.device)) for w in ways}


def _way_words(way: Condition, batch: bool) -> list[str]:
    fields = way.fields()
    words = [plural(way.threads, "thread")] if way.kind == "cpu" and way.threads is not None else []
    words += [str(way.mode)] if way.mode not in ((None, "eager") if way.kind == "cpu" else (None,)) else []
    odd = [f for f, usual in USUAL.items() if f != "mode" and fields[f] not in (usual, None)]
    words += [str(fields[f]) if f in ("dtype", "layout", "pass") else f"{SETTINGS.get(f, f)} {fields[f]}" for f in odd]
    return words + ([f"batch {way.batch}"] if batch and way.batch is not None else [])


def line_labels(rows: Sequence[Record]) -> list[str]:
    """The words of each row's line over channels: how it was run, and what else of its shape differs between the rows."""
    ways = [way_of(r) for r in rows]
    labels = way_labels(ways)
    return [", ".join([labels[way], *more]) for way, more in zip(ways, _differing(rows), strict=True)]


def layer_words(rows: Sequence[Record]) -> list[str]:
    """Each row's layer: `64→128 channels, 3 x 3, 56 px, stride 2`, the latter where the rows differ in them."""
    first = [f"{channels_word(r['c_in'], r['c_out'])} channels, {r['kernel']} x {r['kernel']}" for r in rows]
    return [", ".join([layer, *more]) for layer, more in zip(first, _differing(rows), strict=True)]


def _differing(rows: Sequence[Record]) -> list[list[str]]:
    """Of each row the words of its size, stride and so on, where the rows differ in them."""
    words = [{f: f"{f} {r[f]}" for f in _SHAPE} | {"size": size_word(r["height"], r["width"])} for r in rows]
    varying = [f for f in ("size", *_SHAPE) if len({w[f] for w in words}) > 1]
    return [[w[f] for f in varying] for w in words]


def channels_word(c_in: int, c_out: int) -> str:
    """`64`, `64→128`."""
    return str(c_in) if c_in == c_out else f"{c_in}→{c_out}"


def window_words(row: Record) -> str:
    """What cells of any number of channels have in common: `3 x 3, 56 px`."""
    return f"{row['kernel']} x {row['kernel']}, {size_word(row['height'], row['width'])}"
