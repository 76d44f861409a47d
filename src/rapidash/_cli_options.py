"""The options of `rapidash study` and `rapidash train`, whose defaults are those of the task's study."""

import os
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_args

from rapidash._cli_own import OWN_HELP
from rapidash._cli_parser import Parser, indices, shares, whole_numbers
from rapidash._deprecated import deprecation
from rapidash.groups import parse_group
from rapidash.methods import HOW_IT_READS, Average, Method, OrbitAverage, Variant
from rapidash.models import NetworkConfig
from rapidash.registry import DESIGNS, LAUNCHERS
from rapidash.study import Equal, Resources, StudyDesign
from rapidash.tasks import get_task
from rapidash.train import WITHOUT_EFFECT, TrainConfig

DEFAULT_TASK = "nbody"
DATA_VARIABLE = "RAPIDASH_DATA"
MAX_WORKERS = 1024
_HOW_IT_RUNS = (*WITHOUT_EFFECT, "threads", "device", *HOW_IT_READS)


def study_parser(design: StudyDesign, name: str) -> Parser:
    """Options of ``rapidash study`` for the study with this name."""
    names = "\n".join(f"  {variant.name}" for variant in design.variants)
    parser = Parser(
        "study",
        usage="[TASK|FILES] [options]",
        description=(
            "Train the variants of a task over several seeds, print a table with intervals and write report.html.\n"
            "An interrupted study continues with the same command; finished runs are never repeated.\n\n"
            f"TASK is {_tasks()} (default {DEFAULT_TASK}); it comes first.\n\n{OWN_HELP}\n\n"
            f"Variants of {name}:\n{names}"
        ),
        examples=(
            "  rapidash study nbody\n"
            "  rapidash study nbody --full --seeds 5 --out runs/benchmark\n"
            "  rapidash study nbody --fractions 0.1,0.3,1 --train.steps 3000 --workers 2\n"
            "  rapidash study molecules.xyz --target energy --split group:molecule   (your files)\n"
            "  rapidash study shapes/ --methods frames,augerino                      (a folder for each class)\n"
            "  rapidash study molecules.xyz --target energy --learn-symmetry"
        ),
    )
    parser.add_config()
    _add_common(parser, design, name)
    parser.add_argument(
        "--seeds", type=whole_numbers, default=list(design.seeds), metavar="N|LIST", help="3 (0, 1, 2), or 0,1,7"
    )
    parser.add_argument(
        "--fractions", type=shares, default=list(design.fractions), metavar="LIST", help="shares of the training set"
    )
    parser.add_argument(
        "--factors",
        type=dict[str, Any],
        default={name: list(values) for name, values in design.factors.items()},
        metavar="NAME LIST",
        help="values of further knobs, a run for each: '{model.channels: [16, 32]}'; also train.FIELD, task.OPTION",
    )
    parser.add_argument(
        "--equal",
        choices=get_args(Equal),
        default=design.equal,
        help="what is equal between variants: steps, or time or flops of the training, those of the first variant",
    )
    parser.add_argument(
        "--init",
        type=str,
        metavar="MODEL",
        help=(
            "beside each variant the same one that begins with the weights of a saved model that fit: a run's folder, "
            "or a name as rapidash predict takes it"
        ),
    )
    parser.add_argument("--variants", nargs="+", type=str, metavar="NAME", help="only these; default: all")
    parser.add_argument(
        "--measure",
        action="store_true",
        help="then measure one run of each variant over the group, by layer and by point, and show it in the report",
    )
    parser.add_argument(
        "--corruptions",
        nargs="*",
        type=str,
        metavar="NAME",
        help=(
            "then test every trained model on corrupted test data, and show the mean corruption error: names such as "
            "jitter, or pointcloud-c (what is meant without a name) and modelnet40-c"
        ),
    )
    add_reference(parser, "with --corruptions: the variant whose errors are the unit (default: the first)")
    parser.add_argument("--launcher", choices=list(LAUNCHERS), default="local", help="where the runs are executed")
    _add_resources(parser)
    _add_train(parser, design)
    return parser


