"""ModelNet10, ModelNet40 and ScanObjectNN as tasks, on tiny files; what they share with `shapes` is tested there."""

import pytest
import torch
from data_files import write_modelnet10, write_modelnet40, write_scanobjectnn
from task_checks import check_gradients, first_clouds, small

from rapidash.study import get_design
from rapidash.tasks import get_task

WRITERS = {"modelnet40": write_modelnet40, "scanobjectnn": write_scanobjectnn}
NUM_CLASSES = {"modelnet40": 40, "scanobjectnn": 15}


@pytest.mark.parametrize("name", WRITERS)
def test_logits_and_splits(name: str, tmp_path) -> None:
    WRITERS[name](tmp_path)
    task = get_task(name, num_points=36, data_dir=str(tmp_path))
    assert {split: len(task.dataset(split)) for split in ("train", "val", "test")} == {
        "train": 18,
        "val": 2,
        "test": 20,
    }
    variant = small(get_design(name).variants[0])
    batch = first_clouds(task, 3, split="test")
    assert task.build(variant).double()(batch).shape == (3, NUM_CLASSES[name])
    check_gradients(task, variant, batch)
    rotated = get_task(name, num_points=36, data_dir=str(tmp_path), pose="rotated").dataset("test")
    assert (rotated.tensors["pos"] - task.dataset("test").tensors["pos"]).abs().max() > 0.1


def test_another_perturbation_and_unknown_ones(tmp_path) -> None:
    write_scanobjectnn(tmp_path)
    with pytest.raises(FileNotFoundError, match="main_split_nobg"):
        get_task("scanobjectnn", num_points=8, background=False, data_dir=str(tmp_path)).dataset("train")
    with pytest.raises(ValueError, match="did you mean 'augmented25rot'"):
        get_task("scanobjectnn", scans="augmented25rt")
    with pytest.raises(ValueError, match="num_points must be in 1 to 2048"):
        get_task("scanobjectnn", num_points=4096)


def test_parts_do_not_depend_on_the_run(tmp_path) -> None:
    write_modelnet40(tmp_path)
    part = get_task("modelnet40", num_points=36, num_train=5, data_dir=str(tmp_path)).dataset("train")
    again = get_task("modelnet40", num_points=36, num_train=5, data_dir=str(tmp_path)).dataset("train")
    assert len(part) == 5
    assert torch.equal(part.tensors["pos"], again.tensors["pos"])


def test_protocols_of_modelnet10_turn_training_and_test_data_as_named(tmp_path) -> None:
    write_modelnet10(tmp_path)
    options = {"num_points": 36, "data_dir": str(tmp_path), "verify": False}

    def clouds(split: str, protocol: str) -> torch.Tensor:
        return get_task("modelnet10", protocol=protocol, **options).dataset(split).tensors["pos"].reshape(-1, 36, 3)

    for split in ("train", "val", "test"):
        posed = clouds(split, "as posed")
        for protocol in ("z/z", "z/SO(3)", "SO(3)/SO(3)"):
            turned, group = clouds(split, protocol), protocol.split("/")[split == "test"]
            torch.testing.assert_close(turned.norm(dim=-1), posed.norm(dim=-1))  # about the centroid
            moved = (turned - posed).abs().amax(dim=1)
            assert (moved[:, :2] > 1e-3).all()
            assert (moved[:, 2] < 1e-6).all() if group == "z" else (moved[:, 2] > 1e-3).all()
    assert torch.equal(clouds("train", "z/z"), clouds("train", "z/SO(3)"))
    assert get_task("modelnet10", **options).class_names() == tuple(f"class{k}" for k in range(10))


def test_unknown_protocols_of_modelnet10() -> None:
    with pytest.raises(ValueError, match=r"unknown protocol: 'z/so\(3\)'.*did you mean 'z/SO\(3\)'"):
        get_task("modelnet10", protocol="z/so(3)")
    with pytest.raises(ValueError, match="leave pose at 'aligned'"):
        get_task("modelnet10", protocol="z/z", pose="rotated")
