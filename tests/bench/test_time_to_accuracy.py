"""The bench of error against time: what it compares, what it chooses, and the page that it writes."""

import csv
import math
import sys
from argparse import Namespace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
sys.path.append(str(BENCHMARKS))  # scripts there import each other

import time_to_accuracy as bench  # noqa: E402
import time_to_accuracy_page as page  # noqa: E402


def training(network: str, seed: int, rate: float, val: float, test: float, seconds: float = 9.0) -> dict[str, Any]:
    names = {"task": "md", "network": network, "budget": 10.0, "seed": seed, "rate": rate, "steps": 5}
    return names | {"seconds": seconds, "val_error": val, "test_error": test, "unit": "meV/A"}


TRAININGS = [
    training("EGNN", 0, 1.0, 5.0, 1.0),
    training("EGNN", 1, 1.0, 3.0, 2.0),
    training("EGNN", 0, 2.0, 2.0, 7.0, 11.0),
    training("EGNN", 1, 2.0, 9.0, 9.0, 13.0),
    training("SchNet", 0, 1.0, 1.0, 30.0),
]


def test_validation_chooses_the_rate_and_the_test_error_is_a_mean_over_seeds() -> None:
    """5 against 2 on validation of the first seed: the second rate, whose test errors 7 and 9 are larger."""
    assert page.points(TRAININGS, "md", "EGNN") == [(10.0, 12.0, 8.0, pytest.approx(1.0))]  # sqrt(2) / sqrt(2)
    assert page.points(TRAININGS, "md", "SchNet") == [(10.0, 9.0, 30.0, None)]


def test_the_page_has_a_row_for_each_network_and_says_what_is_missing(tmp_path: Path) -> None:
    times = {"first_step": 1.5, "step": 0.02, "small": 0.003, "large": 0.04, "parameters": 1234}
    speeds = [{"task": "md", "network": name, "samples_per_second": 250.0} | times for name in ("EGNN", "SchNet")]
    page.write(speeds, TRAININGS, tmp_path, command="this")
    text = (tmp_path / "time_to_accuracy.md").read_text()
    assert "| EGNN | 1,234 | 250 | 1.5 | 20 | 3 | 40 | 8 ± 1 (12 s) |" in text
    assert "| SchNet | 1,234 | 250 | 1.5 | 20 | 3 | 40 | 30 (9 s) |" in text
    assert "Command: `this`" in text
    assert "are not tuned. Not in the table: NequIP (not " in text
    rows = list(csv.DictReader((tmp_path / "time_to_accuracy.csv").read_text().splitlines()))
    assert [row["test_error"] for row in rows] == ["1.0", "2.0", "7.0", "9.0", "30.0"]
    assert "</svg>" in (tmp_path / "time_to_accuracy.svg").read_text()


def test_a_network_that_one_task_lacks_is_drawn_for_the_other(tmp_path: Path) -> None:
    rows = [*TRAININGS[:2], *({**row, "task": "qm9"} for row in TRAININGS)]
    page.figure(rows, tmp_path / "plot.svg")
    drawn = (tmp_path / "plot.svg").read_text()
    assert (drawn.count("<!-- EGNN -->"), drawn.count("<!-- SchNet -->")) == (1, 1)


@pytest.mark.parametrize("task", bench.TASKS)
def test_networks_are_those_of_the_full_design_with_twelve_orientations(task: str) -> None:
    design = bench.get_design(task, full=True)
    own = {variant.name: variant.model for variant in design.variants}
    found = bench.networks(design)
    expected = bench.NETWORKS[: 5 if task == "modelnet10-poses" else 6]  # shapes have no SchNet
    if task == "md" and find_spec("nequip"):
        expected = bench.NETWORKS
    assert tuple(found) == expected
    assert (found["E(3) on R3"], found["EGNN"]) == (own["E(3) on R3"], own["EGNN"])
    maps = [(found[name].num_orientations, found[name].orientation_mlp) for name in bench.NETWORKS[1:3]]
    assert maps == [(12, "pointwise"), (12, "bandlimited")]
    assert {found[name].edges for name in expected[4:]} == {own["PaiNN" if "PaiNN" in own else "E(3) on R3"].edges}
    settings = bench.configuration(task, "PaiNN", 3, 0.5).train
    assert (settings.learning_rate, settings.threads) == (design.train.learning_rate / 2, 1)


