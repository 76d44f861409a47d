"""Fixtures of the tests of the ops."""

import sys
from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Random numbers from one seed, one thread: numba compiles fewer variants of its kernels."""
    before = torch.get_num_threads()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def two_threads(one_thread: None) -> None:
    """Two threads; ``one_thread`` restores the number."""
    torch.set_num_threads(2)


@pytest.fixture(autouse=True)
def fused_at_every_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few numbers with gradients go through the fused channel MLP too; where they do not, there is nothing to test."""
    monkeypatch.setattr(sys.modules["rapidash.ops.channel_mlp"], "FEW", 0)
