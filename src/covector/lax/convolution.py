"""Convolutions, and the numbers that say how they go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.core.trace import typeof
from covector._engine.primitives.conv import ConvDimensionNumbers
from covector._engine.primitives.slide import Slide, window_under
from covector._engine.types import dtypes
from covector._engine.types.dims import Dim, floordiv
from covector.lax.operands import array, preferred_dtype
from covector.lax.padding import Padding, numbers_of, padding_of, sizes_of
from covector.numpy.linear import contract
from covector.numpy.precision import PrecisionLike, check_precision
from covector.numpy.promotion import integer_of

__all__ = [
    "ConvDimensionNumbers",
    "ConvGeneralDilatedDimensionNumbers",
    "conv",
    "conv_dimension_numbers",
    "conv_general_dilated",
    "conv_general_dilated_local",
    "conv_general_dilated_patches",
    "conv_general_permutations",
    "conv_general_shape_tuple",
    "conv_shape_tuple",
    "conv_transpose",
    "conv_transpose_shape_tuple",
    "conv_with_general_padding",
]

ConvGeneralDilatedDimensionNumbers = tuple[str, str, str] | ConvDimensionNumbers | None

# ------------------------------------------------------------------------------------------ dimension numbers


def conv_dimension_numbers(
    lhs_shape: Sequence[int],
    rhs_shape: Sequence[int],
    dimension_numbers: ConvGeneralDilatedDimensionNumbers,
) -> ConvDimensionNumbers:
    """What the axes are: from three strings such as ('NHWC', 'HWIO', 'NHWC'), or from None, which is NCHW and OIHW.

    N is the batch and C are the features; O and I are the kernel's output and input features; other letters are
    spatial axes, in the kernel's order.  TypeError for strings that do not fit.

    >>> from covector import lax
    >>> lax.conv_dimension_numbers((1, 8, 3), (5, 3, 4), ("NHC", "HIO", "NCH")).out_spec
    (0, 1, 2)
    """
    if isinstance(dimension_numbers, ConvDimensionNumbers):
        return ConvDimensionNumbers(*[tuple([int(a) for a in spec]) for spec in dimension_numbers])
    rank = len(lhs_shape)
    if rank != len(rhs_shape):
        raise TypeError(
            f"a convolution needs operands of one number of axes, got {rank} and {len(rhs_shape)}"
            f"{errors.at_user_line()}"
        )
    if dimension_numbers is None:
        return ConvDimensionNumbers(*[tuple(range(rank))] * 3)
    specs = _strings(dimension_numbers)
    if len(specs) != 3 or len(dimension_numbers) != 3:
        raise TypeError(
            f"dimension_numbers of a convolution are three strings, ConvDimensionNumbers or None, got "
            f"{dimension_numbers!r}{errors.at_user_line()}"
        )
    for n, (spec, letters) in enumerate(zip(specs, ("NC", "OI", "NC"), strict=True)):
        _check_spec(f"dimension_numbers[{n}]", spec, letters, specs, rank)
    lhs, rhs, out = specs
    order = [c for c in rhs if c not in "OI"]
    return ConvDimensionNumbers(
        tuple([lhs.index(c) for c in ("N", "C", *order)]),
        tuple([rhs.index(c) for c in ("O", "I", *order)]),
        tuple([out.index(c) for c in ("N", "C", *order)]),
    )


def _strings(values: object) -> list[str]:
    """The strings of a tuple or list."""
    found: list[object] = list(values) if isinstance(values, (tuple, list)) else []
    return [s for s in found if isinstance(s, str)]


def _check_spec(name: str, spec: str, letters: str, specs: Sequence[str], rank: int) -> None:
    """TypeError unless a string names each axis once, these letters and the kernel's spatial ones among them."""
    spatial = set(specs[1]) - {"O", "I"}
    if len(spec) != rank or set(spec) - set(letters) != spatial or len(set(spec)) != len(spec):
        raise TypeError(
            f"{name} of a convolution must be {rank} different letters, {letters[0]} and {letters[1]} and the "
            f"spatial ones of all three, got {spec!r} in {tuple(specs)}{errors.at_user_line()}"
        )


