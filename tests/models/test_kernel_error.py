"""Tables against the definition."""

from copy import deepcopy

import pytest
import torch

from rapidash.models import choose_table_size, kernel_error
from tests.models.conftest import random_inputs, small_network

INPUTS = random_inputs(3, 7, sizes=(9, 5))
OPTIONS = {"symmetry": "E(3)", "space": "R3xS2", "num_layers": 3}


@pytest.mark.parametrize(("interpolation", "order"), [("linear", 2), ("cubic", 3)])
def test_the_error_falls_with_the_resolution_at_the_order_of_the_interpolation(interpolation: str, order: int) -> None:
    model = small_network(**OPTIONS, interpolation=interpolation)
    coarse, fine = (
        kernel_error(model, INPUTS.pos, INPUTS.batch, scalars=INPUTS.scalars, table_size=size).relative
        for size in (32, 128)
    )
    assert 1e-12 < fine < coarse / 4 ** (order - 0.7)


def test_the_estimate_leaves_the_model_as_it_was_and_is_what_it_says() -> None:
    model = small_network(**OPTIONS).float()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    error = kernel_error(model, INPUTS.pos.float(), INPUTS.batch, scalars=INPUTS.scalars.float())
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    model = model.double()
    pos, features = INPUTS.pos.float().double(), {"scalars": INPUTS.scalars.float().double()}
    table, exact = (model.with_kernel(mode)(pos, INPUTS.batch, **features).scalars for mode in ("tabulated", "exact"))
    assert error.relative == pytest.approx(float((table - exact).detach().norm() / exact.detach().norm()), rel=1e-6)
    assert error.largest == pytest.approx(float((table - exact).detach().abs().max()), rel=1e-6)


def test_the_smallest_table_that_is_fine_enough_is_chosen() -> None:
    model = small_network(**OPTIONS)
    features = {"scalars": INPUTS.scalars}
    errors = {n: kernel_error(model, INPUTS.pos, INPUTS.batch, table_size=n, **features).relative for n in (16, 32, 64)}
    tolerance = 1.01 * errors[32]
    assert choose_table_size(model, INPUTS.pos, INPUTS.batch, tolerance=tolerance, **features) == 32
    with pytest.raises(ValueError, match=r"more than the tolerance"):
        choose_table_size(model, INPUTS.pos, INPUTS.batch, tolerance=1e-15, sizes=(16,), **features)
    with pytest.raises(ValueError, match="must be positive"):
        choose_table_size(model, INPUTS.pos, INPUTS.batch, tolerance=0.0, **features)


def test_within_the_calibrated_range_a_result_does_not_depend_on_the_batch() -> None:
    model = small_network(**OPTIONS).with_kernel("tabulated")
    model.calibrate(INPUTS.pos, INPUTS.batch, scalars=INPUTS.scalars)
    first = INPUTS.batch == 0
    together = INPUTS.run(model).scalars[first]
    alone = model(INPUTS.pos[first], INPUTS.batch[first], scalars=INPUTS.scalars[first]).scalars
    torch.testing.assert_close(alone, together, atol=1e-13, rtol=1e-12)


def test_distances_beyond_the_calibrated_range_stretch_the_table() -> None:
    model = small_network(**OPTIONS)
    model.calibrate(INPUTS.pos, INPUTS.batch, scalars=INPUTS.scalars)
    wide = 1.5 * INPUTS.pos
    error = kernel_error(model, wide, INPUTS.batch, scalars=INPUTS.scalars)
    assert 0 < error.relative < 5e-2
    finer = kernel_error(model, wide, INPUTS.batch, scalars=INPUTS.scalars, table_size=128)
    assert finer.relative < error.relative


@pytest.mark.parametrize("space", ["R3", "R3xS2"])
def test_forces_from_cubic_tables_are_consistent_and_near_the_exact_ones(space: str) -> None:
    inputs = random_inputs(3, 2, sizes=(4, 2))
    model = small_network(symmetry="E(3)", space=space, level="graph", num_orientations=4, num_layers=1, channels=4)
    model = model.with_kernel("tabulated", interpolation="cubic", table_size=64)
    model.calibrate(inputs.pos, inputs.batch, scalars=inputs.scalars)

    def energy(pos: torch.Tensor) -> torch.Tensor:
        return model(pos, inputs.batch, scalars=inputs.scalars).scalars[:, 0]

    pos = inputs.pos.clone().requires_grad_()
    assert torch.autograd.gradcheck(energy, pos)
    assert torch.autograd.gradgradcheck(energy, pos, atol=1e-4, rtol=1e-3)
    exact = model.with_kernel("exact")
    forces = [
        torch.autograd.grad(net(pos, inputs.batch, scalars=inputs.scalars).scalars.sum(), pos)[0]
        for net in (model, exact)
    ]
    assert (forces[0] - forces[1]).norm() < 1e-2 * forces[1].norm()


