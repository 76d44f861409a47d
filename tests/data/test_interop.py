import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from rapidash.data import Field, dataset_from_pyg, from_ase, from_pyg
from rapidash.groups import Position, Scalar, Vector

FIELDS = {"z": Field(Scalar()), "force": Field(Vector(), "N"), "y": Field(Scalar(), "J", "cloud")}


def graph(num_points: int, y: float, **extra: object) -> SimpleNamespace:
    """What PyTorch Geometric calls Data, as far as it matters here."""
    arrays = {"pos": torch.randn(num_points, 3), "z": torch.arange(num_points), "force": torch.randn(num_points, 3)}
    return SimpleNamespace(**{**arrays, "y": torch.tensor([y]), "edge_index": torch.zeros(2, 4), **extra})


def collated(*graphs: SimpleNamespace) -> SimpleNamespace:
    """What PyTorch Geometric calls Batch."""
    names = ("pos", "z", "force", "y")
    sizes = torch.tensor([len(g.pos) for g in graphs])
    owner = torch.repeat_interleave(torch.arange(len(graphs)), sizes)
    arrays = {name: torch.cat([getattr(g, name) for g in graphs]) for name in names}
    return SimpleNamespace(**arrays, batch=owner, num_graphs=len(graphs))


def test_data_batch_and_lists_of_data() -> None:
    first, second = graph(3, 1.0), graph(2, 2.0)
    one = from_pyg(first, FIELDS)
    assert (one.num_clouds, one.batch.tolist()) == (1, [0, 0, 0])
    assert one.fields["pos"] == Field(Position())
    assert set(one.tensors) == {"pos", "z", "force", "y"}
    together = from_pyg(collated(first, second), FIELDS)
    assert together.batch.tolist() == [0, 0, 0, 1, 1]
    assert torch.equal(together["force"], torch.cat([first.force, second.force]))
    listed = from_pyg([first, second], FIELDS)
    assert all(torch.equal(listed[name], together[name]) for name in together.tensors)
    data = dataset_from_pyg([first, second], FIELDS)
    assert data.num_points.tolist() == [3, 2]
    assert torch.equal(data.batch(torch.tensor([1]))["force"], second.force)
    turn = torch.diag(torch.tensor([-1.0, -1, 1, 1]))
    assert torch.equal(one.transform(turn)["force"], first.force * torch.tensor([-1.0, -1, 1]))
    scalar = from_pyg(
        SimpleNamespace(**{**vars(graph(2, 0.0)), "y": torch.tensor(5.0)}), {**FIELDS, "pos": Field(Position(), "m")}
    )
    assert scalar["y"].shape == (1,)
    assert scalar.fields["pos"].unit == "m"


def test_the_last_graphs_of_a_batch_may_have_no_points() -> None:
    batch = collated(graph(3, 1.0))
    batch.num_graphs, batch.y = 2, torch.ones(2, 1)
    assert from_pyg(batch, FIELDS).num_clouds == 2


def test_other_objects_are_refused() -> None:
    with pytest.raises(TypeError, match=r"expected a PyTorch Geometric Data .* got int with pos None"):
        from_pyg(3, FIELDS)
    with pytest.raises(TypeError, match="pos"):
        from_pyg(SimpleNamespace(pos=[1, 2]), FIELDS)
    with pytest.raises(ValueError, match="at least one graph"):
        from_pyg([], FIELDS)
    with pytest.raises(ValueError, match="no tensor 'charge'"):
        from_pyg(graph(3, 1.0), {"charge": Field(Scalar())})
    with pytest.raises(ValueError, match=r"field 'z' has the shape \(3,\), expected 1 rows \(cloud level\)"):
        from_pyg(graph(3, 1.0), {"z": Field(Scalar(), level="cloud")})
    unsorted = collated(graph(2, 1.0), graph(2, 1.0))
    unsorted.batch = unsorted.batch.flip(0)
    with pytest.raises(ValueError, match="batch must be sorted"):
        from_pyg(unsorted, FIELDS)


def test_real_pytorch_geometric() -> None:
    pyg = pytest.importorskip("torch_geometric.data", reason="torch_geometric is not installed")
    items = [pyg.Data(pos=g.pos, z=g.z, force=g.force, y=g.y) for g in (graph(3, 1.0), graph(2, 2.0))]
    batch = from_pyg(pyg.Batch.from_data_list(items), FIELDS)
    assert batch.batch.tolist() == [0, 0, 0, 1, 1]
    assert torch.equal(from_pyg(items, FIELDS).pos, batch.pos)


# ---- ASE ----


def test_ase_atoms_with_and_without_results() -> None:
    ase = pytest.importorskip("ase", reason="ase is not installed")
    calculator = pytest.importorskip("ase.calculators.singlepoint").SinglePointCalculator
    water, hydrogen = (
        ase.Atoms("OH2", [[0, 0, 0.12], [0, 0.76, -0.47], [0, -0.76, -0.47]]),
        ase.Atoms("H2", [[0, 0, 0], [0, 0, 0.74]]),
    )
    data = from_ase([water, hydrogen], dtype=torch.float64)
    assert data.num_points.tolist() == [3, 2]
    assert data.tensors["z"].tolist() == [8, 1, 1, 1, 1]
    assert data.tensors["pos"][4].tolist() == [0, 0, 0.74]
    assert (data.fields["pos"].unit, data.fields["pos"].representation) == ("angstrom", Position())
    assert set(data.fields) == {"pos", "z"}
    forces = np.array([[0, 0, 1.0], [0, 0, -1.0]])
    hydrogen.calc = calculator(hydrogen, energy=-31.7, forces=forces)
    assert set(from_ase([water, hydrogen]).fields) == {"pos", "z"}  # only one of them has results
    alone = from_ase(hydrogen, dtype=torch.float64)
    assert alone.tensors["energy"].tolist() == [[-31.7]]
    assert alone.tensors["forces"].tolist() == forces.tolist()
    assert alone.fields["forces"] == Field(Vector(), "eV/angstrom")
    hydrogen.positions[1, 2] = 0.9
    assert set(from_ase(hydrogen).fields) == {"pos", "z"}  # results of other positions


def test_structures_that_are_no_cloud() -> None:
    ase = pytest.importorskip("ase", reason="ase is not installed")
    with pytest.raises(ValueError, match=r"structure 1 is periodic"):
        from_ase([ase.Atoms("H"), ase.Atoms("Cu", cell=[4, 4, 4], pbc=True)])
    with pytest.raises(ValueError, match="structure 0 has no atoms"):
        from_ase(ase.Atoms())
    with pytest.raises(ValueError, match="unknown element"):
        from_ase(ase.Atoms("X"))
    with pytest.raises(TypeError, match="structure 0 is a int"):
        from_ase(3)
    with pytest.raises(ValueError, match="at least one structure"):
        from_ase([])


def test_nothing_of_them_is_imported() -> None:
    code = "import sys, rapidash.data; print([m for m in ('ase', 'torch_geometric') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
