"""Random numbers from keys: the same numbers as JAX's, for the same keys."""

from __future__ import annotations

from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.core.numbers import SCALARS, entered
from covector._engine.core.trace import typeof
from covector._engine.types import dtypes
from covector.numpy import elementwise as el
from covector.numpy.creation import array_of, astype
from covector.numpy.fused import fused
from covector.numpy.promotion import (
    Shape,
    broadcast_shapes,
    cast,
    lift,
    operand_of,
    shape_of,
    spread,
    type_key,
)
from covector.numpy.selection import clip, where
from covector.numpy.take import take
from covector.random.keys import Key, bits_of, key_of, split_key

__all__ = [
    "bernoulli",
    "bits",
    "normal",
    "rademacher",
    "randint",
    "truncated_normal",
    "uniform",
]

_UINTS = {8: dtypes.uint8, 16: dtypes.uint16, 32: dtypes.uint32, 64: dtypes.uint64}


def float_dtype(name: str, dtype: Any, allow_complex: bool = False) -> np.dtype:
    """The dtype of a sampler's floats, float32 by default; ValueError for one that has none."""
    wanted = dtypes.or_default(dtype)
    if not dtypes.is_float(wanted) and not (allow_complex and dtypes.is_complex(wanted)):
        raise ValueError(f"{name} gives floats, not {wanted.name}{errors.at_user_line()}")
    return wanted


def check_real(name: str, *parameters: Any) -> None:
    """TypeError for complex parameters: an imaginary part would be dropped without a word."""
    for p in parameters:
        if p is not None and dtypes.is_complex(type_key(operand_of(name, p))[0]):
            raise TypeError(
                f"{name} has real parameters, got {typeof(lift(name, p)).text()}{errors.at_user_line()}"
            )


def result_shape(name: str, shape: Any, *parameters: Any) -> Shape:
    """The shape of the result: as asked, if the parameters broadcast to it, or the one they have together.

    TypeError for complex parameters, ValueError for those of another shape.
    """
    check_real(name, *parameters)
    own = broadcast_shapes(*[np.shape(p) for p in parameters])
    if shape is None:
        return own
    wanted = shape_of(shape)
    if len(own) > len(wanted) or any(
        n not in (1, m) for n, m in zip(own[::-1], wanted[::-1], strict=False)
    ):
        raise ValueError(
            f"{name}: parameters of the shape {own} do not broadcast to the shape {wanted}{errors.at_user_line()}"
        )
    return wanted


def split_in(key: Key, n: int = 2) -> list[Key]:
    """New keys, one by one."""
    new = split_key(key, (n,))
    length = new.generator.length
    rows = [prims.Slice((i, 0), (i + 1, length), (1, 1))(new.words) for i in range(n)]
    return [key.like(prims.Reshape((length,))(row)) for row in rows]


# -------------------------------------------------------------------------------------- bits and floats


def bits(key: Any, shape: Any = (), dtype: Any = None, *, out_sharding: Any = None) -> Any:
    """Random bits as unsigned integers; uint32 unless a dtype is given.

    ValueError for another dtype.

    >>> from covector import random
    >>> key = random.key(0)
    >>> random.bits(key, (2,))
    Array([4070199207, 4202968722], dtype=uint32)
    """
    wanted = (
        _UINTS[8 * dtypes.or_default(None, int).itemsize]
        if dtype is None
        else dtypes.as_dtype(dtype)
    )
    if dtypes.kind(wanted) != "u":
        raise ValueError(f"bits gives unsigned integers, not {wanted.name}{errors.at_user_line()}")
    return _bits(key_of("bits", key), shape=shape_of(shape), width=8 * wanted.itemsize)


@fused("shape", "width")
def _bits(key: Any, shape: Shape, width: int) -> Any:
    return bits_of(key, shape, width)


def unit_floats(key: Any, shape: Shape, dtype: np.dtype) -> Any:
    """Floats in [0, 1): random mantissas under the exponent of 1, less 1."""
    info = dtypes.finfo(dtype)
    if info.bits not in _UINTS:
        raise TypeError(
            f"random floats have 8, 16, 32 or 64 bits{errors.at_user_line()}: {dtype.name} has {info.bits}; "
            "convert with x.astype"
        )
    width = info.bits if info.nmant >= 8 else 8
    unsigned = _UINTS[info.bits]
    random = bits_of(key, shape, width)
    random = random if width == info.bits else prims.Convert(unsigned)(random)
    mantissas = prims.shift_right_logical(random, unsigned.type(width - info.nmant))
    one = np.ones((), dtype).view(unsigned)[()]
    return prims.sub(prims.bitcast(prims.or_(mantissas, one), dtype), dtype.type(1))


