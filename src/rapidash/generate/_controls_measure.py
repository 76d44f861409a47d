"""Which figures of molecules see which errors, as figures of a run: the table to read beside those of samples."""

import math
from collections.abc import Iterator
from importlib.util import find_spec

from rapidash.generate._measure import generating_task
from rapidash.generate.metrics import figure_controls
from rapidash.methods import FULL, Measurement, Subject

CONTROL = "control: "  # and the set of molecules, " | ", and the figure
COLUMNS = {
    "atom_stable": "atom stable (bond lookup)",
    "stable": "stable (bond lookup)",
    "valid_classic": "valid (classic)",
    "sound_lookup": "sound (lookup)",
    "sound_perceived": "sound (perceived)",
}
_MOLECULES = 200


def measure_figure_controls(subject: Subject) -> Iterator[Measurement]:
    """After training, the figures of at most 200 test molecules, and of these with errors of known size.

    They say nothing of the model: see `rapidash.generate.metrics.figure_controls`.

    Raises: ValueError for a task that does not generate molecules.
    """
    task = generating_task(subject)
    test = task.clouds("test")
    if "z" not in test.tensors:
        raise ValueError(f"figure-controls need molecules with the field 'z', task {task.name!r} has none")
    if subject.moment == "before" or subject.view != FULL:
        return
    num, has_rdkit = min(_MOLECULES, len(test)), find_spec("rdkit") is not None
    for control in figure_controls(test, num=num, seed=subject.seed, perception=has_rdkit):
        for field, figure in COLUMNS.items():
            value = getattr(control, field)
            yield Measurement(f"{CONTROL}{control.name} | {figure}", None if math.isnan(value) else value, "%")
