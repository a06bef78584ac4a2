"""Minimization: names and meanings are those of `jax.scipy.optimize`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from covector._engine.api.arguments import check_callable
from covector._engine.api.derivatives import value_and_grad
from covector._engine.base import errors, tree
from covector._engine.base.public import publish
from covector._engine.types import dtypes
from covector.lax.loops import fori_loop, while_loop
from covector.numpy import elementwise as el
from covector.numpy.creation import array, zeros
from covector.numpy.join import concatenate
from covector.numpy.linear import dot, outer
from covector.numpy.matrices import eye
from covector.numpy.norms import norm as norm_of
from covector.numpy.selection import where

__all__ = ["OptimizeResults", "minimize"]

# The conditions of Wolfe: enough less than at the start, and enough less steep.  (Nocedal and Wright, section 3.1)
_ENOUGH_LESS, _LESS_STEEP = 1e-4, 0.9


class OptimizeResults(NamedTuple):
    """What a minimization found.

    `x`, and there the value `fun`, the gradient `jac` and an estimate `hess_inv` of the inverse Hessian; whether
    it is a minimum (`success`), or why not (`status`: 0 it is, 1 too many iterations, 3 the line search found
    nothing better, which with a limited memory is 5; there is no `hess_inv` then); how often the function and its
    gradient were computed, and the number of iterations.

    >>> from covector.scipy.optimize import OptimizeResults
    >>> OptimizeResults._fields[:3]
    ('x', 'success', 'status')
    """

    x: Any
    success: Any
    status: Any
    fun: Any
    jac: Any
    hess_inv: Any
    nfev: Any
    njev: Any
    nit: Any


def minimize(
    fun: Callable[..., Any],
    x0: Any,
    args: Any = (),
    *,
    method: str,
    tol: float | None = None,
    options: Mapping[str, Any] | None = None,
) -> OptimizeResults:
    """A local minimum of `fun(x, *args)` near `x0`, a vector of floats; the function gives one number.

    `method` is 'BFGS', or with a limited memory 'L-BFGS', which JAX calls 'l-bfgs-experimental-do-not-rely-on-
    this' (J. Nocedal and S. Wright, "Numerical Optimization", algorithms 6.1 and 7.5, 3.5 and 3.6): one loop in
    compiled code.  It ends when the norm of the gradient is below `tol`.  Options: `maxiter` (200 for each number
    of x), `gtol` (1e-5, if there is no `tol`), `norm` (the order of the norm, inf); of 'BFGS'
    `line_search_maxiter` (10); of 'L-BFGS' `maxls` (20), `maxcor` (how many steps are remembered, 10), `ftol`
    (2.2e-9: when an iteration gains less the status is 4), `maxfun` and `maxgrad` (evaluations, without bound: 2
    and 3).

    TypeError for a function that does not give one real number, ValueError for another shape of x0, another method and
    options that it does not have.

    >>> import covector.numpy as np
    >>> from covector.scipy.optimize import minimize
    >>> found = minimize(lambda x: np.sum((x - np.array([1.0, 2.0])) ** 4), np.zeros(2), method="BFGS")
    >>> bool(found.success), found.x.round(1)
    (True, Array([1., 2.], dtype=float32))
    """
    check_callable(fun, "minimize")
    x0 = array(x0)
    if x0.ndim != 1 or not dtypes.is_float(x0.dtype):
        raise ValueError(
            f"minimize: x0 is {x0.dtype.name} of the shape {x0.shape}{errors.at_user_line()}; it must be a vector of "
            "real floats"
        )
    if not isinstance(args, tuple):
        raise TypeError(f"minimize: args is {args!r}{errors.at_user_line()}; it must be a tuple")
    name = method.lower().removesuffix("-experimental-do-not-rely-on-this")
    if name not in _OPTIONS:
        raise ValueError(
            f"minimize: method is {method!r}{errors.at_user_line()}; it is 'BFGS' or 'L-BFGS'"
        )
    known = _OPTIONS[name]
    given: dict[str, Any] = dict(options or {})
    if unknown := sorted(given.keys() - known.keys()):
        raise ValueError(
            f"minimize: the options {', '.join(unknown)} are not known{errors.at_user_line()}; {name.upper()!r} has "
            f"{', '.join(known)}"
        )
    chosen = {**known, **given}
    if tol is not None:
        chosen["gtol"] = tol
    return _METHODS[name](value_and_grad(lambda x: fun(x, *args)), x0, **chosen)


_OPTIONS: dict[str, dict[str, Any]] = {
    "bfgs": {"maxiter": None, "norm": np.inf, "gtol": 1e-5, "line_search_maxiter": 10},
    "l-bfgs": {
        "maxiter": None,
        "norm": np.inf,
        "maxcor": 10,
        "ftol": 2.220446049250313e-09,
        "gtol": 1e-5,
        "maxfun": None,
        "maxgrad": None,
        "maxls": 20,
    },
}


class _State(NamedTuple):
    x: Any
    f: Any
    g: Any
    h: Any  # what is known of the inverse Hessian
    before: Any  # the value one iteration before
    k: Any
    evaluations: Any
    failed: Any


class _Hessian(NamedTuple):
    """How a method estimates the inverse Hessian."""

    first: Any
    downhill: Callable[
        [Any, Any], Any
    ]  # the step that it proposes, from the estimate and the gradient
    updated: Callable[
        [Any, Any, Any, Any], Any
    ]  # by a step, the gradient's change and their product


def _descent(
    of: Callable[[Any], Any],
    x0: Any,
    hessian: _Hessian,
    flat: Callable[[Any], Any],
    over: Callable[[_State], Any],
    search_limit: int,
) -> _State:
    """Steps downhill until the gradient is flat, the search has failed, or it is over."""
    f, g = of(x0)

    def going_on(s: _State) -> Any:
        return el.logical_not(el.logical_or(el.logical_or(flat(s.g), s.failed), over(s)))

    def step(s: _State) -> _State:
        p = hessian.downhill(s.h, s.g)
        found = _line_search(of, s, p, search_limit)
        moved = el.multiply(found.a, p)
        change = el.subtract(found.g, s.g)
        curvature = dot(change, moved)
        rho = el.divide(1, curvature)
        usable = el.logical_and(el.isfinite(rho), el.greater(curvature, 0))
        updated = hessian.updated(s.h, moved, change, rho)
        return _State(
            el.add(s.x, moved),
            found.f,
            found.g,
            tree.map(lambda new, old: where(usable, new, old), updated, s.h),
            s.f,
            el.add(s.k, 1),
            el.add(s.evaluations, found.count),
            found.failed,
        )

    # The first step is about as long as the gradient is, as in SciPy.
    before = el.add(f, el.multiply(norm_of(g), 0.5))
    return while_loop(going_on, step, _State(x0, f, g, hessian.first, before, 0, 1, False))


def _results(s: _State, success: Any, status: Any, h: Any) -> OptimizeResults:
    status = where(success, 0, status)
    return OptimizeResults(s.x, success, status, s.f, s.g, h, s.evaluations, s.evaluations, s.k)


def _bfgs(
    of: Callable[[Any], Any],
    x0: Any,
    maxiter: int | None,
    norm: Any,
    gtol: float,
    line_search_maxiter: int,
) -> OptimizeResults:
    n = x0.shape[0]
    limit = 200 * n if maxiter is None else maxiter
    one = eye(n, dtype=x0.dtype)

    def flat(g: Any) -> Any:
        return el.less(norm_of(g, norm), gtol)

    def updated(h: Any, moved: Any, change: Any, rho: Any) -> Any:
        turn = el.subtract(one, el.multiply(rho, outer(moved, change)))
        return el.add(dot(dot(turn, h), turn.T), el.multiply(rho, outer(moved, moved)))

    hessian = _Hessian(one, lambda h, g: el.negative(dot(h, g)), updated)
    s = _descent(of, x0, hessian, flat, lambda s: el.greater_equal(s.k, limit), line_search_maxiter)
    return _results(s, flat(s.g), where(s.failed, 3, 1), s.h)


class _Memory(NamedTuple):
    """The last steps, the newest at the end, with the gradient's changes, and 1 over their products; 0 if not there."""

    steps: Any
    changes: Any
    rho: Any
    scale: Any  # of the inverse Hessian before the first of them


