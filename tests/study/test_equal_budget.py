"""Studies of equal time or operations: how many steps each variant takes, and what is said of it."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from toy_plugin import variant

from rapidash.methods import Supervised, build_model
from rapidash.models import RapidashConfig
from rapidash.study import RunConfig, StoreError, StudyDesign, run_one, run_study, study_of, summarize
from rapidash.study._budget import budgeted_runs, fitting_steps, measured_costs
from rapidash.study._equality import equality_of
from rapidash.study._steps import with_steps
from rapidash.tasks import get_task
from rapidash.train import Setup, StepCost, TrainConfig, step_costs

COSTS = {"equivariant": StepCost(2.0, 100), "components": StepCost(0.6, 30), "slow": StepCost(100.0, 10_000)}


@pytest.fixture
def three(design: StudyDesign) -> StudyDesign:
    return replace(design, variants=(*design.variants, variant("slow")), equal="time")


class Stub:
    """Costs from the table, and what was asked."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def __call__(self, runs: Sequence[RunConfig]) -> list[StepCost]:
        self.asked.append([run.label for run in runs])
        factor = [run.variant.model.channels / 256 for run in runs]
        costs = [COSTS[run.variant.name] for run in runs]
        return [StepCost(cost.seconds * by, int(cost.flops * by)) for cost, by in zip(costs, factor)]


def steps_of(runs: Sequence[RunConfig]) -> dict[str, set[int]]:
    found: dict[str, set[int]] = {}
    for run in runs:
        found.setdefault(run.variant.name, set()).add(run.train.steps)
    return found


def test_every_variant_takes_the_steps_that_fit(tmp_path: Path, three: StudyDesign) -> None:
    """8 steps of 2 s are 16 s: 26 steps of 0.6 s; of 100 s not one, so one."""
    runs = budgeted_runs(three, tmp_path / "time", measure=Stub())
    assert steps_of(runs) == {"equivariant": {8}, "components": {26}, "slow": {1}}
    runs = budgeted_runs(replace(three, equal="flops"), tmp_path / "flops", measure=Stub())
    assert steps_of(runs) == {"equivariant": {8}, "components": {26}, "slow": {1}}  # 800 operations, 26 times 30
    assert [run.key for run in runs if run.variant.name == "equivariant"] == [
        run.key for run in replace(three, equal="steps").runs() if run.variant.name == "equivariant"
    ]


def test_costs_are_measured_once(tmp_path: Path, three: StudyDesign) -> None:
    first, again = Stub(), Stub()
    runs = budgeted_runs(three, tmp_path, measure=first)
    assert budgeted_runs(three, tmp_path, measure=again) == runs
    assert (len(first.asked), again.asked) == (1, [])
    written = json.loads((tmp_path / "budget.json").read_text())
    assert (written["equal"], written["first_variant"]) == ("time", "equivariant")
    components = written["rows"]["components"]
    settings = components.pop("settings")
    assert (settings["task"], settings["train"]["steps"], settings["variant"]["name"]) == ("toy", 8, "components")
    assert components == {
        "steps": 26,
        "seconds_per_step": 0.6,
        "flops_per_step": 30,
        "first_variant": {"seconds_per_step": 2.0, "flops_per_step": 100},
    }


def test_rows_that_are_new_are_measured_with_the_first_variant(tmp_path: Path, three: StudyDesign) -> None:
    stub = Stub()
    budgeted_runs(three.select(["equivariant", "components"]), tmp_path, measure=stub)
    assert steps_of(budgeted_runs(three, tmp_path, measure=stub)) == {
        "equivariant": {8},
        "components": {26},
        "slow": {1},
    }
    assert stub.asked[1] == ["equivariant · seed 0", "slow · seed 0"]
    other = three.select(["components", "slow"])  # whose first variant has 26 steps of 0.6 s here
    grown = replace(other, variants=(*other.variants, replace(variant("slow"), name="slower")))
    COSTS["slower"] = StepCost(5.0, 1)
    assert steps_of(budgeted_runs(grown, tmp_path, measure=stub))["slower"] == {3}


