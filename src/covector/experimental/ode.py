"""Ordinary differential equations with adaptive steps: names and meanings are those of `jax.experimental.ode`.

The steps are those of Dormand and Prince, 5(4) with the last stage of a step as the first of the next; times between
are read off the quartic that goes with them (Hairer, Nørsett, Wanner: Solving Ordinary Differential Equations I,
2nd ed., sections II.4 to II.6).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from covector import lax, numpy as cnp, tree
from covector._engine.api.transforms import vmap
from covector._engine.base import errors
from covector._engine.base.public import publish
from covector.flatten_util import ravel_pytree

__all__ = [
    "fit_4th_order_polynomial",
    "initial_step_size",
    "interp_fit_dopri",
    "mean_error_ratio",
    "odeint",
    "optimal_step_size",
    "runge_kutta_step",
]

_ORDER = 5
_NODES = (1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0)
_STAGES = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
_ERROR = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)
# Of the term that the middle of a step adds to the cubic through its ends.
_DENSE = (
    -12715105075 / 11282082432,
    0.0,
    87487479700 / 32700410799,
    -10690763975 / 1880347072,
    701980252875 / 199316789632,
    -1453857185 / 822651844,
    69997945 / 29380423,
)


def _combined(weights: tuple[float, ...], slopes: list[Any]) -> Any:
    """The sum of slopes times weights, of those that are not zero."""
    terms = [w * k for w, k in zip(weights, slopes, strict=False) if w]
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def runge_kutta_step(
    func: Callable[[Any, Any], Any], y0: Any, f0: Any, t0: Any, dt: Any
) -> tuple[Any, Any, Any, Any]:
    """One step of the equation `y' = func(y, t)` from `y0`, whose slope is `f0`.

    The value after it, the slope there, an estimate of the error, and the seven slopes, stacked.

    >>> from covector.experimental import ode
    >>> y, slope, error, slopes = ode.runge_kutta_step(lambda y, t: y, 1.0, 1.0, 0.0, 0.1)
    >>> round(float(y), 6), slopes.shape
    (1.105171, (7,))
    """
    slopes, y = [f0], y0
    for node, weights in zip(_NODES, _STAGES, strict=True):
        y = y0 + dt * _combined(weights, slopes)
        slopes.append(func(y, t0 + dt * node))
    return y, slopes[-1], dt * _combined(_ERROR, slopes), cnp.stack(slopes)


def fit_4th_order_polynomial(
    y0: Any, y1: Any, y_mid: Any, dy0: Any, dy1: Any, dt: Any
) -> tuple[Any, ...]:
    """The coefficients, highest first, of the quartic on [0, 1] that has these ends and middle.

    At the ends it has these slopes, times `dt`.

    >>> from covector.experimental import ode
    >>> ode.fit_4th_order_polynomial(0.0, 1.0, 0.0625, 0.0, 4.0, 1.0)  # x**4
    (1.0, 0.0, 0.0, 0.0, 0.0)
    """
    a, b = dt * dy0, dt * dy1
    return (
        2 * (b - a) - 8 * (y0 + y1) + 16 * y_mid,
        5 * a - 3 * b + 18 * y0 + 14 * y1 - 32 * y_mid,
        b - 4 * a - 11 * y0 - 5 * y1 + 16 * y_mid,
        a,
        y0,
    )


def interp_fit_dopri(y0: Any, y1: Any, k: Any, dt: Any) -> tuple[Any, ...]:
    """The coefficients of the quartic that goes with a step from `y0` to `y1`, from its seven slopes `k`.

    >>> from covector import numpy as cnp
    >>> from covector.experimental import ode
    >>> y, _, _, k = ode.runge_kutta_step(lambda y, t: y, 1.0, 1.0, 0.0, 0.1)
    >>> round(float(cnp.polyval(cnp.stack(ode.interp_fit_dopri(1.0, y, k, 0.1)), 0.5)), 6)
    1.051271
    """
    slopes = [k[i] for i in range(len(_DENSE))]
    rise = y1 - y0
    bend = dt * slopes[0] - rise
    twist = rise - dt * slopes[-1] - bend
    middle = y0 + (rise + (bend + (twist + dt * _combined(_DENSE, slopes) / 2) / 2) / 2) / 2
    return fit_4th_order_polynomial(y0, y1, middle, slopes[0], slopes[-1], dt)


def mean_error_ratio(error_estimate: Any, rtol: Any, atol: Any, y0: Any, y1: Any) -> Any:
    """The root of the mean square of an error over what is allowed: `atol` and `rtol` of the greater of both values.

    >>> from covector import numpy as cnp
    >>> from covector.experimental import ode
    >>> print(ode.mean_error_ratio(cnp.array([0.2]), 0.0, 0.1, cnp.ones(1), cnp.ones(1)))
    2.0
    """
    allowed = atol + rtol * cnp.maximum(cnp.abs(y0), cnp.abs(y1))
    return cnp.sqrt(cnp.mean(cnp.square(cnp.abs(error_estimate) / allowed)))


def optimal_step_size(
    last_step: Any,
    mean_error_ratio: Any,
    safety: float = 0.9,
    ifactor: float = 10.0,
    dfactor: float = 0.2,
    order: float = 5.0,
) -> Any:
    """The length of the next step: at most `ifactor` and at least `dfactor` of the last, where that was too long.

    A step whose error is no number is followed by the shortest that is allowed.

    >>> from covector.experimental import ode
    >>> print(ode.optimal_step_size(1.0, 0.0))
    10.0
    """
    least = cnp.where(mean_error_ratio < 1, 1.0, dfactor)
    power = cnp.maximum(mean_error_ratio, 1e-30) ** (-1 / order)
    factor = cnp.clip(safety * power, least, ifactor)
    return last_step * cnp.where(cnp.isfinite(mean_error_ratio), factor, dfactor)


def initial_step_size(
    fun: Callable[[Any, Any], Any], t0: Any, y0: Any, order: int, rtol: Any, atol: Any, f0: Any
) -> Any:
    """The length of the first step of `y' = fun(y, t)`, from the slope at the start and how it changes.

    >>> from covector import numpy as cnp
    >>> from covector.experimental import ode
    >>> step = ode.initial_step_size(lambda y, t: -y, 0.0, cnp.ones(1), 4, 1e-3, 1e-6, -cnp.ones(1))
    >>> 0.01 < float(step) < 1
    True
    """
    scale = atol + rtol * cnp.abs(y0)

    def size(x: Any) -> Any:
        return cnp.sqrt(cnp.mean(cnp.square(cnp.abs(x) / scale)))

    value, slope = size(y0), size(f0)
    small = (value < 1e-5) | (slope < 1e-5)
    guess = cnp.where(small, 1e-6, 0.01 * value / cnp.where(small, 1.0, slope))
    bend = size(fun(y0 + guess * f0, t0 + guess) - f0) / guess
    most = cnp.maximum(slope, bend)
    flat = most <= 1e-15
    wanted = (0.01 / cnp.where(flat, 1.0, most)) ** (1 / (order + 1))
    return cnp.minimum(100 * guess, cnp.where(flat, cnp.maximum(1e-6, guess * 1e-3), wanted))


def odeint(
    func: Callable[..., Any],
    y0: Any,
    t: Any,
    *args: Any,
    rtol: Any = 1.4e-8,
    atol: Any = 1.4e-8,
    mxstep: Any = math.inf,
    hmax: Any = math.inf,
) -> Any:
    """The solution of `y' = func(y, t, *args)` with the value `y0`, a tree of floats, at `t[0]`.

    Each leaf of the result has the axis of the times `t`, which rise or fall, in front.  Steps have an error below
    `atol + rtol * |y|` and at most the length `hmax`.  Values are NaN from where more than `mxstep` steps would be
    needed between two times, or where steps would be too short for the dtype of the times.

    It can be differentiated both ways, as often as wanted, in `y0`, `t`, `args` and what `func` closes over:
    derivatives are those of the steps that were taken.

    TypeError if a leaf of `y0` or `t` is no float, ValueError if `t` has no one axis with a time.

    >>> from covector import numpy as cnp
    >>> from covector.experimental.ode import odeint
    >>> times = cnp.array([0.0, 1.0, 2.0])
    >>> print(odeint(lambda y, t, rate: -rate * y, 1.0, times, 0.5, rtol=1e-5, atol=1e-5).round(3))
    [1.    0.607 0.368]
    """
    start, unravel = ravel_pytree(y0)
    times = cnp.asarray(t)
    if not cnp.issubdtype(start.dtype, np.inexact):
        raise TypeError(
            f"odeint got y0 of {start.dtype}{errors.at_user_line()}; it has to be of floats"
        )
    if not cnp.issubdtype(times.dtype, np.floating):
        raise TypeError(
            f"odeint got t of {times.dtype}{errors.at_user_line()}; times have to be floats"
        )
    if times.ndim != 1 or times.size == 0:
        raise ValueError(
            f"odeint got t of shape {times.shape}{errors.at_user_line()}; it takes an axis of times"
        )
    sign = cnp.where(times[-1] < times[0], -1, 1).astype(times.dtype)

    def slope(y: Any, s: Any) -> Any:
        found, _ = ravel_pytree(func(unravel(y), sign * s, *args))
        return sign * found.astype(start.dtype)

    return vmap(unravel)(_solution(slope, start, sign * times, (rtol, atol), mxstep, hmax))


class _State(NamedTuple):
    """Where a solution has come to: value and slope at `t`, the next step, and the quartic from `before` to `t`."""

    count: Any
    y: Any
    slope: Any
    t: Any
    dt: Any
    before: Any
    fit: Any


def _solution(
    slope: Callable[[Any, Any], Any],
    start: Any,
    times: Any,
    tolerances: tuple[Any, Any],
    mxstep: Any,
    hmax: Any,
) -> Any:
    """Rows of values at rising times."""

    def stepped(state: _State) -> _State:
        _, y, f, t, dt, *_ = state
        y1, f1, error, slopes = runge_kutta_step(slope, y, f, t, dt)
        ratio = lax.stop_gradient(mean_error_ratio(error, *tolerances, y, y1))
        good = ratio <= 1
        fit = cnp.stack(interp_fit_dopri(y, y1, slopes, dt))
        new = _State(state.count, y1, f1, t + dt, dt, t, fit)
        new = tree.map(lambda after, before: cnp.where(good, after, before), new, state)
        step = cnp.minimum(optimal_step_size(dt, ratio, order=_ORDER), hmax).astype(dt.dtype)
        return new._replace(count=state.count + 1, dt=step)

    def value_at(state: _State, time: Any) -> tuple[_State, Any]:
        def unfinished(state: _State) -> Any:
            return (state.t < time) & (state.count < mxstep) & (state.t + state.dt > state.t)

        state = lax.while_loop(unfinished, stepped, state._replace(count=0))
        width = state.t - state.before
        place = (time - state.before) / cnp.where(width > 0, width, 1)
        value = cnp.polyval(state.fit, place.astype(state.fit.real.dtype))
        return state, cnp.where(state.t >= time, value, cnp.nan)

    first = times[0]
    f0 = slope(start, first)
    step = initial_step_size(slope, first, start, _ORDER - 1, *tolerances, f0)
    step = lax.stop_gradient(cnp.minimum(step, hmax)).astype(times.dtype)
    fit = cnp.zeros((_ORDER, *start.shape), start.dtype).at[-1].set(start)
    state = _State(0, start, f0, first, step, first, fit)
    _, rest = lax.scan(value_at, state, times[1:])
    return cnp.concatenate([start[None], rest])


publish(__name__)
