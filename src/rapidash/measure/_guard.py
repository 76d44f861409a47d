"""A measurement leaves the model, its mode, its gradients and the random state as they were."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook


@contextmanager
def measuring(fn: Any) -> Iterator[None]:
    """Run a measurement: every random stream is restored at the end, and no module may be in training mode.

    Modules are also found inside adapters such as ``lambda x: model(x).scalars``: each is looked at when it is called.
    Raises: ValueError for a module in training mode, before it runs.
    """
    if isinstance(fn, nn.Module):
        _refuse_training(fn)

    def look(module: nn.Module, inputs: Any) -> None:
        _refuse_training(module, deep=False)

    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    handle = register_module_forward_pre_hook(look)
    try:
        with torch.random.fork_rng(devices=devices), torch.enable_grad():
            yield
    finally:
        handle.remove()


def _refuse_training(module: nn.Module, *, deep: bool = True) -> None:
    for name, part in module.named_modules() if deep else [("", module)]:
        if part.training and type(part) is not nn.Sequential:  # a slice of a network in eval mode is a new container
            where = f"its part {name!r}" if name else type(part).__name__
            raise ValueError(
                f"the model is in training mode ({where}): call model.eval() first, because dropout and batch "
                "statistics would count as broken symmetry"
            )
