"""The loss of equivariance inside a network: the part of its Lie derivative that each layer contributes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float, Inexact
from torch import Tensor, nn

from rapidash._seed import seeded
from rapidash.groups import Representation, Scalar
from rapidash.measure._action import Action
from rapidash.measure._derivative import (
    derivative_along,
    differentiable_kernels,
    differentiating,
    dual_level,
    make_dual,
    tangent_of,
)
from rapidash.measure._guard import measuring
from rapidash.measure._lie_derivative import lie_derivative
from rapidash.measure._norms import real_rows, rms, unit_of, wide
from rapidash.measure._report import Report
from rapidash.measure._trace import Call, leaves, recording, replacing

LayerMethod = Literal["forward", "hutchinson"]
Sides = Representation | Sequence[Representation]
Hidden = Mapping[str | type[nn.Module], Representation | tuple[Sides, Sides]]
OTHERS = "*"


@dataclass(frozen=True)
class LayerwiseError:
    """The Lie derivative of a network as a sum over the calls of its layers.

    Args:
        layers: name and class of the module of every call, in order.
        rms: (d, L) size of each contribution, root mean square over the components of the output.
        contributions: (d, L, *out) the contributions themselves, None for "hutchinson", which knows their sizes only.
        total: (d, *out) the Lie derivative of the whole network.
        names: the generators.
        method: "forward" or "hutchinson".
    """

    layers: tuple[tuple[str, str], ...]
    rms: Float[Tensor, "d L"]
    contributions: Inexact[Tensor, "d L ..."] | None = field(repr=False)
    total: Inexact[Tensor, "d ..."] = field(repr=False)
    names: tuple[str, ...]
    method: LayerMethod

    @property
    def remainder(self) -> Inexact[Tensor, "d ..."]:
        """The rest, from operations between layers that do not commute with the declared representations.

        Raises: ValueError for "hutchinson".
        """
        if self.contributions is None:
            raise ValueError("the sizes from method='hutchinson' do not add up to a remainder: use method='forward'")
        return self.total - self.contributions.sum(dim=1)

    @property
    def shares(self) -> Float[Tensor, " L"]:
        """Signed shares <C_i, L f> / ||L f||^2 over all generators; with that of the remainder they add up to 1.

        Raises: ValueError for "hutchinson", or if the network is equivariant (nothing to share).
        """
        if self.contributions is None:
            raise ValueError("signed shares need the contributions: use method='forward'")
        total = real_rows(self.total).flatten()
        unit = unit_of(total.abs())
        total = total / unit
        if not bool(total.any()):
            raise ValueError("the network is exactly equivariant: there is nothing to share between its layers")
        parts = real_rows(self.contributions.transpose(0, 1)) / unit
        return parts @ total / total.square().sum()

    def report(self) -> Report:
        """One row per call, and one for the remainder and the total.

        Contributions are given by their sizes, which do not add up, since contributions may cancel. The signed shares
        add up to 1, that of the total; there are none for "hutchinson", or a network that is exactly equivariant.
        """
        sizes = rms(self.rms, dim=0).tolist()
        rows: list[dict[str, Any]] = [
            {"call": index, "layer": name, "class": kind, "contribution": size}
            for index, ((name, kind), size) in enumerate(zip(self.layers, sizes))
        ]
        notes = {"contribution": "root mean square, does not add up"}
        total: dict[str, Any] = {"layer": "total", "contribution": float(rms(self.total))}
        if self.contributions is not None:
            rows.append({"layer": "remainder", "contribution": float(rms(self.remainder))})
            if bool(self.total.any()):
                shares = [*self.shares.tolist(), 1 - float(self.shares.sum())]
                rows = [{**row, "share": share} for row, share in zip(rows, shares)]
                total["share"] = 1.0
                notes["share"] = "signed, adds up to 1"
        metadata = {"generators": ", ".join(self.names), "method": self.method, **notes}
        return Report("layerwise equivariance error (Lie derivative)", (*rows, total), metadata)


def layerwise_equivariance_error(
    model: nn.Module,
    x: Any,
    action: Action,
    hidden: Representation | Hidden,
    *,
    method: LayerMethod = "forward",
    probes: int = 100,
    generators: Float[Tensor, "d n n"] | None = None,
    seed: int = 0,
) -> LayerwiseError:
    r"""Split the Lie derivative of a network into the contributions of its module calls.

    For f = f_N o ... o f_1 the chain rule gives :math:`L f = \sum_i J_{i+1:N} (L f_i)`: layer i is charged with its own
    Lie derivative, pushed through the layers after it. What happens between the watched modules (sums, pooling,
    distances) is charged to the remainder. A module that returns anything else than tensors (edges, a graph) is not
    watched: what it makes belongs to the modules that use it. One that sees whole numbers only, as the lookup of a
    class or a joint, is the same for every g: it contributes nothing, and needs no declaration.

    Args:
        model: in eval mode; it is left as it was.
        x: the input, as for `lie_derivative`.
        action: the group with the representations of the network's input and (only) output.
        hidden: how the tensors between the layers transform: one representation for all of them, or a mapping from
            module names or classes to a representation, or to a pair (inputs, outputs) where each may be a sequence
            with one representation for each argument or output. "*" stands for all other modules. A module named in the
            mapping, or whose class is, is one layer; otherwise the layers are the modules without children.
        method: "forward" reruns the network once per call and generator with a tangent on the output of that call: the
            contributions are exact and can be summed. "hutchinson" takes random probes of the output, one backward pass
            for each, for all layers at once: unbiased sizes with relative standard deviation sqrt(2 / probes) of their
            squares, and no signs.
        probes: number of probes for "hutchinson".
        generators: None takes the basis of the group's Lie algebra.
        seed: of the probes.
    Raises: ValueError for a layer without a declared representation or with one that does not fit its tensors, a model
        that is no module, more than one output, or a group without generators; RuntimeError if an operation of the
        network has no forward-mode derivative and no difference helps.
    Source: Gruver, Finzi, Goldblum, Wilson, ICLR 2023 (reverse mode, there); the forward mode is ours.
    """
    if method not in get_args(LayerMethod):
        raise ValueError(f"method must be one of {get_args(LayerMethod)}, got {method!r}")
    if probes < 1:
        raise ValueError(f"probes must be at least 1, got {probes}")
    if not isinstance(model, nn.Module):
        raise ValueError(
            f"the layers of a {type(model).__name__} cannot be watched: pass a torch.nn.Module, or wrap a function and "
            "its modules with as_module"
        )
    whole = lie_derivative(model, x, action, generators=generators)
    total = whole.value
    algebra = action.group.generators() if generators is None else generators
    declared: Hidden = {OTHERS: hidden} if isinstance(hidden, Representation) else hidden
    modules = leaves(model, lambda name, module: is_declared(name, module, declared))
    with measuring(model), differentiating():
        with recording(modules) as everything:
            action.call(model, x)
        calls = [call for call in everything if _returns_tensors(call.output)]
        if not calls:
            raise ValueError(
                f"none of the modules {list(modules)} is called and returns tensors, so no layer can be watched: give "
                "the modules that the function uses to as_module, or name others in `hidden`"
            )
        slopes = [[_layer_derivative(call, action, direction, declared) for call in calls] for direction in algebra]
        if method == "hutchinson":
            contributions, sizes = None, _probed(model, x, action, modules, calls, slopes, probes, seed)
        else:
            pushed = [[_push(model, x, action, modules, *pair) for pair in zip(calls, row)] for row in slopes]
            contributions = torch.stack([torch.stack(row) for row in pushed])
            sizes = torch.stack([torch.stack([rms(part) for part in row]) for row in contributions])
    layers = tuple((call.name, type(call.module).__name__) for call in calls)
    return LayerwiseError(layers, sizes, contributions, total, whole.names, method)


def is_declared(name: str, module: nn.Module, hidden: Hidden) -> bool:
    """Whether a module is a layer of its own by its name or class, whatever is inside."""
    return _declared_for(name, module, hidden, exact=True) is not None


def declared_outputs(call: Call, hidden: Hidden) -> list[tuple[Tensor, Representation | None]]:
    """The tensors of real numbers that a call returned, each with its representation, None where none is declared.

    Raises: ValueError for another number of representations than of outputs.
    """
    if not _returns_tensors(call.output):
        return []
    values, declared = _tensors(call.output), _declared_for(call.name, call.module, hidden)
    outputs = declared[1] if isinstance(declared, tuple) else declared
    each = [None] * len(values) if outputs is None else _one_each(outputs, values, call, "outputs")
    return [(value, one) for value, one in zip(values, each) if value.is_floating_point() and value.numel()]


def _layer_derivative(call: Call, action: Action, algebra: Tensor, hidden: Hidden) -> list[Tensor]:
    """L f_i of one call, for each tensor it returns."""
    arguments = (*call.args, *call.kwargs.values())
    if all(_is_whole(value) for value in arguments):
        return [torch.zeros_like(part) for part in ([call.output] if isinstance(call.output, Tensor) else call.output)]
    declared = _declared_for(call.name, call.module, hidden)
    if declared is None:
        raise ValueError(
            f"layer {call.name!r} ({type(call.module).__name__}) has no declared representation: add its name or class "
            "to `hidden`, or '*' for all other layers"
        )
    inputs, outputs = declared if isinstance(declared, tuple) else (declared, declared)
    local = Action(
        action.group,
        _one_each(inputs, arguments, call, "arguments"),
        _one_each(outputs, _tensors(call.output), call, "outputs"),
    )
    keywords = list(call.kwargs)

    def run(*values: Any) -> Any:
        positional = len(values) - len(keywords)
        return call.module(*values[:positional], **dict(zip(keywords, values[positional:])))

    try:
        slopes = derivative_along(run, arguments, local, algebra, "forward")
    except (NotImplementedError, RuntimeError):
        slopes = derivative_along(run, arguments, local, algebra, "difference")
    except ValueError as error:
        message = f"the representations declared for layer {call.name!r} ({type(call.module).__name__}) do not fit"
        raise ValueError(f"{message}: {error}") from error
    return list(slopes.values())


def _is_whole(value: Any) -> bool:
    """Whether no group moves a value: whole numbers, truth values, text and nothing."""
    return value is None or isinstance(value, int | str) or (isinstance(value, Tensor) and not _is_number(value))


def _is_number(value: Any) -> bool:
    return isinstance(value, Tensor) and (value.is_floating_point() or value.is_complex())


def _push(
    model: nn.Module, x: Any, action: Action, modules: dict[str, nn.Module], call: Call, slope: list[Tensor]
) -> Tensor:
    """The tangent of the network's output when the output of a call has the given tangent."""
    if not any(bool(part.any()) for part in slope):
        return torch.zeros_like(next(iter(action.call(model, x).values()))).detach()

    def bent(step: float) -> Tensor:
        with replacing(modules, lambda i, out: _map(out, slope, lambda v, s: v + step * s) if i == call.index else out):
            return next(iter(action.call(model, x).values())).detach()

    try:
        with (
            dual_level(),
            differentiable_kernels(),
            replacing(modules, lambda i, out: _map(out, slope, make_dual) if i == call.index else out),
        ):
            return tangent_of(next(iter(action.call(model, x).values())))
    except (NotImplementedError, RuntimeError):
        size = max(float(part.abs().max()) for part in slope)
        step = float(torch.finfo(slope[0].dtype).eps) ** (1 / 3) / size
        ahead, behind = bent(step), bent(-step)
        return ((wide(ahead) - wide(behind)) / (2 * step)).to(ahead.dtype)


