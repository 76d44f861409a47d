"""Scores of disentanglement: values worked out by hand, perfect and random codes, and what is refused."""

import math

import pytest
import torch
from torch import Tensor

from rapidash._seed import seeded
from rapidash.measure import dci, disentanglement_completeness, factor_vae_score, mutual_information_gap


def grid(*counts: int) -> Tensor:
    return torch.cartesian_prod(*(torch.arange(count) for count in counts))


FACTORS = grid(5, 4, 3).repeat(10, 1)  # 600 samples of 60 combinations
PERFECT = torch.nn.functional.pad(FACTORS.double() * torch.tensor([1.0, -2.0, 0.5]) + 0.1, (0, 1))  # one latent idle


def mixed(codes: Tensor) -> Tensor:
    """The codes turned by a random rotation: the same information, in no latent of its own."""
    return codes @ torch.linalg.qr(torch.randn(4, 4, generator=seeded("mix"), dtype=torch.float64))[0]


RANDOM = torch.randn(600, 4, generator=seeded("random codes"), dtype=torch.float64)


def test_the_gap_by_hand() -> None:
    """Two bits; the first latent is bit 0, the second is bit 0 and bit 1: I in bits [[1, 0], [a, a]], with
    a = h(1/4) - 1/2, since knowing a bit leaves 'and' one bit half of the time."""
    factors = grid(2, 2)
    codes = torch.stack([factors[:, 0], factors[:, 0] * factors[:, 1]], dim=1).double()
    found = mutual_information_gap(codes, factors)
    a = -(0.25 * math.log2(0.25) + 0.75 * math.log2(0.75)) - 0.5
    expected = torch.tensor([[1.0, 0.0], [a, a]], dtype=torch.float64)
    torch.testing.assert_close(found.information / math.log(2), expected, atol=1e-12, rtol=0)
    torch.testing.assert_close(found.per_factor, torch.tensor([1 - a, a], dtype=torch.float64), atol=1e-12, rtol=0)
    assert found.mean == pytest.approx(0.5)  # no factor is left out: the second alone would be a = 0.311


def test_bins_are_of_equal_width() -> None:
    """Values 0, 1, 2 and 10 in two bins of [0, 10]: the last alone. I = h(1/4) of the 2 bits of the factor."""
    codes, factors = torch.tensor([[0.0], [1.0], [2.0], [10.0]]).double(), torch.arange(4)[:, None]
    assert mutual_information_gap(codes, factors, num_bins=2).mean == pytest.approx(0.8112781244591328 / 2)
    assert mutual_information_gap(codes, factors, num_bins=20).mean == pytest.approx(
        1.0
    )  # of one latent, the second is 0


def test_a_latent_that_does_not_vary_has_no_information() -> None:
    found = mutual_information_gap(PERFECT, FACTORS)
    assert found.information[3].abs().max() < 1e-12
    assert found.mean == pytest.approx(1.0)
    assert mutual_information_gap(mixed(PERFECT), FACTORS).mean < 0.6
    assert mutual_information_gap(RANDOM, FACTORS).mean < 0.05


def test_votes_by_hand() -> None:
    """A factor held fixed fixes its latent alone, so every vote names it: the score of a permutation is 1."""
    found = factor_vae_score(PERFECT[:, [2, 0, 1, 3]], FACTORS, seeded("votes"), num_train=60, num_votes=30)
    assert found.accuracy == 1
    assert found.asked.tolist() == [True, True, True, False]
    counts = found.votes.sum(dim=0)
    assert torch.equal(found.votes[[1, 2, 0]], torch.diag(counts))
    assert int(counts.sum()) == 60


def test_votes_of_worse_codes() -> None:
    """A latent that stands for two factors costs what it cannot tell: it answers one of the two."""
    joined = torch.stack([FACTORS[:, 0], FACTORS[:, 1] + 10 * FACTORS[:, 2]], dim=1).double()
    found = factor_vae_score(joined, FACTORS, seeded("votes"))
    assert 0.55 < found.accuracy < 0.78
    assert factor_vae_score(RANDOM, FACTORS, seeded("votes")).accuracy < 0.5
    assert factor_vae_score(0 * RANDOM, FACTORS, seeded("votes")).accuracy == 0


