"""Whether a training method keeps the promises that runs, records and saved models rely on."""

import copy
import json
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rapidash._plain import content_key, from_plain, to_plain
from rapidash.data import Batch, Dataset
from rapidash.methods import (
    Method,
    Task,
    Variant,
    all_view_names,
    build_model,
    in_view,
    seen_in_view,
    view_ledger,
    view_names,
)
from rapidash.testing._claimed import EXACT, claimed_error, in_float64
from rapidash.testing._demand import demand, first_difference, is_close, is_frozen
from rapidash.testing._probes import Before, Behind, InterruptedRunError, draws_of_the_global_generator
from rapidash.train import TrainConfig, TrainResult, train

_CONFIG = TrainConfig(
    steps=8, batch_size=4, warmup_steps=2, eval_every=3, checkpoint_every=2, learning_rate=3e-3, ema_decay=0.5
)
_ENDS_AT = 5  # a step behind a checkpoint, in the middle between two validations
_SAMPLES = 12
_SAME_FUNCTION = 1e-9  # relative, in float64


@dataclass
class _Case:
    """The case that one method is checked on, and the runs that were made."""

    task: Task
    base: Variant  # without the method
    run_dir: Path
    seed: int
    train_set: Dataset
    val_set: Dataset
    logs: dict[str, dict[str, Any]] = field(default_factory=dict)

    def variant(self, method: Method | None, *probes: Method) -> Variant:
        between = () if method is None else (method,)
        return replace(self.base, methods=(*self.base.methods, *probes[:1], *between, *probes[1:]))

    def run(
        self, name: str, method: Method | None, *, ends_at: int | None = None, place: str = ""
    ) -> tuple[nn.Module, TrainResult]:
        """A short run with dropout, between two probes."""
        log: dict[str, Any] = {}
        self.logs[name] = log
        variant = self.variant(method, Before(log), Behind(log, ends_at))
        model = build_model(self.task, variant, seed=self.seed)
        result = train(
            model,
            self.task,
            _CONFIG,
            train_set=self.train_set,
            val_set=self.val_set,
            seed=self.seed,
            run_dir=self.run_dir / (place or name),
            progress=False,
            objective=variant.objective,
            methods=variant.methods,
            primary_view=variant.primary_view,
        )
        return model, result

    def batch(self) -> Batch:
        return self.val_set.batch(torch.arange(len(self.val_set)))

    def predicted(self, model: nn.Module) -> Tensor:
        parameter = next(model.parameters())
        with torch.no_grad():
            return model(self.batch().to(parameter.device, parameter.dtype))


def check_method(
    method: Method, task: Task, variant: Variant, run_dir: Path | str, *, off: Method | None = None, seed: int = 0
) -> None:
    """Raise AssertionError unless a method does what runs, records and saved models rely on.

    Checked in short runs, in which a tenth of every prediction is dropped (the dropout of any network), are: it is
    registered, comes back from its plain form, and another setting has another key; with weight zero, ``off``, it is
    plain training bit for bit without a further pass; a run that was interrupted and continued is the run that was not;
    it draws from its own streams, and the others see the same data; passes are counted; values are finite, of the same
    names; views can be left again; the finished model is the function of its primary view, with no more parameters;
    and what the ledger of a view claims exactly holds before and after training.

    Args:
        method: a setting that does something within 8 steps.
        task: with at least 8 training samples and 2 validation samples.
        variant: without the method; its methods act beside it, so give it an augmentation, e.g.
            ``Variant("a", model, methods=(Augment("SO(3)"),))``.
        run_dir: an empty folder for the runs.
        off: the setting that does nothing, e.g. ``replace(method, weight=0.0)``; None for a method without one.
        seed: of the runs.
    Raises: AssertionError as said; ValueError for a folder that is not empty; whatever the method raises.
    """
    run_dir = Path(run_dir)
    if run_dir.exists() and any(run_dir.iterdir()):
        raise ValueError(f"{run_dir} is not empty: runs there would be continued, give another folder")
    _check_settings(method, off)
    sets = [task.dataset(split) for split in ("train", "val")]
    train_set, val_set = (data.subset(torch.arange(min(_SAMPLES, len(data)))) for data in sets)
    case = _Case(task, variant, run_dir, seed, train_set, val_set)
    fresh = _calibrated(case, method)
    names = view_names(case.variant(method).methods, fresh)
    demand(
        method.primary_view in names,
        f"{type(method).__name__}.primary_view is {method.primary_view!r}, the views of a model are {names}",
    )
    _check_claims(case, method, fresh, "before training")
    plain, straight = case.run("plain", None), case.run("straight", method)
    _check_streams(case, method)
    _check_passes(case, method, straight[1])
    _check_values(method, straight[1])
    _check_resumption(case, method, straight)
    if off is not None:
        _check_off(case, off, plain)
    model, result = straight
    _check_views(case, method, model)
    _check_finish(case, method, model)
    _check_claims(case, method, model, "after training", result.best)


