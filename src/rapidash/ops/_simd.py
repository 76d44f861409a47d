"""Explicit SIMD for the numba kernels: 64-byte vectors of channels; above all runs of points in one cell of a table.

The points of a run use the same rows of the table: they are loaded once and stay in registers, as do the sums of their
gradients. LLVM vectorizes no loop over so many arrays that might overlap; hence these intrinsics, which write the
vector instructions themselves. On narrower machines LLVM splits the vectors.

Rows have ``block_width`` elements; in the table, they follow each other after ``step`` and the lines of a plane after
``stride`` elements. Point p of a run reads the row ``source[p]`` of x and belongs to the row ``target[p]`` of the
output; tap t of the cell weighs ``weights[p * num_taps + t]``. Offsets are in elements, and no bounds are checked.
"""

# mypy: disable-error-code="import-untyped, no-untyped-call"
# llvmlite has no types

from types import SimpleNamespace
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

VECTOR_BYTES = 64
CONTRACT = ("contract", "nsz")  # a * b + c may be fused; nothing is reassociated


class Vectors:
    """Loads, stores and arithmetic on vectors of one element type."""

    def __init__(self, builder: Any, element: types.Float) -> None:
        self.builder = builder
        self.bytes = element.bitwidth // 8
        scalar = ir.FloatType() if self.bytes == 4 else ir.DoubleType()
        self.scalar, self.count = scalar, VECTOR_BYTES // self.bytes
        self.type = ir.VectorType(scalar, self.count)

    def splat(self, value: Any) -> Any:
        undefined = ir.Constant(self.type, ir.Undefined)
        first = self.builder.insert_element(undefined, value, ir.Constant(ir.IntType(32), 0))
        mask = ir.Constant(ir.VectorType(ir.IntType(32), self.count), None)
        return self.builder.shuffle_vector(first, undefined, mask)

    def zero(self) -> Any:
        return ir.Constant(self.type, None)

    def _address(self, pointer: Any, offset: Any) -> Any:
        return self.builder.bitcast(self.builder.gep(pointer, [offset]), self.type.as_pointer())

    def load(self, pointer: Any, offset: Any) -> Any:
        return self.builder.load(self._address(pointer, offset), align=self.bytes)

    def store(self, value: Any, pointer: Any, offset: Any) -> None:
        self.builder.store(value, self._address(pointer, offset), align=self.bytes)

    def mul(self, a: Any, b: Any) -> Any:
        return self.builder.fmul(a, b, flags=CONTRACT)

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        return self.builder.fadd(self.mul(a, b), c, flags=CONTRACT)

    def sum(self, vector: Any) -> Any:
        """Sum of the lanes, pairwise: a fixed order."""
        count = self.count
        while count > 1:
            count //= 2
            mask = [*range(count, 2 * count), *range(self.count - count)]
            shuffle = ir.Constant(ir.VectorType(ir.IntType(32), self.count), mask)
            vector = self.builder.fadd(vector, self.builder.shuffle_vector(vector, vector, shuffle))
        return self.builder.extract_element(vector, ir.Constant(ir.IntType(32), 0))


def num_taps(points: int, axes: int) -> int:
    """Rows of the table that one point touches, for an interpolation with ``points`` nodes on each axis."""
    return int(points**axes)


def vectors_per_row(points: int, axes: int) -> int:
    """Vectors of channels done at once: as many as leave the rows and the sums of their gradients in 32 registers."""
    return 2 if num_taps(points, axes) <= 4 else 1


def block_width(points: int, axes: int, itemsize: int) -> int:
    """Channels done at once."""
    return vectors_per_row(points, axes) * VECTOR_BYTES // itemsize


