"""ACE on Rapidash networks: exact when projected, free when not, and closed by training."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from relax_checks import FLAT, SMALL, STEPS, TASK, error, every_rotation_of_the_grid, trained
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from rapidash._plain import from_plain, to_plain
from rapidash._seed import seeded
from rapidash.data import CloudBatch
from rapidash.groups import SO, E, Position, Scalar, motion
from rapidash.measure import Action, as_module, layerwise_equivariance_error, rapidash_layers
from rapidash.methods import (
    FULL,
    Augment,
    Average,
    Method,
    Supervised,
    Variant,
    build_model,
    evaluate,
    in_view,
    view_ledger,
    view_names,
)
from rapidash.models import DGCNNConfig, Rapidash, RapidashConfig
from rapidash.models._hidden_features import edge_kernels
from rapidash.relax import (
    ACE,
    PROJECTED,
    ConstraintRelaxation,
    FiberMLP,
    PositionMLP,
    RelaxedBlock,
    RelaxedLayer,
    RelaxingMethod,
    ResidualPathwayPrior,
    project,
    relax_blocks,
    relaxation,
    relaxed_layers,
)
from rapidash.relax._dual_ascent import Form
from rapidash.train import train
from rapidash.train._training import Setup, describe_training


@pytest.mark.parametrize("form", ["equality", "resilient"])
@pytest.mark.parametrize("model", [SMALL, FLAT], ids=["R3xS2", "R3"])
def test_the_projected_network_is_exact_before_and_after_training_and_the_full_one_is_not(
    tmp_path: Path, model: RapidashConfig, form: Form
) -> None:
    """Over all 60 rotations of the icosahedron where there are orientations; on R^3 over elements of E(3)."""
    variant = Variant("ace", model, methods=(ACE(hidden=16, tau=5.0, form=form),))
    fresh, after = build_model(TASK, variant), trained(variant, tmp_path)[0]
    for network in (fresh, after):
        elements = (
            every_rotation_of_the_grid(network) if model is SMALL else E(3).sample(12, generator=seeded("elements"))
        )
        with in_view(network, variant.methods, PROJECTED):
            assert error(network, elements) < 1e-10
        assert error(network, elements) > 1e-3


@pytest.mark.parametrize("model", [SMALL, FLAT], ids=["R3xS2", "R3"])
def test_translations_are_kept_by_branches_that_see_directions_and_broken_by_those_that_see_positions(
    model: RapidashConfig,
) -> None:
    shifts = motion(torch.eye(3, dtype=torch.float64).expand(4, 3, 3), torch.randn(4, 3, dtype=torch.float64))
    for sees, is_kept in (("directions", True), ("positions", False)):
        variant = Variant("ace", model, methods=(ACE(hidden=16, tau=5.0, sees=sees),))
        network = build_model(TASK, variant)
        found = error(network, shifts)
        assert found < 1e-10 if is_kept else found > 1e-3
        assert view_ledger(TASK, variant, FULL).effective.name == ("T(3)" if is_kept else "trivial")
        with in_view(network, variant.methods, PROJECTED):
            assert error(network, shifts) < 1e-10


def test_a_branch_that_sees_positions_by_hand() -> None:
    """One hidden unit, whose GELU of a large number is that number: 2 + 10 px + 20 py + 30 pz + 100."""
    branch = PositionMLP(1, 1, 3, hidden=1, normalize=None)
    with torch.no_grad():
        branch.linear_1.weight.copy_(torch.tensor([[1.0, 10.0, 20.0, 30.0]]))
        branch.linear_1.bias.fill_(100.0)
        branch.linear_2.weight.fill_(1.0)
        branch.linear_2.bias.zero_()
    pos = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]])
    network = Rapidash(space="R3", in_scalars=1, channels=1, num_layers=1, basis_dim=4)
    edges = edge_kernels(network, pos, network.connect(pos, torch.zeros(2, dtype=torch.long)), network.grid)[0]
    assert branch(torch.full((2, 1, 1), 2.0), edges).flatten().tolist() == [112.0, 152.0]
    with pytest.raises(ValueError, match="edges that know the positions of their targets"):
        branch(torch.ones(2, 1, 1), replace(edges, pos=None))


def test_edges_of_every_scale_know_where_their_targets_are() -> None:
    network = Rapidash(space="R3", in_scalars=1, channels=(4, 4), num_layers=(1, 1), edges="knn-2", ratios=(0.5,),
                       level="node", basis_dim=4)  # fmt: skip
    pos = torch.randn(6, 3, generator=seeded("scales"))
    hierarchy = network.connect(pos, torch.zeros(6, dtype=torch.long))
    points = hierarchy.positions(pos)
    fine, down, coarse = edge_kernels(network, pos, hierarchy, network.grid)
    assert torch.equal(fine.pos, pos)
    for edges in (down, coarse):
        assert torch.equal(edges.pos, points[1])
    assert torch.equal(down.offset, pos[down.graph.source] - down.pos[down.graph.target])
    assert down.permuted(*hierarchy.up[0]).pos is None


def test_normalizations_of_a_branch() -> None:
    """Largest singular value 1; the initial Frobenius norm, whatever training does; or nothing."""
    x = torch.randn(5, 3, 4, generator=seeded("norms"))
    for normalize in ("spectral", "norm", None):
        torch.manual_seed(0)
        branch = FiberMLP(3, 4, hidden=6, normalize=normalize).eval()
        before = branch.linear_1.weight.detach().clone()
        stored = next(p for name, p in branch.linear_1.named_parameters() if "weight" in name)
        with torch.no_grad():
            stored *= 3.0
        after = branch.linear_1.weight.detach()
        if normalize is None:
            torch.testing.assert_close(after, 3 * before)
        else:
            torch.testing.assert_close(after, before)
        if normalize == "spectral":
            for _ in range(50):
                branch.train()(x, None)
            largest = torch.linalg.matrix_norm(branch.linear_1.weight.detach(), ord=2)
            assert float(largest) == pytest.approx(1.0, abs=1e-4)
    with pytest.raises(ValueError, match=r"normalize must be one of 'spectral', 'norm', None, got 'max'"):
        FiberMLP(3, 4, hidden=6, normalize="max")


def test_how_branches_are_normalized_and_gates_trained() -> None:
    """By the largest singular value if nothing else is said; plain descent without averages, decay, or large steps."""
    network = Rapidash(space="R3", in_scalars=1, channels=4, num_layers=1, basis_dim=4)
    for method, expected in ((ACE(), "_SpectralNorm"), (ACE(bound="norm"), "FixedNorm"), (ACE(is_bounded=False), None)):
        branch = method.make_free(network, network.blocks[0])
        for linear in (branch.linear_1, branch.linear_2):
            assert is_parametrized(linear) == (expected is not None)
            if expected:
                assert [type(part).__name__ for part in linear.parametrizations["weight"]] == [expected]
    model = build_model(TASK, Variant("ace", SMALL, methods=(ACE(lr=0.04),)))
    (group,) = ACE(lr=0.04).control(model, 10).param_groups()
    assert [id(gate) for gate in group.params] == [id(layer.gate) for layer in relaxed_layers(model)]
    assert (group.lr, group.optimizer, group.is_averaged, group.grad_clip) == (0.04, "sgd", False, pytest.approx(2.5))


def test_a_branch_and_a_gate_at_exactly_zero_have_finite_gradients() -> None:
    """A parametrized matrix of zeros too: 0 / |0| would be NaN."""
    for bound in ("spectral", "norm"):
        variant = Variant("ace", SMALL, methods=(ACE(hidden=8, bound=bound, form="resilient"),))
        model = build_model(TASK, variant)
        with torch.no_grad():
            for layer in relaxed_layers(model):
                layer.gate.zero_()
                for parameter in layer.free.parameters():
                    if bound == "norm" or parameter.dim() < 2:
                        parameter.zero_()
        batch = TASK.dataset("train").batch(torch.arange(4))
        control = variant.methods[0].control(model, 10)
        (TASK.loss(model(batch), batch) + control.ascent.penalty()).backward()
        assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


class OwnNetwork(nn.Module):
    """A network of one's own: relaxed layers in a list, in a sequence, and as an attribute under two names."""

    def __init__(self) -> None:
        super().__init__()

        def layer() -> RelaxedLayer:
            return RelaxedLayer(nn.Linear(2, 2), nn.Linear(2, 2), gate=0.5)

        self.layers = nn.ModuleList([layer(), nn.Sequential(layer(), nn.GELU())])
        self.last = self.again = layer()

    def forward(self, x: Tensor) -> Tensor:
        for part in self.layers:
            x = part(x)
        return self.again(self.last(x))


