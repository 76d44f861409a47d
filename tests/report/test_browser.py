"""The page in a real browser: nothing is fetched, nothing is logged, nothing overflows, and the controls work."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from rapidash.report import write_report
from rapidash.report._contents import contents
from rapidash.study import read_study, summarize
from tests.report._studies import WriteStudy, make_record, make_study

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="needs chromium: apt-get install chromium")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-component-update",
    "--disable-background-networking", "--disable-sync", "--allow-file-access-from-files", "--window-size=1400,900",
    "--enable-logging=stderr", "--virtual-time-budget=4000", "--dump-dom",
)  # fmt: skip

HARNESS = """<!doctype html><meta charset="utf-8">
<iframe id="frame" src="{url}" style="width:{width}px;height:800px;border:0;color-scheme:{scheme}"></iframe>
<script id="result" type="text/plain"></script>
<script>
document.getElementById("frame").addEventListener("load", (event) => {{
  const view = event.target.contentWindow, page = view.document;
  const all = (selector) => [...page.querySelectorAll(selector)];
  const result = {{}};
  try {{ {probe} }} catch (error) {{ result.thrown = String(error); }}
  document.getElementById("result").textContent = JSON.stringify(result);
}});
</script>"""

MEASURE = """
result.width = page.documentElement.scrollWidth;
result.fetched = view.performance.getEntriesByType("resource").map((entry) => entry.name);
result.background = view.getComputedStyle(page.body).backgroundColor;
result.wide = all("body *").filter((e) => !e.closest(".scroll, .hidden, .skip, svg, thead, .continued")
  && e.getBoundingClientRect().right > view.innerWidth + 1).map((e) => e.tagName + "." + e.className);
