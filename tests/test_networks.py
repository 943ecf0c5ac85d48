"""Networks: what their papers print, what torch counts of their modules, and that a twin is one word changed."""

from __future__ import annotations

import pytest
import torch

from bench.measure.device import counts
from bench.measure.modules import build_module
from bench.spec.blocks.blocks import BLOCKS, BlockChoice, build
from bench.spec.blocks.costs import Cost, cost
from bench.spec.blocks.derivation import derive
from bench.spec.blocks.layers import Block, Layer, Residual
from bench.spec.errors import UserError
from tests.counting import counted
from tests.shapes import NETWORKS, network_shape


def priced(name: str, size: int = 0, **told: float) -> Cost:
    size = size or BLOCKS[name].network
    return cost(build(BlockChoice(name, **told), network_shape(size)), size, size)


# ---------------------------------------------------------------- the truth of others


@pytest.mark.parametrize(
    ("name", "params", "macs"),
    [  # to the digits that are printed; params of the authors' or Keras' and torchvision's models, to the last one
        ("mobilenet_v1", 4_231_976, (569, 1e6)),  # arXiv:1704.04861, table 4: 4.2 M and 569 M
        ("mobilenet_v1_standard", 29_294_088, (4867, 1e6)),  # the same: 29.3 M, and 4,866 M without its linear layer
        ("mobilenet_v2", 3_504_872, (0.30, 1e9)),  # arXiv:1801.04381, table 4: 300 M
        ("xception", 22_855_952, (8.4, 1e9)),  # arXiv:1610.02357, table 3: 22,855,952
        ("resnet18", 11_689_512, (1.8, 1e9)),  # arXiv:1512.03385, table 1
        ("resnet50", 25_557_032, (4.1, 1e9)),  # with the stride on the 3 x 3
        ("vgg16", 138_357_544, (15.5, 1e9)),  # arXiv:1409.1556, table 2: 138 M
    ],
)
def test_costs_are_the_published_ones(name, params, macs):
    found = priced(name)
    digits, unit = macs
    decimals = len(str(digits).partition(".")[2])
    assert found.params == params
    assert round(found.macs / unit, decimals) == digits


def test_the_full_convolution_twin_is_the_papers_but_for_the_linear_layer():
    """Table 4 prints 4,866 M for it and 569 M for MobileNet: the one without the classifier's million, the other with it."""
    twin, thin = priced("mobilenet_v1_standard"), priced("mobilenet_v1")
    classifier = 1024 * 1000
    assert round((twin.macs - classifier) / 1e6) == 4866
    assert [round(m / 1e6) for m in (thin.macs, thin.macs - classifier)] == [569, 568]


@pytest.mark.parametrize(
    ("name", "width", "size", "macs", "params"),
    [
        # arXiv:1704.04861, tables 6 and 7; of 290.7 M it prints 290
        ("mobilenet_v1", 0.75, 224, 325, 2.6),
        ("mobilenet_v1", 0.5, 224, 149, 1.3),
        ("mobilenet_v1", 0.25, 224, 41, 0.5),
        ("mobilenet_v1", 1.0, 192, 418, 4.2),
        ("mobilenet_v1", 1.0, 160, 290, 4.2),
        ("mobilenet_v1", 1.0, 128, 186, 4.2),
        # the authors' list of checkpoints
        ("mobilenet_v2", 1.4, 224, 582, 6.1),
        ("mobilenet_v2", 0.75, 224, 209, 2.6),
        ("mobilenet_v2", 0.5, 224, 97, 2.0),
        ("mobilenet_v2", 0.35, 224, 59, 1.7),
    ],
)
def test_width_and_resolution_multipliers_are_the_published_ones(name, width, size, macs, params):
    found = priced(name, size, width=width)
    assert macs <= found.macs / 1e6 < macs + 1 or round(found.macs / 1e6) == macs
    assert round(found.params / 1e6, 1) == params


def test_depthwise_layers_are_3_percent_of_mobilenets_macs_but_38_percent_of_its_activations():
    found = priced("mobilenet_v1")
    thin = [d for d in found.detail if d.layer.name.endswith("depthwise")]
    assert len(thin) == 13
    assert round(100 * sum(d.macs for d in thin) / found.macs) == 3
    assert round(100 * sum(d.activations for d in thin) / found.activations) == 38