def uniform_floats(key: Any, shape: Shape, dtype: np.dtype, low: Any, high: Any) -> Any:
    """Floats in [low, high), which are scalars or broadcast to the shape."""
    low, high = (_parameter(p, shape, dtype) for p in (low, high))
    stretched = prims.add(prims.mul(unit_floats(key, shape, dtype), prims.sub(high, low)), low)
    return prims.maximum(low, stretched)


def _parameter(p: Any, shape: Shape, dtype: np.dtype) -> Any:
    """A parameter in a dtype; in the shape unless it is one number."""
    p = cast(p, dtype)
    return spread(p, shape) if np.shape(p) else p


@fused("shape", "dtype")
def _uniform(key: Any, low: Any, high: Any, shape: Shape, dtype: np.dtype) -> Any:
    return uniform_floats(key, shape, dtype, low, high)


def uniform(
    key: Any,
    shape: Any = (),
    dtype: Any = None,
    minval: Any = 0.0,
    maxval: Any = 1.0,
    *,
    out_sharding: Any = None,
) -> Any:
    """Floats spread evenly over [minval, maxval).

    >>> import covector
    >>> covector.random.uniform(covector.random.key(7), (2,)).shape
    (2,)
    """
    wanted = float_dtype("uniform", dtype)
    shape = result_shape("uniform", shape, minval, maxval)
    low, high = (_exact("uniform", v, wanted) for v in (minval, maxval))
    return _uniform(key_of("uniform", key), low, high, shape=shape, dtype=wanted)


def _exact(name: str, x: Any, dtype: np.dtype) -> Any:
    """A parameter in a dtype; Python's floats directly, which as weak float32 would lose the digits of float64."""
    return cast(x if type(x) in SCALARS else lift(name, x), dtype)


# Giles, "Approximating the erfinv function" (2012), single precision: for w < 5 in w - 2.5, else in sqrt(w) - 3.
_NEAR = (
    2.81022636e-08,
    3.43273939e-07,
    -3.5233877e-06,
    -4.39150654e-06,
    0.00021858087,
    -0.00125372503,
    -0.00417768164,
    0.246640727,
    1.50140941,
)
_FAR = (
    -0.000200214257,
    0.000100950558,
    0.00134934322,
    -0.00367342844,
    0.00573950773,
    -0.0076224613,
    0.00943887047,
    1.00167406,
    2.83297682,
)


def erf_inv_giles(x: Any) -> Any:
    """The inverse error function of float32 by the polynomials that JAX's normal numbers come from."""
    w = prims.neg(prims.log1p(prims.neg(prims.mul(x, x))))
    near = prims.lt(w, np.float32(5))
    # no infinite slope where it is not used
    root = prims.sqrt(prims.select(near, np.float32(5), w))
    w = prims.select(near, prims.sub(w, np.float32(2.5)), prims.sub(root, np.float32(3)))
    p: Any = None
    for a, b in zip(_NEAR, _FAR, strict=True):
        coefficient = prims.select(near, np.float32(a), np.float32(b))
        p = coefficient if p is None else prims.add(coefficient, prims.mul(p, w))
    infinite = prims.select(prims.gt(x, np.float32(0)), np.float32(np.inf), np.float32(-np.inf))
    return prims.select(prims.eq(prims.abs_(x), np.float32(1)), infinite, prims.mul(p, x))


def _erf_inv(x: Any) -> Any:
    if x.dtype == dtypes.float64:
        return prims.erf_inv(x)
    return cast(erf_inv_giles(cast(x, dtypes.float32)), x.dtype)


def normal_floats(key: Any, shape: Shape, dtype: np.dtype) -> Any:
    """Normally distributed floats or complex numbers."""
    if dtypes.is_complex(dtype):
        real = dtypes.real_of(dtype)
        parts = [normal_floats(w, shape, real) for w in split_in(key)]
        return prims.div(prims.complex_(*parts), dtype.type(np.sqrt(2)))
    low = np.nextafter(np.array(-1, dtype), np.array(0, dtype), dtype=dtype)
    u = uniform_floats(key, shape, dtype, low[()], dtype.type(1))
    return prims.mul(_erf_inv(u), dtype.type(np.sqrt(2)))


