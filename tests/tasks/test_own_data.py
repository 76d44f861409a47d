"""A user's own files: kinds, values by hand, splits, leaks, bad input, and the command line."""

from pathlib import Path

import numpy as np
import pytest
import torch

from rapidash.cli import main
from rapidash.datasets import DataError, read_valued_clouds
from rapidash.methods import Variant
from rapidash.models import RapidashConfig
from rapidash.study.designs.own_data import own_data_design
from rapidash.study.measures.split_distance import distances
from rapidash.tasks import get_task, own_data_options
from rapidash.tasks._own_columns import fitted_offsets
from rapidash.tasks._own_kinds import full_tensors, tell_kind
from rapidash.tasks._own_splits import by_files, by_group, by_seed, in_time

SMALL = ["--train.steps", "2", "--train.eval_every", "2", "--train.checkpoint_every", "2", "--quiet"]


def write_xyz(path: Path, num: int = 12, *, lattice: str = "", extra: str = "", symbol: str = "O") -> Path:
    rng = np.random.default_rng(0)
    lines: list[str] = []
    for index in range(num):
        head = f"{lattice} Properties=species:S:1:pos:R:3:MACE_forces:R:3 REF_energy={index / 7} run={index // 4}"
        lines += ["3", f"{head} {extra.format(i=index)}".strip()]
        for name, row in zip((symbol, "H", "H"), rng.normal(size=(3, 6))):
            lines.append(f"{name} " + " ".join(f"{number:.4f}" for number in row))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def write_table(path: Path, num: int = 12) -> Path:
    rng = np.random.default_rng(1)
    rows = ["cloud,x,y,z,size (mm)"]
    for index in range(num):
        rows += [f"c{index},{x:.3f},{y:.3f},{z:.3f},{index / 7:.4f}" for x, y, z in rng.normal(size=(5, 3))]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def test_kinds_are_told_from_values() -> None:
    whole, six = np.arange(12), np.arange(12.0).reshape(2, 6)
    assert tell_kind("a", np.array(["u", "v"] * 3), 3).class_names == ("u", "v")
    assert tell_kind("a", whole % 2, 3).kind == "class"
    assert tell_kind("a", whole % 2, 3, "number").kind == "number"
    assert tell_kind("a", whole, 3).kind == "number"
    assert tell_kind("a", np.zeros((4, 3)), 3).kind == "vector"
    assert tell_kind("a", np.eye(3)[None].repeat(2, 0), 3).kind == "tensor"
    assert tell_kind("stress", six, 3).kind == "tensor"
    assert full_tensors(six[:1], 3).tolist() == [[[0.0, 5.0, 4.0], [5.0, 1.0, 3.0], [4.0, 3.0, 2.0]]]
    with pytest.raises(DataError, match="cannot be a vector"):
        tell_kind("a", whole, 3, "vector")
    with pytest.raises(DataError, match="of no kind that can be learned"):
        tell_kind("a", np.arange(9.0)[None].repeat(2, 0), 3)  # not symmetric


def test_offsets_by_hand() -> None:
    """Two H and an O cost 5, one H costs 1: an O costs 3."""
    assert fitted_offsets(torch.tensor([[2.0, 1.0], [1.0, 0.0]]), torch.tensor([5.0, 1.0])) == pytest.approx([1.0, 3.0])


def test_splits() -> None:
    part = by_seed(torch.tensor([0] * 20 + [1] * 3), 0)
    assert torch.bincount(part[:20]).tolist() == [14, 3, 3]
    assert sorted(part[20:].tolist()) == [0, 1, 2]
    groups = by_group([f"g{index // 4}" for index in range(20)], 0, "group:g")
    assert all(len(set(groups[4 * index : 4 * index + 4].tolist())) == 1 for index in range(5))
    assert set(groups.tolist()) == {0, 1, 2}
    assert in_time(torch.zeros(20, dtype=torch.long)).tolist() == [0] * 14 + [-1] + [1] * 2 + [-1] + [2] * 2
    named = by_files(torch.tensor([0] * 10 + [1] * 2), ["/a/train.xyz", "/a/my_test.xyz"], 0)
    assert named[10:].tolist() == [2, 2]
    assert sorted(set(named[:10].tolist())) == [0, 1]
    with pytest.raises(DataError, match="it has 1 value"):
        by_group(["a"] * 9, 0, "group:mol")


