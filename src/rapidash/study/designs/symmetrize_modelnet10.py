"""The study of symmetrization on ModelNet10: models that stand upright in training, and any way up in the test."""

from dataclasses import replace

from rapidash.methods import Augment, Average, Method, Variant
from rapidash.models import MessagePassingConfig, NetworkConfig, RapidashConfig, TransformerConfig
from rapidash.study._design import StudyDesign
from rapidash.study.designs._ladder import three_rungs
from rapidash.symmetrize import Canonicalization, FrameAveraging
from rapidash.train import TrainConfig

ABOUT_Z = "SO2(z) about the origin"


def make_design(full: bool) -> StudyDesign:
    """Two backbones in six arms, beside Rapidash with rotations built in and without.

    Training and test models are turned about the vertical: the test error is that of the protocol z/z, the one on
    turned test data that of z/SO(3); for arms that are augmented by SO(3) the latter is that of SO(3)/SO(3).

    Quick: 64 points of each model, parts of the splits and few steps. Full: 128 points, all models and 1,500 steps;
    planned for 55 core-minutes with three seeds.
    """
    edges, channels = "knn-8", 32
    rapidash = RapidashConfig(grid="platonic", num_orientations=6, edges=(edges, edges), ratios=0.25)
    rapidash = replace(rapidash, channels=(channels // 2, channels), num_layers=(1, 1), basis_dim=16)
    rapidash = replace(rapidash, basis_hidden_dim=16)
    transformer = TransformerConfig(channels=channels, num_layers=2, pools_features=True)
    messages = MessagePassingConfig(channels=channels, num_layers=2, edges=edges, aggregate="max", pools_features=True)
    canonical = Canonicalization("SE(3)", channels=8, num_layers=1, edges=edges)
    rungs = three_rungs(rapidash)
    arms = [
        arm
        for name, model in (("transformer", transformer), ("messages", messages))
        for arm in _arms(name, model, canonical, rungs[2])
    ]
    train = TrainConfig(
        steps=1500 if full else 300,
        batch_size=16,
        learning_rate=2e-3,
        weight_decay=1e-2,
        warmup_steps=60 if full else 30,
        ema_decay=0.99 if full else 0.98,
        eval_every=300 if full else 100,
        checkpoint_every=300,
    )
    sizes = {"num_points": 128} if full else {"num_points": 64, "num_train": 1500, "num_val": 200, "num_test": 300}
    return StudyDesign(
        "modelnet10",
        (*rungs, *arms),
        train,
        task_options={"protocol": "z/z", **sizes},
        setting="full" if full else "quick",
    )


def _arms(name: str, model: NetworkConfig, canonical: Canonicalization, neighbor: Variant) -> list[Variant]:
    """A backbone as it is, augmented in two ways, and symmetrized in three."""
    bare = Variant(name, model, neighbor=neighbor.name, knob="another network of the same symmetry")

    def arm(plus: str, *methods: Method, knob: str, neighbor: Variant = bare) -> Variant:
        return replace(bare, name=f"{name}, {plus}", methods=methods, neighbor=neighbor.name, knob=knob)

    turned = arm("augmented SO(3)", Augment("SO(3)"), knob="training models in a fresh pose at every step")
    return [
        bare,
        arm("augmented z", Augment(ABOUT_Z), knob="training models freshly turned about the vertical at every step"),
        turned,
        arm(
            "augmented SO(3), averaged",
            Augment("SO(3)"),
            Average("SO(3)", 8),
            knob="also tested with predictions averaged over 8 random rotations",
            neighbor=turned,
        ),
        arm("frames", FrameAveraging("SO(3)"), knob="the average over the 4 frames of principal axes"),
        arm("canonical", canonical, knob="moved to the one pose that an equivariant network chooses"),
    ]