class _Arguments:
    """The arguments of an intrinsic by name, arrays as pointers, and what all intrinsics do with them."""

    def __init__(self, context: Any, builder: Any, signature: Any, args: Any, names: str) -> None:
        kinds = dict(zip(names.split(), signature.args, strict=True))
        points, axes = len(kinds["taps"]), len(kinds["nodes"])
        self.builder, self.vectors = builder, Vectors(builder, kinds["values"].dtype)
        self.num_taps, self.num_vectors = num_taps(points, axes), vectors_per_row(points, axes)
        self.args = SimpleNamespace()
        for name, value in zip(names.split(), args, strict=True):
            kind = kinds[name]
            is_array = isinstance(kind, types.Array)
            setattr(self.args, name, context.make_array(kind)(context, builder, value).data if is_array else value)
        self.rows = []
        line = self.args.at
        for _ in range(points if axes == 2 else 1):
            at = line
            for _ in range(points):
                self.rows.append(at)
                at = builder.add(at, self.args.step)
            line = builder.add(line, self.args.stride)

    def constant(self, value: int) -> Any:
        return ir.Constant(self.args.at.type, value)

    def at(self, offset: Any, vector: int) -> Any:
        return self.builder.add(offset, self.constant(vector * self.vectors.count)) if vector else offset

    def load_rows(self, pointer: Any) -> list[list[Any]]:
        """The rows of the cell, [tap][vector]."""
        return [[self.vectors.load(pointer, self.at(row, v)) for v in range(self.num_vectors)] for row in self.rows]

    def element(self, pointer: Any, index: Any) -> Any:
        return self.builder.load(self.builder.gep(pointer, [index]))

    def points(self) -> Any:
        """A loop over the points of the run."""
        return cgutils.for_range_slice(self.builder, self.args.begin, self.args.end, self.constant(1))

    def weights(self, pointer: Any, point: Any) -> list[Any]:
        first = self.builder.mul(point, self.constant(self.num_taps))
        return [
            self.vectors.splat(self.element(pointer, self.builder.add(first, self.constant(tap))))
            for tap in range(self.num_taps)
        ]

    def interpolate(self, weights: list[Any], rows: list[list[Any]], vector: int) -> Any:
        kernel = self.vectors.mul(weights[0], rows[0][vector])
        for weight, row in zip(weights[1:], rows[1:], strict=True):
            kernel = self.vectors.fma(weight, row[vector], kernel)
        return kernel


_RUN = "taps nodes values at step stride weights source target begin end"


@intrinsic
def run_forward(
    typing: Any,
    taps: Any,
    nodes: Any,
    values: Any,
    at: Any,
    step: Any,
    stride: Any,
    weights: Any,
    source: Any,
    target: Any,
    begin: Any,
    end: Any,
    x: Any,
    at_x: Any,
    out: Any,
    at_out: Any,
) -> Any:
    """out[target] += k * x[source], with k the weighted sum of the rows of the cell that starts at ``values[at]``."""
    run = (taps, nodes, values, at, step, stride, weights, source, target, begin, end)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        r = _Arguments(context, builder, signature, args, _RUN + " x at_x out at_out")
        a, vectors = r.args, r.vectors
        rows = r.load_rows(a.values)
        with r.points() as (p, _):
            weights = r.weights(a.weights, p)
            at_x = builder.add(a.at_x, r.element(a.source, p))
            at_out = builder.add(a.at_out, r.element(a.target, p))
            for v in range(r.num_vectors):
                x, here = vectors.load(a.x, r.at(at_x, v)), r.at(at_out, v)
                kernel = r.interpolate(weights, rows, v)
                vectors.store(vectors.fma(kernel, x, vectors.load(a.out, here)), a.out, here)
        return context.get_dummy_value()

    return types.void(*run, x, at_x, out, at_out), generate


