"""The two levels of a search for sharing: losses of tied weights, and the parameters that minimize one of them."""

import math
from abc import ABC, abstractmethod
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rapidash.learn.sharing._hypergradient import Exact, Solver, hypergradient

Split = Literal["train", "val", "both"]

_ROUNDS, _ITERATIONS, _SLOPE = 3, 300, 1e-5  # the last in units of the loss


class SharingProblem(ABC):
    """K weights, or blocks of weights, which may share parameters, and the losses that say how well they do.

    A subclass gives the loss in float64 as a function of the assignment A (K, M), whose row i says which of M
    parameters weight i uses, and of a vector of parameters, also for rows that are relaxed to probabilities. It does
    not change when columns and their parameters are renamed.

    Args:
        num_weights: K, at least 1.
    """

    def __init__(self, num_weights: int) -> None:
        if num_weights < 1:
            raise ValueError(f"num_weights must be at least 1, got {num_weights}")
        self.num_weights = num_weights

    @abstractmethod
    def start(self, num_params: int, generator: torch.Generator) -> Float[Tensor, " P"]:
        """Parameters to begin with, for M = ``num_params`` columns."""

    @abstractmethod
    def loss(self, assignment: Float[Tensor, "K M"], params: Float[Tensor, " P"], split: Split) -> Float[Tensor, ""]:
        """The loss on the training data, the validation data, or both together."""

    @abstractmethod
    def untied(self, assignment: Int[Tensor, " K"], params: Float[Tensor, " P"]) -> Float[Tensor, " Q"]:
        """The parameters of the same function where weight i uses parameter i."""

    def minimize(
        self, assignment: Float[Tensor, "K M"], start: Float[Tensor, " P"], split: Split
    ) -> Float[Tensor, " P"]:
        """The parameters that minimize the loss of a split: L-BFGS from ``start``, begun again where it gets stuck."""
        assignment, params = assignment.detach(), start.detach().clone().requires_grad_(True)

        def closure() -> float:
            params.grad = None
            value = self.loss(assignment, params, split)
            value.backward()
            return float(value.detach())

        for _ in range(_ROUNDS):
            optimizer = torch.optim.LBFGS(
                [params],
                max_iter=_ITERATIONS,
                history_size=20,
                tolerance_grad=_SLOPE,
                tolerance_change=1e-14,
                line_search_fn="strong_wolfe",
            )
            optimizer.step(closure)
            closure()
            if params.grad is not None and float(params.grad.abs().max()) <= _SLOPE:
                break
        return params.detach()

    def upper_losses(self, assignments: Float[Tensor, "C K M"], generator: torch.Generator) -> Float[Tensor, " C"]:
        """The validation loss of each assignment, with the parameters that the training data give."""
        start = self.start(assignments.shape[-1], generator)
        fits = [self.minimize(one, start, "train") for one in assignments]
        return torch.stack([self.loss(one, fit, "val") for one, fit in zip(assignments, fits)])

    def val_gradients(
        self,
        assignments: Float[Tensor, "C K M"],
        starts: Float[Tensor, "C P"],
        solver: Solver,
        max_gradient_norm: float = math.inf,
    ) -> tuple[Float[Tensor, "C P"], Float[Tensor, "C K M"]]:
        """For each assignment A the minimizer p*(A) of the training loss, and the gradient of val_loss(A, p*(A)) in A.

        Args:
            assignments: A.
            starts: where the minimizations begin.
            solver, max_gradient_norm: of `hypergradient`.
        Raises: as `hypergradient`.
        """
        fits, gradients = [], []
        for assignment, start in zip(assignments.detach(), starts):
            params = self.minimize(assignment, start, "train").requires_grad_(True)
            assignment = assignment.clone().requires_grad_(True)
            val, train = (self.loss(assignment, params, split) for split in ("val", "train"))
            gradients += hypergradient(val, train, [params], [assignment], solver, max_gradient_norm=max_gradient_norm)
            fits.append(params.detach())
        return torch.stack(fits), torch.stack(gradients)

    def gradient_norm(self, assignment: Float[Tensor, "K M"], params: Float[Tensor, " P"], split: Split) -> float:
        """The norm of the gradient of the loss of a split in the parameters: 0 at a minimum."""
        params = params.detach().requires_grad_(True)
        (slope,) = torch.autograd.grad(self.loss(assignment, params, split), [params])
        return float(slope.norm())


class QuadraticProblem(SharingProblem):
    r"""A problem whose loss is :math:`\frac12 p^T H p + s^T p + c` in its parameters, one for each column of A."""

    @abstractmethod
    def quadratic(
        self, assignment: Float[Tensor, "*C K M"], split: Split
    ) -> tuple[Float[Tensor, "*C M M"], Float[Tensor, "*C M"], Float[Tensor, "*C"]]:
        """H, s and c for one assignment or several."""

    def start(self, num_params: int, generator: torch.Generator) -> Float[Tensor, " M"]:
        """Zeros: a minimum is found from anywhere."""
        return torch.zeros(num_params, dtype=torch.float64)

    def untied(self, assignment: Int[Tensor, " K"], params: Float[Tensor, " M"]) -> Float[Tensor, " K"]:
        """The weights."""
        return params[assignment]

    def loss(self, assignment: Float[Tensor, "K M"], params: Float[Tensor, " M"], split: Split) -> Float[Tensor, ""]:
        """The value."""
        hessian, slope, constant = self.quadratic(assignment, split)
        return params @ hessian @ params / 2 + slope @ params + constant

    def minimize(
        self, assignment: Float[Tensor, "*C K M"], start: Float[Tensor, " M"], split: Split
    ) -> Float[Tensor, "*C M"]:
        """The minimizer, 0 in a parameter that no weight uses."""
        hessian, slope, _ = self.quadratic(assignment.detach(), split)
        unused = (hessian.diagonal(dim1=-2, dim2=-1) == 0).to(hessian)
        solution: Tensor = -torch.linalg.solve(hessian + unused.diag_embed(), slope)
        return solution

    def upper_losses(self, assignments: Float[Tensor, "C K M"], generator: torch.Generator) -> Float[Tensor, " C"]:
        """All at once."""
        params = self.minimize(assignments, self.start(assignments.shape[-1], generator), "train")
        return self._losses(assignments, params, "val")

    def val_gradients(
        self,
        assignments: Float[Tensor, "C K M"],
        starts: Float[Tensor, "C M"],
        solver: Solver,
        max_gradient_norm: float = math.inf,
    ) -> tuple[Float[Tensor, "C M"], Float[Tensor, "C K M"]]:
        """With `Exact` through the closed form, all at once; which is the same."""
        if not isinstance(solver, Exact):
            return super().val_gradients(assignments, starts, solver, max_gradient_norm)
        assignments = assignments.detach().requires_grad_(True)
        hessian, slope, _ = self.quadratic(assignments, "train")
        params = -torch.linalg.solve(hessian, slope)
        (gradients,) = torch.autograd.grad(self._losses(assignments, params, "val").sum(), [assignments])
        return params.detach(), gradients

    def _losses(self, assignments: Tensor, params: Tensor, split: Split) -> Float[Tensor, " C"]:
        hessian, slope, constant = self.quadratic(assignments, split)
        return torch.einsum("cm,cmn,cn->c", params, hessian, params) / 2 + (slope * params).sum(dim=1) + constant
