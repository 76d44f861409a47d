"""`rapidash predict`, and where the commands look for data."""

import csv
import os
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from rapidash.datasets import SHAPENET_CATEGORIES
from rapidash.datasets._meshes import read_ply
from rapidash.methods import Variant
from rapidash.models import OrderedMLPConfig
from rapidash.predict import TrainedModel
from rapidash.study import get_design
from rapidash.tasks import get_task
from tests._commands import run

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
SMALL = ["--quiet", "--train.steps", "2", "--train.warmup_steps", "1", "--train.threads", "1"]
SMALL += ["--model.channels", "8", "--model.num_layers", "1"]
WATER = "3\n\nO 0 0 0\nH 0.96 0 0\nH -0.24 0.93 0\n"


@pytest.fixture(autouse=True)
def _directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAPIDASH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("RAPIDASH_DATA", raising=False)
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def model_of(shown: str) -> str:
    return next(line.split()[-1] for line in shown.splitlines() if line.startswith("  model "))


def saved(folder: Path, name: str, options: dict, reference: dict) -> Path:
    """An untrained network as a saved model."""
    variant = get_design(name).variants[0]
    torch.manual_seed(0)
    model = get_task(name, **options).build(variant).eval()
    return TrainedModel(name, options, variant, model, reference).save_pretrained(folder)


def saved_molecules(folder: Path, target: str = "homo") -> Path:
    """One of qm9 that knows H, C, N and O."""
    return saved(folder, "qm9", {"target": target}, {"elements": [1, 6, 7, 8], "mean": -10.0})


def saved_parts(folder: Path) -> Path:
    """One of shapenet-part that was trained on clouds of 130 points."""
    reference = {"class_names": list(SHAPENET_CATEGORIES), "num_points": [130, 130]}
    return saved(folder, "shapenet-part", {}, reference)


def test_train_then_predict(capsys) -> None:
    """Particles of the simulation, from an npz file, as they are evaluated after training."""
    sizes = [word for split in ("train", "val", "test") for word in (f"--task_options.num_{split}", "6")]
    assert (
        run("train", "nbody", "--variant", "T(3) on R3", *SMALL, *sizes, "--average", "SO(3)", "--elements", "2") == 0
    )
    shown = capsys.readouterr().out
    assert "channels=8, num_layers=1, average=2 random elements of SO(3)] · seed 0" in shown
    assert "test_error_tta" in shown
    folder = model_of(shown)
    assert sorted(os.listdir(folder)) == ["README.md", "config.json", "model.safetensors"]
    data = get_task("nbody", num_test=6).dataset("test")
    rows = {name: data.tensors[name].unflatten(0, (6, 5)).numpy() for name in ("pos", "vel", "charge")}
    np.savez("particles.npz", **rows)
    assert run("predict", folder, "particles.npz", "--batch_size", "4", "--average", "none") == 0
    shown = capsys.readouterr().out
    assert shown == "nbody: positions (length) of 6 clouds\npredictions: particles.predictions.npz\n"
    plain = np.load("particles.predictions.npz")
    assert plain["entry"].tolist() == [f"particles.npz, cloud {index}" for index in range(6)]
    assert plain["num_points"].tolist() == [5] * 6
    assert plain["units"].item() == '{"positions": "length"}'
    trained = TrainedModel.from_pretrained(folder)
    expected = trained.predict(data, average="none")["positions"]
    np.testing.assert_allclose(plain["positions"], expected.numpy(), rtol=1e-5, atol=1e-5)
    error = np.square(plain["positions"] - data.tensors["target"].numpy()).mean()
    assert error == pytest.approx(trained.results["test_error"], rel=1e-4)
    assert run("predict", folder, "particles.npz", "--out", "turned.npz") == 0  # with the average that was trained
    assert "nbody, averaged over 2 random elements of SO(3), seed 0: positions (length), " in capsys.readouterr().out
    assert not np.allclose(np.load("turned.npz")["positions"], plain["positions"], atol=1e-6)


