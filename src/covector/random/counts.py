"""Random counts: the Poisson, binomial, multinomial and geometric distributions."""

from __future__ import annotations

from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.types import dtypes
from covector.lax.control_flow import scan
from covector.lax.loops import while_loop
from covector.lax.reductions import cumsum
from covector.numpy import elementwise as el, reduce
from covector.numpy.creation import asarray, zeros
from covector.numpy.fused import fused
from covector.numpy.operands import converted, together
from covector.numpy.promotion import Shape, cast, lift, shape_of, spread
from covector.numpy.selection import clip, where
from covector.numpy.shape import moveaxis
from covector.numpy.take import take
from covector.random.gammas import exactly
from covector.random.keys import key_of, split_key
from covector.random.samplers import float_dtype, result_shape, split_in, uniform, uniform_floats

__all__ = ["binomial", "geometric", "multinomial", "poisson"]


def int_dtype(name: str, dtype: Any) -> np.dtype:
    """The dtype of a sampler's counts, int32 by default; TypeError for one that is no integer's."""
    wanted = dtypes.or_default(dtype, int)
    if not dtypes.is_integer(wanted):
        raise errors.DtypeError(f"{name} gives integers, not {wanted.name}{errors.at_user_line()}")
    return wanted


def _until_all(key: Any, draw: Any, shape: Shape, dtype: np.dtype) -> Any:
    """Numbers by rejection: `draw` gives candidates and which are accepted, until each place has had one."""

    def turn(state: Any) -> Any:
        key, found, done = state
        key, *now = split_in(key, 3)
        u, v = (uniform_floats(w, shape, dtype, 0.0, 1.0) for w in now)
        candidate, accepted = draw(u, v)
        return key, where(accepted, candidate, found), el.logical_or(done, accepted)

    start = key, el.add(zeros(shape, dtype), -1.0), zeros(shape, dtypes.bool_)
    return while_loop(lambda s: el.logical_not(reduce.all(s[2])), turn, start)[1]


# ----------------------------------------------------------------------------------------- Poisson


def _poisson_by_products(key: Any, rate: Any, shape: Shape, dtype: np.dtype) -> Any:
    """As many uniform numbers as have a product above e^-rate (D. Knuth, TAOCP 2, 3.4.1)."""

    def turn(state: Any) -> Any:
        count, key, logs = state
        key, now = split_in(key)
        count = where(el.greater(logs, el.negative(rate)), el.add(count, 1), count)
        u = uniform_floats(now, shape, dtypes.float32, 0.0, 1.0)
        return count, key, el.add(logs, el.log(u))

    start = zeros(shape, dtype), key, zeros(shape, dtypes.float32)
    more = while_loop(lambda s: reduce.any(el.greater(s[2], el.negative(rate))), turn, start)
    return el.subtract(more[0], 1)


def _poisson_by_rejection(key: Any, rate: Any, shape: Shape) -> Any:
    """W. Hörmann, "The transformed rejection method for generating Poisson random variables", 1993."""
    log_rate = el.log(rate)
    b = el.add(0.931, el.multiply(2.53, el.sqrt(rate)))
    a = el.add(-0.059, el.multiply(0.02483, b))
    inverse = el.add(1.1239, el.divide(1.1328, el.subtract(b, 3.4)))
    squeeze = el.subtract(0.9277, el.divide(3.6224, el.subtract(b, 2)))

    def draw(u: Any, v: Any) -> tuple[Any, Any]:
        u = el.subtract(u, 0.5)
        inside = el.subtract(0.5, el.absolute(u))
        slope = el.add(el.divide(el.multiply(2.0, a), inside), b)
        k = el.floor(el.add(el.add(el.multiply(slope, u), rate), 0.43))
        height = el.add(el.divide(a, el.multiply(inside, inside)), b)
        s = el.log(el.divide(el.multiply(v, inverse), height))
        t = el.subtract(
            el.add(el.negative(rate), el.multiply(k, log_rate)), prims.lgamma(el.add(k, 1))
        )
        quick = el.logical_and(el.greater_equal(inside, 0.07), el.less_equal(v, squeeze))
        far = el.logical_and(el.less(inside, 0.013), el.greater(v, inside))
        out = el.logical_or(el.less(k, 0), far)
        exact = el.logical_and(el.logical_not(out), el.less_equal(s, t))
        return k, el.logical_or(quick, exact)

    return _until_all(key, draw, shape, dtypes.float32)


@fused("shape", "dtype")
def _poisson(key: Any, lam: Any, shape: Shape, dtype: np.dtype) -> Any:
    rate = spread(lift("poisson", cast(lam, dtypes.float32)), shape)
    small = el.logical_or(el.isnan(rate), el.less(rate, 10))
    few = _poisson_by_products(key, where(small, rate, 0.0), shape, dtype)
    many = converted(_poisson_by_rejection(key, where(small, 1e5, rate), shape), dtype)
    return where(el.equal(rate, 0), dtype.type(0), where(small, few, many))


