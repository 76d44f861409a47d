"""CMU motion capture: where are the 31 joints of a walking or running person a quarter of a second from now?"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import one_hot

from rapidash.data import CloudBatch, CloudDataset, Field
from rapidash.datasets import CMU_HORIZON, DataError, FileCloud, Motion, OnError, cmu_dataset
from rapidash.groups import Position, Scalar, Vector
from rapidash.methods import Split, Variant
from rapidash.models import Network, cloud_network
from rapidash.symmetry import Ledger
from rapidash.tasks._file_task import NeededField, Output, cloud_tensors
from rapidash.tasks._mirror_images import with_mirror_images
from rapidash.tasks._point_inputs import cloud_means, displacements, network_ledger, point_inputs
from rapidash.tasks._split_sizes import check_split_sizes, split_sizes

NUM_JOINTS = 31
LENGTH_UNIT = 10.0  # skeleton units, about half a meter: lengths inside the network are of order 1
NUM_CODES = 2  # learned numbers of each joint whose products modulate the kernels, in place of bones as edges
_FIELDS = ("pos", "vel", "joint", "target")


class CmuNetwork(nn.Module):
    """Predicted positions x_i + h v_i + u_i: constant velocity over the horizon h, corrected by a Rapidash network.

    Every joint sees every other. Which joint is which enters as a one-hot scalar, and by learned codes c_i whose
    products c_i c_j modulate the kernels, so that a bone can act otherwise than a pair of far limbs. Vectors in:
    velocity and displacement from the centroid; where a network has no vectors (R^3 with rotations), their norms and
    inner products, and u_i gains the sum of the vectors times predicted scalars, as in EGNN.

    Args:
        variant: network and inputs; tokens ``"height"``, ``"vertical"`` and ``"global frame"``, see `point_inputs`.
        horizon: h, frames.
        uses_joints: False: neither the one-hot nor the codes; joints differ by what they do alone.
    """

    def __init__(self, variant: Variant, horizon: int, *, uses_joints: bool = True) -> None:
        super().__init__()
        self.horizon, self.uses_joints = horizon, uses_joints
        self.inputs = point_inputs(variant, ("velocity", "displacement from the centroid"))
        self.combines = self.inputs.way == "invariants"
        shape = {
            "in_pairs": NUM_CODES if uses_joints else 0,
            "out_scalars": self.inputs.num_vectors if self.combines else 0,
            "out_vectors": 1,
            "level": "node",
        }
        num_scalars = 1 + NUM_JOINTS if uses_joints else 1
        self.backbone: Network = cloud_network(variant.model, self.inputs.interface(scalars=num_scalars, **shape))
        if uses_joints:
            self.codes = nn.Embedding(NUM_JOINTS, NUM_CODES)

    def forward(self, batch: CloudBatch) -> Float[Tensor, "N 3"]:
        """Positions at the horizon, skeleton units."""
        moved, features, vectors = self._features(batch)
        out = self.backbone(moved, batch.batch, **features)
        change = out.vectors[:, 0]
        if self.combines:
            change = change + torch.einsum("nv,nvd->nd", out.scalars, vectors)
        return batch.pos + self.horizon * batch["vel"] + change

    def calibrate(self, batch: CloudBatch) -> None:
        """Rescale the kernels on one batch, see `Rapidash.calibrate`."""
        pos, features, _ = self._features(batch)
        self.backbone.calibrate(pos, batch.batch, **features)

    def _features(self, batch: CloudBatch) -> tuple[Tensor, dict[str, Tensor | None], Tensor]:
        """Positions, keyword arguments of the network, and all vectors, in the network's unit of length."""
        pos = batch.pos / LENGTH_UNIT
        vel = batch["vel"] * (self.horizon / LENGTH_UNIT)
        scalars, pairs = torch.linalg.vector_norm(vel, dim=-1, keepdim=True), None
        if self.uses_joints:
            joint = batch["joint"]
            scalars, pairs = torch.cat([scalars, one_hot(joint, NUM_JOINTS).to(pos)], dim=1), self.codes(joint)
        given = torch.stack([vel, displacements(pos, batch.batch, batch.num_clouds)], dim=1)
        scalars, vectors_in, vectors = self.inputs.features(pos, given, scalars)
        return pos, {"scalars": scalars, "vectors": vectors_in, "pairs": pairs}, vectors


