"""Random problems and the parity assertion of the ops."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from rapidash.geometry import Graph

Case = tuple[int, int, int, int, int]  # sources, targets, edges, orientations, channels

CASES: list[Case] = [
    (5, 4, 13, 3, 5),  # odd; isolated targets
    (1, 1, 1, 1, 1),
    (3, 2, 0, 2, 4),  # no edges
    (0, 3, 0, 2, 4),  # no sources
    (4, 0, 0, 2, 4),  # no targets
    (6, 7, 50, 1, 200),  # one orientation, several blocks of channels, the last one partial
    (30, 20, 700, 8, 128),  # large enough for threads
]


def random_graph(sources: int, targets: int, edges: int) -> Graph:
    """Edges at random, several between the same points allowed."""
    high = max(sources, 1), max(targets, 1)
    return Graph.from_edge_index(torch.stack([torch.randint(0, h, (edges,)) for h in high]), sources, targets)


def leaf(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, dtype=dtype).requires_grad_()


def value_and_gradients(function: Callable[..., Tensor], inputs: Sequence[Tensor | None], grad: Tensor) -> list[Tensor]:
    out = function(*inputs)
    return [out.detach(), *torch.autograd.grad(out, [t for t in inputs if t is not None], grad.to(out.dtype))]


def assert_parity(
    fast: Callable[..., Tensor], definition: Callable[..., Tensor], inputs: Sequence[Tensor | None], tolerance: float
) -> None:
    """Values and every gradient agree, relative to the largest entry of each."""
    grad = torch.randn_like(definition(*inputs))
    names = ["value", *(f"gradient {i}" for i, t in enumerate(inputs) if t is not None)]
    pairs = zip(
        value_and_gradients(fast, inputs, grad), value_and_gradients(definition, inputs, grad), names, strict=True
    )
    for got, expected, name in pairs:
        assert got.shape == expected.shape, name
        assert got.dtype == expected.dtype, name
        scale = float(expected.abs().max()) if expected.numel() else 1.0
        torch.testing.assert_close(
            got, expected, rtol=0, atol=tolerance * max(scale, 1.0), msg=lambda m, name=name: f"{name}: {m}"
        )


TOLERANCE = {torch.float64: 1e-12, torch.float32: 2e-5, torch.bfloat16: 2e-2, torch.float16: 3e-3}
