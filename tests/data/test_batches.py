"""Batches of clouds and of rows: what the protocols promise, with one element per sample."""

import pytest
import torch

from rapidash._seed import seeded
from rapidash.data import Batch, CloudBatch, CloudDataset, Dataset, Field, RowBatch, RowDataset
from rapidash.groups import (
    SE,
    Image,
    Intensity,
    Permutation,
    Permutations,
    Position,
    Pseudoscalar,
    Scalar,
    Vector,
    brightness,
    cyclic,
    enumerated,
)
from rapidash.measure import Action, equivariance_error, lie_derivative

CLOUD_FIELDS = {
    "pos": Field(Position(), "m"),
    "force": Field(Vector()),
    "z": Field(Scalar()),
    "dipole": Field(Vector(), level="cloud"),
    "label": Field(Scalar(), level="cloud"),
}


def clouds(counts: tuple[int, ...] = (2, 4, 3)) -> CloudDataset:
    rng, total = seeded("clouds", *counts), sum(counts)
    tensors = {name: torch.randn(total, 3, generator=rng, dtype=torch.float64) for name in ("pos", "force")}
    tensors["z"] = torch.arange(total)
    tensors["dipole"] = torch.randn(len(counts), 3, generator=rng, dtype=torch.float64)
    tensors["label"] = torch.arange(len(counts))
    return CloudDataset(tensors, CLOUD_FIELDS, torch.tensor(counts))


def rows(num: int = 3) -> RowDataset:
    tensors = {
        "x": torch.randn(num, 4, generator=seeded("rows"), dtype=torch.float64),
        "label": torch.arange(num),
    }
    return RowDataset(tensors, {"x": Field(Permutation(-1), level="cloud"), "label": Field(Scalar(), level="cloud")})


KINDS = {"clouds": (clouds(), SE(3)), "rows": (rows(), Permutations(4))}


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_protocols_promise(kind: str) -> None:
    data, group = KINDS[kind]
    batch = data.batch(torch.arange(3))
    assert isinstance(data, Dataset)
    assert isinstance(batch, Batch)
    assert not isinstance(data, Batch)
    assert not isinstance({"pos": torch.zeros(3)}, Batch)
    assert (len(data), batch.num_samples) == (3, 3)
    assert set(batch.tensors) == set(batch.fields) == set(data.tensors) == set(data.fields)
    assert all(torch.equal(batch[name], data.tensors[name]) for name in data.tensors)
    g, h = (group.sample(3, generator=seeded(kind, name)) for name in "gh")
    alone = [data.batch(torch.tensor([b])).transform(g[b]) for b in range(3)]
    moved = batch.transform(g)
    for name, field in batch.fields.items():
        torch.testing.assert_close(moved[name], torch.cat([part[name] for part in alone]))
        torch.testing.assert_close(batch.act(field, g, batch[name]), moved[name])
        torch.testing.assert_close(batch.transform(h).transform(g)[name], batch.transform(g @ h)[name])
        torch.testing.assert_close(batch.transform(g[0])[name], batch.transform(g[:1].expand_as(g))[name])
        assert torch.equal(batch.repeat(2)[name], torch.cat([batch[name]] * 2))
    thrice = batch.repeat(3)
    assert thrice.num_samples == 9
    many = group.sample(9, generator=seeded(kind))
    for name, field in batch.fields.items():
        expected = torch.cat([batch.act(field, many[3 * k : 3 * k + 3], batch[name]) for k in range(3)])
        torch.testing.assert_close(thrice.transform(many)[name], expected)
    swapped = data.batch(torch.tensor([2, 0]))["label"]
    assert swapped.tolist() == data.subset(torch.tensor([2, 0])).tensors["label"].tolist() == [2, 0]


