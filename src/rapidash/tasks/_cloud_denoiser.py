"""The denoising network of tasks: the network of a variant, told the noise level, kinds and a condition."""

from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rapidash.data import CloudBatch
from rapidash.generate import CONSTANTS, DenoisingNetwork, StateSpace
from rapidash.models import cloud_network
from rapidash.tasks._point_inputs import displacements, point_inputs

if TYPE_CHECKING:
    from rapidash.methods import Variant

_DISPLACEMENT = "displacement from the centroid"
_BUMPS = 16


class CloudDenoiser(DenoisingNetwork):
    """F of noisy clouds by the network of a variant.

    Scalars in: the kind of every point, its noisy scalars, the code of the level, and a condition as 16 bumps; of a
    cloud without its condition (NaN) a learned code stands in their place. On R^D with rotations, where the network has
    no vectors, its sum over edges is joined by the displacement times a predicted scalar.

    Args:
        variant: network and inputs, see `point_inputs`; its one vector is the displacement from the centroid.
        space: of the states.
        kinds: name of the field of kinds.
        num_kinds: how many there are, 0 for none.
        is_conditional: whether clouds have a condition.
        num_own_constants: numbers of the data that the task keeps.
    """

    def __init__(
        self,
        variant: "Variant",
        space: StateSpace,
        *,
        kinds: str | None = None,
        num_kinds: int = 0,
        is_conditional: bool = False,
        num_own_constants: int = 0,
    ) -> None:
        num_constants = (len(CONSTANTS) if is_conditional else 1) + num_own_constants
        super().__init__(space, kinds=kinds, num_constants=num_constants)
        self.inputs, self.num_kinds = point_inputs(variant, (_DISPLACEMENT,)), num_kinds
        scalars = num_kinds + space.num_scalars + 1 + _BUMPS * is_conditional
        self.num_multiples = self.inputs.num_vectors if self.inputs.way == "invariants" else 0
        shape = {"out_scalars": space.num_scalars + self.num_multiples, "out_vectors": 1, "level": "node"}
        self.backbone = cloud_network(variant.model, self.inputs.interface(scalars=scalars, **shape))
        self.no_condition = nn.Parameter(torch.zeros(_BUMPS)) if is_conditional else None

    def output(self, batch: CloudBatch) -> Float[Tensor, "N W"]:
        """Vectors and scalars of the network side by side."""
        features, vectors = self._features(batch)
        out = self.backbone(batch.pos, batch.batch, **features)
        velocity, num = out.vectors[:, 0], self.space.num_scalars
        if self.num_multiples:
            velocity = velocity + torch.einsum("nv,nvd->nd", out.scalars[:, num:], vectors)
        return torch.cat([velocity, out.scalars[:, :num]], dim=1) if num else velocity

    def calibrate(self, batch: CloudBatch) -> None:
        """Rescale the kernels on noisy clouds, and keep the constants of the data.

        Tables of kernels reach 1.6 times further than what this asks for, so that in samples, too, the outputs for a
        cloud do not depend on those beside it.
        """
        super().calibrate(batch)
        with self.told(batch):
            self.backbone.calibrate(batch.pos, batch.batch, **self._features(batch)[0])
        reach = getattr(self.backbone, "table_reach", None)
        if isinstance(reach, Tensor):
            reach.mul_(1.6)

    def _features(self, batch: CloudBatch) -> tuple[dict[str, Any], Tensor]:
        """Keyword arguments of the network, and all vectors."""
        pos = batch.pos
        parts = [batch["level"][batch.batch]]
        if self.kinds is not None:
            parts.append(nn.functional.one_hot(batch[self.kinds], self.num_kinds).to(pos))
        if self.space.num_scalars:
            parts.append(batch["features"])
        if self.no_condition is not None:
            parts.append(self._condition(batch["condition"])[batch.batch])
        offset = displacements(pos, batch.batch, batch.num_clouds)
        scalars, vectors, every = self.inputs.features(pos, offset[:, None], torch.cat(parts, dim=1))
        return {"scalars": scalars, "vectors": vectors}, every

    def _condition(self, condition: Float[Tensor, "B 1"]) -> Float[Tensor, "B bumps"]:
        """Gaussian bumps on [-3, 3] about the median, in units of half the distance of the 16 and the 84 % quantile."""
        assert self.no_condition is not None
        centers = torch.linspace(-3, 3, _BUMPS).to(condition)
        middle, scale = self.constants[1:3].to(condition)
        scaled = (condition.nan_to_num(0.0) - middle) / scale
        bumps = torch.exp(-((scaled - centers) * (_BUMPS - 1) / 6).square() / 2)
        return torch.where(condition.isnan(), self.no_condition.to(condition), bumps)
