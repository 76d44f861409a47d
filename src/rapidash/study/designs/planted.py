"""The study of planted symmetry: five truths, and what every method that looks for a symmetry says of them."""

from dataclasses import replace

from rapidash.datasets import PLANTED, PLANTED_POINTS
from rapidash.learn import Augerino, LearnedHistogram
from rapidash.methods import Method, Variant
from rapidash.models import OrderedMLPConfig, RapidashConfig
from rapidash.relax import ACE
from rapidash.study._design import StudyDesign
from rapidash.train import TrainConfig

STEPS = 1000


def make_design(full: bool) -> StudyDesign:
    """An MLP that measures and searches are put to, three learned ranges of turns about z, and ACE; five truths.

    Every seed has templates and samples of its own. Quick: seeds 0 to 2. Full: seeds 0 to 4. Settings and the
    thresholds of the rules were chosen on seeds from 100 on.
    """
    free = OrderedMLPConfig(num_points=PLANTED_POINTS, hidden_dim=64, num_layers=2)
    bound = RapidashConfig(symmetry="SO2(z)", space="R3", channels=16, num_layers=1, basis_dim=16, basis_hidden_dim=16)
    return StudyDesign(
        "planted",
        arms(Variant("MLP", free), bound, axis="z", steps=STEPS),
        training(STEPS),
        seeds=(0, 1, 2, 3, 4) if full else (0, 1, 2),
        factors={"task.symmetry": PLANTED},
        setting="full" if full else "quick",
        measures=("planted-sayings",),
        seed_option="data_seed",
    )


def arms(plain: Variant, bound: RapidashConfig, *, axis: str, steps: int) -> tuple[Variant, ...]:
    """A network that keeps no turn, its learned ranges of turns about an axis, and another one that ACE relaxes.

    The last has no neighbor: what it says is asked for, and its error is not compared with that of another network.

    Args:
        plain: keeps no turn.
        bound: keeps those about the axis.
        axis: ``"z"`` or ``"x"``.
        steps: of the training; the rates of widths and shares are such that they get as far in any number of steps.
    """
    about, name = f"SO2({axis}) about the origin", plain.name
    widths = Augerino(about, init_width=0.05, weight=0.02, learning_rate=8 / steps)
    shares = LearnedHistogram(about, init_share=0.95, weight=0.1, learning_rate=100 / steps)

    def arm(plus: str, method: Method, knob: str, neighbor: str = name) -> Variant:
        return Variant(f"{name} + {plus}", plain.model, methods=(method,), neighbor=neighbor, knob=knob)

    return (
        plain,
        arm(f"Augerino {axis}", widths, f"a learned half-width of turns about {axis}"),
        arm(
            f"Augerino {axis}, no penalty",
            replace(widths, weight=0.0),
            "nothing pays for width: the control",
            f"{name} + Augerino {axis}",
        ),
        arm(f"histogram {axis}", shares, f"learned shares of 24 turns about {axis}"),
        Variant(
            f"SO2({axis}) on R3 + ACE",
            bound,
            methods=(ACE(form="resilient", tau=0.3, bound="norm"),),
        ),
    )


def training(steps: int) -> TrainConfig:
    """A single validation, at the end: what methods have learned is read from the weights of the last step."""
    return TrainConfig(
        steps=steps,
        batch_size=64,
        learning_rate=5e-3,
        weight_decay=1e-4,
        warmup_steps=20,
        ema_decay=0.9,
        eval_every=steps,
        checkpoint_every=steps,
    )
