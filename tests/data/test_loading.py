"""Samples of a data set by number, and the batches that torch's loader makes of them."""

import pytest
import torch
from torch.utils.data import ConcatDataset, DataLoader, Subset, random_split

from rapidash._seed import seeded
from rapidash.data import CloudBatch, CloudDataset, Field, RowBatch, collate, moved
from rapidash.geometry import Cell
from rapidash.groups import SO, Position, Scalar, Vector
from rapidash.models import Rapidash
from tests.data.test_batches import clouds, rows

COUNTS = torch.tensor([3, 1, 4, 2, 5])


def crystals() -> CloudDataset:
    """Structures that repeat along their cells, the second along two vectors only."""
    rng = seeded("crystals")
    cell = 3 * torch.eye(3) + 0.3 * torch.randn(len(COUNTS), 3, 3, generator=rng)
    periodic = torch.ones(len(COUNTS), 3, dtype=torch.bool)
    periodic[1, 2] = False
    tensors = {
        "pos": 3 * torch.rand(int(COUNTS.sum()), 3, generator=rng),
        "z": torch.arange(int(COUNTS.sum())),
        "cell": cell,
        "periodic": periodic,
        "energy": torch.randn(len(COUNTS), 1, generator=rng, dtype=torch.float64),
    }
    fields = {"pos": Field(Position(), "angstrom"), "z": Field(Scalar())}
    fields |= {"cell": Field(Vector(), "angstrom", "cloud"), "periodic": Field(Scalar(), level="cloud")}
    return CloudDataset(tensors, {**fields, "energy": Field(Scalar(), "eV", "cloud")}, COUNTS)


def same(one: CloudBatch, other: CloudBatch) -> bool:
    """Equal bit for bit, in values, types and declarations."""
    assert one.fields == other.fields
    assert one.tensors.keys() == other.tensors.keys()
    alike = [torch.equal(one[name], other[name]) and one[name].dtype == other[name].dtype for name in one.tensors]
    return all(alike) and torch.equal(one.batch, other.batch) and one.num_clouds == other.num_clouds


def test_a_sample_is_a_batch_of_one_cloud_by_hand() -> None:
    fields = {"pos": Field(Position()), "y": Field(Scalar(), level="cloud")}
    data = CloudDataset(
        {"pos": torch.arange(12.0).reshape(4, 3), "y": torch.tensor([5, 7])}, fields, torch.tensor([1, 3])
    )
    cloud = data[1]
    assert isinstance(cloud, CloudBatch)
    assert cloud.pos.tolist() == [[3, 4, 5], [6, 7, 8], [9, 10, 11]]
    assert (cloud["y"].tolist(), cloud.batch.tolist(), cloud.num_clouds) == ([7], [0, 0, 0], 1)
    assert same(data[-2], data[0])
    assert same(data[torch.tensor(1)], data[1])
    both = collate([data[1], data[0]])
    assert both["y"].tolist() == [7, 5]
    assert both.batch.tolist() == [0, 0, 0, 1]
    assert both.pos[:, 0].tolist() == [3, 6, 9, 0]
    assert [len(cloud.pos) for cloud in data] == [1, 3]  # IndexError ends it
    for index in (2, -3):
        with pytest.raises(IndexError, match=rf"index {index} is outside a dataset of 2 samples"):
            data[index]
    with pytest.raises(TypeError, match=r"dataset\[i\] is one sample.*take dataset\.batch\(indices\)"):
        data[0:1]


