"""Forward-mode derivatives: the fused kernels against the definition and against central differences."""

import sys
from collections.abc import Callable, Sequence
from functools import partial
from itertools import product

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad

from rapidash.ops import channel_mlp, edge_conv, spherical_conv, table_conv
from rapidash.ops._forward_mode import has_tangent, linear
from tests.ops._support import CASES, leaf
from tests.ops.test_channel_mlp import inputs as mlp_inputs
from tests.ops.test_edge_conv import problem as edge_problem
from tests.ops.test_edge_conv import run as run_edge_conv
from tests.ops.test_table_conv import problem as table_problem
from tests.ops.test_table_conv import run as run_table_conv

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*torch.jit:DeprecationWarning"
)  # torch's own, at the first dual number

Inputs = Sequence[Tensor | None]
TOLERANCE = {torch.float64: 1e-10, torch.float32: 2e-4}
SOME_CASES = [CASES[index] for index in (0, 2, 3, 4, 5)]


def jvp(function: Callable[..., Tensor], inputs: Inputs, tangents: Inputs) -> tuple[Tensor, Tensor]:
    """Value and tangent by dual numbers."""
    values = [None if x is None else x.detach() for x in inputs]
    with forward_ad.dual_level():
        duals = [x if dx is None else forward_ad.make_dual(x, dx) for x, dx in zip(values, tangents, strict=True)]
        value, tangent = forward_ad.unpack_dual(function(*duals))
        return value.detach().clone(), torch.zeros_like(value) if tangent is None else tangent.detach().clone()


def assert_agree(got: tuple[Tensor, ...], expected: tuple[Tensor, ...]) -> None:
    for name, a, b in zip(("value", "tangent"), got, expected, strict=True):
        scale = max(1.0, float(b.abs().max()) if b.numel() else 1.0)
        torch.testing.assert_close(a, b, rtol=0, atol=TOLERANCE[b.dtype] * scale, msg=lambda m, n=name: f"{n}: {m}")


def assert_jvp_parity(fast: Callable[..., Tensor], definition: Callable[..., Tensor], inputs: Inputs) -> None:
    """Values and tangents agree, whichever of the inputs move."""
    movable = [index for index, x in enumerate(inputs) if x is not None]
    for moves in product([False, True], repeat=len(movable)):
        moving = {index for index, move in zip(movable, moves, strict=True) if move}
        if not moving:
            continue
        tangents = [torch.randn_like(x) if i in moving and x is not None else None for i, x in enumerate(inputs)]
        assert_agree(jvp(fast, inputs, tangents), jvp(definition, inputs, tangents))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("case", SOME_CASES, ids=str)
def test_edge_conv_agrees_with_the_definition(case: tuple[int, ...], dtype: torch.dtype, weighted: bool) -> None:
    x, kernel, graph = edge_problem(case, dtype)
    inputs = x, kernel, leaf(case[2], dtype=dtype) if weighted else None
    assert_jvp_parity(partial(run_edge_conv, graph, "numba"), partial(run_edge_conv, graph, "reference"), inputs)


@pytest.mark.parametrize("interpolation", ["linear", "bspline", "cubic"])
@pytest.mark.parametrize("axes", [1, 2])
@pytest.mark.parametrize("case", SOME_CASES, ids=str)
def test_table_conv_agrees_with_the_definition(case: tuple[int, ...], axes: int, interpolation: str) -> None:
    x, table, coords, graph = table_problem(case, axes, interpolation)
    run = partial(run_table_conv, graph, interpolation)
    for weight in (None, leaf(case[2])):
        assert_jvp_parity(partial(run, "numba"), partial(run, "reference"), (x, table, coords, weight))


@pytest.mark.parametrize("axes", [1, 2])
def test_table_conv_in_float32(axes: int) -> None:
    x, table, coords, graph = table_problem(CASES[5], axes, "linear", torch.float32)
    run = partial(run_table_conv, graph, "linear")
    inputs = x, table, coords, leaf(CASES[5][2], dtype=torch.float32)
    assert_jvp_parity(partial(run, "numba"), partial(run, "reference"), inputs)


@pytest.mark.usefixtures("two_threads")
def test_two_threads_agree_with_the_definition() -> None:
    x, table, coords, graph = table_problem(CASES[-1], 2)
    weight = leaf(CASES[-1][2])
    for run, inputs in (
        (partial(run_table_conv, graph, "linear"), (x, table, coords, weight)),
        (partial(run_edge_conv, graph), (x, leaf(*coords.shape[:2], x.shape[2]), weight)),
    ):
        tangents = [torch.randn_like(tensor) for tensor in inputs]
        assert_agree(jvp(partial(run, "numba"), inputs, tangents), jvp(partial(run, "reference"), inputs, tangents))


@pytest.mark.parametrize("sizes", [(3, 4, 5, 7), (0, 3, 2, 4), (40, 8, 8, 70)], ids=str)
def test_spherical_conv_agrees_with_the_definition(sizes: tuple[int, int, int, int]) -> None:
    points, ins, outs, channels = sizes
    inputs = leaf(points, ins, channels), leaf(outs, ins, channels)
    assert_jvp_parity(partial(spherical_conv, backend="numba"), partial(spherical_conv, backend="reference"), inputs)


