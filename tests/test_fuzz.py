"""Whatever a user hands in, a verb gives its answer or one line: never a traceback, a hang or all of the memory.

Each case is a kind and a seed. FUZZ=10000 draws that many new cases in place of the few that are always the same.
"""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import typer
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from bench.cli import app
from bench.run import launch, session
from bench.spec.config import config as configs
from bench.spec.plan import plan as plans
from tests.hostile import LINES, ODD, InProcess, bench, damage_table, damaged, sound_folders, spots

CASES = int(os.environ.get("FUZZ", "240"))
SECONDS = 20  # of the processor, for a case
MEMORY = 2 << 30  # that a case may take beside what the process has
MOST_JOBS = 60  # of workers, after which the user presses Ctrl-C

VERBS = [["report"], ["report", "--format", "md"], ["report", "--format", "json"], ["verdict"], ["verdict", "--all", "--json"],
         ["compare"], ["compare", "--json"], ["compare", "--history"], ["drivers"], ["report", "--index"], ["run", "--resume"]]  # fmt: skip
CONFIG = {
    "name": "mine",
    "description": "of mine",
    "timing": {"seconds": 0.1, "processes_min": 2, "processes_max": 3, "seed": 3, "precision": 0.05},
    "experiments": {
        "sweep": {
            "blocks": ["standard", {"name": "separable", "norm": False}, {"name": "grouped", "groups": 2}],
            "axes": {"channels": ["8->16", 32], "kernel": [3, 5], "size": ["8x4"], "threads": [1, "all"], "pass": ["inference"]},
            "together": ["channels", "kernel"],
        },
        "nets": {"blocks": ["mobilenet_v1_standard", {"name": "mobilenet_v1", "width": 0.5}], "axes": {"threads": 1}, "on": "cpu"},
        "own": {"blocks": ["standard", {"import": "mypkg.blocks:my_block", "name": "mine"}], "axes": {"dtype": "fp32"}},
    },
}  # fmt: skip
TABLE = "source,device,dtype,layout,mode,pass,network,batch,macs,activations,conv_layers,ops,time_s\n" + "".join(
    f"a paper,rig{i % 2},fp32,nchw,eager,inference,net{i},8,{i % 5 + 1}e9,{i % 7 + 1}e6,{i + 1},{3 * i + 4},{0.01 * (i % 5 + 1) + 1e-4 * i}\n"
    for i in range(14)
)
TIMM = (
    "model,infer_samples_per_sec,infer_step_time,infer_batch_size,infer_img_size,infer_gmacs,infer_macts,param_count\n"
    + "".join(
        f"net{i},{2000 - 100 * i},{256000 / (2000 - 100 * i):.3f},256,224,{0.5 + i / 4},{2 + i % 5},3.5\n"
        for i in range(8)
    )
)
LAYERS = "model,img_size,n_conv,n_aten\n" + "".join(f"net{i},224,{20 + 3 * i},{70 + i}\n" for i in range(8))
DEVICES = "devices:\n  mine:\n    like: h100\n    units: 100\n    memory_bytes_per_s: 2.0e12\n    sources: {units: estimate, memory_bytes_per_s: estimate}\n"
ROOFS = Path(__file__).parents[1] / "results" / "reference" / "xeon-2-cores" / "roofs.csv"
LIKELY: dict[type, list[Any]] = {
    int: [1, 2, 3, 5, 8, 64, 255, 1000, 65536],
    float: [0.01, 0.3, 0.9, 1.0, 60.0],
    bool: [True, False],
    str: ["all", "8->16", "56x48", "same", "valid", "bf16", "fp64", "channels_last", "eager", "graph", "compile", "training", "active", "off", "any", "accelerator",
          "separable", "standard", "depthwise", "dilated", "transposed", "inverted_bottleneck", "global_average_pool", "xception", "resnet18", "kernel", "size", "depth", "os:abort", "a.b:c"],
}  # fmt: skip
CHARACTERS = [
    "\0",
    "\t",
    "\r",
    "\n",
    "\x1b[2J",
    "\u202e",
    "\udcff",
    "é",
    "｡",
    "😀",
    "'",
    '"',
    ":",
    "{",
    "[",
    "&a",
    "*a",
    "!!int",
    "|",
    "- ",
    "#",
    "%",
    ",",
    ";",
    "1,5",
    "=1+1",
    "9" * 400,
]
PATHS = ["config.yaml", "table.csv", "timm.csv", "layers.csv", "devices.yaml", "run", "tables", "third", "missing", "missing/deeper", "", ".", "/proc/self", "/dev/null",
         "/dev/zero", "/dev/full", "pipe", "loop", "link", "x" * 300, "x/" * 2500, "a\nb", "\x1b[31mred", "\udcff", "~", "-", "--", "run/journal.jsonl", "empty", "noise",
         "huge", "run/", "./run/../tables", "new", "new/deep.html", "run/plots", "results"]  # fmt: skip
