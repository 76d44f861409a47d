"""How far the elements of a law jump for a small move of the data."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from rapidash.data import Batch, CloudBatch
from rapidash.groups import Group, Position
from rapidash.symmetrize._points import moving_field
from rapidash.symmetry import GroupDistribution, GroupSamples


class Regularity(NamedTuple):
    """Distances between the elements before and after a move, in units of the relative size of the move."""

    jumps: Float[Tensor, "M B"]
    """For every move and sample."""

    @property
    def max(self) -> float:
        """The largest jump: grows as 1 / step where elements jump, and stays where they are continuous."""
        return float(self.jumps.max())

    def quantile(self, q: float) -> float:
        """The jump that a share q of moves and samples does not exceed."""
        return float(self.jumps.flatten().quantile(q))


def regularity(
    law: GroupDistribution,
    batch: Batch,
    step: float = 1e-3,
    generator: torch.Generator | None = None,
    *,
    num_moves: int = 8,
    num_samples: int = 1,
) -> Regularity:
    r"""How far the elements of a law move when the points do: W(p(. | x + d), p(. | x)) / ||d||_rel.

    W is the smallest mean distance over which the mass of one weighted set is carried to the other, in the Frobenius
    norm of matrices (for a law with a group of motions, without translations): the distance of the two elements where
    there is one. A law that draws gets the same random numbers for both. The move d is random; ||d||_rel is the root
    mean square of its vectors in units of that of the sample, positions about their mean.

    The ratio is a Lipschitz constant in the directions tried. A law with a large one makes a rough function of a smooth
    network; how much of the symmetry's gain in generalization is left depends on it.

    Args:
        law: which elements.
        batch: the samples; positions are moved, or of rows the first field, by name, that the group moves.
        step: ||d||_rel, positive and small.
        generator: of moves, and of a law that draws.
        num_moves: random moves of each sample, at least 1.
        num_samples: K, for a law that draws.
    Raises: ValueError for sizes outside the above, or no generator.
    Source: the question, "When and How to Canonize", arXiv 2605.11008, which bounds covering numbers by the regularity
        of a canonization; this figure of it is ours.
    """
    if not step > 0 or num_moves < 1:
        raise ValueError(f"step must be positive and num_moves at least 1, got {step} and {num_moves}")
    if generator is None:
        raise ValueError("moves are random: pass a torch.Generator")
    with torch.no_grad():
        jumps = [_jumps(law, batch, step, generator, num_samples) for _ in range(num_moves)]
    return Regularity(torch.stack(jumps) / step)


def transport_distance(first: GroupSamples, second: GroupSamples) -> Float[Tensor, " B"]:
    """The smallest mean Frobenius distance that carries one weighted set of matrices to the other, for each sample."""
    return torch.tensor(
        [
            _transported(*sets)
            for sets in zip(first.g.detach(), second.g.detach(), _weights(first), _weights(second), strict=True)
        ],
        dtype=torch.float64,
    )


def _jumps(
    law: GroupDistribution, batch: Batch, step: float, generator: torch.Generator, num_samples: int
) -> Float[Tensor, " B"]:
    moved = _moved(batch, step, generator)
    state = generator.get_state()
    before = law.sample(batch, num_samples, generator)
    generator.set_state(state)
    after = law.sample(moved, num_samples, generator)
    if isinstance(getattr(law, "group", None), Group):
        before, after = (samples._replace(g=samples.g[..., :-1, :-1]) for samples in (before, after))
    return transport_distance(before, after)


def _moved(batch: Batch, step: float, generator: torch.Generator) -> Batch:
    name = moving_field(batch)
    values = batch[name]
    owner = batch.batch if isinstance(batch, CloudBatch) else torch.arange(batch.num_samples, device=values.device)
    centered = values
    if isinstance(batch.fields[name].representation, Position):
        axes = tuple(range(1, values.dim() - 1))
        rows = values.mean(dim=axes) if axes else values
        mean = _mean(rows, owner, batch.num_samples)[owner]
        centered = values - mean.reshape(len(mean), *(1,) * len(axes), mean.shape[-1])
    move = torch.randn(values.shape, generator=generator, dtype=torch.float64).to(values)
    sizes = [_mean(x.flatten(1).square().sum(dim=1, keepdim=True), owner, batch.num_samples) for x in (centered, move)]
    ratio = step * (sizes[0] / sizes[1]).sqrt()[owner]
    return batch.with_tensor(name, values + ratio.reshape(-1, *(1,) * (values.dim() - 1)) * move)


def _mean(rows: Float[Tensor, "N C"], owner: Tensor, num: int) -> Float[Tensor, "B C"]:
    count = torch.bincount(owner, minlength=num).clamp(min=1).to(rows)
    return rows.new_zeros(num, rows.shape[1]).index_add(0, owner, rows) / count[:, None]


def _weights(samples: GroupSamples) -> Float[Tensor, "B K"]:
    if samples.weights is not None:
        return samples.weights.detach()
    return samples.g.detach().new_full(samples.g.shape[:2], 1 / samples.g.shape[1])


def _transported(g: Tensor, h: Tensor, g_weights: Tensor, h_weights: Tensor) -> float:
    from scipy.optimize import linear_sum_assignment, linprog
    from scipy.sparse import coo_array, vstack

    g, g_weights = g[g_weights > 0], g_weights[g_weights > 0]
    h, h_weights = h[h_weights > 0], h_weights[h_weights > 0]
    apart = torch.cdist(g.flatten(1).double(), h.flatten(1).double(), compute_mode="donot_use_mm_for_euclid_dist")
    cost, a, b = apart.cpu().numpy(), g_weights.double().cpu().numpy(), h_weights.double().cpu().numpy()
    if len(a) == len(b) and np.ptp(np.concatenate([a, b])) < 1e-12:
        return float(cost[linear_sum_assignment(cost)].mean())
    cells = np.arange(cost.size)
    rows = coo_array((np.ones(cost.size), (cells // len(b), cells)))
    columns = coo_array((np.ones(cost.size), (cells % len(b), cells)))
    totals = np.concatenate([a / a.sum(), b / b.sum()])
    solved = linprog(cost.flatten(), A_eq=vstack([rows, columns])[:-1], b_eq=totals[:-1], method="highs")
    if solved.status:
        raise RuntimeError(f"the distance of two weighted sets was not found: {solved.message}")
    return float(solved.fun)
