"""Own files that broke commands: small clouds of many points, headers that lie, targets that are inputs."""

from pathlib import Path

import numpy as np
import pytest
import torch

from rapidash.cli import main
from rapidash.datasets import DataError, FileCloud, read_valued_clouds
from rapidash.measure import TaskSymmetryBreaking
from rapidash.report._measured_data import _pose_sentence, _target_sentence
from rapidash.study.designs.own_data import own_data_design
from rapidash.study.measures.split_distance import distances
from rapidash.tasks import get_task, own_data_options
from rapidash.tasks._own_reading import Wanted, read_own
from tests.tasks.test_own_bad_input import write_xyz

FEW_STEPS = ["--train.steps", "2", "--train.warmup_steps", "0", "--train.batch_size", "4", "--quiet"]


def write_rocks(path: Path, num: int = 12) -> Path:
    """Clouds of 25 to 39 points, a row for each point."""
    rng, rows = np.random.default_rng(0), ["rock,x,y,z,density"]
    for rock in range(num):
        rows += [f"r{rock},{x:.3f},{y:.3f},{z:.3f},{rock % 5}.5" for x, y, z in rng.normal(size=(25 + rock % 15, 3))]
    path.write_text("\n".join(rows) + "\n")
    return path


def test_clouds_that_are_small_on_a_coarser_scale_train_by_default(tmp_path: Path) -> None:
    """Of 25 points a quarter is left on the second scale: 7, fewer than the 8 neighbors."""
    path = str(write_rocks(tmp_path / "rocks.csv"))
    options, _ = own_data_options([path], "density", column="rock")
    network = own_data_design(options, num_points=39).variants[0].model
    assert network.edges == ("knn-8-clamp", "knn-8-clamp")  # type: ignore[attr-defined]
    words = ["train", path, "--target", "density", "--cloud", "rock", "--out", str(tmp_path / "out"), *FEW_STEPS]
    assert main(words) == 0


def test_molecules_beside_a_large_one_train_by_default() -> None:
    options = {"dim": 3, "is_periodic": False, "kind": "number", "elements": [1, 8], "files": ["a.xyz"], "target": "e"}
    assert own_data_design(options, num_points=100).variants[0].model.edges == "knn-16-clamp"  # type: ignore[attr-defined]


def test_a_header_that_announces_more_atoms_than_there_are_lines_ends(tmp_path: Path) -> None:
    path = write_xyz(tmp_path / "a.xyz")
    path.write_text(path.read_text() + "99999999999\nenergy=1.0\nO 0 0 0\n")
    with pytest.raises(DataError, match="a frame announces more atoms than the file has lines"):
        read_own(Wanted((str(path),), ("energy",)))


def test_an_empty_line_between_frames_is_told_with_its_number(tmp_path: Path) -> None:
    pytest.importorskip("ase", reason="files of atoms are read by ASE, which ends there without a word")
    frame = "2\nenergy=1.0\nO 0 0 0\nH 1 0 0\n"
    path = tmp_path / "gap.xyz"
    for text, message in (
        (frame + frame + "\n" + frame, "line 9 is empty, and '2' follows in line 10: frames stand one directly after"),
        (frame + "VEC1 9 0 0\n\n \n" + frame, "line 6 is empty, and '2' follows in line 8"),
        ("\n" + frame, "line 1 is empty, and '2' follows in line 2"),
    ):
        path.write_text(text)
        entries = [found for _, found in read_valued_clouds(path)]
        assert message in str(entries[-1])
        assert all(isinstance(found, FileCloud) for found in entries[:-1])
        assert len(entries) == text[: text.index("\n\n") if "\n\n" in text else 0].count("energy") + 1
    for text in (frame + frame + "\n\n", "2\n\nO 0 0 0\nH 1 0 0\n" + frame):  # behind all frames, and a comment
        path.write_text(text)
        assert [type(found) for _, found in read_valued_clouds(path)] == [FileCloud] * 2


