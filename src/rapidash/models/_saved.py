"""A `Rapidash` network in a folder, and back."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from rapidash._plain import from_plain, to_plain
from rapidash._pretrained import (
    CONFIG,
    NOT_DESCRIBED,
    bounded_by,
    check_sizes,
    find_pretrained,
    load_weights,
    model_dtype,
    read_pretrained,
    torch_dtype,
    write_pretrained,
)
from rapidash.geometry import pair_invariants
from rapidash.groups import parse_group
from rapidash.models._config import RapidashConfig
from rapidash.models._network import Interface
from rapidash.models._self_check import ENTRY, answers, check_answers
from rapidash.ops import Backend

if TYPE_CHECKING:
    from rapidash.models._rapidash import Rapidash

CUSTOM_GRID = "custom"
_ENTRIES = {"model": dict, "dtype": str, "accepts_any_split": bool}
_CARD = """---
library_name: rapidash
---
# Rapidash network

{symmetry} on {space}, {parameters:,} parameters; {inputs} in, {outputs} out per {level}.

```python
from rapidash.models import Rapidash

model = Rapidash.from_pretrained("DIR")  # this folder
```
"""


def save_network(model: "Rapidash", folder: Path | str) -> Path:
    """See `Rapidash.save_pretrained`."""
    config = model.config
    if not _is_named(model):
        raise ValueError(f"symmetry {config.symmetry!r} is no name of this group: make the network with a name instead")
    entry = {
        "model": {**to_plain(config), **to_plain(model.io)},
        "dtype": model_dtype(model),
        "accepts_any_split": model.accepts_any_split,
        ENTRY: answers(model),
    }
    card = _CARD.format(
        symmetry=config.symmetry,
        space=config.space,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        inputs=f"{model.io.in_scalars} scalars and {model.io.in_vectors} vectors",
        outputs=f"{model.io.out_scalars} scalars and {model.io.out_vectors} vectors"
        + (f" and {model.io.out_tensors} tensors" if model.io.out_tensors else ""),
        level="point" if model.io.level == "node" else "cloud",
    )
    return write_pretrained(folder, model, entry, kind="network", card=card)


def load_network(make: "type[Rapidash]", folder: Path | str, *, backend: Backend) -> "Rapidash":
    """See `Rapidash.from_pretrained`."""
    entry, tensors = read_pretrained(folder, kind="network", entries=_ENTRIES)
    try:
        arguments = _arguments(entry["model"])
        dtype = torch_dtype(entry["dtype"])
        check_sizes(arguments, tensors)
        if arguments["grid"] == CUSTOM_GRID:
            arguments = {**arguments, "grid": tensors["grid"]}
        with torch.random.fork_rng(), bounded_by(tensors):
            model = make(**arguments, backend=backend).to(dtype)
        model.accepts_any_split = entry["accepts_any_split"]
    except NOT_DESCRIBED as error:
        said = f"the entry {error} is missing" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"{find_pretrained(folder) / CONFIG} does not describe a network: {said}") from error
    load_weights(model, tensors, folder)
    check_answers(model.eval(), entry, folder)
    return model


def _arguments(plain: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of the network from the knobs and sizes in a file; one of an earlier version says no kind."""
    sizes = {field.name for field in fields(Interface)}
    io = from_plain(Interface, {name: value for name, value in plain.items() if name in sizes}, complete=True)
    knobs = {name: value for name, value in plain.items() if name not in sizes or name == "pool"}
    config = from_plain(RapidashConfig, {"kind": "rapidash", **knobs}, complete=True)
    return config.arguments(io)


def _is_named(model: "Rapidash") -> bool:
    """Whether the configuration's name of the symmetry is that of exactly this group, with all digits of its axis."""
    config = model.config
    try:
        return pair_invariants(config.space, parse_group(config.symmetry, model.dim)).group == model.invariants.group
    except ValueError:
        return False
