"""The functions of `covector.numpy` by theme against NumPy: eager, under vmap, and their gradients."""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np
import pytest
from tests.surface.numpy_theme_cases import CASES, Case

import covector as cv
import covector.numpy as cnp


def arrays(out: Any) -> list[np.ndarray]:
    return (
        [a for x in out for a in arrays(x)] if isinstance(out, tuple | list) else [np.asarray(out)]
    )


def same(got: Any, right: Any, digits: float = 1e-5) -> None:
    """Shapes and values are equal, and kinds of dtypes."""
    pairs = list(zip(arrays(got), arrays(right), strict=True))
    for x, y in pairs:
        assert x.shape == y.shape, (x.shape, y.shape)
        alike = x.dtype.kind == y.dtype.kind or {x.dtype.kind, y.dtype.kind} <= set("iuf")
        assert alike, (x.dtype, y.dtype)
        np.testing.assert_allclose(x, y, rtol=10 * digits, atol=digits)


def of_numpy(case: Case) -> Any:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return case.call(np, *case.operands)


def label(case: Case) -> str:
    return case.name


@pytest.mark.parametrize("case", CASES, ids=label)
def test_as_numpy(case: Case) -> None:
    right = of_numpy(case)
    operands = [cnp.asarray(x) for x in case.operands]
    same(case.call(cnp, *operands), right, case.digits)


@pytest.mark.parametrize("case", [c for c in CASES if "v" in c.ways], ids=label)
def test_under_vmap(case: Case) -> None:
    operands = [cnp.asarray(np.stack([x, x[::-1]])) for x in case.operands]
    got = cv.vmap(lambda *xs: case.call(cnp, *xs))(*operands)
    for i in range(2):
        one = case.call(cnp, *[x[i] for x in operands])
        same([x[i] for x in arrays(got)], one, case.digits)


@pytest.mark.parametrize("case", [c for c in CASES if "g" in c.ways], ids=label)
def test_gradients(case: Case) -> None:
    """The derivative along a direction, against a difference."""
    operands = [cnp.asarray(np.asarray(x, np.float64)) for x in case.operands]

    def f(*xs: Any) -> Any:
        return sum(cnp.sum(cnp.sin(o)) for o in case_outputs(case, *xs))

    slopes = cv.grad(f, argnums=tuple(range(len(operands))))(*operands)
    rng = np.random.default_rng(3)
    ways = [rng.normal(size=x.shape) for x in operands]
    step = 1e-6
    ahead, back = (
        float(f(*[x + s * step * w for x, w in zip(operands, ways, strict=True)])) for s in (1, -1)
    )
    along = sum(float(cnp.sum(s * w)) for s, w in zip(slopes, ways, strict=True))
    assert abs(along - (ahead - back) / (2 * step)) < 1e-5 * (1 + abs(along))


def case_outputs(case: Case, *xs: Any) -> list[Any]:
    out = case.call(cnp, *xs)
    return list(out) if isinstance(out, tuple | list) else [out]


# ------------------------------------------------------------------------- NumPy's changes in place

M = np.arange(12, dtype=np.float32).reshape(4, 3)
IN_PLACE = {
    "put": [(np.array([0, -1, 5]), np.array([7.0, 8.0], np.float32))],
    "place": [(M > 4, np.array([1.0, 2.0, 3.0], np.float32)), (M < 0, np.array([1.0], np.float32))],
    "put_along_axis": [(np.array([[1], [0], [2], [1]]), np.float32(5), 1)],
    "fill_diagonal": [(np.float32(7),), (np.array([1, 2], np.float32),), (np.float32(7), True)],
}


@pytest.mark.parametrize("name", IN_PLACE)
def test_replacing(name: str) -> None:
    for args in IN_PLACE[name]:
        right = M.copy()
        getattr(np, name)(right, *args)
        ours = [cnp.asarray(x) if isinstance(x, np.ndarray) else x for x in args]
        f = lambda m, ours=ours: getattr(cnp, name)(m, *ours, inplace=False)  # noqa: E731
        np.testing.assert_array_equal(f(cnp.asarray(M)), right)
        np.testing.assert_array_equal(cv.jit(f)(M), right)
        with pytest.raises(ValueError, match=f"{name}.*inplace=False"):
            getattr(cnp, name)(cnp.asarray(M), *ours)


def test_ufunc_at() -> None:
    i = np.array([0, 2, 0, -1])
    for name in ("add", "multiply", "subtract", "maximum", "hypot", "logaddexp"):
        right = M[:, 0].copy()
        getattr(np, name).at(right, i, np.float32(2))
        got = getattr(cnp, name).at(cnp.asarray(M[:, 0]), i, 2.0, inplace=False)
        np.testing.assert_allclose(got, right, rtol=1e-6)
    got = cnp.negative.at(cnp.asarray(M[:, 0]), i[1:2], inplace=False)
    np.testing.assert_array_equal(got, [0, 3, -6, 9])


def test_a_ufunc_of_a_function() -> None:
    f = cnp.frompyfunc(lambda x, y: (x + y, x * y), 2, 2)
    same(f(cnp.asarray(M), 3), (M + 3, M * 3))
    assert isinstance(f, cnp.ufunc)
    assert (f.nin, f.nout) == (2, 2)
    with pytest.raises(ValueError, match="two operands with one result"):
        f.reduce(M)


