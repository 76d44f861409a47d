"""Energy, forces and stress of one structure by a trained model, all derivatives of one energy."""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from rapidash._pretrained import model_dtype
from rapidash.data import CloudBatch
from rapidash.datasets import DataError, FileCloud
from rapidash.geometry import Cell
from rapidash.groups import MatrixGroup, Scalar
from rapidash.methods import OrbitAverage
from rapidash.models import forces_and_stress
from rapidash.predict._finite import check_tensors, explained_by_weights, reason_not_finite
from rapidash.predict._over_group import OWN, average_text, chosen_average
from rapidash.predict._trained import TrainedModel
from rapidash.tasks import Output

_TAKEN = ("pos", "z", "cell", "periodic")


@dataclass(frozen=True)
class PotentialValues:
    """Energy, forces and stress of a structure of N atoms.

    Args:
        unit: of the energy, as the model's record says it; lengths are in those of the training data.
        energy: of the structure, with everything that training took off it.
        energies: (N,) of the atoms, whose sum is ``energy``; None of a model that has none.
        forces: (N, 3), -d(energy)/dx.
        stress: (3, 3), d(energy)/d(strain) over the volume, positive under tension; None where the structure does not
            repeat along three vectors.
        spreads: by name, how far each of these moves over the elements of an average: the standard deviation of a
            number, of a vector or the stress the root mean square of the length of its deviation; n as for
            `TrainedModel.predict`. Empty without an average.
    """

    unit: str
    energy: float
    energies: Float[Tensor, " N"] | None
    forces: Float[Tensor, "N 3"]
    stress: Float[Tensor, "3 3"] | None
    spreads: Mapping[str, Tensor]


