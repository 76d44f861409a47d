"""Pass or fail: is this function equivariant, and if not, which part of the group breaks which output?"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from rapidash._seed import seeded
from rapidash.groups import Group, MatrixGroup, enumerated, motion
from rapidash.measure._action import Action, Function, first_number
from rapidash.measure._equivariance_error import EquivarianceError, draw_elements, measured_error
from rapidash.measure._report import Report

TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-3, torch.bfloat16: 5e-2, torch.float16: 5e-2}


@dataclass(frozen=True)
class EquivarianceCheck:
    """The result of a check of equivariance: the error of every output under every part of the group.

    Args:
        errors: by part of the group ("rotations", "reflections", "translations", or the name of the group).
        tolerance: largest admissible defect, relative to the norm of the output.
        atol: admissible defect in the unit of the output, in addition.
    """

    errors: Mapping[str, EquivarianceError]
    tolerance: float
    atol: float

    @property
    def passed(self) -> bool:
        """Whether every output is equivariant under every part, and reproducible."""
        return all(row["passed"] for row in self.report().rows)

    def __bool__(self) -> bool:
        return self.passed

    def report(self) -> Report:
        """One row for every part of the group and output."""
        rows = []
        for part, total in self.errors.items():
            for name, error in (total.fields or {"output": total}).items():
                worst = float(error.per_pair.max())
                limit = self.tolerance + self.atol / error.scale
                row = {"group part": part, "output": name, "largest defect": worst, "tolerance": limit}
                row |= {"output norm": error.output_norm, "repeat noise": error.noise_floor, "passed": worst <= limit}
                rows.append(row)
        return Report("equivariance check", tuple(rows))


def check_equivariance(
    fn: Function,
    x: Any,
    action: Action,
    *,
    rtol: float | None = None,
    atol: float = 0.0,
    num_elements: int = 8,
    translation_scale: float = 1.0,
    seed: int = 0,
) -> EquivarianceCheck:
    """Test f(g x) = g f(x) separately for rotations, reflections and translations, and for every output.

    Every sample must satisfy defect <= rtol * (norm of the output, root mean square over samples) + atol.

    Args:
        fn: a module in eval mode or any function.
        x: the input.
        action: the group with the representations of inputs and outputs.
        rtol: None takes it by the dtype of the input: 1e-9 in float64 (where this test should run), 1e-3 in float32,
            5e-2 below; for an input of whole numbers only by torch's default dtype.
        atol: in the unit of the output.
        num_elements: elements per part; a finite group is enumerated.
        translation_scale: standard deviation of translations, in the unit of positions.
        seed: of the elements.
    Raises: ValueError as `equivariance_error` does.
    """
    tolerance = _tolerance(x) if rtol is None else rtol
    parts = group_parts(action.group, num_elements, translation_scale=translation_scale, seed=seed)
    errors = {part: measured_error(fn, x, action, elements=elements) for part, elements in parts.items()}
    return EquivarianceCheck(errors, tolerance, atol)


def assert_equivariant(fn: Function, x: Any, action: Action, **options: Any) -> None:
    """Raise AssertionError with a table (part of the group by output) unless `check_equivariance` passes.

    Args:
        fn: a module in eval mode or any function.
        x: the input.
        action: the group with the representations of inputs and outputs.
        options: those of `check_equivariance`.
    """
    check = check_equivariance(fn, x, action, **options)
    if check.passed:
        return
    noise = max(error.noise_floor for error in check.errors.values())
    hint = (
        f"\nTwo evaluations of the same input differ by {noise:.2g}: fix the function's random draws first."
        if noise > check.tolerance
        else ""
    )
    raise AssertionError(f"the function is not equivariant to {action.group.name}:\n{check.report().table()}{hint}")


def _tolerance(x: Any) -> float:
    number = first_number(x)
    return TOLERANCE[(torch.get_default_dtype() if number is None else number.dtype).to_real()]


def group_parts(
    group: MatrixGroup, num: int, *, translation_scale: float = 1.0, seed: int = 0
) -> dict[str, Float[Tensor, "G n n"]]:
    """Elements of a group of motions split into rotations, reflections and translations; other groups in one part.

    Raises: ValueError for the group of the identity alone.
    """
    if not isinstance(group, Group):
        everything = enumerated(group)
        few = everything is not None and len(everything) <= 4 * num
        return {group.name: draw_elements(group, None if few else num, seed=seed)}
    parts = {}
    linear = enumerated(group.without_translations())
    if linear is None:
        drawn = group.linear.sample(8 * num, group.dim, seeded(seed, "parts", group.name))
        linear = motion(drawn, drawn.new_zeros(len(drawn), group.dim))
    else:
        linear = linear[1:]
    proper = torch.linalg.det(linear[:, : group.dim, : group.dim]) > 0
    limit = num if enumerated(group.without_translations()) is None else len(linear)
    if proper.any():
        parts["rotations"] = linear[proper][:limit]
    if (~proper).any():
        parts["reflections"] = linear[~proper][:limit]
    directions = group.translation_basis()
    if len(directions):
        along = torch.randn(num, len(directions), generator=seeded(seed, "shifts"), dtype=torch.float64)
        shifts = along @ directions
        eye = torch.eye(group.dim, dtype=torch.float64).expand(num, -1, -1)
        parts["translations"] = motion(eye, translation_scale * shifts)
    if not parts:
        raise ValueError(f"the group {group.name!r} has only the identity: every function is equivariant to it")
    return parts
