"""`rapidash measure`: how equivariant a trained model is, in the terminal and on a page."""

from pathlib import Path

from rapidash._cli_options import add_data, use_data
from rapidash._cli_parser import Parser
from rapidash._pretrained import MODEL_FOLDER, find_pretrained


def measure(words: list[str]) -> int:
    """Measure the equivariance error of trained weights."""
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
        usage="CHECKPOINT [options]",
        description=(
            "Relative equivariance error ||f(g x) - g f(x)|| / ||f(x)|| of a trained model by group, its Lie\n"
            "derivative by generator and by layer, in float64, and a page on which a cloud can be turned."
        ),
        examples='  rapidash measure runs/nbody/work/KEY --groups "SO(3)" "T(3)"',
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
