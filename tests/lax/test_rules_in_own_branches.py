"""Functions with rules of their own in branches that each element of a batch chooses, and arrays that they change.

The rules scale derivatives, so that one that is lost shows; roots have no slope where a branch is not taken.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import covector as cv
import covector.numpy as cnp
from covector import lax

SIZE, STEPS, LANES = 70, 9, 3
Change = Callable[[Any, Any, Any], Any]  # of a place, an array, a number: the array, the number


def change(t: Any, a: Any, s: Any) -> Any:
    return a.at[t].set(cnp.sqrt(s) * a[t - 1]), s - a[t + 1] * 0.1 - 1.0


def forwards(rule: Change) -> Change:
    f = cv.custom_jvp(change)

    @f.defjvp
    def _(primals: Any, tangents: Any) -> Any:
        outs, pushed = cv.jvp(lambda a, s: change(primals[0], a, s), primals[1:], tangents[1:])
        return outs, rule(primals[0], *pushed)

    return f


def backwards(rule: Change) -> Change:
    f = cv.custom_vjp(change)

    def there(t: Any, a: Any, s: Any) -> Any:
        return change(t, a, s), (t, a[t - 1], s)

    def back(kept: Any, cts: Any) -> Any:
        t, before, s = kept
        a, ct = rule(t, *cts)
        at, root = a[t], cnp.sqrt(s)
        a = a.at[t].set(0.0).at[t - 1].add(root * at).at[t + 1].add(-0.1 * ct)
        return None, a, ct + 0.5 * before * at / root

    f.defvjp(there, back)
    return f


RULES: dict[str, Change] = {
    "jvp": forwards(lambda t, a, s: (a.at[t].mul(2.0), s * 3.0)),
    "jvp that makes it anew": forwards(lambda t, a, s: (a * 2.0, s + a[t])),
    "jvp that is zero": forwards(lambda t, a, s: (cnp.zeros_like(a), s)),
    "vjp": backwards(lambda t, a, s: (a.at[t].mul(2.0), s * 3.0)),
    "vjp that makes it anew": backwards(lambda t, a, s: (a * 2.0, s + a[t])),
    "vjp that is zero": backwards(lambda t, a, s: (cnp.zeros_like(a), s)),
    "checkpoint": cv.checkpoint(change),
    "checkpoint of a rule": cv.checkpoint(forwards(lambda t, a, s: (a.at[t].mul(2.0), s * 3.0))),
}


def looped(f: Change) -> Callable[[Any, Any], Any]:
    def step(t: Any, c: Any) -> Any:
        a, s = c
        return lax.cond(s > 0, lambda: f(t, a, s), lambda: (a.at[t].add(s), s + 1.7))

    def run(a: Any, s: Any) -> Any:
        a, s = lax.fori_loop(1, STEPS, step, (a, s))
        return cnp.sum(cnp.sin(a)) * s

    return run


def close(found: Any, wanted: Any) -> None:
    for got, want in zip(cv.tree.leaves(found), cv.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", RULES)
def test_each_element_takes_its_own(name: str, rng: np.random.Generator) -> None:
    a, s = rng.normal(size=(LANES, SIZE)), np.array([1.3, -0.4, 0.9])
    f = looped(RULES[name])
    close(cv.jit(cv.vmap(f))(a, s), np.array([f(a[k], s[k]) for k in range(LANES)]))
    slope = cv.grad(f, (0, 1))
    rows = [slope(a[k], s[k]) for k in range(LANES)]
    wanted = [np.stack(column) for column in zip(*rows, strict=True)]
    close(cv.jit(cv.vmap(slope))(a, s), wanted)
    close(cv.jit(cv.grad(lambda a, s: cnp.sum(cv.vmap(f)(a, s)), (0, 1)))(a, s), wanted)
    if "jvp" in name:
        da, ds = rng.normal(size=a.shape), rng.normal(size=s.shape)
        pushed = cv.jit(lambda a, s: cv.jvp(cv.vmap(f), (a, s), (da, ds))[1])(a, s)
        close(pushed, (wanted[0] * da).sum(1) + wanted[1] * ds)


def selects(program: Any) -> list[int]:
    """How many elements are selected from, wherever."""
    inside = [n for e in program.eqns for p in e.primitive.programs() for n in selects(p)]
    own = [v.aval.size for e in program.eqns if e.primitive.name == "select" for v in e.outputs]
    return [*own, *inside]


@pytest.mark.parametrize("name", ["jvp", "vjp", "checkpoint", "checkpoint of a rule"])
def test_nothing_selects_from_all_of_an_array(name: str) -> None:
    f, a, s = looped(RULES[name]), np.ones((LANES, SIZE)), np.ones(LANES)
    slope = cv.grad(f, (0, 1))
    ways: list[Any] = [cv.vmap(f), cv.vmap(slope)]
    ways.append(cv.grad(lambda a, s: cnp.sum(cv.vmap(f)(a, s)), (0, 1)))
    for way in ways:
        traced: Any = cv.jit(way).trace(a, s)
        assert max(selects(traced.program)) < LANES * SIZE
