"""Ops that are called past torch's dispatcher give what they give through it, and go through it where torch looks."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from rapidash.geometry import is_watched
from rapidash.ops import KeptTable, channel_mlp, edge_conv, spherical_conv, table_conv
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


def problems() -> dict[str, tuple[Callable[..., Tensor], list[Tensor], set[str]]]:
    graph = random_graph(6, 5, 20)
    mlp = [leaf(*shape, dtype=torch.float32) for shape in ((4, 8), (4, 8), (8,), (8,), (16, 8), (16,), (8, 16), (8,))]
    x, table, coords = leaf(6, 3, 8), leaf(7, 9, 8), (5.9 * torch.rand(20, 3, 2).double()).requires_grad_()
    return {
        "channel_mlp": (channel_mlp, mlp, {"channel_mlp", "channel_mlp_backward"}),
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


@pytest.mark.parametrize("name", ["channel_mlp", "spherical_conv", "edge_conv", "table_conv"])
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


def test_who_watches() -> None:
    class Other(Tensor):
        pass

    x = torch.ones(2)
    assert not is_watched(x, None, 3, x.requires_grad_())
    assert is_watched(x.detach().as_subclass(Other))
    with Seen():
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
