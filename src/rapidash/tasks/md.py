"""Molecular dynamics: energy and forces of one molecule, the forces as the gradient of the energy."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rapidash.data import CloudBatch, CloudDataset, Field
from rapidash.datasets import DataError, FileCloud, OnError, ReadDataset, md_dataset
from rapidash.groups import DirectSum, Scalar, Vector
from rapidash.methods import Split, Variant
from rapidash.models import Network, cloud_network
from rapidash.symmetry import Ledger
from rapidash.tasks._elements import ANGSTROM_PER_UNIT, ELEMENTS, element_features
from rapidash.tasks._file_task import NeededField, Output
from rapidash.tasks._molecule_files import NEEDS_OF_MOLECULES, check_atoms, elements_of, read_molecule
from rapidash.tasks._point_inputs import cloud_means, network_ledger, point_inputs
from rapidash.tasks._split_sizes import check_split_sizes

Reported = Literal["forces", "energy"]
_MILLI = 1000.0
_METRICS = {"forces": ("MAE of force components", "meV/angstrom"), "energy": ("MAE of the energy", "meV")}


class MdNetwork(nn.Module):
    r"""Energy per atom e_i and force F_i = -d(sum_j e_j)/dx_i, side by side: (N, 4), eV and eV/angstrom.

    Forces are the exact gradient of the predicted energy, so they conserve it, and they are equivariant wherever the
    energy is invariant. Gradients are turned on inside; the result has a graph if they were on outside.

    Args:
        variant: network and inputs, see `point_inputs`; the only vectors are constant ones.
    """

    predicts_gradients = True
    energy_unit: Tensor

    def __init__(self, variant: Variant) -> None:
        super().__init__()
        self.inputs = point_inputs(variant, ())
        shape = {"out_scalars": 1, "out_vectors": 0, "level": "node"}
        self.backbone: Network = cloud_network(variant.model, self.inputs.interface(scalars=len(ELEMENTS), **shape))
        self.register_buffer("energy_unit", torch.ones(()))  # eV

    def forward(self, batch: CloudBatch) -> Float[Tensor, "N 4"]:
        """Energy of every atom and force on it."""
        wants_graph = torch.is_grad_enabled()
        with torch.enable_grad():
            pos = batch.pos
            if not (wants_graph and pos.requires_grad):
                pos = pos.detach().requires_grad_()
            scaled, features = self._features(pos, batch)
            out = self.backbone(scaled, batch.batch, **features)
            energy = self.energy_unit * out.scalars
            (gradient,) = torch.autograd.grad(energy.sum(), pos, create_graph=wants_graph)
            both = torch.cat([energy, -gradient], dim=1)
        return both if wants_graph else both.detach()

    @torch.no_grad()
    def calibrate(self, batch: CloudBatch) -> None:
        """Rescale the kernels, and measure energies in units of the root mean square force times an angstrom."""
        if "forces" in batch.tensors:
            self.energy_unit.copy_(batch["forces"].square().mean().sqrt().clamp(min=1e-6))
        scaled, features = self._features(batch.pos, batch)
        self.backbone.calibrate(scaled, batch.batch, **features)

    def _features(self, pos: Tensor, batch: CloudBatch) -> tuple[Tensor, dict[str, Tensor | None]]:
        """Positions in the network's unit of length, and the keyword arguments of the network."""
        scaled, elements = pos / ANGSTROM_PER_UNIT, element_features(batch["z"]).to(pos)
        scalars, vectors, _ = self.inputs.features(scaled, pos.new_zeros(len(pos), 0, 3), elements)
        return scaled, {"scalars": scalars, "vectors": vectors}


