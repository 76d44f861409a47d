"""QM9: one property of small organic molecules, a number or the dipole vector."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from rapidash._names import unknown_name
from rapidash.data import CloudBatch, CloudDataset, Field
from rapidash.datasets import ELEMENT_SYMBOLS, QM9_UNITS, FileCloud, OnError, Qm9Source, ReadDataset, qm9_dataset
from rapidash.geometry import safe_norm
from rapidash.groups import Scalar, Vector
from rapidash.methods import Split, Variant
from rapidash.models import Network, cloud_network
from rapidash.symmetry import Ledger
from rapidash.tasks._elements import ANGSTROM_PER_UNIT, ELEMENTS, element_features
from rapidash.tasks._file_task import NeededField, Output
from rapidash.tasks._molecule_files import NEEDS_OF_MOLECULES, check_elements, elements_of, read_molecule
from rapidash.tasks._point_inputs import cloud_means, displacements, network_ledger, point_inputs
from rapidash.tasks._split_sizes import check_split_sizes, split_sizes

VECTOR_TARGETS = ("dipole", "dipole_hf")
SCALAR_TARGETS = tuple(name for name in QM9_UNITS if name != "index")
INTENSIVE = ("a", "b", "c", "mu", "homo", "lumo", "gap", *VECTOR_TARGETS)
"""Targets that do not grow with the number of atoms; the others are sums over atoms, relative to a fit of elements."""
Qm9TaskSource = Literal["auto", "b3lyp", "geometry", "mp2"]
_OF_MP2 = (
    "energy_hf",
    "energy_mp2",
    "atomization_mp2",
    "homo",
    "lumo",
    "gap",
    *VECTOR_TARGETS,
)  # what "auto" reads there
_MILLI = {"eV": "meV", "D": "mD"}


class Qm9Network(nn.Module):
    r"""A number per molecule, summed (or averaged) over atoms, or a dipole vector, from a Rapidash network.

    The dipole is :math:`\sum_i v_i + (q_i - \bar q)(x_i - \bar x)`, with a predicted vector and charge for every atom;
    the molecule is neutral, so that it does not depend on the origin.

    Args:
        variant: network and inputs, see `point_inputs`; the only vectors are constant ones.
        is_vector: predict a vector.
        is_sum: pool by sums over atoms, else by means; vectors are always sums.
        is_length: of the vector, give its length alone.
    Shape: (B, 1) or (B, 3), in the unit of the target.
    """

    target_unit: Tensor

    def __init__(self, variant: Variant, *, is_vector: bool, is_sum: bool, is_length: bool = False) -> None:
        super().__init__()
        self.inputs, self.is_vector, self.is_length = point_inputs(variant, ()), is_vector, is_length
        shape = {
            "out_scalars": 1,
            "out_vectors": int(is_vector),
            "level": "node" if is_vector else "graph",
            "pool": "sum" if is_sum else "mean",
        }
        self.backbone: Network = cloud_network(variant.model, self.inputs.interface(scalars=len(ELEMENTS), **shape))
        self.register_buffer("target_unit", torch.ones(()))  # in units of the target: calibrate sets it

    def forward(self, batch: CloudBatch) -> Float[Tensor, "B K"]:
        """The target of every molecule."""
        pos, features = self._features(batch)
        out = self.backbone(pos, batch.batch, **features)
        if not self.is_vector:
            return self.target_unit * out.scalars
        mean = cloud_means(out.scalars[:, 0], batch)[batch.batch]
        charges = out.scalars - mean[:, None]
        parts = out.vectors[:, 0] + charges * displacements(pos, batch.batch, batch.num_clouds)
        vector = self.target_unit * parts.new_zeros(batch.num_clouds, 3).index_add(0, batch.batch, parts)
        return safe_norm(vector)[:, None] if self.is_length else vector

    @torch.no_grad()
    def calibrate(self, batch: CloudBatch) -> None:
        """Rescale the kernels, and measure the target in units of its root mean square on this batch."""
        if "target" in batch.tensors:
            self.target_unit.copy_(batch["target"].square().mean().sqrt().clamp(min=1e-6))
        pos, features = self._features(batch)
        self.backbone.calibrate(pos, batch.batch, **features)

    def _features(self, batch: CloudBatch) -> tuple[Tensor, dict[str, Tensor | None]]:
        """Positions in the network's unit of length, and the keyword arguments of the network."""
        pos, elements = batch.pos / ANGSTROM_PER_UNIT, element_features(batch["z"]).to(batch.pos)
        scalars, vectors, _ = self.inputs.features(pos, pos.new_zeros(len(pos), 0, 3), elements)
        return pos, {"scalars": scalars, "vectors": vectors}


