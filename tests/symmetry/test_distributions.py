import math

import pytest
import torch

from rapidash._seed import seeded
from rapidash.data import Field, RowBatch
from rapidash.groups import (
    SE,
    SO,
    E,
    Permutations,
    Position,
    T,
    brightness,
    cyclic,
    dihedral,
    hyperbolic,
    scaling,
)
from rapidash.symmetry import Enumerated, Haar, Identity, UniformBox

BATCH = RowBatch({"x": torch.zeros(3, 2)}, {"x": Field(Position(), level="cloud")})


def test_haar_draws_an_element_for_every_sample_and_copy() -> None:
    g, penalty, weights = Haar(SO(2)).sample(BATCH, 5, seeded(0))
    assert weights is None
    assert g.shape == (3, 5, 3, 3)
    assert float(penalty) == 0
    assert torch.equal(g.flatten(0, 1), SO(2).sample(15, generator=seeded(0)))
    many = Haar(cyclic(4)).sample(BATCH, 400, seeded(0)).g[0, :, 0, 0]
    assert abs(float(many.mean())) < 0.15  # the quarter turns come equally often


def test_enumerated_and_identity_give_what_they_say() -> None:
    g = Enumerated(dihedral(3)).sample(BATCH, 1, None).g
    assert g.shape == (3, 6, 3, 3)
    assert torch.equal(g[2], dihedral(3).elements())
    assert torch.equal(Identity(SE(2)).sample(BATCH, 2, None).g, torch.eye(3).double().expand(3, 2, 3, 3))


def test_laws_that_do_not_exist_are_refused() -> None:
    for group in (SE(2), T(3), scaling(2), brightness()):
        with pytest.raises(ValueError, match="is not compact"):
            Haar(group)
    for group in (SO(2), E(3), Permutations(8)):
        with pytest.raises(ValueError, match="not finite, or too large"):
            Enumerated(group)
    with pytest.raises(ValueError, match=r"D\(3\) is finite"):
        UniformBox(dihedral(3), 0.1)
    for width in (-0.1, math.inf, torch.zeros(2)):
        with pytest.raises(ValueError, match="init_width needs one number, or one for each"):
            UniformBox(SO(2), width)
    for law in (Haar(SO(2)), UniformBox(SO(2), 0.1)):
        with pytest.raises(ValueError, match=r"pass a torch\.Generator"):
            law.sample(BATCH, 1, None)
    for law in (Haar(SO(2)), UniformBox(SO(2), 0.1), Identity(SO(2))):
        with pytest.raises(ValueError, match="at least 1"):
            law.sample(BATCH, 0, seeded(0))


def test_a_box_begins_with_its_width_and_fills_it_evenly() -> None:
    box = UniformBox(SE(2), torch.tensor([0.7, 0.0, 2.0])).double()
    torch.testing.assert_close(box.width, torch.tensor([0.7, 0, 2]).double(), atol=1e-6, rtol=0)
    assert box.names == ("rotation", "translation along x", "translation along y")
    g = UniformBox(SO(2), 0.7).sample(BATCH, 2000, seeded(0)).g.detach()
    angle = torch.atan2(g[..., 1, 0], g[..., 0, 0])
    assert 0.69 < float(angle.max()) < 0.7
    assert -0.7 < float(angle.min()) < -0.69
    assert float(angle.var()) == pytest.approx(0.7**2 / 3, rel=0.03)
    shifts = UniformBox(T(2), torch.tensor([0.0, 2.0])).sample(BATCH, 100, seeded(0)).g.detach()
    assert float(shifts[..., 0, 2].abs().max()) == 0
    assert 1.9 < float(shifts[..., 1, 2].max()) < 2


def test_the_widths_are_learned_through_the_elements() -> None:
    box = UniformBox(hyperbolic(2), torch.tensor([0.3, 0.4])).double()

    def drawn(raw: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(_Sampler(box), {"box.raw_width": raw}, ())

    assert torch.autograd.gradcheck(drawn, (box.raw_width.detach().clone().requires_grad_(),), atol=1e-6)
    line = UniformBox(T(2), 0.5)  # t = u w: the slope in w is u
    g = line.sample(BATCH, 1, seeded(3)).g
    (slope,) = torch.autograd.grad(g[1, 0, 0, 2], line.raw_width)
    u, softplus_slope = float(g[1, 0, 0, 2].detach()) / 0.5, 1 - math.exp(-0.5)
    torch.testing.assert_close(slope, torch.tensor([u * softplus_slope, 0.0]), atol=1e-6, rtol=1e-5)


def test_a_closed_direction_stays_closed() -> None:
    box = UniformBox(T(2), torch.tensor([0.0, 0.5]))
    optimizer = torch.optim.AdamW(box.parameters(), lr=0.1)
    for step in range(5):
        optimizer.zero_grad()
        (-box.sample(BATCH, 4, seeded(step)).g.square().sum()).backward()
        optimizer.step()
    first, second = box.width.tolist()
    assert first == 0
    assert second > 0.5
    assert torch.isfinite(box.raw_width).all()


class _Sampler(torch.nn.Module):
    def __init__(self, box: UniformBox) -> None:
        super().__init__()
        self.box = box

    def forward(self) -> torch.Tensor:
        return self.box.sample(BATCH, 2, seeded(1)).g
