"""The simulated accelerator: torch's values on the thread, exact times in virtual time, memory, graphs, faults."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import pairwise

import pytest
import torch
from torch import nn

from bench.measure.device.accelerator import Accelerator
from bench.measure.modules import Evaluation
from bench.spec.config.config import check
from bench.spec.errors import UserError
from bench.spec.plan.plan import Trial, make
from tests import simulated
from tests.simulated import module as simulated_module
from tests.simulated.engines import Kernel, VirtualEngine
from tests.simulated.machine import MACHINE
from tests.simulated.module import Module

SIM = torch.device("simgpu")
ENGINES = ["virtual", "threads"]


@pytest.fixture(autouse=True)
def _let_go() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as on the engine's thread: sums of several threads differ in their last digits
    yield
    torch.set_num_threads(threads)
    MACHINE.install(simulated.Settings(), None)


def start(text: str, cost=None) -> Module:
    why = simulated.register()
    if why is not None:
        pytest.skip(why)
    return simulated.install(simulated.parse(text), cost)


def trials(**axes) -> list[Trial]:
    axes = {"channels": 16, "size": 14, "threads": 1} | axes
    experiment = {"blocks": ["standard", "separable"], "axes": axes}
    return list(make(check({"name": "t", "experiments": {"a": experiment}}, "t"), ["cpu"], 2).trials)


def chain(*channels: int, kernel: int = 3) -> nn.Sequential:
    """Convolutions that keep the image's size, each with its bias."""
    return nn.Sequential(*[nn.Conv2d(a, b, kernel, padding="same") for a, b in pairwise(channels)]).to(SIM)


def launch(times: int) -> None:
    """Kernels that wait for each other, without a first one to make the tensor."""
    x = torch.empty(4, device=SIM)
    for _ in range(times):
        x.add_(1)


# ---------------------------------------------------------------- values


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("pass_", ["inference", "training"])
def test_values_and_layouts_are_the_cpus(layout: str, pass_: str):
    start("threads")
    (trial,) = trials(layout=layout, depth=2, **{"pass": pass_})
    for arm in trial.arms:
        with torch.inference_mode(pass_ == "inference"):
            cpu, sim = (Evaluation(trial, arm, torch.device(name), 0) for name in ("cpu", "simgpu"))
            if cpu.gradient is not None:
                sim.gradient = cpu.gradient.to(SIM)
            for _ in range(2):  # the second time by what was learnt of shapes in the first
                expected, found = cpu(), sim()
        assert found.device == torch.device("simgpu", 0)
        torch.testing.assert_close(found.cpu(), expected)
        assert found.stride() == expected.stride()
        for name, value in cpu.module.state_dict().items():  # with batch norm's running statistics
            torch.testing.assert_close(sim.module.state_dict()[name].cpu(), value)
        if pass_ == "training":
            torch.testing.assert_close(sim.input.grad.cpu(), cpu.input.grad)
            for a, b in zip(sim.module.parameters(), cpu.module.parameters(), strict=True):
                torch.testing.assert_close(a.grad.cpu(), b.grad)
                assert a.grad.stride() == b.grad.stride()


@pytest.mark.parametrize("engine", ENGINES)
def test_shapes_dtypes_and_layouts_need_no_values(engine: str):
    start(engine)
    (trial,) = trials(layout="channels_last", dtype="bf16")
    with torch.inference_mode():
        output = Evaluation(trial, trial.arms[1], SIM, 0)()
    assert output.shape == (1, 16, 14, 14)
    assert output.dtype == torch.bfloat16
    assert output.is_contiguous(memory_format=torch.channels_last)
    assert torch.isfinite(output).all(), "what the worker asks of an output, also where nothing is computed"