@fused("shape", "dtype")
def _normal(key: Any, shape: Shape, dtype: np.dtype) -> Any:
    return normal_floats(key, shape, dtype)


def normal(key: Any, shape: Any = (), dtype: Any = None, *, out_sharding: Any = None) -> Any:
    """Numbers with the standard normal distribution, float or complex.

    >>> import covector
    >>> covector.random.normal(covector.random.key(0), (2, 3)).shape
    (2, 3)
    """
    wanted = float_dtype("normal", dtype, allow_complex=True)
    return _normal(key_of("normal", key), shape=shape_of(shape), dtype=wanted)


@fused("shape", "dtype")
def _truncated(key: Any, lower: Any, upper: Any, shape: Shape, dtype: np.dtype) -> Any:
    root = dtype.type(np.sqrt(2))
    lower, upper = cast(lower, dtype), cast(upper, dtype)
    low, high = (prims.erf(prims.div(lift("truncated_normal", p), root)) for p in (lower, upper))
    out = prims.mul(_erf_inv(uniform_floats(key, shape, dtype, low, high)), root)
    inside = (
        prims.nextafter(prims.stop_gradient(lift("truncated_normal", p)), dtype.type(towards))
        for p, towards in ((lower, np.inf), (upper, -np.inf))
    )
    return clip(out, *inside)


def truncated_normal(
    key: Any,
    lower: Any,
    upper: Any,
    shape: Any = None,
    dtype: Any = None,
    *,
    out_sharding: Any = None,
) -> Any:
    """Numbers with the standard normal distribution, cut off outside (lower, upper).

    Of `shape`, or of that of the bounds together; float32 unless a dtype is given.  ValueError for a dtype that is no
    float.

    >>> from covector import random
    >>> key = random.key(0)
    >>> random.truncated_normal(key, -1.0, 1.0, (2,))
    Array([0.86185926, 0.9412883 ], dtype=float32)
    """
    wanted = float_dtype("truncated_normal", dtype)
    shape = result_shape("truncated_normal", shape, lower, upper)
    low, high = (_exact("truncated_normal", v, wanted) for v in (lower, upper))
    return _truncated(key_of("truncated_normal", key), low, high, shape=shape, dtype=wanted)


# --------------------------------------------------------------------------------------------- integers


