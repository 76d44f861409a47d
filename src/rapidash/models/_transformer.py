"""A transformer on the points of a cloud: they attend to each other, whatever their order and number."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from rapidash.geometry import centroids
from rapidash.models._baseline import Baseline
from rapidash.models._baseline_config import BaselineConfig
from rapidash.models._network import Interface, Takes


@dataclass(frozen=True)
class TransformerConfig(BaselineConfig):
    """Self-attention among the points of a cloud, which are known by their coordinates alone, see `Transformer`.

    Every point attends to all points of its cloud: ``edges`` is ``"fc"``.

    Args:
        num_heads: of the attention, a divisor of ``channels``.
        widening: width of the hidden layer of a block, in ``channels``.
    Raises: ValueError for values outside the above, and as `BaselineConfig`.
    """

    choices: ClassVar[dict[str, tuple[str, ...]]] = {
        **BaselineConfig.choices,
        "symmetry": ("T(3)", "T(2)"),
        "edges": ("fc",),
    }
    counts: ClassVar[dict[str, int]] = {**BaselineConfig.counts, "num_heads": 1, "widening": 1}

    symmetry: str = "T(3)"
    num_heads: int = 4
    widening: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.channels % self.num_heads:
            raise ValueError(f"num_heads must divide channels, got {self.num_heads} and {self.channels}")

    @property
    def takes(self) -> Takes:
        """Components: rotations are learned or not."""
        return "components"

    def build(self, io: Interface) -> "Transformer":
        """A `Transformer` with fresh weights."""
        self.check_sizes(io)
        return Transformer(self, io)


class Transformer(Baseline):
    r"""Pre-norm blocks h + Attention(LN(h)), then h + MLP(LN(h)), between the points of each cloud.

    A point enters by its scalars, its pair scalars and its coordinates relative to the centroid of the cloud; there is
    no positional encoding beside them. Clouds of different sizes are padded, and nobody attends to the padding.

    Symmetry: T(D), and every permutation of the points, exact; rotations are learned or not.
    Args:
        config: the knobs.
        io: sizes of inputs and outputs.
    Source: Vaswani et al., "Attention Is All You Need", NeurIPS 2017; without order as in Lee et al., "Set
        Transformer", ICML 2019.
    """

    def __init__(self, config: TransformerConfig, io: Interface) -> None:
        super().__init__(config, io)
        width = config.channels
        self.embedding = nn.Linear(io.in_scalars + io.in_pairs + io.dim, width)
        self.layers = nn.ModuleList(
            AttentionBlock(width, config.num_heads, config.widening) for _ in range(config.num_layers)
        )
        self.norm = nn.LayerNorm(width)
        self.head = self.make_head(width, io.out_scalars + io.dim * io.out_vectors)

    def features(self, pos: Tensor, batch: Tensor, scalars: Tensor, pairs: Tensor) -> tuple[Tensor, Tensor]:
        """Features after the last block; no point moves."""
        num_clouds = int(batch[-1]) + 1
        centered = pos - centroids(pos, batch, num_clouds)[batch]
        hidden = self.embedding(torch.cat([scalars, pairs, centered], dim=1))
        place, sizes = places_in_clouds(batch, num_clouds)
        most = int(sizes.max())
        is_point = torch.arange(most, device=batch.device) < sizes[:, None]
        padded = hidden.new_zeros(num_clouds, most, hidden.shape[1]).index_put((batch, place), hidden)
        for block in self.layers:
            padded = block(padded, is_point)
        return self.norm(padded[batch, place]), torch.zeros_like(pos)


class AttentionBlock(nn.Module):
    """h + Attention(LN(h)), then h + MLP(LN(h)), for padded clouds.

    Args:
        channels: C.
        num_heads: H, a divisor of C.
        widening: width of the hidden layer, in C.
    Shape: hidden (B, M, C), is_point (B, M) -> (B, M, C); rows of the padding are numbers without a meaning.
    """

    def __init__(self, channels: int, num_heads: int, widening: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.attention_norm, self.mlp_norm = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.query_key_value = nn.Linear(channels, 3 * channels)
        self.mix = nn.Linear(channels, channels)
        hidden = widening * channels
        self.mlp = nn.Sequential(nn.Linear(channels, hidden), nn.GELU(), nn.Linear(hidden, channels))

    def forward(self, hidden: Float[Tensor, "B M C"], is_point: Bool[Tensor, "B M"]) -> Float[Tensor, "B M C"]:
        """The features of the points after the block."""
        parts = self.query_key_value(self.attention_norm(hidden)).chunk(3, dim=2)
        query, key, value = (part.unflatten(2, (self.num_heads, -1)).transpose(1, 2) for part in parts)
        hidden = hidden + self.mix(attention(query, key, value, is_point).transpose(1, 2).flatten(2))
        return hidden + self.mlp(self.mlp_norm(hidden))


def attention(
    query: Float[Tensor, "B H M C"],
    key: Float[Tensor, "B H M C"],
    value: Float[Tensor, "B H M C"],
    is_point: Bool[Tensor, "B M"],
) -> Float[Tensor, "B H M C"]:
    """softmax(q k^T / sqrt(C)) v over the points of each cloud.

    Written out, and not by a fused kernel of torch: derivatives of any order and in forward mode run through it.
    """
    scores = query @ key.transpose(2, 3) / math.sqrt(query.shape[3])
    return scores.masked_fill(~is_point[:, None, None], -math.inf).softmax(dim=3) @ value


def places_in_clouds(batch: Int[Tensor, " N"], num_clouds: int) -> tuple[Int[Tensor, " N"], Int[Tensor, " B"]]:
    """The place of every point in its cloud, from 0 on, and the number of points of each cloud."""
    sizes = torch.bincount(batch, minlength=num_clouds)
    first = torch.cumsum(sizes, dim=0) - sizes
    return torch.arange(len(batch), device=batch.device) - first[batch], sizes
