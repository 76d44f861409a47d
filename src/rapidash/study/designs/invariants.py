"""The study of invariant integration on necklaces: what pooling forgets, and which integrands keep."""

from rapidash.methods import Variant
from rapidash.models import SignalGCNNConfig
from rapidash.study._design import StudyDesign
from rapidash.symmetrize import IntegrateInvariants
from rapidash.train import TrainConfig

POOLED = "mean + max pooling"


def make_design(full: bool) -> StudyDesign:
    """Five heads of about as many weights (330 to 346) on a ring of eight places, 600 steps, five seeds.

    Full: noise of 0.1, as in the quick one, 0.2 and 0.3.
    """
    network = SignalGCNNConfig(symmetry="C8", pooling="mean+max")

    def integrated(name: str, knob: str, method: IntegrateInvariants, neighbor: str = "linear II") -> Variant:
        return Variant(name, network, methods=(method,), neighbor=neighbor, knob=knob)

    linear = IntegrateInvariants("linear", kernel_size=1)
    variants = (
        Variant(POOLED, SignalGCNNConfig(symmetry="C8", pooling="mean+max", readout_dim=22)),
        integrated("linear II", "16 linear integrals, a control", linear, POOLED),
        integrated("weighted-sum II", "a ReLU inside the mean", IntegrateInvariants("weighted-sum", kernel_size=1)),
        integrated("monomial II", "products inside the mean", IntegrateInvariants("monomial", kernel_size=1)),
        integrated("MLP II", "two ReLUs inside the mean", IntegrateInvariants("mlp", kernel_size=1, hidden=5)),
    )
    train = TrainConfig(
        steps=600,
        batch_size=64,
        learning_rate=1e-2,
        weight_decay=0.0,
        warmup_steps=20,
        ema_decay=0.0,
        eval_every=200,
        checkpoint_every=600,
    )
    seeds = (0, 1, 2, 3, 4)
    factors = {"task.noise": (0.1, 0.2, 0.3)} if full else {}
    return StudyDesign("necklaces", variants, train, seeds, setting="full" if full else "quick", factors=factors)
