"""Fixtures of the tests of the ops."""

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