def train_parser(design: StudyDesign, name: str, names: list[str]) -> Parser:
    """Options of ``rapidash train`` for one variant of a study; ``names`` are all that the study has."""
    (variant,) = design.variants
    listed = "\n".join(f"  {name}" for name in names)
    parser = Parser(
        "train",
        usage="[TASK|FILES] [options]",
        description=(
            "Train one variant, test it once, measure its symmetry, and keep its weights and record.\n"
            "An interrupted training continues with the same command.\n\n"
            f"TASK is {_tasks()} (default {DEFAULT_TASK}); it comes first.\n\n{OWN_HELP}\n\nVariants:\n{listed}"
        ),
        examples=(
            "  rapidash train molecules.xyz --target dipole\n"
            f'  rapidash train {name} --variant "{variant.name}" --seed 1\n'
            f"  rapidash train {name} --model.channels 64 --train.steps 2000"
        ),
    )
    parser.add_config()
    _add_common(parser, design, name)
    parser.add_argument(
        "--variant",
        type=str | dict[str, Any],
        default=variant.name,
        metavar="NAME",
        help="what to train; in a file of settings also a variant with all its parts, as rapidash advise writes it",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of weights, data order and augmentation")
    parser.add_argument("--fraction", type=float, default=1.0, metavar="F", help="share of the training set in (0, 1]")
    parser.add_argument(
        "--init",
        type=str,
        metavar="MODEL",
        help=(
            "begin with the weights of a saved model that fit by name and shape, e.g. a pre-training: a run's folder, "
            "or a name as rapidash predict takes it"
        ),
    )
    what = (
        "also give the test error (a finished training is not repeated for it) of predictions averaged over this group"
    )
    add_average(parser, None, what)
    _add_train(parser, design)
    parser.add_class_arguments(type(variant.model), "model")
    parser.set_defaults({f"model.{name}": value for name, value in vars(variant.model).items()})
    return parser


def _add_resources(parser: Parser) -> None:
    """Add the options that say where and with what the runs of a study are executed; none of them changes a result."""
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="local: processes, each on train.threads threads or 1 (default: one per core, or per GPU)",
    )
    parser.add_argument("--devices", type=indices, metavar="LIST", help="local: GPUs such as 0,1 (default: all)")
    parser.add_argument(
        "--cpus", type=int, metavar="N", help="ray, slurm: cores of a run (default: train.threads or 1)"
    )
    parser.add_argument(
        "--gpus", type=float, metavar="N", help="ray, slurm: GPUs of a run (default: 1 with --train.device cuda)"
    )
    parser.add_argument("--memory", type=float, metavar="GB", help="ray, slurm: memory of a run")
    parser.add_argument("--time", type=float, metavar="HOURS", help="slurm: limit of a run (default: 24)")
    parser.add_argument("--partition", type=str, metavar="NAME", help="slurm: where the runs are queued")
    parser.add_argument("--account", type=str, metavar="NAME", help="slurm: who pays")
    parser.add_argument("--max_jobs", type=int, metavar="N", help="slurm: runs at work at once")


def chosen_resources(options: Any, parser: Parser) -> Resources:
    """The resources that the options name; a wrong value, or one that the launcher does not take, is a usage error."""
    values = {entry.name: options[entry.name] for entry in fields(Resources)}
    devices = values["devices"]
    try:
        if options.workers is not None and not 1 <= options.workers <= MAX_WORKERS:
            raise ValueError(f"workers must be 1 to {MAX_WORKERS}, got {options.workers}")
        if options.workers is not None and options.launcher != "local":
            raise ValueError(f"workers is for the launcher 'local', not for {options.launcher!r}")
        resources = Resources(**{**values, "devices": None if devices is None else tuple(devices)})
        resources.check_launcher(options.launcher)
    except ValueError as error:
        parser.error(f"--{error}")
    return resources


def add_reference(parser: Parser, meaning: str) -> None:
    """The option that names the variant to which errors under corruptions are relative."""
    parser.add_argument("--reference", type=str, metavar="VARIANT", help=meaning)


def add_data(parser: Parser) -> None:
    """The option that says where the files of data sets are."""
    parser.add_argument(
        "--data", type=str, metavar="DIR", help=f"folder of the files of data sets (default: {DATA_VARIABLE})"
    )