@pytest.mark.parametrize("kernel", ["exact", "tabulated"])
def test_the_twin_with_another_kernel_keeps_the_mode(kernel: str) -> None:
    assert not any(part.training for part in small_network(**OPTIONS).eval().with_kernel(kernel).modules())
    assert all(part.training for part in small_network(**OPTIONS).train().with_kernel(kernel).modules())


def test_tables_are_made_once_for_inference_and_again_when_a_weight_changes() -> None:
    model = small_network(**OPTIONS).with_kernel("tabulated")
    model.calibrate(INPUTS.pos, INPUTS.batch, scalars=INPUTS.scalars)
    calls: list[int] = []
    model.spatial_basis.linear_1.register_forward_hook(lambda *_: calls.append(1))
    wanted = INPUTS.run(model).scalars.detach()
    assert len(calls) == 1
    with torch.inference_mode():
        first, second = INPUTS.run(model).scalars, INPUTS.run(model).scalars
    assert torch.equal(first, wanted)
    assert torch.equal(second, wanted)
    made = len(calls)
    with torch.no_grad():
        INPUTS.run(model)
        assert len(calls) == made
        for parameter in (model.blocks[0].conv.kernel.weight, model.spatial_basis.linear_1.weight):
            parameter += 0.1
            stale, made = made, len(calls)
            changed = INPUTS.run(model).scalars
            assert len(calls) > made >= stale
    torch.testing.assert_close(changed, INPUTS.run(model).scalars.detach(), atol=0, rtol=0)
    assert not torch.equal(changed, wanted)


def test_tables_follow_weights_that_are_written_past_the_count_of_changes() -> None:
    """Averages of weights often write into ``parameter.data``, of which torch counts nothing."""
    model = small_network(**OPTIONS).with_kernel("tabulated")
    model.calibrate(INPUTS.pos, INPUTS.batch, scalars=INPUTS.scalars)
    for parameter in (model.blocks[0].conv.kernel.weight, model.spatial_basis.linear_1.weight):
        with torch.no_grad():
            INPUTS.run(model)
            count = parameter._version
            parameter.data.mul_(2)
            assert parameter._version == count
            changed = INPUTS.run(model).scalars
        torch.testing.assert_close(changed, INPUTS.run(model).scalars.detach(), atol=0, rtol=0)


def test_a_copy_of_a_network_keeps_its_own_tables() -> None:
    model = small_network(**OPTIONS).with_kernel("tabulated")
    model.calibrate(INPUTS.pos, INPUTS.batch, scalars=INPUTS.scalars)
    with torch.inference_mode():
        INPUTS.run(model)
    twin = deepcopy(model)
    with torch.no_grad():
        twin.spatial_basis.linear_1.weight.mul_(2)
        assert not torch.equal(INPUTS.run(twin).scalars, INPUTS.run(model).scalars)


def test_a_calibrated_network_is_the_same_function_in_every_dtype() -> None:
    fresh = small_network(**OPTIONS)
    assert torch.equal(INPUTS.run(fresh).scalars, INPUTS.run(fresh.with_kernel("exact")).scalars)
    fresh.calibrate(INPUTS.pos, INPUTS.batch, scalars=INPUTS.scalars)
    assert torch.equal(INPUTS.run(fresh).scalars, INPUTS.run(fresh.with_kernel("tabulated")).scalars)
    loaded = small_network(**OPTIONS, seed=1)
    loaded.load_state_dict(fresh.state_dict())
    assert torch.equal(INPUTS.run(loaded).scalars, INPUTS.run(fresh).scalars)


def test_a_range_that_one_far_point_made_ten_times_larger_costs_little() -> None:
    model = small_network(**OPTIONS)
    model.calibrate(INPUTS.pos, INPUTS.batch, scalars=INPUTS.scalars)
    error = kernel_error(model, INPUTS.pos, INPUTS.batch, scalars=INPUTS.scalars).relative
    model.table_reach *= 10
    wide = kernel_error(model, INPUTS.pos, INPUTS.batch, scalars=INPUTS.scalars).relative
    assert error < wide < 10 * error  # 190 times with equidistant nodes
