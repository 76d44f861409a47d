"""Problems with planted sharing, as values: how their truth and their samples are drawn."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rapidash.data import Field
from rapidash.groups import MatrixGroup, Permutation, Permutations, Regular, Scalar, cyclic, finite_table
from rapidash.learn.sharing._problem import SharingProblem
from rapidash.learn.sharing._problems import LinearProblem, MeansProblem, PositionsProblem, sum_over_positions
from rapidash.symmetry import orbit_assignment


@dataclass(frozen=True, eq=False)
class Planted:
    """The truth of a trial: the sharing, and the true value of each weight."""

    assignment: Int[Tensor, " K"]
    weights: Float[Tensor, " K"]


class SharingCase(ABC):
    """One kind of problem; every trial plants its own truth, and draws training, validation and test data."""

    trials: ClassVar[int]  # in a run

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Of the weights: (out, in) for a map, otherwise (K,)."""

    @property
    def num_params(self) -> int:
        """Parameters of the untied function: one a weight."""
        return math.prod(self.shape)

    @abstractmethod
    def plant(self, rng: torch.Generator) -> Planted:
        """A truth."""

    @abstractmethod
    def problem(self, planted: Planted, rng: torch.Generator) -> SharingProblem:
        """Training and validation data with noise."""

    @abstractmethod
    def rows(
        self, planted: Planted, num: int, rng: torch.Generator
    ) -> tuple[Float[Tensor, "B I"], Float[Tensor, "B O"]]:
        """Inputs, and targets without noise; as many as asked for, or one where there is no more than one."""

    @abstractmethod
    def predict(self, params: Float[Tensor, " Q"], x: Float[Tensor, "B I"]) -> Float[Tensor, "B O"]:
        """The function with untied parameters."""

    @property
    def known(self) -> Mapping[MatrixGroup, Int[Tensor, " K"]]:
        """By group the sharing along its orbits; a single group at most."""
        return {}

    @property
    def fields(self) -> tuple[Field, Field]:
        """How inputs and targets move under that group."""
        return Field(Scalar(), level="cloud"), Field(Scalar(), level="cloud")


@dataclass(frozen=True)
class Means(SharingCase):
    """K means of Gaussians of unit variance, of r values that are 3 apart: 30 training and 70 validation samples."""

    num: int
    clusters: int
    trials = 100

    @property
    def shape(self) -> tuple[int, ...]:
        """(K,)."""
        return (self.num,)

    def plant(self, rng: torch.Generator) -> Planted:
        """Clusters of even sizes, in random order."""
        assignment = (torch.arange(self.num) % self.clusters)[torch.randperm(self.num, generator=rng)]
        return Planted(assignment, 3.0 * assignment.double())

    def problem(self, planted: Planted, rng: torch.Generator) -> SharingProblem:
        """100 samples."""
        x = planted.weights + torch.randn(100, self.num, generator=rng, dtype=torch.float64)
        return MeansProblem(x[:30], x[30:])

    def rows(
        self, planted: Planted, num: int, rng: torch.Generator
    ) -> tuple[Float[Tensor, "B I"], Float[Tensor, "B O"]]:
        """One row: a sample, at which the function does not look, and the means."""
        noise = torch.randn(1, self.num, generator=rng, dtype=torch.float64)
        return planted.weights + noise, planted.weights[None]

    def predict(self, params: Float[Tensor, " Q"], x: Float[Tensor, "B I"]) -> Float[Tensor, "B O"]:
        """The means."""
        return params.expand(len(x), -1)


