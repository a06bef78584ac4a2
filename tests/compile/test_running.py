"""Running folds on lanes: lengths around whole vectors, in both directions, fused, in place; what is none of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import covector
from covector import lax, numpy as cnp

FOLDS: dict[str, tuple[Callable[..., Any], np.ufunc]] = {
    "sum": (lax.cumsum, np.add),
    "prod": (lax.cumprod, np.multiply),
    "max": (lax.cummax, np.maximum),
    "min": (lax.cummin, np.minimum),
}


def numbers(rng: np.random.Generator, n: int, dtype: str) -> np.ndarray:
    """Numbers around 1, or small integers: products of many stay in range, or wrap."""
    if dtype.startswith(("int", "uint")):
        return rng.integers(1, 5, n).astype(dtype)
    return (rng.random(n) / 5 + 0.9).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "uint8", "float16", "complex64"])
@pytest.mark.parametrize("name", FOLDS)
def test_running_folds(name: str, dtype: str) -> None:
    fold, ufunc = FOLDS[name]
    if dtype == "complex64" and name in ("max", "min"):
        return  # those compare two parts: they are not such loops
    rng = np.random.default_rng(0)
    lengths = ((1, False), (32, False), (33, False)) if dtype == "float32" else ()
    for n, reverse in (*lengths, (33, True), (200, False)):
        x = numbers(rng, n, dtype)
        if n == 200 and dtype.startswith("float"):
            x[150], x[20] = np.nan, -0.0
        ends = slice(None, None, -1 if reverse else 1)
        wanted = ufunc.accumulate(x[ends], dtype=x.dtype)[ends]
        run = covector.jit(lambda x, r=reverse: fold(x, reverse=r))
        close = {"rtol": 0.05 if dtype == "float16" else 1e-4}
        np.testing.assert_allclose(np.asarray(run(x)), wanted, **close)
    taken = covector.jit(lambda x: fold(x * x) * 3, donate_argnums=0)
    x = numbers(rng, 100, dtype)
    wanted = ufunc.accumulate(x * x, dtype=x.dtype) * np.dtype(dtype).type(3)
    np.testing.assert_allclose(np.asarray(taken(cnp.array(x))), wanted, rtol=0.05)


def test_lanes_run_along_a_row() -> None:
    x = np.random.default_rng(0).standard_normal((5, 100)).astype(np.float32)
    run = covector.jit(lambda x: cnp.cumsum(x, 1))
    np.testing.assert_allclose(run(x), np.cumsum(x, 1), rtol=1e-4, atol=1e-5)
    assert "shufflevector" in run.lower(x).compile().as_text("llvm")


def test_a_scan_that_keeps_its_sums() -> None:
    def step(carry: Any, x: Any) -> tuple[Any, Any]:
        high, total = carry
        carry = cnp.maximum(high, x), total + 2 * x
        return carry, carry

    x = np.random.default_rng(0).standard_normal(1000)
    (high, total), (highs, totals) = covector.jit(lambda x: lax.scan(step, (-1.0, 0.5), x))(x)
    np.testing.assert_array_equal(highs, np.maximum(np.maximum.accumulate(x), -1))
    np.testing.assert_allclose(totals, 0.5 + np.cumsum(2 * x))
    assert (high, total) == (highs[-1], totals[-1])


def test_what_reads_a_state_is_no_running_fold() -> None:
    """Each operand needs the state before it, or an element that the loop has written."""

    def step(carry: Any, x: Any) -> tuple[Any, Any]:
        return carry + x * carry, carry

    def fill(n: Any, y: Any) -> Any:
        return y.at[n + 1].set(y[n] + y[n + 1])

    x = np.random.default_rng(0).random(100) / 10
    last, seen = covector.jit(lambda x: lax.scan(step, 1.0, x))(x)
    np.testing.assert_allclose(last, np.prod(1 + x))
    np.testing.assert_allclose(seen[1:], np.cumprod(1 + x)[:-1])
    filled = covector.jit(lambda y: lax.fori_loop(0, 99, fill, y))(x)
    np.testing.assert_allclose(filled, np.cumsum(x))
