"""The questions that are put to the training clouds before anything is trained, each with two controls."""

import math
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import one_hot

from rapidash._seed import seeded
from rapidash.advise._descriptors import AXES, Descriptors, describe, unit_of
from rapidash.advise._finding import CLEAR, Asked, Finding
from rapidash.advise._gain import Estimate, gain
from rapidash.advise._target import Target
from rapidash.advise._trial import Clock
from rapidash.data import CloudDataset, Field
from rapidash.groups import SO, SO2, Scalar
from rapidash.measure import symmetry_breaking_score, task_symmetry_breaking

FEWEST: Final = 20  # clouds
MOST_ASKED: Final = 500
_FEWEST_ASKED: Final = 150
_ASKED_PER_MINUTE: Final = 30
_STEPS: Final = 100
_TURNS: Final = 5
_PLANTED_SHARE: Final = 0.5  # of the variance of a planted target
_SAME: Final = 1e-3
_NO_SPREAD: Final = 1e-9
_ALL_THE_SAME: Final = "All of these clouds are the same in what is asked about"
_NO_TIME: Final = "The questions before this one took the time that there is for questions: more --minutes would do"
_LEAST: Final = 0.01  # of the variance: less is nothing to choose a network by
_SHARE: Final = "share of the variance of the target that it explains"


def diagnose(
    data: CloudDataset,
    target: Target | None,
    *,
    only: Collection[str] | None = None,
    seed: int = 0,
    say: Callable[[str], None] = lambda question: None,
    seconds: float = math.inf,
    clock: Clock = time.perf_counter,
) -> tuple[Finding, ...]:
    """Ask the clouds about their pose, vertical, hand, place and size, and what each tells about the target.

    A figure that lies at least three standard errors above the value of data without the property is a yes. A no needs
    the control with the property planted, at half the variance of the target, to be a yes; else these clouds are too
    few to tell. The other control is the same figure of these data with the property taken away.

    Args:
        data: what the network is given of the training clouds, in 2 or 3 dimensions; a few hundred are enough.
        target: see `find_target`; None: only the clouds are asked.
        only: the keys of the questions that are asked; None: all of them.
        seed: of all draws.
        say: called with every question before it is asked.
        seconds: after which no further question is begun; those that are left are not asked, and say so.
        clock: by which the seconds are measured.
    Raises: ValueError for fewer than 20 clouds.
    """
    if len(data) < FEWEST:
        raise ValueError(f"{len(data)} training clouds say nothing about their symmetry: at least {FEWEST} are needed")
    found = []
    started = clock()
    for asked in _questions(data, target, seed):
        if only is not None and asked.key not in only:
            continue
        if clock() - started > seconds:
            found.append(replace(asked, skip=_NO_TIME).answer(len(data)))
            continue
        say(asked.question)
        found.append(asked.answer(len(data)))
    return tuple(found)


def num_asked(num: int, minutes: float) -> int:
    """How many of so many clouds are asked: 30 for every minute of the advice, at least 150 and at most 500."""
    return min(num, int(min(MOST_ASKED, max(_FEWEST_ASKED, _ASKED_PER_MINUTE * minutes))))


def turned(data: CloudDataset, elements: Float[Tensor, "B n n"]) -> CloudDataset:
    """Every cloud moved by an element of its own."""
    batch = data.batch(torch.arange(len(data))).transform(elements)
    return CloudDataset(batch.tensors, data.fields, data.num_points)


def aligned(data: CloudDataset) -> CloudDataset:
    """Every cloud turned to its principal axes, the longest along the last: a pose that all share, by construction."""
    batch = data.batch(torch.arange(len(data)))
    rows = []
    for points in batch.pos.double().split(batch.num_points.tolist()):
        offset = points - points.mean(dim=0)
        _, vectors = torch.linalg.eigh(offset.T @ offset)
        skew = (offset @ vectors).pow(3).sum(dim=0)
        rows.append(offset @ (vectors * torch.where(skew < 0, -1.0, 1.0)))
    tensors = {**data.tensors, "pos": torch.cat(rows).to(data.tensors["pos"].dtype)}
    return CloudDataset(tensors, data.fields, data.num_points)


def _questions(data: CloudDataset, target: Target | None, seed: int) -> Iterator[Asked]:
    asked = _Questions(data, target, seed)
    yield asked.pose()
    yield asked.pose_alone()
    yield asked.pose_beyond_shape()
    if asked.dim == 3:
        yield asked.vertical()
        yield asked.heading()
    yield asked.hand()
    yield asked.place()
    yield asked.size()
    if target is not None and target.vectors is not None:
        yield _direction(target.vectors, seed)


