"""Evaluation: the metric per cloud, under moved data, and averaged over the group."""

import weakref

import pytest
import torch

from rapidash._seed import seeded
from rapidash.data import Field
from rapidash.groups import Group, Scalar, Vector
from rapidash.methods import OrbitAverage, evaluate, orbit_average, predict, predict_batches


@pytest.fixture
def broken(toy):
    """A network that is not equivariant, in float64."""
    torch.manual_seed(0)
    return toy.Network().double().eval()


def test_metric_by_hand(toy) -> None:
    model, data = toy.EquivariantNetwork(0.0).double(), toy.task.dataset("test", size=3)
    result = evaluate(model, toy.task, data, batch_size=2)
    vel, rows = data.tensors["vel"], data.num_points.tolist()
    expected = torch.stack([part.square().mean() for part in vel.split(rows)])
    torch.testing.assert_close(result.per_sample, expected)
    assert result.mean == pytest.approx(float(expected.mean()))


@pytest.mark.parametrize("options", [{}, {"rotate": True}, {"average": 3}, {"rotate": True, "average": 2}], ids=str)
def test_the_batch_size_plays_no_part(toy, broken, options: dict) -> None:
    options = dict(options)
    if count := options.pop("average", 0):
        options["average"] = OrbitAverage(toy.SO3, count)
    if options.pop("rotate", False):
        options["rotate"] = toy.SO3
    data = toy.task.dataset("test", size=7)
    one, all_ = (evaluate(broken, toy.task, data, batch_size=size, **options) for size in (1, 7))
    torch.testing.assert_close(one.per_sample, all_.per_sample, rtol=1e-10, atol=1e-12)


def test_moved_data_do_not_change_an_equivariant_model_and_do_change_another(toy, broken) -> None:
    data = toy.task.dataset("test")
    for model, same in ((toy.EquivariantNetwork().double(), True), (broken, False)):
        plain = evaluate(model, toy.task, data, batch_size=8)
        moved = evaluate(model, toy.task, data, batch_size=8, rotate=toy.SO3)
        assert torch.allclose(plain.per_sample, moved.per_sample, rtol=1e-10) is same


def test_every_seed_moves_differently(toy, broken) -> None:
    data = toy.task.dataset("test")
    first, again, other = (
        evaluate(broken, toy.task, data, batch_size=8, rotate=toy.SO3, seed=seed).mean for seed in (0, 0, 1)
    )
    assert first == again != other


def test_the_average_over_the_group_is_closer_to_equivariant(toy, broken) -> None:
    batch = toy.task.dataset("test", size=4).batch(torch.arange(4))
    g = toy.SO3.sample(4, generator=seeded("g"))

    def defect(count: int) -> float:
        outputs = []
        for data in (batch, batch.transform(g)):
            average = OrbitAverage(toy.SO3, count) if count else None
            outputs.append(predict(broken, data, toy.task.output, average=average, seed=len(outputs)).detach())
        moved = toy.task.output.representation.act(g[batch.batch], outputs[0])
        return float((moved - outputs[1]).norm())

    assert defect(256) < 0.25 * defect(0)


def test_an_equivariant_model_is_its_own_average(toy) -> None:
    model = toy.EquivariantNetwork().double()
    batch = toy.task.dataset("test", size=4).batch(torch.arange(4))
    average = predict(model, batch, toy.task.output, average=OrbitAverage(toy.SO3, 3))
    torch.testing.assert_close(average, model(batch), rtol=1e-12, atol=1e-12)
    wrong = predict(model, batch, Field(Scalar()), average=OrbitAverage(toy.SO3, 3))
    assert not torch.allclose(wrong, model(batch))


def test_predictions_per_cloud_are_moved_back_per_cloud(toy) -> None:
    class MeanVelocity(torch.nn.Module):
        def forward(self, batch):
            return torch.stack([batch["vel"][batch.batch == b].mean(dim=0) for b in range(batch.num_clouds)])

    batch = toy.task.dataset("test", size=4).batch(torch.arange(4))
    average = predict(MeanVelocity(), batch, Field(Vector(), level="cloud"), average=OrbitAverage(toy.SO3, 2))
    torch.testing.assert_close(average, MeanVelocity()(batch), rtol=1e-12, atol=1e-12)


def test_the_model_keeps_the_mode_of_every_part_and_gets_no_gradients(toy) -> None:
    model = toy.Network().train()
    model.mlp[1].eval()
    evaluate(model, toy.task, toy.task.dataset("test"), batch_size=8)
    assert model.training
    assert not model.mlp[1].training
    assert all(parameter.grad is None for parameter in model.parameters())


def test_bad_arguments_are_named(toy, broken) -> None:
    data = toy.task.dataset("test")
    with pytest.raises(ValueError, match="no samples"):
        evaluate(broken, toy.task, toy.task.dataset("test", size=0), batch_size=8)
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        evaluate(broken, toy.task, data, batch_size=0)


