"""A mark on parts of a model that holds within a block, as views of a model need."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import nn


@contextmanager
def switched(parts: Sequence[nn.Module], name: str, value: bool) -> Iterator[None]:
    """Within the block an attribute of every part has a value; after it each has its own again."""
    before = [getattr(part, name) for part in parts]
    for part in parts:
        setattr(part, name, value)
    try:
        yield
    finally:
        for part, state in zip(parts, before):
            setattr(part, name, state)
