"""Multilayer perceptrons between representations of a finite group, made of relaxed group convolutions."""

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rapidash.groups import MatrixGroup, Representation
from rapidash.relax._relaxed_group_conv import RelaxedGroupConv
from rapidash.relax.rl._networks import MakeNetwork, OpenNetwork, check_acts, finite_elements


class OpenMLP(OpenNetwork):
    """A network between numbers that a group could move, without symmetry.

    Args:
        make: makes a network from the numbers that go in and come out.
        inputs, outputs: representation and width of what goes in and comes out.
        hidden_dim, num_layers: of the network of `shared`.
    """

    def __init__(
        self,
        make: MakeNetwork,
        inputs: tuple[Representation, int],
        outputs: tuple[Representation, int],
        *,
        hidden_dim: int,
        num_layers: int,
    ) -> None:
        super().__init__(make(inputs[1], outputs[1]))
        self.inputs, self.outputs, self.hidden_dim, self.num_layers = inputs, outputs, hidden_dim, num_layers

    def shared(self, group: MatrixGroup, banks: int) -> "RelaxedMLP":
        """See `RelaxedMLP`; as wide as this network, channels times elements."""
        channels = max(1, self.hidden_dim // len(finite_elements(group)))
        return RelaxedMLP(group, self.inputs, self.outputs, channels=channels, num_layers=self.num_layers, banks=banks)


class RelaxedMLP(nn.Module):
    r"""A multilayer perceptron on functions on a finite group, :math:`y = \tfrac{1}{G} \sum_h \rho_{out}(h)\, f(h)`.

    The input is lifted to the function :math:`g \mapsto \rho_{in}(g^{-1}) x`; between are relaxed group convolutions
    with normalization over channels and elements, and SiLU; f is the last convolution.

    Symmetry: f(rho_in(g) x) = rho_out(g) f(x) where the weights of all banks are constant, as at first.
    Args:
        group: finite.
        inputs, outputs: representation and width of what goes in and comes out.
        channels: of the hidden functions, at least 1.
        num_layers: hidden layers, at least 0.
        banks: L, at least 1.
    Shape: x (B, D) -> (B, K).
    Raises: ValueError for a group that is not finite or cannot act, or sizes outside the above.
    """

    def __init__(
        self,
        group: MatrixGroup,
        inputs: tuple[Representation, int],
        outputs: tuple[Representation, int],
        *,
        channels: int,
        num_layers: int,
        banks: int = 4,
    ) -> None:
        super().__init__()
        elements = finite_elements(group)
        check_acts(group, *inputs, "the input")
        check_acts(group, *outputs, "the output")
        self.group, self.inputs, self.outputs = group, inputs, outputs
        widths = [inputs[1], *[channels] * num_layers]
        hidden = [
            part
            for a, b in pairwise(widths)
            for part in (RelaxedGroupConv(group, a, b, banks=banks), nn.GroupNorm(1, b), nn.SiLU())
        ]
        self.body = nn.Sequential(*hidden, RelaxedGroupConv(group, widths[-1], outputs[1], banks=banks))
        self.elements, self.inverses = elements, torch.linalg.inv(elements)  # no buffers: they stay in float64

    def forward(self, x: Float[Tensor, "B D"]) -> Float[Tensor, "B K"]:
        """See the class."""
        lifted = torch.stack([self.inputs[0].act(g, x) for g in self.inverses.to(x)], dim=2)
        found = self.body(lifted)
        parts = [self.outputs[0].act(g, found[:, :, index]) for index, g in enumerate(self.elements.to(x))]
        return torch.stack(parts).mean(dim=0)
