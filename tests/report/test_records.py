from pathlib import Path

import pytest

from rapidash.methods import modern_variant
from rapidash.study import read_study, study_of
from tests.report._studies import VARIANTS, WriteStudy, make_design, make_record, make_study


def test_runs_come_in_the_order_of_the_design(write_study: WriteStudy) -> None:
    records, design = make_study(seeds=(1, 0))
    study = read_study(write_study(records[::-1], design))
    assert [(run.variant, run.seed) for run in study.runs] == [(name, seed) for name in VARIANTS for seed in (0, 1)]
    assert [row.name for row in study.rows] == list(VARIANTS)
    assert study.missing == ()


def test_a_directory_that_is_no_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"expected study\.json or a folder records/"):
        read_study(tmp_path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('{"schema": 1, "config": {"var', "not a complete JSON file"),
        ("[1, 2]", "expected a JSON object"),
        ('{"schema": 7, "config": {"variant": {}}}', "schema 7"),
        ('{"schema": 1, "config": {}}', "config.variant: expected an object, found nothing"),
        ("", "not a complete JSON file"),
    ],
)
def test_a_file_that_is_no_record_is_named_and_the_others_count(
    write_study: WriteStudy, content: str, reason: str
) -> None:
    directory = write_study([make_record("E(3) on R3", 0)])
    (directory / "records" / "bad.json").write_text(content)
    study = read_study(directory)
    assert len(study.runs) == 1
    [(name, why)] = study.unreadable
    assert name == "records/bad.json"
    assert reason in why


def test_a_record_that_is_no_text_is_named(write_study: WriteStudy) -> None:
    directory = write_study([make_record("E(3) on R3", 0)])
    (directory / "records" / "bad.json").write_bytes(b"\xff\xfe\x00")
    assert [name for name, _ in read_study(directory).unreadable] == ["records/bad.json"]


def test_missing_runs_are_those_of_the_design_without_a_record(write_study: WriteStudy) -> None:
    records, design = make_study()
    study = read_study(write_study(records[1:], design))
    assert study.missing == (("E(3) on R3xS2", 0, 1.0),)


def test_runs_of_another_setting_are_set_aside(write_study: WriteStudy) -> None:
    records, design = make_study()
    other = make_record("E(3) on R3", 0, steps=500)
    study = read_study(write_study([*records, other], design))
    assert len(study.runs) == len(records)
    assert [run.get("config", "train", "steps") for run in study.set_aside] == [500]


@pytest.mark.parametrize("foreign", ["variant", "seed", "fraction", "model", "task_options"])
def test_a_run_that_the_design_does_not_contain_is_set_aside(write_study: WriteStudy, foreign: str) -> None:
    record = make_record("E(3) on R3", 0)
    design = make_design([0], [1.0], ["E(3) on R3"])
    assert len(read_study(write_study([record], design)).runs) == 1  # the same check accepts the planned run
    config = record["config"]
    if foreign == "variant":
        config["variant"]["name"] = "something else"
    elif foreign == "model":
        config["variant"]["model"] = config["variant"]["model"] | {"channels": 8}
    else:
        config[foreign] = {"seed": 5, "fraction": 0.5, "task_options": {"num_train": 7}}[foreign]
    study = read_study(write_study([record], design))
    assert (len(study.runs), len(study.set_aside)) == (0, 1)


def test_runs_of_an_earlier_version_belong_to_the_design_that_this_version_wrote(write_study: WriteStudy) -> None:
    """A study that was resumed: its design has methods where the records have ``augment`` and ``tta``."""
    records, design = make_study()
    design["variants"] = [modern_variant(variant) for variant in design["variants"]]
    assert all("methods" in variant and "augment" not in variant for variant in design["variants"])
    assert len(read_study(write_study(records, design)).runs) == len(records)


def test_settings_without_effect_set_no_run_aside(write_study: WriteStudy) -> None:
    records, design = make_study()
    design["train"] = design["train"] | {"checkpoint_every": 7, "log_tensorboard": True}
    assert len(read_study(write_study(records, design)).runs) == len(records)


def test_records_at_hand_are_read_as_those_of_a_directory(write_study: WriteStudy) -> None:
    records, design = make_study()
    records[3]["config"]["seed"] = "three"
    records[4]["key"] = records[5]["key"]  # as of two copies of a file
    read, at_hand = read_study(write_study(records, design)), study_of(records, design)
    assert [run.raw for run in at_hand.runs] == [run.raw for run in read.runs]
    assert len(at_hand.runs) == len(records) - 1
    assert [reason for _, reason in at_hand.unreadable] == [reason for _, reason in read.unreadable]


def test_variants_keep_their_order_whatever_failed(write_study: WriteStudy) -> None:
    records = make_study()[0]
    names = [row.name for row in read_study(write_study(records)).rows]
    records[0] |= {"status": "failed", "test_error": None}
    assert [row.name for row in read_study(write_study(records)).rows] == names


def test_a_variant_may_be_described_in_other_words(write_study: WriteStudy) -> None:
    record = make_record("E(3) on R3", 0)
    record["config"]["variant"]["knob"] = "in other words"
    assert len(read_study(write_study([record], make_design([0], [1.0], ["E(3) on R3"]))).runs) == 1


def test_of_two_records_of_one_run_the_finished_one_counts(write_study: WriteStudy) -> None:
    failed = make_record("E(3) on R3", 0) | {"status": "failed", "test_error": None, "started": "2027-01-01"}
    study = read_study(write_study([make_record("E(3) on R3", 0), failed]))
    assert [run.is_done for run in study.runs] == [True]
    assert study.set_aside[0].get("status") == "failed"


def test_a_run_with_a_test_error_that_is_not_finite_has_diverged(write_study: WriteStudy) -> None:
    record = make_record("E(3) on R3", 0) | {"test_error": float("nan")}
    [run] = read_study(write_study([record])).runs
    assert not run.is_done
    assert "diverged" in run.problem


def test_the_problem_of_a_failed_run_is_the_last_line_of_its_traceback(write_study: WriteStudy) -> None:
    record = make_record("E(3) on R3", 0) | {"status": "failed", "error": "Traceback:\n  x\nValueError: no\n"}
    assert read_study(write_study([record])).runs[0].problem == "ValueError: no"
