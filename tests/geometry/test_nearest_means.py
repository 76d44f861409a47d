"""Mean distance to the nearest point: by hand, all implementations against the definition, far from the origin."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from rapidash.data import seeded
from rapidash.geometry import nearest_means
from rapidash.geometry._nearest_means import nearest_means_by_trees, nearest_means_reference
from rapidash.geometry._nearest_means_numba import nearest_means_numba

Means = Callable[[Tensor, Tensor, bool], tuple[Tensor, Tensor]]


def by_trees(a: Tensor, b: Tensor, squared: bool) -> tuple[Tensor, Tensor]:
    return nearest_means_by_trees(a, b, squared), nearest_means_by_trees(b, a, squared).T


def by_numba(a: Tensor, b: Tensor, squared: bool) -> tuple[Tensor, Tensor]:
    return nearest_means_numba(a, b, squared, False)


EVERY = pytest.mark.parametrize("means", [nearest_means_reference, by_trees, by_numba])


@EVERY
def test_by_hand(means: Means) -> None:
    """Points 0 and 3 on a line, against 1: squared 1 and 4 there, 1 back."""
    a, b = torch.tensor([[[0.0], [3.0]]]).double(), torch.tensor([[[1.0]]]).double()
    assert [found.tolist() for found in means(a, b, True)] == [[[2.5]], [[1.0]]]
    assert [found.tolist() for found in means(a, b, False)] == [[[1.5]], [[1.0]]]


@EVERY
@pytest.mark.parametrize("squared", [True, False])
@pytest.mark.parametrize("dim", [1, 2, 3])
def test_agrees_with_a_loop(means: Means, squared: bool, dim: int) -> None:
    rng = seeded("means", dim)
    a = torch.randn(3, 5, dim, generator=rng, dtype=torch.float64)
    b = torch.randn(2, 9, dim, generator=rng, dtype=torch.float64)
    power = 2 if squared else 1
    there, back = means(a, b, squared)
    for i, j in [(i, j) for i in range(3) for j in range(2)]:
        apart = [[math.dist(x, y) ** power for y in b[j].tolist()] for x in a[i].tolist()]
        assert float(there[i, j]) == pytest.approx(sum(map(min, apart)) / 5)
        assert float(back[i, j]) == pytest.approx(sum(map(min, zip(*apart))) / 9)


def test_of_one_set_both_directions_are_there() -> None:
    clouds = torch.randn(4, 7, 3, generator=seeded("one set"), dtype=torch.float64)
    whole = nearest_means(clouds)
    for found, expected in zip(whole, nearest_means_reference(clouds, clouds, True)):
        torch.testing.assert_close(found, expected, rtol=1e-13, atol=0)
    assert whole[0].diagonal().tolist() == [0, 0, 0, 0]
    assert not torch.equal(whole[0], whole[0].T)


def test_four_dimensions_and_no_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    clouds = torch.randn(3, 6, 4, generator=seeded("four"), dtype=torch.float64)
    for found, expected in zip(nearest_means(clouds), nearest_means_reference(clouds, clouds, True)):
        torch.testing.assert_close(found, expected)
    flat, other = clouds[..., :3], clouds[:2, :, 1:]
    compiled = nearest_means(flat, other)
    monkeypatch.setattr("rapidash.geometry._nearest_means.find_spec", lambda name: None)
    for found, expected in zip(nearest_means(flat, other), compiled):
        torch.testing.assert_close(found, expected)


@EVERY
def test_nothing_cancels_far_from_the_origin(means: Means) -> None:
    a, b = torch.randn(2, 1, 40, 3, generator=seeded("far"), dtype=torch.float64)
    near, far = means(a, b, True), means(a + 1e4, b + 1e4, True)
    for found, expected in zip(far, near):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=0)


def test_what_is_no_set_of_clouds_is_refused(shape_checks_off: None) -> None:
    clouds = torch.zeros(2, 3, 3)
    with pytest.raises(ValueError, match=r"b must be clouds \(B, N, D\), none of them empty, got shape \(2, 0, 3\)"):
        nearest_means(clouds, clouds[:, :0])
    with pytest.raises(ValueError, match="clouds need one dimension, got 3 and 2"):
        nearest_means(clouds, clouds[..., :2])
