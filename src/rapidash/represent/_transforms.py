"""Transformations of clouds by name, each with a parameter: augmentations of training, and grids to measure on."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from rapidash._names import unknown_name
from rapidash.data import POINTCLOUD_C, SEVERITIES, CloudBatch, corrupt, seeded
from rapidash.groups import SO, SO2, motion
from rapidash.measure import InvarianceSimilarity, Report, Whitening, invariance_similarity

TransformKind = Literal["pose", "appearance"]
Move = Callable[[CloudBatch, float, torch.Generator], CloudBatch]
Draw = Callable[[CloudBatch, torch.Generator], CloudBatch]


@dataclass(frozen=True)
class CloudTransform:
    """A transformation of clouds in three dimensions, which are in the unit ball about the origin.

    Args:
        name: e.g. ``"rotation"``.
        kind: ``"pose"`` for motions of a rigid cloud, ``"appearance"`` for changes of its points and proportions.
        unit: of the parameter.
        grid: the values of the parameter at which features are compared; the identity is not among them.
        move: a batch, the parameter and a CPU stream -> the batch, where the rest (such as an axis) is drawn for each
            cloud.
        draw: a batch and a CPU stream -> the batch as an augmentation of training makes it.
    """

    name: str
    kind: TransformKind
    unit: str
    grid: tuple[float, ...]
    move: Move
    draw: Draw


def _affine(batch: CloudBatch, linear: Float[Tensor, "*B 3 3"]) -> CloudBatch:
    return batch.transform(motion(linear, linear.new_zeros(linear.shape[:-1])))


def _directions(num: int, generator: torch.Generator) -> Float[Tensor, "num 3"]:
    """Unit vectors, uniform on the sphere, float64."""
    return torch.nn.functional.normalize(torch.randn(num, 3, generator=generator, dtype=torch.float64), dim=1)


def _uniform(num: int, width: int, generator: torch.Generator) -> Float[Tensor, "num width"]:
    """Numbers in [-1, 1], float64."""
    return 2 * torch.rand(num, width, generator=generator, dtype=torch.float64) - 1


def _rotation(batch: CloudBatch, degrees: float, generator: torch.Generator) -> CloudBatch:
    """By an angle about an axis that is drawn for each cloud."""
    axes = _directions(batch.num_clouds, generator)
    return batch.transform(SO(3).exponential(math.radians(degrees) * axes))


def _yaw(batch: CloudBatch, degrees: float, generator: torch.Generator) -> CloudBatch:
    """By an angle about the z axis, the same for all clouds."""
    turn = SO2("z").without_translations()
    return batch.transform(turn.exponential(torch.tensor([math.radians(degrees)], dtype=torch.float64)))


def _reflection(batch: CloudBatch, axis: float, generator: torch.Generator) -> CloudBatch:
    """In the plane across the axis 0, 1 or 2."""
    signs = torch.ones(3, dtype=torch.float64)
    signs[int(axis)] = -1
    return _affine(batch, torch.diag(signs))


def _translation(batch: CloudBatch, distance: float, generator: torch.Generator) -> CloudBatch:
    """By a distance in a direction that is drawn for each cloud."""
    shift = distance * _directions(batch.num_clouds, generator)
    return batch.transform(motion(torch.eye(3, dtype=torch.float64).expand(len(shift), 3, 3), shift))


def _anisotropic_scale(batch: CloudBatch, largest: float, generator: torch.Generator) -> CloudBatch:
    """Each axis by a factor of its own, which is log-uniform in [1 / largest, largest]."""
    factors = torch.exp(math.log(largest) * _uniform(batch.num_clouds, 3, generator))
    return _affine(batch, torch.diag_embed(factors))


def _corrupted(name: str, batch: CloudBatch, level: float, generator: torch.Generator) -> CloudBatch:
    """By a corruption of PointCloud-C at one of its levels."""
    return corrupt(batch, name, SEVERITIES[POINTCLOUD_C[name].levels.index(level)], generator=generator)


def _haar(batch: CloudBatch, generator: torch.Generator) -> CloudBatch:
    return batch.transform(SO(3).sample(batch.num_clouds, generator=generator))


def _turned(batch: CloudBatch, generator: torch.Generator) -> CloudBatch:
    return batch.transform(SO2("z").without_translations().sample(batch.num_clouds, generator=generator))


def _mirrored(batch: CloudBatch, generator: torch.Generator) -> CloudBatch:
    """Half of the clouds, in the plane across a random axis of the three."""
    num = batch.num_clouds
    axis = torch.nn.functional.one_hot(torch.randint(3, (num,), generator=generator), 3).double()
    flipped = torch.randint(2, (num, 1), generator=generator)
    return _affine(batch, torch.diag_embed(1 - 2 * axis * flipped))


def _shifted(batch: CloudBatch, generator: torch.Generator) -> CloudBatch:
    """By a distance of at most 1/2 along each axis."""
    shift = _uniform(batch.num_clouds, 3, generator) / 2
    return batch.transform(motion(torch.eye(3, dtype=torch.float64).expand(len(shift), 3, 3), shift))


def _transform(
    name: str,
    kind: TransformKind,
    unit: str,
    grid: tuple[float, ...],
    move: Move,
    *,
    draw: Draw | None = None,
    at: float | None = None,
) -> CloudTransform:
    """An augmentation is ``draw``, or the transformation at one value of the parameter."""

    def fixed(batch: CloudBatch, generator: torch.Generator) -> CloudBatch:
        assert at is not None
        return move(batch, at, generator)

    return CloudTransform(name, kind, unit, grid, move, draw or fixed)


def _of_pointcloud_c(name: str, corruption: str, unit: str, at: float) -> CloudTransform:
    levels = tuple(float(level) for level in POINTCLOUD_C[corruption].levels)
    return _transform(name, "appearance", unit, levels, partial(_corrupted, corruption), at=at)


_ALL = (
    _transform("rotation", "pose", "degree", (30, 60, 90, 135, 180), _rotation, draw=_haar),
    _transform("yaw", "pose", "degree", (30, 60, 90, 135, 180), _yaw, draw=_turned),
    _transform("reflection", "pose", "axis", (0, 1, 2), _reflection, draw=_mirrored),
    _transform("translation", "pose", "length", (0.25, 0.5, 1.0), _translation, draw=_shifted),
    _transform("anisotropic scale", "appearance", "factor", (1.1, 1.25, 1.5, 2.0), _anisotropic_scale, at=1.5),
    _of_pointcloud_c("jitter", "jitter", "length", 0.05),
    _of_pointcloud_c("drop", "dropout_global", "share", 0.5),
    _of_pointcloud_c("add", "add_global", "points of 1,024", 50),
)
TRANSFORMS: Mapping[str, CloudTransform] = MappingProxyType({one.name: one for one in _ALL})
"""Every transformation by name.

