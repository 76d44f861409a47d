"""Shared settings: seeds, a hypothesis profile, shapes checked where asked for, foreground signals, shared data."""

import os
import random
import signal
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path

import jaxtyping
import pytest
import torch
from hypothesis import HealthCheck, settings

CHECKS_SHAPES = bool(os.environ.get("RAPIDASH_CHECK_SHAPES"))

settings.register_profile(
    "rapidash",
    deadline=None,
    max_examples=20,
    derandomize=not CHECKS_SHAPES,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("rapidash")

if CHECKS_SHAPES:  # before any import of the package: `make nightly` sets it
    from tests._checked_shapes import check_shapes

    check_shapes()
    started = [str(Path(__file__).parent / "_checked_subprocesses"), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, started))  # the processes that tests start, too

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(autouse=True)
def _seed_of_the_test(request: pytest.FixtureRequest) -> None:
    """Each test draws the same numbers whatever ran before it in its process; the nightly run draws others."""
    seed = int.from_bytes(os.urandom(4)) if CHECKS_SHAPES else zlib.crc32(request.node.nodeid.encode())
    torch.manual_seed(seed)
    random.seed(seed)
    request.node.add_report_section("setup", "seed", f"random numbers from seed {seed}")


@pytest.fixture(scope="session", autouse=True)
def _signals_of_the_foreground() -> Iterator[None]:
    """A shell ignores SIGINT for what it starts in the background, and nohup SIGHUP; so would all that tests start."""
    handlers = {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGTERM: signal.SIG_DFL,
        signal.SIGHUP: signal.SIG_DFL,
    }
    before = {number: signal.getsignal(number) for number in handlers}
    for number, handler in handlers.items():
        if before[number] is signal.SIG_IGN:
            signal.signal(number, handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def reference_dir() -> Path:
    """Weights and outputs of the released network; tests that need them are skipped where they are absent."""
    path = SHARED / "reference"
    if not path.is_dir():
        pytest.skip(f"no reference cases at {path}")
    return path


@pytest.fixture
def shape_checks_off() -> Iterator[None]:
    """Error messages are tested without run-time shape checks, which would fire first."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", before)


@pytest.fixture
def unwrapped() -> None:
    """The functions as they are written: a compiler cannot read the checks around them."""
    if CHECKS_SHAPES:
        pytest.skip("shapes are checked")


@pytest.fixture
def toy_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The toy plugin, an empty working directory, and warnings as they were."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "study"))
    monkeypatch.setenv("RAPIDASH_PLUGINS", "toy_plugin")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
