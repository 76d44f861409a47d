"""Damped dual ascent on a quadratic, whose end is known in closed form."""

import math
from itertools import pairwise

import pytest
import torch
from torch import nn

from rapidash.relax import DualAscent
from rapidash.relax._dual_ascent import Form

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


def resilient(h: float, b: float, *, damping: float | str = "critical", rho: float = 1.0) -> list[list[float]]:
    """Gate, multiplier and u after every step of min h (gamma - b)^2 / 2 + rho u^2 / 2 with |gamma| <= u."""
    gate = nn.Parameter(torch.ones((), dtype=torch.float64))
    ascent = DualAscent([gate], STEPS, lr=RATE, tau=TAU, form="resilient", damping=damping, rho=rho)
    descent = torch.optim.SGD([gate], lr=RATE)
    rows = []
    for _ in range(STEPS):
        descent.zero_grad()
        (h * (gate - b).square() / 2 + ascent.penalty()).backward()
        descent.step()
        ascent.step()
        rows.append([float(gate.detach()), float(ascent.multipliers[0]), float(ascent.slacks[0])])
    return rows


@pytest.mark.parametrize("damping", ["critical", 0.0])
@pytest.mark.parametrize("b", [1.0, -1.0])
def test_the_resilient_form_ends_where_its_lagrangian_says_whatever_the_damping(b: float, damping: float | str) -> None:
    """h (|gamma| - 1) + lambda = 0, u = lambda and |gamma| = u give 1/3 for h = 1/2; damping gamma would give .214."""
    rows = resilient(0.5, b, damping=damping)
    gate, multiplier, slack = rows[-1]
    assert abs(gate - b / 3) < 1e-3
    assert abs(multiplier - 1 / 3) < 1e-3
    assert abs(slack - 1 / 3) < 1e-3
    assert min(row[1] for row in rows) >= 0
    h, critical = 0.5, 2 * math.sqrt(DUAL_RATE / RATE)
    assert h / (h + 1 + critical) == pytest.approx(0.214, abs=5e-4)  # of h (gamma - 1) + gamma + mu gamma = 0


@pytest.mark.parametrize(("rho", "gate", "multiplier"), [(2.0, 0.2, 0.4), (0.5, 0.5, 0.25)])
def test_the_price_moves_the_end_as_the_lagrangian_says(rho: float, gate: float, multiplier: float) -> None:
    """h (1 - gamma) = lambda = rho u and gamma = u: gamma = h / (h + rho), here with h = 1/2."""
    found = resilient(0.5, 1.0, rho=rho)[-1]
    assert found == pytest.approx([gate, multiplier, gate], abs=1e-3)


def test_damping_does_not_move_the_fixed_point_of_the_resilient_form() -> None:
    gate = nn.Parameter(torch.tensor(1 / 3, dtype=torch.float64))
    ascent = DualAscent([gate], STEPS, form="resilient", lr=RATE, damping=3.0)
    ascent.load_state_dict({name: torch.full((1,), 1 / 3).double() for name in ("multipliers", "slacks")})
    descent = torch.optim.SGD([gate], lr=RATE)
    for _ in range(50):
        descent.zero_grad()
        (0.5 * (gate - 1).square() / 2 + ascent.penalty()).backward()
        descent.step()
        ascent.step()
    found = torch.stack([gate.detach(), ascent.multipliers[0], ascent.slacks[0]])
    torch.testing.assert_close(found, torch.full((3,), 1 / 3).double(), rtol=0, atol=1e-8)


@pytest.mark.parametrize("h", [0.0, 0.05, 0.5])
def test_the_resilient_form_closes_a_gate_that_the_data_do_not_ask_for(h: float) -> None:
    gate, multiplier, slack = resilient(h, 0.0)[-1]
    assert abs(gate) < 1e-3
    assert slack - multiplier < 1e-3
    assert 0 <= multiplier < 0.05


