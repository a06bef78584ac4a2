"""lax: strict operands, explicit axes; against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.special

import covector as cv
import covector.numpy as cnp
from covector import lax
from covector._engine.core.trace import evaluate, stage, typeof

X = np.arange(12, dtype=np.float32).reshape(3, 4)


def traced(f: Any, *args: Any) -> Any:
    program = stage(lambda *xs: [f(*xs)], [typeof(a) for a in args])
    return evaluate(program, args)[0]


def same(actual: Any, expected: Any) -> None:
    np.testing.assert_allclose(np.asarray(actual), expected, rtol=1e-6)
    assert np.asarray(actual).dtype == np.asarray(expected).dtype


def test_elementwise() -> None:
    x = cnp.asarray(X) + 1
    n = np.asarray(x)
    same(lax.add(x, 1), n + 1)
    same(lax.sub(1.5, x), np.float32(1.5) - n)
    same(lax.max(x, x), n)
    same(lax.rsqrt(x), 1 / np.sqrt(n))
    same(lax.select(n > 3, n, -n), np.where(n > 3, n, -n))
    same(lax.select_n(n > 3, n, -n), np.where(n > 3, -n, n))
    same(
        lax.select_n(cnp.array([0, 1, 2]), *(cnp.full(3, float(i)) for i in (5, 6, 7))),
        np.float32([5, 6, 7]),
    )
    same(lax.clamp(2.0, x, 5.0), np.clip(n, 2, 5))
    same(lax.integer_pow(x, -2), n**-2.0)
    same(lax.pow(x, 2), n**2)
    same(lax.pow(x, cnp.full((3, 4), 3)), n**3)
    same(lax.reciprocal(x), 1 / n)
    same(lax.round(cnp.array([0.5, 2.5, -1.5])), np.float32([1, 3, -2]))
    same(
        lax.round(cnp.array([0.5, 2.5, -1.5]), lax.RoundingMethod.TO_NEAREST_EVEN),
        np.float32([0, 2, -2]),
    )
    same(lax.convert_element_type(x, int), n.astype(np.int32))
    same(lax.bitcast_convert_type(x, np.uint32), n.view(np.uint32))
    same(lax.complex(x, x), n + 1j * n)
    same(lax.stop_gradient(x), n)
    assert lax.add(1, 2).dtype == np.int32
    assert lax.igamma(x, x).shape == (3, 4)


@pytest.mark.parametrize(
    ("f", "text"),
    [
        (
            lambda: lax.add(cnp.ones(2), cnp.arange(2)),
            "different dtypes.*use the covector.numpy function",
        ),
        (lambda: lax.add(cnp.ones(2), cnp.ones(3)), "shapes that do not fit"),
        (lambda: lax.add(cnp.arange(2), 1.5), "different dtypes"),
        (lambda: lax.sin(cnp.arange(2)), "sin does not take int32"),
        (lambda: lax.sin([1.0]), "which is not an array"),
        (lambda: lax.add(cnp.ones(2)), "missing 1 required positional argument"),
    ],
)
def test_strictness(f: Any, text: str) -> None:
    with pytest.raises(TypeError, match=text):
        f()


def test_shapes() -> None:
    x = cnp.asarray(X)
    same(lax.reshape(x, (4, 3)), X.reshape(4, 3))
    same(lax.reshape(x, (12,), (1, 0)), X.T.reshape(12))
    same(lax.transpose(x, (1, 0)), X.T)
    same(lax.broadcast(x, (2,)), np.broadcast_to(X, (2, 3, 4)))
    same(lax.broadcast_in_dim(x, (3, 2, 4), (0, 2)), np.broadcast_to(X[:, None], (3, 2, 4)))
    same(lax.broadcast_in_dim(cnp.ones((1, 4)), (3, 4), (0, 1)), np.ones((3, 4), np.float32))
    same(lax.expand_dims(x, (0, -1)), X[None, ..., None])
    same(lax.squeeze(cnp.ones((1, 2, 1)), (0,)), np.ones((2, 1), np.float32))
    same(lax.collapse(cnp.ones((2, 3, 4)), 1), np.ones((2, 12), np.float32))
    same(lax.rev(x, (1,)), X[:, ::-1])
    same(lax.concatenate([x, x], 1), np.concatenate([X, X], 1))
    for got, wanted in zip(lax.split(x, [1, 3], 1), np.split(X, [1], 1), strict=True):
        same(got, wanted)
    same(lax.pad(x, 9.0, [(1, 2, 0), (0, 0, 0)]), np.pad(X, ((1, 2), (0, 0)), constant_values=9))
    same(lax.iota(np.int32, 4), np.arange(4, dtype=np.int32))
    same(
        lax.broadcasted_iota(np.float32, (2, 3), 1),
        np.broadcast_to(np.arange(3, dtype=np.float32), (2, 3)),
    )
    same(lax.full((2,), 3, np.int8), np.full(2, 3, np.int8))
    same(lax.full_like(x, 2), np.full((3, 4), 2, np.float32))
    with pytest.raises(ValueError, match="broadcast_dimensions"):
        lax.broadcast_in_dim(x, (4, 3), (0, 1))


def test_slices() -> None:
    x = cnp.asarray(X)
    same(lax.slice(x, (1, 0), (3, 4), (1, 2)), X[1:3, ::2])
    same(lax.slice_in_dim(x, 1, None, 2, axis=1), X[:, 1::2])
    same(lax.index_in_dim(x, -1, 1), X[:, -1:])
    same(lax.index_in_dim(x, 0, 0, keepdims=False), X[0])
    for i in (0, 1, 7, -1, -9):
        j = min(max(i + (3 if i < 0 else 0), 0), 1)
        same(lax.dynamic_slice(x, (i, 0), (2, 4)), X[j : j + 2])
        same(
            traced(lambda y, i: lax.dynamic_slice(y, (i, 0), (2, 4)), x, cnp.asarray(i)),
            X[j : j + 2],
        )
        expected = X.copy()
        expected[j : j + 2] = 0
        same(lax.dynamic_update_slice(x, cnp.zeros((2, 4)), (i, 0)), expected)
    same(lax.dynamic_slice(x, cnp.array([1, 2]), (1, 1)), X[1:2, 2:3])
    same(lax.dynamic_index_in_dim(x, 2, 1, keepdims=False), X[:, 2])
    same(lax.dynamic_slice_in_dim(x, 1, 2, axis=1), X[:, 1:3])
    expected = X.copy()
    expected[:, 2] = 5
    same(lax.dynamic_update_index_in_dim(x, cnp.full(3, 5.0), 2, 1), expected)


def test_gather_and_scatter() -> None:
    x = cnp.asarray(X)
    numbers = lax.GatherDimensionNumbers(
        offset_dims=(1,), collapsed_slice_dims=(0,), start_index_map=(0,)
    )
    same(lax.gather(x, cnp.array([[2], [0]]), numbers, (1, 4)), X[[2, 0]])
    same(lax.gather(x, cnp.array([[7]]), numbers, (1, 4), mode=lax.GatherScatterMode.CLIP), X[[2]])
    assert np.isnan(np.asarray(lax.gather(x, cnp.array([[7]]), numbers, (1, 4), mode="fill"))).all()
    same(
        lax.gather(x, np.int32([[7]]), numbers, (1, 4), mode="drop", fill_value=-1),
        np.full((1, 4), -1.0, np.float32),
    )
    scatter = lax.ScatterDimensionNumbers((1,), (0,), (0,))
    where, what = cnp.array([[2], [2]]), cnp.ones((2, 4))
    for f, ufunc in (
        (lax.scatter_add, np.add),
        (lax.scatter_mul, np.multiply),
        (lax.scatter_min, np.minimum),
        (lax.scatter_max, np.maximum),
        (lax.scatter_sub, np.subtract),
    ):
        expected = X.copy()
        ufunc.at(expected, [2, 2], np.ones((2, 4), np.float32))
        same(f(x, where, what, scatter), expected)
    expected = X.copy()
    expected[2] = 1
    same(lax.scatter(x, where, what, scatter), expected)


def test_reductions_and_products() -> None:
    x = cnp.asarray(X)
    same(lax.reduce_sum(x, (0,)), X.sum(0))
    same(lax.reduce_max(x, (0, 1)), X.max())
    same(lax.reduce_and(X > 0, (1,)), (X > 0).all(1))
    same(lax.argmax(x, 1, np.int32), X.argmax(1).astype(np.int32))
    for name in ("cumsum", "cumprod"):
        same(getattr(lax, name)(x, 1), getattr(np, name)(X, 1))
        same(getattr(lax, name)(x, 1, reverse=True), getattr(np, name)(X[:, ::-1], 1)[:, ::-1])
    same(lax.cummax(x), np.maximum.accumulate(X))
    same(lax.dot(x, x.T), X @ X.T)
    same(lax.dot_general(x, x, (((1,), (1,)), ((0,), (0,)))), np.einsum("ij,ij->i", X, X))
    same(
        lax.batch_matmul(cnp.ones((2, 3, 4)), cnp.ones((2, 4, 5))),
        np.full((2, 3, 5), 4, np.float32),
    )
    with pytest.raises(TypeError, match=r"contract|fit together"):
        lax.dot(x, x)


def test_sorting() -> None:
    keys, values = np.float32([2, 1, 2, 0]), np.int32([0, 1, 2, 3])
    for got, wanted in zip(
        lax.sort_key_val(keys, values),
        (np.float32([0, 1, 2, 2]), np.int32([3, 1, 0, 2])),
        strict=True,
    ):
        same(got, wanted)
    same(lax.sort(cnp.asarray(X[:, ::-1]), 1), X)
    a, b = np.int32([1, 0, 1, 0]), np.int32([3, 2, 1, 0])
    for got, wanted in zip(lax.sort((a, b), num_keys=2), ([0, 0, 1, 1], [0, 2, 1, 3]), strict=True):
        same(got, np.int32(wanted))
    for got, wanted in zip(
        lax.top_k(keys, 3), (np.float32([2, 2, 1]), np.int32([0, 2, 1])), strict=True
    ):
        same(got, wanted)


def test_missing_names() -> None:
    for name in ("no_such_function", "array", "np", "no_such_p"):
        with pytest.raises(AttributeError):
            getattr(lax, name)


@pytest.mark.parametrize(
    ("name", "oracle"),
    [
        ("erf", scipy.special.erf), ("erfc", scipy.special.erfc), ("lgamma", scipy.special.gammaln),
        ("digamma", scipy.special.digamma), ("bessel_i0e", scipy.special.i0e), ("bessel_i1e", scipy.special.i1e),
        ("logistic", scipy.special.expit), ("cbrt", np.cbrt), ("atan2", np.arctan2), ("igamma", scipy.special.gammainc),
        ("igammac", scipy.special.gammaincc), ("betainc", scipy.special.betainc), ("nextafter", np.nextafter),
        ("rem", np.fmod),
    ],
)  # fmt: skip
def test_functions(name: str, oracle: Any) -> None:
    count = {"atan2": 2, "igamma": 2, "igammac": 2, "betainc": 3, "nextafter": 2, "rem": 2}.get(
        name, 1
    )
    args = [np.linspace(0.1, 0.9, 7) * (i + 1 if name != "betainc" else 1) for i in range(count)]
    same(getattr(lax, name)(*[cnp.asarray(a) for a in args]), oracle(*args))


def test_integers() -> None:
    x, y = np.int32([7, -7, 5, -8]), np.int32([2, 2, 0, -3])
    same(lax.div(x, y), np.int32([3, -3, -1, 2]))
    same(lax.rem(x, y), np.int32([1, -1, 5, -2]))
    same(lax.shift_right_logical(x, 28), (x.view(np.uint32) >> 28).view(np.int32))
    same(lax.shift_right_arithmetic(x, 1), x >> 1)
    same(lax.shift_left(x, 40), np.zeros(4, np.int32))
    same(lax.population_count(np.uint8([0, 255, 5])), np.uint8([0, 8, 2]))
    same(lax.clz(np.int32([1, -1, 0])), np.int32([31, 0, 32]))
    same(lax.bitwise_not(np.array([True, False])), np.array([False, True]))
    same(lax.mulhi(np.uint8([200]), np.uint8([200])), np.uint8([156]))


@pytest.mark.parametrize("narrow", [np.uint8, np.int16, np.float16])
def test_bits_of_other_widths(narrow: type) -> None:
    x = np.array([[1.5, -2.25], [np.inf, 1e-3]], np.float32)
    parts = lax.bitcast_convert_type(cnp.asarray(x), narrow)
    assert np.asarray(parts).tobytes() == x.tobytes()
    assert parts.shape == (2, 2, 4 // np.dtype(narrow).itemsize)
    same(lax.bitcast_convert_type(parts, np.float32), x)
    with pytest.raises(ValueError, match="needs a last axis of size"):
        lax.bitcast_convert_type(parts[..., :1], np.float64)
    with pytest.raises(TypeError, match="must be real"):
        lax.bitcast_convert_type(parts, np.complex64)


def test_more_shapes() -> None:
    x = cnp.asarray(X)
    same(lax.broadcast_in_dim(x, (4, 2, 3), (2, 0)), np.broadcast_to(X.T[:, None], (4, 2, 3)))
    same(lax.broadcast_to_rank(x, 4), X[None, None])
    assert lax.broadcast_shapes((2, 1), (3,)) == (2, 3)
    same(lax.pad(x, 0.0, [(-1, 0, 0), (1, 1, 1)])[0], np.float32([0, 4, 0, 5, 0, 6, 0, 7, 0]))
    same(lax.stack([x, x], 2), np.stack([X, X], 2))
    assert len(lax.unstack(x, 1)) == 4
    same(lax.tile(x, (2, 1)), np.tile(X, (2, 1)))
    same(lax.collapse(x[None], -2), X.reshape(1, 12))
    same(lax.concatenate(x, 0), X.reshape(12))
    assert lax.dtype(1.0) == np.float32
    for wrong in (
        lambda: lax.squeeze(x, (0,)),
        lambda: lax.reshape(x, (5,)),
        lambda: lax.split(x, (1, 1), 1),
        lambda: lax.tile(x, (2,)),
        lambda: lax.collapse(x, 2, 1),
        lambda: lax.slice(x, (0, 0), (4, 4)),
        lambda: lax.top_k(x, 9),
        lambda: lax.sort([x], num_keys=2),
    ):
        with pytest.raises(ValueError, match=r"\(at "):
            wrong()
    for wrong in (
        lambda: lax.full((2,), x),
        lambda: lax.pad(x, x, [(0, 0, 0)] * 2),
        lambda: lax.concatenate([x, lax.convert_element_type(x, int)], 0),
        lambda: lax.dynamic_slice(x, (0,), (1, 1)),
        lambda: lax.dynamic_update_slice(x, cnp.ones((1, 1), int), (0, 0)),
        lambda: lax.dynamic_update_index_in_dim(cnp.arange(3), 1.5, 0, 0),  # no int32 is 1.5
        lambda: lax.clamp(0, x, cnp.arange(4)),
        lambda: lax.select(x > 0, x, x[0]),
        lambda: lax.select_n(x > 0, x, x, x),
        lambda: lax.batch_matmul(x, x[0]),
        lambda: lax.sort((x, x[0])),
    ):
        with pytest.raises(TypeError, match=r"\(at "):
            wrong()
    with pytest.raises(IndexError, match="index 3 of axis 0"):
        lax.index_in_dim(x, 3)


def test_reduce_by_a_function() -> None:
    x = cnp.asarray(X)
    same(lax.reduce(x, 1.0, lax.add, (0,)), X.sum(0) + 1)
    same(lax.reduce(x, 5.0, lax.max, (1,)), np.maximum(X.max(1), 5))
    same(lax.reduce(x, 0.0, lambda a, b: a + b, (0,)), X.sum(0))


def test_reduce_along_no_axes_takes_nothing_in() -> None:
    """As in JAX, whatever the initial value is; but where there is nothing along an axis it is all that there is."""
    x = cnp.asarray(X)
    same(lax.reduce(x, 5.0, lax.add, ()), X)
    same(lax.reduce(x, np.float32(5), lambda a, b: a * b + 1, ()), X)
    same(cv.jit(lambda x: lax.reduce(x, 5.0, lax.max, ()))(x), X)
    two = lax.reduce((x, x), (5.0, 6.0), lambda a, b: (a[0] + b[0], a[1] * b[1]), ())
    for found in two:
        same(found, X)
    same(lax.reduce(cnp.float32(2), 5.0, lax.add, ()), np.float32(2))
    same(lax.reduce(x[:0], 5.0, lax.add, (0,)), np.full(X.shape[1:], 5, X.dtype))
    with pytest.raises(TypeError, match="needs a scalar of its dtype"):
        lax.reduce(x, np.int32(5), lax.add, ())


def test_polar_iterations_cannot_end_early() -> None:
    """They are not done, so what they are after a few of them is refused, not given as if they had converged."""
    for limit in (0, 3, -1):
        with pytest.raises(NotImplementedError, match=f"qdwh with max_iterations={limit}.*leave"):
            lax.linalg.qdwh(X[:2, :2], max_iterations=limit)
        with pytest.raises(NotImplementedError, match=f"polar with max_iterations={limit}"):
            cv.scipy.linalg.polar(X[:2, :2], max_iterations=limit)
    cv.scipy.linalg.polar(X[:2, :2], method="svd", max_iterations=0)
    u = lax.linalg.qdwh(X[:2, :2])[0]
    same(lax.linalg.qdwh(X[:2, :2], max_iterations=10)[0], np.asarray(u))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "bfloat16"])
def test_nans_of_both_signs_are_the_largest(dtype: str) -> None:
    """Equal to each other, in `top_k` as in `sort`; XLA's `top_k`, and not its `sort`, takes -nan as the smallest."""
    x = np.array([np.nan, -np.nan, 1, -np.inf, np.inf], np.float32)
    with cv.enable_x64(True):
        a = cnp.asarray(x).astype(dtype)
        assert lax.top_k(a, 5)[1].tolist() == [0, 1, 4, 2, 3]
        assert lax.top_k(a[::-1], 2)[1].tolist() == [3, 4]
        assert cnp.argsort(a).tolist() == [3, 2, 4, 0, 1]


