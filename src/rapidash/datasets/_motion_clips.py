"""Motion-capture clips in the layouts in which they circulate: npz, published pickles, raw ASF and AMC."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from rapidash.datasets._acclaim import FRAMES_PER_SECOND, UNITS_PER_INCH, read_amc, read_asf
from rapidash.datasets._locate import beside, locate
from rapidash.datasets._npz import read_npz
from rapidash.datasets._reading import Array, DataError, OnError, SampleErrors, words
from rapidash.datasets._safe_pickle import load_plain_pickle

Motion = Literal["walk", "run", "walk-subjects"]

_METERS_PER_INCH = 0.0254
_METERS_PER_UNIT = _METERS_PER_INCH / UNITS_PER_INCH
_OBTAIN = (
    "Get ASF and AMC files of subject 35 (walk) or 9 (run) from mocap.cs.cmu.edu, the published pickles from the "
    "repository of the EGNO paper (motion/dataset), or the npz file of the same name."
)
_SUBJECT = {"walk": 35, "run": 9}
_TRIALS = {"walk": (*range(1, 17), *range(28, 35)), "run": tuple(range(1, 12))}  # of the published protocol
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
_SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class MotionClips:
    """Clips of one skeleton topology, and the split that was published with them.

    Args:
        pos: for every clip the joint positions (F, J, 3) in the skeleton unit, y up; no frame of one left out.
        names: trial of every clip, e.g. "35_01".
        subjects: subject of every clip.
        joints: names of the joints.
        bones: (J - 1, 2) as [child, parent].
        fps: frames per second.
        starts: per split the start frames of every clip of it, by clip number, in published order; empty without one.
        source: where they were read from.
        skipped: what is wrong with every clip left out, by clip number.
        meters_per_unit: of the skeleton unit.
    """

    pos: tuple[NDArray[np.float64], ...]
    names: tuple[str, ...]
    subjects: tuple[str, ...]
    joints: tuple[str, ...]
    bones: NDArray[np.int64]
    fps: float
    starts: dict[str, dict[int, NDArray[np.int64]]]
    source: Path
    skipped: dict[int, str] = field(default_factory=dict)
    meters_per_unit: float = _METERS_PER_UNIT


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
    Trials that the published protocol does not use are not read.
    Args:
        motion: "walk", "run" or "walk-subjects" (npz only).
        data_dir: folder or file; default: RAPIDASH_DATA.
        on_error: "skip" leaves clips that cannot be read out: they keep their numbers, so that the split stays.
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
    return (_from_pickle if number == 1 else _from_acclaim)(path, motion, on_error)


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
    pos, fps, num_joints = arrays["pos"], arrays["fps"], arrays["joint"].size
    lengths = _whole_numbers(arrays["case_len"], f"{path}, 'case_len'", num_axes=1)
    shapes = {"pos": (sum(lengths.tolist()), num_joints, 3), "trial": lengths.shape, "joint": (num_joints,)}
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise DataError(f"{path}, {name!r}: shape {arrays[name].shape}, by 'case_len' and 'joint' expected {shape}")
    if lengths.min(initial=1) < 1 or pos.dtype.kind not in "iuf" or fps.dtype.kind not in "iuf" or fps.size != 1:
        raise DataError(f"{path}: 'case_len' must be at least 1, 'pos' numbers and 'fps' a number")
    names = words(arrays["trial"])
    return MotionClips(
        pos=tuple(np.split(pos.astype(np.float64), np.cumsum(lengths)[:-1])),
        names=names,
        subjects=tuple(name.split("_")[0] for name in names),
        joints=words(arrays["joint"]),
        bones=_bones(arrays["edges"], num_joints, f"{path}, 'edges'"),
        fps=float(fps.item()),
        starts=_starts_of_npz(path, arrays, len(names)),
        source=path,
    )


def _starts_of_npz(path: Path, arrays: Mapping[str, Array], num_clips: int) -> dict[str, dict[int, NDArray[np.int64]]]:
    keys = [f"{split}_{kind}" for split in _SPLITS for kind in ("case", "start")]
    if missing := [key for key in keys if key not in arrays]:
        if len(missing) == len(keys):
            return {}
        raise DataError(f"{path} has a published split without {missing[0]!r}")
    starts = {}
    for split in _SPLITS:
        cases = _whole_numbers(arrays[f"{split}_case"], f"{path}, '{split}_case'", num_axes=1)
        frames = _whole_numbers(arrays[f"{split}_start"], f"{path}, '{split}_start'", num_axes=2)
        if len(cases) != len(frames):
            raise DataError(f"{path}: '{split}_case' names {len(cases)} clips, '{split}_start' has {len(frames)} rows")
        starts[split] = dict(zip(cases.tolist(), frames))
    _check_cases(starts, path, num_clips, path)
    return starts


def _from_pickle(path: Path, motion: str, on_error: OnError) -> MotionClips:
    content = load_plain_pickle(path)
    if not (isinstance(content, list | tuple) and len(content) == 2 and _is_sequence(content[1])):
        raise DataError(f"{path} holds {type(content).__name__}, expected the pair (edges, list of clips)")
    num_joints = len(_whole_numbers(content[0], f"{path}, edges", num_axes=2)) + 1
    names = tuple(f"clip {number}" for number in range(len(content[1])))
    reads = [partial(_clip, clip, num_joints) for clip in content[1]]
    pos, skipped = _read_clips(reads, names, num_joints, SampleErrors(path, on_error))
    split_path = beside(path, path.name.lower().replace("motion", "split"))
    if not split_path.exists():
        raise FileNotFoundError(f"{split_path} is missing beside {path}: it holds the published split")
    starts = _starts_of_pickle(split_path)
    _check_cases(starts, split_path, len(names), path)
    return MotionClips(
        pos=pos,
        names=names,
        subjects=(f"{_SUBJECT[motion]:02d}",) * len(names),
        joints=tuple(f"joint {number}" for number in range(num_joints)),
        bones=_bones(content[0], num_joints, f"{path}, edges"),
        fps=120.0,
        starts=starts,
        source=path,
        skipped=skipped,
    )


def _starts_of_pickle(path: Path) -> dict[str, dict[int, NDArray[np.int64]]]:
    mappings = load_plain_pickle(path)
    is_split = isinstance(mappings, list | tuple) and len(mappings) in (3, 6)
    if not is_split or not all(isinstance(mapping, dict) for mapping in mappings[-3:]):
        raise DataError(f"{path} is not a published split: expected three dicts of start frames by clip")
    starts = {}
    for split, mapping in zip(_SPLITS, mappings[-3:]):
        cases = _whole_numbers(list(mapping), f"{path}, clips of {split!r}", num_axes=1)
        frames = [_whole_numbers(mapping[case], f"{path}, start frames of clip {case}", num_axes=1) for case in mapping]
        starts[split] = dict(zip(cases.tolist(), frames))
    return starts


def _is_sequence(value: object) -> bool:
    return isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.ndim > 0)


def _clip(value: object, num_joints: int) -> Array:
    """One clip of a pickle. Raises: DataError."""
    try:
        clip = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError("not an array of numbers") from None
    if clip.ndim != 3 or clip.shape[1:] != (num_joints, 3):
        raise DataError(
            f"shape {clip.shape} with {num_joints - 1} bones, expected (frames, joints, 3) with one bone fewer than "
            "joints"
        )
    return clip


def _from_acclaim(path: Path, motion: str, on_error: OnError) -> MotionClips:
    skeleton = read_asf(path)
    pattern = re.compile(rf"{re.escape(path.stem)}_(\d+)\.amc", re.IGNORECASE)
    found = {int(match[1]): file for file in sorted(path.parent.iterdir()) if (match := pattern.fullmatch(file.name))}
    files = {f"{path.stem}_{trial:02d}": found[trial] for trial in _TRIALS[motion] if trial in found}
    if not files:
        raise FileNotFoundError(f"no motion beside {path}: looked for {path.stem}_*.amc. {_OBTAIN}")
    names = tuple(sorted(files, key=lambda name: _listing_key(f"{name}.amc")))
    reads = [partial(read_amc, files[name], skeleton) for name in names]
    clips, skipped = _read_clips(reads, names, len(skeleton.order), SampleErrors(path.parent, on_error))
    return MotionClips(
        pos=tuple(clip[_FIRST_FRAME.get(name, 0) :] for name, clip in zip(names, clips)),
        names=names,
        subjects=(path.stem,) * len(names),
        joints=skeleton.order,
        bones=skeleton.edges,
        fps=FRAMES_PER_SECOND,
        meters_per_unit=_METERS_PER_INCH / skeleton.length,
        starts=published_starts(motion) if len(names) == len(_TRIALS[motion]) else {},
        source=path.parent,
        skipped=skipped,
    )


def _read_clips(
    reads: Sequence[Callable[[], Array]], names: Sequence[str], num_joints: int, errors: SampleErrors
) -> tuple[tuple[Array, ...], dict[int, str]]:
    """The clips, those that cannot be read without a frame, and what is wrong with the latter by number."""
    clips, skipped = [], {}
    for number, (read, name) in enumerate(zip(reads, names)):
        try:
            clips.append(read())
        except DataError as error:
            errors.add(name, str(error))
            skipped[number] = errors.skipped[-1]
            clips.append(np.zeros((0, num_joints, 3)))
    return tuple(clips), skipped


def _bones(edges: object, num_joints: int, entry: str) -> NDArray[np.int64]:
    """Edges (J - 1, 2) of a skeleton. Raises: DataError for another shape or joints out of range."""
    bones = _whole_numbers(edges, entry, num_axes=2)
    if bones.shape != (num_joints - 1, 2):
        raise DataError(f"{entry}: shape {bones.shape}, expected {(num_joints - 1, 2)} for {num_joints} joints")
    if bones.size and not (bones.min() >= 0 and bones.max() < num_joints):
        raise DataError(f"{entry}: joints from {bones.min()} to {bones.max()}, expected 0 to {num_joints - 1}")
    return bones


def _check_cases(starts: dict[str, dict[int, NDArray[np.int64]]], path: Path, num_clips: int, clips_path: Path) -> None:
    """Raises: DataError for the number of a clip that is not there."""
    unknown = [case for mapping in starts.values() for case in mapping if not 0 <= case < num_clips]
    if unknown:
        raise DataError(f"{path} names clip {unknown[0]}, {clips_path} has {num_clips} clips")


def _whole_numbers(value: object, entry: str, *, num_axes: int) -> NDArray[np.int64]:
    """An array of integers. Raises: DataError naming the entry for other numbers, strings or another number of axes."""
    whole: Any = None
    try:
        given = np.asarray(value)
        with np.errstate(invalid="ignore"):
            whole = given.astype(np.int64)
    except (TypeError, ValueError, OverflowError):
        pass
    if whole is None or whole.ndim != num_axes or not np.array_equal(whole, given):
        raise DataError(f"{entry}: expected whole numbers in an array of {num_axes} axes")
    return whole


def _listing_key(name: str) -> int:
    """Low 22 bits of the CRC-32C register over the UTF-32LE file name: how an APFS volume orders a listing."""
    register = 0xFFFFFFFF
    for byte in name.encode("utf-32-le"):
        register ^= byte
        for _ in range(8):
            register = (register >> 1) ^ (0x82F63B78 if register & 1 else 0)
    return register & 0x3FFFFF
