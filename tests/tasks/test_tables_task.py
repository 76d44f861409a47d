"""Tables: columns prepared by hand, and a study of rows that goes the way of clouds."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from rapidash.data import RowDataset
from rapidash.methods import Variant, build_model
from rapidash.models import Interface, MLPConfig, RapidashConfig, cloud_network
from rapidash.registry import DESIGNS
from rapidash.study import get_design, run_one
from rapidash.tasks import get_task
from rapidash.tasks.tables import _scales


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A table of two columns, a number with a missing value and a category, and three classes; fold 0 is the test."""
    fold = np.array([0, 1, 2, 2, 3, 4], dtype=np.int8)
    x = np.array([[7.0, 1], [100, 0], [1, 0], [3, 2], [5, 1], [0, 1]], dtype=np.float32)
    observed = np.array([[1, 1], [1, 1], [1, 1], [1, 1], [1, 1], [0, 1]], dtype=bool)
    arrays = {
        "x": x,
        "observed": observed,
        "n_categories": np.array([0, 3], dtype=np.int16),
        "feature": np.array(["size", "color"]),
        "y": np.array([0, 1, 2, 0, 1, 2], dtype=np.int16),
        "class_name": np.array(["a", "b", "c"]),
        "fold": fold,
    }
    np.savez(tmp_path / "tabular_multiclass.npz", **{f"tiny/{name}": array for name, array in arrays.items()})
    _scales.cache_clear()
    return tmp_path


def test_columns_are_prepared_by_hand(folder: Path) -> None:
    """Training sizes 1, 3, 5 have mean 3 and deviation sqrt(8/3); the sixth row's size is missing: 0, and a flag."""
    task = get_task("tables", table="tiny", data_dir=str(folder), verify=False)
    train, test = task.dataset("train"), task.dataset("test")
    scale = (8 / 3) ** 0.5
    expected = [[-2 / scale, 1, 1, 0, 0], [0, 1, 0, 0, 1], [2 / scale, 1, 0, 1, 0], [0, 0, 0, 1, 0]]
    torch.testing.assert_close(train.tensors["x"], torch.tensor(expected, dtype=torch.float64))
    torch.testing.assert_close(test.tensors["x"], torch.tensor([[4 / scale, 1, 0, 1, 0]], dtype=torch.float64))
    assert isinstance(train, RowDataset)
    assert train.tensors["label"].tolist() == [2, 0, 1, 2]


def test_loss_and_errors_by_hand(folder: Path) -> None:
    task = get_task("tables", table="tiny", data_dir=str(folder), verify=False)
    batch = task.dataset("train").batch(torch.arange(2))
    logits = torch.tensor([[0.0, 1.0, 3.0], [0.0, 1.0, 3.0]])
    assert task.errors(logits, batch).tolist() == [0, 100]
    expected = cross_entropy(logits, torch.tensor([2, 0]))
    torch.testing.assert_close(task.loss(logits, batch), expected)
    assert task.ledger(Variant("a", MLPConfig())).effective.name == "trivial"


def test_a_study_of_rows_has_records_without_motions(folder: Path, tmp_path: Path) -> None:
    from dataclasses import replace

    design = get_design("tables")
    options = {"table": "tiny", "data_dir": str(folder), "verify": False}
    design = replace(design, task_options=options, train=replace(design.train, steps=4, warmup_steps=0, eval_every=2))
    for run in design.runs()[:3]:
        record = run_one(run, tmp_path / "out")
        assert record is not None
        assert record["status"] == "done", record["error"]
        assert record["test_error_rotated"] is None
        assert "equivariance" not in record
        assert record["test_error"] in (0.0, 100.0)
        card = (tmp_path / "out" / "work" / run.key / "model" / "README.md").read_text()
        assert "TrainedModel.from_pretrained" in card
        assert "rapidash predict" not in card  # which is for clouds of points


def test_networks_that_do_not_fit_are_named(folder: Path) -> None:
    task = get_task("tables", table="tiny", data_dir=str(folder), verify=False)
    with pytest.raises(ValueError, match="hidden_dim must be at least 1 and num_layers at least 0, got 0 and 2"):
        MLPConfig(hidden_dim=0)
    with pytest.raises(ValueError, match="an MLP has scalars in and out"):
        MLPConfig().build(Interface(in_vectors=1))
    with pytest.raises(ValueError, match="the network 'mlp' is not for clouds of points: it has no io, symmetry"):
        cloud_network(MLPConfig(), Interface(in_scalars=1))
    with pytest.raises(ValueError, match=r"symmetry E\(3\) acts on R\^3, but dim=0"):
        build_model(task, Variant("a", RapidashConfig()))
    with pytest.raises(ValueError, match=r"unknown table 'tini'.* has \['tiny'\]"):
        get_task("tables", table="tini", data_dir=str(folder), verify=False).dataset("train")


def test_real_tables(shared_data: Path) -> None:
    sizes = {"heart-disease": 920, "abide": 1035, "zoo": 101}
    for table, size in sizes.items():
        task = get_task("tables", table=table)
        parts = [task.dataset(split) for split in ("train", "val", "test")]
        assert sum(map(len, parts)) == size
        x = parts[0].tensors["x"]
        assert torch.isfinite(x).all()
        assert x.abs().max() < 50
        assert "tables" in DESIGNS
