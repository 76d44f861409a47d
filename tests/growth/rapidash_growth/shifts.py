"""A self-supervised objective: equal features of a ring and its shift, and a linear probe of them as the score."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rapidash.methods import Objective, Score, Step, in_eval_mode
from rapidash_growth.ring import Shifts


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
        parameter = next(model.parameters())
        known, asked = (
            part.batch(torch.arange(len(part))).to(parameter.device, parameter.dtype) for part in (train, data)
        )
        with in_eval_mode(model), torch.no_grad():
            x, z = (
                torch.cat([features(model, part), torch.ones(len(part), 1).to(parameter)], dim=1)
                for part in (known, asked)
            )
            probe = torch.linalg.lstsq(
                x, known["target"], driver="gels"
            ).solution  # the default is not bit for bit the same
            return Score(
                float((z @ probe - asked["target"]).square().mean()), {"deviation of features": float(z.std())}
            )
