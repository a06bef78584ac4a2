"""Cholesky and LU factors, and solutions with triangles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.base.record import record, replace
from covector._engine.core.primitive import Types
from covector._engine.core.routine import (
    ByRoutine,
    Called,
    RoutineCall,
    RuntimeRoutine,
    as_primitive,
    runtime_routine,
)
from covector._engine.core.symbolic import Linear, Zero, is_zero
from covector._engine.core.trace import typeof
from covector._engine.primitives import linalg as la
from covector._engine.types import dims as sizes, dtypes
from covector._engine.types.avals import ShapedArray
from covector._engine.types.dims import Dim

__all__ = ["Cholesky", "Lu", "PivotsToPermutation", "TriangularSolve"]

Shape = tuple[Dim, ...]


def hermitian_of_lower(x: Any) -> Any:
    """The Hermitian matrices with these lower triangles; of the diagonal the real part counts."""
    below = la.triangle(x, lower=True, strict=True)
    diagonal = la.take_diagonal(x)
    if dtypes.is_complex(typeof(x).dtype):
        diagonal = prims.convert(prims.real(diagonal), typeof(x).dtype)
    return prims.add(prims.add(below, la.adjoint(below)), la.put_diagonal(diagonal))


@record
class Cholesky(la.OfMatrices):
    """The lower triangular L with L L* = a, of a's lower triangle; of NaN where a is not positive definite."""

    name: ClassVar[str] = "cholesky"
    routine: ClassVar[str] = "cholesky"
    begins_as: ClassVar[tuple[int | None, ...]] = (0,)

    def single(self, *cores: ShapedArray) -> Sequence[ShapedArray]:
        self.square(cores[0])
        return cores

    def numbers(self, *cores: Shape) -> tuple[tuple[Dim, ...], Dim]:
        n = cores[0][0]
        return (n,), n * n * n // 6

    @classmethod
    def called(cls, *numbers: int) -> tuple[la.OfMatrices, tuple[tuple[int, ...], ...]]:
        (n,) = numbers
        return cls(), ((n, n),)

    def meaning(self, *xs: Any) -> Sequence[Any]:
        (a,) = xs
        try:
            return (np.linalg.cholesky(a),)
        except np.linalg.LinAlgError:
            return (np.tril(np.full_like(a, np.nan)),)

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        """L' = L Φ(L⁻¹ a' L⁻*), where Φ takes the lower triangle and half the diagonal (Smith 1995)."""
        (a,), (t,) = primals, tangents
        factor = self(a)
        right = TriangularSolve(False, True, True, True)(factor, hermitian_of_lower(t))
        inner = TriangularSolve(True, True)(factor, right)
        half = prims.mul(la.identity_like(inner), 0.5)
        phi = prims.sub(la.triangle(inner, lower=True), prims.mul(half, inner))
        return factor, la.matmul(factor, phi)


