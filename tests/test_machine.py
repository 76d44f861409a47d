"""The processor by its first entry, with or without the file of the system, and the folder of what is kept."""

from pathlib import Path

import pytest

from rapidash import _machine


def test_the_first_processor_is_described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text("processor\t: 0\nmodel name\t: One: a\nflags\t\t: fma\n\nprocessor\t: 1\nmodel name\t: Two\n")
    monkeypatch.setattr(_machine, "_CPUINFO", info)
    assert _machine.processor_facts() == {"processor": "0", "model name": "One: a", "flags": "fma"}
    assert _machine.processor_name() == "One: a"


def test_without_the_file_the_system_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_machine, "_CPUINFO", tmp_path / "missing")
    monkeypatch.setattr(_machine.platform, "processor", lambda: "")
    monkeypatch.setattr(_machine.platform, "machine", lambda: "riscv64")
    assert _machine.processor_facts() == {}
    assert _machine.processor_name() == "riscv64"


def test_the_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAPIDASH_CACHE", "/somewhere")
    assert _machine.cache_folder() == Path("/somewhere")
    assert _machine.cache_folder("/else") == Path("/else")
    monkeypatch.setenv("RAPIDASH_CACHE", "")
    monkeypatch.setenv("HOME", "/home/me")
    assert _machine.cache_folder() == Path("/home/me/.cache/rapidash")
