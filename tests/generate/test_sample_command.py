"""`rapidash sample`, its files, and the section of samples in a report."""

import shlex
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from generate_checks import tiny

from rapidash import cli
from rapidash._cli_study import sampling_command
from rapidash.data import CloudDataset
from rapidash.datasets import read_clouds
from rapidash.generate import FLOOR, LOST, SAMPLES, Asked, Denoising, FlowSampler, HeunSampler, sample_clouds
from rapidash.methods import Variant, build_model
from rapidash.predict import TrainedModel, write_samples
from rapidash.report import terminal_table
from rapidash.report._samples_section import samples_section
from rapidash.study import StudyDesign, get_design, run_one, study_of, summarize
from rapidash.tasks import get_task
from rapidash.tasks.ala2_gen import Ala2GenTask
from rapidash.train import TrainConfig
from tests.report._studies import small_record

OPTIONS = {"num_train": 60, "num_val": 10, "num_test": 12, "num_samples": 12, "sampling_steps": 4}


@pytest.fixture(autouse=True)
def _warnings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)


def saved(folder: Path, **options: object) -> Path:
    task, variant = (
        get_task("toy-gen", **OPTIONS, **options),
        Variant("v", tiny("SE(2)", "R2xS1"), objective=Denoising()),
    )
    model = build_model(task, variant)
    model.calibrate(task.dataset("train").batch(torch.arange(32)))
    return TrainedModel("toy-gen", {**OPTIONS, **options}, variant, model.eval()).save_pretrained(folder)


def run(*words: str) -> int:
    try:
        return cli.main(words)
    except SystemExit as stop:
        return int(stop.code or 0)


def test_samples_of_a_saved_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = saved(tmp_path / "model")
    out = tmp_path / "samples.npz"
    assert run("sample", str(folder), "--num", "5", "--out", str(out), "--quiet") == 0
    assert f"samples: {out}" in capsys.readouterr().out
    with np.load(out) as found:
        assert found["pos"].shape == (20, 2)
        assert found["num_points"].tolist() == [4] * 5
        assert found["is_finite"].all()
        assert (int(found["seed"]), str(found["unit"]), str(found["variant"])) == (0, "length", "v")
        first = found["pos"]
    length = float(TrainedModel.from_pretrained(folder).model.unit_length)
    assert length == pytest.approx(2, abs=0.2)
    assert 0.3 * length < first.std() < 3 * length
    assert run("sample", str(folder), "--num", "2", "--out", str(tmp_path / "two.xyz"), "--quiet") == 0
    lines = (tmp_path / "two.xyz").read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["4", lines[1].split()[0], *"XXXX"] * 2
    assert [float(number) for number in lines[2].split()[1:3]] == pytest.approx(first[0].tolist(), rel=1e-6)
    assert (
        run("sample", str(folder), "--num", "1", "--out", str(tmp_path / "one.ply"), "--quiet", "--sampler", "flow")
        == 0
    )
    assert "element vertex 4" in (tmp_path / "one.ply").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--out", "a.pdb"), "format of samples"),
        (("--out", "a.ply", "--num", "2"), "ply holds one cloud"),
        (("--out", "a.npz", "--guidance", "1"), "no condition"),
        (("--out", "a.npz", "--num", "0"), "num must be at least 1"),
        (("--out", "a.npz", "--num", "-3", "--size", "4"), "--num must be at least 1, got -3"),
        (("--out", "a.npz", "--num", "-3", "--condition", "1"), "--num must be at least 1, got -3"),
        (("--out", "a.npz", "--size", "1"), "--size must be at least 2"),
        (
            ("--out", "model"),
            "model has no suffix, which says the format of samples: end it with .npz, .xyz, .sdf, .ply",
        ),
        (("--out", "a.npz", "--steps", "1"), "steps must be at least 2"),
        (("--out", "a.npz", "--size", "3"), "configurations have 4 points"),
        (("--out", "a.sdf"), "samples of 'toy-gen' have no atomic numbers: write .npz or .xyz"),
        (("--out", "a.npz", "--sampler", "released", "--steps", "9"), "released has 50 steps"),
        (("--out", "a.npz", "--sampler", "flow", "--churn", "0.1"), "--churn belongs to --sampler heun"),
    ],
)
def test_wrong_words_are_told_before_anything_is_drawn(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    said: str,
) -> None:
    def drawn(*_: object) -> None:
        raise AssertionError("clouds are drawn")

    monkeypatch.chdir(tmp_path)
    for sampler in (HeunSampler, FlowSampler):
        monkeypatch.setattr(sampler, "sample", drawn)
    assert run("sample", str(saved(tmp_path / "model")), *words, "--quiet") == 1
    assert said in capsys.readouterr().err
    assert not list(tmp_path.glob("a.*"))