@pytest.mark.parametrize("order", ["trajectory", "trajectory in time", "independent"])
def test_random_frames_of_a_trajectory_leak_and_others_do_not(order: str) -> None:
    generator = torch.Generator().manual_seed(0)
    steps = torch.randn(400, 8, generator=generator, dtype=torch.float64)
    place = steps if order == "independent" else steps.cumsum(0)
    is_test = torch.zeros(400, dtype=torch.bool)
    is_test[340:] = True
    if order != "trajectory in time":
        is_test = is_test[torch.randperm(400, generator=generator)]
    stretch, label = torch.arange(400) // 20, torch.zeros(400, dtype=torch.long)
    parts = [(place[chosen], stretch[chosen], label[chosen]) for chosen in (~is_test, is_test)]
    found = distances(*parts)
    assert found.across is not None
    assert found.within is not None
    assert (found.across / found.within < 0.5) == (order == "trajectory")


def test_energies_and_forces_of_a_file_of_another_code(tmp_path: Path) -> None:
    pytest.importorskip("ase", reason="files of atoms are read by ASE")
    options, said = own_data_options([write_xyz(tmp_path / "a.xyz")], "energy,forces")
    assert (options["target"], options["forces"], options["kind"]) == ("REF_energy", "MACE_forces", "forces")
    assert (options["target_unit"], options["force_unit"]) == ("eV", "eV/angstrom")
    assert any("offsets per element" in line for line in said)
    task = get_task("own-data", **options)
    small = RapidashConfig(
        grid="platonic", num_orientations=6, channels=4, num_layers=1, basis_dim=4, basis_hidden_dim=4
    )
    torch.manual_seed(0)
    model = task.build(Variant("a", small)).double()
    batch = task.dataset("train").batch(torch.arange(2)).to(dtype=torch.float64)
    out, step = model(batch), 1e-5
    moved = batch.pos.clone()
    moved[0, 1] += step
    slope = (model(batch.with_tensor("pos", moved))[:, 0].sum() - out[:, 0].sum()) / step
    assert float(-slope.detach()) == pytest.approx(float(out[0, 2].detach()), rel=1e-2, abs=1e-7)


def test_errors_of_a_constant_by_hand(tmp_path: Path) -> None:
    """The mean of the training numbers, the zero vector, and the commonest class."""
    rng, path = np.random.default_rng(0), tmp_path / "a.npz"
    number, vector = rng.normal(size=20), rng.normal(size=(20, 3))
    label = np.array(["a"] * 13 + ["b"] * 7)
    shade = rng.normal(size=(20, 4))
    np.savez(path, pos=rng.normal(size=(20, 4, 3)), number=number, vector=vector, kind=label, shade=shade)
    parts: dict[str, np.ndarray] = {}
    found: dict[str, list[float]] = {}
    for name in ("number", "vector", "kind", "shade"):
        task = get_task("own-data", **own_data_options([path], name)[0])
        parts[name] = task.parts().numpy()
        found[name] = task.constant_errors("test").tolist()
    train, test = (parts["number"] == part for part in (0, 2))
    assert found["number"] == pytest.approx(np.abs(number[test] - number[train].mean()), rel=1e-5)
    assert found["vector"] == pytest.approx(np.linalg.norm(vector[parts["vector"] == 2], axis=1), rel=1e-5)
    assert found["kind"] == [100.0 * (word != "a") for word in label[parts["kind"] == 2]]
    mean = shade[parts["shade"] == 0].mean()
    assert found["shade"] == pytest.approx(np.abs(shade[parts["shade"] == 2] - mean).mean(axis=1), rel=1e-5)


