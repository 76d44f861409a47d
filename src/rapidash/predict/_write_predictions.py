"""Predictions as files: npz for everything, extended xyz for molecules, csv for a row per cloud, ply for its points."""

import colorsys
import csv
import io
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int
from numpy.typing import NDArray
from torch import Tensor

from rapidash._files import atomic_write
from rapidash._names import unknown_name
from rapidash.data import CloudDataset, Field
from rapidash.datasets import CLOUD_FORMATS, ELEMENT_SYMBOLS, FileCloud
from rapidash.groups import Position
from rapidash.predict._file_columns import TYPES as PLY_TYPES
from rapidash.predict._file_columns import faces_as_bytes, file_columns
from rapidash.tasks import Output


@dataclass(frozen=True)
class Predictions:
    """Predictions of a model for clouds.

    Args:
        outputs: predicted quantities by name, on the CPU.
        clouds: the clouds they are for.
        names: file and entry of each cloud.
        skipped: a message for every bad entry that was left out.
        is_finite: (B,) whether all values for a cloud are finite; None where they are for every cloud.
        average: in words what they are averaged over, or in which frames they were made; empty for plain ones.
        source: the cloud of the file that they are for, where it is one.
    """

    outputs: dict[str, Output]
    clouds: CloudDataset
    names: tuple[str, ...]
    skipped: tuple[str, ...] = ()
    is_finite: Bool[Tensor, " B"] | None = None
    average: str = ""
    source: FileCloud | None = None

    def __getitem__(self, name: str) -> Tensor:
        """The values of an output. Raises: KeyError naming those that there are."""
        if name not in self.outputs:
            raise KeyError(unknown_name("output", name, self.outputs))
        return self.outputs[name].values

    @property
    def default_suffix(self) -> str:
        """The usual suffix: ``".xyz"`` for molecules, ``".csv"`` for values of other clouds, ``".npz"`` of points."""
        if "z" in self.clouds.tensors:
            return ".xyz"
        return ".csv" if all(output.field.level == "cloud" for output in self.outputs.values()) else ".npz"

    def at_points(self, pos: Sequence[Tensor], rows: Sequence[Int[Tensor, " _"]]) -> "Predictions":
        """The same for other points of each cloud: their positions (M, D), and the row whose values each takes."""
        starts = torch.cumsum(self.clouds.num_points, 0) - self.clouds.num_points
        taken = torch.cat([start + part for start, part in zip(starts.tolist(), rows)])
        outputs = {
            name: replace(output, values=output.values[taken]) if output.field.level == "point" else output
            for name, output in self.outputs.items()
        }
        fields = {"pos": Field(Position(), "unit of the file")}
        clouds = CloudDataset({"pos": torch.cat(list(pos))}, fields, torch.tensor([len(part) for part in rows]))
        return replace(self, outputs=outputs, clouds=clouds)

    def at_places(self, pos: Tensor) -> "Predictions":
        """The same with the points (N, D) at other places, those of the files."""
        fields = {**self.clouds.fields, "pos": Field(Position(), "unit of the file")}
        return replace(self, clouds=CloudDataset({**self.clouds.tensors, "pos": pos}, fields, self.clouds.num_points))

    def write(self, path: Path | str) -> Path:
        """Write a file, whole or not at all; its suffix is the format.

        ``.npz`` holds every output by its name, ``entry`` (B,), ``num_points`` (B,), ``units`` (a JSON object) and, for
        classes, ``NAME_labels``. ``.xyz`` and ``.extxyz`` are extended xyz of molecules: outputs per atom are columns,
        those per molecule stand in the comment line, with their ``units`` and the ``entry`` of the file they come from.
        ASE reads ``energy`` and ``forces`` as results; an output that it would take for one in another unit (a dipole
        in debye) is called ``NAME_predicted``. ``.csv`` has a row per cloud: outputs per cloud with their unit in the
        head, classes by name. ``.ply`` (binary) has the points of one cloud with their outputs, and a color for every
        whole number; labels that are whole numbers stand there as in the files of the training, the names of others in
        comments. The other columns of the file of the cloud stay beside them, as ``NAME_of_file`` where an output or
        its color has the name, and its faces as triangles. What the predictions are averaged over, if anything, stands
        in ``average``: an array of npz, a key of extended xyz; ``NAME_spread`` is then an output as all others. Where
        the values for some clouds are not
        finite, ``is_finite`` stands beside them: an array of npz, a key of extended xyz, a column of csv.

        Returns: the path.
        Raises: ValueError for another suffix, or a format that cannot hold these outputs; OSError naming the file.
        """
        path = Path(path)
        check_format(path)
        check_fit(path, self, len(self.names))
        atomic_write(path, _FORMATS[path.suffix.lower()](self))
        return path


_ASE_UNITS = {  # of the results that ASE knows by name
    "energy": "eV",
    "free_energy": "eV",
    "energies": "eV",
    "forces": "eV/angstrom",
    "dipole": "e*angstrom",
    "charges": "e",
    "stress": "eV/angstrom^3",
    "magmom": "mu_B",
    "magmoms": "mu_B",
}