@dataclass(frozen=True)
class _Questions:
    """The questions about some clouds and their target."""

    data: CloudDataset
    target: Target | None
    seed: int

    @cached_property
    def dim(self) -> int:
        return int(self.data.tensors["pos"].shape[1])

    @cached_property
    def unit(self) -> float:
        return unit_of(self.data)

    @cached_property
    def described(self) -> Descriptors:
        return describe(self.data, unit=self.unit)

    @cached_property
    def places(self) -> CloudDataset:
        """The positions alone, about the centroids and in units of the root mean square distance from them."""
        batch = self.data.batch(torch.arange(len(self.data)))
        offsets = batch.pos.double() / self.unit - self.described.place[batch.batch]
        return CloudDataset({"pos": offsets.float()}, {"pos": self.data.fields["pos"]}, self.data.num_points)

    @cached_property
    def by_height(self) -> dict[str, Estimate]:
        """By axis, the share of the error that falls when heights along it are known."""
        return self._by_height(self.described, self._values)

    @property
    def axis(self) -> str:
        """The axis whose heights tell most; the last one where all clouds have the same heights."""
        return max(self.by_height, key=lambda name: self.by_height[name].value, default=AXES[self.dim - 1])

    @property
    def _heights_that_tell(self) -> list[str]:
        """The vertical, where there is one: of clouds that stand on a ground, the position follows from heights."""
        if self._skip() or self.dim != 3 or not self.by_height:
            return []
        return [self.axis] if self.by_height[self.axis].z >= CLEAR else []

    @cached_property
    def _upright(self) -> list[str]:
        """The axes along which clouds have heights at all."""
        heights = self.described.heights
        return [axis for axis in heights if bool((heights[axis].std(dim=0) > _SAME).any())]

    def _by_height(self, found: Descriptors, target: Tensor) -> dict[str, Estimate]:
        return {axis: gain(found.shape, found.heights[axis], target, seed=self.seed) for axis in self._upright}

    @property
    def _values(self) -> Tensor:
        assert self.target is not None
        return self.target.values

    def _turned(self, data: CloudDataset) -> CloudDataset:
        return turned(data, SO(self.dim).sample(len(data), generator=seeded(self.seed, "turned")))

    # ---- the pose

    def pose(self) -> Asked:
        """Is the distribution of poses uniform?"""

        def score(clouds: CloudDataset) -> Estimate:
            found = symmetry_breaking_score(clouds, SO(self.dim), steps=_STEPS, seed=self.seed)
            return Estimate(found.accuracy, found.standard_error)

        return Asked(
            "pose",
            "Do the clouds stand in a preferred pose?",
            "They do: a network tells clouds as they are from turned ones",
            "They do not: clouds as they are look like turned ones",
            "accuracy at telling a cloud from a turned one",
            lambda: (score(self.places), ""),
            lambda: score(self._turned(self.places)),
            lambda: score(aligned(self.places)),
            null=0.5,
            skip=self._without_pose(),
        )

    def pose_alone(self) -> Asked:
        """Does the orientation of a cloud, and nothing else of it, tell about the target?"""
        turning = "" if self.target is None or self.target.vectors is None else "The target turns with the cloud"

        def ratio(data: CloudDataset, wanted: Tensor) -> Estimate:
            tensors = {**data.tensors, "wanted": wanted.float() if wanted.is_floating_point() else wanted}
            asked = CloudDataset(tensors, {**data.fields, "wanted": Field(Scalar(), level="cloud")}, data.num_points)
            found = task_symmetry_breaking(asked, "wanted", steps=_STEPS, num_turns=_TURNS, seed=self.seed)
            return Estimate(found.ratio, found.standard_error)

        def wanted() -> Tensor:
            assert self.target is not None
            return self.target.values if self.target.label is None else self.target.label

        def planted() -> Estimate:
            lies = torch.rand(len(self.places), generator=seeded(self.seed, "lies")) < 0.5
            elements = torch.eye(self.dim + 1, dtype=torch.float64).repeat(len(lies), 1, 1)
            elements[lies, :2, :2] = torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=torch.float64)
            elements[lies] = elements[lies].roll((1, 1), dims=(1, 2)) if self.dim == 3 else elements[lies]
            return ratio(turned(aligned(self.places), elements), lies.long())

        return Asked(
            "pose tells",
            "Does the pose alone tell about the target?",
            "It does: the orientation of a cloud alone is a better guess than a random one",
            "It does not: a random orientation is as good a guess",
            "loss from random orientations over that from those of the data",
            lambda: (ratio(self.places, wanted()), ""),
            lambda: ratio(self._turned(self.places), wanted()),
            planted,
            null=1.0,
            skip=self._skip() or turning,
        )

    def pose_beyond_shape(self) -> Asked:
        """Does the pose tell beyond the shape?"""
        return self._asked(
            "pose beyond shape",
            "Does the pose tell about the target what the shape does not?",
            "It does: who knows how a cloud is turned predicts better than who knows its distances",
            "It does not: distances say as much",
            lambda found: (found.shape, found.pose),
            lambda: describe(self._turned(self.data), unit=self.unit),
        )

    def vertical(self) -> Asked:
        """Do heights along one of the axes tell beyond the shape?"""

        def best(gains: dict[str, Estimate]) -> tuple[Estimate, str]:
            axis = max(gains, key=lambda name: gains[name].value)
            return gains[axis], axis

        def without() -> Estimate:
            return best(self._by_height(describe(self._turned(self.data), unit=self.unit), self._values))[0]

        return Asked(
            "vertical",
            "Is there a vertical: do heights along an axis tell about the target?",
            "There is: heights along AXIS tell about the target beyond the shape",
            "None is seen: heights along no axis tell beyond the shape",
            f"{_SHARE}, best of three axes",
            lambda: best(self.by_height),
            without,
            lambda: best(self._by_height(self.described, self._planted(self.described.heights[self.axis])))[0],
            least=_LEAST,
            skip=self._skip() or ("" if self._upright else _ALL_THE_SAME),
        )

    def heading(self) -> Asked:
        """Does the heading about the vertical tell beyond shape and heights?"""
        axis = "z" if self._skip() else self.axis
        is_seen = bool(self._skip() or self._heights_that_tell)
        about = SO2(axis).without_translations()
        return self._asked(
            "heading",
            "Does the heading about the vertical tell what shape and heights do not?",
            f"It does: turns about {axis} change what is known about the target",
            f"It does not: turns about {axis} change nothing",
            lambda found: (torch.cat([found.shape, found.heights[axis]], dim=1), found.pose),
            lambda: describe(
                turned(self.data, about.sample(len(self.data), generator=seeded(self.seed, "turned"))), unit=self.unit
            ),
            skip="" if is_seen else "No vertical is seen",
        )

    # ---- hand, place and size

    def hand(self) -> Asked:
        """Do left and right tell beyond the shape?"""
        flat = "Every cloud is its own mirror image, turned: the two cannot be told apart"

        def mirrored() -> Descriptors:
            elements = torch.eye(self.dim + 1, dtype=torch.float64).repeat(len(self.data), 1, 1)
            flips = torch.rand(len(self.data), generator=seeded(self.seed, "mirror")) < 0.5
            elements[flips, 0, 0] = -1.0
            return describe(turned(self.data, elements), unit=self.unit)

        return self._asked(
            "hand",
            "Does it matter whether a cloud or its mirror image is shown?",
            "It does: left and right tell about the target beyond the shape",
            "It does not: mirror images say the same about the target",
            lambda found: (found.shape, found.hand),
            mirrored,
            skip=flat if bool(self.described.hand.abs().max() < _SAME) else "",
        )

    def place(self) -> Asked:
        """Does the absolute position tell beyond the shape?"""
        place = self.described.place
        heights = self._heights_that_tell
        return self._asked(
            "place",
            "Does the absolute position of a cloud tell about the target?",
            "It does, and no variant of the race sees it: give it to the network as an input",
            "It does not",
            lambda found: (torch.cat([found.shape, *(found.heights[axis] for axis in heights)], dim=1), found.place),
            lambda: replace(self.described, place=place[self._order]),
            skip="All clouds have the same centroid" if bool((place - place[0]).abs().max() < _SAME) else "",
        )

    def size(self) -> Asked:
        """Does the size tell beyond the form?"""
        size = self.described.size
        return self._asked(
            "size",
            "Does the size of a cloud tell about the target?",
            "It does: do not scale clouds to one size",
            "It does not: the form says as much",
            lambda found: (found.form, found.size),
            lambda: replace(self.described, size=size[self._order]),
            skip="All clouds have the same size" if bool((size - size[0]).abs().max() < _SAME) else "",
        )

    # ---- what they share

    def _asked(
        self,
        key: str,
        question: str,
        yes: str,
        no: str,
        columns: Callable[[Descriptors], tuple[Tensor, Tensor]],
        removed: Callable[[], Descriptors],
        *,
        skip: str = "",
    ) -> Asked:
        """The share of the error that falls when the second of two sets of columns is known beside the first."""

        def planted() -> Estimate:
            base, extra = columns(self.described)
            return gain(base, extra, self._planted(extra), seed=self.seed)

        return Asked(
            key,
            question,
            yes,
            no,
            _SHARE,
            lambda: (gain(*columns(self.described), self._values, seed=self.seed), ""),
            lambda: gain(*columns(removed()), self._values, seed=self.seed),
            planted,
            least=_LEAST,
            skip=self._skip() or skip or self._told_by_none(columns),
        )

    def _told_by_none(self, columns: Callable[[Descriptors], tuple[Tensor, Tensor]]) -> str:
        is_same = bool((columns(self.described)[1].std(dim=0) <= _NO_SPREAD).all())
        return _ALL_THE_SAME if is_same else ""

    def _skip(self) -> str:
        if self.target is None:
            return "The target of this task has no numbers of a cloud to ask about"
        if bool((self.target.values == self.target.values[0]).all()):
            return "The target is the same for all of these clouds"
        return self._without_pose()

    def _without_pose(self) -> str:
        is_point = int(self.data.num_points.max()) < 2
        return "Every cloud is a single point, which has no pose, no size and no hand" if is_point else ""

    @property
    def _order(self) -> Tensor:
        return torch.randperm(len(self.data), generator=seeded(self.seed, "order"))

    def _planted(self, extra: Float[Tensor, "B E"]) -> Float[Tensor, "B K"]:
        """A target that owes half of its variance to the first principal component of some columns, half to chance.

        Chance is the true target in a random order. Of classes, half follow from the columns and the others do not.
        """
        assert self.target is not None
        rng, values = seeded(self.seed, "planted"), self.target.values
        spread = extra.std(dim=0)
        kept = extra[:, spread > _NO_SPREAD]
        scaled = ((kept - kept.mean(dim=0)) / kept.std(dim=0)).clamp(-3, 3)
        told = scaled @ torch.linalg.svd(scaled, full_matrices=False).Vh[0]
        order = torch.randperm(len(extra), generator=rng)
        if self.target.label is not None:
            classes = values.shape[1]
            ranks = told.argsort().argsort() * classes // len(told)
            chosen = torch.rand(len(told), generator=rng) < _PLANTED_SHARE
            return one_hot(torch.where(chosen, ranks, self.target.label[order]), classes).double()
        told = (told - told.mean()) / told.std()
        return math.sqrt(_PLANTED_SHARE) * told[:, None] + math.sqrt(1 - _PLANTED_SHARE) * values[order]


