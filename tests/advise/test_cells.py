"""The cells of the rule, and how policies are scored, by hand."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rapidash.advise import _try_out as try_out_module
from rapidash.advise._candidates import candidates
from rapidash.advise._cells import CELLS, PLANTED_CELLS, cells_of
from rapidash.advise._outcomes import (
    ADVICE,
    AUGMENT,
    INVARIANT,
    Outcome,
    changes_of_ratios,
    fitted,
    flowchart,
    named_by,
    policy_variant,
    scores,
    wilson,
)
from rapidash.advise._race import Raced
from rapidash.advise._race_state import Cost
from rapidash.advise._rule import RULE, Rule
from rapidash.advise._trial import Trial
from rapidash.advise._try_out import Studied, full_study, planted_text, trial_text, with_study
from rapidash.datasets import PLANTED_GROUPS
from rapidash.study import RunConfig, StudyDesign, with_steps
from rapidash.study._run import run_one

NAMES = ["E(3) on R3xS2", "E(3) on R3", "T(3) on R3", "T(3) on R3 + rotations", "T(3) on R3 + frames"]


def test_no_data_set_is_in_both_halves() -> None:
    data = {half: {cell.data for cell in cells_of(half)} for half in ("fit", "try")}
    assert not data["fit"] & data["try"]
    assert len(data["fit"] | data["try"]) >= 8
    assert len(CELLS) >= 24
    assert len({cell.name for cell in (*CELLS, *PLANTED_CELLS)}) == len(CELLS) + len(PLANTED_CELLS)
    assert {cell.truth for cell in PLANTED_CELLS} == set(PLANTED_GROUPS)
    assert len(PLANTED_CELLS) >= 20
    seeds = {cell.options["data_seed"] for cell in PLANTED_CELLS}
    assert not seeds & {cell.options.get("data_seed", 0) for cell in CELLS}
    with pytest.raises(ValueError, match="half must be one of"):
        cells_of("both")  # type: ignore[arg-type]


@pytest.mark.parametrize("cell", [*CELLS, *PLANTED_CELLS[::6]], ids=lambda cell: cell.name)
def test_every_cell_has_a_study(cell: object) -> None:
    design = cell.study()  # type: ignore[attr-defined]
    names = [variant.name for variant in design.variants]
    flat = f"R{2 if cell.data == 'digits' else 3}"  # type: ignore[attr-defined]
    assert any(name.startswith("E(") and name.endswith(flat) for name in names)
    assert any(name.endswith("+ rotations") for name in names)
    assert not design.factors


def outcome(cell: str, data: str, named: str, **options: object) -> Outcome:
    errors = {"a": [1.0, 1.0], "b": [1.1, 1.1], "c": [2.0, 2.0]}
    return Outcome(cell, data, "try", errors=errors, choices={ADVICE: named}, **options)  # type: ignore[arg-type]


def test_regret_by_hand() -> None:
    found = outcome("1", "x", "b")
    assert found.regret("a") == 0
    assert found.regret("b") == pytest.approx(math.log(1.1))
    assert found.standard_error == 0
    assert found.is_right("a")
    assert not found.is_right("b")
    noisy = Outcome("2", "x", "try", errors={"a": [1.0, math.e], "b": [1.1, 1.1 * math.e]})
    # each has logarithms that differ by 1: variance 1/2, and two means of two seeds: sqrt(1/2) * sqrt(2 / 2)
    assert noisy.standard_error == pytest.approx(math.sqrt(0.5))
    assert noisy.is_right("b")


def test_scores_by_hand() -> None:
    found = scores([outcome("1", "x", "a"), outcome("2", "x", "a"), outcome("3", "y", "c")])
    assert [score.policy for score in found] == [ADVICE]
    assert found[0].right[0] == pytest.approx(2 / 3)
    assert found[0].regret[0] == pytest.approx(1 / 3)  # 0, 0 and 2 / 1 - 1
    assert (found[0].right[1], found[0].right[2]) == (0.0, 1.0)  # either data set may be drawn twice
    with pytest.raises(ValueError, match="no cell"):
        scores([])


def test_policies_are_scored_apart_and_a_policy_without_a_choice_not_at_all() -> None:
    """Data set x has two cells, y one; every draw takes whole data sets."""
    first = outcome("1", "x", "a")
    cells = [
        replace(first, choices={ADVICE: "a", AUGMENT: "c"}),
        replace(first, cell="2", choices={ADVICE: "b", AUGMENT: "c"}),
        replace(first, cell="3", data="y", choices={ADVICE: "a"}),
    ]
    advice, augment = scores(cells)
    assert (advice.policy, augment.policy) == (ADVICE, AUGMENT)
    assert advice.right == pytest.approx((2 / 3, 0.5, 1.0))  # x twice: 1 of 2; y twice: all
    assert advice.regret == pytest.approx((0.1 / 3, 0.0, 0.05))
    assert augment.right == (0.0, 0.0, 0.0)
    assert augment.regret == pytest.approx((1.0, 1.0, 1.0))  # 2 / 1 - 1 in both


def test_as_many_data_sets_are_drawn_as_there_are() -> None:
    """One of four is right: three or four draws of four find it in 13 / 256 of all, so the interval ends at 3 / 4."""
    cells = [outcome(str(index), f"data {index}", "a" if index == 0 else "c") for index in range(4)]
    assert scores(cells)[0].right == (0.25, 0.0, 0.75)


def test_the_trial_in_words() -> None:
    """A row for each policy, a line for each cell."""
    cells = [outcome("1", "x", "a", seconds=12.4), outcome("2", "y", "c", seconds=9.6)]
    lines = trial_text(cells, "nowhere", half="try").splitlines()
    assert lines[0] == "2 cells, 2 data sets; rule: the least error"
    assert [line.split() for line in lines if line.startswith(ADVICE)] == [
        [*ADVICE.split(), "0.50", "[0.00,", "1.00]", "0.500", "[0.000,", "1.000]"]
    ]
    assert lines[-2:] == [
        "1: named a, best a (right), 12 s",
        "2: named c, best a (regret 0.69), 10 s",
    ]
    right = replace(cells[0], truth="E(3)", group={"a": "E(3)"})
    assert trial_text([right], "nowhere", half="planted") == planted_text([right])


def test_of_equal_rules_the_simpler_is_first() -> None:
    """Where all rules name the same variant, the one without ties; there are 1 + 4 * 3 of them."""
    cell = Outcome("1", "x", "fit", errors={"a": [1.0, 1.0]}, symmetry={"a": 0.0}, says={"pose": "yes"})
    found = fitted([(cell, raced(a=1.0))])
    assert len(found) == 13
    assert {(regret, right) for _, regret, right in found} == {(0.0, 1.0)}
    assert (found[0][0].ties, found[0][0].prefers) == (0.0, "never")
    assert {rule.transfer for rule, _, _ in found} == {RULE.transfer}


def test_wilson_by_hand() -> None:
    # 18 of 20: (0.9 + z^2/40 -+ z sqrt(0.9 * 0.1 / 20 + z^2 / 1600)) / (1 + z^2 / 20) with z = 1.96
    assert wilson(18, 20) == pytest.approx((0.69897, 0.97213), abs=1e-4)
    assert wilson(0, 5)[0] == 0.0
    with pytest.raises(ValueError, match="at least one case"):
        wilson(0, 0)


@pytest.mark.parametrize(
    ("says", "named"),
    [
        ({"pose": "no"}, "E(3) on R3"),
        ({"pose": "yes", "pose tells": "no"}, "T(3) on R3 + rotations"),
        ({"pose": "yes", "pose tells": "yes"}, "T(3) on R3"),
        ({"pose": "yes", "vertical": "yes"}, "T(3) on R3"),
        ({"pose": "yes", "pose beyond shape": "yes"}, "T(3) on R3"),
        ({"pose": "cannot tell"}, "T(3) on R3 + rotations"),
        ({"pose": "no", "pose tells": "yes"}, "E(3) on R3"),
        ({}, "T(3) on R3 + rotations"),
    ],
)
def test_policies_without_a_race(says: dict[str, str], named: str) -> None:
    assert flowchart(NAMES, says) == named
    assert policy_variant(NAMES, INVARIANT) == "E(3) on R3"
    assert policy_variant(NAMES, AUGMENT) == "T(3) on R3 + rotations"
    with pytest.raises(ValueError, match="none of the variants fits"):
        policy_variant(["T(3) on R3"], INVARIANT)


def raced(**errors: float) -> Raced:
    def trial(name: str, value: float) -> Trial:
        wiggle = value * (1 + 0.1 * np.sin(np.arange(50.0)))
        return Trial(name, name, 0, 1.0, 10, 50, tuple(wiggle.tolist()), tuple(wiggle.tolist()))

    found = {name: (trial(name, value),) for name, value in errors.items()}
    return Raced((found, found, found), {}, {name: Cost(0.1) for name in errors}, {}, 50, 1.0)


def test_the_rule_of_least_regret_is_chosen() -> None:
    """Where the symmetric one, which is a little behind in the race, is the better one in truth."""
    race = raced(a=1.00, b=1.02)
    cell = Outcome(
        "1", "x", "fit", errors={"a": [2.0, 2.0], "b": [1.0, 1.0]}, symmetry={"a": 0.0, "b": 3.5}, says={"pose": "no"}
    )
    assert named_by(Rule(0.0, "never", 0.1, ""), race, cell) == "a"
    best, regret, right = fitted([(cell, race)])[0]
    assert (best.ties > 0, regret, right) == (True, 0.0, 1.0)
    worst = fitted([(cell, race)])[-1]
    assert worst[1] == pytest.approx(1.0)
    with pytest.raises(ValueError, match="no cell"):
        fitted([])


def test_the_policies_of_a_study() -> None:
    studied = [Studied(n, s, v, t) for s in (0, 1) for n, t, v in zip(NAMES, (3, 2, 1, 4, 5), (1, 2, 3, 4, 5))]
    start = Outcome(
        "1", "x", "try", choices={ADVICE: "T(3) on R3"}, says={"pose": "no"}, symmetry=dict.fromkeys(NAMES, 0)
    )
    found = with_study(start, studied, raced(**{name: float(index + 1) for index, name in enumerate(NAMES)}))
    assert found.errors["T(3) on R3"] == [1, 1]
    assert found.choices == {
        ADVICE: "T(3) on R3",
        "the best of the race": "E(3) on R3xS2",
        "a full race, by validation": "E(3) on R3xS2",
        INVARIANT: "E(3) on R3",
        AUGMENT: "T(3) on R3 + rotations",
        "the flowchart": "E(3) on R3",
    }
    failed = [Studied("a", 0, error="no luck")]
    with pytest.raises(ValueError, match="no luck"):
        with_study(start, failed, raced(a=1.0))


def test_changes_of_ratios_by_hand() -> None:
    """c leaves after the first round at twice the finalists' 1 and 4, b after the second at their level."""

    def trials(**errors: float) -> dict[str, tuple[Trial, ...]]:
        return {name: (Trial(name, name, 0, 1.0, 10, 50, (value,), (value,)),) for name, value in errors.items()}

    rounds = (trials(a=1.0, d=4.0, b=9.0, c=4.0), trials(a=1.0, d=1.0, b=1.0), trials(a=1.0, d=1.0))
    race = Raced(rounds, {}, {}, {}, 50, 1.0)
    cell = Outcome("1", "x", "fit", errors={"a": [1.0], "d": [1.0], "b": [math.e], "c": [2.0 * math.e**3]})
    found = changes_of_ratios([(cell, race)])
    assert found == {1: (pytest.approx(1.0), 1), 2: (pytest.approx(3.0), 1)}
    assert changes_of_ratios([(cell, race), (cell, race)])[2][1] == 2


