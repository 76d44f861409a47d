"""Checkpoints of a training run: whole or absent, verified, two generations, and only for the same configuration."""

import hashlib
import io
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from rapidash._files import atomic_write

CHECKPOINT = "checkpoint.pt"  # in the directory of a run
FORMAT_VERSION = 1
_SEAL = b"\nrapidash-sha256:"
_SEAL_BYTES = len(_SEAL) + 64


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be written or read; the message says which file and what to do."""


class DamagedError(CheckpointError):
    """A checkpoint whose content is lost."""


class Checkpoints:
    """The checkpoints of one run: ``checkpoint.pt``, and the one before it, ``checkpoint.previous.pt``.

    A file is what `torch.save` writes (`torch.load` reads it) followed by its SHA-256, since torch does not notice
    changed bytes. Loading runs no code from the file (``weights_only=True``).

    Args:
        directory: the run's directory.
        description: what the run is, flat and in words: every setting that a continuation must share.
    """

    def __init__(self, directory: Path, description: Mapping[str, str]) -> None:
        self.path, self.previous = directory / CHECKPOINT, directory / "checkpoint.previous.pt"
        self.description = dict(description)

    def save(self, state: dict[str, Any]) -> None:
        """Write a checkpoint; the one before becomes the previous generation.

        Raises: CheckpointError when it cannot be written; the last good checkpoint is intact.
        """
        buffer = io.BytesIO()
        torch.save({"format": FORMAT_VERSION, "description": self.description, "state": state}, buffer)
        payload = buffer.getvalue()
        seal = _SEAL + hashlib.sha256(payload).hexdigest().encode()
        try:
            atomic_write(self.path, payload + seal, backup=self.previous)
        except OSError as error:
            kept = "the last good one is intact" if self.newest() else "there is none before it"
            raise CheckpointError(
                f"checkpoint of {len(payload)} bytes not saved, {kept}: {error}. Free space or fix the "
                "directory, then run again with the same settings to continue"
            ) from error

    def newest(self) -> Path | None:
        """The file that a resumed run reads first."""
        return next((path for path in (self.path, self.previous) if path.exists()), None)

    def load(self) -> dict[str, Any] | None:
        """The newest readable state; None when there is no checkpoint.

        A damaged file is set aside as ``.corrupt``, with a warning: the one before it is read instead, and where none
        is left the run begins anew.
        Raises:
            CheckpointError: for a file of another format, or one that the system does not let us read.
            ValueError: for a checkpoint of another configuration, naming what differs.
        """
        damage: list[str] = []
        for path in (self.path, self.previous):
            if not path.exists():
                continue
            try:
                content = read_checkpoint(path)
            except DamagedError as error:
                damage.append(f"{error}, set aside as {_set_aside(path).name}")
                continue
            self._check_description(content["description"], path)
            if damage:
                warnings.warn(f"{damage[0]}. Continuing from the previous one, {path}", stacklevel=3)
            return content["state"]
        if damage:
            warnings.warn(f"{'; '.join(damage)}. No checkpoint is left: the run begins anew", stacklevel=3)
        return None

    def _check_description(self, saved: Mapping[str, str], path: Path) -> None:
        if digest(saved) == digest(self.description):
            return
        keys = sorted(saved.keys() | self.description.keys())
        differences = [
            f"{key}: {saved.get(key, 'absent')} in the checkpoint, {self.description.get(key, 'absent')} now"
            for key in keys
            if saved.get(key) != self.description.get(key)
        ]
        more = f"; and {len(differences) - 6} more" if len(differences) > 6 else ""
        raise ValueError(
            f"{path} belongs to another configuration ({'; '.join(differences[:6])}{more}). "
            "Use the same settings to continue it, or another run_dir"
        )


def _set_aside(path: Path) -> Path:
    aside = path.with_name(f"{path.name}.corrupt")
    path.replace(aside)
    return aside


def digest(description: Mapping[str, str]) -> str:
    """The hash of a configuration."""
    return hashlib.sha256(json.dumps(dict(description), sort_keys=True).encode()).hexdigest()


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The verified content of a checkpoint: ``format``, ``description``, ``state``; tensors on the CPU.

    Raises: DamagedError for a file that is truncated, changed or no checkpoint, CheckpointError for one of another
        format or that cannot be read, naming it.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"checkpoint {path} cannot be read: {error.strerror}") from error
    payload, seal = data[:-_SEAL_BYTES], data[-_SEAL_BYTES:]
    if seal != _SEAL + hashlib.sha256(payload).hexdigest().encode():
        raise DamagedError(f"checkpoint {path} is damaged ({len(data)} bytes, truncated or changed)")
    try:
        content = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # torch raises what its readers raise; their advice is about files of one's own
        reason = f"torch {torch.__version__} does not load it: {type(error).__name__}"
        raise DamagedError(f"checkpoint {path} is damaged ({len(data)} bytes; {reason})") from error
    if not isinstance(content, dict) or "format" not in content:
        raise DamagedError(f"checkpoint {path} is damaged (it holds no checkpoint: {type(content).__name__})")
    if content["format"] != FORMAT_VERSION:
        raise CheckpointError(f"checkpoint {path} has format {content['format']}, this version reads {FORMAT_VERSION}")
    if not all(isinstance(content.get(name), dict) for name in ("description", "state")):
        raise DamagedError(f"checkpoint {path} is damaged (it has no description or no state)")
    return content