def _probed(
    model: nn.Module,
    x: Any,
    action: Action,
    modules: dict[str, nn.Module],
    calls: list[Call],
    slopes: list[list[list[Tensor]]],
    probes: int,
    seed: int,
) -> Float[Tensor, "d L"]:
    """Sizes of the contributions from E_z (z . J v)^2 = ||J v||^2 with random normal z on the output."""
    tapped: list[list[Tensor]] = []
    indices = {call.index for call in calls}

    def tap(index: int, output: Any) -> Any:
        if index not in indices:
            return output
        parts = [part if part.requires_grad else part.detach().requires_grad_() for part in _tensors(output)]
        tapped.append(parts)
        return _map(output, parts, lambda old, new: new.clone())

    with differentiable_kernels(), replacing(modules, tap):
        output = next(iter(action.call(model, x).values()))
    generator, flat = seeded(seed, "hutchinson"), [part for parts in tapped for part in parts]
    squares = torch.zeros(len(slopes), len(tapped), dtype=torch.float64, device=output.device)
    for _ in range(probes):
        z = torch.randn(output.shape, generator=generator, dtype=output.dtype).to(output.device)
        grads = torch.autograd.grad(output, flat, z, retain_graph=True, allow_unused=True)
        for row, generator_slopes in enumerate(slopes):
            found = iter(grads)
            for column, layer in enumerate(generator_slopes):
                pairs = [(next(found), part) for part in layer]
                products = [(wide(grad).conj() * wide(part)).sum().real for grad, part in pairs if grad is not None]
                if products:
                    squares[row, column] += torch.stack(products).sum().square()
    spread = 0.5 if output.is_complex() else 1.0  # of each of the two parts of a complex z
    return (squares / spread / probes / output.numel()).sqrt().detach()


