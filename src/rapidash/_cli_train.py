"""`rapidash train`: one variant of a study, trained and tested once."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from rapidash._allocation_limit import COPIES_IN_TRAINING, AllocationLimit, machine_memory
from rapidash._cli_design import check_early, chosen_design, early_words, own_files
from rapidash._cli_options import changed_design, changed_variant, train_parser, use_data
from rapidash._cli_own import default_folder
from rapidash._cli_usage import FAILED, UsageError, output_folder
from rapidash._names import unknown_name, with_unit
from rapidash._plain import from_plain
from rapidash._training_folder import MODEL_FOLDER, RECORDS_FOLDER
from rapidash.methods import Variant, build_model, modern_variant
from rapidash.report import symmetry_of_run
from rapidash.represent import start_from
from rapidash.study import Record, RunConfig, SavedWeights, Store, StudyDesign, check_data, last_line, run_one
from rapidash.tasks import get_task
from rapidash.train import find_device

_LARGEST: Final = {  # of a network
    "num_layers": 10_000,
    "num_orientations": 10_000,
    "max_degree": 100,
    "table_size": 100_000,
}


def train(words: list[str]) -> int:
    """Train one variant."""
    words, own = own_files(words)
    if own is not None and (own.learns_symmetry or own.methods is not None):
        raise UsageError("--learn-symmetry and --methods are for rapidash study")
    early = early_words(words)
    task, full, rest = early.task, early.full, early.words
    design = chosen_design(early, own)
    names = [variant.name for variant in design.variants]
    wanted = early.variant or names[0]
    design = _design_of_one(design, wanted)
    variant = design.variants[0]
    parser = train_parser(design, task, names)
    options = parser.parse_args(rest)
    if isinstance(wanted, Mapping) and options.variant == wanted.get("name"):
        options.variant = wanted
    check_early(options, task=task, full=full, variant=wanted)
    variant = changed_variant(variant, options, parser)
    try:
        init = design.inits.get(variant.name) if options.init is None else SavedWeights.of(options.init)
    except (FileNotFoundError, ValueError) as error:
        raise UsageError(f"--init: {error}") from error
    changed = changed_design(replace(design, variants=(variant,), train_overrides={}, inits={}), options, parser)
    seed, fraction = options.seed, options.fraction
    variant.model.check_libraries()
    use_data(options.data)
    find_device(changed.train.device)
    task_options = dict(changed.task_options)
    if design.seed_option is not None:  # as in the study
        task_options[design.seed_option] = seed
    run = RunConfig(design.task, variant, seed, changed.train, fraction, task_options, changed.measures, init=init)
    out = output_folder(options.out or (f"runs/train-{task}" if own is None else default_folder("train", own)))
    known = Store(out).load(run.key)
    if known is None or known["status"] != "done":
        _check_model(design.task, task_options, variant, init.folder if isinstance(init, SavedWeights) else None)
        check_data(design.task, task_options)
    record = run_one(run, out, progress=not options.quiet)
    if record is None:
        raise ValueError(f"another process is training this run in {out}")
    return _show_run(record, run, out)


def _design_of_one(design: StudyDesign, wanted: str | Mapping[str, Any]) -> StudyDesign:
    """The design with one variant: by its name one of its own, or one that a file of settings gives with all its parts.

    Raises: UsageError for a name that it does not have, or parts that are no variant.
    """
    if isinstance(wanted, str):
        names = [variant.name for variant in design.variants]
        if wanted not in names:
            raise UsageError(unknown_name("variant", wanted, names))
        return design.select([wanted])
    try:
        given = from_plain(Variant, modern_variant(wanted))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UsageError(f"--config: variant is no variant of a study: {error}") from error
    variant = replace(given, neighbor=None, knob="")
    return replace(design, variants=(variant,), train_overrides={}, inits={}, budget_of=None)


def _check_model(task: str, task_options: Mapping[str, Any], variant: Variant, init: str | None) -> None:
    """Raises: UsageError for a network that the task cannot build, that does not fit into memory when trained, or that
    the weights in the folder ``init`` do not fit."""
    for name, largest in _LARGEST.items():
        value = getattr(variant.model, name, 0)
        if sum(value if isinstance(value, tuple | list) else [value]) > largest:
            raise UsageError(f"--model: {name} must be at most {largest}, got {value}")
    try:
        with AllocationLimit(machine_memory() // COPIES_IN_TRAINING):
            model = build_model(get_task(task, **task_options), variant)
    except ValueError as error:
        raise UsageError(f"--model: {error}") from error
    if init is not None:
        try:
            start_from(model, init)
        except (FileNotFoundError, ValueError) as error:
            raise UsageError(f"--init: {error}") from error


def _show_run(record: Record, run: RunConfig, out: Path) -> int:
    """Print what came of a run, and return the exit code."""
    if record["status"] != "done":
        reason = last_line(str(record["error"]))
        place = out / RECORDS_FOLDER / f"{run.key}.json"
        print(f"rapidash: error: {run.label} failed: {reason}; the traceback is in {place}", file=sys.stderr)
        return FAILED
    print(f"{run.label}: {symmetry_of_run(record)}")
    rows = [
        (name, f"{with_unit(f'{record[name]:.5g}', record['unit'])}  ({record['metric']})")
        for name in ("val_error", "test_error", "test_error_rotated", "test_error_tta")
        if record[name] is not None
    ]
    details = record.get("test_details", {})
    rows += [(name, f"{value:.5g}  (test data)") for name, value in details.items() if value is not None]
    measured = record.get("equivariance", {})
    before, after = (measured.get(moment, {}).get("mean") for moment in ("before", "after"))
    if before is not None and after is not None:
        rows.append(("equivariance error", f"{before:.1e} before training, {after:.1e} after"))
    if (start := record.get("start")) is not None:
        rows.append(("weights begin with", f"{start['folder']}: {len(start['loaded'])} tensors"))
        rows.append(("fresh", ", ".join(start["fresh"]) or "none"))
    if len(record["views"]) > 1:
        shown = {view: entry["test_error"] for view, entry in record["views"].items() if "test_error" in entry}
        rows += [(f"test_error, {view}", with_unit(f"{error:.5g}", record["unit"])) for view, error in shown.items()]
    folder = out / "work" / run.key / MODEL_FOLDER
    gone = "" if folder.is_dir() else "  (was removed: with another --out it is trained again)"
    rows.append(("model", f"{folder}{gone}"))
    width = max(len(name) for name, _ in rows)
    print("\n".join(f"  {name:<{width}}  {text}" for name, text in rows))
    return 0
