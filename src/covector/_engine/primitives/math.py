"""Elementary functions: exponentials, logarithms, trigonometry, powers; clamp and rounding to fewer bits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.base.record import record
from covector._engine.core.symbolic import NO_SLOPE, Zero, is_zero
from covector._engine.core.trace import typeof
from covector._engine.ir import scalar
from covector._engine.ir.scalar import Expr, Scalar, apply, call, const, equal, select as choose
from covector._engine.primitives import laws
from covector._engine.types import dtypes
from covector._engine.types.avals import ShapedArray

__all__ = [
    "Clamp",
    "IntegerPow",
    "ReducePrecision",
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "cbrt",
    "clamp",
    "cos",
    "cosh",
    "exp",
    "exp2",
    "expm1",
    "hypot",
    "integer_pow",
    "log",
    "log1p",
    "logaddexp",
    "logistic",
    "nextafter",
    "pow_",
    "reduce_precision",
    "relu",
    "rsqrt",
    "share_of_exp",
    "sin",
    "sinh",
    "tan",
    "tanh",
]


def _function(
    name: str, numpy: Callable[..., Any], push: Callable[..., Any], complex_too: bool = True
) -> prims.Elementwise:
    """A function of one floating (or complex) operand, computed by the function of the same name."""
    return prims.Elementwise(
        name,
        numpy,
        (push,),
        lambda x: call(name, x),
        "fc" if complex_too else "f",
        on_complex=(lambda p: scalar.COMPLEX[name](p)) if complex_too else None,
        widen=True,
    )


def _of_reals(
    name: str,
    numpy: Callable[..., Any],
    push: tuple[prims.PartialRule, ...],
    on_element: Callable[..., Expr],
) -> prims.Elementwise:
    """A function of floats; `on_element` computes in float32 at least."""

    def rounded(*xs: Expr) -> Expr:
        return scalar.convert(on_element(*xs), xs[0].dtype)

    return prims.Elementwise(name, numpy, push, rounded, "f", widen=True)


def _numpy_logistic(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def _numpy_expm1(x: Any) -> Any:
    """NumPy's, but for infinite and NaN parts of complex numbers, where those of e^x - 1 are right."""
    y = np.expm1(x)
    return np.where(np.isfinite(x), y, np.exp(x) - 1) if np.iscomplexobj(x) else y


_LN2 = float(np.log(2.0))

exp = _function("exp", np.exp, lambda t, y, x: prims.mul(t, y))
exp2 = _function("exp2", np.exp2, lambda t, y, x: prims.mul(t, prims.mul(y, _LN2)))
expm1 = _function("expm1", _numpy_expm1, lambda t, y, x: prims.mul(t, prims.add(y, 1.0)))
log = _function("log", np.log, lambda t, y, x: prims.div(t, x))
log1p = _function("log1p", np.log1p, lambda t, y, x: prims.div(t, prims.add(x, 1.0)))
sin = _function("sin", np.sin, lambda t, y, x: prims.mul(t, cos(x)))
cos = _function("cos", np.cos, lambda t, y, x: prims.mul(t, prims.neg(sin(x))))
tan = _function("tan", np.tan, lambda t, y, x: prims.mul(t, prims.add(prims.square(y), 1.0)))
asin = _function(
    "asin", np.arcsin, lambda t, y, x: prims.mul(t, rsqrt(prims.sub(1.0, prims.square(x))))
)
acos = _function(
    "acos",
    np.arccos,
    lambda t, y, x: prims.mul(t, prims.neg(rsqrt(prims.sub(1.0, prims.square(x))))),
)
atan = _function("atan", np.arctan, lambda t, y, x: prims.div(t, prims.add(prims.square(x), 1.0)))
sinh = _function("sinh", np.sinh, lambda t, y, x: prims.mul(t, cosh(x)))
cosh = _function("cosh", np.cosh, lambda t, y, x: prims.mul(t, sinh(x)))
tanh = _function("tanh", np.tanh, lambda t, y, x: prims.mul(t, prims.sub(1.0, prims.square(y))))
asinh = _function(
    "asinh", np.arcsinh, lambda t, y, x: prims.mul(t, rsqrt(prims.add(prims.square(x), 1.0)))
)
acosh = _function(
    "acosh",
    np.arccosh,
    lambda t, y, x: prims.mul(t, prims.mul(rsqrt(prims.sub(x, 1.0)), rsqrt(prims.add(x, 1.0)))),
)
atanh = _function(
    "atanh", np.arctanh, lambda t, y, x: prims.div(t, prims.sub(1.0, prims.square(x)))
)
cbrt = _function(
    "cbrt",
    np.cbrt,
    lambda t, y, x: prims.mul(t, prims.mul(integer_pow(y, -2), 1 / 3)),
    complex_too=False,
)
rsqrt = _function(
    "rsqrt",
    lambda x: 1 / np.sqrt(x),
    lambda t, y, x: prims.mul(t, prims.mul(prims.div(y, x), -0.5)),
)
logistic = _function(
    "logistic", _numpy_logistic, lambda t, y, x: prims.mul(t, prims.mul(y, prims.sub(1.0, y)))
)


