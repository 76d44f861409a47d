"""Figures, tables and text that can be saved: read back, they hold what the summary holds."""

import csv
import io
import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from rapidash.registry import SECTIONS
from rapidash.report import Section, export, write_report
from rapidash.report import _contents as parts
from rapidash.report._chart_types import Mark, Point, Row, RowChart, Series, Span, XYChart
from rapidash.report._contents import contents, file_name
from rapidash.report._latex import escape, latex_table
from rapidash.report._methods_text import PAPER, bibtex, methods_text
from rapidash.report._scale import Scale
from rapidash.report._svg import row_svg, xy_svg
from rapidash.report._tables import Table, csv_text
from rapidash.study import StudySummary, read_study, study_of, summarize
from tests.report._studies import WriteStudy, make_study, small_record, write_corruptions
from tests.report.test_page import partial_studies, read

EVIL = (
    "a_b & 50 % of $x^2$ #1 {~} \\end{tabular}, \"q\" 'r' </script><b> \u00d7 \u2192 \u540d\u524d "
    "\u202e\u0000\u0007\n | \u00c5"
)


def summary_of(*args: Any, **kwargs: Any) -> StudySummary:
    records, design = make_study(*args, **kwargs)
    return summarize(study_of(records, design))


def rows_of(summary: StudySummary, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(contents(summary).files[name])))


def test_the_table_of_variants_read_back_is_the_summary() -> None:
    records, design = make_study(fractions=(1.0, 0.1))
    for record in records:
        record["test_error_tta"] = 0.9 * record["test_error"]
    study = study_of(records, design)
    rows = rows_of(summarize(study), "variants.csv")
    error = "test error, MSE of positions"
    assert len(rows) == 2 * 6 * 2  # fractions, variants, views
    for fraction in (1.0, 0.1):
        level = summarize(study, fraction=fraction)
        for variant in level.variants:
            own, averaged = (
                row
                for row in rows
                if row["variant"] == variant.name and float(row["share of the training data"]) == fraction
            )
            assert (own["judged by this view"], averaged["judged by this view"]) == ("yes", "no")
            assert variant.test is not None
            assert float(own[f"{error}, mean (length^2)"]) == variant.test.mean
            assert float(own[f"{error}, 95 % interval, low (length^2)"]) == variant.test.low
            assert float(own[f"{error}, 95 % interval, high (length^2)"]) == variant.test.high
            assert float(averaged[f"{error}, mean (length^2)"]) == pytest.approx(0.9 * variant.test.mean)
            assert float(own["training samples"]) == 3000 * fraction
            assert float(own["time per step (s)"]) == variant.seconds_per_step
            assert float(own["peak memory (bytes)"]) == variant.peak_memory
            assert variant.after is not None
            assert float(own["equivariance error under SO(3) after training, mean"]) == variant.after.mean
            assert own["is best"] == ("yes" if variant is level.best else "no")
            compared = variant.to_neighbor
            assert own["ratio to the neighbor, mean"] == ("" if compared is None else repr(compared.ratio))
            assert own["p adjusted, against the neighbor"] == ("" if compared is None else repr(compared.p_adjusted))
            assert averaged["ratio to the neighbor, mean"] == averaged["parameters"] == ""


def test_the_tables_of_runs_and_comparisons_hold_every_one() -> None:
    records, design = make_study()
    records[0] |= {"status": "failed", "test_error": None, "error": 'OSError: x, "y"\nRuntimeError: z'}
    summary = summarize(study_of(records, design))
    runs = rows_of(summary, "runs.csv")
    by_key = {record["key"]: record for record in records}
    assert by_key.keys() == {row["key"] for row in runs}
    for row in runs:
        record = by_key[row["key"]]
        assert row["test error (length^2)"] == ("" if record["test_error"] is None else repr(record["test_error"]))
        assert row["equivariance error under O(3) after training"] == repr(
            record["equivariance_reflections"]["after"]["mean"]
        )
    assert [row["problem"] for row in runs if row["status"] == "failed"] == ["RuntimeError: z"]
    rows = rows_of(summary, "comparisons.csv")
    compared = {(row["variant"], row["other"]): row for row in rows}
    pairs = sorted(sorted(pair) for pair in compared)
    assert len(rows) == len(pairs)
    assert pairs == [list(pair) for pair in sorted({tuple(sorted(c)) for c in summary.judgment.comparisons})]  # once
    for pair in compared:
        comparison = summary.judgment.comparisons[pair]
        assert float(compared[pair]["p adjusted"]) == comparison.p_adjusted
        assert float(compared[pair]["difference of the error, mean (length^2)"]) == comparison.difference
    assert len(rows_of(summary, "learning.csv")) == 20 * len(records)


