"""Own clouds: a number or the class of each cloud in a user's files, by a network that sees every coordinate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rapidash.data import CloudBatch
from rapidash.datasets import DataError, FileCloud
from rapidash.methods import Variant
from rapidash.models import Interface, Network, cloud_network
from rapidash.symmetry import GeometricInput, Ledger, symmetry_ledger
from rapidash.tasks._own_options import own_data_options
from rapidash.tasks.own_data import OwnDataTask

_PLACE = GeometricInput("the place of a point", "position", "scalars")
_POINTS = 64


class OwnCloudsNetwork(nn.Module):
    """One row for each cloud from the places of its points, their elements, and what the network makes of distances."""

    def __init__(self, variant: Variant, dim: int, elements: Sequence[int], num_out: int, pool: str) -> None:
        super().__init__()
        self.elements = tuple(elements)
        io = Interface(dim, in_scalars=1 + dim + len(elements), out_scalars=num_out, level="graph", pool=pool)  # type: ignore[arg-type]
        self.backbone: Network = cloud_network(variant.model, io)

    def forward(self, batch: CloudBatch) -> Float[Tensor, "B K"]:
        """Logits, or the number in units of its scale."""
        return self.backbone(batch.pos, batch.batch, scalars=self._scalars(batch)).scalars

    def calibrate(self, batch: CloudBatch) -> None:
        """Let the network measure a batch."""
        self.backbone.calibrate(batch.pos, batch.batch, scalars=self._scalars(batch))

    def _scalars(self, batch: CloudBatch) -> Tensor:
        parts = [batch.pos.new_ones(len(batch.pos), 1), batch.pos]
        if self.elements:
            parts.append((batch["z"][:, None] == batch["z"].new_tensor(self.elements)).to(batch.pos))
        return torch.cat(parts, dim=1)


def own_clouds_options(
    files: Sequence[str | Path], target: str | None, *, num_points: int = _POINTS, **others: Any
) -> tuple[dict[str, Any], list[str]]:
    """The options of `OwnCloudsTask` for some files, and sentences that say what was found.

    Args:
        files, target, others: as of `own_data_options`.
        num_points: at most so many points of a cloud without elements; of a mesh as many on its surface.
    Raises: as `own_data_options`; DataError for other targets than a number or class of each cloud, or periodic clouds.
    """
    options, said = own_data_options(files, target, num_points=num_points, **others)
    if options["kind"] not in ("number", "class") or options["level"] != "cloud":
        what = "an energy with forces" if options["kind"] == "forces" else f"a {options['kind']}"
        raise DataError(
            f"which motions the labels tolerate is asked of a number or class of each cloud; target "
            f"{options['target']!r} is {what} of each {options['level']}"
        )
    if options["is_periodic"]:
        raise DataError(
            "which motions the labels tolerate is asked of clouds that can be moved as they are; these repeat along a "
            "cell, which would have to move with them"
        )
    middle, length = OwnDataTask(**options).frame()
    return {**options, "middle": middle, "length": length}, said


@dataclass(frozen=True)
class OwnCloudsTask(OwnDataTask):
    """Predict a number of each cloud, or its class, from places, so that no motion is built in.

    Positions are taken relative to the mean of all points of the training clouds, in units of their root mean square
    distance from it: a translation has this unit, and rotations are about that mean.

    Args:
        middle: that mean, (D,); empty, as in files of earlier versions: that of the files, of which the other options
            are then told by `own_clouds_options`, a target being a number, and none the folder.
        others: as of `OwnDataTask`; ``length`` is that unit.
    Raises: as `OwnDataTask`; without ``middle`` also as `own_clouds_options`.
    """

    target: str | None = ""  # type: ignore[assignment]  # None in files of earlier versions, never after the start
    num_points: int = _POINTS
    middle: tuple[float, ...] = ()

    name: str = field(default="own-clouds", init=False)

    def __post_init__(self) -> None:
        if not self.middle and self.files:
            given: dict[str, Any] = {name: getattr(self, name) for name in ("num_points", "data_seed", "on_error")}
            kind = "number" if self.target else None
            told, _ = own_clouds_options(self.files, self.target or None, kind=kind, **given)
            for name, value in {**told, "is_extensive": False}.items():
                object.__setattr__(self, name, value)
        object.__setattr__(self, "target", self.target or "")
        object.__setattr__(self, "middle", tuple(self.middle))
        super().__post_init__()

    def placed(self, pos: Float[Tensor, "N D"], num_points: Tensor) -> Float[Tensor, "N D"]:
        """Relative to the middle, in its unit."""
        return ((pos - pos.new_tensor(self.middle)) / self.length).float()

    def build(self, variant: Variant) -> nn.Module:
        """The network of a variant with fresh weights from torch's global generator."""
        return self._network(variant)

    def _network(self, variant: Variant) -> OwnCloudsNetwork:
        pool = "sum" if self.is_extensive else "mean"
        return OwnCloudsNetwork(variant, self.dim, self.elements, len(self.class_names) or 1, pool)

    def ledger(self, variant: Variant) -> Ledger:
        """None: the network sees places."""
        with torch.random.fork_rng():
            backbone = self._network(variant).backbone
        return symmetry_ledger(backbone.symmetry, [_PLACE], exact=backbone.exact_symmetry)

    def read_cloud(self, found: FileCloud, reference: Mapping[str, Any]) -> dict[str, Tensor]:
        """One cloud as those of the training data, and the ``places`` of its points in the file. Raises: DataError."""
        tensors = super().read_cloud(found, reference)
        places = tensors["pos"]
        return {**tensors, "pos": (places - places.new_tensor(self.middle)) / self.length, "places": places}