@record
class TriangularSolve(la.OfMatrices):
    """The x of op(a) x = b, or of x op(a) = b, for triangular a, of which the other triangle is not read.

    op transposes, conjugates, or does both.  With `unit_diagonal` the diagonal counts as ones.
    """

    left_side: bool
    lower_triangle: bool
    transpose_a: bool = False
    conjugate_a: bool = False
    unit_diagonal: bool = False
    name: ClassVar[str] = "triangular_solve"
    routine: ClassVar[str] = "triangular_solve"
    cores: ClassVar[tuple[int, ...]] = (2, 2)
    begins_as: ClassVar[tuple[int | None, ...]] = (1,)

    def single(self, *cores: ShapedArray) -> Sequence[ShapedArray]:
        a, b = cores
        self.square(a)
        if b.shape[0 if self.left_side else 1] != a.shape[0]:
            raise errors.ShapeError(
                f"triangular_solve of {a.text()} and {b.text()}{errors.at_user_line()}: the "
                f"{'rows' if self.left_side else 'columns'} of b must be as many as those of a"
            )
        return (ShapedArray(b.shape, b.dtype, a.weak_type and b.weak_type),)

    def numbers(self, *cores: Shape) -> tuple[tuple[Dim, ...], Dim]:
        n, m = cores[0][0], cores[1][1 if self.left_side else 0]
        flags = (
            self.left_side,
            self.lower_triangle,
            self.transpose_a,
            self.conjugate_a,
            self.unit_diagonal,
        )
        return (n, m, *map(int, flags)), n * n * m // 2

    @classmethod
    def called(cls, *numbers: int) -> tuple[la.OfMatrices, tuple[tuple[int, ...], ...]]:
        n, m, left, *flags = numbers
        return cls(bool(left), *map(bool, flags)), ((n, n), (n, m) if left else (m, n))

    def meaning(self, *xs: Any) -> Sequence[Any]:
        a, b = xs
        a = np.tril(a) if self.lower_triangle else np.triu(a)
        if self.unit_diagonal:
            np.fill_diagonal(a, 1)
        across = self.transpose_a == self.left_side
        a = a.T if across else a
        a = a.conj() if self.conjugate_a else a
        x = b.copy() if self.left_side else b.T.copy()
        first_first = self.lower_triangle != across
        n = len(a)
        for i in range(n) if first_first else reversed(range(n)):
            known = slice(0, i) if first_first else slice(i + 1, n)
            x[i] = (x[i] - a[i, known] @ x[known]) / a[i, i]
        return (x if self.left_side else x.T,)

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        """op(a) x' = b' - op(a') x"""
        (a, b), (s, t) = primals, tangents
        x = self(a, b)
        right = None if is_zero(t) else t
        if not is_zero(s):
            moved = la.triangle(s, self.lower_triangle, strict=self.unit_diagonal)
            moved = la.matrix_transpose(moved) if self.transpose_a else moved
            moved = prims.conj(moved) if self._conjugates(a) else moved
            change = la.matmul(moved, x) if self.left_side else la.matmul(x, moved)
            right = prims.neg(change) if right is None else prims.sub(right, change)
        return x, Zero(typeof(x)) if right is None else self(a, right)

    def _conjugates(self, a: Any) -> bool:
        return self.conjugate_a and dtypes.is_complex(typeof(a).dtype)

    def transpose(self, ct: Any, *args: Any) -> Sequence[Any]:
        a, b = args
        assert isinstance(b, Linear) and not isinstance(a, Linear)
        return None, replace(self, transpose_a=not self.transpose_a)(a, ct)

    def batch(self, args: Sequence[Any], dims: Sequence[int | None], size: Dim) -> tuple[Any, Any]:
        if dims[0] is not None:
            return super().batch(args, dims, size)
        # One triangle for all: their right-hand sides are columns (or rows) of one.
        a, b = args
        assert dims[1] is not None
        n = typeof(a).ndim
        along = n - 1 if self.left_side else n - 2
        b = prims.move_axis(b, dims[1], along)
        shape = typeof(b).shape
        together = (*shape[:along], shape[along] * shape[along + 1], *shape[along + 2 :])
        x = self(a, prims.Reshape(together)(b))
        return prims.Reshape(shape)(x), along


@record
class Lu(la.OfMatrices):
    """The factors of a with rows exchanged: (lu, pivots, permutation).

    `lu` has U on and above its diagonal, and L below, whose diagonal is of ones.  Row i was exchanged with row
    pivots[i], one after the other; row i of L U is row permutation[i] of a.
    """

    name: ClassVar[str] = "lu"
    routine: ClassVar[str] = "lu"
    multiple: ClassVar[bool] = True
    begins_as: ClassVar[tuple[int | None, ...]] = (0, None, None)

    def single(self, *cores: ShapedArray) -> Sequence[ShapedArray]:
        (a,) = cores
        m, n = a.shape
        pivots = sizes.minimum(m, n)
        return a, ShapedArray((pivots,), dtypes.int32), ShapedArray((m,), dtypes.int32)

    def numbers(self, *cores: Shape) -> tuple[tuple[Dim, ...], Dim]:
        m, n = cores[0]
        return (m, n), m * n * sizes.minimum(m, n) // 3

    @classmethod
    def called(cls, *numbers: int) -> tuple[la.OfMatrices, tuple[tuple[int, ...], ...]]:
        return cls(), (numbers,)

    def meaning(self, *xs: Any) -> Sequence[Any]:
        a = xs[0].copy()
        (m, n) = a.shape
        pivots = np.zeros(min(m, n), np.int32)
        for k in range(min(m, n)):
            column = a[k:, k]
            pivots[k] = p = k + int(np.argmax(np.abs(column.real) + np.abs(column.imag)))
            a[[k, p]] = a[[p, k]]
            if a[k, k] != 0:
                a[k + 1 :, k] /= a[k, k]
            a[k + 1 :, k + 1 :] -= np.outer(a[k + 1 :, k], a[k, k + 1 :])
        return a, pivots, _permutation(pivots, m)

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        """L' = L tril(L⁻¹ a' U⁻¹), U' = triu(L⁻¹ a' U⁻¹) U, where L and U are completed to squares by identities."""
        (a,), (t,) = primals, tangents
        lu, pivots, permutation = self(a)
        m, n = typeof(a).shape[-2:]
        k = sizes.minimum(m, n)
        lower = _completed(la.triangle(_columns(lu, k), lower=True, strict=True), m, ones=True)
        upper = _completed(la.triangle(_rows(lu, k), lower=False), n, ones=False)
        inner = TriangularSolve(True, True, unit_diagonal=True)(lower, la.take_rows(t, permutation))
        inner = TriangularSolve(False, False)(upper, inner)
        left = la.matmul(lower, la.triangle(inner, lower=True, strict=True))
        right = la.matmul(la.triangle(inner, lower=False), upper)
        slope = prims.add(left, right)
        return (lu, pivots, permutation), (slope, Zero(typeof(pivots)), Zero(typeof(permutation)))


