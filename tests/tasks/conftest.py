"""Where the shared data are; tests that need them are skipped where they are absent."""

from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.fixture
def shared_data(monkeypatch) -> Path:
    """The folder, which is also where the readers look."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no shared data at {SHARED_DATA}")
    monkeypatch.setenv("RAPIDASH_DATA", str(SHARED_DATA))
    return SHARED_DATA
