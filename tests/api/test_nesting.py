"""Functions in functions: how deep they may nest, of those that trace what they are given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import covector
from covector import lax, numpy as cnp

Function = Callable[[Any], Any]
X = np.ones(3, np.float32)


def nested(wrap: Callable[[Function], Function], depth: int, inner: Function) -> Function:
    for _ in range(depth):
        inner = wrap(inner)
    return inner


def looped(f: Function) -> Function:
    return lambda x: lax.scan(lambda c, _: (f(c), None), x, None, length=1)[0]


def chosen(f: Function) -> Function:
    return lambda x: lax.cond(x.sum() > 0, f, lambda x: x, x)


def repeated(f: Function) -> Function:
    return lambda x: lax.while_loop(lambda c: c.sum() < 4, f, x)


def test_jitted_functions_nest_200_deep() -> None:
    """Three frames of ours a level, beside the one of the user's: 1,000 are what Python gives."""
    run = nested(lambda f: covector.jit(lambda x: f(x) + 1), 200, cnp.negative)
    np.testing.assert_array_equal(np.asarray(run(X)), X * 199)


@pytest.mark.parametrize(
    ("wrap", "depth"),
    [(looped, 30), (repeated, 30), (chosen, 100), (covector.checkpoint, 100)],
    ids=["scan", "while", "cond", "checkpoint"],
)
def test_what_holds_programs_nests(wrap: Callable[[Function], Function], depth: int) -> None:
    run = covector.jit(nested(wrap, depth, lambda x: x + 1))
    np.testing.assert_array_equal(np.asarray(run(X)), X * 2)


def test_too_deep_is_pythons_own_error() -> None:
    run = nested(lambda f: covector.jit(lambda x: f(x) + 1), 2000, cnp.negative)
    with pytest.raises(RecursionError):
        run(X)
    np.testing.assert_array_equal(np.asarray(covector.jit(cnp.negative)(X)), -X)  # goes on
