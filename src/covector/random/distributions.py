"""Random numbers of further distributions, made from uniform and normal ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.types import dtypes
from covector.numpy import elementwise as el
from covector.numpy.fused import fused
from covector.numpy.join import unstack
from covector.numpy.linalg import vector_norm
from covector.numpy.promotion import (
    Shape,
    broadcast_shapes,
    cast,
    lift,
    shape_of,
    spread,
)
from covector.numpy.selection import where
from covector.random.keys import bits_of, key_of
from covector.random.samplers import (
    check_real,
    float_dtype,
    normal,
    normal_floats,
    rademacher,
    result_shape,
    split_in,
    uniform,
    uniform_floats,
)

__all__ = [
    "cauchy",
    "double_sided_maxwell",
    "exponential",
    "gumbel",
    "laplace",
    "logistic",
    "lognormal",
    "maxwell",
    "pareto",
    "rayleigh",
    "triangular",
    "wald",
    "weibull_min",
]


def _least_log(key: Any, shape: Shape) -> Any:
    """-log(-log(u)) of float32 for u with 64 random bits, of which those count that follow the first one that is set.

    Beyond one half it is 1 - u that has them.
    """
    high, low = (
        prims.Convert(dtypes.uint64)(part) for part in unstack(bits_of(key, (2, *shape), 32))
    )
    u = prims.or_(prims.shift_left(high, np.uint64(32)), low)
    near = prims.lt(u, np.uint64(2**63))
    u = where(near, u, prims.add(prims.not_(u), np.uint64(1)))
    zeros = prims.clz(u)
    mantissa = prims.shift_right_logical(prims.shift_left(u, zeros), np.uint64(40))
    exponent = prims.shift_left(prims.sub(np.uint64(126), zeros), np.uint64(23))
    mantissa = prims.and_(mantissa, np.uint64(2**23 - 1))
    x = prims.bitcast(prims.Convert(dtypes.uint32)(prims.or_(exponent, mantissa)), dtypes.float32)
    return prims.neg(prims.log(prims.neg(where(near, prims.log1p(prims.neg(x)), prims.log(x)))))


@fused("shape", "dtype", "mode")
def _gumbel(key: Any, shape: Shape, dtype: np.dtype, mode: str) -> Any:
    info = dtypes.finfo(dtype)
    if mode == "highest" and dtype == dtypes.float32:
        return _least_log(key, shape)
    if mode == "low":
        u = uniform_floats(key, shape, dtype, float(info.tiny), 1.0)
        return prims.neg(prims.log(prims.neg(prims.log(u))))
    both = uniform_floats(key, (2, *shape), dtype, 0.0, 1.0)
    high, low = both[0], both[1]
    least = max(2.0 ** -(2 * info.nmant + 1), float(info.tiny))
    tiny = prims.add(prims.mul(low, dtype.type(2.0**-info.nmant)), dtype.type(least))
    x = where(prims.ge(high, dtype.type(0.5)), high, prims.add(high, tiny))
    return prims.neg(prims.log(prims.neg(prims.log1p(prims.neg(x)))))


def gumbel(
    key: Any,
    shape: Any = (),
    dtype: Any = None,
    mode: str | None = None,
    *,
    out_sharding: Any = None,
) -> Any:
    """Numbers with the Gumbel distribution: -log(-log(u)).

    mode="high" has more of the far tail; "highest" has all of it in float32, and is "high" otherwise.

    float32 unless a dtype is given.  ValueError for a dtype that is no float.

    >>> from covector import random
    >>> key = random.key(0)
    >>> random.gumbel(key, (2,))
    Array([2.9233725, 3.8326178], dtype=float32)
    """
    wanted = float_dtype("gumbel", dtype)
    if mode not in (None, "low", "high", "highest"):
        raise ValueError(
            f"gumbel: mode is 'low', 'high' or 'highest', not {mode!r}{errors.at_user_line()}"
        )
    return _gumbel(key_of("gumbel", key), shape=shape_of(shape), dtype=wanted, mode=mode or "low")


def _exponential(u: Any) -> Any:
    return prims.neg(prims.log1p(prims.neg(u)))


def _laplace(u: Any) -> Any:
    return prims.mul(prims.sign(u), prims.log1p(prims.neg(prims.abs_(u))))


def _logistic(u: Any) -> Any:
    return prims.sub(prims.log(u), prims.log1p(prims.neg(u)))


def _cauchy(u: Any) -> Any:
    return prims.tan(prims.mul(prims.sub(u, 0.5), float(np.pi)))


# Distributions of one uniform number: how, and its smallest value from the limits of the dtype.
_OF_UNIFORM: dict[str, tuple[Any, Any]] = {
    "exponential": (_exponential, lambda info: 0.0),
    "laplace": (_laplace, lambda info: -1.0 + float(info.epsneg)),
    "logistic": (_logistic, lambda info: float(info.tiny)),
    "cauchy": (_cauchy, lambda info: float(info.eps)),
}


@fused("name", "shape", "dtype")
def _of_uniform(key: Any, name: str, shape: Shape, dtype: np.dtype) -> Any:
    recipe, lowest = _OF_UNIFORM[name]
    return recipe(uniform_floats(key, shape, dtype, lowest(dtypes.finfo(dtype)), 1.0))


def _sample(name: str, key: Any, shape: Any, dtype: Any) -> Any:
    wanted = float_dtype(name, dtype)
    return _of_uniform(key_of(name, key), name=name, shape=shape_of(shape), dtype=wanted)


def exponential(key: Any, shape: Any = (), dtype: Any = None, *, out_sharding: Any = None) -> Any:
    """Numbers with the exponential distribution of rate 1.

    float32 unless a dtype is given.  ValueError for a dtype that is no float.

    >>> from covector import random
    >>> key = random.key(0)
    >>> random.exponential(key, (2,))
    Array([2.950128 , 3.8434246], dtype=float32)
    """
    return _sample("exponential", key, shape, dtype)


def laplace(key: Any, shape: Any = (), dtype: Any = None, *, out_sharding: Any = None) -> Any:
    """Numbers with the Laplace distribution.

    float32 unless a dtype is given.  ValueError for a dtype that is no float.

    >>> from covector import random
    >>> key = random.key(0)
    >>> random.laplace(key, (2,))
    Array([-2.2569816, -3.1502788], dtype=float32)
    """
    return _sample("laplace", key, shape, dtype)


def logistic(key: Any, shape: Any = (), dtype: Any = None, *, out_sharding: Any = None) -> Any:
    """Numbers with the logistic distribution.

    float32 unless a dtype is given.  ValueError for a dtype that is no float.

    >>> from covector import random
    >>> key = random.key(0)
    >>> random.logistic(key, (2,))
    Array([2.896376 , 3.8217716], dtype=float32)
    """
    return _sample("logistic", key, shape, dtype)


def cauchy(key: Any, shape: Any = (), dtype: Any = None, *, out_sharding: Any = None) -> Any:
    """Numbers with the Cauchy distribution.

    float32 unless a dtype is given.  ValueError for a dtype that is no float.

    >>> from covector import random
    >>> key = random.key(0)
    >>> random.cauchy(key, (2,))
    Array([ 6.0274944, 14.837895 ], dtype=float32)
    """
    return _sample("cauchy", key, shape, dtype)


def pareto(
    key: Any, b: Any, shape: Any = None, dtype: Any = None, *, out_sharding: Any = None
) -> Any:
    """Numbers with the Pareto distribution of exponent b.

    Of `shape`, or of that of b; float32 unless a dtype is given.  ValueError for a dtype that is no float.

    >>> from covector import random
    >>> key = random.key(0)
    >>> random.pareto(key, 3.0, (2,))
    Array([2.6734667, 3.6007478], dtype=float32)
    """
    wanted = float_dtype("pareto", dtype)
    return el.exp(
        el.divide(exponential(key, result_shape("pareto", shape, b), wanted), cast(b, wanted))
    )


def rayleigh(
    key: Any, scale: Any, shape: Any = None, dtype: Any = None, *, out_sharding: Any = None
) -> Any:
    """Numbers with the Rayleigh distribution.

    Of `shape`, or of that of `scale`, which stretches them; float32 unless a dtype is given.  ValueError for a dtype
    that is no float.

    >>> from covector import random
    >>> key = random.key(0)
    >>> random.rayleigh(key, 2.0, (2,))
    Array([0.65575665, 0.41620055], dtype=float32)
    """
    wanted = float_dtype("rayleigh", dtype)
    u = uniform(key, result_shape("rayleigh", shape, scale), wanted)
    return el.multiply(cast(scale, wanted), el.sqrt(el.multiply(el.log(u), -2.0)))


def weibull_min(
    key: Any, scale: Any, concentration: Any, shape: Any = (), dtype: Any = None
) -> Any:
    """Numbers with the Weibull distribution of minima.

    float32 unless a dtype is given.  ValueError for a dtype that is no float.

    >>> from covector import random
    >>> key = random.key(0)
    >>> random.weibull_min(key, 1.0, 2.0, (2,))
    Array([1.7175937, 1.9604654], dtype=float32)
    """
    wanted = float_dtype("weibull_min", dtype)
    check_real("weibull_min", scale, concentration)
    u = uniform(key, shape, wanted)
    return el.multiply(
        el.power(el.negative(el.log1p(el.negative(u))), el.divide(1.0, concentration)), scale
    )


def lognormal(
    key: Any, sigma: Any = 1.0, shape: Any = None, dtype: Any = None, *, out_sharding: Any = None
) -> Any:
    """exp of normal numbers with the standard deviation sigma.

    Of `shape`, or of that of sigma; float32 unless a dtype is given, which may be complex.  ValueError for one that is
    neither.

    >>> from covector import random
    >>> key = random.key(0)
    >>> random.lognormal(key, 0.5, (2,))
    Array([2.2508795, 2.752838 ], dtype=float32)
    """
    wanted = float_dtype("lognormal", dtype, allow_complex=True)
    return el.exp(
        el.multiply(
            normal(key, result_shape("lognormal", shape, sigma), wanted), cast(sigma, wanted)
        )
    )


def maxwell(key: Any, shape: Any = (), dtype: Any = None, *, out_sharding: Any = None) -> Any:
    """Numbers with the Maxwell distribution: lengths of three normal numbers.

    float32 unless a dtype is given.  ValueError for a dtype that is no float.

    >>> from covector import random
    >>> key = random.key(0)
    >>> random.maxwell(key, (2,))
    Array([2.6310966, 0.9910329], dtype=float32)
    """
    wanted = float_dtype("maxwell", dtype)
    return vector_norm(normal(key, (*shape_of(shape), 3), wanted), axis=-1)


def double_sided_maxwell(key: Any, loc: Any, scale: Any, shape: Any = (), dtype: Any = None) -> Any:
    """Maxwell numbers with a random sign, stretched by `scale` and moved by `loc`.

    float32 unless a dtype is given.  ValueError for a dtype that is no float.

    >>> from covector import random
    >>> key = random.key(0)
    >>> random.double_sided_maxwell(key, 0.0, 1.0, (2,))
    Array([1.5457209, 1.5741276], dtype=float32)
    """
    wanted = float_dtype("double_sided_maxwell", dtype)
    check_real("double_sided_maxwell", loc, scale)
    own = broadcast_shapes(np.shape(loc), np.shape(scale))
    full = (*(shape_of(shape) or own), *own)
    sizes, signs = split_in(key_of("double_sided_maxwell", key))
    signed = el.multiply(rademacher(signs, full, wanted), maxwell(sizes, full, wanted))
    return el.add(el.multiply(signed, scale), loc)


@fused("shape", "dtype")
def _triangular(key: Any, left: Any, mode: Any, right: Any, shape: Shape, dtype: np.dtype) -> Any:
    left, mode, right = (
        spread(lift("triangular", cast(x, dtype)), shape) for x in (left, mode, right)
    )
    u = uniform_floats(key, shape, dtype, 0.0, 1.0)
    width, rise, fall = el.subtract(right, left), el.subtract(mode, left), el.subtract(right, mode)
    low = el.add(left, el.sqrt(el.multiply(el.multiply(u, width), rise)))
    rest = el.multiply(el.multiply(el.subtract(1, u), width), fall)
    return where(el.less(u, el.divide(rise, width)), low, el.subtract(right, el.sqrt(rest)))


def triangular(
    key: Any,
    left: Any,
    mode: Any,
    right: Any,
    shape: Any = None,
    dtype: Any = None,
    *,
    out_sharding: Any = None,
) -> Any:
    """Numbers whose density rises from `left` to `mode` and falls from there to `right`.

    Of `shape`, or of that of the parameters; float32 unless a dtype is given.  ValueError for a dtype that is no float.

    >>> from covector import random
    >>> random.triangular(random.key(0), 0.0, 1.0, 3.0, (2,)).shape
    (2,)
    """
    wanted = float_dtype("triangular", dtype)
    shape = result_shape("triangular", shape, left, mode, right)
    key = key_of("triangular", key)
    return _triangular(key, left, mode, right, shape=shape, dtype=wanted)


@fused("shape", "dtype")
def _wald(key: Any, mean: Any, shape: Shape, dtype: np.dtype) -> Any:
    """J. Michael and others, "Generating random variates using transformations with multiple roots", 1976."""
    for_normal, for_choice = split_in(key)
    mean = spread(lift("wald", cast(mean, dtype)), shape)
    y = el.square(normal_floats(for_normal, shape, dtype))
    z = uniform_floats(for_choice, shape, dtype, 0.0, 1.0)
    square = el.square(mean)
    root = el.sqrt(el.add(el.multiply(el.multiply(4, mean), y), el.multiply(square, el.square(y))))
    x = el.subtract(
        el.add(mean, el.divide(el.multiply(square, y), 2)), el.multiply(el.divide(mean, 2), root)
    )
    first = el.less_equal(z, el.divide(mean, el.add(mean, x)))
    return where(first, x, el.divide(square, x))


def wald(
    key: Any, mean: Any, shape: Any = None, dtype: Any = None, *, out_sharding: Any = None
) -> Any:
    """Numbers with the Wald distribution, also called inverse Gaussian, of this mean and the scale 1.

    Of `shape`, or of that of the mean; float32 unless a dtype is given.  ValueError for a dtype that is no float.

    >>> from covector import random
    >>> random.wald(random.key(0), 2.0, (2,)).shape
    (2,)
    """
    wanted = float_dtype("wald", dtype)
    shape = result_shape("wald", shape, mean)
    return _wald(key_of("wald", key), mean, shape=shape, dtype=wanted)
