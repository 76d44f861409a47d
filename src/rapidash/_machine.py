"""The processor of this machine, and the folder in which things are kept that need not be computed again on it."""

import os
import platform
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")


def processor_facts() -> dict[str, str]:
    """The lines of /proc/cpuinfo by name, those of the first processor; empty where there is no such file."""
    lines = _CPUINFO.read_text(errors="replace").splitlines() if _CPUINFO.exists() else []
    pairs = [(name.strip(), value.strip()) for name, colon, value in (line.partition(":") for line in lines) if colon]
    return dict(reversed(pairs))  # the first of a name is the last that is set


def processor_name() -> str:
    """Model of the processor."""
    return processor_facts().get("model name") or platform.processor() or platform.machine()


def cache_folder(folder: str | Path | None = None) -> Path:
    """The folder, by default that of the environment variable RAPIDASH_CACHE, or else ~/.cache/rapidash."""
    if folder is None:
        folder = os.environ.get("RAPIDASH_CACHE") or "~/.cache/rapidash"
    return Path(os.path.expanduser(folder))  # Path.expanduser raises where there is no home
