"""The relaxation morphism: the same function, more weights, and exactly the symmetry that is stated."""

import copy
from itertools import product

import pytest
import torch
from torch import Tensor, nn

from rapidash._seed import seeded
from rapidash.groups import Image, Regular, cyclic, finite_table, grid_symmetries, parse_group, parse_subgroup
from rapidash.learn import layer_subgroups, relax_to_subgroup, subgroup_distance
from rapidash.models import (
    EGNNConfig,
    ImageGCNN,
    ImageGCNNConfig,
    Interface,
    Rapidash,
    SignalGCNNConfig,
    layer_members,
    tie,
    untie,
    untying,
)
from rapidash.nn import ImageGroupConv, ImageLifting, ImageSubgroupConv, OrbitTables, SubgroupBatchNorm, used_parameters

STEPS = [("C4", "C2"), ("C4", "C1"), *(("D4", name) for name in ("C4", "D2", "D1", "C2", "C1")), ("D2", "D1")]
CHAINS = [
    ("C4", ("C2", "C2", "C1")),
    ("C4", ("C4", "C4", "C1")),
    ("C4", ("C1", "C4", "C2")),
    ("D4", ("D4", "C4", "D1")),
]


def image_network(symmetry: str, *, seed: int = 0, **knobs) -> ImageGCNN:
    """In float64 and eval mode, its normalization as if it was trained."""
    torch.manual_seed(seed)
    config = ImageGCNNConfig(symmetry=symmetry, channels=2, lifting_size=3, pool_after=(1,), **knobs)
    network = config.build(Interface(dim=0, in_scalars=1, out_scalars=3)).double()
    for part in network.modules():
        if isinstance(part, nn.BatchNorm3d):
            nn.init.normal_(part.weight)
            nn.init.normal_(part.bias)
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2.0)
    return network.eval()


def images(num: int = 4) -> Tensor:
    return torch.randn(num, 1, 7, 7, generator=seeded(1), dtype=torch.float64)


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(("symmetry", "subgroups"), [*STEPS, *CHAINS], ids=str)
@pytest.mark.parametrize("pooling", ["mean", "mean+max", "max"])
def test_a_relaxed_network_of_images_is_the_same_function(symmetry, subgroups, pooling) -> None:
    network = image_network(symmetry, pooling=pooling, readout_dim=3 if pooling == "mean" else 0)
    relaxed = relax_to_subgroup(network, subgroups)
    assert float((network(images()) - relaxed(images())).detach().abs().max()) < 1e-12
    assert float(network(images()).detach().std()) > 1e-3
    names = [subgroups] * 3 if isinstance(subgroups, str) else subgroups
    order = len(finite_table(network.group))
    assert layer_subgroups(relaxed) == [len(parse_subgroup(name, network.group)) for name in names]
    convs = [part for part in relaxed.modules() if isinstance(part, ImageSubgroupConv | ImageGroupConv)]
    plain = [part for part in network.modules() if isinstance(part, ImageGroupConv)]
    for own, other, kept in zip(convs, plain, layer_subgroups(relaxed), strict=True):
        assert count(own) == count(other) * order // kept
    again = relax_to_subgroup(relaxed, "C1")  # from what is relaxed already, transversals need not nest
    assert float((network(images()) - again(images())).detach().abs().max()) < 1e-12


