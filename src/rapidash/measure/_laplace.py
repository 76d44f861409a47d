"""Evidence of a network by a Gaussian approximation of its last layer: choose among models without test data."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from rapidash.measure._norms import refuse_not_finite

Likelihood = Literal["regression", "classification"]


@dataclass(frozen=True)
class LastLayerLaplace:
    r"""Laplace approximation of a linear last layer with a Gaussian prior of precision tau on its weights.

    .. math:: \log Z = \log p(D | w) - \tfrac12 \tau \|w\|^2 - \tfrac12 (\log\det(H + \tau) - P \log \tau)

    with H the generalized Gauss-Newton matrix. Exact for a linear head with Gaussian noise at its maximum a posteriori.
    A model that fits its training data well can have less evidence than one that predicts better: read it beside the
    test likelihood.

    Args:
        log_likelihood: log p(D | w).
        scatter: ||w||^2.
        curvature: eigenvalues of H (P,), non-negative.
    """

    log_likelihood: float
    scatter: float
    curvature: Float[Tensor, " P"]

    def log_marginal_likelihood(self, prior_precision: float | Literal["optimize"] = "optimize") -> float:
        """The log evidence; "optimize" takes the best precision in 1e-4 .. 1e4, in steps of a tenth of a decade."""
        if prior_precision == "optimize":
            return max(self.log_marginal_likelihood(10 ** (k / 10)) for k in range(-40, 41))
        if not 0 < prior_precision < math.inf:
            raise ValueError(f"prior_precision must be positive and finite, got {prior_precision}")
        volume = float((self.curvature + prior_precision).log().sum()) - len(self.curvature) * math.log(prior_precision)
        return self.log_likelihood - 0.5 * (prior_precision * self.scatter + volume)


def last_layer_laplace(
    features: Float[Tensor, "B F"],
    weight: Float[Tensor, "K F"],
    target: Tensor,
    *,
    likelihood: Likelihood,
    noise: float = 1.0,
) -> LastLayerLaplace:
    """Fit the approximation around the weights of a trained last layer (put a bias in as a constant feature).

    Args:
        features: inputs of the last layer on the training data.
        weight: of the last layer.
        target: (B, K) values for "regression", (B,) classes for "classification".
        likelihood: Gaussian noise, or softmax.
        noise: standard deviation of the noise, for "regression".
    Raises: ValueError for an unknown likelihood, a noise that is not positive, shapes that do not fit, or numbers that
        are not finite.
    """
    if likelihood not in ("regression", "classification") or not noise > 0:
        raise ValueError(
            f"likelihood must be 'regression' or 'classification' and noise > 0, got {likelihood!r}, {noise}"
        )
    features, weight = features.detach().double(), weight.detach().double()
    if features.dim() != 2 or weight.dim() != 2 or features.shape[1] != weight.shape[1]:
        raise ValueError(
            f"features must be (B, F) and weight (K, F), got {tuple(features.shape)} and {tuple(weight.shape)}"
        )
    for name, value in (("features", features), ("weight", weight), ("target", target)):
        refuse_not_finite(name, value, "look for samples that failed")
    output, num_classes = features @ weight.T, len(weight)
    expected = output.shape if likelihood == "regression" else output.shape[:1]
    if target.shape != expected:
        raise ValueError(f"target has shape {tuple(target.shape)}, expected {tuple(expected)} for {likelihood}")
    if likelihood == "regression":
        log_p = -0.5 * ((output - target) / noise).square() - math.log(noise * math.sqrt(2 * math.pi))
        values = torch.linalg.eigvalsh(features.T @ features / noise**2).clamp(min=0).repeat(num_classes)
        return LastLayerLaplace(float(log_p.sum()), float(weight.square().sum()), values)
    log_p = output.log_softmax(dim=-1)
    p = log_p.exp()
    per_sample = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]  # (B, K, K)
    hessian = torch.einsum("bkl,bf,bg->kflg", per_sample, features, features)
    size = num_classes * features.shape[1]
    values = torch.linalg.eigvalsh(hessian.reshape(size, size)).clamp(min=0)
    log_likelihood = float(log_p.gather(1, target[:, None]).sum())
    return LastLayerLaplace(log_likelihood, float(weight.square().sum()), values)
