"""The controls of a run: which random stream each one draws from, and in which order they act."""

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from rapidash._seed import seeded
from rapidash.data import Batch
from rapidash.methods import Augment, Control, Objective, Step, StepView, Supervised
from rapidash.train._controls import Controls, stream_names

SEED, STEP = 3, 5


class Watch(Control):
    """Notes what it is given, and adds to the positions."""

    def __init__(self, shift: float = 0.0, factor: float = 1.0) -> None:
        self.shift, self.factor = shift, factor
        self.batch_streams: list[int] = []
        self.term_streams: list[int] = []
        self.global_draws: list[float] = []
        self.seen: list[Tensor] = []

    def batch(self, batch: Batch, rng: torch.Generator) -> Batch:
        self.batch_streams.append(rng.initial_seed())
        return batch.with_tensor("pos", (batch["pos"] + self.shift) * self.factor)

    def terms(self, view: StepView) -> Mapping[str, Tensor]:
        self.term_streams.append(view.rng.initial_seed())
        self.global_draws.append(float(torch.rand(())))
        self.seen.append(view.batch["pos"])
        assert (view.step, view.total_steps) == (STEP, 20)
        return {f"{id(self)}": torch.zeros(())}


class Other(Watch):
    pass


class Watched(Supervised):
    """An objective with a control of its own."""

    def __init__(self, made: Control) -> None:
        object.__setattr__(self, "made", made)

    kind = "watched"

    def control(self, model: torch.nn.Module, total_steps: int) -> Control:
        return self.made


def run(toy, *controls: Control, objective: Objective | None = None, seed: int = SEED) -> Batch:
    made = Controls(toy.Network(), objective or Supervised(), toy.acts(*controls), total_steps=20, seed=seed)
    batch = made.batch(toy.task.dataset("train").batch(torch.arange(4)), STEP)
    made.terms(STEP, batch, Step(torch.zeros(()), batch["pos"]))
    return batch


def stream(*keys: int | str) -> int:
    return seeded(*keys).initial_seed()


def test_every_control_draws_from_a_stream_of_its_own(toy) -> None:
    first, other, second, own = Watch(), Other(), Watch(), Watch()
    run(toy, first, other, second, objective=Watched(own))
    names = {"Watch": first, "Other": other, "Watch 2": second, "objective watched": own}
    for name, control in names.items():
        assert control.batch_streams == [stream(SEED, name, STEP)], name
        assert control.term_streams == [stream(SEED, name, "terms", STEP)], name
    draws = [control.global_draws[0] for control in names.values()]
    assert len(set(draws)) == 4
    for name, control in names.items():
        torch.manual_seed(stream(SEED, name, "draws", STEP))
        assert control.global_draws == [float(torch.rand(()))]


def test_what_one_draws_does_not_depend_on_the_others_nor_do_seeds_share(toy) -> None:
    alone, among, elsewhere = Other(), Other(), Other()
    run(toy, alone)
    run(toy, Watch(), Watch(), among)
    run(toy, elsewhere, seed=SEED + 1)
    assert (alone.batch_streams, alone.term_streams) == (among.batch_streams, among.term_streams)
    assert alone.global_draws == among.global_draws
    assert alone.batch_streams != elsewhere.batch_streams


def test_names_count_those_of_one_kind(toy) -> None:
    assert stream_names(toy.acts(Watch(), Other(), Watch(), Watch())) == ["Watch", "Other", "Watch 2", "Watch 3"]
    assert stream_names([Augment("SO(3)")]) == ["augment"]
    assert stream_names([]) == []


def test_batches_pass_through_the_controls_in_their_order(toy) -> None:
    """(x + 1) * 2 and not 2 * x + 1; terms see the batch after all of them."""
    shift, double = Watch(shift=1.0), Other(factor=2.0)
    batch = run(toy, shift, double)
    plain = toy.task.dataset("train").batch(torch.arange(4))["pos"]
    torch.testing.assert_close(batch["pos"], (plain + 1.0) * 2.0)
    assert torch.equal(shift.seen[0], batch["pos"])


def test_global_draws_of_the_loop_are_not_disturbed(toy) -> None:
    made = Controls(toy.Network(), Supervised(), toy.acts(Watch()), total_steps=20, seed=SEED)
    batch = toy.task.dataset("train").batch(torch.arange(4))
    before = torch.get_rng_state()
    made.terms(STEP, batch, Step(torch.zeros(()), batch["pos"]))
    assert torch.equal(torch.get_rng_state(), before)


def test_terms_of_one_name_are_refused(toy) -> None:
    class Same(Watch):
        def terms(self, view: StepView) -> Mapping[str, Tensor]:
            return {"same": torch.zeros(())}

    with pytest.raises(ValueError, match="two methods have a term named 'same'"):
        run(toy, Same(), Same())


class Costly(Watch):
    """Takes two passes, counts its steps, and reports a value."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name, self.done = name, 0

    def terms(self, view: StepView) -> Mapping[str, Tensor]:
        view.predict(view.batch)
        view.predict(view.batch)
        return {}

    def after(self, view: StepView) -> None:
        self.done += 1

    def values(self) -> Mapping[str, float]:
        return {self.name: self.done}


def test_passes_values_and_what_follows_a_step_are_those_of_all_controls(toy) -> None:
    made = Controls(toy.Network(), Supervised(), toy.acts(Costly("a"), Watch(), Costly("b")), total_steps=20, seed=SEED)
    batch = toy.task.dataset("train").batch(torch.arange(4)).to(dtype=torch.float32)
    for _ in range(3):
        made.terms(STEP, batch, Step(torch.zeros(()), batch["pos"]))
        made.after()
        made.after()  # nothing more, until the next step
    assert made.extra_passes == 3 * (2 + 0 + 2)
    assert made.values() == {"a": 3.0, "b": 3.0}
