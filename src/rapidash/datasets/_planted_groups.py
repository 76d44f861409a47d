"""Clouds in every pose whose labels keep, by construction, the motions of one group and no others."""

import math
from typing import Final, Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rapidash._seed import seeded
from rapidash.data import CloudDataset, Field
from rapidash.datasets._planted import unit_templates
from rapidash.groups import Position, Scalar, Vector, random_rotation

Split = Literal["train", "val", "test"]
PlantedGroup = Literal["E(3)", "SE(3)", "O2(z)", "T(3)"]

PLANTED_GROUPS: Final[tuple[PlantedGroup, ...]] = get_args(PlantedGroup)
_POINTS: Final = 12
_KINDS: Final = 2
_SECTORS: Final[dict[PlantedGroup, int]] = {"E(3)": 1, "SE(3)": 2, "O2(z)": 2, "T(3)": 4}


def planted_group_classes(group: PlantedGroup) -> int:
    """The number of labels.

    Raises: ValueError for an unknown group.
    """
    return _KINDS * _SECTORS[_known(group)]


def planted_group_label(
    group: PlantedGroup, kind: Int[Tensor, " B"], hand: Int[Tensor, " B"], facing: Float[Tensor, "B 3"]
) -> Int[Tensor, " B"]:
    r"""The label of a cloud from its kind, its hand and the direction u in which it faces: kind times sectors + sector.

    ``"E(3)"`` has one sector. ``"SE(3)"`` has two, the hand. ``"O2(z)"`` has two, by the sign of u_z, which turns about
    z and mirrors through it keep. ``"T(3)"`` has four, the quadrants of (u_x, u_y), which no turn and no mirror keeps.

    Raises: ValueError for an unknown group.
    """
    match _known(group):
        case "E(3)":
            sector = torch.zeros_like(kind)
        case "SE(3)":
            sector = hand
        case "O2(z)":
            sector = (facing[:, 2] < 0).long()
        case _:
            sector = 2 * (facing[:, 0] < 0).long() + (facing[:, 1] < 0).long()
    return kind * _SECTORS[group] + sector


def planted_group_dataset(
    split: Split, group: PlantedGroup, *, size: int, noise: float = 0.1, seed: int = 0
) -> CloudDataset:
    """Moved copies of two random templates of 12 points, with labels that stand the motions of one group.

    Before it is moved a cloud faces along x. Half of the clouds are mirrored across the plane y = 0, which leaves the
    facing, then every one is turned by a uniform rotation and shifted by standard normal numbers. So the distribution
    of the clouds is the same for every group; the label alone says which motions count, see `planted_group_label`. A
    sample depends on (seed, split, its index) only.

    Fields: pos (size 12, 3), a dimensionless length, root mean square about 1 per cloud; facing (size, 3), a unit
    vector, kind, hand and label (size,).
    Args:
        split: "train", "val" or "test", with independent samples.
        group: whose motions labels stand.
        size: number of clouds, at least 1.
        noise: standard deviation of every coordinate, at least 0.
        seed: of templates and samples.
    Raises: ValueError for an unknown split or group, or numbers out of range.
    """
    if split not in get_args(Split):
        raise ValueError(f"unknown split {split!r}, expected one of {get_args(Split)}")
    _known(group)
    if size < 1 or not 0 <= noise < math.inf:
        raise ValueError(f"expected size >= 1 and noise >= 0, got {size=}, {noise=}")
    drawn = [_drawn(seeded("planted groups", seed, split, index)) for index in range(size)]
    kind, hand, turns, shifts, noises = (torch.stack(column) for column in zip(*drawn))
    templates = unit_templates(_KINDS, _POINTS, seeded("planted groups", seed, "templates"))
    clouds = templates[kind] + noise * noises
    clouds[:, :, 1] *= 1 - 2 * hand[:, None]
    pos = torch.einsum("bij,bnj->bni", turns, clouds) + shifts[:, None]
    facing = turns[:, :, 0]
    fields = {
        "pos": Field(Position(), "length"),
        "facing": Field(Vector(), level="cloud"),
        "kind": Field(Scalar(), level="cloud"),
        "hand": Field(Scalar(), level="cloud"),
        "label": Field(Scalar(), level="cloud"),
    }
    tensors = {
        "pos": pos.flatten(0, 1).float(),
        "facing": facing.float(),
        "kind": kind,
        "hand": hand,
        "label": planted_group_label(group, kind, hand, facing),
    }
    return CloudDataset(tensors, fields, torch.full((size,), _POINTS))


def _drawn(rng: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Of one sample: kind and hand, a rotation, a shift, and standard normal noise."""
    kind, hand = torch.randint(2, (2,), generator=rng)
    turn = random_rotation(1, 3, generator=rng)[0]
    normal = torch.randn(_POINTS + 1, 3, generator=rng, dtype=torch.float64)
    return kind, hand, turn, normal[0], normal[1:]


def _known(group: PlantedGroup) -> PlantedGroup:
    if group not in PLANTED_GROUPS:
        raise ValueError(f"unknown group {group!r}, expected one of {PLANTED_GROUPS}")
    return group
