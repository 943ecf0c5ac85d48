"""Time a config's arms with pytest-benchmark in a worker's environment: `python tests/second_opinion CONFIG JSON`."""

import subprocess
import sys
from pathlib import Path

from bench.run.environment import usable_cores
from bench.run.launch import worker_environment
from bench.spec import config, plan
from bench.spec.errors import UserError

HERE = Path(__file__).resolve().parent


def main(config_file: str, json_file: str) -> int:
    made = plan.make(config.load(Path(config_file))[0], ["cpu"], usable_cores())
    (surroundings, *others) = made.surroundings()
    if others:
        raise UserError(
            config_file, "its arms need several environments", "Keep threads, allocator and waiting at one value."
        )
    env = worker_environment(surroundings) | {"SECOND_OPINION_CONFIG": str(Path(config_file).resolve())}
    command = [sys.executable, "-m", "pytest", str(HERE / "test_blocks.py"), "--quiet", "--benchmark-quiet"]
    command.append(f"--benchmark-json={Path(json_file).resolve()}")
    return subprocess.run(command, env=env, cwd=HERE.parents[1], check=False).returncode


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
