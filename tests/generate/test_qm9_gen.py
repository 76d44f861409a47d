"""Molecules that are generated: elements as scalars, sizes, conditions, figures."""

import importlib.util
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from generate_checks import tiny
from generate_toys import FAST, PLAIN, measured, qm9, small_model

from rapidash._seed import seeded
from rapidash.data import CloudDataset
from rapidash.generate import (
    FLOOR,
    SAMPLES,
    Asked,
    HeunSampler,
    SizeLaw,
    is_finite,
    sample_clouds,
)
from rapidash.generate.metrics import rotational_constants, stability
from rapidash.methods import Measurement, Scene, Variant, build_model
from rapidash.study import get_design
from rapidash.tasks.qm9_gen import Qm9GenTask
from rapidash.testing import check_task

SHARED_DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


def figures_of(task: Qm9GenTask, clouds: CloudDataset) -> dict[str, float | None]:
    return {figure.name: figure.value for figure in task.figures(clouds)}


@pytest.mark.parametrize("condition", ["none", "rotational-constant"])
def test_qm9_gen_keeps_the_promises_of_tasks(qm9_folder: Path, condition: str) -> None:
    models = (tiny("E(3)", "R3xS2", 6), tiny("T(3)", "R3"), tiny("E(3)", "R3"))
    variants = [Variant(f"variant {place}", model) for place, model in enumerate(models)]
    check_task(qm9(qm9_folder, condition=condition), variants[: 3 if condition == "none" else 1])


def test_every_variant_of_the_study_builds_and_says_what_samples_are_like(qm9_folder: Path) -> None:
    said = {
        "E(3) on R3xS2": "no handedness can be learned",
        "SE(3) on R3xS2": "left and right may differ",
        "T(3) on R3xS2": "poses and left and right are those that the network has learned",
        "T(3) on R3": "poses and left and right are those that the network has learned",
        "T(3) on R3, one pose": "samples turned at random: every pose is as likely",
        "T(3) on R3 + rotations, turned": "states are turned at random in sampling: every pose is as likely",
    }
    for full in (False, True):
        design = get_design("qm9-gen", full=full)
        task = qm9(qm9_folder, **design.task_options)
        names = [variant.name for variant in design.variants]
        assert len(set(names)) == len(names) == (12 if full else 7)
        assert all(variant.neighbor in (None, *names) for variant in design.variants)
        for variant in design.variants:
            small = replace(variant, model=replace(variant.model, channels=8, num_layers=1))
            build_model(task, small)
            assert said.get(variant.name, "") in task.ledger(small).reasons[-1]


def test_elements_are_scalars_that_decode(qm9_folder: Path) -> None:
    task = qm9(qm9_folder, type_spread=0.25)
    train, constants = task.clouds("train"), task.constants()
    states = task.states(train, constants)
    z = train.tensors["z"]
    share = float((z == 1).double().mean())
    assert float(constants[1]) == pytest.approx(share)  # p of hydrogen
    assert float(states[:, 3:].square().mean().sqrt()) == pytest.approx(0.25)
    assert float(states[:, 3:].mean(0).abs().max()) < 1e-12
    own = [float((z == number).double().mean()) for number in (1, 6, 7, 8)]
    spread = math.sqrt(sum(p * (1 - p) for p in own) / 4)
    assert float(states[z == 1, 3].mean()) == pytest.approx(0.25 * (1 - share) / spread)
    noisy = states[:, 3:] + 0.05 * torch.randn(states[:, 3:].shape, generator=seeded("types"), dtype=torch.float64)
    samples = CloudDataset({"pos": train.tensors["pos"], "features": noisy}, {
        "pos": train.fields["pos"], "features": train.fields["z"],
    }, train.num_points)  # fmt: skip
    assert torch.equal(task.decoded(samples, constants).tensors["z"], z)


def test_the_network_sees_elements_level_and_condition(qm9_folder: Path) -> None:
    task = qm9(qm9_folder, condition="rotational-constant")
    model, batch = small_model(task, PLAIN), task.dataset("val").batch(torch.arange(8))
    with torch.no_grad():
        plain = model(batch)
        for name in ("features", "level", "condition", "pos"):
            changed = model(batch.with_tensor(name, batch[name] * 1.1, batch.fields[name])) - plain
            assert float(changed[:, :3].abs().max()) > 1e-4, name
            assert float(changed[:, 3:].abs().max()) > 1e-4, name


