"""Tasks that generate: noisy data, the objective, samples and their figures."""

import math
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from generate_checks import chains, tiny
from torch import Tensor, nn

from rapidash._plain import from_plain, to_plain
from rapidash._seed import seeded
from rapidash.data import CloudBatch, CloudDataset, Field
from rapidash.datasets import DataError
from rapidash.generate import (
    COUPLED,
    EFFECTIVE,
    FLOOR,
    LIKELIHOOD,
    LOST,
    SAMPLES,
    SHOWN_SAMPLES,
    Asked,
    Denoiser,
    Denoising,
    DenoisingNetwork,
    DoubleWell,
    HeunSampler,
    StateSpace,
    dihedral_angles,
    effective_share,
    guided_network,
    is_finite,
    log_likelihood,
    noised,
    random_noise,
    sample_clouds,
    torus_histogram,
)
from rapidash.generate._modulation import ModulatedBlock
from rapidash.groups import SE, E, Position, T
from rapidash.methods import Augment, Control, Measurement, Method, Objective, Scene, Subject, Variant, build_model
from rapidash.models import EGNNConfig, MLPConfig
from rapidash.nn import Block
from rapidash.registry import MEASURES, METHODS
from rapidash.study import get_design
from rapidash.tasks import get_task
from rapidash.tasks.ala2_gen import Ala2GenTask
from rapidash.tasks.toy_gen import ToyGenTask
from rapidash.testing import check_task
from rapidash.train import TrainConfig, train

TOY = ToyGenTask(num_train=60, num_val=10, num_test=12, num_samples=12, sampling_steps=4)
FAST = HeunSampler(steps=4)
FLAT = Variant("E(2)", tiny("E(2)", "R2"), objective=Denoising())


def toy_model(variant: Variant = FLAT, task: ToyGenTask = TOY) -> nn.Module:
    """Calibrated, with random weights; a readout of random weights as they are lets samples diverge."""
    model = build_model(task, variant)
    model.calibrate(task.dataset("train").batch(torch.arange(32)))
    with torch.no_grad():
        for parameter in model.backbone.readout.parameters():
            parameter.mul_(0.3)
    return model.eval()


def ala2(folder: Path, **options: object) -> Ala2GenTask:
    sizes = {"num_val": 4, "num_test": 6, "num_samples": 20, "sampling_steps": 4}
    return Ala2GenTask(data_dir=str(folder), verify=False, **{**sizes, **options})


class StopError(Exception):
    pass


@dataclass(frozen=True)
class Stop(Method):
    """Fails in a step."""

    at: int

    def acts_in_training(self) -> bool:
        return False

    def control(self, model: nn.Module, total_steps: int) -> Control:
        return StopControl(self.at)


class StopControl(Control):
    def __init__(self, at: int) -> None:
        self.at = at

    def before(self, step: int) -> None:
        if step == self.at:
            raise StopError


def trained(
    task: object, variant: Variant, folder: Path, steps: int = 4, stop: Stop | None = None, **changes: object
) -> tuple[nn.Module, list]:
    config = TrainConfig(
        steps=steps, batch_size=8, learning_rate=1e-2, warmup_steps=0, ema_decay=0, eval_every=2, checkpoint_every=2
    )
    model = build_model(task, variant)
    sets = {"train_set": task.dataset("train"), "val_set": task.dataset("val"), "seed": 0, "run_dir": folder}
    rest = {"objective": variant.objective, "methods": (*variant.methods, *([stop] if stop else [])), "progress": False}
    result = train(model, task, replace(config, **changes), **sets, **rest)
    return model, result.history


@pytest.mark.parametrize("condition", ["none", "energy"])
def test_toy_gen_keeps_the_promises_of_tasks(condition: str) -> None:
    spaces = [("E(2)", "R2xS1"), ("SE(2)", "R2xS1"), ("E(2)", "R2"), ("T(2)", "R2")]
    variants = [Variant(f"{group} on {space}", tiny(group, space)) for group, space in spaces]
    check_task(replace(TOY, condition=condition), variants[: 4 if condition == "none" else 1])


