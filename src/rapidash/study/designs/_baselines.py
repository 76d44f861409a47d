"""The baselines of a study: networks of other libraries, trained with the same data, steps and optimizer."""

from rapidash.methods import Variant
from rapidash.models import BaselineConfig

_NEIGHBORS = {
    "EGNN": ("E(3) on R3", "another network of the same symmetry: EGNN of egnn-pytorch"),
    "DGCNN": ("T(3) on R3", "another network of the same symmetry: edge convolutions of torch_geometric"),
}


def baselines(*models: BaselineConfig) -> tuple[Variant, ...]:
    """A variant for each, named after its kind, beside the Rapidash network of the same symmetry and space."""
    return tuple(
        Variant(model.kind, model, neighbor=_NEIGHBORS[model.kind][0], knob=_NEIGHBORS[model.kind][1])
        for model in models
    )