@pytest.mark.parametrize(
    "history",
    [
        [["components"]],
        [["components", "slow"], ["slow", "equivariant"]],
        [["slow"], ["equivariant"], ["components", "equivariant"]],
        [["equivariant"], ["slow", "components"]],
    ],
    ids=str,
)
def test_the_parts_that_are_run_first_decide_no_steps(
    tmp_path: Path, three: StudyDesign, history: list[list[str]]
) -> None:
    """26 steps of 0.6 s in the time of 8 of 2 s, whatever the directory has seen."""
    fresh = {"equivariant": {8}, "components": {26}, "slow": {1}}
    grid = replace(three, factors={"model.channels": (256,)})
    for names in history:
        part = steps_of(budgeted_runs(grid.select(names), tmp_path, measure=Stub()))
        assert part == {name: fresh[name] for name in names}
    assert steps_of(budgeted_runs(grid, tmp_path, measure=Stub())) == fresh
    wider = replace(grid, factors={"model.channels": (256, 512)})
    assert steps_of(budgeted_runs(wider.select(["slow", "components"]), tmp_path, measure=Stub())) == {
        name: fresh[name] for name in ("slow", "components")
    }
    assert steps_of(budgeted_runs(wider, tmp_path, measure=Stub())) == fresh


def test_the_budget_of_another_first_variant_is_refused(tmp_path: Path, three: StudyDesign) -> None:
    pair = three.select(["equivariant", "components"])
    pair = replace(pair, factors={"model.channels": (256,)})
    budgeted_runs(pair, tmp_path, measure=Stub())
    turned = tuple(replace(v, neighbor=None) for v in pair.variants[::-1])
    other = StudyDesign("toy", turned, pair.train, factors={"model.channels": (256, 512)}, equal="time")
    message = "another study: first variant is 'equivariant' there, 'components' here. Choose another output directory"
    with pytest.raises(StoreError, match=message):
        budgeted_runs(other, tmp_path, measure=Stub())


def test_the_budget_of_other_settings_is_refused(tmp_path: Path, three: StudyDesign) -> None:
    """Also where study.json is gone, which says the same."""
    budgeted_runs(three, tmp_path, measure=Stub())
    changed = {
        "equivariant.train.steps is 8 there, 80 here": replace(three, train=replace(three.train, steps=80)),
        "equivariant.train.batch_size is 5 there, 6 here": replace(three, train=replace(three.train, batch_size=6)),
        "equivariant.task_options.size is None there, 10 here": replace(three, task_options={"size": 10}),
        "slow.train.grad_clip is 1.0 there, 2.0 here": replace(three, train_overrides={"slow": {"grad_clip": 2.0}}),
        "slow.variant.model.channels is 256 there, 8 here": replace(
            three, variants=(*three.variants[:2], replace(variant("slow"), model=RapidashConfig(channels=8)))
        ),
    }
    for message, design in changed.items():
        with pytest.raises(StoreError, match=f"is the budget of another study: {message}"):
            budgeted_runs(design, tmp_path, measure=Stub())
    same = replace(three, train=replace(three.train, checkpoint_every=7), seeds=(0, 1, 5), fractions=(0.5, 1.0))
    budgeted_runs(same, tmp_path, measure=lambda runs: pytest.fail("measured again"))


def test_the_order_of_factors_is_no_other_budget(tmp_path: Path, three: StudyDesign) -> None:
    factors = {"model.channels": (256, 512), "task.size": (10, 20)}
    budgeted_runs(replace(three, factors=factors), tmp_path, measure=Stub())
    turned = replace(three, factors=dict(reversed(factors.items())))
    budgeted_runs(turned, tmp_path, measure=lambda runs: pytest.fail("measured again"))


