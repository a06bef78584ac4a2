"""`associative_scan`: running results in the order of the elements, over pytrees, with derivatives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from covector import grad, jit, lax, numpy as cnp, vmap


def affine(a: Any, b: Any) -> Any:
    """One affine map after the other: it does not commute."""
    return {"m": a["m"] * b["m"], "c": a["c"] * b["m"] + b["c"]}


def one_by_one(m: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    ms, cs = [m[0]], [c[0]]
    for x, y in zip(m[1:], c[1:], strict=True):
        ms.append(ms[-1] * x)
        cs.append(cs[-1] * x + y)
    return np.array(ms), np.array(cs)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 8, 13])
@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("reverse", [False, True])
def test_it_is_the_loop(size: int, axis: int, reverse: bool, rng: np.random.Generator) -> None:
    m, c = rng.normal(size=(2, size, 3))
    wanted = [x[::-1] for x in one_by_one(m[::-1], c[::-1])] if reverse else one_by_one(m, c)
    given = {"m": m, "c": c} if axis == 0 else {"m": m.T, "c": c.T}
    f = jit(lambda x: lax.associative_scan(affine, x, reverse=reverse, axis=axis))
    found = [
        np.asarray(x) if axis == 0 else np.asarray(x).T for x in (f(given)["m"], f(given)["c"])
    ]
    np.testing.assert_allclose(found[0], wanted[0], rtol=1e-12)
    np.testing.assert_allclose(found[1], wanted[1], rtol=1e-12)


def test_derivatives_and_batches(rng: np.random.Generator) -> None:
    x = rng.uniform(0.5, 1.5, size=(2, 7))
    f = lambda x: lax.associative_scan(cnp.multiply, x).sum()  # noqa: E731
    products = lambda x: cnp.cumprod(x).sum()  # noqa: E731
    found, wanted = jit(vmap(grad(f)))(x), jit(vmap(grad(products)))(x)
    np.testing.assert_allclose(np.asarray(found), np.asarray(wanted), rtol=1e-12)


def test_elements_that_do_not_fit() -> None:
    x = np.ones(3)
    with pytest.raises(ValueError, match=r"elems\['b'\]: float64\[2\]"):
        lax.associative_scan(affine, {"a": x, "b": x[:2]})
    with pytest.raises(ValueError, match=r"elems is float64\[3\], which has no axis 1"):
        lax.associative_scan(cnp.add, x, axis=1)
    with pytest.raises(
        TypeError, match=r"must return the types that it takes .*elems: takes float64\[1\]"
    ):
        lax.associative_scan(lambda a, b: (a + b).astype(int), x)
    with pytest.raises(TypeError, match="must return the structure that it takes"):
        lax.associative_scan(lambda a, b: (a, b), x)
