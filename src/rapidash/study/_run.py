"""One run of a study, from its configuration to its record; safe to call any number of times, from any process."""

import time
import traceback
from pathlib import Path
from typing import Any

from rapidash._plain import to_plain
from rapidash._training_folder import MODEL_FOLDER
from rapidash.methods import Supervised, in_view
from rapidash.nn import used_parameters
from rapidash.ops import use_products
from rapidash.represent import start_from
from rapidash.study._adopt import adopt_training
from rapidash.study._build import calibrated, fresh_model
from rapidash.study._claims import before_and_after
from rapidash.study._cost import cost_in_record
from rapidash.study._data import training_subset
from rapidash.study._environment import commit
from rapidash.study._init import PRETRAINING, SavedWeights
from rapidash.study._plugins import load_plugins
from rapidash.study._progress import last_line
from rapidash.study._provenance import failed_record, now, provenance
from rapidash.study._run_config import RunConfig
from rapidash.study._store import Record, Store, StoreError, is_full_disk
from rapidash.study._views import Views, finite_or_none
from rapidash.study._weights import save_weights
from rapidash.tasks import get_task
from rapidash.train import CHECKPOINT, train

_WAIT = 1.0  # seconds between looks at a run of another process


def run_one(config: RunConfig, study_dir: Path | str, *, progress: bool = False) -> Record | None:
    """Train, evaluate and measure one configuration, and write its record.

    Idempotent: a finished run returns its record, an interrupted one continues from its checkpoint, a failed one is
    tried again. What a finished run of the study has trained is not trained again for another average at test time. An
    error of the run becomes a record with ``status`` "failed" and the traceback. Validation data select the weights;
    test data are read once, after training.

    Args:
        config: what to run.
        study_dir: directory of the study, see `Store`.
        progress: of the training, on stderr.
    Returns: the record, or None when another process is at work on this run.
    Raises: StoreError when the disk is full or the store cannot be written. Ctrl-C and SIGTERM pass through after the
        training has saved a checkpoint.
    """
    store = Store(study_dir)
    with store.claim(config.key) as is_mine:
        if not is_mine:
            return None
        record = store.load(config.key)
        if record is not None and record["status"] == "done":
            return record
        record = _execute(config, store, progress=progress)
        store.save(record)
        return record


def _execute(config: RunConfig, store: Store, *, progress: bool) -> Record:
    started, clock = now(), time.perf_counter()
    try:
        load_plugins()
        results, earlier = _results(config, store, progress=progress)
    except Exception as error:
        if is_full_disk(error) or isinstance(error, StoreError):
            raise StoreError(f"run {config.label} stopped: {error}. Finished runs are kept") from error
        return failed_record(config, traceback.format_exc(), started=started, seconds=time.perf_counter() - clock)
    return {
        **provenance(config),
        "status": "done",
        "error": None,
        "started": started,
        "seconds": time.perf_counter() - clock + earlier,
        **results,
    }


def _results(config: RunConfig, store: Store, *, progress: bool) -> tuple[dict[str, Any], float]:
    """Train and measure a run; return the results for its record, and the seconds that earlier sessions of it took."""
    directory = store.work_dir(config.key)
    begin = _beginning(config, store, progress=progress)
    if adopt_training(config, store):
        try:
            found = _train_and_measure(config, directory, begin, progress=progress)
            return found[0], 0.0  # the other run has them on record
        except ValueError:  # the data, or the package, are others by now
            (directory / CHECKPOINT).unlink(missing_ok=True)
    return _train_and_measure(config, directory, begin, progress=progress)


def _beginning(config: RunConfig, store: Store, *, progress: bool) -> Path | None:
    """The folder of the saved model with which a run begins, trained first where that is a pre-training."""
    if config.init is None:
        return None
    if isinstance(config.init, SavedWeights):
        config.init.check()
        return Path(config.init.folder)
    given = config.init
    first = RunConfig(given.task, given.variant, config.seed, given.train, task_options=given.task_options)
    folder = store.directory / PRETRAINING
    while (record := run_one(first, folder, progress=progress)) is None:  # another process is at work on it
        time.sleep(_WAIT)
    if record["status"] != "done":
        raise RuntimeError(f"the pre-training {first.label} in {folder} failed: {last_line(str(record['error']))}")
    return Store(folder).work_dir(record["key"]) / MODEL_FOLDER


def _train_and_measure(
    config: RunConfig, run_dir: Path, begin: Path | None, *, progress: bool
) -> tuple[dict[str, Any], float]:
    """Train from the beginning or the checkpoint, and measure; also the seconds of the sessions before.

    Args:
        config, run_dir: the run.
        begin: the saved model whose weights it begins with; None: fresh ones.
        progress: of the training, on stderr.
    """
    variant, settings = config.variant, config.train
    task = get_task(config.task, **config.task_options)
    objective = variant.objective or Supervised()
    train_set = training_subset(task.dataset("train"), config.fraction, config.seed)
    val_set = task.dataset("val")
    model = fresh_model(task, config)
    start = None if begin is None else start_from(model, begin)
    seen = Views(task, variant, model)
    before = seen.measured(calibrated(model, train_set, config), val_set, config, "before")
    result = train(
        model,
        task,
        settings,
        train_set=train_set,
        val_set=val_set,
        seed=config.seed,
        run_dir=run_dir,
        progress=progress,
        objective=objective,
        methods=variant.methods,
        primary_view=variant.primary_view,
    )
    seen.learn(model, result.best)
    with use_products(result.products):
        scores = seen.tested(model, result.best, train_set, config)
        after = seen.measured(model, val_set, config, "after", best=result.best)
        model.load_state_dict(result.best[variant.primary_view])
        with in_view(model, variant.methods, variant.primary_view):
            cost = cost_in_record(model, task, variant, val_set)
    test_errors = seen.of_primary(scores)
    units = {"metric": objective.metric(task), "unit": objective.unit(task)}
    results = {**units, "val_error": result.best_val_error, **test_errors}
    save_weights(model, config, run_dir, results=results | {"commit": commit()})
    values = {
        "parameters": used_parameters(model),
        "num_train": len(train_set),
        "history": [{key: finite_or_none(value) for key, value in row.items()} for row in result.history],
        "best_step": result.best_step,
        "seconds_per_step": result.seconds_per_step,
        "train_seconds": result.train_seconds,
        "peak_memory_bytes": result.peak_memory_bytes,
        "products": result.products,
        "products_made": list(result.products_made),
        "product_error": result.product_error,
        "val_error": result.best_val_error,
        **test_errors,
        **units,
        "symmetry": seen.ledgers[variant.primary_view].to_dict(),
        **before_and_after(before[variant.primary_view].symmetry, after[variant.primary_view].symmetry),
        "symmetry_cost": cost,
        "views": seen.in_record(result, scores, before, after),
        "measurements": [to_plain(found) for found in seen.measurements(result, scores, units, before, after)],
        **({} if start is None else {"start": to_plain(start)}),
        "pictures": [to_plain(one) for all_views in (before, after) for v in all_views.values() for one in v.pictures],
        "scenes": [to_plain(one) for all_views in (before, after) for v in all_views.values() for one in v.scenes],
    }
    return values, result.earlier_seconds
