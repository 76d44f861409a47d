"""What a user relies on besides symmetry: batching, scales, gradients, calibration, errors."""

import copy
from dataclasses import asdict
from typing import Any

import pytest
import torch

from rapidash.groups import E
from rapidash.models import Rapidash, RapidashConfig
from tests.models.conftest import Inputs, random_inputs, small_network

VECTORS: dict[str, Any] = {"in_vectors": 1, "out_vectors": 1}


@pytest.mark.parametrize("level", ["node", "graph"])
@pytest.mark.parametrize("edges", ["fc", "radius-1.3", "knn-1"])
@pytest.mark.parametrize("scales", [1, 2])
def test_a_batch_gives_what_each_cloud_gives_alone(level: str, edges: str, scales: int, inputs: Inputs) -> None:
    options = {"num_layers": [1] * scales, "edges": [edges] * scales} if scales > 1 else {"edges": edges}
    model = small_network(level=level, **VECTORS, **options)
    together = inputs.run(model)
    for cloud in range(3):
        mine = inputs.batch == cloud
        alone = Inputs(inputs.pos[mine], inputs.batch[mine] * 0, *(tensor[mine] for tensor in inputs[2:])).run(model)
        rows = mine if level == "node" else torch.tensor([cloud])
        torch.testing.assert_close(alone.scalars, together.scalars[rows], atol=1e-12, rtol=1e-10)
        torch.testing.assert_close(alone.vectors, together.vectors[rows], atol=1e-12, rtol=1e-10)


def test_points_may_come_in_any_order(inputs: Inputs) -> None:
    model = small_network(edges="knn-1", **VECTORS)
    order = torch.cat([torch.tensor([3, 1, 0, 2, 4]), torch.tensor([9, 5, 8, 6, 10, 7])])
    shuffled = Inputs(inputs.pos[order], inputs.batch, *(tensor[order] for tensor in inputs[2:])).run(model)
    torch.testing.assert_close(shuffled.scalars, inputs.run(model).scalars[order], atol=1e-12, rtol=1e-10)


def test_a_mean_does_not_grow_with_the_number_of_points() -> None:
    inputs = random_inputs(3, 0, sizes=(4, 8))
    summed, averaged = (small_network(level="graph", pool=pool) for pool in ("sum", "mean"))
    ratio = inputs.run(summed).scalars / inputs.run(averaged).scalars
    torch.testing.assert_close(ratio, torch.tensor([[4.0, 4.0], [8.0, 8.0]], dtype=torch.float64))


@pytest.mark.parametrize("space", ["R3", "R3xS2"])
@pytest.mark.parametrize("symmetry", ["E(3)", "T(3)", "SO2(z)"])
def test_forces_and_their_derivatives_agree_with_finite_differences(space: str, symmetry: str) -> None:
    inputs = random_inputs(3, 2, sizes=(3, 2))
    model = small_network(space=space, symmetry=symmetry, level="graph", num_orientations=4, num_layers=1, channels=4)

    def energy(pos: torch.Tensor) -> torch.Tensor:
        return model(pos, inputs.batch, scalars=inputs.scalars).scalars[:, 0]

    pos = inputs.pos.clone().requires_grad_()
    assert torch.autograd.gradcheck(energy, pos)
    assert torch.autograd.gradgradcheck(energy, pos)


def test_training_on_forces_reaches_every_parameter() -> None:
    inputs = random_inputs(3, 2, sizes=(3, 2))
    model = small_network(level="graph", out_scalars=1)
    pos = inputs.pos.clone().requires_grad_()
    energy = model(pos, inputs.batch, scalars=inputs.scalars).scalars.sum()
    (force,) = torch.autograd.grad(energy, pos, create_graph=True)
    force.square().sum().backward()
    silent = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert set(silent) == {"blocks.1.linear_2.bias", "readout.linear.bias"}  # these only shift the energy


