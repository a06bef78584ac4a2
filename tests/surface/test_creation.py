"""Making arrays, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

import covector as cv
import covector.numpy as cnp
from covector import lax
from covector._engine.core.trace import stage
from covector._engine.types.avals import ShapedArray


def same(actual: object, expected: object, dtype: object = None) -> None:
    np.testing.assert_array_equal(np.asarray(actual), np.asarray(expected))
    if dtype is not None:
        assert actual.dtype == dtype


@pytest.mark.parametrize(
    ("value", "dtype", "weak"),
    [
        (1, "int32", True), (1.5, "float32", True), (1j, "complex64", True), (True, "bool", False),
        ([1, 2], "int32", False), ([1, 2.5], "float32", False), ([True, False], "bool", False), ([], "float32", False),
        ([[1, 2], [3, 4]], "int32", False), ([True, 2], "int32", False), ([1, 2j], "complex64", False),
        (np.float64(1.5), "float64", False), (np.arange(3), "int64", False), (np.zeros(2), "float64", False),
        ([np.float64(1), 2], "float64", False), ([np.int8(1), np.int16(2)], "int16", False), (range(3), "int32", False),
    ],
)  # fmt: skip
def test_asarray(value: object, dtype: str, weak: bool) -> None:
    x = cnp.asarray(value)
    assert (x.dtype.name, x.weak_type) == (dtype, weak)
    np.testing.assert_array_equal(np.asarray(x), np.asarray(value))


def test_asarray_with_a_dtype() -> None:
    assert cnp.asarray(1, cnp.float16).dtype == np.float16
    assert cnp.asarray([1, 2], dtype="bfloat16").dtype == cnp.bfloat16
    assert cnp.array(cnp.ones(2), float).dtype == np.float32
    assert not cnp.asarray(1.0, float).weak_type
    assert cnp.array([2**40], cnp.int64).dtype == np.int64
    assert cnp.array([1], ndmin=3).shape == (1, 1, 1)
    assert cnp.float32(3).dtype == np.float32
    assert cnp.float32(cnp.arange(2)).shape == (2,)


def test_lists_of_arrays() -> None:
    same(cnp.array([cnp.array([1.0, 2.0]), cnp.zeros(2)]), [[1, 2], [0, 0]], np.float32)
    same(cnp.array([[cnp.float32(1), 2], [3, cnp.array(4)]]), [[1, 2], [3, 4]], np.float32)

    def f(x):
        return [cnp.array([x, x + 1, 2]), cnp.array([[x], [1.0]])]

    program = stage(f, [ShapedArray((), np.dtype("float32"))])
    assert [o.aval.text() for o in program.outputs] == ["float32[3]", "float32[2,1]"]


@pytest.mark.parametrize(
    "value", [object(), "text", ["a"], [object()], {1: 2}, np.array(["a"]), np.array([object()])]
)
def test_what_is_no_array(value: object) -> None:
    with pytest.raises(TypeError):
        cnp.asarray(value)


def test_ragged_lists() -> None:
    with pytest.raises(ValueError, match=r"inhomogeneous|different shapes"):
        cnp.array([[1, 2], [3]])


def test_constants() -> None:
    same(cnp.zeros((2, 3)), np.zeros((2, 3)), np.float32)
    same(cnp.ones(3, int), np.ones(3), np.int32)
    same(cnp.full((2, 2), 7), np.full((2, 2), 7), np.int32)
    same(cnp.full((2, 2), cnp.array([1.0, 2.0])), np.full((2, 2), [1.0, 2.0]), np.float32)
    same(cnp.full((), 1.5), 1.5, np.float32)
    same(cnp.zeros(()), 0.0, np.float32)
    same(cnp.empty(2), [0, 0])
    x = cnp.ones((2, 2), cnp.int8)
    same(cnp.zeros_like(x), np.zeros((2, 2)), np.int8)
    same(cnp.ones_like(x, dtype=float, shape=3), np.ones(3), np.float32)
    same(cnp.full_like(x, 2.9), np.full((2, 2), 2), np.int8)
    assert cnp.zeros_like(cnp.array(1.0)).weak_type
    for shape in ((-1,), (2, -3)):
        with pytest.raises(ValueError, match="negative dimension"):
            cnp.zeros(shape)
    with pytest.raises(TypeError, match="sequence of integers"):
        cnp.zeros(2.5)


@pytest.mark.parametrize(
    "args",
    [
        (5,),
        (2, 8),
        (2, 8, 3),
        (8, 2, -2),
        (0, 1, 0.25),
        (5.0,),
        (-3, 3),
        (3, 3),
        (5, 2),
        (10, 0, -3),
    ],
)
def test_arange(args: tuple[float, ...]) -> None:
    expected = np.arange(*args)
    dtype = np.int32 if expected.dtype == np.int64 else np.float32
    same(cnp.arange(*args), expected.astype(dtype), dtype)
    program = stage(lambda: [cnp.arange(*args)], [])
    assert program.outputs[0].aval.shape == expected.shape
    assert program.outputs[0].aval.dtype == dtype


@pytest.mark.parametrize("endpoint", [True, False])
@pytest.mark.parametrize("num", [0, 1, 2, 7])
def test_linspace(num: int, endpoint: bool) -> None:
    got = cnp.linspace(-1, 3, num, endpoint)
    np.testing.assert_allclose(
        np.asarray(got), np.linspace(-1, 3, num, endpoint), rtol=1e-6, atol=1e-7
    )
    assert got.dtype == np.float32
    low, high = np.array([0.0, 1.0]), np.array([5.0, -5.0])
    both = cnp.linspace(low, high, 4, axis=-1)
    np.testing.assert_allclose(np.asarray(both), np.linspace(low, high, 4, axis=-1))
    _, step = cnp.linspace(0, 1, 5, retstep=True)
    assert float(step) == 0.25


def test_matrices(rng: np.random.Generator) -> None:
    same(cnp.eye(3), np.eye(3), np.float32)
    same(cnp.eye(2, 4, 1, dtype=int), np.eye(2, 4, 1), np.int32)
    same(cnp.identity(2), np.identity(2))
    for k in (-2, -1, 0, 1, 3):
        same(cnp.tri(3, 4, k), np.tri(3, 4, k))
        m = rng.normal(size=(2, 3, 4)).astype(np.float32)
        same(cnp.tril(m, k), np.tril(m, k))
        same(cnp.triu(m, k), np.triu(m, k))
        same(cnp.diag(cnp.arange(3), k), np.diag(np.arange(3), k))
        same(cnp.diag(m[0], k), np.diag(m[0], k))
        same(cnp.diagonal(m, k, 0, 2), np.diagonal(m, k, 0, 2))
        np.testing.assert_allclose(np.asarray(cnp.trace(m[1], k)), np.trace(m[1], k), rtol=1e-6)
    same(cnp.diagflat(cnp.ones((2, 2))), np.diagflat(np.ones((2, 2))))
    same(cnp.vander(cnp.arange(4), 3), np.vander(np.arange(4), 3))
    for got, wanted in zip(cnp.tril_indices(3), np.tril_indices(3), strict=True):
        same(got, wanted)


@pytest.mark.parametrize("indexing", ["xy", "ij"])
@pytest.mark.parametrize("sparse", [False, True])
def test_grids(indexing: str, sparse: bool) -> None:
    vectors = np.arange(3), np.arange(4), np.arange(2)
    for got, wanted in zip(
        cnp.meshgrid(*vectors, indexing=indexing, sparse=sparse),
        np.meshgrid(*vectors, indexing=indexing, sparse=sparse),
        strict=True,
    ):
        same(got, wanted)
    same(cnp.indices((2, 3)), np.indices((2, 3)), np.int32)
    same(cnp.fromfunction(lambda i, j: i + j, (2, 3)), np.fromfunction(lambda i, j: i + j, (2, 3)))
    np.testing.assert_allclose(np.asarray(cnp.logspace(0, 2, 3)), [1, 10, 100], rtol=1e-5)


FILLED = {
    "full": lambda x, v: cnp.full((2,), v, x.dtype),
    "full of no axes": lambda x, v: cnp.full((), v, x.dtype),
    "full_like": cnp.full_like,
    "lax.full_like": lax.full_like,
    "pad": lambda x, v: cnp.pad(x, 1, constant_values=v)[0],
    "max": lambda x, v: cnp.max(x[:0], initial=v, keepdims=True),
    "sum": lambda x, v: cnp.sum(x[:0], initial=v, promote_integers=False),
    "set": lambda x, v: x.at[0].set(v)[0],
    "get": lambda x, v: x.at[9].get(mode="fill", fill_value=v),
    "convert_element_type": lambda x, v: lax.convert_element_type(v, x.dtype),
    "compiled": lambda x, v: cv.jit(lambda: cnp.full_like(x, v))(),
}


@pytest.mark.parametrize("number", [1e10, -1e10, np.nan, np.inf, -np.inf, 300.7, -3.5])
@pytest.mark.parametrize("dtype", ["int32", "uint8", "int8", "int4", "uint64"])
@pytest.mark.parametrize("function", FILLED)
def test_a_float_fills_integers_as_it_is_converted(
    function: str, dtype: str, number: float
) -> None:
    x = cnp.zeros(3, dtype)
    for value in (number, np.float64(number), np.float32(number)):
        found = cnp.ravel(FILLED[function](x, value))
        wanted = cnp.asarray(value).astype(dtype)
        assert found.dtype == dtype
        assert set(found.tolist()) == {wanted.item()}, (found, wanted)


@pytest.mark.parametrize("number", [1e10, -np.inf, np.nan])
@pytest.mark.parametrize("dtype", ["int32", "uint8"])
def test_a_float_that_is_no_such_integer_is_refused_among_others(dtype: str, number: float) -> None:
    for listed in (number, [number, 1.0], [[1, number]], (True, number)):
        for array in (cnp.array, cnp.asarray, lambda x, d: cv.jit(lambda: cnp.asarray(x, d))()):
            with pytest.raises((OverflowError, ValueError), match=r"convert|fit|out of bounds"):
                array(listed, dtype)


@pytest.mark.parametrize(
    "dtype", ["float16", "bfloat16", "float32", "int32", "uint8", "bool", "complex64"]
)
def test_objects_become_what_is_asked_for(dtype: str) -> None:
    """In a dtype that is named, as NumPy converts them; without one they are no array."""
    for values in (
        [None],
        [None, 1.0],
        ["1.5"],
        [1, 2.5],
        [b"2"],
        [True],
        [[3, 4]],
        [2**70],
        [1 + 2j],
        ["x"],
    ):
        objects = np.array(values, object)
        for make in (cnp.asarray, cnp.array):
            with pytest.raises(TypeError, match="not an array"):
                make(objects)
            try:
                with np.errstate(over="ignore"):
                    wanted = np.asarray(objects, cnp.dtype(dtype))
            except (TypeError, ValueError, OverflowError) as error:
                with pytest.raises(type(error)):
                    make(objects, dtype)
            else:
                with np.errstate(over="ignore"):
                    made = make(objects, dtype)
                assert made.dtype == wanted.dtype
                np.testing.assert_array_equal(np.asarray(made), wanted)
