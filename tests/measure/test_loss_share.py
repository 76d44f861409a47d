import pytest
import torch

from rapidash._seed import seeded
from rapidash.groups import SO, Scalar, Vector, cyclic
from rapidash.measure import Action, equivariance_gap, symmetry_loss_share


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=seeded(seed, *shape), dtype=torch.float64)


def test_the_parts_add_up_and_agree_with_the_average_over_a_finite_group() -> None:
    x, weight = normal(9, 2), normal(2, 2, seed=1)
    action, model = Action(cyclic(4), Vector(), Vector()), lambda v: (v @ weight).tanh()
    target = 0.3 * x
    share = symmetry_loss_share(model, x, target, action)
    average = torch.zeros_like(x)
    for k in range(4):
        turn = torch.linalg.matrix_power(torch.tensor([[0.0, -1.0], [1.0, 0.0]]).double(), k)
        average += model(x @ turn.T) @ turn / 4
    assert torch.allclose(share.symmetric, (average - target).square().sum(dim=1))
    assert torch.allclose(share.total, share.symmetric + share.broken, atol=1e-15)
    assert share.report().rows[2]["share"] == pytest.approx(share.share)
    gap = equivariance_gap(model, x, lambda y: (y - target).square().sum(), action)
    assert gap == pytest.approx(float((model(x) - target).square().sum() - (average - target).square().sum()))


def test_an_equivariant_model_has_no_share_and_an_exactly_fitting_broken_one_all_of_it() -> None:
    x = normal(20, 3)
    action = Action(SO(3), Vector(), Vector())
    assert symmetry_loss_share(lambda v: 2 * v, x, x, action).share < 1e-25
    # f(x) = (W) x with W traceless and target 0: the average over SO(3) of R^T W R is 0, so all loss is broken symmetry
    weight = torch.diag(torch.tensor([1.0, 1.0, -2.0], dtype=torch.float64))
    share = symmetry_loss_share(lambda v: v @ weight, x, torch.zeros_like(x), action, num_elements=400)
    assert share.share == pytest.approx(1.0, abs=0.05)


def test_the_share_is_unbiased_from_few_elements() -> None:
    # invariant output w . x, target 0: f_bar = 0, so the symmetric part has expectation 0 for every number of elements
    x, action = normal(3000, 3), Action(SO(3), Vector(), Scalar())
    share = symmetry_loss_share(lambda v: v[:, :1], x, torch.zeros(3000, 1), action, num_elements=2, seed=1)

    def symmetric_part(seed: int) -> torch.Tensor:
        zero = torch.zeros(200, 1)
        return symmetry_loss_share(lambda v: v[:, :1], x[:200], zero, action, num_elements=2, seed=seed).symmetric

    many = [symmetric_part(seed) for seed in range(200)]
    means = torch.stack([part.mean() for part in many])
    assert abs(means.mean()) < 3 * means.std() / 200**0.5
    assert share.total.mean() > 0.5
    assert share.standard_error < 0.05


@pytest.mark.usefixtures("shape_checks_off")
def test_bad_input_is_named() -> None:
    x, action = normal(4, 3), Action(SO(3), Vector(), Vector())
    with pytest.raises(ValueError, match=r"the output \(4, 3\)"):
        symmetry_loss_share(lambda v: v, x, torch.zeros(4), action)
    with pytest.raises(ValueError, match="at least 2"):
        symmetry_loss_share(lambda v: v, x, x, action, num_elements=1)
    with pytest.raises(ValueError, match="loss is 0"):
        symmetry_loss_share(lambda v: v * 0 + 1, x, x * 0 + 1, Action(SO(3), Vector(), Scalar()))
    with pytest.raises(ValueError, match="output is zero for all elements"):
        symmetry_loss_share(lambda v: v * 0, x, x, action)
    with pytest.raises(ValueError, match="output is zero for all elements"):
        equivariance_gap(lambda v: v * 0, x, lambda y: y.sum(), action)
