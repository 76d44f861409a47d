"""Computed tensors kept on disk: verified when read, written whole or not at all, and never needed to go on."""

import contextlib
import hashlib
import json
import os
import uuid
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from rapidash._machine import cache_folder

Parameters = Mapping[str, str | int | float]


def cached_tensors(
    name: str, parameters: Parameters, build: Callable[[], dict[str, Tensor]], *, cache_dir: str | Path | None = None
) -> dict[str, Tensor]:
    """The tensors that ``build`` returns, read from disk if they were computed before with the same parameters.

    The file is ``<cache_dir>/<name>-<hash of the parameters>.safetensors`` and holds the parameters and a SHA-256 of
    the tensors. It is written under a temporary name and then renamed, so a reader or a second writer at the same time
    sees a whole file or none. A damaged file is reported by a RuntimeWarning and replaced; a folder that cannot be
    written (full, read-only) is reported by one too, and the tensors are returned all the same.

    Args:
        name: the beginning of the file name.
        parameters: everything that the tensors depend on, a version of the code among it.
        build: computes the tensors, by name.
        cache_dir: folder of the cache, by default the environment variable RAPIDASH_CACHE, or else ~/.cache/rapidash.
    """
    described = json.dumps(dict(parameters), sort_keys=True)
    digest = hashlib.sha256(described.encode()).hexdigest()[:16]
    path = cache_folder(cache_dir) / f"{name}-{digest}.safetensors"
    tensors = _read(path, described)
    if tensors is None:
        tensors = build()
        _write(path, tensors, described)
    return tensors


def _read(path: Path, described: str) -> dict[str, Tensor] | None:
    """The tensors of a file, or None if it is missing or damaged; the latter with a warning."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
        if metadata.get("parameters") == described and metadata.get("sha256") == _checksum(tensors):
            return tensors
        problem = "its content does not agree with its checksum"
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (SafetensorError, OSError) as error:
        problem = str(error)
    warnings.warn(f"cannot use the cached file {path} ({problem}): computing it anew", RuntimeWarning, stacklevel=4)
    return None


def _write(path: Path, tensors: dict[str, Tensor], described: str) -> None:
    """Write the file whole, or leave none and warn."""
    temporary = path.with_name(f"{path.stem}.{uuid.uuid4().hex}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as file:
            file.write(save(tensors, {"parameters": described, "sha256": _checksum(tensors)}))
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        warnings.warn(
            f"cannot keep {path} ({error}): going on without a cache. Set RAPIDASH_CACHE to a folder with free space.",
            RuntimeWarning,
            stacklevel=4,
        )
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _checksum(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for key in sorted(tensors):
        tensor = tensors[key].contiguous()
        digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
