"""Whether samples are what augmentation, averages and measures rely on."""

import torch
from torch import Tensor

from rapidash._seed import seeded
from rapidash.data import Batch, Dataset
from rapidash.groups import MatrixGroup
from rapidash.testing._demand import demand, first_difference, is_close

_PARTS = ("tensors", "fields", "num_samples", "__getitem__", "to", "transform", "act", "with_tensor", "repeat")


_CLOSE = 1e-9  # relative, in float64


def check_dataset(
    dataset: Dataset, *, group: MatrixGroup | None = None, num_samples: int = 6, what: str = "the dataset"
) -> None:
    """Raise AssertionError unless a dataset and its batches are what `rapidash.data` promises of them.

    Checked are, on the first samples: both have every part of their protocol; every tensor has a field; a batch has the
    samples that were asked for, in their order and as often; a subset has the same samples; a batch is a value, which
    ``to``, ``with_tensor`` and ``repeat`` leave alone; an empty batch and an index outside are refused; and with a
    group, ``transform`` and ``act`` move every sample by its own element, as the fields say.

    Args:
        dataset: at least two samples.
        group: whose elements move the samples; None: they are not moved.
        num_samples: how many are looked at.
        what: the dataset in words, for messages.
    """
    lacking = [part for part in ("tensors", "fields", "__len__", "batch", "subset") if not hasattr(dataset, part)]
    demand(not lacking, f"{what} is no rapidash.data.Dataset, it lacks {', '.join(lacking)}")
    demand(len(dataset) >= 2, f"{what} has {len(dataset)} samples: give it at least two")
    indices = torch.arange(min(num_samples, len(dataset)))
    batch = dataset.batch(indices)
    lacking = [part for part in _PARTS if not hasattr(batch, part)]
    demand(not lacking and isinstance(batch, Batch), f"a batch of {what} is no rapidash.data.Batch, it lacks {lacking}")
    undeclared = sorted(batch.tensors.keys() ^ batch.fields.keys())
    demand(not undeclared, f"{what}: {undeclared} have no tensor or no Field: declare every tensor")
    demand(
        batch.num_samples == len(indices),
        f"{what}: a batch of {len(indices)} indices says that it has {batch.num_samples} samples",
    )
    _check_rows(what, batch)
    _check_choices(what, dataset, indices, batch)
    _check_values(what, batch)
    _check_refusals(what, dataset)
    if group is not None:
        _check_motions(what, dataset, indices, group)


def rows_of(batch: Batch, level: str) -> int | None:
    """The number of rows that a tensor of this level has in a batch; None where no tensor of points says it."""
    if level == "cloud":
        return batch.num_samples
    return next((len(batch.tensors[name]) for name, field in batch.fields.items() if field.level == level), None)


def _check_rows(what: str, batch: Batch) -> None:
    for name, tensor in batch.tensors.items():
        level = batch.fields[name].level
        rows = len(tensor) if tensor.dim() else 0
        demand(
            rows == rows_of(batch, level),
            f"{what}: {name!r} has {rows} rows at {level} level, another one {rows_of(batch, level)}: check the levels",
        )


def _check_choices(what: str, dataset: Dataset, indices: Tensor, batch: Batch) -> None:
    """Order and repetition, and subsets."""
    chosen = torch.cat([indices.flip(0), indices[:1]])
    alone = [dataset.batch(index[None]).tensors for index in chosen]
    joined = {name: torch.cat([sample[name] for sample in alone]) for name in batch.tensors}
    differs = first_difference(joined, dataset.batch(chosen).tensors)
    demand(
        differs is None,
        f"{what}: the batch of {chosen.tolist()} has other {differs!r} than its samples one by one: keep the order of "
        "the indices, repeat what is named twice, and draw nothing",
    )
    part = dataset.subset(indices.flip(0))
    demand(len(part) == len(indices), f"{what}: a subset of {len(indices)} indices has {len(part)} samples")
    for expected, found in (
        (dataset.batch(indices).tensors, part.batch(indices.flip(0)).tensors),
        (part.tensors, part.batch(indices).tensors),
    ):
        differs = first_difference(dict(expected), dict(found))
        demand(
            differs is None,
            f"{what}: a subset has other {differs!r} than the samples that it was made of, in their order",
        )


