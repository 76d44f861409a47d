"""What is made of weights alone is made once, and again when anything changed that it depends on."""

import copy
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, jvp, vmap

from rapidash.models import Rapidash
from rapidash.nn import GroupConv, Kept, KernelTable
from rapidash.ops import counted_flops, use_products


def count_calls(layer: nn.Linear, given: Tensor | None = None) -> tuple[Callable[[], Tensor], list[int]]:
    """A kept product of the layer with ones, and the numbers of its calls."""
    kept, calls = Kept(), []

    def make() -> Tensor:
        calls.append(len(calls))
        out: Tensor = layer(torch.ones(1, 2))
        return out

    return lambda: kept.value(make, layer, (layer.weight, layer.bias), given), calls


def test_it_follows_its_weights() -> None:
    layer = nn.Linear(2, 1)
    value, calls = count_calls(layer)
    with torch.no_grad():
        first = value()
        assert value() is first
        assert calls == [0]
        layer.weight.fill_(1.0)
        layer.bias.zero_()
        assert value().item() == 2.0
        layer.weight = nn.Parameter(torch.full((1, 2), 3.0))
        assert value().item() == 6.0
        layer.weight.data = torch.full((1, 2), 4.0)
        assert value().item() == 8.0
        layer.weight.data.mul_(2)  # as some averages of weights do it: torch counts no change
        assert value().item() == 16.0
        layer.double()
        with pytest.raises(RuntimeError, match="dtype"):
            value()


def test_passes_with_gradients_drop_it_and_hooks_see_every_call() -> None:
    layer = nn.Linear(2, 1)
    value, calls = count_calls(layer)
    with torch.no_grad():
        value()
    assert value().requires_grad
    assert calls == [0, 1]
    with torch.no_grad():
        value()
        assert calls == [0, 1, 2]
        handle = layer.register_forward_hook(lambda *_: None)
        value(), value()
        assert calls == [0, 1, 2, 3, 4]
        handle.remove()
        value(), value()
        assert calls == [0, 1, 2, 3, 4, 5]
        with torch.autocast("cpu", torch.bfloat16):
            assert value().dtype == torch.bfloat16
        assert value().dtype == torch.float32


def test_a_given_tensor_that_was_written_into_makes_another_value() -> None:
    conv = GroupConv(1, 2, has_orientations=True)
    basis = torch.ones(2, 2, 2)
    assert conv.fiber_kernel is not None
    with torch.no_grad():
        conv.fiber_kernel.weight.fill_(1.0)
        before = conv._on_pairs(conv.fiber_kernel, basis)
        assert conv._on_pairs(conv.fiber_kernel, basis) is before
        assert before[0, 0].item() == 2.0
        basis.mul_(3)
        assert conv._on_pairs(conv.fiber_kernel, basis)[0, 0].item() == 6.0


def test_who_watches_sees_every_call_and_changes_nothing_that_is_kept() -> None:
    layer = nn.Linear(2, 1)
    value, calls = count_calls(layer)
    with torch.no_grad():
        first = value()
        with counted_flops() as count:
            value(), value()
        assert count.total == 2 * 4  # two products and their sums in each
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]):
            value()
        assert value() is first
    assert len(calls) == 4


