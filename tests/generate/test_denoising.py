"""Noisy data, the loss of denoising, couplings, and trainings with them."""

import math
from pathlib import Path

import pytest
import torch
from generate_checks import tiny
from generate_toys import FLAT, TOY, Stop, StopError, toy_model, trained

from rapidash._seed import seeded
from rapidash.data import CloudDataset, Field
from rapidash.generate import (
    Denoising,
    StateSpace,
    noised,
)
from rapidash.groups import Position
from rapidash.methods import Augment, Subject, Variant, build_model
from rapidash.registry import MEASURES, METHODS
from rapidash.tasks.toy_gen import ToyGenTask
from rapidash.train import TrainConfig, train


def test_noisy_data_can_be_undone() -> None:
    """The input and the target of the network give back the clean state and the noise that is on it."""
    for split, copies in (("train", 1), ("val", 4), ("test", 4)):
        data = TOY.dataset(split)
        batch = data.batch(torch.arange(len(data))).to(dtype=torch.float64)
        sigma = (4 * batch["level"])[batch.batch].exp()
        total = torch.sqrt(sigma**2 + 1)
        noisy = batch.pos * total
        noise = (noisy - batch["clean"]) / sigma
        torch.testing.assert_close(sigma * batch["clean"] - noise, batch["target"] * total, rtol=1e-3, atol=1e-3)
        assert len(data) == copies * {"train": 60, "val": 10, "test": 12}[split]
        assert float(batch["clean"].square().mean() / 0.75) == pytest.approx(1, abs=0.15)
        quarters = torch.special.ndtr((4 * batch["level"][:, 0] + 1.2) / 1.2) * copies
        assert torch.equal(quarters.floor().long(), torch.arange(len(data)) % copies)


def test_noise_is_on_states_about_their_mean_by_hand() -> None:
    """Points at 5 and 9 about 7, noise 1 and -1, sigma 3: (x + 3 eps) / sqrt(10) is told (3 x - eps) / sqrt(10)."""
    clean = torch.tensor([[5.0, 7.0], [9.0, 7.0]]).double()
    noise = torch.tensor([[1.0, 0.0], [-1.0, 0.0]]).double()
    field = Field(Position())
    whole = CloudDataset({"pos": clean, "clean": clean}, {"pos": field, "clean": field}, torch.tensor([2]))
    made = noised(whole.batch(torch.arange(1)), StateSpace(2), torch.tensor([3.0]), noise)
    first, last = torch.tensor([1.0, 0.0]).double(), torch.tensor([-7.0, 0.0]).double()
    torch.testing.assert_close(made.pos * math.sqrt(10), torch.stack([first, -first]))
    torch.testing.assert_close(made["target"] * math.sqrt(10), torch.stack([last, -last]))
    assert float(made["level"]) == pytest.approx(math.log(3) / 4)


def test_error_of_nothing_is_the_mean_square_of_the_target() -> None:
    batch = TOY.dataset("val").batch(torch.arange(4)).to(dtype=torch.float64)
    by_hand = batch["target"].square().view(4, -1).sum(1) / 6  # 2 (4 - 1) degrees of freedom
    torch.testing.assert_close(TOY.errors(torch.zeros_like(batch["target"]), batch), by_hand)
    assert float(TOY.loss(torch.zeros_like(batch["target"]), batch)) == pytest.approx(float(by_hand.mean()))


def test_mean_square_counts_scalars_by_themselves() -> None:
    """Two points in the plane with one scalar: |x|^2 / 2 + |h|^2 / 2."""
    z = torch.tensor([[1.0, 2.0, 3.0], [-1.0, -2.0, 5.0]])
    assert StateSpace(2, 1).mean_square(z, torch.zeros(2).long(), 1).tolist() == [5 + 17]


def test_training_draws_new_noise_and_resumes_with_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    control = Denoising().control(toy_model(), 10)
    batch = TOY.dataset("train").batch(torch.arange(8))
    first, again, other = (control.batch(batch, seeded("noise", step)) for step in (0, 0, 1))
    assert torch.equal(first.pos, again.pos)
    assert not torch.equal(first.pos, other.pos)
    assert not torch.equal(first.pos, batch.pos)
    _, whole = trained(TOY, FLAT, tmp_path / "whole")
    monkeypatch.setitem(METHODS, "stop-in-test", Stop)
    with pytest.raises(StopError):
        trained(TOY, FLAT, tmp_path / "parts", stop=Stop(at=3))
    _, parts = trained(TOY, FLAT, tmp_path / "parts", stop=Stop(at=99))
    assert [row["val_error"] for row in parts] == [row["val_error"] for row in whole]


