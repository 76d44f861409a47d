"""The command line: `rapidash COMMAND`. A subcommand is one function and one row of `COMMANDS`."""

import contextlib
import os
import signal
import sys
import textwrap
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NamedTuple

from rapidash._names import unknown_name
from rapidash._version import __version__

if TYPE_CHECKING:  # torch and jsonargparse are imported by the subcommand that needs them: help must be quick
    from rapidash._cli_own import OwnFiles
    from rapidash.methods import Variant
    from rapidash.study import CorruptionPlan, Record, RunConfig, StudyDesign, StudySummary

FAILED, USAGE_ERROR = 1, 2
_LARGEST = {"num_layers": 10_000, "num_orientations": 10_000, "max_degree": 100, "table_size": 100_000}  # of a network


class Terminated(KeyboardInterrupt):
    """A signal that asks the process to end, such as SIGTERM: what Ctrl-C does is done."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


class UsageError(ValueError):
    """A wrong word on the command line that no parser sees: exit code 2."""


class Command(NamedTuple):
    """A subcommand: one line for the overview, what it does with the arguments after its name, and when interrupted."""

    summary: str
    run: Callable[[list[str]], int]
    interrupted: str = "the same command begins anew; files are written at its end, each whole or not at all"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code: 0, 1 for an error, 2 for wrong usage, 130 when interrupted.

    SIGTERM and SIGHUP, unless they are ignored (nohup), end a command as Ctrl-C does, with 143 and 129.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    warnings.showwarning = _show_warning
    if not words or words[0] in ("-h", "--help", "help"):
        print(_overview())
        return 0
    if words[0] in ("-V", "--version"):
        print(f"rapidash {__version__}")
        return 0
    if words[0] not in COMMANDS:
        print(f"rapidash: error: {unknown_name('command', words[0], COMMANDS)} (see rapidash --help)", file=sys.stderr)
        return USAGE_ERROR
    data = os.environ.get("RAPIDASH_DATA")
    try:
        with _terminations():
            return COMMANDS[words[0]].run(words[1:])
    except KeyboardInterrupt as stop:
        number = stop.number if isinstance(stop, Terminated) else signal.SIGINT
        by = f" by {signal.Signals(number).name}" if number != signal.SIGINT else ""
        with contextlib.suppress(OSError):  # the terminal may be closed
            print(f"rapidash: interrupted{by}; {COMMANDS[words[0]].interrupted}", file=sys.stderr)
        return 128 + number
    except BrokenPipeError:  # `rapidash ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:
        if debug or not _is_user_error(error):
            raise
        print(f"rapidash: error: {_one_line(error)}", file=sys.stderr)
        return USAGE_ERROR if isinstance(error, UsageError) else FAILED
    finally:  # --data has changed it
        os.environ.pop("RAPIDASH_DATA", None)
        os.environ.update({} if data is None else {"RAPIDASH_DATA": data})


@contextlib.contextmanager
def _terminations() -> Iterator[None]:
    """Within the block, signals that would end the process without a word raise `Terminated`."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Terminated(number)

    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    if threading.current_thread() is not threading.main_thread():
        numbers = []
    changed = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]
    for number in changed:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in changed:
            signal.signal(number, signal.SIG_DFL)


def _study(words: list[str]) -> int:
    """Train all variants of a task's study and write its report."""
    from rapidash._cli_options import changed_design, chosen_resources, study_parser, use_data
    from rapidash._cli_own import default_folder
    from rapidash.report import terminal_table
    from rapidash.study import StoreError, read_study, run_corruptions, run_study, summarize
    from rapidash.train import find_device

    words, own = _own_files(words)
    early = _early(words)
    task, full, rest = early.task, early.full, early.words
    design = _design(early, own)
    parser = study_parser(design, task)
    options = parser.parse_args(rest)
    _check_early(options, task=task, full=full)
    design = changed_design(design, options, parser)
    resources = chosen_resources(options, parser)
    use_data(options.data)
    if options.init is not None:
        design = _begun(design, options.init)
    folder = f"runs/{task}" if own is None else default_folder("study", own)
    out = _output_folder(options.out or folder + ("-full" if options.full else ""))
    if options.launcher == "local":
        find_device(design.train.device)
    corruptions = _planned_corruptions(design, options.corruptions, options.reference)
    accepted = False

    def announce() -> None:
        nonlocal accepted
        accepted = True
        print(_plan(design, out), file=sys.stderr)

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
                _write_report(out, quiet=True)
        raise
    summary = summarize(read_study(out))
    print(terminal_table(summary))
    if corruptions is not None and any(record["status"] == "done" for record in records):
        run_corruptions(out, corruptions, report=lambda line: print(line, file=sys.stderr))
    _print_robustness(summary)
    if options.measure:
        _measure_variants(records, out)
    _write_report(out)
    failed = sum(record["status"] != "done" for record in records)
    if failed:
        print(f"rapidash: {failed} of {len(records)} runs failed; run the same command to retry them", file=sys.stderr)
    return FAILED if failed else 0