def moved_kernel(layer: ImageGroupConv | ImageSubgroupConv) -> Tensor:
    """W[o, g, i, h, q], entry by entry from the outputs: the response to a single pixel of a single element."""
    k = int((layer.places.shape[1] // (1 if layer.lifts else len(layer.places))) ** 0.5)
    channels, on_group = (
        layer.weight.shape[1:3] if isinstance(layer, ImageGroupConv) else layer.tables.weight.shape[2:4]
    )
    rows = []
    for i, h, a, b in product(range(channels), range(on_group), range(k), range(k)):
        x = torch.zeros(1, channels, on_group, k, k, dtype=torch.float64)
        x[0, i, h, a, b] = 1.0
        out = layer(x[:, :, 0] if layer.lifts else x)
        rows.append(out[0, :, :, k // 2, k // 2].detach())
    return torch.stack(rows, dim=-1).unflatten(-1, (channels, on_group, k, k))


def error_over(function, group, elements, *, on_group: bool) -> float:
    """Of equivariance (an image or a function on the group in, one on the group out), the worst over elements."""
    table = finite_table(group)
    shape = (1, 2, len(table), 5, 5) if on_group else (1, 2, 5, 5)
    x = torch.randn(shape, generator=seeded(2), dtype=torch.float64)
    regular, pixels = Regular(table, axis=-3), Image(boundary="zeros")

    def move(g: Tensor, y: Tensor) -> Tensor:
        y = pixels.act(g, y)
        return regular.act(g, y) if y.dim() == 5 else y

    return max(float((function(move(g, x)) - move(g, function(x))).detach().norm()) for g in table.elements[elements])


@pytest.mark.parametrize("make", [ImageLifting, ImageGroupConv])
@pytest.mark.parametrize(("symmetry", "subgroup"), [("C4", "C2"), ("D4", "D1"), ("D4", "C1")])
def test_a_relaxed_layer_keeps_its_subgroup_and_no_more(make, symmetry: str, subgroup: str) -> None:
    """Also after the weights have moved; D1 is not normal in D4."""
    group = parse_group(symmetry, 2)
    torch.manual_seed(0)
    layer = relax_to_subgroup(make(group, 2, 3).double(), subgroup)
    assert isinstance(layer, ImageSubgroupConv)
    inside = list(parse_subgroup(subgroup, group))
    outside = [g for g in range(len(layer.places)) if g not in inside]
    assert float(subgroup_distance(layer, symmetry)) < 1e-12
    assert error_over(layer, group, inside + outside, on_group=not layer.lifts) < 1e-11
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter += torch.randn(parameter.shape, generator=seeded(3), dtype=torch.float64)
    assert float(subgroup_distance(layer, subgroup)) < 1e-12
    assert float(subgroup_distance(layer, symmetry)) > 0.1
    assert error_over(layer, group, inside, on_group=not layer.lifts) < 1e-11
    assert min(error_over(layer, group, [g], on_group=not layer.lifts) for g in outside) > 0.1


def test_distance_is_that_of_the_whole_kernel() -> None:
    """By the other route: W averaged over the group, u W[o, u^-1 g, i, u^-1 h, u^-1 q], entry by entry."""
    group = parse_group("C4", 2)
    torch.manual_seed(0)
    layer = relax_to_subgroup(ImageGroupConv(group, 1, 2, use_bias=False).double(), "C1")
    with torch.no_grad():
        layer.tables.weight += torch.randn(layer.tables.weight.shape, generator=seeded(3), dtype=torch.float64)
    table, kernel = finite_table(group), moved_kernel(layer)
    turned = []
    for u, g in enumerate(table.elements):
        back = table.table[table.inverses[u]]
        turned.append(Image(boundary="zeros").act(g, kernel[:, back][:, :, :, back]))
    mean = torch.stack(turned).mean(dim=0)
    expected = float((kernel - mean).norm() / kernel.norm())
    assert float(subgroup_distance(layer, "C4")) == pytest.approx(expected, abs=1e-9)
    assert float(subgroup_distance(layer, "C1")) == 0


def test_the_layer_by_hand() -> None:
    """Two elements, one pixel: y(1) = a x(1) + b x(t), y(t) = c x(t) + d x(1), with tables (a, b) and (c, d)."""
    layer = relax_to_subgroup(ImageGroupConv(cyclic(2), 1, 1, kernel_size=1, use_bias=False).double(), "C1")
    with torch.no_grad():
        layer.tables.weight.copy_(torch.tensor([[2.0, 3.0], [5.0, 7.0]]).reshape(2, 1, 1, 2, 1, 1))
    x = torch.tensor([[1.0, 10.0]], dtype=torch.float64).reshape(1, 1, 2, 1, 1)
    assert layer(x).flatten().tolist() == [2 + 30, 50 + 7]


def test_training_breaks_the_group_and_keeps_the_subgroup() -> None:
    network = relax_to_subgroup(image_network("D4"), "C2").train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    network(images()).square().sum().backward()
    optimizer.step()
    assert bool((subgroup_distance(network, "D4") > 1e-4).all())
    assert bool((subgroup_distance(network, "C2") < 1e-12).all())
    half = Image(boundary="zeros").act(cyclic(2).elements()[1], images())
    quarter = Image(boundary="zeros").act(cyclic(4).elements()[1], images())
    network.eval()
    assert float((network(images()) - network(half)).detach().abs().max()) < 1e-12
    assert float((network(images()) - network(quarter)).detach().abs().max()) > 1e-4


def test_normalization_of_orbits() -> None:
    """In training every orbit has statistics of its own; tied ones share them, as plain normalization does."""
    plain = nn.BatchNorm3d(2).double()
    orbits = torch.tensor([0, 1, 0, 1])
    x = torch.randn(3, 2, 4, 2, 2, generator=seeded(0), dtype=torch.float64)
    norm = SubgroupBatchNorm(plain, orbits, can_tie=True).train()
    out = norm(x)
    assert float(out[:, :, [0, 2]].detach().mean(dim=(0, 2, 3, 4)).abs().max()) < 1e-12
    means = torch.stack([x[:, :, orbits == k].mean(dim=(0, 2, 3, 4)) for k in (0, 1)])
    torch.testing.assert_close(norm.running_mean.unflatten(0, (2, 2)), 0.1 * means)
    norm.tie(torch.zeros(4, dtype=torch.long))
    torch.testing.assert_close(norm.running_mean.unflatten(0, (2, 2))[0], 0.1 * means.mean(dim=0))
    tied = SubgroupBatchNorm(plain, orbits, can_tie=True)
    tied.tie(torch.zeros(4, dtype=torch.long))
    torch.testing.assert_close(tied(x), plain(x))
    torch.testing.assert_close(tied.running_var, plain.running_var.repeat(2))


def test_ties_by_hand_and_in_a_saved_state() -> None:
    """Three tables for four things; the first two are tied, then all; a gradient is shared alike."""
    tables = OrbitTables(torch.tensor([[1.0], [3.0], [8.0]]), torch.tensor([0, 1, 1, 2]), can_tie=True)
    assert tables.of_things().flatten().tolist() == [1, 3, 3, 8]
    tables.tie(torch.tensor([4, 4, 4, 9]))
    assert tables.of_things().flatten().tolist() == [2, 2, 2, 8]
    tables.of_things().sum().backward()
    assert tables.weight.grad.flatten().tolist() == [1.5, 1.5, 1.0]
    other = OrbitTables(torch.zeros(3, 1), torch.tensor([0, 1, 1, 2]), can_tie=True)
    other.load_state_dict(tables.state_dict())
    assert other.num_tied == 2
    assert torch.equal(other.of_things(), tables.of_things())
    tables.tie(torch.zeros(4))
    assert tables.of_things().flatten().tolist() == [4, 4, 4, 4]  # (2 + 2 + 8) / 3
    with pytest.raises(ValueError, match="divide an orbit"):
        tables.tie(torch.tensor([0, 0, 1, 2]))


SMALL = {"grid": "platonic", "in_scalars": 1, "channels": 4, "num_layers": 2, "basis_dim": 5, "basis_hidden_dim": 6}
CLOUDS = [
    ("E(3)", 12, ("E(3)", "C2(z)"), [120, 2]),
    ("E(3)", 6, ("D4", "C4(z)"), [8, 4]),
    ("SE(3)", 6, ("tetrahedral", "C3(1,1,1)"), [12, 3]),
    ("SE(3)", 8, ("SO2(z)", "T(3)"), [4, 1]),
    ("SO2(z)", 6, ("C4(z)", "C2(z)"), [4, 2]),
]


@torch.no_grad()
def cloud_error(network: Rapidash, elements: Tensor) -> float:
    """The worst over elements of what scalars and vectors do."""
    pos, batch, features = clouds()
    out, worst = network(pos, batch, **features), 0.0
    for g in elements:
        moved = network(pos @ g.T, batch, **features)
        worst = max(worst, float((moved.scalars - out.scalars).norm() + (moved.vectors - out.vectors @ g.T).norm()))
    return worst


def clouds() -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    draw = torch.randn(7, 5, generator=seeded(0), dtype=torch.float64)
    return draw[:, :3], torch.tensor([0] * 4 + [1] * 3), {"scalars": draw[:, 3:4], "pairs": draw[:, 4:]}


@pytest.mark.parametrize(("symmetry", "num", "subgroups", "kept"), CLOUDS, ids=str)
def test_a_relaxed_network_of_clouds(symmetry: str, num: int, subgroups, kept) -> None:
    """The same function, with exact and tabulated kernels; fresh weights keep the common motions and no more."""
    torch.manual_seed(0)
    knobs = {**SMALL, "symmetry": symmetry, "num_orientations": num, "in_pairs": 1, "out_vectors": 1}
    network = Rapidash(**knobs).double().eval()
    pos, batch, features = clouds()
    relaxed = relax_to_subgroup(network, subgroups)
    assert layer_subgroups(relaxed) == kept
    for mode in ("exact", "tabulated") if symmetry != "SO2(z)" else ("exact",):
        before, after = (model.with_kernel(mode)(pos, batch, **features) for model in (network, relaxed))
        assert float((before.scalars - after.scalars).detach().abs().max()) < 1e-12
        assert float((before.vectors - after.vectors).detach().abs().max()) < 1e-12
    assert float(subgroup_distance(relaxed, symmetry).max()) < 1e-12
    fresh = Rapidash(**knobs, subgroups=subgroups).double().eval()
    assert layer_subgroups(fresh) == kept
    inside = fresh.exact_symmetry.linear.sample(16, 3, seeded(0))
    assert cloud_error(fresh, inside) < 1e-12
    every = grid_symmetries(fresh.grid, reflections=symmetry == "E(3)").elements
    outside = torch.stack([g for g in every if not fresh.exact_symmetry.linear.contains(g)])
    if symmetry != "SO2(z)":
        assert min(cloud_error(fresh, g[None]) for g in outside) > 1e-3
    assert float(subgroup_distance(fresh, subgroups[-1])[-1]) < 1e-12


def test_tables_of_a_tied_layer_are_again_those_of_one_kernel() -> None:
    """Tied to the whole group, and then made small: one kernel for pairs whose basis differs."""
    torch.manual_seed(0)
    network = Rapidash(**SMALL, symmetry="E(3)", num_orientations=6).double().eval()
    pos, batch, features = clouds()
    given = {"scalars": features["scalars"]}
    before = network(pos, batch, **given).scalars.detach()
    orbits = untying(network)
    tied = copy.deepcopy(network)
    untie(tied, [orbits.members("C1")] * 2, can_tie=True)
    tie(tied, [orbits.everything, orbits.members("C4(z)")])
    assert layer_subgroups(tied) == [48, 4]
    untie(tied, layer_members(tied))
    assert float((tied(pos, batch, **given).scalars - before).detach().abs().max()) < 1e-12
    assert used_parameters(tied) == count(tied) == count(relax_to_subgroup(network, ("E(3)", "C4(z)")))


def test_orbits_that_are_those_of_the_group_cost_nothing() -> None:
    """On the icosahedron rotations alone have the orbits of all motions: nothing is relaxed, nothing is added."""
    network = Rapidash(**SMALL, symmetry="E(3)", num_orientations=12)
    relaxed = relax_to_subgroup(network, "icosahedral")
    assert [type(part) for part in relaxed.modules()] == [type(part) for part in network.modules()]
    assert relaxed.symmetry == network.symmetry
    assert relaxed.config.subgroups == ()


def test_a_saved_network_has_its_subgroups(tmp_path) -> None:
    relaxed = relax_to_subgroup(Rapidash(**SMALL, symmetry="E(3)", num_orientations=6), ("D4", "C2(z)")).eval()
    with torch.no_grad():
        for parameter in relaxed.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=seeded(0))
    again = Rapidash.from_pretrained(relaxed.save_pretrained(tmp_path / "network"))
    assert again.config.subgroups == ("D4", "C2(z)")
    assert again.exact_symmetry == relaxed.exact_symmetry
    assert all(torch.equal(own, other) for own, other in zip(again.parameters(), relaxed.parameters(), strict=True))


def test_a_function_on_a_group() -> None:
    network = SignalGCNNConfig(symmetry="C8", num_layers=2).build(Interface(dim=0, in_scalars=1, out_scalars=2))
    network = network.double().eval()
    x = torch.randn(3, 1, 8, generator=seeded(0), dtype=torch.float64)
    relaxed = relax_to_subgroup(network, ("C4", "C2"))
    assert float((network(x) - relaxed(x)).detach().abs().max()) < 1e-12
    assert layer_subgroups(relaxed) == [4, 2]


def test_what_is_no_subgroup_is_refused() -> None:
    network = image_network("D2")
    with pytest.raises(ValueError, match=r"C\(4\) is no subgroup of D\(2\).*'D2', 'D1', 'C2', 'C1'"):
        relax_to_subgroup(network, "C4")
    with pytest.raises(ValueError, match="3 layers, got 2 subgroups"):
        relax_to_subgroup(network, ("C2", "C2"))
    with pytest.raises(ValueError, match="what a layer has lost does not come back"):
        relax_to_subgroup(relax_to_subgroup(network, "C2"), "D1")
    with pytest.raises(ValueError, match="unknown symmetry 'Q8'"):
        relax_to_subgroup(network, "Q8")
    with pytest.raises(ValueError, match="no orientations"):
        relax_to_subgroup(Rapidash(space="R3", in_scalars=1), "C2(z)")
    with pytest.raises(ValueError, match="EGNN"):
        relax_to_subgroup(EGNNConfig().build(Interface(in_scalars=1)), "C2(z)")
    with pytest.raises(ValueError, match="no subgroup of 48 motions of the grid"):
        Rapidash(**SMALL, num_orientations=6, subgroups=("C5(z)", "C1"))
    with pytest.raises(ValueError, match="one for each of num_layers=3"):
        ImageGCNNConfig(subgroups=("C4",))
    with pytest.raises(ValueError, match="no subgroup of C"):
        ImageGCNNConfig(subgroups=("C4", "C4", "D4"))


def test_a_relaxed_network_is_another_one() -> None:
    """Its parameters are its own, and the given one stays as it is."""
    network = image_network("C4")
    before = copy.deepcopy(network.state_dict())
    relaxed = relax_to_subgroup(network, "C1")
    with torch.no_grad():
        for parameter in relaxed.parameters():
            parameter.zero_()
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
