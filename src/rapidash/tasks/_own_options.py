"""The options of the task of a user's files, found from the files, and in words."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from scipy.spatial import cKDTree

from rapidash.datasets import DataError, names_in_use
from rapidash.tasks._molecule_files import symbols
from rapidash.tasks._own_columns import element_counts
from rapidash.tasks._own_kinds import Told, tell_kind
from rapidash.tasks._own_reading import MOST_POINTS, OwnClouds, Wanted, fingerprint, read_also_as, read_own
from rapidash.tasks._own_splits import check_split_way
from rapidash.tasks.own_data import (
    FEWEST_CLOUDS,
    FEWEST_OF_CLASS,
    FEWEST_OF_POINTS,
    OwnDataTask,
)

_ENERGY: Final = re.compile(r"energy|energies|\be\b|^u0?$", re.IGNORECASE)
_POINT: Final = "point-"
_SAMPLE: Final = 50  # clouds whose distances give the unit of length


_INPUTS: Final = ("pos", "z")


def own_data_options(
    files: Sequence[str | Path],
    target: str | None,
    *,
    kind: str | None = None,
    unit: str | None = None,
    split: str = "seed",
    watch: Callable[[int], None] | None = None,
    **others: Any,
) -> tuple[dict[str, Any], list[str]]:
    """The options of `OwnDataTask` for some files, and sentences that say what was found.

    Args:
        files: files or folders.
        target: name of the target; ``"energy,forces"`` for an energy and its negative gradient; None: the class of a
            cloud is its folder.
        kind: "number", "vector", "tensor" or "class", with "point-" before it for a target of each point; None: told
            from the values.
        unit: of the target; None: as the files say.
        split: "seed", "group:NAME", "time" or "files".
        watch: called as clouds are read, with their number since its last call.
        others: further options of the task, such as ``column`` or ``num_points``.
    Raises: ValueError for options that there are not; FileNotFoundError, ImportError and DataError as
        `rapidash.datasets.read_valued_clouds`, and for targets that are missing, constant or of no kind, classes with
        fewer than three clouds, or too few clouds.
    """
    check_split_way(split)
    places = tuple(str(Path(file).expanduser().resolve()) for file in files)
    names = tuple(filter(None, (word.strip() for word in (target or "").split(","))))
    if len(names) > 2:
        raise ValueError(f"--target takes one name, or an energy and its forces, got {', '.join(names)}")
    at_points = kind is not None and kind.startswith(_POINT)
    wanted = Wanted(
        places,
        names,
        group=split.removeprefix("group:") if split.startswith("group:") else None,
        column=others.get("column"),
        at_points=at_points,
        num_points=others.get("num_points", OwnDataTask.num_points),
        max_clouds=others.get("max_clouds", OwnDataTask.max_clouds),
        skips=others.get("on_error", "raise") == "skip",
    )
    clouds = read_own(wanted, watch)
    if seen := [name for name in clouds.names if name in _INPUTS]:
        raise DataError(f"target {seen[0]!r} is what every model sees of a cloud: there is nothing to learn")
    dim = clouds.pos[0].shape[1]
    level = clouds.levels[0]
    if at_points and level != "point":
        raise DataError(f"target {clouds.names[0]!r} is one value of each cloud, {kind!r} asks for one of each point")
    rows = np.stack(clouds.targets[0]) if level == "cloud" else np.concatenate(clouds.targets[0])
    elements = tuple(torch.cat(clouds.z).unique().tolist()) if clouds.z else ()
    told = tell_kind(clouds.names[0], rows, dim, None if kind is None else kind.removeprefix(_POINT))
    if len(names) == 2:
        _check_forces(clouds, told, dim, elements)
    _check_targets(clouds, told, rows, level, _hint(clouds, wanted.column))
    is_energy = told.kind == "number" and level == "cloud" and bool(elements) and bool(_ENERGY.search(clouds.names[0]))
    options: dict[str, Any] = {
        "files": list(places),
        "target": clouds.names[0] if names else "",
        "kind": "forces" if len(names) == 2 else told.kind,
        "level": level,
        "target_unit": unit if unit is not None else clouds.units[0],
        "dim": dim,
        "elements": list(elements),
        "class_names": list(told.class_names),
        "is_periodic": bool(clouds.cells),
        "is_extensive": is_energy and len(names) == 1,
        "length": float(f"{unit_of_length(clouds):.4g}"),
        "split": split,
        "digest": fingerprint(places),
    }
    if len(names) == 2:
        force_unit = f"{unit}/angstrom" if unit and clouds.assumes_units else clouds.units[1]
        options |= {"forces": clouds.names[1], "force_unit": force_unit}
    options |= others
    task = OwnDataTask(**options)
    read_also_as(task.wanted, clouds)
    said = _said(task, clouds, told)
    said[2:2] = _assumed(task, clouds) if unit is None else []  # behind the sentence on the target
    return options, said


def _check_forces(clouds: OwnClouds, told: Told, dim: int, elements: tuple[int, ...]) -> None:
    energy, forces = clouds.names
    if told.kind != "number" or clouds.levels != ["cloud", "point"] or clouds.targets[1][0].shape[1:] != (dim,):
        raise DataError(
            f"two targets are an energy, one number of each cloud, and its forces, {dim} numbers of each point; "
            f"{energy!r} is a {told.kind} of each {clouds.levels[0]}, {forces!r} has the shape "
            f"{clouds.targets[1][0].shape} for each {clouds.levels[1]}"
        )
    if not elements:
        raise DataError("energy and forces need clouds with elements")


def _hint(clouds: OwnClouds, column: str | None) -> str:
    """A sentence of advice where a table is taken for one cloud; else nothing."""
    is_table = any(Path(path).suffix.lower() in (".csv", ".parquet") for path in clouds.paths)
    if not is_table or column is not None or len(clouds.pos) > len(clouds.paths):
        return ""
    names = ", ".join(name for name in clouds.found if name not in clouds.names)
    return f"; a table without --cloud COLUMN is one cloud, and this one has the columns {names}"


def _check_targets(clouds: OwnClouds, told: Told, rows: Any, level: str, hint: str) -> None:
    """Raises: DataError for too few clouds, constant targets, or classes with too few of them."""
    name, num = clouds.names[0], len(clouds.pos)
    fewest = FEWEST_CLOUDS if level == "cloud" else FEWEST_OF_POINTS
    if level == "point" and not hint:
        hint = "; cut one large scan into several, a file each"
    if num < fewest:
        raise DataError(f"expected at least {fewest} clouds, to learn, to choose and to test, got {num}{hint}")
    if told.kind == "class":
        values, counts = np.unique(rows.reshape(-1), return_counts=True)
        if len(values) < 2:
            raise DataError(f"target {name!r} is {values[0]} everywhere: there is nothing to learn")
        if level == "cloud" and (
            few := [names for names, count in zip(told.class_names, counts) if count < FEWEST_OF_CLASS]
        ):
            raise DataError(
                f"target {name!r}: the class {few[0]!r} has fewer than {FEWEST_OF_CLASS} clouds, one for training, "
                f"validation and test each; {len(few)} such: leave them out, join them, or give --target-kind number "
                "where it is one"
            )
    elif np.ptp(rows.reshape(len(rows), -1).astype(np.float64), axis=0).max() == 0:
        raise DataError(f"target {name!r} is the same everywhere, {rows[0].tolist()}: there is nothing to learn")


def unit_of_length(clouds: OwnClouds) -> float:
    """The unit of length inside a network, in that of the files.

    Of periodic clouds the cubic root of the volume of a point, of clouds with elements twice the median distance of the
    nearest neighbor, of others the root mean square distance from the centroid; the median over 50 of them.
    """
    chosen = torch.linspace(0, len(clouds.pos) - 1, min(_SAMPLE, len(clouds.pos))).long().tolist()
    sizes = []
    for index in chosen:
        pos = clouds.pos[index].numpy()
        if clouds.cells and np.all(clouds.periodic[index]):
            sizes.append((abs(np.linalg.det(clouds.cells[index])) / len(pos)) ** (1 / pos.shape[1]))
        elif clouds.z and len(pos) > 1:
            sizes.append(2 * float(np.median(cKDTree(pos).query(pos, k=2)[0][:, 1])))
        elif len(pos) > 1:
            sizes.append(float(np.sqrt(((pos - pos.mean(axis=0)) ** 2).sum(axis=1).mean())))
    return float(np.median(sizes)) if sizes and np.median(sizes) > 0 else 1.0


def _said(task: OwnDataTask, clouds: OwnClouds, told: Told) -> list[str]:
    """Sentences that say what was found."""
    parts = task.parts()
    num = [int((parts == part).sum()) for part in range(3)]
    between = f", {int((parts < 0).sum())} between the blocks left out" if (parts < 0).any() else ""
    what = f"{len(clouds.pos)} clouds of {_range([len(pos) for pos in clouds.pos])} points"
    what += (
        f" in {task.dim} dimensions, elements {symbols(task.elements)}"
        if task.elements
        else f" in {task.dim} dimensions"
    )
    what += ", periodic" if task.is_periodic else ""
    kept = ""
    if clouds.seen - len(clouds.skipped) > len(clouds.pos):
        kept = f" (of {clouds.seen}: at most {task.max_clouds}, task option max_clouds, and {MOST_POINTS} points)"
    unit = f", in {task.target_unit}" if task.target_unit else ""
    kind = "an energy with forces" if task.kind == "forces" else f"a {told.kind}"
    lines = [f"files: {what}{kept}", f"target: {clouds.names[0]}, {kind} of each {task.level} ({told.because}){unit}"]
    if task.is_extensive or task.kind == "forces":
        offsets = task.scales["offsets"]
        shown = ", ".join(f"{symbols([z])} {value:.5g}" for z, value in zip(task.elements, offsets))
        lines.append(f"offsets per element, fitted and taken off: {shown}{_undetermined(task)}")
    lines.append(
        f"split by {task.split}: {num[0]} for training, {num[1]} for validation, {num[2]} for the test{between}"
    )
    if task.elements and task.split == "seed" and len(_compositions(clouds)) == 1:
        lines.append(
            "all clouds have the same atoms: if they are frames of one trajectory, random test frames stand between "
            "those that were learned; --split time keeps them apart"
        )
    forces = names_in_use("forces", clouds.found)
    if task.is_extensive and len(forces) == 1:
        lines.append(f"the files also have {forces[0]}: --target {task.target},{forces[0]} learns them as the gradient")
    if clouds.skipped:
        lines.append(f"left out: {len(clouds.skipped)} clouds; the first: {clouds.skipped[0]}")
    return lines


def _assumed(task: OwnDataTask, clouds: OwnClouds) -> list[str]:
    """That the unit of the target is an assumption, where the files say none."""
    if not clouds.assumes_units or not task.target_unit:
        return []
    also = f" and {clouds.names[1]} for {task.force_unit}" if task.kind == "forces" else ""
    return [
        f"no unit stands in the files: {clouds.names[0]} is taken for {task.target_unit}{also}, as ASE has them; "
        "--unit says another"
    ]


def _undetermined(task: OwnDataTask) -> str:
    """A note where the compositions of the training clouds do not determine every offset."""
    counts = element_counts(task.dataset("train"), task.elements)
    rank = int(torch.linalg.matrix_rank(counts))
    if rank == len(task.elements):
        return ""
    return (
        f" (the clouds determine {rank} of these {len(task.elements)}: sums for other compositions are no prediction)"
    )


def _compositions(clouds: OwnClouds) -> set[bytes]:
    """The different lists of elements, in any order of the atoms."""
    return {z.sort().values.numpy().tobytes() for z in clouds.z}


def _range(sizes: list[int]) -> str:
    return str(sizes[0]) if min(sizes) == max(sizes) else f"{min(sizes)} to {max(sizes)}"
