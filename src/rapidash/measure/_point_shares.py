"""The points of a cloud that make an output per cloud miss its symmetry: their contributions to the defect."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from rapidash.data import CloudBatch
from rapidash.measure._action import Action, Function
from rapidash.measure._defect import measured_defect
from rapidash.measure._derivative import dual_level, make_dual, tangent_of
from rapidash.measure._guard import measuring
from rapidash.measure._norms import real_rows

_FLOOR = 1e-10  # a defect that is smaller relative to the output is rounding in float64


@dataclass(frozen=True)
class PointShares:
    """Contributions of the points of clouds to the defect of an output per cloud.

    Args:
        share: (N,) of each point, signed, in the unit of the output.
        own: (B,) of what is no point: fields per cloud, and the motion of the output itself; 0 for a scalar output of
            point fields.
        total: (B,) norm of the defect, the sum over the cloud of ``share``, ``own`` and ``error``.
        error: (B,) of the quadrature. Where it is not small against ``total``, take more steps; it stays where the
            model is not smooth.
    """

    share: Float[Tensor, " N"]
    own: Float[Tensor, " B"]
    total: Float[Tensor, " B"]
    error: Float[Tensor, " B"]


def point_shares(
    fn: Function, x: CloudBatch, action: Action, algebra: Float[Tensor, "n n"], *, num_steps: int = 8
) -> PointShares:
    r"""The contribution of each point to the defect of an output per cloud under g = exp(A).

    The defect is the integral of its slope while the cloud moves along :math:`x_t = \rho_{in}(e^{tA}) x`,

    .. math:: \Delta = \int_0^1 \rho_{out}(e^{-tA}) \Big[ \sum_i \frac{\partial f}{\partial x_i} [d\rho_{in}(A) x_{t,i}]
              - d\rho_{out}(A) f(x_t) \Big] dt = \sum_i c_i + r,

    where x_i are the fields of point i. The share of a point is the part of :math:`c_i` along the defect,
    :math:`s_i = \langle c_i, \Delta \rangle / \|\Delta\|`, so that :math:`\sum_i s_i + own = \|\Delta\|`. A point with
    a negative share holds the output in its place. Where the defect is rounding the shares are 0, though the single
    c_i need not be: in an invariant energy they are torques that cancel.

    Args:
        fn: a model of clouds in eval mode, differentiable, with one output tensor per cloud.
        x: clouds, best in float64.
        action: its outputs are used; the output's representation must be orthogonal on exp(tA), as under rotations.
        algebra: A, for instance an angle in radians times a generator of the group.
        num_steps: nodes of the Gauss-Legendre quadrature; each costs an evaluation with gradients.
    Shape: x with N points in B clouds; algebra (n, n) like the elements of the group.
    Raises: ValueError for an output per point, several outputs, no step, or a model in training mode.
    Source: the path integral is that of Sundararajan, Taly, Yan, "Axiomatic Attribution for Deep Networks", ICML 2017.
    """
    fields = action.output_fields
    if len(fields) != 1 or next(iter(fields.values())).level != "cloud":
        raise ValueError(
            f"point_shares splits one output per cloud, got {fields or 'no declared output'}: an output per point "
            "has a defect of its own at every point"
        )
    if num_steps < 1:
        raise ValueError(f"num_steps must be at least 1, got {num_steps}")
    (name,) = fields
    algebra = algebra.to(dtype=torch.float64, device=x.pos.device)
    with measuring(fn):
        with torch.no_grad():
            before = action.call(fn, x)
            change = measured_defect(fn, x, action, torch.linalg.matrix_exp(algebra), before)[name]
        norm, size = (action.norms(name, value, x) for value in (change, before[name]))
        total = torch.where(norm > _FLOOR * size, norm, 0.0)
        share, own = total.new_zeros(len(x.pos)), total.new_zeros(x.num_clouds)
        if bool((total > 0).any()):
            length = torch.where(total > 0, norm, torch.inf)
            along = (change / length.reshape(-1, *[1] * (change.dim() - 1))).to(before[name].dtype)
            for place, weight in zip(*_nodes(num_steps), strict=True):
                of_points, of_cloud = _slope_shares(fn, x, action, algebra, place, along)
                share, own = share + weight * of_points, own + weight * of_cloud
    summed = total.new_zeros(x.num_clouds).index_add(0, x.batch, share) + own
    return PointShares(share, own, total, total - summed)


def _slope_shares(
    fn: Function, x: CloudBatch, action: Action, algebra: Tensor, place: float, along: Float[Tensor, "B ..."]
) -> tuple[Float[Tensor, " N"], Float[Tensor, " B"]]:
    """The share of every point, and of each cloud apart from its points, in the output's slope along a covector."""
    (name,) = action.output_fields
    element = torch.linalg.matrix_exp(place * algebra)
    moved: CloudBatch = action.transform(element, x)
    numbers = {key: value for key, value in moved.tensors.items() if value.is_floating_point() or value.is_complex()}
    leaves = {key: value.detach().requires_grad_() for key, value in numbers.items()}
    output = action.call(fn, replace(moved, tensors={**moved.tensors, **leaves}))[name]
    covector = action.transform_outputs(element, {name: along})[name]
    gradients = torch.autograd.grad(output, list(leaves.values()), covector, allow_unused=True)
    value = output.detach()
    with dual_level():
        zero = torch.zeros((), dtype=torch.float64, device=x.pos.device)
        step = torch.eye(len(algebra)).to(algebra) + make_dual(zero, torch.ones_like(zero)) * algebra
        velocity = {
            key: tangent_of(part) for key, part in action.transform(step, moved).tensors.items() if key in leaves
        }
        turning = tangent_of(action.transform_outputs(step, {name: value})[name])
    own = -_row_products(covector, turning)
    share = own.new_zeros(len(x.pos))
    for key, gradient in zip(leaves, gradients, strict=True):
        if gradient is not None:
            part = _row_products(gradient, velocity[key])
            share, own = (share + part, own) if x.fields[key].level == "point" else (share, own + part)
    return share, own


def _row_products(a: Tensor, b: Tensor) -> Tensor:
    """The product of each row of a with that of b, float64."""
    return (real_rows(a) * real_rows(b)).sum(dim=1)


def _nodes(num_steps: int) -> tuple[list[float], list[float]]:
    """Places and weights of the Gauss-Legendre quadrature on [0, 1]."""
    places, weights = np.polynomial.legendre.leggauss(num_steps)
    return ((places + 1) / 2).tolist(), (weights / 2).tolist()
