"""Products of groups: independent elements of several groups, side by side as blocks of one matrix."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from rapidash.groups._matrix_group import MatrixGroup
from rapidash.groups._representations import Representation

MAX_LISTED = 5040  # elements: a larger finite product is sampled


@dataclass(frozen=True)
class Product(MatrixGroup):
    """G_1 x G_2 x ...: block-diagonal matrices; a field moves under the block that `OfFactor` names.

    Args:
        groups: the factors, at least one.
    Raises: ValueError for no factor.
    """

    groups: tuple[MatrixGroup, ...]

    def __post_init__(self) -> None:
        if not self.groups:
            raise ValueError("Product needs at least one group")

    @property
    def name(self) -> str:
        """The factors' names."""
        return " x ".join(group.name for group in self.groups)

    @property
    def size(self) -> int:
        """The sum of the factors' sizes."""
        return sum(group.size for group in self.groups)

    def block(self, index: int, g: Float[Tensor, "*B n n"]) -> Float[Tensor, "*B m m"]:
        """The element of one factor."""
        start = sum(group.size for group in self.groups[:index])
        end = start + self.groups[index].size
        return g[..., start:end, start:end]

    def join(self, blocks: Sequence[Float[Tensor, "*B _ _"]]) -> Float[Tensor, "*B n n"]:
        """The element with these elements of the factors, as `block` gives them back; differentiable in all of them."""
        sizes = [group.size for group in self.groups]
        rows = [
            torch.nn.functional.pad(block, (sum(sizes[:index]), sum(sizes[index + 1 :])))
            for index, block in enumerate(blocks)
        ]
        return torch.cat(rows, dim=-2)

    def sample(self, num: int, *, generator: torch.Generator | None = None) -> Float[Tensor, "G n n"]:
        """Independent elements of the factors, drawn factor by factor."""
        return self.join([group.sample(num, generator=generator) for group in self.groups])

    def generators(self) -> Float[Tensor, "d n n"]:
        """Those of the factors, each in its block."""
        rows = []
        for index, group in enumerate(self.groups):
            own = group.generators()
            others = [torch.zeros(len(own), part.size, part.size, dtype=own.dtype) for part in self.groups]
            rows.append(self.join([*others[:index], own, *others[index + 1 :]]))
        return torch.cat(rows)

    def inverse(self, g: Float[Tensor, "*B n n"]) -> Float[Tensor, "*B n n"]:
        """The inverse of each block, as its factor has it."""
        return self.join([group.inverse(self.block(index, g)) for index, group in enumerate(self.groups)])

    def elements(self) -> Float[Tensor, "G n n"] | None:
        """Every combination of the factors' elements, identity first; None if one is infinite, or beyond 5040."""
        listed = [elements for group in self.groups if (elements := group.elements()) is not None]
        if len(listed) < len(self.groups) or math.prod(map(len, listed)) > MAX_LISTED:
            return None
        chosen = torch.cartesian_prod(*[torch.arange(len(elements)) for elements in listed]).reshape(-1, len(listed))
        return self.join([elements[column] for elements, column in zip(listed, chosen.T)])

    @property
    def is_compact(self) -> bool:
        """Whether every factor is."""
        return all(group.is_compact for group in self.groups)

    def contains(self, element: Float[Tensor, "n n"]) -> bool:
        """Whether the blocks belong to the factors and all other entries are 0, to 1e-9."""
        if element.shape != (self.size, self.size):
            return False
        blocks = [self.block(index, element) for index in range(len(self.groups))]
        if bool((element - torch.block_diag(*blocks)).abs().max() > 1e-9):
            return False
        return all(group.contains(block) for group, block in zip(self.groups, blocks))


@dataclass(frozen=True)
class OfFactor(Representation):
    """A field that moves under one factor of a product and stays under the others.

    Args:
        product: the group.
        index: which factor.
        representation: how the field moves under its elements.
    Raises: ValueError for a factor that the product does not have; in ``act`` for elements of another size.
    """

    product: Product
    index: int
    representation: Representation

    def __post_init__(self) -> None:
        if not 0 <= self.index < len(self.product.groups):
            raise ValueError(f"{self.product.name} has factors 0 to {len(self.product.groups) - 1}, got {self.index}")

    @property
    def acts_on_rows(self) -> bool:
        """Whether the factor's representation does."""
        return self.representation.acts_on_rows

    @property
    def is_homomorphism(self) -> bool:
        """Whether the factor's representation is."""
        return self.representation.is_homomorphism

    def act(self, g: Float[Tensor, "*B n n"], x: Shaped[Tensor, "..."]) -> Shaped[Tensor, "..."]:
        """The factor's block acts."""
        if g.shape[-1] != self.product.size:
            raise ValueError(
                f"elements of {self.product.name} are matrices of {self.product.size} rows, got shape {tuple(g.shape)}"
            )
        return self.representation.act(self.product.block(self.index, g), x)


@dataclass(frozen=True)
class OfFactors(Representation):
    """A field that moves under several factors of a product, such as points that are permuted and rotated.

    Args:
        parts: how it moves under each, at least one, of one product and each of another factor. The actions must
            commute, as those on different axes do.
    Raises: ValueError for no part, another product, or a factor that comes twice.
    """

    parts: tuple[OfFactor, ...]

    def __post_init__(self) -> None:
        indices = [part.index for part in self.parts]
        others = [part for part in self.parts if part.product != self.parts[0].product]
        if not indices or len(set(indices)) < len(indices) or others:
            raise ValueError(f"OfFactors needs parts of one product, each of another factor, got {self.parts}")

    @property
    def acts_on_rows(self) -> bool:
        """Whether one of the parts does."""
        return any(part.acts_on_rows for part in self.parts)

    @property
    def is_homomorphism(self) -> bool:
        """Whether all parts are."""
        return all(part.is_homomorphism for part in self.parts)

    def act(self, g: Float[Tensor, "*B n n"], x: Shaped[Tensor, "..."]) -> Shaped[Tensor, "..."]:
        """Each factor's block acts, one after the other."""
        for part in self.parts:
            x = part.act(g, x)
        return x
