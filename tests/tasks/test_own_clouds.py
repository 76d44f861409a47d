"""Which motions the labels of own clouds tolerate: the frame by hand, formats, the command line, what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from rapidash._seed import seeded
from rapidash.cli import main
from rapidash.datasets import DataError
from rapidash.groups import trivial
from rapidash.methods import Variant
from rapidash.models import TransformerConfig
from rapidash.predict import TrainedModel
from rapidash.study.designs.learn_symmetry import own_design
from rapidash.tasks import get_task
from rapidash.tasks.own_clouds import own_clouds_options

TINY = TransformerConfig(channels=8, num_layers=1, num_heads=2)
SHORT = ["--train.steps", "4", "--train.eval_every", "2", "--train.checkpoint_every", "4", "--quiet"]


def write_xyz(path: Path, num: int = 20, comment: str = "size={value} name=x") -> Path:
    rng = seeded("own clouds of a test")
    frames = []
    for index in range(num):
        points = torch.randn(3, 3, generator=rng).tolist()
        atoms = [f"{symbol} {x:.4f} {y:.4f} {z:.4f}" for symbol, (x, y, z) in zip("OHH", points)]
        frames += ["3", comment.format(value=index / 4), *atoms]
    path.write_text("\n".join(frames) + "\n", encoding="utf-8")
    return path


def write_folders(folder: Path, num: int, suffix: str = "off") -> Path:
    for name, height in (("flat", 0.1), ("tall", 2.0)):
        (folder / name).mkdir(parents=True)
        for index in range(num):
            corners = f"0 0 0\n1 0 0\n0 1 0\n0 0 {height + index / 100}"
            head = (
                "OFF\n4 4 0"
                if suffix == "off"
                else (
                    "ply\nformat ascii 1.0\nelement vertex 4\nproperty float x\nproperty float y\nproperty float z\n"
                    "element face 4\nproperty list uchar int vertex_indices\nend_header"
                )
            )
            text = f"{head}\n{corners}\n3 0 1 2\n3 0 1 3\n3 0 2 3\n3 1 2 3\n"
            (folder / name / f"{index}.{suffix}").write_text(text, encoding="utf-8")
    return folder


def test_positions_are_relative_to_the_mean_of_the_training_points(tmp_path: Path) -> None:
    pytest.importorskip("ase", reason="files of atoms are read by ASE")
    options, said = own_clouds_options([write_xyz(tmp_path / "a.xyz")], "size")
    assert any(line.startswith("split by seed: 14 for training, 3 for validation, 3 for the test") for line in said)
    task = get_task("own-clouds", **options)
    sets = {split: task.dataset(split) for split in ("train", "val", "test")}
    together = torch.cat([data.tensors["target"] for data in sets.values()]) + task.scales["mean"]
    assert sorted(together.tolist()) == pytest.approx([index / 4 for index in range(20)], abs=1e-6)  # each in one split
    pos = sets["train"].tensors["pos"]
    torch.testing.assert_close(pos.mean(dim=0), torch.zeros(3), atol=1e-6, rtol=0)
    torch.testing.assert_close(pos.square().sum(dim=1).mean().item(), 1.0)
    variant = Variant("a", TINY)
    assert task.ledger(variant).effective == trivial(3)
    batch = sets["test"].batch(torch.arange(3))
    network = task.build(variant)
    assert network._scalars(batch)[:3, 4:].tolist() == [[0.0, 1.0], [1.0, 0.0], [1.0, 0.0]]  # H, O in order
    errors = task.errors(torch.zeros_like(network(batch)), batch)
    torch.testing.assert_close(errors, batch["target"].abs())  # which are those about the mean of the training clouds
    assert (task.metric, task.unit) == ("mean absolute error of size", "unit of size")


def test_options_of_earlier_versions_are_told_from_the_files(tmp_path: Path) -> None:
    """A record of theirs has files, a target or None, and num_points: its network has the same weights."""
    pytest.importorskip("ase", reason="files of atoms are read by ASE")
    path = tmp_path / "a.npz"
    np.savez(path, pos=np.random.default_rng(0).normal(size=(21, 5, 2)), height=np.arange(21.0)[:, None] % 3)
    task = get_task("own-clouds", files=(str(path),), target="height", num_points=4)
    assert (task.kind, task.dim, task.elements) == ("number", 2, ())  # of whole numbers, too
    assert {len(points) for points in task.clouds().pos} == {4}
    shapes = get_task("own-clouds", files=[str(write_folders(tmp_path / "shapes", 5))], target=None, num_points=7)
    assert (shapes.kind, shapes.class_names, shapes.metric) == ("class", ("flat", "tall"), "error rate")
    atoms = get_task(
        "own-clouds", files=[str(write_xyz(tmp_path / "a.xyz", comment="energy={value}"))], target="energy"
    )
    assert (atoms.elements, atoms.is_extensive) == ((1, 8), False)
    batch = atoms.dataset("train").batch(torch.arange(2))
    network = atoms.build(Variant("a", TINY))
    assert network._scalars(batch).shape == (6, 1 + 3 + 2)  # a constant, the place, and one per element
    assert network.backbone.io.pool == "mean"


def test_clouds_of_the_plane_have_motions_of_the_plane(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, pos=np.random.default_rng(0).normal(size=(21, 5, 2)), height=np.arange(21.0) / 4)
    design, _ = own_design([str(path)], "height", full=False)
    assert design.variants[1].methods[0].group == "affine(2)"


@pytest.mark.parametrize("suffix", ["off", "ply"])
def test_folders_are_classes(tmp_path: Path, suffix: str) -> None:
    options, _ = own_clouds_options([write_folders(tmp_path / "shapes", 10, suffix)], None, num_points=7)
    task = get_task("own-clouds", **options)
    assert task.class_names == ("flat", "tall")
    assert task.dataset("val").tensors["pos"].shape == (2 * 7, 3)  # one of each, on their surfaces
    batch = task.dataset("test").batch(torch.arange(2))
    assert task.build(Variant("a", TINY))(batch).shape == (2, 2)
    right = torch.nn.functional.one_hot(batch["target"], 2).float()
    assert task.errors(right, batch).tolist() == [0.0, 0.0]


def test_tables_molecules_and_names_of_other_codes(tmp_path: Path) -> None:
    """The reader is that of `own-data`: REF_energy is found, text is a class, and a column tells clouds apart."""
    pytest.importorskip("ase", reason="files of atoms are read by ASE")
    atoms = write_xyz(tmp_path / "a.xyz", comment="Properties=species:S:1:pos:R:3 REF_energy={value} kind=k")
    options, said = own_clouds_options([atoms], "energy")
    assert (options["target"], options["is_extensive"], options["target_unit"]) == ("REF_energy", True, "eV")
    assert any("offsets per element" in line for line in said)
    rows = [
        f"c{cloud},{x},{x * x},{cloud % 3},{'ab'[cloud % 2]}" for cloud in range(20) for x in range(cloud, cloud + 4)
    ]
    table = tmp_path / "t.csv"
    table.write_text("\n".join(["scan,x,y,z,kind of thing", *rows]) + "\n", encoding="utf-8")
    options, _ = own_clouds_options([table], "kind of thing", column="scan")
    assert (options["kind"], options["class_names"]) == ("class", ["a", "b"])


def test_bad_files_are_named(tmp_path: Path) -> None:
    pytest.importorskip("ase", reason="files of atoms are read by ASE")
    few, good = write_xyz(tmp_path / "few.xyz", 5), write_xyz(tmp_path / "good.xyz")
    vectors = write_xyz(tmp_path / "v.xyz", comment='dipole="{value} 1 2"')
    columns = "Properties=species:S:1:pos:R:3"
    cell = write_xyz(tmp_path / "c.xyz", comment=f'Lattice="4 0 0 0 4 0 0 0 4" {columns} size={{value}}')
    for files, target, message in (
        ([few], "size", "at least 10 clouds, to learn, to choose and to test, got 5"),
        ([good], "gap", "no cloud has 'gap': the files have size, name"),
        ([good], None, "a folder with a folder of files for each of at least 2 classes"),
        ([vectors], "dipole", "asked of a number or class of each cloud; target 'dipole' is a vector of each cloud"),
        ([cell], "size", "these repeat along a cell"),
    ):
        with pytest.raises(DataError, match=message):
            own_clouds_options(files, target)
    with pytest.raises(FileNotFoundError, match=r"no\.xyz"):
        get_task("own-clouds", files=(str(tmp_path / "no.xyz"),), target="size")
    with pytest.raises(ValueError, match="files: expected"):
        get_task("own-clouds")


def test_the_command_takes_files_and_a_target(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("ase", reason="files of atoms are read by ASE")
    path, out = write_xyz(tmp_path / "a.xyz"), tmp_path / "out"
    words = ["study", "learn-symmetry", str(path), "--target", "size", "--out", str(out), "--unit", "mm"]
    assert main([*words, "--seeds", "2", "--workers", "1", *SHORT]) == 0
    shown = capsys.readouterr()
    assert "target: size, a number of each cloud (one number), in mm" in shown.err
    assert "What the labels tolerate" in shown.out
    assert "rotation about z" in shown.out
    assert "cannot tell" in shown.out
    assert (out / "report.html").is_file()
    records = [json.loads(path.read_text()) for path in (out / "records").glob("*.json")]
    learned = [record for record in records if record["config"]["variant"]["methods"]]
    assert len(learned) == 4
    for record in learned:
        reason = record["symmetry"]["reasons"][-1]
        assert reason.startswith("the half-widths of the chosen weights: rotation about x 0.")
    plain = next(record for record in records if not record["config"]["variant"]["methods"])
    path.rename(tmp_path / "b.xyz")  # a saved model needs no file of the training
    made = TrainedModel.from_pretrained(out / "work" / plain["key"]).predict_files(tmp_path / "b.xyz")
    assert made["size"].shape == (20,)
    first = [float(word) for word in (tmp_path / "b.xyz").read_text().splitlines()[2].split()[1:]]
    assert made.clouds.tensors["pos"][0].tolist() == pytest.approx(first)  # the file's, not those of the network
    assert main(["study", "learn-symmetry", "--target", "size"]) == 2
    assert "--target size needs files" in capsys.readouterr().err
    assert main(["study", "learn-symmetry", str(tmp_path / "b.xyz"), "--target"]) == 2
    assert "expected the name of a target" in capsys.readouterr().err
    assert main(["study", str(tmp_path / "b.xyz"), "--target", "size", "--learn-symmetry", "--methods", "ace"]) == 2
    assert "--methods does not go with --learn-symmetry" in capsys.readouterr().err
