"""What one forward pass of a user's module multiplies: counted right, or not at all; and what planning makes of it."""

from __future__ import annotations

import ctypes
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional
from torch.utils import mkldnn

from bench.cli import main
from bench.measure import user_blocks
from bench.measure.user_blocks import build_user_block, count
from bench.run import foresee, launch
from bench.spec.blocks.blocks import BlockChoice, Shape
from bench.spec.columns import COUNTED
from bench.spec.config.config import check
from bench.spec.errors import UserError
from bench.spec.plan import plan_text
from bench.spec.plan.plan import make
from tests.shapes import network_shape

aten = torch.ops.aten


class As(nn.Module):
    def __init__(self, run: Callable[[Tensor], Any], *parts: nn.Module) -> None:
        super().__init__()
        self.run, self.parts = run, nn.ModuleList(parts)

    def forward(self, x: Tensor) -> Any:
        return self.run(x)


def counted(run: Any, *size: int, device: str = "cpu") -> dict[str, int | str]:
    module = run if isinstance(run, nn.Module) else As(run)
    return count(module.to(device).eval(), torch.randn(*size, device=device), False)


CASES: list[tuple[Any, tuple[int, ...], int]] = [
    (lambda x: x.mv(x[0]), (3, 3), 9),
    (lambda x: torch.addmv(x[0], x, x[0]), (3, 3), 9),
    (lambda x: x[0].clone().addmv_(x, x[0]), (3, 3), 9),
    (lambda x: x[0].dot(x[1]), (3, 5), 5),
    (lambda x: torch.vdot(x[0], x[1]), (3, 5), 5),
    (lambda x: x[0] @ x[1], (3, 5), 5),
    (lambda x: torch.addr(x, x[0], x[0]), (3, 3), 9),
    (lambda x: torch.addbmm(x[0], x, x), (2, 3, 3), 54),
    (lambda x: torch.baddbmm(x, x, x), (2, 3, 3), 54),
    (lambda x: x.clone().addmm_(x, x), (3, 3), 27),
    (lambda x: torch.einsum("ij,jk,kl->il", x, x, x), (3, 3), 54),
    (lambda x: torch.chain_matmul(x, x), (3, 3), 27),
    (lambda x: torch.conv_tbc(x, torch.ones(3, 8, 5), torch.ones(5)), (4, 8, 8), 2 * 8 * 5 * 3 * 8),
    (nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), (1, 5, 16), 11_040),
    (nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), 2), (1, 5, 16), 22_080),
]


@pytest.mark.parametrize(("run", "size", "macs"), CASES)
def test_a_product_is_counted_whichever_operator_computes_it(run: Any, size: tuple[int, ...], macs: int) -> None:
    assert counted(run, *size)["macs"] == macs


LAYERS = {
    f"{kind}{d}": getattr(nn, f"{kind}{d}d") for kind in ("Conv", "ConvTranspose") for d in (1, 2, 3)
}  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(LAYERS)), st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.integers(1, 2), st.booleans(), st.integers(1, 2))  # fmt: skip
def test_a_convolution_of_any_dimension_is_counted(name: str, wide: int, kernel: int, stride: int, groups: int, extra: bool, batch: int) -> None:  # fmt: skip
    more = {"output_padding": 1} if name.startswith("ConvT") and extra and stride > 1 else {}
    module = LAYERS[name](2 * wide, 4, kernel, stride, groups=groups, **more)
    x = torch.randn(batch, 2 * wide, *[4] * int(name[-1]))
    out = module(x).shape
    pixels = math.prod(x.shape[2:] if name.startswith("ConvT") else out[2:])
    seen = count(module.eval(), x, False)
    assert seen["macs"] == batch * pixels * 2 * wide * 4 // groups * kernel ** int(name[-1])
    assert (seen["layers"], seen["activations"]) == (1, math.prod(out))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 2), st.integers(1, 3), st.integers(1, 5), st.integers(1, 5), st.integers(1, 4), st.booleans())
