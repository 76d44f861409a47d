"""The section on corrupted test data: numbers by hand, in the page and in the Markdown table."""

import json
from pathlib import Path
from statistics import fmean

import pytest

from rapidash.report import robustness_table, write_report
from rapidash.report._robustness import robustness_section
from rapidash.study import read_robustness, read_study, summarize
from tests.report._studies import CORRUPTED, WriteStudy, make_study, write_corruptions
from tests.report.test_browser import BROWSER, browse
from tests.report.test_page import Page

REFERENCE = "E(3) on R3"


@pytest.fixture
def directory(write_study: WriteStudy) -> Path:
    records, design = make_study()
    found = write_study(records, design)
    write_corruptions(found, records, reference=REFERENCE)
    return found


def test_the_numbers_are_those_of_the_files(directory: Path) -> None:
    summary = summarize(read_study(directory))
    section = robustness_section(summary)
    assert section is not None
    records = {(run.variant, run.seed): run.raw for run in summary.study.runs}

    def stored(name: str, seed: int) -> dict[str, list[float]]:
        key = records[name, seed]["key"]
        return json.loads((directory / "corruptions" / f"{key}.json").read_text())["errors"]

    variant = "T(3) on R3"
    relative = [
        fmean(sum(stored(variant, seed)[c]) / sum(stored(REFERENCE, seed)[c]) for c in CORRUPTED) for seed in range(3)
    ]
    column = [entry.name for entry in section.variants].index(variant)
    assert section.lines[0][1][column].value == f"{fmean(relative):.2f}"
    assert section.chart is not None
    assert section.chart.rows[column].marks[-1].x == pytest.approx(section.chart.scale(fmean(relative)))
    assert section.chart.zero == section.chart.scale(1.0)
    assert section.chart.rows[1].value == "1, the reference"
    assert section.mean_curve is not None
    rotate = next(panel for panel in section.panels if panel.title == "rotate")
    by_letter = {letter: rows for letter, _, rows in rotate.readout["series"]}
    invariant = [error for _, error in by_letter["B"]]
    assert invariant == pytest.approx([invariant[0]] * 6)
    moved = [records[variant, seed]["test_error"] for seed in range(3)]
    assert by_letter["D"][0] == [0.0, pytest.approx(fmean(moved))]
    assert by_letter["D"][5][1] == pytest.approx(fmean(stored(variant, seed)["rotate"][4] for seed in range(3)))


def test_the_page_and_the_table_show_the_section(directory: Path) -> None:
    page = Page(write_report(directory).read_text())
    text = " ".join(" ".join(page.text).split())
    assert page.faults == []
    assert len(page.ids) == len(set(page.ids))
    assert "Under corruptions" in text
    assert "lidar is left out: visibility needs at least 4 points." in text
    assert "has the lowest mean corruption error" in text
    for name in CORRUPTED:
        assert f"chart-severity-{name}" in page.ids
    table = (directory / "table.md").read_text()
    assert "## Under corruptions" in table
    assert table.count("| dropout_global |") == 1


def test_studies_without_results_or_with_few_of_them(write_study: WriteStudy) -> None:
    records, design = make_study(seeds=(0, 1))
    found = write_study(records, design)
    assert robustness_section(summarize(read_study(found))) is None
    assert "Under corruptions" not in write_report(found).read_text()
    write_corruptions(found, [], reference=REFERENCE)
    section = robustness_section(summarize(read_study(found)))
    assert section is not None
    assert (section.chart, section.mean_curve, section.panels, section.lines[0][1]) == (None, None, (), ())
    assert "12 finished runs without a finite error" in section.notes[1]
    assert "The reference, E(3) on R3, has no run with results" in write_report(found).read_text()
    one_seed = [record for record in records if record["config"]["seed"] == 0]
    write_corruptions(found, one_seed, reference=REFERENCE)
    section = robustness_section(summarize(read_study(found)))
    assert section is not None
    assert section.lines[0][1][0].interval == ""  # one seed has no interval
    write_corruptions(found, records, reference=REFERENCE)
    section = robustness_section(summarize(read_study(found)))
    assert section is not None
    assert "cannot be told from it" in section.lead  # two seeds decide little
    (found / "corruptions.json").write_text("{")
    assert robustness_section(summarize(read_study(found))) is None


@pytest.mark.parametrize("value", [-1, 1e308, None, "x", True])
def test_a_result_that_is_no_error_counts_as_missing(directory: Path, value: object) -> None:
    path = sorted((directory / "corruptions").iterdir())[0]
    plain = json.loads(path.read_text())
    plain["errors"]["scale"][2] = value
    path.write_text(json.dumps(plain))
    summary = summarize(read_study(directory))
    found = read_robustness(directory, summary.study.records)
    assert found is not None
    assert found.num_untested == 1
    assert len(robustness_table(found, summary).splitlines()) > 8
    assert "1 finished run without a finite error" in write_report(directory).read_text(encoding="utf-8")


def test_a_reference_that_is_no_text_of_a_page_is_shown_as_escapes(directory: Path) -> None:
    plain = json.loads((directory / "corruptions.json").read_text()) | {"reference": "bad \ud800 </script>"}
    (directory / "corruptions.json").write_text(json.dumps(plain))
    page = write_report(directory).read_text(encoding="utf-8")
    assert r"bad \ud800 &lt;/script&gt;" in page


@pytest.mark.skipif(BROWSER is None, reason="needs chromium: apt-get install chromium")
@pytest.mark.parametrize("width", [375, 1280])
def test_the_panels_fit_and_answer_the_pointer(directory: Path, width: int) -> None:
    probe = """
    result.width = page.documentElement.scrollWidth;
    const wide = (e) => !e.closest(".scroll, svg") && e.getBoundingClientRect().right > view.innerWidth + 1;
    result.wide = all("body *").filter(wide).map((e) => e.tagName + "." + e.className);
    const panels = all(".panels.small .plot");
    result.columns = new Set(panels.map((plot) => Math.round(plot.getBoundingClientRect().left))).size;
    result.lines = panels[2].querySelectorAll("path.line").length;
    result.plot = panels[2].getBoundingClientRect().width;
    const box = panels[2].getBoundingClientRect();
    const at = { bubbles: true, clientX: box.left + box.width - 1, clientY: box.top + 20 };
    panels[2].dispatchEvent(new view.PointerEvent("pointermove", at));
    result.tip = page.getElementById("tip").textContent;
    """
    result, console = browse(write_report(directory), probe, width=width)
    assert "thrown" not in result, result
    assert console == []
    assert result["wide"] == []
    assert result["width"] <= width
    assert result["columns"] == (1 if width == 375 else 4)
    assert result["lines"] == 6
    assert result["plot"] > 150
    assert result["tip"].startswith("severity 5\n")
    assert len(result["tip"].splitlines()) == 7
