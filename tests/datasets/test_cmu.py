import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from rapidash.datasets._cmu import cmu_dataset, skeleton_edges
from rapidash.datasets._motion_clips import _CASES, _listing_key, published_starts, read_motion_clips
from rapidash.datasets._reading import DataError
from rapidash.groups import Position, Scalar, Vector
from tests.datasets.test_acclaim import AMC, ASF

BONES = [[1, 0], [2, 1], [3, 1]]


def toy_clips(num_clips: int = 11, frames: int = 130) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.normal(size=(frames, 4, 3)) for _ in range(num_clips)]


def write_npz(folder: Path, **changes: np.ndarray) -> Path:
    clips, starts = toy_clips(), published_starts("run")
    arrays = {
        "pos": np.concatenate(clips).astype(np.float32),
        "case_len": np.full(11, 130, dtype=np.int32),
        "trial": np.array([f"09_{k:02d}" for k in range(11)]),
        "joint": np.array(["root", "a", "b", "c"]),
        "edges": np.array(BONES, dtype=np.int8),
        "fps": np.float32(120),
        **{f"{split}_case": np.array(list(m), dtype=np.int8) for split, m in starts.items()},
        **{f"{split}_start": np.stack(list(m.values())).astype(np.int16) for split, m in starts.items()},
    }
    path = folder / "cmu_mocap_run.npz"
    np.savez(path, **{**arrays, **changes})
    return path


def write_pickles(folder: Path, clips: object, split: object = None, edges: object = BONES) -> None:
    (folder / "motion_run.pkl").write_bytes(pickle.dumps((edges, clips)))
    split = tuple(published_starts("run").values()) if split is None else split
    (folder / "split_run.pkl").write_bytes(pickle.dumps(split))


def write_acclaim(folder: Path, num_trials: int = 11) -> None:
    (folder / "09.asf").write_text(ASF)
    for trial in range(1, num_trials + 1):
        frames = [f"{k}\nroot {trial} {k} 0 0 0 0\nthigh 0 0 0\nshin 0\n" for k in range(1, 140)]
        (folder / f"09_{trial:02d}.amc").write_text(":DEGREES\n" + "".join(frames))


def test_fields_protocol_and_counts(tmp_path: Path) -> None:
    path = write_npz(tmp_path)
    data = cmu_dataset("val", motion="run", data_dir=path, verify=False, dtype=torch.float64)
    assert len(data) == 240  # 600 // 3 = 200, but the published starts are 80 a clip
    kinds = {name: (field.representation, field.unit) for name, field in data.fields.items()}
    assert kinds == {
        "pos": (Position(), "skeleton unit"),
        "vel": (Vector(), "skeleton unit/frame"),
        "height": (Scalar(), "10 skeleton unit"),
        "joint": (Scalar(), "1"),
        "target": (Position(), "skeleton unit"),
        "target_vel": (Vector(), "skeleton unit/frame"),
    }
    clip, start = toy_clips()[4].astype(np.float32).astype(np.float64), published_starts("run")["val"][4]
    row = slice(80 * 4, 80 * 4 + 4)  # the first sample of the second clip of the split
    now = {name: tensor[row].numpy() for name, tensor in data.tensors.items()}
    np.testing.assert_array_equal(now["pos"], clip[start[0]])
    np.testing.assert_array_equal(now["vel"], clip[start[0] + 1] - clip[start[0]])
    np.testing.assert_array_equal(now["target"], clip[start[0] + 30])
    np.testing.assert_array_equal(now["target_vel"], clip[start[0] + 31] - clip[start[0] + 30])
    np.testing.assert_array_equal(now["height"], clip[start[0], :, 1:2] / 10)
    assert now["joint"].tolist() == [0, 1, 2, 3]
    assert len(cmu_dataset("train", motion="run", max_samples=50, data_dir=path, verify=False)) == 50
    assert data.info["clips"] == ("09_00", "09_04", "09_09")


