"""The table of a study in a terminal, and the records that it draws."""

import re
from typing import Any

import pytest

from rapidash.report import terminal_table
from rapidash.study import StudySummary, study_of, summarize
from tests.report._studies import small_record as record


def summary_of(records: list[dict[str, Any]], **options: Any) -> StudySummary:
    return summarize(study_of(records), **options)


def table(records: list[dict[str, Any]]) -> str:
    text = terminal_table(summary_of(records))
    assert max(map(len, text.splitlines())) <= 120
    return text


def flat(records: list[dict[str, Any]]) -> str:
    """The table with its notes on one line."""
    return " ".join(table(records).split())


def line_of(records: list[dict[str, Any]], start: str) -> str:
    return next(line for line in table(records).splitlines() if line.startswith(start))


def two_variants(num_seeds: int = 3) -> list[dict[str, Any]]:
    neighbor = {"neighbor": "good", "knob": "inputs"}
    good = [record("good", seed, 1.0 + 0.01 * seed) for seed in range(num_seeds)]
    return good + [record("bad", seed, 3.0 + 0.02 * seed, variant=neighbor) for seed in range(num_seeds)]


def test_variants_by_hand() -> None:
    good, bad = summary_of(two_variants()).variants
    assert good.test is not None
    assert good.rotated is not None
    assert (good.test.mean, good.rotated.mean) == pytest.approx((1.01, 2.02))
    assert (good.to_neighbor, good.views, good.figures) == (None, (), ())
    assert good.seconds_per_step == pytest.approx(0.02)
    assert good.peak_memory == 2 * 10**6
    assert bad.test is not None
    assert bad.to_neighbor is not None
    assert bad.to_neighbor.difference == pytest.approx(2.01)
    assert bad.to_neighbor.ratio == pytest.approx(3.02 / 1.01)
    # differences 2, 2.01, 2.02: t = 2.01 / (0.01 / sqrt 3) = 348.1, and with two degrees of freedom p = 8.25e-6
    assert bad.to_neighbor.p_adjusted == pytest.approx(8.25e-6, rel=1e-3)
    assert bad.test.by_seed == {0: 3.0, 1: 3.02, 2: 3.04}


def test_failed_runs_are_counted_and_left_out() -> None:
    failed = record("bad", 3, 0.0, status="failed", error="Traceback\nValueError: no")
    records = [*two_variants(), failed]
    test = summary_of(records)["bad"].test
    assert test is not None
    assert test.mean == pytest.approx(3.02)
    assert "bad (1 failed)" in table(records)
    assert "1 run failed or diverged and is left out of every mean: bad, seed 3." in flat(records)


def test_a_variant_without_result_is_shown() -> None:
    failed = record("gone", 0, 0.0, status="failed", error="x")
    assert line_of([failed], "A gone").split("  ")[1:] != []
    assert "no finished run" in line_of([failed], "A gone (1 failed)")
    assert table([failed]).startswith("No run of this study ended with a finite test error")
    assert table([]) == "No record yet: no run of this study has ended.\n"


def test_one_fraction_is_compared_the_largest_unless_another_is_asked_for() -> None:
    small = [record("good", seed, 9.0, config={"fraction": 0.1}) for seed in range(3)]
    records = [*two_variants(), *small]
    for fraction, mean in ((None, 1.01), (1.0, 1.01), (0.1, 9.0)):
        test = summary_of(records, fraction=fraction)["good"].test
        assert test is not None
        assert test.mean == pytest.approx(mean)


def test_the_headline_names_the_winner_or_says_that_there_is_none() -> None:
    assert "good wins over 3 seeds" in flat(two_variants())
    tie = [record("a", seed, 1.0 + 0.1 * seed) for seed in range(3)]
    tie += [record("b", seed, 1.3 - 0.1 * seed) for seed in range(3)]
    assert "a has the lowest mean over 3 seeds" in flat(tie)
    assert "but b cannot be told from it" in flat(tie)
    assert "One seed cannot rank variants" in flat(two_variants(1))
    assert "a is the only variant with a finished run" in flat([record("a", 0, 1.0)])


def test_a_single_seed_wins_against_none_with_more_and_the_text_says_so() -> None:
    records = [record(name, seed, error + 0.01 * seed) for name, error in (("A", 1.0), ("C", 0.8)) for seed in range(4)]
    text = flat([*records, record("B", 0, 0.1)])
    assert text.startswith("C has the lowest mean over 4 seeds")
    assert "but B cannot be told from it. Fewer seeds, and so no winner whatever the mean: B (1 seed)." in text


def test_an_oracle_cannot_win() -> None:
    oracle = {"effective": "E(3)", "layers": "E(3)", "oracle": True}
    records = [*two_variants(), *(record("peek", seed, 0.1, symmetry=oracle) for seed in range(3))]
    assert "good wins over 3 seeds" in flat(records)
    assert "C peek (oracle)" in table(records)


def test_one_seed_shows_no_interval_and_no_p() -> None:
    assert "[" not in line_of(two_variants(1), "B bad")
    assert line_of(two_variants(1), "B bad").endswith("–")
    assert "[" in line_of(two_variants(2), "B bad")


def test_the_note_says_which_test_gives_p() -> None:
    assert "p is of a paired t-test by seed, which rests on differences that are normal over seeds" in flat(
        two_variants(3)
    )
    assert "an exact sign-flip test by seed, which needs no normality, adjusted for the one comparison" in flat(
        two_variants(6)
    )
    assert line_of(two_variants(6), "B bad").endswith("0.031")  # 2^(1 - 6)
    assert "p is of" not in flat(two_variants(1))


