"""The section on scale: planted laws come back, and what is missing is said."""

import math
from typing import Any

import pytest

from rapidash.report._scaling_section import (
    PASSES,
    STEPS,
    _at_equal_levels,
    _compute,
    _of_frontiers,
    _Trained,
    scaling_section,
)
from rapidash.study import Run, study_of, summarize
from rapidash.study.measures.training_operations import OPERATIONS
from rapidash.study.measures.training_seconds import SECONDS
from tests.report._studies import small_record

WIDTHS, LENGTHS, BATCH = (8, 16, 32, 64), (100, 300, 900, 2700), 50
FACTORS = {"model.channels": list(WIDTHS), STEPS: list(LENGTHS)}


def error(name: str, parameters: float, samples: float, seed: int) -> float:
    """4 N^-0.5 + 30 D^-0.4, that of B twice as large; each seed has a factor of its own, the same for both."""
    return (2 if name == "B" else 1) * (4 * parameters**-0.5 + 30 * samples**-0.4) * (1 + 0.02 * seed)


def run(name: str, width: int, steps: int, seed: int, **changes: Any) -> dict[str, Any]:
    parameters = 10.0 * width**2
    measured = [{"name": OPERATIONS, "value": 6.0 * parameters, "unit": "FLOP", "moment": "after", "view": "full"}]
    if name == "B":  # as many operations again for a term of a method
        measured.append({"name": PASSES, "value": 1.0, "unit": "1", "moment": "after", "view": "full"})
    return small_record(
        name,
        seed,
        error(name, parameters, steps * BATCH, seed),
        key=f"{name}{width}-{steps}-{seed}",
        parameters=parameters,
        num_train=steps * BATCH,
        measurements=measured,
        variant={"neighbor": "A" if name == "B" else None, "model": {"channels": width}},
        config={
            "level": {"model.channels": width, STEPS: steps},
            "train": {"steps": steps, "batch_size": BATCH},
        },
        **changes,
    )


def records() -> list[dict[str, Any]]:
    return [run(n, w, s, seed) for n in "AB" for w in WIDTHS for s in LENGTHS for seed in range(3)]


def section_of(kept: list[dict[str, Any]]) -> Any:
    variants = [{"name": name, "model": {"channels": 8}} for name in "AB"]
    design = {"task": "nbody", "variants": variants, "seeds": [0, 1, 2], "factors": FACTORS}
    return scaling_section(summarize(study_of(kept, design)))


def first_number(cell: str) -> float:
    return float(cell.split()[0].rstrip("×").replace("−", "-"))


def test_planted_exponents_come_back() -> None:
    section = section_of(records())
    assert [row[0] for row in section.rows] == ["A A", "B B"]
    for row in section.rows:
        assert first_number(row[5]) == pytest.approx(0.5, abs=0.02)
        assert first_number(row[6]) == pytest.approx(0.4, abs=0.02)
        assert first_number(row[7]) == pytest.approx(0.4 / 0.9, abs=0.02)
        assert 0.15 < first_number(row[4]) < 0.3
    assert not section.notes


def test_the_error_at_equal_compute_counts_the_passes_of_methods() -> None:
    """B errs twice as much and pays twice: at equal compute by more than a factor of two, and by less than three."""
    rows = section_of(records()).rows
    assert rows[0][1:4] == ("1", "1", "–")
    assert first_number(rows[1][1]) == pytest.approx(2.0, abs=0.005)  # at equal steps it does not pay
    assert 2.0 < first_number(rows[1][2]) < 3.0
    free = [
        {**record, "measurements": record["measurements"][:1]} if record["config"]["variant"]["name"] == "B" else record
        for record in records()
    ]
    assert first_number(section_of(free).rows[1][2]) == pytest.approx(2.0, abs=0.005)


def test_the_error_at_equal_time_is_that_of_the_seconds_of_a_step() -> None:
    """Seconds as many as operations give what compute gives; one slow run of three changes nothing."""

    def timed(record: dict[str, Any], factor: float) -> dict[str, Any]:
        parameters = record["parameters"]
        seconds = {"name": SECONDS, "value": factor * parameters, "unit": "s", "moment": "after", "view": "full"}
        return {**record, "measurements": [*record["measurements"], seconds]}

    kept = [timed(record, 1e-9 * (50 if record["config"]["seed"] == 2 else 1)) for record in records()]
    rows = section_of(kept).rows
    assert rows[0][3] == "1"
    assert rows[1][3] == rows[1][2]
    twice = [timed(r, 1e-9 if r["config"]["variant"]["name"] == "A" else 0.5e-9) for r in records()]
    assert first_number(section_of(twice).rows[1][3]) == pytest.approx(2.0, abs=0.005)  # a term, in half the time
    some = [*kept[:-3], *records()[-3:]]  # the last size and length of B was not timed
    assert section_of(some).rows[1][3] == "–"


def test_missing_sizes_are_said_and_fits_refuse_below_three() -> None:
    kept = [
        record
        for record in records()
        if record["config"]["variant"]["name"] == "A" or record["config"]["level"]["model.channels"] in (8, 16)
    ]
    section = section_of(kept)
    assert section.rows[1][5:] == ("–", "–", "–")
    assert "B: no law of size and samples, a fit needs at least 3 different sizes, got 2." in section.notes
    assert section.notes[0].startswith("B: no finished run at channels 32 and steps 100, channels 32 and steps 300,")


