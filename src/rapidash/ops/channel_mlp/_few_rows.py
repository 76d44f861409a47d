"""channel_mlp of few rows on the CPU in float32, without gradients: one call, in which rows are the lanes of vectors.

torch takes longer to begin its five operations than these take. Arrays come as addresses, which numba reads at once.
"""

# mypy: disable-error-code="import-untyped, no-untyped-def, no-untyped-call, call-arg"
# numba gives the types of what it compiles, llvmlite has none

from collections.abc import Callable
from typing import Any

import numba as nb
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from torch import Tensor

from rapidash.ops._simd import VECTOR_BYTES, Vectors
from rapidash.ops._simd_gelu import Gelu
from rapidash.ops.channel_mlp.reference import EPS

LANES = VECTOR_BYTES // 4
TOGETHER = 8  # sums at a time, each in a register: one alone waits for its last addition


def few_rows(x: Tensor, residual: Tensor | None, *parameters: Any) -> Tensor:
    """The output (M, C') of x (M, C); the parameters are those of `channel_mlp`, in their order.

    Raises: RuntimeError for a tensor whose memory was freed, as sharding frees that of weights between two uses.
    """
    _, _, w1, _, w2, _, scale = parameters
    inputs = x, residual, *parameters
    whole = [tensor if tensor is None or _is_plain(tensor) else tensor.contiguous().resolve_neg() for tensor in inputs]
    addresses = [0 if tensor is None else tensor.data_ptr() for tensor in whole]
    if addresses.count(0) > (residual is None) + (scale is None):
        _check_memory(whole)
    out = x.new_empty(len(x), len(w2))
    _few_rows(*addresses, out.data_ptr(), len(x), x.shape[1], len(w1), len(w2))
    return out


def _is_plain(tensor: Tensor) -> bool:
    """Whether the numbers lie in memory one after the other, as they are: torch may note a minus sign beside them."""
    return tensor.is_contiguous() and not tensor.is_neg()


def _check_memory(tensors: list[Tensor | None]) -> None:
    """Raise RuntimeError for numbers that are not in memory."""
    for tensor in tensors:
        if tensor is not None and tensor.numel() > 0 and tensor.data_ptr() == 0:
            raise RuntimeError(f"a channel MLP got a tensor of shape {tuple(tensor.shape)} whose memory was freed")


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _few_rows(x, residual, norm_weight, norm_bias, w1, b1, w2, b2, scale, out, rows, channels, hidden, outs):
    lanes = np.empty((channels + hidden + outs) * LANES, np.float32)
    for first in range(0, rows, LANES):
        count = min(LANES, rows - first)
        for lane in range(LANES):
            row = first + min(lane, count - 1)
            for c in range(channels):
                lanes[c * LANES + lane] = _load(x, row * channels + c)
        _normalize(lanes, channels, norm_weight, norm_bias)
        _product(lanes, 0, channels, w1, b1, hidden)
        for row in range(channels, channels + hidden):
            _gelu(lanes, row)
        _product(lanes, channels, hidden, w2, b2, outs)
        for lane in range(count):
            at = (first + lane) * outs
            for c in range(outs):
                value = lanes[(channels + hidden + c) * LANES + lane]
                if scale != 0:
                    value *= _load(scale, c)
                if residual != 0:
                    value += _load(residual, at + c)
                _store(value, out, at + c)


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _product(lanes, at, count, weight, bias, num):
    """Rows at, ..., at + count of lanes mapped to the next num ones by a weight (num, count) and a bias."""
    whole = num - num % TOGETHER
    for row in range(0, whole, TOGETHER):
        _sums(lanes, at, count, weight, bias, row, TOGETHER)
    for row in range(whole, num):
        _sums(lanes, at, count, weight, bias, row, 1)


def _floats(builder: Any, address: Any) -> Any:
    return builder.inttoptr(address, ir.FloatType().as_pointer())


@intrinsic
def _load(typing: Any, values: Any, index: Any) -> Any:
    """values[index]."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(builder.gep(_floats(builder, args[0]), [args[1]]))

    return types.float32(types.int64, types.int64), generate


@intrinsic
def _store(typing: Any, value: Any, out: Any, index: Any) -> Any:
    """out[index] = value."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[0], builder.gep(_floats(builder, args[1]), [args[2]]))
        return context.get_dummy_value()

    return types.void(types.float32, types.int64, types.int64), generate


