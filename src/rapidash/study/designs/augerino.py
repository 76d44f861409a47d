"""The study of learned ranges: how far rotations and scalings are tolerated where the truth is planted."""

import math

from rapidash.learn import Augerino, LearnedHistogram
from rapidash.methods import Method, Variant
from rapidash.models import OrderedMLPConfig
from rapidash.study._design import StudyDesign
from rapidash.train import TrainConfig

GROUP = "SO(2) + scaling(2)"
TRUTH = math.pi / 4  # half-width of the rotations that the range leaves
COPIES = 4  # in the test


def make_design(full: bool) -> StudyDesign:
    """One network in ten arms on three planted truths: a range of rotations, quarter turns, and no rotation.

    Arms: no move; half-widths learned with weights of the penalty from 0, the control, to 0.1; the true range, given,
    without and with the average over as many copies in the test, a control that the paper lacks; all rotations; and a
    histogram over the rotations, without and with a weight of its entropy. Methods were tuned on the seeds 0 to 2 and
    the data seed 0, which the study does not use.

    Quick: 1,000 steps, three seeds. Full: 3,000 steps, five seeds.
    """
    mlp = OrderedMLPConfig(12, symmetry="T(2)", hidden_dim=64, num_layers=2)
    still, fixed, averaged = "no move", "fixed true range", "fixed true range, averaged"

    def arm(name: str, method: Method, neighbor: str, knob: str) -> Variant:
        return Variant(name, mlp, methods=(method,), neighbor=neighbor, knob=knob)

    def boxed(rotation: float, num_test: int) -> Augerino:
        return Augerino(GROUP, (rotation, 0.0), weight=0.0, num_test=num_test, learns=False)

    def learned(weight: float, neighbor: str, knob: str) -> Variant:
        method = Augerino(GROUP, init_width=0.16, weight=weight, num_test=COPIES)
        return arm(f"learned range, weight {weight:g}", method, neighbor, knob)

    def histogram(weight: float, neighbor: str, knob: str) -> Variant:
        method = LearnedHistogram("SO(2)", weight=weight, num_test=COPIES)
        return arm(f"learned histogram, weight {weight:g}", method, neighbor, knob)

    variants = (
        Variant(still, mlp),
        learned(0.0, still, "half-widths that start at 0.16 and are learned without a penalty"),
        learned(0.01, "learned range, weight 0", "a penalty that opens them"),
        learned(0.05, "learned range, weight 0.01", "five times that penalty"),
        learned(0.1, "learned range, weight 0.05", "twice that"),
        arm(fixed, boxed(TRUTH, 0), still, "samples turned by up to 45 degrees"),
        arm(averaged, boxed(TRUTH, COPIES), fixed, f"the average over {COPIES} copies in the test"),
        arm("all rotations", boxed(math.pi, COPIES), averaged, "samples turned by any angle"),
        histogram(0.0, still, "24 rotations whose shares are learned"),
        histogram(0.02, "learned histogram, weight 0", "a weight of the entropy of the shares"),
    )
    train = TrainConfig(
        steps=3000 if full else 1000,
        batch_size=64,
        learning_rate=3e-3,
        weight_decay=0.0,
        warmup_steps=50,
        ema_decay=0.99,
        eval_every=250,
        checkpoint_every=3000 if full else 1000,
    )
    return StudyDesign(
        "partial-symmetry",
        variants,
        train,
        seeds=(3, 4, 5, 6, 7) if full else (3, 4, 5),
        task_options={"data_seed": 1, "num_train": 2000, "num_val": 500, "num_test": 1000},
        factors={"task.planted": ("range", "C4", "none")},
        setting="full" if full else "quick",
    )
