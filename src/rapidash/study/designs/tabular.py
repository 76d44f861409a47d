"""The study of tables: is it worth building in that classes can be renamed, in classification in context?"""

from rapidash.methods import Variant
from rapidash.study._design import StudyDesign
from rapidash.symmetrize.tabular import EquiTabPFNConfig, FixedHeadPFNConfig, PriorFitting
from rapidash.train import TrainConfig


def make_design(full: bool) -> StudyDesign:
    """EquiTabPFN and a network with labels as numbers and a head of fixed width, on random tables of 2 to 5 classes.

    Before training and after it, accuracy and what a relabelling changes are measured for 2, 3, 5, 8 and 12 classes,
    and for averages of the second network over 4 and 16 relabellings.

    Quick: 600 steps of 16 tables, three seeds. Full: 3,000 steps, five seeds.
    """
    steps = 3000 if full else 600
    train = TrainConfig(
        steps=steps,
        batch_size=16,
        learning_rate=1e-3,
        weight_decay=0.0,
        warmup_steps=50,
        ema_decay=0.98,
        eval_every=steps // 4,
        checkpoint_every=300,
    )
    objective = PriorFitting(min_context=40, max_context=40, num_queries=24)
    variants = (
        Variant("EquiTabPFN", EquiTabPFNConfig(dim=48, num_blocks=3, num_heads=4), objective=objective),
        Variant(
            "fixed head",
            FixedHeadPFNConfig(dim=64, num_blocks=6, num_heads=4),
            objective=objective,
            neighbor="EquiTabPFN",
            knob="labels are numbers, and the head has five outputs",
        ),
    )
    seeds = (0, 1, 2, 3, 4) if full else (0, 1, 2)
    setting = "full" if full else "quick"
    return StudyDesign("synthetic-tables", variants, train, seeds, setting=setting, measures=("relabelling",))
