"""Evolution of subgroups within a run: a population of networks that is trained together, and its leader."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from rapidash._plain import check_fields
from rapidash.groups import Group, parse_group
from rapidash.learn._evolution import Candidates, Layers, Score, candidates, children, survivors
from rapidash.methods import Control, Method, StepView, evaluate
from rapidash.models import (
    FiberNetwork,
    ImageGCNNConfig,
    NetworkConfig,
    Rapidash,
    RapidashConfig,
    common_subgroup,
    layer_members,
    tie,
    untie,
    untying,
)
from rapidash.nn import used_parameters
from rapidash.symmetry import Ledger

if TYPE_CHECKING:
    from rapidash.data import Batch
    from rapidash.methods import Task

KEPT = "elements kept by layer"  # the name of a value, before the number of the layer


class Population(nn.Module):
    """Copies of a model whose layers keep groups of their own, one of which leads: it predicts for all.

    Every member has weights for the orbits of the smallest candidates, tied to those of the groups that it keeps, so
    that all have the same parameters, and a member can take over the weights of another.

    Args:
        model: with one network that has subgroups; its layers keep all of the group at first.
        names: of the candidates.
        size: members.
    """

    leader: Tensor
    is_alive: Tensor

    def __init__(self, model: nn.Module, names: Sequence[str], size: int) -> None:
        super().__init__()
        network = searched_network(model)
        self.candidates = candidates(untying(network), names)
        layers = layer_members(network)
        untie(network, [self.candidates.finest] * len(layers), can_tie=True)
        tie(network, layers)
        self.members = nn.ModuleList([model, *(copy.deepcopy(model) for _ in range(size - 1))])
        self.register_buffer("leader", torch.zeros((), dtype=torch.long))
        self.register_buffer("is_alive", torch.arange(size) == 0)

    @property
    def lead(self) -> nn.Module:
        """The member that leads."""
        return self.members[int(self.leader)]

    @property
    def alive(self) -> list[int]:
        """The numbers of the members that are trained, the leader first."""
        lead = int(self.leader)
        return [lead, *(i for i, alive in enumerate(self.is_alive.tolist()) if alive and i != lead)]

    @property
    def num_parameters(self) -> int:
        """Those of the leader, tied ones once."""
        return used_parameters(self.lead)

    def layers(self, member: int) -> Layers:
        """The elements that the layers of a member keep."""
        return tuple(layer_members(searched_network(self.members[member])))

    def forward(self, batch: "Batch") -> Any:
        """The prediction of the leader."""
        return self.lead(batch)

    def calibrate(self, batch: "Batch") -> None:
        """Calibrate the leader of a fresh population; the others take over its weights when they are born."""
        if callable(own := getattr(self.lead, "calibrate", None)):
            own(batch)

    @contextmanager
    def led_by(self, member: int) -> Iterator[None]:
        """Within the block another member predicts."""
        lead = int(self.leader)
        self.leader.fill_(member)
        try:
            yield
        finally:
            self.leader.fill_(lead)

    @torch.no_grad()
    def take_over(self, member: int, parent: int, layers: Layers) -> None:
        """Give a member the weights of another, and groups that its own contain."""
        self.members[member].load_state_dict(self.members[parent].state_dict())
        tie(searched_network(self.members[member]), layers)

    def select(self, scores: Mapping[int, Score], population: int) -> None:
        """Let the best members live on, the best one of all lead, and their children be born in the places of others.

        Args:
            scores: of every member that is alive.
            population: how many live on.
        """
        numbers = list(scores)
        found = {number: self.layers(number) for number in numbers}
        kept = [numbers[i] for i in survivors(list(scores.values()), population, list(found.values()))]
        self.leader.fill_(kept[0])
        self.is_alive.fill_(False)
        self.is_alive[kept] = True
        free = [number for number in range(len(self.members)) if number not in kept]
        known = {found[number] for number in kept}
        for parent in kept:
            for layers in children(found[parent], self.candidates):
                if layers not in known and free:
                    known.add(layers)
                    self.is_alive[free[0]] = True
                    self.take_over(free.pop(0), parent, layers)

    def stop(self) -> None:
        """Let the leader alone be trained on."""
        lead = int(self.leader)
        self.is_alive.fill_(False)
        self.is_alive[lead] = True


@dataclass(frozen=True)
class SubgroupEvolution(Method):
    """Evolution of the group that every layer keeps, within a run (EquiNAS_E).

    The network begins with all of its group in every layer. From ``start`` steps on there are generations of so many
    steps each. The best of a generation by validation error and parameters live on, the best one leads, and each has as
    children its single relaxations, see `EquivarianceSearch.evolve`, as far as there are places: networks of the same
    function with more weights, whose groups are nested, never larger with depth. All that are alive see the same
    batches, and are trained by the optimizer of the run; the leader is the model of the run. After the last generation
    it is trained alone.

    Values are the number of elements that each layer of the leader keeps, its parameters, and how many are alive. The
    passes of the others count as cost. Use it with ``ema_decay=0`` in the training: an average over steps would mix
    the leaders.

    Args:
        groups: the candidates, by names as `relax_to_subgroup` reads them; all of the group is one in any case.
        start: steps before the first children, at least 1.
        generation: steps of each generation, at least 1.
        generations: how many, at least 1.
        population: members that live on, at least 1.
        places: for members and children together, more than ``population``.
    Raises: ValueError for values outside the above.
    Source: Maile et al., "Equivariance-aware architectural optimization of neural networks", ICLR 2023, arXiv
        2210.05484. From the equations; that all are trained in one run is ours.
    """

    groups: tuple[str, ...] = ("C4", "C2", "C1")
    start: int = 100
    generation: int = 100
    generations: int = 4
    population: int = 2
    places: int = 6

    def __post_init__(self) -> None:
        check_fields(self)
        least = {"start": 1, "generation": 1, "generations": 1, "population": 1, "places": self.population + 1}
        if wrong := {name: getattr(self, name) for name, low in least.items() if getattr(self, name) < low}:
            raise ValueError(f"expected at least { ({name: least[name] for name in wrong}) }, got {wrong}")

    def check(self, model: NetworkConfig) -> None:
        """It needs a network whose layers have subgroups."""
        check_searched(model)

    def modify(self, model: nn.Module, task: "Task") -> nn.Module:
        """A population whose first member is the model."""
        return Population(model, self.groups, self.places)

    def control(self, model: nn.Module, total_steps: int) -> "EvolutionControl":
        """Trains the members, and selects."""
        return EvolutionControl(self, _population(model))

    def finish(self, model: nn.Module) -> nn.Module:
        """The leader alone, with one table for each orbit of the groups that it keeps."""
        if not isinstance(model, Population):
            return model
        lead = copy.deepcopy(model.lead)
        untie(searched_network(lead), layer_members(searched_network(lead)))
        return lead

    def ledger(self, before: Ledger, view: str) -> Ledger:
        """Before a search nothing more than what all candidates keep is certain."""
        if not isinstance(before.layers, Group):
            raise ValueError(f"a search of subgroups needs a group of motions, the ledger says {before.layers.name}")
        return narrowed(before, least_group(before.layers, self.groups), "before the search any candidate is possible")

    def learned_ledger(self, model: nn.Module, before: Ledger, view: str) -> Ledger:
        """The group that all layers of the leader keep."""
        population = _population(model)
        return found_ledger(searched_network(population.lead), population.candidates, before)


class EvolutionControl(Control):
    """Trains all that are alive beside the leader, and selects at the end of every generation.

    Args:
        method: the description.
        model: the population.
    """

    def __init__(self, method: SubgroupEvolution, model: Population) -> None:
        self.method, self.model = method, model
        self._validation: Any = None

    def terms(self, view: StepView) -> Mapping[str, Tensor]:
        """The losses of all that are alive beside the leader, whose gradients do not touch it."""
        others = self.model.alive[1:]
        if not others:
            return {}
        if view.task is None:
            raise ValueError("a search of subgroups needs the task of a run, for its loss and its validation data")
        losses = []
        for number in others:
            with self.model.led_by(number):
                losses.append(view.task.loss(view.predict(view.batch), view.batch))
        return {"of other members": torch.stack(losses).sum()}

    def after(self, view: StepView) -> None:
        """Select when a generation ends."""
        since = view.step + 1 - self.method.start
        ended, rest = divmod(since, self.method.generation)
        if since < 0 or rest or ended > self.method.generations:
            return
        if view.task is None:
            raise ValueError("a search of subgroups needs the task of a run, for its loss and its validation data")
        self._validation = self._validation or view.task.dataset("val")
        scores = {}
        for number in self.model.alive:
            with self.model.led_by(number):
                error = evaluate(view.model, view.task, self._validation, batch_size=view.batch.num_samples).mean
            scores[number] = Score(error, used_parameters(self.model.members[number]))
        self.model.select(scores, self.method.population)
        if ended == self.method.generations:
            self.model.stop()

    def values(self) -> Mapping[str, float]:
        """The elements that each layer of the leader keeps, its parameters, and how many are alive."""
        kept = self.model.layers(int(self.model.leader))
        return {
            **{f"{KEPT} {index + 1}": float(len(members)) for index, members in enumerate(kept)},
            "parameters of the leader": float(self.model.num_parameters),
            "members alive": float(len(self.model.alive)),
        }


def _population(model: nn.Module) -> Population:
    """The population in a model that other methods may have wrapped."""
    return next(part for part in model.modules() if isinstance(part, Population))


def searched_network(model: nn.Module) -> nn.Module:
    """The one network in a model whose layers have subgroups.

    Raises: ValueError for none, or several.
    """
    found = [part for part in model.modules() if isinstance(part, FiberNetwork | Rapidash)]
    if len(found) != 1:
        raise ValueError(f"{type(model).__name__} has {len(found)} networks whose layers have subgroups, expected one")
    return found[0]


def check_searched(model: NetworkConfig) -> None:
    """Raise ValueError for a network whose layers have no subgroups."""
    if not isinstance(model, RapidashConfig | ImageGCNNConfig):
        raise ValueError(f"it searches networks of kind 'rapidash' and 'image-gcnn', got {model.kind!r}")
    if isinstance(model, RapidashConfig) and model.takes != "vectors":
        raise ValueError(f"a network on {model.space} has no orientations: choose a space such as 'R3xS2'")
    if model.subgroups:
        raise ValueError(f"its layers keep {model.subgroups} already: leave 'subgroups' out")


def least_group(layers: Group, names: Sequence[str]) -> Group:
    """A group that is part of every candidate: the smallest one if it is part of the others, else the identity."""
    found = sorted((parse_group(name, layers.dim) for name in names), key=_order)
    first = found[0].without_translations()
    if any(not first.is_subgroup(other.without_translations()) for other in found):
        first = parse_group("trivial", layers.dim)
    return Group(layers.dim, first.linear, layers.translations)


def _order(group: Group) -> float:
    elements = group.without_translations().elements()
    return float("inf") if elements is None else len(elements)


def narrowed(before: Ledger, kept: Group, why: str) -> Ledger:
    """The ledger with the group that the layers keep, and the part of it that was effective before.

    It is exact: a finite group on the grid, or on pixels.
    """
    shifts = isinstance(before.effective, Group) and before.effective.translations
    effective = Group(kept.dim, kept.linear, kept.translations and shifts)
    if not (isinstance(before.effective, Group) and effective.is_subgroup(before.effective)):
        effective = Group(kept.dim, parse_group("trivial", kept.dim).linear, effective.translations)
    exactness = tuple(reason for reason in before.exactness if reason.startswith("not exact for"))  # of some clouds
    reasons = [reason for reason in before.reasons if reason not in before.exactness or reason in exactness]
    reasons.append(f"{why}: {effective} is left")
    return Ledger(kept, effective, tuple(reasons), True, before.oracle, exactness=exactness)


def found_ledger(network: nn.Module, among: Candidates, before: Ledger) -> Ledger:
    """The ledger of a network whose groups were found: their intersection."""
    layers = layer_members(network)
    names = [among.name(members) for members in layers]
    why = f"the layers keep {', '.join(names)}"
    if all(len(members) == len(among.orbits.action) for members in layers):
        return replace(before, reasons=(*before.reasons, f"{why}: nothing is lost"))
    found = common_subgroup(among.orbits, layers, names)
    translations = isinstance(before.layers, Group) and before.layers.translations
    return narrowed(before, Group(found.dim, found.linear, translations), why)
