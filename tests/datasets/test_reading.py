from pathlib import Path

import numpy as np
import pytest

from rapidash.datasets._npz import read_npz
from rapidash.datasets._reading import DataError, SampleErrors, check_split, verify_checksum


def test_damaged_archives_are_named(tmp_path: Path) -> None:
    path = tmp_path / "toy.npz"
    np.savez(path, a=np.arange(1000), b=np.array([{"x": 1}], dtype=object))
    assert list(read_npz(path)) == ["a"]  # pickled objects are never opened
    with pytest.raises(DataError, match=r"toy.npz has no array 'c', it has \['a'\]"):
        read_npz(path, ("a", "c"))
    whole = path.read_bytes()
    for damaged in (b"", whole[:200], whole[: len(whole) - 30], b"<html>404</html>", whole.replace(b"\x07", b"\x08")):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"toy.npz cannot be read.*Get it again"):
            read_npz(path, ("a",))


def test_a_wrong_checksum_names_both(tmp_path: Path) -> None:
    path = tmp_path / "shapes69.npz"
    np.savez(path, a=np.zeros(3))
    with pytest.raises(DataError, match=r"sha256 checksum .*, published is 686804.*verify=False"):
        read_npz(path)
    assert read_npz(path, verify=False)["a"].tolist() == [0, 0, 0]
    path.write_bytes(b"abc")
    verify_checksum(path, ("00000000000000000000000000000000", "900150983cd24fb0d6963f7d28e17f72"))
    verify_checksum(path, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    verify_checksum(path, None)
    with pytest.raises(DataError, match="md5"):
        verify_checksum(path, "00000000000000000000000000000000")


def test_bad_samples_raise_or_are_counted() -> None:
    with pytest.raises(DataError, match=r"file.txt, entry 3: is odd.*on_error='skip'"):
        SampleErrors("file.txt", "raise").add("entry 3", "is odd")
    errors = SampleErrors("file.txt", "skip")
    errors.report(5)
    errors.add("entry 3", "is odd")
    with pytest.warns(RuntimeWarning, match=r"skipped 1 of 5 samples; the first: file.txt, entry 3: is odd"):
        errors.report(5)
    with pytest.raises(DataError, match="no usable sample"):
        errors.report(1)
    with pytest.raises(ValueError, match="on_error"):
        SampleErrors("file.txt", "ignore")
    with pytest.raises(ValueError, match="unknown split 'dev'"):
        check_split("dev")
