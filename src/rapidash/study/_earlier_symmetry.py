"""Symmetries that records of earlier versions give in words only, as the fields that records have today."""

from collections.abc import Mapping
from typing import Any


def modern_symmetry(symmetry: Any) -> dict[str, Any]:
    """The entry ``symmetry`` of a record with the fields that earlier versions left out; empty for what is no entry.

    ``keeps`` and ``is_trivial`` are read from the name of the group, ``exactness`` from the reasons, as they were
    written then.
    """
    if not isinstance(symmetry, Mapping):
        return {}
    letters = str(symmetry.get("effective") or "").partition("(")[0]
    keeps = ["rotations"] if letters in ("E", "SE", "O", "SO") else []
    keeps += ["reflections"] if letters in ("E", "O") else []
    reasons = symmetry.get("reasons")
    exactness = [str(reason) for reason in reasons if "exact" in str(reason)] if isinstance(reasons, list) else []
    said = {"keeps": keeps, "is_trivial": letters in ("", "trivial"), "exactness": exactness}
    return {**said, **{name: value for name, value in symmetry.items() if value is not None}}
