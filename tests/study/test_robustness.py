"""Corruption errors over seeds, by hand."""

import pytest

from rapidash.report import robustness_table
from rapidash.study import CorruptionPlan, compare_robustness, study_of, summarize
from tests.report._studies import small_record as record

PLAN = CorruptionPlan(("jitter", "rotate"), skipped={"scale": "it deforms space"})


def runs(num_seeds: int = 2):
    """Records and results: "bad" makes twice the error of "good" under jitter, four times under rotate."""
    records = [record(name, seed, 1.0) for name in ("good", "bad") for seed in range(num_seeds)]
    results = {}
    for seed in range(num_seeds):
        base = {"jitter": [1.0 + seed, 2.0, 3.0, 4.0, 5.0], "rotate": [1.0] * 5}
        results[f"good{seed}"] = base
        results[f"bad{seed}"] = {"jitter": [2 * e for e in base["jitter"]], "rotate": [4.0] * 5}
    return records, results


def test_errors_are_relative_to_the_reference_of_the_same_seed() -> None:
    found = compare_robustness(*runs()[:1], PLAN, runs()[1])
    good, bad = found.rows
    assert found.reference == good.name == "good"
    assert dict(good.mce) == {0: 1.0, 1: 1.0}
    assert dict(bad.ce["jitter"]) == {0: 2.0, 1: 2.0}
    assert dict(bad.mce) == {0: 3.0, 1: 3.0}
    assert bad.corrupted == pytest.approx({0: (6.0 + 4.0) / 2, 1: (6.4 + 4.0) / 2})
    assert bad.curve("rotate")[0] == (1.0, 4.0, 4.0, 4.0, 4.0, 4.0)
    assert bad.curve()[1] == pytest.approx((1.0, (4.0 + 4.0) / 2, 4.0, 5.0, 6.0, 7.0))
    other = compare_robustness(runs()[0], CorruptionPlan(PLAN.names, "bad"), runs()[1])
    assert dict(other.rows[0].mce) == {0: (0.5 + 0.25) / 2, 1: (0.5 + 0.25) / 2}


def test_runs_without_a_whole_result_are_counted_and_in_no_number() -> None:
    records, results = runs(3)
    del results["bad0"]["rotate"]
    results["bad1"]["rotate"] = [1.0, None, 1.0, 1.0, 1.0]
    del results["good2"]
    found = compare_robustness(records, PLAN, results)
    good, bad = found.rows
    assert found.num_untested == 3
    assert set(good.mce) == {0, 1}
    assert set(bad.clean) == {2}
    assert bad.mce == {}  # the reference has no result for its seed
    text = robustness_table(found, summarize(study_of(records)))
    assert "3 finished run(s) lack a result" in text
    assert "Left out: scale, because it deforms space." in text


def test_an_error_of_zero_is_no_unit() -> None:
    records, results = runs(1)
    results["good0"]["rotate"] = [0.0] * 5
    found = compare_robustness(records, PLAN, results)
    assert found.rows[1].ce["rotate"] == {}
    assert found.rows[1].mce == {}
    assert robustness_table(found, summarize(study_of(records))).splitlines()[2].split() == [
        "mean",
        "corruption",
        "error",
        "-",
        "-",
    ]


def test_the_table_has_the_letters_of_the_main_table_and_the_unit() -> None:
    records, results = runs()
    failed = [record("broken", 0, 0.0, status="failed", error="no"), *records]
    lines = robustness_table(compare_robustness(records, PLAN, results), summarize(study_of(failed))).splitlines()
    assert lines[0].split() == ["under", "corruptions", "B", "C"]
    assert lines[2].split() == ["mean", "corruption", "error", "1", "3"]
    assert lines[5].split()[:3] == ["error,", "clean", "(length^2)"]
    assert lines[6].endswith("5.1 ± 1.3")  # 5 and 5.2: 12.7 standard errors of 0.1
    assert robustness_table(compare_robustness(records, PLAN, {}), summarize(study_of(records))).startswith(
        "no run has been tested"
    )


def test_without_a_run_of_the_reference_there_are_errors_but_no_relative_ones() -> None:
    records, results = runs()
    found = compare_robustness(records, CorruptionPlan(PLAN.names, "gold"), results)
    assert found.reference == "gold"
    assert all(not row.mce and not row.ce["jitter"] and row.corrupted for row in found.rows)