def test_precision() -> None:
    x = cnp.asarray(X)
    for precision in (
        None,
        "highest",
        lax.Precision.HIGH,
        (lax.Precision.DEFAULT, lax.Precision.HIGHEST),
    ):
        same(lax.dot(x, x.T, precision=precision), X @ X.T)
    with pytest.raises(ValueError, match="'exact' is not a precision"):
        lax.dot(x, x.T, precision="exact")
    wide = lax.dot(
        x.astype(cnp.bfloat16), x.T.astype(cnp.bfloat16), preferred_element_type=np.float32
    )
    same(wide, X @ X.T)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: lax.clamp(-1.0, x, cnp.float64(2.0)),
        lambda x: lax.select(x > 0, x * x, -x),
        lambda x: lax.select_n(cnp.array([0, 1, 2, 1]), x, x * x, -x),
        lambda x: lax.sort(x * x),
        lambda x: lax.sort_key_val(x, x * x)[1],
        lambda x: lax.top_k(x * x, 2)[0],
        lambda x: lax.cumprod(x, reverse=True),
        lambda x: lax.cumlogsumexp(x),
        lambda x: lax.pad(x, 1.0, [(1, -1, 1)]),
        lambda x: lax.dynamic_slice(x * x, (1,), (2,)),
        lambda x: lax.dynamic_update_slice(x * x, x[:2], (-1,)),
        lambda x: lax.dynamic_index_in_dim(x * x, 2, keepdims=False),
        lambda x: lax.pow(x + 3, cnp.array([0, 1, 2, 3])),
        lambda x: lax.integer_pow(x, -2),
        lambda x: lax.broadcast_in_dim(x, (4, 2, 4), (2,)) * lax.expand_dims(x, (1, 2)),
        lambda x: lax.dot_general(x, x, (((), ()), ((0,), (0,)))),
        lambda x: lax.reduce_prod(x, (0,)) * lax.reduce_max(x, (0,)),
        lambda x: lax.logistic(x) * lax.rsqrt(x * x + 1),
    ],
)  # fmt: skip
def test_gradients(f: Any) -> None:
    x, step = np.array([0.4, -1.3, 2.2, 0.9]), 1e-6
    direction = np.array([0.3, -0.7, 0.5, 1.1])
    value, slope = cv.jvp(f, (cnp.asarray(x),), (cnp.asarray(direction),))
    ahead, behind = (np.asarray(f(cnp.asarray(x + s * direction))) for s in (step, -step))
    wanted = (ahead - behind) / (2 * step)
    np.testing.assert_allclose(np.asarray(slope), wanted, rtol=1e-5, atol=1e-7)
    weights = np.cos(np.arange(np.size(value))).reshape(np.shape(value))
    back = cv.grad(lambda x: (f(x) * weights).sum())(cnp.asarray(x))
    np.testing.assert_allclose(
        np.asarray(back) @ direction, (wanted * weights).sum(), rtol=1e-5, atol=1e-7
    )


