"""Contributions of points to the defect of a cloud: they add up, and are 0 where there is no defect."""

import math

import pytest
import torch
from torch import Tensor, nn

from rapidash._seed import seeded
from rapidash.data import CloudBatch, Field
from rapidash.groups import SO, Position, Scalar, Vector
from rapidash.measure import Action, defect, point_shares

ENERGY = Action(SO(3), outputs=Field(Scalar(), "eV", level="cloud"))
TURN = 2.0 * SO(3).generators()[1]


def batch() -> CloudBatch:
    pos = torch.randn(9, 3, generator=seeded(0), dtype=torch.float64)
    fields = {"pos": Field(Position(), "nm"), "vel": Field(Vector()), "axis": Field(Vector(), level="cloud")}
    vel = torch.randn(9, 3, generator=seeded(1), dtype=torch.float64)
    tensors = {"pos": pos, "vel": vel, "axis": torch.eye(3).double()[:2]}
    return CloudBatch(tensors, fields, torch.tensor([0] * 5 + [1] * 4), 2)


def summed(values: Tensor, cloud: CloudBatch) -> Tensor:
    return values.new_zeros(cloud.num_clouds, *values.shape[1:]).index_add(0, cloud.batch, values)


def height(cloud: CloudBatch) -> Tensor:
    """A sum over points: the contribution of each is its own change."""
    return summed(cloud.pos[:, :1], cloud)


def test_in_a_sum_over_points_the_share_of_each_is_its_own_change() -> None:
    found = point_shares(height, batch(), ENERGY, TURN)
    g = torch.linalg.matrix_exp(TURN)[:3, :3]
    own = (batch().pos @ g.T - batch().pos)[:, 0]
    change = summed(own, batch())
    assert torch.allclose(found.share, own * change.sign()[batch().batch])
    assert torch.allclose(found.total, change.abs())
    assert found.own.abs().max() < 1e-12
    assert found.error.abs().max() < 1e-10


def test_the_parts_add_up_to_the_defect_of_several_components() -> None:
    mix = torch.randn(6, 4, generator=seeded(2), dtype=torch.float64)

    def logits(cloud: CloudBatch) -> Tensor:
        return summed(torch.tanh(torch.cat([cloud.pos, cloud["vel"]], dim=1) @ mix), cloud).sin()

    found = point_shares(logits, batch(), ENERGY, TURN, num_steps=24)
    change = defect(logits, batch(), ENERGY, torch.linalg.matrix_exp(TURN))["output"]
    assert torch.allclose(found.total, change.norm(dim=1))
    assert torch.allclose(summed(found.share, batch()), found.total, rtol=1e-3)
    rough, fine = (point_shares(logits, batch(), ENERGY, TURN, num_steps=n).error.abs().max() for n in (2, 24))
    assert fine < 0.01 * rough


def test_a_vector_output_moves_itself_and_a_field_of_the_cloud_is_no_point() -> None:
    dipole = Action(SO(3), outputs=Field(Vector(), "D", level="cloud"))
    weight = torch.diag(torch.tensor([1.0, 2.0, 3.0])).double()

    def bent(cloud: CloudBatch) -> Tensor:
        return summed(cloud.pos, cloud) @ weight + cloud["axis"]

    found = point_shares(bent, batch(), dipole, TURN, num_steps=16)
    assert found.error.abs().max() < 1e-8
    assert found.own.abs().min() > 1e-2
    assert torch.allclose(summed(found.share, batch()) + found.own, found.total)
    exact = point_shares(lambda cloud: summed(cloud.pos, cloud) + cloud["axis"], batch(), dipole, TURN)
    assert exact.total.max() == exact.share.abs().max() == 0


def test_torques_that_cancel_are_no_defect() -> None:
    def energy(cloud: CloudBatch) -> Tensor:
        centered = cloud.pos - (summed(cloud.pos, cloud) / torch.tensor([[5.0], [4.0]]).double())[cloud.batch]
        return summed(centered.norm(dim=1, keepdim=True) ** 3, cloud)

    found = point_shares(energy, batch(), ENERGY, TURN)
    assert found.share.abs().max() == found.own.abs().max() == found.total.max() == 0


def test_the_model_stays_as_it_was_and_bad_input_is_named() -> None:
    class Head(nn.Linear):
        def forward(self, cloud: CloudBatch) -> Tensor:
            return summed(super().forward(cloud.pos), cloud)

    model, x = Head(3, 2).double().eval(), batch()
    state, before = torch.get_rng_state(), x.pos.clone()
    assert point_shares(model, x, ENERGY, TURN).total.min() > 0
    assert model.weight.grad is None
    assert not x.pos.requires_grad
    assert torch.equal(x.pos, before)
    assert torch.equal(state, torch.get_rng_state())
    with pytest.raises(ValueError, match=r"call model.eval\(\) first"):
        point_shares(model.train(), x, ENERGY, TURN)
    points = Action(SO(3), outputs=Field(Vector()))
    with pytest.raises(ValueError, match="one output per cloud"):
        point_shares(lambda cloud: cloud.pos, x, points, TURN)
    with pytest.raises(ValueError, match="num_steps must be at least 1"):
        point_shares(height, x, ENERGY, TURN, num_steps=0)
    assert math.isclose(float(point_shares(height, x, ENERGY, 0 * TURN).total.max()), 0.0)
