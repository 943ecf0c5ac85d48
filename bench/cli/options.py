"""Options that several verbs share, and the reading of their values: devices, sizes, shares, words, files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from bench.spec.devices.device_names import PREDICTED_PREFIX, in_words, is_cpu
from bench.spec.errors import UserError
from bench.spec.files import RESULTS, is_pipe
from bench.spec.format import listed


def option(metavar: str, help_: str, *names: str) -> Any:
    """A verb's option: what its value is called in the help, what it does, and its names if not the parameter's."""
    return typer.Option(*names, metavar=metavar, help=help_)


def flag(name: str, help_: str) -> Any:
    """A verb's option that is given or not: its name, and what it does."""
    return typer.Option(name, help=help_)


def argument(metavar: str, help_: str) -> Any:
    """A verb's argument: what it is called in the help, and what it is."""
    return typer.Argument(metavar=metavar, help=help_)


Config = Annotated[Path, argument("CONFIG", "A YAML file, or a name that bench config lists, such as default.")]
_NAMES = "cpu, cuda, cuda:1, xpu, mps, sim:h100 (predicted, not measured); several: cpu,cuda:0, or repeated."
Device = Annotated[list[str] | None, option("LIST", _NAMES, "--device")]
Set = Annotated[list[str] | None, option("AXIS=V1,V2", "Override an axis or a timing key; may be repeated.", "--set")]
_DEVICES = "Write cpu, cuda, cuda:1, xpu, mps, sim:h100 (predicted) or several with commas."
Out = Annotated[Path | None, option("DIR", "The results folder; default: a new one.")]
Json = Annotated[bool, flag("--json", "Print JSON.")]


def devices(given: list[str] | str | None) -> list[str]:
    """`cpu,cuda`, or several such lists, as [cpu, cuda:0], each once. UserError for an unknown device."""
    text = given if isinstance(given, str) else ",".join(["cpu"] if given is None else given)
    if not text.strip():
        raise UserError("--device", "it is empty", _DEVICES)
    names = []
    for word in text.split(","):
        name = word.strip()
        if name.startswith(PREDICTED_PREFIX):
            names.append(_predicted(name))
            continue
        match = re.fullmatch(r"cpu|mps|(cuda|xpu)(?::([0-9]{1,3}))?", name)
        if match is None:
            likely = likely_device(name)
            hint = f"Did you mean {likely}?" if likely else _DEVICES
            raise UserError(f"--device {text}", "no such device", hint, value=name)
        names.append(f"{match[1]}:{int(match[2] or 0)}" if match[1] else name)
    each = list(dict.fromkeys(names))
    for i, name in enumerate(each):
        if in_words(name) in map(in_words, each[:i]):  # rows and trials are identified by these words
            rule = f"two of them would be called {in_words(name)}"
            raise UserError(f"--device {text}", rule, "Rename one in its file, or use separate runs.", value=name)
    return each


def _predicted(name: str) -> str:
    """`sim:NAME` unchanged. UserError for a device that can't be predicted."""
    from bench.spec.devices.predicted_devices import find_device

    model = find_device(name)
    if (model.kind == "cpu") != is_cpu(name):  # rows of CPUs are recognised by that name
        ending = "ends in cpu" if model.kind == "cpu" else "does not end in cpu"
        raise UserError(f"--device {name}", f"a {model.kind}'s name {ending}", "Rename it in its file.")
    return name


def likely_device(name: str) -> str | None:
    """The device that the user probably meant: torch calls AMD's cards cuda too."""
    import difflib

    from bench.spec.devices.predicted_devices import known

    lower = name.lower()
    if "#" in name:  # a device of the user's own file
        return f"{PREDICTED_PREFIX}{name}"
    card = lower.removeprefix("sim").lstrip(":-_ ")
    letters = "[a-z]*" if card[:1].isdigit() else ""  # 3090 for rtx3090, but 100 could be several
    cards = [name for name in known() if re.fullmatch(letters + re.escape(card), name)]
    if len(cards) == 1:
        return f"{PREDICTED_PREFIX}{cards[0]}"
    match = re.fullmatch(r"([a-z]+?)s?[ _:.-]?([0-9]{1,3})?", lower)
    if match is not None:
        word, index = match[1], match[2]
        alias = {"hip": "cuda", "rocm": "cuda", "nvidia": "cuda", "amd": "cuda", "intel": "xpu", "metal": "mps"}
        word = alias.get(word, "cuda" if "gpu" in word else word)
        if word in ("cuda", "xpu"):
            return f"{word}:{int(index)}" if index else word
        lower = word
    return next(iter(difflib.get_close_matches(lower, ("cuda", "cpu", "xpu", "mps"), 1)), None)


def pixels_of(text: str) -> tuple[int, int]:
    """`28` or `56x48` as height and width. UserError for anything else."""
    match = re.fullmatch(r"\s*([0-9]{1,9})\s*(?:x\s*([0-9]{1,9})\s*)?", text)
    if match is None:
        raise UserError("--size", "it is not a size", "Write 28, or 56x48 for height x width.", value=text)
    return int(match[1]), int(match[2] or match[1])


def shares_of_gate(margin: str, least: str | None) -> tuple[float, float]:
    """--margin and --least as shares; without the latter 10 %, and the margin if that is larger. UserError for a smaller one."""
    from bench.analyse.compare.ci_gate import LEAST

    share = share_of("--margin", margin)
    must_see = max(LEAST, share) if least is None else share_of("--least", least)
    if must_see < share:
        raise UserError("--least", f"a slow-down below --margin {margin} counts as none", "Give a larger one.", least)
    return share, must_see


def named_folder(typed: Path) -> Path:
    """A results folder as it is, or where there is none the run of that name below results/."""
    return RESULTS / typed if not typed.exists() and (RESULTS / typed).is_dir() else typed


def file_of(option: str, path: Path | None) -> Path | None:
    """A file to write, or None. UserError for a folder, and for a file in a folder that does not exist."""
    if path is not None and path.is_dir():
        raise UserError(f"{option} {path}", "it is a folder", "Name a file in it.")
    if path is not None and is_pipe(path):
        raise UserError(f"{option} {path}", "it is a pipe, which may have no reader", "Name a file.")
    if path is not None and not path.parent.is_dir():
        raise UserError(f"{option} {path}", f"there is no folder {path.parent}", "Make it, or name another file.")
    return path


def share_of(option: str, text: str) -> float:
    """`5%` or `0.05` as 0.05. UserError unless it is a share above 0 and below 1."""
    match = re.fullmatch(r"\s*([0-9]{1,9}\.?[0-9]{0,9}|\.[0-9]{1,9})\s*(%?)\s*", text)
    value = float(match[1]) / (100 if match[2] else 1) if match else 0.0
    if not 0 < value < 1:
        raise UserError(option, "it should be a share above 0 and below 1", "Write 5% or 0.05", value=text)
    return value


def one_of(option: str, given: str | None, known: tuple[str, ...]) -> None:
    """UserError for a word that is given and not in `known`."""
    if given is not None and given not in known:
        raise UserError(option, "it is not one of the known words", f"Write {listed(known, 'or')}.", value=given)