def test_attention_is_counted_alike_by_every_kernel(b: int, h: int, m: int, n: int, d: int, causal: bool) -> None:
    """By the operators of a CPU, of cards (their shapes alone) and by parts on the meta device."""
    sizes = (b, h, m, d), (b, h, n, d)
    for device in ("cpu", "meta"):
        q, k = (torch.randn(s, device=device) for s in sizes)
        seen = count(As(lambda x, k=k: functional.scaled_dot_product_attention(x, k, k, is_causal=causal)), q, False)
        assert seen["macs"] == 2 * b * h * m * n * d
    q, k = (torch.randn(s, device="meta") for s in sizes)
    cards = (
        lambda x: aten._scaled_dot_product_flash_attention(x, k, k)[0],
        lambda x: aten._scaled_dot_product_efficient_attention(x, k, k, None, False)[0],
        lambda x: aten._scaled_dot_product_cudnn_attention(x, k, k, None, False)[0],
    )
    for card in cards:
        assert count(As(card), q, False)["macs"] == 2 * b * h * m * n * d


def test_groups_of_queries_that_share_keys_are_counted() -> None:
    for device in ("cpu", "meta"):
        shared = As(lambda x: functional.scaled_dot_product_attention(x, x[:, :1], x[:, :1], enable_gqa=True))
        assert counted(shared, 1, 2, 4, 8, device=device)["macs"] == 512


def block() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(4, 4, 3, groups=2), nn.ReLU()).eval()


@pytest.mark.parametrize("how", ["plain", "traced", "scripted", "frozen", "oneDNN", "compiled"])
def test_a_convolution_has_its_layer_and_activations_however_it_is_run(how: str) -> None:
    def onednn() -> nn.Module:
        module = mkldnn.to_mkldnn(block())
        return As(lambda x: module(x.to_mkldnn()).to_dense(), module)

    made: nn.Module = {
        "plain": block,
        "traced": lambda: torch.jit.trace(block(), torch.randn(1, 4, 8, 8)),
        "scripted": lambda: torch.jit.script(block()),
        "frozen": lambda: torch.jit.freeze(torch.jit.script(block())),
        "oneDNN": onednn,
        "compiled": lambda: torch.compile(block(), backend="eager"),
    }[how]()
    x = torch.randn(1, 4, 8, 8)
    for _ in range(2):  # a trace is optimised as it runs
        seen = count(made, x, False)
        assert [seen[name] for name in ("macs", "layers", "activations")] == [2_592, 1, 144]


def test_shared_weights_are_params_once_and_products_at_each_call() -> None:
    conv = nn.Conv2d(4, 4, 3, padding=1, bias=False)
    once, twice = counted(conv, 1, 4, 8, 8), counted(nn.Sequential(conv, conv), 1, 4, 8, 8)
    assert twice["params"] == once["params"] == 144
    assert (twice["macs"], twice["layers"]) == (2 * once["macs"], 2)


# ---------------------------------------------------------------- not at all


@torch.library.custom_op("own_costs::product", mutates_args=())
def product(x: Tensor) -> Tensor:
    return x @ x


def by_address(x: Tensor) -> Tensor:
    y = torch.empty_like(x)
    ctypes.memmove(y.untyped_storage().data_ptr(), x.untyped_storage().data_ptr(), 4)
    return y + 1


def by_pointer(x: Tensor) -> Tensor:
    y = torch.zeros_like(x)
    ctypes.memmove(y.data_ptr(), x.data_ptr(), 4)
    return y


UNKNOWN: list[tuple[Any, str]] = [
    (product, "own_costs::product"),
    (nn.Bilinear(4, 4, 2), "aten::_trilinear"),
    (lambda x: torch.cdist(x, x), "aten::_cdist_forward"),
    (lambda x: torch.linalg.inv(x), "aten::linalg_inv_ex"),
    (lambda x: torch.linalg.matrix_exp(x), "aten::linalg_matrix_exp"),
    (lambda x: torch.fft.fft(x).real, "aten::_fft_r2c"),
    (lambda x: (x.to(torch.complex64) @ x.to(torch.complex64)).real, "aten::mm"),
    (lambda x: torch.sparse.mm(torch.eye(4).to_sparse(), x), "aten::_sparse_addmm"),
    (lambda x: torch.from_numpy(x.numpy() @ x.numpy()), "code outside of torch (Tensor.numpy)"),
    (by_pointer, "code outside of torch (Tensor.data_ptr)"),
    (by_address, "code outside of torch that wrote a tensor"),
]


@pytest.mark.parametrize(("run", "name"), UNKNOWN)
@pytest.mark.parametrize("beside", [False, True])
def test_what_has_no_formula_leaves_no_part_of_the_costs(run: Any, name: str, beside: bool) -> None:
    call = (lambda x: run(x, x)) if isinstance(run, nn.Bilinear) else run
    seen = counted(As(lambda x: call(functional.linear(x, torch.eye(4)) if beside else x)), 4, 4)
    assert seen.keys() == {"params", "ops", "unknown"}
    assert seen["unknown"] == name


