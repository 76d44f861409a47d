"""Planted sharing as a task, the objective of two levels, its measure, its ledger, and its section."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from rapidash._plain import from_plain, to_plain
from rapidash._seed import seeded
from rapidash.groups import Permutations, cyclic, trivial
from rapidash.learn.sharing import (
    CASES,
    DISTANCE,
    FIRST,
    GRADIENT,
    KNOWN,
    RECOVERED,
    Bilevel,
    PlantedSharingTask,
    PositionsProblem,
    SharedWeightsConfig,
    discover_sharing,
    fit_sharing,
    known_sharing,
    measure_sharing,
    sharing_ledger,
    sharing_text,
)
from rapidash.learn.sharing._problems import sum_over_positions
from rapidash.methods import Objective, Subject, Variant, build_model, evaluate
from rapidash.models import Interface, MLPConfig
from rapidash.registry import OBJECTIVES
from rapidash.report._sharing_section import _numbers, sharing_section
from rapidash.study import get_design, run_one, study_of, summarize
from rapidash.tasks import get_task
from rapidash.testing import check_task
from rapidash.train import TrainConfig, train
from tests.report._studies import small_record

MODEL = SharedWeightsConfig()
ONE_STEP = TrainConfig(
    steps=1, warmup_steps=0, weight_decay=0.0, ema_decay=0.0, eval_every=1, checkpoint_every=1, dtype="float64"
)


def solved(task: PlantedSharingTask, objective: Bilevel, run_dir: Path, seed: int = 0) -> Any:
    """The model of a run of one step."""
    variant = Variant("it", MODEL, objective=objective)
    model = build_model(task, variant, seed=seed).double()
    train(
        model,
        task,
        ONE_STEP,
        train_set=task.dataset("train"),
        val_set=task.dataset("val"),
        seed=seed,
        run_dir=run_dir,
        progress=False,
        objective=objective,
    )
    return model.eval()


@pytest.mark.parametrize("case", CASES)
def test_planted_sharing_is_a_task(case: str) -> None:
    variants = [Variant("none", MODEL, objective=Bilevel("none")), Variant("given", MODEL, objective=Bilevel("given"))]
    check_task(get_task("planted-sharing", case=case, trials=2), variants)


@pytest.mark.parametrize("case", CASES)
def test_true_weights_have_no_error_and_the_planted_clusters(case: str) -> None:
    problem = CASES[case]
    planted = problem.plant(seeded(3))
    values = planted.weights[:, None] == planted.weights
    assert torch.equal(values, planted.assignment[:, None] == planted.assignment)
    x, y = problem.rows(planted, 20, seeded(4))
    if case.endswith("sum"):
        torch.testing.assert_close(y[:, 0], ((x - 2) * planted.weights).sum(dim=1) / 8**0.5)
    else:
        torch.testing.assert_close(problem.predict(planted.weights, x), y)


def test_no_sharing_and_the_planted_one_have_the_expected_errors(tmp_path: Path) -> None:
    task = PlantedSharingTask("5 means, 1 value", trials=200)
    errors = {}
    for search in ("none", "given"):
        model = solved(task, Bilevel(search), tmp_path / search)
        errors[search] = evaluate(model, task, task.dataset("test"), batch_size=64).mean
    assert errors["none"] == pytest.approx(5 / 100, rel=0.15)  # K / N
    assert errors["given"] == pytest.approx(1 / 100, rel=0.25)  # r / N


def test_parameters_of_a_run_are_those_of_the_search_and_no_optimizer_moves_them(tmp_path: Path) -> None:
    task, objective = PlantedSharingTask("ring", trials=2), Bilevel("exact")
    model = solved(task, objective, tmp_path, seed=1)
    rng = seeded(1, "objective", 0)  # of the step
    for trial, planted in enumerate(task.planted):
        draws = seeded("trial", rng.initial_seed(), trial)
        found = discover_sharing(task.problem.problem(planted, draws), objective._made(), generator=draws)
        assert torch.equal(model.assignment[trial], found.assignment)
        assert torch.equal(model.params[trial], found.params[found.assignment])


def test_searches_see_the_same_samples(tmp_path: Path) -> None:
    task = PlantedSharingTask("ring", trials=1)
    free, exact = (solved(task, Bilevel(search), tmp_path / search) for search in ("none", "exact"))
    orbits = exact.assignment[0]
    for number in orbits.unique().tolist():  # by orthogonality of the mean map: close, not equal
        shared = exact.params[0][orbits == number]
        assert float((free.params[0][orbits == number].mean() - shared.mean()).detach().abs()) < 0.05


def test_measure_counts_trials() -> None:
    task = PlantedSharingTask("ring", trials=4)
    model = build_model(task, Variant("it", MODEL), seed=0).eval()
    (orbits,) = task.problem.known.values()
    model.assignment[0] = orbits
    model.assignment[1] = orbits.flip(0)
    model.assignment[2] = torch.zeros(9)
    model.gradient_norm[3] = 0.25
    subject = Subject(model, task, task.dataset("val"), task.ledger(Variant("it", MODEL)), "after", "full", 0)
    found = {m.name: m for m in measure_sharing(subject)}
    # read from the end a circulant matrix is one again; one cluster or nine are 6 off three clusters of three
    assert found[DISTANCE].value == (0 + 0 + 6 + 6) / 4
    assert found[RECOVERED].value == found[KNOWN].value == 50
    assert found[GRADIENT].value == 0.25
    assert (found[FIRST].value, found[FIRST].group) == (0, "012/201/120")
    assert not list(measure_sharing(replace(subject, moment="before")))
    assert not list(measure_sharing(replace(subject, model=torch.nn.Linear(1, 1))))


def test_sharing_as_text_and_back() -> None:
    few, many = torch.tensor([[5, 3], [3, 5]]), torch.arange(12).reshape(3, 4)
    assert sharing_text(few) == "01/10"
    assert sharing_text(many) == "0 1 2 3/4 5 6 7/8 9 10 11"
    assert _numbers(sharing_text(few)) == [[0, 1], [1, 0]]
    assert _numbers(sharing_text(many)) == many.tolist()


def test_the_ledger_claims_a_group_only_for_its_orbits() -> None:
    known = CASES["ring"].known
    (orbits,) = known.values()
    renamed = torch.tensor([7, 1, 4])[orbits]
    assert known_sharing(renamed, known) == cyclic(3)
    ledger = sharing_ledger(renamed, known)
    assert (ledger.effective, ledger.exact) == (cyclic(3), True)
    near = renamed.clone()
    near[0] = 9  # one weight of its own
    assert known_sharing(near, known) is None
    assert sharing_ledger(near, known).reasons == ("tied weights, no group known",)
    assert sharing_ledger(near, known).effective == trivial(2)


def test_a_task_claims_nothing_for_what_is_yet_to_be_found() -> None:
    def effective(case: str, search: str) -> Any:
        return PlantedSharingTask(case).ledger(Variant("it", MODEL, objective=Bilevel(search))).effective

    assert effective("ring", "given") == cyclic(3)
    assert effective("sum", "given") == Permutations(4)
    for case, search in (
        ("ring", "exact"),
        ("ring", "none"),
        ("ring, nothing shared", "given"),
        ("alternating sum", "given"),
    ):
        assert effective(case, search) == trivial(2)


def test_untied_parameters_are_the_same_function() -> None:
    rng = seeded("untied")
    x = torch.randint(3, (30, 4), generator=rng)
    y = x.double().sum(dim=1)
    problem = PositionsProblem(x[:15], y[:15], x[15:], y[15:], num_symbols=3, hidden=2)
    assignment = torch.tensor([0, 1, 0, 1])
    params = problem.start(2, rng)
    tables, out, bias = params[:12].reshape(2, 3, 2), params[12:14], params[14]
    by_hand = [
        sum(float(tables[a, s].tanh() @ out) for a, s in zip(assignment.tolist(), row.tolist())) + float(bias)
        for row in x
    ]
    untied = problem.untied(assignment, params)
    assert sum_over_positions(untied, x, 2).tolist() == pytest.approx(by_hand)
    hard = torch.nn.functional.one_hot(assignment, 2).double()
    loss = float(problem.loss(hard, params, "val"))
    assert loss == pytest.approx(sum((found - float(t)) ** 2 for found, t in zip(by_hand[15:], y[15:])) / 15)
    penalty = 1e-3 * float(params.square().sum())
    free = torch.eye(4, dtype=torch.float64)
    assert float(problem.loss(free, untied, "val")) == pytest.approx(loss)
    first = sum((found - float(t)) ** 2 for found, t in zip(by_hand[:15], y[:15])) / 15
    assert float(problem.loss(hard, params, "train")) == pytest.approx(first + penalty)


def test_a_fit_of_positions_is_a_minimum() -> None:
    case = CASES["sum"]
    planted = case.plant(seeded(0))
    found = fit_sharing(case.problem(planted, seeded(1)), planted.assignment, generator=seeded(2))
    assert found.gradient_norm < 1e-3
    assert found.val_loss < 0.02  # of a target of variance 1, with noise of variance 1 / 96


def test_the_objective_as_plain_values() -> None:
    objective = Bilevel("relaxed", weight=0.1, restarts=2)
    assert OBJECTIVES.get("bilevel") is Bilevel
    assert to_plain(objective)["kind"] == "bilevel"
    assert from_plain(Objective, to_plain(objective)) == objective


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Bilevel("exct"), "unknown search 'exct', expected one of .* did you mean 'exact'"),
        (lambda: Bilevel(weight=-1.0), "weight must be at least 0 and finite, got -1"),
        (lambda: Bilevel("relaxed", restarts=0), "restarts and num_params must be at least 1"),
        (lambda: PlantedSharingTask("rings"), "unknown case 'rings', expected one of .* did you mean 'ring'"),
        (lambda: PlantedSharingTask(trials=0), "trials must be at least 1, got 0"),
        (lambda: MODEL.build(Interface(dim=0)), "shared weights belong to a task"),
        (
            lambda: PlantedSharingTask().build(Variant("it", MLPConfig())),
            "use the network 'shared-weights', not 'mlp'",
        ),
        (
            lambda: Bilevel().modify(torch.nn.Linear(1, 1), get_task("nbody")),
            "use the task 'planted-sharing', not 'nbody'",
        ),
    ],
)
def test_bad_input(make: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


def test_design_has_controls() -> None:
    design = get_design("sharing")
    assert {variant.objective.search for variant in design.variants} == {"none", "given", "exact", "relaxed"}
    assert {variant.objective.weight for variant in design.variants} == {0.0, 0.01}
    assert len(design.seeds) >= 3
    assert {"6 means, 6 values", "ring, nothing shared"} <= set(design.factors["task.case"])


def test_section_of_a_study(tmp_path: Path) -> None:
    design = get_design("sharing").select(["planted sharing", "all partitions, penalty"])
    cases = ("5 means, 1 value", "ring")
    small = replace(design, seeds=(0,), factors={"task.case": cases}, task_options={"trials": 2})
    records = [run_one(config, tmp_path) for config in small.runs()]
    assert [record["error"] for record in records if record is not None] == [None] * 4
    section = sharing_section(summarize(study_of(records)))
    assert section is not None
    assert len(section.rows) == 4
    by_row = {row[0].partition(" ")[2]: row for row in section.rows}
    given = next(row for name, row in by_row.items() if "planted" in name and "case ring" in name)
    assert [given[2], given[3], given[4]] == ["0", "100", "100"]
    (chart,) = section.charts
    assert [series.label for series in chart.series] == ["parameter a", "parameter b", "parameter c"]
    assert all(len(series.points) == 6 for series in chart.series)  # three weights in each of two matrices
    first = chart.series[0].points[:3]
    assert [round(point.y) for point in first] == sorted(round(point.y) for point in first)
    assert "weight 0, 0 uses parameter a" in first[0].tip


def test_no_section_where_nothing_was_searched() -> None:
    assert sharing_section(summarize(study_of([small_record("a", 0, 1.0)]))) is None