@dataclass(frozen=True)
class Qm9Task:
    """One property of the molecules of QM9; mean absolute error in the field's unit (meV, D, bohr^3, ...).

    A number is learned relative to what the training set tells without geometry: targets that grow with the molecule
    relative to a least-squares fit of their elements, the others relative to their mean. A vector is learned as it is,
    and its error is the length of the difference.

    Args:
        target: a scalar of `QM9_UNITS`, "dipole" or "dipole_hf", as far as the source has it.
        source: "mp2" (10,000 molecules with MP2 and Hartree-Fock targets: energy_hf, energy_mp2, atomization_mp2, homo,
            lumo, gap, dipole, dipole_hf), "b3lyp" (the benchmark with its twelve targets: mu, alpha, homo, lumo, gap,
            r2, zpve, u0, u298, h298, g298, cv; u0_atom etc. are the energies minus those of the atoms) or "geometry"
            (a, b, c). "auto": "mp2" where it has the target, "geometry" for a, b and c, else "b3lyp".
        from_vector: of the target mu, whether it is the length of a dipole vector that the network predicts; else it is
            a number like the others.
        num_train, num_val, num_test: at most so many molecules, the first of the (random) split; None: all.
        data_dir: folder or file; default: RAPIDASH_DATA.
        on_error: "skip" leaves bad molecules out, counted and reported; "raise" stops at the first.
        verify: compare the checksums of files, where there are published ones; False takes other versions of them.
    Raises: ValueError for an unknown target or source, or a size below 1.
    Source: Ramakrishnan et al., Scientific Data 1, 140022 (2014).
    """

    target: str = "dipole"
    source: Qm9TaskSource = "auto"
    from_vector: bool = False
    num_train: int | None = None
    num_val: int | None = None
    num_test: int | None = None
    data_dir: str | None = None
    on_error: OnError = "raise"
    verify: bool = True

    name: str = field(default="qm9", init=False)
    dim: int = field(default=3, init=False)

    def __post_init__(self) -> None:
        if self.target not in (*SCALAR_TARGETS, *VECTOR_TARGETS):
            raise ValueError(unknown_name("target of qm9", self.target, (*SCALAR_TARGETS, *VECTOR_TARGETS)))
        if self.source not in get_args(Qm9TaskSource):
            raise ValueError(unknown_name("source of qm9", self.source, get_args(Qm9TaskSource)))
        if self.from_vector and self.target != "mu":
            raise ValueError(f"from_vector is for the target 'mu', the length of a dipole, got {self.target!r}")
        check_split_sizes(self)

    @property
    def is_vector(self) -> bool:
        """Whether the target is a vector."""
        return self.target in VECTOR_TARGETS

    @property
    def _has_offset(self) -> bool:
        """Whether the target is learned relative to what the elements tell: not what the length of a vector gives."""
        return not (self.is_vector or self.from_vector)

    @property
    def _source(self) -> Qm9Source:
        if self.source != "auto":
            return self.source
        if self.target in _OF_MP2:
            return "mp2"
        return "geometry" if self.target in ("a", "b", "c") else "b3lyp"

    @property
    def _data_unit(self) -> str:
        return "D" if self.is_vector else QM9_UNITS[self.target]

    @property
    def metric(self) -> str:
        """The metric in words."""
        return f"mean error of the {self.target} vector" if self.is_vector else f"MAE of {self.target}"

    @property
    def unit(self) -> str:
        """Unit of the metric: meV, mD of vectors, and as the data for the others."""
        return _MILLI[self._data_unit] if self._is_in_thousandths else self._data_unit

    @property
    def _is_in_thousandths(self) -> bool:
        return self._data_unit in _MILLI and self.target != "mu"  # of which the field reports D

    @property
    def output(self) -> Field:
        """A number or a vector per molecule, in the unit of the data."""
        return Field(Vector() if self.is_vector else Scalar(), self._data_unit, "cloud")

    def dataset(self, split: Split) -> CloudDataset:
        """One split: pos, z and target, a number relative to what the elements tell.

        Raises: FileNotFoundError; DataError for damaged files; ValueError for a target that the source does not have.
        """
        data = self._read(split)
        if self.target not in data.tensors:
            known = [name for name in (*SCALAR_TARGETS, *VECTOR_TARGETS) if name in data.tensors]
            raise ValueError(f"{data.source} ({self._source!r}) has no target {self.target!r}, it has {known}")
        tensors = {"pos": data.tensors["pos"], "z": data.tensors["z"], "target": data.tensors[self.target]}
        if self._has_offset:
            train = data if split == "train" else self._read("train")
            tensors["target"] = tensors["target"] - self._known(data.tensors["z"], data.num_points) @ self._fit(train)
        fields = {"pos": data.fields["pos"], "z": data.fields["z"], "target": self.output}
        whole, size = CloudDataset(tensors, fields, data.num_points), split_sizes(self)[split]
        return whole if size is None or size >= len(whole) else whole.subset(torch.arange(size))

    @property
    def needs(self) -> Mapping[str, NeededField]:
        """The fields that a molecule from a file must have."""
        return NEEDS_OF_MOLECULES

    @property
    def reference_kinds(self) -> Mapping[str, Any]:
        """The entries of `reference` and their types."""
        offset = {"mean": float} if self.target in INTENSIVE else {"per_atom": dict[str, float]}
        return {"elements": list[int], **(offset if self._has_offset else {})}

    def reference(self) -> dict[str, Any]:
        """The elements of the training data and what was taken off the target: a number, or one for each element."""
        train = self._read("train")
        elements = elements_of(train.tensors["z"])
        if not self._has_offset:
            return {"elements": elements}
        offset = self._fit(train)[:, 0].tolist()
        if self.target in INTENSIVE:
            return {"elements": elements, "mean": offset[0]}
        per_atom = {ELEMENT_SYMBOLS[z - 1]: value for z, value in zip(ELEMENTS, offset) if z in elements}
        return {"elements": elements, "per_atom": per_atom}

    def read_cloud(self, found: FileCloud, reference: Mapping[str, Any]) -> dict[str, Tensor]:
        """One molecule. Raises: DataError for elements that the training data did not have."""
        return read_molecule(found, reference)

    def outputs(self, prediction: Tensor, batch: CloudBatch, reference: Mapping[str, Any]) -> dict[str, Output]:
        """The target itself, in the unit of the data."""
        check_elements(batch["z"], reference)
        values = prediction.double()
        if self._has_offset:
            per_atom = reference.get("per_atom", {})
            offset = [per_atom.get(ELEMENT_SYMBOLS[z - 1], 0.0) for z in ELEMENTS]
            offset = [reference["mean"]] if "mean" in reference else offset
            known = self._known(batch["z"], batch.num_points)
            values = values + known @ values.new_tensor(offset)[:, None]
        return {self.target: Output(values, self.output)}

    def build(self, variant: Variant) -> nn.Module:
        """The network of a variant with fresh weights from torch's global generator."""
        is_vector = self.is_vector or self.from_vector
        return Qm9Network(variant, is_vector=is_vector, is_sum=self.target not in INTENSIVE, is_length=self.from_vector)

    def ledger(self, variant: Variant) -> Ledger:
        """Effective symmetry of a variant."""
        with torch.random.fork_rng():
            return network_ledger(self.build(variant))

    def loss(self, prediction: Float[Tensor, "B K"], batch: CloudBatch) -> Float[Tensor, ""]:
        """The mean error, in the unit of the data."""
        return self._distance(prediction, batch).mean()

    def errors(self, prediction: Float[Tensor, "B K"], batch: CloudBatch) -> Float[Tensor, " B"]:
        """The error of every molecule, in the unit of the metric."""
        return (1000 if self._is_in_thousandths else 1) * self._distance(prediction, batch)

    @staticmethod
    def _distance(prediction: Tensor, batch: CloudBatch) -> Tensor:
        """|prediction - target|, of a number or a vector."""
        return safe_norm(prediction - batch["target"])

    def _read(self, split: Split) -> ReadDataset:
        return qm9_dataset(
            split, source=self._source, data_dir=self.data_dir, on_error=self.on_error, verify=self.verify
        )

    def _fit(self, train: ReadDataset) -> Float[Tensor, "K 1"]:
        """Fit the target of the training data by the features of `_known`, which need no geometry: least squares."""
        known = self._known(train.tensors["z"], train.num_points)
        # gelsd: elements that do not occur leave columns of zeros
        return torch.linalg.lstsq(known, train.tensors[self.target], driver="gelsd").solution

    def _known(self, z: Int[Tensor, " N"], num_points: Int[Tensor, " B"]) -> Float[Tensor, "B K"]:
        """Features of every molecule that need no geometry: a constant, or the number of atoms of each element."""
        if self.target in INTENSIVE:
            return torch.ones(len(num_points), 1, dtype=torch.float64, device=z.device)
        cloud = torch.repeat_interleave(torch.arange(len(num_points), device=z.device), num_points)
        atoms = element_features(z).double()
        return atoms.new_zeros(len(num_points), atoms.shape[1]).index_add(0, cloud, atoms)
