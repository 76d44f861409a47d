"""What is called "before training" is measured on the network as its training starts: calibrated on its first data."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import toy_plugin
from torch import nn

from rapidash.data import CloudBatch
from rapidash.study import run_one
from rapidash.study._build import calibrated, fresh_model


class Awakened(toy_plugin.Components):
    """x + W [x, v] whose W is 0, which is equivariant, until a calibration."""

    def __init__(self) -> None:
        super().__init__()
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)
        self.seen: list[int] = []

    def calibrate(self, batch: CloudBatch) -> None:
        self.seen.append(batch.num_clouds)
        with torch.no_grad():
            self.linear.weight.copy_(batch.pos.std() * torch.ones(3, 6))


def test_the_error_before_training_is_that_of_the_calibrated_network(tmp_path: Path, run, monkeypatch) -> None:
    monkeypatch.setitem(toy_plugin.MODELS, "awakened", Awakened)
    config = replace(run("components"), variant=toy_plugin.variant("awakened"))
    record = run_one(config, tmp_path)
    assert record["status"] == "done", record["error"]
    before = record["equivariance"]["before"]
    assert before["mean"] > 0.1  # 0 without calibration
    plain = run_one(run("components"), tmp_path)
    assert before["mean"] != pytest.approx(plain["equivariance"]["before"]["mean"])


def test_a_copy_is_calibrated_once_on_the_first_batch(run, monkeypatch) -> None:
    monkeypatch.setitem(toy_plugin.MODELS, "awakened", Awakened)
    config = replace(run("components"), variant=toy_plugin.variant("awakened"))
    task = toy_plugin.make_task()
    fresh = fresh_model(task, config)
    twin = calibrated(fresh, task.dataset("train"), config)
    assert (fresh.seen, twin.seen) == ([], [config.train.batch_size])
    assert not fresh.linear.weight.any()
    first = task.dataset("train").batch(torch.arange(5)).to(dtype=torch.float32)
    torch.testing.assert_close(twin.linear.weight.detach(), first.pos.std() * torch.ones(3, 6))
    few = calibrated(fresh, task.dataset("train").subset(torch.arange(3)), config)
    assert few.seen == [3]
    plain = fresh_model(task, run("components"))
    assert torch.equal(calibrated(plain, task.dataset("train"), config).linear.weight, plain.linear.weight)
