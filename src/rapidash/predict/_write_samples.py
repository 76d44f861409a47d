"""Generated clouds as files: npz for everything, extended xyz and sdf for molecules, ply for one cloud."""

import io
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from rapidash._files import atomic_write
from rapidash._names import unknown_name
from rapidash.data import CloudDataset
from rapidash.generate import DenoisingTask, is_finite
from rapidash.generate.metrics import mol_blocks

Origin = Mapping[str, str | int | float]


def write_samples(path: Path | str, samples: CloudDataset, task: DenoisingTask, origin: Origin) -> Path:
    """Write generated clouds, whole or not at all; the suffix is the format.

    ``.npz`` holds every field by its name, ``num_points`` (B,), ``is_finite`` (B,), the ``unit`` of the positions, and
    the entries of ``origin``. ``.xyz`` is extended xyz: the element of every point, or X where the task knows none, its
    position (z is 0 in the plane), and in the comment line the number of the sample, fields per cloud and ``origin``.
    ``.sdf`` has molecules with the bonds that RDKit perceives (extra ``mol``), and of each its number, fields per cloud
    and whether it is sound, see `rapidash.generate.metrics.mol_blocks`. ``.ply`` (text) has the points of one cloud.

    Args:
        path: of the file.
        samples: from `rapidash.generate.sample_clouds`; those that are not finite are written like the others.
        task: which generates them.
        origin: where they come from, e.g. the seed.
    Returns: the path.
    Raises: ValueError for another suffix, several clouds in ply, or sdf of clouds that are no molecules; ImportError
        for sdf without RDKit; OSError naming the file.
    """
    path = Path(path)
    check_sample_format(path, len(samples), task)
    atomic_write(path, _FORMATS[path.suffix.lower()](samples, task, origin))
    return path


def check_sample_format(path: Path, num: int, task: DenoisingTask | None = None) -> None:
    """Check that clouds can be written to a file, before they are drawn.

    Args:
        path: of the file.
        num: clouds.
        task: which generates them, where it is known.
    Raises: ValueError for a suffix that is not a format of samples, several clouds in ply, or sdf of clouds that are no
        molecules; ImportError for sdf without RDKit.
    """
    if not path.suffix:
        raise ValueError(f"{path} has no suffix, which says the format of samples: end it with {', '.join(_FORMATS)}")
    if path.suffix.lower() not in _FORMATS:
        raise ValueError(unknown_name("format of samples", path.suffix.lower(), _FORMATS))
    if path.suffix.lower() == ".ply" and num != 1:
        raise ValueError(f"ply holds one cloud, these are {num}: write .npz or .xyz")
    if path.suffix.lower() == ".sdf" and find_spec("rdkit") is None:
        raise ImportError("sdf is written by RDKit: pip install 'rapidash[mol]', or write .xyz")
    if path.suffix.lower() == ".sdf" and task is not None and not task.has_atoms:
        raise ValueError(
            f"sdf holds molecules, and samples of {task.name!r} have no atomic numbers: write .npz or .xyz"
        )


def _npz(samples: CloudDataset, task: DenoisingTask, origin: Origin) -> bytes:
    arrays = {name: tensor.numpy() for name, tensor in samples.tensors.items()}
    arrays |= {"num_points": samples.num_points.numpy(), "is_finite": is_finite(samples).numpy()}
    arrays |= {name: np.array(value) for name, value in {"unit": samples.fields["pos"].unit, **origin}.items()}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def _xyz(samples: CloudDataset, task: DenoisingTask, origin: Origin) -> str:
    pos = samples.tensors["pos"].tolist()
    elements = task.elements(samples)
    of_cloud = [name for name, field in samples.fields.items() if field.level == "cloud"]
    said = " ".join(f'{name}="{value}"' for name, value in {"unit": samples.fields["pos"].unit, **origin}.items())
    lines, row = [], 0
    for index, size in enumerate(samples.num_points.tolist()):
        values = "".join(f"{name}={float(samples.tensors[name][index]):.8g} " for name in of_cloud)
        lines += [str(size), f'Properties=species:S:1:pos:R:3 sample={index} {values}{said} pbc="F F F"']
        for place in range(row, row + size):
            symbol = "X" if elements is None else elements[place]
            lines.append(" ".join([symbol, *(f"{number:.8g}" for number in (*pos[place], 0.0)[:3])]))
        row += size
    return "\n".join(lines) + "\n"


def _sdf(samples: CloudDataset, task: DenoisingTask, origin: Origin) -> str:
    of_cloud = [name for name, field in samples.fields.items() if field.level == "cloud"]
    texts = []
    for index, (block, is_sound) in enumerate(mol_blocks(samples)):
        values = {name: f"{float(samples.tensors[name][index]):.8g}" for name in of_cloud}
        values = {"sample": str(index), "sound": "yes" if is_sound else "no", **values}
        said = "".join(f"> <{name}>\n{value}\n\n" for name, value in {**values, **origin}.items())
        texts.append(f"{block}{said}$$$$\n")
    return "".join(texts)


def _ply(samples: CloudDataset, task: DenoisingTask, origin: Origin) -> str:
    pos = samples.tensors["pos"].tolist()
    head = ["ply", "format ascii 1.0", *(f"comment {name} {value}" for name, value in origin.items())]
    head += [f"element vertex {len(pos)}", *(f"property float {axis}" for axis in "xyz"), "end_header"]
    return "\n".join([*head, *(" ".join(f"{value:.8g}" for value in (*point, 0.0)[:3]) for point in pos)]) + "\n"


_FORMATS: dict[str, Callable[[CloudDataset, DenoisingTask, Origin], str | bytes]] = {
    ".npz": _npz,
    ".xyz": _xyz,
    ".sdf": _sdf,
    ".ply": _ply,
}
