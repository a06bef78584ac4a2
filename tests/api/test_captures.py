"""Functions under `jit` that use values of a transformation around them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import covector
from covector import numpy as cnp


@pytest.mark.parametrize(
    "transformed",
    [
        lambda f: covector.grad(f)(2.0),
        lambda f: covector.jit(covector.grad(f))(2.0),
        lambda f: covector.jvp(f, (2.0,), (1.0,))[1],
        lambda f: covector.vmap(covector.grad(f))(cnp.full(3, 2.0)),
    ],
)
def test_a_captured_value_is_traced_once(transformed: Callable[[Any], Any]) -> None:
    """With an argument that no transformation knows, and with one that it does."""
    for argument in (lambda w: 3.0, lambda w: w):
        count = 0

        def run(w: Any, argument: Any = argument) -> Any:
            def scaled(z: Any) -> Any:
                nonlocal count
                count += 1
                return z * w * w

            return covector.jit(scaled)(argument(w))

        np.testing.assert_allclose(transformed(run), 12.0)
        assert count == 1


def test_a_function_without_captures_keeps_its_fast_path() -> None:
    """First called under a transformation, it is compiled by the next call, and traced once in all."""
    count = 0

    @covector.jit
    def double(z: Any) -> Any:
        nonlocal count
        count += 1
        return z * 2

    assert float(covector.grad(lambda w: w * double(3.0))(1.0)) == 6.0
    assert float(double(3.0)) == 6.0
    assert float(double(4.0)) == 8.0
    assert count == 1
