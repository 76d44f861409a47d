"""A trained model as a calculator of ASE: this module imports it."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes
from ase.outputs import Properties, all_outputs

from rapidash.datasets import EV_PER
from rapidash.groups import MatrixGroup
from rapidash.methods import OrbitAverage
from rapidash.predict import Potential, TrainedModel

_PROPERTIES = ("energy", "free_energy", "energies", "forces", "stress")
_NAMES = {
    "ev": "eV",
    "hartree": "hartree",
    "eh": "hartree",
    "ha": "hartree",
    "kcal/mol": "kcal/mol",
    "kj/mol": "kJ/mol",
}
_ROWS, _COLUMNS = (0, 1, 2, 1, 0, 0), (0, 1, 2, 2, 2, 1)  # Voigt's order: xx, yy, zz, yz, xz, xy


class RapidashCalculator(Calculator):
    r"""A trained model as a calculator of ASE: ``atoms.calc = RapidashCalculator("runs/mine")``.

    ``energy`` and ``free_energy`` (eV), ``forces`` (eV/angstrom), ``energies`` of the atoms (eV) of models that have
    them, and ``stress`` (six numbers xx, yy, zz, yz, xz, xy in eV/angstrom^3, positive under tension) of atoms that
    repeat along three vectors. Forces and stress are the exact gradient of the energy. What is averaged over a group is
    so at every step over the same elements, and ``results`` has how far it moves over them: ``energy_spread``,
    ``forces_spread`` (N,), ``stress_spread`` and ``energies_spread`` (N,), see `rapidash.predict.PotentialValues`.

    The energy is that of the training data: where these had a mean or a number for each element taken off, it is in it.
    Energies of another unit become eV by ``rapidash.datasets.EV_PER``; ``units`` says so. Energies of xyz and other
    files of atoms, which name no unit, were taken for eV in training, as ASE has them: ``rapidash train`` says so, and
    its ``--unit`` says another. Positions and cell go to the model as they are, in angstrom.

    Args:
        model: a trained model, or the folder of one: what `TrainedModel.from_pretrained` takes.
        average, num_elements, seed: as for `TrainedModel.predict`, e.g. ``average="Oh"``; by default what the variant
            itself averages over.
        energy: name of the output that is the energy, where the task does not say which.
        energy_unit: of the model's energies, where its record does not say it: "eV", "hartree", "kcal/mol", "kJ/mol".
        dtype: in which to compute, float32 or float64; default: that of the weights. ``torch.float64`` for finite
            differences.
        device: such as "cpu" or "cuda".
    Raises: as `Potential`, of which `calculate` also has the errors; ValueError for an unknown unit, or one that is not
        that of the record.
    """

    implemented_properties: list[str] = [*_PROPERTIES]  # noqa: RUF012  (ASE declares both of instances)
    ignored_changes: set[str] = {"initial_charges", "initial_magmoms"}  # noqa: RUF012

    def __init__(
        self,
        model: TrainedModel | Path | str,
        *,
        average: OrbitAverage | MatrixGroup | str | None = "own",
        num_elements: int | None = None,
        seed: int = 0,
        energy: str | None = None,
        energy_unit: str | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__()
        if energy_unit is not None and energy_unit not in EV_PER:
            raise ValueError(f"energy_unit must be one of {', '.join(EV_PER)}, got {energy_unit!r}")
        trained = model if isinstance(model, TrainedModel) else TrainedModel.from_pretrained(model)
        self.potential = Potential(
            trained,
            average=average,
            num_elements=num_elements,
            seed=seed,
            energy=energy,
            dtype=dtype,
            device=device,
        )
        self.energy_unit = energy_unit
        self.units = ""

    def calculate(
        self,
        atoms: Any = None,
        properties: Any = ("energy",),
        system_changes: Any = tuple(all_changes),
    ) -> None:
        """Fill ``results`` with all that the model gives for these atoms; ASE calls it.

        Raises: PropertyNotImplementedError for the stress of atoms that do not repeat along three vectors.
        """
        super().calculate(atoms, properties, system_changes)
        now: Any = self.atoms
        if "stress" in properties and not (now.pbc.all() and self.potential.takes_cells):
            raise PropertyNotImplementedError(
                f"a stress needs atoms that repeat along three vectors, got pbc = {now.pbc.tolist()}"
            )
        found = self.potential(now.numbers, now.positions, np.asarray(now.cell), now.pbc)
        factor = self._factor(found.unit)
        values = {"energy": found.energy, "energies": found.energies, "forces": found.forces, "stress": found.stress}
        results: dict[str, Any] = {name: value for name, value in values.items() if value is not None}
        results |= {f"{name}_spread": value for name, value in found.spreads.items()}
        results = {name: factor * np.asarray(value) for name, value in results.items()}
        for name in ("energy", "energy_spread", "stress_spread"):
            if name in results:
                results[name] = float(results[name])
        if "stress" in results:
            results["stress"] = results["stress"][_ROWS, _COLUMNS]
        self.results = {**results, "free_energy": results["energy"]}

    def export_properties(self) -> Properties:
        """The results that ASE knows by name."""
        return Properties({name: value for name, value in self.results.items() if name in all_outputs})

    def _factor(self, unit: str) -> float:
        """Electron volts in the unit of the model's energies. Raises: ValueError for one that is not known."""
        stated = _NAMES.get(unit.lower())
        if stated is None and self.energy_unit is None:
            raise ValueError(
                f"the record of the model says {unit!r} for the unit of its energies: give energy_unit, one of "
                f"{', '.join(EV_PER)}"
            )
        if stated is None and unit not in ("", "1") and not unit.startswith("unit of "):
            raise ValueError(f"the record of the model says {unit!r}, which is no unit of energy: take another output")
        if stated is not None and self.energy_unit not in (None, stated):
            raise ValueError(
                f"energy_unit is {self.energy_unit!r}, the record of the model says {unit!r}: where the files of the "
                f"training named no unit it was taken for eV; train with --unit {self.energy_unit}"
            )
        used = self.energy_unit or stated
        assert used is not None
        self.units = f"1 {used} of the model = {EV_PER[used]:.8g} eV"
        return EV_PER[used]
