from typing import NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from rapidash._seed import seeded
from rapidash.data import CloudBatch, Field
from rapidash.groups import (
    SE,
    SO,
    E,
    O,
    Permutation,
    Permutations,
    Position,
    Scalar,
    T,
    Vector,
    cyclic,
    enumerated,
    scaling,
    trivial,
)
from rapidash.measure import Action, assert_equivariant, check_equivariance, defect, equivariance_error


class Pair(NamedTuple):
    scalars: Tensor
    vectors: Tensor


def cloud_batch(seed: int = 0) -> CloudBatch:
    batch = torch.tensor([0, 0, 0, 1, 1, 2])
    rng = seeded(seed)
    tensors = {name: torch.randn(6, 3, generator=rng, dtype=torch.float64) for name in ("pos", "velocity")}
    tensors["charge"] = torch.randn(6, 1, generator=rng, dtype=torch.float64)
    fields = {"pos": Field(Position()), "velocity": Field(Vector()), "charge": Field(Scalar())}
    return CloudBatch(tensors, fields, batch, 3)


def centroid_offsets(cloud: CloudBatch) -> Tensor:
    counts = torch.bincount(cloud.batch).to(cloud.pos)
    means = cloud.pos.new_zeros(cloud.num_clouds, 3).index_add(0, cloud.batch, cloud.pos) / counts[:, None]
    return cloud.pos - means[cloud.batch]


VECTORS = Action(SO(3), Vector(), Vector())


@given(seed=st.integers(0, 10**6))
@settings(max_examples=10)
def test_linear_map_reads_its_closed_form(seed: int) -> None:
    rng = seeded(seed)
    weight, x = torch.randn(3, 3, generator=rng).double(), torch.randn(7, 3, generator=rng).double()
    result = equivariance_error(lambda v: v @ weight.T, x, VECTORS, num_elements=5, seed=seed, normalization="none")
    for g, error in zip(result.elements, result.per_pair):
        rotation = g[:3, :3]
        expected = x @ (rotation.T @ weight @ rotation - weight).T
        assert torch.allclose(error, expected.norm(dim=1), atol=1e-12)
    relative = equivariance_error(lambda v: v @ weight.T, x, VECTORS, num_elements=5, seed=seed)
    assert torch.allclose(relative.per_element * (x @ weight.T).norm(), result.per_pair.norm(dim=1))


def test_mean_over_the_group_agrees_with_the_haar_integral_within_three_standard_errors() -> None:
    # f(x) = w.x on the unit vector w: E ||f(Rx) - f(x)||^2 = E (w.Rx)^2 + (w.x)^2 = |x|^2 / 3 + (w.x)^2
    x = torch.tensor([[1.0, 2.0, 2.0]], dtype=torch.float64)
    action = Action(SO(3), Vector(), Scalar())
    result = equivariance_error(lambda v: v[:, :1], x, action, num_elements=4000, normalization="none")
    squares = result.per_pair.square()[:, 0]
    assert abs(squares.mean() - (9 / 3 + 1)) < 3 * squares.std() / 4000**0.5
    assert abs(squares.mean() - 3) > 3 * squares.std() / 4000**0.5  # and tells it from another value


def test_invariant_and_equivariant_functions_read_zero_on_a_batch_of_clouds() -> None:
    action = Action(E(3), outputs=Field(Position()))

    def model(cloud: CloudBatch) -> Tensor:
        offset = centroid_offsets(cloud)
        return cloud.pos + cloud["velocity"] + cloud["charge"] * offset * offset.norm(dim=-1, keepdim=True)

    result = equivariance_error(model, cloud_batch(), action, translation_scale=3.0)
    assert result.per_pair.shape == (16, 3)
    assert result.max < 1e-13
    broken = equivariance_error(lambda c: model(c) + c.pos.square(), cloud_batch(), action)
    assert broken.mean > 0.1  # the same measure sees raw coordinates


def test_one_element_acts_on_all_points_of_a_cloud() -> None:
    x = torch.randn(5, 3, generator=seeded(0), dtype=torch.float64)
    distances = Action(E(3), Field(Position()), Field(Scalar()))
    assert equivariance_error(lambda p: (p[:, None] - p[None]).norm(dim=-1).sum(1), x, distances).max < 1e-13


def test_named_outputs_have_their_own_errors() -> None:
    x = {"pos": cloud_batch().pos, "batch": cloud_batch().batch}
    outputs = {"scalars": Field(Scalar()), "vectors": Field(Vector())}
    action = Action(SO(3), {"pos": Field(Position()), "batch": Scalar()}, outputs, batch="batch")
    result = equivariance_error(lambda pos, batch: Pair(pos.norm(dim=-1), pos.abs()), x, action)
    assert result.fields["scalars"].max < 1e-13
    assert result.fields["vectors"].mean > 0.1
    expected = (sum(part.per_pair.square() for part in result.fields.values()) / 2).sqrt()
    assert torch.allclose(result.per_pair, expected)
    assert [row["output"] for row in result.report().rows] == ["scalars", "vectors"]


