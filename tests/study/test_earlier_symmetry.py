"""Words of earlier records, read as the fields of today."""

import json
from pathlib import Path

import pytest

from rapidash.study import study_of, summarize
from rapidash.study._earlier_symmetry import modern_symmetry
from tests.report._studies import small_record

EARLIER = Path(__file__).parent / "earlier" / "records"


@pytest.mark.parametrize(
    ("name", "keeps", "is_trivial"),
    [
        ("E(3)", ["rotations", "reflections"], False),
        ("O(2)", ["rotations", "reflections"], False),
        ("SE(3)", ["rotations"], False),
        ("SO(3)", ["rotations"], False),
        ("SO2(z)", [], False),
        ("O2(y), translations across y only", [], False),
        ("T(3)", [], False),
        ("trivial", [], True),
    ],
)
def test_the_parts_of_a_group_by_its_name(name: str, keeps: list[str], is_trivial: bool) -> None:
    found = modern_symmetry({"effective": name, "reasons": ["kernels", "not exact for ties"]})
    assert (found["keeps"], found["is_trivial"], found["exactness"]) == (keeps, is_trivial, ["not exact for ties"])


def test_what_a_record_says_in_fields_counts() -> None:
    said = {"effective": "E(3)", "keeps": [], "is_trivial": True, "exactness": [], "reasons": ["exact"]}
    assert modern_symmetry(said) == said
    assert modern_symmetry(None) == {}


def test_records_of_the_first_version() -> None:
    found = {}
    for path in sorted(EARLIER.glob("*.json")):
        record = json.loads(path.read_text())
        found[record["symmetry"]["effective"]] = modern_symmetry(record["symmetry"])["keeps"]
    assert found == {"E(3)": ["rotations", "reflections"], "T(3)": []}


def test_a_name_is_not_read_where_there_are_fields() -> None:
    """The same numbers, and a group of a package with a name that begins as others do."""
    turned = {"test_error_rotated": 5.0, "symmetry": {"layers": "E", "effective": "E(xotic)", "exact": False}}
    named = [small_record("A", seed, 1.0, **turned) for seed in (0, 1)]
    assert summarize(study_of(named))["A"].has_lost_symmetry
    turned["symmetry"] |= {"keeps": [], "is_trivial": False, "exactness": []}
    plain = [small_record("A", seed, 1.0, **turned) for seed in (0, 1)]
    assert not summarize(study_of(plain))["A"].has_lost_symmetry