def test_a_branch_that_torch_chooses_as_it_runs_is_unknown() -> None:
    seen = counted(lambda x: torch.cond(x.sum() > 0, lambda x: x @ x, lambda x: x + 1, (x,)), 4, 4)
    assert seen.keys() == {"params", "ops", "unknown"}, "named cond, or by torch's words where it was compiled before"


def test_a_convolution_that_torchscript_hides_is_unknown() -> None:
    hidden = torch.jit.optimize_for_inference(torch.jit.script(block()))
    assert counted(nn.Sequential(hidden), 1, 4, 8, 8)["unknown"] == "prim::mkldnn_convolution"


def test_a_formula_of_the_users_counts() -> None:
    from torch.utils.flop_counter import flop_registry, register_flop_formula

    register_flop_formula(torch.ops.own_costs.product)(lambda x, out_shape=None, **_: 2 * x[0] ** 3)
    try:
        assert counted(product, 4, 4)["macs"] == 64
    finally:
        del flop_registry[torch.ops.own_costs.product]


def noted(x: Tensor) -> Tensor:
    with torch.profiler.record_function("noted"):
        y = torch.empty(1, 4, 8, 8)
        y[:, :2] = 1
        y[:, 2:] = x[:, 2:]
        z = torch.empty_like(x)
        torch.mul(x, y, out=z)
        return z.clamp_(0) + torch.empty(1, 4, 8, 8).normal_()


@pytest.mark.parametrize(
    "module",
    [noted, nn.BatchNorm2d(4), nn.GroupNorm(2, 4), nn.LayerNorm(8), nn.InstanceNorm2d(4, affine=True), nn.RMSNorm(8),
     nn.PReLU(), nn.GELU(), nn.Softmax(1), nn.MaxPool2d(2), nn.AvgPool2d(2), nn.Upsample(scale_factor=2, mode="bilinear"),
     nn.PixelShuffle(2), nn.LocalResponseNorm(2), nn.ZeroPad2d(1), nn.Dropout2d()],
)  # fmt: skip
def test_what_multiplies_no_matrices_is_known_to_have_no_macs(module: Any) -> None:
    assert counted(module, 1, 4, 8, 8)["macs"] == 0


@pytest.mark.fault(
    "own blocks", "torch can't watch a forward pass that it can run",
    "its costs are empty, with torch's words",
)  # fmt: skip
def test_what_can_not_be_watched_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("not under a mode")

    monkeypatch.setattr(user_blocks._Operators, "watch", fail)
    assert counted(lambda x: x @ x, 3, 3) == {"params": 0, "ops": 0, "unknown": "RuntimeError: not under a mode"}


# ---------------------------------------------------------------- planning


def passing(**sizes: Any) -> nn.Module:
    return Net(**sizes)


class Net(nn.Module):
    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, width, 3), nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.head(self.stem(x).mean((2, 3)))
        return scores


def data(*blocks: Any, **axes: Any) -> dict[str, Any]:
    return {"name": "t", "experiments": {"a": {"blocks": list(blocks), "axes": {"threads": 1} | axes}}}


def plans(*blocks: Any, **axes: Any) -> Any:
    conf = check(data(*blocks, **axes), "t")
    return conf, make(conf, ["cpu"], 2)


OWN = "tests.own_blocks"


@pytest.mark.usefixtures("warm")
def test_a_plan_shows_the_ratio_of_a_block_that_is_counted_on_the_meta_device() -> None:
    blocks = [{"import": f"{OWN}:{name}"} for name in ("thin", "fused_attention", "OwnOperator", "killed")]
    conf, plan = plans("standard", *blocks, channels=[8, 16], size=4)
    known, lines, _ = foresee.counts(plan)
    arms = json.loads(plan_text.as_json(conf, plan, known))["trials"][0]["arms"]
    assert [arm["macs"] for arm in arms] == [9_216, 2_176, 5_120, None, None]
    assert [arm["mac_ratio"] for arm in arms[1:]] == pytest.approx([9_216 / 2_176, 1.8, None, None])
    assert {*COUNTED} <= arms[1].keys()
    operator, dead = lines
    assert operator.startswith("OwnOperator at c8-k3-4px: its costs are not known before it runs: RuntimeError: ")
    assert dead == "killed at c8-k3-4px: its costs are not known before it runs: the process that counts it ended"


