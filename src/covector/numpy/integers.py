"""Whole numbers and their bits: common divisors, the parts of floats, bits packed into bytes."""

from __future__ import annotations

from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.api.transforms import vmap
from covector._engine.base import errors
from covector._engine.control.while_ import While
from covector._engine.core.trace import stage, typeof
from covector._engine.types import dtypes
from covector.numpy import elementwise as el, reduce
from covector.numpy.fused import fused
from covector.numpy.operands import together
from covector.numpy.promotion import axis_of, integer_of, lift
from covector.numpy.selection import where
from covector.numpy.shape import broadcast_arrays, cut, moveaxis, ravel, reshape

__all__ = ["frexp", "gcd", "lcm", "packbits", "unpackbits"]


# ---------------------------------------------------------------------------------- common divisors


def _integers(name: str, x1: Any, x2: Any) -> list[Any]:
    """Two arrays of integers in one dtype and shape; TypeError for others."""
    xs = together(name, "any", x1, x2)
    if not dtypes.is_integer(xs[0].dtype):
        raise errors.DtypeError(
            f"{name} takes integers, got {typeof(xs[0]).text()}{errors.at_user_line()}"
        )
    if not all(x.weak_type for x in xs):
        xs = [prims.Convert(x.dtype)(x) if x.weak_type else x for x in xs]
    return list(broadcast_arrays(*xs))


@fused()
def _gcd(x: Any, y: Any) -> Any:
    """Euclid's algorithm, for each pair to its own end."""
    x, y = el.abs(x), el.abs(y)
    zero, aval = x.dtype.type(0), typeof(x).with_shape(())
    condition = stage(lambda a, b: [prims.ne(b, zero)], [aval, aval], "gcd")
    body = stage(lambda a, b: [b, prims.rem(a, b)], [aval, aval], "gcd")
    loop = While(condition, body, 0)
    out = vmap(lambda a, b: loop(a, b)[0])(reshape(x, (-1,)), reshape(y, (-1,)))
    return reshape(out, x.shape)


def gcd(x1: Any, x2: Any) -> Any:
    """The greatest common divisor of whole numbers, not negative; that of 0 and 0 is 0.

    The operands broadcast together.  TypeError unless they are integers.

    >>> from covector import numpy as cnp
    >>> cnp.gcd(cnp.array([12, -9]), 6)
    Array([6, 3], dtype=int32)
    """
    x, y = _integers("gcd", x1, x2)
    return _gcd(x, y) if x.size else x


def lcm(x1: Any, x2: Any) -> Any:
    """The least common multiple of whole numbers, not negative; 0 if one is 0.

    The operands broadcast together.  TypeError unless they are integers.

    >>> from covector import numpy as cnp
    >>> cnp.lcm(cnp.array([4, 0]), 6)
    Array([12,  0], dtype=int32)
    """
    x, y = _integers("lcm", x1, x2)
    if not x.size:
        return x
    divisor = _gcd(x, y)
    x, y = el.abs(x), el.abs(y)
    return where(
        el.equal(divisor, 0),
        0,
        el.multiply(x, el.floor_divide(y, where(el.equal(divisor, 0), 1, divisor))),
    )


# ------------------------------------------------------------------------------------- parts and bits


def frexp(x: Any, /) -> tuple[Any, Any]:
    """A fraction of at least 1/2 and below 1 in size, and an int32, so that x = fraction * 2**exponent.

    Zeros, infinities and NaN are fractions with the exponent 0.  TypeError for complex numbers.

    >>> from covector import numpy as cnp
    >>> cnp.frexp(cnp.array([3.0, 0.0]))
    (Array([0.75, 0.  ], dtype=float32), Array([2, 0], dtype=int32))
    """
    (x,) = together("frexp", "inexact", x)
    if dtypes.is_complex(x.dtype):
        raise TypeError(f"frexp takes real numbers, got {x.dtype.name}{errors.at_user_line()}")
    if dtypes.is_narrow(x.dtype):
        fraction, exponent = frexp(prims.convert(x, dtypes.float32))
        return prims.convert(fraction, x.dtype), exponent
    info = dtypes.finfo(x.dtype)
    digits, bits = int(info.nmant), 8 * x.dtype.itemsize
    width = bits - 1 - digits
    bias = 2 ** (width - 1) - 1
    unsigned = dtypes.unsigned_of(x.dtype)
    small = el.less(el.abs(x), float(info.smallest_normal))
    wide = el.multiply(x, where(small, float(2**digits), 1.0))  # normal, also if x is not
    pattern = prims.BitcastConvert(unsigned)(prims.stop_gradient(wide))
    field = prims.and_(
        prims.shift_right_logical(pattern, unsigned.type(digits)), unsigned.type(2**width - 1)
    )
    exponent = el.subtract(prims.Convert(dtypes.int32)(field), bias - 1)
    plain = el.logical_and(el.isfinite(x), el.not_equal(x, 0))
    exponent = where(plain, exponent, 0)
    fraction = where(plain, el.ldexp(wide, el.negative(exponent)), x)
    return reduce.strong(fraction), where(
        el.logical_and(small, plain), el.subtract(exponent, digits), exponent
    )


