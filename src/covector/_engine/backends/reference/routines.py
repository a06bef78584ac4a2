"""What the routines that Kernels call mean, in NumPy: each takes the flat memory from its places on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

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


_DTYPES = {code: dtype for dtype, code in dtypes.CODES.items()}

ROUTINES: dict[str, RoutineMeaning] = {
    "sgemm": _product(dtypes.float32),
    "dgemm": _product(dtypes.float64),
    "cgemm": _product(dtypes.complex64),
    "zgemm": _product(dtypes.complex128),
    "sconv": _convolution(dtypes.float32),
    "dconv": _convolution(dtypes.float64),
    "sort_pairs": _sort_pairs,
}
