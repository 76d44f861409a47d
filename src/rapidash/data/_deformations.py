"""Smooth random deformations of the box [-1, 1]^3, with their Jacobians."""

import math
from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor

from rapidash.data._effects import Deformation, uniform

LATTICE = 5  # control points along an axis
_SOFTENING = 0.5  # of the radial functions, in units of the box


def free_form(displacement: Float[Tensor, "5 5 5 3"]) -> Deformation:
    """Free-form deformation of the box: p + 2 sum_ijk B_i(u) B_j(v) B_k(w) mu_ijk with (u, v, w) = (p + 1) / 2.

    B are the Bernstein polynomials of degree 4; points outside the box stay.
    """

    def deform(x: Tensor) -> tuple[Tensor, Tensor]:
        inside = (x.abs() <= 1).all(dim=1)
        values, slopes = _bernstein((x.clamp(-1, 1) + 1) / 2)
        bases = [values[:, axis] for axis in range(3)]
        shift = 2 * torch.einsum("ni,nj,nk,ijkd->nd", *bases, displacement)
        columns = []
        for axis in range(3):
            parts = [slopes[:, a] if a == axis else values[:, a] for a in range(3)]
            columns.append(torch.einsum("ni,nj,nk,ijkd->nd", *parts, displacement))  # 2 (B) times 1/2 (of u)
        jacobian = torch.eye(3, dtype=x.dtype) + torch.stack(columns, dim=2)
        identity = torch.eye(3, dtype=x.dtype).expand_as(jacobian)
        return torch.where(inside[:, None], x + shift, x), torch.where(inside[:, None, None], jacobian, identity)

    return deform


def radial_interpolant(target: Float[Tensor, "125 3"], *, inverse: bool) -> Deformation:
    """The interpolant that takes the 5^3 control points of the box to ``target``.

    f(x) = sum_k w_k phi(|x - c_k|) + a + B x with phi(r) = sqrt(r^2 + 0.25), or its reciprocal if ``inverse``.
    """
    control = control_points().to(target)
    weights = torch.linalg.solve(_system(inverse).to(target), torch.cat([target, target.new_zeros(4, 3)]))
    radial, offset, linear = weights[: len(control)], weights[len(control)], weights[len(control) + 1 :]

    def deform(x: Tensor) -> tuple[Tensor, Tensor]:
        d = x[:, None] - control
        soft = (d.square().sum(-1) + _SOFTENING**2).sqrt()
        phi, slope = (1 / soft, -(soft**-3)) if inverse else (soft, 1 / soft)  # slope: phi'(r) / r
        moved = phi @ radial + offset + x @ linear
        return moved, torch.einsum("nk,nki,kd->ndi", slope, d, radial) + linear.T

    return deform


@cache
def control_points() -> Float[Tensor, "125 3"]:
    """The regular grid of 5^3 points on [-1, 1]^3, float64."""
    axis = torch.linspace(-1, 1, LATTICE, dtype=torch.float64)
    return torch.cartesian_prod(axis, axis, axis)


def random_directions(num: int, generator: torch.Generator) -> Float[Tensor, "num 3"]:
    """Unit vectors (cos a sin g, sin a sin g, cos g) with a, g from U(-pi, pi): as published, denser at the poles."""
    a, g = uniform(-math.pi, math.pi, 2, num, generator=generator)
    return torch.stack([torch.cos(a) * torch.sin(g), torch.sin(a) * torch.sin(g), torch.cos(g)], dim=1)


@cache
def _system(inverse: bool) -> Float[Tensor, "129 129"]:
    """The matrix of the interpolation conditions, with the four that make the radial part orthogonal to affine maps."""
    control = control_points()
    soft = (torch.cdist(control, control).square() + _SOFTENING**2).sqrt()
    affine = torch.cat([torch.ones(len(control), 1, dtype=torch.float64), control], dim=1)
    top = torch.cat([1 / soft if inverse else soft, affine], dim=1)
    return torch.cat([top, torch.cat([affine.T, torch.zeros(4, 4, dtype=torch.float64)], dim=1)])


def _bernstein(u: Float[Tensor, "N 3"]) -> tuple[Float[Tensor, "N 3 5"], Float[Tensor, "N 3 5"]]:
    """The Bernstein polynomials of degree 4 and their derivatives."""
    degree = LATTICE - 1

    def basis(n: int) -> Tensor:
        return torch.stack([math.comb(n, i) * u**i * (1 - u) ** (n - i) for i in range(n + 1)], dim=-1)

    lower = torch.nn.functional.pad(basis(degree - 1), (1, 1))
    return basis(degree), degree * (lower[..., :-1] - lower[..., 1:])