"""

CONTROLS = """
const names = () => all("#variants tbody th .name > span:not(.badge)").map((e) => e.firstChild.textContent.trim());
const heads = all("#variants thead button");
result.unsorted = names();
heads[2].click();
result.ascending = names();
result.aria = heads[2].parentElement.getAttribute("aria-sort");
heads[2].click();
result.descending = names();
const select = page.getElementById("sort-select");
select.value = "7";
select.dispatchEvent(new view.Event("change"));
result.byTime = names();
const saved = [];
const sizes = [];
view.URL.createObjectURL = (blob) => { sizes.push([blob.type, blob.size]); return "blob:none"; };
view.HTMLAnchorElement.prototype.click = function () { saved.push(this.download); };
page.getElementById("save-json").click();
for (const button of all(".files .save")) button.click();
result.saved = saved;
result.sizes = sizes;
result.legends = all(".legend").length;
page.querySelector(".legend li").dispatchEvent(new view.PointerEvent("pointerenter"));
result.dimmed = all(".chart.xy").map((chart) => chart.querySelectorAll(".values .dim").length);
page.querySelector(".legend li").dispatchEvent(new view.PointerEvent("pointerleave"));
result.lit = all(".dim").length;
Object.defineProperty(view.navigator, "clipboard", { value: { writeText: (text) => { result.copied = text; } } });
page.querySelector('[data-copy="citation"]').click();
const mark = page.querySelector("[data-tip]");
mark.dispatchEvent(new view.PointerEvent("pointerover", { bubbles: true, clientX: 50, clientY: 300 }));
result.tip = page.getElementById("tip").hidden ? "" : page.getElementById("tip").textContent;
const plot = page.querySelector("[data-readout]"), box = plot.getBoundingClientRect();
const at = { bubbles: true, clientX: box.right - 1, clientY: box.top + 9 };
plot.dispatchEvent(new view.PointerEvent("pointermove", at));
result.readout = page.getElementById("tip").textContent;
view.dispatchEvent(new view.Event("beforeprint"));
result.closed = all("details.why:not([open])").length;
result.definitions = page.querySelector(".definitions").closest("details").open;
"""


def browse(page: Path, probe: str, *, width: int = 1280, scheme: str = "light") -> tuple[dict[str, Any], list[str]]:
    """What the probe found in the page, and what the browser logged to its console."""
    harness = page.parent / f"harness-{width}-{scheme}.html"
    harness.write_text(HARNESS.format(url=page.as_uri(), width=width, scheme=scheme, probe=probe), encoding="utf-8")
    command = [str(BROWSER), *FLAGS, f"--user-data-dir={page.parent / 'profile'}", harness.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r'<script id="result" type="text/plain">(.*?)</script>', done.stdout, re.DOTALL)
    assert found is not None, done.stderr[-2000:]
    assert found[1], "the page did not load"
    return json.loads(found[1]), re.findall(r"CONSOLE.*", done.stderr)


@pytest.fixture
def page(write_study: WriteStudy) -> Path:
    records, design = make_study(fractions=(1.0, 0.1))
    records[4] |= {"status": "failed", "test_error": None, "error": "RuntimeError: loss is NaN at step 812"}
    return write_report(write_study(records[:-1], design))


@pytest.mark.parametrize(("width", "scheme"), [(375, "light"), (1280, "dark"), (800, "light")])
def test_the_page_fits_its_width_and_fetches_nothing(page: Path, width: int, scheme: str) -> None:
    result, console = browse(page, MEASURE, width=width, scheme=scheme)
    assert console == []
    assert "thrown" not in result
    assert result["fetched"] == []
    assert result["wide"] == []
    assert result["width"] <= width
    assert result["background"] == ("rgb(19, 22, 26)" if scheme == "dark" else "rgb(255, 255, 255)")


def test_long_names_do_not_widen_the_page(write_study: WriteStudy) -> None:
    record = make_record("E(3) on R3", 0)
    record["config"]["variant"] |= {"name": "x" * 120, "knob": "y" * 90}
    record["symmetry"]["effective"] = "SO(3)" * 9
    record["device"] = "z" * 100
    record["metric"] = "w" * 80
    result, console = browse(write_report(write_study([record])), MEASURE, width=375)
    assert (result["wide"], console) == ([], [])
    assert result["width"] <= 375


def test_the_controls_work(page: Path) -> None:
    result, console = browse(page, CONTROLS)
    assert console == []
    assert "thrown" not in result
    assert result["ascending"] == result["descending"][::-1]
    assert sorted(result["ascending"]) == sorted(result["unsorted"])
    assert result["ascending"][-1] == "T(3) on R3"
    assert result["aria"] == "ascending"
    assert result["byTime"][0] == "E(3) on R3"
    files = contents(summarize(read_study(page.parent))).files
    assert result["saved"] == ["nbody-records.json", *(f"nbody-{name}" for name in files)]
    assert [size for _, size in result["sizes"][1:]] == [len(text.encode()) for text in files.values()]
    assert dict(result["sizes"]).keys() >= {"application/json", "image/svg+xml", "text/csv;charset=utf-8"}
    assert result["legends"] == 1
    assert result["dimmed"] == [5] * 5  # learning curves, data, and three costs: all but the variant under the pointer
    assert result["lit"] == 0
    assert result["copied"].startswith("@inproceedings{")
    assert "E(3) on R3xS2" in result["tip"]
    assert result["readout"].startswith("step 2000")
    assert result["closed"] == 0
    assert result["definitions"] is True


def test_the_views_of_a_variant_stay_below_it_and_fit_a_phone(write_study: WriteStudy) -> None:
    records, design = make_study()
    for record in records:
        if record["config"]["variant"]["name"] in ("E(3) on R3", "T(3) on R3"):
            record["test_error_tta"] = 0.9 * record["test_error"]
    page = write_report(write_study(records, design))
    order = """
    page.querySelectorAll("#variants thead button")[2].click();
    const mark = (row) => row.dataset.variant + (row.className.includes("view") ? "v" : "");
    result.rows = all("#variants tbody tr").map(mark);
    """
    result, console = browse(page, order)
    assert console == []
    assert "thrown" not in result
    rows = "".join(result["rows"])
    assert "11v" in rows
    assert "33v" in rows
    assert len(result["rows"]) == 8
    narrow, _ = browse(page, MEASURE, width=375)
    assert narrow["wide"] == []


def test_the_probe_sees_a_fetch_an_error_and_an_overflow(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    broken = text.replace("<header>", '<img src="http://localhost:9/x.png"><p style="width:3000px">wide</p><header>')
    page.write_text(broken.replace('"use strict";', "missing();"), encoding="utf-8")
    result, console = browse(page, MEASURE, width=375)
    assert any("Content Security Policy" in line for line in console)
    assert any("missing is not defined" in line for line in console)
    assert result["wide"]
    assert result["width"] > 375
