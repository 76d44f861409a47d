"""Groups that do not act on the data, NaN, nothing at all, and levels that have not converged: what is said."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from rapidash._seed import seeded
from rapidash.learn import Augerino, EquivarianceSearch, LearnedHistogram, subgroup_distance, width_penalty
from rapidash.learn.sharing import RelaxedSearch, hypergradient, sharing_penalty
from rapidash.methods import Variant, build_model, view_ledger
from rapidash.models import ImageGCNNConfig, Interface, MLPConfig, OrderedMLPConfig
from rapidash.tasks import get_task

SIZES = {"num_train": 8, "num_val": 4, "num_test": 4}
CLOUDS = ("partial-symmetry", OrderedMLPConfig(12, symmetry="T(2)", hidden_dim=4, num_layers=1))
IMAGES = ("partial-images", MLPConfig(hidden_dim=4, num_layers=1))
NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("data", "method", "message"),
    [
        (CLOUDS, Augerino("SE(3)"), "its last axis must have 3 components"),
        (IMAGES, Augerino("SO(3)"), r"homogeneous matrices of the plane \(3, 3\)"),
        (CLOUDS, LearnedHistogram("scaling(3)"), "its last axis must have 3 components"),
        (IMAGES, LearnedHistogram("scaling(3)"), r"homogeneous matrices of the plane \(3, 3\)"),
    ],
    ids=["widths, clouds", "widths, images", "histogram, clouds", "histogram, images"],
)
def test_a_group_that_does_not_act_on_the_data_is_refused(data: Any, method: Any, message: str) -> None:
    """By the ledger before a run, and by the fields themselves."""
    name, network = data
    task, variant = get_task(name, **SIZES), Variant("a", network, methods=(method,))
    with pytest.raises(ValueError, match="they act on different data"):
        view_ledger(task, variant, "full")
    model = build_model(task, variant).train()
    batch = task.dataset("train").batch(torch.arange(4)).to(dtype=torch.float32)
    control = method.control(model, 10)
    control.batch(batch, seeded(0))
    with pytest.raises(ValueError, match=message):
        model(batch)


def test_a_half_width_that_is_nan_is_not_taken_for_one_outside_the_box() -> None:
    assert math.isnan(float(width_penalty(torch.tensor([NAN, 0.1]), 0.1)))
    assert float(width_penalty(torch.tensor([5.0, 0.1]), 0.1)) == 0


def network() -> Any:
    return ImageGCNNConfig(symmetry="C4", channels=2).build(Interface(dim=0, in_scalars=1, out_scalars=2))


def without_weights() -> Any:
    found = network().requires_grad_(False)
    for parameter in found.parameters():
        parameter.zero_()
    return found


def tensor(*values: float) -> torch.Tensor:
    return torch.tensor(values, requires_grad=True)


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "distance of zero": (lambda: subgroup_distance(without_weights(), "C2"), "squared norm 0: their distance"),
    "an error that is NaN": (
        lambda: EquivarianceSearch(network(), ("C2",)).evolve(lambda m: None, lambda m: NAN, generations=0),
        r"evaluate says NaN for the network with C\(4\), C\(4\), C\(4\)",
    ),
    "a validation loss that is NaN": (
        lambda: hypergradient(tensor(NAN).sum(), tensor(1.0).sum(), [tensor(0.0)], [tensor(0.0)]),
        "val_loss must be finite, got nan",
    ),
    "no lower level": (
        lambda: hypergradient(tensor(1.0).sum(), tensor(1.0).sum(), [], [tensor(0.0)]),
        "params are empty: there is no lower level",
    ),
    "weight of sharing": (lambda: sharing_penalty(torch.full((2, 2), 0.5), NAN), "at least 0 and finite, got nan"),
    "weight of entropy": (
        lambda: sharing_penalty(torch.full((2, 2), 0.5), 0.1, -1.0),
        "at least 0 and finite, got 0.1",
    ),
    "learning rate": (lambda: RelaxedSearch(learning_rate=INF), "learning_rate above 0 and finite"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_answer_is_refused(case: str) -> None:
    make, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        make()


def test_a_lower_level_that_has_not_converged_is_told_with_its_gradient_norm() -> None:
    """The gradient of p^2 at (1, 1) is (2, 2), of norm 2.83."""
    params = tensor(1.0, 1.0)
    with pytest.raises(ValueError, match=r"the lower level has not converged: the gradient .* has norm 2\.83"):
        hypergradient(params.sum(), params.square().sum(), [params], [tensor(0.0)])