def test_molecules_come_back_as_extended_xyz(tmp_path: Path, capsys) -> None:
    ase = pytest.importorskip("ase.io", reason="ase reads what we write")
    Path("water.xyz").write_text(WATER + WATER.replace("0.96", "0.98"))
    assert run("predict", str(saved_molecules(tmp_path / "model")), "water.xyz") == 0
    assert "predictions: water.predictions.xyz" in capsys.readouterr().out
    frames = ase.read("water.predictions.xyz", index=":")
    assert [frame.get_chemical_formula() for frame in frames] == ["H2O", "H2O"]
    expected = TrainedModel.from_pretrained(tmp_path / "model").predict_files(["water.xyz"])["homo"]
    assert [frame.info["homo"] for frame in frames] == pytest.approx(expected[:, 0].tolist())
    assert frames[1].positions[1, 0] == 0.98


def test_frames_of_predictions_say_where_they_come_from_and_in_which_units(tmp_path: Path) -> None:
    ase = pytest.importorskip("ase.io", reason="ase reads what we write")
    Path("some.xyz").write_text(WATER + "1\n\nFe 0 0 0\n" + WATER)
    reference = {"elements": [1, 6, 7, 8], "mean": 0.0}
    model = TrainedModel.from_pretrained(saved(tmp_path / "model", "qm9", {"target": "dipole"}, reference))
    made = model.predict_files("some.xyz", skip_bad=True)
    frames = ase.read(made.write("out.xyz"), index=":")
    assert [frame.info["entry"] for frame in frames] == ["some.xyz, frame 0", "some.xyz, frame 2"]
    (name,) = made.outputs
    assert made.outputs[name].field.unit != "e*angstrom"
    for frame, values in zip(frames, made[name].tolist()):
        assert "dipole" not in (frame.calc.results if frame.calc else {})  # ASE's is in e angstrom
        assert frame.info["dipole_predicted"] == pytest.approx(values)
        assert frame.info["units"] == f"dipole_predicted {made.outputs[name].field.unit}"


def test_predictions_are_valid_xyz_and_csv(tmp_path: Path) -> None:
    """Read again by our own reader, without ase."""
    Path("water.xyz").write_text(WATER)
    model = TrainedModel.from_pretrained(saved_molecules(tmp_path / "model"))
    made = model.predict_files(["water.xyz"])
    again = model.predict_files([made.write("out.extxyz")])
    torch.testing.assert_close(made["homo"], again["homo"])
    assert f"homo={made['homo'].item():.12g} " in Path("out.extxyz").read_text()
    (row,) = table(made.write("out.csv"))
    assert row.keys() == {"entry", "homo (eV)"}
    assert float(row["homo (eV)"]) == pytest.approx(made["homo"].item())


def test_bad_entries_stop_or_are_skipped_and_counted(tmp_path: Path, capsys) -> None:
    folder = str(saved_molecules(tmp_path / "model"))
    Path("some.xyz").write_text(WATER + "1\n\nFe 0 0 0\n" + WATER)
    assert run("predict", folder, "some.xyz") == 1
    shown = capsys.readouterr()
    assert shown.err.startswith("rapidash: error: some.xyz, frame 1: element Fe was not in the training data")
    assert len(shown.err.splitlines()) == 1
    assert not Path("some.predictions.xyz").exists()
    assert run("predict", folder, "some.xyz", "--skip-bad") == 0
    shown = capsys.readouterr()
    assert "rapidash: skipped some.xyz, frame 1: element Fe" in shown.err
    assert "qm9: homo (eV) of 2 clouds, 1 skipped" in shown.out


@pytest.mark.parametrize(("name", "content"), [("half.npz", b"PK"), ("empty.xyz", b""), ("bare.npz", None)])
def test_a_file_that_cannot_be_read_at_all_is_a_bad_entry(tmp_path: Path, capsys, name: str, content: bytes) -> None:
    folder = str(saved_molecules(tmp_path / "model"))
    Path("water.xyz").write_text(WATER)
    np.savez(name, z=np.ones(2)) if content is None else Path(name).write_bytes(content)
    assert run("predict", folder, "water.xyz", name) == 1
    assert capsys.readouterr().err.startswith(f"rapidash: error: {name}: ")
    assert run("predict", folder, "water.xyz", name, "--skip-bad") == 0
    shown = capsys.readouterr()
    assert f"rapidash: skipped {name}: " in shown.err
    assert "of 1 clouds, 1 skipped" in shown.out


