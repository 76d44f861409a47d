"""Files of an advice that are damaged, of another version, or of other data: each ends with a sentence naming it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rapidash import cli
from rapidash.advise import _race as race_module
from rapidash.advise import advise, try_out
from rapidash.advise._advise import _finding
from rapidash.advise._diagnosis import diagnose
from rapidash.advise._race_state import Cost
from rapidash.advise._saved import read_saved
from rapidash.advise._try_out import OUTCOME, read_outcome
from rapidash.data import CloudDataset
from rapidash.study import StudyDesign

Change = Callable[[Any], object]


@pytest.fixture
def race(solids: StudyDesign, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs a race of one variant of two steps, or continues it."""

    def costs(task: Any, variants: dict[str, Any], *rest: Any, **options: Any) -> dict[str, Cost]:
        slow = Cost(dropped="left out: too slow")
        return {name: Cost(0.4, 0.0, 0.0) if name == "E(3) on R3" else slow for name in variants}

    def few(data: CloudDataset, target: Any, **options: Any) -> Any:
        return diagnose(data, target, only=["size"], **options)

    monkeypatch.setattr(race_module, "measured_costs", costs)
    monkeypatch.setattr(race_module, "LEAST_STEPS", 2)
    monkeypatch.setattr("rapidash.advise._advise.diagnose", few)
    return lambda: advise(solids, tmp_path, minutes=0.3, clock=lambda: 0.0)


def entries(**changes: Any) -> Change:
    return lambda content: content.update(changes)


def first(name: str, **changes: Any) -> Change:
    """Change the first finding, or the first planned training."""
    return lambda content: (content[name][0] if name == "findings" else content[name][0][0]).update(changes)


DAMAGES: list[tuple[str, str | Change, str]] = [
    ("diagnosis.json", "{half", "is no diagnosis .*: remove it, or choose another --out"),
    ("diagnosis.json", "[]", r"is no diagnosis \(expected entries by name, got list\)"),
    ("diagnosis.json", '{"findings": []}', r"is no diagnosis \(the entry 'schema' is missing\)"),
    ("diagnosis.json", entries(schema=2), "has schema 2, this version reads 1: choose another --out"),
    ("diagnosis.json", first("findings", says="perhaps"), r"is no diagnosis \(says must be one of .*, got 'perhaps'"),
    (
        "diagnosis.json",
        first("findings", value={"value": 1.0, "error": 2.0}),
        "is no diagnosis .*Estimate field 'error'",
    ),
    (
        "diagnosis.json",
        first("findings", value={"value": "1", "standard_error": 2.0}),
        "value must be a number, got '1'",
    ),
    ("race.json", "{half", "is no race .*: remove it, or choose another --out"),
    ("race.json", entries(costs=[]), "is no race"),
    ("race.json", entries(used="long"), r"is no race \(used must be a number, got 'long'\)"),
    ("race.json", entries(notes=[]), "is no race"),
    ("race.json", entries(blocks=[[]]), r"is no race \(a list of trainings is empty\)"),
    ("race.json", first("blocks", steps="many"), r"is no race \(steps must be a whole number, got 'many'\)"),
    ("race.json", first("blocks", variant="E(9)"), "plans trainings of 'E.9.', which is none of the variants now"),
    ("question.json", "[]", r"is no question of rapidash advise .*got list\): choose another --out"),
    ("question.json", "{}", "holds the answer to another question: schema was None"),
]


def test_damaged_files_are_named(race: Callable[..., Any], tmp_path: Path) -> None:
    before = race()
    for name, damage, words in DAMAGES:
        path = tmp_path / name
        whole = path.read_text(encoding="utf-8")
        content = json.loads(whole)
        if isinstance(damage, str):
            path.write_text(damage, encoding="utf-8")
        else:
            damage(content)
            path.write_text(json.dumps(content), encoding="utf-8")
        with pytest.raises(ValueError, match=words) as stop:
            race()
        assert str(tmp_path) in str(stop.value), words
        path.write_text(whole, encoding="utf-8")
    path = sorted((tmp_path / "trials").glob("*.json"))[0]
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**content, "turned": content["turned"][:7]}), encoding="utf-8")
    with pytest.raises(
        ValueError, match="errors of 7 and 40 validation clouds, and there are 40: the data were others"
    ):
        race()
    path.write_text(json.dumps({**content, "errors": ["much"] * 40}), encoding="utf-8")
    assert race().rows == before.rows  # a file that is not whole is made again
    assert path.with_suffix(".json.corrupt").is_file()


def test_a_number_that_json_cannot_hold_is_read_as_none() -> None:
    entry = {"key": "k", "question": "?", "says": "no", "sentence": "", "figure": "", "null": 1.0, "axis": ""}
    given = {"value": {"value": None, "standard_error": 1.0}, "without": None, "planted": None, "needed": None}
    found = _finding({**entry, **given})
    assert found.value is not None
    assert found.value.value != found.value.value
    assert found.without is None


def test_no_number_stands_for_none(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"used": NaN}', encoding="utf-8")
    with pytest.raises(ValueError, match=r"a.json is no race \(NaN is no number of such a file\)"):
        read_saved(tmp_path / "a.json", "race", dict, schema=None)
    with pytest.raises(FileNotFoundError):
        read_saved(tmp_path / "b.json", "race", dict, schema=None)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"minutes": float("inf")}, "minutes must be at least 0.1 and finite, got inf"),
        ({"minutes": float("nan")}, "minutes must be at least 0.1 and finite, got nan"),
        ({"seed": -1}, "seed must be from 0 to 2.63 - 1, got -1"),
        ({"seed": 2**63}, "seed must be from 0 to"),
    ],
)
def test_a_wrong_time_or_seed_leaves_no_folder(
    solids: StudyDesign, tmp_path: Path, options: dict[str, Any], words: str
) -> None:
    """Else the folder would hold the answer to another question."""
    with pytest.raises(ValueError, match=words):
        advise(solids, tmp_path / "out", **{"minutes": 1.0, **options})
    assert not (tmp_path / "out").exists()


def test_wrong_words_of_a_trial(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="seconds must be above 0 and finite, got 0"):
        try_out("fit", tmp_path, seconds=0)
    (tmp_path / OUTCOME).write_text('{"schema": 1, "cell": "c"}', encoding="utf-8")
    with pytest.raises(ValueError, match="is no outcome of a cell"):
        read_outcome(tmp_path)
    (tmp_path / "file").write_text("")
    for words in (["--trial", "fit"], ["solids", "--minutes", "1"]):
        assert cli.main(["advise", *words, "--out", str(tmp_path / "file" / "sub")]) == 2
        assert f"--out: expected a folder, {tmp_path / 'file'} is a file" in capsys.readouterr().err
