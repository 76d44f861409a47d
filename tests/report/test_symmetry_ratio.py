"""Symmetry error over model error: the number by hand, what is said of it, and where it stands."""

import math
from typing import Any

import pytest
import torch

from rapidash.groups import Scalar, Vector, cyclic
from rapidash.measure import Action, symmetry_cost
from rapidash.report import _format as fmt
from rapidash.report import terminal_table, write_report
from rapidash.report._cost_section import cost_section
from rapidash.report._markdown import markdown_table
from rapidash.report._symmetry_ratio import judge_ratio, ratio_lead, ratio_sentence
from rapidash.report._verdict import verdict
from rapidash.study import study_of, summarize
from tests.report._studies import WriteStudy, small_record


def cost(symmetry_error: float | None, *, squared: bool = True, group: str = "SO(3)") -> dict[str, Any]:
    """What a record has of it."""
    return {
        "group": group, "moved": 0.3, "relative": 0.02, "error": 0.2, "cost": 0.1, "share": 0.5, "low": 0.4,
        "high": 0.6, "own_pose": 0.21, "pose_helps": False, "elements": 16, "complete": False, "squared": squared,
        "samples": 64, "moved_unit": "length", "symmetry_error": symmetry_error,
    }  # fmt: skip


def records(name: str, errors: tuple[float, ...], moved: tuple[float | None, ...], **options: Any):
    return [
        small_record(name, seed, error, symmetry_cost=cost(one, **options))
        for seed, (error, one) in enumerate(zip(errors, moved, strict=True))
    ]


def plain(text: str) -> str:
    """With spaces that a line may break at."""
    return text.replace(fmt.TIE, " ")


def lead(found: list[dict[str, Any]]) -> str:
    return plain(ratio_lead(summarize(study_of(found))))


def test_a_squared_error_enters_by_its_root_with_an_interval_over_seeds() -> None:
    """Roots 0.2, 0.2 and 0.2; ratios 0.1, 0.2 and 0.3: 0.2 -+ 4.303 * 0.1 / sqrt(3) = 0.2 -+ 0.248, so from 0."""
    summary = summarize(study_of(records("free", (0.04, 0.04, 0.04), (0.02, 0.04, 0.06))))
    assert plain(ratio_lead(summary)) == (
        "Symmetry error over model error (how far predictions move under SO(3), over how far they are from the truth) "
        "is neither well below nor above 1 for free (0.200 [0, 0.448]): symmetry error may be a part of what limits "
        "this model."
    )
    section = cost_section(summary)
    assert section is not None
    row = dict(zip(section.head, section.rows[0], strict=True))
    assert plain(row["symmetry error / model error"]) == "0.200 [0, 0.448]"


def test_any_other_error_enters_as_it_is() -> None:
    """0.1 / 0.5, 0.11 / 0.5, 0.12 / 0.5: 0.22 -+ 4.303 * 0.02 / sqrt(3) = 0.0497."""
    found = records("free", (0.5, 0.5, 0.5), (0.10, 0.11, 0.12), squared=False)
    assert "is well below 1 for free (0.220 [0.170, 0.270]): symmetry error is not what limits this model." in lead(
        found
    )


@pytest.mark.parametrize(
    ("mean", "low", "high", "expected"),
    [
        (1e-9, 0.0, 1e-9, "exact"),
        (2e-6, 1e-6, 3e-6, "below"),
        (0.2, 0.1, 0.299, "below"),
        (0.2, 0.1, 0.301, "between"),
        (1.2, 0.99, 1.5, "between"),
        (1.2, 1.01, 1.5, "above"),
        (0.2, None, None, "untold"),
        (0.2, math.nan, math.nan, "untold"),
    ],
)
def test_the_rule(mean: float, low: float | None, high: float | None, expected: str) -> None:
    assert judge_ratio(mean, low, high) == expected


def test_all_variants_are_in_the_first_lines_by_what_is_to_be_said() -> None:
    found = [
        *records("exact", (0.04, 0.04, 0.04), (1e-12, 1e-12, 1e-12)),
        *records("near", (0.04, 0.04, 0.04), (0.010, 0.010, 0.012)),
        *records("free", (0.04, 0.04, 0.04), (0.40, 0.42, 0.44)),
    ]
    summary = summarize(study_of(found))
    line = ratio_lead(summary)
    assert line in verdict(summary).lead
    line = plain(line)
    assert line.startswith("Symmetry error over model error (how far predictions move under SO(3)")
    assert "is 0 (to rounding, or no label changes) for exact; well below 1 for near (0.0533 [" in line
    assert "): symmetry error is not what limits this model; above 1 for free (2.10 [" in line
    assert line.endswith("): predictions move by more than they are wrong.")
    for text in (terminal_table(summary), markdown_table(summary)):
        first = " ".join(plain(text).split())
        assert first.index("Symmetry error over model error") < first.index("has the lowest mean over")


