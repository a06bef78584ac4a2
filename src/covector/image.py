"""Images in other sizes and places: names and meanings are those of `jax.image`."""

from __future__ import annotations

import enum
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.base.public import publish
from covector._engine.types import dtypes
from covector.numpy import elementwise as el, reduce
from covector.numpy.creation import asarray, astype, iota
from covector.numpy.linear import contract
from covector.numpy.operands import together
from covector.numpy.precision import Precision
from covector.numpy.promotion import axes_of, lift, shape_of
from covector.numpy.selection import where
from covector.numpy.shape import moveaxis
from covector.numpy.take import take

__all__ = ["ResizeMethod", "resize", "scale_and_translate"]


class ResizeMethod(enum.Enum):
    """How the elements of a resized image are made of those around them.

    >>> from covector import image
    >>> image.ResizeMethod.from_string('bilinear')
    <ResizeMethod.LINEAR: 1>
    """

    NEAREST = 0
    LINEAR = 1
    LANCZOS3 = 2
    LANCZOS5 = 3
    CUBIC = 4
    CUBIC_PYTORCH = 5
    AREA = 6

    @staticmethod
    def from_string(s: str) -> ResizeMethod:
        """The method of this name, such as 'linear' or 'bicubic'; ValueError if there is none.

        >>> from covector import image
        >>> image.ResizeMethod.from_string('lanczos3')
        <ResizeMethod.LANCZOS3: 2>
        """
        if s not in _NAMES:
            raise ValueError(
                f"{s!r} is no method of resizing{errors.at_user_line()}; there are {', '.join(_NAMES)}"
            )
        return _NAMES[s]


_NAMES = {
    "nearest": ResizeMethod.NEAREST,
    "linear": ResizeMethod.LINEAR,
    "bilinear": ResizeMethod.LINEAR,
    "trilinear": ResizeMethod.LINEAR,
    "triangle": ResizeMethod.LINEAR,
    "cubic": ResizeMethod.CUBIC,
    "bicubic": ResizeMethod.CUBIC,
    "tricubic": ResizeMethod.CUBIC,
    "lanczos3": ResizeMethod.LANCZOS3,
    "lanczos5": ResizeMethod.LANCZOS5,
}


# --------------------------------------------------------- how much an element counts, by its distance


def _triangle(x: Any) -> Any:
    return el.maximum(el.subtract(1, x), 0)


def _lanczos(radius: float) -> Callable[[Any], Any]:
    def kernel(x: Any) -> Any:
        return where(el.less(x, radius), el.multiply(el.sinc(x), el.sinc(el.divide(x, radius))), 0)

    return kernel


def _cubic(a: float) -> Callable[[Any], Any]:
    """R. G. Keys, Cubic convolution interpolation for digital image processing, 1981."""

    def kernel(x: Any) -> Any:
        near = x * x * ((a + 2) * x - (a + 3)) + 1
        far = a * (x * (x * (x - 5) + 8) - 4)
        return where(el.less(x, 1), near, where(el.less(x, 2), far, 0))

    return kernel


_KERNELS: dict[ResizeMethod, Callable[[Any], Any]] = {
    ResizeMethod.LINEAR: _triangle,
    ResizeMethod.LANCZOS3: _lanczos(3.0),
    ResizeMethod.LANCZOS5: _lanczos(5.0),
    ResizeMethod.CUBIC: _cubic(-0.5),
    ResizeMethod.CUBIC_PYTORCH: _cubic(-0.75),
}


def _kernel_of(method: ResizeMethod, antialias: bool) -> Callable[[Any], Any]:
    """PyTorch's cubic kernel is Keys' where it blurs."""
    if antialias and method is ResizeMethod.CUBIC_PYTORCH:
        method = ResizeMethod.CUBIC
    return _KERNELS[method]


def _method_of(name: str, method: Any) -> ResizeMethod:
    return method if isinstance(method, ResizeMethod) else ResizeMethod.from_string(method)


def _sizes(shape: Any) -> tuple[int, ...]:
    """A shape, whose dimensions must be known: weights are made of them."""
    return tuple([operator.index(n) for n in shape_of(shape)])


def _weights(
    old: int, new: int, scale: Any, shift: Any, kernel: Callable[[Any], Any], antialias: bool
) -> Any:
    """How much each old element counts in each new one: shape (old, new), columns of sum 1, or 0 outside the image."""
    dtype = scale.dtype
    inverse = el.divide(1, scale)
    wide = el.maximum(inverse, 1) if antialias else 1
    middle = el.subtract(
        el.subtract(
            el.multiply(el.add(iota((new,), dtype, 0), 0.5), inverse), el.multiply(shift, inverse)
        ),
        0.5,
    )
    away = el.abs(el.subtract(middle, prims.expand_dims(iota((old,), dtype, 0), (1,))))
    weights = kernel(el.divide(away, wide))
    total = reduce.sum(weights, 0, keepdims=True)
    least = 1000.0 * float(dtypes.finfo(dtypes.float32).eps)
    there = el.greater(el.abs(total), least)
    weights = where(there, el.divide(weights, where(there, total, 1)), 0)
    inside = el.logical_and(el.greater_equal(middle, -0.5), el.less_equal(middle, old - 0.5))
    return where(inside, weights, 0)


