"""The action of a group on the inputs and outputs of a function: representations declared per field, never guessed."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from rapidash.data import Batch, CloudBatch, Field
from rapidash.groups import MatrixGroup, Representation, Scalar
from rapidash.measure._copies import copied
from rapidash.measure._norms import magnitudes, refuse_not_finite, unit_of

Declaration = Representation | Field | Mapping[str, Representation | Field] | Sequence[Representation | Field]
Function = Callable[..., Any]


@dataclass(frozen=True)
class Action:
    """A group with a representation for every input and output field of a function.

    Args:
        group: the group; its elements are matrices that the representations understand.
        inputs: how the input transforms. A tensor takes one representation and is passed as ``fn(x)``; a mapping of
            tensors takes a mapping and is passed as ``fn(**x)``; a tuple takes a tuple and is passed as ``fn(*x)``.
            Inputs that do not move (indices, charges) are ``Scalar()``; only these may be no tensors. None for a
            `Batch`, such as a `CloudBatch`, which declares its own fields and is passed as ``fn(batch)``.
        outputs: the same for the output; for a mapping, the names are the keys, or attributes, of the output.
            A bare representation means that the rows (first axis) are samples; ``Field(..., level="point")`` that they
            are points, of the clouds in ``batch`` or of one cloud; ``Field(..., level="cloud")`` that they are clouds.
        batch: for mapping inputs, the name of the tensor (N,) with the cloud of each point; an input without it is one
            cloud.
    """

    group: MatrixGroup
    inputs: Declaration | None = None
    outputs: Declaration | None = None
    batch: str | None = None

    def transform(self, g: Float[Tensor, "n n"], x: Any) -> Any:
        """rho_in(g) x, one element for all samples."""
        if isinstance(x, Batch):
            if self.inputs is not None:
                raise ValueError(f"a {type(x).__name__} declares how its fields transform: leave inputs=... out")
            return x.transform(g.expand(x.num_samples, *g.shape))
        moved = {name: _act("input", name, field, g, value) for name, (field, value) in self._inputs(x).items()}
        if isinstance(x, Tensor):
            return moved["input"]
        return moved if isinstance(x, Mapping) else tuple(moved.values())

    def call(self, fn: Function, x: Any, *, is_finite: bool = True) -> dict[str, Tensor]:
        """The outputs of fn by name ("output" for a single tensor).

        The function gets copies of the tensors of x, and what it returns is copied: it may write into both.

        Args:
            fn: the function.
            x: the input.
            is_finite: False for logits, of which some may be minus infinity.
        Raises: ValueError for an input of another type, or outputs that are not finite or as `named_outputs` says.
        """
        if not isinstance(x, Tensor | Mapping | tuple | list | Batch):
            raise ValueError(
                f"the input must be a tensor, mapping, tuple or CloudBatch, got {type(x).__name__}: convert arrays "
                "with torch.from_numpy"
            )
        given = copied(x)
        value = fn(**given) if isinstance(x, Mapping) else fn(*given) if isinstance(x, tuple | list) else fn(given)
        outputs = {name: output.clone() for name, output in self.named_outputs(value).items()}
        for name, output in outputs.items():
            if is_finite:
                refuse_not_finite(f"output {name!r}", output)
        return outputs

    def named_outputs(self, value: Any) -> dict[str, Tensor]:
        """The output as a mapping with exactly the declared names.

        Raises: ValueError for an output without a declared representation, a declared one that is missing, or one that
            has no rows or is not floating point.
        """
        outputs = self._declared_outputs(value)
        for name, output in outputs.items():
            _refuse_no_rows(name, output)
            if not (output.is_floating_point() or output.is_complex()):
                raise ValueError(
                    f"output {name!r} is {output.dtype}, not floating point: measure what a decision is made from, "
                    "such as the logits, or convert it with .double()"
                )
        return outputs

    def _declared_outputs(self, value: Any) -> dict[str, Tensor]:
        if self.outputs is None:
            raise ValueError("the output has no declared representation: give Action(outputs=...), e.g. Scalar()")
        if isinstance(self.outputs, Mapping):
            present = _fields_of(value, self.outputs)
            missing, extra = sorted(set(self.outputs) - set(present)), sorted(set(present) - set(self.outputs))
            if missing or extra:
                raise ValueError(
                    f"the outputs {sorted(present)} do not match the declared {sorted(self.outputs)}: declare the "
                    f"representation of {extra or missing}, or return only what you measure from an adapter"
                )
            return {name: present[name] for name in self.outputs}
        declared = self.outputs if isinstance(self.outputs, Sequence) else [self.outputs]
        values = [value] if isinstance(value, Tensor) else list(value) if isinstance(value, tuple | list) else None
        if values is None and len(declared) == 1 and not isinstance(value, Mapping) and value is not None:
            _refuse_no_tensor("the output", value)
        if values is None or len(values) != len(declared):
            raise ValueError(
                f"{len(declared)} output tensor(s) declared, the function returned {described(value)}: declare one "
                "representation for each output (a mapping for outputs with names), or pick the tensor to measure in "
                "an adapter such as lambda x: model(x).scalars"
            )
        for name, item in zip(self.output_fields, values):
            _refuse_no_tensor(_spoken(name), item)
        return dict(zip(self.output_fields, values))

    @property
    def output_fields(self) -> dict[str, Field]:
        """The declared outputs by name."""
        if self.outputs is None:
            return {}
        if isinstance(self.outputs, Mapping):
            return {name: _field(declared) for name, declared in self.outputs.items()}
        if isinstance(self.outputs, Sequence):
            return {f"output {index}": _field(declared) for index, declared in enumerate(self.outputs)}
        return {"output": _field(self.outputs)}

    def transform_outputs(self, g: Float[Tensor, "n n"], outputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """rho_out(g) y for every output."""
        return {name: _act("output", name, field, g, outputs[name]) for name, field in self.output_fields.items()}

    def clouds(self, x: Any) -> tuple[Int[Tensor, " N"], int] | None:
        """The cloud of each point and the number of clouds, if the input says so."""
        if isinstance(x, CloudBatch):
            return x.batch, x.num_clouds
        if isinstance(x, Batch):
            return torch.arange(x.num_samples), x.num_samples
        if self.batch is None:
            return None
        if not isinstance(x, Mapping) or not isinstance(self.inputs, Mapping) or self.batch not in self.inputs:
            raise ValueError(f"Action(batch={self.batch!r}) needs mapping inputs that declare this name")
        if self.batch not in x:
            return None  # one cloud
        index: Tensor = x[self.batch]
        return index, int(index.max()) + 1

    def per_sample(self, name: str, values: Float[Tensor, "..."], x: Any) -> Float[Tensor, " B"]:
        """The sum of the values of an output over everything that belongs to one sample.

        Raises: ValueError if the number of rows contradicts the declared level.
        """
        level, clouds = self.output_fields[name].level, self.clouds(x)
        rows = values.reshape(len(values), -1).sum(dim=1) if values.dim() else values.reshape(1)
        if level == "cloud":
            if clouds is not None and len(rows) != clouds[1]:
                raise ValueError(
                    f"output {name!r} has {len(rows)} rows for {clouds[1]} clouds: declare it as "
                    "Field(representation, level='point') if it has one row per point"
                )
            return rows
        if clouds is None:
            return rows.sum().reshape(1)
        if len(rows) != len(clouds[0]):
            raise ValueError(
                f"output {name!r} has {len(rows)} rows for {len(clouds[0])} points: declare level='cloud' if it has "
                "one row per cloud"
            )
        return rows.new_zeros(clouds[1]).index_add(0, clouds[0].to(rows.device), rows)

    def norms(self, name: str, values: Shaped[Tensor, "..."], x: Any) -> Float[Tensor, " B"]:
        """The norm of the values of an output over everything that belongs to one sample, float64.

        Raises: ValueError as `per_sample`.
        """
        sizes = magnitudes(values)
        unit = unit_of(sizes)
        return unit * self.per_sample(name, (sizes / unit).square(), x).sqrt()

    def _inputs(self, x: Any) -> dict[str, tuple[Field, Tensor]]:
        if self.inputs is None:
            raise ValueError("the input has no declared representation: give Action(inputs=...), or pass a CloudBatch")
        if isinstance(x, Tensor):
            if isinstance(self.inputs, Mapping | Sequence):
                raise ValueError("the input is one tensor: declare one representation for it, not several")
            return {"input": (_field(self.inputs), x)}
        if isinstance(x, Mapping):
            if not isinstance(self.inputs, Mapping) or set(x) - set(self.inputs):
                declared = sorted(self.inputs) if isinstance(self.inputs, Mapping) else self.inputs
                raise ValueError(
                    f"inputs {sorted(x)} need one declared representation each, got {declared}: "
                    "declare what does not move as Scalar()"
                )
            return {name: (_field(self.inputs[name]), x[name]) for name in x}
        if not isinstance(x, tuple | list) or not isinstance(self.inputs, Sequence) or len(x) != len(self.inputs):
            raise ValueError(
                f"cannot match an input of type {type(x).__name__} with the declaration {self.inputs}: pass a tensor, "
                "a mapping, a tuple or a CloudBatch, and declare a representation for each tensor"
            )
        return {str(index): (_field(declared), x[index]) for index, declared in enumerate(self.inputs)}


def _field(declared: Representation | Field) -> Field:
    if isinstance(declared, Field):
        return declared
    if isinstance(declared, Representation):
        return Field(declared, level="cloud")
    raise ValueError(f"expected a Representation or a Field, got {declared!r}")


def _act(side: str, name: str, field: Field, g: Tensor, value: Any) -> Any:
    """A field moved as declared; one that is absent (None), or a `Scalar` of any type, as it is.

    Raises: ValueError for what the representation cannot move.
    """
    representation = field.representation
    if value is None or type(representation) is Scalar:
        return value
    what = f"the {side}" if name == side else f"{side} {name!r}"
    if not isinstance(value, Tensor) and not getattr(representation, "acts_on_objects", False):
        raise ValueError(
            f"{what} is {described(value)}, which {type(representation).__name__} cannot move: give a tensor (of an "
            "array with torch.from_numpy), or declare Scalar() if it does not move"
        )
    try:
        return representation.act(g, value)
    except ValueError as error:
        raise ValueError(f"{error} ({what})") from error


def described(value: Any) -> str:
    """A value that a function returned, or was given, in words."""
    if value is None:
        return "nothing (None, is a return statement missing?)"
    if isinstance(value, Tensor):
        return f"one tensor of shape {tuple(value.shape)}"
    if isinstance(value, Mapping):
        return f"a {type(value).__name__} with {sorted(map(str, value))}"
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    return f"a {type(value).__name__}"


def _refuse_no_rows(name: str, output: Tensor) -> None:
    if output.dim() and not len(output):
        raise ValueError(f"output {name!r} has no rows, shape {tuple(output.shape)}: give at least one sample")


def _spoken(name: str) -> str:
    """An output without a name of its own: "output", or "output 1", counted from 0."""
    words = ("first", "second", "third")
    index = int(name.removeprefix("output") or -1)
    return "the output" if index < 0 else f"the {words[index]} output" if index < 3 else f"output number {index + 1}"


def _refuse_no_tensor(what: str, value: Any) -> None:
    if not isinstance(value, Tensor):
        raise ValueError(
            f"{what} is {described(value)}, not a tensor: return the tensor to measure from an adapter such as "
            "lambda x: model(x)[0], without .item() or .numpy()"
        )


def _fields_of(value: Any, declared: Iterable[str]) -> dict[str, Tensor]:
    """The tensors of a mapping, named tuple or object with tensor attributes; absent (None) ones are left out."""
    if isinstance(value, Tensor) or value is None:
        raise ValueError(
            f"the outputs {sorted(declared)} are declared by name, the function returned {described(value)}: declare "
            "one representation for a single tensor, or return a mapping"
        )
    if isinstance(value, Mapping):
        items = dict(value)
    elif hasattr(value, "_asdict"):
        items = value._asdict()
    elif hasattr(value, "__dict__"):
        items = vars(value)
    else:
        raise ValueError(f"outputs are declared by name, but the function returned a {type(value).__name__}")
    for name in declared:
        if name in items:
            _refuse_no_tensor(f"output {name!r}", items[name])
            _refuse_no_rows(name, items[name])
            if not items[name].numel():
                raise ValueError(f"output {name!r} has no entries, shape {tuple(items[name].shape)}: do not declare it")
    return {name: item for name, item in items.items() if isinstance(item, Tensor) and item.numel()}


def first_tensor(x: Any) -> Tensor:
    """A tensor of real or complex numbers of the input, for its dtype and device.

    Raises: ValueError for an input without one.
    """
    found = first_number(x)
    if found is None:
        raise ValueError("the input has no floating-point tensor: nothing moves under the group")
    return found


def first_number(x: Any) -> Tensor | None:
    """A tensor of real or complex numbers of the input, if it has one."""
    values = x.tensors.values() if isinstance(x, Batch) else x.values() if isinstance(x, Mapping) else x
    candidates = [x] if isinstance(x, Tensor) else list(values)
    for value in candidates:
        if isinstance(value, Tensor) and (value.is_floating_point() or value.is_complex()):
            return value
    return None


def identity(action: Action) -> Float[Tensor, "n n"]:
    """The identity matrix of the action's group."""
    return torch.eye(action.group.sample(1, generator=torch.Generator()).shape[-1], dtype=torch.float64)
