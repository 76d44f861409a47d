"""The arms of the questions of the Rapidash paper: which symmetry, and how it is let in or out."""

from dataclasses import replace
from typing import Any

from rapidash.learn import Augerino
from rapidash.methods import Method, Variant
from rapidash.models import BaselineConfig, RapidashConfig
from rapidash.study.designs._baselines import baselines
from rapidash.study.designs._ladder import symmetry_ladder, without_exact_kernels
from rapidash.study.designs._relaxed import RPP
from rapidash.symmetrize import FrameAveraging
from rapidash.train import TrainConfig

AXIS = "z axis"
_FEW = ("E(3) on R3xS2", "E(3) on R3", "T(3) on R3", "T(3) on R3 + rotations", "T(3) on R3, frames", "PaiNN")


def recipe(full: bool, *, steps: int, every: int, warmup_steps: int, **settings: Any) -> TrainConfig:
    """The training of these studies with Muon: so many steps, and a validation and a checkpoint every so many.

    Args:
        full: as said; quick ones have 300 steps, 30 to warm up, and a validation every 100.
        settings: the others of the training.
    """
    if not full:
        steps, every, warmup_steps = 300, 100, 30
    settings |= {"eval_every": every, "checkpoint_every": every}
    return TrainConfig(steps=steps, warmup_steps=warmup_steps, optimizer="muon", **settings)


def questions(
    full: bool, base: RapidashConfig, *networks: BaselineConfig, upright: bool = False
) -> tuple[Variant, ...]:
    """The ladder and what is asked about it, each a knob away from its neighbor, and networks of other kinds.

    Without T(3) on R3xS2, whose kernels see too much for tables. Asked is: what is it worth to break the symmetry by
    the axes, or by one of them, as inputs; to tell mirror images apart; to keep turns about a wrong axis; free branches
    under a prior (relax), the average over the frames of principal axes (symmetrize), learned ranges of rotations
    (learn); and does a wider network close the gap?

    Args:
        full: all of them, or six.
        base: width, depth, grid and edges of the Rapidash networks.
        networks: of other kinds, which keep all rotations and reflections, or none; a PaiNN among them.
        upright: whether the z axis of the data is vertical, so that turns about it are a group to ask about.
    """
    ladder = without_exact_kernels(symmetry_ladder(base))
    root, flat, plain = (ladder[name] for name in ("E(3) on R3xS2", "E(3) on R3", "T(3) on R3"))

    def about(axis: str, knob: str) -> Variant:
        model = replace(flat.model, symmetry=f"SO2({axis})")  # type: ignore[type-var]
        return Variant(f"SO2({axis}) on R3", model, neighbor=flat.name, knob=knob)

    def arm(of: Variant, plus: str, knob: str, *methods: Method, **changes: object) -> Variant:
        changes = {"methods": methods, "neighbor": of.name, "knob": knob, **changes}
        return replace(of, name=f"{of.name}{plus}", **changes)  # type: ignore[arg-type]

    chiral = replace(root.model, symmetry="SE(3)")  # type: ignore[type-var]
    widths = base.channels
    doubled = 2 * widths if isinstance(widths, int) else tuple(2 * width for width in widths)
    asked = (
        Variant("SE(3) on R3xS2", chiral, neighbor=root.name, knob="kernels tell mirror images apart"),
        arm(root, f" + {AXIS}", "the z axis as an input vector", inputs=(AXIS,)),
        *((about("z", "kernels and inputs see the vertical"),) if upright else ()),
        about("x", "kernels and inputs see the x axis, which the task does not single out"),
        arm(root, " + RPP", "free branches whose weights have a prior, kept", replace(RPP, hidden=32)),
        arm(plain, ", frames", "the average over the 4 frames of principal axes", FrameAveraging("SO(3)")),
        arm(plain, ", learned ranges", "rotated samples, in ranges that are learned", Augerino("SO(3)")),
        Variant(
            f"{plain.name}, twice as wide",
            replace(plain.model, channels=doubled),  # type: ignore[type-var]
            neighbor=plain.name,
            knob="twice the channels",
        ),
        *baselines(*networks),
    )
    arms = ladder | {variant.name: variant for variant in asked}
    return tuple(arms.values()) if full else tuple(arms[name] for name in _FEW)
