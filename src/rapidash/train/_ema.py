"""Exponential moving average of the weights."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class WeightAverage:
    r"""Averaged weights, w <- d_t w + (1 - d_t) p with d_t = min(decay, (1 + t) / (10 + t)) at update t = 0, 1, ...

    Early updates weigh more, so that a short run does not average over its untrained start. The running statistics of
    batch normalization are averaged like weights, which they belong to; other buffers are those of the model. Decay 0
    keeps the weights themselves, at no cost. (``AveragedModel`` of torch has a fixed decay, a second module, and a
    device synchronization in each update.)

    Args:
        model: whose trainable parameters and running statistics are averaged.
        decay: in [0, 1).
        without: parameters that are not averaged.
    """

    def __init__(self, model: nn.Module, decay: float, without: Collection[nn.Parameter] = ()) -> None:
        self.decay, self.num_updates = decay, 0
        left_out = {id(parameter) for parameter in without}
        self._weights = {n: w for n, w in _averaged(model) if id(w) not in left_out} if decay else {}
        self._average = {name: weight.detach().clone() for name, weight in self._weights.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take in the model's present weights."""
        if self._weights:
            decay = min(self.decay, (1 + self.num_updates) / (10 + self.num_updates))
            torch._foreach_lerp_(list(self._average.values()), list(self._weights.values()), 1.0 - decay)
        self.num_updates += 1

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within the block the model holds the averaged weights."""
        kept = {name: weight.detach().clone() for name, weight in self._weights.items()}
        self._load(self._average)
        try:
            yield
        finally:
            self._load(kept)

    def state_dict(self) -> dict[str, Tensor]:
        """The averaged weights by parameter name."""
        return self._average

    def load_state_dict(self, state: Mapping[str, Tensor], num_updates: int) -> None:
        """Continue from saved averages; one that was not averaged then starts from the model."""
        for name, average in self._average.items():
            average.copy_(state.get(name, self._weights[name].detach()))
        self.num_updates = num_updates

    @torch.no_grad()
    def _load(self, weights: Mapping[str, Tensor]) -> None:
        for name, weight in self._weights.items():
            weight.copy_(weights[name])


def _averaged(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Trainable parameters, and the running statistics of batch normalization, by their names in the model."""
    yield from ((name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad)
    for place, module in model.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is not None:
            for name in ("running_mean", "running_var"):
                yield f"{place}.{name}".lstrip("."), module.get_buffer(name)
