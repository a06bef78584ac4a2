"""Special functions: names and meanings are those of `jax.scipy.special`.

Integers and bool count as floats; complex numbers are taken where it says so.  How exact they are is in
docs/accuracy.md.
"""

from __future__ import annotations

import functools
import math
from fractions import Fraction
from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.base.public import publish
from covector._engine.types import dtypes
from covector.nn.functions import log_softmax as _log_softmax, logsumexp, softmax as _softmax
from covector.numpy import arithmetic, elementwise as el
from covector.numpy.operands import converted, together
from covector.numpy.promotion import from_numpy, integer_of
from covector.numpy.selection import where
from covector.numpy.ufunc import ALL_KINDS, WITH_AXES, elementwise, like, refuse
from covector.scipy import complex_gamma, hypergeometric
from covector.scipy.examples import EXAMPLES
from covector.scipy.waves import bessel_jn, sph_harm_y, wofz

__all__ = [
    "bernoulli",
    "bessel_jn",
    "beta",
    "betainc",
    "betaln",
    "boxcox",
    "boxcox1p",
    "comb",
    "dawsn",
    "digamma",
    "entr",
    "erf",
    "erfc",
    "erfcinv",
    "erfcx",
    "erfinv",
    "exp1",
    "expi",
    "expit",
    "expn",
    "factorial",
    "fresnel",
    "gamma",
    "gammainc",
    "gammaincc",
    "gammaln",
    "gammasgn",
    "hyp1f1",
    "hyp2f1",
    "i0",
    "i0e",
    "i1",
    "i1e",
    "kl_div",
    "log_ndtr",
    "log_softmax",
    "loggamma",
    "logit",
    "logsumexp",
    "multigammaln",
    "ndtr",
    "ndtri",
    "owens_t",
    "poch",
    "polygamma",
    "rel_entr",
    "sici",
    "softmax",
    "spence",
    "sph_harm_y",
    "wofz",
    "xlog1py",
    "xlogy",
    "zeta",
]

_ROOT_HALF = math.sqrt(0.5)


def _function(
    name: str,
    recipe: Any,
    parameters: str,
    doc: str,
    strong: bool | str = False,
    complex: bool = False,
) -> Any:
    """A ufunc of floats with these parameters, and its example; `strong` as `elementwise` says, or of all kinds.

    Of complex numbers too, if it is said.
    """

    def of_floats(*xs: Any) -> Any:
        for x in xs:
            if dtypes.is_complex(x.dtype):
                raise refuse(name, x)
        return recipe(*xs)

    nin = parameters.count(",") + 1
    made = elementwise(
        name,
        recipe if complex else of_floats,
        "inexact",
        nin,
        doc,
        EXAMPLES.get(name, ""),
        parameters,
        strong if isinstance(strong, str) else ALL_KINDS if strong else "",
    )
    made.__module__ = __name__  # where pickle finds it
    return made


def _choose(cases: list[tuple[Any, Any]], last: Any) -> Any:
    """The first value whose condition holds, or the last one."""
    for condition, value in reversed(cases):
        last = prims.select(condition, value, last)
    return last


# ---------------------------------------------------------------------------------- gamma and beta


def _wide(recipe: Any) -> Any:
    """The recipe in float64, for operands of less: what goes through a large logarithm loses digits."""

    def steps(*xs: Any) -> Any:
        dtype = xs[0].dtype
        to = dtypes.complex128 if dtypes.is_complex(dtype) else dtypes.float64
        if dtype == to:
            return recipe(*xs)
        wide = [prims.convert(x, to) for x in xs]
        return prims.convert(recipe(*wide), dtype)

    return steps


def _at_least_float32(x: Any) -> Any:
    return x if x.dtype.itemsize >= 4 else prims.convert(x, dtypes.float32)


def _gammasgn(x: Any) -> Any:
    """1 or -1; NaN at the poles, where a zero has its own sign."""
    floor = prims.floor(x)
    half = prims.mul(floor, 0.5)
    odd = prims.ne(prims.floor(half), half)
    one = like(x, 1)
    pole = prims.and_(prims.eq(floor, x), prims.lt(x, 0.0))
    sign = prims.select(prims.and_(prims.lt(x, 0.0), odd), prims.neg(one), one)
    sign = prims.select(prims.eq(x, 0.0), prims.sign(prims.div(one, x)), sign)
    return prims.select(prims.or_(pole, prims.ne(x, x)), like(x, np.nan), sign)


