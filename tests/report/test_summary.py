import math
import statistics

import pytest

from rapidash.study import StudySummary, read_study, summarize
from tests.report._studies import WriteStudy, make_record, make_study


@pytest.fixture
def summary(write_study: WriteStudy) -> StudySummary:
    return summarize(read_study(write_study(*make_study(fractions=(1.0, 0.1)))))


def test_the_estimate_of_a_variant_is_over_its_seeds_at_the_largest_fraction(summary: StudySummary) -> None:
    errors = [make_record("T(3) on R3", seed)["test_error"] for seed in range(3)]
    test = summary["T(3) on R3"].test
    assert test is not None
    assert test.values == errors
    assert test.mean == pytest.approx(sum(errors) / 3)
    half = 4.302652729911275 * statistics.stdev(errors) / math.sqrt(3)  # t quantile at 2 degrees of freedom
    assert (test.low, test.high) == (pytest.approx(test.mean - half), pytest.approx(test.mean + half))


def test_a_difference_to_the_neighbor_is_paired_by_seed(summary: StudySummary) -> None:
    comparison = summary["T(3) on R3"].to_neighbor
    assert comparison is not None
    pairs = [
        make_record("T(3) on R3", s)["test_error"] - make_record("T(3) on R3xS2", s)["test_error"] for s in range(3)
    ]
    assert comparison.other == "T(3) on R3xS2"
    assert comparison.difference == pytest.approx(sum(pairs) / 3)
    assert comparison.is_clear
    assert comparison.p_adjusted is not None
    assert comparison.p_value is not None
    assert comparison.p_adjusted >= comparison.p_value
    assert summary.judgment.test == "t-test"  # the least that three seeds allow to sign flips is 0.25


def test_only_shared_seeds_are_compared(write_study: WriteStudy) -> None:
    records = [make_record("E(3) on R3xS2", seed) for seed in (0, 1, 2)] + [make_record("E(3) on R3", 2)]
    comparison = summarize(read_study(write_study(records)))["E(3) on R3"].to_neighbor
    assert comparison is not None
    assert comparison.num_seeds == 1
    assert comparison.low is None
    assert not comparison.is_clear
    expected = records[3]["test_error"] - records[2]["test_error"]
    assert comparison.difference == pytest.approx(expected)


def test_a_neighbor_that_was_not_run_is_none(write_study: WriteStudy) -> None:
    """Of a part of a study: the knob says nothing without what it turns; the record keeps both."""
    record = make_record("E(3) on R3", 0)
    assert record["config"]["variant"]["neighbor"] == "E(3) on R3xS2"
    found = summarize(read_study(write_study([record])))["E(3) on R3"]
    assert (found.neighbor, found.knob, found.to_neighbor) == ("", "", None)
    both = summarize(read_study(write_study([record, make_record("E(3) on R3xS2", 0)])))["E(3) on R3"]
    assert both.neighbor == "E(3) on R3xS2"
    assert both.to_neighbor is not None


def test_variants_without_a_shared_seed_are_not_compared(write_study: WriteStudy) -> None:
    records = [make_record("E(3) on R3xS2", 0), make_record("E(3) on R3", 1)]
    assert summarize(read_study(write_study(records)))["E(3) on R3"].to_neighbor is None


def test_an_oracle_is_never_the_best(write_study: WriteStudy) -> None:
    records, design = make_study()
    best = summarize(read_study(write_study(records, design))).best
    assert best is not None
    for record in records:
        if record["config"]["variant"]["name"] == best.name:
            record["symmetry"]["oracle"] = True
    other = summarize(read_study(write_study(records, design))).best
    assert other is not None
    assert other.name != best.name


def test_one_lucky_seed_does_not_win_against_several(write_study: WriteStudy) -> None:
    records = [make_record("E(3) on R3xS2", seed) for seed in (0, 1, 2)]
    lucky = make_record("E(3) on R3", 0) | {"test_error": 1e-9}
    assert summarize(read_study(write_study([*records, lucky]))).ranked[0].name == "E(3) on R3xS2"
    alone = summarize(read_study(write_study([records[0], records[0], records[0], lucky])))
    assert alone.ranked[0].name == "E(3) on R3"  # with one seed each, the order is by the error


def test_data_efficiency_goes_by_the_number_of_samples(summary: StudySummary) -> None:
    sizes = summary["E(3) on R3"].by_num_train
    assert list(sizes) == [300.0, 3000.0]
    assert sizes[300.0].mean > sizes[3000.0].mean


def test_equivariance_is_kept_by_group_and_moment(summary: StudySummary) -> None:
    measured = summary["T(3) on R3"].equivariance
    assert list(measured) == ["SO(3)", "O(3)"]
    assert measured["SO(3)"]["before"].mean > measured["SO(3)"]["after"].mean


def test_an_error_of_zero_has_no_factor(write_study: WriteStudy) -> None:
    records = [make_record("E(3) on R3xS2", s) | {"test_error": 0.0} for s in (0, 1)]
    records += [make_record("E(3) on R3", s) for s in (0, 1)]
    comparison = summarize(read_study(write_study(records)))["E(3) on R3"].to_neighbor
    assert comparison is not None
    assert comparison.ratio is None


def test_error_rates_end_at_100_percent_everywhere(write_study: WriteStudy) -> None:
    changes = {"metric": "error rate", "unit": "%", "test_error_tta": None}
    rates, share = (98.0, 99.0, 100.0), "failures (%)"
    records = [
        make_record("E(3) on R3", seed, fraction)
        | changes
        | {"test_error": rate, "test_error_rotated": rate, "measurements": [{"name": share, "value": 100 - rate}]}
        for fraction in (1.0, 0.1)
        for seed, rate in enumerate(rates)
    ]
    found = summarize(read_study(write_study(records)))["E(3) on R3"]
    low = 99 - 4.302652729911275 / math.sqrt(3)
    for one in (found.test, found.rotated, *found.by_num_train.values()):
        assert one is not None
        assert (one.mean, one.low, one.high) == (99.0, pytest.approx(low), 100.0)
    (figure,) = found.figures
    assert (figure.moments["after"].low, figure.moments["after"].high) == (0.0, pytest.approx(100 - low))
    others = [record | {"unit": "points"} for record in records]
    plain = summarize(read_study(write_study(others)))["E(3) on R3"].test
    assert plain is not None
    assert plain.high == pytest.approx(198 - low)
