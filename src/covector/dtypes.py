"""dtypes and what is known of them: names and meanings are those of `jax.dtypes`."""

from __future__ import annotations

from typing import Any

import numpy as np

from covector._engine.base.errors import TypePromotionError as TypePromotionError
from covector._engine.base.public import publish
from covector._engine.types.dtypes import (
    PYTHON_SCALARS,
    canonical,
    float0 as float0,
    kind,
    named_dtype,
)
from covector.numpy.dtype import (
    bfloat16 as bfloat16,
    extended as extended,
    finfo as finfo,
    iinfo as iinfo,
    issubdtype as issubdtype,
    prng_key as prng_key,
    result_type as result_type,
)

__all__ = [
    "TypePromotionError",
    "bfloat16",
    "canonicalize_dtype",
    "extended",
    "finfo",
    "float0",
    "iinfo",
    "issubdtype",
    "itemsize_bits",
    "prng_key",
    "result_type",
    "scalar_type_of",
]

_PYTHON_TYPES = {"b": bool, "i": int, "u": int, "f": float, "c": complex}


def canonicalize_dtype(dtype: Any, allow_extended_dtype: bool = False) -> np.dtype:
    """The dtype that is meant: float, int and complex mean those of numbers, everything else itself.

    Where `enable_x64` is False, 64 bits become 32.  TypeError for what is no dtype.

    >>> import covector
    >>> covector.dtypes.canonicalize_dtype(float)
    dtype('float32')
    """
    return canonical(named_dtype(dtype))


def scalar_type_of(x: Any) -> type:
    """The Python type of a number, or of the elements of an array: bool, int, float or complex.

    TypeError for what is no array or number.

    >>> import covector
    >>> from covector import numpy as cnp
    >>> covector.dtypes.scalar_type_of(cnp.array([1.0]))
    <class 'float'>
    """
    if type(x) in PYTHON_SCALARS:
        return type(x)
    return _PYTHON_TYPES[kind(x.dtype)]


def itemsize_bits(dtype: Any) -> int:
    """How many bits an element takes.

    >>> import covector
    >>> covector.dtypes.itemsize_bits('bfloat16')
    16
    """
    own = named_dtype(dtype)
    return 1 if kind(own) == "b" else 8 * own.itemsize


publish(__name__)
