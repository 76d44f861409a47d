"""Make the weights that `rapidash.symmetrize.tabular.EquiTabPFNClassifier` comes with: one command, a core-hour at most.

python tools/pretrain_tabular.py --run-dir runs/tabular     # continues where it stopped
"""

import argparse
import time
from pathlib import Path

import torch

from rapidash.methods import Variant, build_model
from rapidash.symmetrize.tabular import EquiTabPFNConfig, PriorFitting, SyntheticTablesTask
from rapidash.train import TrainConfig, train

TASK = SyntheticTablesTask("random", num_features=32, max_classes=10, num_context=160, num_queries=64, num_val=90)
VARIANT = Variant(
    "packaged",
    EquiTabPFNConfig(dim=64, num_blocks=4, num_heads=4, decoder_hidden=64),
    objective=PriorFitting(min_context=24, max_context=400, num_queries=64, tokens=8192),
)
SEED = 0


def main() -> None:
    """Train, and print the history."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run-dir", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--optimizer", default="muon", choices=("adamw", "muon"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    config = TrainConfig(
        steps=options.steps,
        batch_size=1,
        learning_rate=options.learning_rate,
        weight_decay=0.0,
        warmup_steps=min(200, options.steps),
        ema_decay=0.99,
        eval_every=max(1, min(200, options.steps // 5)),
        checkpoint_every=200,
        optimizer=options.optimizer,
        threads=1,
    )
    started = time.process_time()
    model = build_model(TASK, VARIANT, seed=SEED)
    train(
        model,
        TASK,
        config,
        train_set=TASK.dataset("train"),
        val_set=TASK.dataset("val"),
        seed=SEED,
        run_dir=options.run_dir,
        progress="always",
        objective=VARIANT.objective,
    )
    print(f"{time.process_time() - started:.0f} s of one core in this session")


if __name__ == "__main__":
    main()
