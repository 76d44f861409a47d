"""Hypothesis strategies: random clouds, motions and groups. Needs hypothesis, which the package itself does not."""

import torch
from torch import Tensor

from rapidash._seed import seeded
from rapidash.data import CloudBatch, CloudDataset, Field
from rapidash.groups import Group, Position, Scalar, Vector, parse_group

try:
    from hypothesis import strategies as st
except ImportError as error:
    raise ImportError("rapidash.testing.strategies needs hypothesis: pip install hypothesis") from error

__all__ = ["clouds", "motions"]


def clouds(
    *,
    dim: int = 3,
    max_clouds: int = 3,
    max_points: int = 6,
    num_scalars: int = 1,
    num_vectors: int = 1,
    dtype: torch.dtype = torch.float64,
) -> st.SearchStrategy[CloudBatch]:
    """Batches of clouds of different sizes, one-point clouds among them, all entries standard normal.

    Fields: pos (N, dim), scalars (N, num_scalars), vectors (N, num_vectors, dim).
    """

    def build(sizes: list[int], seed: int) -> CloudBatch:
        generator = seeded(seed, "clouds")

        def normal(*shape: int) -> Tensor:
            return torch.randn(sum(sizes), *shape, generator=generator, dtype=torch.float64).to(dtype)

        tensors = {"pos": normal(dim), "scalars": normal(num_scalars), "vectors": normal(num_vectors, dim)}
        fields = {"pos": Field(Position()), "scalars": Field(Scalar()), "vectors": Field(Vector())}
        return CloudDataset(tensors, fields, torch.tensor(sizes)).batch(torch.arange(len(sizes)))

    sizes = st.lists(st.integers(1, max_points), min_size=1, max_size=max_clouds)
    return st.builds(build, sizes, st.integers(0, 2**31))


def motions(group: Group | str, *, dim: int = 3) -> st.SearchStrategy[Tensor]:
    """Random elements (dim + 1, dim + 1) of a group, float64, the identity among them."""
    parsed = parse_group(group, dim)
    drawn = st.builds(lambda seed: parsed.sample(1, generator=seeded(seed, "motions"))[0], st.integers(0, 2**31))
    return st.one_of(st.just(parsed.identity()), drawn)
