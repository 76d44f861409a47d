"""Samples under a condition: guidance, modulated blocks, and units of conditions."""

import math
import warnings
from dataclasses import dataclass, replace

import pytest
import torch
from generate_checks import tiny
from generate_toys import FAST, FLAT, TOY, toy_model
from torch import Tensor

from rapidash._seed import seeded
from rapidash.data import CloudDataset
from rapidash.generate import (
    Asked,
    Denoising,
    StateSpace,
    guided_network,
    random_noise,
    sample_clouds,
)
from rapidash.generate._modulation import ModulatedBlock
from rapidash.methods import Variant, build_model
from rapidash.models import EGNNConfig
from rapidash.nn import Block
from rapidash.tasks.toy_gen import ToyGenTask

CONDITIONAL = replace(TOY, condition="energy", num_train=300)


def test_guidance_by_hand() -> None:
    model = toy_model(task=CONDITIONAL)
    with torch.no_grad():
        model.no_condition.fill_(0.3)
    given = CONDITIONAL.templates(torch.arange(4), 0, torch.ones(5), Asked()).batch(torch.arange(4))
    seen = random_noise(StateSpace(2), given.batch, 4, seeded("seen")).float()
    with torch.no_grad():
        plain = guided_network(model, given)(seen, 0.1)
        free = given.with_tensor("condition", torch.full((4, 1), torch.nan))
        without = guided_network(model, free)(seen, 0.1)
        guided = guided_network(model, given, 2.0)(seen, 0.1)
        assert torch.equal(guided_network(model, given, 0.0)(seen, 0.1), plain)
        assert torch.equal(guided_network(model, free, 2.0)(seen, 0.1), without)  # of no condition there is one path
    torch.testing.assert_close(guided, 3 * plain - 2 * without)
    assert not torch.allclose(plain, without)


def test_a_modulation_begins_as_none_and_keeps_the_symmetry() -> None:
    scalar = Variant("v", tiny("E(2)", "R2xS1"), objective=Denoising())
    modulated = replace(scalar, objective=Denoising(conditioning="modulation"))
    plain, model = toy_model(scalar), toy_model(modulated)
    batch = TOY.dataset("val").batch(torch.arange(8))
    with torch.no_grad():
        torch.testing.assert_close(model(batch), plain(batch), rtol=1e-5, atol=1e-6)
        for block in model.backbone.blocks:
            block.linear.weight.normal_(generator=seeded("modulate"))
        assert not torch.allclose(model(batch), plain(batch), atol=1e-3)
    model.double()
    batch = batch.to(dtype=torch.float64)
    quarter = torch.tensor([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]).double()
    with torch.no_grad():
        turned = batch.act(TOY.output, quarter, model(batch))
        torch.testing.assert_close(model(batch.transform(quarter)), turned, rtol=0, atol=1e-10)
    assert all(block.code is None for block in model.backbone.blocks)
    TOY.loss(model(batch), batch).backward()
    assert float(model.modulation.linear.weight.grad.abs().max()) > 0
    with pytest.raises(ValueError, match="needs a network 'rapidash'"):
        build_model(TOY, replace(modulated, model=EGNNConfig(symmetry="E(2)", channels=8, num_layers=1)))


class Passing(Block):
    """Leaves its input as it is."""

    def forward(self, x: Tensor, *rest: object) -> Tensor:
        return x

    def calibrate(self, x: Tensor, *rest: object) -> None:
        self.seen = x


def test_a_modulation_scales_and_shifts_by_hand() -> None:
    block = ModulatedBlock(Passing(), 1, 2)
    with torch.no_grad():
        block.linear.weight.copy_(torch.tensor([[1.0], [2.0], [30.0], [40.0]]))  # gamma of 2 channels, then beta
    block.code = torch.tensor([[1.0], [0.5]])
    x = torch.tensor([[[1.0, 2.0], [3.0, 4.0]], [[1.0, 2.0], [3.0, 4.0]]])  # two points with two orientations
    expected = [[[32.0, 46.0], [36.0, 52.0]], [[16.5, 24.0], [19.5, 28.0]]]
    assert block(x).tolist() == expected
    block.calibrate(x)
    assert block.block.seen.tolist() == expected


def test_conditions_of_samples() -> None:
    model = toy_model(task=CONDITIONAL)
    asked = CONDITIONAL.clouds("test").tensors["condition"]
    plain = sample_clouds(model, CONDITIONAL, 12, sampler=FAST)
    assert torch.equal(plain.tensors["condition"], asked)
    again = sample_clouds(model, CONDITIONAL, 12, sampler=FAST, guidance=0.0, condition=asked)
    assert torch.equal(again.tensors["pos"], plain.tensors["pos"])
    names = [figure.name for figure in CONDITIONAL.figures(plain)]
    assert "median difference from the energy asked for" in names
    with pytest.warns(UserWarning, match="beyond that the model guesses"):
        sample_clouds(model, CONDITIONAL, 2, sampler=FAST, condition=torch.tensor([[1e3], [-9.0]]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sample_clouds(model, CONDITIONAL, 2, sampler=FAST, condition=torch.full((2, 1), torch.nan))


def test_conditions_are_dropped_at_times() -> None:
    control = Denoising(drop_condition=0.25).control(toy_model(task=CONDITIONAL), 1)
    batch = CONDITIONAL.dataset("train").batch(torch.arange(60).repeat(40))
    found = control.batch(batch, seeded("drop"))["condition"].isnan().double().mean()
    assert float(found) == pytest.approx(0.25, abs=0.04)


@dataclass(frozen=True)
class Counted(ToyGenTask):
    """With the energies 0 to 100."""

    def clouds(self, split: str) -> CloudDataset:
        whole = super().clouds(split)
        energy = torch.arange(len(whole)).float()[:, None]
        return CloudDataset({**whole.tensors, "condition": energy}, whole.fields, whole.num_points)


def test_a_condition_is_told_in_units_of_its_spread_by_hand() -> None:
    """Quantiles 16, 50 and 84 of 0 to 100: unit 34, and 16 bumps on [-3, 3], a fifteenth of it wide."""
    task = Counted(condition="energy", num_train=101, num_val=4, num_test=4)
    constants = task.constants()
    assert constants[1:].tolist() == pytest.approx([50, 34, 0, 100])
    model = build_model(task, FLAT)
    model.constants.copy_(constants)
    bumps = model._condition(torch.tensor([[50 + 3 * 34.0], [50 + 34 * 0.2], [torch.nan]])).detach()
    assert float(bumps[0, -1]) == pytest.approx(1)
    assert float(bumps[0, -2]) == pytest.approx(math.exp(-0.5))
    assert float(bumps[1, 8]) == pytest.approx(1)  # the centers are at 0.4 k - 3
    assert torch.equal(bumps[2], model.no_condition)
