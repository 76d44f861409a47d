"""Rows and tables from records."""

import pytest

from rapidash.study import compare_variants, find_winner, study_table, verdict_sentence


def record(name: str, seed: int, test_error: float, **changes):
    plain = {
        "schema": 1,
        "key": f"{name}{seed}",
        "status": "done",
        "error": None,
        "config": {"variant": {"name": name, "neighbor": None, "knob": ""}, "seed": seed, "fraction": 1.0},
        "commit": "abc",
        "metric": "MSE of positions",
        "unit": "length^2",
        "test_error": test_error,
        "test_error_rotated": 2 * test_error,
        "test_error_tta": None,
        "parameters": 1234567,
        "seconds_per_step": 0.01 * (seed + 1),
        "peak_memory_bytes": (seed + 1) * 10**6,
        "equivariance": {"before": {"mean": 1e-6}, "after": {"mean": 2e-6}},
        "symmetry": {"layers": "E(3)", "effective": "E(3)", "oracle": False},
    }
    plain["config"]["variant"] |= changes.pop("variant", {})
    plain["config"] |= changes.pop("config", {})
    return plain | changes


def flat(records) -> str:
    """The table with its notes on one line."""
    return " ".join(study_table(records).split())


def two_variants(num_seeds: int = 3):
    neighbor = {"neighbor": "good", "knob": "inputs"}
    good = [record("good", seed, 1.0 + 0.01 * seed) for seed in range(num_seeds)]
    return good + [record("bad", seed, 3.0 + 0.02 * seed, variant=neighbor) for seed in range(num_seeds)]


def test_rows_by_hand() -> None:
    good, bad = compare_variants(two_variants())
    assert good.test.mean == pytest.approx(1.01)
    assert good.rotated.mean == pytest.approx(2.02)
    assert (good.difference, good.ratio, good.averaged) == (None, None, None)
    assert good.seconds_per_step == pytest.approx(0.02)
    assert good.peak_memory_bytes == 2 * 10**6
    assert bad.difference.mean == pytest.approx(2.01)
    assert bad.ratio.mean == pytest.approx(3.02 / 1.01)
    assert bad.p_adjusted == 0.25
    assert bad.errors == {0: 3.0, 1: 3.02, 2: 3.04}


def test_failed_runs_are_counted_and_left_out() -> None:
    failed = record("bad", 3, 0.0, status="failed", error="Traceback\nValueError: no")
    good, bad = compare_variants([*two_variants(), failed])
    assert (good.num_failed, bad.num_failed) == (0, 1)
    assert bad.test.mean == pytest.approx(3.02)
    table = study_table([*two_variants(), failed])
    assert "bad (1 failed)" in table
    assert "1 run(s) failed" in flat([*two_variants(), failed])


def test_a_variant_without_result_is_shown() -> None:
    failed = record("gone", 0, 0.0, status="failed", error="x")
    rows = compare_variants([failed])
    assert rows[0].test is None
    assert "gone (1 failed)" in study_table([failed])
    assert verdict_sentence(rows) == "No run has a result yet."
    assert study_table([]) == "no run has ended yet\n"


def test_the_largest_fraction_is_compared() -> None:
    small = [record("good", seed, 9.0, config={"fraction": 0.1}) for seed in range(3)]
    assert compare_variants([*two_variants(), *small])[0].test.mean == pytest.approx(1.01)
    assert compare_variants([*two_variants(), *small], fraction=0.1)[0].test.mean == 9.0


def test_the_verdict_names_the_winner_or_says_that_there_is_none() -> None:
    assert "every other variant is distinguishably worse over 3 seeds" in flat(two_variants())
    tie = [record("a", seed, 1.0 + 0.1 * seed) for seed in range(3)]
    tie += [record("b", seed, 1.3 - 0.1 * seed) for seed in range(3)]
    assert "not distinguishable from it over 3 seeds: b" in flat(tie)
    assert "one seed cannot tell" in flat(two_variants(1))
    assert "nothing to compare it with" in flat([record("a", 0, 1.0)])


def test_an_oracle_cannot_win() -> None:
    oracle = [
        record("oracle", s, 0.1, symmetry={"effective": "E(3)", "layers": "E(3)", "oracle": True}) for s in range(3)
    ]
    assert find_winner(compare_variants([*two_variants(), *oracle])).best == "good"
    assert "E(3) (oracle)" in study_table([*two_variants(), *oracle])


def test_one_seed_shows_no_interval() -> None:
    table = study_table(two_variants(1))
    assert "±" not in table.splitlines()[2]
    assert "[" not in table.splitlines()[3]
    assert "±" in study_table(two_variants(2)).splitlines()[2]


def test_notes_say_what_few_seeds_cannot_show() -> None:
    assert "cannot go below p = 0.25" in flat(two_variants(3))
    many = flat(two_variants(6))
    assert "cannot go below" not in many
    assert "bad p = 0.0312" in many


def test_mixed_code_is_pointed_out() -> None:
    records = two_variants()
    records[0]["commit"] = "def"
    assert "2 states of the code" in flat(records)
    assert "states of the code" not in study_table(two_variants())


def test_columns_are_aligned() -> None:
    lines = study_table(two_variants()).splitlines()
    assert lines[0].index("test error") == lines[2].index("1.01 ±")
    assert "A: +2.01 [" in lines[3]


def test_figures_beside_the_metric_are_shown_for_every_variant() -> None:
    records = [entry | {"test_details": {"class mIoU (%)": 80.0 + index}} for index, entry in enumerate(two_variants())]
    good, bad = compare_variants(records)
    assert (good.details["class mIoU (%)"].mean, bad.details["class mIoU (%)"].mean) == (81.0, 84.0)
    assert "Also on test data, class mIoU (%): good 81 ± 2.5; bad 84 ± 2.5." in flat(records)
    assert "Also on test data" not in flat(two_variants())