def _downhill(h: _Memory, g: Any) -> Any:
    """The step that the remembered ones propose (algorithm 7.4)."""
    count = h.rho.shape[0]

    def back(i: Any, carry: tuple[Any, Any]) -> tuple[Any, Any]:
        q, shares = carry
        at = el.subtract(count - 1, i)
        share = el.multiply(h.rho[at], dot(h.steps[at], q))
        return el.subtract(q, el.multiply(share, h.changes[at])), shares.at[at].set(share)

    def forth(i: Any, r: Any) -> Any:
        share = el.subtract(shares[i], el.multiply(h.rho[i], dot(h.changes[i], r)))
        return el.add(r, el.multiply(share, h.steps[i]))

    q, shares = fori_loop(0, count, back, (g, zeros(count, g.dtype)))
    return el.negative(fori_loop(0, count, forth, el.multiply(h.scale, q)))


def _remembered(h: _Memory, moved: Any, change: Any, rho: Any) -> _Memory:
    parts = zip(h[:3], (moved, change, rho), strict=True)
    newer = [concatenate([old[1:], new[None]]) for old, new in parts]
    steps, changes, inverses = newer
    return _Memory(steps, changes, inverses, el.divide(1, el.multiply(rho, dot(change, change))))


def _limited(
    of: Callable[[Any], Any],
    x0: Any,
    maxiter: int | None,
    norm: Any,
    maxcor: int,
    ftol: float,
    gtol: float,
    maxfun: int | None,
    maxgrad: int | None,
    maxls: int,
) -> OptimizeResults:
    n = x0.shape[0]
    if maxiter is None and maxfun is None and maxgrad is None:
        maxiter = 200 * n
    pairs = zeros((maxcor, n), x0.dtype)
    first = _Memory(pairs, pairs, zeros(maxcor, x0.dtype), array(1, x0.dtype))

    def flat(g: Any) -> Any:
        return el.less(norm_of(g, norm), gtol)

    def status(s: _State) -> Any:
        """Why it is over; 0 if it is not."""
        gain = el.subtract(s.before, s.f)
        found: Any = where(el.logical_and(el.less(gain, ftol), el.greater(s.k, 0)), 4, 0)
        for why, count, limit in (
            (3, s.evaluations, maxgrad),
            (2, s.evaluations, maxfun),
            (1, s.k, maxiter),
        ):
            if limit is not None:
                found = where(el.greater_equal(count, limit), why, found)
        return found

    hessian = _Hessian(first, _downhill, _remembered)
    s = _descent(of, x0, hessian, flat, lambda s: el.greater(status(s), 0), maxls)
    return _results(s, flat(s.g), where(s.failed, 5, status(s)), None)


