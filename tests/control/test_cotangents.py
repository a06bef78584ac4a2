"""Cotangents of parts of arrays are added in place: gradients of loops that read what they fill are linear."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.compile.test_calls import kernel_of
from tests.compile.test_oracle import work

import covector as cv
import covector.numpy as cnp
from covector import lax

BODIES: dict[str, Callable[[Any, Any, Any], Any]] = {
    "reads its place": lambda i, c, w: c.at[i].set(cnp.sin(c[i]) * w[i]),
    "reads the one before": lambda i, c, w: c.at[i].add(c[i - 1] * 0.5),
    "reads both": lambda i, c, w: c.at[i].set(c[i] * c[i - 1] + w[i - 1]),
    "in a branch": lambda i, c, w: lax.cond(
        c[i] > 0, lambda c: c.at[i].set(c[i] * w[i]), lambda c: c.at[i].add(1.0), c
    ),
    "slices": lambda i, c, w: lax.dynamic_update_slice(
        c, lax.dynamic_slice(c, (i,), (2,)) * lax.dynamic_slice(w, (i,), (2,)), (i // 2,)
    ),
    "gathers": lambda i, c, w: c.at[cnp.stack([i, i - 1])].multiply(
        w[cnp.stack([i - 1, i])], unique_indices=True
    ),
}
FORMS: dict[str, Callable[..., Any]] = {
    "scan": lambda n, body, x: lax.fori_loop(0, n, body, x),
    "while": lambda n, body, x: cv.lax.while_loop(
        lambda c: c[0] < n, lambda c: (c[0] + 1, body(*c)), (0, x)
    )[1],
}


def slope(form: str, name: str) -> Callable[..., Any]:
    def total(x: Any, w: Any) -> Any:
        y = FORMS[form](x.shape[0], lambda i, c: BODIES[name](i, c, w), x)
        return cnp.sum(y * cnp.cos(x))

    return cv.grad(total, (0, 1))


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("form", FORMS)
def test_values(form: str, name: str) -> None:
    def plain(x: Any, w: Any) -> Any:
        y = x
        for i in range(x.shape[0]):
            y = BODIES[name](i, y, w)
        return cnp.sum(y * cnp.cos(x))

    rng = np.random.default_rng(0)
    x, w = [cnp.asarray(rng.normal(size=5)) for _ in range(2)]
    found = cv.jit(slope(form, name))(x, w)
    for a, b in zip(found, cv.grad(plain, (0, 1))(x, w), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", BODIES)
def test_work_is_linear(name: str) -> None:
    """What runs for twice as many elements is twice as much: no step goes over all of them."""
    few, many = (work(kernel_of(slope("scan", name), *_vectors(n)).body) for n in (400, 800))
    assert many < 2.2 * few


def _vectors(n: int) -> list[Any]:
    return [cnp.ones(n, np.float32), cnp.ones(n, np.float32)]


def test_a_part_is_added_where_it_lies() -> None:
    """The law, against the same without it: parts that overlap, that are moved inside, and sums that others read."""

    def f(x: Any, i: Any) -> Any:
        parts = [lax.dynamic_slice(x, (i + k,), (3,)) * (k + 1) for k in range(3)]
        return cnp.sum(sum(parts) ** 2) + x[i] * x[-1] + x[cnp.asarray([1, 1, 9])].sum()

    x = cnp.arange(5.0)
    every = cv.grad(f)
    for i in (-1, 0, 2, 4):
        np.testing.assert_allclose(cv.jit(every)(x, i), every(x, i), rtol=1e-6)
        np.testing.assert_allclose(
            cv.jit(cv.vmap(every, (None, 0)))(x, cnp.asarray([i, 1]))[0], every(x, i), rtol=1e-6
        )
