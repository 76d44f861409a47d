"""A claim of exact symmetry that the measurement refutes is flagged wherever the claim is shown."""

from typing import Any

import pytest

from rapidash.report import verdict, write_report
from rapidash.report._markdown import markdown_table
from rapidash.study import read_study, summarize
from tests.report._studies import WriteStudy, make_study

NAME = "E(3) on R3"
REFUTED = "rotations 0.17 before and 0.053 after training"


def claiming(error: float, after: float) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """A study whose runs of one variant leave an error under the rotations that its ledger claims exactly."""
    records, design = make_study()
    for record in records:
        is_false = record["config"]["variant"]["name"] == NAME
        small = {"rotations": 3e-15, "translations": 2e-16}
        moments = {"before": small | {"rotations": error}, "after": small | {"rotations": after}} if is_false else {}
        record["exact_symmetry"] = {
            "group": record["symmetry"]["effective"],
            "before": small,
            "after": small,
            **moments,
        }
        record["equivariance_translations"] = {
            "group": "T(3)",
            "before": {"mean": 2e-16, "max": 3e-16, "output_norm": 41.0},
            "after": {"mean": 2e-16, "max": 3e-16, "output_norm": 41.0},
        }
        if is_false:
            record["symmetry"]["reasons"] = ["all rotations hold exactly"]
            record["test_error"] = 1e-3 * (1 + 0.1 * record["config"]["seed"])  # by far the best
    return records, design


def test_a_refuted_claim_is_flagged_in_the_verdict_the_table_and_the_page(write_study: WriteStudy) -> None:
    directory = write_study(*claiming(0.17, 0.053))
    summary = summarize(read_study(directory))
    assert summary[NAME].refuted_claim == REFUTED
    assert [v.name for v in summary.variants if v.refuted_claim] == [NAME]
    found = verdict(summary)
    assert "effective symmetry E(3), which it measurably does not have" in found.headline
    [caution] = [caution for caution in found.cautions if NAME in caution]
    assert caution.startswith(f"{NAME} claims E(3) to rounding, and has not: equivariance error in float64 {REFUTED}")
    assert "these runs do not say which symmetry the task wants" in found.findings[0].text
    [row] = [line for line in markdown_table(summary).splitlines() if line.startswith(f"| B {NAME} ")]
    assert "| E(3) (not kept) |" in row
    page = write_report(directory).read_text(encoding="utf-8")
    assert "<strong>E(3) (not kept)</strong>" in page
    assert "claimed, measured otherwise: 0.17" in page
    assert "all rotations hold exactly" not in page.partition('<script type="application/json"')[0]
    assert "symmetry not kept" in page


def test_a_claim_broken_in_training_only_is_flagged_too(write_study: WriteStudy) -> None:
    summary = summarize(read_study(write_study(*claiming(4e-15, 2e-3))))
    assert summary[NAME].refuted_claim == "rotations 4e-15 before and 0.002 after training"


@pytest.mark.parametrize("error", [3e-15, 9.9e-7])
def test_a_claim_that_holds_is_not_flagged(write_study: WriteStudy, error: float) -> None:
    directory = write_study(*claiming(error, error))
    summary = summarize(read_study(directory))
    assert summary[NAME].refuted_claim == ""
    assert summary[NAME].symmetry_text == "E(3)"
    assert "which it measurably does not have" not in verdict(summary).headline
    page = write_report(directory).read_text(encoding="utf-8")
    assert "not kept" not in page
    assert f"exact: {'3.0' if error < 1e-9 else '9.9'}×10" in page


def test_translations_are_shown_beside_rotations_and_reflections(write_study: WriteStudy) -> None:
    directory = write_study(*claiming(3e-15, 3e-15))
    assert list(summarize(read_study(directory))[NAME].equivariance) == ["SO(3)", "O(3)", "T(3)"]
    assert "T(3), after training: 2.0×10⁻¹⁶" in write_report(directory).read_text(encoding="utf-8")


def test_records_of_earlier_versions_are_not_measured(write_study: WriteStudy) -> None:
    directory = write_study(*make_study())
    summary = summarize(read_study(directory))
    assert summary["T(3) on R3"].claim_errors == {}
    assert not any(variant.refuted_claim for variant in summary.variants)
    assert "exactness not measured" in write_report(directory).read_text(encoding="utf-8")


def test_a_false_claim_of_an_earlier_record_is_seen_in_its_rotations(write_study: WriteStudy) -> None:
    records, design = make_study()
    for record in records:
        if record["config"]["variant"]["name"] == NAME:
            record["equivariance"] |= {"before": {"mean": 0.17}, "after": {"mean": 0.053}}
    summary = summarize(read_study(write_study(records, design)))
    assert summary[NAME].refuted_claim.startswith(REFUTED)
