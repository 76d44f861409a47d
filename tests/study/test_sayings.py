"""The rules of the planted-truth suite on outputs made by hand: what is said, and when it is right."""

from pathlib import Path

import pytest

from rapidash.datasets import PLANTED, planted_truth
from rapidash.study.measures import sayings
from rapidash.study.measures._ring import BINS
from rapidash.study.measures._ring_search import SLACK
from rapidash.study.measures.sayings import Saying, is_false_alarm, verdict

LEARNED = (10.0, 50.0)  # error rate of a network, and of the constant
UNTOLD = (26.0, 50.0)


def kept(*angles: int) -> dict[int, float]:
    return {angle: 0.94 if angle in angles else 0.9 for angle in range(15, 360, 15)}


def admitted(saying: Saying) -> list[str]:
    return [symmetry for symmetry in PLANTED if saying.admits(planted_truth(symmetry))]


@pytest.mark.parametrize(
    ("saying", "true_of"),
    [
        (Saying("all turns"), ["full"]),
        (Saying("turns up to", 45), ["partial"]),
        (Saying("turns up to", 30), ["partial"]),  # the least within a factor of 1.5
        (Saying("turns up to", 29), []),
        (Saying("turns up to", 67.5), ["partial"]),
        (Saying("turns up to", 68), []),
        (Saying("steps", 4), ["discrete"]),
        (Saying("steps", 2), []),
        (Saying("steps", 8), []),
        (Saying("no turn"), ["none", "wrong axis"]),
        (Saying("not all turns"), ["partial", "discrete", "none", "wrong axis"]),
        (Saying("small turns"), ["full", "partial"]),
        (Saying("no small turns"), ["discrete", "none", "wrong axis"]),
        (Saying("at least steps", 8), ["full"]),
        (Saying("at least steps", 4), ["full", "discrete"]),
        (Saying("no step"), ["partial", "none", "wrong axis"]),
    ],
)
def test_what_a_saying_is_true_of(saying: Saying, true_of: list[str]) -> None:
    assert admitted(saying) == true_of
    truths = {symmetry: planted_truth(symmetry) for symmetry in PLANTED}
    assert [s for s in PLANTED if verdict(saying, truths[s]) == "right"] == true_of
    assert not any(verdict(saying, truth) == "abstains" for truth in truths.values())
    claims = saying.words in ("all turns", "turns up to", "steps", "small turns", "at least steps")
    alarms = [s for s in PLANTED if is_false_alarm(saying, truths[s])]
    assert alarms == (["none", "wrong axis"] if claims else [])
    assert saying.names_one == (saying.words in ("all turns", "turns up to", "steps", "no turn"))


def test_to_abstain_is_neither_right_nor_wrong_nor_an_alarm() -> None:
    for symmetry in PLANTED:
        assert verdict(Saying("cannot tell"), planted_truth(symmetry)) == "abstains"
        assert not is_false_alarm(Saying("cannot tell"), planted_truth(symmetry))


def test_thresholds() -> None:
    """On both sides of each."""
    assert sayings.from_p_value(0.05).words == "not all turns"
    assert sayings.from_p_value(0.051).words == "all turns"
    assert sayings.from_error(0.24, *LEARNED).words == "all turns"
    assert sayings.from_error(0.25, *LEARNED).words == "not all turns"
    assert sayings.from_slope(0.24, *LEARNED).words == "small turns"
    assert sayings.from_slope(0.25, *LEARNED).words == "no small turns"
    assert sayings.from_invariance(0.76, 0.8, *LEARNED).words == "all turns"  # 0.93 x 0.8 = 0.744
    assert sayings.from_invariance(0.74, 0.8, *LEARNED).words == "not all turns"
    assert sayings.from_gate(0.09, *LEARNED).words == "all turns"
    assert sayings.from_gate(0.1, *LEARNED).words == "not all turns"
    assert sayings.from_width(15, *LEARNED) == Saying("no small turns")
    assert sayings.from_width(16, *LEARNED) == Saying("turns up to", 16)
    assert sayings.from_width(149, *LEARNED) == Saying("turns up to", 149)
    assert sayings.from_width(150, *LEARNED) == Saying("all turns")
    assert [sayings.from_ring(n, *LEARNED) for n in (1, 2, 4, 8)] == [
        Saying("no step"),
        Saying("steps", 2),
        Saying("steps", 4),
        Saying("at least steps", 8),
    ]


