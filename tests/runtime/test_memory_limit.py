"""Programs under a limit of memory, from none at all upwards: an error or the right values, and nothing is kept."""

import gc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import covector as cv
import covector.numpy as cnp
from covector import lax
from covector._engine import _native

SIDE = 120
STEP = SIDE * SIDE * 2
SQUARE = cv.random.normal(cv.random.key(0), (SIDE, SIDE))
SYMMETRIC = SQUARE @ SQUARE.T + cnp.eye(SIDE)
HALF = SQUARE.astype(cnp.bfloat16)
FLAT = SQUARE.reshape(-1)
IMAGE = SQUARE[None, None]


def _loop(x: Any) -> Any:
    return lax.fori_loop(0, 6, lambda i, c: cnp.sort(cnp.sin(c)) + i, x)


def _tape(x: Any) -> Any:
    return lax.scan(lambda c, _: (cnp.tanh(c @ SQUARE), c.sum()), x, None, length=9)[1].sum()


def _doubled(x: Any) -> Any:
    return cv.pure_callback(lambda a: np.asarray(a) * 2, cv.ShapeDtypeStruct(x.shape, x.dtype), x)


PROGRAMS: dict[str, tuple[Callable[..., Any], Any]] = {
    "loop": (_loop, FLAT),
    "tape": (cv.grad(_tape), SQUARE),
    "product": (lambda x: x @ x @ x, SQUARE),
    "product of bfloat16": (lambda x: cnp.matmul(x, x, preferred_element_type="float32"), HALF),
    "products of bfloat16": (lambda x: lax.map(lambda y: (y @ x.T) @ x, cnp.stack([x] * 3)), HALF),
    "convolution": (lambda x: lax.conv(x, cnp.ones((8, 1, 3, 3)), (1, 1), "SAME"), IMAGE),
    "convolution of bfloat16": (
        lambda x: lax.conv(x, cnp.ones((8, 1, 3, 3), "bfloat16"), (1, 1), "SAME"),
        IMAGE.astype(cnp.bfloat16),
    ),
    "scatter": (lambda x: cnp.zeros_like(x).at[cnp.argsort(x)].add(x), FLAT),
    "top": (lambda x: (lax.top_k(x, 100), cnp.median(x)), FLAT),
    "transform": (lambda x: cnp.fft.ifft2(cnp.fft.fft2(x)).real, SQUARE),
    "cholesky": (cnp.linalg.cholesky, SYMMETRIC),
    "eigh": (cnp.linalg.eigh, SYMMETRIC),
    "svd": (cnp.linalg.svd, SQUARE),
    "qr": (cnp.linalg.qr, SQUARE),
    "solve": (lambda x: cnp.linalg.solve(x, x), SYMMETRIC),
    "callback": (lambda x: _doubled(x + 1) + 1, FLAT),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_no_room_is_an_error(name: str) -> None:
    program, x = PROGRAMS[name]
    f = cv.jit(program)

    def leaves() -> list[np.ndarray]:
        return [np.array(y) for y in cv.tree.leaves(f(x))]

    wanted, failures = leaves(), 0
    gc.collect()
    before = _native.memory_stats()["bytes_in_use"]
    for room in range(0, 80 * STEP, STEP):
        _native.set_memory_limit(before + room)
        try:
            got = leaves()
        except MemoryError:
            got, failures = [], failures + 1
        finally:
            _native.set_memory_limit(0)
        assert _native.memory_stats()["bytes_in_use"] <= before
        if got:
            break
    else:
        pytest.fail("it never ended")
    assert failures > 0
    for y, z in zip(got, wanted, strict=True):
        np.testing.assert_array_equal(y, z)
