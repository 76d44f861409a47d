"""Acclaim motion files: a skeleton (ASF), its joint angles over time (AMC), and the joint positions they mean."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rapidash.datasets._reading import DataError, readable

Array = NDArray[np.float64]
_AXES = {"rx": 0, "ry": 1, "rz": 2}


@dataclass(frozen=True)
class Bone:
    """One bone: unit direction in the rest pose, length, axes of its own frame, and its free angles in file order."""

    name: str
    offset: Array  # direction times length (3,)
    frame: Array  # rotation of the bone's frame (3, 3)
    freedom: tuple[str, ...]  # of "rx", "ry", "rz"


@dataclass(frozen=True)
class Skeleton:
    """Bones by name with their parents, parents first in ``order``; the first joint is the root.

    ``root_order`` names the six numbers of the root, e.g. ("tx", "ty", "tz", "rx", "ry", "rz").
    """

    order: tuple[str, ...]
    parent: dict[str, str]
    bones: dict[str, Bone]
    root_order: tuple[str, ...]
    root_frame: Array

    @property
    def edges(self) -> NDArray[np.int64]:
        """(J - 1, 2) bones as [child, parent], indices into ``order``."""
        index = {name: number for number, name in enumerate(self.order)}
        return np.array([[index[name], index[self.parent[name]]] for name in self.order[1:]]).reshape(-1, 2)


def read_asf(path: Path) -> Skeleton:
    """The skeleton of an ASF file. Raises: DataError naming file and line."""
    sections = _sections(path)
    for name in ("root", "bonedata", "hierarchy"):
        if name not in sections:
            raise DataError(f"{path} has no section ':{name}': it is not an ASF skeleton, or cut short")
    bones = dict(_bones(path, sections["bonedata"]))
    parent, order = {}, ["root"]
    for number, words in sections["hierarchy"]:
        if words[0] in ("begin", "end"):
            continue
        for child in words[1:]:
            if child not in bones or words[0] not in order:
                raise DataError(f"{path}, line {number}: bone {child!r} or its parent {words[0]!r} is not defined")
            parent[child] = words[0]
            order.append(child)
    root_order, frame = _root(path, {words[0]: words[1:] for _, words in sections["root"]})
    # Bones are numbered in the order of the file, which is that of the published positions.
    names = ("root", *(name for name in bones if name in parent))
    return Skeleton(names, parent, bones, root_order, frame)


def read_amc(path: Path, skeleton: Skeleton) -> Array:
    """Joint positions (F, J, 3) of an AMC file by forward kinematics, in the unit of the skeleton file.

    Every joint is at the end of its bone. With C the frame of a bone and M its rotation in the frame, the orientation
    of bone b is R_b = R_parent C M C^T, and its end x_b = x_parent + R_b offset_b. M = Rz Ry Rx of the free angles.
    Raises: DataError naming file and line for an unknown bone, another number of angles or a frame cut short.
    """
    angles, translation = _frames(path, skeleton)
    num_frames = len(translation)
    rotation = {"root": skeleton.root_frame @ _euler(angles["root"]) @ skeleton.root_frame.T}
    position = {"root": translation}
    remaining = list(skeleton.order[1:])
    while remaining:
        name = next(name for name in remaining if skeleton.parent[name] in rotation)
        remaining.remove(name)
        bone, parent = skeleton.bones[name], skeleton.parent[name]
        local = bone.frame @ _euler(angles[name]) @ bone.frame.T if bone.freedom else np.eye(3)
        rotation[name] = rotation[parent] @ local
        position[name] = position[parent] + rotation[name] @ bone.offset
    return np.stack([np.broadcast_to(position[name], (num_frames, 3)) for name in skeleton.order], axis=1)


def _frames(path: Path, skeleton: Skeleton) -> tuple[dict[str, Array], Array]:
    """Angles (F, 3) in radians about x, y, z for every joint, and the translation of the root (F, 3)."""
    freedom = {name: bone.freedom for name, bone in skeleton.bones.items() if bone.freedom and name in skeleton.parent}
    freedom["root"] = skeleton.root_order
    values: dict[str, list[list[float]]] = {name: [] for name in freedom}
    factor, num_frames, last = np.pi / 180, 0, 0
    for number, words in _lines(path):
        last = number
        if words[0].upper() == ":RADIANS":
            factor = 1.0
        if words[0].startswith(":"):
            continue
        if len(words) == 1 and words[0].isdigit():
            _check_complete(path, number, values, num_frames)
            num_frames += 1
            continue
        name = words[0]
        if name not in freedom:
            raise DataError(f"{path}, line {number}: bone {name!r} is not in the skeleton or has no free angle")
        try:
            row = [float(word) for word in words[1:]]
        except ValueError:
            raise DataError(f"{path}, line {number}: {' '.join(words)!r} is not a bone with numbers") from None
        if len(row) != len(freedom[name]) or len(values[name]) >= num_frames:
            raise DataError(
                f"{path}, line {number}: bone {name!r} has {len(row)} values, expected {len(freedom[name])}, once"
            )
        values[name].append(row)
    _check_complete(path, last, values, num_frames)
    if num_frames == 0:
        raise DataError(f"{path} has no frame: it is not an AMC motion, or cut short")
    tables = {name: np.array(rows) for name, rows in values.items()}
    angles = {name: np.zeros((num_frames, 3)) for name in freedom}
    translation = np.zeros((num_frames, 3))
    for name, table in tables.items():
        for column, kind in enumerate(freedom[name]):
            if kind in _AXES:
                angles[name][:, _AXES[kind]] = table[:, column] * factor
            elif name == "root":
                translation[:, "xyz".index(kind[-1])] = table[:, column]
    return angles, translation


def _check_complete(path: Path, line: int, values: dict[str, list[list[float]]], num_frames: int) -> None:
    short = [name for name, rows in values.items() if len(rows) != num_frames]
    if short:
        raise DataError(f"{path}, line {line}: frame {num_frames} has no bone {short[0]!r}: the file is cut short")


def _root(path: Path, root: dict[str, list[str]]) -> tuple[tuple[str, ...], Array]:
    """The names of the numbers of the root, and the rotation of its frame."""
    order = tuple(word.lower() for word in root.get("order", ["TX", "TY", "TZ", "RX", "RY", "RZ"]))
    try:
        degrees = [float(word) for word in root.get("orientation", ["0", "0", "0"])]
        frame = _axes_rotation(degrees, root.get("axis", ["XYZ"])[0])
    except (IndexError, ValueError) as error:
        raise DataError(f"{path}: ':root' has no orientation of three angles ({error})") from error
    if unknown := set(order) - {"tx", "ty", "tz", *_AXES}:
        raise DataError(f"{path}: the order of ':root' has {sorted(unknown)}, expected TX, TY, TZ, RX, RY, RZ only")
    return order, frame


def _bones(path: Path, lines: list[tuple[int, list[str]]]) -> list[tuple[str, Bone]]:
    found: list[tuple[str, Bone]] = []
    entry: dict[str, list[str]] = {}
    for number, words in lines:
        if words[0] == "begin":
            entry = {}
        elif words[0] == "end":
            try:
                x, y, z = entry["direction"]
                direction = np.array([float(x), float(y), float(z)])
                *degrees, axes = entry["axis"]
                offset = direction * float(entry["length"][0])
                frame = _axes_rotation([float(x) for x in degrees], axes)
                freedom = tuple(word.lower() for word in entry.get("dof", []))
                found.append((entry["name"][0], Bone(entry["name"][0], offset, frame, freedom)))
            except (KeyError, IndexError, ValueError) as error:
                raise DataError(f"{path}, line {number}: the bone that ends here is incomplete ({error})") from error
            if not set(freedom) <= set(_AXES):
                raise DataError(f"{path}, line {number}: degrees of freedom {freedom}, expected rx, ry, rz only")
        else:
            entry[words[0]] = words[1:]
    return found


def _sections(path: Path) -> dict[str, list[tuple[int, list[str]]]]:
    sections: dict[str, list[tuple[int, list[str]]]] = {}
    current: list[tuple[int, list[str]]] = []
    for number, words in _lines(path):
        if words[0].startswith(":"):
            current = sections.setdefault(words[0][1:], [])
        else:
            current.append((number, words))
    return sections


def _lines(path: Path) -> list[tuple[int, list[str]]]:
    """Numbered lines as words, without comments and empty lines; any line end."""
    with readable(path):
        text = path.read_text(encoding="latin1")
    lines = [(number, line.split()) for number, line in enumerate(text.splitlines(), start=1)]
    return [(number, words) for number, words in lines if words and not words[0].startswith("#")]


def _axes_rotation(degrees: list[float], axes: str) -> Array:
    """The rotation about the fixed axes in the order named, e.g. XYZ: first x, then y, then z."""
    rotation = np.eye(3)
    for angle, axis in zip(degrees, axes.lower(), strict=True):
        single = np.zeros((1, 3))
        single[0, "xyz".index(axis)] = angle * np.pi / 180
        rotation = _euler(single)[0] @ rotation
    return rotation


def _euler(angles: Array) -> Array:
    """(F, 3) angles about x, y, z in radians -> (F, 3, 3), Rz Ry Rx."""
    (sx, sy, sz), (cx, cy, cz) = np.sin(angles).T, np.cos(angles).T
    rows = [
        [cy * cz, sx * sy * cz - cx * sz, cx * sy * cz + sx * sz],
        [cy * sz, sx * sy * sz + cx * cz, cx * sy * sz - sx * cz],
        [-sy, sx * cy, cx * cy],
    ]
    return np.moveaxis(np.array(rows), -1, 0)
