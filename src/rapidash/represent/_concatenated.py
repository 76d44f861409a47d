"""The features of several encoders side by side, and those of the points of a cloud before they are averaged."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rapidash._names import unknown_name
from rapidash.data import Batch, CloudBatch
from rapidash.models import Interface, Rapidash
from rapidash.represent._pretraining import SplitEncoder
from rapidash.represent._views import without_elements

Mode = Literal["cat", "add", "mean"]


def features_of(encoder: nn.Module, batch: Batch) -> Float[Tensor, "R F"]:
    """All features of an encoder: of a `SplitEncoder` both parts, of another module what it returns."""
    found = encoder.features(batch).both if isinstance(encoder, SplitEncoder) else encoder(without_elements(batch))
    assert isinstance(found, Tensor)
    return found


class ConcatenatedEncoder(nn.Module):
    """Encoders whose features stand side by side, or are added or averaged: what one forgets another may keep.

    Args:
        encoders: from a batch to features (B, F), at least one; of ``SplitEncoder`` both parts count. Those that are
            trained already stay as they are under ``requires_grad_(False)``.
        mode: ``"cat"`` for (B, sum of F), ``"add"`` or ``"mean"`` for (B, F) of encoders with equally many features.
    Raises: ValueError for no encoder or an unknown mode; in use for features that do not fit together.
    Source: Ericsson, Gouk, Hospedales, "Why Do Self-Supervised Models Transfer?", BMVC 2022.
    """

    def __init__(self, encoders: Sequence[nn.Module], mode: Mode = "cat") -> None:
        super().__init__()
        if not encoders:
            raise ValueError("encoders is empty: give at least one")
        if mode not in get_args(Mode):
            raise ValueError(unknown_name("mode of concatenated encoders:", str(mode), get_args(Mode)))
        self.encoders, self.mode = nn.ModuleList(encoders), mode

    def forward(self, batch: Batch) -> Float[Tensor, "R F"]:
        """The features of all encoders."""
        found = [features_of(encoder, batch) for encoder in self.encoders]
        if self.mode == "cat":
            return torch.cat(found, dim=1)
        if len({one.shape for one in found}) > 1:
            shapes = ", ".join(str(tuple(one.shape)) for one in found)
            raise ValueError(f"mode={self.mode!r} needs equally many features of every encoder, got {shapes}")
        total = torch.stack(found).sum(dim=0)
        return total if self.mode == "add" else total / len(found)

    def calibrate(self, batch: Batch) -> None:
        """Calibrate every encoder that wants to."""
        for encoder in self.encoders:
            if callable(calibrate := getattr(encoder, "calibrate", None)):
                calibrate(batch)


class PointEncoder(nn.Module):
    """The features of the points of clouds, of which those of a cloud are the mean; weights are those of the encoder.

    Args:
        encoder: whose networks average linear features of the points; it is copied.
    Shape: a batch of N points -> (N, F).
    Raises: ValueError for networks that do anything else at their end, or have fewer points there.
    """

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = copy.deepcopy(encoder.encoder if isinstance(encoder, SplitEncoder) else encoder)
        networks = [part for part in self.encoder.modules() if isinstance(getattr(part, "io", None), Interface)]
        if not networks:
            raise ValueError("the encoder has no network of clouds: there are no features of points")
        for network in networks:
            _unpool(network)

    def forward(self, batch: CloudBatch) -> Float[Tensor, "N F"]:
        """A row for every point."""
        return features_of(self.encoder, batch)


def _unpool(network: nn.Module) -> None:
    """Let a network hand on the outputs of points."""
    io = network.io
    assert isinstance(io, Interface)
    if io.level != "graph" or io.pool != "mean":
        raise ValueError(f"features of points are those of a network that averages them, got {io}")
    if getattr(network, "reads_whole_clouds", False):
        raise ValueError(f"{type(network).__name__} reads a cloud as a whole: its points have no features of their own")
    if getattr(getattr(network, "config", None), "pools_features", False):
        raise ValueError("pools_features=True: the features of a cloud are not the mean of those of its points")
    if isinstance(network, Rapidash):
        if len(network.rules) > 1:
            raise ValueError("a network of several scales has features on a part of the points only")
        network.level = network.readout.level = "node"
    network.io = replace(io, level="node")
