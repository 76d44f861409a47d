"""Learned histograms: bins, weights and draws by hand, the gradient of the shares, and what is refused."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rapidash._seed import seeded
from rapidash.data import Batch, Field, RowBatch
from rapidash.groups import SO, Position, Scalar, parse_matrix_group, scaling
from rapidash.learn import GroupHistogram, LearnedHistogram
from rapidash.methods import Step, StepView, SymmetrizedModel, Variant, build_model, view_ledger
from rapidash.models import OrderedMLPConfig
from rapidash.tasks import get_task
from rapidash.testing import check_method

TASK = get_task("partial-symmetry", num_train=24, num_val=12, num_test=8)
MLP = OrderedMLPConfig(12, symmetry="T(2)", hidden_dim=8, num_layers=1)
X = RowBatch({"x": torch.tensor([[1.0, 0.0], [0.0, 2.0]])}, {"x": Field(Position(), level="cloud")})


@pytest.mark.parametrize("method", [LearnedHistogram("SO(2)"), LearnedHistogram("scaling(2)", num_test=2)], ids=repr)
def test_the_method_keeps_the_promises_of_methods(method: LearnedHistogram, tmp_path) -> None:
    check_method(method, TASK, Variant("a", MLP), tmp_path)


def test_bins_of_rotations_are_a_cyclic_group_and_others_reach_as_far_as_said() -> None:
    law = GroupHistogram(SO(2), init_share=0.31)
    u = law.parameters_of_bins
    torch.testing.assert_close(u, math.pi / 12 * torch.arange(-11, 13).double())
    torch.testing.assert_close(law.shares[11].item(), 0.31)
    torch.testing.assert_close(law.shares[0].item(), 0.69 / 23)
    torch.testing.assert_close(torch.linalg.matrix_power(law.elements[12], 24), torch.eye(3).double())
    flow = GroupHistogram(scaling(3), reach=0.6)
    assert (len(flow.parameters_of_bins), flow.parameters_of_bins[12].item()) == (25, 0.0)
    torch.testing.assert_close(flow.elements[-1, :3, :3], math.exp(0.6) * torch.eye(3).double())


def test_an_element_and_its_inverse_have_one_share() -> None:
    law = GroupHistogram(SO(2))
    with torch.no_grad():
        law.raw.normal_(generator=seeded("logits"))
    shares = dict(zip(law.parameters_of_bins.mul(12 / math.pi).round().int().tolist(), law.shares.tolist()))
    assert len(law.raw) == 13  # 0, 1 to 11, and half a turn
    assert all(shares[k] == shares[-k] for k in range(1, 12))
    assert sum(shares.values()) == pytest.approx(1)


def test_all_elements_come_with_their_shares_in_the_test_and_draws_follow_them_in_training() -> None:
    law = GroupHistogram(SO(2), weight=0.5)
    g, penalty, weights = law.eval().sample(X, 1, None)
    assert g.shape == (2, 24, 3, 3)
    assert weights is not None
    torch.testing.assert_close(weights[1], law.shares)
    assert float(penalty) == 0
    drawn = law.train().sample(X, 4000, seeded(0))
    angles = torch.atan2(drawn.g[0, :, 1, 0], drawn.g[0, :, 0, 0])
    assert abs(float((angles.abs() < 0.1).float().mean()) - 0.5) < 0.03
    share, rest = 0.5, 0.5 / 23
    entropy = -share * math.log(share) - 0.5 * math.log(rest)
    assert drawn.penalty.item() == pytest.approx(-0.5 * entropy)
    with pytest.raises(ValueError, match=r"pass a torch\.Generator"):
        law.sample(X, 1, None)


class Cosine(nn.Module):
    """Twice the first coordinate, which a rotation by u takes from r cos(a) to r cos(a - u)."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(2.0))

    def forward(self, batch: Batch) -> Tensor:
        return self.factor * batch["x"][:, :1]


class ToMinimize:
    """A task whose loss is the mean of the output."""

    output = Field(Scalar(), level="cloud")

    def loss(self, prediction: Tensor, batch: Batch) -> Tensor:
        return prediction.mean()