# ---------------------------------------------------------------- torch's own counts


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("height", "width"), [(64, 64), (75, 96)])
def test_costs_equal_what_torch_counts_of_the_module(name, height, width):
    made = build(BlockChoice(name), network_shape(height, width, 2))
    got, seen = cost(made, height, width, 2), counted(made, (2, 3, height, width))
    assert (got.flops, got.params, got.output) == (seen.flops, seen.params, seen.output) != (0, 0, ())
    assert got.output == (2, 1000)
    assert (got.layers, got.activations, got.ops) == (seen.layers, seen.activations, seen.ops)
    assert got.bytes_min == 4 * seen.moved
    assert len(got.detail) == len(made.layers)


@pytest.mark.parametrize("name", ["mobilenet_v1", "mobilenet_v2", "xception"])
@pytest.mark.parametrize("training", [False, True])
def test_measured_memory_is_that_of_liveness_with_shortcuts_kept_alive(name, training):
    """In channels_last oneDNN needs next to no workspace."""
    torch.set_num_threads(1)
    made = build(BlockChoice(name), network_shape(64))
    theory = cost(made, 64, 64, 4, training=training).memory_bytes
    module = build_module(made).to(memory_format=torch.channels_last).train(training)
    x = torch.randn(4, 3, 64, 64).contiguous(memory_format=torch.channels_last).requires_grad_(training)

    def clear() -> None:
        module.zero_grad(set_to_none=True)
        x.grad = None

    def call() -> torch.Tensor:
        clear()
        y = module(x)
        if training:
            y.sum().backward()
        return y

    with torch.inference_mode(not training):
        peak = counts.peak_on_cpu(call, clear).allocated
    assert 0.99 * theory <= peak <= (2 if training else 1.02) * theory


def test_a_residual_keeps_its_input_alive():
    """Two bare 1 x 1 convolutions beside the input: while the second runs, three maps live; the caller's is not counted."""
    row = tuple(Layer(f"{i}", 4, 4, 1) for i in (1, 2))
    map_bytes = 4 * 8 * 8 * 4
    add = Layer("add", 4, 4, op="add")
    first = Layer("0", 4, 4, 1)
    assert cost(Block("row", (first, *row)), 8, 8).memory_bytes == 2 * map_bytes
    assert cost(Block("residual", (first, Residual(row, add))), 8, 8).memory_bytes == 3 * map_bytes
    assert cost(Block("of the caller's", (Residual(row, add),)), 8, 8).memory_bytes == 2 * map_bytes


@pytest.mark.parametrize("name", [n for n in NETWORKS if n not in ("vgg16", "xception_standard")])
def test_activations_stay_finite_and_keep_a_scale_through_a_network(name):
    torch.manual_seed(0)
    module = build_module(build(BlockChoice(name), network_shape(64))).eval()
    with torch.inference_mode():
        scores = module(torch.randn(2, 3, 64, 64))
    assert 1e-4 < float(scores.std()) < 1e4


# ---------------------------------------------------------------- twins and tables


@pytest.mark.parametrize("name", [n for n in NETWORKS if BLOCKS[n].twin])
def test_a_twin_puts_out_the_same_map_after_every_part(name):
    size = BLOCKS[name].network
    parts = []
    for word in (name, BLOCKS[name].twin):
        detail = priced(word).detail
        parts.append({d.layer.name.partition(".")[0]: d.output for d in detail})
    assert parts[0] == parts[1]
    assert len(parts[0]) > 10
    derived = derive(BlockChoice(name), network_shape(size))
    assert derived.standard is not None
    assert derived.standard[0] == BLOCKS[name].twin
    assert 8 < 1 / float(derived.mac_ratio or 1) < 9


def test_a_networks_table_adds_up():
    derived = derive(BlockChoice("mobilenet_v2", width=0.5), network_shape(96))
    rows = [line.split() for line in derived.text().splitlines()]
    params, macs = ([int(r[i].replace(",", "")) for r in rows if r and r[0].partition("_")[0] in ("stem", "block", "last", "pool", "linear")] for i in (-2, -1))  # fmt: skip
    assert (sum(params), sum(macs)) == (derived.cost.params, derived.cost.macs)
    assert "mobilenet_v2, width 0.5: 96 x 96 x 3 -> 1000, batch 1" in derived.text()


def test_a_network_may_be_had_without_batch_norm_or_relu():
    made = build(BlockChoice("xception", norm=False, act=False), network_shape(96))
    assert {layer.op for layer in made.layers} == {"conv", "max_pool", "add", "global_pool", "linear"}
    assert not any(layer.norm or layer.act for layer in made.layers)
    seen = counted(made, (1, 3, 96, 96))
    assert cost(made, 96, 96).ops == seen.ops


@pytest.mark.parametrize("name", ["vgg16", "xception"])
def test_an_image_that_is_too_small_is_refused_in_one_line(name):
    with pytest.raises(UserError, match="does not fit in"):
        derive(BlockChoice(name), network_shape(3))
