"""The memory of a measurement and that of a function are apart: both sides get copies of tensors."""

import copy
from collections.abc import Mapping, MutableMapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

from torch import Tensor

from rapidash.data import CloudBatch


def copied(value: Any) -> Any:
    """The value with a copy of every tensor in it: in mappings, sequences, batches and dataclasses such as a graph.

    Gradients and tangents pass through. Other objects are passed on as they are.
    """
    if isinstance(value, Tensor):
        return value.clone()
    if isinstance(value, CloudBatch):
        return replace(value, tensors=copied(value.tensors), batch=value.batch.clone())
    if isinstance(value, MutableMapping) and type(value) is not dict:
        mapping = copy.copy(value)
        for name, item in value.items():
            mapping[name] = copied(item)
        return mapping
    if isinstance(value, Mapping):
        return {name: copied(item) for name, item in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(copied, value))
    if type(value) in (tuple, list):
        return type(value)(map(copied, value))
    if is_dataclass(value) and not isinstance(value, type):
        twin = copy.copy(value)
        for part in fields(value):
            object.__setattr__(twin, part.name, copied(getattr(value, part.name)))
        return twin
    return value
