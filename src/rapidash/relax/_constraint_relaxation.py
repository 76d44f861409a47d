"""Constraint relaxation: free linear maps whose gates follow a schedule, and which are kept near equivariant ones."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from rapidash._plain import check_fields
from rapidash.methods import Control, StepView
from rapidash.models import Rapidash
from rapidash.nn import ConvNextBlock
from rapidash.relax._defects import finite_defect, lie_defect
from rapidash.relax._linear_branches import LinearBranch, make_linear
from rapidash.relax._relaxed_layer import Relaxed, relaxed_layers
from rapidash.relax._relaxing import RelaxingMethod, check_choice, check_weight
from rapidash.relax._schedule import Schedule, Triangle

Moved = Literal["auto", "lie", "finite"]
_TINY = 1e-12  # below the root, whose slope at 0 is infinite


@dataclass(frozen=True)
class ConstraintRelaxation(RelaxingMethod):
    r"""f_eq + theta(t) W in every block, with a gate on a schedule, and W held small and near the maps that commute.

    .. math::
        \text{loss} + w_d \sqrt{S_d} + w_s \sqrt{S_s}, \qquad
        S_s = \overline{(W \bar x)^2}, \qquad
        S_d = \overline{(W\, d\rho(A)\, \bar x - d\rho(A)\, W \bar x)^2}
        \;\text{ or }\; \overline{(W \rho(g) \bar x - \rho(g) W \bar x)^2}

    Bars over squares are means over blocks, points and entries (and generators A), so that the weights do not depend on
    sizes; x is what W sees, without gradient. The group is that of the network: on R^D x S^(D-1) W acts on orientations
    and channels side by side, with (O C)^2 entries, and g is drawn anew for every point from the motions that permute
    the grid; on R^D it acts on the components of offsets, and A runs over the rotations. The result is the view
    ``"projected"`` without W. With a schedule that ends at 0 the full view is the same function at the end.

    Args:
        schedule: of the gate theta, over the steps of the run.
        height: the schedule's factor; 0: no branch at all, plain training.
        defect_weight, size_weight: w_d and w_s, at least 0.
        moved: ``"lie"`` by generators, ``"finite"`` by elements, ``"auto"``: lie where there are generators.
        scale: standard deviation of the initial W, above 0.
    Raises: ValueError for values outside the above.
    Source: Pertigkiozoglou et al., "Improving Equivariant Model Training via Constraint Relaxation", NeurIPS 2024,
        arXiv 2408.13242. There the squares are summed, so that its weights of 0.01 are larger here, by the root of the
        number of entries.
    """

    schedule: Schedule = field(default_factory=Triangle)
    height: float = 1.0
    defect_weight: float = 0.3
    size_weight: float = 0.3
    moved: Moved = "auto"
    scale: float = 0.01

    def __post_init__(self) -> None:
        check_fields(self)
        if not isinstance(self.schedule, Schedule):
            raise ValueError(f"schedule must be a Schedule, e.g. Triangle(), got {self.schedule!r}")
        check_choice("moved", self.moved, Moved)
        for name in ("defect_weight", "size_weight"):
            check_weight(name, getattr(self, name))
        if not (math.isfinite(self.height) and 0 < self.scale < math.inf):
            raise ValueError(f"height must be finite and scale positive, got {self.height} and {self.scale}")

    @property
    def is_on(self) -> bool:
        """Whether the gate ever opens."""
        return self.height != 0

    @property
    def drops_branches(self) -> bool:
        """Always."""
        return True

    @property
    def initial_gate(self) -> float:
        """The gate at the beginning of the schedule."""
        return self.gate_after(0.0)

    def gate_after(self, share: float) -> float:
        """The gate after a share of the run."""
        return self.height * self.schedule(share)

    def make_free(self, network: Rapidash, block: ConvNextBlock) -> nn.Module:
        """A linear map."""
        return make_linear(network, block, scale=self.scale)

    def control(self, model: nn.Module, total_steps: int) -> "ConstraintRelaxationControl | None":
        """Moves the gate, and adds the penalties."""
        return ConstraintRelaxationControl(self, model, total_steps) if self.is_on else None


class ConstraintRelaxationControl(Control):
    """The gates of linear branches on a schedule, and their penalties.

    Raises: ValueError for a branch that is no `LinearBranch`, or has no generators where these are asked for.
    """

    def __init__(self, method: ConstraintRelaxation, model: nn.Module, total_steps: int) -> None:
        self.method, self.total_steps = method, total_steps
        self.layers = relaxed_layers(model)
        for branch in linear_branches(self.layers):
            if method.moved == "lie" and not len(branch.group.generators()):
                raise ValueError(
                    f"moved='lie' needs generators, and {branch.group.name}, which acts on the branch "
                    f"{type(branch).__name__}, has none: use 'finite'"
                )

    def before(self, step: int) -> None:
        """The gate of this step."""
        self._set_gate(step)
        for layer in self.layers if self._has_penalty else ():
            layer.watch()

    def terms(self, view: StepView) -> Mapping[str, Tensor]:
        """The two penalties; without weight they are not computed."""
        if not self._has_penalty:
            return {}
        seen = [layer.seen() for layer in self.layers]
        branches = linear_branches(self.layers)
        with torch.no_grad():
            features = [branch.features(*args) for branch, args in zip(branches, seen, strict=True)]
        terms = {}
        if self.method.defect_weight:
            pairs = zip(branches, features, strict=True)
            defects = [self._defect(branch, x, view.rng).square().mean() for branch, x in pairs]
            terms["relaxation defect"] = self.method.defect_weight * root_of_mean(defects)
        if self.method.size_weight:
            sizes = [branch.map(x).square().mean() for branch, x in zip(branches, features, strict=True)]
            terms["relaxation size"] = self.method.size_weight * root_of_mean(sizes)
        return terms

    def after(self, view: StepView) -> None:
        """The gate after this step, with which the full view is validated."""
        self._set_gate(view.step + 1)

    def values(self) -> Mapping[str, float]:
        """The gate, the same in every block."""
        return {"gate": float(self.layers[0].gate)}

    @property
    def _has_penalty(self) -> bool:
        return bool(self.method.defect_weight or self.method.size_weight)

    def _set_gate(self, step: int) -> None:
        value = self.method.gate_after(step / self.total_steps)
        for layer in self.layers:
            layer.gate.fill_(value)

    def _defect(self, branch: LinearBranch, x: Tensor, rng: torch.Generator) -> Tensor:
        generators = branch.group.generators()
        if self.method.moved == "finite" or not len(generators):
            elements = branch.group.sample(len(x), generator=rng)
            return finite_defect(branch.map, x, elements, branch.inputs, branch.outputs)
        return lie_defect(branch.map, x, generators, branch.inputs, branch.outputs)


def linear_branches(layers: list[Relaxed]) -> list[LinearBranch]:
    """The free branches of relaxed layers.

    Raises: ValueError for one that does not say how the group acts on it.
    """
    found = []
    for layer in layers:
        if not isinstance(layer.free, LinearBranch):
            raise ValueError(
                f"the free branch {type(layer.free).__name__} does not say how the group acts on it: derive it from "
                "rapidash.relax.LinearBranch"
            )
        found.append(layer.free)
    return found


def root_of_mean(squares: list[Tensor]) -> Tensor:
    """The root of a mean of squares, with a finite gradient where all are 0."""
    return (torch.stack(squares).mean() + _TINY).sqrt()
