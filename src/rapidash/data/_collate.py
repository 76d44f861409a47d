"""The batch that a loader makes of single samples."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import torch

from rapidash.data._cloud import CloudBatch
from rapidash.data._rows import RowBatch

AnyBatch = TypeVar("AnyBatch", CloudBatch, RowBatch)


def collate(samples: Sequence[AnyBatch]) -> AnyBatch:
    """One batch of several clouds or rows, the ``collate_fn`` of ``torch.utils.data.DataLoader``.

    ``collate([dataset[i] for i in indices])`` is ``dataset.batch(torch.tensor(indices))`` bit for bit. Each sample may
    itself be a batch of several.

    Raises: ValueError for no sample, or samples of which the kind, the fields, the types or the shapes differ, naming
        the sample and the field.
    """
    if not samples:
        raise ValueError("a batch needs at least one sample")
    first = samples[0]
    for number, sample in enumerate(samples):
        _check_alike(number, sample, first)
    tensors = {name: torch.cat([sample.tensors[name] for sample in samples]) for name in first.tensors}
    if isinstance(first, RowBatch):
        return replace(first, tensors=tensors)
    sizes = torch.tensor([sample.num_clouds for sample in samples])
    starts = (torch.cumsum(sizes, 0) - sizes).tolist()
    owners = [sample.batch + start for sample, start in zip(samples, starts)]
    return replace(first, tensors=tensors, batch=torch.cat(owners), num_clouds=int(sizes.sum()))


def _check_alike(number: int, sample: AnyBatch, first: AnyBatch) -> None:
    if type(sample) is not type(first):
        raise ValueError(
            f"sample {number} is a {type(sample).__name__}, expected a {type(first).__name__}, as sample 0 is: "
            "give what dataset[i] returns"
        )
    if sample.fields != first.fields or sample.tensors.keys() != first.tensors.keys():
        raise ValueError(
            f"sample {number} has the fields {sorted(sample.fields.items())}, sample 0 {sorted(first.fields.items())}"
        )
    for name, tensor in sample.tensors.items():
        expected = first.tensors[name]
        if tensor.shape[1:] != expected.shape[1:] or tensor.dtype != expected.dtype:
            raise ValueError(
                f"sample {number}: field {name!r} has rows of shape {tuple(tensor.shape[1:])} and type {tensor.dtype}, "
                f"those of sample 0 {tuple(expected.shape[1:])} and {expected.dtype}"
            )
