"""Train the models that come along with the package, one of which `rapidash predict` takes by its name.

    python tools/train_packaged.py dipole --run-dir runs/packaged       # needs: pip install --no-deps qm9pack
    python tools/train_packaged.py nbody --run-dir runs/packaged

Each takes at most five minutes of one core. With one thread the weights are the same bit for bit on the same machine
and version of torch. A run that was stopped continues from its last checkpoint.
"""

import argparse
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from rapidash.datasets import qm9pack_folder
from rapidash.methods import Variant, build_model, evaluate
from rapidash.models import RapidashConfig
from rapidash.predict import TrainedModel
from rapidash.tasks import get_task
from rapidash.train import TrainConfig, train

PACKAGED = Path(__file__).resolve().parents[1] / "src" / "rapidash" / "pretrained"
SEED = 0


@dataclass(frozen=True)
class Packaged:
    """One of the models: its task and options, network, training, and what its card says of the data."""

    task: str
    options: dict[str, Any]
    variant: Variant
    train: TrainConfig
    data: str


DIPOLE = Packaged(
    "qm9",
    {"target": "mu", "source": "b3lyp", "from_vector": True, "num_val": 1000},
    Variant(
        "E(3) on R3",
        RapidashConfig(
            symmetry="E(3)",
            space="R3",
            channels=64,
            num_layers=4,
            edges="radius-1.5",
            basis_dim=32,
            basis_hidden_dim=32,
            widening=2,
            layer_scale=0.1,
        ),
    ),
    TrainConfig(
        steps=6000,
        batch_size=32,
        learning_rate=5e-3,
        weight_decay=1e-4,
        warmup_steps=200,
        ema_decay=0.995,
        eval_every=1500,
        checkpoint_every=500,
        optimizer="muon",
        threads=1,
    ),
    "Dipole moments (B3LYP/6-31G(2df,p), debye) and geometries of the molecules of QM9, as the package qm9pack 1.0.3 "
    "has them. Its MIT license (copyright of its author, R. Ramakrishnan) allows weights that were trained on them to "
    "be given away. The data themselves are not in this folder. Source: Ramakrishnan et al., Scientific Data 1, 140022 "
    "(2014).",
)
NBODY = Packaged(
    "nbody",
    {"num_val": 1000},
    Variant(
        "E(3) on R3xS2",
        RapidashConfig(
            symmetry="E(3)",
            space="R3xS2",
            grid="platonic",
            num_orientations=8,
            channels=32,
            num_layers=3,
            basis_dim=32,
            basis_hidden_dim=32,
        ),
    ),
    TrainConfig(
        steps=1000,
        batch_size=100,
        learning_rate=5e-3,
        weight_decay=1e-5,
        warmup_steps=50,
        ema_decay=0.98,
        eval_every=500,
        checkpoint_every=250,
        threads=1,
    ),
    "Charged particles, simulated by rapidash.datasets.nbody_dataset after Satorras et al., ICML 2021: no data of "
    "others, so that no terms of others apply.",
)
MODELS = {"dipole": DIPOLE, "nbody": NBODY}


def main() -> None:
    """Train, test, and write one of the models."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=MODELS)
    parser.add_argument("--run-dir", type=Path, required=True, help="checkpoints")
    parser.add_argument("--out", type=Path, default=PACKAGED, help="folder of the folders, default: %(default)s")
    parser.add_argument("--steps", type=int, help="of the training, default: those of the model")
    options = parser.parse_args()
    started = time.process_time()
    trained = fit(options.name, options.run_dir / options.name, options.steps)
    folder = trained.save_pretrained(options.out / options.name, license="mit", notes=MODELS[options.name].data)
    print(f"{folder}: {trained.results['test_error']:.4g} {trained.results['unit']}")
    print(f"{(time.process_time() - started) / 60:.1f} core-minutes in this session")


def fit(name: str, run_dir: Path, steps: int | None = None) -> TrainedModel:
    """The model with its best weights by validation, and its error on the test part."""
    model_of = MODELS[name]
    options = dict(model_of.options)
    if model_of.task == "qm9":
        if (folder := qm9pack_folder()) is None:
            raise SystemExit("the molecules of QM9 come with the package qm9pack: pip install --no-deps qm9pack==1.0.3")
        options["data_dir"] = str(folder)
    torch.set_num_threads(1)
    config = model_of.train
    if steps is not None:
        config = replace(config, steps=steps, warmup_steps=min(config.warmup_steps, steps))
    task = get_task(model_of.task, **options)
    model = build_model(task, model_of.variant, seed=SEED)
    data = {"train_set": task.dataset("train"), "val_set": task.dataset("val")}
    result = train(model, task, config, **data, seed=SEED, run_dir=run_dir, progress=True)
    model.load_state_dict(result.best[model_of.variant.primary_view])
    test = evaluate(model.eval(), task, task.dataset("test"), batch_size=100)
    results = {"metric": task.metric, "unit": task.unit, "val_error": result.best_val_error, "test_error": test.mean}
    training = {"steps": config.steps, "seed": SEED}
    return TrainedModel(model_of.task, model_of.options, model_of.variant, model, task.reference(), training, results)


if __name__ == "__main__":
    main()