def test_an_interruption_leaves_no_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    folder, out = saved(tmp_path / "model"), tmp_path / "a.npz"
    before = {*tmp_path.rglob("*")}
    out.write_bytes(b"of an earlier command")
    monkeypatch.setattr(HeunSampler, "sample", interrupted)
    assert run("sample", str(folder), "--out", str(out), "--quiet") == 130
    assert "interrupted; the same command begins anew" in capsys.readouterr().err
    assert out.read_bytes() == b"of an earlier command"
    assert {*tmp_path.rglob("*")} == {*before, out}


def test_a_terminal_shows_how_many_are_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = saved(tmp_path / "model")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert run("sample", str(folder), "--num", "3", "--out", str(tmp_path / "a.npz")) == 0
    assert "3/3" in capsys.readouterr().err
    assert run("sample", str(folder), "--num", "3", "--out", str(tmp_path / "b.npz"), "--quiet") == 0
    assert not capsys.readouterr().err


def test_a_condition_is_asked_for(tmp_path: Path) -> None:
    folder = saved(tmp_path / "model", condition="energy")
    words = ("--condition", "-9.5", "--guidance", "1", "--num", "3", "--quiet")
    assert run("sample", str(folder), *words, "--out", str(tmp_path / "a.npz")) == 0
    with np.load(tmp_path / "a.npz") as found:
        assert found["condition"].tolist() == [[-9.5]] * 3
        assert float(found["guidance"]) == 1


@pytest.fixture
def saved_molecules(qm9_folder: Path) -> Path:
    """A saved generator of molecules, with untrained weights, and no data beside it."""
    options = {"data_dir": str(qm9_folder), "verify": False, "num_val": 4, "num_test": 4, "sampling_steps": 4}
    task, variant = get_task("qm9-gen", **options), Variant("v", tiny("E(3)", "R3"), objective=Denoising())
    model = build_model(task, variant)
    model.calibrate(task.dataset("train").batch(torch.arange(32)))
    with torch.no_grad():
        for parameter in model.backbone.readout.parameters():
            parameter.mul_(0.3)  # random weights as they are let samples diverge
    nowhere = options | {"data_dir": str(qm9_folder / "nowhere")}
    return TrainedModel("qm9-gen", nowhere, variant, model.eval()).save_pretrained(qm9_folder / "model")