def test_votes_are_scored_on_other_draws() -> None:
    """With a single vote to learn from, only that answer is known: a score of the same draw would be 1."""
    found = factor_vae_score(PERFECT, FACTORS, seeded("votes"), num_train=1, num_votes=300)
    assert 0.2 < found.accuracy < 0.75


def test_purities_by_hand() -> None:
    """Rows (1, 0), (1, 1) of weights 1/3, 2/3: purities 1, 0; columns (1, 1), (0, 1) of weights 2/3, 1/3: 0, 1."""
    disentanglement, completeness = disentanglement_completeness(torch.tensor([[1.0, 0.0], [1.0, 1.0]]).double())
    assert disentanglement == pytest.approx(1 / 3)
    assert completeness == pytest.approx(1 / 3)
    share = torch.tensor([3.0, 1.0]).double()
    entropy = 2 - 0.75 * math.log2(3)
    found = disentanglement_completeness(torch.stack([share, share, 0 * share]))
    assert found[0] == pytest.approx(1 - entropy)  # of two factors, in bits
    assert found[1] == pytest.approx(1 - 1 / math.log2(3))  # two of three latents alike
    assert disentanglement_completeness(torch.eye(3).double()) == pytest.approx((1, 1))


def test_forests_find_the_latents() -> None:
    perfect = dci(PERFECT, FACTORS, seeded("dci"))
    assert perfect[:3] == pytest.approx((1, 1, 1))
    assert perfect.importance.argmax(dim=0).tolist() == [0, 1, 2]
    torch.testing.assert_close(perfect.importance.sum(dim=0), torch.ones(3).double())
    worse = dci(mixed(PERFECT), FACTORS, seeded("dci"))
    assert worse.informativeness > 0.9
    assert worse.disentanglement < 0.7
    chance = dci(RANDOM, FACTORS, seeded("dci"))
    assert chance.informativeness < 0.5
    assert max(chance[:2]) < 0.1
    again = dci(RANDOM, FACTORS, seeded("dci"))
    assert torch.equal(again.importance, chance.importance)


NAN = RANDOM.clone()
NAN[3, 1] = math.nan
REFUSED = {
    "NaN": (NAN, FACTORS, "codes must be finite, got NaN or infinity"),
    "latents": (RANDOM[:3], FACTORS[:3], "4 latents and only 3 samples"),
    "rows": (RANDOM[:9], FACTORS, "need one row for each sample"),
    "no factor": (RANDOM, FACTORS[:, :0], "need one row for each sample"),
    "constant": (RANDOM, FACTORS * torch.tensor([1, 0, 1]), r"factors \[1\] do not vary"),
    "real": (RANDOM, FACTORS.double(), "factors must be levels, whole numbers, got torch.float64"),
}


@pytest.mark.usefixtures("shape_checks_off")
@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_score_is_refused(case: str) -> None:
    codes, factors, message = REFUSED[case]
    for score in (
        lambda: mutual_information_gap(codes, factors),
        lambda: factor_vae_score(codes, factors, seeded()),
        lambda: dci(codes, factors, seeded()),
    ):
        with pytest.raises(ValueError, match=message):
            score()


@pytest.mark.usefixtures("shape_checks_off")
def test_settings_that_make_no_score_are_refused() -> None:
    with pytest.raises(ValueError, match="num_bins must be at least 2, got 1"):
        mutual_information_gap(RANDOM, FACTORS, num_bins=1)
    for setting in ({"num_train": 0}, {"num_votes": 0}, {"batch_size": 1}, {"min_variance": -1.0}):
        with pytest.raises(ValueError, match="num_train and num_votes must be at least 1"):
            factor_vae_score(RANDOM, FACTORS, seeded(), **setting)
    with pytest.raises(ValueError, match="num_trees must be at least 1"):
        dci(RANDOM, FACTORS, seeded(), num_trees=0)
    with pytest.raises(ValueError, match="two or more latents and factors"):
        disentanglement_completeness(torch.ones(1, 3))
    for importance in (torch.zeros(2, 2), torch.tensor([[1.0, -1.0], [1.0, 1.0]]), torch.full((2, 2), math.nan)):
        with pytest.raises(ValueError, match="finite, at least 0, and not all 0"):
            disentanglement_completeness(importance)
