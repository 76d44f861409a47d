"""The study of subgroups on images: six and nine, and figures that any quarter turn leaves what they are."""

from dataclasses import replace

from rapidash.learn import SubgroupEvolution, SubgroupMixing
from rapidash.methods import Variant
from rapidash.models import ImageGCNNConfig
from rapidash.study._design import StudyDesign
from rapidash.train import TrainConfig

WHOLE = "C4, C4, C4"
GROUPS = ("C4", "C2", "C1")


def make_design(full: bool) -> StudyDesign:
    """Four assignments of groups to three layers, and two searches, where half turns change the class and where not.

    Quick: 300 steps, three seeds. Full: 1,200 steps, five seeds.
    """
    network = ImageGCNNConfig(symmetry="C4", channels=6, lifting_size=3, pool_after=(1, 2))

    def stated(neighbor: str | None, knob: str, *groups: str) -> Variant:
        model = network if set(groups) == {"C4"} else replace(network, subgroups=groups)
        return Variant(", ".join(groups), model, neighbor=neighbor, knob=knob)

    steps = 1200 if full else 300
    generation = steps // 6
    evolution = SubgroupEvolution(GROUPS, start=generation, generation=generation, generations=4, places=5)
    variants = (
        stated(None, "", "C4", "C4", "C4"),
        stated(WHOLE, "the last layer keeps no turn", "C4", "C4", "C1"),
        stated("C4, C4, C1", "the first layers keep half turns only", "C2", "C2", "C1"),
        stated("C2, C2, C1", "no layer keeps a turn", "C1", "C1", "C1"),
        Variant("evolution", network, methods=(evolution,), neighbor=WHOLE, knob="groups by evolution"),
        Variant("mixing", network, methods=(SubgroupMixing(GROUPS, lr=0.02),), neighbor=WHOLE, knob="groups by logits"),
    )
    train = TrainConfig(
        steps=steps,
        batch_size=50,
        learning_rate=5e-3,
        weight_decay=0.0,
        warmup_steps=20,
        grad_clip=0.0,
        ema_decay=0.0,
        eval_every=generation,
        checkpoint_every=generation,
    )
    return StudyDesign(
        "half-turns",
        variants,
        train,
        seeds=(0, 1, 2, 3, 4) if full else (0, 1, 2),
        task_options={"noise": 1.5},
        setting="full" if full else "quick",
        factors={"task.turns": ("told apart", "ignored")},
    )
