"""`rapidash sample`: clouds drawn from a trained generator, and written to a file."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rapidash._cli_options import add_data, use_data, warn_of_replacing
from rapidash._cli_parser import Parser

if TYPE_CHECKING:
    from rapidash.generate import Sampler


def sample(words: list[str]) -> int:
    """Draw clouds from a trained generator."""
    import torch

    from rapidash.generate import DenoisingTask, is_finite, sample_clouds
    from rapidash.predict import TrainedModel, check_place, check_sample_format, write_samples
    from rapidash.study import load_plugins
    from rapidash.train import find_device, progress_bar

    options = _parser().parse_args(words)
    out = Path(options.out)
    if options.num < 1:
        raise ValueError(f"--num must be at least 1, got {options.num}")
    if options.size is not None and options.size < 2:
        raise ValueError(
            f"--size must be at least 2, since the mean of a cloud stays at the origin, got {options.size}"
        )
    check_sample_format(out, options.num)
    check_place(out)
    warn_of_replacing(out)
    use_data(options.data)
    load_plugins()
    trained = TrainedModel.from_pretrained(options.checkpoint)
    task, model = trained.task, trained.model.to(find_device(options.device))
    if not isinstance(task, DenoisingTask):
        raise ValueError(f"{options.checkpoint} is a model of {trained.task_name!r}, which does not generate clouds")
    check_sample_format(out, options.num, task)
    sampler = _sampler(options, task.sampler.steps)
    condition = None if options.condition is None else torch.full((options.num, 1), options.condition)
    with (
        trained.view_model(),
        progress_bar(options.num, "sample", "cloud", show=not options.quiet) as advance,
    ):
        samples = sample_clouds(
            model,
            task,
            options.num,
            seed=options.seed,
            sampler=sampler,
            guidance=options.guidance,
            condition=condition,
            num_points=None if options.size is None else torch.full((options.num,), options.size),
            advance=advance,
        )
    origin = {"task": trained.task_name, "variant": trained.variant.name, "seed": options.seed, "sampler": str(sampler)}
    if options.guidance:
        origin["guidance"] = options.guidance
    write_samples(out, samples, task, origin)
    lost = int((~is_finite(samples)).sum())
    if lost:
        print(f"rapidash: {lost} of {options.num} clouds are not finite: the sampler diverged", file=sys.stderr)
    clouds = f"{options.num} cloud{'s' * (options.num != 1)} ({samples.fields['pos'].unit})"
    print(f"{trained.task_name}, {trained.variant.name}: {clouds}")
    print(f"samples: {out}")
    return 0


def _sampler(options: Any, default_steps: int) -> "Sampler":
    from rapidash.generate import FlowSampler, HeunSampler

    if options.churn is not None and options.sampler != "heun":
        raise ValueError(f"--churn belongs to --sampler heun: {options.sampler!r} has its own")
    if options.sampler == "released":
        if options.steps is not None:
            raise ValueError("--sampler released has 50 steps: leave --steps away, or take heun")
        return HeunSampler.released()
    steps = default_steps if options.steps is None else options.steps
    if options.sampler == "flow":
        return FlowSampler(steps)
    return HeunSampler(steps, churn=HeunSampler.churn if options.churn is None else options.churn)


def _parser() -> Parser:
    from rapidash.generate import HeunSampler

    parser = Parser(
        "sample",
        usage="CHECKPOINT --out FILE [options]",
        description=(
            "Draw clouds from a trained generator. A cloud is a function of the seed and its number, however many are\n"
            "drawn. The suffix of FILE is the format: .npz (everything), .xyz (extended xyz), .sdf (molecules,\n"
            "needs RDKit), .ply (one cloud).\n"
            "Clouds for which the sampler diverged are written too, and counted."
        ),
        examples=(
            "  rapidash sample runs/ala2-gen/work/KEY --num 100 --out samples.xyz\n"
            "  rapidash sample runs/qm9-gen/work/KEY --num 1000 --sampler released --out samples.sdf\n"
            "  rapidash sample runs/toy-gen/work/KEY --num 1000 --seed 1 --sampler flow --steps 64 --out samples.npz"
        ),
    )
    parser.add_argument("checkpoint", metavar="CHECKPOINT", type=str, help="folder of a saved model, or of its run")
    parser.add_argument("--out", type=str, required=True, metavar="FILE", help="where the clouds go")
    parser.add_argument("--num", type=int, default=100, metavar="N", help="clouds")
    parser.add_argument("--size", type=int, default=None, metavar="N", help="points of each (default: as in training)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the noise")
    parser.add_argument(
        "--sampler",
        type=str,
        choices=("heun", "flow", "released"),
        default="heun",
        help="heun: with added noise; flow: in the time of flow matching; released: the published setting of molecules",
    )
    parser.add_argument("--steps", type=int, default=None, metavar="N", help="of the sampler (default: the task's)")
    churn = f"added noise of heun, 0 for none (default: {HeunSampler.churn})"
    parser.add_argument("--churn", type=float, default=None, metavar="X", help=churn)
    parser.add_argument("--condition", type=float, default=None, metavar="X", help="asked for, by a conditional model")
    parser.add_argument("--guidance", type=float, default=0.0, metavar="W", help="towards the condition, 0 for none")
    parser.add_argument("--device", type=str, default="cpu", metavar="DEVICE", help="cpu, cuda or cuda:1")
    add_data(parser)
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")
    return parser
