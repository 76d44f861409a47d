"""SIE: its loss, its map of features, its controls, and (slow) what the split learns."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from rapidash.data import seeded
from rapidash.groups import SO, parse_matrix_group
from rapidash.methods import Variant, build_model
from rapidash.models import OrderedMLPConfig, RapidashConfig, RenderedCNNConfig
from rapidash.report import terminal_table, write_report
from rapidash.represent import (
    CLASS,
    EQUIVARIANT,
    HIT,
    HOMOMORPHISM,
    INVARIANT,
    MOTION,
    MRR,
    LinearRepresentation,
    SplitFeatures,
    SplitInvariantEquivariant,
    VectorRepresentation,
    figure_of,
    homomorphism_error,
    retrieved,
    sie_terms,
    two_views,
    vicreg_variance,
)
from rapidash.represent._representation import quaternion, quaternion_product
from rapidash.study import StudyDesign, get_design, read_study, run_one, run_study, summarize
from rapidash.tasks import get_task

OPTIONS = {"num_train": 60, "num_val": 24, "num_test": 24, "num_templates": 3}


def normal(*shape: int, seed: object = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=seeded("sie", seed), dtype=torch.float64)


def test_the_map_is_linear_in_the_code_and_cannot_be_constant() -> None:
    rep = LinearRepresentation("SO(3)", 4).double()
    first, second = normal(7, 9), normal(7, 9, seed=1)
    mixed = rep.of_code(2.0 * first - 3.0 * second)
    assert (mixed - 2 * rep.of_code(first) + 3 * rep.of_code(second)).abs().max() < 1e-12
    assert rep.of_code(torch.zeros(1, 9, dtype=torch.float64)).abs().max() == 0
    g = SO(3).sample(7, generator=seeded(2))
    assert torch.allclose(rep(g), (g[:, :3, :3].reshape(7, 9) @ rep.weight.T).view(7, 4, 4))
    with torch.no_grad():
        rep.weight.zero_()
    predicted = torch.einsum("bij,bj->bi", rep(g), normal(7, 4))
    assert float(vicreg_variance(predicted.detach())) == pytest.approx(0.495)


def test_the_map_takes_the_first_view_to_the_second() -> None:
    rep = LinearRepresentation("SO(3)", 3)
    with torch.no_grad():
        rep.weight.copy_(torch.eye(9))  # W(g) = g
    first, second = (SO(3).sample(5, generator=seeded(k)).float() for k in range(2))
    x = normal(5, 3).float()
    moved = torch.einsum("bij,bj->bi", first[:, :3, :3], x)
    expected = torch.einsum("bij,bj->bi", second[:, :3, :3], x)
    assert torch.allclose(torch.einsum("bij,bj->bi", rep.between(first, second), moved), expected, atol=1e-5)


def test_the_code_of_motions_has_their_translation() -> None:
    assert LinearRepresentation("SE(3)", 2).weight.shape == (4, 12)
    assert LinearRepresentation("SO(3)", 2).weight.shape == (4, 9)
    with pytest.raises(ValueError, match=r"is for SO\(3\), the group is SE\(3\)"):
        LinearRepresentation("SE(3)", 2, "quaternion")
    with pytest.raises(ValueError, match="dim >= 1"):
        LinearRepresentation("SO(3)", 0)


def test_quaternions_and_their_sign() -> None:
    quarter = torch.tensor([[[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]], dtype=torch.float64)  # about z
    assert quaternion(quarter)[0].tolist() == pytest.approx([0.5**0.5, 0, 0, 0.5**0.5])
    half = torch.diag(torch.tensor([-1.0, 1.0, -1.0], dtype=torch.float64))[None]  # about y
    assert quaternion(half)[0].tolist() == pytest.approx([0, 0, 1, 0])
    g, h = (SO(3).sample(2000, generator=seeded("quaternions", k)) for k in range(2))
    product = quaternion_product(quaternion(g[:, :3, :3]), quaternion(h[:, :3, :3]))
    direct = quaternion((g @ h)[:, :3, :3])
    assert torch.allclose((product * direct).sum(dim=1).abs(), torch.ones(2000, dtype=torch.float64))
    raw, real = (LinearRepresentation("SO(3)", 3, e).double() for e in ("raw quaternion", "quaternion"))
    assert 0.3 < float((raw.code(g, h)[:, 0] < 0).double().mean()) < 0.5
    assert float(real.code(g, h)[:, 0].min()) >= 0
    q = real.code(g, h)
    assert torch.equal(
        real.of_code(q) + real.of_code(-q), torch.zeros(2000, 3, 3, dtype=torch.float64)
    )  # W(-q) = -W(q)


def test_vectors_have_an_exact_representation_and_a_learned_map_none() -> None:
    given = VectorRepresentation("SO(3)", 6)
    assert homomorphism_error(given, seeded(0)) < 1e-12
    g = SO(3).sample(2, generator=seeded(1))
    x = normal(2, 6)
    expected = torch.einsum("bij,bvj->bvi", g[:, :3, :3], x.view(2, 2, 3)).flatten(1)
    assert torch.allclose(torch.einsum("bij,bj->bi", given(g), x), expected)
    learned = LinearRepresentation("SO(3)", 8).double()
    assert homomorphism_error(learned, seeded(0)) > 0.5
    with torch.no_grad():  # W(g) = g is one
        same = LinearRepresentation("SO(3)", 3).double()
        same.weight.copy_(torch.eye(9))
    assert homomorphism_error(same, seeded(0)) < 1e-12
    with pytest.raises(ValueError, match="multiple of 3"):
        VectorRepresentation("SO(3)", 4)
    with torch.no_grad():
        learned.weight.zero_()
    with pytest.raises(ValueError, match="is zero for some"):
        homomorphism_error(learned, seeded(0))


def test_terms_by_hand() -> None:
    first = SplitFeatures(torch.tensor([[0.0], [2.0]]), torch.tensor([[1.0], [1.0]]))
    second = SplitFeatures(torch.tensor([[1.0], [2.0]]), torch.tensor([[0.0], [4.0]]))
    terms = sie_terms(first, second, torch.tensor([[0.0], [2.0]]))
    assert float(terms.invariance) == pytest.approx(0.5)
    assert float(terms.equivariance) == pytest.approx(2.0)
    below = [1 - (variance + 1e-4) ** 0.5 for variance in (0.0, 0.5)]  # deviations below 1; the others are above
    assert float(terms.variance) == pytest.approx(below[0] / 4 + below[1] / 4, rel=1e-5)
    assert float(terms.covariance) == pytest.approx(2.0**2, rel=1e-5)  # of the second views, 0.5 * 4 = 2
    still = sie_terms(first, second, torch.tensor([[3.0], [3.0]]))  # the same prediction for all: 0.495 more
    assert float(still.variance) == pytest.approx(float(terms.variance) + 0.495, rel=1e-5)


def vicreg_by_hand(u: torch.Tensor, w: torch.Tensor, s: float, m: float, k: float) -> float:
    """Of a separate writing, from torch.cov alone."""
    total = s * float(((u - w) ** 2).mean())
    for z in (u, w):
        c = torch.cov(z.T)
        total += m * float(torch.clamp(1 - torch.sqrt(torch.diagonal(c) + 1e-4), min=0).mean()) / 2
        total += k * float((c**2).sum() - (torch.diagonal(c) ** 2).sum()) / z.shape[1]
    return total


def test_without_an_equivariant_part_it_is_vicreg() -> None:
    task = get_task("template-clouds", **OPTIONS)
    objective = SplitInvariantEquivariant(invariant_dim=8, equivariant_dim=0, projector_dim=16)
    model = build_model(task, Variant("one", OrderedMLPConfig(12, hidden_dim=16), objective=objective)).double()
    batch = two_views(task.dataset("train").batch(torch.arange(20)), SO(3), seeded(0)).to(dtype=torch.float64)
    u, w = model.heads.invariant(model(batch)).chunk(2)
    loss = objective.step(model, task, batch, seeded(0)).loss.item()
    assert loss == pytest.approx(vicreg_by_hand(u.detach(), w.detach(), 10.0, 10.0, 1.0), rel=1e-9)
    assert model.heads.representation is None


def test_weights_multiply_their_terms() -> None:
    task = get_task("template-clouds", **OPTIONS)
    objective = SplitInvariantEquivariant(invariant_dim=4, equivariant_dim=4, projector_dim=8)
    variant = Variant("one", OrderedMLPConfig(12, hidden_dim=16), objective=objective)
    model = build_model(task, variant)
    batch = two_views(task.dataset("train").batch(torch.arange(20)), SO(3), seeded(0))
    step = objective.step(model, task, batch, seeded(0))
    parts = {name: part.item() for name, part in step.parts.items()}
    expected = 10 * (parts["invariance"] + 0.45 * parts["equivariance"]) + 10 * parts["variance"] + parts["covariance"]
    assert step.loss.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"encoding": "angles"}, "encoding must be one of"),
        ({"invariant_dim": 0}, "invariant_dim must be at least 1"),
        ({"variance": -1.0}, "weights must be at least 0"),
        ({"projector_dim": 1}, "leaves a part without features"),
        ({"has_vectors": True, "encoding": "quaternion"}, "vectors turn as they are"),
        ({"group": "SO(5)"}, "SO"),
        ({"select": "test"}, "select must be"),
    ],
)
def test_bad_settings_are_told(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SplitInvariantEquivariant(**{"invariant_dim": 4, "equivariant_dim": 4, **change})


def test_a_split_by_construction_predicts_views_of_a_fresh_network() -> None:
    network = RapidashConfig(
        symmetry="SE(3)", space="R3xS2", num_orientations=12, grid="platonic", channels=8, num_layers=1, basis_dim=8
    )
    objective = SplitInvariantEquivariant(
        invariant_dim=4, equivariant_dim=12, has_vectors=True, group="icosahedral", projector_dim=16
    )
    task = get_task("template-clouds", **{**OPTIONS, "num_test": 3})
    model = build_model(task, Variant("one", network, objective=objective)).double().eval()
    model.calibrate(task.dataset("train").batch(torch.arange(8)).to(dtype=torch.float64))
    with torch.no_grad():
        v = model.heads(model.features(task.dataset("test").batch(torch.arange(3)).to(dtype=torch.float64))).equivariant
        g = parse_matrix_group("icosahedral").sample(3, generator=seeded(1))
        batch = task.dataset("test").batch(torch.arange(3)).to(dtype=torch.float64).transform(g)
        moved = model.heads(model.features(batch)).equivariant
        identity = torch.eye(4, dtype=torch.float64).expand(3, 4, 4)
        assert torch.allclose(model.heads.predicted(v, identity, g), moved, atol=1e-8)


def tiny(design: StudyDesign) -> StudyDesign:
    steps = {"steps": 6, "eval_every": 3, "checkpoint_every": 6, "batch_size": 16, "warmup_steps": 2}
    small = []
    for variant in design.variants:
        sizes = {"hidden_dim": 8} if isinstance(variant.model, OrderedMLPConfig) else {"channels": 4, "basis_dim": 4}
        small.append(replace(variant, model=replace(variant.model, **sizes)))
    return replace(
        design, variants=tuple(small), train=replace(design.train, **steps), seeds=(0,), task_options=OPTIONS
    )


@pytest.mark.parametrize("full", [False, True])
def test_variants_differ_in_what_their_knob_says(full: bool) -> None:
    design = get_design("sie", full=full)
    names = [variant.name for variant in design.variants]
    assert names == [
        "SIE", "VICReg", "SIE, quaternion", "SIE, raw quaternion", "untrained", "split by construction",
    ]  # fmt: skip
    assert all(variant.knob for variant in design.variants[1:-1])
    assert design.variants[-1].neighbor is None  # of another network
    assert len(design.seeds) >= 3
    assert design.train.weight_decay == 0  # so that untrained weights stay as they are


@pytest.mark.slow
def test_the_study_runs_and_its_page_has_the_table(tmp_path: Path) -> None:
    records = run_study(tiny(get_design("sie", full=False)), tmp_path, workers=1, progress=False)
    assert [record["status"] for record in records] == ["done"] * 6, [record["error"] for record in records]
    figures = {
        record["config"]["variant"]["name"]: {m["name"]: m["value"] for m in record["measurements"]}
        for record in records
    }
    for name in ("SIE", "SIE, quaternion", "SIE, raw quaternion", "split by construction"):
        assert {MRR, HIT, HOMOMORPHISM, figure_of(MOTION, EQUIVARIANT)} <= figures[name].keys()
    assert figures["split by construction"][HOMOMORPHISM] < 1e-5
    assert MRR not in figures["untrained"]
    assert figure_of(MOTION, EQUIVARIANT) not in figures["VICReg"]
    assert figure_of(CLASS, INVARIANT) in figures["VICReg"]
    summary = summarize(read_study(tmp_path))
    assert "SIE" in terminal_table(summary)
    page = write_report(tmp_path).read_text()
    assert "What the features know" in page
    assert "By chance the MRR is 0.091" in page


@pytest.mark.parametrize("full", [False, True])
def test_the_study_of_images_is_that_of_clouds_seen_by_another_network(full: bool, tmp_path: Path) -> None:
    clouds, images = (get_design(name, full=full) for name in ("sie", "sie-images"))
    assert [variant.name for variant in images.variants] == [variant.name for variant in clouds.variants[:-1]]
    for one, other in zip(images.variants, clouds.variants):
        assert (one.objective, one.knob, one.neighbor) == (other.objective, other.knob, other.neighbor)
        assert isinstance(one.model, RenderedCNNConfig)
    assert (images.task, images.seeds, images.measures) == (clouds.task, clouds.seeds, clouds.measures)
    assert images.seed_option == "data_seed"
    if full:
        return
    small = replace(images, variants=(replace(images.variants[0], model=RenderedCNNConfig(size=8, channels=2)),))
    train = replace(images.train, steps=4, eval_every=2, checkpoint_every=4, batch_size=16, warmup_steps=1)
    record = run_one(replace(small, train=train, task_options=OPTIONS, seeds=(0,)).runs()[0], tmp_path)
    assert record["status"] == "done", record["error"]
    assert {MRR, HIT, figure_of(MOTION, EQUIVARIANT)} <= {m["name"] for m in record["measurements"]}


@pytest.mark.slow
def test_the_split_is_learned_and_the_encoding_decides(tmp_path: Path) -> None:
    """The acceptance of the method, on one seed of the study's quick setting."""
    design = get_design("sie", full=False)
    chosen = ("SIE", "VICReg", "SIE, raw quaternion")
    found = {}
    for run in replace(design, seeds=(0,)).select(chosen).runs():
        record = run_one(run, tmp_path)
        found[run.variant.name] = {m["name"]: m["value"] for m in record["measurements"]}
    motion = figure_of(MOTION, INVARIANT)
    assert found["SIE"][figure_of(MOTION, EQUIVARIANT)] - found["VICReg"][motion] >= 0.5
    assert abs(found["SIE"][motion]) < 0.05
    assert found["SIE"][HIT] >= 0.8
    assert abs(found["SIE"][figure_of(CLASS, INVARIANT)] - found["VICReg"][figure_of(CLASS, INVARIANT)]) <= 0.1
    assert found["SIE, raw quaternion"][HIT] < 0.2


def test_views_are_predicted_by_models_that_can() -> None:
    task = get_task("template-clouds", **OPTIONS)
    objective = SplitInvariantEquivariant(invariant_dim=8)
    model = build_model(task, Variant("one", OrderedMLPConfig(12, hidden_dim=8), objective=objective))
    with pytest.raises(ValueError, match="no equivariant part"):
        retrieved(model, task.dataset("test"), seeded(0))


def test_every_study_of_split_features_compares_what_it_says() -> None:
    labels, surfaces = (get_design(name, full=False) for name in ("sie-labels", "sie-modelnet10"))
    assert set(labels.inits) == {"from SIE", "from VICReg"}
    assert all(run.init is not None for run in labels.runs() if run.variant.name != "fresh")
    assert labels.fractions[-1] == 1.0
    assert {variant.neighbor for variant in labels.variants[1:]} == {"fresh"}
    assert [v.name for v in surfaces.variants] == ["SIE", "VICReg", "untrained", "split by construction"]
    for variant in surfaces.variants:
        model = build_model(get_task("modelnet10", **surfaces.task_options), variant)
        assert sum(model.sizes) in (64, 65)
