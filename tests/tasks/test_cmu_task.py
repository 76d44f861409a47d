from dataclasses import replace

import pytest
import torch
from task_checks import calibrated, check_gradients, check_ledger, few_steps, first_clouds, movement, small

from rapidash.datasets import cmu_dataset
from rapidash.groups import SO2, parse_group
from rapidash.methods import Variant, evaluate
from rapidash.models import RapidashConfig
from rapidash.report import measure_run
from rapidash.study import RunConfig, load_run
from rapidash.study._weights import save_weights
from rapidash.study.designs.cmu import make_design
from rapidash.tasks.cmu import CmuNetwork, CmuTask
from rapidash.train import TrainConfig

VARIANTS = {variant.name: small(variant) for variant in make_design(full=False).variants}


def test_the_metric_is_that_of_the_field(shared_data) -> None:
    """Constant velocity and no motion on the test samples, as published with the data: 2.60 and 12.9, times 100."""
    task = CmuTask()
    batch = first_clouds(task, len(task.dataset("test")), "test")
    moving = batch.pos + 30 * batch["vel"]
    assert float(task.errors(moving, batch).mean()) == pytest.approx(260, rel=2e-3)
    assert float(task.errors(batch.pos, batch).mean()) == pytest.approx(1290, rel=5e-3)
    assert task.errors(moving, batch).shape == (600,)
    torch.testing.assert_close(100 * task.loss(moving, batch), task.errors(moving, batch).mean())


def test_sizes_of_the_published_splits_and_of_parts(shared_data) -> None:
    assert [len(CmuTask().dataset(split)) for split in ("train", "val", "test")] == [198, 600, 600]
    run = CmuTask(motion="run", num_val=30)
    assert [len(run.dataset(split)) for split in ("train", "val", "test")] == [200, 30, 240]
    assert (CmuTask().horizon, CmuTask(motion="walk-subjects").horizon) == (30, 15)


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_are_as_symmetric_as_their_ledger(shared_data, name: str) -> None:
    task = CmuTask()
    batch = first_clouds(task, 2)
    check_ledger(task, VARIANTS[name], batch)
    check_gradients(task, VARIANTS[name], batch)


@pytest.mark.parametrize("name", ["SO2(y) on R3 + height", "E(3) on R3xS2", "EGNN"])
def test_without_joints_their_numbers_do_not_enter(shared_data, name: str) -> None:
    task = CmuTask(uses_joints=False)
    batch = first_clouds(task, 2)
    check_ledger(task, VARIANTS[name], batch)
    renamed = batch.with_tensor("joint", batch["joint"].flip(0))
    without, with_joints = (calibrated(kind, VARIANTS[name], batch) for kind in (task, CmuTask()))
    assert torch.equal(without(batch), without(renamed))
    assert not torch.allclose(with_joints(batch), with_joints(renamed))
    assert not any("codes" in parameter for parameter, _ in without.named_parameters())


def test_effective_symmetries() -> None:
    task = CmuTask()
    effective = {name: task.ledger(variant).effective for name, variant in VARIANTS.items()}
    assert effective["SO2(y) on R3 + height"] == parse_group("O2(y), translations across y only", 3)
    assert effective["E(3) on R3xS2 + vertical"] == parse_group("O2(y)", 3)
    assert effective["SO2(y) on R3"] == parse_group("O2(y)", 3)
    assert effective["T(3) on R3"] == parse_group("T(3)", 3)
    assert effective["E(3) on R3"] == effective["EGNN"] == parse_group("E(3)", 3)


def test_the_height_is_that_of_the_moved_person(shared_data) -> None:
    """Not a field that stays behind when the data are turned: a network with height sees rotated test data as such."""
    task, variant = CmuTask(num_test=6), VARIANTS["SO2(y) on R3 + height"]
    batch = first_clouds(task, 2)
    torch.manual_seed(0)
    model = task.build(variant).double()
    lifted = parse_group("T(3)", 3).identity()
    lifted[1, 3] = 5.0
    assert movement(model, task, batch, lifted) > 1e-6
    lifted[1, 3], lifted[0, 3] = 0.0, 5.0
    assert movement(model, task, batch, lifted) < 1e-9
    assert "height" not in batch.tensors


def test_rotating_the_test_data_about_the_vertical_changes_nothing(shared_data) -> None:
    task = CmuTask(num_test=6)
    torch.manual_seed(0)
    model = task.build(VARIANTS["SO2(y) on R3"]).double()
    data = task.dataset("test")
    plain, turned = (evaluate(model, task, data, batch_size=4, rotate=g).mean for g in (None, SO2("y")))
    assert plain == pytest.approx(turned, rel=1e-6)  # the data are float32


