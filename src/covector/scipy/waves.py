"""Bessel functions, spherical harmonics and the Faddeeva function, of several operations each."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.core.trace import Tracer, typeof
from covector._engine.types import dtypes
from covector.custom_derivatives import custom_jvp
from covector.numpy import elementwise as el
from covector.numpy.creation import zeros_like
from covector.numpy.join import stack
from covector.numpy.operands import converted, together
from covector.numpy.promotion import integer_of, lift
from covector.numpy.selection import where
from covector.numpy.shape import broadcast_arrays

__all__ = ["bessel_jn", "sph_harm_y", "wofz"]


def bessel_jn(z: Any, *, v: int, n_iter: int = 50) -> Any:
    """The Bessel functions of the first kind J_0 to J_v of real z, on a new axis in front.

    By the recurrence from order `n_iter` down, which must be well above |z| (J. Miller, "Bessel functions", 1952).
    ValueError unless 0 <= v < n_iter.

    >>> from covector import numpy as cnp
    >>> from covector.scipy import special
    >>> special.bessel_jn(cnp.array([0.0, 1.0]), v=1)
    Array([[1.        , 0.7651977 ],
           [0.        , 0.44005057]], dtype=float32)
    """
    v, n_iter = integer_of(v, "v of bessel_jn"), integer_of(n_iter, "n_iter of bessel_jn")
    if not 0 <= v < n_iter:
        raise ValueError(
            f"bessel_jn: v is {v}{errors.at_user_line()}; it must be from 0 to n_iter - 1 = {n_iter - 1}"
        )
    (given,) = together("bessel_jn", "inexact", z)
    if dtypes.is_complex(given.dtype):
        raise TypeError(
            f"bessel_jn takes real numbers, got {typeof(given).text()}{errors.at_user_line()}"
        )
    z = converted(given, dtypes.float64)
    zero = el.equal(z, 0.0)
    inverse = el.divide(2.0, where(zero, 1.0, z))
    nothing = zeros_like(z)
    one, little = el.add(nothing, 1.0), el.add(nothing, 1e-100)
    above, here, total = nothing, little, nothing
    found: list[Any] = []
    for n in range(n_iter, 0, -1):
        below = el.subtract(el.multiply(el.multiply(inverse, float(n)), here), above)
        # Nothing overflows: what is too large is made smaller, with all that it is compared to.
        scale = where(el.greater(el.absolute(below), 1e100), little, one)
        above, here, total = (el.multiply(x, scale) for x in (here, below, total))
        found = [el.multiply(x, scale) for x in found]
        if n - 1 <= v:
            found.append(here)
        if n % 2 == 1:
            total = el.add(total, here if n == 1 else el.multiply(here, 2.0))
    orders = [
        where(zero, 1.0 if n == 0 else 0.0, el.divide(x, total))
        for n, x in enumerate(reversed(found))
    ]
    return converted(stack(orders), given.dtype)


def sph_harm_y(
    n: Any, m: Any, theta: Any, phi: Any, diff_n: int | None = None, n_max: int | None = None
) -> Any:
    """The spherical harmonic of degree n and order m at the polar angle theta and the azimuth phi, as complex numbers.

    The operands are broadcast together; |m| beyond n gives 0.  `n_max`, the largest degree, must be given where n is
    traced.  NotImplementedError for `diff_n`.  By the recurrence of normalised Legendre functions (W. Press et al.,
    "Numerical recipes", 6.7).

    >>> from covector import numpy as cnp
    >>> from covector.scipy import special
    >>> special.sph_harm_y(cnp.array([0]), cnp.array([0]), cnp.array([0.3]), cnp.array([0.2]))
    Array([0.2820948+0.j], dtype=complex64)
    """
    if diff_n is not None:
        raise NotImplementedError(f"sph_harm_y with diff_n{errors.at_user_line()}")
    n, m = lift("sph_harm_y", n), lift("sph_harm_y", m)
    if n_max is None:
        if isinstance(n, Tracer):
            raise TypeError(
                f"sph_harm_y: n is traced{errors.at_user_line()}; say how large it can be by n_max"
            )
        n_max = int(np.max(np.asarray(n), initial=0))
    theta, phi = together("sph_harm_y", "inexact", theta, phi)
    n, m, theta, phi = broadcast_arrays(n, m, theta, phi)
    order = converted(el.absolute(m), theta.dtype)
    degree = converted(n, theta.dtype)
    sin, cos = el.sin(theta), el.cos(theta)
    here = el.add(el.multiply(theta, 0.0), math.sqrt(0.25 / math.pi))
    for k in range(1, integer_of(n_max, "n_max") + 1):
        step = el.multiply(el.multiply(here, sin), -math.sqrt((2 * k + 1) / (2 * k)))
        here = where(el.less_equal(k, order), step, here)
    before = el.multiply(here, 0.0)
    for k in range(1, integer_of(n_max, "n_max") + 1):
        active = el.logical_and(el.less(order, k), el.less_equal(k, degree))
        square = el.square(where(active, order, 0.0))
        up = el.sqrt(el.divide(4 * k * k - 1, el.subtract(k * k, square)))
        back = el.sqrt(el.divide(el.subtract((k - 1) ** 2, square), max(4 * (k - 1) ** 2 - 1, 1)))
        new = el.multiply(up, el.subtract(el.multiply(cos, here), el.multiply(back, before)))
        before, here = where(active, here, before), where(active, new, here)
    odd = el.logical_and(el.less(m, 0), el.equal(el.remainder(m, 2), 1))
    size = where(el.less_equal(order, degree), where(odd, el.negative(here), here), 0.0)
    angle = el.multiply(converted(m, phi.dtype), phi)
    return prims.complex_(el.multiply(size, el.cos(angle)), el.multiply(size, el.sin(angle)))


TERMS = 12
STEP = math.sqrt(math.pi / TERMS)


def wofz(z: Any) -> Any:
    """The Faddeeva function exp(-z²) erfc(-iz) of complex numbers; real ones become complex.

    By the trapezoidal rule for its integral, with the residues of the poles that are close to it (M. Al Azah,
    S. Chandler-Wilde, "Computation of the complex error function using modified trapezoidal rules", 2021).

    >>> from covector import numpy as cnp
    >>> from covector.scipy import special
    >>> special.wofz(cnp.array([1j]))
    Array([0.42758358+0.j], dtype=complex64)
    """
    (x,) = together("wofz", "inexact", z)
    real = dtypes.real_of(x.dtype)
    real = dtypes.float32 if real in dtypes.FLOATS[:2] else real
    return _wofz(converted(x, dtypes.complex_of(real)))


@custom_jvp
def _wofz(z: Any) -> Any:
    wide = converted(z, dtypes.complex128)
    lower = el.less(el.imag(wide), 0.0)
    upper = where(lower, el.negative(wide), wide)
    found = _in_quadrant(el.absolute(el.real(upper)), el.imag(upper))
    found = where(el.less(el.real(upper), 0.0), el.conj(found), found)
    power = el.exp(el.negative(el.square(wide)))
    # Not 2 times it: a product of complex numbers has no infinite parts.
    reflected = el.subtract(el.add(power, power), found)
    return converted(where(lower, reflected, found), z.dtype)


@_wofz.defjvp
def _wofz_jvp(primals: Any, tangents: Any) -> tuple[Any, Any]:
    (z,), (t,) = primals, tangents
    w = _wofz(z)
    slope = el.subtract(2j / math.sqrt(math.pi), el.multiply(el.multiply(z, w), 2.0))
    return w, el.multiply(t, slope)


def _in_quadrant(x: Any, y: Any) -> Any:
    """Of x + iy, neither negative."""
    z = prims.complex_(x, y)
    square = el.square(z)
    scaled = el.divide(x, STEP)
    part = el.subtract(scaled, el.floor(scaled))
    middle = el.logical_and(el.greater_equal(part, 0.25), el.less_equal(part, 0.75))
    high = el.greater_equal(y, el.maximum(x, math.pi / STEP))
    whole = el.logical_and(el.logical_and(middle, el.less(y, x)), el.logical_not(high))
    # The nodes that z is not close to: whole multiples of the step, or those between.
    offset = converted(where(whole, 0.0, 0.5), x.dtype)
    total: Any = 0.0
    for k in range(TERMS):
        node = el.multiply(el.add(offset, float(k)), STEP)
        weight = el.exp(el.negative(el.square(node)))
        if k == 0:
            weight = where(whole, 0.5, weight)
        total = el.add(total, el.divide(weight, el.subtract(square, el.square(node))))
    rule = el.multiply(el.multiply(z, 2j * STEP / math.pi), total)
    turned = el.exp(el.multiply(z, 2j * math.pi / STEP))
    sign = where(whole, -1.0, 1.0)
    pole = el.divide(el.multiply(el.exp(el.negative(square)), 2.0), el.add(turned, sign))
    pole = el.multiply(pole, turned)
    return where(high, rule, el.add(rule, pole))
