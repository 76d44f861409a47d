"""Differentiable search of subgroups within a run: layers mix them, and logits learn from samples held out."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.func import functional_call

from rapidash._plain import check_fields
from rapidash.groups import Group
from rapidash.learn._evolution import Candidates, candidates
from rapidash.learn._held_out import chosen_samples, in_second_half
from rapidash.learn._mixed_layers import (
    choose_subgroups,
    chosen_view,
    mix_network,
    mixtures,
    settle,
    trained_logits,
)
from rapidash.learn._subgroup_evolution import (
    KEPT,
    check_searched,
    found_ledger,
    least_group,
    narrowed,
    searched_network,
)
from rapidash.methods import Control, Enter, Method, ParamGroup, StepView
from rapidash.models import NetworkConfig, layer_members, untying
from rapidash.symmetry import Ledger

if TYPE_CHECKING:
    from rapidash.data import Batch
    from rapidash.methods import Task


CHOSEN = "chosen"  # the view in which every layer keeps its likeliest subgroup


@dataclass(frozen=True)
class SubgroupMixing(Method):
    """Differentiable search of the group that every layer keeps, within a run (EquiNAS_D).

    Every layer mixes the weights of all candidates by softmax of logits. Weights learn from half of the training data,
    logits, in turn with them, from the other half: on the data that the weights fit a larger group never pays. After
    ``share`` of the run each layer keeps its likeliest group, with the mixed weights averaged over its orbits, and
    trains on alone, with all data. The view ``"chosen"``, whose result counts, is the network that this would give at
    any time; ``"full"`` mixes until then. Values are the shares of the candidates in each layer, and the number of
    elements that it keeps.

    Name it before methods that move samples: a sample is in one half by its content. The groups of a layer and of the
    next need not be nested. Batch normalization is that of the whole group. Use it with ``ema_decay=0``.

    Args:
        groups: the candidates, by names as `relax_to_subgroup` reads them; all of the group is one in any case.
        prior: the logit of proper subgroups at first; that of all of the group is 0.
        lr: learning rate of the logits (AdamW, no decay), positive.
        share: of the steps, after which groups are chosen, in (0, 1).
        keeps_norm: whether the weights of each candidate are kept at their first norm.
    Raises: ValueError for values outside the above.
    Source: Maile et al., "Equivariance-aware architectural optimization of neural networks", ICLR 2023, arXiv
        2210.05484. From the equations; that samples are held out, and that groups are chosen within the run, is ours.
    """

    groups: tuple[str, ...] = ("C4", "C2", "C1")
    prior: float = -2.0
    lr: float = 0.01
    share: float = 0.5
    keeps_norm: bool = True

    primary_view = CHOSEN

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.lr > 0 or not 0 < self.share < 1:
            raise ValueError(f"expected lr > 0 and share in (0, 1), got {self.lr} and {self.share}")

    def check(self, model: NetworkConfig) -> None:
        """It needs a network whose layers have subgroups."""
        check_searched(model)

    def modify(self, model: nn.Module, task: "Task") -> nn.Module:
        """Let every layer mix the candidates."""
        network = searched_network(model)
        among = candidates(untying(network), self.groups)
        mix_network(network, among.orbits, among.members, prior=self.prior, keeps_norm=self.keeps_norm)
        return model

    def control(self, model: nn.Module, total_steps: int) -> "MixingControl":
        """Trains the logits, and chooses."""
        network = searched_network(model)
        return MixingControl(self, model, candidates(untying(network), self.groups), total_steps)

    def views(self, model: nn.Module) -> Mapping[str, Enter]:
        """The network of the chosen groups beside that which mixes them."""
        return {CHOSEN: chosen_view}

    def finish(self, model: nn.Module) -> nn.Module:
        """The network with the tables of the chosen groups alone."""
        settled = copy.deepcopy(model)
        settle(searched_network(settled))
        return settled

    def ledger(self, before: Ledger, view: str) -> Ledger:
        """Before a search, and while groups are mixed, nothing more than what all candidates keep is certain."""
        if not isinstance(before.layers, Group):
            raise ValueError(f"a search of subgroups needs a group of motions, the ledger says {before.layers.name}")
        return narrowed(before, least_group(before.layers, self.groups), "before the search any candidate is possible")

    def learned_ledger(self, model: nn.Module, before: Ledger, view: str) -> Ledger:
        """The group that all layers keep."""
        network = copy.deepcopy(searched_network(model))
        if view == CHOSEN:
            choose_subgroups(network)
        return found_ledger(network, candidates(untying(network), self.groups), before)


class MixingControl(Control):
    """Trains the logits on samples held out, and chooses when the search ends.

    Args:
        method: the description.
        model: with mixtures.
        among: the candidates.
        total_steps: of the run.
    """

    def __init__(self, method: SubgroupMixing, model: nn.Module, among: Candidates, total_steps: int) -> None:
        self.model, self.among, self.lr = model, among, method.lr
        self.search_steps = max(1, int(method.share * total_steps))
        self.step = 0
        self.held_out: Batch | None = None

    def param_groups(self) -> Sequence[ParamGroup]:
        """The logits, with a rate of their own."""
        return [ParamGroup([mixture.logits for mixture in mixtures(self.model)], lr=self.lr, is_averaged=False)]

    def before(self, step: int) -> None:
        """Note the step, which says whether the search goes on."""
        self.step = step

    def batch(self, batch: "Batch", rng: torch.Generator) -> "Batch":
        """The half for the weights; the other one is kept for the logits.

        A batch that lies in one half altogether, as one of few samples may, is for the weights.
        """
        self.held_out = None
        if self.step >= self.search_steps:
            return batch
        second = in_second_half(batch)
        if bool(second.all()) or not bool(second.any()):
            return batch
        self.held_out = chosen_samples(batch, second)
        return chosen_samples(batch, ~second)

    def terms(self, view: StepView) -> Mapping[str, Tensor]:
        """The loss of the samples held out, with a gradient by the logits alone."""
        if self.held_out is None or self.step >= self.search_steps:
            return {}
        if view.task is None:
            raise ValueError("a search of subgroups needs the task of a run, for its loss of the samples held out")
        own = {id(mixture.logits) for mixture in mixtures(self.model)}
        state = {n: p if id(p) in own else p.detach() for n, p in view.model.named_parameters()}
        state |= {name: buffer.clone() for name, buffer in view.model.named_buffers()}  # whose changes are forgotten
        like = next(iter(view.model.parameters()))
        held_out = self.held_out.to(like.device, like.dtype)
        view.passes += 1
        with trained_logits(view.model):
            prediction = functional_call(view.model, state, (held_out,))
        return {"held out": view.task.loss(prediction, held_out)}

    def after(self, view: StepView) -> None:
        """Choose when the search ends."""
        if view.step + 1 == self.search_steps:
            choose_subgroups(self.model)

    def values(self) -> Mapping[str, float]:
        """The share of every candidate in each layer, and how many elements the likeliest one keeps."""
        network = copy.deepcopy(searched_network(self.model))
        found: dict[str, float] = {}
        for index, mixture in enumerate(mixtures(network)):
            shares = mixture().tolist()
            found |= {f"share of {n} in layer {index + 1}": share for n, share in zip(self.among.names, shares)}
        choose_subgroups(network)
        kept = layer_members(network)
        return found | {f"{KEPT} {index + 1}": float(len(members)) for index, members in enumerate(kept)}
