"""The study of invariant integration on turned digits: a network that keeps turns, with heads of as many weights."""

from rapidash.methods import Variant
from rapidash.models import ImageGCNNConfig
from rapidash.study._design import StudyDesign
from rapidash.symmetrize import IntegrateInvariants
from rapidash.train import TrainConfig

CONTROL = "C4, average pool + linear"


def make_design(full: bool) -> StudyDesign:
    """A plain network and seven with C4, of 9,200 to 9,700 weights, 200 training images, three seeds.

    Quick: 240 steps. Full: 1,000 steps, five seeds.
    """
    turns = ImageGCNNConfig(symmetry="C4", channels=8)

    def integrated(name: str, knob: str, method: IntegrateInvariants, neighbor: str) -> Variant:
        return Variant(f"C4, {name}", turns, methods=(method,), neighbor=neighbor, knob=knob)

    linear = "C4, linear II"
    variants = (
        Variant("plain CNN, average pool", ImageGCNNConfig(symmetry="C1", channels=22)),
        Variant(
            "C4, mean + max pool",
            ImageGCNNConfig(symmetry="C4", channels=11, pooling="mean+max"),
            neighbor=CONTROL,
            knob="wider layers and a maximum, no linear map with batch normalization",
        ),
        Variant(
            CONTROL,
            ImageGCNNConfig(symmetry="C4", channels=8, readout_dim=240),
            neighbor="plain CNN, average pool",
            knob="convolutions that keep turns, and a linear map with batch normalization behind the pool",
        ),
        Variant(
            "C4, two more layers",
            ImageGCNNConfig(symmetry="C4", channels=8, num_layers=5),
            neighbor=CONTROL,
            knob="the weights in two layers before the pool",
        ),
        integrated("linear II", "linear integrals: pooling, up to borders", IntegrateInvariants("linear"), CONTROL),
        integrated("weighted-sum II", "a ReLU inside the mean", IntegrateInvariants("weighted-sum"), linear),
        integrated("monomial II", "products inside the mean", IntegrateInvariants("monomial"), linear),
        integrated("MLP II", "two ReLUs inside the mean", IntegrateInvariants("mlp", hidden=15), linear),
    )
    train = TrainConfig(
        steps=1000 if full else 240,
        batch_size=50,
        learning_rate=1e-2,
        weight_decay=0.0,
        warmup_steps=20,
        ema_decay=0.0,
        eval_every=200 if full else 60,
        checkpoint_every=1000 if full else 240,
    )
    seeds = (0, 1, 2, 3, 4) if full else (0, 1, 2)
    return StudyDesign("rotated-digits", variants, train, seeds, setting="full" if full else "quick")
