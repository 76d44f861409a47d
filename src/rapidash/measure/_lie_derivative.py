"""The Lie derivative of a function: the slope of its defect along each generator of the group."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast, get_args

import torch
from jaxtyping import Float, Inexact
from torch import Tensor

from rapidash._seed import seeded
from rapidash.data import Batch
from rapidash.groups import generator_names
from rapidash.measure._action import Action, Function
from rapidash.measure._derivative import (
    ORDER,
    ConcreteMethod,
    Method,
    Outputs,
    derivative_along,
    differentiating,
)
from rapidash.measure._guard import measuring
from rapidash.measure._norms import magnitudes, rms, wide
from rapidash.measure._report import Report
from rapidash.measure._trust import disagreement, hidden_step

Reduction = Literal["rms", "sq", "abs"]


@dataclass(frozen=True)
class LieDerivative:
    """L_A f(x) for every generator A.

    Args:
        values: by output name, (d, *out), in units of the output per unit of the group parameter (radian, length).
        names: the generators.
        method: the one that gave the values: "forward", "double_backward" or "difference".
    """

    values: Mapping[str, Inexact[Tensor, "d ..."]]
    names: tuple[str, ...]
    method: str

    @property
    def value(self) -> Inexact[Tensor, "d ..."]:
        """The values of the only output.

        Raises: ValueError if there are several.
        """
        if len(self.values) != 1:
            raise ValueError(f"there are several outputs {list(self.values)}: take .values[name]")
        return next(iter(self.values.values()))


def lie_derivative(
    fn: Function,
    x: Any,
    action: Action,
    *,
    generators: Float[Tensor, "d n n"] | None = None,
    method: Method = "auto",
) -> LieDerivative:
    r"""The Lie derivative of a function along every generator A of a group.

    .. math:: L_A f(x) = \frac{d}{dt}\Big|_{t=0} \rho_{out}(e^{-tA})\, f(\rho_{in}(e^{tA}) x)
              = Df(x)[d\rho_{in}(A) x] - d\rho_{out}(A) f(x)

    Zero for every A and x iff f is equivariant to the identity component of the group. For a linear map W between
    vectors it is the commutator (W A - A W) x.

    Args:
        fn: a module in eval mode or any function; it is left as it was.
        x: the input: a tensor, mapping, tuple or `CloudBatch`.
        action: the group with the representations of inputs and outputs.
        generators: None takes the basis of the group's Lie algebra: unit rotation speed, unit length.
        method: "forward" (dual numbers, about two forward passes for a generator), "double_backward" (the same value
            where an operation has no forward-mode derivative), "difference" (central, error 1e-8 in float64), or
            "auto": the first that runs and agrees with a difference along one random direction of the algebra, which
            is how a detached input is noticed. The result says which.
    Raises: ValueError for a group without generators, a model in training mode, an output that is not differentiable,
        not declared or zero (with derivative 0, which would read as perfect symmetry); RuntimeError if the method asked
        for by name cannot run.
    Source: Gruver, Finzi, Goldblum, Wilson, "The Lie Derivative for Measuring Learned Equivariance", ICLR 2023.
    """
    algebra = action.group.generators() if generators is None else generators
    if len(algebra) == 0:
        raise ValueError(f"the group {action.group.name!r} has no generators: use equivariance_error for finite groups")
    names = generator_names(action.group) if generators is None else [f"generator {i}" for i in range(len(algebra))]
    values, used = _differentiated(fn, x, action, algebra, method)
    stacked = {name: torch.stack([value[name] for value in values]) for name in values[0]}
    for name, slopes in stacked.items():
        if not bool(torch.isfinite(slopes).all()):
            raise ValueError(
                f"the Lie derivative of output {name!r} is not finite: look for a norm at 0 or a division by 0 "
                "in the function (coincident points?)"
            )
    return LieDerivative(stacked, tuple(names), used)


def _differentiated(
    fn: Function, x: Any, action: Action, algebra: Tensor, method: Method
) -> tuple[list[Outputs], ConcreteMethod]:
    """The derivative along every generator by the first method that runs and stands the comparison."""
    if method not in get_args(Method):
        raise ValueError(f"method must be one of {get_args(Method)}, got {method!r}")
    weights = torch.randn(len(algebra), generator=seeded("combination"), dtype=torch.float64)
    weights = weights / weights.norm()  # one comparison along a random direction stands for all generators
    combined = torch.einsum("d,dij->ij", weights.to(algebra), algebra)
    tried = ORDER if method == "auto" else (method,)
    with measuring(fn), differentiating():
        before = {key: value.detach() for key, value in action.call(fn, x).items()}
        for name in tried:
            try:
                values = [derivative_along(fn, x, action, direction, name) for direction in algebra]
            except (NotImplementedError, RuntimeError) as error:
                if name != tried[-1]:
                    continue
                if method == "auto":
                    raise
                message = f"method={method!r} cannot run for this function: {error}. Use method='auto'."
                raise RuntimeError(message) from error
            along = {key: cast(Tensor, sum(w * v[key] for w, v in zip(weights.tolist(), values))) for key in before}
            checked = fn, x, action, combined, along, name, before
            doubt = disagreement(*checked) or hidden_step(*checked)
            if doubt is None:
                break
    if doubt is not None:
        raise ValueError(
            f"{doubt}. Measure a differentiable part of the function, such as the logits, or use equivariance_error."
        )
    _refuse_zero(before, values)
    return values, name


def _refuse_zero(outputs: Outputs, values: list[Outputs]) -> None:
    """A zero output has derivative 0, which would read as perfect symmetry."""
    for name, output in outputs.items():
        if not bool(output.any()) and not any(bool(slopes[name].any()) for slopes in values):
            raise ValueError(
                f"output {name!r} is zero, and so is its derivative, whatever the symmetry of the function: measure a "
                "trained or randomly initialized model on other samples"
            )


@dataclass(frozen=True)
class LocalEquivarianceError:
    """The size of the Lie derivative for every generator and sample.

    Args:
        per_pair: by output name, (d, B) mean over the components of sample b of the squared (or, for reduction "abs",
            absolute) Lie derivative, divided by ``scale`` squared (or ``scale``).
        scale: by output name, the deviation of the output from its mean over the data; 1 when not relative.
        names: the generators.
        method: of differentiation.
        reduction: "rms", "sq" or "abs".
    """

    per_pair: Mapping[str, Float[Tensor, "d B"]]
    scale: Mapping[str, float]
    names: tuple[str, ...]
    method: str
    reduction: Reduction
    group: str = field(default="")

    def per_generator(self, output: str | None = None) -> Float[Tensor, " d"]:
        """The error along each generator."""
        mean = self.per_pair[self._only(output)].mean(dim=1)
        return mean.sqrt() if self.reduction == "rms" else mean

    def standard_error(self, output: str | None = None) -> Float[Tensor, " d"]:
        """Its standard error over samples (delta method for the root); nan for one sample."""
        pairs = self.per_pair[self._only(output)]
        if pairs.shape[1] < 2:
            return torch.full((len(pairs),), math.nan, dtype=pairs.dtype)
        error = pairs.std(dim=1) / pairs.shape[1] ** 0.5
        root = pairs.mean(dim=1).sqrt()
        return torch.where(root > 0, error / (2 * root), 0.0) if self.reduction == "rms" else error

    def total(self, output: str | None = None) -> float:
        """All generators together: the root mean square over them, or the mean for "sq" and "abs"."""
        mean = float(self.per_pair[self._only(output)].mean())
        return mean**0.5 if self.reduction == "rms" else mean

    def report(self) -> Report:
        """One row per output and generator."""
        rows = []
        for output in self.per_pair:
            errors = zip(self.names, self.per_generator(output).tolist(), self.standard_error(output).tolist())
            rows += [{"output": output, "generator": name, "error": e, "stderr": s} for name, e, s in errors]
        metadata = {"group": self.group, "method": self.method, "reduction": self.reduction}
        num = next(iter(self.per_pair.values())).shape[1]
        return Report("local equivariance error (Lie derivative)", tuple(rows), {**metadata, "samples": num})

    def _only(self, output: str | None) -> str:
        if output is None and len(self.per_pair) != 1:
            raise ValueError(f"there are several outputs {list(self.per_pair)}: name one")
        return next(iter(self.per_pair)) if output is None else output


def local_equivariance_error(
    fn: Function,
    x: Any,
    action: Action,
    *,
    output: Callable[[Tensor], Tensor] | None = None,
    relative: bool = False,
    reduction: Reduction = "rms",
    generators: Float[Tensor, "d n n"] | None = None,
    method: Method = "auto",
) -> LocalEquivarianceError:
    r"""The local equivariance error E_x ||L_A f(x)||^2 / dim(out) of every generator A.

    The mean of squares over samples is an unbiased estimate of the expectation; "rms" is its root, in units of the
    output per unit of the group parameter.

    Args:
        fn: a module in eval mode or any function with one tensor output, or several.
        x: one batch as for `lie_derivative`, or an iterator or data loader of batches.
        action: the group with the representations of inputs and outputs.
        output: applied to every output before differentiation, for instance a softmax; never implied.
        relative: divide by the root mean square deviation of the output from its mean over the data, so that untrained
            and trained networks and different units can be compared.
        reduction: "rms", "sq" (mean square) or "abs" (mean absolute value).
        generators: as for `lie_derivative`.
        method: as for `lie_derivative`.
    Raises: ValueError as `lie_derivative` does, or for a relative error of a constant output.
    Source: Gruver et al., ICLR 2023.
    """
    if reduction not in get_args(Reduction):
        raise ValueError(f"reduction must be one of {get_args(Reduction)}, got {reduction!r}")
    single = isinstance(x, torch.Tensor | Mapping | tuple | list | Batch)
    batches: Iterable[Any] = [x] if single else x
    pairs: dict[str, list[Tensor]] = {}
    values: dict[str, list[Tensor]] = {}
    result = None

    def measured(*args: Any, **kwargs: Any) -> dict[str, Tensor]:
        outputs = action.named_outputs(fn(*args, **kwargs))
        return {name: value if output is None else output(value) for name, value in outputs.items()}

    named = Action(action.group, action.inputs, action.output_fields, action.batch)
    for batch in batches:
        with measuring(fn), differentiating():
            before = named.call(measured, batch)
        result = lie_derivative(measured, batch, named, generators=generators, method=method)
        for name, value in result.values.items():
            count = named.per_sample(name, torch.ones_like(magnitudes(value[0])), batch)
            if reduction == "abs":
                means = torch.stack([named.per_sample(name, magnitudes(part), batch) for part in value]) / count
            else:
                means = torch.stack([named.norms(name, part, batch) for part in value]) / count.sqrt()
            pairs.setdefault(name, []).append(means)
            values.setdefault(name, []).append(wide(before[name].detach()))
    if result is None:
        raise ValueError("there is no batch to measure on: an iterator can be used once only")
    scale = {name: _deviation(name, torch.cat(parts)) if relative else 1.0 for name, parts in values.items()}
    power = 1 if reduction == "abs" else 2
    per_pair = {name: (torch.cat(parts, dim=1) / scale[name]) ** power for name, parts in pairs.items()}
    return LocalEquivarianceError(per_pair, scale, result.names, result.method, reduction, action.group.name)


def _deviation(name: str, value: Tensor) -> float:
    deviation = float(rms(value - value.mean(dim=0)))
    if deviation <= 1e-12 * float(value.abs().max()):
        raise ValueError(f"output {name!r} is the same for all data, a relative error is not defined: add samples")
    return deviation
