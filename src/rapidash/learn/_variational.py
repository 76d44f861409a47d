"""The objective of variational autoencoders, with the penalties of a learned group."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rapidash._plain import check_fields
from rapidash._seed import seeded
from rapidash.data import Batch, Dataset
from rapidash.learn._autoencoders import CommutativeLieGroupVAE, VaeOutput, VariationalNetwork
from rapidash.learn._penalties import commutator_penalty, hessian_penalty
from rapidash.methods import Objective, OrbitAverage, Score, Step, in_eval_mode, refuse_average

if TYPE_CHECKING:
    from rapidash.methods import Task

ACTIVE_VARIANCE = 0.01  # of the mean code over the data, above which a latent is active
_DRAWS = 8  # codes of an image in the score


@dataclass(frozen=True)
class VariationalBound(Objective):
    r"""Minus the evidence lower bound of images in [0, 1], with a weight of the divergence and penalties of a group.

    .. math:: \mathrm{BCE}(\hat x, x) + \beta\, \mathrm{KL} + \lambda_f \|e(x) - \mathrm{vec}\, g(t)\|^2
        + \lambda_h H + \lambda_c C,

    in nats, summed over pixels, latents and entries, mean over the batch; H is `hessian_penalty` and C is
    `commutator_penalty`. With probability ``feature_probability`` a whole batch is decoded from its features e(x) in
    place of g(t). All draws come from the stream of the step.

    The score of every variant is the plain bound (beta 1, no penalty, 8 codes an image), so that variants have one
    scale; beside it its two parts, and the number of active latents, whose mean code has a variance above 0.01.

    Args:
        beta: at least 0; above 1 a beta-VAE.
        hessian, commutator: the weights of H and C, at least 0; other than 0 only with a `CommutativeLieGroupVAE`.
        feature, feature_probability: the weight of the distance of features, at least 0, and how often they are
            decoded, in [0, 1]; without effect on a network that has none.
        field: the image in the batch, (B, ...).
    Raises: ValueError for values outside the above; in training for a network that is no variational autoencoder, or
        images outside [0, 1].
    Source: Zhu, Xu, Tao, ICML 2021; Higgins et al., "beta-VAE", ICLR 2017.
    """

    beta: float = 1.0
    hessian: float = 0.0
    commutator: float = 0.0
    feature: float = 0.0
    feature_probability: float = 0.0
    field: str = "image"

    def __post_init__(self) -> None:
        check_fields(self)
        weights = (self.beta, self.hessian, self.commutator, self.feature)
        if not all(0 <= weight < math.inf for weight in weights) or not 0 <= self.feature_probability <= 1:
            raise ValueError(f"weights must be at least 0 and feature_probability in [0, 1], got {self}")

    def modify(self, model: nn.Module, task: "Task") -> nn.Module:
        """The model itself. Raises: ValueError for a network that this objective does not fit."""
        network = variational_network(model)
        if not isinstance(network, CommutativeLieGroupVAE) and (self.hessian or self.commutator):
            raise ValueError(
                "hessian and commutator belong to a learned group: use the network 'lie-vae', or set them to 0; got "
                f"{self}"
            )
        return model

    def step(self, model: nn.Module, task: "Task", batch: Batch, rng: torch.Generator) -> Step:
        """The loss of a batch."""
        network, x = variational_network(model), rows_in_unit_interval(batch[self.field])
        has_features = isinstance(network, CommutativeLieGroupVAE)
        from_features = float(torch.rand((), generator=rng)) < self.feature_probability and has_features
        found = network(x, rng, from_features=from_features)
        parts = {"reconstruction": cross_entropy(found.reconstruction, x), "KL": divergence(found).sum(dim=1).mean()}
        loss = parts["reconstruction"] + self.beta * parts["KL"]
        for name, weight, value in self._penalties(network, found):
            parts[name] = value
            if weight:
                loss = loss + weight * value
        return Step(loss, found.reconstruction.reshape(batch[self.field].shape), parts)

    def _penalties(self, network: nn.Module, found: VaeOutput) -> list[tuple[str, float, Tensor]]:
        """By name the weight and the value of every penalty of a group."""
        if not isinstance(network, CommutativeLieGroupVAE):
            return []
        assert found.features is not None
        assert found.elements is not None
        distance = (found.features - found.elements).square().sum(dim=1).mean()
        return [
            ("Hessian penalty", self.hessian, hessian_penalty(network.generators)),
            ("commutator penalty", self.commutator, commutator_penalty(network.generators)),
            ("distance of features", self.feature, distance),
        ]

    def score(
        self,
        model: nn.Module,
        task: "Task",
        data: Dataset,
        *,
        train: Dataset,
        batch_size: int,
        seed: int = 0,
        average: OrbitAverage | None = None,
    ) -> Score:
        """The bound in nats, with the same noise for every model, and its parts."""
        refuse_average(average, "the bound of an image has no average over a group")
        network, noise = variational_network(model), seeded(seed, "variational bound")
        entropies, outputs = [], []
        with in_eval_mode(model), torch.no_grad():
            like = next(model.parameters())
            for indices in torch.arange(len(data)).split(batch_size):
                x = rows_in_unit_interval(data.batch(indices).to(like.device, like.dtype)[self.field])
                found = [network(x, noise) for _ in range(_DRAWS)]
                entropies.append(torch.stack([_cross_entropies(one.reconstruction, x) for one in found]).mean(dim=0))
                outputs.append(found[0])
        reconstruction = float(torch.cat(entropies).double().mean())
        kl = float(torch.cat([divergence(one).sum(dim=1) for one in outputs]).double().mean())
        codes = torch.cat([one.mean for one in outputs])
        details: Mapping[str, float] = {
            "reconstruction (nats)": reconstruction,
            "KL (nats)": kl,
            "active latents": float((codes.var(dim=0, correction=0) > ACTIVE_VARIANCE).sum()),
        }
        return Score(reconstruction + kl, details)

    def metric(self, task: "Task") -> str:
        """The bound."""
        return "minus the evidence lower bound"

    def unit(self, task: "Task") -> str:
        """Nats per image."""
        return "nats"


def variational_network(model: nn.Module) -> VariationalNetwork:
    """The variational autoencoder in a model. Raises: ValueError where there is none."""
    found = next((part for part in model.modules() if isinstance(part, VariationalNetwork)), None)
    if found is None:
        raise ValueError("the objective 'variational-bound' needs a variational autoencoder: 'vae' or 'lie-vae'")
    return found


def rows_in_unit_interval(image: Tensor) -> Float[Tensor, "B P"]:
    """The pixels of each image in a row. Raises: ValueError for values outside [0, 1], or NaN."""
    x = image.flatten(1)
    if not bool(((x >= 0) & (x <= 1)).all()):
        raise ValueError(
            f"the cross-entropy of pixels needs images in [0, 1], got {float(x.min()):.3g} to {float(x.max()):.3g}: "
            "rescale them"
        )
    return x


def cross_entropy(logits: Float[Tensor, "B P"], x: Float[Tensor, "B P"]) -> Float[Tensor, ""]:
    """Binary cross-entropy in nats, summed over pixels, mean over the batch."""
    return _cross_entropies(logits, x).mean()


def _cross_entropies(logits: Tensor, x: Tensor) -> Float[Tensor, " B"]:
    return nn.functional.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(dim=1)


def divergence(found: VaeOutput) -> Float[Tensor, "B L"]:
    """Kullback-Leibler divergence of each latent's posterior from the standard normal law, nats."""
    return (found.mean.square() + found.log_var.exp() - 1 - found.log_var) / 2