def test_molecules_are_sampled_without_data(saved_molecules: Path, tmp_path: Path) -> None:
    words = ("sample", str(saved_molecules), "--num", "3", "--quiet")
    assert run(*words, "--out", str(tmp_path / "a.xyz"), "--size", "4") == 0
    lines = (tmp_path / "a.xyz").read_text().splitlines()
    assert [lines[0], lines[6], lines[12]] == ["4", "4", "4"]
    assert {line.split()[0] for line in (*lines[2:6], *lines[8:12])} <= {"H", "C", "N", "O"}
    assert run(*words, "--out", str(tmp_path / "a.npz")) == 0
    with np.load(tmp_path / "a.npz") as found:
        assert len(found["z"]) == len(found["pos"]) == found["num_points"].sum()
        assert found["is_finite"].all()
        sizes, elements = found["num_points"].tolist(), found["z"].tolist()
    assert run(*words, "--out", str(tmp_path / "b.xyz")) == 0
    atoms = [line.split() for line in (tmp_path / "b.xyz").read_text().splitlines() if len(line.split()) == 4]
    assert ["HCNO".index(atom[0]) for atom in atoms] == [(1, 6, 7, 8).index(z) for z in elements]
    assert run(*words, "--out", str(tmp_path / "a.sdf")) == 0
    chem = pytest.importorskip("rdkit.Chem")
    read = list(chem.SDMolSupplier(str(tmp_path / "a.sdf"), sanitize=False, removeHs=False))
    assert [molecule.GetNumAtoms() for molecule in read] == sizes
    assert [molecule.GetProp("sample") for molecule in read] == ["0", "1", "2"]
    assert {molecule.GetProp("sound") for molecule in read} <= {"yes", "no"}


def test_sdf_has_the_bonds_that_are_perceived(qm9_folder: Path, tmp_path: Path) -> None:
    """Real molecules are sound, and one that is not finite has no atoms."""
    chem = pytest.importorskip("rdkit.Chem")
    task = get_task("qm9-gen", data_dir=str(qm9_folder), verify=False)
    clouds = task.clouds("test").subset(torch.arange(4))
    pos = clouds.tensors["pos"].clone()
    pos[: int(clouds.num_points[0])] = torch.nan
    clouds = CloudDataset({**clouds.tensors, "pos": pos}, clouds.fields, clouds.num_points)
    path = write_samples(tmp_path / "a.sdf", clouds, task, {"seed": 3})
    read = list(chem.SDMolSupplier(str(path), removeHs=False))
    assert [molecule.GetProp("sound") for molecule in read] == ["no", "yes", "yes", "yes"]
    assert [molecule.GetNumAtoms() for molecule in read] == [0, *clouds.num_points[1:].tolist()]
    assert all(molecule.GetNumBonds() == molecule.GetNumAtoms() - 1 for molecule in read[1:])
    assert read[1].GetProp("seed") == "3"


