"""Saved models as model hubs have them: a folder with ``model.safetensors``, ``config.json`` and a card; no pickle."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook
from torch.nn.parameter import is_lazy

from rapidash._files import atomic_write
from rapidash._training_folder import MODEL_FOLDER, RUNS_FOLDER, told_of_training
from rapidash._version import __version__

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
FORMAT_VERSION = 1
_LIBRARY = "rapidash"
_DTYPES = {"float32": torch.float32, "float64": torch.float64, "float16": torch.float16, "bfloat16": torch.bfloat16}
_LARGEST_CONFIG = 1 << 24  # bytes
_ALWAYS = 4096  # sizes and layers up to here are never too many, but for the orientations, whose grid can take long
_MOST_ORIENTATIONS = 256
_GROWTH = 4
_MOST_DEGREE = 10
NOT_DESCRIBED = (ArithmeticError, AttributeError, LookupError, MemoryError, RuntimeError, TypeError, ValueError)


def write_pretrained(folder: Path | str, model: nn.Module, config: Mapping[str, Any], *, kind: str, card: str) -> Path:
    """Write the weights of a model, its configuration and a card into a folder, each file whole or not at all.

    The configuration holds the SHA-256 of the weights, and is written last: files of different models, put together or
    left by a crash, are noticed by `read_pretrained`.

    Args:
        folder: created where it is missing; the three files in it are replaced, others stay.
        model: its parameters and buffers are saved in their dtype.
        config: plain values.
        kind: what was saved, for the reader: ``"network"`` or ``"task"``.
        card: text of ``README.md``.
    Returns: the folder.
    Raises: OSError naming the file; ValueError for a configuration that JSON cannot hold.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder} is a file: give a folder to save the model in")
    weights = save({name: tensor.detach().cpu().contiguous().clone() for name, tensor in model.state_dict().items()})
    entry = {
        "library_name": _LIBRARY,
        "library_version": __version__,
        "format_version": FORMAT_VERSION,
        "kind": kind,
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        **config,
    }
    text = json.dumps(entry, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    atomic_write(folder / WEIGHTS, weights)
    atomic_write(folder / CARD, card)
    atomic_write(folder / CONFIG, text)
    return folder


def find_pretrained(path: Path | str) -> Path:
    """The folder of a saved model from the folder itself, a file in it, or the folder above its ``model``.

    The folder of a training, whose runs lie in ``work``, stands for its model where it has one alone.
    Raises: FileNotFoundError saying what was looked for; ValueError for a folder with several models, naming them.
    """
    path = Path(path).expanduser()
    if path.is_file() and path.name in (WEIGHTS, CONFIG):
        path = path.parent
    for folder in (path, path / MODEL_FOLDER):
        if (folder / CONFIG).is_file() or (folder / WEIGHTS).is_file():
            return folder
    of_runs = sorted(config.parent for config in path.glob(f"{RUNS_FOLDER}/*/{MODEL_FOLDER}/{CONFIG}"))
    if len(of_runs) == 1:
        return of_runs[0]
    if of_runs:
        shown = ", ".join(map(str, of_runs[:3])) + (", ..." if len(of_runs) > 3 else "")
        raise ValueError(f"{path} has the models of {len(of_runs)} runs: give the folder of one of them, {shown}")
    if said := told_of_training(path):
        raise FileNotFoundError(f"no saved model at {path}: {said}")
    found = "is a file of another name" if path.is_file() else "has neither" if path.is_dir() else "does not exist"
    raise FileNotFoundError(
        f"no saved model at {path}: expected a folder with {CONFIG} and {WEIGHTS}, and it {found}. "
        "A model of the Hugging Face hub has a name such as USER/NAME, one that comes along with the package a name "
        "such as dipole; rapidash predict and --init take these"
    )


def read_pretrained(
    path: Path | str, *, kind: str, entries: Mapping[str, type]
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The configuration and the weights of a saved model, verified.

    Args:
        path: see `find_pretrained`.
        kind: what the caller can use.
        entries: what the configuration of this kind has, and of which types.
    Raises: FileNotFoundError for a missing file; ValueError for one that is damaged, was saved by another library or a
        later version, is of another kind, lacks an entry or has one of another type, or does not belong to the other
        file; all name the file and its entry.
    """
    folder = find_pretrained(path)
    config = _read_config(folder / CONFIG)
    if config["kind"] != kind:
        hint = _READERS.get(config["kind"], "it was saved by another version of rapidash")
        raise ValueError(f"{folder / CONFIG}: 'kind' is {config['kind']!r}, expected {kind!r}: {hint}")
    _check_entries(folder / CONFIG, config, entries)
    source = folder / WEIGHTS
    if not source.is_file():
        raise FileNotFoundError(f"{source} is missing: the saved model is incomplete")
    data = source.read_bytes()
    try:
        tensors = load(data)
    except SafetensorError as error:
        raise ValueError(f"{source} is not a whole safetensors file: {error}") from error
    if hashlib.sha256(data).hexdigest() != config["weights_sha256"]:
        raise ValueError(
            f"{source} does not have the checksum in 'weights_sha256' of {CONFIG}: it is damaged or of another model"
        )
    return config, tensors


def check_sizes(sizes: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Compare the sizes of a configuration with those of the saved weights, before anything is built.

    Args:
        sizes: the configuration of the network by entry; several sizes may stand in a list.
        tensors: the weights.
    Raises: ValueError for a size that no tensor can have, or many more layers than there are tensors: a task may have a
        network of its own, of other layers than the configuration says.
    """
    longest = max((size for tensor in tensors.values() for size in tensor.shape), default=0)
    most = {"num_layers": max(len(tensors), _ALWAYS), "max_degree": _MOST_DEGREE}
    most["num_orientations"] = max(longest, _MOST_ORIENTATIONS)
    for name, value in sizes.items():
        every = value if isinstance(value, list | tuple) else [value]
        whole = [size for size in every if isinstance(size, int) and not isinstance(size, bool)]
        total = sum(whole) if name == "num_layers" else max(whole, default=0)
        limit = most.get(name, max(longest, _ALWAYS))
        if total > limit:
            raise ValueError(f"{name} is {total}, {WEIGHTS} has tensors for at most {limit}")


@contextmanager
def bounded_by(tensors: Mapping[str, Tensor]) -> Iterator[None]:
    """Stop the making of a network as soon as it has clearly more, or larger, parameters than were saved.

    Raises: ValueError at that parameter, before it is filled.
    """
    most = _GROWTH * (sum(tensor.numel() for tensor in tensors.values()) + _ALWAYS)
    made = [0, 0]

    def count(module: nn.Module, name: str, tensor: Tensor | None) -> None:
        if tensor is not None and not is_lazy(tensor):
            made[0], made[1] = made[0] + 1, made[1] + tensor.numel()
        if made[0] > _GROWTH * (len(tensors) + _ALWAYS) or made[1] > most:
            raise ValueError(f"it makes a network of more than {made[1]:,} parameters, {WEIGHTS} has far fewer")

    hook = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        hook.remove()


def load_weights(model: nn.Module, tensors: Mapping[str, Tensor], folder: Path | str) -> None:
    """Load saved tensors into a model of the same configuration.

    Raises: ValueError naming the file and the tensors that are missing, not expected, or of another shape.
    """
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    problems = [f"{name!r} is missing" for name in expected if name not in tensors]
    problems += [f"{name!r} is not expected" for name in tensors if name not in expected]
    problems += [
        f"{name!r} has shape {tuple(tensors[name].shape)}, expected {shape}"
        for name, shape in expected.items()
        if name in tensors and tuple(tensors[name].shape) != shape
    ]
    state = model.state_dict()
    problems += [
        f"{name!r} has the type {tensors[name].dtype}, expected {state[name].dtype}"
        for name, shape in expected.items()
        if name in tensors and tuple(tensors[name].shape) == shape and tensors[name].dtype != state[name].dtype
    ]
    if problems:
        more = f"; and {len(problems) - 4} more" if len(problems) > 4 else ""
        raise ValueError(
            f"the weights in {find_pretrained(folder) / WEIGHTS} do not fit the model that {CONFIG} describes: "
            f"{'; '.join(problems[:4])}{more}"
        )
    model.load_state_dict(dict(tensors))


def front_matter(**entries: Any) -> str:
    """The head of a card, between lines of dashes: what a hub reads of it. Entries of None are left out.

    JSON is YAML, so that no text of a name needs other quotes.
    """
    shown = {name.replace("model_index", "model-index"): value for name, value in entries.items() if value is not None}
    lines = [f"{name}: {json.dumps(value, allow_nan=False, ensure_ascii=False)}" for name, value in shown.items()]
    return "\n".join(["---", *lines, "---", ""])


def model_dtype(model: nn.Module) -> str:
    """Name of the dtype of a model's parameters, e.g. ``"float32"``, as `torch_dtype` reads it."""
    first = next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.get_default_dtype())
    return str(first).removeprefix("torch.")


def torch_dtype(name: object) -> torch.dtype:
    """The floating-point dtype of networks with this name. Raises: ValueError for another name."""
    if not isinstance(name, str) or name not in _DTYPES:
        known = ", ".join(_DTYPES)
        raise ValueError(f"'dtype' must be the name of a floating-point dtype, one of {known}, got {name!r}")
    return _DTYPES[name]


_READERS = {  # of every kind
    "network": "a network without a task is read by rapidash.models.Rapidash.from_pretrained",
    "task": "the model of a task is read by rapidash.predict.TrainedModel.from_pretrained",
}
_ENTRIES = {"library_name": str, "format_version": int, "kind": str, "weights_sha256": str}


def _read_config(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: the saved model is incomplete")
    if (size := path.stat().st_size) > _LARGEST_CONFIG:
        raise ValueError(f"{path} has {size:,} bytes, expected at most {_LARGEST_CONFIG:,}: it is no configuration")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError(f"{path} is nested too deeply: it is no configuration of a model") from error
    except ValueError as error:  # not JSON, or not UTF-8
        raise ValueError(f"{path} is not a whole JSON file: {error}") from error
    if not isinstance(config, dict) or config.get("library_name") != _LIBRARY:
        found = config.get("library_name") if isinstance(config, dict) else type(config).__name__
        raise ValueError(
            f"{path}: 'library_name' is {_short(found)}, expected {_LIBRARY!r}: it was saved by another library"
        )
    _check_entries(path, config, _ENTRIES)
    if config["format_version"] != FORMAT_VERSION:
        raise ValueError(
            f"{path}: 'format_version' is {config['format_version']}, this version of rapidash reads {FORMAT_VERSION}; "
            f"it was saved by rapidash {config.get('library_version')}"
        )
    return config


def _check_entries(path: Path, config: Mapping[str, Any], entries: Mapping[str, type]) -> None:
    for name, kind in entries.items():
        if name not in config:
            raise ValueError(f"{path}: the entry {name!r} is missing")
        if not isinstance(config[name], kind):
            raise ValueError(f"{path}: {name!r} must be of type {kind.__name__}, got {_short(config[name])}")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."