def test_the_best_and_its_neighbor_are_one_comparison() -> None:
    """B is the best and A its neighbor: the difference is that of B to A, and not its opposite too."""
    records = [
        small_record(name, seed, error + 0.125 * seed, variant={"neighbor": neighbor})
        for name, error, neighbor in (("A", 3.0, None), ("B", 1.0, "A"), ("C", 2.0, "A"))
        for seed in (0, 1)
    ]
    rows = rows_of(summarize(study_of(records)), "comparisons.csv")
    difference = "difference of the error, mean (length^2)"
    assert [(row["variant"], row["other"], row[difference]) for row in rows] == [
        ("B", "A", "-2"),
        ("C", "A", "-1"),
        ("C", "B", "1"),
    ]


def test_levels_of_any_kind_stand_in_the_table() -> None:
    records = [
        small_record("A", 0, 1.0, key=f"k{place}", config={"level": {"model.x": value}})
        for place, value in enumerate(([1, "a"], None, True, 0.5, "s"))
    ]
    rows = rows_of(summarize(study_of(records)), "variants.csv")
    assert [row["model.x"] for row in rows] == ['[1, "a"]', "null", "yes", "0.5", "s"]


def test_the_table_of_corruptions_holds_every_severity(write_study: WriteStudy) -> None:
    records, design = make_study()
    directory = write_study(records, design)
    write_corruptions(directory, records, reference="E(3) on R3")
    rows = rows_of(summarize(read_study(directory)), "corruptions.csv")
    assert len(rows) == 18 * (1 + 7 * 5)
    ours = next(r for r in records if r["config"]["variant"]["name"] == "E(3) on R3" and r["config"]["seed"] == 1)
    picked = [r for r in rows if r["variant"] == "E(3) on R3" and r["seed"] == "1"]
    assert float(next(r for r in picked if r["corruption"] == "none")["test error (length^2)"]) == ours["test_error"]
    jitter = {int(r["severity"]): float(r["test error (length^2)"]) for r in picked if r["corruption"] == "jitter"}
    assert jitter == pytest.approx({k: ours["test_error"] * 1.3 ** (k / 5) for k in range(1, 6)})
    assert {float(r["corruption error"]) for r in picked if r["corruption"] != "none"} == {1.0}


def test_figures_are_whole_svg_with_a_mark_per_seed_and_a_legend() -> None:
    files = contents(summary_of(fractions=(1.0, 0.1))).files
    names = {"error", "differences", "rotated", "equivariance", "learning", "data", "seconds", "memory", "parameters"}
    assert {name.removesuffix(".svg") for name in files if name.endswith(".svg")} == names
    for name in names:
        assert ElementTree.fromstring(files[f"{name}.svg"]).tag == "{http://www.w3.org/2000/svg}svg"
    error = files["error.svg"]
    assert error.count('r="3"') == 18 + 1  # a dot for each seed, and one in the key
    assert error.count("<title>") == 18 + 6
    assert "MSE of positions (length²)" in error
    learning = files["learning.svg"]
    assert learning.count('stroke-width="2"/>') == 6
    assert all(f">{name}: " in learning for name in ("E(3) on R3xS2", "T(3) on R3 + rotations"))
    assert "https://" not in error.replace("http://www.w3.org/2000/svg", "")


def test_marks_lie_where_the_chart_says() -> None:
    marks = (Mark(25.0, "seed", "s"), Mark(50.0, "hollow", "m"))
    row = Row(9, "J", "name", "1", marks, (Span(0.0, 100.0, "interval", open_left=True),))
    text = row_svg(RowChart("x", "X", "", (row,), Scale(0.0, 1.0, False), "axis", (), zero=75.0))
    assert '<circle cx="345.0"' in text  # the plot reaches from 240 to 660
    assert '<circle cx="450.0"' in text
    assert 'x1="555.0" x2="555.0"' in text
    assert 'x1="240.0" x2="660.0"' in text
    assert "M245.0" in text  # an end that leaves the axis is an arrow
    assert text.count("#b3410e") == 6  # the second of eight colors, of the tenth: badge, marks, interval, its ends
    series = Series(0, "A", "a", "v", line="M0.00 100.00L50.00 0.00", points=(Point(50.0, 20.0, 30.0, 10.0, "p", 17),))
    text = xy_svg(XYChart("x", "X", "", (series,), Scale(0.0, 1.0, False), Scale(0.0, 1.0, False), "x", "y"))
    assert 'd="M70.00 400.00L390.00 60.00"' in text  # the plot is 640 wide and 340 high
    assert 'cx="407.0" cy="128.0"' in text
    assert 'y1="162.0" y2="94.0"' in text


