"""The distance of a linear map from one that commutes with a group: by its elements, its generators, or its weights."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from rapidash.groups import Representation

LinearMap = Callable[[Tensor], Tensor]


def finite_defect(
    linear: LinearMap,
    x: Float[Tensor, "N ..."],
    elements: Float[Tensor, "*N n n"],
    inputs: Representation,
    outputs: Representation,
) -> Float[Tensor, "N ..."]:
    """W rho_in(g) x - rho_out(g) W x, with one element for each row of x, or one for all."""
    g = elements.to(x.device)
    return linear(inputs.act(g, x)) - outputs.act(g, linear(x))


def lie_defect(
    linear: LinearMap,
    x: Float[Tensor, "N ..."],
    generators: Float[Tensor, "A n n"],
    inputs: Representation,
    outputs: Representation,
) -> Float[Tensor, "A N ..."]:
    """The derivative of `finite_defect` in the element: W drho_in(A) x - drho_out(A) W x for every generator A.

    Args:
        linear: W.
        x: a row per sample.
        generators: of the group.
        inputs, outputs: representations, differentiable in the element.
    Raises: ValueError for no generator: a finite group has no derivative.
    """
    if not len(generators):
        raise ValueError("a group without generators has no Lie derivative: use elements, finite_defect")
    identity = torch.eye(generators.shape[-1]).to(x)
    out = linear(x)
    rows = []
    for generator in generators.to(x):
        moved = _derivative(inputs, identity, generator, x)
        rows.append(linear(moved) - _derivative(outputs, identity, generator, out))
    return torch.stack(rows)


def _derivative(representation: Representation, identity: Tensor, generator: Tensor, x: Tensor) -> Tensor:
    """d/dt rho(1 + t A) x at t = 0."""
    return torch.func.jvp(lambda g: representation.act(g, x), (identity,), (generator,))[1]


def reynolds(
    weight: Float[Tensor, "Out In"], in_action: Float[Tensor, "G In In"], out_action: Float[Tensor, "G Out Out"]
) -> Float[Tensor, "Out In"]:
    """P W = mean over g of rho_out(g) W rho_in(g)^-1, the nearest equivariant matrix for orthogonal representations.

    Args:
        weight: W.
        in_action, out_action: the matrices of every element of a finite group, in one order.
    Raises: ValueError for actions of different lengths.
    """
    if len(in_action) != len(out_action):
        raise ValueError(
            f"one matrix for each element: got {len(in_action)} for the input, {len(out_action)} for output"
        )
    return (out_action @ weight @ torch.linalg.inv(in_action)).mean(dim=0)


def projection_distance(
    weight: Float[Tensor, "Out In"], in_action: Float[Tensor, "G In In"], out_action: Float[Tensor, "G Out Out"]
) -> Float[Tensor, ""]:
    """|(I - P) W|, the distance to the equivariant matrices; E_g |W rho_in(g) - rho_out(g) W|^2 is twice its square."""
    return (weight - reynolds(weight, in_action, out_action)).square().sum().sqrt()
