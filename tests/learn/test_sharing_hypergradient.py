"""Hypergradients: against finite differences, by three solvers, and what makes them refuse."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from rapidash._seed import seeded
from rapidash.learn.sharing import (
    ConjugateGradient,
    Exact,
    LinearProblem,
    MeansProblem,
    Neumann,
    PositionsProblem,
    SharingProblem,
    Solver,
    hypergradient,
    relaxed_assignment,
    sharing_penalty,
)


def means_problem(num: int = 4) -> MeansProblem:
    rng = seeded("means", num)
    x = torch.arange(num).double() // 2 + torch.randn(20, num, generator=rng, dtype=torch.float64)
    return MeansProblem(x[:8], x[8:])


def linear_problem(size: int = 2) -> LinearProblem:
    rng = seeded("linear", size)
    x = torch.randn(24, size, generator=rng, dtype=torch.float64)
    y = x.roll(1, dims=1) - 2 * x + 0.1 * torch.randn(24, size, generator=rng, dtype=torch.float64)
    return LinearProblem(x[:12], y[:12], x[12:], y[12:], ridge=1e-2)


def positions_problem() -> PositionsProblem:
    rng = seeded("positions")
    x = torch.randint(3, (40, 3), generator=rng)
    y = x.double().sum(dim=1) - 3 + 0.1 * torch.randn(40, generator=rng, dtype=torch.float64)
    return PositionsProblem(x[:20], y[:20], x[20:], y[20:], num_symbols=3, hidden=2, ridge=1e-2)


PROBLEMS = {"means": means_problem, "linear": linear_problem, "positions": positions_problem}


def upper(problem: SharingProblem, logits: Tensor, start: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Upper and lower loss as graphs, and the parameters that minimize the lower one."""
    assignment = relaxed_assignment(logits)
    params = problem.minimize(assignment, start, "train")
    for _ in range(3):  # Newton steps: differences of a minimum that is known to 1e-6 only tell nothing

        def lower(p: Tensor) -> Tensor:
            return problem.loss(assignment.detach(), p, "train")

        step = torch.linalg.solve(torch.func.hessian(lower)(params), torch.func.grad(lower)(params))
        params = params - step
    params = params.requires_grad_(True)
    val = problem.loss(assignment, params, "val") + sharing_penalty(assignment, 1e-2, 1e-2)
    return val, problem.loss(assignment, params, "train"), params


@pytest.mark.parametrize("make", PROBLEMS.values(), ids=PROBLEMS)
def test_hypergradient_is_the_slope_of_the_bilevel_objective(make: Callable[[], SharingProblem]) -> None:
    problem, rng = make(), seeded("slope")
    logits = torch.randn(problem.num_weights, problem.num_weights, generator=rng, dtype=torch.float64)
    start = problem.start(problem.num_weights, rng)
    logits.requires_grad_(True)
    val, train, params = upper(problem, logits, start)
    (found,) = hypergradient(val, train, [params], [logits])
    partial = torch.autograd.grad(val, logits, retain_graph=True)[0]  # without the way through the parameters
    assert (found - partial).norm() > 0.05 * found.norm()
    for _ in range(4):
        direction = torch.randn(logits.shape, generator=rng, dtype=torch.float64)
        ends = [upper(problem, (logits + eps * direction).detach(), params.detach())[0] for eps in (1e-4, -1e-4)]
        slope = float((ends[0] - ends[1]).detach() / 2e-4)
        assert slope == pytest.approx(float((found * direction).sum()), rel=1e-4)


