"""ACE on Rapidash networks: exact when projected, free when not, and closed by training."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from rapidash._seed import seeded
from rapidash.groups import SO, E, Position, Scalar, grid_symmetries, motion
from rapidash.measure import Action, as_module, layerwise_equivariance_error, rapidash_layers
from rapidash.methods import FULL, Augment, Average, Variant, build_model, in_view, view_ledger, view_names
from rapidash.models import DGCNNConfig, Rapidash, RapidashConfig
from rapidash.relax import ACE, RelaxedBlock, project, relax_blocks, relaxation, relaxed_blocks
from rapidash.relax._ace import PROJECTED
from rapidash.tasks import get_task
from rapidash.train import TrainConfig, train

SMALL = RapidashConfig(grid="platonic", num_orientations=12, channels=8, num_layers=2, basis_dim=8, basis_hidden_dim=8)
FLAT = replace(SMALL, space="R3")
TASK = get_task("nbody", num_train=40, num_val=20, num_test=8)
STEPS = TrainConfig(steps=12, batch_size=10, warmup_steps=2, eval_every=6, checkpoint_every=6, learning_rate=5e-3)


def trained(variant: Variant, run_dir: Path, steps: TrainConfig = STEPS) -> nn.Module:
    model = build_model(TASK, variant)
    sets = {"train_set": TASK.dataset("train"), "val_set": TASK.dataset("val"), "seed": 0, "run_dir": run_dir}
    train(model, TASK, steps, methods=variant.methods, primary_view=variant.primary_view, progress=False, **sets)
    return model


def error(model: nn.Module, elements: Tensor) -> float:
    """The largest relative equivariance error over group elements, in float64."""
    twin = model.double().eval()
    batch = TASK.dataset("val").batch(torch.arange(3)).to(dtype=torch.float64)
    worst = 0.0
    with torch.no_grad():
        out = twin(batch)
        for g in elements:
            moved = batch.act(TASK.output, g, out)
            worst = max(worst, float((twin(batch.transform(g)) - moved).norm() / out.norm()))
    return worst


def every_rotation_of_the_grid(model: nn.Module) -> Tensor:
    turns = grid_symmetries(model.backbone.grid).elements
    assert len(turns) == 60
    return motion(turns, torch.zeros(60, 3, dtype=torch.float64))


@pytest.mark.parametrize("model", [SMALL, FLAT], ids=["R3xS2", "R3"])
def test_the_projected_network_is_exact_before_and_after_training_and_the_full_one_is_not(
    tmp_path: Path, model: RapidashConfig
) -> None:
    """Over all 60 rotations of the icosahedron where there are orientations; on R^3 over elements of E(3)."""
    variant = Variant("ace", model, methods=(ACE(hidden=16, tau=5.0),))
    fresh, after = build_model(TASK, variant), trained(variant, tmp_path)
    for network in (fresh, after):
        elements = (
            every_rotation_of_the_grid(network) if model is SMALL else E(3).sample(12, generator=seeded("elements"))
        )
        with in_view(network, variant.methods, PROJECTED):
            assert error(network, elements) < 1e-10
        assert error(network, elements) > 1e-3


def test_translations_are_kept_by_the_free_branches() -> None:
    shifts = motion(torch.eye(3, dtype=torch.float64).expand(4, 3, 3), torch.randn(4, 3, dtype=torch.float64))
    for model in (SMALL, FLAT):
        assert error(build_model(TASK, Variant("ace", model, methods=(ACE(hidden=16, tau=5.0),))), shifts) < 1e-10


def test_the_projection_drops_the_branches_and_stays_the_same_function(tmp_path: Path) -> None:
    variant = Variant("ace", SMALL, methods=(ACE(hidden=16, tau=5.0),))
    model = trained(variant, tmp_path).double().eval()
    batch = TASK.dataset("val").batch(torch.arange(3)).to(dtype=torch.float64)
    with torch.no_grad():
        with in_view(model, variant.methods, PROJECTED):
            expected = model(batch)
        assert not torch.equal(model(batch), expected)
        plain = variant.methods[0].finish(model)
        torch.testing.assert_close(plain(batch), expected, rtol=1e-12, atol=1e-14)
    assert not relaxed_blocks(plain)
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
    plain = trained(Variant("plain", SMALL, methods=(Augment("SO(3)"),)), tmp_path / "plain")
    off = trained(Variant("off", SMALL, methods=(Augment("SO(3)"), ACE(gate=0.0))), tmp_path / "off")
    state = off.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in plain.state_dict().items())
    assert len(state) == len(plain.state_dict())


def test_training_closes_the_gates(tmp_path: Path) -> None:
    """Plain gradient descent on the gates, with a time constant of a tenth of the run."""
    steps = replace(STEPS, steps=150, eval_every=150, checkpoint_every=150)
    model = trained(Variant("ace", SMALL, methods=(ACE(hidden=8),)), tmp_path, steps)
    assert all(abs(float(block.gate.detach())) < 0.05 for block in relaxed_blocks(model))


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
    with pytest.raises(ValueError, match="hidden must be at least 1, got 0"):
        ACE(hidden=0)
    twice = Variant("a", SMALL, methods=(ACE(), Average("SO(3)", 2)))
    assert twice.primary_view == PROJECTED


@pytest.mark.usefixtures("unwrapped")
@pytest.mark.parametrize("space", ["R3xS2", "R3"])
def test_relaxed_networks_compile_export_and_run_under_autocast(space: str) -> None:
    torch.manual_seed(0)
    method = ACE(hidden=8)
    network = Rapidash(
        space=space, grid="platonic", in_scalars=1, channels=8, num_layers=2, basis_dim=8, basis_hidden_dim=8
    )
    model = relax_blocks(network, method._make_free).eval()
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
    model = relax_blocks(network, ACE(hidden=8)._make_free).double().eval()
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
