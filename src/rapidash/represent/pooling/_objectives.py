"""Objectives of runs on rows of several sites: plain, with a discrepancy, an adversary, matched pairs, two stages."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss

from rapidash._plain import check_fields
from rapidash.data import Batch, Dataset
from rapidash.methods import Control, OrbitAverage, Score, Step, Supervised
from rapidash.represent.pooling._discrepancy import covariate_bins, maximum_mean_discrepancy
from rapidash.represent.pooling._losses import matched_distance, pairwise_covariate_loss, reversed_gradient
from rapidash.represent.pooling._networks import TwoStageNetwork, perceptron
from rapidash.represent.pooling._rows import PooledModel, check_sites, pooled_model

if TYPE_CHECKING:
    from rapidash.methods import Task

ALL_WRONG = 100.0  # added to the score, in per cent, as long as the second stage has not begun


class Represented(NamedTuple):
    """The rows of a batch that a model may learn from."""

    columns: Float[Tensor, "B F"]
    z: Float[Tensor, "B n"]
    logits: Float[Tensor, "B K"]
    label: Int[Tensor, " B"]
    site: Int[Tensor, " B"]
    covariate: Float[Tensor, "B K"]


@dataclass(frozen=True)
class _OfSites(Supervised):
    """The cross-entropy of labels, and the weighted mean squared error of columns that are read off again."""

    reconstruction: float = 0.01

    def __post_init__(self) -> None:
        check_fields(self)
        for name, value in vars(self).items():
            if isinstance(value, float) and not 0 <= value < math.inf:
                raise ValueError(f"{name} must be a finite number of at least 0, got {value}")

    def modify(self, model: nn.Module, task: "Task") -> nn.Module:
        """The model itself. Raises: ValueError for a task without sites, or sites that `check_sites` refuses."""
        pooled_model(model)
        data = task.dataset("train")
        rows = data.batch(torch.arange(len(data)))
        check_sites(rows["x"], rows["label"], rows["site"], rows["covariate"])
        return model

    def step(self, model: nn.Module, task: "Task", batch: Batch, rng: torch.Generator) -> Step:
        """The loss of a batch."""
        return self.loss(model, batch, rng)

    def loss(self, model: nn.Module, batch: Batch, rng: torch.Generator) -> Step:
        """The same, without a task."""
        pooled = pooled_model(model)
        found = _represented(pooled, batch)
        parts = {
            "classification": cross_entropy(found.logits, found.label),
            "reconstruction": mse_loss(pooled.network.decode(found.z), found.columns),
        }
        loss = parts["classification"] + self.reconstruction * parts["reconstruction"]
        for name, weight, value in self.penalties(pooled, found, rng):
            parts[name] = value
            loss = loss + weight * value
        return Step(loss, None, parts)

    def penalties(
        self, pooled: PooledModel, found: Represented, rng: torch.Generator
    ) -> Iterator[tuple[str, float, Tensor]]:
        """By name the weight and the value of each further term."""
        yield from ()


@dataclass(frozen=True)
class SiteDiscrepancy(_OfSites):
    r"""Pooled training, with a weight on how far the representations of sites are from one another.

    Cross-entropy (nats) + ``reconstruction`` * mean squared error of the columns + ``weight`` * the mean over pairs of
    sites of `maximum_mean_discrepancy` (Laplacian kernel, bandwidth 1), within ``bins`` of the covariate. With weight 0
    it is plain pooling; with 1 bin the site is to be forgotten altogether, and with it whatever goes with it; with
    several, given the covariate (subsampling of ages takes 10).

    Args:
        reconstruction: weight of the decoder, at least 0.
        weight: of the discrepancy, at least 0.
        bins: of each covariate, at least 1.
    Raises: ValueError for values outside the above; for a task without sites, or sites that `check_sites` refuses.
    Source: Li, Swersky, Zemel, "Learning unbiased features", 2014; Zhou, Singh et al., "Statistical tests and
        identifiability conditions for pooling and analyzing multisite datasets", PNAS 2018, for subsampling.
    """

    weight: float = 0.0
    bins: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_bins(self.bins)

    def penalties(
        self, pooled: PooledModel, found: Represented, rng: torch.Generator
    ) -> Iterator[tuple[str, float, Tensor]]:
        """The discrepancy, where it has a weight."""
        if self.weight:
            yield "discrepancy of sites", self.weight, _discrepancy(found, self.bins)


@dataclass(frozen=True)
class SiteAdversary(_OfSites):
    """Pooled training, against an adversary that guesses the site from the representation (reversed gradients).

    Args:
        reconstruction: weight of the decoder, at least 0.
        weight: of the adversary's cross-entropy in the gradient of the encoder, at least 0.
    Raises: as `SiteDiscrepancy`.
    Source: Xie et al., "Controllable Invariance through Adversarial Feature Learning", NeurIPS 2017.
    """

    weight: float = 1.0

    def modify(self, model: nn.Module, task: "Task") -> nn.Module:
        """The model with the adversary, which is trained and saved with it."""
        pooled = pooled_model(super().modify(model, task))
        pooled.adversary = perceptron(pooled.network.rep_dim, pooled.num_sites, 64, 2)
        return model

    def penalties(
        self, pooled: PooledModel, found: Represented, rng: torch.Generator
    ) -> Iterator[tuple[str, float, Tensor]]:
        """The adversary's cross-entropy, nats."""
        assert isinstance(pooled.adversary, nn.Module)
        guess = pooled.adversary(reversed_gradient(found.z, self.weight))
        yield "adversary", 1.0, cross_entropy(guess, found.site)


