"""A measurement leaves the model, its mode, its buffers, its gradients and the random state as they were."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.nn.parameter import is_lazy


@contextmanager
def measuring(fn: Any) -> Iterator[None]:
    """Run a measurement: random streams and buffers are restored at the end, and no module may be in training mode.

    Modules are also found inside adapters such as ``lambda x: model(x).scalars``: each is looked at when it is called.
    A buffer that gets another shape, or did not exist, is a cache and stays. Parameters are not copied: a change of one
    gives a warning.
    The flag of a bare container says nothing of its parts: a slice of a `Sequential` and the graph that torch.compile
    or torch.export makes are in training mode whatever the mode of the network.
    Raises: ValueError for a module in training mode, before it runs.
    """
    state = _State()
    if isinstance(fn, nn.Module):
        _refuse_training(fn)
        state.keep(fn)

    def look(module: nn.Module, inputs: Any) -> None:
        _refuse_training(module, deep=hasattr(module, "_orig_mod"))  # compiled: its parts are not called one by one
        if not torch.compiler.is_compiling():
            state.keep(module)

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
        state.put_back()


class _State:
    """The buffers of modules before they ran, and which version their parameters had."""

    def __init__(self) -> None:
        self.known: set[nn.Module] = set()
        self.buffers: list[tuple[nn.Module, str, Tensor, Tensor, int | None]] = []
        self.parameters: list[tuple[str, Tensor, int | None]] = []

    def keep(self, module: nn.Module) -> None:
        """Remember the state of a module and its parts, once.

        Raises: ValueError for a graph that was exported in training mode.
        """
        if module in self.known:
            return
        for part in module.modules():
            if part in self.known:
                continue
            _refuse_training_graph(part)
            self.known.add(part)
            for name, buffer in part.named_buffers(recurse=False):
                if not is_lazy(buffer):
                    self.buffers.append((part, name, buffer, buffer.detach().clone(), _version(buffer)))
            for name, parameter in part.named_parameters(recurse=False):
                self.parameters.append((f"{type(part).__name__}.{name}", parameter, _version(parameter)))

    def put_back(self) -> None:
        """Every buffer has the value that it had."""
        for module, name, buffer, value, version in self.buffers:
            now = getattr(module, name, None)
            if not isinstance(now, Tensor) or (now.shape, now.dtype) != (value.shape, value.dtype):
                continue
            if version is None or _version(buffer) != version:
                with torch.inference_mode(buffer.is_inference()), torch.no_grad():
                    buffer.copy_(value)
            if now is not buffer:
                setattr(module, name, buffer)
        changed = [name for name, parameter, version in self.parameters if _version(parameter) != version]
        if changed:
            warnings.warn(
                f"the model changes its parameters when it is called ({', '.join(changed)}): they stay changed, and "
                "every element was measured with other ones",
                RuntimeWarning,
                stacklevel=4,
            )


def _version(value: Tensor) -> int | None:
    """The number of times that a tensor has been written to; None where it is not counted."""
    return None if value.is_inference() else value._version


def _refuse_training(module: nn.Module, *, deep: bool = True) -> None:
    for name, part in module.named_modules() if deep else [("", module)]:
        if part.training and _has_mode(part):
            where = f"its part {name!r}" if name else type(part).__name__
            raise ValueError(
                f"the model is in training mode ({where}): call model.eval() first, because dropout and batch "
                "statistics would count as broken symmetry"
            )


def _has_mode(module: nn.Module) -> bool:
    """Whether the flag of a module says how it behaves: not that of a bare container, nor what export has traced."""
    bare = type(module) in (nn.Module, nn.Sequential, nn.ModuleList, nn.ModuleDict)
    return not (bare or isinstance(module, GraphModule) or type(module).__module__.startswith("torch.export."))


def _refuse_training_graph(module: nn.Module) -> None:
    """The operations of an exported graph are in the mode that the network had then."""
    for node in module.graph.nodes if isinstance(module, GraphModule) else ():
        schema = getattr(node.target, "_schema", None)
        for place, argument in enumerate(schema.arguments if schema is not None else ()):
            if argument.name in ("train", "training"):
                given = node.args[place] if place < len(node.args) else node.kwargs.get(argument.name)
                if given is True:
                    raise ValueError(
                        f"the exported graph was made in training mode, {node.target} is in it: call model.eval() "
                        "before torch.export, because dropout and batch statistics would count as broken symmetry"
                    )
