"""The error function, its complement and its inverse."""

from __future__ import annotations

from covector._engine.compile.functions.arithmetic import (
    absolute,
    at_most,
    bits,
    copysign,
    fitted,
    format_of,
    from_bits,
    is_single,
    quick_two_sum,
    two_product,
    two_sum,
)
from covector._engine.compile.functions.exponential import log_of_sum, reduce_exp
from covector._engine.compile.functions.table import Function
from covector._engine.ir.scalar import Expr, const, equal, fma, select


def erf(x: Expr) -> Expr:
    """x + x Q(x^2) below 1; 1 - erfc(|x|) above, in float32 with a polynomial for log(erfc)."""
    single = is_single(x)
    a = absolute(x)
    y = a * a
    near = fma(fitted(y, "ERF"), a, a)
    if single:
        b = at_most(a, 3.95)
        exponent = fitted(b, "LOG_ERFC")
        r, _, t = reduce_exp(exponent, format_of(x.dtype).bias)
        e = fma(fitted(r, "EXP"), r * r, r) + 1.0
        far = fma(e, -from_bits(bits(t) << format_of(x.dtype).mantissa), 1.0)
    else:
        high, low, power, _ = erfc_parts(at_most(a, 5.95))
        far = fma(high + low, -power, 1.0)
    return copysign(select(a < 1.0, near, far), x)


def erfc_parts(a: Expr) -> tuple[Expr, Expr, Expr, Expr]:
    """erfc(a) for a >= 0.48 as (high + low) * power, and whether power is 2^lift too large.

    e^(-a^2) (1 + p) / (1 + 2 a) with p a polynomial in q = (a - k) / (a + k); everything that would round
    before the last step is kept in two parts.
    """
    f = format_of(a.dtype)
    single = is_single(a)
    k = 2.5 if single else 4.0
    one = const(1.0, a.dtype)
    square, square_rest = two_product(a, a)
    # e^-square = 2^-n (1 + w)
    r, _, t = reduce_exp(-square, 0)
    r, r_rest = two_sum(r, -square_rest)
    w = r + fma(fitted(r, "EXPM1"), r * r, r_rest)
    deep = square > (86.0 if single else 700.0)
    offset = select(deep, const(f.bias + 2 * f.mantissa, f.int), const(f.bias, f.int))
    power = from_bits((offset + bits(t)) << f.mantissa)
    under, under_rest = two_sum(one, a + a)
    inverse = 1.0 / (under * (a + k))
    q = (a - k) * (under * inverse)
    p = fitted(q, "ERFC_NEAR" if single else "ERFC")
    m = fma(p, w + 1.0, w)
    over, over_rest = quick_two_sum(one, m)
    inverse = inverse * (a + k)
    y = over * inverse
    return y, (fma(-y, under, over) + fma(-y, under_rest, over_rest)) * inverse, power, deep


def erfc(x: Expr) -> Expr:
    """1 - erf(x), accurate where it is tiny; 2 - erfc(-x) for negative x."""
    f = format_of(x.dtype)
    single = is_single(x)
    a = absolute(x)
    b = at_most(a, 10.1 if single else 27.3)
    high, low, power, deep = erfc_parts(select(b < 0.48, const(0.48, x.dtype), b))
    tail = (high + low) * power
    tail = select(deep, tail * 2.0 ** (-2 * f.mantissa), tail)
    y = x * x
    part = fitted(y, "ERF") * x
    top, rest = quick_two_sum(const(1.0, x.dtype), -x)
    near = top + (rest - part)
    result = select(x < 0.0, 2.0 - tail, tail)
    return select(a < 0.48, near, result)


def erf_inv(x: Expr) -> Expr:
    """x (1 + P(w)) with w = -log(1 - x^2), P in two or three pieces.

    M. Giles, "Approximating the erfinv function", GPU Computing Gems 2, 2011; our own coefficients.
    """
    single = is_single(x)
    a = absolute(x)
    one = const(1.0, x.dtype)
    rest = one - a  # exact from 1/2 on
    total, _ = two_sum(one, a)
    product, more = two_product(total, rest)
    w = -log_of_sum(product, more)
    p = fitted(w - 3.125, "ERF_INV")
    if single:
        p = select(w > 6.25, fitted(w - 11.75, "ERF_INV_SINGLE"), p)
    else:
        p = select(w > 6.25, fitted(w - 11.125, "ERF_INV_TAIL"), p)
        p = select(w > 16.0, fitted(w - 26.25, "ERF_INV_FAR"), p)
    edge = select(equal(a, 1.0), const(float("inf"), x.dtype), float("nan"))
    return copysign(select(a < 1.0, fma(p, a, a), edge), x)


FUNCTIONS = (
    Function("erf", erf, text="error function"),
    Function("erfc", erfc, text="complementary error function"),
    Function("erf_inv", erf_inv, domain=((-1.0, 1.0),), text="inverse error function"),
)
