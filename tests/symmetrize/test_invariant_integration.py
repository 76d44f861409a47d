"""Invariant integration: values by hand, invariance, the control that is pooling, and what it tells apart."""

from itertools import product

import pytest
import torch
from torch import Tensor

from rapidash._seed import seeded
from rapidash.groups import cyclic, dihedral, finite_table, parse_group
from rapidash.models import ImageGCNNConfig, Interface, Rapidash
from rapidash.symmetrize import InvariantIntegration, Linear, Mlp, Monomial, WeightedSum

FUNCTIONS = {"linear": Linear(), "weighted sum": WeightedSum(), "monomial": Monomial(), "MLP": Mlp(5)}
IDS = list(FUNCTIONS)


def quarter_turn(image: Tensor, u: int) -> Tensor:
    """An image moved by the element of `dihedral(4)`: with y downward the turn (x, y) -> (-y, x) is clockwise."""
    mirrored = image.flip(-1) if u >= 4 else image
    return torch.rot90(mirrored, -(u % 4), (-2, -1))


def moved(group, u: int, fiber: Tensor) -> Tensor:
    table = finite_table(group)
    fiber = fiber[:, :, table.table[table.inverses[u]]]
    return quarter_turn(fiber, u) if fiber.shape[-1] > 1 else fiber


def random_fiber(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(shape, generator=seeded("fiber"), dtype=torch.float64).to(dtype)


def made(group, channels: int, function, **options) -> InvariantIntegration:
    torch.manual_seed(0)
    return InvariantIntegration(group, channels, 3, function, **options).double().eval()


def test_a_product_of_neighbors_tells_what_pooling_cannot() -> None:
    """On four places [1, 1, 0, 0] has one pair of neighbors out of four, [1, 0, 1, 0] none; mean and maximum agree."""
    near, far = (torch.tensor(row).double().reshape(1, 1, 4, 1, 1) for row in ([1, 1, 0, 0], [1, 0, 1, 0]))
    layer = InvariantIntegration(cyclic(4), 1, 1, Monomial(eps=1e-9, low=-60.0)).double()
    layer.set_exponents(torch.tensor([1.0, 1, 0, 0]).double().reshape(1, 1, 4, 1, 1))
    assert layer(near).item() == pytest.approx(1 / 4, abs=1e-8)
    assert layer(far).item() == pytest.approx(0, abs=1e-8)
    assert near.mean() == far.mean()
    assert near.max() == far.max()
    linear = InvariantIntegration(cyclic(4), 1, 5, Linear()).double()
    torch.testing.assert_close(linear(near), linear(far), atol=1e-15, rtol=0)


def test_monomials_and_weighted_sums_by_hand() -> None:
    """The fiber (2, 3) on two elements: products f(g)^2 f(g r) are 12 and 18; 2 f(g) - f(g r) - 2 is -1 and 2."""
    fiber = torch.tensor([2.0, 3.0]).double().reshape(1, 1, 2, 1, 1)
    monomial = InvariantIntegration(cyclic(2), 1, 1, Monomial(eps=1e-12)).double()
    monomial.set_exponents(torch.tensor([2.0, 1.0]).double().reshape(1, 1, 2, 1, 1))
    assert monomial(fiber).item() == pytest.approx(15.0)
    assert monomial(-fiber).item() == pytest.approx(0.0, abs=1e-8)  # what is below 0 counts as 0, and is clamped
    clamped = InvariantIntegration(cyclic(2), 1, 1, Monomial(eps=1e-12, high=0.0)).double()
    clamped.set_exponents(torch.tensor([2.0, 1.0]).double().reshape(1, 1, 2, 1, 1))
    assert clamped(fiber).item() == pytest.approx(1.0)
    summed, mixed = (InvariantIntegration(cyclic(2), 1, 1, psi).double() for psi in (WeightedSum(), Mlp(1)))
    for layer in (summed, mixed):
        with torch.no_grad():
            layer.conv.weight.copy_(torch.tensor([2.0, -1.0]).reshape(1, 1, 2, 1, 1))
            layer.conv.bias.fill_(-2.0)
    assert summed(fiber).item() == pytest.approx((0 + 2) / 2)
    with torch.no_grad():
        mixed.mix.weight.fill_(3.0)
        mixed.mix.bias.fill_(-1.0)
    assert mixed(fiber).item() == pytest.approx((0 + 5) / 2)


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=IDS)
@pytest.mark.parametrize("name", ["C4", "D4"])
def test_invariant_to_every_element_on_images(function, name: str) -> None:
    group = parse_group(name, 2)
    order = len(finite_table(group))
    for dtype, limit in ((torch.float32, 1e-5), (torch.float64, 1e-11)):
        layer = made(group, 2, function, kernel_size=3, batch_norm=True).to(dtype)
        for size in (5, 6):
            fiber = random_fiber(3, 2, order, size, size, dtype=dtype)
            with torch.no_grad():
                out = layer(fiber)
                errors = [(layer(moved(group, u, fiber)) - out).abs().max() for u in range(order)]
                half = layer(quarter_turn(fiber, 1))  # pixels without the group: no move
            assert float(torch.stack(errors).max()) < limit
            assert float((half - out).abs().max()) > 10 * limit


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=IDS)
def test_circular_padding_adds_shifts(function) -> None:
    layer = made(cyclic(4), 2, function, kernel_size=3, padding="circular")
    fiber = random_fiber(2, 2, 4, 5, 7)
    shifted = fiber.roll((2, 3), dims=(3, 4))
    zeros = made(cyclic(4), 2, function, kernel_size=3)
    with torch.no_grad():
        assert float((layer(shifted) - layer(fiber)).abs().max()) < 1e-11
        assert float((zeros(shifted) - zeros(fiber)).abs().max()) > 1e-6


