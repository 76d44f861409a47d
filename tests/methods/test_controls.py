"""The controls of a run: a stream for each, owners of parameters, names of terms, passes that are counted."""

import pytest
import torch
from torch import nn

from rapidash._seed import seeded
from rapidash.data import CloudBatch
from rapidash.groups import SO
from rapidash.methods import Augment, Control, Method, ParamGroup, Step, Supervised
from rapidash.tasks import get_task
from rapidash.train import TrainConfig
from rapidash.train._controls import Controls, stream_names
from rapidash.train._optim import build_optimizers, set_learning_rate


class Watched(Method):
    """A method with a given control, under a given kind."""

    def __init__(self, kind: str, control: Control) -> None:
        self.name, self.made = kind, control

    @property
    def kind(self) -> str:
        return self.name

    def control(self, model: nn.Module, total_steps: int) -> Control:
        return self.made


class Draws(Control):
    """Notes what it draws."""

    def __init__(self) -> None:
        self.drawn: list[float] = []

    def terms(self, view) -> dict[str, torch.Tensor]:
        self.drawn += [float(torch.rand((), generator=view.rng)), float(torch.rand(()))]
        return {}


class Owns(Control):
    def __init__(self, *groups: ParamGroup) -> None:
        self.groups = groups

    def param_groups(self) -> tuple[ParamGroup, ...]:
        return self.groups


@pytest.fixture
def batch() -> CloudBatch:
    return get_task("nbody", num_train=4, num_val=2, num_test=2).dataset("train").batch(torch.arange(3))


def controls(model: nn.Module, *methods: Method, seed: int = 0) -> Controls:
    return Controls(model, Supervised(), methods, total_steps=10, seed=seed)


def outcome() -> Step:
    return Step(torch.zeros(()))


def test_a_method_draws_the_same_whatever_is_beside_it(batch: CloudBatch) -> None:
    alone, beside, other, again = Draws(), Draws(), Draws(), Draws()
    model = nn.Linear(1, 1)
    torch.manual_seed(0)
    state = torch.get_rng_state()
    controls(model, Watched("a", alone)).terms(3, batch, outcome())
    controls(model, Watched("b", other), Watched("a", beside)).terms(3, batch, outcome())
    controls(model, Watched("a", again), seed=1).terms(3, batch, outcome())
    assert torch.equal(torch.get_rng_state(), state)
    assert alone.drawn == beside.drawn
    assert len({*alone.drawn, *other.drawn, *again.drawn}) == 6, "kinds and seeds have streams of their own"


def test_two_methods_of_one_kind_have_two_streams(batch: CloudBatch) -> None:
    first, second = Draws(), Draws()
    methods = (Watched("a", first), Watched("b", Draws()), Watched("a", second))
    assert stream_names(methods) == ["a", "b", "a 2"]
    controls(nn.Linear(1, 1), *methods).terms(0, batch, outcome())
    assert not set(first.drawn) & set(second.drawn)


def test_augmentation_is_the_group_element_of_its_stream(batch: CloudBatch) -> None:
    """By another route: the elements that the stream named by seed, kind and step gives."""
    moved = controls(nn.Linear(1, 1), Augment("SO(3)"), seed=5).batch(batch, 7)
    g = SO(3).sample(3, generator=seeded(5, "augment", 7))
    torch.testing.assert_close(moved.pos, batch.transform(g).pos, rtol=0, atol=0)


def test_two_owners_of_a_parameter_are_an_error() -> None:
    model = nn.Linear(2, 1)
    group = ParamGroup([model.weight])
    with pytest.raises(ValueError, match="a and b both want to train the parameter 'weight': leave one"):
        controls(model, Watched("a", Owns(group)), Watched("b", Owns(group)))
    with pytest.raises(ValueError, match="a wants to train a tensor that is no parameter of the model"):
        controls(model, Watched("a", Owns(ParamGroup([nn.Parameter(torch.ones(1))]))))


def test_owned_parameters_have_their_own_rate_and_optimizer() -> None:
    model = nn.Linear(2, 1)
    group = ParamGroup([model.bias], lr=0.5, optimizer="sgd")
    optimizers = build_optimizers(model, TrainConfig(learning_rate=0.1), [group])
    set_learning_rate(optimizers, 0.01)
    rates = {id(p): g["lr"] for optimizer in optimizers for g in optimizer.param_groups for p in g["params"]}
    assert rates == {id(model.weight): 0.01, id(model.bias): 0.5}
    model.bias.grad, before = torch.tensor([2.0]), model.bias.detach().clone()
    optimizers[-1].step()
    torch.testing.assert_close(model.bias.detach(), before - 0.5 * 2.0)


def test_terms_and_values_of_one_name_are_an_error(batch: CloudBatch) -> None:
    class Same(Control):
        def terms(self, view) -> dict[str, torch.Tensor]:
            return {"size": torch.zeros(())}

        def values(self) -> dict[str, float]:
            return {"gate": 1.0}

    both = controls(nn.Linear(1, 1), Watched("a", Same()), Watched("b", Same()))
    with pytest.raises(ValueError, match="two methods have a term named 'size'"):
        both.terms(0, batch, outcome())
    with pytest.raises(ValueError, match="two methods have a value named 'gate'"):
        both.values()


def test_passes_beyond_that_of_the_objective_are_counted(batch: CloudBatch) -> None:
    class Twice(Control):
        def terms(self, view) -> dict[str, torch.Tensor]:
            return {"moved": view.predict(view.batch).sum() + view.predict(view.batch).sum()}

    class Model(nn.Module):
        def forward(self, given: CloudBatch) -> torch.Tensor:
            return given.pos

    made = controls(Model(), Watched("a", Twice()))
    for step in range(3):
        made.terms(step, batch, outcome())
    assert made.extra_passes == 6


def test_a_control_trains_a_parameter_in_one_of_its_groups() -> None:
    class Twice(Control):
        def param_groups(self):
            return [ParamGroup([model.weight], lr=0.1), ParamGroup([model.weight], lr=0.2)]

    model = nn.Linear(1, 1)
    with pytest.raises(ValueError, match="watched trains the parameter 'weight' in two of its groups"):
        Controls(model, Supervised(), [Watched("watched", Twice())], total_steps=1, seed=0)
