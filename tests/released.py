"""The released network written out from its formulas, one cloud at a time, as a second opinion on `rapidash.interop`.

Plain loops over layers on a dictionary of weights; nothing of the library is used.
"""

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import gelu, layer_norm, linear

Weights = dict[str, Tensor]


def random_weights(config: dict[str, Any], seed: int) -> Weights:
    """Weights under the released names for a configuration, in float64, none of them at its initial value."""
    rng = torch.Generator().manual_seed(seed)
    depths, widths = as_lists(config)
    basis, hidden, num_ori, dim = config["basis_dim"], config["basis_hidden_dim"], config["num_ori"], config["dim"]
    orders = range(1, config["degree"] + 2)
    spatial = {("SEn", False): 1, ("SEn", True): 2, ("Tn", False): dim, ("Tn", True): dim + 2}
    attributes = {"spatial_basis_fn": spatial[config["equivariance"], num_ori > 0], "spherical_basis_fn": 1}
    shapes: dict[str, tuple[int, ...]] = {}
    for name, size in attributes.items():
        if name.startswith("spatial") or num_ori:
            shapes |= {f"{name}.1.weight": (hidden, sum(size**order for order in orders)), f"{name}.1.bias": (hidden,)}
            shapes |= {f"{name}.3.weight": (basis, hidden), f"{name}.3.bias": (basis,)}
    shapes["x_embedder.weight"] = (widths[0], config["input_dim"])
    path = [width for width, depth in zip(widths, depths) for _ in range(depth + 1)]
    if config["task_level"] == "node" and len(depths) > 1:
        path = path + path[:-1][::-1]
    for i, (c, out) in enumerate(pairwise(path)):
        layer = {"conv.kernel.weight": (c, basis), "conv.bias": (c,), "norm.weight": (c,), "norm.bias": (c,)}
        layer |= {
            "linear_1.weight": (config["widening_factor"] * c, c),
            "linear_1.bias": (config["widening_factor"] * c,),
        }
        layer |= {"linear_2.weight": (out, config["widening_factor"] * c), "linear_2.bias": (out,)}
        layer |= {"conv.fiber_kernel.weight": (c, basis)} if num_ori else {}
        layer |= {"layer_scale": (out,)} if config["layer_scale"] is not None else {}
        shapes |= {f"layers.{i}.{name}": shape for name, shape in layer.items()}
    last = widths[-1] if config["task_level"] == "graph" else widths[0]
    outputs = config["output_dim"] + config["output_dim_vec"]
    shapes |= {"readout.weight": (outputs, last), "readout.bias": (outputs,)}
    weights = {name: 0.5 * torch.randn(shape, generator=rng, dtype=torch.float64) for name, shape in shapes.items()}
    if num_ori:
        grid = torch.randn(num_ori, dim, generator=rng, dtype=torch.float64)
        weights["sphere_grid"] = grid / grid.norm(dim=1, keepdim=True)
    return weights


def as_lists(config: dict[str, Any]) -> tuple[list[int], list[int]]:
    """Blocks and channels of every scale."""
    depths = config["num_layers"] if isinstance(config["num_layers"], list) else [config["num_layers"]]
    widths = config["hidden_dim"] if isinstance(config["hidden_dim"], list) else [config["hidden_dim"]] * len(depths)
    return depths, widths


