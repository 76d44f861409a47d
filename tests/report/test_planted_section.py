"""The table of planted symmetry from records made by hand: right, wrong, named, alarmed and abstained."""

from typing import Any

from rapidash.datasets import PLANTED
from rapidash.report._planted_section import planted_section
from rapidash.study import study_of, summarize
from tests.report._studies import small_record

ABOUT_Z = "SO2(z) about the origin"


def record(symmetry: str | None, seed: int, said: dict[str, float], group: str = ABOUT_Z) -> dict[str, Any]:
    """A record of one network, which said some words with their amount."""
    level = {} if symmetry is None else {"task.symmetry": symmetry}
    options = {} if symmetry is None else {"symmetry": symmetry}
    return small_record(
        "MLP",
        seed,
        10.0,
        key=f"{symmetry}{seed}{group}",
        metric="error rate",
        unit="%",
        config={"task": "planted", "task_options": options, "level": level},
        measurements=[
            {"name": name, "value": value, "unit": "1", "group": group, "moment": "after", "view": "", "better": ""}
            for name, value in said.items()
        ],
    )


def cells(records: list[dict[str, Any]]) -> dict[str, dict[str, str]]:
    section = planted_section(summarize(study_of(records, {"factors": {"task.symmetry": list(PLANTED)}})))
    assert section is not None
    return {row[0]: dict(zip(section.head, row, strict=True)) for row in section.rows}


def test_every_saying_is_judged_by_its_truth() -> None:
    records = []
    for seed in (0, 1):
        for symmetry in PLANTED:
            said = {"data score says all turns": 1.0, "data score: p": 0.5, "equivariance error": 3.0}
            said["Augerino says cannot tell" if seed else "Augerino says no small turns"] = 1.0
            said["histogram says turns up to"] = 40.0 + 30 * seed
            records.append(record(symmetry, seed, said))
    table = cells(records)
    assert list(table) == ["data score", "Augerino", "histogram"]
    score = table["data score"]
    assert [score[symmetry] for symmetry in PLANTED] == ["2/2 all turns", *["0/2 all turns"] * 4]
    assert [score[name] for name in ("right", "names it", "false alarms", "abstains")] == [
        "2/10",
        "2/10",
        "4/4",
        "0/10",
    ]
    half = table["Augerino"]
    assert half["full"] == "0/2 no small turns (1), cannot tell (1)"
    assert half["wrong axis"] == "1/2 no small turns (1), cannot tell (1)"
    assert [half[name] for name in ("right", "names it", "false alarms", "abstains")] == ["3/10", "0/10", "0/4", "5/10"]
    widths = table["histogram"]
    assert widths["partial"] == "1/2 turns up to 40 to 70 degrees"  # 70 is more than 1.5 times 45
    assert [widths[name] for name in ("right", "names it", "false alarms")] == ["1/10", "1/10", "4/4"]


def test_false_alarms_are_named() -> None:
    records = [record("none", 0, {"data score says all turns": 1.0, "task score says not all turns": 1.0})]
    section = planted_section(summarize(study_of(records, {"factors": {"task.symmetry": list(PLANTED)}})))
    assert section is not None
    assert section.head == ("method", "none", "right", "names it", "false alarms", "abstains")
    assert section.notes[0] == "False alarms: data score (1)."
    quiet = planted_section(summarize(study_of([record("none", 0, {"task score says not all turns": 1.0})])))
    assert quiet is not None
    assert quiet.notes == ["No method raises a false alarm."]


def test_of_real_data_nothing_is_right_or_wrong() -> None:
    said = {"data score says not all turns": 1.0, "consistency by angle says turns up to": 30.0}
    found = record(None, 0, said)
    found["measurements"] += record(None, 0, {"data score says all turns": 1.0}, "SO2(x) about the origin")[
        "measurements"
    ]
    section = planted_section(summarize(study_of([found])))
    assert section is not None
    assert section.head == ("method", ABOUT_Z, "SO2(x) about the origin")
    assert [tuple(row) for row in section.rows] == [
        ("data score", "not all turns", "all turns"),
        ("consistency by angle", "turns up to 30 degrees", "\N{EN DASH}"),
    ]
    assert "nothing counts as right or wrong" in section.text


def test_other_studies_have_no_such_section() -> None:
    assert planted_section(summarize(study_of([record(None, 0, {"equivariance error": 1.0})]))) is None
