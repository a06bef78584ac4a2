"""Derivatives of functions of matrices by finite differences, where matrices are wide, singular, or of low rank."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import covector as cv
from covector import numpy as cnp
from covector.scipy import linalg

RNG = np.random.default_rng(1)
WEIGHTS = cnp.asarray(RNG.normal(size=(6, 6)))
SQUARE, WIDE = RNG.normal(size=(4, 4)), RNG.normal(size=(3, 5))
ROOTED = SQUARE @ SQUARE.T + np.eye(4)


def weighted(x: Any) -> Any:
    return (cnp.real(x) * WEIGHTS[: x.shape[0], : x.shape[1]]).sum()


def of_rank(rank: int, n: int) -> np.ndarray:
    return RNG.normal(size=(n, rank)) @ RNG.normal(size=(rank, n))


def with_a_zero_column(n: int) -> np.ndarray:
    x = RNG.normal(size=(n, n))
    x[:, 0] = 0
    return x


CASES: dict[str, tuple[Callable[[Any], Any], np.ndarray]] = {
    "q of a wide matrix": (lambda x: weighted(cnp.linalg.qr(x)[0]), WIDE),
    "r of a wide matrix": (lambda x: weighted(cnp.linalg.qr(x)[1]), WIDE),
    "r of a wide matrix, complete": (lambda x: weighted(cnp.linalg.qr(x, "complete")[1]), WIDE),
    "square roots": (lambda x: weighted(linalg.sqrtm(x)), ROOTED),
    "sylvester, a": (lambda x: weighted(linalg.solve_sylvester(x, ROOTED, SQUARE)), ROOTED),
    "sylvester, b": (lambda x: weighted(linalg.solve_sylvester(ROOTED, x, SQUARE)), ROOTED),
    "sylvester, c": (lambda x: weighted(linalg.solve_sylvester(ROOTED, ROOTED, x)), SQUARE),
    **{
        f"det of rank {r} of {n}": (cnp.linalg.det, of_rank(r, n))
        for n in (3, 4, 5)
        for r in range(n + 1)
    },
    "det of zeros": (cnp.linalg.det, np.zeros((4, 4))),
    "det with a zero column": (cnp.linalg.det, with_a_zero_column(4)),
    "dets": (lambda x: cnp.linalg.det(x.reshape(2, 2, 2)).sum(), SQUARE[:2]),
}


@pytest.mark.parametrize("name", CASES)
def test_slopes(name: str) -> None:
    f, x = CASES[name]
    wanted, step = np.zeros_like(x), 1e-5
    for at in np.ndindex(*x.shape):
        moved = np.zeros_like(x)
        moved[at] = step
        wanted[at] = (float(f(cnp.asarray(x + moved))) - float(f(cnp.asarray(x - moved)))) / (
            2 * step
        )
    np.testing.assert_allclose(cv.grad(f)(cnp.asarray(x)), wanted, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(cv.jacfwd(f)(cnp.asarray(x)), wanted, rtol=1e-6, atol=1e-7)


def test_slopes_of_stacks_and_of_complex_matrices() -> None:
    stack = np.stack([of_rank(2, 4), SQUARE])
    each = [cv.grad(cnp.linalg.det)(cnp.asarray(x)) for x in stack]
    np.testing.assert_allclose(
        cv.vmap(cv.grad(cnp.linalg.det))(cnp.asarray(stack)), each, atol=1e-12
    )
    a = SQUARE + 1j * SQUARE.T
    _, slope = cv.jvp(cnp.linalg.det, (cnp.asarray(a),), (cnp.asarray(a),))
    np.testing.assert_allclose(slope, 4 * np.linalg.det(a))
    with pytest.raises(cv.errors.NotDifferentiableError, match="further columns of a full Q"):
        cv.grad(lambda x: weighted(cnp.linalg.qr(x, "complete")[0]))(cnp.asarray(WIDE.T))
