"""The study of invariant integration on necklaces: what pooling forgets, and which integrands keep."""

from rapidash.methods import Variant
from rapidash.models import SignalGCNNConfig
from rapidash.study._design import StudyDesign
from rapidash.symmetrize import IntegrateInvariants
from rapidash.train import TrainConfig

POOLED = "mean + max pooling"


def make_design(full: bool) -> StudyDesign:
    """Pooling, and five heads of about as many weights (330 to 346) on a ring of eight places, five seeds.

    Quick: noise of 0.1, 600 steps. Full: noise of 0.3, 1,500 steps.
    """
    network = SignalGCNNConfig(symmetry="C8", pooling="mean+max")

    def integrated(name: str, knob: str, method: IntegrateInvariants, neighbor: str = "linear II") -> Variant:
        return Variant(name, network, methods=(method,), neighbor=neighbor, knob=knob)

    variants = (
        Variant(POOLED, network),
        Variant(
            "mean + max pooling, wider readout",
            SignalGCNNConfig(symmetry="C8", pooling="mean+max", readout_dim=22),
            neighbor=POOLED,
            knob="22 features with batch normalization behind the pool: as many weights as the integrals",
        ),
        integrated("linear II", "16 linear integrals", IntegrateInvariants("linear", kernel_size=1), POOLED),
        integrated("weighted-sum II", "a ReLU inside the mean", IntegrateInvariants("weighted-sum", kernel_size=1)),
        integrated("monomial II", "products inside the mean", IntegrateInvariants("monomial", kernel_size=1)),
        integrated("MLP II", "two ReLUs inside the mean", IntegrateInvariants("mlp", kernel_size=1, hidden=5)),
    )
    steps = 1500 if full else 600
    train = TrainConfig(
        steps=steps,
        batch_size=64,
        learning_rate=1e-2,
        weight_decay=0.0,
        warmup_steps=20,
        ema_decay=0.0,
        eval_every=steps // 3,
        checkpoint_every=steps,
    )
    options = {"noise": 0.3 if full else 0.1}
    setting = "full" if full else "quick"
    return StudyDesign("necklaces", variants, train, (0, 1, 2, 3, 4), task_options=options, setting=setting)