def _bit_order(name: str, bitorder: str) -> np.ndarray:
    """How far each bit of a byte is from the lowest, in order."""
    if bitorder not in ("big", "little"):
        raise ValueError(
            f"{name}: bitorder {bitorder!r}{errors.at_user_line()}; it is 'big' or 'little'"
        )
    places = np.arange(8, dtype=np.uint8)
    return places[::-1] if bitorder == "big" else places


def packbits(a: Any, axis: int | None = None, bitorder: str = "big") -> Any:
    """Eight elements along an axis (or of the flattened array) as the bits of a uint8, 1 where they are not zero.

    The last byte is filled with zeros.  TypeError unless the elements are integers or bool.

    >>> from covector import numpy as cnp
    >>> cnp.packbits(cnp.array([1, 0, 1]))
    Array([160], dtype=uint8)
    """
    a = lift("packbits", a)
    if dtypes.is_inexact(a.dtype):
        raise TypeError(
            f"packbits takes integers or bool, got {a.dtype.name}{errors.at_user_line()}"
        )
    order = _bit_order("packbits", bitorder)
    a, axis = (ravel(a), 0) if axis is None else (a, axis_of(axis, a.ndim))
    rows = prims.Convert(dtypes.uint8)(el.not_equal(moveaxis(a, axis, -1), 0))
    n = rows.shape[-1]
    zeros = (0,) * (rows.ndim - 1)
    rows = prims.Pad((*zeros, 0), (*zeros, -n % 8), (*zeros, 0))(rows, np.uint8(0))
    count = -(-n // 8)
    bits = el.left_shift(
        reshape(rows, (*rows.shape[:-1], count, 8)), lift("packbits", order.copy())
    )
    return moveaxis(reduce.sum(bits, -1, dtype=dtypes.uint8), -1, axis)


def unpackbits(
    a: Any, axis: int | None = None, count: int | None = None, bitorder: str = "big"
) -> Any:
    """The bits of bytes along an axis (or of the flattened array), as uint8; `count` of them.

    A negative count leaves out so many at the end.  TypeError unless the bytes are uint8.

    >>> from covector import numpy as cnp
    >>> cnp.unpackbits(cnp.array([160], cnp.uint8), count=3)
    Array([1, 0, 1], dtype=uint8)
    """
    a = lift("unpackbits", a)
    if a.dtype != dtypes.uint8:
        raise TypeError(f"unpackbits takes uint8, got {a.dtype.name}{errors.at_user_line()}")
    order = _bit_order("unpackbits", bitorder)
    a, axis = (ravel(a), 0) if axis is None else (a, axis_of(axis, a.ndim))
    rows = prims.expand_dims(moveaxis(a, axis, -1), (a.ndim,))
    bits = el.bitwise_and(el.right_shift(rows, lift("unpackbits", order.copy())), np.uint8(1))
    n = 8 * a.shape[axis]
    bits = reshape(bits, (*rows.shape[:-2], n))
    if count is not None:
        wanted = integer_of(count, "count")
        wanted = max(n + wanted, 0) if wanted < 0 else wanted
        last = bits.ndim - 1
        if wanted > n:
            zeros = (0,) * last
            bits = prims.Pad((*zeros, 0), (*zeros, wanted - n), (*zeros, 0))(bits, np.uint8(0))
        else:
            bits = cut(bits, last, 0, wanted)
    return moveaxis(bits, -1, axis)
