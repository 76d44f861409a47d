"""CMU motion capture: where are the 31 joints of a walking or running person, 30 frames from now?"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rapidash.data import Field
from rapidash.datasets._motion_clips import Motion, MotionClips, read_motion_clips
from rapidash.datasets._nbody import Split
from rapidash.datasets._reading import DataError, OnError, ReadDataset, SampleErrors, as_points, check_split
from rapidash.groups import Position, Scalar, Vector

CMU_MAX_SAMPLES: dict[str, int] = {"train": 200, "val": 600, "test": 600}  # of the published protocol
CMU_HORIZON = 30  # frames of 1/120 s

_SUBJECT_HORIZON = 15  # frames of 1/60 s: the same quarter of a second
_HELD_OUT = 4  # subjects for validation, and as many for testing
_STARTS_PER_CLIP = 20  # of the clips without published starts


def cmu_dataset(
    split: Split,
    *,
    motion: Motion = "walk",
    horizon: int | None = None,
    max_samples: int | None = None,
    data_dir: str | Path | None = None,
    on_error: OnError = "raise",
    verify: bool = True,
    dtype: torch.dtype = torch.float32,
) -> ReadDataset:
    """Joint positions and velocities now, and the positions and velocities ``horizon`` frames later.

    The published protocol (Huang et al. 2022, Xu et al. 2024): the velocity is v[t] = x[t + 1] - x[t]; every clip of
    the split gives its first max_samples // clips published start frames: 198, 600, 600 samples (walk) and 200, 240,
    240 (run). "walk-subjects" has no published split: the last 4 subjects are the test, the 4 before them the
    validation, and each clip gives 20 evenly spaced starts. For the layouts that are read see ``read_motion_clips``.

    Fields, 31 joints each: pos, target (position), vel, target_vel (vector, per frame); height (scalar): y / 10 of
        the input, the absolute height that the published models are given (it breaks the symmetry to rotations about
        the vertical: leave it out for the other protocol); joint (scalar, int64, (N,)): the number of the joint.
    Info: "edges" (2, E) from source to target, bones and two-bone neighbors in both directions, with "edge_order" (E,)
        1 or 2; "joints"; "bones"; "clips"; "meters_per_unit"; "fps".
    Args:
        split: "train", "val" or "test".
        motion: "walk", "run" or "walk-subjects".
        horizon: frames to look ahead, by default 1/4 s (30 frames; 15 for "walk-subjects").
        max_samples: upper bound of the samples, shared equally by the clips; default 200, 600, 600, or all.
        data_dir: folder or file; default: RAPIDASH_DATA.
        on_error: "skip" leaves bad clips out, counted and reported.
        verify: compare published checksums.
        dtype: of the floating-point fields.
    Raises: FileNotFoundError; DataError for a damaged file, non-finite positions or starts outside a clip; ValueError.
    Source: Huang et al., "Equivariant Graph Mechanics Networks with Constraints", ICLR 2022; Xu et al., "Equivariant
        Graph Neural Operator for Modeling 3D Dynamics", ICML 2024. Data: mocap.cs.cmu.edu, NSF EIA-0196217.
    """
    check_split(split)
    clips = read_motion_clips(motion, data_dir=data_dir, on_error=on_error, verify=verify)
    if horizon is None:
        horizon = _SUBJECT_HORIZON if motion == "walk-subjects" else CMU_HORIZON
    if horizon < 1:
        raise ValueError(f"horizon must be at least 1 frame, got {horizon}")
    starts = _starts(clips, split, horizon)
    default = CMU_MAX_SAMPLES[split] if clips.starts else _STARTS_PER_CLIP * len(starts)
    limit = default if max_samples is None else max_samples
    if limit < len(starts):
        raise ValueError(
            f"max_samples (num_{split} of the task) must be at least {len(starts)}, one for each clip of the split, "
            f"got {limit}"
        )
    errors = SampleErrors(clips.source, on_error)
    samples = []
    for case, frames in starts.items():
        clip, chosen = clips.pos[case], frames[: limit // len(starts)]
        if case in clips.skipped:
            errors.skipped.append(clips.skipped[case])
        elif problem := _problem(clip, chosen, horizon):
            errors.add(f"clip {clips.names[case]}", problem)
        else:
            samples.append(_sample(clip, chosen, horizon))
    errors.report(len(starts))
    now, vel, target, target_vel = (np.concatenate(parts).reshape(-1, 3) for parts in zip(*samples))
    num_joints = len(clips.joints)
    size = len(now) // num_joints
    unit = "skeleton unit"
    fields = {
        "pos": Field(Position(), unit),
        "vel": Field(Vector(), f"{unit}/frame"),
        "height": Field(Scalar(), f"10 {unit}"),
        "joint": Field(Scalar(), "1"),
        "target": Field(Position(), unit),
        "target_vel": Field(Vector(), f"{unit}/frame"),
    }
    tensors = {
        "pos": as_points(now, dtype),
        "vel": as_points(vel, dtype),
        "height": as_points(now[:, 1:2] / 10, dtype),
        "joint": torch.arange(num_joints).repeat(size),
        "target": as_points(target, dtype),
        "target_vel": as_points(target_vel, dtype),
    }
    return ReadDataset(
        tensors,
        fields,
        torch.full((size,), num_joints),
        source=clips.source,
        info=_info(clips, list(starts)),
        skipped=tuple(errors.skipped),
    )


def skeleton_edges(bones: NDArray[np.int64], num_joints: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Bones and two-bone neighbors of a skeleton: edges (2, E) with both directions, and their order (E,), 1 or 2."""
    adjacency = np.zeros((num_joints, num_joints), dtype=np.int64)
    adjacency[bones[:, 0], bones[:, 1]] = adjacency[bones[:, 1], bones[:, 0]] = 1
    order = np.where(adjacency > 0, 1, 2 * (adjacency @ adjacency > 0))
    np.fill_diagonal(order, 0)
    source, target = order.nonzero()
    return torch.from_numpy(np.stack([source, target])), torch.from_numpy(order[source, target])


