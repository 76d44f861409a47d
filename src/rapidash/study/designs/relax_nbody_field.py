"""The study `relax-nbody` in a uniform field, whose law keeps the turns about the vertical: does relaxing find it?"""

from rapidash.study._design import StudyDesign
from rapidash.study.designs.relax_nbody import make_design as make_symmetric_design

FIELD = 0.3  # length / time^2: a cloud falls by 0.15 over the predicted unit of time


def make_design(full: bool) -> StudyDesign:
    """The same variants, with augmentation about the vertical only."""
    return make_symmetric_design(full, uniform_field=FIELD)
