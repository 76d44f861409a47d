"""The latent of a model: the output of one of its layers, watched while the model runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from rapidash._names import unknown_name
from rapidash.data import Batch
from rapidash.models import Rapidash


def latent_layer(model: nn.Module, name: str = "") -> str:
    """The name of the layer whose output is the latent.

    Args:
        model: as it is trained.
        name: of a module in it; empty: what the model calls its ``latent_layer``, or the last block of a Rapidash
            network.
    Raises: ValueError for a module that the model does not have, with the nearest one, or one that is not obvious.
    """
    modules = dict(model.named_modules())
    if name:
        if name not in modules:
            raise ValueError(unknown_name("layer for the latent:", name, [known for known in modules if known]))
        return name
    for prefix, module in modules.items():
        start = f"{prefix}." if prefix else ""
        if isinstance(own := getattr(module, "latent_layer", None), str):
            return f"{start}{own}"
        if isinstance(module, Rapidash):
            return f"{start}blocks.{len(module.blocks) - 1}"
    known = [known for known, _ in model.named_children()]
    raise ValueError(
        f"which layer of {type(model).__name__} is the latent? Name it with layer=..., e.g. one of {known}"
    )


class LatentWatch:
    """Keeps what a layer returns, from `start` to `take`.

    Args:
        model, name: the layer, see `latent_layer`.
    """

    def __init__(self, model: nn.Module, name: str) -> None:
        self.name, self.module = name, model.get_submodule(name)
        self._found: list[Any] = []
        self._handle: RemovableHandle | None = None

    def start(self) -> None:
        """Watch from here on."""
        self.stop()
        self._found = []
        self._handle = self.module.register_forward_hook(lambda module, given, out: self._found.append(out))

    def stop(self) -> None:
        """Watch no longer."""
        if self._handle is not None:
            self._handle.remove()
        self._handle = None

    def take(self) -> Tensor:
        """The first output since `start`; nothing is kept.

        Raises: ValueError for a layer that was not called, or returns no tensor.
        """
        self.stop()
        found, self._found = self._found, []
        if not found:
            raise ValueError(f"the layer {self.name!r} was not called in the pass of the model: name another as latent")
        if not isinstance(found[0], Tensor):
            kind = type(found[0]).__name__
            raise ValueError(f"the layer {self.name!r} returns {kind}, a latent is one tensor: name a layer inside it")
        return found[0]

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Within the block the layer is watched; `take` what it returned afterwards."""
        self.start()
        try:
            yield
        finally:
            self.stop()


def latent_level(z: Tensor, batch: Batch) -> Literal["point", "cloud"]:
    """Whether a latent has a row per sample or per point, ``"cloud"`` or ``"point"``.

    Raises: ValueError for another number of rows.
    """
    if z.dim() and len(z) == batch.num_samples:
        return "cloud"
    points = getattr(batch, "batch", None)
    if z.dim() and points is not None and len(z) == len(points):
        return "point"
    raise ValueError(
        f"the latent has shape {tuple(z.shape)}: it needs a row for each of the {batch.num_samples} samples"
        + (f" or {len(points)} points" if points is not None else "")
    )
