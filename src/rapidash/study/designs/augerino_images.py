"""The study of learned ranges on images: how far figures may be turned and moved where the truth is planted."""

from rapidash.learn import Augerino
from rapidash.methods import Variant
from rapidash.models import MLPConfig
from rapidash.study._design import StudyDesign
from rapidash.train import TrainConfig

TURN, SHIFT, COPIES = 0.15, 0.5, 4  # half-widths at the start, radian and pixels; copies in the test


def make_design(full: bool) -> StudyDesign:
    """A network of pixels without moves, and with the half-widths of turns, or of shifts, learned at three weights.

    The weight 0 is the control. Two truths are planted: turns by pi / 4, and shifts by 1 pixel along each axis. Turns
    and shifts are learned in arms of their own, for the penalty of both would open what nothing limits: figures in the
    middle may be shifted up to the edge, and of figures elsewhere a turn changes the place.

    Quick: 1,000 steps, three seeds. Full: 3,000 steps, five seeds.
    """
    network, still = MLPConfig(hidden_dim=64, num_layers=2), "no move"

    def learned(moves: str, weight: float, neighbor: str, knob: str) -> Variant:
        group, start = ("SO(2)", TURN) if moves == "turns" else ("T(2)", SHIFT)
        method = Augerino(group, start, weight=weight, num_test=COPIES)
        return Variant(f"{moves}, weight {weight:g}", network, methods=(method,), neighbor=neighbor, knob=knob)

    variants = [Variant(still, network)]
    for moves in ("turns", "shifts"):
        variants += [
            learned(moves, 0.0, still, f"half-widths of {moves} are learned without a penalty"),
            learned(moves, 0.01, f"{moves}, weight 0", "a penalty that opens them"),
            learned(moves, 0.05, f"{moves}, weight 0.01", "five times that penalty"),
        ]
    steps = 3000 if full else 1000
    train = TrainConfig(
        steps=steps,
        batch_size=64,
        learning_rate=3e-3,
        weight_decay=0.0,
        warmup_steps=50,
        ema_decay=0.99,
        eval_every=250,
        checkpoint_every=steps,
    )
    return StudyDesign(
        "partial-images",
        tuple(variants),
        train,
        seeds=(3, 4, 5, 6, 7) if full else (3, 4, 5),
        task_options={"data_seed": 1},
        factors={"task.planted": ("turns", "shifts")},
        setting="full" if full else "quick",
    )