@pytest.mark.usefixtures("warm")
@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"import": f"{OWN}:pair"}, "block pair: pair gives a tuple, where forward must return one tensor. Return the tensor alone"),
        ({"import": f"{OWN}:mapping"}, "block mapping: mapping gives a dict, where forward must return one tensor. Return"),
        ({"import": f"{OWN}:nothing"}, "block nothing: tests.own_blocks:nothing gives no torch.nn.Module but a int"),
        ({"import": f"{OWN}:thinn"}, "import: tests.own_blocks:thinn: there is no thinn in tests.own_blocks. Name package.module:name"),
        ({"import": f"{OWN}:Net"}, "block Net: Net takes neither c_in nor c_out, and is no block of 8->8"),
        ({"import": "tests.test_own_costs:passing"}, "If it is a network, write network: true beside its import"),
    ],
)  # fmt: skip
def test_what_is_no_block_is_refused_at_plan_time(entry: dict[str, Any], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    (tmp_path / "c.yaml").write_text(json.dumps(data("standard", entry, channels=8)))
    for verb in (["plan"], ["run", "--anyway", "--out", str(tmp_path / "out")]):
        with pytest.raises(SystemExit) as ended:
            main([*verb, str(tmp_path / "c.yaml")])
        assert ended.value.code == 2
        assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("warm")
def test_a_network_of_three_channels_is_no_block_of_three() -> None:
    with pytest.raises(
        UserError,
        match=r"no block of 3->3 channels: its output has 2 dimensions. If it is a network, write network: true",
    ):
        foresee.counts(plans("pointwise", {"import": f"{OWN}:Net"}, channels=3, size=8)[1])
    with pytest.raises(
        UserError, match=r"Net takes no c_out, and c_out is 10 here. If it is a network, write network: true"
    ):
        foresee.counts(plans("pointwise", {"import": f"{OWN}:Net"}, channels="3->10")[1])


def bare() -> nn.Module:
    return As(product)


@pytest.mark.usefixtures("warm")
def test_a_block_without_parameters_that_the_meta_device_can_not_run_is_no_network() -> None:
    known, (line,), _ = foresee.counts(
        plans("pointwise", {"import": "tests.test_own_costs:bare"}, channels=4, size=4)[1]
    )
    assert known == {}
    assert "bare at c4-k3-4px: its costs are not known before it runs: RuntimeError" in line


def unpadded(c_in: int, c_out: int, kernel: int) -> nn.Module:
    return nn.Conv2d(c_in, c_out, kernel)


@pytest.mark.usefixtures("warm")
def test_a_block_whose_output_has_another_shape_is_said_to_be_no_replacement(tmp_path: Path) -> None:
    """With a 1 x 1 kernel it is one."""
    blocks = ("standard", {"import": "tests.test_own_costs:unpadded"})
    (line,) = foresee.counts(plans(*blocks, channels=4, size=8, kernel=[1, 3])[1])[-1]
    assert line == (
        "unpadded at c4-k3-8px: its output is 1 x 4 x 6 x 6, that of the baseline 1 x 4 x 8 x 8, so neither can replace the other"
    )
    assert foresee.counts(plans(*blocks, channels=4, size=8, kernel=3, padding="valid")[1])[-1] == []


def test_a_network_beside_one_of_ours_needs_the_key() -> None:
    with pytest.raises(UserError, match="write network: true beside an import of a network"):
        plans("mobilenet_v1", {"import": f"{OWN}:Net"})


def test_keywords_that_a_factory_hands_on_are_left_out_where_it_has_others() -> None:
    choice = BlockChoice("net", factory="tests.test_own_costs:passing", whole=True)
    assert build_user_block(choice, network_shape(32))(torch.randn(1, 3, 32, 32)).shape == (1, 10)
    with pytest.raises(NotImplementedError, match="takes no stride"):
        build_user_block(BlockChoice("net", factory="tests.test_own_costs:passing"), Shape(3, 3, 8, 8, stride=2))


def test_a_plan_without_users_blocks_starts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foresee, "Worker", None)
    monkeypatch.setattr(launch, "Worker", None)
    assert foresee.counts(plans("standard", "separable")[1]) == ({}, [], [])