def _hypotenuse_squared(x: Any, y: Any) -> Any:
    return prims.add(prims.square(x), prims.square(y))


atan2 = prims.Elementwise(
    "atan2",
    np.arctan2,
    (
        lambda t, z, x, y: prims.mul(t, prims.div(y, _hypotenuse_squared(x, y))),
        lambda t, z, x, y: prims.mul(t, prims.div(prims.neg(x), _hypotenuse_squared(x, y))),
    ),
    lambda x, y: call("atan2", x, y),
    "f",
    widen=True,
)


def _hypot_element(x: Expr, y: Expr) -> Expr:
    """Scaled by the larger one, so that squares do not overflow."""
    x, y = (scalar.apply("abs", scalar.convert(v, dtypes.computed_in(v.dtype))) for v in (x, y))
    infinite = scalar.equal(x, np.inf) | scalar.equal(y, np.inf)
    first = x >= y
    big, small = choose(first, x, y), choose(first, y, x)
    ratio = small / choose(scalar.equal(big, 0), 1, big)
    return choose(infinite, np.inf, big * scalar.apply("sqrt", ratio * ratio + 1))


hypot = _of_reals(
    "hypot",
    np.hypot,
    (
        lambda t, z, x, y: prims.mul(t, prims.div(x, z)),
        lambda t, z, x, y: prims.mul(t, prims.div(y, z)),
    ),
    _hypot_element,
)


def _logaddexp_element(x: Expr, y: Expr) -> Expr:
    """max + log1p(exp(-|x - y|)); x where both are the same infinity."""
    x, y = (scalar.convert(v, dtypes.computed_in(v.dtype)) for v in (x, y))
    distance = -scalar.apply("abs", x - y)
    alike = scalar.differ(distance, distance) & scalar.equal(x, y)
    return choose(alike, x, choose(x >= y, x, y) + call("log1p", call("exp", distance)))


def share_of_exp(x: Any, y: Any) -> Any:
    """exp(x) / (exp(x) + exp(y)): a half where both are the same infinity."""
    difference = prims.sub(x, y)
    alike = prims.and_(prims.ne(difference, difference), prims.eq(x, y))
    return logistic(prims.select(alike, 0.0, difference))


logaddexp = _of_reals(
    "logaddexp",
    np.logaddexp,
    (
        lambda t, z, x, y: prims.mul(t, share_of_exp(x, y)),
        lambda t, z, x, y: prims.mul(t, share_of_exp(y, x)),
    ),
    _logaddexp_element,
)
# The slope is 0 at 0, and of NaN.
relu = prims.Elementwise(
    "relu",
    lambda x: np.maximum(x, np.zeros((), x.dtype)),
    (lambda t, z, x: prims.select(prims.gt(x, 0), t, 0),),
    lambda x: choose(x <= 0, const(0, x.dtype), x),
    "iuf",
)


def _numpy_nextafter(x: Any, y: Any) -> Any:
    if x.dtype.itemsize != 2 or x.dtype == np.float16:  # bfloat16's takes no zeros
        return np.nextafter(x, y)
    bits = x.view(np.uint16).astype(np.int32)
    up = (x < y) == (x > 0)
    away = np.where(x == 0, np.where(y > 0, 0x0001, 0x8001), bits + np.where(up, 1, -1)).astype(
        np.uint16
    )
    return np.where(np.isnan(x) | np.isnan(y), x + y, np.where(x == y, y, away.view(x.dtype)))


nextafter = prims.Elementwise(
    "nextafter",
    _numpy_nextafter,
    (lambda t, *_: t, NO_SLOPE),
    lambda x, y: call("nextafter", x, y),
    "f",
    of_format=True,
)


def _pow_base(t: Any, z: Any, x: Any, y: Any) -> Any:
    """t * y * x**(y - 1), zero where y and x are 0."""
    zero = prims.and_(prims.eq(x, 0.0), prims.eq(y, 0.0))
    safe, factor = prims.select(zero, 1.0, x), prims.select(zero, 0.0, y)
    return prims.mul(t, prims.mul(factor, pow_(safe, prims.sub(y, 1.0))))