def test_ala2_gen_keeps_the_promises_of_tasks(ala2_folder: Path) -> None:
    models = (tiny("E(3)", "R3xS2"), tiny("SE(3)", "R3xS2", 12), tiny("E(3)", "R3"), tiny("T(3)", "R3"))
    check_task(ala2(ala2_folder), [Variant(f"variant {place}", model) for place, model in enumerate(models)])


def test_beads_are_told_apart(ala2_folder: Path) -> None:
    """Points in the order of a mirror image of the chain have other outputs, and the same ones where kinds move too."""
    task = ala2(ala2_folder)
    model = build_model(task, Variant("v", tiny("E(3)", "R3"), objective=Denoising()))
    batch = task.dataset("val").batch(torch.arange(4))
    model.calibrate(batch)
    order = torch.arange(20).view(4, 5).flip(1).flatten()
    with torch.no_grad():
        plain = model(batch)
        moved = batch.with_tensor("pos", batch.pos[order], batch.fields["pos"])
        assert float((model(moved) - plain[order]).abs().max()) > 1e-3
        told = moved.with_tensor("bead", batch["bead"][order], batch.fields["bead"])
        torch.testing.assert_close(model(told), plain[order], rtol=1e-4, atol=1e-5)


class Constant(nn.Module):
    """A network of clouds that says (1, 2, 4) as its vector and 3 as its scalar, everywhere."""

    def forward(self, pos: Tensor, batch: Tensor, **rest: object) -> SimpleNamespace:
        vectors = torch.tensor([1.0, 2.0, 4.0]).to(pos).expand(len(pos), 1, 3)
        return SimpleNamespace(vectors=vectors, scalars=pos.new_full((len(pos), 1), 3.0))


def test_networks_of_distances_are_given_the_displacement_by_hand(ala2_folder: Path) -> None:
    """Vectors of a network on R3 come from distances: a predicted multiple of the displacement joins them."""
    task = ala2(ala2_folder)
    batch = task.dataset("val").batch(torch.arange(4))
    displaced = batch.pos - batch.pos.view(4, 5, 3).mean(1).repeat_interleave(5, 0)
    for space, multiple in (("R3", 3.0), ("R3xS2", 0.0)):
        model = build_model(task, Variant("v", tiny("E(3)", space), objective=Denoising()))
        model.backbone = Constant()
        expected = torch.tensor([1.0, 2.0, 4.0]) + multiple * displaced
        torch.testing.assert_close(model.output(batch), expected, rtol=1e-5, atol=1e-5)


def test_every_design_builds(ala2_folder: Path) -> None:
    for name, options in (("ala2-gen", {"data_dir": str(ala2_folder), "verify": False}), ("toy-gen", {})):
        for full in (False, True):
            design = get_design(name, full=full)
            assert design.measures[:2] == ("samples", "generator-symmetry")
            task = get_task(name, **{**design.task_options, **options})
            for variant in design.variants:
                build_model(task, variant)
                assert from_plain(Objective, to_plain(variant.objective)) == variant.objective
            names = [variant.name for variant in design.variants]
            assert len(set(names)) == len(names) >= 6


@pytest.mark.parametrize(
    ("group", "said"),
    [("E(3)", "no handedness can be learned"), ("SE(3)", "left and right may differ"), ("T(3)", "has learned")],
)
def test_the_ledger_tells_of_the_samples(ala2_folder: Path, group: str, said: str) -> None:
    ledger = ala2(ala2_folder).ledger(Variant("v", tiny(group, "R3xS2", 12)))
    assert ledger.effective == {"E(3)": E(3), "SE(3)": SE(3), "T(3)": T(3)}[group]
    assert said in ledger.reasons[-1]


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


