"""The study of pooled sites on autism at 20 sites, four of them held out in turn."""

from rapidash.study._design import StudyDesign
from rapidash.study.designs._pooling import held_out_design


def make_design(full: bool) -> StudyDesign:
    """Train on 16 sites, test on the other four; the covariate is the age, which is to be read off the brain.

    The data are for non-commercial use only (CC BY-NC-SA), and what is derived from them is under the same terms.
    Quick: 300 steps, three seeds. Full: 1,000 steps, ten seeds.
    """
    return held_out_design("abide", groups=5, full=full)
