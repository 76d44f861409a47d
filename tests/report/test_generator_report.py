"""Sections of a report on generators: samples that can be turned, figures that see errors, symmetry by noise level."""

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from rapidash._plain import to_plain
from rapidash.generate import BANDS, FLOOR, LOSS, SAMPLES, SHARE, band_name
from rapidash.generate.metrics import DEVIATIONS
from rapidash.methods import Scene, SceneCloud
from rapidash.report import terminal_table, write_report
from rapidash.report._format import MINUS, TIE
from rapidash.report._generator_sections import controls_section, generator_symmetry_section
from rapidash.report._samples_section import samples_section
from rapidash.report._scene_drawing import scene_drawing
from rapidash.study import study_of, summarize
from tests.report._studies import WriteStudy, small_record

METHANE = SceneCloud.of(torch.tensor([[0.0, 0, 1], [1, 0, 1]]), ("C", "H"), [[0, 1]])


def entry(name: str, value: float | None, **rest: object) -> dict[str, Any]:
    plain = {"name": name, "value": value, "unit": "%", "group": "", "moment": "after", "view": "", "better": ""}
    return plain | rest


def with_entries(*entries: dict[str, Any], name: str = "E(3)", seed: int = 0, **rest: object) -> dict[str, Any]:
    return small_record(name, seed, 0.5, key=f"{name}-{seed}", measurements=list(entries), **rest)


def test_a_cloud_of_a_scene_is_centered_and_small() -> None:
    assert METHANE.points == ((-0.5, 0.0, 0.0), (0.5, 0.0, 0.0))
    flat = SceneCloud.of(torch.arange(1200.0).view(600, 2), bonds=[[0, 1], [0, 500]])
    assert (len(flat.points), flat.points[0][2], flat.bonds) == (256, 0.0, ((0, 1),))


def test_many_figures_are_rows_and_have_their_intervals_over_samples() -> None:
    names = [f"figure {place}" for place in range(9)]
    records = []
    for seed, value in ((0, 40.0), (1, 44.0)):
        made = [entry(SAMPLES + name, value, low=value - 2, high=value + 4) for name in names]
        records.append(with_entries(*made, entry(FLOOR + names[0], 50.0), seed=seed))
    section = samples_section(summarize(study_of(records)))
    assert section is not None
    assert list(section.head) == ["", "training data", "E(3)"]
    assert section.rows[0][0] == "figure 0 (%)"
    assert section.rows[0][1] == "50.0"
    assert section.rows[0][2].startswith("42.0 ")
    assert section.rows[0][2].endswith("; [40.0,\N{NO-BREAK SPACE}46.0]")  # means of 38 and 42, of 44 and 48
    assert section.rows[1][1] == "not defined"
    assert not section.notes


def test_a_seed_without_a_figure_is_not_dropped_in_silence() -> None:
    """Of three samplers one has lost a cloud and has no W1: the mean is of the two others, and says so."""
    values = (1.0, None, 3.0)
    made = [with_entries(entry(SAMPLES + "W1", value, unit="mA"), seed=seed) for seed, value in enumerate(values)]
    section = samples_section(summarize(study_of(made)))
    assert section is not None
    assert section.rows[1][1].startswith("2.00 ")
    assert section.rows[1][1].endswith("; not defined with 1 of 3 seeds, which are left out")
    whole = samples_section(summarize(study_of(made[::2])))
    assert whole is not None
    assert "left out" not in whole.rows[1][1]


def test_a_study_without_rdkit_says_so() -> None:
    absent = entry(SAMPLES + "sound (perceived)", None)
    record = with_entries(entry(SAMPLES + "finite", 100.0), absent)
    section = samples_section(summarize(study_of([record])))
    assert section is not None
    assert "need RDKit" in section.notes[0]
    there = with_entries(entry(SAMPLES + "finite", 100.0), absent | {"value": 3.0})
    assert not samples_section(summarize(study_of([there]))).notes


