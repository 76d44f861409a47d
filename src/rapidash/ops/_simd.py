"""Explicit SIMD for the numba kernels: vectors of 64 bytes over contiguous channels.

LLVM does not vectorize a loop that reads and writes more than a few arrays that might overlap, and the backward pass
touches six. These intrinsics write the vector instructions themselves; on narrower machines LLVM splits the vectors.
Every width is a multiple of ``lanes(dtype)``; offsets are in elements. No bounds are checked here.
"""

# mypy: disable-error-code="import-untyped, no-untyped-call"
# llvmlite has no types

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

VECTOR_BYTES = 64
_CONTRACT = ("contract", "nsz")  # a * b + c may be fused; nothing is reassociated


class _Vectors:
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
        return self.builder.fmul(a, b, flags=_CONTRACT)

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        return self.builder.fadd(self.mul(a, b), c, flags=_CONTRACT)

    def sum(self, vector: Any) -> Any:
        """Sum of the lanes, pairwise: a fixed order."""
        count = self.count
        while count > 1:
            count //= 2
            mask = [*range(count, 2 * count), *range(self.count - count)]
            shuffle = ir.Constant(ir.VectorType(ir.IntType(32), self.count), mask)
            vector = self.builder.fadd(vector, self.builder.shuffle_vector(vector, vector, shuffle))
        return self.builder.extract_element(vector, ir.Constant(ir.IntType(32), 0))


class _Taps:
    """The rows of a table that one point touches, with their weights: an outer product over at most two axes."""

    def __init__(
        self, vectors: _Vectors, base: Any, stride: Any, width: Any, rows: list[Any], columns: list[Any]
    ) -> None:
        builder = vectors.builder
        self.vectors, self.rows, self.columns = vectors, rows, columns
        self.offsets: list[list[Any]] = []
        for _ in rows:
            line = [base]
            for _ in columns[1:]:
                line.append(builder.add(line[-1], width))
            self.offsets.append(line)
            base = builder.add(base, stride)

    def interpolate(self, load: Callable[[Any], Any]) -> Any:
        """sum_k rows[k] sum_t columns[t] * load(offset of tap k, t)."""
        total = None
        for weight, line in zip(self.rows, self.offsets, strict=True):
            inner = self.vectors.mul(self.columns[0], load(line[0]))
            for column, offset in zip(self.columns[1:], line[1:], strict=True):
                inner = self.vectors.fma(column, load(offset), inner)
            total = self.vectors.mul(weight, inner) if total is None else self.vectors.fma(weight, inner, total)
        return total


def _unpack(context: Any, builder: Any, signature: Any, args: Any, names: str, element: types.Float) -> SimpleNamespace:
    """Arguments by name: arrays as pointers to their first element, tuples of weights as lists of vectors."""
    vectors = _Vectors(builder, element)
    frame = SimpleNamespace(vectors=vectors)
    for name, kind, value in zip(names.split(), signature.args, args, strict=True):
        if isinstance(kind, types.Array):
            value = context.make_array(kind)(context, builder, value=value).data
        elif isinstance(kind, types.BaseTuple):
            kinds: list[Any] = list(cast(Any, kind))
            parts = [builder.extract_value(value, i) for i in range(len(kinds))]
            value = [vectors.splat(context.cast(builder, part, kinds[i], element)) for i, part in enumerate(parts)]
        setattr(frame, name, value)
    return frame


def _taps(f: SimpleNamespace) -> _Taps:
    return _Taps(f.vectors, f.base, f.stride, f.width, f.rows, f.columns)


def _over_channels(frame: SimpleNamespace) -> Any:
    zero = ir.Constant(frame.width.type, 0)
    step = ir.Constant(frame.width.type, frame.vectors.count)
    return cgutils.for_range_slice(frame.vectors.builder, zero, frame.width, step)


@intrinsic
def add_table_product(
    typing: Any,
    table: Any,
    base: Any,
    stride: Any,
    width: Any,
    rows: Any,
    columns: Any,
    x: Any,
    at_x: Any,
    out: Any,
    at_out: Any,
) -> Any:
    """out[at_out + c] += k[c] * x[at_x + c] for c < width, with k the weighted sum of the table's rows.

    Tap (i, j) starts at ``base + i * stride + j * width`` and weighs ``rows[i] * columns[j]``.
    """
    names = "table base stride width rows columns x at_x out at_out"
    signature = types.void(table, base, stride, width, rows, columns, x, at_x, out, at_out)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        f = _unpack(context, builder, signature, args, names, table.dtype)
        v, taps = f.vectors, _taps(f)
        with _over_channels(f) as (c, _):
            kernel = taps.interpolate(lambda offset: v.load(f.table, builder.add(offset, c)))
            at_out = builder.add(f.at_out, c)
            x = v.load(f.x, builder.add(f.at_x, c))
            v.store(v.fma(kernel, x, v.load(f.out, at_out)), f.out, at_out)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def add_table_gradients(
    typing: Any,
    table: Any,
    grad_table: Any,
    base: Any,
    stride: Any,
    width: Any,
    rows: Any,
    columns: Any,
    x: Any,
    grad_x: Any,
    at_x: Any,
    grad: Any,
    at_grad: Any,
) -> Any:
    """Adjoint of ``add_table_product``: grad_x += k * grad; each tap of grad_table += its weight * x * grad."""
    names = "table grad_table base stride width rows columns x grad_x at_x grad at_grad"
    signature = types.void(table, grad_table, base, stride, width, rows, columns, x, grad_x, at_x, grad, at_grad)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        f = _unpack(context, builder, signature, args, names, table.dtype)
        v, taps = f.vectors, _taps(f)
        with _over_channels(f) as (c, _):
            at_x = builder.add(f.at_x, c)
            grad = v.load(f.grad, builder.add(f.at_grad, c))
            product = v.mul(v.load(f.x, at_x), grad)
            kernel = taps.interpolate(lambda offset: v.load(f.table, builder.add(offset, c)))
            v.store(v.fma(kernel, grad, v.load(f.grad_x, at_x)), f.grad_x, at_x)
            for weight, line in zip(taps.rows, taps.offsets, strict=True):
                scaled = v.mul(weight, product)
                for column, offset in zip(taps.columns, line, strict=True):
                    at = builder.add(offset, c)
                    v.store(v.fma(column, scaled, v.load(f.grad_table, at)), f.grad_table, at)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def table_dot(
    typing: Any,
    table: Any,
    base: Any,
    stride: Any,
    width: Any,
    rows: Any,
    columns: Any,
    x: Any,
    at_x: Any,
    grad: Any,
    at_grad: Any,
) -> Any:
    """sum_c k[c] * x[at_x + c] * grad[at_grad + c], k as in ``add_table_product``."""
    names = "table base stride width rows columns x at_x grad at_grad"
    signature = table.dtype(table, base, stride, width, rows, columns, x, at_x, grad, at_grad)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        f = _unpack(context, builder, signature, args, names, table.dtype)
        v, taps = f.vectors, _taps(f)
        total = cgutils.alloca_once_value(builder, v.zero())
        with _over_channels(f) as (c, _):
            kernel = taps.interpolate(lambda offset: v.load(f.table, builder.add(offset, c)))
            product = v.mul(v.load(f.x, builder.add(f.at_x, c)), v.load(f.grad, builder.add(f.at_grad, c)))
            builder.store(v.fma(kernel, product, builder.load(total)), total)
        return v.sum(builder.load(total))

    return signature, generate
