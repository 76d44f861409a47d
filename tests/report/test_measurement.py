"""The page about one model: what it says, and what it does in a browser at the widths of a phone and a desk."""

import re
from pathlib import Path

import pytest
import torch

from rapidash._seed import seeded
from rapidash.data import CloudBatch, Field
from rapidash.groups import SE, Position, Scalar, Vector
from rapidash.measure import Action, Report, SeverityCurve, as_module, local_equivariance_error, portrait
from rapidash.methods import Variant
from rapidash.models import RapidashConfig
from rapidash.report import _format as fmt
from rapidash.report._measured_run import measure_run
from rapidash.report._measurement import _bars, color, measurement_page, write_measurement
from rapidash.study import RunConfig, TrainedRun
from rapidash.tasks import get_task
from rapidash.train import TrainConfig
from tests.report.test_browser import BROWSER, browse

SMALL = {"num_axes": 2, "num_yaws": 8, "num_pitches": 5, "map_rows": 4, "num_clouds": 2}

PROBE = """
result.width = page.documentElement.scrollWidth;
const isWide = (e) => !e.closest(".scroll, svg") && e.getBoundingClientRect().right > view.innerWidth + 1;
result.wide = all("body *").filter(isWide).map((e) => e.tagName + "." + e.className);
result.fetched = view.performance.getEntriesByType("resource").map((entry) => entry.name);
const read = () => page.getElementById("relative").textContent;
const pixels = () => page.getElementById("cloud").toDataURL();
result.atWorst = read();
const before = pixels();
page.getElementById("reset").click();
result.atRest = read();
result.redrawn = pixels() !== before && before.length > 2000;
const canvas = page.getElementById("cloud");
const event = (type, x, y) => new view.PointerEvent(type, { bubbles: true, clientX: x, clientY: y, pointerId: 1 });
const at = (type, x, y) => canvas.dispatchEvent(event(type, x, y));
at("pointerdown", 100, 100); at("pointermove", 190, 100); at("pointerup", 190, 100);
result.dragged = [page.getElementById("yaw-value").textContent, read()];
at("pointermove", 400, 100);
result.released = page.getElementById("yaw-value").textContent;
canvas.dispatchEvent(new view.KeyboardEvent("keydown", { key: "ArrowLeft", bubbles: true }));
result.byKey = page.getElementById("yaw-value").textContent;
const yaw = page.getElementById("yaw");
yaw.value = 90; yaw.dispatchEvent(new view.Event("input"));
result.bySlider = read();
const which = page.getElementById("which");
which.value = "1"; which.dispatchEvent(new view.Event("change"));
result.other = read();
"""


def squares(cloud: CloudBatch) -> torch.Tensor:
    return cloud.pos.square()


def batch(dim: int = 3) -> CloudBatch:
    pos = torch.randn(9, dim, generator=seeded(0), dtype=torch.float64)
    return CloudBatch({"pos": pos}, {"pos": Field(Position(), "nm")}, torch.tensor([0] * 5 + [1] * 4), 2)


def drawn(dim: int = 3, model: object = squares) -> object:
    action = Action(SE(3) if dim == 3 else SE(2), outputs=Field(Vector(), "nm"))
    layers = Report("layers", ({"layer": "<first>", "class": "Linear", "contribution": 0.2, "share": 1.0},))
    tables = (local_equivariance_error(model, batch(dim), action).report(), layers)
    return portrait(model, batch(dim), action, title="a <b> & c", facts={"Task": "toy"}, tables=tables, **SMALL)


def test_the_page_says_what_was_measured_and_refers_to_nothing_outside() -> None:
    page = measurement_page(drawn())
    assert "a &lt;b&gt; &amp; c" in page
    assert "&lt;first&gt;" in page
    assert "rotation about x" in page
    largest = max(drawn().curve.high)
    assert f"up to {fmt.relative_error(largest)} of its size (at 180°, over 2 clouds)." in page
    assert not re.search(r"https?://(?!www\.w3\.org)|src=|@import", page)
    exact = measurement_page(drawn(model=lambda cloud: 3 * cloud.pos))
    assert "equivariant to rounding" in exact
    assert '"largest": 0.0' in exact  # rounding is not blown up to a colorful map


def test_colors_run_from_first_to_last() -> None:
    assert color(0.0) == color(-1.0) == "#30123b"
    assert color(1.0) == color(2.0) == "#7a0403"
    assert color(0.5) == "#a2fc3c"


