"""What JAX's functions take, and how weak results are: lists, several axes, keys, weak arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.surface.conftest import by_reference

import covector as cv
import covector.numpy as cnp
from covector import nn, random


def weak(*numbers: float) -> Any:
    """A weak vector: of numbers that were made arrays one by one."""
    return cnp.stack([cnp.asarray(v) for v in numbers])


X = np.arange(24.0, dtype=np.float32).reshape(2, 3, 4)
W = np.arange(12.0, dtype=np.float32).reshape(3, 4) + 1

SAME_AS_NUMPY: dict[str, Callable[[Any], Any]] = {
    "shape of a list": lambda m: m.shape([[1, 2, 3]]),
    "ndim of a tuple": lambda m: m.ndim((1, (2))),
    "size of a list": lambda m: m.size([[1, 2]]),
    "size along an axis": lambda m: m.size([[1, 2]], 0),
    "equal lists": lambda m: m.array_equal([1, 2], (1, 2)),
    "equivalent lists": lambda m: m.array_equiv([1], [[1, 1]]),
    "a number as a shape": lambda m: m.broadcast_shapes(3, (2, 1)),
    "weights of two axes": lambda m: m.average(X, (1, 2), W),
    "weights of axes in another order": lambda m: m.average(X, (-1, 1), W.T),
    "weights and their sum": lambda m: m.average(X, (1, 2), W, returned=True)[1],
    "powers of nothing": lambda m: m.vander(np.zeros(0, np.float32)),
    "no powers": lambda m: m.vander(np.ones(2, np.float32), 0),
    "the area of nothing": lambda m: m.trapezoid(np.zeros((2, 0), np.float32)),
    "the area of one point": lambda m: m.trapezoid(np.ones(1, np.float32), np.ones(1, np.float32)),
    "quotients in order": lambda m: m.divide.reduce(np.array([1, 2, 4], np.int32)),
    "running quotients": lambda m: m.divide.accumulate(np.array([[1, 2], [3, 5]], np.uint8), 1),
    "a sum of exponentials": lambda m: m.logaddexp.reduce(np.array([1, 2, 4], np.int32)),
    "quotients of pieces": lambda m: m.divide.reduceat(np.array([8, 2, 4], np.int32), np.array([0, 1])),
    "in listed order": lambda m: m.einsum("ij,jk,kl->il", W, W.T, W, optimize=["einsum_path", (1, 2), (0, 1)]),
    "all at once": lambda m: m.einsum("ij,jk,kl->il", W, W.T, W, optimize=["einsum_path", (0, 1, 2)]),
}  # fmt: skip


@pytest.mark.parametrize("name", SAME_AS_NUMPY)
def test_as_numpy(name: str) -> None:
    call = SAME_AS_NUMPY[name]
    np.testing.assert_allclose(np.asarray(call(cnp)), np.asarray(call(np)), rtol=1e-5)


WEAK: dict[str, tuple[Callable[[], Any], bool]] = {
    "pad of a number": (lambda: cnp.pad(1.0, 2), True),
    "pad": (lambda: cnp.pad(weak(1.5, 2.5), 1), True),
    "pad with a ramp": (lambda: cnp.pad(weak(1.5, 2.5), 1, "linear_ramp"), True),
    "pad with means": (lambda: cnp.pad(weak(1.5, 2.5), 1, "mean"), True),
    "insert": (lambda: cnp.insert(weak(1.5, 2.5), 1, 9), True),
    "einsum": (lambda: cnp.einsum("i->", weak(1.5, 2.5)), True),
    "power of truth": (lambda: weak(1.5, 2.5) ** cnp.asarray(True), True),
    "power of integers": (lambda: weak(1.5, 2.5) ** cnp.arange(2), False),
    "edges of bins": (lambda: cnp.histogram(weak(1.5, 2.5), weak(0.0, 4.0))[1], False),
    "logical_and with truth": (lambda: cnp.logical_and(cnp.asarray(2), True), False),
    "logical_and of arrays": (lambda: cnp.logical_and(weak(1, 2), cnp.ones(2)), False),
    "logical_or of truth": (lambda: cnp.logical_or(True, False), False),
    "logical_xor of numbers": (lambda: cnp.logical_xor(2.0, 1), True),
    "logical_not of a number": (lambda: cnp.logical_not(cnp.asarray(1)), True),
}


@pytest.mark.parametrize("name", WEAK)
def test_weak_results(name: str) -> None:
    call, wanted = WEAK[name]
    assert call().weak_type == wanted


WRONG: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "weights": (lambda: cnp.average(X, (1, 2), W.T), ValueError, "that of the axes"),
    "a step too far": (
        lambda: cnp.einsum("ij,jk", W, W.T, optimize=[(0, 2)]),
        ValueError,
        "where there are 2 operands",
    ),
    "too few steps": (
        lambda: cnp.einsum("ij,jk,kl", W, W.T, W, optimize=[(0, 1)]),
        ValueError,
        "leaves 2 operands",
    ),
    "comparisons of results": (
        lambda: cnp.equal.reduce(np.arange(3)),
        TypeError,
        "no operand beside int64",
    ),
    "an array as a dtype": (lambda: cnp.ones(2, dtype=np.ones(2)), ValueError, "is no dtype"),
    "an int of a vector": (lambda: int(cnp.ones(1)), TypeError, "shape"),
    "a float of a vector": (lambda: float(cnp.ones((1, 1))), TypeError, "shape"),
    "a complex of a vector": (lambda: complex(cnp.ones(1)), TypeError, "shape"),
    "an order of bytes": (lambda: cnp.ones(2).tobytes("Q"), ValueError, "order"),
    "windows": (
        lambda: nn.dot_product_attention(X, X, X, local_window_size=1.5),
        TypeError,
        "local_window_size",
    ),
    "lengths": (
        lambda: nn.dot_product_attention(X, X, X, query_seq_lengths=[1, 2]),
        ValueError,
        "query_seq_lengths has shape",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments(name: str) -> None:
    call, error, text = WRONG[name]
    with pytest.raises(error, match=text):
        call()


def test_what_has_a_shape_and_a_dtype_is_a_type() -> None:
    class Described:
        shape, dtype = (2,), np.dtype("float32")

    assert cv.eval_shape(lambda x: x + 1, Described()).shape == (2,)
    assert "float32[2]" in str(cv.make_jaxpr(lambda x: x + 1)(Described()))
    (found,) = cv.linear_transpose(lambda x: x * 2, Described())(cnp.ones(2))
    np.testing.assert_array_equal(found, [2, 2])


def test_keys_are_moved_and_compared() -> None:
    keys = random.split(random.key(0), 4)
    first, second = cnp.split(keys, 2)
    assert (cnp.concatenate([first, second]) == keys).all()
    assert cnp.atleast_1d(keys[0]).shape == (1,)
    assert cnp.zeros_like(keys).shape == (4,)
    assert (cnp.full_like(keys, keys[1]) == keys[1]).all()
    assert cnp.broadcast_arrays(keys[0], keys)[0].shape == (4,)
    assert (cnp.copy(keys) == keys).all()
    assert cnp.isclose(keys, keys).all()
    assert cnp.array_equal(keys, keys)
    assert not cnp.allclose(keys, keys[::-1])
    assert cnp.copy.__name__ == "copy"


def test_lists_of_narrow_floats_and_numbers() -> None:
    one = cnp.ones((), "bfloat16")
    found = cnp.asarray([[one, 2], [2.5, 3]])
    assert found.dtype == cnp.bfloat16
    np.testing.assert_array_equal(found.astype("float32"), [[1, 2], [2.5, 3]])


def test_bytes_in_an_order() -> None:
    x = cnp.arange(6).reshape(2, 3)
    for order in ("C", "F", "A", None):
        assert x.tobytes(order) == np.asarray(x).tobytes(order)  # type: ignore[arg-type]
    assert x.tobytes(order="F") == x.T.tobytes()


def _attention(q: np.ndarray, k: np.ndarray, v: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """By the formula, where queries see keys: (batch, T, S)."""
    logits = np.einsum("btnh,bsnh->bnts", q, k) / np.sqrt(q.shape[-1])
    logits = np.where(seen[:, None], logits, -1e30)
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    return np.einsum("bnts,bsnh->btnh", weights / weights.sum(-1, keepdims=True), v)


PLACES = np.arange(5)[None, :] - np.arange(4)[:, None]
SEEN: dict[str, tuple[dict[str, Any], np.ndarray]] = {
    "a window": ({"local_window_size": 1}, np.abs(PLACES) <= 1),
    "two sides": ({"local_window_size": (2, 0)}, (PLACES >= -2) & (PLACES <= 0)),
    "a causal window": (
        {"local_window_size": 1, "is_causal": True},
        (PLACES >= -1) & (PLACES <= 0),
    ),
    "lengths": (
        {"key_value_seq_lengths": np.array([3, 5])},
        np.arange(5) < np.array([3, 5])[:, None, None],
    ),
}


@pytest.mark.parametrize("name", SEEN)
def test_what_queries_see(name: str) -> None:
    with by_reference():
        r = np.random.default_rng(0)
        q, k, v = (r.normal(size=(2, n, 2, 3)).astype("float32") for n in (4, 5, 5))
        options, seen = SEEN[name]
        wanted = _attention(q, k, v, np.broadcast_to(seen, (2, 4, 5)))
        found = nn.dot_product_attention(q, k, v, **options)
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
        lengths = np.array([1, 4], np.int32)
        found, sums = nn.dot_product_attention(
            q, k, v, query_seq_lengths=lengths, return_residual=True, **options
        )
        np.testing.assert_array_equal(found[0, 1:], 0)
        np.testing.assert_allclose(found[1], wanted[1], rtol=1e-4, atol=1e-5)
        assert sums.shape == (2, 4, 2)


def test_complex_logarithms_of_sums_are_weak_without_axes() -> None:
    for f in (cnp.logaddexp, cnp.logaddexp2):
        for x in (1j, cnp.asarray(1j), cv.lax.full((2,), 1j), cnp.ones(2, "complex64")):
            assert f(x, 1j).weak_type == (not np.ndim(x)), (f, x)
            assert f(2, x).weak_type == (not np.ndim(x)), (f, x)
        assert f(1.5, cv.lax.full((2,), 1.5)).weak_type


def test_the_type_of_what_is_numpys_is_that_of_its_array() -> None:
    with cv.enable_x64(False):
        for x in (np.float64(1), np.ones(2), np.int64(3), np.complex128(1), np.ones(2, bool)):
            assert cv.typeof(x) == cv.typeof(cnp.asarray(x))
    assert cv.typeof(np.ones(2)).dtype == np.float64
