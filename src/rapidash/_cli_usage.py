"""Wrong usage of the command line, its exit codes, and the folders that it names."""

from pathlib import Path
from typing import Final

FAILED: Final = 1
USAGE_ERROR: Final = 2


class UsageError(ValueError):
    """A wrong word on the command line that no parser sees: exit code 2."""


def output_folder(path: str) -> Path:
    """Raises: UsageError where it cannot be a folder."""
    out = Path(path)
    if taken := next((place for place in (out, *out.parents) if place.exists() and not place.is_dir()), None):
        raise UsageError(f"--out: expected a folder, {taken} is a file")
    return out
