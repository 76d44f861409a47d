"""The measure of a study of transfer: what pre-trained features do not see, and what later tasks read off them."""

import copy
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from rapidash._seed import seeded
from rapidash.data import CloudBatch, CloudDataset
from rapidash.datasets import meshseg_dataset, modelnet10_dataset
from rapidash.groups import SO2, motion
from rapidash.measure import Whitening, feature_statistics
from rapidash.methods import Measurement, Subject
from rapidash.represent._concatenated import ConcatenatedEncoder, PointEncoder, features_of
from rapidash.represent._linear_probe import linear_probe, probe_penalties
from rapidash.represent._pretraining import PretrainingModel
from rapidash.represent._transforms import APPEARANCE, similarity_to_transforms

RANK = "rank of the features"
APPEARANCE_SIMILARITY = "similarity under changes of appearance"
CLASS_ACCURACY, YAW_R2, SIZE_R2, PART_ACCURACY = (
    "class accuracy, ModelNet10 (%)",
    "R^2 of the yaw given the class, ModelNet10",
    "R^2 of the size, ModelNet10",
    "accuracy of same part or not, mesh segmentation (%)",
)
PROBES = (CLASS_ACCURACY, YAW_R2, SIZE_R2, PART_ACCURACY)
MOST_FREQUENT = "class accuracy of the most frequent class, ModelNet10 (%)"
_COMPARED = 64  # clouds that are transformed
_REFERENCE = 500  # clouds that whiten
_NUM_TRAIN, _NUM_TEST = 800, 400  # models of ModelNet10
_PAIRS = 16  # of points in one part, and as many of points in two, of each shape
_PENALTIES, _FOLDS = 12, 5
_SPLITS: tuple[Literal["train"], Literal["test"]] = ("train", "test")
_MAX_LOG_SIZE = 0.4
_NUM_CLASSES = 10


def similarity_under(name: str) -> str:
    """The name of the mean cosine of whitened features under a transformation of `TRANSFORMS`."""
    return f"similarity under {name}"


def distance_under(name: str) -> str:
    """The name of the mean Mahalanobis distance of features under a transformation of `TRANSFORMS`."""
    return f"distance under {name}"


def measure_transfer(subject: Subject) -> Iterator[Measurement]:
    """Invariances of frozen features, and linear probes of them on two other sets of shapes; after pre-training only.

    The features are whitened by up to 500 validation clouds of the pre-training, and probes see them so: a direction
    with less than 1e-4 of the variance of the largest is no feature. Encoders side by side have scales of their own:
    each is first divided by the largest deviation of its features. 64 of these clouds give the similarities (cosine)
    and Mahalanobis distances under every transformation of `TRANSFORMS`, mean over its grid.

    Of ModelNet10, 800 models of the training part and 400 of the test part stand at a random yaw and have a random size
    exp(u), abs(u) <= 0.4: the probes are for the class, for cosine and sine of the yaw with weights of their own for
    every class, and for u. Of the mesh segmentations, pairs of points of one shape, half of them in one segment of the
    person closest to the others: the probe is given the squared differences of their features, where a network has
    features of points. Probes are those of `linear_probe`, scored on the test parts.

    Raises: ValueError for a model that was not pre-trained, or clouds of fewer than 52 points, to which none is added;
        FileNotFoundError for data that are not there; all before the training.
    Source: Ericsson, Gouk, Hospedales, "Why Do Self-Supervised Models Transfer?", BMVC 2022, transplanted to clouds.
    """
    if not isinstance(subject.model, PretrainingModel) or not isinstance(subject.data, CloudDataset):
        raise ValueError(
            f"the measure 'transfer' is of features of clouds: give the variants of task {subject.task.name!r} an "
            "objective of pre-training, such as 'contrastive', and take a task of shapes"
        )
    if subject.moment != "after":  # what cannot be measured is missed before the training
        _models(**_options(subject))
        _segmented(**_options(subject))
        few = _first(subject.data, _COMPARED)
        similarity_to_transforms(_coordinates, few.batch(torch.arange(len(few))).to("cpu", torch.float64))
        return
    with torch.no_grad():  # not around the yield, where the caller's code runs
        made = list(_measured(subject, copy.deepcopy(subject.model).to("cpu").eval()))
    yield from made


