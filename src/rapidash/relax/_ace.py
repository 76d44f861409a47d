"""ACE: free branches that the data may open, and that dual ascent closes."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from rapidash._plain import check_fields
from rapidash.groups import Group, parse_group
from rapidash.methods import FULL, Control, Method, ParamGroup, StepView
from rapidash.models import NetworkConfig, Rapidash, RapidashConfig
from rapidash.nn import ConvNextBlock
from rapidash.relax._dual_ascent import DualAscent
from rapidash.relax._free_branches import FiberMLP, OffsetMLP
from rapidash.relax._relaxed_layer import project, relax_blocks, relaxation, relaxed_blocks
from rapidash.symmetry import Ledger

if TYPE_CHECKING:
    from rapidash.methods import Task

PROJECTED = "projected"


@dataclass(frozen=True)
class ACE(Method):
    r"""Adaptive constrained equivariance, equality form: f_eq + gamma f_free in every block, subject to gamma = 0.

    A free branch breaks rotations and keeps translations: on R^D x S^(D-1) an MLP that numbers the orientations, on R^D
    one that sees the components of offsets. Dual ascent closes the gates during the run, see `DualAscent`. Views are
    ``"projected"``, the equivariant network with all branches dropped, whose result is that of the variant, and
    ``"full"``. How far the full view is from equivariance is measured: a gate does not tell, since gamma f_free is the
    same for (gamma / a, a f_free).

    Args:
        gate: initial value of every gate; 0: no branch at all, plain training.
        hidden: width of the free branches.
        lr: rate of the gates, which move by plain gradient descent.
        tau: time constant of the dual ascent as a share of the run.
        damping: of the gates, at least 0; None: critical.
        is_bounded: spectral normalization of the free branches.
    Raises: ValueError for values outside the above.
    Source: Manolache et al., arXiv 2505.13631; free branches and damping are ours.
    """

    gate: float = 1.0
    hidden: int = 64
    lr: float = 0.02
    tau: float = 0.1
    damping: float | None = None
    is_bounded: bool = True

    def __post_init__(self) -> None:
        check_fields(self)
        if self.hidden < 1:
            raise ValueError(f"hidden must be at least 1, got {self.hidden}")
        DualAscent([nn.Parameter(torch.zeros(()))], 1, lr=self.lr, tau=self.tau, damping=self._damping)

    @property
    def primary_view(self) -> str:  # type: ignore[override]
        """The projected network, which is equivariant."""
        return PROJECTED if self.gate else FULL

    def check(self, model: NetworkConfig) -> None:
        """It needs the blocks of a Rapidash network whose kernels keep rotations."""
        if not isinstance(model, RapidashConfig):
            raise ValueError(f"it relaxes the blocks of a network of kind 'rapidash', got {model.kind!r}")
        group = parse_group(model.symmetry)
        if not group.linear.generators(group.dim).numel():
            raise ValueError(f"a network with symmetry {model.symmetry} keeps no rotation that could be relaxed")

    def modify(self, model: nn.Module, task: "Task") -> nn.Module:
        """Put a free branch beside every block."""
        return relax_blocks(model, self._make_free, gate=self.gate) if self.gate else model

    def control(self, model: nn.Module, total_steps: int) -> "ACEControl | None":
        """Closes the gates."""
        return ACEControl(self, model, total_steps) if self.gate else None

    def views(self, model: nn.Module) -> Mapping[str, Any]:
        """The projected network beside the full one."""

        def projected(model: nn.Module) -> AbstractContextManager[None]:
            return relaxation(model, on=False)

        return {PROJECTED: projected} if self.gate else {}

    def finish(self, model: nn.Module) -> nn.Module:
        """The network without its free branches."""
        return project(model) if self.gate else model

    def ledger(self, before: Ledger, view: str) -> Ledger:
        """The projected network keeps what it had; the full one keeps no rotation."""
        if not self.gate:
            return before
        if view == PROJECTED:
            return replace(before, reasons=(*before.reasons, "the free branches of ACE are dropped"))
        layers, effective = before.layers, before.effective
        if not isinstance(layers, Group) or not isinstance(effective, Group):
            raise ValueError(f"ACE relaxes motions of space, the ledger says {effective.name}")
        axes = torch.eye(effective.dim, dtype=torch.float64)
        kept = effective.stabilizer(axes)
        reasons = (*before.reasons, f"the free branches of ACE see directions: {effective} is reduced to {kept}")
        return Ledger(layers.stabilizer(axes), kept, reasons, True, before.oracle, exactness=before.exactness)

    @property
    def _damping(self) -> float | str:
        return "critical" if self.damping is None else self.damping

    def _make_free(self, network: Rapidash, block: ConvNextBlock) -> nn.Module:
        channels = block.norm.normalized_shape[0]
        if network.invariants.has_orientations:
            return FiberMLP(len(network.grid), channels, hidden=self.hidden, is_bounded=self.is_bounded)
        return OffsetMLP(
            channels,
            network.dim,
            basis_dim=network.config.basis_dim,
            hidden=self.hidden,
            is_bounded=self.is_bounded,
        )


class ACEControl(Control):
    """The gates of a relaxed model and their multipliers."""

    def __init__(self, method: ACE, model: nn.Module, total_steps: int) -> None:
        gates: Sequence[nn.Parameter] = [block.gate for block in relaxed_blocks(model)]
        self.ascent = DualAscent(gates, total_steps, lr=method.lr, tau=method.tau, damping=method._damping)

    def param_groups(self) -> Sequence[ParamGroup]:
        """The gates: plain gradient descent, no decay, not averaged; a gate moves by at most 0.1 in a step."""
        rate = self.ascent.lr
        return [ParamGroup(self.ascent.gates, lr=rate, optimizer="sgd", is_averaged=False, grad_clip=0.1 / rate)]

    def terms(self, view: StepView) -> Mapping[str, Tensor]:
        """The Lagrangian's terms in the gates."""
        return {"ace": self.ascent.penalty()}

    def after(self, view: StepView) -> None:
        """The step of the multipliers."""
        self.ascent.step()

    def values(self) -> Mapping[str, float]:
        """Gates and multipliers, block by block."""
        gates = {f"gate {index}": float(gate.detach()) for index, gate in enumerate(self.ascent.gates)}
        return gates | {f"multiplier {index}": float(value) for index, value in enumerate(self.ascent.multipliers)}

    def state_dict(self) -> dict[str, Any]:
        """The multipliers; the gates are parameters of the model."""
        return self.ascent.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from saved multipliers."""
        self.ascent.load_state_dict(dict(state))