WORDS = ["", " ", "cpu", "cuda", "cuda:0", "cpu,cpu", "sim:h100", "sim:a100,sim:h100", "sim:devices.yaml#mine", "sim:run#cpu", "sim:/dev/zero#x", "sim:pipe#x", "sim:", "sim:#", "gpu",
         "kernel=3", "kernel=3,5", "channels=8->16", "kernel=", "=3", "kernel", "threads=all", "mode=graph,compile", "pass=training", "seconds=1e-9", "seconds=nan", "processes_max=1",
         "minutes=0.001", "batch=65536", "size=8192", "separable", "standard", "mobilenet_v2", "xception", "nothing", "html", "md", "csv", "json", "slower", "changed", "times", "speedups",
         "5%", "0.05", "-5%", "1e-300", "100%", "cpu_3x", "same", "valid", "fp32", "bf16", "int8", "training", "28", "56x48", "0x0", "x", "eager", "graph", "eager,graph", "contiguous",
         "1,4,16", "1,,2", "1e9", "\x1b[31mred", "a\nb", "\udcff", "\u202eabc", "名前", "９", "x" * 5000, "%s", "{0}", "$(id)", "-1", "--", "-"]  # fmt: skip
SETS = [word for word in WORDS if "=" in word]
NUMBERS = [
    "0",
    "1",
    "2",
    "3",
    "8",
    "64",
    "-1",
    "-0",
    "65537",
    str(1 << 31),
    str(1 << 64),
    "9" * 400,
    "1.5",
    "nan",
    "inf",
    "1e3",
    "",
    " 4",
    "４",
    "0x10",
    "1_0",
]


LINES_OF_WORDS = """
report run tables
report run --format json
report run third --format csv
report run third --out new.html
report run --wide
report --index results
verdict run third --claim cpu_3x --batch 1 --json
verdict run --all
compare run third --margin 5% --fail-on slower --by times --csv c.csv --html c.html
compare run third --all --out new
compare --history run tables third --by times --json
drivers table.csv --out new
drivers timm.csv --layers layers.csv --json
drivers run
plan config.yaml --device cpu,sim:h100 --set kernel=3 --json
plan config.yaml --all --device sim:devices.yaml#mine
run config.yaml --set batch=2 --out new
run config.yaml --device sim:h100 --out new
run --resume run --anyway --trust
run config.yaml --dry-run
aa --pairs 2 --set seconds=1 --out new
cost separable --in 8 --out 16 --kernel 3 --size 28x14 --padding valid --stride 2 --json
cost mobilenet_v1 --width 0.5 --size 64 --pass training
cost inverted_bottleneck --expansion 3 --depth 4 --dtype bf16 --norm --act --bias
predict crossover --device sim:a100 --mode eager,graph --channels 8,16 --batch 1,4 --dtype fp32 --host-us 5
predict crossover --device sim:devices.yaml#mine --kernel 5 --size 14 --layout channels_last --json
doctor --device cpu,sim:h100 --json
""".strip().splitlines()


def saved(_: object, folder: Path, name: str) -> tuple[Path, Path]:
    """In the place of a picture's two files empty ones."""
    folder.mkdir(parents=True, exist_ok=True)
    png, svg = folder / f"{name}.png", folder / f"{name}.svg"
    png.touch()
    svg.touch()
    return png, svg