def test_one_resilient_step_by_hand() -> None:
    """s = |gamma| - u = .5 - .2; eta_p = eta_d = .1."""
    gate = nn.Parameter(torch.tensor(-0.5, dtype=torch.float64))
    ascent = DualAscent([gate], 10, form="resilient", lr=0.1, tau=1.0, damping=0.25, rho=2.0)
    state = {"multipliers": torch.tensor([0.3]).double(), "slacks": torch.tensor([0.2]).double()}
    ascent.load_state_dict(state)
    value = ascent.penalty()
    assert float(value.detach()) == pytest.approx(0.3 * 0.3 + 0.25 * 0.3**2 / 2)
    value.backward()
    assert float(gate.grad) == pytest.approx(-(0.3 + 0.25 * 0.3))
    with torch.no_grad():
        gate -= 0.1 * gate.grad
    ascent.step()
    assert float(ascent.slacks[0]) == pytest.approx(0.2 - 0.1 * (2 * 0.2 - 0.3 - 0.25 * 0.3))
    assert float(ascent.multipliers[0]) == pytest.approx(0.3 + 0.1 * 0.3)
    ascent.load_state_dict({"multipliers": torch.zeros(1).double(), "slacks": torch.ones(1).double()})
    gate.grad = None
    ascent.penalty()
    ascent.step()
    assert float(ascent.multipliers[0]) == 0.0  # not below


def test_a_gate_at_exactly_zero_has_a_finite_gradient() -> None:
    gate = nn.Parameter(torch.zeros(()))
    ascent = DualAscent([gate], 10, form="resilient")
    ascent.load_state_dict({"multipliers": torch.ones(1).double(), "slacks": torch.full((1,), 0.5).double()})
    ascent.penalty().backward()
    assert float(gate.grad) == 0.0  # sign(0) = 0


def test_critical_damping_of_the_resilient_form() -> None:
    """The curvature along the slack, rho / 2 + 2 mu, is 2 sqrt(2 eta_d / eta_p)."""
    ascent = DualAscent([nn.Parameter(torch.ones(()))], STEPS, form="resilient", lr=RATE, tau=TAU)
    assert 0.5 + 2 * ascent.damping == pytest.approx(2 * math.sqrt(2 * DUAL_RATE / RATE))
    slow = DualAscent([nn.Parameter(torch.ones(()))], 100 * STEPS, form="resilient", lr=RATE, tau=TAU)
    assert slow.damping == 0.0  # the price alone is more than critical


def test_a_state_without_u_is_read() -> None:
    ascent = DualAscent([nn.Parameter(torch.ones(()))], 10)
    ascent.load_state_dict({"multipliers": torch.tensor([0.5])})
    assert ascent.slacks.tolist() == [0.0]
    again = DualAscent([nn.Parameter(torch.ones(()))], 10)
    again.load_state_dict(ascent.state_dict())
    assert again.multipliers.tolist() == [0.5]


@pytest.mark.parametrize("form", ["equality", "resilient"])
def test_a_gate_that_nothing_moves_is_named(form: Form) -> None:
    frozen = nn.Parameter(torch.ones(()), requires_grad=False)
    with pytest.raises(ValueError, match=r"gate 1 is frozen .* call gate.requires_grad_\(True\)"):
        DualAscent([nn.Parameter(torch.ones(())), frozen], 10, form=form)
    moved, forgotten = (nn.Parameter(torch.ones(())) for _ in range(2))
    ascent = DualAscent([moved, forgotten], 10, form=form)
    descent = torch.optim.SGD([moved], lr=ascent.lr)
    ascent.penalty().backward()
    descent.step()
    with pytest.raises(ValueError, match="gate 1 has a gradient and did not move: no optimizer moves it"):
        ascent.step()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"form": "strict"}, "form must be one of 'equality', 'resilient', got 'strict'"),
        ({"rho": 0.0}, "rho must be above 0 and at most 1 / lr = 50, got 0.0"),
        ({"rho": 51.0}, "rho must be above 0 and at most 1 / lr = 50, got 51.0"),
    ],
)
def test_wrong_values_of_the_resilient_form_are_named(values: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DualAscent([nn.Parameter(torch.ones(()))], 10, **values)
