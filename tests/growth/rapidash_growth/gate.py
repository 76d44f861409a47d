"""A method with learned scalars of its own: a gated branch, closed by a dual variable."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rapidash.methods import Control, Method, ParamGroup, StepView


class Gated(nn.Module):
    """model(x) + gate * model(x shifted by one): a second look at the data, which `is_closed` leaves out."""

    def __init__(self, model: nn.Module, gate: float) -> None:
        super().__init__()
        self.model, self.is_closed = model, False
        self.gate = nn.Parameter(torch.tensor(gate))

    def forward(self, batch: object) -> Tensor:
        out = self.model(batch)
        if self.is_closed:
            return out
        return out + self.gate * self.model(batch.with_tensor("signal", batch["signal"].roll(1, dims=1)))


@contextmanager
def closed(model: nn.Module) -> Iterator[None]:
    before, model.is_closed = model.is_closed, True
    try:
        yield
    finally:
        model.is_closed = before


@dataclass(frozen=True)
class Gate(Method):
    start: float = 0.5
    primary_view = "closed"

    def modify(self, model: nn.Module, task: object) -> nn.Module:
        return Gated(model, self.start)

    def control(self, model: nn.Module, total_steps: int) -> Control:
        return GateControl(model)

    def views(self, model: nn.Module) -> Mapping[str, object]:
        return {"closed": closed}

    def finish(self, model: nn.Module) -> nn.Module:
        return model.model


class GateControl(Control):
    def __init__(self, model: Gated) -> None:
        self.model, self.dual, self.last = model, 0.0, 0.0

    def param_groups(self) -> list[ParamGroup]:
        return [ParamGroup([self.model.gate], lr=0.05, optimizer="sgd", is_averaged=False)]

    def terms(self, view: StepView) -> dict[str, Tensor]:
        self.last = float(self.model.gate.detach())
        return {"gate": self.dual * self.model.gate}

    def after(self, view: StepView) -> None:
        self.dual += 0.5 * self.last

    def values(self) -> dict[str, float]:
        return {"gate": float(self.model.gate.detach()), "dual": self.dual}

    def state_dict(self) -> dict[str, float]:
        return {"dual": self.dual}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        self.dual = state["dual"]
