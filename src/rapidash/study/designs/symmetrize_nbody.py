"""The study of symmetrization on charged particles: rotations built into a network, or put around any network?"""

from dataclasses import replace

from rapidash.models import OrderedMLPConfig, RapidashConfig, TransformerConfig
from rapidash.study._design import StudyDesign
from rapidash.study.designs._ladder import three_rungs
from rapidash.study.designs._symmetrized import Arms
from rapidash.symmetrize import Canonicalization
from rapidash.train import TrainConfig


def make_design(full: bool) -> StudyDesign:
    """Two backbones in six arms, for one of them two more with one element in training, beside Rapidash of their size.

    An arm whose average has 8 elements sees 8 poses a step: compare those with one, or give all the operations of the
    first variant by ``--equal flops``.

    Quick: 1000 training samples and few steps. Full: all 3000, wider networks, and more steps.
    """
    scale = 2 if full else 1
    rapidash = RapidashConfig(grid="platonic", num_orientations=8, channels=32 * scale, num_layers=2 + full)
    rungs = three_rungs(replace(rapidash, basis_dim=32, basis_hidden_dim=32))
    arms = Arms("O(3)", num=8, num_test=20, canonical=Canonicalization("E(3)"))
    mlp = arms.variants("MLP", OrderedMLPConfig(5, hidden_dim=96 * scale, num_layers=3), rungs[2])
    attention = TransformerConfig(channels=32 * scale, num_layers=2 + full)
    transformer = arms.variants("transformer", attention, rungs[2])
    del transformer["averaged, one"], transformer["probabilistic, one"]
    train = TrainConfig(
        steps=6000 if full else 600,
        batch_size=50,
        learning_rate=2e-3,
        weight_decay=1e-5,
        warmup_steps=50,
        ema_decay=0.98,
        eval_every=1000 if full else 100,
        checkpoint_every=500,
    )
    sizes = {} if full else {"num_train": 1000, "num_val": 500, "num_test": 1000}
    return StudyDesign(
        "nbody",
        (*rungs, *mlp.values(), *transformer.values()),
        train,
        task_options={"reports_inertia": True, **sizes},
        setting="full" if full else "quick",
    )