def test_samples_are_functions_of_seed_and_number() -> None:
    for symmetry, space in (("E(2)", "R2"), ("SE(2)", "R2xS1")):
        model = toy_model(Variant("v", tiny(symmetry, space)))
        told: list[int] = []
        many = sample_clouds(model, TOY, 100, seed=3, sampler=FAST, advance=told.append)
        few = sample_clouds(model, TOY, 10, seed=3, sampler=FAST)
        assert torch.equal(few.tensors["pos"], many.tensors["pos"][:40])
        assert not torch.equal(few.tensors["pos"], sample_clouds(model, TOY, 10, sampler=FAST).tensors["pos"])
        assert told == [64, 36]


def test_samples_have_the_length_of_the_data() -> None:
    """Of a network that says 0 the denoiser is that of a normal law with the spread of the data."""
    model = toy_model()
    with torch.no_grad():
        for parameter in model.backbone.readout.parameters():
            parameter.zero_()
    samples = sample_clouds(model, TOY, 400, sampler=HeunSampler(16, churn=0))
    pos, data = samples.tensors["pos"].double(), TOY.clouds("train").tensors["pos"].double().view(-1, 4, 2)
    spread = (data - data.mean(1, keepdim=True)).square().mean().sqrt()
    assert float(pos.square().mean().sqrt()) == pytest.approx(float(spread), rel=0.1)
    assert float(pos.view(-1, 4, 2).mean(1).abs().max()) < 1e-4


def moved_sample_error(symmetry: str, space: str, turn: Tensor) -> float:
    """Largest entry of sample(g noise) - g sample(noise), over that of the sample, in float64."""
    variant = Variant("v", tiny(symmetry, space, 12 if symmetry == "SE(3)" else 6))
    model = build_model(ALA2, variant).double().eval()
    given = ALA2.templates(torch.arange(4), 0, torch.ones(1), Asked()).batch(torch.arange(4)).to(dtype=torch.float64)
    state = ALA2.space
    model.calibrate(
        given.with_tensor("pos", random_noise(state, given.batch, 4, seeded("at")))
        .with_tensor("level", torch.zeros(4, 1).double(), given.fields["bead"])
        .with_tensor("constants", torch.ones(4, 1).double(), given.fields["bead"])
    )
    with torch.no_grad():
        for parameter in model.backbone.readout.parameters():
            parameter.mul_(0.3)
    denoiser = Denoiser(guided_network(model, given), torch.ones(3).double())
    sampler = HeunSampler(steps=10)
    noise = torch.stack([random_noise(state, given.batch, 4, seeded("draw", k)) for k in range(sampler.num_draws)])

    def end(draws: Tensor) -> Tensor:
        with torch.no_grad():
            return sampler.sample(denoiser, draws, lambda z: state.project(z, given.batch, 4))

    found = end(noise)
    return float((end(noise @ turn.T) - found @ turn.T).abs().max() / found.abs().max())


ALA2 = Ala2GenTask()
QUARTER = torch.tensor([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]).double()
MIRROR = torch.diag(torch.tensor([-1.0, 1.0, 1.0])).double()
RANDOM = torch.linalg.matrix_exp(torch.tensor([[0, 1, 2], [-1, 0, 3], [-2, -3, 0]]).double())


def test_samples_move_with_their_noise() -> None:
    """What the ledger says of the network holds for whole samples with coupled noise, and no more than that."""
    assert moved_sample_error("E(3)", "R3xS2", QUARTER) < 1e-9
    assert moved_sample_error("E(3)", "R3xS2", MIRROR) < 1e-9
    assert moved_sample_error("E(3)", "R3", RANDOM @ MIRROR) < 1e-9
    assert moved_sample_error("T(3)", "R3", RANDOM) > 0.1