def conv_general_permutations(
    dimension_numbers: ConvGeneralDilatedDimensionNumbers,
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """The axes of operand, kernel and result in the order batch, features, spatial axes.

    >>> from covector import lax
    >>> lax.conv_general_permutations(("NHWC", "HWIO", "NCHW"))
    ((0, 3, 1, 2), (3, 2, 0, 1), (0, 1, 2, 3))
    """
    if dimension_numbers is None:
        raise TypeError(f"conv_general_permutations needs three strings{errors.at_user_line()}")
    shape = (1,) * len(dimension_numbers[0])
    return tuple(conv_dimension_numbers(shape, shape, dimension_numbers))  # type: ignore[return-value]


# ---------------------------------------------------------------------------------------------- convolutions


def conv_general_dilated(
    lhs: Any,
    rhs: Any,
    window_strides: Sequence[int],
    padding: Padding,
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: ConvGeneralDilatedDimensionNumbers = None,
    feature_group_count: int = 1,
    batch_group_count: int = 1,
    precision: PrecisionLike = None,
    preferred_element_type: Any = None,
    out_sharding: Any = None,
) -> Any:
    """Slide the kernel `rhs` over the spatial axes of `lhs`: products of the two, summed over features and places.

    `padding` is 'SAME', 'SAME_LOWER', 'VALID', or (low, high) for each spatial axis; negative numbers cut.
    `lhs_dilation` puts zeros between the operand's elements, `rhs_dilation` between the kernel's.  Zeros around and
    between the operand's elements are multiplied: with an infinite or NaN place of the kernel they make NaN.  Both
    have one dtype, which is the result's too, unless `preferred_element_type` is a wider one.  See
    `conv_dimension_numbers` for which axis is what.  TypeError or ValueError for operands and parameters that do not
    fit.

    >>> from covector import lax, numpy as cnp
    >>> x, kernel = cnp.arange(5.0).reshape(1, 1, 5), cnp.array([[[1.0, 0.0, -1.0]]])
    >>> lax.conv_general_dilated(x, kernel, (1,), "SAME")
    Array([[[-1., -2., -2., -2.,  3.]]], dtype=float32)
    """
    name = "conv_general_dilated"
    check_precision(name, precision)
    x, kernel = array(name, lhs), array(name, rhs)
    numbers = conv_dimension_numbers(x.shape, kernel.shape, dimension_numbers)
    strides = numbers_of(name, "window_strides", window_strides)
    rank = len(strides)
    base = _dilation(name, "lhs_dilation", lhs_dilation, rank)
    spread = _dilation(name, "rhs_dilation", rhs_dilation, rank)
    if isinstance(padding, str) and any(n != 1 for n in base):
        raise ValueError(
            f"{name} with lhs_dilation={base} needs padding as numbers, got {padding!r}{errors.at_user_line()}; "
            "conv_transpose takes names"
        )
    windows = [
        prims.dilated(kernel.shape[a], n - 1)
        for a, n in zip(numbers.rhs_spec[2:], spread, strict=False)
    ]
    around = [x.shape[a] for a in numbers.lhs_spec[2:]]
    pads = padding_of(name, padding, around, windows, strides)
    dtype = preferred_dtype(name, typeof(x).dtype, preferred_element_type)
    groups = integer_of(feature_group_count, "feature_group_count")
    batches = integer_of(batch_group_count, "batch_group_count")
    own = typeof(x).dtype
    if dtypes.is_narrow(own):  # computed in the wider type, by its routine
        wide = dtypes.float32 if dtypes.is_float(own) else dtypes.int32
        x, kernel = prims.convert(x, wide), prims.convert(kernel, wide)
        product = prims.Conv(strides, pads, base, spread, numbers, groups, batches)(x, kernel)
        return prims.convert(product, dtype or own)
    return prims.Conv(strides, pads, base, spread, numbers, groups, batches, dtype)(x, kernel)


def _dilation(name: str, what: str, values: Sequence[int] | None, rank: int) -> tuple[int, ...]:
    return (1,) * rank if values is None else numbers_of(name, what, values)


def conv(
    lhs: Any,
    rhs: Any,
    window_strides: Sequence[int],
    padding: str,
    precision: PrecisionLike = None,
    preferred_element_type: Any = None,
) -> Any:
    """`conv_general_dilated` of NCHW and OIHW, without dilation.

    >>> from covector import lax, numpy as cnp
    >>> lax.conv(cnp.ones((1, 2, 8, 8)), cnp.ones((3, 2, 3, 3)), (2, 2), "SAME").shape
    (1, 3, 4, 4)
    """
    return conv_general_dilated(
        lhs,
        rhs,
        window_strides,
        padding,
        precision=precision,
        preferred_element_type=preferred_element_type,
    )


def conv_with_general_padding(
    lhs: Any,
    rhs: Any,
    window_strides: Sequence[int],
    padding: Padding,
    lhs_dilation: Sequence[int] | None,
    rhs_dilation: Sequence[int] | None,
    precision: PrecisionLike = None,
    preferred_element_type: Any = None,
) -> Any:
    """`conv_general_dilated` of NCHW and OIHW.

    >>> from covector import lax, numpy as cnp
    >>> x, kernel = cnp.ones((1, 2, 8)), cnp.ones((3, 2, 3))
    >>> lax.conv_with_general_padding(x, kernel, (1,), [(1, 1)], (2,), None).shape
    (1, 3, 15)
    """
    return conv_general_dilated(
        lhs,
        rhs,
        window_strides,
        padding,
        lhs_dilation,
        rhs_dilation,
        precision=precision,
        preferred_element_type=preferred_element_type,
    )


_TRANSPOSED = {
    2: ("NC", "IO", "NC"),
    3: ("NHC", "HIO", "NHC"),
    4: ("NHWC", "HWIO", "NHWC"),
    5: ("NHWDC", "HWDIO", "NHWDC"),
}


def conv_transpose(
    lhs: Any,
    rhs: Any,
    strides: Sequence[int],
    padding: Padding,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: ConvGeneralDilatedDimensionNumbers = None,
    transpose_kernel: bool = False,
    precision: PrecisionLike = None,
    preferred_element_type: Any = None,
    use_consistent_padding: bool = False,
) -> Any:
    """A convolution over an operand whose elements are `strides` apart: the result is so many times as long.

    'SAME' gives the operand's sizes times the strides.  Numbers pad the operand; with `use_consistent_padding` they
    are those of the convolution whose transpose this is.  `transpose_kernel` takes the kernel of that convolution:
    its features exchanged, its places backwards.  Without `dimension_numbers` the features are the last axis.

    >>> from covector import lax, numpy as cnp
    >>> lax.conv_transpose(cnp.ones((1, 5, 5, 2)), cnp.ones((3, 3, 2, 4)), (2, 2), "SAME").shape
    (1, 10, 10, 4)
    """
    name = "conv_transpose"
    x, kernel = array(name, lhs), array(name, rhs)
    if dimension_numbers is None:
        if x.ndim not in _TRANSPOSED:
            raise ValueError(
                f"{name} of {typeof(x).text()} needs dimension_numbers{errors.at_user_line()}"
            )
        dimension_numbers = _TRANSPOSED[x.ndim]
    numbers = conv_dimension_numbers(x.shape, kernel.shape, dimension_numbers)
    steps = numbers_of(name, "strides", strides)
    spread = _dilation(name, "rhs_dilation", rhs_dilation, len(steps))
    places = numbers.rhs_spec[2:]
    windows = [prims.dilated(kernel.shape[a], n - 1) for a, n in zip(places, spread, strict=False)]
    if isinstance(padding, str):
        pads = [_transposed_padding(k, s, padding) for k, s in zip(windows, steps, strict=True)]
    else:
        pads = list(padding_of(name, padding, (), windows, steps))
        if use_consistent_padding:
            pads = [
                (k - 1 - low, k - 1 - high) for k, (low, high) in zip(windows, pads, strict=True)
            ]
    if transpose_kernel:
        kernel = prims.Reverse(places)(kernel) if places else kernel
        made, taken = numbers.rhs_spec[:2]
        numbers = numbers._replace(rhs_spec=(taken, made, *places))
    return conv_general_dilated(
        x,
        kernel,
        (1,) * len(steps),
        pads,
        steps,
        spread,
        numbers,
        precision=precision,
        preferred_element_type=preferred_element_type,
    )


def _transposed_padding(window: Dim, stride: int, padding: str) -> tuple[Dim, Dim]:
    """The padding of a transposed convolution by name."""
    kind = padding.upper()
    if kind not in ("SAME", "VALID"):
        raise ValueError(
            f"conv_transpose: padding is 'SAME', 'VALID' or numbers, got {padding!r}{errors.at_user_line()}"
        )
    if kind == "VALID":
        total = window + stride - 2 + max(window - stride, 0)  # type: ignore[type-var,operator]
        low = window - 1
    else:
        total = window + stride - 2
        low = window - 1 if stride > window - 1 else -(-total // 2)  # type: ignore[operator]
    return low, total - low


# ----------------------------------------------------------------------------------------------------- patches


def conv_general_dilated_patches(
    lhs: Any,
    filter_shape: Sequence[int],
    window_strides: Sequence[int],
    padding: Padding,
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: ConvGeneralDilatedDimensionNumbers = None,
    precision: PrecisionLike = None,
    preferred_element_type: Any = None,
) -> Any:
    """What lies under a kernel of this shape wherever it is: features, times the kernel's places, features first.

    The parameters are those of `conv_general_dilated`; in `dimension_numbers` the kernel's letters count only for the
    order of the spatial axes.

    >>> from covector import lax, numpy as cnp
    >>> lax.conv_general_dilated_patches(cnp.arange(4.0).reshape(1, 1, 4), (2,), (1,), "VALID")
    Array([[[0., 1., 2.],
            [1., 2., 3.]]], dtype=float32)
    """
    name = "conv_general_dilated_patches"
    check_precision(name, precision)
    x = array(name, lhs)
    numbers = conv_dimension_numbers(x.shape, (1,) * x.ndim, dimension_numbers)
    shape = numbers_of(name, "filter_shape", filter_shape)
    strides = numbers_of(name, "window_strides", window_strides)
    base = _dilation(name, "lhs_dilation", lhs_dilation, len(strides))
    spread = _dilation(name, "rhs_dilation", rhs_dilation, len(strides))
    sizes = [x.shape[a] for a in numbers.lhs_spec[2:]]
    if not len(sizes) == len(shape) == len(strides) == len(base) == len(spread):
        raise ValueError(
            f"{name} of {typeof(x).text()} needs filter_shape, window_strides and dilations for each of its "
            f"{len(sizes)} spatial axes{errors.at_user_line()}"
        )
    windows = [prims.dilated(k, n - 1) for k, n in zip(shape, spread, strict=True)]
    pads = padding_of(name, padding, sizes, windows, strides)
    slides = [
        Slide(n, k, stride, low, high, apart, wide)
        for n, k, stride, (low, high), apart, wide in zip(
            sizes, shape, strides, pads, base, spread, strict=True
        )
    ]
    prims.check_slides(name, slides)
    dtype = preferred_dtype(name, typeof(x).dtype, preferred_element_type)
    x = prims.Transpose(numbers.lhs_spec)(prims.convert(x, dtype or typeof(x).dtype))
    found = window_under(x, slides, 2)  # batch, features, places, spatial axes
    batch, features, count, *counts = typeof(found).shape
    found = prims.Reshape((batch, features * count, *counts))(found)
    return prims.Transpose(prims.inverse_permutation(numbers.out_spec))(found)


def conv_general_dilated_local(
    lhs: Any,
    rhs: Any,
    window_strides: Sequence[int],
    padding: Padding,
    filter_shape: Sequence[int],
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: ConvGeneralDilatedDimensionNumbers = None,
    precision: PrecisionLike = None,
) -> Any:
    """A convolution with a kernel of its own at each place of the result.

    The kernel's input features are the operand's times the places of `filter_shape`, as in
    `conv_general_dilated_patches`; its spatial axes are the result's.

    >>> from covector import lax, numpy as cnp
    >>> kernels = cnp.ones((1, 2, 3)) * cnp.arange(3.0)
    >>> lax.conv_general_dilated_local(cnp.ones((1, 1, 4)), kernels, (1,), "VALID", (2,))
    Array([[[0., 2., 4.]]], dtype=float32)
    """
    name = "conv_general_dilated_local"
    x, kernel = array(name, lhs), array(name, rhs)
    numbers = conv_dimension_numbers(x.shape, kernel.shape, dimension_numbers)
    patches = conv_general_dilated_patches(
        x, filter_shape, window_strides, padding, lhs_dilation, rhs_dilation, numbers, precision
    )
    (batch, features, *places), (_, taken, *kernels) = numbers.out_spec, numbers.rhs_spec
    out = contract(
        patches, kernel, ((features,), (taken,)), (tuple(places), tuple(kernels)), None
    )  # spatial axes, batch, features
    spatial = tuple(range(len(places)))
    first = prims.Transpose((len(places), len(places) + 1, *spatial))(out)
    return prims.Transpose(prims.inverse_permutation((batch, features, *places)))(first)


# ------------------------------------------------------------------------------------------------------ shapes


def conv_shape_tuple(
    lhs_shape: Sequence[Dim],
    rhs_shape: Sequence[Dim],
    strides: Sequence[int],
    pads: Padding,
    batch_group_count: int = 1,
) -> tuple[int, ...]:
    """The shape of a convolution of NCHW and OIHW: dilations are in the shapes already.

    >>> from covector import lax
    >>> lax.conv_shape_tuple((1, 2, 8, 8), (5, 2, 3, 3), (2, 2), "SAME")
    (1, 5, 4, 4)
    """
    lhs, rhs = sizes_of(lhs_shape), sizes_of(rhs_shape)
    ends = padding_of("conv_shape_tuple", pads, lhs[2:], rhs[2:], strides)
    counts = [
        Slide(n, k, stride, low, high).count
        for n, k, stride, (low, high) in zip(lhs[2:], rhs[2:], strides, ends, strict=True)
    ]
    return floordiv(lhs[0], batch_group_count), rhs[0], *counts  # type: ignore[return-value]


def _shape_with(
    lhs_shape: Sequence[int],
    rhs_shape: Sequence[int],
    dimension_numbers: ConvGeneralDilatedDimensionNumbers,
    count: Callable[[Sequence[Dim], Sequence[Dim]], Sequence[Dim]],
) -> tuple[int, ...]:
    """The shape of a convolution, whose spatial sizes a function of those of the operands gives."""
    lhs, rhs, out = conv_dimension_numbers(lhs_shape, rhs_shape, dimension_numbers)
    around, kernel = sizes_of(lhs_shape), sizes_of(rhs_shape)
    counts = count([around[a] for a in lhs[2:]], [kernel[a] for a in rhs[2:]])
    made = (around[lhs[0]], kernel[rhs[0]], *counts)
    return tuple([made[n] for n in np.argsort(out)])


def conv_general_shape_tuple(
    lhs_shape: Sequence[int],
    rhs_shape: Sequence[int],
    window_strides: Sequence[int],
    padding: Padding,
    dimension_numbers: ConvGeneralDilatedDimensionNumbers,
) -> tuple[int, ...]:
    """The shape of `conv_general_dilated` without dilations.

    >>> from covector import lax
    >>> lax.conv_general_shape_tuple((1, 8, 8, 2), (3, 3, 2, 5), (2, 2), "SAME", ("NHWC", "HWIO", "NHWC"))
    (1, 4, 4, 5)
    """

    def count(around: Sequence[Dim], windows: Sequence[Dim]) -> Sequence[Dim]:
        shapes = (1, 1, *around), (1, 1, *windows)
        return conv_shape_tuple(*shapes, window_strides, padding)[2:]

    return _shape_with(lhs_shape, rhs_shape, dimension_numbers, count)


def conv_transpose_shape_tuple(
    lhs_shape: Sequence[int],
    rhs_shape: Sequence[int],
    window_strides: Sequence[int],
    padding: Padding,
    dimension_numbers: ConvGeneralDilatedDimensionNumbers,
) -> tuple[int, ...]:
    """The shape of `conv_transpose`, without dilation of the kernel.

    >>> from covector import lax
    >>> lax.conv_transpose_shape_tuple((1, 4, 4, 2), (3, 3, 2, 5), (2, 2), "SAME", ("NHWC", "HWIO", "NHWC"))
    (1, 8, 8, 5)
    """

    def count(around: Sequence[Dim], windows: Sequence[Dim]) -> Sequence[Dim]:
        if isinstance(padding, str):
            pads = [
                _transposed_padding(k, s, padding)
                for k, s in zip(windows, window_strides, strict=True)
            ]
        else:
            pads = padding_of(
                "conv_transpose_shape_tuple", padding, around, windows, window_strides
            )
        return [
            Slide(n, k, 1, low, high, stride).count
            for n, k, stride, (low, high) in zip(around, windows, window_strides, pads, strict=True)
        ]  # type: ignore[return-value]

    return _shape_with(lhs_shape, rhs_shape, dimension_numbers, count)
