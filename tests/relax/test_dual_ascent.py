"""Damped dual ascent on a quadratic, whose end is known in closed form."""

import math
from itertools import pairwise

import pytest
import torch
from torch import nn

from rapidash.relax import DualAscent

STEPS, RATE, TAU = 1200, 0.02, 0.1
DUAL_RATE = 1 / (RATE * (TAU * STEPS) ** 2)  # 1 / 288


def ascend(h: float, b: float, damping: float | str) -> tuple[float, float, int]:
    """Gate and multiplier at the end of min h (gamma - b)^2 / 2 with gamma = 0, and how often the gate crossed 0."""
    gate = nn.Parameter(torch.ones((), dtype=torch.float64))
    ascent = DualAscent([gate], STEPS, lr=RATE, tau=TAU, damping=damping)
    descent = torch.optim.SGD([gate], lr=RATE)
    signs = []
    for _ in range(STEPS):
        descent.zero_grad()
        (h * (gate - b).square() / 2 + ascent.penalty()).backward()
        descent.step()
        ascent.step()
        signs.append(float(gate.detach()) > 0)
    crossings = sum(before != after for before, after in pairwise(signs))
    return float(gate.detach()), float(ascent.multipliers[0]), crossings


@pytest.mark.parametrize("h", [0.0, 0.05, 0.5])
@pytest.mark.parametrize("b", [0.0, 1.0])
def test_critical_damping_ends_at_the_constrained_optimum(h: float, b: float) -> None:
    """There gamma = 0 and lambda = -dJ/dgamma = h b."""
    gate, multiplier, crossings = ascend(h, b, 2 * math.sqrt(DUAL_RATE / RATE) - h)
    assert abs(gate) < 1e-3
    assert abs(multiplier - h * b) < 1e-3
    assert crossings <= 1


@pytest.mark.parametrize("h", [0.0, 0.05])
def test_without_damping_the_gate_keeps_swinging(h: float) -> None:
    gate, _, crossings = ascend(h, 0.0, 0.0)
    assert crossings == 3
    assert 0.4 < abs(gate) < 0.9


def test_the_default_is_critical_for_a_loss_without_curvature() -> None:
    ascent = DualAscent([nn.Parameter(torch.ones(()))], STEPS, lr=RATE, tau=TAU)
    assert ascent.dual_lr == pytest.approx(1 / 288)
    assert ascent.damping == pytest.approx(2 * math.sqrt(1 / 288 / 0.02))
    short = DualAscent([nn.Parameter(torch.ones(()))], 20, lr=RATE, tau=TAU)  # 2 steps would not be stable
    assert short.dual_lr == pytest.approx(1 / (0.02 * 100))


def test_one_step_by_hand() -> None:
    """The multiplier moves by the gate before the step, the gate by the multiplier before the step."""
    gate = nn.Parameter(torch.tensor(0.5, dtype=torch.float64))
    ascent = DualAscent([gate], 10, lr=0.1, tau=1.0, damping=0.25)  # eta_d = 1 / (0.1 * 10^2) = 0.1
    ascent.load_state_dict({"multipliers": torch.tensor([0.3], dtype=torch.float64)})
    ascent.penalty().backward()
    assert float(gate.grad) == pytest.approx(0.3 + 0.25 * 0.5)
    with torch.no_grad():
        gate -= 0.1 * gate.grad
    ascent.step()
    assert float(ascent.multipliers[0]) == pytest.approx(0.3 + 0.1 * 0.5)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"lr": 0.0}, "lr and tau must be positive and finite, got 0.0 and 0.1"),
        ({"tau": -1.0}, "lr and tau must be positive and finite"),
        ({"damping": -0.5}, "damping must be 'critical' or a number of at least 0, got -0.5"),
        ({"damping": "much"}, "damping must be 'critical' or a number of at least 0, got 'much'"),
    ],
)
def test_wrong_values_are_named(values: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DualAscent([nn.Parameter(torch.ones(()))], 10, **values)
    with pytest.raises(ValueError, match="at least one gate"):
        DualAscent([], 10)
