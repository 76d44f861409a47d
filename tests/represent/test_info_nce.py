import math

import pytest
import torch

from rapidash.data import seeded
from rapidash.represent import info_nce


def test_orthogonal_views_by_hand() -> None:
    z = 3 * torch.eye(4, dtype=torch.float64)  # cosine 1 with itself, 0 with the three others
    for temperature in (0.2, 1.0):
        expected = math.log(1 + 3 * math.exp(-1 / temperature))
        assert float(info_nce(z, z, temperature=temperature)) == pytest.approx(expected)


def test_two_samples_by_hand_in_both_directions() -> None:
    a = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    b = torch.tensor([[1.0, 0.0], [0.6, 0.8]], dtype=torch.float64)
    # cosines: rows of a against rows of b: [[1, 0.6], [0, 0.8]]
    rows = math.log(1 + math.exp(0.6 - 1)) + math.log(1 + math.exp(0 - 0.8))
    columns = math.log(1 + math.exp(0 - 1)) + math.log(1 + math.exp(0.6 - 0.8))
    assert float(info_nce(a, b, temperature=1.0)) == pytest.approx((rows + columns) / 4)
    assert torch.allclose(info_nce(a, b), info_nce(b, a))


def test_constant_features_read_the_logarithm_of_the_batch() -> None:
    z = torch.ones(6, 3, dtype=torch.float64)
    assert float(info_nce(z, z)) == pytest.approx(math.log(6))
    random = torch.randn(6, 3, generator=seeded(0), dtype=torch.float64)
    assert torch.allclose(info_nce(random, 5 * random), info_nce(random, random))  # lengths do not count


@pytest.mark.usefixtures("shape_checks_off")
def test_bad_batches_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 samples in a batch, got 1: raise batch_size"):
        info_nce(torch.ones(1, 3), torch.ones(1, 3))
    with pytest.raises(ValueError, match="same samples"):
        info_nce(torch.ones(2, 3), torch.ones(3, 3))
    with pytest.raises(ValueError, match="temperature must be positive, got 0"):
        info_nce(torch.ones(2, 3), torch.ones(2, 3), temperature=0.0)
