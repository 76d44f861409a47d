"""Test error against processor time on one core, of Rapidash and of other networks, on four tasks.

Run: python benchmarks/time_to_accuracy.py [--tasks nbody qm9 md modelnet10-poses] [--networks NAMES] [--seconds 15 60]
     python benchmarks/time_to_accuracy.py --choices --seconds 15 60 --seeds 0 1 2

with the data of all but nbody in RAPIDASH_DATA. Writes time_to_accuracy.{md,csv,svg} to the folder --page; with
--choices orientation_choices.{md,csv,svg}, of Rapidash alone: numbers of orientations, their grid, maps on them, and
the width of the channel MLP. Measurements are kept in the folder --out: the same command goes on where it was stopped,
and other tasks, networks, times and seeds are added to it. Of a training that was stopped nothing is kept, since its
time would not be known.

Networks and settings are those of the full designs (`rapidash study TASK --full`); those of SIZES are not in them. Each
training has as many steps as fit into the seconds by the measured cost of its step; the schedule and the number of
validations are those of the design. Times are of the processor: what else the machine does counts for little. With
--rates each network is trained on the first seed at each multiple of the design's learning rate, at twice the largest
or half the least as long as that gains a twentieth, and validation chooses the one of the other seeds, at each length.
NequIP is measured where it is installed:

     pip install -c constraints.txt --group bench
"""

import argparse
import json
import math
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import torch
from time_to_accuracy_page import LARGE, SMALL, Row, write
from torch import nn

from rapidash._files import atomic_write
from rapidash.data import Dataset
from rapidash.methods import Supervised, Task, Variant, build_model, evaluate
from rapidash.models import NetworkConfig, PaiNNConfig, SchNetConfig
from rapidash.nn import used_parameters
from rapidash.study import RunConfig, StudyDesign, get_design, with_steps
from rapidash.tasks import get_task
from rapidash.train import Setup, TrainingDivergedError, step_costs, train
from rapidash.train._checkpoint import Checkpoints
from rapidash.train._training import Training

TASKS = ("nbody", "qm9", "md", "modelnet10-poses")  # designs
OF_ENERGIES = {"NequIP, degree 1": 1, "NequIP, degree 2": 2}  # by the highest degree; where the library is installed
NETWORKS = ("E(3) on R3", "R3xS2, pointwise", "R3xS2, bandlimited", "EGNN", "PaiNN", "SchNet", *OF_ENERGIES)
ORIENTATIONS = 12
CHOICES: dict[str, dict[str, Any]] = {
    "E(3) on R3": {"space": "R3"},
    "8, pointwise": {"num_orientations": 8},
    "8, bandlimited": {"num_orientations": 8, "orientation_mlp": "bandlimited"},
    "12, pointwise": {},
    "12 of Fibonacci, pointwise": {"grid": "fibonacci"},
    "12, bandlimited": {"orientation_mlp": "bandlimited"},
    "12, pointwise, widening 2": {"widening": 2},
    "12, bandlimited, widening 2": {"orientation_mlp": "bandlimited", "widening": 2},
    "12, pointwise, widening 4": {"widening": 4},
    "12, bandlimited, widening 4": {"orientation_mlp": "bandlimited", "widening": 4},
    "20, pointwise": {"num_orientations": 20},
    "20, bandlimited": {"num_orientations": 20, "orientation_mlp": "bandlimited"},
}
SIZES: dict[str, dict[str, dict[str, Any]]] = {  # on molecules the edges are those of Rapidash
    "nbody": {"PaiNN": {"channels": 64, "num_layers": 3}, "SchNet": {"channels": 64, "num_layers": 4}},
    "qm9": {"PaiNN": {"channels": 64, "num_layers": 3}, "SchNet": {"channels": 128, "num_layers": 6}},
    "md": {"PaiNN": {"channels": 64, "num_layers": 3}, "SchNet": {"channels": 128, "num_layers": 6}},
}
TEST_BATCH = 50
GAIN = 0.95  # by which an end of the learning rates has to be ahead for a further one to be tried


def lifted(design: StudyDesign) -> Any:
    """The network on R^3 x S^2 of a task, with twelve orientations."""
    (own,) = (variant.model for variant in design.variants if variant.name == "E(3) on R3xS2")
    return replace(own, grid="platonic", num_orientations=ORIENTATIONS, orientation_mlp="pointwise")  # type: ignore[type-var]


