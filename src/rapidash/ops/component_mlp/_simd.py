"""Signals on orientations from their components and back, and the GELU between: instructions on vectors of channels.

A signal is z(o) = sum_k synthesis[o, k] c_k at O orientations. Components stay in registers while a loop passes over
the orientations: their number K is the length of a tuple, so that it is known when numba compiles. Between both maps of
a channel MLP a signal is made, activated and taken apart again, and nothing as large as it goes to memory.

Everywhere component k begins ``k * step`` elements after the first one, and orientation o ``o * stride``; matrices have
a row for each orientation.
"""

# mypy: disable-error-code="import-untyped, no-untyped-call"
# llvmlite has no types

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from rapidash.ops._simd import Vectors
from rapidash.ops._simd_gelu import Gelu


class _Code:
    """The arguments of an intrinsic by name, arrays as pointers, and sums over components."""

    def __init__(self, context: Any, builder: Any, signature: Any, args: Any, names: str) -> None:
        self.builder, self.vectors = builder, Vectors(builder, types.float32)
        self.args = SimpleNamespace()
        for name, kind, value in zip(names.split(), signature.args, args, strict=True):
            is_array = isinstance(kind, types.Array)
            setattr(self.args, name, context.make_array(kind)(context, builder, value).data if is_array else value)
            if name == "components":
                self.components = range(len(kind))
        self.index = self.args.orientations.type

    def orientations(self) -> Any:
        """A loop over them."""
        zero, one = (ir.Constant(self.index, value) for value in (0, 1))
        return cgutils.for_range_slice(self.builder, zero, self.args.orientations, one)

    def place(self, first: Any, number: Any, step: Any) -> Any:
        """first + number step."""
        number = ir.Constant(self.index, number) if isinstance(number, int) else number
        return self.builder.add(first, self.builder.mul(number, step))

    def load(self, values: Any, at: Any, step: Any) -> list[Any]:
        """The vector of every component."""
        return [self.vectors.load(values, self.place(at, k, step)) for k in self.components]

    def factors(self, matrix: Any, o: Any) -> list[Any]:
        """A row of a matrix, each entry in all lanes."""
        count = ir.Constant(self.index, len(self.components))
        first = self.builder.mul(o, count)
        places = [self.builder.add(first, ir.Constant(self.index, k)) for k in self.components]
        return [self.vectors.splat(self.builder.load(self.builder.gep(matrix, [place]))) for place in places]

    def sum(self, factors: Sequence[Any], terms: Sequence[Any], start: Any) -> Any:
        for factor, term in zip(factors, terms, strict=True):
            start = self.vectors.fma(factor, term, start)
        return start

    def totals(self) -> list[Any]:
        """A sum for every component, from zero."""
        return [self.variable(self.vectors.zero()) for _ in self.components]

    def variable(self, value: Any) -> Any:
        place = cgutils.alloca_once(self.builder, self.vectors.type)
        self.builder.store(value, place)
        return place

    def add(self, factors: Sequence[Any], vector: Any, totals: Sequence[Any]) -> None:
        for factor, total in zip(factors, totals, strict=True):
            self.builder.store(self.vectors.fma(factor, vector, self.builder.load(total)), total)

    def store(self, totals: Sequence[Any], out: Any, at: Any, step: Any) -> None:
        for k, total in enumerate(totals):
            self.vectors.store(self.builder.load(total), out, self.place(at, k, step))


@intrinsic
def analyze_vector(
    typing: Any, signal: Any, at: Any, stride: Any, analysis: Any, orientations: Any, components: Any, out: Any,
    at_out: Any, step: Any,
) -> Any:  # fmt: skip
    """out_k = sum_o analysis[o, k] signal_o: one vector of each."""
    names = "signal at stride analysis orientations components out at_out step"

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        code = _Code(context, builder, signature, args, names)
        given, totals = code.args, code.totals()
        with code.orientations() as (o, _):
            vector = code.vectors.load(given.signal, code.place(given.at, o, given.stride))
            code.add(code.factors(given.analysis, o), vector, totals)
        code.store(totals, given.out, given.at_out, given.step)
        return context.get_dummy_value()

    return types.void(signal, at, stride, analysis, orientations, components, out, at_out, step), generate


