"""Iterative solutions of linear systems: names and meanings are those of `jax.scipy.sparse.linalg`.

The system's matrix is a function, or an array; unknowns are arrays or pytrees of them.  Each is one loop in compiled
code, with the derivatives of the equation itself: the transposed system is solved by the same method.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from covector._engine.api.derivatives import linear_transpose
from covector._engine.api.implicit import custom_linear_solve
from covector._engine.base import errors, tree
from covector._engine.base.public import publish
from covector._engine.types import dtypes
from covector.flatten_util import ravel_pytree
from covector.lax.loops import fori_loop, while_loop
from covector.numpy import elementwise as el
from covector.numpy.comparison import conj, real
from covector.numpy.creation import array, zeros, zeros_like
from covector.numpy.join import stack
from covector.numpy.linear import dot, matmul, vdot
from covector.numpy.matrices import diag, diagonal, eye
from covector.numpy.operands import converted, together
from covector.numpy.promotion import integer_of, is_operand
from covector.numpy.ranges import arange
from covector.numpy.selection import where
from covector.scipy.linalg import solve_triangular

__all__ = ["bicgstab", "cg", "gmres"]

Map = Callable[[Any], Any]
Solver = Callable[[Map, Any, Any, Map, float, float, int], Any]

_COMMON = """

    `A` is a function of one argument of b's structure, or a matrix, which may be sparse; `b` an array or a pytree of
    arrays, x0 (zeros, unless given) and x have its structure.  Iterations end when |b - A x| <= max(tol |b|, atol), or
    after `maxiter` of them, by default 10 for each unknown.  `M` is a function, or a matrix, near to the inverse of A.
    Returns x and None.

    ValueError if x0 does not have b's structure and shapes.
