"""Python numbers keep their 64 bits until they meet an array, traced or not, and what is computed from them too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import covector as cv
import covector.numpy as cnp
from covector import config, lax

R = np.array([1.0, 3.0])
S = 0.1

# The function, and that it gives the same as NumPy on double numbers.
CASES: dict[str, Callable[[Any, Any], Any]] = {
    "times": lambda x, s: x * s, "plus": lambda x, s: s + x, "chain": lambda x, s: x * (1 - s) + s,
    "literals": lambda x, s: x * (s * 0.7 + 0.3) / (s - 3), "integer": lambda x, s: x * (s * 3),
    "power": lambda x, s: x * (1 - s) ** 2, "complex": lambda x, s: x * (s + 0.3j), "again": lambda x, s: x * s * s,
    "compare": lambda x, s: (x < 3 * s) * s + x, "negative": lambda x, s: x * -s,
}  # fmt: skip
HOW: dict[str, Callable[..., Any]] = {
    "eager": lambda f: f, "jit": cv.jit, "nested": lambda f: cv.jit(lambda x, s: cv.jit(f)(x, s)),
    "vmap": lambda f: cv.vmap(f, in_axes=(0, None)), "vmap of jit": lambda f: cv.vmap(cv.jit(f), in_axes=(0, None)),
    "jit of vmap": lambda f: cv.jit(cv.vmap(f, in_axes=(0, None))),
    "jvp": lambda f: cv.jit(lambda x, s: cv.jvp(lambda x: f(x, s), (x,), (x,))[0]),
    "captured": lambda f: cv.jit(lambda x, s: lax.scan(lambda c, _: (f(x, s), None), f(x, s), None, length=1)[0]),
    "compiled": lambda f: lambda x, s: cv.jit(f).lower(x, s).compile()(x, s),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("how", HOW)
def test_beside_float64(name: str, how: str) -> None:
    f = CASES[name]
    found, wanted = HOW[how](f)(cnp.asarray(R), S), f(R, S)
    assert found.dtype == wanted.dtype
    np.testing.assert_allclose(np.asarray(found), wanted, rtol=5e-16)


@pytest.mark.parametrize("fast", [True, False], ids=["fast", "twin"])
def test_widths_of_one_function(fast: bool) -> None:
    """A number is as wide as what it meets; arrays and other numbers do not get mixed up with it."""
    f, x64, x32 = cv.jit(lambda x, s: (x * s, s * 2)), cnp.asarray(R), cnp.ones(2)
    with config.override(fast_paths=fast):
        for s in (0.1, 0.3, -0.0):
            assert f(x64, s)[0].tolist() == (R * s).tolist()
            assert f(x32, s)[0].tolist() == (np.ones(2, "f") * np.float32(s)).tolist()
            assert f(x64, s)[1].dtype == "float32"
            assert f(x64, s)[1].weak_type
        weak = cnp.asarray(0.1)
        assert f(x64, weak)[0].tolist() == (R * np.float64(np.float32(0.1))).tolist()
        assert f(x64, 3)[0].tolist() == [3, 9]
        with pytest.raises(OverflowError):
            f(x64, 2**40)


def test_carries_and_derivatives() -> None:
    x = cnp.asarray(R)
    for scan in (lax.scan, cv.jit(lambda f, c, x: lax.scan(f, c, x), static_argnums=0)):
        total, _ = scan(lambda c, y: (c + y, None), 0.1, x)
        assert float(total) == 0.1 + 1 + 3
    value, slope = cv.value_and_grad(lambda s: (x * s).sum())(0.1)
    assert float(value) == (R * 0.1).sum()
    assert slope.dtype == "float32"
    value, tangent = cv.jvp(lambda s: (x * s).sum(), (0.1,), (1.0,))
    assert float(value) == (R * 0.1).sum()
    assert float(tangent) == 4
    assert cv.grad(lambda x, s: (x * (1 - s)).sum())(x, 0.1).tolist() == [0.9, 0.9]
    _, aux = cv.grad(lambda s: (s * s, s), has_aux=True)(0.5)
    assert type(aux) is cv.Array


def test_long_chains_are_repeated_once() -> None:
    def f(x: Any, s: Any) -> Any:
        for _ in range(300):
            s = s + s * 0.5
            s = s * 0.5
        return x * s + x * s

    text = cv.jit(f).lower(cnp.asarray(R), 0.1).as_text()
    assert text.count("\n") < 3100  # twice the equations, and the literals
