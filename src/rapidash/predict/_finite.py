"""Whether inputs and predictions are finite, and what is said where they are not."""

import contextlib
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from rapidash.data import CloudBatch, CloudDataset
from rapidash.datasets import DataError
from rapidash.predict._write_predictions import Predictions
from rapidash.tasks import Output


def check_inputs(data: CloudDataset, names: Sequence[str], dtype: torch.dtype) -> None:
    """Raises: ValueError for a field that is not finite, or too large for the model's dtype, with its cloud."""
    owner = torch.repeat_interleave(torch.arange(len(data)), data.num_points)
    for name, tensor in data.tensors.items():
        rows = tensor.flatten(1) if tensor.dim() > 1 else tensor[:, None]
        is_bad = ~(rows.isfinite() & (rows.abs() <= _largest(dtype))).all(dim=1)
        if is_bad.any():
            row = int(is_bad.nonzero()[0])
            cloud = int(owner[row]) if data.fields[name].level == "point" else row
            raise ValueError(f"{names[cloud]}: {too_large(name, rows[row], dtype)}")


def check_tensors(tensors: Mapping[str, Tensor], dtype: torch.dtype) -> None:
    """As `check_inputs`, of the fields of one cloud. Raises: DataError, without its name."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not (tensor.abs() <= _largest(dtype)).all():
            raise DataError(too_large(name, tensor.reshape(-1), dtype))


def too_large(name: str, values: Tensor, dtype: torch.dtype) -> str:
    """The fault of some values of a field, in words: they are not finite, or too large for ``dtype``."""
    if not values.isfinite().all():
        return f"{name!r} has values that are not finite"
    return (
        f"{name!r} has values as large as {float(values.abs().max()):.3g}, whose squares are beyond the range of "
        f"{dtype}, in which the model computes: check their unit"
    )


def _largest(dtype: torch.dtype) -> float:
    """The largest number that a model can square and add up; of float16, whose range is small, that it can hold."""
    largest = float(torch.finfo(dtype).max)
    return largest if dtype == torch.float16 else largest**0.5 / 1024


def finite_clouds(outputs: Iterable[Output], batch: CloudBatch) -> Bool[Tensor, " B"]:
    """For which clouds of a batch all values are finite."""
    bad = torch.zeros(batch.num_clouds, dtype=torch.bool, device=batch.batch.device)
    for output in outputs:
        rows = ~output.values.reshape(len(output.values), -1).isfinite().all(dim=1)
        if output.field.level == "point":
            bad[batch.batch[rows]] = True
        else:
            bad |= rows
    return ~bad


def checked_predictions(made: Predictions, model: nn.Module) -> Predictions:
    """The predictions, with a warning where some are not finite. Raises: ValueError where none is."""
    if made.is_finite is None:
        return made
    bad = (~made.is_finite).nonzero()[:, 0].tolist()
    said = f"the predictions for {len(bad)} of {len(made.names)} clouds are not finite, the first: {made.names[bad[0]]}"
    if len(bad) == len(made.names):
        raise ValueError(f"{said}. {reason_not_finite(model)}")
    warnings.warn(f"{said}. They are marked by is_finite. {reason_not_finite(model)}", RuntimeWarning, stacklevel=3)
    return made


@contextlib.contextmanager
def explained_by_weights(model: nn.Module) -> Iterator[None]:
    """Says of an error of a model whose weights are not finite that this is why. Raises: ValueError."""
    try:
        yield
    except ValueError as error:
        if not (fault := _fault_of_weights(model)):
            raise
        raise ValueError(fault) from error


def _fault_of_weights(model: nn.Module) -> str:
    for name, tensor in model.state_dict().items():
        if not tensor.isfinite().all():
            return f"The weights of the model are not finite ({name}): its training diverged, train it again"
    return ""


def reason_not_finite(model: nn.Module) -> str:
    """In words, why the predictions of a model are not finite."""
    if fault := _fault_of_weights(model):
        return fault
    dtype = next((tensor.dtype for tensor in model.parameters()), torch.float32)
    return f"The numbers in the clouds are too large, or too small, for the {dtype} of the model: check their units"
