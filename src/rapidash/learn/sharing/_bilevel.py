"""The objective of two levels: a sharing by its validation loss, parameters by training, in a single step."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import torch
from torch import Tensor, nn

from rapidash._names import unknown_name
from rapidash._plain import check_fields
from rapidash._seed import seeded
from rapidash.data import Batch, Dataset
from rapidash.learn.sharing._problem import SharingProblem
from rapidash.learn.sharing._search import (
    ExactSearch,
    RelaxedSearch,
    Search,
    SharingResult,
    discover_sharing,
    fit_sharing,
)
from rapidash.learn.sharing._task import PlantedSharingTask, SharedWeights
from rapidash.methods import Control, Objective, OrbitAverage, ParamGroup, Score, Step, evaluate

if TYPE_CHECKING:
    from rapidash.methods import Task

SearchName = Literal["none", "given", "exact", "relaxed"]


@dataclass(frozen=True)
class Bilevel(Objective):
    r"""Finds the sharing and the parameters of each trial, :math:`\min_A L_V(A, \psi^*(A)) + \lambda \sum_c |A_c|`.

    A step solves all trials, whatever the batch; more steps than one solve them again, with other samples. Training and
    validation samples of trial t in step s are drawn from the seed, s and t alone, so that searches are compared on the
    same ones.

    Args:
        search: ``"none"``: every weight is a parameter; ``"given"``: the sharing that was planted (an oracle);
            ``"exact"``, ``"relaxed"``: as `ExactSearch`, `RelaxedSearch`.
        weight: lambda of a search.
        entropy_weight, steps, learning_rate, restarts, refine: of a relaxed search.
        max_gradient_norm: on its way; looser than that of `RelaxedSearch`, since fits of the networks of sums stop
            early now and then. The fits that are reported have a gradient norm of their own.
    Raises: ValueError for another search, or a value that it does not take.
    Source: Yeh et al., "Equivariance Discovery by Learned Parameter-Sharing", AISTATS 2022.
    """

    search: SearchName = "exact"
    weight: float = 1e-2
    entropy_weight: float = 1e-2
    steps: int = 100
    learning_rate: float = 0.2
    restarts: int = 3
    refine: bool = False
    max_gradient_norm: float = 0.05

    def __post_init__(self) -> None:
        check_fields(self)
        if self.search not in get_args(SearchName):
            raise ValueError(unknown_name("search", self.search, get_args(SearchName)))
        self._made()

    def modify(self, model: nn.Module, task: "Task") -> nn.Module:
        """The model itself. Raises: ValueError for a task without shared weights."""
        if not isinstance(task, PlantedSharingTask):
            raise ValueError(f"bilevel ties weights: use the task 'planted-sharing', not {task.name!r}")
        return model

    def control(self, model: nn.Module, total_steps: int) -> "FittedParameters":
        """No optimizer moves what the search has fitted."""
        return FittedParameters(model)

    def step(self, model: nn.Module, task: "Task", batch: Batch, rng: torch.Generator) -> Step:
        """Solves every trial; the loss is the mean validation loss, with a gradient of zero."""
        assert isinstance(task, PlantedSharingTask)
        shared = _shared(model)
        losses: list[Tensor] = []
        for trial, planted in enumerate(shared.planted):
            draws = seeded("trial", rng.initial_seed(), trial)
            problem = task.problem.problem(planted, draws)
            found = self._solve(problem, planted.assignment, draws)
            untied = problem.untied(found.assignment, found.params)
            with torch.no_grad():
                shared.params[trial].copy_(untied)
                shared.assignment[trial].copy_(found.assignment)
                shared.gradient_norm[trial].fill_(found.gradient_norm)
            losses.append(torch.as_tensor(found.val_loss))
        return Step(torch.stack(losses).mean() + 0 * shared.params.sum())

    def score(
        self,
        model: nn.Module,
        task: "Task",
        data: Dataset,
        *,
        train: Dataset,
        batch_size: int,
        seed: int = 0,
        average: OrbitAverage | None = None,
    ) -> Score:
        """The task's error."""
        found = evaluate(model, task, data, batch_size=batch_size, seed=seed, average=average)
        return Score(found.mean, found.details)

    def _solve(self, problem: SharingProblem, planted: Tensor, rng: torch.Generator) -> SharingResult:
        search = self._made()
        if search is not None:
            return discover_sharing(problem, search, generator=rng)
        return fit_sharing(problem, planted if self.search == "given" else torch.arange(len(planted)), generator=rng)

    def _made(self) -> Search | None:
        if self.search == "exact":
            return ExactSearch(self.weight)
        if self.search == "relaxed":
            return RelaxedSearch(
                self.weight,
                self.entropy_weight,
                steps=self.steps,
                learning_rate=self.learning_rate,
                restarts=self.restarts,
                refine=self.refine,
                max_gradient_norm=self.max_gradient_norm,
            )
        return None


class FittedParameters(Control):
    """Keeps the parameters of `SharedWeights` from the optimizer of the run and from averages over steps."""

    def __init__(self, model: nn.Module) -> None:
        self.params = _shared(model).params

    def param_groups(self) -> Sequence[ParamGroup]:
        """A learning rate of zero."""
        return (ParamGroup([self.params], lr=0.0, optimizer="sgd", is_averaged=False),)


def _shared(model: nn.Module) -> SharedWeights:
    return next(part for part in model.modules() if isinstance(part, SharedWeights))