def poisson(
    key: Any,
    lam: Any,
    shape: Any = None,
    dtype: Any = None,
    *,
    method: str = "exact",
    out_sharding: Any = None,
) -> Any:
    """Counts with the Poisson distribution of the mean `lam`.

    Of `shape`, or of that of lam; int32 unless a dtype is given.  TypeError for a dtype that is no integer's.

    >>> from covector import random
    >>> random.poisson(random.key(0), 3.0, (2,)).dtype
    dtype('int32')
    """
    exactly("poisson", method)
    wanted = int_dtype("poisson", dtype)
    shape = result_shape("poisson", shape, lam)
    return _poisson(key_of("poisson", key), lam, shape=shape, dtype=wanted)


# ---------------------------------------------------------------------------------------- binomial

# log(k!) less Stirling's formula, for k up to 9.
_TAILS = (
    0.0810614667953272,
    0.0413406959554092,
    0.0276779256849983,
    0.02079067210376509,
    0.0166446911898211,
    0.0138761288230707,
    0.0118967099458917,
    0.0104112652619720,
    0.00925546218271273,
    0.00833056343336287,
)


def _tail(k: Any) -> Any:
    """log(k!) less Stirling's formula, by its series beyond 9."""
    square = el.square(el.add(k, 1))
    inner = el.subtract(1 / 360, el.divide(1 / 1260, square))
    series = el.divide(el.subtract(1 / 12, el.divide(inner, square)), el.add(k, 1))
    place = converted(el.floor(clip(k, 0.0, 9.0)), dtypes.int32)
    known = take(asarray(np.array(_TAILS), k.dtype), place, 0)
    return where(el.less_equal(k, 9), known, series)


def _binomial_by_waiting(key: Any, count: Any, p: Any, shape: Shape) -> Any:
    """As many geometric waiting times as have a sum of at most `count`."""
    slope = el.log1p(el.negative(p))

    def turn(state: Any) -> Any:
        many, total, key = state
        now, key = split_in(key)
        many = where(el.less_equal(total, count), el.add(many, 1), many)
        u = uniform_floats(now, shape, p.dtype, 0.0, 1.0)
        return many, el.add(total, el.ceil(el.divide(el.log(u), slope))), key

    start = zeros(shape, p.dtype), zeros(shape, p.dtype), key
    found = while_loop(lambda s: reduce.any(el.less_equal(s[1], count)), turn, start)
    return el.subtract(found[0], 1)


def _binomial_by_rejection(key: Any, count: Any, p: Any, shape: Shape) -> Any:
    """W. Hörmann, "The generation of binomial random variates", 1993: the algorithm BTRS."""
    rest = el.subtract(1, p)
    deviation = el.sqrt(el.multiply(el.multiply(count, p), rest))
    b = el.add(1.15, el.multiply(2.53, deviation))
    a = el.add(el.add(-0.0873, el.multiply(0.0248, b)), el.multiply(0.01, p))
    centre = el.add(el.multiply(count, p), 0.5)
    squeeze = el.subtract(0.92, el.divide(4.2, b))
    r = el.divide(p, rest)
    alpha = el.multiply(el.add(2.83, el.divide(5.1, b)), deviation)
    m = el.floor(el.multiply(el.add(count, 1), p))

    def term(factor: Any, over: Any, under: Any) -> Any:
        return el.multiply(factor, el.log(el.divide(over, under)))

    def draw(u: Any, v: Any) -> tuple[Any, Any]:
        u = el.subtract(u, 0.5)
        inside = el.subtract(0.5, el.absolute(u))
        quick = el.logical_and(el.greater_equal(inside, 0.07), el.less_equal(v, squeeze))
        slope = el.add(el.divide(el.multiply(2.0, a), inside), b)
        k = el.floor(el.add(el.multiply(slope, u), centre))
        out = el.logical_or(el.less(k, 0), el.greater(k, count))
        height = el.add(el.divide(a, el.multiply(inside, inside)), b)
        s = el.log(el.divide(el.multiply(v, alpha), height))
        left = el.add(el.subtract(count, m), 1)
        now = el.add(el.subtract(count, k), 1)
        terms = (
            term(el.add(m, 0.5), el.add(m, 1), el.multiply(r, left)),
            term(el.add(count, 1), left, now),
            term(el.add(k, 0.5), el.multiply(r, now), el.add(k, 1)),
            _tail(m),
            _tail(el.subtract(count, m)),
            el.negative(_tail(k)),
            el.negative(_tail(el.subtract(count, k))),
        )
        bound = terms[0]
        for more in terms[1:]:
            bound = el.add(bound, more)
        exact = el.logical_and(el.logical_not(out), el.less_equal(s, bound))
        return k, el.logical_or(quick, exact)

    return _until_all(key, draw, shape, p.dtype)


