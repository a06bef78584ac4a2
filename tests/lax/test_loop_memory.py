"""What users say of the memory of a loop's gradient: its tape, and a policy; bounds and values of every kind."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import covector as cv
import covector.numpy as cnp
from covector import checkpoint_policies as policies, lax


def powers(x: Any, n: Any, **memory: Any) -> Any:
    return lax.fori_loop(0, n, lambda i, c: cnp.sin(c) * x + c * 0.1, x, **memory)


def repeated(x: Any, n: Any, **memory: Any) -> Any:
    step = lambda c: (c[0] + 1, cnp.sin(c[1]) * x + c[1] * 0.1)  # noqa: E731
    return lax.while_loop(lambda c: c[0] < n, step, (0, x), **memory)[1]


@pytest.mark.parametrize("policy", [None, policies.everything_saveable, policies.nothing_saveable])
@pytest.mark.parametrize("tape", [0, 100, 1 << 20])
@pytest.mark.parametrize("f", [powers, repeated])
def test_the_gradient_is_the_same(f: Any, tape: int, policy: Any) -> None:
    wanted = cv.grad(lambda x: powers(x, 300))(0.8)
    slope = cv.jit(cv.grad(lambda x, n: f(x, n, checkpoint=policy, tape_bytes=tape)))
    assert float(slope(0.8, 300)) == pytest.approx(float(wanted), rel=1e-5)
    assert float(slope(0.8, 0)) == 1


def test_a_tape_is_as_long_as_it_is_said() -> None:
    def size(tape: int | None) -> int:
        slope = cv.jit(cv.grad(lambda x, n: repeated(x, n, tape_bytes=tape)))
        return slope.lower(0.8, 3).compile().memory_analysis().temp_size_in_bytes

    assert size(0) < size(1 << 16) - 60_000 < size(None) - 15_000_000


def test_memory_that_there_is_not_is_an_error_and_nothing_is_lost() -> None:
    x = cnp.asarray(0.8)
    with pytest.raises(MemoryError):
        cv.jit(cv.grad(lambda x, n: repeated(x, n, tape_bytes=1 << 60)))(x, 3)
    assert float(x) == pytest.approx(0.8)
    assert np.isfinite(cv.jit(cv.grad(repeated))(x, 3))


def test_what_is_no_memory_is_told() -> None:
    for bad, error in ((-1, ValueError), (1.5, TypeError)):
        with pytest.raises(error, match="while_loop"):
            repeated(0.5, 3, tape_bytes=bad)
    with pytest.raises(TypeError, match="checkpoint"):
        repeated(0.5, 3, checkpoint="dots")


@pytest.mark.parametrize("run", [lambda f: f, cv.jit], ids=["known", "traced"])
def test_bounds_have_one_dtype(run: Any) -> None:
    count = run(lambda a, b: lax.fori_loop(a, b, lambda i, n: n + 1, 0))
    for dtype in ("int8", "uint8", "int32", "uint32"):
        assert int(count(cnp.asarray(1, dtype), cnp.asarray(4, dtype))) == 3
        assert int(count(1, cnp.asarray(4, dtype))) == 3
    with pytest.raises(TypeError, match=r"one dtype, got int8\[\] and int32\[\]"):
        count(cnp.asarray(1, "int8"), cnp.asarray(4, "int32"))


def test_arrays_that_hold_nothing_are_carried() -> None:
    nothing = np.zeros((3,), cv.dtypes.float0)
    step = lambda c: (c[0] + 1, c[1])  # noqa: E731
    found = [
        cv.jit(lambda n: lax.while_loop(lambda c: c[0] < n, step, (0, nothing)))(3)[1],
        cv.jit(lambda n: lax.fori_loop(0, n, lambda _, c: step(c), (0, nothing)))(3)[1],
        lax.scan(lambda c, x: (c, c[1]), (0, nothing), None, length=2)[0][1],
        lax.cond(cnp.asarray(True), lambda a: a, lambda a: a, nothing),
    ]
    for x in found:
        assert (x.dtype, x.shape) == (cv.dtypes.float0, (3,))
    assert lax.scan(lambda c, x: (c, c), nothing, None, length=2)[1].shape == (2, 3)
