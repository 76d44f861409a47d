"""The other columns of a file of points, by name."""

import numpy as np

from rapidash.datasets import FileCloud
from rapidash.predict._file_columns import file_columns


def test_no_two_columns_have_one_name() -> None:
    """Positions are x, y and z, a prediction is mass; spaces are no part of names in ply."""
    ones = np.ones(2)
    arrays = {"pos": np.zeros((2, 3)), "x": ones, "a b": 2 * ones, "a_b": 3 * ones, "mass": 4 * ones}
    arrays["mass_of_file"] = 5 * ones
    found = file_columns(FileCloud("f", arrays), ["x", "y", "z", "mass"])
    assert {name: column.tolist()[0] for name, column in found.items()} == {
        "x_of_file": 1, "a_b": 2, "a_b_of_file": 3, "mass_of_file": 4, "mass_of_file_of_file": 5
    }  # fmt: skip
