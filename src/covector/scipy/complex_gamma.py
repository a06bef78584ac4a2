"""The gamma function of complex numbers and its logarithm, as steps of primitives."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from covector._engine import primitives as prims

# B_2k / (2k (2k - 1)) for k = 1, 2, ...: Stirling's series.
_STIRLING = (
    1 / 12,
    -1 / 360,
    1 / 1260,
    -1 / 1680,
    1 / 1188,
    -691 / 360360,
    1 / 156,
    -3617 / 122400,
)
SHIFT = 8  # at |z| >= SHIFT the series has the digits of float64


def log_gamma(z: Any) -> Any:
    """log Γ(z) of complex128, analytic but on the negative axis; NaN at the poles.

    By Stirling's series, after a shift to the right; close to the negative axis by reflection (D. Hare, "Computing
    the principal branch of log-Gamma", 1997).
    """
    x, y = prims.real(z), prims.imag(z)
    reflected = prims.and_(prims.lt(x, 0.1), prims.le(prims.abs_(y), 7.0))
    here = _to_the_right(prims.select(reflected, prims.sub(z.dtype.type(1), z), z))
    side = prims.sign(prims.atan2(y, prims.full(x.shape, -1, x.dtype)))  # of a zero too
    turns = prims.floor(prims.add(prims.mul(x, 0.5), 0.25))
    sheet = prims.mul(prims.mul(side, turns), 2 * np.pi)
    sine = _sine_of_turns(prims.select(reflected, z, z.dtype.type(0.25)))
    log_pi = prims.full(x.shape, math.log(np.pi), x.dtype)
    turned = prims.sub(prims.complex_(log_pi, sheet), prims.log(sine))
    found = prims.select(reflected, prims.sub(turned, here), here)
    pole = prims.and_(prims.and_(prims.eq(y, 0.0), prims.le(x, 0.0)), prims.eq(prims.floor(x), x))
    return prims.select(pole, z.dtype.type(complex(np.nan, np.nan)), found)


def gamma(z: Any) -> Any:
    """Γ(z) of complex128; NaN at the poles."""
    return prims.exp(log_gamma(z))


def _to_the_right(z: Any) -> Any:
    """log Γ(z + SHIFT) by the series, less the logarithms of what lies between."""
    between = prims.log(z)
    for k in range(1, SHIFT):
        between = prims.add(between, prims.log(prims.add(z, z.dtype.type(k))))
    s = prims.add(z, z.dtype.type(SHIFT))
    inverse = prims.integer_pow(s, -1)
    square = prims.square(inverse)
    series: Any = z.dtype.type(_STIRLING[-1])
    for c in _STIRLING[-2::-1]:
        series = prims.add(prims.mul(series, square), z.dtype.type(c))
    main = prims.sub(prims.mul(prims.sub(s, z.dtype.type(0.5)), prims.log(s)), s)
    rest = prims.add(prims.mul(series, inverse), z.dtype.type(0.5 * math.log(2 * np.pi)))
    return prims.sub(prims.add(main, rest), between)


def _sine_of_turns(z: Any) -> Any:
    """sin(π z), with the real part reduced exactly."""
    x, y = prims.real(z), prims.mul(prims.imag(z), np.pi)
    x = prims.sub(x, prims.mul(prims.floor(prims.add(prims.mul(x, 0.5), 0.5)), 2.0))
    x = prims.mul(x, np.pi)
    return prims.complex_(
        prims.mul(prims.sin(x), prims.cosh(y)), prims.mul(prims.cos(x), prims.sinh(y))
    )