def test_everyday_operators_give_what_the_cpu_gives():
    start("threads")
    x = torch.arange(12.0).view(3, 4)
    d = x.to(SIM)
    for expected, found in [
        (x.t().contiguous(), d.t().contiguous()),
        (x[1:, ::2] + 1, d[1:, ::2] + 1),
        (x.half().float(), d.half().float()),
        (torch.cat([x, x.expand(3, 4)]), torch.cat([d, d.expand(3, 4)])),
        (x.split(2, 1)[1], d.split(2, 1)[1]),
        (x.max(1).values, d.max(1).values),
        (x.nonzero(), d.nonzero()),
        (x[x > 5], d[d > 5]),
        (torch.zeros_like(x), torch.zeros_like(d)),
        (torch.full((2,), 7), torch.full((2,), 7, device=SIM)),
        (torch.add(x, x, out=torch.empty(3, 4)), torch.add(d, d, out=torch.empty(3, 4, device=SIM))),
    ]:
        torch.testing.assert_close(found.cpu(), expected)
        assert found.device.type == "simgpu"
    assert d.sum().item() == x.sum().item()
    assert torch.equal(d, x.to(SIM))
    assert torch.ones_like(d, device="cpu").device.type == "cpu"
    d.copy_(x + 1)
    torch.testing.assert_close(d.cpu(), x + 1)
    x.copy_(d * 2)
    assert x[0, 0] == 2


def test_a_host_tensor_may_change_once_it_has_been_handed_over():
    module = start("threads")
    gate = threading.Event()
    MACHINE.engine.launch(Kernel("gate", gate.wait))
    x, scalar = torch.ones(4), torch.tensor(1.0)
    d = x.to(SIM) + scalar
    x.zero_()
    scalar.zero_()
    gate.set()
    module.synchronize()
    assert d.cpu().tolist() == [2.0] * 4


def test_what_does_not_fit_is_refused_at_the_call():
    start("virtual")
    d = torch.empty(3, 4, device=SIM)
    with pytest.raises(RuntimeError, match="broadcast"):
        d + torch.empty(5, device=SIM)
    with pytest.raises(RuntimeError, match="same device"):
        d + torch.ones(3, 4)
    with pytest.raises(RuntimeError):
        d.copy_(torch.ones(5))
    with pytest.raises(NotImplementedError, match="another shape"):
        torch.add(d, d, out=torch.empty(0, device=SIM))
    with pytest.raises(NotImplementedError, match="without values"):
        d.nonzero()


def test_random_numbers_are_the_devices_own_and_repeat():
    start("threads")
    torch.manual_seed(0)
    first, like = torch.randn(5, device=SIM).cpu(), torch.randn_like(torch.empty(5, device=SIM)).cpu()
    host = torch.rand(3)
    torch.manual_seed(0)
    assert torch.equal(torch.rand(3), host), "the host's stream is not touched"
    assert torch.equal(torch.randn(5, device=SIM).cpu(), first)
    assert torch.equal(torch.randn_like(torch.empty(5, device=SIM)).cpu(), like)
    assert not torch.equal(first, like)


# ---------------------------------------------------------------- asynchrony and time


def test_the_host_really_runs_ahead():
    module = start("threads")
    x = torch.zeros(4, device=SIM)
    gate, event = threading.Event(), module.Event()
    MACHINE.engine.launch(Kernel("gate", gate.wait))
    x.add_(1)
    event.record()
    assert not event.query()
    gate.set()
    event.synchronize()
    assert event.query()
    assert x.cpu().tolist() == [1.0] * 4


def test_kernels_can_be_made_longer():
    module = start("threads,extra=0.005")
    first, last = module.Event(enable_timing=True), module.Event(enable_timing=True)
    first.record()
    launch(2)
    last.record()
    start_ns = module.clock_ns()
    module.synchronize()
    assert first.elapsed_time(last) >= 10
    assert module.clock_ns() > start_ns


