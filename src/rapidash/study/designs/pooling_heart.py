"""The study of pooled sites on heart disease at four hospitals, each held out in turn."""

from rapidash.study._design import StudyDesign
from rapidash.study.designs._pooling import arms, training


def make_design(full: bool) -> StudyDesign:
    """Train on three hospitals, test on the fourth; the covariate is the age.

    Quick: 300 steps, three seeds. Full: 1,000 steps, ten seeds.
    """
    return StudyDesign(
        "pooled-sites",
        arms(),
        training(1000 if full else 300, batch_size=256, weight_decay=0.1),
        seeds=tuple(range(10)) if full else (0, 1, 2),
        task_options={"table": "heart-disease"},
        setting="full" if full else "quick",
        measures=("pooling",),
        factors={"task.held_out": (0, 1, 2, 3)},
    )
