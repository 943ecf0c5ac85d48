"""journal.jsonl: the append-only truth of a run. A record is on the disk before the next thing is done."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from bench.spec.errors import UserError

try:
    import fcntl
except ImportError:  # not on Windows; two runs in one folder are then not told apart
    fcntl = None  # type: ignore[assignment]


class Journal:
    """Append records, one JSON object a line, each flushed and synced. Holds a lock on the file until closed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = open(path, "ab+")  # noqa: SIM115 (held for the whole run)
        if fcntl is not None:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                self._file.close()
                raise UserError(str(path.parent), "another run is writing there", "Wait for it, or name another folder with --out.") from None  # fmt: skip
        self._cut_torn_end()

    def _cut_torn_end(self) -> None:
        """Drop a last line without its newline: what a kill in mid-write leaves behind."""
        self._file.seek(0)
        content = self._file.read()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            self._file.truncate(whole)
            os.fsync(self._file.fileno())

    def append(self, record: dict[str, Any]) -> None:
        """Write one record and wait until the disk has it."""
        self._file.write(json.dumps(record, separators=(",", ":"), allow_nan=False).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def records(self) -> list[dict[str, Any]]:
        """All records so far. UserError with the line's number where one is not JSON."""
        self._file.seek(0)
        lines = self._file.read().decode("utf-8", "replace").splitlines()
        self._file.seek(0, os.SEEK_END)
        found = []
        for number, line in enumerate(lines, 1):
            try:
                found.append(json.loads(line))
            except ValueError:
                raise UserError(f"{self.path}:{number}", "this line is not a record", "Restore the file, or start a new run.") from None  # fmt: skip
        return found

    def close(self) -> None:
        """Release the lock."""
        self._file.close()
