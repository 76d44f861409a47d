import pytest
import torch
from torch import Tensor

from rapidash._seed import seeded
from rapidash.data import Field
from rapidash.groups import SO, E, Position, Scalar, T
from rapidash.measure import (
    Action,
    LayerwiseError,
    as_module,
    check_equivariance,
    layerwise_equivariance_error,
    local_equivariance_error,
    rapidash_action,
    rapidash_layers,
)
from rapidash.models import Rapidash


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=seeded(seed, *shape), dtype=torch.float64)


def rapidash(space: str, num_orientations: int = 4, symmetry: str = "E(3)") -> Rapidash:
    torch.manual_seed(0)
    sizes = {
        "num_orientations": num_orientations,
        "channels": 16,
        "num_layers": 2,
        "basis_dim": 16,
        "basis_hidden_dim": 16,
    }
    model = Rapidash(symmetry=symmetry, space=space, grid="fibonacci", in_scalars=1, **sizes)
    return model.double().eval()


def cloud_error(model: Rapidash, group: object) -> float:
    x = {"pos": normal(40, 3), "batch": torch.arange(8).repeat_interleave(5), "scalars": torch.ones(40, 1).double()}
    inputs = {"pos": Field(Position()), "batch": Scalar(), "scalars": Scalar()}
    action = Action(group, inputs, Field(Scalar(), level="cloud"), batch="batch")
    run = lambda **tensors: model(**tensors).scalars  # noqa: E731
    return local_equivariance_error(run, x, action, relative=True).total()


def test_rapidash_on_distances_is_exactly_equivariant_and_raw_offsets_are_not() -> None:
    assert cloud_error(rapidash("R3"), E(3)) < 1e-10
    assert cloud_error(rapidash("R3", symmetry="T(3)"), T(3)) < 1e-10
    assert cloud_error(rapidash("R3", symmetry="T(3)"), SO(3)) > 0.1


def test_the_rotation_error_falls_with_the_number_of_orientations() -> None:
    coarse, middle, fine = (cloud_error(rapidash("R3xS2", num), SO(3)) for num in (8, 20, 60))
    assert coarse > middle > fine > 1e-6


def layers_of(model: Rapidash, lmax: int | None = None, method: str = "forward") -> LayerwiseError:
    """The Lie derivative under rotations by layer, on two clouds."""
    x = {"pos": normal(10, 3), "batch": torch.arange(2).repeat_interleave(5), "scalars": torch.ones(10, 1).double()}
    if model.in_vectors:
        x["vectors"] = normal(10, 1, 3)
    model.calibrate(**x)
    action, hidden = rapidash_action(model, SO(3)), rapidash_layers(model, lmax=lmax)
    return layerwise_equivariance_error(model, x, action, hidden, method=method, probes=400)  # type: ignore[arg-type]


def sizes_by_name(result: LayerwiseError) -> dict[str, float]:
    return dict(zip([name for name, _ in result.layers], result.rms.square().mean(dim=0).sqrt().tolist()))


NETWORKS = {
    "one scale": {},
    "vectors": {"in_vectors": 1},
    "mirrors seen": {"symmetry": "SE(3)"},
    "cutoff": {"edges": "radius-2.0"},
    "scales": {"edges": ["knn-4", "knn-2"], "num_layers": [1, 1], "channels": [8, 8], "level": "node"},
    "heights on R3": {"symmetry": "SO2(z)", "space": "R3"},
}