class TooSlow(BaseException):
    """No verb may catch it."""


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three runs and a file of each kind, as they should be."""
    from bench.show import write

    folder = sound_folders(tmp_path_factory.mktemp("sound"))
    (folder / "run" / "config.yaml").write_text("name: synthetic\n")
    (folder / "run" / "logs").mkdir()
    shutil.copytree(folder / "run", folder / "third")
    for name in ("tables", "third"):
        for path in (path for path in (folder / name).iterdir() if path.is_file()):
            path.write_text(path.read_text().replace("synthetic-cpu-2026", f"{name}-cpu-2026"))
    (folder / "third" / "DONE").touch()
    shutil.copytree(folder / "run", folder / "full")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(write, "draw", lambda *_: ())
        for name in ("third", "full"):
            write.write_views(folder / name)
    (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG, sort_keys=False))
    (folder / "noise").write_bytes(random.Random(1).randbytes(5000))
    for name, text in (("table.csv", TABLE), ("timm.csv", TIMM), ("layers.csv", LAYERS), ("devices.yaml", DEVICES)):
        (folder / name).write_text(text)
    return folder


@pytest.fixture(autouse=True)
def bounded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Nothing is measured, drawn or synced, plans are small, and a case has SECONDS and MEMORY."""
    from bench.show import write

    monkeypatch.chdir(tmp_path)
    for module in (launch, session):
        monkeypatch.setattr(module, "Worker", InProcess)
    for module in (configs, plans):
        monkeypatch.setattr(module, "MOST_TRIALS", 200)
    monkeypatch.setattr(write, "draw", lambda *_: ())
    monkeypatch.setattr("bench.show.plots.shared.files.save", saved)
    monkeypatch.setattr(os, "fsync", lambda _: None)

    def over(number: int, _: FrameType | None) -> None:
        raise TooSlow(signal.Signals(number).name)

    before = {number: signal.signal(number, over) for number in (signal.SIGPROF, signal.SIGALRM)}
    at_term, limits = signal.getsignal(signal.SIGTERM), resource.getrlimit(resource.RLIMIT_AS)
    had = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (had + MEMORY, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, limits)
    for number, handler in (before | {signal.SIGTERM: at_term}).items():
        signal.signal(number, handler)


def sandbox(sound: Path, tmp_path: Path) -> Path:
    """A fresh copy of what is sound in a working folder, beside what is not: a pipe, links, an endless and a huge file."""
    place = tmp_path / "cwd"
    os.chdir(tmp_path)
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(sound, place)
    os.chdir(place)
    os.mkfifo("pipe")
    Path("empty").mkdir()
    Path("loop").symlink_to("loop")
    Path("link").symlink_to("run")
    with Path("huge").open("wb") as file:
        file.truncate(1 << 40)
    return place


def damage_text(text: str, coin: random.Random) -> str:
    """The text with a piece put in, doubled, moved or left out."""
    at, to = sorted(coin.randrange(len(text) + 1) for _ in range(2))
    to = min(to, at + coin.choice([1, 5, 60]))
    return coin.choice(
        [
            text[:at] + coin.choice(CHARACTERS) + text[at:],
            text[:at] + text[to:],
            text[:at] + 2 * text[at:to] + text[to:],
            text[:at],
        ]
    )


def a_folder(coin: random.Random, sound: Path) -> list[str]:
    verb, home = coin.choice(VERBS), Path("results/damaged")
    damaged(sound / ("run" if verb[0] == "run" else coin.choice(["run", "full", "full", "tables"])), home, coin)
    if coin.random() < 0.4:
        path = coin.choice(sorted(path for path in home.iterdir() if path.is_file()))
        if coin.random() < 0.5:
            path.write_bytes(damage_text(path.read_text(errors="replace"), coin).encode(errors="surrogatepass"))
        else:
            path.unlink()
            name = coin.choice(["empty", "pipe", "/dev/zero", "huge", "loop", "noise", "table.csv", "config.yaml"])
            coin.choice(
                [path.symlink_to, path.hardlink_to] if name in ("pipe", "huge", "noise") else [path.symlink_to]
            )(Path(name).absolute())
    beside = {
        "compare": ["tables"],
        "verdict": coin.choice([[], ["third"]]),
        "report": coin.choice([[], [], ["third"]]),
    }
    named = [] if "--format" in verb or "--index" in verb else beside.get(verb[0], [])
    named += ["third"] if "--history" in verb else []
    sound_one = coin.random() < 0.15 and verb == ["report"]  # beside which the damaged one lies
    shutil.copytree("third", "results/good") if sound_one else None
    return [*verb, *named, "results/good" if sound_one else "results" if "--index" in verb else str(home)]


