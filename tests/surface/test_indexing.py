"""Indexing and updates at an index: fuzzed against NumPy, concrete and traced."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import covector as cv
import covector.numpy as cnp
from covector import lax
from covector._engine.core.trace import evaluate, stage, typeof


def traced(f: Any, *args: Any) -> Any:
    """The function's Program on the arguments' types, evaluated on them."""
    program = stage(lambda *xs: [f(*xs)], [typeof(a) for a in args])
    return evaluate(program, args)[0]


def bound(n: int) -> st.SearchStrategy[int | None]:
    return st.none() | st.integers(-n - 2, n + 2)


@st.composite
def indices(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[Any, ...]]:
    """A shape and an index into it: ints, slices, None, ..., arrays that broadcast together, masks."""
    shape = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=4)))
    common = tuple(draw(st.lists(st.integers(1, 3), max_size=2)))
    entries: list[Any] = []
    axis = 0
    ellipsis = False
    while axis < len(shape) and not (entries and draw(st.integers(0, 5)) == 0):
        n = shape[axis]
        kind = draw(st.sampled_from("iiSsssaaaAnem"))
        if kind == "n":
            entries.append(None)
            continue
        if kind == "e" and not ellipsis:
            ellipsis = True
            entries.append(...)
            axis += draw(
                st.integers(1, len(shape) - axis)
            )  # for none, NumPy still separates by it; JAX does not
            rest = len(shape) - axis
            # what follows must count from the end
            for k in range(rest):
                entries.append(draw(st.integers(-shape[axis + k], shape[axis + k] - 1)))
            return shape, tuple(entries)
        if kind == "i":
            entries.append(draw(st.integers(-n, n - 1)))
        elif kind in "aA":
            own = tuple(
                [draw(st.sampled_from([1, m])) for m in common][draw(st.integers(0, len(common))) :]
            )
            size = int(np.prod(own))
            values = draw(st.lists(st.integers(-n, n - 1), min_size=size, max_size=size))
            entries.append(np.array(values, np.int32).reshape(own))
        elif kind == "m" and not any(isinstance(e, np.ndarray) for e in entries):
            entries.append(np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n))))
            return shape, tuple(entries)
        else:
            step = draw(st.none() | st.sampled_from([1, 1, 2, 3, -1, -2]))
            entries.append(slice(draw(bound(n)), draw(bound(n)), step))
        axis += 1
    return shape, tuple(entries)


def arrays_of(index: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple([cnp.asarray(e) if isinstance(e, np.ndarray) else e for e in index])


@settings(max_examples=500)
@given(indices())
def test_reading(case: tuple[tuple[int, ...], tuple[Any, ...]]) -> None:
    shape, index = case
    x = np.arange(np.prod(shape)).reshape(shape).astype(np.float32)
    expected = x[index]
    ours = arrays_of(index)
    got = np.asarray(cnp.asarray(x)[ours])
    assert got.shape == expected.shape
    np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(np.asarray(traced(lambda y: y[ours], cnp.asarray(x))), expected)
    data = [e for e in ours if hasattr(e, "dtype") and e.dtype != bool]

    def with_traced_indices(y: Any, *found: Any) -> Any:
        left = iter(found)
        return y[
            tuple([next(left) if hasattr(e, "dtype") and e.dtype != bool else e for e in ours])
        ]

    np.testing.assert_array_equal(
        np.asarray(traced(with_traced_indices, cnp.asarray(x), *data)), expected
    )


@settings(max_examples=500)
@given(indices(), st.sampled_from(["set", "add", "multiply", "min", "max"]), st.booleans())
def test_updating(case: tuple[tuple[int, ...], tuple[Any, ...]], method: str, scalar: bool) -> None:
    shape, index = case
    x = np.arange(np.prod(shape)).reshape(shape).astype(np.float32) + 1
    part = x[index]
    values = (
        np.float32(7)
        if scalar
        else (np.arange(part.size).reshape(part.shape) % 5 + 1).astype(np.float32)
    )
    expected = x.copy()
    if method == "set":
        expected[index] = values
    else:
        names = {"add": np.add, "multiply": np.multiply, "min": np.minimum, "max": np.maximum}
        names[method].at(expected, index, values)
    ours = arrays_of(index)
    got = np.asarray(getattr(cnp.asarray(x).at[ours], method)(values))
    np.testing.assert_array_equal(got, expected)
    again = traced(lambda y, v: getattr(y.at[ours], method)(v), cnp.asarray(x), cnp.asarray(values))
    np.testing.assert_array_equal(np.asarray(again), expected)


X = np.arange(12, dtype=np.float32).reshape(3, 4)


def test_indices_that_are_data() -> None:
    x = cnp.asarray(X)
    for i in (0, 2, -1, -3):
        np.testing.assert_array_equal(
            np.asarray(traced(lambda y, i: y[i], x, cnp.asarray(i))), X[i]
        )
        np.testing.assert_array_equal(
            np.asarray(traced(lambda y, i: y[1:, i], x, cnp.asarray(i))), X[1:, i]
        )
        np.testing.assert_array_equal(
            np.asarray(traced(lambda y, i: y[i, None, ::-2], x, np.int8(i))), X[i, None, ::-2]
        )
        np.testing.assert_array_equal(
            np.asarray(traced(lambda y, i: y.at[i].add(1), x, cnp.asarray(i))),
            X + (np.arange(3) == i % 3)[:, None],
        )


@pytest.mark.parametrize(
    "fill",
    ["1", b"a", (3,), object(), np.str_("a"), np.longdouble(1), 1j, np.complex64(2)],
    ids=lambda x: type(x).__name__,
)
def test_only_numbers_fill(fill: Any) -> None:
    far, form = cnp.array([7]), lax.GatherDimensionNumbers((), (0,), (0,))
    for read in (
        lambda x: x.at[far].get(mode="fill", fill_value=fill),
        lambda x: cnp.take(x, far, fill_value=fill),
        lambda x: cnp.take_along_axis(x, far, fill_value=fill),
        lambda x: lax.gather(x, far[:, None], form, (1,), mode="fill", fill_value=fill),
    ):
        for call in (read, cv.jit(read)):
            why = (
                "its imaginary part"
                if isinstance(fill, complex | np.complex64)
                else "it takes a number"
            )
            with pytest.raises(TypeError, match=rf"fill_value .* {why}"):
                call(cnp.arange(4))


def test_out_of_bounds_as_jax_does() -> None:
    x = cnp.asarray(X[0])
    far = cnp.array([7, -9, 1])
    np.testing.assert_array_equal(np.asarray(x[far]), [3, 0, 1])
    np.testing.assert_array_equal(np.asarray(x.at[far].get(mode="fill")), [np.nan, np.nan, 1])
    np.testing.assert_array_equal(
        np.asarray(x.at[far].get(mode="fill", fill_value=-1)), [-1, -1, 1]
    )
    np.testing.assert_array_equal(np.asarray(x.at[far].set(9)), [0, 9, 2, 3])
    np.testing.assert_array_equal(np.asarray(x.at[far].set(9, mode="clip")), [9, 9, 2, 9])
    np.testing.assert_array_equal(np.asarray(x.at[9].set(1, mode="drop")), X[0])
    np.testing.assert_array_equal(np.asarray(cnp.take(x, far)), [np.nan, np.nan, 1])
    np.testing.assert_array_equal(np.asarray(cnp.take(x, 9)), np.nan)
    np.testing.assert_array_equal(np.asarray(cnp.take(x, far, mode="clip")), [3, 0, 1])
    np.testing.assert_array_equal(np.asarray(cnp.take(x, far, mode="wrap")), [3, 3, 1])
    assert np.asarray(traced(lambda y, i: y[i], x, cnp.asarray(9))) == 3
    assert np.isnan(np.asarray(traced(lambda y, i: y.at[i].get(mode="fill"), x, cnp.asarray(9))))
    np.testing.assert_array_equal(
        np.asarray(traced(lambda y, i: y.at[i].set(5), x, cnp.asarray(9))), X[0]
    )


def test_take_and_take_along_axis(rng: np.random.Generator) -> None:
    x = rng.normal(size=(2, 3, 4)).astype(np.float32)
    i = rng.integers(-3, 3, (5, 2))
    for axis in (0, 1, 2, -1):
        j = i % x.shape[axis]
        np.testing.assert_array_equal(
            np.asarray(cnp.take(cnp.asarray(x), j, axis)), np.take(x, j, axis)
        )
        order = np.argsort(x, axis)
        got = cnp.take_along_axis(cnp.asarray(x), cnp.asarray(order), axis)
        np.testing.assert_array_equal(np.asarray(got), np.take_along_axis(x, order, axis))
    np.testing.assert_array_equal(np.asarray(cnp.take(cnp.asarray(x), i)), np.take(x, i))
    none = np.zeros((2, 3, 0), int)
    assert cnp.take_along_axis(x, none, -1).shape == (2, 3, 0)
    assert cnp.take_along_axis(x[..., :0], none, -1).shape == (2, 3, 0)
    one = np.zeros((1, 3, 1), int)
    np.testing.assert_array_equal(
        np.asarray(cnp.take_along_axis(x, one, -1)), np.take_along_axis(x, one, -1)
    )


def test_more_updates() -> None:
    x = cnp.asarray(X[0])
    np.testing.assert_array_equal(np.asarray(x.at[1:3].divide(2)), [0, 0.5, 1, 3])
    np.testing.assert_array_equal(np.asarray(x.at[cnp.array([2, 2])].power(2)), [0, 1, 16, 3])
    np.testing.assert_array_equal(np.asarray(x.at[::2].apply(cnp.negative)), [0, 1, -2, 3])
    np.testing.assert_array_equal(np.asarray(x.at[0].subtract(1)), [-1, 1, 2, 3])
    np.testing.assert_array_equal(np.asarray(x.at[...].set(1)), [1, 1, 1, 1])
    np.testing.assert_array_equal(
        np.asarray(cnp.array([True, False]).at[1].set(True)), [True, True]
    )
    np.testing.assert_array_equal(
        np.asarray(cnp.array([True, False]).at[cnp.array([1, 1])].add(True)), [True, True]
    )
    assert cnp.arange(3).at[0].set(2.7).dtype == np.int32


@pytest.mark.parametrize(
    ("f", "error", "text"),
    [
        (lambda x: x[3], IndexError, "index 3 is out of bounds for axis 0 of size 3"),
        (lambda x: x[0, -5], IndexError, "index -5 is out of bounds for axis 1 of size 4"),
        (lambda x: x.at[3].get(), IndexError, "index 3 is out of bounds"),
        (lambda x: x[0, 0, 0], IndexError, "too many indices.*2 dimensions, but 3 were indexed"),
        (lambda x: x[..., 0, ...], IndexError, "one ellipsis"),
        (lambda x: x[1.5], TypeError, "1.5 of type float is no index"),
        (lambda x: x["a"], TypeError, "'a' of type str is no index"),
        (lambda x: x[[0, 1]], TypeError, "indexed with a list"),
        (lambda x: x.at[[0, 1]].set(1.0), TypeError, "indexed with a list"),
        (lambda x: x[:, 4:][0, 0], IndexError, "axis 1, which has size 0"),
        (lambda x: x[:, 4:][:, cnp.array([0])], IndexError, "axis 1, which has size 0"),
        (
            lambda x: x.at[0].set(cnp.ones((1, 1, 4))),
            ValueError,
            r"an update of shape \(1, 1, 4\) does not fit",
        ),
        (lambda x: x[cnp.ones(2)], TypeError, r"indexed with float32\[2\]"),
        (
            lambda x: x[cnp.array([True, False])],
            IndexError,
            r"a mask of shape \(2,\) was used for axes of lengths \(3,\)",
        ),
        (lambda x: x[::0], ValueError, "slice step cannot be zero"),
        (
            lambda x: x.at[0].set(cnp.ones(3)),
            ValueError,
            r"an update of shape \(3,\) does not fit .* shape \(4,\)",
        ),
        (lambda x: x.at[cnp.array([0, 1])].set(cnp.ones((3, 4))), ValueError, "does not fit"),
        (lambda x: x.at[0].set(1, color="red"), TypeError, "unknown options of an update: color"),
        (lambda x: x.at[0].get(mode="other"), ValueError, "'other' is no mode of indexing"),
    ],
)
def test_errors(f: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        f(cnp.asarray(X))
    with pytest.raises(error, match=text):
        traced(f, cnp.asarray(X))


def test_errors_only_of_traced_values() -> None:
    with pytest.raises(TypeError, match=r"right:  y = covector\.numpy\.where"):
        traced(lambda x: x[x > 0], cnp.asarray(X))
    with pytest.raises(IndexError, match="dynamic_slice for a slice of fixed size"):
        traced(lambda x, i: x[i:], cnp.asarray(X), cnp.asarray(1))
    with pytest.raises(TypeError, match="immutable"):
        cnp.asarray(X)[0] = 1


@pytest.mark.parametrize(
    "index", [3, -4, (0, 9), (slice(None, None, 2), -5), (3, cnp.array([0, 1]))]
)
def test_updates_out_of_bounds_are_left_out(index: Any) -> None:
    x = cnp.asarray(X)
    for f in (
        lambda x: x.at[index].set(7),
        lambda x: x.at[index].add(0.5),
        lambda x: x.at[index].multiply(3),
        lambda x: x.at[index].apply(cnp.negative),
    ):
        np.testing.assert_array_equal(f(x), X)
        np.testing.assert_array_equal(traced(f, x), X)
    if isinstance(index, int):
        assert int(x.at[index].set(7, mode="clip")[2 if index > 0 else 0].min()) == 7


@pytest.mark.parametrize("k", [5, -7])
def test_numbers_out_of_bounds(k: int) -> None:
    """Known to Python, they are errors; in an Array they are clamped or left out, inside jit or not."""
    x, there = cnp.arange(12).reshape(3, 4), cnp.int32(k)
    clamped = x[2] if k > 0 else x[0]
    for run in (lambda f: f, cv.jit):
        for index in (k, np.int32(k)):
            with pytest.raises(
                IndexError, match=f"index {k} is out of bounds for axis 0 of size 3"
            ):
                run(lambda x, index=index: x[index])(x)
        np.testing.assert_array_equal(run(lambda x: x[there])(x), clamped)
        np.testing.assert_array_equal(run(lambda x: x[there, 1:])(x), clamped[1:])
        np.testing.assert_array_equal(run(lambda x: x.at[there].set(9))(x), x)


FLAGS = (
    True, False, (True, 0), (0, True), (slice(None), True), (True, ..., False), (None, True, 1),
    ([0, 1], True), (np.array(True), slice(1, 3)), ((0, 1), (1, 2)),
    (np.array([True, False, True]), True, 2), (True, slice(None, None, -2), None),
)  # fmt: skip


@pytest.mark.parametrize("index", FLAGS, ids=repr)
def test_truth_values_and_sequences_inside_tuples(index: Any) -> None:
    """As NumPy's: a truth value takes no axis and stands for one of length 1 or 0."""
    wanted = X[index]
    x = cnp.asarray(X)
    for f in (lambda x: x[index], lambda x: x.at[index].get()):
        np.testing.assert_array_equal(f(x), wanted)
        np.testing.assert_array_equal(traced(f, x), wanted)
    changed = X.copy()
    changed[index] += 5
    np.testing.assert_array_equal(x.at[index].set(x[index] + 5), changed)
    np.testing.assert_array_equal(traced(lambda x: x.at[index].set(x[index] + 5), x), changed)