def test_stop_gradient() -> None:
    slope = cv.grad(lambda x: (lax.stop_gradient({"x": x, "n": 2})["x"] * x).sum())(
        cnp.array([3.0])
    )
    same(slope, np.float32([3]))
    assert lax.stop_gradient(3).dtype == np.int32


def test_traced_and_mapped() -> None:
    x = cnp.asarray(X)
    rows = cv.vmap(lambda v, i: lax.dynamic_index_in_dim(v, i, keepdims=False))(
        x, cnp.array([0, -1, 2])
    )
    same(rows, X[[0, 1, 2], [0, 3, 2]])
    same(traced(lambda v: lax.add(v, 1.5), x), X + 1.5)
    same(traced(lambda v: lax.select_n(v > 3, v, 2 * v), x), np.where(X > 3, 2 * X, X))
    same(cv.vmap(lambda v: lax.sort(v))(-x), np.sort(-X, 1))


def test_order_and_angle_of_complex_numbers() -> None:
    x = np.array([0.75 + 0.5j, -2.5 + 1j, 3 - 0.25j, 1 + 1j], np.complex64)
    y = np.array([0.75 + 1j, 1 - 2j, -1.5 + 1j, 1 + 1j], np.complex64)
    first = (x.real > y.real) | ((x.real == y.real) & (x.imag > y.imag))
    np.testing.assert_array_equal(np.asarray(lax.max(x, y)), np.where(first, x, y))
    np.testing.assert_array_equal(np.asarray(lax.min(x, y)), np.where(first, y, x))
    np.testing.assert_array_equal(
        np.asarray(lax.clamp(np.complex64(1j), x, np.complex64(1))),
        np.array([0.75 + 0.5j, 1j, 1, 1], np.complex64),
    )
    wanted = -1j * np.log((y + 1j * x) / np.sqrt(x * x + y * y))
    for f in (lax.atan2, cnp.arctan2):
        np.testing.assert_allclose(np.asarray(f(x, y)), wanted, rtol=1e-5, atol=1e-6)


