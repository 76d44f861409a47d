"""Search for the subgroup that every layer keeps, on a network and functions of the user's own."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import nn

from rapidash.learn._evolution import Candidates, Layers, Score, candidates, children, survivors
from rapidash.models import Rapidash, keep_subgroups, layer_members, untie, untying
from rapidash.nn import used_parameters


@dataclass(frozen=True)
class Individual:
    """A network of a population.

    Args:
        model: the network.
        groups: of every layer the name of the group that it keeps.
        error: on validation data, lower is better.
        parameters: of the network.
        generation: in which it was trained last; 0 is the first.
    """

    model: nn.Module
    groups: tuple[str, ...]
    error: float
    parameters: int
    generation: int


@dataclass(frozen=True)
class SearchResult:
    """The outcome of an evolution.

    Args:
        best: the individual with the least error.
        population: the last one, best first.
        history: of every generation its survivors, best first, as (groups, error, parameters).
    """

    best: Individual
    population: tuple[Individual, ...]
    history: tuple[tuple[tuple[tuple[str, ...], float, int], ...], ...]


class EquivarianceSearch:
    """Search for the group that every layer of a network keeps, from all of its group down.

    Args:
        model: a Rapidash network with orientations, or a group-convolutional network of images; it stays as it is.
        groups: names of the subgroups that a layer may keep, see `relax_to_subgroup`; all of the group always may.
    Raises: ValueError for a network of another kind, or what is no subgroup.
    Source: Maile et al., "Equivariance-aware architectural optimization of neural networks", ICLR 2023, arXiv
        2210.05484. From the equations.
    """

    def __init__(self, model: nn.Module, groups: Sequence[str]) -> None:
        self.model, self.candidates = model, candidates(untying(model), groups)

    def evolve(
        self,
        train: Callable[[nn.Module], None],
        evaluate: Callable[[nn.Module], float],
        *,
        generations: int,
        population: int = 3,
    ) -> SearchResult:
        """Evolution with inherited weights (EquiNAS_E).

        In every generation all individuals are trained, and then compared: those on the Pareto front of error and
        parameters live on, up to ``population``, of those with the same groups the best one. Each of these has as
        children all its single relaxations, networks of the same function with more weights. Groups never increase
        with depth. The best individual so far competes as it was, beside its copy that is trained on, so the best
        error never rises.

        Args:
            train: trains a network in place for the share of a generation.
            evaluate: the error of a network on validation data, lower is better.
            generations: after the first, which holds the given network alone; at least 0.
            population: individuals that live on, at least 1.
        Raises: ValueError for a number below these.
        """
        if generations < 0 or population < 1:
            raise ValueError(f"need generations >= 0 and population >= 1, got {generations} and {population}")
        alive = [copy.deepcopy(self.model)]
        elite: Individual | None = None
        history = []
        for generation in range(generations + 1):
            found = []
            for model in alive:
                train(model)
                found.append(self._scored(model, float(evaluate(model)), generation))
            if elite is not None:
                found.append(elite)
            scores = [Score(one.error, one.parameters) for one in found]
            chosen = survivors(scores, population, [one.groups for one in found])
            kept = [found[index] for index in chosen]
            elite = kept[0]
            history.append(tuple((one.groups, one.error, one.parameters) for one in kept))
            alive = [copy.deepcopy(one.model) for one in kept]
            alive += offspring(alive, self.candidates)
        assert elite is not None
        return SearchResult(elite, tuple(kept), tuple(history))

    def _scored(self, model: nn.Module, error: float, generation: int) -> Individual:
        groups = tuple(self.candidates.name(members) for members in layer_members(model))
        return Individual(model, groups, error, used_parameters(model), generation)


def offspring(parents: Sequence[nn.Module], among: Candidates) -> list[nn.Module]:
    """One network for every single relaxation of the parents that none of them has; the first parent comes first."""
    known: set[Layers] = {tuple(layer_members(parent)) for parent in parents}
    made = []
    for parent in parents:
        for layers in children(tuple(layer_members(parent)), among):
            if layers in known:
                continue
            known.add(layers)
            child = copy.deepcopy(parent)
            if isinstance(child, Rapidash):
                keep_subgroups(child, [among.name(members) for members in layers])
            else:
                untie(child, layers)
            made.append(child)
    return made
