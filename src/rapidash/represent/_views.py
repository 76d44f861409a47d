"""Two views of every sample, and the group elements that made them."""

from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from rapidash.data import Batch, Field
from rapidash.groups import MatrixGroup, Representation

ELEMENT = "element"  # the field of a batch of views with the group element that made each of them
AnyBatch = TypeVar("AnyBatch", bound=Batch)


@dataclass(frozen=True)
class LeftProduct(Representation):
    """Group elements (..., n, n), which a further element multiplies from the left: g h."""

    def act(self, g: Float[Tensor, "*B n n"], x: Shaped[Tensor, "*C n n"]) -> Shaped[Tensor, "*C n n"]:
        """The products g x."""
        return g.to(x) @ x


def two_views(batch: Batch, group: MatrixGroup, rng: torch.Generator) -> Batch:
    """Both views of every sample x: g_1 x for each of the B samples, then g_2 x for each, with elements of a group.

    The batch gets the field ``"element"`` (2 B, n, n) with the element of every view; a method that moves the views
    further, such as an augmentation, moves it along.
    """
    both = batch.repeat(2)
    return moved_views(both, group.sample(both.num_samples, generator=rng))


def moved_views(batch: Batch, g: Float[Tensor, "B n n"]) -> Batch:
    """Samples moved by elements that the batch then remembers."""
    moved = batch.transform(g)
    like = next((t for t in batch.tensors.values() if t.is_floating_point()), g)
    return moved.with_tensor(ELEMENT, g.to(like), Field(LeftProduct(), level="cloud"))


def halves(tensor: Shaped[Tensor, "B2 ..."]) -> tuple[Shaped[Tensor, "B ..."], Shaped[Tensor, "B ..."]]:
    """The rows of the first views and those of the second. Raises: ValueError for an odd number of rows."""
    if len(tensor) % 2:
        raise ValueError(
            f"pairs of views have an even number of rows, first views before second ones, got {len(tensor)}"
        )
    first, second = tensor.chunk(2)
    return first, second


def relative_elements(batch: Batch, group: MatrixGroup) -> Float[Tensor, "B n n"]:
    """g = g_2 g_1^-1 of every pair, which takes its first view to its second: in the frame of the world.

    In the frame of the first view's object it is g_1^-1 g_2, another target.
    Raises: ValueError for a batch of pairs without the elements between them.
    """
    if ELEMENT not in batch.tensors:
        raise ValueError(
            f"the pairs have no field {ELEMENT!r}: the group element of every view must be known to learn how features "
            f"follow it; the batch has {sorted(batch.tensors)} (rapidash.represent.two_views makes pairs that have it)"
        )
    first, second = halves(batch[ELEMENT])
    return second @ group.inverse(first)


def without_elements(batch: Batch) -> Batch:
    """The batch as networks see it: no view tells its element."""
    if ELEMENT not in batch.tensors:
        return batch
    rest = {name: tensor for name, tensor in batch.tensors.items() if name != ELEMENT}
    fields = {name: field for name, field in batch.fields.items() if name != ELEMENT}
    return replace(batch, tensors=rest, fields=fields)  # type: ignore[type-var]
