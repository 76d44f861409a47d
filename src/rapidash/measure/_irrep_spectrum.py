"""How much of each layer's output lies in each irreducible representation of rotations, and in each parity."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rapidash._seed import seeded
from rapidash.groups import SO, Group, O, Representation, inverse, motion, rotation_rule
from rapidash.measure._action import Action
from rapidash.measure._guard import measuring
from rapidash.measure._layerwise import OTHERS, Hidden, declared_outputs, is_declared
from rapidash.measure._norms import wide
from rapidash.measure._report import Report
from rapidash.measure._trace import leaves, recording

_NONE = 1e-9  # share below which a representation has none of an irrep


@dataclass(frozen=True)
class IrrepSpectrum:
    """Shares of the squared norm of each layer's output, as a function of the element that moves the input.

    Args:
        layers: name and class of the module of every call, in order; the last is the output of the whole.
        irreps: their names: "0e", "0o", "1e", ... with parity, "0", "1", ... without.
        shares: (L, R) of each irrep; with ``rest`` they add up to 1. NaN for an output that is zero.
        rest: (L,) the share of all irreps of a larger degree.
        sizes: (L,) root mean square over components and elements, in the unit of the layer's output.
        outside: (L,) the share of irreps that the declared representation does not have; NaN where none is declared.
        breaking: (L,) the share that is not rho(g) y for any y, so all that breaks the declared representation rho; NaN
            where none is declared, or it changes norms.
        degree: of the quadrature; the shares are those of the layer if it is a polynomial in g of at most
            ``degree - max_degree``.
        max_degree: the largest degree l of an irrep.
        num_elements: at which the network was evaluated.
        group: "SO(3)" or "O(3)".
    """

    layers: tuple[tuple[str, str], ...]
    irreps: tuple[str, ...]
    shares: Float[Tensor, "L R"] = field(repr=False)
    rest: Float[Tensor, " L"] = field(repr=False)
    sizes: Float[Tensor, " L"] = field(repr=False)
    outside: Float[Tensor, " L"] = field(repr=False)
    breaking: Float[Tensor, " L"] = field(repr=False)
    degree: int
    max_degree: int
    num_elements: int
    group: str

    def report(self, **notes: Any) -> Report:
        """One row for each layer; what is NaN is left out.

        Args:
            notes: more metadata.
        """
        rows: list[dict[str, Any]] = []
        for index, (name, kind) in enumerate(self.layers):
            values = {
                **dict(zip(self.irreps, self.shares[index].tolist())),
                "rest": float(self.rest[index]),
                "outside": float(self.outside[index]),
                "breaking": float(self.breaking[index]),
            }
            known = {key: None if value != value else value for key, value in values.items()}
            rows.append({"layer": name, "class": kind, "size": float(self.sizes[index]), **known})
        metadata = {
            "group": self.group,
            "exact to degree": self.degree - self.max_degree,
            "elements": self.num_elements,
            "rest": f"degrees above {self.max_degree}",
        }
        return Report("irreps of each layer's output", tuple(rows), {**metadata, **notes})


def irrep_spectrum(
    model: nn.Module,
    x: Any,
    action: Action,
    hidden: Representation | Hidden | None = None,
    *,
    degree: int = 6,
    max_degree: int | None = None,
    layers: Sequence[str] | None = None,
) -> IrrepSpectrum:
    r"""Decompose what each layer says of a turned input, F(g) = h(g x), into irreducible representations.

    As a function of g, F is a sum of parts :math:`F_l(g) = (2 l + 1) \int \chi_l(g s^{-1}) F(s)\, ds`, with
    the characters :math:`\chi_l`, orthogonal to each other; with reflections each has an even and an odd part under
    -1. A share is :math:`\|F_l\|^2 / \|F\|^2`, norms over the group, all components and samples. An invariant layer is
    all "0e"; a vector that turns with the input is all "1o", a pseudoscalar "0o".

    Where the layer declares a representation rho, it breaks by the share outside of the irreps of rho at least; in all
    by :math:`1 - \|\bar y\|^2 / \|F\|^2` with the mean :math:`\bar y = \int \rho(g)^{-1} F(g)\, dg`, the distance from
    the nearest :math:`\rho(g) y`; it is exact where the degrees of F and rho add up to at most ``degree``.

    The integrals are sums over `rapidash.groups.rotation_rule`, with -1 too for O(3): exact if F is a polynomial in g
    of at most ``degree - max_degree``. Networks are none: compare two degrees. Shares and rest add up to 1 in any case.

    Args:
        model: in eval mode; it is left as it was. Modules that return anything else than real tensors are not watched.
        x: the input, as for `layerwise_equivariance_error`. Points and edges must keep their order and number when it
            turns.
        action: SO(3) or O(3), with or without translations, which do not move here; and the representations of the
            network's input and output.
        hidden: how outputs of layers transform, as for `layerwise_equivariance_error`; a module that it does not name
            has shares and no breaking. None: the whole output alone is declared.
        degree: of the quadrature, 0 to 131. It costs about (degree + 2)^3 / 3 evaluations, twice as many for O(3).
        max_degree: of an irrep, at most half of ``degree``; None: half of it, rounded down.
        layers: names of the modules to watch; None: those that ``hidden`` names, and else all without children. Of each
            number that they return all coefficients are kept, (degree + 1)^3 / 6 numbers, twice as many for O(3).
    Raises: ValueError for another group, degrees outside the above, a layer that is no module of the network, a layer
        whose output changes its shape, or whose number of calls changes, when the input turns; and as `Action.call`.
    Source: the projections of Serre, "Linear Representations of Finite Groups", for a compact group. The question is
        that of metatomic's symmetrized models; see arXiv 2603.24638.
    """
    reflections = _reflections(action)
    top = degree // 2 if max_degree is None else max_degree
    if not 0 <= top <= degree / 2:
        raise ValueError(f"max_degree must be from 0 to half of degree={degree}, got {max_degree}")
    if not isinstance(model, nn.Module):
        raise ValueError(f"the layers of a {type(model).__name__} cannot be watched: wrap it with as_module")
    rotations, weights = rotation_rule(3, degree)
    basis = irrep_basis(rotations, weights, top)
    declared: Hidden = {} if hidden is None else {OTHERS: hidden} if isinstance(hidden, Representation) else hidden
    modules = leaves(model, lambda name, module: is_declared(name, module, declared))
    if layers is not None:
        known = dict(model.named_modules())
        if missing := [name for name in layers if name not in known]:
            raise ValueError(f"layers: the network has no modules {missing}, but {list(known)[1:]}")
        modules = {name: known[name] for name in layers}
    signs = (1.0, -1.0) if reflections else (1.0,)
    watched: list[_Layer] = []
    with measuring(model):
        for index, rotation in enumerate(rotations):
            elements = [motion(sign * rotation, torch.zeros(3, dtype=torch.float64)) for sign in signs]
            seen = [_outputs(model, action.transform(g, x), action, modules, declared) for g in elements]
            watched = watched or [_Layer(one, torch.cat(basis, dim=1), weights) for one in seen[0]]
            for outputs in seen:
                _check_alike(watched, outputs)
            for layer, *outputs in zip(watched, *seen):
                layer.add(index, elements, [one.value for one in outputs])
    found = [layer.shares() for layer in watched]
    outside, breaking = zip(*(layer.breaking() for layer in watched))
    letters = ("e", "o") if reflections else ("",)
    return IrrepSpectrum(
        tuple((layer.name, layer.kind) for layer in watched),
        tuple(f"{number}{letter}" for number in range(top + 1) for letter in letters),
        torch.stack([shares.T.flatten() for shares, _ in found]),
        torch.tensor([rest for _, rest in found], dtype=torch.float64),
        torch.tensor([layer.size for layer in watched], dtype=torch.float64),
        torch.tensor(outside, dtype=torch.float64),
        torch.tensor(breaking, dtype=torch.float64),
        degree,
        top,
        len(rotations) * len(signs),
        "O(3)" if reflections else "SO(3)",
    )


def irrep_basis(
    rotations: Float[Tensor, "K 3 3"], weights: Float[Tensor, " K"], max_degree: int
) -> list[Float[Tensor, "K M"]]:
    """For each degree l from 0 on the span of the entries of D^l at the nodes, times the roots of the weights.

    They are M = (2 l + 1)^2 orthonormal columns: the eigenvectors, with the eigenvalue 1, of the projection
    (2 l + 1) sqrt(w_i w_j) chi_l(g_i g_j^-1).

    Args:
        rotations, weights: of a rule that is exact to twice the degree.
        max_degree: the last l.
    """
    cosines = (torch.einsum("iab,jab->ij", rotations, rotations) - 1) / 2
    angles = cosines.clamp(-1, 1).acos()
    root = weights.sqrt()
    found, character = [], torch.ones_like(angles)
    for degree in range(max_degree + 1):
        if degree:
            character = character + 2 * (degree * angles).cos()
        projection = (2 * degree + 1) * root[:, None] * root * character
        found.append(torch.linalg.eigh(projection).eigenvectors[:, -((2 * degree + 1) ** 2) :])
    return found


class _Output(NamedTuple):
    """The output of a call, in float64, and how it is declared to move."""

    name: str
    kind: str
    value: Tensor
    moves_as: Representation | None


class _Layer:
    """The coefficients of the output of one call, to which every element adds.

    Args:
        first: the output at the first element, for its shape.
        basis: (K, M) columns of all degrees, see `irrep_basis`.
        weights: (K,) of the rule.
    """

    def __init__(self, first: _Output, basis: Tensor, weights: Tensor) -> None:
        self.name, self.kind, self.moves_as, self.shape = first.name, first.kind, first.moves_as, first.value.shape
        self.basis, self.weights = basis, weights
        self.total, self.changes_norm = 0.0, False
        self.coefficients: list[Tensor] = []  # of each parity (M, F)
        self.mean = torch.zeros(self.shape, dtype=torch.float64)
        rows = self.shape[:1] and (1, *self.shape[1:])
        self.example = torch.randn(rows, generator=seeded("irrep spectrum"), dtype=torch.float64)
        self.examples: list[list[Tensor]] = []

    def add(self, index: int, elements: Sequence[Tensor], values: Sequence[Tensor]) -> None:
        """Add the outputs at one rotation, and at the same behind -1 if there are two."""
        weight, parts = float(self.weights[index]), _parities(values)
        row = self.basis[index] * weight**0.5
        if not self.coefficients:
            self.coefficients = [torch.zeros(len(row), part.numel(), dtype=torch.float64) for part in parts]
        for sums, part in zip(self.coefficients, parts):
            self.total += weight * float(part.square().sum())
            sums.addr_(row, part.flatten())
        if self.moves_as is None:
            return
        moved = [self.moves_as.act(g, self.example) for g in elements]
        self.changes_norm |= any(abs(float(one.norm() / self.example.norm()) - 1) > 1e-6 for one in moved)
        self.examples.append(_parities(moved))
        for g, value in zip(elements, values):
            self.mean += weight / len(values) * self.moves_as.act(inverse(g), value)

    @property
    def size(self) -> float:
        """Root mean square over components and elements."""
        return (self.total / max(1, self.mean.numel())) ** 0.5

    def shares(self) -> tuple[Tensor, float]:
        """Of each parity and degree, and the rest; NaN where the output is zero."""
        powers = torch.stack([self._by_degree(sums) for sums in self.coefficients])
        total = self.total or math.nan
        return powers / total, max(0.0, 1 - float(powers.sum()) / total) if self.total else math.nan

    def breaking(self) -> tuple[float, float]:
        """The share outside of the irreps of the declared representation, and all that is not rho(g) y."""
        if self.moves_as is None or not self.total:
            return math.nan, math.nan
        shares, rest = self.shares()
        has, has_more = self._irreps()
        outside = float(shares[~has].sum()) + (0.0 if has_more else rest)
        kept = float(self.mean.square().sum()) / self.total
        return outside, math.nan if self.changes_norm else max(0.0, 1 - kept)

    def _irreps(self) -> tuple[Tensor, bool]:
        """Which of each parity and degree the declared representation has, and whether it has a larger degree.

        They are those of g -> rho(g) y for a random row y.
        """
        root = self.weights.sqrt()[:, None]
        orbits = [root * torch.stack([part.flatten() for part in each]) for each in zip(*self.examples)]
        powers = torch.stack([self._by_degree(self.basis.T @ orbit) for orbit in orbits])
        found = powers / sum(float(orbit.square().sum()) for orbit in orbits)
        return found > _NONE, 1 - float(found.sum()) > _NONE

    def _by_degree(self, coefficients: Float[Tensor, "M F"]) -> Float[Tensor, " R"]:
        """The sum of squares of the (2 l + 1)^2 coefficients of each l."""
        powers, ends = coefficients.square().sum(dim=1), [0]
        while ends[-1] < len(powers):
            ends.append(ends[-1] + (2 * len(ends) - 1) ** 2)
        return torch.stack([powers[first:last].sum() for first, last in pairwise(ends)])


def _parities(values: Sequence[Tensor]) -> list[Tensor]:
    """The outputs at R and -R as an even and an odd part; a single one as it is."""
    if len(values) == 1:
        return list(values)
    return [(values[0] + values[1]) / 2, (values[0] - values[1]) / 2]


def _reflections(action: Action) -> bool:
    """Whether the group has reflections. Raises: ValueError for another one than rotations of space."""
    group = action.group
    fixed = group.without_translations() if isinstance(group, Group) else group
    for known in (SO(3), O(3)):
        if fixed == known:
            return fixed == O(3)
    raise ValueError(f"irreps are those of SO(3) and O(3), got {group.name}: give one of them, or SE(3) or E(3)")


def _outputs(
    model: nn.Module, x: Any, action: Action, modules: Mapping[str, nn.Module], hidden: Hidden
) -> list[_Output]:
    """The outputs of all calls in order, and of the whole."""
    with recording(dict(modules)) as calls:
        whole = action.call(model, x)
    found = []
    for call in calls:
        for number, (value, representation) in enumerate(declared_outputs(call, hidden)):
            name = f"{call.name} ({number + 1})" if number else call.name
            found.append(_Output(name, type(call.module).__name__, wide(value).cpu(), representation))
    for name, value in whole.items():
        representation = action.output_fields[name].representation
        found.append(_Output(name, type(model).__name__, wide(value.detach()).cpu(), representation))
    return found


def _check_alike(layers: Sequence[_Layer], outputs: Sequence[_Output]) -> None:
    """Raises: ValueError where a turn of the input changes the calls, or the shape of an output."""
    if [layer.name for layer in layers] != [one.name for one in outputs]:
        raise ValueError("the layers that are called change when the input turns: name others in `hidden`")
    for layer, one in zip(layers, outputs):
        if layer.shape != one.value.shape:
            raise ValueError(
                f"the output of {one.name!r} has shape {tuple(layer.shape)}, and {tuple(one.value.shape)} when the "
                "input turns: edges that come and go have no spectrum, name the layers around it in `hidden`"
            )
        if not bool(one.value.isfinite().all()):
            raise ValueError(f"the output of {one.name!r} is not finite: check the input before measuring symmetry")