def test_the_study_of_a_cell(solids: StudyDesign, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every variant over two seeds, none of the race; what ended is read again, a training that fails is left out."""
    found = full_study(solids, None, tmp_path, seconds=0.01)
    names = [variant.name for variant in candidates(solids.variants)]
    assert [(run.variant, run.seed) for run in found] == [(name, seed) for seed in (2, 3) for name in names]
    assert set(json.loads((tmp_path / "steps.json").read_text())["steps"].values()) == {20}
    train = with_steps(replace(solids.train, threads=1), 20)
    first = RunConfig("solids", candidates(solids.variants)[0], 2, train, 1.0, dict(solids.task_options))
    assert found[0].test_error == pytest.approx(run_one(first, tmp_path / "run")["test_error"])
    assert not list(tmp_path.glob("study/work/*/checkpoint*"))

    def fail(*_: object) -> None:
        raise ArithmeticError("no luck")

    monkeypatch.setattr(try_out_module, "trained_errors", fail)
    assert full_study(solids, None, tmp_path, seconds=0.01) == found
    (tmp_path / "study" / f"{first.key}.json").unlink()
    failed, *rest = full_study(solids, None, tmp_path, seconds=0.01)
    assert failed.error == "ArithmeticError: no luck"
    assert rest == found[1:]


def test_the_planted_trial_in_words() -> None:
    named = Outcome("1", "x", "planted", choices={ADVICE: "a"}, group={"a": "E(3)"}, truth="E(3)")
    as_good = outcome("2", "x", "a", group={"a": "T(3)"}, truth="E(3)")
    wrong = outcome("3", "x", "c", group={"c": "T(3)"}, truth="E(3)")
    text = planted_text([named, as_good, wrong])
    assert "truth E(3): the planted group" in text
    assert "as good as the best, test error" in text
    assert "regret 0.69, test error 2 against 1 of a" in text
    assert "the planted group in 1 of 3, it or" in text
    assert text.endswith("right in 2 of 3: 0.67 [0.21, 0.94]")


def test_regret_is_of_mean_logarithms_and_an_error_of_zero_has_a_floor() -> None:
    """Of 1 and 4 the geometric mean is 2, of 3 and 3 it is 3; half of the least error stands for none."""
    found = Outcome("1", "x", "try", errors={"a": [1.0, 4.0], "b": [3.0, 3.0]})
    assert found.regret("b") == pytest.approx(math.log(1.5))
    none = Outcome("1", "x", "try", errors={"a": [0.0], "b": [4.0], "c": [8.0]})
    assert (none.regret("b"), none.regret("c")) == pytest.approx((math.log(2), math.log(4)))


def test_the_variant_with_the_fewest_seeds_decides_the_standard_error() -> None:
    """Logarithms 0 and 1, and 0 alone: variance 1/2 with one degree of freedom, and a mean of one seed."""
    found = Outcome("1", "x", "try", errors={"a": [1.0, math.e], "b": [math.exp(0.5)]})
    assert found.standard_error == pytest.approx(math.sqrt(0.5) * math.sqrt(2))


def test_right_is_within_two_standard_errors() -> None:
    """Seeds that differ by 0.1 in the logarithm: a variance of 1/200, and so a standard error of 0.0707."""
    for behind, is_right in ((0.141, True), (0.142, False)):
        errors = {"a": [1.0, math.exp(0.1)], "b": [math.exp(behind), math.exp(behind + 0.1)]}
        found = Outcome("1", "x", "try", errors=errors)
        assert found.standard_error == pytest.approx(0.1 / math.sqrt(2))
        assert found.is_right("b") == is_right


def test_the_interval_of_a_score_is_that_of_95_per_cent() -> None:
    """One of three is right: all three draws find it in 1 of 27 cases, 3.7 %, which is more than 2.5 %."""
    cells = [outcome(str(index), f"data {index}", "a" if index == 0 else "c") for index in range(3)]
    assert scores(cells)[0].right == (pytest.approx(1 / 3), 0.0, 1.0)


def test_the_time_of_a_cell_is_that_of_its_race(
    solids: StudyDesign, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A last training is two units long: 7 variants cost 7 + 4 * 2 + 2 * 2 * 2, and 2 * 3.5 for the curves."""
    cell = next(cell for cell in CELLS if cell.design == "solids" and cell.options["num_train"] == 100)
    asked: dict[str, float] = {}

    class StopError(Exception):
        pass

    def stop(design: StudyDesign, folder: Path, *, minutes: float, **rest: object) -> None:
        asked["minutes"] = minutes
        asked["variants"] = len(candidates(design.variants))
        raise StopError

    monkeypatch.setattr(try_out_module, "advise", stop)
    with pytest.raises(StopError):
        try_out_module.run_cell(cell, tmp_path, seconds=8.0)
    num = asked["variants"]
    cost = num + 2 * math.ceil(num / 2) + 4 * math.ceil(math.ceil(num / 2) / 2) + 2 * 3.5
    assert asked["minutes"] == pytest.approx((8 / 2 * cost + 60) / 60)
