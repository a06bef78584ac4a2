"""Eigenvalues, singular values, and the forms of matrices on the way to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.base.record import record
from covector._engine.core.primitive import Primitive
from covector._engine.core.symbolic import Linear, NotDifferentiable, Zero, is_zero
from covector._engine.core.trace import typeof
from covector._engine.primitives import linalg as la
from covector._engine.primitives.linalg_solve import Lu, TriangularSolve, hermitian_of_lower
from covector._engine.types import dims as sizes, dtypes
from covector._engine.types.avals import ShapedArray
from covector._engine.types.dims import Dim

Shape = tuple[Dim, ...]
Called = tuple[la.OfMatrices, tuple[tuple[int, ...], ...]]

NO_UNIQUE_FORM = "the form is not unique, and jumps where eigenvalues meet"


def _columns(d: Any) -> Any:
    """A vector along the last axis, the same in each row of a square matrix."""
    shape = typeof(d).shape
    return prims.Broadcast((*shape[:-1], shape[-1], shape[-1]), (len(shape) - 1,))(d)


def _like(x: Any, dtype: np.dtype) -> Any:
    """A real array in the dtype of matrices."""
    return prims.convert(x, dtype)


@record
class Eigh(la.OfMatrices):
    """(v, w): eigenvectors as columns, and eigenvalues in order, of Hermitian matrices, of which one triangle is read.

    Without `vectors` the eigenvalues alone.
    """

    lower_triangle: bool = True
    vectors: bool = True
    name: ClassVar[str] = "eigh"
    routine: ClassVar[str] = "eigh"
    multiple: ClassVar[bool] = True

    def single(self, *cores: ShapedArray) -> Sequence[ShapedArray]:
        (a,) = cores
        self.square(a)
        w = ShapedArray(a.shape[:1], dtypes.real_of(a.dtype))
        return (a, w) if self.vectors else (w,)

    def numbers(self, *cores: Shape) -> tuple[tuple[Dim, ...], Dim]:
        n = cores[0][0]
        return (n, int(self.lower_triangle), int(self.vectors)), 5 * n * n * n

    @property
    def order(self) -> tuple[int, ...]:
        return (0, 1, 2) if self.vectors else (0, 0, 1)

    @classmethod
    def called(cls, *numbers: int) -> Called:
        n, lower, vectors = numbers
        return cls(bool(lower), bool(vectors)), ((n, n),)

    def meaning(self, *xs: Any) -> Sequence[Any]:
        (a,) = xs
        if not np.isfinite(a).all():
            v, w = np.full_like(a, np.nan), np.full(len(a), np.nan)
        else:
            w, v = np.linalg.eigh(a, "L" if self.lower_triangle else "U")
        return (v, w) if self.vectors else (w,)

    def live(self, used: Sequence[bool]) -> tuple[Primitive, Sequence[bool], Sequence[bool]] | None:
        if not self.vectors or used[0]:
            return None
        return Eigh(self.lower_triangle, False), (True,), (False, True)

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        """With X = v* a' v: w' is the diagonal of X, v' = v (X / (w_j - w_i)), without bounds where these meet."""
        (a,), (t,) = primals, tangents
        v, w = Eigh(self.lower_triangle)(a)
        t = hermitian_of_lower(t if self.lower_triangle else la.adjoint(t))
        inner = la.matmul(la.adjoint(v), la.matmul(t, v))
        slope = la.take_diagonal(inner)
        slope = prims.real(slope) if dtypes.is_complex(typeof(a).dtype) else slope
        if not self.vectors:
            return (w,), (slope,)
        apart = prims.sub(_columns(w), la.matrix_transpose(_columns(w)))
        one = la.identity_like(apart)
        factors = prims.sub(prims.div(1.0, prims.add(apart, one)), one)
        turned = la.matmul(v, prims.mul(_like(factors, typeof(a).dtype), inner))
        return (v, w), (turned, slope)


