"""component_mlp in chunks of points that stay in the cache, with the signals of the hidden layer in registers."""

from collections.abc import Iterator, Sequence
from itertools import accumulate

import torch
from torch import Tensor
from torch.nn.functional import layer_norm

from rapidash.ops._mlp_gradients import NormGradients, scaled, unscaled_gradients
from rapidash.ops._products import Products, products_for, row_chunks
from rapidash.ops.channel_mlp.reference import EPS


class _Maps:
    """The products of the parts of components, whose rows follow each other."""

    def __init__(self, products: Products, dims: Sequence[int]) -> None:
        self.products = products
        self.ranges = [slice(end - dim, end) for dim, end in zip(dims, accumulate(dims), strict=True)]

    def apply(self, components: Tensor, weights: Tensor, out: Tensor | None = None) -> Tensor:
        """(K, M, C) and (P, N, C) -> (K, M, N), into ``out`` if there is one."""
        if out is None:
            out = components.new_empty(*components.shape[:2], weights.shape[1])
        for rows, weight in zip(self.ranges, weights, strict=True):
            place = out[rows]
            found = self.products.apply(components[rows].flatten(0, 1), weight, place.flatten(0, 1))
            if found.data_ptr() != place.data_ptr():
                place.copy_(found.view(place.shape))
        return out

    def add_weight_gradient(self, totals: list[Tensor], grad: Tensor, components: Tensor) -> None:
        """totals[p] += grad^T components of each part; gradients (K, M, N), components (K, M, C)."""
        for part, rows in enumerate(self.ranges):
            a, b = grad[rows].flatten(0, 1), components[rows].flatten(0, 1)
            totals[part] = self.products.with_columns(totals[part], a, b)


def _chunks(x: Tensor, components: int, hidden: int) -> Iterator[slice]:
    """Ranges of points."""
    return row_chunks(len(x), components * hidden, x)


def _products(x: Tensor, w1: Tensor, kind: str) -> Products:
    """Those of the smallest part."""
    return products_for(x[:, 0], kind, weight=w1[0])


def component_mlp_forward(
    x: Tensor,
    residual: Tensor | None,
    norm_weight: Tensor,
    norm_bias: Tensor,
    w1: Tensor,
    b1: Tensor,
    w2: Tensor,
    b2: Tensor,
    scale: Tensor | None,
    analysis: Tensor,
    synthesis: Tensor,
    dims: Sequence[int],
    keep: bool,
    kind: str,
) -> tuple[Tensor, Tensor]:
    """The output (M, O, C') and, if kept, the components (K, M, H) of the pre-activations, otherwise (K, 0, H)."""
    from rapidash.ops.component_mlp.numba import add_signal, analyze, mixed_gelu

    w2, b2 = scaled(w2, b2, scale)
    out = b2.expand(*x.shape[:2], -1).clone() if residual is None else (residual + b2).contiguous()
    maps, matrices = _Maps(_products(x, w1, kind), dims), _Matrices(x, analysis, synthesis)
    kept = x.new_empty(sum(dims), len(x) if keep else 0, len(b1))
    for rows in _chunks(x, sum(dims), len(b1)):
        components = analyze(layer_norm(x[rows], x.shape[2:], norm_weight, norm_bias, EPS), matrices.analysis)
        hidden, points = (kept, rows) if keep else (maps.apply(components, w1), slice(0, rows.stop - rows.start))
        if keep:
            maps.apply(components, w1, kept[:, rows])
        activated = mixed_gelu(hidden, points, b1.contiguous(), matrices.synthesis, matrices.analysis)
        add_signal(maps.apply(activated, w2), matrices.synthesis, out[rows])
    return out, kept


def component_mlp_backward(
    grad: Tensor,
    x: Tensor,
    norm_weight: Tensor,
    norm_bias: Tensor,
    w1: Tensor,
    b1: Tensor,
    w2: Tensor,
    b2: Tensor,
    scale: Tensor | None,
    analysis: Tensor,
    synthesis: Tensor,
    dims: Sequence[int],
    kept: Tensor,
    needs: list[bool],
    kind: str,
) -> list[Tensor]:
    """Gradients of x, norm_weight, norm_bias, w1, b1, w2, b2 and scale.

    ``needs`` says whether those of x and of any parameter are wanted; what is not comes back empty, or as zeros.
    """
    from rapidash.ops.component_mlp.numba import add_signal, analyze, mixed_gelu_gradient

    for_x, for_parameters = needs
    scaled_w2, _ = scaled(w2, b2, scale)
    maps, matrices = _Maps(_products(x, w1, kind), dims), _Matrices(x, analysis, synthesis)
    back1, back2 = w1.transpose(1, 2), scaled_w2.transpose(1, 2)
    of_norm = NormGradients(x, norm_weight, norm_bias, for_x, for_parameters)
    # of the transposed first maps: products with columns are fastest with the narrow side first
    grads_w1, grads_w2 = [torch.zeros_like(w.T) for w in w1], [torch.zeros_like(w) for w in w2]
    grad_b1, grad_b2 = torch.zeros_like(b1), grad.sum(dim=(0, 1))
    for rows in _chunks(x, sum(dims), len(b1)):
        normalized, mean, inverse = torch.native_layer_norm(x[rows], x.shape[2:], norm_weight, norm_bias, EPS)
        components = analyze(normalized, matrices.analysis)
        is_kept = kept.numel() > 0
        hidden, points = (kept, rows) if is_kept else (maps.apply(components, w1), slice(0, rows.stop - rows.start))
        grad_out = analyze(grad[rows], matrices.synthesis)
        grad_hidden = maps.apply(grad_out, back2)
        activated, grad_bias = mixed_gelu_gradient(
            hidden, points, b1.contiguous(), matrices.synthesis, matrices.analysis, grad_hidden
        )
        if for_parameters:
            maps.add_weight_gradient(grads_w2, grad_out, activated)
            maps.add_weight_gradient(grads_w1, components, grad_hidden)
            grad_b1 += grad_bias
        grad_normalized = torch.zeros_like(normalized)
        add_signal(maps.apply(grad_hidden, back1), matrices.analysis, grad_normalized)
        of_norm.add(grad_normalized, rows, mean, inverse)
    grad_w1, grad_w2 = torch.stack([total.T.contiguous() for total in grads_w1]), torch.stack(grads_w2)
    grad_w2, grad_b2, grad_scale = unscaled_gradients(grad_w2, grad_b2, w2, b2, scale)
    return [of_norm.of_x, of_norm.of_weight, of_norm.of_bias, grad_w1, grad_b1, grad_w2, grad_b2, grad_scale]


class _Matrices:
    """The change of components in the dtype of the features, a row for each orientation."""

    def __init__(self, x: Tensor, analysis: Tensor, synthesis: Tensor) -> None:
        self.analysis, self.synthesis = analysis.T.to(x).contiguous(), synthesis.to(x).contiguous()