def test_the_law_of_sizes_by_hand() -> None:
    law = SizeLaw.of(torch.tensor([3, 3, 3, 5]), 6)
    assert law.counts.tolist() == [[0, 0, 0, 3, 0, 1, 0]]
    again = SizeLaw.from_numbers(law.numbers(), 6)
    drawn = torch.tensor([again.draw(0, index)[0] for index in range(2000)])
    assert {*drawn.tolist()} == {3, 5}
    assert float((drawn == 3).double().mean()) == pytest.approx(0.75, abs=3 * 0.43 / math.sqrt(2000))
    condition = torch.arange(100).double()
    sizes = torch.where(condition < 50, 3, 5)
    given = SizeLaw.from_numbers(SizeLaw.of(sizes, 6, condition).numbers(), 6)
    assert [given.draw(0, 7, value)[0] for value in (2.0, 97.0, -40.0, 400.0)] == [3, 5, 3, 5]
    drawn_conditions = torch.tensor([given.draw(0, index)[1] for index in range(500)])
    assert float(drawn_conditions.mean()) == pytest.approx(49.5, abs=3 * 28.6 / math.sqrt(500))
    assert len(drawn_conditions.unique()) == 500  # anywhere within the parts
    assert float(drawn_conditions.max()) > 97
    count, own = given.draw(0, 3)
    assert count == (3 if own < 50 else 5)
    both = {given.draw(0, index, math.nan)[0] for index in range(50)}
    assert both == {3, 5}
    with pytest.raises(ValueError, match="not calibrated"):
        SizeLaw.from_numbers(torch.zeros(9), 6)
    with pytest.raises(ValueError, match="more than 4"):
        SizeLaw.of(torch.tensor([5]), 4)


def test_samples_of_a_saved_model_need_no_data(qm9_folder: Path) -> None:
    model = small_model(qm9(qm9_folder), PLAIN)
    elsewhere = qm9(qm9_folder / "nowhere")
    many, few = (sample_clouds(model, elsewhere, num, sampler=FAST) for num in (70, 5))
    assert {*many.num_points.tolist()} <= {3, 4, 5, 6}
    assert len({*many.num_points.tolist()}) > 2
    assert {*many.tensors["z"].tolist()} <= {1, 6, 7, 8}
    assert torch.equal(few.tensors["pos"], many.tensors["pos"][: len(few.tensors["pos"])])
    asked = sample_clouds(model, elsewhere, 3, sampler=FAST, num_points=torch.tensor([9, 2, 4]))
    assert asked.num_points.tolist() == [9, 2, 4]  # sizes that no molecule of the training data has
    with pytest.raises(ValueError, match="at least 2"):
        sample_clouds(model, elsewhere, 1, num_points=torch.tensor([1]))
    with pytest.raises(ValueError, match="shape"):
        sample_clouds(model, elsewhere, 2, num_points=torch.tensor([3]))


def test_largest_molecules(qm9_folder: Path) -> None:
    assert [int(qm9(qm9_folder, max_atoms=size).clouds("train").num_points.max()) for size in (4, 13)] == [4, 6]
    assert len(qm9(qm9_folder, num_train=7).clouds("train")) == 7
    with np.load(qm9_folder / "qm9_geometry.npz") as found:
        arrays = dict(found)
    keep = arrays["n_atoms"] > 3
    atoms = np.repeat(keep, arrays["n_atoms"])
    np.savez(
        qm9_folder / "qm9_geometry.npz",
        **{name: array[atoms if name in ("z", "pos") else keep] for name, array in arrays.items()},
    )
    for split in ("train", "val"):
        with pytest.raises(ValueError, match=f"no {split} molecule has at most max_atoms=3 atoms"):
            qm9(qm9_folder, max_atoms=3).clouds(split)


