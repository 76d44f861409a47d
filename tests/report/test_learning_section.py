"""The section on data: planted laws come back with what they give beyond the data; published values stand apart."""

from typing import Any

import numpy as np
import pytest
from scipy import stats

from rapidash.report._learning_section import learning_section
from rapidash.report._published_section import published_section, published_values, read_values
from rapidash.study import study_of, summarize
from tests.report._studies import small_record

SIZES = (100, 300, 1000)


def record(name: str, seed: int, size: int, error: float) -> dict[str, Any]:
    return small_record(
        name,
        seed,
        error,
        key=f"{name}{size}-{seed}",
        num_train=size,
        config={"fraction": size / SIZES[-1]},
        variant={"neighbor": None},
    )


def records(errors: Any, names: str = "A", sizes: tuple[int, ...] = SIZES) -> list[dict[str, Any]]:
    return [record(name, seed, size, errors(size)) for name in names for size in sizes for seed in range(3)]


def section_of(kept: list[dict[str, Any]], **design: Any) -> Any:
    names = sorted({one["config"]["variant"]["name"] for one in kept})
    plan = {"task": "nbody", "variants": [{"name": name} for name in names], "seeds": [0, 1, 2], **design}
    return learning_section(summarize(study_of(kept, plan)))


def test_a_planted_law_comes_back_and_is_followed_to_ten_times_the_data() -> None:
    """20 N^-0.5 is 2 at 100, 0.2 at 10,000: ten times 1,000."""
    (row,) = section_of(records(lambda size: 20 * size**-0.5)).rows
    assert row[0] == "A A"
    assert [cell.split()[0] for cell in row[1:4]] == ["2.00", "1.15", "0.632"]
    assert [cell.replace("\N{NO-BREAK SPACE}", " ") for cell in row[4:]] == [
        "0.500 [0.500, 0.500]",
        "0.200 [0.200, 0.200]",
    ]


def test_the_head_names_the_sizes_and_how_far_the_law_is_followed() -> None:
    section = section_of(records(lambda size: size**-0.5))
    spaceless = [cell.replace("\N{NARROW NO-BREAK SPACE}", "") for cell in section.head]
    assert spaceless == ["variant", "100", "300", "1000", "exponent", "law at 10000"]
    assert "if it goes on" in section.text
    assert not section.notes


def test_a_study_of_one_seed_says_so_in_place_of_an_interval_over_seeds() -> None:
    every = records(lambda size: size**-0.5)
    alone = section_of([one for one in every if one["config"]["seed"] == 0], seeds=[0])
    assert ", of one seed, by the number of training samples" in alone.text
    assert "over seeds" not in alone.text
    assert ", the mean over seeds with its 95 % interval, by the number" in section_of(every).text


def test_two_sizes_have_no_law_and_one_has_no_section() -> None:
    section = section_of(records(lambda size: size**-0.5, sizes=SIZES[:2]))
    assert section.rows[0][3:] == ("–", "–")
    assert section.notes == ["A A: no law, a fit needs at least 3 different sizes, got 2."]
    assert section_of(records(lambda size: 1.0, sizes=SIZES[2:])) is None
    other = [record("A", 0, 100, 1.0), record("B", 0, 300, 1.0)]  # levels of other data: no variant has two sizes
    assert section_of(other) is None


def test_missing_cells_are_said() -> None:
    kept = [one for one in records(lambda size: size**-0.5, "AB") if one["key"] not in {f"B300-{s}" for s in range(3)}]
    section = section_of(kept)
    assert section.rows[1][2] == "–"
    assert section.notes == [
        "B B: no law, a fit needs at least 3 different sizes, got 2.",
        "B B: no finished run at 300 samples.",
    ]


def test_an_error_of_zero_is_left_out_of_the_law_with_a_word() -> None:
    kept = records(lambda size: 20 * size**-0.5)
    kept[-1]["test_error"] = 0.0
    section = section_of(kept)
    assert section.rows[0][4].startswith("0.500")
    assert section.notes == ["A A: 1 run without an error above 0 left out of the law."]


def test_a_missing_seed_is_said_and_notes_of_several_variants_are_one() -> None:
    left_out = {"A300-1", *(f"{name}1000-{seed}" for name in "BC" for seed in range(3))}
    kept = [one for one in records(lambda size: size**-0.5, "ABC") if one["key"] not in left_out]
    assert section_of(kept).notes == [
        "A A: no finished run of seed 1 at 300 samples.",
        "B B and C C: no law, a fit needs at least 3 different sizes, got 2.",
        "B B and C C: no finished run at 1\N{NARROW NO-BREAK SPACE}000 samples.",
    ]