@pytest.mark.parametrize("optional", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("sizes", [((7,), 5, 9, 4), ((0, 3), 4, 4, 4), ((3, 1500), 16, 300, 16)], ids=str)
def test_channel_mlp_agrees_with_the_definition(
    sizes: tuple[tuple[int, ...], int, int, int], dtype: torch.dtype, optional: bool
) -> None:
    x, residual, *parameters = mlp_inputs(*sizes, residual=optional, scale=optional, dtype=dtype)
    fixed = [None if parameter is None else parameter.detach() for parameter in parameters]
    run = lambda x, residual, backend: channel_mlp(x, residual, *fixed, backend=backend)  # noqa: E731
    assert_jvp_parity(partial(run, backend="auto"), partial(run, backend="reference"), (x, residual))


def test_channel_mlp_is_fused_and_moving_parameters_are_left_to_the_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = mlp_inputs((3,), 4, 6, 4, residual=True, scale=True, dtype=torch.float64)
    tangents = [torch.randn_like(tensor) for tensor in inputs if tensor is not None]
    assert_agree(jvp(channel_mlp, inputs, tangents), jvp(partial(channel_mlp, backend="reference"), inputs, tangents))

    def forbidden(*_: object) -> Tensor:
        raise AssertionError("the definition was called")

    monkeypatch.setattr(sys.modules["rapidash.ops.channel_mlp"], "channel_mlp_reference", forbidden)
    jvp(channel_mlp, inputs, [*tangents[:2], *[None] * 7])
    with pytest.raises(AssertionError, match="the definition"):
        jvp(channel_mlp, inputs, tangents)


def test_the_parity_check_rejects_a_lost_tangent() -> None:
    x, table, coords, graph = table_problem(CASES[0], 2)
    definition = partial(run_table_conv, graph, "linear", "reference", weight=None)
    wrong = lambda x, table, coords: definition(x, table, coords.detach())  # noqa: E731
    with pytest.raises(AssertionError, match="tangent"):
        assert_jvp_parity(wrong, definition, (x, table, coords))


@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
def test_gradcheck_in_forward_mode(interpolation: str) -> None:
    check = partial(torch.autograd.gradcheck, check_forward_ad=True, check_backward_ad=False)
    x, table, coords, graph = table_problem((3, 2, 4, 2, 2), 2, interpolation)  # type: ignore[arg-type]
    kernel, weight = leaf(4, 2, 2), leaf(4)
    assert check(partial(run_table_conv, graph, interpolation, "numba"), (x, table, coords, weight))
    assert check(partial(run_edge_conv, graph, "numba"), (x, kernel, weight))
    assert check(partial(spherical_conv, backend="numba"), (leaf(2, 3, 2), leaf(2, 3, 2)))
    x, residual, *parameters = mlp_inputs((2,), 3, 4, 3, residual=True, scale=True, dtype=torch.float64)
    fixed = [parameter.detach() for parameter in parameters if parameter is not None]
    assert check(lambda x, residual: channel_mlp(x, residual, *fixed), (x, residual))


@pytest.mark.parametrize("axes", [1, 2])
def test_the_slope_of_a_cubic_table_is_that_of_central_differences(axes: int) -> None:
    x, table, coords, graph = table_problem(CASES[0], axes, "cubic")
    dcoords, step = torch.randn_like(coords), 1e-5
    inside = coords.detach() * 0.9 + 0.1
    run = lambda coords: run_table_conv(graph, "cubic", "numba", x.detach(), table.detach(), coords, None)  # noqa: E731
    _, slope = jvp(run, (inside,), (dcoords,))
    difference = (run(inside + step * dcoords) - run(inside - step * dcoords)) / (2 * step)
    torch.testing.assert_close(slope, difference, rtol=0, atol=1e-8 * float(slope.abs().max()))


def test_a_coordinate_outside_the_table_raises_in_forward_mode_too() -> None:
    x, table, coords, graph = table_problem(CASES[0], 2)
    wrong = coords.detach() + 100
    with pytest.raises(ValueError, match="coords must lie in"):
        jvp(lambda coords: table_conv(x.detach(), table.detach(), coords, graph), (wrong,), (torch.ones_like(wrong),))


def test_gradients_inside_forward_mode_keep_their_tangents() -> None:
    """Forces along a motion, d/dt of a gradient: what is differentiated twice comes from the definition."""
    x, kernel, graph = edge_problem(CASES[0])

    def force(x: Tensor, backend: str) -> Tensor:
        x = x.requires_grad_()
        energy = edge_conv(x, kernel.detach(), graph, backend=backend).square().sum()  # type: ignore[arg-type]
        return torch.autograd.grad(energy, x, create_graph=True)[0]

    tangent = (torch.randn_like(x),)
    assert_agree(
        jvp(partial(force, backend="auto"), (x,), tangent), jvp(partial(force, backend="reference"), (x,), tangent)
    )
    with pytest.raises(RuntimeError, match="gradients of forward-mode derivatives"):
        jvp(partial(force, backend="numba"), (x,), tangent)


def test_linear_maps() -> None:
    inputs = leaf(4, 2, 5), leaf(3, 5)
    assert_jvp_parity(linear, torch.nn.functional.linear, inputs)


def test_a_tensor_has_a_tangent_only_inside_the_level_that_gave_it_one() -> None:
    x = torch.randn(3)
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(x, x)
        assert has_tangent(None, x, dual)
        assert not has_tangent(None, x, dual.detach())
    assert not has_tangent(dual)
