"""Costs of a race and its pace, how much symmetry variants have, by hand."""

from itertools import count
from pathlib import Path

import pytest

from rapidash.advise import amount_of_symmetry, candidates
from rapidash.advise._race import Race, measured_costs
from rapidash.advise._race_state import Cost, Planned
from rapidash.advise._trial import Parts, Trial
from rapidash.study import StudyDesign, get_design
from rapidash.tasks import get_task


def test_the_time_of_a_training_by_hand() -> None:
    """It begins in 1 s, looks four times at the validation clouds for 0.5 s, and takes 10 steps of 0.2 s: 5 s."""
    cost = Cost(step=0.2, validation=0.5, beginning=1.0)
    assert cost.seconds_of(10) == pytest.approx(5)
    assert cost.steps_in(5.1) == 10
    assert cost.steps_in(4.9) == 9


def test_a_look_at_a_part_of_the_validation_clouds_counts_for_all(solids: StudyDesign) -> None:
    """A clock that ticks once in every call: 16 of 40 clouds take one tick, so that all of them take 2.5."""
    task = get_task(solids.task, **solids.task_options)
    variants = {variant.name: variant for variant in solids.variants}
    ticks = count()
    found = measured_costs(task, variants, solids.train, Parts.of(task, 0), 0, clock=lambda: float(next(ticks)))
    assert [cost.validation for cost in found.values()] == [2.5, 2.5]
    assert [cost.beginning for cost in found.values()] == pytest.approx([1.1, 1.1])  # and what its files take


def test_the_pace_of_a_race_by_hand(solids: StudyDesign, tmp_path: Path) -> None:
    """Planned for 10 steps of 0.5 s: what took 10 s is twice as slow; neither below 0.8 nor above 4."""
    task = get_task(solids.task, **solids.task_options)
    race = Race(solids.task, {}, task, {}, solids.train, Parts.of(task, 0), tmp_path, 60.0)
    assert race._pace() == 1.0
    race.state.costs = {"a": Cost(0.5)}
    race.state.blocks = [[Planned("a", 1.0, 0, 10, "round 0", "k"), Planned("a", 1.0, 1, 10, "round 0", "not yet")]]
    for seconds, pace in ((10.0, 2.0), (4.5, 0.9), (1.0, 0.8), (90.0, 4.0)):
        race._ended = {"k": Trial("k", "a", 0, 1.0, 10, seconds=seconds)}
        assert race._pace() == pytest.approx(pace)


def test_how_much_symmetry_variants_have() -> None:
    """Turns in space have three dimensions, mirrors count for a half; a network that is only shown turns has half."""
    design = get_design("solids")
    task = get_task(design.task, **design.task_options)
    found = {variant.name: amount_of_symmetry(task, variant) for variant in candidates(design.variants)}
    assert found["E(3) on R3"] == 3.5
    assert found["SE(3) on R3xS2"] == 3.0
    assert found["SO2(z) on R3"] == 1.5  # heights and distances keep mirrors too
    assert found["T(3) on R3"] == 0.0
    assert found["T(3) on R3 + rotations"] == 1.5
