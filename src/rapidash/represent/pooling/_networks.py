"""Networks that represent the rows of several sites: columns, an encoder, and an encoder of two stages."""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import normalize

from rapidash.models import Interface, MLPConfig
from rapidash.represent.pooling._frames import CanonicalizedHead, cayley


class SiteNetwork(nn.Module, ABC):
    """A network on rows that has a representation, which a classifier and a decoder read.

    Args:
        num_columns: F of a row, at least 1.
        num_classes: K, at least 2.
        rep_dim: n, width of the representation.
    """

    def __init__(self, num_columns: int, num_classes: int, rep_dim: int) -> None:
        super().__init__()
        if num_columns < 1 or num_classes < 2 or rep_dim < 1:
            raise ValueError(
                "a network of sites needs at least one column, two classes and a representation of at least one "
                f"number, got {num_columns}, {num_classes} and {rep_dim}"
            )
        self.num_columns, self.num_classes, self.rep_dim = num_columns, num_classes, rep_dim

    @abstractmethod
    def represent(self, x: Float[Tensor, "B F"]) -> Float[Tensor, "B n"]:
        """The representation of each row."""

    @abstractmethod
    def classify(self, representation: Float[Tensor, "B n"]) -> Float[Tensor, "B K"]:
        """Logits from representations."""

    @abstractmethod
    def decode(self, representation: Float[Tensor, "B n"]) -> Float[Tensor, "B F"]:
        """The row again, from its representation."""

    def forward(self, x: Float[Tensor, "B F"]) -> Float[Tensor, "B K"]:
        """Logits."""
        return self.classify(self.represent(x))


class ColumnsNetwork(SiteNetwork):
    """The columns are the representation, and a linear map is the classifier: logistic regression."""

    def __init__(self, num_columns: int, num_classes: int) -> None:
        super().__init__(num_columns, num_classes, num_columns)
        self.classifier = nn.Linear(num_columns, num_classes)

    def represent(self, x: Float[Tensor, "B F"]) -> Float[Tensor, "B F"]:
        """The row itself."""
        return x

    def classify(self, representation: Float[Tensor, "B F"]) -> Float[Tensor, "B K"]:
        """Logits of a linear map."""
        return self.classifier(representation)

    def decode(self, representation: Float[Tensor, "B F"]) -> Float[Tensor, "B F"]:
        """The row, which was not encoded."""
        return representation


class EncoderNetwork(SiteNetwork):
    """An encoder to the unit sphere, z = E(x) / |E(x)|, a classifier and a decoder.

    Args:
        num_columns, num_classes: of a row.
        latent_dim: n.
        hidden_dim, num_layers: of the encoder; classifier and decoder have one hidden layer.
    """

    def __init__(
        self, num_columns: int, num_classes: int, latent_dim: int = 16, hidden_dim: int = 64, num_layers: int = 2
    ) -> None:
        super().__init__(num_columns, num_classes, latent_dim)
        self.encoder = perceptron(num_columns, latent_dim, hidden_dim, num_layers)
        self.classifier = perceptron(latent_dim, num_classes, hidden_dim, 1)
        self.decoder = perceptron(latent_dim, num_columns, hidden_dim, 1)

    def represent(self, x: Float[Tensor, "B F"]) -> Float[Tensor, "B n"]:
        """A point of the unit sphere."""
        return normalize(self.encoder(x), dim=1)

    def classify(self, representation: Float[Tensor, "B n"]) -> Float[Tensor, "B K"]:
        """Logits of the classifier."""
        return self.classifier(representation)

    def decode(self, representation: Float[Tensor, "B n"]) -> Float[Tensor, "B F"]:
        """The row by the decoder."""
        return self.decoder(representation)


class CovariateEquivariantEncoder(nn.Module):
    """Points of the unit sphere and their group coordinates, z = E(x) / |E(x)| and tau(z).

    `pairwise_covariate_loss` trains tau so that its differences are those of the covariates: the group of shifts of the
    covariates acts on samples, and tau is its coordinate. It is read from z, so no covariate is needed afterwards.

    Args:
        encoder: E, (B, F) -> (B, n).
        latent_dim: n, at least 2.
        tau: (B, n) -> (B, K), a coordinate for each of K covariates.
    Shape: x (B, F) -> z (B, n) and tau (B, K).
    Raises: ValueError for a latent_dim below 2, or an encoder of another width.
    """

    def __init__(self, encoder: nn.Module, latent_dim: int, tau: nn.Module) -> None:
        super().__init__()
        if latent_dim < 2:
            raise ValueError(f"latent_dim must be at least 2 for a rotation to act, got {latent_dim}")
        self.encoder, self.latent_dim, self.tau = encoder, latent_dim, tau

    def forward(self, x: Float[Tensor, "B F"]) -> tuple[Float[Tensor, "B n"], Float[Tensor, "B K"]]:
        """The point of each row and its group coordinates."""
        z = self.encoder(x)
        if z.shape[1:] != (self.latent_dim,):
            raise ValueError(f"the encoder returned shape {tuple(z.shape)}, expected (B, {self.latent_dim})")
        z = normalize(z, dim=1)
        return z, self.tau(z)


