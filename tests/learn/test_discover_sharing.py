"""The search finds planted sharing, and nothing where there is none."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from rapidash._seed import seeded
from rapidash.learn.sharing import (
    ConjugateGradient,
    Exact,
    ExactSearch,
    LinearProblem,
    MeansProblem,
    Neumann,
    PositionsProblem,
    RelaxedSearch,
    discover_sharing,
    fit_sharing,
    set_partitions,
)
from rapidash.symmetry import orbit_assignment

NUM_SAMPLES, NUM_TRAIN = 100, 30


def means_trial(num: int, clusters: int, trial: int) -> tuple[MeansProblem, Tensor, Tensor]:
    """A problem, the sharing that is in it, and the true means."""
    rng = seeded("trial", num, clusters, trial)
    truth = (torch.arange(num) % clusters)[torch.randperm(num, generator=rng)]
    x = 3.0 * truth + torch.randn(NUM_SAMPLES, num, generator=rng, dtype=torch.float64)
    return MeansProblem(x[:NUM_TRAIN], x[NUM_TRAIN:]), truth, 3.0 * truth.double()


def ring_trial(size: int, trial: int = 0) -> tuple[LinearProblem, Tensor]:
    """A circular convolution with noise, and the sharing of its weights."""
    rng = seeded("ring", size, trial)
    turns = torch.stack([(torch.arange(size) + step) % size for step in range(size)])
    oracle = orbit_assignment(turns, turns)
    weight = (torch.arange(size).double() - 0.5 * (size - 1))[torch.randperm(size, generator=rng)][oracle]
    x = torch.randn(100, size, generator=rng, dtype=torch.float64)
    y = x @ weight.T + 0.5 * torch.randn(100, size, generator=rng, dtype=torch.float64)
    return LinearProblem(x[:50], y[:50], x[50:], y[50:]), oracle


def recovered(clusters: int, weight: float, trials: int = 60) -> float:
    """The share of trials with 5 means whose partition an exact search finds."""
    search, count = ExactSearch(weight), 0
    for trial in range(trials):
        problem, truth, _ = means_trial(5, clusters, trial)
        count += discover_sharing(problem, search, generator=seeded(trial)).distance(truth) == 0
    return count / trials


def test_the_penalty_recovers_one_cluster_and_validation_alone_does_not() -> None:
    assert recovered(1, 1e-2) >= 0.7
    assert recovered(1, 0.0) <= 0.3


def test_nothing_is_shared_where_nothing_is_to_share() -> None:
    assert recovered(5, 1e-2, trials=20) == 1


def test_the_error_lies_between_that_of_the_oracle_and_that_of_no_sharing() -> None:
    errors = {"none": 0.0, "oracle": 0.0, "found": 0.0}
    trials = 60
    for trial in range(trials):
        problem, truth, means = means_trial(5, 1, trial)
        fits = {
            "none": fit_sharing(problem, torch.arange(5), generator=seeded(0)),
            "oracle": fit_sharing(problem, truth, generator=seeded(0)),
            "found": discover_sharing(problem, ExactSearch(), generator=seeded(0)),
        }
        for name, fit in fits.items():
            errors[name] += float((fit.params[fit.assignment] - means).square().sum()) / trials
    assert errors["oracle"] < errors["found"] < errors["none"]
    assert errors["none"] == pytest.approx(5 / NUM_SAMPLES, rel=0.3)  # K / N
    assert errors["oracle"] == pytest.approx(1 / NUM_SAMPLES, rel=0.4)  # r / N


def test_exact_search_of_two_means_by_hand() -> None:
    train, val = torch.tensor([[0.0, 1.0]]), torch.tensor([[0.0, 2.0]])
    problem = MeansProblem(train, val)
    # one parameter is 1/2 and misses (0, 2) by (1/2, 3/2): 5/4; two miss by (0, 1): 1/2
    shared, apart = 1.25 + 0.1 * math.sqrt(2), 0.5 + 0.1 * 2
    found = discover_sharing(problem, ExactSearch(0.1), generator=seeded(0))
    assert found.candidates == pytest.approx([shared, apart])
    assert found.assignment.tolist() == [0, 1]
    assert (found.val_loss, found.penalty, found.upper_loss) == pytest.approx((0.5, 0.2, apart))
    assert found.params.tolist() == pytest.approx([0, 1.5])  # of both samples
    assert found.gradient_norm < 1e-12
    heavy = discover_sharing(problem, ExactSearch(2.0), generator=seeded(0))
    assert heavy.assignment.tolist() == [0, 0]
    assert heavy.params.tolist() == pytest.approx([0.75])


@pytest.mark.parametrize("make", [lambda: means_trial(4, 2, 0)[0], lambda: ring_trial(2)[0]], ids=["means", "ring"])
def test_exact_search_tries_what_one_fit_gives(make: Callable[[], MeansProblem | LinearProblem]) -> None:
    problem = make()
    found = discover_sharing(problem, ExactSearch(0.03), generator=seeded(0))
    one_by_one = [fit_sharing(problem, row, 0.03, generator=seeded(0)).upper_loss for row in set_partitions(4)]
    assert found.candidates == pytest.approx(one_by_one)
    assert found.upper_loss == pytest.approx(min(one_by_one))


def test_relaxed_search_finds_what_the_exact_one_finds() -> None:
    same = 0
    for trial in range(5):
        problem, _, _ = means_trial(5, 1 + trial % 3, trial)
        exact = discover_sharing(problem, ExactSearch(), generator=seeded(trial))
        relaxed = discover_sharing(problem, RelaxedSearch(steps=150), generator=seeded(trial))
        assert len(relaxed.candidates) == 3
        same += relaxed.distance(exact.assignment) == 0
    assert same >= 4


def test_shift_sharing_is_found_exactly_and_relaxed() -> None:
    problem, oracle = ring_trial(3)
    assert discover_sharing(problem, ExactSearch(), generator=seeded(0)).distance(oracle) == 0
    problem, oracle = ring_trial(4)  # of 16 weights no exact search is possible
    assert discover_sharing(problem, RelaxedSearch(), generator=seeded(0)).distance(oracle) == 0


class MapOfMeans(LinearProblem):
    """Trained with the map of mean weights, and not with the mean over drawn sharings."""

    def quadratic(self, assignment: Tensor, split: str) -> tuple[Tensor, Tensor, Tensor]:
        if split == "val":
            return super().quadratic(assignment, split)
        kept, self.moments["val"] = self.moments["val"], self.moments[split]
        hessian, slope, constant = super().quadratic(assignment, "val")  # A psi for the weights
        self.moments["val"] = kept
        return hessian + 2 * self.ridge * torch.eye(hessian.shape[-1], dtype=hessian.dtype), slope, constant


def test_a_search_that_trains_the_map_of_mean_weights_ends_elsewhere() -> None:
    problem, oracle = ring_trial(3)
    problem.__class__ = MapOfMeans
    exact = discover_sharing(problem, ExactSearch(), generator=seeded(0))
    relaxed = discover_sharing(problem, RelaxedSearch(steps=100), generator=seeded(0))
    assert exact.distance(oracle) == 0
    assert relaxed.distance(oracle) > 0


def test_a_map_without_sharing_gets_none() -> None:
    rng = seeded("free")
    weight = torch.tensor([[0.0, 1.0], [2.0, 3.0]], dtype=torch.float64)
    x = torch.randn(80, 2, generator=rng, dtype=torch.float64)
    y = x @ weight.T + 0.1 * torch.randn(80, 2, generator=rng, dtype=torch.float64)
    problem = LinearProblem(x[:40], y[:40], x[40:], y[40:])
    for search in (ExactSearch(), RelaxedSearch()):
        found = discover_sharing(problem, search, generator=seeded(0))
        assert found.assignment.tolist() == [0, 1, 2, 3]
        torch.testing.assert_close(found.params, weight.flatten(), rtol=0, atol=0.05)


def test_loss_of_a_linear_map_is_the_mean_over_drawn_sharings() -> None:
    problem, _ = ring_trial(2)
    rng = seeded("draws")
    rows = torch.rand(4, 2, generator=rng, dtype=torch.float64)
    rows = rows / rows.sum(dim=1, keepdim=True)
    params = torch.tensor([0.3, -1.1], dtype=torch.float64)
    mean = 0.0
    for number in range(16):  # all draws of one of two parameters for each of four weights
        chosen = torch.tensor([(number >> bit) & 1 for bit in range(4)])
        chance = float(rows[torch.arange(4), chosen].prod())
        mean += chance * float(problem.loss(torch.nn.functional.one_hot(chosen, 2).double(), params, "train"))
    assert float(problem.loss(rows, params, "train")) == pytest.approx(mean)
    mixed = float(problem.loss(rows, params, "val"))  # of the mean map instead
    weight = (rows @ params).reshape(2, 2)
    xx, yx, yy = problem.moments["val"]
    assert mixed == pytest.approx(float(yy - 2 * (weight * yx).sum() + (weight.T @ weight * xx).sum()) / 2)


@pytest.mark.parametrize("make", [lambda: means_trial(4, 2, 0)[0], lambda: ring_trial(2)[0]], ids=["means", "ring"])
def test_closed_form_gradients_are_those_of_the_solvers(make: Callable[[], MeansProblem | LinearProblem]) -> None:
    problem, rng = make(), seeded("rows")
    rows = torch.rand(2, 4, 4, generator=rng, dtype=torch.float64).softmax(dim=-1)
    starts = torch.zeros(2, 4, dtype=torch.float64)
    params, closed = problem.val_gradients(rows, starts, Exact())
    for solver in (ConjugateGradient(), Neumann(5000)):
        again, other = problem.val_gradients(rows, starts, solver)
        torch.testing.assert_close(again, params)
        torch.testing.assert_close(other, closed, rtol=1e-6, atol=1e-8)


def test_bad_problems_and_searches_are_refused() -> None:
    with pytest.raises(ValueError, match=r"samples of the same K, got \(3, 2\), \(3, 4\)"):
        MeansProblem(torch.zeros(3, 2), torch.zeros(3, 4))
    with pytest.raises(ValueError, match=r"x_val and y_val need a row for each of the same samples"):
        LinearProblem(torch.zeros(3, 2), torch.zeros(3, 2), torch.zeros(3, 2), torch.zeros(4, 2))
    with pytest.raises(ValueError, match="the same columns"):
        LinearProblem(torch.zeros(3, 2), torch.zeros(3, 2), torch.zeros(3, 1), torch.zeros(3, 2))
    with pytest.raises(ValueError, match="ridge must be above 0"):
        LinearProblem(*[torch.zeros(3, 2)] * 4, ridge=0.0)
    symbols = torch.zeros(3, 2, dtype=torch.long)
    with pytest.raises(ValueError, match="symbols must be from 0 to num_symbols - 1 = 4"):
        PositionsProblem(symbols + 5, torch.zeros(3), symbols, torch.zeros(3), num_symbols=5)
    with pytest.raises(ValueError, match="got 20, of 20 elements there are 51,724,158,235,372 partitions"):
        discover_sharing(MeansProblem(*[torch.zeros(3, 20)] * 2), ExactSearch(), generator=seeded(0))
    with pytest.raises(ValueError, match=r"assignment needs 2 numbers, one a weight, got \(3,\)"):
        fit_sharing(MeansProblem(*[torch.zeros(3, 2)] * 2), torch.arange(3), generator=seeded(0))
    endless = MeansProblem(torch.zeros(3, 2), torch.full((3, 2), math.inf))
    with pytest.raises(ValueError, match="no candidate has a finite validation loss"):
        discover_sharing(endless, ExactSearch(), generator=seeded(0))
    with pytest.raises(ValueError, match="steps, restarts and num_params must be at least 1"):
        RelaxedSearch(restarts=0)
