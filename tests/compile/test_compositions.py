"""Random compositions of loops, choices, rules and transformations mean what plain Python does with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, note, settings, strategies as st
from tests.amount import TIMES
from tests.compile.forms import SIZE, Compiled, Form, Plain, forms

import covector as cv
import covector.numpy as cnp


def of(kind: type[Plain], form: Form) -> Callable[[Any, Any], Any]:
    """The function of the form, and of what it closes over."""
    return lambda x, outside: kind(outside, outside * 0.5).build(form)(x)


def weighed(f: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *xs: cnp.sum(f(*xs) * cnp.asarray(np.array([0.7, -1.1, 0.4])))


def gradient(f: Callable[..., Any]) -> Callable[..., Any]:
    return cv.grad(weighed(f), (0, 1))


def curvature(f: Callable[..., Any]) -> Callable[..., Any]:
    def slope(*xs: Any) -> Any:
        a, b = gradient(f)(*xs)
        return cnp.sum(a * a) + cnp.sum(b)

    return cv.grad(slope, (0, 1))


def pushed(f: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, y: cv.jvp(f, (x, y), (y, x))


WAYS: dict[str, Callable[[Callable[..., Any]], Callable[..., Any]]] = {
    "value": lambda f: f,
    "gradient": gradient,
    "curvature": curvature,
    "pushed": pushed,
}


def assert_alike(actual: Any, wanted: Any) -> None:
    for a, w in zip(cv.tree.leaves(actual), cv.tree.leaves(wanted), strict=True):
        a, w = np.asarray(a), np.asarray(w)
        assert (a.shape, a.dtype) == (w.shape, w.dtype)
        scale = max(1.0, float(np.abs(w).max(initial=0)))
        np.testing.assert_allclose(a, w, rtol=1e-8, atol=1e-8 * scale)


@pytest.mark.parametrize("way", WAYS)
@given(st.data())
@settings(max_examples=4 * TIMES)
def test_compositions(way: str, data: Any) -> None:
    """Eager, compiled, and batched."""
    form = data.draw(forms(without=["custom_vjp"] if way in ("pushed", "curvature") else []))
    note(str(form))
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    xs, outside = [cnp.asarray(rng.uniform(-1, 1, (2, SIZE))) for _ in range(2)]
    plain, compiled = [WAYS[way](of(kind, form)) for kind in (Plain, Compiled)]
    wanted = [plain(x, y) for x, y in zip(xs, outside, strict=True)]
    assert_alike(compiled(xs[0], outside[0]), wanted[0])
    run = cv.jit(compiled)
    assert_alike([run(x, y) for x, y in zip(xs, outside, strict=True)], wanted)
    together = cv.jit(cv.vmap(compiled))(xs, outside)
    assert_alike([cv.tree.map(lambda a, k=k: a[k], together) for k in range(2)], wanted)
