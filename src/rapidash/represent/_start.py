"""Weights of a saved model as the beginning of another one: what fits by name and shape is taken, the rest is named."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rapidash._pretrained import WEIGHTS, find_pretrained, read_pretrained

_ENTRIES: dict[str, type] = {"variant": dict}
_PREFIXES = ("", "encoder.")  # a model after pre-training is the encoder alone


@dataclass(frozen=True)
class Start:
    """Where the weights of a model came from.

    Args:
        folder: of the saved model.
        weights_sha256: of its weights.
        trained: what was trained there: task, variant, objective, seed.
        loaded: names of parameters and buffers that were taken.
        fresh: names that the model has, and the saved one does not, or in another shape.
        unused: names of the saved model that are of no use here.
    """

    folder: str
    weights_sha256: str
    trained: Mapping[str, Any]
    loaded: tuple[str, ...] = field(repr=False)
    fresh: tuple[str, ...]
    unused: tuple[str, ...] = field(repr=False)

    def __str__(self) -> str:
        """In words."""
        of = ", ".join(f"{key} {value}" for key, value in self.trained.items() if value is not None)
        rest = f"; fresh: {', '.join(self.fresh)}" if self.fresh else ""
        return f"{len(self.loaded)} tensors from {self.folder} ({of}){rest}"


def weights_digest(folder: Path | str) -> str:
    """The SHA-256 of the weights of a saved model, by which a run names them wherever they lie.

    Raises: FileNotFoundError where there is no saved model.
    """
    path = find_pretrained(folder) / WEIGHTS
    return hashlib.sha256(path.read_bytes()).hexdigest()


def start_from(model: nn.Module, folder: Path | str) -> Start:
    """Load into a fresh model those weights of a saved one that fit by name and shape.

    The encoder in a saved model of a pre-training run fits the model of a task: heads are left behind. An orientation
    grid stays the model's own. A network that got weights is calibrated no more, since that would rescale them; what
    else a task's model learns from its first batch, it still does.

    Args:
        model: as `rapidash.methods.build_model` makes it.
        folder: of a saved model, or of its run.
    Returns: what was loaded and what was not.
    Raises: FileNotFoundError; ValueError for a damaged file, weights that are not finite, or where no parameter fits,
        naming some of both sides.
    """
    config, tensors = read_pretrained(folder, kind="task", entries=_ENTRIES)
    state = model.state_dict()
    found = {name: taken for name, own in state.items() if (taken := _fitting(name, own, tensors)) is not None}
    parameters = {name for name, _ in model.named_parameters()}
    if not parameters & found.keys():
        raise ValueError(
            f"no weight of {find_pretrained(folder) / WEIGHTS} fits the model: it has {_some(tensors)}, the model "
            f"{_some({name: tensor for name, tensor in state.items() if name in parameters})}. Start from a network of "
            "the same kind and width"
        )
    if broken := [source for source in found.values() if not bool(tensors[source].isfinite().all())]:
        raise ValueError(f"{find_pretrained(folder) / WEIGHTS}: {broken[0]} is not finite: nothing can begin with it")
    with torch.no_grad():
        for name, source in found.items():
            state[name].copy_(tensors[source])
    _keep_scale(model, found)
    variant, training = config["variant"], config.get("training", {})
    trained = {
        "task": config.get("task"),
        "variant": variant.get("name"),
        "objective": (variant.get("objective") or {}).get("kind"),
        "seed": training.get("seed"),
    }
    sources = set(found.values())
    return Start(
        str(find_pretrained(folder)),
        config["weights_sha256"],
        trained,
        loaded=tuple(found),
        fresh=tuple(name for name in state if name not in found),
        unused=tuple(name for name in tensors if name not in sources),
    )


def _fitting(name: str, own: Tensor, tensors: Mapping[str, Tensor]) -> str | None:
    """The name of the saved tensor that belongs in the place of one of the model, None where there is none."""
    if name == "grid" or name.endswith(".grid"):
        return None
    bare = name.removeprefix("encoder.")
    for candidate in (name, *(f"{prefix}{bare}" for prefix in _PREFIXES)):
        if candidate in tensors and tensors[candidate].shape == own.shape:
            return candidate
    return None


def _keep_scale(model: nn.Module, found: Mapping[str, str]) -> None:
    """Let networks that got weights keep them when their task calibrates its model."""
    for prefix, part in model.named_modules():
        is_network = isinstance(getattr(part, "blocks", None), nn.ModuleList) and hasattr(part, "calibrate")
        if not is_network or not any(name.startswith(f"{prefix}." if prefix else "") for name in found):
            continue
        network: Any = part
        network.calibrate = keep_scale
        if isinstance(reach := getattr(network, "table_reach", None), Tensor):  # of `Rapidash`
            network.is_calibrated = bool((reach > 0).any())


def keep_scale(*args: Any, **kwargs: Any) -> None:
    """Calibrates nothing: the weights were trained."""


def _some(tensors: Mapping[str, Tensor]) -> str:
    entries = [f"{name} {tuple(tensor.shape)}" for name, tensor in tensors.items()]
    return ", ".join(entries[:3]) + (f" and {len(entries) - 3} more" if len(entries) > 3 else "")