def test_the_budget_is_that_of_the_level(tmp_path: Path, three: StudyDesign) -> None:
    """Twice the width is twice the time of all: of steps there are as many."""
    grid = replace(three, factors={"model.channels": (256, 512)})
    stub = Stub()
    runs = budgeted_runs(grid, tmp_path, measure=stub)
    for width in (256, 512):
        at_width = [run for run in runs if run.level["model.channels"] == width]
        assert steps_of(at_width) == {"equivariant": {8}, "components": {26}, "slow": {1}}
    assert len(stub.asked) == 2


@pytest.mark.parametrize("equal", ["time", "flops"])
@pytest.mark.parametrize(
    "factors",
    [
        {"train.warmup_steps": (0, 1)},
        {"train.eval_every": (10, 11)},
        {"train.eval_every": (20, 25), "train.warmup_steps": (0, 1)},
        {"train.learning_rate": (1, 0.1), "model.channels": (256, 512), "task.size": (10, 20)},
        {"train.batch_size": (5, 10), "train.ema_decay": (0, 0.9)},
    ],
    ids=str,
)
def test_cells_have_keys_of_their_own_and_levels_are_what_is_trained(
    tmp_path: Path, three: StudyDesign, equal: str, factors: dict[str, tuple[Any, ...]]
) -> None:
    """Scaled with the steps, warm-ups of 0 and 1 of 8 would be both 0 of 1, and validations every 10 or 11 the same."""
    train = replace(three.train, steps=8, warmup_steps=0, eval_every=4)
    runs = budgeted_runs(replace(three, equal=equal, train=train, factors=factors), tmp_path, measure=Stub())
    assert len({run.key for run in runs}) == len(runs)
    for run in runs:
        settings = {"model": run.variant.model, "train": run.train}
        for name, value in run.level.items():
            part, _, knob = name.partition(".")
            assert value == (run.task_options[knob] if part == "task" else getattr(settings[part], knob))


def test_what_an_override_sets_is_not_scaled(tmp_path: Path, three: StudyDesign) -> None:
    """Of 26 steps the warm-up of 2 in 8 is 6; 1 where the variant says so, and a run of 2 is one of the design."""
    own = replace(three.select(["equivariant", "components"]), train_overrides={"components": {"warmup_steps": 1}})
    warmups = {run.variant.name: run.train.warmup_steps for run in budgeted_runs(own, tmp_path / "1", measure=Stub())}
    assert warmups == {"equivariant": 2, "components": 1}
    plain = budgeted_runs(replace(own, train_overrides={}), tmp_path / "2", measure=Stub())
    assert [run.train.warmup_steps for run in plain[:2]] == [2, 6]
    records = finished(own, {"equivariant": 8, "components": 26}, {"equivariant": 2.0, "components": 0.6})
    study = study_of(records, json.loads(json.dumps(own.to_dict())))
    assert {run.variant for run in study.set_aside} == {"components"}  # their warm-up here is 26 * 1 // 8, not 1


def test_a_warm_up_that_does_not_fit_is_named(tmp_path: Path, three: StudyDesign) -> None:
    grid = replace(three, factors={"train.warmup_steps": (0, 2)})
    message = "slow, warmup_steps 2 · seed 0 has 1 steps by equal='time': warmup_steps must be at most steps=1, got 2"
    with pytest.raises(ValueError, match=message):
        budgeted_runs(grid, tmp_path, measure=Stub())


@pytest.mark.parametrize("equal", ["time", "flops"])
def test_steps_are_no_factor_where_they_differ_anyway(three: StudyDesign, equal: str) -> None:
    with pytest.raises(ValueError, match=f"equal='{equal}' gives every variant steps of its own: 'train.steps' cannot"):
        replace(three, equal=equal, factors={"train.steps": (8, 16)})