def _check_settings(method: Method, off: Method | None) -> None:
    name = type(method).__name__
    demand(
        isinstance(method, Method) and is_frozen(method),
        f"{name} is no frozen dataclass that derives from rapidash.methods.Method: its settings are its fields",
    )
    try:
        again = _again(method)
    except (ValueError, TypeError) as error:
        raise AssertionError(f"{name} does not come back from its plain form: {error}") from error
    demand(again == method, f"{name} comes back from its plain form as another one, {again}: look at __post_init__")
    others = [off] if off is not None else []
    others += [found for item in fields(method) if (found := _changed(method, item.name)) is not None]  # type: ignore[arg-type]
    for other in others:
        demand(
            _key(other) != _key(method) and other != method,
            f"{name}: {other} and {method} have one key, so one would be taken for the run of the other: every "
            "setting must be a field that compares and reaches the plain form",
        )


def _again(method: Method) -> Method:
    """The method of another process."""
    plain = json.loads(json.dumps(to_plain(method)))
    return from_plain(Method, plain, complete=True)


def _key(method: Method) -> str:
    return content_key(to_plain(method, for_key=True))


def _changed(method: Any, name: str) -> Method | None:
    """The method with another value of one field, None where none that is tried is allowed."""
    value = getattr(method, name)
    tried: list[Any] = []
    if isinstance(value, bool):
        tried = [not value]
    elif isinstance(value, int | float):
        tried = [value + 1, value / 2, value * 2]
    tried = [type(value)(other) for other in tried]
    for other in tried:
        try:
            found = replace(method, **{name: other})
        except (ValueError, TypeError):
            continue
        if other != value:
            return found
    return None


def _calibrated(case: _Case, method: Method) -> nn.Module:
    """A fresh model as a run begins with it."""
    model = build_model(case.task, case.variant(method), seed=case.seed)
    model.train()
    if callable(calibrate := getattr(model, "calibrate", None)):
        calibrate(case.batch().to(dtype=next(model.parameters()).dtype))
    return model.eval()


def _check_streams(case: _Case, method: Method) -> None:
    """It draws from its own generators, and what comes before it sees the same data."""
    name, log, plain = type(method).__name__, case.logs["straight"], case.logs["plain"]
    part = draws_of_the_global_generator(log)
    demand(
        part is None,
        f"{name}: its control moves torch's global generator in {part}(), so that dropout changes with it: draw "
        "from the generators that it is given",
    )
    for step in range(_CONFIG.steps):
        key = f"before batch {step}"
        differs = first_difference(plain[key], log[key])
        demand(
            differs is None,
            f"{name}: the data of step {step} are others with it than without it (in {differs!r}), before it acts: it "
            "must not write into batches or data",
        )


def _check_passes(case: _Case, method: Method, result: TrainResult) -> None:
    extra = (case.logs["straight"]["passes"] - case.logs["plain"]["passes"]) / _CONFIG.steps
    demand(
        abs(extra - result.extra_passes) < 1e-9,
        f"{type(method).__name__} calls the model {extra:g} times more in a step than plain training, counted are "
        f"{result.extra_passes:g}: use the prediction at hand, and view.predict(batch) for another one",
    )


def _check_values(method: Method, result: TrainResult) -> None:
    name = type(method).__name__
    found = [{key: value for key, value in row.items() if key.startswith("value/")} for row in result.history]
    names = [sorted(row) for row in found]
    demand(
        all(row == names[0] for row in names),
        f"{name}: values() have other names at later validations, {names}: state the same ones from the start",
    )
    wrong = sorted({key for row in found for key, value in row.items() if not math.isfinite(value)})
    demand(not wrong, f"{name}: {', '.join(wrong)} are not finite: a table cannot show them")


def _check_resumption(case: _Case, method: Method, straight: tuple[nn.Module, TrainResult]) -> None:
    name = type(method).__name__
    with suppress(InterruptedRunError):
        case.run("killed", method, ends_at=_ENDS_AT)
    model, result = case.run("continued", _again(method), place="killed")
    advice = "what a control keeps between steps must be in state_dict() and load_state_dict()"
    for row, right in zip(_rows(result), _rows(straight[1]), strict=True):
        differs = first_difference(right, row)
        demand(
            differs is None,
            f"{name}: a run that was interrupted and continued has another {differs} at step {right['step']} than the "
            f"run that was not ({row.get(differs or '')} and {right.get(differs or '')}): {advice}",
        )
    for view, state in {**straight[1].best, "the model": straight[0].state_dict()}.items():
        found = model.state_dict() if view == "the model" else result.best[view]
        differs = first_difference(state, found)
        demand(
            differs is None,
            f"{name}: a run that was interrupted and continued has other weights {differs} ({view}) than the run that "
            f"was not: {advice}",
        )
    demand(result.extra_passes == straight[1].extra_passes, f"{name}: a continued run counts other passes: {advice}")


def _rows(result: TrainResult) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key != "seconds"} for row in result.history]


