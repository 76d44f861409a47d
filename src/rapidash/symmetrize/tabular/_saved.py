"""Networks in context as saved models: a folder with weights, sizes and a card."""

from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

import torch

from rapidash._pretrained import load_weights, read_pretrained, torch_dtype, write_pretrained
from rapidash.models import Interface
from rapidash.symmetrize.tabular._configs import EquiTabPFNConfig
from rapidash.symmetrize.tabular._equitabpfn import EquiTabPFN

PACKAGED = Path(__file__).parent / "weights"
_KIND = "in-context"


def save_in_context(folder: Path | str, network: EquiTabPFN, config: EquiTabPFNConfig, card: str) -> Path:
    """Write a network and the sizes it was made with into a folder, for `load_in_context`.

    Raises: OSError naming the file.
    """
    sizes = {"num_features": network.num_features, "network": asdict(config)}
    return write_pretrained(folder, network, sizes, kind=_KIND, card=card)


def load_in_context(folder: Path | str | None = None, dtype: str = "float32") -> EquiTabPFN:
    """The network of a folder in eval mode, as ``"float32"`` or ``"float64"``; None: the one of the package.

    Raises: FileNotFoundError for a missing file; ValueError for one that is damaged or of another kind, or another
        dtype.
    """
    if dtype not in ("float32", "float64"):
        raise ValueError(f"dtype must be 'float32' or 'float64', got {dtype!r}")
    return _load(Path(PACKAGED if folder is None else folder), dtype)


@lru_cache(maxsize=4)
def _load(folder: Path, dtype: str) -> EquiTabPFN:
    config, tensors = read_pretrained(folder, kind=_KIND, entries={"num_features": int, "network": dict})
    with torch.random.fork_rng(devices=[]):
        network = EquiTabPFNConfig(**config["network"]).build(Interface(dim=0, in_scalars=config["num_features"]))
    load_weights(network, tensors, folder)
    return network.to(torch_dtype(dtype)).eval().requires_grad_(False)
