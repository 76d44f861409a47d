from typing import Any

import pytest

from rapidash.report import Verdict, verdict
from rapidash.study import read_study, summarize
from tests.report._studies import WriteStudy, make_record, make_study


def judge(write_study: WriteStudy, records: list[dict[str, Any]], design: dict[str, Any] | None = None) -> Verdict:
    return verdict(summarize(read_study(write_study(records, design))))


def scaled(records: list[dict[str, Any]], name: str, factor: float) -> list[dict[str, Any]]:
    """The records with the errors of one variant set to ``factor`` times those of E(3) on R3xS2, and a little noise."""
    for record in records:
        if record["config"]["variant"]["name"] == name:
            seed = record["config"]["seed"]
            record["test_error"] = make_record("E(3) on R3xS2", seed)["test_error"] * factor * (1 + 0.01 * seed)
    return records


def test_a_clear_winner_is_called_and_its_symmetry_named(write_study: WriteStudy) -> None:
    records, design = make_study()
    found = judge(write_study, scaled(records, "E(3) on R3xS2 + global frame", 1.5), design)
    assert found.headline.startswith("E(3) on R3xS2 wins over 3 seeds: MSE of positions (length²) 0.00502")
    assert "effective symmetry E(3)" in found.headline
    assert found.findings[0].text.startswith("The task wants E(3)")


def test_a_variant_within_the_noise_takes_the_win_away(write_study: WriteStudy) -> None:
    records, design = make_study()
    found = judge(write_study, scaled(records, "E(3) on R3xS2 + global frame", 0.99), design)
    assert "but E(3) on R3xS2 + global frame cannot be told from it" in found.headline
    assert found.findings[0].text.startswith("These runs do not decide between E(3) and T(3)")


def test_a_model_that_lost_its_symmetry_does_not_speak_for_it(write_study: WriteStudy) -> None:
    records, design = make_study()
    for record in records:
        if record["config"]["variant"]["name"] == "E(3) on R3xS2":
            record["equivariance"]["after"]["mean"] = 0.64
            record["test_error_rotated"] = 1.5 * record["test_error"]
    found = judge(write_study, scaled(records, "T(3) on R3xS2", 0.5), design)
    assert found.findings[0].text.startswith("The task wants T(3)")
    assert not [item for item in found.findings[0].items if "E(3) on R3xS2: " in item]
    lost = "equivariance error 0.64, rotated test data 1.50× the error"
    assert [caution for caution in found.cautions if caution.startswith("E(3) on R3xS2 was built for E(3)")]
    assert [caution for caution in found.cautions if lost in caution]
    for name in ("T(3) on R3xS2", "E(3) on R3xS2 + global frame"):
        records = scaled(records, name, 2.0)
    best = judge(write_study, records, design)
    assert "effective symmetry E(3), which training has broken" in best.headline
    assert "these runs do not say which symmetry the task wants" in best.findings[0].text


def test_a_clear_difference_reads_as_its_factor(write_study: WriteStudy) -> None:
    records, design = make_study()
    records = scaled(scaled(records, "T(3) on R3xS2", 2.0), "E(3) on R3xS2 + global frame", 1.5)
    found = judge(write_study, records, design)
    [distance] = [finding for finding in found.findings if finding.title == "By how much"]
    [item] = [item for item in distance.items if item.startswith("T(3) on R3xS2: ")]
    assert "2.02×" in item
    assert "not distinguishable" not in item


def test_one_seed_ranks_nothing(write_study: WriteStudy) -> None:
    found = judge(write_study, *make_study(seeds=(0,)))
    assert "One seed cannot rank variants" in found.headline
    assert any(caution.startswith("One seed") for caution in found.cautions)
    assert "wins" not in found.headline


@pytest.mark.parametrize(("setting", "expected"), [("quick", True), ("full", False)])
def test_the_quick_setting_is_told_from_the_benchmark(write_study: WriteStudy, setting: str, expected: bool) -> None:
    found = judge(write_study, *make_study(setting=setting))
    assert any("add --full to the command" in caution for caution in found.cautions) is expected


