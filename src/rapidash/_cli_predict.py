"""`rapidash predict`: a trained model applied to a user's own files."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rapidash._cli_options import add_average, add_data, check_average, use_data, warn_of_replacing
from rapidash._cli_parser import Parser

if TYPE_CHECKING:
    from rapidash.predict import Predictions, TrainedModel


def predict(words: list[str]) -> int:
    """Apply a trained model to files."""
    from rapidash.ops import check_rounded, products_of, use_products
    from rapidash.predict import BadCloudError, TrainedModel, check_fit, check_format, check_place, default_place
    from rapidash.study import load_plugins
    from rapidash.train import find_device

    def place(made: "Predictions") -> Path:
        return Path(options.out or default_place(options.files, made.default_suffix))

    def check(first: "Predictions", num_clouds: int) -> None:
        """Refuse, before the work, a place that cannot be written or a format that cannot hold the predictions."""
        check_place(place(first), options.files)
        check_fit(place(first), first, num_clouds)
        warn_of_replacing(place(first))

    parser = _parser()
    options = parser.parse_args(words)
    check_average(parser, options)
    if options.out is not None:
        check_format(Path(options.out))
        check_place(Path(options.out), options.files)
    use_data(options.data)
    load_plugins()
    trained = TrainedModel.from_pretrained(options.checkpoint)
    trained.model.to(find_device(options.device))
    try:
        with use_products(products_of(options.precision, trained.model)) as products:
            made = trained.predict_files(
                options.files,
                category=options.category,
                skip_bad=options.skip_bad,
                check=check,
                batch_size=options.batch_size,
                **_average(options, trained),
                seed=options.seed,
                progress=not options.quiet,
            )
    except BadCloudError as error:
        raise BadCloudError(error.name, error.problem, "--skip-bad") from error
    if options.precision == "bfloat16":
        check_rounded(products)
    for message in made.skipped:
        print(f"rapidash: skipped {message}", file=sys.stderr)
    out = made.write(place(made))
    units = {name: output.field.unit for name, output in made.outputs.items()}
    said = ", ".join(name if unit in ("", "1") else f"{name} ({unit})" for name, unit in units.items())
    left_out = f", {len(made.skipped)} skipped" if made.skipped else ""
    view = f", {trained.view} view" if len(trained.views) > 1 else ""
    view += f", {made.average}" if made.average else ""
    print(f"{trained.task_name}{view}: {said} of {len(made.names)} clouds{left_out}")
    print(f"predictions: {out}")
    return 0


def _parser() -> Parser:
    parser = Parser(
        "predict",
        usage="CHECKPOINT FILE [FILE ...] [options]",
        description=(
            "Apply a trained model to clouds of your own: xyz (all frames, also extended), npz, ply, off; a model of\n"
            "your own files to all formats that rapidash study FILES reads, and to folders. The README in the folder\n"
            "of the model says what a cloud needs, and in which units. Predictions have the names and units of the\n"
            "task and go to a file: .npz (everything), .xyz (molecules), .csv (a row per cloud) or .ply (the colored\n"
            "points of one cloud). With --average a cloud is predicted in several poses, each prediction is moved\n"
            "back, and beside the mean of every output stands NAME_spread, how far it moves over the poses."
        ),
        examples=(
            "  rapidash predict dipole molecule.xyz\n"
            "  rapidash predict runs/train-qm9/work/KEY molecules.xyz\n"
            "  rapidash predict runs/train-shapes/work/KEY scans/*.ply --out classes.csv --skip-bad\n"
            '  rapidash predict runs/train-qm9/work/KEY molecules.xyz --average "SO(3)" --elements 32\n'
            "  rapidash predict runs/train-shapenet-part/work/KEY chair.off --category Chair --out parts.ply"
        ),
    )
    parser.add_argument(
        "checkpoint",
        metavar="CHECKPOINT",
        type=str,
        help=(
            "folder of a saved model, or of its run; a model that comes along: dipole (of molecules of H, C, N, O, F) "
            "or nbody; or USER/NAME of the Hugging Face hub"
        ),
    )
    parser.add_argument("files", metavar="FILE", nargs="+", type=str, help="clouds: .xyz, .extxyz, .npz, .ply, .off")
    parser.add_argument(
        "--out",
        type=str,
        metavar="FILE",
        help=(
            "where predictions go (default: NAME.predictions.* beside FILE, of several files predictions.* here); a "
            "file that is there is replaced, with a warning before"
        ),
    )
    parser.add_argument(
        "--category", type=str, metavar="NAME", help="of the shapes whose file does not say it (segmentation)"
    )
    parser.add_argument("--batch_size", type=int, default=64, metavar="N", help="clouds at a time")
    parser.add_argument("--device", type=str, default="cpu", metavar="DEVICE", help="cpu, cuda or cuda:1")
    parser.add_argument(
        "--precision",
        choices=("float32", "bfloat16", "auto"),
        default="float32",
        help="of the operands of channel maps; auto: bfloat16 where it is faster and no forces are predicted",
    )
    add_average(parser, "own", "predictions averaged over this group (default: what the variant itself averages over)")
    parser.add_argument(
        "--random-frame",
        dest="random_frame",
        action="store_true",
        help="see every cloud in one random pose, and move its prediction back",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the random motions")
    parser.add_argument(
        "--skip-bad", dest="skip_bad", action="store_true", help="leave out bad entries, report and count them"
    )
    add_data(parser)
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")
    return parser


def _average(options: Any, trained: "TrainedModel") -> dict[str, Any]:
    """The average that the command line names, as options of `rapidash.predict.TrainedModel.predict`."""
    from rapidash.groups import parse_group
    from rapidash.methods import OrbitAverage

    if options.tta is None:
        return {
            "average": options.average, "num_elements": options.elements, "random_frame": options.random_frame
        }  # fmt: skip
    if options.tta == 0:
        return {"average": "none"}
    own, dim = trained.variant.average, trained.task.dim
    try:
        group = own.group if own and not options.tta_group else parse_group(options.tta_group or f"SO({dim})", dim)
    except ValueError as error:
        raise ValueError(f"--tta_group: {error}") from error
    return {"average": OrbitAverage(group, options.tta)}