def test_the_page_folds_it_below_its_headline(write_study: WriteStudy) -> None:
    found = records("free", (0.04, 0.04, 0.04), (0.010, 0.010, 0.012))
    page = write_report(write_study(found)).read_text()
    fold = "Also: does broken symmetry limit these models?"
    assert 0 < page.index("free is the only variant") < page.index(fold) < page.index("Symmetry error over model error")


def test_many_variants_are_a_number_and_a_range() -> None:
    found = [one for k in range(6) for one in records(f"v{k}", (0.04,) * 3, (0.010 + 0.001 * k,) * 3)]
    assert "well below 1 for 6 variants (0.0500 to 0.0750): symmetry error is not what limits these models." in (
        lead(found)
    )


def test_one_seed_has_no_interval_and_earlier_records_say_nothing() -> None:
    assert lead(records("free", (0.04,), (0.02,))).endswith("is not judged, from one seed, for free (0.100).")
    for one in (
        records("free", (0.04,), (None,))[0],  # an error that is no metric
        small_record("free", 0, 0.04),
        small_record("free", 0, 0.04, symmetry_cost=None),
        records("free", (0.0,), (0.02,))[0],  # no error at all
    ):
        summary = summarize(study_of([one]))
        assert ratio_lead(summary) == ""
        assert not any("Symmetry error" in line for line in verdict(summary).lead)
    earlier = {key: value for key, value in cost(0.0).items() if key != "symmetry_error"}
    section = cost_section(summarize(study_of([small_record("free", 0, 0.04, symmetry_cost=earlier)])))
    assert section is not None
    assert dict(zip(section.head, section.rows[0]))["symmetry error / model error"] == fmt.NOTHING


def test_figures_are_those_of_the_fraction_that_is_summarized() -> None:
    found = [
        small_record("free", seed, error, key=f"{fraction}{seed}", config={"fraction": fraction},
                     symmetry_cost=cost(moved) | {"error": error})
        for fraction, error, moved in ((1.0, 0.04, 0.02), (0.1, 0.16, 0.40))
        for seed in (0, 1)
    ]  # fmt: skip
    section = cost_section(summarize(study_of(found)))
    assert section is not None
    row = dict(zip(section.head, section.rows[0], strict=True))
    assert plain(row["symmetry error / model error"]) == "0.100 [0.100, 0.100]"
    assert row["error"] == "0.0400"


def test_of_one_model_the_interval_is_over_clouds() -> None:
    """f(v) = v_x of (1, 0) and (3, 0): symmetry errors 1 and 3, errors 4 and 2, so 4 / 6; residuals -5/3 and 5/3."""
    x = torch.tensor([[1.0, 0.0], [3.0, 0.0]], dtype=torch.float64)
    action = Action(cyclic(4), Vector(), Scalar())
    found = symmetry_cost(lambda v: v[:, :1], x, lambda y, _: (y - 5.0).abs()[:, 0], action)
    half = 1.96 * (5 / 3) / 3  # the deviation of two numbers is their distance over sqrt(2), and sqrt(2) samples
    assert found.ratio_interval == pytest.approx((0.0, 2 / 3 + half), rel=1e-4)
    assert plain(ratio_sentence(found)) == (
        "Symmetry error over model error (how far predictions move under C(4), over how far they are from the truth) "
        "is 0.667 [0, 1.76], 95 % over clouds, neither well below nor above 1: symmetry "
        "error may be a part of what limits this model."
    )
    none = symmetry_cost(lambda v: v[:, :1], x, lambda y, _: y.pow(4)[:, 0] + 1, action)
    assert ratio_sentence(none) == ""
    exact = symmetry_cost(lambda v: v.square().sum(dim=1, keepdim=True), x, lambda y, _: y.square()[:, 0], action)
    assert ratio_sentence(exact).endswith("is 0 (to rounding, or no label changes).")