def another_value(data: Any, coin: random.Random) -> Any:
    """The plain data with another value in one place: mostly one of its type, so that it may be right."""
    leaves = [(container, key) for container, key in spots(data) if type(container[key]) in LIKELY]
    container, key = coin.choice(leaves if coin.random() < 0.9 else [*spots(data)])
    pool = LIKELY.get(type(container[key]), ODD) if coin.random() < 0.9 else ODD
    container[key] = coin.choice(pool) if coin.random() < 0.9 else [coin.choice(pool), coin.choice(pool)]
    return data


def a_config(coin: random.Random, sound: Path) -> list[str]:
    text = (sound / "config.yaml").read_text()
    if coin.random() < 0.7:
        data = yaml.safe_load(text)
        for _ in range(coin.choice([1, 1, 2])):
            data = another_value(data, coin)
        text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
    else:
        for _ in range(coin.choice([1, 1, 3])):
            text = damage_text(text, coin)
    Path("config.yaml").write_bytes(text.encode(errors=coin.choice(["surrogatepass", "replace"])))
    verb = coin.choice(
        [["plan"], ["plan", "--json"], ["plan", "--all"], ["run", "--dry-run"], ["run"], ["run", "--out", "new"]]
    )
    return [
        *verb,
        "config.yaml",
        *coin.choice(
            [[], [], ["--device", coin.choice(["sim:h100", "cuda", "cpu,mps"])], ["--set", coin.choice(SETS)]]
        ),
    ]


def a_table(coin: random.Random, sound: Path) -> list[str]:
    name = coin.choice(
        ["table.csv", "table.csv", "timm.csv", "layers.csv", "devices.yaml", "tables/measurements.csv", "run/roofs.csv"]
    )
    text = (ROOFS if "roofs" in name else sound / name).read_text()
    for _ in range(coin.choice([1, 1, 3])):
        text = damage_text(text, coin) if coin.random() < 0.5 or name.endswith("yaml") else damage_table(text, coin)
        text = text or coin.choice(LINES)
    text = coin.choice(
        [
            text,
            text,
            text,
            text.replace(",", ";"),
            text.replace(",", "\t"),
            text.replace(".", ",").replace(",", ";", 3),
            "\ufeff" + text,
            text.replace("\n", "\r"),
        ]
    )
    Path(name).write_bytes(text.encode(errors=coin.choice(["surrogatepass", "replace"])))
    if name == "devices.yaml":
        return coin.choice(
            [
                ["plan", "config.yaml", "--device", "sim:devices.yaml#mine"],
                ["predict", "crossover", "--device", "sim:devices.yaml#mine"],
            ]
        )
    if name == "run/roofs.csv":
        return ["predict", "crossover", "--device", "sim:run#cpu"]
    if name in ("timm.csv", "layers.csv"):
        return ["drivers", "timm.csv", *coin.choice([[], ["--layers", "layers.csv"]]), *coin.choice([[], ["--json"]])]
    return ["drivers", name, *coin.choice([[], ["--json"]])]


def commands() -> dict[tuple[str, ...], list[Any]]:
    """typer's own tree: the parameters of each verb."""
    found: dict[tuple[str, ...], list[Any]] = {}

    def visit(command: Any, path: tuple[str, ...]) -> None:
        found[path] = list(command.params)
        for name, inner in getattr(command, "commands", {}).items():
            visit(inner, (*path, name))

    visit(typer.main.get_command(app), ())
    return found