class Potential:
    r"""The energy of a trained model as a potential of atoms, in float64 what the model gives in its own dtype.

    Forces and stress are the exact gradient of the energy that is returned, also of one that is averaged over a group,
    :math:`\bar E(x) = \frac1K \sum_k E(g_k x)`, with the same elements at every call. The positions enter with their
    centroid at the origin where the variant keeps translations.

    Args:
        trained: it stays as it is: a copy computes.
        average, num_elements, seed: as for `TrainedModel.predict`.
        energy: name of the output that is the energy, of a task that does not say which; default: the number of each
            structure with "energy" in its name.
        dtype: in which to compute, float32 or float64; default: that of the weights.
        device: such as "cpu" or "cuda".
        batch_size: elements of the average at a time.
    Raises: ValueError for a model of clouds without elements, or of two dimensions, one that needs more than atoms and
        a cell, an average that there is not, another dtype, or a batch size below 1.
    """

    def __init__(
        self,
        trained: TrainedModel,
        *,
        average: OrbitAverage | MatrixGroup | str | None = OWN,
        num_elements: int | None = None,
        seed: int = 0,
        energy: str | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str = "cpu",
        batch_size: int = 16,
    ) -> None:
        self._task = task = trained._file_task()
        needs = dict(task.needs)
        if "z" not in needs or trained.task.dim != 3:
            raise ValueError(
                f"the model of {trained.task_name} is of clouds without elements (it needs {', '.join(needs)}): only "
                "one of atoms in space is a potential"
            )
        if more := [name for name in needs if name not in _TAKEN]:
            raise ValueError(f"the model of {trained.task_name} needs {more[0]!r} of every atom: it is no potential")
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        used = dtype if dtype is not None else getattr(torch, model_dtype(trained.model))
        if used not in (torch.float32, torch.float64):
            of = "of the weights " if dtype is None else ""
            raise ValueError(f"a potential is computed in float32 or float64, got dtype {of}{used}: give dtype")
        self.average = chosen_average(
            average, num_elements, random_frame=False, own=trained._own_average, dim=trained.task.dim
        )
        self.average_text = average_text(self.average, random_frame=False, seed=seed)
        model = copy.deepcopy(trained.model).to(device=device, dtype=dtype).requires_grad_(False).eval()
        self.trained = replace(trained, model=model)
        self.seed, self.batch_size, self.takes_cells = seed, batch_size, "cell" in needs
        self._name, self._device = energy, torch.device(device)
        self._dtype = next((tensor.dtype for tensor in model.parameters()), dtype or torch.float32)
        self._fields = {name: spec.field for name, spec in needs.items()}
        self._is_centered = self.trained._keeps_translations
        self._seen: tuple[bytes, bytes] | None = None  # atomic numbers and periods that the task has taken
        self._cloud: dict[str, Tensor] = {}

    def __call__(self, numbers: Any, pos: Any, cell: Any = None, periodic: Any = None) -> PotentialValues:
        """The values of a structure.

        Args:
            numbers: (N,) atomic numbers.
            pos: (N, 3), in the unit of the training data.
            cell: (3, 3), a row for each vector; unused where nothing is periodic.
            periodic: (3,), along which vectors the structure repeats; None: along all of ``cell``, if there is one.
        Raises: ValueError for a structure that the training data do not cover, positions or a cell that are not finite,
            a model that gives no energy, or one that cannot be differentiated, and for an energy that is not finite.
        """
        cloud = self._taken(np.asarray(numbers), np.asarray(pos), cell, periodic)
        is_bulk = self.takes_cells and bool(cloud["periodic"].all())
        found: list[dict[str, Tensor]] = []
        unit = ""
        with self.trained.view_model(), explained_by_weights(self.trained.model):
            for g in self._elements():
                unit, values = self._evaluated(cloud, g, is_bulk)
                found.append(values)
        every = {name: torch.cat([part[name] for part in found]) for name in found[0]}
        if not every["energy"].isfinite().all() or not every["forces"].isfinite().all():
            raise ValueError(f"the energy or a force is not finite. {reason_not_finite(self.trained.model)}")
        mean = {name: values.mean(dim=0) for name, values in every.items()}
        return PotentialValues(
            unit,
            float(mean["energy"]),
            mean.get("energies"),
            mean["forces"],
            mean.get("stress"),
            self._spreads(every, mean),
        )

    def _taken(self, numbers: Any, pos: Any, cell: Any, periodic: Any) -> dict[str, Tensor]:
        """The fields of a structure, checked by the task where its atoms or periods are others than before."""
        repeats = np.broadcast_to(np.asarray(cell is not None if periodic is None else periodic, dtype=bool), (3,))
        if repeats.any() and not self.takes_cells:
            raise ValueError(
                f"the structure repeats along a cell, pbc = {repeats.tolist()}, those of the training did not: set pbc "
                "to False"
            )
        vectors = np.zeros((3, 3)) if cell is None else np.asarray(cell, dtype=np.float64)
        seen = numbers.tobytes(), repeats.tobytes()
        try:
            if self._seen != seen:
                given = FileCloud("structure", {"pos": pos, "z": numbers})
                if repeats.any():
                    given = replace(given, cell=vectors, periodic=repeats)
                self._cloud = dict(self.trained._checked(self._task, given))
                self._seen = seen
            cloud = {**self._cloud, "pos": torch.from_numpy(pos.astype(np.float64))}
            if repeats.any():
                cloud["cell"] = torch.from_numpy(np.array(vectors))[None]
            check_tensors(cloud, self._dtype)
        except DataError as error:
            self._seen = None
            raise ValueError(f"the structure cannot be computed: {error}") from error
        if len(pos) != len(cloud["z"]):
            raise ValueError(f"positions of {len(pos)} atoms, and {len(cloud['z'])} atomic numbers")
        if self._is_centered:
            cloud["pos"] = cloud["pos"] - cloud["pos"].mean(dim=0)
        return cloud

    def _elements(self) -> Iterator[Tensor | None]:
        """Elements of the average, some at a time (K, n, n); without an average one None."""
        if self.average is None:
            yield None
            return
        every = torch.cat(list(self.average.elements(1, self.seed)))
        yield from every.split(self.batch_size)

    def _evaluated(self, cloud: Mapping[str, Tensor], g: Tensor | None, is_bulk: bool) -> tuple[str, dict[str, Tensor]]:
        """The unit of the energy, and for each element the values with it, (K, ...) in float64."""
        num, size = 1 if g is None else len(g), len(cloud["pos"])
        copies = CloudBatch(
            {name: tensor.repeat(num, *(1,) * (tensor.dim() - 1)) for name, tensor in cloud.items()},
            self._fields,
            torch.arange(num).repeat_interleave(size),
            num,
        ).to(self._device, self._dtype)
        unit = ""
        atoms: Tensor | None = None

        def energy(pos: Tensor, cell: Cell | None) -> Tensor:
            nonlocal unit, atoms
            moved = copies.with_tensor("pos", pos)
            if cell is not None:
                moved = moved.with_tensor("cell", cell.vectors)
            value, atoms = self._energy(moved if g is None else moved.transform(g))
            unit = value.field.unit
            if not value.values.requires_grad:
                raise ValueError("the energy of the model has no gradient by the positions: it gives no forces")
            return value.values.reshape(num)

        values: dict[str, Tensor] = {}
        pos = copies.pos.requires_grad_()
        if is_bulk:
            cell = Cell(copies["cell"], copies["periodic"].bool())
            value, forces, values["stress"] = forces_and_stress(lambda x, c: energy(x, c), pos, copies.batch, cell)
        else:
            with torch.enable_grad():
                value = energy(pos, None)
                forces = -torch.autograd.grad(value.sum(), pos, materialize_grads=True)[0]
        values |= {"energy": value.detach(), "forces": forces.reshape(num, size, 3)}
        if atoms is not None:
            values["energies"] = atoms.detach().reshape(num, size)
        return unit, {name: tensor.cpu().double() for name, tensor in values.items()}

    def _energy(self, batch: CloudBatch) -> tuple[Output, Tensor | None]:
        """The energy of every cloud, and of every atom where model and task know it."""
        task: Any = self._task
        reference = self.trained.reference
        model: Any = self.trained.model
        if self._name is None and hasattr(task, "atom_energies") and hasattr(model, "energies"):
            atoms: Output = task.atom_energies(model.energies(batch), batch, reference)
            return replace(atoms, values=atoms.values.reshape(batch.num_clouds, -1).sum(dim=1)), atoms.values
        outputs = task.outputs(model(batch), batch, reference)
        return outputs[self._energy_name(outputs)], None

    def _energy_name(self, outputs: Mapping[str, Output]) -> str:
        """The output that is the energy. Raises: ValueError where there is none."""
        numbers = [
            name
            for name, output in outputs.items()
            if output.field.level == "cloud"
            and output.field.representation == Scalar()
            and output.values.is_floating_point()
            and not output.labels
        ]
        if self._name is not None:
            found = [name for name in numbers if name == self._name]
        else:
            found = [name for name in numbers if "energy" in name.lower()]
        if len(found) != 1:
            said = ", ".join(f"{name} ({output.field.unit})" for name, output in outputs.items())
            wanted = "energy of the structure" if self._name is None else f"number {self._name!r} of the structure"
            raise ValueError(f"the model of {self.trained.task_name} predicts {said}, which has no one {wanted}")
        return found[0]

    def _spreads(self, every: Mapping[str, Tensor], mean: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See `PotentialValues`."""
        count = len(every["energy"])
        if self.average is None or count < 2:
            return {}
        freedom = count - 1 if self.average.num else count
        axes = {"forces": (-1,), "stress": (-2, -1)}
        return {
            name: ((square.sum(axes[name]) if name in axes else square).sum(dim=0) / freedom).sqrt()
            for name, square in ((name, (values - mean[name]).square()) for name, values in every.items())
        }
