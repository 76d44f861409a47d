import re
from pathlib import Path

import pytest

from rapidash.report import publish
from tests.report._studies import CORRUPTED, WriteStudy, make_record, make_study, small_record, write_corruptions

pytest.importorskip("matplotlib", reason="the figure needs matplotlib")
docutils = pytest.importorskip("docutils.core", reason="docutils reads what was written")
nodes = pytest.importorskip("docutils.nodes", reason="docutils reads what was written")


def test_the_text_is_valid_and_holds_every_variant_and_where_it_comes_from(
    write_study: WriteStudy, tmp_path: Path
) -> None:
    path, picture = publish(write_study(*make_study()), tmp_path / "table.rst", command="rapidash study nbody --full")
    document = docutils.publish_doctree(path.read_text(), settings_overrides={"halt_level": 2})
    (image,) = document.findall(nodes.image)
    assert picture.is_file()
    assert image["uri"] == picture.name
    text = document.astext()
    for expected in ("E(3) on R3xS2 + global frame", "rapidash study nbody --full", "0, 1, 2", "+ rotations"):
        assert expected in text


@pytest.mark.parametrize(
    ("added", "command"),
    [
        ({}, "nbody"),
        ({"name": ""}, "nbody"),
        ({"name": "pairs"}, "pairs"),
        ({"name": "pairs", "setting": "full"}, "pairs --full"),
    ],
)
def test_the_command_is_that_of_the_study_or_of_its_task(
    write_study: WriteStudy, tmp_path: Path, added: dict[str, str], command: str
) -> None:
    """Earlier folders do not know the name of their study."""
    records, design = make_study()
    path, _ = publish(write_study(records, design | added), tmp_path / "table.rst")
    assert f":Command: ``rapidash study {command}``\n" in path.read_text()


def test_runs_without_a_result_are_counted(write_study: WriteStudy, tmp_path: Path) -> None:
    failed = make_record("E(3) on R3", 1) | {"status": "failed", "test_error": None}
    path, _ = publish(write_study([make_record("E(3) on R3", 0), failed]), tmp_path / "table.rst")
    assert "1 run without a result" in path.read_text()


def rows_of(path: Path) -> list[str]:
    document = docutils.publish_doctree(path.read_text(), settings_overrides={"halt_level": 2})
    table = next(iter(document.findall(nodes.table)))
    return [next(iter(row.findall(nodes.entry))).astext() for row in table.findall(nodes.row)][1:]


def test_a_level_that_nobody_ran_makes_no_rows_and_what_others_ran_is_named_below(
    write_study: WriteStudy, tmp_path: Path
) -> None:
    """Of 2 variants at 3 levels: one level whole, one with a run that failed and one that is missing, one with none."""
    design = {"task": "toy", "variants": ["a", "b"], "factors": {"model.channels": [8, 16, 32]}}
    places = ("a", 8, "done"), ("b", 8, "done"), ("a", 16, "failed")
    records = [
        small_record(name, channels, 1.0, status=status, config={"level": {"model.channels": channels}})
        for name, channels, status in places
    ]
    path, _ = publish(write_study(records, design), tmp_path / "table.rst")
    assert rows_of(path) == ["A a, channels 8", "B b, channels 8"]
    text = path.read_text()
    assert text.count("Without finished runs") == 1
    assert "\nWithout finished runs: C a, channels 16; D b, channels 16.\n" in text
    assert "channels 32" not in text


def test_variants_that_finished_with_less_data_only_are_named_with_the_share(
    write_study: WriteStudy, tmp_path: Path
) -> None:
    records = [small_record("a", 0, 1.0), small_record("a", 1, 2.0), small_record("b", 2, 3.0)]
    for record, fraction in zip(records, (1.0, 0.1, 0.1), strict=True):
        record["config"]["fraction"] = fraction
    path, _ = publish(write_study(records, {"task": "toy"}), tmp_path / "table.rst")
    assert rows_of(path) == ["A a"]
    assert "\nWithout finished runs at 100 % of the training data: B b.\n" in path.read_text()


def test_where_all_have_finished_nothing_is_named(write_study: WriteStudy, tmp_path: Path) -> None:
    path, _ = publish(write_study(*make_study()), tmp_path / "table.rst")
    assert "Without finished" not in path.read_text()


def test_corruption_errors_are_published_with_the_study(write_study: WriteStudy, tmp_path: Path) -> None:
    records = make_study()[0]
    directory = write_study(records)
    assert "corruption" not in publish(directory, tmp_path / "table.rst")[0].read_text()
    write_corruptions(directory, records, reference="E(3) on R3")
    path, _ = publish(directory, tmp_path / "table.rst")
    document = docutils.publish_doctree(path.read_text(), settings_overrides={"halt_level": 2})
    _, table = document.findall(nodes.table)
    text = table.astext()
    for expected in ("mean corruption error", *CORRUPTED, "without corruption", "1 (error "):
        assert expected in text


def test_another_ending_is_refused(write_study: WriteStudy, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"must end in \.rst, got 'table\.md'"):
        publish(write_study(*make_study()), tmp_path / "table.md")


ODD = (
    'a\nb, "c"',
    ".. note::",
    "- item",
    "x\r\ny\u2028z",
    "1*2 `q` |p| r_ $x_{$",
    ":field: x",
    "==",
    "\u202eturned\x07",
)


def test_names_of_any_kind_stay_in_their_cells(write_study: WriteStudy, tmp_path: Path) -> None:
    """A break in a name would end the cell, and a knob that begins with two dots would be a directive."""
    records = [
        small_record(
            name, seed, 1.0 + place + 0.01 * seed, variant={"neighbor": ODD[0] if place else None, "knob": name}
        )
        for place, name in enumerate(ODD)
        for seed in (0, 1)
    ]
    for place, record in enumerate(records):
        record["key"] = f"k{place}"
        record["symmetry"]["effective"] = ODD[place // 2]
    path, _ = publish(write_study(records, {"task": "odd"}), tmp_path / "table.rst")
    document = docutils.publish_doctree(path.read_text(encoding="utf-8"), settings_overrides={"halt_level": 2})
    (table,) = document.findall(nodes.table)
    rows = [[entry.astext() for entry in row.findall(nodes.entry)] for row in table.findall(nodes.row)]
    assert {len(row) for row in rows} == {7}
    shown = ('a b, "c"', *ODD[1:3], "x  y z", *ODD[4:7], "\\u202eturned\\x07")
    assert [row[1] for row in rows[1:]] == list(shown)
    assert not list(document.findall(nodes.note))
    assert not list(table.findall(nodes.bullet_list))


def test_what_is_equal_is_published(write_study: WriteStudy, tmp_path: Path) -> None:
    text = publish(write_study(*make_study()), tmp_path / "table.rst")[0].read_text(encoding="utf-8")
    assert re.search(r"^Equal between variants: optimizer steps \(2.000\); time per step differs by up to", text, re.M)