def test_a_finite_group_is_enumerated_without_the_identity() -> None:
    x = torch.randn(2, 2, generator=seeded(0), dtype=torch.float64)
    result = equivariance_error(lambda p: p[:, :1], x, Action(cyclic(4), Vector(), Scalar()))
    assert torch.equal(result.elements, enumerated(cyclic(4))[1:])


def test_the_defect_vanishes_at_the_identity_and_is_differentiable() -> None:
    x = torch.randn(4, 3, generator=seeded(0), dtype=torch.float64)
    layer = nn.Linear(3, 3).double()
    assert defect(layer, x, VECTORS, torch.eye(4).double())["output"].abs().max() < 1e-15
    loss = defect(layer, x, VECTORS, SO(3).sample(1, generator=seeded(1))[0])["output"].square().sum()
    assert torch.autograd.grad(loss, layer.weight)[0].abs().max() > 0


def test_scaling_equivariance_of_degree_one() -> None:
    x = torch.randn(4, 3, generator=seeded(0), dtype=torch.float64)
    action = Action(scaling(3), Vector(), Vector())
    assert equivariance_error(lambda v: v * v.norm() / v.norm(), x, action).max < 1e-13
    assert equivariance_error(lambda v: v * v.norm(), x, action).mean > 0.1


def test_variance_normalization_sees_through_a_constant() -> None:
    x = torch.randn(50, 3, generator=seeded(0), dtype=torch.float64)
    action = Action(SO(3), Vector(), Scalar())
    shifted = lambda v: v[:, :1] + 1e4  # noqa: E731
    assert equivariance_error(shifted, x, action).mean < 1e-3
    assert equivariance_error(shifted, x, action, normalization="variance").mean > 0.5


def test_permutations_of_points_and_columns() -> None:
    table = torch.randn(6, 5, generator=seeded(0), dtype=torch.float64)
    columns = Action(Permutations(5), Permutation(-1), Scalar())
    assert_equivariant(lambda t: t.sort(dim=-1).values, table, columns)
    with pytest.raises(AssertionError, match=r"S\(5\)"):
        assert_equivariant(lambda t: t[:, :2].sum(dim=1), table, columns)


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.drop = nn.Linear(3, 3, dtype=torch.float64), nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.drop(self.layer(x))


def test_nothing_is_changed_by_a_measurement() -> None:
    model, x = Model().eval(), torch.randn(4, 3, dtype=torch.float64)
    model.layer.weight.grad = torch.ones(3, 3, dtype=torch.float64)
    state, before = torch.get_rng_state(), {k: v.clone() for k, v in model.state_dict().items()}
    equivariance_error(lambda v: model(v) + torch.rand(4, 3), x, VECTORS)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert torch.equal(model.layer.weight.grad, torch.ones(3, 3, dtype=torch.float64))
    assert model.layer.bias.grad is None
    assert not model.training
    assert not any(part.training for part in model.modules())


@pytest.mark.parametrize("wrap", [lambda m: m, lambda m: lambda x: m(x)], ids=["module", "adapter"])
def test_training_mode_is_refused_also_behind_an_adapter(wrap: object) -> None:
    x, model = torch.randn(4, 3, dtype=torch.float64), Model().eval()
    equivariance_error(wrap(model), x, VECTORS)
    model.drop.train()
    with pytest.raises(ValueError, match=r"training mode.*model\.eval\(\)"):
        equivariance_error(wrap(model), x, VECTORS)


def test_a_slice_of_a_network_in_eval_mode_is_measured() -> None:
    """``net[:2]`` is a new container, in training mode whatever the mode of the network."""
    x, net = torch.randn(4, 3, dtype=torch.float64), nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 1)).double()
    with pytest.raises(ValueError, match=r"training mode \(.*Linear"):
        equivariance_error(lambda v: net[:2](v), x, VECTORS)
    net.eval()
    assert equivariance_error(lambda v: net[:2](v), x, VECTORS).max > 0.1


def test_a_model_of_forces_that_differentiates_inside_is_measured() -> None:
    def forces(pos: Tensor) -> Tensor:
        pos = pos.detach().requires_grad_()
        return -torch.autograd.grad(torch.pdist(pos).square().sum(), pos)[0]

    x = torch.randn(4, 3, generator=seeded(0), dtype=torch.float64)
    assert equivariance_error(forces, x, Action(E(3), Field(Position()), Field(Vector()))).max < 1e-12


