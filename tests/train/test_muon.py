"""Muon in stacks against torch's, which takes one matrix after the other, and against singular values by hand."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rapidash._seed import seeded
from rapidash.train import _muon
from rapidash.train._muon import SMALLEST_ALONE, StackedMuon, orthogonalized

Shapes = Sequence[tuple[int, int]]
Gradients = list[list[Tensor | None]]

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
OF_A_NETWORK = [(32, 32)] * 6 + [(64, 32), (32, 64)] * 2
OF_EVERY_KIND = [(16, 16), (17, 33), (33, 17), (64, 64), (128, 64), (96, 96), (96, 96), (80, 160), (160, 80)]

# Both round every product to bfloat16, by at most 2^-9, and differ where a sum in another order rounds to the other
# neighbor: few numbers here, perhaps all on another processor. The directions of both are 1.2 to 1.9 % from the exact
# ones (normal gradients), that is up to 10 roundings, so from each other they are at most twice as far.
FROM_EXACT, FROM_TORCH = 12 * 2.0**-9, 24 * 2.0**-9


def matrices(shapes: Shapes, dtype: torch.dtype = torch.float32) -> list[nn.Parameter]:
    rng = seeded(0, "weights")
    return [nn.Parameter(torch.randn(shape, generator=rng).to(dtype)) for shape in shapes]


def gradients(shapes: Shapes, steps: int) -> Gradients:
    rng = seeded(0, "gradients")
    return [[torch.randn(shape, generator=rng) for shape in shapes] for _ in range(steps)]


def take_steps(optimizer: torch.optim.Optimizer, params: list[nn.Parameter], grads: Gradients) -> list[Tensor]:
    """How far the steps moved each parameter."""
    before = [param.detach().clone() for param in params]
    for of_step in grads:
        for param, grad in zip(params, of_step, strict=True):
            param.grad = None if grad is None else grad.to(param.dtype)
        optimizer.step()
    return [param.detach() - old for param, old in zip(params, before, strict=True)]


def assert_near(moves: Sequence[Tensor], expected: Sequence[Tensor], tolerance: float = FROM_TORCH) -> None:
    for move, right in zip(moves, expected, strict=True):
        assert float((move - right).norm()) <= tolerance * float(right.norm()), tuple(right.shape)


def exact_direction(gradient: Tensor) -> Tensor:
    """By the definition: each singular value, over the root of the sum of their squares, through the quintic."""
    u, s, v = torch.linalg.svd(gradient.double(), full_matrices=False)
    s = s / s.square().sum().sqrt()
    for _ in range(5):
        s = COEFFICIENTS[0] * s + COEFFICIENTS[1] * s**3 + COEFFICIENTS[2] * s**5
    return u @ s.diag() @ v


SETTINGS: list[dict[str, Any]] = [
    {"adjust_lr_fn": "match_rms_adamw"},
    {"adjust_lr_fn": "original", "momentum": 0.8},
    {"nesterov": False, "ns_steps": 4, "weight_decay": 0.0, "lr": torch.tensor(0.02)},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=["as in training", "original", "others"])
def test_steps_are_those_of_torch_up_to_the_rounding_of_bfloat16(settings: dict[str, Any]) -> None:
    settings = {"lr": 0.02, "weight_decay": 0.1} | settings
    grads = gradients(OF_EVERY_KIND, steps=4)
    ours, theirs = matrices(OF_EVERY_KIND), matrices(OF_EVERY_KIND)
    expected = take_steps(torch.optim.Muon(theirs, **settings), theirs, grads)
    assert_near(take_steps(StackedMuon(ours, **settings), ours, grads), expected)


@pytest.mark.parametrize("shape", [(32, 32), (24, 40), (64, 16), (96, 160), (512, 512), (1024, 256)], ids=str)
def test_a_matrix_alone_moves_as_with_torch(shape: tuple[int, int]) -> None:
    """The last two are multiplied alone also beside others."""
    assert (shape[0] * shape[1] >= SMALLEST_ALONE) == (max(shape) >= 512)
    grads = gradients([shape], steps=2)
    ours, theirs = matrices([shape]), matrices([shape])
    expected = take_steps(torch.optim.Muon(theirs, lr=0.02), theirs, grads)
    assert_near(take_steps(StackedMuon(ours, lr=0.02), ours, grads), expected)


@pytest.mark.parametrize(("size", "value"), [(16, 0.71875), (64, 0.69140625), (256, 1.0703125)])
def test_a_multiple_of_an_orthogonal_matrix_by_hand(size: int, value: float) -> None:
    """All singular values are 1 / sqrt(size) after the division by the norm, and each product has one term.

    For a size of 16: s = 1/4, s^2 = 0.0625, b s^2 + c s^4 = -0.29050 is -0.291015625 in bfloat16 (149 / 512), and
    a s - 0.291015625 s = 0.78837 is 0.7890625 (202 / 256). So s goes on to 0.9921875, 0.703125, 1.109375 and 0.71875;
    without rounding 0.7145.
    """
    turn = torch.eye(size).roll(3, dims=0)  # an orthogonal matrix of zeros and ones
    (param,) = params = [nn.Parameter(torch.full((size, size), 2.0))]
    optimizer = StackedMuon(params, lr=0.1, weight_decay=0.5, adjust_lr_fn="match_rms_adamw")
    take_steps(optimizer, params, [[7.0 * turn]])
    expected = 2.0 * (1 - 0.1 * 0.5) - 0.1 * 0.2 * size**0.5 * value * turn
    torch.testing.assert_close(param.detach(), expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(optimizer.state[param]["momentum_buffer"], 0.05 * 7.0 * turn)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_directions_have_singular_values_of_the_quintic(dtype: torch.dtype) -> None:
    shapes = [*OF_EVERY_KIND, *OF_A_NETWORK]
    grads = gradients(shapes, steps=1)
    params = matrices(shapes, dtype)
    moves = take_steps(StackedMuon(params, lr=0.1, weight_decay=0.0, adjust_lr_fn="match_rms_adamw"), params, grads)
    exact = [-0.1 * 0.2 * max(g.shape) ** 0.5 * exact_direction(g) for g in grads[0] if g is not None]
    assert_near(moves, exact, FROM_EXACT)


def test_the_same_roundings_where_they_make_up_the_direction() -> None:
    """In training singular values fall to 1e-5 of the largest, where a rounding grows by 3.4445^5 = 485.

    Torch's direction is then more than 10 % from the exact one, and ours nearer to torch's.
    """
    rng = seeded(0, "factors")
    grads: Gradients = [[]]
    for rows, columns in OF_A_NETWORK:
        u, _, v = torch.linalg.svd(torch.randn(rows, columns, generator=rng), full_matrices=False)
        grads[0].append(u @ torch.logspace(0, -5, min(rows, columns)).diag() @ v)
    ours, theirs = matrices(OF_A_NETWORK), matrices(OF_A_NETWORK)
    settings: dict[str, Any] = {"lr": 0.1, "weight_decay": 0.0, "adjust_lr_fn": "match_rms_adamw"}
    expected = take_steps(torch.optim.Muon(theirs, **settings), theirs, grads)
    exact = [-0.1 * 0.2 * max(g.shape) ** 0.5 * exact_direction(g) for g in grads[0] if g is not None]
    with pytest.raises(AssertionError):
        assert_near(expected, exact, tolerance=0.1)
    assert_near(take_steps(StackedMuon(ours, **settings), ours, grads), expected, tolerance=0.1)


def test_it_goes_on_from_the_state_of_torch_and_torch_from_its() -> None:
    settings: dict[str, Any] = {"lr": 0.02, "adjust_lr_fn": "match_rms_adamw"}
    grads = gradients(OF_A_NETWORK, steps=3)
    straight = matrices(OF_A_NETWORK)
    reference = torch.optim.Muon(straight, **settings)
    take_steps(reference, straight, grads[:2])
    saved = deepcopy(reference.state_dict())
    start = [param.detach().clone() for param in straight]
    expected = take_steps(reference, straight, grads[2:])

    params = [nn.Parameter(value) for value in start]
    continued = StackedMuon(params, lr=1.0)
    continued.load_state_dict(saved)
    assert_near(take_steps(continued, params, grads[2:]), expected)
    assert continued.state_dict()["param_groups"] == reference.state_dict()["param_groups"]
    torch.testing.assert_close(continued.state_dict()["state"], reference.state_dict()["state"], rtol=1e-6, atol=1e-6)

    back = torch.optim.Muon(params, lr=1.0)
    back.load_state_dict(deepcopy(continued.state_dict()))
    assert_near(take_steps(back, params, grads[:1]), take_steps(reference, straight, grads[:1]))


def test_parameters_without_a_gradient_are_left_out() -> None:
    settings: dict[str, Any] = {"lr": 0.02, "weight_decay": 0.5}
    grads = gradients(OF_A_NETWORK, steps=2)
    for of_step in grads:
        of_step[0] = of_step[7] = None
    params = matrices(OF_A_NETWORK)
    optimizer = StackedMuon(params, **settings)
    moves = take_steps(optimizer, params, grads)
    assert not moves[0].any()
    assert not moves[7].any()
    assert params[0] not in optimizer.state
    theirs = matrices(OF_A_NETWORK)
    expected = take_steps(torch.optim.Muon(theirs, **settings), theirs, grads)
    assert_near(moves, expected)
    none: Gradients = [[None] * len(params)]
    assert not any(move.any() for move in take_steps(optimizer, params, none))


@pytest.mark.parametrize("shapes", [OF_A_NETWORK, OF_EVERY_KIND, [(17, 33)] * 5 + [(33, 17)] * 2], ids=str)
def test_neither_a_second_run_nor_another_order_changes_a_bit(shapes: Shapes) -> None:
    grads = gradients(shapes, steps=3)
    orders = [list(range(len(shapes)))] * 2 + [
        torch.randperm(len(shapes), generator=seeded(i)).tolist() for i in (1, 2)
    ]
    moves = []
    for order in orders:
        params = matrices(shapes)
        optimizer = StackedMuon([params[i] for i in order], lr=0.02, adjust_lr_fn="match_rms_adamw")
        moves.append(take_steps(optimizer, params, grads))
    for other in moves[1:]:
        assert all(torch.equal(a, b) for a, b in zip(moves[0], other, strict=True))


def test_matrices_of_equal_shape_and_turned_ones_are_one_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[torch.Size] = []

    def watched(stack: Tensor, *settings: Any) -> Tensor:
        sizes.append(stack.shape)
        return orthogonalized(stack, *settings)

    monkeypatch.setattr(_muon, "orthogonalized", watched)
    shapes = [*OF_A_NETWORK, (512, 512), (512, 512)]  # the last two are large
    params = matrices(shapes)
    take_steps(StackedMuon(params, adjust_lr_fn="match_rms_adamw"), params, gradients(shapes, steps=1))
    assert sizes == [(6, 32, 32), (4, 32, 64), (1, 512, 512), (1, 512, 512)]


def test_a_gradient_of_zero_moves_nothing_but_by_decay() -> None:
    params = matrices([(32, 32), (96, 96)])
    before = [param.detach().clone() for param in params]
    grads: Gradients = [[torch.zeros_like(param) for param in params]]
    take_steps(StackedMuon(params, lr=0.1, weight_decay=0.5), params, grads)
    torch.testing.assert_close([param.detach() for param in params], [0.95 * old for old in before])


def test_groups_have_their_own_rate_and_the_closure_gives_the_loss() -> None:
    first, second = params = matrices([(32, 32), (32, 32)])
    optimizer = StackedMuon([{"params": [first], "lr": 0.0}, {"params": [second], "lr": 0.1}], weight_decay=0.0)
    before = [param.detach().clone() for param in params]

    def closure() -> float:
        loss = sum((param.square().sum() for param in params), start=torch.zeros(()))
        loss.backward()
        return float(loss.detach())

    loss = optimizer.step(closure)
    assert loss == pytest.approx(sum(float(old.square().sum()) for old in before))
    assert torch.equal(first.detach(), before[0])
    torch.testing.assert_close(second.detach(), before[1] - 0.1 * exact_direction(before[1]).float(), atol=5e-3, rtol=0)


def test_complex_matrices_are_refused_as_by_torch() -> None:
    param = nn.Parameter(torch.ones(32, 32, dtype=torch.complex64))
    param.grad = torch.ones_like(param)
    with pytest.raises(RuntimeError, match="Muon does not support complex parameters"):
        StackedMuon([param]).step()