@pytest.mark.parametrize("kind", KINDS)
def test_values_of_a_batch_are_cast_and_replaced(kind: str) -> None:
    data, group = KINDS[kind]
    batch = data.batch(torch.arange(3)).to(dtype=torch.float32)
    g = group.sample(3, generator=seeded(0))
    moved = batch.transform(g)
    assert {t.dtype for t in moved.tensors.values()} == {torch.float32, torch.int64}
    field = Field(Scalar(), level="cloud")
    more = batch.with_tensor("more", torch.zeros(3), field)
    assert more.fields["more"] is field
    assert "more" not in batch.tensors
    assert batch.with_tensor("label", torch.ones(3))["label"].tolist() == [1, 1, 1]
    with pytest.raises(KeyError, match="not declared"):
        batch.with_tensor("other", torch.zeros(3))
    with pytest.raises(KeyError, match="no field 'other'"):
        batch["other"]
    with pytest.raises(ValueError, match="2 elements for 3"):
        batch.transform(g[:2])
    with pytest.raises(ValueError, match="need 3 rows"):
        batch.act(field, g, torch.zeros(2, 3))
    with pytest.raises(ValueError, match="at least 1"):
        batch.repeat(0)
    with pytest.raises(ValueError, match="at least one"):
        data.batch(torch.arange(0))
    with pytest.raises(IndexError, match=r"in \[0, 3\)"):
        data.batch(torch.tensor([3]))


def test_an_output_of_a_cloud_moves_at_its_level() -> None:
    batch = clouds((1, 2)).batch(torch.arange(2))
    turn = torch.diag(torch.tensor([-1.0, -1, 1, 1])).double()  # half a turn about z
    g = torch.stack([torch.eye(4).double(), turn])
    forces = torch.ones(3, 2, 3)  # two vectors for each point, float32
    moved = batch.act(Field(Vector()), g, forces)
    assert moved.dtype == torch.float32
    assert moved[:, 1].tolist() == [[1, 1, 1], [-1, -1, 1], [-1, -1, 1]]
    assert batch.act(Field(Vector(), level="cloud"), g, torch.ones(2, 3)).tolist() == [[1, 1, 1], [-1, -1, 1]]
    with pytest.raises(ValueError, match="at point level need 3 rows for 2 clouds"):
        batch.act(Field(Vector()), g, torch.ones(2, 3))
    angle = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    elements = torch.linalg.matrix_exp(angle[:, None, None] * SE(3).generators()[2])
    (slope,) = torch.autograd.grad(batch.act(Field(Vector()), elements, forces)[2, 0, 0], angle)
    assert slope.tolist() == [0, -1]  # d/da (cos a - sin a) at 0, for the second cloud only


def test_the_points_of_each_cloud_are_permuted_by_its_own_element() -> None:
    fields = {"pos": Field(Permutation(0)), "columns": Field(Permutation(-1)), "z": Field(Permutation(0))}
    tensors = {
        "pos": torch.arange(12.0).reshape(6, 2),
        "columns": torch.arange(18.0).reshape(6, 3),
        "z": torch.arange(6),
    }
    data = CloudDataset(tensors, fields, torch.tensor([3, 3]))
    cycle = torch.eye(3).double()[[1, 2, 0]]
    moved = data.batch(torch.arange(2)).transform(torch.stack([cycle, torch.eye(3).double()]))
    assert moved["pos"].tolist() == [[2, 3], [4, 5], [0, 1], [6, 7], [8, 9], [10, 11]]
    assert moved["z"].tolist() == [1, 2, 0, 3, 4, 5]
    assert moved["columns"][:, 0].tolist() == [1, 4, 7, 9, 12, 15]
    uneven = CloudDataset(tensors, fields, torch.tensor([2, 4])).batch(torch.arange(2))
    with pytest.raises(ValueError, match=r"2 entries .* use Permutations\(2\)"):
        uneven.transform(cycle)
    assert uneven.act(fields["columns"], cycle, tensors["columns"])[:, 0].tolist() == [1, 4, 7, 10, 13, 16]


def test_positions_of_whole_numbers_do_not_decide_the_dtype_of_elements() -> None:
    fields = {"pos": Field(Scalar()), "v": Field(Vector())}
    data = CloudDataset({"pos": torch.arange(4).reshape(2, 2), "v": torch.ones(2, 2)}, fields, torch.tensor([1, 1]))
    eighth = enumerated(cyclic(8))[1]
    moved = data.batch(torch.arange(2)).transform(eighth)
    torch.testing.assert_close(moved["v"], torch.tensor([[0.0, 2**0.5]] * 2))