def test_lost_molecules_make_every_share_worse(qm9_folder: Path) -> None:
    """A sampler that diverges must not raise its score by dropping molecules."""
    task = qm9(qm9_folder)
    good = task.clouds("train")
    first = torch.repeat_interleave(torch.arange(len(good)), good.num_points) < len(good) // 2
    lost = CloudDataset(
        {**good.tensors, "pos": good.tensors["pos"].masked_fill(first[:, None], torch.nan)},
        good.fields,
        good.num_points,
    )
    whole, half = figures_of(task, good), figures_of(task, lost)
    assert (whole["finite"], half["finite"]) == (100, 50)
    for name in ("stable (bond lookup)", "valid (classic)", "sound (perceived)", "connected (bond lookup)"):
        assert whole[name] > 90
        assert half[name] == pytest.approx(whole[name] / 2, abs=6)
    assert half["sound and unique (perceived)"] <= whole["sound and unique (perceived)"]
    nothing = figures_of(task, CloudDataset(
        {**good.tensors, "pos": torch.full_like(good.tensors["pos"], torch.nan)}, good.fields, good.num_points
    ))  # fmt: skip
    assert nothing["sound (perceived)"] == nothing["atom stable (bond lookup)"] == 0
    assert nothing["W1 of bond length C-H (bond lookup)"] is None


def test_shares_have_their_intervals(qm9_folder: Path) -> None:
    task = qm9(qm9_folder)
    sound = next(figure for figure in task.figures(task.clouds("test")) if figure.name == "sound (perceived)")
    assert (sound.value, sound.better) == (100, "higher")
    assert sound.high == pytest.approx(100)
    assert sound.low == pytest.approx(100 / (1 + 1.959964**2 / 10))  # Wilson's end for 10 of 10