def test_cells_are_read_and_cross_the_boundary(tmp_path: Path) -> None:
    pytest.importorskip("ase", reason="files of atoms are read by ASE")
    path = write_xyz(tmp_path / "a.xyz", lattice='Lattice="4 0 0 0 4 0 1 0 4"')
    options, _ = own_data_options([path], "energy")
    assert options["is_periodic"]
    assert options["length"] == pytest.approx((64 / 3) ** (1 / 3), rel=1e-3)
    task = get_task("own-data", **options)
    model = task.build(own_data_design(options, num_points=3).variants[0])
    batch = task.dataset("train").batch(torch.arange(2))
    cells = batch["cell"]
    assert cells[0].tolist() == [[4.0, 0.0, 0.0], [0.0, 4.0, 0.0], [1.0, 0.0, 4.0]]
    shifted = batch.pos.clone()
    shifted[0] += cells[0, 2]
    torch.testing.assert_close(model(batch.with_tensor("pos", shifted)), model(batch), rtol=1e-4, atol=1e-5)


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    pytest.importorskip("ase", reason="files of atoms are read by ASE")
    good, table = write_xyz(tmp_path / "good.xyz"), write_table(tmp_path / "t.csv")
    flat = write_xyz(tmp_path / "flat.xyz", lattice='Lattice="4 0 0 0 4 0 4 0 0"')
    nameless = write_xyz(tmp_path / "x.xyz", symbol="X")
    gaps = write_xyz(tmp_path / "gaps.xyz", extra="size=1.{i}")
    gaps.write_text(gaps.read_text().replace("size=1.3", ""))
    same = write_xyz(tmp_path / "same.xyz", extra="size=2.5")
    rare = write_xyz(tmp_path / "rare.xyz", extra="kind=k{i}")
    np.savez(tmp_path / "short.npz", pos=np.ones((12, 5, 3)), y=np.ones(11))
    np.savez(tmp_path / "holes.npz", pos=np.ones((12, 5, 3)), y=np.full(12, np.nan))
    short, holes = tmp_path / "short.npz", tmp_path / "holes.npz"
    for files, target, message, more in (
        ([good], "gap", "no cloud has 'gap': the files have REF_energy, run, MACE_forces", {}),
        ([short], "y", r"'y' has shape \(11,\), expected \(12, 5\) first, .* or 12 rows, one for every cloud", {}),
        ([holes], "y", "^no cloud has 'y': the files have y; 'y' is empty or not finite$", {}),
        ([good, table], "energy", "REF_energy|mixed kinds", {}),
        ([flat], "energy", "its cell has no volume", {}),
        ([nameless], "energy", "atom 0 has no name", {}),
        ([gaps], "size", "missing in 1 of 12 clouds", {}),
        ([same], "size", "is the same everywhere", {}),
        ([rare], "kind", "fewer than 3 clouds", {}),
        ([good], "energy", "group:MISSING|MISSING", {"split": "group:MISSING"}),
        ([write_xyz(tmp_path / "few.xyz", 4)], "energy", "at least 10 clouds", {}),
    ):
        with pytest.raises(DataError, match=message):
            own_data_options(files, target, **more)
    options, said = own_data_options([gaps], "size", on_error="skip")
    assert len(get_task("own-data", **options).clouds().pos) == 11
    assert said[-1].startswith("left out: 1 clouds")
    good.write_text(good.read_text() + "\n")
    with pytest.raises(DataError, match="the files have changed"):
        get_task("own-data", **{**options, "files": [str(good)]}).clouds()


def test_memory_is_bounded_by_the_number_of_clouds(tmp_path: Path) -> None:
    options, said = own_data_options([write_table(tmp_path / "t.csv", 100)], "size", max_clouds=30)
    targets = get_task("own-data", **options).clouds().targets[0]
    assert [float(value) for value in targets] == pytest.approx([4 * index / 7 for index in range(25)], abs=1e-3)
    assert "of 100" in said[0]