def test_images_are_rows() -> None:
    fields = {"image": Field(Image(), level="cloud"), "chirality": Field(Pseudoscalar(), level="cloud")}
    data = RowDataset({"image": torch.arange(8.0).reshape(2, 1, 2, 2), "chirality": torch.tensor([1, -1])}, fields)
    mirror = torch.diag(torch.tensor([-1.0, 1, 1]))
    moved = data.batch(torch.arange(2)).transform(torch.stack([mirror, torch.eye(3)]))
    assert moved["image"].flatten(1).tolist() == [[1, 0, 3, 2], [4, 5, 6, 7]]
    assert moved["chirality"].tolist() == [-1, -1]


def test_rows_that_do_not_fit_are_refused() -> None:
    cloud = Field(Scalar(), level="cloud")
    with pytest.raises(ValueError, match=r"rows have no points: declare \['x'\]"):
        RowBatch({"x": torch.zeros(2)}, {"x": Field(Scalar())})
    with pytest.raises(ValueError, match="must agree"):
        RowDataset({"x": torch.zeros(2)}, {"y": cloud})
    with pytest.raises(ValueError, match="must agree"):
        RowBatch({}, {})
    with pytest.raises(ValueError, match="same number of rows"):
        RowDataset({"x": torch.zeros(2), "y": torch.zeros(3)}, {"x": cloud, "y": cloud})
    with pytest.raises(ValueError, match="rows have no points"):
        rows().batch(torch.arange(2)).act(Field(Scalar()), torch.eye(4), torch.zeros(2))


def test_an_error_of_a_transform_names_the_field() -> None:
    whole = RowDataset({"v": torch.ones(2, 3, dtype=torch.long)}, {"v": Field(Vector(), level="cloud")})
    with pytest.raises(ValueError, match=r"field 'v': Vector cannot move a field of torch\.int64"):
        whole.batch(torch.arange(2)).transform(SE(3).identity())
    with pytest.raises(ValueError, match=r"field 'pos': a field with shape \(2, 3\) cannot be moved"):
        clouds((2,)).batch(torch.arange(1)).transform(SE(2).identity())


def test_a_measured_function_may_write_into_its_rows() -> None:
    batch = rows(4).batch(torch.arange(4))
    before = batch["x"].clone()
    action = Action(Permutations(4), outputs=Field(Permutation(-1), level="cloud"))
    assert equivariance_error(lambda b: b["x"].mul_(2), batch, action, num_elements=3).max == 0
    assert torch.equal(batch["x"], before)


def test_measures_take_rows() -> None:
    batch = rows(6).batch(torch.arange(6))
    action = Action(Permutations(4), outputs=Field(Permutation(-1), level="cloud"))
    centered = equivariance_error(lambda b: b["x"] - b["x"].mean(dim=1, keepdim=True), batch, action)
    assert centered.max < 1e-14
    assert centered.per_pair.shape == (23, 6)
    weighted = equivariance_error(lambda b: b["x"] * torch.arange(4), batch, action)
    assert weighted.mean > 0.1
    tables = RowDataset({"x": batch["x"]}, {"x": Field(Intensity(), level="cloud")}).batch(torch.arange(6))
    flow = Action(brightness(), outputs=Field(Scalar(), level="cloud"))
    slope = lie_derivative(lambda b: b["x"].square().sum(dim=1), tables, flow)
    torch.testing.assert_close(slope.value[0], 2 * batch["x"].sum(dim=1))  # d/du sum (x + u)^2 at 0


def test_points_of_every_cloud_also_of_empty_ones() -> None:
    batch = CloudBatch({"pos": torch.zeros(4, 3)}, {"pos": Field(Position())}, torch.tensor([0, 2, 2, 2]), 4)
    assert batch.num_points.tolist() == [1, 0, 3, 0]