def test_error_and_gap_must_agree() -> None:
    def said(error: float, projected: float) -> str:
        return sayings.from_projection(error, 10.0, projected, 50.0).words

    assert said(0.1, 14.9) == "all turns"
    assert said(0.3, 15.0) == "not all turns"
    assert said(0.1, 15.0) == said(0.3, 14.9) == "cannot tell"
    assert sayings.from_projection(0.3, 26.0, 50.0, 50.0).words == "cannot tell"


def test_patterns_of_kept_turns() -> None:
    assert sayings.from_consistency(kept(*range(15, 360, 15)), *LEARNED) == Saying("all turns")
    assert sayings.from_consistency(kept(15, 30, 45, 345, 330, 315), *LEARNED) == Saying("turns up to", 45)
    assert sayings.from_consistency(kept(15, 30, 45, 345, 330), *LEARNED) == Saying("turns up to", 30)
    assert sayings.from_consistency(kept(90, 180, 270), *LEARNED) == Saying("steps", 4)
    assert sayings.from_consistency(kept(90, 180), *LEARNED) == Saying("steps", 2)
    assert sayings.from_consistency(kept(*range(45, 360, 45)), *LEARNED) == Saying("steps", 8)
    assert sayings.from_consistency(kept(90), *LEARNED) == Saying("no turn")
    assert sayings.from_consistency(kept(15), *LEARNED) == Saying("no turn")
    with pytest.raises(ValueError, match="expected the angles 15 to 345"):
        sayings.from_consistency({90: 1.0}, *LEARNED)


def test_a_histogram_keeps_from_half_its_largest_share_on() -> None:
    shares = dict.fromkeys(range(0, 360, 15), 0.0)
    quarters = {**shares, 0: 0.4, 90: 0.2, 180: 0.2, 270: 0.2}
    assert sayings.from_histogram(quarters, *LEARNED) == Saying("steps", 4)
    assert sayings.from_histogram({**quarters, 0: 0.41}, *LEARNED) == Saying("no turn")
    assert sayings.from_histogram({**shares, 0: 1.0}, *LEARNED) == Saying("no turn")
    assert sayings.from_histogram(dict.fromkeys(shares, 1 / 24), *LEARNED) == Saying("all turns")


def test_a_network_that_has_learned_too_little_cannot_tell() -> None:
    for rule, value in (
        (sayings.from_error, 0.1),
        (sayings.from_slope, 0.1),
        (sayings.from_gate, 0.0),
        (sayings.from_width, 45.0),
        (sayings.from_consistency, kept(90, 180, 270)),
        (sayings.from_histogram, dict.fromkeys(range(0, 360, 15), 1 / 24)),
        (sayings.from_ring, 4),
    ):
        assert rule(value, *UNTOLD).words == "cannot tell", rule
        assert rule(value, 25.0, 50.0).words != "cannot tell", rule  # half of the constant's is enough
    assert sayings.from_invariance(0.9, 0.9, *UNTOLD).words == "cannot tell"


def test_words_and_amounts() -> None:
    assert Saying("turns up to", 44.6).text == "turns up to 45 degrees"
    assert Saying("steps", 4.0).text == "steps of 1/4 turn"
    assert Saying("at least steps", 8.0).text == "at least steps of 1/8 turn"
    assert Saying("no turn").text == "no turn"
    with pytest.raises(ValueError, match="unknown words 'most turns'"):
        Saying("most turns")
    with pytest.raises(ValueError, match="'steps' needs an amount"):
        Saying("steps")
    with pytest.raises(ValueError, match="'no turn' needs no amount"):
        Saying("no turn", 1.0)


def test_the_guide_prints_the_thresholds_of_the_code() -> None:
    page = (Path(__file__).parents[2] / "docs" / "learn_planted.rst").read_text(encoding="utf-8")
    for text in (
        f"p of at most {sayings.SIGNIFICANT}",
        f"over the spread of the logits: *all turns* below {sayings.UNMOVED}",
        f"per radian: *small turns* below {sayings.UNMOVED}",
        f"*all turns* from {sayings.KEPT} of the confidence on",
        f"where it leaves {sayings.KEPT} of the predictions",
        f"turns of {sayings.STEP}, {2 * sayings.STEP}, ... degrees",
        f"up to a half-width of {sayings.NARROW:.0f} degrees, *all turns* from {sayings.WIDE:.0f} on",
        f"a turn is kept from {sayings.HALF} of the largest share on",
        f"the largest gate is below {sayings.CLOSED}",
        f"less than {sayings.GAP:.0f} points",
        f"within {SLACK:.0f} points of the least error",
        f"more than {sayings.UNTOLD} of the errors",
        f"within a factor of {sayings.EXTENT} of the angle",
        f"{sayings.RING} angular bins",
    ):
        assert text in page, text
    assert sayings.RING == BINS