@record
class Svd(la.OfMatrices):
    """(s, u, v*) with a = u diag(s) v*: singular values, the largest first, and singular vectors; or s alone.

    Of the vectors there are min(m, n), or all with `full_matrices`.
    """

    full_matrices: bool
    compute_uv: bool = True
    name: ClassVar[str] = "svd"
    routine: ClassVar[str] = "svd"
    multiple: ClassVar[bool] = True

    def single(self, *cores: ShapedArray) -> Sequence[ShapedArray]:
        (a,) = cores
        m, n = a.shape
        k = sizes.minimum(m, n)
        s = ShapedArray((k,), dtypes.real_of(a.dtype))
        if not self.compute_uv:
            return (s,)
        full = self.full_matrices
        return s, a.with_shape((m, m if full else k)), a.with_shape((n if full else k, n))

    def numbers(self, *cores: Shape) -> tuple[tuple[Dim, ...], Dim]:
        m, n = cores[0]
        work = 10 * m * n * sizes.minimum(m, n)
        return (m, n, int(self.compute_uv), int(self.full_matrices)), work

    @property
    def order(self) -> tuple[int, ...]:
        return (0, 1, 2, 3) if self.compute_uv else (0, 1, 0, 0)

    @classmethod
    def called(cls, *numbers: int) -> Called:
        m, n, vectors, full = numbers
        return cls(bool(full), bool(vectors)), ((m, n),)

    def meaning(self, *xs: Any) -> Sequence[Any]:
        (a,) = xs
        try:
            found = np.linalg.svd(a, self.full_matrices, self.compute_uv)
        except np.linalg.LinAlgError:
            return [np.nan] * (3 if self.compute_uv else 1)
        return (found[1], found[0], found[2]) if self.compute_uv else (found,)

    def live(self, used: Sequence[bool]) -> tuple[Primitive, Sequence[bool], Sequence[bool]] | None:
        if not self.compute_uv or any(used[1:]):
            return None
        return Svd(self.full_matrices, False), (True,), (True, False, False)

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        """By the differences of squared singular values (Townsend 2016): without bounds where these meet."""
        (a,), (t,) = primals, tangents
        m, n = typeof(a).shape[-2:]
        if self.compute_uv and self.full_matrices and m != n:
            why = "of the vectors there is a rule for full_matrices=False alone"
            raise NotDifferentiable(typeof(a).text(), why).error(self.name)
        s, u, vt = Svd(False)(a)
        v, uh = la.adjoint(vt), la.adjoint(u)
        inner = la.matmul(uh, la.matmul(t, v))
        diagonal = la.take_diagonal(inner)
        slope = prims.real(diagonal) if dtypes.is_complex(typeof(a).dtype) else diagonal
        if not self.compute_uv:
            return (s,), (slope,)
        dtype = typeof(a).dtype
        across = _columns(s)
        down = la.matrix_transpose(across)
        gaps = prims.mul(prims.add(across, down), prims.sub(across, down))
        one = la.identity_like(gaps)
        factors = _like(prims.sub(prims.div(1.0, prims.add(gaps, one)), one), dtype)
        by_columns = prims.mul(_like(across, dtype), inner)
        by_rows = prims.mul(_like(down, dtype), inner)
        turned = prims.mul(prims.sub(inner, la.adjoint(inner)), 0.5)
        phase = prims.mul(turned, _like(la.put_diagonal(_inverse(s)), dtype))
        du = la.matmul(u, prims.add(prims.mul(factors, _twice(by_columns)), phase))
        dv = la.matmul(v, prims.mul(factors, _twice(by_rows)))
        if m != n:  # what moves out of the space that the vectors span
            below = _like(s, dtype)
            du = prims.add(du, _outside(u, la.matmul(t, v), below))
            dv = prims.add(dv, _outside(v, la.matmul(la.adjoint(t), u), below))
        return (s, u, vt), (slope, du, la.adjoint(dv))


def _twice(x: Any) -> Any:
    return prims.add(x, la.adjoint(x))


def _inverse(x: Any) -> Any:
    """1 / x, and 0 for 0."""
    zero = prims.convert(prims.eq(x, typeof(x).dtype.type(0)), typeof(x).dtype)
    return prims.sub(prims.div(1.0, prims.add(x, zero)), zero)


def _outside(basis: Any, x: Any, s: Any) -> Any:
    """The part of x that is orthogonal to a basis, each column over its singular value."""
    shape = typeof(basis).shape
    if isinstance(shape[-1], int) and shape[-1] == shape[-2]:
        return prims.zeros(typeof(basis))
    rest = prims.sub(x, la.matmul(basis, la.matmul(la.adjoint(basis), x)))
    return prims.div(rest, prims.Broadcast(shape, (len(shape) - 2,))(s))