def test_bones_and_two_bone_neighbors_become_edges() -> None:
    edges, order = skeleton_edges(np.array(BONES), 4)
    listed = {(s, t): k for s, t, k in zip(*edges.tolist(), order.tolist())}
    near, far = ((0, 1), (1, 2), (1, 3)), ((0, 2), (0, 3), (2, 3))
    expected = {pair: order for order, pairs in ((1, near), (2, far)) for pair in pairs}
    assert listed == expected | {(t, s): k for (s, t), k in expected.items()}


def test_published_pickles_give_the_same_samples(tmp_path: Path) -> None:
    write_pickles(tmp_path, [clip.astype(np.float32).astype(np.float64) for clip in toy_clips()])
    from_pickle = cmu_dataset("test", motion="run", data_dir=tmp_path, dtype=torch.float64)
    from_npz = cmu_dataset("test", motion="run", data_dir=write_npz(tmp_path), dtype=torch.float64, verify=False)
    assert from_pickle.source.name == "motion_run.pkl"
    assert all(torch.equal(from_pickle.tensors[name], tensor) for name, tensor in from_npz.tensors.items())


@pytest.mark.parametrize(
    ("clips", "split", "message"),
    [
        ([np.zeros((9, 4, 2))], None, r"motion_run.pkl, clip 0: shape \(9, 4, 2\)"),
        (toy_clips(2), None, "split_run.pkl names clip .*, .*motion_run.pkl has 2 clips"),
        (toy_clips(2), [1], "not a published split"),
        (toy_clips(2), [[(1, [2])]] * 3, "not a published split: expected three dicts"),
        (toy_clips(2), [{1: ["a"]}] * 3, "split_run.pkl, start frames of clip 1: expected whole numbers"),
        (toy_clips(2), [{1: 3}] * 3, "split_run.pkl, start frames of clip 1: expected .* 1 axes"),
        (toy_clips(2), [{"a": [1]}] * 3, "split_run.pkl, clips of 'train': expected whole numbers"),
        ([["a"]], None, "motion_run.pkl, clip 0: not an array of numbers"),
        (5, None, r"motion_run.pkl holds tuple, expected the pair \(edges, list of clips\)"),
        (toy_clips(11, 100), None, "clip clip 3: has 100 frames, too few for start frame"),
        ([clip * np.nan for clip in toy_clips()], None, "not finite"),
    ],
)
def test_bad_pickles_are_named(tmp_path: Path, clips: object, split: object, message: str) -> None:
    write_pickles(tmp_path, clips, split)
    with pytest.raises(DataError, match=message):
        cmu_dataset("test", motion="run", data_dir=tmp_path)


@pytest.mark.parametrize("edges", ["x", [[40, 0], [1, 2], [1, 3]], [0, 1, 2], [[0.5, 1]] * 3, [[-1, 0]] * 3])
def test_edges_outside_the_skeleton_are_named(tmp_path: Path, edges: object) -> None:
    write_pickles(tmp_path, toy_clips(), edges=edges)
    with pytest.raises(DataError, match=r"motion_run\.pkl, edges: "):
        cmu_dataset("test", motion="run", data_dir=tmp_path)