def choices(design: StudyDesign) -> dict[str, NetworkConfig]:
    """The network on R^3 x S^2 of a task with each of the `CHOICES`, by name, each network once.

    Where the name has none, the width of the channel MLP is that of the design: on QM9 and shapes 2 times the channels,
    else 4. On shapes all have 12 orientations.
    """
    found: dict[str, NetworkConfig] = {}
    for name, changes in CHOICES.items():
        network = replace(lifted(design), **changes)
        is_asked = design.task != "modelnet10" or network.num_orientations == ORIENTATIONS
        if is_asked and network not in found.values():
            found[name] = network
    return found


def networks(design: StudyDesign) -> dict[str, NetworkConfig]:
    """All networks of a task by name."""
    own: dict[str, Any] = {variant.name: variant.model for variant in design.variants}
    flat = own["E(3) on R3"]
    made = {
        "E(3) on R3": flat,
        "R3xS2, pointwise": lifted(design),
        "R3xS2, bandlimited": replace(lifted(design), orientation_mlp="bandlimited"),
        "EGNN": own["EGNN"],
    }
    kinds: dict[str, Any] = {"PaiNN": PaiNNConfig, "SchNet": SchNetConfig}
    made |= {name: own[name] for name in kinds if name in own}
    made |= {name: kinds[name](edges=flat.edges, **size) for name, size in SIZES.get(design.task, {}).items()}
    if design.task == "md" and find_spec("nequip"):
        from nequip_network import NequIPConfig

        made |= {name: NequIPConfig(edges=flat.edges, l_max=degree) for name, degree in OF_ENERGIES.items()}
    return made


def configuration(task: str, network: str, seed: int, rate: float) -> RunConfig:
    """Of a training as long as that of the design that is called as the task is here."""
    design = get_design(task, full=True)
    settings = replace(design.train, threads=1, learning_rate=rate * design.train.learning_rate)
    variant = Variant(network, (networks(design) | choices(design))[network])
    return RunConfig(design.task, variant, seed, settings, task_options=dict(design.task_options))


def prepared(config: RunConfig, task: Task, data: Dataset) -> tuple[nn.Module, Setup]:
    """A fresh network, and what its training is told; the data serve for validation too."""
    model = build_model(task, config.variant, seed=config.seed)
    setup = Setup(task, Supervised(), (), config.train, data, data, config.seed, torch.device("cpu"))
    return model, setup


def seconds_of_first_step(config: RunConfig, task: Task, data: Dataset) -> float:
    """Of building, calibration, and whatever is compiled or read in this process for a step, and the step."""
    started = time.process_time()
    model, setup = prepared(config, task, data)
    with tempfile.TemporaryDirectory() as folder:
        terms = Training(model, setup, Checkpoints(Path(folder), {})).first_step()
    assert all(bool(term.detach().isfinite()) for term in terms.values())
    return time.process_time() - started


def speed(config: RunConfig) -> Row:
    """Steps and predictions of a network that is not trained, in a process that has done nothing else."""
    torch.set_num_threads(1)
    task = get_task(config.task, **config.task_options)
    data = task.dataset("train")
    first = seconds_of_first_step(config, task, data)
    model, setup = prepared(config, task, data)
    (cost,) = step_costs({config.label: (model, setup)}, clock=time.process_time)
    model.eval()
    found = {"first_step": first, "step": cost.seconds, "parameters": used_parameters(model)}
    for name, clouds in (("small", SMALL), ("large", LARGE)):
        batch = data.batch(torch.arange(clouds) % len(data)).to(dtype=config.train.torch_dtype)
        found[name] = inference_seconds(model, batch)
    return found


