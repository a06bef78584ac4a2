"""Special functions: error, gamma, Bessel, zeta and beta functions."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base.locks import import_late
from covector._engine.core.symbolic import NotDifferentiable
from covector._engine.ir import scalar
from covector._engine.ir.scalar import Expr, call, select as choose
from covector._engine.types import dtypes

__all__ = [
    "bessel_i0e",
    "bessel_i1e",
    "betainc",
    "cosint",
    "dawsn",
    "digamma",
    "entr",
    "erf",
    "erf_inv",
    "erfc",
    "erfc_inv",
    "erfcx",
    "expi",
    "expn",
    "fresnel_cos",
    "fresnel_sin",
    "hyp1f1",
    "hyp2f1",
    "igamma",
    "igamma_grad_a",
    "igammac",
    "lgamma",
    "owens_t",
    "polygamma",
    "random_gamma_grad",
    "rel_entr",
    "sinint",
    "spence",
    "xlog1py",
    "xlogy",
    "zeta",
]


@cache
def _scipy(name: str) -> Callable[..., Any]:
    """SciPy's function: the oracle in the tests, which is the only use of SciPy."""
    return getattr(import_late("scipy.special"), name)


def _function(
    name: str, numpy: str | Callable[..., Any], *push: prims.PartialRule
) -> prims.Elementwise:
    """A function of floats, computed by the function of the same name."""
    meaning = (lambda *xs: _scipy(numpy)(*xs)) if isinstance(numpy, str) else numpy
    return prims.Elementwise(name, meaning, push, lambda *xs: call(name, *xs), "f", widen=True)


def _like(x: Any, value: float) -> np.generic:
    return x.dtype.type(value)


_TWO_OVER_ROOT_PI = float(2 / np.sqrt(np.pi))


def _gauss(t: Any, x: Any, factor: float) -> Any:
    """t * factor * exp(-x²), which is 0 in all formats from 30 on: so are its derivatives, at infinity too."""
    inside = prims.select(prims.gt(prims.abs_(x), 30.0), 30.0, x)
    return prims.mul(t, prims.mul(prims.exp(prims.neg(prims.square(inside))), factor))


erf = _function("erf", "erf", lambda t, y, x: _gauss(t, x, _TWO_OVER_ROOT_PI))
erfc = _function("erfc", "erfc", lambda t, y, x: _gauss(t, x, -_TWO_OVER_ROOT_PI))
erf_inv = _function(
    "erf_inv",
    "erfinv",
    lambda t, y, x: prims.mul(t, prims.mul(prims.exp(prims.square(y)), 1 / _TWO_OVER_ROOT_PI)),
)
lgamma = _function("lgamma", "gammaln", lambda t, y, x: prims.mul(t, digamma(x)))
digamma = _function("digamma", "digamma", lambda t, y, x: prims.mul(t, polygamma(1.0, x)))


def _numpy_polygamma(n: Any, x: Any) -> Any:
    return _scipy("polygamma")(n.astype(np.int64), x)


polygamma = _function(
    "polygamma",
    _numpy_polygamma,
    NotDifferentiable("n", "n is an order, and only whole numbers are orders"),
    lambda t, y, n, x: prims.mul(t, polygamma(prims.add(n, 1.0), x)),
)
# B_2j / (2j)! for j = 1, 2, ...: the corrections of the sum of Euler and Maclaurin.
_CORRECTIONS = (
    1 / 12,
    -1 / 720,
    1 / 30240,
    -1 / 1209600,
    1 / 47900160,
    -691 / 1307674368000,
    1 / 74724249600,
    -3617 / 10670622842880000,
    43867 / 5109094217170944000,
)
_BY_ITSELF = 12  # terms that are added up before the integral