@pytest.mark.parametrize("target", ["z", "pos"])
def test_a_target_that_every_model_sees_is_refused(tmp_path: Path, target: str) -> None:
    path = write_xyz(tmp_path / "a.xyz")
    with pytest.raises(DataError, match=f"target '{target}' is what every model sees of a cloud"):
        own_data_options([str(path)], target)


def test_clouds_are_split_by_several_numbers_too(tmp_path: Path) -> None:
    path = write_xyz(tmp_path / "a.xyz", head='energy={i}.5 cell_of="{mol} 2 3"')
    found = read_own(Wanted((str(path),), ("energy",), group="cell_of"))
    assert found.groups[:5] == ["0 2 3"] * 4 + ["1 2 3"]


def test_measure_leaves_clouds_out_as_its_errors_say(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_xyz(tmp_path / "a.xyz", 24)
    path.write_text(path.read_text().replace("energy=3.5 ", "", 1))
    words = ["measure", str(path), "--target", "energy", "--steps", "2", "--turns", "2"]
    assert main(words) == 1
    assert "--task_options.on_error skip" in capsys.readouterr().err
    assert main([*words, "--task_options.on_error", "skip"]) == 0
    assert "preferred pose" in capsys.readouterr().out


def test_where_all_test_clouds_are_copies_all_are_counted() -> None:
    """Every cloud twice, so that training clouds have copies elsewhere too: the distance within is 0."""
    train = torch.arange(6.0)[:, None].repeat(2, 1), torch.arange(12) * 3, torch.zeros(12)
    found = distances(train, (torch.arange(6.0)[:, None], torch.arange(6) * 3 + 1, torch.zeros(6)))
    assert (found.across, found.within, found.copies) == (0.0, 0.0, 1.0)


def test_turned_clouds_that_are_all_alike_have_no_deviation() -> None:
    assert TaskSymmetryBreaking(1.0, 0.0, 1.0, 0.5, 0.5, 10, 3, 2, "SO(3)").z == 0.0


@pytest.mark.parametrize(
    ("accuracy", "begin"),
    [(0.75, "The clouds are stored in"), (0.72, "Perhaps the clouds"), (0.65, "No sign of"), (0.2, "No sign of")],
)
def test_what_is_said_of_poses_by_standard_errors(accuracy: float, begin: str) -> None:
    """Of 0.08: 3.1, 2.75, 1.9 and -3.75 of them from one half."""
    assert _pose_sentence(accuracy, 0.08).startswith(begin)


@pytest.mark.parametrize(
    ("z", "begin"),
    [
        (3.1, "The pose tells about E"),
        (2.5, "Perhaps the pose tells about E"),
        (-1.9, "No sign that the pose tells about E"),
        (-4.6, "Whether the pose tells about E cannot be told (ratio 0.36 +- 0.08"),
    ],
)
def test_what_is_said_of_targets_by_standard_errors(z: float, begin: str) -> None:
    assert _target_sentence("E", 0.36, 0.08, z).startswith(begin)


def test_the_energy_of_a_constant_stands_beside_the_forces(tmp_path: Path) -> None:
    """A mean per element is taken off; what is left of the energies is their error."""
    lines, rng = list[str](), np.random.default_rng(0)
    for index in range(20):
        lines += ["3", f"Properties=species:S:1:pos:R:3:forces:R:3 energy={10 + 0.37 * index:.2f}"]
        lines += [" ".join((s, *(f"{x:.3f}" for x in rng.normal(size=6)))) for s in "OHH"]
    path = tmp_path / "a.xyz"
    path.write_text("\n".join(lines) + "\n")
    options, _ = own_data_options([str(path)], "energy,forces")
    task = get_task("own-data", **options)
    (name, found), *_ = task.constant_details("test").items()  # type: ignore[attr-defined]
    data = task.dataset("test")
    assert name == "MAE of energy (eV)"
    torch.testing.assert_close(found.double(), data.tensors["target"].flatten().abs().double())