def _begun(design: "StudyDesign", folder: str) -> "StudyDesign":
    """The study with variants that begin with saved weights; weights that fit none are an error of usage."""
    from rapidash.study import SavedWeights, compared_with_saved

    try:
        return compared_with_saved(design, SavedWeights.of(folder))
    except (FileNotFoundError, ValueError) as error:
        raise UsageError(f"--init: {error}") from error


def _own_files(words: list[str]) -> tuple[list[str], "OwnFiles | None"]:
    """The words without a user's files and what is said of them, and these.

    Raises: UsageError for words that do not go together.
    """
    from rapidash._cli_own import OwnFilesError, taken_own_files
    from rapidash.registry import DESIGNS
    from rapidash.study import load_plugins

    load_plugins()
    try:
        return taken_own_files(words, list(DESIGNS))
    except OwnFilesError as error:
        raise UsageError(str(error)) from error


def _design(early: "_Early", own: "OwnFiles | None") -> "StudyDesign":
    """The study of a task, or of a user's files, of which is said what was found in them."""
    from rapidash._cli_own import OWN_TASK, OwnFilesError, design_of_options
    from rapidash.study import get_design

    if own is not None:
        try:
            design, said = own.design(full=early.full)
        except OwnFilesError as error:
            raise UsageError(str(error)) from error
        for line in said:
            print(line, file=sys.stderr)
        return design
    if early.task == OWN_TASK:
        return design_of_options(early.task_options, full=early.full)
    return get_design(early.task, full=early.full)


def _planned_corruptions(
    design: "StudyDesign", words: list[str] | None, reference: str | None
) -> "CorruptionPlan | None":
    """Plan the corruptions that --corruptions names; a wrong name is an error of usage before anything is trained."""
    from rapidash.study import plan_corruptions
    from rapidash.tasks import get_task

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


def _print_robustness(summary: "StudySummary") -> None:
    """The table of errors under corruptions, where the models were tested."""
    from rapidash.report import robustness_table
    from rapidash.study import read_robustness

    if (found := read_robustness(summary.study.directory, summary.study.records)) is not None:
        print(robustness_table(found, summary))


def _measure_variants(records: "Sequence[Record]", out: Path) -> None:
    """Measure the first finished run of every variant that has no page yet; the report shows the pages."""
    from rapidash.report import MEASUREMENT_PAGE, measure_run, write_measurement
    from rapidash.study import load_run, row_name

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


def _train(words: list[str]) -> int:
    """Train one variant."""
    from dataclasses import replace

    from rapidash._cli_options import changed_design, changed_variant, train_parser, use_data
    from rapidash._cli_own import default_folder
    from rapidash.study import RunConfig, SavedWeights, Store, check_data, run_one
    from rapidash.train import find_device

    words, own = _own_files(words)
    if own is not None and (own.learns_symmetry or own.methods is not None):
        raise UsageError("--learn-symmetry and --methods are for rapidash study")
    early = _early(words)
    task, full, rest = early.task, early.full, early.words
    design = _design(early, own)
    names = [variant.name for variant in design.variants]
    wanted = early.variant or names[0]
    design = _design_of_one(design, wanted)
    variant = design.variants[0]
    parser = train_parser(design, task, names)
    options = parser.parse_args(rest)
    _check_early(options, task=task, full=full, variant=wanted)
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
    out = _output_folder(options.out or (f"runs/train-{task}" if own is None else default_folder("train", own)))
    known = Store(out).load(run.key)
    if known is None or known["status"] != "done":
        _check_model(design.task, task_options, variant, init.folder if isinstance(init, SavedWeights) else None)
        check_data(design.task, task_options)
    record = run_one(run, out, progress=not options.quiet)
    if record is None:
        raise ValueError(f"another process is training this run in {out}")
    return _show_run(record, run, out)