def _gamma(x: Any) -> Any:
    if dtypes.is_complex(x.dtype):
        return complex_gamma.gamma(x)
    return prims.mul(_gammasgn(x), prims.exp(prims.lgamma(x)))


def _loggamma(x: Any) -> Any:
    if dtypes.is_complex(x.dtype):
        return _wide(complex_gamma.log_gamma)(x)
    return prims.select(prims.lt(x, 0.0), like(x, np.nan), prims.lgamma(x))


def _betaln(a: Any, b: Any) -> Any:
    return prims.sub(prims.add(prims.lgamma(a), prims.lgamma(b)), prims.lgamma(prims.add(a, b)))


def _beta(a: Any, b: Any) -> Any:
    sign = prims.mul(prims.mul(_gammasgn(a), _gammasgn(b)), _gammasgn(prims.add(a, b)))
    return prims.mul(sign, prims.exp(_betaln(a, b)))


def _poch(z: Any, m: Any) -> Any:
    """Γ(z + m) / Γ(z), which is 1 for m = 0, and 0 where only Γ(z) has a pole."""
    total = prims.add(z, m)
    pole, above = (prims.and_(prims.le(x, 0.0), prims.eq(prims.floor(x), x)) for x in (z, total))
    one = like(z, 1)
    safe_z, safe_total = (prims.select(p, one, x) for p, x in ((pole, z), (above, total)))
    sign = prims.mul(_gammasgn(safe_total), _gammasgn(safe_z))
    usual = prims.mul(sign, prims.exp(prims.sub(prims.lgamma(safe_total), prims.lgamma(safe_z))))
    no_number = prims.ne(prims.sub(z, z), 0.0)
    return _choose(
        [
            (prims.and_(prims.or_(pole, no_number), prims.eq(m, 0.0)), one),
            (above, like(z, np.nan)),
            (prims.and_(pole, prims.eq(total, total)), like(z, 0)),
        ],
        usual,
    )


digamma = _function("digamma", prims.digamma, "x", "The derivative of log Γ(x).")
gammaln = _function("gammaln", prims.lgamma, "x", "log |Γ(x)|.")
loggamma = _function(
    "loggamma",
    _loggamma,
    "x",
    "log Γ(x); NaN for negative real numbers, of complex ones analytic but there.",
    complex=True,
)
gammasgn = _function(
    "gammasgn", _gammasgn, "x", "The sign of Γ(x); NaN at negative whole numbers.", strong=True
)
gamma = _function("gamma", _wide(_gamma), "x", "The gamma function.", strong=True, complex=True)
polygamma = _function("polygamma", prims.polygamma, "n, x", "The n-th derivative of digamma at x.")
gammainc = _function(
    "gammainc", prims.igamma, "a, x", "The regularised lower incomplete gamma function P(a, x)."
)
gammaincc = _function("gammaincc", prims.igammac, "a, x", "1 - gammainc(a, x).")
betaln = _function("betaln", _wide(_betaln), "a, b", "log |B(a, b)|.")
beta = _function(
    "beta", _wide(_beta), "a, b", "The beta function Γ(a) Γ(b) / Γ(a + b).", strong=True
)
betainc = _function(
    "betainc", prims.betainc, "a, b, x", "The regularised incomplete beta function."
)
poch = _function("poch", _wide(_poch), "z, m", "Pochhammer's symbol Γ(z + m) / Γ(z).", strong=True)
hyp1f1 = _function(
    "hyp1f1", hypergeometric.hyp1f1, "a, b, x", "Kummer's hypergeometric function.", strong=True
)
hyp2f1 = _function(
    "hyp2f1",
    hypergeometric.hyp2f1,
    "a, b, c, x",
    "Gauss's hypergeometric function, for x up to 1.",
    strong=True,
)