@pytest.mark.usefixtures("shape_checks_off")
def test_bad_input_is_named() -> None:
    x = torch.randn(4, 3, dtype=torch.float64)
    with pytest.raises(ValueError, match="output 'output' is zero"):
        equivariance_error(lambda v: 0 * v, x, VECTORS)
    with pytest.raises(ValueError, match="same in every row"):
        equivariance_error(lambda v: 0 * v + 1, x, VECTORS, normalization="variance")
    with pytest.raises(ValueError, match="output has no declared representation"):
        equivariance_error(lambda v: v, x, Action(SO(3), Vector()))
    with pytest.raises(ValueError, match="input has no declared representation"):
        equivariance_error(lambda v: v, x, Action(SO(3), None, Vector()))
    with pytest.raises(ValueError, match=r"declare the representation of \['b'\]"):
        equivariance_error(lambda v: {"a": v, "b": v}, x, Action(SO(3), Vector(), {"a": Vector()}))
    with pytest.raises(ValueError, match="returned a Pair of 2"):
        equivariance_error(lambda v: Pair(v, v), x, VECTORS)
    with pytest.raises(ValueError, match=r"got ndarray: convert arrays with torch\.from_numpy"):
        equivariance_error(lambda v: v, x.numpy(), VECTORS)
    with pytest.raises(ValueError, match=r"output 'output' has no rows, shape \(0, 3\)"):
        equivariance_error(lambda v: v, x[:0], VECTORS)
    with pytest.raises(ValueError, match=r"is torch\.int64, not floating point"):
        equivariance_error(lambda v: v.argmax(dim=-1), x, Action(SO(3), Vector(), Scalar()))
    with pytest.raises(ValueError, match=r"a field with shape \(4, 2\) cannot be moved by a group on R\^3"):
        equivariance_error(lambda v: v, x[:, :2], VECTORS)
    with pytest.raises(ValueError, match="only the identity"):
        equivariance_error(lambda v: v, x, Action(trivial(3), Vector(), Vector()))
    with pytest.raises(ValueError, match="at least 1"):
        equivariance_error(lambda v: v, x, VECTORS, num_elements=0)
    with pytest.raises(ValueError, match="level='point'"):
        equivariance_error(lambda c: c.pos, cloud_batch(), Action(SO(3), outputs=Position()))
    with pytest.raises(ValueError, match="declares how its fields transform"):
        equivariance_error(lambda c: c.pos, cloud_batch(), Action(SO(3), Position(), Field(Position())))
    with pytest.raises(ValueError, match="one declared representation each"):
        equivariance_error(lambda **t: t["a"], {"a": x, "b": x}, Action(SO(3), {"a": Vector()}, Vector()))
    with pytest.raises(ValueError, match="normalization"):
        equivariance_error(lambda v: v, x, VECTORS, normalization="max")
    with pytest.raises(ValueError, match="not finite"):
        equivariance_error(lambda v: v / 0, x, VECTORS)


def test_check_names_the_part_of_the_group_and_the_output_that_break() -> None:
    def model(pos: Tensor) -> dict[str, Tensor]:
        offset = pos - pos.mean(dim=0)
        volume = torch.linalg.det(offset[:3])[None]  # sees chirality
        return {"energy": torch.pdist(pos).sum()[None], "chirality": volume, "center": pos.mean(dim=0, keepdim=True)}

    x = torch.randn(5, 3, generator=seeded(0), dtype=torch.float64)
    outputs = {"energy": Scalar(), "chirality": Scalar(), "center": Position()}
    assert check_equivariance(model, x, Action(SE(3), Field(Position()), outputs))
    check = check_equivariance(model, x, Action(E(3), Field(Position()), outputs))
    failed = [(row["group part"], row["output"]) for row in check.report().rows if not row["passed"]]
    assert failed == [("reflections", "chirality")]
    with pytest.raises(AssertionError, match=r"not equivariant to E\(3\)[\s\S]*reflections +\| chirality"):
        assert_equivariant(model, x, Action(E(3), Field(Position()), outputs))


def test_check_rejects_a_random_function_and_says_why() -> None:
    x = torch.randn(5, 3, generator=seeded(0), dtype=torch.float64)
    with pytest.raises(AssertionError, match="fix the function's random draws"):
        assert_equivariant(lambda v: v + torch.rand(5, 3), x, VECTORS)


def test_tolerance_follows_the_dtype() -> None:
    x = torch.randn(5, 3, generator=seeded(0))
    slightly_broken = lambda v: v + 1e-5 * v.abs()  # noqa: E731
    assert_equivariant(slightly_broken, x, VECTORS)
    with pytest.raises(AssertionError):
        assert_equivariant(slightly_broken, x.double(), VECTORS)
    with pytest.raises(AssertionError):
        assert_equivariant(slightly_broken, x, Action(O(3), Vector(), Vector()), rtol=1e-7)


def test_translation_part_uses_the_given_scale() -> None:
    x = torch.randn(5, 3, generator=seeded(0), dtype=torch.float64)
    action = Action(T(3), Field(Position()), Field(Scalar()))
    small, large = (
        check_equivariance(lambda p: p[:, 0], x, action, translation_scale=s).errors["translations"].mean
        for s in (0.1, 10.0)
    )
    assert large == pytest.approx(100 * small)


def test_translations_of_a_plane_are_checked_in_that_plane_only() -> None:
    x = {"pos": torch.randn(6, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)}

    def heights(pos: torch.Tensor) -> torch.Tensor:
        return pos[:, 1:2]

    level = Action(E(3).keeping_height((0.0, 1.0, 0.0)), {"pos": Position()}, Scalar())
    assert_equivariant(heights, x, level)
    with pytest.raises(AssertionError):
        assert_equivariant(heights, x, Action(E(3), {"pos": Position()}, Scalar()))
    with pytest.raises(AssertionError):
        assert_equivariant(lambda pos: pos[:, :1], x, level)
