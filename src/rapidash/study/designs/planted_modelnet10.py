"""The question of planted symmetry, put to CAD models as they stand: turns about the vertical z, and about x."""

from typing import Any

from rapidash.methods import Variant
from rapidash.models import RapidashConfig, TransformerConfig
from rapidash.study._design import StudyDesign
from rapidash.study.designs.planted import arms, training


def make_design(full: bool) -> StudyDesign:
    """ModelNet10 in the poses of the files. Quick: three seeds. Full: five."""
    return upright_design("modelnet10", full, {"num_train": 1500, "num_val": 300, "num_test": 300})


def upright_design(task: str, full: bool, sizes: dict[str, Any]) -> StudyDesign:
    """A transformer on 64 points of each shape, with the arms of the study ``planted``, about z and about x.

    What labels stand is not known: that z is up is all.

    Args:
        task: of shapes that stand upright.
        full: five seeds in place of three.
        sizes: of the splits.
    """
    steps = 300
    plain = Variant("transformer", TransformerConfig(channels=32, num_layers=2, pools_features=True))
    variants: dict[str, Variant] = {}
    for axis in ("z", "x"):
        bound = RapidashConfig(
            symmetry=f"SO2({axis})",
            space="R3",
            channels=16,
            num_layers=1,
            basis_dim=16,
            basis_hidden_dim=16,
            edges="knn-8",
        )
        variants |= {variant.name: variant for variant in arms(plain, bound, axis=axis, steps=steps)}
    return StudyDesign(
        task,
        tuple(variant for name, variant in variants.items() if not name.endswith("no penalty")),
        training(steps),
        seeds=(0, 1, 2, 3, 4) if full else (0, 1, 2),
        task_options={"num_points": 64, **sizes},
        setting="full" if full else "quick",
        measures=("planted-sayings",),
    )
