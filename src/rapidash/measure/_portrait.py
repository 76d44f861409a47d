"""The defect of one model over the group, ready to be drawn: over axes, over angles, and at every point of a cloud."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from rapidash._seed import seeded
from rapidash.data import CloudBatch
from rapidash.groups import SO, motion, random_rotation
from rapidash.measure._action import Action, Function
from rapidash.measure._defect import measured_defect
from rapidash.measure._equivariance_error import equivariance_error
from rapidash.measure._guard import measuring
from rapidash.measure._norms import magnitudes, rms, unit_of
from rapidash.measure._point_shares import point_shares
from rapidash.measure._report import Report
from rapidash.measure._severity import SeverityCurve

_SHARE_STEPS = 6
_UNEXPLAINED = 0.25  # contributions that miss more of the defects than this are not shown


@dataclass(frozen=True)
class ErrorCurve:
    """Relative equivariance error against the rotation angle: mean, least and largest over axes (one in the plane)."""

    degrees: tuple[float, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True)
class SphereMap:
    """Relative equivariance error for rotations by one angle about axes on a grid of elevation x azimuth (degrees)."""

    degrees: float
    elevations: tuple[float, ...]
    azimuths: tuple[float, ...]
    error: Float[Tensor, "rows columns"] = field(repr=False)


@dataclass(frozen=True)
class TurnedCloud:
    """One cloud and the defect at its points for every pose of a grid yaw x pitch (in the plane: yaw alone).

    A pose turns the cloud by yaw about y, then by pitch about x (in the plane by yaw), before the model sees it.

    Args:
        points: (N, D) in the unit of positions.
        defect: (yaw, pitch, N) norm of the defect of each point's output, in the unit of the output; where the model
            has one output per cloud, that of the cloud at all of its points.
        output_norm: root mean square over the points (or the cloud) of the norm of the output.
        shares: (yaw, pitch, N) signed contributions of the points to the defect of the cloud, see `point_shares`, on
            a coarser grid of poses with the same ends; None for outputs per point, or where they cannot be had.
    """

    points: Float[Tensor, "N D"] = field(repr=False)
    defect: Float[Tensor, "yaw pitch N"] = field(repr=False)
    output_norm: float
    shares: Float[Tensor, "yaw2 pitch2 N"] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Portrait:
    """Everything a page about one model's symmetry shows.

    Args:
        title: what was measured.
        facts: short facts by name: effective symmetry, task, weights, ...
        tables: errors by group, Lie derivative by generator, layers, ...
        curve, sphere, clouds: see their types; ``sphere`` is None in the plane.
        yaws, pitches: the poses of the clouds, in degrees.
        unit: of the output.
        has_point_outputs: whether the defect differs between the points of a cloud.
        severity: error against the severity of corruptions; ``metric`` says which error, with its unit.
        source: what the clouds are, in the plural, such as "validation clouds".
        unexplained: share of the defects that the contributions of the points miss, over all poses.
        sentences: what the figures mean, below the headline.
        spectra: the irreps of each layer's output, see `IrrepSpectrum.report`, one report for each moment.
    """

    title: str
    facts: Mapping[str, str]
    tables: tuple[Report, ...]
    curve: ErrorCurve
    sphere: SphereMap | None
    clouds: tuple[TurnedCloud, ...]
    yaws: tuple[float, ...]
    pitches: tuple[float, ...]
    unit: str
    has_point_outputs: bool
    severity: tuple[SeverityCurve, ...] = ()
    metric: str = ""
    source: str = "clouds"
    unexplained: float = 0.0
    sentences: tuple[str, ...] = ()
    spectra: tuple[Report, ...] = ()


def portrait(
    fn: Function,
    batch: CloudBatch,
    action: Action,
    *,
    title: str,
    facts: Mapping[str, str] | None = None,
    tables: Sequence[Report] = (),
    severity: Sequence[SeverityCurve] = (),
    metric: str = "",
    source: str = "clouds",
    sentences: Sequence[str] = (),
    spectra: Sequence[Report] = (),
    num_clouds: int = 4,
    degrees: float = 90.0,
    num_axes: int = 6,
    num_yaws: int = 24,
    num_pitches: int = 13,
    map_rows: int = 10,
    seed: int = 0,
) -> Portrait:
    """Measure how the defect depends on the rotation and on the point; about 600 evaluations on a few clouds.

    Args:
        fn: a model of clouds in eval mode, best in float64.
        batch: clouds; their first ``num_clouds`` are drawn, all are used for nothing else.
        action: its outputs are used; the rotations are those of SO(D), whatever its group.
        title, facts, tables, severity, metric, source, sentences, spectra: shown beside.
        num_clouds: how many clouds are measured here.
        degrees: rotation angle of the map over axes.
        num_axes: random axes of the curve.
        num_yaws, num_pitches: poses for each cloud.
        map_rows: elevations of the map, twice as many azimuths.
        seed: of the random axes.
    Raises: ValueError as `equivariance_error`, or for an action with several outputs.
    """
    few = _first_clouds(batch, num_clouds)
    dim = few.pos.shape[1]
    rotations = Action(SO(dim), None, action.outputs)
    if len(rotations.output_fields) != 1:
        raise ValueError(f"a portrait shows one output, got {list(rotations.output_fields)}: pick one in an adapter")
    output = next(iter(rotations.output_fields.values()))
    yaws = tuple(360.0 * k / num_yaws for k in range(num_yaws))
    pitches = (0.0,) if dim == 2 else tuple(-90.0 + 180.0 * k / (num_pitches - 1) for k in range(num_pitches))
    clouds, unexplained = _turned_clouds(fn, few, rotations, yaws, pitches), 0.0
    if output.level == "cloud":
        clouds, unexplained = _with_shares(
            clouds, fn, few, rotations, yaws[:: _stride(len(yaws))], pitches[:: _stride(len(pitches) - 1)]
        )
    return Portrait(
        title=title,
        facts=dict(facts or {}),
        tables=tuple(tables),
        curve=_curve(fn, few, rotations, num_axes, seed),
        sphere=None if dim == 2 else _sphere(fn, few, rotations, degrees, map_rows),
        clouds=clouds,
        yaws=yaws,
        pitches=pitches,
        unit=output.unit,
        has_point_outputs=output.level == "point",
        severity=tuple(severity),
        metric=metric,
        source=source,
        unexplained=unexplained,
        sentences=tuple(sentences),
        spectra=tuple(spectra),
    )


def pose_rotation(yaw: float, pitch: float, dim: int) -> Float[Tensor, "D1 D1"]:
    """The rotation of a pose in degrees: pitch about x after yaw about y; in the plane by yaw."""
    if dim == 2:
        linear = _about(torch.tensor([[0.0, 0.0, 1.0]], dtype=torch.float64), [yaw])[0, :2, :2]
    else:
        axes = torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]], dtype=torch.float64)
        turn, tilt = _about(axes, [yaw, pitch])
        linear = tilt @ turn
    return motion(linear, linear.new_zeros(dim))


def _curve(fn: Function, batch: CloudBatch, action: Action, num_axes: int, seed: int) -> ErrorCurve:
    dim = batch.pos.shape[1]
    degrees = [15.0 * k for k in range(1, 24 if dim == 2 else 13)]
    axes = random_rotation(num_axes, 3, generator=seeded(seed, "axes"))[:, 0] if dim == 3 else torch.eye(3).double()[2:]
    turned = [_about(axes, [angle] * len(axes))[:, :dim, :dim] for angle in degrees]
    errors = _errors(fn, batch, action, torch.cat(turned)).reshape(len(degrees), len(axes))
    columns = (errors.mean(dim=1), errors.amin(dim=1), errors.amax(dim=1))
    mean, low, high = ((0.0, *column.tolist()) for column in columns)
    return ErrorCurve((0.0, *degrees), mean, low, high)


def _sphere(fn: Function, batch: CloudBatch, action: Action, degrees: float, rows: int) -> SphereMap:
    elevations = [90 - 180 * (row + 0.5) / rows for row in range(rows)]
    azimuths = [-180 + 180 * (column + 0.5) / rows for column in range(2 * rows)]
    grid = torch.deg2rad(torch.cartesian_prod(torch.tensor(elevations), torch.tensor(azimuths)).double())
    e, a = grid.unbind(dim=1)
    axes = torch.stack([e.cos() * a.cos(), e.cos() * a.sin(), e.sin()], dim=1)
    errors = _errors(fn, batch, action, _about(axes, [degrees] * len(axes)))
    return SphereMap(degrees, tuple(elevations), tuple(azimuths), errors.reshape(rows, 2 * rows))


def _errors(fn: Function, batch: CloudBatch, action: Action, rotations: Tensor) -> Float[Tensor, " G"]:
    elements = motion(rotations, rotations.new_zeros(len(rotations), rotations.shape[-1]))
    return equivariance_error(fn, batch, action, elements=elements).per_element.cpu()


def _turned_clouds(
    fn: Function, batch: CloudBatch, action: Action, yaws: Sequence[float], pitches: Sequence[float]
) -> tuple[TurnedCloud, ...]:
    dim, (name, output) = batch.pos.shape[1], next(iter(action.output_fields.items()))
    with measuring(fn):
        before = {key: value.detach() for key, value in action.call(fn, batch).items()}
        rows = []
        for yaw in yaws:
            for pitch in pitches:
                change = measured_defect(fn, batch, action, pose_rotation(yaw, pitch, dim), before)[name]
                rows.append(_row_norms(change))
    values = torch.stack(rows).reshape(len(yaws), len(pitches), -1).cpu()
    if output.level == "cloud":
        values = values[..., batch.batch.cpu()]
    clouds = []
    for cloud in range(batch.num_clouds):
        mine = (batch.batch == cloud).cpu()
        own = before[name][mine.to(before[name].device)] if output.level == "point" else before[name][cloud : cloud + 1]
        norm = float(rms(_row_norms(own)))
        clouds.append(TurnedCloud(batch.pos.detach().cpu()[mine], values[..., mine], norm))
    return tuple(clouds)


def _with_shares(
    clouds: Sequence[TurnedCloud],
    fn: Function,
    batch: CloudBatch,
    action: Action,
    yaws: Sequence[float],
    pitches: Sequence[float],
) -> tuple[tuple[TurnedCloud, ...], float]:
    """The clouds with the contributions of their points at every pose, and the share of the defects that these miss.

    The clouds are as they were if the model does not allow contributions: it has no defect or no derivative, or is not
    smooth enough for them to add up. In a network that is equivariant up to its grid, large ones nearly cancel.
    """
    largest = max(float(cloud.defect.max()) for cloud in clouds)
    if largest <= 1e-10 * max(cloud.output_norm for cloud in clouds):
        return tuple(clouds), 0.0
    rows, unexplained, total = [], 0.0, 0.0
    for yaw in yaws:
        for pitch in pitches:
            try:
                found = point_shares(
                    fn, batch, action, _logarithm(pose_rotation(yaw, pitch, batch.pos.shape[1])), num_steps=_SHARE_STEPS
                )
            except RuntimeError:  # nothing to differentiate
                return tuple(clouds), 0.0
            rows.append(found.share)
            unexplained += float(found.error.abs().sum())
            total += float(found.total.sum())
    if unexplained > _UNEXPLAINED * total:
        return tuple(clouds), 0.0
    shares = torch.stack(rows).reshape(len(yaws), len(pitches), -1).cpu()
    owners = batch.batch.cpu()
    with_shares = tuple(replace(cloud, shares=shares[..., owners == index]) for index, cloud in enumerate(clouds))
    return with_shares, unexplained / total


def _row_norms(value: Tensor) -> Float[Tensor, " B"]:
    sizes = magnitudes(value).reshape(len(value), -1)
    unit = unit_of(sizes)
    return unit * (sizes / unit).norm(dim=1)


def _stride(count: int) -> int:
    """Contributions of points cost more than defects: every third pose, or second, if that divides the grid evenly."""
    return next(stride for stride in (3, 2, 1) if count % stride == 0)


def _logarithm(g: Float[Tensor, "D1 D1"]) -> Float[Tensor, "D1 D1"]:
    """The element A of the algebra of rotations with exp(A) = g and the smallest angle."""
    from scipy.spatial.transform import Rotation  # takes long to import

    dim = len(g) - 1
    if dim == 2:
        angles = torch.atan2(g[1, 0], g[0, 0])[None]
    else:
        angles = torch.from_numpy(Rotation.from_matrix(g[:3, :3].numpy()).as_rotvec())
    return torch.einsum("k,kij->ij", angles.to(g), SO(dim).generators().to(g))


def _first_clouds(batch: CloudBatch, num: int) -> CloudBatch:
    num = min(num, batch.num_clouds)
    kept = batch.batch < num
    tensors: dict[str, Any] = {
        name: value[kept] if batch.fields[name].level == "point" else value[:num]
        for name, value in batch.tensors.items()
    }
    return CloudBatch(tensors, batch.fields, batch.batch[kept], num)


def _about(axes: Float[Tensor, "G 3"], degrees: Sequence[float]) -> Float[Tensor, "G 3 3"]:
    """Rotations about unit axes, each by its own angle."""
    generators = torch.einsum("gk,kij->gij", axes, SO(3).generators()[:, :3, :3])
    return torch.linalg.matrix_exp(
        torch.deg2rad(torch.tensor(degrees, dtype=torch.float64))[:, None, None] * generators
    )