def test_linear_is_average_pooling_and_a_linear_map() -> None:
    layer = made(dihedral(4), 3, Linear(), kernel_size=3, padding="circular")
    with torch.no_grad():
        layer.conv.bias.copy_(torch.tensor([0.5, 0.0, -1.0]))
    fiber = random_fiber(4, 3, 8, 5, 5)
    pooled = fiber.mean(dim=(2, 3, 4)) @ layer.conv.weight.sum(dim=(2, 3, 4)).T + layer.conv.bias
    assert float((layer(fiber) - pooled).detach().abs().max()) < 1e-12
    other = made(dihedral(4), 3, WeightedSum(), kernel_size=3, padding="circular")
    assert float((other(fiber) - pooled).detach().abs().max()) > 1e-3


def test_the_mean_over_moves_by_loops() -> None:
    """A[psi](f) from its definition: psi of the features within 3 x 3 pixels, of every moved and shifted fiber."""
    group = cyclic(4)
    layer = made(group, 1, WeightedSum(), kernel_size=3, padding="circular")
    fiber = random_fiber(1, 1, 4, 3, 3)
    total = torch.zeros(3, dtype=torch.float64)
    for u, down, right in product(range(4), range(3), range(3)):
        seen = moved(group, u, fiber).roll((down, right), dims=(3, 4))
        total += torch.relu((layer.conv.weight * seen).sum(dim=(1, 2, 3, 4)))  # at the middle pixel, at the identity
    torch.testing.assert_close(layer(fiber)[0], total / 36, atol=1e-12, rtol=0)


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=IDS)
def test_clouds_are_pooled_one_by_one(function) -> None:
    """Points of clouds with orientations that are the group: permuted with it, in any order, alone or in a batch."""
    group, table = cyclic(8), finite_table(cyclic(8))
    layer = made(group, 2, function)
    fiber, batch = random_fiber(7, 8, 2), torch.tensor([0, 2, 0, 2, 2, 0, 2])
    out = layer(fiber, batch, 3)
    assert out.shape == (3, 3)
    assert out[1].tolist() == [0.0, 0.0, 0.0]  # no point
    for cloud in (0, 2):
        alone = layer(fiber[batch == cloud])
        torch.testing.assert_close(alone[0], out[cloud], atol=1e-12, rtol=0)
    for u in range(8):
        turned = fiber[:, table.table[table.inverses[u]]]
        assert float((layer(turned, batch, 3) - out).detach().abs().max()) < 1e-11
    order = torch.randperm(7, generator=seeded(1))
    torch.testing.assert_close(layer(fiber[order], batch[order], 3), out, atol=1e-12, rtol=0)
    as_ring = layer(fiber[:1].transpose(1, 2)[..., None, None])
    torch.testing.assert_close(as_ring, layer(fiber[:1]), atol=1e-12, rtol=0)


def test_gradients_are_finite_where_features_are_zero_and_products_are_normalized() -> None:
    layer = InvariantIntegration(cyclic(4), 2, 4, Monomial(), kernel_size=3, batch_norm=True)
    fiber = torch.zeros(3, 2, 4, 5, 5)
    fiber[0] = 2.0
    fiber.requires_grad_()
    out = layer(fiber)
    assert float(out.detach().mean(dim=0).abs().max()) < 1e-5
    out.square().sum().backward()
    assert bool(fiber.grad.isfinite().all())
    assert all(bool(p.grad.isfinite().all()) for p in layer.parameters())


def test_a_whole_network_is_invariant_and_a_plain_one_is_not() -> None:
    images = torch.randn(4, 1, 15, 15, dtype=torch.float64, generator=seeded(0))
    for name, order in (("C4", 4), ("D4", 8)):
        torch.manual_seed(0)
        io = Interface(dim=0, in_scalars=1, out_scalars=9)
        network = ImageGCNNConfig(symmetry=name, channels=3).build(io).double()
        integral = InvariantIntegration(network.group, 3, 5, kernel_size=3, batch_norm=True).double()
        network.head.replace_invariants(integral, 5)
        network.double()(images)
        network.eval()
        out = network(images)
        for u in range(order):
            assert float((network(quarter_turn(images, u)) - out).detach().abs().max()) < 1e-11
    plain = ImageGCNNConfig(symmetry="C1", channels=3).build(io).double().eval()
    assert float((plain(quarter_turn(images, 1)) - plain(images)).detach().abs().max()) > 1e-4