def test_parts_of_a_shape_whose_category_is_given(tmp_path: Path, capsys) -> None:
    folder = str(saved_parts(tmp_path / "model"))
    np.savez("scan.npz", points=np.random.default_rng(0).normal(size=(300, 3)))
    assert run("predict", folder, "scan.npz", "--category", "Chair") == 0
    assert capsys.readouterr().out == (
        "shapenet-part: part, probability of 1 clouds\npredictions: scan.predictions.npz\n"
    )
    made = np.load("scan.predictions.npz")
    assert made["part"].shape == made["probability"].shape == (300,)
    assert {made["part_labels"][part] for part in made["part"]} <= {f"Chair {part}" for part in (12, 13, 14, 15)}
    assert run("predict", folder, "scan.npz", "--category", "4", "--out", "scan.ply") == 0
    assert b"property int part" in Path("scan.ply").read_bytes()
    capsys.readouterr()
    assert run("predict", folder, "scan.npz", "--category", "Chairs") == 1
    assert "unknown category 'Chairs', expected one of 'Airplane'" in capsys.readouterr().err
    assert run("predict", folder, "scan.npz") == 1
    shown = capsys.readouterr().err
    assert shown.startswith("rapidash: error: scan.npz: it has no category: looked for one per cloud in the file")
    assert len(shown.splitlines()) == 1


def test_a_file_that_is_replaced_is_told_before(tmp_path: Path, capsys) -> None:
    folder = str(saved_molecules(tmp_path / "model"))
    Path("water.xyz").write_text(WATER)
    assert run("predict", folder, "water.xyz") == 0
    assert "exists" not in capsys.readouterr().err
    assert run("predict", folder, "water.xyz") == 0
    told = "rapidash: warning: water.predictions.xyz exists and will be replaced: --out FILE writes another\n"
    assert told in capsys.readouterr().err
    assert run("predict", folder, "water.xyz", "--out", "other.xyz") == 0
    assert "exists" not in capsys.readouterr().err


