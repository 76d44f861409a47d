"""The environment of a run: commit, versions, device."""

import platform
import subprocess
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from rapidash._machine import processor_name
from rapidash._version import __version__

_PACKAGE = Path(__file__).resolve().parents[1]


@lru_cache(maxsize=1)
def commit() -> str | None:
    """Hash of the commit of this package's code, with ``+dirty`` if its files differ from it; None outside git."""
    if _git("ls-files", "--error-unmatch", "__init__.py") is None:  # installed below somebody else's repository
        return None
    head, changes = _git("rev-parse", "HEAD"), _git("status", "--porcelain", "--", ".")
    return None if head is None else head + ("+dirty" if changes else "")


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide the numbers."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "rapidash": __version__,
        "numpy": np.__version__,
    }


def device_name(device: str) -> str:
    """Model of the processor or of the GPU."""
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    return processor_name()


def _git(*arguments: str) -> str | None:
    """Output of a git command in the package's directory, None when it fails or git is missing."""
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", *arguments], cwd=_PACKAGE, capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
