"""The toy plugin (see toy_plugin.py), in this process and in those that a test starts."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import toy_plugin

from rapidash.study import RunConfig, StudyDesign


@pytest.fixture(autouse=True)
def toy_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """The variants whose models were built so far, in any process of the test."""
    here = str(Path(__file__).parent)
    monkeypatch.setenv("RAPIDASH_PLUGINS", "toy_plugin")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")])))
    log = tmp_path / "built.txt"
    monkeypatch.setenv("TOY_LOG", str(log))
    return lambda: log.read_text().split() if log.exists() else []


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def design() -> StudyDesign:
    return toy_plugin.make_design()


@pytest.fixture
def run() -> Callable[..., RunConfig]:
    """The configuration of one short run of a kind of model."""

    def make(kind: str = "components", seed: int = 0, fraction: float = 1.0, **train: object) -> RunConfig:
        settings = replace(toy_plugin.make_design().train, **train)
        return RunConfig("toy", toy_plugin.variant(kind), seed, settings, fraction)

    return make
