"""Laws on a product of groups: an element of each factor, side by side."""

import torch
from torch import Tensor, nn

from rapidash.data import Batch, Field
from rapidash.groups import OfFactor, OfFactors, Product, Representation, Scalar
from rapidash.symmetry import GroupDistribution, GroupSamples


class ProductLaw(nn.Module):
    r"""p(g_1, g_2, ... | x) = p_1(g_1 | x) p_2(g_2 | x) ... on a `Product` of groups.

    Elements of laws that give all theirs are combined each with each, those of laws that draw are drawn together.

    Symmetry: equivariant to the product where every law is equivariant to its factor and does not change under the
    others: principal axes do not know the order of points, and an order by invariant scores does not know the pose.

    Args:
        product: the group; its factors act through the representations `OfFactor` and `OfFactors` of the fields.
        laws: one for each factor. It sees every field as its factor moves it, and as scalars where it does not.
    Raises: ValueError for another number of laws; in use for elements of another size than the factor's.
    """

    def __init__(self, product: Product, *laws: GroupDistribution) -> None:
        super().__init__()
        if len(laws) != len(product.groups):
            raise ValueError(f"{product.name} needs a law for each of {len(product.groups)} factors, got {len(laws)}")
        self.product, self.laws = product, laws
        self.learned = nn.ModuleList(law for law in laws if isinstance(law, nn.Module))

    @property
    def group(self) -> Product:
        """The product."""
        return self.product

    @property
    def gives_all(self) -> bool:
        """Whether every law does."""
        return all(_gives_all(law) for law in self.laws)

    def sample(self, batch: Batch, num_samples: int, generator: torch.Generator | None) -> GroupSamples:
        """Combinations of the elements that are given with the K ones that are drawn."""
        parts = []
        for index, (law, group) in enumerate(zip(self.laws, self.product.groups)):
            samples = law.sample(_seen_by(batch, self.product, index), num_samples, generator)
            if samples.g.shape[-1] != group.size:
                raise ValueError(
                    f"law {index} gives matrices of {samples.g.shape[-1]} rows, {group.name} has {group.size}"
                )
            parts.append(samples)
        device = next(iter(batch.tensors.values())).device
        chosen = self._chosen([samples.g.shape[1] for samples in parts])
        blocks = [samples.g[:, which].to(device, torch.float64) for samples, which in zip(parts, chosen)]
        g = self.product.join(blocks)
        weights = None
        if any(samples.weights is not None for samples in parts):
            weights = g.new_ones(g.shape[:2])
            for samples, which in zip(parts, chosen):
                own = samples.g.new_full(samples.g.shape[:2], 1.0) if samples.weights is None else samples.weights
                weights = weights * own.to(weights)[:, which]
            weights = weights / weights.sum(dim=1, keepdim=True)
        penalty = sum((samples.penalty for samples in parts), start=g.new_zeros(()))
        return GroupSamples(g, penalty, weights)

    def _chosen(self, sizes: list[int]) -> list[Tensor]:
        """For every combination, which element of each law."""
        drawn = [size for law, size in zip(self.laws, sizes) if not _gives_all(law)]
        assert len(set(drawn)) < 2, "laws that draw give as many elements as asked for"
        axes = [torch.arange(size) for law, size in zip(self.laws, sizes) if _gives_all(law)]
        axes += [torch.arange(size) for size in drawn[:1]]
        combined = list(torch.cartesian_prod(*axes).reshape(-1, len(axes)).T)
        together = combined[-1]
        given = iter(combined)
        return [next(given) if _gives_all(law) else together for law in self.laws]


def _gives_all(law: GroupDistribution) -> bool:
    return bool(getattr(law, "gives_all", False))


def _seen_by(batch: Batch, product: Product, index: int) -> Batch:
    """The batch with every field moving under one factor alone."""
    for name, field in batch.fields.items():
        own = Field(_own(field.representation, product, index), field.unit, field.level)
        batch = batch.with_tensor(name, batch[name], own)
    return batch


def _own(representation: Representation, product: Product, index: int) -> Representation:
    """How a field moves under one factor.

    Raises: ValueError for a representation that names no factor.
    """
    if isinstance(representation, Scalar):
        return representation
    parts = representation.parts if isinstance(representation, OfFactors) else (representation,)
    for part in parts:
        if not isinstance(part, OfFactor):
            raise ValueError(f"fields must say which factor of {product.name} moves them, OfFactor, got {part}")
        if part.index == index:
            return part.representation
    return Scalar()