def _design_of_one(design: "StudyDesign", wanted: "str | Mapping[str, Any]") -> "StudyDesign":
    """The design with one variant: by its name one of its own, or one that a file of settings gives with all its parts.

    Raises: UsageError for a name that it does not have, or parts that are no variant.
    """
    from dataclasses import replace

    from rapidash._plain import from_plain
    from rapidash.methods import Variant, modern_variant

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


def _advise(words: list[str]) -> int:
    """Advise which variant to train."""
    from rapidash._cli_advise import advise_on, try_rule
    from rapidash._cli_own import default_folder

    if any(word.partition("=")[0] == "--trial" for word in words):
        return try_rule(words)
    words, own = _own_files(words)
    if own is not None and own.learns_symmetry:
        raise UsageError("--learn-symmetry is for rapidash study")
    early = _early(words)
    design = _design(early, own)
    folder = f"runs/advise-{early.task}" if own is None else default_folder("advise", own)
    return advise_on(design, early.task, early.words, folder)


def _check_model(task: str, task_options: Mapping[str, Any], variant: "Variant", init: str | None) -> None:
    """Raises: UsageError for a network that the task cannot build, that does not fit into memory when trained, or that
    the weights in the folder ``init`` do not fit."""
    from rapidash._allocation_limit import COPIES_IN_TRAINING, AllocationLimit, machine_memory
    from rapidash.methods import build_model
    from rapidash.represent import start_from
    from rapidash.tasks import get_task

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


def _report(words: list[str]) -> int:
    """Write the report of a study's directory again."""
    from rapidash._cli_options import add_reference
    from rapidash._cli_parser import Parser
    from rapidash.report import terminal_table
    from rapidash.study import change_reference, read_study, summarize

    parser = Parser(
        "report",
        usage="RUN_DIR",
        description="Write report.html and the table of a study from its records, also of one that has not finished.",
        examples=(
            '  rapidash report runs/nbody\n  rapidash report runs/shapes --reference "E(3) on R3"\n'
            "  rapidash report runs/cmu-full --publish docs/results/cmu_walk_table.rst\n"
            "  rapidash report runs/nbody --export figures\n"
            "  rapidash report /read-only/runs/nbody --out my-report"
        ),
    )
    parser.add_argument("run_dir", metavar="RUN_DIR", type=str, help="directory of a study, e.g. runs/nbody")
    add_reference(parser, "the variant to which errors under corruptions are relative, from now on")
    parser.add_argument("--out", type=str, metavar="FOLDER", help="write there instead of RUN_DIR")
    parser.add_argument(
        "--export",
        type=str,
        metavar="FOLDER",
        help="also write every figure (.svg), every table (.csv), and for a paper the table (.tex) and the text",
    )
    parser.add_argument("--publish", type=str, metavar="FILE", help="also write the table (.rst) and figure (.svg)")
    parser.add_argument("--command", type=str, metavar="TEXT", help="how the study was run, for --publish")
    options = parser.parse_args(words)
    directory = Path(options.run_dir)
    study = read_study(directory)
    records = study.records
    for name, reason in study.unreadable:
        print(f"rapidash: warning: {directory / name} is left out: {reason}", file=sys.stderr)
    if options.reference is not None:
        known = list(dict.fromkeys(record["config"]["variant"]["name"] for record in records))
        change_reference(directory, options.reference, known)
    summary = summarize(study)
    print(terminal_table(summary))
    _print_robustness(summary)
    try:
        _write_report(directory, out=None if options.out is None else Path(options.out))
    except OSError as error:
        elsewhere = "choose another folder with --out" if options.out else "give a folder of yours with --out FOLDER"
        raise OSError(f"{error}: {elsewhere}") from error
    if options.export is not None:
        from rapidash.report import export

        written = export(directory, Path(options.export))
        print(f"exported: {len(written)} figures, tables and texts to {options.export}")
    if options.publish:
        from rapidash.report import publish

        for path in publish(directory, Path(options.publish), command=options.command):
            print(f"published: {path}")
    return 0


