"""The study of pooled sites on rows whose structure is known: what is forgotten with the site, and what is kept?"""

from rapidash.study._design import StudyDesign
from rapidash.study.designs._pooling import arms, training


def make_design(full: bool) -> StudyDesign:
    """Two sites that differ in a covariate, which matters, and in their instruments; every seed has data of its own.

    Quick: 2,000 steps, three seeds. Full: 5,000 steps, ten seeds.
    """
    return StudyDesign(
        "pooled-sites",
        arms(),
        training(5000 if full else 2000, batch_size=256),
        seeds=tuple(range(10)) if full else (0, 1, 2),
        setting="full" if full else "quick",
        measures=("pooling",),
        seed_option="data_seed",
    )
