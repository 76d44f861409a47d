"""Own files without Python: every command of the page "Use it on your data", every method, and what measure says."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch

from rapidash._seed import seeded
from rapidash.cli import main
from rapidash.datasets import FileCloud, read_valued_clouds
from rapidash.groups import SO
from rapidash.predict import TrainedModel
from rapidash.report import measure_data
from rapidash.study.designs.own_data import METHODS_OF_OWN_DATA, own_data_design
from rapidash.tasks import get_task, own_data_options

PAGE = Path(__file__).resolve().parents[1] / "docs" / "your_data.rst"
TINY = ["--train.steps", "1", "--train.eval_every", "1", "--train.checkpoint_every", "1", "--quiet"]
TINY_STUDY = [*TINY, "--seeds", "1", "--workers", "1"]


def commands_of_the_page() -> list[list[str]]:
    """The words of each command of the first block of the shell."""
    block = re.search(r"\.\. code-block:: bash\n\n((?:    .*\n)+)", PAGE.read_text(encoding="utf-8"))
    assert block is not None
    lines = [shlex.split(line, comments=True) for line in block[1].splitlines()]
    assert all(line[0] == "rapidash" for line in lines)
    return [line[1:] for line in lines]


def write_files(folder: Path) -> None:
    """The files that the commands name."""
    rng = np.random.default_rng(0)
    frames = []
    for index in range(12):
        frames += ["3", f"Properties=species:S:1:pos:R:3 REF_energy={index / 7:.5f} config_type=md"]
        frames += [
            f"{symbol} " + " ".join(f"{x:.4f}" for x in row) for symbol, row in zip("OHH", rng.normal(size=(3, 3)))
        ]
    (folder / "my.xyz").write_text("\n".join(frames) + "\n", encoding="utf-8")
    (folder / "new.xyz").write_text("\n".join(frames[:10]) + "\n", encoding="utf-8")
    rows = [f"s{cloud},{x},{y},{z},{'ab'[cloud % 2]}" for cloud in range(12) for x, y, z in rng.normal(size=(4, 3))]
    (folder / "points.csv").write_text("\n".join(["scan,x,y,z,label", *rows]) + "\n", encoding="utf-8")
    for name in ("flat", "tall"):
        (folder / "shapes" / name).mkdir(parents=True)
        for index in range(5):
            corners = "\n".join(" ".join(f"{x:.3f}" for x in row) for row in rng.normal(size=(4, 3)))
            text = f"OFF\n4 4 0\n{corners}\n3 0 1 2\n3 0 1 3\n3 0 2 3\n3 1 2 3\n"
            (folder / "shapes" / name / f"{index}.off").write_text(text, encoding="utf-8")


def test_every_command_of_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("ase", reason="files of atoms are read by ASE")
    write_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    more = {"study": [*TINY_STUDY, "--variants"], "train": TINY, "predict": ["--quiet"]}
    said: dict[str, str] = {}
    for words in commands_of_the_page():
        fewer = ["--steps", "5", "--turns", "2"] if words[0] == "measure" and words[1] == "my.xyz" else []
        fewer += ["--clouds", "2", "--num_elements", "2"] if words == ["measure", "runs/mine"] else []
        if words[0] == "study":
            fewer = ["no move"] if "--learn-symmetry" in words else ["E(3) on R3xS2"]
            fewer += ["E(3) on R3xS2 + ace", "T(3) on R3 + frames"] if "--methods" in words else []
        assert main([*words, *more.get(words[0], []), *fewer]) == 0, words
        shown = capsys.readouterr()
        said[" ".join(words)] = shown.out + shown.err
    assert {words.split()[0] for words in said} == {"measure", "study", "train", "predict"}
    reports = sorted(str(path.parent) for path in Path("runs").glob("*/report.html"))
    assert reports == [
        "runs/learn-symmetry-my-energy",
        "runs/own-my-energy",
        "runs/own-points-label",
        "runs/own-shapes",
    ]
    variants = {
        json.loads(path.read_text())["config"]["variant"]["name"]
        for path in Path("runs/own-my-energy/records").glob("*.json")
    }
    assert variants == {"E(3) on R3xS2", "E(3) on R3xS2 + ace", "T(3) on R3 + frames"}
    assert (
        "target: label, a class of each cloud (2 classes, a, b" in said["study points.csv --cloud scan --target label"]
    )
    page = Path("runs/own-my-energy/report.html").read_text(encoding="utf-8")
    assert "<h1>Which symmetry does REF_energy of my.xyz want?</h1>" in page
    assert "not comparable with published" not in page
    assert "Which symmetry does the class of shapes want?" in Path("runs/own-shapes/report.html").read_text()
    import ase.io

    made = ase.io.read("new.predictions.xyz", index=":")
    assert len(made) == 2
    assert "REF_energy" in made[0].info
    assert list(Path("runs/mine/work").glob("*/measure.html"))


@pytest.mark.slow
def test_every_method_that_is_offered_trains(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_files(tmp_path)
    path, names = str(tmp_path / "points.csv"), ",".join(METHODS_OF_OWN_DATA)
    options, _ = own_data_options([path], "label", column="scan")
    design = own_data_design(options, num_points=4, methods=METHODS_OF_OWN_DATA)
    wanted = [variant.name for variant in design.variants if variant.name.rpartition(" + ")[2] in METHODS_OF_OWN_DATA]
    assert len(wanted) == len(METHODS_OF_OWN_DATA) == 12
    words = ["study", path, "--target", "label", "--cloud", "scan", "--out", str(tmp_path / "out"), *TINY_STUDY]
    assert main([*words, "--methods", names, "--variants", *wanted]) == 0
    records = [json.loads(record.read_text()) for record in (tmp_path / "out" / "records").glob("*.json")]
    assert sorted(record["config"]["variant"]["name"] for record in records) == sorted(wanted)
    assert {record["status"] for record in records} == {"done"}
    assert main([*words, "--methods", "ace,frame"]) == 1
    said = capsys.readouterr().err
    assert "method: 'frame', did you mean 'frames'?" in said or "unknown method: 'frame'" in said
    assert "probabilistic" in said


def test_predictions_have_the_labels_of_the_files_and_take_folders(tmp_path: Path) -> None:
    """Labels 0, 2 and 5 of points are written as such, in files that own data can be read from again."""
    rng, words = np.random.default_rng(0), ["train", str(tmp_path / "scans"), "--target", "class"]
    (tmp_path / "scans").mkdir()
    head = "ply\nformat ascii 1.0\nelement vertex 6\n" + "".join(f"property float {axis}\n" for axis in "xyz")
    for index in range(4):
        rows = "\n".join(
            " ".join(f"{x:.4f}" for x in row) + f" {label}"
            for row, label in zip(rng.normal(size=(6, 3)), (0, 2, 5) * 2)
        )
        (tmp_path / "scans" / f"{index}.ply").write_text(f"{head}property int class\nend_header\n{rows}\n")
    assert main([*words, "--out", str(tmp_path / "out"), *TINY]) == 0
    made = TrainedModel.from_pretrained(tmp_path / "out").predict_files(tmp_path / "scans")
    assert [Path(name).name for name in made.names] == [f"{index}.ply" for index in range(4)]
    one = TrainedModel.from_pretrained(tmp_path / "out").predict_files(tmp_path / "scans" / "1.ply")
    ((_, found),) = read_valued_clouds(one.write(tmp_path / "again.ply"))
    assert isinstance(found, FileCloud)
    assert found.arrays["class"].reshape(-1).tolist() == [(0, 2, 5)[number] for number in one["class"].tolist()]
    _, given = next(read_valued_clouds(tmp_path / "scans" / "1.ply"))
    assert isinstance(given, FileCloud)
    np.testing.assert_allclose(found.arrays["pos"], given.arrays["pos"])


@pytest.mark.parametrize("is_posed", [True, False], ids=["a pose that tells", "random poses"])
def test_measure_says_whether_the_pose_tells(tmp_path: Path, is_posed: bool) -> None:
    """Hooks with their long arm along x are of one class and along y of the other; turned at random, they are alike."""
    rng, num = seeded("hooks"), 240
    label = torch.arange(num) % 2
    hooks = 0.05 * torch.randn(num, 12, 3, generator=rng)
    hooks[torch.arange(num), :8, label] += torch.linspace(0, 2, 8)
    hooks[:, 8:, 2] += torch.linspace(0.2, 0.8, 4)
    turned = torch.einsum("bij,bnj->bni", SO(3).sample(num, generator=rng)[:, :3, :3].float(), hooks)
    path = tmp_path / "hooks.npz"
    np.savez(path, pos=(hooks if is_posed else turned).numpy() + 5, label=label.numpy())
    options, _ = own_data_options([path], "label")
    found = measure_data(get_task("own-data", **options), steps=150, num_turns=5)
    pose, tells, leak = found.sentences
    assert pose.startswith("The clouds are stored in a preferred pose" if is_posed else "No sign of a preferred pose")
    assert tells.startswith("The pose tells about label" if is_posed else "No sign that the pose tells about label")
    assert leak == "Split by seed: no sign of a leak."
    assert [table.rows[0].get("test") for table in found.tables[:2]] == [84, 84]  # half of 70 % of 240


def test_measure_takes_norms_of_vectors_and_says_what_it_cannot(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, rng = tmp_path / "a.npz", np.random.default_rng(0)
    vectors = rng.normal(size=(20, 3))
    np.savez(path, pos=rng.normal(size=(20, 4, 3)), dipole=vectors, unit=vectors / 7, shade=rng.normal(size=(20, 4)))
    few = ["--steps", "3", "--turns", "2"]
    assert main(["measure", str(path), "--target", "dipole", *few]) == 0
    assert "the pose tells about the norm of dipole" in capsys.readouterr().out
    assert main(["measure", str(path), "--target", "shade", *few]) == 0
    assert "shade is not measured: it is a target of each point" in capsys.readouterr().out
    assert main(["measure", str(path), "--target", "dipole", "--methods", "ace"]) == 2
    assert "--methods is for rapidash study" in capsys.readouterr().err
    assert main(["measure", str(tmp_path / "no.xyz"), "--target", "a"]) == 1
    assert "no.xyz does not exist" in capsys.readouterr().err
    assert main(["measure", "--target", "dipole"]) == 2
    assert "needs files" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--target", "x"], []])
def test_a_folder_without_known_files_is_told_with_the_kinds(
    tmp_path: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("x")
    for command in ("measure", "train", "study"):
        assert main([command, str(tmp_path / "notes"), *words]) != 0
        shown = capsys.readouterr().err
        assert f"{tmp_path / 'notes'}" in shown
        assert ".xyz, .extxyz, .traj, .cif" in shown
        assert "unrecognized" not in shown


def test_measure_says_which_command_takes_a_model_that_comes_along(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["measure", "dipole"]) == 1
    assert "not saved by a run: rapidash predict takes it, rapidash measure only models of" in capsys.readouterr().err