@pytest.mark.parametrize(
    ("told", "kernels", "submitted_us", "done_us"),
    [
        ("launch=5e-6,kernel=50e-6", 3, 15, 5 + 150),
        ("launch=5e-6,kernel=50e-6,gap=2e-6", 3, 15, 5 + 150 + 4),
        ("launch=5e-6,kernel=1e-6", 3, 15, 15 + 1),
        ("launch=5e-6,kernel=1e-6,gap=2e-6", 3, 15, 15 + 1),
        ("launch=5e-6,kernel=50e-6,first_call=1", 3, 15 + 1_000_000, 5 + 1_000_000 + 150),
        ("launch=1e-6,kernel=100e-6,depth=2", 4, 201, 401),  # the third launch waits until 101, the fourth until 201
    ],
)
def test_virtual_times_are_exact(told: str, kernels: int, submitted_us: int, done_us: int):
    module = start(f"virtual,{told}")
    launch(kernels)
    assert module.clock_ns() == submitted_us * 1000
    module.synchronize()
    assert module.clock_ns() == done_us * 1000
    module.synchronize()
    assert module.clock_ns() == done_us * 1000


def test_a_shape_costs_its_first_call_once():
    module = start("virtual,launch=0,kernel=0,first_call=1e-3")
    x, y = torch.empty(4, device=SIM), torch.empty(5, device=SIM)
    for tensor, first_calls in ((x, 1), (x, 1), (y, 2), (x, 2)):
        tensor.add_(1)
        assert module.clock_ns() == first_calls * 1_000_000


def test_kernels_cost_by_their_kind_or_by_a_function_of_their_arguments():
    module = start("virtual,launch=0,kernel=2e-6,conv=30e-6")
    net, x = chain(4, 4, 4), torch.empty(1, 4, 8, 8, device=SIM)
    module.synchronize()
    before = module.clock_ns()
    with torch.inference_mode():
        torch.relu(net(x))
    module.synchronize()
    assert module.clock_ns() - before == 2 * 30_000 + 2_000

    def by_outputs(name: str, args: tuple, outputs: tuple) -> float:
        return sum(o.numel() for o in outputs) * 1e-6 if name == "aten::convolution" and len(args) == 9 else 0

    module = start("virtual,launch=0", by_outputs)
    net, x = chain(4, 8), torch.empty(1, 4, 8, 8, device=SIM)
    net(x)
    module.synchronize()
    assert module.clock_ns() == 8 * 64 * 1000


@pytest.mark.parametrize(("sleeps", "own_us"), [(0, 3 * 5 + 1), (1_000_000, 3)])
def test_events_time_the_host_of_a_launch_bound_call_unless_it_is_queued(sleeps: int, own_us: int):
    module = start("virtual,launch=5e-6,kernel=1e-6")
    first, last = (module.Event(enable_timing=True) for _ in range(2))
    if sleeps:
        module._sleep(sleeps)
    first.record()
    launch(3)
    last.record()
    assert first.query() == (not sleeps), "pending where the device still sleeps"
    module.synchronize()
    assert first.elapsed_time(last) == own_us / 1000


@pytest.mark.parametrize("engine", ENGINES)
def test_events_raise_as_torchs_do(engine: str):
    module = start(engine)
    timed, untimed = module.Event(enable_timing=True), module.Event()
    never = module.Event(enable_timing=True)
    assert never.query()
    never.synchronize()
    timed.record()
    with pytest.raises(ValueError, match="enable_timing=True"):
        timed.elapsed_time(untimed)
    with pytest.raises(ValueError, match="must be recorded"):
        timed.elapsed_time(never)
    module._sleep(50_000_000)
    late = module.Event(enable_timing=True)
    late.record()
    with pytest.raises(RuntimeError, match="must be completed"):
        timed.elapsed_time(late)
    late.synchronize()
    assert timed.elapsed_time(late) >= 50


