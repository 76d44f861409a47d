"""Clouds and networks without symmetry that the tests of symmetrization share."""

import torch
from torch import nn

from rapidash._seed import seeded
from rapidash.data import CloudBatch, Field
from rapidash.groups import Position, Scalar, Vector

FIELDS = {"pos": Field(Position()), "charge": Field(Scalar()), "velocity": Field(Vector())}
ENERGY, FORCE, PLACE = Field(Scalar(), level="cloud"), Field(Vector()), Field(Position())


class PointNet(nn.Module):
    """No symmetry but that of points: an output for each point, or their sums."""

    def __init__(self, out: int, field: Field, dim: int = 3) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.net = nn.Sequential(nn.Linear(dim + 1, 16), nn.Tanh(), nn.Linear(16, out)).double()
        self.field = field

    def forward(self, batch: CloudBatch) -> torch.Tensor:
        out = self.net(torch.cat([batch.pos, batch["charge"]], dim=1))
        if self.field.level == "point":
            return out
        return out.new_zeros(batch.num_samples, out.shape[1]).index_add(0, batch.batch, out)


class Scores(nn.Module):
    """A number of each row by any function of it."""

    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, batch) -> torch.Tensor:
        return self.function(batch["x"])


def clouds(counts: tuple[int, ...] = (5, 7, 6), dim: int = 3, seed: int = 5) -> CloudBatch:
    """Random clouds; with the default seed their relative gaps exceed 0.1."""
    total = sum(counts)
    draw = [
        torch.randn(total, d, generator=seeded("cloud", seed, k), dtype=torch.float64)
        for k, d in enumerate((dim, 1, dim))
    ]
    pos = draw[0] * torch.tensor([2.0, 1.3, 0.7][:dim]).double()
    batch = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    return CloudBatch({"pos": pos, "charge": draw[1], "velocity": draw[2]}, FIELDS, batch, len(counts))


def cloud(pos: torch.Tensor) -> CloudBatch:
    """One cloud of the given points."""
    pos = pos.double()
    tensors = {"pos": pos, "charge": torch.linspace(-1, 1, len(pos)).double()[:, None], "velocity": pos.flip(0)}
    return CloudBatch(tensors, FIELDS, torch.zeros(len(pos), dtype=torch.long), 1)


def with_variances(*variances: float, seed: int = 0, num: int = 7) -> torch.Tensor:
    """Points about 0 whose second moments are exactly these, along the axes."""
    dim = len(variances)
    pos = torch.randn(num, dim, generator=seeded("white", seed), dtype=torch.float64)
    pos = pos - pos.mean(dim=0)
    moments = pos.T @ pos / num
    white = pos @ torch.linalg.inv(torch.linalg.cholesky(moments)).T
    return white * torch.tensor(variances, dtype=torch.float64).sqrt()


def cube() -> torch.Tensor:
    """The eight corners."""
    return torch.cartesian_prod(*[torch.tensor([-1.0, 1.0], dtype=torch.float64)] * 3)
