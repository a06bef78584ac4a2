"""Index expressions mean what they were before they were simplified."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

from covector._engine.ir import index
from covector._engine.ir.scalar import Expr, const
from covector._engine.types import dims

n, m = dims.symbol("n", 1), dims.symbol("m", 1)
INT32, INT64, UINT8 = np.dtype(np.int32), np.dtype(np.int64), np.dtype(np.uint8)


def local(dtype: Any = np.int32) -> Expr:
    return Expr("local", (), np.dtype(dtype), object())


def value(d: dims.Dim, **symbols: int) -> dims.Dim:
    return dims.substitute(d, symbols)


shapes = st.lists(st.integers(1, 5), min_size=0, max_size=4).map(tuple)


@given(shapes, st.data())
def test_unflatten_is_the_inverse_of_flatten(shape: tuple[int, ...], data: Any) -> None:
    variables = tuple([index.loop_variable(f"i{a}", d) for a, d in enumerate(shape)])
    offset = index.flatten(variables, shape)
    back = index.unflatten(offset, shape)
    spot = {f"i{a}": data.draw(st.integers(0, d - 1)) for a, d in enumerate(shape)}
    assert [value(i, **spot) for i in back] == list(spot.values())
    for i, variable, d in zip(back, variables, shape, strict=True):
        assert i == variable or d == 1  # nothing is left of the divisions


@given(shapes, shapes, st.integers(0, 10**6))
def test_unflatten_of_any_offset(shape: tuple[int, ...], other: tuple[int, ...], seed: int) -> None:
    size = math.prod(shape)
    offset = index.loop_variable("p", size)
    spot = seed % size
    expected = [int(i) for i in np.unravel_index(spot, shape)] if shape else []
    assert [value(i, p=spot) for i in index.unflatten(offset, shape)] == expected


def test_symbolic_shapes_leave_no_division() -> None:
    shape = (3, n, n + 1, 4 * m)
    variables = tuple([index.loop_variable(f"i{a}", d) for a, d in enumerate(shape)])
    offset = index.flatten(variables, shape)
    assert index.unflatten(offset, shape) == variables
    merged = index.unflatten(offset, (3 * n, (n + 1) * 4 * m))
    assert merged == (variables[0] * n + variables[1], variables[2] * 4 * m + variables[3])


def test_divide_by_what_does_not_divide() -> None:
    p = index.loop_variable("p", n * m)
    q, r = index.divide(p, n)
    for size, spot in ((3, 7), (3, 8), (1, 0)):
        assert (value(q, n=size, p=spot), value(r, n=size, p=spot)) == divmod(spot, size)


def test_comparisons_are_decided_by_loop_extents() -> None:
    i, j = index.loop_variable("i", n), index.loop_variable("j", m)
    for op, x, y, known in (
        ("lt", i, n, True), ("ge", i, 0, True), ("ge", i, n, False), ("lt", i * m + j, n * m, True), ("le", j, m, True),
        ("lt", i, 0, False), ("eq", i, n, False), ("ne", i, n, True), ("eq", i, i, True), ("gt", n, i, True),
        ("lt", i, n - 1, None), ("eq", i, 0, None), ("lt", i, j, None), ("lt", dims.mod(i, m), m, True),
    ):  # fmt: skip
        assert index.constant(index.compare(op, x, y)) is known, (op, x, y)
    undecided = index.compare("lt", i - 3, j)
    assert undecided.op == "lt"
    assert undecided.args[1].attr == j + 3


def test_what_has_other_bounds_is_another_index() -> None:
    """What is kept by index is kept for the loop that it was found in, whatever its variable is called."""
    short, long_ = index.loop_variable("i", 3), index.loop_variable("i", 20)
    assert short == index.loop_variable("i", 3)
    assert index.loop_variable("i", n + 1) == index.loop_variable("i", 1 + n)
    different = (
        (short, long_), (index.loop_variable("i", n), index.loop_variable("i", m)), (short, dims.symbol("i", 0, 2)),
    )  # fmt: skip
    for x, y in different:
        for f in (
            lambda d: d, lambda d: d * 2 + 1, lambda d: d * n, lambda d: dims.floordiv(d, n), lambda d: dims.mod(d, n),
            lambda d: dims.maximum(d, n), lambda d: dims.minimum(n, d), lambda d: dims.mod(dims.mod(d, n) + d, m),
        ):  # fmt: skip
            assert f(x) != f(y), (f(x), f(y))
            assert {f(x): 1, f(y): 2} == {f(y): 2, f(x): 1}
            assert len({f(x), f(y)}) == 2
    e = local()
    assert index.of_scalar(e, 0, 3) != index.of_scalar(e, 0, 9)  # what is promised where it is used


def test_both_folds_constants() -> None:
    undecided = index.compare("eq", index.loop_variable("i", 5), 2)
    assert index.both() is index.TRUE
    assert index.both(index.TRUE, undecided, index.TRUE) is undecided
    assert index.constant(index.both(undecided, index.FALSE)) is False
    assert index.both(undecided, undecided).op == "and"


def test_scalar_of_data_as_an_index() -> None:
    e = local()
    d = index.of_scalar(e, 0, 9)
    assert d == index.of_scalar(e, 0, 9)
    assert d != index.of_scalar(local(), 0, 9)
    assert dims.bounds(d) == (0, 9)
    assert index.to_scalar(d, INT32) is e
    assert index.to_scalar(d, INT64).op == "convert"
    assert index.of_scalar(const(4, INT32), 0, 9) == 4
    i = index.loop_variable("i", 9)
    assert index.of_scalar(index.to_scalar(i, INT32), 0, 9) is i


def test_clamp() -> None:
    assert index.clamp(const(7, INT32), 0, 3) == 3
    assert index.clamp(const(-7, INT32), 0, n) == 0
    assert index.clamp(local(), 0, 0) == 0
    i = index.loop_variable("i", 4)
    assert index.clamp(index.to_scalar(i, INT64), 0, 5) is i
    for dtype, upper, wide in (
        (np.uint8, 5, INT32), (np.int32, 5, INT32), (np.int32, n, INT64), (np.uint32, 5, INT64), (np.uint64, 5, INT64),
        (np.int8, 1000, INT32),
    ):  # fmt: skip
        d = index.clamp(local(dtype), 0, upper)
        assert isinstance(d, dims.Polynomial)
        (factor,) = dims.factors(d)
        assert isinstance(factor.payload, Expr)
        assert factor.payload.dtype == wide


def test_index_as_scalar_wraps() -> None:
    assert index.to_scalar(300, UINT8).attr == 44
    assert index.to_scalar(2**31, INT32).attr == -(2**31)
    assert index.to_scalar(3, np.dtype(np.float32)).attr == 3.0
    i = index.loop_variable("i", n)
    half = index.to_scalar(i, np.dtype(np.float16))
    assert (half.op, half.args[0].op) == ("convert", "index")


@pytest.mark.parametrize(
    ("d", "stride"),
    [(0, 0), (n, 0), (3 * n, 0)],
)
def test_no_dependence(d: dims.Dim, stride: int) -> None:
    assert index.coefficient(d, "i") == stride
    assert not index.depends(d, "i")


def test_coefficients() -> None:
    i, j = index.loop_variable("i", n), index.loop_variable("j", 7)
    assert index.coefficient(3 * i + j * n, "i") == 3
    assert index.coefficient(3 * i + j * n, "j") == n
    assert index.coefficient(i * j + i, "i") == j + 1
    assert index.coefficient(i * i, "i") is None
    assert index.coefficient(dims.floordiv(i, 2) + j, "i") is None
    assert index.coefficient(dims.floordiv(i, 2) + j, "j") == 1
    assert index.coefficient(dims.floordiv(i, 2) * j, "j") == dims.floordiv(i, 2)


def test_dependence_through_data() -> None:
    i, j = index.loop_variable("i", 5), index.loop_variable("j", 7)
    load = Expr("load", (), INT32, (object(), (i,)))
    d = index.of_scalar(load + 1, 0, 3)
    assert index.depends(d + j, "i")
    assert index.coefficient(d + j, "i") is None
    assert index.coefficient(d + j, "j") == 1
    assert index.depends(index.of_scalar(index.to_scalar(2 * i, INT32) + 1, 0, 9), "i")
    assert not index.depends(index.of_scalar(Expr("load", (), INT32, (object(), ())), 0, 3), "i")
    assert index.depends_on_any(d, ("j", "i"))
    assert not index.depends_on_any(d, ("j", "k"))
    assert index.depends(
        index.of_scalar(Expr("local", (), INT32, "x"), 0, 3), "i"
    )  # may hold anything