def test_mixed_code_is_pointed_out() -> None:
    records = two_variants()
    records[0]["commit"] = "def"
    assert "2 different commits" in flat(records)
    assert "different commits" not in flat(two_variants())


def test_columns_are_aligned() -> None:
    head, _, first, second = table(two_variants()).split("\n\n")[2].splitlines()
    assert head.index("test error") == first.index("1.01 [") == second.index("3.02 [")
    assert "A: 2.99×" in second
    assert "A: +2.01 [" in table(two_variants())


def test_long_names_and_many_variants_stay_within_the_width() -> None:
    symmetry = {"layers": "E(3)", "effective": "O2(y), translations across y only", "oracle": False}
    names = [f"a very long name of a variant of this study, number {i}, that never ends" for i in range(30)]
    records = [record(name, seed, 1.0 + seed, symmetry=symmetry) for name in names for seed in range(2)]
    text = table(records)
    assert " ".join(["number", "29,", "that", "never", "ends"]) in " ".join(text.split())
    assert "\nAD a very long" in text


def test_what_knobs_do_comes_first() -> None:
    records = two_variants() + [
        record("same", seed, 1.01 + 0.01 * (-1) ** seed, variant={"neighbor": "good", "knob": "a grid"})
        for seed in range(3)
    ]
    text = flat(records)
    # errors 1 + 2 b and b, so that r is in the interval for |1 - 1.01 (r - 2)| <= 4.303 * 0.01 / sqrt 3 * (r - 2)
    assert text.startswith("Inputs (good → bad): more than doubles the error, 2.99× [2.97, 3.02], p < 0.001.")
    assert "A grid (good → same): no clear difference, 1.00× [" in text
    assert text.index("A grid (good") < text.index("good has the lowest mean")


def test_figures_beside_the_metric_are_shown_for_every_variant() -> None:
    records = [entry | {"test_details": {"class mIoU (%)": 80.0 + index}} for index, entry in enumerate(two_variants())]
    assert "class mIoU (%): A 81.0; B 84.0" in flat(records)
    assert "Also measured" not in flat(two_variants())


def measured(name: str, value: float | None, **changes: Any) -> dict[str, Any]:
    plain = {"name": name, "value": value, "unit": "1", "group": "", "moment": "after", "view": "full", "better": ""}
    return plain | changes


def test_views_and_figures_by_hand() -> None:
    """Two seeds; the view that counts is "closed", whose errors the records have as theirs."""
    records = two_variants(2)
    for entry in records[:2]:
        seed, error = entry["config"]["seed"], entry["test_error"]
        after = {"equivariance": {"group": "SO(3)", "mean": 0.25 + 0.5 * seed}}
        entry["equivariance"]["group"] = "SO(3)"
        entry["views"] = {
            "full": {"test_error": 5.0 + seed, "symmetry": {"effective": "T(3)"}, "errors_after": after},
            "closed": {"test_error": error},
        }
        entry["measurements"] = [
            measured("test error, MSE of positions", 5.0 + seed),
            measured("equivariance error", 0.25, group="SO(3)"),
            measured("equivariance error", 0.5 + seed, group="O(3)"),
            measured("norm", 1.0 + seed, moment="before", view="closed", unit="m"),
            measured("norm", 3.0 + seed, view="closed", unit="m"),
            measured("gate", 0.5 - seed),
            measured("undefined", None),
        ]
    good = summary_of(records)["good"]
    assert good.view == "closed"
    [view] = good.views
    assert (view.name, view.effective) == ("full", "T(3)")
    assert view.test is not None
    assert view.test.mean == 5.5
    assert view.equivariance["SO(3)"]["after"].mean == 0.5
    means = {f.title: {moment: value.mean for moment, value in f.moments.items()} for f in good.figures}
    assert means == {
        "equivariance error, O(3) [full]": {"after": 1.0},
        "norm (m)": {"before": 1.5, "after": 3.5},
        "gate [full]": {"after": 0.0},
    }
    assert line_of(records, "  ↪ full").split()[2:4] == ["T(3)", "5.50"]
    assert "norm (m): A 1.50 → 3.50" in flat(records)
    assert "A good [closed]" in table(records)


def test_the_averaged_view_is_a_line_below_its_variant() -> None:
    records = [entry | {"test_error_tta": 0.5 + entry["config"]["seed"]} for entry in two_variants()]
    assert line_of(records, "  ↪ averaged").split()[3] == "1.50"


def test_no_text_of_a_record_moves_the_cursor() -> None:
    """A bell, a return and a turn of direction are shown, not done."""
    records = [
        record(name, seed, 1.0 + seed, key=f"{place}{seed}", variant={"knob": "k\rnob", "neighbor": "b\nc"})
        for place, name in enumerate(("a\x07\x1b[2J", "b\nc", "d\u202ee\u2028f"))
        for seed in (0, 1)
    ]
    table = terminal_table(summarize(study_of(records)))
    assert all(sign.isprintable() or sign in "\n\u202f" for sign in table)
    assert re.search(r"^A a\\x07\\x1b\[2J  +E\(3\) ", table, re.MULTILINE)
    assert re.search(r"^B b c  +E\(3\) ", table, re.MULTILINE)
    assert re.search(r"^C d\\u202ee f  +E\(3\) ", table, re.MULTILINE)