@pytest.mark.skipif(BROWSER is None, reason="needs chromium: apt-get install chromium")
@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1280, "dark")])
def test_the_cloud_turns_in_a_browser(tmp_path: Path, width: int, scheme: str) -> None:
    path = write_measurement(drawn(), tmp_path / "measure.html")
    result, console = browse(path, PROBE, width=width, scheme=scheme)
    assert "thrown" not in result, result
    assert console == []
    assert result["wide"] == []
    assert result["width"] <= width
    assert result["fetched"] == []
    assert result["atRest"] == "0"
    assert float(result["atWorst"]) > 0.5
    assert result["redrawn"]
    assert result["dragged"][0] == "45°"
    assert float(result["dragged"][1]) > 0.1
    assert result["released"] == "45°"
    assert result["byKey"] == "40°"
    quarter = torch.tensor([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]], dtype=torch.float64)
    for entry, pos in (("bySlider", batch().pos[:5]), ("other", batch().pos[5:])):
        change = (pos @ quarter.T).square() @ quarter - pos.square()
        assert float(result[entry]) == pytest.approx(float(change.norm() / pos.square().norm()), rel=0.02)


@pytest.mark.skipif(BROWSER is None, reason="needs chromium: apt-get install chromium")
def test_clouds_of_the_plane_have_a_polar_plot(tmp_path: Path) -> None:
    path = write_measurement(drawn(2), tmp_path / "measure.html")
    probe = """
    result.pitch = page.getElementById("pitch") === null;
    result.circles = all("svg.curve circle.grid").length;
    result.map = all("svg.map").length;
    page.getElementById("yaw").value = 45; page.getElementById("yaw").dispatchEvent(new view.Event("input"));
    result.relative = page.getElementById("relative").textContent;
    """
    result, console = browse(path, probe, width=390)
    assert console == []
    assert result["pitch"]
    assert result["circles"] == 2
    assert result["map"] == 0
    assert float(result["relative"]) > 0.1


@pytest.mark.skipif(BROWSER is None, reason="needs chromium: apt-get install chromium")
@pytest.mark.parametrize("width", [375, 1280])
def test_contributions_of_points_and_errors_by_severity_in_a_browser(tmp_path: Path, width: int) -> None:
    def total(cloud: CloudBatch) -> torch.Tensor:
        return torch.zeros(2, 1).double().index_add(0, cloud.batch, cloud.pos[:, :1])

    curves = [SeverityCurve(name, (0.1, 0.1, 0.2, 0.2, 0.3, 0.4), (0.0, *[0.02] * 5)) for name in ("jitter", "rotate")]
    action = Action(SE(3), outputs=Field(Scalar(), "eV", level="cloud"))
    drawn = portrait(total, batch(), action, title="sum", severity=curves, metric="error rate (%)", **SMALL)
    probe = """
    result.width = page.documentElement.scrollWidth;
    const isWide = (e) => !e.closest(".scroll, svg") && e.getBoundingClientRect().right > view.innerWidth + 1;
    result.wide = all("body *").filter(isWide).map((e) => e.tagName + "." + e.className);
    result.panels = all(".severity svg").length;
    result.ends = all(".severity h3 small").map((e) => e.textContent);
    const pixels = () => page.getElementById("cloud").toDataURL();
    const worst = pixels();
    const read = (name) => page.getElementById(name).textContent;
    const yaw = page.getElementById("yaw"), pitch = page.getElementById("pitch");
    pitch.value = 0; pitch.dispatchEvent(new view.Event("input"));
    yaw.value = 180; yaw.dispatchEvent(new view.Event("input"));
    result.half = ["rms", "largest", "bottom", "top"].map(read);
    page.getElementById("reset").click();
    result.rest = ["rms", "largest"].map(read);
    result.redrawn = pixels() !== worst;
    """
    result, console = browse(write_measurement(drawn, tmp_path / "measure.html"), probe, width=width)
    assert "thrown" not in result, result
    assert (console, result["wide"]) == ([], [])
    assert result["width"] <= width
    assert result["panels"] == 2
    assert "but for 0\N{NO-BREAK SPACE}% of it" in measurement_page(drawn)  # linear: the integral is exact
    assert result["ends"] == ["0.100 \N{RIGHTWARDS ARROW} 0.400"] * 2
    assert result["redrawn"]
    x = batch().pos[:5, 0]  # half a turn about y: x goes to -x
    share = -2 * x * torch.sign(-x.sum())
    assert float(result["half"][0].split()[0]) == pytest.approx(2 * abs(float(x.sum())), rel=0.02)
    shown = float(result["half"][1].split()[0].replace("\N{MINUS SIGN}", "-"))
    assert shown == pytest.approx(float(share[share.abs().argmax()]), rel=0.02)
    assert result["half"][2] == "\N{MINUS SIGN}" + result["half"][3]
    assert result["rest"] == ["0 eV", "0 eV"]