def test_columns_and_faces_of_a_ply_stay_beside_the_predictions(tmp_path: Path) -> None:
    folder = str(saved_parts(tmp_path / "model"))
    rng = np.random.default_rng(0)
    rows = [f"{x} {y} {z} 0 0 1 {255 - i} {i % 7} 0.5" for i, (x, y, z) in enumerate(rng.normal(size=(256, 3)))]
    names = ["float x", "float y", "float z", "float nx", "float ny", "float nz", "uchar red", "int part", "float dose"]
    head = ["ply", "format ascii 1.0", "element vertex 256", *(f"property {name}" for name in names)]
    head += ["element face 2", "property list uchar int vertex_indices", "end_header"]
    Path("scan.ply").write_text("\n".join([*head, *rows, "3 0 1 2", "4 2 3 4 5"]) + "\n")
    assert run("predict", folder, "scan.ply", "--category", "Chair", "--out", "made.ply") == 0
    made = read_ply(Path("made.ply"))
    found = {name: column[:, 0] for name, column in made.properties.items() if column.shape[1] == 1}
    assert made.properties["normal"].tolist() == [[0.0, 0.0, 1.0]] * 256
    assert (found["dose"] == 0.5).all()
    assert found["part_of_file"].tolist() == [i % 7 for i in range(256)]
    assert found["red_of_file"].tolist() == list(range(255, -1, -1))
    assert (found["red_of_file"].dtype, found["part_of_file"].dtype) == (np.uint8, np.int32)
    assert set(found["part"].tolist()) <= set(range(50))
    assert len(found["red"]) == 256
    assert made.triangles.shape == (3, 3)  # the polygon as two
    assert made.triangles[0].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["water.pdb"], 1, "unknown format '.pdb'"),
        (["absent.xyz"], 1, "absent.xyz is not a file"),
        ([], 2, "the following arguments are required: files"),
        (["water.xyz", "--out", "a.txt"], 1, "unknown format of predictions '.txt', expected one of '.npz'"),
        (["water.xyz", "--tta", "-1"], 2, "tta must be at least 0, got -1"),
        (["water.xyz", "--tta_group", "O(3)"], 2, "--tta_group O(3) needs --tta N"),
        (["."], 1, ". is a folder: give the files in it"),
        (["water.xyz", "--average", "SO(4)"], 1, "average: unknown symmetry 'SO(4)'"),
        (["water.xyz", "--batch_size", "0"], 1, "batch_size must be at least 1, got 0"),
        (["water.xyz", "--batch_size", "x"], 2, "batch_size: expected a whole number, got 'x'"),
        (["water.xyz", "--category", "Cup"], 1, "category is 'Cup', and qm9 uses none: it needs pos, z"),
        (["water.xyz", "--device", "tpu"], 1, "device must be 'cpu', 'cuda' or 'cuda:INDEX', got 'tpu'"),
        (["water.xyz", "--data", "nowhere"], 1, "--data: nowhere does not exist"),
        (["water.xyz", "--skip-badd"], 2, "did you mean '--skip-bad'"),
    ],
    ids=str,
)
def test_wrong_words_are_one_line(tmp_path: Path, capsys, words: list[str], code: int, message: str) -> None:
    Path("water.xyz").write_text(WATER)
    Path("water.pdb").write_text("")
    assert run("predict", str(saved_molecules(tmp_path / "model")), *words) == code
    shown = capsys.readouterr().err
    assert message in shown
    assert len(shown.splitlines()) == 1
    assert not list(Path().glob("*.predictions.*"))


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Predictions for more than one cloud fail."""
    real = TrainedModel.predict

    def predict(self, data, **options):
        assert len(data) == 1
        return real(self, data, **options)

    monkeypatch.setattr(TrainedModel, "predict", predict)


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("two.ply", "ply has a row per point, 'homo' is a value of the cloud: write .npz instead"),
        ("water.xyz/two.csv", "water.xyz/two.csv cannot be written: {here}/water.xyz is a file, not a folder"),
        ("folder.csv", "folder.csv is a folder: give a file"),
        ("water.xyz", "water.xyz is a file to be predicted, which its predictions would replace"),
        ("link.xyz", "link.xyz is a file to be predicted, which its predictions would replace"),
        ("./folder.csv/../water.xyz", "water.xyz is a file to be predicted, which its predictions would replace"),
    ],
)
def test_an_output_that_cannot_be_written_is_told_before_the_work(
    tmp_path: Path, capsys, out: str, message: str
) -> None:
    Path("water.xyz").write_text(WATER + WATER)
    Path("link.xyz").symlink_to("water.xyz")
    Path("folder.csv").mkdir()
    assert run("predict", str(saved_molecules(tmp_path / "model")), "water.xyz", "--out", out) == 1
    shown = capsys.readouterr().err
    assert message.format(here=tmp_path) in shown
    assert len(shown.splitlines()) == 1
    assert Path("water.xyz").read_text() == WATER + WATER


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize(
    ("suffix", "message"),
    [
        ("csv", "csv has a row per cloud, 'part' is a value of every point"),
        ("ply", "ply holds one cloud, these are 2"),
        ("xyz", "xyz is for molecules, these clouds have no elements"),
    ],
)
def test_a_format_that_does_not_fit_parts_is_told_before_the_work(
    tmp_path: Path, capsys, suffix: str, message: str
) -> None:
    np.savez("scans.npz", points=np.random.default_rng(0).normal(size=(2, 130, 3)), label=[4, 4])
    assert run("predict", str(saved_parts(tmp_path / "model")), "scans.npz", "--out", f"out.{suffix}") == 1
    assert message in capsys.readouterr().err


def test_predictions_of_several_files_do_not_replace_one_of_them(tmp_path: Path, capsys) -> None:
    """The default name is that of an input."""
    for name in ("water.xyz", "predictions.xyz"):
        Path(name).write_text(WATER)
    assert run("predict", str(saved_molecules(tmp_path / "model")), "water.xyz", "predictions.xyz") == 1
    assert "predictions.xyz is a file to be predicted" in capsys.readouterr().err
    assert Path("predictions.xyz").read_text() == WATER


def test_predictions_of_files_of_one_name_have_two_names(tmp_path: Path) -> None:
    folder = str(saved_molecules(tmp_path / "model"))
    Path("water.xyz").write_text(WATER)
    np.savez("water.npz", z=[8, 1, 1], pos=[[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])
    for file in ("water.xyz", "water.npz"):
        assert run("predict", folder, file) == 0
        assert Path(f"{file}.predictions.xyz").is_file()


def test_an_interrupted_prediction_leaves_nothing(tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = str(saved_molecules(tmp_path / "model"))
    Path("water.xyz").write_text(WATER)
    before = sorted(os.listdir())

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    assert run("predict", folder, "water.xyz") == 130
    assert "the same command begins anew" in capsys.readouterr().err
    assert sorted(os.listdir()) == before


def test_a_model_that_is_neither_a_folder_nor_on_the_hub(capsys, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)  # not installed
    assert run("predict", "someone/model", "water.xyz") == 1
    said = capsys.readouterr().err
    assert "no saved model at someone/model: there is no such folder" in said
    assert "pip install 'rapidash[hub]'" in said
    assert run("predict", "dipoles", "water.xyz") == 1
    assert "one that comes along with the package a name such as dipole" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["study", "train"])
def test_missing_data_stop_the_command_before_anything_is_launched(tmp_path: Path, capsys, command: str) -> None:
    assert run(command, "qm9", "--quiet") == 1
    shown = capsys.readouterr().err
    assert "no folder to read QM9 (mp2) from: looked for 'qm9_mp2_10k.npz'; give its folder with --data DIR" in shown
    assert run(command, "qm9", "--quiet", "--data", str(tmp_path)) == 1
    assert f"no QM9 (mp2): looked for 'qm9_mp2_10k.npz' in {tmp_path}" in capsys.readouterr().err
    assert run(command, "qm9", "--quiet", "--data", "nowhere") == 1
    assert "--data: nowhere does not exist" in capsys.readouterr().err
    assert run(command, "qm9", "--data", str(tmp_path), "--task_options.data_dir", str(tmp_path)) == 2
    assert "by --data or by --task_options.data_dir, not by both" in capsys.readouterr().err
    assert not Path("runs").exists()
    assert "RAPIDASH_DATA" not in os.environ


def test_data_are_read_from_the_folder_that_is_given(capsys) -> None:
    """In the environment as it was, the same model has no data to be measured on."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no shared data at {SHARED_DATA}")
    sizes = [word for split in ("train", "val", "test") for word in (f"--task_options.num_{split}", "30")]
    assert run("train", "cmu", "--variant", "T(3) on R3", *SMALL, *sizes, "--data", str(SHARED_DATA)) == 0
    folder = model_of(capsys.readouterr().out)
    assert "RAPIDASH_DATA" not in os.environ
    assert run("measure", folder) == 1
    assert "no folder to read CMU motion capture (walk) from" in capsys.readouterr().err
    assert run("measure", folder, "--data", "nowhere") == 1
    assert "--data: nowhere does not exist" in capsys.readouterr().err


