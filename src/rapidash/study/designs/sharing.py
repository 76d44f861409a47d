"""The study of learned sharing: is the partition of the weights found that was planted, and does it pay?"""

from rapidash.learn.sharing import CASES, Bilevel, SharedWeightsConfig
from rapidash.methods import Variant
from rapidash.study._design import StudyDesign
from rapidash.train import TrainConfig


def make_design(full: bool) -> StudyDesign:
    """No sharing, the planted sharing (an oracle), and searches for it, on problems with and without any.

    Searches try all partitions by their validation loss alone, or with a penalty on clusters, or follow the gradient of
    a relaxed assignment. A run solves 100 trials of means, 20 of maps of a ring, 2 of sums. Quick: three seeds. Full:
    ten.
    """
    model = SharedWeightsConfig()
    none, alone, exact = "no sharing", "all partitions, validation alone", "all partitions, penalty"
    variants = (
        Variant(none, model, objective=Bilevel("none")),
        Variant("planted sharing", model, objective=Bilevel("given"), neighbor=none, knob="the planted sharing"),
        Variant(
            alone, model, objective=Bilevel(weight=0.0), neighbor=none, knob="the sharing of least validation loss"
        ),
        Variant(exact, model, objective=Bilevel(), neighbor=alone, knob="a penalty of 0.01 on clusters"),
        Variant("relaxed", model, objective=Bilevel("relaxed"), neighbor=exact, knob="gradients of a relaxed sharing"),
        Variant(
            "relaxed, then single moves",
            model,
            objective=Bilevel("relaxed", refine=True),
            neighbor="relaxed",
            knob="the best start improved by moves of one weight",
        ),
    )
    train = TrainConfig(
        steps=1, warmup_steps=0, weight_decay=0.0, ema_decay=0.0, eval_every=1, checkpoint_every=1, dtype="float64"
    )
    return StudyDesign(
        "planted-sharing",
        variants,
        train,
        seeds=tuple(range(10 if full else 3)),
        factors={"task.case": tuple(CASES)},
        measures=("sharing",),
        setting="full" if full else "quick",
    )