@dataclass(frozen=True)
class MdTask:
    """Energies and forces of configurations of one molecule.

    Energies are relative to the mean of the training set. The loss is the mean squared error of the force components
    (eV/angstrom) and of the energy per atom (eV), weighted.

    Args:
        molecule: set or molecule to train on, as in `md_dataset`, e.g. "ethanol_train", "aspirin".
        test_molecule: another set of the same molecule to test on; None: what is left of ``molecule``.
        num_train, num_val: configurations for training and validation.
        num_test: at most so many test configurations, evenly spaced; None: all.
        reported: the metric, "forces" or "energy"; it also selects the weights.
        energy_weight, force_weight: of the two terms of the loss, at least 0, not both 0.
        data_dir: folder or file; default: RAPIDASH_DATA.
        on_error: "skip" leaves bad configurations out, counted and reported; "raise" stops at the first.
        verify: compare the checksums of files, where there are published ones; False takes other versions of them.
    Raises: ValueError for values outside the above.
    Source: Chmiela et al., Science Advances 3, e1603015 (2017); Batatia et al., arXiv:2205.06643 (data).
    """

    molecule: str = "ethanol_train"
    test_molecule: str | None = "ethanol_test_MD"
    num_train: int = 900
    num_val: int = 100
    num_test: int | None = None
    reported: Reported = "forces"
    energy_weight: float = 1.0
    force_weight: float = 1.0
    data_dir: str | None = None
    on_error: OnError = "raise"
    verify: bool = True

    name: str = field(default="md", init=False)
    dim: int = field(default=3, init=False)
    output: Field = field(
        default=Field(DirectSum(((Scalar(), 1), (Vector(), 3))), "eV per atom, eV/angstrom"), init=False
    )

    def __post_init__(self) -> None:
        if self.reported not in get_args(Reported):
            raise ValueError(f"reported must be one of {get_args(Reported)}, got {self.reported!r}")
        weights = (self.energy_weight, self.force_weight)
        if min(weights) < 0 or max(weights) == 0:
            raise ValueError(f"energy_weight and force_weight must be at least 0 and not both 0, got {weights}")
        check_split_sizes(self)

    @property
    def metric(self) -> str:
        """The metric in words."""
        return _METRICS[self.reported][0]

    @property
    def unit(self) -> str:
        """Its unit."""
        return _METRICS[self.reported][1]

    def dataset(self, split: Split) -> CloudDataset:
        """One split, read from the files; energies relative to the mean of the training set.

        Raises: FileNotFoundError; DataError for a set without forces, or a test set of another molecule.
        """
        train = self._read("train")
        data = train if split == "train" else self._read(split)
        if "forces" not in data.tensors:
            raise DataError(f"{data.source} has no forces for this set: the task learns energies and forces")
        atoms = [part.tensors["z"][: int(part.num_points[0])].sort().values for part in (train, data)]
        if not torch.equal(*atoms):
            raise DataError(f"{data.source}: {self.test_molecule!r} is another molecule than {self.molecule!r}")
        tensors = {name: data.tensors[name] for name in ("pos", "z", "forces")}
        tensors["energy"] = data.tensors["energy"] - train.tensors["energy"].mean()
        whole = CloudDataset(tensors, {name: data.fields[name] for name in tensors}, data.num_points)
        if split != "test" or self.num_test is None or self.num_test >= len(whole):
            return whole
        return whole.subset(torch.linspace(0, len(whole) - 1, self.num_test).long())

    @property
    def needs(self) -> Mapping[str, NeededField]:
        """The fields that a configuration from a file must have."""
        return NEEDS_OF_MOLECULES

    @property
    def reference_kinds(self) -> Mapping[str, Any]:
        """The entries of `reference` and their types."""
        return {"atoms": list[int], "elements": list[int], "mean_energy_eV": float}

    def reference(self) -> dict[str, Any]:
        """The atoms of the molecule, its elements, and the mean energy (eV) that training took off."""
        train = self._read("train")
        atoms = train.tensors["z"][: int(train.num_points[0])]
        return {
            "atoms": atoms.sort().values.tolist(),
            "elements": elements_of(atoms),
            "mean_energy_eV": train.tensors["energy"].double().mean().item(),
        }

    def read_cloud(self, found: FileCloud, reference: Mapping[str, Any]) -> dict[str, Tensor]:
        """One configuration. Raises: DataError for another molecule: its energy would have no meaning."""
        tensors = read_molecule(found, reference)
        check_atoms(tensors["z"], reference)
        return tensors

    def outputs(self, prediction: Tensor, batch: CloudBatch, reference: Mapping[str, Any]) -> dict[str, Output]:
        """Total energy of every configuration (eV), as in the training data, and the force on every atom."""
        for z in torch.split(batch["z"], batch.num_points.tolist()):
            check_atoms(z, reference)
        per_atom = prediction[:, 0].double()
        energy = per_atom.new_zeros(batch.num_clouds).index_add(0, batch.batch, per_atom) + reference["mean_energy_eV"]
        return {
            "energy": Output(energy, Field(Scalar(), "eV", "cloud")),
            "forces": Output(prediction[:, 1:], Field(Vector(), "eV/angstrom")),
        }

    def build(self, variant: Variant) -> nn.Module:
        """The network of a variant with fresh weights from torch's global generator."""
        return MdNetwork(variant)

    def ledger(self, variant: Variant) -> Ledger:
        """Effective symmetry of a variant."""
        with torch.random.fork_rng():
            return network_ledger(MdNetwork(variant))

    def loss(self, prediction: Float[Tensor, "N 4"], batch: CloudBatch) -> Float[Tensor, ""]:
        """Weighted squared errors of forces and of the energy per atom."""
        energy = (cloud_means(prediction[:, 0], batch) - self._energy_per_atom(batch)).square().mean()
        forces = (prediction[:, 1:] - batch["forces"]).square().mean()
        return self.energy_weight * energy + self.force_weight * forces

    def errors(self, prediction: Float[Tensor, "N 4"], batch: CloudBatch) -> Float[Tensor, " B"]:
        """Mean absolute error of each cloud's force components (meV/angstrom), or of its energy (meV).

        The former, as the field has it, depends on the axes: turned data change it a little for an equivariant model.
        """
        return self._both_errors(prediction, batch)[self.reported]

    def details(self, prediction: Float[Tensor, "N 4"], batch: CloudBatch) -> dict[str, Tensor]:
        """The error that is not the metric: of the energy beside that of the forces, or the other way round."""
        other: Reported = "energy" if self.reported == "forces" else "forces"
        metric, unit = _METRICS[other]
        return {f"{metric} ({unit})": self._both_errors(prediction, batch)[other]}

    def _both_errors(self, prediction: Tensor, batch: CloudBatch) -> dict[str, Float[Tensor, " B"]]:
        sizes = batch.num_points
        forces = cloud_means((prediction[:, 1:] - batch["forces"]).abs().mean(dim=1), batch)
        energy = sizes * (cloud_means(prediction[:, 0], batch) - self._energy_per_atom(batch)).abs()
        return {"forces": _MILLI * forces, "energy": _MILLI * energy}

    @staticmethod
    def _energy_per_atom(batch: CloudBatch) -> Tensor:
        return batch["energy"][:, 0] / batch.num_points

    def _read(self, split: Split) -> ReadDataset:
        if split == "test" and self.test_molecule is not None:
            return md_dataset(self.test_molecule, data_dir=self.data_dir, on_error=self.on_error, verify=self.verify)
        return md_dataset(
            self.molecule,
            split,
            train_size=self.num_train,
            val_size=self.num_val,
            data_dir=self.data_dir,
            on_error=self.on_error,
            verify=self.verify,
        )