def check_format(path: Path) -> None:
    """Raises: ValueError for a suffix that is not a format of predictions."""
    if path.suffix.lower() not in _FORMATS:
        raise ValueError(unknown_name("format of predictions", path.suffix.lower(), _FORMATS))


def check_fit(path: Path, made: Predictions, num_clouds: int) -> None:
    """Raises: ValueError for a format that cannot hold outputs such as these, of so many clouds."""
    suffix = path.suffix.lower()
    of_points = [name for name, output in made.outputs.items() if output.field.level == "point"]
    of_clouds = [name for name in made.outputs if name not in of_points]
    if suffix in (".xyz", ".extxyz") and "z" not in made.clouds.tensors:
        raise ValueError(f"{suffix[1:]} is for molecules, these clouds have no elements: write .npz instead")
    if suffix == ".csv" and of_points:
        raise ValueError(f"csv has a row per cloud, {of_points[0]!r} is a value of every point: write .npz instead")
    if suffix == ".ply" and of_clouds:
        raise ValueError(f"ply has a row per point, {of_clouds[0]!r} is a value of the cloud: write .npz instead")
    if suffix == ".ply" and num_clouds != 1:
        raise ValueError(f"ply holds one cloud, these are {num_clouds}: write .npz, or predict file by file")


def default_place(files: Sequence[Path | str], suffix: str) -> Path:
    """Beside the file of the clouds, for several files in the working directory.

    The name keeps the suffix of a file beside which there is another format of the same name, water.npz and water.xyz.
    """
    first = Path(files[0])
    if len(files) > 1:
        return Path(f"predictions{suffix}")
    others = [first.with_suffix(other) for other in CLOUD_FORMATS]
    has_twin = any(other != first and other.exists() for other in others)
    return first.with_name(f"{first.name if has_twin else first.stem}.predictions{suffix}")


def check_place(path: Path, files: Sequence[Path | str] = ()) -> None:
    """Whether a file can be written there.

    Args:
        path: the file; folders that do not exist are created when it is written.
        files: that it must not replace.
    Raises: ValueError for an input; OSError for a folder, or a place in a folder that is a file or may not be changed.
    """
    if path.exists() and any(Path(file).exists() and path.samefile(file) for file in files):
        raise ValueError(f"{path} is a file to be predicted, which its predictions would replace: choose another name")
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: give a file")
    above = next(folder for folder in path.absolute().parents if folder.exists())
    if not above.is_dir():
        raise NotADirectoryError(f"{path} cannot be written: {above} is a file, not a folder")
    if not os.access(above, os.W_OK | os.X_OK):
        raise PermissionError(f"{path} cannot be written: no permission to change {above}")


def _npz(made: Predictions) -> bytes:
    arrays: dict[str, Any] = {name: output.values.numpy() for name, output in made.outputs.items()}
    arrays |= {f"{name}_labels": np.array(output.labels) for name, output in made.outputs.items() if output.labels}
    arrays["num_points"] = made.clouds.num_points.numpy()
    arrays["entry"] = np.array(made.names)
    arrays["units"] = np.array(json.dumps({name: output.field.unit for name, output in made.outputs.items()}))
    if made.average:
        arrays["average"] = np.array(made.average)
    if made.is_finite is not None:
        arrays["is_finite"] = made.is_finite.numpy()
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def _xyz(made: Predictions) -> str:
    whole = {name: output for name, output in made.outputs.items() if output.field.level == "cloud"}
    columns = {"pos": made.clouds.tensors["pos"]}
    columns |= {
        _xyz_name(name, output): _as_labeled(output)
        for name, output in made.outputs.items()
        if output.field.level == "point"
    }
    flat = {name: values.reshape(len(values), -1).double() for name, values in columns.items()}
    declared = "".join(f":{name}:R:{values.shape[1]}" for name, values in flat.items())
    numbers = torch.cat(list(flat.values()), dim=1).tolist()
    symbols = [ELEMENT_SYMBOLS[number - 1] for number in made.clouds.tensors["z"].tolist()]
    units = "; ".join(f"{_xyz_name(name, output)} {output.field.unit}" for name, output in made.outputs.items())
    lines = []
    for index, (rows, entry) in enumerate(zip(_rows(made.clouds.num_points), made.names, strict=True)):
        values = [f"{_xyz_name(name, output)}={_quoted(output, index)}" for name, output in whole.items()]
        if made.is_finite is not None:
            values.append(f"is_finite={'T' if made.is_finite[index] else 'F'}")
        if made.average:
            values.append(f"average={_text(made.average)}")
        values += [f"entry={_text(entry)}", f"units={_text(units)}", *_cell(made.clouds, index)]
        lines += [str(len(rows)), " ".join([f"Properties=species:S:1{declared}", *values])]
        lines += [" ".join([symbols[row], *(f"{number:.10g}" for number in numbers[row])]) for row in rows]
    return "\n".join(lines) + "\n"


