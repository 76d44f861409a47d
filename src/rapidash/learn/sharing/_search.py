"""The search for a sharing of parameters: all partitions, or a relaxed assignment by gradients."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rapidash._plain import check_fields
from rapidash.learn.sharing._hypergradient import Exact, Solver
from rapidash.learn.sharing._partitions import canonical_assignment, partition_distance, set_partitions
from rapidash.learn.sharing._problem import SharingProblem
from rapidash.learn.sharing._relaxed_assignment import hard_assignment, relaxed_assignment, sharing_penalty

_AT_ONCE = 4096  # partitions
_GAIN = 1e-9  # least of a move, above rounding


@dataclass(frozen=True, eq=False)
class SharingResult:
    """A sharing that was found, and its parameters.

    Args:
        assignment: the parameter of each weight, numbered by first occurrence.
        params: fitted to training and validation data together.
        val_loss: of the parameters that the training data give.
        penalty: weight times the sum of the square roots of the clusters' sizes.
        gradient_norm: of the training loss at those parameters; where it is not small they are not fitted.
        candidates: the upper loss of every partition, or of every start after it was made hard.
    """

    assignment: Int[Tensor, " K"]
    params: Float[Tensor, " P"]
    val_loss: float
    penalty: float
    gradient_norm: float
    candidates: tuple[float, ...]

    @property
    def upper_loss(self) -> float:
        """Validation loss and penalty."""
        return self.val_loss + self.penalty

    def distance(self, truth: Int[Tensor, "*S"]) -> int:
        """`partition_distance` to another sharing of the same weights."""
        return partition_distance(self.assignment, truth.flatten())


class Search(ABC):
    """A way to look for the assignment of least validation loss plus penalty."""

    weight: float
    refine: bool = False

    @abstractmethod
    def candidates(self, problem: SharingProblem, generator: torch.Generator) -> Int[Tensor, "C K"]:
        """Assignments among which that of least upper loss is found."""


@dataclass(frozen=True)
class ExactSearch(Search):
    """Tries every partition of the weights, of which there may be at most 10.

    Args:
        weight: of the penalty on clusters, at least 0.
    Raises: ValueError for a negative weight.
    """

    weight: float = 1e-2

    def __post_init__(self) -> None:
        check_fields(self)
        _check_at_least_0(weight=self.weight)

    def candidates(self, problem: SharingProblem, generator: torch.Generator) -> Int[Tensor, "C K"]:
        """All. Raises: ValueError for more than 10 weights, with the number of partitions."""
        return set_partitions(problem.num_weights)


@dataclass(frozen=True)
class RelaxedSearch(Search):
    r"""Follows the gradient of an assignment whose rows are probabilities, A = softmax(S), from several starts.

    A step minimizes the training loss for the assignment of the moment, and takes the gradient of validation loss and
    penalty through that minimum (Adam on S). In the end each row takes its largest entry.

    Args:
        weight, entropy_weight: of the penalty, see `sharing_penalty`, at least 0.
        steps: of each start, at least 1.
        learning_rate: of S, above 0.
        restarts: starts, S normal of deviation 0.1, at least 1.
        num_params: M, columns of A; None: K.
        solver: of the hypergradient.
        max_gradient_norm: of the training loss at which its parameters count as a minimum.
        refine: whether the best start is improved as long as a move of one weight, to another cluster or out of its
            own, lowers the upper loss. The paper has no such step.
    Raises: ValueError for values outside the above.
    Source: Yeh et al., "Equivariance Discovery by Learned Parameter-Sharing", AISTATS 2022.
    """

    weight: float = 1e-2
    entropy_weight: float = 1e-2
    steps: int = 300
    learning_rate: float = 0.1
    restarts: int = 3
    num_params: int | None = None
    solver: Solver = field(default_factory=Exact)
    max_gradient_norm: float = 1e-3
    refine: bool = False

    def __post_init__(self) -> None:
        check_fields(self)
        _check_at_least_0(weight=self.weight, entropy_weight=self.entropy_weight)
        if min(self.steps, self.restarts, self.num_params or 1) < 1 or not 0 < self.learning_rate < math.inf:
            raise ValueError(
                f"steps, restarts and num_params must be at least 1, learning_rate above 0 and finite, got {self}"
            )

    def candidates(self, problem: SharingProblem, generator: torch.Generator) -> Int[Tensor, "C K"]:
        """The largest entries of the rows at the end of every start."""
        return self.descend(problem, generator).argmax(dim=-1)

    def descend(self, problem: SharingProblem, generator: torch.Generator) -> Float[Tensor, "C K M"]:
        """The relaxed assignment at the end of every start.

        Raises: as `hypergradient`.
        """
        size = self.restarts, problem.num_weights, self.num_params or problem.num_weights
        logits = (0.1 * torch.randn(size, generator=generator, dtype=torch.float64)).requires_grad_(True)
        params = torch.stack([problem.start(size[2], generator) for _ in range(self.restarts)])
        optimizer = torch.optim.Adam([logits], lr=self.learning_rate)
        for _ in range(self.steps):
            assignments = relaxed_assignment(logits)
            params, slopes = problem.val_gradients(assignments, params, self.solver, self.max_gradient_norm)
            penalties = sharing_penalty(assignments, self.weight, self.entropy_weight)
            optimizer.zero_grad()
            ((slopes * assignments).sum() + penalties.sum()).backward()
            optimizer.step()
        return relaxed_assignment(logits.detach())


def discover_sharing(
    problem: SharingProblem, search: Search | None = None, *, generator: torch.Generator
) -> SharingResult:
    """The sharing of least validation loss and penalty, with parameters fitted to all data.

    Args:
        problem: weights and their losses.
        search: None: `RelaxedSearch`.
        generator: of its starts.
    Raises: ValueError for too many weights for an exact search, or a lower level that does not converge.
    """
    search = search or RelaxedSearch()
    found = torch.stack([canonical_assignment(row) for row in search.candidates(problem, generator)])
    upper = torch.cat([_upper_losses(problem, rows, search.weight, generator) for rows in found.split(_AT_ONCE)])
    if not bool(upper.isfinite().any()):
        raise ValueError("no candidate has a finite validation loss: look at the data and the scale of the problem")
    best = found[int(upper.nan_to_num(math.inf).argmin())]
    if search.refine:
        best = _refined(problem, best, search.weight, generator)
    return fit_sharing(problem, best, search.weight, generator=generator, candidates=tuple(upper.tolist()))


def fit_sharing(
    problem: SharingProblem,
    assignment: Int[Tensor, "*S"],
    weight: float = 0.0,
    *,
    generator: torch.Generator,
    candidates: tuple[float, ...] = (),
) -> SharingResult:
    """A given sharing with its parameters: fitted to the training data for the losses, then to all data.

    Args:
        problem: weights and their losses.
        assignment: the parameter of each weight, e.g. of `rapidash.symmetry.orbit_assignment`.
        weight: of the penalty.
        generator: of the parameters that the fit begins with.
        candidates: upper losses of those among which it was found.
    Raises: ValueError for another number of weights.
    """
    if assignment.numel() != problem.num_weights:
        raise ValueError(f"assignment needs {problem.num_weights} numbers, one a weight, got {tuple(assignment.shape)}")
    assignment = canonical_assignment(assignment.flatten())
    hard = hard_assignment(assignment)
    params = problem.minimize(hard, problem.start(hard.shape[1], generator), "train")
    return SharingResult(
        assignment,
        problem.minimize(hard, params, "both"),
        float(problem.loss(hard, params, "val")),
        float(sharing_penalty(hard, weight)),
        problem.gradient_norm(hard, params, "train"),
        candidates,
    )


def _upper_losses(
    problem: SharingProblem, rows: Int[Tensor, "C K"], weight: float, generator: torch.Generator
) -> Float[Tensor, " C"]:
    """Validation loss and penalty of each assignment."""
    hard = hard_assignment(rows, problem.num_weights)
    return problem.upper_losses(hard, generator) + weight * hard.sum(dim=1).sqrt().sum(dim=1)


def _refined(
    problem: SharingProblem, assignment: Int[Tensor, " K"], weight: float, generator: torch.Generator
) -> Int[Tensor, " K"]:
    """The end of a descent by moves of one weight: no single one lowers the upper loss further."""
    while True:
        rows = [assignment]
        for place in range(len(assignment)):
            for cluster in range(min(int(assignment.max()) + 2, len(assignment))):
                moved = assignment.clone()
                moved[place] = cluster
                rows.append(canonical_assignment(moved))
        tried = torch.cat([assignment[None], torch.stack(rows).unique(dim=0)])
        upper = _upper_losses(problem, tried, weight, generator)
        best = int(upper.nan_to_num(math.inf).argmin())
        if not upper[best] < upper[0] - _GAIN:
            return assignment
        assignment = tried[best]


def _check_at_least_0(**values: float) -> None:
    for name, value in values.items():
        if not 0 <= value < math.inf:
            raise ValueError(f"{name} must be at least 0 and finite, got {value}")
