"""Batched derivatives: those of ``torch.vmap``, and of the older one behind ``vectorize`` and ``is_grads_batched``."""

from collections.abc import Callable, Iterable
from functools import partial

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.autograd.functional import hessian, jacobian

from rapidash.models import Rapidash
from rapidash.ops import Backend, channel_mlp, edge_conv, spherical_conv, table_conv
from rapidash.ops._batching import is_batched
from tests.ops._support import leaf, random_graph

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # torch's own, in forward mode

Function = Callable[..., Tensor]
Case = tuple[Function, tuple[Tensor, ...]]
POINTS, EDGES, CHANNELS = 3, 5, 2


def an_edge_conv(backend: Backend) -> Case:
    op = partial(edge_conv, graph=random_graph(POINTS, POINTS, EDGES), backend=backend)
    inputs = leaf(POINTS, 1, CHANNELS), leaf(EDGES, 1, CHANNELS), leaf(EDGES)
    return lambda x, kernel, weight: op(x, kernel, edge_weight=weight), inputs


def a_table_conv(backend: Backend) -> Case:
    graph, coords = random_graph(POINTS, POINTS, EDGES), 0.5 + 3 * torch.rand(EDGES, 1, 1, dtype=torch.float64)
    op = partial(table_conv, graph=graph, interpolation="cubic", backend=backend)
    inputs = leaf(POINTS, 1, CHANNELS), leaf(5, CHANNELS), coords.requires_grad_(), leaf(EDGES)
    return lambda x, table, coords, weight: op(x, table, coords, edge_weight=weight), inputs


def a_spherical_conv(backend: Backend) -> Case:
    return partial(spherical_conv, backend=backend), (leaf(POINTS, 2, CHANNELS), leaf(3, 2, CHANNELS))


def a_channel_mlp(backend: Backend) -> Case:
    inputs = leaf(POINTS, CHANNELS), leaf(POINTS, 1), leaf(CHANNELS), leaf(CHANNELS), leaf(3, CHANNELS), leaf(3)
    return partial(channel_mlp, backend=backend), (*inputs, leaf(1, 3), leaf(1), leaf(1))


OPS = {"edge_conv": an_edge_conv, "table_conv": a_table_conv, "spherical_conv": a_spherical_conv}
OPS |= {"channel_mlp": a_channel_mlp}


def tensors(nested: Tensor | Iterable[Tensor]) -> list[Tensor]:
    """The tensors of a nested tuple in turn."""
    return [nested] if isinstance(nested, Tensor) else [tensor for part in nested for tensor in tensors(part)]


def assert_same(found: Tensor | Iterable[Tensor], expected: Tensor | Iterable[Tensor]) -> None:
    for a, b in zip(tensors(found), tensors(expected), strict=True):
        torch.testing.assert_close(a.detach(), b.detach(), rtol=1e-9, atol=1e-9)


def squared(op: Function) -> Function:
    return lambda *inputs: op(*inputs).pow(2).sum()


@pytest.mark.parametrize("name", OPS)
def test_hessians_are_those_of_the_definition(name: str) -> None:
    """By every input, first and second derivative, in every way that torch has to batch them."""
    torch.manual_seed(0)
    op, inputs = OPS[name]("auto")
    torch.manual_seed(0)
    definition, _ = OPS[name]("reference")
    plain = tuple(tensor.detach() for tensor in inputs)
    every = tuple(range(len(plain)))
    expected = hessian(squared(definition), plain)
    assert max(float(part.abs().max()) for part in tensors(expected)) > 0.1
    assert_same(hessian(squared(op), plain, vectorize=True), expected)
    assert_same(torch.func.hessian(squared(op), argnums=every)(*plain), expected)
    assert_same(torch.func.jacrev(torch.func.jacfwd(squared(op), argnums=every), argnums=every)(*plain), expected)
    assert_same(torch.func.jacfwd(torch.func.jacfwd(squared(op), argnums=every), argnums=every)(*plain), expected)


@pytest.mark.parametrize("name", OPS)
def test_jacobians_are_those_of_the_definition(name: str) -> None:
    torch.manual_seed(0)
    op, inputs = OPS[name]("auto")
    torch.manual_seed(0)
    definition, _ = OPS[name]("reference")
    plain = tuple(tensor.detach() for tensor in inputs)
    expected = jacobian(definition, plain)
    for strategy in ("reverse-mode", "forward-mode"):
        assert_same(jacobian(op, plain, vectorize=True, strategy=strategy), expected)
    out = op(*inputs)
    basis = torch.eye(out.numel(), dtype=out.dtype).view(-1, *out.shape)
    wanted = [torch.stack([torch.autograd.grad(out, inputs, row, retain_graph=True)[i] for row in basis])
              for i in range(len(inputs))]  # fmt: skip

    def gradients(row: Tensor) -> tuple[Tensor, ...]:
        return torch.autograd.grad(out, inputs, row, retain_graph=True)

    assert_same(torch.vmap(gradients)(basis), wanted)
    for create_graph in (False, True):
        batched = torch.autograd.grad(
            out, inputs, basis, is_grads_batched=True, retain_graph=True, create_graph=create_graph
        )
        assert_same(batched, wanted)
        assert batched[0].requires_grad == create_graph


def trained(op: Function) -> Function:
    """Gradients of the squared gradient by the first input, as in the training of forces."""

    def gradients(*inputs: Tensor) -> Tensor:
        (force,) = torch.autograd.grad(squared(op)(*inputs), inputs[0], create_graph=True)
        found = torch.autograd.grad(force.square().sum(), inputs, create_graph=True, materialize_grads=True)
        return torch.cat([part.flatten() for part in found])

    return gradients


