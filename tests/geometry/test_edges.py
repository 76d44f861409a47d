"""Edge rules, their names, and the check of a cloud."""

import math

import pytest
import torch

from rapidash._seed import seeded
from rapidash.geometry import (
    KNN,
    FullyConnected,
    Radius,
    check_cloud,
    fully_connected_edges,
    knn_edges,
    parse_edges,
    radius_edges,
)

POS, BATCH = torch.randn(9, 3, generator=seeded(0)), torch.tensor([0, 0, 0, 0, 1, 1, 1, 1, 1])


def test_rules_make_their_edges() -> None:
    assert torch.equal(FullyConnected()(POS, BATCH), fully_connected_edges(BATCH))
    assert torch.equal(KNN(3)(POS, BATCH), knn_edges(POS, BATCH, 3))
    assert torch.equal(KNN(3, reverse=True)(POS, BATCH), knn_edges(POS, BATCH, 3, reverse=True))
    assert torch.equal(KNN(99, clamp=True)(POS, BATCH), knn_edges(POS, BATCH, 99, clamp=True))
    assert torch.equal(Radius(0.9)(POS, BATCH), radius_edges(POS, BATCH, 0.9))


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("fc", FullyConnected()),
        ("knn-16", KNN(16)),
        ("KNN-1", KNN(1)),
        ("knn-8-reverse", KNN(8, reverse=True)),
        ("knn-8-clamp", KNN(8, clamp=True)),
        ("knn-8-reverse-clamp", KNN(8, reverse=True, clamp=True)),
        ("radius-0.5", Radius(0.5)),
        ("radius-2", Radius(2.0)),
        (" radius-1e-3 ", Radius(1e-3)),
    ],
)
def test_a_name_is_read_as_its_rule(name: str, rule: object) -> None:
    assert parse_edges(name) == rule
    assert parse_edges(str(rule)) == rule
    assert parse_edges(parse_edges(name)) == rule


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("fcc", "fc"),
        ("fc-3", "fc"),
        ("full", "fc"),
        ("knn16", "knn-16"),
        ("knn_8", "knn-8"),
        ("kn-4", "knn-4"),
        ("knn", "knn-16"),
        ("knn-0", "knn-16"),
        ("knn-2.7", "knn-3"),
        ("knn-8-reversed", "knn-8-reverse"),
        ("knn-8-clamped", "knn-8-clamp"),
        ("radius", "radius-0.5"),
        ("raduis-0.3", "radius-0.3"),
        ("radius-inf", "radius-0.5"),
        ("radius--1", "radius-1.0"),
        ("ball-2", "radius-2.0"),
        ("", "fc"),
    ],
)
def test_an_unknown_name_gets_the_nearest_form(name: str, meant: str) -> None:
    with pytest.raises(ValueError, match=f"unknown edges {name!r}.*did you mean '{meant}'"):
        parse_edges(name)


@pytest.mark.parametrize("edges", [3, None, KNN])
def test_what_is_no_rule_is_refused(edges: object) -> None:
    with pytest.raises(ValueError, match="edges must be a name such as 'fc'"):
        parse_edges(edges)  # type: ignore[arg-type]


def test_rules_check_their_numbers() -> None:
    for k in (0, -1, 2.0, True):
        with pytest.raises(ValueError, match="k must be an integer of at least 1"):
            KNN(k)  # type: ignore[arg-type]
    for r in (0.0, -1.0, math.inf, math.nan, "1"):
        with pytest.raises(ValueError, match="r must be a positive, finite number"):
            Radius(r)  # type: ignore[arg-type]


def test_a_good_cloud_passes() -> None:
    check_cloud(POS, BATCH)
    check_cloud(POS[:1].half(), BATCH[:1].int())


NAN = POS.clone()
NAN[5, 1] = math.nan


@pytest.mark.parametrize(
    ("pos", "batch", "words"),
    [
        (NAN, BATCH, "NaN or infinite coordinates, first at point 5 of cloud 1"),
        (NAN.nan_to_num(math.inf), BATCH, "first at point 5"),
        (POS.flatten(), BATCH, r"pos must be \(N, D\).*\(27,\)"),
        (POS[:, :0], BATCH, r"pos must be \(N, D\)"),
        (POS.long(), BATCH, "floating point, got torch.int64"),
        (POS.numpy(), BATCH, "pos must be a torch.Tensor, got ndarray"),
        (POS, BATCH[:4], r"batch must be \(N,\) = \(9,\).*\(4,\)"),
        (POS, BATCH.unsqueeze(1), r"batch must be \(N,\)"),
        (POS, BATCH.float(), "signed integers, got torch.float32"),
        (POS[:0], BATCH[:0], "the batch is empty"),
        (POS, BATCH.flip(0), "sorted, but point 5 of cloud 0 follows one of cloud 1"),
        (POS, BATCH - 1, "from 0, got -1 at point 0"),
        (POS, BATCH + 1, "cloud 0 of 3 has none"),
        (POS, 2 * BATCH, "cloud 1 of 3 has none"),
        (POS.to("meta"), BATCH, "pos is on meta and batch on cpu"),
    ],
)
def test_a_bad_cloud_is_refused(pos: torch.Tensor, batch: torch.Tensor, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check_cloud(pos, batch)


def test_edges_of_a_bad_cloud_are_refused() -> None:
    for rule in (KNN(2), Radius(1.0)):
        with pytest.raises(ValueError, match="first at point 5"):
            rule(NAN, BATCH)
    with pytest.raises(ValueError, match="must be sorted"):
        FullyConnected()(POS, BATCH.flip(0))