@record
class Eig(la.OfMatrices):
    """(w, vl, vr): eigenvalues, and left and right eigenvectors as columns, as far as they are asked for; all complex.

    vl* a = w vl*, a vr = vr w; each has length 1, and its largest element is real.
    """

    compute_left: bool
    compute_right: bool
    enable_eigvec_derivs: bool = False
    name: ClassVar[str] = "eig"
    routine: ClassVar[str] = "eig"
    multiple: ClassVar[bool] = True

    def single(self, *cores: ShapedArray) -> Sequence[ShapedArray]:
        (a,) = cores
        self.square(a)
        dtype = dtypes.complex_of(a.dtype)
        vectors = [ShapedArray(a.shape, dtype)] * (self.compute_left + self.compute_right)
        return (ShapedArray(a.shape[:1], dtype), *vectors)

    def numbers(self, *cores: Shape) -> tuple[tuple[Dim, ...], Dim]:
        n = cores[0][0]
        return (n, int(self.compute_left), int(self.compute_right)), 25 * n * n * n

    @property
    def order(self) -> tuple[int, ...]:
        left, right = self.compute_left, self.compute_right
        return (0, 1, 2 if left else 0, 2 + left if right else 0)

    @classmethod
    def called(cls, *numbers: int) -> Called:
        n, left, right = numbers
        return cls(bool(left), bool(right)), ((n, n),)

    def meaning(self, *xs: Any) -> Sequence[Any]:
        (a,) = xs
        left, right = self.compute_left, self.compute_right
        if not np.isfinite(a).all():
            return [np.nan] * (1 + left + right)
        found = la.oracle().eig(a, left=left, right=right)
        return found if isinstance(found, tuple) else (found,)

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        """With X = v⁻¹ a' v: w' is the diagonal of X, v' = v (X / (w_j - w_i)), less what would change lengths."""
        (a,), (t,) = primals, tangents
        if (self.compute_left or self.compute_right) and not self.enable_eigvec_derivs:
            why = "of the vectors there is a rule with enable_eigvec_derivs=True alone; eigvals has a derivative"
            raise NotDifferentiable(typeof(a).text(), why).error(self.name)
        w, left, right = Eig(True, True)(a)
        dtype = typeof(w).dtype
        t = prims.convert(t, dtype)
        inner = _solve(right, la.matmul(t, right))
        outs, slopes = [w], [la.take_diagonal(inner)]
        if self.compute_left:
            back = _solve(left, la.matmul(la.adjoint(t), left))
            outs.append(left)
            slopes.append(_turned(left, prims.conj(w), back))
        if self.compute_right:
            outs.append(right)
            slopes.append(_turned(right, w, inner))
        return tuple(outs), tuple(slopes)


def _solve(a: Any, b: Any) -> Any:
    lu, _, permutation = Lu()(a)
    x = TriangularSolve(True, True, unit_diagonal=True)(lu, la.take_rows(b, permutation))
    return TriangularSolve(True, False)(lu, x)


def _turned(v: Any, w: Any, inner: Any) -> Any:
    """How eigenvectors of length 1 turn."""
    gaps = prims.sub(_columns(w), la.matrix_transpose(_columns(w)))
    one = la.identity_like(gaps)
    factors = prims.sub(prims.div(1.0, prims.add(gaps, one)), one)
    moved = la.matmul(v, prims.mul(factors, inner))
    n = typeof(v).ndim
    along = prims.Sum((n - 2,))(prims.mul(prims.conj(v), moved))
    return prims.sub(moved, prims.mul(v, prims.Broadcast(typeof(v).shape, (n - 2,))(along)))


