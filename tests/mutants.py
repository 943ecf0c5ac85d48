"""Plant each classic mistake of a benchmark in a copy of the source, and see that a test fails: `make mutants`.

A mutant that lives is a hole in the tests; so is one whose text is no longer found.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
ACCELERATOR, SAMPLING = "bench/measure/accelerator.py", "bench/measure/sampling.py"
TIME = """            call()
        self.synchronize()
        return clock() - start
"""
QUEUED = """            last.record()
            ahead = not first.query()
            self.synchronize()
"""
FLUSH = """            if cold:
                self._flush()
            self.module._sleep(cycles)
            first.record()
"""
MUTANTS: tuple[tuple[str, str, str, str, str], ...] = (
    ("no synchronise", ACCELERATOR, TIME, TIME.replace("        self.synchronize()\n", ""), "tests/test_accelerator.py"),
    ("queue not empty at the start", ACCELERATOR, "        clock = self.clock\n        self.synchronize()\n", "        clock = self.clock\n", "tests/test_accelerator.py"),
    ("events read too early", ACCELERATOR, QUEUED, QUEUED.replace("            self.synchronize()\n", ""), "tests/test_accelerator.py"),
    ("no proof that the host was ahead", ACCELERATOR, "ahead = not first.query()", "ahead = True", "tests/test_accelerator.py"),
    ("milliseconds taken for seconds", ACCELERATOR, "* 1e6 / at_once", "* 1e9 / at_once", "tests/test_accelerator.py"),
    ("flush inside the timed part", ACCELERATOR, FLUSH, FLUSH.replace("            if cold:\n                self._flush()\n", "") + "            if cold:\n                self._flush()\n", "tests/test_accelerator.py"),
    ("memory peak not reset", "bench/measure/memory.py", "    module.reset_peak_memory_stats(device)\n", "", "tests/test_accelerator.py"),
    ("annotations counted as kernels", "bench/measure/launches.py", ' and e.activity_type() == "kernel"', "", "tests/test_accelerator.py"),
    ("warm-up inside the timed part", SAMPLING, "arms = [ArmSamples(_evaluations(s, timing), s) for s in series]", "arms = [ArmSamples(_evaluations(s, timing), s, list(s[:2])) for s in series]", "tests/test_sampling.py"),
    ("no unmeasured evaluation after a switch", SAMPLING, "            if i != last:\n                timers[i](1)\n", "", "tests/test_sampling.py"),
    ("arms not interleaved back", SAMPLING, "order += order[::-1]", "order += order", "tests/test_sampling.py"),
    ("a sample not divided by its evaluations", SAMPLING, "arms[i].times.append(wall / arms[i].evaluations)", "arms[i].times.append(wall)", "tests/test_sampling.py"),
    ("stops as soon as it looks precise", SAMPLING, "elapsed_s < t.seconds / 2 or ", "", "tests/test_sampling.py"),
    ("speedup upside down", "bench/spec/interval.py", "math.log(min(b, c) / min(o, p))", "math.log(min(o, p) / min(b, c))", "tests/test_statistics.py"),
    ("samples of one process pooled as independent", "bench/analyse/statistics.py", "return t_interval([reading(b, o) for b, o in zip(baseline, other, strict=True)], confidence)", "return t_interval([float(r) for b, o in zip(baseline, other, strict=True) for r in np.log(b) - np.log(o)], confidence)", "tests/test_statistics.py"),
    ("a kill loses the journal", "bench/run/journal.py", "        self._cut_torn_end()\n", "", "tests/test_runner.py"),
    ("a second opinion that does not wait for the device", "bench/measure/opinions.py", "        call()\n        wait()\n", "        call()\n", "tests/test_opinions.py"),
    ("eager taken for compiled", "bench/measure/compiling.py", "    if graphs != 1:\n", "    if graphs > 1:\n", "tests/test_compile.py"),
    ("the cache emptied by writing to it", ACCELERATOR, "self._flushing.sum()", "self._flushing.zero_()", "tests/test_capture.py"),
    ("on after a failed capture", "bench/measure/worker.py", "if device.spoilt or told.get", "if told.get", "tests/test_capture.py"),
    ("a failed trial tried again", "bench/run/progress.py", '            return "failed"\n', "            return None\n", "tests/test_runner.py"),
)  # fmt: skip


def survives(what: str, file: str, old: str, new: str, tests: str) -> str | None:
    """Why a mutant is a hole, or None where a test fails as it should."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in ("bench", "tests", "configs", "pyproject.toml"):
            source = ROOT / name
            shutil.copytree(source, copy / name) if source.is_dir() else shutil.copy(source, copy / name)
        text = (copy / file).read_text(encoding="utf-8")
        if text.count(old) < 1:
            return f"{file} no longer holds the text to change"
        (copy / file).write_text(text.replace(old, new), encoding="utf-8")
        told = subprocess.run(
            [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", tests],
            cwd=copy, env={**os.environ, "PYTHONPATH": str(copy)}, capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip
        return None if told.returncode == 1 else f"{tests} ended with {told.returncode}: no test fails"


def main() -> int:
    holes = 0
    for mutant in MUTANTS:
        why = survives(*mutant)
        holes += why is not None
        print(f"{'caught ' if why is None else 'ALIVE  '} {mutant[0]}{'' if why is None else ': ' + why}", flush=True)
    print(f"{len(MUTANTS) - holes} of {len(MUTANTS)} caught")
    return 1 if holes else 0


if __name__ == "__main__":
    sys.exit(main())
