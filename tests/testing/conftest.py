"""The package of another author, found by its entry points, and one thread."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from rapidash.registry import REGISTRIES

GROWTH = Path(__file__).resolve().parents[1] / "growth"


@pytest.fixture
def growth(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Within a test the growth package is installed: its entry points are found, and forgotten again."""
    monkeypatch.syspath_prepend(str(GROWTH))
    for registry in REGISTRIES.values():
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))
        monkeypatch.setattr(registry, "_foreign", None)
    yield
    for name in [name for name in sys.modules if name.split(".")[0] == "rapidash_growth"]:
        del sys.modules[name]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