def test_weights_are_selected_by_the_denoising_loss_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Training asks for no sample and for no figure of them; the best loss of validation decides."""

    def refused(*_: object, **__: object) -> None:
        raise AssertionError("training looks at samples")

    for place in ("_measure.sample_clouds", "_sampling.sample_clouds"):
        monkeypatch.setattr(f"rapidash.generate.{place}", refused)
    monkeypatch.setattr(ToyGenTask, "figures", refused)
    task, data = TOY, TOY.dataset("val")
    model = build_model(task, FLAT)
    config = TrainConfig(steps=30, batch_size=8, learning_rate=0.3, warmup_steps=0, ema_decay=0, eval_every=3)
    sets = {"train_set": task.dataset("train"), "val_set": data, "seed": 0, "run_dir": tmp_path}
    result = train(model, task, config, **sets, objective=FLAT.objective, progress=False)
    losses = [row["val_error"] for row in result.history]
    assert min(losses) < losses[-1]  # steps that are far too long: the last weights are not the best
    batch = data.batch(torch.arange(len(data)))
    with torch.no_grad():
        assert float(task.loss(model(batch), batch)) == pytest.approx(min(losses), rel=1e-4)
    with pytest.raises(AssertionError, match="looks at samples"):
        list(MEASURES.get("samples")(Subject(model, task, data, task.ledger(FLAT), "after", "full", 0)))


def test_levels_of_training_follow_the_law() -> None:
    data = TOY.dataset("train")
    batch = data.batch(torch.arange(60).repeat(50))
    for law, share in (("log-normal", 0.841), ("uniform-time", 0.5), ("logit-normal-time", 0.5)):
        found = Denoising(levels=law).control(toy_model(), 1).batch(batch, seeded(law))  # level 1 is t = 1/2
        assert float((found["level"] < 0).double().mean()) == pytest.approx(share, abs=0.03)


def test_the_weights_of_flow_matching_reach_the_loss() -> None:
    model = toy_model()
    batch = TOY.dataset("train").batch(torch.arange(8))
    errors = TOY.errors(model(batch), batch).detach()
    plain, flow = (Denoising(levels=law).step(model, TOY, batch, seeded(0)) for law in ("log-normal", "uniform-time"))
    assert float(plain.loss.detach()) == pytest.approx(float(errors.mean()), rel=1e-6)
    sigma = (4 * batch["level"][:, 0]).exp()
    weight = (1 + sigma) ** 2 / (sigma**2 + 1)  # t = 1 / (1 + sigma)
    assert float(flow.loss.detach()) == pytest.approx(float((weight * errors).mean()), rel=1e-5)


def test_an_aligned_coupling_keeps_shapes_and_lowers_the_cost() -> None:
    batch = TOY.dataset("train").batch(torch.arange(16)).to(dtype=torch.float64)
    found = {}
    for coupling in ("independent", "aligned"):
        noisy = Denoising(coupling=coupling).control(toy_model(), 1).batch(batch, seeded("pairs"))
        sigma = (4 * noisy["level"])[noisy.batch].exp()
        noise = (noisy.pos * torch.sqrt(sigma**2 + 1) - noisy["clean"]) / sigma
        found[coupling] = noisy["clean"], noise
    (plain, noise), (moved, same) = found["independent"], found["aligned"]
    torch.testing.assert_close(noise, same, rtol=1e-4, atol=1e-4)
    distances = [torch.cdist(x.view(16, 4, 2), x.view(16, 4, 2)).flatten(1).sort().values for x in (plain, moved)]
    torch.testing.assert_close(*distances)
    costs = [(x - noise).square().view(16, -1).sum(1) for x in (plain, moved)]
    assert bool((costs[1] <= costs[0] + 1e-9).all())
    assert float(costs[1].mean()) < 0.8 * float(costs[0].mean())


def test_training_learns_and_turned_clouds_are_denoised(tmp_path: Path) -> None:
    """A variant with an augmentation runs; with a few steps the loss falls below that of an output of zero, 1."""
    variant = Variant("v", tiny("E(2)", "R2"), methods=(Augment("SO(2)"),), objective=Denoising())
    _, history = trained(TOY, variant, tmp_path, steps=160, batch_size=32, eval_every=80)
    nothing = TOY.dataset("val").tensors["target"].square().sum() / (40 * 6)
    assert history[-1]["val_error"] < 0.9 * float(nothing)
