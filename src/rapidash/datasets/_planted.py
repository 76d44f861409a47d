"""Clouds whose labels keep, by construction, all turns about z, some of them, or none."""

import math
from dataclasses import dataclass
from typing import Final, Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rapidash._seed import seeded
from rapidash.data import CloudDataset, Field
from rapidash.groups import Position, Scalar, Vector

Split = Literal["train", "val", "test"]
Planted = Literal["full", "partial", "discrete", "none", "wrong axis"]

PLANTED: Final[tuple[Planted, ...]] = get_args(Planted)
PLANTED_POINTS: Final = 12
PLANTED_KINDS: Final = 2
_SECTORS: Final[dict[Planted, int]] = {"full": 1, "partial": 2, "discrete": 2, "none": 4, "wrong axis": 4}


@dataclass(frozen=True)
class PlantedTruth:
    """The turns about an axis that keep every label.

    Args:
        kind: ``"full"``, all of them; ``"partial"``, those up to an angle; ``"discrete"``, the multiples of one;
            ``"none"``, the identity alone.
        half_width: radians; every turn by at most so much keeps all labels. 0 but for full (pi) and partial.
        order: how many equal steps of a whole turn keep all labels; 1 where no step does; 0 for full: any number.
    """

    kind: Literal["full", "partial", "discrete", "none"]
    half_width: float = 0.0
    order: int = 1


_ABOUT_Z: Final[dict[Planted, PlantedTruth]] = {
    "full": PlantedTruth("full", math.pi, 0),
    "partial": PlantedTruth("partial", math.pi / 4),
    "discrete": PlantedTruth("discrete", order=4),
    "none": PlantedTruth("none"),
    "wrong axis": PlantedTruth("none"),
}


def planted_truth(symmetry: Planted) -> PlantedTruth:
    """The turns about z that keep every label of `planted_dataset`; ``"wrong axis"`` keeps those about x.

    Raises: ValueError for an unknown symmetry.
    """
    return _ABOUT_Z[_known(symmetry)]


def planted_classes(symmetry: Planted) -> int:
    """The number of labels.

    Raises: ValueError for an unknown symmetry.
    """
    return PLANTED_KINDS * _SECTORS[_known(symmetry)]


def planted_label(symmetry: Planted, kind: Int[Tensor, " B"], facing: Float[Tensor, "B 3"]) -> Int[Tensor, " B"]:
    r"""The label of a cloud from its kind and the direction u in which it faces: kind times sectors, plus a sector.

    With phi the angle of u about z: ``"full"`` has one sector; ``"partial"`` two, by the sign of u_x; ``"discrete"``
    two, by the sign of cos 4 phi; ``"none"`` four, the quadrants around phi = 0, 90, 180 and 270 degrees;
    ``"wrong axis"`` four, each 45 degrees of the angle between u and x.

    Raises: ValueError for an unknown symmetry.
    """
    x, y, _ = facing.double().unbind(dim=1)
    angle = torch.atan2(y, x)
    match _known(symmetry):
        case "full":
            sector = torch.zeros_like(kind)
        case "partial":
            sector = (x < 0).long()
        case "discrete":
            sector = (torch.cos(4 * angle) < 0).long()
        case "none":
            sector = torch.floor(angle / (math.pi / 2) + 0.5).long() % 4
        case _:
            between = torch.acos((x / facing.double().norm(dim=1)).clamp(-1, 1))
            sector = torch.floor(between / (math.pi / 4)).long().clamp(max=3)
    return kind * _SECTORS[symmetry] + sector


