"""Shared settings: one hypothesis profile, and where the shared data and reference cases are."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("rapidash", deadline=None, max_examples=20, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("rapidash")

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def reference_dir() -> Path:
    """Weights and outputs of the released network; tests that need them are skipped where they are absent."""
    path = SHARED / "reference"
    if not path.is_dir():
        pytest.skip(f"no reference cases at {path}")
    return path
