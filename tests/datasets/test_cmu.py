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


def write_pickles(folder: Path, clips: object, split: object = None) -> None:
    (folder / "motion_run.pkl").write_bytes(pickle.dumps((BONES, clips)))
    split = tuple(published_starts("run").values()) if split is None else split
    (folder / "split_run.pkl").write_bytes(pickle.dumps(split))


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
        (toy_clips(11, 100), None, "clip clip 3: has 100 frames, too few for start frame"),
        ([clip * np.nan for clip in toy_clips()], None, "not finite"),
    ],
)
def test_bad_pickles_are_named(tmp_path: Path, clips: object, split: object, message: str) -> None:
    write_pickles(tmp_path, clips, split)
    with pytest.raises(DataError, match=message):
        cmu_dataset("test", motion="run", data_dir=tmp_path)


def test_a_missing_split_is_named(tmp_path: Path) -> None:
    write_pickles(tmp_path, toy_clips())
    (tmp_path / "split_run.pkl").unlink()
    with pytest.raises(FileNotFoundError, match=r"split_run\.pkl is missing"):
        cmu_dataset("test", motion="run", data_dir=tmp_path)


def test_raw_files_give_the_published_order_and_split(tmp_path: Path) -> None:
    (tmp_path / "09.asf").write_text(ASF)
    for trial in range(1, 12):
        frames = [f"{k}\nroot {trial} {k} 0 0 0 0\nthigh 0 0 0\nshin 0\n" for k in range(1, 140)]
        (tmp_path / f"09_{trial:02d}.amc").write_text(":DEGREES\n" + "".join(frames))
    clips = read_motion_clips("run", data_dir=tmp_path)
    assert clips.names[:4] == ("09_06", "09_07", "09_11", "09_05")
    assert [len(clip) for clip in clips.pos] == [133 if name == "09_10" else 139 for name in clips.names]
    data = cmu_dataset("train", motion="run", data_dir=tmp_path)
    assert len(data) == 200
    start = published_starts("run")["train"][1][0]
    assert data.tensors["pos"][0].tolist() == [7, start + 1, 0]
    (tmp_path / "09_03.amc").write_text(AMC[:-5])
    with pytest.raises(DataError, match=r"09_03\.amc"):
        read_motion_clips("run", data_dir=tmp_path)
    with pytest.warns(RuntimeWarning, match="skipped 1 of 11"):
        partial = read_motion_clips("run", data_dir=tmp_path, on_error="skip")
    assert (len(partial.pos), len(partial.skipped), partial.starts) == (10, 1, {})


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
        ({"max_samples": 2}, "max_samples must be at least 3"),
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