@pytest.mark.parametrize("make", [clouds, crystals], ids=["clouds", "crystals"])
def test_collated_samples_are_the_batch_bit_for_bit(make) -> None:
    data = make()
    indices = torch.tensor([2, 0, 2, 1])
    assert same(collate([data[i] for i in indices]), data.batch(indices))
    assert same(collate([data.batch(indices[:2]), data.batch(indices[2:])]), data.batch(indices))
    assert not same(collate([data[0], data[1]]), data.batch(torch.tensor([1, 0])))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_shuffles_and_has_workers(workers: int) -> None:
    data = crystals()

    def loader() -> DataLoader:
        rng = torch.Generator().manual_seed(3)
        options = {"batch_size": 2, "shuffle": True, "generator": rng, "num_workers": workers}
        return DataLoader(data, collate_fn=collate, **options)

    orders = list(DataLoader(range(len(data)), batch_size=2, shuffle=True, generator=torch.Generator().manual_seed(3)))
    assert torch.cat(orders).tolist() != sorted(torch.cat(orders).tolist())
    batches = list(loader())
    assert len(batches) == 3
    assert all(same(batch, data.batch(indices)) for batch, indices in zip(batches, orders, strict=True))


def test_edges_across_the_boundary_are_those_of_the_batch() -> None:
    torch.manual_seed(0)
    data = crystals()
    sizes = {"in_scalars": 1, "channels": 4, "num_layers": 1, "basis_dim": 4, "basis_hidden_dim": 4}
    model = Rapidash(**sizes, edges="radius-2.0", kernel="exact")
    alone = []
    for index in range(len(data)):
        one = data[index]
        features = {"scalars": torch.ones(len(one.pos), 1), "cell": Cell(one["cell"], one["periodic"])}
        alone.append(model(one.pos, one.batch, **features).scalars)
    [loaded] = DataLoader(data, batch_size=5, collate_fn=collate)
    features = {"scalars": torch.ones(len(loaded.pos), 1), "cell": Cell(loaded["cell"], loaded["periodic"])}
    together = model(loaded.pos, loaded.batch, **features).scalars
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-5, atol=1e-6)
    without = model(loaded.pos, loaded.batch, scalars=torch.ones(len(loaded.pos), 1)).scalars
    assert (together - without).abs().max() > 1e-3  # the boundary is crossed


def test_parts_and_joined_data_sets_of_torch_are_loaded() -> None:
    data = crystals()
    first, rest = random_split(data, [2, 3], torch.Generator().manual_seed(0))
    assert sorted([*first.indices, *rest.indices]) == [0, 1, 2, 3, 4]
    [batch] = DataLoader(first, batch_size=2, collate_fn=collate)
    assert same(batch, data.batch(torch.tensor(first.indices)))
    [twice] = DataLoader(ConcatDataset([data, Subset(data, [4])]), batch_size=6, collate_fn=collate)
    assert same(twice, data.batch(torch.tensor([0, 1, 2, 3, 4, 4])))


def test_moved_clouds_and_rows_are_loaded_too() -> None:
    turned = moved(crystals(), SO(3), 0)
    [batch] = DataLoader(turned, batch_size=5, collate_fn=collate)
    assert same(batch, turned.batch(torch.arange(5)))
    table = rows()
    [row] = DataLoader(table, batch_size=3, collate_fn=collate)
    assert isinstance(row, RowBatch)
    assert all(torch.equal(row[name], table.tensors[name]) for name in table.tensors)
    assert table[1]["label"].tolist() == [1]


def test_samples_that_differ_are_named() -> None:
    data, other = crystals(), clouds()
    with pytest.raises(ValueError, match="a batch needs at least one sample"):
        collate([])
    with pytest.raises(ValueError, match="sample 1 is a RowBatch, expected a CloudBatch"):
        collate([data[0], rows()[0]])
    with pytest.raises(ValueError, match=r"sample 1 has the fields .*dipole.*, sample 0 .*cell"):
        collate([data[0], other[0]])
    wide = data[1].with_tensor("energy", torch.zeros(1, 2, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"sample 1: field 'energy' has rows of shape \(2,\) .*sample 0 \(1,\)"):
        collate([data[0], wide])
    with pytest.raises(ValueError, match=r"field 'pos' .* torch.float64, those of sample 0 \(3,\) and torch.float32"):
        collate([data[0], data[1].to(dtype=torch.float64)])
