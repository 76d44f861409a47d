"""Actions on latent vectors whose matrices are learned: a learned group, and learned matrices of a known group."""

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from rapidash.groups import Flows, MultiplicationTable, Representation, irrep_multiplicities

InitAction = Literal["orthogonal", "identity"]


class ExponentialAction(nn.Module, Representation):
    """A learned group g(t) = exp(sum_l t_l A_l) with trainable generators A_l (n, n), acting on vectors: z -> g z.

    Args:
        num_generators: L, at least 1.
        size: n, at least 1.
        init_scale: standard deviation of the initial entries of A: small, so that the group begins near the identity.
    Raises: ValueError for sizes below 1 or a scale that is not positive.
    Source: Zhu et al., "Commutative Lie Group VAE", ICML 2021.
    """

    def __init__(self, num_generators: int, size: int, init_scale: float = 1e-3) -> None:
        super().__init__()
        if min(num_generators, size) < 1 or not init_scale > 0:
            raise ValueError(f"need sizes >= 1 and init_scale > 0, got {num_generators=}, {size=}, {init_scale=}")
        self.generators = nn.Parameter(init_scale * torch.randn(num_generators, size, size))

    def forward(self, coordinates: Float[Tensor, "*B L"]) -> Float[Tensor, "*B n n"]:
        """The element g(t) of each vector of coordinates t."""
        algebra = torch.einsum("...l,lij->...ij", coordinates.to(self.generators), self.generators)
        return torch.linalg.matrix_exp(algebra)

    def act(self, g: Float[Tensor, "*B n n"], x: Shaped[Tensor, "..."]) -> Shaped[Tensor, "..."]:
        """G z on the last axis."""
        return _times(g, x)

    def flows(self, name: str = "learned", max_parameter: float = 0.5) -> Flows:
        """The group as it is now, as a value that does not train: for measures, samples and reports."""
        algebra = self.generators.detach().cpu().double().clone()
        names = tuple(f"generator {index}" for index in range(len(algebra)))
        return Flows(name, names, algebra, max_parameter)


class LinearAction(nn.Module, Representation):
    """Matrices W(g) = M vec(g) of a known group on latent vectors, z -> W(g) z: linear in g, without bias.

    A representation only as far as it is learned: W(g h) and W(g) W(h) differ, so do not chain it. It is given
    matrices and not quaternions or angles, because the entries of a matrix are functions on the group.

    Args:
        size: n of the group's matrices (n, n).
        dim: d of the latent vectors.
    Raises: ValueError for sizes below 1.
    Source: the hypernetwork of Garrido et al., "Self-Supervised Learning of Split Invariant Equivariant
        Representations" (SIE), ICML 2023.
    """

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        if min(size, dim) < 1:
            raise ValueError(f"need sizes >= 1, got {size=}, {dim=}")
        self.size, self.dim = size, dim
        # W(g) z is as long as z on average, for orthogonal g, which has the squared norm n
        self.map = nn.Parameter(torch.randn(dim, dim, size * size) / (size * dim) ** 0.5)

    @property
    def is_homomorphism(self) -> bool:
        """No: W(g h) and W(g) W(h) differ."""
        return False

    def forward(self, g: Float[Tensor, "*B n n"]) -> Float[Tensor, "*B d d"]:
        """W(g)."""
        if g.shape[-2:] != (self.size, self.size):
            raise ValueError(f"LinearAction was made for matrices of {self.size} rows, got shape {tuple(g.shape)}")
        return torch.einsum("dek,...k->...de", self.map, g.to(self.map).flatten(-2))

    def act(self, g: Float[Tensor, "*B n n"], x: Shaped[Tensor, "..."]) -> Shaped[Tensor, "..."]:
        """W(g) z on the last axis."""
        return _times(self(g), x)