def test_reading_a_value_waits_for_it():
    module = start("virtual,launch=5e-6,kernel=50e-6")
    launch(2)
    x = torch.empty(4, device=SIM)
    assert x.sum().item() == 1.0, "where nothing is computed every value is one"
    assert module.clock_ns() == (5 + 4 * 50) * 1000  # the sum and the transfer behind the two
    assert x.cpu().tolist() == [1.0] * 4
    assert bool(x.isfinite().all())


# ---------------------------------------------------------------- memory


@pytest.mark.parametrize("engine", ENGINES)
def test_peaks_of_a_chain_are_the_sums_of_its_activations(engine: str):
    module = start(engine)
    net, x = chain(8, 8, 8, 8, kernel=1), torch.empty(2, 8, 32, 32, device=SIM)
    activation = 2 * 8 * 32 * 32 * 4
    before = module.memory_allocated()

    module.reset_peak_memory_stats()
    with torch.inference_mode():
        y = net(x)
    assert module.max_memory_allocated() - before == 2 * activation, "a layer's input and output"
    del y
    assert module.memory_allocated() == before

    module.reset_peak_memory_stats()
    y = net(x)
    assert module.max_memory_allocated() - before == 3 * activation, "all are kept for the backward"
    view = y.detach()[0].view(-1)
    del y
    assert module.memory_allocated() == before + activation, "a view keeps what it looks at"
    del view
    assert module.memory_allocated() == before


def test_requested_allocated_and_reserved_differ_by_their_rounding():
    module = start("virtual,memory=8388608")
    x = [torch.empty(1, device=SIM), torch.empty(513, dtype=torch.uint8, device=SIM), torch.empty(0, device=SIM)]
    told = module.memory_stats()
    assert told["requested_bytes.all.peak"] == 4 + 513
    assert told["allocated_bytes.all.peak"] == module.memory_allocated() == 512 + 1024
    assert told["reserved_bytes.all.peak"] == module.memory_reserved() == 2 << 20
    big = torch.empty(3 << 20, dtype=torch.uint8, device=SIM)
    assert module.mem_get_info() == (4 << 20, 8 << 20)
    del big
    assert module.memory_reserved() == 4 << 20, "freed memory stays reserved"
    module.empty_cache()
    assert module.mem_get_info() == (6 << 20, 8 << 20)
    assert module.max_memory_reserved() == 4 << 20
    module.reset_peak_memory_stats()
    assert module.max_memory_reserved() == 2 << 20
    del x
    assert module.memory_stats()["requested_bytes.all.current"] == 0


@pytest.mark.parametrize("engine", ENGINES)
def test_memory_runs_out_and_comes_back(engine: str):
    module = start(f"{engine},memory=1048576")
    net = chain(4, 4)
    held = torch.empty(1, 4, 128, 128, device=SIM)
    before = module.memory_allocated()
    with pytest.raises(torch.OutOfMemoryError, match=r"out of memory. Tried to allocate 1\.00 MiB"):
        torch.empty(1 << 20, dtype=torch.uint8, device=SIM)
    with torch.inference_mode():
        output = net(held)
        assert module.memory_allocated() == before + 4 * 128 * 128 * 4
        with pytest.raises(torch.OutOfMemoryError), torch.inference_mode():
            [net(held) for _ in range(4)]
    del output
    module.synchronize()
    assert module.memory_allocated() == before
    assert module.memory_stats()["num_ooms"] == 2


def test_memory_of_an_earlier_device_is_not_given_back_to_a_later_one():
    start("virtual")
    old = torch.empty(4, device=SIM)
    module = start("virtual")
    assert module.memory_allocated() == 0
    del old
    assert module.memory_allocated() == 0


# ---------------------------------------------------------------- kernels and graphs


