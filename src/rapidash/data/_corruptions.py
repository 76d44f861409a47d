"""Corruptions of point clouds for measuring robustness: two benchmarks' registries, acting on every declared field."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Literal, get_args, overload

import torch
from jaxtyping import Float
from torch import Tensor

from rapidash._names import unknown_name
from rapidash._seed import seeded
from rapidash.data import _modelnet40_c as m40
from rapidash.data import _pointcloud_c as pcc
from rapidash.data._cloud import CloudBatch, CloudDataset
from rapidash.data._effects import Deformation, Effect, in_normal_form, to_box, to_unit_ball
from rapidash.data._fields import Field
from rapidash.groups import DirectSum, Position, Scalar, Tensor2, Vector

SEVERITIES = (1, 2, 3, 4, 5)
NORMALS = ("normal", "normals")

CorruptionKind = Literal["rigid", "deformation", "noise", "points"]
"""Kinds of corruption: they turn a cloud as a whole, deform it, move its points one by one, or remove or add points."""
Normalization = Literal["given", "each"]

_RBF_LEVELS = (0.025, 0.05, 0.075, 0.1, 0.125)


@dataclass(frozen=True)
class Corruption:
    """One corruption of a benchmark.

    Args:
        name: as the benchmark calls it.
        family: "transformation", "noise" or "density", as the benchmark sorts them.
        kind: what is done to a cloud, which says under which targets it makes sense.
        levels: its parameter at the severities 1 to 5.
        effect: positions (N, 3) in float64, the parameter and a random stream -> what becomes of the cloud.
        normal_form: the similarity to the form of a cloud that the benchmark wants.
        is_approximate: True where the original has more than the cloud (the mesh, or twice the points), so that
            results cannot be compared with published ones.
    """

    name: str
    family: Literal["transformation", "noise", "density"]
    kind: CorruptionKind
    levels: tuple[int | float, ...]
    effect: Callable[[Tensor, float, torch.Generator], Effect]
    normal_form: Callable[[Tensor], Deformation] = to_unit_ball
    is_approximate: bool = False


def _registry(
    *corruptions: Corruption, normal_form: Callable[[Tensor], Deformation] = to_unit_ball
) -> Mapping[str, Corruption]:
    return MappingProxyType({entry.name: replace(entry, normal_form=normal_form) for entry in corruptions})


POINTCLOUD_C = _registry(
    Corruption("scale", "transformation", "deformation", (1.6, 1.7, 1.8, 1.9, 2.0), pcc.scale),
    Corruption("jitter", "noise", "noise", (0.01, 0.02, 0.03, 0.04, 0.05), pcc.jitter),
    Corruption("rotate", "transformation", "rigid", (6, 12, 18, 24, 30), pcc.rotate),
    Corruption("dropout_global", "density", "points", (0.25, 0.375, 0.5, 0.625, 0.75), pcc.dropout_global),
    Corruption("dropout_local", "density", "points", (100, 200, 300, 400, 500), pcc.dropout_local),
    Corruption("add_global", "noise", "points", (10, 20, 30, 40, 50), pcc.add_global),
    Corruption("add_local", "noise", "points", (100, 200, 300, 400, 500), pcc.add_local),
)
"""PointCloud-C (Ren et al., 2022): for clouds in the unit ball; counts are for 1,024 points, else in proportion."""

MODELNET40_C = _registry(
    Corruption("occlusion", "density", "points", (1, 2, 3, 4, 5), m40.occlusion, is_approximate=True),
    Corruption("lidar", "density", "points", (1, 2, 3, 4, 5), m40.lidar, is_approximate=True),
    Corruption("density_dec", "density", "points", (1, 2, 3, 4, 5), m40.density_dec),
    Corruption("density_inc", "density", "points", (1, 2, 3, 4, 5), m40.density_inc, is_approximate=True),
    Corruption("cutout", "density", "points", (2, 3, 5, 7, 10), m40.cutout),
    Corruption("uniform", "noise", "deformation", (0.01, 0.02, 0.03, 0.04, 0.05), m40.uniform_noise),
    Corruption("gaussian", "noise", "noise", (0.01, 0.015, 0.02, 0.025, 0.03), m40.gaussian_noise),
    Corruption("impulse", "noise", "deformation", (30, 25, 20, 15, 10), m40.impulse_noise),
    Corruption("upsampling", "noise", "points", (5, 4, 3, 2, 1), m40.upsampling),
    Corruption("background", "noise", "points", (45, 40, 35, 30, 20), m40.background_noise),
    Corruption("rotation", "transformation", "deformation", (2.5, 5, 7.5, 10, 15), m40.rotation),
    Corruption("shear", "transformation", "deformation", (0.05, 0.1, 0.15, 0.2, 0.25), m40.shear),
    Corruption("distortion", "transformation", "deformation", (0.1, 0.2, 0.3, 0.4, 0.5), m40.distortion),
    Corruption("distortion_rbf", "transformation", "deformation", _RBF_LEVELS, m40.distortion_rbf),
    Corruption("distortion_rbf_inv", "transformation", "deformation", _RBF_LEVELS, m40.distortion_rbf_inv),
    normal_form=to_box,
)
"""ModelNet40-C (Sun et al., 2022): for clouds in the box [-1, 1]^3 with y up.

