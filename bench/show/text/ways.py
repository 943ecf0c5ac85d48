"""How rows were run, in words: a word for whatever differs, and none for what is the same in all of them."""

from __future__ import annotations

from collections.abc import Sequence

from bench.analyse.runs.condition import Condition
from bench.analyse.runs.rows import USUAL as USUAL_VALUES
from bench.analyse.runs.rows import Record
from bench.spec.devices.device_names import in_words, is_cpu, is_predicted
from bench.spec.format import plural

FIELDS = "experiment device block pass dtype mode size batch stride depth dilation padding allocator waiting threads layout".split()
"""What may differ between rows, in the order in which it is named."""
SETTINGS = {"cudnn_benchmark": "cuDNN's search", "waiting": "OpenMP's waiting"}
"""What a setting is called, where its column's name is not the word."""
_WAYS = "threads layout dtype mode pass allocator waiting batch cudnn_benchmark".split()
_WIDER = ("batch", "size", "layout", "dtype")  # that distinguish the ways of two devices
USUAL = {"inference", "fp32", "eager", "batch 1", "stride 1", "depth 1", "dilation 1", "padding same", "allocator retain", "waiting default"}  # fmt: skip


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
    odd = [f for f, usual in USUAL_VALUES.items() if f != "mode" and fields[f] not in (usual, None)]
    words += [str(fields[f]) if f in ("dtype", "layout", "pass") else f"{SETTINGS.get(f, f)} {fields[f]}" for f in odd]
    return words + ([f"batch {way.batch}"] if batch and way.batch is not None else [])


def words_of(rows: Sequence[Record], fields: Sequence[str]) -> list[str]:
    """For each row its words for those of the fields that vary among the rows of its device; devices if there are several."""
    varying = _varying(rows, fields)
    first = ["device"] if len(varying) > 1 else []
    return [", ".join(word_of(r, f) for f in [*first, *varying[str(r["device"])]]) for r in rows]


def word_of(row: Record, field: str) -> str:
    """A field of a row in words: `2 threads`, `56 px`, `cudnn_benchmark on`."""
    match field:
        case "experiment" | "pass" | "dtype" | "mode" | "layout":
            return str(row[field])
        case "device":
            return in_words(row["device"])
        case "block":
            return f"{row['block']} against {row['baseline']}"
        case "size":
            return f"{row['height']} px" if row["height"] == row["width"] else f"{row['height']} x {row['width']} px"
        case "threads" if not is_cpu(row["device"]):
            return in_words(row["device"]).split(":")[0]  # threads do not shape a GPU's time
        case "threads":
            return plural(row["threads"], "thread")
    return f"{field} {row[field]}"


def named_ways(rows: Sequence[Record]) -> list[tuple[str, str]]:
    """Each row's device, and how it ran as far as the rows of that device differ, or devices in their size and batch.

    What is usual goes unsaid beside what is not.
    """
    by_device, wider = _varying(rows, _WAYS), [f for f in _WIDER if len({word_of(r, f) for r in rows}) > 1]
    named = []
    for r in rows:
        words = [word_of(r, f) for f in by_device[str(r["device"])]]
        words = [w for w in words if w not in USUAL] or words
        named.append((str(r["device"]), ", ".join(dict.fromkeys([*words, *(word_of(r, f) for f in wider)]))))
    return named


def _varying(rows: Sequence[Record], fields: Sequence[str]) -> dict[str, list[str]]:
    """By device those fields whose words vary among its rows."""
    by_device: dict[str, list[Record]] = {}
    for r in rows:
        by_device.setdefault(str(r["device"]), []).append(r)
    return {d: [f for f in fields if len({word_of(r, f) for r in mine}) > 1] for d, mine in by_device.items()}


def word_or_nothing(row: Record, field: str) -> str:
    """A field of a row in words; nothing where a network has no such thing."""
    return "" if field in row and row[field] is None else word_of(row, field)
