"""Disentanglement of codes when the factors behind the data are known: three scores in use, by their definitions."""

import importlib.util
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

Levels = Int[Tensor, "M F"]


class MutualInformationGap(NamedTuple):
    """The mean gap over factors, that of each factor (F,), and the mutual information (L, F) in nats."""

    mean: float
    per_factor: Float[Tensor, " F"]
    information: Float[Tensor, "L F"]


class FactorVaeScore(NamedTuple):
    """Accuracy of the majority vote on new votes, the votes of training (L, F), and which latents (L,) were asked."""

    accuracy: float
    votes: Int[Tensor, "L F"]
    asked: Tensor


class DCI(NamedTuple):
    """Disentanglement, completeness and informativeness, each in [0, 1], 1 is best; and the importances (L, F)."""

    disentanglement: float
    completeness: float
    informativeness: float
    importance: Float[Tensor, "L F"]


def mutual_information_gap(codes: Float[Tensor, "M L"], factors: Levels, *, num_bins: int = 20) -> MutualInformationGap:
    r"""Mean over factors of :math:`(I_{(1)} - I_{(2)}) / H`: how far one latent is ahead of the next for a factor.

    I is the mutual information of a factor with a latent, which is put into bins of equal width from its least to its
    largest value; H is the entropy of the factor. Every factor counts. A latent that does not vary has no information;
    with a single latent the second is 0. Few samples overestimate I: print the score of an untrained network, too.

    Args:
        codes: finite, at least as many samples as latents.
        factors: levels, whole numbers, two or more of each factor.
        num_bins: of a latent, at least 2.
    Raises: ValueError for values outside the above, or a factor that does not vary, whose gap is 0 / 0.
    Source: Chen et al., "Isolating Sources of Disentanglement in VAEs", NeurIPS 2018.
    """
    _check(codes, factors)
    if num_bins < 2:
        raise ValueError(f"num_bins must be at least 2, got {num_bins}")
    levels = [torch.unique(column, return_inverse=True)[1] for column in factors.T]
    bins = [_binned(column, num_bins) for column in codes.double().T]
    information = torch.tensor([[_information(code, level) for level in levels] for code in bins], dtype=torch.float64)
    entropy = torch.tensor([_information(level, level) for level in levels], dtype=torch.float64)
    first_two = torch.nn.functional.pad(information, (0, 0, 0, 1)).sort(dim=0, descending=True).values[:2]
    gaps = (first_two[0] - first_two[1]) / entropy
    return MutualInformationGap(float(gaps.mean()), gaps, information)


def factor_vae_score(
    codes: Float[Tensor, "M L"],
    factors: Levels,
    generator: torch.Generator,
    *,
    num_train: int = 600,
    num_votes: int = 600,
    batch_size: int = 64,
    min_variance: float = 0.01,
) -> FactorVaeScore:
    """Accuracy with which the latent that varies least, while one factor is held fixed, tells that factor.

    A vote fixes a random factor at its level in a random sample, draws samples of that level with replacement, and
    names the latent whose variance, divided by that over all samples, is least. A majority vote for every latent is
    learned from ``num_train`` votes and scored on other draws; a latent without a vote says the first factor.

    Args:
        codes: finite, at least as many samples as latents.
        factors: levels, whole numbers.
        generator: on the CPU.
        num_train, num_votes: votes to learn from, and to score, at least 1.
        batch_size: samples of a vote, at least 2.
        min_variance: latents that vary less than this are not asked; if that is all of them, the score is 0.
    Raises: ValueError for values outside the above.
    Source: Kim and Mnih, "Disentangling by Factorising", ICML 2018.
    """
    _check(codes, factors)
    if min(num_train, num_votes) < 1 or batch_size < 2 or not min_variance >= 0:
        raise ValueError(
            "num_train and num_votes must be at least 1, batch_size at least 2 and min_variance at least 0, got "
            f"{num_train}, {num_votes}, {batch_size} and {min_variance}"
        )
    codes = codes.double()
    variance = codes.var(dim=0, correction=0)
    asked = variance > min_variance
    shape = (codes.shape[1], factors.shape[1])
    votes = torch.zeros(shape, dtype=torch.long)
    if not bool(asked.any()):
        return FactorVaeScore(0.0, votes, asked)
    names = asked.nonzero()[:, 0]
    scaled = codes[:, names] / variance[names].sqrt()

    def vote() -> tuple[int, int]:
        factor = int(torch.randint(shape[1], (), generator=generator))
        sample = int(torch.randint(len(codes), (), generator=generator))
        alike = (factors[:, factor] == factors[sample, factor]).nonzero()[:, 0]
        drawn = alike[torch.randint(len(alike), (batch_size,), generator=generator)]
        return int(names[scaled[drawn].var(dim=0).argmin()]), factor

    for _ in range(num_train):
        votes[vote()] += 1
    answers = votes.argmax(dim=1)
    right = sum(int(answers[latent]) == factor for latent, factor in (vote() for _ in range(num_votes)))
    return FactorVaeScore(right / num_votes, votes, asked)


