"""Predictions and the metric over a dataset, with test-time averaging and under moved data."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from rapidash._seed import seeded
from rapidash.data import CloudBatch, CloudDataset, Field
from rapidash.groups import Group, inverse
from rapidash.train._task import DetailedTask, Task


@dataclass(frozen=True)
class EvalResult:
    """The metric of every cloud, (size,) float64 on the CPU, its mean, and the figures of a `DetailedTask` by name."""

    per_cloud: Float[Tensor, " size"]
    mean: float
    details: Mapping[str, float] = field(default_factory=dict)


def predict(
    model: nn.Module,
    batch: CloudBatch,
    output: Field,
    *,
    tta: int = 0,
    group: Group | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""The model's prediction, averaged over the orbit when asked: (1/K) sum_k rho_out(g_k)^{-1} f(g_k x).

    Every cloud has its own random elements g_k. The average over the whole group is exactly equivariant.

    Args:
        model: f, called with a batch.
        batch: x.
        output: representation and level of the prediction.
        tta: K, number of elements; 0 is the plain prediction f(x).
        group: where the elements come from; needed when ``tta`` > 0.
        generator: CPU generator of the elements.
    Shape: as the model's output, one row per point or per cloud.
    Raises: ValueError for a negative ``tta`` or a missing group.
    """
    _check_average(tta, group)
    if not tta or group is None:
        return model(batch)
    return _orbit_average(
        model, batch, output, [group.sample(batch.num_clouds, generator=generator) for _ in range(tta)]
    )


def evaluate(
    model: nn.Module,
    task: Task,
    dataset: CloudDataset,
    *,
    batch_size: int,
    tta: int = 0,
    tta_group: Group | None = None,
    rotate: Group | None = None,
    seed: int = 0,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> EvalResult:
    """The task's metric for every cloud of a dataset, in eval mode and without gradients.

    The model is left in the mode that it was in. A model that differentiates inside ``forward`` (forces) must turn
    gradients on there. Random elements depend on the seed and the place of the cloud in the dataset, not on
    ``batch_size``.

    Args:
        model: called with a batch.
        task: metric, and representation of the prediction.
        dataset: clouds with targets.
        batch_size: clouds at a time.
        tta: average the predictions over this many random elements of ``tta_group``; 0: none.
        tta_group: needed when ``tta`` > 0.
        rotate: first move every cloud, inputs and target, by its own random element of this group.
        seed: of the random elements.
        device, dtype: of the data; default: those of the model's first parameter.
    Raises: ValueError for an empty dataset, a batch size below 1, ``tta`` without a group, or a metric whose shape is
        not one number per cloud.
    """
    parts = []
    details: dict[str, list[Tensor]] = {}
    for indices, batch, prediction in predict_batches(
        model,
        dataset,
        task.output,
        batch_size=batch_size,
        tta=tta,
        tta_group=tta_group,
        rotate=rotate,
        seed=seed,
        device=device,
        dtype=dtype,
    ):
        errors = task.errors(prediction, batch)
        if errors.shape != (len(indices),):
            raise ValueError(
                f"{type(task).__name__}.errors returned shape {tuple(errors.shape)}, "
                f"expected ({len(indices)},): one number per cloud"
            )
        parts.append(errors.double().cpu())
        if isinstance(task, DetailedTask):
            for name, values in task.details(prediction, batch).items():
                details.setdefault(name, []).append(values.double().cpu())
    per_cloud = torch.cat(parts)
    means = {name: float(torch.cat(values).nanmean(dim=0).nanmean()) for name, values in details.items()}
    return EvalResult(per_cloud, float(per_cloud.mean()), means)


def predict_batches(
    model: nn.Module,
    dataset: CloudDataset,
    output: Field,
    *,
    batch_size: int,
    tta: int = 0,
    tta_group: Group | None = None,
    rotate: Group | None = None,
    seed: int = 0,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> Iterator[tuple[Int[Tensor, " B"], CloudBatch, Tensor]]:
    """Batch by batch the indices of its clouds, the batch, and the prediction for it, in eval mode without gradients.

    Args and Raises: as `evaluate`, which says what they mean; ``output`` is the representation of the prediction.
    """
    _check_average(tta, tta_group)
    if len(dataset) == 0:
        raise ValueError("the dataset has no clouds: there is nothing to evaluate")
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    size = len(dataset)
    moves = rotate.sample(size, generator=seeded(seed, "rotate")) if rotate is not None else None
    averages = [tta_group.sample(size, generator=seeded(seed, "tta", k)) for k in range(tta)] if tta_group else []
    reference = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        for indices in torch.split(torch.arange(size), batch_size):
            batch = dataset.batch(indices)
            if moves is not None:
                batch = batch.transform(moves[indices])
            batch = batch.to(device or reference.device, dtype or reference.dtype)
            with torch.no_grad():  # not around the yield, where the caller's code runs
                if averages:
                    prediction = _orbit_average(model, batch, output, [g[indices] for g in averages])
                else:
                    prediction = model(batch)
            yield indices, batch, prediction
    finally:
        for module, mode in modes:
            module.training = mode


def _check_average(tta: int, group: Group | None) -> None:
    if tta < 0:
        raise ValueError(f"tta must be at least 0, got {tta}")
    if tta and group is None:
        raise ValueError(f"tta={tta} needs a group to average over, e.g. parse_group('SO(3)', 3)")


def _orbit_average(model: nn.Module, batch: CloudBatch, output: Field, elements: list[Tensor]) -> Tensor:
    """(1/K) sum_k rho_out(g_k)^{-1} f(g_k x), with elements (B, D + 1, D + 1) for each k."""
    total: Tensor | None = None
    for g in elements:
        moved_back = batch.act(output, inverse(g), model(batch.transform(g)))
        total = moved_back if total is None else total + moved_back
    assert total is not None
    return total / len(elements)
