"""Make the weights that `rapidash.symmetrize.tabular.EquiTabPFNClassifier` comes with, in less than a core-hour.

    python tools/pretrain_tabular.py --run-dir runs/tabular --out src/rapidash/symmetrize/tabular/weights

A run that was stopped continues from its last checkpoint. Nothing but random tables is seen.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

import torch

from rapidash.methods import Variant, build_model
from rapidash.symmetrize.tabular import EquiTabPFNConfig, PriorFitting, SyntheticTablesTask, save_in_context
from rapidash.train import TrainConfig, train

TASK = SyntheticTablesTask("random", num_features=32, max_classes=10, num_context=160, num_queries=64, num_val=90)
NETWORK = EquiTabPFNConfig(dim=64, num_blocks=4, num_heads=4, decoder_hidden=64)
VARIANT = Variant(
    "packaged", NETWORK, objective=PriorFitting(min_context=24, max_context=360, num_queries=48, tokens=5000)
)
CONFIG = TrainConfig(
    steps=3600,
    batch_size=1,  # tables: as many as the objective's tokens allow
    learning_rate=1.5e-3,
    weight_decay=0.0,
    warmup_steps=100,
    ema_decay=0.995,
    eval_every=250,
    checkpoint_every=125,
    threads=1,
)
SEED = 0
CARD = """# A network in context for tables

EquiTabPFN (arXiv 2502.06684), fitted to random tables by `tools/pretrain_tabular.py`; it has seen no real data.
{tables} Error rate on held-out random tables of 2 to 10 classes: {error:.1f} %, cross-entropy {entropy:.3f} nats.
"""


def main() -> None:
    """Train, print the history, and write the network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run-dir", type=Path, required=True, help="checkpoints")
    parser.add_argument("--out", type=Path, required=True, help="folder of the network")
    parser.add_argument("--steps", type=int, default=CONFIG.steps, help="of the training, default: %(default)s")
    options = parser.parse_args()
    started = time.process_time()
    config = replace(CONFIG, steps=options.steps)
    result, model = fit(config, options.run_dir)
    row = next(row for row in result.history if row["step"] == result.best_step)
    card = CARD.format(
        tables=f"{config.steps} steps of at most {VARIANT.objective.tokens} tokens.",
        error=row["val_error"],
        entropy=row["val/cross-entropy (nats)"],
    )
    save_in_context(options.out, model.network, NETWORK, card)
    print(f"{options.out}: {(time.process_time() - started) / 60:.1f} core-minutes in this session")


def fit(config: TrainConfig, run_dir: Path) -> tuple:
    """The result of the training run, and the model with its best weights by held-out tables."""
    torch.set_num_threads(1)
    model = build_model(TASK, VARIANT, seed=SEED)
    data = {"train_set": TASK.dataset("train"), "val_set": TASK.dataset("val")}
    objective = VARIANT.objective
    result = train(model, TASK, config, **data, seed=SEED, run_dir=run_dir, progress=True, objective=objective)
    return result, model


if __name__ == "__main__":
    main()
