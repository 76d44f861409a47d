import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from rapidash._seed import seeded
from rapidash.data import CloudBatch, Field
from rapidash.groups import (
    SE,
    SO,
    Image,
    Intensity,
    OrientationSignal,
    Position,
    Scalar,
    T,
    Tensor2,
    Vector,
    brightness,
    contrast,
    cyclic,
    hyperbolic,
    orientation_grid,
    scaling,
    shear,
)
from rapidash.measure import Action, equivariance_error, lie_derivative, local_equivariance_error

METHODS = ["forward", "double_backward", "difference"]
VECTORS = Action(SO(3), Vector(), Vector())


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=seeded(seed, *shape), dtype=torch.float64)


@given(seed=st.integers(0, 10**6), dim=st.sampled_from([2, 3]))
@settings(max_examples=10)
def test_linear_map_reads_its_commutator(seed: int, dim: int) -> None:
    weight, x = normal(dim, dim, seed=seed), normal(5, dim, seed=seed + 1)
    for group in (SO(dim), scaling(dim), shear(dim), hyperbolic(dim)):
        result = lie_derivative(lambda v: v @ weight.T, x, Action(group, Vector(), Vector()))
        for algebra, value in zip(group.generators(), result.value):
            a = algebra[:dim, :dim]
            assert (value - x @ (weight @ a - a @ weight).T).abs().max() < 1e-12
        assert result.method == "forward"


@pytest.mark.parametrize("method", METHODS)
def test_closed_forms_of_every_output_representation(method: str) -> None:
    tolerance = 1e-7 if method == "difference" else 1e-12
    x, weight = normal(4, 3), normal(3, 3, seed=1)
    field = lambda v: torch.tanh(v @ weight.T) + v.square()  # noqa: E731
    algebra = SE(3).generators()
    moved = [x @ a[:3, :3].T + a[:3, 3] for a in algebra]
    slope = [torch.autograd.functional.jvp(field, x, m)[1] for m in moved]
    read = {
        rep: lie_derivative(field, x, Action(SE(3), Position(), rep()), method=method).value
        for rep in (Scalar, Vector, Position)
    }
    for k, a in enumerate(algebra):
        rotated = field(x) @ a[:3, :3].T
        assert (read[Scalar][k] - slope[k]).abs().max() < tolerance
        assert (read[Vector][k] - (slope[k] - rotated)).abs().max() < tolerance  # translations leave a vector alone
        assert (read[Position][k] - (slope[k] - rotated - a[:3, 3])).abs().max() < tolerance
    outer = lambda v: v[:, :, None] * v.square()[:, None, :]  # noqa: E731
    tensors = lie_derivative(outer, x, Action(SO(3), Vector(), Tensor2()), method=method).value
    for k, a in enumerate(SO(3).generators()[:, :3, :3]):
        expected = torch.autograd.functional.jvp(outer, x, x @ a.T)[1] - (a @ outer(x) - outer(x) @ a)
        assert (tensors[k] - expected).abs().max() < tolerance


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        layers = [nn.Linear(3, 16), nn.GELU(), nn.LayerNorm(16), nn.Linear(16, 3)]
        self.net = nn.Sequential(*layers).double().eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


def test_the_three_methods_agree_and_are_named() -> None:
    torch.manual_seed(0)
    model, x = Net().eval(), normal(6, 3)
    forward, backward, difference = (lie_derivative(model, x, VECTORS, method=m) for m in METHODS)
    assert (forward.value - backward.value).abs().max() < 1e-12
    assert (forward.value - difference.value).norm() < 1e-6 * forward.value.norm()
    assert [r.method for r in (forward, backward, difference)] == METHODS


def test_auto_falls_back_where_forward_mode_is_missing_and_says_so() -> None:
    x, reference = normal(5, 3), normal(4, 3, seed=1)
    action = Action(SO(3), Field(Position()), Field(Scalar()))
    distances = lambda p: torch.cdist(p, reference, compute_mode="donot_use_mm_for_euclid_dist").sum()[None]  # noqa: E731
    auto = lie_derivative(distances, x, action)
    assert auto.method in ("double_backward", "difference")
    by_hand = lambda p: (p[:, None] - reference).norm(dim=-1).sum()[None]  # noqa: E731
    assert torch.allclose(auto.value, lie_derivative(by_hand, x, action).value, rtol=1e-6)
    with pytest.raises(RuntimeError, match="cannot run"):
        lie_derivative(distances, x, action, method="forward")


class NoDerivatives(torch.autograd.Function):
    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        return x.detach().square()

    @staticmethod
    def backward(ctx: object, grad: Tensor) -> Tensor:
        raise NotImplementedError


@pytest.mark.parametrize("square", [NoDerivatives.apply, lambda x: x.detach().square()], ids=["custom op", "detached"])
def test_differences_are_used_where_automatic_differentiation_fails_or_is_cut_off(square: object) -> None:
    x = normal(5, 3)
    result = lie_derivative(square, x, VECTORS)
    assert result.method == "difference"
    assert torch.allclose(result.value, lie_derivative(torch.square, x, VECTORS).value, atol=1e-7)