@dataclass(frozen=True)
class MatchedPairs(_OfSites):
    """Pooled training that draws random pairs of two sites, alike in label and bin of the covariate, to each other.

    Args:
        reconstruction: weight of the decoder, at least 0.
        weight: of `matched_distance`, at least 0.
        bins: of each covariate, at least 1.
    Raises: as `SiteDiscrepancy`.
    Source: random matching: Mahajan, Tople, Sharma, "Domain Generalization using Causal Matching", ICML 2021.
    """

    weight: float = 1.0
    bins: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_bins(self.bins)

    def penalties(
        self, pooled: PooledModel, found: Represented, rng: torch.Generator
    ) -> Iterator[tuple[str, float, Tensor]]:
        """The distance of pairs."""
        cell = covariate_bins(found.covariate, self.bins) * pooled.network.num_classes + found.label
        yield "distance of pairs", self.weight, matched_distance(found.z, cell, found.site, rng)


@dataclass(frozen=True)
class TwoStage(_OfSites):
    r"""Equivariant to the covariates first, then invariant to the site given the covariates.

    For the first ``first_share`` of the steps cross-entropy + ``reconstruction`` * mean squared error +
    ``equivariance`` * `pairwise_covariate_loss`. From then on encoder and tau stay as they are, and the map b, the
    frame W, and a fresh classifier and decoder learn cross-entropy + ``reconstruction`` * mean squared error +
    ``weight`` * the discrepancy of `SiteDiscrepancy` within ``bins``. One objective has both stages: which one it is
    follows from the number of steps done, so an interrupted run continues where it was; without a gradient the
    optimizer leaves weights alone, decay included. Set ``ema_decay`` to 0: an average over steps would mix the
    stages.

    There is no answer before the second stage: its score is then that of the first classifier plus 100 per cent, so
    that validation never selects it.

    Args:
        reconstruction, weight: at least 0.
        equivariance: at least 0.
        bins: at least 1; 1 is invariance without a condition.
        first_share: in (0, 1), with at least one step on each side.
    Raises: as `SiteDiscrepancy`; ValueError for a network without two stages, with another number of covariates, or a
        share that leaves a stage without a step.
    Source: Lokhande, Chakraborty, Ravi, Singh, "Equivariance Allows Handling Multiple Nuisance Variables When Analyzing
        Pooled Neuroimaging Datasets", CVPR 2022, arXiv 2203.15234.
    """

    weight: float = 40.0
    equivariance: float = 2.0
    bins: int = 4
    first_share: float = 0.3

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_bins(self.bins)
        if not 0 < self.first_share < 1:
            raise ValueError(f"first_share must be between 0 and 1, got {self.first_share}")

    def modify(self, model: nn.Module, task: "Task") -> nn.Module:
        """The model itself. Raises: ValueError for a network without two stages, and as `SiteDiscrepancy`."""
        _two_stages(pooled_model(super().modify(model, task)))
        return model

    def control(self, model: nn.Module, total_steps: int) -> Control:
        """Says before every step which stage it belongs to."""
        first = round(self.first_share * total_steps)
        if not 1 <= first < total_steps:
            raise ValueError(
                f"first_share={self.first_share} of {total_steps} steps gives {first} to the first stage: each of the "
                "two needs at least one"
            )
        return StageControl(_two_stages(pooled_model(model)), first)

    def penalties(
        self, pooled: PooledModel, found: Represented, rng: torch.Generator
    ) -> Iterator[tuple[str, float, Tensor]]:
        """The differences of group coordinates, or the discrepancy of sites."""
        network = _two_stages(pooled)
        if network.is_second_stage:
            yield "discrepancy of sites", self.weight, _discrepancy(found, self.bins)
        else:
            loss = pairwise_covariate_loss(network.first.tau(found.z), found.covariate)
            yield "differences of covariates", self.equivariance, loss

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
        """The task's metric; before the second stage with 100 per cent on top."""
        found = super().score(model, task, data, train=train, batch_size=batch_size, seed=seed, average=average)
        is_there = bool(_two_stages(pooled_model(model)).is_second_stage)
        return found if is_there else Score(found.error + ALL_WRONG, found.details)


class StageControl(Control):
    """Puts a network of two stages into the stage of each step.

    Args:
        network: of the run.
        first_steps: of the first stage.
    """

    def __init__(self, network: TwoStageNetwork, first_steps: int) -> None:
        self.network, self.first_steps = network, first_steps

    def before(self, step: int) -> None:
        """The stage of the step that comes."""
        self.network.begin_second_stage(step >= self.first_steps)


def _represented(pooled: PooledModel, batch: Batch) -> Represented:
    rows: Bool[Tensor, " B"] = pooled.learns_from(batch)
    if not bool(rows.any()):
        raise ValueError(f"a batch of {len(rows)} rows has none of the site that is learned from: make batches larger")
    columns = pooled.columns(batch)[rows]
    z = pooled.network.represent(columns)
    covariate = batch["covariate"][rows]
    label, site = (batch[name][rows].long() for name in ("label", "site"))
    return Represented(columns, z, pooled.network.classify(z), label, site, covariate.reshape(len(covariate), -1))


def _discrepancy(found: Represented, bins: int) -> Tensor:
    """Mean over pairs of the sites that are there; 0 where there is one site."""
    num_sites = len(found.site.unique())
    within = covariate_bins(found.covariate, bins) if bins > 1 else None
    pairs = max(1, num_sites * (num_sites - 1) // 2)
    return maximum_mean_discrepancy(found.z, found.site, within=within) / pairs


def _two_stages(pooled: PooledModel) -> TwoStageNetwork:
    if not isinstance(pooled.network, TwoStageNetwork):
        raise ValueError(f"two stages need the network 'two-stage-encoder', got {type(pooled.network).__name__}")
    return pooled.network


def _check_bins(bins: int) -> None:
    if bins < 1:
        raise ValueError(f"bins must be at least 1, got {bins}")
