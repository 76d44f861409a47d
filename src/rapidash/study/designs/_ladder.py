"""The variants that studies of different tasks share: one backbone, down the ladder of symmetries."""

from dataclasses import replace

from rapidash.models import RapidashConfig
from rapidash.train import Variant


def symmetry_ladder(base: RapidashConfig, *, augment: str = "SO(3)") -> dict[str, Variant]:
    """Six variants of a network in three dimensions by name, each a knob away from its neighbor.

    Args:
        base: width, depth, grid and edges of all of them.
        augment: group of the augmented variant, whose name ends in "+ rotations".
    """

    def variant(symmetry: str, space: str, plus: str = "", knob: str = "", **changes: object) -> Variant:
        model = replace(base, symmetry=symmetry, space=space)
        return Variant(f"{symmetry} on {space}{plus}", model, knob=knob, **changes)  # type: ignore[arg-type]

    root = variant("E(3)", "R3xS2")
    sees_offsets = variant("T(3)", "R3xS2", knob="kernels see the direction of the offset", neighbor=root.name)
    plain = variant("T(3)", "R3", knob="no orientations", neighbor=sees_offsets.name)
    ladder = (
        root,
        variant("E(3)", "R3", knob="no orientations: kernels see distances only", neighbor=root.name),
        sees_offsets,
        plain,
        variant(
            "T(3)",
            "R3",
            " + rotations",
            knob=f"training samples moved by random elements of {augment}",
            augment=augment,
            neighbor=plain.name,
        ),
        variant(
            "E(3)",
            "R3xS2",
            " + global frame",
            knob="the coordinate axes as input vectors",
            inputs=("global frame",),
            neighbor=root.name,
        ),
    )
    return {entry.name: entry for entry in ladder}
