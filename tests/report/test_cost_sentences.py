"""Three sentences on a broken symmetry follow from the figures, and the table beside them has the same ones."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rapidash.report import _format as fmt
from rapidash.report._cost_section import cost_section
from rapidash.report._cost_sentences import CostFigures, cost_sentences
from rapidash.report._markdown import markdown_table
from rapidash.report._terminal import terminal_table
from rapidash.study import StudySummary, study_of, summarize
from tests.report._studies import small_record

UNITS = {"moved_unit": "length", "metric": "MSE of positions", "unit": "length^2", "over": "clouds"}


def figures(share: float, half: float, **changes: Any) -> dict[str, Any]:
    """What a record has: an error of 0.2, of which a share comes with the broken symmetry."""
    return {
        "group": "SO(3)", "moved": 0.3, "relative": 0.02, "error": 0.2, "cost": 0.2 * share, "share": share,
        "low": share - half, "high": share + half, "own_pose": 0.21, "pose_helps": False, "elements": 16,
        "complete": False, "squared": True, "samples": 64, "moved_unit": "length",
    } | changes  # fmt: skip


def sentences(*args: Any, **options: Any) -> tuple[str, str, str]:
    return cost_sentences(CostFigures.of(figures(*args, **options), **UNITS))


def test_negligible() -> None:
    size, weight, todo = sentences(0.02, 0.01)
    assert size == (
        f"Under SO(3) the predictions move by 0.300 length (root mean square; 0.020 of their size), and 2{fmt.TIE}% "
        f"[1{fmt.TIE}%, 3{fmt.TIE}%] of the error of 0.200 length² (MSE of positions) comes with that."
    )
    assert weight == "It does not matter: the whole 95 % interval over clouds is below 5 %."
    assert todo == "Nothing is to be done."


def test_mattering() -> None:
    """cost 0.04 of 0.2: the average keeps 0.16, of which 5 % are 0.008: K = 0.04 / 0.008 = 5 elements leave as much."""
    _, weight, todo = sentences(0.2, 0.05)
    assert weight == "It matters: averaging over SO(3) would lower the error to 0.160 length², which is more than 5 %."
    assert todo == (
        'Average at test time (rapidash predict MODEL FILES --average "SO(3)" --elements 5): 5 elements, so 5 passes '
        "for each prediction; or train on samples that are moved by SO(3), or a network that has it."
    )


def test_the_interval_of_a_share_ends_at_all_of_the_error() -> None:
    assert f"90{fmt.TIE}% [70{fmt.TIE}%, 100{fmt.TIE}%] of the error" in sentences(0.9, 0.2)[0]
    assert f"104{fmt.TIE}% [94{fmt.TIE}%, 104{fmt.TIE}%] of" in sentences(1.04, 0.1)[0]  # an estimate of few elements


def test_dominating() -> None:
    """cost 0.16 of 0.2: the average keeps 0.04, and K = 0.16 / 0.002 = 80. A symmetric model comes first."""
    figured = CostFigures.of(figures(0.8, 0.1), **UNITS)
    _, weight, todo = cost_sentences(figured, "E(3), which is exactly symmetric")
    assert weight == "It dominates: averaging over SO(3) would more than halve the error, to 0.0400 length²."
    assert todo.startswith(
        "Use E(3), which is exactly symmetric; or average at test time (rapidash predict MODEL FILES "
    )
    assert "--elements 80): 80 elements, so 80 passes" in todo


def test_exact_undecided_posed_and_beyond_an_average() -> None:
    size, weight, todo = sentences(1e-15, 1e-15, relative=1e-15, moved=1e-16)
    assert "which is rounding; the error (MSE of positions) is 0.200 length²." in size
    assert (weight, todo) == ("It does not matter: the model has this symmetry, to rounding.", "Nothing is to be done.")
    _, weight, todo = sentences(0.05, 0.01)
    assert weight.startswith("Whether it matters cannot be told: the 95 % interval over clouds reaches to both sides")
    assert todo == "Measure more clouds before anything is done."
    _, weight, _ = sentences(0.05, 0.01, low=None, high=None)
    assert weight == "Whether it matters cannot be told: there is no interval over clouds."
    _, weight, todo = sentences(0.5, 0.1, pose_helps=True, own_pose=0.01)
    assert weight.endswith("; but in the pose that the data have the error is 0.0100 length², which is lower still.")
    assert todo.startswith("Where new data come in the pose of these, nothing is to be done; else average at test time")
    _, _, todo = sentences(0.999, 0.0001)
    assert todo.endswith("an average would need more than 1000 elements.")
    _, _, todo = sentences(0.2, 0.05, complete=True, elements=4, group="C4(z)")
    assert '--average "C4(z)"): all 4 elements, so 4 passes' in todo
    _, _, todo = sentences(0.2, 0.05, squared=False)
    assert "--elements 16)" in todo


@given(
    share=st.floats(-0.5, 1.0), half=st.floats(0.0, 0.4), error=st.floats(1e-6, 1e6), moved=st.floats(1e-6, 1e6)
)  # fmt: skip
def test_the_sentences_have_the_figures_of_the_table(share: float, half: float, error: float, moved: float) -> None:
    found = figures(share, half, error=error, cost=share * error, moved=moved)
    section = cost_section(summarize(study_of([small_record("a", 0, error, symmetry_cost=found)])))
    assert section is not None
    row = dict(zip(section.head, section.rows[0], strict=True))
    assert row["predictions move by"] in section.text
    assert f"of the error of {row['error']} length²" in section.text
    assert f"and {row['share']} of the error" in section.text
    low, high = found["low"], found["high"]
    expected = "dominates" if low > 0.5 else "matters" if low > 0.05 else "negligible" if high < 0.05 else "undecided"
    assert row["broken symmetry"] == expected
    word = {"dominates": "It dominates", "matters": "It matters", "negligible": "It does not matter"}
    assert word.get(expected, "Whether it matters cannot be told") in section.text


def free_and_bound(bound: tuple[float, float, float]) -> StudySummary:
    """A model whose broken symmetry matters, with errors 0.1, and one that is exact, three seeds each."""
    records = [
        small_record(name, seed, error, key=f"{name}{seed}", symmetry_cost=cost)
        for name, errors, cost in (
            ("free", (0.1, 0.1, 0.1), figures(0.3, 0.3)),
            ("bound", bound, figures(0.0, 0.0, relative=1e-15)),
        )
        for seed, error in enumerate(errors)
    ]
    for seed, share in enumerate((0.29, 0.30, 0.31)):
        records[seed]["symmetry_cost"] = figures(share, 0.3)
    return summarize(study_of(records))


def test_a_model_that_is_exact_but_clearly_worse_is_no_advice() -> None:
    section = cost_section(free_and_bound((0.151, 0.150, 0.149)))
    assert section is not None
    assert "It matters" in section.text
    assert "bound" not in section.text
    assert "train on samples that are moved by SO(3), or a network that has it" in section.text


def test_a_study_speaks_of_its_best_model_and_names_one_that_is_exact() -> None:
    """Over three seeds the interval is that of the shares over seeds, whatever that over clouds is."""
    summary = free_and_bound((0.05, 0.15, 0.25))
    section = cost_section(summary)
    assert section is not None
    rows = [dict(zip(section.head, row, strict=True)) for row in section.rows]
    assert [row["broken symmetry"] for row in rows] == ["matters", "exact"]
    assert rows[0]["share"] == f"30{fmt.TIE}% [28{fmt.TIE}%, 32{fmt.TIE}%]"  # 4.30 * 0.01 / sqrt(3) to either side
    assert "or use bound, which is exactly symmetric (test error 0.150 against 0.100)." in section.text
    for text in (terminal_table(summary), markdown_table(summary)):
        plain = " ".join(text.replace(fmt.TIE, " ").split())
        assert "Does the broken symmetry matter?" in plain
        assert "It matters: averaging over SO(3) would lower the error to" in plain


def test_runs_of_fewer_samples_are_not_averaged_in() -> None:
    """The error of the table is that of all samples, and so is that of the sentences: 0.1, and no mean with 0.5."""
    records = [
        small_record("a", seed, error, key=f"{seed}{share}", symmetry_cost=found, config={"fraction": share})
        for share, error in ((1.0, 0.1), (0.01, 0.5))
        for seed, found in enumerate([figures(0.3 if share == 1 else 0.9, 0.1, error=error)] * 3)
    ]
    summary = summarize(study_of(records))
    section = cost_section(summary)
    assert section is not None
    assert (summary.fraction, len(summary["a"].runs), len(summary["a"].finished)) == (1.0, 6, 3)
    row = dict(zip(section.head, section.rows[0], strict=True))
    assert (row["error"], row["share"].split(fmt.TIE)[0]) == ("0.100", "30")


def test_a_study_of_an_earlier_version_has_no_such_section() -> None:
    assert cost_section(summarize(study_of([small_record("a", 0, 0.1)]))) is None
    half = small_record("a", 0, 0.1, symmetry_cost={"group": "SO(3)", "moved": 0.1})
    assert cost_section(summarize(study_of([half]))) is None
    assert cost_section(summarize(study_of([small_record("a", 0, 0.1, symmetry_cost=None)]))) is None