def _zeta_slope(s: Any, q: Any) -> Any:
    """The slope of the zeta function in its exponent s, by Euler's and Maclaurin's sum, in float64."""
    dtype = s.dtype
    s, q = prims.convert(s, np.dtype(np.float64)), prims.convert(q, np.dtype(np.float64))
    total: Any = None
    for k in range(_BY_ITSELF):
        log = prims.log(prims.add(q, float(k)))
        term = prims.neg(prims.mul(log, prims.exp(prims.neg(prims.mul(s, log)))))
        total = term if total is None else prims.add(total, term)
    w = prims.add(q, float(_BY_ITSELF))
    log, over = prims.log(w), prims.sub(s, 1.0)
    power = prims.exp(prims.neg(prims.mul(s, log)))  # w^-s
    share = prims.add(prims.div(log, over), prims.div(1.0, prims.square(over)))
    total = prims.sub(total, prims.mul(prims.mul(power, w), share))
    total = prims.sub(total, prims.mul(prims.mul(power, log), 0.5))
    rising, slope = s, 1.0  # s (s + 1) ... (s + 2j - 2), and its slope in s
    power = prims.div(power, w)
    for j, c in enumerate(_CORRECTIONS, 1):
        bent = prims.sub(slope, prims.mul(log, rising))
        total = prims.add(total, prims.mul(prims.mul(power, bent), c))
        for i in (2 * j - 1, 2 * j):
            factor = prims.add(s, float(i))
            slope = prims.add(prims.mul(slope, factor), rising)
            rising = prims.mul(rising, factor)
        power = prims.div(power, prims.square(w))
    return prims.convert(total, dtype)


zeta = _function(
    "zeta",
    "zeta",
    lambda t, y, s, q: prims.mul(t, _zeta_slope(s, q)),
    lambda t, y, s, q: prims.mul(t, prims.neg(prims.mul(s, zeta(prims.add(s, 1.0), q)))),
)
bessel_i1e = _function("bessel_i1e", "i1e", lambda t, y, x: prims.mul(t, _i1e_slope(y, x)))


def _i1e_slope(y: Any, x: Any) -> Any:
    """i0e(x) - y (sign(x) + 1/x), with its limit 1/2 at 0."""
    zero = prims.eq(x, 0.0)
    safe = prims.select(zero, 1.0, x)
    slope = prims.sub(bessel_i0e(x), prims.mul(y, prims.add(prims.sign(x), prims.div(1.0, safe))))
    return prims.select(zero, 0.5, slope)


bessel_i0e = _function(
    "bessel_i0e",
    "i0e",
    lambda t, y, x: prims.mul(t, prims.sub(bessel_i1e(x), prims.mul(prims.sign(x), y))),
)


def _gamma_density(a: Any, x: Any) -> Any:
    """x^(a-1) e^-x / Γ(a): the slope of igamma in x."""
    return prims.exp(prims.sub(prims.sub(prims.mul(prims.sub(a, 1.0), prims.log(x)), x), lgamma(a)))


def _numpy_igamma_grad_a(a: Any, x: Any) -> Any:
    """A central difference in float64 of Richardson's order 4: the oracle is good to about 1e-8."""
    a, x = a.astype(np.float64), x.astype(np.float64)
    h = 1e-3 * np.maximum(a, 1e-3)
    f = _scipy("gammainc")
    return (8 * (f(a + h, x) - f(a - h, x)) - (f(a + 2 * h, x) - f(a - 2 * h, x))) / (12 * h)


igamma_grad_a = _function(
    "igamma_grad_a",
    _numpy_igamma_grad_a,
    NotDifferentiable("a", "the second derivative of igamma in a is not a function of ours"),
    lambda t, y, a, x: prims.mul(
        t, prims.mul(_gamma_density(a, x), prims.sub(prims.log(x), digamma(a)))
    ),
)
igamma = _function(
    "igamma",
    "gammainc",
    lambda t, y, a, x: prims.mul(t, igamma_grad_a(a, x)),
    lambda t, y, a, x: prims.mul(t, _gamma_density(a, x)),
)
igammac = _function(
    "igammac",
    "gammaincc",
    lambda t, y, a, x: prims.neg(prims.mul(t, igamma_grad_a(a, x))),
    lambda t, y, a, x: prims.neg(prims.mul(t, _gamma_density(a, x))),
)


