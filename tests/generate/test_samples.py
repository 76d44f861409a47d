"""Samples of trained and given networks: seeds, symmetry, lost ones, and likelihoods."""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from generate_checks import tiny
from generate_toys import FAST, FLAT, TOY, ala2, toy_model, trained
from torch import Tensor, nn

from rapidash._seed import seeded
from rapidash.data import CloudBatch, CloudDataset
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
    HeunSampler,
    StateSpace,
    dihedral_angles,
    effective_share,
    guided_network,
    is_finite,
    log_likelihood,
    random_noise,
    sample_clouds,
)
from rapidash.methods import Measurement, Scene, Subject, Variant, build_model
from rapidash.registry import MEASURES
from rapidash.tasks.ala2_gen import Ala2GenTask
from rapidash.tasks.toy_gen import ToyGenTask


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
