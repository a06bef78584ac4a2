"""The gamma distribution, and those that are made of it: beta, Dirichlet, chi-square, F, Student's t, and balls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from covector._engine import primitives as prims
from covector._engine.api.transforms import vmap
from covector._engine.base import errors
from covector._engine.base.record import record
from covector._engine.control.composite import Composite
from covector._engine.control.open import own
from covector._engine.core.symbolic import Zero
from covector._engine.types import dtypes
from covector._engine.types.avals import ShapedArray
from covector._engine.types.dims import Dim
from covector.lax.control_flow import map as map_
from covector.lax.loops import while_loop
from covector.numpy import elementwise as el, reduce
from covector.numpy.creation import zeros_like
from covector.numpy.fused import fused
from covector.numpy.promotion import Shape, cast, integer_of, lift, shape_of, spread
from covector.numpy.shape import expand_dims, reshape
from covector.random.distributions import exponential
from covector.random.generators import THREEFRY, Generator
from covector.random.keys import Key, key_of, split_key
from covector.random.samplers import (
    float_dtype,
    normal_floats,
    rademacher,
    result_shape,
    split_in,
    uniform_floats,
)

__all__ = [
    "ball",
    "beta",
    "chisquare",
    "dirichlet",
    "f",
    "gamma",
    "generalized_normal",
    "loggamma",
    "random_gamma_p",
    "t",
]


@record
class RandomGamma(Composite):
    """Samples of the gamma distribution, or their logarithms.  Operands: words of keys, parameters a.

    The derivative in a is that of the sample at the same quantile (M. Figurnov, S. Mohamed, A. Mnih, "Implicit
    reparameterization gradients", 2018).
    """

    log_space: bool
    generator: Generator = THREEFRY
    name: ClassVar[str] = "random_gamma"

    def type(self, words: ShapedArray, a: ShapedArray) -> ShapedArray:
        return ShapedArray(a.shape, a.dtype)

    def compute(self, words: Any, a: Any) -> Any:
        keys = Key(reshape(words, (a.size, self.generator.length)), self.generator)
        flat = reshape(a, (a.size,))
        if self.generator is THREEFRY:
            samples = vmap(lambda k, p: _sample(k, p, self.log_space))(keys, flat)
        else:  # one by one: under `vmap` the bits of others depend on the first key alone
            samples = map_(lambda t: _sample(t[0], t[1], self.log_space), (keys, flat))
        return reshape(samples, a.shape)

    def batch(self, args: Sequence[Any], dims: Sequence[int | None], size: Dim) -> tuple[Any, Any]:
        words, a = (prims.batch_to_front(x, d, size) for x, d in zip(args, dims, strict=True))
        return self(words, a), 0

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        (words, a), (_, t) = primals, tangents
        out = self(words, a)
        if type(t) is Zero:
            return out, Zero(out)
        if not self.log_space:
            return out, prims.mul(t, prims.random_gamma_grad(a, out))
        # d log(x) = d x / x, where x may have been too small for its dtype
        x = prims.maximum(prims.exp(out), a.dtype.type(dtypes.finfo(a.dtype).tiny))
        return out, prims.mul(t, prims.div(prims.random_gamma_grad(a, x), x))


random_gamma_p = own(RandomGamma.name, RandomGamma)


def _sample(key: Any, a: Any, log_space: bool) -> Any:
    """One sample, under a key of its own.

    G. Marsaglia, W. Tsang, "A simple method for generating gamma variables", 2000: d v with v = (1 + c x)^3 and x
    normal, accepted by a squeeze or exactly.  With a < 1 it is a sample for a + 1 times u^(1/a).
    """
    dtype = a.dtype
    one, third = dtype.type(1), dtype.type(1 / 3)
    large = prims.ge(a, one)
    d = prims.sub(prims.select(large, a, prims.add(a, one)), third)
    c = prims.div(third, prims.sqrt(d))

    def propose(state: Any) -> Any:
        key, now = split_in(state[0])
        x = normal_floats(now, (), dtype)
        return key, x, prims.add(one, prims.mul(x, c))

    def turn(state: Any) -> Any:
        key, for_x, for_u = split_in(state[0], 3)
        zero = zeros_like(a)
        start = (for_x, zero, prims.sub(zero, one))
        _, x, v = while_loop(lambda s: prims.le(s[2], dtype.type(0)), propose, start)
        cube = prims.mul(prims.mul(v, v), v)
        return key, prims.mul(x, x), cube, uniform_floats(for_u, (), dtype, 0.0, 1.0)

    def rejected(state: Any) -> Any:
        _, square, cube, u = state
        outside = prims.ge(
            u, prims.sub(one, prims.mul(dtype.type(0.0331), prims.mul(square, square)))
        )
        exact = prims.mul(d, prims.add(prims.sub(one, cube), prims.log(cube)))
        bound = prims.add(prims.mul(square, dtype.type(0.5)), exact)
        return prims.and_(outside, prims.ge(prims.log(u), bound))

    key, for_boost = split_in(key)
    zero = zeros_like(a)
    ones = prims.add(zero, one)
    _, _, cube, _ = while_loop(rejected, turn, (key, zero, ones, prims.add(ones, one)))
    u = uniform_floats(for_boost, (), dtype, 0.0, 1.0)
    inverse = prims.div(one, a)
    if log_space:
        log_u = prims.log1p(prims.neg(u))
        none = prims.or_(large, prims.eq(log_u, dtype.type(0)))
        boost = prims.select(none, dtype.type(0), prims.mul(log_u, inverse))
        return prims.add(prims.add(prims.log(d), prims.log(cube)), boost)
    boost = prims.select(large, one, prims.pow_(prims.sub(one, u), inverse))
    return prims.mul(prims.mul(d, cube), boost)


def gamma_floats(key: Any, a: Any, shape: Shape, dtype: np.dtype, log_space: bool) -> Any:
    """Samples, or their logarithms, of a shape that the parameters broadcast to."""
    a = spread(lift("gamma", cast(a, dtype)), shape)
    return RandomGamma(log_space, key.generator)(split_key(key, (a.size,)).words, a)


_gamma = fused("shape", "dtype", "log_space")(gamma_floats)


def exactly(name: str, method: str) -> None:
    """NotImplementedError for the samplers that are quick and nearly right."""
    if method == "exact":
        return
    if method != "approximate":
        raise ValueError(f"{name}: method is {method!r}{errors.at_user_line()}; it is 'exact'")
    raise NotImplementedError(
        f"{name} with method='approximate'{errors.at_user_line()}; there is 'exact'"
    )


def gamma(
    key: Any,
    a: Any,
    shape: Any = None,
    dtype: Any = None,
    *,
    method: str = "exact",
    out_sharding: Any = None,
) -> Any:
    """Numbers with the gamma distribution of the parameter a.

    Of `shape`, or of that of a; float32 unless a dtype is given.  Differentiable in a.  ValueError for a dtype that is
    no float.

    >>> from covector import random
    >>> random.gamma(random.key(0), 3.0, (2,)).shape
    (2,)
    """
    exactly("gamma", method)
    wanted = float_dtype("gamma", dtype)
    shape = result_shape("gamma", shape, a)
    return _gamma(key_of("gamma", key), a, shape=shape, dtype=wanted, log_space=False)


def loggamma(
    key: Any,
    a: Any,
    shape: Any = None,
    dtype: Any = None,
    *,
    method: str = "exact",
    out_sharding: Any = None,
) -> Any:
    """The logarithms of numbers with the gamma distribution, which for a small a may be too small themselves.

    Of `shape`, or of that of a; float32 unless a dtype is given.  ValueError for a dtype that is no float.

    >>> from covector import random
    >>> random.loggamma(random.key(0), 0.001, (2,)).shape
    (2,)
    """
    exactly("loggamma", method)
    wanted = float_dtype("loggamma", dtype)
    shape = result_shape("loggamma", shape, a)
    return _gamma(key_of("loggamma", key), a, shape=shape, dtype=wanted, log_space=True)


@fused("shape", "dtype")
def _beta(key: Any, a: Any, b: Any, shape: Shape, dtype: np.dtype) -> Any:
    """x / (x + y) of two gamma samples, scaled by the larger one."""
    x, y = (
        gamma_floats(w, p, shape, dtype, True) for w, p in zip(split_in(key), (a, b), strict=True)
    )
    top = prims.maximum(x, y)
    x, y = (prims.exp(prims.sub(p, top)) for p in (x, y))
    return prims.div(x, prims.add(x, y))


def beta(
    key: Any,
    a: Any,
    b: Any,
    shape: Any = None,
    dtype: Any = None,
    *,
    method: str = "exact",
    out_sharding: Any = None,
) -> Any:
    """Numbers with the beta distribution of the parameters a and b.

    Of `shape`, or of that of a and b; float32 unless a dtype is given.  ValueError for a dtype that is no float.

    >>> from covector import random
    >>> random.beta(random.key(0), 2.0, 3.0, (2,)).shape
    (2,)
    """
    exactly("beta", method)
    wanted = float_dtype("beta", dtype)
    shape = result_shape("beta", shape, a, b)
    return _beta(key_of("beta", key), a, b, shape=shape, dtype=wanted)


@fused("shape", "dtype")
def _dirichlet(key: Any, alpha: Any, shape: Shape, dtype: np.dtype) -> Any:
    logs = gamma_floats(key, alpha, shape, dtype, True)
    terms = el.exp(el.subtract(logs, reduce.max(logs, -1, keepdims=True)))
    return el.divide(terms, reduce.sum(terms, -1, keepdims=True))


def dirichlet(
    key: Any, alpha: Any, shape: Any = None, dtype: Any = None, *, out_sharding: Any = None
) -> Any:
    """Vectors with the Dirichlet distribution of the parameters alpha, which lie along its last axis.

    `shape` is that of the batch of vectors, or that of the leading axes of alpha; float32 unless a dtype is given.
    ValueError for an alpha without axes and for a dtype that is no float.

    >>> from covector import numpy as cnp, random
    >>> random.dirichlet(random.key(0), cnp.ones(3), (2,)).shape
    (2, 3)
    """
    wanted = float_dtype("dirichlet", dtype)
    alpha = lift("dirichlet", alpha)
    if alpha.ndim < 1:
        raise ValueError(
            f"dirichlet: alpha has no axes{errors.at_user_line()}; it has at least one"
        )
    own_shape = alpha.shape[:-1] if shape is None else shape_of(shape)
    full = result_shape("dirichlet", (*own_shape, alpha.shape[-1]), alpha)
    return _dirichlet(key_of("dirichlet", key), alpha, shape=full, dtype=wanted)


@fused("shape", "dtype")
def _chisquare(key: Any, df: Any, shape: Shape, dtype: np.dtype) -> Any:
    half = prims.div(lift("chisquare", cast(df, dtype)), dtype.type(2))
    logs = gamma_floats(key, half, shape, dtype, True)
    return prims.mul(prims.exp(logs), dtype.type(2))


def chisquare(
    key: Any,
    df: Any,
    shape: Any = None,
    dtype: Any = None,
    *,
    method: str = "exact",
    out_sharding: Any = None,
) -> Any:
    """Numbers with the chi-square distribution of `df` degrees of freedom.

    Of `shape`, or of that of df; float32 unless a dtype is given.  ValueError for a dtype that is no float.

    >>> from covector import random
    >>> random.chisquare(random.key(0), 4.0, (2,)).shape
    (2,)
    """
    exactly("chisquare", method)
    wanted = float_dtype("chisquare", dtype)
    shape = result_shape("chisquare", shape, df)
    return _chisquare(key_of("chisquare", key), df, shape=shape, dtype=wanted)


def f(
    key: Any,
    dfnum: Any,
    dfden: Any,
    shape: Any = None,
    dtype: Any = None,
    *,
    out_sharding: Any = None,
) -> Any:
    """Numbers with the F distribution of `dfnum` and `dfden` degrees of freedom.

    Of `shape`, or of that of the parameters; float32 unless a dtype is given.  ValueError for a dtype that is no float.

    >>> from covector import random
    >>> random.f(random.key(0), 4.0, 6.0, (2,)).shape
    (2,)
    """
    wanted = float_dtype("f", dtype)
    shape = result_shape("f", shape, dfnum, dfden)
    below, above = split_in(key_of("f", key))
    parts = [
        el.divide(_chisquare(key, df, shape=shape, dtype=wanted), cast(df, wanted))
        for key, df in ((above, dfnum), (below, dfden))
    ]
    return el.divide(*parts)


@fused("shape", "dtype")
def _t(key: Any, df: Any, shape: Shape, dtype: np.dtype) -> Any:
    for_normal, for_gamma = split_in(key)
    half = prims.div(lift("t", cast(df, dtype)), dtype.type(2))
    n = normal_floats(for_normal, shape, dtype)
    g = gamma_floats(for_gamma, half, shape, dtype, False)
    return prims.mul(n, prims.sqrt(prims.div(spread(half, shape), g)))


def t(key: Any, df: Any, shape: Any = None, dtype: Any = None, *, out_sharding: Any = None) -> Any:
    """Numbers with Student's t distribution of `df` degrees of freedom.

    Of `shape`, or of that of df; float32 unless a dtype is given.  ValueError for a dtype that is no float.

    >>> from covector import random
    >>> random.t(random.key(0), 5.0, (2,)).shape
    (2,)
    """
    wanted = float_dtype("t", dtype)
    shape = result_shape("t", shape, df)
    return _t(key_of("t", key), df, shape=shape, dtype=wanted)


def generalized_normal(
    key: Any, p: Any, shape: Any = (), dtype: Any = None, *, out_sharding: Any = None
) -> Any:
    """Numbers with the density proportional to exp(-|x|^p).

    float32 unless a dtype is given.  ValueError for a dtype that is no float.

    >>> from covector import random
    >>> random.generalized_normal(random.key(0), 3.0, (2,)).shape
    (2,)
    """
    wanted = float_dtype("generalized_normal", dtype)
    shape = result_shape("generalized_normal", shape, p)
    sizes, signs = split_in(key_of("generalized_normal", key))
    inverse = el.divide(1.0, cast(p, wanted))
    g = _gamma(sizes, inverse, shape=shape, dtype=wanted, log_space=False)
    return el.multiply(rademacher(signs, shape, wanted), el.power(g, inverse))


def ball(
    key: Any, d: int, p: Any = 2, shape: Any = (), dtype: Any = None, *, out_sharding: Any = None
) -> Any:
    """Points spread evenly over the unit ball of dimension d in the p-norm, along a last axis.

    float32 unless a dtype is given.  ValueError for a dtype that is no float, TypeError for a d that is no integer.

    F. Barthe and others, "A probabilistic approach to the geometry of the l_p^n ball", 2005.

    >>> from covector import random
    >>> random.ball(random.key(0), 3, shape=(2,)).shape
    (2, 3)
    """
    wanted = float_dtype("ball", dtype)
    shape, d = shape_of(shape), integer_of(d, "d of ball")
    for_points, for_radius = split_in(key_of("ball", key))
    points = generalized_normal(for_points, p, (*shape, d), wanted)
    power = cast(p, wanted)
    total = reduce.sum(el.power(el.absolute(points), power), -1)
    norm = el.power(el.add(total, exponential(for_radius, shape, wanted)), el.divide(1.0, power))
    return el.divide(points, expand_dims(norm, -1))
