"""Solutions of differential equations against SciPy, and generators of random numbers that count."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import covector as cv
from covector import numpy as cnp, random
from covector.experimental.ode import odeint
from covector.experimental.random import StatefulPRNG, stateful_rng

TIMES = np.linspace(0.0, 4.0, 5)
START = {"v": np.float64(0.5), "x": np.float64(2.0)}


def driven(state: Any, t: Any, stiffness: Any) -> Any:
    """Van der Pol's equation, driven."""
    x, v = state["x"], state["v"]
    return {"x": v, "v": stiffness * (1 - x * x) * v - x + cnp.sin(t)}


def solved(state: Any, times: Any, stiffness: Any) -> Any:
    return odeint(driven, state, times, stiffness, rtol=1e-9, atol=1e-9)


def by_scipy(state: Any, times: Any, stiffness: float) -> dict[str, np.ndarray]:
    def slope(t: float, y: Any) -> list[float]:
        v, x = y
        return [stiffness * (1 - x * x) * v - x + np.sin(t), v]

    first = [state["v"], state["x"]]
    span = (times[0], times[-1])
    found = solve_ivp(slope, span, first, "DOP853", times, rtol=1e-10, atol=1e-10)
    return dict(zip(("v", "x"), found.y, strict=True))


SPANS = {"rise": (TIMES, 1.5), "fall": (TIMES[::-1], -1.5), "twice": (TIMES[[0, 0, 2]], 1.5)}


@pytest.mark.parametrize("name", SPANS)
def test_solutions(name: str) -> None:
    times, stiffness = SPANS[name]
    found = cv.jit(solved)(START, times, stiffness)
    once, places = np.unique(times, return_inverse=True)
    if name == "fall":
        once, places = times, np.arange(len(times))
    for leaf, values in by_scipy(START, once, stiffness).items():
        np.testing.assert_allclose(found[leaf], values[places], rtol=1e-6, atol=1e-7)


def test_solutions_side_by_side() -> None:
    stiffness = np.array([0.5, 3.0])
    found = cv.vmap(lambda s: solved(START, TIMES, s)["x"])(stiffness)
    for row, s in zip(found, stiffness, strict=True):
        np.testing.assert_allclose(row, by_scipy(START, TIMES, s)["x"], rtol=1e-6, atol=1e-7)


def test_slopes_of_solutions() -> None:
    @cv.jit
    def last(x: Any, stiffness: Any, first: Any, end: Any) -> Any:
        times = cnp.stack([first, end])
        return solved({"v": START["v"], "x": x}, times, stiffness)["x"][-1]

    at = (2.0, 1.5, 0.25, 3.0)
    at = tuple(np.float64(x) for x in at)
    back = cv.grad(last, (0, 1, 2, 3))(*at)
    forth = cv.jvp(last, at, tuple(map(np.float64, (0.5, -1.0, 2.0, 1.0))))[1]
    np.testing.assert_allclose(forth, np.dot(back, [0.5, -1.0, 2.0, 1.0]), rtol=1e-6)
    for i, slope in enumerate(back):
        up, down = (tuple(x + h * (j == i) for j, x in enumerate(at)) for h in (1e-4, -1e-4))
        np.testing.assert_allclose(slope, (last(*up) - last(*down)) / 2e-4, rtol=1e-5)


def test_complex_solutions_and_those_that_are_not_reached() -> None:
    turned = odeint(
        lambda y, t: 1j * y, np.complex128(1), np.array([0, np.pi]), rtol=1e-9, atol=1e-9
    )
    np.testing.assert_allclose(turned, [1, -1], atol=1e-7)
    slow = odeint(lambda y, t: y, np.float64(1), np.array([0.0, 0.0, 5.0]), mxstep=3)
    np.testing.assert_array_equal(slow, [1, 1, np.nan])
    steep = odeint(
        lambda y, t: y * y, np.float32(1), np.array([0, 0.5, 2], np.float32), atol=1e-5, rtol=1e-5
    )
    np.testing.assert_allclose(steep, [1, 2, np.nan], rtol=1e-3)  # infinite at 1


WRONG: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: odeint(driven, 1, TIMES), TypeError, "odeint got y0 of int32"),
    (lambda: odeint(driven, 1.0, np.arange(3)), TypeError, "odeint got t of int"),
    (lambda: odeint(driven, 1.0, 2.0), ValueError, r"odeint got t of shape \(\)"),
    (lambda: odeint(driven, 1.0, TIMES[:0]), ValueError, r"odeint got t of shape \(0,\)"),
    (lambda: stateful_rng(0).split(2).random(), ValueError, r"split into \(2,\)"),
    (lambda: stateful_rng(1.5), TypeError, "integer seed"),
]


@pytest.mark.parametrize(("call", "error", "text"), WRONG, ids=[text[:25] for *_, text in WRONG])
def test_wrong(call: Callable[[], Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call()


DRAWS: dict[str, tuple[Callable[[StatefulPRNG], Any], Callable[[Any], Any]]] = {
    "random": (lambda rng: rng.random(3), lambda key: random.uniform(key, (3,))),
    "uniform": (
        lambda rng: rng.uniform(np.zeros(2, np.float32), 4),
        lambda key: random.uniform(key, (2,), maxval=4),
    ),
    "normal": (
        lambda rng: rng.normal(1, 2, (2, 2)),
        lambda key: 1 + 2 * random.normal(key, (2, 2)),
    ),
    "integers": (lambda rng: rng.integers(5, size=4), lambda key: random.randint(key, 4, 0, 5)),
    "key": (lambda rng: rng.key(2), lambda key: random.split(key, 2)),
}


@pytest.mark.parametrize("name", DRAWS)
def test_draws_are_of_a_key_and_a_count(name: str) -> None:
    draw, wanted = DRAWS[name]
    rng, compiled = stateful_rng(3), cv.jit(draw)
    for count in range(3):
        found = draw(rng) if count == 0 else compiled(rng)
        of_key = wanted(random.fold_in(random.key(3), count))
        words = [random.key_data(x) if name == "key" else x for x in (found, of_key)]
        np.testing.assert_allclose(*words, rtol=1e-6)


def test_generators_of_generators() -> None:
    rng = stateful_rng(0)
    parts, children = rng.split(3), rng.spawn(2)
    drawn = [*cv.vmap(lambda r: r.random())(parts), *[child.random() for child in children]]
    assert len({float(x) for x in drawn}) == 5
    assert "StatefulPRNG" in repr(rng)
    assert stateful_rng().random().shape == ()