def test_the_kernel_goes_smoothly_to_zero_at_the_radius() -> None:
    model = small_network(edges="radius-1.0", level="graph")

    def output(distance: float) -> torch.Tensor:
        pos = torch.tensor([[0.0, 0.0, 0.0], [distance, 0.0, 0.0]], dtype=torch.float64)
        return model(pos, scalars=torch.ones(2, 2, dtype=torch.float64)).scalars

    far = output(3.0)
    assert (output(1.0 - 1e-4) - far).abs().max() < 1e-9
    assert (output(1.0 + 1e-9) - far).abs().max() == 0
    assert (output(0.5) - far).abs().max() > 1e-3


def test_calibration_keeps_the_spread_of_the_features_and_runs_only_when_called(inputs: Inputs) -> None:
    model = small_network(num_layers=3)
    before = model.state_dict()["blocks.0.conv.kernel.weight"].clone()
    inputs.run(model.train())
    assert torch.equal(before, model.state_dict()["blocks.0.conv.kernel.weight"])
    model.calibrate(inputs.pos, inputs.batch, scalars=inputs.scalars)
    spread = []
    for block in model.blocks:
        block.conv.register_forward_hook(lambda conv, args, out: spread.append((out - conv.bias).std() / args[0].std()))
    with torch.no_grad():
        inputs.run(model)
    assert all(abs(float(ratio) - 1) < 1e-6 for ratio in spread)
    assert len(spread) == 3


def test_kept_tables_are_made_anew_after_a_fused_step(inputs: Inputs) -> None:
    """A fused optimizer does not raise the version of the weights that it changes."""
    model = small_network(kernel="tabulated").eval()
    model.calibrate(inputs.pos, inputs.batch, scalars=inputs.scalars)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, fused=True)
    with torch.no_grad():
        before = inputs.run(model).scalars
    inputs.run(model).scalars.square().sum().backward()
    optimizer.step()
    with torch.no_grad():
        after, fresh = inputs.run(model).scalars, inputs.run(copy.deepcopy(model)).scalars  # a copy keeps no tables
    assert torch.equal(after, fresh)
    assert not torch.equal(after, before)


def test_calibration_of_a_single_point_changes_nothing_it_cannot_know() -> None:
    """Over channels and orientations a deviation is known, of a single number none."""
    for model, is_known in ((small_network(), True), (small_network(space="R3", channels=1), False)):
        before = {name: parameter.clone() for name, parameter in model.named_parameters()}
        model.calibrate(torch.zeros(1, 3).double(), torch.zeros(1, dtype=torch.long), scalars=torch.ones(1, 2).double())
        for name, parameter in model.named_parameters():
            ratio = (parameter / before[name]).flatten().detach()
            assert (float(ratio[0]) == 1) is not (is_known and "conv" in name and "kernel" in name), name
            torch.testing.assert_close(ratio, ratio[0].clamp(min=0).expand_as(ratio))


def test_a_hierarchy_can_be_reused_and_the_grid_turned(inputs: Inputs) -> None:
    model = small_network(edges=["fc", "fc"], num_layers=[1, 1], **VECTORS)
    hierarchy = model.connect(inputs.pos, inputs.batch)
    features = {"scalars": inputs.scalars, "vectors": inputs.vectors}
    again = model(inputs.pos, inputs.batch, hierarchy=hierarchy, **features)
    torch.testing.assert_close(again.scalars, inputs.run(model).scalars, atol=0, rtol=0)
    g = E(3).sample(1, generator=torch.Generator().manual_seed(0))[0]
    moved = inputs.moved(g)
    turned = model(
        moved.pos, inputs.batch, scalars=inputs.scalars, vectors=moved.vectors, grid_rotation=g[:3, :3]
    )  # points and grid turn together
    torch.testing.assert_close(turned.scalars, again.scalars, atol=1e-10, rtol=1e-10)


