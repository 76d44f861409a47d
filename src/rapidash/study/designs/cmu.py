"""The study of human motion: gravity gives a direction to it; does a network want to know it, and from where?

Full, on one core, steps of a run: E(3) on R3 1 min, SO2(y) on R3 1.5 min (walking and running, with and without the
height), T(3) on R3, E(3) on R3xS2 and EGNN 3 min. All 24 runs: 92 core-minutes beside other work on the machine.
"""

from dataclasses import replace

from rapidash.methods import Variant
from rapidash.models import EGNNConfig, RapidashConfig
from rapidash.study._design import StudyDesign
from rapidash.study.designs._baselines import baselines
from rapidash.study.designs._ladder import symmetry_ladder
from rapidash.train import TrainConfig


def make_design(full: bool) -> StudyDesign:
    """Seven variants on one backbone, each a knob away from its neighbor, and an EGNN; walking or running.

    Down the symmetries on R^3: all rotations, those about the vertical, none, none but learned from rotated samples.
    The protocols without and with the absolute height are the variants without and with "height"; the inputs of the
    published networks are those of ``studies/cmu-published-inputs.yaml``. Quick: narrow networks, few steps, a part
    of the validation and test samples. Full: the published samples and a width that is competitive on them.
    """
    base = RapidashConfig(grid="platonic", num_orientations=8, channels=16, num_layers=2)
    base = replace(base, basis_dim=16, basis_hidden_dim=16)
    if full:
        base = replace(base, num_orientations=6, channels=64, num_layers=4, basis_dim=64, basis_hidden_dim=64)

    egnn = EGNNConfig(channels=32 if full else 16, num_layers=3 if full else 2)
    ladder = symmetry_ladder(base, augment="SO2(y) about the origin")
    root, distances, plain, turned = (
        ladder[name] for name in ("E(3) on R3xS2", "E(3) on R3", "T(3) on R3", "T(3) on R3 + rotations")
    )
    upright = Variant(
        "SO2(y) on R3",
        replace(base, symmetry="SO2(y)", space="R3"),
        neighbor=distances.name,
        knob="kernels and inputs see the vertical",
    )
    variants = (
        root,
        distances,
        upright,
        replace(plain, neighbor=upright.name, knob="kernels and inputs see all components"),
        turned,
        Variant(
            "SO2(y) on R3 + height",
            upright.model,
            inputs=("height",),
            neighbor=upright.name,
            knob="the absolute height y / 10 of every joint (the protocol of EGNN and EGNO)",
        ),
        Variant(
            "E(3) on R3xS2 + vertical",
            root.model,
            inputs=("vertical",),
            neighbor=root.name,
            knob="the vertical as an input vector",
        ),
        *baselines(egnn),
    )
    quick = TrainConfig(
        steps=600,
        batch_size=16,
        learning_rate=5e-3,
        weight_decay=1e-5,
        warmup_steps=60,
        ema_decay=0.98,
        eval_every=100,
        checkpoint_every=100,
    )
    long = TrainConfig(
        steps=1200,
        batch_size=16,
        learning_rate=3e-3,
        weight_decay=1e-4,
        warmup_steps=60,
        ema_decay=0.99,
        eval_every=150,
        checkpoint_every=150,
    )
    options = {"mirror": True} if full else {"num_val": 120, "num_test": 240}
    return StudyDesign(
        "cmu", variants, long if full else quick, task_options=options, setting="full" if full else "quick"
    )
