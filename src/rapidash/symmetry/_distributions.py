"""Distributions on groups: which elements an average runs over, for each sample of a batch."""

from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rapidash.data import Batch
from rapidash.groups import MatrixGroup, enumerated, generator_names


class GroupSamples(NamedTuple):
    """Elements drawn for a batch, and what their distribution asks to add to a loss.

    Without weights each element counts 1 / K. Weights are at least 0 and add up to 1 for every sample; an element of
    weight 0 fills up a sample that has fewer elements than another.
    """

    g: Float[Tensor, "B K n n"]
    penalty: Float[Tensor, ""]
    weights: Float[Tensor, "B K"] | None = None


@runtime_checkable
class GroupDistribution(Protocol):
    """A law p(g | x) on a group; an `nn.Module` where it is learned.

    An average over it is equivariant if p(h g | h x) = p(g | x) for every element h.
    """

    def sample(self, batch: Batch, num_samples: int, generator: torch.Generator | None) -> GroupSamples:
        """K elements for each sample of the batch, differentiable in the parameters of the law.

        A law that gives all its elements, whatever K is, says so by a class attribute ``gives_all = True``.

        Args:
            batch: the samples x.
            num_samples: K, at least 1; a law with finitely many elements may give all of them instead.
            generator: of the random numbers; None only for a law that draws none.
        Raises: ValueError without a generator where one is needed.
        """


@dataclass(frozen=True)
class Identity:
    """The identity alone: the average is the network itself."""

    group: MatrixGroup

    def sample(self, batch: Batch, num_samples: int, generator: torch.Generator | None) -> GroupSamples:
        """Copies of the identity."""
        _checked(num_samples)
        return _unpenalized(self.group.identity().expand(batch.num_samples, num_samples, -1, -1))


@dataclass(frozen=True)
class Haar:
    """Uniform on a compact group, whatever the sample: group averaging, exact in expectation.

    Raises: ValueError for a group without a Haar probability measure.
    """

    group: MatrixGroup

    def __post_init__(self) -> None:
        if not self.group.is_compact:
            raise ValueError(
                f"{self.group.name} is not compact and has no Haar probability measure: take a compact subgroup such "
                "as .without_translations(), or UniformBox"
            )

    def sample(self, batch: Batch, num_samples: int, generator: torch.Generator | None) -> GroupSamples:
        """Independent elements."""
        _checked(num_samples)
        drawn = self.group.sample(batch.num_samples * num_samples, generator=_given(generator, self))
        return _unpenalized(drawn.unflatten(0, (batch.num_samples, num_samples)))


@dataclass(frozen=True)
class Enumerated:
    """All elements of a finite group, each once: the average is exactly equivariant; K is the group's order.

    Raises: ValueError for a group that is not finite, or too large to list.
    """

    gives_all: ClassVar[bool] = True
    group: MatrixGroup
    _elements: Tensor = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        elements = enumerated(self.group)
        if elements is None:
            raise ValueError(f"{self.group.name} is not finite, or too large to list: use Haar")
        object.__setattr__(self, "_elements", elements)

    def sample(self, batch: Batch, num_samples: int, generator: torch.Generator | None) -> GroupSamples:
        """Every element for every sample; ``num_samples`` and ``generator`` are not used."""
        return _unpenalized(self._elements.expand(batch.num_samples, -1, -1, -1))


class UniformBox(nn.Module):
    r"""exp(sum_i u_i w_i A_i) with u_i uniform in [-1, 1] and a learned half-width w_i for each generator A_i.

    Reparameterized: gradients reach the widths through the elements. A box in the algebra is no box in the group once
    generators do not commute, and a width beyond half the period of a rotation (pi) counts angles twice.

    Args:
        group: whose generators; `generator_names` says in which order.
        init_width: initial half-widths, at least 0, in the unit of the generators (radian, length, logarithm); one for
            all of them, or one each. A width of 0 stays 0.
    Raises: ValueError for a group without generators, or widths that are negative or of another number.
    Source: Benton et al., "Learning Invariances in Neural Networks" (Augerino), NeurIPS 2020, where the width is 2 w.
    """

    is_open: Tensor

    def __init__(self, group: MatrixGroup, init_width: float | Float[Tensor, " d"]) -> None:
        super().__init__()
        self.group, self.names = group, tuple(generator_names(group))
        if group.is_finite:
            raise ValueError(f"{group.name} is finite and has no generators: use Enumerated or Haar")
        width = torch.as_tensor(init_width, dtype=torch.get_default_dtype())
        if width.shape not in ((), (len(self.names),)) or not bool(((width >= 0) & width.isfinite()).all()):
            raise ValueError(f"init_width needs one number, or one for each of {self.names}, at least 0: {init_width}")
        width = width.expand(len(self.names)).clone()
        self.register_buffer("is_open", width > 0)
        inverse_softplus = width + torch.log(-torch.expm1(-width))
        self.raw_width = nn.Parameter(torch.where(self.is_open, inverse_softplus, torch.zeros_like(width)))

    @property
    def width(self) -> Float[Tensor, " d"]:
        """The half-widths w, softplus of the parameters."""
        width = nn.functional.softplus(self.raw_width)
        return torch.where(self.is_open, width, torch.zeros_like(width))

    def sample(self, batch: Batch, num_samples: int, generator: torch.Generator | None) -> GroupSamples:
        """Independent elements."""
        _checked(num_samples)
        shape = (batch.num_samples, num_samples, len(self.names))
        u = 2 * torch.rand(shape, generator=_given(generator, self), dtype=torch.float64) - 1
        return _unpenalized(self.group.exponential(u.to(self.width) * self.width))


def _unpenalized(g: Tensor) -> GroupSamples:
    return GroupSamples(g, g.new_zeros(()))


def _checked(num_samples: int) -> None:
    if num_samples < 1:
        raise ValueError(f"num_samples must be at least 1, got {num_samples}")


def _given(generator: torch.Generator | None, law: object) -> torch.Generator:
    if generator is None:
        raise ValueError(f"{type(law).__name__} draws random elements: pass a torch.Generator")
    return generator
