"""The Lie derivative of a penalty: its value, and its gradients by the weights, against finite differences."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from rapidash._seed import seeded
from rapidash.data import Batch, Field, RowBatch
from rapidash.groups import SO, Scalar, Vector
from rapidash.measure import lie_slope
from rapidash.measure._slope import _attention
from rapidash.methods import Variant, build_model
from rapidash.models import DGCNNConfig, EGNNConfig, MLPConfig, NetworkConfig, RapidashConfig
from rapidash.tasks import get_task

VECTOR, SCALAR = Field(Vector(), level="cloud"), Field(Scalar(), level="cloud")


def rows(num: int = 7, dim: int = 3) -> RowBatch:
    return RowBatch({"x": torch.randn(num, dim, generator=seeded("rows"), dtype=torch.float64)}, {"x": VECTOR})


def directions(num: int) -> Tensor:
    basis = SO(3).generators()
    return torch.einsum("bd,dij->bij", torch.randn(num, 3, generator=seeded("a"), dtype=torch.float64), basis)


def test_the_slope_of_a_linear_map_is_the_commutator() -> None:
    """L_A f(x) = (W A - A W) x for f(x) = W x."""
    weight, batch, algebra = torch.randn(3, 3, generator=seeded("w"), dtype=torch.float64), rows(), directions(7)
    for method in ("forward", "double_backward"):
        found = lie_slope(lambda b: b["x"] @ weight.requires_grad_().T, batch, VECTOR, algebra, method=method)
        linear = algebra[:, :3, :3]
        commutator = weight @ linear - linear @ weight
        torch.testing.assert_close(found, torch.einsum("bij,bj->bi", commutator, batch["x"]), rtol=1e-12, atol=1e-12)


def check_gradients(model: nn.Module, fn: Callable[[Batch], Tensor], batch: Batch, output: Field, algebra: Tensor):
    """The penalty's gradient along random directions of every parameter, against central differences."""

    def penalty() -> Tensor:
        return lie_slope(fn, batch, output, algebra).square().mean()

    parameters = list(model.parameters())
    gradients = torch.autograd.grad(penalty(), parameters, allow_unused=True)
    for parameter, gradient in zip(parameters, gradients):
        along = torch.randn(parameter.shape, generator=seeded(str(parameter.shape)), dtype=torch.float64)
        kept, ends = parameter.data, []
        for sign in (1, -1):
            parameter.data = kept + sign * 1e-5 * along
            ends.append(float(penalty().detach()))
        parameter.data = kept
        found = 0.0 if gradient is None else float((gradient * along).sum())
        assert found == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-4, abs=1e-8)


class SoftMaximum(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return functional.softmax(x, dim=-1) + x.softmax(-1) + torch.softmax(x, 0)


@pytest.mark.parametrize(
    "middle",
    [nn.LayerNorm(6), nn.BatchNorm1d(6), nn.GroupNorm(2, 6), SoftMaximum(), nn.GELU(), nn.LayerNorm(6, bias=False)],
    ids=lambda module: type(module).__name__,
)
def test_normalizations_and_softmax_have_the_right_gradients_in_it(middle: nn.Module) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 6), middle, nn.Linear(6, 2)).double().train()
    batch = rows()

    def fn(given: Batch) -> Tensor:
        return model(given["x"])

    kept = {name: value.clone() for name, value in model.named_buffers()}
    check_gradients(model, fn, batch, SCALAR, directions(7))
    # the value in it is that outside, and batch statistics move as they do in torch
    inside: list[Tensor] = []
    model.load_state_dict({**model.state_dict(), **kept})
    lie_slope(lambda b: inside.append(fn(b)) or inside[-1], batch, SCALAR, directions(7))
    moved = {name: value.clone() for name, value in model.named_buffers()}
    model.load_state_dict({**model.state_dict(), **kept})
    torch.testing.assert_close(torch.autograd.forward_ad.unpack_dual(inside[0]).primal, fn(batch))
    for name, value in model.named_buffers():
        if not name.endswith("num_batches_tracked"):
            torch.testing.assert_close(moved[name], value)