def test_without_rdkit_figures_are_absent(qm9_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = qm9(qm9_folder)
    with_it = figures_of(task, task.clouds("test"))
    monkeypatch.setattr("rapidash.tasks.qm9_gen.find_spec", lambda name: None)
    without = figures_of(task, task.clouds("test"))
    assert {*with_it} == {*without}
    absent = {name for name in without if without[name] is None and with_it[name] is not None}
    assert {"sound (perceived)", "valid (classic)", "sound (lookup)", "novel of unique (perceived)"} <= absent
    assert without["stable (bond lookup)"] == with_it["stable (bond lookup)"]
    assert importlib.util.find_spec("rdkit") is not None


def test_conditions_are_asked_for_and_computed(qm9_folder: Path) -> None:
    task = qm9(qm9_folder, condition="rotational-constant")
    model = small_model(task, PLAIN)
    drawn = sample_clouds(model, task, 64, sampler=FAST).tensors["condition"][:, 0]
    assert 1.0 <= float(drawn.min()) < float(drawn.max()) <= 2.0
    asked = sample_clouds(model, task, 4, sampler=FAST, guidance=0.5, condition=torch.full((4, 1), 1.5))
    assert asked.tensors["condition"].tolist() == [[1.5]] * 4
    found = figures_of(task, asked)
    made = torch.from_numpy(rotational_constants(asked)[:, 1])
    middle = float((100 * (made - 1.5).abs() / 1.5).sort().values[1])  # the lower of the two in the middle
    assert found["median difference from the rotational constant asked for"] == pytest.approx(middle, rel=1e-5)
    bare = sample_clouds(model, task, 4, sampler=FAST, condition=torch.full((4, 1), 1.5))
    again = sample_clouds(model, task, 4, sampler=FAST, condition=torch.full((4, 1), 1.5), guidance=0.0)
    assert torch.equal(bare.tensors["pos"], again.tensors["pos"])
    assert not torch.equal(bare.tensors["pos"], asked.tensors["pos"])


def test_rotational_constants_by_hand(by_hand_methane: CloudDataset) -> None:
    """I = (8 / 3) m r^2 for the four hydrogens of methane; h / (8 pi^2) = 505.379 GHz u angstrom^2."""
    expected = 505.379005 / (8 / 3 * 1.00782503 * 1.09**2)
    assert rotational_constants(by_hand_methane) == pytest.approx(expected)


@pytest.fixture
def by_hand_methane(qm9_folder: Path) -> CloudDataset:
    clouds = qm9(qm9_folder).clouds("train")
    one = clouds.subset(torch.nonzero(clouds.num_points == 5).flatten()[:1])
    h = 1.09 / 3**0.5
    pos = torch.tensor([(0, 0, 0), (h, h, h), (h, -h, -h), (-h, h, -h), (-h, -h, h)], dtype=torch.float64)
    return CloudDataset({**one.tensors, "pos": pos}, one.fields, one.num_points)


def test_rotational_constants_are_those_of_the_file() -> None:
    """Another route to the same numbers: the file has them from the authors of the data."""
    if not (SHARED_DATA / "qm9_geometry.npz").is_file():
        pytest.skip(f"no QM9 at {SHARED_DATA}")
    clouds = Qm9GenTask(data_dir=str(SHARED_DATA), condition="rotational-constant", max_atoms=12).clouds("test")
    found = torch.from_numpy(rotational_constants(clouds)[:, 1])
    torch.testing.assert_close(found, clouds.tensors["condition"][:, 0].double(), rtol=3e-4, atol=0)
    assert 100 * stability(clouds).atoms.mean() > 95


def test_samples_are_measured_and_some_are_kept_to_be_drawn(qm9_folder: Path) -> None:
    task = qm9(qm9_folder)
    found = measured(task, PLAIN, "samples")
    figures = {one.name: one.value for one in found if isinstance(one, Measurement)}
    assert figures[FLOOR + "sound (perceived)"] == 100
    assert 0 <= figures[SAMPLES + "atom stable (bond lookup)"] < 100
    scenes = {one.name: one for one in found if isinstance(one, Scene)}
    assert [len(scene.clouds) for scene in scenes.values()] == [6, 6]
    for cloud in scenes["training data"].clouds:
        assert len(cloud.points) == len(cloud.elements)
        assert len(cloud.bonds) == len(cloud.points) - 1  # the molecules have no rings
        assert all(torch.tensor(cloud.points).mean(0).abs() < 1e-3)


def test_controls_say_what_classic_figures_cannot_see(qm9_folder: Path) -> None:
    figures = {one.name: one.value for one in measured(qm9(qm9_folder), PLAIN, "figure-controls")}
    assert figures["control: real molecules | sound (perceived)"] == 100
    assert figures["control: one hydrogen deleted | valid (classic)"] == 100
    assert figures["control: one hydrogen deleted | sound (perceived)"] == 0
    assert figures["control: two molecules 20 angstrom apart | valid (classic)"] == 100


def test_bad_options_are_told(qm9_folder: Path) -> None:
    for option, value, said in (
        ("max_atoms", 30, "max_atoms must be from 3 to 29"),
        ("type_spread", 0.0, "type_spread must be positive"),
        ("condition", "gap", "condition must be one of"),
        ("solver", "euler", "solver must be one of"),
        ("source", "mp2", "source must be one of"),
        ("num_samples", 0, "num_samples at least 1"),
        ("sampling_steps", 1, "steps must be at least 2"),
    ):
        with pytest.raises(ValueError, match=said):
            qm9(qm9_folder, **{option: value})
    assert qm9(qm9_folder, solver="released").sampler == HeunSampler.released()
    assert qm9(qm9_folder, solver="heun-without-noise").sampler.churn == 0
    bad = qm9(qm9_folder)
    alone = CloudDataset({"pos": torch.zeros(1, 3)}, {"pos": bad.clouds("train").fields["pos"]}, torch.tensor([1]))
    assert is_finite(alone).tolist() == [True]
    with pytest.raises(ValueError, match="at least 2 for each"):
        Asked(num_points=torch.tensor([1]))
    with np.load(qm9_folder / "qm9_geometry.npz") as found:
        arrays = dict(found)
    arrays["z"][-5] = 9
    np.savez(qm9_folder / "qm9_geometry.npz", **arrays)
    with pytest.raises(ValueError, match=r"with source='geometry' has no elements \[9\]"):
        [qm9(qm9_folder, max_atoms=12).clouds(split) for split in ("train", "val", "test")]


def test_differences_from_what_was_asked_of_another_sample(qm9_folder: Path) -> None:
    """Each is relative to what was asked of that other one."""
    task = qm9(qm9_folder, condition="rotational-constant")
    clouds = task.clouds("train").subset(torch.arange(3))
    asked = torch.tensor([[50.0], [200.0], [1000.0]])
    given = CloudDataset({**clouds.tensors, "condition": asked}, clouds.fields, clouds.num_points)
    made = torch.from_numpy(rotational_constants(given)[:, 1])
    other = torch.tensor([1000.0, 50.0, 200.0]).double()
    expected = float((100 * (made - other).abs() / other).median())
    found = figures_of(task, given)["median difference from the rotational constant asked of another sample"]
    assert found == pytest.approx(expected, rel=1e-5)
