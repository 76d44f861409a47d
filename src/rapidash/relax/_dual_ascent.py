r"""Damped dual ascent for the constraint that gates be zero."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

_LEAST_STEPS = 10  # of the time constant


class DualAscent:
    r"""Gradient descent in the gates and ascent in their multipliers, for min J(gamma) subject to gamma = 0.

    .. math::
        \gamma &\leftarrow \gamma - \eta_p\,(\partial_\gamma J + \lambda + \mu \gamma) \\
        \lambda &\leftarrow \lambda + \eta_d\, \gamma \quad \text{with the gate before the step}

    from lambda = 0. The gates move by plain gradient descent, so that both rates mean what they say. For J quadratic
    with curvature h the pair oscillates below mu = 2 sqrt(eta_d / eta_p) - h, and grows without bound where
    eta_d > h + mu; without damping (mu = 0, as published) it relies on the curvature of the loss. The time constant is
    1 / sqrt(eta_p eta_d) steps.

    Args:
        gates: the constrained parameters.
        total_steps: of the run.
        lr: eta_p, the rate of the gates.
        tau: the time constant as a share of the run; it sets eta_d = 1 / (eta_p max(tau total_steps, 10)^2).
        damping: mu; ``"critical"``: 2 sqrt(eta_d / eta_p).
    Raises: ValueError for no gate, or values outside the above.
    Source: Manolache et al., "Learning (Approximately) Equivariant Networks via Constrained Optimization",
        arXiv 2505.13631, equality form; the damping is ours.
    """

    def __init__(
        self,
        gates: Sequence[nn.Parameter],
        total_steps: int,
        *,
        lr: float = 0.02,
        tau: float = 0.1,
        damping: float | str = "critical",
    ) -> None:
        if not gates:
            raise ValueError("dual ascent needs at least one gate")
        if not (0 < lr < math.inf and 0 < tau < math.inf):
            raise ValueError(f"lr and tau must be positive and finite, got {lr} and {tau}")
        self.gates, self.lr = list(gates), lr
        self.dual_lr = 1.0 / (lr * max(tau * total_steps, _LEAST_STEPS) ** 2)
        critical = 2.0 * math.sqrt(self.dual_lr / lr)
        if isinstance(damping, str) and damping != "critical":
            raise ValueError(f"damping must be 'critical' or a number of at least 0, got {damping!r}")
        self.damping = critical if isinstance(damping, str) else float(damping)
        if not 0 <= self.damping < math.inf:
            raise ValueError(f"damping must be 'critical' or a number of at least 0, got {damping!r}")
        self.multipliers = torch.zeros(len(self.gates), dtype=torch.float64)
        self._slack = torch.zeros_like(self.multipliers)

    def penalty(self) -> Tensor:
        """The sum over gates of lambda gamma + mu gamma^2 / 2, with gradients to the gates; remembers the gates."""
        stacked = torch.stack([gate.reshape(()) for gate in self.gates])
        self._slack = stacked.detach().double().cpu()
        multipliers = self.multipliers.to(stacked)
        return (multipliers * stacked + 0.5 * self.damping * stacked.square()).sum()

    def step(self) -> None:
        """Move the multipliers by the gates that the last `penalty` saw."""
        self.multipliers = self.multipliers + self.dual_lr * self._slack

    def state_dict(self) -> dict[str, Any]:
        """The multipliers."""
        return {"multipliers": self.multipliers.clone()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from saved multipliers."""
        self.multipliers = state["multipliers"].clone()