@pytest.mark.parametrize("need_weights", [False, True])
def test_attention_has_the_right_gradients_in_it(need_weights: bool) -> None:
    torch.manual_seed(0)

    class Attends(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.into, self.out = nn.Linear(3, 4), nn.Linear(4, 2)
            self.attention = nn.MultiheadAttention(4, 2, batch_first=True)

        def forward(self, given: Batch) -> Tensor:
            x = self.into(given["x"])[None]
            mask = torch.ones(7, 7).triu(1).bool()
            return self.out(self.attention(x, x, x, attn_mask=mask, need_weights=need_weights)[0][0])

    model, fast = Attends().double(), (functional.softmax, functional.scaled_dot_product_attention)
    values: list[Tensor] = []
    lie_slope(lambda b: values.append(model(b)) or values[-1], rows(), SCALAR, directions(7))
    torch.testing.assert_close(torch.autograd.forward_ad.unpack_dual(values[0]).primal, model(rows()))
    check_gradients(model, model, rows(), SCALAR, directions(7))
    assert fast == (functional.softmax, functional.scaled_dot_product_attention)


@pytest.mark.parametrize("is_causal", [False, True])
def test_attention_is_that_of_torch(is_causal: bool) -> None:
    q, k, v = torch.randn(3, 2, 5, 4, generator=seeded("attention"), dtype=torch.float64)
    bias = None if is_causal else torch.randn(5, 5, generator=seeded("bias"), dtype=torch.float64)
    expected = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias, is_causal=is_causal, scale=0.7)
    torch.testing.assert_close(_attention(q, k, v, attn_mask=bias, is_causal=is_causal, scale=0.7), expected)


SMALL = RapidashConfig(grid="platonic", num_orientations=4, channels=4, num_layers=2, basis_dim=4, basis_hidden_dim=4)


@pytest.mark.parametrize(
    "config",
    [
        SMALL,
        RapidashConfig(symmetry="T(3)", space="R3", channels=4, num_layers=2, basis_dim=4, basis_hidden_dim=4),
        DGCNNConfig(channels=4, num_layers=2),
        EGNNConfig(channels=4, num_layers=2),
    ],
    ids=["E(3) on R3xS2", "T(3) on R3", "DGCNN", "EGNN"],
)
def test_networks_have_the_right_slope_and_gradients(config: NetworkConfig) -> None:
    task = get_task("nbody", num_train=4, num_val=2, num_test=2)
    batch = task.dataset("train").batch(torch.arange(2)).to(dtype=torch.float64)
    model = build_model(task, Variant("a", config)).double().train()
    model.calibrate(batch)
    algebra = directions(2)
    slope = lie_slope(model, batch, task.output, algebra).detach()

    def moved(t: float) -> Tensor:
        back, forth = torch.linalg.matrix_exp(-t * algebra), torch.linalg.matrix_exp(t * algebra)
        return batch.act(task.output, back, model(batch.transform(forth))).detach()

    torch.testing.assert_close(slope, (moved(1e-5) - moved(-1e-5)) / 2e-5, rtol=1e-3, atol=1e-6)
    check_gradients(model, model, batch, task.output, algebra)


def test_a_function_that_does_not_move_has_slope_zero_and_zero_gradients() -> None:
    """At exactly zero nothing is NaN."""
    model = nn.Linear(1, 2).double()
    for method in ("forward", "double_backward"):
        slope = lie_slope(
            lambda b: model(b["x"].square().sum(1, keepdim=True)), rows(), SCALAR, directions(7), method=method
        )
        assert float(slope.detach().abs().max()) < 1e-12
        slope.square().mean().backward()
        assert float(model.weight.grad.abs().max()) < 1e-12


def test_an_unknown_method_is_said() -> None:
    with pytest.raises(ValueError, match=r"method must be one of .*'backward'"):
        lie_slope(lambda b: b["x"], rows(), VECTOR, directions(7), method="backward")


def test_an_mlp_of_rows() -> None:
    torch.manual_seed(0)
    from rapidash.models import Interface

    model = MLPConfig(hidden_dim=5).build(Interface(dim=0, in_scalars=3, out_scalars=2)).double()
    check_gradients(model, lambda b: model(b["x"]), rows(), SCALAR, directions(7))
