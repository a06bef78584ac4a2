"""`BCOO` against the dense array that it stands for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.sparse

import covector as cv
from covector import numpy as cnp
from covector.experimental import sparse
from covector.experimental.sparse import BCOO
from covector.scipy.sparse import linalg as sparse_linalg

RNG = np.random.default_rng(0)
DENSE = (RNG.normal(size=(3, 4)) * (RNG.random((3, 4)) < 0.5)).astype("float32")
# Once as it comes, once with an element twice, and one outside.
TWICE = BCOO(
    (
        np.array([1.0, 2.0, 3.0, 9.0], "float32"),
        np.array([[0, 1], [2, 3], [0, 1], [7, 0]]),
    ),
    shape=(3, 4),
)
ARRAYS = {"sparse": BCOO.fromdense(DENSE), "padded": BCOO.fromdense(DENSE, nse=9), "twice": TWICE}

OPERATIONS: dict[str, Callable[[Any], Any]] = {
    "T": lambda a: a.T,
    "transpose": lambda a: a.transpose((1, 0)),
    "neg": lambda a: -a,
    "abs": abs,
    "add": lambda a: a + a.astype("float32"),
    "sub": lambda a: a - 3 * a,
    "add dense": lambda a: a + DENSE,
    "dense add": lambda a: DENSE + a,
    "times number": lambda a: a * 2,
    "times row": lambda a: a * DENSE[0],
    "over": lambda a: a / 2,
    "matvec": lambda a: a @ DENSE[0],
    "matmat": lambda a: a @ DENSE.T,
    "stack": lambda a: a @ np.stack([DENSE.T, DENSE.T]),
    "vecmat": lambda a: DENSE[:, 0] @ a,
    "rmatmat": lambda a: DENSE.T @ a,
    "square": lambda a: a.T @ a,
    "sum": lambda a: a.sum(),
    "sum 0": lambda a: a.sum(0),
    "sum -1": lambda a: a.sum(-1),
    "sum both": lambda a: a.sum((0, 1)),
    "reshape": lambda a: a.reshape(2, 6),
    "flat": lambda a: a.reshape((-1,)),
    "row": lambda a: a[1],
    "element": lambda a: a[0, -3],
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_same_as_dense(name: str) -> None:
    for array in ARRAYS.values():
        wanted = OPERATIONS[name](np.asarray(array.todense()))
        found = sparse.todense(OPERATIONS[name](array))
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("solver", [sparse_linalg.cg, sparse_linalg.bicgstab, sparse_linalg.gmres])
def test_iterative_solvers_take_sparse_matrices(solver: Any) -> None:
    dense = np.diag(np.arange(2.0, 7.0)).astype(np.float32) + np.eye(5, k=1, dtype=np.float32) / 4
    dense = dense + dense.T
    right = np.arange(5, dtype=np.float32)
    near = BCOO.fromdense(np.diag(1 / np.diag(dense)))
    found, _ = cv.jit(lambda A, b: solver(A, b, M=near))(BCOO.fromdense(dense), right)
    np.testing.assert_allclose(found, np.linalg.solve(dense, right), rtol=1e-4, atol=1e-5)


def test_under_transformations() -> None:
    a = ARRAYS["sparse"]
    x = cnp.asarray(DENSE[0])
    np.testing.assert_allclose(cv.jit(lambda a, x: a @ x)(a, x), DENSE @ x, rtol=1e-5)
    stack = cnp.asarray(DENSE)
    np.testing.assert_allclose(cv.vmap(lambda x: a @ x)(stack), DENSE @ DENSE.T, rtol=1e-5)

    def f(data: Any) -> Any:
        return cnp.sum((BCOO((data, a.indices), shape=a.shape) @ x) ** 2)

    rows, columns = np.asarray(a.indices).T
    np.testing.assert_allclose(cv.grad(f)(a.data), 2 * (DENSE @ x)[rows] * x[columns], rtol=1e-5)


def test_once_each() -> None:
    once = TWICE.sum_duplicates()
    assert (once.nse, once.unique_indices, once.data.tolist()) == (2, True, [4, 2])
    assert cv.jit(lambda a: a.sum_duplicates(nse=4))(TWICE).nse == 4
    assert ARRAYS["sparse"].T.sort_indices().indices_sorted


def test_makers() -> None:
    matrix = scipy.sparse.csr_matrix(DENSE)
    np.testing.assert_array_equal(BCOO.from_scipy_sparse(matrix).todense(), DENSE)
    for arguments in ((3,), (3, 4, 1), (4, 3, -2), (2, 2, 5)):
        np.testing.assert_array_equal(sparse.eye(*arguments).todense(), np.eye(*arguments))
    assert sparse.empty((2, 3)).todense().tolist() == np.zeros((2, 3)).tolist()
    assert repr(TWICE) == "BCOO(float32[3, 4], nse=4)"
    assert sparse.todense(BCOO.fromdense(2.0)) == 2


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: BCOO((cnp.ones(2), cnp.ones((2, 1), int)), shape=(3, 4)), ValueError, "indices"),
        (lambda: TWICE @ cnp.ones(3), TypeError, r"\(3, 4\) and \(3,\)"),
        (lambda: TWICE + TWICE.T, ValueError, "differ"),
        (lambda: TWICE[5], IndexError, "outside"),
        (lambda: TWICE[0:1], TypeError, "made of at most 2 integers"),
        (lambda: TWICE.transpose((0, 0)), ValueError, "axes must be"),
    ],
)
def test_wrong(call: Callable[[], Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call()
