"""Acclaim motion files: a skeleton (ASF), its joint angles over time (AMC), and the joint positions they mean."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rapidash.datasets._reading import DataError
from rapidash.datasets._text import text_lines

Array = NDArray[np.float64]
Sections = dict[str, list[tuple[int, list[str]]]]
FRAMES_PER_SECOND = 120.0
UNITS_PER_INCH = 0.45  # of the CMU skeleton files
_AXES = {"rx": 0, "ry": 1, "rz": 2}
_ROOT_ORDER = ("TX", "TY", "TZ", "RX", "RY", "RZ")
_ANGLES = {"deg": np.pi / 180, "rad": 1.0}


@dataclass(frozen=True)
class Bone:
    """One bone: unit direction at rest, length, axes of its own frame, and its free angles in file order."""

    name: str
    offset: Array  # direction times length (3,)
    frame: Array  # rotation of the bone's frame (3, 3)
    freedom: tuple[str, ...]  # of "rx", "ry", "rz", in this order


@dataclass(frozen=True)
class Skeleton:
    """Bones by name with their parents, in ``parent`` after these; the first joint in ``order`` is the root.

    ``root_order`` names the numbers of the root, e.g. ("tx", "ty", "tz", "rx", "ry", "rz"): its rotations are about
    the fixed axes in this order. ``root_position`` is where it begins; ``angle`` is the unit of angles in radians, and
    ``length`` how many units of length an inch has.
    """

    order: tuple[str, ...]
    parent: dict[str, str]
    bones: dict[str, Bone]
    root_order: tuple[str, ...]
    root_position: Array
    angle: float
    length: float

    @property
    def edges(self) -> NDArray[np.int64]:
        """(J - 1, 2) bones as [child, parent], indices into ``order``."""
        index = {name: number for number, name in enumerate(self.order)}
        return np.array([[index[name], index[self.parent[name]]] for name in self.order[1:]]).reshape(-1, 2)


def read_asf(path: Path) -> Skeleton:
    """The skeleton of an ASF file. Raises: DataError naming file and line, also for what is stated and not read."""
    sections = _sections(path)
    for name in ("root", "bonedata", "hierarchy"):
        if name not in sections:
            raise DataError(f"{path} has no section ':{name}': it is not an ASF skeleton, or cut short")
    angle, length = _units(path, sections.get("units", []))
    bones = _bones(path, sections["bonedata"], angle)
    parent = _parents(path, sections["hierarchy"], bones)
    root_order, position = _root(path, {words[0].lower(): words[1:] for _, words in sections["root"]})
    # Bones are numbered in the order of the file, which is that of the published positions.
    names = ("root", *(name for name in bones if name in parent))
    return Skeleton(names, parent, bones, root_order, position, angle, length)


def _parents(path: Path, lines: list[tuple[int, list[str]]], bones: dict[str, Bone]) -> dict[str, str]:
    parent: dict[str, str] = {}
    for number, (name, *children) in lines:
        if name in ("begin", "end"):
            continue
        for child in children:
            if child not in bones or (name != "root" and name not in parent):
                raise DataError(f"{path}, line {number}: bone {child!r} or its parent {name!r} is not defined")
            if child in parent or child == "root":
                raise DataError(f"{path}, line {number}: bone {child!r} has a parent already, or is the root")
            parent[child] = name
    return parent


def _units(path: Path, lines: list[tuple[int, list[str]]]) -> tuple[float, float]:
    """Radians in the file's unit of angle, and the file's units of length in an inch."""
    stated = {words[0].lower(): words[1:] for _, words in lines}
    unit = " ".join(stated.get("angle", ["deg"])).lower()[:3]
    length = " ".join(stated.get("length", [str(UNITS_PER_INCH)]))
    if unit not in _ANGLES:
        raise DataError(f"{path}: the unit of angles is {unit!r}, expected one of {', '.join(_ANGLES)}")
    try:
        (scale,) = _floats([length])
    except ValueError:
        scale = 0.0
    if scale <= 0:
        raise DataError(f"{path}: the unit of length is {length!r}, expected a number above 0")
    return _ANGLES[unit], scale


def read_amc(path: Path, skeleton: Skeleton) -> Array:
    """Joint positions (F, J, 3) of an AMC file by forward kinematics, in the unit of the skeleton file.

    Every joint is at the end of its bone. With C the frame of a bone and M its rotation in the frame, the orientation
    of bone b is R_b = R_parent C M C^T, and its end x_b = x_parent + R_b offset_b. M = Rz Ry Rx of the free
    angles; that of the root has the order that the skeleton names.
    Raises: DataError naming file and line for an unknown bone, another number of angles, another rate than 120 frames
        per second, or a frame that is cut short or left out.
    """
    angles, translation = _frames(path, skeleton)
    num_frames = len(translation)
    turns = [name for name in skeleton.root_order if name in _AXES]
    rotation = {"root": _turned([(_AXES[name], angles["root"][:, _AXES[name]]) for name in turns], num_frames)}
    with np.errstate(over="ignore", invalid="ignore"):  # whether positions are finite is for the caller to say
        position = {"root": skeleton.root_position + translation}
        for name, parent in skeleton.parent.items():
            bone, rotation[name] = skeleton.bones[name], rotation[parent]
            if bone.freedom:
                local = _turned(list(enumerate(angles[name].T)), num_frames)
                rotation[name] = rotation[parent] @ (bone.frame @ local @ bone.frame.T)
            position[name] = position[parent] + rotation[name] @ bone.offset
    return np.stack([position[name] for name in skeleton.order], axis=1)


def _frames(path: Path, skeleton: Skeleton) -> tuple[dict[str, Array], Array]:
    """Angles (F, 3) in radians about x, y, z for every joint, and the translation of the root (F, 3)."""
    freedom = {name: bone.freedom for name, bone in skeleton.bones.items() if bone.freedom and name in skeleton.parent}
    freedom["root"] = skeleton.root_order
    values: dict[str, list[list[float]]] = {name: [] for name in freedom}
    factor, first, num_frames, last = skeleton.angle, 0, 0, 0
    for number, words in _lines(path):
        last = number
        if words[0].startswith(":"):
            factor = {":RADIANS": 1.0, ":DEGREES": _ANGLES["deg"]}.get(words[0].upper(), factor)
            _check_rate(path, number, words)
            continue
        if len(words) == 1 and words[0].isascii() and words[0].isdecimal():
            _check_complete(path, number, values, num_frames)
            first = first if num_frames else int(words[0][:19])
            if int(words[0][:19]) != first + num_frames:
                raise DataError(
                    f"{path}, line {number}: frame {words[0][:19]}, expected {first + num_frames}: one is left out"
                )
            num_frames += 1
            continue
        name = words[0]
        if name not in freedom:
            raise DataError(f"{path}, line {number}: bone {name!r} is not in the skeleton or has no free angle")
        try:
            row = _floats(words[1:])
        except ValueError:
            raise DataError(f"{path}, line {number}: {' '.join(words)[:80]!r} is not a bone with numbers") from None
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


def _check_rate(path: Path, line: int, words: list[str]) -> None:
    """Raises: DataError for a motion that says another number of frames per second."""
    if words[0].lower() != ":samples-per-second":
        return
    stated = " ".join(words[1:])
    if stated not in ("120", "120.0"):
        raise DataError(f"{path}, line {line}: {stated} frames per second, expected {FRAMES_PER_SECOND:g}")


def _root(path: Path, root: dict[str, list[str]]) -> tuple[tuple[str, ...], Array]:
    """The names of the numbers of the root, and its position at the start."""
    order = tuple(word.lower() for word in root.get("order", _ROOT_ORDER))
    if unknown := set(order) - {"tx", "ty", "tz", *_AXES}:
        raise DataError(f"{path}: the order of ':root' has {sorted(unknown)}, expected TX, TY, TZ, RX, RY, RZ only")
    if len(set(order)) < len(order):
        raise DataError(f"{path}: the order of ':root' names a number twice: {' '.join(order)}")
    try:
        degrees, position = (_floats(root.get(name, ["0", "0", "0"])) for name in ("orientation", "position"))
        _axes_rotation(degrees, "".join(root.get("axis", ["XYZ"])))
        x, y, z = position
    except ValueError as error:
        raise DataError(f"{path}: ':root' has no orientation of three angles, or no position ({error})") from error
    if any(degrees):  # readers do not agree on what it means
        raise DataError(f"{path}: ':root' begins with the orientation {degrees}, which is not read, only 0 0 0")
    return order, np.array([x, y, z])


def _bones(path: Path, lines: list[tuple[int, list[str]]], angle: float) -> dict[str, Bone]:
    found: dict[str, Bone] = {}
    entry: dict[str, list[str]] = {}
    for number, words in lines:
        if words[0] == "begin":
            entry = {}
        elif words[0] == "end":
            try:
                bone = _bone(entry, angle)
            except (KeyError, IndexError, ValueError) as error:
                raise DataError(f"{path}, line {number}: the bone that ends here is incomplete ({error})") from error
            # Readers do not agree on what another order of the rotations means.
            if bone.freedom != tuple(name for name in _AXES if name in bone.freedom):
                raise DataError(
                    f"{path}, line {number}: degrees of freedom {' '.join(bone.freedom)}, expected rx, ry, rz only, in "
                    "this order"
                )
            if bone.name in found:
                raise DataError(f"{path}, line {number}: bone {bone.name!r} is defined twice")
            found[bone.name] = bone
        else:
            entry[words[0].lower()] = words[1:]
    return found


def _bone(entry: dict[str, list[str]], angle: float) -> Bone:
    """Raises: KeyError, IndexError, ValueError for an entry without what a bone needs."""
    x, y, z = _floats(entry["direction"])
    *angles, axes = entry["axis"]
    length = _floats(entry["length"])[0]
    offset = np.array(_floats([x * length, y * length, z * length]))
    frame = _axes_rotation([value * angle for value in _floats(angles)], axes)
    return Bone(entry["name"][0], offset, frame, tuple(word.lower() for word in entry.get("dof", [])))


def _sections(path: Path) -> Sections:
    sections: Sections = {}
    current: list[tuple[int, list[str]]] = []
    for number, words in _lines(path):
        if words[0].startswith(":"):
            current = sections.setdefault(words[0][1:].lower(), [])
        else:
            current.append((number, words))
    return sections


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Numbered lines as words, without comments and empty lines."""
    for number, line in enumerate(text_lines(path), start=1):
        words = line.split()
        if words and not words[0].startswith("#"):
            yield number, words