def test_the_shares_learn_from_the_loss_of_every_element_alone() -> None:
    """L_k = (2 cos(u) + 4 sin(u)) / 2 for the two points; the gradient of sum p L in a logit is p_k (L_k - sum p L)."""
    method = LearnedHistogram("SO(2)", weight=0.0, num_measured=24, delay=0.0)
    model = method.modify(Cosine(), ToMinimize()).train()  # type: ignore[arg-type]
    assert isinstance(model, SymmetrizedModel)
    control = method.control(model, 10)
    assert control is not None
    rng = seeded("step")
    control.batch(X, rng)
    outcome = Step(model(X).mean())
    view = StepView(0, 10, model, X, outcome, rng, task=ToMinimize())  # type: ignore[arg-type]
    terms = control.terms(view)
    assert list(terms) == ["group-histogram shares"]
    assert terms["group-histogram shares"].item() == 0
    assert view.passes == 24
    law = model.distribution
    assert isinstance(law, GroupHistogram)
    u, p = law.parameters_of_bins, law.shares.detach().double()
    losses = u.cos() + 2 * u.sin()
    gradient = p * (losses - (p * losses).sum())
    (found,) = torch.autograd.grad(terms["group-histogram shares"], law.raw)
    expected = [gradient[11], *(gradient[11 + k] + gradient[11 - k] for k in range(1, 12)), gradient[23]]
    torch.testing.assert_close(found.double(), torch.stack(expected), atol=1e-6, rtol=0)


def test_the_shares_stay_at_first_and_every_bin_is_measured_in_turn() -> None:
    method = LearnedHistogram("SO(2)", num_measured=5, delay=0.5)
    model = method.modify(Cosine(), ToMinimize()).train()  # type: ignore[arg-type]
    control = method.control(model, 24)
    assert control is not None
    for step in range(24):
        rng = seeded("step", step)
        control.batch(X, rng)
        view = StepView(step, 24, model, X, Step(model(X).mean()), rng, task=ToMinimize())  # type: ignore[arg-type]
        assert bool(control.terms(view)) == (step >= 12)
    assert control.state_dict()["times"].tolist() == [5] * 24
    again = method.control(model, 24)
    assert again is not None
    again.load_state_dict(control.state_dict())
    assert torch.equal(again.state_dict()["losses"], control.state_dict()["losses"])
    assert dict(control.values())["share of rotation by 0"] == pytest.approx(0.5)
    sentence = method.learned_ledger(model, TASK.ledger(Variant("a", MLP)), "full").reasons[-1]
    assert "rotation by 0 (0.5)" in sentence


@pytest.mark.parametrize(
    ("group", "ahead", "said"), [("scaling(2)", 8.0, True), ("scaling(2)", 10.0, False), ("SO(2)", 1.0, False)]
)
def test_the_ledger_says_that_shares_go_up_to_the_ends_of_a_range(group: str, ahead: float, said: bool) -> None:
    """Of 25 elements the identity has so many times the share of the others: 25 / 32 of the mean is left for each, or
    25 / 34, which is less than 3/4. A period has no ends."""
    method = LearnedHistogram(group)
    model = method.modify(Cosine(), ToMinimize()).train()  # type: ignore[arg-type]
    law = model.distribution
    assert isinstance(law, GroupHistogram)
    with torch.no_grad():
        law.raw.zero_()
        law.raw[0] = math.log(ahead)
    assert law.reaches_its_ends == said
    sentence = method.learned_ledger(model, TASK.ledger(Variant("a", MLP)), "full").reasons[-1]
    assert ("up to the ends of the range, 1 each way: more was not asked" in sentence) == said


def test_the_ledger_adds_no_symmetry() -> None:
    found = view_ledger(TASK, Variant("a", MLP, methods=(LearnedHistogram("SO(2)"),)), "full")
    assert (found.effective.name, found.exact) == ("T(2)", True)
    assert "24 elements exp(u A) of SO(2) with learned shares" in found.reasons[-1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"group": "SE(2)"}, "one generator, SE\\(2\\) has 3"),
        ({"group": "C4"}, "C4 is finite"),
        ({"num_bins": 12}, "at least 24; got 12"),
        ({"group": "scaling(2)", "num_bins": 24}, "and odd"),
        ({"group": "scaling(2)", "reach": 0.0}, "reach must be positive"),
        ({"weight": -1.0}, "weight at least 0"),
        ({"init_share": 1.0}, "init_share in \\(0, 1\\)"),
        ({"num_measured": 0}, "num_measured at least 1"),
        ({"num_test": -1}, "num_test must be at least 0"),
        ({"delay": 1.0}, "delay must be in"),
        ({"learning_rate": -1.0}, "learning_rate must be positive"),
    ],
)
def test_bad_input_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LearnedHistogram(**{"group": "SO(2)", **change})


def test_it_needs_the_loss_of_a_task() -> None:
    method = LearnedHistogram("SO(2)")
    model = build_model(TASK, Variant("a", MLP, methods=(method,)))
    control = method.control(model, 10)
    assert control is not None
    with pytest.raises(ValueError, match="the loss of a task"):
        control.terms(StepView(0, 10, model, X, Step(torch.zeros(()))))


def test_products_of_bins_may_be_no_bins_but_the_period_is_known() -> None:
    law = GroupHistogram(parse_matrix_group("SO2(x) about the origin"), 30)
    assert len(law.parameters_of_bins) == 30
    assert law.parameters_of_bins[-1].item() == pytest.approx(math.pi)
