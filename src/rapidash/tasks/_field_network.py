"""A network for declared fields: how each input enters and what comes out follow from the representations."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import torch
from torch import Tensor, nn

from rapidash._names import unknown_name
from rapidash.data import CloudBatch, CloudDataset, Field
from rapidash.geometry import Cell
from rapidash.groups import (
    SE,
    FiniteGroup,
    Group,
    Position,
    Pseudoscalar,
    Pseudovector,
    Scalar,
    Tensor2,
    Vector,
    parse_group,
)
from rapidash.methods import Variant
from rapidash.models import Network, NetworkConfig, RapidashConfig, cloud_network
from rapidash.symmetry import Ledger, averaged_symmetry, symmetrized
from rapidash.tasks._point_inputs import displacements, network_ledger, point_inputs

_MIRRORED: Final = (Pseudoscalar, Pseudovector)
_CELL: Final = ("cell", "periodic")
_ASYMMETRY: Final = 1e-4  # of the largest entry, more than rounding


class FieldNetwork(nn.Module):
    r"""A network from some fields of clouds to another field, which transforms as that field is declared.

    Inputs of a point are a constant, its displacement from the centroid (unless the data have a ``"cell"``), and the
    named fields: numbers as they are, whole numbers (N,) as one of those that the data have, vectors as the space of
    the network takes them. A field of clouds enters at every point. Outputs are numbers, logits of whole numbers,
    vectors, symmetric tensors of rank 2, or positions (of points, as displacements). Numbers are in units of their
    deviation about their mean, other outputs of their root mean square, which `calibrate` measures.

    Pseudovectors and pseudoscalars, as inputs or as output, are vectors and numbers for a symmetry without reflections.
    For ``"E(D)"`` the network h is one for ``"SE(D)"``, and its value is the mean over the cloud and its mirror image,

    .. math:: f(x) = \tfrac12 \left( h(x) + \rho(m)^{-1} h(m x) \right),

    with the inversion m (of the plane: a reflection), which costs two passes and is exact.

    Args:
        variant: a network configuration, or a `Variant` with input tokens, see `rapidash.tasks.PosedTask`.
        data: clouds that have the fields; their shapes are taken from it.
        inputs: names of input fields beside ``pos``.
        target: name of the field to predict.
    Shape: as the target, (B, ...) or (N, ...); of a class (B, K) or (N, K).
    Raises: ValueError for a field that is missing or that no network takes or gives, a target that is among the inputs,
        values that are not finite, tensors that are not symmetric, and a symmetry whose reflections are not those of
        all of space.
    """

    center: Tensor
    unit: Tensor

    def __init__(
        self, variant: Variant | NetworkConfig, data: CloudDataset, inputs: Sequence[str] = (), *, target: str
    ) -> None:
        super().__init__()
        chosen = variant if isinstance(variant, Variant) else Variant("network", variant)
        for name in (*inputs, target):
            if name not in data.fields:
                raise ValueError(unknown_name("field of the data", name, data.fields))
        _check_values(data, inputs, target)
        self.names, self.target, self.output = tuple(inputs), target, data.fields[target]
        self.has_cell = "cell" in data.fields
        self.pool = getattr(chosen.model, "pool", "sum")
        kinds = {name: data.fields[name].representation for name in inputs}
        has_mirrored = any(isinstance(kind, _MIRRORED) for kind in (*kinds.values(), self.output.representation))
        self.mirror = self._mirror(chosen.model) if has_mirrored else None
        if self.mirror is not None and isinstance(chosen.model, RapidashConfig) and chosen.model.takes == "vectors":
            chosen = replace(chosen, model=replace(chosen.model, symmetry=f"SE({data.tensors['pos'].shape[1]})"))
        self.vector_names = tuple(name for name, kind in kinds.items() if isinstance(kind, Vector | Pseudovector))
        self.categories = {
            name: data.tensors[name].unique().tolist()
            for name, kind in kinds.items()
            if isinstance(kind, Scalar) and data.tensors[name].dim() == 1 and not data.tensors[name].is_floating_point()
        }
        for name, kind in kinds.items():
            if not isinstance(kind, Scalar | Pseudoscalar | Vector | Pseudovector):
                raise ValueError(
                    f"input {name!r} is a {type(kind).__name__}: a network takes scalars, vectors, pseudoscalars and "
                    "pseudovectors; give invariants of it"
                )
        copies = {name: _vectors(data.tensors[name]).shape[1] for name in self.vector_names}
        vectors = [f"{name} {number}" for name, count in copies.items() for number in range(count)]
        vectors = vectors if self.has_cell else [*vectors, "displacement from the centroid"]
        if self.has_cell and not isinstance(chosen.model, RapidashConfig):
            raise ValueError(
                f"the clouds repeat along a cell, and the network {chosen.model.kind!r} knows none: take 'rapidash'"
            )
        self.inputs = point_inputs(chosen, vectors)
        num_scalars = 1 + sum(self._width(name, data.tensors[name]) for name in inputs if name not in copies)
        self.shape = data.tensors[target].shape[1:]
        sizes = self._sizes(data.tensors[target], chosen.model)
        self.backbone: Network = cloud_network(chosen.model, self.inputs.interface(scalars=num_scalars, **sizes))
        if self.mirror is None and has_mirrored and not self.backbone.symmetry.is_subgroup(SE(self.inputs.dim)):
            raise ValueError(
                f"{chosen.model.symmetry} on {chosen.model.space} keeps reflections, under which pseudoscalars and "
                "pseudovectors change sign: take a space with orientations"
            )
        self.register_buffer("center", torch.zeros(()))
        self.register_buffer("unit", torch.ones(()))

    @property
    def is_class(self) -> bool:
        """Whether logits come out."""
        return self.num_classes > 0

    def _mirror(self, model: NetworkConfig) -> Group | None:
        """The identity and a mirror image, where the network is to keep reflections; else None."""
        group = parse_group(model.symmetry)
        if group.is_subgroup(SE(group.dim)):
            return None
        if not SE(group.dim).is_subgroup(group):
            raise ValueError(
                f"pseudoscalars and pseudovectors need a network without reflections, or one for E({group.dim}), got "
                f"symmetry {group}"
            )
        tells_it = isinstance(model, RapidashConfig) and model.takes == "vectors"
        if isinstance(self.output.representation, _MIRRORED) and not tells_it:
            kind = type(self.output.representation).__name__
            raise ValueError(
                f"target {self.target!r} is a {kind}: {model.kind!r} on {model.space} cannot tell a cloud from its "
                "mirror image. Take 'rapidash' on a space with orientations"
            )
        identity = torch.eye(group.dim, dtype=torch.float64)
        image = -identity if group.dim == 3 else torch.diag(torch.tensor([-1.0, 1.0], dtype=torch.float64))
        return Group(group.dim, FiniteGroup("mirror image", torch.stack([identity, image])), translations=False)

    def _width(self, name: str, tensor: Tensor) -> int:
        return len(self.categories[name]) if name in self.categories else tensor[0].numel()

    def _sizes(self, target: Tensor, model: NetworkConfig) -> dict[str, Any]:
        """The outputs of the backbone, for rows such as those of the target."""
        kind, self.num_classes = self.output.representation, 0
        per_row = target[0].numel()
        counts = {"out_scalars": 0, "out_vectors": 0, "out_tensors": 0}
        if isinstance(kind, Scalar) and not target.is_floating_point():
            self.num_classes = counts["out_scalars"] = int(target.max()) + 1
            if target.dim() != 1 or int(target.min()) < 0 or self.num_classes < 2:
                raise ValueError(
                    f"target {self.target!r} of whole numbers must be classes 0, 1, ... in a tensor (rows,)"
                )
        elif isinstance(kind, Scalar | Pseudoscalar):
            counts["out_scalars"] = per_row
        elif isinstance(kind, Vector | Pseudovector):
            counts["out_vectors"] = per_row // target.shape[-1]
        elif isinstance(kind, Position) and self.output.level == "point" and target.dim() == 2:
            counts["out_vectors"] = 1
        elif isinstance(kind, Tensor2) and target.dim() == 3:
            counts["out_tensors"] = 1
        else:
            raise ValueError(
                f"target {self.target!r} is a {type(kind).__name__} of shape {tuple(target.shape)} at "
                f"{self.output.level} level: a network gives scalars, classes, vectors, pseudoscalars, pseudovectors, "
                "one symmetric tensor of rank 2, or the positions of points"
            )
        if not counts["out_scalars"] and (model.takes == "invariants" or not model.gives_tensors):
            counts["out_scalars"] = 1  # a readout without scalars has no weights
        counts = {name: count for name, count in counts.items() if count or name != "out_tensors"}
        self.pools_here = self.output.level == "cloud" and bool(counts["out_vectors"]) and model.takes == "invariants"
        is_node = self.output.level == "point" or self.pools_here
        return {**counts, "level": "node" if is_node else "graph"}

    def forward(self, batch: CloudBatch) -> Tensor:
        """The target of every cloud or point."""
        needed = {"pos", *self.names, *({*_CELL} & {*batch.fields})}
        seen = CloudBatch(
            {name: batch[name] for name in needed},
            {name: batch.fields[name] for name in needed},
            batch.batch,
            batch.num_clouds,
        )
        if self.mirror is None:
            raw = self._raw(seen)
        else:
            elements = self.mirror.elements()
            assert elements is not None
            raw = symmetrized(self._raw, seen, self._raw_field, elements.expand(batch.num_clouds, *elements.shape))  # type: ignore[arg-type]
        if self.is_class:
            return raw
        values = self.unit * raw.reshape(len(raw), *self.shape)
        if isinstance(self.output.representation, Position):
            return batch.pos + values
        return self.center + values

    @property
    def _raw_field(self) -> Field:
        """How the values of the backbone transform: positions come out as vectors."""
        kind = self.output.representation
        return Field(Vector(), level="point") if isinstance(kind, Position) else self.output

    @torch.no_grad()
    def calibrate(self, batch: CloudBatch) -> None:
        """Rescale the kernels on a typical batch, and where it has the target measure its center and unit."""
        if self.target in batch.tensors and not self.is_class:
            values = batch[self.target]
            if isinstance(self.output.representation, Scalar):
                self.center.copy_(values.mean())
            if isinstance(self.output.representation, Position):
                values = values - batch.pos
            self.unit.copy_((values - self.center).square().mean().sqrt().clamp(min=1e-6))
        features = self._features(batch)
        self.backbone.calibrate(batch.pos, batch.batch, **features)

    def ledger(self) -> Ledger:
        """The symmetry of the function from clouds to the target."""
        before = network_ledger(self)
        if self.mirror is None:
            return before
        assert isinstance(before.effective, Group)
        found, reason = averaged_symmetry(before.effective, self.mirror)
        kept = before.claimed_exactly
        exactly = averaged_symmetry(kept, self.mirror)[0] if isinstance(kept, Group) else self.mirror
        is_exact = found.is_subgroup(exactly)
        reasons = (*before.reasons, f"the mean over a cloud and its mirror image: {reason}")
        exact_part = None if is_exact else exactly
        return replace(before, effective=found, reasons=reasons, exact=is_exact, exact_part=exact_part)

    def _raw(self, batch: CloudBatch) -> Tensor:
        """The values of the backbone, a row for each cloud or point."""
        out = self.backbone(batch.pos, batch.batch, **self._features(batch))
        match self.output.representation:
            case Vector() | Pseudovector() | Position():
                values = out.vectors if self.shape[:-1] else out.vectors[:, 0]
            case Tensor2():
                values = out.tensors[:, 0]  # type: ignore[union-attr]
            case _:
                return out.scalars if self.is_class or self.shape else out.scalars[:, 0]
        if not self.pools_here:
            return values
        total = values.new_zeros(batch.num_clouds, *values.shape[1:]).index_add(0, batch.batch, values)
        sizes = batch.num_points.reshape(-1, *[1] * (total.dim() - 1))
        return total / sizes if self.pool == "mean" else total

    def _features(self, batch: CloudBatch) -> dict[str, Any]:
        """The keyword arguments of the backbone."""
        pos = batch.pos
        vectors = [_vectors(self._at_points(name, batch)) for name in self.vector_names]
        if not self.has_cell:
            vectors.append(displacements(pos, batch.batch, batch.num_clouds)[:, None])
        scalars = [pos.new_ones(len(pos), 1)]
        scalars += [self._scalars(name, batch) for name in self.names if name not in self.vector_names]
        given = torch.cat(vectors, dim=1) if vectors else pos.new_zeros(len(pos), 0, pos.shape[1])
        found, kept, _ = self.inputs.features(pos, given, torch.cat(scalars, dim=1))
        features: dict[str, Any] = {"scalars": found, "vectors": kept}
        if self.has_cell:
            periodic = batch["periodic"].bool() if "periodic" in batch.tensors else None
            features["cell"] = Cell(batch["cell"].to(pos), periodic)
        return features

    def _scalars(self, name: str, batch: CloudBatch) -> Tensor:
        values = self._at_points(name, batch)
        if name not in self.categories:
            return values.reshape(len(values), -1).to(batch.pos)
        known = self.categories[name]
        columns = values[:, None] == values.new_tensor(known)
        if not bool(columns.any(dim=1).all()):
            unknown = sorted(set(values.tolist()) - set(known))
            raise ValueError(f"field {name!r} has the values {unknown[:5]}, the network was made for {known}")
        return columns.to(batch.pos)

    @staticmethod
    def _at_points(name: str, batch: CloudBatch) -> Tensor:
        return batch[name][batch.batch] if batch.fields[name].level == "cloud" else batch[name]


def _vectors(tensor: Tensor) -> Tensor:
    """(rows, V, D), of (rows, D) too."""
    return tensor[:, None] if tensor.dim() == 2 else tensor.flatten(1, -2)


def _check_values(data: CloudDataset, inputs: Sequence[str], target: str) -> None:
    """Raises: ValueError for a target that the network sees, and values from which nothing can be learned."""
    seen = ("pos", *inputs, *(name for name in _CELL if name in data.fields))
    if target in seen:
        raise ValueError(f"target {target!r} is among the inputs, {', '.join(seen)}: there is nothing to learn")
    for name in (*seen, target):
        tensor = data.tensors[name]
        bad = ~tensor.isfinite().reshape(len(tensor), -1).all(dim=1)
        if bad.any():
            rows = f"{int(bad.sum())} of {len(tensor)} rows, the first is row {int(bad.nonzero()[0])}"
            raise ValueError(f"field {name!r} has values that are not finite in {rows}: leave these clouds out")
    tensor = data.tensors[target]
    if isinstance(data.fields[target].representation, Tensor2) and tensor.dim() == 3:
        apart = (tensor - tensor.mT).abs().amax(dim=(1, 2))
        if bool((apart > _ASYMMETRY * tensor.abs().max()).any()):
            raise ValueError(
                f"target {target!r} is not symmetric: row {int(apart.argmax())} and its transpose are "
                f"{float(apart.max()):.3g} apart. A network gives symmetric tensors: learn (T + T^t) / 2, and the "
                "other part as a pseudovector"
            )
