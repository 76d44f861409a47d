"""The studies of papers: what their measures say by another route, and what their sections say of records."""

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rapidash.data import Field, RowDataset, moved
from rapidash.groups import SO, Scalar, scaling
from rapidash.measure import Action, draw_elements, effective_invariance, local_equivariance_error
from rapidash.methods import Measurement, Subject, Task, Variant, build_model
from rapidash.models import DGCNNConfig, RapidashConfig
from rapidash.registry import MEASURES
from rapidash.report import terminal_table
from rapidash.study import StudyDesign, get_design, run_one, study_of, summarize
from rapidash.study.measures.effective_invariance import CONFIDENCE, DEVIATION, EFFECTIVE, MEASURED
from rapidash.study.measures.lie_derivative import CLOSURE, FINITE, SHARE, SLOPE
from rapidash.tasks import get_task

TINY = RapidashConfig(channels=8, num_layers=1, basis_dim=8, basis_hidden_dim=8, grid="platonic", num_orientations=4)
FLAT = replace(TINY, space="R3")


def subject_of(task: Task, model: nn.Module, variant: Variant, moment: str = "after") -> Subject:
    return Subject(model.eval(), task, task.dataset("val"), task.ledger(variant), moment, "full", 0)


def untrained(model: Any, moment: str = "after") -> Subject:
    task = get_task("solids", num_train=10, num_val=12)
    variant = Variant("it", model)
    network = build_model(task, variant, seed=0)
    network.calibrate(task.dataset("val").batch(torch.arange(12)))
    return subject_of(task, network, variant, moment)


def measured(name: str, subject: Subject) -> dict[tuple[str, str], Measurement]:
    before = {key: value.clone() for key, value in subject.model.state_dict().items()}
    found = list(MEASURES.get(name)(subject))
    assert all(torch.equal(value, before[key]) for key, value in subject.model.state_dict().items())
    assert {(m.moment, m.view) for m in found} == {(subject.moment, subject.view)}
    return {(m.name, m.group): m for m in found}


class Height(nn.Module):
    """Two numbers per cloud: the sums of the heights and of the x of its points."""

    def forward(self, batch: Any) -> Tensor:
        wanted = batch.pos[:, [2, 0]]
        return wanted.new_zeros(batch.num_clouds, 2).index_add(0, batch.batch, wanted)


def test_slopes_of_a_linear_function_by_hand() -> None:
    """f = (sum z, sum x). Along a shift by n points f moves by (n, 0) for e_z, (0, n) for e_x, not at all for e_y;
    scaling gives f itself; the generators of rotations exchange sums of coordinates."""
    task = get_task("solids", num_train=10, num_val=12)
    model = Height()
    found = measured("lie-derivative", subject_of(task, model, Variant("it", FLAT)))
    pos = task.dataset("val").tensors["pos"].double().reshape(12, 24, 3)
    x, y, z = pos.sum(dim=1).T
    output = torch.stack([z, x], dim=1)
    deviation = float((output - output.mean(dim=0)).square().mean().sqrt())
    shift = (24**2 / 3) ** 0.5 / deviation  # of 3 directions and 2 outputs, 2 entries are 24: mean of squares 24^2 / 3
    assert found[SLOPE, "T(3)"].value == pytest.approx(shift, rel=1e-9)
    assert found[SLOPE, "scaling(3)"].value == pytest.approx(float(output.square().mean().sqrt()) / deviation, rel=1e-9)
    turns = torch.stack([y**2, 0 * y, x**2 + 0 * y, z**2, 0 * y, y**2])  # about x: z by y; about y: z by x, x by z; ...
    assert found[SLOPE, "SO(3)"].value == pytest.approx(float(turns.mean().sqrt()) / deviation, rel=1e-9)
    assert [found[SLOPE, g].unit for g in ("T(3)", "SO(3)", "scaling(3)")] == ["1/length", "1/rad", "1"]
    assert not [name for name, _ in found if name.startswith(SHARE)]  # no layers of this library


def test_exact_networks_have_no_slope_and_the_grid_has_one() -> None:
    exact, grid = (measured("lie-derivative", untrained(model)) for model in (FLAT, TINY))
    assert exact[SLOPE, "T(3)"].value < 1e-10
    assert exact[SLOPE, "SO(3)"].value < 1e-10
    assert exact[FINITE, "SO(3)"].value < 1e-10
    assert exact[SLOPE, "scaling(3)"].value > 0.1
    assert grid[SLOPE, "SO(3)"].value > 0.1
    assert grid[FINITE, "SO(3)"].value > 0.01
    assert not [name for name, _ in exact if name.startswith(SHARE)]


def test_shares_of_layers_add_up_and_the_kernel_basis_is_a_layer() -> None:
    grid, free = (measured("lie-derivative", untrained(model)) for model in (TINY, replace(FLAT, symmetry="T(3)")))
    for found in (grid, free):
        shares = {name: m.value for (name, _), m in found.items() if name.startswith(SHARE)}
        assert f"{SHARE}spatial_basis" in shares
        assert sum(shares.values()) == pytest.approx(1, abs=1e-9)
    assert grid[CLOSURE, "SO(3)"].value < 1e-10
    assert free[CLOSURE, "SO(3)"].value > 0.1  # displacements enter as components: broken before the first layer
    fresh = measured("lie-derivative", untrained(TINY, "before"))
    assert (SLOPE, "SO(3)") in fresh
    assert not [name for name, _ in fresh if name.startswith(SHARE)]