def _measured(subject: Subject, model: PretrainingModel) -> Iterator[Measurement]:
    def figure(name: str, value: float, unit: str = "1") -> Measurement:
        return Measurement(name, value, unit, moment=subject.moment, view=subject.view)

    data, dtype = subject.data, next(model.parameters()).dtype
    assert isinstance(data, CloudDataset)
    num = len(model.encoder.encoders) if isinstance(model.encoder, ConcatenatedEncoder) else 1
    reference = _in_batches(lambda batch: features_of(model, batch), _first(data, _REFERENCE), dtype)
    unit = unit_of_each(reference, num)
    whitening = feature_statistics(reference / unit)

    def encode(clouds: CloudBatch) -> Tensor:
        return features_of(model, clouds) / unit.to(dtype)

    yield figure(RANK, float(whitening.rank))
    batch = _first(data, _COMPARED).batch(torch.arange(min(_COMPARED, len(data)))).to("cpu", dtype)
    found = similarity_to_transforms(encode, batch, whitening=whitening)
    for name, one in found.items():
        yield figure(similarity_under(name), one.mean_cosine)
        yield figure(distance_under(name), one.mean_mahalanobis)
    yield figure(APPEARANCE_SIMILARITY, sum(found[name].mean_cosine for name in APPEARANCE) / len(APPEARANCE))

    penalties = probe_penalties(_PENALTIES, num_encoders=num)
    train, test = _models(**_options(subject))
    x, other = (whitening(_in_batches(encode, one.data, dtype)) for one in (train, test))
    probe = linear_probe(x, train.label, "class", penalties=penalties, folds=_FOLDS)
    yield figure(CLASS_ACCURACY, 100 * probe.accuracy(other, test.label), "%")
    yield figure(MOST_FREQUENT, 100 * float((test.label == train.label.mode().values).double().mean()), "%")
    by_class, others_by_class = _by_class(x, train.label), _by_class(other, test.label)
    turned = linear_probe(by_class, train.yaw, "values", penalties=penalties, folds=_FOLDS)
    yield figure(YAW_R2, float(turned.r_squared(others_by_class, test.yaw).mean()))
    sized = linear_probe(x, train.log_size, "values", penalties=penalties, folds=_FOLDS)
    yield figure(SIZE_R2, float(sized.r_squared(other, test.log_size).mean()))
    try:
        points = PointEncoder(model)
    except ValueError:  # the network has no features of points
        return
    known, asked = (
        (_point_pairs(lambda clouds: points(clouds) / unit.to(dtype), whitening, shapes, dtype), same.long())
        for shapes, same in _segmented(**_options(subject))
    )
    parts = linear_probe(*known, "class", penalties=penalties, folds=_FOLDS)
    yield figure(PART_ACCURACY, 100 * parts.accuracy(*asked), "%")


def _options(subject: Subject) -> dict[str, Any]:
    """Where the task reads its files, and how many points of each shape."""
    return {name: getattr(subject.task, name, None) for name in ("num_points", "data_dir", "verify")}


class _Models(NamedTuple):
    """Models that stand at a yaw and have a size: labels (B,), (cos, sin) of the yaw (B, 2), logarithm of it (B, 1)."""

    data: CloudDataset
    label: Int[Tensor, " B"]
    yaw: Float[Tensor, "B 2"]
    log_size: Float[Tensor, "B 1"]


class _Shapes(NamedTuple):
    """Shapes with pairs of their points, by place in the whole data set (P, 2)."""

    data: CloudDataset
    pairs: Int[Tensor, "P 2"]


def _models(num_points: int | None, data_dir: str | None, verify: bool | None) -> tuple[_Models, _Models]:
    """Some models of ModelNet10 of the training and of the test part, the same for every run."""
    parts, sizes = [], {"train": _NUM_TRAIN, "test": _NUM_TEST}
    for split in _SPLITS:
        read = modelnet10_dataset(split, num_points=num_points, data_dir=data_dir, verify=verify is not False)
        rng = seeded("transfer", "modelnet10", split)
        some = read.subset(torch.randperm(len(read), generator=rng)[: sizes[split]])
        angle = 2 * torch.pi * torch.rand(len(some), 1, generator=rng, dtype=torch.float64)
        log_size = _MAX_LOG_SIZE * (2 * torch.rand(len(some), 1, generator=rng, dtype=torch.float64) - 1)
        turns = SO2("z").without_translations().exponential(angle)[:, :3, :3]
        linear = log_size.exp()[:, None] * turns
        moved = some.batch(torch.arange(len(some))).transform(motion(linear, linear.new_zeros(len(some), 3)))
        data = CloudDataset({"pos": moved.pos}, {"pos": some.fields["pos"]}, some.num_points)
        yaw = torch.cat([angle.cos(), angle.sin()], dim=1)
        parts.append(_Models(data, some.tensors["label"], yaw, log_size))
    return parts[0], parts[1]


