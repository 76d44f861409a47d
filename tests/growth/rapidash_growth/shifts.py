"""A self-supervised objective: equal features of a ring and its shift, and a linear probe of them as the score."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rapidash.methods import Objective, Score, Step, in_eval_mode
from rapidash_growth.ring import Rings, Shifts


def features(model: nn.Module, batch: object) -> Tensor:
    inner = getattr(model, "model", model)
    return inner.backbone.body(batch["signal"])


@dataclass(frozen=True)
class SameUnderShifts(Objective):
    spread: float = 1.0

    def step(self, model: nn.Module, task: object, batch: object, rng: torch.Generator) -> Step:
        g = Shifts(batch["signal"].shape[1]).sample(batch.num_samples, generator=rng)
        first, second = features(model, batch), features(model, batch.transform(g))
        apart, collapse = (first - second).square().mean(), (1 - first.std(dim=0)).clamp(min=0).mean()
        return Step(apart + self.spread * collapse, None, {"apart": apart, "collapse": collapse})

    def score(self, model, task, data, *, train, batch_size, seed=0, average=None) -> Score:
        if average is not None:
            raise ValueError("this objective makes no predictions that could be averaged")
        with in_eval_mode(model), torch.no_grad():
            (x, y), (z, target) = (probed(model, part) for part in (train, data))
        probe = torch.linalg.lstsq(x, y, driver="gels").solution  # the default's last bits differ from call to call
        error = float((z @ probe - target).square().mean())
        return Score(error, {"deviation of features": float(z.std())})


def probed(model: nn.Module, data: Rings) -> tuple[Tensor, Tensor]:
    """Features with a constant beside them, and targets, in float64."""
    batch = data.batch(torch.arange(len(data)))
    found = features(model, batch.to(dtype=next(model.parameters()).dtype)).double()
    return torch.cat([found, torch.ones(len(found), 1, dtype=torch.float64)], dim=1), batch["target"]