@pytest.mark.parametrize("engine", ENGINES)
def test_kernels_of_a_block_are_its_operators(engine: str):
    module = start(engine)
    (trial,) = trials()
    layer = ["aten::convolution", "aten::native_batch_norm", "aten::relu"]
    with torch.inference_mode():
        for arm, layers in zip(trial.arms, (1, 2), strict=True):
            evaluation = Evaluation(trial, arm, SIM, 0)
            launched = module.launches
            with module.record_kernels() as records:
                evaluation()
            assert [r.name for r in records] == layer * layers
            assert module.launches == launched + 3 * layers
            assert {r.kind for r in records} == {"kernel"}
            assert all(a.end_ns <= b.start_ns for a, b in pairwise(records))
            assert all(r.start_ns < r.end_ns for r in records)


def test_copies_are_no_kernels_and_views_are_nothing():
    module = start("virtual,kernel=7e-6")
    with module.record_kernels() as records:
        x = torch.ones(2, 3).to(SIM)
        x.t()[0].detach().cpu()
        torch.empty_like(x)
        module._sleep(5000)
    assert [(r.kind, r.end_ns - r.start_ns) for r in records] == [("memcpy", 7000), ("memcpy", 7000), ("kernel", 5000)]
    assert records[-1].name == "spin_kernel"


def test_a_replayed_graph_is_one_launch():
    module = start("virtual,launch=5e-6,kernel=1e-6")
    graph = module.CUDAGraph()
    with module.graph(graph, capture_error_mode="thread_local"):
        launch(3)
    assert module.clock_ns() == 0
    assert [node.name for node in graph.nodes] == ["aten::add_"] * 3
    with module.record_kernels() as records:
        for _ in range(100):
            graph.replay()
        assert module.launches == 100
    assert module.clock_ns() == (100 * 5 + 3) * 1000
    assert len(records) == 300


@pytest.mark.parametrize("block", [0, 1])
def test_a_graphs_output_is_eagers_for_what_now_stands_in_its_input(block: int):
    module = start("threads")
    (trial,) = trials(layout="channels_last")
    with torch.inference_mode():
        evaluation = Evaluation(trial, trial.arms[block], SIM, 0)
        side = module.Stream()
        side.wait_stream(module.current_stream())
        with module.stream(side):
            evaluation()
        module.current_stream().wait_stream(side)
        graph = module.CUDAGraph(keep_graph=True)
        with module.graph(graph):
            output = evaluation()
        for seed in range(2):
            evaluation.input.copy_(torch.randn(evaluation.input.shape, generator=torch.Generator().manual_seed(seed)))
            graph.replay()
            assert torch.equal(output.cpu(), evaluation().cpu())
            assert output.any()


@pytest.mark.parametrize("engine", ENGINES)
def test_waiting_spoils_a_capture(engine: str):
    module = start(engine)
    x, graph = torch.ones(4).to(SIM), module.CUDAGraph()
    with pytest.raises(RuntimeError, match="without a preceding successful capture"):
        graph.replay()
    with pytest.raises(torch.AcceleratorError, match="previous error during capture") as told, module.graph(graph):
        x.sum().item()
    assert told.value.error_code == 901
    assert told.value.__context__.error_code == 900
    assert graph.nodes is None
    assert x.sum().item() in (1.0, 4.0), "the device is well"
    with module.graph(graph):
        x.add_(1)
    graph.replay()
    module.synchronize()


# ---------------------------------------------------------------- faults


@pytest.mark.parametrize("engine", ENGINES)
def test_a_fault_is_met_late_and_for_good(engine: str):
    module = start(f"{engine},fail_at=2")
    gate, event = threading.Event(), module.Event(enable_timing=True)
    MACHINE.engine.launch(Kernel("gate", gate.wait if engine == "threads" else None, 1000))
    x = torch.empty(4, device=SIM).add_(1)  # faults; nothing is known of it here
    event.record()
    assert not event.query()
    gate.set()

    calls = [module.synchronize, event.query, event.synchronize, module.empty_cache, x.cpu, lambda: x + 1]
    for call in [*calls, *calls]:
        with pytest.raises(torch.AcceleratorError, match="illegal memory access") as told:
            call()
        assert told.value.error_code == 700
    module = start(engine)
    torch.empty(4, device=SIM).add_(1)
    module.synchronize()