def _areas(old: int, new: int, dtype: np.dtype) -> Any:
    """How much of each new element each old one covers: shape (old, new), columns of sum 1."""
    edges = np.arange(new + 1) * (old / new)
    low = np.maximum(edges[:-1], np.arange(old)[:, None])
    high = np.minimum(edges[1:], np.arange(1, old + 1)[:, None])
    covered = np.maximum(high - low, 0)
    return asarray((covered / covered.sum(0)).astype(dtype))


def _apply(image: Any, axis: int, weights: Any) -> Any:
    """The elements along an axis replaced by their sums with the columns of weights."""
    return moveaxis(contract(image, weights, ((axis,), (0,)), ((), ())), -1, axis)


def scale_and_translate(
    image: Any,
    shape: Any,
    spatial_dims: Sequence[int],
    scale: Any,
    translation: Any,
    method: str | ResizeMethod,
    antialias: bool = True,
    precision: Any = Precision.HIGHEST,
) -> Any:
    """The image scaled and moved along axes, in another shape; 0 where the old one does not reach.

    `scale` and `translation` have one number for each of the axes `spatial_dims`: the element at x comes to
    x * scale + translation.  Smaller images are blurred as much as `antialias` needs.  Methods are 'linear', 'cubic',
    'lanczos3', 'lanczos5'; ValueError for others, and for other lengths of the arguments.

    >>> from covector import image, numpy as cnp
    >>> x = cnp.array([1.0, 2.0, 3.0, 4.0])
    >>> image.scale_and_translate(x, (4,), (0,), cnp.ones(1), cnp.ones(1), 'linear')
    Array([0., 1., 2., 3.], dtype=float32)
    """
    new = _sizes(shape)
    (x,) = together("scale_and_translate", "inexact", image)
    axes = axes_of(tuple(spatial_dims), x.ndim, "spatial_dims")
    chosen = _method_of("scale_and_translate", method)
    if chosen not in _KERNELS:
        raise ValueError(
            f"scale_and_translate with {chosen}{errors.at_user_line()}: only `resize` does this method"
        )
    scale, shift = lift("scale_and_translate", scale), lift("scale_and_translate", translation)
    if len(new) != x.ndim or scale.shape != (len(axes),) or shift.shape != (len(axes),):
        raise ValueError(
            f"scale_and_translate of shape {x.shape} to {new} along {axes}: scale and translation have shapes "
            f"{scale.shape} and {shift.shape}{errors.at_user_line()}; the shapes need one length, and these one number "
            "for each axis"
        )
    scale, shift = together("scale_and_translate", "inexact", scale, shift)
    for i, axis in enumerate(axes):
        weights = _weights(
            x.shape[axis], new[axis], scale[i], shift[i], _kernel_of(chosen, antialias), antialias
        )
        x = _apply(x, axis, astype(weights, x.dtype))
    return x


def resize(
    image: Any,
    shape: Any,
    method: str | ResizeMethod,
    antialias: bool = True,
    precision: Any = Precision.HIGHEST,
) -> Any:
    """The image in another shape, with as many axes; each new element is made of the old ones around its place.

    Methods are 'nearest', 'linear', 'cubic', 'lanczos3', 'lanczos5' and those of `ResizeMethod`.  Smaller images are
    blurred as much as `antialias` needs.  As floats, but for 'nearest'.  ValueError for another number of axes.

    >>> from covector import image, numpy as cnp
    >>> image.resize(cnp.array([1.0, 3.0]), (4,), 'linear')
    Array([1. , 1.5, 2.5, 3. ], dtype=float32)
    """
    new, chosen = _sizes(shape), _method_of("resize", method)
    x = lift("resize", image)
    if len(new) != x.ndim:
        raise ValueError(
            f"resize of shape {x.shape} to {new}{errors.at_user_line()}: the shapes must have one length"
        )
    axes = [i for i in range(x.ndim) if x.shape[i] != new[i]]
    if chosen is ResizeMethod.NEAREST:
        return _nearest(x, new, axes)
    (x,) = together("resize", "inexact", x)
    real = dtypes.real_of(x.dtype)
    wide = real if real.itemsize >= 4 else dtypes.float32
    for axis in axes:
        n, m = x.shape[axis], new[axis]
        if chosen is ResizeMethod.AREA:
            weights = _areas(n, m, wide)
        else:
            scale = wide.type(m / n)
            weights = _weights(
                n, m, lift("resize", scale), wide.type(0), _kernel_of(chosen, antialias), antialias
            )
        x = _apply(x, axis, astype(weights, x.dtype))
    return x


def _nearest(x: Any, new: Sequence[Any], axes: Sequence[int]) -> Any:
    for axis in axes:
        n, m = x.shape[axis], new[axis]
        places = np.floor((np.arange(m, dtype=np.float32) + 0.5) * np.float32(n) / np.float32(m))
        x = take(x, asarray(np.clip(places, 0, max(n - 1, 0)).astype(np.int32)), axis, mode="clip")
    return x


publish(__name__)
