"""What a declaration means for inputs and outputs of every type: it acts, or it is refused by name."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rapidash._seed import seeded
from rapidash.groups import SE, SO, Image, Permutation, Permutations, Position, Scalar, Vector
from rapidash.measure import (
    Action,
    check_equivariance,
    empirical_equivariance_deviation,
    equivariance_error,
    layerwise_equivariance_error,
    lie_derivative,
    local_equivariance_error,
    relative_rms_deviation,
    symmetry_breaking_score,
    symmetry_loss_share,
)

ELEMENTS = torch.tensor([6, 1, 1, 8, 7, 9])
MOLECULE = {"pos": torch.randn(6, 3, generator=seeded(0), dtype=torch.float64), "z": ELEMENTS}
PERMUTED = Action(Permutations(6), {"pos": Permutation(0), "z": Permutation(0)}, Scalar())


def ordered(pos: Tensor, z: Tensor) -> Tensor:
    return (z * torch.arange(6)).sum()[None] + pos.sum()


def test_elements_are_permuted_with_their_atoms() -> None:
    assert equivariance_error(lambda pos, z: (z[:, None] * pos).sum(dim=0), MOLECULE, PERMUTED).max < 1e-15
    result = equivariance_error(ordered, MOLECULE, PERMUTED, num_elements=4, normalization="none")
    # element P gives (P z)_i = z_p(i): the sum of i z_p(i) against that of i z_i
    moved = torch.stack([(g @ ELEMENTS.double() * torch.arange(6)).sum() for g in result.elements])
    expected = (moved - (ELEMENTS * torch.arange(6)).sum()).abs()
    torch.testing.assert_close(result.per_pair[:, 0], expected)
    assert expected.max() > 1


def test_masks_and_tables_of_whole_numbers_are_permuted() -> None:
    masked = {"pos": MOLECULE["pos"], "z": torch.tensor([True, False, False, True, False, True])}
    assert equivariance_error(lambda pos, z: pos[z].sum(dim=0), masked, PERMUTED).max < 1e-15
    assert equivariance_error(lambda pos, z: pos[:3].sum(dim=0) + z[0], masked, PERMUTED).mean > 0.1
    table, action = torch.arange(18).reshape(6, 3), Action(Permutations(6), Permutation(0), Scalar())
    assert check_equivariance(lambda v: v.double().sum(dim=0), table, action)
    assert not check_equivariance(lambda v: v[:1].double(), table, action)


@pytest.mark.parametrize(
    ("x", "inputs", "name"),
    [
        (torch.randint(9, (6, 3)), Position(), "Position cannot move a field of torch.int64 .*the input"),
        ({"pos": torch.randint(9, (6, 3))}, {"pos": Vector()}, "Vector .*input 'pos'"),
        ({"pos": torch.ones(6, 3).bool(), "f": torch.rand(6)}, {"pos": Vector(), "f": Scalar()}, "bool.*input 'pos'"),
        ((torch.rand(6), torch.ones(6, 3).byte()), (Scalar(), Position()), "uint8.*input '1'"),
        ({"v": np.ones((6, 3))}, {"v": Vector()}, r"input 'v' is a ndarray, which Vector cannot move.*from_numpy"),
        ({"v": [1.0, 2.0, 3.0]}, {"v": Vector()}, "input 'v' is a list of 3"),
    ],
    ids=["whole numbers", "by name", "truth values", "bytes", "array", "list"],
)
def test_what_cannot_be_moved_is_never_passed_over(x: object, inputs: object, name: str) -> None:
    action = Action(SO(3), inputs, Scalar())
    for measure in (equivariance_error, check_equivariance, relative_rms_deviation, empirical_equivariance_deviation):
        with pytest.raises(ValueError, match=name):
            measure(lambda *a, **k: torch.ones(6, 1) * torch.arange(6.0)[:, None], x, action)


def test_a_picture_in_bytes_is_refused() -> None:
    picture = torch.randint(255, (2, 8, 8), dtype=torch.uint8)
    action = Action(SE(2), Image(), Scalar())
    with pytest.raises(ValueError, match=r"Image cannot move a field of torch\.uint8 .*\.float\(\)"):
        equivariance_error(lambda v: v.double().mean(dim=(1, 2)), picture, action)
    assert equivariance_error(lambda v: v[:, 0, 0], picture.double(), action).mean > 0.1


def test_what_does_not_move_may_be_anything() -> None:
    x = {"pos": MOLECULE["pos"], "z": ELEMENTS, "kind": "atoms", "cutoff": 5.0, "extra": None}
    inputs = {"pos": Vector(), "z": Scalar(), "kind": Scalar(), "cutoff": Scalar(), "extra": Vector()}

    def model(pos: Tensor, z: Tensor, kind: str, cutoff: float, extra: None) -> Tensor:
        return cutoff * z[:, None] * pos if kind == "atoms" and extra is None else pos.abs()

    assert equivariance_error(model, x, Action(SO(3), inputs, Vector())).max < 1e-14


COMPLEX = torch.randn(10, 3, generator=seeded(1), dtype=torch.complex128)
VECTORS = Action(SO(3), Vector(), Vector())
WEIGHT = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)


def test_complex_vectors_have_the_measures_of_their_two_parts() -> None:
    """A complex vector under real rotations is two vectors, twice as many samples."""
    parts = torch.view_as_real(COMPLEX).transpose(1, 2).reshape(20, 3)
    scaled = lambda v: v * WEIGHT  # noqa: E731
    assert check_equivariance(lambda v: 2j * v, COMPLEX, VECTORS)
    assert check_equivariance(lambda v: 2j * v, COMPLEX.to(torch.complex64), VECTORS)
    assert not check_equivariance(scaled, COMPLEX, VECTORS)
    for measure in (
        lambda x: equivariance_error(scaled, x, VECTORS).per_element,
        lambda x: relative_rms_deviation(scaled, x, VECTORS),
        lambda x: symmetry_loss_share(scaled, x, x, VECTORS).share,
        *(
            (lambda x, m=m: lie_derivative(scaled, x, VECTORS, method=m).value.abs().square().sum())
            for m in ("forward", "double_backward", "difference")
        ),
    ):
        torch.testing.assert_close(torch.as_tensor(measure(COMPLEX)), torch.as_tensor(measure(parts)))
    whole, half = (local_equivariance_error(scaled, x, VECTORS).per_generator() for x in (COMPLEX, parts))
    torch.testing.assert_close(whole, half * 2**0.5)  # a mean over complex components


@pytest.mark.filterwarnings("ignore:Complex modules are a new feature:UserWarning")
def test_layers_of_a_complex_network_add_up() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3)).to(torch.complex128).eval()
    exact = layerwise_equivariance_error(net, COMPLEX, VECTORS, Vector())
    assert exact.remainder.abs().max() < 1e-12
    assert float(exact.shares.sum()) == pytest.approx(1)
    probed = layerwise_equivariance_error(net, COMPLEX, VECTORS, Vector(), method="hutchinson", probes=2000)
    torch.testing.assert_close(probed.rms, exact.rms, rtol=0.1, atol=0)


def test_a_classifier_sees_complex_fields_and_permuted_whole_numbers() -> None:
    lengths = torch.rand(64, 8, 1, generator=seeded(0)) + 0.5
    aligned = (lengths * torch.tensor([1.0, 0.0, 0.0])).to(torch.complex64)
    assert symmetry_breaking_score(aligned, SO(3), Vector(), steps=60).accuracy > 0.8
    rising = torch.arange(8).repeat(64, 1)
    assert symmetry_breaking_score(rising, Permutations(8), Permutation(1), steps=100).accuracy > 0.9
    with pytest.raises(ValueError, match=r"Vector cannot move a field of torch\.int64"):
        symmetry_breaking_score(torch.ones(64, 8, 3).long(), SO(3), Vector(), steps=5)