def test_layers_of_ones_own_are_relaxed_and_projected_anywhere() -> None:
    torch.manual_seed(0)
    model, x = OwnNetwork(), torch.randn(3, 2)
    layer = relaxed_layers(model)[0]
    torch.testing.assert_close(layer(x), layer.eq(x) + 0.5 * layer.free(x))
    full = model(x)
    with relaxation(model, on=False):
        expected = model(x)
    assert not torch.allclose(full, expected)
    torch.testing.assert_close(model(x), full)
    plain = project(model)
    assert plain is model
    assert not relaxed_layers(plain)
    torch.testing.assert_close(plain(x), expected)
    alone = RelaxedLayer(RelaxedLayer(nn.Linear(2, 2), nn.Linear(2, 2)), nn.Linear(2, 2))
    assert type(project(alone)) is nn.Linear
    for asked in (project, lambda model: relaxation(model, on=False)):
        with pytest.raises(ValueError, match=r"OwnNetwork was not relaxed.*Relax it first, by a method such as ACE"):
            asked(plain)


def test_ace_takes_the_layers_that_a_model_of_ones_own_has() -> None:
    model = ACE(gate=0.25).modify(OwnNetwork(), TASK)
    control = ACE(gate=0.25).control(model, 10)
    assert [float(gate.detach()) for gate in control.ascent.gates] == [0.25] * 3
    assert control.values().keys() == {f"{what} {k}" for what in ("gate", "multiplier") for k in range(3)}
    with pytest.raises(ValueError, match="ace has relaxed this model already: leave it or ace out"):
        ACE().modify(model, TASK)
    with pytest.raises(ValueError, match=r"Linear has no block of a Rapidash .*RelaxedLayer\(eq, free\)"):
        ACE().modify(nn.Linear(2, 2), TASK)


