"""Seconds of a pass: a median by hand, and a pass that takes so long."""

import time

import pytest
import torch
from torch import nn

from rapidash.data import CloudDataset, Field
from rapidash.groups import Position
from rapidash.scale import pass_seconds


class Slow(nn.Module):
    """Keeps a processor busy for some seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.seconds, self.calls, self.graded = seconds, 0, 0

    def forward(self, batch: object) -> torch.Tensor:
        ends = time.process_time() + self.seconds
        self.calls += 1
        self.graded += torch.is_grad_enabled()
        while time.process_time() < ends:
            pass
        return self.weight * torch.ones(3)


def batch() -> object:
    data = CloudDataset({"pos": torch.zeros(4, 3)}, {"pos": Field(Position())}, torch.tensor([4]))
    return data.batch(torch.arange(1))


@pytest.mark.parametrize("backward", [False, True])
def test_the_median_leaves_out_warm_up_and_outliers(backward: bool) -> None:
    lasts = [100.0, 100.0, 1, 9, 2, 8, 5, 3, 7, 4, 6]  # the first two warm up; the median of the others is 5
    ticks = iter([tick for index, last in enumerate(lasts) for tick in (1000.0 * index, 1000.0 * index + last)])
    model = Slow(0.0)
    assert pass_seconds(model, batch(), backward=backward, clock=lambda: next(ticks)) == 5.0
    assert (model.calls, model.graded) == (11, 11 if backward else 0)
    assert model.weight.grad is None


def test_a_pass_that_keeps_the_processor_busy() -> None:
    assert pass_seconds(Slow(0.01), batch()) == pytest.approx(0.01, rel=0.3)
