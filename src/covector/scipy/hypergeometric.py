"""Kummer's and Gauss's functions with slopes in all operands: those in the parameters are sums of the same series."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.types import dtypes
from covector.custom_derivatives import SymbolicZero, custom_jvp
from covector.lax.loops import while_loop
from covector.numpy import elementwise as el, reduce
from covector.numpy.operands import converted
from covector.numpy.selection import where

MOST = 20_000  # terms; what has not converged then is NaN
TOLERANCE = 1e-18


def _series(
    above: Sequence[Any], below: Sequence[Any], z: Any, of: Sequence[tuple[int, int]]
) -> tuple[Any, ...]:
    """sum(prod((above)_k) z^k / (prod((below)_k) k!)) and its slopes, in float64, for 0 <= z where it converges.

    Each of `of` names a parameter: (0, i) one above, (1, i) one below.
    """
    zero, one = el.multiply(z, 0.0), el.add(el.multiply(z, 0.0), 1.0)

    def ratio_and_slopes(k: Any) -> tuple[Any, list[Any]]:
        tops, bottoms = [el.add(t, k) for t in above], [el.add(b, k) for b in below]
        rest = el.divide(z, el.add(k, 1.0))
        for b in bottoms:
            rest = el.divide(rest, b)
        ratio = rest
        for t in tops:
            ratio = el.multiply(ratio, t)
        slopes: list[Any] = []
        for side, i in of:
            if side:
                slopes.append(el.negative(el.divide(ratio, bottoms[i])))
            else:  # a factor less, as the factor may be 0
                slope = rest
                for j, t in enumerate(tops):
                    slope = slope if i == j else el.multiply(slope, t)
                slopes.append(slope)
        return ratio, slopes

    def step(state: Any) -> Any:
        k, term, total, changes, sums, _ = state
        ratio, slopes = ratio_and_slopes(k)
        new = [
            el.add(el.multiply(c, ratio), el.multiply(term, s))
            for c, s in zip(changes, slopes, strict=True)
        ]
        term = el.multiply(term, ratio)
        total, sums = el.add(total, term), [el.add(s, n) for s, n in zip(sums, new, strict=True)]
        still = _open(term, total)
        for n, s in zip(new, sums, strict=True):
            still = el.logical_or(still, _open(n, s))
        return el.add(k, 1.0), term, total, new, sums, reduce.any(still)

    start = [zero for _ in of]
    state = (np.float64(0), one, one, start, start, np.bool_(True))
    k, _, total, _, sums, _ = while_loop(
        lambda s: el.logical_and(s[-1], el.less(s[0], MOST)), step, state
    )
    return tuple(where(el.less(k, MOST), x, np.nan) for x in (total, *sums))


def _open(term: Any, total: Any) -> Any:
    """Whether more terms change a sum."""
    change = el.greater(el.absolute(term), el.multiply(el.absolute(total), TOLERANCE))
    return el.logical_and(change, el.isfinite(total))


def _kummer_slopes(a: Any, b: Any, x: Any) -> list[Callable[[], Any]]:
    """The slopes of `hyp1f1` in a and b; for negative x by Kummer's transformation exp(x) M(b - a, b, -x)."""
    negative = el.less(x, 0.0)
    first = where(negative, el.subtract(b, a), a)
    _, in_first, in_b = _series([first], [b], el.absolute(x), [(0, 0), (1, 0)])
    size = el.exp(el.minimum(x, 0.0))
    return [
        lambda: el.multiply(size, where(negative, el.negative(in_first), in_first)),
        lambda: el.multiply(size, where(negative, el.add(in_first, in_b), in_b)),
    ]


def _gauss_slopes(a: Any, b: Any, c: Any, x: Any) -> list[Callable[[], Any]]:
    """The slopes of `hyp2f1` in a, b, c; for negative x by Pfaff's (1 - x)^-a F(a, c - b; c; x / (x - 1))."""
    negative = el.less(x, 0.0)
    z = where(negative, el.divide(x, el.subtract(x, 1.0)), x)
    second = where(negative, el.subtract(c, b), b)
    total, in_a, in_second, in_c = _series([a, second], [c], z, [(0, 0), (0, 1), (1, 0)])
    log = el.log1p(el.negative(el.minimum(x, 0.0)))
    size = el.exp(el.negative(el.multiply(a, log)))
    return [
        lambda: el.multiply(size, el.subtract(in_a, el.multiply(log, total))),
        lambda: el.multiply(size, where(negative, el.negative(in_second), in_second)),
        lambda: el.multiply(size, where(negative, el.add(in_second, in_c), in_c)),
    ]


@custom_jvp
def hyp1f1(a: Any, b: Any, x: Any) -> Any:
    """The primitive, differentiable in its parameters."""
    return prims.hyp1f1(a, b, x)


@custom_jvp
def hyp2f1(a: Any, b: Any, c: Any, x: Any) -> Any:
    """The primitive, differentiable in its parameters."""
    return prims.hyp2f1(a, b, c, x)


def _in_x(function: Any, parameters: Sequence[Any], x: Any) -> Any:
    """The slope in x: the function of parameters that are one more, times those above over those below."""
    more = function(*[el.add(p, 1.0) for p in parameters], x)
    *above, below = parameters
    for p in above:
        more = el.multiply(more, p)
    return el.divide(more, below)


def _rule(function: Any, slopes_of: Callable[..., list[Callable[[], Any]]]) -> None:
    def jvp(primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        out = function(*primals)
        *parameters, x = primals
        given = [None if isinstance(t, SymbolicZero) else t for t in tangents]
        parts: list[Any] = []
        if any(t is not None for t in given[:-1]):
            wide = [converted(p, dtypes.float64) for p in primals]
            slopes = slopes_of(*wide)
            parts = [
                el.multiply(t, converted(slope(), out.dtype))
                for t, slope in zip(given, slopes, strict=False)
                if t is not None
            ]
        if given[-1] is not None:
            parts.append(el.multiply(given[-1], _in_x(function, parameters, x)))
        total = parts[0] if parts else el.multiply(out, 0.0)
        for part in parts[1:]:
            total = el.add(total, part)
        return out, total

    function.defjvp(jvp, symbolic_zeros=True)


_rule(hyp1f1, _kummer_slopes)
_rule(hyp2f1, _gauss_slopes)