def planted_dataset(
    split: Split,
    symmetry: Planted,
    *,
    size: int,
    noise: float = 0.05,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
) -> CloudDataset:
    """Turned copies of two random templates of 12 points, with labels that keep some turns about z or none.

    Before it is turned a cloud faces along x. It is turned about z by an angle: any (``"full"``, ``"discrete"``,
    ``"none"``), or within 45 degrees of 0 or of 180 (``"partial"``, so that all labels stand turns up to 45 degrees,
    and those at the edge no more). ``"wrong axis"``: by any angle about z and then by any about x, which its labels do
    not notice. The label follows from kind and facing, see `planted_label`, and which turns keep it from that, see
    `planted_truth`. A sample depends on (seed, split, its index) only.

    Fields: pos (size 12, 3), a dimensionless length, root mean square 1 per cloud but for noise, points in the order of
    the template; facing (size, 3), a unit vector, which no network of the task sees; kind and label (size,).
    Args:
        split: "train", "val" or "test", with independent samples.
        symmetry: which one is planted.
        size: number of clouds, at least 1.
        noise: standard deviation of every coordinate, at least 0.
        seed: of templates and samples.
        dtype: of positions and facings.
    Raises: ValueError for an unknown split or symmetry, or numbers out of range.
    """
    if split not in get_args(Split):
        raise ValueError(f"unknown split {split!r}, expected one of {get_args(Split)}")
    _known(symmetry)
    if size < 1 or not 0 <= noise < math.inf:
        raise ValueError(f"expected size >= 1 and noise >= 0, got {size=}, {noise=}")
    draws = [_drawn(seeded("planted", seed, split, index)) for index in range(size)]
    kinds, uniforms, noises = (torch.stack(column) for column in zip(*draws))
    kind = (PLANTED_KINDS * kinds).long().clamp(max=PLANTED_KINDS - 1)
    turns = _turns(symmetry, *uniforms.T)
    clouds = planted_templates(seed)[kind] + noise * noises
    pos = torch.einsum("bij,bnj->bni", turns, clouds).flatten(0, 1)
    facing = turns[:, :, 0]
    fields = {
        "pos": Field(Position(), "length"),
        "facing": Field(Vector(), level="cloud"),
        "kind": Field(Scalar(), level="cloud"),
        "label": Field(Scalar(), level="cloud"),
    }
    label = planted_label(symmetry, kind, facing)
    tensors = {"pos": pos.to(dtype), "facing": facing.to(dtype), "kind": kind, "label": label}
    return CloudDataset(tensors, fields, torch.full((size,), PLANTED_POINTS))


def planted_templates(seed: int = 0) -> Float[Tensor, "K N 3"]:
    """The two templates, facing along x, float64: normal points about their centroid, root mean square 1."""
    return unit_templates(PLANTED_KINDS, PLANTED_POINTS, seeded("planted", seed, "templates"))


def unit_templates(num: int, num_points: int, rng: torch.Generator) -> Float[Tensor, "K N 3"]:
    """Normal points about the centroid of each template, root mean square 1, float64."""
    points = torch.randn(num, num_points, 3, generator=rng, dtype=torch.float64)
    points = points - points.mean(dim=1, keepdim=True)
    return points / points.square().sum(dim=2).mean(dim=1).sqrt()[:, None, None]


def _drawn(rng: torch.Generator) -> tuple[Tensor, Float[Tensor, "3"], Float[Tensor, "N 3"]]:
    """Of one sample: a uniform number for its kind, three for its pose, and standard normal noise."""
    uniform = torch.rand(4, generator=rng, dtype=torch.float64)
    return uniform[0], uniform[1:], torch.randn(PLANTED_POINTS, 3, generator=rng, dtype=torch.float64)


def _turns(symmetry: Planted, first: Tensor, second: Tensor, third: Tensor) -> Float[Tensor, "B 3 3"]:
    """The rotation of every cloud, from three uniform numbers."""
    about_z = 2 * math.pi * first
    if symmetry == "partial":
        about_z = math.pi / 4 * (2 * first - 1) + math.pi * (second < 0.5)
    turns = _about_z(about_z)
    if symmetry != "wrong axis":
        return turns
    about_x = _about_z(2 * math.pi * third).roll((1, 1), dims=(1, 2))  # z, x, y in place of x, y, z
    return about_x @ turns


def _about_z(angle: Float[Tensor, " B"]) -> Float[Tensor, "B 3 3"]:
    c, s, zero, one = angle.cos(), angle.sin(), torch.zeros_like(angle), torch.ones_like(angle)
    return torch.stack([c, -s, zero, s, c, zero, zero, zero, one], dim=1).reshape(-1, 3, 3)


def _known(symmetry: Planted) -> Planted:
    if symmetry not in PLANTED:
        raise ValueError(f"unknown symmetry {symmetry!r}, expected one of {PLANTED}")
    return symmetry
