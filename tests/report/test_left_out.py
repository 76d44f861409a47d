"""A record that is not what it must be is named and left out; the report of the others stands."""

import json
from pathlib import Path
from typing import Any

import pytest

from rapidash.report import terminal_table, write_report
from rapidash.study import LONGEST_TEXT, read_study, study_of, summarize
from tests.report._studies import WriteStudy, make_design, make_record, make_study, small_record


def changed(record: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A record with one key, at a dotted path, of another value."""
    copy: dict[str, Any] = json.loads(json.dumps(record))
    *keys, last = path.split(".")
    place = copy
    for key in keys:
        place = place[key]
    place[last] = value
    return copy


BAD = [
    ("config.variant", "E(3)", "config.variant: expected an object, found 'E(3)'"),
    ("config.variant.name", None, "config.variant.name: expected a name, found nothing"),
    ("config.variant.name", ["a"], "config.variant.name: expected a name, found ['a']"),
    ("config.seed", "zero", "config.seed: expected a whole number of at least 0, found 'zero'"),
    ("config.seed", None, "config.seed: expected a whole number of at least 0, found nothing"),
    ("config.seed", True, "config.seed: expected a whole number of at least 0, found True"),
    ("config.fraction", "half", "config.fraction: expected a share in (0, 1], found 'half'"),
    ("equivariance", "low", "equivariance: expected an object, found 'low'"),
    ("equivariance.after.mean", "low", "equivariance.after.mean: expected a number of at least 0, found 'low'"),
    ("equivariance.after.mean", float("nan"), "equivariance.after.mean: expected a number of at least 0, found nan"),
    ("seconds_per_step", "fast", "seconds_per_step: expected a number of at least 0, found 'fast'"),
    ("test_error", "low", "test_error: expected a number, found 'low'"),
    ("test_error_rotated", float("nan"), "test_error_rotated: expected a finite number, found nan"),
    ("test_details", [1], "test_details: expected an object, found [1]"),
    ("num_train", 0, "num_train: expected a number above 0, found 0"),
    ("parameters", 10**400, "parameters: expected a number of at least 0, found 1000"),
    ("history", [[1]], "history.0: expected an object, found [1]"),
    ("symmetry.reasons", "because", "symmetry.reasons: expected a list, found 'because'"),
    ("key", "../../secret", "key: expected a name without slashes, found '../../secret'"),
]


@pytest.mark.parametrize(("path", "value", "reason"), BAD, ids=[f"{path}={value!s:.12}" for path, value, _ in BAD])
def test_a_bad_record_is_named_and_the_others_count(
    write_study: WriteStudy, path: str, value: Any, reason: str
) -> None:
    records, design = make_study()
    directory = write_study([changed(records[0], path, value), *records[1:]], design)
    study = read_study(directory)
    [(name, why)] = study.unreadable
    assert name == "records/000.json"
    assert why.startswith(reason)
    summary = summarize(study)
    errors = [record["test_error"] for record in records]
    assert summary["E(3) on R3xS2"].test.mean == pytest.approx((errors[1] + errors[2]) / 2)  # type: ignore[union-attr]
    assert summary["E(3) on R3"].test.mean == pytest.approx(sum(errors[3:6]) / 3)  # type: ignore[union-attr]
    page = write_report(directory).read_text(encoding="utf-8")
    assert "1 file left out: records/000.json (" in page
    assert "E(3) on R3xS2" in terminal_table(summary)


def test_a_record_nested_too_deeply_is_named(write_study: WriteStudy) -> None:
    records, design = make_study()
    directory = write_study(records[1:], design)
    for name, depth in (("deep", 40), ("deeper", 200_000)):
        text = json.dumps(records[0])[:-1] + f', "x": {"[" * depth}{"]" * depth}}}'
        (directory / "records" / f"{name}.json").write_text(text)
    reasons = dict(read_study(directory).unreadable)
    assert "expected at most 32 levels" in reasons["records/deep.json"]
    assert "nested too deeply" in reasons["records/deeper.json"]
    assert write_report(directory).stat().st_size > 1000


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("variants", "all", "variants: expected a list, found 'all'"),
        ("variants", [{"model": {}}], "variants.0: expected a name, or an object with a name"),
        ("seeds", "three", "seeds: expected a list, found 'three'"),
        ("fractions", [1.0, "half"], "fractions.1: expected a share in (0, 1], found 'half'"),
        ("train", 5, "train: expected an object, found 5"),
        ("train_overrides", {"E(3) on R3": 1}, "train_overrides.E(3) on R3: expected an object, found 1"),
        ("task_options", [], "task_options: expected an object, found []"),
    ],
)
def test_a_bad_design_is_named_and_the_records_count(
    write_study: WriteStudy, key: str, value: Any, reason: str
) -> None:
    records, design = make_study()
    directory = write_study(records, design | {key: value})
    study = read_study(directory)
    [(name, why)] = study.unreadable
    assert name == "study.json"
    assert why.startswith(reason)
    assert len(study.runs) == len(records)
    assert "study.json" in write_report(directory).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [("unit", "km", "length^2"), ("metric", "MAE of positions", "MSE of positions")],
)
def test_a_record_of_another_unit_or_metric_is_never_averaged_with_the_rest(
    write_study: WriteStudy, key: str, value: str, expected: str
) -> None:
    records = [make_record("E(3) on R3", seed) for seed in range(3)]
    records[2] |= {key: value, "test_error": 1000.0}
    directory = write_study(records, make_design([0, 1, 2], [1.0], ["E(3) on R3"]))
    study = read_study(directory)
    reason = f"{key}: expected {expected!r}, as 2 other finished records have, found {value!r}"
    assert study.unreadable == (("records/002.json", reason),)
    mean = (records[0]["test_error"] + records[1]["test_error"]) / 2
    assert summarize(study)["E(3) on R3"].test.mean == pytest.approx(mean)  # type: ignore[union-attr]
    assert f"{mean:.3g}" in terminal_table(summarize(study))
    said = " ".join(terminal_table(summarize(study)).split())
    assert f"1 file left out: records/002.json ({reason})." in said
    page = write_report(directory).read_text(encoding="utf-8")
    assert "1 file left out: records/002.json" in page


def figure(seed: int, value: float, moment: str = "after", **said: str) -> dict[str, Any]:
    """The record of a seed with one further measurement, of an accuracy in per cent unless it says otherwise."""
    entry = {"name": "accuracy", "value": value, "unit": "%", "group": "", "moment": moment, "view": "", "better": ""}
    return small_record("A", seed, 1.0 + seed, measurements=[entry | said])


def test_values_of_another_unit_are_never_averaged_with_the_rest() -> None:
    summary = summarize(
        study_of([figure(0, 50.0), figure(1, 0.5, unit="1"), figure(2, 70.0), figure(3, 0.25, unit="1")])
    )
    [found] = summary["A"].figures
    assert found.unit == "%"
    assert found.moments["after"].by_seed == {0: 50.0, 2: 70.0}
    assert found.moments["after"].mean == 60.0
    said = "accuracy (%): expected unit '%', as its other values have, found '1' with seed 1, 3"
    assert summary["A"].figure_faults == (said,)
    assert f"Read with care: Left out of a figure of A: {said}." in " ".join(terminal_table(summary).split())


def test_values_that_are_better_elsewhere_are_left_out_and_those_that_do_not_say_count() -> None:
    records = [figure(0, 3.0, better="lower"), figure(1, 1.0, better="higher"), figure(2, 2.0, better="higher")]
    summary = summarize(study_of([*records, figure(3, 6.0, unit="")]))
    [found] = summary["A"].figures
    assert (found.unit, found.better) == ("%", "higher")
    assert found.moments["after"].by_seed == {1: 1.0, 2: 2.0, 3: 6.0}
    assert "expected better 'higher'" in summary["A"].figure_faults[0]
    assert "found 'lower' with seed 0" in summary["A"].figure_faults[0]


def test_a_unit_that_changes_in_training_is_left_out_too() -> None:
    summary = summarize(study_of([figure(0, 50.0), figure(1, 0.5, "before", unit="1"), figure(2, 70.0)]))
    assert summary["A"].figures[0].moments.keys() == {"after"}
    assert len(summary["A"].figure_faults) == 1
    whole = summarize(study_of([figure(0, 50.0), figure(1, 40.0, "before")]))
    assert list(whole["A"].figures[0].moments) == ["before", "after"]
    assert whole["A"].figure_faults == ()


def test_a_record_that_does_not_say_its_unit_counts(write_study: WriteStudy) -> None:
    records = [make_record("E(3) on R3", seed) for seed in range(3)]
    del records[2]["unit"], records[2]["metric"]
    study = read_study(write_study(records))
    assert study.unreadable == ()
    assert len(study.done) == 3


def test_a_long_error_is_shown_once_and_short(write_study: WriteStudy) -> None:
    records, design = make_study()
    size = write_report(write_study(records, design)).stat().st_size
    text = "Traceback\n" + "x" * 5_000_000 + "\nValueError: " + "y" * 5_000_000
    records[0] |= {"status": "failed", "test_error": None, "error": text}
    directory = write_study(records, design)
    page = write_report(directory).read_text(encoding="utf-8")
    assert len(page) < size + 4 * LONGEST_TEXT
    assert page.count("characters left out; the file has them") == 2  # the traceback, and the records to download
    assert (directory / "table.md").stat().st_size < 10_000
    assert len(terminal_table(summarize(read_study(directory)))) < 5000


def test_lone_surrogates_are_written_as_escapes(write_study: WriteStudy) -> None:
    records, design = make_study()
    records[0] |= {"status": "failed", "test_error": None, "error": "ValueError: bad \udcff name \ud800"}
    page = write_report(write_study(records, design)).read_text(encoding="utf-8")
    assert r"ValueError: bad \udcff name \ud800" in page


def test_the_report_can_be_written_elsewhere(write_study: WriteStudy, tmp_path: Path) -> None:
    directory = write_study(*make_study())
    before = sorted(path.name for path in directory.iterdir())
    path = write_report(directory, tmp_path / "new" / "folder")
    assert path == tmp_path / "new" / "folder" / "report.html"
    assert sorted(p.name for p in path.parent.iterdir()) == ["report.html", "table.md"]
    assert sorted(p.name for p in directory.iterdir()) == before
    assert path.read_bytes() == write_report(directory).read_bytes()
