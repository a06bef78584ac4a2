"""Values that were wrong without a word, each with the rest of its class; NumPy says what is right where it can."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import covector as cv
import covector.numpy as cnp
from covector import lax, nn, random

NAN, INF = math.nan, math.inf


def same(got: Any, right: Any, dtype: Any = None) -> None:
    right = np.asarray(right)
    assert got.shape == right.shape, (got.shape, right.shape)
    assert got.dtype == (right.dtype if dtype is None else dtype), (got.dtype, right.dtype)
    np.testing.assert_array_equal(np.asarray(got), right.astype(got.dtype))


def refused(kinds: Any, words: str, f: Any) -> None:
    with pytest.raises(kinds, match=words):
        f()


# -------------------------------------------------------------------------------- searching, running folds


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "complex64"])
def test_searchsorted_puts_nan_last(side: Any, dtype: str) -> None:
    a = np.array([-INF, 1, 2, 2, INF, NAN, NAN]).astype(dtype)
    v = np.array([[NAN, 2, -INF], [INF, 1.5, 3]]).astype(dtype)
    same(
        cnp.searchsorted(cnp.asarray(a), cnp.asarray(v), side), np.searchsorted(a, v, side), "int32"
    )
    same(
        cnp.searchsorted(cnp.asarray(a[:3]), cnp.asarray(v), side),
        np.searchsorted(a[:3], v, side),
        "int32",
    )


@pytest.mark.parametrize("side", ["left", "right"])
def test_searchsorted_orders_complex_numbers_as_sort(side: Any) -> None:
    parts = [0.0, 1.0, NAN]
    numbers = np.array([complex(a, b) for a in parts for b in parts], np.complex64)
    ordered = np.sort(numbers)
    same(
        cnp.searchsorted(cnp.asarray(ordered), cnp.asarray(numbers), side),
        np.searchsorted(ordered, numbers, side),
        "int32",
    )


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "float16"])
@pytest.mark.parametrize("name", ["cumsum", "cumprod", "nancumsum", "nancumprod"])
def test_running_folds_keep_the_dtype(name: str, dtype: str) -> None:
    x = np.array([100, 100, 3]).astype(dtype)
    with np.errstate(over="ignore"):
        same(getattr(cnp, name)(cnp.asarray(x)), getattr(np, name)(x, dtype=dtype))
        if name == "cumprod":  # which the Array API standard wants in the default integer
            wide = {"int8": "int32", "int16": "int32", "uint8": "uint32", "uint16": "uint32"}.get(
                dtype, dtype
            )
            same(cnp.cumulative_prod(cnp.asarray(x)), np.cumprod(x, dtype=wide), wide)


def test_running_folds_of_bool() -> None:
    x = np.array([True, False, True])
    for name in ("cumsum", "cumprod"):
        same(getattr(cnp, name)(cnp.asarray(x)), getattr(np, name)(x), "int32")
        same(getattr(cnp, name)(cnp.asarray(x), dtype=bool), getattr(np, name)(x, dtype=bool))
    same(cnp.sum(cnp.asarray([2, 0]), dtype=bool), True)
    same(cnp.prod(cnp.asarray([2, 0]), dtype=bool), False)
    same(cnp.sum(cnp.asarray([[0, 0], [0, 3]]), 1, dtype=bool, keepdims=True), [[False], [True]])


def test_diff_of_order_zero_is_the_array() -> None:
    x = np.array([1, 5, 2])
    same(cnp.diff(cnp.asarray(x), n=0, prepend=9, append=8), x)


# -------------------------------------------------------------------------------------------- statistics


def test_variance_of_complex_numbers() -> None:
    x = np.array([1 + 1j, 2, 3j, 0.5], np.complex64)
    for name in ("var", "std", "nanvar", "nanstd"):
        f, right = getattr(cnp, name), getattr(np, name)
        np.testing.assert_allclose(f(cnp.asarray(x)), right(x), rtol=1e-6)
        assert f(cnp.asarray(x)).dtype == np.float32
        wide = f(cnp.asarray(x), dtype="complex64")
        assert wide.dtype == np.complex64
        np.testing.assert_allclose(wide, right(x), rtol=1e-6)
        refused(
            ValueError,
            "float32.*cannot hold complex",
            lambda f=f: f(cnp.asarray(x), dtype="float32"),
        )
        refused(
            ValueError, "dtype=int32.*float or complex", lambda f=f: f(cnp.ones(3), dtype="int32")
        )
        assert f(cnp.ones(3), dtype="complex64").dtype == np.complex64


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "int64", "uint64"])
@pytest.mark.parametrize("values", [[0.9, 0.9, 1.9], [-0.9, -2.5, -3.0], [200, 200, 200]])
def test_mean_in_an_integer_dtype(values: list[float], dtype: str) -> None:
    x = np.array(values, np.float32)
    if dtype[0] == "u" and x.min() < 0:
        return
    if dtype == "int8" and x.max() > 127:
        x = x.astype(np.int32)
    same(cnp.mean(cnp.asarray(x), dtype=dtype), np.mean(x, dtype=dtype))
    same(cnp.nanmean(cnp.asarray(x), dtype=dtype), np.mean(x, dtype=dtype))
    refused(TypeError, "use any", lambda: cnp.mean(cnp.ones(3), dtype=bool))


def test_mean_divides_by_counts_that_the_dtype_does_not_have() -> None:
    assert int(cnp.mean(cnp.ones(1000), dtype="uint8")) == np.mean(np.ones(1000), dtype="uint8")


@pytest.mark.parametrize(
    "name",
    [
        "sum",
        "prod",
        "max",
        "min",
        "mean",
        "var",
        "std",
        "all",
        "any",
        "nansum",
        "nanmean",
        "nanvar",
    ],
)
def test_masks_are_of_bool(name: str) -> None:
    f: Any = getattr(cnp, name)
    more = {"initial": 0} if name in ("max", "min") else {}
    for mask in (cnp.array([1.0, 0, 1]), cnp.array([1, 0, 1])):
        refused(ValueError, "mask of bool", lambda mask=mask: f(cnp.ones(3), where=mask, **more))
    f(cnp.ones(3), where=cnp.array([True, False, True]), **more)


@pytest.mark.parametrize("name", ["sum", "prod", "max", "min", "nansum", "nanmax"])
def test_the_initial_value_is_a_number(name: str) -> None:
    for initial in (cnp.ones(3), np.ones(1)):
        refused(
            ValueError,
            "initial value must be a number",
            lambda i=initial: getattr(cnp, name)(cnp.ones(3), initial=i),
        )


# ------------------------------------------------------------------------------------- indices and updates


def place(i: Any, mode: str) -> int:
    """Where an index into five elements points."""
    return int(i) % 5 if mode == "wrap" else min(max(int(i), 0), 4)


@pytest.mark.parametrize("dtype", ["int8", "int32", "int64", "uint8", "uint32", "uint64"])
@pytest.mark.parametrize("mode", ["clip", "wrap"])
def test_take_modes(mode: Any, dtype: str) -> None:
    info = np.iinfo(dtype)
    indices = np.array(
        [0, 3, 4, 5, 100, info.max, *([-1, -5, -6, info.min] if info.min else [])], dtype
    )
    x = np.arange(5.0, dtype=np.float32)
    same(
        cnp.take(cnp.asarray(x), cnp.asarray(indices), mode=mode),
        x[[place(i, mode) for i in indices]],
    )
    for i in indices:
        same(cnp.take(cnp.asarray(x), cnp.asarray(np.asarray(i)), mode=mode), x[place(i, mode)])


@pytest.mark.parametrize("dtype", ["uint32", "uint64"])
def test_large_unsigned_indices_are_out_of_bounds(dtype: str) -> None:
    x, i = cnp.arange(5), cnp.asarray(np.array([2, np.iinfo(dtype).max], dtype))
    same(x[i], [2, 4], "int32")
    same(x.at[i].set(9), [0, 1, 9, 3, 4], "int32")
    same(x.at[i].get(mode="fill", fill_value=7), [2, 7], "int32")
    same(cnp.take(x, i, fill_value=7), [2, 7], "int32")


def test_negative_indices_that_do_not_count_from_the_end() -> None:
    x, i = cnp.arange(5), cnp.array([-1, 1])
    get: Any = {"mode": "fill", "fill_value": 99, "wrap_negative_indices": False}
    same(x.at[i].get(**get), [99, 1], "int32")
    same(x.at[-1].get(**get), 99, "int32")
    same(x.at[i].get(mode="clip", wrap_negative_indices=False), [0, 1], "int32")
    kept = {"wrap_negative_indices": False}
    for index in (i, (i,), ([-1, 1],)):
        same(x.at[index].set(7, **kept), [0, 7, 2, 3, 4], "int32")
        same(x.at[index].add(7, **kept), [0, 8, 2, 3, 4], "int32")
        same(x.at[index].subtract(7, **kept), [0, -6, 2, 3, 4], "int32")
        same(x.at[index].multiply(7, **kept), [0, 7, 2, 3, 4], "int32")
        same(x.at[index].max(7, **kept), [0, 7, 2, 3, 4], "int32")
        same(x.at[index].min(-7, **kept), [0, -7, 2, 3, 4], "int32")
        same(x.at[index].apply(lambda v: v + 7, **kept), [0, 8, 2, 3, 4], "int32")
        same(x.at[index].power(3, **kept), [0, 1, 2, 3, 4], "int32")
        same(x.at[index].divide(2, **kept), [0, 0.5, 2, 3, 4], "float32")
    same(x.at[-1].set(7, **kept), [0, 1, 2, 3, 4], "int32")
    same(x.at[i].add(7, mode="clip", **kept), [7, 8, 2, 3, 4], "int32")


def test_apply_counts_each_time_that_an_element_is_named() -> None:
    x = cnp.arange(1.0, 6)
    right = [1, 256, 3, 16, 5]
    index = cnp.array([1, 3, 1, 9, 1])
    same(x.at[index].apply(cnp.square), right, "float32")
    same(x.at[np.array([1, 3, 1, 9, 1])].apply(cnp.square), right, "float32")
    same(cv.jit(lambda i: x.at[i].apply(cnp.square))(index), right, "float32")
    rows = cnp.arange(6.0).reshape(2, 3)
    same(rows.at[cnp.array([0, 0]), 1:].apply(lambda v: v + 1), [[0, 3, 4], [3, 4, 5]], "float32")
    batched = cv.vmap(lambda r, i: r.at[i].apply(lambda v: v + 1))(
        rows, cnp.array([[1, 1], [0, 2]])
    )
    same(batched, [[0, 3, 2], [4, 4, 6]], "float32")
    gradient = cv.grad(lambda x: x.at[cnp.array([1, 1, 3])].apply(cnp.square).sum())(
        cnp.arange(5.0)
    )
    same(gradient, [1, 4, 1, 6, 1], "float32")
    same(x.at[7].apply(cnp.square), x)
    same(x.at[1:3].apply(cnp.square), [1, 4, 9, 4, 5], "float32")


def test_arithmetic_of_updates_is_done_before_the_cast() -> None:
    x = cnp.array([3, -3, 7])
    same(x.at[0].multiply(0.5), [1, -3, 7], "int32")
    same(x.at[0].add(-1.5), [1, -3, 7], "int32")
    same(x.at[0].subtract(0.5), [2, -3, 7], "int32")
    same(x.at[cnp.array([0, 0])].add(0.5), [4, -3, 7], "int32")
    same(x.at[:2].add(cnp.array([0.75, 0.75])), [3, -2, 7], "int32")
    same(x.at[::2].multiply(cnp.array([0.5, 1.5])), [1, -3, 10], "int32")
    same(x.at[0].divide(0.5), [6, -3, 7], "float32")
    same(cnp.array([9, -3]).at[0].power(0.5), [3, -3], "int32")
    same(cnp.array([3, 3], "uint8").at[0].subtract(cnp.array(1, "int32")), [2, 3], "uint8")
    same(x.at[0].subtract(cnp.array(1, "uint8")), [2, -3, 7], "int32")
    large = cnp.array([2**24 + 1, 3])
    same(large.at[1].add(0.5), [2**24 + 1, 3], "int32")
    half = cnp.array([1.0, 2.0], "bfloat16")
    small = cnp.full(16, 0.001, "float32")
    assert float(half.at[cnp.zeros(16, "int32")].add(small)[0]) > 1.01
    refused(TypeError, "logical_xor", lambda: cnp.array([True]).at[0].subtract(True))


def test_updates_fit_any_value_that_the_dtype_has() -> None:
    same(cnp.zeros(1, "uint32").at[0].set(2**32 - 1), [2**32 - 1], "uint32")
    same(cnp.zeros(1, "uint32").at[0].add(2**32 - 1), [2**32 - 1], "uint32")
    same(cnp.zeros(1, "int64").at[0].set(2**40), [2**40], "int64")
    same(cnp.zeros(2).at[0].set(1j), [0, 0], "float32")


def test_argwhere_and_nonzero_of_a_number() -> None:
    assert cnp.argwhere(cnp.array(3)).shape == (1, 0)
    assert cnp.argwhere(cnp.array(0)).shape == (0, 0)
    refused(ValueError, "atleast_1d", lambda: cnp.nonzero(cnp.array(3)))
    same(cnp.flatnonzero(cnp.array(3)), [0], "int32")


# ------------------------------------------------------------------------------------- values and ranges


def test_copies_are_arrays_of_their_own() -> None:
    x = cnp.arange(3.0)
    for y in (
        cnp.array(x),
        x.astype("float32", copy=True),
        cnp.astype(x, float, copy=True),
        x.copy(),
        cnp.asarray(x, copy=True),
    ):
        assert y is not x
        y.delete()
        assert x.tolist() == [0, 1, 2]
    assert cnp.asarray(x) is x
    assert x.astype("float32") is x


def test_comparing_with_lists_is_an_error() -> None:
    x = cnp.ones(3)
    for other in ([1, 1, 1], (1, 1, 1), {1}, {1: 2}):
        for f in (lambda v, o=other: v == o, lambda v, o=other: v != o, lambda v, o=other: o == v):
            refused(TypeError, "asarray", lambda f=f: f(x))
            refused(TypeError, "asarray", lambda f=f: cv.jit(f)(x))
            refused(TypeError, "asarray", lambda f=f: cv.make_jaxpr(f)(x))
    assert (x == None) is False  # noqa: E711
    assert (x == "a") is False


def test_in_looks_for_one_number() -> None:
    x = cnp.arange(3)
    assert 2 in x
    assert 3 not in x
    assert 1.0 in cnp.ones((2, 2))
    for item in (x, cnp.array([1]), [1], np.ones(3)):
        refused(ValueError, "'in' looks for one number", lambda item=item: item in x)


@pytest.mark.parametrize("endpoint", [True, False])
def test_ranges_in_float64_have_its_digits(endpoint: bool) -> None:
    got = cnp.linspace(0.1, 1, 7, endpoint, dtype="float64")
    np.testing.assert_allclose(got, np.linspace(0.1, 1, 7, endpoint), rtol=1e-15)
    np.testing.assert_allclose(
        cnp.logspace(0.1, 1, 7, endpoint, dtype="float64"),
        np.logspace(0.1, 1, 7, endpoint),
        rtol=1e-14,
    )
    np.testing.assert_array_equal(cnp.arange(0, 1, 0.1, dtype="float64"), np.arange(0, 1, 0.1))
    large = cnp.linspace(0, 2**31 - 1, 5, endpoint, dtype="int32")
    same(large, np.linspace(0, 2**31 - 1, 5, endpoint, dtype="int32"))
    traced = cv.jit(lambda: cnp.arange(2**24, 2**24 + 9, 3, dtype="float32"))()
    same(traced, np.arange(2**24, 2**24 + 9, 3).astype(np.float32))


def test_logspace_of_bases() -> None:
    bases = np.array([2.0, 3.0], np.float32)
    for axis in (0, -1):
        got = cnp.logspace(0, 2, 3, base=cnp.asarray(bases), axis=axis)
        np.testing.assert_allclose(got, np.logspace(0, 2, 3, base=bases, axis=axis), rtol=1e-6)
    assert float(cnp.logspace(0, 2, 3)[2]) == 100


def test_steps_of_linspace() -> None:
    for start in (0.0, cnp.zeros((2, 2))):
        for num, endpoint in ((1, True), (0, True), (0, False)):
            values, step = cnp.linspace(start, 1.0, num, endpoint, retstep=True)
            assert values.shape == (num, *np.shape(start))
            assert step.shape == ()
            assert math.isnan(step)
    _, step = cnp.linspace(cnp.zeros(2), 1.0, 3, retstep=True)
    same(step, [0.5, 0.5], "float32")


def test_ranges_that_are_none() -> None:
    refused(ValueError, "complex numbers have no order", lambda: cnp.arange(3j))
    refused(ValueError, "complex", lambda: cnp.arange(0, cnp.array(3j)))
    refused(TypeError, "bool", lambda: cnp.arange(5, dtype=bool))
    refused(TypeError, "bool", lambda: cnp.arange(True))
    refused(ValueError, "no end", lambda: cnp.arange(INF))
    refused(ValueError, "no end", lambda: cnp.arange(0, NAN))
    refused(
        OverflowError, "2147483648 does not fit int32.*int64", lambda: cnp.arange(2**31, 2**31 + 2)
    )
    same(cnp.arange(2**31, 2**31 + 2, dtype="int64"), np.arange(2**31, 2**31 + 2))
    same(cnp.arange(2**31 - 2, 2**31), np.arange(2**31 - 2, 2**31).astype(np.int32))
    for dtype in (np.int8, np.uint8, np.int32, np.int64, np.uint64):
        same(cnp.arange(dtype(5)), np.arange(dtype(5)), dtype)


def test_buffers_are_read_as_numpy_reads_them() -> None:
    for value in (np.arange(3.0), np.arange(3), np.arange(3) * 1j):
        kind: Any = {"f": float, "i": int, "c": complex}[value.dtype.kind]
        same(cnp.frombuffer(value.tobytes(), kind), value)
    same(cnp.frombuffer(np.arange(3.0).tobytes()), np.arange(3.0))


def test_kinds_of_lists() -> None:
    assert cnp.iscomplexobj([1j, 2])
    assert cnp.iscomplexobj([1, 2]) is False
    assert cnp.isrealobj((1.0, 2))
    assert not cnp.iscomplexobj("a")
    assert not cnp.iscomplexobj(None)
    assert cnp.iscomplexobj(cnp.complex64)


# --------------------------------------------------------------------------------- sixty-four bits stay


def float64_results() -> dict[str, Any]:
    d, z = cnp.asarray(np.float64([0.5])), cnp.asarray(np.ones(1))
    one = cnp.asarray(np.ones((1, 1)))
    return {
        "set": d.at[0].set(0.1), "add": z.at[0].add(0.1 - 1), "multiply": z.at[0].multiply(0.1),
        "max": (z - 1).at[0].max(0.1), "min": z.at[0].min(0.1), "divide": z.at[0].divide(10.0),
        "append": cnp.append(d, 0.1), "stack": cnp.stack([d[0], 0.1]), "asarray": cnp.asarray([d[0], 0.1]),
        "traced asarray": cv.jit(lambda x: cnp.asarray([x, 0.1]))(d[0]), "hstack": cnp.hstack([d, 0.1]),
        "diff": 0.5 + cnp.diff(d, append=0.1), "prepend": 0.5 - cnp.diff(d, prepend=0.1),
        "dot": cnp.dot(z, 0.1), "inner": cnp.inner(0.1, z), "outer": cnp.outer(z, 0.1), "kron": cnp.kron(0.1, z),
        "tensordot": cnp.tensordot(z, 0.1, 0), "einsum": cnp.einsum("i,->i", z, 0.1),
        "where": cnp.where(z > 2, z, 0.1), "clip": cnp.clip(z, 0.0, 0.1), "full": cnp.full_like(z, 0.1),
        "pad": cnp.pad(z, (0, 1), constant_values=0.1), "select": cnp.select([z > 2], [z], 0.1),
        "nan_to_num": cnp.nan_to_num(z * NAN, nan=0.1), "fill": z.at[cnp.array([9])].get(mode="fill", fill_value=0.1),
        "take": cnp.take(z, cnp.array([9]), fill_value=0.1), "sum": cnp.sum(z - 1, initial=0.1),
        "max initial": cnp.max(z - 1, initial=0.1), "scan": lax.scan(lambda c, x: (c * x, None), 0.1, z)[0],
        "fori_loop": lax.fori_loop(0, 1, lambda i, c: c * z[0], 0.1), "lax.full_like": lax.full_like(z, 0.1),
        "lax.pad": lax.pad(z, 0.1, [(0, 1, 0)]), "lax.clamp": lax.clamp(0.0, z, 0.1),
        "update_slice": lax.dynamic_update_slice(z, cnp.full_like(z, 0.1), (0,)),
        "matmul": (one * 0.1)[0], "linspace": cnp.linspace(0.1, z[0], 3), "elu": nn.leaky_relu(-z, 0.1) * -1,
        "lax.select": lax.select(z > 2, z, cnp.full_like(z, 0.1)),
    }  # fmt: skip


def test_python_floats_keep_their_digits_beside_float64() -> None:
    for name, got in float64_results().items():
        assert got.dtype == np.float64, name
        values = np.ravel(np.asarray(got)).tolist()
        assert any(abs(v - 0.1) < 1e-16 for v in values), (name, values)


def test_random_numbers_in_float64() -> None:
    key = random.key(0)
    unit = np.asarray(random.uniform(key, (9,), "float64"))
    got = random.uniform(key, (9,), "float64", 0.1, 0.7)
    np.testing.assert_allclose(got, 0.1 + unit * (0.7 - 0.1), rtol=1e-15)
    assert not np.any(np.asarray(got).astype(np.float32) == np.asarray(got))


def test_attention_and_standardize_in_float64(rng: np.random.Generator) -> None:
    q, k = rng.normal(size=(2, 3, 1, 4)), rng.normal(size=(2, 5, 1, 4))
    logits = np.einsum("btnh,bsnh->bnts", q, k) / 2
    weights = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    got = nn.dot_product_attention(*map(cnp.asarray, (q, k, k)))
    np.testing.assert_allclose(got, np.einsum("bnts,bsnh->btnh", weights, k), rtol=1e-13)
    x = rng.normal(size=9)
    right = (x - x.mean()) / np.sqrt(x.var() + 1e-5)
    np.testing.assert_allclose(nn.standardize(cnp.asarray(x)), right, rtol=1e-12)


# ------------------------------------------------------------------------------------- special functions


def derivatives(f: Any, count: int, at: float) -> list[float]:
    found = []
    for _ in range(count):
        found.append(float(f(at)))
        f = cv.grad(f)
    return found


def test_all_derivatives_of_sinc_at_zero() -> None:
    right = [0 if n % 2 else (-1) ** (n // 2) * math.pi**n / (n + 1) for n in range(9)]
    np.testing.assert_allclose(derivatives(cnp.sinc, 9, 0.0), right, rtol=1e-5)
    x = np.array([0, 1e-3, 0.31, 0.32, -0.5, 1.5, 100.25], np.float32)
    np.testing.assert_allclose(cnp.sinc(cnp.asarray(x)), np.sinc(x.astype(float)), rtol=2e-5)


def test_all_derivatives_of_i0_at_zero() -> None:
    np.testing.assert_allclose(
        derivatives(cnp.i0, 7, 0.0), [1, 0, 1 / 2, 0, 3 / 8, 0, 5 / 16], rtol=1e-5
    )
    x = np.array([-3, -1, -0.99, 0, 0.5, 1, 4], np.float32)
    np.testing.assert_allclose(cnp.i0(cnp.asarray(x)), np.i0(x.astype(float)), rtol=2e-6)


def test_sinc_is_zero_at_whole_numbers() -> None:
    same(cnp.sinc(cnp.array([1.0, -2.0, 101.0])), np.zeros(3, np.float32))


def test_integer_powers_use_all_bits_of_the_exponent() -> None:
    for dtype in ("uint8", "int8", "uint16", "int32", "int64"):
        info = np.iinfo(dtype)
        x = np.array([0, 1, 2, 3, 5, info.max, info.max - 1], dtype)
        n = np.array([0, 1, 64, 65, 100, info.max, info.max - 1], dtype)
        same(cnp.power(cnp.asarray(x[:, None]), cnp.asarray(n)), x[:, None] ** n)


def test_modf_of_infinity() -> None:
    for got, right in zip(
        cnp.modf(cnp.array([INF, -INF, 1.5, -1.5])), np.modf([INF, -INF, 1.5, -1.5]), strict=True
    ):
        same(got, right, "float32")
    assert math.isnan(cnp.modf(NAN)[0])


def test_extremes_of_complex_numbers_with_nan() -> None:
    x = np.array([complex(NAN, 1), complex(1, NAN), 2, 3j], np.complex64)
    for name in ("maximum", "minimum"):
        for a, b in ((x[:, None], x), (x, x[:, None])):
            got = np.asarray(getattr(cnp, name)(cnp.asarray(a), cnp.asarray(b)))
            np.testing.assert_array_equal(got, getattr(np, name)(a, b))


def test_complex_numbers_are_true_if_a_part_is() -> None:
    x = np.array([0, 1, 2j, complex(0, NAN)], np.complex64)
    for got in (
        cnp.asarray(x).astype(bool),
        cnp.asarray(cnp.asarray(x), bool),
        cnp.concatenate([cnp.asarray(x)], dtype=bool),
    ):
        same(got, x.astype(bool))


def test_inputs_that_have_no_meaning() -> None:
    refused(ValueError, "vector, got shape", lambda: cnp.vander(cnp.ones((2, 2))))
    refused(ValueError, "matrices", lambda: cnp.linalg.multi_dot([cnp.ones(2)] * 3))
    refused(ValueError, "matrices", lambda: cnp.linalg.multi_dot([cnp.ones((2, 2, 2))] * 2))
    refused(TypeError, "ediff1d of bool", lambda: cnp.ediff1d(cnp.array([True, False])))
    for mode in ("edge", "wrap", "reflect", "symmetric"):
        refused(ValueError, "no elements", lambda mode=mode: cnp.pad(cnp.zeros((0, 2)), 1, mode))
        assert cnp.pad(cnp.zeros((0, 2)), ((0, 0), (1, 1)), mode).shape == (0, 4)


def test_hypot_of_complex_numbers() -> None:
    for x in (1j, cnp.array([1j])):
        refused(ValueError, "real numbers", lambda x=x: cnp.hypot(x, 2.0))


def test_loops_whose_places_alone_read_a_buffer() -> None:
    def f(a: Any, b: Any) -> Any:
        first = lax.dynamic_update_slice(b, cnp.zeros((1, 3)), (a, 0))
        row = lax.dynamic_slice(b, (a, 0), (1, 3))
        return first + lax.dynamic_update_slice(cnp.zeros((4, 3)), row, (a, 0))

    b = cnp.arange(12.0).reshape(4, 3)
    np.testing.assert_array_equal(cv.jit(f)(cnp.int32(1), b), b)
