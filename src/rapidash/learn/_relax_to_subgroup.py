"""The relaxation morphism: the same function with the weights of a smaller group, and how far weights are from one."""

import copy
import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rapidash.groups import Group, coset_labels, finite_table, parse_subgroup
from rapidash.models import (
    Rapidash,
    keep_subgroups,
    layer_members,
    layer_places,
    untie,
    untying,
)
from rapidash.nn import GroupConv, ImageGroupConv, ImageSubgroupConv, Tables

ImageLayer = ImageGroupConv | ImageSubgroupConv


def relax_to_subgroup(model: nn.Module, subgroups: str | Group | Sequence[str | Group]) -> nn.Module:
    r"""The same function with the weights of a smaller group, for a network or a convolution of images.

    The kernel of a layer that is equivariant to G is one table, moved by each of its elements. That of a subgroup H has
    a table for every orbit: for every coset H g of the elements of G (images), or for every orbit of orientations and
    of pairs of them (Rapidash). So each of these gets a copy, and the copies may then be trained apart. Parameters of
    a layer of images grow by the index of H; features keep one layout, so that layers of any subgroups follow each
    other. Batch normalization has weights and statistics for every orbit, and the readout of means has columns.

    The function is the same in eval mode to rounding; with batch normalization it is another one in training mode,
    whose statistics are then of each orbit alone.

    Args:
        model: a Rapidash network with orientations, a group-convolutional network of images, or one convolution of it,
            also one that is relaxed already; it stays as it is.
        subgroups: the group of every layer, first to last; one for all of them: those of every layer. A group, or a
            name as `rapidash.groups.parse_subgroup` reads it: ``"C2"``, ``"C2(z)"``; ``"E(3)"`` keeps a layer.
    Returns: a new module in the mode of the given one, with parameters of its own.
    Raises: ValueError for what is no subgroup of the group of its layer (the message names some that are), another
        number of groups, a group that a layer has lost before, or a model of another kind.
    Source: Maile et al., "Equivariance-aware architectural optimization of neural networks", ICLR 2023, arXiv
        2210.05484; on orientation grids ours. From the equations.
    """
    if isinstance(model, ImageLayer):
        if not isinstance(subgroups, str | Group):
            raise ValueError(f"one layer keeps one subgroup, got {list(subgroups)}")
        if not isinstance(model.group, Group):
            raise ValueError(f"subgroups are those of groups of motions, the layer has {model.group.name}")
        members = parse_subgroup(subgroups, model.group)
        _check_kept(members, _members_of(model), subgroups, 0)
        return ImageSubgroupConv(copy.deepcopy(model), coset_labels(finite_table(model.group), members))
    orbits = untying(model)
    before = layer_members(model)
    names = [subgroups] * len(before) if isinstance(subgroups, str | Group) else list(subgroups)
    if len(names) != len(before):
        raise ValueError(f"the network has {len(before)} layers, got {len(names)} subgroups: {names}")
    for layer, (name, had) in enumerate(zip(names, before)):
        _check_kept(orbits.members(name), had, name, layer)
    relaxed = copy.deepcopy(model)
    if isinstance(relaxed, Rapidash):
        keep_subgroups(relaxed, names)
    else:
        untie(relaxed, [orbits.members(name) for name in names])
    return relaxed


def layer_subgroups(model: nn.Module) -> list[int]:
    """The number of elements of the group that every layer of a network keeps, first to last.

    Raises: ValueError for a network of another kind.
    """
    return [len(members) for members in layer_members(model)]


def subgroup_distance(model: nn.Module, subgroup: str | Group) -> Float[Tensor, " L"]:
    r"""The distance of every layer's weights from those that are equivariant to a group, ||(I - P) W|| / ||W||.

    P averages the tables over the orbits of the group: the projection of the whole kernel W, each of whose entries is
    an entry of a table. For the blocks of a Rapidash network W are all coefficients in the kernel basis, of every
    orientation and of every pair of them.

    Args:
        model: a network, or a convolution of images; its convolutions count.
        subgroup: a group, or a name, as for `relax_to_subgroup`.
    Returns: one number in [0, 1] for every layer, 0 where it is equivariant to the group.
    Raises: ValueError as `relax_to_subgroup`, or for a layer whose weights are all 0 or not finite.
    """
    if isinstance(model, ImageLayer):
        if not isinstance(model.group, Group):
            raise ValueError(f"subgroups are those of groups of motions, the layer has {model.group.name}")
        members = parse_subgroup(subgroup, model.group)
        return _distance([_tables_of(model)], [coset_labels(finite_table(model.group), members)])[None]
    orbits = untying(model)
    labels = [part.flatten() for part in orbits.labels(orbits.members(subgroup))]
    found = []
    for parts in layer_places(model):
        conv = parts[0].module
        if isinstance(conv, ImageLayer):
            found.append(_distance([_tables_of(conv)], labels))
            continue
        assert isinstance(conv, GroupConv)
        on_grid = [conv.kernel, *conv.pair_kernels, conv.odd_kernel]
        on_pairs = [conv.fiber_kernel, conv.odd_fiber_kernel]
        kernels = [(one, labels[0]) for one in on_grid] + [(one, labels[1]) for one in on_pairs]
        given = [(_of_things(kernel, len(label)), label) for kernel, label in kernels if kernel is not None]
        found.append(_distance([table for table, _ in given], [label for _, label in given]))
    return torch.stack(found)


def _of_things(kernel: nn.Module, num: int) -> Tensor:
    """The weights of each of several things."""
    return kernel.of_things() if isinstance(kernel, Tables) else kernel.get_parameter("weight").expand(num, -1, -1)


def _tables_of(layer: ImageLayer) -> Tensor:
    """The table of every element of the group."""
    if isinstance(layer, ImageSubgroupConv):
        return layer.tables.of_things()
    return layer.weight.expand(len(layer.places), *layer.weight.shape)


@torch.no_grad()
def _distance(tables: Sequence[Tensor], labels: Sequence[Tensor]) -> Float[Tensor, ""]:
    rest, whole = tables[0].new_zeros(()), tables[0].new_zeros(())
    for table, label in zip(tables, labels, strict=True):
        label = label.to(table.device)
        sums = table.new_zeros(int(label.max()) + 1, *table.shape[1:]).index_add(0, label, table)
        means = sums / torch.bincount(label).to(table).reshape(-1, *[1] * (table.dim() - 1))
        rest, whole = rest + (table - means[label]).square().sum(), whole + table.square().sum()
    if not 0 < float(whole) < math.inf:
        raise ValueError(
            f"a layer has weights of squared norm {float(whole):.3g}: their distance from others is not defined"
        )
    return (rest / whole).sqrt()


def _members_of(layer: ImageLayer) -> tuple[int, ...]:
    """The elements that a convolution of images keeps."""
    table = finite_table(layer.group)
    if not isinstance(layer, ImageSubgroupConv):
        return tuple(range(len(table)))
    labels = layer.tables.labels()
    return tuple((labels == labels[0]).nonzero().flatten().tolist())


def _check_kept(members: Sequence[int], had: Sequence[int], name: str | Group, layer: int) -> None:
    if not set(members) <= set(had):
        group = name if isinstance(name, str) else name.name
        raise ValueError(
            f"layer {layer + 1} keeps {len(had)} elements of its group, and {group} is no part of them: what a layer "
            "has lost does not come back, name a subgroup of what it keeps"
        )
