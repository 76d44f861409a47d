import pytest
import torch
from torch import Tensor

from rapidash._seed import seeded
from rapidash.data import Field
from rapidash.groups import SO, E, Position, Scalar, T
from rapidash.measure import (
    Action,
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
    sizes = {"channels": 16, "num_layers": 2, "basis_dim": 16, "basis_hidden_dim": 16}
    model = Rapidash(symmetry=symmetry, space=space, num_orientations=num_orientations, in_scalars=1, **sizes)
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


@pytest.mark.parametrize("lmax", [None, -1])
def test_the_layers_of_a_rapidash_are_charged_with_what_they_break(lmax: int | None) -> None:
    model = rapidash("R3xS2", 12)
    module = as_module(lambda pos, scalars: model(pos, scalars=scalars).scalars, model)
    x = {"pos": normal(6, 3), "scalars": torch.ones(6, 1).double()}
    action = Action(SO(3), {"pos": Field(Position()), "scalars": Scalar()}, Scalar())
    result = layerwise_equivariance_error(module, x, action, rapidash_layers(module, lmax=lmax))
    names = [name for name, _ in result.layers]
    size = dict(zip(names, result.rms.square().mean(dim=0).sqrt().tolist()))
    assert {"parts.0.embedding", "parts.0.spatial_basis", "parts.0.blocks.0", "parts.0.readout"} <= set(size)
    total = float(result.total.square().mean().sqrt())
    assert size["parts.0.embedding"] < 1e-12
    if lmax == -1:  # hidden signals stay: the layers are innocent, the invariants on a fixed grid carry everything
        assert max(size.values()) < 1e-10 * total
        assert (result.remainder - result.total).abs().max() < 1e-10 * total
    else:
        assert size["parts.0.spatial_basis"] > 0.1 * total
        assert size["parts.0.blocks.0"] > 1e-3 * total


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
