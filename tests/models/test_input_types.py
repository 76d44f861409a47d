"""Inputs of another type or on another device than the network are named, with what to do."""

from typing import Any

import pytest
import torch
from torch import Tensor

from rapidash.geometry import Graph
from rapidash.models import DGCNNConfig, EGNNConfig, Interface, Rapidash
from rapidash.nn import ExactKernel, KernelBasis, lift

pytestmark = pytest.mark.usefixtures("shape_checks_off")

POS, ONES, VECTORS, BATCH = torch.rand(5, 3), torch.ones(5, 1), torch.rand(5, 1, 3), torch.zeros(5, dtype=torch.long)
ORIENTED: dict[str, Any] = {"in_vectors": 1, "in_pairs": 1, "num_orientations": 4, "basis_dim": 8}


def network(**changes: Any) -> Rapidash:
    torch.manual_seed(0)
    return Rapidash(in_scalars=1, channels=8, num_layers=1, basis_hidden_dim=8, **changes)


def message(name: str, given: str, expected: str = "float32") -> str:
    return (
        rf"^{name} has type torch\.{given}, the network torch\.{expected}: convert it, {name}\.to\(torch\.{expected}\)"
    )


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16", "int64"])
def test_positions_of_another_type(dtype: str) -> None:
    model, pos = network(), POS.to(getattr(torch, dtype))
    with pytest.raises(ValueError, match=message("pos", dtype)):
        model(pos, scalars=ONES)
    with pytest.raises(ValueError, match=message("pos", dtype)):
        model(pos, BATCH, scalars=ONES, hierarchy=model.connect(POS, BATCH))


@pytest.mark.parametrize("dtype", ["float64", "float16", "int64", "bool", "complex64"])
def test_scalars_of_another_type(dtype: str) -> None:
    model, scalars = network(), ONES.to(getattr(torch, dtype))
    for call in (lambda: model(POS, scalars=scalars), lambda: model.hidden(POS, BATCH, scalars=scalars)):
        with pytest.raises(ValueError, match=message("scalars", dtype)):
            call()
    with pytest.raises(ValueError, match=message("scalars", dtype)):
        model.calibrate(POS, BATCH, scalars=scalars)


def test_what_a_network_in_another_precision_wants() -> None:
    with pytest.raises(ValueError, match=message("pos", "float32", "float64") + ", or the network"):
        network().double()(POS, scalars=ONES)
    assert network().double()(POS.double(), scalars=ONES.double()).scalars.dtype == torch.float64
    assert network().bfloat16()(POS.bfloat16(), scalars=ONES.bfloat16()).scalars.dtype == torch.bfloat16


def test_vectors_and_pairs_of_another_type() -> None:
    model = network(**ORIENTED)
    with pytest.raises(ValueError, match=message("vectors", "float64")):
        model(POS, scalars=ONES, vectors=VECTORS.double(), pairs=ONES)
    with pytest.raises(ValueError, match=message("pairs", "float64")):
        model(POS, scalars=ONES, vectors=VECTORS, pairs=ONES.double())


def test_truth_values_next_to_floats_stay_welcome() -> None:
    model = network(**ORIENTED)
    expected = model(POS, scalars=ONES, vectors=VECTORS, pairs=ONES).scalars
    torch.testing.assert_close(model(POS, scalars=ONES.bool(), vectors=VECTORS, pairs=ONES.long()).scalars, expected)


def test_autocast_brings_half_and_single_precision_together() -> None:
    model = network()
    with torch.autocast("cpu"):
        expected = model(POS, scalars=ONES).scalars
        torch.testing.assert_close(model(POS, scalars=ONES.bfloat16()).scalars, expected)
        with pytest.raises(ValueError, match=message("pos", "float64")):
            model(POS.double(), scalars=ONES)


def test_what_is_no_tensor_or_elsewhere() -> None:
    model = network()
    for pos in (POS.tolist(), POS.numpy()):
        with pytest.raises(ValueError, match=r"pos must be a torch\.Tensor, got (list|ndarray): convert it"):
            model(pos, scalars=ONES)
    with pytest.raises(ValueError, match=r"scalars is on meta, the network on cpu: move it, scalars\.to\('cpu'\)"):
        model(POS, scalars=ONES.to("meta"))


def test_edges_of_other_points() -> None:
    model = network()
    edges = model.connect(POS, BATCH)
    with pytest.raises(ValueError, match="connects 5 points on cpu, pos has 4 on cpu"):
        model(POS[:4], scalars=ONES[:4], hierarchy=edges)
    with pytest.raises(ValueError, match=r"what connect\(pos, batch\) returns, got tuple"):
        model(POS, scalars=ONES, hierarchy=edges.graphs)


@pytest.mark.parametrize("kind", [EGNNConfig, DGCNNConfig])
def test_baselines(kind: type[EGNNConfig] | type[DGCNNConfig]) -> None:
    model = kind(channels=8, num_layers=1).build(Interface(in_scalars=1))
    expected = model(POS, scalars=ONES).scalars
    with pytest.raises(ValueError, match=message("pos", "float64")):
        model(POS.double(), scalars=ONES)
    with pytest.raises(ValueError, match=message("scalars", "float64")):
        model(POS, scalars=ONES.double())
    if kind is EGNNConfig:
        with pytest.raises(ValueError, match=message("scalars", "bool")):
            model(POS, scalars=ONES.bool())
    else:  # joined with the coordinates
        torch.testing.assert_close(model(POS, scalars=ONES.bool()).scalars, expected)
    for wrong in (ONES[:, 0], ONES[:3]):
        with pytest.raises(ValueError, match=r"scalars has shape \(\d.*\), expected \(5, 1\)"):
            model(POS, scalars=wrong)


@pytest.mark.parametrize("values", [torch.ones(3, 1).double(), torch.ones(3, 1).long()])
def test_layers(values: Tensor) -> None:
    given = str(values.dtype).replace(".", r"\.")
    with pytest.raises(ValueError, match=rf"attributes has type {given}, the kernel basis torch\.float32"):
        KernelBasis(1, 8, 8)(values)
    with pytest.raises(ValueError, match=rf"vectors has type {given}, the orientation grid torch\.float32"):
        lift(None, values[:, None].expand(3, 1, 3), torch.eye(3))
    graph = Graph.from_edge_index(torch.zeros(2, 3, dtype=torch.long), 1, 1)
    kernel = ExactKernel(graph, torch.zeros(3, 3), None, "auto", values[:, None])
    with pytest.raises(ValueError, match=rf"basis has type {given}, the layer torch\.float32"):
        kernel.conv(torch.ones(1, 1, 2), torch.ones(2, 1))
