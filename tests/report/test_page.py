"""The page as text: it renders whatever the study holds, escapes it, and refers to nothing outside itself."""

import html
import json
import re
from html.parser import HTMLParser
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from rapidash.registry import SECTIONS
from rapidash.report import Section, write_report
from rapidash.report._provenance import settings
from rapidash.study import Run
from tests.report._studies import WriteStudy, make_record, make_study

VOID = {"meta", "link", "br", "hr", "img", "input"}
FOREIGN = {"line", "circle", "path"}  # closed in place


class Page(HTMLParser):
    """Tags that do not nest, identifiers, and addresses that point outside."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.faults: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("src", "href", "action", "srcset", "poster"):
                self.addresses.append(value or "")
            if name.startswith("on"):
                self.faults.append(f"inline handler {name}")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> closes something else")

    def handle_data(self, data: str) -> None:
        if not {"script", "style"} & set(self.open):
            self.text.append(data)


def outside(text: str) -> list[str]:
    """Everything in a page that would be fetched from elsewhere."""
    fetched = re.findall(r"""(?:@import|url\(|fetch\(|XMLHttpRequest|WebSocket|import\()[^;\n]{0,60}""", text)
    return fetched + [a for a in Page(text).addresses if not a.startswith(("#", "data:"))]


def read(directory: Path) -> tuple[str, Page]:
    text = write_report(directory).read_text(encoding="utf-8")
    return text, Page(text)


def partial_studies() -> dict[str, tuple[list[dict[str, Any]], dict[str, Any] | None]]:
    records, design = make_study()
    failed = [r | {"status": "failed", "test_error": None, "error": "OSError: x", "history": []} for r in records]
    config = {"variant": {"name": "bare"}, "seed": 0}
    bare = {"schema": 1, "key": "k", "status": "done", "test_error": 0.5, "config": config}
    diverged = [r | {"test_error": float("inf"), "val_error": float("nan")} for r in records[:3]]
    zero = [r | {"test_error": 0.0, "test_error_rotated": 0.0, "seconds_per_step": 0.0} for r in records]
    exact = [r | {"equivariance": {"group": "SO(3)", "before": {"mean": 0.0}, "after": {"mean": 0.0}}} for r in records]
    return {
        "no record": ([], design),
        "one run": (records[:1], None),
        "one variant": (records[:3], None),
        "one seed": make_study(seeds=(4,)),
        "no design": (records, None),
        "some missing": (records[:7], design),
        "all failed": (failed, design),
        "one failed": ([*records[:-1], failed[-1]], design),
        "diverged": ([*records[3:], *diverged], design),
        "hardly a record": ([bare], None),
        "no history": ([record | {"history": []} for record in records], design),
        "errors of zero": (zero, design),
        "exactly equivariant": (exact, design),
        "odd design": (records, {"variants": "none", "seeds": 3, "fractions": None, "train": None}),
        "many variants": ([_renamed(records[i % 18], f"variant {i}") for i in range(40)], None),
        "two fractions": make_study(fractions=(1.0, 0.1)),
    }


def _renamed(record: dict[str, Any], name: str) -> dict[str, Any]:
    config = record["config"]
    return record | {"config": config | {"variant": config["variant"] | {"name": name}}}


@pytest.mark.parametrize("case", partial_studies())
def test_a_study_renders_in_every_state(write_study: WriteStudy, case: str) -> None:
    records, design = partial_studies()[case]
    text, page = read(write_study(records, design))
    assert page.faults == []
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    assert outside(text) == []
    shown = " ".join(page.text)
    assert not re.search(r"\b(nan|inf|None|Undefined)\b", shown)
    assert len(text) < 1_500_000
    embedded = re.search(r'<script type="application/json" id="records">(.*?)</script>', text, re.DOTALL)
    assert embedded is not None
    assert len(json.loads(embedded[1], parse_constant=pytest.fail)["records"]) == len(records)


def test_the_checks_of_the_page_reject_what_they_must() -> None:
    assert Page("<p><b>x</p></b>").faults
    assert Page("<p onclick='x'>").faults
    assert Page("<p>").open == ["p"]
    assert outside('<script src="https://cdn.example/x.js"></script>')
    assert outside("<style>@import 'x.css'</style>")
    assert outside("<style>p { background: url(https://x/y.png) }</style>")


def test_text_of_a_record_is_never_markup(write_study: WriteStudy) -> None:
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'&{{ 7*7 }}"
    record = make_record("E(3) on R3", 0)
    record["config"]["variant"] |= {"name": evil, "knob": evil, "neighbor": evil}
    record |= {"metric": evil, "unit": evil, "device": evil, "commit": evil, "versions": {evil: evil}, "key": evil}
    record["symmetry"] |= {"layers": evil, "effective": evil, "reasons": [evil]}
    record["equivariance"]["group"] = evil
    failed = make_record("E(3) on R3xS2", 1) | {"status": "failed", "error": evil, "test_error": None}
    design = {"task": evil, "setting": evil}
    directory = write_study([record, failed], design)
    (directory / "records" / "bad<img src=x>.json").write_text("{")
    text, page = read(directory)
    assert page.faults == []
    assert page.open == []
    assert "<img" not in text
    assert "alert(1)</script>" not in text
    assert text.count("<script") == 3
    assert evil in " ".join(page.text)
    table = (directory / "table.md").read_text()
    assert "<img" not in table
    assert "<script" not in table


def test_the_page_shows_every_seed_and_every_number(write_study: WriteStudy) -> None:
    records, design = make_study()
    text, page = read(write_study(records, design))
    shown = " ".join(page.text)
    for record in records:
        seed, error = record["config"]["seed"], record["test_error"]
        assert f"seed {seed}: {error:.3g}"[:12] in text
    assert "a constant frame does not turn with the cloud" in shown
    assert "178\u202f432" in shown
    assert records[0]["commit"][:12] in shown


def test_the_embedded_records_are_the_records(write_study: WriteStudy) -> None:
    records, design = make_study()
    text, _ = read(write_study(records, design))
    embedded = re.search(r'id="records">(.*?)</script>', text, re.DOTALL)
    assert embedded is not None
    content = json.loads(embedded[1])
    assert content["records"] == records
    assert content["study"] == design


def test_the_same_records_give_the_same_page(write_study: WriteStudy) -> None:
    directory = write_study(*make_study())
    assert read(directory)[0] == read(directory)[0]


def test_the_table_has_a_row_per_variant_and_survives_a_pipe(write_study: WriteStudy) -> None:
    records, design = make_study()
    records[0]["symmetry"]["effective"] = "a|b"
    directory = write_study(records, design)
    write_report(directory)
    table = (directory / "table.md").read_text(encoding="utf-8")
    rows = [line for line in table.splitlines() if line.startswith("| ")]
    assert len(rows) == 2 + 6
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {10}


def test_a_failed_write_keeps_the_earlier_report(write_study: WriteStudy, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = write_study(*make_study())
    path = write_report(directory)
    before = path.read_bytes()

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_report(directory)
    assert path.read_bytes() == before
    assert sorted(p.name for p in directory.iterdir()) == ["records", "report.html", "study.json", "table.md"]


def luminance(color: str) -> float:
    """Relative luminance of WCAG 2.1."""
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    high, low = sorted((luminance(first), luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def palettes() -> list[dict[str, str]]:
    """The colors of the light, the dark and the printed page."""
    style = resources.files("rapidash.report").joinpath("templates", "style.css").read_text()
    return [
        dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block)) for block in re.findall(r":root \{(.*?)\}", style, re.S)
    ]


@pytest.mark.parametrize("index", [0, 1, 2], ids=["light", "dark", "print"])
def test_text_has_the_contrast_that_wcag_asks_for(index: int) -> None:
    found = palettes()
    assert len(found) == 3
    colors = found[0] | found[index]
    pairs = [(ink, "paper") for ink in ("ink", "soft", "accent", "bad", "good", *(f"c{i}" for i in range(8)))]
    pairs += [("on-badge", f"c{i}") for i in range(8)] + [("ink", "warn-paper"), ("ink", "panel"), ("soft", "panel")]
    low = {pair: contrast(colors[pair[0]], colors[pair[1]]) for pair in pairs}
    assert {pair: value for pair, value in low.items() if value < 4.5} == {}
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)
    assert contrast("#999999", "#ffffff") < 4.5  # the measure rejects a gray that is too light


def test_settings_tell_numbers_from_truth_values() -> None:
    run = Run({"config": {"train": {"steps": 1, "warmup_steps": 0, "threads": None}, "task_options": {"mirror": True}}})
    assert list(settings(run).values()) == ["1", "0", "none", "yes"]


def test_the_page_begins_with_what_each_knob_does(write_study: WriteStudy) -> None:
    """Title, the clear differences, the best, and folded those that are not clear: a sentence per knob."""
    page = write_report(write_study(*make_study())).read_text(encoding="utf-8")
    first = re.sub(r"<[^>]*>", "", html.unescape(page.partition("<header>")[2])).strip().splitlines()[:5]
    assert first[0] == "Which symmetry does nbody want?"
    rotations = "Rotations of the training samples (T(3) on R3 → T(3) on R3 + rotations): lowers the error, 0.62×"
    assert first[1].startswith(rotations)
    assert "E(3) on R3xS2 + global frame has the lowest mean over 3 seeds" in first[2]
    assert first[3] == "Also: what made no clear difference"
    assert (
        "A constant frame as further input (E(3) on R3xS2 → E(3) on R3xS2 + global frame): no clear difference"
        in (first[4])
    )
    assert sum(line.count(" → ") for line in first) == 5


def test_a_section_that_raises_is_named_and_the_rest_is_written(
    write_study: WriteStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = {
        "good": lambda summary: Section(
            "Mine", f"{len(summary.variants)} variants", ("a", "b"), [("1|", "<2>")], ("note",)
        ),
        "uneven": lambda summary: Section("Uneven", head=("a",), rows=[("1", "2")]),
        "silent": lambda summary: None,
        "text": lambda summary: "a text",
    }
    monkeypatch.setattr(SECTIONS, "_entries", entries)
    page = write_report(write_study(*make_study())).read_text(encoding="utf-8")
    assert "<h2>Mine</h2>" in page
    assert "<td>&lt;2&gt;</td>" in page
    care = html.unescape(page.partition("Read with care")[2].partition("</section>")[0])
    assert (
        "The section 'uneven' of another package is left out: ValueError: rows of the section 'Uneven' need 1" in care
    )
    assert "'text' of another package is left out: TypeError: it returned str, expected" in care
    assert "silent" not in care
