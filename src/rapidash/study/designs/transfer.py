"""The study of transfer: which augmentations of pre-training make which features invariant, and whom does it serve?"""

from dataclasses import replace

from rapidash.methods import Variant
from rapidash.models import MessagePassingConfig, NetworkConfig, RapidashConfig
from rapidash.represent import APPEARANCE, POSE, ConcatenatedPretraining, ContrastivePretraining, Untrained
from rapidash.study._design import StudyDesign
from rapidash.train import TrainConfig

CHANNELS, WIDE = 32, 46  # the wide network has the parameters of two
FEATURES = 32
AUGMENTATIONS = {"pose": POSE, "appearance": APPEARANCE, "both": (*POSE, *APPEARANCE)}


def make_design(full: bool) -> StudyDesign:
    """A zoo of 16 encoders, four networks with four trainings: none, and contrastive with augmentations of pose, of
    appearance, and of both; beside it two encoders side by side, and one as large as both.

    Pre-trained on `shapes`; the measure ``transfer`` probes them on ModelNet10 and on mesh segmentations. Quick: 128
    points of each shape, 200 steps, one seed. Full: 256 points, 700 steps, three seeds; planned for at most 4 minutes
    for an encoder.
    """
    steps = 700 if full else 200
    train = TrainConfig(
        steps=steps,
        batch_size=32,
        learning_rate=5e-3,
        weight_decay=0.0,
        warmup_steps=steps // 10,
        ema_decay=0.0,
        eval_every=steps,
        checkpoint_every=steps,
    )
    variants = [arm for name, model in networks().items() for arm in _arms(name, model, has_vectors="vectors" in name)]
    free = networks()["T(3)"]
    assert isinstance(free, RapidashConfig)
    side_by_side = ConcatenatedPretraining(
        invariant_dim=FEATURES, augmentations=POSE, further=(APPEARANCE,), select="probe"
    )
    variants.append(
        Variant(
            "T(3), pose beside appearance",
            free,
            objective=side_by_side,
            neighbor="T(3), both",
            knob="an encoder for the augmentations of pose beside one for those of appearance",
        )
    )
    as_large = replace(_both(), invariant_dim=2 * FEATURES)  # as two encoders
    wide = Variant("T(3), both, wide", replace(free, channels=WIDE), objective=as_large)
    sizes = {"num_points": 256} if full else {"num_points": 128, "num_train": 1000, "num_val": 200, "num_test": 200}
    return StudyDesign(
        "shapes",
        (*variants, wide),
        train,
        seeds=(0, 1, 2) if full else (0,),
        task_options=sizes,
        setting="full" if full else "quick",
        measures=("transfer",),
    )


def networks() -> dict[str, NetworkConfig]:
    """By name: free of rotations, invariant to them, equivariant with vectors as features, and of message passing."""
    free = RapidashConfig(symmetry="T(3)", space="R3", edges="knn-8", channels=CHANNELS, num_layers=2)
    free = replace(free, basis_dim=16, basis_hidden_dim=16)
    oriented = replace(free, symmetry="E(3)", space="R3xS2", grid="platonic", num_orientations=6)
    return {
        "T(3)": free,
        "E(3)": replace(free, symmetry="E(3)"),
        "E(3), vectors": oriented,
        "messages": MessagePassingConfig(channels=CHANNELS, num_layers=2, edges="knn-8", aggregate="max"),
    }


def _both() -> ContrastivePretraining:
    return ContrastivePretraining(invariant_dim=FEATURES, augmentations=AUGMENTATIONS["both"])


def _arms(name: str, model: NetworkConfig, *, has_vectors: bool) -> list[Variant]:
    """A network without training, and with three sets of augmentations."""
    scalars, vectors = (FEATURES // 2, 15) if has_vectors else (FEATURES, 0)
    bare = Variant(f"{name}, untrained", model, objective=Untrained(scalars, vectors, has_vectors))
    neighbor = bare.name
    arms = [bare]
    for kind, names in AUGMENTATIONS.items():
        objective = ContrastivePretraining(scalars, vectors, has_vectors, augmentations=names)
        knob = f"contrastive pre-training with augmentations of {kind if kind != 'both' else 'pose and appearance'}"
        arms.append(Variant(f"{name}, {kind}", model, objective=objective, neighbor=neighbor, knob=knob))
    return arms
