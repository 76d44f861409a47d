"""Whether a representation is one: products, inverses, samples, gradients."""

from itertools import pairwise

import torch
from torch import Tensor

from rapidash._seed import seeded
from rapidash.groups import MatrixGroup, Representation
from rapidash.testing._demand import demand, is_close

_STEP = 1e-5  # of differences in the coordinates of the group
_DIFFERENCE = 1e-3  # relative: cubic interpolation has jumps in its second derivative


def check_representation(
    representation: Representation,
    group: MatrixGroup,
    values: Tensor,
    *,
    tolerance: float = 1e-9,
    is_differentiable: bool = False,
    num_elements: int = 6,
    seed: int = 0,
) -> None:
    r"""Raise AssertionError unless act is a representation of the group on such values.

    Checked are: the identity leaves them; :math:`\rho(g h) = \rho(g) \rho(h)`; ``inverse`` moves back; one element per
    sample is one sample after the other; shape, dtype and the values that were given stay; and for real values that the
    action is affine, works in float32, and passes the right gradient to the values.

    Args:
        representation: what is checked.
        group: whose elements it takes, e.g. ``SO(3)``.
        values: (B, ...) of at least two samples; float64 where the representation multiplies.
        tolerance: largest difference, relative to the values; larger for one that holds up to an interpolation.
        is_differentiable: its docstring says that it is differentiable in the elements: checked against differences.
        num_elements: random elements, and products of them.
        seed: of them.
    Raises: AssertionError as said; ValueError for values of fewer than two samples.
    """
    if values.dim() == 0 or len(values) < 2:
        raise ValueError(f"values need at least two samples along their first axis, got shape {tuple(values.shape)}")
    name = type(representation).__name__
    rng = seeded(seed, "check representation", name)
    elements = group.sample(num_elements + 1, generator=rng)
    _check_form(name, representation, elements[0], values)
    _check_products(name, representation, group, elements, values, tolerance)
    _check_samples(name, representation, group.sample(len(values), generator=rng), values, tolerance)
    if values.is_floating_point():
        _check_gradient(name, representation, elements[0], values.double(), rng, tolerance)
        if is_differentiable:
            for place in (group.identity(), elements[0]):
                _check_gradient_of_elements(name, representation, group, place, values.double(), rng)


def _each(g: Tensor, x: Tensor) -> Tensor:
    """The element once for every sample: a representation that counts axes from the front counts those of a sample."""
    return g.expand(len(x), *g.shape)


def _moved(representation: Representation, g: Tensor, x: Tensor) -> Tensor:
    return representation.act(_each(g, x), x)


def _check_form(name: str, representation: Representation, g: Tensor, values: Tensor) -> None:
    """Shape and dtype are kept, and the values that were given are not written to."""
    given = values.clone()
    for x in (values, values.float()) if values.is_floating_point() else (values,):
        moved = _moved(representation, g, x)
        demand(
            moved.shape == x.shape and moved.dtype == x.dtype,
            f"{name}.act returned shape {tuple(moved.shape)} of {moved.dtype} for {tuple(x.shape)} of {x.dtype}: keep "
            "both; cast the elements to the values, not the values to the elements",
        )
    demand(torch.equal(given, values), f"{name}.act wrote into the values that it was given: return new ones")


def _check_products(
    name: str, representation: Representation, group: MatrixGroup, elements: Tensor, x: Tensor, tolerance: float
) -> None:
    """The identity, products and inverses."""
    same = _moved(representation, group.identity(), x)
    demand(is_close(same, x, tolerance), f"{name}.act of the identity changes the values: it must leave them")
    for g, h in pairwise(elements):
        at_once, one_by_one = (
            _moved(representation, group.compose(g, h), x),
            _moved(representation, g, _moved(representation, h, x)),
        )
        demand(
            is_close(at_once, one_by_one, tolerance),
            f"{name}.act of a product g h of {group.name} is not that of h followed by g: a representation is a "
            "homomorphism; look for a transposed or inverted matrix, or for a part that the product ignores",
        )
        back = representation.inverse(_each(g, x), _moved(representation, g, x))
        demand(is_close(back, x, tolerance), f"{name}.inverse does not move back what act with the same element moved")


def _check_samples(name: str, representation: Representation, g: Tensor, x: Tensor, tolerance: float) -> None:
    """One element per sample."""
    together = representation.act(g, x)
    alone = torch.stack([representation.act(element, sample) for element, sample in zip(g, x)])
    demand(
        is_close(together, alone, tolerance),
        f"{name}.act with one element per sample (B, n, n) is not that of each sample by its own element: the first "
        "axis of the values counts samples then",
    )


def _check_gradient(
    name: str, representation: Representation, g: Tensor, x: Tensor, rng: torch.Generator, tolerance: float
) -> None:
    """The action is affine, so that a difference of its values is its gradient, whatever the step."""
    step, weight = (torch.randn(x.shape, generator=rng, dtype=x.dtype) for _ in range(2))
    middle = (_moved(representation, g, x) + _moved(representation, g, x + step)) / 2
    demand(
        is_close(_moved(representation, g, x + step / 2), middle, tolerance),
        f"{name}.act is not affine in the values: a representation takes means to means",
    )
    leaf = x.clone().requires_grad_()
    moved = _moved(representation, g, leaf)
    demand(moved.requires_grad, f"{name}.act passes no gradient to the values: do not detach them")
    (gradient,) = torch.autograd.grad((moved * weight).sum(), leaf)
    difference = ((_moved(representation, g, x + step) - _moved(representation, g, x)) * weight).sum()
    demand(
        is_close((gradient * step).sum(), difference, max(tolerance, 1e-9) * x.numel()),
        f"{name}.act passes another gradient to the values than differences of its values have",
    )


def _check_gradient_of_elements(
    name: str,
    representation: Representation,
    group: MatrixGroup,
    g: Tensor,
    x: Tensor,
    rng: torch.Generator,
) -> None:
    """The gradient along a flow through g against central differences; of a finite group only that there is one."""
    weight = torch.randn(x.shape, generator=rng, dtype=x.dtype)
    num = len(group.generators())
    direction = torch.randn(num, generator=rng, dtype=torch.float64)

    def value(time: Tensor) -> Tensor:
        element = group.exponential(time * direction) @ g if num else g + 0 * time
        return (_moved(representation, element, x) * weight).sum()

    time = torch.zeros((), dtype=torch.float64, requires_grad=True)
    out = value(time)
    demand(
        out.requires_grad,
        f"{name}.act passes no gradient to the elements, though it is said to be differentiable in them",
    )
    (gradient,) = torch.autograd.grad(out, time)
    steps = torch.tensor([_STEP, -_STEP], dtype=torch.float64)
    ahead, behind = (value(step) for step in steps)
    demand(
        is_close(gradient, (ahead - behind) / (2 * _STEP) if num else gradient.nan_to_num(), _DIFFERENCE),
        f"{name}.act passes another gradient to the elements of {group.name} than differences of its values have",
    )
