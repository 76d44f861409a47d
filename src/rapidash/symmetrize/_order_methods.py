"""Methods that put the nodes of a graph into an order, or average over orders: any network becomes one of graphs."""

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from rapidash.data import Batch
from rapidash.groups import PairPermutation, Permutations, parse_matrix_group
from rapidash.methods import SymmetrizingMethod, Task
from rapidash.models import GraphNetwork
from rapidash.symmetrize._canonical import NOISE, Conditional
from rapidash.symmetrize._orders import LaplacianOrder, OrderProjection
from rapidash.symmetry import GroupDistribution, Haar


class OrderScores(nn.Module):
    """A score for each node from a `GraphNetwork`, which sees a number of noise for each node where there is one.

    The number is the diagonal entry of the field of noise, which `with_noise` gives pairs of nodes.

    Args:
        field: the adjacency matrices (B, N, N).
        channels, num_layers: of the network.
    """

    def __init__(self, field: str, channels: int, num_layers: int) -> None:
        super().__init__()
        self.field = field
        self.network = GraphNetwork(1, channels, num_layers, 1, "node")

    def forward(self, batch: Batch) -> Float[Tensor, "B N"]:
        """The scores."""
        adjacency = batch[self.field]
        noise = (
            batch[NOISE].diagonal(dim1=1, dim2=2) if NOISE in batch.fields else adjacency.new_zeros(adjacency.shape[:2])
        )
        out: Tensor = self.network(adjacency, noise[..., None])
        return out.squeeze(-1)


@dataclass(frozen=True)
class OrderMethod(SymmetrizingMethod):
    """The shared parts of methods that put nodes in order.

    Args:
        group: name of the group, ``"S(12)"`` for graphs of 12 nodes.
        num_samples: orders of each graph in training.
        test_samples: orders of each graph in validation and test.
    Raises: ValueError for another group or numbers below 1; in use for a task that another group moves, or without a
        field of pairs.
    """

    num_samples: int = 8
    test_samples: int = 16

    how: ClassVar[str]  # in the ledger

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(parse_matrix_group(self.group), Permutations):
            raise ValueError(f"group must be one of permutations such as 'S(12)', got {self.group!r}")
        if self.num_samples < 1 or self.test_samples < 1:
            raise ValueError(
                f"num_samples and test_samples must be at least 1, got {self.num_samples} and {self.test_samples}"
            )

    @property
    def counts(self) -> tuple[int, int]:
        """Orders in training and in evaluation."""
        return self.num_samples, self.test_samples

    @property
    def is_exact(self) -> bool:
        """No: orders are drawn, and so are ties."""
        return False

    def in_words(self) -> str:
        """Which orders."""
        return self.how

    def law(self, task: Task) -> GroupDistribution:
        """The law of the orders of the nodes, with fresh weights where it is learned."""
        group = parse_matrix_group(self.group)
        assert isinstance(group, Permutations)
        moves = getattr(task, "moves", None)
        if moves != group:
            name = getattr(moves, "name", moves)
            raise ValueError(f"{self.kind} orders by {group.name}, and the data of task {task.name!r} move by {name}")
        return self.order_law(group, pairs_of(task))

    @abstractmethod
    def order_law(self, group: Permutations, field: str) -> GroupDistribution:
        """The law of the orders of N nodes, whose field of pairs has this name."""


@dataclass(frozen=True)
class HaarOrder(OrderMethod):
    """Averages over uniformly random orders: group averaging on S(N)."""

    how: ClassVar[str] = "random orders"

    def order_law(self, group: Permutations, field: str) -> GroupDistribution:
        """Uniform on S(N)."""
        return Haar(group)


@dataclass(frozen=True)
class LaplacianFrames(OrderMethod):
    """Averages over orders by eigenvectors of the Laplacian, ties at random: frame averaging by `LaplacianOrder`."""

    how: ClassVar[str] = "orders by eigenvectors, ties at random"

    def order_law(self, group: Permutations, field: str) -> GroupDistribution:
        """The frames."""
        return LaplacianOrder(group, field)


@dataclass(frozen=True)
class CanonicalOrder(OrderMethod):
    """Sorts the nodes by scores of a message-passing network: canonicalization.

    Nodes that an automorphism exchanges have equal scores, and so have those that color refinement cannot tell apart;
    noise of 1e-6 orders them at random, anew at every step. By default one order is drawn, as a canonical form is one.

    Args:
        entropy_weight: of `permutation_entropy`, the penalty of the law, at least 0.
        temperature: of `soft_sort`, which passes the gradient.
        channels, num_layers: of the network of the scores.
    Source: Kaba et al., "Equivariance with Learned Canonicalization Functions", ICML 2023.
    """

    num_samples: int = 1
    test_samples: int = 1
    entropy_weight: float = 0.1
    temperature: float = 0.01
    channels: int = 32
    num_layers: int = 4

    how: ClassVar[str] = "an order by scores of the nodes, ties at random"

    def __post_init__(self) -> None:
        super().__post_init__()
        OrderProjection(self.temperature)
        if not 0 <= self.entropy_weight < math.inf or self.channels < 1 or self.num_layers < 1:
            raise ValueError(
                "entropy_weight must be finite and at least 0, channels and num_layers at least 1, got "
                f"{self.entropy_weight}, {self.channels} and {self.num_layers}"
            )

    def order_law(self, group: Permutations, field: str) -> GroupDistribution:
        """A point mass, but for ties."""
        return Conditional(*self._parts(group, field), noise_scale=0.0, **self._options())

    def _parts(self, group: Permutations, field: str) -> tuple[nn.Module, Permutations]:
        return OrderScores(field, self.channels, self.num_layers), group

    def _options(self) -> dict[str, Any]:
        projection = OrderProjection(self.temperature)
        return {"projection": projection, "prior_weight": self.entropy_weight, "degenerate": "ignore"}


@dataclass(frozen=True)
class ProbabilisticOrder(CanonicalOrder):
    """Sorts the nodes by scores that depend on fresh noise, and averages: probabilistic symmetrization.

    The noise, one number for each node, tells nodes apart that an automorphism exchanges; with ``noise_scale=0`` and
    one sample it is `CanonicalOrder`.

    Args:
        noise_scale: standard deviation of the noise, at least 0.
    Source: Kim et al., "Learning Probabilistic Symmetrization for Architecture Agnostic Equivariance", NeurIPS 2023.
    """

    num_samples: int = 8
    test_samples: int = 16
    noise_scale: float = 1.0

    how: ClassVar[str] = "orders by scores of the nodes and noise"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.noise_scale < math.inf:
            raise ValueError(f"noise_scale must be finite and at least 0, got {self.noise_scale}")

    def order_law(self, group: Permutations, field: str) -> GroupDistribution:
        """The law with noise."""
        return Conditional(*self._parts(group, field), noise_scale=self.noise_scale, **self._options())


def pairs_of(task: Task) -> str:
    """The name of the field of adjacency matrices.

    Raises: ValueError for a task with none of them, or several.
    """
    fields = task.dataset("val").fields
    found = [name for name, field in fields.items() if field.representation == PairPermutation()]
    if len(found) != 1:
        raise ValueError(f"an order needs one field of pairs of nodes, the task {task.name!r} has {sorted(found)}")
    return found[0]
