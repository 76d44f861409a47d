"""Networks of agents that know how a group acts on what they see and say, and can be made to keep that, or nearly."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from rapidash.groups import MatrixGroup, Representation, enumerated, permutation_action
from rapidash.relax._bank_weights import BankWeights

MakeNetwork = Callable[[int, int], nn.Module]  # numbers in, numbers out


class OpenNetwork(nn.Module, ABC):
    """A network without symmetry; a method may put the network of `shared` in its place.

    Args:
        network: the map (B, D) -> (B, K).
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Float[Tensor, "B D"]) -> Float[Tensor, "B K"]:
        """The network's numbers."""
        return self.network(x)

    @abstractmethod
    def shared(self, group: MatrixGroup, banks: int) -> nn.Module:
        """A fresh network for the same numbers that is equivariant to a group while the weights of its L banks are
        constant.

        Raises: ValueError for a group that cannot act on what goes in or comes out.
        """


class OpenQNetwork(OpenNetwork):
    """Values of discrete actions, without symmetry.

    Args:
        make: makes a network from the numbers that go in and come out.
        state: how states (B, D) transform.
        action: how numbers of actions (B, A) transform.
        state_dim, num_actions: D and A.
    """

    def __init__(
        self, make: MakeNetwork, state: Representation, action: Representation, *, state_dim: int, num_actions: int
    ) -> None:
        super().__init__(make(state_dim, num_actions))
        self.make, self.state, self.action = make, state, action
        self.state_dim, self.num_actions = state_dim, num_actions

    def shared(self, group: MatrixGroup, banks: int) -> "RelaxedQNetwork":
        """See `RelaxedQNetwork`."""

        def make(num_orbits: int) -> nn.Module:
            return self.make(self.state_dim, num_orbits)

        return RelaxedQNetwork(group, self.state, self.action, make, num_actions=self.num_actions, banks=banks)


class RelaxedQNetwork(nn.Module):
    r"""Values of discrete actions that a finite group moves: :math:`Q(s, g a_0) = \sum_l w_l(g)\, \phi_l(g^{-1} s)`.

    Every action is g a_0 in one way, with a_0 the first action of its orbit; phi_l has one output for each orbit.

    Symmetry: Q(g s, g a) = Q(s, a) where every w_l is constant, as at first (1 / L); one bank with a fixed weight is
    the strict network. With one bank that is trained, w only rescales the values of actions.

    Args:
        group: finite; it acts freely on the actions: only the identity leaves one where it is.
        state: how states transform.
        action: how numbers of the actions (B, A) transform, by permutation.
        make: makes phi_l from its number of outputs, (B, ...) -> (B, outputs).
        num_actions: A.
        banks: L, at least 1.
    Shape: states (B, ...) -> (B, A).
    Raises: ValueError for a group that is not finite, does not permute the actions, or leaves one where it is.
    Source: Park et al., "Approximate Equivariance in Reinforcement Learning", arXiv 2411.04225, with relaxed group
        convolutions as layers: this is a relaxed lifting convolution with one channel per orbit.
    """

    orbit: Tensor
    element: Tensor

    def __init__(
        self,
        group: MatrixGroup,
        state: Representation,
        action: Representation,
        make: Callable[[int], nn.Module],
        *,
        num_actions: int,
        banks: int = 4,
    ) -> None:
        super().__init__()
        elements = finite_elements(group)
        check_acts(group, action, num_actions, "the actions")
        orbit, element = _free_orbits(group, permutation_action(action, elements, (num_actions,)))
        self.group, self.state = group, state
        self.bank_weights = BankWeights(banks, len(elements))
        self.networks = nn.ModuleList(make(int(orbit.max()) + 1) for _ in range(banks))
        self.register_buffer("orbit", orbit, persistent=False)
        self.register_buffer("element", element, persistent=False)
        self.inverses = torch.linalg.inv(elements)  # no buffer: it stays in float64, which exact symmetry needs

    def forward(self, x: Float[Tensor, " B *S"]) -> Float[Tensor, "B A"]:
        """Values of every action."""
        moved = torch.cat([self.state.act(g, x) for g in self.inverses.to(x)])
        values = torch.stack([network(moved) for network in self.networks]).unflatten(1, (-1, len(x)))
        weighted = torch.einsum("lg,lgbk->bgk", self.bank_weights(), values)
        return weighted[:, self.element, self.orbit]


def finite_elements(group: MatrixGroup) -> Float[Tensor, "G n n"]:
    """All elements of a finite group. Raises: ValueError for another group."""
    elements = enumerated(group)
    if elements is None:
        raise ValueError(f"{group.name} is not finite: networks are shared over all elements of a finite group")
    return elements


def check_acts(group: MatrixGroup, representation: Representation, width: int, what: str) -> None:
    """Raises: ValueError where a finite group cannot act on rows of so many numbers."""
    for g in finite_elements(group):
        try:
            representation.act(g, torch.zeros(1, width, dtype=torch.float64))
        except (ValueError, IndexError) as error:
            raise ValueError(f"{group.name} cannot act on {what}: {error}") from error


def _free_orbits(group: MatrixGroup, action: Int[Tensor, "G A"]) -> tuple[Int[Tensor, " A"], Int[Tensor, " A"]]:
    """For every action the number of its orbit, and the element that takes the orbit's first action to it."""
    fixed = (action == torch.arange(action.shape[1])).nonzero()
    if moved := [(g, a) for g, a in fixed.tolist() if g]:
        g, a = moved[0]
        raise ValueError(
            f"element {g} of {group.name} leaves action {a} where it is, so no network of the turned state can tell "
            "its value from others: choose a subgroup that moves every action, such as the rotations alone"
        )
    first = action.amin(dim=0)
    firsts = first.unique()
    orbit = torch.searchsorted(firsts, first)
    element = (action[:, first] == torch.arange(action.shape[1])).long().argmax(dim=0)
    return orbit, element