def test_a_number_of_elements_alone_is_deprecated_and_means_what_it_did(toy, broken) -> None:
    batch, output = toy.task.dataset("test").batch(torch.arange(2)), toy.task.output
    with pytest.warns(DeprecationWarning, match=r"rapidash\.methods\.predict\(tta\) goes in rapidash 0\.3\.0"):
        found = predict(broken, batch, output, tta=2, group=toy.SO3, generator=seeded(0))
    rng = seeded(0)
    elements = [toy.SO3.sample(2, generator=rng) for _ in range(2)]
    assert torch.equal(found, orbit_average(broken, batch, output, elements, toy.SO3))
    with pytest.warns(DeprecationWarning, match="tta"):
        assert torch.equal(predict(broken, batch, output, tta=0), broken(batch))
    with pytest.warns(DeprecationWarning, match="tta"), pytest.raises(ValueError, match="tta=2 needs a group"):
        predict(broken, batch, output, tta=2)
    with pytest.warns(DeprecationWarning, match="tta"), pytest.raises(ValueError, match="tta must be at least 0"):
        predict(broken, batch, output, tta=-1)


def _alive(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of elements of SO(3) that are held when another one is drawn, in the order of the draws."""
    held: list[int] = []
    alive: list[weakref.ref[torch.Tensor]] = []
    sample = Group.sample

    def counted(self: Group, *args: object, **options: object) -> torch.Tensor:
        found = sample(self, *args, **options)  # type: ignore[arg-type]
        held.append(sum(ref() is not None for ref in alive))
        alive.append(weakref.ref(found))
        return found

    monkeypatch.setattr(Group, "sample", counted)
    return held


def test_elements_are_drawn_one_after_another_where_many_would_not_fit(toy, broken, monkeypatch) -> None:
    """And the average is the same, bit for bit, as with all of them at hand."""
    data, average = toy.task.dataset("test"), OrbitAverage(toy.SO3, 9)

    def predicted(batch_size: int) -> torch.Tensor:
        found = predict_batches(broken, data, toy.task.output, batch_size=batch_size, average=average, seed=1)
        return torch.cat([prediction for _, _, prediction in found])

    at_once = predicted(4)
    held = _alive(monkeypatch)
    for limit in (1, 9 * 4, 9 * 4 * 2 + 1):  # none held, those of a batch, those of two batches
        monkeypatch.setattr("rapidash.methods._evaluate._HELD_ELEMENTS", limit)
        held.clear()
        assert torch.equal(predicted(4), at_once)
        assert max(held) <= 1
    torch.testing.assert_close(predicted(3), at_once, rtol=1e-12, atol=1e-12)


def test_what_is_averaged_is_watched_in_its_order(toy, broken) -> None:
    data, average, seen = toy.task.dataset("test"), OrbitAverage(toy.SO3, 3), []
    watched = predict_batches(
        broken, data, toy.task.output, batch_size=len(data), average=average, watch=lambda _, moved: seen.append(moved)
    )
    ((_, _, prediction),) = watched
    assert len(seen) == 3
    torch.testing.assert_close(torch.stack(seen).mean(dim=0), prediction, rtol=1e-12, atol=1e-12)


def test_a_metric_of_the_wrong_shape_is_refused(toy, broken) -> None:
    class WrongTask(type(toy.task)):
        def errors(self, prediction, batch):
            return (prediction - batch["target"]).square().mean(dim=1)

    with pytest.raises(ValueError, match=r"WrongTask.errors returned shape .* expected \(8,\)"):
        evaluate(broken, WrongTask(), toy.task.dataset("test"), batch_size=8)


class Detailed:
    """The toy task with a figure per cloud, and one per cloud and number of points, of which one size never occurs."""

    def __init__(self, task) -> None:
        self.output, self.errors = task.output, task.errors

    def details(self, prediction, batch):
        sizes = torch.bincount(batch.batch, minlength=batch.num_clouds)
        by_size = torch.full((batch.num_clouds, 4), float("nan"))
        by_size[torch.arange(batch.num_clouds), sizes - 2] = sizes.float()
        return {"points": sizes.float(), "points by size": by_size}


@pytest.mark.parametrize("batch_size", [2, 10])
def test_details_are_means_over_clouds_and_then_over_the_classes_that_occur(toy, batch_size: int) -> None:
    data = toy.task.dataset("test", size=10)  # sizes 2, 3, 4, 2, ...: four clouds of two points, three of the others
    model = toy.EquivariantNetwork().double()
    result = evaluate(model, Detailed(toy.task), data, batch_size=batch_size)
    assert result.details["points"] == pytest.approx((4 * 2 + 3 * 3 + 3 * 4) / 10)
    assert result.details["points by size"] == pytest.approx((2 + 3 + 4) / 3)
    assert evaluate(model, toy.task, data, batch_size=batch_size).details == {}
