import errno
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from torch import Tensor

from rapidash.datasets._cache import cached_tensors

PARAMETERS = {"version": 1, "seed": 0}


class Build:
    """Counts how often it is called."""

    def __init__(self, value: float = 1.0) -> None:
        self.value, self.calls = value, 0

    def __call__(self) -> dict[str, Tensor]:
        self.calls += 1
        return {"x": torch.full((50, 3), self.value, dtype=torch.float64), "n": torch.arange(7)}


def assert_same(a: dict[str, Tensor], b: dict[str, Tensor]) -> None:
    assert a.keys() == b.keys()
    assert all(a[key].dtype == b[key].dtype and torch.equal(a[key], b[key]) for key in a)


def test_tensors_come_back_unchanged_and_are_built_once(tmp_path: Path) -> None:
    build = Build()
    first = cached_tensors("name", PARAMETERS, build, cache_dir=tmp_path / "new" / "folder")
    again = cached_tensors("name", PARAMETERS, build, cache_dir=tmp_path / "new" / "folder")
    assert_same(first, again)
    assert build.calls == 1


def test_other_parameters_are_another_file(tmp_path: Path) -> None:
    cached_tensors("name", PARAMETERS, Build(1.0), cache_dir=tmp_path)
    other = cached_tensors("name", {**PARAMETERS, "seed": 1}, Build(2.0), cache_dir=tmp_path)
    assert other["x"].unique().tolist() == [2.0]
    assert len(list(tmp_path.iterdir())) == 2


def flip_last_bit(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "cut in the header": lambda data: data[:40],
    "cut at the end": lambda data: data[:-8],
    "one bit flipped": flip_last_bit,
    "other parameters": lambda data: data.replace(b'\\"seed\\": 0', b'\\"seed\\": 7'),
    "not a cache": lambda data: b"<html>proxy error</html>",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_reported_and_replaced(damage: str, tmp_path: Path) -> None:
    expected = cached_tensors("name", PARAMETERS, Build(), cache_dir=tmp_path)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    path.write_bytes(DAMAGES[damage](whole))
    assert path.read_bytes() != whole
    with pytest.warns(RuntimeWarning, match="cannot use the cached file"):
        assert_same(cached_tensors("name", PARAMETERS, Build(), cache_dir=tmp_path), expected)
    unused = Build()
    assert_same(cached_tensors("name", PARAMETERS, unused, cache_dir=tmp_path), expected)
    assert unused.calls == 0


@pytest.mark.parametrize("function", ["replace", "fsync"])
def test_a_full_disk_costs_the_cache_only(function: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, function, full)
    with pytest.warns(RuntimeWarning, match=r"No space left on device.*going on without a cache.*RAPIDASH_CACHE"):
        tensors = cached_tensors("name", PARAMETERS, Build(), cache_dir=tmp_path)
    assert_same(tensors, Build()())
    assert list(tmp_path.iterdir()) == []  # and no half-written file


def test_a_folder_that_cannot_be_made_costs_the_cache_only(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.warns(RuntimeWarning, match="going on without a cache"):
        assert_same(cached_tensors("name", PARAMETERS, Build(), cache_dir=tmp_path / "file"), Build()())


def test_an_error_of_the_computation_leaves_no_file(tmp_path: Path) -> None:
    def build() -> dict[str, Tensor]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        cached_tensors("name", PARAMETERS, build, cache_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_writers_and_readers_at_the_same_time_see_whole_files(tmp_path: Path) -> None:
    expected = Build()()
    for round_ in range(20):
        with ThreadPoolExecutor(4) as pool:
            jobs = [
                pool.submit(cached_tensors, "name", {"round": round_}, Build(), cache_dir=tmp_path) for _ in range(8)
            ]
            for job in jobs:
                assert_same(job.result(), expected)  # a warning would be an error
    assert {path.suffix for path in tmp_path.iterdir()} == {".safetensors"}
    assert len(list(tmp_path.iterdir())) == 20


@pytest.mark.slow
def test_processes_at_the_same_time_agree(tmp_path: Path) -> None:
    code = (
        "import warnings; warnings.simplefilter('error')\n"
        "from rapidash.datasets import nbody_dataset\n"
        f"print(sum(float(nbody_dataset('val', size=s, cache_dir={str(tmp_path)!r}).tensors['pos'].sum())"
        " for s in range(1, 30)))"
    )
    processes = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    outputs = {process.communicate()[0] for process in processes}
    assert all(process.returncode == 0 for process in processes)
    assert len(outputs) == 1
    assert len(list(tmp_path.iterdir())) == 29
