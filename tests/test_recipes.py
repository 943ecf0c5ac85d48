"""The recipes of docs/FLEET.md: every scheduler's text measures each shard once, from 1 to n; container and Kubernetes files parse."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from bench.analyse.runs.run_folder import read
from bench.run import merge as merging
from tests.tiny_run import CONFIG

ROOT = Path(__file__).resolve().parents[1]
FLEET = (ROOT / "docs" / "FLEET.md").read_text(encoding="utf-8")
CONTAINERFILE = ROOT / "tools" / "container" / "Containerfile"
INSTRUCTIONS = "ADD ARG CMD COPY ENTRYPOINT ENV EXPOSE FROM HEALTHCHECK LABEL ONBUILD RUN SHELL STOPSIGNAL USER VOLUME WORKDIR".split()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", FLEET, re.MULTILINE | re.DOTALL)


def section(heading: str) -> str:
    return FLEET.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def programs(at: Path, bench: str) -> dict[str, str]:
    """An environment in which `bench` is another program."""
    (at / "bin").mkdir()
    (at / "bin" / "bench").write_text(bench)
    (at / "bin" / "bench").chmod(0o755)
    return {**os.environ, "PATH": f"{at / 'bin'}{os.pathsep}{os.environ['PATH']}"}


def job() -> dict:
    (text,) = blocks("yaml")
    return yaml.safe_load(text)


def shell_of(scheduler: str) -> tuple[str, list[dict[str, str]]]:
    """A scheduler's shell script, and its variables in each of its tasks."""
    if scheduler == "slurm":
        (script,) = (block for block in blocks("bash") if "SBATCH" in block)
        first, last = map(int, re.findall(r"^#SBATCH --array=(\d+)-(\d+)$", script, re.MULTILINE)[0])
        of = {"SLURM_ARRAY_TASK_COUNT": str(last - first + 1)}
        return script, [{**of, "SLURM_ARRAY_TASK_ID": str(n)} for n in range(first, last + 1)]
    if scheduler == "kubernetes":
        spec = job()["spec"]
        (container,) = spec["template"]["spec"]["containers"]
        assert container["command"] == ["sh", "-c"]
        return container["args"][0], [{"JOB_COMPLETION_INDEX": str(n)} for n in range(spec["completions"])]
    count = int(re.findall(r"num_nodes: (\d+)", section("With SkyPilot"))[0])
    (script,) = re.findall(r"`(bench run [^`]*SKYPILOT[^`]*)`", FLEET)
    return script, [{"SKYPILOT_NODE_RANK": str(n), "SKYPILOT_NUM_NODES": str(count)} for n in range(count)]


@pytest.mark.parametrize("scheduler", ["slurm", "kubernetes", "skypilot"])
def test_the_tasks_of_a_scheduler_measure_each_shard_once(scheduler: str, tmp_path: Path):
    script, tasks = shell_of(scheduler)
    env = programs(tmp_path, '#!/bin/sh\n[ "$2" != --resume ] || exit 2\necho "$4 $6"\n')
    said = [subprocess.run(["sh", "-c", script], env={**env, **task}, capture_output=True, text=True, check=True).stdout for task in tasks]  # fmt: skip
    count = len(tasks)
    assert count == 8
    assert [(shard, Path(out).name) for shard, out in map(str.split, said)] == [
        (f"{n}/{count}", str(n)) for n in range(1, count + 1)
    ]


def test_the_pods_of_the_kubernetes_job_are_guaranteed_and_alone_on_their_nodes():
    spec = job()["spec"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    assert spec["completionMode"] == "Indexed"
    assert container["resources"]["requests"] == container["resources"]["limits"], "else the pod is not Guaranteed"
    assert isinstance(container["resources"]["limits"]["cpu"], int), "the CPU manager gives whole cores"
    (rule,) = pod["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert rule["labelSelector"]["matchLabels"] == spec["template"]["metadata"]["labels"]
    assert {m["name"] for m in container["volumeMounts"]} == {v["name"] for v in pod["volumes"]}


def test_the_submitit_script_measures_shards_that_merge(tmp_path: Path):
    """On submitit's local executor, by fake workers."""
    pytest.importorskip("submitit", reason="of the dev extra")
    script, jobqueue = blocks("python")
    compile(jobqueue, "docs/FLEET.md", "eval")
    assert "submitit" in script
    for old, new in (("COUNT = 8", "COUNT = 2"), ("configs/speed_thinking.yaml", "tiny.yaml"), ('AutoExecutor("logs")', 'AutoExecutor("logs", cluster="local")')):  # fmt: skip
        assert script.count(old) == 1
        script = script.replace(old, new)
    (tmp_path / "tiny.yaml").write_text(CONFIG.replace("[16, 32, 64], kernel: [3, 5]", "[16, 32], kernel: 3"))
    (tmp_path / "script.py").write_text(script)
    fake = "from tests.tiny_run import calm\nfrom bench.cli import main, measuring\nfrom bench.run import environment, launch\n"
    fake += "environment.look = calm\nlaunch.WORKER = 'tests.fake_worker'\nmeasuring.report = lambda *_, **__: None\nmain()\n"
    env = programs(tmp_path, f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\n{fake}")
    subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, env={**env, "PYTHONPATH": str(ROOT)}, check=True, timeout=120
    )
    merging.merge([tmp_path / "shards" / n for n in "12"], tmp_path / "out", ["bench", "merge"])
    assert set(read(tmp_path / "out").pairs["status"]) == {"ok"}


def test_the_containerfile_parses_and_copies_what_there_is():
    lines = [
        line
        for line in CONTAINERFILE.read_text().replace("\\\n", " ").splitlines()
        if line and not line.startswith("#")
    ]
    steps = [line.split(maxsplit=1) for line in lines]
    assert {name for name, _ in steps} <= set(INSTRUCTIONS)
    assert next(name for name, _ in steps if name != "ARG") == "FROM"
    copied = {path for name, words in steps if name == "COPY" for path in words.split()[:-1]}
    assert all((ROOT / path).exists() for path in copied)
    assert copied >= {"pyproject.toml", "README.md", "LICENSE", "bench", "configs"}, "what the wheel is built of"
    given = set(re.findall(r"--build-arg (\w+)=", section("In a container") + CONTAINERFILE.read_text()))
    assert given <= {words.partition("=")[0] for name, words in steps if name == "ARG"}
    assert str(CONTAINERFILE.relative_to(ROOT)) in section("In a container")