def _beta_density(t: Any, y: Any, a: Any, b: Any, x: Any) -> Any:
    """t x^(a-1) (1-x)^(b-1) / B(a, b)"""
    log_beta = prims.sub(prims.add(lgamma(a), lgamma(b)), lgamma(prims.add(a, b)))
    power = prims.add(
        prims.mul(prims.sub(a, 1.0), prims.log(x)),
        prims.mul(prims.sub(b, 1.0), prims.log1p(prims.neg(x))),
    )
    return prims.mul(t, prims.exp(prims.sub(power, log_beta)))


_NO_SLOPE = "its slope in a and b is not a function of ours"
betainc = _function(
    "betainc",
    "betainc",
    NotDifferentiable("a", _NO_SLOPE),
    NotDifferentiable("b", _NO_SLOPE),
    _beta_density,
)

# ------------------------------------------------- what belongs to the error function, and integrals


def _falling_slope(x: Any, size: Any, near: Callable[[Any], Any], sign: int, factor: float) -> Any:
    """near(x), which loses its digits as `size` grows: there -factor v Σ (2k+1)!! (sign v)^k, v = 1/(2x²)."""
    far = prims.gt(size, _like(x, 10 if x.dtype.itemsize > 4 else 5))
    v = prims.mul(prims.square(prims.div(1.0, prims.select(far, x, 1.0))), 0.5)
    total: Any = _like(x, 1)
    for k in range(10, 0, -1):
        total = prims.add(prims.mul(prims.mul(total, v), float(sign * (2 * k + 1))), 1.0)
    tail = prims.mul(prims.mul(v, total), -factor)
    return prims.select(far, tail, near(prims.select(far, 0.0, x)))


def _erfcx_slope(y: Any, x: Any) -> Any:
    def near(x: Any) -> Any:
        return prims.sub(prims.mul(prims.mul(x, y), 2.0), _TWO_OVER_ROOT_PI)

    return _falling_slope(x, x, near, -1, _TWO_OVER_ROOT_PI)


def _dawsn_slope(y: Any, x: Any) -> Any:
    def near(x: Any) -> Any:
        return prims.sub(1.0, prims.mul(prims.mul(x, y), 2.0))

    return _falling_slope(x, prims.abs_(x), near, 1, 1.0)


erfcx = _function("erfcx", "erfcx", lambda t, y, x: prims.mul(t, _erfcx_slope(y, x)))
erfc_inv = _function(
    "erfc_inv",
    "erfcinv",
    lambda t, y, x: prims.mul(t, prims.mul(prims.exp(prims.square(y)), -1 / _TWO_OVER_ROOT_PI)),
)
dawsn = _function(
    "dawsn",
    "dawsn",
    lambda t, y, x: prims.mul(t, _dawsn_slope(y, x)),
)
expi = _function("expi", "expi", lambda t, y, x: prims.mul(t, prims.div(prims.exp(x), x)))


def _expn_slope(n: Any, x: Any) -> Any:
    """-E_(n-1)(x); E_0 is e^-x / x."""
    first = prims.eq(n, 0.0)
    decay, inverse = prims.exp(prims.neg(x)), prims.div(1.0, x)
    lowest = prims.mul(decay, prims.add(inverse, prims.square(inverse)))
    usual = expn(prims.select(first, 1.0, prims.sub(n, 1.0)), x)
    return prims.neg(prims.select(first, lowest, usual))


expn = _function(
    "expn",
    lambda n, x: _scipy("expn")(n.astype(np.int64), x),
    NotDifferentiable("n", "n is an order, and only whole numbers are orders"),
    lambda t, y, n, x: prims.mul(t, _expn_slope(n, x)),
)


def _sine_quotient(x: Any) -> Any:
    """sin(x) / x, and its limits at 0 and at infinity."""
    zero, far = prims.eq(x, 0.0), prims.eq(prims.abs_(x), np.inf)
    safe = prims.select(prims.or_(zero, far), 1.0, x)
    usual = prims.div(prims.sin(safe), safe)
    return prims.select(zero, 1.0, prims.select(far, 0.0, usual))