def test_what_is_empty() -> None:
    assert cnp.asarray(X)[((),)].shape == (0, 4)
    x = cnp.ones((2, 0))
    for index in (np.array([], int), (slice(None), np.array([], int)), np.zeros((2, 0), bool)):
        assert x[index].shape == np.ones((2, 0))[index].shape
    assert x.at[:, np.array([0, 1])].set(1.0).shape == (2, 0)
    assert cnp.ones(3).at[np.array([], int)].add(2.0).tolist() == [1, 1, 1]
    with pytest.raises(IndexError, match="size 0"):
        x.at[:, 0].set(1.0)
    gradient = cv.grad(lambda x: x[np.array([], int)].sum())(cnp.ones(3))
    assert gradient.tolist() == [0, 0, 0]


def test_updates_keep_the_type_of_the_array() -> None:
    weak = cnp.asarray(2.0)
    for out in (weak.at[()].set(np.float32(1)), weak.at[()].multiply(np.float32(3))):
        assert (out.weak_type, str(out.dtype)) == (True, "float32")
    assert str(cnp.array([True]).at[0].power(2).dtype) == "int32"
    assert str(cnp.arange(3, dtype="uint32").at[0].divide(np.int8(2)).dtype) == "float32"
    assert cnp.arange(3).at[1:].subtract(True).tolist() == [0, 0, 1]
    assert cnp.array([2.0]).at[0].divide(2 + 1j).tolist() == [1]


def test_a_product_at_one_place_has_slopes_wherever_the_place_comes_from() -> None:
    def f(y: Any, i: Any) -> Any:
        grid = cnp.asarray(X).at[:, i].multiply(y)
        return cnp.arange(5.0).at[i].multiply(y).sum() + grid.sum()

    for i in (0, 3):
        wanted = i + X[:, i].sum()
        for found in (cv.grad(f)(2.0, i), cv.jit(cv.grad(f))(2.0, i)):
            np.testing.assert_allclose(found, wanted)
    each = cv.vmap(cv.grad(f), (None, 0))(2.0, cnp.array([0, 3]))
    np.testing.assert_allclose(each, [X[:, 0].sum(), 3 + X[:, 3].sum()])