"""


def _documented(f: Callable[..., Any]) -> Callable[..., Any]:
    f.__doc__ = (f.__doc__ or "").replace("\n\n    COMMON\n", _COMMON, 1)
    return f


def _squared_norm(x: Any) -> Any:
    return real(vdot(x, x))


def _threshold(b: Any, tol: float, atol: float) -> Any:
    """The square of the norm of the residual at which a solution is good enough."""
    return el.maximum(el.multiply(_squared_norm(b), tol * tol), atol * atol)


@_documented
def cg(
    A: Any,
    b: Any,
    x0: Any = None,
    *,
    tol: float = 1e-5,
    atol: float = 0.0,
    maxiter: int | None = None,
    M: Any = None,
) -> tuple[Any, None]:
    """The solution of A x = b for a Hermitian positive definite A, by conjugate gradients.

    COMMON

    (M. R. Hestenes and E. Stiefel, "Methods of conjugate gradients for solving linear systems", 1952)

    >>> import covector.numpy as np
    >>> from covector.scipy.sparse.linalg import cg
    >>> x, _ = cg(lambda x: np.array([2.0, 4.0]) * x, np.array([2.0, 2.0]))
    >>> x.round(4)
    Array([1. , 0.5], dtype=float32)
    """
    return _solved("cg", _cg, A, b, x0, tol, atol, maxiter, M, symmetric=True)


def _cg(A: Map, b: Any, x0: Any, M: Map, tol: float, atol: float, maxiter: int) -> Any:
    enough = _threshold(b, tol, atol)
    r = el.subtract(b, A(x0))
    z = M(r)

    def going_on(state: Any) -> Any:
        _, r, _, _, k = state
        return el.logical_and(el.greater(_squared_norm(r), enough), el.less(k, maxiter))

    def step(state: Any) -> Any:
        x, r, gamma, p, k = state
        ap = A(p)
        alpha = el.divide(gamma, real(vdot(p, ap)))
        x, r = el.add(x, el.multiply(alpha, p)), el.subtract(r, el.multiply(alpha, ap))
        z = M(r)
        after = real(vdot(r, z))
        p = el.add(z, el.multiply(el.divide(after, gamma), p))
        return x, r, after, p, k + 1

    return while_loop(going_on, step, (x0, r, real(vdot(r, z)), z, 0))[0]


@_documented
def bicgstab(
    A: Any,
    b: Any,
    x0: Any = None,
    *,
    tol: float = 1e-5,
    atol: float = 0.0,
    maxiter: int | None = None,
    M: Any = None,
) -> tuple[Any, None]:
    """The solution of A x = b for any A, by biconjugate gradients, stabilized.

    COMMON

    (H. A. van der Vorst, "Bi-CGSTAB: a fast and smoothly converging variant of Bi-CG", 1992)

    >>> import covector.numpy as np
    >>> from covector.scipy.sparse.linalg import bicgstab
    >>> x, _ = bicgstab(np.array([[2.0, 1.0], [0.0, 1.0]]), np.array([3.0, 1.0]))
    >>> x.round(4)
    Array([1., 1.], dtype=float32)
    """
    return _solved("bicgstab", _bicgstab, A, b, x0, tol, atol, maxiter, M)


def _bicgstab(A: Map, b: Any, x0: Any, M: Map, tol: float, atol: float, maxiter: int) -> Any:
    enough = _threshold(b, tol, atol)
    r = shadow = el.subtract(b, A(x0))
    one, nothing = array(1, b.dtype), zeros_like(b)

    def going_on(state: Any) -> Any:
        # A breakdown, in which a scalar product is 0, ends it too.
        r, rho, k = state[1], state[2], state[-1]
        far = el.greater(_squared_norm(r), enough)
        return el.logical_and(far, el.logical_and(el.not_equal(rho, 0), el.less(k, maxiter)))

    def step(state: Any) -> Any:
        x, r, rho, alpha, omega, p, q, k = state
        now = vdot(shadow, r)
        beta = el.multiply(el.divide(now, rho), el.divide(alpha, omega))
        p = el.add(r, el.multiply(beta, el.subtract(p, el.multiply(omega, q))))
        p_near = M(p)
        q = A(p_near)
        alpha = el.divide(now, vdot(shadow, q))
        s = el.subtract(r, el.multiply(alpha, q))
        halfway = el.less_equal(_squared_norm(s), enough)
        s_near = M(s)
        t = A(s_near)
        omega = el.divide(vdot(t, s), vdot(t, t))
        omega = where(halfway, 0, omega)
        x = el.add(x, el.add(el.multiply(alpha, p_near), el.multiply(omega, s_near)))
        r = el.subtract(s, el.multiply(omega, t))
        return x, r, now, alpha, omega, p, q, k + 1

    return while_loop(going_on, step, (x0, r, one, one, one, nothing, nothing, 0))[0]


@_documented
def gmres(
    A: Any,
    b: Any,
    x0: Any = None,
    *,
    tol: float = 1e-5,
    atol: float = 0.0,
    restart: int = 20,
    maxiter: int | None = None,
    M: Any = None,
    solve_method: str = "batched",
) -> tuple[Any, None]:
    """The solution of A x = b for any A, by minimal residuals in Krylov spaces of up to `restart` dimensions.

    COMMON

    An iteration is one such space, at whose end the next begins.  `solve_method` 'incremental' ends within one as soon
    as the residual is small enough, 'batched' at its end.  ValueError for another.
    (Y. Saad and M. H. Schultz, "GMRES: a generalized minimal residual algorithm", 1986)

    >>> import covector.numpy as np
    >>> from covector.scipy.sparse.linalg import gmres
    >>> x, _ = gmres(np.array([[0.0, 1.0], [1.0, 1.0]]), np.array([1.0, 3.0]))
    >>> x.round(4)
    Array([2., 1.], dtype=float32)
    """
    if solve_method not in ("batched", "incremental"):
        raise ValueError(
            f"gmres: solve_method is {solve_method!r}{errors.at_user_line()}; it is 'batched' or 'incremental'"
        )
    solver = partial(_gmres, integer_of(restart, "restart of gmres"), solve_method == "incremental")
    return _solved("gmres", solver, A, b, x0, tol, atol, maxiter, M)


def _gmres(
    restart: int,
    ends_within: bool,
    A: Map,
    b: Any,
    x0: Any,
    M: Map,
    tol: float,
    atol: float,
    maxiter: int,
) -> Any:
    """With M on the left: the residual is M (b - A x), and so is what it is compared with."""
    n = b.shape[0]
    m = min(restart, n)
    enough = el.sqrt(_threshold(M(b), tol, atol))

    def residual(x: Any) -> tuple[Any, Any]:
        r = M(el.subtract(b, A(x)))
        return r, el.sqrt(_squared_norm(r))

    def going_on(state: Any) -> Any:
        _, _, size, k = state
        return el.logical_and(el.greater(size, enough), el.less(k, maxiter))

    def cycle(state: Any) -> Any:
        x, r, size, k = state
        x = el.add(
            x, _in_krylov_space(lambda v: M(A(v)), r, size, m, enough if ends_within else None)
        )
        return x, *residual(x), k + 1

    return while_loop(going_on, cycle, (x0, *residual(x0), 0))[0]


def _in_krylov_space(A: Map, r: Any, size: Any, m: int, enough: Any) -> Any:
    """That x of the space of r, A r, ..., A^(m-1) r for which |r - A x| is least; found when it is below `enough`.

    The rows of `basis` are orthonormal (Arnoldi, each twice against those before, which keeps them so); `triangle` is
    the matrix of A in it, turned upper triangular by rotations, and `right` the right side, turned alike.
    """
    dtype = r.dtype
    basis = zeros((m + 1, r.shape[0]), dtype)
    basis = basis.at[0].set(el.divide(r, where(el.greater(size, 0), size, 1)))
    right = zeros(m + 1, dtype).at[0].set(converted(size, dtype))

    def going_on(state: Any) -> Any:
        j, _, _, right, _, ended = state
        far = True if enough is None else el.greater(el.abs(right[j]), enough)
        return el.logical_and(far, el.logical_and(el.less(j, m), el.logical_not(ended)))

    def step(state: Any) -> Any:
        j, basis, triangle, right, turns, _ = state
        v = A(basis[j])
        before = el.sqrt(_squared_norm(v))
        column = zeros(m + 1, dtype)
        for _ in range(2):
            h = dot(conj(basis), v)
            v, column = el.subtract(v, dot(h, basis)), el.add(column, h)
        after = el.sqrt(_squared_norm(v))
        # Of nothing but roundings: the space is full, and the solution in it.
        ended = el.less_equal(after, el.multiply(before, float(dtypes.finfo(dtype).eps)))
        after = where(ended, 0, after)
        basis = basis.at[j + 1].set(where(ended, 0, el.divide(v, where(ended, 1, after))))
        column = column.at[j + 1].set(converted(after, dtype))
        column = fori_loop(0, j, lambda i, c: _turned(c, i, turns[i]), column)
        turn = _turn(column[j], column[j + 1])
        column, right = _turned(column, j, turn), _turned(right, j, turn)
        return j + 1, basis, triangle.at[:, j].set(column[:m]), right, turns.at[j].set(turn), ended

    state = (0, basis, eye(m, dtype=dtype), right, zeros((m, 2), dtype), el.less_equal(size, 0))
    j, basis, triangle, right, _, _ = while_loop(going_on, step, state)
    # What was not reached has the columns of the identity; an unknown that nothing depends on is 0.
    free = el.equal(diagonal(triangle), 0)
    triangle = el.add(triangle, diag(converted(free, dtype)))
    used = el.logical_and(el.less(arange(m), j), el.logical_not(free))
    return dot(solve_triangular(triangle, where(used, right[:m], 0)), basis[:m])


def _turn(a: Any, b: Any) -> Any:
    """The cosine and the sine of the rotation that makes (a, b) to (r, 0)."""
    r = el.hypot(el.abs(a), el.abs(b))
    safe = where(el.greater(r, 0), r, 1)
    size = el.abs(a)
    phase = where(el.greater(size, 0), el.divide(a, where(el.greater(size, 0), size, 1)), 1)
    cosine = where(el.greater(r, 0), el.divide(size, safe), 1)
    return stack([converted(cosine, a.dtype), el.divide(el.multiply(phase, conj(b)), safe)])


def _turned(v: Any, i: Any, turn: Any) -> Any:
    """The vector with its elements i and i + 1 rotated."""
    c, s = turn[0], turn[1]
    x, y = v[i], v[i + 1]
    v = v.at[i].set(el.add(el.multiply(c, x), el.multiply(s, y)))
    return v.at[i + 1].set(el.subtract(el.multiply(c, y), el.multiply(conj(s), x)))


# ----------------------------------------------------------------------------- what they have in common


def _map_of(A: Any) -> Any:
    """The product with something that is no array and can be multiplied, such as a sparse one; else what was given."""
    if callable(A) or is_operand(A) or not hasattr(A, "__matmul__"):
        return A
    return lambda v: A @ v


def _solved(
    name: str,
    solver: Solver,
    A: Any,
    b: Any,
    x0: Any,
    tol: float,
    atol: float,
    maxiter: int | None,
    M: Any,
    symmetric: bool = False,
) -> tuple[Any, None]:
    """The solution by a solver that knows vectors only."""
    b = tree.map(array, b)
    if not callable(_map_of(A)):
        (b,) = [tree.map(lambda x: together(name, "inexact", x, A)[0], b)]
    b = tree.map(lambda x: together(name, "inexact", x)[0], b)
    right, unravel = ravel_pytree(b)
    start = zeros_like(right) if x0 is None else _like(name, "x0", x0, b)
    system = _on_vectors(name, "A", A, b, unravel)
    near = (lambda v: v) if M is None else _on_vectors(name, "M", M, b, unravel)
    steps = 10 * right.size if maxiter is None else maxiter

    def solve(of: Map, right: Any) -> Any:
        return solver(of, right, start, near, tol, atol, steps)

    def solve_transposed(of: Map, right: Any) -> Any:
        back = (lambda v: v) if M is None else lambda v: linear_transpose(near, right)(v)[0]
        return solver(of, right, zeros_like(right), back, tol, atol, steps)

    real_ = symmetric and not dtypes.is_complex(right.dtype)
    x = custom_linear_solve(
        system, right, solve, solve if real_ else solve_transposed, symmetric=real_
    )
    return unravel(x), None


def _like(name: str, what: str, x: Any, b: Any) -> Any:
    """The elements of x as a vector; ValueError unless it has the structure and the shapes of b."""
    x = tree.map(array, x)
    found, wanted = ([y.shape for y in tree.leaves(t)] for t in (x, b))
    if tree.structure(x) != tree.structure(b) or found != wanted:
        raise ValueError(
            f"{name}: {what} has the structure {tree.structure(x)} and shapes {found}{errors.at_user_line()}; they "
            f"must be those of b, {tree.structure(b)} and {wanted}"
        )
    return converted(ravel_pytree(x)[0], ravel_pytree(b)[0].dtype)


def _on_vectors(name: str, what: str, f: Any, b: Any, unravel: Map) -> Map:
    """A function of b's structure, or a matrix, as a function of vectors."""
    f = _map_of(f)
    if callable(f):
        return lambda v: _like(name, f"the result of {what}", f(unravel(v)), b)
    matrix = array(f)
    n = tree.leaves(b)[0].shape[0] if tree.structure(b) == tree.structure(0) and b.ndim else None
    if matrix.shape != (n, n):
        raise ValueError(
            f"{name}: {what} has the shape {matrix.shape}{errors.at_user_line()}; with a matrix, b must be an array, "
            "of as many rows as it has"
        )
    return lambda v: ravel_pytree(matmul(matrix, unravel(v)))[0]


publish(__name__)
