"""Characters of a finite group: which irreducible representations there are, and how often each is in another one."""

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from rapidash._seed import seeded
from rapidash.groups._finite import MultiplicationTable


def character_table(table: MultiplicationTable) -> Complex[Tensor, "R G"]:
    r"""The trace of every irreducible representation at every element: the rows are orthogonal, with squared norm G.

    Rows are sorted by dimension (the trace at the identity), then by the angle of the trace at one element after the
    other; the first is the trivial one. Those of a cyclic group are :math:`\exp(2 \pi i k m / n)`, k = 0 .. n - 1.

    Source: Burnside's algorithm: the central characters are the common eigenvectors of the class multiplication
        matrices; here of one random combination of them.
    """
    classes = table.conjugacy_classes()
    size, count = len(table), len(classes)
    of_element = torch.empty(size, dtype=torch.long)
    for index, members in enumerate(classes):
        of_element[list(members)] = index
    sizes = torch.tensor([len(members) for members in classes], dtype=torch.float64)
    first = torch.tensor([members[0] for members in classes])
    # products[i, j, k]: in how many ways a given element of class k is a product of one of class i and one of class j
    place = (of_element[:, None] * count + of_element[None, :]) * size + table.table
    counts = torch.bincount(place.flatten(), minlength=count * count * size).reshape(count, count, size)
    products = counts[:, :, first].double()
    weights = torch.randn(count, generator=seeded("characters"), dtype=torch.float64)
    central = torch.linalg.eig(torch.einsum("i,ijk->jk", weights, products)).eigenvectors.T
    central = central / central[:, :1]  # the class of the identity is the first
    dims = (size / (central.abs().square() / sizes).sum(dim=1)).sqrt().round()
    characters = (central * dims[:, None] / sizes)[:, of_element]
    angles = torch.remainder(characters.angle() / (2 * torch.pi) + 1e-6, 1.0).round(decimals=4)
    order = sorted(range(count), key=lambda row: (float(dims[row]), angles[row].tolist()))
    return characters[order]


def irrep_multiplicities(table: MultiplicationTable, matrices: Float[Tensor, "G d d"]) -> Float[Tensor, " R"]:
    """Multiplicities of the irreducible representations in a representation; rows as in `character_table`.

    Of matrices that represent the group only nearly, the numbers are only nearly whole.

    Args:
        table: the group.
        matrices: one for each element, in its order.
    Raises: ValueError for another number of matrices.
    """
    if matrices.dim() != 3 or len(matrices) != len(table):
        raise ValueError(f"give a matrix (d, d) for each of the {len(table)} elements, got {tuple(matrices.shape)}")
    traces = torch.diagonal(matrices.detach().cpu().double(), dim1=1, dim2=2).sum(dim=1)
    characters = character_table(table)
    return (characters.conj() @ traces.to(characters)).real / len(table)