def test_mirror_images_are_as_frequent_under_e3(ala2_folder: Path) -> None:
    task = ala2(ala2_folder)
    variant = Variant("v", tiny("E(3)", "R3"), objective=Denoising())
    model = trained(task, variant, ala2_folder / "run")[0].eval()
    samples = sample_clouds(model, task, 400, sampler=HeunSampler(6)).tensors["pos"].double().view(-1, 5, 3)
    share = float((dihedral_angles(samples[:, :4]) > 0).double().mean())
    assert share == pytest.approx(0.5, abs=3 * 0.5 / 20)


class Diverging(DenoisingNetwork):
    """Sends all but the first clouds far away."""

    def __init__(self, num_kept: int = 6) -> None:
        super().__init__(StateSpace(2))
        self.weight, self.num_kept = nn.Parameter(torch.zeros(())), num_kept

    def output(self, batch: CloudBatch) -> Tensor:
        is_bad = (batch.batch >= self.num_kept)[:, None]
        return torch.where(is_bad, 1e6 * batch.pos, self.weight + 0 * batch.pos)


def test_samples_that_diverge_are_counted() -> None:
    samples = sample_clouds(Diverging(), TOY, 12, sampler=FAST)
    assert is_finite(samples).tolist() == [True] * 6 + [False] * 6
    subject = Subject(Diverging(), TOY, TOY.dataset("val"), TOY.ledger(FLAT), "after", "full", 0)
    made = [one for one in MEASURES.get("samples")(subject) if isinstance(one, Measurement)]
    found = {figure.name: figure.value for figure in made}
    assert found[SAMPLES + LOST] == 50
    assert found[SAMPLES + "W1 of energies"] is None
    spaced = TOY.clouds("train").subset(torch.linspace(0, 59, 12).long())  # as many as there are samples
    assert found[FLOOR + "mean energy"] == pytest.approx(float(TOY.energies(spaced).mean()))
    before = replace(subject, moment="before")
    assert list(MEASURES.get("samples")(before)) == []


class Mixing(DenoisingNetwork):
    """Scales every cloud by the farthest point of all."""

    def __init__(self) -> None:
        super().__init__(StateSpace(2))

    def output(self, batch: CloudBatch) -> Tensor:
        return batch.pos * batch.pos.abs().max()


def test_a_cloud_that_is_lost_is_not_noticed_by_the_others() -> None:
    given = TOY.templates(torch.arange(3), 0, torch.ones(1), Asked()).batch(torch.arange(3))
    seen = random_noise(StateSpace(2), given.batch, 3, seeded("lost"))
    network = guided_network(Mixing(), given)
    for far in (11.0, 1e30, torch.inf, torch.nan):
        with_lost, without = seen.clone(), seen.clone()
        with_lost[5, 0], without[4:8] = far, 0
        found, expected = network(with_lost, 0.1), network(without, 0.1)
        assert bool(found[4:8].isnan().all())
        torch.testing.assert_close(found[:4], expected[:4])
        torch.testing.assert_close(found[8:], expected[8:])


def test_a_run_whose_samples_all_diverge_has_its_figures() -> None:
    """They are what they are; a run that failed would be left out of the means over seeds."""
    task = Springs(num_train=20, num_val=4, num_test=30, num_samples=12)
    subject = Subject(Diverging(0), task, task.dataset("val"), TOY.ledger(FLAT), "after", "full", 0)
    made = list(MEASURES.get("samples")(subject))
    found = {one.name: one.value for one in made if isinstance(one, Measurement)}
    assert found[SAMPLES + LOST] == 100
    assert [found[SAMPLES + name] for name in ("mean energy", "order of poses", "W1 of energies")] == [None] * 3
    assert [one.clouds for one in made if isinstance(one, Scene) and one.name == SHOWN_SAMPLES] == [()]
    coupled = {one.group: one.value for one in MEASURES.get("generator-symmetry")(subject) if one.name == COUPLED}
    assert coupled == {"SO(2)": None, "a mirror": None}


