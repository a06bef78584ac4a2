"""What the routines that Kernels call mean, in NumPy: each takes the flat memory from its places on."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from covector._engine.primitives import linalg_orthogonal, linalg_solve, linalg_spectral
from covector._engine.primitives.linalg import MATRIX_TYPES, OfMatrices
from covector._engine.types import dtypes

# One operand: reads and writes elements at places counted from the routine's place, in the given dtype.
Read = Callable[[int, np.ndarray, np.dtype], np.ndarray]
Write = Callable[[int, np.ndarray, np.ndarray], None]
RoutineMeaning = Callable[[Sequence[int], Read, Write], None]


def _product(dtype: np.dtype) -> RoutineMeaning:
    def run(parameters: Sequence[int], read: Read, write: Write) -> None:
        """c = op(a) op(b), rows of c `ldc` apart; op transposes where `ta` or `tb` is 1."""
        ta, tb, m, n, k, lda, ldb, ldc = parameters
        a = read(0, _matrix(k, m, lda) if ta else _matrix(m, k, lda), dtype)
        b = read(1, _matrix(n, k, ldb) if tb else _matrix(k, n, ldb), dtype)
        wide = np.complex128 if dtypes.is_complex(dtype) else np.float64
        left, right = ((x.T if t else x).astype(wide) for x, t in ((a, ta), (b, tb)))
        with np.errstate(all="ignore"):
            write(2, _matrix(m, n, ldc), (left @ right).astype(dtype))

    return run


def _matrix(rows: int, columns: int, leading: int) -> np.ndarray:
    """The places of a matrix whose rows are so far apart."""
    return np.arange(rows)[:, None] * leading + np.arange(columns)


def _sort_pairs(parameters: Sequence[int], read: Read, write: Write) -> None:
    """Rows of keys in order, stably and with NaNs last; values of `width` bytes, if any, go where their keys go."""
    code, width, rows, n = parameters
    dtype = _DTYPES[code]
    places = np.arange(rows * n).reshape(rows, n)
    keys = read(0, places, dtype)
    wide = keys.astype(np.float32) if keys.dtype == dtypes.bfloat16 else keys
    order = np.argsort(wide, axis=-1, kind="stable")
    if width:
        raw = np.dtype(f"u{width}")
        values = np.take_along_axis(read(1, places, raw), order, -1)
        write(1, places, values)
    write(0, places, np.take_along_axis(keys, order, -1))


def _sort_order(parameters: Sequence[int], read: Read, write: Write) -> None:
    """The order of items that have several keys each, the first one first."""
    code, place_width, rows, count, n = parameters
    keys = read(0, np.arange(rows * count * n).reshape(rows, count, n), _DTYPES[code])
    wide = keys.astype(np.float32) if keys.dtype == dtypes.bfloat16 else keys
    order = np.array([np.lexsort(row[::-1]) for row in wide], f"i{place_width}")
    write(1, np.arange(rows * n).reshape(rows, n), order.reshape(rows, n))


def _fft(parameters: Sequence[int], read: Read, write: Write) -> None:
    """The transform along the middle axis of an array (outer, n, inner), divided by n if it is an inverse."""
    kind, wide, outer, n, inner = parameters
    real, complex_ = (np.float64, np.complex128) if wide else (np.float32, np.complex64)
    takes, gives = [(complex_, complex_), (complex_, complex_), (real, complex_), (complex_, real)][
        kind
    ]
    lengths = [(n, n), (n, n), (n, n // 2 + 1), (n // 2 + 1, n)][kind]
    before, after = [np.arange(outer * m * inner).reshape(outer, m, inner) for m in lengths]
    if not before.size:
        return
    function = (np.fft.fft, np.fft.ifft, np.fft.rfft, np.fft.irfft)[kind]
    with np.errstate(all="ignore"):
        found = function(
            read(0, before, np.dtype(takes)).astype(np.result_type(takes, np.float64)), n, 1
        )
        write(1, after, found.astype(gives))


def _top_k(parameters: Sequence[int], read: Read, write: Write) -> None:
    """The k largest elements of each row, NaN the largest, of equal ones the first; and their places."""
    code, place_width, rows, n, k = parameters
    dtype = _DTYPES[code]
    x = read(0, np.arange(rows * n).reshape(rows, n), dtype)
    wide = x.astype(np.float32) if x.dtype == dtypes.bfloat16 else x
    order = n - 1 - np.argsort(wide[:, ::-1], axis=-1, kind="stable")[:, ::-1][:, :k]
    places = np.arange(rows * k).reshape(rows, k)
    write(1, places, np.take_along_axis(x, order, -1))
    write(2, places, order.astype(f"i{place_width}"))


_COMBINED = (None, np.add, np.multiply, np.minimum, np.maximum)


def _scatter(parameters: Sequence[int], read: Read, write: Write) -> None:
    """Rows of `width` elements combined, one after the other, into the places that index vectors name."""
    code, operation, clip, index_width, n, width, components, *sizes = parameters
    sizes = np.asarray(sizes[:components])
    vectors = np.arange(n * components).reshape(n, components)
    indices = read(0, vectors, np.dtype(f"i{index_width}")).astype(np.int64)
    if clip:
        indices = np.clip(indices, 0, sizes - 1)
    combined = _COMBINED[operation]
    for row, vector in enumerate(indices):
        if np.any((vector < 0) | (vector >= sizes)):
            continue
        place = np.ravel_multi_index(tuple(vector), tuple(sizes)) * width + np.arange(width)
        new = read(1, row * width + np.arange(width), _DTYPES[code])
        with np.errstate(all="ignore"):
            old = None if combined is None else combined(read(2, place, _DTYPES[code]), new)
        write(2, place, new if old is None else old)


def _of_matrices(cls: type[OfMatrices]) -> RoutineMeaning:
    """What the primitive says, on the operands and results in the order in which it gives them to its routine."""

    def run(parameters: Sequence[int], read: Read, write: Write) -> None:
        code, count, *numbers = parameters
        primitive, cores = cls.called(*numbers)
        begins = primitive.begins_as or (None,) * 8
        alone = [n for n in range(len(cores)) if n not in begins]
        given = {n: k for k, n in enumerate(alone)}
        given |= {n: len(alone) + k for k, n in enumerate(begins) if n is not None}
        order = primitive.order or tuple(range(len(cores) + len(begins)))
        place = {n: order.index(k) for n, k in given.items()}
        operands = [
            read(place[n], np.arange(count * math.prod(c)).reshape(count, *c), MATRIX_TYPES[code])
            for n, c in enumerate(cores)
        ]
        outs = primitive.reference(*operands)
        for k, out in enumerate(outs if primitive.multiple else (outs,)):
            write(order.index(len(alone) + k), np.arange(out.size).reshape(out.shape), out)

    return run


def _convolution(dtype: np.dtype) -> RoutineMeaning:
    def run(parameters: Sequence[int], read: Read, write: Write) -> None:
        """A convolution of strided arrays: the numbers are those of `Convolution` in the native core."""
        features, batches, batch, taken, made = parameters[:5]
        axes = [parameters[5 + 10 * n : 15 + 10 * n] for n in range(3)]
        lhs_batch, lhs_feature, rhs_made, rhs_taken, out_batch, out_feature = parameters[35:]
        groups, total = features * batches, np.zeros(0)
        g, n, c, o, *s = np.ogrid[
            tuple([slice(m) for m in (groups, batch, taken, made, *[axis[2] for axis in axes])])
        ]
        lhs_group = batch * lhs_batch if batches > 1 else taken * lhs_feature
        x = g * lhs_group + n * lhs_batch + c * lhs_feature
        y = (g * made + o) * rhs_made + c * rhs_taken
        for places in np.ndindex(*[axis[1] for axis in axes]):
            here, kernel, inside = x, y, np.array(True)
            for step, k, axis in zip(s, places, axes, strict=True):
                size, _, _, stride, low, base, spread, lhs_step, rhs_step, _ = axis
                at, rest = np.divmod(step * stride + k * spread - low, base)
                meets = (rest == 0) & (at >= 0) & (at < size)
                here, inside = here + np.where(meets, at, 0) * lhs_step, inside & meets
                kernel = kernel + k * rhs_step
            values = read(0, here, dtype).astype(np.float64) * read(1, kernel, dtype)
            total = (values * inside).sum(2) + total if total.size else (values * inside).sum(2)
        to = (g * made + o) * out_feature + n * out_batch
        for step, axis in zip(s, axes, strict=True):
            to = to + step * axis[9]
        to = to[:, :, 0]
        write(2, to, np.broadcast_to(total, to.shape).astype(dtype))

    return run


def _pivots_to_permutation(parameters: Sequence[int], read: Read, write: Write) -> None:
    """The order of n rows after k exchanges, `count` times."""
    count, k, n = parameters
    pivots = read(0, np.arange(count * k).reshape(count, k), np.dtype(np.int32))
    order = linalg_solve.PivotsToPermutation(n).reference(pivots)
    write(1, np.arange(count * n).reshape(count, n), order)


_DTYPES = {code: dtype for dtype, code in dtypes.CODES.items()}

ROUTINES: dict[str, RoutineMeaning] = {
    "sgemm": _product(dtypes.float32),
    "dgemm": _product(dtypes.float64),
    "cgemm": _product(dtypes.complex64),
    "zgemm": _product(dtypes.complex128),
    "fft": _fft,
    "scatter": _scatter,
    "sconv": _convolution(dtypes.float32),
    "dconv": _convolution(dtypes.float64),
    "sort_order": _sort_order,
    "sort_pairs": _sort_pairs,
    "top_k": _top_k,
    "pivots_to_permutation": _pivots_to_permutation,
    "cholesky": _of_matrices(linalg_solve.Cholesky),
    "cholesky_update": _of_matrices(linalg_spectral.CholeskyUpdate),
    "eig": _of_matrices(linalg_spectral.Eig),
    "eigh": _of_matrices(linalg_spectral.Eigh),
    "geqrf": _of_matrices(linalg_orthogonal.Geqrf),
    "hessenberg": _of_matrices(linalg_spectral.Hessenberg),
    "householder_product": _of_matrices(linalg_orthogonal.HouseholderProduct),
    "lu": _of_matrices(linalg_solve.Lu),
    "ormqr": _of_matrices(linalg_orthogonal.Ormqr),
    "qr": _of_matrices(linalg_orthogonal.Qr),
    "schur": _of_matrices(linalg_spectral.Schur),
    "svd": _of_matrices(linalg_spectral.Svd),
    "triangular_solve": _of_matrices(linalg_solve.TriangularSolve),
    "tridiagonal": _of_matrices(linalg_spectral.Tridiagonal),
    "tridiagonal_solve": _of_matrices(linalg_spectral.TridiagonalSolve),
}
