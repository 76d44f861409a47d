import pytest
import torch
from torch import Tensor, nn

from rapidash._seed import seeded
from rapidash.data import CloudDataset, Field
from rapidash.groups import SO, Permutation, Permutations, Position, random_rotation
from rapidash.measure import symmetry_breaking_score


def clouds(num: int, *, tilt: float) -> Tensor:
    """Long boxes along z, turned by normal angles about x, or uniformly for tilt infinity."""
    rng = seeded("boxes")
    points = torch.randn(num, 12, 3, generator=rng) * torch.tensor([0.2, 0.4, 1.5])
    if tilt == float("inf"):
        return torch.einsum("bij,bnj->bni", random_rotation(num, 3, generator=rng).float(), points)
    angle = tilt * torch.randn(num, generator=rng)
    zero, one = torch.zeros(num), torch.ones(num)
    rows = [one, zero, zero, zero, angle.cos(), -angle.sin(), zero, angle.sin(), angle.cos()]
    return torch.einsum("bij,bnj->bni", torch.stack(rows, dim=-1).reshape(num, 3, 3), points)


def test_canonicalized_data_are_detected_and_uniformly_turned_data_are_not() -> None:
    canonical = symmetry_breaking_score(clouds(600, tilt=0.1), SO(3), Position(), steps=150)
    assert canonical.accuracy - 0.5 > 5 * canonical.standard_error
    assert canonical.p_value < 1e-6
    uniform = symmetry_breaking_score(clouds(600, tilt=float("inf")), SO(3), Position(), steps=150)
    assert abs(uniform.accuracy - 0.5) < 3 * uniform.standard_error
    assert uniform.p_value > 0.01
    assert canonical.report().rows[0]["test"] == 300


class Radii(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x.norm(dim=-1).mean(dim=1, keepdim=True)).squeeze(-1)


def test_an_invariant_classifier_sees_nothing() -> None:
    score = symmetry_breaking_score(clouds(400, tilt=0.1), SO(3), Position(), classifier=Radii, steps=60)
    assert abs(score.accuracy - 0.5) < 3 * score.standard_error


def test_cloud_datasets_and_tables() -> None:
    points = clouds(200, tilt=0.05)
    dataset = CloudDataset({"pos": points.reshape(-1, 3)}, {"pos": Field(Position())}, torch.full((200,), 12))
    score = symmetry_breaking_score(dataset, SO(3), steps=120)
    assert score.accuracy - 0.5 > 3 * score.standard_error
    table = torch.arange(4.0) + 0.3 * torch.randn(200, 4, generator=seeded(0))
    ordered = symmetry_breaking_score(table, Permutations(4), Permutation(-1), steps=120)
    assert ordered.accuracy > 0.8
    shuffled = symmetry_breaking_score(
        torch.randn(200, 4, generator=seeded(1)), Permutations(4), Permutation(-1), steps=60
    )
    assert abs(shuffled.accuracy - 0.5) < 3 * shuffled.standard_error


def test_nothing_leaks_into_the_random_state_and_bad_input_is_named() -> None:
    state = torch.get_rng_state()
    symmetry_breaking_score(clouds(16, tilt=0.1), SO(3), Position(), steps=2)
    assert torch.equal(torch.get_rng_state(), state)
    with pytest.raises(ValueError, match="at least 8 samples"):
        symmetry_breaking_score(clouds(4, tilt=0.1), SO(3), Position())
    with pytest.raises(ValueError, match="give a representation"):
        symmetry_breaking_score(clouds(16, tilt=0.1), SO(3))
