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
    exact, free = replace(BASE, space="R3"), replace(BASE, space="R3", symmetry="T(3)")
    add(variants, "E(3) on R3", exact, WIDTHS)
    add(variants, "T(3) on R3", free, WIDTHS, neighbor=f"E(3) on R3, width {WIDTHS[0]}", knob="no rotations built in")
    add(variants, "E(3), 6 orientations", BASE, (8, 16), neighbor="E(3) on R3, width 8", knob="6 orientations")
    finer = replace(BASE, num_orientations=12)
    add(
        variants, "E(3), 12 orientations", finer, (8,), neighbor="E(3), 6 orientations, width 8", knob="12 orientations"
    )
    return StudyDesign(
        "solids",
        tuple(variants),
        training(300 if full else 150),
        seeds=(0, 1, 2) if full else (0,),
        measures=("effective-invariance",),
        setting="full" if full else "quick",
    )


def add(
    variants: list[Variant],
    name: str,
    model: RapidashConfig,
    widths: tuple[int, ...],
    *,
    neighbor: str | None = None,
    knob: str = "",
) -> None:
    """A network in several widths and, where it is not exactly invariant, each also trained with rotated samples.

    Args:
        variants: which grow.
        name, model: of the network.
        widths: channels of its layers.
        neighbor, knob: of the narrowest one.
    """
    for width in widths:
        plain = Variant(f"{name}, width {width}", replace(model, channels=width), neighbor=neighbor, knob=knob)
        variants.append(plain)
        neighbor, knob = plain.name, "wider"
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
