"""The rule by which labels tolerate a motion, or data cannot tell: every sentence by hand, and the section."""

from typing import Any

import pytest

from rapidash.report._tolerance_section import Box, tolerance_section, verdict
from rapidash.study import estimate, study_of, summarize
from tests.report._studies import small_record

WIDE, CLOSED = estimate({0: 0.78, 1: 0.80, 2: 0.82}), estimate({0: 0.05, 1: 0.06, 2: 0.07})
SURE: dict[str, Any] = {"change": 0.01, "start": 0.15, "spread": 2.0, "pays": False}


@pytest.mark.parametrize(
    ("end", "control", "change", "expected"),
    [
        (WIDE, CLOSED, {}, "tolerated, by about 0.800 each way"),
        (WIDE, CLOSED, {"spread": None}, "tolerated, by about 0.800 each way"),
        (CLOSED, CLOSED, {"change": 0.05}, "cannot tell: it closed to 0.0600"),
        (WIDE, WIDE, {}, "cannot tell: the same with and without a penalty"),
        (WIDE, CLOSED, {"change": 0.1}, "cannot tell: still moving, by +0.100 in the last quarter"),
        (WIDE, CLOSED, {"pays": True}, "cannot tell: the penalty pays with errors"),
        (WIDE, CLOSED, {"spread": 0.3}, "cannot tell: the data vary by 0.300 only"),
        (estimate({0: 0.8}), CLOSED, {}, "cannot tell: one seed has no interval"),
        (WIDE, None, {}, "cannot tell: one seed has no interval"),
    ],
)
def test_the_rule_in_its_order(end: Any, control: Any, change: dict[str, Any], expected: str) -> None:
    assert verdict(end, control, **{**SURE, **change}) == expected


OPEN = estimate({0: 5.1, 1: 6.3, 2: 7.8})
ALL = Box(5.0, (0, 1, 2), 3, "beyond the box (at least 5 length units)", (0, 1, 2))


@pytest.mark.parametrize(
    ("end", "control", "change", "expected"),
    [
        (OPEN, CLOSED, {"change": 2.0}, "tolerated beyond the box (at least 5 length units)"),
        (OPEN, CLOSED, {"spread": 0.2}, "tolerated beyond the box (at least 5 length units)"),
        (OPEN, CLOSED, {"spread": 0.1}, "cannot tell: the data vary by 0.100 only"),
        (OPEN, CLOSED, {"pays": True}, "cannot tell: the penalty pays with errors"),
        (OPEN, OPEN, {}, "cannot tell: the same with and without a penalty"),
        (estimate({0: 5.1}), CLOSED, {}, "cannot tell: one seed has no interval"),
        (WIDE, CLOSED, {"box": ALL._replace(seeds=())}, "tolerated, by about 0.800 each way"),
        (
            estimate({0: 0.2, 1: 6.3, 2: 0.3}),
            CLOSED,
            {"box": ALL._replace(seeds=(1,), ended=(1,))},
            "cannot tell: beyond the box (at least 5 length units) in seed 1 alone",
        ),
        (
            CLOSED,
            CLOSED,
            {"box": ALL._replace(seeds=(), ended=(0, 2))},
            "cannot tell: it closed to 0.0600 (no penalty to the end in seeds 0 and 2: another left the box)",
        ),
        (
            WIDE,
            WIDE,
            {"box": ALL._replace(seeds=(), ended=(0,))},
            "cannot tell: the same with and without a penalty (no penalty to the end in seed 0: another left the box)",
        ),
    ],
)
def test_the_rule_outside_the_safe_box(end: Any, control: Any, change: dict[str, Any], expected: str) -> None:
    assert verdict(end, control, **{**SURE, "box": ALL, **change}) == expected


def record(name: str, seed: int, weight: float | None, widths: tuple[float, ...], error: float = 1.0) -> dict:
    methods = [] if weight is None else [{"kind": "augerino", "group": "SO(2)", "init_width": 0.15, "weight": weight}]
    history = [
        {"step": 100 * (k + 1), "val_error": error, "value/half-width of rotation": width}
        for k, width in enumerate(widths)
    ]
    return small_record(name, seed, error + 0.01 * seed, variant={"methods": methods}, history=history)


def records(opened: tuple[float, ...], error: float) -> list[dict]:
    return [
        *(record("still", seed, None, (0.0,)) for seed in range(3)),
        *(record("control", seed, 0.0, (0.1, 0.06, 0.05, 0.05 + seed / 1000)) for seed in range(3)),
        *(record("opened", seed, 0.01, tuple(w + seed / 100 for w in opened), error) for seed in range(3)),
    ]


def test_the_section_has_a_row_for_the_variant_with_a_penalty() -> None:
    section = tolerance_section(summarize(study_of(records((0.3, 0.6, 0.79, 0.8), 1.0))))
    assert section is not None
    ((name, motion, end, control, spread, said),) = section.rows
    assert name.endswith("opened")
    assert motion == "rotation"
    assert end.startswith("0.810")
    assert control.startswith("0.0510")
    assert "0" not in spread
    assert said == "tolerated, by about 0.810 each way"


def test_movement_and_errors_are_seen_in_the_records() -> None:
    moving = tolerance_section(summarize(study_of(records((0.3, 0.4, 0.6, 0.8), 1.0))))
    assert moving is not None
    assert moving.rows[0][-1].startswith("cannot tell: still moving, by +0.200")
    paying = tolerance_section(summarize(study_of(records((0.3, 0.6, 0.79, 0.8), 3.0))))
    assert paying is not None
    assert paying.rows[0][-1] == "cannot tell: the penalty pays with errors"


def test_without_a_control_nothing_is_said() -> None:
    kept = [each for each in records((0.8, 0.8), 1.0) if each["config"]["variant"]["name"] != "control"]
    assert tolerance_section(summarize(study_of(kept))) is None


def test_a_motion_that_nothing_limits_is_tolerated_beyond_the_box() -> None:
    """A translation of 5.5 and more in every seed, at a box of 5; the rotation of the same runs has closed."""

    def run(name: str, seed: int, weight: float | None, rows: tuple[tuple[float, float], ...]) -> dict:
        made = record(name, seed, weight, ())
        names = ("value/half-width of translation along x", "value/half-width of rotation")
        made["history"] = [
            {"step": 100 * (k + 1), "val_error": 1.0, **dict(zip(names, row))} for k, row in enumerate(rows)
        ]
        for method in made["config"]["variant"]["methods"]:
            method["max_width"] = 5.0
        return made

    kept = ((0.2, 0.1), (0.2, 0.1), (0.2, 0.1), (0.2, 0.1))
    left = ((1.0, 0.2), (3.0, 0.2), (5.2, 0.12), (5.5, 0.12))
    study = study_of(
        [
            *(run("still", seed, None, ()) for seed in range(3)),
            *(run("control", seed, 0.0, tuple((x + seed / 100, r) for x, r in kept)) for seed in range(3)),
            *(run("opened", seed, 0.01, tuple((x + seed / 10, r) for x, r in left)) for seed in range(3)),
        ]
    )
    section = tolerance_section(summarize(study))
    assert section is not None
    rows = {row[1]: row for row in section.rows}
    assert rows["translation along x"][2] == "beyond the box (at least 5 length units)"
    assert rows["translation along x"][-1] == "tolerated beyond the box (at least 5 length units)"
    assert rows["rotation"][2].startswith("0.120")
    assert rows["rotation"][-1].startswith("cannot tell: it closed to 0.120 (no penalty to the end in seeds 0, 1 and 2")
