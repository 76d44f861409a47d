"""Pre-training on the common loop: views, encoders of any kind, probes, and what a task takes of saved weights."""

import copy
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from rapidash._plain import from_plain, to_plain
from rapidash.data import seeded
from rapidash.groups import SO, parse_matrix_group
from rapidash.methods import Variant, build_model
from rapidash.models import DGCNNConfig, EGNNConfig, MLPConfig, OrderedMLPConfig, RapidashConfig
from rapidash.predict import TrainedModel
from rapidash.represent import (
    PAIR_LOSS,
    UNEXPLAINED,
    Pretraining,
    SplitInvariantEquivariant,
    Untrained,
    encoded,
    relative_elements,
    start_from,
    two_views,
    weights_digest,
)
from rapidash.study import (
    PRETRAINING,
    Pretrained,
    RunConfig,
    SavedWeights,
    Store,
    StudyDesign,
    load_run,
    read_study,
    run_one,
    run_study,
)
from rapidash.tasks import get_task
from rapidash.train import TrainConfig

OPTIONS = {"num_train": 60, "num_val": 24, "num_test": 24, "num_templates": 3, "num_points": 5}
TASK = get_task("template-clouds", **OPTIONS)
MLP = OrderedMLPConfig(num_points=5, hidden_dim=16, num_layers=2)
SIE = SplitInvariantEquivariant(invariant_dim=4, equivariant_dim=4, projector_dim=12)
TRAIN = TrainConfig(steps=6, batch_size=8, warmup_steps=1, eval_every=3, checkpoint_every=3)
KERNELS = {"channels": 8, "num_layers": 1, "basis_dim": 8, "basis_hidden_dim": 8}


def run_of(objective: Pretraining | None, **changes: object) -> RunConfig:
    variant = Variant("one", MLP, objective=objective)
    return replace(RunConfig("template-clouds", variant, 0, TRAIN, task_options=OPTIONS), **changes)


def test_two_views_are_moved_by_the_elements_that_they_say() -> None:
    batch = TASK.dataset("train").batch(torch.arange(4))
    views = two_views(batch, SO(3), seeded(0))
    assert views.num_samples == 8
    first, second = views.pos.view(2, 4, 5, 3)
    g = relative_elements(views, SO(3))[:, :3, :3]
    assert torch.allclose(first @ g.mT, second, atol=1e-5)  # x_2 = g x_1, in the frame of the world
    assert not torch.allclose(first, second, atol=0.1)
    turned = views.transform(SO(3).sample(8, generator=seeded(1)))  # as an augmentation does
    first, second = turned.pos.view(2, 4, 5, 3)
    assert torch.allclose(first @ relative_elements(turned, SO(3))[:, :3, :3].mT, second, atol=1e-5)


def test_pairs_without_their_element_are_refused() -> None:
    model = build_model(TASK, Variant("one", MLP, objective=SIE))
    batch = TASK.dataset("train").batch(torch.arange(4)).repeat(2)
    with pytest.raises(ValueError, match="the pairs have no field 'element'"):
        SIE.step(model, TASK, batch, seeded(0))
    with pytest.raises(ValueError, match="even number of rows"):
        SIE.step(model, TASK, TASK.dataset("train").batch(torch.arange(3)), seeded(0))
    one = two_views(TASK.dataset("train").batch(torch.arange(1)), SO(3), seeded(0))
    with pytest.raises(ValueError, match="at least 2 samples"):
        SIE.step(model, TASK, one, seeded(0))


@pytest.mark.parametrize(
    "network",
    [
        MLP,
        RapidashConfig(symmetry="E(3)", space="R3", **KERNELS),
        RapidashConfig(symmetry="SE(3)", space="R3xS2", num_orientations=6, grid="platonic", **KERNELS),
        EGNNConfig(channels=8, num_layers=1),
        DGCNNConfig(channels=8, num_layers=1, edges="knn-3", pools_features=True),
    ],
    ids=lambda config: config.kind,
)
def test_any_network_of_clouds_is_an_encoder(network) -> None:
    variant = Variant("one", network, objective=SIE)
    model = build_model(TASK, variant).eval()
    batch = TASK.dataset("val").batch(torch.arange(6))
    model.calibrate(batch)
    found = model.features(batch)
    assert found.invariant.shape == found.equivariant.shape == (6, 4)
    assert torch.equal(model(batch), found.invariant)
    tuned = build_model(TASK, Variant("two", network))
    names = set(tuned.state_dict())
    assert names == set(model.encoder.state_dict())  # so that the weights fit by name
    assert from_plain(Variant, to_plain(variant)) == variant