class TwoStageNetwork(SiteNetwork):
    r"""Equivariant to covariates, then invariant to the site: the representation is
    :math:`\Phi(z) = Q(\tau)\, b(Q(\tau)^T z)` with :math:`Q(\tau) = \mathrm{Cayley}(W \tau(z))`.

    In its first stage the representation is z, with a classifier and a decoder of their own; `begin_second_stage` says
    that b, W, and the other classifier and decoder count.

    Args:
        num_columns, num_classes, latent_dim, hidden_dim, num_layers: as of `EncoderNetwork`.
        num_covariates: K, at least 1.
    """

    is_second_stage: Tensor

    def __init__(
        self,
        num_columns: int,
        num_classes: int,
        latent_dim: int = 16,
        hidden_dim: int = 64,
        num_layers: int = 2,
        num_covariates: int = 1,
    ) -> None:
        super().__init__(num_columns, num_classes, latent_dim)
        self.first = CovariateEquivariantEncoder(
            perceptron(num_columns, latent_dim, hidden_dim, num_layers),
            latent_dim,
            perceptron(latent_dim, num_covariates, hidden_dim, 1),
        )
        self.first_classifier = perceptron(latent_dim, num_classes, hidden_dim, 1)
        self.first_decoder = perceptron(latent_dim, num_columns, hidden_dim, 1)
        self.skew = nn.Linear(num_covariates, latent_dim * (latent_dim - 1) // 2, bias=False)
        nn.init.normal_(self.skew.weight, std=0.1)
        self.head = CanonicalizedHead(SphereMap(latent_dim, hidden_dim))
        self.classifier = perceptron(latent_dim, num_classes, hidden_dim, 1)
        self.decoder = perceptron(latent_dim, num_columns, hidden_dim, 1)
        self.register_buffer("is_second_stage", torch.tensor(False))

    def begin_second_stage(self, has_begun: bool = True) -> None:
        """Say which of the stages counts; it is saved with the weights."""
        self.is_second_stage.fill_(has_begun)

    def frame(self, tau: Float[Tensor, "B K"]) -> Float[Tensor, "B n n"]:
        """Q of group coordinates."""
        return cayley(self.skew(tau), self.rep_dim)

    def represent(self, x: Float[Tensor, "B F"]) -> Float[Tensor, "B n"]:
        """Phi; in the first stage z. The second stage sends no gradient into the first."""
        if not self.is_second_stage:
            return self.first(x)[0]
        with torch.no_grad():
            z, tau = self.first(x)
        return self.head(z, self.frame(tau))

    def classify(self, representation: Float[Tensor, "B n"]) -> Float[Tensor, "B K"]:
        """Logits by the classifier of the stage."""
        return (self.classifier if self.is_second_stage else self.first_classifier)(representation)

    def decode(self, representation: Float[Tensor, "B n"]) -> Float[Tensor, "B F"]:
        """The row by the decoder of the stage."""
        return (self.decoder if self.is_second_stage else self.first_decoder)(representation)


class SphereMap(nn.Module):
    """The map b of the sphere to itself, u -> (u + MLP(u)) / |u + MLP(u)|: (B, n) -> (B, n)."""

    def __init__(self, dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.change = perceptron(dim, dim, hidden_dim, 2)

    def forward(self, u: Float[Tensor, "B n"]) -> Float[Tensor, "B n"]:
        """A point of the sphere."""
        return normalize(u + self.change(u), dim=1)


def perceptron(inputs: int, outputs: int, hidden_dim: int, num_layers: int) -> nn.Sequential:
    """A multilayer perceptron (B, inputs) -> (B, outputs)."""
    return MLPConfig(hidden_dim, num_layers).build(Interface(dim=0, in_scalars=inputs, out_scalars=outputs))