def test_one_minus_square_of_integers() -> None:
    x = cnp.array([3, -3, 100], "int8")
    np.testing.assert_array_equal(np.asarray(lax.one_minus_square(x)), [-8, -8, -15])


def test_extremes_and_running_folds_of_complex_numbers() -> None:
    """By real parts, then by imaginary ones, as the functions of two do."""
    x = np.array([[1 + 2j, 1 - 1j, 0.5 + 9j], [1 + 0.5j, 2 + 0j, 2 - 3j]])
    order = np.sort(x, 1)
    np.testing.assert_array_equal(np.asarray(lax.reduce_max(x, (1,))), order[:, -1])
    np.testing.assert_array_equal(np.asarray(lax.reduce_min(x, (1,))), order[:, 0])
    for f, pick in ((lax.cummax, -1), (lax.cummin, 0)):
        for reverse in (False, True):
            rows = x[:, ::-1] if reverse else x
            wanted = np.stack([np.sort(rows[:, : i + 1], 1)[:, pick] for i in range(3)], 1)
            wanted = wanted[:, ::-1] if reverse else wanted
            np.testing.assert_array_equal(np.asarray(f(x, 1, reverse)), wanted)
    found = np.exp(np.asarray(cv.jit(lax.cumlogsumexp)(x)))
    np.testing.assert_allclose(found, np.cumsum(np.exp(x), 0), rtol=1e-12)