def test_scaling_is_measured_as_the_library_measures_it() -> None:
    subject = untrained(DGCNNConfig(channels=8, num_layers=1, pools_features=True))
    found = measured("lie-derivative", subject)
    batch = subject.data.batch(torch.arange(12)).to("cpu", torch.float64)
    action = Action(scaling(3), outputs=subject.task.output)
    model = copy.deepcopy(subject.model).double()
    expected = local_equivariance_error(model, batch, action, relative=True).total()
    assert found[SLOPE, "scaling(3)"].value == pytest.approx(expected, rel=1e-9)


class ByHand(nn.Module):
    """Logits of two classes: (x, -x) of the first point of each cloud."""

    def forward(self, batch: Any) -> Tensor:
        x = batch.pos[::24, :1]
        return torch.cat([x, -x], dim=1)


def test_effective_invariance_by_hand() -> None:
    """By the formula, on samples and rotations that are drawn here again."""
    task = get_task("solids", num_train=10, num_val=12)
    found = measured("effective-invariance", subject_of(task, ByHand(), Variant("it", FLAT)))
    assert [name for name, _ in found] == list(MEASURED)
    turned = moved(task.dataset("val"), SO(3), 0).batch(torch.arange(12)).to("cpu", torch.float64)
    elements = draw_elements(SO(3), 4, seed=0)
    start = turned.pos[::24]
    scores = []
    for g in elements:
        end = start @ g[:3, :3].T
        for a, b in zip(start[:, 0].tolist(), end[:, 0].tolist(), strict=True):
            sure, then = (1 / (1 + torch.tensor(-2 * abs(v)).exp()) for v in (a, b))
            scores.append(float((sure * then).sqrt()) if (a > 0) == (b > 0) else 0.0)
    assert found[EFFECTIVE, "SO(3)"].value == pytest.approx(sum(scores) / len(scores), rel=1e-6)
    assert 0 < found[EFFECTIVE, "SO(3)"].value < found[CONFIDENCE, "SO(3)"].value


def test_an_exactly_invariant_network_reads_its_confidence() -> None:
    found = measured("effective-invariance", untrained(FLAT))
    assert found["consistency, moved data", "SO(3)"].value == 1
    assert found[DEVIATION, "SO(3)"].value < 1e-10
    assert abs(found[EFFECTIVE, "SO(3)"].value - found[CONFIDENCE, "SO(3)"].value) < 1e-6
    p = torch.tensor([[0.7, 0.3]], dtype=torch.float64)
    assert float(effective_invariance(p, p)) == pytest.approx(0.7, abs=1e-15)


def test_measures_refuse_what_they_cannot_say() -> None:
    class Rows:
        name, dim, moves, output = "rows", 0, None, None

    data = RowDataset({"x": torch.ones(3, 2)}, {"x": Field(Scalar(), level="cloud")})
    for name, message in (
        ("lie-derivative", "need positions; .* 'rows' have none"),
        ("effective-invariance", "moves none"),
    ):
        with pytest.raises(ValueError, match=message):
            list(MEASURES.get(name)(Subject(nn.Linear(2, 2), Rows(), data, None, "after", "full", 0)))


def test_designs_are_what_the_specification_says() -> None:
    lie, zoo = get_design("lie-derivative"), get_design("effective-invariance")
    grids = [v.model.num_orientations for v in lie.variants if "x" in v.model.space and not v.methods]
    assert grids == [4, 8, 12, 20]
    assert {v.name for v in lie.variants} >= {"E(3) on R3", "T(3) on R3", "T(3) on R3 + rotations", "DGCNN"}
    assert len(zoo.variants) == 15
    kinds = {(v.model.symmetry, v.model.space, bool(v.methods)) for v in zoo.variants}
    assert kinds == {("E(3)", "R3", False)} | {
        (s, space, seen) for s, space in (("T(3)", "R3"), ("E(3)", "R3xS2")) for seen in (False, True)
    }
    assert {v.model.channels for v in zoo.variants} == {4, 8, 16, 24}
    for full in (False, True):
        assert get_design("lie-derivative", full=full).measures == ("lie-derivative",)
        assert get_design("effective-invariance", full=full).measures == ("effective-invariance",)


def record(
    name: str, seed: int, figures: Mapping[tuple[str, str], tuple[float, float]], **config: Any
) -> dict[str, Any]:
    """A record with these figures before and after training, by name and group."""
    return {
        "schema": 1,
        "key": f"{name} {seed}",
        "status": "done",
        "error": None,
        "config": {
            "task": "solids",
            "task_options": {},
            "seed": seed,
            "fraction": 1.0,
            "train": {"steps": 10},
            "measures": [],
            "variant": {
                "name": name,
                "model": {"kind": "rapidash", "space": "R3xS2", "num_orientations": 8} | config.get("model", {}),
                "methods": config.get("methods", []),
                "neighbor": config.get("neighbor"),
                "knob": "",
                "inputs": [],
            },
        },
        "metric": "error rate",
        "unit": "%",
        "test_error": config.get("error", 10.0),
        "test_error_rotated": config.get("rotated", 20.0),
        "measurements": [
            {"name": n, "value": v, "unit": "1", "group": g, "moment": m, "view": "full", "better": ""}
            for (n, g), pair in figures.items()
            for m, v in zip(("before", "after"), pair, strict=True)
        ],
    }