def test_formats(tmp_path: Path) -> None:
    (tmp_path / "p.xyz").write_text("0 0 0\n1 2 3\n")
    head = "VERSION .7\nFIELDS x y z label\nSIZE 4 4 4 4\nTYPE F F F U\nCOUNT 1 1 1 1\nWIDTH 2\nHEIGHT 1\nPOINTS 2\n"
    (tmp_path / "p.pcd").write_text(f"{head}DATA ascii\n0 0 0 1\n1 2 3 4\n")
    table = np.array([(0, 0, 0, 1), (1, 2, 3, 4)], dtype="<f4,<f4,<f4,<u4").tobytes()
    (tmp_path / "q.pcd").write_bytes(f"{head}DATA binary\n".encode() + table)
    for name in ("p.xyz", "p.pcd", "q.pcd"):
        ((_, cloud),) = read_valued_clouds(tmp_path / name)
        assert cloud.arrays["pos"].tolist() == [[0.0, 0.0, 0.0], [1.0, 2.0, 3.0]], name
    assert cloud.arrays["label"].tolist() == [1, 4]
    trimesh = pytest.importorskip("trimesh", reason="obj and stl are read by trimesh")
    for suffix in ("stl", "obj"):
        trimesh.creation.box().export(tmp_path / f"b.{suffix}")
        ((_, mesh),) = read_valued_clouds(tmp_path / f"b.{suffix}")
        assert mesh.triangles.shape == (12, 3)


def test_parquet_is_as_csv(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="parquet is read by pyarrow")
    from pyarrow import csv, parquet

    path = write_table(tmp_path / "t.csv")
    parquet.write_table(csv.read_csv(path), tmp_path / "t.parquet")
    for (_, one), (_, other) in zip(read_valued_clouds(path), read_valued_clouds(tmp_path / "t.parquet"), strict=True):
        assert np.array_equal(one.arrays["pos"], other.arrays["pos"])
        assert one.values["size"] == other.values["size"]


def test_a_table_gives_a_model_and_predictions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = write_table(tmp_path / "t.csv"), tmp_path / "out"
    assert main(["train", str(path), "--target", "size", "--out", str(out), *SMALL]) == 0
    shown = capsys.readouterr()
    assert "target: size, a number of each cloud (one number), in mm" in shown.err
    (model,) = (out / "work").iterdir()
    assert main(["predict", str(model), str(path), "--out", str(tmp_path / "p.csv"), "--quiet"]) == 0
    assert (tmp_path / "p.csv").read_text().startswith("entry,size (mm)\n")
    assert main(["train", "--target", "size"]) == 2
    assert "needs files" in capsys.readouterr().err


@pytest.mark.parametrize(("given", "error"), [("%", "percentage points"), ("mm", "mm"), ("", "unit of size")])
def test_an_error_of_per_cents_is_in_percentage_points(tmp_path: Path, given: str, error: str) -> None:
    options, _ = own_data_options([write_table(tmp_path / "a.csv")], "size (mm)", column="cloud", unit=given)
    assert get_task("own-data", **options).unit == error


def test_units_that_no_file_says_are_told(tmp_path: Path) -> None:
    pytest.importorskip("ase", reason="files of atoms are read by ASE")
    path = write_xyz(tmp_path / "a.xyz")
    told = "no unit stands in the files: REF_energy is taken for eV and MACE_forces for eV/angstrom, as ASE has them"
    options, said = own_data_options([path], "energy,forces")
    assert [line for line in said if line.startswith("no unit")] == [f"{told}; --unit says another"]
    options, said = own_data_options([path], "energy,forces", unit="kcal/mol")
    assert (options["target_unit"], options["force_unit"]) == ("kcal/mol", "kcal/mol/angstrom")
    assert not any(line.startswith("no unit") for line in said)
    _, said = own_data_options([write_table(tmp_path / "b.csv")], "size", column="cloud")
    assert not any(line.startswith("no unit") for line in said)
