"""The files of a results folder: written whole or not at all, and refused if they were edited since the run began."""

from __future__ import annotations

import difflib
import errno
import hashlib
import itertools
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from bench.spec.errors import UserError

RESULTS = Path("results")  # where runs go
PLAN, ENVIRONMENT, CONFIG = "plan.json", "environment.json", "config.yaml"
MACHINE = "machine-"  # and a number: the folder of each machine below one of bench merge --across
MODULES = "BENCH_MODULES"  # names the folder of the pickles of modules that came from Python
MOST_BYTES = 1 << 28  # of a file that is read whole
MOST_OF_JOURNAL = 1 << 32
MOST_COMPARED = 1000  # lines of a config: difflib takes the square of them


def is_pipe(path: Path) -> bool:
    """Whether a path is a pipe that no shell has made, so that its other end may never come."""
    return path.is_fifo() and not str(path).startswith("/dev/")


def file_text(path: str | Path) -> str:
    """A file's text without its ends' white space, empty where it can't be read."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def content_of(path: Path, most: int = MOST_BYTES, kind: str = "file") -> bytes:
    """A file's bytes. UserError for a pipe that no shell has made, and for over `most` bytes; OSError as of open()."""
    if is_pipe(path):
        raise UserError(str(path), f"the {kind} is a pipe, which may never end", "Name a file")
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size  # 0 of a device or a pipe
        content = b"" if size > most else file.read(size + 1 if size else most + 1)
    if max(size, len(content)) > most:
        raise UserError(str(path), f"the {kind} has over {most >> 20:,} MiB", "Name a smaller one")
    return content


_MENDS = {
    errno.ENOSPC: "Make room on its disk",
    errno.EDQUOT: "Make room in your quota",
    errno.EFBIG: "Raise the limit on the size of files (ulimit -f)",
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "Allow that, or use another folder"),
    **dict.fromkeys((errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM), "Close other programs"),
    errno.ENOENT: "Put it back where it was",
}


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Let an OSError name this file: one of writing to an open file names none."""
    try:
        yield
    except OSError as error:
        error.strerror, error.filename = error.strerror or str(error), str(path)
        raise


@contextmanager
def or_advise(then: str) -> Iterator[None]:
    """Turn a file that can't be read or written, or memory that ran out, into a UserError: what to mend, and `then`."""
    try:
        yield
    except MemoryError:
        raise UserError("memory", "this program ran out of it", f"Close other programs, then {then}") from None
    except OSError as error:
        why, file = error.strerror or str(error), error.filename
        place, rule = (
            ("this system", why) if file is None else (os.fsdecode(file), f"it can't be read or written: {why}")
        )
        raise UserError(place, rule, f"{_MENDS.get(error.errno or 0, 'Mend that')}, then {then}") from None


def write_whole(path: Path, write: Callable[[IO[bytes]], object], given: bool = False) -> None:
    """Let `write` fill a new file beside `path`, then rename it, so that no reader ever finds a half-written file.

    A device or a pipe, as /dev/stdout, is written into if the path was `given` by the user; in a results folder it is replaced.
    """
    if given and path.exists() and not path.is_file() and not path.is_dir():
        with path.open("wb") as file:
            write(file)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with named(path):
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        new = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                write(file)
            new.chmod(0o644)
            new.replace(path)
        except BaseException:
            new.unlink(missing_ok=True)
            raise


def write_text(path: Path, text: str, given: bool = False) -> None:
    """Write a text, whole or not at all, to a path of ours or one that the user has `given`."""
    write_whole(path, lambda file: file.write(text.encode()), given)


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Write plain data as JSON, whole or not at all. ValueError for nan, which JSON has not."""
    write_text(path, json.dumps(data, indent=1, allow_nan=False) + "\n")


def kept(folder: Path) -> dict[str, Any]:
    """For the journal's `run` record: the SHA-256 of plan, environment and config as the run begins, and the config."""
    contents = {name: content_of(folder / name) for name in (PLAN, ENVIRONMENT, CONFIG)}
    return {
        "sha256": {name: _hash(content) for name, content in contents.items()},
        "config": contents[CONFIG].decode(errors="replace"),
    }


def refuse_edited(folder: Path, begun: Mapping[str, Any]) -> None:
    """UserError for a file of the folder that is not what the `run` record `begun` keeps; older records keep nothing."""
    known = begun.get("sha256") or {}
    for path in (folder / name for name in (PLAN, ENVIRONMENT, CONFIG) if name in known):
        content = content_of(path) if path.is_file() else None
        if content is None or _hash(content) == known[path.name]:
            continue
        changed = changes(begun.get("config") or "", content.decode(errors="replace")) if path.name == CONFIG else ""
        rule = f"it was edited since the run began{': ' if changed else ''}{changed}"
        raise UserError(str(path), rule, "Restore it from a copy, or start a new run.")


def changes(then: str, now: str) -> str:
    """The lines of a config that differ, as `- seed: 1; + seed: 2`, cut after 300 characters."""
    before, after = (text.splitlines()[:MOST_COMPARED] for text in (then, now))
    lines = [*difflib.unified_diff(before, after, lineterm="", n=0)][2:]
    return "; ".join(f"{line[0]} {line[1:].strip()}" for line in lines if line[0] in "+-")[:300]


def runs_of(folder: Path) -> list[Path]:
    """The folder, or below one of bench merge --across the folder of each machine. No link is followed."""
    below = [] if (folder / PLAN).exists() else sorted(folder.glob(f"{MACHINE}*"))
    return [path for path in below if not path.is_symlink()] or [folder]


def refuse_links(folder: Path) -> None:
    """UserError for a link in the folder, or in a folder of it, that leaves it, and for a pipe or a device.

    So what is read and written is its own, and ends.
    """
    home = os.path.realpath(folder)
    for path in itertools.chain(folder.iterdir(), folder.glob("*/*")):
        if path.is_symlink() and not os.path.realpath(path).startswith(home + os.sep):
            raise UserError(
                str(path), "it is a link that leaves the folder", "Remove it, or put there what it leads to."
            )
        if path.exists() and not path.is_file() and not path.is_dir():
            raise UserError(str(path), "it is a pipe or a device, which is no part of a results folder", "Remove it.")


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
