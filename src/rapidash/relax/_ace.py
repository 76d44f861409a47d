"""ACE: free branches that the data may open, and that dual ascent closes as far as the data let it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from rapidash._plain import check_fields
from rapidash.methods import Control, ParamGroup, StepView
from rapidash.models import Rapidash
from rapidash.nn import ConvNextBlock
from rapidash.relax._dual_ascent import DualAscent, Form
from rapidash.relax._free_branches import Normalization
from rapidash.relax._relaxed_layer import relaxed_layers
from rapidash.relax._relaxing import RelaxingMethod, Sees, check_choice, make_mlp


@dataclass(frozen=True)
class ACE(RelaxingMethod):
    r"""Adaptive constrained equivariance: f_eq + gamma f_free in every block, under a constraint on gamma.

    A free branch breaks rotations and keeps translations: on R^D x S^(D-1) an MLP that numbers the orientations, on R^D
    one that sees the components of offsets; one that sees positions breaks translations too. `DualAscent` acts on the
    gates during the run. In ``"equality"`` form, gamma = 0, it closes them, and the result is the view
    ``"projected"``, the equivariant network with all branches dropped. In ``"resilient"`` form, |gamma| <= u with a
    price on u, it leaves them as far open as the data ask for, and the result is the view ``"full"``. Both have both
    views. How far the full view is from equivariance is measured: a gate does not tell, since gamma f_free is the same
    for (gamma / a, a f_free).

    Args:
        gate: initial value of every gate; 0: no branch at all, plain training.
        hidden: width of the free branches.
        lr: rate of the gates, which move by plain gradient descent.
        tau: time constant of the dual ascent as a share of the run.
        damping: of the slack, at least 0; None: critical; 0 is the published method.
        is_bounded: whether the matrices of the free branches are normalized.
        form: ``"equality"`` or ``"resilient"``.
        rho: price of u, above 0, in resilient form.
        bound: how matrices are normalized: ``"spectral"`` or ``"norm"``, see `FiberMLP`.
        sees: what the free branches see: ``"directions"``, or ``"positions"`` too. Of the relaxed layers of a network
            of your own: what theirs see.
    Raises: ValueError for values outside the above.
    Source: Manolache et al., arXiv 2505.13631; free branches and damping are ours.
    """

    gate: float = 1.0
    hidden: int = 64
    lr: float = 0.02
    tau: float = 0.1
    damping: float | None = None
    is_bounded: bool = True
    form: Form = field(default="equality", metadata={"absent": "equality"})
    rho: float = field(default=1.0, metadata={"absent": 1.0})
    bound: str = field(default="spectral", metadata={"absent": "spectral"})
    sees: Sees = field(default="directions", metadata={"absent": "directions"})

    def __post_init__(self) -> None:
        check_fields(self)
        if self.hidden < 1:
            raise ValueError(f"hidden must be at least 1, got {self.hidden}")
        if self.bound not in ("spectral", "norm"):
            raise ValueError(f"bound must be 'spectral' or 'norm', got {self.bound!r}: is_bounded=False is none")
        check_choice("sees", self.sees, Sees)
        self.ascent([nn.Parameter(torch.zeros(()))], 1)

    @property
    def is_on(self) -> bool:
        """Whether the gates begin open."""
        return self.gate != 0

    @property
    def drops_branches(self) -> bool:
        """In equality form."""
        return self.form == "equality"

    @property
    def initial_gate(self) -> float:
        """The field ``gate``."""
        return self.gate

    @property
    def trains_gates(self) -> bool:
        """Gates are trained."""
        return True

    @property
    def branches_see(self) -> Sees:
        """The field ``sees``."""
        return self.sees

    def control(self, model: nn.Module, total_steps: int) -> "ACEControl | None":
        """Moves gates and multipliers."""
        return ACEControl(self, model, total_steps) if self.is_on else None

    def ascent(self, gates: Sequence[nn.Parameter], total_steps: int) -> DualAscent:
        """The dual ascent of these settings."""
        damping = "critical" if self.damping is None else self.damping
        return DualAscent(gates, total_steps, form=self.form, lr=self.lr, tau=self.tau, damping=damping, rho=self.rho)

    def make_free(self, network: Rapidash, block: ConvNextBlock) -> nn.Module:
        """An MLP."""
        normalize: Normalization = None
        if self.is_bounded:
            normalize = "norm" if self.bound == "norm" else "spectral"
        return make_mlp(network, block, sees=self.sees, hidden=self.hidden, normalize=normalize)


class ACEControl(Control):
    """The gates of a relaxed model and their multipliers."""

    def __init__(self, method: ACE, model: nn.Module, total_steps: int) -> None:
        gates = [gate for layer in relaxed_layers(model) if isinstance(gate := layer.gate, nn.Parameter)]
        self.ascent = method.ascent(gates, total_steps)

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
        """Gates and multipliers, block by block, and u in resilient form."""
        found = {f"gate {index}": float(gate.detach()) for index, gate in enumerate(self.ascent.gates)}
        found |= {f"multiplier {index}": float(value) for index, value in enumerate(self.ascent.multipliers)}
        if self.ascent.is_resilient:
            found |= {f"slack {index}": float(value) for index, value in enumerate(self.ascent.slacks)}
        return found

    def state_dict(self) -> dict[str, Any]:
        """The multipliers and u; the gates are parameters of the model."""
        return self.ascent.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from saved multipliers."""
        self.ascent.load_state_dict(dict(state))
