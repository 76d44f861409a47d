"""The study of few labels: does a pre-trained encoder help a classifier, and at which share of the labels?"""

from rapidash.methods import Augment, Variant
from rapidash.study._design import StudyDesign
from rapidash.study._init import Pretrained
from rapidash.study.designs._split_features import learned_split, without_split
from rapidash.study.designs.sie import PERCEPTRON, pretraining_settings
from rapidash.train import TrainConfig

TASK = "template-clouds"
CLOUDS = {"noise": 1.0}  # as far apart as the templates: of clearer clouds twenty labels tell all classes


def make_design(full: bool) -> StudyDesign:
    """A classifier of template clouds with fresh weights, and from two pre-trainings on all clouds without labels.

    All arms see every labeled cloud in a new pose at every step. The seeds share the clouds.

    Quick: three seeds; 300 steps after a pre-training of 800. Full: five seeds; 1,000 after 6,000.
    """
    before = pretraining_settings(6_000 if full else 800)
    train = TrainConfig(
        steps=1_000 if full else 300, batch_size=64, warmup_steps=20, eval_every=100, checkpoint_every=100
    )
    turned = (Augment("SO(3)"),)
    objectives = {"from SIE": ("SIE", learned_split()), "from VICReg": ("VICReg", without_split())}
    variants = (
        Variant("fresh", PERCEPTRON, methods=turned),
        *(
            Variant(name, PERCEPTRON, methods=turned, neighbor="fresh", knob=f"begins with weights of {title}")
            for name, (title, _) in objectives.items()
        ),
    )
    return StudyDesign(
        TASK,
        variants,
        train,
        seeds=(0, 1, 2, 3, 4) if full else (0, 1, 2),
        fractions=(0.01, 0.05, 0.2, 1.0),
        task_options=CLOUDS,
        setting="full" if full else "quick",
        inits={
            name: Pretrained(Variant(title, PERCEPTRON, objective=objective), before, TASK, CLOUDS)
            for name, (title, objective) in objectives.items()
        },
    )
