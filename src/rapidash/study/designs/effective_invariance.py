"""The study of effective invariance: does a figure that needs no labels tell which of many models generalizes?"""

from dataclasses import replace

from rapidash.methods import Augment, Variant
from rapidash.models import RapidashConfig
from rapidash.study._design import StudyDesign
from rapidash.study.designs.solids import BASE, training

WIDTHS = (4, 8, 24)


def make_design(full: bool) -> StudyDesign:
    """A population of 15 networks, fixed before it is trained: symmetries, orientations, rotated samples, widths.

    The population of the paper is of models with different training; here all have the same steps, and the width sets
    how far they get. Quick: 150 steps, one seed. Full: 300 steps, three seeds.
    """
    variants: list[Variant] = []
    for symmetry in ("E(3)", "T(3)"):
        for width in WIDTHS:
            add(variants, f"{symmetry} on R3", replace(BASE, symmetry=symmetry, space="R3"), width)
    for orientations, widths in ((6, (8, 16)), (12, (8,))):
        for width in widths:
            add(variants, f"E(3), {orientations} orientations", replace(BASE, num_orientations=orientations), width)
    return StudyDesign(
        "solids",
        tuple(variants),
        training(300 if full else 150),
        seeds=(0, 1, 2) if full else (0,),
        measures=("effective-invariance",),
        setting="full" if full else "quick",
    )


def add(variants: list[Variant], name: str, model: RapidashConfig, width: int) -> None:
    """A network of this width and, where it is not exactly invariant, the same trained with rotated samples."""
    narrower = next((v.name for v in reversed(variants) if v.name.startswith(name) and not v.methods), None)
    plain = Variant(
        f"{name}, width {width}",
        replace(model, channels=width),
        neighbor=narrower,
        knob="" if narrower is None else f"{width} channels",
    )
    variants.append(plain)
    if plain.model.takes != "invariants":
        variants.append(
            Variant(
                f"{plain.name} + rotations",
                plain.model,
                methods=(Augment("SO(3)"),),
                neighbor=plain.name,
                knob="training samples randomly rotated",
            )
        )
