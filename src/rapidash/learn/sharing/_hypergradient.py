"""Gradients through the solution of an inner problem, by implicit differentiation."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from rapidash._plain import check_fields
from rapidash._seed import seeded

Product = Callable[[Tensor], Tensor]  # v -> H v, for vectors (P,)

_POWER_STEPS, _POWER_TOLERANCE = 200, 1e-4


class Solver(ABC):
    """A way to solve H q = b for the Hessian H of an inner problem at its minimum."""

    @abstractmethod
    def solve(self, product: Product, b: Float[Tensor, " P"]) -> Float[Tensor, " P"]:
        """q = H^-1 b.

        Args:
            product: v -> H v.
            b: the right side.
        Raises: ValueError where the solver finds that it cannot: at a point that is no minimum, say.
        """


@dataclass(frozen=True)
class Exact(Solver):
    """Forms H from P products and solves."""

    def solve(self, product: Product, b: Float[Tensor, " P"]) -> Float[Tensor, " P"]:
        """H^-1 b. Raises: ValueError for a singular H."""
        hessian = torch.stack([product(row) for row in torch.eye(len(b), dtype=b.dtype, device=b.device)])
        solution, info = torch.linalg.solve_ex(hessian, b)
        if bool(info) or not bool(solution.isfinite().all()):
            raise ValueError(
                "the Hessian of train_loss is singular: a parameter is not determined by it; add a small ridge to "
                "train_loss, or use ConjugateGradient"
            )
        return solution


@dataclass(frozen=True)
class ConjugateGradient(Solver):
    """Solves by conjugate gradients, with one product a step.

    Args:
        tolerance: of |H q - b| / |b|, in (0, 1).
        max_steps: at least 1.
    Raises: ValueError for values outside the above.
    """

    tolerance: float = 1e-10
    max_steps: int = 1000

    def __post_init__(self) -> None:
        check_fields(self)
        if not 0 < self.tolerance < 1 or self.max_steps < 1:
            raise ValueError(f"tolerance must be in (0, 1) and max_steps at least 1, got {self}")

    def solve(self, product: Product, b: Float[Tensor, " P"]) -> Float[Tensor, " P"]:
        """H^-1 b. Raises: ValueError for a direction without positive curvature, or a residual that stays large."""
        q, residual = torch.zeros_like(b), b.clone()
        direction, square = residual, residual @ residual
        goal = self.tolerance**2 * square
        for _ in range(self.max_steps):
            if square <= goal:
                return q
            image = product(direction)
            curvature = direction @ image
            if curvature <= 0:
                raise ValueError(
                    f"train_loss has curvature {float(curvature / (direction @ direction)):.3g} along a direction that "
                    "val_loss depends on: its parameters are not at a strict minimum; train them further, or add a "
                    "small ridge"
                )
            length = square / curvature
            q, residual = q + length * direction, residual - length * image
            before, square = square, residual @ residual
            direction = residual + (square / before) * direction
        if square <= goal:
            return q
        raise ValueError(
            f"conjugate gradients have a relative residual of {float((square / (b @ b)).sqrt()):.2g} after "
            f"max_steps={self.max_steps}, expected {self.tolerance:g}: raise max_steps or tolerance, or use Exact"
        )


@dataclass(frozen=True)
class Neumann(Solver):
    r"""The series :math:`H^{-1} b \approx \alpha \sum_{j < J} (I - \alpha H)^j b`.

    It converges for a step alpha below 2 / (the largest eigenvalue of H).

    Args:
        num_terms: J, at least 1; a product each.
        step: alpha, above 0; None: 1 / max eig H, by power iteration, which costs more products.
    Raises: ValueError for values outside the above.
    Source: Lorraine, Vicol, Duvenaud, "Optimizing Millions of Hyperparameters by Implicit Differentiation", 2020. The
        code of the sharing paper leaves out the factor alpha, and takes the learning rate for it.
    """

    num_terms: int = 20
    step: float | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        if self.num_terms < 1 or (self.step is not None and not self.step > 0):
            raise ValueError(f"num_terms must be at least 1, and step above 0 or None, got {self}")

    def solve(self, product: Product, b: Float[Tensor, " P"]) -> Float[Tensor, " P"]:
        """The sum. Raises: ValueError for a step at which the series diverges, with the largest one that does not."""
        largest = largest_eigenvalue(product, b)
        if largest < 0:
            raise ValueError(
                f"the Hessian of train_loss has an eigenvalue of {largest:.3g}: its parameters are not at a minimum"
            )
        if self.step is not None and self.step * largest >= 2:
            raise ValueError(
                f"step={self.step:g} makes the Neumann series diverge: the largest eigenvalue of the Hessian is "
                f"{largest:.3g}, so take a step below {2 / largest:.3g} ({1 / largest:.3g} is safe), or None"
            )
        if largest == 0:
            raise ValueError("the Hessian of train_loss is zero: it does not depend on its parameters to second order")
        step = 1 / largest if self.step is None else self.step
        term = total = b
        for _ in range(self.num_terms - 1):
            term = term - step * product(term)
            total = total + term
        return step * total


def largest_eigenvalue(product: Product, like: Float[Tensor, " P"]) -> float:
    """The eigenvalue of largest size of a symmetric matrix, with its sign, by power iteration from a fixed start.

    Args:
        product: v -> H v.
        like: a vector of the size, dtype and device.
    """
    vector = torch.randn(like.shape, generator=seeded("largest eigenvalue"), dtype=torch.float64).to(like)
    vector, value = vector / vector.norm(), 0.0
    for _ in range(_POWER_STEPS):
        image = product(vector)
        before, value = value, float(vector @ image)
        norm = image.norm()
        if norm == 0:
            return 0.0
        vector = image / norm
        if abs(value - before) <= _POWER_TOLERANCE * abs(value):
            break
    return value


def hypergradient(
    val_loss: Float[Tensor, ""],
    train_loss: Float[Tensor, ""],
    params: Sequence[Tensor],
    hyper: Sequence[Tensor],
    solver: Solver | None = None,
    *,
    max_gradient_norm: float = 1e-4,
) -> list[Tensor]:
    r"""The gradient of :math:`L_V(h, p^*(h))` in h, where :math:`p^*(h)` minimizes :math:`L_T(h, p)`.

    By the implicit function theorem it is
    :math:`\partial_h L_V - (\partial_h \partial_p L_T)^T (\partial_p^2 L_T)^{-1} \partial_p L_V`.

    Args:
        val_loss, train_loss: L_V and L_T at h and p* as graphs of both; they are kept.
        params: p*, tensors that require gradients and do not depend on ``hyper``.
        hyper: h.
        solver: of the system with the Hessian; None: `Exact`.
        max_gradient_norm: largest norm of the gradient of L_T in p at which p counts as minimizer; the formula is wrong
            elsewhere.
    Returns: a tensor for each of ``hyper``, of its shape.
    Raises: ValueError for losses that are no scalars, a val_loss that is not finite, no parameters, parameters that are
        no minimum, with the norm of their gradient, and what the solver raises.
    """
    if val_loss.numel() != 1 or train_loss.numel() != 1:
        raise ValueError(f"the losses must be scalars, got {tuple(val_loss.shape)} and {tuple(train_loss.shape)}")
    if not bool(torch.isfinite(val_loss.detach())):
        raise ValueError(f"val_loss must be finite, got {float(val_loss.detach())}")
    params, hyper = list(params), list(hyper)
    if not params:
        raise ValueError("params are empty: there is no lower level to differentiate through, use torch.autograd.grad")
    slope = _flat(_gradient(train_loss, params, create_graph=True))
    norm = float(slope.detach().norm())
    if not norm <= max_gradient_norm:
        raise ValueError(
            f"the lower level has not converged: the gradient of train_loss in its parameters has norm {norm:.3g}, "
            f"expected at most max_gradient_norm={max_gradient_norm:g}; minimize further"
        )
    right = _flat(_gradient(val_loss, params))

    def product(v: Tensor) -> Tensor:
        return _flat(_gradient(slope, params, v)) if slope.requires_grad else torch.zeros_like(v)

    weights = (solver or Exact()).solve(product, right)
    direct = _gradient(val_loss, hyper)
    through = _gradient(slope, hyper, weights) if slope.requires_grad else [torch.zeros_like(h) for h in hyper]
    return [first - second for first, second in zip(direct, through, strict=True)]


def _gradient(
    of: Tensor, inputs: Sequence[Tensor], along: Tensor | None = None, *, create_graph: bool = False
) -> list[Tensor]:
    """The gradient in each input; zero for one that does not matter."""
    if not of.requires_grad:
        return [torch.zeros_like(tensor) for tensor in inputs]
    found = torch.autograd.grad(of, inputs, along, create_graph=create_graph, retain_graph=True, materialize_grads=True)
    return list(found)


def _flat(tensors: Sequence[Tensor]) -> Float[Tensor, " P"]:
    return torch.cat([tensor.flatten() for tensor in tensors])
