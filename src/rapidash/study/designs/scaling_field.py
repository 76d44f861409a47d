"""The study of scale in a vertical field: the right group, wrong ones, and none."""

from rapidash.methods import Augment, Variant
from rapidash.study._design import StudyDesign
from rapidash.study.designs.relax_nbody_field import FIELD
from rapidash.study.designs.scaling import network, sweep


def make_design(full: bool) -> StudyDesign:
    """Turns about the vertical hold; turns about x, or all of them, do not. Sizes: those of `scaling`."""
    right = "SO2(z) on R3"
    return sweep(
        full,
        (
            Variant(right, network("SO2(z)")),
            Variant("SO2(x) on R3", network("SO2(x)"), neighbor=right, knob="turns about a wrong axis are kept"),
            Variant("E(3) on R3", network("E(3)"), neighbor=right, knob="all rotations and reflections are kept"),
            Variant("T(3) on R3", network("T(3)"), neighbor=right, knob="no turn is kept"),
            Variant(
                "T(3) on R3 + turns",
                network("T(3)"),
                methods=(Augment("SO2(z)"),),
                neighbor="T(3) on R3",
                knob="training samples turned about the vertical",
            ),
        ),
        uniform_field=FIELD,
    )
