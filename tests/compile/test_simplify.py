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
