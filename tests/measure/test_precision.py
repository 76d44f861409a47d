import pytest
import torch
from torch import Tensor, nn

from rapidash._seed import seeded
from rapidash.data import Field
from rapidash.groups import E, Position, Scalar
from rapidash.measure import Action, precision_check

ACTION = Action(E(3), Field(Position()), Scalar())


class Offset(nn.Module):
    """Subtracts large numbers: the layer in which digits are lost."""

    def forward(self, x: Tensor) -> Tensor:
        return (x + 1e4) - 1e4


class Distances(nn.Module):
    def __init__(self, *, is_lossy: bool, leak: float = 0.0) -> None:
        super().__init__()
        self.first, self.offset, self.second = nn.Linear(1, 8), Offset(), nn.Linear(8, 1)
        self.is_lossy, self.leak = is_lossy, leak

    def forward(self, pos: Tensor) -> Tensor:
        square = (pos[:, None] - pos).square().sum(-1, keepdim=True) + self.leak * pos[:, None, :1]
        hidden = self.first(square)
        return self.second((self.offset(hidden) if self.is_lossy else hidden).tanh()).sum()[None]


def cloud() -> Tensor:
    return 0.3 * torch.randn(6, 3, generator=seeded(0))  # small enough that no layer saturates and hides its rounding


def model(**options: object) -> Distances:
    torch.manual_seed(0)
    return Distances(**options).eval()


def test_rounding_is_told_from_broken_symmetry() -> None:
    clean = precision_check(model(is_lossy=False), cloud(), ACTION)
    assert clean.is_rounding
    assert 1e-9 < clean.error.max < 1e-4
    assert clean.error_float64.max < 1e-12
    assert "up to rounding" in clean.conclusion
    broken = precision_check(model(is_lossy=False, leak=0.1), cloud(), ACTION)
    assert not broken.is_rounding
    assert "not equivariant" in broken.conclusion


def test_the_layer_that_loses_digits_stands_out() -> None:
    check = precision_check(model(is_lossy=True), cloud(), ACTION)
    lost = {name: value for name, _, value in check.rounding}
    assert lost["offset"] > 30 * lost["first"]
    assert check.report().rows[1]["class"] == "Offset"


def test_float64_input_is_refused() -> None:
    with pytest.raises(ValueError, match="float64 already"):
        precision_check(model(is_lossy=False).double(), cloud().double(), ACTION)
