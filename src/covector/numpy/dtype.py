"""dtypes as users write them: scalar types, kinds, promotion."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from covector._engine.core.numbers import SCALARS
from covector._engine.core.trace import Tracer
from covector._engine.types import dtypes
from covector._engine.types.dtypes import finfo, iinfo
from covector.numpy.creation import asarray
from covector.numpy.promotion import (
    Array,
    array_it_stands_for,
    is_operand,
    stands_for_array,
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
    "float16",
    "float32",
    "float64",
    "float_",
    "floating",
    "generic",
    "iinfo",
    "inexact",
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
    """The class of the scalar types: each stands for a dtype, and makes arrays of it."""

    dtype: np.dtype

    def __call__(cls, x: Any = 0, /) -> Any:
        """The value as an array of this dtype."""
        return asarray(x, cls.dtype)

    def __eq__(cls, other: object) -> Any:
        return cls is other or (other is not None and cls.dtype == other)

    def __ne__(cls, other: object) -> Any:
        return not cls == other

    def __hash__(cls) -> int:
        return hash(cls.dtype)

    def __instancecheck__(cls, instance: Any) -> Any:
        return isinstance(instance, cls.dtype.type)

    def __repr__(cls) -> str:
        return f"covector.numpy.{cls.__name__}"


def _scalar_type(name: str, dtype: np.dtype) -> ScalarType:
    doc = f"""The dtype {dtype.name}; called, it makes an array of that dtype.

    >>> from covector import numpy as cnp
    >>> cnp.{name}(1).dtype
    dtype({dtype.name if dtype == dtypes.bfloat16 else repr(dtype.name)})
    """
    return ScalarType(name, (), {"dtype": dtype, "__module__": "covector.numpy", "__doc__": doc})


bool_ = bool = _scalar_type("bool_", dtypes.bool_)
int8, int16 = _scalar_type("int8", dtypes.int8), _scalar_type("int16", dtypes.int16)
int32, int64 = _scalar_type("int32", dtypes.int32), _scalar_type("int64", dtypes.int64)
uint8, uint16 = _scalar_type("uint8", dtypes.uint8), _scalar_type("uint16", dtypes.uint16)
uint32, uint64 = _scalar_type("uint32", dtypes.uint32), _scalar_type("uint64", dtypes.uint64)
float16, bfloat16 = (
    _scalar_type("float16", dtypes.float16),
    _scalar_type("bfloat16", dtypes.bfloat16),
)
float32, float64 = _scalar_type("float32", dtypes.float32), _scalar_type("float64", dtypes.float64)
complex64, complex128 = (
    _scalar_type("complex64", dtypes.complex64),
    _scalar_type("complex128", dtypes.complex128),
)
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
    return read(x), False


def result_type(*args: Any) -> np.dtype:
    """The dtype that an operation on these arrays, numbers or dtypes computes in.

    >>> from covector import numpy as cnp
    >>> cnp.result_type(cnp.int32, cnp.float16)
    dtype('float16')
    """
    if not args:
        raise ValueError("result_type needs at least one array or dtype")
    return dtypes.promote(*[_key(x, dtypes.as_dtype) for x in args])[0]


def promote_types(a: Any, b: Any) -> np.dtype:
    """The dtype that two dtypes promote to.

    >>> from covector import numpy as cnp
    >>> cnp.promote_types(cnp.int32, cnp.float16)
    dtype('float16')
    """
    return dtypes.promote(_key(a), _key(b))[0]


def can_cast(from_: Any, to: Any, casting: str = "safe") -> Any:
    """Whether one dtype can be converted to another under NumPy's rule `casting`.

    >>> from covector import numpy as cnp
    >>> cnp.can_cast(cnp.int32, cnp.float64), cnp.can_cast(cnp.float32, cnp.int32)
    (True, False)
    """
    return np.can_cast(_key(from_)[0], dtypes.named_dtype(to), casting=casting)  # type: ignore[arg-type]


_KINDS: dict[Any, str] = {
    np.generic: "biufc",
    np.number: "iufc",
    np.integer: "iu",
    np.signedinteger: "i",
    np.unsignedinteger: "u",
    np.inexact: "fc",
    np.floating: "f",
    np.complexfloating: "c",
    np.bool_: "b",
}


def issubdtype(arg1: Any, arg2: Any) -> Any:
    """Whether a dtype is another one, or of an abstract kind such as `floating` (bfloat16 is).

    >>> from covector import numpy as cnp
    >>> import numpy as np
    >>> cnp.issubdtype(cnp.bfloat16, np.floating)
    True
    """
    if getattr(arg1, "type", None) is prng_key:
        return arg2 in (prng_key, extended, np.generic)
    if arg2 in (prng_key, extended):
        return arg1 in (prng_key, arg2)
    if isinstance(arg1, type) and arg1 in _KINDS and arg1 is not np.bool_:
        return np.issubdtype(arg1, arg2)
    own = dtypes.named_dtype(arg1)
    if isinstance(arg2, type) and arg2 in _KINDS:
        return dtypes.kind(own) in _KINDS[arg2]
    if (
        isinstance(arg2, type)
        and issubclass(arg2, np.generic)
        and np.dtype(arg2) not in dtypes.CODES
    ):
        return False
    return own == dtypes.named_dtype(arg2)


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
    own = dtypes.named_dtype(dtype)
    for k in kind if isinstance(kind, tuple) else (kind,):
        if isinstance(k, str) and k in _NAMED_KINDS:
            if dtypes.kind(own) in _NAMED_KINDS[k]:
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
    return isinstance(x, complex) or getattr(x, "dtype", None) in dtypes.COMPLEX


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
