"""The exact penalty on weights: the distance of free linear maps to the maps that commute with the group."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from rapidash._plain import check_fields
from rapidash.methods import Control, StepView
from rapidash.models import Rapidash
from rapidash.nn import ConvNextBlock
from rapidash.relax._constraint_relaxation import linear_branches
from rapidash.relax._linear_branches import LinearBranch, make_linear
from rapidash.relax._relaxed_layer import relaxed_layers
from rapidash.relax._relaxing import PROJECTED, RelaxingMethod, check_weight
from rapidash.relax._switched import switched


@dataclass(frozen=True)
class ProjectionPenalty(RelaxingMethod):
    r"""f_eq + W in every block, and weight * sum over blocks of |(I - P) W|^2, with P W the average over the group.

    For orthogonal representations E_g |W rho(g) - rho(g) W|^2 = 2 |(I - P) W|^2: the same quantity as a penalty on
    sampled elements, without samples. The group is that of the network, as in `ConstraintRelaxation`. The result is the
    view ``"full"``; ``"projected"`` has P W in place of W, and is equivariant.

    Args:
        weight: at least 0.
        scale: standard deviation of the initial W, above 0.
    Raises: ValueError for values outside the above.
    Source: the distance of Maile et al., "Equivariance-aware Architectural Optimization", ICLR 2023 (arXiv 2210.05484).
    """

    how_projected: ClassVar[str] = "averaged over the group"

    weight: float = 1.0
    scale: float = 0.01

    def __post_init__(self) -> None:
        check_fields(self)
        check_weight("weight", self.weight)
        if not 0 < self.scale < float("inf"):
            raise ValueError(f"scale must be positive and finite, got {self.scale}")

    @property
    def is_on(self) -> bool:
        """Always: without weight the maps are free."""
        return True

    @property
    def drops_branches(self) -> bool:
        """Never."""
        return False

    @property
    def initial_gate(self) -> float:
        """Always 1."""
        return 1.0

    def make_free(self, network: Rapidash, block: ConvNextBlock) -> nn.Module:
        """A linear map."""
        return make_linear(network, block, scale=self.scale)

    def control(self, model: nn.Module, total_steps: int) -> Control:
        """Adds the penalty."""
        return ProjectionPenaltyControl(self, model)

    def views(self, model: nn.Module) -> Mapping[str, Any]:
        """The model with averaged maps beside the full one."""
        return {PROJECTED: averaged}


class ProjectionPenaltyControl(Control):
    """The distances of linear branches."""

    def __init__(self, method: ProjectionPenalty, model: nn.Module) -> None:
        self.method, self.branches = method, linear_branches(relaxed_layers(model))

    def terms(self, view: StepView) -> Mapping[str, Tensor]:
        """The penalty."""
        if not self.method.weight:
            return {}
        total = sum((squared_distance(branch) for branch in self.branches), start=self.branches[0].weight.new_zeros(()))
        return {"projection": self.method.weight * total}

    def values(self) -> Mapping[str, float]:
        """Of every block |(I - P) W| / |W|."""
        found = {}
        for index, branch in enumerate(self.branches):
            size = float(branch.weight.detach().square().sum())
            distance = float(squared_distance(branch).detach())
            found[f"distance {index}"] = (distance / size) ** 0.5 if size else 0.0
        return found


def squared_distance(branch: LinearBranch) -> Tensor:
    """|(I - P) W|^2, the squared distance of a linear branch to the maps that commute with its group."""
    return (branch.weight - branch.averaged_weight()).square().sum()


def averaged(model: nn.Module) -> AbstractContextManager[None]:
    """Within the block all linear branches of a model are averaged over their groups."""
    branches = [part for part in model.modules() if isinstance(part, LinearBranch)]
    return switched(branches, "is_averaged", True)