def test_a_malformed_clip_of_a_pickle_is_skipped_and_counted(tmp_path: Path) -> None:
    clips = toy_clips()
    write_pickles(tmp_path, [*clips[:7], np.zeros((3, 2)), *clips[8:]])
    with pytest.warns(RuntimeWarning, match=r"skipped 1 of 3 samples; the first: .*clip 7: shape \(3, 2\)"):
        data = cmu_dataset("test", motion="run", data_dir=tmp_path, on_error="skip")
    assert len(data) == 160


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("trial", np.array(["09_01"]), r"'trial': shape \(1,\), .* expected \(11,\)"),
        ("joint", np.array(["root"]), r"'pos': shape \(1430, 4, 3\), .* expected \(1430, 1, 3\)"),
        ("joint", np.array([], dtype=str), "'pos': shape"),
        ("case_len", np.full(10, 130), r"'pos': shape .* expected \(1300, 4, 3\)"),
        ("case_len", np.array([-130, 1560]), "'trial': shape"),
        ("case_len", np.array([-130, 260, *[130] * 8, 260]), "'case_len' must be at least 1"),
        ("fps", np.array("fast"), "'fps' a number"),
        ("edges", np.array([[9, 0], [2, 1], [3, 1]]), "'edges': joints from 0 to 9, expected 0 to 3"),
        ("edges", np.array([[1, 0]]), r"'edges': shape \(1, 2\), expected \(3, 2\)"),
        ("test_case", np.array([3, 7, 11]), "names clip 11, .* has 11 clips"),
        ("test_case", np.array([3, 7]), "'test_case' names 2 clips, 'test_start' has 3 rows"),
        ("test_case", np.array(["a", "b", "c"]), "'test_case': expected whole numbers"),
        ("test_start", np.full((3, 80), np.nan), "'test_start': expected whole numbers"),
        ("test_start", np.array(3), "'test_start': expected whole numbers in an array of 2 axes"),
    ],
)
def test_arrays_that_do_not_fit_each_other_are_named(
    tmp_path: Path, name: str, array: np.ndarray, message: str
) -> None:
    path = write_npz(tmp_path, **{name: array})
    with pytest.raises(DataError, match=rf"cmu_mocap_run\.npz.*{message}"):
        cmu_dataset("test", motion="run", data_dir=path, verify=False)


def test_a_split_that_is_not_complete_is_named(tmp_path: Path) -> None:
    with np.load(write_npz(tmp_path)) as file:
        arrays = {name: file[name] for name in file.files if name != "val_start"}
    np.savez(tmp_path / "cmu_mocap_run.npz", **arrays)
    with pytest.raises(DataError, match=r"cmu_mocap_run\.npz has a published split without 'val_start'"):
        cmu_dataset("train", motion="run", data_dir=tmp_path, verify=False)


def test_a_missing_split_is_named(tmp_path: Path) -> None:
    write_pickles(tmp_path, toy_clips())
    (tmp_path / "split_run.pkl").unlink()
    with pytest.raises(FileNotFoundError, match=r"split_run\.pkl is missing"):
        cmu_dataset("test", motion="run", data_dir=tmp_path)


def test_raw_files_give_the_published_order_and_split(tmp_path: Path) -> None:
    write_acclaim(tmp_path)
    clips = read_motion_clips("run", data_dir=tmp_path)
    assert clips.names[:4] == ("09_06", "09_07", "09_11", "09_05")
    assert [len(clip) for clip in clips.pos] == [133 if name == "09_10" else 139 for name in clips.names]
    data = cmu_dataset("train", motion="run", data_dir=tmp_path)
    assert len(data) == 200
    start = published_starts("run")["train"][1][0]
    assert data.tensors["pos"][0].tolist() == [7, start + 1, 0]


def test_the_unit_of_length_is_that_of_the_skeleton(tmp_path: Path) -> None:
    write_acclaim(tmp_path)
    for units, expected in (("", 0.0254 / 0.45), (":units\nlength 0.9\n", 0.0254 / 0.9)):
        text = "\n".join(
            line for line in ASF.splitlines() if not line.strip().startswith(("length 0.45", ":units", "mass"))
        )
        (tmp_path / "09.asf").write_text(units + text)
        data = cmu_dataset("train", motion="run", data_dir=tmp_path)
        assert data.info["meters_per_unit"] == pytest.approx(expected)


