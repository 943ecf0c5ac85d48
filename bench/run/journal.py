"""Write journal.jsonl, the append-only record of a run, and what it says of the progress (Progress).

Each line is on the disk before the run goes on.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from bench.spec.errors import UserError
from bench.spec.files import refuse_edited

try:
    import fcntl
except ImportError:  # on Windows, where two runs in one folder are not detected
    fcntl = None  # type: ignore[assignment]


class Journal:
    """Append records, one JSON object per line, each flushed and synced. Locks the file until closed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = open(path, "ab+")  # noqa: SIM115 (held for the whole run)
        if fcntl is not None:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                self._file.close()
                rule, remedy = "another run is writing there", "Wait for it, or name another folder with --out."
                raise UserError(str(path.parent), rule, remedy) from None

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _cut_torn_end(self) -> None:
        """Drop a last line without its newline, which a kill while writing leaves behind."""
        self._file.seek(0)
        content = self._file.read()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            self._file.truncate(whole)
            os.fsync(self._file.fileno())

    def append(self, record: dict[str, Any]) -> None:
        """Write one record and wait until it is on the disk."""
        self._file.write(json.dumps(record, separators=(",", ":"), allow_nan=False).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def records(self) -> list[dict[str, Any]]:
        """All records so far, after which a torn end is cut. UserError, with the line's number, for one that is not JSON."""
        self._file.seek(0)
        *lines, _ = self._file.read().decode("utf-8", "replace").split("\n")
        records: list[dict[str, Any]] = []
        for number, line in enumerate(lines, 1):
            try:
                records.append(json.loads(line))
                if records[-1].get("type") == "run":
                    refuse_edited(self.path.parent, records[-1])
            except (AttributeError, ValueError):
                place, remedy = f"{self.path}:{number}", "Restore the file, or start a new run."
                raise UserError(place, "this line is not a record", remedy) from None
        self._cut_torn_end()
        return records

    def close(self) -> None:
        self._file.close()
