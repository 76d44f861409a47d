import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from torch.utils.data import IterableDataset
from torch_geometric.data import Batch, Data, HeteroData, InMemoryDataset

from rapidash.data import CloudBatch, Field
from rapidash.groups import Position, Scalar, Vector
from rapidash.interop.pyg import dataset_from_pyg, from_pyg, to_pyg

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
    unsorted.batch = torch.tensor([-1, -1, 0, 0])
    with pytest.raises(ValueError, match="batch must be sorted numbers from 0 on"):
        from_pyg(unsorted, FIELDS)
    for data in ("ethanol", {"pos": torch.ones(2, 3)}, torch.ones(2, 3)):
        with pytest.raises(TypeError, match=f"expected a PyTorch Geometric Data .* got {type(data).__name__}"):
            from_pyg(data, FIELDS)
    with pytest.raises(ValueError, match="pos has values that are not finite"):
        from_pyg(graph(2, 1.0, pos=torch.tensor([[0, 0, 1], [0, 0, torch.nan]])), FIELDS)
    with pytest.raises(ValueError, match=r"field 'force' has the shape \(2, 2\), expected \(..., 3\)"):
        from_pyg(graph(2, 1.0, force=torch.ones(2, 2)), FIELDS)


def test_of_several_graphs_the_wrong_one_is_named() -> None:
    with pytest.raises(ValueError, match="graph 1: the data has no tensor 'z'"):
        from_pyg([graph(2, 1.0), graph(2, 1.0, z=None)], FIELDS)
    with pytest.raises(ValueError, match=r"graph 1: field 'z' has the shape \(2, 2\), that of graph 0 \(2,\)"):
        from_pyg([graph(2, 1.0), graph(2, 1.0, z=torch.ones(2, 2))], FIELDS)


def test_several_types_of_nodes_are_refused() -> None:
    hetero = HeteroData()
    hetero["atom"].pos = torch.ones(2, 3)
    for data in (hetero, [hetero], Batch.from_data_list([hetero, hetero])):
        with pytest.raises(TypeError, match="has several types of nodes"):
            from_pyg(data, {})
    assert from_pyg(hetero["atom"], {}).pos.shape == (2, 3)


def test_a_stream_of_graphs_is_read_to_its_end() -> None:
    class Stream(IterableDataset):
        def __iter__(self):
            yield from (Data(pos=torch.ones(size, 3)) for size in (1, 2))

    assert from_pyg(Stream(), {}).num_clouds == 2


def test_data_and_batches_of_pytorch_geometric() -> None:
    items = [Data(pos=g.pos, z=g.z, force=g.force, y=g.y) for g in (graph(3, 1.0), graph(2, 2.0))]
    batch = from_pyg(Batch.from_data_list(items), FIELDS)
    assert batch.batch.tolist() == [0, 0, 0, 1, 1]
    assert batch["y"].tolist() == [1.0, 2.0]
    assert torch.equal(from_pyg(items, FIELDS).pos, batch.pos)
    assert from_pyg(items[0], FIELDS).num_clouds == 1


class InMemory(InMemoryDataset):
    def __init__(self, items: list[Data]) -> None:
        super().__init__(None)
        self.data, self.slices = self.collate(items)


def test_data_sets_of_pytorch_geometric_are_taken_graph_by_graph() -> None:
    items = [Data(pos=torch.randn(size, 3), z=torch.arange(size)) for size in (3, 2, 4)]
    fields = {"z": Field(Scalar())}
    for data in (InMemory(items), Batch.from_data_list(items), items):
        assert from_pyg(data, fields).batch.tolist() == [0, 0, 0, 1, 1, 2, 2, 2, 2]
        assert dataset_from_pyg(data, fields).num_points.tolist() == [3, 2, 4]
    assert dataset_from_pyg(InMemory(items)[1:], fields).num_points.tolist() == [2, 4]
    assert torch.equal(dataset_from_pyg(items[2], fields).tensors["pos"], items[2].pos)


def test_a_batch_goes_there_and_comes_back() -> None:
    batch = from_pyg(collated(graph(3, 1.0), graph(2, 2.0)), FIELDS)
    there = to_pyg(batch)
    assert isinstance(there, Batch)
    assert (there.num_graphs, there.num_nodes, there.batch.tolist()) == (2, 5, [0, 0, 0, 1, 1])
    assert torch.equal(there.get_example(1).force, batch["force"][3:])
    back = from_pyg(there, batch.fields)
    assert back.fields == batch.fields
    assert all(torch.equal(back[name], batch[name]) for name in batch.tensors)


def test_a_field_that_would_hide_an_attribute_of_the_batch_is_refused() -> None:
    pos = torch.zeros(2, 3)
    fields = {"pos": Field(Position()), "ptr": Field(Scalar())}
    batch = CloudBatch({"pos": pos, "ptr": pos[:, 0]}, fields, torch.tensor([0, 0]), 1)
    with pytest.raises(ValueError, match="field 'ptr' cannot be an attribute of a Batch"):
        to_pyg(batch)


def test_without_pytorch_geometric_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="pip install torch_geometric"):
        to_pyg(from_pyg(graph(2, 1.0), FIELDS))


def test_nothing_is_imported() -> None:
    code = "import sys, rapidash.interop.ase, rapidash.interop.pyg\n"
    code += "print([m for m in ('ase', 'torch_geometric') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
