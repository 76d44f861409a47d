r"""Damped dual ascent for the constraint that gates be zero, or no larger than they must be."""

import math
from collections.abc import Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

Form = Literal["equality", "resilient"]
_LEAST_STEPS = 10  # of the time constant
_MOVES = 1e-4  # of a gate in a step, which float32 cannot lose for a gate of order 1


class DualAscent:
    r"""Descent in the gates and ascent in their multipliers, for min J(gamma) under a constraint on every gate.

    ``"equality"``: subject to gamma = 0, with the slack s = gamma.

    .. math::
        \gamma &\leftarrow \gamma - \eta_p\,(\partial_\gamma J + \lambda + \mu s) \\
        \lambda &\leftarrow \lambda + \eta_d\, s

    ``"resilient"``: min J + rho |u|^2 / 2 subject to |gamma| <= u, with s = |gamma| - u and sign(0) = 0.

    .. math::
        \gamma &\leftarrow \gamma - \eta_p\,(\partial_\gamma J + (\lambda + \mu s)\,\mathrm{sign}\,\gamma) \\
        u &\leftarrow u - \eta_p\,(\rho u - \lambda - \mu s) \\
        \lambda &\leftarrow \max(0, \lambda + \eta_d\, s)

    All from lambda = u = 0, with the slack before the step. The gates move by plain gradient descent, so that both
    rates mean what they say. The damping mu acts on the slack, which vanishes at a fixed point: there lambda = rho u,
    and |gamma| = u wherever lambda > 0, whatever mu is.

    For J without curvature the slack swings below mu = 2 sqrt(eta_d / eta_p) in equality form; in resilient form below
    sqrt(2 eta_d / eta_p) - rho / 4, since its gradient has the squared length 2 and the price of u is curvature too.
    Without damping (mu = 0, as published) equality relies on the curvature of the loss, and grows without bound where
    eta_d exceeds that. The time constant is 1 / sqrt(eta_p eta_d) steps.

    Args:
        gates: the constrained parameters.
        total_steps: of the run.
        form: ``"equality"`` or ``"resilient"``.
        lr: eta_p, the rate of the gates and of u.
        tau: the time constant as a share of the run; it sets eta_d = 1 / (eta_p max(tau total_steps, 10)^2).
        damping: mu; ``"critical"``: where the slack begins to swing, see above, at least 0.
        rho: price of u, above 0.
    Raises: ValueError for no gate, a gate that takes no gradient, or values outside the above.
    Source: Manolache et al., "Learning (Approximately) Equivariant Networks via Constrained Optimization",
        arXiv 2505.13631; the signs of the resilient form are those that its Lagrangian implies, the damping is ours.
    """

    def __init__(
        self,
        gates: Sequence[nn.Parameter],
        total_steps: int,
        *,
        form: Form = "equality",
        lr: float = 0.02,
        tau: float = 0.1,
        damping: float | str = "critical",
        rho: float = 1.0,
    ) -> None:
        if not gates:
            raise ValueError("dual ascent needs at least one gate")
        for index, gate in enumerate(gates):
            if not gate.requires_grad:
                raise ValueError(
                    f"gate {index} is frozen (requires_grad is False), and dual ascent moves it by its gradient: call "
                    "gate.requires_grad_(True), or leave the gate out"
                )
        if form not in get_args(Form):
            raise ValueError(f"form must be one of {', '.join(map(repr, get_args(Form)))}, got {form!r}")
        if not (0 < lr < math.inf and 0 < tau < math.inf):
            raise ValueError(f"lr and tau must be positive and finite, got {lr} and {tau}")
        if not 0 < rho <= 1 / lr:
            raise ValueError(f"rho must be above 0 and at most 1 / lr = {1 / lr:g}, got {rho}")
        self.gates, self.form, self.lr, self.rho = list(gates), form, lr, rho
        self.dual_lr = 1.0 / (lr * max(tau * total_steps, _LEAST_STEPS) ** 2)
        critical = 2.0 * math.sqrt(self.dual_lr / lr)
        if self.is_resilient:
            critical = max(0.0, math.sqrt(2.0 * self.dual_lr / lr) - rho / 4)
        if isinstance(damping, str) and damping != "critical":
            raise ValueError(f"damping must be 'critical' or a number of at least 0, got {damping!r}")
        self.damping = critical if isinstance(damping, str) else float(damping)
        if not 0 <= self.damping < math.inf:
            raise ValueError(f"damping must be 'critical' or a number of at least 0, got {damping!r}")
        self.multipliers = torch.zeros(len(self.gates), dtype=torch.float64)
        self.slacks = torch.zeros_like(self.multipliers)
        """u; zero in equality form."""
        self._seen = torch.zeros_like(self.multipliers)

    @property
    def is_resilient(self) -> bool:
        """Whether the constraint is |gamma| <= u with a price on u."""
        return self.form == "resilient"

    def penalty(self) -> Tensor:
        """The sum over gates of lambda s + mu s^2 / 2 in their gates, with gradients to these; remembers the gates."""
        stacked = torch.stack([gate.reshape(()) for gate in self.gates])
        self._seen = stacked.detach().double().cpu()
        slack = self._slack(stacked, self.slacks.to(stacked))
        return (self.multipliers.to(stacked) * slack + 0.5 * self.damping * slack.square()).sum()

    def step(self) -> None:
        """Move u and the multipliers by the gates that the last `penalty` saw; called after the step of the gates.

        Raises: ValueError for a gate that has a gradient and did not move: no optimizer has it.
        """
        self._check_motion()
        slack = self._slack(self._seen, self.slacks)
        if not self.is_resilient:
            self.multipliers = self.multipliers + self.dual_lr * slack
            return
        self.slacks = self.slacks - self.lr * (self.rho * self.slacks - self.multipliers - self.damping * slack)
        self.multipliers = (self.multipliers + self.dual_lr * slack).clamp(min=0)

    def state_dict(self) -> dict[str, Any]:
        """The multipliers and u."""
        return {"multipliers": self.multipliers.clone(), "slacks": self.slacks.clone()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a saved state; one of the time before the resilient form has no u, which is zero."""
        self.multipliers = state["multipliers"].clone()
        self.slacks = state.get("slacks", torch.zeros_like(self.multipliers)).clone()

    def _slack(self, gates: Tensor, slacks: Tensor) -> Tensor:
        return gates.abs() - slacks if self.is_resilient else gates  # the gradient of abs at 0 is 0

    def _check_motion(self) -> None:
        moved = [(index, gate, gate.grad) for index, gate in enumerate(self.gates) if gate.grad is not None]
        if not moved:
            return
        now = torch.stack([gate.detach().reshape(()) for _, gate, _ in moved]).double().cpu()
        wanted = self.lr * torch.stack([grad.abs().reshape(()) for _, _, grad in moved]).double().cpu()
        before = self._seen[[index for index, *_ in moved]]
        stuck = (now == before) & (wanted > _MOVES * before.abs().clamp(min=1))
        if stuck.any():
            raise ValueError(
                f"gate {moved[int(stuck.long().argmax())][0]} has a gradient and did not move: no optimizer moves it. "
                f"Give the gates to torch.optim.SGD(ascent.gates, lr={self.lr}), and call step() after its step"
            )
