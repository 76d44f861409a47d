"""Clouds from own files: targets by hand, folders of classes, units, the command line, and what is refused."""

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
from rapidash.study.designs.learn_symmetry import own_design
from rapidash.tasks import get_task

TINY = TransformerConfig(channels=8, num_layers=1, num_heads=2)


def write_xyz(path: Path, num: int = 20, comment: str = "energy={value} name=x") -> Path:
    rng = seeded("own clouds of a test")
    frames = []
    for index in range(num):
        points = torch.randn(3, 3, generator=rng).tolist()
        atoms = [f"{symbol} {x:.4f} {y:.4f} {z:.4f}" for symbol, (x, y, z) in zip("OHH", points)]
        frames += ["3", comment.format(value=index / 4), *atoms]
    path.write_text("\n".join(frames) + "\n", encoding="utf-8")
    return path


def test_targets_of_xyz_comments_and_elements(tmp_path: Path) -> None:
    task = get_task("own-clouds", files=(str(write_xyz(tmp_path / "a.xyz")),), target="energy")
    assert task.clouds().target.tolist() == [index / 4 for index in range(20)]
    sets = {split: task.dataset(split) for split in ("train", "val", "test")}
    assert [len(data) for data in sets.values()] == [14, 3, 3]
    together = torch.cat([data.tensors["target"] for data in sets.values()])
    assert sorted(together.tolist()) == [index / 4 for index in range(20)]  # each cloud in one split
    pos = sets["train"].tensors["pos"]
    torch.testing.assert_close(pos.mean(dim=0), torch.zeros(3), atol=1e-6, rtol=0)
    torch.testing.assert_close(pos.square().sum(dim=1).mean().item(), 1.0)
    assert sets["val"].tensors["element"][:3].tolist() == [[0.0, 1.0], [1.0, 0.0], [1.0, 0.0]]  # H, O in order
    variant = Variant("a", TINY)
    assert task.ledger(variant).effective == trivial(3)
    batch = sets["test"].batch(torch.arange(3))
    prediction = task.build(variant)(batch)
    errors = task.errors(torch.zeros_like(prediction), batch)
    train = sets["train"].tensors["target"].double()
    torch.testing.assert_close(errors.double(), (train.mean() - batch["target"].double()).abs())
    assert task.unit == "unit of the target"


def test_targets_of_npz_arrays_and_clouds_of_the_plane(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, pos=np.random.default_rng(0).normal(size=(21, 5, 2)), height=np.arange(21.0)[:, None])
    task = get_task("own-clouds", files=(str(path),), target="height", num_points=4)
    assert (task.dim, task.clouds().elements) == (2, None)
    assert task.clouds().target.tolist() == list(range(21))
    assert {len(points) for points in task.clouds().pos} == {4}
    assert own_design([str(path)], "height", full=False).variants[1].methods[0].group == "affine(2)"


def test_folders_are_classes(tmp_path: Path) -> None:
    write_folders(tmp_path / "shapes", 10)
    task = get_task("own-clouds", files=(str(tmp_path / "shapes"),), num_points=7)
    assert task.clouds().class_names == ("flat", "tall")
    assert task.clouds().target.tolist() == [0] * 10 + [1] * 10
    assert task.dataset("val").tensors["pos"].shape == (3 * 7, 3)  # on the surface of the meshes
    batch = task.dataset("test").batch(torch.arange(3))
    prediction = task.build(Variant("a", TINY))(batch)
    assert prediction.shape == (3, 2)
    right = torch.nn.functional.one_hot(batch["target"], 2).float()
    assert task.errors(right, batch).tolist() == [0.0, 0.0, 0.0]
    assert (task.metric, task.unit) == ("error rate", "%")


def write_folders(folder: Path, num: int) -> None:
    for name, height in (("flat", 0.1), ("tall", 2.0)):
        (folder / name).mkdir(parents=True)
        for index in range(num):
            corners = f"0 0 0\n1 0 0\n0 1 0\n0 0 {height + index / 100}"
            text = f"OFF\n4 4 0\n{corners}\n3 0 1 2\n3 0 1 3\n3 0 2 3\n3 1 2 3\n"
            (folder / name / f"{index}.off").write_text(text, encoding="utf-8")


def test_bad_files_are_named(tmp_path: Path) -> None:
    few, good = write_xyz(tmp_path / "few.xyz", 5), write_xyz(tmp_path / "good.xyz")
    np.savez(tmp_path / "a.npz", pos=np.zeros((20, 3, 2)), wrong=np.zeros(3))
    write_folders(tmp_path / "shapes", 1)
    (tmp_path / "one" / "alone").mkdir(parents=True)
    word = write_xyz(tmp_path / "word.xyz", comment="energy=low")
    for files, target, message in (
        ([few], "energy", "at least 20 clouds, to learn and to test, got 5"),
        ([good], "gap", r"frame 0: its comment has no target 'gap', it has \['energy', 'name'\]"),
        ([word], "energy", "frame 0: target 'energy': expected a finite number, got 'low'"),
        ([tmp_path / "a.npz"], "height", "unknown target 'height'"),
        ([tmp_path / "a.npz"], "wrong", r"expected 20 numbers, got \(3,\)"),
        ([good, tmp_path / "a.npz"], "energy", "unknown target 'energy'"),
        ([good], None, "one folder with a folder of clouds for each class"),
        ([tmp_path / "one"], None, "at least 2 classes, got 1"),
        ([tmp_path / "shapes" / "flat" / "0.off"], "energy", r"from xyz and npz files, got a \.off file"),
    ):
        with pytest.raises(DataError, match=message):
            get_task("own-clouds", files=tuple(map(str, files)), target=target)
    with pytest.raises(FileNotFoundError, match=r"no\.xyz"):
        get_task("own-clouds", files=(str(tmp_path / "no.xyz"),), target="energy")
    with pytest.raises(ValueError, match="files: expected"):
        get_task("own-clouds")


def test_the_command_takes_files_and_a_target(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_xyz(tmp_path / "a.xyz")
    small = ["--train.steps", "4", "--train.eval_every", "2", "--train.checkpoint_every", "4", "--seeds", "2"]
    words = ["study", "learn-symmetry", str(path), "--target", "energy", "--out", str(tmp_path / "out"), "--quiet"]
    assert main([*words, "--workers", "1", *small]) == 0
    out = capsys.readouterr().out
    assert "What the labels tolerate" in out
    assert "rotation about z" in out
    assert "cannot tell" in out
    assert (tmp_path / "out" / "report.html").is_file()
    records = [json.loads(path.read_text()) for path in (tmp_path / "out" / "records").glob("*.json")]
    learned = [record["symmetry"]["reasons"][-1] for record in records if record["config"]["variant"]["methods"]]
    assert len(learned) == 4
    assert all(reason.startswith("the half-widths of the chosen weights: rotation about x 0.") for reason in learned)
    assert main(["study", "learn-symmetry", "--target", "energy"]) == 2
    assert "--target energy needs files" in capsys.readouterr().err
    assert main(["study", "learn-symmetry", str(path), "--target"]) == 2
    assert "expected the name of a target" in capsys.readouterr().err