def _floats(words: Sequence[str | float]) -> list[float]:
    """Raises: ValueError for a word that is no finite number."""
    values = [float(word) for word in words]
    if not np.isfinite(values).all():
        raise ValueError(f"{values} is not finite")
    return values


def _axes_rotation(angles: list[float], axes: str) -> Array:
    """The rotation about the fixed axes in the order named, e.g. XYZ: first x, then y, then z; angles in radians."""
    if sorted(axes.lower()) != ["x", "y", "z"]:
        raise ValueError(f"axis {axes!r}, expected an order of X, Y, Z")
    pairs = zip(axes.lower(), angles, strict=True)
    return _turned([("xyz".index(axis), np.array([angle])) for axis, angle in pairs], 1)[0]


def _turned(turns: list[tuple[int, Array]], num: int) -> Array:
    """Rotations about fixed axes one after the other, as (axis, angles (F,) in radians): (F, 3, 3)."""
    rotation = np.tile(np.eye(3), (num, 1, 1))
    for axis, angle in turns:
        first, second = (axis + 1) % 3, (axis + 2) % 3
        single = np.tile(np.eye(3), (num, 1, 1))
        single[:, first, first] = single[:, second, second] = np.cos(angle)
        single[:, second, first] = np.sin(angle)
        single[:, first, second] = -np.sin(angle)
        rotation = single @ rotation
    return rotation