@fused("shape", "dtype")
def _binomial(key: Any, n: Any, p: Any, shape: Shape, dtype: np.dtype) -> Any:
    (p,) = together("binomial", "inexact", p)
    count, p = spread(lift("binomial", cast(n, p.dtype)), shape), spread(p, shape)
    low = el.less(p, 0.5)
    q = where(low, p, el.subtract(1.0, p))
    no_count = el.logical_or(el.isnan(count), el.less(count, 0))
    no_q = el.logical_or(el.isnan(q), el.less(q, 0))
    infinite = el.isinf(count)
    q = where(no_q, 0.01, q)
    small = el.logical_or(no_count, el.less_equal(el.multiply(count, q), 10))
    count = el.floor(count)
    few = _binomial_by_waiting(key, where(small, count, 0.0), q, shape)
    many = _binomial_by_rejection(key, where(small, 1e4, count), where(small, 0.5, q), shape)
    found = converted(where(small, few, many), dtype)
    invalid = el.logical_or(no_count, no_q)
    found = where(invalid, np.nan, where(infinite, np.inf, found))
    turned = el.logical_or(el.logical_or(low, no_count), el.logical_or(el.isnan(p), infinite))
    return where(turned, found, el.subtract(converted(count, dtype), found))


def binomial(key: Any, n: Any, p: Any, shape: Any = None, dtype: Any = None) -> Any:
    """How many of n trials succeed, each with the probability p, as floats.

    Of `shape`, or of that of the parameters; float32 unless a dtype is given.  NaN for an n or p that is none.
    ValueError for a dtype that is no float.

    >>> from covector import random
    >>> random.binomial(random.key(0), 10, 0.5, (2,)).shape
    (2,)
    """
    wanted = float_dtype("binomial", dtype)
    shape = result_shape("binomial", shape, n, p)
    return _binomial(key_of("binomial", key), n, p, shape=shape, dtype=wanted)


def multinomial(
    key: Any,
    n: Any,
    p: Any,
    *,
    shape: Any = None,
    dtype: Any = None,
    unroll: int | bool = 1,
) -> Any:
    """How often each outcome occurs in n trials, where p has the outcomes' probabilities along its last axis.

    `shape` is that of the batch, or that of the leading axes of p; float32 unless a dtype is given.

    >>> from covector import numpy as cnp, random
    >>> random.multinomial(random.key(0), 10, cnp.array([0.5, 0.25, 0.25])).sum()
    Array(10., dtype=float32)
    """
    wanted = dtypes.or_default(dtype)
    n, p = together("multinomial", "inexact", n, p)
    if p.ndim < 1:
        raise ValueError(f"multinomial: p has no axes{errors.at_user_line()}; it has at least one")
    batch = p.shape[:-1] if shape is None else shape_of(shape)
    full = result_shape("multinomial", (*batch, p.shape[-1]), p)
    key = key_of("multinomial", key)
    return _multinomial(key, n, p, shape=full, dtype=wanted, unroll=unroll)


@fused("shape", "dtype", "unroll")
def _multinomial(
    key: Any, n: Any, p: Any, shape: Shape, dtype: np.dtype, unroll: int | bool
) -> Any:
    n = spread(n, shape[:-1])
    p = moveaxis(spread(p, shape), -1, 0)
    rest = cumsum(p, 0, reverse=True)
    ratios = el.divide(p, where(el.equal(rest, 0), 1.0, rest))

    def outcome(left: Any, of: Any) -> tuple[Any, Any]:
        ratio, key = of
        count = _binomial(key, left, clip(ratio, 0.0, 1.0), shape=shape[:-1], dtype=left.dtype)
        return el.subtract(left, count), count

    _, counts = scan(outcome, n, (ratios, split_key(key, (shape[-1],))), unroll=unroll)
    return converted(moveaxis(counts, 0, -1), dtype)


def geometric(
    key: Any, p: Any, shape: Any = None, dtype: Any = None, *, out_sharding: Any = None
) -> Any:
    """How many trials it takes until one succeeds, each with the probability p.

    Of `shape`, or of that of p; int32 unless a dtype is given.  TypeError for a dtype that is no integer's.

    >>> from covector import random
    >>> random.geometric(random.key(0), 0.5, (2,)).dtype
    dtype('int32')
    """
    wanted = int_dtype("geometric", dtype)
    (p,) = together("geometric", "inexact", p)
    u = uniform(key, result_shape("geometric", shape, p), p.dtype)
    logs = el.log(where(el.equal(u, 0), 1.0, u))
    waited = el.floor(el.divide(logs, el.log1p(el.negative(p))))
    return converted(el.add(waited, 1), wanted)
