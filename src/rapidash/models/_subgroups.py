"""Networks whose layers keep a subgroup each: which motions a layer can keep, and how it is untied to fewer of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from jaxtyping import Int
from torch import Tensor, nn

from rapidash.geometry import PairInvariants
from rapidash.groups import (
    FiniteGroup,
    Group,
    coset_labels,
    finite_table,
    grid_symmetries,
    kept_labels,
    orbit_labels,
    parse_group,
    parse_subgroup,
    part_of,
)
from rapidash.models._fiber_network import FiberNetwork
from rapidash.nn import (
    ConvNextBlock,
    GroupConv,
    ImageGroupConv,
    ImageSubgroupConv,
    SubgroupBatchNorm,
    SubgroupConv,
    SubgroupHead,
    Tables,
    has_mean,
)

if TYPE_CHECKING:
    from rapidash.models._rapidash import Rapidash

Subgroups = str | Group | Sequence[str | Group]


@dataclass(frozen=True)
class Untying:
    """The group that the layers of a network are equivariant to at most, and the orbits of its subgroups.

    Args:
        group: a finite group; of a Rapidash network the motions of its kernels' group that permute the grid.
        action: action[g, x] is where element g takes x: an element of the group (of images), or an orientation.
        on_pairs: whether x are orientations, whose pairs have orbits too.
        whole: the name under which a layer keeps all of it.
    """

    group: Group
    action: Int[Tensor, "G X"]
    on_pairs: bool
    whole: str

    def members(self, subgroup: str | Group) -> tuple[int, ...]:
        """All motions that a layer of this subgroup keeps: those that take every orbit to itself.

        On an orientation grid they may be more than the subgroup: two that have the same orbits of pairs are one.

        Raises: ValueError as `rapidash.groups.parse_subgroup`.
        """
        return self.closed(parse_subgroup(subgroup, self.group))

    def closed(self, members: Sequence[int]) -> tuple[int, ...]:
        """As `members`, of elements by their indices."""
        if not self.on_pairs:
            return tuple(members)
        pairs = self._pairs()
        return kept_labels(pairs, orbit_labels(pairs, members))

    def labels(self, members: Sequence[int]) -> tuple[Tensor, ...]:
        """The orbits that have a table each: of elements; or of orientations, and of pairs of them (O, O).

        The whole group has one table, whatever its orbits.
        """
        num = self.action.shape[1]
        shapes = [(num,), (num, num)] if self.on_pairs else [(num,)]
        if len(members) == len(self.action):
            return tuple(torch.zeros(shape, dtype=torch.long) for shape in shapes)
        if not self.on_pairs:
            return (coset_labels(finite_table(self.group), members),)
        return orbit_labels(self.action, members), orbit_labels(self._pairs(), members).reshape(num, num)

    def keeping(self, labels: Int[Tensor, " X"]) -> tuple[int, ...]:
        """The elements that take everything, elements or pairs of orientations, to what has the same label."""
        return kept_labels(self._pairs() if self.on_pairs else self.action, labels)

    @property
    def everything(self) -> tuple[int, ...]:
        """All elements of the group."""
        return tuple(range(len(self.action)))

    def kept(self, layers: Sequence[Sequence[int]]) -> tuple[int, ...]:
        """The elements that all layers keep."""
        return tuple(sorted(set.intersection(set(self.everything), *map(set, layers))))

    def _pairs(self) -> Int[Tensor, "G XX"]:
        num = self.action.shape[1]
        return (self.action[:, :, None] * num + self.action[:, None, :]).flatten(1)


def grid_motions(invariants: PairInvariants, grid: Tensor) -> Group:
    """The motions of a grid that kernels keep, as a finite group that fixes the origin."""
    group = invariants.group
    motions = grid_symmetries(grid.detach().cpu().double(), reflections=True).elements
    kept = torch.stack([motion for motion in motions if group.linear.contains(motion)])
    return Group(group.dim, FiniteGroup(f"{len(kept)} motions of the grid", kept), translations=False)


def grid_untying(invariants: PairInvariants, grid: Tensor) -> Untying:
    """The motions of a grid that kernels keep, and where they take its orientations.

    Raises: ValueError without orientations.
    """
    if not invariants.has_orientations:
        raise ValueError(
            "a network on R^D has no orientations whose kernels could differ: choose a space such as 'R3xS2'"
        )
    grid, finite = grid.detach().cpu().double(), grid_motions(invariants, grid)
    linear = finite_table(finite).elements[:, : finite.dim, : finite.dim]
    action = torch.cdist(grid @ linear.transpose(1, 2), grid.expand(len(linear), -1, -1)).argmin(dim=2)
    return Untying(finite, action, on_pairs=True, whole=invariants.group.name)


def untying(network: nn.Module) -> Untying:
    """The group of a network's layers and its orbits.

    Raises: ValueError for a network of another kind, or one without orientations.
    """
    if isinstance(network, FiberNetwork):
        table = finite_table(network.group)
        group = network.group
        if not isinstance(group, Group):
            raise ValueError(f"subgroups are those of groups of motions, the network has {group.name}")
        return Untying(group, table.table, on_pairs=False, whole=group.name)
    invariants, grid = getattr(network, "invariants", None), getattr(network, "grid", None)
    if not isinstance(invariants, PairInvariants) or not isinstance(grid, Tensor):
        raise ValueError(
            f"subgroups are those of Rapidash networks with orientations and of group-convolutional networks of "
            f"images, got {type(network).__name__}"
        )
    return grid_untying(invariants, grid)


@dataclass(frozen=True)
class Place:
    """A layer of a network, by the module that holds it and the name under which it does."""

    parent: nn.Module
    name: str

    @property
    def module(self) -> nn.Module:
        """The layer."""
        found: nn.Module = getattr(self.parent, self.name)
        return found

    def put(self, layer: nn.Module) -> None:
        """Another layer in its place."""
        setattr(self.parent, self.name, layer)


def layer_places(network: nn.Module) -> list[list[Place]]:
    """The parts of each layer that have weights for every orbit: convolution, and of images normalization and head."""
    if isinstance(network, FiberNetwork):
        found: list[list[Place]] = []
        for name, module in network.layers.named_children():
            if isinstance(module, ImageGroupConv | ImageSubgroupConv):
                found.append([])
            elif not isinstance(module, nn.BatchNorm3d | SubgroupBatchNorm):
                continue
            found[-1].append(Place(network.layers, name))
        if isinstance(network.head, SubgroupHead) or has_mean(network.head):
            found[-1].append(Place(network, "head"))
        return found
    blocks = [module for module in network.modules() if isinstance(module, ConvNextBlock)]
    return [[Place(block, "conv")] for block in blocks]


def untie(network: nn.Module, layers: Sequence[Sequence[int]], *, can_tie: bool = False) -> None:
    """Put layers of subgroups in the place of a network's, in place, each with the function of the one before.

    Args:
        network: of any kind that `untying` takes.
        layers: for every layer the elements that it keeps, indices of the group's `finite_table`.
        can_tie: every layer gets tables, and ties that a saved one has.
    Raises: ValueError for another number of layers, or elements that join what the network has apart.
    """
    orbits = untying(network)
    places = layer_places(network)
    if len(layers) != len(places):
        raise ValueError(f"the network has {len(places)} layers, got {len(layers)} subgroups")
    for parts, members in zip(places, layers):
        labels = orbits.labels(members)
        is_whole = len(members) == len(orbits.action)
        for place in parts:
            module = place.module
            if is_whole and not can_tie and not any(isinstance(part, Tables) for part in module.modules()):
                continue  # one orbit is the layer itself
            new = _untied(module, labels, can_tie)
            place.put(new.to(next(module.parameters()).device).train(module.training))


def tie(network: nn.Module, layers: Sequence[Sequence[int]]) -> None:
    """Tie the tables of layers that `untie` made with ``can_tie``, so that each keeps these elements."""
    orbits = untying(network)
    for parts, members in zip(layer_places(network), layers, strict=True):
        for place in parts:
            module = place.module
            assert isinstance(module, SubgroupConv | ImageSubgroupConv | SubgroupBatchNorm | SubgroupHead)
            module.tie(*orbits.labels(members))


def layer_members(network: nn.Module) -> list[tuple[int, ...]]:
    """The elements of the group that every layer keeps, from its tables and their ties."""
    orbits = untying(network)
    found: list[tuple[int, ...]] = []
    for parts in layer_places(network):
        conv = parts[0].module
        tables = getattr(conv, "fiber_kernel", None) if orbits.on_pairs else getattr(conv, "tables", None)
        labels = tables.labels().cpu() if isinstance(tables, Tables) else None
        found.append(orbits.everything if labels is None else orbits.keeping(labels))
    return found


def draw_tables(network: nn.Module) -> None:
    """Fresh weights from torch's global generator for every orbit by itself, in the layers of an untied network."""
    for parts in layer_places(network):
        for place in parts:
            if isinstance(place.module, SubgroupConv | ImageSubgroupConv | SubgroupHead):
                place.module.draw()


