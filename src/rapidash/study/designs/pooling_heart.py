"""The study of pooled sites on heart disease at four hospitals, each held out in turn."""

from rapidash.study._design import StudyDesign
from rapidash.study.designs._pooling import held_out_design


def make_design(full: bool) -> StudyDesign:
    """Train on three hospitals, test on the fourth; the covariate is the age.

    Quick: 300 steps, three seeds. Full: 1,000 steps, ten seeds.
    """
    return held_out_design("heart-disease", groups=4, full=full)
