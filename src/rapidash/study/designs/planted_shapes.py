"""The question of planted symmetry, put to 69 classes of shapes as the files have them."""

from rapidash.study._design import StudyDesign
from rapidash.study.designs.planted_modelnet10 import upright_design


def make_design(full: bool) -> StudyDesign:
    """The shapes of ``shapes69.npz``. Quick: three seeds. Full: five."""
    return upright_design("shapes", full, {"num_val": 300, "num_test": 300})