def test_lost_chains_make_figures_worse(ala2_folder: Path) -> None:
    task = ala2(ala2_folder)
    good = task.clouds("test")
    pos = good.tensors["pos"].clone()
    pos[: len(pos) // 2] = torch.nan
    lost = CloudDataset({**good.tensors, "pos": pos}, good.fields, good.num_points)
    found = [{figure.name: figure.value for figure in task.figures(data)} for data in (good, lost)]
    assert found[0]["JS divergence of (phi, psi)"] == 0
    assert found[1]["JS divergence of (phi, psi)"] > 0.15
    assert found[1]["W1 of bond lengths"] is None
    assert found[0]["W1 of bond lengths"] == 0


class Silent(DenoisingNetwork):
    """Says 0: its data are a normal law, with scalars of spread 2."""

    def __init__(self) -> None:
        super().__init__(StateSpace(2, 1, scalar_spread=2.0))
        self.weight = nn.Parameter(torch.zeros(()))

    def output(self, batch: CloudBatch) -> Tensor:
        assert batch["features"].shape == (len(batch.batch), 1)
        return self.weight + torch.zeros(len(batch.batch), 3)


def test_scalars_are_generated_beside_positions() -> None:
    samples = sample_clouds(Silent(), TOY, 256, sampler=HeunSampler(16, churn=0))
    assert samples.fields["features"].level == "point"
    assert float(samples.tensors["features"].std()) == pytest.approx(2, rel=0.1)
    assert float(samples.tensors["pos"].square().mean()) == pytest.approx(0.75, rel=0.15)  # 1 - 1/4: zero mean


class Ideal(DenoisingNetwork):
    """Says 0, so that its density is the normal law of spread 1 in the subspace."""

    def __init__(self) -> None:
        super().__init__(StateSpace(2))
        self.weight = nn.Parameter(torch.zeros(()))

    def output(self, batch: CloudBatch) -> Tensor:
        return self.weight * batch.pos


@dataclass(frozen=True)
class Springs(ToyGenTask):
    """Particles tied to their mean: E = 1.2 |x|^2 / 2."""

    stiffness: float = 1.2

    def energies(self, clouds: CloudDataset) -> Tensor:
        return self.stiffness * clouds.tensors["pos"].double().square().view(-1, 8).sum(1) / 2


class LosingSamples(Ideal):
    """As Ideal for test clouds, and diverging for the blocks in which samples are drawn."""

    def output(self, batch: CloudBatch) -> Tensor:
        return 1e6 * batch.pos if batch.num_clouds == 64 else super().output(batch)


def likelihood_of(network: DenoisingNetwork, stiffness: float) -> dict[str, Measurement]:
    task = Springs(num_train=20, num_val=4, num_test=30, stiffness=stiffness)
    subject = Subject(network, task, task.dataset("val"), TOY.ledger(FLAT), "after", "full", 0)
    return {one.name: one for one in MEASURES.get("likelihood")(subject)}


def test_the_likelihood_of_test_clouds_and_the_effective_share_of_samples() -> None:
    """With weights exp(-a r^2 / 2), a = 0.2, in 6 dimensions the share is ((1 + 2 a) / (1 + a)^2)^3 = 0.919."""
    same, other = likelihood_of(Ideal(), 1.0), likelihood_of(Ideal(), 1.2)
    assert same[EFFECTIVE].value == pytest.approx(100, abs=0.5)
    assert other[EFFECTIVE].value == pytest.approx(91.9, abs=3)
    test = Springs(num_train=20, num_val=4, num_test=30).clouds("test")
    pos = test.tensors["pos"].double().view(30, 4, 2)
    square = (pos - pos.mean(1, keepdim=True)).square().sum((1, 2))
    exact = -square / 12 - 0.5 * math.log(2 * math.pi)  # of a normal law, by 6 degrees of freedom
    found = same[LIKELIHOOD]
    assert found.value == pytest.approx(float(exact.mean()), abs=0.1)
    assert found.high - found.low == pytest.approx(2 * 1.96 * float(exact.std()) / math.sqrt(30), rel=0.1)
    assert effective_share(torch.zeros(5), torch.zeros(5), 10) == pytest.approx(0.5)  # half of the samples are lost
    assert effective_share(torch.tensor([0.0, 1e9]), torch.zeros(2), 2) == pytest.approx(0.5)
    assert likelihood_of(LosingSamples(), 1.0)[EFFECTIVE].value == 0
    for name in ("turns_samples", "turns_states"):
        turned = Ideal()
        setattr(turned, name, True)
        assert not likelihood_of(turned, 1.0)


def test_the_divergence_of_a_network_is_that_of_finite_differences() -> None:
    model = toy_model(Variant("v", tiny("SE(2)", "R2xS1"))).double()
    data = TOY.clouds("test").subset(torch.arange(1))
    batch = data.batch(torch.arange(1)).to(dtype=torch.float64)
    states = TOY.states(data, model.constants.double())
    denoiser = Denoiser(guided_network(model, batch), torch.ones(2).double())
    grid = HeunSampler(2, sigma_min=1.0, sigma_max=1.001, churn=0)
    found = log_likelihood(denoiser, states, 1, StateSpace(2), grid=grid)
    free, step, divergence = StateSpace(2), 1e-5, 0.0
    with torch.no_grad():
        for place in range(8):
            move = torch.zeros(4, 2).double().flatten()
            move[place] = 1
            move = free.project(move.view(4, 2), batch.batch, 1)  # the trace over the subspace
            ends = [denoiser.velocity(states + sign * step * move, 1.0) for sign in (1, -1)]
            divergence += float(((ends[0] - ends[1]) / (2 * step) * move).sum())
        ahead = free.project(states + 0.001 * denoiser.velocity(states, 1.0), batch.batch, 1)
    variance = 1.001**2 + 1
    normal = -float(ahead.square().sum()) / (2 * variance) - 3 * math.log(2 * math.pi * variance)
    assert float(found.log_density) - normal == pytest.approx(0.001 * divergence, rel=0.02, abs=2e-6)


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


def test_training_learns_and_turned_clouds_are_denoised(tmp_path: Path) -> None:
    """A variant with an augmentation runs; with a few steps the loss falls below that of an output of zero, 1."""
    variant = Variant("v", tiny("E(2)", "R2"), methods=(Augment("SO(2)"),), objective=Denoising())
    _, history = trained(TOY, variant, tmp_path, steps=160, batch_size=32, eval_every=80)
    nothing = TOY.dataset("val").tensors["target"].square().sum() / (40 * 6)
    assert history[-1]["val_error"] < 0.9 * float(nothing)


@dataclass(frozen=True)
class Same(ToyGenTask):
    """With one energy for all."""

    def clouds(self, split: str) -> CloudDataset:
        whole = super().clouds(split)
        energy = torch.full_like(whole.tensors["condition"], -9.0)
        return CloudDataset({**whole.tensors, "condition": energy}, whole.fields, whole.num_points)


def test_bad_settings_are_told(ala2_folder: Path) -> None:
    with pytest.raises(ValueError, match="coupling must be one of"):
        Denoising(coupling="optimal")
    with pytest.raises(ValueError, match="levels must be one of"):
        Denoising(levels="linear")
    with pytest.raises(ValueError, match="drop_condition"):
        Denoising(drop_condition=1.0)
    with pytest.raises(ValueError, match="needs a task that generates"):
        build_model(get_task("nbody"), Variant("v", tiny("E(3)", "R3"), objective=Denoising()))
    with pytest.raises(ValueError, match="num_samples must be at least 1"):
        ala2(ala2_folder, num_samples=0)
    with pytest.raises(ValueError, match="condition must be one of"):
        ToyGenTask(condition="radius")
    with pytest.raises(ValueError, match="steps must be at least 2"):
        ToyGenTask(sampling_steps=1)
    with pytest.raises(ValueError, match="num_points must be at least 2 for each sample, got 1"):
        Asked(num_points=torch.tensor([5, 1, 1]))
    with pytest.raises(ValueError, match="num_particles must be at least 2, got 1"):
        DoubleWell(1)
    for law in (DoubleWell().energy, DoubleWell().force):
        with pytest.raises(ValueError, match=r"pos must end in \(4, 2\), particles in the plane, got \(3, 5, 2\)"):
            law(torch.zeros(3, 5, 2))
    with pytest.raises(ValueError, match="at least one pair of angles and one cell, got 0 and 4"):
        torus_histogram(torch.zeros(0), torch.zeros(0), 4)
    with pytest.raises(ValueError, match="an infinite one"):
        Asked(condition=torch.tensor([[1.0], [math.inf]]))
    with pytest.raises(ValueError, match="the condition is -9 for most training clouds"):
        Same(condition="energy", num_train=9).constants()
    model = toy_model()
    for wrong in ({"num": 0}, {"num": 1, "guidance": math.nan}):
        with pytest.raises(ValueError, match="at least 1 and guidance finite"):
            sample_clouds(model, TOY, **wrong)
    with pytest.raises(ValueError, match="no condition to ask for"):
        sample_clouds(model, TOY, 1, guidance=1.0)
    with pytest.raises(ValueError, match="has no denoising network"):
        sample_clouds(nn.Linear(1, 1), TOY, 1)
    with pytest.raises(ValueError, match="has scalars in and out"):  # a network without vectors
        build_model(TOY, Variant("v", MLPConfig(), objective=Denoising()))


@dataclass(frozen=True)
class Alone(ToyGenTask):
    """With a cloud of one point."""

    def clouds(self, split: str) -> CloudDataset:
        whole = super().clouds(split)
        sizes = torch.tensor([1, *[4] * (len(whole) - 1)])
        return CloudDataset({"pos": whole.tensors["pos"][3:]}, whole.fields, sizes)


def test_a_cloud_of_one_point_has_no_freedom() -> None:
    with pytest.raises(ValueError, match="cloud 0 has 1 point: a generated cloud needs at least 2"):
        Alone(num_train=8, num_val=4, num_test=4).dataset("train")


def test_too_few_frames_are_told(tmp_path: Path) -> None:
    pos = chains(99, "file").numpy()
    beads = ["ACE1-C", "ALA2-N", "ALA2-CA", "ALA2-C", "NME3-N"]
    np.savez(tmp_path / "ala2_cg.npz", pos=pos, forces=np.zeros_like(pos), bead=np.array(beads))
    with pytest.raises(DataError, match="99 frames are too few: they are split by 100 blocks"):
        ala2(tmp_path).clouds("train")


def test_chains_of_the_file_are_split_by_blocks(ala2_folder: Path) -> None:
    task = ala2(ala2_folder)
    sizes = {split: len(task.clouds(split)) for split in ("train", "val", "test")}
    assert sizes == {"train": 300, "val": 20, "test": 80}  # 400 frames in 100 blocks of 4
    frames = chains(400, "file").view(-1, 5, 3)
    train = task.clouds("train").tensors["pos"].view(-1, 5, 3)
    place = torch.cdist(train.flatten(1), frames.flatten(1)).argmin(1)
    assert torch.equal(place.view(-1, 4) - place.view(-1, 4)[:, :1], torch.arange(4).expand(75, -1))
    every = torch.cat([task.clouds(split).tensors["pos"].view(-1, 15) for split in sizes])
    assert len(every.unique(dim=0)) == 400  # each in one split
    assert len(ala2(ala2_folder, num_train=30).clouds("train")) == 30


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
