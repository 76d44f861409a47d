"""Every call of the package with the shapes of its annotations checked, and nothing but the shapes."""

import importlib.util
import typing
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from beartype import BeartypeConf, beartype
from jaxtyping import AbstractArray, TypeCheckError, install_import_hook

_CONF = BeartypeConf(is_pep484_tower=True)


def check_shapes() -> None:
    """Check from here on, before any import of the package; an argument that a check refuses counts as refused."""
    modules = _modules_with_shapes()
    manager = install_import_hook("rapidash", f"{__name__}.shapes_only")
    manager.hook.should_instrument = modules.__contains__  # type: ignore[attr-defined]  # not all below "rapidash"
    pytest.raises = _raises_or_refuses  # type: ignore[assignment]


def _modules_with_shapes() -> list[str]:
    """The modules of the package that annotate shapes; not the kernels, which a compiler reads."""
    spec = importlib.util.find_spec("rapidash")
    assert spec is not None
    assert spec.origin is not None
    root = Path(spec.origin).parent
    files = [path for path in root.rglob("*.py") if "from jaxtyping import" in path.read_text()]
    files = [path for path in files if "numba" not in path.stem and "triton" not in path.stem]
    names = [path.relative_to(root.parent).with_suffix("").parts for path in files]
    return [".".join(parts[:-1] if parts[-1] == "__init__" else parts) for parts in names]


def shapes_only(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with a check of those annotations that have a shape: what else it takes is its own matter."""
    hints = function.__annotations__
    function.__annotations__ = {name: hint for name, hint in hints.items() if _has_shape(hint)}
    return beartype(conf=_CONF)(function)


def _has_shape(hint: object) -> bool:
    if isinstance(hint, type) and issubclass(hint, AbstractArray):
        return True
    return any(_has_shape(part) for part in typing.get_args(hint))


_raises = pytest.raises


def _raises_or_refuses(expected: Any, *args: Any, **kwargs: Any) -> Any:
    """As `pytest.raises`; a wrong shape is refused by its annotation before the function can say what is wrong."""
    if args:
        return _raises(expected, *args, **kwargs)
    return _Refusal(_raises(expected, **kwargs))


class _Refusal(AbstractContextManager[Any]):
    def __init__(self, wrapped: Any) -> None:
        self.wrapped = wrapped

    def __enter__(self) -> Any:
        return self.wrapped.__enter__()

    def __exit__(self, kind: Any, error: Any, trace: Any) -> bool:
        if isinstance(error, TypeCheckError):
            return True
        return bool(self.wrapped.__exit__(kind, error, trace))
