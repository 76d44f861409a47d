"""The entries that every record has, with a result or without, and the whole record of a run that has none."""

from datetime import UTC, datetime

import torch

from rapidash.ops import product_probe
from rapidash.study._environment import commit, device_name, versions
from rapidash.study._run_config import RunConfig
from rapidash.study._store import RECORD_SCHEMA, Record

MAX_ERROR_LENGTH = 10_000


def provenance(config: RunConfig) -> Record:
    """The first entries of the record of every run: its configuration, and what it was run with and on."""
    return {
        "schema": RECORD_SCHEMA,
        "key": config.key,
        "config": config.to_dict(),
        "commit": commit(),
        "versions": versions(),
        "device": device_name(config.train.device),
        "threads": config.train.threads or torch.get_num_threads(),
        "product_probe": product_probe(),
    }


def failed_record(config: RunConfig, error: str, *, started: str | None = None, seconds: float | None = None) -> Record:
    """The record of a run that ended with an error; what of its text is no Unicode stands there as an escape."""
    return {
        **provenance(config),
        "status": "failed",
        "error": _bounded(error),
        "started": started or now(),
        "seconds": seconds,
    }


def now() -> str:
    """The time as a record has it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _bounded(text: str) -> str:
    """Text of at most 10,000 characters that every file can hold: an error may be of any size.

    Long lines lose their middle first, so that the last one still says which error it was.
    """
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    if len(text) > MAX_ERROR_LENGTH:
        text = "\n".join(_without_middle(line, MAX_ERROR_LENGTH // 10, " ") for line in text.split("\n"))
    return _without_middle(text, MAX_ERROR_LENGTH, "\n")


def _without_middle(text: str, length: int, space: str) -> str:
    if len(text) <= length:
        return text
    half = length // 2 - 30  # room for the note
    return f"{text[:half]}{space}... {len(text) - 2 * half} characters left out ...{space}{text[-half:]}"
