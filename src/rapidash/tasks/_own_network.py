"""The network of a user's own clouds: from points and elements, in a cell or not, to the one target of the files."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rapidash.data import CloudBatch
from rapidash.geometry import Cell
from rapidash.methods import Variant
from rapidash.models import Interface, Network, Rapidash, cloud_network
from rapidash.tasks._point_inputs import displacements, point_inputs


class OwnDataNetwork(nn.Module):
    """A row for each cloud or point: logits, a number, a vector or a tensor, in standard units.

    Inputs of a point: a constant, its element as a one-hot scalar where the clouds have elements, and otherwise its
    displacement from the centroid. Where clouds repeat, edges cross the boundary of the cell.

    Args:
        variant: network and inputs, see `point_inputs`.
        dim: D.
        elements: atomic numbers that occur; empty for shapes.
        length: unit of length inside the network, in that of the data.
        is_periodic: whether clouds have a cell.
        kind: "number", "vector", "tensor" or "class".
        level: "cloud" or "point".
        num_classes: K of classes.
        is_extensive: the row of a cloud is the sum over its points, not the mean.
    Raises: ValueError for a kind that the network cannot give, or cells with a network that takes none.
    """

    def __init__(
        self,
        variant: Variant,
        *,
        dim: int,
        elements: tuple[int, ...],
        length: float,
        is_periodic: bool,
        kind: str,
        level: str,
        num_classes: int,
        is_extensive: bool,
    ) -> None:
        super().__init__()
        self.elements, self.length, self.kind, self.is_periodic = elements, length, kind, is_periodic
        self.inputs = point_inputs(variant, () if elements or is_periodic else ("displacement from the centroid",))
        gives_directions = variant.model.takes != "invariants"
        unused = (
            0 if variant.model.gives_tensors and gives_directions else 1
        )  # a readout without scalars has no weights
        self.pools_here = level == "cloud" and kind == "vector" and not gives_directions
        self.is_extensive = is_extensive
        sizes: dict[str, Any] = {
            "out_scalars": {"number": 1, "class": num_classes}.get(kind, unused),
            "out_vectors": int(kind == "vector"),
            "out_tensors": int(kind == "tensor"),
            "level": "node" if level == "point" or self.pools_here else "graph",
            "pool": "sum" if is_extensive else "mean",
        }
        io: Interface = self.inputs.interface(scalars=1 + len(elements), **sizes)
        self.backbone: Network = cloud_network(variant.model, io)
        if is_periodic and not isinstance(self.backbone, Rapidash):
            raise ValueError(
                f"the clouds repeat along a cell, and the network {variant.model.kind!r} knows none: take 'rapidash'"
            )

    def forward(self, batch: CloudBatch) -> Tensor:
        """(B or N, K) logits, (B or N, 1) numbers, (B or N, D) vectors or (B or N, D, D) tensors."""
        pos, features = self._features(batch)
        out = self.backbone(pos, batch.batch, **features)
        if self.kind == "tensor":
            tensors: Tensor = out.tensors[:, 0]  # type: ignore[union-attr]
            return tensors
        if self.kind != "vector":
            return out.scalars
        vectors = out.vectors[:, 0]
        if not self.pools_here:
            return vectors
        total = vectors.new_zeros(batch.num_clouds, vectors.shape[1]).index_add(0, batch.batch, vectors)
        return total if self.is_extensive else total / batch.num_points[:, None]

    def calibrate(self, batch: CloudBatch) -> None:
        """Let the network measure a batch."""
        pos, features = self._features(batch)
        self.backbone.calibrate(pos, batch.batch, **features)

    def _features(self, batch: CloudBatch) -> tuple[Tensor, dict[str, Any]]:
        """Positions in the network's unit of length, and the keyword arguments of the network."""
        return self._features_at(batch.pos, batch)

    def _features_at(self, at: Tensor, batch: CloudBatch) -> tuple[Tensor, dict[str, Any]]:
        pos = at / self.length
        constant = pos.new_ones(len(pos), 1)
        parts = [constant]
        if self.elements:
            parts.append((batch["z"][:, None] == batch["z"].new_tensor(self.elements)).to(pos))
        given = pos.new_zeros(len(pos), 0, pos.shape[1])
        if self.inputs.names:
            given = displacements(pos, batch.batch, batch.num_clouds)[:, None]
        scalars, vectors, _ = self.inputs.features(pos, given, torch.cat(parts, dim=1))
        features: dict[str, Any] = {"scalars": scalars, "vectors": vectors}
        if self.is_periodic:
            features["cell"] = Cell(batch["cell"].to(pos) / self.length, batch["periodic"].bool())
        return pos, features


class OwnForcesNetwork(OwnDataNetwork):
    """Energy per atom and the force on it, -dE/dx, side by side (N, 1 + D), in units of ``energy_unit`` each.

    Forces are the exact gradient of the predicted energy. Gradients are turned on inside; the result has a graph if
    they were on outside.
    """

    predicts_gradients = True

    def forward(self, batch: CloudBatch) -> Float[Tensor, "N E"]:
        """Energies and forces."""
        wants_graph = torch.is_grad_enabled()
        with torch.enable_grad():
            at = batch.pos
            if not (wants_graph and at.requires_grad):
                at = at.detach().requires_grad_()
            pos, features = self._features_at(at, batch)
            energy = self.backbone(pos, batch.batch, **features).scalars
            (gradient,) = torch.autograd.grad(energy.sum(), at, create_graph=wants_graph)
            both = torch.cat([energy, -gradient], dim=1)
        return both if wants_graph else both.detach()
