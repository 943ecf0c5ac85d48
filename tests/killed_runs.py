"""`python -m tests.killed_runs CONFIG DIR KILLS SEED` measures by fake workers, and kills itself again and again.

A session is a fork that runs or resumes and kills itself (SIGKILL) at a random line of the runner, also amidst a line of
the journal, which is written in pieces. After KILLS of them one goes to the end. Prints the number of kills.
"""

from __future__ import annotations

import io
import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from bench.run import environment, journal, launch, runner, session
from bench.spec import files
from bench.spec.errors import UserError
from tests.tiny_run import calm, start

PIECE = 100  # bytes of a journal's line that are written at once
LINES = 1500  # of the runner, by which a session ends: about four visits


class Pieces(io.FileIO):
    def write(self, data: bytes) -> int:
        return super().write(data[:PIECE])


def one(config: Path, out: Path, lines: int | None) -> None:
    """Go on, or begin; killed after so many lines of the runner."""
    left = lines
    watched = {module.__file__ for module in (files, journal, launch, runner, session)}

    def line(frame: FrameType, event: str, _: object) -> Callable | None:
        nonlocal left
        code = frame.f_code
        if (
            code.co_filename not in watched or code.co_name == "file_text"
        ):  # the look at the machine is not the runner's
            return None
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return line

    if lines is not None:
        sys.settrace(line)
    if (out / "plan.json").exists():
        runner.resume(out, lambda _: None)
    else:
        start(config, out)


def main(config: str, out: str, kills: str, seed: str) -> None:
    environment.look = calm
    launch.WORKER = "tests.fake_worker"
    journal.open = lambda path, *_, **__: Pieces(path, "a+")
    coin, killed = random.Random(int(seed)), 0
    while True:
        lines = coin.randrange(LINES) if killed < int(kills) else None
        child = os.fork()
        if not child:
            try:
                one(Path(config), Path(out), lines)
            except UserError as error:
                print(error, file=sys.stderr, flush=True)
                os._exit(0 if "another run is writing there" in str(error) else 1)  # a worker that is not dead yet
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            killed += 1
        elif os.waitstatus_to_exitcode(status):
            sys.exit(f"a session failed after {killed} kills")
        elif (Path(out) / "DONE").exists():
            print(killed)
            return


if __name__ == "__main__":
    main(*sys.argv[1:])
