"""A classifier in context that is equivariant to the names of the classes: EquiTabPFN."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

_REFERENCE_ROWS = 128.0  # so many context rows leave attention logits as they are
_LEAST = 1e-4  # votes below it are not told apart by the decoder's logarithm


class BiAttentionBlock(nn.Module):
    """Attention between the tokens of a row, then between the rows of every token, then a pointwise network.

    A row has one token of its features and one for every class. In the first attention a class token reads the feature
    token alone, and the feature token reads all. In the second every token reads those of the context rows at its own
    place. Residual connections, and a layer norm after each (post-norm). The logits of the second attention grow with
    the logarithm of the number T of context rows, so that it does not blur when T is larger than in training.

    Symmetry: equivariant to permutations of the classes and of the rows on either side of the context's end.
    Args:
        dim: width d of a token, a multiple of num_heads.
        num_heads: heads of both attentions, at least 1.
        widening: width of the pointwise network's hidden layer over d.
    Shape: (B, R, 1 + C, d), the context rows first -> the same.
    Raises: ValueError for a dim that is no multiple of num_heads.
    Source: Arbel et al., "EquiTabPFN", arXiv 2502.06684; the logarithm is ours.
    """

    def __init__(self, dim: int, num_heads: int, widening: int = 2) -> None:
        super().__init__()
        if num_heads < 1 or dim < 1 or dim % num_heads:
            raise ValueError(f"dim must be a positive multiple of num_heads, got {dim=} and {num_heads=}")
        self.num_heads = num_heads
        self.query, self.key_value, self.merge = nn.Linear(dim, dim), nn.Linear(dim, 2 * dim), nn.Linear(dim, dim)
        self.across, self.merge_across = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.pointwise = nn.Sequential(nn.Linear(dim, widening * dim), nn.GELU(), nn.Linear(widening * dim, dim))
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(3))

    def forward(self, tokens: Float[Tensor, "B R K d"], num_context: int) -> Float[Tensor, "B R K d"]:
        """The tokens after one round, with context rows 0 to ``num_context - 1``."""
        tokens = self.norms[0](tokens + self._within_rows(tokens))
        tokens = self.norms[1](tokens + self._across_rows(tokens, num_context))
        return self.norms[2](tokens + self.pointwise(tokens))

    def _within_rows(self, tokens: Float[Tensor, "B R K d"]) -> Float[Tensor, "B R K d"]:
        key, value = self.key_value(tokens).chunk(2, dim=-1)
        query = self.query(tokens[:, :, :1])
        heads = (part.unflatten(-1, (self.num_heads, -1)).flatten(0, 1).transpose(1, 2) for part in (query, key, value))
        read = nn.functional.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2).view_as(query)
        num_classes = tokens.shape[2] - 1
        return torch.cat([self.merge(read), self.merge(value[:, :, :1]).expand(-1, -1, num_classes, -1)], dim=2)

    def _across_rows(self, tokens: Float[Tensor, "B R K d"], num_context: int) -> Float[Tensor, "B R K d"]:
        by_token = tokens.transpose(1, 2).flatten(0, 1)  # (B K, R, d)
        query, key, value = self.across(by_token).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        query = query * (math.log1p(num_context) / math.log1p(_REFERENCE_ROWS))
        read = nn.functional.scaled_dot_product_attention(query, key[..., :num_context, :], value[..., :num_context, :])
        merged: Tensor = self.merge_across(read.transpose(1, 2).flatten(2))
        return merged.unflatten(0, (len(tokens), -1)).transpose(1, 2)


class KernelDecoder(nn.Module):
    r"""Votes of the context rows by likeness, a = softmax(s h h_r^T / (1 + C)) onehot(y); logits are a + MLP(a).

    h is the row of all tokens side by side; the scale s is learned and grows with log(1 + T). No parameter belongs to
    a class. The network is pointwise: it sees a and log(a + 1e-4), two forms of one number, for a logit near zero
    probability is a large negative number.

    Symmetry: equivariant to permutations of the classes.
    Args:
        hidden: width of the pointwise network.
        dim: width of a token; it sets the initial scale, dim^-1/2.
    Shape: tokens (B, R, 1 + C, d), y (B, T) -> (B, R - T, C).
    Source: Arbel et al., arXiv 2502.06684, whose scale is (d (1 + C))^-1/2 and changes sharpness with C.
    """

    def __init__(self, hidden: int, dim: int) -> None:
        super().__init__()
        if min(hidden, dim) < 1:
            raise ValueError(f"hidden and dim must be at least 1, got {hidden=} and {dim=}")
        self.log_scale = nn.Parameter(torch.tensor(-0.5 * math.log(dim)))
        self.pointwise = nn.Sequential(nn.Linear(2, hidden), nn.GELU(), nn.Linear(hidden, 1))

    def forward(self, tokens: Float[Tensor, "B R K d"], y: Int[Tensor, "B T"]) -> Float[Tensor, "B Q C"]:
        """Logits of the rows after the context."""
        num_context, num_classes = y.shape[1], tokens.shape[2] - 1
        votes = self.votes(tokens, y, num_context, num_classes)
        return votes + self.pointwise(torch.stack([votes, (votes + _LEAST).log()], dim=-1))[..., 0]

    def votes(
        self, tokens: Float[Tensor, "B R K d"], y: Int[Tensor, "B T"], num_context: int, num_classes: int
    ) -> Float[Tensor, "B Q C"]:
        """The part of the weight of the context rows that each class has."""
        context, asked = tokens.flatten(2).split([num_context, tokens.shape[1] - num_context], dim=1)
        growth = math.log1p(num_context) / math.log1p(_REFERENCE_ROWS)
        likeness = asked @ context.transpose(1, 2) * (self.log_scale.exp() * growth / (1 + num_classes))
        return likeness.softmax(dim=-1) @ nn.functional.one_hot(y, num_classes).to(tokens)


class EquiTabPFN(nn.Module):
    """Classification in context: labels of some rows of a table from the labeled rows beside them, in one pass.

    Symmetry: f(x, sigma y) = sigma f(x, y) for every permutation sigma of the C classes; invariant to the order of the
    context rows; every other row is answered for itself. C is no size of the network.

    Args:
        num_features: width F of a row; narrower tables are padded with zeros, see `fitted_to_width`.
        dim: width of a token.
        num_blocks: how many of `BiAttentionBlock`, at least 1.
        num_heads: of every attention.
        decoder_hidden: of the `KernelDecoder`.
    Shape: x (B, R, F), NaN for missing values; y (B, T) in 0 to C - 1 -> logits (B, R - T, C).
    Raises: ValueError for sizes below 1, another width of x, no context row or no other, labels outside their range.
    Source: Arbel et al., "EquiTabPFN: A Target-Permutation Equivariant Prior Fitted Network", arXiv 2502.06684.
    """

    def __init__(
        self, num_features: int, dim: int = 512, num_blocks: int = 6, num_heads: int = 4, decoder_hidden: int = 512
    ) -> None:
        super().__init__()
        if min(num_features, num_blocks) < 1:
            raise ValueError(f"num_features and num_blocks must be at least 1, got {num_features} and {num_blocks}")
        self.num_features = num_features
        self.embed_features = nn.Linear(num_features, dim)
        self.embed_label = nn.Linear(1, dim)
        self.mask = nn.Parameter(torch.randn(dim) / dim**0.5)
        self.blocks = nn.ModuleList(BiAttentionBlock(dim, num_heads) for _ in range(num_blocks))
        self.decoder = KernelDecoder(decoder_hidden, dim)

    def forward(self, x: Float[Tensor, "B R F"], y: Int[Tensor, "B T"], num_classes: int) -> Float[Tensor, "B Q C"]:
        """Logits of the rows without label."""
        check_context(x, y, num_classes, self.num_features)
        tokens = self._tokens(x, y, num_classes)
        for block in self.blocks:
            tokens = block(tokens, y.shape[1])
        return self.decoder(tokens, y)

    def _tokens(self, x: Tensor, y: Tensor, num_classes: int) -> Float[Tensor, "B R K d"]:
        features = self.embed_features(x.nan_to_num(nan=0.0))[:, :, None]
        known = self.embed_label(nn.functional.one_hot(y, num_classes).to(x)[..., None])
        asked = self.mask.expand(len(x), x.shape[1] - y.shape[1], num_classes, -1)
        return torch.cat([features, torch.cat([known, asked], dim=1)], dim=2)


def check_context(x: Tensor, y: Tensor, num_classes: int, num_features: int) -> None:
    """Raises: ValueError for rows and labels that a network in context cannot take."""
    if x.dim() != 3 or x.shape[2] != num_features:
        raise ValueError(f"x must be (tasks, rows, {num_features} features), got shape {tuple(x.shape)}")
    if y.dim() != 2 or len(y) != len(x) or not 1 <= y.shape[1] < x.shape[1]:
        raise ValueError(
            f"y must hold the labels of the first rows of x, at least one and not all: (tasks, context rows) for x of "
            f"shape {tuple(x.shape)}, got shape {tuple(y.shape)}"
        )
    if y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
        raise ValueError(f"y must be whole numbers, the class of each context row, got {y.dtype}")
    if num_classes < 1 or int(y.min()) < 0 or int(y.max()) >= num_classes:
        raise ValueError(
            f"labels must be 0 to num_classes - 1 = {num_classes - 1}, got {int(y.min())} to {int(y.max())}"
        )
