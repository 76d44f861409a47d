"""The small handwritten digits that come with scikit-learn."""

import importlib.util

import numpy as np
from numpy.typing import NDArray

DIGITS_SIZE = 1797


def digits_images() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Images of handwritten digits of 8 x 8 pixels and their labels, in a fixed order; no file is read from outside.

    Returns: images (1797, 8, 8), intensities in [0, 1], 1 for ink; labels (1797,), 0 to 9.
    Raises: ModuleNotFoundError without scikit-learn, which they come with.
    Source: Alpaydin and Kaynak, "Optical recognition of handwritten digits", UCI (1998): its test part.
    """
    if importlib.util.find_spec("sklearn") is None:
        raise ModuleNotFoundError("the digits come with scikit-learn: pip install 'rapidash[tabular]'")
    from sklearn.datasets import load_digits

    found = load_digits()
    return np.asarray(found.images, dtype=np.float64) / 16, np.asarray(found.target, dtype=np.int64)
