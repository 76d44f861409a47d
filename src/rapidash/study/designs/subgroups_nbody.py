"""The study of subgroups on charged particles: in a vertical field, and without one, where all rotations hold."""

from dataclasses import replace

from rapidash.learn import SubgroupEvolution, SubgroupMixing
from rapidash.methods import Variant
from rapidash.models import RapidashConfig
from rapidash.study._design import StudyDesign
from rapidash.study.designs.relax_nbody_field import FIELD
from rapidash.train import TrainConfig

WHOLE = "E(3), E(3)"
GROUPS = ("E(3)", "D4", "C2(z)", "T(3)")


def make_design(full: bool) -> StudyDesign:
    """Four assignments of groups to two blocks on the octahedron, and two searches, with and without a field.

    The field keeps the turns and mirrors about the vertical: of the 48 motions of the octahedron those eight of D4.

    Quick: 300 steps, three seeds. Full: 1,200 steps, five seeds.
    """
    network = RapidashConfig(grid="platonic", num_orientations=6, channels=8, num_layers=2)
    network = replace(network, basis_dim=8, basis_hidden_dim=16)

    def stated(neighbor: str | None, knob: str, *groups: str) -> Variant:
        model = network if set(groups) == {"E(3)"} else replace(network, subgroups=groups)
        return Variant(", ".join(groups), model, neighbor=neighbor, knob=knob)

    steps = 1200 if full else 300
    generation = steps // 6
    evolution = SubgroupEvolution(GROUPS, start=generation, generation=generation, generations=4, places=5)
    variants = (
        stated(None, "", "E(3)", "E(3)"),
        stated(WHOLE, "the last block keeps turns and mirrors about the vertical", "E(3)", "D4"),
        stated("E(3), D4", "the first block too", "D4", "D4"),
        stated("D4, D4", "no block keeps a motion of the grid", "T(3)", "T(3)"),
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
        "nbody",
        variants,
        train,
        seeds=(0, 1, 2, 3, 4) if full else (0, 1, 2),
        task_options={"num_train": 300, "num_val": 300, "num_test": 500},
        setting="full" if full else "quick",
        factors={"task.uniform_field": (FIELD, 0.0)},
    )
