"""Terminal, page, Markdown and published text name the same winner and the same p, whatever the records are."""

import html
import json
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from statistics import fmean

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

from rapidash.cli import main
from rapidash.report import _publish, publish, terminal_table, write_report
from rapidash.study import read_study, summarize
from tests.report._studies import small_record as record

NAMES = ("Aspen", "Birch", "Cedar", "Dogwood")
NEIGHBOR = {"Birch": "Aspen", "Cedar": "Aspen", "Dogwood": "Cedar"}
P = re.compile(r"p\s*(?:=|<)\s*[\d.]+")

Errors = dict[str, dict[int, float | None]]  # None: a run that failed


@contextmanager
def study_with(errors: Errors, small: Errors, *, factor: bool = False) -> Iterator[Path]:
    """A directory with the records of these errors, and of those at a tenth of the data, or at another width."""
    wide, narrow = ({"level": {"model.channels": width}} if factor else {} for width in (32, 8))
    with tempfile.TemporaryDirectory() as folder:
        records = Path(folder) / "toy" / "records"
        records.mkdir(parents=True)
        places = (({"fraction": 1.0, **wide}, errors), ({"fraction": 1.0 if factor else 0.1, **narrow}, small))
        for number, (config, found) in enumerate(places):
            for name, by_seed in found.items():
                for seed, error in by_seed.items():
                    variant = {"neighbor": NEIGHBOR.get(name), "knob": "one knob"}
                    status = {} if error is not None else {"status": "failed", "error": "ValueError: no"}
                    entry = record(name, seed, error or 0.0, variant=variant, config=config, **status)
                    entry["key"] = f"{name}{seed}{number}"
                    (records / f"{entry['key']}.json").write_text(json.dumps(entry))
        yield records.parent


class Cells(HTMLParser):
    """Texts of a page: its first paragraphs, and the cells of the table of variants."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.headlines: list[str] = []
        self.place: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given_attrs = dict(attrs)
        if tag == "tr":
            self.rows.append([])
        if tag in ("th", "td") and self.rows:
            self.rows[-1].append("")
            self.place = self.rows[-1]
        if tag == "p" and "headline" in str(given_attrs.get("class")):
            self.headlines.append("")
            self.place = self.headlines

    def handle_endtag(self, tag: str) -> None:
        if tag in ("tr", "p"):
            self.place = None

    def handle_data(self, data: str) -> None:
        if self.place is not None:
            self.place[-1] += f" {data}"


Said = tuple[str, dict[str, str]]  # the sentence on the best, and by name of the variant p against its neighbor


def normal(text: str) -> str:
    return " ".join(text.replace("**", "").split())


def in_terminal(text: str) -> Said:
    block = next((part for part in text.split("\n\n") if part.startswith("variant")), "")
    found = {}
    for line in block.splitlines()[2:]:
        name, p_value = line.split()[1], line.split("  ")[-1].strip()
        found[name] = "" if p_value == "–" else f"p {p_value}" if p_value.startswith("<") else f"p = {p_value}"
    return normal(text.partition("\n\n")[0]), found


def in_markdown(text: str) -> Said:
    text = html.unescape(text)
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if re.match(r"\| [A-D] ", line)]
    return normal(text.partition("Test error:")[0].partition("want?")[2]), {
        row[0].split()[1]: normal("".join(P.findall(row[4]))) for row in rows
    }


def on_page(text: str) -> Said:
    cells = Cells()
    cells.feed(text)
    rows = [row for row in cells.rows if len(row) == 9 and row[0].split()[:1] and row[0].split()[0] in "ABCD"]
    return normal(" ".join(cells.headlines)), {row[0].split()[1]: normal("".join(P.findall(row[4]))) for row in rows}


def in_published(text: str) -> Said:
    rows = re.findall(r"\* - [A-D] (\w+)((?:\n     - .*)+)", text)
    head = text.partition(".. figure")[0]
    return normal(head), {name: normal("".join(P.findall(cells))) for name, cells in rows}


def expected(errors: Errors) -> tuple[str | None, dict[str, str]]:
    """The winner and the adjusted p against each neighbor, by another route than the library's."""
    done = {name: {s: e for s, e in by_seed.items() if e is not None} for name, by_seed in errors.items()}
    done = {name: by_seed for name, by_seed in done.items() if by_seed}
    if not done:
        return None, {}
    most = max(len(by_seed) for by_seed in done.values())
    full = [name for name in NAMES if len(done.get(name, {})) == most]
    common = [seed for seed in range(9) if all(seed in done[name] for name in full)]
    means = [(fmean(done[name][seed] for seed in common or done[name]), NAMES.index(name)) for name in full]
    best = NAMES[min(means)[1]]
    pairs = [(a, b) for a, b in NEIGHBOR.items() if a in done and b in done] + [(a, best) for a in done if a != best]
    raw = {}
    for a, b in pairs:
        seeds = sorted(done[a].keys() & done[b].keys())
        if len(seeds) > 1:
            raw[tuple(sorted((a, b)))] = [done[max(a, b)][seed] - done[min(a, b)][seed] for seed in seeds]
    fewest = min((len(differences) for differences in raw.values()), default=0)
    by_flips = len(raw) * 2.0 ** (1 - fewest) <= 0.05
    values = [flips(differences) if by_flips else t_test(differences) for differences in raw.values()]
    adjusted = dict(zip(raw, stats.false_discovery_control(values) if values else [], strict=True))
    return best, {a: shown(adjusted.get(tuple(sorted((a, b))))) for a, b in NEIGHBOR.items()}


