"""Invariance as a special case of equivariance: the output does not change."""

from typing import Any

from torch import Tensor

from rapidash.data import Batch, Field
from rapidash.groups import MatrixGroup, Position, Representation, Scalar
from rapidash.measure import Action, Declaration, Function, assert_equivariant


def assert_invariant(
    fn: Function,
    x: Any,
    *,
    group: MatrixGroup,
    inputs: Declaration | None = None,
    level: str | None = None,
    **options: Any,
) -> None:
    r"""Raise AssertionError, with the part of the group that is to blame, unless f(rho_in(g) x) = f(x).

    Args:
        fn: a module in eval mode or any function with one output tensor.
        x: the input: a tensor, mapping, tuple or `CloudBatch`.
        group: what may move the input, e.g. ``parse_group("SE(3)", 3)``.
        inputs: how it moves, as for `Action`. Default: a tensor holds positions (..., D), a `CloudBatch` knows; for
            a mapping or tuple it must be given.
        level: ``"point"`` or ``"cloud"``, what a row of the output belongs to. Default: rows are samples, or, for a
            `CloudBatch`, clouds.
        options: those of `rapidash.measure.check_equivariance` (``rtol``, ``atol``, ``num_elements``, ``seed``, ...).
    Raises: AssertionError as said; ValueError for inputs that are not declared, a model in training mode, or an output
        that is zero, about which nothing can be said.
    """
    if inputs is None and not isinstance(x, Batch):
        if not isinstance(x, Tensor):
            raise ValueError(
                f"inputs must say how each entry of the {type(x).__name__} transforms, e.g. "
                "{'pos': Position(), 'charge': Scalar()}"
            )
        inputs = Position()
    output: Representation | Field = Scalar()
    if level is not None or isinstance(x, Batch):
        output = Field(Scalar(), level="point" if level == "point" else "cloud")
    if level not in (None, "point", "cloud"):
        raise ValueError(f"level must be 'point' or 'cloud', got {level!r}")
    assert_equivariant(fn, x, Action(group, inputs, output), **options)
