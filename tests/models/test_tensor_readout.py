"""Symmetric tensors of rank 2: the readout by hand, equivariance, and what cannot give them."""

import pytest
import torch

from rapidash.geometry import Graph, Hierarchy, pair_invariants
from rapidash.groups import E, Group, T, orientation_grid
from rapidash.measure import equivariance_error, rapidash_action
from rapidash.models import EGNNConfig, Interface, Rapidash, RapidashConfig, TensorOutput, cloud_network
from rapidash.models._readout import Readout
from rapidash.nn import ExactKernel, project_tensors, spans_tensors

SMALL = {"in_scalars": 1, "channels": 8, "num_layers": 1, "basis_dim": 8, "basis_hidden_dim": 8, "edges": "radius-2.0"}


def exact(*rows: object) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def test_trace_and_the_rest_by_hand() -> None:
    """Two orientations, x and (0, 0.6, 0.8): t = 3 and 9 have the mean trace 6; s = 2 and 4 weigh o o^T - I/3."""
    grid = exact([1.0, 0.0, 0.0], [0.0, 0.6, 0.8])
    found = project_tensors(exact([[3.0], [9.0]]), exact([[2.0], [4.0]]), grid)
    by_hand = exact([[2 - 1 + 1, 0.0, 0.0], [0.0, 2 - 1 + 0.72, 0.96], [0.0, 0.96, 2 - 1 + 1.28]])
    torch.testing.assert_close(found, by_hand[None])
    assert found.shape == (1, 1, 3, 3)


def test_readout_of_translations_alone_has_the_components_by_hand() -> None:
    graph = Graph.from_edge_index(torch.tensor([[0], [0]]), 1, 1)
    hierarchy = Hierarchy((graph,), (), (), (torch.tensor([0]),), 1)
    made = Readout(
        1, 1, 1, invariants=pair_invariants("R3", T(3)), basis_dim=1, level="graph", pool="sum", out_tensors=1
    )
    with torch.no_grad():
        made.double().linear.weight.zero_()
        made.linear.bias.copy_(torch.arange(10.0))
    kernel = ExactKernel(graph, exact([0.0, 0.0, 0.0]), None, "reference", exact([[1.0]]))
    scalars, vectors, tensors = made(exact([[0.0]])[None][0], kernel, exact()[:, None].expand(0, 3), hierarchy)
    assert scalars.tolist() == [[0.0]]
    assert vectors.tolist() == [[[1.0, 2.0, 3.0]]]
    assert tensors.tolist() == [[[[4.0, 5.0, 6.0], [5.0, 7.0, 8.0], [6.0, 8.0, 9.0]]]]


@pytest.mark.parametrize("level", ["graph", "node"])
@pytest.mark.parametrize("num", [12, 20])
def test_tensors_turn_with_the_motions_of_the_grid(level: str, num: int) -> None:
    torch.manual_seed(0)
    options = {**SMALL, "grid": "platonic", "num_orientations": num, "level": level}
    model = Rapidash(**options, out_scalars=1, out_vectors=1, out_tensors=2).double().eval()
    x = {"pos": torch.randn(6, 3, dtype=torch.float64), "scalars": torch.rand(6, 1, dtype=torch.float64)}
    model.calibrate(x["pos"], torch.zeros(6, dtype=torch.long), scalars=x["scalars"])
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    out = model(**x)
    assert isinstance(out, TensorOutput)
    assert out.tensors.shape == (1 if level == "graph" else 6, 2, 3, 3)
    torch.testing.assert_close(out.tensors, out.tensors.mT)
    traceless = out.tensors - torch.eye(3).double() * torch.einsum("...ii->...", out.tensors)[..., None, None] / 3
    assert traceless.abs().max() > 1e-3
    error = equivariance_error(model, x, rapidash_action(model, model.exact_symmetry))
    assert error.max < 1e-10


def test_the_whole_tensor_moves_as_its_representation_says() -> None:
    """The check sees a vector's rule, which would leave the second index behind."""
    grid = orientation_grid("platonic", 12, 3)
    trace, traceless = torch.rand(2, 1, 12, 1, dtype=torch.float64)
    tensor = project_tensors(trace, traceless, grid)[0, 0]
    turn = exact([0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0])
    moved = project_tensors(trace, traceless, grid @ turn.T)[0, 0]
    torch.testing.assert_close(moved, turn @ tensor @ turn.T)
    assert not torch.allclose(moved, turn @ tensor)


def test_what_cannot_give_tensors_says_so() -> None:
    assert not spans_tensors(orientation_grid("platonic", 6, 3))  # plus and minus the axes: diagonal ones only
    assert spans_tensors(orientation_grid("platonic", 12, 3))
    with pytest.raises(ValueError, match="6 orientations do not span all symmetric tensors"):
        Rapidash(**SMALL, out_tensors=1, grid="platonic", num_orientations=6)
    with pytest.raises(ValueError, match=r"on R\^D with rotations: scalar features cannot make a tensor"):
        Rapidash(**SMALL, out_tensors=1, space="R3", symmetry="E(3)")
    io = Interface(in_scalars=1, out_scalars=1, out_tensors=1, pool="mean")
    with pytest.raises(ValueError, match="the network 'EGNN' gives scalars and vectors"):
        cloud_network(EGNNConfig(), io)
    assert cloud_network(RapidashConfig(channels=8, num_layers=1, basis_dim=4, basis_hidden_dim=4), io).io == io


def test_a_saved_network_with_tensors_is_read_again(tmp_path: object) -> None:
    torch.manual_seed(1)
    model = Rapidash(**SMALL, out_scalars=0, out_tensors=1).eval()
    again = Rapidash.from_pretrained(model.save_pretrained(tmp_path))  # type: ignore[arg-type]
    x = {"pos": torch.randn(4, 3), "scalars": torch.ones(4, 1)}
    assert torch.equal(model(**x).tensors, again(**x).tensors)
    assert E(3) == again.symmetry == Group(3, model.symmetry.linear)
