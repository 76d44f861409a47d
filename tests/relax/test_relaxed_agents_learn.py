"""What relaxed agents are for: few transitions where the symmetry is exact, and no ceiling where it is broken."""

from pathlib import Path
from statistics import fmean

import pytest

from rapidash.methods import build_model
from rapidash.relax.rl import GridWorldTask
from rapidash.study import get_design
from rapidash.study._run import training_subset
from rapidash.train import train

SEEDS = range(4)


def success(name: str, dynamics: str, num: int, run_dir: Path) -> float:
    """The share of test cells from which the greedy policy arrives, as the quick study trains it."""
    design, task = get_design("relax-rl"), GridWorldTask(dynamics)
    (variant,) = (found for found in design.variants if found.name == name)
    data, val_set, test_set = (task.dataset(split) for split in ("train", "val", "test"))
    found = []
    for seed in SEEDS:
        model = build_model(task, variant, seed=seed)
        train(
            model,
            task,
            design.train,
            train_set=training_subset(data, num / len(data), seed),
            val_set=val_set,
            seed=seed,
            run_dir=run_dir / f"{name} {seed}",
            progress=False,
            objective=variant.objective,
            methods=variant.methods,
        )
        error = variant.objective.score(model, task, test_set, train=data, batch_size=64).error
        found.append(1 - error / 100)
    return fmean(found)


@pytest.mark.slow
def test_with_an_exact_symmetry_few_transitions_are_enough(tmp_path: Path) -> None:
    free, strict, relaxed = (success(name, "exact", 40, tmp_path) for name in ("free", "C4 strict", "C4 relaxed"))
    print(f"40 transitions, exact: free {free:.3f}, strict {strict:.3f}, relaxed {relaxed:.3f}")
    assert relaxed >= strict - 0.1
    assert relaxed >= free + 0.3


@pytest.mark.slow
def test_with_a_broken_symmetry_the_relaxed_agent_goes_beyond_the_strict_one(tmp_path: Path) -> None:
    strict, relaxed = (success(name, "reflected", 600, tmp_path) for name in ("C4 strict", "C4 relaxed"))
    print(f"600 transitions, reflected: strict {strict:.3f}, relaxed {relaxed:.3f}")
    assert relaxed >= strict + 0.15
