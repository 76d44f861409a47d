"""`rapidash measure`: how equivariant a trained model is, on a page; or what the poses of a user's own files tell."""

import sys
from pathlib import Path

from rapidash._cli_options import add_data, use_data
from rapidash._cli_own import OWN_HELP, OWN_TASK, OwnFilesError, says_of_files, taken_own_files, taken_reading
from rapidash._cli_parser import Parser
from rapidash._pretrained import find_pretrained
from rapidash._training_folder import MODEL_FOLDER, RUNS_FOLDER, told_of_training


def measure(words: list[str]) -> int:
    """Measure the equivariance error of trained weights, or the data of files."""
    return _measure_files(words) if _are_files(words) else _measure_model(words)


def _are_files(words: list[str]) -> bool:
    """Whether files are given and not a saved model. Raises: OwnFilesError for words about files beside a model."""
    from rapidash.datasets import VALUED_FORMATS

    first = Path(words[0]) if words and not words[0].startswith("-") else None
    said = says_of_files(words)
    for name in ("--methods", "--learn-symmetry"):
        if any(word.partition("=")[0] == name for word in words):
            raise OwnFilesError(f"{name} is for rapidash study")
    if first is None:
        return bool(said)
    try:
        find_pretrained(first)
        is_model = True
    except ValueError:  # of several runs
        is_model = True
    except FileNotFoundError:
        is_model = (first / RUNS_FOLDER).is_dir()
    if is_model and said:
        raise OwnFilesError(f"{said} is for files, and {first} is the folder of a model")
    if is_model or said or not first.exists():
        return bool(said)
    found = [first] if first.is_file() else first.rglob("*")
    if any(path.suffix.lower() in VALUED_FORMATS for path in found):
        return True
    if told_of_training(first):  # a model that is missing
        return False
    kinds = ", ".join(VALUED_FORMATS)
    raise OwnFilesError(f"{first} is no folder of a saved model, and there are no files of known kinds in it: {kinds}")


def _measure_files(words: list[str]) -> int:
    from rapidash.report import measure_data
    from rapidash.tasks import get_task

    rest, own = taken_own_files(words, ())
    parser = _files_parser()
    options = parser.parse_args(taken_reading(rest[1:])[1])
    assert own is not None  # or there would have been an error
    given, said = own.options()
    for line in said:
        print(line, file=sys.stderr)
    task = get_task(OWN_TASK, **given)
    found = measure_data(task, steps=options.steps, num_turns=options.turns, seed=options.seed)
    for table in found.tables:
        print(f"{table}\n")
    print("\n".join(found.sentences))
    return 0


def _files_parser() -> Parser:
    parser = Parser(
        "measure",
        usage="FILES [options]",
        description=(
            "Before any training: are the clouds of FILES stored in a preferred pose, does the pose tell about the\n"
            f"target, and how near are test clouds to training clouds?\n\n{OWN_HELP}"
        ),
        examples="  rapidash measure molecules.xyz --target dipole\n  rapidash measure shapes/ --split files",
    )
    parser.add_argument(
        "--steps", type=int, default=300, metavar="N", help="of the small networks that look for a pose"
    )
    parser.add_argument("--turns", type=int, default=19, metavar="N", help="sets of random turns to compare with")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of everything")
    return parser


def _measure_model(words: list[str]) -> int:
    from rapidash.report import MEASUREMENT_PAGE, measure_run, write_measurement
    from rapidash.study import load_run

    options = _parser().parse_args(words)
    use_data(options.data)
    run = load_run(options.checkpoint, data_dir=options.data)
    result = measure_run(
        run,
        groups=options.groups or (),
        num_elements=options.num_elements,
        num_clouds=options.clouds,
        seed=options.seed,
    )
    print(f"{result.title}: effective symmetry {result.facts['Effective symmetry']}\n")
    for table in (*result.tables, *result.spectra):
        print(f"{table}\n")
    print("".join(f"{sentence}\n" for sentence in result.sentences))
    folder = find_pretrained(options.checkpoint)
    beside = folder.parent if folder.name == MODEL_FOLDER else folder  # a saved model holds nothing else
    page = Path(options.out) if options.out else beside / MEASUREMENT_PAGE
    print(f"page: {write_measurement(result, page)}")
    return 0


def _parser() -> Parser:
    parser = Parser(
        "measure",
        usage="CHECKPOINT|FILES [options]",
        description=(
            "Relative equivariance error ||f(g x) - g f(x)|| / ||f(x)|| of a trained model by group, its Lie\n"
            "derivative by generator and by layer, in float64, and a page on which a cloud can be turned.\n\n"
            "Of FILES of yours, --target NAME and the other options of rapidash study FILES: what the poses of the\n"
            "clouds tell before any training, and whether test clouds leak (--steps N, --turns N, --seed N)."
        ),
        examples=(
            '  rapidash measure runs/nbody/work/KEY --groups "SO(3)" "T(3)"\n'
            "  rapidash measure molecules.xyz --target dipole"
        ),
    )
    parser.add_argument("checkpoint", metavar="CHECKPOINT", type=str, help="folder of a saved model, or of its run")
    parser.add_argument("--groups", nargs="+", type=str, metavar="GROUP", help="default: T(D) SO(D) O(D)")
    parser.add_argument("--num_elements", type=int, default=16, metavar="N", help="random elements of each group")
    parser.add_argument("--clouds", type=int, default=64, metavar="N", help="clouds of the validation set")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the random elements")
    add_data(parser)
    parser.add_argument(
        "--out", type=str, metavar="FILE", help="the page (default: measure.html in the folder of the run)"
    )
    return parser