def test_a_clip_that_cannot_be_read_leaves_the_split_of_the_others(tmp_path: Path) -> None:
    write_acclaim(tmp_path)
    whole = cmu_dataset("train", motion="run", data_dir=tmp_path)
    assert whole.info["clips"][1] == "09_11"
    (tmp_path / "09_11.amc").write_text(AMC[:-5])
    with pytest.raises(DataError, match=r"09_11\.amc"):
        cmu_dataset("train", motion="run", data_dir=tmp_path)
    with pytest.warns(RuntimeWarning, match=r"skipped 1 of 5 samples; the first: .*09_11\.amc, line 11"):
        data = cmu_dataset("train", motion="run", data_dir=tmp_path, on_error="skip")
    kept = [*range(40), *range(80, 200)]
    assert torch.equal(data.tensors["pos"], whole.tensors["pos"].reshape(200, 4, 3)[kept].reshape(-1, 3))
    assert len(data.skipped) == 1
    assert len(cmu_dataset("test", motion="run", data_dir=tmp_path, on_error="skip")) == 240


def test_trials_outside_the_protocol_are_not_read(tmp_path: Path) -> None:
    write_acclaim(tmp_path, num_trials=12)
    assert len(read_motion_clips("run", data_dir=tmp_path).names) == 11
    assert len(cmu_dataset("train", motion="run", data_dir=tmp_path)) == 200


def test_one_bad_clip_is_skipped_and_counted(tmp_path: Path) -> None:
    clips = toy_clips()
    clips[7][5] = np.inf
    path = write_npz(tmp_path, pos=np.concatenate(clips).astype(np.float32))
    with pytest.warns(RuntimeWarning, match=r"skipped 1 of 3 samples; the first: .*clip 09_07: has positions"):
        data = cmu_dataset("test", motion="run", data_dir=path, on_error="skip", verify=False)
    assert len(data) == 160
    assert len(data.skipped) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"split": "dev"}, "unknown split 'dev'"),
        ({"motion": "jump"}, "unknown motion 'jump'"),
        ({"horizon": 0}, "horizon"),
        ({"max_samples": 2}, "max_samples .num_val of the task. must be at least 3"),
    ],
)
def test_bad_arguments_are_named(tmp_path: Path, arguments: dict[str, object], message: str) -> None:
    path = write_npz(tmp_path)
    with pytest.raises(ValueError, match=message):
        cmu_dataset(**{"split": "val", "motion": "run", "data_dir": path, "verify": False, **arguments})


@pytest.mark.parametrize(
    ("motion", "sizes", "errors"),
    [("run", (200, 240, 240), (19.8, 89.8)), ("walk", (198, 600, 600), (2.60, 12.9))],
)
def test_shared_files_have_the_known_sizes_and_errors(
    shared_data: Path, motion: str, sizes: tuple[int, ...], errors: tuple[float, float]
) -> None:
    parts = [cmu_dataset(split, motion=motion, data_dir=shared_data) for split in ("train", "val", "test")]
    assert tuple(map(len, parts)) == sizes
    pos, vel, target = (parts[2].tensors[name] for name in ("pos", "vel", "target"))
    moving, resting = ((pos + 30 * s * vel - target).square().mean().item() for s in (1, 0))
    assert (moving, resting) == pytest.approx(errors, rel=5e-3)
    assert parts[0].info["edges"].shape == (2, 130)
    clips = read_motion_clips(motion, data_dir=shared_data)
    assert list(clips.names) == sorted(clips.names, key=lambda name: _listing_key(f"{name}.amc"))
    drawn = published_starts(motion)
    assert all(np.array_equal(drawn[s][c], f) for s, m in clips.starts.items() for c, f in m.items())
    assert {split: tuple(m) for split, m in clips.starts.items()} == _CASES[motion]


def test_other_subjects_are_held_out(shared_data: Path) -> None:
    parts = [cmu_dataset(split, motion="walk-subjects", data_dir=shared_data) for split in ("train", "val", "test")]
    subjects = [{name.split("_")[0] for name in part.info["clips"]} for part in parts]
    assert [len(s) for s in subjects] == [11, 4, 4]
    assert not subjects[0] & subjects[1] | subjects[0] & subjects[2] | subjects[1] & subjects[2]