def _pow_exponent(t: Any, z: Any, x: Any, y: Any) -> Any:
    """t * z * log(x), zero where x is 0 and y is not negative."""
    zero = prims.eq(x, 0.0)
    safe = prims.select(zero, 1.0, x)
    return prims.mul(t, prims.mul(z, log(safe)))


def _pow_of_element(x: Expr, y: Expr) -> Expr:
    """x^y; where y is a number that one instruction is enough for, that one."""
    exponent = float(y.attr) if y.op == "const" else None  # type: ignore[arg-type]
    if exponent == 2.0:
        return x * x
    if exponent == -1.0:
        return 1.0 / x
    if exponent == 0.5:  # of -0 it is 0, of -inf it is inf, other than the root
        infinity = float("inf")
        return choose(equal(x, -infinity), infinity, apply("sqrt", x + 0.0))
    return call("pow", x, y)


pow_ = prims.Elementwise(
    "pow",
    np.power,
    (_pow_base, _pow_exponent),
    _pow_of_element,
    "fc",
    on_complex=lambda p, q: scalar.COMPLEX["pow"](p, q),
    widen=True,
)


@record
class IntegerPow(prims.ElementwiseBase):
    """x ** n for an integer n, by repeated squaring."""

    n: int
    name: ClassVar[str] = "integer_pow"
    simplified = laws.power

    def dtype_of(self, avals: Sequence[ShapedArray]) -> np.dtype:
        dtype = avals[0].dtype
        if dtype == dtypes.bool_ or (self.n < 0 and not dtypes.is_inexact(dtype)):
            raise TypeError(
                f"integer_pow: {dtype.name} to the power {self.n}{errors.at_user_line()} has no integer result; "
                "convert the base to a floating dtype"
            )
        return dtype

    def reference(self, x: Any) -> Any:
        x = np.asarray(x)
        wide = x.astype(np.float32) if dtypes.is_small_float(x.dtype) else x
        with np.errstate(all="ignore"):
            power = (
                np.power(wide, np.asarray(abs(self.n)).astype(wide.dtype))
                if self.n
                else np.ones_like(wide)
            )
            return np.asarray(1 / power if self.n < 0 else power).astype(x.dtype)

    def pushes(self) -> tuple[prims.PartialRule, ...]:
        if self.n == 0:
            return (NO_SLOPE,)
        return (lambda t, z, x: prims.mul(t, prims.mul(integer_pow(x, self.n - 1), self.n)),)

    def on_elements(self, avals: Sequence[ShapedArray], *xs: Scalar) -> Scalar:
        (x,) = xs
        mul: Callable[..., Any] = (
            scalar.COMPLEX["mul"] if isinstance(x, tuple) else lambda a, b: a * b
        )
        result, base, n = None, x, abs(self.n)
        while n:
            if n & 1:
                result = base if result is None else mul(result, base)
            n >>= 1
            base = mul(base, base) if n else base
        dtype = dtypes.real_of(avals[0].dtype)
        one: Any = (const(1, dtype), const(0, dtype)) if isinstance(x, tuple) else const(1, dtype)
        if result is None:
            return one
        if self.n > 0:
            return result
        return scalar.COMPLEX["div"](one, result) if isinstance(x, tuple) else one / result


def integer_pow(x: Any, n: int) -> Any:
    """x ** n for a Python integer n."""
    return x if n == 1 else IntegerPow(n)(x)


@record
class Clamp(prims.ElementwiseBase):
    """max(low, min(x, high)).  Operands: low, x, high; the bounds may be scalars."""

    name: ClassVar[str] = "clamp"

    def dtype_of(self, avals: Sequence[ShapedArray]) -> np.dtype:
        dtype = avals[1].dtype
        if any(a.dtype != dtype for a in avals) or dtypes.is_complex(dtype):
            raise TypeError(
                f"clamp takes three real operands of one dtype, got {', '.join(a.text() for a in avals)}"
                f"{errors.at_user_line()}"
            )
        return dtype

    def reference(self, low: Any, x: Any, high: Any) -> Any:
        return np.minimum(np.maximum(low, x), high)

    def pushes(self) -> tuple[prims.PartialRule, ...]:
        def where(hit: Any, t: Any) -> Any:
            return prims.select(hit, t, 0)

        return (
            lambda t, z, lo, x, hi: where(prims.and_(prims.gt(lo, x), prims.lt(lo, hi)), t),
            lambda t, z, lo, x, hi: where(prims.and_(prims.gt(x, lo), prims.lt(x, hi)), t),
            lambda t, z, lo, x, hi: where(prims.lt(hi, x), t),
        )

    def on_elements(self, avals: Sequence[ShapedArray], *xs: Scalar) -> Scalar:
        low, x, high = xs
        if avals[1].dtype == dtypes.bool_:
            return (x | low) & high  # type: ignore[operator]
        return scalar.minimum(scalar.maximum(low, x), high)  # type: ignore[arg-type]