@pytest.mark.parametrize("name", OPS)
def test_jacobians_of_second_gradients_are_those_of_the_definition(name: str) -> None:
    torch.manual_seed(0)
    op, inputs = OPS[name]("auto")
    torch.manual_seed(0)
    definition, _ = OPS[name]("reference")
    plain = tuple(tensor.detach() for tensor in inputs)
    expected = jacobian(trained(definition), plain)
    assert max(float(part.abs().max()) for part in tensors(expected)) > 0.1
    for vectorize in (False, True):
        assert_same(jacobian(trained(op), plain, vectorize=vectorize), expected)


@pytest.mark.parametrize("name", OPS)
def test_a_backend_asked_for_by_name_refuses_batched_inputs(name: str) -> None:
    if name == "channel_mlp":
        pytest.skip("it has no backend that cannot run")
    op, inputs = OPS[name]("numba")
    plain = tuple(tensor.detach() for tensor in inputs)
    with pytest.raises(RuntimeError, match=r"batched derivatives.*Use backend='auto' or 'reference'"):
        jacobian(op, plain, vectorize=True, strategy="forward-mode")


def test_the_gradient_of_a_tangent_is_a_product_with_the_hessian() -> None:
    """Forward mode, then a gradient: torch's own layer_norm gets it wrong."""
    op, inputs = a_channel_mlp("auto")
    x, direction = inputs[0], torch.randn_like(inputs[0])
    rest = [tensor.detach() for tensor in inputs[1:]]
    expected = hessian(lambda x: squared(op)(x, *rest), x.detach()).flatten(2).flatten(0, 1) @ direction.flatten()
    with forward_ad.dual_level():
        tangent = forward_ad.unpack_dual(squared(op)(forward_ad.make_dual(x, direction), *rest)).tangent
        assert tangent is not None
        found = forward_ad.unpack_dual(torch.autograd.grad(tangent, x)[0]).primal.clone()
    assert_same(found.flatten(), expected)


def test_which_tensors_are_batched() -> None:
    seen = []

    def look(x: Tensor) -> Tensor:
        seen.append(is_batched(None, x))
        return 2 * x

    x = torch.ones(3)
    look(x)
    torch.func.vmap(look)(x)
    torch.func.grad(lambda x: look(x).sum())(x)
    jacobian(look, x, vectorize=True, strategy="forward-mode")  # the tangents
    assert seen == [False, True, False, True]


@pytest.mark.parametrize("edges", ["fc", "knn-3", "radius-1.5"])
@pytest.mark.parametrize("kernel", ["exact", "tabulated"])
@pytest.mark.parametrize("space", ["R3", "R3xS2"])
def test_hessians_of_a_network(space: str, kernel: str, edges: str) -> None:
    torch.manual_seed(0)
    model = Rapidash(
        space=space, grid="platonic", num_orientations=4, in_scalars=1, channels=8, num_layers=2, edges=edges,
        basis_dim=8, basis_hidden_dim=8, kernel=kernel, interpolation="cubic",
    ).double()  # fmt: skip
    pos, ones = torch.rand(4, 3, dtype=torch.float64), torch.ones(4, 1, dtype=torch.float64)

    def energy(pos: Tensor, backend: Backend = "auto") -> Tensor:
        return model.with_kernel(kernel, backend=backend)(pos, scalars=ones).scalars.sum()  # type: ignore[arg-type]

    expected = hessian(partial(energy, backend="reference"), pos)
    assert expected.norm() > 1e-3
    assert_same(hessian(energy, pos, vectorize=True), expected)
    for first in (torch.func.grad, torch.func.jacfwd):
        assert_same(torch.func.jacrev(first(energy))(pos), expected)
        assert_same(torch.func.jacfwd(first(energy))(pos), expected)
    moved = pos.clone().requires_grad_()
    (force,) = torch.autograd.grad(energy(moved), moved, create_graph=True)
    basis = torch.eye(12, dtype=pos.dtype).view(12, 4, 3)
    rows = torch.vmap(lambda row: torch.autograd.grad(force, moved, row, retain_graph=True)[0])(basis)
    assert_same(rows.view(4, 3, 4, 3), expected)


def test_derivatives_by_torch_func_take_no_linear_tables() -> None:
    """As with ``requires_grad``: the second derivative of a piecewise linear function is no estimate of anything."""
    torch.manual_seed(0)
    model = Rapidash(space="R3", in_scalars=1, channels=8, num_layers=1)

    def energy(pos: Tensor) -> Tensor:
        return model(pos, scalars=torch.ones(4, 1)).scalars.sum()

    pos = torch.rand(4, 3)
    expected = hessian(lambda pos: model.with_kernel("exact")(pos, scalars=torch.ones(4, 1)).scalars.sum(), pos)
    for found in (torch.func.hessian(energy)(pos), torch.func.jacfwd(torch.func.jacfwd(energy))(pos)):
        torch.testing.assert_close(found.detach(), expected, rtol=1e-4, atol=1e-5)


def test_neighbors_within_vmap_are_refused_and_given_ones_taken() -> None:
    torch.manual_seed(0)
    model = Rapidash(space="R3", in_scalars=1, channels=8, num_layers=1, kernel="exact", edges="knn-2")
    clouds, ones = torch.rand(5, 4, 3), torch.ones(4, 1)
    with pytest.raises(ValueError, match=r"within vmap.*one batch.*hierarchy="):
        torch.vmap(lambda pos: model(pos, scalars=ones).scalars)(clouds)
    edges = model.connect(clouds[0], torch.zeros(4, dtype=torch.long))
    found = torch.vmap(lambda pos: model(pos, scalars=ones, hierarchy=edges).scalars)(clouds)
    expected = torch.stack([model(pos, scalars=ones, hierarchy=edges).scalars for pos in clouds])
    torch.testing.assert_close(found, expected)
