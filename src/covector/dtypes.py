"""dtypes and what is known of them: names and meanings are those of `jax.dtypes`."""

from __future__ import annotations

from typing import Any

import numpy as np

from covector._engine.base.errors import TypePromotionError as TypePromotionError
from covector._engine.base.public import publish
from covector._engine.types.dtypes import (
    PYTHON_SCALARS,
    bits,
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
    result_dtype,
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


def result_type(*args: Any, return_weak_type_flag: bool = False) -> Any:
    """The dtype that an operation on arrays, numbers or dtypes computes in; with the flag, and whether it is weak.

    >>> import covector
    >>> covector.dtypes.result_type(covector.numpy.int8(3), 2.0, return_weak_type_flag=True)
    (dtype('float32'), True)
    """
    found = result_dtype(*args)
    return found if return_weak_type_flag else found[0]


def scalar_type_of(x: Any) -> type:
    """The Python type of a number, of a dtype, or of the elements of an array: bool, int, float or complex.

    TypeError for what is none of these.

    >>> import covector
    >>> from covector import numpy as cnp
    >>> covector.dtypes.scalar_type_of(cnp.array([1.0])), covector.dtypes.scalar_type_of("int4")
    (<class 'float'>, <class 'int'>)
    """
    if type(x) in PYTHON_SCALARS:
        return type(x)
    own = getattr(x, "dtype", None)
    return _PYTHON_TYPES[kind(named_dtype(own if isinstance(own, np.dtype) else x))]


def itemsize_bits(dtype: Any) -> int:
    """How many bits a number of the dtype has; in memory an element takes a byte at least.

    TypeError for what is no dtype.

    >>> import covector
    >>> covector.dtypes.itemsize_bits('bfloat16'), covector.dtypes.itemsize_bits('int4')
    (16, 4)
    """
    return bits(named_dtype(dtype))


publish(__name__)
