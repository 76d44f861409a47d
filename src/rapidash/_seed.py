"""Random streams that depend on their names only, never on the order in which they are drawn."""

import hashlib

import torch


def seeded(*keys: int | str) -> torch.Generator:
    """A CPU generator whose state is a hash of the keys, e.g. ``seeded(seed, "train", index)``."""
    digest = hashlib.sha256("/".join(map(repr, keys)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
