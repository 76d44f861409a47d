"""What the average over steps leaves out and how it goes on, on one number."""

import pytest
import torch
from torch import nn

from rapidash.train._ema import WeightAverage


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Parameter(torch.zeros(()).double()), nn.Parameter(torch.zeros(()).double())

    def move(self, value: float) -> None:
        with torch.no_grad():
            self.a.fill_(value)
            self.b.fill_(value)


def test_the_first_updates_by_hand() -> None:
    """d = 1/10, 2/11, 3/12: from 0 over 10, 10, 10 to 9, 9 * 2/11 + 10 * 9/11, ..."""
    model = Two()
    average = WeightAverage(model, decay=0.9)
    first = 0.1 * 0.0 + 0.9 * 10.0
    second = 2 / 11 * first + 9 / 11 * 10.0
    third = 0.25 * second + 0.75 * 20.0
    for value, expected in ((10.0, first), (10.0, second), (20.0, third)):
        model.move(value)
        average.update()
        assert float(average.state_dict()["a"]) == pytest.approx(expected)
    small = WeightAverage(model, decay=0.05)  # the decay itself, where it is smaller
    model.move(0.0)
    small.update()
    assert float(small.state_dict()["a"]) == pytest.approx(0.05 * 20.0)


def test_what_is_left_out_stays_the_weight_itself() -> None:
    model = Two()
    average = WeightAverage(model, decay=0.9, without=[model.b])
    model.move(10.0)
    average.update()
    assert average.state_dict().keys() == {"a"}
    with average.applied():
        assert (float(model.a.detach()), float(model.b.detach())) == (pytest.approx(9.0), 10.0)
    assert (float(model.a.detach()), float(model.b.detach())) == (10.0, 10.0)


def test_a_continued_average_has_the_decay_of_its_update() -> None:
    model = Two()
    average = WeightAverage(model, decay=0.99)
    average.load_state_dict({"a": torch.tensor(5.0), "b": torch.tensor(5.0)}, num_updates=90)
    model.move(15.0)
    average.update()  # d = 91 / 100
    assert float(average.state_dict()["a"]) == pytest.approx(0.91 * 5.0 + 0.09 * 15.0)