def test_what_a_branch_is_called_with_is_kept_once_when_asked_for() -> None:
    layer = RelaxedLayer(nn.Identity(), nn.Identity())
    layer(torch.zeros(1))
    with pytest.raises(RuntimeError, match="was not called since watch"):
        layer.seen()
    layer.watch()
    layer(torch.ones(1, requires_grad=True))
    layer(torch.full((1,), 2.0))
    (found,) = layer.seen()
    assert found.tolist() == [1.0]
    assert not found.requires_grad
    with pytest.raises(RuntimeError, match="was not called since watch"):
        layer.seen()


def test_the_resilient_form_keeps_its_branches_and_says_its_slacks(tmp_path: Path) -> None:
    variant = Variant("ace", SMALL, methods=(ACE(hidden=16, form="resilient"),))
    assert variant.primary_view == FULL
    model, _ = trained(variant, tmp_path)
    assert view_names(variant.methods, model) == [FULL, PROJECTED]
    assert variant.methods[0].finish(model) is model
    assert relaxed_layers(model)
    assert variant.methods[0].control(model, 10).values().keys() == {
        f"{what} {k}" for what in ("gate", "multiplier", "slack") for k in range(2)
    }


def test_a_record_of_the_time_before_the_resilient_form_means_what_it_meant() -> None:
    plain = {"kind": "ace", "gate": 1.0, "hidden": 64, "lr": 0.02, "tau": 0.1, "damping": None, "is_bounded": True}
    assert from_plain(Method, plain, complete=True) == ACE()
    assert to_plain(ACE(), for_key=True) == plain


def test_the_projection_drops_the_branches_and_stays_the_same_function(tmp_path: Path) -> None:
    variant = Variant("ace", SMALL, methods=(ACE(hidden=16, tau=5.0),))
    model, _ = trained(variant, tmp_path)
    model.double().eval()
    batch = TASK.dataset("val").batch(torch.arange(3)).to(dtype=torch.float64)
    with torch.no_grad():
        with in_view(model, variant.methods, PROJECTED):
            expected = model(batch)
        assert not torch.equal(model(batch), expected)
        plain = variant.methods[0].finish(model)
        torch.testing.assert_close(plain(batch), expected, rtol=1e-12, atol=1e-14)
    assert not relaxed_layers(plain)
    names = set(build_model(TASK, Variant("plain", SMALL)).state_dict())
    assert set(plain.state_dict()) == names
    with pytest.raises(ValueError, match="was not relaxed"):
        project(plain)


@pytest.mark.usefixtures("shape_checks_off")
def test_a_relaxed_block_adds_the_gated_branch_by_hand() -> None:
    class Double(nn.Module):
        def forward(self, x: Tensor, *others: object) -> Tensor:
            return 2 * x

    class Square(nn.Module):
        def forward(self, x: Tensor, edges: object) -> Tensor:
            return x.square()

    block = RelaxedBlock(Double(), Square(), gate=0.5)
    x = torch.tensor([3.0])
    assert block(x, None, None, None).tolist() == [6 + 0.5 * 9]
    block.is_projected = True
    assert block(x, None, None, None).tolist() == [6]


