"""Small random networks and inputs in float64."""

from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from rapidash._seed import seeded
from rapidash.models import Rapidash


class Inputs(NamedTuple):
    """A batch of clouds with scalar, vector and pair features."""

    pos: Tensor
    batch: Tensor
    scalars: Tensor
    vectors: Tensor
    pairs: Tensor

    def moved(self, g: Tensor) -> "Inputs":
        """Act with a homogeneous matrix on positions and vectors."""
        linear, shift = g[:-1, :-1].to(self.pos), g[:-1, -1].to(self.pos)
        return self._replace(pos=self.pos @ linear.T + shift, vectors=self.vectors @ linear.T)

    def run(self, model: Rapidash) -> Any:
        """The output of a network that takes those of the features it was made for."""
        return model(
            self.pos,
            self.batch,
            scalars=self.scalars if model.in_scalars else None,
            vectors=self.vectors if model.in_vectors else None,
            pairs=self.pairs if model.in_pairs else None,
        )


def random_inputs(
    dim: int, seed: int, sizes: tuple[int, ...] = (4, 1, 6), dtype: torch.dtype = torch.float64
) -> Inputs:
    """Random clouds of the given sizes, two scalars and one vector and one pair scalar per point."""
    rng, num = seeded("inputs", dim, seed), sum(sizes)
    batch = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    shapes = [(num, dim), (num, 2), (num, 1, dim), (num, 1)]
    pos, scalars, vectors, pairs = (
        torch.randn(shape, generator=rng, dtype=torch.float64).to(dtype) for shape in shapes
    )
    return Inputs(pos, batch, scalars, vectors, pairs)


def small_network(*, seed: int = 0, **options: Any) -> Rapidash:
    """A network of two narrow layers in float64 whose one-dimensional parameters are off their initial values."""
    torch.manual_seed(seed)
    defaults: dict[str, Any] = {
        "channels": 12, "num_layers": 2, "basis_dim": 10, "basis_hidden_dim": 8, "in_scalars": 2, "out_scalars": 2,
        "num_orientations": 12, "grid": "platonic", "level": "node",
    }  # fmt: skip
    if options.get("space") == "R3" or options.get("space") == "R2":
        defaults |= {"num_orientations": 1}
    model = Rapidash(**(defaults | options)).double()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter += 0.2 * torch.randn_like(parameter)
    return model.eval()


@pytest.fixture
def inputs() -> Inputs:
    return random_inputs(3, 0)
