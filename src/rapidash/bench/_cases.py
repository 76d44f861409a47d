"""The networks and batches that are timed."""

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from rapidash._seed import seeded
from rapidash.geometry import Hierarchy
from rapidash.models import Interface, Rapidash, RapidashConfig
from rapidash.nn import ConvNextBlock

SIZES = Interface(in_scalars=11)  # of every case


@dataclass(frozen=True)
class BenchCase:
    """A network on random clouds of equal size.

    Args:
        name: what the tables call it.
        about: one line for the reader.
        config: the network.
        num_clouds, num_points: of the batch on a CPU.
        num_clouds_gpu: of the batch on a GPU.
    """

    name: str
    about: str
    config: RapidashConfig
    num_clouds: int
    num_points: int
    num_clouds_gpu: int

    def build(self, device: torch.device, *, recompute: bool = False) -> tuple[Rapidash, Tensor, Tensor, Tensor]:
        """The calibrated network with positions, cloud numbers and scalars; the same numbers at every call."""
        num_clouds = self.num_clouds_gpu if device.type == "cuda" else self.num_clouds
        rng, num = seeded("bench", self.name), num_clouds * self.num_points
        pos = torch.randn(num, SIZES.dim, generator=rng)
        scalars = torch.randn(num, SIZES.in_scalars, generator=rng)
        batch = torch.arange(num_clouds).repeat_interleave(self.num_points)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = Rapidash.from_config(replace(self.config, recompute=recompute), SIZES)
        model = model.to(device)
        pos, batch, scalars = pos.to(device), batch.to(device), scalars.to(device)
        few = min(num, 4 * self.num_points)
        model.calibrate(pos[:few], batch[:few], scalars=scalars[:few])
        return model, pos, batch, scalars


def _config(**changes: object) -> RapidashConfig:
    return replace(RapidashConfig(), **changes)  # type: ignore[arg-type]


_LAYERS = "256 channels, 7 layers, E(3) on R3xS2"
_SHAPES = _config(
    channels=(128, 128, 128),
    num_layers=(2, 2, 1),
    edges=("knn-16", "knn-16", "knn-16"),
    ratios=(0.25, 0.25),
    num_orientations=8,
)
CASES = {
    case.name: case
    for case in (
        *(
            BenchCase(
                f"qm9-{o}", f"18 points fully connected, O = {o}, {_LAYERS}", _config(num_orientations=o), 16, 18, 96
            )
            for o in (8, 12, 20)
        ),
        BenchCase("fc60-8", f"60 points, all pairs, O = 8, {_LAYERS}", _config(num_orientations=8), 4, 60, 24),
        BenchCase("shapes-8", "1024 points, knn-16, 3 scales, O = 8, 128 channels, 7 blocks", _SHAPES, 8, 1024, 8),
        BenchCase("nbody-12", f"5 points, all pairs, O = 12, {_LAYERS}", _config(num_orientations=12), 100, 5, 100),
    )
}


@dataclass(frozen=True)
class Batch:
    """The model and the inputs of a step; edges are built once per step, as in training."""

    model: Rapidash
    pos: Tensor
    batch: Tensor
    scalars: Tensor
    hierarchy: Hierarchy | None = field(default=None)

    def forward(self) -> Tensor:
        """The outputs."""
        return self.model(self.pos, self.batch, scalars=self.scalars, hierarchy=self.hierarchy).scalars

    def step(self) -> None:
        """Forward and backward pass, no optimizer; gradients are dropped."""
        self.forward().square().mean().backward()
        self.model.zero_grad(set_to_none=True)

    def rows(self) -> list[tuple[int, int, int]]:
        """Of every block: rows of its channel MLP, input and output channels."""
        model = self.model
        hierarchy = self.hierarchy or model.connect(self.pos, self.batch)
        orientations = max(1, len(model.grid))
        sizes = []
        for step, block in zip(model.steps, model.blocks):
            target = hierarchy.batch[step.scale + (step.stage == "down")]
            inner = next(part for part in block.modules() if isinstance(part, ConvNextBlock))  # of a wrapper too
            assert isinstance(inner.linear_1, torch.nn.Linear)
            hidden, width = inner.linear_1.weight.shape
            sizes.append((len(target) * orientations, int(width), int(hidden)))
        return sizes