def network() -> tuple[Rapidash, Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    model = Rapidash(in_scalars=1, channels=8, num_layers=2, num_orientations=4, grid="platonic")
    pos, batch = torch.randn(5, 3), torch.zeros(5, dtype=torch.long)
    model.calibrate(pos, batch, scalars=torch.ones(5, 1))
    return model, pos, batch, torch.ones(5, 1)


def test_a_network_without_gradients_follows_every_weight_and_its_grid() -> None:
    model, pos, batch, scalars = network()

    def kept() -> Tensor:
        with torch.no_grad():
            out: Tensor = model(pos, batch, scalars=scalars).scalars
            return out

    def anew() -> Tensor:
        out: Tensor = model(pos, batch, scalars=scalars).scalars
        return out.detach()

    assert torch.equal(kept(), kept())
    torch.testing.assert_close(kept(), anew())
    for name, parameter in model.named_parameters():
        before = kept()
        with torch.no_grad():
            parameter.add_(0.1 * torch.randn_like(parameter))
        after = kept()
        torch.testing.assert_close(after, anew(), msg=lambda m, name=name: f"{name}: {m}")
        assert not torch.equal(before, after) or name.endswith("readout.linear.bias"), name
    before = kept()
    model.grid = model.grid @ torch.linalg.qr(torch.randn(3, 3).double())[0]
    after = kept()
    torch.testing.assert_close(after, anew())
    assert not torch.equal(before, after)
    twin = copy.deepcopy(model)
    with torch.no_grad():
        twin.blocks[0].conv.fiber_kernel.weight.mul_(2)
        assert not torch.equal(twin(pos, batch, scalars=scalars).scalars, kept())
    torch.testing.assert_close(kept(), anew())


def test_a_turned_grid_is_not_kept() -> None:
    model, pos, batch, scalars = network()
    turn = torch.linalg.qr(torch.randn(3, 3))[0]
    with torch.no_grad():
        plain = model(pos, batch, scalars=scalars).scalars
        turned = model(pos, batch, scalars=scalars, grid_rotation=turn).scalars
        assert not torch.equal(plain, turned)
        assert torch.equal(model(pos, batch, scalars=scalars).scalars, plain)


def test_a_pass_under_autocast_leaves_nothing_rounded() -> None:
    model, pos, batch, scalars = network()
    with torch.no_grad():
        with torch.autocast("cpu", torch.bfloat16):
            model(pos, batch, scalars=scalars)
        after = model(pos, batch, scalars=scalars).scalars
    torch.testing.assert_close(after, model(pos, batch, scalars=scalars).scalars.detach(), rtol=1e-5, atol=1e-5)


@pytest.fixture
def rounding() -> Iterator[None]:
    """A flag of torch under which some processors round the operands of float32 products; taken back afterwards."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    yield
    torch.set_float32_matmul_precision(before)


def test_a_flag_that_is_taken_back_leaves_nothing_rounded(rounding: None) -> None:
    """Neither tables nor kernels on pairs of orientations of a pass under the flag serve one without it."""
    model, pos, batch, scalars = network()
    fresh = copy.deepcopy(model)
    with torch.no_grad():
        model(0.8 * pos, batch, scalars=scalars)
        torch.set_float32_matmul_precision("highest")
        assert torch.equal(*(one(0.8 * pos, batch, scalars=scalars).scalars for one in (model, fresh)))


@pytest.mark.parametrize("other", ["kind", "flag"])
def test_what_multiplies_otherwise_makes_another_value(other: str, rounding: None) -> None:
    torch.set_float32_matmul_precision("highest")
    layer = nn.Linear(2, 1)
    value, calls = count_calls(layer)
    model, pos, batch, scalars = network()
    (tables,) = (module for module in model.modules() if isinstance(module, KernelTable))

    def kept() -> tuple[Tensor, object]:
        model(0.8 * pos, batch, scalars=scalars)
        assert tables._kept is not None
        return value(), tables._kept[2]

    with torch.no_grad(), use_products("torch"):
        first = kept()
        assert all(now is then for now, then in zip(kept(), first, strict=True))
        if other == "kind":
            with use_products("bfloat16"):
                second = kept()
        else:
            torch.set_float32_matmul_precision("medium")
            second = kept()
    assert not any(now is then for now, then in zip(second, first, strict=True))
    assert len(calls) == 2


@pytest.mark.parametrize("names", ["spatial_basis", "spherical_basis", ""])
def test_transforms_of_the_weights_use_nothing_that_is_kept(names: str) -> None:
    """The tangent of some weights, and a pass of several networks at once, without gradients as with them."""
    model, pos, batch, scalars = network()
    given = {name: one.detach() for name, one in model.named_parameters() if name.startswith(names)}
    tangents = {name: torch.randn_like(one) for name, one in given.items()}
    several = {name: torch.stack([one, 1.1 * one]) for name, one in given.items()}

    def output(weights: dict[str, Tensor]) -> Tensor:
        out: Tensor = functional_call(model, weights, (0.8 * pos, batch), {"scalars": scalars}).scalars
        return out

    want = jvp(output, (given,), (tangents,))[1].detach(), vmap(output)(several).detach()
    with torch.no_grad():
        before = output(given)
        got = jvp(output, (given,), (tangents,))[1], vmap(output)(several)
        assert torch.equal(output(given), before)
    for found, expected in zip(got, want, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