def test_latex_sets_text_as_it_is() -> None:
    assert escape("a_b & 5 % of $x^2$ #1 {~}") == (
        r"a\_b \& 5 \% of \$x\textasciicircum{}2\$ \#1 \{\textasciitilde{}\}"
    )
    assert escape("\\end{x}") == r"\textbackslash{}end\{x\}"
    assert escape("2.69\u00d7 [2.08,\u00a03.74], \u22120.1, 3\u00d710\u207b\u00b9\u2076") == (
        r"2.69$\times$ [2.08,~3.74], $-$0.1, 3$\times$10$^{-16}$"
    )
    assert escape("a\n b\u0000\u0007\u202ec") == "a bc"


def latex_faults(text: str) -> list[str]:
    """Braces, mathematics and environments that do not close, and signs that LaTeX would act upon."""
    text = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
    bare = re.sub(r"\\[\\&%$#_{}]", "", text)
    outside = re.sub(r"\$[^$]*\$", "", bare)
    faults = [f"{sign} is bare" for sign in "%#^_" if sign in outside]
    faults += ["braces"] if bare.count("{") != bare.count("}") else []
    faults += ["mathematics"] if bare.count("$") % 2 else []
    opened = re.findall(r"\\begin\{(\w+)\}", text)
    faults += ["environments"] if sorted(opened) != sorted(re.findall(r"\\end\{(\w+)\}", text)) else []
    body = text.partition(r"\midrule")[2].partition(r"\bottomrule")[0]
    lines = [line for line in body.splitlines() if line.strip()]
    return faults + [line for line in lines if re.sub(r"\\&", "", line).count("&") != 6 or not line.endswith(r"\\")]


def test_the_check_of_latex_rejects_what_it_must() -> None:
    assert latex_faults("\\midrule\na & b & c & d & e & f & 5 % \\\\\n\\bottomrule")
    assert latex_faults("\\midrule\na_b & b & c & d & e & f & g \\\\\n\\bottomrule")
    assert latex_faults("\\midrule\na & b & c & d & e & f \\\\\n\\bottomrule")
    assert latex_faults("\\begin{table}{")
    assert not latex_faults("\\midrule\na\\_b & b & c & $^2$ & e & f & 5 \\% \\\\\n\\bottomrule")


def test_the_latex_table_has_a_row_per_variant_and_the_best_in_bold() -> None:
    summary = summary_of()
    text = latex_table(summary)
    assert latex_faults(text) == []
    assert summary.best is not None
    bold = re.findall(r"\\textbf\{(.*?)\} &", text)
    assert bold[0] == f"{summary.best.letter} {summary.best.name}"
    assert re.fullmatch(r"0\.\d+ \[0\.\d+,~0\.\d+\]", bold[1])
    assert len(bold) == 2
    assert text.count(r"\\") == 1 + 6
    daggers = [line for line in text.splitlines() if line.startswith("    ") and "$^\\dagger$ &" in line]
    assert len(daggers) == len(summary.undecided)


def test_one_seed_has_no_winner_in_bold() -> None:
    assert "textbf" not in latex_table(summary_of(seeds=(3,)))


def test_the_paragraph_tells_what_the_records_hold() -> None:
    text = methods_text(summary_of())
    for part in (
        "on the task nbody", "each with 3 seeds (0, 1, 2)", "3,000 training samples", "2,000 optimizer steps",
        "batches of 100", "learning rate 0.0005", "float32", "Equal between variants: optimizer steps (2",
        "lowest validation error",
        "paired t-test over seeds, adjusted for all 9 comparisons", "Fieller", "Intel Xeon Platinum 8481C",
        "rapidash 0.1.0", "PyTorch 2.13.0", "commit 4549f2b6a1d2", "arXiv 2501.01999",
    ):  # fmt: skip
        assert part in text, part
    assert "validation samples" not in text  # no record says how many
    assert "AdamW" not in text


