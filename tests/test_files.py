"""Files are whole or absent."""

import os
from pathlib import Path

import pytest

from rapidash._files import atomic_write


def test_text_and_bytes_arrive_and_nothing_else_stays(tmp_path: Path) -> None:
    atomic_write(tmp_path / "a" / "text", "π")
    atomic_write(tmp_path / "a" / "bytes", b"\x00\xff")
    assert (tmp_path / "a" / "text").read_text(encoding="utf-8") == "π"
    assert (tmp_path / "a" / "bytes").read_bytes() == b"\x00\xff"
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["bytes", "text"]


def test_the_file_that_was_there_becomes_the_backup(tmp_path: Path) -> None:
    path, backup = tmp_path / "file", tmp_path / "old"
    for text in ("one", "two", "three"):
        atomic_write(path, text, backup=backup)
    assert (path.read_text(), backup.read_text()) == ("three", "two")


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_a_failure_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    path = tmp_path / "file"
    atomic_write(path, "old")

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, function, full)
        with pytest.raises(OSError, match=r"could not write .*file: No space left"):
            atomic_write(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_is_as_readable_as_an_ordinary_one(tmp_path: Path) -> None:
    atomic_write(tmp_path / "ours", "x")
    (tmp_path / "ordinary").write_text("x")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "ordinary").stat().st_mode