def zeta(x: Any, q: Any = None) -> Any:
    """The Hurwitz zeta function Σ (q + n)^-x over n >= 0; Riemann's, with q = 1, if there is no q.

    >>> from covector.scipy import special
    >>> special.zeta(2.0)
    Array(1.644934, dtype=float32, weak_type=True)
    """
    return _zeta(x, 1.0 if q is None else q)


_zeta = _function("zeta", prims.zeta, "x, q", "The Hurwitz zeta function.")


def factorial(n: Any, exact: bool = False) -> Any:
    """Γ(n + 1), and 0 for negative n.  NotImplementedError for `exact` integers.

    >>> from covector.scipy import special
    >>> special.factorial(5.0)
    Array(120., dtype=float32, weak_type=True)
    """
    if exact:
        raise NotImplementedError(f"factorial with exact=True{errors.at_user_line()}")
    return _factorial(n)


def _factorial_of(n: Any) -> Any:
    negative = prims.lt(n, 0.0)
    safe = prims.select(negative, like(n, 0), n)
    return prims.select(negative, like(n, 0), prims.exp(prims.lgamma(prims.add(safe, 1.0))))


_factorial = _function("factorial", _wide(_factorial_of), "x", "Γ(n + 1), and 0 for negative n.")


def comb(N: Any, k: Any, *, repetition: bool = False) -> Any:
    """How many ways there are to choose k of N things, or with repetition; 0 where there are none.

    >>> from covector.scipy import special
    >>> special.comb(5, 2).item()
    10.0
    """
    if repetition:
        return comb(el.subtract(el.add(N, k), 1), k)
    return _comb(N, k)


def _comb_of(n: Any, k: Any) -> Any:
    valid = prims.and_(prims.and_(prims.ge(n, 0.0), prims.ge(k, 0.0)), prims.le(k, n))
    zero, one = like(n, 0), like(n, 1)
    safe_n, safe_k = prims.select(valid, n, one), prims.select(valid, k, zero)
    parts = prims.add(
        prims.lgamma(prims.add(safe_k, 1.0)),
        prims.lgamma(prims.add(prims.sub(safe_n, safe_k), 1.0)),
    )
    found = prims.exp(prims.sub(prims.lgamma(prims.add(safe_n, 1.0)), parts))
    return prims.select(valid, found, zero)


_comb = _function(
    "comb", _wide(_comb_of), "n, k", "How many ways there are to choose k of n things."
)


def multigammaln(a: Any, d: Any) -> Any:
    """log of the multivariate gamma function of dimension d, a whole number that must be concrete.

    >>> from covector.scipy import special
    >>> special.multigammaln(2.0, 1).item()
    0.0
    """
    d = integer_of(d, "d of multigammaln")
    (a,) = together("multigammaln", "inexact", a)
    parts = [gammaln(el.subtract(a, j / 2)) for j in range(d)]
    total = functools.reduce(el.add, parts, d * (d - 1) / 4 * math.log(math.pi))
    total = total if parts else el.multiply(a, 0.0)
    return converted(total, total.dtype)


def bernoulli(n: int) -> Any:
    """The Bernoulli numbers B_0 to B_n.  ValueError for a negative n.

    >>> from covector.scipy import special
    >>> special.bernoulli(4)
    Array([ 1.        , -0.5       ,  0.16666667,  0.        , -0.03333334],      dtype=float32)
    """
    n = integer_of(n, "n of bernoulli")
    if n < 0:
        raise ValueError(f"bernoulli: n is {n}{errors.at_user_line()}; it must not be negative")
    return from_numpy(
        "bernoulli", np.array([float(b) for b in _bernoulli(n)]), dtypes.of_number(float)
    )


@functools.cache
def _bernoulli(n: int) -> tuple[Fraction, ...]:
    """Exactly, by the recurrence Σ_k binomial(m + 1, k) B_k = 0."""
    found = [Fraction(1)]
    for m in range(1, n + 1):
        total = sum((math.comb(m + 1, k) * b for k, b in enumerate(found)), Fraction(0))
        found.append(-total / (m + 1))
    return tuple(found)


# --------------------------------------------------------------------- normal probabilities, entropy


def _ndtr(x: Any) -> Any:
    return prims.mul(prims.erfc(prims.mul(x, -_ROOT_HALF)), 0.5)