def add_average(parser: Parser, default: str | None, what: str) -> None:
    """The options of averages over a group at test time, and the deprecated ones in whose place they are."""
    parser.add_argument("--average", type=str, default=default, metavar="GROUP", help=f"{what}; none: no average")
    parser.add_argument(
        "--elements",
        type=int,
        metavar="N",
        help="random elements of the group (default: all of a finite one, 16 of any other)",
    )
    parser.add_argument("--tta", type=int, metavar="N", help="deprecated: --average with N random elements, 0: none")
    parser.add_argument("--tta_group", type=str, metavar="GROUP", help="deprecated: the group of --tta")


def check_average(parser: Parser, options: Any) -> None:
    """A number of elements without their group, and the like, are errors of usage; deprecated options are told."""
    is_given = options.average is not None and options.average not in ("own", "none")
    if options.tta_group is not None and not options.tta:
        parser.error(f"--tta_group {options.tta_group} needs --tta N, the number of its elements to average over")
    if options.elements is not None and not is_given:
        parser.error(f"--elements {options.elements} needs --average GROUP, the group that they are of")
    if options.elements is not None and options.elements < 1:
        parser.error(f"--elements must be at least 1, got {options.elements}")
    is_random = "random_frame" in options and options.random_frame
    if is_random and is_given:
        parser.error(f"--random-frame is one random rotation: leave it out, or --average {options.average}")
    if options.tta is not None:
        if options.tta < 0:
            parser.error(f"tta must be at least 0, got {options.tta}")
        if is_given or is_random:
            parser.error("--tta is deprecated: leave it out")
        print(f"rapidash: warning: {deprecation(f'{parser.prog} --tta').message}", file=sys.stderr)


def use_data(folder: str | None) -> None:
    """Let all readers look in a folder, also those of the processes that this one starts.

    Raises: FileNotFoundError for a folder that does not exist.
    """
    if folder is None:
        return
    if not Path(folder).expanduser().exists():
        raise FileNotFoundError(f"--data: {folder} does not exist")
    os.environ[DATA_VARIABLE] = str(Path(folder).expanduser().resolve())


def warn_of_replacing(path: Path) -> None:
    """Say before the work that a file is there which its result will replace."""
    if path.exists():
        print(f"rapidash: warning: {path} exists and will be replaced: --out FILE writes another", file=sys.stderr)


def _add_common(parser: Parser, design: StudyDesign, name: str) -> None:
    out = f"runs/train-{name}"
    if parser.prog.endswith("study"):
        out = f"runs/{name}, with --full runs/{name}-full"
    parser.add_argument("--task", type=str, default=name, metavar="TASK", help="the same as TASK, for config files")
    parser.add_argument("--full", action="store_true", help="the benchmark's setting instead of the quick one")
    parser.add_argument("--out", type=str, metavar="DIR", help=f"where records and report go (default: {out})")
    add_data(parser)
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")
    parser.add_argument(
        "--task_options",
        type=dict[str, Any],
        default=dict(design.task_options),
        metavar="KEY VALUE",
        help="options of the task, as --task_options.num_train 500",
    )


def _add_train(parser: Parser, design: StudyDesign) -> None:
    parser.add_class_arguments(TrainConfig, "train")
    parser.set_defaults({f"train.{name}": value for name, value in vars(design.train).items()})


def changed_design(design: StudyDesign, options: Any, parser: Parser) -> StudyDesign:
    """The design with what the command line and the config file say; a wrong value is an error of usage."""
    train = instance(parser, TrainConfig, _with_shorter_warmup(options.train.as_dict(), design.train), "train")
    task_options = dict(options.task_options or {})
    if options.data is not None and task_options.get("data_dir") is not None:
        parser.error("give the folder of the data by --data or by --task_options.data_dir, not by both")
    values: dict[str, Any] = {"train": train, "task_options": task_options}
    if "seeds" in options:
        values |= {"seeds": tuple(options.seeds), "fractions": tuple(options.fractions)}
        values |= {"factors": dict(options.factors or {}), "equal": options.equal}
        values = _without_factors(values, design)
    try:
        get_task(design.task, **task_options)
        part = design.select(options.variants) if options.get("variants") else design
        changed = replace(part, **values)
        if changes := _changes(design, changed):
            changed = replace(changed, setting=f"{design.setting}, changed: {', '.join(changes)}")
        return changed
    except ValueError as error:
        parser.error(str(error))


