"""QR factors, and products with the reflectors that they are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.base.record import record
from covector._engine.core.symbolic import NotDifferentiable, Zero
from covector._engine.core.trace import typeof
from covector._engine.primitives import linalg as la
from covector._engine.primitives.linalg_solve import TriangularSolve
from covector._engine.types import dims as sizes, dtypes
from covector._engine.types.avals import ShapedArray
from covector._engine.types.dims import Dim

Shape = tuple[Dim, ...]
Called = tuple[la.OfMatrices, tuple[tuple[int, ...], ...]]

ONLY_FACTORS = "the reflectors are a way to factors: differentiate those, by qr"


@record
class Qr(la.OfMatrices):
    """Q and R with a = Q R: Q has orthonormal columns, min(m, n) or, if `full`, m of them; R is upper triangular.

    With `pivoting` also the order p of columns with a[:, p] = Q R, in which R's diagonal falls.
    """

    full_matrices: bool
    pivoting: bool = False
    name: ClassVar[str] = "qr"
    routine: ClassVar[str] = "qr"
    multiple: ClassVar[bool] = True

    def single(self, *cores: ShapedArray) -> Sequence[ShapedArray]:
        (a,) = cores
        m, n = a.shape
        k = m if self.full_matrices else sizes.minimum(m, n)
        order = [ShapedArray((n,), dtypes.int32)] if self.pivoting else []
        return [a.with_shape((m, k)), a.with_shape((k, n)), *order]

    def numbers(self, *cores: Shape) -> tuple[tuple[Dim, ...], Dim]:
        m, n = cores[0]
        work = 2 * m * n * sizes.minimum(m, n)
        return (m, n, int(self.full_matrices), int(self.pivoting)), work

    @property
    def order(self) -> tuple[int, ...]:
        return (0, 1, 2, 3) if self.pivoting else (0, 1, 2, 0)

    @classmethod
    def called(cls, *numbers: int) -> Called:
        m, n, full, pivoting = numbers
        return cls(bool(full), bool(pivoting)), ((m, n),)

    def meaning(self, *xs: Any) -> Sequence[Any]:
        (a,) = xs
        if 0 in a.shape:
            m, n = a.shape
            k = m if self.full_matrices else 0
            order = (np.arange(n),) if self.pivoting else ()
            return np.eye(m, k, dtype=a.dtype), np.zeros((k, n), a.dtype), *order
        mode = "full" if self.full_matrices else "economic"
        return la.oracle().qr(a, mode=mode, pivoting=self.pivoting)

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        """With X = a' R⁻¹: Q' = Q (D - Q* X) + X, R' = (Q* X - D) R, where D is the antihermitian part of Q* X.

        D has the lower triangle of Q* X (Walter, Lehmann, Lamour 2012).  Of a wide matrix a = (b c) all this is said
        of b, and R = (S Q* c).
        """
        (a,), (t,) = primals, tangents
        m, n = typeof(a).shape[-2:]
        if self.full_matrices and not sizes.is_true(lambda: m <= n):
            why = "the further columns of a full Q are any that complete it: there is a rule for full_matrices=False"
            raise NotDifferentiable(typeof(a).text(), why).error(self.name)
        outs = self(a)
        q, r = outs[:2]
        if self.pivoting:
            t = la.matrix_transpose(la.take_rows(la.matrix_transpose(t), outs[2]))
        k = sizes.minimum(m, n)
        dq, dr = self._slopes(la.columns(t, 0, k), q, la.columns(r, 0, k))
        if k != n:
            rest = la.matmul(la.adjoint(q), la.columns(t, k, n))
            moved = la.matmul(la.adjoint(dq), la.matmul(q, la.columns(r, k, n)))
            dr = prims.Concatenate(typeof(r).ndim - 1)(dr, prims.add(rest, moved))
        return outs, (dq, dr, *[Zero(typeof(p)) for p in outs[2:]])

    @staticmethod
    def _slopes(t: Any, q: Any, r: Any) -> tuple[Any, Any]:
        """Those of the factors of matrices that have no more columns than rows."""
        x = TriangularSolve(False, False)(r, t)
        inner = la.matmul(la.adjoint(q), x)
        below = la.triangle(inner, lower=True, strict=True)
        d = prims.sub(below, la.adjoint(below))
        if dtypes.is_complex(typeof(t).dtype):
            diagonal = la.take_diagonal(inner)
            turned = prims.complex_(prims.zeros(typeof(prims.real(diagonal))), prims.imag(diagonal))
            d = prims.add(d, la.put_diagonal(turned))
        return prims.add(la.matmul(q, prims.sub(d, inner)), x), la.matmul(prims.sub(inner, d), r)


@record
class Geqrf(la.OfMatrices):
    """(packed, taus): R on and above the diagonal, and below it the reflectors, whose product is Q.

    Reflector k is 1 - taus[k] v v*, where v has a one in row k, and below it what column k has there.  With `pivoting`
    also the order of the columns.
    """

    pivoting: bool = False
    routine: ClassVar[str] = "geqrf"
    multiple: ClassVar[bool] = True
    not_differentiable: ClassVar[str | None] = ONLY_FACTORS
    name: ClassVar[str] = "geqrf"

    @property
    def begins_as(self) -> tuple[int | None, ...]:  # type: ignore[override]
        return (0, None, None) if self.pivoting else (0, None)

    @property
    def order(self) -> tuple[int, ...]:
        return (0, 1, 2) if self.pivoting else (0, 1, 0)

    def single(self, *cores: ShapedArray) -> Sequence[ShapedArray]:
        (a,) = cores
        m, n = a.shape
        order = [ShapedArray((n,), dtypes.int32)] if self.pivoting else []
        return [a, a.with_shape((sizes.minimum(m, n),)), *order]

    def numbers(self, *cores: Shape) -> tuple[tuple[Dim, ...], Dim]:
        m, n = cores[0]
        return (m, n, int(self.pivoting)), m * n * sizes.minimum(m, n)

    @classmethod
    def called(cls, *numbers: int) -> Called:
        m, n, pivoting = numbers
        return cls(bool(pivoting)), ((m, n),)

    def meaning(self, *xs: Any) -> Sequence[Any]:
        (a,) = xs
        if 0 in a.shape:
            return a, np.zeros(0, a.dtype), *([np.arange(a.shape[1])] if self.pivoting else [])
        found = la.oracle().qr(a, mode="raw", pivoting=self.pivoting)
        (packed, taus), _, *order = found
        return packed, taus, *order


def _reflected(a: np.ndarray, taus: np.ndarray, c: np.ndarray, adjoint: bool) -> np.ndarray:
    """Q c or Q* c, one reflector after the other."""
    c = c.copy()
    for k in range(len(taus)) if adjoint else reversed(range(len(taus))):
        v = np.concatenate([np.zeros(k), [1], a[k + 1 :, k]]).astype(c.dtype)
        tau = np.conj(taus[k]) if adjoint else taus[k]
        c -= tau * np.outer(v, v.conj() @ c)
    return c


@record
class HouseholderProduct(la.OfMatrices):
    """The first columns of Q, as many as `a` has, from its reflectors.  Operands: a, taus."""

    name: ClassVar[str] = "householder_product"
    routine: ClassVar[str] = "householder_product"
    cores: ClassVar[tuple[int, ...]] = (2, 1)
    begins_as: ClassVar[tuple[int | None, ...]] = (0,)
    not_differentiable: ClassVar[str | None] = ONLY_FACTORS

    def single(self, *cores: ShapedArray) -> Sequence[ShapedArray]:
        a, taus = cores
        m, n = a.shape
        if not sizes.is_true(lambda: m >= n) or not sizes.is_true(lambda: taus.shape[0] <= n):
            raise errors.ShapeError(
                f"householder_product of {a.text()} and {taus.text()}{errors.at_user_line()}: there must be no more "
                "columns than rows, and no more reflectors than columns"
            )
        return (a,)

    def numbers(self, *cores: Shape) -> tuple[tuple[Dim, ...], Dim]:
        (m, n), (k,) = cores
        return (m, n, k), m * n * k

    @classmethod
    def called(cls, *numbers: int) -> Called:
        m, n, k = numbers
        return cls(), ((m, n), (k,))

    def meaning(self, *xs: Any) -> Sequence[Any]:
        a, taus = xs
        return (_reflected(a, taus, np.eye(*a.shape, dtype=a.dtype), adjoint=False),)


@record
class Ormqr(la.OfMatrices):
    """Q c or c Q, or with Q* for `transpose_q`, from the reflectors of Q.  Operands: a, taus, c."""

    left: bool = True
    transpose_q: bool = False
    name: ClassVar[str] = "ormqr"
    routine: ClassVar[str] = "ormqr"
    cores: ClassVar[tuple[int, ...]] = (2, 1, 2)
    begins_as: ClassVar[tuple[int | None, ...]] = (2,)
    not_differentiable: ClassVar[str | None] = ONLY_FACTORS

    def single(self, *cores: ShapedArray) -> Sequence[ShapedArray]:
        a, taus, c = cores
        if a.shape[0] != c.shape[0 if self.left else 1]:
            raise errors.ShapeError(
                f"ormqr of {a.text()}, {taus.text()} and {c.text()}{errors.at_user_line()}: a must have as many rows "
                f"as c has {'rows' if self.left else 'columns'}"
            )
        return (c,)

    def numbers(self, *cores: Shape) -> tuple[tuple[Dim, ...], Dim]:
        (_, r), (k,), (m, n) = cores
        return (m, n, r, k, int(self.left), int(self.transpose_q)), m * n * k

    @classmethod
    def called(cls, *numbers: int) -> Called:
        m, n, r, k, left, transposed = numbers
        return cls(bool(left), bool(transposed)), ((m if left else n, r), (k,), (m, n))

    def meaning(self, *xs: Any) -> Sequence[Any]:
        a, taus, c = xs
        if self.left:
            return (_reflected(a, taus, c, self.transpose_q),)
        return (_reflected(a, taus, c.conj().T, not self.transpose_q).conj().T,)