def test_a_quick_setting_ranks_only_what_is_told_apart_and_says_what_was_changed(write_study: WriteStudy) -> None:
    records, design = make_study(seeds=(0, 1), setting="quick, changed: steps")
    [caution] = [c for c in judge(write_study, records, design).cautions if c.startswith("Quick setting")]
    assert caution.startswith(
        "Quick setting but for steps (2000 optimizer steps): it ranks the variants, but its errors are not"
    )
    noise = [0.005, 0.006]
    for record in records:
        seed = record["config"]["seed"]
        name = record["config"]["variant"]["name"]
        record["test_error"] = noise[seed] if "T(3)" in name else noise[1 - seed]
    found = judge(write_study, records, design)
    assert "cannot be told from it" in found.headline
    [caution] = [c for c in found.cautions if c.startswith("Quick setting")]
    assert caution == (
        "Quick setting but for steps (2000 optimizer steps): its errors are not comparable with published ones. "
        "For the benchmark's setting, add --full to the command"
    )
    plain = judge(write_study, records, design | {"setting": "quick"})
    assert any(caution.startswith("Quick setting (2000 optimizer steps): its") for caution in plain.cautions)


def test_failed_missing_and_unreadable_are_said(write_study: WriteStudy) -> None:
    records, design = make_study()
    assert not [c for c in judge(write_study, records, design).cautions if "failed" in c or "without a record" in c]
    records[4] |= {"status": "failed", "test_error": None, "error": "RuntimeError: loss is NaN"}
    directory = write_study(records, design)
    (directory / "records" / "017.json").write_text("{")
    cautions = " ".join(verdict(summarize(read_study(directory))).cautions)
    assert "1 run failed or diverged" in cautions
    assert "E(3) on R3, seed 1" in cautions
    assert "1 planned run without a record" in cautions
    assert "1 file left out: records/017.json (not a complete JSON file" in cautions


def test_runs_of_two_commits_are_said(write_study: WriteStudy) -> None:
    records, design = make_study()
    records[0]["commit"] = "abc+dirty"
    cautions = " ".join(judge(write_study, records, design).cautions)
    assert "2 different commits" in cautions
    assert "changes that no commit holds" in cautions


@pytest.mark.parametrize(
    ("status", "expected"),
    [(None, "No record yet"), ("failed", "no run|No run"), ("oracle", "Only oracle variants")],
)
def test_a_study_without_a_comparable_result_says_so(
    write_study: WriteStudy, status: str | None, expected: str
) -> None:
    record = make_record("E(3) on R3", 0)
    if status == "oracle":
        record["symmetry"]["oracle"] = True
    elif status is not None:
        record |= {"status": status, "test_error": None}
    found = judge(write_study, [] if status is None else [record])
    assert any(text in found.headline for text in expected.split("|"))


def test_who_loses_under_rotations_is_named(write_study: WriteStudy) -> None:
    found = judge(write_study, *make_study())
    [finding] = [finding for finding in found.findings if finding.title == "Rotated test data"]
    assert finding.text.startswith("T(3) on R3 loses most: its error grows 4.10×")
    assert "T(3) on R3xS2" not in finding.text


def test_a_symmetry_that_holds_up_to_the_grid_says_so(write_study: WriteStudy) -> None:
    found = judge(write_study, *make_study())
    [finding] = [finding for finding in found.findings if finding.title == "How equivariant"]
    notes = [item for item in finding.items if "up to its orientation grid" in item]
    assert [item.split(":")[0] for item in notes] == ["E(3) on R3xS2"]
    assert [item.split(":")[0] for item in finding.items if "rounding only" in item] == ["E(3) on R3"]


def test_a_symmetry_that_holds_in_expectation_is_not_said_to_have_a_grid(write_study: WriteStudy) -> None:
    records, design = make_study()
    for record in records:
        if record["config"]["variant"]["name"] == "E(3) on R3xS2":
            record["symmetry"]["reasons"] = ["O(3) holds in expectation: the error falls with the square root"]
    found = judge(write_study, records, design)
    [finding] = [finding for finding in found.findings if finding.title == "How equivariant"]
    notes = {item.split(":")[0]: item for item in finding.items}
    assert notes["E(3) on R3xS2"].endswith("(E(3) in expectation)")
    assert not any("grid" in item for item in finding.items)
