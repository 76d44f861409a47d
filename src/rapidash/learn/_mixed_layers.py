"""Layers that mix the weights of several subgroups, and the logits that weigh them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from rapidash.groups import Group, coset_labels, finite_table, parse_subgroup
from rapidash.models import Untying, layer_members, layer_places, untie
from rapidash.nn import (
    ConvNextBlock,
    GroupConv,
    ImageGroupConv,
    ImageSubgroupConv,
    OrbitTables,
    SubgroupBatchNorm,
    SubgroupConv,
    SubgroupHead,
    Tables,
)


class Mixture(nn.Module):
    """The weights of several subgroups in one layer: softmax of logits, or 1 for the one that was chosen.

    Args:
        logits: one for each subgroup.
    """

    chosen: Tensor

    def __init__(self, logits: Float[Tensor, " H"]) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits.clone())
        self.register_buffer("chosen", torch.tensor(-1))
        self.is_trained = False

    @property
    def choice(self) -> int | None:
        """The number of the chosen subgroup, None while they are mixed."""
        chosen = int(self.chosen)
        return None if chosen < 0 else chosen

    def forward(self) -> Float[Tensor, " H"]:
        """The weight of each subgroup; without a gradient, except within `trained_logits`."""
        if (choice := self.choice) is not None:
            return (torch.arange(len(self.logits), device=self.logits.device) == choice).to(self.logits)
        logits = self.logits if self.is_trained else self.logits.detach()
        return logits.softmax(dim=0)


class MixedTables(Tables):
    r"""Tables for the orbits of several subgroups, W = sum_H p_H W_H, with the weights p of a `Mixture`.

    Each W_H is kept at the norm that it began with, so that p measures its share. Where a subgroup is chosen the tables
    are those of its orbits.

    Args:
        tables: for the orbits of a subgroup of all; each W_H begins as these, averaged over its orbits.
        labels: for every subgroup and thing the number of its orbit.
        mixture: the weights, which several tables of a layer share; a module of the layer, not of the tables.
        keeps_norm: whether norms are kept.
    """

    norms: Tensor

    def __init__(
        self, tables: OrbitTables, labels: Sequence[Int[Tensor, " X"]], mixture: Mixture, *, keeps_norm: bool = True
    ) -> None:
        super().__init__()
        self._mixture = (mixture,)  # in a tuple, which registers nothing
        self.keeps_norm = keeps_norm
        self.register_buffer("orbits", tables.orbits.clone(), persistent=False)
        every = tables.of_things().detach()
        self.parts = nn.ParameterList()
        for number, label in enumerate(labels):
            label = label.flatten().unique(return_inverse=True)[1].to(tables.orbits)
            self.register_buffer(f"labels_{number}", label, persistent=False)
            self.parts.append(nn.Parameter(_means(every, label)))
        self.register_buffer("norms", torch.stack([self._norm(number) for number in range(len(labels))]).detach())

    @property
    def mixture(self) -> Mixture:
        """The weights."""
        return self._mixture[0]

    def forward(self) -> tuple[Tensor, Tensor]:
        """The tables of the chosen subgroup, or the mixed ones of the orbits that divide those of all."""
        choice = self.mixture.choice
        if choice is not None:
            return self.parts[choice], self.get_buffer(f"labels_{choice}")
        return self._mixed(), self.orbits

    def expanded(self) -> Tensor:
        """Tables for the orbits that divide those of all."""
        tables, labels = self()
        return tables if labels is self.orbits else tables[labels][self._first]

    def labels(self) -> Int[Tensor, " X"]:
        """See `Tables.labels`."""
        choice = self.mixture.choice
        return self.orbits if choice is None else self.get_buffer(f"labels_{choice}")

    @torch.no_grad()
    def rescale(self, factor: Tensor) -> None:
        """Multiply all tables, and the norms that are kept."""
        for part in self.parts:
            part.mul_(factor)
        self.norms.mul_(factor.abs())

    @torch.no_grad()
    def choose(self, number: int) -> None:
        """Let the tables of a subgroup be the mixed ones, averaged over its orbits; called before it is chosen."""
        mixed = self._mixed()[self.orbits]
        self.parts[number].copy_(_means(mixed, self.get_buffer(f"labels_{number}")))

    def draw(self, fan_in: int) -> None:
        """Fresh weights for each subgroup, as `OrbitTables.draw`; their norms are those that are kept."""
        for part in self.parts:
            nn.init.uniform_(part, -(fan_in**-0.5), fan_in**-0.5)
        self.norms.copy_(torch.stack([self._norm(number) for number in range(len(self.parts))]).detach())

    @property
    def num_unused(self) -> int:
        """The parameters of the subgroups that were not chosen."""
        choice = self.mixture.choice
        return 0 if choice is None else sum(part.numel() for k, part in enumerate(self.parts) if k != choice)

    @property
    def _first(self) -> Int[Tensor, " K"]:
        """The first thing of each orbit."""
        numbers = torch.arange(int(self.orbits.max()) + 1, device=self.orbits.device)
        return (self.orbits == numbers[:, None]).long().argmax(dim=1)

    def _norm(self, number: int) -> Tensor:
        """Of the weights of all things."""
        counts = torch.bincount(self.get_buffer(f"labels_{number}")).to(self.parts[number])
        return (self.parts[number].flatten(1).square().sum(dim=1) * counts).sum().sqrt()

    def _mixed(self) -> Tensor:
        shares, first = self.mixture(), self._first
        total = torch.zeros((), dtype=self.norms.dtype, device=self.norms.device)
        for number, part in enumerate(self.parts):
            norm = self._norm(number)
            factor = self.norms[number] / torch.where(norm > 0, norm, 1.0) if self.keeps_norm else 1.0
            total = total + shares[number] * factor * part[self.get_buffer(f"labels_{number}")[first]]
        return total


class MixedGroupConv(ImageSubgroupConv):
    r"""A convolution of images that mixes those of several subgroups, W = sum_H p_H W_H, with p = softmax of logits.

    Symmetry: that of all subgroups; with all weight on one, of that one.
    Args:
        conv: the convolution of the whole group; each W_H begins as it.
        subgroups: groups, or names as `relax_to_subgroup` reads them.
        prior: the logit of proper subgroups at first; that of the whole group is 0.
        keeps_norm: whether each W_H is kept at its first norm, so that p measures its share.
    Shape: as the given one.
    Raises: ValueError for what is no subgroup.
    Source: Maile et al., "Equivariance-aware architectural optimization of neural networks", ICLR 2023, arXiv
        2210.05484. From the equations.
    """

    def __init__(
        self, conv: ImageGroupConv, subgroups: Sequence[str | Group], *, prior: float = -2.0, keeps_norm: bool = True
    ) -> None:
        group = conv.group
        if not isinstance(group, Group):
            raise ValueError(f"subgroups are those of groups of motions, the layer has {group.name}")
        table = finite_table(group)
        members = [parse_subgroup(name, group) for name in subgroups]
        common = sorted(set.intersection(*map(set, members)))
        super().__init__(conv, coset_labels(table, common))
        self.mixture = Mixture(torch.tensor([0.0 if len(kept) == len(table) else prior for kept in members]))
        mix_tables(self, [(coset_labels(table, kept),) for kept in members], self.mixture, keeps_norm=keeps_norm)

    def draw(self) -> None:
        """Fresh weights for the tables of every subgroup."""
        tables: Tables = self.tables
        assert isinstance(tables, MixedTables)
        tables.draw(tables.parts[0][0, 0].numel())


def mix_tables(
    layer: nn.Module, labels: Sequence[Sequence[Tensor]], mixture: Mixture, *, keeps_norm: bool = True
) -> None:
    """Put `MixedTables` in the place of all tables of a layer.

    Args:
        layer: made for orbits that divide those of all subgroups.
        labels: for every subgroup its orbits, of elements or orientations, and of pairs where there are any.
        mixture: the weights.
        keeps_norm: see `MixedTables`.
    """
    for parent in list(layer.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, OrbitTables):
                own = [next(one for one in found if one.numel() == len(child.orbits)) for found in labels]
                setattr(parent, name, MixedTables(child, own, mixture, keeps_norm=keeps_norm))


def mix_network(
    network: nn.Module,
    orbits: Untying,
    members: Sequence[Sequence[int]],
    *,
    prior: float = -2.0,
    keeps_norm: bool = True,
) -> None:
    """Let every layer of a network mix subgroups, in place; the function stays as it is.

    Batch normalization stays one of the whole group, whatever the weights.

    Args:
        network: that `rapidash.models.untying` takes.
        orbits: of the network.
        members: of every subgroup the elements.
        prior, keeps_norm: as of `MixedGroupConv`.
    """
    finest, labels = orbits.labels(orbits.kept(members)), [orbits.labels(kept) for kept in members]
    logits = torch.tensor([0.0 if len(kept) == len(orbits.action) else prior for kept in members])
    for parts in layer_places(network):
        mixture = Mixture(logits)
        for place in parts:
            module = place.module
            if isinstance(module, GroupConv):
                layer: nn.Module = SubgroupConv(module, *finest)
            elif isinstance(module, ImageGroupConv | ImageSubgroupConv):
                layer = ImageSubgroupConv(module, *finest)
            elif isinstance(module, nn.BatchNorm3d | SubgroupBatchNorm | ConvNextBlock):
                continue
            else:
                assert not isinstance(module, Tensor)
                layer = SubgroupHead(module, *finest)  # type: ignore[arg-type]
            mix_tables(layer, labels, mixture, keeps_norm=keeps_norm)
            if place is parts[0]:
                layer.add_module("mixture", mixture)
            parameter = next(module.parameters())
            place.put(layer.to(parameter.device, parameter.dtype).train(module.training))


def mixtures(model: nn.Module) -> list[Mixture]:
    """The mixtures of a model, layer by layer."""
    return [part for part in model.modules() if isinstance(part, Mixture)]


def choose_subgroups(model: nn.Module) -> None:
    """Let every layer keep its likeliest subgroup, with the mixed weights averaged over its orbits."""
    for part in model.modules():
        if isinstance(part, MixedTables) and part.mixture.choice is None:
            part.choose(int(part.mixture.logits.argmax()))
    for mixture in mixtures(model):
        if mixture.choice is None:
            mixture.chosen.fill_(int(mixture.logits.argmax()))


@contextmanager
def chosen_view(model: nn.Module) -> Iterator[None]:
    """Within the block every layer keeps its likeliest subgroup, see `choose_subgroups`; then it is as before."""
    kept = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    choose_subgroups(model)
    try:
        yield
    finally:
        model.load_state_dict(kept)


def settle(network: nn.Module) -> None:
    """Choose, and put plain tables for the orbits of the chosen subgroups in the place of mixed ones, in place."""
    choose_subgroups(network)
    members = layer_members(network)
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, MixedTables):
                setattr(parent, name, OrbitTables(child.expanded(), child.orbits))
            elif isinstance(child, Mixture):
                delattr(parent, name)
    untie(network, members)


@contextmanager
def trained_logits(model: nn.Module) -> Iterator[None]:
    """Within the block the weights of mixtures have gradients by their logits."""
    found = mixtures(model)
    for mixture in found:
        mixture.is_trained = True
    try:
        yield
    finally:
        for mixture in found:
            mixture.is_trained = False


def _means(every: Tensor, labels: Int[Tensor, " X"]) -> Tensor:
    """For each label the mean of what has it."""
    sums = every.new_zeros(int(labels.max()) + 1, *every.shape[1:]).index_add(0, labels, every)
    return sums / torch.bincount(labels).to(every).reshape(-1, *[1] * (every.dim() - 1))
