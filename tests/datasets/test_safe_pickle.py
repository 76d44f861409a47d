import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from rapidash.datasets._reading import DataError
from rapidash.datasets._safe_pickle import load_plain_pickle


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_and_plain_containers_come_back(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "toy.pkl"
    fortran = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    value = (
        [[1, 0], (2, 1)],
        [np.arange(5, dtype=np.int16), fortran],
        {3: np.array([True, False])},
        np.float64(2.5),
        "x",
    )
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    edges, arrays, mapping, number, text = load_plain_pickle(path)
    assert (edges, number, text) == ([[1, 0], (2, 1)], 2.5, "x")
    assert arrays[0].dtype == np.int16
    assert arrays[0].tolist() == [0, 1, 2, 3, 4]
    assert np.array_equal(arrays[1], fortran)
    assert mapping[3].tolist() == [True, False]


class Hostile:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_code_is_not_run(tmp_path: Path, protocol: int) -> None:
    path, marker = tmp_path / "toy.pkl", tmp_path / "was run"
    path.write_bytes(pickle.dumps([np.zeros(2), Hostile(marker)], protocol=protocol))
    with pytest.raises(DataError, match=r"toy.pkl cannot be read.*mkdir"):
        load_plain_pickle(path)
    assert not marker.exists()
    pickle.loads(path.read_bytes())
    assert marker.exists()  # it would have been


def test_objects_inside_arrays_and_damage_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "toy.pkl"
    for value in (np.array([None, 1], dtype=object), np.zeros(2, dtype=[("a", "f4")]), Path("x"), 1 + 2j):
        path.write_bytes(pickle.dumps(value))
        with pytest.raises(DataError):
            load_plain_pickle(path)
    whole = pickle.dumps([np.arange(100.0)])
    for damaged in (b"", whole[:40], whole[:-10], b"<html></html>"):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"toy.pkl cannot be read"):
            load_plain_pickle(path)