The corruptions are those of PointCloud-C, see `rapidash.data.corrupt`, whose counts are in proportion: of a cloud with
fewer than 52 points the least of "add" adds none, which `similarity_to_transforms` refuses.

As augmentations of training: a rotation, or a rotation about z, by Haar measure; half of the clouds mirrored in the
plane across one of the axes; a translation of at most 1/2 along each axis; factors of the axes up to 1.5; jitter of
0.05; half of the points dropped; 50 points added for 1,024. All of it is drawn for each cloud.
"""
POSE = ("rotation", "reflection", "translation")
"""Augmentations after which a network need not know the pose ("ventral" in the paper)."""
APPEARANCE = ("anisotropic scale", "jitter", "drop")
"""Augmentations after which it need not know proportions and single points ("dorsal" in the paper)."""


def check_transforms(names: Sequence[str]) -> None:
    """Raise ValueError for a name that is not in `TRANSFORMS`, or one twice."""
    for name in names:
        if name not in TRANSFORMS:
            raise ValueError(unknown_name("transformation of clouds", name, TRANSFORMS))
    if len(set(names)) < len(names):
        raise ValueError(f"a transformation is named twice: {list(names)}")


def augmented(batch: CloudBatch, names: Sequence[str], generator: torch.Generator) -> CloudBatch:
    """The clouds after these transformations, one after another, each drawn as for training.

    Raises: ValueError for an unknown name, or clouds that cannot be transformed.
    """
    check_transforms(names)
    for name in names:
        batch = TRANSFORMS[name].draw(batch, generator)
    return batch


def similarity_to_transforms(
    encoder: Callable[[CloudBatch], Tensor],
    batch: CloudBatch,
    *,
    whitening: Whitening | None = None,
    names: Sequence[str] = tuple(TRANSFORMS),
    seed: int = 0,
) -> dict[str, InvarianceSimilarity]:
    """By name of a transformation, the similarity of whitened features over its grid.

    Args:
        encoder: a batch of clouds -> features (B, F), in eval mode.
        batch: clouds in the unit ball.
        whitening: from `rapidash.measure.feature_statistics` of a reference set; None: that of the batch.
        names: keys of `TRANSFORMS`.
        seed: of what is drawn at each value of a parameter.
    Raises: ValueError for an unknown name, and as `rapidash.measure.invariance_similarity`.
    """
    check_transforms(names)
    found = {}
    for name in names:
        one = TRANSFORMS[name]
        grid = {
            f"{name} {value:g} {one.unit}": partial(
                _at, one.move, value, seeded(seed, "similarity", name, f"{value:g}")
            )
            for value in one.grid
        }
        found[name] = invariance_similarity(encoder, batch, grid, whitening=whitening)
    return found


def _at(move: Move, value: float, generator: torch.Generator, batch: CloudBatch) -> CloudBatch:
    return move(batch, value, generator)


def similarity_report(found: Mapping[str, InvarianceSimilarity]) -> Report:
    """One row for each transformation, and below it one for each value of its parameter."""
    rows = []
    for name, one in found.items():
        mean = {"cosine": one.mean_cosine, "Mahalanobis distance": one.mean_mahalanobis}
        rows += [{"transformation": name, **mean}, *one.report().rows]
    rank = {one.rank for one in found.values()}
    return Report("similarity of whitened features", tuple(rows), {"rank": rank.pop()} if len(rank) == 1 else {})
