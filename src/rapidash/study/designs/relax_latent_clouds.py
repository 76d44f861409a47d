"""The study of latents on clouds: orientations that are to turn with the cloud, in a network that need not do so."""

from dataclasses import replace

from rapidash.methods import Augment, Variant
from rapidash.models import RapidashConfig
from rapidash.relax import LatentEquivariance
from rapidash.study._design import StudyDesign
from rapidash.train import TrainConfig

WEIGHT = 0.1


def make_design(full: bool) -> StudyDesign:
    """Five variants on charged particles: E(3) by construction, T(3), and T(3) with turns or a term for the latent.

    The group of the term is that of the 60 rotations of the icosahedron, which permute the 12 orientations.
    """
    base = RapidashConfig(grid="platonic", channels=8, num_layers=2, basis_dim=8, basis_hidden_dim=8)
    if full:
        base = replace(base, channels=16, basis_dim=16, basis_hidden_dim=16)
    free = replace(base, symmetry="T(3)")
    root, plain = "E(3) on R3xS2", "T(3) on R3xS2"
    variants = (
        Variant(root, base),
        Variant(plain, free, neighbor=root, knob="kernels see the direction of the offset"),
        Variant(
            f"{plain} + rotations",
            free,
            methods=(Augment("SO(3)"),),
            neighbor=plain,
            knob="training samples randomly rotated",
        ),
        Variant(
            f"{plain}, invariant latent",
            free,
            methods=(LatentEquivariance(WEIGHT, "SO(3)", "trivial"),),
            neighbor=plain,
            knob="the features of the last block are to stay when the cloud turns",
        ),
        Variant(
            f"{plain}, turning latent",
            free,
            methods=(LatentEquivariance(WEIGHT, action="grid"),),
            neighbor=plain,
            knob="the orientations of the last block are to turn with the cloud",
        ),
    )
    train = TrainConfig(
        steps=2000 if full else 500,
        batch_size=25,
        learning_rate=5e-3,
        weight_decay=1e-5,
        warmup_steps=50,
        ema_decay=0.98,
        eval_every=200 if full else 100,
        checkpoint_every=200,
    )
    return StudyDesign(
        "nbody",
        variants,
        train,
        seeds=(0, 1, 2),
        task_options={"num_train": 300, "num_val": 300, "num_test": 1000},
        setting="full" if full else "quick",
        measures=("latent-error",),
    )