def test_the_paragraph_leaves_out_what_no_record_holds() -> None:
    text = methods_text(summarize(study_of([small_record("a", 0, 1.0)])))
    assert text == (
        f"With rapidash (Vadgama et al., arXiv 2501.01999) we trained a on the task {study_of([]).task}, with seed 0. "
        "We report MSE of positions (length\u00b2) on the test set of one seed, without interval or test. "
        "The runs were made with commit abc.\n"
    )
    chosen = small_record("a", 0, 1.0, val_error=1.0)
    assert "lowest validation error" not in methods_text(summarize(study_of([chosen])))
    assert "lowest validation error" in methods_text(summarize(study_of([chosen | {"best_step": 3}])))
    assert "has finished" in methods_text(summarize(study_of([])))


def test_products_that_a_flag_rounded_are_told() -> None:
    def text(*errors: float, products: str = "onednn") -> str:
        added = [{"products": products, "product_error": error} for error in errors]
        return methods_text(summarize(study_of([small_record("a", i, 1.0) | one for i, one in enumerate(added)])))

    assert "whose operands a flag of torch rounded (relative error 2.3e-03)" in text(3e-7, 2.3e-3)
    assert "flag of torch" in text(3e-7, 1.1e-6)
    assert "flag of torch" not in text(3e-7, 9e-7)
    assert "flag of torch" not in text(2.3e-3, products="bfloat16")


def test_products_of_which_only_some_were_rounded_are_told() -> None:
    def text(**added: object) -> str:
        return methods_text(summarize(study_of([small_record("a", 0, 1.0) | added])))

    assert "matrix products of bfloat16 (some of float32)," in text(
        products="bfloat16", products_made=["bfloat16", "torch"]
    )
    assert "matrix products of bfloat16," in text(products="bfloat16", products_made=["bfloat16"])
    assert "matrix products of bfloat16," in text(products="bfloat16")  # an earlier version
    assert "matrix products of oneDNN," in text(products="onednn", products_made=["onednn", "torch"])


def test_settings_that_differ_are_named() -> None:
    records, design = make_study()
    for record in records[:3]:
        record["config"]["train"] = record["config"]["train"] | {"learning_rate": 1.0}
    text = methods_text(summarize(study_of(records, {key: value for key, value in design.items() if key != "train"})))
    assert "differ in: learning_rate" in text
    assert "learning rate" not in text.partition("differ in")[0]


def test_the_citation_is_that_of_the_package() -> None:
    text = (Path(__file__).parents[2] / "CITATION.cff").read_text(encoding="utf-8")
    for key in ("title", "url"):
        assert f'{key}: "{PAPER[key]}"' in text
    names = re.findall(r"family-names: (\w+)\n\s+given-names: (.+)", text)
    assert " and ".join(f"{family}, {given}" for family, given in names) == PAPER["author"]
    assert f"arXiv:{PAPER['eprint']}" in text
    found = bibtex(summary_of())
    assert found.count("{") == found.count("}")
    assert "version = {0.1.0}" in found
    assert "commit 4549f2b6a1d2" in found
    assert "version" not in bibtex(summarize(study_of([])))


@pytest.mark.parametrize("case", partial_studies())
def test_every_state_of_a_study_can_be_exported(tmp_path: Path, write_study: WriteStudy, case: str) -> None:
    records, design = partial_studies()[case]
    directory = write_study(records, design)
    found = contents(summarize(read_study(directory)))
    assert found.faults == ()
    paths = export(directory, tmp_path / "out")
    assert {path.name: path.read_text(encoding="utf-8") for path in paths} == found.files
    assert latex_faults(found.files["table.tex"]) == []
    for name, text in found.files.items():
        if name.endswith(".svg"):
            ElementTree.fromstring(text)
        if name.endswith(".csv"):
            widths = {len(row) for row in csv.reader(io.StringIO(text))}
            assert len(widths) == 1, name
    assert not re.search(r"\b(nan|inf|None)\b", found.files["methods.txt"] + found.files["table.tex"])