def common_subgroup(orbits: Untying, layers: Sequence[Sequence[int]], names: Sequence[str | Group] = ()) -> Group:
    """The group that all layers keep, by the name of one of the layers' if it is that one's."""
    members = orbits.kept(layers)
    for name, own in zip(names, layers):
        if tuple(own) == members and parse_subgroup(name, orbits.group) == members:
            return part_of(orbits.group, members, parse_group(name, orbits.group.dim).without_translations().name)
    return part_of(orbits.group, members, f"{len(members)} motions of the grid" if orbits.on_pairs else None)


def keep_subgroups(network: "Rapidash", names: Sequence[str | Group]) -> None:
    """Untie the blocks of a Rapidash network in place, and let its symmetry and configuration say so.

    Raises: ValueError for another number of names than blocks, or what is no subgroup of the motions of the grid.
    """
    orbits = untying(network)
    layers = [orbits.members(name) for name in names]
    untie(network, layers)
    if all(len(members) == len(orbits.action) for members in layers):
        return
    found = common_subgroup(orbits, layers, names)
    network.symmetry = Group(network.dim, found.linear)
    network.config = replace(network.config, subgroups=tuple(str(name) for name in names))


def _untied(module: nn.Module, labels: Sequence[Tensor], can_tie: bool) -> nn.Module:
    match module:
        case GroupConv():
            return SubgroupConv(module, *labels, can_tie=can_tie)
        case ImageGroupConv() | ImageSubgroupConv():
            return ImageSubgroupConv(module, *labels, can_tie=can_tie)
        case nn.BatchNorm3d() | SubgroupBatchNorm():
            return SubgroupBatchNorm(module, *labels, can_tie=can_tie)
        case _:
            assert not isinstance(module, Tensor)
            return SubgroupHead(module, *labels, can_tie=can_tie)  # type: ignore[arg-type]