def dci(codes: Float[Tensor, "M L"], factors: Levels, generator: torch.Generator, *, num_trees: int = 30) -> DCI:
    """Disentanglement, completeness and informativeness from random forests that name each factor's level.

    Half of the samples, drawn at random, fit a forest for every factor; informativeness is the mean share of levels
    that they name rightly in the other half. The importance of a latent for a factor is the forest's, the mean decrease
    of impurity: see `disentanglement_completeness` for the other two.

    Args:
        codes: finite, two or more latents, at least as many samples as latents.
        factors: levels, whole numbers, two or more of each of two or more factors.
        generator: on the CPU.
        num_trees: of a forest, at least 1.
    Raises: ValueError for values outside the above; ModuleNotFoundError without scikit-learn.
    Source: Eastwood and Williams, "A Framework for the Quantitative Evaluation of Disentangled Representations",
        ICLR 2018, with forests as there; common code has gradient boosting, whose numbers are others.
    """
    _check(codes, factors)
    if num_trees < 1:
        raise ValueError(f"num_trees must be at least 1, got {num_trees}")
    if importlib.util.find_spec("sklearn") is None:
        raise ModuleNotFoundError("dci needs scikit-learn: pip install 'rapidash[tabular]'")
    from sklearn.ensemble import RandomForestClassifier

    order = torch.randperm(len(codes), generator=generator).numpy()
    seed = int(torch.randint(2**31, (), generator=generator))
    fitted, asked = order[: len(order) // 2], order[len(order) // 2 :]
    x, y = codes.detach().double().cpu().numpy(), factors.cpu().numpy()
    columns, shares = [], []
    for level in y.T:
        forest = RandomForestClassifier(num_trees, max_depth=10, max_features=None, random_state=seed)
        forest.fit(x[fitted], level[fitted])
        columns.append(forest.feature_importances_)
        shares.append(float((forest.predict(x[asked]) == level[asked]).mean()))
    importance = torch.from_numpy(np.stack(columns, axis=1))
    return DCI(*disentanglement_completeness(importance), sum(shares) / len(shares), importance)


def disentanglement_completeness(importance: Float[Tensor, "L F"]) -> tuple[float, float]:
    """How far each latent serves one factor, and how far each factor is served by one latent.

    One minus the entropy of the shares of a row (in units of log F), mean over latents weighted by their importance;
    and the same of columns (log L), weighted by those of the factors.

    Args:
        importance: at least 0, of latents for factors; a latent without any has the weight 0.
    Raises: ValueError for fewer than two latents or factors, negative or NaN importances, or no importance at all.
    """
    if importance.dim() != 2 or min(importance.shape) < 2:
        raise ValueError(
            f"importance must have two or more latents and factors (L, F), got shape {tuple(importance.shape)}"
        )
    if not bool((importance >= 0).all()) or not 0 < float(importance.sum()) < float("inf"):
        raise ValueError("importances must be finite, at least 0, and not all 0")
    matrix = importance.double()

    def mean_purity(rows: Tensor) -> float:
        weight = rows.sum(dim=1)
        shares = rows / weight.clamp(min=1e-300)[:, None]
        entropy = -torch.special.xlogy(shares, shares).sum(dim=1)
        purity = 1 - entropy / float(np.log(rows.shape[1]))
        return float((weight * purity).sum() / weight.sum())

    return mean_purity(matrix), mean_purity(matrix.T)


def _check(codes: Tensor, factors: Tensor) -> None:
    if codes.dim() != 2 or factors.dim() != 2 or len(codes) != len(factors) or min(*codes.shape, *factors.shape) < 1:
        raise ValueError(
            "codes (M, L) and factors (M, F) need one row for each sample, got shapes "
            f"{tuple(codes.shape)} and {tuple(factors.shape)}"
        )
    if codes.shape[1] > len(codes):
        raise ValueError(f"codes have {codes.shape[1]} latents and only {len(codes)} samples: give more samples")
    if not bool(torch.isfinite(codes).all()):
        raise ValueError("codes must be finite, got NaN or infinity: the encoder has diverged")
    if factors.is_floating_point() or factors.is_complex():
        raise ValueError(f"factors must be levels, whole numbers, got {factors.dtype}")
    constant = [index for index, column in enumerate(factors.T) if bool((column == column[0]).all())]
    if constant:
        raise ValueError(f"factors {constant} do not vary over the samples, so no score is defined: leave them out")


def _binned(column: Tensor, num_bins: int) -> Tensor:
    """The bin of each value; one bin where all are the same."""
    low, high = column.min(), column.max()
    if low == high:
        return torch.zeros(len(column), dtype=torch.long)
    return ((column - low) / (high - low) * num_bins).long().clamp(max=num_bins - 1)


def _information(first: Tensor, second: Tensor) -> float:
    """Mutual information in nats of two columns of small whole numbers."""
    counts = torch.zeros(int(first.max()) + 1, int(second.max()) + 1, dtype=torch.float64)
    counts.index_put_((first, second), torch.ones(len(first), dtype=torch.float64), accumulate=True)
    joint = counts / counts.sum()
    product = joint.sum(dim=1, keepdim=True) * joint.sum(dim=0, keepdim=True)
    return float(torch.special.xlogy(joint, joint / product.clamp(min=1e-300)).sum())
