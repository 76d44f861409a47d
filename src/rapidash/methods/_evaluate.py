"""Predictions and the metric over a dataset, with test-time averaging and under moved data."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from rapidash._deprecated import warn_deprecated
from rapidash.data import Batch, Dataset, Field, moved
from rapidash.groups import MatrixGroup
from rapidash.methods._average import OrbitAverage, mean_of, orbit_average, orbit_predictions
from rapidash.methods._task import DetailedTask, Task

_HELD_ELEMENTS = 2**18  # of groups, at a time: 33 MB of motions of space


@dataclass(frozen=True)
class EvalResult:
    """The metric of every sample, (size,) float64 on the CPU, its mean, and the figures of a `DetailedTask` by name."""

    per_sample: Float[Tensor, " size"]
    mean: float
    details: Mapping[str, float] = field(default_factory=dict)


def predict(
    model: nn.Module,
    batch: Batch,
    output: Field,
    *,
    average: OrbitAverage | None = None,
    seed: int = 0,
    tta: int | None = None,
    group: MatrixGroup | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""The model's prediction, averaged over the orbit when asked: (1/K) sum_k rho_out(g_k)^{-1} f(g_k x).

    Every sample has its own random elements g_k. The average over the whole group is exactly equivariant.

    Args:
        model: f, called with a batch.
        batch: x.
        output: representation and level of the prediction.
        average: over what; None is the plain prediction f(x).
        seed: of random elements.
        tta, group, generator: deprecated: a number of random elements (0: the plain prediction), the group, and a
            generator from which they are drawn.
    Shape: as the model's output, one row per point or per sample.
    Raises: ValueError for a negative ``tta`` or a missing group.
    """
    if tta is None:
        if average is None:
            return model(batch)
        return orbit_average(model, batch, output, average.elements(batch.num_samples, seed), average.group)
    warn_deprecated("rapidash.methods.predict(tta)")
    if tta < 0:
        raise ValueError(f"tta must be at least 0, got {tta}")
    if tta and group is None:
        raise ValueError(f"tta={tta} needs a group to average over, e.g. parse_group('SO(3)', 3)")
    if not tta or group is None:
        return model(batch)
    elements = (group.sample(batch.num_samples, generator=generator) for _ in range(tta))
    return orbit_average(model, batch, output, elements, group)


def evaluate(
    model: nn.Module,
    task: Task,
    dataset: Dataset,
    *,
    batch_size: int,
    average: OrbitAverage | None = None,
    rotate: MatrixGroup | None = None,
    seed: int = 0,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> EvalResult:
    """The task's metric for every sample of a dataset, in eval mode and without gradients.

    The model is left in the mode that it was in. A model that differentiates inside ``forward`` (forces) must turn
    gradients on there. Random elements depend on the seed and the place of the sample in the dataset, not on
    ``batch_size``.

    Args:
        model: called with a batch.
        task: metric, and representation of the prediction.
        dataset: samples with targets.
        batch_size: samples at a time.
        average: average the predictions over elements of a group; None: no average.
        rotate: first move every sample, inputs and target, by its own random element of this group.
        seed: of the random elements.
        device, dtype: of the data; default: those of the model's first parameter.
    Raises: ValueError for an empty dataset, a batch size below 1, or a metric whose shape is not one number per sample.
    """
    parts = []
    details: dict[str, list[Tensor]] = {}
    data = dataset if rotate is None else moved(dataset, rotate, seed)
    for indices, batch, prediction in predict_batches(
        model, data, task.output, batch_size=batch_size, average=average, seed=seed, device=device, dtype=dtype
    ):
        errors = task.errors(prediction, batch)
        if errors.shape != (len(indices),):
            raise ValueError(
                f"{type(task).__name__}.errors returned shape {tuple(errors.shape)}, "
                f"expected ({len(indices)},): one number per sample"
            )
        parts.append(errors.double().cpu())
        if isinstance(task, DetailedTask):
            for name, values in task.details(prediction, batch).items():
                details.setdefault(name, []).append(values.double().cpu())
    per_sample = torch.cat(parts)
    means = {name: float(torch.cat(values).nanmean(dim=0).nanmean()) for name, values in details.items()}
    return EvalResult(per_sample, float(per_sample.mean()), means)


def predict_batches(
    model: nn.Module,
    dataset: Dataset,
    output: Field,
    *,
    batch_size: int,
    average: OrbitAverage | None = None,
    seed: int = 0,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    watch: Callable[[Batch, Tensor], None] | None = None,
) -> Iterator[tuple[Int[Tensor, " B"], Batch, Tensor]]:
    """Batch by batch the indices of its samples, the batch, and the prediction for it, in eval mode without gradients.

    Args and Raises: as `evaluate`, which says what they mean; ``output`` is the representation of the prediction, and
    ``watch`` is called with each batch and, one after another, the predictions that are averaged, each moved back.
    """
    if len(dataset) == 0:
        raise ValueError("the dataset has no samples: there is nothing to evaluate")
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    reference = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))
    with in_eval_mode(model):
        for indices, elements in _with_elements(average, len(dataset), batch_size, seed):
            batch = dataset.batch(indices).to(device or reference.device, dtype or reference.dtype)
            with torch.no_grad():  # not around the yield, where the caller's code runs
                if average is not None:
                    found = orbit_predictions(model, batch, output, elements, average.group)
                    prediction = mean_of(found if watch is None else _watched(batch, found, watch))
                else:
                    prediction = model(batch)
            yield indices, batch, prediction


def _watched(batch: Batch, predictions: Iterable[Tensor], watch: Callable[[Batch, Tensor], None]) -> Iterator[Tensor]:
    for prediction in predictions:
        watch(batch, prediction)
        yield prediction


def _with_elements(
    average: OrbitAverage | None, size: int, batch_size: int, seed: int
) -> Iterator[tuple[Int[Tensor, " B"], Iterable[Float[Tensor, "B n n"]]]]:
    """The indices of every batch, and the elements for it, one after another.

    They are drawn for the whole dataset, so that they do not depend on the batch, and kept for as many batches as
    `_HELD_ELEMENTS` allow; where a single batch needs more than that, they are drawn anew for it and none is kept.
    """
    if average is None:
        yield from ((indices, ()) for indices in torch.split(torch.arange(size), batch_size))
        return
    count = average.count
    batches = max(1, _HELD_ELEMENTS // (count * batch_size))
    for block in torch.split(torch.arange(size), batches * batch_size):
        is_held = count * len(block) <= _HELD_ELEMENTS
        held = [g[block] for g in average.elements(size, seed)] if is_held else []
        for indices in torch.split(block, batch_size):
            place = indices - block[0]
            yield indices, _rows(held, place) if is_held else _rows(average.elements(size, seed), indices)


def _rows(elements: Iterable[Tensor], indices: Tensor) -> Iterator[Tensor]:
    return (g[indices] for g in elements)


@contextmanager
def in_eval_mode(model: nn.Module) -> Iterator[None]:
    """Within the block the model is in eval mode; afterwards every part has the mode that it had."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