def _declared_for(
    name: str, module: nn.Module, hidden: Hidden, *, exact: bool = False
) -> Representation | tuple[Sides, Sides] | None:
    """The declaration of a module by its name, its class or a base class, or (unless exact) "*"."""
    if name in hidden and name != OTHERS:
        return hidden[name]
    for kind in type(module).__mro__:
        if kind in hidden and kind is not nn.Module:
            return hidden[kind]
    return None if exact else hidden.get(OTHERS)


def _one_each(sides: Sides, values: Sequence[Any], call: Call, what: str) -> list[Representation]:
    """The representation of each value: one for all is that of the numbers, not of indices and settings among them."""
    if isinstance(sides, Representation):
        moves_objects = getattr(sides, "acts_on_objects", False)
        return [sides if _is_number(value) or moves_objects else Scalar() for value in values]
    if len(sides) != len(values):
        raise ValueError(
            f"layer {call.name!r} has {len(values)} {what}, {len(sides)} representations are declared: give one for "
            "each (Scalar() for what does not move)"
        )
    return list(sides)


def _returns_tensors(output: Any) -> bool:
    values = output if isinstance(output, tuple | list) else [output]
    return all(isinstance(value, Tensor) for value in values)


def _tensors(output: Any) -> list[Tensor]:
    return [output] if isinstance(output, Tensor) else list(output)


def _map(output: Any, parts: list[Tensor], change: Callable[[Tensor, Tensor], Tensor]) -> Any:
    if isinstance(output, Tensor):
        return change(output, parts[0])
    changed = [change(old, part) for old, part in zip(output, parts)]
    return type(output)(*changed) if hasattr(output, "_fields") else type(output)(changed)
