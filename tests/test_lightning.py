"""The page on loops of one's own with the real Lightning, where it is installed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_docs import DOCS, python_of

WANTED = "lightning is not installed: pip install lightning"


def test_the_page_runs_with_lightning(tmp_path: Path) -> None:
    """Its plain loop, PyTorch Geometric and Lightning, one after the other; the trainer runs two epochs."""
    pytest.importorskip("lightning", reason=WANTED)
    code = python_of((DOCS / "your_loop.rst").read_text(encoding="utf-8"))
    code += "\nassert trainer.current_epoch == 2 and trainer.global_step == 6\n"
    code += "assert trainer.callback_metrics['train_loss'] < 100 * losses[0]\n"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", "-c", code]  # its own warnings are not ours
    ended = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=tmp_path, env=environment)
    assert ended.returncode == 0, ended.stderr


TASK = """
import lightning, torch
from torch.utils.data import DataLoader, random_split
from rapidash.data import collate
from rapidash.datasets import solids_dataset
from rapidash.models import RapidashConfig
from rapidash.tasks import FieldNetwork

class Lit(lightning.LightningModule):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def training_step(self, batch, index):
        loss = torch.nn.functional.cross_entropy(self.model(batch), batch["label"])
        losses.append(loss.item())
        return loss

    def validation_step(self, batch, index):
        hits = (self.model(batch).argmax(dim=1) == batch["label"]).float().mean()
        self.log("hits", hits, batch_size=batch.num_clouds)

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=5e-3)

losses = []
torch.manual_seed(0)
data = solids_dataset("train", size=120, num_points=24)
first, second = random_split(data, [90, 30], torch.Generator().manual_seed(0))
loaders = [DataLoader(part, batch_size=15, collate_fn=collate, num_workers=2) for part in (first, second)]
config = RapidashConfig(space="R3", channels=8, num_layers=1, basis_dim=8, basis_hidden_dim=8, edges="knn-6")
model = FieldNetwork(config, data, target="label")
model.calibrate(next(iter(loaders[0])))
options = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
trainer = lightning.Trainer(max_epochs=4, **options)
trainer.fit(Lit(model), *loaders)
assert len(losses) == trainer.global_step == 24 and "hits" in trainer.callback_metrics
assert sum(losses[-6:]) < sum(losses[:6]), losses  # of the last epoch and the first
"""


def test_a_network_of_fields_trains_with_lightning_and_workers(tmp_path: Path) -> None:
    pytest.importorskip("lightning", reason=WANTED)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", "-c", TASK]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=tmp_path, env=environment)
    assert ended.returncode == 0, ended.stderr
