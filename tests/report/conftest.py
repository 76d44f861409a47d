"""A study directory on disk."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from rapidash.registry import SECTIONS
from tests.report._studies import WriteStudy


@pytest.fixture
def write_study(tmp_path: Path) -> WriteStudy:
    """``write_study(records, design=None)`` writes a study directory and returns it."""

    def write(records: list[Mapping[str, Any]], design: Mapping[str, Any] | None = None) -> Path:
        directory = tmp_path / "nbody"
        (directory / "records").mkdir(parents=True, exist_ok=True)
        if design is not None:
            (directory / "study.json").write_text(json.dumps(design))
        for index, record in enumerate(records):
            (directory / "records" / f"{index:03d}.json").write_text(json.dumps(record))
        return directory

    return write


@pytest.fixture(autouse=True, scope="module")
def own_sections() -> Iterator[None]:
    """No section of the package under ``tests/growth``, whose folder pytest puts on the path of this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SECTIONS, "_entries", {name: SECTIONS._entries[name] for name in SECTIONS.own_names()})
        patch.setattr(SECTIONS, "_foreign", {})
        yield
