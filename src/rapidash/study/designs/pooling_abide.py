"""The study of pooled sites on autism at 20 sites, four of them held out in turn."""

from rapidash.study._design import StudyDesign
from rapidash.study.designs._pooling import arms, training


def make_design(full: bool) -> StudyDesign:
    """Train on 16 sites, test on the other four; the covariate is the age, which is to be read off the brain.

    The data are for non-commercial use only (CC BY-NC-SA), and what is derived from them is under the same terms.
    Quick: 300 steps, three seeds. Full: 1,000 steps, ten seeds.
    """
    return StudyDesign(
        "pooled-sites",
        arms(),
        training(1000 if full else 300, batch_size=256, weight_decay=0.1),
        seeds=tuple(range(10)) if full else (0, 1, 2),
        task_options={"table": "abide"},
        setting="full" if full else "quick",
        measures=("pooling",),
        factors={"task.held_out": (0, 1, 2, 3, 4)},
    )
