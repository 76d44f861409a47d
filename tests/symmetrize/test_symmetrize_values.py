"""Values of the parts that methods and projections put together."""

import pytest
import torch
from torch import nn

from rapidash.data import Batch, CloudBatch, Field
from rapidash.groups import SO, Permutations, Position, Product, Vector
from rapidash.methods import SymmetrizedModel
from rapidash.symmetrize import CanonicalOrder, GroupAveraging, JointProjection, ProbabilisticOrder, Projected


def batch_of_two() -> CloudBatch:
    pos = torch.arange(12.0).double().reshape(4, 3)
    return CloudBatch({"pos": pos}, {"pos": Field(Position())}, torch.tensor([0, 0, 1, 1]), 2)


def test_a_joint_choice_has_the_smallest_gap_and_the_sum_of_the_priors() -> None:
    def part(size: int, gap: list[float], prior: float):
        def project(out: torch.Tensor, batch: Batch, generator: torch.Generator | None) -> Projected:
            g = torch.eye(size, dtype=torch.float64).expand(2, size, size)
            return Projected(g, torch.tensor(gap), torch.tensor(prior))

        return project

    product = Product((Permutations(2), SO(3)))
    parts = ((part(2, [0.5, 0.1], 3.0), (2,)), (part(4, [0.2, 0.4], 4.0), (3, 3)))
    found = JointProjection(product, parts)(torch.zeros(2, 11), batch_of_two(), None)
    torch.testing.assert_close(found.gap, torch.tensor([0.2, 0.1]).double(), atol=1e-7, rtol=0)
    assert float(found.prior) == 7.0


@pytest.mark.parametrize(
    "method", [CanonicalOrder("S(4)", entropy_weight=0.3), ProbabilisticOrder("S(4)", entropy_weight=0.3)]
)
def test_the_entropy_counts_as_much_as_the_method_says(method: CanonicalOrder) -> None:
    assert method.order_law(Permutations(4), "adjacency").prior_weight == 0.3


def test_the_network_of_the_law_is_calibrated_too() -> None:
    class Seen(nn.Module):
        calls = 0

        def calibrate(self, batch: Batch) -> None:
            self.calls += 1

    backbone, law = Seen(), Seen()
    law.group, law.gives_all = SO(3), True
    method = GroupAveraging("SO(3)")
    model = SymmetrizedModel(backbone, Field(Vector()), law, method, num_samples=1, num_test=1)
    model.calibrate(batch_of_two())
    assert (backbone.calls, law.calls) == (1, 1)