def test_an_initial_gate_of_zero_is_plain_training_bit_for_bit(tmp_path: Path) -> None:
    plain, _ = trained(Variant("plain", SMALL, methods=(Augment("SO(3)"),)), tmp_path / "plain")
    off, _ = trained(Variant("off", SMALL, methods=(Augment("SO(3)"), ACE(gate=0.0))), tmp_path / "off")
    state = off.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in plain.state_dict().items())
    assert len(state) == len(plain.state_dict())


def test_training_closes_the_gates(tmp_path: Path) -> None:
    """Plain gradient descent on the gates, with a time constant of a tenth of the run."""
    steps = replace(STEPS, steps=150, eval_every=150, checkpoint_every=150)
    model, _ = trained(Variant("ace", SMALL, methods=(ACE(hidden=8),)), tmp_path, steps)
    assert all(abs(float(block.gate.detach())) < 0.05 for block in relaxed_layers(model))


def test_the_ledger_of_each_view() -> None:
    variant = Variant("ace", SMALL, methods=(ACE(),))
    assert view_names(variant.methods, build_model(TASK, variant)) == [FULL, PROJECTED]
    projected, full = (view_ledger(TASK, variant, view) for view in (PROJECTED, FULL))
    assert projected.effective.name == "E(3)"
    assert full.effective.name == full.layers.name == "T(3)"
    assert "see directions" in full.reasons[-1]


def test_what_it_does_not_fit_is_said() -> None:
    with pytest.raises(ValueError, match=r"ace does not fit: it relaxes .* of kind 'rapidash', got 'DGCNN'"):
        Variant("a", DGCNNConfig(), methods=(ACE(),))
    with pytest.raises(ValueError, match=r"symmetry T\(3\) keeps no rotation that could be relaxed"):
        Variant("a", replace(SMALL, symmetry="T(3)"), methods=(ACE(),))
    for wrong, message in (
        ({"hidden": 0}, "hidden must be at least 1, got 0"),
        ({"form": "strict"}, "form must be one of 'equality', 'resilient', got 'strict'"),
        ({"bound": "max"}, "bound must be 'spectral' or 'norm', got 'max'"),
        ({"sees": "all"}, "sees must be one of 'directions', 'positions', got 'all'"),
        ({"rho": -1.0}, "rho must be above 0"),
    ):
        with pytest.raises(ValueError, match=message):
            ACE(**wrong)
    twice = Variant("a", SMALL, methods=(ACE(), Average("SO(3)", 2)))
    assert twice.primary_view == PROJECTED


@pytest.mark.usefixtures("unwrapped")
@pytest.mark.parametrize(
    ("space", "method"),
    [
        ("R3xS2", ACE(hidden=8)),
        ("R3", ACE(hidden=8)),
        ("R3xS2", ACE(hidden=8, sees="positions")),
        ("R3", ConstraintRelaxation(scale=0.1)),
    ],
)
def test_relaxed_networks_compile_export_and_run_under_autocast(space: str, method: RelaxingMethod) -> None:
    torch.manual_seed(0)
    network = Rapidash(
        space=space, grid="platonic", in_scalars=1, channels=8, num_layers=2, basis_dim=8, basis_hidden_dim=8
    )
    model = relax_blocks(network, method.make_free).eval()
    pos, batch, ones = torch.randn(6, 3), torch.tensor([0, 0, 0, 1, 1, 1]), torch.ones(6, 1)
    model.calibrate(pos, batch, scalars=ones)
    edges = model.connect(pos, batch)
    for on in (True, False):
        with relaxation(model, on=on), torch.no_grad():
            expected = model(pos, batch, scalars=ones, hierarchy=edges).scalars
            torch.compiler.reset()
            compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
            found = compiled(pos, batch, scalars=ones, hierarchy=edges).scalars
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
            exported = torch.export.export(model, (pos, batch), {"scalars": ones, "hierarchy": edges}).module()
            found = exported(pos, batch, scalars=ones, hierarchy=edges).scalars
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                rounded = model(pos, batch, scalars=ones, hierarchy=edges).scalars
            torch.testing.assert_close(rounded.float(), expected, rtol=0.1, atol=0.1)


