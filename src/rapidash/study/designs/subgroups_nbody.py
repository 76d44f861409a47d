"""The study of subgroups on charged particles: in a vertical field, and without one, where all rotations hold."""

from dataclasses import replace

from rapidash.models import RapidashConfig
from rapidash.study._design import StudyDesign
from rapidash.study.designs._subgroups import stated_and_searched, training
from rapidash.study.designs.relax_nbody_field import FIELD

GROUPS = ("E(3)", "D4", "C2(z)", "T(3)")


def make_design(full: bool) -> StudyDesign:
    """Four assignments of groups to two blocks on the octahedron, and two searches, with and without a field.

    The field keeps the turns and mirrors about the vertical: of the 48 motions of the octahedron those eight of D4.

    Quick: 300 steps, three seeds. Full: 1,200 steps, five seeds.
    """
    network = RapidashConfig(grid="platonic", num_orientations=6, channels=8, num_layers=2)
    network = replace(network, basis_dim=8, basis_hidden_dim=16)

    steps = 1200 if full else 300
    generation = steps // 6
    stated = (
        (("E(3)", "E(3)"), ""),
        (("E(3)", "D4"), "the last block keeps turns and mirrors about the vertical"),
        (("D4", "D4"), "the first block too"),
        (("T(3)", "T(3)"), "no block keeps a motion of the grid"),
    )
    return StudyDesign(
        "nbody",
        stated_and_searched(network, GROUPS, stated, generation),
        training(steps, generation),
        seeds=(0, 1, 2, 3, 4) if full else (0, 1, 2),
        task_options={"num_train": 300, "num_val": 300, "num_test": 500},
        setting="full" if full else "quick",
        factors={"task.uniform_field": (FIELD, 0.0)},
    )
