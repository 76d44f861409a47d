"""The study of the Rapidash paper's questions on shapes: upright models, and models in any pose, in three sizes.

Full, planned by the processor time of a step on a core that does nothing else (ms): E(3) on R3xS2 35, with the frame
or the axis 34 and 35, with RPP 40, SE(3) 66, E(3), SO2 and T(3) on R3 13 to 17, with learned ranges 21, twice as wide
16, averaged over frames 31, EGNN and PaiNN 33, transformer 13. All train for as long as 600 steps of the first take,
21 s; reading, measuring and tests take some 10 s more. So a piece of one variant (two protocols, three sizes, three
seeds) has 9 core-minutes, and all 16 have 2.5 core-hours; on a busy machine runs take longer.
"""

from dataclasses import replace

from rapidash.models import EGNNConfig, PaiNNConfig, RapidashConfig, TransformerConfig
from rapidash.study._design import StudyDesign
from rapidash.study.designs._questions import questions, recipe


def make_design(full: bool) -> StudyDesign:
    """Two trainings: one on models turned about the vertical, one on models turned any way.

    The test error of the first is that of the protocol z/z, its error on rotated test data that of z/SO(3); the test
    error of the second is that of SO(3)/SO(3).

    Quick: six arms on 64 points of 800 models turned about the vertical. Full: 16 arms on 359, 1,078 and all 3,592
    models of the official training part that are not held out, and all those of the test.
    """
    base = RapidashConfig(grid="platonic", num_orientations=12, edges=("knn-8", "knn-8"), ratios=0.25)
    base = replace(base, channels=(16, 32), num_layers=(1, 1), widening=2, basis_dim=16, basis_hidden_dim=16)
    networks = (
        EGNNConfig(channels=32, num_layers=2, edges="knn-8", pools_features=True),
        PaiNNConfig(channels=32, num_layers=2, edges="knn-8", pools_features=True),
        TransformerConfig(channels=32, num_layers=2, pools_features=True),
    )
    train = recipe(
        full, steps=600, every=200, warmup_steps=60,
        batch_size=16, learning_rate=1e-2, weight_decay=1e-2, ema_decay=0.98,
    )  # fmt: skip
    sizes = {} if full else {"num_train": 800, "num_val": 200, "num_test": 300}
    return StudyDesign(
        "modelnet10",
        questions(full, base, *networks, upright=True),
        train,
        fractions=(0.1, 0.3, 1.0) if full else (1.0,),
        task_options={"num_points": 64, **sizes},
        factors={"task.protocol": ("z/z", "SO(3)/SO(3)") if full else ("z/z",)},
        setting="full" if full else "quick",
        equal="time",
    )
