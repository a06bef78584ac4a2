"""A choice that is another one for each element of a batch, around changes in place: all are done, and once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import covector as cv
import covector.numpy as cnp
from covector import lax
from covector._engine.types.avals import FEW

SIZE, STEPS, LANES = 70, 9, 3
Step = Callable[[Any, Any, Any], Any]


def of_two(t: Any, a: Any, s: Any) -> Any:
    """Each reads and sets; the root has no slope where it is not taken."""
    yes = lambda a, s: (a.at[t].set(cnp.sqrt(s) * a[t - 1]), s - 1.0)  # noqa: E731
    no = lambda a, s: (a.at[t + 1].add(s), s + 1.7)  # noqa: E731
    return lax.cond(s > 0, yes, no, a, s)


def of_three(t: Any, a: Any, s: Any) -> Any:
    def slices(a: Any, s: Any) -> Any:
        return lax.dynamic_update_slice(a, lax.dynamic_slice(a, (t,), (2,)) * s, (t,)), s + 0.2

    changes = lambda a, s: (a.at[t].mul(1.5).at[t + 3].min(s).at[t + 2].max(s), s + a[t])  # noqa: E731
    return lax.switch(
        (s * 3).astype("int32") % 3, [lambda a, s: (a, s * 1.3), slices, changes], a, s
    )


def of_places(t: Any, a: Any, s: Any) -> Any:
    """Several places at once, some of them equal, some outside; and all of the array is read."""
    at = cnp.stack([t, t, t + SIZE])
    yes = lambda a, s: (a.at[at].set(cnp.stack([s, 2 * s, s])), s - cnp.mean(a))  # noqa: E731
    no = lambda a, s: (a.at[at].add(cnp.stack([s, s, s])), s + 0.3)  # noqa: E731
    return lax.cond(s > 0.2, yes, no, a, s)


def looped(step: Step) -> Callable[[Any, Any], Any]:
    def run(a: Any, s: Any) -> Any:
        a, s = lax.fori_loop(0, STEPS, lambda t, c: step(t, *c), (a, s))
        return cnp.sum(cnp.sin(a)) * s

    return run


def slope(f: Any) -> Any:
    return cv.grad(f, (0, 1))


def turn(f: Any) -> Any:
    return cv.grad(lambda a, s: cnp.sum(slope(f)(a, s)[0] ** 2), (0, 1))


@pytest.mark.parametrize("way", [lambda f: f, slope, turn], ids=["value", "slope", "turn"])
@pytest.mark.parametrize("step", [of_two, of_three, of_places], ids=lambda f: f.__name__)
def test_each_element_takes_its_own(step: Step, way: Any, rng: np.random.Generator) -> None:
    a, s = cnp.asarray(rng.normal(size=(LANES, SIZE))), cnp.asarray(np.array([1.3, -0.4, 0.9]))
    f = way(looped(step))
    wanted = [f(a[k], s[k]) for k in range(LANES)]
    found = cv.jit(cv.vmap(f))(a, s)
    for k, one in enumerate(wanted):
        for got, want in zip(cv.tree.leaves(found), cv.tree.leaves(one), strict=True):
            np.testing.assert_allclose(got[k], want, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("step", [of_two, of_three], ids=lambda f: f.__name__)
def test_the_gradient_of_a_batch(step: Step, rng: np.random.Generator) -> None:
    a, s = cnp.asarray(rng.normal(size=(LANES, SIZE))), cnp.asarray(np.array([1.3, -0.4, 0.9]))
    f = looped(step)
    found = cv.jit(slope(lambda a, s: cnp.sum(cv.vmap(f)(a, s))))(a, s)
    for k in range(LANES):
        for got, want in zip(found, slope(f)(a[k], s[k]), strict=True):
            np.testing.assert_allclose(got[k], want, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("combine", ["set", "add", "mul", "min", "max"])
@pytest.mark.parametrize("dtype", ["float32", "int16", "complex64", "uint8"])
def test_what_is_not_taken_changes_no_bit(combine: str, dtype: str) -> None:
    """Also of zeros with a sign, infinities and NaNs."""
    if dtype == "complex64" and combine in ("min", "max"):
        return
    if dtype in ("float32", "complex64"):
        values: list[Any] = [0.0, -0.0, np.inf, -np.inf, np.nan, 1.5]
        if dtype == "complex64":
            values = [complex(x, y) for x in values for y in values]
    else:
        values = [0, 7]
    a = np.resize(np.array(values, dtype), (2, FEW + 1))
    change = lambda x: getattr(x.at[cnp.arange(50)[::-1]], combine)(x[:50])  # noqa: E731
    f = cv.jit(cv.vmap(lambda p, x: lax.cond(p, change, lambda x: x, x)))
    found = np.asarray(f(np.array([True, False]), a))
    assert found[1].tobytes() == a[1].tobytes()
    assert found[0].tobytes() == np.asarray(cv.jit(change)(a[0])).tobytes()


# What lies inside of a branch: a choice that all share, one that is each element's own, and loops of both kinds.


def of_choices(t: Any, a: Any, s: Any) -> Any:
    def yes(a: Any, s: Any) -> Any:
        a = lax.cond(t % 2 == 0, lambda a: a.at[t].set(s), lambda a: a.at[t + 1].add(a[t]), a)
        return lax.cond(
            s > 1,
            lambda a, s: (a.at[t + 2].mul(1.5), s - 0.9),
            lambda a, s: (a, cnp.sqrt(s) - 0.4),
            a,
            s,
        )

    return lax.cond(s > 0, yes, lambda a, s: (a, s + 1.7), a, s)


def of_scans(t: Any, a: Any, s: Any) -> Any:
    def yes(a: Any, s: Any) -> Any:
        def step(c: Any, k: Any) -> Any:
            a, s = c
            return (a.at[t + k].set(cnp.sqrt(s) * a[t + k + 1]), s + 0.1), a[t]

        (a, s), read = lax.scan(step, (a, s), cnp.arange(3))
        return a, s - cnp.sum(read) - 2.0

    return lax.cond(s > 0, yes, lambda a, s: (a.at[t].add(s), s + 1.7), a, s)


def of_whiles(t: Any, a: Any, s: Any) -> Any:
    def yes(a: Any, s: Any) -> Any:
        def step(c: Any) -> Any:
            k, a = c
            return k + 1, lax.cond(a[k] > 0, lambda a: a.at[k].set(a[k - 1] * s), lambda a: a, a)

        return lax.while_loop(lambda c: c[0] < t % 4, step, (0, a))[1], s - 1.0

    return lax.cond(s > 0, yes, lambda a, s: (a.at[t].add(s), s + 1.7), a, s)


INSIDE = [of_choices, of_scans, of_whiles]


@pytest.mark.parametrize("way", [lambda f: f, slope, turn], ids=["value", "slope", "turn"])
@pytest.mark.parametrize("step", INSIDE, ids=lambda f: f.__name__)
def test_what_is_inside_of_a_branch(step: Step, way: Any, rng: np.random.Generator) -> None:
    test_each_element_takes_its_own(step, way, rng)


@pytest.mark.parametrize("step", INSIDE, ids=lambda f: f.__name__)
def test_nothing_selects_from_all_of_an_array(step: Step) -> None:
    """In the batched step there is no `select` of so many elements, however deep."""

    def sizes(program: Any) -> list[int]:
        inside = [n for e in program.eqns for p in e.primitive.programs() for n in sizes(p)]
        own = [v.aval.size for e in program.eqns if e.primitive.name == "select" for v in e.outputs]
        return [*own, *inside]

    batched = cv.jit(cv.vmap(step, (None, 0, 0)))
    traced: Any = batched.trace(
        np.int32(1), np.ones((LANES, SIZE), np.float32), np.ones(LANES, np.float32)
    )
    assert max(sizes(traced.program)) < LANES * SIZE


# Loops of a branch that is not taken have no step: what others wrote might never let them end.


def test_a_loop_that_asks_what_the_branch_changes_ends() -> None:
    def f(p: Any, a: Any) -> Any:
        def run(a: Any) -> Any:
            return lax.while_loop(lambda a: a[0] > 0, lambda a: a.at[0].add(-1.0), a)

        return lax.cond(p, run, lambda a: a, a)

    a = np.ones((LANES, SIZE))
    a[:, 0] = 3, 4, 5
    found = cv.jit(cv.vmap(f))(np.array([True, False, True]), a)
    np.testing.assert_array_equal(found[:, 0], [0, 4, 0])


def test_a_loop_that_asks_what_another_branch_changes_ends() -> None:
    def f(p: Any, a: Any) -> Any:
        def run(a: Any) -> Any:
            return a.at[0].set(lax.while_loop(lambda x: x > 0, lambda x: x - a[1], a[0]))

        return lax.cond(p, run, lambda a: a.at[1].set(0.0), a)

    found = cv.jit(cv.vmap(f))(np.array([True, False, True]), np.ones((LANES, SIZE)))
    np.testing.assert_array_equal(found[:, :2], [[0, 1], [1, 0], [0, 1]])


def test_a_loop_that_ends_only_where_it_is_taken() -> None:
    def f(n: Any, a: Any) -> Any:
        def down(n: Any, a: Any) -> Any:
            step = lambda c: (c[0] - 1, c[1].at[c[0]].mul(3.0))  # noqa: E731
            return lax.while_loop(lambda c: c[0] != 0, step, (n, a))[1]

        return lax.cond(n < 0, lambda n, a: a, down, n, a)

    n, a = np.array([2, -1, 1], np.int32), np.ones((LANES, SIZE))
    found = cv.jit(cv.vmap(f))(n, a)
    np.testing.assert_array_equal(found[:, :3], [[1, 3, 3], [1, 1, 1], [1, 3, 1]])
    slopes = cv.jit(cv.vmap(cv.grad(lambda a, n: cnp.sum(f(n, a)))))(a, n)
    np.testing.assert_array_equal(slopes[:, :3], [[1, 3, 3], [1, 1, 1], [1, 3, 1]])


def test_where_all_are_asked_each_answers_as_if_it_had_taken_the_branch() -> None:
    """As in JAX."""

    def f(p: Any, a: Any, k: Any) -> Any:
        def yes(a: Any) -> Any:
            a = a.at[k].add(1.0)
            return a.at[0].set(lax.psum(a[k], "i"))

        return lax.cond(p, yes, lambda a: a.at[1].mul(2.0), a)

    a = np.arange(LANES * SIZE, dtype=float).reshape(LANES, SIZE)
    p, k = np.array([True, False, True]), np.arange(LANES)
    found = cv.vmap(f, axis_name="i")(p, a, k)
    total = a[k, k].sum() + LANES
    np.testing.assert_array_equal(found[:, :2], [[total, 1], [70, 142], [total, 141]])


# Nested forms: lanes run to their own ends, and what all share stays a branch.


def to_its_own_end(x: Any) -> Any:
    step = lambda c: (c[0] + 0.1, cnp.sin(c[1]) * 1.01)  # noqa: E731
    return lax.while_loop(lambda c: c[0] < x, step, (0.0, x))[1]


def chosen(x: Any) -> Any:
    return lax.cond(x > 0.5, to_its_own_end, lambda x: x * 2, x)


def often(x: Any) -> Any:
    return lax.fori_loop(0, 3, lambda _, x: chosen(x), x)


def twice_chosen(x: Any) -> Any:
    return lax.cond(x > 0.1, chosen, cnp.cos, x)


@pytest.mark.parametrize("way", [lambda f: f, cv.grad], ids=["value", "slope"])
@pytest.mark.parametrize("f", [chosen, often, twice_chosen], ids=lambda f: f.__name__)
def test_loops_in_branches_run_on_lanes(f: Any, way: Any) -> None:
    x = cnp.asarray(np.linspace(0, 1, 100))
    run = cv.jit(cv.vmap(way(f)))
    loops = [t for t in run.lower(x).compile().as_text().splitlines() if "for lane" in t]
    assert loops
    assert all("@ vector" in t for t in loops)
    np.testing.assert_allclose(run(x)[::9], [way(f)(y) for y in x[::9]], rtol=1e-6)


def test_what_all_share_stays_a_branch_inside_of_a_choice() -> None:
    def f(p: Any, x: Any) -> Any:
        def step(i: Any, x: Any) -> Any:
            shared = lambda x: lax.cond(p & (i > 3), cnp.sin, cnp.cos, x)  # noqa: E731
            return lax.cond(x > 0.5, shared, lambda x: x * 2, x)

        return lax.fori_loop(0, 10, step, x)

    def conds(program: Any) -> int:
        inside = [conds(p) for e in program.eqns for p in e.primitive.programs()]
        return sum(inside) + sum(e.primitive.name == "cond" for e in program.eqns)

    traced: Any = cv.jit(cv.vmap(f, (None, 0))).trace(True, np.linspace(0, 1, 10))
    assert conds(traced.program) == 1


COMBINED = {"mul": lambda x, y: x * y, "min": cnp.minimum, "max": cnp.maximum}


@pytest.mark.parametrize("s", [-5.0, 0.3, 5.0])
@pytest.mark.parametrize("combine", COMBINED)
def test_slopes_of_one_place_that_is_traced(
    combine: str, s: float, rng: np.random.Generator
) -> None:
    a = cnp.asarray(rng.normal(size=SIZE))
    f = lambda a, s, i: cnp.sum(cnp.sin(getattr(a.at[i], combine)(s)) ** 2)  # noqa: E731
    found = cv.jit(cv.grad(f, (0, 1)))(a, s, 7)
    one = lambda x, s: cnp.sin(COMBINED[combine](x, s)) ** 2  # noqa: E731
    at, by = cv.grad(one, (0, 1))(a[7], s)
    np.testing.assert_allclose(found[0], cnp.sin(2 * a).at[7].set(at), rtol=1e-6)
    np.testing.assert_allclose(found[1], by, rtol=1e-6)
