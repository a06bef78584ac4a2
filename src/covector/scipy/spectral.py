"""Spectra of signals by Fourier transforms of short pieces, and what goes with them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from covector._engine.base import errors
from covector._engine.types import dtypes
from covector.numpy import elementwise as el, fft, reduce
from covector.numpy.comparison import conj, real
from covector.numpy.creation import array, zeros
from covector.numpy.join import concatenate
from covector.numpy.linear import matmul
from covector.numpy.operands import converted, together
from covector.numpy.ordering import median
from covector.numpy.padding import pad
from covector.numpy.promotion import axes_of, axis_of, integer_of, spread
from covector.numpy.ranges import arange
from covector.numpy.selection import where
from covector.numpy.shape import flip, moveaxis, reshape
from covector.numpy.statistics import mean

__all__ = ["csd", "detrend", "fftconvolve", "istft", "stft", "welch"]

# Made one longer and without the last element, so that they go on periodically.
_WINDOWS: dict[str, Callable[[int], np.ndarray]] = {
    "bartlett": np.bartlett,
    "blackman": np.blackman,
    "boxcar": np.ones,
    "hamming": np.hamming,
    "hann": np.hanning,
}


def fftconvolve(in1: Any, in2: Any, mode: str = "full", axes: Any = None) -> Any:
    """`convolve` by Fourier transforms, which is quicker where both are long: n log n instead of n m operations.

    Along `axes`, or all; along the others both have one length, or 1.  Modes are those of `convolve`; the dtype is a
    float one, of which sums of large and small products keep fewer digits.  ValueError for other shapes.

    >>> import covector.numpy as np
    >>> from covector.scipy import signal
    >>> signal.fftconvolve(np.array([1.0, 2.0, 3.0]), np.array([0.0, 1.0, 2.0]), mode="same").round(3)
    Array([1., 4., 7.], dtype=float32)
    """
    x, y = together("fftconvolve", "inexact", in1, in2)
    if mode not in ("full", "same", "valid"):
        raise ValueError(
            f"fftconvolve: mode is 'full', 'same' or 'valid', got {mode!r}{errors.at_user_line()}"
        )
    if x.ndim != y.ndim:
        raise ValueError(
            f"fftconvolve needs arrays of one number of axes, got the shapes {x.shape} and {y.shape}"
            f"{errors.at_user_line()}"
        )
    along = tuple(range(x.ndim)) if axes is None else axes_of(axes, x.ndim)
    others = [i for i in range(x.ndim) if i not in along]
    pairs = [(x.shape[i], y.shape[i]) for i in along]
    if any(x.shape[i] != y.shape[i] and 1 not in (x.shape[i], y.shape[i]) for i in others):
        raise ValueError(
            f"fftconvolve: the shapes {x.shape} and {y.shape} differ beside the axes {along}{errors.at_user_line()}"
        )
    if mode == "valid" and not (all(n >= m for n, m in pairs) or all(n <= m for n, m in pairs)):
        raise ValueError(
            f"fftconvolve: for mode='valid' one array is at least as long along each axis as the other, got {x.shape} "
            f"and {y.shape}{errors.at_user_line()}"
        )
    whole = [n + m - 1 for n, m in pairs]
    if not along or 0 in (*x.shape, *y.shape):
        return el.multiply(x, y)
    sizes = [_quick(n) for n in whole]
    if dtypes.is_complex(x.dtype):
        out = fft.ifftn(
            el.multiply(fft.fftn(x, sizes, along), fft.fftn(y, sizes, along)), axes=along
        )
    else:
        product = el.multiply(fft.rfftn(x, sizes, along), fft.rfftn(y, sizes, along))
        out = fft.irfftn(product, sizes, along)
    index = [slice(None)] * out.ndim
    for i, total, (n, m) in zip(along, whole, pairs, strict=True):
        length = {"full": total, "same": n, "valid": abs(n - m) + 1}[mode]
        start = (total - length) // 2
        index[i] = slice(start, start + length)
    return out[tuple(index)]


def _quick(n: int) -> int:
    """The next length that has no prime factors above 5."""
    while True:
        rest = n
        for p in (2, 3, 5):
            while rest % p == 0:
                rest //= p
        if rest == 1:
            return n
        n += 1


def detrend(
    data: Any, axis: int = -1, type: str = "linear", bp: Any = 0, overwrite_data: None = None
) -> Any:
    """The data without their mean ('constant'), or without the straight line nearest to them ('linear'), along an axis.

    `bp` are places at which a new line begins.  Floats.  ValueError for another type and for places outside.

    >>> import covector.numpy as np
    >>> from covector.scipy import signal
    >>> signal.detrend(np.array([1.0, 2.0, 3.0, 5.0])).round(2)
    Array([ 0.2, -0.1, -0.4,  0.3], dtype=float32)
    """
    if overwrite_data is not None:
        raise NotImplementedError(
            f"detrend with overwrite_data={overwrite_data!r}{errors.at_user_line()}: arrays are immutable"
        )
    if type not in ("constant", "linear"):
        raise ValueError(
            f"detrend: type is 'constant' or 'linear', got {type!r}{errors.at_user_line()}"
        )
    (x,) = together("detrend", "inexact", array(data))
    axis = axis_of(axis, x.ndim)
    if type == "constant":
        return el.subtract(x, mean(x, axis, keepdims=True))
    n = x.shape[axis]
    places = sorted({0, n, *np.atleast_1d(bp).tolist()})
    if places[0] < 0 or places[-1] > n:
        raise ValueError(
            f"detrend: bp is {bp}{errors.at_user_line()}; its places must be within the {n} elements of the axis"
        )
    columns = moveaxis(x, axis, 0)
    pieces: list[Any] = []
    for a, b in pairwise(places):
        # Of lines that are fitted to each column alike: a matrix, made of numbers alone.
        line = np.stack([np.arange(1, b - a + 1) / (b - a), np.ones(b - a)], axis=1)
        off = np.eye(b - a) - line @ np.linalg.pinv(line)
        part = columns[a:b]
        weights = converted(array(off.astype(x.dtype)), x.dtype, x.weak_type)
        flat = matmul(weights, reshape(part, (b - a, -1)))
        pieces.append(reshape(flat, part.shape))
    return moveaxis(concatenate(pieces), 0, axis)


def _window(name: str, window: Any, length: int, dtype: np.dtype) -> Any:
    """The weights of a piece."""
    if isinstance(window, str | tuple):
        kind, *parameters = (window,) if isinstance(window, str) else window
        if kind == "kaiser" and len(parameters) == 1:
            found = array(np.kaiser(length + 1, *parameters)[:-1])
        elif kind in _WINDOWS and not parameters:
            found = array(_WINDOWS[kind](length + 1)[:-1])
        else:
            raise ValueError(
                f"{name}: window is {window!r}{errors.at_user_line()}; it is one of {', '.join(_WINDOWS)}, ('kaiser', "
                "beta), or an array"
            )
    else:
        found = array(window)
        if found.shape != (length,):
            raise ValueError(
                f"{name}: the window has the shape {found.shape}{errors.at_user_line()}; pieces have {length} elements"
            )
    return converted(found, dtype)


def _lengths(
    name: str, window: Any, n: int, nperseg: Any, noverlap: Any, nfft: Any
) -> tuple[int, int, int]:
    """Of a piece, of what two pieces share, and of the transform."""
    own = array(window).shape[0] if not isinstance(window, str | tuple) else min(256, n)
    piece = own if nperseg is None else integer_of(nperseg, f"nperseg of {name}")
    if piece < 1:
        raise ValueError(f"{name}: nperseg is {piece}{errors.at_user_line()}; it must be positive")
    if isinstance(window, str | tuple):
        piece = min(piece, n)
    shared = piece // 2 if noverlap is None else integer_of(noverlap, f"noverlap of {name}")
    size = piece if nfft is None else integer_of(nfft, f"nfft of {name}")
    if not 0 <= shared < piece <= size:
        raise ValueError(
            f"{name}: noverlap is {shared}, nperseg {piece} and nfft {size}{errors.at_user_line()}; they must be in "
            "that order, and noverlap less"
        )
    return piece, shared, size


def _pieces(x: Any, piece: int, step: int) -> Any:
    """Pieces of the last axis, each `step` after the one before: (..., number, piece)."""
    count = (x.shape[-1] - piece) // step + 1
    at = el.add(el.multiply(arange(count)[:, None], step), arange(piece))
    return x[..., at]


def _detrended(pieces: Any, how: Any) -> Any:
    if callable(how):
        return how(pieces)
    return pieces if how in (False, None) else detrend(pieces, type=how)


def _spectra(x: Any, window: Any, shared: int, size: int, trend: Any, onesided: bool) -> Any:
    """The transforms of all pieces: (..., frequencies, number)."""
    piece = window.shape[0]
    parts = el.multiply(_detrended(_pieces(x, piece, piece - shared), trend), window)
    found = fft.rfft(parts, size) if onesided else fft.fft(parts, size)
    return moveaxis(found, -1, -2)


def _frequencies(size: int, fs: Any, onesided: bool, dtype: np.dtype) -> Any:
    at = np.fft.rfftfreq(size) if onesided else np.fft.fftfreq(size)
    return el.multiply(array(at.astype(dtype)), fs)


def _signal(name: str, *xs: Any) -> tuple[list[Any], np.dtype, bool]:
    """Signals, the dtype of their parts, and whether they are real."""
    found = together(name, "inexact", *map(array, xs))
    dtype = found[0].dtype
    return found, dtypes.real_of(dtype), not dtypes.is_complex(dtype)


def csd(
    x: Any,
    y: Any,
    fs: Any = 1.0,
    window: Any = "hann",
    nperseg: int | None = None,
    noverlap: int | None = None,
    nfft: int | None = None,
    detrend: Any = "constant",
    return_onesided: bool = True,
    scaling: str = "density",
    axis: int = -1,
    average: str = "mean",
) -> tuple[Any, Any]:
    """Frequencies, and the cross spectrum of two signals along an axis, by Welch's method (1967).

    Both are cut into pieces of `nperseg` (256) elements, which share `noverlap` (half) with the next; each has its mean
    or line removed (`detrend`), is multiplied by the window and transformed, with zeros up to `nfft`; conj(X) Y is
    averaged over the pieces, by mean or median.  A 'density' is for each unit of frequency (fs samples make a unit of
    time), a 'spectrum' has the units of the signals' product.  Of real signals there are frequencies from 0 up, with
    `return_onesided`.  `window`: 'hann', 'hamming', 'blackman', 'bartlett', 'boxcar', ('kaiser', beta), or an array.
    `y` None is x.  ValueError for other shapes, names and lengths.

    >>> import covector.numpy as np
    >>> from covector.scipy import signal
    >>> t = np.arange(64)
    >>> f, p = signal.csd(np.sin(np.pi * t / 4), np.cos(np.pi * t / 4), nperseg=32)
    >>> f[np.argmax(np.abs(p))].item()
    0.125
    """
    return _averaged(
        "csd",
        x,
        y,
        _Cut(fs, window, nperseg, noverlap, nfft, detrend, return_onesided),
        scaling,
        axis,
        average,
    )


def welch(
    x: Any,
    fs: Any = 1.0,
    window: Any = "hann",
    nperseg: int | None = None,
    noverlap: int | None = None,
    nfft: int | None = None,
    detrend: Any = "constant",
    return_onesided: bool = True,
    scaling: str = "density",
    axis: int = -1,
    average: str = "mean",
) -> tuple[Any, Any]:
    """Frequencies, and the power spectrum of a signal along an axis: `csd` of it with itself.

    >>> import covector.numpy as np
    >>> from covector.scipy import signal
    >>> f, p = signal.welch(np.sin(np.pi * np.arange(64) / 4), nperseg=32)
    >>> f[np.argmax(p)].item()
    0.125
    """
    return _averaged(
        "welch",
        x,
        None,
        _Cut(fs, window, nperseg, noverlap, nfft, detrend, return_onesided),
        scaling,
        axis,
        average,
    )


class _Cut(NamedTuple):
    """How a signal is cut into pieces, and each transformed."""

    fs: Any
    window: Any
    nperseg: Any
    noverlap: Any
    nfft: Any
    trend: Any
    onesided: bool


def _averaged(
    name: str,
    x: Any,
    y: Any,
    cut: _Cut,
    scaling: str,
    axis: int,
    average: str,
) -> tuple[Any, Any]:
    for what, value, known in (
        ("scaling", scaling, ("density", "spectrum")),
        ("average", average, ("mean", "median")),
    ):
        if value not in known:
            raise ValueError(
                f"{name}: {what} is {value!r}{errors.at_user_line()}; it is one of {known}"
            )
    signals, dtype, is_real = _signal(name, *([x] if y is None or y is x else [x, y]))
    signals = [moveaxis(s, axis_of(axis, s.ndim), -1) for s in signals]
    n = max(s.shape[-1] for s in signals)
    if 0 in signals[0].shape:
        raise ValueError(
            f"{name}: the signal has the shape {signals[0].shape}{errors.at_user_line()}"
        )
    signals = [_longer(s, n) for s in signals]
    piece, shared, size = _lengths(name, cut.window, n, cut.nperseg, cut.noverlap, cut.nfft)
    weights = _window(name, cut.window, piece, dtype)
    onesided = cut.onesided and is_real
    spectra = [_spectra(s, weights, shared, size, cut.trend, onesided) for s in signals]
    power = el.multiply(conj(spectra[0]), spectra[-1])
    if scaling == "density":
        scale = el.divide(1, el.multiply(cut.fs, reduce.sum(el.square(weights))))
    else:
        scale = el.divide(1, el.square(reduce.sum(weights)))
    power = el.multiply(power, scale)
    if onesided:  # what the negative frequencies have, but for 0 and, of an even length, the last
        twice = np.full((size // 2 + 1, 1), 2.0, dtype)
        twice[0] = 1
        twice[-1 if size % 2 == 0 else 0] = 1
        power = el.multiply(power, array(twice))
    if len(signals) == 1:
        power = real(power)
    power = _middle(power, average)
    last = moveaxis(power, -1, axis_of(axis, power.ndim))
    return _frequencies(size, cut.fs, onesided, dtype), last


def _longer(x: Any, n: int) -> Any:
    return pad(x, [(0, 0)] * (x.ndim - 1) + [(0, n - x.shape[-1])])


def _middle(power: Any, average: str) -> Any:
    """The mean over pieces, or the median, which is that of χ² of two degrees of freedom, less a bias."""
    if average == "mean" or power.shape[-1] == 1:
        return mean(power, -1)
    count = power.shape[-1]
    bias = 1 + sum(1 / (k + 1) - 1 / k for k in range(2, count, 2))
    if dtypes.is_complex(power.dtype):
        from_parts = el.add(median(power.real, -1), el.multiply(median(power.imag, -1), 1j))
        return el.divide(from_parts, bias)
    return el.divide(median(power, -1), bias)


def _extended(name: str, x: Any, n: int, boundary: Any) -> Any:
    """The signal with n elements more at both ends."""
    if boundary is None:
        return x
    first, last = x[..., :1], x[..., -1:]
    left, right = flip(x[..., 1 : n + 1], -1), flip(x[..., -n - 1 : -1], -1)
    if boundary == "even":
        ends = left, right
    elif boundary == "odd":
        ends = el.subtract(el.multiply(first, 2), left), el.subtract(el.multiply(last, 2), right)
    elif boundary in ("constant", "zeros"):
        shape = (*x.shape[:-1], n)
        factor = 1 if boundary == "constant" else 0
        ends = spread(el.multiply(first, factor), shape), spread(el.multiply(last, factor), shape)
    else:
        raise ValueError(
            f"{name}: boundary is {boundary!r}{errors.at_user_line()}; it is 'even', 'odd', 'constant', 'zeros' or None"
        )
    return concatenate([ends[0], x, ends[1]], -1)


def stft(
    x: Any,
    fs: Any = 1.0,
    window: Any = "hann",
    nperseg: int = 256,
    noverlap: int | None = None,
    nfft: int | None = None,
    detrend: Any = False,
    return_onesided: bool = True,
    boundary: str | None = "zeros",
    padded: bool = True,
    axis: int = -1,
) -> tuple[Any, Any, Any]:
    """Frequencies, times, and the Fourier transforms of short pieces of a signal, (..., frequencies, times).

    Pieces, windows and frequencies are those of `csd`.  The signal is continued at both ends by half a piece: as
    'zeros', by its ends ('constant'), or mirrored ('even', 'odd'); with `padded` zeros make the last piece full.

    >>> import covector.numpy as np
    >>> from covector.scipy import signal
    >>> f, t, z = signal.stft(np.sin(np.arange(100.0)), nperseg=20)
    >>> z.shape, t[:3].tolist()
    ((11, 11), [0.0, 10.0, 20.0])
    """
    (x,), dtype, is_real = _signal("stft", x)
    x = moveaxis(x, axis_of(axis, x.ndim), -1)
    piece, shared, size = _lengths("stft", window, x.shape[-1], nperseg, noverlap, nfft)
    weights = _window("stft", window, piece, dtype)
    onesided = return_onesided and is_real
    x = _extended("stft", x, piece // 2, boundary)
    step = piece - shared
    if padded:
        missing = -(x.shape[-1] - piece) % step
        x = _longer(x, x.shape[-1] + missing)
    found = el.divide(_spectra(x, weights, shared, size, detrend, onesided), reduce.sum(weights))
    middle = 0 if boundary is not None else piece / 2
    times = el.divide(array((np.arange(found.shape[-1]) * step + middle).astype(dtype)), fs)
    if axis not in (-1, found.ndim - 2):
        found = moveaxis(found, -2, axis)
    return _frequencies(size, fs, onesided, dtype), times, found


def istft(
    Zxx: Any,
    fs: Any = 1.0,
    window: Any = "hann",
    nperseg: int | None = None,
    noverlap: int | None = None,
    nfft: int | None = None,
    input_onesided: bool = True,
    boundary: bool = True,
    time_axis: int = -1,
    freq_axis: int = -2,
) -> tuple[Any, Any]:
    """Times, and the signal of which `stft`, with the same arguments, gives `Zxx`; the nearest, if there is none.

    (D. Griffin and J. Lim, "Signal estimation from modified short-time Fourier transform", 1984)

    >>> import covector.numpy as np
    >>> from covector.scipy import signal
    >>> x = np.sin(np.arange(100.0))
    >>> _, back = signal.istft(signal.stft(x, nperseg=20)[2], nperseg=20)
    >>> np.allclose(back, x, atol=1e-5)
    Array(True, dtype=bool)
    """
    z = array(Zxx)
    if z.ndim < 2 or axis_of(time_axis, z.ndim) == axis_of(freq_axis, z.ndim):
        raise ValueError(
            f"istft: Zxx has the shape {z.shape}, freq_axis is {freq_axis} and time_axis {time_axis}"
            f"{errors.at_user_line()}; it needs two axes for them"
        )
    (z,) = together("istft", "inexact", z)
    # The transforms of 16-bit floats are of complex64, and so is all that goes with them.
    z = converted(z, dtypes.complex_of(z.dtype))
    dtype = dtypes.real_of(z.dtype)
    z = moveaxis(z, (time_axis, freq_axis), (-2, -1))
    full = 2 * (z.shape[-1] - 1) if input_onesided else z.shape[-1]
    given = not isinstance(window, str | tuple)
    piece = (array(window).shape[0] if given else full) if nperseg is None else nperseg
    odd = input_onesided and nfft is None and piece == full + 1
    size = full + odd if nfft is None else nfft
    piece, shared, size = _lengths("istft", window, piece, piece, noverlap, size)
    step = piece - shared
    weights = _window("istft", window, piece, dtype)
    parts = fft.irfft(z, size) if input_onesided else fft.ifft(z, size)
    parts = el.multiply(parts[..., :piece], el.multiply(weights, reduce.sum(weights)))
    count = parts.shape[-2]
    at = el.add(el.multiply(arange(count)[:, None], step), arange(piece))
    length = piece + (count - 1) * step
    x = zeros((*parts.shape[:-2], length), parts.dtype).at[..., at].add(parts)
    norm = zeros(length, dtype).at[at].add(spread(el.square(weights), (count, piece)))
    if boundary:
        x, norm = x[..., piece // 2 : length - piece // 2], norm[piece // 2 : length - piece // 2]
    x = el.divide(x, where(el.greater(norm, 1e-10), norm, 1))
    times = el.divide(arange(x.shape[-1], dtype=dtype), fs)
    if z.ndim > 2 and axis_of(time_axis, z.ndim) != z.ndim - 1:
        first, second = axis_of(time_axis, z.ndim), axis_of(freq_axis, z.ndim)
        x = moveaxis(x, -1, first - (second < first))
    return times, x