@intrinsic
def run_jvp(
    typing: Any,
    taps: Any,
    nodes: Any,
    values: Any,
    at: Any,
    step: Any,
    stride: Any,
    weights: Any,
    source: Any,
    target: Any,
    begin: Any,
    end: Any,
    slopes: Any,
    x: Any,
    dx: Any,
    at_x: Any,
    out: Any,
    dout: Any,
    at_out: Any,
) -> Any:
    """out[target] += k * x[source] and dout[target] += k * dx[source] + dk * x[source].

    k is the weighted sum of the rows of the cell, dk that with the weights' tangents, ``slopes``.
    """
    run = (taps, nodes, values, at, step, stride, weights, source, target, begin, end)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        r = _Arguments(context, builder, signature, args, _RUN + " slopes x dx at_x out dout at_out")
        a, vectors = r.args, r.vectors
        rows = r.load_rows(a.values)
        with r.points() as (p, _):
            weights, slopes = r.weights(a.weights, p), r.weights(a.slopes, p)
            at_x = builder.add(a.at_x, r.element(a.source, p))
            at_out = builder.add(a.at_out, r.element(a.target, p))
            for v in range(r.num_vectors):
                from_x, here = r.at(at_x, v), r.at(at_out, v)
                x, dx = vectors.load(a.x, from_x), vectors.load(a.dx, from_x)
                kernel, dkernel = r.interpolate(weights, rows, v), r.interpolate(slopes, rows, v)
                vectors.store(vectors.fma(kernel, x, vectors.load(a.out, here)), a.out, here)
                moved = vectors.fma(dkernel, x, vectors.load(a.dout, here))
                vectors.store(vectors.fma(kernel, dx, moved), a.dout, here)
        return context.get_dummy_value()

    return types.void(*run, slopes, x, dx, at_x, out, dout, at_out), generate


@intrinsic
def run_backward(
    typing: Any,
    taps: Any,
    nodes: Any,
    values: Any,
    at: Any,
    step: Any,
    stride: Any,
    weights: Any,
    source: Any,
    target: Any,
    begin: Any,
    end: Any,
    x: Any,
    grad_x: Any,
    at_x: Any,
    grad: Any,
    at_grad: Any,
    grad_values: Any,
) -> Any:
    """grad_x[source] += k * grad[target]; tap t of grad_values += sum over the run of weight t * x * grad."""
    run = (taps, nodes, values, at, step, stride, weights, source, target, begin, end)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        r = _Arguments(context, builder, signature, args, _RUN + " x grad_x at_x grad at_grad grad_values")
        a, vectors = r.args, r.vectors
        rows = r.load_rows(a.values)
        sums = [[cgutils.alloca_once_value(builder, value) for value in row] for row in r.load_rows(a.grad_values)]
        with r.points() as (p, _):
            weights = r.weights(a.weights, p)
            at_x = builder.add(a.at_x, r.element(a.source, p))
            at_grad = builder.add(a.at_grad, r.element(a.target, p))
            for v in range(r.num_vectors):
                here = r.at(at_x, v)
                grad = vectors.load(a.grad, r.at(at_grad, v))
                product = vectors.mul(vectors.load(a.x, here), grad)
                kernel = r.interpolate(weights, rows, v)
                vectors.store(vectors.fma(kernel, grad, vectors.load(a.grad_x, here)), a.grad_x, here)
                for weight, total in zip(weights, sums, strict=True):
                    builder.store(vectors.fma(weight, product, builder.load(total[v])), total[v])
        for row, total in zip(r.rows, sums, strict=True):
            for v in range(r.num_vectors):
                vectors.store(builder.load(total[v]), a.grad_values, r.at(row, v))
        return context.get_dummy_value()

    return types.void(*run, x, grad_x, at_x, grad, at_grad, grad_values), generate