def t_test(differences: list[float]) -> float:
    if len({float(d) for d in differences}) == 1:
        return 0.0 if differences[0] else 1.0
    return float(stats.ttest_1samp(differences, 0).pvalue)


def flips(differences: list[float]) -> float:
    """The share of sign patterns whose sum is as far from zero as that of the differences."""
    sums = [0.0]
    for difference in differences:
        sums = [total + sign * difference for total in sums for sign in (1, -1)]
    return sum(abs(total) >= abs(sum(differences)) * (1 - 1e-12) - 1e-12 for total in sums) / len(sums)


def shown(value: float | None) -> str:
    if value is None:
        return ""
    return "p < 0.001" if value < 0.001 else f"p = {value:.{3 if value < 0.1 else 2}f}"


# values on a grid: the two routes then round a p-value alike, and errors are often equal
ERROR = st.one_of(st.none(), st.integers(1, 40).map(lambda n: n / 8))
BY_SEED = st.dictionaries(st.integers(0, 7), ERROR, max_size=8)
ERRORS = st.dictionaries(st.sampled_from(NAMES), BY_SEED, max_size=4)
FOUR = {0: 1.0, 1: 1.125, 2: 0.875, 3: 1.25}
DIFFERENT: Errors = {  # four comparisons of different p
    "Aspen": {**FOUR},
    "Birch": {0: 2.0, 1: 2.25, 2: 1.5, 3: 2.5},
    "Cedar": {0: 1.5, 1: 1.125, 2: 1.75, 3: 1.375},
    "Dogwood": {0: 1.25, 1: 2.0, 2: 1.125, 3: 1.0},
}


@settings(max_examples=25, deadline=None)
@given(ERRORS, ERRORS)
@example({"Aspen": FOUR, "Birch": {0: 0.5}, "Cedar": {0: 0.75, 1: 1.0, 2: 0.875, 3: 1.125}}, {})
@example({"Aspen": {s: 1.0 + s for s in range(7)}, "Birch": {s: 3.0 + 2 * s for s in range(7)}}, {"Birch": {0: 0.125}})
@example({name: {0: 1.0, 1: 1.0} for name in NAMES}, {})
@example(DIFFERENT, {})
def test_all_say_the_same(errors: Errors, small: Errors) -> None:
    with study_with(errors, small) as directory, pytest.MonkeyPatch.context() as patch:
        patch.setattr(_publish, "figure", lambda _, path: path)
        page = write_report(directory).read_text(encoding="utf-8")
        markdown = (directory / "table.md").read_text(encoding="utf-8")
        terminal = terminal_table(summarize(read_study(directory)))
        published = publish(directory, directory / "table.rst")[0].read_text(encoding="utf-8")
        at = read_study(directory).fraction
    said = [in_terminal(terminal), in_markdown(markdown), on_page(page), in_published(published)]
    at_largest = errors if at == 1.0 else small
    best, p_values = expected(at_largest)
    for head, found in said:
        if best is None:
            assert "wins" not in head
            assert "lowest" not in head
        else:
            alone = f"{best} is the only variant with a finished run"
            assert re.search(rf"{best} (wins over|has the lowest)|{alone}", head), head
        assert {name: p for name, p in found.items() if p} == {name: p for name, p in p_values.items() if p}
    assert max(map(len, terminal.splitlines())) <= 120