@dataclass(frozen=True)
class CmuTask:
    """Positions of the joints 30 frames ahead; the metric is the field's, the mean squared error times 100.

    Both published protocols are variants of this task: without the absolute height (the default), and with it, y / 10
    as a scalar of every joint (input token ``"height"``), as EGNN, GMN and EGNO have it; it tells the vertical and
    where the floor is. Unlike the published networks, ours may know which joint is which (``uses_joints``), and
    connect every joint to every other.

    Args:
        motion: "walk", "run", or "walk-subjects" (other people; horizon 15 frames of 1/60 s).
        num_train, num_val, num_test: upper bounds of the samples, shared equally by the clips; None: the published
            198/600/600 (walk) and 200/240/240 (run), or all.
        mirror: the training set also holds the mirror image (x -> -x) of each of its samples, with left and right
            joints exchanged: it is twice as large, of the same recorded samples. A share of it may hold an image
            without its original.
        uses_joints: the number of each joint enters, see `CmuNetwork`; False: only how it moves, as in EGNN, GMN, EGNO.
        data_dir: folder or file; default: RAPIDASH_DATA.
        on_error: "skip" leaves bad clips out, counted and reported; "raise" stops at the first.
        verify: compare the checksums of files, where there are published ones; False takes other versions of them.
    Raises: ValueError for an unknown motion or a number below 1.
    Source: Huang et al., ICLR 2022; Xu et al., ICML 2024; data: mocap.cs.cmu.edu, NSF EIA-0196217.
    """

    motion: Motion = "walk"
    num_train: int | None = None
    num_val: int | None = None
    num_test: int | None = None
    mirror: bool = False
    uses_joints: bool = True
    data_dir: str | None = None
    on_error: OnError = "raise"
    verify: bool = True

    name: str = field(default="cmu", init=False)
    dim: int = field(default=3, init=False)
    metric: str = field(default="MSE of positions", init=False)
    unit: str = field(default="1e-2 skeleton unit^2", init=False)
    output: Field = field(default=Field(Position(), "skeleton unit"), init=False)

    def __post_init__(self) -> None:
        if self.motion not in get_args(Motion):
            raise ValueError(f"motion must be one of {get_args(Motion)}, got {self.motion!r}")
        check_split_sizes(self)

    @property
    def horizon(self) -> int:
        """Frames to look ahead: a quarter of a second."""
        return CMU_HORIZON // 2 if self.motion == "walk-subjects" else CMU_HORIZON

    def dataset(self, split: Split) -> CloudDataset:
        """One split, read from the files.

        Raises: FileNotFoundError; DataError for damaged files or another skeleton than CMU's 31 joints.
        """
        data = cmu_dataset(
            split,
            motion=self.motion,
            horizon=self.horizon,
            max_samples=split_sizes(self)[split],
            data_dir=self.data_dir,
            on_error=self.on_error,
            verify=self.verify,
        )
        if len(data.info["joints"]) != NUM_JOINTS:
            raise DataError(f"{data.source} has {len(data.info['joints'])} joints, the task has CMU's {NUM_JOINTS}")
        samples = CloudDataset(
            {name: data.tensors[name] for name in _FIELDS}, {n: data.fields[n] for n in _FIELDS}, data.num_points
        )
        return with_mirror_images(samples) if self.mirror and split == "train" else samples

    @property
    def needs(self) -> Mapping[str, NeededField]:
        """The fields of a body from a file; without joint, its 31 points are the joints in the order of the data."""
        return {
            "pos": NeededField(Field(Position(), "skeleton unit"), 3),
            "vel": NeededField(Field(Vector(), "skeleton unit/frame"), 3),
            "joint": NeededField(Field(Scalar(), "number of the joint"), 0),
        }

    def reference(self) -> dict[str, Any]:
        """Nothing: targets are learned as they are."""
        return {}

    def read_cloud(self, found: FileCloud, reference: Mapping[str, Any]) -> dict[str, Tensor]:
        """One body. Raises: DataError for other numbers of joints."""
        size = len(found.arrays["pos"])
        has_joint = "joint" in found.arrays or "joint" in found.left_out
        if not has_joint and size != NUM_JOINTS:
            raise DataError(f"it has {size} points and no 'joint', expected the {NUM_JOINTS} joints of the skeleton")
        needed = {name: spec for name, spec in self.needs.items() if has_joint or name != "joint"}
        tensors = {"joint": torch.arange(size), **cloud_tensors(found, needed)}
        if int(tensors["joint"].min()) < 0 or int(tensors["joint"].max()) >= NUM_JOINTS:
            raise DataError(f"'joint' is out of range, expected 0 to {NUM_JOINTS - 1}")
        return tensors

    def outputs(self, prediction: Tensor, batch: CloudBatch, reference: Mapping[str, Any]) -> dict[str, Output]:
        """The positions at the horizon."""
        return {"positions": Output(prediction, self.output)}

    def build(self, variant: Variant) -> nn.Module:
        """The network of a variant with fresh weights from torch's global generator."""
        return CmuNetwork(variant, self.horizon, uses_joints=self.uses_joints)

    def ledger(self, variant: Variant) -> Ledger:
        """Effective symmetry of a variant."""
        with torch.random.fork_rng():
            return network_ledger(self.build(variant))

    def loss(self, prediction: Float[Tensor, "N 3"], batch: CloudBatch) -> Float[Tensor, ""]:
        """Mean squared error over all coordinates, skeleton unit^2."""
        return (prediction - batch["target"]).square().mean()

    def errors(self, prediction: Float[Tensor, "N 3"], batch: CloudBatch) -> Float[Tensor, " B"]:
        """Mean squared error over the coordinates of each cloud, times 100."""
        square = 100 * (prediction - batch["target"]).square().mean(dim=1)
        return cloud_means(square, batch)
