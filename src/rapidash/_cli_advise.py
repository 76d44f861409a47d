"""`rapidash advise`: which variant should be trained on these data."""

import shlex
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rapidash._cli_design import chosen_design, early_words, own_files
from rapidash._cli_options import add_data, use_data
from rapidash._cli_own import OWN_HELP, default_folder
from rapidash._cli_parser import Parser
from rapidash._cli_usage import UsageError, output_folder

if TYPE_CHECKING:
    from rapidash.study import StudyDesign


def advise(words: list[str]) -> int:
    """Advise which variant to train."""
    if any(word.partition("=")[0] == "--trial" for word in words):
        return _try_rule(words)
    words, own = own_files(words)
    if own is not None and own.learns_symmetry:
        raise UsageError("--learn-symmetry is for rapidash study")
    early = early_words(words)
    design = chosen_design(early, own)
    folder = f"runs/advise-{early.task}" if own is None else default_folder("advise", own)
    return _advise_on(design, early.task, early.words, folder)


def _advise_on(design: "StudyDesign", task: str, words: list[str], folder: str) -> int:
    """Diagnose, race, write the advice and print it.

    Args:
        design: of the task, or of a user's files.
        task: its name.
        words: of the command line that are left.
        folder: where all files go, unless the words say otherwise.
    """
    from rapidash.advise import PAGE, SETTINGS, seconds_used, terminal_advice, write_page
    from rapidash.advise import advise as advice_on
    from rapidash.tasks import get_task

    parser = _parser(design, task, folder)
    options = parser.parse_args(words)
    use_data(options.data)
    options_of_task = dict(options.task_options or {})
    try:
        get_task(design.task, **options_of_task)
        design = replace(design, task_options=options_of_task, factors={}, measures=(), seed_option=None)
        design = design.select(options.variants) if options.variants else design
    except ValueError as error:
        parser.error(str(error))
    out = output_folder(options.out or folder)
    advice = advice_on(
        design,
        out,
        minutes=options.minutes,
        seed=options.seed,
        say=_lines(options.quiet, f" of {options.minutes:g} min", begun=seconds_used(out)),
    )
    write_page(advice, out)
    print(terminal_advice(advice))
    print(f"page: {out / PAGE}\ntrain it: rapidash train --config {shlex.quote(str(out / SETTINGS))}")
    return 0


def _try_rule(words: list[str]) -> int:
    """Try the rule of the advice on cells, and print what came of it: ``rapidash advise --trial HALF``."""
    from rapidash.advise import trial_text, try_out

    parser = Parser(
        "advise",
        usage="--trial HALF [options]",
        description=(
            "Try the rule by which advice names a variant: in every cell (a data set in one size) the advice, and a\n"
            "study of all variants that says which was the best. The same command continues."
        ),
        examples="  rapidash advise --trial fit --out runs/advise-cells",
    )
    halves = ("fit", "try", "planted")
    parser.add_argument("--trial", choices=list(halves), required=True, help="which cells")
    parser.add_argument("--out", type=str, default="runs/advise-cells", metavar="DIR", help="where everything goes")
    parser.add_argument("--seconds", type=float, default=8.0, metavar="S", help="of every training")
    add_data(parser)
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")
    options = parser.parse_args(words)
    use_data(options.data)
    out, say = output_folder(options.out), _lines(options.quiet, "")
    outcomes = try_out(options.trial, out, seconds=options.seconds, say=say)
    print(trial_text(outcomes, out, half=options.trial))
    return 0


def _lines(quiet: bool, of: str, *, begun: float = 0.0) -> Callable[[str], None]:
    """Lines on stderr with the time since the start, and what earlier calls took before."""
    started = time.perf_counter() - begun

    def say(text: str) -> None:
        passed = int(time.perf_counter() - started)
        print(f"[{passed // 60}:{passed % 60:02d}{of}] {text}", file=sys.stderr, flush=True)

    return (lambda text: None) if quiet else say


def _parser(design: "StudyDesign", task: str, folder: str) -> Parser:
    parser = Parser(
        "advise",
        usage="[TASK|FILES] [options]",
        description=(
            "Which variant should be trained on these data? First the training clouds are asked about pose,\n"
            "vertical, hand, place and size, then variants race on growing parts of them, each with equal time, and\n"
            "are judged on validation clouds. The test part is not read. Leaves advice.html, advice.json and\n"
            "train.yaml, the settings for rapidash train. The same command continues an interrupted race.\n\n"
            f"TASK is the name of a study; it comes first.\n\n{OWN_HELP}"
        ),
        examples=(
            "  rapidash advise my.xyz --target energy --minutes 20\n"
            "  rapidash advise solids --minutes 5\n"
            '  rapidash advise shapes/ --variants "E(3) on R3" "T(3) on R3"'
        ),
    )
    parser.add_argument("--task", type=str, default=task, metavar="TASK", help="the same as TASK")
    parser.add_argument("--minutes", type=float, default=10.0, metavar="M", help="for all of it")
    parser.add_argument("--out", type=str, metavar="DIR", help=f"where everything goes (default: {folder})")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of all draws")
    parser.add_argument(
        "--variants", nargs="+", type=str, metavar="NAME", help="of the study, from which the race starts; default: all"
    )
    parser.add_argument(
        "--task_options",
        type=dict[str, Any],
        default=dict(design.task_options),
        metavar="KEY VALUE",
        help="options of the task, as --task_options.num_train 500",
    )
    add_data(parser)
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")
    return parser
