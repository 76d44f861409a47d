"""The inputs of the measures of a run: a float64 copy of its model, and validation samples."""

import copy

import torch
from torch import nn

from rapidash.data import Batch, Dataset
from rapidash.methods import Subject


def twin(subject: Subject) -> nn.Module:
    """The model of the subject on the CPU in float64, in eval mode."""
    return copy.deepcopy(subject.model).to(device="cpu", dtype=torch.float64).eval()


def first(data: Dataset, num: int) -> Batch:
    """At most so many samples, on the CPU in float64."""
    return data.batch(torch.arange(min(num, len(data)))).to("cpu", torch.float64)