def test_controls_are_a_table_of_their_own() -> None:
    values = {"real molecules": 95.5, "one hydrogen deleted": 100.0}
    record = with_entries(*(entry(f"control: {name} | valid (classic)", value) for name, value in values.items()))
    summary = summarize(study_of([record]))
    section = controls_section(summary)
    assert section is not None
    assert list(section.head) == ["molecules", "valid (classic)"]
    assert [tuple(row) for row in section.rows] == [("real molecules", "95.5"), ("one hydrogen deleted", "100")]
    assert "missing hydrogen" in section.text
    text = terminal_table(summary)
    assert "one hydrogen deleted" in text
    assert "control:" not in text  # not among what was also measured
    assert controls_section(summarize(study_of([small_record("E(3)", 0, 0.5)]))) is None


def test_symmetry_by_noise_level() -> None:
    made = [entry(f"{SHARE}{band_name(band)}", 10.0 + band, group="SO(3)") for band in range(BANDS)]
    made += [entry(f"{LOSS}{band_name(band)}", 1.0 + band, unit="1", group="SO(3)") for band in range(BANDS)]
    made += [entry("samples from moved noise", 1e-15, unit="1", group="SO(3)")]
    section = generator_symmetry_section(summarize(study_of([with_entries(*made)])))
    assert section is not None
    row = section.rows[0]
    assert [row[0], row[1], row[2]] == ["A E(3)", "10.0", "17.0"]
    assert row[3].endswith("10⁻¹⁵")
    assert [chart.title for chart in section.charts] == ["Denoising loss by noise level", "Loss due to broken symmetry"]
    rows = section.charts[1].readout["series"][0][2]
    assert [mean for _, mean in rows] == [10.0 + band for band in range(BANDS)]
    levels = [level for level, _ in rows]
    assert levels == sorted(levels)
    assert levels[3] < 0.301 < levels[4]  # the median of the law is exp(-1.2)


def test_what_is_not_possible_and_what_is_rounding_is_not_shown() -> None:
    records = []
    for seed, value in enumerate((0.2, 0.9)):
        made = [entry(f"{SAMPLES}{name}", value, unit="1") for name in ("p-value of turned copies", "W1 of energies")]
        made += [entry(f"{SHARE}{band_name(band)}", (-1) ** seed * 3e-14, group="SO(2)") for band in range(BANDS)]
        records.append(
            with_entries(*made, entry("samples from moved noise", 3e-15, unit="1", group="SO(2)"), seed=seed)
        )
    summary = summarize(study_of(records))
    samples, symmetry = samples_section(summary), generator_symmetry_section(summary)
    assert samples is not None
    assert list(samples.rows[-1]) == ["E(3)", f"0.550 [0,{TIE}1.00]", f"0.550 [0,{TIE}5.00]"]  # 12.7 x 0.7 / 2
    assert symmetry is not None
    assert list(symmetry.rows[0]) == ["A E(3)", f"0 [0,{TIE}0]", f"0 [0,{TIE}0]", "3.0×10⁻¹⁵"]
    assert MINUS not in terminal_table(summary)


def test_a_legend_without_a_value_has_no_colon(write_study: WriteStudy) -> None:
    made = [entry(f"{SHARE}{band_name(band)}", 10.0 + band, group="SO(3)") for band in range(BANDS)]
    page = write_report(write_study([with_entries(*made, name="SE(2) on R2xS1")])).read_text(encoding="utf-8")
    [chart] = re.findall(r'id="chart-broken-by-level".*?</figure>', page, re.DOTALL)
    assert re.findall(r"<span>(SE\(2\) on R2xS1[^<]*)</span>(.....)", chart) == [("SE(2) on R2xS1", "</li>")]


def test_bands_have_the_same_names_in_every_run() -> None:
    assert band_name(0) == ", sigma below 0.076"  # exp(-1.2 - 1.2 * 1.15)
    assert band_name(3) == ", sigma 0.21 to 0.3"
    assert band_name(7) == ", sigma above 1.2"


def scene_record(name: str = "E(3)") -> dict[str, Any]:
    scenes = [Scene("samples", (METHANE, METHANE)), Scene("training data", (METHANE,))]
    return with_entries(entry(SAMPLES + "finite", 100.0), name=name, scenes=[to_plain(scene) for scene in scenes])