def test_a_trained_run_is_measured_with_its_layers() -> None:
    sizes = {"channels": 8, "num_layers": 1, "basis_dim": 8, "basis_hidden_dim": 8}
    variant = Variant("E(3) on R3xS2", RapidashConfig(symmetry="E(3)", space="R3xS2", num_orientations=4, **sizes))
    options = {"num_train": 4, "num_val": 4, "num_test": 4}
    task = get_task("nbody", **options)
    torch.manual_seed(0)
    config = RunConfig("nbody", variant, 0, TrainConfig(), 1.0, options)
    result = measure_run(TrainedRun(config, task, task.build(variant).eval()), num_clouds=3, num_elements=2)
    errors, cost, generators, layers, severity = result.tables
    by_group = {row["group"]: row["mean"] for row in errors.rows}
    assert by_group["T(3)"] < 1e-10
    assert by_group["SO(3)"] > 1e-6
    assert len(generators.rows) == 6
    assert layers.rows[-1]["layer"] == "total"
    assert result.has_point_outputs
    before, after = result.spectra
    assert [spectrum.metadata["moment"] for spectrum in result.spectra] == ["before training", "after training"]
    assert [row["layer"].split(".")[-1] for row in after.rows] == ["embedding", "0", "readout", "output"]
    for row in after.rows:
        assert sum(row[name] for name in ("0e", "0o", "1e", "1o", "2e", "2o", "rest")) == pytest.approx(1)
    assert after.rows[-1]["1o"] > 0.5  # positions, by a network that is equivariant but for its grid of 4 orientations
    assert after.rows[-1]["breaking"] >= after.rows[-1]["outside"] > 1e-6
    assert before.rows[-1]["1o"] != after.rows[-1]["1o"]
    with pytest.raises(ValueError, match="num_clouds"):
        measure_run(TrainedRun(config, task, task.build(variant)), num_clouds=0)
    page = measurement_page(result)
    assert "Where equivariance is lost" in page
    assert "What the layers hold" in page
    assert "<h3>before training</h3>" in page
    (figures,) = cost.rows
    assert figures["group"] == "SO(3)"
    assert f") is {fmt.number(figures['symmetry error / error'])} [" in result.sentences[0]
    assert f"move by {fmt.number(figures['moved'])} length" in result.sentences[1]
    assert f"error of {fmt.number(figures['error'])} length²" in result.sentences[1]
    assert len(result.sentences) == 4
    assert f'<p class="meaning">{" ".join(result.sentences)}</p>'.replace('"SO(3)"', "&#34;SO(3)&#34;") in page
    assert result.facts["Measured on"] == "the first 3 of 4 validation clouds, seed 0 of the motions"
    assert "num_val 4" in result.facts["Task"]
    for part in ("3 validation clouds can be turned", "Mean over 3 validation clouds", "Over 3 validation clouds"):
        assert part in page
    assert "length per radian" in page
    assert layers.rows[-1]["share"] == pytest.approx(sum(row["share"] for row in layers.rows[:-1]))
    assert errors.metadata["unit of the output norm"] == "length"
    assert not re.search(
        r"[-\N{MINUS SIGN}]0(?![.\d])", re.sub(r"<(script|style|svg).*?</\1>", "", page, flags=re.DOTALL)
    )
    assert [row["corruption"] for row in severity.rows] == ["jitter", "rotate"]
    assert "Error against severity" in page


def layers(*shares: float | None) -> Report:
    rows = [{"layer": f"{index}", "class": "Linear", "contribution": 3.0, "share": s} for index, s in enumerate(shares)]
    total = {"layer": "total", "contribution": 2.0, "share": 1.0}
    return Report("layers", (*rows, total), {"clouds": 8, "unit": "nm per radian"})


def test_bars_are_the_shares_from_a_common_zero_and_add_up() -> None:
    found = _bars(layers(0.75, 0.5, -0.25, -1e-17))
    assert found["zero"] == 25  # the bars reach from -25 % to 75 %
    assert [(bar["left"], bar["width"], bar["sign"]) for bar in found["bars"]] == [
        (25, 75, "more"), (25, 50, "more"), (0, 25, "less"), (25, pytest.approx(0), "less"),
    ]  # fmt: skip
    assert [bar["value"].replace("\N{NO-BREAK SPACE}", " ") for bar in found["bars"]] == [
        "75 %", "50 %", "\N{MINUS SIGN}25 %", "0 %",
    ]  # fmt: skip
    assert found["total"].startswith("100")
    assert {bar["size"] for bar in found["bars"]} == {"3.00"}
    assert (found["total_size"], found["clouds"], found["unit"]) == ("2.00", 8, "nm per radian")


def test_bars_without_shares_are_sizes() -> None:
    rows = tuple({"layer": name, "contribution": size} for name, size in (("a", 1.0), ("b", 4.0), ("total", 2.0)))
    found = _bars(Report("layers", rows))
    assert [(bar["left"], bar["width"], bar["value"], bar["size"]) for bar in found["bars"]] == [
        (0, 25, "1.00", ""), (0, 100, "4.00", ""),
    ]  # fmt: skip
    assert (found["zero"], found["has_shares"], found["total"]) == (0, False, "")
    assert _bars(Report("none", ({"layer": "total", "contribution": 0.0},)))["bars"] == []


def test_wrapped_functions_are_modules() -> None:
    linear = torch.nn.Linear(3, 3)
    module = as_module(lambda cloud: linear(cloud.pos), linear)
    assert not module.training
    assert dict(module.named_parameters()).keys() == {"parts.0.weight", "parts.0.bias"}