def _direction(vectors: Float[Tensor, "B D"], seed: int) -> Asked:
    """Do the vectors of a target have a mean, and along which axis?"""
    dim = vectors.shape[1]

    def share(given: Tensor) -> tuple[Estimate, str]:
        mean, error = given.mean(dim=0), given.std(dim=0) / math.sqrt(len(given))
        size = float(given.square().sum(dim=1).mean().sqrt()) or 1.0
        index = int((mean.abs() / error.clamp_min(1e-300)).argmax())
        return Estimate(float(mean[index].abs()) / size, float(error[index]) / size), AXES[index]

    turns = SO(dim).sample(len(vectors), generator=seeded(seed, "turned"))[:, :dim, :dim].to(vectors)
    moved = torch.einsum("bij,bj->bi", turns, vectors)
    push = float(vectors.square().sum(dim=1).mean().sqrt()) * torch.eye(dim, dtype=vectors.dtype)[-1]
    return Asked(
        "direction",
        "Do the vectors of the target have a preferred direction?",
        "They do, along AXIS: by something outside, such as gravity, or by the pose in which the clouds are stored",
        "They do not: their mean is zero",
        "mean component along the best axis over the size of the vectors",
        lambda: share(vectors),
        lambda: share(moved)[0],
        lambda: share(math.sqrt(_PLANTED_SHARE) * moved + math.sqrt(1 - _PLANTED_SHARE) * push)[0],
    )


def num_points_text(data: CloudDataset) -> str:
    """The sizes of clouds in words."""
    counts = data.num_points
    low, middle, high = int(counts.min()), int(counts.double().median()), int(counts.max())
    return str(low) if low == high else f"{low} to {high}, median {middle}"