@record
class Schur(la.OfMatrices):
    """(t, z) with a = z t z*: t upper triangular, or for real a with blocks of 2 by 2 on the diagonal; z unitary."""

    vectors: bool = True
    name: ClassVar[str] = "schur"
    routine: ClassVar[str] = "schur"
    multiple: ClassVar[bool] = True
    not_differentiable: ClassVar[str | None] = NO_UNIQUE_FORM

    @property
    def begins_as(self) -> tuple[int | None, ...]:  # type: ignore[override]
        return (0, None) if self.vectors else (0,)

    @property
    def order(self) -> tuple[int, ...]:
        return (0, 1) if self.vectors else (0, 0)

    def single(self, *cores: ShapedArray) -> Sequence[ShapedArray]:
        self.square(cores[0])
        return cores * (2 if self.vectors else 1)

    def numbers(self, *cores: Shape) -> tuple[tuple[Dim, ...], Dim]:
        n = cores[0][0]
        return (n, int(self.vectors)), 25 * n * n * n

    @classmethod
    def called(cls, *numbers: int) -> Called:
        n, vectors = numbers
        return cls(bool(vectors)), ((n, n),)

    def meaning(self, *xs: Any) -> Sequence[Any]:
        (a,) = xs
        count = 2 if self.vectors else 1
        if not np.isfinite(a).all():
            return [np.nan] * count
        if not a.size:
            return [a] * count
        (form,) = la.oracle().get_lapack_funcs(("gees",), (a,))
        found = form(lambda *_: None, a)
        return (found[0], found[-3])[:count]


@record
class Hessenberg(la.OfMatrices):
    """(packed, taus): a in Hessenberg form, and below its subdiagonal the reflectors that bring it there."""

    name: ClassVar[str] = "hessenberg"
    routine: ClassVar[str] = "hessenberg"
    multiple: ClassVar[bool] = True
    begins_as: ClassVar[tuple[int | None, ...]] = (0, None)
    not_differentiable: ClassVar[str | None] = NO_UNIQUE_FORM

    def single(self, *cores: ShapedArray) -> Sequence[ShapedArray]:
        (a,) = cores
        self.square(a)
        return a, a.with_shape((sizes.maximum(a.shape[0] - 1, 0),))

    def numbers(self, *cores: Shape) -> tuple[tuple[Dim, ...], Dim]:
        n = cores[0][0]
        return (n,), 2 * n * n * n

    @classmethod
    def called(cls, *numbers: int) -> Called:
        (n,) = numbers
        return cls(), ((n, n),)

    def meaning(self, *xs: Any) -> Sequence[Any]:
        (a,) = xs
        if not a.size:
            return a, np.zeros(0, a.dtype)
        (reduce,) = la.oracle().get_lapack_funcs(("gehrd",), (a,))
        packed, taus, _ = reduce(a)
        return packed, taus


@record
class Tridiagonal(la.OfMatrices):
    """(packed, d, e, taus): the diagonal and the one beside it of a Hermitian matrix in tridiagonal form, with the
    reflectors that bring it there.  One triangle is read, and overwritten.
    """

    lower_triangle: bool = True
    name: ClassVar[str] = "tridiagonal"
    routine: ClassVar[str] = "tridiagonal"
    multiple: ClassVar[bool] = True
    begins_as: ClassVar[tuple[int | None, ...]] = (0, None, None, None)
    not_differentiable: ClassVar[str | None] = NO_UNIQUE_FORM

    def single(self, *cores: ShapedArray) -> Sequence[ShapedArray]:
        (a,) = cores
        self.square(a)
        n = a.shape[0]
        less, real = sizes.maximum(n - 1, 0), dtypes.real_of(a.dtype)
        return a, ShapedArray((n,), real), ShapedArray((less,), real), a.with_shape((less,))

    def numbers(self, *cores: Shape) -> tuple[tuple[Dim, ...], Dim]:
        n = cores[0][0]
        return (n, int(self.lower_triangle)), n * n * n

    @classmethod
    def called(cls, *numbers: int) -> Called:
        n, lower = numbers
        return cls(bool(lower)), ((n, n),)

    def meaning(self, *xs: Any) -> Sequence[Any]:
        (a,) = xs
        if not a.size:
            return a, *[np.zeros(0, a.dtype)] * 3
        name = "hetrd" if dtypes.is_complex(a.dtype) else "sytrd"
        (reduce,) = la.oracle().get_lapack_funcs((name,), (a,))
        return reduce(a, lower=int(self.lower_triangle))[:4]


