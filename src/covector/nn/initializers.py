"""Initial weights: functions of (key, shape, dtype)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from covector import random
from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.base.public import boundary, publish
from covector._engine.primitives import linalg as la
from covector._engine.types import dtypes
from covector.numpy import creation, elementwise as el
from covector.numpy.factors import qr
from covector.numpy.promotion import shape_of
from covector.numpy.shape import moveaxis, reshape

__all__ = [
    "Initializer",
    "constant",
    "delta_orthogonal",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "kaiming_normal",
    "kaiming_uniform",
    "lecun_normal",
    "lecun_uniform",
    "normal",
    "ones",
    "orthogonal",
    "truncated_normal",
    "uniform",
    "variance_scaling",
    "xavier_normal",
    "xavier_uniform",
    "zeros",
]

Axes = int | Sequence[int]


class Initializer(Protocol):
    """What the functions here return: from a key, a shape and a dtype to an array."""

    def __call__(
        self, key: Any, shape: Any, dtype: Any = None, out_sharding: Any = None
    ) -> Any: ...


# The standard deviation of normal numbers cut off at -2 and 2, real and complex.
_CUT_OFF, _CUT_OFF_COMPLEX = 0.87962566103423978, 0.95311164380491208


def zeros(key: Any, shape: Any, dtype: Any = None, out_sharding: Any = None) -> Any:
    """Zeros.

    An initializer itself: `key` is not used.

    >>> from covector import nn, random
    >>> nn.initializers.zeros(random.key(0), (2,))
    Array([0., 0.], dtype=float32)
    """
    return creation.zeros(shape, dtype)


def ones(key: Any, shape: Any, dtype: Any = None, out_sharding: Any = None) -> Any:
    """Ones.

    An initializer itself: `key` is not used.

    >>> from covector import nn, random
    >>> nn.initializers.ones(random.key(0), (2,))
    Array([1., 1.], dtype=float32)
    """
    return creation.ones(shape, dtype)


def _wanted(dtype: Any) -> np.dtype:
    return dtypes.or_default(dtype)


def constant(value: Any, dtype: Any = None) -> Initializer:
    """An initializer that gives one value everywhere.

    It is called with a key, a shape and a dtype.

    >>> from covector import nn, random
    >>> nn.initializers.constant(2.0)(random.key(0), (2,))
    Array([2., 2.], dtype=float32)
    """

    @boundary
    def init(key: Any, shape: Any, dtype: Any = dtype, out_sharding: Any = None) -> Any:
        return creation.full(shape, value, _wanted(dtype))

    return init


def uniform(scale: Any = 1e-2, dtype: Any = None) -> Initializer:
    """An initializer with numbers spread evenly over [0, scale).

    It is called with a key, a shape and a dtype.

    >>> from covector import nn, random
    >>> nn.initializers.uniform()(random.key(0), (2,)).shape
    (2,)
    """

    @boundary
    def init(key: Any, shape: Any, dtype: Any = dtype, out_sharding: Any = None) -> Any:
        wanted = _wanted(dtype)
        return el.multiply(random.uniform(key, shape, wanted), creation.asarray(scale, wanted))

    return init


def normal(stddev: Any = 1e-2, dtype: Any = None) -> Initializer:
    """An initializer with normal numbers of this standard deviation.

    It is called with a key, a shape and a dtype.

    >>> from covector import nn, random
    >>> nn.initializers.normal()(random.key(0), (2,)).shape
    (2,)
    """

    @boundary
    def init(key: Any, shape: Any, dtype: Any = dtype, out_sharding: Any = None) -> Any:
        wanted = _wanted(dtype)
        return el.multiply(random.normal(key, shape, wanted), creation.asarray(stddev, wanted))

    return init


def truncated_normal(
    stddev: Any = 1e-2, dtype: Any = None, lower: Any = -2.0, upper: Any = 2.0
) -> Initializer:
    """An initializer with normal numbers of this standard deviation, cut off at `lower` and `upper` of them.

    It is called with a key, a shape and a dtype.

    >>> from covector import nn, random
    >>> nn.initializers.truncated_normal()(random.key(0), (2,)).shape
    (2,)
    """

    @boundary
    def init(key: Any, shape: Any, dtype: Any = dtype, out_sharding: Any = None) -> Any:
        wanted = _wanted(dtype)
        sample = random.truncated_normal(key, lower, upper, shape, wanted)
        return el.multiply(sample, creation.asarray(stddev, wanted))

    return init


def _product(shape: Sequence[int], axes: Axes) -> int:
    return shape[axes] if isinstance(axes, int) else math.prod(shape[i] for i in axes)


def _fans(
    shape: tuple[int, ...], in_axis: Axes, out_axis: Axes, batch_axis: Axes
) -> tuple[float, float]:
    """How many inputs each output has, and how many outputs each input."""
    if in_axis == -2 and len(shape) <= 1:
        raise ValueError(
            f"an initializer that scales by the number of inputs got shape {shape}{errors.at_user_line()}; it needs at "
            "least two axes, or in_axis"
        )
    sizes = [_product(shape, axes) for axes in (in_axis, out_axis, batch_axis)]
    field = math.prod(shape) / math.prod(sizes)
    return sizes[0] * field, sizes[1] * field


_DENOMINATORS: dict[str, Callable[[float, float], float]] = {
    "fan_in": lambda i, o: i,
    "fan_out": lambda i, o: o,
    "fan_avg": lambda i, o: (i + o) / 2,
    "fan_geo_avg": lambda i, o: (i * o) ** 0.5,
}


def variance_scaling(
    scale: Any,
    mode: str,
    distribution: str,
    in_axis: Axes = -2,
    out_axis: Axes = -1,
    batch_axis: Axes = (),
    dtype: Any = None,
) -> Initializer:
    """An initializer whose variance is scale / n, where n is the number of inputs or outputs, or their mean.

    `mode` is 'fan_in', 'fan_out', 'fan_avg' or 'fan_geo_avg'; `distribution` 'truncated_normal', 'normal' or
    'uniform'.  ValueError for others.

    >>> from covector import nn, random
    >>> init = nn.initializers.variance_scaling(1.0, 'fan_in', 'normal')
    >>> init(random.key(0), (3, 2)).shape
    (3, 2)
    """
    if mode not in _DENOMINATORS:
        raise ValueError(
            f"variance_scaling: mode is one of {', '.join(_DENOMINATORS)}, not {mode!r}"
        )
    if distribution not in ("truncated_normal", "normal", "uniform"):
        raise ValueError(f"variance_scaling: there is no distribution {distribution!r}")

    @boundary
    def init(key: Any, shape: Any, dtype: Any = dtype, out_sharding: Any = None) -> Any:
        wanted = _wanted(dtype)
        sizes = shape_of(shape)
        number = _DENOMINATORS[mode](*_fans(sizes, in_axis, out_axis, batch_axis))  # type: ignore[arg-type]
        variance = wanted.type(scale / number)
        sample, spread = _standard(distribution, key, sizes, wanted)
        return el.multiply(
            sample, wanted.type(np.sqrt(variance * wanted.type(spread[0])) / wanted.type(spread[1]))
        )

    return init


def _standard(
    distribution: str, key: Any, shape: Any, dtype: np.dtype
) -> tuple[Any, tuple[float, float]]:
    """A sample, and the (factor of the variance, divisor of the deviation) that make its variance 1."""
    if distribution == "normal":
        return random.normal(key, shape, dtype), (1, 1)
    if dtypes.is_complex(dtype):
        cut = distribution == "truncated_normal"
        return _complex(key, shape, dtype, 2.0 if cut else None), (
            1,
            _CUT_OFF_COMPLEX if cut else 1,
        )
    if distribution == "uniform":
        return random.uniform(key, shape, dtype, -1), (3, 1)
    return random.truncated_normal(key, -2, 2, shape, dtype), (1, _CUT_OFF)


def _complex(key: Any, shape: Any, dtype: np.dtype, upper: float | None) -> Any:
    """Complex numbers with random angles; uniform in the disk, or normal and cut off at `upper`."""
    for_size, for_angle = random.split(key)
    real = dtypes.real_of(dtype)
    u = random.uniform(for_size, shape, real)
    if upper is None:
        size = el.sqrt(el.multiply(u, 2.0))
    else:
        size = el.sqrt(
            el.negative(el.log(el.subtract(1.0, el.multiply(u, 1 - math.exp(-(upper**2))))))
        )
    angle = el.multiply(random.uniform(for_angle, shape, real), 2 * math.pi)
    return prims.complex_(el.multiply(size, el.cos(angle)), el.multiply(size, el.sin(angle)))


def _family(
    name: str, scale: float, mode: str, distribution: str, text: str
) -> Callable[..., Initializer]:
    def make(
        in_axis: Axes = -2, out_axis: Axes = -1, batch_axis: Axes = (), dtype: Any = None
    ) -> Initializer:
        return variance_scaling(scale, mode, distribution, in_axis, out_axis, batch_axis, dtype)

    make.__name__ = make.__qualname__ = name
    make.__doc__ = f"""{text}

    The axes in `in_axis` are inputs, those in `out_axis` outputs, those in `batch_axis` neither; what it makes is
    called with
    a key, a shape and a dtype.

    >>> from covector import nn, random
    >>> nn.initializers.{name}()(random.key(0), (3, 2)).shape
    (3, 2)
    """
    return make


glorot_uniform = xavier_uniform = _family(
    "glorot_uniform",
    1.0,
    "fan_avg",
    "uniform",
    "Glorot's initializer, uniform: variance 2 / (inputs + outputs).",
)
glorot_normal = xavier_normal = _family(
    "glorot_normal",
    1.0,
    "fan_avg",
    "truncated_normal",
    "Glorot's initializer, normal: variance 2 / (inputs + outputs).",
)
lecun_uniform = _family(
    "lecun_uniform", 1.0, "fan_in", "uniform", "LeCun's initializer, uniform: variance 1 / inputs."
)
lecun_normal = _family(
    "lecun_normal",
    1.0,
    "fan_in",
    "truncated_normal",
    "LeCun's initializer, normal: variance 1 / inputs.",
)
he_uniform = kaiming_uniform = _family(
    "he_uniform", 2.0, "fan_in", "uniform", "He's initializer, uniform: variance 2 / inputs."
)
he_normal = kaiming_normal = _family(
    "he_normal", 2.0, "fan_in", "truncated_normal", "He's initializer, normal: variance 2 / inputs."
)


def orthogonal(scale: Any = 1.0, column_axis: int = -1, dtype: Any = None) -> Initializer:
    """Matrices with orthonormal rows or columns, whichever are fewer, times `scale` (Saxe et al. 2014).

    Columns run along `column_axis`, rows over all other axes.  ValueError for a shape of fewer than two axes.

    >>> from covector import nn, numpy as cnp, random
    >>> w = nn.initializers.orthogonal()(random.key(0), (4, 2))
    >>> bool(cnp.allclose(w.T @ w, cnp.eye(2), atol=1e-5))
    True
    """

    @boundary
    def init(key: Any, shape: Any, dtype: Any = dtype, out_sharding: Any = None) -> Any:
        shape = _at_least_matrix("orthogonal", shape)
        columns = shape[column_axis]
        rows = math.prod(shape) // columns
        wanted = _wanted(dtype)
        q, r = qr(random.normal(key, (max(rows, columns), min(rows, columns)), wanted))
        # Signs as they come from a factorization are not at random.
        q = el.multiply(q, el.sign(la.take_diagonal(r)))
        q = la.matrix_transpose(q) if rows < columns else q
        others = list(shape)
        del others[column_axis]
        moved = moveaxis(reshape(q, (*others, columns)), -1, column_axis)
        return el.multiply(moved, wanted.type(scale))

    return init


def delta_orthogonal(scale: Any = 1.0, column_axis: int = -1, dtype: Any = None) -> Initializer:
    """Convolutions that keep the lengths of what they take: an `orthogonal` matrix in the middle, zeros elsewhere.

    Shapes are (..., inputs, outputs) with one to three spatial axes (Xiao et al. 2018).  ValueError for others, or for
    more inputs than outputs.

    >>> from covector import nn, random
    >>> nn.initializers.delta_orthogonal()(random.key(0), (3, 2, 4))[0].sum()
    Array(0., dtype=float32)
    """
    matrix = orthogonal(scale, column_axis, dtype)

    @boundary
    def init(key: Any, shape: Any, dtype: Any = dtype, out_sharding: Any = None) -> Any:
        shape = _at_least_matrix("delta_orthogonal", shape)
        if not 3 <= len(shape) <= 5 or shape[-1] < shape[-2]:
            raise ValueError(
                f"delta_orthogonal takes shapes (..., inputs, outputs) with one to three axes in front and no more "
                f"inputs than outputs, got {shape}{errors.at_user_line()}"
            )
        wanted = _wanted(dtype)
        middle = tuple([(n - 1) // 2 for n in shape[:-2]])
        return creation.zeros(shape, wanted).at[middle].set(matrix(key, shape[-2:], wanted))

    return init


def _at_least_matrix(name: str, shape: Any) -> tuple[int, ...]:
    found = tuple(map(int, shape_of(shape)))
    if len(found) < 2:
        raise ValueError(
            f"{name} takes shapes of two axes or more, got {found}{errors.at_user_line()}"
        )
    return found


publish(__name__)