COMMANDS = commands()


GOOD = {"config": ["config.yaml"], "table": ["table.csv", "timm.csv", "run"], "folders": ["run", "tables", "third"]}


def a_command_line(coin: random.Random, _: Path) -> list[str]:
    words = coin.choice(LINES_OF_WORDS).split() if coin.random() < 0.6 else drawn_line(coin)
    for _ in range(coin.choice([0, 1, 1, 2])):
        at = coin.randrange(1, len(words) + 1) if len(words) > 1 else 0
        words[at : at + coin.choice([0, 1, 1, 1])] = [
            coin.choice([*WORDS, *PATHS, *NUMBERS, "--no-such", "-h", "--version"])
        ][: coin.choice([0, 1, 1, 1])]
    return words


def drawn_line(coin: random.Random) -> list[str]:
    verb = coin.choice([*COMMANDS])
    words = [*verb]
    for parameter in COMMANDS[verb]:
        argument, flag = parameter.param_type_name == "argument", getattr(parameter, "is_flag", False)
        if coin.random() < (0.05 if argument else 0.8):
            continue
        metavar = parameter.metavar or ""
        usual = PATHS if "DIR" in metavar or "FILE" in metavar else NUMBERS if metavar in ("N", "X", "US") else WORDS
        several = parameter.multiple or parameter.nargs == -1
        for _ in range(coin.choice([1, 2, 3]) if several else 1):
            value = coin.choice(usual if coin.random() < 0.9 else [*WORDS, *PATHS, *NUMBERS])
            if parameter.name in GOOD and coin.random() < 0.6:
                value = coin.choice(GOOD[parameter.name])
            name = parameter.opts[0]
            words += [value] if argument else [name] if flag else coin.choice([[name, value], [f"{name}={value}"]])
    return words


KINDS: dict[str, tuple[float, Callable[[random.Random, Path], list[str]]]] = {
    "folder": (0.25, a_folder),
    "config": (0.2, a_config),
    "table": (0.2, a_table),
    "command line": (0.35, a_command_line),
}
"""What is drawn, and its share of the cases."""


def outcome(words: list[str]) -> int:
    """The exit status of a command line, within SECONDS of the processor and 6 times that in all."""
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    signal.setitimer(signal.ITIMER_REAL, 6 * SECONDS)
    try:
        return bench(*words)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)


def try_case(kind: str, seed: int, sound: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sandbox(sound, tmp_path)
    coin = random.Random(f"{kind} {seed}")
    words = KINDS[kind][1](coin, sound)
    InProcess.left = MOST_JOBS
    capsys.readouterr()
    try:
        status = outcome(words)
    except BaseException:
        print("the command line:", words)
        raise
    err = capsys.readouterr().err
    assert status in (0, 1, 2, 3, 130), words
    assert "Traceback" not in err, words
    assert "its memory is too small" not in err, words
    if status == 2:
        lines = [line for line in err.splitlines() if line.startswith("bench: ")]
        assert len(lines) == 1, (words, err)
        assert err.splitlines()[-1] == lines[0], (words, err)
        assert len(lines[0]) < 4_200, words
        assert lines[0].isprintable(), words


@pytest.mark.fault(
    "configs", "anything at all is handed in: configs, folders, tables, observations, command lines drawn at random",
    "status 0, 1, 2, 3 or 130, no traceback, under 20 s and 2 GiB",
)  # fmt: skip
@pytest.mark.parametrize("kind", KINDS)
def test_whatever_is_handed_in_gives_an_answer_or_one_line(sound: Path, tmp_path: Path, capsys, kind: str):
    @given(seed=st.integers(0, (1 << 64) - 1))
    @settings(
        max_examples=max(1, round(CASES * KINDS[kind][0])), derandomize="FUZZ" not in os.environ, database=None, deadline=None,
        phases=[Phase.generate], suppress_health_check=[*HealthCheck],
    )  # fmt: skip
    def cases(seed: int) -> None:
        try_case(kind, seed, sound, tmp_path, capsys)

    cases()