@record
class TridiagonalSolve(la.OfMatrices):
    """The x of A x = b, where A has these three diagonals.  Operands: below, on, above the diagonal, and b (n, k).

    The first element of what is below, and the last one of what is above, are not read.
    """

    name: ClassVar[str] = "tridiagonal_solve"
    routine: ClassVar[str] = "tridiagonal_solve"
    cores: ClassVar[tuple[int, ...]] = (1, 1, 1, 2)
    begins_as: ClassVar[tuple[int | None, ...]] = (3,)

    def single(self, *cores: ShapedArray) -> Sequence[ShapedArray]:
        *bands, b = cores
        if any(x.shape != b.shape[:1] for x in bands):
            raise errors.ShapeError(
                f"tridiagonal_solve of {', '.join(x.text() for x in cores)}{errors.at_user_line()}: the diagonals must "
                "all be as long as b has rows"
            )
        return (b,)

    def numbers(self, *cores: Shape) -> tuple[tuple[Dim, ...], Dim]:
        n, m = cores[3]
        return (n, m), 20 * n * (m + 2)

    @classmethod
    def called(cls, *numbers: int) -> Called:
        n, m = numbers
        return cls(), ((n,), (n,), (n,), (n, m))

    def meaning(self, *xs: Any) -> Sequence[Any]:
        below, on, above, b = xs
        full = np.diag(on) + np.diag(below[1:], -1) + np.diag(above[:-1], 1)
        try:
            return (np.linalg.solve(full, b),)
        except np.linalg.LinAlgError:
            return (np.full_like(b, np.nan),)

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        """A x' = b' - A' x"""
        *bands, _ = primals
        x = self(*primals)
        shape = typeof(x).shape
        right: Any = None if is_zero(tangents[3]) else tangents[3]
        for step, t in zip((-1, 0, 1), tangents[:3], strict=True):
            if is_zero(t):
                continue
            wide = prims.Broadcast(shape, (len(shape) - 1,))(t)
            change = prims.mul(wide, _moved(x, len(shape) - 2, step))
            right = prims.neg(change) if right is None else prims.sub(right, change)
        return x, Zero(typeof(x)) if right is None else self(*bands, right)

    def transpose(self, ct: Any, *args: Any) -> Sequence[Any]:
        below, on, above, b = args
        assert isinstance(b, Linear)
        axis = typeof(on).ndim - 1
        return None, None, None, self(_moved(above, axis, -1), on, _moved(below, axis, 1), ct)


def _moved(x: Any, axis: int, step: int) -> Any:
    """What stands `step` places further along an axis; zeros beyond the ends."""
    if step == 0:
        return x
    aval = typeof(x)
    low, high = [0] * aval.ndim, [0] * aval.ndim
    low[axis], high[axis] = -step, step
    return prims.Pad(tuple(low), tuple(high), (0,) * aval.ndim)(x, aval.dtype.type(0))


@record
class CholeskyUpdate(la.OfMatrices):
    """The upper triangular factor of r* r + w w*, from r.  Operands: r, w."""

    name: ClassVar[str] = "cholesky_update"
    routine: ClassVar[str] = "cholesky_update"
    cores: ClassVar[tuple[int, ...]] = (2, 1)
    begins_as: ClassVar[tuple[int | None, ...]] = (0,)
    not_differentiable: ClassVar[str | None] = "it changes a factor step by step: use cholesky"

    def single(self, *cores: ShapedArray) -> Sequence[ShapedArray]:
        r, w = cores
        self.square(r)
        if w.shape != r.shape[:1]:
            raise errors.ShapeError(
                f"cholesky_update of {r.text()} and {w.text()}{errors.at_user_line()}: the vector must be as long as "
                "a side of the matrix"
            )
        return (r,)

    def numbers(self, *cores: Shape) -> tuple[tuple[Dim, ...], Dim]:
        n = cores[0][0]
        return (n,), 20 * n * n

    @classmethod
    def called(cls, *numbers: int) -> Called:
        (n,) = numbers
        return cls(), ((n, n), (n,))

    def meaning(self, *xs: Any) -> Sequence[Any]:
        r, w = xs
        r = np.triu(r)
        whole = r.conj().T @ r + np.outer(w, w.conj())
        return (np.linalg.cholesky(whole).conj().T,)