clamp = Clamp()


@record
class ReducePrecision(prims.ElementwiseBase):
    """Round to a format of so many exponent and mantissa bits (ties to even), keeping the dtype."""

    exponent_bits: int
    mantissa_bits: int
    name: ClassVar[str] = "reduce_precision"

    def dtype_of(self, avals: Sequence[ShapedArray]) -> np.dtype:
        if not dtypes.is_float(avals[0].dtype):
            raise TypeError(
                f"reduce_precision takes floats, got {avals[0].text()}{errors.at_user_line()}"
            )
        return avals[0].dtype

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        out = self(*primals)
        return out, Zero(typeof(out)) if is_zero(tangents[0]) else self(tangents[0])

    def transpose(self, ct: Any, x: Any) -> Sequence[Any]:
        return (self(ct),)

    def reference(self, x: Any) -> Any:
        x = np.asarray(x)
        wide = x.astype(np.float64)
        _, exponent = np.frexp(wide)
        lowest = 2 - (1 << (self.exponent_bits - 1))  # of normal numbers
        scale = np.ldexp(1.0, np.where(wide == 0, 0, exponent - 1 - self.mantissa_bits))
        with np.errstate(all="ignore"):
            rounded = np.rint(wide / scale) * scale
            limit = np.ldexp(
                2.0 - np.ldexp(1.0, -self.mantissa_bits), (1 << (self.exponent_bits - 1)) - 1
            )
            rounded = np.where(np.abs(rounded) > limit, np.copysign(np.inf, wide), rounded)
            rounded = np.where(
                np.abs(rounded) < np.ldexp(1.0, lowest), np.copysign(0.0, wide), rounded
            )
            return np.where(np.isfinite(wide), rounded, wide).astype(x.dtype)

    def on_elements(self, avals: Sequence[ShapedArray], *xs: Scalar) -> Scalar:
        (x,) = xs
        assert isinstance(x, Expr)
        dtype = x.dtype
        wide = scalar.convert(x, dtypes.computed_in(dtype))
        result = _reduce_bits(wide, self.exponent_bits, self.mantissa_bits)
        return scalar.convert(result, dtype)


def _reduce_bits(x: Expr, exponent_bits: int, mantissa_bits: int) -> Expr:
    """Rounding on the bits: add half of the last kept place, ties to even; then overflow and underflow."""
    width = 8 * x.dtype.itemsize
    own_mantissa, own_exponent = (23, 8) if width == 32 else (52, 11)
    unsigned = dtypes.unsigned(width)
    bits = scalar.bitcast(x, unsigned)
    sign = bits & const(1 << (width - 1), unsigned)
    magnitude = bits ^ sign
    drop = own_mantissa - mantissa_bits
    if drop > 0:
        odd = (magnitude >> const(drop, unsigned)) & const(1, unsigned)
        magnitude = (magnitude + odd + const((1 << (drop - 1)) - 1, unsigned)) & const(
            ~((1 << drop) - 1) & ((1 << width) - 1), unsigned
        )
    infinity = const(((1 << own_exponent) - 1) << own_mantissa, unsigned)
    if exponent_bits < own_exponent:
        bias, own_bias = (1 << (exponent_bits - 1)) - 1, (1 << (own_exponent - 1)) - 1
        top = const(((own_bias + bias + 1) << own_mantissa), unsigned)
        bottom = const((own_bias - bias + 1) << own_mantissa, unsigned)
        magnitude = choose(
            magnitude >= top, infinity, choose(magnitude < bottom, const(0, unsigned), magnitude)
        )
    rounded = scalar.bitcast(magnitude | sign, x.dtype)
    return choose(scalar.apply("abs", x) < np.inf, rounded, x)


def reduce_precision(x: Any, exponent_bits: int, mantissa_bits: int) -> Any:
    """Round to a format of so many exponent and mantissa bits, keeping the dtype."""
    return ReducePrecision(exponent_bits, mantissa_bits)(x)