def _segmented(
    num_points: int | None, data_dir: str | None, verify: bool | None
) -> tuple[tuple[_Shapes, Bool[Tensor, " P"]], tuple[_Shapes, Bool[Tensor, " P"]]]:
    """The shapes of the training and the test part with pairs of points, and whether each is in one segment."""
    parts = []
    for split in _SPLITS:
        read = meshseg_dataset(split, num_points=num_points, data_dir=data_dir, verify=verify is not False)
        rng = seeded("transfer", "parts", split)
        segment, starts = read.tensors["segment"], (torch.cumsum(read.num_points, 0) - read.num_points).tolist()
        chosen = [
            start + pairs_of_parts(segment[start : start + size], _PAIRS, rng)
            for start, size in zip(starts, read.num_points.tolist())
        ]
        pairs = torch.cat(chosen)
        data = CloudDataset({"pos": read.tensors["pos"]}, {"pos": read.fields["pos"]}, read.num_points)
        parts.append((_Shapes(data, pairs), segment[pairs[:, 0]] == segment[pairs[:, 1]]))
    return parts[0], parts[1]


def unit_of_each(features: Float[Tensor, "B F"], num_encoders: int) -> Float[Tensor, " F"]:
    """The largest standard deviation along any direction of the features of each of several encoders, side by side.

    Of one encoder it changes nothing that is whitened; of several, none is left out because its features are small.
    """
    units = []
    for block in features.double().chunk(num_encoders, dim=1):
        largest = torch.linalg.matrix_norm(block - block.mean(dim=0), ord=2) / (len(block) - 1) ** 0.5
        units.append(torch.where(largest > 0, largest, 1.0).expand(block.shape[1]))
    return torch.cat(units)


def pairs_of_parts(segment: Int[Tensor, " N"], num: int, rng: torch.Generator) -> Int[Tensor, "P 2"]:
    """So many pairs of different points with the same segment, and as many with different ones, drawn at random.

    Fewer, but equally many of both, where a shape does not have as many.
    """
    first, second = torch.triu_indices(len(segment), len(segment), offset=1)
    same = segment[first] == segment[second]
    kinds = [same.nonzero()[:, 0], (~same).nonzero()[:, 0]]
    size = min(num, *map(len, kinds))
    drawn = torch.cat([kind[torch.randperm(len(kind), generator=rng)[:size]] for kind in kinds])
    return torch.stack([first[drawn], second[drawn]], dim=1)


def _coordinates(batch: CloudBatch) -> Float[Tensor, "B 3"]:
    """Means of the squares of the coordinates: features that every cloud has."""
    total = batch.pos.new_zeros(batch.num_clouds, 3).index_add(0, batch.batch, batch.pos.square())
    return total / batch.num_points[:, None]


def _first(data: CloudDataset, num: int) -> CloudDataset:
    return data.subset(torch.arange(min(num, len(data))))


def _in_batches(
    encode: Callable[[CloudBatch], Tensor], data: CloudDataset, dtype: torch.dtype, size: int = 64
) -> Float[Tensor, "R F"]:
    """The features of all clouds, or of all points, in their order."""
    return torch.cat([encode(data.batch(chosen).to("cpu", dtype)) for chosen in torch.arange(len(data)).split(size)])


def _by_class(x: Float[Tensor, "B F"], label: Int[Tensor, " B"]) -> Float[Tensor, "B KF"]:
    """Features with weights, and a mean, for every class: in the columns of other classes a row is 0."""
    rows = torch.cat([x, torch.ones_like(x[:, :1])], dim=1)
    return (torch.nn.functional.one_hot(label, _NUM_CLASSES)[:, :, None] * rows[:, None]).flatten(1)


def _point_pairs(
    encoder: Callable[[CloudBatch], Tensor], whitening: Whitening, shapes: _Shapes, dtype: torch.dtype
) -> Float[Tensor, "P R"]:
    """The squared difference of the two points of every pair in each white direction."""
    features = _in_batches(encoder, shapes.data, dtype).double()
    difference = features[shapes.pairs[:, 0]] - features[shapes.pairs[:, 1]]
    return (difference @ whitening.transform).square()
