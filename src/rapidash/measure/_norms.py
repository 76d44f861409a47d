"""Norms and means in float64: no square leaves the range of its type, whatever the precision and the unit."""

import torch
from jaxtyping import Float, Shaped
from torch import Tensor


def wide(value: Shaped[Tensor, "..."]) -> Shaped[Tensor, "..."]:
    """The value in float64, or complex128."""
    return value.to(torch.complex128 if value.is_complex() else torch.float64)


def magnitudes(value: Shaped[Tensor, "..."]) -> Float[Tensor, "..."]:
    """The size of every entry, float64."""
    return wide(value.detach()).abs()


def real_rows(value: Shaped[Tensor, "B ..."]) -> Float[Tensor, "B F"]:
    """One row of float64 numbers for each entry of the first axis; a complex number gives two."""
    parts = wide(value)
    return (torch.view_as_real(parts) if parts.is_complex() else parts).reshape(len(value), -1)


def unit_of(sizes: Float[Tensor, "..."]) -> Float[Tensor, ""]:
    """A power of two near the largest of some sizes, to divide by before they are squared: without rounding."""
    largest = sizes.amax() if sizes.numel() else sizes.new_zeros(())
    return torch.exp2(torch.frexp(largest).exponent.double() - 1)


def norm(value: Shaped[Tensor, "..."]) -> float:
    """The norm of all entries."""
    sizes = magnitudes(value)
    unit = unit_of(sizes)
    return float(unit * (sizes / unit).square().sum().sqrt())


def rms(value: Shaped[Tensor, "..."], dim: int | None = None) -> Float[Tensor, "..."]:
    """The root mean square over all entries, or over one axis."""
    sizes = magnitudes(value)
    unit = unit_of(sizes)
    squares = (sizes / unit).square()
    return unit * (squares.mean() if dim is None else squares.mean(dim=dim)).sqrt()


def cosines(a: Float[Tensor, "*B F"], b: Float[Tensor, "*B F"]) -> Float[Tensor, "*B"]:
    """The cosine of the angle between rows, whatever their lengths; 0 where one of them is 0."""
    return (unit_rows(a) * unit_rows(b)).sum(dim=-1)


def unit_rows(value: Float[Tensor, "*B F"]) -> Float[Tensor, "*B F"]:
    """Rows of length 1 in the same directions, float64; rows of zeros stay."""
    sizes = magnitudes(value).amax(dim=-1, keepdim=True)
    scaled = wide(value) / torch.where(sizes > 0, sizes, 1.0)
    length = scaled.norm(dim=-1, keepdim=True)
    return scaled / torch.where(length > 0, length, 1.0)


def refuse_not_finite(what: str, value: Tensor, hint: str = "check the input before measuring symmetry") -> None:
    """Numbers that are none would read as a symmetry kept, or broken.

    Raises: ValueError for infinite or undefined values.
    """
    if not bool(torch.isfinite(value).all()):
        raise ValueError(f"{what} is not finite: {hint}")


def refuse_undefined(what: str, value: Tensor, hint: str = "check the input before measuring symmetry") -> None:
    """As `refuse_not_finite`, for logits: minus infinity is the logit of a class that is left out.

    Raises: ValueError for undefined values and plus infinity.
    """
    if bool((value.isnan() | value.isposinf()).any()):
        raise ValueError(f"{what} is not finite: {hint}")


def are_probabilities(p: Tensor) -> bool:
    """Whether every row is at least 0 and has the sum 1, to the precision of its type."""
    rounding = torch.finfo(p.dtype).eps if p.is_floating_point() else 0.0
    wrong = (p.double().sum(dim=-1) - 1).abs()
    return not bool((p < 0).any()) and bool((wrong < 1e-3 + rounding).all())
