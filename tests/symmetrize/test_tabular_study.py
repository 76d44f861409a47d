"""The study of tables: what is measured of a run, what the report says of it, and the evaluation on real tables."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rapidash._seed import seeded
from rapidash.data import Field
from rapidash.datasets import Column, Table
from rapidash.groups import Scalar
from rapidash.methods import Subject, Variant, build_model
from rapidash.report._relabelling_section import relabelling_section
from rapidash.study import get_design, study_of, summarize
from rapidash.symmetrize.tabular import (
    EquiTabPFNConfig,
    FixedHeadPFNConfig,
    SyntheticTablesTask,
    figure_name,
    measure_relabelling,
    relabelling,
)
from rapidash.symmetrize.tabular.evaluate import Result, classifiers, compare, encoded, mean_difference, page, results
from rapidash.tasks import get_task
from tests.report._studies import small_record

TASK = SyntheticTablesTask(max_classes=3, num_context=12, num_queries=4, num_train=2, num_val=4, num_test=4)
MODELS = {
    "EquiTabPFN": EquiTabPFNConfig(dim=8, num_blocks=1, num_heads=1, decoder_hidden=4),
    "fixed head": FixedHeadPFNConfig(dim=8, num_blocks=1, num_heads=1),
}


def measured(name: str) -> dict[str, float]:
    variant = Variant(name, MODELS[name])
    model = build_model(TASK, variant).eval()
    subject = Subject(model, TASK, TASK.dataset("val"), TASK.ledger(variant), "after", "full", 0)
    figures = list(measure_relabelling(subject))
    assert {figure.moment for figure in figures} == {"after"}
    return {figure.name: figure.value for figure in figures}


def test_relabelling_by_hand() -> None:
    """An answer that is always class 0 follows a relabelling only where 0 keeps its name."""
    batch = TASK.tables(torch.full((40,), 3), seeded(0)).batch(torch.arange(40))

    def stubborn(asked: Any) -> torch.Tensor:
        return torch.eye(3, dtype=torch.float64)[torch.zeros_like(asked["label"])]

    found = relabelling(stubborn, batch, 3, seeded(1))
    known = batch["label"][batch["label"] >= 0]
    assert found.accuracy == pytest.approx(float((known == 0).double().mean()))
    assert 0.4 < found.changed < 0.9  # 2/3 on average
    assert found.gap == 1

    def faithful(asked: Any) -> torch.Tensor:
        return torch.nn.functional.one_hot(asked["context_label"][:, :4], 3).double()

    kept = relabelling(faithful, batch, 3, seeded(1))
    assert (kept.changed, kept.gap) == (0, 0)


def test_the_measure_goes_as_far_as_the_head() -> None:
    ours, fixed = measured("EquiTabPFN"), measured("fixed head")
    assert len(ours) == 15  # three figures for 2, 3, 5, 8 and 12 classes
    assert all(value == 0 for name, value in ours.items() if name.startswith("changed"))
    assert all(value < 1e-12 for name, value in ours.items() if name.startswith("largest gap"))
    assert len(fixed) == 12  # for 2 and 3 classes, and for 3 two averages
    assert fixed[figure_name("changed by relabelling", 3)] > 0.05
    assert figure_name("accuracy", 3) + ", average of 16" in fixed


def test_nothing_is_measured_for_other_tasks() -> None:
    task = get_task("nbody")
    assert list(measure_relabelling(Subject(torch.nn.Identity(), task, None, None, "after", "full", 0))) == []


def test_the_section_says_what_changes_and_what_cannot_run() -> None:
    def record(name: str, seed: int, values: dict[str, float]) -> dict[str, Any]:
        figures = [
            {"name": n, "value": v, "unit": "1", "group": "S(5)", "moment": "after", "view": "", "better": ""}
            for n, v in values.items()
        ]
        return small_record(name, seed, 30.0, metric="error rate", unit="%", measurements=figures)

    def values(accuracy: float, changed: float, gap: float, suffix: str = "") -> dict[str, float]:
        names = ("accuracy", "changed by relabelling", "largest gap of probabilities")
        return {
            figure_name(name, 5) + suffix: value for name, value in zip(names, (accuracy, changed, gap), strict=True)
        }

    records = []
    for seed in (0, 1):
        records.append(record("ours", seed, values(0.6 + 0.1 * seed, 0.0, 1e-15 * (1 + seed))))
        both = values(0.5, 0.4, 0.7) | values(0.55, 0.2 + 0.1 * seed, 0.3, ", average of 4")
        records.append(record("theirs", seed, both))
    section = relabelling_section(summarize(study_of(records)))
    assert section is not None
    rows = {(row[0], row[1]): row[2:] for row in section.rows}
    assert rows["ours", "5"][0].startswith("0.65")
    assert "2" in rows["ours", "5"][2]
    assert rows["theirs", "8"] == ("cannot run",) * 3
    assert rows["theirs, average of 4", "5"][1].startswith("0.25")
    assert ("ours, untrained", "5") not in rows
    assert len(section.notes) == 2
    assert "no answer changes" in section.notes[0]
    assert "up to 0.4" in section.notes[1]
    assert relabelling_section(summarize(study_of([small_record("a", 0, 1.0)]))) is None


def test_the_study_runs_both_networks_on_the_same_tables() -> None:
    quick, full = get_design("tabular"), get_design("tabular", full=True)
    assert [variant.name for variant in quick.variants] == ["EquiTabPFN", "fixed head"]
    assert quick.measures == ("relabelling",)
    assert len(quick.seeds) >= 3
    assert full.train.steps > quick.train.steps


def table() -> Table:
    x = torch.tensor([[1.5, 2.0, 1.0], [0.0, 0.0, 0.0], [2.5, 1.0, 1.0]])
    tensors = {
        "x": x,
        "observed": torch.tensor([[True, True, True], [False, False, True], [True, True, True]]),
        "label": torch.tensor([0, 1, 0]),
    }
    fields = {name: Field(Scalar(), level="cloud") for name in tensors}
    columns = (Column("a"), Column("b", categories=(0, 1, 2)), Column("c", categories=(0, 1)))
    return Table(tensors, fields, columns, {"label": ("p", "q")}, Path("x.npz"))


def test_columns_by_hand() -> None:
    nan = np.nan
    expected = [[1.5, 0, 0, 1, 1], [nan, nan, nan, nan, 0], [2.5, 0, 1, 0, 1]]
    assert np.array_equal(encoded(table()), np.array(expected), equal_nan=True)


def test_the_page_counts_who_is_better() -> None:
    def result(name: str, classes: int, ours: float, boosting: float) -> Result:
        errors = {"EquiTabPFN": ours, "boosting": boosting}
        return Result(name, classes, 100, 20, errors, dict.fromkeys(errors, 1.0))

    found = [
        result("a", 3, 10.0, 20.0),
        result("b", 12, 30.0, 20.0),
        result("c", 3, 5.0, 9.0),
        result("d", 3, 7.0, 7.0),
    ]
    mean, half = mean_difference(found, "EquiTabPFN", "boosting")
    assert mean == pytest.approx(-1.0)
    assert half == pytest.approx(3.182446 * np.std([-10, 10, -4, 0], ddof=1) / 2, rel=1e-5)
    text = "\n".join(page(found))
    assert "EquiTabPFN minus boosting: -1.0 ± " in text
    assert "better on 2 tables, worse on 1, equal on 1" in text
    assert "better: a, c" in text
    assert "mean of all" in text
    assert "13.0" in text


class Nearest:
    """The label of the training row with the nearest first number."""

    def fit(self, x: np.ndarray, y: np.ndarray) -> "Nearest":
        self.x, self.y = x[:, 0], y
        return self

    def predict(self, x: np.ndarray) -> np.ndarray:
        return self.y[np.abs(x[:, :1] - self.x).argmin(axis=1)]


def test_errors_are_those_of_the_test_rows_and_choices_leave_them_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with monkeypatch.context() as clock:
        clock.setattr(time, "process_time", iter([3.0, 4.5]).__next__)
        error, seconds = compare(
            Nearest,
            (np.array([[0.0], [1.0]]), np.array([5, 6])),
            (np.array([[0.1], [0.9], [0.2]]), np.array([5, 6, 6])),
        )
    assert error == pytest.approx(100 / 3)
    assert seconds == 1.5
    asked: list[str] = []

    def reader(name: str, part: str, **options: Any) -> Table:
        asked.append(part)
        return table()

    monkeypatch.setattr("rapidash.symmetrize.tabular.evaluate.tabular_dataset", reader)

    def run(tables: Sequence[str], on_validation: bool) -> Result:
        asked.clear()
        [found] = results(tables, {"nearest": Nearest}, on_validation=on_validation)
        return found

    assert run(["x"], True).num_train == 3
    assert asked == ["train", "val"]
    assert run(["x"], False).num_train == 6
    assert asked == ["train", "val", "test"]
    file = tmp_path / "records.json"
    [first] = results(["x"], {"nearest": Nearest}, records=file)
    [again] = results(["x"], {"nearest": None}, records=file)  # kept: nothing is fitted
    assert first.errors == again.errors


def test_every_classifier_takes_columns_without_a_value_and_columns_that_do_not_vary() -> None:
    rows = np.random.default_rng(0).normal(size=(60, 4))
    rows[:, 1], rows[:, 2] = 3.0, np.nan
    labels = (rows[:, 0] > 0).astype(int)
    errors = {name: compare(make, (rows, labels), (rows, labels))[0] for name, make in classifiers().items()}
    assert errors.pop("majority") == pytest.approx(100 * min(labels.mean(), 1 - labels.mean()))
    assert max(errors.values()) < 10