def test_choices_of_the_network_with_orientations() -> None:
    design = bench.get_design("nbody", full=True)
    found = bench.choices(design)
    assert found["E(3) on R3"].space == "R3"
    asked = {name: (c.num_orientations, c.orientation_mlp, c.widening) for name, c in found.items() if c.space != "R3"}
    assert len(asked) == 9
    for name, (num, maps, widening) in asked.items():
        plain = name.replace(" of Fibonacci", "")
        assert plain == f"{num}, {maps}" + (f", widening {widening}" if widening != 4 else "")
        assert found[name].grid == ("platonic" if plain == name else "fibonacci")


def test_a_network_is_there_once() -> None:
    """The designs of QM9 and of shapes have a widening of 2 already."""
    found = bench.choices(bench.get_design("qm9", full=True))
    assert len(found) == 10
    assert {name for name, config in found.items() if config.widening == 4} == {
        "12, pointwise, widening 4",
        "12, bandlimited, widening 4",
    }
    assert {config.widening for config in found.values()} == {2, 4}
    shapes = bench.choices(bench.get_design("modelnet10-poses", full=True))
    assert [config.widening for config in shapes.values()] == [2, 2, 2, 2, 4, 4]
    assert {config.num_orientations for config in shapes.values()} == {12}


def test_what_has_been_measured_is_not_measured_again(tmp_path: Path) -> None:
    assert bench.kept(tmp_path / "a.json", lambda: {"step": 1.5}) == {"step": 1.5}
    assert bench.kept(tmp_path / "a.json", lambda: {"step": 2.5}) == {"step": 1.5}


def test_the_rates_are_tried_on_the_first_seed_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the rates 1, 2 and 4 the second is best on validation after 10 s, the third after 20 s, then also before 8."""
    asked: list[tuple[float, int, float]] = []

    def train(out: Path, task: str, network: str, seconds: float, steps: int, seed: int, rate: float) -> dict[str, Any]:
        asked.append((seconds, seed, rate))
        return training(network, seed, rate, abs(rate - seconds / 5), 1.0) | {"budget": seconds}

    monkeypatch.setattr(bench, "training_of", train)
    monkeypatch.setattr(bench, "kept", lambda path, make: {"step": 0.1})
    options = {"tasks": ["md"], "networks": ["EGNN"], "seconds": [10.0, 20.0], "seeds": [3, 4, 5], "rates": [1, 2, 4]}
    _, rows = bench.measured(Namespace(**options, out=tmp_path))
    short, long = [(10, 3, 1), (10, 3, 2), (10, 3, 4)], [(20, 3, 1), (20, 3, 2), (20, 3, 4), (20, 3, 8)]
    assert asked == [*short, (10, 4, 2), (10, 5, 2), *long, (20, 4, 4), (20, 5, 4)]
    assert len(rows) == 11


@pytest.mark.parametrize(
    ("errors", "tried", "best"),
    [
        ({1: 3, 2: 2, 4: 1, 8: 0.5, 16: 0.7}, [1, 2, 4, 8, 16], 8),
        ({1: 1, 2: 2, 4: 3, 0.5: 0.9, 0.25: 1.1}, [1, 2, 4, 0.5, 0.25], 0.5),
        ({1: 3, 2: 2, 4: 1, 8: 0.96}, [1, 2, 4, 8], 8),
        ({1: 3, 2: 2, 4: 1.91}, [1, 2, 4], 4),
        ({1: 3, 2: 2, 4: 1, 8: math.inf}, [1, 2, 4, 8], 4),
        ({1: math.inf, 2: math.inf, 4: math.inf}, [1, 2, 4], 1),
        ({1: 5}, [1], 1),
    ],
)
def test_rates_go_on_as_long_as_an_end_of_them_gains(
    errors: dict[float, float], tried: list[float], best: float
) -> None:
    found = bench.tuned(lambda rate: {"rate": rate, "val_error": errors[rate]}, [r for r in errors if r in (1, 2, 4)])
    assert ([row["rate"] for row in found[0]], found[1]) == (tried, best)