def _measure(words: list[str]) -> int:
    """Measure the equivariance error of trained weights, or the data of a user's files."""
    from rapidash._cli_measure import measure
    from rapidash._cli_own import OwnFilesError

    try:
        return measure(words)
    except OwnFilesError as error:
        raise UsageError(str(error)) from error


def _predict(words: list[str]) -> int:
    """Apply a trained model to files."""
    from rapidash._cli_predict import predict

    return predict(words)


def _sample(words: list[str]) -> int:
    """Draw clouds from a trained generator."""
    from rapidash._cli_sample import sample

    return sample(words)


def _bench(words: list[str]) -> int:
    """Time the fast network against its definition."""
    from rapidash._cli_bench import bench

    return bench(words)


_CONTINUES = "the same command continues where it stopped"
COMMANDS: dict[str, Command] = {
    "advise": Command("which variant should be trained on these data? Ask them, race, and answer", _advise, _CONTINUES),
    "study": Command("train the variants of a task over several seeds and write the report", _study, _CONTINUES),
    "train": Command("train one variant", _train, _CONTINUES),
    "predict": Command("apply a trained model to files of your own", _predict),
    "sample": Command("draw clouds from a trained generator", _sample),
    "report": Command("write the report of a study again, also of an unfinished one", _report),
    "measure": Command("measure how equivariant a trained model is, or what your files tell", _measure),
    "bench": Command("time the fast network against its definition", _bench),
}


def _overview() -> str:
    width = max(map(len, COMMANDS)) + 2
    rows = "\n".join(f"  {name:<{width}}{command.summary}" for name, command in COMMANDS.items())
    return (
        "usage: rapidash COMMAND [options]\n\n"
        "How much symmetry should a model of geometric data have? Set it, break it, measure it.\n\n"
        f"commands:\n{rows}\n\n"
        "  rapidash COMMAND --help   options of a command, with units and defaults\n"
        "  rapidash --version        the version\n"
        "  --debug                   with any command: show the traceback of an error\n\n"
        f"{_registered()}\n\n"
        "start with:\n  rapidash study nbody      under 10 minutes on two cores; writes runs/nbody/report.html"
    )


def _registered() -> str:
    """The names that a configuration may use, by kind, with those of installed packages."""
    from rapidash.registry import REGISTRIES

    shown = ("designs", "tasks", "networks", "methods", "schedules", "objectives", "measures", "launchers")
    titles = {"designs": "studies"}
    lines = [f"{titles.get(group, group)}: {', '.join(REGISTRIES[group])}" for group in shown if len(REGISTRIES[group])]
    return "\n".join(textwrap.fill(line, 110, subsequent_indent="  ", break_on_hyphens=False) for line in lines)


class _Early(NamedTuple):
    """The task, the setting and the variant, on which the defaults of the parser depend, and the words left for it."""

    task: str
    full: bool
    variant: str | Mapping[str, Any] | None
    words: list[str]
    task_options: Mapping[str, Any]


def _early(words: list[str]) -> _Early:
    """The task, the setting and the variant: later options and config files win, as in the parser.

    Raises: UsageError for an unknown task, two different ones, or a file of settings that cannot be one.
    """
    from rapidash._cli_options import DEFAULT_TASK
    from rapidash._cli_own import OWN_TASK
    from rapidash._cli_settings import SettingsError, read_settings
    from rapidash.registry import DESIGNS
    from rapidash.study import load_plugins

    first, rest = (words[0], words[1:]) if words and not words[0].startswith("-") else (None, words)
    found: dict[str, Any] = {}
    for index, word in enumerate(rest):
        name, equals, value = word.partition("=")
        following = value if equals else next(iter(rest[index + 1 : index + 2]), None)
        if name == "--config" and following is not None:
            try:
                values = read_settings(following)
            except SettingsError as error:
                raise UsageError(f"--config: {error}") from error
            found |= {key: entry for key, entry in values.items() if key in ("task", "variant", "full", "task_options")}
        elif name in ("--task", "--variant") and following is not None:
            found[name.removeprefix("--")] = following
        elif name == "--full":
            found["full"] = True
    task = first or found.get("task") or DEFAULT_TASK
    load_plugins()
    task_options = found.get("task_options")
    if task == OWN_TASK and first is None and not isinstance(task_options, dict):
        raise UsageError("the task own-data needs files: rapidash study FILES --target NAME")
    if task not in DESIGNS and task != OWN_TASK:
        raise UsageError(f"{unknown_name('task', task, DESIGNS)}; files of yours have a suffix, or a folder exists")
    if found.get("task") not in (None, task):
        raise UsageError(f"the task is {task!r} on the command line and {found['task']!r} in the settings")
    options = task_options if isinstance(task_options, dict) else {}
    return _Early(task, bool(found.get("full")), found.get("variant"), rest, options)