def in_another_process(config: RunConfig) -> Row:
    """`speed` where nothing has been compiled or read before."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(speed, config).result()


@torch.no_grad()
def inference_seconds(model: nn.Module, batch: object, rounds: int = 11) -> float:
    """Median of the seconds of a prediction after a tenth as many to warm up, forces included where they are asked."""
    samples = []
    for turn in range(rounds + rounds // 10 + 1):
        started = time.process_time()
        model(batch)
        if turn > rounds // 10:
            samples.append(time.process_time() - started)
    return median(samples)


def trained(config: RunConfig) -> Row:
    """Train a network, and test it; what has to be compiled for its steps is compiled before the clock runs.

    The errors of a training that diverges are infinite.
    """
    task = get_task(config.task, **config.task_options)
    train_set, val_set = task.dataset("train"), task.dataset("val")
    seconds_of_first_step(config, task, train_set)
    model = build_model(task, config.variant, seed=config.seed)
    with tempfile.TemporaryDirectory() as folder:
        started = time.process_time()
        try:
            result = train(
                model, task, config.train, train_set=train_set, val_set=val_set, seed=config.seed, run_dir=folder,
                progress=False,
            )  # fmt: skip
            error = result.best_val_error
        except TrainingDivergedError:
            error = math.inf
        seconds = time.process_time() - started
    test = evaluate(model, task, task.dataset("test"), batch_size=TEST_BATCH).mean if math.isfinite(error) else error
    return {"seconds": seconds, "val_error": error, "test_error": test, "unit": task.unit}


def kept(path: Path, make: Callable[[], Row]) -> Row:
    """The content of a file, which is made and written if it is not there."""
    if not path.is_file():
        atomic_write(path, json.dumps(make(), indent=1) + "\n")
    found: Row = json.loads(path.read_text(encoding="utf-8"))
    return found


def measured(options: argparse.Namespace) -> tuple[list[Row], list[Row]]:
    """Speeds, a row for each network of each task, and trainings."""
    speeds, trainings = [], []
    for task in options.tasks:
        costs: dict[str, Row] = {}
        design = get_design(task, full=True)
        known = networks(design) | choices(design)
        for network in (name for name in options.networks if name in known):
            plan = configuration(task, network, 0, 1.0)
            costs[network] = kept(options.out / f"speed-{plan.key}.json", partial(in_another_process, plan))
            per_second = plan.train.batch_size / costs[network]["step"]
            speeds.append({"task": task, "network": network, "samples_per_second": per_second} | costs[network])
            print(f"{task}, {network}: a step {1e3 * costs[network]['step']:.1f} ms", flush=True)
        for seconds in options.seconds:
            for network in costs:
                steps = max(1, int(seconds / costs[network]["step"]))
                length = partial(training_of, options.out, task, network, seconds, steps)
                first, *others = options.seeds
                tried, best = tuned(partial(length, first), options.rates)
                trainings += [*tried, *(length(seed, best) for seed in others)]
    return speeds, trainings


def tuned(trained_at: Callable[[float], Row], rates: Sequence[float]) -> tuple[list[Row], float]:
    """The trainings at these rates and beyond, and the rate that is best on validation.

    Twice the largest of several, or half the least, is tried where its error is below `GAIN` times every other one.
    """
    rows = [trained_at(rate) for rate in rates]
    while True:
        best, *others = sorted(rows, key=lambda row: row["val_error"])
        known = [row["rate"] for row in rows]
        ends = {max(known): 2.0, min(known): 0.5}
        gains = bool(others) and best["val_error"] < GAIN * others[0]["val_error"]
        if best["rate"] not in ends or not gains:
            return rows, best["rate"]
        rows.append(trained_at(ends[best["rate"]] * best["rate"]))


def training_of(out: Path, task: str, network: str, seconds: float, steps: int, seed: int, rate: float) -> Row:
    """What a training of so many steps, which should take the seconds, has given."""
    config = configuration(task, network, seed, rate)
    config = replace(config, train=replace(with_steps(config.train, steps), checkpoint_every=steps))
    row = kept(out / f"{config.key}.json", partial(trained, config))
    print(f"{task}, {network}, {seconds:g} s: {row['test_error']:.3g} {row['unit']}", flush=True)
    names = {"task": task, "network": network, "budget": seconds, "seed": seed, "rate": rate, "steps": steps}
    return names | row


def main() -> None:
    """Measure what is not there yet, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS)
    parser.add_argument("--networks", nargs="+", choices=dict.fromkeys((*NETWORKS, *CHOICES)))
    parser.add_argument("--choices", action="store_true", help="of Rapidash, in place of other networks")
    parser.add_argument("--seconds", nargs="+", type=float, default=(15.0, 60.0, 240.0), help="of the steps")
    parser.add_argument("--seeds", nargs="+", type=int, default=(0,))
    parser.add_argument("--rates", nargs="+", type=float, default=(1.0,), help="multiples of the learning rate")
    parser.add_argument("--out", type=Path, default=Path("runs/time_to_accuracy"), help="what has been measured")
    parser.add_argument("--page", type=Path, default=Path(__file__).parent, help="table, values and plot")
    options = parser.parse_args()
    options.networks = options.networks or (tuple(CHOICES) if options.choices else NETWORKS)
    torch.set_num_threads(1)
    name = "orientation_choices" if options.choices else "time_to_accuracy"
    command = f"python benchmarks/time_to_accuracy.py {shlex.join(sys.argv[1:])}"
    write(*measured(options), options.page, name=name, command=command)


if __name__ == "__main__":
    main()
