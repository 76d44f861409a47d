"""The section on factors and latents: its table, its notes, and what its drawings draw."""

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import torch

from rapidash.learn import (
    ACTIVE,
    EXPLAINED,
    FACTOR_VAE,
    MIG,
    MOTIONS,
    NEXT_IMAGE,
    PERIODICITY,
    TRAVERSALS,
    WHOLE_TURN,
    by_latent_of,
)
from rapidash.methods import Picture
from rapidash.report import export, terminal_table, write_report
from rapidash.report._chart_types import Drawing
from rapidash.report._lie_vae_section import lie_vae_section, velocity
from rapidash.report._sections import Section
from rapidash.study import read_study, record_fault, study_of, summarize
from tests.report._studies import WriteStudy, small_record

NOISE = torch.rand(34, 51, generator=torch.Generator().manual_seed(0))
PICTURE = Picture.of_gray(TRAVERSALS, NOISE)


def record(name: str, seed: int, mig: float, *, neighbor: str = "", shapes: str = "hooks", **figures: float) -> Any:
    values = {MIG: mig, FACTOR_VAE: 0.9, ACTIVE: 5.0, "reconstruction (nats)": 20.0}
    for factor, speeds in (("angle", (0.0, 0.0, 0.5, 0.01, 0.0, 0.0)), ("x", (1.5, 0.0, 0.0, 0.1, 0.0, 0.0))):
        values |= {by_latent_of(motion, factor): speed for motion, speed in zip(MOTIONS, speeds)}
        values[by_latent_of(EXPLAINED, factor)] = 0.75
    values |= {f"{WHOLE_TURN}, angle": 0.8, f"{NEXT_IMAGE}, angle": 0.3, **figures}
    plain = {"unit": "1", "group": "", "view": "full", "better": ""}
    measurements = [{"name": k, "value": v, "moment": "after", **plain} for k, v in values.items()]
    measurements.append({"name": MIG, "value": 0.04, "moment": "before", **plain})
    made = small_record(name, seed, 27.0, metric="bound", unit="nats", measurements=measurements)
    made["config"]["level"] = {"task.shapes": shapes}
    made["config"]["variant"] |= {"neighbor": neighbor}
    made["key"] = f"{name}{seed}{shapes}"
    made["pictures"] = [vars(PICTURE) | {"png": list(PICTURE.png)}]
    return made


def records() -> list[Any]:
    return [
        made
        for seed in (0, 1, 2)
        for made in (
            record("VAE", seed, 0.2 + 0.01 * seed),
            record("group", seed, 0.5 + 0.02 * seed, neighbor="VAE", **{f"{PERIODICITY}, angle": 0.9}),
        )
    ]


def test_the_table_and_the_notes() -> None:
    section = lie_vae_section(summarize(study_of(records())))
    assert section is not None
    assert section.head == ("variant", "MIG", FACTOR_VAE, "active latents", "reconstruction (nats)")
    assert [row[0][:1] for row in section.rows] == ["A", "B"]
    assert section.rows[1][1].startswith("0.520 [")
    notes = "\n".join(section.notes)
    assert "Untrained networks have a MIG of 0.0400 to 0.0400." in notes
    assert re.search(r"MIG of group.* less that of VAE.*: \+0\.310 \[", notes)  # 0.30, 0.31, 0.32 by seed
    assert re.search(r"VAE.*misses the image there by 0\.30 deviations, by a whole turn its own by 0\.80\.", notes)
    assert "the learned element of a whole turn is 0.90 of the way off." in notes


def test_drawings_of_each_level() -> None:
    squares = [record("VAE", seed, 0.3, shapes="squares") for seed in (1, 2)]
    section = lie_vae_section(summarize(study_of([*records(), *squares])))
    assert section is not None
    assert len(section.drawings) == 4
    assert len({drawing.slug for drawing in section.drawings}) == 4
    for drawing in section.drawings:
        ElementTree.fromstring(drawing.svg)
    first, second = (drawing.svg for drawing in section.drawings[:2])
    assert first.count("data:image/png;base64,") == 2  # one seed of each variant
    assert len(PICTURE.png) == 2
    assert "".join(PICTURE.png) in first
    assert 'width="102" height="68"' in first  # twice 51 x 34
    assert "turn +0.50 rad" in second
    assert "shift along x +1.5 pixel" in second
    assert second.count("explained 75") == 4
    assert second.count("<circle") == 4 * 25


def test_the_field_is_that_of_the_fit() -> None:
    """A turn takes the x-axis to the y-axis, which points down; a scaling leads away from the middle."""
    assert velocity((1, 2, 0, 0, 0, 0), 3, 4) == (1, 2)
    assert velocity((0, 0, 1, 0, 0, 0), 1, 0) == (0, 1)
    assert velocity((0, 0, 0, 2, 0, 0), 3, -1) == (6, -2)
    assert velocity((0, 0, 0, 0, 1, 0), 1, 1) == (1, -1)
    assert velocity((0, 0, 0, 0, 0, 1), 2, 3) == (3, 2)


def test_other_studies_have_no_such_section() -> None:
    assert lie_vae_section(summarize(study_of([small_record("a", 0, 1.0)]))) is None


def test_page_terminal_and_files_have_it(write_study: WriteStudy, tmp_path: Path) -> None:
    directory = write_study(records(), None)
    page = write_report(directory).read_text(encoding="utf-8")
    assert "Factors and latents" in page
    assert page.count('<figure class="chart drawing"') == 2
    assert "Factors and latents" in terminal_table(summarize(read_study(directory)))
    names = {path.name for path in export(directory, tmp_path / "files")}
    assert {name for name in names if name.startswith("lie-vae") and name.endswith(".svg")}
    assert len(page) < 1_000_000


def test_a_picture_that_is_none_is_refused() -> None:
    bad = records()[0]
    bad["pictures"] = [{"name": TRAVERSALS, "png": ["iVBO", '"/><script>'], "moment": "after", "view": "full"}]
    assert record_fault(bad).startswith("pictures.0.png.1: expected base64, found")
    bad["pictures"] = "none"
    assert record_fault(bad).startswith("pictures: expected a list")
    assert not record_fault(records()[0])


def test_a_section_takes_drawings_only() -> None:
    wrong: Any = "svg"
    with pytest.raises(TypeError, match="each of drawings of the section 'T': expected a Drawing, got str"):
        Section("T", drawings=(wrong,))
    with pytest.raises(TypeError, match="svg of each of drawings of the section 'T': expected text"):
        Section("T", drawings=(Drawing("a", "b", "c", None),))  # type: ignore[arg-type]
