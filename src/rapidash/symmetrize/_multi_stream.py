"""Several networks beside each other, each invariant to a group of its own, and one output."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rapidash._plain import check_fields
from rapidash.groups import parse_group
from rapidash.models import Interface, NetworkConfig, Takes


@dataclass(frozen=True)
class Concat:
    """One linear map of the features of all streams side by side.

    Args:
        num_classes: outputs, at least 1.
        widths: features of each stream; None: as the streams say by their ``num_outputs``.
    Raises: ValueError for values outside the above.
    """

    num_classes: int
    widths: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.num_classes < 1 or (self.widths is not None and min(self.widths, default=0) < 1):
            raise ValueError(f"num_classes and widths must be at least 1, got {self.num_classes} and {self.widths}")


@dataclass(frozen=True)
class MeanLogits:
    """The mean of the outputs of all streams, which are as many each."""


class MultiStream(nn.Module):
    """Several networks of the same input, each invariant to its own group, merged to one output.

    Symmetry: ``stream_features(x)[i]`` is invariant to the group of stream i, whatever the others do. The merged output
    is invariant only to what all of them are: the intersection of the groups. What is guaranteed, is so per stream;
    the last layer can learn to listen to the right one.

    Args:
        streams: networks x -> (B, features), at least one.
        merge: `Concat` or `MeanLogits`.
    Shape: x as the streams take it -> (B, num_classes).
    Raises: ValueError for no stream, widths that are unknown or not as many as streams, or (forward) outputs of
        different widths under `MeanLogits`.
    Source: Rath and Condurache, arXiv 2303.01567.
    """

    def __init__(self, streams: Sequence[nn.Module], merge: Concat | MeanLogits) -> None:
        super().__init__()
        if not streams:
            raise ValueError("a network of streams needs at least one")
        if not isinstance(merge, Concat | MeanLogits):
            raise ValueError(f"merge must be Concat(num_classes) or MeanLogits(), got {merge!r}")
        self.streams, self.merge = nn.ModuleList(streams), merge
        self.readout = nn.Linear(sum(_widths(streams, merge)), merge.num_classes) if isinstance(merge, Concat) else None

    def stream_features(self, x: Tensor) -> list[Float[Tensor, "B F"]]:
        """The output of every stream."""
        return [stream(x) for stream in self.streams]

    def forward(self, x: Tensor) -> Float[Tensor, "B num_classes"]:
        """The merged output."""
        features = self.stream_features(x)
        if self.readout is not None:
            out: Tensor = self.readout(torch.cat(features, dim=1))
            return out
        if len(shapes := {tuple(one.shape) for one in features}) > 1:
            raise ValueError(f"the mean needs as many logits of every stream, got shapes {sorted(shapes)}")
        return torch.stack(features).mean(dim=0)


def _widths(streams: Sequence[nn.Module], merge: Concat) -> Sequence[int]:
    if merge.widths is not None:
        if len(merge.widths) != len(streams):
            raise ValueError(f"widths must be one for each of the {len(streams)} streams, got {merge.widths}")
        return merge.widths
    said: list[Any] = [getattr(stream, "num_outputs", None) for stream in streams]
    if silent := [type(stream).__name__ for stream, width in zip(streams, said) if width is None]:
        raise ValueError(f"{', '.join(silent)} do not say num_outputs: give Concat(num_classes, widths=(...))")
    return said


@dataclass(frozen=True)
class MultiStreamConfig(NetworkConfig):
    """Networks of images beside each other, see `MultiStream`.

    Args:
        streams: their configurations, at least one.
        merge: ``"concat"`` or ``"mean-logits"``.
        stream_dim: features of each stream under ``"concat"``.
    Raises: ValueError for values outside the above, or streams of other data.
    """

    streams: tuple[NetworkConfig, ...]
    merge: Literal["concat", "mean-logits"] = "concat"
    stream_dim: int = 16

    space = "images"

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.streams or any(stream.space != "images" for stream in self.streams):
            raise ValueError("streams must name at least one network of images, and none of other data")
        if self.merge not in ("concat", "mean-logits") or self.stream_dim < 1:
            raise ValueError(f"merge must be 'concat' or 'mean-logits' and stream_dim at least 1, got {self}")

    @property
    def symmetry(self) -> str:  # type: ignore[override]
        """The largest group that all streams have."""
        groups = [parse_group(stream.symmetry, 2) for stream in self.streams]
        return next(
            name
            for name in ("D4", "C4", "D2", "C2", "D1", "C1")
            if all(parse_group(name, 2).is_subgroup(group) for group in groups)
        )

    @property
    def takes(self) -> Takes:
        """Numbers side by side."""
        return "components"

    def build(self, io: Interface) -> MultiStream:
        """The streams with fresh weights from torch's global generator."""
        if self.merge == "mean-logits":
            return MultiStream([stream.build(io) for stream in self.streams], MeanLogits())
        inner = Interface(dim=0, in_scalars=io.in_scalars, out_scalars=self.stream_dim)
        return MultiStream([stream.build(inner) for stream in self.streams], Concat(io.out_scalars))