def test_samples_are_drawn_with_their_bonds() -> None:
    drawing = scene_drawing(summarize(study_of([scene_record()])))
    assert drawing is not None
    assert drawing.svg.count("<circle") == 6
    assert drawing.svg.count("<line") == 3
    assert "training data" in drawing.svg
    given = json.loads(re.search(r"data-cloud='([^']*)'", drawing.svg)[1])
    assert given["points"] == [[-0.5, 0.0, 0.0], [0.5, 0.0, 0.0]]
    assert given["bonds"] == [[0, 1]]
    assert given["scale"] * 0.5 == pytest.approx(0.46 * 150)
    assert scene_drawing(summarize(study_of([small_record("E(3)", 0, 0.5)]))) is None


def test_shapes_are_seen_from_above_and_from_one_side() -> None:
    """Of many points, at distances 1 from the middle, the first up: cos 20 degrees up, and sin 20 degrees nearer."""
    corners = torch.cat([torch.eye(3)[[1, 0, 2]], -torch.eye(3)]).repeat(20, 1)
    shape = Scene("samples", (SceneCloud.of(corners),))
    drawing = scene_drawing(
        summarize(study_of([with_entries(entry(SAMPLES + "finite", 1.0), scenes=[to_plain(shape)])]))
    )
    assert drawing is not None
    assert "not the best.<" in drawing.svg  # there are no bonds
    given = json.loads(re.search(r"data-cloud='([^']*)'", drawing.svg)[1])
    up, right = given["points"][:2]
    assert up == pytest.approx([0, math.cos(math.pi / 9), math.sin(math.pi / 9)], abs=1e-3)
    assert math.hypot(*right) == pytest.approx(1, abs=1e-3)
    assert right[0] == pytest.approx(math.cos(math.pi / 6), abs=1e-3)
    assert given["radii"] == [0.018] * 120


def test_copies_are_told() -> None:
    rule = "(chamfer, box, 9 points)"
    records = [with_entries(entry(f"{SAMPLES}{DEVIATIONS} {rule}", value), seed=k) for k, value in enumerate((-4, -3))]
    section = samples_section(summarize(study_of(records)))
    assert section is not None
    assert [note.partition(":")[0] for note in section.notes] == ["Samples of E(3) are copies"]
    assert "(chamfer, box, 9 points)" in section.notes[0]
    fair = with_entries(entry(f"{SAMPLES}{DEVIATIONS} {rule}", -2.9))
    assert not samples_section(summarize(study_of([fair]))).notes


def test_a_damaged_scene_is_told_and_the_record_left_out() -> None:
    record = scene_record()
    record["scenes"][0]["clouds"][0]["points"][0][0] = "far"
    study = study_of([record])
    assert "scenes.0.clouds.0.points.0.0" in study.unreadable[0][1]


def test_the_page_turns_samples(tmp_path: Path, write_study: Any) -> None:
    browser = pytest.importorskip("tests.report.test_browser")
    if browser.BROWSER is None:
        pytest.skip("needs chromium: apt-get install chromium")
    page = browser.write_report(write_study([scene_record()]))
    probe = """
    const svg = page.querySelector(".drawing svg.turning");
    const disk = () => svg.querySelector("circle").getAttribute("cx");
    const shown = () => [...svg.querySelectorAll("circle")].map((c) => Number(c.getAttribute("cx")));
    result.before = shown();
    const key = (name) => svg.dispatchEvent(new view.KeyboardEvent("keydown", { key: name, bubbles: true }));
    for (let i = 0; i < 10; i++) key("ArrowRight");
    result.after = shown();
    for (let i = 0; i < 10; i++) key("ArrowLeft");
    result.back = shown();
    result.cloud = svg.querySelectorAll("[data-cloud]").length;
    """
    result, console = browser.browse(page, probe)
    assert (console, result["cloud"]) == ([], 3)
    assert sorted(map(abs, result["before"])) == pytest.approx([69.0] * 6, abs=0.1)
    turned = 69 * abs(torch.cos(torch.tensor(1.5)).item())
    assert sorted(map(abs, result["after"])) == pytest.approx([turned] * 6, abs=0.1)
    assert sorted(map(abs, result["back"])) == pytest.approx([69.0] * 6, abs=0.1)
