"""Plant each classic mistake of a benchmark in a copy of the source, and see that a test fails: `make mutants`.

A mutant that lives is a hole in the tests; so is one whose text is no longer found.
"""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import pytest

HEAVY = ("torch", "pandas", "scipy.stats", "hypothesis")  # imported once; what is tested is not among them
ROOT = Path(__file__).parents[1]
ACCELERATOR, SAMPLING = "bench/measure/device/accelerator.py", "bench/measure/sampling.py"
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
            if cycles:
                self.module._sleep(cycles)
            else:
                self.synchronize()
            first.record()
"""
MUTANTS: tuple[tuple[str, str, str, str, str], ...] = (
    ("no synchronise", ACCELERATOR, TIME, TIME.replace("        self.synchronize()\n", ""), "tests/test_accelerator.py"),
    ("queue not empty at the start", ACCELERATOR, "        clock = self.clock\n        self.synchronize()\n", "        clock = self.clock\n", "tests/test_accelerator.py"),
    ("events read too early", ACCELERATOR, QUEUED, QUEUED.replace("            self.synchronize()\n", ""), "tests/test_accelerator.py"),
    ("no proof that the host was ahead", ACCELERATOR, "ahead = not first.query()", "ahead = True", "tests/test_accelerator.py"),
    ("milliseconds taken for seconds", ACCELERATOR, "* 1e6 / at_once", "* 1e9 / at_once", "tests/test_accelerator.py"),
    ("flush inside the timed part", ACCELERATOR, FLUSH, FLUSH.replace("            if cold:\n                self._flush()\n", "") + "            if cold:\n                self._flush()\n", "tests/test_accelerator.py"),
    ("memory peak not reset", "bench/measure/device/counts.py", "    module.reset_peak_memory_stats(device)\n", "", "tests/test_accelerator.py"),
    ("annotations counted as kernels", "bench/measure/device/counts.py", ' and _is_kernel(e)', "", "tests/test_accelerator.py"),
    ("warm-up inside the timed part", SAMPLING, "arms = [ArmSamples(_evaluations(s, timing), s) for s in series]", "arms = [ArmSamples(_evaluations(s, timing), s, list(s[:2])) for s in series]", "tests/test_sampling.py"),
    ("no unmeasured evaluation after a switch", SAMPLING, "            if i != last:\n                timers[i](1)\n", "", "tests/test_sampling.py"),
    ("arms not interleaved back", SAMPLING, "order += order[::-1]", "order += order", "tests/test_sampling.py"),
    ("a sample not divided by its evaluations", SAMPLING, "arms[i].times.append(wall / arms[i].evaluations)", "arms[i].times.append(wall)", "tests/test_sampling.py"),
    ("stops as soon as it looks precise", SAMPLING, "elapsed_s < t.seconds / 2 or ", "", "tests/test_sampling.py"),
    ("speedup upside down", "bench/spec/interval.py", "(baseline[2 * i] + baseline[2 * i + 1]) / (other[2 * i] + other[2 * i + 1])", "(other[2 * i] + other[2 * i + 1]) / (baseline[2 * i] + baseline[2 * i + 1])", "tests/test_statistics.py"),
    ("samples of one process pooled as independent", "bench/analyse/stats/estimators.py", "return process_interval([reading(b, o) for b, o in zip(baseline, other, strict=True)], confidence)", "return process_interval([float(r) for b, o in zip(baseline, other, strict=True) for r in np.log(b) - np.log(o)], confidence)", "tests/test_statistics.py"),
    ("a kill loses the journal", "bench/run/journal.py", "        self._cut_torn_end()\n", "", "tests/test_runner.py::test_resume_goes_on_where_a_killed_run_stopped"),
    ("a second opinion that does not wait for the device", "bench/measure/second_opinions.py", "        call()\n        wait()\n", "        call()\n", "tests/test_opinions.py::test_on_a_device_with_a_queue_the_wait_is_inside_the_timed_statement"),
    ("eager taken for compiled", "bench/measure/modules.py", "    if graphs != 1:\n", "    if graphs > 1:\n", "tests/test_compile.py::test_what_runs_eagerly_is_a_failure_and_no_row"),
    ("the cache emptied by writing to it", ACCELERATOR, "self._flushing.sum()", "self._flushing.zero_()", "tests/test_capture.py"),
    ("on after a failed capture", "bench/measure/worker.py", "if device.spoilt or result.get", "if result.get", "tests/test_capture.py"),
    ("cells counted as processes", "bench/analyse/stats/estimators.py", "    return Interval(mean, error * t_quantile(0.5 + confidence / 2, fewest - 1), fewest)\n", "    return Interval(mean, error * t_quantile(0.5 + confidence / 2, fewest - 1) / len(intervals) ** 0.5, fewest)\n", "tests/test_claims.py"),
    ("many questions, each at 5 %", "bench/analyse/claims/cell_tests.py", "(holm if confirms else benjamini_hochberg)([p_values[i] for i in places])", "[p_values[i] for i in places]", "tests/test_claims.py"),
    ("many cells, each at 5 %", "bench/analyse/claims/cell_tests.py", "in_families(raw, [(confirming(k), families[k]) for k, _ in every])", "raw", "tests/test_claim_cells.py"),
    ("one cell speaks in capitals", "bench/analyse/claims/cell_tests.py", "len(support) >= LEAST_CELLS and", "True and", "tests/test_claim_cells.py"),
    ("no bend between two points", "bench/analyse/sweeps/crossover.py", "pick([end, *bent])", "pick([end])", "tests/test_crossover.py"),
    ("runs that differ by nothing", "bench/analyse/runs/noise_floor.py", "max(0.0, float(excess.mean()))", "min(0.0, 0.0)", "tests/test_run_effect.py"),
    ("what leads is the mean of sweeps that disagree", "bench/analyse/claims/rules_layers_or_macs.py", "for d in tests) for side in (above, below))", "for d in tests[:1]) for side in (above, below))", "tests/test_claims.py"),
    ("blocks are judged together", "bench/analyse/claims/rules_layers_or_macs.py", "grouped(sweeps, lambda s: s.block)", "grouped(sweeps, lambda s: sweeps[0].block)", "tests/test_claims.py"),
    ("a limit named by few rows", "bench/analyse/drivers/additive_model.py", "len(columns) < LEAST_ROWS,", "False,", "tests/test_drivers.py"),
    ("a limit named by a model that is far off", "bench/analyse/drivers/additive_model.py", "off > MOST_OFF,", "False,", "tests/test_drivers.py"),
    ("absence of evidence taken for a claim", "bench/analyse/claims/cell_tests.py", "if sure_of(r.p, alpha) else None", "if True else None", "tests/test_claims.py"),
    ("every row of a comparison tested alone", "bench/analyse/compare/compare.py", "np.array(_ADJUST[correction](every.tolist()))", "every", "tests/test_compare.py::test_pairs_of_runs_that_differ_by_nothing_are_seldom_called_changed"),
    ("steps without proof", ACCELERATOR, "            if ahead:\n", "            if True:\n", "tests/test_accelerator.py"),
    ("a part's last layer for all of it", "bench/measure/layer_timing.py", "parts.get(part, 0.0) + ns - beyond", "ns - beyond", "tests/test_walk.py::test_each_step_has_the_time_that_passed_in_it"),
    ("a crash passes the gate", "bench/analyse/compare/ci_gate.py", "failing=failed + beyond,", "failing=beyond,", "tests/test_compare_promises.py::test_a_row_that_ran_out_of_memory_in_b_alone_closes_the_gate"),
    ("a neighbour's load taken for a change", "bench/analyse/compare/compare.py", "np.where(_minima_agree(a, b, log.mean, edge), p, 1.0)", "p", "tests/test_compare.py::test_medians_that_move_alone_are_ambiguous"),
    ("a cut line stays in the journal", "bench/run/journal.py", "                self._file.truncate(before)\n", "", "tests/test_faults.py::test_a_full_disk_ends_a_run_at_a_whole_line_and_resume_goes_on"),
    ("a suspension is a time-out", "bench/run/launch.py", "if gap > PAUSE_S:", "if False:", "tests/test_faults.py::test_time_in_suspension_ends_neither_a_trial_nor_the_run"),
    ("nohup is undone", "bench/cli/measuring.py", "if signal.getsignal(number) == signal.SIG_DFL:", "if True:", "tests/test_faults.py::test_a_hangup_that_the_caller_ignores_stays_ignored"),
    ("a red machine is measured all the same", "bench/run/runner.py", "if reds and not anyway:", "if False:", "tests/test_doctor.py::test_a_red_check_stops_what_measures_before_anything_is_written"),
    ("a failed trial tried again", "bench/run/stopping.py", '            return "failed"\n', "            return None\n", "tests/test_runner.py::test_a_failed_trial_is_not_tried_again_on_resume"),
)  # fmt: skip


AT_ONCE = 2
TIMEOUT_S = 600


def plant(folder: Path, file: str, old: str, new: str) -> bool:
    """Copy what the tests need to `folder` with the text changed; false where it is not there."""
    for name in ("bench", "tests", "configs", "pyproject.toml"):
        source = ROOT / name
        shutil.copytree(source, folder / name) if source.is_dir() else shutil.copy(source, folder / name)
    text = (folder / file).read_text(encoding="utf-8")
    (folder / file).write_text(text.replace(old, new), encoding="utf-8")
    return old in text


def start(folder: Path, tests: str) -> int:
    """Run the tests of a copy in a fork, which need not import torch again; its process id."""
    pid = os.fork()
    if pid:
        return pid
    status = 70
    try:
        signal.alarm(TIMEOUT_S)
        os.chdir(folder)
        os.environ["PYTHONPATH"] = str(folder)
        sys.path[0] = str(folder)
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 1)
        os.dup2(nothing, 2)
        status = int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", tests]))
    finally:
        os._exit(status)


def main() -> int:
    for name in HEAVY:
        importlib.import_module(name)
    assert not any(name.partition(".")[0] in ("bench", "tests") for name in sys.modules)
    holes = 0

    def judge(what: str, why: str | None) -> None:
        nonlocal holes
        holes += why is not None
        print(f"{'caught ' if why is None else 'ALIVE  '} {what}{'' if why is None else ': ' + why}", flush=True)

    with tempfile.TemporaryDirectory() as room:
        waiting, running = list(enumerate(MUTANTS)), {}
        while waiting or running:
            while waiting and len(running) < AT_ONCE:
                i, (what, file, old, new, tests) = waiting.pop(0)
                folder = Path(room) / str(i)
                if plant(folder, file, old, new):
                    running[start(folder, tests)] = what, folder, tests
                else:
                    judge(what, f"{file} no longer holds the text to change")
            if running:
                pid, status = os.wait()
                what, folder, tests = running.pop(pid)
                code = os.waitstatus_to_exitcode(status)
                judge(what, None if code == 1 else f"{tests} ended with {code}: no test fails")
                shutil.rmtree(folder, ignore_errors=True)
    print(f"{len(MUTANTS) - holes} of {len(MUTANTS)} caught")
    return 1 if holes else 0


if __name__ == "__main__":
    sys.exit(main())