@dataclass(frozen=True)
class Ring(SharingCase):
    """Linear maps of signals on a ring of n places with noise 0.5, 50 training and 50 validation samples.

    The map is a circular convolution of n different weights 1 apart, or, not ``shared``, n^2 different weights.
    """

    size: int
    shared: bool = True
    trials = 20

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, n)."""
        return (self.size, self.size)

    @property
    def known(self) -> Mapping[MatrixGroup, Int[Tensor, " K"]]:
        """The rotations of the ring."""
        places = torch.arange(self.size)
        turns = (places + places[:, None]) % self.size
        return {cyclic(self.size): orbit_assignment(turns, turns).flatten()}

    @property
    def fields(self) -> tuple[Field, Field]:
        """Signals on the ring."""
        on_ring = Field(Regular(finite_table(cyclic(self.size))), level="cloud")
        return on_ring, on_ring

    def plant(self, rng: torch.Generator) -> Planted:
        """The weights in random order."""
        (orbits,) = self.known.values()
        assignment = orbits if self.shared else torch.arange(self.size**2)
        values = torch.arange(int(assignment.max()) + 1).double()
        values = (values - values.mean())[torch.randperm(len(values), generator=rng)]
        return Planted(assignment, values[assignment])

    def problem(self, planted: Planted, rng: torch.Generator) -> SharingProblem:
        """Samples with noise."""
        x, y = self.rows(planted, 100, rng)
        y = y + 0.5 * torch.randn(y.shape, generator=rng, dtype=torch.float64)
        return LinearProblem(x[:50], y[:50], x[50:], y[50:])

    def rows(
        self, planted: Planted, num: int, rng: torch.Generator
    ) -> tuple[Float[Tensor, "B I"], Float[Tensor, "B O"]]:
        """Normal signals and their images."""
        x = torch.randn(num, self.size, generator=rng, dtype=torch.float64)
        return x, self.predict(planted.weights, x)

    def predict(self, params: Float[Tensor, " Q"], x: Float[Tensor, "B I"]) -> Float[Tensor, "B O"]:
        """The images."""
        return x @ params.reshape(self.size, self.size).T


@dataclass(frozen=True)
class Sum(SharingCase):
    """The sum of 4 digits from 0 to 4, or of two digits less two others, standardized.

    The network has a table of width 3 for each position. 50 training and 75 validation samples have uniform noise of
    -1/2 to 1/2 in units of a digit.
    """

    alternating: bool = False
    trials = 2
    hidden: ClassVar[int] = 3

    @property
    def shape(self) -> tuple[int, ...]:
        """(4,): a table for each position."""
        return (4,)

    @property
    def num_params(self) -> int:
        """Those of four tables, the output and the bias."""
        return 4 * 5 * self.hidden + self.hidden + 1

    @property
    def known(self) -> Mapping[MatrixGroup, Int[Tensor, " K"]]:
        """All permutations of the positions, which an alternating sum does not have."""
        return {} if self.alternating else {Permutations(4): torch.zeros(4, dtype=torch.long)}

    @property
    def fields(self) -> tuple[Field, Field]:
        """Digits move with their positions, and a sum does not change."""
        return Field(Scalar() if self.alternating else Permutation(-1), level="cloud"), Field(Scalar(), level="cloud")

    def plant(self, rng: torch.Generator) -> Planted:
        """One cluster, or two of two positions in random order."""
        signs = torch.tensor([1, -1, 1, -1] if self.alternating else [1, 1, 1, 1])[torch.randperm(4, generator=rng)]
        return Planted((signs < 0).long(), signs.double())

    def problem(self, planted: Planted, rng: torch.Generator) -> SharingProblem:
        """Samples with noise."""
        x, y = self.rows(planted, 125, rng)
        noisy = y[:, 0] + (torch.rand(125, generator=rng, dtype=torch.float64) - 0.5) / 8**0.5
        digits = x.long()
        return PositionsProblem(
            digits[:50], noisy[:50], digits[50:], noisy[50:], num_symbols=5, hidden=self.hidden, ridge=1e-3
        )

    def rows(
        self, planted: Planted, num: int, rng: torch.Generator
    ) -> tuple[Float[Tensor, "B I"], Float[Tensor, "B O"]]:
        """Digits and their sum, of mean 0 and variance 1: that of four digits is 8."""
        digits = torch.randint(5, (num, 4), generator=rng).double()
        return digits, ((digits - 2) @ planted.weights / 8**0.5)[:, None]

    def predict(self, params: Float[Tensor, " Q"], x: Float[Tensor, "B I"]) -> Float[Tensor, "B O"]:
        """The network's sum."""
        return sum_over_positions(params, x.long(), self.hidden)[:, None]


CASES: dict[str, SharingCase] = {
    "5 means, 1 value": Means(5, 1),
    "6 means, 3 values": Means(6, 3),
    "6 means, 6 values": Means(6, 6),
    "ring": Ring(3),
    "ring, nothing shared": Ring(3, shared=False),
    "sum": Sum(),
    "alternating sum": Sum(alternating=True),
}
