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


_DTYPES = {code: dtype for dtype, code in dtypes.CODES.items()}

ROUTINES: dict[str, RoutineMeaning] = {
    "sgemm": _product(dtypes.float32),
    "dgemm": _product(dtypes.float64),
    "cgemm": _product(dtypes.complex64),
    "zgemm": _product(dtypes.complex128),
    "fft": _fft,
    "sort_pairs": _sort_pairs,
}