def test_one_seed_at_the_largest_size_hides_no_interval_of_the_others() -> None:
    kept = [one for one in records(lambda size: size**-0.5) if one["key"] not in ("A1000-1", "A1000-2")]
    assert ", the mean over seeds with its 95 % interval, by the number" in section_of(kept).text


def test_one_seed_has_an_interval_of_its_law() -> None:
    """Three points have one degree of freedom, so that half of the interval is 12.7 standard errors."""
    errors = {100: 1.0, 300: 0.62, 1000: 0.33}
    section = section_of([record("A", 0, size, error) for size, error in errors.items()], seeds=[0])
    found = stats.linregress(np.log(list(errors)), np.log(list(errors.values())))
    half = stats.t.ppf(0.975, 1) * found.stderr
    low, high = (f"{end:.3g}".replace("-", "\N{MINUS SIGN}") for end in (-found.slope - half, -found.slope + half))
    assert section.rows[0][4] == f"{-found.slope:.3f} [{low},\N{NO-BREAK SPACE}{high}]"


def test_errors_that_do_not_fall_are_not_followed() -> None:
    section = section_of(records(lambda size: size**0.2))
    assert section.rows[0][4].startswith("−0.200")
    assert section.rows[0][5] == "–"
    assert "does not clearly fall" in section.notes[0]


def test_errors_that_may_not_fall_are_not_followed() -> None:
    """1, 0.9 and 0.5 fall in the mean, but three points allow an exponent below 0."""
    errors = {100: 1.0, 300: 0.9, 1000: 0.5}
    section = section_of([record("A", 0, size, error) for size, error in errors.items()], seeds=[0])
    assert section.rows[0][4].startswith("0.")
    assert section.rows[0][5] == "–"
    assert section.notes == ["A A: the error does not clearly fall with data, so the law says nothing of more."]


def test_a_curve_that_turns_is_said() -> None:
    errors = dict(zip(SIZES, (3.0, 0.9, 1.0), strict=True))
    spread = [record("A", seed, size, errors[size] * (1 + 0.01 * seed)) for size in SIZES for seed in range(3)]
    assert "A A: its mean errors do not fall from each size to the next, as those of a law do." in (
        section_of(spread).notes
    )


def of_task(task: str, unit: str, options: dict[str, Any], **design: Any) -> Any:
    kept = [{**record("A", seed, 100, 0.5), "unit": unit} for seed in range(3)]
    for one in kept:
        one["config"] |= {"task": task, "task_options": options}
    plan = {"task": task, "task_options": options, "variants": [{"name": "A"}], "seeds": [0, 1, 2], **design}
    return published_section(summarize(study_of(kept, plan)))


def test_published_values_are_shown_for_their_task_options_and_unit_alone() -> None:
    section = of_task("qm9", "D", {"target": "mu", "source": "b3lyp", "num_train": 10})
    assert [row[1] for row in section.rows] == ["0.0145 D", "0.0204 D", "0.0254 D", "0.0296 D"]
    assert all("2506.18629" in row[3] for row in section.rows)
    assert "not of this study" in section.title
    assert of_task("qm9", "mD", {"target": "mu", "source": "b3lyp"}) is None
    assert of_task("qm9", "D", {"target": "mu"}) is None
    assert of_task("md", "D", {"target": "mu", "source": "b3lyp"}) is None


def test_every_published_value_says_where_it_was_read() -> None:
    assert len(published_values()) >= 5
    for one in published_values():
        assert "arXiv" in one.source
        assert one.value > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("value = 1.5\n", ""), r"published value 1: the keys \['value'\] are missing, \[\] are unknown"),
        (("value = 1.5", "value = 0.0"), "published value 1: expected texts and an error above 0"),
        (('source = "s"', 'source = ""'), "published value 1: expected texts"),
        (('source = "s"', 'source = "s"\nyear = 2025'), r"\[\] are missing, \['year'\] are unknown"),
    ],
)
def test_a_bad_entry_is_named(change: tuple[str, str], message: str) -> None:
    text = '[[value]]\ntask = "t"\noptions = {}\nnetwork = "n"\nvalue = 1.5\nunit = "D"\ndata = "all"\nsource = "s"\n'
    assert read_values(text)[0].value == 1.5
    with pytest.raises(ValueError, match=message):
        read_values(text.replace(*change))