def quadratic() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A lower level with Hessian diag(1, 4) whose minimum is (h, h / 4), and the upper loss p_1 + 8 p_2 + h^2."""
    h = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    p = torch.tensor([3.0, 0.75], dtype=torch.float64, requires_grad=True)
    train = (p[0].square() + 4 * p[1].square()) / 2 - h * p.sum()
    return p[0] + 8 * p[1] + h.square(), train, p, h


@pytest.mark.parametrize("solver", [None, Exact(), ConjugateGradient(), Neumann(400), Neumann(400, 0.2)], ids=str)
def test_hypergradient_by_hand(solver: Solver | None) -> None:
    val, train, p, h = quadratic()
    (found,) = hypergradient(val, train, [p], [h], solver)
    assert float(found) == pytest.approx(1 + 8 / 4 + 2 * 3, abs=1e-9)


@pytest.mark.parametrize("make", PROBLEMS.values(), ids=PROBLEMS)
def test_solvers_agree(make: Callable[[], SharingProblem]) -> None:
    problem, rng = make(), seeded("solvers")
    logits = torch.randn(problem.num_weights, problem.num_weights, generator=rng, dtype=torch.float64)
    logits.requires_grad_(True)
    val, train, params = upper(problem, logits, problem.start(problem.num_weights, rng))
    (exact,) = hypergradient(val, train, [params], [logits], Exact())
    for solver in (ConjugateGradient(), Neumann(3000)):
        (other,) = hypergradient(val, train, [params], [logits], solver)
        torch.testing.assert_close(other, exact, rtol=1e-6, atol=1e-6)


def test_a_series_without_its_factor_is_not_the_solution() -> None:
    matrix, b = torch.diag(torch.tensor([1.0, 4.0], dtype=torch.float64)), torch.ones(2, dtype=torch.float64)
    exact = Exact().solve(matrix.matmul, b)
    assert exact.tolist() == [1, 0.25]
    step = 0.1
    found = Neumann(400, step).solve(matrix.matmul, b)
    torch.testing.assert_close(found, exact, rtol=1e-6, atol=1e-6)
    terms = [torch.linalg.matrix_power(torch.eye(2).double() - step * matrix, power) @ b for power in range(400)]
    without = torch.stack(terms).sum(dim=0)
    torch.testing.assert_close(without, exact / step)  # 1 / alpha times too large
    with pytest.raises(AssertionError):
        torch.testing.assert_close(without, exact, rtol=1e-6, atol=1e-6)


def test_few_terms_are_a_truncated_series() -> None:
    matrix, b = torch.diag(torch.tensor([1.0, 4.0], dtype=torch.float64)), torch.ones(2, dtype=torch.float64)
    assert Neumann(2, 0.1).solve(matrix.matmul, b).tolist() == pytest.approx([0.1 * (1 + 0.9), 0.1 * (1 + 0.6)])


def test_a_step_at_which_the_series_diverges_is_refused() -> None:
    val, train, p, h = quadratic()
    with pytest.raises(ValueError, match=r"largest eigenvalue of the Hessian is 4, so take a step below 0.5 \(0.25 is"):
        hypergradient(val, train, [p], [h], Neumann(20, 0.6))
    hypergradient(val, train, [p], [h], Neumann(20, 0.49))


def test_a_lower_level_that_has_not_converged_is_told_with_its_gradient() -> None:
    h = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    p = torch.tensor([2.0], dtype=torch.float64, requires_grad=True)
    train = (p - h).square().sum() / 2
    with pytest.raises(ValueError, match=r"not converged: the gradient of train_loss in its parameters has norm 1,"):
        hypergradient(p.sum(), train, [p], [h])
    assert float(hypergradient(p.sum(), train, [p], [h], max_gradient_norm=math.inf)[0]) == 1
    with pytest.raises(ValueError, match="norm nan"):
        hypergradient(p.sum(), train * math.nan, [p], [h])


def test_a_saddle_and_a_parameter_without_effect_are_refused() -> None:
    h = torch.zeros((), dtype=torch.float64, requires_grad=True)
    p = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    saddle = p[0].square() - 2 * p[1].square() + h * p[0]
    with pytest.raises(ValueError, match="curvature -"):
        hypergradient(p.sum(), saddle, [p], [h], ConjugateGradient())
    with pytest.raises(ValueError, match="eigenvalue of -4: its parameters are not at a minimum"):
        hypergradient(p.sum(), saddle, [p], [h], Neumann())
    with pytest.raises(ValueError, match="singular: a parameter is not determined"):
        hypergradient(p.sum(), p[0].square(), [p], [h], Exact())
    with pytest.raises(ValueError, match="is zero: it does not depend on its parameters to second order"):
        hypergradient(p.sum(), 0 * p.sum(), [p], [h], Neumann())


def test_gradients_that_do_not_converge_are_refused() -> None:
    matrix = torch.diag(torch.tensor([1.0, 2, 3, 4], dtype=torch.float64))
    b = torch.ones(4, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"relative residual of 0.\d+ after max_steps=2"):
        ConjugateGradient(max_steps=2).solve(matrix.matmul, b)
    torch.testing.assert_close(ConjugateGradient(max_steps=4).solve(matrix.matmul, b), 1 / matrix.diagonal())


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ConjugateGradient(tolerance=0.0), "tolerance must be in"),
        (lambda: ConjugateGradient(max_steps=0), "max_steps at least 1"),
        (lambda: Neumann(0), "num_terms must be at least 1"),
        (lambda: Neumann(5, -0.1), "step above 0 or None"),
    ],
)
def test_bad_settings(make: Callable[[], Solver], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


def test_losses_must_be_scalars() -> None:
    _, train, p, h = quadratic()
    with pytest.raises(ValueError, match=r"must be scalars, got \(2,\) and \(\)"):
        hypergradient(p, train, [p], [h])
