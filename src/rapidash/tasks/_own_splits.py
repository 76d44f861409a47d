"""Training, validation and test parts of a user's clouds: by seed, by a group, in time, or by files."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import torch
from jaxtyping import Int
from torch import Tensor

from rapidash._seed import seeded
from rapidash.datasets import DataError

SHARES: Final = (0.7, 0.15, 0.15)  # of training, validation and test
NAMES: Final = ("train", "val", "test")
NOWHERE: Final = -1
GAP: Final = 0.02  # of the clouds of a file, left out between its blocks in time
_WORDS: Final = {"train": 0, "training": 0, "val": 1, "valid": 1, "validation": 1, "dev": 1, "test": 2, "testing": 2}
WAYS: Final = "seed, group:NAME, time or files"


def check_split_way(split: str) -> None:
    """Raises: ValueError for another way than those that there are."""
    if split not in ("seed", "time", "files") and not (split.startswith("group:") and len(split) > len("group:")):
        raise ValueError(f"split must be {WAYS}, got {split!r}")


def by_seed(strata: Int[Tensor, " B"], seed: int) -> Int[Tensor, " B"]:
    """At random, with the same shares in every stratum (a class); 0, 1, 2 for training, validation and test."""
    part = torch.zeros(len(strata), dtype=torch.long)
    for stratum in strata.unique().tolist():
        members = (strata == stratum).nonzero()[:, 0]
        order = members[torch.randperm(len(members), generator=seeded("own data", seed, stratum))]
        ends = [round(share * len(order)) for share in (SHARES[0], SHARES[0] + SHARES[1])]
        if len(order) >= len(NAMES):  # each part has one
            ends = [min(max(ends[0], 1), len(order) - 2), min(max(ends[1], ends[0] + 1), len(order) - 1)]
        part[order[ends[0] : ends[1]]] = 1
        part[order[ends[1] :]] = 2
    return part


def by_group(groups: Sequence[str], seed: int, what: str) -> Int[Tensor, " B"]:
    """Whole groups, in a random order, to the part that lacks most of its share.

    Raises: DataError for fewer than three groups.
    """
    names = sorted(set(groups))
    if len(names) < len(NAMES):
        raise DataError(
            f"split by {what}: it has {len(names)} value{'' if len(names) == 1 else 's'} ({', '.join(names)}), three "
            "parts need at least 3: with fewer, everything of one kind is in one part"
        )
    place = {name: index for index, name in enumerate(names)}
    group = torch.tensor([place[name] for name in groups])
    sizes = torch.bincount(group, minlength=len(names))
    order = torch.randperm(len(names), generator=seeded("own data", "groups", seed)).tolist()
    part_of, filled = torch.zeros(len(names), dtype=torch.long), [0, 0, 0]
    for rank, index in enumerate(sorted(order, key=lambda index: -int(sizes[index]))):
        lacks = [share * len(groups) - done for share, done in zip(SHARES, filled)]
        empty = [part for part in range(3) if not filled[part]]
        must = empty if len(names) - rank <= len(empty) else range(3)
        part = max(must, key=lambda part: lacks[part])
        part_of[index] = part
        filled[part] += int(sizes[index])
    return part_of[group]


def in_time(file: Int[Tensor, " B"]) -> Int[Tensor, " B"]:
    """The clouds of each file in their order: first those of training, then validation, then test.

    Between two blocks 2 % of the file's clouds, at least one, are in no part, so that neighbors in time do not meet.
    Raises: DataError for a file with too few clouds.
    """
    part = torch.full((len(file),), NOWHERE)
    for index in file.unique().tolist():
        members = (file == index).nonzero()[:, 0]
        gap = math.ceil(GAP * len(members))
        if len(members) < 5 * gap + 5:
            raise DataError(f"split in time: file {index} has {len(members)} clouds, blocks in time need at least 10")
        ends = [round(share * len(members)) for share in (SHARES[0], SHARES[0] + SHARES[1])]
        part[members[: ends[0]]] = 0
        part[members[ends[0] + gap : ends[1]]] = 1
        part[members[ends[1] + gap :]] = 2
    return part


def by_files(file: Int[Tensor, " B"], paths: Sequence[str], seed: int) -> Int[Tensor, " B"]:
    """Whole files. Where the name of each has the word train, val or test, these are the parts; else at random.

    Without a file for validation, 15 % of the training clouds are taken for it.
    Raises: DataError for fewer than three files without such names, or names without training or test.
    """
    told = [_word_of(path) for path in paths]
    if all(one is not None for one in told):
        if missing := [name for part, name in enumerate(NAMES) if part != 1 and part not in told]:
            raise DataError(f"split by files: no file has {missing[0]!r} in its name, and the others have such a word")
        part = torch.tensor([one or 0 for one in told])[file]
        if 1 not in told:
            train = (part == 0).nonzero()[:, 0]
            order = torch.randperm(len(train), generator=seeded("own data", "validation", seed))
            part[train[order[: max(1, round(SHARES[1] * len(train)))]]] = 1
        return part
    return by_group([paths[index] for index in file.tolist()], seed, "files")


def _word_of(path: str) -> int | None:
    words = Path(path).stem.lower().replace("-", "_").replace(".", "_").split("_")
    return next((_WORDS[word] for word in words if word in _WORDS), None)
