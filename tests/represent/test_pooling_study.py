"""The studies of pooled sites: their arms, records, a run that goes on, the section, and (slow) what is claimed."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from rapidash.methods import Method, Objective, Variant, build_model
from rapidash.models import MLPConfig
from rapidash.report import terminal_table
from rapidash.represent.pooling import (
    ANSWERERS,
    COVARIATE,
    FIGURES,
    LEAK,
    OWN,
    CombatColumns,
    LargestSite,
    MatchedPairs,
    SiteAdversary,
    SiteDiscrepancy,
    SiteEncoderConfig,
    TwoStage,
    TwoStageEncoderConfig,
    error_name,
    pooled_model,
)
from rapidash.study import StudyDesign, get_design, read_study, run_one, run_study, summarize
from rapidash.tasks import get_task
from rapidash.tasks.pooled_sites import PooledSitesTask
from rapidash.testing import check_method
from rapidash.train import TrainConfig, train

TINY = {"num_train": 60, "num_val": 40, "num_test": 40}
STEPS = TrainConfig(
    steps=6,
    batch_size=20,
    ema_decay=0.0,
    warmup_steps=0,
    eval_every=6,
    checkpoint_every=2,
    schedule="constant",
    dtype="float64",
)
NETWORK = TwoStageEncoderConfig(latent_dim=4, hidden_dim=8, num_layers=1)


def task() -> PooledSitesTask:
    made = get_task("pooled-sites", **TINY)
    assert isinstance(made, PooledSitesTask)
    return made


def trained(
    objective: Objective, folder: Path, config: TrainConfig = STEPS, model: nn.Module | None = None
) -> nn.Module:
    network = NETWORK if isinstance(objective, TwoStage) else SiteEncoderConfig(4, 8, 1)
    model = model or build_model(task(), Variant("it", network, objective=objective))
    data = {"train_set": task().dataset("train"), "val_set": task().dataset("val")}
    train(model, task(), config, seed=0, run_dir=folder, progress=False, objective=objective, **data)  # type: ignore[arg-type]
    return model


def weights_of(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def test_the_first_stage_stays_as_it_is_in_the_second(tmp_path: Path) -> None:
    """After 3 of 6 steps encoder and tau do not move, also by weight decay; before, the second stage does not."""
    objective = TwoStage(first_share=0.5)
    variant = Variant("it", NETWORK, objective=objective)
    moments: dict[int, dict[str, torch.Tensor]] = {}
    model = build_model(task(), variant)
    control = objective.control(model, 6)
    optimizer = torch.optim.AdamW(model.to(torch.float64).parameters(), weight_decay=0.5)
    batch = task().dataset("train").batch(torch.arange(20))
    for step in range(6):
        moments[step] = weights_of(model)
        control.before(step)
        found = objective.step(model, task(), batch, torch.Generator().manual_seed(step))
        assert ("differences of covariates" in found.parts) == (step < 3)
        optimizer.zero_grad()
        found.loss.backward()
        optimizer.step()
    moments[6] = weights_of(model)
    for name in moments[0]:
        moved = [not torch.equal(moments[a][name], moments[b][name]) for a, b in ((0, 3), (3, 6))]
        if name.endswith(("is_second_stage", "only_site")):
            continue
        assert moved == ([True, False] if ".first" in name else [False, True]), name


def test_an_interrupted_run_goes_on_in_its_stage(tmp_path: Path) -> None:
    """Stopped after 4 of 6 steps, in the second stage, and again after 2, in the first: the same weights in the end."""
    objective = TwoStage(first_share=0.5)
    whole = trained(objective, tmp_path / "whole")

    class Stopped(Exception):
        pass

    for stop in (2, 4):
        folder = tmp_path / str(stop)
        count = 0
        original = TwoStage.step

        def step(self: TwoStage, *arguments: Any, stop: int = stop, original: Any = original) -> Any:
            nonlocal count
            if count == stop:
                raise Stopped
            count += 1
            return original(self, *arguments)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(TwoStage, "step", step)
            with pytest.raises(Stopped):
                trained(objective, folder)
        again = trained(objective, folder)
        for name, value in whole.state_dict().items():
            assert torch.equal(value, again.state_dict()[name]), name


def test_no_validation_selects_the_first_stage(tmp_path: Path) -> None:
    objective = TwoStage(first_share=0.5)
    model = trained(objective, tmp_path, replace(STEPS, eval_every=1))
    assert bool(pooled_model(model).network.is_second_stage)
    score = {"train": task().dataset("train"), "batch_size": 40}
    honest = objective.score(model, task(), task().dataset("val"), **score).error  # type: ignore[arg-type]
    pooled_model(model).network.begin_second_stage(False)  # type: ignore[operator]
    assert honest <= 100 <= objective.score(model, task(), task().dataset("val"), **score).error  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "objective", [SiteDiscrepancy(2.0), SiteDiscrepancy(weight=2.0, bins=2), SiteAdversary(), MatchedPairs()]
)
def test_terms_are_in_the_loss(objective: Objective, tmp_path: Path) -> None:
    """The loss is the sum of its parts with their weights; without weight a discrepancy is not even computed."""
    model = build_model(task(), Variant("it", SiteEncoderConfig(4, 8, 1), objective=objective)).double()
    batch = task().dataset("train").batch(torch.arange(30))
    found = objective.step(model, task(), batch, torch.Generator().manual_seed(0))
    weights = {"classification": 1.0, "reconstruction": objective.reconstruction, "adversary": 1.0}  # type: ignore[attr-defined]
    total = sum(
        weights.get(name, getattr(objective, "weight", 0.0)) * float(part.detach())
        for name, part in found.parts.items()
    )
    assert float(found.loss.detach()) == pytest.approx(total, rel=1e-9)
    assert len(found.parts) == (2 if isinstance(objective, SiteDiscrepancy) and not objective.weight else 3)


def test_an_adversary_is_opposed_by_the_encoder() -> None:
    """The gradient of the adversary's term in the encoder is minus the weight times that without reversal."""
    gradients = []
    for weight in (1.0, 3.0):
        objective = SiteAdversary(reconstruction=0.0, weight=weight)
        model = build_model(task(), Variant("it", SiteEncoderConfig(4, 8, 1), objective=objective)).double()
        batch = task().dataset("train").batch(torch.arange(30))
        parts = objective.step(model, task(), batch, torch.Generator().manual_seed(0)).parts
        encoder = pooled_model(model).network.encoder
        assert isinstance(encoder, nn.Sequential)
        (gradient,) = torch.autograd.grad(parts["adversary"], [encoder[-1].weight])  # type: ignore[list-item]
        gradients.append(gradient)
    torch.testing.assert_close(gradients[1], 3 * gradients[0])


