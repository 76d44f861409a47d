"""Ops that are called past torch's dispatcher give what they give through it, and go through it where torch looks."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.fx.experimental.proxy_tensor import make_fx
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

from rapidash.geometry import is_watched
from rapidash.ops import (
    KeptTable,
    channel_mlp,
    component_mlp,
    edge_conv,
    linear,
    product_libraries,
    spherical_conv,
    table_conv,
    use_products,
)
from rapidash.ops._direct_op import direct_op
from tests.ops._support import leaf, random_graph

pytest.importorskip("numba")


class Seen(TorchDispatchMode):
    """Notes the operations of this package."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        if func.namespace == "rapidash":
            self.names.add(func._schema.name.removeprefix("rapidash::"))
        return func(*args, **(kwargs or {}))


class Called(TorchFunctionMode):
    """Notes the operations of this package."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        if str(func).startswith("rapidash."):
            self.names.add(str(func).split(".")[1])
        return func(*args, **(kwargs or {}))


def problems() -> dict[str, tuple[Callable[..., Tensor], list[Tensor], set[str]]]:
    graph = random_graph(6, 5, 20)
    shapes = (256, 32), (256, 32), (32,), (32,), (256, 32), (256,), (32, 256), (32,)  # fewer rows: test_channel_mlp.py
    mlp = [(leaf(*shape, dtype=torch.float32) / 5).detach().requires_grad_() for shape in shapes]
    parts = [leaf(*shape, dtype=torch.float32) for shape in ((5, 8, 16), (5, 8, 16), (16,), (16,), (2, 16, 16), (16,))]
    parts += [leaf(*shape, dtype=torch.float32) for shape in ((2, 16, 16), (16,), (16,))]
    analysis, synthesis = torch.randn(4, 8), torch.randn(8, 4)
    x, table, coords = leaf(6, 3, 8), leaf(7, 9, 8), (5.9 * torch.rand(20, 3, 2).double()).requires_grad_()
    return {
        "channel_mlp": (channel_mlp, mlp, {"channel_mlp", "channel_mlp_backward"}),
        "component_mlp": (
            lambda *inputs: component_mlp(*inputs, analysis, synthesis, [1, 3]),
            parts, {"component_mlp", "component_mlp_backward"},
        ),
        "linear": (
            fast_linear, [leaf(512, 64, dtype=torch.float32), leaf(64, 64, dtype=torch.float32)], {"linear"},
        ),
        "spherical_conv": (
            spherical_conv, [leaf(4, 3, 8), leaf(5, 3, 8)], {"spherical_conv", "spherical_conv_backward"}
        ),
        "edge_conv": (
            lambda x, kernel: edge_conv(x, kernel, graph, backend="numba"),
            [x, leaf(20, 3, 8)], {"edge_conv_numba", "edge_conv_backward_numba"},
        ),
        "table_conv": (
            lambda *inputs: table_conv(*inputs, graph, backend="numba"),
            [x, table, coords], {"table_conv_numba", "table_conv_backward_numba"},
        ),
    }  # fmt: skip


def fast_linear(x: Tensor, weight: Tensor) -> Tensor:
    with use_products("onednn"):
        return linear(x, weight)


NAMES = ["channel_mlp", "component_mlp", "linear", "spherical_conv", "edge_conv", "table_conv"]
if "onednn" not in product_libraries():
    NAMES.remove("linear")


@pytest.mark.parametrize("name", NAMES)
def test_both_ways_have_the_same_bits_and_a_mode_sees_the_op(name: str) -> None:
    op, inputs, names = problems()[name]
    direct = op(*inputs)
    gradients = torch.autograd.grad(direct.sin().sum(), inputs)
    with Seen() as seen:
        watched = op(*inputs)
        watched_gradients = torch.autograd.grad(watched.sin().sum(), inputs)
    assert seen.names == names
    with torch.no_grad():
        plain = op(*inputs)
    for got, want in zip((plain, watched, *watched_gradients), (direct, direct, *gradients), strict=True):
        assert torch.equal(got, want)
    assert not plain.requires_grad
    assert direct.requires_grad


@pytest.mark.parametrize("name", NAMES)
def test_a_mode_of_functions_sees_the_op(name: str) -> None:
    op, inputs, names = problems()[name]
    with Called() as called:
        out = op(*inputs)
    assert called.names == {each for each in names if "backward" not in each}
    assert torch.equal(out, op(*inputs))


@pytest.mark.parametrize("pre_dispatch", [False, True])
def test_a_trace_keeps_no_output_as_a_constant(pre_dispatch: bool) -> None:
    op, inputs, _ = problems()["edge_conv"]
    x, kernel = (tensor.detach() for tensor in inputs)
    traced = make_fx(op, pre_dispatch=pre_dispatch)(x, kernel)
    assert [str(node.target) for node in traced.graph.nodes if "rapidash" in str(node.target)]
    assert torch.equal(traced(2 * x, kernel), 2 * op(x, kernel))


@pytest.mark.parametrize("name", NAMES)
def test_the_tangent_of_an_output_gradient_is_not_dropped(name: str) -> None:
    op, inputs, _ = problems()[name]
    out = op(*inputs)  # outside of the level: the forward pass is called at once
    value, tangent = torch.randn_like(out), torch.randn_like(out)
    want = torch.autograd.grad(out, inputs, tangent, retain_graph=True)
    with forward_ad.dual_level():
        got = torch.autograd.grad(out, inputs, forward_ad.make_dual(value, tangent))
        for dual, expected in zip(got, want, strict=True):
            torch.testing.assert_close(forward_ad.unpack_dual(dual).tangent, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_what_torch_does_to_a_graph_gives_the_same_gradients(name: str) -> None:
    op, inputs, _ = problems()[name]
    out = op(*inputs)
    grad = torch.randn_like(out)
    want = torch.autograd.grad(out, inputs, grad, retain_graph=True)

    def is_same(got: tuple[Tensor, ...]) -> bool:
        return all(map(torch.equal, got, want))

    assert is_same(torch.autograd.grad(out, inputs, grad))  # nothing that is saved was written into
    doubled = op(*inputs)
    doubled.mul_(2)
    assert is_same(torch.autograd.grad(doubled, inputs, grad / 2))
    packed: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: (packed.append(x), x.detach().clone())[1], lambda x: x):
        hooked = op(*inputs)
    assert len(packed) >= len(inputs) - 1
    assert is_same(torch.autograd.grad(hooked, inputs, grad))
    again = checkpoint(op, *inputs, use_reentrant=False)
    with Seen() as seen:  # the forward pass was called at once, and comes again through the dispatcher
        assert is_same(torch.autograd.grad(again, inputs, grad))
    assert seen.names
    with torch.inference_mode():
        plain = op(*inputs)
    assert plain.is_inference()
    assert torch.equal(plain, op(*inputs))


@pytest.mark.filterwarnings("ignore:Anomaly Detection", "ignore:Error detected")
@pytest.mark.parametrize("name", NAMES)
def test_anomalies_are_found(name: str) -> None:
    op, inputs, _ = problems()[name]
    with torch.autograd.detect_anomaly():
        out = op(*inputs)
        with pytest.raises(RuntimeError, match="returned nan values"):
            torch.autograd.grad(out, inputs, torch.full_like(out, torch.nan))


@pytest.mark.parametrize("name", NAMES)
def test_batched_gradients_of_a_graph_made_at_once(name: str) -> None:
    op, inputs, _ = problems()[name]
    out = op(*inputs)
    grads = torch.randn(3, *out.shape, dtype=out.dtype)

    def gradients(grad: Tensor) -> tuple[Tensor, ...]:
        return torch.autograd.grad(out, inputs, grad, retain_graph=True)

    want = [torch.stack(rows) for rows in zip(*map(gradients, grads), strict=True)]
    older = torch.autograd.grad(out, inputs, grads, retain_graph=True, is_grads_batched=True)
    for got in (older, torch.func.vmap(gradients)(grads)):
        torch.testing.assert_close(list(got), want, rtol=1e-4, atol=1e-4)


def test_an_op_without_a_gradient_says_so() -> None:
    @direct_op("rapidash_test::doubled")
    def doubled(x: Tensor) -> Tensor:
        return 2 * x

    x = torch.ones(2, requires_grad=True)
    assert not doubled(x.detach()).requires_grad
    with pytest.raises(RuntimeError, match=r"autograd"):
        doubled(x).sum().backward()


def test_who_watches() -> None:
    class Other(Tensor):
        pass

    x = torch.ones(2)
    assert not is_watched(x, None, 3, x.requires_grad_())
    assert is_watched(x.detach().as_subclass(Other))
    with Seen():
        assert is_watched(x)
    with Called():
        assert is_watched(x)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]):
        assert is_watched(x)
    with torch.autograd.forward_ad.dual_level():
        assert is_watched(x)
    found: list[bool] = []
    torch.func.vmap(lambda y: (found.append(is_watched(y)), y)[1])(x)
    assert found == [True]


@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
@pytest.mark.parametrize("axes", [1, 2])
def test_a_kept_table_gives_the_bits_of_its_values(interpolation: str, axes: int) -> None:
    graph = random_graph(6, 5, 20)
    x, values = torch.randn(6, 3, 40), torch.randn(*[7, 9][:axes], 40)
    coords = 5.9 * torch.rand(20, 3, axes)
    kept = KeptTable(values)
    want = table_conv(x, values, coords, graph, interpolation=interpolation)  # type: ignore[arg-type]
    for _ in range(2):
        assert torch.equal(table_conv(x, kept, coords, graph, interpolation=interpolation), want)  # type: ignore[arg-type]
    assert len(kept.layouts) == 1
    with Seen() as seen:
        assert torch.equal(table_conv(x, kept, coords, graph, interpolation=interpolation), want)  # type: ignore[arg-type]
    assert seen.names == {"table_conv_numba"}
    x.requires_grad_()
    (grad,) = torch.autograd.grad(table_conv(x, kept, coords, graph, interpolation=interpolation).sum(), x)  # type: ignore[arg-type]
    (again,) = torch.autograd.grad(table_conv(x, values, coords, graph, interpolation=interpolation).sum(), x)  # type: ignore[arg-type]
    assert torch.equal(grad, again)