def released_forward(
    weights: Weights, config: dict[str, Any], pos: Tensor, x: Tensor, vectors: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Scalars and vectors of one cloud; pooled over its points at graph level."""
    depths, _ = as_lists(config)
    grid = weights.get("sphere_grid")
    down: list[tuple[Tensor, Tensor, int]] = []  # edges, offsets, number of targets of every layer
    up: list[tuple[Tensor, Tensor, int]] = []
    points = pos
    for scale, depth in enumerate(depths):
        edges = graph(points, config["edge_types"][scale])
        here = (edges, points[edges[0]] - points[edges[1]], len(points))
        down += [here] * depth
        up = [here] * depth + up
        if scale < len(depths) - 1:
            chosen = farthest(points, config["ratios"][scale])
            nearest = (points[:, None] - points[chosen][None]).norm(dim=-1).argmin(dim=1)
            edges = torch.stack([torch.arange(len(points)), nearest])
            offset = points - points[chosen][nearest]
            down.append((edges, offset, len(chosen)))
            up = [(edges.flip(0), offset, len(points)), *up]  # the attributes of the way down are used again
            points = points[chosen]
    layers = down + up if config["task_level"] == "node" and len(depths) > 1 else down
    if grid is None:
        signal = linear(x, weights["x_embedder.weight"])[:, None]
    else:
        parts = [x[:, None].expand(-1, len(grid), -1)]
        parts += [] if vectors is None else [torch.einsum("ncd,od->noc", vectors, grid)]
        signal = linear(torch.cat(parts, dim=-1), weights["x_embedder.weight"])
    skips = []
    for i, (edges, offset, num_targets) in enumerate(layers):
        before = signal
        signal = block(weights, f"layers.{i}.", config, signal, edges, offset, num_targets, grid)
        if config["skip_connections"] and len(before) > num_targets:
            skips.append(before)
        elif config["skip_connections"] and len(before) < num_targets:
            signal = signal + skips.pop()
    out = linear(signal, weights["readout.weight"], weights["readout.bias"])
    scalars, directed = out[..., : config["output_dim"]].mean(dim=1), out[..., config["output_dim"] :]
    vectors_out = (
        torch.einsum("noc,od->ncd", directed, grid) / len(grid) if grid is not None else directed[:, 0, :, None]
    )
    if config["task_level"] == "graph":
        return scalars.sum(dim=0, keepdim=True), vectors_out.sum(dim=0, keepdim=True)
    return scalars, vectors_out


def block(
    w: Weights,
    p: str,
    config: dict[str, Any],
    f: Tensor,
    edges: Tensor,
    d: Tensor,
    num_targets: int,
    grid: Tensor | None,
) -> Tensor:
    """Separable convolution and ConvNeXt bottleneck; residual where the shape is kept."""
    if grid is None:
        attributes = d.norm(dim=-1, keepdim=True) if config["equivariance"] == "SEn" else d
        attributes = attributes[:, None]
    else:
        along = d @ grid.T
        across = (d[:, None] - along[..., None] * grid).norm(dim=-1)
        attributes = torch.stack([along, across], dim=-1)
        if config["equivariance"] == "Tn":
            attributes = torch.cat([d[:, None].expand(-1, len(grid), -1), attributes], dim=-1)
    kernel = basis(w, "spatial_basis_fn", attributes, config["degree"]) @ w[p + "conv.kernel.weight"].T
    message = torch.zeros(num_targets, *f.shape[1:], dtype=f.dtype)
    for e in range(edges.shape[1]):
        message[edges[1, e]] = message[edges[1, e]] + kernel[e] * f[edges[0, e]]
    if grid is not None:
        fiber = basis(w, "spherical_basis_fn", (grid @ grid.T)[..., None], config["degree"])
        fiber = fiber @ w[p + "conv.fiber_kernel.weight"].T
        message = torch.einsum("nac,bac->nbc", message, fiber) / len(grid)
    y = layer_norm(message + w[p + "conv.bias"], f.shape[-1:], w[p + "norm.weight"], w[p + "norm.bias"])
    y = gelu(linear(y, w[p + "linear_1.weight"], w[p + "linear_1.bias"]))
    y = linear(y, w[p + "linear_2.weight"], w[p + "linear_2.bias"])
    y = y * w.get(p + "layer_scale", torch.ones(()))
    return y + f if y.shape == f.shape else y


def basis(w: Weights, name: str, a: Tensor, degree: int) -> Tensor:
    """GELU(L2 GELU(L1 poly(a))) with all tensor powers up to degree + 1."""
    powers = [a]
    for _ in range(degree):
        powers.append(torch.einsum("...i,...j->...ij", powers[-1], a).flatten(-2))
    hidden = gelu(linear(torch.cat(powers, dim=-1), w[f"{name}.1.weight"], w[f"{name}.1.bias"]))
    return gelu(linear(hidden, w[f"{name}.3.weight"], w[f"{name}.3.bias"]))


def graph(points: Tensor, kind: str) -> Tensor:
    """Rows source and target: all pairs, or from every point to its k nearest (itself included)."""
    if kind == "fc":
        return torch.cartesian_prod(torch.arange(len(points)), torch.arange(len(points))).T
    k = int(kind.split("-")[1])
    nearest = (points[:, None] - points[None]).norm(dim=-1).argsort(dim=1, stable=True)[:, :k]
    return torch.stack([torch.arange(len(points))[:, None].expand_as(nearest).flatten(), nearest.flatten()])


def farthest(points: Tensor, ratio: float) -> Tensor:
    """Farthest point sampling from point 0, max(1, floor(ratio n)) points in the order of choice."""
    chosen = [0]
    while len(chosen) < max(1, int(ratio * len(points))):
        distance = (points[:, None] - points[chosen][None]).norm(dim=-1).amin(dim=1)
        chosen.append(int(distance.argmax()))
    return torch.tensor(chosen)
