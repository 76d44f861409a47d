"""Tasks that generate: what they promise, their splits, and what they refuse."""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from generate_checks import chains, tiny
from generate_toys import TOY, ala2, toy_model
from torch import Tensor, nn

from rapidash._plain import from_plain, to_plain
from rapidash.data import CloudDataset
from rapidash.datasets import DataError
from rapidash.generate import (
    Asked,
    Denoising,
    DoubleWell,
    sample_clouds,
    torus_histogram,
)
from rapidash.groups import SE, E, T
from rapidash.methods import Objective, Variant, build_model
from rapidash.models import MLPConfig
from rapidash.study import get_design
from rapidash.tasks import get_task
from rapidash.tasks.toy_gen import ToyGenTask
from rapidash.testing import check_task


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