def test_a_single_site_is_learned_from_alone() -> None:
    objective = SiteDiscrepancy()
    variant = Variant("it", SiteEncoderConfig(4, 8, 1), methods=(LargestSite(),), objective=objective)
    model = build_model(task(), variant).double()
    data = task().dataset("train")
    batch = data.batch(torch.arange(60))
    seen = pooled_model(model).learns_from(batch)
    rows = seen.nonzero()[:, 0]
    losses = [
        float(objective.step(model, task(), part, torch.Generator()).loss.detach())
        for part in (batch, data.batch(rows))
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-9)
    with pytest.raises(ValueError, match="a batch of 1 rows has none of the site that is learned from"):
        objective.step(model, task(), data.batch((~seen).nonzero()[:1, 0]), torch.Generator())


@pytest.mark.parametrize("method", [CombatColumns(), LargestSite()], ids=lambda method: method.kind)
def test_methods_keep_their_promises(method: Method, tmp_path: Path) -> None:
    variant = Variant("it", SiteEncoderConfig(4, 8, 1), objective=SiteDiscrepancy())
    check_method(method, get_task("pooled-sites", **TINY), variant, tmp_path / "runs")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SiteDiscrepancy(weight=-1.0), "weight must be a finite number of at least 0, got -1"),
        (lambda: SiteDiscrepancy(bins=0), "bins must be at least 1, got 0"),
        (lambda: TwoStage(first_share=1.0), "first_share must be between 0 and 1, got 1"),
        (lambda: SiteEncoderConfig(latent_dim=1), "latent_dim must be at least 2"),
        (lambda: TwoStageEncoderConfig(num_covariates=0), "num_covariates must be at least 1, got 0"),
        (
            lambda: build_model(task(), Variant("it", SiteEncoderConfig(), objective=TwoStage())),
            "two stages need the network 'two-stage-encoder', got EncoderNetwork",
        ),
        (
            lambda: build_model(get_task("tables"), Variant("it", MLPConfig(), objective=SiteDiscrepancy())),
            "pooling needs rows of several sites|no folder to read",
        ),
        (
            lambda: TwoStage(first_share=0.1).control(build_model(task(), Variant("it", NETWORK)), 3),
            "first_share=0.1 of 3 steps gives 0 to the first stage: each of the two needs at least one",
        ),
    ],
)
def test_settings_that_are_refused(make: Any, message: str) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        make()


