"""The study of split features: do pairs of views teach one part the class, another the pose, and who predicts views?"""

from dataclasses import replace

from rapidash.methods import Variant
from rapidash.models import OrderedMLPConfig, RapidashConfig
from rapidash.represent import SplitInvariantEquivariant, Untrained
from rapidash.study._design import StudyDesign
from rapidash.train import TrainConfig

POINTS = 12


def make_design(full: bool) -> StudyDesign:
    """Features of template clouds from pairs of views: without a split, with one that is learned, and one built in.

    Quick: 800 steps, three seeds. Full: 6,000 steps, five seeds.
    """
    steps = 6_000 if full else 800
    train = TrainConfig(
        steps=steps,
        batch_size=128,
        learning_rate=1e-3,
        weight_decay=0.0,
        warmup_steps=50,
        ema_decay=0.0,
        eval_every=steps // 4,
        checkpoint_every=steps // 4,
    )
    mlp = OrderedMLPConfig(POINTS, hidden_dim=256, num_layers=2, use_direct=False)
    rapidash = RapidashConfig(
        symmetry="SE(3)", space="R3xS2", num_orientations=12, grid="platonic", channels=16, num_layers=2,
        basis_dim=32, basis_hidden_dim=32,
    )  # fmt: skip
    split = SplitInvariantEquivariant(invariant_dim=32, equivariant_dim=32)
    vicreg = SplitInvariantEquivariant(invariant_dim=64)
    given = replace(split, invariant_dim=32, equivariant_dim=33, has_vectors=True)
    fresh = Untrained(invariant_dim=32, equivariant_dim=32)
    variants = (
        Variant("SIE", mlp, objective=split),
        Variant("VICReg", mlp, objective=vicreg, neighbor="SIE", knob="no equivariant part"),
        Variant(
            "SIE, quaternion",
            mlp,
            objective=replace(split, encoding="quaternion"),
            neighbor="SIE",
            knob="a quaternion with real part of at least 0 in place of the matrix",
        ),
        Variant(
            "SIE, raw quaternion",
            mlp,
            objective=replace(split, encoding="raw quaternion"),
            neighbor="SIE, quaternion",
            knob="a quaternion of either sign",
        ),
        Variant("untrained", mlp, objective=fresh, neighbor="SIE", knob="random weights"),
        Variant(
            "split by construction", rapidash, objective=given, neighbor="SIE", knob="scalars and vectors of Rapidash"
        ),
    )
    return StudyDesign(
        "template-clouds",
        variants,
        train,
        seeds=(0, 1, 2, 3, 4) if full else (0, 1, 2),
        setting="full" if full else "quick",
        measures=("representation",),
        seed_option="data_seed",
    )
