"""Symmetrization: the average of a network over moved copies of its input, moved back."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rapidash._seed import seeded
from rapidash.data import Batch, Field
from rapidash.groups import Intensity, MatrixGroup
from rapidash.symmetry._distributions import GroupDistribution, GroupSamples


class SymmetrizedOutput(NamedTuple):
    """An average with the elements that it ran over."""

    output: Tensor
    samples: GroupSamples


class Symmetrized(nn.Module):
    r"""h(x) = E_{g ~ p(g | x)} [rho_out(g) f(rho_in(g)^-1 x)] for any network f of a batch.

    A loss is to be taken of this mean, not of its terms.

    Symmetry: equivariant where p(h g | h x) = p(g | x): exactly for a law that gives all its elements (`Enumerated`,
    frames), in expectation for one that draws them, with an error that falls as K^-1/2.

    Args:
        backbone: f, called with a `Batch` whose fields declare rho_in; it returns one tensor.
        output: how that tensor transforms, rho_out, and whether it has a row per point or per sample.
        distribution: p; its parameters, if any, are trained with those of the backbone.
        num_samples: K, elements for each sample, unless a call says otherwise.
        max_batch: most samples that the backbone sees in one pass; more copies go in several passes (each at least
            one copy of the batch). None: all in one.
    Raises: ValueError for sizes below 1, an output that is no field, or a group in place of a law on it.
    """

    def __init__(
        self,
        backbone: nn.Module,
        output: Field,
        distribution: GroupDistribution,
        *,
        num_samples: int = 1,
        max_batch: int | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(output, Field):
            raise ValueError(f'output must be a rapidash.data.Field such as Field({output!r}, level="cloud")')
        if isinstance(distribution, MatrixGroup):
            raise ValueError(
                f"distribution must be a law on a group such as Haar(group) or Enumerated(group), got {distribution!r}"
            )
        if num_samples < 1 or (max_batch is not None and max_batch < 1):
            raise ValueError(f"num_samples and max_batch must be at least 1, got {num_samples} and {max_batch}")
        self.backbone, self.output, self.distribution = backbone, output, distribution
        self.num_samples, self.max_batch = num_samples, max_batch

    def forward(self, batch: Batch, generator: torch.Generator | None = None, num_samples: int | None = None) -> Tensor:
        """The average; arguments as for `average`."""
        return self.average(batch, generator, num_samples).output

    def average(
        self, batch: Batch, generator: torch.Generator | None = None, num_samples: int | None = None
    ) -> SymmetrizedOutput:
        """The average with the elements and the penalty of their law; nothing is kept on the module.

        Args:
            batch: the samples.
            generator: of the elements. None: in eval mode the same elements at every call with as many
                samples; in training mode for laws that draw none.
            num_samples: K, for this call.
        Raises: ValueError in training mode without a generator, where the law draws.
        """
        if generator is None and not self.training:
            generator = seeded("symmetrized")
        num_samples = self.num_samples if num_samples is None else num_samples
        samples = self.distribution.sample(batch, num_samples, generator)
        invert = getattr(getattr(self.distribution, "group", None), "inverse", torch.linalg.inv)
        output = symmetrized(self.backbone, batch, self.output, samples.g, self.max_batch, samples.weights, invert)
        return SymmetrizedOutput(output, samples)


def symmetrized(
    fn: Callable[[Batch], Tensor],
    batch: Batch,
    output: Field,
    g: Float[Tensor, "B K n n"],
    max_batch: int | None = None,
    weights: Float[Tensor, "B K"] | None = None,
    invert: Callable[[Tensor], Tensor] = torch.linalg.inv,
) -> Tensor:
    """sum_k w_k rho_out(g_k) f(rho_in(g_k)^-1 x), with K elements for each sample; differentiable in all of them.

    Args:
        fn: f, of a batch.
        batch: x.
        output: how the values of f transform.
        g: the elements.
        max_batch: as for `Symmetrized`.
        weights: w, which should add up to 1 for each sample; differentiable too. None: 1 / K each.
        invert: the inverse elements, with the gradient that they should have: that of a group for its own.
    Raises: ValueError for another number of samples, a function that does not return a tensor, an output that the
        elements cannot move, an element without inverse, or a representation of which g^-1 does not move back.
    """
    if g.dim() != 4 or len(g) != batch.num_samples or not g.shape[1]:
        raise ValueError(f"g needs elements (B, K, n, n) for {batch.num_samples} samples, got shape {tuple(g.shape)}")
    if weights is not None and weights.shape != g.shape[:2]:
        raise ValueError(f"weights need the shape {tuple(g.shape[:2])} of g, got {tuple(weights.shape)}")
    _check_inverses(batch, output)
    per_pass = g.shape[1] if max_batch is None else max(1, max_batch // batch.num_samples)
    shares = [None] * -(-g.shape[1] // per_pass) if weights is None else weights.split(per_pass, dim=1)
    parts = [
        _moved_back(fn, batch, output, part, share, invert).sum(dim=0)
        for part, share in zip(g.split(per_pass, dim=1), shares)
    ]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total / g.shape[1] if weights is None else total


def _moved_back(
    fn: Callable[[Batch], Tensor],
    batch: Batch,
    output: Field,
    g: Tensor,
    weights: Tensor | None,
    invert: Callable[[Tensor], Tensor],
) -> Float[Tensor, "K rows ..."]:
    """rho_out(g) f(rho_in(g)^-1 x), times its weight, for each of the copies, all in one pass."""
    copies = batch.repeat(g.shape[1])
    elements = g.transpose(0, 1).flatten(0, 1)  # copy by copy, as the batch is repeated
    try:
        inverses = invert(elements)
    except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]  # it is one of torch's public names
        raise ValueError(f"an element of the law is a singular matrix, which moves nothing back: {error}") from error
    values = fn(copies.transform(inverses))
    if not isinstance(values, Tensor):
        raise ValueError(f"a symmetrized network returns one tensor, got {type(values).__name__}: pick one in a module")
    try:
        moved = copies.act(output, elements, values)
    except ValueError as error:
        raise ValueError(f"output: {error}") from error
    if weights is not None:
        moved = copies.act(Field(Intensity(), level=output.level), _factors(weights.T.flatten()), moved)
    return moved.unflatten(0, (g.shape[1], -1))


def _factors(weights: Float[Tensor, " B"]) -> Float[Tensor, "B 2 2"]:
    """Elements that multiply the values of each sample: a batch knows which rows are whose."""
    zero, one = torch.zeros_like(weights), torch.ones_like(weights)
    return torch.stack([weights, zero, zero, one], dim=-1).unflatten(-1, (2, 2))


def _check_inverses(batch: Batch, output: Field) -> None:
    """Refuse fields that g^-1 does not move back.

    Raises: ValueError.
    """
    for name, field in (*batch.fields.items(), ("output", output)):
        if not field.representation.is_homomorphism:
            raise ValueError(
                f"field {name!r}: {type(field.representation).__name__} is no representation, for rho(g h) and "
                "rho(g) rho(h) differ: g^-1 does not move back what g moved, and an average is not equivariant"
            )
