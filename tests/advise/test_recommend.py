"""What is said of races that are made by hand: the named variant, what would change it, and what is not known."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from rapidash.advise import RULE, Advice, Finding, Range, candidates, page, terminal_advice
from rapidash.advise._diagnosis import num_asked
from rapidash.advise._race import Raced
from rapidash.advise._race_state import Cost
from rapidash.advise._recommend import not_excluded, recommend
from rapidash.advise._trial import Parts, Trial
from rapidash.study import StudyDesign
from rapidash.tasks import get_task

E, T = "E(3) on R3", "T(3) on R3"
NUM_VAL = 40
Errors = Sequence[float]


def trial(name: str, errors: float | Errors, *, num: int = 60, steps: int = 40, seed: int = 0) -> Trial:
    """All clouds have the same error, or those that are given; turned ones three times that of T(3), up to 100."""
    each = (float(errors),) * NUM_VAL if isinstance(errors, int | float) else tuple(errors)
    turned = tuple(min(100.0, value * (3 if name == T else 1)) for value in each)
    return Trial(f"{name}{num}{steps}{seed}", name, seed, num / 60, steps, num, each, turned)


def race(of_last: dict[str, Any], data: dict[str, list[Any]], time: dict[str, list[Any]], **notes: str) -> Raced:
    """Two trainings of each variant in every round, and curves at 15, 30 and 60 clouds, and at 10, 20 and 40 steps."""
    found = {name: tuple(trial(name, errors, seed=seed) for seed in (0, 1)) for name, errors in of_last.items()}
    curves: dict[str, dict[str, tuple[Trial, ...]]] = {
        name: {
            "data": tuple(trial(name, e, num=n) for n, e in zip((15, 30, 60), data[name], strict=True)),
            "time": tuple(trial(name, e, steps=s) for s, e in zip((10, 20, 40), time[name], strict=True)),
        }
        for name in data
    }
    left = {"SO2(z) on R3": "left out: 30 steps of it take 3 min, its first training has 2 s"}
    costs = {name: Cost(0.5, 0.0, 0.0) for name in ALL}
    return Raced((found, found, found), curves, costs, left, 60, 30.0)


ALL = (E, T, "SO2(z) on R3", "T(3) on R3 + rotations", "T(3) on R3 + frames")


def law(at: Sequence[float], last: float, power: float) -> list[float]:
    return [last * (place / at[-1]) ** -power for place in at]


CLOUDS, STEPS = (15, 30, 60), (10, 20, 40)


def advised(design: StudyDesign, raced: Raced, findings: Sequence[Finding] = (), **options: Any) -> Advice:
    task = get_task(design.task, **design.task_options)
    variants = {variant.name: variant for variant in candidates(design.variants)}
    return recommend(
        raced, findings, design=design, task=task, variants=variants, parts=Parts.of(task, 0), target="label",
        minutes=2.0, seed=0, rule=RULE, **options,
    )  # fmt: skip


def changes(advice: Advice) -> dict[str, str]:
    return {said.title: said.text for said in advice.changes}


def test_more_data_would_change_it(solids: StudyDesign) -> None:
    """The laws 10 (n / 60)^-1/2 and 12 (n / 60)^-1: at 120 clouds 7.07 and 6."""
    data = {E: law(CLOUDS, 10, 0.5), T: law(CLOUDS, 12, 1.0)}
    time = {E: law(STEPS, 10, 0.25), T: law(STEPS, 12, 0.25)}
    advice = advised(solids, race({E: 10, T: 12}, data, time))
    assert (advice.variant, advice.probability, advice.runner_up, advice.same) == (E, 1.0, T, ())
    assert advice.headline == (
        "Train E(3) on R3: expect error rate 7.07 [7.07, 7.07] % on new clouds after 80 s of training on all 60 "
        "clouds. In trainings of 40 steps it is the best of 2 with probability 1.00, before T(3) on R3."
    )  # 160 steps of 0.5 s; 10 (160 / 40)^-1/4
    assert changes(advice) == {
        "More data": "With 2 times the data, T(3) on R3 would be ahead by the fitted laws: 6 [6, 6] against 7.07 "
        "[7.07, 7.07].",
        "More time": "E(3) on R3 stays ahead of T(3) on R3 by the fitted laws. Expected with more time, 2 times: 8.41 "
        "[8.41, 8.41]; 4 times: 7.07 [7.07, 7.07]. Too slow for this time, and not raced: SO2(z) on R3; more "
        "--minutes, in another --out, let them in.",
        "Turned test data": "E(3) on R3 has the least error on turned validation clouds too, 10 [10, 10].",
        "More validation clouds": "40 validation clouds and these seeds tell E(3) on R3 from T(3) on R3; more would "
        "not change the order.",
    }
    assert [said["text"] for said in advice.to_dict()["changes"]] == list(changes(advice).values())
    text = page(advice)
    assert all(said.text in text for said in advice.changes)
    assert all(f"{said.title}: {said.text}" in terminal_advice(advice) for said in advice.changes)


def test_another_budget_and_turned_data_would_change_it(solids: StudyDesign) -> None:
    """T(3) wins at 40 steps; of 10 E(3) was ahead, and by 80 it is again."""
    data = {E: law(CLOUDS, 12, 0.5), T: law(CLOUDS, 10, 0.5)}
    time = {E: law(STEPS, 12, 1.0), T: [50.0, 20.0, 10.0]}
    time[E] = [40.0, 12 * 2**0.5, 12.0]
    advice = advised(solids, race({E: 12, T: 10}, data, time))
    assert advice.variant == T
    said = changes(advice)
    assert "With 0.25 times the time E(3) on R3 was ahead: 40 against 50, in one training each." in said["More time"]
    assert said["More data"] == (
        "T(3) on R3 stays ahead of E(3) on R3 by the fitted laws. Expected with more data, 2 times: 7.07 [7.07, 7.07]; "
        "4 times: 5 [5, 5]."
    )
    assert said["Turned test data"] == (
        "If new clouds come in any pose, train E(3) on R3 instead: on turned validation clouds it has 12 [12, 12], "
        "T(3) on R3 has 30 [30, 30]."
    )
    time[E][0] = 46.0  # less than a tenth ahead, with one training each: nothing is said of it
    assert "was ahead" not in changes(advised(solids, race({E: 12, T: 10}, data, time)))["More time"]
    slow = {E: law(STEPS, 12, 0.5), T: law(STEPS, 10, 0.25)}
    later = changes(advised(solids, race({E: 12, T: 10}, data, slow)))["More time"]
    # 12 (160 / 40)^-1/2 = 6 and 10 (160 / 40)^-1/4 = 7.07; at twice the steps 8.49 and 8.41
    assert later.startswith(
        "With 4 times the time, E(3) on R3 would be ahead by the fitted laws: 6 [6, 6] against 7.07"
    )


def test_an_error_that_does_not_fall(solids: StudyDesign) -> None:
    rising = {E: law(CLOUDS, 10, -0.5), T: [12.0, 12.0, 12.0]}
    advice = advised(solids, race({E: 10, T: 12}, rising, rising))
    assert changes(advice)["More data"] == (
        "The error of E(3) on R3 does not clearly fall with data in this race (power -0.5 [-0.5, -0.5]): whether "
        "more of it would help, or another variant be ahead, is not known. A longer race would tell more."
    )
    assert advice.expected == advice.measured == Range(pytest.approx(10), pytest.approx(10), pytest.approx(10))
    assert any("does not clearly fall with time" in text for text in advice.cautions)


def test_no_error_at_all(solids: StudyDesign) -> None:
    """None of 40 clouds: half of one is expected, 1 - 0.025^(1/40) = 8.8 % are not excluded, and no law is drawn."""
    assert not_excluded(40) == pytest.approx(0.08810, abs=1e-5)
    some = [100.0] * 4 + [0.0] * 36
    ends = {E: [some, some, 0], T: [some, some, some]}
    advice = advised(solids, race({E: 0, T: some}, ends, ends))
    assert advice.variant == E
    assert advice.measured == Range(pytest.approx(1.25), 0.0, pytest.approx(8.81, abs=0.01))
    assert advice.expected == advice.measured == advice[E].turned
    assert [curve.variant for curve in advice.data_curves] == [T]
    assert 0.9 < advice.probability < 1.0  # in some draws of clouds T(3) makes no error either
    assert changes(advice)["More data"].startswith("E(3) on R3 makes no error on these validation clouds already")
    assert advice.cautions[0] == (
        "E(3) on R3 makes no error on the 40 validation clouds. On new clouds it will make some, and up to 8.81 % are "
        "not excluded: only more validation clouds would tell how many."
    )
    both = advised(solids, race({E: 0, T: 0}, {E: [0, 0, 0], T: [0, 0, 0]}, {E: [0, 0, 0], T: [0, 0, 0]}))
    assert both.headline.startswith("No variant can be told from another by 40 validation clouds in 2 min. If one must")
    assert "probability" not in both.headline  # a chance of half would say more than is known
    assert [row.expected and row.expected.low for row in both.rows[:2]] == [0.0, 0.0]
    assert [row.expected and row.expected.value for row in both.rows[:2]] == pytest.approx([1.25, 1.25], abs=0.01)
    assert both["T(3) on R3"].probability == pytest.approx(0.5, abs=0.05)
    assert "not even a thousand times as many" in changes(both)["More validation clouds"]
    assert "e-" not in terminal_advice(both)
    page(both)


def test_no_rate_is_above_all_of_them(solids: StudyDesign) -> None:
    steep = {E: [90.0, 40.0, 60.0], T: [95.0, 45.0, 90.0]}
    advice = advised(solids, race({E: 60, T: 90}, steep, steep))
    ends = [end for curve in (*advice.data_curves, *advice.time_curves) for end in curve.ahead.values()]
    assert max(found.high for found in ends) == 100.0  # by the misfit of the law it would be more
    assert advice.expected.high <= 100.0


def test_a_constant_is_as_good(solids: StudyDesign) -> None:
    curves = {E: law(CLOUDS, 10, 0.5), T: law(CLOUDS, 12, 0.5)}
    raced = race({E: 10, T: 12}, curves, curves)
    assert not any("Nothing is clearly learned" in text for text in advised(solids, raced, constant=11.0).cautions)
    advice = advised(solids, raced, constant=9.5)
    assert "More --minutes may help" in advice.cautions[0]
    assert advice.cautions[0].startswith(
        "Nothing is clearly learned: a prediction that sees no cloud has the error 9.5, and E(3) on R3 has 10 [10, 10]."
    )
    assert advice.headline.startswith(
        "Nothing is clearly learned in 2 min: a prediction that sees no cloud does about as well (9.5). Train E"
    )
    assert "The line is a prediction that sees no cloud, with 9.50." in page(advice)
    assert advice.to_dict()["constant"] == 9.5


def test_what_is_not_raced_is_said(solids: StudyDesign) -> None:
    curves = {E: law(CLOUDS, 10, 0.5), T: law(CLOUDS, 12, 0.5)}
    yes = Finding("place", "Does the absolute position of a cloud tell about the target?", "yes", "It does")
    advice = advised(solids, race({E: 10, T: 12}, curves, curves), [yes])
    assert advice.cautions[0].startswith("The absolute position tells about the target, and no")
    assert advice.headline.startswith("Train E(3) on R3")  # it learns something without
    blind = advised(solids, race({E: 10, T: 12}, curves, curves), [yes], constant=9.5)
    assert blind.headline.startswith(
        "The target depends on the absolute position of the clouds, which no network of the race sees, and a "
        "prediction that sees no cloud does about as well (9.5)"
    )
    assert blind.cautions[1].endswith("Which variant is ahead of another then says little.")  # no more of anything
    assert advice.cautions[-1].startswith("Only networks of Rapidash are raced. How EGNN, PaiNN, a transformer")
    assert "no variant of the race sees it" in page(advice)
    no = replace(yes, says="no")
    assert not any("position" in text for text in advised(solids, race({E: 10, T: 12}, curves, curves), [no]).cautions)


def test_a_runner_up_that_left_early(solids: StudyDesign) -> None:
    """More validation clouds do not tell what it would have become."""
    curves = {E: law(CLOUDS, 10, 0.5)}
    last = race({E: 10}, curves, curves)
    both = race({E: 10, T: 10.5}, curves, curves).rounds[0]
    notes = {T: "left after round 1, at place 2 of 2"}
    raced = Raced((both, last.rounds[1], last.rounds[2]), last.curves, last.costs, notes, 60, 30.0)
    advice = advised(solids, raced)
    assert changes(advice)["More validation clouds"] == (
        "T(3) on R3, the next, left after round 1, at place 2 of 2: what it would have become is a guess, and more "
        "--minutes would tell more than more validation clouds."
    )


def test_how_many_clouds_were_asked_is_said(solids: StudyDesign) -> None:
    assert [num_asked(num, minutes) for num, minutes in ((60, 2), (1000, 2), (1000, 10), (1000, 30))] == [
        60,
        150,
        300,
        500,
    ]
    curves = {E: law(CLOUDS, 10, 0.5), T: law(CLOUDS, 12, 0.5)}
    unknown = Finding("hand", "Does it matter?", "cannot tell", "60 clouds are too few")
    raced = race({E: 10, T: 12}, curves, curves)
    assert "The 60 training clouds are too few to answer: Does it matter?" in advised(solids, raced, [unknown]).cautions
    assert (
        "150 of the 900 training clouds, which were asked, are too few to answer: Does it matter? More --minutes ask "
        "more of them."
    ) in advised(solids, replace(raced, num_train=900), [unknown]).cautions
