"""Own data: the target of a user's files, a number, vector, tensor or class of each cloud or point, or forces."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal, get_args

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from rapidash.data import CloudBatch, CloudDataset, Field, rounded
from rapidash.datasets import DataError, FileCloud, OnError, as_entries, read_valued_clouds
from rapidash.groups import DirectSum, Position, Representation, Scalar, Tensor2, Vector
from rapidash.methods import Split, Variant
from rapidash.symmetry import Ledger
from rapidash.tasks._error_unit import error_unit
from rapidash.tasks._file_task import NeededField, Output, total_energy
from rapidash.tasks._own_cloud import cloud_of_file
from rapidash.tasks._own_columns import cell_columns, point_counts, stacked
from rapidash.tasks._own_kinds import class_word, full_tensors
from rapidash.tasks._own_network import OwnDataNetwork, OwnForcesNetwork
from rapidash.tasks._own_reading import OwnClouds, Wanted, expanded, fingerprint, read_own
from rapidash.tasks._own_scales import atom_offsets, taken_off, target_scales
from rapidash.tasks._own_splits import NAMES, by_files, by_group, by_seed, check_split_way, in_time
from rapidash.tasks._point_inputs import cloud_means, network_ledger
from rapidash.tasks._segmentation import most_probable

OwnKind = Literal["number", "vector", "tensor", "class", "forces"]
FEWEST_CLOUDS: Final = 10  # with a target of each cloud; fewer cannot be split and compared
FEWEST_OF_POINTS: Final = 3  # with a target of each point
FEWEST_OF_CLASS: Final = 3  # one for each part
STRETCHES: Final = 20  # of the clouds of a file, in their order
_REPRESENTATIONS: Final[dict[str, Representation]] = {
    "number": Scalar(),
    "class": Scalar(),
    "vector": Vector(),
    "tensor": Tensor2(),
}


@dataclass(frozen=True)
class OwnDataTask:
    """Predict the target of a user's files; `rapidash.tasks.own_data_options` finds the options of files.

    Numbers are predicted in units of their standard deviation about their mean, vectors and tensors in units of their
    root mean square (tensors about their mean trace). An extensive number, such as the energy of a molecule, is a sum
    over the atoms; an energy offset per element, fitted to the training clouds by least squares, is taken off first.

    Args:
        files: files, or folders of files, see `rapidash.datasets.read_valued_clouds`.
        target: name of the target in the files; of kind "forces" the energy's; empty: the class of a cloud is its
            folder.
        forces: of kind "forces", their name.
        kind: "number", "vector", "tensor" (symmetric, of rank 2), "class", or "forces": an energy of each cloud, and
            its negative gradient.
        level: "cloud", or "point" for a target of each point.
        target_unit: of the target; empty: not known.
        force_unit: of kind "forces", that of the forces.
        dim: of space.
        elements: atomic numbers that occur; empty for clouds without elements.
        class_names: of kind "class".
        is_periodic: whether clouds have a cell; those without one, among others, do not repeat.
        is_extensive: see above.
        length: unit of length inside the network, in that of the files.
        split: "seed", "group:NAME" by a value of the clouds, "time" by blocks of each file, or "files".
        data_seed: of the split.
        num_points: at most so many points of a cloud without elements; of a mesh as many on its surface.
        max_clouds: of more clouds every second is kept, of more than twice as many every fourth, and so on.
        column: of tables, the column that tells the clouds apart.
        energy_weight, force_weight: of kind "forces", of the two terms of the loss.
        digest: of the content of the files; other files are refused. Empty: any.
        on_error: "skip" leaves clouds out that cannot be read or lack the target, counted; "raise" stops at the first.
    Raises: ValueError for values outside the above.
    """

    files: tuple[str, ...] = ()
    target: str = ""
    forces: str = ""
    kind: OwnKind = "number"
    level: Literal["cloud", "point"] = "cloud"
    target_unit: str = ""
    force_unit: str = ""
    dim: int = 3
    elements: tuple[int, ...] = ()
    class_names: tuple[str, ...] = ()
    is_periodic: bool = False
    is_extensive: bool = False
    length: float = 1.0
    split: str = "seed"
    data_seed: int = 0
    num_points: int = 256
    max_clouds: int = 50_000
    column: str | None = None
    energy_weight: float = 1.0
    force_weight: float = 1.0
    digest: str = ""
    on_error: OnError = "raise"

    name: str = field(default="own-data", init=False)

    def __post_init__(self) -> None:
        for name in ("files", "elements", "class_names"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if not self.files:
            raise ValueError("files: expected files or folders, got none: rapidash study FILES --target NAME")
        for name, allowed in (("kind", get_args(OwnKind)), ("level", ("cloud", "point")), ("dim", (2, 3))):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(map(str, allowed))}, got {getattr(self, name)!r}")
        if self.num_points < 3 or self.max_clouds < FEWEST_CLOUDS or not self.length > 0:
            raise ValueError(
                f"num_points must be at least 3, max_clouds at least {FEWEST_CLOUDS} and length above 0, got "
                f"{self.num_points}, {self.max_clouds} and {self.length}"
            )
        if self.kind == "class" and len(self.class_names) < 2:
            raise ValueError(f"class_names: a class needs at least 2 of them, got {list(self.class_names)}")
        if (self.kind == "forces") != bool(self.forces):
            raise ValueError(f"forces: the name of the forces belongs to kind 'forces', got {self.forces!r}")
        if min(self.energy_weight, self.force_weight) < 0 or max(self.energy_weight, self.force_weight) == 0:
            raise ValueError("energy_weight and force_weight must be at least 0 and not both 0")
        check_split_way(self.split)

    # ---- data

    @property
    def wanted(self) -> Wanted:
        """The parts of the files that are read."""
        names = tuple(filter(None, (self.target, self.forces)))
        return Wanted(
            self.files,
            names,
            group=self.split.removeprefix("group:") if self.split.startswith("group:") else None,
            column=self.column,
            at_points=self.level == "point",
            num_points=self.num_points,
            max_clouds=self.max_clouds,
            skips=self.on_error == "skip",
        )

    def clouds(self) -> OwnClouds:
        """All clouds. Raises: DataError for files that are not those of the options any more; and as `read_own`."""
        if self.digest and (found := fingerprint(self.files)) != self.digest:
            raise DataError(
                f"{', '.join(self.files)}: the files have changed since these options were made (digest {found}, then "
                f"{self.digest}): give the files to the command again"
            )
        return read_own(self.wanted)

    def parts(self) -> Tensor:
        """(B,) 0, 1, 2 for the training, validation and test clouds, -1 for those between blocks in time.

        Raises: DataError for a part without clouds, or a class that the training clouds do not have.
        """
        clouds = self.clouds()
        if self.split == "time":
            part = in_time(clouds.file)
        elif self.split == "files":
            part = by_files(clouds.file, clouds.paths, self.data_seed)
        elif self.split == "seed":
            strata = torch.zeros(len(clouds.pos), dtype=torch.long)
            if self.kind == "class" and self.level == "cloud":
                strata = self._numbers(clouds)
            part = by_seed(strata, self.data_seed)
        else:
            part = by_group(clouds.groups, self.data_seed, self.split)
        if empty := [name for index, name in enumerate(NAMES) if not (part == index).any()]:
            raise DataError(f"split {self.split!r}: the {empty[0]} part has no clouds")
        if self.kind == "class":
            self._check_classes(clouds, part)
        return part

    def _check_classes(self, clouds: OwnClouds, part: Tensor) -> None:
        numbers = self._numbers(clouds)
        owner = part if self.level == "cloud" else torch.repeat_interleave(part, point_counts(clouds))
        learned = set(numbers[owner == 0].tolist())
        if unknown := sorted(set(numbers[owner > 0].tolist()) - learned):
            names = ", ".join(self.class_names[index] for index in unknown)
            raise DataError(
                f"split {self.split!r}: the training part has no cloud of {names}, other parts have: split by seed"
            )

    def _numbers(self, clouds: OwnClouds) -> Tensor:
        """The class of each cloud, or of each point, as a number."""
        place = {name: index for index, name in enumerate(self.class_names)}
        words = [np.asarray(value).reshape(-1).tolist() for value in clouds.targets[0]]
        try:
            return torch.tensor([place[class_word(word)] for each in words for word in each])
        except KeyError as error:
            raise DataError(f"class {error} is not among those of the options, {', '.join(self.class_names)}") from None

    def _targets(self, clouds: OwnClouds) -> Tensor:
        """(B or N, ...) float64, or whole numbers of classes."""
        if self.kind == "class":
            return self._numbers(clouds)
        rows = stacked(clouds.targets[0], self.level)
        if self.kind == "tensor":
            return torch.from_numpy(full_tensors(rows, self.dim))
        shape = (-1, self.dim) if self.kind == "vector" else (-1,)
        return torch.from_numpy(rows.astype(np.float64).reshape(shape))

    def dataset(self, split: Split) -> CloudDataset:
        """pos, target less what `scales` takes off it, and where the files have them z, cell, periodic and forces.

        Raises: as `clouds` and `parts`.
        """
        data = self._whole(split)
        if self.kind == "class":
            return data
        owner = torch.repeat_interleave(torch.arange(len(data)), data.num_points)
        rest = data.tensors["target"] - self._taken_off(self.scales, data.tensors.get("z"), owner, len(data))
        return CloudDataset({**data.tensors, "target": rest.float()}, data.fields, data.num_points)

    def _whole(self, split: Split) -> CloudDataset:
        """The clouds of a part with their whole target, numbers in float64."""
        clouds, part = self.clouds(), self.parts()
        chosen = (part == NAMES.index(split)).nonzero()[:, 0].tolist()
        counts = point_counts(clouds)
        is_chosen = torch.zeros(len(counts), dtype=torch.bool)
        is_chosen[chosen] = True
        rows = torch.repeat_interleave(is_chosen, counts)
        sizes = counts[is_chosen]
        pos = torch.cat([clouds.pos[index] for index in chosen])
        target = self._targets(clouds)[is_chosen if self.level == "cloud" else rows]
        tensors = {"pos": self.placed(pos, sizes), "target": target}
        representation = Scalar() if self.kind == "forces" else _REPRESENTATIONS[self.kind]
        fields = {
            "pos": Field(Position(), "length"),
            "target": Field(representation, self.target_unit or "1", self.level),
        }
        if self.elements:
            tensors["z"] = torch.cat([clouds.z[index] for index in chosen])
            fields["z"] = Field(Scalar())
        if self.kind == "forces":
            forces = torch.from_numpy(np.concatenate([clouds.targets[1][index] for index in chosen]))
            tensors["forces"], fields["forces"] = forces.float(), Field(Vector(), self.force_unit or "1")
        if self.is_periodic:
            tensors |= cell_columns(clouds, chosen, self.dim)
            fields |= {"cell": Field(Vector(), "length", "cloud"), "periodic": Field(Scalar(), level="cloud")}
        return CloudDataset(tensors, fields, sizes)

    def placed(self, pos: Float[Tensor, "N D"], num_points: Tensor) -> Float[Tensor, "N D"]:
        """The positions of the files as the network takes them, in float32; clouds far from the origin near it."""
        return pos.float() if self.is_periodic else rounded(pos, num_points, torch.float32)

    def frame(self) -> tuple[list[float], float]:
        """The mean (D,) of all points of the training clouds, and their root mean square distance from it."""
        chosen = (self.parts() == 0).nonzero()[:, 0].tolist()
        points = torch.cat([self.clouds().pos[index] for index in chosen])
        middle = points.mean(dim=0)
        return middle.tolist(), float((points - middle).square().sum(dim=1).mean().sqrt()) or 1.0

    def stretches(self, split: Split) -> tuple[Tensor, Tensor]:
        """Of each cloud the part of the files that it stands in, and the class to which it may be compared, (B,) twice.

        A part is a group where clouds are split by one, else a twentieth of the clouds of a file and class in their
        order; parts that follow each other have numbers that do. Without classes of clouds, the class is 0.
        """
        clouds, part = self.clouds(), self.parts()
        label = torch.zeros(len(part), dtype=torch.long)
        if self.kind == "class" and self.level == "cloud":
            label = self._numbers(clouds)
        if clouds.groups:
            names = {name: 3 * index for index, name in enumerate(sorted(set(clouds.groups)))}
            stretch = torch.tensor([names[name] for name in clouds.groups])
        else:
            stretch = torch.zeros(len(part), dtype=torch.long)
            for number, pair in enumerate(torch.stack([clouds.file, label]).unique(dim=1).T):
                members = ((clouds.file == pair[0]) & (label == pair[1])).nonzero()[:, 0]
                place = torch.arange(len(members)) * STRETCHES // max(len(members), 1)
                stretch[members] = place + number * (STRETCHES + 2)
        chosen = part == NAMES.index(split)
        return stretch[chosen], label[chosen]

    # ---- scales

    @cached_property
    def scales(self) -> dict[str, Any]:
        """Mean and scale of the target over the training clouds, and offsets per element; see `reference`."""
        return target_scales(
            self._whole("train"),
            kind=self.kind,
            elements=self.elements,
            is_extensive=self.is_extensive,
            length=self.length,
        )

    @property
    def reference_kinds(self) -> Mapping[str, Any]:
        """The entries of `reference` and their types."""
        return {"mean": float, "scale": float, "offsets": list[float]}

    def reference(self) -> dict[str, Any]:
        """Numbers taken off the target, and its unit: ``mean``, ``scale``, and ``offsets`` of the elements."""
        return dict(self.scales)

    # ---- model

    def build(self, variant: Variant) -> nn.Module:
        """The network of a variant with fresh weights from torch's global generator."""
        made = OwnForcesNetwork if self.kind == "forces" else OwnDataNetwork
        return made(
            variant,
            dim=self.dim,
            elements=self.elements,
            length=self.length,
            is_periodic=self.is_periodic,
            kind="number" if self.kind == "forces" else self.kind,
            level="point" if self.kind == "forces" else self.level,
            num_classes=len(self.class_names),
            is_extensive=self.is_extensive,
        )

    def ledger(self, variant: Variant) -> Ledger:
        """Effective symmetry of a variant."""
        with torch.random.fork_rng():
            return network_ledger(self.build(variant))

    @property
    def output(self) -> Field:
        """Logits, numbers, vectors or tensors, of clouds or points."""
        if self.kind == "forces":
            return Field(DirectSum(((Scalar(), 1), (Vector(), self.dim))))
        return Field(_REPRESENTATIONS[self.kind], level=self.level)

    # ---- loss and metric

    @property
    def metric(self) -> str:
        """The metric in words."""
        of = f" of {self.target}"
        return {
            "class": "error rate",
            "number": f"mean absolute error{of}",
            "vector": f"mean length of the error{of}",
            "tensor": f"mean Frobenius norm of the error{of}",
            "forces": f"MAE of components of {self.forces}",
        }[self.kind]

    @property
    def unit(self) -> str:
        """Percent of an error rate; else that of the target or the forces, percentage points if that is percent."""
        if self.kind == "class":
            return "%"
        name, unit = (self.forces, self.force_unit) if self.kind == "forces" else (self.target, self.target_unit)
        return error_unit(unit) or f"unit of {name}"

    def loss(self, prediction: Tensor, batch: CloudBatch) -> Float[Tensor, ""]:
        """Cross-entropy, or the mean squared error in units of `scales`, of extensive numbers per point."""
        if self.kind == "class":
            return cross_entropy(prediction, batch["target"])
        scale = self.scales["scale"]
        if self.kind == "forces":
            energy = cloud_means(prediction[:, 0], batch) - batch["target"] / batch.num_points / scale
            forces = prediction[:, 1:] * self.length - batch["forces"] * self.length / scale
            return self.energy_weight * energy.square().mean() + self.force_weight * forces.square().mean()
        difference = self._row(prediction) - batch["target"] / scale
        return ((difference / batch.num_points) if self.is_extensive else difference).square().mean()

    def errors(self, prediction: Tensor, batch: CloudBatch) -> Float[Tensor, " B"]:
        """The metric of each cloud, the mean over its points where they have the target."""
        if self.kind == "class":
            each = 100 * (prediction.argmax(dim=1) != batch["target"]).to(prediction.dtype)
        elif self.kind == "forces":
            scale = self.scales["scale"]
            return cloud_means((scale * prediction[:, 1:] - batch["forces"]).abs().mean(dim=1), batch)
        else:
            difference = self.scales["scale"] * self._row(prediction) - batch["target"]
            each = difference.flatten(1).norm(dim=1) if difference.dim() > 1 else difference.abs()
        return cloud_means(each, batch) if self.level == "point" else each

    def constant_errors(self, split: Split) -> Float[Tensor, " B"]:
        """`errors` of a prediction that sees no cloud: what `scales` takes off, or the commonest class of training."""
        data = self.dataset(split)
        target = data.tensors["target"]
        batch = data.batch(torch.arange(len(data)))
        if self.kind == "class":
            commonest = self.dataset("train").tensors["target"].mode().values
            return self.errors(one_hot(commonest, len(self.class_names)).float().expand(len(target), -1), batch)
        if self.kind == "forces":
            return self.errors(batch.pos.new_zeros(len(batch.pos), 1 + self.dim), batch)
        return self.errors(target.new_zeros(len(target), *(target.shape[1:] or (1,))), batch)

    def constant_details(self, split: Split) -> dict[str, Float[Tensor, " B"]]:
        """`details` of the prediction of `constant_errors`: energies are what `scales` takes off."""
        if self.kind != "forces":
            return {}
        data = self.dataset(split)
        batch = data.batch(torch.arange(len(data)))
        return self.details(batch.pos.new_zeros(len(batch.pos), 1 + self.dim), batch)

    def details(self, prediction: Tensor, batch: CloudBatch) -> dict[str, Tensor]:
        """Of kind "forces", the absolute error of the energy."""
        if self.kind != "forces":
            return {}
        energy = self.scales["scale"] * cloud_means(prediction[:, 0], batch) * batch.num_points
        return {f"MAE of {self.target} ({self.target_unit or 'its unit'})": (energy - batch["target"]).abs()}

    def _row(self, prediction: Tensor) -> Tensor:
        return prediction[:, 0] if self.kind == "number" else prediction

    def _taken_off(self, scales: Mapping[str, Any], z: Tensor | None, owner: Tensor, num: int) -> Tensor:
        """The part of the target that `scales` takes off, see `taken_off`."""
        tensor_dim = self.dim if self.kind == "tensor" else None
        return taken_off(scales, z, owner, num, elements=self.elements, tensor_dim=tensor_dim)

    # ---- files of users

    @property
    def needs(self) -> Mapping[str, NeededField]:
        """The fields that a cloud from a file must have."""
        needs = {"pos": NeededField(Field(Position(), "the length of the training files"), self.dim)}
        if self.elements:
            needs["z"] = NeededField(Field(Scalar(), "atomic number"), 0)
        if self.is_periodic:
            needs["cell"] = NeededField(Field(Vector(), "the length of the training files", "cloud"), self.dim)
            needs["periodic"] = NeededField(Field(Scalar(), "along which vectors", "cloud"), self.dim)
        return needs

    def read_files(self, path: Path | str) -> Any:
        """The clouds of a file, see `rapidash.datasets.read_valued_clouds`, or of all files of a folder."""
        if not Path(path).is_dir():
            return read_valued_clouds(path, column=self.column)
        return (
            entry
            for file, _ in expanded([str(path)])
            for entry in as_entries(file, read_valued_clouds(file, column=self.column))
        )

    def read_cloud(self, found: FileCloud, reference: Mapping[str, Any]) -> dict[str, Tensor]:
        """One cloud as those of the training data, see `cloud_of_file`."""
        return cloud_of_file(
            found,
            dim=self.dim,
            elements=self.elements,
            is_periodic=self.is_periodic,
            level=self.level,
            num_points=self.num_points,
        )

    def outputs(self, prediction: Tensor, batch: CloudBatch, reference: Mapping[str, Any]) -> dict[str, Output]:
        """The target under its name, in its unit; of classes also the probability, and of clouds those of all."""
        name = self.target or "class"
        if self.kind == "class":
            if self.level == "point":
                return most_probable(name, prediction, self.class_names)
            every = prediction.softmax(dim=1)
            best, label = every.max(dim=1)
            return {
                name: Output(label, self.output, self.class_names),
                "probability": Output(best, self.output),
                "probabilities": Output(every, self.output, self.class_names),
            }
        unit, scale = self.target_unit or f"unit of {name}", reference["scale"]
        if self.kind == "forces":
            forces = scale * prediction[:, 1:]
            return {
                name: total_energy(self.atom_energies(prediction[:, :1], batch, reference), batch),
                self.forces: Output(forces, Field(Vector(), self.force_unit or f"unit of {self.forces}")),
            }
        base = self._taken_off(reference, batch.tensors.get("z"), batch.batch, batch.num_clouds)
        values = scale * self._row(prediction).double() + base
        return {name: Output(values, Field(_REPRESENTATIONS[self.kind], unit, self.level))}

    def atom_energies(self, energies: Float[Tensor, "N 1"], batch: CloudBatch, reference: Mapping[str, Any]) -> Output:
        """Of kind "forces": the energy of every atom, from `OwnForcesNetwork.energies`, with its element's offset."""
        values = reference["scale"] * energies[:, 0].double()
        if reference["offsets"] and "z" in batch.tensors:
            values = values + atom_offsets(reference, batch["z"], self.elements)
        return Output(values, Field(Scalar(), self.target_unit or f"unit of {self.target}"))