def test_sdf_needs_rdkit_and_molecules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = get_task("toy-gen")
    empty = task.templates(torch.arange(1), 0, torch.ones(1), Asked())
    with pytest.raises(ValueError, match="sdf holds molecules"):
        write_samples(tmp_path / "a.sdf", empty, task, {})
    monkeypatch.setattr("rapidash.predict._write_samples.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"rapidash\[mol\]"):
        write_samples(tmp_path / "a.sdf", empty, task, {})


def test_elements_of_a_chain(tmp_path: Path) -> None:
    task = Ala2GenTask()
    empty = task.templates(torch.arange(2), 0, torch.ones(1), Asked())
    pos = torch.arange(30.0).view(10, 3)
    samples = CloudDataset({**empty.tensors, "pos": pos}, empty.fields, empty.num_points)
    path = write_samples(tmp_path / "a.xyz", samples, task, {"seed": 3})
    lines = path.read_text().splitlines()
    assert lines[0] == "5"
    assert lines[1] == 'Properties=species:S:1:pos:R:3 sample=0 unit="angstrom" seed="3" pbc="F F F"'
    assert [line.split()[0] for line in lines[2:7]] == ["C", "N", "C", "C", "N"]
    assert lines[10] == "N 18 19 20"
    again = list(read_clouds(path))
    assert len(again) == 2


def test_a_section_shows_samples_beside_data() -> None:
    def figure(name: str, value: float | None) -> dict[str, object]:
        return {"name": name, "value": value, "unit": "nats", "group": "", "moment": "after", "view": "", "better": ""}

    records = [
        small_record(
            name, 0, 0.5, key=name, measurements=[figure("samples: JS", value), figure("training data: JS", 0.02)]
        )
        for name, value in (("SE(3)", 0.045), ("E(3)", None))
    ]
    section = samples_section(summarize(study_of(records)))
    assert section is not None
    assert list(section.head) == ["", "JS (nats)"]
    assert [row[0] for row in section.rows] == ["training data", "SE(3)"] or section.rows[2] == ("E(3)", "not defined")
    assert section.rows[0][1].startswith("0.02")
    assert section.rows[1][1].startswith("0.045")
    assert samples_section(summarize(study_of([small_record("E(3)", 0, 0.5)]))) is None


def test_a_run_of_a_study_measures_samples_and_saves_the_generator(tmp_path: Path) -> None:
    variant = Variant("SE(2)", tiny("SE(2)", "R2xS1"), objective=Denoising(conditioning="modulation"))
    train = TrainConfig(steps=2, batch_size=8, learning_rate=1e-3, warmup_steps=0, eval_every=2, checkpoint_every=2)
    design = StudyDesign("toy-gen", (variant,), train, seeds=(0,), task_options=OPTIONS, measures=("samples",))
    (config,) = design.runs()
    record = run_one(config, tmp_path)
    assert record is not None
    assert record["error"] is None
    found = {entry["name"]: entry["value"] for entry in record["measurements"] if entry["moment"] == "after"}
    assert found[SAMPLES + LOST] in [100 * k / 12 for k in range(13)]
    assert found[FLOOR + "mean energy"] == pytest.approx(-9.8, abs=1)
    assert "Samples" in terminal_table(summarize(study_of([record])))
    folder = tmp_path / "work" / config.key
    first, again = (TrainedModel.from_pretrained(folder) for _ in range(2))
    clouds = [sample_clouds(one.model, one.task, 3).tensors["pos"] for one in (first, again)]
    assert torch.equal(*clouds)


def test_a_study_of_generators_ends_with_the_command_that_samples(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, records = tmp_path / "my runs", []
    for name, seed, error in (("worse", 0, 0.9), ("best", 0, 0.5), ("best", 1, 0.4)):
        records.append(small_record(name, seed, error, key=f"{name}-{seed}"))
    design, summary = get_design("toy-gen"), summarize(study_of(records))
    assert sampling_command(design, summary, folder) == ""  # no model is there
    saved(folder / "work" / "worse-0" / "model")
    assert sampling_command(design, summary, folder) == ""  # that of the best is not
    saved(folder / "work" / "best-1" / "model")
    command = sampling_command(design, summary, folder)
    assert command == f"rapidash sample '{folder}/work/best-1' --num 100 --out samples.xyz"
    monkeypatch.chdir(tmp_path)
    assert run(*shlex.split(command)[1:], "--steps", "2", "--quiet") == 0
    assert "samples: samples.xyz" in capsys.readouterr().out
    assert (tmp_path / "samples.xyz").read_text(encoding="utf-8").count("Properties=") == 100
    failed = [record | {"status": "failed", "test_error": None} for record in records]
    assert sampling_command(design, summarize(study_of(failed)), folder) == ""
    assert sampling_command(get_design("nbody"), summary, folder) == ""


def test_the_command_is_the_last_line_of_the_study(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    record = small_record("SE(2)", 0, 0.5, key="k")
    monkeypatch.setattr("rapidash._cli_study.run_study", lambda *_, **__: [record])
    monkeypatch.setattr("rapidash._cli_study.read_study", lambda _: study_of([record]))
    monkeypatch.setattr("rapidash._cli_study.write_page", lambda out: print(f"report: {out}/report.html"))
    out = tmp_path / "toy"
    assert run("study", "toy-gen", "--seeds", "1", "--quiet", "--out", str(out)) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"report: {out}/report.html"
    saved(out / "work" / "k" / "model")
    assert run("study", "toy-gen", "--seeds", "1", "--quiet", "--out", str(out)) == 0
    assert capsys.readouterr().out.splitlines()[-2:] == [
        f"report: {out}/report.html",
        f"sample it: rapidash sample {out}/work/k --num 100 --out samples.xyz",
    ]
