"""The control without equivariance: a classifier in context that takes labels as numbers, in the style of TabPFN."""

from jaxtyping import Float, Int
from torch import Tensor, nn

from rapidash.symmetrize.tabular._equitabpfn import check_context


class FixedHeadPFN(nn.Module):
    """Classification in context with one token a row and one output a class: what EquiTabPFN is compared with.

    The label of a context row enters as a number through a linear map, so its classes are ordered; the head has one
    output for each of ``max_classes``, of which the first C count.

    Symmetry: invariant to the order of the context rows; none in the classes.
    Args:
        num_features: width F of a row.
        max_classes: outputs of the head.
        dim, num_blocks, num_heads: of the transformer.
    Shape: x (B, R, F), NaN for missing values; y (B, T) in 0 to C - 1 -> logits (B, R - T, C).
    Raises: ValueError for more classes than the head has, and as `EquiTabPFN`.
    Source: Hollmann et al., "TabPFN", ICLR 2023.
    """

    def __init__(
        self, num_features: int, max_classes: int, dim: int = 64, num_blocks: int = 6, num_heads: int = 4
    ) -> None:
        super().__init__()
        if min(num_features, max_classes, num_blocks) < 1:
            raise ValueError(
                "num_features, max_classes and num_blocks must be at least 1, got "
                f"{num_features}, {max_classes} and {num_blocks}"
            )
        self.num_features, self.max_classes = num_features, max_classes
        self.embed_features, self.embed_label = nn.Linear(num_features, dim), nn.Linear(1, dim)
        self.blocks = nn.ModuleList(RowAttentionBlock(dim, num_heads) for _ in range(num_blocks))
        self.head = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, max_classes))

    def forward(self, x: Float[Tensor, "B R F"], y: Int[Tensor, "B T"], num_classes: int) -> Float[Tensor, "B Q C"]:
        """Logits of the rows without label."""
        if num_classes > self.max_classes:
            raise ValueError(f"the head has {self.max_classes} outputs and cannot tell {num_classes} classes apart")
        check_context(x, y, num_classes, self.num_features)
        tokens = self.embed_features(x.nan_to_num(nan=0.0))
        labels = nn.functional.pad(self.embed_label(y.to(x)[..., None]), (0, 0, 0, x.shape[1] - y.shape[1]))
        tokens = tokens + labels
        for block in self.blocks:
            tokens = block(tokens, y.shape[1])
        logits: Tensor = self.head(tokens[:, y.shape[1] :])
        return logits[..., :num_classes]


class RowAttentionBlock(nn.Module):
    """A transformer block whose keys are the context rows: (B, R, d) -> (B, R, d), post-norm.

    Args:
        dim: width d, a multiple of num_heads.
        num_heads: heads, at least 1.
    Raises: ValueError for a dim that is no multiple of num_heads.
    """

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        if num_heads < 1 or dim < 1 or dim % num_heads:
            raise ValueError(f"dim must be a positive multiple of num_heads, got {dim=} and {num_heads=}")
        self.num_heads = num_heads
        self.mix, self.merge = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.pointwise = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(2))

    def forward(self, tokens: Float[Tensor, "B R d"], num_context: int) -> Float[Tensor, "B R d"]:
        """The rows after one round."""
        query, key, value = self.mix(tokens).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        read = nn.functional.scaled_dot_product_attention(query, key[..., :num_context, :], value[..., :num_context, :])
        tokens = self.norms[0](tokens + self.merge(read.transpose(1, 2).flatten(2)))
        return self.norms[1](tokens + self.pointwise(tokens))
