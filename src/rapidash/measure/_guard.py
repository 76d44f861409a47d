"""A measurement leaves the model, its mode, its gradients and the random state as they were."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.fx import GraphModule
from torch.nn.modules.module import register_module_forward_pre_hook


@contextmanager
def measuring(fn: Any) -> Iterator[None]:
    """Run a measurement: every random stream is restored at the end, and no module may be in training mode.

    Modules are also found inside adapters such as ``lambda x: model(x).scalars``: each is looked at when it is called.
    The flag of a bare container says nothing of its parts: a slice of a `Sequential` and the graph that torch.compile
    or torch.export makes are in training mode whatever the mode of the network.
    Raises: ValueError for a module in training mode, before it runs.
    """
    if isinstance(fn, nn.Module):
        _refuse_training(fn)

    def look(module: nn.Module, inputs: Any) -> None:
        _refuse_training(module, deep=hasattr(module, "_orig_mod"))  # compiled: its parts are not called one by one

    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    handle = register_module_forward_pre_hook(look)
    try:
        with torch.random.fork_rng(devices=devices), torch.enable_grad(), warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", message=".*there are global hooks on modules"
            )  # of a compiled model: look
            yield
    finally:
        handle.remove()


def _refuse_training(module: nn.Module, *, deep: bool = True) -> None:
    for name, part in module.named_modules() if deep else [("", module)]:
        if part.training and type(part) is not nn.Sequential and not isinstance(part, GraphModule):
            where = f"its part {name!r}" if name else type(part).__name__
            raise ValueError(
                f"the model is in training mode ({where}): call model.eval() first, because dropout and batch "
                "statistics would count as broken symmetry"
            )
