"""Random tables, what is done to their columns, and the training on them."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from rapidash._seed import seeded
from rapidash.data import RowBatch
from rapidash.methods import Variant, build_model, evaluate
from rapidash.symmetrize.tabular import (
    EquiTabPFNConfig,
    InContext,
    Prior,
    PriorFitting,
    RandomClassificationPrior,
    SyntheticTablesTask,
    TanhPrior,
    fitted_to_width,
    standardized,
)
from rapidash.symmetrize.tabular._prior import _Dice, _intervals, _tree
from rapidash.symmetrize.tabular._task import NO_CLASS, as_tensors, cross_entropy, table_fields
from rapidash.tasks import get_task
from rapidash.train import TrainConfig, train

PRIORS = (TanhPrior(6), RandomClassificationPrior(6))
VARIANT = Variant(
    "small", EquiTabPFNConfig(dim=8, num_blocks=1, num_heads=1, decoder_hidden=4), objective=PriorFitting(8, 16, 4)
)
TASK = SyntheticTablesTask(max_classes=3, num_context=12, num_queries=4, num_train=2, num_val=4, num_test=4)


@pytest.mark.parametrize("prior", PRIORS, ids=lambda prior: type(prior).__name__)
def test_tables_depend_on_the_generator_alone(prior: Prior) -> None:
    first, again, other = (prior.sample(5, 4, seeded(key), 40) for key in (1, 1, 2))
    assert torch.equal(first.y, again.y)
    assert first.x.equal(again.x) or torch.equal(first.x.nan_to_num(), again.x.nan_to_num())
    assert not torch.equal(first.y, other.y)


@pytest.mark.parametrize("prior", PRIORS, ids=lambda prior: type(prior).__name__)
def test_tables_have_labels_in_range_finite_features_and_something_to_learn(prior: Prior) -> None:
    tasks = prior.sample(40, 5, seeded(0), 80)
    assert tasks.x.shape == (40, 80, 6)
    assert not tasks.x.isinf().any()
    assert int(tasks.y.min()) == 0
    assert int(tasks.y.max()) == 4
    rows = fitted_to_width(standardized(tasks.x, 60), 6).nan_to_num()
    nearest = torch.cdist(rows[:, 60:], rows[:, :60]).argmin(dim=-1)
    said = tasks.y[:, :60].gather(1, nearest)
    counts = nn.functional.one_hot(tasks.y[:, :60], 5).sum(dim=1)
    by_neighbor = (said == tasks.y[:, 60:]).double().mean()
    by_majority = (counts.argmax(dim=1)[:, None] == tasks.y[:, 60:]).double().mean()
    assert by_neighbor > by_majority + 0.05


def test_no_name_of_a_class_is_more_frequent_than_others_on_average() -> None:
    y = RandomClassificationPrior(4).sample(300, 3, seeded(3), 20).y
    shares = nn.functional.one_hot(y, 3).double().mean(dim=(0, 1))
    assert float((shares - 1 / 3).abs().max()) < 0.05


def test_intervals_hold_their_shares() -> None:
    values = torch.arange(1000.0)
    dice = _Dice(seeded(0))
    shares = _Dice(seeded(0)).shares(4)
    classes = _intervals(dice, values, 4)
    assert torch.equal(classes, classes.sort().values)
    assert (nn.functional.one_hot(classes).double().mean(0) - shares).abs().max() < 2e-3


def test_the_leaves_of_a_tree_are_boxes() -> None:
    """Rows that lie on the same side of every threshold have the same class: a small move changes few classes."""
    x, y = _tree(_Dice(seeded(5)), 400, 3, 4)
    assert x.shape == (400, 3)
    nearest = (torch.cdist(x, x) + 1e9 * torch.eye(400)).argmin(dim=1)
    assert float((y[nearest] == y).double().mean()) > 0.7


def test_standardized_by_hand() -> None:
    """Mean 2 and deviation 1 of the context (1, 3); beyond three deviations as 3 + log(1 + distance)."""
    x = torch.tensor([[1.0, 5.0, math.nan], [3.0, 5.0, 1.0], [math.nan, 5.0, 2.0], [7.0, 6.0, 1.0]])
    kept = x.clone()
    scaled = standardized(x, 2)
    assert scaled[:, 0].tolist() == pytest.approx([-1.0, 1.0, math.nan, 3 + math.log(3)], nan_ok=True)
    assert scaled[:, 1].tolist() == [0.0] * 4
    assert scaled[1:, 2].tolist() == [0.0] * 3  # one known value has no deviation
    assert torch.equal(x.nan_to_num(), kept.nan_to_num())
    with pytest.raises(ValueError, match="num_context must be 1 to 4"):
        standardized(x, 5)


def test_fitted_to_width_by_hand() -> None:
    x = torch.tensor([[1.0, 0.0], [2.0, 0.0]])
    assert fitted_to_width(x, 4).tolist() == [[2.0, 0.0, 0.0, 0.0], [4.0, 0.0, 0.0, 0.0]]
    with pytest.raises(ValueError, match="more than 1"):
        fitted_to_width(x, 1)


@pytest.mark.parametrize("prior", PRIORS, ids=lambda prior: type(prior).__name__)
def test_counts_that_no_task_has_are_refused(prior: Prior) -> None:
    for batch, classes, rows in ((0, 2, 4), (1, 1, 4), (1, 2, 0), (1, 99, 4)):
        with pytest.raises(ValueError, match="a prior needs"):
            prior.sample(batch, classes, seeded(0), rows)
    with pytest.raises(ValueError, match="at least 2"):
        RandomClassificationPrior(1)


def test_queries_of_an_absent_class_do_not_count() -> None:
    x, y = torch.randn(1, 5, 2, generator=seeded(0)), torch.tensor([[0, 1, 0, 2, 1]])
    tensors = as_tensors(x, y, 3, 3)
    assert tensors["label"].tolist() == [[NO_CLASS, 1]]
    logits = torch.tensor([[[9.0, 0.0, 0.0], [0.0, math.log(2), 0.0]]])
    assert float(cross_entropy(logits, tensors["label"])) == pytest.approx(math.log(2))
    assert float(cross_entropy(logits, torch.full((1, 2), NO_CLASS))) == 0
    batch = RowBatch(tensors, table_fields(tensors))
    assert TASK.errors(logits, batch).tolist() == [0.0]
    assert TASK.errors(logits.flip(-1), batch).tolist() == [0.0]
    assert TASK.errors(logits.roll(1, dims=-1), batch).tolist() == [100.0]


def test_tables_of_several_class_counts_share_a_batch() -> None:
    data = TASK.dataset("val")
    assert data.tensors["num_classes"].tolist() == [2, 2, 3, 3]
    model, batch = build_model(TASK, VARIANT).eval(), data.batch(torch.arange(4))
    logits = model(batch)
    assert bool((logits[:2, :, 2] == -math.inf).all())
    alone = model(data.batch(torch.tensor([0])))
    assert logits[:1, :, :2].allclose(alone, atol=1e-5)
    assert isinstance(model, InContext)


def test_a_step_of_prior_fitting_depends_on_its_generator_alone() -> None:
    model, batch = build_model(TASK, VARIANT), TASK.dataset("train").batch(torch.arange(2))
    losses = [float(VARIANT.objective.step(model, TASK, batch, seeded(key)).loss.detach()) for key in (0, 0, 1)]
    assert losses[0] == losses[1] != losses[2]


def fitted(folder: Path) -> list[tuple[float, float, float]]:
    config = TrainConfig(
        steps=30, batch_size=8, learning_rate=1e-2, warmup_steps=3, eval_every=10, checkpoint_every=10, threads=1
    )
    data = {"train_set": TASK.dataset("train"), "val_set": TASK.dataset("val")}
    model, objective = build_model(TASK, VARIANT), VARIANT.objective
    result = train(model, TASK, config, **data, seed=0, run_dir=folder, progress=False, objective=objective)
    return [(row["train_loss"], row["val_error"], row["val/cross-entropy (nats)"]) for row in result.history]


def test_training_lowers_the_loss_and_continues_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, done, step = fitted(tmp_path / "whole"), [], PriorFitting.step

    def interrupted(self: PriorFitting, *args: Any) -> Any:
        done.append(0)
        if len(done) > 15:
            raise KeyboardInterrupt
        return step(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(PriorFitting, "step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fitted(tmp_path / "parts")
    assert fitted(tmp_path / "parts") == whole
    assert whole[-1][0] < whole[0][0]


def test_the_score_is_the_tasks_metric_and_the_cross_entropy() -> None:
    model, data = build_model(TASK, VARIANT), TASK.dataset("val")
    score = VARIANT.objective.score(model, TASK, data, train=data, batch_size=3)
    assert score.error == evaluate(model, TASK, data, batch_size=4).mean
    assert 0 < score.details["cross-entropy (nats)"] < 3
    assert model.training


def test_prior_fitting_refuses_what_it_cannot_do() -> None:
    with pytest.raises(ValueError, match="use the task 'synthetic-tables', not 'nbody'"):
        PriorFitting().modify(nn.Linear(1, 1), get_task("nbody"))
    with pytest.raises(ValueError, match="min_context"):
        PriorFitting(min_context=5, max_context=4)
    with pytest.raises(ValueError, match="prior must be"):
        SyntheticTablesTask(prior="none")
    with pytest.raises(ValueError, match="at least 2"):
        SyntheticTablesTask(max_classes=1)
