"""Averages of predictions over a group at test time."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from jaxtyping import Float
from torch import Tensor, nn

from rapidash._plain import check_fields
from rapidash._seed import seeded
from rapidash.data import Batch, Field
from rapidash.groups import Group, MatrixGroup, enumerated, parse_group
from rapidash.methods._method import Method
from rapidash.symmetry import Ledger, averaged_symmetry

AVERAGED = "averaged"  # the name of the view whose predictions are averaged


@dataclass(frozen=True)
class OrbitAverage:
    r"""The average (1/K) sum_k rho_out(g_k)^{-1} f(g_k x), over random elements for each sample, or all of a group.

    Args:
        group: where the elements come from.
        num: K; 0: all elements of a finite group, which makes the average exactly equivariant.
    Raises: ValueError for a negative number, or 0 with a group that is not finite.
    """

    group: MatrixGroup
    num: int

    def __post_init__(self) -> None:
        if self.num < 0:
            raise ValueError(f"num must be at least 0, got {self.num}")
        if self.num == 0 and enumerated(self.group) is None:
            raise ValueError(
                f"num=0 averages over all elements, of which {self.group.name} has too many: give a number"
            )

    def elements(self, size: int, seed: int) -> list[Float[Tensor, "size n n"]]:
        """For each k the element g_k of every sample; a function of the seed and the number of samples."""
        if self.num:
            return [self.group.sample(size, generator=seeded(seed, "tta", k)) for k in range(self.num)]
        everything = enumerated(self.group)
        assert everything is not None
        return [g.expand(size, *g.shape) for g in everything]


def orbit_average(
    model: nn.Module, batch: Batch, output: Field, elements: Sequence[Float[Tensor, "B n n"]], group: MatrixGroup
) -> Tensor:
    """(1/K) sum_k rho_out(g_k)^{-1} f(g_k x), with an element for each sample and k."""
    total: Tensor | None = None
    for g in elements:
        moved_back = batch.act(output, group.inverse(g), model(batch.transform(g)))
        total = moved_back if total is None else total + moved_back
    assert total is not None, "an average needs an element"
    return total / len(elements)


class AveragedModel(nn.Module):
    """A model whose predictions are averaged, over the same elements in every call.

    Args:
        model: called with a batch.
        output: representation and level of its prediction.
        average: over what.
        seed: of random elements.
    """

    def __init__(self, model: nn.Module, output: Field, average: OrbitAverage, *, seed: int = 0) -> None:
        super().__init__()
        self.model, self.output, self.average, self.seed = model, output, average, seed

    def forward(self, batch: Batch) -> Tensor:
        """The average of the predictions."""
        elements = self.average.elements(batch.num_samples, self.seed)
        return orbit_average(self.model, batch, self.output, elements, self.average.group)


@dataclass(frozen=True)
class Average(Method):
    """Averages predictions over a group at test time; the training is that without it.

    Translations of a group are drawn from a normal distribution, which is not uniform: the average has those of the
    model only, and the ledger adds the rotations and reflections of the group about the origin.

    Args:
        group: name of the group, e.g. ``"SO(3)"``.
        num: random elements for each sample; 0: all elements of a finite group.
    Raises: ValueError for an unknown group, a negative number, or 0 with a group that is not finite.
    """

    group: str
    num: int = 0

    def __post_init__(self) -> None:
        check_fields(self)
        self.average()

    def average(self) -> OrbitAverage:
        """The average over the group that predictions take."""
        return OrbitAverage(parse_group(self.group), self.num)

    def ledger(self, before: Ledger, view: str) -> Ledger:
        """The average has the symmetry of its group, exactly if it is over all elements; see `averaged_symmetry`."""
        if view != AVERAGED:
            return before
        over = parse_group(self.group).without_translations()
        if not isinstance(before.effective, Group):
            raise ValueError(f"an average over {over} is for clouds: the ledger says {before.effective.name}")
        if over.dim != before.effective.dim:
            raise ValueError(
                f"group {self.group!r} acts on R^{over.dim}, the model on R^{before.effective.dim}"
                + ("; C4(z) is C4 about an axis" if over.dim == 2 else "")
            )
        found, reason = averaged_symmetry(before.effective, over)
        exactly = None
        if self.num == 0:
            kept = before.claimed_exactly
            exactly = averaged_symmetry(kept, over)[0] if isinstance(kept, Group) else over
        is_exact = exactly is not None and found.is_subgroup(exactly)
        exact_part = None if is_exact else exactly
        how = "all elements" if self.num == 0 else f"{self.num} random elements, so approximately"
        reasons = (*before.reasons, f"predictions are averaged over {how} of {self.group}: {reason}")
        return replace(before, effective=found, reasons=reasons, exact=is_exact, exact_part=exact_part)
