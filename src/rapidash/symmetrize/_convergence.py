"""The equivariance error of averages by quadrature over rotations, as the degree grows."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import nn

from rapidash.data import Batch, Field
from rapidash.groups import MatrixGroup
from rapidash.measure import Action, equivariance_error
from rapidash.symmetrize._quadrature import Quadrature
from rapidash.symmetry import Haar, Symmetrized


class QuadratureError(NamedTuple):
    """The equivariance error of one average."""

    degree: int
    num_elements: int
    error: float
    """Mean relative error over random elements, ||h(g x) - g h(x)|| / ||h(x)||."""
    random_error: float
    """The same for an average over as many Haar elements, which do not turn with the samples."""


def quadrature_convergence(
    net: nn.Module,
    batch: Batch,
    output: Field,
    group: MatrixGroup,
    degrees: Sequence[int] = (1, 3, 5, 7, 11),
    *,
    num_elements: int = 8,
    max_batch: int | None = None,
    seed: int = 0,
) -> list[QuadratureError]:
    """The equivariance error of a network averaged by `Quadrature` of each degree, beside random averages of its size.

    It is 0 to rounding from the degree of the network in the element on, and falls with the degree where the network is
    smooth but no polynomial, fast for slowly varying ones.

    Args:
        net: in eval mode.
        batch: the samples.
        output: how the output of the network moves.
        group: O(n) or SO(n).
        degrees: of the rules.
        num_elements: random elements of the measure.
        max_batch: as for `rapidash.symmetry.Symmetrized`.
        seed: of these.
    Raises: ValueError for a network in training mode, another group or degree, and as
        `rapidash.measure.equivariance_error`.
    """
    if net.training:
        raise ValueError("measure in eval mode: dropout and batch statistics would count as broken symmetry")
    rows = []
    for degree in degrees:
        rule = Quadrature(group, degree)
        size = len(rule.weights)
        errors = []
        for law in (rule, Haar(group)):
            model = Symmetrized(net, output, law, num_samples=size, max_batch=max_batch).eval()
            action = Action(group, outputs=output)
            errors.append(float(equivariance_error(model, batch, action, num_elements=num_elements, seed=seed).mean))
        rows.append(QuadratureError(degree, size, *errors))
    return rows