_METHODS: dict[str, Callable[..., OptimizeResults]] = {"bfgs": _bfgs, "l-bfgs": _limited}


class _Point(NamedTuple):
    """A step, and there the value, the slope along it and the gradient."""

    a: Any
    f: Any
    slope: Any
    g: Any


class _Search(NamedTuple):
    low: _Point  # the best step so far
    high: _Point  # the other end of what holds a good step
    within: Any  # whether there is such an interval
    done: Any
    count: Any


class _Found(NamedTuple):
    a: Any
    f: Any
    g: Any
    count: Any
    failed: Any


def _picked(condition: Any, p: _Point, q: _Point) -> _Point:
    return _Point(*[where(condition, x, y) for x, y in zip(p, q, strict=True)])


def _line_search(of: Callable[[Any], Any], s: _State, p: Any, limit: int) -> _Found:
    """A step along p that fulfils the strong conditions of Wolfe: first longer ones, then ones in between."""
    start = _Point(array(0, s.x.dtype), s.f, dot(s.g, p), s.g)

    def at(a: Any) -> _Point:
        f, g = of(el.add(s.x, el.multiply(a, p)))
        return _Point(a, f, dot(g, p), g)

    def too_high(q: _Point) -> Any:
        line = el.add(start.f, el.multiply(el.multiply(q.a, start.slope), _ENOUGH_LESS))
        # Not a number is too high as well.
        return el.logical_not(el.less_equal(q.f, line))

    def good(q: _Point) -> Any:
        return el.less_equal(el.abs(q.slope), el.multiply(el.negative(start.slope), _LESS_STEEP))

    def going_on(search: _Search) -> Any:
        return el.logical_and(el.logical_not(search.done), el.less(search.count, limit))

    def step(search: _Search) -> _Search:
        low, high, within, _, count = search
        longer = where(el.equal(count, 0), _first_step(s, start), el.multiply(low.a, 2))
        q = at(where(within, _between(low, high), longer))
        above = el.logical_or(
            too_high(q), el.logical_and(el.greater_equal(q.f, low.f), el.greater(count, 0))
        )
        done = el.logical_and(el.logical_not(above), good(q))
        # The slope at the better end points into the interval.
        outward = el.multiply(q.slope, where(within, el.subtract(high.a, low.a), -1.0))
        turned = el.greater_equal(outward, 0)
        turned = where(within, turned, el.greater_equal(q.slope, 0))
        other = _picked(el.logical_and(turned, el.logical_not(done)), low, high)
        return _Search(
            _picked(above, low, q),
            _picked(above, q, other),
            el.logical_or(within, el.logical_or(above, turned)),
            done,
            el.add(count, 1),
        )

    search = while_loop(going_on, step, _Search(start, start, False, False, 0))
    low = search.low
    # Without a good one, the best that is lower than the start is taken.
    failed = el.logical_not(el.less(low.f, start.f))
    failed = el.logical_and(failed, el.logical_not(search.done))
    return _Found(low.a, low.f, low.g, search.count, failed)


def _first_step(s: _State, start: _Point) -> Any:
    """1, or less where that much was not gained by the step before."""
    guess = el.divide(el.multiply(el.subtract(s.f, s.before), 2.02), start.slope)
    return where(el.logical_and(el.greater(guess, 0), el.less(guess, 1)), guess, 1.0)


def _between(low: _Point, high: _Point) -> Any:
    """Where the cubic through values and slopes at both ends is least; the middle, if that is near an end."""
    width = el.subtract(high.a, low.a)
    d = el.subtract(
        el.add(low.slope, high.slope), el.multiply(el.divide(el.subtract(high.f, low.f), width), 3)
    )
    root = el.sqrt(el.subtract(el.square(d), el.multiply(low.slope, high.slope)))
    root = where(el.less(width, 0), el.negative(root), root)
    top = el.subtract(el.add(high.slope, root), d)
    share = el.divide(top, el.add(el.subtract(high.slope, low.slope), el.multiply(root, 2)))
    found = el.subtract(high.a, el.multiply(width, share))
    middle = el.add(low.a, el.multiply(width, 0.5))
    inside = el.less(el.abs(el.subtract(found, middle)), el.multiply(el.abs(width), 0.4))
    return where(inside, found, middle)


publish(__name__)