def _starts(clips: MotionClips, split: str, horizon: int) -> dict[int, NDArray[np.int64]]:
    if clips.starts:
        return clips.starts[split]
    subjects = sorted(set(clips.subjects))
    if len(subjects) <= 2 * _HELD_OUT:
        raise DataError(
            f"{clips.source} has neither the published split nor enough subjects ({len(subjects)}) to hold out "
            f"{2 * _HELD_OUT}: all 23 walk clips of subject 35 or 11 run clips of subject 9 are needed for the former"
        )
    parts = {"test": subjects[-_HELD_OUT:], "val": subjects[-2 * _HELD_OUT : -_HELD_OUT]}
    parts["train"] = subjects[: -2 * _HELD_OUT]
    return {
        case: np.linspace(0, max(len(clips.pos[case]) - horizon - 2, 0), _STARTS_PER_CLIP).astype(np.int64)
        for case, subject in enumerate(clips.subjects)
        if subject in parts[split]
    }


def _problem(clip: NDArray[np.float64], start: NDArray[np.int64], horizon: int) -> str | None:
    if not np.isfinite(clip).all():
        return "has positions that are not finite"
    if len(start) and (start.min() < 0 or start.max() + horizon + 1 >= len(clip)):
        return f"has {len(clip)} frames, too few for start frame {start.max()} and {horizon} frames ahead"
    return None


def _sample(clip: NDArray[np.float64], start: NDArray[np.int64], horizon: int) -> tuple[NDArray[np.float64], ...]:
    vel = clip[1:] - clip[:-1]
    return clip[start], vel[start], clip[start + horizon], vel[start + horizon]


def _info(clips: MotionClips, cases: list[int]) -> dict[str, Any]:
    edges, order = skeleton_edges(clips.bones, len(clips.joints))
    return {
        "edges": edges,
        "edge_order": order,
        "bones": torch.from_numpy(clips.bones),
        "joints": clips.joints,
        "clips": tuple(clips.names[case] for case in cases),
        "meters_per_unit": clips.meters_per_unit,
        "fps": clips.fps,
    }