def test_runs_that_saw_samples_twice_are_left_out() -> None:
    assert section_of([{**record, "num_train": 40} for record in records()]) is None


def test_errors_that_do_not_fall_are_said() -> None:
    rising = [{**record, "test_error": 1 / record["test_error"]} for record in records()]
    notes = section_of(rising).notes
    assert "A: an exponent is not positive, so no size is best." in notes
    assert "A: the error does not clearly fall with compute." in notes


def test_a_zero_error_is_no_point_of_a_law() -> None:
    zero = [{**record, "test_error": 0.0} if record["key"] == "A8-100-0" else record for record in records()]
    assert first_number(section_of(zero).rows[0][5]) == pytest.approx(0.5, abs=0.03)


def few() -> list[dict[str, Any]]:
    """The records of two widths: too few for a law of size, so that none is fitted."""
    return [record for record in records() if record["config"]["level"]["model.channels"] < 32]


def is_of(record: dict[str, Any], name: str) -> bool:
    return bool(record["config"]["variant"]["name"] == name)


@pytest.mark.parametrize(
    ("key", "changes", "what"),
    [
        ("A8-100-", {"test_error": 0.0}, "runs without an error above 0 left out"),
        ("A8-100-", {"measurements": []}, "runs whose operations were not counted left out"),
        ("A8-100-", {"num_train": 4999}, "runs that saw samples twice left out"),
        ("A8-100-", {"status": "failed", "test_error": None}, "no finished run"),
        ("A8-100-1", {"status": "failed", "test_error": None}, "no finished run of seed 1"),
    ],
)
def test_what_a_run_lacks_is_said(key: str, changes: dict[str, Any], what: str) -> None:
    kept = [{**record, **changes} if record["key"].startswith(key) else record for record in few()]
    assert section_of(kept).notes[0].startswith(f"A: {what} at channels 8 and steps 100")


def test_a_variant_without_any_point_is_named() -> None:
    section = section_of([{**record, "measurements": []} if is_of(record, "B") else record for record in few()])
    assert [row[0] for row in section.rows] == ["A A"]
    assert "B: runs whose operations were not counted left out at channels 8 and steps 100," in " ".join(section.notes)


def test_operations_are_those_of_the_model_as_it_is_trained() -> None:
    """An average over 8 elements, another view of the same model, has 8 times as many."""

    def with_average(record: dict[str, Any]) -> dict[str, Any]:
        first = record["measurements"][0]
        averaged = {**first, "view": "averaged", "value": 8 * first["value"]}
        return {**record, "measurements": [*record["measurements"], averaged]}

    kept = [with_average(record) if is_of(record, "B") else record for record in few()]
    assert section_of(kept).rows[1] == section_of(few()).rows[1]


def test_runs_at_other_fractions_of_the_data_are_no_points() -> None:
    half = [{**one, "key": f"{one['key']}h", "config": {**one["config"], "fraction": 0.5}} for one in few()]
    other = [{**one, "test_error": 9.0} for one in half]
    assert section_of([*few(), *other]).rows == section_of(few()).rows


def test_seeds_that_arms_do_not_share_are_not_compared() -> None:
    apart = [record for record in few() if is_of(record, "A") == (record["config"]["seed"] == 0)]
    assert section_of(apart).rows[1][1:4] == ("no common seed",) * 3
    one_less = [record for record in few() if is_of(record, "A") or record["config"]["seed"] != 2]
    assert first_number(section_of(one_less).rows[1][1]) == pytest.approx(2.0, abs=0.005)


def trained(error: float, compute: float = 1.0, **level: int) -> _Trained:
    return _Trained(Run({"test_error": error}, level), compute, samples=1.0, step_seconds=None)


def test_frontiers_are_compared_where_both_are_by_hand() -> None:
    """In the decade from 1 to 10 both err by 4, in that from 10 to 100 one by 2; beyond is only the other."""
    own = [trained(4.0, 1.0), trained(2.0, 10.0), trained(1.0, 100.0)]
    base = [trained(4.0, 1.0), trained(1.0, 100.0), trained(0.5, 1000.0)]
    found = _of_frontiers(own, base, _compute, _compute)
    assert found == pytest.approx(-math.log(2) / 2, abs=0.01)
    assert _of_frontiers(own[:1], base[1:], _compute, _compute) is None


def test_at_equal_levels_the_mean_is_that_of_logarithms() -> None:
    own = [trained(1.0, size=1), trained(2.0, size=2), trained(32.0, size=4), trained(9.0, size=8)]
    base = [trained(1.0, size=1), trained(2.0, size=2), trained(4.0, size=4), trained(9.0, size=16)]
    assert _at_equal_levels(own, base) == pytest.approx(math.log(2))  # of the ratios 1, 1 and 8


def test_the_chart_has_a_point_for_each_size_and_length() -> None:
    (chart,) = section_of(records()).charts
    assert [len(series.points) for series in chart.series] == [16, 16]
    lowest = max(chart.series[0].points, key=lambda point: point.y)  # from the top
    assert "channels 64, steps 2700" in lowest.tip.replace(" and", ",")
    assert chart.series[0].line.startswith("M")
    assert "FLOP" in lowest.tip


def test_other_studies_have_no_such_section() -> None:
    assert scaling_section(summarize(study_of([small_record("A", seed, 1.0) for seed in range(3)]))) is None
