import math
import warnings

import pytest
import torch
from symmetrize_checks import ENERGY, FIELDS, FORCE, PLACE, PointNet, cloud, clouds, cube, with_variances

from rapidash._seed import seeded
from rapidash.data import CloudBatch, Field, RowBatch
from rapidash.groups import SE, SO, SO2, E, O, Position, Scalar, T, Vector
from rapidash.measure import Action, equivariance_error
from rapidash.symmetrize import Frames, Quadrature, frame_gap, gram_schmidt, pair_frames, pca_frames, to_special
from rapidash.symmetry import Haar, Symmetrized, symmetrized

PLUS = torch.tensor([[2.0, 0], [-2.0, 0], [0, 1.0], [0, -1.0]]).double()  # principal axes x and y, variances 2 and 1/2


def turned(angle: float) -> torch.Tensor:
    cos, sin = math.cos(angle), math.sin(angle)
    return torch.tensor([[cos, -sin], [sin, cos]], dtype=torch.float64)


def test_frames_of_a_plus_by_hand() -> None:
    frames, gap = pca_frames(PLUS @ turned(0.3).T + 5, torch.zeros(4, dtype=torch.long), O(2))
    assert frames.shape == (1, 4, 2, 2)
    torch.testing.assert_close(gap, torch.tensor([0.75]).double())  # (2 - 1/2) / 2
    expected = turned(0.3) @ torch.diag_embed(torch.tensor([[1, 1], [1, -1], [-1, 1], [-1, -1]]).double())
    for frame in expected:
        assert float((frames[0] - frame).abs().amax(dim=(1, 2)).min()) < 1e-14
    special = pca_frames(PLUS @ turned(0.3).T, torch.zeros(4, dtype=torch.long), SO(2)).g[0]
    torch.testing.assert_close(torch.linalg.det(special), torch.ones(2).double())
    torch.testing.assert_close(special[0], -special[1])


@pytest.mark.parametrize(
    ("group", "num"), [(O(3), 8), (SO(3), 4), (E(3), 8), (SE(3), 4), (O(2), 4), (SE(2), 2)], ids=str
)
def test_there_are_all_signs_and_without_reflections_the_right_half(group, num: int) -> None:
    batch = clouds(dim=group.dim)
    samples = Frames(group).sample(batch, 1, None)
    assert samples.g.shape == (3, num, group.size, group.size)
    assert samples.weights is None
    assert all(group.contains(g) for g in samples.g.flatten(0, 1))
    assert len(torch.unique(samples.g[0].round(decimals=8), dim=0)) == num
    if group.translations:
        means = torch.stack([part.mean(dim=0) for part in batch.pos.split([5, 7, 6])])
        torch.testing.assert_close(samples.g[:, 0, :-1, -1], means)


@pytest.mark.parametrize("group", [O(3), SO(3), E(3), SE(3)], ids=str)
@pytest.mark.parametrize("field", [ENERGY, FORCE, PLACE], ids=["energy", "force", "place"])
@pytest.mark.parametrize("options", [{}, {"weighted": True, "blend": 2.0}], ids=["plain", "weighted"])  # all blended
def test_an_average_over_frames_is_exactly_equivariant(group, field: Field, options: dict) -> None:
    batch, net = clouds(), PointNet(1 if field is ENERGY else 3, field).eval()
    assert float(frame_gap(batch).min()) > 0.1
    action = Action(group, outputs=field)
    assert equivariance_error(net, batch, action).mean > 0.1  # a network alone is not
    model = Symmetrized(net, field, Frames(group, **options)).eval()
    assert equivariance_error(model, batch, action).max < 1e-12
    single = Symmetrized(net.float(), field, Frames(group, **options)).eval()
    assert equivariance_error(single, batch.to(dtype=torch.float32), action).max < 1e-5


def test_frames_of_rotations_tell_mirror_images_apart_and_those_with_reflections_do_not() -> None:
    batch, net = clouds(), PointNet(1, ENERGY).eval()
    for group, least, most in ((SO(3), 0.01, 10.0), (O(3), 0.0, 1e-12)):
        model = Symmetrized(net, ENERGY, Frames(group)).eval()
        assert least <= equivariance_error(model, batch, Action(O(3), outputs=ENERGY)).max <= most


