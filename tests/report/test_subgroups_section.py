"""The section on subgroups, from records: stated and found groups, how often, and losses that were false."""

from rapidash.report._subgroups_section import subgroups_section
from rapidash.study import study_of, summarize
from tests.report._studies import small_record


def record(name: str, seed: int, model: dict, reasons: list[str], kind: str = "", parameters: int = 10) -> dict:
    methods = [{"kind": kind}] if kind else []
    symmetry = {"layers": "C(4)", "effective": "C(4)", "reasons": reasons, "exact": True, "oracle": False}
    variant = {"model": {"kind": "image-gcnn", "symmetry": "C4", **model}, "methods": methods}
    return small_record(name, seed, 5.0, variant=variant, symmetry=symmetry, parameters=parameters)


def test_groups_by_seed() -> None:
    lost, kept = "the layers keep C4, C1: trivial is left", "the layers keep C4, C4: nothing is lost"
    records = [
        *(record("whole", seed, {}, ["it is equivariant"]) for seed in (0, 1, 2)),
        *(record("stated", seed, {"subgroups": ["C4", "C2"]}, [], parameters=15) for seed in (0, 1, 2)),
        record("searched", 0, {}, ["first", lost], "subgroup-evolution", 20),
        record("searched", 1, {}, ["first", kept], "subgroup-evolution", 10),
        record("searched", 2, {}, ["first", lost], "subgroup-evolution", 22),
    ]
    section = subgroups_section(summarize(study_of(records)))
    assert section is not None
    cells = [row[:4] for row in section.rows]
    assert [(row[0][2:], *row[1:]) for row in cells] == [
        ("whole", "all C4", "3 of 3", "10"),
        ("stated", "C4, C2", "3 of 3", "15"),
        ("searched", "C4, C1", "2 of 3", "20 to 22"),
        ("", "C4, C4", "1 of 3", "10"),
    ]
    assert section.notes == ["searched: 1 of 3 runs keep the whole group in every layer."]
    plain = [record("whole", seed, {}, ["it is equivariant"]) for seed in (0, 1)]
    assert subgroups_section(summarize(study_of(plain))) is None
