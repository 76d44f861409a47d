"""Search for the subgroup that every layer keeps, on a network and functions of the user's own."""

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rapidash.learn._evolution import Candidates, Layers, Score, candidates, children, survivors
from rapidash.learn._mixed_layers import mix_network, mixtures, settle, trained_logits
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


Batches = TypeVar("Batches")


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


@dataclass(frozen=True)
class MixingResult:
    """The outcome of a differentiable search.

    Args:
        model: the network whose layers keep their likeliest groups, with the mixed weights averaged over their orbits;
            train it on.
        groups: of every layer the name of that group.
        names: of the candidates, the largest first.
        shares: softmax of the logits of the candidates in each layer, in this order.
        history: of every epoch the mean loss of the training batches, and that of the batches held out.
    """

    model: nn.Module
    groups: tuple[str, ...]
    names: tuple[str, ...]
    shares: Float[Tensor, "layers candidates"]
    history: tuple[tuple[float, float], ...]


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
        Raises: ValueError for a number below these, or an error that is NaN.
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

    def differentiate(
        self,
        loss: Callable[[nn.Module, Batches], Tensor],
        train: Iterable[Batches],
        held_out: Iterable[Batches],
        *,
        epochs: int,
        lr: float = 1e-3,
        logit_lr: float = 1e-3,
        prior: float = -2.0,
        keeps_norm: bool = True,
    ) -> MixingResult:
        """Mixtures of the weights of all groups, whose logits learn in turn with the weights (EquiNAS_D).

        Every layer has the weights sum_H p_H W_H of all candidates H, with p the softmax of its logits. Each training
        batch makes one step of Adam on the weights W_H, then the next batch held out one on the logits, to first order:
        the weights stay. Batch statistics come from the training batches alone. Give batches that the weights do not
        see: on those that they fit a larger group never pays.

        Args:
            loss: of a network on a batch, a number with a gradient, lower is better.
            train, held_out: batches, such as loaders or lists, which can be gone through again; those held out start
                anew when they end.
            epochs: passes through the training batches, at least 1.
            lr, logit_lr: learning rates of the weights and of the logits, positive.
            prior: the logit of proper subgroups at first; that of all of the group is 0.
            keeps_norm: whether the weights of each candidate are kept at their first norm.
        Raises: ValueError for a number outside the above, no batches, or a loss that is not finite.
        Source: as the class; that the second batches are others than those of training is ours.
        """
        if epochs < 1 or not (0 < lr < math.inf and 0 < logit_lr < math.inf):
            raise ValueError(f"need epochs >= 1, lr > 0 and logit_lr > 0, got {epochs}, {lr} and {logit_lr}")
        model = copy.deepcopy(self.model).train()
        mix_network(model, self.candidates.orbits, self.candidates.members, prior=prior, keeps_norm=keeps_norm)
        logits = [mixture.logits for mixture in mixtures(model)]
        weights = [weight for weight in model.parameters() if all(weight is not logit for logit in logits)]
        steps = torch.optim.Adam(weights, lr=lr), torch.optim.Adam(logits, lr=logit_lr)
        others, history = _endless(held_out), []
        for _ in range(epochs):
            pairs = [self._alternate(model, loss, batch, next(others), *steps) for batch in train]
            if not pairs:
                raise ValueError("train has no batches, or none for another epoch: give a list or a loader")
            history.append((sum(first for first, _ in pairs) / len(pairs), sum(last for _, last in pairs) / len(pairs)))
        shares = torch.stack([mixture().detach().cpu() for mixture in mixtures(model)])
        settle(model)
        groups = tuple(self.candidates.name(members) for members in layer_members(model))
        return MixingResult(model.train(self.model.training), groups, self.candidates.names, shares, tuple(history))

    @staticmethod
    def _alternate(
        model: nn.Module,
        loss: Callable[[nn.Module, Batches], Tensor],
        batch: Batches,
        other: Batches,
        of_weights: torch.optim.Optimizer,
        of_logits: torch.optim.Optimizer,
    ) -> tuple[float, float]:
        """One step on the weights, then one on the logits; the two losses."""
        first = _step(of_weights, loss(model, batch))
        statistics = {name: buffer.clone() for name, buffer in model.named_buffers()}
        with trained_logits(model):
            second = _step(of_logits, loss(model, other))
        with torch.no_grad():
            for name, buffer in model.named_buffers():
                buffer.copy_(statistics[name])
        return first, second

    def _scored(self, model: nn.Module, error: float, generation: int) -> Individual:
        groups = tuple(self.candidates.name(members) for members in layer_members(model))
        if math.isnan(error):
            raise ValueError(
                f"evaluate says NaN for the network with {', '.join(groups)}: say infinity if it has diverged"
            )
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


def _step(optimizer: torch.optim.Optimizer, loss: Tensor) -> float:
    """One step on the parameters of an optimizer alone; the loss. Raises: ValueError for a loss that is not finite."""
    value = float(loss.detach())
    if not math.isfinite(value):
        raise ValueError(f"the loss of a batch is {value}: lower lr or logit_lr, or look for NaN in the batches")
    own = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for parameter, gradient in zip(own, torch.autograd.grad(loss, own, allow_unused=True)):
        parameter.grad = gradient
    optimizer.step()
    return value


def _endless(batches: Iterable[Batches]) -> Iterator[Batches]:
    """The batches over and over. Raises: ValueError where there is none (any more)."""
    while True:
        num = 0
        for batch in batches:
            num += 1
            yield batch
        if not num:
            raise ValueError("held_out has no batches, or none for another pass: give a list or a loader")
