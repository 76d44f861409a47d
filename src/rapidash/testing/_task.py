"""Whether a task keeps the promises that training, studies and measures rely on."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import get_args

import torch
from torch import Tensor, nn

from rapidash.data import Batch, Dataset
from rapidash.groups import SO, MatrixGroup
from rapidash.methods import Split, Task, Variant, build_model, evaluate
from rapidash.registry import TASKS
from rapidash.symmetry import Ledger
from rapidash.testing._claimed import EXACT, claimed_error, moving_elements
from rapidash.testing._dataset import check_dataset, rows_of
from rapidash.testing._demand import demand, first_difference, is_close

_PARTS = ("name", "dim", "metric", "unit", "output", "dataset", "build", "ledger", "loss", "errors")
_CLOSE = 1e-8  # relative, of errors of the same samples in float64


def check_task(
    task: Task, variants: Sequence[Variant], *, num_samples: int = 6, metric_tolerance: float = _CLOSE, seed: int = 0
) -> None:
    """Raise AssertionError unless a task does what training, studies and measures rely on.

    Checked are: it is registered and has every part of `rapidash.methods.Task`; splits are functions of their name, as
    `check_dataset` wants them, and differ; and for every variant, without its methods: the loss is a finite scalar with
    a gradient for every weight; the prediction has the rows that ``output`` says; ``errors`` is one number per sample,
    whatever the batch; samples, targets and predictions moved together leave the errors; and the symmetry that the
    ledger claims exactly is there.

    Args:
        task: with small splits.
        variants: small networks, at least one.
        num_samples: how many samples are looked at.
        metric_tolerance: relative change of errors that are moved; 0.75 for means of absolute components, which see
            the axes: |v|_1 of a vector is |v| to sqrt(3) |v|.
        seed: of weights and elements.
    Raises: AssertionError as said; ValueError for no variant; whatever the task raises.
    """
    if not variants:
        raise ValueError("variants must name at least one network that the task is checked with")
    _check_words(task)
    data = _check_splits(task, num_samples)
    batch = data.batch(torch.arange(min(num_samples, len(data)))).to(dtype=torch.float64)
    for variant in variants:
        plain = replace(variant, methods=(), objective=None)
        where = f"task {task.name!r}, variant {variant.name!r}"
        ledger = _ledger(where, task, plain)
        model = _fresh(task, plain, batch, seed)
        prediction = _check_loss(where, task, model, batch)
        _check_errors(where, task, model, data.subset(torch.arange(batch.num_samples)), batch)
        _check_moves(where, task, batch, prediction, ledger, metric_tolerance)
        error = claimed_error(model, task, batch, ledger)
        claimed = "" if ledger.claimed_exactly is None else ledger.claimed_exactly.name
        demand(
            error < EXACT,
            f"{where}: the ledger says that {claimed} holds exactly, the network with random weights is "
            f"off by {error:.2g}: correct the network, or name every input that breaks the symmetry in the ledger",
        )


def _check_words(task: Task) -> None:
    lacking = [part for part in _PARTS if not hasattr(task, part)]
    name = type(task).__name__
    demand(not lacking, f"{name} is no rapidash.methods.Task, it lacks {', '.join(lacking)}")
    for part in ("name", "metric", "unit"):
        words = getattr(task, part)
        demand(
            isinstance(words, str) and bool(words.strip()),
            f"{name}.{part} is {words!r}: say it in words, tables show it ('1' for a number without unit)",
        )
    demand(
        task.name in TASKS,
        f"task {task.name!r} is not registered: records and saved models find it by an entry point of the group "
        "rapidash.tasks, or by TASKS.register",
    )


def _check_splits(task: Task, num_samples: int) -> Dataset:
    """Splits are functions of their name; the training data."""
    name, splits = type(task).__name__, get_args(Split)
    before = torch.get_rng_state()
    first = {split: task.dataset(split) for split in splits}
    demand(
        torch.equal(before, torch.get_rng_state()),
        f"{name}.dataset draws from torch's global generator: draw from one seeded by the split, so that the data are "
        "the same whatever was drawn before",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        again = {split: copy.deepcopy(task).dataset(split) for split in reversed(splits)}
    for split in splits:
        differs = first_difference(dict(first[split].tensors), dict(again[split].tensors))
        demand(differs is None, f"{name}.dataset({split!r}) gives other {differs!r} when it is asked again")
        check_dataset(first[split], group=_moves(task), num_samples=num_samples, what=f"{name}.dataset({split!r})")
    for split, other in (("train", "val"), ("train", "test"), ("val", "test")):
        differs = first_difference(dict(first[split].tensors), dict(first[other].tensors))
        demand(differs is not None, f"{name}: {split} and {other} are the same samples: what is tested was learned")
    return first["train"]


def _ledger(where: str, task: Task, variant: Variant) -> Ledger:
    before = torch.get_rng_state()
    ledger = task.ledger(variant)
    demand(isinstance(ledger, Ledger), f"{where}: ledger returned {type(ledger).__name__}, not a Ledger")
    demand(
        torch.equal(before, torch.get_rng_state()),
        f"{where}: ledger draws from torch's global generator: build networks in it within torch.random.fork_rng()",
    )
    demand(len(ledger.reasons) > 0, f"{where}: the ledger gives no reasons: a sentence for the layers and each input")
    return ledger


def _fresh(task: Task, variant: Variant, batch: Batch, seed: int) -> nn.Module:
    """A calibrated model in float64 whose weights are off their initial values, some of which are zero."""
    model = build_model(task, variant, seed=seed).double()
    if callable(calibrate := getattr(model, "calibrate", None)):
        calibrate(batch)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.05)
    return model


def _check_loss(where: str, task: Task, model: nn.Module, batch: Batch) -> Tensor:
    """The loss and its gradients; the prediction in eval mode."""
    model.train()
    loss = task.loss(model(batch), batch)
    demand(
        isinstance(loss, Tensor) and loss.dim() == 0 and bool(torch.isfinite(loss)),
        f"{where}: the loss must be a finite scalar, got {loss}",
    )
    demand(loss.requires_grad, f"{where}: the loss has no gradient: compute it from the prediction, without detach")
    loss.backward()
    wrong = [
        name
        for name, weight in model.named_parameters()
        if weight.requires_grad and (weight.grad is None or not bool(torch.isfinite(weight.grad).all()))
    ]
    demand(
        not wrong,
        f"{where}: the loss gives no finite gradient to {', '.join(wrong)}: leave out weights that are not used, and "
        "look for norms of zero vectors",
    )
    model.zero_grad(set_to_none=True)
    model.eval()
    with torch.no_grad():
        prediction = model(batch)
    rows, level = rows_of(batch, task.output.level), task.output.level
    demand(
        rows is None or (prediction.dim() > 0 and len(prediction) == rows),
        f"{where}: the prediction has shape {tuple(prediction.shape)}, output says {rows} rows at {level} level",
    )
    return prediction


def _check_errors(where: str, task: Task, model: nn.Module, data: Dataset, batch: Batch) -> None:
    """One finite number per sample, which depends on this sample alone."""
    with torch.no_grad():
        errors = task.errors(model(batch), batch)
    demand(
        errors.shape == (batch.num_samples,),
        f"{where}: errors has shape {tuple(errors.shape)}, expected ({batch.num_samples},): one number per sample",
    )
    demand(bool(torch.isfinite(errors).all()), f"{where}: errors are not finite: {errors.tolist()}")
    found = evaluate(model, task, data, batch_size=1)
    demand(
        is_close(found.per_sample, errors.double(), _CLOSE) and abs(found.mean - float(errors.double().mean())) < 1e-6,
        f"{where}: errors of samples one by one are {found.per_sample.tolist()}, of all of them at once "
        f"{errors.tolist()}: an error must not depend on the other samples of the batch",
    )


def _moves(task: Task) -> MatrixGroup | None:
    """The group that turns test data, as `rapidash.methods.Task` says."""
    found: MatrixGroup | None = getattr(task, "moves", SO(task.dim) if task.dim else None)
    return found


def _check_moves(where: str, task: Task, batch: Batch, prediction: Tensor, ledger: Ledger, tolerance: float) -> None:
    """Inputs, target and prediction moved together are as wrong as before."""
    moves = _moves(task)
    errors = task.errors(prediction, batch)
    for group in [ledger.effective] if moves is None else [ledger.effective, moves]:
        elements = moving_elements(group, batch, batch.num_samples)
        if not len(elements):
            continue
        g = elements[torch.arange(batch.num_samples) % len(elements)]
        moved = task.errors(batch.act(task.output, g, prediction), batch.transform(g))
        demand(
            is_close(moved, errors, tolerance),
            f"{where}: sample, target and prediction moved together by elements of {group.name} have errors "
            f"{moved.tolist()}, unmoved {errors.tolist()}: check the Fields of the target and of output, and that the "
            "metric does not see directions",
        )
