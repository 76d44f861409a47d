"""Poses of generated molecules: one that is learned, turned states and samples, and what broken symmetry costs."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from generate_checks import tiny
from generate_toys import PLAIN, measured, qm9, small_model
from torch import Tensor, nn

from rapidash._seed import seeded
from rapidash.data import CloudBatch, moved
from rapidash.generate import (
    BANDS,
    LOSS,
    MOVED,
    SHARE,
    Denoising,
    DenoisingNetwork,
    HeunSampler,
    LogNormalLevels,
    coupled_error,
    handedness,
    pose_figures,
    random_turns,
    sample_clouds,
)
from rapidash.generate._sampling import turned_network
from rapidash.groups import SO
from rapidash.methods import Subject, Variant
from rapidash.registry import MEASURES
from rapidash.tasks.qm9_gen import Qm9GenTask


def test_states_are_turned_and_their_outputs_back_by_hand() -> None:
    """Of F(z) = (x, 0, 0) comes out r (r . z) with the first row r of R, on average z / 3; scalars stay as they are."""
    z = torch.randn(4, 5, generator=seeded("turned"), dtype=torch.float64)
    batch, mask = torch.tensor([0, 0, 1, 1]), torch.tensor([1.0, 0, 0, 1, 1]).double()
    turned = turned_network(lambda seen, code: code * mask * seen, 3, batch, [seeded("of cloud", k) for k in (0, 1)])
    outputs = torch.stack([turned(z, 1.0) for _ in range(2000)])
    pos = outputs[..., :3]
    torch.testing.assert_close(pos.square().sum(-1), (pos * z[:, :3]).sum(-1))
    assert float((pos[0] - pos[1]).abs().max()) > 0.01  # anew in each call
    assert float(torch.linalg.cross(pos[0, 0], pos[0, 1]).norm()) < 1e-12  # one rotation for each cloud
    assert float(torch.linalg.cross(pos[0, 1], pos[0, 2]).norm()) > 0.01
    torch.testing.assert_close(pos.mean(0), z[:, :3] / 3, rtol=0, atol=0.1)
    assert torch.equal(outputs[..., 3:], z[:, 3:].expand(2000, 4, 2))
    again = turned_network(lambda seen, code: code * mask * seen, 3, batch[2:] - 1, [seeded("of cloud", 1)])
    assert torch.equal(again(z[2:], 1.0), outputs[0, 2:])  # whatever else is drawn


def test_one_pose_is_learned_and_scored(qm9_folder: Path) -> None:
    task, variant = qm9(qm9_folder), Variant("v", tiny("T(3)", "R3"), objective=Denoising(pose="canonical"))
    model = small_model(task, variant)
    data = task.dataset("val")
    settings = {"train": data, "batch_size": 20}
    turned = moved(data, SO(3), 0)
    canonical, plain = Denoising(pose="canonical"), Denoising()
    same = [canonical.score(model, task, one, **settings).error for one in (data, turned)]
    assert same[0] == pytest.approx(same[1], rel=1e-3)
    others = [plain.score(model, task, one, **settings).error for one in (data, turned)]
    assert abs(others[0] / others[1] - 1) > 1e-3
    batch = task.dataset("train").batch(torch.arange(20)).to(dtype=torch.float64)
    made = canonical.control(model, 1).batch(batch, seeded("pose"))
    x = made["clean"][:, :3]
    square = torch.zeros(20, 3, 3, dtype=torch.float64).index_add(0, made.batch, x[:, :, None] * x[:, None, :])
    off = square - torch.diag_embed(square.diagonal(dim1=1, dim2=2))
    assert float(off.abs().max()) < 1e-5 * float(square.max())
    assert torch.equal(handedness(x, made.batch, 20), handedness(batch["clean"][:, :3], made.batch, 20))
    with pytest.raises(ValueError, match="take one"):
        Denoising(pose="canonical", coupling="aligned")
    with pytest.raises(ValueError, match="pose must be one of"):
        Denoising(pose="any")


class Rods(DenoisingNetwork):
    """Two atoms along x: D is that of one point, so that every sample is this rod, whatever the noise."""

    def __init__(self, task: Qm9GenTask) -> None:
        super().__init__(task.space, num_constants=1 + task.num_own_constants)
        self.constants.copy_(task.constants())
        self.weight = nn.Parameter(torch.zeros(()))

    def output(self, batch: CloudBatch) -> Tensor:
        first = torch.cat([batch.batch.new_ones(1), batch.batch.diff()]) > 0
        rod = torch.where(first, 1.0, -1.0)[:, None] * torch.tensor([[1.0, 0.0, 0.0]])
        sigma = (4 * batch["level"])[batch.batch].exp()
        seen = batch.pos * (sigma**2 + 1).sqrt()
        found = ((rod - seen / (sigma**2 + 1)) * (sigma**2 + 1).sqrt() / sigma).to(batch.pos)
        return torch.cat([found, 0 * batch["features"]], dim=1) + self.weight


def test_the_loss_by_level_is_that_of_the_pose_that_is_learned(qm9_folder: Path) -> None:
    """Turned data have the same figures where clouds are turned into one pose, and others elsewhere."""
    task = qm9(qm9_folder)
    data = task.dataset("val")
    for pose, is_same in (("canonical", True), ("data", False)):
        variant = Variant("v", tiny("T(3)", "R3"), objective=Denoising(pose=pose))
        subject = Subject(small_model(task, variant), task, data, task.ledger(variant), "after", "full", 0)
        values = [
            torch.tensor([one.value for one in MEASURES.get("generator-symmetry")(of) if one.name.startswith(LOSS)])
            for of in (subject, replace(subject, data=moved(data, SO(3), 0)))
        ]
        assert torch.allclose(*values, rtol=1e-4) == is_same


def test_turns_of_samples_depend_on_seed_and_number() -> None:
    first, again, other = (random_turns(3, [4, 5], seed) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert torch.equal(first[1:], random_turns(3, [5], 0))
    assert float((first - other).abs().amax((1, 2)).min()) > 0.01
    assert float((first[0] - first[1]).abs().max()) > 0.01


def test_errors_of_samples_from_moved_noise_by_hand(qm9_folder: Path) -> None:
    """Where every sample is one rod along x, a mirror of x takes it away by twice its size, and one of y by nothing."""
    network = Rods(task := qm9(qm9_folder)).double()
    mirrors = torch.tensor([[-1.0, 1, 1], [1, -1, 1]]).double().diag_embed()
    assert coupled_error(network, task, mirrors[:1]) == pytest.approx(2)
    assert coupled_error(network, task, mirrors[1:]) == pytest.approx(0, abs=1e-9)
    assert coupled_error(network, task, mirrors) == pytest.approx(2)  # the largest


class Pointing(DenoisingNetwork):
    """The first atom moves by 7 along x, whatever the cloud, so turning the cloud moves the output by all of it."""

    def __init__(self, task: Qm9GenTask) -> None:
        super().__init__(task.space, num_constants=1 + task.num_own_constants)
        self.constants.copy_(task.constants())
        self.weight = nn.Parameter(torch.zeros(()))

    def output(self, batch: CloudBatch) -> Tensor:
        first = (torch.cat([batch.batch.new_ones(1), batch.batch.diff()]) > 0).to(batch.pos)
        return torch.cat([first[:, None] * batch.pos.new_tensor([[7.0, 0, 0]]), 0 * batch["features"]], 1) + self.weight


def test_the_error_of_symmetry_by_hand(qm9_folder: Path) -> None:
    """49 (1 - 1/n) over 3 (n - 1) degrees of freedom is 49 / 3 n: of n = 4 to 6 atoms and all levels alike."""
    task = qm9(qm9_folder, num_val=5)
    data = task.dataset("val")
    subject = Subject(Pointing(task), task, data, task.ledger(PLAIN), "after", "full", 0)
    made = [one.value for one in MEASURES.get("generator-symmetry")(subject) if one.name.startswith(MOVED)]
    largest, least = (math.sqrt(49 / (3 * int(size))) for size in (data.num_points.min(), data.num_points.max()))
    found = [value for value in made if value is not None]
    assert len(found) > 5
    assert 0.8 * least < min(found) < max(found) < 1.2 * largest


def test_samples_of_one_pose_are_turned(qm9_folder: Path) -> None:
    task = qm9(qm9_folder)
    network, pairs = Rods(task), torch.full((128,), 2)
    plain = sample_clouds(network, task, 128, sampler=HeunSampler(8), num_points=pairs)
    network.turns_samples = True
    turned = sample_clouds(network, task, 128, sampler=HeunSampler(8), num_points=pairs)
    orders = [{f.name: f.value for f in pose_figures(one)} for one in (plain, turned)]
    assert orders[0]["order of poses"] == pytest.approx(2, abs=1e-3)
    assert orders[1]["order of poses"] < 0.4
    assert (orders[0]["p-value of turned copies"], orders[1]["p-value of turned copies"] > 0.01) == (1 / 200, True)
    network.turns_samples, network.turns_states = False, True
    states = sample_clouds(network, task, 128, sampler=HeunSampler(8), num_points=pairs)
    few = sample_clouds(network, task, 3, sampler=HeunSampler(8), num_points=pairs[:3])
    assert torch.equal(few.tensors["pos"], states.tensors["pos"][:6])
    order = {f.name: f.value for f in pose_figures(states)}
    assert order["order of poses"] < 0.4
    assert order["p-value of turned copies"] > 0.01
    lengths = [one.tensors["pos"].view(-1, 2, 3).diff(dim=1).norm(dim=2) for one in (plain, turned)]
    torch.testing.assert_close(*lengths, rtol=1e-4, atol=1e-4)
    assert torch.equal(plain.tensors["z"], turned.tensors["z"])


def test_the_cost_of_broken_symmetry_by_level(qm9_folder: Path) -> None:
    task = qm9(qm9_folder, num_val=10)
    found = {}
    for group in ("E(3)", "T(3)"):
        made = measured(task, Variant("v", tiny(group, "R3"), objective=Denoising()), "generator-symmetry")
        found[group] = {(one.name, one.group): one.value for one in made}
    shares = {group: [one[key] for key in one if key[0].startswith("share of")] for group, one in found.items()}
    assert len(shares["E(3)"]) == len(shares["T(3)"]) == 8
    assert max(abs(value) for value in shares["E(3)"]) < 1e-6
    assert min(shares["T(3)"]) > 0.01
    names = ("samples from moved noise", "SO(3)"), ("samples from moved noise", "a mirror")
    assert all(found["E(3)"][name] < 1e-9 for name in names)
    assert all(found["T(3)"][name] > 0.05 for name in names)
    losses = [value for (name, _), value in found["E(3)"].items() if name.startswith("denoising loss, sigma")]
    batch = task.dataset("val").batch(torch.arange(40))
    with torch.no_grad():
        whole = task.loss(small_model(task, PLAIN)(batch), batch)
    assert sum(losses) / 8 == pytest.approx(float(whole), rel=0.05)  # eighths with nearly as many clouds each


def test_the_share_of_the_loss_by_hand(qm9_folder: Path) -> None:
    """Averaged over rotations, which leave nothing of a fixed push, the loss is that of a push and the target's own."""
    task = qm9(qm9_folder, num_val=20)
    data = task.dataset("val")
    batch = data.batch(torch.arange(len(data))).to(dtype=torch.float64)
    target = task.errors(torch.zeros_like(batch["target"]), batch)
    pushed = 49 / (3 * data.num_points.double())
    edges = LogNormalLevels().quantile(torch.linspace(0, 1, BANDS + 1, dtype=torch.float64))
    place = torch.bucketize((4 * batch["level"][:, 0]).exp(), edges[1:-1])
    subject = Subject(Pointing(task), task, data, task.ledger(PLAIN), "after", "full", 0)
    made = [one.value for one in MEASURES.get("generator-symmetry")(subject) if one.name.startswith(SHARE)]
    assert len(made) == BANDS
    for band, share in enumerate(made):
        lost, whole = float(pushed[place == band].sum()), float((pushed + target)[place == band].sum())
        assert share == pytest.approx(100 * lost / whole, rel=0.07)
