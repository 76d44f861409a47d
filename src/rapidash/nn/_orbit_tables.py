"""One table of weights for every orbit of a subgroup, and ties that make one of several again."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from jaxtyping import Int, Shaped
from torch import Tensor, nn


class Tables(nn.Module, ABC):
    """Tables of weights, one for every orbit of X things: what a layer of a subgroup asks of them.

    Attributes:
        orbits: for each thing the number of its orbit.
    """

    orbits: Tensor

    @abstractmethod
    def forward(self) -> tuple[Tensor, Tensor]:
        """Tables (L, ...), and the number of each thing's."""

    @abstractmethod
    def expanded(self) -> Tensor:
        """The tables (K, ...) of all orbits."""

    @abstractmethod
    def labels(self) -> Int[Tensor, " X"]:
        """For each thing a number, equal where things have the same table, whatever its weights."""

    @abstractmethod
    def rescale(self, factor: Tensor) -> None:
        """Multiply all tables."""

    @property
    def num_unused(self) -> int:
        """Parameters that make no difference to the output."""
        return 0

    def of_things(self) -> Tensor:
        """The table of each thing, (X, ...)."""
        tables, orbits = self()
        return tables[orbits]


class OrbitTables(Tables):
    """One table of weights for every orbit of X things, such as orientations under a subgroup.

    Tables can be tied: those of one label are then replaced by their mean. Tied copies of one table have the same
    gradient, and an optimizer that acts on each weight alone keeps them equal; so untying them changes no output.

    Args:
        weight: the tables (K, ...), copied.
        orbits: for each of X things the number of its table, each of 0 .. K - 1 at least once.
        can_tie: whether the ties belong to the state of the module, so that a saved one has them.
    Raises: ValueError for orbits that do not fit the tables.
    """

    ties: Tensor

    def __init__(
        self, weight: Shaped[Tensor, " K *shape"], orbits: Int[Tensor, " X"], *, can_tie: bool = False
    ) -> None:
        super().__init__()
        if not torch.equal(orbits.unique().cpu(), torch.arange(len(weight))):
            raise ValueError(f"orbits must name each of {len(weight)} tables, got {orbits.tolist()}")
        self.weight = nn.Parameter(weight.detach().clone())
        self.can_tie = can_tie
        self.register_buffer("orbits", orbits.clone(), persistent=False)
        self.register_buffer("ties", torch.arange(len(weight), device=orbits.device), persistent=can_tie)
        self.num_tied = len(weight)
        self.register_load_state_dict_post_hook(_count_ties)

    def tie(self, labels: Int[Tensor, " X"]) -> None:
        """Tie all tables whose things share a label, each now the mean of those that were distinct.

        Raises: ValueError for labels that divide an orbit.
        """
        found = labels.unique(return_inverse=True)[1].to(self.orbits)
        ties = torch.stack([found[self.orbits == table][0] for table in range(len(self.weight))])
        if not torch.equal(ties[self.orbits], found):
            raise ValueError("labels divide an orbit: two things that share a table must share a label")
        with torch.no_grad():
            self.weight.copy_(self.expanded())
        self.ties.copy_(ties)
        self.num_tied = int(ties.max()) + 1

    def draw(self, fan_in: int) -> None:
        """Fresh weights for each table, from torch's global generator with the variance of `torch.nn.Linear`'s."""
        nn.init.uniform_(self.weight, -(fan_in**-0.5), fan_in**-0.5)

    def forward(self) -> tuple[Tensor, Tensor]:
        """The distinct tables (L, ...), and the number of each thing's."""
        if self.num_tied == len(self.weight):
            return self.weight, self.orbits
        sums = self.weight.new_zeros(self.num_tied, *self.weight.shape[1:]).index_add(0, self.ties, self.weight)
        counts = torch.bincount(self.ties, minlength=self.num_tied).to(sums)
        return sums / counts.reshape(-1, *[1] * (sums.dim() - 1)), self.labels()

    def expanded(self) -> Tensor:
        """The tables (K, ...) with ties: equal where they are tied."""
        tables, _ = self()
        return tables if self.num_tied == len(self.weight) else tables[self.ties]

    def labels(self) -> Int[Tensor, " X"]:
        """For each thing the number of its table, equal for those that are tied."""
        return self.orbits if self.num_tied == len(self.weight) else self.ties[self.orbits]

    @torch.no_grad()
    def rescale(self, factor: Tensor) -> None:
        """Multiply all tables."""
        self.weight.mul_(factor)

    @property
    def num_unused(self) -> int:
        """Of tables that are tied all but one."""
        return (len(self.weight) - self.num_tied) * self.weight[0].numel()


def _count_ties(module: nn.Module, _: Any) -> None:
    """Loaded ties say how many tables are distinct."""
    assert isinstance(module, OrbitTables)
    module.num_tied = int(module.ties.max()) + 1


def used_parameters(model: nn.Module) -> int:
    """The parameters of a model without those that make no difference to its output, such as copies that are tied.

    A model that predicts with a part of itself says their number itself, as ``num_parameters``.
    """
    own = getattr(model, "num_parameters", None)
    if isinstance(own, int):
        return own
    unused = sum(part.num_unused for part in model.modules() if isinstance(part, Tables))
    return sum(parameter.numel() for parameter in model.parameters()) - unused


def untied(kernel: nn.Module | Tensor, labels: Int[Tensor, " X"], can_tie: bool) -> OrbitTables:
    """Tables for every label, copies of those of a kernel: of its one weight, or of its tables.

    Raises: ValueError for a label of things whose tables differ.
    """
    labels = labels.unique(return_inverse=True)[1]
    if not isinstance(kernel, Tables):
        weight = kernel if isinstance(kernel, Tensor) else kernel.get_parameter("weight")
        return OrbitTables(
            weight.expand(int(labels.max()) + 1, *weight.shape), labels.to(weight.device), can_tie=can_tie
        )
    labels, every = labels.to(kernel.orbits), kernel.of_things()
    if not torch.equal(every[first_of_each(labels)][labels], every):
        raise ValueError("an orbit joins tables that differ: name a subgroup of the one that the layer has")
    return OrbitTables(every[first_of_each(labels)], labels, can_tie=can_tie)


def first_of_each(labels: Int[Tensor, " X"]) -> Int[Tensor, " K"]:
    """The first thing with each label."""
    labels = labels.flatten().unique(return_inverse=True)[1]
    return torch.stack([(labels == label).nonzero()[0, 0] for label in range(int(labels.max()) + 1)])
