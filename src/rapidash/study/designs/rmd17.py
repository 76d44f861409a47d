"""The study of the Rapidash paper's questions on molecular dynamics: energies and forces of three molecules of rMD17.

Full, planned by the processor time of a step on a core that does nothing else: of E(3) on R3xS2 34 ms for ethanol, 55
for toluene and 60 for aspirin; of aspirin for SE(3) 108, E(3), SO2(x) and T(3) on R3 15 to 17, with learned ranges
22, twice as wide 20, averaged over frames 31, EGNN 44, PaiNN 32. All train for as long as 1,000 steps of the first
take, 50 s in the mean; measuring and tests take 8 s more on R3 and 22 s or more on R3xS2. So a piece of one variant
(three molecules, three seeds) has 9 to 13 core-minutes, and all 15 have 2.6 core-hours; on a busy machine runs take
longer.
"""

from dataclasses import replace

from rapidash.models import EGNNConfig, PaiNNConfig, RapidashConfig, TransformerConfig
from rapidash.study._design import StudyDesign
from rapidash.study.designs._questions import questions, recipe


def make_design(full: bool) -> StudyDesign:
    """Forces as the gradient of the energy; 950 configurations for training and 50 for validation, published split 1.

    Atoms see those within 2 units = 4 angstrom; those of EGNN and of the transformer see all.

    Quick: six arms on ethanol. Full: 15 arms on ethanol, toluene and aspirin; the test has 500 of the 1,000
    configurations, evenly spaced. Learning curves are ``--fractions 0.1,0.3,1``.
    """
    base = RapidashConfig(grid="platonic", num_orientations=12, channels=32, num_layers=2, widening=2)
    base = replace(base, basis_dim=32, basis_hidden_dim=32, edges="radius-2.0", layer_scale=0.1)
    networks = (
        EGNNConfig(channels=32, num_layers=3, num_fourier=4),
        PaiNNConfig(channels=32, num_layers=3, edges="radius-2.0"),
        TransformerConfig(channels=64, num_layers=3),
    )
    train = recipe(
        full, steps=1000, every=250, warmup_steps=100,
        batch_size=5, learning_rate=5e-3, weight_decay=1e-5, ema_decay=0.99,
    )  # fmt: skip
    return StudyDesign(
        "md",
        questions(full, base, *networks),
        train,
        task_options={"fold": 1, "num_train": 950, "num_val": 50, "num_test": 500 if full else 100},
        factors={"task.molecule": ("ethanol", "toluene", "aspirin") if full else ("ethanol",)},
        setting="full" if full else "quick",
        equal="time",
    )
