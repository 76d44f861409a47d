"""Halves of training batches: which half a sample is in depends on its content alone, so it is always in the same."""

import hashlib
from dataclasses import replace

import torch
from jaxtyping import Bool
from torch import Tensor

from rapidash.data import Batch, CloudBatch, RowBatch


def in_second_half(batch: Batch) -> Bool[Tensor, " B"]:
    """For every sample a fair coin that its content throws, the same in every batch and run.

    Raises: ValueError for a batch that is neither of rows nor of clouds.
    """
    coins = []
    for index in range(batch.num_samples):
        content = hashlib.blake2b(digest_size=1)
        sample = chosen_samples(batch, torch.arange(batch.num_samples) == index)
        for name in sorted(sample.tensors):
            content.update(name.encode() + sample.tensors[name].detach().cpu().contiguous().numpy().tobytes())
        coins.append(content.digest()[0] % 2 == 1)
    return torch.tensor(coins)


def chosen_samples(batch: Batch, chosen: Bool[Tensor, " B"]) -> Batch:
    """Those samples of a batch, in their order.

    Raises: ValueError for a batch that is neither of rows nor of clouds, or when none is chosen.
    """
    if not bool(chosen.any()):
        raise ValueError(f"none of {batch.num_samples} samples is left: take larger batches")
    if isinstance(batch, CloudBatch):
        points = chosen.to(batch.batch.device)[batch.batch]
        numbers = chosen.cumsum(0).to(batch.batch) - 1
        tensors = {
            name: tensor[points if batch.fields[name].level == "point" else chosen.to(tensor.device)]
            for name, tensor in batch.tensors.items()
        }
        return replace(batch, tensors=tensors, batch=numbers[batch.batch[points]], num_clouds=int(chosen.sum()))
    if isinstance(batch, RowBatch):
        return replace(
            batch, tensors={name: tensor[chosen.to(tensor.device)] for name, tensor in batch.tensors.items()}
        )
    raise ValueError(f"batches of rows and of clouds can be divided, got {type(batch).__name__}")
