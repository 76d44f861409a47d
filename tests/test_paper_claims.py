"""The claims of the paper are judged by the published tables: by differences, p-values, or intervals that are apart."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from rapidash.registry import DESIGNS
from rapidash.study import get_design

DOCS = Path(__file__).resolve().parents[1] / "docs"
TABLE = """**A wins.**

.. list-table::
   :header-rows: 1
   :widths: 22 12 22 8 22 8 8

   * - variant
     - symmetry
     - test error
     - rotated
     - difference to neighbor
     - parameters
     - per step
{rows}
   * - Z never finished
     - E(3)
     - no finished run
     - –
     - –
     - –
     - –

:Command: ``rapidash study x``
"""


def table_of(*rows: tuple[str, str, str]) -> str:
    """A published table of rows with name, test error and difference."""
    return TABLE.format(
        rows="\n".join(
            f"   * - {name}\n     - E(3)\n     - {error}\n     - 1\n     - {difference}\n     - 130 594\n     - 52.0 ms"
            for name, error, difference in rows
        )
    )


@pytest.fixture(scope="module")
def claims() -> ModuleType:
    spec = importlib.util.spec_from_file_location("claims", DOCS / "_ext" / "claims.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_published_table_is_read(claims: ModuleType) -> None:
    rows = claims.read_table(
        table_of(
            ("A one", "184 [181,\u00a0186]", "–"),
            (
                "B two\\_x + RPP [full]",
                "5\u202f250 [−10.0,\u00a01.2 × 10⁵]",
                "\\+16.4 [−22.0,\u00a054.8] to A, p\u00a0=\u00a00.12",
            ),
            ("AB three", "1.50 × 10⁻⁵", "−16.4 [−22.0,\u00a0−10.7] to B"),
            ("↪ projected", "3 [1,\u00a04]", "–"),
        )
    )
    assert set(rows) == {"one", "two_x + RPP", "three"}
    assert rows["one"] == ("A", 184.0, 181.0, 186.0, None, None, "", None)
    assert rows["two_x + RPP"] == ("B", 5250.0, -10.0, 1.2e5, 16.4, (-22.0, 54.8), "A", 0.12)
    assert rows["three"] == ("AB", pytest.approx(1.5e-5), None, None, -16.4, (-22.0, -10.7), "B", None)


@pytest.mark.parametrize(
    ("first", "second", "outcome"),
    [
        (("2 [1, 3]", "−2 [−3,\u00a0−1] to B"), ("4 [3, 5]", "–"), "holds"),
        (("4 [3, 5]", "–"), ("2 [1, 3]", "−2 [−3,\u00a0−1] to A"), "does not hold"),
        (("2 [1, 3]", "−2 [−5,\u00a01] to B"), ("4 [3, 5]", "–"), "not clear"),
        (("2 [1, 3]", "−2 [−3,\u00a0−1] to B, p = 0.060"), ("4 [3, 5]", "–"), "not clear"),
        (("2 [1, 3]", "−2 [−3,\u00a0−1] to B, p < 0.001"), ("4 [3, 5]", "–"), "holds"),
        (("2 [1, 3]", "–"), ("4 [3.5, 5]", "–"), "holds"),
        (("2 [1, 3]", "–"), ("4 [2.5, 5]", "–"), "not clear"),
        (("4 [3.5, 5]", "−9 [−10,\u00a0−8] to C"), ("2 [1, 3]", "–"), "does not hold"),
        (("2", "–"), ("4", "–"), "not clear"),
    ],
)
def test_a_claim_holds_where_the_difference_is_clear(
    claims: ModuleType, first: tuple[str, str], second: tuple[str, str], outcome: str
) -> None:
    rows = claims.read_table(table_of(("A first", *first), ("B second", *second)))
    ratio, found = claims.compare(rows["first"], rows["second"])
    assert found == outcome
    assert ratio == pytest.approx(0.5 if first[0].startswith("2") else 2.0)


def test_places_pairs_and_levels(claims: ModuleType) -> None:
    """Two of three places have the pair; one holds at a level, one does not; data of another kind are no place."""
    plain = {
        "places": {"a, size 2": "turns", "b": "turns", "c": "turns", "d": "none"},
        "claim": [{"claim": "C.", "test": "t", "where": "turns", "pairs": [["x", "y"]]}],
    }
    low, high = ("1 [0.9, 1.1]", "–"), ("4 [3.9, 4.1]", "–")
    texts = {
        "a": table_of(("A x, size 1", *high), ("B y, size 1", *low), ("C x, size 2", *low), ("D y, size 2", *high)),
        "b": table_of(("A x", *high), ("B y", *low)),
        "c": table_of(("A x", *high)),
        "d": table_of(("A x", *low), ("B y", *high)),
    }
    (found,) = claims.verdicts(plain, {name: claims.read_table(text) for name, text in texts.items()})
    assert found.result == "holds at 1, does not hold at 1 of 2"
    assert claims.in_words(found.at("holds")) == "a, size 2 (0.25×)"
    assert claims.in_words(found.at("does not hold")) == "b (4.00×)"
    assert claims.in_words(found.at("not clear")) == "–"
    (none,) = claims.verdicts(plain, {})
    assert none.result == "no table has both yet"
    (apart,) = claims.verdicts(
        plain, {"b": claims.read_table(texts["c"]), "c": claims.read_table(table_of(("B y", *low)))}
    )
    assert apart.result == "no table has both yet"
    assert list(claims.table([found]))[-6:] == [
        "   * - C.",
        "     - t",
        "     - holds at 1, does not hold at 1 of 2",
        "     - a, size 2 (0.25×)",
        "     - b (4.00×)",
        "     - –",
    ]


def test_the_dipole_by_hand(claims: ModuleType) -> None:
    """167 against 290 mD, a difference of 123 [106, 140]; with the frame 217 against 184, 33.4 [29.1, 37.6] more."""
    rows = claims.read_tables(DOCS / "results")["qm9_dipole_six"]
    assert claims.compare(rows["E(3) on R3"], rows["T(3) on R3"]) == (pytest.approx(167 / 290), "holds")
    frame = rows["E(3) on R3xS2 + global frame"]
    assert claims.compare(frame, rows["E(3) on R3xS2"]) == (pytest.approx(217 / 184), "does not hold")


def test_places_and_pairs_of_the_file_exist(claims: ModuleType) -> None:
    """A place is a published table or will be that of a study; a pair stands in some table or study."""
    plain = claims.read_claims(DOCS / "claims.toml")
    tables = claims.read_tables(DOCS / "results")
    coming = {name.replace("-", "_"): get_design(name, full=True) for name in DESIGNS.own_names()}
    for place in plain["places"]:
        assert (name := place.partition(", ")[0]) in tables or name in coming, place
    names = {row for rows in tables.values() for row in rows}
    names |= {variant.name for name in ("qm9_b3lyp", "modelnet10_poses") for variant in coming[name].variants}
    for claim in plain["claim"]:
        assert all(variant in names for pair in claim["pairs"] for variant in pair), claim["test"]
    assert ".. claims:: claims.toml results\n" in (DOCS / "claims.rst").read_text(encoding="utf-8")


def test_a_claim_that_is_not_whole_is_refused(claims: ModuleType, tmp_path: Path) -> None:
    text = (DOCS / "claims.toml").read_text(encoding="utf-8")
    for wrong, message in (
        (text.replace("test =", "tset =", 1), r"claim 1 must have the keys \['claim', 'pairs', 'test', 'where'\]"),
        (re.sub('where = ".*"', 'where = "moon"', text, count=1), "claim 1 is of 'moon', which no place keeps"),
    ):
        (tmp_path / "claims.toml").write_text(wrong, encoding="utf-8")
        with pytest.raises(ValueError, match=message):
            claims.read_claims(tmp_path / "claims.toml")


def test_the_command_prints_every_claim() -> None:
    printed = subprocess.run(
        [sys.executable, str(DOCS / "_ext" / "claims.py")], capture_output=True, text=True, check=True
    ).stdout
    assert printed.count("  result: ") == (DOCS / "claims.toml").read_text(encoding="utf-8").count("[[claim]]") - 1
    assert "qm9_dipole (0.57×)" in printed
