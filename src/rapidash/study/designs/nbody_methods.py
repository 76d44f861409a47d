"""The study of training methods on charged particles: built in, opened and closed again, learned, or averaged."""

from dataclasses import replace

from rapidash.methods import Augment, Average, Variant
from rapidash.models import RapidashConfig
from rapidash.relax import ACE
from rapidash.study._design import StudyDesign
from rapidash.train import TrainConfig


def make_design(full: bool) -> StudyDesign:
    """Six variants, each a knob away from its neighbor, on few training samples, where symmetry matters most.

    Quick: narrow networks, 500 training samples. Full: as wide as in the study ``nbody``, and all 3,000.
    """
    base = RapidashConfig(grid="platonic", channels=16, num_layers=2, basis_dim=16, basis_hidden_dim=16)
    if full:
        base = replace(base, channels=32, num_layers=3, basis_dim=32, basis_hidden_dim=32)
    root = Variant("E(3) on R3xS2", base)
    flat = Variant("E(3) on R3", replace(base, space="R3"), neighbor=root.name, knob="no orientations")
    plain = Variant(
        "T(3) on R3",
        replace(base, space="R3", symmetry="T(3)"),
        neighbor=flat.name,
        knob="kernels and inputs see all components",
    )
    variants = (
        root,
        Variant(
            "E(3) on R3xS2 + ACE",
            base,
            methods=(ACE(),),
            neighbor=root.name,
            knob="free branches, which dual ascent closes again; the projected network counts",
        ),
        flat,
        plain,
        Variant(
            "T(3) on R3 + rotations",
            plain.model,
            methods=(Augment("SO(3)"),),
            neighbor=plain.name,
            knob="training samples randomly rotated",
        ),
        Variant(
            "T(3) on R3, averaged",
            plain.model,
            methods=(Average("octahedral"),),
            neighbor=plain.name,
            knob="also tested with predictions averaged over the 24 rotations of the cube",
        ),
    )
    train = TrainConfig(
        steps=3000 if full else 700,
        batch_size=50,
        learning_rate=5e-3,
        weight_decay=1e-5,
        warmup_steps=50,
        ema_decay=0.98,
        eval_every=500 if full else 100,
        checkpoint_every=200,
    )
    sizes = {} if full else {"num_train": 500, "num_val": 500}
    return StudyDesign("nbody", variants, train, task_options=sizes, setting="full" if full else "quick")
