"""The search for the files of a data set: one for all readers, with one error when there are none."""

import os
import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

ENVIRONMENT_VARIABLE = "RAPIDASH_DATA"
_DEPTH = 2  # levels of subfolders that are searched, e.g. DIR/ShapeNet/hdf5_data


def locate(
    layouts: Sequence[str],
    *,
    dataset: str,
    obtain: str,
    data_dir: str | Path | None = None,
    not_in: Sequence[str] = (),
) -> tuple[int, Path]:
    """The first layout of a data set of which there is a file, as its index and path.

    Every layout is the relative path of a file with ``*`` as a wildcard, the best first. Each folder is searched with
    two levels of its subfolders, in sorted order, whether names are in upper or lower case; names spelled as in the
    layout come first. A file given as ``data_dir`` is taken if its name fits a layout.

    Args:
        layouts: what to look for, e.g. ("cmu_mocap_run.npz", "motion_run.pkl").
        dataset: its name, for the error.
        obtain: a sentence on where to get it, for the error.
        data_dir: folder or file, by default the folders in the environment variable RAPIDASH_DATA (as in PATH).
        not_in: names of subfolders that hold other data sets, in lower case, with wildcards: they are passed over,
            unless the folder that is searched is one of them.
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
            for path in _matches(root, layout, not_in):
                return number, path
    missing = [str(root) for root in roots if not root.exists()]
    note = f" ({', '.join(missing)} does not exist)" if missing else f" and {_DEPTH} levels of subfolders"
    raise FileNotFoundError(f"no {dataset}: looked for {wanted} in {', '.join(map(str, roots))}{note}. {obtain}")


def data_folders(data_dir: str | Path | None = None) -> list[Path]:
    """The folder given, or else those of RAPIDASH_DATA; maybe none."""
    if data_dir is not None:
        return [Path(data_dir).expanduser()]
    return [Path(part).expanduser() for part in os.environ.get(ENVIRONMENT_VARIABLE, "").split(os.pathsep) if part]


def any_case(pattern: str) -> str:
    """A pattern for ``glob`` and ``match`` that fits names in upper and lower case alike."""
    return re.sub("[a-zA-Z]", lambda letter: f"[{letter[0].lower()}{letter[0].upper()}]", pattern)


def beside(path: Path, name: str) -> Path:
    """The file of this name in the folder of another, in upper or lower case; its path as named if there is none."""
    return next(iter(sorted(path.parent.glob(any_case(name)))), path.with_name(name))


def _matches(root: Path, layout: str, not_in: Sequence[str]) -> Iterator[Path]:
    if root.is_file():
        if root.match(any_case(layout)):
            yield root
        return
    for depth in range(_DEPTH + 1):
        for pattern in (layout, any_case(layout)):
            for path in sorted(root.glob("/".join(["*"] * depth + [pattern]))):
                folders = [name.lower() for name in path.parent.relative_to(root).parts]
                if path.is_file() and not any(fnmatchcase(name, other) for name in folders for other in not_in):
                    yield path
