"""The study of Lie derivatives: which motions a network follows before and after training, and what breaks them."""

from dataclasses import replace

from rapidash.methods import Augment, Variant
from rapidash.models import DGCNNConfig
from rapidash.study._design import StudyDesign
from rapidash.study.designs.solids import BASE, training

GRIDS = (4, 8, 12, 20)  # vertices of the platonic solids


def make_design(full: bool) -> StudyDesign:
    """An exactly invariant network, four grids of orientations, one without rotations and a DGCNN, on generated solids;
    two of them also trained with rotated samples.

    Quick: narrow networks, 100 steps, two seeds. Full: twice as wide, 300 steps, three seeds.
    """
    base = replace(BASE, num_orientations=GRIDS[0])
    if full:
        base = replace(base, channels=32, basis_dim=32, basis_hidden_dim=32)
    rotated = (Augment("SO(3)"),)
    seen = "training samples randomly rotated"
    exact = Variant("E(3) on R3", replace(base, space="R3"))
    plain = Variant(
        "T(3) on R3",
        replace(base, space="R3", symmetry="T(3)"),
        neighbor=exact.name,
        knob="kernels and inputs see all components",
    )
    lifted: list[Variant] = []
    for num in GRIDS:
        coarser = lifted[-1].name if lifted else exact.name
        knob = f"a grid of {num} orientations" if lifted else f"directions in the features, on a grid of {num}"
        model = replace(base, num_orientations=num)
        lifted.append(Variant(f"E(3) on R3xS2, {num} orientations", model, neighbor=coarser, knob=knob))
    coarse = lifted[1]
    variants = (
        exact,
        *lifted,
        Variant(f"{coarse.name} + rotations", coarse.model, methods=rotated, neighbor=coarse.name, knob=seen),
        plain,
        Variant(f"{plain.name} + rotations", plain.model, methods=rotated, neighbor=plain.name, knob=seen),
        Variant(
            "DGCNN",
            DGCNNConfig(channels=32 if full else 16, num_layers=2, pools_features=True),
            neighbor=plain.name,
            knob="another network of the same symmetry: edge convolutions of torch_geometric",
        ),
    )
    return StudyDesign(
        "solids",
        variants,
        training(300 if full else 100),
        seeds=(0, 1, 2) if full else (0, 1),
        task_options={"num_test": 500},
        setting="full" if full else "quick",
        measures=("lie-derivative",),
    )
