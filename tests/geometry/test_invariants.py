import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from rapidash._seed import seeded
from rapidash.geometry import PairInvariants, canonical_frame, pair_invariants, polynomial_cutoff, safe_norm
from rapidash.groups import O2, SE, SO2, E, Group, O, T, random_rotation

CASES = [
    ("R3", E(3)),
    ("R3", T(3)),
    ("R3", SO2("z")),
    ("R3", SO2((1.0, 2.0, -1.0))),
    ("R3xS2", E(3)),
    ("R3xS2", SE(3)),
    ("R3xS2", T(3)),
    ("R3xS2", SO2("z")),
    ("R3xS2", O2("x")),
    ("R2", E(2)),
    ("R2", T(2)),
    ("R2xS1", E(2)),
    ("R2xS1", SE(2)),
    ("R2xS1", T(2)),
]


def attributes(kernel: PairInvariants, offset: Tensor, grid: Tensor) -> Tensor:
    spherical = kernel.spherical(grid) if kernel.has_orientations else grid.new_zeros(1)
    return torch.cat([kernel.spatial(offset, grid).flatten(), spherical.flatten()])


def random_pair(dim: int, seed: int) -> tuple[Tensor, Tensor]:
    rng = seeded("pair", seed)
    offset, grid = (torch.randn(n, dim, generator=rng, dtype=torch.float64) for n in (4, 5))
    return offset, grid / grid.norm(dim=1, keepdim=True)


@pytest.mark.parametrize(("space", "group"), CASES, ids=str)
@given(seed=st.integers(0, 2**31))
def test_attributes_do_not_change_under_the_group(space: str, group: Group, seed: int) -> None:
    kernel = pair_invariants(space, group)
    assert group.is_subgroup(kernel.group)
    offset, grid = random_pair(group.dim, seed)
    for motion in kernel.group.sample(3, generator=seeded(seed)):
        linear = motion[: group.dim, : group.dim]
        if not kernel.has_orientations or group.linear.generators(group.dim).numel():
            moved = attributes(kernel, offset @ linear.T, grid @ linear.T)
            torch.testing.assert_close(moved, attributes(kernel, offset, grid), atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize(("space", "group"), CASES, ids=str)
def test_attributes_change_under_motions_outside_the_group(space: str, group: Group) -> None:
    kernel = pair_invariants(space, group)
    if kernel.group.linear == E(group.dim).linear or kernel.is_chiral:
        pytest.skip("the attributes allow every orthogonal map")
    offset, grid = random_pair(group.dim, 1)
    outside = [g for g in O(group.dim).sample(32, generator=seeded(2)) if not kernel.group.linear.contains(g[:-1, :-1])]
    assert outside
    for motion in outside:
        linear = motion[: group.dim, : group.dim]
        change = attributes(kernel, offset @ linear.T, grid @ linear.T) - attributes(kernel, offset, grid)
        assert change.abs().max() > 1e-3


def test_attributes_by_hand() -> None:
    offset, grid = torch.tensor([[3.0, 4.0, 0.0]]), torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])
    assert pair_invariants("R3", E(3)).spatial(offset, grid[:0]).tolist() == [[[5.0]]]
    assert pair_invariants("R3xS2", E(3)).spatial(offset, grid).tolist() == [[[3.0, 4.0], [0.0, 5.0]]]
    oriented = pair_invariants("R3xS2", T(3)).spatial(offset, grid)
    assert oriented[0, 0].tolist() == [3.0, 4.0, 0.0, 3.0, 4.0]  # d, d.o, |d_perp|
    plane = pair_invariants("R2xS1", SE(2))
    assert plane.spatial(torch.tensor([[3.0, 4.0]]), torch.tensor([[0.0, 1.0]])).tolist() == [[[4.0, -3.0]]]


@pytest.mark.parametrize(
    ("space", "group", "message"),
    [
        ("R3", SE(3), "the same in a mirror"),
        ("R2xS1", E(3), "'R3' or 'R3xS2'"),
        ("R3", O(3), "no translations"),
    ],
)
def test_impossible_combinations_say_why(space: str, group: Group, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pair_invariants(space, group)


def test_the_norm_has_finite_derivatives_of_all_orders_at_zero() -> None:
    x = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    (first,) = torch.autograd.grad(safe_norm(x).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum() + first.sum(), x)
    assert first.tolist() == second.tolist() == [[0.0] * 3] * 2


def test_the_cutoff_is_smooth_and_ends_at_the_radius() -> None:
    x = torch.tensor([0.0, 0.999, 1.0, 2.0], dtype=torch.float64, requires_grad=True)
    window = polynomial_cutoff(2 * x, 2.0)
    assert window[0] == 1
    assert window[1:].abs().max() < 1e-5
    (slope,) = torch.autograd.grad(window.sum(), x, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), x)
    assert slope[1:].abs().max() < 1e-3
    assert curvature[[0, 1, 2, 3]].abs().max() < 1.0


def test_the_canonical_frame_turns_with_the_cloud() -> None:
    rng = seeded("frame")
    pos = torch.rand(20, 3, generator=rng, dtype=torch.float64) ** 2
    batch = torch.arange(2).repeat_interleave(10)
    frame = canonical_frame(pos, batch, 2)
    torch.testing.assert_close(frame @ frame.transpose(1, 2), torch.eye(3, dtype=torch.float64).expand(2, 3, 3))
    rotation = random_rotation(1, 3, generator=rng)[0]
    for linear in (rotation, -rotation):
        torch.testing.assert_close(canonical_frame(pos @ linear.T + 3, batch, 2), frame @ linear.T)


@pytest.mark.parametrize(("dim", "space"), [(2, "R2xS1"), (3, "R3xS2")])
@pytest.mark.parametrize("orientations", [1, 13])
@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 2e-6), (torch.float64, 1e-14)])
def test_compiled_attributes_are_those_with_gradients(
    dim: int, space: str, orientations: int, dtype: torch.dtype, error: float
) -> None:
    """Without gradients they are made by compiled code, else by torch; also of an offset along an orientation."""
    grid = torch.nn.functional.normalize(torch.randn(orientations, dim, dtype=dtype), dim=-1)
    offset = torch.cat([torch.randn(50, dim, dtype=dtype), 3 * grid[:1], torch.zeros(1, dim, dtype=dtype)])
    invariants = pair_invariants(space, E(dim))
    found, expected = (invariants.spatial(d, grid) for d in (offset, offset.clone().requires_grad_()))
    assert not found.requires_grad
    assert expected.requires_grad
    torch.testing.assert_close(found, expected.detach(), rtol=0, atol=error)
    assert found[-1].abs().max() == 0
