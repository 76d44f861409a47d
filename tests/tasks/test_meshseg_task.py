import math

import pytest
import torch
from task_checks import check_gradients, check_ledger, few_steps, first_clouds, small

from rapidash.data import CloudBatch, Field
from rapidash.groups import E, Position, Scalar, T
from rapidash.study.designs.meshseg import make_design
from rapidash.tasks.meshseg import MeshsegTask

VARIANTS = {variant.name: small(variant) for variant in make_design(full=False).variants}
SIZES = {"num_points": 130, "num_train": 10, "num_val": 4, "num_test": 4}


def clouds(segments: list[list[list[int]]], label: list[int]) -> CloudBatch:
    """By cloud and person the segment of every point; the first person is the reference."""
    columns = torch.cat([torch.tensor(people).T for people in segments])
    tensors = {
        "pos": torch.randn(len(columns), 3, dtype=torch.float64),
        "segment": columns[:, 0],
        "segments": columns,
        "label": torch.tensor(label),
    }
    fields = {
        "pos": Field(Position()),
        "segment": Field(Scalar()),
        "segments": Field(Scalar()),
        "label": Field(Scalar(), "1", "cloud"),
    }
    sizes = torch.tensor([len(people[0]) for people in segments])
    return CloudBatch(tensors, fields, torch.arange(len(sizes)).repeat_interleave(sizes), len(sizes))


def logits_of(slots: list[int], num_slots: int = 4, sharpness: float = 20.0) -> torch.Tensor:
    return sharpness * torch.nn.functional.one_hot(torch.tensor(slots), num_slots).double()


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_are_as_symmetric_as_their_ledger(shared_data, name: str) -> None:
    task = MeshsegTask(**SIZES)
    batch = first_clouds(task, 2)
    check_ledger(task, VARIANTS[name], batch)
    check_gradients(task, VARIANTS[name], batch)
    broken = name.startswith("T(3)") or name.endswith("frame")
    assert task.ledger(VARIANTS[name]).effective == (T(3) if broken else E(3))


def test_splits(shared_data) -> None:
    sizes = {split: len(MeshsegTask(num_points=16).dataset(split)) for split in ("train", "val", "test")}
    assert sizes == {"train": 247, "val": 38, "test": 95}


def test_neither_numbers_of_segments_nor_of_slots_matter() -> None:
    task = MeshsegTask()
    batch = clouds([[[0, 0, 1, 1, 2]], [[5, 5, 5, 0, 0]]], [0, 1])
    right = logits_of([3, 3, 0, 0, 1, 1, 1, 1, 2, 2])
    assert float(task.loss(right, batch)) == pytest.approx(0, abs=1e-6)
    assert task.errors(right, batch).tolist() == [0, 0]
    assert task.details(right, batch)["matched mIoU (%)"].tolist() == [100, 100]
    wrong = logits_of([3, 0, 0, 0, 1, 1, 1, 1, 2, 1])
    assert float(task.loss(wrong, batch)) > 1
    assert (task.errors(wrong, batch) > 0).all()


def test_errors_average_over_the_people_who_segmented_the_shape() -> None:
    task = MeshsegTask()
    apart, together, absent = [0, 0, 1, 1], [0, 0, 0, 0], [-1, -1, -1, -1]
    batch = clouds([[apart, together, absent], [apart, absent, absent]], [0, 0])
    errors = task.errors(logits_of([0, 0, 1, 1] * 2), batch)
    # against one segment, 4 of the 6 pairs are in dispute; the second person says nothing of the second shape
    assert errors.tolist() == pytest.approx([100 * (0 + 4 / 6) / 2, 0])


def test_with_fewer_slots_than_segments_the_large_segments_are_learned() -> None:
    task = MeshsegTask(num_segments=2)
    batch = clouds([[[0, 0, 0, 4, 4, 4, 7]], [[1, 1, 1, 1, 1, 1, 1]]], [0, 0])
    logits = logits_of([0, 0, 0, 1, 1, 1, 0] + [1] * 7, num_slots=2)
    assert float(task.loss(logits, batch)) == pytest.approx(0, abs=1e-6)  # the point of segment 7 is left out
    uniform = torch.zeros(14, 2, dtype=torch.float64)
    assert float(task.loss(uniform, batch)) == pytest.approx(math.log(2))


def test_a_few_steps_of_training_lower_the_loss(shared_data, tmp_path) -> None:
    rows = few_steps(MeshsegTask(**SIZES), VARIANTS["T(3) on R3"], tmp_path, steps=6, num_clouds=4)
    assert rows[-1]["train_loss"] < rows[0]["train_loss"]
    assert 0 < rows[-1]["val/matched mIoU (%)"] < 100


def test_wrong_options_teach(tmp_path) -> None:
    for options, message in (
        ({"num_points": 4096}, "num_points must be in 1 to 2048, got 4096"),
        ({"num_segments": 1}, "num_segments must be at least 2"),
        ({"num_train": 0}, "must be at least 1"),
    ):
        with pytest.raises(ValueError, match=message):
            MeshsegTask(**options)
    with pytest.raises(FileNotFoundError, match="mesh segmentations"):
        MeshsegTask(data_dir=str(tmp_path)).dataset("train")
