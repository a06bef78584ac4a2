"""Products of matrices of few bits, which come with scales, or are rounded to such."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from covector._engine.api.custom import custom_vjp
from covector._engine.base import errors
from covector._engine.base.record import record
from covector._engine.core.trace import typeof
from covector._engine.types import dtypes
from covector.lax.products import DotDimensionNumbers, dot_general
from covector.lax.scaled import scaled_dot
from covector.numpy import elementwise as el, reduce
from covector.numpy.creation import asarray, ones
from covector.numpy.integers import frexp
from covector.numpy.operands import converted
from covector.numpy.promotion import lift
from covector.numpy.selection import clip, where
from covector.numpy.shape import reshape, swapaxes, transpose

__all__ = ["get_scaled_dot_general_config", "scaled_dot_general", "scaled_matmul"]


def scaled_matmul(
    lhs: Any,
    rhs: Any,
    lhs_scales: Any,
    rhs_scales: Any,
    preferred_element_type: Any = np.float32,
) -> Any:
    """The products of stacks of matrices (B, M, K) and (B, N, K) along their last axes, both scaled block by block.

    The scales are (B, M, K1) and (B, N, K2), each for K / K1 or K / K2 neighbouring elements.  Sums are in float32 (or
    above).  TypeError for shapes that do not fit, or a `preferred_element_type` that is no float.

    >>> from covector import nn, numpy as cnp
    >>> x, half = cnp.array([[[1.0, 2.0, 3.0]]]), cnp.array([[[0.5]]])
    >>> nn.scaled_matmul(x, x, half, half)
    Array([[[3.5]]], dtype=float32)
    """
    name = "scaled_matmul"
    xs = [lift(name, x) for x in (lhs, rhs, lhs_scales, rhs_scales)]
    a, b = xs[:2]
    fits = all(x.ndim == 3 and x.shape[0] == a.shape[0] for x in xs)
    if not fits or a.shape[2] != b.shape[2]:
        raise TypeError(
            f"{name} takes (B, M, K), (B, N, K) and their scales (B, M, K1), (B, N, K2), got "
            f"{', '.join(typeof(x).text() for x in xs)}{errors.at_user_line()}"
        )
    wanted = dtypes.as_dtype(preferred_element_type)
    if not dtypes.is_float(wanted):
        raise TypeError(
            f"{name}: preferred_element_type is {wanted.name}{errors.at_user_line()}, but products are floats"
        )
    return scaled_dot(
        a,
        b,
        lhs_scale=xs[2],
        rhs_scale=xs[3],
        dimension_numbers=(((2,), (2,)), ((0,), (0,))),
        preferred_element_type=wanted,
    )


# ------------------------------------------------------------------------------- rounded block by block

Mode = Literal["nvfp4", "mxfp8", "mxfp4"]
# The elements of a block, their dtype, and that of their scale.
_FORMATS: dict[str, tuple[int, str, str]] = {
    "nvfp4": (16, "float4_e2m1fn", "float8_e4m3fn"),
    "mxfp8": (32, "float8_e4m3fn", "float8_e8m0fnu"),
    "mxfp4": (32, "float4_e2m1fn", "float8_e8m0fnu"),
}


@record
class BlockScaleConfig:
    """How an operand is rounded: in which blocks, to which dtype, with a scale of which dtype, and one for all."""

    mode: Mode
    block_size: int
    data_type: np.dtype
    scale_type: np.dtype
    global_scale: Any = None
    infer_only: bool = False


def get_scaled_dot_general_config(mode: Mode, global_scale: Any = None) -> BlockScaleConfig:
    """How `scaled_dot_general` rounds an operand: "nvfp4", "mxfp8" or "mxfp4"; ValueError for another name.

    Blocks of nvfp4 have scales of 8 bits with a fraction, and all of them a `global_scale`; the others powers of two.

    >>> from covector import nn
    >>> nn.get_scaled_dot_general_config("mxfp8").block_size
    32
    """
    if mode not in _FORMATS:
        raise ValueError(
            f"get_scaled_dot_general_config: mode is {mode!r}{errors.at_user_line()}; there are {', '.join(_FORMATS)}"
        )
    size, data, scale = _FORMATS[mode]
    if mode == "nvfp4" and global_scale is None:
        global_scale = ones((1,), dtypes.float32)
    return BlockScaleConfig(mode, size, dtypes.as_dtype(data), dtypes.as_dtype(scale), global_scale)


def scaled_dot_general(
    lhs: Any,
    rhs: Any,
    dimension_numbers: DotDimensionNumbers,
    preferred_element_type: Any = np.float32,
    configs: Sequence[Any] | None = None,
    implementation: Literal["cudnn"] | None = None,
) -> Any:
    """`lax.dot_general` of operands that are rounded block by block along what is summed, as hardware of few bits does.

    `configs` are those of lhs, of rhs, and of what comes back to both in reverse mode, where the derivative is that of
    the product without rounding, and its operands are rounded in turn; without them nothing is rounded.  All
    implementations give the same.  ValueError if blocks do not fit what is summed, TypeError unless there are three
    configurations.

    >>> from covector import nn, numpy as cnp
    >>> x, config = cnp.linspace(0.0, 1.0, 32).reshape(1, 32), nn.get_scaled_dot_general_config("mxfp4")
    >>> nn.scaled_dot_general(x, cnp.ones((1, 32)), (((1,), (1,)), ((), ())), configs=[config] * 3)
    Array([[16.]], dtype=float32)
    """
    name = "scaled_dot_general"
    x, y = lift(name, lhs), lift(name, rhs)
    wanted = dtypes.as_dtype(preferred_element_type)
    if implementation not in (None, "cudnn"):
        raise ValueError(
            f"{name}: implementation is None or 'cudnn', not {implementation!r}{errors.at_user_line()}"
        )
    if configs is None:
        return dot_general(x, y, dimension_numbers, preferred_element_type=wanted)
    if len(configs) != 3 or not all(isinstance(c, BlockScaleConfig) for c in configs):
        raise TypeError(
            f"{name}: configs are three of get_scaled_dot_general_config, not {configs!r}{errors.at_user_line()}"
        )
    (left, right), (left_batch, right_batch) = dimension_numbers
    out = _shape_of_product(x, y, dimension_numbers)
    x, y = _in_stacks(x, left_batch, left), _in_stacks(y, right_batch, right)
    return converted(reshape(_rounded_product(x, y, *configs), out), wanted)


def _shape_of_product(x: Any, y: Any, numbers: DotDimensionNumbers) -> tuple[Any, ...]:
    (left, right), (left_batch, right_batch) = numbers
    own = [n for a, n in enumerate(x.shape) if a not in (*left, *left_batch)]
    others = [n for a, n in enumerate(y.shape) if a not in (*right, *right_batch)]
    return (*[x.shape[a] for a in left_batch], *own, *others)


def _in_stacks(x: Any, batch: Sequence[int], summed: Sequence[int]) -> Any:
    """As (stacks, rows, what is summed)."""
    rows = [a for a in range(x.ndim) if a not in (*batch, *summed)]
    sizes = [math.prod(x.shape[a] for a in axes) for axes in (batch, rows, summed)]
    return converted(reshape(transpose(x, (*batch, *rows, *summed)), sizes), dtypes.float32)


def _rounded_product(
    x: Any, y: Any, left: BlockScaleConfig, right: BlockScaleConfig, back: BlockScaleConfig
) -> Any:
    """The products of stacks of rows, both rounded."""

    def times(x: Any, y: Any) -> Any:
        return dot_general(x, y, (((2,), (2,)), ((0,), (0,))))

    @custom_vjp
    def product(x: Any, y: Any) -> Any:
        return times(_rounded(x, left), _rounded(y, right))

    def forward(x: Any, y: Any) -> Any:
        return product(x, y), (x, y)

    def backward(kept: Any, g: Any) -> Any:
        x, y, turned = *[swapaxes(v, 1, 2) for v in kept], swapaxes(g, 1, 2)
        return (
            times(_rounded(g, back), _rounded(y, right)),
            times(_rounded(turned, back), _rounded(x, left)),
        )

    product.defvjp(forward, backward)
    return product(x, y)


def _rounded(x: Any, config: BlockScaleConfig) -> Any:
    """float32 rounded to a format in blocks along the last axis, as float32."""
    size, count = config.block_size, x.shape[-1]
    if count % size != 0:
        raise ValueError(
            f"scaled_dot_general: blocks of {size} along an axis of {count}{errors.at_user_line()}, which are not so "
            "many whole ones"
        )
    blocks = reshape(x, (*x.shape[:-1], count // size, size))
    most = float(dtypes.finfo(config.data_type).max)
    scale = el.divide(reduce.max(el.absolute(blocks), -1, keepdims=True), most)
    if config.scale_type == dtypes.as_dtype("float8_e8m0fnu"):
        fraction, exponent = frexp(scale)  # the next power of two above, or the same
        exponent = where(el.equal(fraction, 0.5), el.subtract(exponent, 1), exponent)
        scale = el.ldexp(ones((), dtypes.float32), clip(exponent, -127, 127))
    else:
        largest = asarray(dtypes.finfo(config.scale_type).max, dtypes.float32)
        over = 1.0 if config.global_scale is None else config.global_scale
        scale = el.minimum(el.divide(scale, over), largest)
        scale = el.multiply(converted(converted(scale, config.scale_type), dtypes.float32), over)
    none = el.equal(scale, 0)
    inside = clip(el.divide(blocks, where(none, 1.0, scale)), -most, most)
    few = converted(converted(inside, config.data_type), dtypes.float32)
    return reshape(el.multiply(few, scale), x.shape)