def test_vectors_of_an_encoder_turn_with_the_cloud() -> None:
    network = RapidashConfig(symmetry="SE(3)", space="R3xS2", num_orientations=12, grid="platonic", **KERNELS)
    objective = SplitInvariantEquivariant(invariant_dim=4, equivariant_dim=6, has_vectors=True, projector_dim=12)
    model = build_model(TASK, Variant("one", network, objective=objective)).double().eval()
    batch = TASK.dataset("val").batch(torch.arange(3)).to(dtype=torch.float64)
    g = parse_matrix_group("icosahedral").elements()[7]  # which permutes the orientations
    here, there = model.features(batch), model.features(batch.transform(g))
    assert torch.allclose(here.invariant, there.invariant, atol=1e-9)
    turned = here.equivariant.view(3, 2, 3) @ g[:3, :3].T
    assert torch.allclose(turned.flatten(1), there.equivariant, atol=1e-9)
    assert float(here.equivariant.detach().norm()) > 1e-3
    with pytest.raises(ValueError, match="multiple of 3"):
        build_model(TASK, Variant("one", network, objective=replace(objective, equivariant_dim=4)))


def test_rows_have_encoders_too_and_other_tasks_are_refused() -> None:
    digits = get_task("rotated-digits", num_train=20, num_val=10, num_test=10)
    objective = Untrained(invariant_dim=4, group="C4")
    model = build_model(digits, Variant("one", MLPConfig(hidden_dim=8), objective=objective))
    assert encoded(model, digits.dataset("val"), 4).invariant.shape == (10, 4)
    nbody = get_task("nbody", num_train=4, num_val=2, num_test=2)
    with pytest.raises(ValueError, match="asks for values of points"):
        build_model(nbody, Variant("one", MLP, objective=SIE))


def test_a_run_resumes_probes_at_every_validation_and_is_saved(tmp_path: Path) -> None:
    config = run_of(SIE)
    record = run_one(config, tmp_path / "a")
    assert record["status"] == "done", record["error"]
    assert record["metric"] == UNEXPLAINED
    assert record["unit"] == "%"
    for row in record["history"]:
        assert {f"val/{PAIR_LOSS}", "val_error", "loss/invariance", "loss/equivariance"} <= row.keys()
        assert 0 <= row["val_error"] <= 200
    loaded = TrainedModel.from_pretrained(Store(tmp_path / "a").work_dir(config.key)).model
    features = encoded(loaded, TASK.dataset("test"), 8)
    assert features.both.shape == (24, 8)
    assert load_run(Store(tmp_path / "a").work_dir(config.key)).config == config
    unlabeled = replace(SIE, select="loss", label="")
    data = {"train": TASK.dataset("train"), "batch_size": 8}
    score = unlabeled.score(loaded, TASK, TASK.dataset("test"), **data)
    assert score.error == pytest.approx(record["test_details"][PAIR_LOSS], rel=1e-5)
    assert unlabeled.metric(TASK) == PAIR_LOSS
    other = run_one(run_of(replace(SIE, label="kind")), tmp_path / "a")
    assert "have no field 'kind'" in other["error"]


def test_resuming_gives_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run_one(run_of(SIE), tmp_path / "whole")
    calls = []
    step = SplitInvariantEquivariant.step

    def stops(self, *args: object) -> object:
        calls.append(1)
        if len(calls) == 5:  # after the checkpoint of step 3
            raise KeyboardInterrupt
        return step(self, *args)

    monkeypatch.setattr(SplitInvariantEquivariant, "step", stops)
    with pytest.raises(KeyboardInterrupt):
        run_one(run_of(SIE), tmp_path / "parts")
    monkeypatch.setattr(SplitInvariantEquivariant, "step", step)
    again = run_one(run_of(SIE), tmp_path / "parts")
    assert again["test_error"] == whole["test_error"]
    digests = {weights_digest(Store(tmp_path / name).work_dir(whole["key"])) for name in ("whole", "parts")}
    assert len(digests) == 1


def test_a_task_begins_with_what_fits_of_a_pretrained_encoder(tmp_path: Path) -> None:
    first = run_of(SIE)
    run_one(first, tmp_path)
    folder = Store(tmp_path).work_dir(first.key)
    saved = TrainedModel.from_pretrained(folder).model.encoder.state_dict()
    model = build_model(TASK, Variant("one", MLP))
    fresh = copy.deepcopy(model.state_dict())
    start = start_from(model, folder)
    assert set(start.fresh) == {"backbone.head.weight", "backbone.head.bias", "backbone.direct.weight"}
    assert all(torch.equal(model.state_dict()[name], fresh[name]) for name in start.fresh)
    assert start.loaded
    assert all(torch.equal(model.state_dict()[name], saved[name]) for name in start.loaded)
    assert start.trained["objective"] == "sie"
    assert any(name.startswith("heads.") for name in start.unused)
    with pytest.raises(ValueError, match=r"no weight of .* fits the model"):
        start_from(build_model(TASK, Variant("one", replace(MLP, hidden_dim=24))), folder)
    with pytest.raises(FileNotFoundError, match="no saved model"):
        start_from(model, tmp_path / "nowhere")
    trained = TrainedModel.from_pretrained(folder)
    with torch.no_grad():
        trained.model.encoder.backbone.layers[0][0].bias[0] = torch.nan
    trained.save_pretrained(tmp_path / "broken")
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match=r"encoder.backbone.layers.0.0.bias is not finite"):
        start_from(model, tmp_path / "broken")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_an_orientation_grid_stays_the_models_own(tmp_path: Path) -> None:
    network = RapidashConfig(symmetry="SE(3)", space="R3xS2", num_orientations=12, grid="fibonacci", **KERNELS)
    first = run_of(SIE, variant=Variant("one", network, objective=SIE))
    run_one(first, tmp_path)
    model = build_model(TASK, Variant("one", replace(network, grid="platonic")))
    own = {name: value.clone() for name, value in model.state_dict().items() if name.endswith("grid")}
    start = start_from(model, Store(tmp_path).work_dir(first.key))
    assert own
    assert all(torch.equal(model.state_dict()[name], value) for name, value in own.items())
    assert set(own) <= set(start.fresh)


