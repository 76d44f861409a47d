"""The task of planted symmetry: it states its truth, learns, and is as symmetric as its ledger says."""

import pytest
from task_checks import check_ledger, first_clouds

from rapidash.datasets import PLANTED, planted_classes
from rapidash.study import get_design
from rapidash.tasks import get_task
from rapidash.testing import check_task


def test_the_task_states_the_truth() -> None:
    found = {symmetry: get_task("planted", symmetry=symmetry).truth for symmetry in PLANTED}
    assert {symmetry: (t.kind, round(t.half_width, 4), t.order) for symmetry, t in found.items()} == {
        "full": ("full", 3.1416, 0),
        "partial": ("partial", 0.7854, 1),
        "discrete": ("discrete", 0.0, 4),
        "none": ("none", 0.0, 1),
        "wrong axis": ("none", 0.0, 1),
    }
    for symmetry in PLANTED:
        task = get_task("planted", symmetry=symmetry)
        assert len(task.class_names()) == planted_classes(symmetry)
    assert get_task("planted", symmetry="none").class_names()[5] == "kind 1, sector 1"


def test_the_task_does_what_a_task_must() -> None:
    task = get_task("planted", symmetry="none", num_train=20, num_val=20, num_test=20)
    assert task.moves is None
    assert [group.name for group in task.measured_groups] == ["SO2(z) about the origin"]
    variants = get_design("planted").variants
    check_task(task, [variants[0]])
    batch = first_clouds(task, 6)
    check_ledger(task, variants[-1], batch)


def test_bad_values_are_named() -> None:
    with pytest.raises(ValueError, match=r"symmetry must be one of .*, got 'half'"):
        get_task("planted", symmetry="half")
    with pytest.raises(ValueError, match="noise must be at least 0, got -1"):
        get_task("planted", noise=-1)
    with pytest.raises(ValueError, match="num_train, num_val and num_test must be at least 1"):
        get_task("planted", num_val=0)