@pytest.mark.usefixtures("shape_checks_off")
def test_what_does_not_fit_is_said() -> None:
    fiber = torch.zeros(2, 2, 4, 5, 5)
    with pytest.raises(ValueError, match=r"the fiber has 2 channels on 4 elements, expected 2 .* 8 elements of D\(4\)"):
        InvariantIntegration(dihedral(4), 2, 3)(fiber)
    with pytest.raises(ValueError, match="the fiber has 2 channels on 4 elements, expected 3 channels"):
        InvariantIntegration(cyclic(4), 3, 3)(fiber)
    with pytest.raises(ValueError, match="the fiber has 3 channels on 12 elements"):
        InvariantIntegration(cyclic(8), 3, 3)(torch.zeros(5, 12, 3))
    with pytest.raises(ValueError, match="takes pixels between pixels"):
        InvariantIntegration(cyclic(8), 2, 3, kernel_size=3)
    with pytest.raises(ValueError, match="num_invariants must be at least 1, got 0"):
        InvariantIntegration(cyclic(4), 2, 0)
    with pytest.raises(ValueError, match=r"function must be Monomial, .* got 'monomial'"):
        InvariantIntegration(cyclic(4), 2, 3, "monomial")
    with pytest.raises(ValueError, match="no pixels around them: make the layer with kernel_size=1"):
        InvariantIntegration(cyclic(4), 2, 3, kernel_size=3)(torch.zeros(5, 4, 2))
    layer = InvariantIntegration(cyclic(4), 2, 3)
    with pytest.raises(ValueError, match=r"must be \(B, C, O, H, W\) or \(N, O, C\), got shape \(2, 4\)"):
        layer(torch.zeros(2, 4))
    with pytest.raises(ValueError, match="got 4 entries for 5 points and num_clouds=2"):
        layer(torch.zeros(5, 4, 2), torch.zeros(4, dtype=torch.long), 2)
    with pytest.raises(ValueError, match="num_clouds=2 needs batch"):
        layer(torch.zeros(5, 4, 2), None, 2)
    with pytest.raises(ValueError, match="are for points"):
        layer(fiber, torch.zeros(2, dtype=torch.long), 2)
    bad = layer.exponents.detach().clone()
    bad[0, 0, 0] = -1.0
    with pytest.raises(ValueError, match=r"exponents must be finite and at least 0: .*, got -1"):
        layer.set_exponents(bad)
    with pytest.raises(ValueError, match=r"exponents must be \(3, 2, 4, 1, 1\), got shape"):
        layer.set_exponents(bad[:1])
    with pytest.raises(ValueError, match=r"WeightedSum\(\) has no exponents"):
        _ = InvariantIntegration(cyclic(4), 2, 3, WeightedSum()).exponents
    for make, message in (
        (lambda: Monomial(eps=0.0), "eps must be finite and above 0"),
        (lambda: Monomial(low=9.0), "low must be below high, got 9.0 and 8.0"),
        (lambda: Mlp(0), "hidden must be at least 1, got 0"),
    ):
        with pytest.raises(ValueError, match=message):
            make()


def test_the_orientations_of_a_cloud_in_the_plane_are_a_group() -> None:
    """Features of a network on R^2 x S^1 with 8 orientations, before its readout: C8 permutes them in its order."""
    group = cyclic(8)
    torch.manual_seed(0)
    network = Rapidash(
        dim=2, symmetry="SE(2)", space="R2xS1", num_orientations=8, in_scalars=1, channels=4, num_layers=2, basis_dim=8
    ).double()
    seen: list[Tensor] = []
    network.blocks[-1].register_forward_hook(lambda module, inputs, output: seen.append(output))
    pos, batch = torch.randn(7, 2, dtype=torch.float64), torch.tensor([0, 0, 0, 1, 1, 1, 1])
    scalars = torch.ones(7, 1, dtype=torch.float64)
    layer = made(group, 4, Monomial())
    with torch.no_grad():
        for g in group.elements():
            network(pos @ g[:2, :2].T, batch, scalars=scalars)
        out = torch.stack([layer(fiber, batch, 2) for fiber in seen])
        assert seen[0].shape == (7, 8, 4)
        assert float((seen[1] - seen[0]).abs().max()) > 1e-3  # the features turn
        assert float((out - out[0]).abs().max()) < 1e-11
        assert float((out[0, 0] - out[0, 1]).abs().max()) > 1e-6