def test_names_of_any_kind_stay_whole(write_study: WriteStudy) -> None:
    records = [small_record(name, seed, 1.0 + seed) for name in (EVIL, "b") for seed in (0, 1)]
    for record in records:
        record |= {"metric": EVIL, "unit": EVIL, "device": EVIL, "versions": {"rapidash": EVIL}}
    records[0]["history"] = [{"step": 1, "val_error": 1.0}, {"step": 2, "val_error": 0.5}]
    directory = write_study(records, {"task": EVIL})
    text, page = read(directory)
    assert page.faults == []
    embedded = re.search(r'<script type="application/json" id="files" data-prefix="([a-z0-9-]+)">(.*?)</script>', text)
    assert embedded is not None
    files = json.loads(embedded[2])
    summary = summarize(read_study(directory))
    assert files == contents(summary).files
    rows = list(csv.DictReader(io.StringIO(files["variants.csv"])))
    assert [row["variant"] for row in rows] == [variant.name for variant in summary.variants]
    for name, content in files.items():
        if name.endswith(".svg"):
            ElementTree.fromstring(content)
    assert latex_faults(files["table.tex"]) == []
    assert files["citation.bib"].count("{") - files["citation.bib"].count("\\{") == files["citation.bib"].count(
        "}"
    ) - files["citation.bib"].count("\\}")


def test_sections_of_other_packages_are_tables_too(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = {
        "one": lambda summary: Section("Growth, of x", head=("a", "b"), rows=(("1", "2,3"),)),
        "two": lambda summary: Section("Growth of x!", head=("a",), rows=(("4",),)),
    }
    monkeypatch.setattr(SECTIONS, "_entries", entries)
    files = contents(summary_of()).files
    assert files["section-growth-of-x.csv"] == 'a,b\n1,"2,3"\n'
    assert files["section-growth-of-x-2.csv"] == "a\n4\n"


def test_a_part_that_raises_is_named_and_the_page_is_written(
    monkeypatch: pytest.MonkeyPatch, write_study: WriteStudy
) -> None:
    def broken(summary: StudySummary) -> Any:
        raise ZeroDivisionError("of <b>this</b>")

    records, design = make_study(fractions=(1.0, 0.1))
    directory = write_study(records, design)
    whole = contents(summarize(read_study(directory)))
    charts = (
        "error_chart",
        "difference_chart",
        "rotation_chart",
        "equivariance_chart",
        "learning_chart",
        "cost_charts",
    )
    for name in (*charts, "data_chart"):
        monkeypatch.setattr(parts.charts, name, broken)
    for name in ("robustness_section", "latex_table", "methods_text", "bibtex", "symbols"):
        monkeypatch.setattr(parts, name, broken)
    found = contents(summarize(read_study(directory)))
    assert len(found.faults) == 12
    assert found.files.keys() == {name for name in whole.files if name.endswith(".csv")}
    text = write_report(directory).read_text(encoding="utf-8")
    assert "The figure of the learning curves is left out" in text
    assert "ZeroDivisionError: of &lt;b&gt;this&lt;/b&gt;" in text
    assert 'id="variants"' in text
    assert "- Caution: The section on corruptions is left out" in (directory / "table.md").read_text(encoding="utf-8")


def test_names_of_files_are_plain() -> None:
    assert file_name("severity-../../x") == "severity-x"
    assert file_name("\u540d\u524d") == "unnamed"
    assert len(file_name("x" * 500)) == 60


def test_no_cell_is_a_formula_and_numbers_stay_numbers() -> None:
    cells = ("=1+2", "+a", "-a", "@a", "\ta", "-0.5", "+1e3", "-", "a=1", -2.5)
    rows = list(csv.reader(io.StringIO(csv_text(Table("x", ("=h", "a"), [(cell, 1.0) for cell in cells])), newline="")))
    assert rows[0] == ["'=h", "a"]
    assert [row[0] for row in rows[1:]] == [
        "'=1+2", "'+a", "'-a", "'@a", "'\ta", "-0.5", "+1e3", "-", "a=1", "-2.5",
    ]  # fmt: skip
    named = [small_record("=cmd|x", seed, 1.0 + seed) for seed in (0, 1)]
    assert rows_of(summarize(study_of(named)), "variants.csv")[0]["variant"] == "'=cmd|x"


def test_the_caption_says_what_is_equal() -> None:
    text = latex_table(summary_of())
    assert "Equal between variants: optimizer steps (2\\,000); time per step differs by up to" in text