@fused("shape", "dtype")
def _randint(key: Any, low: Any, high: Any, shape: Shape, dtype: np.dtype) -> Any:
    """Two words of bits, reduced modulo the span: the upper one weighted by 2^bits modulo the span."""
    width = 8 * dtype.itemsize
    unsigned = _UINTS[width]
    # high does not fit, and then is one more than the largest
    largest, wider = dtypes.iinfo(dtype).max, dtypes.iinfo(high.dtype).max > dtypes.iinfo(dtype).max
    beyond = el.greater(high, high.dtype.type(largest)) if wider else np.bool_(False)
    low, high = (_clipped(v, dtype) for v in (low, high))
    low, high = (spread(v, shape) if v.shape else v for v in (low, high))
    upper, lower = (bits_of(w, shape, width) for w in split_in(key))
    span = prims.Convert(unsigned)(el.subtract(high, low))
    span = where(el.less_equal(high, low), unsigned.type(1), span)
    span = where(
        el.logical_and(beyond, el.greater(high, low)), el.add(span, unsigned.type(1)), span
    )
    weight = prims.rem(unsigned.type(2 ** (width // 2)), span)
    weight = prims.rem(prims.mul(weight, weight), span)
    offset = prims.add(prims.mul(prims.rem(upper, span), weight), prims.rem(lower, span))
    return prims.add(low, prims.Convert(dtype)(prims.rem(offset, span)))


def _clipped(x: Any, dtype: np.dtype) -> Any:
    """An integer in a dtype, the nearest one that it has."""
    x = lift("randint", x)
    own, info = dtypes.iinfo(x.dtype), dtypes.iinfo(dtype)
    if own.min < info.min or own.max > info.max:
        x = clip(x, x.dtype.type(max(own.min, info.min)), x.dtype.type(min(own.max, info.max)))
    return cast(x, dtype)


def randint(
    key: Any, shape: Any, minval: Any, maxval: Any, dtype: Any = None, *, out_sharding: Any = None
) -> Any:
    """Integers spread evenly over [minval, maxval), int32 unless a dtype is given.

    >>> import covector
    >>> covector.random.randint(covector.random.key(0), (4,), 0, 10).dtype
    dtype('int32')
    """
    wanted = dtypes.or_default(dtype, int)
    if not dtypes.is_integer(wanted):
        raise errors.DtypeError(f"randint gives integers, not {wanted.name}{errors.at_user_line()}")
    shape = result_shape("randint", shape, minval, maxval)
    low, high = (_bound(v, wanted, extra) for v, extra in ((minval, 0), (maxval, 1)))
    sampled = wanted if wanted.itemsize >= 4 else dtypes.int32
    result = _randint(key_of("randint", key), low, high, shape=shape, dtype=sampled)
    return result if sampled == wanted else astype(result, wanted)


def _bound(v: Any, dtype: np.dtype, extra: int) -> Any:
    """A bound as an integer array; for the small dtypes clipped to their range (a maximum to one above it).

    OverflowError for a number that neither the others have nor arrays of Python's integers; the maximum can be one
    more.
    """
    v = entered(v)
    if isinstance(v, int) and dtype.itemsize >= 4:
        info, own = dtypes.iinfo(dtype), dtypes.of_number(int)
        if not info.min <= v <= info.max and np.iinfo(own).min <= v <= np.iinfo(own).max:
            return lift("randint", own.type(v))
        if not info.min <= v <= min(int(info.max) + extra, 2**64 - 1):
            raise OverflowError(f"randint, of a bound: {errors.does_not_fit(v, dtype.name)}")
        v = dtype.type(v) if v <= info.max else (np.int64 if v < 2**63 else np.uint64)(v)
    v = lift("randint", v)
    v = v if dtypes.is_integer(v.dtype) else astype(v, dtypes.int32)
    if dtype.itemsize < 4:
        info = dtypes.iinfo(dtype)
        v = clip(astype(v, dtypes.int32), int(info.min), int(info.max) + extra)
    return v


@fused("shape", "mode")
def _bernoulli(key: Any, p: Any, shape: Shape, mode: str) -> Any:
    dtype = p.dtype
    if mode == "low":
        return prims.lt(uniform_floats(key, shape, dtype, 0.0, 1.0), _parameter(p, shape, dtype))
    both = uniform_floats(key, (2, *shape), dtype, 0.0, 1.0)
    first, second = (prims.squeeze(take(both, np.int32(i), 0), ()) for i in (0, 1))
    second = prims.mul(second, dtype.type(2.0 ** -dtypes.finfo(dtype).nmant))
    return el.less(second, el.subtract(p, first))


def bernoulli(
    key: Any, p: Any = 0.5, shape: Any = None, mode: str = "low", *, out_sharding: Any = None
) -> Any:
    """True with probability p, else False; p may be an array.

    As bool, of `shape`, or of that of p.  TypeError unless p is a float.

    >>> from covector import random
    >>> key = random.key(0)
    >>> random.bernoulli(key, 0.3, (4,))
    Array([False, False, False, False], dtype=bool)
    """
    if mode not in ("high", "low"):
        raise ValueError(f"bernoulli: mode is 'low' or 'high', not {mode!r}{errors.at_user_line()}")
    dtype = type_key(p)[0]
    if not dtypes.is_float(dtype):
        raise TypeError(
            f"bernoulli takes a float probability, got {dtype.name}{errors.at_user_line()}"
        )
    shape = result_shape("bernoulli", shape, p)
    return _bernoulli(key_of("bernoulli", key), array_of(p, dtype), shape=shape, mode=mode)


def rademacher(key: Any, shape: Any = (), dtype: Any = None, *, out_sharding: Any = None) -> Any:
    """-1 or 1, each with probability 1/2; int32 unless a dtype is given.

    >>> from covector import random
    >>> key = random.key(0)
    >>> random.rademacher(key, (4,))
    Array([-1, -1,  1,  1], dtype=int32)
    """
    wanted = dtypes.or_default(dtype, int)
    heads = bernoulli(key, 0.5, shape_of(shape))
    return where(
        heads, wanted.type(1), wanted.type(-1) if dtypes.kind(wanted) != "u" else ~wanted.type(0)
    )
