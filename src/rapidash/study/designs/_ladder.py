"""The variants that studies of different tasks share: one backbone, down the ladder of symmetries."""

from dataclasses import replace

from rapidash.groups import parse_group
from rapidash.methods import Augment, Variant
from rapidash.models import RapidashConfig


def symmetry_ladder(base: RapidashConfig, *, augment: str | None = None) -> dict[str, Variant]:
    """Six variants of a network by name, each a knob away from its neighbor.

    Args:
        base: dimension, width, depth, grid and edges of all of them.
        augment: group of the augmented variant, whose name ends in "+ rotations"; default: SO(D).
    """
    dim = parse_group(base.symmetry).dim
    flat, lifted = f"R{dim}", f"R{dim}xS{dim - 1}"
    augment = augment or f"SO({dim})"

    def variant(symmetry: str, space: str, plus: str = "", knob: str = "", **changes: object) -> Variant:
        model = replace(base, symmetry=symmetry, space=space)
        return Variant(f"{symmetry} on {space}{plus}", model, knob=knob, **changes)  # type: ignore[arg-type]

    root = variant(f"E({dim})", lifted)
    sees_offsets = variant(f"T({dim})", lifted, knob="kernels see the direction of the offset", neighbor=root.name)
    plain = variant(f"T({dim})", flat, knob="no orientations", neighbor=sees_offsets.name)
    ladder = (
        root,
        variant(f"E({dim})", flat, knob="no orientations: kernels see distances only", neighbor=root.name),
        sees_offsets,
        plain,
        variant(
            f"T({dim})",
            flat,
            " + rotations",
            knob=f"training samples moved by random elements of {augment}",
            methods=(Augment(augment),),
            neighbor=plain.name,
        ),
        variant(
            f"E({dim})",
            lifted,
            " + global frame",
            knob="the coordinate axes as input vectors",
            inputs=("global frame",),
            neighbor=root.name,
        ),
    )
    return {entry.name: entry for entry in ladder}


def without_exact_kernels(ladder: dict[str, Variant]) -> dict[str, Variant]:
    """The ladder of a task in space without T(3) on R3xS2, whose kernels see too much for tables.

    A step of it takes two to five times as long as with E(3). T(3) on R3 is then a knob away from E(3) on R3.
    """
    plain = ladder["T(3) on R3"]
    changed = replace(plain, neighbor="E(3) on R3", knob="kernels and inputs see all components")
    return {**{name: entry for name, entry in ladder.items() if name != "T(3) on R3xS2"}, plain.name: changed}


def three_rungs(base: RapidashConfig) -> tuple[Variant, Variant, Variant]:
    """E(3) with orientations, E(3) without, and T(3), the neighbor of other networks that keep no rotation."""
    ladder = without_exact_kernels(symmetry_ladder(base))
    return ladder["E(3) on R3xS2"], ladder["E(3) on R3"], ladder["T(3) on R3"]