def test_warmup_and_validations_keep_their_share() -> None:
    train = TrainConfig(steps=1000, warmup_steps=100, eval_every=50)
    shorter = with_steps(train, 300)
    assert (shorter.steps, shorter.warmup_steps, shorter.eval_every) == (300, 30, 15)  # 20 validations
    assert with_steps(train, 1000) == train
    assert with_steps(train, 3).eval_every == 1
    assert with_steps(train, 3).warmup_steps == 0


@pytest.mark.parametrize(
    ("steps", "eval_every", "other", "validations"),
    [(1000, 50, 130, 19), (1000, 20, 60, 30), (10, 4, 5, 3), (10, 4, 20, 3), (7, 7, 3, 1), (300, 75, 310, 4)],
)
def test_validations_are_about_as_many_and_never_more(
    steps: int, eval_every: int, other: int, validations: int
) -> None:
    """The least whole number of steps between them that makes them no more: 3 of 10 steps are 3 of 5, every 2."""
    before = math.ceil(steps / eval_every)
    found = with_steps(TrainConfig(steps=steps, warmup_steps=0, eval_every=eval_every), other)
    assert math.ceil(other / found.eval_every) == validations <= before
    assert found.eval_every == 1 or math.ceil(other / (found.eval_every - 1)) > before