def test_attention_is_differentiated_through_its_definition() -> None:
    torch.manual_seed(0)
    attention = nn.MultiheadAttention(6, 2, batch_first=True).double().eval()
    tokens = lambda v: attention(v.reshape(1, 4, 6), v.reshape(1, 4, 6), v.reshape(1, 4, 6))[0].reshape(8, 3)  # noqa: E731
    forward = lie_derivative(tokens, normal(8, 3), VECTORS)
    assert forward.method == "forward"
    difference = lie_derivative(tokens, normal(8, 3), VECTORS, method="difference").value
    assert torch.allclose(forward.value, difference, atol=1e-6)


def test_forces_inside_the_model() -> None:
    def forces(pos: Tensor) -> Tensor:
        pos = pos if pos.requires_grad else pos.requires_grad_()
        distance = (pos[:, None] - pos + torch.eye(5, dtype=pos.dtype)[..., None]).norm(dim=-1)
        return torch.autograd.grad(distance.pow(3).sum() + (pos[:, 0] ** 3).sum(), pos, create_graph=True)[0]

    action = Action(SO(3), Field(Position()), Field(Vector()))
    value = lie_derivative(forces, normal(5, 3), action)
    difference = lie_derivative(forces, normal(5, 3), action, method="difference")
    assert value.method == "forward"
    assert torch.allclose(value.value, difference.value, atol=1e-6)
    assert value.value.abs().max() > 0.1


@pytest.mark.parametrize("method", ["auto", *METHODS])
@pytest.mark.parametrize("output", [Scalar(), Vector()], ids=str)
@pytest.mark.parametrize("num", [5, 40])
@pytest.mark.parametrize(
    "step", [torch.round, torch.sign, lambda x: x[x.argmax(dim=0)].round()], ids=["round", "sign", "argmax"]
)
def test_step_functions_are_refused_instead_of_reading_zero(
    step: object, num: int, output: object, method: str
) -> None:
    with pytest.raises(ValueError, match=r"not differentiable|disagree"):
        lie_derivative(step, 3 * normal(num, 3), Action(SO(3), Vector(), output), method=method)


def test_a_small_detached_part_beside_a_large_constant_is_noticed() -> None:
    shifted = lambda v: 1e3 + 1e-2 * v.detach().sum(dim=-1)  # noqa: E731
    result = lie_derivative(shifted, normal(9, 3), Action(SO(3), Vector(), Scalar()))
    assert result.method == "difference"


def test_smooth_functions_with_derivative_zero_at_this_input_are_no_step_functions() -> None:
    """Height on an axis where it is largest, and a rectified function in its flat part."""
    top = torch.tensor([[0.0, 0.0, 1.0]]).double()
    action = Action(SO(3), Vector(), Scalar())
    assert lie_derivative(lambda v: v[:, 2], top, action, generators=SO(3).generators()[:2]).value.abs().max() < 1e-14
    rectified = lambda v: 1 + (v[:, 0] - 0.3).relu()  # noqa: E731
    assert lie_derivative(rectified, top, action).value.abs().max() == 0


def test_a_really_invariant_function_reads_zero() -> None:
    value = lie_derivative(lambda v: v.norm(dim=-1), normal(9, 3), Action(SO(3), Vector(), Scalar())).value
    assert value.abs().max() < 1e-14
    assert (
        lie_derivative(lambda v: torch.ones(9).double(), normal(9, 3), Action(SO(3), Vector(), Scalar())).value.max()
        == 0
    )


@pytest.mark.usefixtures("shape_checks_off")
def test_bad_input_is_named() -> None:
    x = normal(4, 2)
    with pytest.raises(ValueError, match=r"'C\(4\)' has no generators"):
        lie_derivative(lambda v: v, x, Action(cyclic(4), Vector(), Vector()))
    with pytest.raises(ValueError, match="method must be one of"):
        lie_derivative(lambda v: v, x, Action(SO(2), Vector(), Vector()), method="jvp")
    with pytest.raises(ValueError, match="not finite"):
        lie_derivative(lambda v: v / (v - v), x, Action(SO(2), Vector(), Vector()))
    with pytest.raises(ValueError, match="training mode"):
        lie_derivative(nn.Linear(2, 2).double(), x, Action(SO(2), Vector(), Vector()))
    with pytest.raises(ValueError, match="output 'output' is zero, and so is its derivative"):
        local_equivariance_error(lambda v: 0 * v, x, Action(SO(2), Vector(), Vector()))
    with pytest.raises(ValueError, match=r"is torch\.int64, not floating point: .* such as the logits"):
        lie_derivative(lambda v: v.argmax(dim=-1), x, Action(SO(2), Vector(), Scalar()))
    with pytest.raises(ValueError, match="reduction"):
        local_equivariance_error(lambda v: v, x, Action(SO(2), Vector(), Vector()), reduction="max")
    with pytest.raises(ValueError, match="no batch"):
        local_equivariance_error(lambda v: v, iter([]), Action(SO(2), Vector(), Vector()))


