"""Where the files of a data set are: one search for all readers, and one error when there are none."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

ENVIRONMENT_VARIABLE = "RAPIDASH_DATA"
_DEPTH = 2  # levels of subfolders that are searched, e.g. DIR/ShapeNet/hdf5_data


def locate(
    layouts: Sequence[str], *, dataset: str, obtain: str, data_dir: str | Path | None = None
) -> tuple[int, Path]:
    """The first layout of a data set that exists, as its index and path.

    Every layout is a relative path with ``*`` as a wildcard, the best first. Each folder is searched with two levels
    of its subfolders, in sorted order. A file given as ``data_dir`` is taken if its name fits a layout.
    Args:
        layouts: what to look for, e.g. ("cmu_mocap_run.npz", "motion_run.pkl").
        dataset: its name, for the error.
        obtain: a sentence on where to get it, for the error.
        data_dir: folder or file, by default the folders in the environment variable RAPIDASH_DATA (as in PATH).
    Raises: FileNotFoundError with what was looked for, where, and where to get it.
    """
    wanted = " or ".join(repr(layout) for layout in layouts)
    roots = data_folders(data_dir)
    if not roots:
        raise FileNotFoundError(
            f"no folder to read {dataset} from: looked for {wanted}; give its folder with --data DIR, data_dir=..., or "
            f"the environment variable {ENVIRONMENT_VARIABLE}. {obtain}"
        )
    for number, layout in enumerate(layouts):
        for root in roots:
            for path in _matches(root, layout):
                return number, path
    missing = [str(root) for root in roots if not root.exists()]
    note = f" ({', '.join(missing)} does not exist)" if missing else f" and {_DEPTH} levels of subfolders"
    raise FileNotFoundError(f"no {dataset}: looked for {wanted} in {', '.join(map(str, roots))}{note}. {obtain}")


def data_folders(data_dir: str | Path | None = None) -> list[Path]:
    """The folder given, or else those of RAPIDASH_DATA; maybe none."""
    if data_dir is not None:
        return [Path(data_dir).expanduser()]
    return [Path(part).expanduser() for part in os.environ.get(ENVIRONMENT_VARIABLE, "").split(os.pathsep) if part]


def _matches(root: Path, layout: str) -> Iterator[Path]:
    if root.is_file():
        if root.match(layout):
            yield root
        return
    for depth in range(_DEPTH + 1):
        yield from sorted(root.glob("/".join(["*"] * depth + [layout])))
