"""Tensors inside vmap, which have no memory that a kernel could read."""

import torch
from torch import Tensor

from rapidash.geometry import is_transforming
from rapidash.ops import _forward_mode as forward_mode


def is_batched(*tensors: Tensor | None) -> bool:
    """Whether any of the tensors, or its tangent, carries a hidden axis of vmap.

    Besides ``torch.vmap`` there is the older one behind ``is_grads_batched=True`` and ``vectorize=True``, for whose
    tensors torch calls no rules of custom ops: what gets one decomposes into the operations of the definition.
    """
    if torch.compiler.is_compiling() or not is_transforming():
        return False
    given = [tensor for tensor in tensors if tensor is not None]
    if forward_mode.is_active():
        given += [tangent for tensor in given if (tangent := forward_mode.split_dual(tensor)[1]) is not None]
    functorch = torch._C._functorch
    return any(functorch.is_legacy_batchedtensor(t) or functorch.is_batchedtensor(t) for t in given)
