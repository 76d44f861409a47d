"""Record the calls that a network makes of its modules, and change the output of one of them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn


@dataclass(frozen=True)
class Call:
    """One call of a module: its position in the run, its name, and what went in and came out."""

    index: int
    name: str
    module: nn.Module
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    output: Any


def leaves(model: nn.Module, is_leaf: Callable[[str, nn.Module], bool]) -> dict[str, nn.Module]:
    """The modules to watch: those that ``is_leaf`` accepts, without looking inside, and all that have no children.

    A module that is used in several places is called several times, under the first of its names.
    """
    found: dict[str, nn.Module] = {}

    def visit(name: str, module: nn.Module) -> None:
        if any(module is other for other in found.values()):
            return
        if is_leaf(name, module) or not list(module.children()):
            found[name or type(module).__name__] = module
            return
        for child_name, child in module.named_children():
            visit(f"{name}.{child_name}" if name else child_name, child)

    visit("", model)
    return found


@contextmanager
def recording(modules: dict[str, nn.Module]) -> Iterator[list[Call]]:
    """Collect every call of the modules, in order; tensors are copied, so that in-place layers cannot change them."""
    calls: list[Call] = []
    waiting: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def before(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        waiting.append((tuple(map(_copy, args)), {key: _copy(value) for key, value in kwargs.items()}))

    def record(name: str) -> Callable[..., None]:
        def after(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
            calls.append(Call(len(calls), name, module, *waiting.pop(), _copy(output)))

        return after

    handles: list[Any] = []
    try:
        for name, module in modules.items():
            handles.append(module.register_forward_pre_hook(before, with_kwargs=True))
            handles.append(module.register_forward_hook(record(name), with_kwargs=True))
        yield calls
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def replacing(modules: dict[str, nn.Module], change: Callable[[int, Any], Any]) -> Iterator[None]:
    """Pass the output of call number i through ``change(i, output)`` before the network goes on."""
    count = 0

    def after(module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        nonlocal count
        count += 1
        return change(count - 1, output)

    handles = [module.register_forward_hook(after) for module in modules.values()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _copy(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(_copy, value))
    if type(value) in (tuple, list):
        return type(value)(map(_copy, value))
    return value
