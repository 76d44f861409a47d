"""The study of subgroups on images: six and nine, and figures that any quarter turn leaves what they are."""

from rapidash.models import ImageGCNNConfig
from rapidash.study._design import StudyDesign
from rapidash.study.designs._subgroups import stated_and_searched, training

GROUPS = ("C4", "C2", "C1")


def make_design(full: bool) -> StudyDesign:
    """Four assignments of groups to three layers, and two searches, where half turns change the class and where not.

    Quick: 300 steps, three seeds. Full: 1,200 steps, five seeds.
    """
    network = ImageGCNNConfig(symmetry="C4", channels=6, lifting_size=3, pool_after=(1, 2))

    steps = 1200 if full else 300
    generation = steps // 6
    stated = (
        (("C4", "C4", "C4"), ""),
        (("C4", "C4", "C1"), "the last layer keeps no turn"),
        (("C2", "C2", "C1"), "the first layers keep half turns only"),
        (("C1", "C1", "C1"), "no layer keeps a turn"),
    )
    return StudyDesign(
        "half-turns",
        stated_and_searched(network, GROUPS, stated, generation),
        training(steps, generation),
        seeds=(0, 1, 2, 3, 4) if full else (0, 1, 2),
        task_options={"noise": 1.5},
        setting="full" if full else "quick",
        factors={"task.turns": ("told apart", "ignored")},
    )
