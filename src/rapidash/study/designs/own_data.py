"""The study of a user's own data: the ladder of symmetries, with further methods beside it where they are asked for."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from rapidash._names import unknown_name
from rapidash.learn import Augerino
from rapidash.methods import Average, Method, Variant
from rapidash.models import RapidashConfig
from rapidash.relax import ACE, REMUL, ConstraintRelaxation, ProjectionPenalty, RelaxedFiberConv, ResidualPathwayPrior
from rapidash.study._design import StudyDesign
from rapidash.study.designs._ladder import symmetry_ladder, without_exact_kernels
from rapidash.symmetrize import Canonicalization, FrameAveraging, GroupAveraging, ProbabilisticSymmetrization
from rapidash.train import TrainConfig

_ALL_PAIRS: Final = 32  # points up to which every point sees every other
_ON_SYMMETRIC: Final[dict[str, tuple[Callable[[int], Method], str]]] = {
    "ace": (lambda dim: ACE(), "free branches that dual ascent closes, dropped in the end"),
    "constraint-relaxation": (lambda dim: ConstraintRelaxation(), "free linear maps on a schedule, dropped in the end"),
    "projection-penalty": (lambda dim: ProjectionPenalty(), "free linear maps with a penalty, kept"),
    "rpp": (lambda dim: ResidualPathwayPrior(), "free branches whose weights have a prior, kept"),
    "relaxed-conv": (lambda dim: RelaxedFiberConv(), "kernels of the orientations mixed from banks of weights"),
}
_ON_PLAIN: Final[dict[str, tuple[Callable[[int], Method], str]]] = {
    "remul": (lambda dim: REMUL(1.0, f"SO({dim})"), "the moved sample as a second task"),
    "average": (lambda dim: Average(f"SO({dim})", 8), "also tested as the average over 8 random rotations"),
    "augerino": (lambda dim: Augerino(f"SO({dim})"), "rotations within half-widths that are learned"),
    "group-averaging": (lambda dim: GroupAveraging(f"SO({dim})", 4, 8), "the average over 4 random rotations"),
    "frames": (lambda dim: FrameAveraging(f"SO({dim})"), "the average over all frames of principal axes"),
    "canonical": (lambda dim: Canonicalization(f"SE({dim})"), "moved to the one pose that a network chooses"),
    "probabilistic": (
        lambda dim: ProbabilisticSymmetrization(f"SE({dim})", num=4, num_test=8),
        "the average over 4 poses that a network and noise choose",
    ),
}
_BY_PRINCIPAL_AXES: Final = ("frames", "canonical", "probabilistic")  # of the points: none in a cell that repeats
METHODS_OF_OWN_DATA: Final = (*_ON_SYMMETRIC, *_ON_PLAIN)


def own_data_design(
    options: Mapping[str, Any], *, num_points: int, methods: Sequence[str] = (), full: bool = False
) -> StudyDesign:
    """The ladder of symmetries on a user's files, and by name further methods, each a knob away from a rung.

    Tensors need orientations or no rotations, and energies with forces smooth edges: the ladder has the rungs that can
    give the target. Quick: narrow networks, 600 steps, three seeds. Full: wider networks, 4,000 steps, five seeds.

    Args:
        options: of the task, see `rapidash.tasks.own_data_options`.
        num_points: of the largest cloud.
        methods: names in `METHODS_OF_OWN_DATA`.
        full: the long setting.
    Raises: ValueError for another method, or one that cannot be had on these data.
    """
    dim, is_periodic = int(options["dim"]), bool(options["is_periodic"])
    ladder = _without_free_orientations(symmetry_ladder(_network(options, num_points, full)), dim)
    if options["kind"] == "tensor":
        del ladder[f"E({dim}) on R{dim}"]
        root, plain = f"E({dim}) on R{dim}xS{dim - 1}", f"T({dim}) on R{dim}"
        ladder[plain] = replace(ladder[plain], neighbor=root, knob="kernels and outputs see all components")
    if is_periodic or options["kind"] == "forces":
        del ladder[f"E({dim}) on R{dim}xS{dim - 1} + global frame"]
    symmetric, unconstrained = ladder[f"E({dim}) on R{dim}xS{dim - 1}"], ladder[f"T({dim}) on R{dim}"]
    for name in dict.fromkeys(methods):
        if name not in METHODS_OF_OWN_DATA:
            raise ValueError(unknown_name("method:", name, METHODS_OF_OWN_DATA))
        if is_periodic and name in _BY_PRINCIPAL_AXES:
            raise ValueError(
                f"method {name!r} chooses poses by the places of the points, and a periodic cloud has none"
            )
        base = symmetric if name in _ON_SYMMETRIC else unconstrained
        make, knob = (_ON_SYMMETRIC | _ON_PLAIN)[name]
        arm = replace(base, name=f"{base.name} + {name}", methods=(make(dim),), neighbor=base.name, knob=knob)
        ladder[arm.name] = arm
    steps = 4000 if full else 600
    train = TrainConfig(
        steps=steps,
        batch_size=16,
        learning_rate=5e-3,
        weight_decay=1e-5,
        warmup_steps=50,
        ema_decay=0.99,
        eval_every=steps // 6,
        checkpoint_every=steps // 6,
        optimizer="muon",
    )
    return StudyDesign(
        "own-data",
        tuple(ladder.values()),
        train,
        seeds=(0, 1, 2, 3, 4) if full else (0, 1, 2),
        task_options=dict(options),
        setting="full" if full else "quick",
        measures=("split-distance", "constant-error"),
    )


def _without_free_orientations(ladder: dict[str, Variant], dim: int) -> dict[str, Variant]:
    """The ladder without T(D) on R^D x S^(D-1), whose kernels see too much for tables."""
    if dim == 3:
        return without_exact_kernels(ladder)
    plain = replace(ladder["T(2) on R2"], neighbor="E(2) on R2", knob="kernels and inputs see all components")
    return {**{name: entry for name, entry in ladder.items() if name != "T(2) on R2xS1"}, plain.name: plain}


def _network(options: Mapping[str, Any], num_points: int, full: bool) -> RapidashConfig:
    """The backbone: orientations that can give the target, and edges that fit the clouds."""
    dim = int(options["dim"])
    base = RapidashConfig(
        symmetry=f"E({dim})",
        space=f"R{dim}xS{dim - 1}",
        num_orientations=8 if dim == 2 else 12 if options["kind"] == "tensor" else 6,
        channels=64 if full else 16,
        num_layers=4 if full else 2,
        basis_dim=32 if full else 16,
        basis_hidden_dim=32 if full else 16,
    )
    if options["is_periodic"]:
        return replace(base, edges="radius-2")  # about 33 neighbors, since lengths are those of a point's volume
    if num_points <= _ALL_PAIRS:
        return base
    if options["kind"] == "forces":
        return replace(base, edges="radius-2")
    if options["elements"]:
        return replace(base, edges="knn-16-clamp")  # of smaller clouds all points
    width = 64 if full else 16
    return replace(
        base, edges=("knn-8-clamp", "knn-8-clamp"), ratios=0.25, channels=(width, 2 * width), num_layers=(1, 1)
    )
