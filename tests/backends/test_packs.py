"""Calls of one function on several numbers are one call on lanes, and give what each by itself gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import covector as cv
import covector.numpy as cnp
from covector import lax


def chained(c: Any) -> Any:
    """Calls that wait for calls, of two functions, with operands in common."""
    first = [cnp.sin(x) for x in c]
    second = [cnp.tanh(a * b) for a, b in zip(first, c, strict=True)]
    return tuple([cnp.cos(x) + a + b for x, a, b in zip(c, first, second, strict=True)])


def one_by_one(c: Any) -> Any:
    """Each waits for the one before: nothing is computed together."""
    found = [cnp.sin(c[0])]
    for x in c[1:]:
        found.append(cnp.sin(found[-1] + x))
    return tuple(found)


def two_arguments(c: Any) -> Any:
    return tuple(
        [cnp.arctan2(x, y) * cnp.power(abs(x), 1.5) for x, y in zip(c, c[::-1], strict=True)]
    )


def updated(c: Any) -> Any:
    """What is computed from memory that changes between the calls."""
    x = cnp.stack(c)
    for n in range(len(c)):
        x = x.at[n].set(cnp.sin(x[n - 1]) + x[n])
    return tuple([cnp.exp(-x[n]) for n in range(len(c))])


def under_conditions(c: Any) -> Any:
    def side(f: Any) -> Any:
        return lambda c: tuple([f(x) for x in c])

    return lax.cond(c[0] > 0, side(cnp.sin), side(cnp.cos), c)


STEPS: dict[str, Callable[[Any], Any]] = {
    f.__name__: f for f in (chained, one_by_one, two_arguments, updated, under_conditions)
}


@pytest.mark.parametrize("count", [3, 7, 20])
@pytest.mark.parametrize("name", STEPS)
def test_values_are_those_of_single_calls(name: str, count: int) -> None:
    step = STEPS[name]
    start = [0.3 * n - 1.0 for n in range(count)]

    def run(c: Any) -> Any:
        return lax.scan(lambda c, _: (step(c), c[0]), c, None, length=3)

    carried = tuple([np.float32(x) for x in start])
    wanted = carried
    for _ in range(3):
        wanted = tuple([np.float32(x) for x in step([cnp.asarray(x) for x in wanted])])
    got = cv.jit(run)(carried)[0]
    np.testing.assert_allclose(np.asarray(got), np.asarray(wanted), rtol=2e-6, atol=2e-6)


def packs(f: Callable[..., Any], count: int) -> int:
    """How many vectors are put together of single numbers."""
    text = cv.jit(f).lower(tuple([0.1 * n for n in range(count)])).compile().as_text("llvm")
    return text.count("float> poison, float")


def test_what_is_asked_for_together_is_computed_together() -> None:
    """As soon as there are four; what waits for each other, or for memory that changes, is not."""
    assert packs(chained, 3) == 0
    assert packs(chained, 4) == 2  # the operands of sines and cosines are one vector
    assert packs(one_by_one, 8) == 0
    assert packs(updated, 4) <= 1  # the exponentials at the end