def _without_factors(values: dict[str, Any], design: StudyDesign) -> dict[str, Any]:
    """The fields of a design without what the design says itself of those that are factors now."""
    factors, own = values["factors"], design.task_options
    for name, field in (("seed", "seeds"), ("fraction", "fractions")):
        if isinstance(factors.get(name), list) and values[field] == getattr(design, field):
            values = {**values, field: tuple(factors[name])}
    options = {
        knob: value
        for knob, value in values["task_options"].items()
        if f"task.{knob}" not in factors or knob not in own or value != own[knob]
    }
    return {**values, "task_options": options}


def _with_shorter_warmup(values: dict[str, Any], design: TrainConfig) -> dict[str, Any]:
    """Settings of a training shorter than the warmup of the design, which then takes the same share of the steps."""
    warmup = design.warmup_steps
    if values["warmup_steps"] != warmup or not 0 < values["steps"] < warmup:
        return values
    return {**values, "warmup_steps": values["steps"] * warmup // design.steps}


def _changes(design: StudyDesign, changed: StudyDesign) -> list[str]:
    """The settings that decide the results and are not those of the design."""
    old = {**vars(design.train), **design.task_options}
    new = {**vars(changed.train), **changed.task_options}
    settled = {*_HOW_IT_RUNS, *(name.removeprefix("task.") for name in changed.factors)}
    return [name for name in {**old, **new} if name not in settled and old.get(name) != new.get(name)]


def changed_variant(variant: Variant, options: Any, parser: Parser) -> Variant:
    """The variant with what the command line says of it; a changed one has a name of its own and no neighbor."""
    model = instance(parser, type(variant.model), options.model.as_dict(), "model")
    check_average(parser, options)
    before = variant.average
    others = tuple(method for method in variant.methods if method.average() is None)
    try:
        methods = _changed_methods(variant, others, model, options, parser)
        average = next((found for method in methods if (found := method.average()) is not None), None)
        old, new = vars(variant.model), vars(model)
        changes = [f"{name}={new[name]}" for name in new if new[name] != old[name]]
        changes += [] if str(average) == str(before) else [f"average={average or 'none'}"]
        if not changes:
            return variant
        name = f"{variant.name} [{', '.join(changes)}]"
        return replace(variant, model=model, methods=methods, name=name, neighbor=None, knob="")
    except ValueError as error:
        parser.error(f"--average: {error}" if options.tta is None else f"--tta, --tta_group: {error}")


def _changed_methods(
    variant: Variant, others: tuple[Method, ...], model: NetworkConfig, options: Any, parser: Parser
) -> tuple[Method, ...]:
    """The methods with the average that is asked for. Raises: ValueError for a group that there is not."""
    if options.tta is not None:  # which leaves an average over all elements of a group, unless it replaces it
        if options.tta:
            return (*others, Average(options.tta_group or _all_rotations(model, parser), options.tta))
        return others if variant.average is not None and variant.average.num else variant.methods
    if options.average is None:
        return variant.methods
    if options.average == "none":
        return others
    return (*others, Average(options.average, OrbitAverage.over(parse_group(options.average), options.elements).num))


def _all_rotations(model: NetworkConfig, parser: Parser) -> str:
    """The name of the group of rotations of the space in which a network works."""
    try:
        return f"SO({parse_group(model.symmetry).dim})"
    except ValueError:
        parser.error(
            f"--tta: a network of symmetry {model.symmetry!r} has no motions to average over; give --tta_group"
        )


def instance(parser: Parser, kind: type, values: dict[str, Any], group: str) -> Any:
    """A configuration from its group of options; a wrong value is an error of usage."""
    try:
        return kind(**values)
    except ValueError as error:
        parser.error(f"--{group}: {error}")


def _tasks() -> str:
    return ", ".join(DESIGNS)
