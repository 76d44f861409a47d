"""The exact GELU and its derivatives on vectors of float32, as instructions: see `rapidash.ops._simd`.

They need the normal distribution's tail, T(a) = P(X > a) = exp(-a^2 / 2) W(a), of a = |z|:
GELU(z) = max(z, 0) - a T(a), GELU'(z) = 1/2 + sign(z) (1/2 - T(a) + a exp(-a^2 / 2) / sqrt(2 pi)),
and GELU''(z) = (2 - a^2) exp(-a^2 / 2) / sqrt(2 pi).
W is a polynomial on [0, 6] (constant above, where T < 1e-9), its coefficients fitted for T to 1e-7. The exponential is
2^n times a polynomial. The error, some 3e-7, is below that of 1 + erf in float32.
"""

# mypy: disable-error-code="import-untyped, no-untyped-call"
# llvmlite has no types

from math import log, pi, sqrt
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from rapidash.ops._simd import CONTRACT, Vectors

TAIL_END = 6.0
TAIL = (
    0.1215076917, -0.1032324391, 0.08282303036, -0.05945053728, 0.04906744127, -0.04089568853, -0.006328029789,
    -0.01557004141, 0.05160646476, 0.02231183185, -0.01641129904, -0.02089775165,
)  # fmt: skip
"""W(a) in powers of a / 3 - 1."""
EXP2 = (1.000000072, 0.6931469671, 0.2402211972, 0.05550713276, 0.009675541662, 0.001327647215)
"""2^f for |f| <= 1/2, in powers of f."""
ROUNDING = 1.5 * 2**23  # x + ROUNDING has the nearest integer of x in its last bits
LARGEST = 12.9  # the tail is here at the end of the range of float32
SIGN = -(2**31)


class Gelu:
    """Of one vector z: a = |z|, exp(-a^2 / 2) and the tail."""

    def __init__(self, vectors: Vectors, z: Any) -> None:
        self.vectors, self.builder, self.z = vectors, vectors.builder, z
        self.integers = ir.VectorType(ir.IntType(32), vectors.count)
        self.size = self._smaller(self._from_bits(self.builder.and_(self._bits(z), self._integer(~SIGN))), LARGEST)
        exponent = vectors.mul(vectors.mul(self.size, self.size), self._constant(-0.5 / log(2)))
        self.bell = self._exp2(exponent)
        at = vectors.fma(self._smaller(self.size, TAIL_END), self._constant(2 / TAIL_END), self._constant(-1.0))
        self.tail = vectors.mul(self.bell, self._polynomial(TAIL, at))

    def value(self) -> Any:
        """GELU(z)."""
        zero = self.vectors.zero()
        positive = self.builder.select(self.builder.fcmp_ordered(">", self.z, zero), self.z, zero)
        return self.builder.fsub(positive, self.vectors.mul(self.size, self.tail), flags=CONTRACT)

    def slope(self) -> Any:
        """GELU'(z)."""
        half = self._constant(0.5)
        density = self.vectors.mul(self.bell, self._constant(1 / sqrt(2 * pi)))
        odd = self.vectors.fma(self.size, density, self.builder.fsub(half, self.tail))
        sign = self.builder.and_(self._bits(self.z), self._integer(SIGN))
        return self.builder.fadd(half, self._from_bits(self.builder.xor(self._bits(odd), sign)))

    def curvature(self) -> Any:
        """GELU''(z)."""
        density = self.vectors.mul(self.bell, self._constant(1 / sqrt(2 * pi)))
        square = self.vectors.mul(self.size, self.size)
        return self.vectors.mul(density, self.builder.fsub(self._constant(2.0), square))

    def _bits(self, vector: Any) -> Any:
        return self.builder.bitcast(vector, self.integers)

    def _from_bits(self, bits: Any) -> Any:
        return self.builder.bitcast(bits, self.vectors.type)

    def _integer(self, value: int) -> Any:
        return ir.Constant(self.integers, [value] * self.vectors.count)

    def _constant(self, value: float) -> Any:
        return ir.Constant(self.vectors.type, [value] * self.vectors.count)

    def _smaller(self, a: Any, bound: float) -> Any:
        """min(a, bound), NaN for NaN."""
        limit = self._constant(bound)
        return self.builder.select(self.builder.fcmp_ordered(">", a, limit), limit, a)

    def _polynomial(self, coefficients: tuple[float, ...], at: Any) -> Any:
        total = self._constant(coefficients[-1])
        for coefficient in coefficients[-2::-1]:
            total = self.vectors.fma(total, at, self._constant(coefficient))
        return total

    def _exp2(self, x: Any) -> Any:
        """2^x for |x| < 126: with n the integer next to x, 2^(x - n), and n added to the bits of its exponent."""
        shifted = self.builder.fadd(x, self._constant(ROUNDING))
        fraction = self.builder.fsub(x, self.builder.fsub(shifted, self._constant(ROUNDING)))
        power = self.builder.shl(self._bits(shifted), self._integer(23))
        return self._from_bits(self.builder.add(self._bits(self._polynomial(EXP2, fraction)), power))


