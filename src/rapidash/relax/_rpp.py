"""Residual pathway priors: a free branch of full strength that a Gaussian prior on its weights keeps small."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rapidash._plain import check_fields
from rapidash.methods import Control, ParamGroup, StepView
from rapidash.models import Rapidash
from rapidash.nn import ConvNextBlock
from rapidash.relax._relaxed_layer import relaxed_layers
from rapidash.relax._relaxing import RelaxingMethod, Sees, check_choice, check_weight, make_mlp


@dataclass(frozen=True)
class WeightPrior:
    """Minus the logarithm of Gaussian priors on weights: free * sum |W_free|^2 + eq * sum |W_eq|^2.

    Of `Relaxed` layers: all parameters of the free branches but those of their norms, since a bias for each orientation
    breaks rotations too; of the equivariant parts those with two axes or more. Gates have no prior.

    Args:
        free, eq: inverse variances, at least 0.
    Raises: ValueError for a number below 0.
    """

    free: float
    eq: float

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("free", "eq"):
            check_weight(name, getattr(self, name), what="the inverse variance of a prior")

    def penalty(self, model: nn.Module) -> Mapping[str, Tensor]:
        """The two terms by name, without those of weight 0."""
        weights = {"free": self.free, "equivariant": self.eq}
        return {
            f"prior of {part} weights": weight * sum_of_squares(weights_under_prior(model, part))
            for part, weight in weights.items()
            if weight
        }


def weights_under_prior(model: nn.Module, part: str) -> list[nn.Parameter]:
    """The weights under a prior in the ``"free"`` or the ``"equivariant"`` parts of all relaxed layers, each once."""
    modules = [module for layer in relaxed_layers(model) for module in getattr(layer, part).modules()]
    inside = [module for module in modules if not isinstance(module, nn.LayerNorm)]
    weights = [weight for module in inside for weight in module.parameters(recurse=False)]
    return list({id(weight): weight for weight in weights if weight.dim() >= 2 or part == "free"}.values())


def sum_of_squares(weights: Sequence[Tensor]) -> Tensor:
    """Of all entries; zero of none."""
    return torch.stack([weight.square().sum() for weight in weights]).sum() if weights else torch.zeros(())


@dataclass(frozen=True)
class ResidualPathwayPrior(RelaxingMethod):
    """f_eq + f_free in every block, without a gate: a prior says how unlikely large free weights are.

    The loss gains `WeightPrior`, as a sum over weights; it is not divided by the number of samples. What is under
    a prior has no weight decay of the optimizer, which would be a second one, and is
    trained by AdamW. With both priors at 0 and ``scale`` 1
    this is an equivariant network and a free one side by side. The result is the view ``"full"``.

    Args:
        free, eq: inverse variances of free and equivariant weights, at least 0; free should be much larger.
        hidden: width of the free branches, MLPs without normalization.
        scale: factor of the last matrix of a fresh free branch, above 0.
        sees: what the free branches see: ``"directions"``, or ``"positions"`` too.
    Raises: ValueError for values outside the above.
    Source: Finzi et al., "Residual Pathway Priors for Soft Equivariance Constraints", NeurIPS 2021, arXiv 2112.01388.
    """

    free: float = 1e-2
    eq: float = 1e-6
    hidden: int = 64
    scale: float = 1e-3
    sees: Sees = "directions"

    def __post_init__(self) -> None:
        check_fields(self)
        self.prior()
        if self.hidden < 1 or not 0 < self.scale < math.inf:
            raise ValueError(f"hidden must be at least 1 and scale positive, got {self.hidden} and {self.scale}")
        check_choice("sees", self.sees, Sees)

    def prior(self) -> WeightPrior:
        """The prior of these settings."""
        return WeightPrior(self.free, self.eq)

    @property
    def is_on(self) -> bool:
        """Always."""
        return True

    @property
    def drops_branches(self) -> bool:
        """Never."""
        return False

    @property
    def initial_gate(self) -> float:
        """Always 1."""
        return 1.0

    @property
    def branches_see(self) -> Sees:
        """The field ``sees``."""
        return self.sees

    def make_free(self, network: Rapidash, block: ConvNextBlock) -> nn.Module:
        """An MLP whose output is small."""
        branch = make_mlp(network, block, sees=self.sees, hidden=self.hidden, normalize=None)
        with torch.no_grad():
            branch.linear_2.weight.mul_(self.scale)
            branch.linear_2.bias.mul_(self.scale)
        return branch

    def control(self, model: nn.Module, total_steps: int) -> Control:
        """Adds the prior."""
        return ResidualPathwayPriorControl(self, model)


class ResidualPathwayPriorControl(Control):
    """The prior of a relaxed model."""

    def __init__(self, method: ResidualPathwayPrior, model: nn.Module) -> None:
        self.prior, self.model = method.prior(), model

    def param_groups(self) -> Sequence[ParamGroup]:
        """The weights under a prior, without weight decay beside it."""
        parts = [part for part, weight in (("free", self.prior.free), ("equivariant", self.prior.eq)) if weight]
        return [ParamGroup(weights) for part in parts if (weights := weights_under_prior(self.model, part))]

    def terms(self, view: StepView) -> Mapping[str, Tensor]:
        """The prior's terms."""
        return self.prior.penalty(self.model)

    def values(self) -> Mapping[str, float]:
        """The root of the mean square of free and of equivariant weights."""
        found = {}
        for part in ("free", "equivariant"):
            weights = [weight.detach() for weight in weights_under_prior(self.model, part)]
            count = sum(weight.numel() for weight in weights)
            found[f"rms of {part} weights"] = float(sum_of_squares(weights) / max(1, count)) ** 0.5
        return found