@pytest.mark.parametrize("engine", ENGINES)
def test_a_fault_may_be_one_trials_alone(engine: str):
    module = start(f"{engine},fail_channels=24")
    for channels in (16, 24):
        net, x = chain(8, channels), torch.empty(1, 8, 4, 4, device=SIM)
        net(x)
        if channels == 16:
            module.synchronize()
    with pytest.raises(torch.AcceleratorError):
        module.synchronize()


def test_a_fault_in_a_graph_is_met_when_it_is_replayed():
    module = start("virtual,fail_channels=24")
    net, x, graph = chain(8, 24), torch.empty(1, 8, 4, 4, device=SIM), module.CUDAGraph()
    with module.graph(graph):
        net(x)
    module.synchronize()
    graph.replay()
    with pytest.raises(torch.AcceleratorError):
        module.synchronize()


@pytest.mark.parametrize("told", ["virtual,hang_at=2", "threads,hang_at=2", "virtual,hang_at=2,depth=1"])
def test_a_hang_never_ends_by_itself(told: str):
    module = start(told)
    met: list[str] = []

    def wait() -> None:
        try:
            launch(4)
            module.synchronize()
        except RuntimeError as error:
            met.append(str(error))

    waiting = threading.Thread(target=wait, daemon=True)
    waiting.start()
    waiting.join(timeout=0.2)
    assert waiting.is_alive()
    assert module.launches in (2, 3, 4)
    start("virtual")
    waiting.join(timeout=10)
    assert met == ["simgpu: another engine has been installed since"]


def test_a_kernel_that_the_cpu_cannot_compute_says_so():
    module = start("threads")
    MACHINE.engine.launch(Kernel("aten::odd", lambda: 1 / 0))
    with pytest.raises(RuntimeError, match="aten::odd could not be computed: division by zero") as told:
        module.synchronize()
    assert not isinstance(told.value, torch.AcceleratorError), "the simulation's failure is no device's"


# ---------------------------------------------------------------- the device


@pytest.mark.parametrize("engine", ENGINES)
def test_torch_finds_the_module_and_the_module_tells_of_one_device(engine: str):
    module = start(f"{engine},memory=1e9,l2=1e6")
    assert torch.get_device_module(SIM) is torch.get_device_module("simgpu:0") is module
    assert module.is_available()
    assert module.device_count() == 1
    assert module.current_device() == 0
    for name in (None, 0, "simgpu", "simgpu:0", SIM):
        module.set_device(name)
        assert module.get_device_name(name) == f"Simulated GPU ({engine})"
    told = module.get_device_properties(SIM)
    assert (told.total_memory, told.L2_cache_size) == (10**9, 10**6)
    assert told.multi_processor_count
    assert (told.major, told.minor) == module.get_device_capability()
    assert len(told.uuid) == 36
    for call in (module.set_device, module.synchronize, module.get_device_properties, module.max_memory_allocated):
        with pytest.raises(torch.AcceleratorError, match="invalid device ordinal"):
            call("simgpu:1")


def test_the_workers_device_times_and_counts_on_it_exactly(monkeypatch: pytest.MonkeyPatch):
    start("virtual")
    monkeypatch.setenv(simulated.ENVIRONMENT, "virtual,launch=5e-6,kernel=1e-6")
    device = simulated.open_simulated()
    assert isinstance(device, Accelerator)
    (trial,) = trials()
    with torch.inference_mode():
        call = Evaluation(trial, trial.arms[1], device.torch_device, 0)
        assert device.time(call, 10) == (60 * 5 + 1) * 1000
        assert device.submit(call, 10) == 60 * 5 * 1000
        own = device.device_times(call, 3)
        assert own.proven
        assert own.ns == (6000.0,) * 3
        found = device.launches(call)
        assert (found.profiler, found.graph) == (6, 6)
        activation = 16 * 14 * 14 * 4
        assert device.memory_peak(call, call.clear).requested == 2 * activation
        replay, output = device.capture(call)
        assert device.time(replay, 10) == 10 * 6 * 1000 + 5000
        assert output.shape == (1, 16, 14, 14)


