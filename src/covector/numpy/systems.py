"""Linear systems: solutions, inverses, determinants."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np

from covector._engine import primitives as prims
from covector._engine.api.implicit import custom_linear_solve
from covector._engine.base import errors
from covector._engine.base.record import record
from covector._engine.control.composite import Composite
from covector._engine.core.symbolic import Zero, is_zero
from covector._engine.core.trace import typeof
from covector._engine.primitives import linalg as la
from covector._engine.primitives.linalg_solve import (
    Cholesky,
    Lu,
    TriangularSolve,
    hermitian_of_lower,
)
from covector._engine.types import dtypes
from covector.numpy import elementwise as el, reduce
from covector.numpy.fused import compiled
from covector.numpy.operands import together
from covector.numpy.promotion import broadcast_shapes, cast, integer_of, spread
from covector.numpy.shape import moveaxis, reshape

__all__ = ["SlogdetResult", "det", "inv", "slogdet", "solve", "tensorinv", "tensorsolve"]


def matrices(name: str, *xs: Any, square: bool = False, half: int = 0) -> list[Any]:
    """Operands as stacks of matrices, in one floating or complex dtype; ValueError if they are none.

    Those of up to `half` columns may be of numbers of 16 bits.
    """
    found = together(name, "inexact", *xs)
    for x in found:
        if x.ndim < 2:
            raise errors.ShapeError(
                f"{name} takes matrices, of two axes or more, got shape {x.shape}{errors.at_user_line()}"
            )
        if square and x.shape[-1] != x.shape[-2]:
            raise errors.ShapeError(
                f"{name} takes square matrices, got shape {x.shape}{errors.at_user_line()}"
            )
        small = x.shape[-1] <= half and x.dtype in (dtypes.float16, dtypes.bfloat16)
        if x.dtype not in la.MATRIX_TYPES and not small:
            raise TypeError(
                f"{name} of {typeof(x).text()}{errors.at_user_line()}: matrices are of "
                f"{', '.join(d.name for d in la.MATRIX_TYPES)}; use astype"
            )
    return found


# ------------------------------------------------------------------------------------------ solutions


def inverse_order(permutation: Any) -> Any:
    """The permutations that undo these, along the last axis."""
    shape = typeof(permutation).shape
    places = prims.Iota(shape, dtypes.int32, len(shape) - 1)()
    return prims.SortPairs()(permutation, places)[1]


def lu_solve(lu: Any, permutation: Any, b: Any, trans: int = 0) -> Any:
    """The x of op(a) x = b from the factors of a; op is the identity (0), transposes (1), or gives the adjoint (2)."""
    if trans == 0:
        x = la.take_rows(b, permutation)
        x = TriangularSolve(True, True, unit_diagonal=True)(lu, x)
        return TriangularSolve(True, False)(lu, x)
    conjugate = trans == 2
    x = TriangularSolve(True, False, True, conjugate)(lu, b)
    x = TriangularSolve(True, True, True, conjugate, True)(lu, x)
    return la.take_rows(x, inverse_order(permutation))


def solve_general(a: Any, b: Any) -> Any:
    """The x of a x = b, for stacks of the same sizes: by LU factors, with the derivative of the equation."""
    lu, _, permutation = Lu()(prims.stop_gradient(a))

    def apply(x: Any) -> Any:
        return la.matmul(a, x)

    def forwards(_: Any, right: Any) -> Any:
        return lu_solve(lu, permutation, right)

    def backwards(_: Any, right: Any) -> Any:
        return lu_solve(lu, permutation, right, 1)

    return custom_linear_solve(apply, b, forwards, backwards)


def symmetrized(x: Any) -> Any:
    """The Hermitian part of square matrices."""
    return prims.mul(prims.add(x, la.adjoint(x)), 0.5)


ENOUGH_ITERATIONS = 10  # JAX's limit of QDWH, within which it converges


def check_iterations(name: str, limit: Any) -> None:
    """NotImplementedError if iterations that singular values stand for are to end before they converge."""
    if limit is not None and integer_of(limit, "max_iterations") < ENOUGH_ITERATIONS:
        raise NotImplementedError(
            f"{name} with max_iterations={limit}: it is computed from singular values, as if all iterations were done; "
            f"leave max_iterations out, or let it be at least {ENOUGH_ITERATIONS}{errors.at_user_line()}"
        )


def solve_positive(a: Any, b: Any, lower: bool) -> Any:
    """The x of a x = b for positive definite a, of which one triangle is read, with the derivative of the equation."""
    given = a if lower else la.adjoint(a)
    factor = Cholesky()(prims.stop_gradient(given))
    whole = hermitian_of_lower(given)

    def apply(x: Any) -> Any:
        return la.matmul(whole, x)

    def find(_: Any, right: Any) -> Any:
        return TriangularSolve(True, True, True, True)(
            factor, TriangularSolve(True, True)(factor, right)
        )

    def backwards(_: Any, right: Any) -> Any:
        return prims.conj(find(None, prims.conj(right))) if complex_ else find(None, right)

    complex_ = dtypes.is_complex(typeof(a).dtype)
    return custom_linear_solve(apply, b, find, backwards)


@compiled("a", "b")
def solve(a: Any, b: Any) -> Any:
    """The solutions x of the linear systems a x = b.

    `a` has shape (..., n, n); `b` is one vector (n,), or matrices (..., n, k).  The axes in front broadcast.  Where a
    matrix is singular the result is inf or NaN.  ValueError for other shapes.

    >>> from covector import numpy as cnp
    >>> cnp.linalg.solve(cnp.array([[2.0, 0.0], [0.0, 4.0]]), cnp.array([2.0, 2.0]))
    Array([1. , 0.5], dtype=float32)
    """
    a, b = together("linalg.solve", "inexact", a, b)
    (a,) = matrices("linalg.solve", a, square=True)
    vector = b.ndim == 1
    if b.ndim == 0 or b.shape[-1 if vector else -2] != a.shape[-1]:
        raise ValueError(
            f"linalg.solve got shapes {a.shape} and {b.shape}{errors.at_user_line()}: b must be (n,) or (..., n, k) "
            "for matrices (..., n, n)"
        )
    front = a.shape[:-2] if vector else broadcast_shapes(a.shape[:-2], b.shape[:-2])
    columns = reshape(b, (*b.shape, 1)) if vector else b
    x = solve_general(
        spread(a, (*front, *a.shape[-2:])), spread(columns, (*front, *columns.shape[-2:]))
    )
    return reshape(x, x.shape[:-1]) if vector else x


@compiled("a")
def inv(a: Any) -> Any:
    """The inverses of square matrices.

    Of one shape with the operand; inf or NaN where a matrix is singular.  ValueError unless the last two axes have one
    length.

    >>> from covector import numpy as cnp
    >>> cnp.linalg.inv(cnp.array([[2.0, 0.0], [0.0, 4.0]]))
    Array([[0.5 , 0.  ],
           [0.  , 0.25]], dtype=float32)
    """
    (a,) = matrices("linalg.inv", a, square=True)
    return solve_general(a, la.identity_like(a))


def tensorsolve(a: Any, b: Any, axes: Sequence[int] | None = None) -> Any:
    """The x with tensordot(a, x, x.ndim) = b.

    The axes of `a` are those of `b`, then those of x; those in `axes` are moved to the end first.  ValueError unless
    both have the same number of elements.

    >>> from covector import numpy as cnp
    >>> a = cnp.reshape(cnp.eye(6), (2, 3, 6))
    >>> cnp.linalg.tensorsolve(a, cnp.ones((2, 3))).shape
    (6,)
    """
    a, b = together("linalg.tensorsolve", "inexact", a, b)
    if axes is not None:
        a = moveaxis(a, tuple(axes), tuple(range(-len(axes), 0)))
    shape = a.shape[b.ndim :]
    n = math.prod(shape)
    if math.prod(a.shape[: b.ndim]) != n or b.size != n:
        raise ValueError(
            f"linalg.tensorsolve got shapes {a.shape} and {b.shape}{errors.at_user_line()}: the axes of a beyond those "
            "of b must have as many elements as b"
        )
    return reshape(solve(reshape(a, (n, n)), reshape(b, (n,))), shape)


def tensorinv(a: Any, ind: int = 2) -> Any:
    """The inverse of tensordot with `a` over its axes from `ind` on.

    Its axes are those from `ind` on, then the first ones.  ValueError unless both have the same number of elements, or
    for an `ind` below 1.

    >>> from covector import numpy as cnp
    >>> cnp.linalg.tensorinv(cnp.reshape(cnp.eye(6), (2, 3, 6))).shape
    (6, 2, 3)
    """
    (a,) = together("linalg.tensorinv", "inexact", a)
    if ind <= 0:
        raise ValueError(
            f"linalg.tensorinv: ind must be positive, got {ind}{errors.at_user_line()}"
        )
    first, last = a.shape[:ind], a.shape[ind:]
    n = math.prod(last)
    if math.prod(first) != n:
        raise ValueError(
            f"linalg.tensorinv of shape {a.shape} with ind={ind}{errors.at_user_line()}: the axes before and after it "
            "must have as many elements"
        )
    return reshape(inv(reshape(a, (n, n))), (*last, *first))


# --------------------------------------------------------------------------------------- determinants


def _sign_of(pivots: Any, dtype: np.dtype) -> Any:
    """1 or -1 for an even or odd number of exchanges, along the last axis."""
    aval = typeof(pivots)
    places = prims.Iota(aval.shape, dtypes.int32, aval.ndim - 1)()
    moved = prims.Sum((aval.ndim - 1,))(prims.convert(prims.ne(pivots, places), dtypes.int32))
    odd = prims.convert(prims.rem(moved, np.int32(2)), dtype)
    return prims.sub(dtype.type(1), prims.mul(odd, dtype.type(2)))


def _entries(a: Any) -> list[list[Any]]:
    """The elements of small matrices, each over the stack."""
    n, lead = a.shape[-1], a.ndim - 2

    def entry(i: int, j: int) -> Any:
        start, stop = (*[0] * lead, i, j), (*a.shape[:-2], i + 1, j + 1)
        return prims.squeeze(prims.Slice(start, stop, (1,) * a.ndim)(a), (lead, lead + 1))

    return [[entry(i, j) for j in range(n)] for i in range(n)]


def _det_of_three(a: Any) -> Any:
    (a, b, c), (d, e, f), (g, h, i) = _entries(a)
    ways = [(a, e, i, 1), (b, f, g, 1), (c, d, h, 1), (c, e, g, -1), (b, d, i, -1), (a, f, h, -1)]
    total: Any = None
    for x, y, z, sign in ways:
        term = prims.mul(prims.mul(x, y), z)
        total = term if total is None else (prims.add if sign > 0 else prims.sub)(total, term)
    return total


@record
class Det(Composite):
    """The determinant from the LU factors; its derivative is right for singular matrices, too."""

    name: ClassVar[str] = "det"

    def compute(self, *xs: Any) -> Any:
        (a,) = xs
        lu, pivots, _ = Lu()(a)
        product = prims.Prod((typeof(a).ndim - 2,))(la.take_diagonal(lu))
        return prims.mul(product, _sign_of(pivots, typeof(a).dtype))

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        """det' = trace(adj(a) a')  (Jacobi)"""
        (a,), (t,) = primals, tangents
        if is_zero(t):
            out = self(a)
            return out, Zero(typeof(out))
        out, solved = _adjugate_times(a, t)
        return out, prims.Sum((typeof(out).ndim,))(la.take_diagonal(solved))


def _adjugate_times(a: Any, b: Any) -> tuple[Any, Any]:
    """(det(a), adj(a) b), without a division, and so of any rank.

    adj(a) = det(p) adj(U) L⁻¹ p.  With C[i, k] = U[i, k] ∏ U[m, m] over i < m < k, above the diagonal, adj(U) is
    (1 + C)⁻¹ with each row i times ∏ U[m, m] over m < i, and each column j times ∏ U[m, m] over m > j.
    """
    lu, pivots, permutation = Lu()(a)
    aval = typeof(a)
    lead = aval.ndim - 2
    diagonal = la.take_diagonal(lu)

    one = aval.dtype.type(1)

    def product_before(x: Any, axis: int, reverse: bool = False) -> Any:
        """Of each element the product of those before it, or after it."""
        n = typeof(x).shape[axis]
        none = [0] * typeof(x).ndim
        low, high = list(none), list(none)
        (high if reverse else low)[axis], (low if reverse else high)[axis] = 1, -1
        shifted = prims.Pad(tuple(low), tuple(high), tuple(none))(x, one) if n else x
        return prims.CumProd(axis, reverse)(shifted)

    def over(x: Any, axis: int) -> Any:
        return prims.Broadcast(aval.shape, (axis,))(x)

    rows, columns = (prims.Iota(aval.shape, dtypes.int32, lead + i)() for i in range(2))
    above = prims.lt(rows, columns)
    between = product_before(prims.select(above, over(diagonal, lead), one), lead + 1)
    identity = la.identity_like(a)
    c = prims.select(above, prims.mul(lu, between), identity)
    inverse = TriangularSolve(True, False, unit_diagonal=True)(c, identity)
    before = over(product_before(diagonal, lead), lead + 1)
    after = over(product_before(diagonal, lead, True), lead)
    sign = _sign_of(pivots, aval.dtype)
    signed = prims.Broadcast(aval.shape, (lead, lead + 1))(sign)
    adjugate = prims.mul(prims.mul(inverse, prims.mul(before, after)), signed)
    x = TriangularSolve(True, True, unit_diagonal=True)(lu, la.take_rows(b, permutation))
    return prims.mul(prims.Prod((lead,))(diagonal), sign), la.matmul(adjugate, x)


@compiled("a")
def det(a: Any) -> Any:
    """The determinants of square matrices.

    Of shape (...) for (..., n, n), in the operand's floating or complex dtype.  ValueError unless the last two axes
    have one length.

    >>> from covector import numpy as cnp
    >>> cnp.linalg.det(cnp.array([[1.0, 2.0], [3.0, 4.0]]))
    Array(-2., dtype=float32)
    """
    (a,) = matrices("linalg.det", a, square=True, half=3)
    n = a.shape[-1]
    if n == 0:
        return prims.full(a.shape[:-2], 1, a.dtype)
    if n == 1:
        return _entries(a)[0][0]
    if n == 2:
        (p, q), (r, s) = _entries(a)
        return prims.sub(prims.mul(p, s), prims.mul(q, r))
    return _det_of_three(a) if n == 3 else Det()(a)


class SlogdetResult(NamedTuple):
    """What `slogdet` gives.

    >>> from covector import numpy as cnp
    >>> cnp.linalg.slogdet(cnp.eye(2)).logabsdet
    Array(0., dtype=float32)
    """

    sign: Any
    logabsdet: Any


@compiled("a")
def slogdet(a: Any, *, method: str | None = None) -> SlogdetResult:
    """The determinants of square matrices as (sign, log |det|).

    The sign is 1, -1 or 0, or a complex number of absolute value 1 or 0; the logarithm is real.  `method` is 'lu' or
    'qr'.  ValueError for another one, or unless the last two axes have one length.

    >>> from covector import numpy as cnp
    >>> print(*cnp.linalg.slogdet(cnp.array([[2.0, 0.0], [0.0, -0.5]])))
    -1.0 0.0
    """
    (a,) = matrices("linalg.slogdet", a, square=True, half=2)
    if method not in (None, "lu", "qr"):
        raise ValueError(
            f"linalg.slogdet: method must be 'lu', 'qr' or None, got {method!r}{errors.at_user_line()}"
        )
    if a.dtype not in la.MATRIX_TYPES:
        found = det(a)
        return SlogdetResult(el.sign(found), el.log(el.absolute(found)))
    lu, pivots, _ = Lu()(a)
    diagonal = la.take_diagonal(lu)
    size = el.absolute(diagonal)
    real = size.dtype
    axis = a.ndim - 2
    signs = el.sign(diagonal) if real == a.dtype else diagonal / cast(_or_one(size), a.dtype)
    sign = prims.mul(prims.Prod((axis,))(signs), _sign_of(pivots, a.dtype))
    return SlogdetResult(sign, reduce.sum(el.log(size), axis))


def _or_one(x: Any) -> Any:
    return prims.select(prims.eq(x, x.dtype.type(0)), prims.full(x.shape, 1, x.dtype), x)
