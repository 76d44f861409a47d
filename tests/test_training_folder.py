"""The reason that the folder of a training has no model, and what goes on."""

import json
from pathlib import Path

import pytest

from rapidash._pretrained import find_pretrained
from rapidash._training_folder import told_of_training

COMMAND = "The command that began it, rapidash train or study with --out"
FAILED, RUNNING = "0123456789abcdef", "fedcba9876543210"


def training(folder: Path, **errors: str | None) -> Path:
    """A folder with a run for each key, and a record where it has ended, with its error."""
    for key, error in errors.items():
        (folder / "work" / key).mkdir(parents=True)
        (folder / "records").mkdir(exist_ok=True)
        if error is not None:
            record = {"status": "failed" if error else "done", "error": error or None}
            (folder / "records" / f"{key}.json").write_text(json.dumps(record))
    return folder


def test_a_failed_training_says_why_and_what_tries_it_again(tmp_path: Path) -> None:
    folder = training(tmp_path / "a", **{FAILED: "Traceback\n  line\nValueError: no data.\n"})
    said = f"the training failed: ValueError: no data. {COMMAND} {folder}, tries it again"
    for place in (folder, folder / "work" / FAILED, folder / "work" / FAILED / "model"):
        assert told_of_training(place) == said
        with pytest.raises(FileNotFoundError) as error:
            find_pretrained(place)
        assert str(error.value) == f"no saved model at {place}: {said}"


def test_one_that_has_not_ended_is_continued(tmp_path: Path) -> None:
    folder = training(tmp_path / "a", **{FAILED: "ValueError: no data", RUNNING: None})
    said = f"the training has not ended. {COMMAND} {folder}, continues it"
    assert told_of_training(folder / "work" / RUNNING) == said
    assert "the training failed" in told_of_training(folder)


def test_of_any_other_folder_nothing_is_said(tmp_path: Path) -> None:
    ended = training(tmp_path / "ended", **{FAILED: ""})  # whose model somebody removed
    other = training(tmp_path / "other", notes=None)
    damaged = training(tmp_path / "damaged", **{FAILED: ""})
    (damaged / "records" / f"{FAILED}.json").write_text("[")
    for place in (ended, other, damaged, tmp_path / "nowhere", ended / "work" / RUNNING):
        assert told_of_training(place) == ""