def test_a_torch_without_the_interface_is_told_why(monkeypatch: pytest.MonkeyPatch):
    registration = simulated_module.backend_registration
    with monkeypatch.context() as patch:
        patch.setattr(torch, "__version__", "2.12.1")
        assert simulated.available() == "torch 2.12.1 is older than 2.13"
    with monkeypatch.context() as patch:
        patch.delattr(registration, "_setup_privateuseone_for_python_backend")
        assert "no longer has _setup_privateuseone" in simulated.available()
    with monkeypatch.context() as patch:
        patch.setattr(torch._C, "_get_privateuse1_backend_name", lambda: "npu")
        assert "taken by npu" in simulated.available()
    with monkeypatch.context() as patch:
        patch.delattr(torch, "simgpu", raising=False)
        patch.setattr(torch._C, "_get_privateuse1_backend_name", lambda: "privateuseone")
        patch.setattr(registration, "_setup_privateuseone_for_python_backend", lambda *_, **__: 1 / 0)
        assert simulated.register().endswith("refuses a device of one's own: division by zero")
        with pytest.raises(UserError, match=r"^DEVICE=sim: torch .* refuses a device of one's own"):
            simulated.install(simulated.Settings())


# ---------------------------------------------------------------- settings


def test_settings_are_read_from_one_string(monkeypatch: pytest.MonkeyPatch):
    read = simulated.parse
    assert read("") == read("virtual") == simulated.Settings()
    assert read(" virtual, launch=1e-6 ,conv=2e-6,") == simulated.Settings(launch=1e-6, conv=2e-6)
    assert read("fail_at=3,memory=1e9") == simulated.Settings(fail_at=3, memory=10**9)
    assert read("threads,extra=0.5") == simulated.Settings("threads", extra=0.5)
    monkeypatch.delenv(simulated.ENVIRONMENT, raising=False)
    assert simulated.from_environment() == simulated.Settings()
    monkeypatch.setenv(simulated.ENVIRONMENT, "threads")
    assert simulated.from_environment().engine == "threads"
    assert isinstance(VirtualEngine(simulated.Settings()).clock_ns(), int)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("virtul", "BENCH_SIM: 'virtul': no such engine. Did you mean virtual?"),
        ("fpga", "BENCH_SIM: 'fpga': no such engine. Known engines: virtual, threads."),
        ("virtual,launch", "BENCH_SIM: 'launch': it is not of the form key=value. Write BENCH_SIM=virtual,launch="),
        ("lunch=1", "BENCH_SIM: 'lunch': no such key. Did you mean launch?"),
        ("launch=1,launch=2", "BENCH_SIM: 'launch': it is given twice. Give it once."),
        ("threads,kernel=1", "BENCH_SIM: 'kernel=1': the engine threads does not use it. Leave kernel out."),
        ("extra=1", "BENCH_SIM: 'extra=1': the engine virtual does not use it."),
        ("launch=fast", "BENCH_SIM: launch: 'fast': it is not a number."),
        ("launch=inf", "BENCH_SIM: launch: 'inf': it is not finite."),
        ("gap=-1e-6", "BENCH_SIM: gap: '-1e-6': it is below 0."),
        ("depth=0", "BENCH_SIM: depth: '0': it is below 1."),
        ("fail_at=1.5", "BENCH_SIM: fail_at: '1.5': it is not a whole number."),
        ("engine=threads", "BENCH_SIM: 'engine': no such key."),
    ],
)
def test_a_mistake_in_the_settings_is_one_line(text: str, words: str):
    with pytest.raises(UserError) as told:
        simulated.parse(text)
    assert str(told.value).startswith(words)
    assert "\n" not in str(told.value)
