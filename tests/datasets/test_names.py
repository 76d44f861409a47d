import subprocess
import sys

import pytest

from rapidash import datasets


def test_every_public_name_can_be_imported() -> None:
    for name in datasets.__all__:
        assert getattr(datasets, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = datasets.no_such_name


def test_importing_the_package_imports_no_reader() -> None:
    readers = "('h5py', 'scipy.io', 'rapidash.datasets._qm9')"
    code = f"import sys, rapidash.datasets; print([m for m in {readers} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
