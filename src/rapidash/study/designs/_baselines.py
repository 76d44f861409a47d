"""The baselines of a study: networks of other kinds, trained with the same data and optimizer."""

from rapidash.methods import Variant
from rapidash.models import BaselineConfig

_NEIGHBORS = {
    "EGNN": ("E(3) on R3", "another network of the same symmetry: EGNN of egnn-pytorch"),
    "PaiNN": ("E(3) on R3", "another network of the same symmetry: PaiNN, with vectors at every point"),
    "SchNet": ("E(3) on R3", "another network of the same symmetry: SchNet of torch_geometric, scalars of distances"),
    "DGCNN": ("T(3) on R3", "another network of the same symmetry: edge convolutions of torch_geometric"),
    "transformer": ("T(3) on R3", "another network of the same symmetry: attention among all points"),
}


def baselines(*models: BaselineConfig) -> tuple[Variant, ...]:
    """A variant for each, named after its kind, beside the Rapidash network of the same symmetry and space."""
    return tuple(
        Variant(model.kind, model, neighbor=_NEIGHBORS[model.kind][0], knob=_NEIGHBORS[model.kind][1])
        for model in models
    )
