"""PyTorch Geometric's ``Data`` and ``Batch`` as clouds and back.

Objects of PyTorch Geometric are recognized by their attributes; only `to_pyg` imports it.
"""

import importlib.util
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset

from rapidash.data import CloudBatch, CloudDataset, Field
from rapidash.groups import Position, Vector

__all__ = ["dataset_from_pyg", "from_pyg", "to_pyg"]

_POSITIONS = Field(Position())
_RESERVED = {"batch", "ptr", "num_nodes", "num_graphs"}


def from_pyg(data: Any, fields: Mapping[str, Field]) -> CloudBatch:
    """A PyTorch Geometric ``Data`` or ``Batch``, or several ``Data`` (a list, a data set), as a batch of clouds.

    Only the fields that are declared are taken, because how they transform cannot be guessed; "pos" is declared as a
    position of the unit "1" where ``fields`` does not say otherwise. Edges are not taken: the model makes its own.
    A cloud field of a graph may have any shape with the clouds in front, or none: PyG's y (1, C) and y (C,) for C = 1.

    Example: ``from_pyg(batch, {"z": Field(Scalar()), "y": Field(Scalar(), "eV", "cloud")})``
    Args:
        data: with attributes pos (N, D) and, in a batch, batch (N,).
        fields: declarations by attribute name.
    Raises: TypeError where it has no pos tensor, or several types of nodes; ValueError for a missing field, other
        numbers of rows or components, positions that are not finite, a batch that is not sorted, or several graphs with
        different fields. Of several graphs the message says which.
    """
    if "Hetero" in type(data).__name__:
        raise TypeError(f"{type(data).__name__} has several types of nodes: give one of them, such as data['atom']")
    if isinstance(data, Dataset) and not isinstance(data, IterableDataset):  # one in memory has the pos of all graphs
        return _joined((data[index] for index in range(len(data))), fields)  # type: ignore[arg-type]
    if not hasattr(data, "pos") and isinstance(data, Iterable) and not isinstance(data, str | bytes | Mapping | Tensor):
        return _joined(data, fields)
    pos = getattr(data, "pos", None)
    if not isinstance(pos, Tensor) or pos.dim() != 2:
        raise TypeError(
            f"expected a PyTorch Geometric Data or Batch with pos (N, D), or several, got {type(data).__name__} with "
            f"pos {None if pos is None else getattr(pos, 'shape', type(pos).__name__)}"
        )
    if not torch.isfinite(pos).all():
        raise ValueError("pos has values that are not finite")
    assigned = getattr(data, "batch", None)
    batch = torch.zeros(len(pos), dtype=torch.int64, device=pos.device) if assigned is None else assigned
    if len(batch) != len(pos) or (batch.diff() < 0).any() or (batch < 0).any():
        raise ValueError(
            f"batch must be sorted numbers from 0 on, one for each of {len(pos)} points, got {len(batch)} entries"
        )
    stated = getattr(data, "num_graphs", None)
    found = int(batch.max()) + 1 if len(batch) else 0
    num_clouds = stated if isinstance(stated, int) and assigned is not None else max(found, 1)
    declared = {"pos": _POSITIONS, **fields}
    tensors = {name: _field(data, name, field, len(pos), num_clouds) for name, field in declared.items()}
    return CloudBatch(tensors, declared, batch, num_clouds)


def dataset_from_pyg(data: Any, fields: Mapping[str, Field]) -> CloudDataset:
    """Graphs, e.g. a data set of PyTorch Geometric, as a data set in memory. Args, Raises: as for ``from_pyg``."""
    batch = from_pyg(data, fields)
    counts = batch.num_points
    return CloudDataset(batch.tensors, batch.fields, counts.cpu())


def to_pyg(batch: CloudBatch) -> Any:
    """A batch of clouds as a ``torch_geometric.data.Batch``, every field under its name.

    Point fields have a row per node; cloud fields a row per graph, (B, ...). The declarations stay behind:
    ``from_pyg(to_pyg(batch), batch.fields)`` gives the batch again.
    Raises: ModuleNotFoundError where PyTorch Geometric is not installed; ValueError for a field whose name is an
        attribute of ``Batch``, such as "batch" or "ptr".
    """
    if importlib.util.find_spec("torch_geometric") is None:
        raise ModuleNotFoundError("to_pyg needs PyTorch Geometric: pip install torch_geometric")
    from torch_geometric.data import Batch, Data

    if taken := sorted(set(batch.fields) & _RESERVED):
        raise ValueError(f"field {taken[0]!r} cannot be an attribute of a Batch, which has its own: rename the field")
    counts = batch.num_points.tolist()
    parts = {
        name: tensor.split(counts if batch.fields[name].level == "point" else 1)
        for name, tensor in batch.tensors.items()
    }
    return Batch.from_data_list(
        [
            Data(num_nodes=count, **{name: part[cloud] for name, part in parts.items()})
            for cloud, count in enumerate(counts)
        ]
    )


def _field(data: Any, name: str, field: Field, num_points: int, num_clouds: int) -> Tensor:
    tensor = getattr(data, name, None)
    if not isinstance(tensor, Tensor):
        raise ValueError(f"the data has no tensor {name!r} to declare as {field}")
    expected = num_points if field.level == "point" else num_clouds
    if field.level == "cloud" and tensor.dim() == 0:
        tensor = tensor.reshape(1)
    if len(tensor) != expected:
        raise ValueError(
            f"field {name!r} has the shape {tuple(tensor.shape)}, expected {expected} rows ({field.level} level)"
        )
    if isinstance(field.representation, Position | Vector) and tensor.shape[-1:] != data.pos.shape[1:]:
        raise ValueError(
            f"field {name!r} has the shape {tuple(tensor.shape)}, expected (..., {data.pos.shape[1]}) as {field}"
        )
    return tensor


def _joined(graphs: Iterable[Any], fields: Mapping[str, Field]) -> CloudBatch:
    """Several graphs as one batch. Raises: TypeError, ValueError that say which graph is wrong."""
    parts: list[CloudBatch] = []
    for number, graph in enumerate(graphs):
        try:
            parts.append(from_pyg(graph, fields))
        except (TypeError, ValueError) as error:
            raise type(error)(f"graph {number}: {error}") from error
        for name, tensor in parts[-1].tensors.items():
            if tensor.shape[1:] != (expected := parts[0][name].shape)[1:]:
                raise ValueError(
                    f"graph {number}: field {name!r} has the shape {tuple(tensor.shape)}, that of graph 0 "
                    f"{tuple(expected)}"
                )
    if not parts:
        raise ValueError("expected at least one graph, got none")
    sizes = torch.tensor([part.num_clouds for part in parts])
    first = (torch.cumsum(sizes, 0) - sizes).tolist()
    tensors = {name: torch.cat([part[name] for part in parts]) for name in parts[0].fields}
    batch = torch.cat([part.batch + start for part, start in zip(parts, first)])
    return CloudBatch(tensors, parts[0].fields, batch, int(sizes.sum()))
