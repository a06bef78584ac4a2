"""`jit(inline=)`: when the body of a jitted function takes the place of its call."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import covector as cv
import covector.numpy as cnp

X = cnp.arange(3.0)
WAYS = (True, False, *cv.Inline)


@pytest.mark.parametrize("inline", WAYS, ids=str)
def test_every_way_gives_the_same(inline: Any) -> None:
    f = cv.jit(lambda x, n: x * n + 1, inline=inline, static_argnums=1)

    def around(x: Any) -> Any:
        return cnp.sum(f(x, 2) ** 2)

    names = [str(e.primitive) for e in cv.make_jaxpr(lambda x: f(x, 2))(X).jaxpr.eqns]
    assert ("jit" in names) == (inline is not cv.Inline.JAX_EARLY)
    np.testing.assert_array_equal(f(X, 2), [1, 3, 5])
    np.testing.assert_array_equal(cv.jit(around)(X), 35)
    for grad in (cv.grad(around), cv.jit(cv.grad(around))):
        np.testing.assert_array_equal(grad(X), [4, 12, 20])
    np.testing.assert_array_equal(cv.vmap(lambda x: f(x, 2))(X), [1, 3, 5])


def test_functions_with_two_ways() -> None:
    def f(x: Any) -> Any:
        return x + 1.5

    def both(x: Any) -> Any:
        return cv.jit(f)(x), cv.jit(f, inline=cv.Inline.JAX_EARLY)(x)

    for _ in range(2):
        names = [str(e.primitive) for e in cv.make_jaxpr(both)(X).jaxpr.eqns]
        assert sorted(names) == ["add", "jit"]


def test_it_writes_to_references() -> None:
    total = cv.new_ref(0.0)

    def add(x: Any) -> Any:
        total[...] += x
        return total[...]

    f = cv.jit(add, inline=cv.Inline.JAX_EARLY)
    assert cv.jit(lambda x: f(x) + f(x))(2.0) == 6
    assert total[...] == 4


def test_what_is_no_way() -> None:
    for inline in ("jax_early", 3, None, X):
        with pytest.raises(ValueError, match="jit: inline must be True, False or one of"):
            cv.jit(lambda x: x, inline=inline)  # type: ignore[arg-type]
