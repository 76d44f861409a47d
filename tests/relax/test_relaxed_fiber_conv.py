"""Filter banks on the orientations of a Rapidash network: equivariant at constant weights, a method of a study."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from rapidash.groups import grid_symmetries, motion
from rapidash.methods import Augment, Variant, build_model, in_view, view_ledger
from rapidash.models import EGNNConfig, RapidashConfig
from rapidash.nn import GroupConv
from rapidash.relax import RelaxedFiberConv, RelaxedFiberKernel, bank_weights
from rapidash.relax._relaxed_fiber_conv import CONSTANT
from rapidash.tasks import get_task
from rapidash.testing import check_method

SMALL = RapidashConfig(grid="platonic", num_orientations=12, channels=8, num_layers=2, basis_dim=8, basis_hidden_dim=8)
TASK = get_task("nbody", num_train=12, num_val=12, num_test=8)


def jittered(variant: Variant, size: float) -> nn.Module:
    """A calibrated model in float64 with weights of the banks off 1 / L."""
    model = build_model(TASK, variant).double().eval()
    model.calibrate(TASK.dataset("val").batch(torch.arange(6)).to(dtype=torch.float64))
    torch.manual_seed(0)
    for part in bank_weights(model):
        part.w.data += size * torch.randn_like(part.w)
    return model


def error(model: nn.Module, elements: Tensor) -> float:
    batch = TASK.dataset("val").batch(torch.arange(3)).to(dtype=torch.float64)
    worst = 0.0
    with torch.no_grad():
        out = model(batch)
        for g in elements:
            residual = model(batch.transform(g)) - batch.act(TASK.output, g, out)
            worst = max(worst, float(residual.norm() / (out - batch.pos).norm()))
    return worst


@pytest.mark.parametrize("side", ["in", "out"])
@pytest.mark.parametrize("symmetry", ["E(3)", "SE(3)"])
def test_constant_weights_are_equivariant_and_others_are_not(side: str, symmetry: str) -> None:
    """Over all 60 rotations of the icosahedron; translations are kept in any case."""
    variant = Variant("a", replace(SMALL, symmetry=symmetry), methods=(RelaxedFiberConv(banks=3, side=side),))
    fresh, off = jittered(variant, 0.0), jittered(variant, 0.1)
    assert len(bank_weights(fresh)) == (2 if symmetry == "E(3)" else 4)
    turns = grid_symmetries(fresh.backbone.grid).elements
    turns = motion(turns, torch.zeros(len(turns), 3, dtype=torch.float64))
    shifts = motion(torch.eye(3, dtype=torch.float64).expand(3, 3, 3), torch.randn(3, 3, dtype=torch.float64))
    assert error(fresh, turns) < 1e-12
    assert error(off, turns) > 1e-3
    assert error(off, shifts) < 1e-12
    with in_view(off, variant.methods, CONSTANT):
        assert error(off, turns) < 1e-12


def test_the_kernel_by_hand() -> None:
    """Two orientations, one channel, one basis function that is 1 on the diagonal and 2 off it."""
    first = nn.Linear(1, 1, bias=False)
    basis = torch.tensor([[1.0, 2.0], [2.0, 1.0]])[..., None]
    for side, expected in (
        ("in", [[1 * 3 + 10 * 5, 2 * (20 * 3 + 50 * 5)], [2 * (1 * 3 + 10 * 5), 20 * 3 + 50 * 5]]),
        ("out", [[1 * 3 + 10 * 5, 2 * (1 * 3 + 10 * 5)], [2 * (20 * 3 + 50 * 5), 20 * 3 + 50 * 5]]),
    ):
        kernel = RelaxedFiberKernel(first, 2, banks=2, side=side)
        assert torch.equal(kernel.weight[0], first.weight)
        with torch.no_grad():
            kernel.bank_weights.w.copy_(torch.tensor([[1.0, 20.0], [10.0, 50.0]]))
            kernel.weight.copy_(torch.tensor([3.0, 5.0]).reshape(2, 1, 1))
        assert kernel(basis)[..., 0].tolist() == expected  # [b, a]


def test_it_is_the_network_where_all_banks_are_its_kernel() -> None:
    plain = build_model(TASK, Variant("a", SMALL)).double().eval()
    relaxed = build_model(TASK, Variant("a", SMALL, methods=(RelaxedFiberConv(banks=4),))).double().eval()
    for kernel in [part for part in relaxed.modules() if isinstance(part, RelaxedFiberKernel)]:
        kernel.weight.data[:] = kernel.weight.data[:1]
    batch = TASK.dataset("val").batch(torch.arange(3)).to(dtype=torch.float64)
    torch.testing.assert_close(relaxed(batch), plain(batch), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("method", [RelaxedFiberConv(lr=0.05, variation=1e-3), RelaxedFiberConv(side="out", lr=0.0)])
def test_the_method_keeps_its_promises(tmp_path: Path, method: RelaxedFiberConv) -> None:
    check_method(method, TASK, Variant("a", SMALL, methods=(Augment("SO(3)"),)), tmp_path)


def test_the_penalty_and_the_rate_are_those_of_the_weights(tmp_path: Path) -> None:
    variant = Variant("a", SMALL, methods=(RelaxedFiberConv(banks=2, lr=0.3, variation=0.5),))
    model = jittered(variant, 0.1)
    control = variant.methods[0].control(model, 10)
    (group,) = control.param_groups()
    assert (group.lr, len(group.params)) == (0.3, 2)
    expected = 0.5 * sum(float(part.variation().detach()) for part in bank_weights(model))
    assert float(control.terms(None)["variation"].detach()) == pytest.approx(expected)
    assert control.values().keys() == {"deviation of w 0", "deviation of w 1"}
    assert control.values()["deviation of w 0"] == pytest.approx(0.2, rel=0.4)  # 0.1 in units of 1 / 2
    fixed = build_model(TASK, Variant("a", SMALL, methods=(RelaxedFiberConv(lr=0.0),)))
    assert not any(part.w.requires_grad for part in bank_weights(fixed))


def test_ledgers_say_what_is_broken() -> None:
    variant = Variant("a", SMALL, methods=(RelaxedFiberConv(),))
    full, constant = (view_ledger(TASK, variant, view) for view in ("full", CONSTANT))
    assert full.exactness == constant.exactness
    assert [words[:19] for words in full.exactness] == ["rotations hold exac"]
    assert (full.effective.name, constant.effective.name) == ("T(3)", "E(3)")
    assert "weighted by orientation" in full.reasons[-1]


def test_errors_say_what_is_needed() -> None:
    with pytest.raises(ValueError, match="relaxed-conv does not fit: it relaxes the blocks of a network of kind"):
        Variant("a", EGNNConfig(), methods=(RelaxedFiberConv(),))
    with pytest.raises(ValueError, match="a network on R3 has no orientations"):
        Variant("a", replace(SMALL, space="R3"), methods=(RelaxedFiberConv(),))
    with pytest.raises(ValueError, match=r"symmetry T\(3\) keeps no rotation"):
        Variant("a", replace(SMALL, symmetry="T(3)"), methods=(RelaxedFiberConv(),))
    for wrong, text in (
        ({"banks": 0}, "banks must be at least 1, got 0"),
        ({"lr": -1.0}, "at least 0"),
        ({"variation": -1.0}, "at least 0"),
        ({"side": "up"}, "side must be one of"),
    ):
        with pytest.raises(ValueError, match=text):
            RelaxedFiberConv(**wrong)
    with pytest.raises(ValueError, match="Linear has no block with orientations to relax"):
        RelaxedFiberConv().modify(nn.Linear(1, 1), TASK)
    assert isinstance(build_model(TASK, Variant("a", SMALL)).backbone.blocks[0].conv, GroupConv)
