"""The config file: what it means, and that each mistake in it is one line with place, value, rule and remedy."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.spec.blocks.blocks import BlockChoice
from bench.spec.config.axes import Axes
from bench.spec.config.config import MOST_TRIALS, Experiment, SweepConfig, check, load
from bench.spec.config.timing import Timing
from bench.spec.config.yaml_file import keys_of
from bench.spec.errors import UserError
from bench.spec.plan import plan
from bench.spec.plan.durations import plan_seconds

VALID = """\
name: tiny
timing:
  precision: 0.1
experiments:
  a:
    description: two blocks
    blocks: [standard, {name: separable, norm: false}]
    axes:
      channels: [64, 32->64]
      size: 56x48
      kernel: [3, 5]
      threads: [all, 1]
  b:
    blocks: [standard]
"""


@pytest.fixture
def write(tmp_path: Path):
    def to_file(text: str) -> Path:
        path = tmp_path / "x.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return to_file


def refusal(path: Path, *overrides: str) -> str:
    """The line that a config is refused with, its folder taken off."""
    with pytest.raises(UserError) as told:
        load(path, overrides)
    line = str(told.value)
    assert "\n" not in line
    assert line.isprintable()
    assert line.endswith((".", "?", ")"))
    return line.replace(f"{path.parent}/", "")


def test_a_config_reads_as_it_is_written(write):
    config, data = load(write(VALID))
    assert (config.name, config.timing.precision) == ("tiny", 0.1)
    a, b = config.experiments["a"], config.experiments["b"]
    assert a.choices() == (BlockChoice("standard"), BlockChoice("separable", norm=False))
    assert (a.axes.channels, a.axes.size, a.axes.threads) == ([(64, 64), (32, 64)], [(56, 48)], ["all", 1])
    assert b.axes == Axes()
    assert data == yaml.safe_load(VALID)
    assert check(data, "again") == config


def test_blocks_are_told_what_they_take_and_networks_have_axes_of_their_own(write):
    blocks = "[{name: grouped, groups: 8}, {name: inverted_bottleneck, expansion: 4}, {name: dilated, rate: 3}]"
    networks = "[mobilenet_v1_standard, {name: mobilenet_v1, width: 0.5}]"
    text = VALID.replace("[standard, {name: separable, norm: false}]", blocks).replace("[standard]", networks)
    config, data = load(write(text), ["kernel=7"])
    a, b = config.experiments["a"], config.experiments["b"]
    assert [c.label for c in a.choices()] == [
        "grouped(groups 8)",
        "inverted_bottleneck(expansion 4)",
        "dilated(rate 3)",
    ]
    assert [c.label for c in b.choices()] == ["mobilenet_v1_standard", "mobilenet_v1(width 0.5)"]
    assert (a.network, b.network) == (False, True)
    assert a.swept() == a.axes
    assert (b.swept().size, b.swept().kernel) == ([(224, 224)], [1])
    assert check(data, "again") == config


def test_every_axis_and_timing_key_can_be_set_from_the_command_line(write):
    values = {"channels": "8,16->32", "size": "7x9", "padding": "valid", "threads": "all,2", "pass": "training"}
    values |= {"dtype": "bf16", "layout": "channels_last", "allocator": "default", "waiting": "active"}
    values |= {"mode": "compile", "cudnn_benchmark": "off", "precision": "0.2", "confidence": "0.9"}
    values |= {"second_opinions": "0.25", "brief": "true"}
    for model in (Axes, Timing):
        for name, field in model.model_fields.items():
            key = field.alias or name
            config, data = load(write(VALID), [f"{key}={values.get(key, '9')}", *([] if "max" in key else LARGE)])
            part = config.timing if model is Timing else config.experiments["b"].axes
            assert name in part.model_fields_set
            assert check(data, "again") == config  # what a results folder keeps says the same


LARGE = ["processes_max=100", "rounds_max=100"]


def test_an_override_reaches_every_experiment_and_replaces_the_axis(write):
    config, _ = load(write(VALID), ["kernel=7,9", "seconds=2"])
    assert [e.axes.kernel for e in config.experiments.values()] == [[7, 9], [7, 9]]
    assert config.timing.seconds == 2


@pytest.mark.parametrize(
    "text", ["mode=eager,graph", "mode=[eager, graph]", "mode=[eager,graph]", " mode = [ eager ,graph ] "]
)
def test_a_list_may_be_written_as_in_a_file(write, text):
    assert load(write(VALID), [text])[0].experiments["a"].axes.mode == ["eager", "graph"]
    assert load(write(VALID), ["precision=[0.2]"])[0].timing.precision == 0.2


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-3", 0.001), ("1.5e-1", 0.15), (".5", 0.5), ("0.5", 0.5)],
)
def test_numbers_are_read_by_yaml_1_2(write, text, value):
    assert load(write(VALID.replace("0.1", text)))[0].timing.precision == value


def test_anchors_and_merges_are_at_hand_to_say_things_once(write):
    text = VALID.replace("axes:", "axes: &axes").replace("blocks: [standard]\n", "blocks: [standard]\n    axes: {<<: *axes, kernel: 7}\n")  # fmt: skip
    config, _ = load(write(text))
    assert config.experiments["b"].axes.channels == [(64, 64), (32, 64)]
    assert config.experiments["b"].axes.kernel == [7]


def test_axes_that_walk_together_make_no_product(write):
    text = VALID.replace("[all, 1]", "[all, 1]\n      batch: [1, 2]\n    together: [kernel, channels]")
    config, _ = load(write(text))
    a, b = config.experiments.values()
    assert [shape[:4] for shape in a.shapes()] == [
        ((64, 64), 3, (56, 48), 1),
        ((64, 64), 3, (56, 48), 2),
        ((32, 64), 5, (56, 48), 1),
        ((32, 64), 5, (56, 48), 2),
    ]
    assert a.count() == 2 * len(list(a.shapes())) == 8  # on two counts of threads
    assert b.count() == 2
    with pytest.raises(UserError, match="differ in their number of values: 3 of kernel, 2 of channels"):
        load(write(text), ["kernel=3,5,7"])


def test_of_axes_in_step_a_network_has_only_its_own(write):
    config, _ = load(write("name: n\nexperiments: {a: {blocks: [resnet18], together: [size, batch, depth], axes: {size: [64, 32], batch: [1, 4], depth: [1, 2]}}}"))  # fmt: skip
    made = plan.make(config, ["cpu"], 1)
    assert [(t.shape.height, t.shape.batch) for t in made.active] == [(64, 1), (32, 4)]


def test_the_page_on_configs_names_every_key_with_its_default_and_its_example_holds(write):
    page = (Path(__file__).parents[1] / "docs" / "CONFIG.md").read_text()
    keys = [f.alias or n for n, f in Axes.model_fields.items()] + list(Timing.model_fields)
    assert [key for key in keys if f"`{key}`" not in page] == []
    for name in ("precision", "confidence", "seconds", "sample_seconds", "warmup_seconds", "timeout_seconds"):
        (line,) = [row for row in page.splitlines() if row.startswith(f"| `{name}`")]
        assert f"| {Timing.model_fields[name].default:g} |" in line
    config, _ = load(write(page.split("```yaml\n")[1].split("```")[0]))
    assert [experiment.count() for experiment in config.experiments.values()] == [8, 6, 4]


# ---------------------------------------------------------------- mistakes in the file

KERNEL = "x.yaml:11: experiments.a.axes.kernel"
WHOLE = "Write a whole number from 1 to 255."
MISTAKES = [
    # unknown keys
    ("kernel:", "kernal:", "x.yaml:11: experiments.a.axes.kernal: no such key. Did you mean kernel?"),
    ("timing:", "timings:", "x.yaml:2: timings: no such key. Did you mean timing?"),
    ("precision:", "precise:", "x.yaml:3: timing.precise: no such key. Did you mean precision?"),
    ("    blocks: [standard]", "    block: [standard]", "experiments.b.block: no such key. Did you mean blocks? (1 more mistake"),
    ("norm:", "zzz:", "x.yaml:7: experiments.a.blocks[1].zzz: no such key. Known keys: import, network, name, norm, act, bias, again, groups,"),
    # keys that stand twice, or are none
    ("kernel: [3, 5]", "kernel: 3\n      kernel: 5", "x.yaml:12: experiments.a.axes.kernel: 'kernel': the key is there twice"),
    ("  b:", "  a:", "x.yaml:13: experiments.a: 'a': the key is there twice, so one would hide the other. Remove one."),
    ("  a:", "  1:", "x.yaml:5: experiments: '1': a key must be a word. Put it in quotes if it is meant as one."),
    ("  a:", "  true:", "x.yaml:5: experiments: 'true': a key must be a word."),
    ("  a:", "  ? [a]\n  :", "x.yaml:5: experiments: a key must be a word."),
    ("  a:", "  a/b:", "x.yaml:5: experiments.a/b: 'a/b': it cannot be a name. Name at least one experiment, by at most 64"),
    ("  a:", "  'a b':", "it cannot be a name"),
    ("name: tiny", "name: ../tiny", "x.yaml:1: name: '../tiny': it cannot be a name. Write at most 64 letters, digits"),
    # wrong types
    ("[3, 5]", "three", f"{KERNEL}: 'three': it is not a whole number. {WHOLE}"),
    ("[3, 5]", "[3, three]", f"{KERNEL}[1]: 'three': it is not a whole number. {WHOLE}"),
    ("[3, 5]", "[3, [5]]", f"{KERNEL}[1]: [5]: it is not a whole number."),
    ("[3, 5]", "{3: 5}", "a key must be a word"),
    ("[3, 5]", "3.0", f"{KERNEL}: 3.0: it is not a whole number."),
    ("[3, 5]", "true", f"{KERNEL}: True: it is not a whole number."),
    ("[3, 5]", "'3'", f"{KERNEL}: '3': it is not a whole number."),
    ("[3, 5]", "010", f"{KERNEL}: '010': it is not a whole number."),  # 8 to YAML 1.1
    ("[3, 5]", "1:30", f"{KERNEL}: '1:30': it is not a whole number."),  # 90 to YAML 1.1
    ("[3, 5]", "", f"{KERNEL}: it is not a whole number."),
    ("56x48", "56*48", "axes.size: '56*48': it is neither a whole number nor two of them. Write 28, or 56x48 for height"),
    ("32->64", "32-64", "axes.channels[1]: '32-64': it is neither a whole number nor two of them. Write 64, or 32->64 for"),
    ("[all, 1]", "some", "axes.threads: 'some': it is neither a whole number nor the word all. Write a whole number from"),
    ("[all, 1]", "[0]", "axes.threads[0]: 0: it is out of bounds. Write a whole number from 1 to 1024, or all for the"),
    ("[all, 1]", "true", "axes.threads: True: it is neither"),
    ("false", "off", "blocks[1].norm: 'off': it is neither true nor false."),  # false to YAML 1.1
    ("0.1", "'a'", "x.yaml:3: timing.precision: 'a': it is not a number."),
    ("0.1", "true", "timing.precision: True: it is not a number."),
    ("0.1", ".nan", "timing.precision: '.nan': it is not a number."),
    ("0.1", "1e999", "timing.precision: inf: it is not a finite number."),
    ("0.1", "1", "timing.precision: 1: it is not below 1."),
    ("0.1", "0", "timing.precision: 0: it is not above 0. Write the half-width to reach"),
    ("description: two blocks", "description: 3", "experiments.a.description: 3: it is not text."),
    ("timing:\n  precision: 0.1", "timing:", "x.yaml:2: timing: it is not a mapping of keys. Write its keys below it"),
    ("    blocks: [standard]", "    [standard]", "x.yaml:13: experiments.b: ['standard']: it is not a mapping of keys. Write its"),
    ("blocks: [standard]", "blocks: standard", "experiments.b.blocks: 'standard': it is not a list. List the blocks, the"),
    ("  b:\n    blocks: [standard]\n", "  b: 3\n", "experiments.b: 3: it is not a mapping of keys."),
    # words
    ("[all, 1]", "1\n      dtype: fp23", "axes.dtype: 'fp23': it is not one of the words known here. Write fp32, fp32-tf32, bf16, fp16 or"),
    ("separable", "seperable", "x.yaml:7: experiments.a.blocks[1].name: 'seperable': no such block. Did you mean separable?"),
    # empty, missing
    ("[3, 5]", "[]", f"{KERNEL}: []: it is empty. {WHOLE}"),
    ("[standard]", "[]", "experiments.b.blocks: []: it is empty. List the blocks, the baseline first: standard"),
    ("    blocks: [standard]", "    axes: {}", "x.yaml:13: experiments.b.blocks: it is missing. List the blocks"),
    ("name: tiny\n", "", "x.yaml: name: it is missing. Write at most 64 letters"),
    ("name: separable, ", "", "experiments.a.blocks[1].name: it is missing. Write a block's name: standard, depthwise"),
    # values that do not go together
    ("[3, 5]", "[3, 4]", f"{KERNEL}[1]: 4: padding same needs an odd kernel, or the output shifts by half a pixel. Use an odd"),
    ("{name: separable, norm: false}", "standard", "x.yaml:5: experiments.a: the block standard is listed twice. Remove"),
    ("0.1", "0.1\n  processes_min: 50", "timing: processes_min 50 is above processes_max 12. Raise processes_max or lower"),
    ("norm: false", "groups: 4", "x.yaml:7: experiments.a.blocks[1]: separable: groups: this block has no such option. Only grouped may"),
    ("separable, norm: false", "grouped, groups: 0", "experiments.a.blocks[1].groups: 0: it is below 1. Write a number from 1 to 65536: the"),
    ("separable, norm: false", "grouped, groups: 2.0", "experiments.a.blocks[1].groups: 2.0: it is not a whole number. Write a number from"),
    ("separable, norm: false", "dilated, rate: 65", "experiments.a.blocks[1].rate: 65: it is above 64."),
    ("separable, norm: false", "mobilenet_v1, width: wide", "experiments.a.blocks[1].width: 'wide': it is not a number."),
    ("separable, norm: false", "mobilenet_v1", "x.yaml:5: experiments.a: standard is a block and mobilenet_v1 a network, whose inputs differ"),
    ("blocks: [standard]", "blocks: [grouped, {name: grouped, groups: 4}]", "experiments.b: the block grouped is listed twice. Remove"),
    ("blocks: [standard]", "blocks: [{name: resnet18, width: 0.5}]", "resnet18: width: this block has no such option. Only mobilenet_v1,"),
    # axes in step
    ("[all, 1]", "[all, 1]\n    together: [channels, depth]", "experiments.a: axes that walk in step differ in their number of values: 2 of channels, 1 of"),
    ("[all, 1]", "[all, 1]\n    together: [kernel, kernel]", "x.yaml:5: experiments.a: together names an axis twice. Remove one."),
    ("[all, 1]", "[all, 1]\n    together: [kernel]", "experiments.a: together names one axis only. Name the axes that walk in step with it"),
    ("[all, 1]", "[all, 1]\n    together: [threads]", "together[0]: 'threads': it is not one of the words known here. List axes that walk in step"),
    ("0.1", "0.1\n  minutes: 0", "timing.minutes: 0: it is not above 0. Write the minutes that a device may take"),
    # absurd
    ("blocks: [standard]", "blocks: [vgg16]\n    axes: {batch: 65536}", "experiments.b.axes: 1723640622240: vgg16 with 224x224 pixels, batch 65536"),
    ("blocks: [standard]", "blocks: [transposed]\n    axes: {stride: 64, size: 8192}", "transposed with 64->64 channels, 8192x8192 pixels"),
    ("[3, 5]", "0", f"{KERNEL}: 0: it is below 1. {WHOLE}"),
    ("[3, 5]", "257", f"{KERNEL}: 257: it is above 255. {WHOLE}"),
    ("56x48", "100000", "axes.size: 100000: it is above 8192."),
    ("56x48", "-1", "axes.size: -1: it is below 1."),
    ("56x48", "8192\n      batch: 65536", "x.yaml:8: experiments.a.axes: 1125899907252224: standard with 64->64 channels, 8192x8192"),
    ("[64, 32->64]", "9" * 400, "axes.channels: 999"),
    ("[64, 32->64]", "9" * 5000, "x.yaml: a value in it can't be read"),
    ("[64, 32->64]", "0x" + "f" * 5000, "it is neither a whole number nor two of them"),
    ("[3, 5]", f"{[*range(1, 255, 2)]}\n      batch: {[*range(1, 999)]}", f"the axes make more than {MOST_TRIALS} trials. Remove"),
    # not YAML
    ("[3, 5]", "[3, 5", "x.yaml:12: this is not YAML: "),
    ("  precision", "\tprecision", "x.yaml:3: this is not YAML: found character that cannot start any token. Correct the line."),
    ("tiny", "*tiny", "x.yaml:1: this is not YAML: found undefined alias."),
    ("tiny", "\x07", "x.yaml: this is not YAML: "),
    ("[3, 5]", "[" * 2000, "x.yaml"),
    ("[3, 5]", "!!int three", "x.yaml: a value in it can't be read. Write plain words and numbers, without tags."),
    ("tiny", "!!python/name:os.system x", "this is not YAML: could not determine a constructor for the tag"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "line"), MISTAKES)
def test_a_mistake_is_one_line(write, old, new, line):
    assert old in VALID
    assert line in refusal(write(VALID.replace(old, new, 1)))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "x.yaml: it is empty. A config has name: and experiments:, as configs/default.yaml."),
        ("# nothing\n", "x.yaml: it is empty."),
        ("- a\n", "x.yaml: ['a']: it is not a mapping of keys."),
        ("hello", "x.yaml: 'hello': it is not a mapping of keys."),
        ("name: t\nexperiments: []", "x.yaml:2: experiments: []: it is not a mapping of keys. Name at least one experiment"),
        ("name: t\nexperiments:", "x.yaml:2: experiments: it is not a mapping of keys."),
        ("name: t\nexperiments: {}", "x.yaml:2: experiments: it is empty. Name at least one experiment"),
        ("name: t\n---\nname: u", "this is not YAML: but found another document"),
        ("a: &a {b: *a}", "x.yaml:1: a: no such key. Known keys: name, description, timing, experiments. (2 more"),
    ],
)  # fmt: skip
def test_a_file_of_another_shape_is_one_line(write, text, line):
    assert line in refusal(write(text))


@pytest.mark.fault(
    "configs", "a file nests lists or mappings thousands deep",
    "refused by its line before anything is made of it: it would end the process in a segmentation fault",
)  # fmt: skip
@pytest.mark.parametrize(
    "bomb", ["[" * 900_000, "{a: " * 200_000, "- " * 300_000, "? " * 300_000, f"x: {'[' * 30_000}{']' * 30_000}"]
)
def test_a_file_nested_too_deep_is_refused(write, bomb: str):
    with pytest.raises(UserError, match=r":1: over 100 lists or mappings are nested in each other"):
        load(write(bomb))


@pytest.mark.fault(
    "configs", "a config is missing, a folder or no text",
    "one line with the reason",
)  # fmt: skip
def test_a_file_that_cannot_be_read_is_one_line(tmp_path):
    assert refusal(tmp_path / "none.yaml").startswith("none.yaml: the config can't be read: No such file or directory.")
    assert "the config can't be read: Is a directory" in refusal(tmp_path)
    (tmp_path / "x.yaml").write_bytes(b"name: \xff\xfe")
    assert "x.yaml: the config can't be read: it is not UTF-8 text." in refusal(tmp_path / "x.yaml")


def test_a_block_that_takes_no_notice_of_the_kernel_may_have_an_even_one(write):
    load(write(VALID.replace("blocks: [standard]", "blocks: [pointwise]\n    axes: {kernel: 4}")))


# ---------------------------------------------------------------- mistakes in --set


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        ("kernal=3", "--set kernal=3: no such axis or timing key. Did you mean kernel?"),
        ("qqq=3", "--set qqq=3: no such axis or timing key. Known: channels, kernel,"),
        ("kernel", "--set kernel: a value is missing. Write --set kernel=value,value."),
        ("kernel=", "--set kernel=: a value is missing."),
        ("kernel=3,,5", "a value is missing"),
        ("kernel=[]", "--set kernel=[]: a value is missing."),
        (
            "kernel=[3,",
            "--set kernel=[3,: a bracket is missing. Write --set kernel=value,value, or in quotes",
        ),
        ("kernel=3]", "a bracket is missing"),
        ("blocks=separable", "--set blocks=separable: blocks is neither an axis nor a timing key. Write blocks: [standard, separable] in a config file, in each experiment."),
        ("block=separable", "block is neither an axis nor a timing key. Write blocks: [standard"),
        ("experiments=a", "experiments is neither an axis nor a timing key. Write them in a config file: --set changes axes in all"),
        ("name=mine", "name is neither an axis nor a timing key. Write name: at the top of a config file; bench run --out DIR"),
        ("description=x", "description is neither an axis nor a timing key. Write description: in a config file"),
        ("together=kernel", "together is neither an axis nor a timing key. Write together: [kernel, channels] in a config file"),
        ("timing=0.1", "timing is neither an axis nor a timing key. Name one of its keys: --set precision=0.1."),
        ("axes=3", "axes is neither an axis nor a timing key. Name the axis itself: --set kernel=3,5."),
        ("devices=cuda", "devices is neither an axis nor a timing key. Write --device cpu,cuda:0."),
        ("timing.precision=0.1", "--set timing.precision=0.1: no such axis or timing key. Did you mean precision?"),
        ("experiments.a.axes.kernel=7", "no such axis or timing key. Did you mean kernel?"),
        ("=3", "--set =3: no such axis"),
        ("", "--set : no such axis"),
        ("kernel=4", "x.yaml --set kernel=4: experiments.a.axes.kernel[0]: 4: padding same needs an odd kernel"),
        ("kernel=three", "experiments.a.axes.kernel[0]: 'three': it is not a whole number."),
        ("kernel=" + "9" * 5000, "it is not a whole number"),
        ("size=0", "experiments.a.axes.size[0][0]: 0: it is below 1."),
        ("second_opinions=2", "second_opinions: 2: it is above 1. Write the share of trials that other tools time too"),
        ("precision=nan", "timing.precision: nan: it is not a finite number."),
        ("precision=0.1,0.2", "timing.precision: [0.1, 0.2]: it is not a number."),
        ("processes_min=99", "timing: processes_min 99 is above processes_max 12."),
    ],
)  # fmt: skip
def test_a_setting_that_does_not_hold_is_one_line(write, setting, line):
    assert line in refusal(write(VALID), setting)


@pytest.mark.parametrize("name", sorted({*keys_of(SweepConfig), *keys_of(Experiment)}))
def test_what_a_config_has_besides_axes_and_timing_keys_is_said_with_where_it_goes(write, name):
    line = refusal(write(VALID), f"{name}=x")
    assert f"{name} is neither an axis nor a timing key. " in line
    assert "Known: " not in line


def test_a_setting_told_twice_is_refused_as_one_would_hide_the_other(write):
    assert "kernel is set twice" in refusal(write(VALID), "kernel=3", "kernel=5")


def test_a_files_own_mistakes_come_before_those_of_settings(write):
    for text in (
        "name: t",
        "name: t\nexperiments: []",
        "name: t\nexperiments: {a: }",
        VALID.replace("axes:", "axes: 3 #"),
    ):
        assert "x.yaml" in refusal(write(text), "kernel=4")


# ---------------------------------------------------------------- whatever else comes

JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["all", "64->8", "9x9", "same"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4) | st.integers(), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip


def spots(data: Any) -> list[tuple[Any, Any]]:
    """Every container in the data with each of its keys."""
    keys = data if isinstance(data, dict) else range(len(data)) if isinstance(data, list) else ()
    return [(data, key) for key in keys] + [spot for key in keys for spot in spots(data[key])]


def complaint(action: Callable[[], object]) -> str:
    """The line of a user error, or nothing; any other exception passes through and fails the test."""
    try:
        action()
    except UserError as told:
        return str(told)
    return ""


@given(st.data())
@settings(max_examples=300)
def test_any_mutation_of_a_config_holds_or_is_a_user_error(draws):
    data = yaml.safe_load(VALID)
    for _ in range(draws.draw(st.integers(1, 3))):
        holder, key = draws.draw(st.sampled_from(spots(data) or [(data, "name")]))
        action = draws.draw(st.sampled_from(["change", "drop", "add"]))
        if action == "drop":
            holder.pop(key)
        elif action == "change" or isinstance(holder, list):
            holder[key] = draws.draw(JUNK)
        else:
            holder[draws.draw(st.text(max_size=8))] = copy.deepcopy(holder[key])

    def measure_up() -> None:
        made = plan.make(check(data, "fuzz.yaml"), ["cpu", "cuda:0"], 2)
        plan_seconds(made, made.timing.processes_max)

    assert complaint(measure_up).isprintable()


@pytest.mark.fault(
    "configs", "a config or a `--set` holds anything",
    "it is planned, or refused in one line",
)  # fmt: skip
@given(st.integers(0, len(VALID)), st.integers(0, 12), st.text(max_size=6))
@settings(max_examples=200)
def test_any_edit_of_the_file_holds_or_is_a_user_error(tmp_path_factory, at, length, text):
    path = tmp_path_factory.getbasetemp() / "fuzz.yaml"
    path.write_bytes((VALID[:at] + text + VALID[at + length :]).encode("utf-8", "surrogatepass"))
    assert complaint(lambda: load(path)).isprintable()


@pytest.mark.fault(
    "configs", "a config or a `--set` holds anything",
    "it is planned, or refused in one line",
)  # fmt: skip
@given(st.sampled_from([*Axes.model_fields, "pass", *Timing.model_fields]), st.text(max_size=12))
@settings(max_examples=200)
def test_any_setting_holds_or_is_a_user_error(tmp_path_factory, name, value):
    path = tmp_path_factory.getbasetemp() / "valid.yaml"
    path.write_text(VALID, encoding="utf-8")
    assert complaint(lambda: load(path, [f"{name}={value}"])).isprintable()


def test_a_config_of_this_program_is_named_without_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shipped = load(Path("smoke"))
    assert shipped == load(Path(__file__).parents[1] / "configs" / "smoke.yaml")
    with pytest.raises(
        UserError, match=r"^smoek: there is no such file, and no config of this name. Did you mean smoke\?$"
    ):
        load(Path("smoek"))
    with pytest.raises(UserError, match=r"^nothing.yaml: the config can't be read: "):
        load(Path("nothing.yaml"))
    Path("smoke").write_text("name: mine\nexperiments: {a: {blocks: [standard]}}\n")
    assert load(Path("smoke"))[0].name == "mine", "a file of that name comes first"
