"""Invariance of features: similarity after whitening, and the empirical equivariance deviation of an orbit."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from rapidash.data import Batch
from rapidash.groups import Scalar, enumerated, trivial
from rapidash.measure._action import Action, Function
from rapidash.measure._copies import copied
from rapidash.measure._defect import moved_back, refuse_other_shapes
from rapidash.measure._equivariance_error import DEFAULT_NUM_ELEMENTS, draw_elements
from rapidash.measure._guard import measuring
from rapidash.measure._norms import cosines, real_rows, refuse_not_finite, rms, unit_of, unit_rows, wide
from rapidash.measure._report import Report

Distance = Literal["l2", "cosine"]
_SAME = 1e-12  # rows that differ less, relative to their size, differ by rounding in float64
MIN_EIGENVALUE = 1e-4  # of the covariance, relative to the largest: smaller directions are dropped


@dataclass(frozen=True)
class Whitening:
    """The affine map to features with mean 0 and covariance 1, on the directions that vary.

    Args:
        mean: (F,) mean.
        transform: (F, rank) so that (h - mean) @ transform is white.
        rank: number of directions kept.
    """

    mean: Float[Tensor, " F"] = field(repr=False)
    transform: Float[Tensor, "F R"] = field(repr=False)
    rank: int

    def __call__(self, h: Float[Tensor, "B F"]) -> Float[Tensor, "B R"]:
        """White features, float64."""
        return (real_rows(h) - self.mean) @ self.transform


def feature_statistics(h: Float[Tensor, "B F"]) -> Whitening:
    """The whitening of a reference set of features, by an eigendecomposition in float64.

    Raises: ValueError for fewer than 2 samples, features that are not finite or do not vary.
    """
    if h.dim() != 2 or len(h) < 2:
        raise ValueError(f"features must be (B, F) with at least 2 samples, got shape {tuple(h.shape)}")
    refuse_not_finite("a feature of the reference set", h)
    rows = real_rows(h.detach())
    unit = unit_of(rows.abs())
    mean = (rows / unit).mean(dim=0)
    centered = rows / unit - mean
    values, vectors = torch.linalg.eigh(centered.T @ centered / (len(h) - 1))
    if not bool(values[-1] > _SAME**2):
        raise ValueError("the features do not vary over the reference set: whitening is undefined")
    kept = values > MIN_EIGENVALUE * values[-1]
    return Whitening(mean * unit, vectors[:, kept] / values[kept].sqrt() / unit, int(kept.sum()))


@dataclass(frozen=True)
class InvarianceSimilarity:
    """Whitened features of x and of the transformed x, for every transformation k and sample: (K, B).

    Args:
        cosine, mahalanobis: of the two.
        rank: of the whitening.
        names: of the transformations, empty where they have none.
    """

    cosine: Float[Tensor, "K B"]
    mahalanobis: Float[Tensor, "K B"]
    rank: int
    names: tuple[str, ...] = ()

    @property
    def mean_cosine(self) -> float:
        """Mean cosine: 1 for invariant features, about 0 for unrelated ones."""
        return float(self.cosine.mean())

    @property
    def mean_mahalanobis(self) -> float:
        """Mean distance: 0 for invariant features."""
        return float(self.mahalanobis.mean())

    def report(self) -> Report:
        """One row per transformation, by its name, or number where it has none."""
        names = self.names or range(len(self.cosine))
        rows = [
            {"transformation": k, "cosine": float(c.mean()), "Mahalanobis distance": float(d.mean())}
            for k, c, d in zip(names, self.cosine, self.mahalanobis, strict=True)
        ]
        return Report("similarity of whitened features", tuple(rows), {"rank": self.rank})


def invariance_similarity(
    encoder: Function,
    x: Any,
    transforms: Action | Sequence[Callable[[Any], Any]] | Mapping[str, Callable[[Any], Any]],
    *,
    whitening: Whitening | None = None,
    num_elements: int | None = None,
    seed: int = 0,
) -> InvarianceSimilarity:
    r"""Cosine and distance between w(x) and w(T x), with w the whitened features of a frozen encoder.

    Whitening matters: features of a network share a large mean and a few large directions, and their raw cosine is
    close to 1 whatever the transformation.

    Args:
        encoder: returns features (B, F); in eval mode.
        x: the input.
        transforms: an `Action` (elements are drawn from its group; its outputs are not used), or functions of x, for
            transformations without a group such as noise, by name if they have one.
        whitening: from `feature_statistics` of a reference set. None takes the features of x, which needs more samples
            than features.
        num_elements: for an `Action`: None takes all elements but the identity of a finite group, 16 of any other.
        seed: of the elements.
    Raises: ValueError for no transformation, one that leaves x as it is (the identity would count as invariance), or
        features that are not (B, F).
    Source: Ericsson, Gouk, Hospedales, "Why Do Self-Supervised Models Transfer?", BMVC 2022.
    """
    names: tuple[str, ...] = ()
    if isinstance(transforms, Action):
        action = transforms
        elements = draw_elements(action.group, num_elements, seed=seed)
        moved: list[Callable[[Any], Any]] = [lambda v, g=g: action.transform(g, v) for g in elements]  # type: ignore[misc]
    elif isinstance(transforms, Mapping):
        names, moved = tuple(transforms), list(transforms.values())
    else:
        moved = list(transforms)
    if not moved:
        raise ValueError("transforms is empty: give an Action or at least one function of x")
    with measuring(encoder):
        before = _features(encoder, x)
        whiten = feature_statistics(before) if whitening is None else whitening
        w = whiten(before)
        after = []
        for place, transform in enumerate(moved):
            there = transform(copied(x))
            if _is_same(x, there):
                which = repr(names[place]) if names else f"number {place}"
                raise ValueError(f"transformation {which} leaves x as it is, which counts as invariance: leave it out")
            v = _features(encoder, there)
            refuse_other_shapes({"features": before}, {"features": v}, "under a transformation")
            after.append(whiten(v))
    cosine = torch.stack([cosines(w, v) for v in after])
    distance = torch.stack([(w - v).norm(dim=-1) for v in after])
    return InvarianceSimilarity(cosine, distance, whiten.rank, names)


def similarity_of_views(
    h: Float[Tensor, "B V F"], whitening: Whitening, *, with_self_pairs: bool = False
) -> tuple[float, float]:
    """Mean cosine and mean distance of whitened features between pairs of views of one object, over all objects.

    Args:
        h: features of V views of each of B objects.
        whitening: from `feature_statistics` of a reference set.
        with_self_pairs: count the pairs of a view with itself, as released code does: the cosine c then reads
            (1 + (V - 1) c) / V, at least 1/2 for two unrelated views.
    Raises: ValueError for another shape, or fewer than 2 views.
    Source: Ericsson, Gouk, Hospedales, "Why Do Self-Supervised Models Transfer?", BMVC 2022.
    """
    if h.dim() != 3 or h.shape[1] < 2 or not len(h):
        raise ValueError(f"h must be (objects, views, features) with at least 2 views, got shape {tuple(h.shape)}")
    w = whitening(h.flatten(0, 1)).unflatten(0, h.shape[:2])
    unit = unit_rows(w)
    cosine, distance = unit @ unit.transpose(1, 2), torch.cdist(w, w, compute_mode="donot_use_mm_for_euclid_dist")
    kept = torch.ones_like(cosine, dtype=torch.bool)
    if not with_self_pairs:
        kept.diagonal(dim1=1, dim2=2).fill_(False)
    return float(cosine[kept].mean()), float(distance[kept].mean())


def empirical_equivariance_deviation(
    h: Function,
    x: Any,
    action: Action,
    *,
    num_elements: int | None = None,
    distance: Distance = "l2",
    reference: Literal["mean", "original"] = "mean",
    normalize: bool = True,
    seed: int = 0,
) -> float:
    r"""Mean distance of rho(g)^-1 h(g x) from its mean over the orbit of x, in units of the distance between inputs.

    "l2": 0 for an equivariant map. A map that sends every g x to an independent random vector reads
    sqrt((1 - 1/G) / 2) against the mean of G elements, and 1 against the original. "cosine" is a similarity: for an
    equivariant map 1, or 1 / (mean cosine between inputs) when normalized.

    Args:
        h: a model or an encoder with one row per sample; in eval mode.
        x: the input, at least 2 samples.
        action: the group with the representations of inputs and outputs.
        num_elements: None takes all elements (with the identity) of a finite group, 16 random ones of any other.
        distance: "l2" or "cosine".
        reference: the "mean" over the orbit, or h(x), the "original".
        normalize: divide by the mean over pairs of different inputs; it removes the scale of h.
        seed: of the elements.
    Raises: ValueError for fewer than 2 samples, or a map that is the same for all inputs (its scale is 0).
    Source: Kvinge et al., "In What Ways Are Deep Neural Networks Invariant and How Should We Measure This?", NeurIPS
        2022. `relative_rms_deviation` is the measure of residual pathway priors.
    """
    if distance not in get_args(Distance) or reference not in ("mean", "original"):
        raise ValueError(f"distance must be one of {get_args(Distance)} and reference 'mean' or 'original'")
    everything = enumerated(action.group) if num_elements is None else None
    if everything is None:
        elements = draw_elements(action.group, num_elements or DEFAULT_NUM_ELEMENTS, seed=seed)
    else:
        elements = everything
    with measuring(h):
        outputs = action.call(h, x)
        original, orbit_rows = _rows(outputs), []
        for g in elements:
            turned = moved_back(h, x, action, g)
            refuse_other_shapes(outputs, turned)
            orbit_rows.append(_rows(turned))
        orbit = torch.stack(orbit_rows)
    if len(original) < 2:
        raise ValueError("the distance between inputs needs at least 2 samples")
    size = unit_of(orbit.abs())
    orbit, original = orbit / size, original / size
    center = orbit.mean(dim=0) if reference == "mean" else original
    if distance == "l2":
        deviation = (orbit - center).norm(dim=-1).mean()
        scale, largest = torch.pdist(original).mean(), float(original.abs().max())
    else:
        deviation = cosines(orbit, center.expand_as(orbit)).mean()
        directions = unit_rows(original)
        off_diagonal = ~torch.eye(len(directions), dtype=torch.bool, device=directions.device)
        scale, largest = (directions @ directions.T)[off_diagonal].mean(), 1.0
    if not normalize:
        return float(deviation * size if distance == "l2" else deviation)
    if not abs(float(scale)) > _SAME * largest:
        raise ValueError("h is the same for all inputs, so its deviation has no scale: use normalize=False")
    return float(deviation / scale)


def relative_rms_deviation(
    fn: Function, x: Any, action: Action, *, num_elements: int | None = None, seed: int = 0
) -> Float[Tensor, " G"]:
    r"""RMS(f(g x) - g f(x)) / (RMS f(g x) + RMS g f(x)) for every element: 0 if equivariant, at most 1.

    Args:
        fn: a model with one output; in eval mode.
        x: the input.
        action: the group with the representations of inputs and outputs.
        num_elements: None takes all elements but the identity of a finite group, 16 random ones of any other.
        seed: of the elements.
    Raises: ValueError for a zero output.
    Source: Finzi, Benton, Wilson, "Residual Pathway Priors for Soft Equivariance Constraints", NeurIPS 2021.
    """
    ratios = []
    with measuring(fn):
        before = {name: wide(value.detach()) for name, value in action.call(fn, x).items()}
        for g in draw_elements(action.group, num_elements, seed=seed):
            after = action.call(fn, action.transform(g, x))
            refuse_other_shapes(before, after)
            expected, moved = _rows(action.transform_outputs(g, before)), _rows(after)
            scale = rms(moved) + rms(expected)
            if not bool(scale > 0):
                raise ValueError("the output is zero, so a relative deviation is not defined: measure other samples")
            ratios.append(rms(moved - expected) / scale)
    return torch.stack(ratios)


def _is_same(x: Any, there: Any) -> bool:
    """Whether every number in the two inputs is the same."""
    if isinstance(x, Tensor):
        return isinstance(there, Tensor) and torch.equal(x, there)
    if isinstance(x, Batch) and isinstance(there, Batch):
        return x.tensors.keys() == there.tensors.keys() and all(torch.equal(x[k], there[k]) for k in x.tensors)
    return False


def _features(encoder: Function, x: Any) -> Tensor:
    return _rows(Action(trivial(3), outputs=Scalar()).call(encoder, x))


def _rows(outputs: dict[str, Tensor]) -> Tensor:
    if len(outputs) != 1:
        raise ValueError(f"one output with a row per sample is needed, got {list(outputs)}: pick one in an adapter")
    return real_rows(next(iter(outputs.values())).detach())
