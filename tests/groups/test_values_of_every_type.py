"""What every representation does with values of every type: it moves them rightly, or refuses them by name."""

import math

import pytest
import torch
from torch import Tensor

from rapidash._seed import seeded
from rapidash.data import CloudBatch, Field
from rapidash.groups import (
    SE,
    SO,
    DirectSum,
    GridPermutation,
    Image,
    Intensity,
    OrientationSignal,
    Permutation,
    Position,
    Representation,
    Scalar,
    Tensor2,
    Vector,
    motion,
    orientation_grid,
)

WHOLE = [torch.int64, torch.int32, torch.uint8, torch.bool]
GRID = orientation_grid("uniform", 4, dim=2)
PLANE = motion(torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=torch.float64), torch.tensor([1.0, 2.0]).double())
MULTIPLYING: list[tuple[Representation, Tensor, tuple[int, ...]]] = [
    (Vector(), PLANE, (5, 2)),
    (Position(), PLANE, (5, 2)),
    (Tensor2(), PLANE, (5, 2, 2)),
    (DirectSum(((Scalar(), 1), (Vector(), 2))), PLANE, (5, 3)),
    (OrientationSignal(GRID), PLANE, (5, 4, 1)),
    (Image(), PLANE, (5, 6, 6)),
    (Image("fourier"), PLANE, (5, 6, 6)),
    (Intensity(), torch.tensor([[2.0, 3.0], [0.0, 1.0]]).double(), (5, 6, 6)),
]
NAMES = [str(representation) for representation, _, _ in MULTIPLYING]


@pytest.mark.parametrize("dtype", WHOLE, ids=str)
@pytest.mark.parametrize(("representation", "g", "shape"), MULTIPLYING, ids=NAMES)
def test_whole_numbers_are_refused_by_name(
    representation: Representation, g: Tensor, shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    with pytest.raises(ValueError, match=rf"cannot move a field of {dtype} with shape .*declare Scalar\(\)"):
        representation.act(g, torch.ones(shape, dtype=dtype))


@pytest.mark.parametrize(("representation", "g", "shape"), MULTIPLYING, ids=NAMES)
def test_complex_values_move_as_their_two_parts(
    representation: Representation, g: Tensor, shape: tuple[int, ...]
) -> None:
    x = torch.randn(shape, generator=seeded(0), dtype=torch.complex128)
    moved = representation.act(g, x)
    # an affine part of the action is real: it belongs to the real part alone
    offset = representation.act(g, torch.zeros_like(x.real))
    torch.testing.assert_close(moved.real, representation.act(g, x.real))
    torch.testing.assert_close(moved.imag, representation.act(g, x.imag) - offset)
    assert moved.dtype == x.dtype


@pytest.mark.parametrize("dtype", [*WHOLE, torch.float16, torch.bfloat16, torch.complex64], ids=str)
def test_what_changes_places_only_moves_every_type(dtype: torch.dtype) -> None:
    x = torch.tensor([1, 0, 0, 1]).to(dtype)
    g = torch.eye(4, dtype=torch.float64)[[2, 0, 3, 1]]
    assert torch.equal(Permutation(0).act(g, x), torch.tensor([0, 1, 1, 0]).to(dtype))
    quarter = PLANE[:2, :2]
    turned = GridPermutation(GRID).act(motion(quarter, quarter.new_zeros(2)), x[:, None])
    assert torch.equal(turned, torch.tensor([1, 1, 0, 0]).to(dtype)[:, None])
    assert Scalar().act(g, x) is x


def test_a_signal_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"a signal \(\.\.\., 4, C\) is needed on this grid, got shape \(6, 1\)"):
        GridPermutation(GRID).act(PLANE, torch.zeros(6, 1))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("image", [Image(), Image("fourier")], ids=str)
def test_an_image_in_half_precision_is_sampled_at_the_right_places(image: Image, dtype: torch.dtype) -> None:
    """In bfloat16 the numbers from 128 to 256 are whole: a pixel there has no half beside it."""
    width, waves = (2048, 64) if image.interpolation == "cubic" else (24, 8)
    phase = 2 * math.pi * waves / width * torch.arange(width, dtype=torch.float64)
    x = torch.sin(phase).expand(2, width)
    shift = motion(torch.eye(2).double(), torch.tensor([0.3, 0.0]).double())
    expected = torch.sin(phase - 0.3 * 2 * math.pi * waves / width).expand(2, width)
    moved = image.act(shift, x.to(dtype))
    assert moved.dtype == dtype
    assert (moved.double() - expected).abs().max() < 4 * torch.finfo(dtype).eps


def test_a_field_of_whole_numbers_in_a_batch_is_refused_with_its_name() -> None:
    tensors = {"pos": torch.rand(3, 3), "z": torch.tensor([[6], [1], [1]]), "cell": torch.ones(3, 3).long()}
    fields = {"pos": Field(Position()), "z": Field(Scalar()), "cell": Field(Vector())}
    batch = CloudBatch(tensors, fields, torch.zeros(3).long(), 1)
    with pytest.raises(ValueError, match=r"field 'cell': Vector cannot move a field of torch\.int64"):
        batch.transform(SO(3).sample(1))
    whole = CloudBatch({**tensors, "pos": tensors["cell"]}, fields, batch.batch, 1)
    with pytest.raises(ValueError, match=r"field 'pos': Position cannot move"):
        whole.transform(SE(3).sample(1))
    del tensors["cell"]
    assert torch.equal(CloudBatch(tensors, fields, batch.batch, 1).transform(SO(3).sample(1))["z"], tensors["z"])