def _ndtri(p: Any) -> Any:
    return prims.sub(0.0, prims.mul(prims.erfc_inv(prims.mul(p, 2.0)), math.sqrt(2)))


def _log_ndtr(x: Any) -> Any:
    """By erfcx for negative x, where the probability may be no number."""
    low = prims.lt(x, -1.0)
    one = like(x, 1)
    below = prims.mul(prims.select(low, x, prims.neg(one)), -_ROOT_HALF)
    tail = prims.sub(prims.log(prims.mul(prims.erfcx(below), 0.5)), prims.square(below))
    above = prims.mul(prims.select(low, one, x), _ROOT_HALF)
    usual = prims.log1p(prims.mul(prims.erfc(above), -0.5))
    return prims.select(low, tail, usual)


def _logit(x: Any) -> Any:
    return prims.sub(prims.log(x), prims.log1p(prims.neg(x)))


def _kl_div(p: Any, q: Any) -> Any:
    """q where p is 0, though p - p has a slope."""
    usual = prims.add(prims.rel_entr(p, q), prims.sub(q, p))
    zero = prims.and_(prims.eq(p, 0.0), prims.ge(q, 0.0))
    number = prims.and_(prims.eq(p, p), prims.eq(q, q))
    outside = prims.and_(number, prims.or_(prims.le(p, 0.0), prims.le(q, 0.0)))
    return _choose([(zero, q), (outside, like(p, np.inf))], usual)


def _boxcox(x: Any, lmbda: Any, log: Any) -> Any:
    """(x^λ - 1) / λ, and log(x) for λ = 0."""
    zero = prims.eq(lmbda, 0.0)
    log_x = log(x)
    safe = prims.select(zero, like(lmbda, 1), lmbda)
    scaled = prims.select(zero, like(lmbda, 0), prims.mul(safe, log_x))
    return prims.select(zero, log_x, prims.div(prims.expm1(scaled), safe))


ndtr = _function("ndtr", _ndtr, "x", "The standard normal distribution function.", strong=True)
ndtri = _function("ndtri", _ndtri, "p", "The inverse of `ndtr`.", strong=True)
_log_ndtr_of = _function(
    "log_ndtr", _log_ndtr, "x", "log(ndtr(x)), exact where ndtr(x) is tiny too.", strong=True
)
logit = _function("logit", _logit, "x", "log(x / (1 - x)).", strong=WITH_AXES, complex=True)
expit = _function("expit", prims.logistic, "x", "1 / (1 + exp(-x)).", complex=True)
entr = _function("entr", prims.entr, "x", "-x log(x): 0 at 0, -inf below.")
kl_div = _function("kl_div", _kl_div, "p, q", "p log(p / q) - p + q.", strong=WITH_AXES)
rel_entr = _function(
    "rel_entr",
    prims.rel_entr,
    "p, q",
    "p log(p / q): 0 for p = 0, inf where there is none.",
    strong=WITH_AXES,
)
xlogy = _function(
    "xlogy",
    prims.xlogy,
    "x, y",
    "x log(y), and 0 where x is 0.",
    complex=True,
)
xlog1py = _function(
    "xlog1py",
    prims.xlog1py,
    "x, y",
    "x log(1 + y), and 0 where x is 0.",
    complex=True,
)
boxcox = _function(
    "boxcox",
    lambda x, lmbda: _boxcox(x, lmbda, prims.log),
    "x, lmbda",
    "(x^λ - 1) / λ; log(x) for λ = 0.",
)
boxcox1p = _function(
    "boxcox1p",
    lambda x, lmbda: _boxcox(x, lmbda, prims.log1p),
    "x, lmbda",
    "((1 + x)^λ - 1) / λ; log(1 + x) for λ = 0.",
)


def log_ndtr(x: Any, series_order: int = 3) -> Any:
    """log(ndtr(x)), exact where ndtr(x) is tiny too.  `series_order` has no meaning here, as no series is cut off.

    >>> from covector.scipy import special
    >>> special.log_ndtr(-40.0)
    Array(-804.60846, dtype=float32)
    """
    return _log_ndtr_of(x)


# ------------------------------------------------------------------------- error function, integrals

