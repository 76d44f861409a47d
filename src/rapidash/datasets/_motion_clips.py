"""Motion-capture clips in the layouts in which they circulate: npz, published pickles, raw ASF and AMC."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from rapidash.datasets._acclaim import read_amc, read_asf
from rapidash.datasets._locate import locate
from rapidash.datasets._reading import DataError, OnError, SampleErrors, read_npz
from rapidash.datasets._safe_pickle import load_plain_pickle

Motion = Literal["walk", "run", "walk-subjects"]

METERS_PER_UNIT = 0.0254 / 0.45  # of the CMU skeleton files
_OBTAIN = (
    "Get ASF and AMC files of subject 35 (walk) or 9 (run) from mocap.cs.cmu.edu, the published pickles from the "
    "repository of the EGNO paper (motion/dataset), or the npz file of the same name."
)
_SUBJECT = {"walk": 35, "run": 9}
_WALK_TRIALS = (*range(1, 17), *range(28, 35))
_JOINTS_OF_PICKLES = 31
_FIRST_FRAME = {"09_10": 6}  # the published run file leaves out the first 6 frames of this clip: a capture glitch
# The published split: clips by number, and for every split the number of start frames and the frames they come from.
_CASES = {
    "walk": {
        "train": (20, 1, 17, 13, 14, 9, 4, 2, 7, 5, 16),
        "val": (3, 8, 11, 12, 15, 18),
        "test": (6, 19, 21, 0, 22, 10),
    },
    "run": {"train": (1, 2, 5, 6, 10), "val": (0, 4, 9), "test": (3, 7, 8)},
}
_STARTS = {"walk": (300, 100), "run": (90, 80)}
_START_SEED = 100


@dataclass(frozen=True)
class MotionClips:
    """Clips of one skeleton topology, and the split that was published with them.

    Args:
        pos: for every clip the joint positions (F, J, 3) in the skeleton unit, y up.
        names: trial of every clip, e.g. "35_01".
        subjects: subject of every clip.
        joints: names of the joints.
        bones: (J - 1, 2) as [child, parent].
        fps: frames per second.
        starts: per split the start frames of every clip of it, by clip number, in published order; empty without one.
        source: where they were read from.
        skipped: a message for every clip left out.
    """

    pos: tuple[NDArray[np.float64], ...]
    names: tuple[str, ...]
    subjects: tuple[str, ...]
    joints: tuple[str, ...]
    bones: NDArray[np.int64]
    fps: float
    starts: dict[str, dict[int, NDArray[np.int64]]]
    source: Path
    skipped: tuple[str, ...] = ()


def read_motion_clips(
    motion: Motion = "walk",
    *,
    data_dir: str | Path | None = None,
    on_error: OnError = "raise",
    verify: bool = True,
) -> MotionClips:
    """CMU motion clips: subject 35 walking, subject 9 running, or 19 other subjects walking.

    Layouts, the first found is read: ``cmu_mocap_<motion>.npz``; the published ``motion.pkl`` with ``split.pkl`` (walk)
    or ``motion_run.pkl`` with ``split_run.pkl``, without running code of theirs; a folder with ``35.asf`` and
    ``35_*.amc`` (or ``09.asf``, ``09_*.amc``). Raw clips are put into the published order, as far as that is known: by
    the low 22 bits of the CRC-32C of the file name, the order in which the file system of the authors listed them.
    Args:
        motion: "walk", "run" or "walk-subjects" (npz only).
        data_dir: folder or file; default: RAPIDASH_DATA.
        on_error: what to do with a clip that cannot be read.
        verify: compare published checksums.
    Raises: FileNotFoundError, DataError naming file and line or entry; ValueError for an unknown motion.
    """
    if motion not in get_args(Motion):
        raise ValueError(f"unknown motion {motion!r}, expected one of {get_args(Motion)}")
    layouts = [f"cmu_mocap_{motion.replace('-', '_')}.npz"]
    if motion != "walk-subjects":
        layouts += ["motion.pkl" if motion == "walk" else "motion_run.pkl", f"{_SUBJECT[motion]:02d}.asf"]
    number, path = locate(layouts, dataset=f"CMU motion capture ({motion})", obtain=_OBTAIN, data_dir=data_dir)
    if number == 0:
        return _from_npz(path, verify)
    return _from_pickle(path, motion) if number == 1 else _from_acclaim(path, motion, on_error)


def published_starts(motion: str) -> dict[str, dict[int, NDArray[np.int64]]]:
    """The start frames of the published split, as its authors drew them: ``numpy.random.RandomState(100)``."""
    rng = np.random.RandomState(_START_SEED)
    frames, count = _STARTS[motion]
    return {
        split: {case: rng.choice(np.arange(frames), size=count, replace=False) for case in cases}
        for split, cases in _CASES[motion].items()
    }


def _from_npz(path: Path, verify: bool) -> MotionClips:
    arrays = read_npz(path, ("pos", "case_len", "trial", "joint", "edges", "fps"), verify=verify)
    lengths = arrays["case_len"].astype(np.int64)
    if lengths.sum() != len(arrays["pos"]):
        raise DataError(f"{path}: 'case_len' sums to {lengths.sum()} frames, 'pos' has {len(arrays['pos'])}")
    names = tuple(str(name) for name in arrays["trial"])
    starts = {
        split: dict(zip(arrays[f"{split}_case"].tolist(), arrays[f"{split}_start"].astype(np.int64)))
        for split in ("train", "val", "test")
        if f"{split}_case" in arrays
    }
    return MotionClips(
        pos=tuple(np.split(arrays["pos"].astype(np.float64), np.cumsum(lengths)[:-1])),
        names=names,
        subjects=tuple(name.split("_")[0] for name in names),
        joints=tuple(str(name) for name in arrays["joint"]),
        bones=arrays["edges"].astype(np.int64),
        fps=float(arrays["fps"]),
        starts=starts,
        source=path,
    )


def _from_pickle(path: Path, motion: str) -> MotionClips:
    content = load_plain_pickle(path)
    if not (isinstance(content, list | tuple) and len(content) == 2):
        raise DataError(f"{path} holds {type(content).__name__}, expected the pair (edges, list of clips)")
    bones, clips = np.asarray(content[0], dtype=np.int64), [np.asarray(clip, dtype=np.float64) for clip in content[1]]
    for number, clip in enumerate(clips):
        if clip.ndim != 3 or clip.shape[2] != 3 or bones.shape != (clip.shape[1] - 1, 2):
            raise DataError(
                f"{path}, clip {number}: shape {clip.shape} with {len(bones)} bones, expected (frames, joints, 3) with "
                "one bone fewer than joints"
            )
    split_path = path.with_name(path.name.replace("motion", "split"))
    if not split_path.exists():
        raise FileNotFoundError(f"{split_path} is missing beside {path}: it holds the published split")
    mappings = load_plain_pickle(split_path)
    if not (isinstance(mappings, list | tuple) and len(mappings) in (3, 6)):
        raise DataError(f"{split_path} is not a published split: expected three dicts of start frames by clip")
    starts = {
        split: {int(case): np.asarray(frames, dtype=np.int64) for case, frames in mapping.items()}
        for split, mapping in zip(("train", "val", "test"), mappings[-3:])
    }
    unknown = [case for mapping in starts.values() for case in mapping if not 0 <= case < len(clips)]
    if unknown:
        raise DataError(f"{split_path} names clip {unknown[0]}, {path} has {len(clips)} clips")
    return MotionClips(
        pos=tuple(clips),
        names=tuple(f"clip {number}" for number in range(len(clips))),
        subjects=(f"{_SUBJECT[motion]:02d}",) * len(clips),
        joints=tuple(f"joint {number}" for number in range(len(bones) + 1)),
        bones=bones,
        fps=120.0,
        starts=starts,
        source=path,
    )


def _from_acclaim(path: Path, motion: str, on_error: OnError) -> MotionClips:
    skeleton = read_asf(path)
    pattern = re.compile(rf"{re.escape(path.stem)}_(\d+)\.amc", re.IGNORECASE)
    found = {int(match[1]): file for file in sorted(path.parent.iterdir()) if (match := pattern.fullmatch(file.name))}
    trials = [trial for trial in _WALK_TRIALS if trial in found] if motion == "walk" else sorted(found)
    if not trials:
        raise FileNotFoundError(f"no motion beside {path}: looked for {path.stem}_*.amc. {_OBTAIN}")
    files = sorted((found[trial] for trial in trials), key=lambda file: _listing_key(file.name))
    errors = SampleErrors(path.parent, on_error)
    clips: dict[str, NDArray[np.float64]] = {}
    for file in files:
        try:
            clips[file.stem] = read_amc(file, skeleton)[_FIRST_FRAME.get(file.stem, 0) :]
        except DataError as error:
            errors.add(file.name, str(error))
    errors.report(len(files))
    cases = [case for split in _CASES[motion].values() for case in split]
    is_complete = len(clips) == len(cases)
    return MotionClips(
        pos=tuple(clips.values()),
        names=tuple(clips),
        subjects=(path.stem,) * len(clips),
        joints=skeleton.order,
        bones=skeleton.edges,
        fps=120.0,
        starts=published_starts(motion) if is_complete else {},
        source=path.parent,
        skipped=tuple(errors.skipped),
    )


def _listing_key(name: str) -> int:
    """Low 22 bits of the CRC-32C register over the UTF-32LE file name: how an APFS volume orders a listing."""
    register = 0xFFFFFFFF
    for byte in name.encode("utf-32-le"):
        register ^= byte
        for _ in range(8):
            register = (register >> 1) ^ (0x82F63B78 if register & 1 else 0)
    return register & 0x3FFFFF
