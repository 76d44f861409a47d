"""The page of a user's files: its title, and a caution where a constant does as well as what was trained."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rapidash.report._own_phrases import constant_caution, is_own, question, subject
from rapidash.study import Study
from rapidash.study.measures.constant_error import CONSTANT


@pytest.mark.parametrize(
    ("design", "title"),
    [
        ({"task": "nbody", "task_options": {"files": ["a"]}}, "nbody"),
        ({"task": "own-data", "task_options": {"files": ["/x/my.xyz"], "target": "E"}}, "E of my.xyz"),
        ({"task": "own-clouds", "task_options": {"files": ["/x/shapes"], "target": ""}}, "the class of shapes"),
        (
            {"task": "own-data", "task_options": {"files": ["/x/a.xyz", "/x/b.xyz"], "target": "E", "forces": "F"}},
            "E and F of a.xyz and 1 more",
        ),
        ({"task": "own-data"}, "own-data"),
    ],
)
def test_a_study_of_files_is_about_their_target(design: dict[str, Any], title: str) -> None:
    study = Study(Path(), design, ())
    assert subject(study) == title
    assert is_own(study) == (design["task"] != "nbody")
    do = "do" if title.startswith("E and F") else "does"
    assert question(study) == f"Which symmetry {do} {title} want?"


def test_variants_that_a_constant_equals_are_named() -> None:
    def variant(name: str, error: float | None) -> Any:
        constant = SimpleNamespace(name=CONSTANT, moments={"before": SimpleNamespace(mean=1.25)})
        test = None if error is None else SimpleNamespace(mean=error)
        return SimpleNamespace(name=name, figures=(constant,), test=test)

    summary: Any = SimpleNamespace(variants=(variant("good", 1.2), variant("bad", 1.25), variant("failed", None)))
    assert constant_caution(summary).startswith("No better than a constant, whose test error is 1.25: bad. ")
    assert constant_caution(SimpleNamespace(variants=(variant("good", 1.2),))) == ""  # type: ignore[arg-type]
    assert constant_caution(SimpleNamespace(variants=())) == ""  # type: ignore[arg-type]


def test_another_figure_in_which_a_constant_is_as_good_is_named() -> None:
    def figure(name: str, moment: str, mean: float) -> Any:
        return SimpleNamespace(name=name, moments={moment: SimpleNamespace(mean=mean)})

    def variant(name: str, energy: float) -> Any:
        known = (figure(CONSTANT, "before", 2.0), figure(f"{CONSTANT}, MAE of E (eV)", "before", 0.5))
        test = SimpleNamespace(mean=1.0)
        return SimpleNamespace(name=name, figures=(*known, figure("MAE of E (eV)", "after", energy)), test=test)

    summary: Any = SimpleNamespace(variants=(variant("good", 0.4), variant("bad", 0.6)))
    assert (
        constant_caution(summary)
        == "No better than a constant in another figure (MAE of E (eV), 0.500 of a constant): bad."
    )
