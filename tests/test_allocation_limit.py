"""Memory is counted before it is taken."""

import os

import pytest
import torch
from torch import nn

from rapidash._allocation_limit import AllocationLimit, TooLargeError, machine_memory


def test_sizes_are_added_up_before_they_are_made() -> None:
    with AllocationLimit(800), torch.no_grad():
        torch.empty(10, 10)  # 400 bytes
        torch.zeros(50, dtype=torch.float64)  # 400 more
        with pytest.raises(TooLargeError, match=r"7\.46e-07 GB are asked for.* 7\.45e-07 GB are there"):  # 801, 800
            torch.ones(1, dtype=torch.int8)
    with AllocationLimit(2**30), pytest.raises(TooLargeError, match=r"3\.73e\+12 GB are asked for"):
        nn.Linear(10**12, 10**9)  # 4 * 10^21 bytes, of which none is made
    torch.empty(1000)  # outside nothing is counted


def test_the_number_of_tensors_is_bounded_too() -> None:
    with AllocationLimit(2**30, max_tensors=3):
        for _ in range(3):
            torch.empty(1)
        with pytest.raises(TooLargeError, match="more than 3 tensors"):
            torch.empty(1)


def test_the_weights_of_a_network_are_those_without_a_limit() -> None:
    torch.manual_seed(0)
    free = nn.Linear(3, 4)
    torch.manual_seed(0)
    with AllocationLimit(2**20):
        limited = nn.Linear(3, 4)
    assert torch.equal(free.weight, limited.weight)


def test_the_machine_has_at_most_its_physical_memory() -> None:
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 2**20 < machine_memory() <= physical
