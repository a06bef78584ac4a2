"""`linear_transpose`: of what is linear in floating-point numbers, and in integers, where it is exact."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import covector as cv
import covector.numpy as cnp
from covector import lax, linear_transpose

LINEAR: dict[str, Any] = {
    "product": lambda x: x @ cnp.arange(8).reshape(4, 2).astype(x.dtype),
    "difference": lambda x: x - 2 * x,
    "sums": lambda x: (cnp.cumsum(x), x.sum(dtype=x.dtype)),
    "parts": lambda x: {"a": x[1:3], "b": x[cnp.array([0, 0, 2])], "c": x[::-1]},
    "padded": lambda x: cnp.pad(cnp.concatenate([x, 3 * x]), 1),
    "turned": lambda x: cnp.roll(cnp.broadcast_to(x, (2, 4)).T, 1, 0),
    "chosen": lambda x: cnp.where(cnp.array([True, False, True, True]), x, 0),
    "updated": lambda x: lax.dynamic_update_slice(x, x[:2], (1,)),
    "scattered": lambda x: cnp.zeros(3, x.dtype).at[cnp.array([0, 1, 1, 2])].add(x),
    "loop": lambda x: lax.scan(lambda c, y: (c + y, c), cnp.zeros((), x.dtype), x),
    "steps": lambda x: lax.fori_loop(0, 3, lambda i, c: c * 2, x),
    "branch": lambda x: lax.cond(cnp.array(True), lambda x: x * 2, lambda x: x, x),
    "checkpoint": cv.checkpoint(lambda x: cv.jit(lambda x: 3 * x)(x)),
    "each": cv.vmap(lambda y: 5 * y),
    "diagonal": lambda x: cnp.diag(x),
    "windows": lambda x: lax.reduce_window(x, cnp.zeros((), x.dtype), lax.add, (2,), (1,), "VALID"),
}


@pytest.mark.parametrize("dtype", ["int32", "uint8", "float32", "complex64"])
@pytest.mark.parametrize("name", LINEAR)
def test_a_transpose_is_the_adjoint(name: str, dtype: str) -> None:
    """⟨f(x), y⟩ = ⟨x, fᵀ(y)⟩, without a conjugate; exactly for integers, which wrap."""
    f, rng = LINEAR[name], np.random.default_rng(0)
    x = cnp.asarray(rng.integers(1, 9, 4)).astype(dtype)
    y = cv.tree.map(lambda a: cnp.asarray(rng.integers(1, 9, a.shape)).astype(dtype), f(x))
    (back,) = linear_transpose(f, x)(y)
    assert (back.shape, back.dtype) == (x.shape, x.dtype)
    pairs = zip(cv.tree.leaves(f(x)), cv.tree.leaves(y), strict=True)
    left = sum(np.sum(np.asarray(a) * np.asarray(b), dtype=dtype) for a, b in pairs)
    right = np.sum(np.asarray(x) * np.asarray(back), dtype=dtype)
    assert left.astype(dtype) == right


@pytest.mark.parametrize(
    ("f", "x"),
    [
        (lambda x: x / 2, cnp.arange(3)),
        (lambda x: x.astype("int32"), cnp.ones(3)),
        (lambda x: (x, x > 0), cnp.ones(3)),
        (lambda x: x, True),
    ],
)
def test_other_types_are_refused(f: Any, x: Any) -> None:
    with pytest.raises(TypeError, match="from floating-point numbers to such, and from integers"):
        linear_transpose(f, x)


def test_numbers_of_a_higher_kind_are_no_cotangents() -> None:
    """1.5 counted as 1 for a function of integers."""
    assert int(linear_transpose(lambda x: 3 * x, 1)(2)[0]) == 6
    assert float(linear_transpose(lambda x: 3 * x, 1.0)(2)[0]) == 6
    for x, ct in ((1, 1.5), (1.0, 1j)):
        with pytest.raises(TypeError, match="must have the same dtype"):
            linear_transpose(lambda x: 3 * x, x)(ct)
    with pytest.raises(ValueError, match="must have the same dtype"):
        cv.vjp(lambda x: x, 1.0)[1](1j)
    with pytest.raises(TypeError, match="must have the same dtype"):
        cv.jvp(lambda x: x, (1.0,), (1j,))


def test_axes_to_reduce_are_accepted_where_there_are_none() -> None:
    assert float(linear_transpose(lambda x: 3 * x, 1.0, reduce_axes=())(2.0)[0]) == 6
    with pytest.raises(NotImplementedError, match="reduce_axes='i'"):
        linear_transpose(lambda x: 3 * x, 1.0, reduce_axes="i")
