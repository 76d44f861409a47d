"""The finite equivariance error: how much the output changes under elements of the group."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from rapidash._seed import seeded
from rapidash.groups import Group, MatrixGroup, enumerated
from rapidash.measure._action import Action, Function
from rapidash.measure._defect import measured_defect, refuse_other_shapes
from rapidash.measure._guard import measuring
from rapidash.measure._norms import rms, wide
from rapidash.measure._report import Report

Normalization = Literal["norm", "variance", "none"]
DEFAULT_NUM_ELEMENTS = 16
_ROUNDING = 1e-4  # noise below it is the order of sums on a GPU
_NOISY = 0.75  # for a function that is nothing but noise the ratio is 1, give or take


@dataclass(frozen=True)
class EquivarianceError:
    """The defects of one function over elements g and samples x.

    Args:
        per_pair: (G, B) norm of the defect of sample b under element g, divided by ``scale``. With several outputs the
            root mean square over them.
        scale: root mean square over samples of what the defect is divided by (1 for normalization "none").
        output_norm: root mean square over samples of the norm of f(x). Look at it too: a function that ignores its
            input is perfectly invariant.
        noise_floor: the same error between two evaluations of f(x): not 0 for a function that draws random numbers.
            The report says "repeat noise".
        elements: (G, n, n) the elements.
        group: name of the group.
        normalization: "norm", "variance" or "none".
        fields: the error of every output, when there are several.
    """

    per_pair: Float[Tensor, "G B"]
    scale: float
    output_norm: float
    noise_floor: float
    elements: Float[Tensor, "G n n"] = field(repr=False)
    group: str
    normalization: Normalization
    fields: Mapping[str, "EquivarianceError"] = field(default_factory=dict, repr=False)

    @property
    def per_element(self) -> Float[Tensor, " G"]:
        """Root mean square over samples: ||f(g x) - g f(x)|| / ||f(x)|| over the whole input."""
        return rms(self.per_pair, dim=1)

    @property
    def per_sample(self) -> Float[Tensor, " B"]:
        """Root mean square over elements."""
        return rms(self.per_pair, dim=0)

    @property
    def mean(self) -> float:
        """Mean over elements."""
        return float(self.per_element.mean())

    @property
    def max(self) -> float:
        """Largest over elements."""
        return float(self.per_element.max())

    @property
    def standard_error(self) -> float:
        """Standard error of the mean over elements; nan for a single one."""
        return (
            float(self.per_element.std() / len(self.per_element) ** 0.5) if len(self.per_element) > 1 else float("nan")
        )

    def to_dict(self) -> dict[str, Any]:
        """Mean, max and output norm as plain numbers, as run records hold them."""
        return {"mean": self.mean, "max": self.max, "output_norm": self.output_norm, "group": self.group}

    def report(self) -> Report:
        """One row per output."""
        rows = []
        for name, e in (self.fields or {"output": self}).items():
            row = {"output": name, "mean": e.mean, "stderr": e.standard_error, "max": e.max}
            rows.append({**row, "output norm": e.output_norm, "repeat noise": e.noise_floor})
        num_elements, num_samples = self.per_pair.shape
        metadata = {"group": self.group, "elements": num_elements, "samples": num_samples}
        return Report("equivariance error", tuple(rows), {**metadata, "normalization": self.normalization})


def equivariance_error(
    fn: Function,
    x: Any,
    action: Action,
    *,
    num_elements: int | None = None,
    elements: Float[Tensor, "G n n"] | None = None,
    normalization: Normalization = "norm",
    translation_scale: float = 1.0,
    seed: int = 0,
) -> EquivarianceError:
    r"""The relative defect ||f(g x) - g f(x)|| / ||f(x)|| over elements g of a group and samples x.

    The norm is over everything that belongs to a sample; the denominator is one number, the root mean square over the
    samples, so that no sample with a small output dominates. The defect is taken as rho_out(g)^-1 f(g x) - f(x), which
    for orthogonal representations has the same norm.

    Args:
        fn: a module in eval mode or any function; called as `Action` says. It is left as it was.
        x: the input: a tensor, mapping, tuple or `CloudBatch`.
        action: the group with the representations of inputs and outputs.
        num_elements: how many elements are drawn (Haar measure for the compact part, translations normal with
            ``translation_scale``, `Flows` uniform in their range). None: every element except the identity of a finite
            group, 16 of any other.
        elements: the elements to use instead, float64.
        normalization: "norm" divides by the norm of f(x); "variance" by the deviation of f(x) from its mean over rows,
            so that a constant does not hide a broken symmetry; "none" keeps the unit of the output.
        translation_scale: standard deviation of translations, in the unit of positions.
        seed: of the elements.
    Raises: ValueError for a model in training mode, an undeclared output or one that is not finite, has no tensor or
        changes its shape with g, no elements, or a zero (for "variance" a constant) output, whose relative error is not
        defined. It warns where two evaluations of f(x) differ as much as f(g x) and g f(x) do.
    """
    error = measured_error(
        fn,
        x,
        action,
        num_elements=num_elements,
        elements=elements,
        normalization=normalization,
        translation_scale=translation_scale,
        seed=seed,
    )
    for name, part in (error.fields or {"output": error}).items():
        if part.noise_floor > max(_ROUNDING * part.output_norm / part.scale, _NOISY * part.mean):
            warnings.warn(
                f"two evaluations of output {name!r} on the same input differ by {part.noise_floor:.2g}, the error is "
                f"{part.mean:.2g}: it may be noise only. Fix the function's random draws first.",
                RuntimeWarning,
                stacklevel=2,
            )
    return error


def measured_error(
    fn: Function,
    x: Any,
    action: Action,
    *,
    num_elements: int | None = None,
    elements: Float[Tensor, "G n n"] | None = None,
    normalization: Normalization = "norm",
    translation_scale: float = 1.0,
    seed: int = 0,
) -> EquivarianceError:
    """As `equivariance_error`, without a word about noise."""
    if normalization not in get_args(Normalization):
        raise ValueError(f"normalization must be one of {get_args(Normalization)}, got {normalization!r}")
    if elements is None:
        elements = draw_elements(action.group, num_elements, translation_scale=translation_scale, seed=seed)
    if elements.dim() != 3 or len(elements) == 0:
        raise ValueError(f"elements must be matrices (G, n, n) with G >= 1, got shape {tuple(elements.shape)}")
    with measuring(fn):
        before, again = ({name: wide(value.detach()) for name, value in action.call(fn, x).items()} for _ in range(2))
        refuse_other_shapes(before, again, "between two evaluations of the same input")
        scales = {name: _scale(name, before[name], x, action, normalization) for name in before}
        noise = {name: action.norms(name, again[name] - before[name], x) for name in before}
        norms: dict[str, list[Tensor]] = {name: [] for name in before}
        for g in elements:
            for name, value in measured_defect(fn, x, action, g, before).items():
                norms[name].append(action.norms(name, value, x))
    results = {}
    for name, value in before.items():
        scale = scales[name]
        results[name] = EquivarianceError(
            per_pair=torch.stack(norms[name]) / scale,
            scale=scale,
            output_norm=float(rms(action.norms(name, value, x))),
            noise_floor=float(rms(noise[name])) / scale,
            elements=elements.detach().clone(),
            group=action.group.name,
            normalization=normalization,
        )
    return _combined(results)


def draw_elements(
    group: MatrixGroup, num: int | None, *, translation_scale: float = 1.0, seed: int = 0
) -> Float[Tensor, "G n n"]:
    """Elements to measure with: random ones, or (``num=None``) all but the identity of a finite group.

    Raises: ValueError for the group of the identity alone, under which everything is equivariant.
    """
    everything = enumerated(group)
    if everything is not None and len(everything) == 1:
        raise ValueError(f"the group {group.name!r} has only the identity: every function is equivariant to it")
    if num is None and everything is not None:
        return everything[1:]
    num = DEFAULT_NUM_ELEMENTS if num is None else num
    generator = seeded(seed, "measure", group.name)
    if isinstance(group, Group):
        return group.sample(num, generator=generator, scale=translation_scale)
    return group.sample(num, generator=generator)


def _scale(name: str, value: Tensor, x: Any, action: Action, normalization: Normalization) -> float:
    if normalization == "none":
        return 1.0
    centered = value - value.mean(dim=0) if normalization == "variance" else value
    scale = float(rms(action.norms(name, centered, x)))
    floor = 1e-10 * float(rms(action.norms(name, value, x))) if normalization == "variance" else 0.0
    if scale <= floor:
        kind = "zero" if normalization == "norm" else "the same in every row"
        raise ValueError(
            f"output {name!r} is {kind}, so a relative error is not defined: measure a trained or randomly "
            "initialized model on other samples, or use normalization='none'"
        )
    return scale


def _combined(results: Mapping[str, EquivarianceError]) -> EquivarianceError:
    parts = list(results.values())
    if len(parts) == 1:
        return parts[0]
    sizes = {name: part.per_pair.shape[1] for name, part in results.items()}
    if len(set(sizes.values())) > 1:
        raise ValueError(f"the outputs have different numbers of samples {sizes}: declare the level of each as a Field")
    return EquivarianceError(
        per_pair=rms(torch.stack([part.per_pair for part in parts]), dim=0),
        scale=1.0,
        output_norm=sum(part.output_norm**2 for part in parts) ** 0.5,
        noise_floor=max(part.noise_floor for part in parts),
        elements=parts[0].elements,
        group=parts[0].group,
        normalization=parts[0].normalization,
        fields=dict(results),
    )