class _Lanes:
    """The rows of an array, vectors of lanes, and numbers at an address."""

    def __init__(self, context: Any, builder: Any, kind: Any, array: Any) -> None:
        self.builder, self.vectors = builder, Vectors(builder, types.float32)
        self.data = context.make_array(kind)(context, builder, array).data

    def row(self, row: Any) -> Any:
        return self.vectors.load(self.data, self.builder.mul(row, _index(LANES)))

    def set_row(self, row: Any, value: Any) -> None:
        self.vectors.store(value, self.data, self.builder.mul(row, _index(LANES)))

    def everywhere(self, address: Any, at: Any) -> Any:
        """A number in every lane."""
        return self.vectors.splat(self.builder.load(self.builder.gep(address, [at])))

    def rows(self, num: Any) -> Any:
        """A loop."""
        return cgutils.for_range_slice(self.builder, _index(0), num, _index(1))


def _index(value: int) -> Any:
    return ir.Constant(ir.IntType(64), value)


@intrinsic
def _normalize(typing: Any, lanes: Any, channels: Any, weight: Any, bias: Any) -> Any:
    """The first rows become (row - mean) / sqrt(variance + eps) * weight + bias, of the channels of each lane.

    To the division in float64: in float32 a mean far from 0 costs digits, and squares of large numbers overflow.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        lanes = _Lanes(context, builder, signature.args[0], args[0])
        channels, vectors = args[1], lanes.vectors
        weight, bias = _floats(builder, args[2]), _floats(builder, args[3])
        wide = ir.VectorType(ir.DoubleType(), LANES)
        number = builder.fpext(vectors.splat(builder.sitofp(channels, ir.FloatType())), wide)

        def row(c: Any) -> Any:
            return builder.fpext(lanes.row(c), wide)

        def mean(term: Callable[[Any], Any]) -> Any:
            total = cgutils.alloca_once(builder, wide)
            builder.store(ir.Constant(wide, None), total)
            with lanes.rows(channels) as (c, _):
                builder.store(builder.fadd(builder.load(total), term(row(c))), total)
            return builder.fdiv(builder.load(total), number)

        center = mean(lambda value: value)

        def square(value: Any) -> Any:
            distance = builder.fsub(value, center)
            return builder.fmul(distance, distance)

        variance = builder.fadd(mean(square), ir.Constant(wide, [EPS] * LANES))
        kind = ir.FunctionType(wide, [wide])
        root = cgutils.get_or_insert_function(builder.module, kind, f"llvm.sqrt.v{LANES}f64")
        inverse = builder.fdiv(ir.Constant(wide, [1.0] * LANES), builder.call(root, [variance]))
        with lanes.rows(channels) as (c, _):
            normal = builder.fptrunc(builder.fmul(builder.fsub(row(c), center), inverse), vectors.type)
            lanes.set_row(c, vectors.fma(normal, lanes.everywhere(weight, c), lanes.everywhere(bias, c)))
        return context.get_dummy_value()

    return types.void(lanes, types.int64, types.int64, types.int64), generate


@intrinsic(prefer_literal=True)
def _sums(typing: Any, lanes: Any, at: Any, count: Any, weight: Any, bias: Any, row: Any, num: Any) -> Any:
    """Row at + count + r is bias[r] + sum_i weight[r, i] times row at + i, for r = row, ..., row + num."""
    together = num.literal_value

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        lanes = _Lanes(context, builder, signature.args[0], args[0])
        at, count, weight, bias, row = args[1:6]
        weight, bias = _floats(builder, weight), _floats(builder, bias)
        places = [builder.add(row, _index(k)) for k in range(together)]
        lines = [builder.gep(weight, [builder.mul(place, count)]) for place in places]
        sums = [cgutils.alloca_once(builder, lanes.vectors.type) for _ in places]
        for place, total in zip(places, sums, strict=True):
            builder.store(lanes.everywhere(bias, place), total)
        with lanes.rows(count) as (i, _):
            value = lanes.row(builder.add(at, i))
            for line, total in zip(lines, sums, strict=True):
                builder.store(lanes.vectors.fma(lanes.everywhere(line, i), value, builder.load(total)), total)
        first = builder.add(at, count)
        for place, total in zip(places, sums, strict=True):
            lanes.set_row(builder.add(first, place), builder.load(total))
        return context.get_dummy_value()

    return types.void(lanes, *(types.int64,) * 5, num), generate


@intrinsic
def _gelu(typing: Any, lanes: Any, row: Any) -> Any:
    """The row becomes its GELU."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        lanes = _Lanes(context, builder, signature.args[0], args[0])
        lanes.set_row(args[1], Gelu(lanes.vectors, lanes.row(args[1])).value())
        return context.get_dummy_value()

    return types.void(lanes, types.int64), generate
