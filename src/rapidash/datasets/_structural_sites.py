"""Rows of two sites from a structural model: a covariate that acts on the label, and instruments that do not."""

import math
from typing import Literal

import torch

from rapidash._seed import seeded
from rapidash.data import Field, RowDataset
from rapidash.groups import Scalar

SITES_COLUMNS = 24
_CAUSES = 6


def structural_sites_dataset(split: Literal["train", "val", "test"], *, size: int, seed: int = 0) -> RowDataset:
    r"""Two sites that differ in a covariate, which matters, and in their instruments, which do not.

    The site s is 0 or 1 with equal chances; the covariate c is Beta(2, 4) at site 0 and Beta(4, 2) at site 1. Six
    causes u are standard normal. The label is 1 where :math:`w \cdot u + 1.5 (c - 0.5) + 0.3 \epsilon > 0`, with a unit
    vector w: it does not depend on the site given c and u. The covariate turns the first two causes by
    :math:`\pi (c - 0.5)`, giving u'; the 24 columns are :math:`g_s \tanh(M (u', c - 0.5)) + o_s`, with gains
    :math:`g_s = e^{0.3 \epsilon}` and offsets :math:`o_s = 0.3 \epsilon` of each site and column. To know u from x one
    must know c; from c alone the site is guessed in 81.25 per cent of rows at best.

    Args:
        split: the structure (w, M, gains, offsets) is the same in all, the rows are others.
        size: rows, at least 1.
        seed: of structure and rows.
    Returns: x (size, 24), label (size,), site (size,), covariate (size, 1), float64 and int64.
    Raises: ValueError for a size below 1.
    """
    if size < 1:
        raise ValueError(f"size must be at least 1, got {size}")
    structure, rows = seeded("structural sites", seed), seeded("structural sites", seed, split)

    def normal(rng: torch.Generator, *shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=rng, dtype=torch.float64)

    weight = normal(structure, _CAUSES)
    weight = weight / weight.norm()
    mixing = normal(structure, _CAUSES + 1, SITES_COLUMNS) / math.sqrt(_CAUSES)
    gain, offset = (0.3 * normal(structure, 2, SITES_COLUMNS)).exp(), 0.3 * normal(structure, 2, SITES_COLUMNS)
    site = torch.randint(2, (size,), generator=rows)
    uniform = torch.rand(size, 5, generator=rows, dtype=torch.float64).sort(dim=1).values
    place = torch.where(site == 0, 1, 3)  # of five uniform numbers the second is Beta(2, 4), the fourth Beta(4, 2)
    c = uniform[torch.arange(size), place]
    u, noise = normal(rows, size, _CAUSES), 0.3 * normal(rows, size)
    label = (u @ weight + 1.5 * (c - 0.5) + noise > 0).long()
    cos, sin = (math.pi * (c - 0.5)).cos(), (math.pi * (c - 0.5)).sin()
    turned = torch.stack([cos * u[:, 0] - sin * u[:, 1], sin * u[:, 0] + cos * u[:, 1]], dim=1)
    x = gain[site] * torch.tanh(torch.cat([turned, u[:, 2:], c[:, None] - 0.5], dim=1) @ mixing) + offset[site]
    tensors = {"x": x, "label": label, "site": site, "covariate": c[:, None]}
    return RowDataset(tensors, {name: Field(Scalar(), level="cloud") for name in tensors})
