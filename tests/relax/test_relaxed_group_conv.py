"""Relaxed group convolution: the formula by hand, exact symmetry at constant weights, and what training reads off."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import conv2d

from rapidash._seed import seeded
from rapidash.groups import (
    SO,
    MatrixGroup,
    Regular,
    cyclic,
    dihedral,
    finite_table,
    octahedral,
    permutation_action,
    scaling,
)
from rapidash.relax import RelaxedGroupConv, RelaxedLifting, constant_bank_weights, pixel_action, total_variation
from rapidash.symmetry import SharedLinear


def turned(image: Tensor, index: int) -> Tensor:
    """An image moved by the element of `dihedral(4)`, whose first four are `cyclic(4)`: first the mirror, then turns.

    With y downward the quarter turn (x, y) -> (-y, x) is clockwise.
    """
    mirrored = image.flip(-1) if index >= 4 else image
    return torch.rot90(mirrored, -(index % 4), (-2, -1))


def moved(group: MatrixGroup, index: int, x: Tensor) -> Tensor:
    """The regular representation on (B, C, G) or (B, C, G, H, W)."""
    table = finite_table(group)
    x = x[:, :, table.table[table.inverses[index]]]
    return turned(x, index) if x.dim() == 5 else x


def error(layer: nn.Module, group: MatrixGroup, x: Tensor, act_in: Callable[[int, Tensor], Tensor]) -> float:
    """The largest relative equivariance error over the group."""
    with torch.no_grad():
        out = layer(x)
        order = len(finite_table(group))
        found = [(layer(act_in(u, x)) - moved(group, u, out)).norm() / out.norm() for u in range(order)]
    return float(torch.stack(found).max())


def jitter(layer: nn.Module, size: float, seed: int) -> None:
    weights = layer.bank_weights.w
    noise = torch.randn(weights.shape, generator=seeded(seed, "jitter"), dtype=torch.float64)
    with torch.no_grad():
        weights.copy_(1 / len(weights) + size * noise)


@pytest.mark.parametrize("side", ["in", "out"])
def test_the_formula_by_hand(side: str) -> None:
    """Two elements e, r with r r = e: psi(g^-1 h) is psi(e) on the diagonal and psi(r) off it."""
    layer = RelaxedGroupConv(cyclic(2), 1, 1, banks=2, side=side).double()
    with torch.no_grad():
        layer.bank_weights.w.copy_(torch.tensor([[1.0, 10.0], [100.0, 1000.0]]))
        layer.filters.copy_(torch.tensor([[1.0, 2.0], [3.0, 4.0]]).reshape(2, 1, 1, 2))
        layer.bias.fill_(0.5)
    x = torch.tensor([[[1.0, 5.0]]], dtype=torch.float64)
    expected = {
        "in": [301 * 1 + 4020 * 5 + 0.5, 402 * 1 + 3010 * 5 + 0.5],  # x(h) has the factor w_l(h)
        "out": [301 * 1 + 402 * 5 + 0.5, 4020 * 1 + 3010 * 5 + 0.5],  # y(g) has the factor w_l(g)
    }
    assert layer(x).flatten().tolist() == pytest.approx(expected[side])


def test_with_one_bank_it_is_the_general_equivariant_map() -> None:
    """Another route: weights tied by the orbits of the group on pairs of entries."""
    for group in (cyclic(3), dihedral(4), octahedral()):
        table = finite_table(group)
        action = permutation_action(Regular(table), table.elements, (len(table),))
        shared = SharedLinear.equivariant(action, action, bias=False).double()
        layer = RelaxedGroupConv(group, 1, 1, banks=1, use_bias=False).double()
        with torch.no_grad():
            layer.filters[0, 0, 0] = shared.shared_weight[shared.assignment[0]]
        x = torch.randn(3, 1, len(table), dtype=torch.float64)
        torch.testing.assert_close(layer(x)[:, 0], shared(x[:, 0]))


def test_pixels_by_hand() -> None:
    """A quarter turn takes the pixel right of the center to that below it; the mirror x -> -x swaps left and right."""
    action = pixel_action(finite_table(dihedral(4)).elements, 3)
    assert action[0].tolist() == list(range(9))
    assert (int(action[1, 5]), int(action[1, 7]), int(action[1, 4])) == (7, 3, 4)
    assert action[4].tolist() == [2, 1, 0, 5, 4, 3, 8, 7, 6]
    image = torch.arange(16.0).reshape(4, 4)
    action = pixel_action(finite_table(dihedral(4)).elements, 4)
    for index in range(8):
        assert torch.equal(
            torch.empty(16).index_copy_(0, action[index], image.flatten()), turned(image, index).flatten()
        )


@given(seed=st.integers(0, 2**31), banks=st.integers(1, 3), size=st.integers(3, 6))
def test_constant_weights_are_equivariant(seed: int, banks: int, size: int) -> None:
    torch.manual_seed(seed)
    for group in (cyclic(4), dihedral(4)):
        order = len(finite_table(group))
        for side in ("in", "out"):
            layer = RelaxedGroupConv(group, 2, 3, banks=banks, kernel_size=3, side=side).double()
            nn.init.normal_(layer.bias)
            x = torch.randn(2, 2, order, size, size, dtype=torch.float64)
            assert error(layer, group, x, lambda u, y, group=group: moved(group, u, y)) < 1e-12
        lifting = RelaxedLifting(group, 2, 3, banks=banks).double()
        x = torch.randn(2, 2, size, size, dtype=torch.float64)
        assert error(lifting, group, x, lambda u, y: turned(y, u)) < 1e-12


def test_functions_on_any_finite_group() -> None:
    for group in (cyclic(5), octahedral()):
        layer = RelaxedGroupConv(group, 2, 3).double()
        x = torch.randn(2, 2, len(finite_table(group)), dtype=torch.float64)
        act = lambda u, y, group=group: moved(group, u, y)  # noqa: E731
        assert error(layer, group, x, act) < 1e-12
        jitter(layer, 0.1, 0)
        assert error(layer, group, x, act) > 1e-2
        with constant_bank_weights(layer):
            assert error(layer, group, x, act) < 1e-12
        assert error(layer, group, x, act) > 1e-2


@pytest.mark.parametrize("side", ["in", "out"])
@pytest.mark.parametrize("size", [0.01, 0.1])
def test_jitter_breaks_both_conventions_at_the_same_rate(side: str, size: float) -> None:
    """w = 1/L + size N(0, 1): the error is near sqrt(2) size L, the change of the sum of L independent banks."""
    group, found = cyclic(4), []
    for seed in range(5):
        torch.manual_seed(seed)
        layer = RelaxedGroupConv(group, 4, 4, banks=2, kernel_size=3, side=side).double()
        jitter(layer, size, seed)
        x = torch.randn(4, 4, 4, 8, 8, dtype=torch.float64)
        found.append(error(layer, group, x, lambda u, y: moved(group, u, y)))
    assert 0.6 < sum(found) / 5 / (2**0.5 * size * 2) < 1.6


def test_variation_and_its_gradient() -> None:
    layer = RelaxedGroupConv(cyclic(3), 1, 1, banks=2)
    variation = layer.bank_weights.variation()
    variation.backward()
    assert variation.item() == 0
    assert torch.equal(layer.bank_weights.w.grad, torch.zeros(2, 3))
    with torch.no_grad():
        layer.bank_weights.w.copy_(torch.tensor([[0.0, 1.0, 3.0], [0.5, 0.5, 0.5]]))
    assert layer.bank_weights.variation().item() == 2 * (1 + 3 + 2)  # every pair in both orders
    assert total_variation(nn.Sequential(layer, layer.bank_weights)).item() == 12  # each weight once
    for asked in (total_variation, constant_bank_weights):
        with pytest.raises(ValueError, match=r"Linear has no filter banks .*: build it of RelaxedGroupConv or"):
            asked(nn.Linear(1, 1))


def edges(image: Tensor) -> Tensor:
    """How strong vertical edges are, of either sign: the same when the image is turned by 180 degrees, not by 90."""
    sobel = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])[None, None]
    both = conv2d(image, sobel, padding=1).relu() + conv2d(image, -sobel, padding=1).relu()
    return both.mean(dim=(1, 2, 3))


@pytest.mark.parametrize("is_broken", [True, False], ids=["C2 only", "C4"])
def test_learned_weights_show_which_symmetry_the_data_have(is_broken: bool) -> None:
    """Invariant to C2 < C4 only: the weights become C2-periodic within 10 %, and not constant; to C4: constant."""
    torch.manual_seed(0)
    lifting, readout = RelaxedLifting(cyclic(4), 1, 6, banks=2), nn.Linear(6, 1)
    weights = lifting.bank_weights.w
    others = [p for p in [*lifting.parameters(), *readout.parameters()] if p is not weights]
    optimizer = torch.optim.Adam([{"params": others, "lr": 1e-2}, {"params": [weights], "lr": 3e-2}])
    for _ in range(400):
        x = torch.randn(64, 1, 6, 6)
        target = edges(x) if is_broken else edges(x) + edges(x.rot90(1, (2, 3)))
        loss = (readout(lifting(x).relu().mean(dim=(2, 3, 4)))[:, 0] - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    found = weights.detach()
    half, quarter = ((found - found.roll(step, 1)).abs().max() / found.abs().mean() for step in (2, 1))
    assert half < 0.1
    assert (quarter > 0.5) == is_broken
    assert is_broken or quarter < 0.1


@pytest.mark.usefixtures("shape_checks_off")
def test_errors_say_what_is_needed() -> None:
    with pytest.raises(ValueError, match=r"SO\(3\) is not finite"):
        RelaxedGroupConv(SO(3), 1, 1)
    with pytest.raises(ValueError, match=r"scaling\(2\) is not finite"):
        RelaxedLifting(scaling(2), 1, 1)
    with pytest.raises(ValueError, match=r"takes pixels between pixels: .* Use kernel_size=1"):
        RelaxedGroupConv(cyclic(8), 1, 1, kernel_size=3)
    with pytest.raises(ValueError, match=r"groups of the plane, got matrices \(4, 4\)"):
        RelaxedLifting(octahedral(), 1, 1)
    with pytest.raises(ValueError, match=r"kernel_size must be odd.*got 2"):
        RelaxedLifting(cyclic(4), 1, 1, kernel_size=2)
    with pytest.raises(ValueError, match="channels must be at least 1"):
        RelaxedGroupConv(cyclic(4), 0, 1)
    with pytest.raises(ValueError, match="banks must be at least 1, got 0"):
        RelaxedGroupConv(cyclic(4), 1, 1, banks=0)
    with pytest.raises(ValueError, match=r"side must be one of .*'in', 'out'.*, got 'both'"):
        RelaxedGroupConv(cyclic(4), 1, 1, side="both")
    with pytest.raises(ValueError, match=r"x must have shape \(B, 2, 4\) or \(B, 2, 4, H, W\), got \(3, 2, 5\)"):
        RelaxedGroupConv(cyclic(4), 2, 1)(torch.ones(3, 2, 5))
    with pytest.raises(ValueError, match=r"x must have shape \(B, 2, 4, H, W\), got \(3, 2, 4\)"):
        RelaxedGroupConv(cyclic(4), 2, 1, kernel_size=3)(torch.ones(3, 2, 4))
    with pytest.raises(ValueError, match=r"x must be images \(B, 2, H, W\), got shape \(3, 1, 5, 5\)"):
        RelaxedLifting(cyclic(4), 2, 1)(torch.ones(3, 1, 5, 5))