sinint = _function(
    "sinint",
    lambda x: _scipy("sici")(x)[0],
    lambda t, y, x: prims.mul(t, _sine_quotient(x)),
)
cosint = _function(
    "cosint",
    lambda x: _scipy("sici")(x)[1],
    lambda t, y, x: prims.mul(t, prims.div(prims.cos(x), x)),
)


def _square_angle(x: Any) -> Any:
    return prims.mul(prims.square(x), float(np.pi / 2))


fresnel_sin = _function(
    "fresnel_sin",
    lambda x: _scipy("fresnel")(x)[0],
    lambda t, y, x: prims.mul(t, prims.sin(_square_angle(x))),
)
fresnel_cos = _function(
    "fresnel_cos",
    lambda x: _scipy("fresnel")(x)[1],
    lambda t, y, x: prims.mul(t, prims.cos(_square_angle(x))),
)


def _spence_slope(x: Any) -> Any:
    """log(x) / (1 - x), which is -1 at 1."""
    one = prims.eq(x, 1.0)
    safe = prims.select(one, 2.0, x)
    return prims.select(one, -1.0, prims.div(prims.log(safe), prims.sub(1.0, safe)))


spence = _function("spence", "spence", lambda t, y, x: prims.mul(t, _spence_slope(x)))


def _owens_slope_in_h(t: Any, y: Any, h: Any, a: Any) -> Any:
    density = prims.exp(prims.mul(prims.square(h), -0.5))
    inside = prims.erf(prims.mul(prims.mul(a, h), float(np.sqrt(0.5))))
    return prims.mul(t, prims.mul(prims.mul(density, inside), float(-1 / np.sqrt(8 * np.pi))))


def _owens_slope_in_a(t: Any, y: Any, h: Any, a: Any) -> Any:
    under = prims.add(prims.square(a), 1.0)
    density = prims.exp(prims.mul(prims.mul(prims.square(h), under), -0.5))
    return prims.mul(t, prims.div(density, prims.mul(under, float(2 * np.pi))))


owens_t = _function("owens_t", "owens_t", _owens_slope_in_h, _owens_slope_in_a)


def _numpy_random_gamma_grad(a: Any, x: Any) -> Any:
    """- d/da P(a, x) / d/dx P(a, x)"""
    a, x = a.astype(np.float64), x.astype(np.float64)
    density = np.exp((a - 1) * np.log(x) - x - _scipy("gammaln")(a))
    return -_numpy_igamma_grad_a(a, x) / density


_NO_GAMMA = "the second derivative of a gamma sample in its parameter is not a function of ours"
random_gamma_grad = _function(
    "random_gamma_grad",
    _numpy_random_gamma_grad,
    NotDifferentiable("a", _NO_GAMMA),
    NotDifferentiable("x", _NO_GAMMA),
)


_NO_PARAMETER = "its slope in the parameters is not a function of ours"


def _hypergeometric(t: Any, slope: Any, *over: Any) -> Any:
    """t times the slope and what it is multiplied by."""
    for factor in over:
        slope = prims.mul(slope, factor)
    return prims.mul(t, slope)


hyp1f1 = _function(
    "hyp1f1",
    "hyp1f1",
    NotDifferentiable("a", _NO_PARAMETER),
    NotDifferentiable("b", _NO_PARAMETER),
    lambda t, y, a, b, x: _hypergeometric(
        t, hyp1f1(prims.add(a, 1.0), prims.add(b, 1.0), x), prims.div(a, b)
    ),
)
hyp2f1 = _function(
    "hyp2f1",
    "hyp2f1",
    NotDifferentiable("a", _NO_PARAMETER),
    NotDifferentiable("b", _NO_PARAMETER),
    NotDifferentiable("c", _NO_PARAMETER),
    lambda t, y, a, b, c, x: _hypergeometric(
        t,
        hyp2f1(prims.add(a, 1.0), prims.add(b, 1.0), prims.add(c, 1.0), x),
        a,
        prims.div(b, c),
    ),
)


# ------------------------------------------------------------------ products with logarithms, entropies