def _pointers(context: Any, builder: Any, signature: Any, args: Any) -> list[Any]:
    """Arrays as pointers to their elements."""
    return [
        context.make_array(kind)(context, builder, value).data if isinstance(kind, types.Array) else value
        for kind, value in zip(signature.args, args, strict=True)
    ]


@intrinsic
def gelu_vector(typing: Any, product: Any, bias: Any, hidden: Any, out: Any, at: Any, at_bias: Any) -> Any:
    """hidden = product + bias; out = GELU(hidden): one vector."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        product, bias, hidden, out, at, at_bias = _pointers(context, builder, signature, args)
        vectors = Vectors(builder, types.float32)
        z = builder.fadd(vectors.load(product, at), vectors.load(bias, at_bias))
        vectors.store(z, hidden, at)
        vectors.store(Gelu(vectors, z).value(), out, at)
        return context.get_dummy_value()

    return types.void(product, bias, hidden, out, at, at_bias), generate


@intrinsic
def gelu_gradient_vector(typing: Any, hidden: Any, grad: Any, activated: Any, sums: Any, at: Any, at_sums: Any) -> Any:
    """activated = GELU(hidden); grad *= GELU'(hidden); sums += grad: one vector."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        hidden, grad, activated, sums, at, at_sums = _pointers(context, builder, signature, args)
        vectors = Vectors(builder, types.float32)
        gelu = Gelu(vectors, vectors.load(hidden, at))
        vectors.store(gelu.value(), activated, at)
        product = vectors.mul(vectors.load(grad, at), gelu.slope())
        vectors.store(product, grad, at)
        vectors.store(builder.fadd(vectors.load(sums, at_sums), product), sums, at_sums)
        return context.get_dummy_value()

    return types.void(hidden, grad, activated, sums, at, at_sums), generate


@intrinsic
def gelu_slope_vector(typing: Any, x: Any, grad: Any, out: Any, at: Any) -> Any:
    """out = grad * GELU'(x): one vector."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        x, grad, out, at = _pointers(context, builder, signature, args)
        vectors = Vectors(builder, types.float32)
        slope = Gelu(vectors, vectors.load(x, at)).slope()
        vectors.store(vectors.mul(vectors.load(grad, at), slope), out, at)
        return context.get_dummy_value()

    return types.void(x, grad, out, at), generate


@intrinsic
def gelu_second_vector(typing: Any, x: Any, grad: Any, moved: Any, of_grad: Any, of_x: Any, at: Any) -> Any:
    """of_grad = moved * GELU'(x), of_x = moved * grad * GELU''(x): one vector; read before they are written."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        x, grad, moved, of_grad, of_x, at = _pointers(context, builder, signature, args)
        vectors = Vectors(builder, types.float32)
        gelu = Gelu(vectors, vectors.load(x, at))
        grad, moved = vectors.load(grad, at), vectors.load(moved, at)
        vectors.store(vectors.mul(moved, gelu.slope()), of_grad, at)
        vectors.store(vectors.mul(vectors.mul(moved, grad), gelu.curvature()), of_x, at)
        return context.get_dummy_value()

    return types.void(x, grad, moved, of_grad, of_x, at), generate