@intrinsic
def synthesize_vector(
    typing: Any, values: Any, at: Any, step: Any, synthesis: Any, orientations: Any, components: Any, out: Any,
    at_out: Any, stride: Any,
) -> Any:  # fmt: skip
    """out_o += sum_k synthesis[o, k] values_k: one vector of each."""
    names = "values at step synthesis orientations components out at_out stride"

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        code = _Code(context, builder, signature, args, names)
        given = code.args
        values = code.load(given.values, given.at, given.step)
        with code.orientations() as (o, _):
            here = code.place(given.at_out, o, given.stride)
            total = code.sum(code.factors(given.synthesis, o), values, code.vectors.load(given.out, here))
            code.vectors.store(total, given.out, here)
        return context.get_dummy_value()

    return types.void(values, at, step, synthesis, orientations, components, out, at_out, stride), generate


@intrinsic
def mixed_gelu_vector(
    typing: Any, values: Any, at: Any, step: Any, bias: Any, at_bias: Any, synthesis: Any, analysis: Any,
    orientations: Any, components: Any, out: Any, at_out: Any, step_out: Any,
) -> Any:  # fmt: skip
    """out_k = sum_o analysis[o, k] GELU(bias + sum_j synthesis[o, j] values_j): one vector of each component."""
    names = "values at step bias at_bias synthesis analysis orientations components out at_out step_out"

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        code = _Code(context, builder, signature, args, names)
        given, totals = code.args, code.totals()
        values, bias = code.load(given.values, given.at, given.step), code.vectors.load(given.bias, given.at_bias)
        with code.orientations() as (o, _):
            z = code.sum(code.factors(given.synthesis, o), values, bias)
            code.add(code.factors(given.analysis, o), Gelu(code.vectors, z).value(), totals)
        code.store(totals, given.out, given.at_out, given.step_out)
        return context.get_dummy_value()

    places = values, at, step, bias, at_bias, synthesis, analysis, orientations, components
    return types.void(*places, out, at_out, step_out), generate


@intrinsic
def mixed_gelu_gradient_vector(
    typing: Any, values: Any, at: Any, step: Any, bias: Any, at_bias: Any, synthesis: Any, analysis: Any,
    orientations: Any, components: Any, grad: Any, out: Any, at_out: Any, step_out: Any, sums: Any,
) -> Any:  # fmt: skip
    """out as of `mixed_gelu_vector`; grad, by out, becomes that by the values; sums += that by the bias."""
    names = "values at step bias at_bias synthesis analysis orientations components grad out at_out step_out sums"

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        code = _Code(context, builder, signature, args, names)
        given, vectors = code.args, code.vectors
        totals, gradients = code.totals(), code.totals()
        values, bias = code.load(given.values, given.at, given.step), vectors.load(given.bias, given.at_bias)
        grads = code.load(given.grad, given.at_out, given.step_out)
        total_bias = code.variable(vectors.load(given.sums, given.at_bias))
        with code.orientations() as (o, _):
            synthesis, analysis = code.factors(given.synthesis, o), code.factors(given.analysis, o)
            gelu = Gelu(vectors, code.sum(synthesis, values, bias))
            product = vectors.mul(code.sum(analysis, grads, vectors.zero()), gelu.slope())
            builder.store(builder.fadd(builder.load(total_bias), product), total_bias)
            code.add(synthesis, product, gradients)
            code.add(analysis, gelu.value(), totals)
        vectors.store(builder.load(total_bias), given.sums, given.at_bias)
        code.store(totals, given.out, given.at_out, given.step_out)
        code.store(gradients, given.grad, given.at_out, given.step_out)
        return context.get_dummy_value()

    places = values, at, step, bias, at_bias, synthesis, analysis, orientations, components
    return types.void(*places, grad, out, at_out, step_out, sums), generate
