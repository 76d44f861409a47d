"""With RAPIDASH_CHECK_SHAPES a wrong shape is refused by its annotation, also in the processes that tests start."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
WRONG = "import torch; from rapidash.nn import project_scalars; print(project_scalars(torch.ones(2, 3)).shape)"


@pytest.mark.parametrize("checked", [False, True])
def test_a_process_that_is_started_checks_shapes_where_asked_to(checked: bool) -> None:
    """(2, 3) is no signal (N, O, C): without the check the mean over its second axis passes for scalars."""
    path = os.pathsep.join([str(TESTS / "_checked_subprocesses"), str(TESTS.parent / "src")])
    environment = os.environ | {"PYTHONPATH": path, "RAPIDASH_CHECK_SHAPES": "1" if checked else ""}
    done = subprocess.run([sys.executable, "-c", WRONG], capture_output=True, text=True, timeout=300, env=environment)
    assert ("TypeCheckError" in done.stderr) == checked
    assert done.stdout == ("" if checked else "torch.Size([2])\n")