@pytest.mark.parametrize("name", ["pooling", "pooling-heart", "pooling-abide"])
def test_arms_name_their_knob(name: str) -> None:
    for full in (False, True):
        design = get_design(name, full=full)
        assert len(design.seeds) >= 3
        assert design.train.eval_every == design.train.steps
        assert all(variant.knob for variant in design.variants if variant.neighbor)
        names = [variant.name for variant in design.variants]
        assert names[0] == "columns, one site"
        assert names[-1] == "two stages"
    assert len(get_design(name, full=False).runs()) == {"pooling": 30, "pooling-heart": 120, "pooling-abide": 150}[name]


def tiny(design: StudyDesign) -> StudyDesign:
    steps = {"steps": 6, "eval_every": 6, "checkpoint_every": 6, "batch_size": 40, "warmup_steps": 2}
    return replace(
        design, train=replace(design.train, **steps), seeds=(0,), task_options={**design.task_options, **TINY}
    )


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Probes of two steps."""
    monkeypatch.setattr("rapidash.represent.pooling._probes._STEPS", 2)
    monkeypatch.setattr("rapidash.represent.pooling._probes._LOOK", 1)


def test_records_hold_figures_and_the_section_shows_them(tmp_path: Path, few: None) -> None:
    pytest.importorskip("sklearn")
    design = tiny(get_design("pooling")).select(["columns, one site", "columns, ComBat", "adversary", "two stages"])
    for config in design.runs():
        record = run_one(config, tmp_path)
        assert record is not None
        assert record["status"] == "done", record["error"]
        figures = {m["name"]: m["value"] for m in record["measurements"] if m["moment"] == "after"}
        assert set(FIGURES) <= figures.keys()
        assert figures[error_name(OWN)] == pytest.approx(record["test_error"], abs=1e-3)
        sites = [figures[error_name(OWN, site)] for site in ("0", "1")]
        assert min(sites) <= figures[error_name(OWN)] <= max(sites)
        assert all(0 <= figures[error_name(who)] <= 100 for who in ANSWERERS)
    run_study(design, tmp_path, progress=False)
    shown = terminal_table(summarize(read_study(tmp_path)))
    assert "Sites and covariate" in shown
    assert "The covariate alone gives away the site of" in shown


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, float]]:
    """Means over the three seeds of the quick study, by variant and figure."""
    figures: dict[str, dict[str, float]] = {}
    design = get_design("pooling").select(["encoder", "discrepancy", "two stages"])
    for config in design.runs():
        record = run_one(config, tmp_path_factory.getbasetemp() / "pooling")
        assert record is not None
        assert record["status"] == "done", record["error"]
        mine = figures.setdefault(config.variant.name, {})
        for m in record["measurements"]:
            if m["name"] in (LEAK, COVARIATE, error_name(OWN)):
                mine[m["name"]] = mine.get(m["name"], 0.0) + m["value"] / len(design.seeds)
    return figures


@pytest.mark.slow
def test_two_stages_keep_the_covariate_and_the_accuracy_and_leak_less(compared: dict[str, dict[str, float]]) -> None:
    staged, marginal, plain = (compared[name] for name in ("two stages", "discrepancy", "encoder"))
    assert staged[COVARIATE] >= marginal[COVARIATE] + 0.3
    assert staged[error_name(OWN)] <= plain[error_name(OWN)] + 1
    assert staged[LEAK] < marginal[LEAK] < plain[LEAK]


@pytest.mark.slow
@pytest.mark.xfail(reason="0.72 on the data of the seeds 0 to 2, 0.39 and 0.41 on those where weights were chosen")
def test_two_stages_leak_at_most_three_fifths(compared: dict[str, dict[str, float]]) -> None:
    assert compared["two stages"][LEAK] <= 0.6 * compared["discrepancy"][LEAK]