def test_local_error_of_a_linear_functional_within_three_standard_errors_of_its_expectation() -> None:
    # f(x) = w . x: L_A f = w . A x, and for x ~ N(0, 1) the expectation of its square is ||A^T w||^2
    x = torch.randn(4000, 3, generator=seeded(0), dtype=torch.float64)
    w = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    result = local_equivariance_error(lambda v: v @ w, x, Action(SO(3), Vector(), Scalar()), reduction="sq")
    expected = torch.stack([(a[:3, :3].T @ w).square().sum() for a in SO(3).generators()])
    gap = (result.per_generator() - expected).abs()
    assert (gap < 3 * result.standard_error()).all()
    assert ((result.per_generator() - 1.3 * expected).abs() > 3 * result.standard_error()).all()
    rms = local_equivariance_error(lambda v: v @ w, x, Action(SO(3), Vector(), Scalar()))
    assert torch.allclose(rms.per_generator().square(), result.per_generator())
    assert rms.report().rows[0]["generator"] == "rotation about x"


def test_batches_post_processing_and_relative_error() -> None:
    x, w = normal(60, 3), normal(3, 4, seed=2)
    action = Action(SO(3), Vector(), Scalar())
    whole = local_equivariance_error(lambda v: v @ w, x, action, output=lambda y: y.softmax(-1), relative=True)
    parts = local_equivariance_error(
        lambda v: v @ w, iter(x.split(25)), action, output=lambda y: y.softmax(-1), relative=True
    )
    assert torch.allclose(whole.per_generator(), parts.per_generator())
    by_hand = lie_derivative(lambda v: (v @ w).softmax(-1), x, action).value
    y = (x @ w).softmax(-1)
    expected = by_hand.square().mean(dim=(1, 2)).sqrt() / (y - y.mean(0)).square().mean().sqrt()
    assert torch.allclose(whole.per_generator(), expected)
    doubled = local_equivariance_error(lambda v: 2 * (v @ w), x, action)
    assert doubled.total() == pytest.approx(2 * local_equivariance_error(lambda v: v @ w, x, action).total())
    with pytest.raises(ValueError, match="same for all data"):
        local_equivariance_error(lambda v: v @ w * 0 + 1, x, action, relative=True)


def test_clouds_of_different_sizes_are_averaged_per_component() -> None:
    batch = torch.tensor([0, 0, 0, 1])
    cloud = CloudBatch({"pos": normal(4, 3)}, {"pos": Field(Position())}, batch, 2)
    result = local_equivariance_error(lambda c: c.pos[:, :2], cloud, Action(T(3), outputs=Field(Scalar())))
    assert torch.allclose(result.per_pair["output"], torch.tensor([[0.5, 0.5], [0.5, 0.5], [0.0, 0.0]]).double())


def test_image_generators_read_their_closed_forms() -> None:
    columns = 2 * math.pi * torch.arange(12, dtype=torch.float64) / 12
    image = torch.cos(columns).expand(1, 12, 12)
    pixel_square = lambda v: v.square()  # noqa: E731  # pointwise: commutes with shifts up to aliasing, which is none here
    shifts = lie_derivative(pixel_square, image, Action(T(2), Image("fourier"), Image("fourier")))
    assert shifts.value.abs().max() < 1e-12
    masked = lie_derivative(lambda v: v[..., 0], image, Action(T(2), Image("fourier"), Scalar())).value
    slope = 2 * math.pi / 12 * torch.sin(columns[0])  # d/dt cos(u - 2 pi t / 12)
    assert torch.allclose(masked[0], slope.expand(1, 12), atol=1e-12)
    for group, expected in ((brightness(), 2 * image), (contrast(), 2 * image.square())):
        value = lie_derivative(torch.square, image, Action(group, Intensity(), Scalar())).value[0]
        assert torch.allclose(value, expected)


def test_fiber_outputs_use_the_orientation_signal() -> None:
    grid = orientation_grid("fibonacci", 16, 3)
    x = normal(5, 3)
    lift = lambda v: (v @ grid.T)[..., None]  # noqa: E731
    signal = Action(SO(3), Vector(), OrientationSignal(grid, lmax=1))
    assert lie_derivative(lift, x, signal).value.abs().max() < 1e-12
    assert lie_derivative(lambda v: lift(v).relu(), x, signal).value.abs().max() > 0.01


def test_a_compiled_model_is_differentiated_as_it_was_written() -> None:
    torch.manual_seed(0)
    model, x = Net().eval(), normal(6, 3)
    compiled = torch.compile(model, backend="eager")
    result = lie_derivative(compiled, x, VECTORS)
    assert result.method == "forward"
    assert torch.equal(result.value, lie_derivative(model, x, VECTORS).value)
    assert equivariance_error(compiled, x, VECTORS).mean == pytest.approx(equivariance_error(model, x, VECTORS).mean)
    with pytest.raises(ValueError, match="training mode"):
        equivariance_error(lambda v: compiled.train()(v), x, VECTORS)


def test_evaluations_are_few_and_counted() -> None:
    calls = 0

    def counted(v: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return v.square()

    lie_derivative(counted, normal(5, 3), VECTORS)
    assert calls == 3 + 3  # one dual pass for each generator, and three evaluations to check all of them