def test_joints_are_told_apart(shared_data) -> None:
    task = CmuTask()
    batch = first_clouds(task, 1)
    torch.manual_seed(0)
    model = task.build(VARIANTS["E(3) on R3"]).double()
    swapped = batch.with_tensor("joint", batch["joint"].flip(0))
    assert not torch.allclose(model(batch), model(swapped))


@pytest.mark.parametrize("name", ["E(3) on R3", "SO2(y) on R3 + height"])
def test_a_few_steps_of_training_lower_the_loss(shared_data, tmp_path, name: str) -> None:
    rows = few_steps(CmuTask(num_val=12), VARIANTS[name], tmp_path, steps=8)
    assert rows[-1]["train_loss"] < rows[0]["train_loss"]
    assert [row["step"] for row in rows] == list(range(1, 9))


def test_mirror_images_are_people_with_left_and_right_exchanged(shared_data) -> None:
    plain, both = CmuTask().dataset("train"), CmuTask(mirror=True).dataset("train")
    assert len(both) == 2 * len(plain) == 396
    assert len(CmuTask(mirror=True, num_test=6).dataset("test")) == 6
    person, image = (both.batch(torch.tensor([index])) for index in (5, 5 + len(plain)))
    names = cmu_dataset("train").info["joints"]
    swapped = [{"l": "r", "r": "l"}.get(name[0], name[0]) + name[1:] for name in names]
    swapped = [new if new in names else old for old, new in zip(names, swapped, strict=True)]  # "root", "lowerback"
    assert [names[joint] for joint in image["joint"]] == swapped
    sign = torch.tensor([-1.0, 1.0, 1.0])
    for field in ("pos", "vel", "target"):
        torch.testing.assert_close(image[field], sign * person[field])
    # a person is nearly its own image: bones on the left are as long as on the right
    root, left, right = (person.pos[names.index(name)] for name in ("root", "lfemur", "rfemur"))
    assert torch.dist(root, left) == pytest.approx(float(torch.dist(root, right)), rel=0.05)


def test_an_equivariant_network_sees_only_the_exchange_of_joints_in_a_mirror_image(shared_data) -> None:
    task = CmuTask(mirror=True)
    data = task.dataset("train")
    person, image = (data.batch(torch.tensor([index])) for index in (0, 198))
    torch.manual_seed(0)
    model = task.build(VARIANTS["SO2(y) on R3"]).eval()
    renamed = person.with_tensor("joint", image["joint"])
    torch.testing.assert_close(model(image), model(renamed) * torch.tensor([-1.0, 1.0, 1.0]), rtol=1e-4, atol=1e-4)


def test_wrong_options_teach(tmp_path) -> None:
    with pytest.raises(ValueError, match="motion must be one of"):
        CmuTask(motion="jump")
    with pytest.raises(FileNotFoundError, match="CMU motion capture"):
        CmuTask(data_dir=str(tmp_path)).dataset("train")
    variant = VARIANTS["E(3) on R3"]
    with pytest.raises(ValueError, match=r"unknown input 'hight'.*did you mean 'height'"):
        CmuNetwork(replace(variant, inputs=("hight",)), 30)
    with pytest.raises(ValueError, match="constant vectors need orientations"):
        CmuNetwork(replace(variant, inputs=("global frame",)), 30)
    with pytest.raises(ValueError, match="need 3 dimensions"):
        CmuNetwork(Variant("flat", RapidashConfig(symmetry="E(2)", space="R2"), inputs=("height",)), 30)


@pytest.mark.parametrize("name", ["E(3) on R3xS2", "T(3) on R3"])
def test_the_symmetry_of_a_trained_model_is_measured(shared_data, tmp_path, name: str) -> None:
    """By group and by layer; the codes of the joints are looked up and turn with nothing."""
    task = CmuTask(num_train=22, num_val=12, num_test=12)
    variant = replace(VARIANTS[name], neighbor=None, knob="")
    train = TrainConfig(steps=1, batch_size=4, warmup_steps=1, eval_every=1)
    options = {"num_train": 22, "num_val": 12, "num_test": 12}
    save_weights(task.build(variant), RunConfig("cmu", variant, 0, train, 1.0, options), tmp_path)
    measured = measure_run(load_run(tmp_path), num_elements=2, num_clouds=2)
    layers = next(table for table in measured.tables if "layerwise" in str(table))
    assert "codes" in str(layers)
