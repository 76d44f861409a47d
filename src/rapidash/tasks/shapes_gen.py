"""Shapes as clouds of points on their surfaces, generated."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from rapidash._names import unknown_name
from rapidash.data import CloudDataset, Field
from rapidash.datasets import OnError, ReadDataset, modelnet10_dataset, shapenet_dataset, shapes69_dataset
from rapidash.generate import Asked, DenoisingTask, HeunSampler, StateSpace, density_ledger, placeholder
from rapidash.generate.metrics import CloudDistance, Figure, cloud_figures, normalized
from rapidash.geometry import centroids
from rapidash.groups import Position
from rapidash.methods import Measurement, Split, Variant
from rapidash.symmetry import Ledger
from rapidash.tasks._cloud_denoiser import CloudDenoiser
from rapidash.tasks._point_inputs import network_ledger
from rapidash.tasks._split_sizes import check_split_sizes, split_sizes

ShapeSource = Literal["modelnet10", "shapes69", "shapenet"]
Scale = Literal["global", "box", "unit sphere"]
Solver = Literal["heun", "heun-without-noise"]
_MOST_POINTS = {"modelnet10": 1024, "shapes69": 1024, "shapenet": 15_000}
_DISTANCES: tuple[CloudDistance, ...] = ("chamfer", "earth mover", "pair distances")
_POS = Field(Position(), "size of a shape")


@dataclass(frozen=True)
class ShapesGenTask(DenoisingTask):
    """Shapes of some classes as clouds of points on their surfaces: positions are generated, up is y.

    Clouds have their mean at the origin, where all states of a sampler have it. They and samples are normalized by one
    rule, which the names of figures have: ``"global"``: as the files have them, one scale for all; ``"box"``: the
    longest side of the box of each is 2; ``"unit sphere"``: the farthest point of each is at distance 1.

    Figures of samples, against as many test shapes (fewer, where one of the sets is smaller): 1-NNA, over both sets and
    for each apart, MMD and COV of `rapidash.generate.metrics.cloud_figures`, by Chamfer and earth mover's distance,
    which see the pose of a cloud, and by the distances between its points, which do not.

    Args:
        source: ``"modelnet10"``, ``"shapes69"`` or ``"shapenet"`` (folders), see the readers in `rapidash.datasets`.
        classes: names, separated by commas; those of shapenet may be folders such as "03001627".
        num_points: of each cloud, at most 1024, of shapenet 15,000.
        scale: the normalization.
        num_points_earth_mover: drawn once of each cloud for the earth mover's distance, which is slow.
        solver: of the figures: ``"heun"``, with added noise, or ``"heun-without-noise"``.
        num_train: training shapes, at most; None: all.
        num_val, num_test: shapes of validation and test that are noised, at most, each at 4 levels.
        num_samples: generated for the figures, at least 2.
        sampling_steps: of the sampler that generates them.
        data_dir: folder or file; default: RAPIDASH_DATA.
        on_error: "skip" leaves bad shapes out, counted and reported; "raise" stops at the first.
        verify: compare the checksum of the file; folders have none.
    Raises: ValueError for values outside the above, or fewer than two steps.
    Source: Yang et al., "PointFlow", ICCV 2019 (figures); the data: see the readers.
    """

    source: ShapeSource = "modelnet10"
    classes: str = "chair"
    num_points: int = 256
    scale: Scale = "unit sphere"
    num_points_earth_mover: int = 128
    solver: Solver = "heun"
    num_train: int | None = None
    num_val: int = 50
    num_test: int = 100
    num_samples: int = 100
    sampling_steps: int = 25
    data_dir: str | None = None
    on_error: OnError = "raise"
    verify: bool = True

    name: str = field(default="shapes-gen", init=False)
    dim: int = field(default=3, init=False)

    def __post_init__(self) -> None:
        check_split_sizes(self)
        self.sampler  # noqa: B018  (which checks the steps)
        for option, allowed in (("source", ShapeSource), ("scale", Scale), ("solver", Solver)):
            if getattr(self, option) not in get_args(allowed):
                raise ValueError(f"{option} must be one of {get_args(allowed)}, got {getattr(self, option)!r}")
        if not self.class_names:
            raise ValueError(f"classes must name at least one, separated by commas, got {self.classes!r}")
        most = _MOST_POINTS[self.source]
        if not 2 <= self.num_points_earth_mover <= self.num_points <= most:
            raise ValueError(
                f"num_points must be from 2 to {most} for source={self.source!r} and num_points_earth_mover from 2 to "
                f"num_points, got {self.num_points} and {self.num_points_earth_mover}"
            )
        if self.num_samples < 2:
            raise ValueError(f"num_samples must be at least 2: sets are compared, got {self.num_samples}")

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names in ``classes``."""
        return tuple(dict.fromkeys(name.strip() for name in self.classes.split(",") if name.strip()))

    @property
    def space(self) -> StateSpace:
        """Positions alone."""
        return StateSpace(3)

    @property
    def sampler(self) -> HeunSampler:
        """That of the figures."""
        return HeunSampler(self.sampling_steps, churn=0.4 if self.solver == "heun" else 0.0)

    def clouds(self, split: Split) -> CloudDataset:
        """The shapes of a split.

        Raises: FileNotFoundError; DataError for a damaged file; ValueError for a class that the data do not have, or
            for a single test shape, which is no set.
        """
        own = self.source, self.class_names, self.num_points, self.scale, self.data_dir, self.on_error, self.verify
        found, size = _shapes(split, *own), split_sizes(self)[split]
        if split == "test" and len(found) < 2:
            raise ValueError(f"{self.source} has a single test shape of {self.classes}: sets of shapes are compared")
        if split == "train" and size is not None and size < len(found):
            return found.subset(torch.linspace(0, len(found) - 1, size).long())
        return found

    def templates(
        self, indices: Int[Tensor, " B"], seed: int, constants: Float[Tensor, " K"], asked: Asked
    ) -> CloudDataset:
        """As many points as the training shapes have, or as are asked for."""
        num_points = asked.num_points
        if num_points is None:
            num_points = torch.full((len(indices),), self.num_points)
        return placeholder(num_points, 3, _POS.unit, {}, {})

    def figures(self, clouds: CloudDataset) -> Iterable[Measurement]:
        """Figures of shapes against test shapes."""
        test = self.clouds("test")
        num = min(len(clouds), len(test))
        own, real = (data.subset(torch.linspace(0, len(data) - 1, num).long()) for data in (clouds, test))
        yield Measurement("clouds of each set", num, "1", better="")
        for figure in cloud_figures(
            own,
            real,
            scale=self.scale,
            distances=_DISTANCES,
            num_points=self.num_points,
            num_points_earth_mover=self.num_points_earth_mover,
        ):
            yield _measurement(figure)

    def build(self, variant: Variant) -> nn.Module:
        """The network of a variant with fresh weights from torch's global generator."""
        return CloudDenoiser(variant, self.space)

    def ledger(self, variant: Variant) -> Ledger:
        """Effective symmetry of a variant, and what it says of samples."""
        with torch.random.fork_rng():
            return density_ledger(network_ledger(self.build(variant)), variant)


