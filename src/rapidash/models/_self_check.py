"""Answers of a network for made-up points, saved beside its weights: one that is loaded must give the same."""

import copy
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from rapidash._pretrained import CONFIG, find_pretrained
from rapidash.ops import has_float32_products, products_of, use_products

if TYPE_CHECKING:
    from rapidash.models._rapidash import Rapidash

ENTRY = "answers"  # in the configuration of a saved model

SIZES = (20, 18)  # points of the made-up clouds: more than the usual numbers of neighbors
MOST = 64  # numbers of an answer that are kept
_TOLERANCE = {torch.float64: 1e-8, torch.float32: 1e-3}  # of backends and libraries, relative; of others 0.1


@torch.no_grad()
def answers(model: nn.Module) -> dict[str, list[float]]:
    """By name of every `Rapidash` in a model, at most `MOST` of its outputs for `made_up` clouds.

    Left out are networks that refuse these clouds, and those whose outputs are not finite, or not the same twice. What
    rounds products of float32 in this process (a flag of torch, autocast, `use_products`) does not round the answers.
    """
    found = {}
    for name, network in _networks(model):
        try:
            first, second = _outputs(network), _outputs(network)
        except Exception:  # a network that a method or a task has changed may need more than these inputs
            continue
        if bool(torch.isfinite(first).all()) and torch.equal(first, second):
            found[name] = first.tolist()
    return found


@torch.no_grad()
def check_answers(model: nn.Module, config: dict[str, Any], folder: Path | str) -> None:
    """Compare the networks of a loaded model with what they answered when they were saved; earlier files do not say it.

    Raises: ValueError naming file and network, and the difference relative to the root mean square of the kept answers.
    """
    file, kept, networks = find_pretrained(folder) / CONFIG, config.get(ENTRY, {}), dict(_networks(model))
    if not isinstance(kept, dict):
        raise ValueError(f"{file}: {ENTRY!r} must be lists of numbers by name of a network, got {type(kept).__name__}")
    for name, values in kept.items():
        network, said = networks.get(name), f"network {name!r}" if name else "the network"
        if network is None or not isinstance(values, list) or not all(isinstance(v, float | int) for v in values):
            raise ValueError(f"{file}: {ENTRY!r} must be lists of numbers by name of a network, and {said} has none")
        now, before = _outputs(network).double(), torch.tensor(list(values), dtype=torch.float64)
        if now.shape != before.shape:
            raise ValueError(f"{file}: {said} gives {len(now)} answers, {len(before)} were saved")
        size = max(float(before.square().mean().sqrt()), 1e-30)
        error = float((now - before).abs().max()) / size if len(now) else 0.0
        allowed = _TOLERANCE.get(_dtype(network), 0.1)
        if not error <= allowed:
            raise ValueError(
                f"{file}: {said} does not answer as it did when it was saved: made-up points give outputs that are "
                f"{error:.2g} off, {allowed:.2g} is allowed. Either the file was edited, or a fast path of "
                "this machine or version is wrong: please report it, and compute by the definition, "
                "backend='reference'. Or an earlier version saved it where a flag of torch rounded products: without "
                f"the entry {ENTRY!r} the file is read unchecked"
            )


def made_up(network: "Rapidash") -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Positions, clouds and inputs of all sizes that a network takes; sines, the same on every machine."""
    io, like = network.io, next(network.parameters())
    total = sum(SIZES)

    def waves(*shape: int, phase: float) -> Tensor:
        steps = torch.arange(math.prod(shape), dtype=torch.float64).reshape(shape)
        return torch.sin(phase + 1.7 * steps + 0.3 * steps.square() / max(1, steps.numel())).to(like)

    batch = torch.arange(len(SIZES), device=like.device).repeat_interleave(torch.tensor(SIZES, device=like.device))
    shapes = {"scalars": (io.in_scalars,), "vectors": (io.in_vectors, network.dim), "pairs": (io.in_pairs,)}
    inputs = {
        name: waves(total, *shape, phase=0.5 + place)
        for place, (name, shape) in enumerate(shapes.items())
        if math.prod(shape)
    }
    return waves(total, network.dim, phase=0.1), batch, inputs


def _outputs(network: "Rapidash") -> Tensor:
    """In the type of the network; in float64 by a copy where flags of torch round products of its float32."""
    like = next(network.parameters())
    with torch.autocast(like.device.type, enabled=False), use_products(products_of("float32", network)):
        if like.dtype == torch.float32 and not has_float32_products(like):
            network = copy.deepcopy(network).double()
            network.is_calibrated = True  # with tables where float32 has them
        pos, batch, inputs = made_up(network)
        was_training = network.training
        out = network.eval()(pos, batch, **inputs)
        network.train(was_training)
    return torch.cat([part.flatten()[: MOST // len(out)] for part in out]).cpu()


def _networks(model: nn.Module) -> Iterator[tuple[str, "Rapidash"]]:
    for name, module in model.named_modules():
        if getattr(module, "keeps_answers", False):
            yield name, cast("Rapidash", module)


def _dtype(network: "Rapidash") -> torch.dtype:
    return next(network.parameters()).dtype
