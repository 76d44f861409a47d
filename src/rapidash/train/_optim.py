"""Optimizers and the learning-rate schedule."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from rapidash.methods import ParamGroup
from rapidash.train._config import TrainConfig
from rapidash.train._muon import StackedMuon

_HIDDEN_WIDTH = 16


def learning_rate(step: int, config: TrainConfig) -> float:
    """The rate of step 0, 1, ..., steps - 1: (step + 1) / warmup_steps of the peak, then a cosine to 0 at ``steps``.

    With the constant schedule it stays at the peak.
    """
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    if config.schedule == "constant":
        return config.learning_rate
    rest = max(1, config.steps - config.warmup_steps)
    progress = min(1.0, (step - config.warmup_steps) / rest)
    return config.learning_rate * 0.5 * (1.0 + math.cos(math.pi * progress))


def trainable_parameters(model: nn.Module) -> list[nn.Parameter]:
    """The parameters that need gradients.

    Raises: ValueError when there are none.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not parameters:
        raise ValueError(f"{type(model).__name__} has no parameter that needs a gradient: there is nothing to train")
    return parameters


def parameter_groups(parameters: Sequence[nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    """Groups for an optimizer: weight decay on arrays of 2 or more axes, none on biases, norms and layer scales."""
    decayed = [parameter for parameter in parameters if parameter.dim() >= 2]
    plain = [parameter for parameter in parameters if parameter.dim() < 2]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def is_hidden_matrix(parameter: Tensor) -> bool:
    """Whether Muon takes it: two axes, the smaller of at least 16. First and last layers are narrower on one side."""
    return parameter.dim() == 2 and min(parameter.shape) >= _HIDDEN_WIDTH


def build_optimizers(
    model: nn.Module, config: TrainConfig, owned: Sequence[ParamGroup] = ()
) -> list[torch.optim.Optimizer]:
    """AdamW over all parameters, or Muon over the hidden matrices with AdamW over the rest; owned ones as they say.

    Muon's update is scaled to the root mean square of AdamW's, so both share one learning rate and one decay.
    AdamW runs fused, which on the CPU takes about a quarter of the time of the loop over tensors.

    Source: Loshchilov & Hutter, arXiv 1711.05101 (AdamW); Jordan et al. 2024 and Liu et al., arXiv 2502.16982 (Muon).
    """
    foreign = {id(parameter) for group in owned for parameter in group.params}
    parameters = [parameter for parameter in trainable_parameters(model) if id(parameter) not in foreign]
    chosen = [p for p in parameters if is_hidden_matrix(p)] if config.optimizer == "muon" else []
    taken = {id(parameter) for parameter in chosen}
    rest = [parameter for parameter in parameters if id(parameter) not in taken]
    optimizers: list[torch.optim.Optimizer] = []
    if chosen:
        rate, decay = config.learning_rate, config.weight_decay
        optimizers.append(StackedMuon(chosen, lr=rate, weight_decay=decay, adjust_lr_fn="match_rms_adamw"))
    if rest:
        groups = parameter_groups(rest, config.weight_decay)
        optimizers.append(torch.optim.AdamW(groups, lr=config.learning_rate, fused=True))
    return optimizers + [_owned_optimizer(group, config) for group in owned if len(group.params)]


def _owned_optimizer(group: ParamGroup, config: TrainConfig) -> torch.optim.Optimizer:
    entry = {"params": list(group.params), "weight_decay": group.weight_decay, "own_rate": group.lr}
    rate = config.learning_rate if group.lr is None else group.lr
    if group.optimizer == "sgd":
        return torch.optim.SGD([entry], lr=rate)
    return torch.optim.AdamW([entry], lr=rate)


def set_learning_rate(optimizers: Sequence[torch.optim.Optimizer], rate: float) -> None:
    """Give every parameter group the rate of this step, but those that have one of their own."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            own = group.get("own_rate")
            group["lr"] = rate if own is None else own
