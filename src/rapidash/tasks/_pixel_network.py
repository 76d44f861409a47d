"""Tasks of images and of signals on a group: the network of one field, its ledger, loss and error rate."""

import math

from jaxtyping import Float
from torch import Tensor, nn

from rapidash.data import Batch
from rapidash.groups import Group, parse_group, trivial
from rapidash.methods import Variant
from rapidash.models import Interface, NetworkConfig
from rapidash.symmetrize import MultiStreamConfig, ScaleStreamConfig
from rapidash.symmetry import Ledger


class FieldClassifier(nn.Module):
    """Logits of the classes (B, K) from one field of a batch.

    Args:
        variant: its network, of the space of the field, or of rows: then pixels are numbers side by side.
        name: of the field.
        space: of the field, as networks call it.
        shape: (C, ...) of a sample.
        num_classes: K.
    Raises: ValueError for a network of other data.
    """

    def __init__(self, variant: Variant, name: str, space: str, shape: tuple[int, ...], num_classes: int) -> None:
        super().__init__()
        self.name = name
        model = variant.model
        if model.space not in (space, "rows"):
            raise ValueError(f"variant {variant.name!r}: its network {model.kind!r} takes {model.space}, not {space}")
        channels = math.prod(shape) if model.space == "rows" else shape[0]
        network = model.build(Interface(dim=0, in_scalars=channels, out_scalars=num_classes))
        self.network = nn.Sequential(nn.Flatten(), network) if model.space == "rows" else network

    def forward(self, batch: Batch) -> Float[Tensor, "B K"]:
        """A logit for every class."""
        out: Tensor = self.network(batch[self.name])
        return out


def invariant_ledger(variant: Variant) -> Ledger:
    """The group of the layers, which invariants at their end keep; scales are approximate and not claimed."""
    if variant.model.space == "rows":
        none = trivial(2)
        return Ledger(none, none, ("the network sees every number in its place: no move is kept",), True, False)
    group: Group = getattr(variant.model, "kept_symmetry", None) or parse_group(variant.model.symmetry, 2)
    keeps_none = group.is_subgroup(trivial(2))
    reasons = [
        "convolutions that move their tables by no element keep no turn"
        if keeps_none
        else f"the layers are equivariant to {group}, and what is pooled over it and all places is invariant"
    ]
    if isinstance(variant.model, MultiStreamConfig):
        reasons.append("each stream has a group of its own; of the merged output the intersection is claimed")
    if _sees_scales(variant.model):
        reasons.append("a finite set of scales is approximately invariant to scaling: measured, not claimed")
    kept = trivial(2) if keeps_none else group
    return Ledger(kept, kept, tuple(reasons), True, False)


def _sees_scales(model: NetworkConfig) -> bool:
    streams = model.streams if isinstance(model, MultiStreamConfig) else (model,)
    return any(isinstance(stream, ScaleStreamConfig) for stream in streams)