def _with_rows(rows: str) -> str:
    return f'{{"equal": "time", "first_variant": "equivariant", "rows": {rows}}}'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is no budget"),
        ("[]", "is no budget"),
        ("[" * 100_000, "is no budget .*remove it"),
        ("\udcff", "is no budget .*codec"),
        (
            '{"equal": "time", "rows": {}}',
            "is no budget .expected an object with equal, first_variant and rows.: remove",
        ),
        (_with_rows("[]"), "is no budget .rows: expected an object, found a list"),
        (_with_rows('{"slow": 5}'), "is no budget .row 'slow': expected an object with steps and settings"),
        (_with_rows('{"slow": {"steps": 5}}'), "is no budget .row 'slow': expected an object with steps and settings"),
        (_with_rows('{"slow": {"settings": {}}}'), "is no budget .steps of 'slow': .* found None"),
        (_with_rows('{"slow": {"steps": 0, "settings": {}}}'), "is no budget .steps of 'slow': .* at least 1, found 0"),
        (_with_rows('{"slow": {"steps": true, "settings": {}}}'), "is no budget .steps of 'slow': .* found True"),
        (
            _with_rows('{"slow": {"steps": 5.0, "settings": {}}}'),
            "is no budget .*: expected a whole number .* found 5.0",
        ),
        (
            '{"equal": "flops", "first_variant": "equivariant", "rows": {}}',
            "is the budget of another study: equal is 'flops' there, 'time' here",
        ),
    ],
)
def test_a_file_that_is_no_budget_is_named(tmp_path: Path, three: StudyDesign, text: str, message: str) -> None:
    (tmp_path / "budget.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(StoreError, match=f"budget.json {message}"):
        budgeted_runs(three, tmp_path, measure=Stub())


def test_a_budget_that_is_a_folder_is_named(tmp_path: Path, three: StudyDesign) -> None:
    (tmp_path / "budget.json").mkdir()
    with pytest.raises(StoreError, match=r"budget.json cannot be read .*: choose another output directory"):
        budgeted_runs(three, tmp_path, measure=Stub())


@pytest.mark.parametrize("seconds", [0.1, 0.07, 0.3, 1 / 49, 0.0123])
def test_equal_costs_are_equal_steps(seconds: float) -> None:
    """43 * 0.1 / 0.1 is less than 43 in floating point; a longer step is longer all the same."""
    cost = StepCost(seconds, 7)
    for steps in range(1, 500):
        assert fitting_steps("time", steps, cost, cost) == fitting_steps("flops", steps, cost, cost) == steps
        assert fitting_steps("time", steps, StepCost(3 * seconds, 7), cost) == 3 * steps
        assert fitting_steps("time", steps + 1, cost, StepCost(seconds * (1 + 1e-6), 7)) == steps


def test_operations_of_a_step_by_hand(design: StudyDesign) -> None:
    """W [x, v] of 6 x 3 at 59 points: a product forward, one for the gradient of W, and 2 for each multiply-add."""
    run = next(run for run in design.runs() if run.variant.name == "components")
    (cost,) = measured_costs([replace(run, train=replace(run.train, batch_size=20))])  # all clouds of 2, 3 and 4 points
    assert cost.flops == 2 * 2 * 18 * 59
    assert 0 < cost.seconds < 1


def test_a_step_by_another_clock(design: StudyDesign) -> None:
    """One that counts how often it is asked: once before a step and once after it."""
    run, ticks = design.runs()[0], iter(range(1000))
    task = get_task(run.task, **run.task_options)
    data, device = task.dataset("train"), torch.device("cpu")
    setup = Setup(task, Supervised(), (), run.train, data, task.dataset("val"), 0, device)
    (cost,) = step_costs({"": (build_model(task, run.variant, seed=0), setup)}, clock=lambda: float(next(ticks)))
    assert cost.seconds == 1.0


def test_a_slow_step_is_slow_and_a_failing_one_is_named(design: StudyDesign) -> None:
    runs = [replace(design.runs()[0], variant=variant(name)) for name in ("equivariant", "slow")]
    fast, slow = measured_costs(runs)
    assert slow.seconds > 0.2 > fast.seconds
    with pytest.raises(ValueError, match="a step of failing · seed 0 cannot be measured: RuntimeError: this model"):
        measured_costs([replace(design.runs()[0], variant=variant("failing"))])


def test_operations_of_a_definition_are_not_counted_and_refused(tmp_path: Path, design: StudyDesign) -> None:
    """The convolution of these forces runs by its definition: counted as nothing, its steps would be too many."""
    forces = replace(design, variants=(variant("components"), variant("forces")), seeds=(0,))
    counted, missed = measured_costs(forces.runs())
    assert (counted.flops is None, missed.flops) == (False, None)
    message = (
        "equal='flops' needs the operations of every step, but that of 'forces' has some without a count, edge_conv"
    )
    with pytest.raises(ValueError, match=message):
        budgeted_runs(replace(forces, equal="flops"), tmp_path)
    assert not (tmp_path / "budget.json").exists()
    assert len(budgeted_runs(replace(forces, equal="time"), tmp_path)) == 2


def test_a_step_without_operations_has_no_budget_of_them(tmp_path: Path, design: StudyDesign) -> None:
    only = replace(design, variants=(design.variants[0],), equal="flops")
    with pytest.raises(ValueError, match="but that of 'equivariant' has none that are counted: use 'time'"):
        budgeted_runs(only, tmp_path)


def test_measuring_leaves_the_stream_of_random_numbers(design: StudyDesign) -> None:
    before = torch.get_rng_state()
    measured_costs(design.runs()[:1])
    assert torch.equal(torch.get_rng_state(), before)


def test_a_study_of_equal_time_goes_on_and_repeats_nothing(
    tmp_path: Path, design: StudyDesign, toy_log: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rapidash.study._budget.measured_costs", Stub())
    timed = replace(design, equal="time", seeds=(0,))
    run_one(budgeted_runs(timed, tmp_path)[0], tmp_path)
    records = run_study(timed, tmp_path, workers=1, progress=False)
    assert [record["config"]["train"]["steps"] for record in records] == [8, 26]
    assert [record["history"][-1]["step"] for record in records] == [8, 26]
    built = toy_log()
    monkeypatch.setattr("rapidash.study._budget.measured_costs", lambda runs: pytest.fail("measured again"))
    assert run_study(timed, tmp_path, workers=1, progress=False) == records
    assert toy_log() == built


def finished(design: StudyDesign, steps: dict[str, int], seconds: dict[str, float]) -> list[dict[str, Any]]:
    """Records of all runs with these numbers of steps and seconds of a step."""
    records = []
    for run in design.runs():
        changed = replace(run, train=with_steps(run.train, steps[run.variant.name]))
        record = {"schema": 1, "key": run.key, "status": "done", "config": json.loads(json.dumps(changed.to_dict()))}
        record |= {"test_error": 1.0, "seconds_per_step": seconds[run.variant.name] * (1 + run.seed / 100)}
        records.append(record)
    return records


def test_equality_is_computed_from_the_records(design: StudyDesign) -> None:
    seconds = {"equivariant": 2.0, "components": 0.5}
    same = equality_of(study_of(finished(design, dict.fromkeys(seconds, 8), seconds)), 1.0)
    assert same is not None
    assert (same.what, same.steps, same.steps_spread, same.step_time_spread) == ("steps", (8, 8), 1.0, 4.0)
    timed = replace(design, equal="time")
    plain = json.loads(json.dumps(timed.to_dict()))
    found = summarize(study_of(finished(timed, {"equivariant": 8, "components": 26}, seconds), plain)).equality
    assert found is not None
    assert (found.what, found.steps, found.steps_spread) == ("time", (8, 26), 26 / 8)
    assert found.time_spread == pytest.approx(8 * 2.0 / (26 * 0.5))
    assert equality_of(study_of([]), 1.0) is None


def test_equality_is_that_of_a_fraction(design: StudyDesign) -> None:
    """With half of the data a step takes ten times as long for one variant: of that the whole data say nothing."""
    halves = replace(design, fractions=(1.0, 0.5))
    records = finished(halves, {"equivariant": 8, "components": 8}, {"equivariant": 2.0, "components": 0.5})
    for record in records:
        if record["config"]["fraction"] == 0.5 and record["config"]["variant"]["name"] == "components":
            record["seconds_per_step"] *= 40
            record["config"]["train"]["steps"] = 4
    study = study_of(records)
    whole, half = equality_of(study, 1.0), equality_of(study, 0.5)
    assert whole is not None
    assert half is not None
    assert (whole.steps, whole.step_time_spread) == ((8, 8), pytest.approx(4.0))
    assert (half.steps, half.step_time_spread) == ((4, 8), pytest.approx(10.0))
    assert equality_of(study, 0.25) is None


def test_the_seconds_of_a_step_are_the_median_of_the_rounds(
    design: StudyDesign, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2 steps to warm up, then 9: of 9, 1, 8, 2, 7, 3, 6, 4, 5 the median is 5, the least 1."""
    times = iter([100.0, 100.0, 9.0, 1.0, 8.0, 2.0, 7.0, 3.0, 6.0, 4.0, 5.0])
    monkeypatch.setattr("rapidash.train._cost._seconds", lambda training, clock: next(times))
    assert [cost.seconds for cost in measured_costs(design.runs()[:1])] == [5.0]
    assert not list(times)


def test_spreads_are_within_a_level(design: StudyDesign) -> None:
    """Widths whose times differ a hundredfold are not compared: at one width the variants differ fourfold."""
    grid = replace(design, factors={"model.channels": (1, 100)})
    records = finished(grid, {"equivariant": 8, "components": 8}, {"equivariant": 2.0, "components": 0.5})
    for record in records:
        record["seconds_per_step"] *= record["config"]["level"]["model.channels"]
    alone = ("components", 100)  # has no finished run: there is nothing to compare with at that width
    names = [(record["config"]["variant"]["name"], record["config"]["level"]["model.channels"]) for record in records]
    found = equality_of(study_of([record for record, name in zip(records, names) if name != alone]), 1.0)
    assert found is not None
    assert found.step_time_spread == pytest.approx(4.0)
    assert RapidashConfig(channels=100) in [run.variant.model for run in grid.runs()]
