"""`rapidash study`: the variants of a task over several seeds, and the report."""

import contextlib
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from shlex import quote

from rapidash._cli_design import check_early, chosen_design, early_words, own_files
from rapidash._cli_options import changed_design, chosen_resources, study_parser, use_data
from rapidash._cli_own import default_folder
from rapidash._cli_report import print_robustness, write_page
from rapidash._cli_usage import FAILED, UsageError, output_folder
from rapidash._names import unknown_name
from rapidash._training_folder import MODEL_FOLDER, RUNS_FOLDER
from rapidash.report import MEASUREMENT_PAGE, measure_run, terminal_table, write_measurement
from rapidash.study import (
    CorruptionPlan,
    Record,
    SavedWeights,
    StoreError,
    StudyDesign,
    StudySummary,
    compared_with_saved,
    load_run,
    plan_corruptions,
    read_study,
    row_name,
    run_corruptions,
    run_study,
    summarize,
)
from rapidash.tasks import get_task
from rapidash.train import find_device


def study(words: list[str]) -> int:
    """Train all variants of a task's study and write its report."""
    words, own = own_files(words)
    early = early_words(words)
    task, full, rest = early.task, early.full, early.words
    design = chosen_design(early, own)
    parser = study_parser(design, task)
    options = parser.parse_args(rest)
    check_early(options, task=task, full=full)
    design = changed_design(design, options, parser)
    resources = chosen_resources(options, parser)
    use_data(options.data)
    if options.init is not None:
        design = _begun(design, options.init)
    folder = f"runs/{task}" if own is None else default_folder("study", own)
    out = output_folder(options.out or folder + ("-full" if options.full else ""))
    if options.launcher == "local":
        find_device(design.train.device)
    corruptions = _planned_corruptions(design, options.corruptions, options.reference)
    accepted = False

    def announce() -> None:
        nonlocal accepted
        accepted = True
        print(plan_text(design, out), file=sys.stderr)

    try:
        records = run_study(
            design,
            out,
            launcher=options.launcher,
            workers=options.workers,
            resources=resources,
            progress=not options.quiet,
            on_accepted=announce,
        )
    except (KeyboardInterrupt, StoreError):
        if accepted:  # a refused command leaves what is there alone
            with contextlib.suppress(Exception):  # what stopped the study is what must be told
                write_page(out, quiet=True)
        raise
    summary = summarize(read_study(out))
    print(terminal_table(summary))
    if corruptions is not None and any(record["status"] == "done" for record in records):
        run_corruptions(out, corruptions, report=lambda line: print(line, file=sys.stderr))
    print_robustness(summary)
    if options.measure:
        _measure_variants(records, out)
    write_page(out)
    if how := sampling_command(design, summary, out):
        print(f"sample it: {how}")
    failed = sum(record["status"] != "done" for record in records)
    if failed:
        print(f"rapidash: {failed} of {len(records)} runs failed; run the same command to retry them", file=sys.stderr)
    return FAILED if failed else 0


def _begun(design: StudyDesign, folder: str) -> StudyDesign:
    """The study with variants that begin with saved weights; weights that fit none are an error of usage."""
    try:
        return compared_with_saved(design, SavedWeights.of(folder))
    except (FileNotFoundError, ValueError) as error:
        raise UsageError(f"--init: {error}") from error


def _planned_corruptions(design: StudyDesign, words: list[str] | None, reference: str | None) -> CorruptionPlan | None:
    """Plan the corruptions that --corruptions names; a wrong name is an error of usage before anything is trained."""
    if words is None:
        if reference is not None:
            raise UsageError("--reference needs --corruptions; rapidash report DIR --reference changes it afterwards")
        return None
    names = [variant.name for variant in design.variants]
    if reference is not None and reference not in names:
        raise UsageError(unknown_name("reference variant", reference, names))
    try:
        task = get_task(design.task, **design.task_options)
        return plan_corruptions(task, words, reference=reference or "")
    except ValueError as error:
        raise UsageError(f"--corruptions: {error}") from error


def _measure_variants(records: Sequence[Record], out: Path) -> None:
    """Measure the first finished run of every variant that has no page yet; the report shows the pages."""
    first: dict[str, Path] = {}
    for record in records:
        if record["status"] == "done":
            config = record["config"]
            row = row_name(config["variant"]["name"], config.get("level") or {})
            first.setdefault(row, out / "work" / record["key"])
    for name, directory in first.items():
        if (directory / MEASUREMENT_PAGE).is_file():
            continue
        print(f"measuring {name}", file=sys.stderr)
        try:
            write_measurement(measure_run(load_run(directory)), directory / MEASUREMENT_PAGE)
        except ValueError as error:  # an output without a direction or a norm, say: the rest of the report stands
            warnings.warn(f"{name} could not be measured: {error}", stacklevel=2)


def plan_text(design: StudyDesign, out: Path) -> str:
    """The runs of a study in a line: how many of what, how long, and where."""
    counts = [
        _plural(len(design.variants), "variant"),
        _plural(len(design.seeds), "seed"),
        _plural(len(design.fractions), "data fraction"),
        *(f"{_plural(len(values), 'value')} of {name}" for name, values in design.factors.items()),
    ]
    runs = f"{' x '.join(counts)} = {_plural(len(design.runs()), 'run')}"
    return f"{design.task} (setting: {design.setting}): {runs} of {_length(design)}, in {out}"


def _length(design: StudyDesign) -> str:
    """The steps of a run, all numbers of them where they are a factor; or what is equal, and where."""
    if design.equal != "steps":
        return f"equal {design.equal}{' at each level' if design.factors else ''}"
    numbers = design.factors.get("train.steps", (design.train.steps,))
    return f"{' or '.join(map(str, numbers))} step{'' if numbers == (1,) else 's'}"


def sampling_command(design: StudyDesign, summary: StudySummary, out: Path) -> str:
    """The command that draws from the best variant of a study of generators; empty where it has no saved model.

    Args:
        design, summary: of the study.
        out: its folder.
    """
    from rapidash.generate import DenoisingTask

    if summary.best is None or not isinstance(get_task(design.task, **design.task_options), DenoisingTask):
        return ""
    folders = (out / RUNS_FOLDER / run.text("key") for run in summary.best.finished)
    folder = next((folder for folder in folders if (folder / MODEL_FOLDER).is_dir()), None)
    return "" if folder is None else f"rapidash sample {quote(str(folder))} --num 100 --out samples.xyz"


def _plural(num: int, noun: str) -> str:
    return f"{num} {noun}{'' if num == 1 else 's'}"
