"""What broken symmetry costs in the error of a model: by hand, by the identity of squared errors, when it matters."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from rapidash._seed import seeded
from rapidash.groups import SO, Scalar, Vector, cyclic
from rapidash.measure import Action, judge_cost, symmetry_cost, symmetry_loss_share


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=seeded(seed, *shape), dtype=torch.float64)


def test_a_linear_model_over_quarter_turns_by_hand() -> None:
    """f(v) = (v_x, 0): its average over C4 is v / 2, and h_k misses it by half of v, for every k."""
    x = torch.tensor([[2.0, 0.0], [0.0, 4.0]], dtype=torch.float64)
    action = Action(cyclic(4), Vector(), Vector())
    target = 0.5 * x + 1.0
    first = torch.diag(torch.tensor([1.0, 0.0], dtype=torch.float64))
    found = symmetry_cost(lambda v: v @ first, x, lambda y, _: (y - target).square().sum(dim=1), action)
    assert found.cost.tolist() == pytest.approx([1.0, 4.0])
    assert found.total.tolist() == pytest.approx([3.0, 6.0])  # the average misses the target by (1, 1)
    assert found.own.tolist() == pytest.approx([1.0, 10.0])  # (2, 0) - (2, 1) and (0, 0) - (1, 3)
    assert found.share == pytest.approx(5 / 9)
    assert found.moved == pytest.approx(math.sqrt(2.5))
    assert found.output_norm == pytest.approx(math.sqrt(2.5))
    assert (found.num_elements, found.is_complete, found.is_squared, found.group) == (4, True, True, "C(4)")
    (row,) = found.report().rows
    assert (row["error"], row["cost"], row["share"]) == pytest.approx((4.5, 2.5, 5 / 9))
    half = 1.96 * 2 / 3 / 4.5  # the residuals are -2/3 and 2/3: their deviation over the root of 2 is 2/3
    assert found.interval == pytest.approx((5 / 9 - half, 5 / 9 + half))
    most = replace(found, cost=torch.tensor([3.0, 5.0], dtype=torch.float64))  # 8/9, residuals 1/3 and -1/3
    assert most.interval == (pytest.approx(8 / 9 - half / 2), 1.0)


@pytest.mark.parametrize("num_elements", [2, 5])
def test_for_a_squared_error_it_is_the_spread_of_the_identity(num_elements: int) -> None:
    x, weight = normal(9, 3), normal(3, 3, seed=1)
    action, target = Action(SO(3), Vector(), Vector()), normal(9, 3, seed=2)
    model = lambda v: (v @ weight).tanh()  # noqa: E731
    found = symmetry_cost(
        model, x, lambda y, _: (y - target).square().sum(dim=1), action, num_elements=num_elements, seed=3
    )
    share = symmetry_loss_share(model, x, target, action, num_elements=num_elements, seed=3)
    torch.testing.assert_close(found.cost, share.broken, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(found.total, share.total, rtol=1e-9, atol=1e-12)
    assert found.moved == pytest.approx(float(share.broken.mean().sqrt()))
    assert found.standard_error == pytest.approx(share.standard_error)


@pytest.mark.parametrize(
    ("error", "is_squared"),
    [
        (lambda y: y.square().mean(dim=1), True),
        (lambda y: 1e6 * (y - 3).square().sum(dim=1), True),
        (lambda y: 1e-6 * y.square()[:, 0], True),
        (lambda y: y.norm(dim=1), False),
        (lambda y: 1e-9 * y.norm(dim=1), False),
        (lambda y: y.abs().sum(dim=1), False),
        (lambda y: y.pow(4).sum(dim=1), False),
        (lambda y: 100.0 * (y.argmax(dim=1) != 0).double(), False),
        (lambda y: torch.nn.functional.cross_entropy(y, torch.zeros(len(y)).long(), reduction="none"), False),
    ],
)
def test_what_a_squared_error_is(error, is_squared: bool) -> None:
    weight = normal(3, 3, seed=5)
    found = symmetry_cost(
        lambda v: v @ weight, normal(12, 3), lambda y, _: error(y), Action(SO(3), Vector(), Vector()), num_elements=3
    )
    assert found.is_squared is is_squared


def test_an_error_that_is_not_squared_is_that_of_the_average_itself() -> None:
    """f(v) = v_x at (3, 0): 3, 0, -3, 0 over the quarter turns, at distances 2, 1, 4, 1 from 1, and their mean at 1."""
    x, action = torch.tensor([[3.0, 0.0]], dtype=torch.float64), Action(cyclic(4), Vector(), Scalar())
    found = symmetry_cost(lambda v: v[:, :1], x, lambda y, _: (y - 1).abs()[:, 0], action)
    assert (float(found.total), float(found.cost), float(found.own)) == pytest.approx((2.0, 1.0, 2.0))
    assert found.moved == pytest.approx(math.sqrt(4.5))
    assert not found.is_squared


def test_an_equivariant_model_costs_nothing_and_one_that_lives_on_the_pose_gains_nothing_by_an_average() -> None:
    x = normal(40, 3)
    action = Action(SO(3), Vector(), Vector())
    exact = symmetry_cost(lambda v: 2 * v, x, lambda y, _: (y - x).square().sum(dim=1), action)
    assert exact.judgment == "exact"
    assert abs(exact.share) < 1e-12
    assert not exact.pose_helps
    up = torch.tensor([0.0, 0.0, 1.0]).double()
    posed = symmetry_cost(
        lambda v: 0 * v + up, x, lambda y, _: (y - up).square().sum(dim=1) + 0.1 * x[:, 0] ** 2, action, num_elements=32
    )
    assert posed.pose_helps  # the target stands still while the cloud turns: no task that is symmetric
    assert posed.judgment in ("matters", "dominates")


@pytest.mark.parametrize(
    ("low", "high", "relative", "expected"),
    [
        (0.0, 0.0499, 0.1, "negligible"),
        (-0.2, -0.1, 0.1, "negligible"),
        (0.04, 0.06, 0.1, "undecided"),
        (0.051, 0.9, 0.1, "matters"),
        (0.49, 0.9, 0.1, "matters"),
        (0.51, 0.9, 0.1, "dominates"),
        (0.51, 0.9, 9e-7, "exact"),
        (None, None, 0.1, "undecided"),
        (math.nan, math.nan, 0.1, "undecided"),
    ],
)
def test_the_rule(low: float | None, high: float | None, relative: float, expected: str) -> None:
    assert judge_cost(low, high, relative) == expected


@pytest.mark.parametrize(
    ("errors", "message"),
    [
        (lambda y, _: y, r"errors must give one number per sample, got the shape \(4, 3\)"),
        (lambda y, _: y[:, 0] * 0, "the error is 0 on every sample"),
        (lambda y, _: y[:, 0] * math.nan, "the error is not finite"),
    ],
)
def test_errors_that_are_none_are_refused(errors, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        symmetry_cost(lambda v: v + 1, normal(4, 3), errors, Action(SO(3), Vector(), Vector()))


def test_a_group_of_one_element_is_refused() -> None:
    with pytest.raises(ValueError, match="has one element only: nothing moves"):
        symmetry_cost(lambda v: v + 1, normal(4, 2), lambda y, _: y[:, 0] ** 2, Action(cyclic(1), Vector(), Vector()))


def test_one_sample_has_no_interval() -> None:
    found = symmetry_cost(
        lambda v: v + 1, normal(1, 3), lambda y, _: y.square().sum(dim=1), Action(SO(3), Vector(), Vector())
    )
    assert found.judgment == "undecided"
    assert found.to_dict()["low"] is None
    assert not found.pose_helps


QUARTERS = Action(cyclic(4), Vector(), Scalar())
CORNERS = torch.tensor([[1.0, 0.0], [3.0, 0.0]], dtype=torch.float64)


@pytest.mark.parametrize(
    ("error", "apart", "symmetry_error", "ratio"),
    [
        # f(v) = v_x: over the quarter turns of (1, 0) it is 1, 0, -1, 0, so 0, 1, 2, 1 from what it was; (3, 0) alike
        (lambda y: (y - 5.0).square()[:, 0], [1.5, 13.5], math.sqrt(7.5), math.sqrt(7.5 / 10)),
        (lambda y: 100 * (y - 5.0).square()[:, 0], [150.0, 1350.0], math.sqrt(750), math.sqrt(7.5 / 10)),
        (lambda y: (y - 5.0).abs()[:, 0], [1.0, 3.0], 2.0, 2.0 / 3),
        (lambda y: 1000 * (y - 5.0).norm(dim=1), [1000.0, 3000.0], 2000.0, 2.0 / 3),
    ],
)
def test_the_symmetry_error_is_in_the_metric_of_the_error_by_hand(error, apart, symmetry_error, ratio) -> None:
    found = symmetry_cost(lambda v: v[:, :1], CORNERS, lambda y, _: error(y), QUARTERS)
    assert found.apart.tolist() == pytest.approx(apart, rel=1e-5)
    assert (found.symmetry_error, found.ratio) == pytest.approx((symmetry_error, ratio), rel=1e-5)
    assert found.to_dict()["symmetry_error"] == pytest.approx(symmetry_error, rel=1e-5)
    (row,) = found.report().rows
    assert row["symmetry error / error"] == pytest.approx(ratio, rel=1e-5)


def test_a_squared_error_of_some_components_counts_those_alone() -> None:
    """f(v) = v, which stands still: over C4, with an output said to be scalars, v_x goes 1, 0, -1, 0 and v_y about."""
    x = torch.tensor([[1.0, 2.0]], dtype=torch.float64)
    action = Action(cyclic(4), Vector(), Scalar())
    found = symmetry_cost(lambda v: v, x, lambda y, _: (y[:, :1] - 5).square().mean(dim=1), action)
    assert found.symmetry_error == pytest.approx(math.sqrt((0 + 9 + 4 + 1) / 4))  # v_x is 1, -2, -1, 2


def test_the_symmetry_error_of_labels_is_how_often_they_change() -> None:
    """Logits (v_x, 1/2): (1, 0) is named 0, 1, 1, 1 over the quarter turns, (0.2, 0) always 1."""
    x = torch.tensor([[1.0, 0.0], [0.2, 0.0]], dtype=torch.float64)
    label = torch.tensor([1, 1])
    found = symmetry_cost(
        lambda v: torch.cat([v[:, :1], torch.full_like(v[:, :1], 0.5)], dim=1),
        x,
        lambda y, _: 100.0 * (y.argmax(dim=1) != label).double(),
        QUARTERS,
    )
    assert found.apart.tolist() == pytest.approx([75.0, 0.0])
    assert (found.symmetry_error, found.ratio) == pytest.approx((37.5, 37.5 / 50))  # one of two is named wrongly
    assert not found.is_squared


@pytest.mark.parametrize(
    "error",
    [
        lambda y: y.pow(4).sum(dim=1),
        lambda y: torch.nn.functional.cross_entropy(y, torch.zeros(len(y)).long(), reduction="none"),
        lambda y: 1 - torch.nn.functional.cosine_similarity(y, torch.ones_like(y), dim=1),
        lambda y: 100.0 * (y.argmax(dim=1) > 1).double(),  # two labels are right
        lambda y: 100.0 * (y[:, :2].argmax(dim=1) != 0).double() + 50.0 * (y[:, 2] > 0).double(),
    ],
)
def test_an_error_that_is_no_metric_has_no_symmetry_error(error) -> None:
    weight = normal(3, 3, seed=5)
    found = symmetry_cost(
        lambda v: v @ weight, normal(12, 3), lambda y, _: error(y), Action(SO(3), Vector(), Scalar()), num_elements=3
    )
    assert math.isnan(found.symmetry_error)
    assert found.to_dict()["symmetry_error"] is None
    assert found.report().rows[0]["symmetry error / error"] is None


def test_the_interval_of_the_ratio_is_that_of_its_spread_over_samples() -> None:
    """Against the spread of the ratio over 100 fresh sets of samples."""
    weight, action = normal(3, 3, seed=1), Action(SO(3), Vector(), Vector())

    def ratio(seed: int):
        x = normal(80, 3, seed=seed)
        target = x + 0.5 * normal(80, 3, seed=1000 + seed)
        errors = {
            "squared": lambda y, _: (y - target).square().sum(dim=1),
            "norm": lambda y, _: (y - target).norm(dim=1),
        }
        return [symmetry_cost(lambda v: v @ weight, x, one, action, num_elements=4) for one in errors.values()]

    found = [ratio(seed) for seed in range(100)]
    for each in zip(*found):
        spread = float(torch.tensor([one.ratio for one in each]).std())
        half = float(torch.tensor([(one.ratio_interval[1] - one.ratio_interval[0]) / 2 for one in each]).mean())
        assert half == pytest.approx(1.96 * spread, rel=0.25)
        assert each[0].ratio == pytest.approx(sum(each[0].ratio_interval) / 2)


def test_an_exact_model_has_no_symmetry_error() -> None:
    x = normal(40, 3)
    found = symmetry_cost(
        lambda v: 2 * v, x, lambda y, _: (y - x).square().sum(dim=1), Action(SO(3), Vector(), Vector())
    )
    assert found.ratio < 1e-12
    still = symmetry_cost(lambda v: 0 * v + 1, x, lambda y, _: (y - x).norm(dim=1), Action(SO(3), Vector(), Scalar()))
    assert (still.symmetry_error, still.ratio) == (0.0, 0.0)  # the same numbers at every element
    assert all(math.isnan(end) for end in still.ratio_interval)