The box is scaled anew after "rotation", "uniform" and "impulse", which therefore count as deformations.
"""

CORRUPTIONS: Mapping[str, Corruption] = MappingProxyType({**POINTCLOUD_C, **MODELNET40_C})
"""Every corruption of both benchmarks by name."""


@overload
def corrupt(
    cloud: Tensor,
    name: str,
    severity: int,
    *,
    generator: torch.Generator,
    normals: Collection[str] = NORMALS,
    normalization: Normalization = "given",
) -> Tensor: ...
@overload
def corrupt(
    cloud: CloudBatch,
    name: str,
    severity: int,
    *,
    generator: torch.Generator,
    normals: Collection[str] = NORMALS,
    normalization: Normalization = "given",
) -> CloudBatch: ...
def corrupt(
    cloud: Tensor | CloudBatch,
    name: str,
    severity: int,
    *,
    generator: torch.Generator,
    normals: Collection[str] = NORMALS,
    normalization: Normalization = "given",
) -> Tensor | CloudBatch:
    """A cloud (N, 3), or every cloud of a batch, corrupted; the input stays as it is.

    In a batch every field follows by its representation. Points that are removed take their rows along; a point that
    is added takes the rows of the nearest point. Where space is deformed, x -> f(x) with the Jacobian J: positions go
    to f(x), vectors to J v, tensors to J T J^T, and the fields named in ``normals`` to J^-T n with their length kept;
    a vector of the whole cloud takes J at the mean of its points. Noise moves "pos" alone. Scalars do not change.
    Corruptions are drawn here, not the released files: report them as such.

    Args:
        cloud: positions (N, 3), or a batch in three dimensions.
        name: a key of ``POINTCLOUD_C`` or ``MODELNET40_C``.
        severity: 1 to 5.
        generator: a CPU stream; clouds of a batch draw from it in their order.
        normals: vector fields that are normals of a surface.
        normalization: "given" for clouds that are in the form that the benchmark wants (unit ball, or box); "each"
            brings every cloud into this form by a similarity, corrupts it, and brings it back to its place and size.
    Raises: ValueError for an unknown name, severity or dimension, positions that are not finite, a cloud too small;
        TypeError for a representation that space cannot deform.
    """
    corruption = _checked(name, severity, normalization)
    if isinstance(cloud, Tensor):
        return _effect(corruption, severity, cloud, generator).pos.to(cloud)
    starts = torch.cumsum(cloud.num_points, 0).cpu()
    effects = [
        _effect(corruption, severity, pos, generator)
        for pos in torch.tensor_split(cloud.pos.detach(), starts[:-1].tolist())
    ]
    return _applied(cloud, effects, normals)


def corrupt_dataset(
    dataset: CloudDataset,
    name: str,
    severity: int,
    *,
    seed: int = 0,
    normals: Collection[str] = NORMALS,
    normalization: Normalization = "given",
) -> CloudDataset:
    """A data set with every cloud corrupted; that of cloud i depends on (seed, name, severity, i) only.

    Args: as for ``corrupt``.
    Raises: as ``corrupt``; the message says which cloud is bad.
    """
    _checked(name, severity, normalization)

    def corrupted(index: int) -> CloudBatch:
        generator = seeded("corruption", seed, name, severity, index)
        cloud = dataset.batch(torch.tensor([index]))
        return corrupt(cloud, name, severity, generator=generator, normals=normals, normalization=normalization)

    parts = []
    for index in range(len(dataset)):
        try:
            parts.append(corrupted(index))
        except ValueError as error:
            raise ValueError(f"cloud {index}: {error}") from error
    tensors = {field: torch.cat([part[field] for part in parts]) for field in dataset.fields}
    return CloudDataset(tensors, dataset.fields, torch.tensor([len(part.pos) for part in parts]))


def _checked(name: str, severity: int, normalization: Normalization) -> Corruption:
    """The corruption of that name, on clouds in the form that is said."""
    if name not in CORRUPTIONS:
        raise ValueError(unknown_name("corruption", name, CORRUPTIONS))
    if severity not in SEVERITIES:
        raise ValueError(f"severity must be one of {SEVERITIES}, got {severity!r}")
    if normalization not in get_args(Normalization):
        raise ValueError(f"normalization must be one of {get_args(Normalization)}, got {normalization!r}")
    corruption = CORRUPTIONS[name]
    if normalization == "given":
        return corruption
    return replace(corruption, effect=partial(in_normal_form, corruption.effect, corruption.normal_form))


def _effect(corruption: Corruption, severity: int, pos: Tensor, generator: torch.Generator) -> Effect:
    if pos.dim() != 2 or pos.shape[1] != 3 or len(pos) == 0:
        raise ValueError(f"corruptions act on clouds (N, 3) with at least one point, got {tuple(pos.shape)}")
    points = pos.detach().cpu().double()
    if not torch.isfinite(points).all():
        raise ValueError("the positions of the cloud are not finite: remove it before corrupting")
    return corruption.effect(points, float(corruption.levels[severity - 1]), generator)


def _applied(cloud: CloudBatch, effects: Sequence[Effect], normals: Collection[str]) -> CloudBatch:
    counts = cloud.num_points.tolist()
    first = [sum(counts[:index]) for index in range(len(counts))]
    places = [slice(start, start + count) for start, count in zip(first, counts)]
    tensors: dict[str, Tensor] = {}
    for name, tensor in cloud.tensors.items():
        field = cloud.fields[name]
        parts = []
        for index, (place, effect) in enumerate(zip(places, effects)):
            where = cloud.pos[place].detach().cpu().double()
            rows = effect.rows.to(tensor.device)
            if name == "pos":
                parts.append(effect.pos.to(tensor))
            elif field.level == "point":
                parts.append(_moved(name, field, tensor[place], where, effect, normals)[rows])
            else:
                parts.append(_moved(name, field, tensor[index : index + 1], where.mean(0, True), effect, normals))
        tensors[name] = torch.cat(parts)
    sizes = torch.tensor([len(effect.rows) for effect in effects])
    batch = torch.repeat_interleave(torch.arange(cloud.num_clouds), sizes).to(cloud.batch.device)
    return CloudBatch(tensors, cloud.fields, batch, cloud.num_clouds)


def _moved(
    name: str, field: Field, tensor: Tensor, where: Float[Tensor, "K 3"], effect: Effect, normals: Collection[str]
) -> Tensor:
    """A field of the points at ``where``, moved by the smooth part of an effect."""
    kind = field.representation
    if isinstance(kind, Scalar) or effect.deform is None:
        return tensor
    if isinstance(kind, DirectSum):
        pieces = tensor.split([width for _, width in kind.parts], dim=-1)
        parts = [replace(field, representation=part) for part, _ in kind.parts]
        moved = [_moved(name, part, piece, where, effect, normals) for part, piece in zip(parts, pieces)]
        return torch.cat(moved, dim=-1)
    values = tensor.detach().cpu().double()
    if isinstance(kind, Position):
        return effect.deform(values.reshape(-1, 3))[0].reshape(values.shape).to(tensor)
    jacobian = effect.deform(where)[1]
    if isinstance(kind, Vector):
        if name in normals:
            turned = torch.einsum("nji,n...j->n...i", torch.linalg.inv(jacobian), values)
            length = turned.norm(dim=-1, keepdim=True)
            return (turned * values.norm(dim=-1, keepdim=True) / torch.where(length > 0, length, 1.0)).to(tensor)
        return torch.einsum("nij,n...j->n...i", jacobian, values).to(tensor)
    if isinstance(kind, Tensor2):
        return torch.einsum("nij,n...jk,nlk->n...il", jacobian, values, jacobian).to(tensor)
    raise TypeError(f"field {name!r} transforms as {kind}: a deformation of space is not defined on it, leave it out")