def _check_early(options: Any, **expected: object) -> None:
    """Raises: UsageError where the parser found other values: the design, and all defaults, would be of others."""
    for name, value in expected.items():
        if getattr(options, name) != value:
            raise UsageError(f"{name} is {getattr(options, name)!r} in the settings and was taken for {value!r}")


def _output_folder(path: str) -> Path:
    """Raises: UsageError where it cannot be a folder."""
    out = Path(path)
    if taken := next((place for place in (out, *out.parents) if place.exists() and not place.is_dir()), None):
        raise UsageError(f"--out: expected a folder, {taken} is a file")
    return out


def _plan(design: "StudyDesign", out: Path) -> str:
    counts = [
        _plural(len(design.variants), "variant"),
        _plural(len(design.seeds), "seed"),
        _plural(len(design.fractions), "data fraction"),
        *(f"{_plural(len(values), 'value')} of {name}" for name, values in design.factors.items()),
    ]
    runs = f"{' x '.join(counts)} = {_plural(len(design.runs()), 'run')}"
    return f"{design.task} (setting: {design.setting}): {runs} of {_length(design)}, in {out}"


def _length(design: "StudyDesign") -> str:
    """The steps of a run, all numbers of them where they are a factor; or what is equal, and where."""
    if design.equal != "steps":
        return f"equal {design.equal}{' at each level' if design.factors else ''}"
    numbers = design.factors.get("train.steps", (design.train.steps,))
    return f"{' or '.join(map(str, numbers))} step{'' if numbers == (1,) else 's'}"


def _plural(num: int, noun: str) -> str:
    return f"{num} {noun}{'' if num == 1 else 's'}"


def _show_run(record: "Record", run: "RunConfig", out: Path) -> int:
    from rapidash._training_folder import MODEL_FOLDER
    from rapidash.report import symmetry_of_run
    from rapidash.study import last_line

    if record["status"] != "done":
        reason = last_line(str(record["error"]))
        place = out / "records" / f"{run.key}.json"
        print(f"rapidash: error: {run.label} failed: {reason}; the traceback is in {place}", file=sys.stderr)
        return FAILED
    print(f"{run.label}: {symmetry_of_run(record)}")
    rows = [
        (name, f"{record[name]:.5g} {record['unit']}  ({record['metric']})")
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
        rows += [(f"test_error, {view}", f"{error:.5g} {record['unit']}") for view, error in shown.items()]
    folder = out / "work" / run.key / MODEL_FOLDER
    gone = "" if folder.is_dir() else "  (was removed: with another --out it is trained again)"
    rows.append(("model", f"{folder}{gone}"))
    width = max(len(name) for name, _ in rows)
    print("\n".join(f"  {name:<{width}}  {text}" for name, text in rows))
    return 0


def _write_report(directory: Path, *, out: Path | None = None, quiet: bool = False) -> None:
    from rapidash.report import write_report

    if quiet and not (directory / "records").is_dir():
        return
    print(f"report: {write_report(directory, out)}", file=sys.stderr if quiet else sys.stdout)


def _is_user_error(error: Exception) -> bool:
    """An error that says what the user can change; anything else is ours, and shows its traceback."""
    if isinstance(error, ValueError | OSError | ImportError) or _is_lack_of_memory(error):
        return True
    return type(error).__name__ in ("StoreError", "CheckpointError", "TrainingDivergedError")


def _is_lack_of_memory(error: Exception) -> bool:
    """Of Python, NumPy or torch, whose allocator raises a RuntimeError."""
    return isinstance(error, MemoryError) or "can't allocate memory" in str(error) or "out of memory" in str(error)


def _one_line(error: Exception) -> str:
    if not _is_lack_of_memory(error):
        return str(error)
    return f"not enough memory: ask for less, or a larger machine ({' '.join(str(error).split())[:200]})"


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"rapidash: warning: {message}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
