"""Variational autoencoders of rows of numbers in [0, 1]: a plain one, and one whose latents move a learned group."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, NamedTuple, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rapidash.symmetry import ExponentialAction

Activation = Literal["relu", "silu"]

_MAX_LOG_VAR = 10.0


class VaeOutput(NamedTuple):
    """Logits of the pixels (B, P), the posterior's mean and log-variance (B, L); of a learned group features and g.

    ``features`` e(x) and ``elements`` vec g(t) are (B, n n), None where there is no group.
    """

    reconstruction: Tensor
    mean: Tensor
    log_var: Tensor
    features: Tensor | None = None
    elements: Tensor | None = None


class Posterior(NamedTuple):
    """Mean and log-variance (B, L) of the normal law of a code, and the features (B, n n) that they come from."""

    mean: Tensor
    log_var: Tensor
    features: Tensor | None = None


class VariationalNetwork(nn.Module, ABC):
    """An encoder with a normal posterior, and a decoder to logits; draws come from the generator that is passed."""

    num_latents: int

    @abstractmethod
    def encode(self, x: Float[Tensor, "B P"]) -> Posterior:
        """The posterior of each row."""

    @abstractmethod
    def decode(self, codes: Float[Tensor, "B L"]) -> Float[Tensor, "B P"]:
        """Logits of each code."""

    @abstractmethod
    def forward(
        self, x: Float[Tensor, "B P"], generator: torch.Generator | None = None, *, from_features: bool = False
    ) -> VaeOutput:
        """The rows again, from a random code, or from the mean where no generator is given.

        Args:
            x: rows.
            generator: on the CPU, of the noise.
            from_features: decode the features instead of the group element.
        """


class VAE(VariationalNetwork):
    """Multilayer perceptrons x -> (mean, log-variance) and t -> logits.

    Args:
        num_pixels: P.
        num_latents: L.
        hidden: widths of the hidden layers of the encoder; the decoder has them in the opposite order.
        activation: see `perceptron`.
    Raises: ValueError for sizes below 1, or another activation.
    Source: Kingma and Welling, "Auto-Encoding Variational Bayes", ICLR 2014.
    """

    def __init__(
        self, num_pixels: int, num_latents: int, hidden: Sequence[int], activation: Activation = "relu"
    ) -> None:
        super().__init__()
        _check_sizes(num_pixels=num_pixels, num_latents=num_latents, hidden=hidden)
        self.num_latents = num_latents
        self.encoder = perceptron([num_pixels, *hidden, 2 * num_latents], activation)
        self.decoder = perceptron([num_latents, *reversed(hidden), num_pixels], activation)

    def encode(self, x: Float[Tensor, "B P"]) -> Posterior:
        """The posterior of each row."""
        mean, log_var = self.encoder(x).chunk(2, dim=-1)
        return Posterior(mean, log_var.clamp(max=_MAX_LOG_VAR))

    def decode(self, codes: Float[Tensor, "B L"]) -> Float[Tensor, "B P"]:
        """Logits of each code."""
        logits: Tensor = self.decoder(codes)
        return logits

    def forward(
        self, x: Float[Tensor, "B P"], generator: torch.Generator | None = None, *, from_features: bool = False
    ) -> VaeOutput:
        """See the base class. Raises: ValueError for ``from_features``: there are none."""
        if from_features:
            raise ValueError("a plain VAE has no features of a group to decode from: set from_features=False")
        mean, log_var, _ = self.encode(x)
        return VaeOutput(self.decode(drawn(mean, log_var, generator)), mean, log_var)


class CommutativeLieGroupVAE(VariationalNetwork):
    r"""Latents as coordinates t of a learned group: the decoder sees :math:`g(t) = \exp(\sum_i t_i A_i)`.

    The encoder first finds features v = e(x) of the shape of a group element, and from them the posterior of t.

    Symmetry: g(s e_i) g(t e_i) = g((s + t) e_i) for every latent; g(s) g(t) = g(s + t) where the generators commute,
    see `commutator_penalty`. The group is not compact: g has no period unless it learns one.
    Args:
        num_pixels: P.
        num_latents: L, the number of generators.
        size: n of the matrices.
        hidden: widths of the hidden layers of the encoder; the decoder has them in the opposite order.
        init_scale: standard deviation of the entries of the fresh generators.
        activation: see `perceptron`.
    Raises: ValueError for sizes below 1, a scale that is not positive, or another activation.
    Source: Zhu, Xu, Tao, "Commutative Lie Group VAE for Disentanglement Learning", ICML 2021.
    """

    def __init__(
        self,
        num_pixels: int,
        num_latents: int,
        size: int,
        hidden: Sequence[int],
        init_scale: float = 1e-3,
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        _check_sizes(num_pixels=num_pixels, num_latents=num_latents, size=size, hidden=hidden)
        self.num_latents, self.size, square = num_latents, size, size * size
        self.encoder = perceptron([num_pixels, *hidden, square], activation)
        self.mean_head = perceptron([square, 4 * square, num_latents], activation)
        self.log_var_head = perceptron([square, 4 * square, num_latents], activation)
        self.action = ExponentialAction(num_latents, size, init_scale)
        self.decoder = perceptron([square, *reversed(hidden), num_pixels], activation)

    @property
    def generators(self) -> Float[Tensor, "L n n"]:
        """A_1 .. A_L."""
        return self.action.generators

    def encode(self, x: Float[Tensor, "B P"]) -> Posterior:
        """The posterior of each row, and its features e(x)."""
        features = self.encoder(x)
        log_var = self.log_var_head(features).clamp(max=_MAX_LOG_VAR)
        return Posterior(self.mean_head(features), log_var, features)

    def decode(self, codes: Float[Tensor, "B L"]) -> Float[Tensor, "B P"]:
        """Logits of the group element of each code."""
        logits: Tensor = self.decoder(self.action(codes).flatten(-2))
        return logits

    def forward(
        self, x: Float[Tensor, "B P"], generator: torch.Generator | None = None, *, from_features: bool = False
    ) -> VaeOutput:
        """See the base class."""
        mean, log_var, features = self.encode(x)
        elements = self.action(drawn(mean, log_var, generator)).flatten(-2)
        return VaeOutput(self.decoder(features if from_features else elements), mean, log_var, features, elements)


def drawn(mean: Tensor, log_var: Tensor, generator: torch.Generator | None) -> Tensor:
    """A code from each normal law, differentiable in both; without a generator the mean."""
    if generator is None:
        return mean
    noise = torch.randn(mean.shape, generator=generator, dtype=torch.float64)
    return mean + (log_var / 2).exp() * noise.to(mean)


def perceptron(sizes: Sequence[int], activation: Activation = "relu") -> nn.Sequential:
    """Linear maps with an activation between them.

    Args:
        sizes: of the input, the hidden layers and the output.
        activation: ``"relu"``: with the initial weights of Glorot and Bengio (uniform) and no offsets, as the paper's
            networks have; ``"silu"``: with those of PyTorch's linear maps, as earlier versions had.
    Raises: ValueError for another activation.
    """
    if activation not in get_args(Activation):
        raise ValueError(f"activation must be one of {get_args(Activation)}, got {activation!r}")
    parts: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        parts += [nn.Linear(inputs, outputs), nn.ReLU() if activation == "relu" else nn.SiLU()]
    network = nn.Sequential(*parts[:-1])
    if activation == "relu":
        for part in network:
            if isinstance(part, nn.Linear):
                nn.init.xavier_uniform_(part.weight)
                nn.init.zeros_(part.bias)
    return network


def _check_sizes(*, hidden: Sequence[int], **sizes: int) -> None:
    if min(*sizes.values(), *hidden) < 1:
        raise ValueError(f"sizes must be at least 1, got {', '.join(f'{k}={v}' for k, v in sizes.items())}, {hidden=}")