def test_sections_of_lie_derivatives_say_what_the_records_say() -> None:
    def slope(before: float, after: float, finite: float) -> dict[tuple[str, str], tuple[float, float]]:
        shares = {(f"{SHARE}blocks.0", "SO(3)"): (0.0, 1.25), (f"{SHARE}remainder", "SO(3)"): (0.0, -0.25)}
        slopes = {(SLOPE, "T(3)"): (0.0, 0.0), (SLOPE, "SO(3)"): (before, after), (SLOPE, "scaling(3)"): (2.0, 3.0)}
        return {**slopes, (FINITE, "SO(3)"): (0.5, finite), **shares, (CLOSURE, "SO(3)"): (0.0, 0.125)}

    records = []
    for seed in (0, 1):
        records += [
            record("eight", seed, slope(0.8, 0.6, 0.3)),
            record("twenty", seed, slope(0.4, 0.2 if seed else 0.7, 0.4), model={"num_orientations": 20}),
            record(
                "turned", seed, slope(0.8, 0.1, 0.2), methods=[{"kind": "augment", "group": "SO(3)"}], neighbor="eight"
            ),
        ]
        free = {"num_orientations": 12, "symmetry": "T(3)"}  # differs in more than its orientations: in no row of grids
        records.append(record("free", seed, {(SLOPE, "SO(3)"): (0.9, 0.9)}, model=free))
    text = " ".join(terminal_table(summarize(study_of(records))).split())
    assert "A eight 0 → 0 0.800 → 0.600 2.00 → 3.00 0.500 → 0.300" in text
    assert "With 8 and 20 orientations the Lie derivative under rotations is 0.600 and 0.450 after training" in text
    assert "lower with 20 than with 8 in 1 of 2 seeds" in text
    assert "of eight from 0.600 to 0.100; it is lower in 2 of 2 seeds" in text
    assert "Finite error over Lie derivative: 0.50 (A) to 2.0 (C)" in text
    assert "blocks.0 +125 % +125 % +125 % remainder −25 % −25 % −25 % remainder over total 0.12 0.12 0.12" in text
    assert "Largest share: blocks.0 in A, B and C." in text


def test_the_section_of_invariance_says_which_figure_goes_with_accuracy() -> None:
    """Effective invariance rises linearly with the accuracy on moved data, consistency is noise; r is 1 by hand."""
    records = []
    for k in range(6):
        noise = (0.3, 0.9, 0.2, 0.8, 0.5, 0.1)[k]
        values = dict.fromkeys(((name, "SO(3)") for name in MEASURED), (0.1, noise))
        values[EFFECTIVE, "SO(3)"] = (0.1, 0.2 + 0.1 * k)
        records.append(record(f"model {k}", 0, values, error=10.0 + noise, rotated=80.0 - 10 * k))
    summary = summarize(study_of(records))
    text = " ".join(terminal_table(summary).split())
    assert "6 trained models of 6 variants" in text
    assert "effective invariance, moved data 1.00 [1.00, 1.00] 1.00 [1.00, 1.00]" in text
    assert "consistency, moved data −0.26" in text  # -0.8 over the root of 17.5 times 0.5333
    few = records[:2] + [{**one, "config": {**one["config"], "seed": 1}} for one in records[:2]]
    shown = " ".join(terminal_table(summarize(study_of(few))).split())
    assert "4 trained models of 2 variants. Effective invariance is 0 where" in shown
    assert shown.count("2 variants: at least 4 are needed for a correlation.") == 1
    assert "No correlation for" not in shown
    same = [{**one, "test_error_rotated": 80.0} for one in records]
    shown = " ".join(terminal_table(summarize(study_of(same))).split())
    assert "No correlation for effective invariance, moved data: accuracy on moved test data is the same for" in shown
    other = [{**one, "unit": "m"} for one in records]
    assert "invariance tell" not in terminal_table(summarize(study_of(other)))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lie-derivative", "effective-invariance"])
def test_a_study_of_a_paper_runs(name: str, tmp_path: Any) -> None:
    design = get_design(name)
    design = replace(design, train=replace(design.train, steps=3, eval_every=3, warmup_steps=1), seeds=(0,))
    assert isinstance(design, StudyDesign)
    records = [run_one(run, tmp_path) for run in design.runs()]
    assert [one["error"] for one in records if one["status"] != "done"] == []
    text = terminal_table(summarize(study_of(records)))
    assert ("Which layer breaks rotations" if name == "lie-derivative" else "which model generalizes?") in text
    assert max(map(len, text.splitlines())) <= 120
    assert "is left out" not in text