def test_a_cube_has_no_frame_and_is_told() -> None:
    batch, net = cloud(cube()), PointNet(3, FORCE).eval()
    silent = Symmetrized(net, FORCE, Frames(O(3), degenerate="ignore")).eval()
    assert equivariance_error(silent, batch, Action(O(3), outputs=FORCE)).mean > 1e-2
    two = CloudBatch(
        {name: torch.cat([clouds((8,))[name], batch[name]]) for name in FIELDS},
        FIELDS,
        torch.arange(2).repeat_interleave(8),
        2,
    )
    with pytest.warns(UserWarning, match=r"1 of 2 samples are degenerate: .* at most 0\.001.*Sample \(gap\): 1 \("):
        Frames(O(3)).sample(two, 1, None)
    with pytest.raises(ValueError, match=r"relative gap of eigenvalues .*weighted=True"):
        Frames(O(3), degenerate="error").sample(two, 1, None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Frames(O(3), weighted=True, degenerate="error").sample(two, 1, None)  # a cube does not lie on a line
    model = Symmetrized(net, FORCE, Frames(O(3), weighted=True)).eval()
    assert equivariance_error(model, batch, Action(O(3), outputs=FORCE)).max < 1e-12
    line = cloud(torch.linspace(-1, 1, 5)[:, None] * torch.tensor([[1.0, 2.0, 2.0]]))
    assert float(frame_gap(line)) < 1e-12
    assert float(frame_gap(line, weighted=True)) < 1e-12
    with pytest.raises(ValueError, match="second largest eigenvalue"):
        Frames(O(3), weighted=True, degenerate="error").sample(line, 1, None)
    assert bool(torch.isfinite(Frames(O(3), weighted=True, degenerate="ignore").sample(line, 1, None).g).all())


@pytest.mark.parametrize(
    ("group", "variances"), [(O(3), (1.0, 0.3)), (SO(3), (1.0, 0.3)), (SO(2), (1.0,)), (O(2), (1.0,))], ids=str
)
def test_plain_frames_jump_where_eigenvalues_cross_and_weighted_ones_do_not(
    group, variances: tuple[float, ...]
) -> None:
    net = PointNet(1, ENERGY, dim=group.dim).eval()
    angles = turned(0.4) if group.dim == 2 else SO(3).sample(1, generator=seeded(3))[0, :3, :3]

    def jump(step: float, **options) -> float:
        law = Frames(group, degenerate="ignore", **options)
        values = [
            Symmetrized(net, ENERGY, law)(cloud(with_variances(1 + s * step, *variances) @ angles.T)) for s in (-1, 1)
        ]
        return float((values[1] - values[0]).abs().detach())

    for step in (1e-2, 1e-4, 1e-6):
        assert jump(step) > 0.005
        assert jump(step, weighted=True) < 2 * step


def test_weighted_frames_are_the_plain_ones_away_from_a_crossing() -> None:
    batch = clouds()
    plain, weighted = (Frames(E(3), weighted=w).sample(batch, 1, None) for w in (False, True))
    assert torch.equal(plain.g, weighted.g)
    assert weighted.weights is None
    near = Frames(E(3), weighted=True, blend=0.5).sample(batch, 1, None)
    torch.testing.assert_close(near.weights.sum(dim=1), torch.ones(3).double())
    assert float(near.weights.min()) >= 0
    gap = frame_gap(batch)
    share = (gap / 0.5).clamp(max=1)
    torch.testing.assert_close(near.weights[:, :8].sum(dim=1), share**2 * (3 - 2 * share))
    assert near.g.shape[1] == 8 + 2 * 7 * 6  # the largest cloud has 7 points; smaller ones are filled up


def test_frames_of_pairs_by_hand() -> None:
    x = torch.tensor([[2.0, 0, 0], [1.0, 3.0, 0], [0, 0, 0]]).double()
    g, weights = pair_frames(x, torch.zeros(3, dtype=torch.long), 1, SO(3))
    torch.testing.assert_close(weights.sort().values, torch.tensor([[0, 0, 0, 0, 0.5, 0.5]]).double())
    first, second = g[0][weights[0] > 0]  # of points 0, 1 and of points 1, 0
    torch.testing.assert_close(first, torch.eye(3).double())
    ten = math.sqrt(10)
    torch.testing.assert_close(
        second, torch.tensor([[1 / ten, 3 / ten, 0], [3 / ten, -1 / ten, 0], [0, 0, -1.0]]).double()
    )
    g, weights = pair_frames(x[:, :2], torch.zeros(3, dtype=torch.long), 1, O(2))
    torch.testing.assert_close(weights[0], torch.tensor([4.0, 10, 0, 4, 10, 0]).double() / 28)
    torch.testing.assert_close(g[0, 0], torch.eye(2).double())
    torch.testing.assert_close(g[0, 3], torch.diag(torch.tensor([1.0, -1.0])).double())
    with pytest.raises(ValueError, match=r"200 points have 39800 elements .* at most 20000"):
        pair_frames(torch.zeros(200, 3), torch.zeros(200, dtype=torch.long), 1, SO(3))


def test_rows_of_vectors_and_of_positions_have_frames() -> None:
    vectors = torch.randn(4, 5, 3, generator=seeded(1), dtype=torch.float64)
    rows = RowBatch({"v": vectors, "s": torch.zeros(4)}, {"v": Field(Vector(), level="cloud"), "s": ENERGY})
    net = VectorNet().eval()
    field = Field(Vector(), level="cloud")
    assert equivariance_error(net, rows, Action(O(3), outputs=field)).max > 0.1
    assert (
        equivariance_error(Symmetrized(net, field, Frames(O(3))).eval(), rows, Action(O(3), outputs=field)).max < 1e-12
    )
    with pytest.raises(ValueError, match="made of vectors, which know no place"):
        Frames(E(3)).sample(rows, 1, None)
    places = RowBatch({"v": vectors}, {"v": Field(Position(), level="cloud")})
    place = Field(Position(), level="cloud")
    averaged = Symmetrized(net, place, Frames(E(3))).eval()
    assert equivariance_error(averaged, places, Action(E(3), outputs=place)).max < 1e-12
    # one vector of the plane: its direction and the opposite one
    one = RowBatch({"v": torch.tensor([[0.0, -3.0]]).double()}, {"v": Field(Vector(), level="cloud")})
    found = Frames(SO(2)).sample(one, 1, None).g[0, :, :2, 0]
    torch.testing.assert_close(found.abs(), torch.tensor([[0.0, 1], [0, 1]]).double())
    torch.testing.assert_close(found.sum(dim=0), torch.zeros(2).double())
    assert float(frame_gap(one, dim=2)) == 1


class VectorNet(torch.nn.Module):
    def forward(self, batch: RowBatch) -> torch.Tensor:
        weight = torch.randn(15, 3, generator=seeded("vectors"), dtype=torch.float64)
        return torch.tanh(batch["v"].flatten(1) @ weight)


def forces(model: Symmetrized, batch: CloudBatch) -> torch.Tensor:
    pos = batch.pos.detach().requires_grad_()
    return -torch.autograd.grad(model(batch.with_tensor("pos", pos)).sum(), pos)[0]


def by_differences(energy, batch: CloudBatch, step: float = 1e-5) -> torch.Tensor:
    found = torch.zeros_like(batch.pos)
    for place in range(batch.pos.numel()):
        move = torch.zeros(batch.pos.numel(), dtype=torch.float64)
        move[place] = step
        move = move.view_as(batch.pos)
        up, down = (float(energy(batch.with_tensor("pos", batch.pos + sign * move)).sum().detach()) for sign in (1, -1))
        found.view(-1)[place] = -(up - down) / (2 * step)
    return found


@pytest.mark.parametrize("options", [{}, {"detach": False}, {"detach": False, "weighted": True, "blend": 2.0}], ids=str)
def test_forces_of_an_energy_averaged_over_frames(options: dict) -> None:
    """They are equivariant either way, and the gradient of the energy where the frames are not constants."""
    batch, model = clouds((4, 5)), Symmetrized(PointNet(1, ENERGY), ENERGY, Frames(SE(3), **options))
    force = forces(model, batch)
    g = SE(3).sample(2, generator=seeded(5))
    torch.testing.assert_close(forces(model, batch.transform(g)), batch.act(FORCE, g, force), atol=1e-10, rtol=0)
    found = by_differences(model, batch)
    if options:
        torch.testing.assert_close(force, found, atol=1e-7, rtol=0)
    else:
        assert (force - found).norm() > 0.01 * found.norm()  # the frames turn with the points: told in the docstring
        held = model.average(batch).samples.g[..., :3, :3]

        def with_held_axes(moved: CloudBatch) -> torch.Tensor:
            samples = Frames(SE(3)).sample(moved, 1, None).g.clone()
            samples[..., :3, :3] = held
            return symmetrized(model.backbone, moved, ENERGY, samples)

        torch.testing.assert_close(force, by_differences(with_held_axes, batch), atol=1e-7, rtol=0)
    total = torch.zeros(2, 3, dtype=torch.float64).index_add(0, batch.batch, force)
    torch.testing.assert_close(total, torch.zeros_like(total), atol=1e-10, rtol=0)  # no net force


def test_gradients_are_finite_at_repeated_eigenvalues() -> None:
    for pos in (cube(), torch.zeros(4, 3), torch.linspace(-1, 1, 5)[:, None].expand(5, 3), with_variances(1, 1, 0.5)):
        for weighted in (False, True):
            law = Frames(O(3), detach=False, weighted=weighted, degenerate="ignore")
            found = forces(Symmetrized(PointNet(1, ENERGY), ENERGY, law), cloud(pos))
            assert bool(torch.isfinite(found).all())
    moments = torch.eye(3, dtype=torch.float64, requires_grad=True)
    torch.linalg.eigh(moments).eigenvectors.sum().backward()
    assert not bool(torch.isfinite(moments.grad).all())  # the plain derivative is not


def test_gram_schmidt_by_hand_and_at_dependent_vectors() -> None:
    vectors = torch.tensor([[[3.0, 4.0], [1.0, 0.0]]]).double()
    torch.testing.assert_close(gram_schmidt(vectors), torch.tensor([[[0.6, 0.8], [0.8, -0.6]]]).double())
    torch.testing.assert_close(to_special(gram_schmidt(vectors)), torch.tensor([[[-0.6, 0.8], [-0.8, -0.6]]]).double())
    drawn = torch.randn(50, 3, 3, generator=seeded(0), dtype=torch.float64)
    near = drawn.clone()
    near[:, 1] = near[:, 0] + 1e-9 * near[:, 1]
    for given in (drawn, 1e-200 * drawn, near):
        g = gram_schmidt(given)
        torch.testing.assert_close(g.mT @ g, torch.eye(3).double().expand_as(g), atol=1e-12, rtol=0)
    rotation = O(3).sample(50, generator=seeded(1))[:, :3, :3]
    torch.testing.assert_close(gram_schmidt(drawn @ rotation.mT), rotation @ gram_schmidt(drawn), atol=1e-12, rtol=0)
    dependent = torch.stack([torch.zeros(3, 3), torch.ones(3, 3), torch.eye(3)[[0, 0, 1]]]).double().requires_grad_()
    g = gram_schmidt(dependent)
    torch.testing.assert_close((g.mT @ g).detach(), torch.eye(3).double().expand(3, 3, 3), atol=1e-12, rtol=0)
    g.square().mul(torch.arange(9.0).view(3, 3)).sum().backward()
    assert bool(torch.isfinite(dependent.grad).all())
    torch.autograd.gradcheck(gram_schmidt, drawn[:3].clone().requires_grad_())


def test_chunks_are_one_pass_also_with_weights() -> None:
    batch, net = clouds(), PointNet(3, FORCE).eval()
    law = Frames(E(3), weighted=True, blend=2.0)
    output, samples = Symmetrized(net, FORCE, law).average(batch)
    assert samples.weights is not None
    by_hand = sum(
        samples.weights[batch.batch, k][:, None] * batch.act(FORCE, g, net(batch.transform(torch.linalg.inv(g))))
        for k, g in enumerate(samples.g.unbind(1))
    )
    torch.testing.assert_close(output, by_hand, atol=1e-12, rtol=0)
    for most in (1, 7, 50):
        torch.testing.assert_close(Symmetrized(net, FORCE, law, max_batch=most)(batch), output, atol=1e-12, rtol=0)


def test_what_does_not_fit_is_refused() -> None:
    for group in (SO2("z"), T(3)):
        with pytest.raises(ValueError, match=r"group must be O\(n\), SO\(n\), E\(n\) or SE\(n\), got"):
            Frames(group)
    with pytest.raises(ValueError, match="degenerate must be one of 'warn', 'error', 'ignore', got 'no'"):
        Frames(O(3), degenerate="no")
    with pytest.raises(ValueError, match="tolerance must be at least 0"):
        Frames(O(3), tolerance=-1.0)
    with pytest.raises(ValueError, match="blend must be finite and positive"):
        Frames(O(3), blend=0.0)
    with pytest.raises(ValueError, match=r"field 'pos' has 3 components, the group acts on R\^2"):
        Frames(O(2)).sample(clouds(), 1, None)
    with pytest.raises(ValueError, match="field 'spin' is not in the batch"):
        Frames(O(3), field="spin").sample(clouds(), 1, None)
    table = RowBatch({"x": torch.zeros(2, 3)}, {"x": Field(Scalar(), level="cloud")})
    with pytest.raises(ValueError, match="frames need positions or vectors"):
        Frames(O(3)).sample(table, 1, None)
    two = RowBatch(
        {"a": torch.zeros(2, 3), "b": torch.zeros(2, 3)}, dict.fromkeys("ab", Field(Vector(), level="cloud"))
    )
    with pytest.raises(ValueError, match=r"several fields of Vector, \['a', 'b'\]: say which"):
        Frames(O(3)).sample(two, 1, None)
    with pytest.raises(ValueError, match=r"pos needs the shape \(N, 2\) for O\(2\), got \(3, 3\)"):
        pca_frames(torch.zeros(3, 3), torch.zeros(3, dtype=torch.long), O(2))
    with pytest.raises(ValueError, match=r"vectors need the shape \(B, n, n\)"):
        gram_schmidt(torch.zeros(2, 3))
    for law in (Haar, lambda group: Quadrature(group, 3)):
        with pytest.raises(ValueError, match="is not compact"):
            law(SE(3))
    with pytest.raises(ValueError, match=r"output: .*its last axis must have 3 components"):
        Symmetrized(PointNet(2, FORCE), FORCE, Frames(O(3)))(clouds())
