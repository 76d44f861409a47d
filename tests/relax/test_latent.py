"""Equivariance of latents by known and learned actions."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from rapidash._seed import seeded
from rapidash.data import Batch, Field, RowBatch
from rapidash.groups import Image, MatrixGroup, RegularCopies, cyclic, finite_table, grid_symmetries, motion
from rapidash.methods import Step, StepView, Subject, Variant, build_model, evaluate
from rapidash.models import DGCNNConfig, MLPConfig, RapidashConfig
from rapidash.relax import LatentEquivariance, LearnedLatentAction, latent_error, measure_latent
from rapidash.relax._latent_error import latent_variance
from rapidash.relax._latent_layer import LatentWatch, latent_layer
from rapidash.study import get_design
from rapidash.tasks import get_task
from rapidash.train import TrainConfig, train

SMALL = RapidashConfig(grid="platonic", num_orientations=12, channels=8, num_layers=2, basis_dim=8, basis_hidden_dim=8)
CLOUDS = get_task("nbody", num_train=40, num_val=20, num_test=8)
GLYPHS = get_task("glyphs", num_train=60, num_val=40, num_test=20)
ONE = get_task("glyphs", num_glyphs=1, group="D4", num_train=60, num_val=40, num_test=20)
HEAD = MLPConfig(hidden_dim=16, num_layers=1)
STEPS = TrainConfig(steps=12, batch_size=10, warmup_steps=2, eval_every=6, checkpoint_every=6, learning_rate=5e-3)


def view_of(model: nn.Module, batch: Batch, task: object, control: object) -> StepView:
    control.before(0)
    prediction = model(batch)
    loss = task.loss(prediction, batch)
    return StepView(0, 1, model, batch, Step(loss, prediction), seeded("g"), task=task)


def term(method: object, model: nn.Module, batch: Batch, task: object) -> Tensor:
    """The weighted error of the latent."""
    control = method.control(model, 1)
    view = view_of(model, batch, task, control)
    found = control.terms(view)
    assert view.passes == 1
    assert not any(module._forward_hooks for module in model.modules())  # nothing is watched afterwards
    return found[next(iter(found))]


def test_error_and_variance_by_hand() -> None:
    """Rows (0, 0), (2, 2) and (0, 2), (2, 4): mean square 2; variances 1 and 2, mean 1.5."""
    expected, found = torch.tensor([[0.0, 0], [2, 2]]), torch.tensor([[0.0, 2], [2, 4]])
    assert float(latent_variance(expected, found)) == pytest.approx(1.5)
    assert float(latent_error(expected, found)) == pytest.approx(2 / 1.5)
    assert float(latent_error(expected, found, normalize=False)) == pytest.approx(2.0)
    unrelated = torch.randn(2, 20000, 4, generator=seeded("unrelated"))
    assert float(latent_error(*unrelated)) == pytest.approx(2.0, rel=0.02)


def test_a_latent_that_shrinks_gains_nothing() -> None:
    """The divided error does not know the size of a latent: along the latent itself its gradient is zero."""
    z = torch.randn(2, 6, 4, generator=seeded("shrinks"), dtype=torch.float64).requires_grad_()
    torch.testing.assert_close(latent_error(*(3 * z)), latent_error(*z))
    for normalize, slope in ((True, 0.0), (False, 2 * float(latent_error(*z, normalize=False).detach()))):
        (gradient,) = torch.autograd.grad(latent_error(*z, normalize=normalize), z)
        assert float((gradient * z.detach()).sum()) == pytest.approx(slope, abs=1e-9)


def test_a_constant_latent_has_error_zero_and_gradient_zero() -> None:
    z = torch.zeros(3, 4, requires_grad=True)
    error = latent_error(z, z + 0)
    error.backward()
    assert float(error.detach()) == 0.0
    assert torch.equal(z.grad, torch.zeros(3, 4))


class Encoder(nn.Module):
    """E(x)[h] = phi(h^-1 x) is a function on the group that moves as a regular representation: R(g) E(x) = E(g x)."""

    def __init__(self, group: MatrixGroup, names: tuple[str, ...], fields: dict[str, Field]) -> None:
        super().__init__()
        self.elements, self.names, self.fields = group.elements(), names, fields
        self.phi = nn.Linear(144 * len(names), 2).double()
        self.identity = nn.Identity()

    def forward(self, batch: Batch) -> Tensor:
        values = []
        for g in self.elements:
            moved = batch.transform(torch.linalg.inv(g))
            values.append(self.phi(torch.cat([moved[name].flatten(1) for name in self.names], dim=1)).tanh())
        return self.identity(torch.stack(values, dim=-1).flatten(1))  # (B, 2 copies of the group)


class Anything:
    """A task without a loss to speak of."""

    name, dim = "anything", 0

    def __init__(self, moves: MatrixGroup) -> None:
        self.moves = moves

    def loss(self, prediction: Tensor, batch: Batch) -> Tensor:
        return prediction.sum()


@pytest.mark.parametrize("task", [GLYPHS, ONE], ids=["C4 x C4", "D4"])
def test_the_error_of_an_equivariant_latent_is_zero_and_that_of_another_is_not(task: object) -> None:
    data = task.dataset("val")
    batch = data.batch(torch.arange(10))
    names = tuple(name for name in batch.tensors if name != "label")
    model = Encoder(task.moves, names, data.fields)
    regular, trivial = (LatentEquivariance(3.0, action=action, layer="identity") for action in ("regular", "trivial"))
    assert float(term(regular, model, batch, Anything(task.moves)).detach()) < 1e-12
    assert float(term(trivial, model, batch, Anything(task.moves)).detach()) > 0.1
    torch.manual_seed(0)
    network = build_model(task, Variant("a", HEAD)).double()
    method = LatentEquivariance(3.0, num_invariant=0)
    assert float(term(method, network, batch, task).detach()) > 0.1


def test_the_weight_and_the_element_by_hand() -> None:
    """A half turn swaps two pixels (a, b): the latent (a, b) moves as they do, the latent (a, 2 b) does not."""
    group = cyclic(2)
    x = torch.tensor([[[1.0, 4.0]], [[2.0, 3.0]], [[5.0, 1.0]], [[0.0, 2.0]]], dtype=torch.float64)
    batch = RowBatch({"x": x}, {"x": Field(Image(), level="cloud")})

    class Scaled(nn.Module):
        latent_layer = "latent"

        def __init__(self, second: float) -> None:
            super().__init__()
            self.latent = nn.Linear(2, 2, bias=False).double()
            self.latent.weight.data = torch.diag(torch.tensor([1.0, second], dtype=torch.float64))

        def forward(self, given: Batch) -> Tensor:
            return self.latent(given["x"][:, 0])

    method = LatentEquivariance(0.5, "C2", normalize=False)
    assert float(term(method, Scaled(1.0), batch, Anything(group)).detach()) < 1e-20
    is_turned = group.sample(4, generator=seeded("g"))[:, 0, 0] < 0
    a, b = x[:, 0].T
    # R (a, 2 b) = (2 b, a), and E(b, a) = (b, 2 a): the difference is (b, -a)
    expected = 0.5 * ((a.square() + b.square()) * is_turned).sum() / 8
    assert float(term(method, Scaled(2.0), batch, Anything(group)).detach()) == pytest.approx(float(expected), rel=1e-9)


def test_orientations_of_a_cloud_move_by_the_grid() -> None:
    """Exact for an E(3)-equivariant network over the 60 rotations of the icosahedron, not for one of T(3)."""
    batch = CLOUDS.dataset("val").batch(torch.arange(4)).to(dtype=torch.float64)
    torch.manual_seed(0)
    for symmetry, is_exact in (("E(3)", True), ("T(3)", False)):
        model = build_model(CLOUDS, Variant("a", replace(SMALL, symmetry=symmetry))).double()
        error = float(term(LatentEquivariance(1.0, action="grid"), model, batch, CLOUDS).detach())
        assert (error < 1e-20) if is_exact else (error > 1e-2)


def test_a_feature_map_moves_as_an_image() -> None:
    """A convolution whose kernel is the same in all four turns commutes with them."""

    class Convolution(nn.Module):
        latent_layer = "conv"

        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 2, 3, padding=1).double()

        def forward(self, batch: Batch) -> Tensor:
            return self.conv(batch["left"])

    one = get_task("glyphs", num_glyphs=1, num_val=6)
    batch, model = one.dataset("val").batch(torch.arange(6)), Convolution()
    method = LatentEquivariance(1.0, action="image")
    assert float(term(method, model, batch, Anything(one.moves)).detach()) > 1e-2
    kernel = model.conv.weight.data
    model.conv.weight.data = sum(torch.rot90(kernel, k, (2, 3)) for k in range(4))
    assert float(term(method, model, batch, Anything(one.moves)).detach()) < 1e-20


def trained(task: object, config: object, methods: tuple, run_dir: Path, steps: TrainConfig = STEPS, seed: int = 0):
    model = build_model(task, Variant("a", config, methods=methods), seed=seed)
    sets = {"train_set": task.dataset("train"), "val_set": task.dataset("val"), "seed": seed, "run_dir": run_dir}
    return model, train(model, task, steps, methods=methods, progress=False, **sets)


def test_weight_zero_is_plain_training_bit_for_bit(tmp_path: Path) -> None:
    plain, _ = trained(GLYPHS, HEAD, (), tmp_path / "plain")
    for off in (LatentEquivariance(0.0), LearnedLatentAction(0.0, "C4 x C4", 64)):
        model, result = trained(GLYPHS, HEAD, (off,), tmp_path / off.kind)
        assert all(torch.equal(value, model.state_dict()[name]) for name, value in plain.state_dict().items())
        assert len(model.state_dict()) == len(plain.state_dict())
        assert result.extra_passes == 0


def test_training_makes_the_latent_equivariant_and_the_raw_term_makes_it_small(tmp_path: Path) -> None:
    steps = replace(STEPS, steps=150, batch_size=30, eval_every=150, checkpoint_every=150)
    rows = {}
    for name, method in {"divided": LatentEquivariance(1.0), "raw": LatentEquivariance(1.0, normalize=False)}.items():
        rows[name] = trained(GLYPHS, HEAD, (method,), tmp_path / name, steps)[1].history[-1]
    assert rows["divided"]["value/latent error"] < 0.2
    assert rows["raw"]["value/latent error"] > 1.0  # about as unrelated as it began
    assert rows["raw"]["value/latent variance"] < 0.1 * rows["divided"]["value/latent variance"]


def test_a_learned_action_stands_beside_the_network_and_is_dropped(tmp_path: Path) -> None:
    method = LearnedLatentAction(1.0, "C4 x C4", 64)
    model, result = trained(GLYPHS, HEAD, (method,), tmp_path)
    last = result.history[-1]
    assert sum(last[f"value/irrep {index}"] for index in range(16)) == pytest.approx(64)
    assert last["value/learned action relations"] > 0
    assert result.extra_passes == 1
    names = set(build_model(GLYPHS, Variant("plain", HEAD)).state_dict())
    batch = GLYPHS.dataset("val").batch(torch.arange(4)).to(dtype=torch.float32)
    before = model(batch)
    assert set(method.finish(model).state_dict()) == names
    assert torch.equal(model(batch), before)


def test_the_layer_of_the_latent() -> None:
    clouds = build_model(CLOUDS, Variant("a", SMALL))
    assert latent_layer(clouds) == "backbone.blocks.1"
    assert latent_layer(build_model(GLYPHS, Variant("a", HEAD))) == "encoder"
    drawn = get_task("glyphs", num_glyphs=1, predict="image")
    assert latent_layer(build_model(drawn, Variant("a", HEAD))) == "network.encoder"
    assert latent_layer(clouds, "backbone.blocks.0") == "backbone.blocks.0"
    with pytest.raises(ValueError, match=r"unknown layer for the latent: 'backbone.block.1'.*mean 'backbone.blocks.1'"):
        latent_layer(clouds, "backbone.block.1")
    with pytest.raises(ValueError, match=r"which layer of NBodyNetwork is the latent\? Name it with layer=.*backbone"):
        latent_layer(build_model(CLOUDS, Variant("a", DGCNNConfig(channels=8, num_layers=2))))


@pytest.mark.usefixtures("shape_checks_off")
def test_latents_that_do_not_fit_are_said() -> None:
    glyphs, batch = build_model(GLYPHS, Variant("a", HEAD)).double(), GLYPHS.dataset("val").batch(torch.arange(4))
    odd = get_task("glyphs", latent_dim=66, num_val=40)
    with pytest.raises(ValueError, match=r"'encoder' of shape \(4, 66\).*a width of 64, or num_invariant=2"):
        term(LatentEquivariance(1.0), build_model(odd, Variant("a", HEAD)).double(), batch, odd)
    network = build_model(odd, Variant("a", HEAD)).double()
    assert float(term(LatentEquivariance(1.0, num_invariant=2), network, batch, odd).detach()) > 0
    with pytest.raises(ValueError, match=r"C\(4\) cannot move the data: field 'left': elements of C\(4\) x C\(4\)"):
        term(LatentEquivariance(1.0, "C4"), glyphs, batch, GLYPHS)
    with pytest.raises(ValueError, match="action='grid' permutes the orientations of a Rapidash network"):
        LatentEquivariance(1.0, action="grid").control(glyphs, 1)
    with pytest.raises(ValueError, match=r"is no feature map \(B, C, H, W\): action='image' needs one"):
        term(LatentEquivariance(1.0, action="image"), glyphs, batch, GLYPHS)
    narrow = LearnedLatentAction(1.0, "C4 x C4", 32)
    with pytest.raises(ValueError, match="'encoder' has width 64, dim=32: set dim"):
        term(narrow, build_model(GLYPHS, Variant("a", HEAD, methods=(narrow,))).double(), batch, GLYPHS)
    clouds, batch = (
        build_model(CLOUDS, Variant("a", SMALL)).double(),
        CLOUDS.dataset("val").batch(torch.arange(2)).to(dtype=torch.float64),
    )
    with pytest.raises(ValueError, match=r"SO\(3\) is not finite: action='regular' needs a finite group"):
        term(LatentEquivariance(1.0), clouds, batch, CLOUDS)
    with pytest.raises(ValueError, match=r"does not take action='grid' of O: the element does not map the orientation"):
        term(LatentEquivariance(1.0, "octahedral", "grid"), clouds, batch, CLOUDS)
    with pytest.raises(ValueError, match="the layer 'backbone' returns RapidashOutput, a latent is one tensor"):
        term(LatentEquivariance(1.0, "octahedral", "trivial", layer="backbone"), clouds, batch, CLOUDS)
    with pytest.raises(ValueError, match=r"the layer 'backbone.table' was not called"):
        LatentWatch(clouds, "backbone.table").take()


def test_settings_that_make_no_sense_are_said() -> None:
    with pytest.raises(ValueError, match=r"weight and num_invariant must be at least 0, got -1.0 and 0"):
        LatentEquivariance(-1.0)
    with pytest.raises(ValueError, match=r"action must be one of .* got 'regulr'"):
        LatentEquivariance(1.0, action="regulr")
    with pytest.raises(ValueError, match="num_invariant belongs to action='regular'"):
        LatentEquivariance(1.0, action="trivial", num_invariant=2)
    with pytest.raises(ValueError, match=r"SO\(3\) is not finite"):
        LatentEquivariance(1.0, "SO(3)")
    with pytest.raises(ValueError, match="at least 0 and dim at least 1"):
        LearnedLatentAction(1.0, "C4", 0)
    with pytest.raises(ValueError, match="init must be 'orthogonal' or 'identity', got 'random'"):
        LearnedLatentAction(1.0, "C4", 4, init="random")
    with pytest.raises(ValueError, match="not finite"):
        LearnedLatentAction(1.0, "SO(2)", 4)
    with pytest.raises(ValueError, match="has a learned action already"):
        build_model(GLYPHS, Variant("a", HEAD, methods=(LearnedLatentAction(1.0, "C4 x C4", 64),) * 2))


def test_every_rotation_of_the_grid_is_drawn() -> None:
    """The group of a grid is that of its rotations about the origin, as motions of space."""
    model = build_model(CLOUDS, Variant("a", SMALL))
    control = LatentEquivariance(1.0, action="grid").control(model, 1)
    view = view_of(
        model.double(), CLOUDS.dataset("val").batch(torch.arange(2)).to(dtype=torch.float64), CLOUDS, control
    )
    group = control.group.of(view)
    assert torch.equal(
        group.elements()[:, :3, :3].sum(0),
        motion(grid_symmetries(control.grid).elements, torch.zeros(60, 3).double())[:, :3, :3].sum(0),
    )
    assert len(group.elements()) == 60
    assert RegularCopies(finite_table(group)).table.table.shape == (60, 60)


def measured(task: object, config: object) -> dict[str, float]:
    variant = Variant("a", config)
    model = build_model(task, variant).double().eval()
    subject = Subject(model, task, task.dataset("val"), task.ledger(variant), "before", "full", 0)
    found = list(measure_latent(subject))
    assert all(entry.better == "lower" for entry in found)
    return {f"{entry.name}, {entry.group}": entry.value for entry in found}


def test_the_measure_of_latents_is_exact_for_an_equivariant_one_and_leaves_others_out() -> None:
    clouds = measured(CLOUDS, SMALL)
    group = "grid group of order 60"
    assert list(clouds) == [f"latent error, {a}, {group}" for a in ("permuted orientations", "trivial action")]
    assert clouds[f"latent error, permuted orientations, {group}"] < 1e-20
    assert clouds[f"latent error, trivial action, {group}"] > 0.1
    assert list(measured(GLYPHS, HEAD)) == [
        f"latent error, {a}, C(4) x C(4)" for a in ("regular action", "trivial action")
    ]
    assert measured(CLOUDS, replace(SMALL, space="R3")) == {}  # no orientations
    assert measured(CLOUDS, DGCNNConfig(channels=8, num_layers=2)) == {}  # no obvious latent


@pytest.mark.slow
def test_exploration_finds_an_action_and_its_parts_depend_on_the_beginning(tmp_path: Path) -> None:
    task = get_task("glyphs", num_glyphs=1, predict="image", latent_dim=8, noise=0.1, num_train=600, num_val=100)
    steps = TrainConfig(
        steps=1500, batch_size=64, warmup_steps=50, eval_every=1500, checkpoint_every=1500, learning_rate=3e-3
    )
    for init in ("orthogonal", "identity"):
        method = LearnedLatentAction(1.0, "C4", 8, init=init)
        last = trained(task, HEAD, (method,), tmp_path / init, steps)[1].history[-1]
        counts = [last[f"value/irrep {index}"] for index in range(4)]
        print(init, counts, last["value/learned action error"], last["val_error"])
        assert last["value/learned action relations"] < 1e-4
        assert sum(counts) == pytest.approx(8, abs=1e-6)


@pytest.mark.slow
def test_a_regular_latent_costs_no_accuracy_and_is_equivariant_where_a_plain_one_is_not(tmp_path: Path) -> None:
    """The quick study over five seeds: errors relative to the variance, and shares of wrong labels."""
    design = get_design("relax-latent")
    task = get_task(design.task, **design.task_options)
    sets = {"train_set": task.dataset("train"), "val_set": task.dataset("val")}
    latents, wrong = {}, {}
    for variant in (found for found in design.variants if found.name in ("plain", "regular latent")):
        rows = []
        for seed in range(100, 105):  # none of those of the study
            model = build_model(task, variant, seed=seed)
            ends = {"methods": variant.methods, "progress": False, "seed": seed}
            train(model, task, design.train, **sets, **ends, run_dir=tmp_path / f"{variant.name} {seed}")
            score = evaluate(model, task, task.dataset("test"), batch_size=100)
            model = model.double().eval()
            subject = Subject(model, task, task.dataset("test"), task.ledger(variant), "after", "full", seed)
            named = {entry.name: entry.value for entry in measure_latent(subject)}
            rows.append((named["latent error, regular action"], score.mean))
        latents[variant.name], wrong[variant.name] = (sum(column) / len(rows) for column in zip(*rows))
    print(latents, wrong)
    assert latents["regular latent"] < 0.2
    assert latents["plain"] == pytest.approx(2, rel=0.2)
    assert wrong["regular latent"] <= wrong["plain"] + 2