@intrinsic
def run_dots(
    typing: Any,
    taps: Any,
    nodes: Any,
    values: Any,
    at: Any,
    step: Any,
    stride: Any,
    weights: Any,
    source: Any,
    target: Any,
    begin: Any,
    end: Any,
    x: Any,
    at_x: Any,
    grad: Any,
    at_grad: Any,
    dots: Any,
) -> Any:
    """dots[p] += sum over channels of k * x[source] * grad[target]."""
    run = (taps, nodes, values, at, step, stride, weights, source, target, begin, end)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        r = _Arguments(context, builder, signature, args, _RUN + " x at_x grad at_grad dots")
        a, vectors = r.args, r.vectors
        rows = r.load_rows(a.values)
        with r.points() as (p, _):
            weights = r.weights(a.weights, p)
            at_x = builder.add(a.at_x, r.element(a.source, p))
            at_grad = builder.add(a.at_grad, r.element(a.target, p))
            total = vectors.zero()
            for v in range(r.num_vectors):
                product = vectors.mul(vectors.load(a.x, r.at(at_x, v)), vectors.load(a.grad, r.at(at_grad, v)))
                total = vectors.fma(r.interpolate(weights, rows, v), product, total)
            here = builder.gep(a.dots, [p])
            builder.store(builder.fadd(builder.load(here), vectors.sum(total)), here)
        return context.get_dummy_value()

    return types.void(*run, x, at_x, grad, at_grad, dots), generate


@intrinsic
def add_products(
    typing: Any, a: Any, at_a: Any, step_a: Any, b: Any, at_b: Any, step_b: Any, count: Any, scale: Any, out: Any,
    at_out: Any, width: Any,
) -> Any:  # fmt: skip
    """out[at_out + c] += scale * sum_{i < count} a[at_a + i step_a + c] * b[at_b + i step_b + c], in whole vectors.

    Channels c run over the multiple of the vector length that fits ``width``; the caller does the rest.
    """
    names = "a at_a step_a b at_b step_b count scale out at_out width"
    signature = types.void(a, at_a, step_a, b, at_b, step_b, count, scale, out, at_out, width)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vectors = Vectors(builder, signature.args[0].dtype)
        f = SimpleNamespace(**dict(zip(names.split(), args, strict=True)))
        for name, kind in zip(names.split(), signature.args, strict=True):
            if isinstance(kind, types.Array):
                setattr(f, name, context.make_array(kind)(context, builder, getattr(f, name)).data)
        index = f.width.type
        zero, one, lanes = (ir.Constant(index, value) for value in (0, 1, vectors.count))
        whole = builder.sub(f.width, builder.srem(f.width, lanes))
        factor = vectors.splat(f.scale)
        with cgutils.for_range_slice(builder, zero, whole, lanes) as (c, _):
            total = cgutils.alloca_once_value(builder, vectors.zero())
            builder.store(vectors.zero(), total)
            first, second = builder.add(f.at_a, c), builder.add(f.at_b, c)
            with cgutils.for_range_slice(builder, zero, f.count, one) as (i, _):
                u = vectors.load(f.a, builder.add(first, builder.mul(i, f.step_a)))
                v = vectors.load(f.b, builder.add(second, builder.mul(i, f.step_b)))
                builder.store(vectors.fma(u, v, builder.load(total)), total)
            here = builder.add(f.at_out, c)
            vectors.store(vectors.fma(factor, builder.load(total), vectors.load(f.out, here)), f.out, here)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def copy_vectors(typing: Any, values: Any, at: Any, out: Any, to: Any, width: Any) -> Any:
    """out[to + c] = values[at + c] for c < width, a multiple of the vector length: faster than slices of numba."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        values, at, out, to, width = args
        arrays = zip(signature.args[::2], (values, out))
        values, out = (context.make_array(kind)(context, builder, array).data for kind, array in arrays)
        vectors = Vectors(builder, signature.args[0].dtype)
        zero, lanes = (ir.Constant(at.type, value) for value in (0, vectors.count))
        with cgutils.for_range_slice(builder, zero, width, lanes) as (c, _):
            vectors.store(vectors.load(values, builder.add(at, c)), out, builder.add(to, c))
        return context.get_dummy_value()

    return types.void(values, at, out, to, width), generate
