"""A study with factors compares within a level, and its words claim no more than that."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from rapidash.report import verdict
from rapidash.report._contents import contents
from rapidash.report._latex import latex_table
from rapidash.report._page import render
from rapidash.study import StudySummary, study_of, summarize
from tests.report._studies import small_record

NOISE = (0.0, 0.01, -0.01, 0.005)
SYMMETRY = {"A": "E(3)", "B": "T(3)", "O": "E(3)"}


def summary_of(
    errors: Mapping[tuple[str, int], float],
    seeds: Callable[[int], int] = lambda width: 4,
    factor: str = "model.channels",
) -> StudySummary:
    """Variants A with E(3) and B with T(3), at widths, with these errors and a little noise of either sign."""
    records: list[dict[str, Any]] = [
        small_record(
            name,
            seed,
            error + NOISE[seed] * (1 if name == "A" else -1),
            key=f"{name}{width}{seed}",
            variant={"neighbor": None if name == "A" else "A"},
            config={"level": {factor: width}},
            test_error_rotated=error,
            equivariance={},
            symmetry={
                "layers": SYMMETRY[name],
                "effective": SYMMETRY[name],
                "reasons": [],
                "exact": True,
                "oracle": name == "O",
            },
        )
        for (name, width), error in errors.items()
        for seed in range(seeds(width))
    ]
    return summarize(study_of(records))


def bold_of(summary: StudySummary) -> list[str]:
    return re.findall(r"\\textbf\{[A-Z]+ ([^}]*)\}", latex_table(summary))


def test_a_sweep_of_one_variant_compares_nothing() -> None:
    summary = summary_of({("A", 8): 2.0, ("A", 16): 1.0})
    found = verdict(summary)
    assert found.headline.startswith("A, channels 16 has the lowest mean over 4 seeds: MSE of positions (length²) 1.00")
    assert found.headline.endswith("; there is no other to compare it with at its level of the factors.")
    assert [finding.title for finding in found.findings if finding.title == "By how much"] == []
    assert bold_of(summary) == []
    assert "Bold" not in latex_table(summary)


def test_levels_that_are_other_problems_have_a_best_each() -> None:
    errors = {("A", 8): 2.0, ("B", 8): 3.0, ("A", 16): 1.0, ("B", 16): 0.5}
    found = verdict(summary_of(errors, factor="task.num_bodies"))
    assert found.headline.startswith("B, num_bodies 16 wins")
    end = "At other levels, which are other problems, the lowest means are those of A, num_bodies 8 (2.00)."
    assert found.headline.endswith(end)
    assert "other problems" not in verdict(summary_of(errors)).headline


def test_the_only_variant_at_the_best_level_beats_nobody() -> None:
    """Two more are compared at the other level; that says nothing of this one."""
    summary = summary_of({("A", 16): 0.5, ("A", 32): 3.0, ("B", 32): 1.0})
    found = verdict(summary)
    assert "wins" not in found.headline
    assert "no other to compare it with at its level" in found.headline
    assert found.findings[0].text == "All variants with a result at channels 16 have effective symmetry E(3)."
    assert bold_of(summary) == ["B, channels 32"]


def test_an_oracle_at_the_level_of_the_best_is_no_rival() -> None:
    summary = summary_of({("A", 16): 1.0, ("O", 16): 0.5, ("A", 32): 3.0, ("B", 32): 2.0})
    assert "no other to compare it with at its level" in verdict(summary).headline
    assert bold_of(summary) == ["A, channels 16", "B, channels 32"]
    assert "at each level of the factors, without the oracles" in latex_table(summary)


def test_a_symmetry_wins_at_its_level_only_and_other_levels_may_disagree() -> None:
    found = verdict(summary_of({("A", 16): 1.0, ("B", 16): 3.0, ("A", 32): 1.5, ("B", 32): 1.02}))
    symmetry = found.findings[0]
    assert symmetry.text == (
        "At channels 16, the task wants E(3): every model that keeps another symmetry is clearly worse."
    )
    assert [item.partition(": ")[::2] for item in symmetry.items[:1]] == [("E(3)", "A, channels 16")]
    assert symmetry.items[1].startswith("T(3): B, channels 16: 3.00")
    assert symmetry.items[2:] == ("Otherwise at channels 32: the best model there, B, channels 32, has T(3)",)
    assert "B, channels 32" not in found.headline
    alone = verdict(summary_of({("A", 16): 1.0, ("B", 16): 3.0, ("B", 32): 1.02}))
    assert alone.findings[0].items[2:] == ("Otherwise at channels 32: the only model there, B, channels 32, has T(3)",)
    agreed = verdict(summary_of({("A", 16): 1.0, ("B", 16): 3.0, ("A", 32): 1.5, ("B", 32): 2.0}))
    assert len(agreed.findings[0].items) == 2


def test_a_level_that_disagrees_within_the_noise_says_so() -> None:
    found = verdict(summary_of({("A", 16): 1.0, ("B", 16): 3.0, ("A", 32): 1.5, ("B", 32): 1.499}))
    assert found.findings[0].items[-1].endswith("the best model there, B, channels 32, has T(3), not clearly")


def test_a_lower_mean_at_a_level_with_fewer_seeds_is_said() -> None:
    """The headline speaks of the level with the most seeds; the table has a best in bold at each."""
    errors = {("A", 16): 1.0, ("B", 16): 1.5, ("A", 32): 3.0, ("B", 32): 2.0}
    summary = summary_of(errors, lambda width: 3 if width == 16 else 4)
    assert [v.name for v in summary.lower_elsewhere] == ["A, channels 16", "B, channels 16"]
    headline = verdict(summary).headline
    assert headline.startswith("B, channels 32 wins over 4 seeds: MSE of positions (length²) 2.00")
    assert headline.endswith(
        "clearly worse. Lower at another level, but over fewer or other seeds, and so no winner: "
        "A, channels 16 (1.00, 3 seeds) and B, channels 16 (1.50, 3 seeds)."
    )
    assert bold_of(summary) == ["A, channels 16", "B, channels 32"]
    assert "Bold: the lowest mean at each level of the factors. " in latex_table(summary)
    page = render(summary, contents(summary))
    assert re.findall(r"lowest mean[^<]*", page.partition("</header>")[2].partition("</table>")[0]) == [
        "lowest mean at channels 32"
    ]
    even = summary_of(errors)
    assert even.lower_elsewhere == ()
    assert verdict(even).headline.startswith("A, channels 16 wins over 4 seeds")


@pytest.mark.parametrize(
    ("seeds", "expected"),
    [
        ({"A": (0, 1, 2), "B": (0, 1, 2)}, "Bold: the lowest mean. "),
        ({"A": (0, 1), "B": (0, 1, 2), "C": (0, 1, 2)}, "Bold: the lowest mean, of the variants with the most seeds. "),
        ({"A": (0, 1, 2), "B": (1, 2, 3)}, "Bold: the lowest mean, over the seeds that they share. "),
    ],
)
def test_the_caption_says_what_bold_is(seeds: dict[str, tuple[int, ...]], expected: str) -> None:
    records = [
        small_record(name, seed, 1.0 + place + 0.01 * seed)
        for place, (name, own) in enumerate(seeds.items())
        for seed in own
    ]
    assert expected in latex_table(summarize(study_of(records)))


def test_daggers_stand_beside_the_best_of_their_own_level() -> None:
    """At 16 the two are apart, at 32 they are not: the dagger there refers to the best there."""
    summary = summary_of({("A", 16): 1.0, ("B", 16): 3.0, ("A", 32): 1.5, ("B", 32): 1.499})
    text = latex_table(summary)
    marked = [line.partition(" &")[0].strip() for line in text.splitlines() if "$^\\dagger$ &" in line]
    assert marked == ["C A, channels 32$^\\dagger$"]
    assert "$^\\dagger$: not distinguishable from the one in bold at its level." in text


def test_one_seed_marks_nothing_in_the_table_for_a_paper() -> None:
    """Nothing is told apart by one seed, and a dagger without a bold row would refer to nothing."""
    summary = summary_of({("A", 16): 1.0, ("B", 16): 1.5}, lambda width: 1)
    assert [v.name for v in summary.undecided] == ["B, channels 16"]
    assert "dagger" not in latex_table(summary)
    assert "dagger" in latex_table(summary_of({("A", 16): 1.0, ("B", 16): 1.001}, lambda width: 2))


def test_the_level_with_the_most_seeds_is_judged_first() -> None:
    errors = {("A", 16): 1.0, ("B", 16): 1.5, ("A", 32): 3.0, ("B", 32): 2.0}
    for fewer, best in ((16, "B, channels 32"), (32, "A, channels 16")):
        summary = summary_of(errors, lambda width, fewer=fewer: 3 if width == fewer else 4)  # type: ignore[misc]
        assert summary.judgment.best == best
        assert summary.judgment.num_seeds == 4


def test_a_lower_mean_at_the_same_level_is_said_once() -> None:
    """It has fewer seeds, which one sentence says: no second one speaks of another level."""
    records = [
        small_record(name, seed, error + NOISE[seed], key=f"{name}{width}{seed}", config={"level": {"model.x": width}})
        for name, width, error, count in (("A", 16, 1.0, 4), ("B", 16, 0.5, 2), ("A", 32, 3.0, 4))
        for seed in range(count)
    ]
    summary = summarize(study_of(records))
    assert summary.best is not None
    assert summary.best.name == "A, x 16"
    assert summary.lower_elsewhere == ()
    headline = verdict(summary).headline
    assert "Fewer seeds, and so no winner whatever the mean: B, x 16 (2 seeds)." in headline
    assert "another level" not in headline


def test_a_knob_at_several_levels_is_one_sentence() -> None:
    """Ratios 2, 1.5 and 1 of means; the last is no difference."""
    errors = {("A", 8): 1.0, ("B", 8): 2.0, ("A", 16): 1.0, ("B", 16): 1.5, ("A", 32): 1.0, ("B", 32): 1.0}
    found = verdict(summary_of(errors)).lead
    assert found == ("One knob (A → B), of 3 levels: raises the error at 2, 1.50× to 2.00×; no clear difference at 1.",)
    errors[("B", 16)] = 0.5
    (line,) = verdict(summary_of(errors)).lead
    assert line.endswith("raises the error at 1, 2.00×; lowers the error at 1, 0.50×; no clear difference at 1.")
