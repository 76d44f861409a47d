"""The study of invariant integration on turned digits: a network that keeps turns, with heads of as many weights."""

from dataclasses import replace

from rapidash.methods import Variant
from rapidash.models import ImageGCNNConfig
from rapidash.study._design import StudyDesign
from rapidash.symmetrize import IntegrateInvariants
from rapidash.train import TrainConfig

ROOT = "C4, average pool"


def make_design(full: bool) -> StudyDesign:
    """Heads behind two group convolutions on 200 turned digits; where no width is said, 9,200 to 9,700 weights.

    Quick: 240 steps, three seeds. Full: 1,000 steps, five seeds.
    """
    turns = ImageGCNNConfig(symmetry="C4", channels=8)
    plain, wide, linear = "plain CNN, 8 channels", "C4, 11 channels, average pool", "C4, linear II"

    def integrated(name: str, knob: str, method: IntegrateInvariants, neighbor: str = linear) -> Variant:
        return Variant(f"C4, {name}", turns, methods=(method,), neighbor=neighbor, knob=knob)

    def changed(name: str, model: ImageGCNNConfig, knob: str, neighbor: str = ROOT) -> Variant:
        return Variant(name, model, neighbor=neighbor, knob=knob)

    variants = (
        Variant(ROOT, turns),
        changed(plain, replace(turns, symmetry="C1"), "convolutions that keep no turn, and fewer weights"),
        changed("plain CNN, 22 channels", replace(turns, symmetry="C1", channels=22), "more channels", plain),
        changed(wide, replace(turns, channels=11), "more channels: as many weights as the integrals"),
        changed("C4, 11 channels, mean + max pool", replace(turns, channels=11, pooling="mean+max"), "a maximum", wide),
        changed(
            "C4, average pool + linear",
            replace(turns, readout_dim=240),
            "a linear map with batch normalization behind the pool: as many weights as the integrals",
        ),
        changed("C4, two more layers", replace(turns, num_layers=5), "more layers: as many weights as the integrals"),
        integrated("linear II", "linear integrals: pooling, up to borders", IntegrateInvariants("linear"), ROOT),
        integrated("weighted-sum II", "a ReLU inside the mean", IntegrateInvariants("weighted-sum")),
        integrated("monomial II", "products inside the mean", IntegrateInvariants("monomial")),
        integrated("MLP II", "two ReLUs inside the mean", IntegrateInvariants("mlp", hidden=15)),
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