def _cell(clouds: CloudDataset, index: int) -> list[str]:
    """The words of extended xyz for the cell of a cloud."""
    if "cell" not in clouds.tensors:
        return ['pbc="F F F"']
    numbers = " ".join(f"{number:.10g}" for number in clouds.tensors["cell"][index].double().reshape(-1).tolist())
    along = " ".join("T" if repeats else "F" for repeats in clouds.tensors["periodic"][index].tolist())
    return [f'Lattice="{numbers}"', f'pbc="{along}"']


def _xyz_name(name: str, output: Output) -> str:
    """The name of an output in extended xyz; not one that ASE takes for a result in another unit."""
    expected = _ASE_UNITS.get(name, output.field.unit)
    return name if expected == output.field.unit else f"{name}_predicted"


def _text(words: str) -> str:
    """In quotes, which it may not hold itself."""
    return '"' + words.replace('"', "'").replace("\n", " ") + '"'


def _rows(num_points: Int[Tensor, " B"]) -> Iterator[range]:
    """The rows of each cloud's points."""
    end = 0
    for size in num_points.tolist():
        yield range(end, end := end + size)


def _quoted(output: Output, index: int) -> str:
    numbers = output.values[index].reshape(-1).tolist()
    text = " ".join(f"{number:.12g}" for number in numbers)
    return text if len(numbers) == 1 else f'"{text}"'


def _csv(made: Predictions) -> str:
    columns: dict[str, list[Any]] = {"entry": list(made.names)}
    for name, output in made.outputs.items():
        if output.labels and not output.values.is_floating_point():
            columns[name] = [output.labels[number] for number in output.values.tolist()]
            continue
        unit = "" if output.field.unit == "1" else f" ({output.field.unit})"
        values = output.values.reshape(len(made.names), -1)
        parts = output.labels or (("",) if values.shape[1] == 1 else tuple(map(str, range(values.shape[1]))))
        for part, column in zip(parts, values.T.tolist()):
            columns[name + (f"[{part}]" if part else "") + unit] = column
    if made.is_finite is not None:
        columns["is_finite"] = made.is_finite.tolist()
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values()))
    return text.getvalue()


def _ply(made: Predictions) -> bytes:
    pos = made.clouds.tensors["pos"].double()
    columns = dict(zip("xyz", pos.T.numpy()))
    for name, output in made.outputs.items():
        values = _as_labeled(output).reshape(len(pos), -1)
        values = values.double() if values.is_floating_point() else values.int()
        if values.dtype == torch.int32:
            columns |= dict(zip(("red", "green", "blue"), _colors(output.values.reshape(-1).int().numpy()).T))
        names = [name] if values.shape[1] == 1 else [f"{name}_{index}" for index in range(values.shape[1])]
        columns |= dict(zip(names, values.T.numpy()))
    source = made.source if made.source is not None and len(made.source.arrays["pos"]) == len(pos) else None
    columns |= {} if source is None else file_columns(source, columns)
    face_head, faces = faces_as_bytes(None if source is None else source.triangles)
    types = {name: column.dtype.str[1:] for name, column in columns.items()}
    table = np.empty(len(pos), dtype=[(name, f"<{kind}") for name, kind in types.items()])
    for name, column in columns.items():
        table[name] = column
    head = ["ply", "format binary_little_endian 1.0"]
    for name, output in made.outputs.items():
        if output.labels and not _are_numbers(output.labels):
            head += [f"comment {name} {number}: {label}" for number, label in enumerate(output.labels)]
    head.append(f"element vertex {len(pos)}")
    head += [*(f"property {PLY_TYPES[kind]} {name}" for name, kind in types.items()), *face_head, "end_header", ""]
    return "\n".join(head).encode("ascii", "replace") + table.tobytes() + faces


def _are_numbers(labels: Sequence[str]) -> bool:
    """Whether all labels are whole numbers in 32 bits."""
    return all(label.removeprefix("-").isdecimal() and label.isascii() and len(label) < 10 for label in labels)


def _as_labeled(output: Output) -> Tensor:
    """The values; of classes whose labels are whole numbers, such as 0, 2 and 5, these in place of 0, 1 and 2."""
    if output.values.is_floating_point() or not output.labels or not _are_numbers(output.labels):
        return output.values
    return torch.tensor([int(label) for label in output.labels])[output.values]


def _colors(numbers: NDArray[np.int32]) -> NDArray[np.uint8]:
    """A color (M, 3) for each whole number; neighbors in number are far apart on the color wheel."""
    wheel = [colorsys.hsv_to_rgb(0.618034 * number % 1, 0.7, 0.95) for number in range(int(numbers.max()) + 1)]
    return np.round(255 * np.array(wheel)).astype(np.uint8)[numbers]


_FORMATS: dict[str, Callable[[Predictions], bytes | str]] = {
    ".npz": _npz,
    ".xyz": _xyz,
    ".extxyz": _xyz,
    ".csv": _csv,
    ".ply": _ply,
}