def test_a_ufunc_maps_its_function_over_numbers() -> None:
    for make in (cnp.ufunc, cnp.frompyfunc):
        f = make(lambda x, y: cnp.dot(x, y) + x.ndim, 2, 1)
        same(f(cnp.asarray(M), 3, out=None, where=None), M * 3)
        for option in ("out", "where"):
            with pytest.raises(NotImplementedError, match=option):
                f(M, 3, **{option: M})
    listed = cnp.frompyfunc(lambda x: [x, -x], 1, 2)(2)
    assert (type(listed), listed[1].weak_type) == (list, True)
    assert cnp.frompyfunc(lambda key: key, 1, 1)(cv.random.split(cv.random.key(0), 3)).shape == (3,)
    with pytest.raises(TypeError, match="frompyfunc takes a function, got 3"):
        cnp.frompyfunc(3, 1, 1)  # type: ignore[arg-type]


def test_minmax() -> None:
    same(cnp.minmax(cnp.asarray(M), axis=1), (M.min(1), M.max(1)))
    same(cnp.minmax(cnp.asarray(M), initial=(-1, 99)), (np.float32(-1), np.float32(99)))


def test_files_and_text() -> None:
    file = io.BytesIO()
    for x in (M, np.arange(3), np.asarray(cnp.ones(2, "bfloat16"))):
        file = io.BytesIO()
        cnp.save(file, cnp.asarray(x))
        file.seek(0)
        got = cnp.load(file)
        assert got.dtype == x.dtype
        np.testing.assert_array_equal(got, x)
    cnp.savez(file := io.BytesIO(), cnp.asarray(M), y=cnp.arange(3))
    file.seek(0)
    found = cnp.load(file)
    np.testing.assert_array_equal(found["arr_0"], M)
    np.testing.assert_array_equal(found["y"], [0, 1, 2])
    np.testing.assert_array_equal(cnp.fromstring("1,2", sep=",", dtype=int), [1, 2])
    np.testing.assert_array_equal(cnp.fromiter(iter([1, 2, 3]), float, 2), [1, 2])


WRONG = [
    (ValueError, "vector", lambda: cnp.bincount(cnp.ones((2, 2), int))),
    (TypeError, "integers", lambda: cnp.bincount(cnp.ones(2))),
    (ValueError, "method", lambda: cnp.isin(cnp.ones(2), 1, method="magic")),
    (NotImplementedError, "bins='auto'", lambda: cnp.histogram(cnp.ones(3), "auto")),
    (ValueError, "weights of shape", lambda: cnp.histogram(cnp.ones(3), weights=cnp.ones(2))),
    (ValueError, "size=2.*fill_value", lambda: cnp.unique(cnp.ones(0), size=2)),
    (ValueError, "M is -1", lambda: cnp.hanning(-1)),
    (IndexError, "out of bounds", lambda: cnp.delete(cnp.ones(3), 5)),
    (ValueError, "behind the end", lambda: cnp.compress([0, 0, 0, 1], cnp.ones(3))),
    (ValueError, "choose: a number", lambda: cnp.choose(cnp.array([2]), [1, 2])),
    (ValueError, "method 'magic'", lambda: cnp.quantile(cnp.ones(3), 0.5, method="magic")),
    (ValueError, "without elements", lambda: cnp.quantile(cnp.ones(0), 0.5)),
    (TypeError, "gcd takes integers", lambda: cnp.gcd(1.5, 2)),
    (ValueError, "is not a signature", lambda: cnp.vectorize(len, signature="(n")),
    (ValueError, "core axis n", lambda: cnp.vectorize(cnp.dot, signature="(n),(n)->()")(cnp.ones(2), cnp.ones(3))),
    (ValueError, "its signature says", lambda: cnp.vectorize(cnp.sum, signature="(n)->(n)")(cnp.ones((2, 3)))),
    (ValueError, "different depths", lambda: cnp.block([[cnp.ones(2)], cnp.ones(2)])),
    (ValueError, "needs an end", lambda: cnp.r_[1:]),
    (ValueError, "it takes 3 points", lambda: cnp.gradient(cnp.ones(2), edge_order=2)),
    (TypeError, "distances for", lambda: cnp.gradient(cnp.ones((3, 3)), 1.0, 2.0, 3.0)),
    (ValueError, "vectors of one length", lambda: cnp.interp(0.5, cnp.ones(2), cnp.ones(3))),
    (NotImplementedError, "out=", lambda: cnp.compress([1], cnp.ones(1), out=cnp.ones(1))),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "text", "call"), WRONG, ids=lambda v: v if isinstance(v, str) else ""
)
def test_wrong_arguments(kind: type[Exception], text: str, call: Any) -> None:
    with pytest.raises(kind, match=text):
        call()


def test_ufuncs_of_numpy_find_those_that_are_loaded_late() -> None:
    assert type(np.gcd(cnp.array([12]), 8)) is cv.Array  # type: ignore[call-overload]
    fraction, exponent = np.frexp(cnp.array([6.0]))  # type: ignore[call-overload]
    assert (float(fraction[0]), int(exponent[0])) == (0.75, 3)