def by_letter(text: str) -> dict[str, str]:
    """By letter of a row, the p against its neighbor, in any of the four tables; empty where there is none."""
    if text.startswith("<"):
        cells = Cells()
        cells.feed(text)
        rows = [row for row in cells.rows if len(row) > 8 and re.match(r"\s*[A-H]\s", row[0])]
        return {row[0].split()[0]: normal("".join(P.findall(row[-5]))) for row in rows}
    if "list-table" in text:
        found = re.findall(r"\* - ([A-H]) .*((?:\n     - .*)+)", text)
    else:
        found = re.findall(r"^\| ([A-H]) (.*)$", html.unescape(text), re.MULTILINE)
    return {letter: normal("".join(P.findall(cells)[:1])) for letter, cells in found}


@settings(max_examples=15, deadline=None)
@given(ERRORS, ERRORS)
@example(DIFFERENT, {name: {seed: 2 * error for seed, error in found.items()} for name, found in DIFFERENT.items()})
@example({"Aspen": FOUR}, {"Birch": {0: 0.5}})
@example({"Aspen": {2: 4.25, 3: 3.25}, "Birch": {2: 2.0, 3: 1.0}}, {})  # p = 0, "< 0.001" in every text
def test_all_say_the_same_at_every_level_of_a_factor(errors: Errors, other: Errors) -> None:
    with study_with(errors, other, factor=True) as directory, pytest.MonkeyPatch.context() as patch:
        patch.setattr(_publish, "figure", lambda _, path: path)
        page = write_report(directory).read_text(encoding="utf-8")
        markdown = (directory / "table.md").read_text(encoding="utf-8")
        summary = summarize(read_study(directory))
        terminal = terminal_table(summary)
        published = publish(directory, directory / "table.rst")[0].read_text(encoding="utf-8")
    p_values = {32: expected(errors)[1], 8: expected(other)[1]}
    wanted = {row.letter: p_values[row.level["model.channels"]].get(row.variant, "") for row in summary.variants}
    block = next((part for part in terminal.split("\n\n") if part.startswith("variant")), "")
    lines = [(line.split()[0], line.split("  ")[-1].strip()) for line in block.splitlines()[2:]]
    said = {name: "" if p == "–" else f"p {p}" if p.startswith("<") else f"p = {p}" for name, p in lines}
    assert {name: p for name, p in said.items() if p} == {name: p for name, p in wanted.items() if p}
    for text in (markdown, page, published):
        assert {name: p for name, p in by_letter(text).items() if p} == {name: p for name, p in wanted.items() if p}
    if summary.best is not None:
        for head in (in_terminal(terminal)[0], in_markdown(markdown)[0], on_page(page)[0], in_published(published)[0]):
            assert re.search(rf"{summary.best.name} (wins over|has the lowest|is the only)", head), head


def test_the_command_says_what_the_page_says(capsys: pytest.CaptureFixture[str]) -> None:
    """One finished seed of the best, four of the others: it does not win, in the terminal either."""
    errors: Errors = {"Aspen": dict(FOUR), "Birch": {0: 0.5}, "Cedar": {0: 0.75, 1: 1.0, 2: 0.875, 3: 1.125}}
    with study_with(errors, {}) as directory:
        assert main(["report", str(directory)]) == 0
        page = (directory / "report.html").read_text(encoding="utf-8")
    said = in_terminal(capsys.readouterr().out), on_page(page)
    assert said[0][1] == said[1][1]
    assert sorted(said[0][0].split()) == sorted(said[1][0].split())  # the page folds what is not clear, at the end
    assert "Cedar has the lowest mean over 4 seeds" in said[0][0]
    assert "Fewer seeds, and so no winner whatever the mean: Birch (1 seed)" in said[0][0]