@pytest.mark.filterwarnings("always:precision")
def test_a_prediction_that_rounds_nothing_although_asked_for_is_told(tmp_path: Path, capsys) -> None:
    arrays = {"pos": np.random.default_rng(0).normal(size=(1, 5, 3)), "charge": np.ones((1, 5))}
    np.savez("particles.npz", **arrays, vel=np.zeros((1, 5, 3)))
    variants = get_design("nbody").variants[0], Variant("MLP", OrderedMLPConfig(num_points=5))
    models = [get_task("nbody").build(variant).eval() for variant in variants]
    trained = (TrainedModel("nbody", {}, variant, model) for variant, model in zip(variants, models, strict=True))
    rounding, other = (str(one.save_pretrained(tmp_path / one.variant.name)) for one in trained)
    words = "particles.npz", "--quiet", "--out", "out.npz", "--precision"
    assert run("predict", rounding, *words, "bfloat16") == 0
    assert run("predict", other, *words, "float32") == 0
    assert "rounded nothing" not in capsys.readouterr().err
    assert run("predict", other, *words, "bfloat16") == 0
    assert "warning: precision='bfloat16' has rounded nothing" in capsys.readouterr().err


def test_a_cloud_of_another_size_than_a_network_in_a_fixed_order_takes_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    variant = Variant("MLP", OrderedMLPConfig(num_points=5, hidden_dim=8, num_layers=1))
    model = get_task("nbody").build(variant).eval()
    folder = TrainedModel("nbody", {}, variant, model).save_pretrained(tmp_path / "model")
    for size in (5, 6):
        arrays = {"pos": np.random.default_rng(0).normal(size=(1, size, 3)), "charge": np.ones((1, size))}
        np.savez(f"{size}.npz", **arrays, vel=np.zeros((1, size, 3)))
    assert run("predict", str(folder), "5.npz", "6.npz", "--quiet") == 1
    assert (
        "6.npz, cloud 0: it has 6 points, the network was made for 5 points in a fixed order" in capsys.readouterr().err
    )
    assert run("predict", str(folder), "5.npz", "6.npz", "--quiet", "--skip-bad", "--out", "out.npz") == 0
    assert "skipped 6.npz, cloud 0: it has 6 points" in capsys.readouterr().err