def _check_values(what: str, batch: Batch) -> None:
    """A batch is a value: what makes another one leaves it alone."""
    given = {name: tensor.clone() for name, tensor in batch.tensors.items()}
    name = next(iter(given))
    replaced = batch.with_tensor(name, torch.zeros_like(given[name]))
    demand(
        torch.equal(replaced[name], torch.zeros_like(given[name])) and replaced.fields == batch.fields,
        f"{what}: with_tensor({name!r}, ...) does not hold what was given, or loses a field",
    )
    twice = batch.repeat(2)
    expected = {key: torch.cat([tensor, tensor]) for key, tensor in given.items()}
    differs = first_difference(expected, dict(twice.tensors))
    demand(
        differs is None and twice.num_samples == 2 * batch.num_samples,
        f"{what}: repeat(2) gives other {differs!r} than all samples, and all samples again",
    )
    half = batch.to(dtype=torch.float32)
    wrong = [key for key, tensor in half.tensors.items() if tensor.dtype == torch.float64]
    demand(not wrong, f"{what}: to(dtype=torch.float32) leaves {wrong} in float64")
    whole = [key for key, tensor in given.items() if not tensor.is_floating_point()]
    changed = [key for key in whole if half[key].dtype != given[key].dtype]
    demand(not changed, f"{what}: to(dtype=...) makes {changed} real: whole numbers keep their type")
    differs = first_difference(given, dict(batch.tensors))
    demand(differs is None, f"{what}: {differs!r} of a batch was written to: every method makes a new batch")


def _check_refusals(what: str, dataset: Dataset) -> None:
    for indices, expected, case in (
        (torch.empty(0, dtype=torch.long), ValueError, "no index"),
        (torch.tensor([len(dataset)]), IndexError, "an index outside"),
    ):
        try:
            dataset.batch(indices)
        except expected:
            continue
        except Exception as error:
            raise AssertionError(
                f"{what}: batch of {case} raises {type(error).__name__} instead of {expected.__name__}"
            ) from error
        raise AssertionError(f"{what}: batch of {case} raises nothing, {expected.__name__} is expected")


def _check_motions(what: str, dataset: Dataset, indices: Tensor, group: MatrixGroup) -> None:
    """Elements move samples as the fields say, each its own."""
    g = group.sample(len(indices), generator=seeded("check dataset", group.name))
    batch = dataset.batch(indices).to(dtype=torch.float64)
    moved = batch.transform(g).tensors
    alone = [dataset.batch(i[None]).to(dtype=torch.float64).transform(element[None]) for i, element in zip(indices, g)]
    same = batch.transform(g[0]).tensors
    repeated = batch.transform(g[:1].expand_as(g)).tensors
    for name, field in batch.fields.items():
        acted = batch.act(field, g, batch.tensors[name])
        demand(
            is_close(moved[name], acted, _CLOSE),
            f"{what}: transform by elements of {group.name} moves {name!r} otherwise than act with its field does",
        )
        joined = torch.cat([sample.tensors[name] for sample in alone])
        demand(
            is_close(moved[name], joined, _CLOSE),
            f"{what}: transform moves {name!r} of a batch otherwise than sample by sample: sample b moves by element b",
        )
        demand(
            is_close(same[name], repeated[name], _CLOSE),
            f"{what}: one element (n, n) moves {name!r} otherwise than the same one for every sample (B, n, n)",
        )
    try:
        batch.transform(torch.cat([g, g[:1]]))
    except ValueError:
        return
    raise AssertionError(f"{what}: transform takes {len(g) + 1} elements for {len(g)} samples: raise ValueError")
