"""dtypes as users write them: scalar types, kinds, promotion."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from covector._engine.base import errors
from covector._engine.core.numbers import SCALARS
from covector._engine.core.trace import Tracer
from covector._engine.types import dtypes, narrow
from covector._engine.types.dtypes import finfo, iinfo
from covector.numpy.creation import asarray
from covector.numpy.promotion import (
    Array,
    array_it_stands_for,
    is_operand,
    stands_for_array,
    target,
    type_key,
)

__all__ = [
    "bfloat16",
    "bool",
    "bool_",
    "can_cast",
    "cdouble",
    "character",
    "complex64",
    "complex128",
    "complex_",
    "complexfloating",
    "csingle",
    "double",
    "dtype",
    "finfo",
    "flexible",
    "float4_e2m1fn",
    "float6_e2m3fn",
    "float6_e3m2fn",
    "float8_e3m4",
    "float8_e4m3",
    "float8_e4m3b11fnuz",
    "float8_e4m3fn",
    "float8_e4m3fnuz",
    "float8_e5m2",
    "float8_e5m2fnuz",
    "float8_e8m0fnu",
    "float16",
    "float32",
    "float64",
    "float_",
    "floating",
    "generic",
    "iinfo",
    "inexact",
    "int1",
    "int2",
    "int4",
    "int8",
    "int16",
    "int32",
    "int64",
    "int_",
    "integer",
    "iscomplexobj",
    "isdtype",
    "isrealobj",
    "isscalar",
    "issubdtype",
    "number",
    "object_",
    "promote_types",
    "result_type",
    "signedinteger",
    "single",
    "uint",
    "uint1",
    "uint2",
    "uint4",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "unsignedinteger",
]

dtype = np.dtype
generic, number, inexact, floating, complexfloating = (
    np.generic,
    np.number,
    np.inexact,
    np.floating,
    np.complexfloating,
)
integer, signedinteger, unsignedinteger = np.integer, np.signedinteger, np.unsignedinteger
flexible, character, object_ = np.flexible, np.character, np.object_


class extended:
    """The abstract kind of the dtypes that NumPy does not know: those of random keys.

    >>> import covector
    >>> covector.dtypes.issubdtype(covector.random.key(0).dtype, covector.dtypes.extended)
    True
    """


class prng_key(extended):
    """The abstract kind of the dtypes of random keys.

    >>> import covector
    >>> covector.dtypes.issubdtype(covector.random.key(0).dtype, covector.dtypes.prng_key)
    True
    """


class ScalarType(type):
    """The class of the scalar types: each stands for a dtype, and makes arrays of it.

    A scalar type equals its dtype and NumPy's type of the same elements, and has that type's hash.
    """

    dtype: np.dtype

    def __call__(cls, x: Any) -> Any:
        """The value as an array of this dtype."""
        if isinstance(x, str):
            # Of a text that is no number the narrow floats of ml_dtypes end the process: Python's float reads it.
            narrow = cls.dtype.name in dtypes.EXTENSIONS and not dtypes.is_integer(cls.dtype)
            x = cls.dtype.type(float(x) if narrow else x)
        return asarray(x, cls.dtype)

    def __eq__(cls, other: object) -> Any:
        return cls is other or operator.eq(cls.dtype.type, other)

    def __ne__(cls, other: object) -> Any:
        return not cls == other

    def __hash__(cls) -> int:
        return hash(cls.dtype.type)

    def __instancecheck__(cls, instance: Any) -> Any:
        return isinstance(instance, cls.dtype.type)


def _scalar_type(dtype: np.dtype) -> ScalarType:
    shown = dtype.name if dtype.name in dtypes.EXTENSIONS else repr(dtype.name)
    doc = f"""The dtype {dtype.name}; called, it makes an array of that dtype.

    TypeError for what is no array, number or list of these.

    >>> from covector import numpy as cnp
    >>> cnp.{dtype.name}([0, 1]).dtype
    dtype({shown})
    """
    namespace = {"dtype": dtype, "__module__": "covector.numpy", "__doc__": doc}
    return ScalarType(dtype.name, (), namespace)


bool_ = bool = _scalar_type(dtypes.bool_)
int8, int16, int32, int64 = map(_scalar_type, dtypes.SIGNED)
uint8, uint16, uint32, uint64 = map(_scalar_type, dtypes.UNSIGNED)
float16, bfloat16, float32, float64 = map(_scalar_type, dtypes.FLOATS)
complex64, complex128 = map(_scalar_type, dtypes.COMPLEX)
int1, int2, int4, uint1, uint2, uint4 = map(_scalar_type, narrow.INTS)
(
    float4_e2m1fn,
    float6_e2m3fn,
    float6_e3m2fn,
    float8_e3m4,
    float8_e4m3,
    float8_e4m3b11fnuz,
    float8_e4m3fn,
    float8_e4m3fnuz,
    float8_e5m2,
    float8_e5m2fnuz,
    float8_e8m0fnu,
) = map(_scalar_type, narrow.FLOATS)
single, double, csingle, cdouble = float32, float64, complex64, complex128
int_, uint, float_, complex_ = int32, uint32, float32, complex64


def _key(x: Any, read: Callable[[Any], np.dtype] = dtypes.named_dtype) -> tuple[np.dtype, Any]:
    """The (dtype, weak) of an array, a number, a dtype, or a type."""
    if isinstance(x, type) and x in dtypes.PYTHON_SCALARS:
        return dtypes.of_number(x), x is not SCALARS[0]
    if is_operand(x):
        return type_key(x)
    if stands_for_array(x):
        return type_key(array_it_stands_for(x))
    own = getattr(x, "dtype", None)
    if isinstance(own, np.dtype) and isinstance(getattr(x, "shape", None), tuple):
        return dtypes.canonical(own), False  # it tells of an array, as a ShapeDtypeStruct does
    return read(x), False


def result_type(*args: Any) -> np.dtype:
    """The dtype that an operation on these arrays, numbers or dtypes computes in.

    >>> from covector import numpy as cnp
    >>> cnp.result_type(cnp.int32, cnp.float16)
    dtype('float16')
    """
    return result_dtype(*args)[0]


def result_dtype(*args: Any) -> tuple[np.dtype, Any]:
    """What `result_type` gives, and whether it is weak."""
    if not args:
        raise ValueError(f"result_type needs at least one array or dtype{errors.at_user_line()}")
    if all(is_of_keys(x) for x in args):
        found, *others = {getattr(x, "dtype", x) for x in args}
        if others:
            raise TypeError(
                f"result_type of {[found, *others]}{errors.at_user_line()}: there is none"
            )
        return found, False
    return target("any", *[_key(x, dtypes.as_dtype) for x in args])


def is_of_keys(x: Any) -> Any:
    """Whether it is an array of keys, or their dtype."""
    return getattr(getattr(x, "dtype", x), "type", None) is prng_key


def promote_types(a: Any, b: Any) -> np.dtype:
    """The dtype that two dtypes promote to.

    >>> from covector import numpy as cnp
    >>> cnp.promote_types(cnp.int32, cnp.float16)
    dtype('float16')
    """
    return target("any", _key(a), _key(b))[0]


def _any_dtype(x: Any) -> np.dtype:
    """The dtype of an array, or that NumPy takes something for, also one that arrays have not; float is 64 bits."""
    own = getattr(x, "dtype", None)
    if isinstance(own, np.dtype):
        return own
    if x is None:
        raise TypeError(f"None is no dtype{errors.at_user_line()}")
    return dtypes.EXTENSIONS[x] if isinstance(x, str) and x in dtypes.EXTENSIONS else np.dtype(x)


def can_cast(from_: Any, to: Any, casting: str = "safe") -> Any:
    """Whether one dtype can be converted to another under NumPy's rule `casting`.

    TypeError for what is no dtype.

    >>> from covector import numpy as cnp
    >>> cnp.can_cast(cnp.int32, cnp.float64), cnp.can_cast(cnp.float32, cnp.int32)
    (True, False)
    """
    pair = [
        dtypes.of_number(x) if isinstance(x, type) and x in dtypes.PYTHON_SCALARS else _any_dtype(x)
        for x in (from_, to)
    ]
    return np.can_cast(pair[0], pair[1], casting=casting)  # type: ignore[arg-type]


# NumPy's abstract types, and the kinds of the dtypes that are of them.
_KINDS: dict[Any, str] = {
    np.generic: "biufc",
    np.number: "iufc",
    np.integer: "iu",
    np.signedinteger: "i",
    np.unsignedinteger: "u",
    np.inexact: "fc",
    np.floating: "f",
    np.complexfloating: "c",
    np.flexible: "",
    np.character: "",
}


def issubdtype(arg1: Any, arg2: Any) -> Any:
    """Whether a dtype is another one, or of an abstract kind such as `floating` (bfloat16 and float8 are).

    `float`, `int` and `complex` mean 64 bits here, as for NumPy.  TypeError for what is no dtype.

    >>> from covector import numpy as cnp
    >>> cnp.issubdtype(cnp.bfloat16, cnp.floating), cnp.issubdtype(cnp.int4, cnp.floating)
    (True, False)
    """
    if getattr(arg1, "type", None) is prng_key:
        return arg2 in (prng_key, extended, np.generic)
    if arg2 in (prng_key, extended):
        return arg1 in (prng_key, arg2)
    if isinstance(arg1, type) and arg1 in _KINDS:
        return isinstance(arg2, type) and arg2 in _KINDS and issubclass(arg1, arg2)
    own = _any_dtype(arg1)
    if own not in dtypes.CODES:
        wanted = arg2 if isinstance(arg2, type) and arg2 in _KINDS else _any_dtype(arg2)
        return np.issubdtype(own, wanted)
    if isinstance(arg2, type) and arg2 in _KINDS:
        return dtypes.kind(own) in _KINDS[arg2]
    return own == _any_dtype(arg2)


_NAMED_KINDS = {
    "bool": "b",
    "signed integer": "i",
    "unsigned integer": "u",
    "integral": "iu",
    "real floating": "f",
    "complex floating": "c",
    "numeric": "iufc",
}


def isdtype(dtype: Any, kind: Any) -> Any:
    """Whether a dtype is of a kind, or one of several: a dtype or one of the array API's names, like 'integral'.

    TypeError for a name that the array API does not have.

    >>> from covector import numpy as cnp
    >>> cnp.isdtype(cnp.float32, ('integral', 'real floating'))
    True
    """
    own = _any_dtype(dtype)
    for k in kind if isinstance(kind, tuple) else (kind,):
        if isinstance(k, str) and k in _NAMED_KINDS:
            if own in dtypes.CODES and dtypes.kind(own) in _NAMED_KINDS[k]:
                return True
        elif own == dtypes.named_dtype(k):
            return True
    return False


def iscomplexobj(x: Any) -> Any:
    """Whether the dtype is complex: that of an array, a number, or of a list of them.

    >>> from covector import numpy as cnp
    >>> cnp.iscomplexobj(cnp.array([1j])), cnp.iscomplexobj([1.0])
    (True, False)
    """
    if isinstance(x, list | tuple):
        return dtypes.is_complex(asarray(x).dtype)
    if isinstance(x, type | np.dtype):
        return dtypes.is_complex(_key(x)[0])
    return isinstance(x, complex) or getattr(getattr(x, "dtype", None), "kind", "") == "c"


def isrealobj(x: Any) -> Any:
    """Whether the dtype is not complex.

    >>> from covector import numpy as cnp
    >>> cnp.isrealobj(cnp.array([1j])), cnp.isrealobj([1.0])
    (False, True)
    """
    return not iscomplexobj(x)


def isscalar(element: Any) -> Any:
    """Whether it is a number, or an array of shape ().

    >>> from covector import numpy as cnp
    >>> cnp.isscalar(3), cnp.isscalar(cnp.array([3]))
    (True, False)
    """
    if type(element) is Array or isinstance(element, Tracer | np.ndarray):
        return len(element.shape) == 0
    return np.isscalar(element)
