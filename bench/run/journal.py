"""Write journal.jsonl, the append-only record of a run. Each line is on the disk before the run goes on."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.spec.errors import UserError
from bench.spec.files import MOST_OF_JOURNAL, content_of, named
from bench.spec.plan.plan import Trial
from bench.spec.results_folder import read_records


class Journal:
    """Append records, one JSON object per line, each flushed and synced. Locks the file until closed."""

    def __init__(self, path: Path) -> None:
        import fcntl  # Windows has none: there runs can be read, and none is written

        self.path = path
        self._file = open(path, "ab+", buffering=0)  # noqa: SIM115 (held for the whole run)
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
        """Write one record and wait until it is on the disk. OSError, with nothing written, where that fails."""
        line = json.dumps(record, separators=(",", ":"), allow_nan=False, ensure_ascii=False) + "\n"
        left, before = memoryview(line.encode(errors="replace")), os.fstat(self._file.fileno()).st_size
        with named(self.path):
            try:
                while left:
                    left = left[self._file.write(left) :]
            except BaseException:
                self._file.truncate(before)
                raise
            os.fsync(self._file.fileno())
            if not self.path.exists():
                raise FileNotFoundError(errno.ENOENT, "it was removed or renamed")

    def records(self, trials: Mapping[str, Trial]) -> list[dict[str, Any]]:
        """All records so far, after which a torn end is cut. UserError, with nothing cut, as of `read_records`."""
        records = list(read_records(self.path, content_of(self.path, MOST_OF_JOURNAL), trials))
        self._cut_torn_end()
        return records

    def close(self) -> None:
        self._file.close()