@pytest.mark.parametrize("kernel", ["exact", "tabulated"])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_layers_of_a_rapidash_close_on_the_exact_sum(name: str, kernel: str) -> None:
    options = {"channels": 8, "num_layers": 2, "basis_dim": 8, "basis_hidden_dim": 8, "table_size": 16, "in_scalars": 1}
    torch.manual_seed(0)
    model = Rapidash(num_orientations=12, kernel=kernel, **(options | NETWORKS[name])).double().eval()
    result, size = layers_of(model), float(layers_of(model).total.norm())
    assert result.remainder.norm() < 1e-10 * size
    assert float(result.shares.sum()) == pytest.approx(1.0, abs=1e-10)
    sizes = sizes_by_name(result)
    expected = {"embedding", "pair_attributes", "readout", *(f"blocks.{i}" for i in range(len(model.blocks)))}
    assert expected <= set(sizes)
    assert ("spatial_basis" in sizes) == (kernel == "exact")
    assert sizes["embedding"] < 1e-12
    assert sizes["pair_attributes"] > 1e-3 * size
    if model.invariants.has_orientations:  # the kernel on the grid aliases: in the basis, or in the block of its table
        assert sizes["spatial_basis" if kernel == "exact" else "blocks.0"] > 1e-3 * size


@pytest.mark.parametrize("kernel", ["exact", "tabulated"])
def test_hidden_signals_that_stay_leave_the_error_to_the_pair_attributes(kernel: str) -> None:
    result = layers_of(rapidash("R3xS2", 12).with_kernel(kernel), lmax=-1)  # type: ignore[arg-type]
    total = float(result.total.square().mean().sqrt())
    sizes = sizes_by_name(result)
    assert sizes.pop("pair_attributes") == pytest.approx(total, rel=1e-10)
    assert max(sizes.values()) < 1e-10 * total


def test_random_probes_see_the_layers_of_a_tabulated_network() -> None:
    model = rapidash("R3xS2", 12).with_kernel("tabulated")
    exact, probed = layers_of(model), layers_of(model, method="hutchinson")
    assert probed.layers == exact.layers
    seen = exact.rms > 1e-12
    assert ((probed.rms.square() / exact.rms.square())[seen] - 1).abs().max() < 4 * (2 / 400) ** 0.5


def test_layers_inside_a_wrapping_module_are_found() -> None:
    model = rapidash("R3xS2", 12)
    module = as_module(lambda pos, scalars: model(pos, scalars=scalars).scalars, model)
    x = {"pos": normal(6, 3), "scalars": torch.ones(6, 1).double()}
    action = Action(SO(3), {"pos": Field(Position()), "scalars": Scalar()}, Scalar())
    result = layerwise_equivariance_error(module, x, action, rapidash_layers(module))
    assert {"parts.0.embedding", "parts.0.spatial_basis", "parts.0.blocks.0"} <= {name for name, _ in result.layers}
    assert result.remainder.norm() < 1e-10 * result.total.norm()


def test_a_kernel_field_refuses_what_is_no_kernel() -> None:
    _, field, *_ = rapidash_layers(rapidash("R3"))["readout"][0]
    with pytest.raises(TypeError, match="expected the kernel of some edges"):
        field.act(torch.eye(4).double(), torch.ones(3))


def test_layers_of_a_network_without_a_rapidash_are_refused() -> None:
    with pytest.raises(ValueError, match="contains no Rapidash"):
        rapidash_layers(torch.nn.Linear(2, 2))


@pytest.mark.parametrize("level", ["graph", "node"])
def test_the_action_of_a_rapidash_is_read_from_it(level: str) -> None:
    torch.manual_seed(0)
    sizes = {"channels": 8, "num_layers": 1, "basis_dim": 8, "basis_hidden_dim": 8}
    io = {"in_scalars": 1, "in_vectors": 1, "out_scalars": 2, "out_vectors": 1}
    model = Rapidash(grid="platonic", num_orientations=6, level=level, **io, **sizes).double().eval()
    x = {"pos": normal(7, 3), "scalars": normal(7, 1), "vectors": normal(7, 1, 3)}
    grouped = x | {"batch": torch.tensor([0, 0, 0, 0, 1, 1, 1])}
    for inputs in (x, grouped):
        assert check_equivariance(model, inputs, rapidash_action(model, model.exact_symmetry))
        assert not check_equivariance(model, inputs, rapidash_action(model))