class GeneratorAction(nn.Module, Representation):
    r"""Learned matrices of the generators of a known finite group; every other element is a product of them.

    A representation as far as the relations of the group hold, see `relations`; which one it becomes is not said.

    Args:
        table: the group.
        dim: d of the latent vectors, at least 1.
        init: ``"orthogonal"``: random rotations and reflections; ``"identity"``: near the identity. What is found
            depends on it.
    Raises: ValueError for a size below 1, another beginning, or the trivial group, which has no generator.
    Source: the exploration of Ali et al., arXiv 2506.08244, for any finite group in place of cyclic ones.
    """

    def __init__(self, table: MultiplicationTable, dim: int, init: InitAction = "orthogonal") -> None:
        super().__init__()
        if dim < 1 or init not in get_args(InitAction):
            raise ValueError(f"need dim >= 1 and init in {get_args(InitAction)}, got {dim=}, {init=}")
        self.table, self.dim, self.generators = table, dim, table.generators()
        if not self.generators:
            raise ValueError("a group of one element has no generators, and nothing to learn")
        start = torch.randn(len(self.generators), dim, dim)
        near = torch.eye(dim) + 0.1 / dim**0.5 * start
        q, r = torch.linalg.qr(start)
        uniform = q * torch.diagonal(r, dim1=-2, dim2=-1).sign().unsqueeze(
            -2
        )  # without the signs det q is always the same
        self.weight = nn.Parameter(near if init == "identity" else uniform)
        self._steps = _words(table, self.generators)

    def matrices(self) -> Float[Tensor, "G d d"]:
        """A matrix for every element, along its shortest word."""
        found: dict[int, Tensor] = {0: torch.eye(self.dim, dtype=self.weight.dtype, device=self.weight.device)}
        for element, generator, rest in self._steps:
            found[element] = self.weight[generator] @ found[rest]
        return torch.stack([found[index] for index in range(len(self.table))])

    def relations(self) -> Float[Tensor, ""]:
        """The mean square of the entries of W(s) W(g) - W(s g), over all but the pairs that define W; 0: a group.

        For a cyclic group of order n this is that of W^n - 1.
        """
        matrices = self.matrices()
        defined = {(generator, rest) for _, generator, rest in self._steps}
        pairs = [
            (place, index)
            for place in range(len(self.generators))
            for index in range(len(self.table))
            if (place, index) not in defined
        ]
        places, indices = torch.tensor(pairs).T
        products = self.table.table[torch.tensor(self.generators)[places], indices]
        return (self.weight[places] @ matrices[indices] - matrices[products]).square().mean()

    def multiplicities(self) -> Float[Tensor, " R"]:
        """The multiplicity of each irreducible representation, nearly whole numbers; see `irrep_multiplicities`."""
        return irrep_multiplicities(self.table, self.matrices())

    def forward(self, g: Float[Tensor, "*B n n"]) -> Float[Tensor, "*B d d"]:
        """W(g)."""
        return self.matrices()[self.table.index_of(g).to(self.weight.device)]

    def act(self, g: Float[Tensor, "*B n n"], x: Shaped[Tensor, "..."]) -> Shaped[Tensor, "..."]:
        """W(g) z on the last axis."""
        return _times(self(g), x)


def _words(table: MultiplicationTable, generators: Sequence[int]) -> list[tuple[int, int, int]]:
    """For every element but the identity (element, place of a generator s, rest) with element = s rest, rest before."""
    known, latest, steps = {0}, [0], []
    while latest:
        found = []
        for rest in latest:
            for place, generator in enumerate(generators):
                element = int(table.table[generator, rest])
                if element not in known:
                    known.add(element)
                    found.append(element)
                    steps.append((element, place, rest))
        latest = found
    return steps


def _times(matrix: Tensor, x: Tensor) -> Tensor:
    """One matrix (d, d) for all vectors x (..., d), or one for each entry of the first axis of x."""
    if not (x.is_floating_point() or x.is_complex()):
        raise ValueError(f"a learned action moves real or complex vectors, got {x.dtype}: convert them with .float()")
    if x.dim() == 0 or x.shape[-1] != matrix.shape[-1] or (matrix.dim() == 3 and len(matrix) != len(x)):
        raise ValueError(
            f"matrices of shape {tuple(matrix.shape)} do not act on vectors {tuple(x.shape)}: give one for all, or one "
            "for each entry of the first axis"
        )
    if matrix.dim() == 3:
        matrix = matrix.reshape(len(matrix), *(1,) * (x.dim() - 2), *matrix.shape[1:])
    return torch.matmul(matrix.to(x), x.unsqueeze(-1)).squeeze(-1)