def _permutation(pivots: Any, size: int) -> Any:
    order = np.arange(size, dtype=np.int32)
    for i, p in enumerate(pivots):
        order[[i, p]] = order[[p, i]]
    return order


def _columns(x: Any, k: Dim) -> Any:
    shape = typeof(x).shape
    return prims.Slice((0,) * len(shape), (*shape[:-1], k), (1,) * len(shape))(x)


def _rows(x: Any, k: Dim) -> Any:
    shape = typeof(x).shape
    return prims.Slice((0,) * len(shape), (*shape[:-2], k, shape[-1]), (1,) * len(shape))(x)


def _completed(x: Any, n: Dim, ones: bool) -> Any:
    """Matrices as squares of side n: with ones on the new part of the diagonal, or on all of it."""
    padded, diagonal = _padded(x, n), la.identity_like(_padded(x, n))
    if not ones:
        diagonal = prims.sub(diagonal, _padded(la.identity_like(x), n))
    return prims.add(padded, diagonal)


def _padded(x: Any, n: Dim) -> Any:
    """Matrices with zeros below and on the right, as squares of side n."""
    aval = typeof(x)
    *front, rows, columns = aval.shape
    if rows is n and columns is n:
        return x
    none, ends = (0,) * aval.ndim, (*[0] * len(front), n - rows, n - columns)
    return prims.Pad(none, ends, none)(x, aval.dtype.type(0))


@record
class PivotsToPermutation(ByRoutine):
    """The order of `size` rows after each row i was exchanged with row pivots[i], one after the other."""

    permutation_size: int
    name: ClassVar[str] = "lu_pivots_to_permutation"
    no_slope: ClassVar[str | None] = "the operand is of integers"

    def type(self, pivots: ShapedArray) -> ShapedArray:
        if not pivots.shape or pivots.dtype != dtypes.int32:
            raise TypeError(
                f"lu_pivots_to_permutation of {pivots.text()}{errors.at_user_line()}: pivots are int32, along the last "
                "axis"
            )
        if isinstance(pivots.shape[-1], int) and pivots.shape[-1] > self.permutation_size:
            raise errors.ShapeError(
                f"lu_pivots_to_permutation of {pivots.text()}{errors.at_user_line()}: there are more pivots than "
                f"permutation_size={self.permutation_size}"
            )
        return ShapedArray((*pivots.shape[:-1], self.permutation_size), dtypes.int32)

    def reference(self, pivots: Any) -> Any:
        out = np.empty((*pivots.shape[:-1], self.permutation_size), np.int32)
        for at in np.ndindex(pivots.shape[:-1]):
            out[at] = _permutation(pivots[at], self.permutation_size)
        return out

    def batch(self, args: Sequence[Any], dims: Sequence[int | None], size: Dim) -> tuple[Any, Any]:
        return self(prims.batch_to_front(args[0], dims[0], size)), 0

    def call(self, avals: Types) -> RoutineCall:
        *front, k = avals[0].shape
        count = sizes.product(front)
        n = self.permutation_size
        return RoutineCall(PIVOTS, (count, k, n), work=count * n)


def _permuting(count: int, k: int, n: int) -> Called:
    return Called(PivotsToPermutation(n), (ShapedArray((count, k), dtypes.int32),))


PIVOTS = runtime_routine(
    RuntimeRoutine("pivots_to_permutation", "exchanged", as_primitive(_permuting))
)
