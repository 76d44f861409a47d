"""Canonicalization, and probabilistic symmetrization: a small equivariant network chooses the elements."""

import math
from dataclasses import dataclass
from typing import Any

from rapidash.groups import Group, Scalar, Vector, parse_matrix_group
from rapidash.methods import SymmetrizingMethod, Task
from rapidash.symmetrize._canonical import Canonical, Conditional
from rapidash.symmetrize._group_averaging import check_counts
from rapidash.symmetrize._networks import FrameNetwork
from rapidash.symmetrize._points import rotations_of


@dataclass(frozen=True)
class ChoosingMethod(SymmetrizingMethod):
    """Base of methods whose elements a `FrameNetwork` chooses, a small `rapidash.models.Rapidash` with exact symmetry.

    Elements of a group with translations take the origin to the centroid. Without them the network sees where the
    origin is, and the translations that f has are lost.

    Args:
        group: O(n), SO(n), E(n) or SE(n).
        inputs: fields that the network sees beside positions; None: all scalars and vectors of points that the task
            says a cloud must have (its ``needs``).
        channels, num_layers, edges: of the network.
    Raises: ValueError for another group, or sizes below 1.
    """

    inputs: tuple[str, ...] | None = None
    channels: int = 16
    num_layers: int = 2
    edges: str = "fc"

    def __post_init__(self) -> None:
        super().__post_init__()
        rotations_of(parse_matrix_group(self.group))
        if min(self.channels, self.num_layers) < 1:
            raise ValueError(f"sizes must be at least 1, got {self.channels=}, {self.num_layers=}")

    @property
    def sees_place(self) -> bool:
        """Without translations in the group."""
        group = parse_matrix_group(self.group)
        return not (isinstance(group, Group) and group.translations)

    def network(self, task: Task, *, noise: bool) -> FrameNetwork:
        """The network with fresh weights.

        Raises: ValueError for an input that the task does not name, or that is no scalar or vector of points.
        """
        widths: dict[type, dict[str, int]] = {Scalar: {}, Vector: {}}
        needs: dict[str, Any] = dict(getattr(task, "needs", {}))
        for name, needed in needs.items():
            kind = type(needed.field.representation)
            if needed.field.level == "point" and needed.width and kind in widths:
                widths[kind][name] = 1 if kind is Vector else needed.width
        known = sorted([*widths[Scalar], *widths[Vector]])
        if wrong := sorted(set(self.inputs or ()) - set(known)):
            raise ValueError(f"inputs {wrong} are no scalars or vectors of points that {task.name!r} needs: {known}")
        scalars, vectors = (
            {name: width for name, width in widths[kind].items() if self.inputs is None or name in self.inputs}
            for kind in (Scalar, Vector)
        )
        sizes: dict[str, Any] = {"channels": self.channels, "num_layers": self.num_layers, "edges": self.edges}
        return FrameNetwork(parse_matrix_group(self.group), scalars, vectors, noise=noise, **sizes)


@dataclass(frozen=True)
class Canonicalization(ChoosingMethod):
    """Trains and tests rho(g) f(rho(g)^-1 x) with the one element g = q(x) of an equivariant network q.

    Both networks are trained together; a step costs one pass of each.

    Args:
        group, inputs, channels, num_layers, edges: as of `ChoosingMethod`.
    Raises: as `ChoosingMethod`.
    Source: Kaba et al., "Equivariance with Learned Canonicalization Functions", ICML 2023.
    """

    def law(self, task: Task) -> Canonical:
        """A point mass."""
        return Canonical(self.network(task, noise=False), parse_matrix_group(self.group), degenerate="ignore")

    @property
    def is_exact(self) -> bool:
        """But for clouds that the network cannot orient."""
        return True

    def exception(self) -> str:
        """Clouds that a motion leaves as they are, and those in a plane."""
        return "clouds of which the network's vectors are dependent, as of flat and of symmetric ones"

    def in_words(self) -> str:
        """Which elements."""
        return f"the one element of {self.group} that an equivariant network chooses"


@dataclass(frozen=True)
class ProbabilisticSymmetrization(ChoosingMethod):
    """Trains and tests the average over elements g = q(x, z) that an equivariant network q chooses for x and noise z.

    Args:
        group, inputs, channels, num_layers, edges: as of `ChoosingMethod`.
        num: elements for each sample and step, at least 1.
        num_test: elements for each sample in evaluation.
        noise_scale: standard deviation of the noise, one vector for each point, in the unit of the positions; 0 is
            `Canonicalization` with another network.
    Raises: as `ChoosingMethod`; ValueError for fewer elements, or a negative scale.
    Source: Kim et al., "Learning Probabilistic Symmetrization for Architecture Agnostic Equivariance", NeurIPS 2023.
    """

    num: int = 8
    num_test: int = 20
    noise_scale: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_counts(self.num, self.num_test)
        if not 0 <= self.noise_scale < math.inf:
            raise ValueError(f"noise_scale must be finite and at least 0, got {self.noise_scale}")

    @property
    def counts(self) -> tuple[int, int]:
        """As said."""
        return self.num, self.num_test

    def law(self, task: Task) -> Conditional:
        """A law that moves with the sample."""
        group = parse_matrix_group(self.group)
        return Conditional(self.network(task, noise=True), group, self.noise_scale, degenerate="ignore")

    @property
    def is_exact(self) -> bool:
        """In expectation."""
        return False

    def in_words(self) -> str:
        """Which elements."""
        return (
            f"elements of {self.group} that an equivariant network chooses for the sample and noise, {self.num} in "
            f"training and {self.num_test} in the test"
        )