erf = _function("erf", prims.erf, "x", "The error function.")
erfc = _function("erfc", prims.erfc, "x", "1 - erf(x), exact for large x too.")
erfinv = _function("erfinv", prims.erf_inv, "x", "The inverse of the error function.")
erfcinv = _function(
    "erfcinv", prims.erfc_inv, "y", "The inverse of `erfc`, exact for small x too.", strong=True
)
erfcx = _function(
    "erfcx",
    lambda x: wofz(prims.mul(x, like(x, 1j))) if dtypes.is_complex(x.dtype) else prims.erfcx(x),
    "x",
    "exp(x²) erfc(x).",
    strong=True,
    complex=True,
)
dawsn = _function("dawsn", prims.dawsn, "x", "Dawson's integral.", strong=True)
expi = _function("expi", prims.expi, "x", "The exponential integral Ei(x).", strong=True)
expn = _function("expn", prims.expn, "n, x", "The exponential integral E_n(x).", strong=True)
exp1 = _function(
    "exp1",
    lambda x: prims.expn(like(x, 1), x),
    "x",
    "The exponential integral E_1(x).",
    strong=True,
)
spence = _function("spence", prims.spence, "x", "The dilogarithm of 1 - x.", strong=True)
owens_t = _function(
    "owens_t",
    lambda h, a: prims.owens_t(*[_at_least_float32(x) for x in (h, a)]),
    "h, a",
    "Owen's T function; of 16-bit floats as float32.",
    strong=True,
)
i0 = _function("i0", arithmetic._i0, "x", "The modified Bessel function I0.")
i0e = _function("i0e", prims.bessel_i0e, "x", "exp(-|x|) I0(x).")
i1 = _function(
    "i1",
    arithmetic.bessel_i1,
    "x",
    "The modified Bessel function I1.",
)
i1e = _function("i1e", prims.bessel_i1e, "x", "exp(-|x|) I1(x).")
_sinint = _function("sici", prims.sinint, "x", "The sine integral.", strong=True)
_cosint = _function("sici", prims.cosint, "x", "The cosine integral.", strong=True)
_fresnel_sin = _function(
    "fresnel", prims.fresnel_sin, "x", "The Fresnel sine integral.", strong=True
)
_fresnel_cos = _function(
    "fresnel", prims.fresnel_cos, "x", "The Fresnel cosine integral.", strong=True
)


def sici(x: Any) -> tuple[Any, Any]:
    """The sine and the cosine integral of x: ∫ sin(t) / t, and γ + log |x| + ∫ (cos(t) - 1) / t, from 0 to x.

    The cosine integral of -∞, whose imaginary part is π, is NaN, as in SciPy.

    >>> from covector.scipy import special
    >>> special.sici(1.0)[0]
    Array(0.94608307, dtype=float32)
    """
    (x,) = together("sici", "inexact", x)
    near = where(el.isneginf(x), np.nan, el.absolute(x))
    return _sinint(x), _cosint(near)


def fresnel(x: Any) -> tuple[Any, Any]:
    """The Fresnel integrals of x: ∫ sin(π t² / 2) and ∫ cos(π t² / 2) from 0 to x.

    >>> from covector.scipy import special
    >>> special.fresnel(1.0)[0]
    Array(0.43825915, dtype=float32)
    """
    return _fresnel_sin(x), _fresnel_cos(x)


# ------------------------------------------------------------------------------------------ softmax


def softmax(x: Any, /, *, axis: int | tuple[int, ...] | None = None) -> Any:
    """exp(x) divided by its sum along an axis, or over all elements.

    >>> from covector import numpy as cnp
    >>> from covector.scipy import special
    >>> special.softmax(cnp.array([1.0, 1.0]))
    Array([0.5, 0.5], dtype=float32)
    """
    return _softmax(x, axis)


def log_softmax(x: Any, /, *, axis: int | tuple[int, ...] | None = None) -> Any:
    """The logarithm of `softmax`.

    >>> from covector import numpy as cnp
    >>> from covector.scipy import special
    >>> special.log_softmax(cnp.array([1.0, 1.0]))
    Array([-0.6931472, -0.6931472], dtype=float32)
    """
    return _log_softmax(x, axis)


publish(__name__, arrays=(__name__, "covector.nn.functions"))
