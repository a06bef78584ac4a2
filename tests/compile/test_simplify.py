"""Laws of the simplifier: what they say, and that they change no bit."""

from typing import Any

import numpy as np
import pytest

import covector
from covector._engine.types import dtypes


def program(f: Any, *args: Any) -> str:
    return covector.jit(f).lower(*args).compile().as_text("program")


@pytest.mark.parametrize("dtype", [d for d in dtypes.ALL if dtypes.kind(d) == "f"], ids=str)
def test_division_by_powers_of_two(dtype: np.dtype) -> None:
    limits = dtypes.finfo(dtype)
    special = [0.0, -0.0, np.inf, -np.inf, np.nan, float(limits.max), float(limits.tiny), 1e-3]
    x = np.array([*special, *np.random.default_rng(0).standard_normal(50)]).astype(dtype)
    for power in (-200, -30, -13, -3, 0, 1, 3, 14, 15, 30, 127, 200, 1022, 1023):
        with np.errstate(all="ignore"):
            c = np.ldexp(1.0, power).astype(dtype)
            wanted = (x.astype(np.float64) / float(c) if c else x / c).astype(dtype)
        found = np.asarray(covector.jit(lambda x, c=c: x / c)(x))
        pair = found.astype(np.float64), wanted.astype(np.float64)
        np.testing.assert_array_equal(*pair, err_msg=f"2**{power}")


def test_reciprocals_only_where_they_are_exact() -> None:
    x = np.ones(3, np.float32)
    assert " mul " in program(lambda x: x / 8, x)
    assert " div " in program(lambda x: x / 3, x)
    assert " div " in program(lambda x: x / np.float32(2.0**127), x), "2**-127 is not normal"
    assert " div " in program(lambda x: x / np.float32(np.inf), x)
    assert " div " in program(lambda x: x / 0.0, x)
    assert " div " in program(lambda x: 8 / x, x)


def test_what_is_known_of_integers_is_computed_once() -> None:
    """So a division by a number is one by a constant, which needs no guard and no division."""
    x = np.arange(1, 50, dtype=np.int32)
    found = program(lambda x: covector.numpy.where(x // 2 > 3, x % 3, -x), x)
    assert not any(known in found for known in ("eq 2 0", "eq 3 0")), found
    kernel = covector.jit(lambda x: (x // 2, x % 3)).lower(x).compile().as_text("kernels")
    assert all(plain in kernel for plain in ("in0[i0] / 2)", "(rem(in0[i0], 3)")), kernel
    for y in (-7, -1, 1, 2, 3, 2**31 - 1):
        for f in (lambda x, y: x // y, lambda x, y: x % y):
            given = np.array([-(2**31), -9, -1, 0, 1, 5, 2**31 - 1], np.int32)
            with np.errstate(all="ignore"):
                wanted = f(given, np.int32(y))
            found = covector.jit(lambda x, f=f, y=y: f(x, np.int32(y)))(given)
            np.testing.assert_array_equal(found, wanted)