def test_configuration_is_kept_and_rebuilds_the_network(inputs: Inputs) -> None:
    model = small_network(edges=["knn-1", "fc"], num_layers=[1, 2], channels=[8, 12], **VECTORS)
    assert isinstance(model.config, RapidashConfig)
    twin = Rapidash.from_config(model.config, model.io).double()
    twin.load_state_dict(model.state_dict())
    torch.testing.assert_close(inputs.run(twin).scalars, inputs.run(model).scalars, atol=0, rtol=0)
    assert asdict(twin.config) == asdict(model.config)
    assert twin.io == model.io


def test_tables_are_used_where_they_serve_and_approximate_the_definition() -> None:
    inputs = random_inputs(3, 3, dtype=torch.float32)
    model = small_network(**VECTORS).float()
    automatic, tabulated, exact = (inputs.run(model.with_kernel(mode)) for mode in ("auto", "tabulated", "exact"))
    assert torch.equal(automatic.scalars, tabulated.scalars)
    difference = (tabulated.scalars - exact.scalars).norm() / exact.scalars.norm()
    assert 0 < difference < 1e-2
    pos = inputs.pos.requires_grad_()
    assert torch.equal(inputs.run(model).scalars, inputs.run(model.with_kernel("exact")).scalars), "gradients: exact"
    assert pos.requires_grad


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"symmetry": "SE(3)", "space": "R3"}, "the same in a mirror"),
        ({"space": "R3", "in_vectors": 1}, "cannot hold a vector"),
        ({"space": "R4"}, "space must be"),
        ({"level": "edge"}, "level must be one of"),
        ({"edges": ["fc", "fc"], "num_layers": [1, 1, 1]}, "has 2 entries, expected 3"),
        ({"edges": ["fc", "fc"], "num_layers": [1, 1], "ratios": 1.5}, r"ratios must be in \(0, 1\]"),
        ({"channels": 0}, "at least 1"),
        ({"in_scalars": 0}, "an input and an output"),
        ({"out_scalars": -1}, "at least 0"),
        ({"symmetry": "T(3)", "kernel": "tabulated"}, "at most 2 dimensions"),
        ({"table_size": 2}, "table_size"),
        ({"symmetry": "E(3)", "space": "R3", "out_vectors": 1, "level": "graph"}, "level='node'"),
    ],
    ids=str,
)
def test_impossible_networks_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small_network(**options)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pos": torch.full((11, 3), torch.nan)}, "pos"),
        ({"pos": torch.ones(11, 2)}, "2 coordinates"),
        ({"batch": torch.arange(10, -1, -1)}, "batch"),
        ({"batch": torch.tensor([0] * 5 + [2] * 6)}, "batch"),
        ({"scalars": torch.ones(11, 3)}, "scalars has shape"),
        ({"scalars": None}, "scalars is missing"),
        ({"vectors": torch.ones(11, 1, 3)}, "vectors has shape"),
    ],
    ids=["nan", "plane", "unsorted", "skipped", "width", "missing", "superfluous"],
)
def test_bad_inputs_are_refused(change: dict[str, Any], message: str, inputs: Inputs) -> None:
    model = small_network()
    arguments = {"pos": inputs.pos, "batch": inputs.batch, "scalars": inputs.scalars} | change
    arguments = {key: v.double() if v is not None and v.is_floating_point() else v for key, v in arguments.items()}
    with pytest.raises(ValueError, match=message):
        model(**arguments)


def test_an_empty_batch_and_too_many_neighbors_are_refused(inputs: Inputs) -> None:
    with pytest.raises(ValueError, match=r"empty|at least one"):
        small_network()(inputs.pos[:0], inputs.batch[:0], scalars=inputs.scalars[:0])
    with pytest.raises(ValueError, match=r"k=5|5 "):
        small_network(edges="knn-5")(inputs.pos, inputs.batch, scalars=inputs.scalars)
