"""All controls of a run: each draws from a stream of its own."""

from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from rapidash._seed import seeded
from rapidash.data import Batch
from rapidash.methods import Control, Method, Objective, ParamGroup, Step, StepView, Task


@dataclass(frozen=True)
class _Named:
    """A control under the name of its random stream, and which of its parts do anything."""

    stream: str
    control: Control

    def does(self, part: str) -> bool:
        return getattr(type(self.control), part) is not getattr(Control, part)


class Controls:
    """The controls of an objective and of the methods of a run.

    The stream of a method is named by its kind (of several of one kind, by kind and place), the seed and the step: what
    one method draws does not depend on the others.

    Args:
        model: modified by all of them.
        objective, methods: of the run, methods in the order in which they act.
        total_steps: of the run.
        seed: of the run.
        task: of the run, which controls may see.
    Raises: ValueError for a parameter that two of them want to train.
    """

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        methods: Sequence[Method],
        *,
        total_steps: int,
        seed: int,
        task: Task | None = None,
    ) -> None:
        self.model, self.total_steps, self.seed, self.task = model, total_steps, seed, task
        made = [(f"objective {objective.kind}", objective.control(model, total_steps))]
        made += zip(stream_names(methods), [method.control(model, total_steps) for method in methods], strict=True)
        self._named = [_Named(stream, control) for stream, control in made if control is not None]
        self.extra_passes = 0  # of the model, by controls
        self._views: list[tuple[_Named, StepView]] = []
        self._check_owners()

    def param_groups(self) -> list[ParamGroup]:
        """The parameters that controls train in their own way."""
        return [group for named in self._named for group in named.control.param_groups()]

    def before(self, step: int) -> None:
        """Tell every control that a step begins."""
        for named in self._named:
            if named.does("before"):
                named.control.before(step)

    def batch(self, batch: Batch, step: int) -> Batch:
        """The batch after all controls have changed it, one after the other."""
        for named in self._named:
            if named.does("batch"):
                batch = named.control.batch(batch, seeded(self.seed, named.stream, step))
        return batch

    def terms(self, step: int, batch: Batch, outcome: Step) -> dict[str, Tensor]:
        """The terms of all controls by name.

        Raises: ValueError for two terms of one name.
        """
        terms: dict[str, Tensor] = {}
        self._views = []
        for named in self._named:
            if not (named.does("terms") or named.does("after")):
                continue
            rng = self._stream(named, "terms", step)
            view = StepView(step, self.total_steps, self.model, batch, outcome, rng, task=self.task)
            self._views.append((named, view))
            if named.does("terms"):
                with _own_draws(self._stream(named, "draws", step), batch):
                    found = named.control.terms(view)
                if twice := terms.keys() & found.keys():
                    raise ValueError(f"two methods have a term named {sorted(twice)[0]!r}: rename one")
                terms |= found
            self.extra_passes += view.passes
        return terms

    def after(self) -> None:
        """Let every control act after the optimizer step; its passes count too, and its draws are its own."""
        for named, view in self._views:
            if named.does("after"):
                counted = view.passes
                with _own_draws(self._stream(named, "draws after", view.step), view.batch):
                    named.control.after(view)
                self.extra_passes += view.passes - counted
        self._views = []

    def values(self) -> dict[str, float]:
        """The named values of all controls.

        Raises: ValueError for two values of one name.
        """
        values: dict[str, float] = {}
        for named in self._named:
            found = {name: float(value) for name, value in named.control.values().items()}
            if twice := values.keys() & found.keys():
                raise ValueError(f"two methods have a value named {sorted(twice)[0]!r}: rename one")
            values |= found
        return values

    def state_dict(self) -> list[dict[str, Any]]:
        """The state of every control."""
        return [named.control.state_dict() for named in self._named]

    def load_state_dict(self, states: Sequence[Mapping[str, Any]]) -> None:
        """Continue from saved states."""
        for named, state in zip(self._named, states, strict=True):
            named.control.load_state_dict(state)

    def _stream(self, named: _Named, what: str, step: int) -> torch.Generator:
        return seeded(self.seed, named.stream, what, step)

    def _check_owners(self) -> None:
        owners: dict[int, str] = {}
        names = {id(parameter): name for name, parameter in self.model.named_parameters()}
        for named in self._named:
            for group in named.control.param_groups():
                for parameter in group.params:
                    if id(parameter) not in names:
                        raise ValueError(f"{named.stream} wants to train a tensor that is no parameter of the model")
                    if (other := owners.get(id(parameter))) == named.stream:
                        raise ValueError(f"{other} trains the parameter {names[id(parameter)]!r} in two of its groups")
                    owners[id(parameter)] = named.stream
                    if other is not None:
                        raise ValueError(
                            f"{other} and {named.stream} both want to train the parameter {names[id(parameter)]!r}: "
                            "leave one of the methods out"
                        )


def stream_names(methods: Sequence[Method]) -> list[str]:
    """A name for each method: its kind, and from the second of a kind on also its place among them."""
    kinds = [method.kind for method in methods]
    before = [kinds[:place].count(kind) for place, kind in enumerate(kinds)]
    return [kind if count == 0 else f"{kind} {count + 1}" for kind, count in zip(kinds, before)]


@contextmanager
def _own_draws(stream: torch.Generator, batch: Batch) -> Any:
    """Within the block torch's global generators (dropout) draw from a stream; afterwards they are as they were."""
    device = next(iter(batch.tensors.values())).device
    on_gpu = device.type == "cuda"
    with torch.random.fork_rng(devices=[device] if on_gpu else []):
        # that of torch seeds GPUs too, even where there is none, which costs more than a small step
        (torch.manual_seed if on_gpu else torch.default_generator.manual_seed)(stream.initial_seed())
        yield