def test_layers_of_a_relaxed_network_are_measured_one_by_one() -> None:
    """A wrapped block is a block: the error of the full network lies in the blocks, and goes with the branches."""
    torch.manual_seed(0)
    network = Rapidash(space="R3", in_scalars=1, channels=8, num_layers=2, basis_dim=8, basis_hidden_dim=8)
    model = relax_blocks(network, ACE(hidden=8).make_free).double().eval()
    x = {"pos": torch.randn(6, 3, dtype=torch.float64), "scalars": torch.ones(6, 1, dtype=torch.float64)}
    model.calibrate(x["pos"], torch.zeros(6, dtype=torch.long), scalars=x["scalars"])
    action = Action(SO(3), {"pos": Position(), "scalars": Scalar()}, {"scalars": Scalar()})

    def parts(on: bool) -> dict[str, float]:
        with relaxation(model, on=on):
            adapter = as_module(lambda pos, scalars: {"scalars": model(pos, scalars=scalars).scalars}, model)
            report = layerwise_equivariance_error(adapter, x, action, rapidash_layers(adapter)).report()
        return {row["layer"]: row["contribution"] for row in report.rows}

    full, projected = parts(True), parts(False)
    blocks = [name for name in full if name.rpartition(".")[0].endswith("blocks")]
    assert len(blocks) == 2
    assert all(full[name] > 1e-4 for name in blocks)
    assert all(projected[name] < 1e-10 for name in blocks)


def test_a_run_of_the_time_before_the_resilient_form_continues() -> None:
    """A checkpoint names the settings that its run had then; those of today that mean the same are left out."""
    data = {split: TASK.dataset(split) for split in ("train", "val")}
    setup = Setup(TASK, Supervised(), (ACE(),), STEPS, data["train"], data["val"], 0, torch.device("cpu"))
    described = json.loads(describe_training(nn.Linear(1, 1), setup)["method ace"])
    assert described == {
        "kind": "ace", "gate": 1.0, "hidden": 64, "lr": 0.02, "tau": 0.1, "damping": None, "is_bounded": True
    }  # fmt: skip


class Along(nn.Module):
    """A multiple of a vector: it turns with the vector."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones(()))

    def forward(self, v: Tensor) -> Tensor:
        return self.factor * v


class Drift(nn.Module):
    """A network of one's own for charged particles: pos + a multiple of vel, relaxed by any linear map."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = RelaxedLayer(Along(), nn.Linear(3, 3))

    def forward(self, batch: CloudBatch) -> Tensor:
        return batch.pos + self.layer(batch["vel"])


@pytest.mark.parametrize("method", [ACE(), ACE(form="resilient"), ResidualPathwayPrior()], ids=["ace", "res", "rpp"])
def test_a_network_of_ones_own_is_trained_with_its_views(tmp_path: Path, method: RelaxingMethod) -> None:
    torch.manual_seed(0)
    model = method.modify(Drift(), TASK)
    sets = {"train_set": TASK.dataset("train"), "val_set": TASK.dataset("val"), "seed": 0, "run_dir": tmp_path}
    ends = {"methods": (method,), "primary_view": method.primary_view, "progress": False}
    result = train(model, TASK, STEPS, **sets, **ends)
    other = PROJECTED if method.primary_view == FULL else FULL
    assert {"val_error", f"val_error/{other}"} <= result.history[-1].keys()
    some = E(3).sample(12, generator=seeded("elements"))
    assert error(model, some) > 1e-3
    with in_view(model, (method,), PROJECTED):
        assert error(model, some) < 1e-10


def test_each_view_is_selected_by_its_own_validation_error(tmp_path: Path) -> None:
    """The weights that are kept for a view have the least error that its column of the history has."""
    method = ACE(tau=5.0)
    torch.manual_seed(0)
    model = method.modify(Drift(), TASK)
    sets = {"train_set": TASK.dataset("train"), "val_set": TASK.dataset("val"), "seed": 0, "run_dir": tmp_path}
    ends = {"methods": (method,), "primary_view": PROJECTED, "progress": False}
    result = train(model, TASK, replace(STEPS, eval_every=1, learning_rate=0.1), **sets, **ends)
    best = {}
    for view, column in ((PROJECTED, "val_error"), (FULL, "val_error/full")):
        row = min(result.history, key=lambda row: row[column])
        best[view] = row["step"]
        model.load_state_dict(result.best[view])
        with in_view(model, (method,), view):
            found = evaluate(model, TASK, TASK.dataset("val"), batch_size=20).mean
        assert found == pytest.approx(row[column], rel=1e-5)
    assert best[PROJECTED] != best[FULL]  # or this run would tell nothing