def _measurement(figure: Figure) -> Measurement:
    better: Literal["lower", "higher", ""] = "higher" if figure.name.startswith("COV") else ""
    if figure.name.startswith(("|1-NNA", "MMD")):
        better = "lower"
    value = figure.value if math.isfinite(figure.value) else None
    return Measurement(figure.name, value, figure.unit, better=better, low=figure.low, high=figure.high)


@lru_cache(maxsize=6)
def _shapes(
    split: Split,
    source: ShapeSource,
    classes: tuple[str, ...],
    num_points: int,
    scale: Scale,
    data_dir: str | None,
    on_error: OnError,
    verify: bool,
) -> CloudDataset:
    """The shapes of some classes, with y up, normalized and about their mean."""
    data = _read(split, source, classes, num_points, data_dir, on_error, verify)
    pos = data.tensors["pos"].double()
    if source == "modelnet10":  # up is z
        pos = torch.stack([pos[:, 0], pos[:, 2], -pos[:, 1]], dim=1)
    if scale != "global":
        each = pos.unflatten(0, (len(data), num_points))
        pos = normalized(each, each, scale)[0].flatten(0, 1)
    batch = torch.repeat_interleave(torch.arange(len(data)), data.num_points)
    pos = pos - centroids(pos, batch, len(data))[batch]
    return CloudDataset({"pos": pos.float()}, {"pos": _POS}, data.num_points)


def _read(
    split: Split,
    source: ShapeSource,
    classes: tuple[str, ...],
    num_points: int,
    data_dir: str | None,
    on_error: OnError,
    verify: bool,
) -> CloudDataset:
    if source == "shapenet":
        return shapenet_dataset(
            split, classes=classes, num_points=num_points, normalize=False, data_dir=data_dir, on_error=on_error
        )
    read = {"modelnet10": modelnet10_dataset, "shapes69": shapes69_dataset}[source]
    data: ReadDataset = read(
        split, num_points=num_points, normalize=False, data_dir=data_dir, on_error=on_error, verify=verify
    )
    names = data.info["class_names"]
    for name in classes:
        if name not in names:
            raise ValueError(unknown_name(f"class of {source}:", name, names))
    wanted = torch.tensor([names.index(name) for name in classes])
    kept = torch.nonzero(torch.isin(data.tensors["label"].flatten(), wanted)).flatten()
    if not len(kept):
        raise ValueError(f"{source} has no {split} shapes of the classes {', '.join(classes)}")
    return data.subset(kept)
