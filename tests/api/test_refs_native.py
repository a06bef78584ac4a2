"""Calls of compiled functions that touch references: native, and what is left to Python."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from tests.api.test_refs import refused

import covector as cv
import covector.numpy as cnp


def python_calls(f: Callable[..., Any], *args: Any) -> list[str]:
    """The names of the Python functions that a call runs."""
    names: list[str] = []
    sys.setprofile(
        lambda frame, event, _: names.append(frame.f_code.co_name) if event == "call" else None
    )
    try:
        f(*args)
    finally:
        sys.setprofile(None)
    return names


def test_calls_that_touch_refs_are_native() -> None:
    """Without a line of Python: what is passed, what is captured, what is written in other orders, and no copy."""
    one, two, alone = (cv.new_ref(cnp.full(3, float(n))) for n in range(3))

    @cv.jit
    def swap(x: Any, refs: dict[str, Any]) -> Any:
        refs["b"][...], refs["a"][...] = refs["a"][...], refs["b"][...]
        alone[0] += x
        return refs["a"][0], x

    x = cnp.asarray(5.0)
    swap(x, {"a": one, "b": two})
    assert python_calls(swap, x, {"a": one, "b": two}) == []
    first, same = swap(x, {"b": two, "a": one})
    assert (float(first), float(same)) == (1, 5)
    assert (one[...].tolist(), two[...].tolist()) == ([1] * 3, [0] * 3)
    assert alone[...].tolist() == [17, 2, 2]
    assert swap.cache_size() == 1
    swap(x, {"a": cv.new_ref(cnp.ones(3)), "b": two})
    assert swap.cache_size() == 1
    # what others see of the value stays as it was
    before = alone[...]
    swap(x, {"a": one, "b": two})
    assert (before.tolist(), alone[...].tolist()) == ([22, 2, 2], [27, 2, 2])


def test_native_calls_leave_to_python_what_they_do_not_know() -> None:
    ref, other = cv.new_ref(cnp.zeros(2)), cv.new_ref(cnp.zeros(2))

    @cv.jit
    def f(x: Any, r: Any) -> Any:
        ref[...] += x
        return r[0] * x

    f(cnp.asarray(1.0), other)
    assert python_calls(f, cnp.asarray(1.0), other) == []
    refused(ValueError, "also closes over it", f, 1.0, ref)
    refused(
        ValueError, "under vmap writes a Ref", cv.vmap(lambda x: f(1.0, other) + x), cnp.ones(2)
    )
    assert float(cv.grad(lambda x: f(cnp.asarray(1.0), other) + x * x)(3.0)) == 6
    assert float(cv.jit(lambda x: f(x, cv.new_ref(x * cnp.ones(2))))(2.0)) == 4
    before = ref[...].tolist()
    traced = cv.jit(lambda x: f(x, other))
    traced(1.0)
    assert ref[...].tolist() == [v + 1 for v in before]
    cv.freeze(ref)
    refused(RuntimeError, "cannot be used any more", f, 1.0, other)