def test_calibration_leaves_trained_kernels_alone(tmp_path: Path) -> None:
    network = RapidashConfig(symmetry="E(3)", space="R3", **KERNELS)
    first = run_of(SIE, variant=Variant("one", network, objective=SIE))
    run_one(first, tmp_path)
    model = build_model(TASK, Variant("one", network))
    start_from(model, Store(tmp_path).work_dir(first.key))
    before = copy.deepcopy(model.state_dict())
    model.calibrate(TASK.dataset("train").batch(torch.arange(8)))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model.backbone.is_calibrated
    other = build_model(TASK, Variant("one", network))  # or the test would see nothing
    kernels = copy.deepcopy(other.state_dict())
    other.calibrate(TASK.dataset("train").batch(torch.arange(8)))
    assert not all(torch.equal(value, kernels[name]) for name, value in other.state_dict().items())


def test_a_run_says_where_its_weights_came_from_and_knows_them_by_content(tmp_path: Path) -> None:
    first = run_of(SIE)
    run_one(first, tmp_path / "a")
    folder = Store(tmp_path / "a").work_dir(first.key)
    init = SavedWeights.of(folder)
    tuned = run_of(None, init=init)
    assert tuned.key != run_of(None).key
    assert tuned.key == replace(tuned, init=replace(init, folder="elsewhere")).key
    assert tuned.key != replace(tuned, init=replace(init, sha256="0" * 64)).key
    record = run_one(tuned, tmp_path / "b")
    assert record["status"] == "done", record["error"]
    assert record["start"]["weights_sha256"] == init.sha256
    assert record["start"]["trained"]["objective"] == "sie"
    assert "backbone.head.weight" in record["start"]["fresh"]
    assert RunConfig.from_dict(record["config"]) == tuned
    assert load_run(Store(tmp_path / "b").work_dir(tuned.key)).config == tuned
    missing = run_one(replace(tuned, init=replace(init, sha256="0" * 64)), tmp_path / "b")
    assert "they were replaced" in missing["error"]


def test_runs_without_a_beginning_keep_their_key() -> None:
    plain = run_of(None).to_dict()
    del plain["init"]
    assert RunConfig.from_dict(plain) == run_of(None)
    assert RunConfig.from_dict(plain).key == run_of(None).key


def labels_design(fractions: tuple[float, ...] = (1.0, 0.2)) -> StudyDesign:
    variants = (Variant("fresh", MLP), Variant("fine-tuned", MLP, neighbor="fresh", knob="begins with SIE"))
    init = Pretrained(Variant("SIE", MLP, objective=SIE), TRAIN, "template-clouds", OPTIONS)
    return StudyDesign("template-clouds", variants, TRAIN, (0,), fractions, OPTIONS, inits={"fine-tuned": init})


def test_a_study_compares_fresh_and_fine_tuned_at_growing_fractions(tmp_path: Path) -> None:
    records = run_study(labels_design(), tmp_path, workers=1, progress=False)
    assert [record["status"] for record in records] == ["done"] * 4
    tuned = [record for record in records if record["config"]["variant"]["name"] == "fine-tuned"]
    assert len({record["start"]["weights_sha256"] for record in tuned}) == 1  # trained once
    assert all("start" not in record for record in records if record not in tuned)
    assert len(Store(tmp_path / PRETRAINING).records()) == 1
    study = read_study(tmp_path)
    assert len(study.records) == 4
    plain = json.loads((tmp_path / "study.json").read_text())
    assert plain["inits"]["fine-tuned"]["variant"]["objective"]["kind"] == "sie"
    with pytest.raises(ValueError, match="variant in inits"):
        replace(labels_design(), inits={"fine-tuned?": labels_design().inits["fine-tuned"]})
    assert labels_design().select(["fresh"]).inits == {}


def test_a_failed_pretraining_is_told(tmp_path: Path) -> None:
    design = labels_design((1.0,))
    given = design.inits["fine-tuned"]
    assert isinstance(given, Pretrained)
    broken = replace(given, variant=replace(given.variant, objective=replace(SIE, label="kind")))
    (config,) = [run for run in replace(design, inits={"fine-tuned": broken}).runs() if run.init is not None]
    record = run_one(config, tmp_path)
    assert record["status"] == "failed"
    assert "the pre-training SIE" in record["error"]
