"""Tensors inside vmap, which have no memory that a kernel could read."""

import torch
from torch import Tensor

from rapidash.ops import _forward_mode as forward_mode

_VMAP_MODE = torch._C._dispatch_key_parse("VmapMode")  # of the older vmap


def is_batched(*tensors: Tensor | None) -> bool:
    """Whether any of the tensors, or its tangent, carries a hidden axis of vmap.

    Besides ``torch.vmap`` there is the older one behind ``is_grads_batched=True`` and ``vectorize=True``, for whose
    tensors torch calls no rules of custom ops: what gets one decomposes into the operations of the definition.
    """
    if torch.compiler.is_compiling() or not _is_within_vmap():
        return False
    given = [tensor for tensor in tensors if tensor is not None]
    if forward_mode.is_active():
        given += [tangent for tensor in given if (tangent := forward_mode.split_dual(tensor)[1]) is not None]
    functorch = torch._C._functorch
    return any(functorch.is_legacy_batchedtensor(t) or functorch.is_batchedtensor(t) for t in given)


def _is_within_vmap() -> bool:
    """Whether there may be such tensors at all: a cheap question, asked in every call of an op."""
    if torch._C._functorch.peek_interpreter_stack() is not None:
        return True
    return torch._C._dispatch_tls_is_dispatch_key_included(_VMAP_MODE)