def _check_off(case: _Case, off: Method, plain: tuple[nn.Module, TrainResult]) -> None:
    """Weight zero is plain training, bit for bit."""
    model, result = case.run("off", off)
    demand(
        result.extra_passes == 0 and case.logs["off"]["passes"] == case.logs["plain"]["passes"],
        f"{off} does nothing, and takes {case.logs['off']['passes'] - case.logs['plain']['passes']} more passes of the "
        f"model in {_CONFIG.steps} steps: leave them out at weight zero, e.g. by returning no control",
    )
    part = draws_of_the_global_generator(case.logs["off"])
    demand(part is None, f"{off} does nothing, and moves torch's global generator in {part}()")
    for row, right in zip(_rows(result), _rows(plain[1]), strict=True):
        differs = first_difference(right, {key: value for key, value in row.items() if key in right})
        demand(
            differs is None,
            f"{off} does nothing, and gives another {differs} than plain training at step {right['step']} "
            f"({row.get(differs or '')} and {right.get(differs or '')}): it must leave it bit for bit",
        )
    lacking = _without_twin(plain[0].state_dict(), model.state_dict())
    demand(
        lacking is None,
        f"{off} does nothing, and the weight {lacking} after training is another one than that of plain training",
    )
    demand(
        torch.equal(case.predicted(model), case.predicted(plain[0])),
        f"{off} does nothing, and the trained model predicts otherwise than that of plain training",
    )


def _without_twin(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str | None:
    """The first weight that is not there with the same name, or with that name at the end of its own (in a wrapper)."""
    for name, weight in expected.items():
        twins = [other for key, other in found.items() if key == name or key.endswith(f".{name}")]
        if not any(torch.equal(weight, twin) for twin in twins):
            return name
    return None


def _check_views(case: _Case, method: Method, model: nn.Module) -> None:
    """Views can be entered and left, also by an error; they depend on nothing but the model."""
    name, variant = type(method).__name__, case.variant(method)
    before, expected = _condition(model), case.predicted(model)
    random = torch.get_rng_state()
    for view in view_names(variant.methods, model):
        seen: list[Tensor] = []
        for methods in (variant.methods, (*case.base.methods, _again(method))):
            with in_view(model, methods, view):
                seen.append(case.predicted(model))
        demand(torch.equal(*seen), f"{name}: the view {view!r} of one model gives two predictions: draw nothing in it")
        with suppress(InterruptedRunError), in_view(model, variant.methods, view):
            raise InterruptedRunError
        differs = first_difference(before, _condition(model)) or "in what it predicts"
        demand(
            differs == "in what it predicts" and torch.equal(case.predicted(model), expected),
            f"{name}: when the view {view!r} is left, the model is another one than before ({differs}): restore it in "
            "a finally",
        )
    demand(torch.equal(random, torch.get_rng_state()), f"{name}: its views move torch's global generator")


def _condition(model: nn.Module) -> dict[str, Any]:
    """Weights and buffers, which of them are trained, and the modes of all parts."""
    found: dict[str, Any] = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    found |= {f"{name}, requires_grad": weight.requires_grad for name, weight in model.named_parameters()}
    return found | {f"{name or 'the model'}, training": module.training for name, module in model.named_modules()}


def _check_finish(case: _Case, method: Method, model: nn.Module) -> None:
    """Demand that ``finish`` returns the function of the primary view."""
    name, twin = type(method).__name__, in_float64(model)
    with in_view(twin, [method], method.primary_view):
        expected = case.predicted(twin)
    num_before = sum(parameter.numel() for parameter in twin.parameters())
    finished = method.finish(copy.deepcopy(twin))
    demand(isinstance(finished, nn.Module), f"{name}.finish returned {type(finished).__name__}, not a module")
    finished.eval()
    found = case.predicted(finished)
    demand(
        is_close(found, expected, _SAME_FUNCTION),
        f"{name}.finish changes the function: its predictions differ from those of the view {method.primary_view!r} by "
        f"{float((found - expected).abs().max()) if found.shape == expected.shape else 'their shape'}",
    )
    num_after = sum(parameter.numel() for parameter in finished.parameters())
    demand(
        num_after <= num_before,
        f"{name}.finish adds parameters, {num_before} before and {num_after} after: it leaves out what the view does "
        "not use",
    )


def _check_claims(
    case: _Case, method: Method, model: nn.Module, when: str, best: Mapping[str, Mapping[str, Any]] | None = None
) -> None:
    """Measure the exact claim of the ledger of every view; with ``best`` each view has its own weights."""
    name, variant = type(method).__name__, case.variant(method)
    for view in all_view_names(variant, model):
        ledger = view_ledger(case.task, variant, view)
        with seen_in_view(model, case.task, variant, view, best) as shown:
            error = claimed_error(shown, case.task, case.batch(), ledger)
        claimed = "" if ledger.claimed_exactly is None else ledger.claimed_exactly.name
        demand(
            error < EXACT,
            f"{name}: the ledger of the view {view!r} says that {claimed} holds exactly, the model is "
            f"off by {error:.2g} {when}: say in ledger() what the method takes away",
        )
