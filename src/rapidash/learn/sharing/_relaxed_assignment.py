"""Assignments of weights to free parameters as matrices: relaxed, hardened, and the penalty on their columns."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor


def relaxed_assignment(logits: Float[Tensor, "K M"]) -> Float[Tensor, "K M"]:
    """Rows of probabilities: row i says how much weight i uses each of M parameters."""
    return logits.softmax(dim=-1)


def hard_assignment(assignment: Int[Tensor, "*B K"], num_params: int | None = None) -> Float[Tensor, "*B K M"]:
    """The matrix in float64 with a single 1 in row i, at the parameter that weight i uses."""
    num = int(assignment.max()) + 1 if num_params is None else num_params
    return torch.nn.functional.one_hot(assignment, num).double()


def harden(relaxed: Float[Tensor, "K M"]) -> Float[Tensor, "K M"]:
    """A single 1 in each row, at its largest entry; the gradient passes straight through."""
    hard = torch.zeros_like(relaxed).scatter(-1, relaxed.argmax(dim=-1, keepdim=True), 1.0)
    return hard + relaxed - relaxed.detach()


def sharing_penalty(
    assignment: Float[Tensor, "*C K M"], weight: float, entropy_weight: float = 0.0
) -> Float[Tensor, "*C"]:
    r"""The penalty :math:`\lambda \sum_c ||A_{:c}||_2 + \lambda_H \frac{1}{K} \sum_i H(A_{i:})`, entropy in nats.

    The first term prefers few and large clusters: of a hard assignment it is the sum of the square roots of their
    sizes, which is the nuclear norm of A. The second pushes the rows to a single 1.

    Args:
        assignment: A, rows of probabilities; or several.
        weight, entropy_weight: lambda and lambda_H, at least 0.
    Raises: ValueError for a weight that is negative or not finite.
    """
    if not (0 <= weight < math.inf and 0 <= entropy_weight < math.inf):
        raise ValueError(f"weight and entropy_weight must be at least 0 and finite, got {weight} and {entropy_weight}")
    squares = assignment.square().sum(dim=-2)
    is_used = squares > 0
    sizes = (squares.where(is_used, torch.ones_like(squares))).sqrt() * is_used  # no infinite slope at an unused one
    entropy = torch.special.entr(assignment.clamp(min=torch.finfo(assignment.dtype).tiny)).sum(dim=-1).mean(dim=-1)
    return weight * sizes.sum(dim=-1) + entropy_weight * entropy