def _product_with(name: str, log: str, inside: Callable[[Any], Any]) -> prims.Elementwise:
    """x log(y), and 0 where x is, unless y is NaN; `inside(y)` is what the logarithm is of, in its slope."""

    def of_reals(x: Expr, y: Expr) -> Expr:
        dtype = x.dtype
        x, y = (scalar.convert(v, dtypes.computed_in(dtype)) for v in (x, y))
        zero = scalar.equal(x, 0) & scalar.equal(y, y)
        return scalar.convert(choose(zero, 0, x * call(log, y)), dtype)

    def of_complex(x: tuple[Expr, Expr], y: tuple[Expr, Expr]) -> tuple[Expr, Expr]:
        zero = scalar.equal(x[0], 0) & scalar.equal(x[1], 0)
        zero = zero & scalar.equal(y[0], y[0]) & scalar.equal(y[1], y[1])
        re, im = scalar.COMPLEX["mul"](x, scalar.COMPLEX[log](y))
        return choose(zero, 0, re), choose(zero, 0, im)

    def slope_in_y(t: Any, z: Any, x: Any, y: Any) -> Any:
        under = inside(y)
        none = prims.and_(prims.eq(x, 0), prims.eq(under, 0))  # 0 / 0: along x = 0 it is 0
        return prims.mul(t, prims.div(x, prims.select(none, 1, under)))

    push = (lambda t, z, x, y: prims.mul(t, getattr(prims, log)(y)), slope_in_y)
    meaning = lambda *xs: _scipy(name)(*xs)  # noqa: E731
    return prims.Elementwise(name, meaning, push, of_reals, "fc", on_complex=of_complex, widen=True)


xlogy = _product_with("xlogy", "log", lambda y: y)
xlog1py = _product_with("xlog1py", "log1p", lambda y: prims.add(y, 1.0))


def _entr_element(x: Expr) -> Expr:
    wide = scalar.convert(x, dtypes.computed_in(x.dtype))
    edge = choose(wide < 0, -np.inf, wide)
    return scalar.convert(choose(wide > 0, -wide * call("log", wide), edge), x.dtype)


# Of negative numbers, which have no entropy, the slope is 0.
entr = prims.Elementwise(
    "entr",
    lambda x: _scipy("entr")(x),
    (
        lambda t, y, x: prims.mul(
            t, prims.select(prims.lt(x, 0.0), 0.0, prims.neg(prims.add(prims.log(x), 1.0)))
        ),
    ),
    _entr_element,
    "f",
    widen=True,
)


def _rel_entr_element(p: Expr, q: Expr) -> Expr:
    dtype = p.dtype
    p, q = (scalar.convert(v, dtypes.computed_in(dtype)) for v in (p, q))
    usual = p * (call("log", p) - call("log", q))
    no_number = scalar.differ(p, p) | scalar.differ(q, q)
    edge = choose(no_number, p + q, np.inf)
    edge = choose(scalar.equal(p, 0) & (q >= 0), 0, edge)
    return scalar.convert(choose((p > 0) & (q > 0), usual, edge), dtype)


def _inside(slope: Callable[[Any, Any], Any], p: Any, q: Any) -> Any:
    """The slope where p and q are positive, and of NaN; 0 elsewhere."""
    number = prims.and_(prims.eq(p, p), prims.eq(q, q))
    out = prims.and_(number, prims.or_(prims.le(p, 0.0), prims.le(q, 0.0)))
    return prims.select(out, 0.0, slope(*(prims.select(out, 1.0, x) for x in (p, q))))


def _slope_in_p(p: Any, q: Any) -> Any:
    return prims.add(prims.sub(prims.log(p), prims.log(q)), 1.0)


rel_entr = prims.Elementwise(
    "rel_entr",
    lambda p, q: _scipy("rel_entr")(p, q),
    (
        lambda t, z, p, q: prims.mul(t, _inside(_slope_in_p, p, q)),
        lambda t, z, p, q: prims.mul(t, _inside(lambda p, q: prims.neg(prims.div(p, q)), p, q)),
    ),
    _rel_entr_element,
    "f",
    widen=True,
)
