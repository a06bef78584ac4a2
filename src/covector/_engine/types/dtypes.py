"""dtypes, the promotion lattice, weak types.

A dtype is a NumPy dtype (bfloat16 and the narrow ones from `ml_dtypes`).  Python's scalars have weak types: they
follow the arrays they meet.  The lattice is JAX's (its document "Type promotion semantics").
"""

from __future__ import annotations

import functools
import warnings
from typing import Any

import ml_dtypes
import numpy as np

from covector._engine import _native
from covector._engine.base import errors
from covector._engine.base.config import config
from covector._engine.types import dims, narrow

bool_ = np.dtype(np.bool_)
int8, int16, int32, int64 = (np.dtype(f"int{n}") for n in (8, 16, 32, 64))
uint8, uint16, uint32, uint64 = (np.dtype(f"uint{n}") for n in (8, 16, 32, 64))
float16, float32, float64 = (np.dtype(f"float{n}") for n in (16, 32, 64))
bfloat16 = np.dtype(ml_dtypes.bfloat16)
complex64, complex128 = np.dtype("complex64"), np.dtype("complex128")
# of the tangents of integers: a NumPy dtype without content
float0 = np.dtype([("float0", np.void, 0)])

# The dtypes that arithmetic is done in.
STANDARD: tuple[np.dtype, ...] = (
    bool_,
    int8,
    int16,
    int32,
    int64,
    uint8,
    uint16,
    uint32,
    uint64,
    float16,
    bfloat16,
    float32,
    float64,
    complex64,
    complex128,
)
# The position in this list is the native core's code of the dtype.
ALL: tuple[np.dtype, ...] = (*STANDARD, *narrow.INTS, *narrow.FLOATS)
CODES: dict[np.dtype, int] = {dtype: code for code, dtype in enumerate(ALL)}
_native.register_dtypes(list(ALL))


def native(dtype: np.dtype) -> np.dtype | None:
    """The dtype itself, in this machine's order of bytes; None if arrays have no such elements."""
    if dtype in CODES:
        return dtype
    code = CODES.get(dtype.newbyteorder("="))
    return None if code is None else ALL[code]


SIGNED = (int8, int16, int32, int64)
UNSIGNED = (uint8, uint16, uint32, uint64)
INTEGERS = SIGNED + UNSIGNED
FLOATS = (float16, bfloat16, float32, float64)
COMPLEX = (complex64, complex128)

SMALL_FLOATS = (float16, bfloat16, *narrow.FLOATS)  # which are computed in float32, and rounded

_KINDS: dict[np.dtype, str] = {
    d: kind
    for kind, members in zip("biufc", ((bool_,), SIGNED, UNSIGNED, FLOATS, COMPLEX), strict=True)
    for d in members
}
_KINDS.update({d: "i" if row.signed else "u" for d, row in narrow.INTS.items()})
_KINDS.update(dict.fromkeys(narrow.FLOATS, "f"))

# The dtype of each kind of Python scalar; `of_number` asks the flag too.
PYTHON_SCALARS: dict[type, np.dtype] = {bool: bool_, int: int32, float: float32, complex: complex64}

# What numbers have in 64 bits.
WIDE: dict[np.dtype, np.dtype] = {int32: int64, float32: float64, complex64: complex128}

# What 64 bits become where they are switched off.
NARROW: dict[np.dtype, np.dtype] = {uint64: uint32, **{wide: own for own, wide in WIDE.items()}}


# -- the three states of the flag `enable_x64`: here, and nowhere else, it is asked what they mean


def canonical(dtype: np.dtype) -> np.dtype:
    """The dtype in which what comes from outside is kept: where `enable_x64` is False, 64 bits become 32."""
    return NARROW.get(dtype, dtype) if config.enable_x64 is False else dtype


def of_number(kind: type) -> np.dtype:
    """The dtype of a kind of Python number, and of what is made without a dtype: 64 bits where `enable_x64` is True."""
    dtype = PYTHON_SCALARS[kind]
    return WIDE.get(dtype, dtype) if config.enable_x64 else dtype


def numpy_numbers_are_weak() -> bool:
    """Whether NumPy's scalars that arithmetic with Python's numbers makes are weak as those are; JAX's are not."""
    return config.enable_x64 is None


def or_default(dtype: Any, kind: type = float) -> np.dtype:
    """A dtype that a user may leave out: then that of numbers of a kind."""
    return of_number(kind) if dtype is None else as_dtype(dtype)


def kind(dtype: np.dtype) -> str:
    """'b', 'i', 'u', 'f' or 'c'.  (NumPy's own `kind` says 'V' for bfloat16.)"""
    return _KINDS[dtype]


def is_float(dtype: np.dtype) -> bool:
    """Whether it is a real floating dtype."""
    return _KINDS[dtype] == "f"


def is_complex(dtype: np.dtype) -> bool:
    """Whether it is a complex dtype."""
    return _KINDS[dtype] == "c"


def is_inexact(dtype: np.dtype) -> bool:
    """Whether it is a floating or complex dtype."""
    return _KINDS[dtype] in "fc"


def is_integer(dtype: np.dtype) -> bool:
    """Whether it is a signed or unsigned integer dtype."""
    return _KINDS[dtype] in "iu"


def is_narrow(dtype: np.dtype) -> bool:
    """Whether it is a type of storage of fewer bits than a byte, or a float of at most 8."""
    return dtype in narrow.INTS or dtype in narrow.FLOATS


def is_small_float(dtype: np.dtype) -> bool:
    """Whether it is a float of 16 bits or fewer."""
    return dtype in SMALL_FLOATS


def bits(dtype: np.dtype) -> int:
    """How many bits a number of this dtype has; an element in memory takes at least a byte."""
    row = narrow.INTS.get(dtype) or narrow.FLOATS.get(dtype)
    return 8 * dtype.itemsize if row is None else row.bits


def computed_in(dtype: np.dtype) -> np.dtype:
    """The dtype of the arithmetic on this one: float32 for smaller floats, bytes for narrow integers, else itself."""
    if dtype in SMALL_FLOATS:
        return float32
    row = narrow.INTS.get(dtype)
    return dtype if row is None else int8 if row.signed else uint8


def lowest(dtype: np.dtype) -> complex:
    """What no number of the dtype is below; complex ones are ordered by their real parts, then by the others."""
    if is_complex(dtype):
        return complex(-np.inf, -np.inf)
    if is_integer(dtype):
        return iinfo(dtype).min
    row = narrow.FLOATS.get(dtype)
    return (
        (-np.inf if row is None or row.has_infinity else float(finfo(dtype).min))
        if is_float(dtype)
        else False
    )


def highest(dtype: np.dtype) -> complex:
    """What no number of the dtype is above, in the same order."""
    if is_complex(dtype):
        return complex(np.inf, np.inf)
    if is_integer(dtype):
        return iinfo(dtype).max
    row = narrow.FLOATS.get(dtype)
    return (
        (np.inf if row is None or row.has_infinity else float(finfo(dtype).max))
        if is_float(dtype)
        else True
    )


def real_of(dtype: np.dtype) -> np.dtype:
    """The dtype of the parts of a complex dtype; a real dtype itself."""
    return {complex64: float32, complex128: float64}.get(dtype, dtype)


def unsigned(width: int) -> np.dtype:
    """The unsigned dtype of so many bits."""
    return named_dtype(f"uint{width}")


def unsigned_of(dtype: np.dtype) -> np.dtype:
    """The unsigned dtype of as many bits as another one has."""
    return unsigned(bits(dtype))


def complex_of(dtype: np.dtype) -> np.dtype:
    """The complex dtype whose parts can hold this one."""
    return complex128 if dtype in (float64, complex128) else complex64


def index_dtype(*lengths: dims.Dim) -> np.dtype:
    """The dtype of positions on axes of these lengths: int32, or int64 where one is too long for that."""
    return int64 if any(type(n) is int and n > 2**31 - 1 for n in lengths) else int32


def position_dtype(*lengths: dims.Dim) -> np.dtype:
    """The dtype of positions that are results: that of numbers, or int64 where an axis is too long for that."""
    return dtype if (dtype := index_dtype(*lengths)) == int64 else of_number(int)


# Those whose names NumPy does not know: types that were registered with it.
EXTENSIONS = {d.name: d for d in ALL if d.isbuiltin == 2}


def as_dtype(x: Any) -> np.dtype:
    """The dtype that a user asks for, as arrays have it: with a warning where it has 64 bits that are switched off."""
    if isinstance(getattr(x, "shape", None), tuple) and not isinstance(x, np.dtype | np.generic):
        raise ValueError(
            f"an array of shape {x.shape} is no dtype{errors.at_user_line()}; its own is array.dtype"
        )
    dtype = named_dtype(x)
    kept = canonical(dtype)
    if kept is not dtype:
        warnings.warn(errors.not_available(dtype.name, kept.name), UserWarning, stacklevel=3)
    return kept


def named_dtype(x: Any) -> np.dtype:
    """The dtype that is meant by `float`, 'int32', np.float64, ...; Python's types mean those of numbers."""
    if isinstance(x, type) and x in PYTHON_SCALARS:
        return of_number(x)
    dtype = getattr(x, "dtype", None)
    if isinstance(x, str) and x in EXTENSIONS:
        return EXTENSIONS[x]
    try:
        result: Any = dtype if isinstance(dtype, np.dtype) else np.dtype(x)
    except TypeError:
        result = None
    if result not in CODES:
        raise TypeError(
            f"{x!r} is not a dtype of arrays{errors.at_user_line()}; they are {', '.join(d.name for d in ALL)}"
        )
    return ALL[CODES[result]]


# The lattice: an edge leads to each dtype that is next above.  "i*", "f*", "c*" are the weak types.
_Node = np.dtype | str
_ABOVE: dict[_Node, tuple[_Node, ...]] = {
    bool_: ("i*",),
    "i*": (uint8, int8),
    uint8: (int16, uint16),
    int8: (int16,),
    uint16: (int32, uint32),
    int16: (int32,),
    uint32: (int64, uint64),
    int32: (int64,),
    uint64: ("f*",),
    int64: ("f*",),
    "f*": (float16, bfloat16, "c*"),
    float16: (float32,),
    bfloat16: (float32,),
    float32: (float64, complex64),
    "c*": (complex64,),
    float64: (complex128,),
    complex64: (complex128,),
    complex128: (),
}
# Narrow types are above the weak type of their kind, and below nothing: beside others they must be converted.
for _dtype in (*narrow.INTS, *narrow.FLOATS):
    _ABOVE["f*" if _dtype in narrow.FLOATS else "i*"] += (_dtype,)
    _ABOVE[_dtype] = ()
_WEAK_NODES: dict[str, str] = {"i": "i*", "u": "i*", "f": "f*", "c": "c*", "b": "b"}
_WEAK_DTYPES: dict[_Node, np.dtype] = {"i*": int32, "f*": float32, "c*": complex64}
_WIDE_DTYPES: dict[_Node, np.dtype] = {"i*": int64, "f*": float64, "c*": complex128}


def inexact_of(dtype: np.dtype) -> np.dtype:
    """The dtype in which functions that need floating numbers take this one: 64 bits stay 64."""
    if is_inexact(dtype):
        return dtype
    return float64 if dtype in (int64, uint64) else float32


@functools.cache
def _reachable(node: _Node) -> frozenset[_Node]:
    return frozenset({node}).union(*(_reachable(n) for n in _ABOVE[node]))


def promote(*types: tuple[np.dtype, bool]) -> tuple[np.dtype, bool]:
    """The (dtype, weak) that operands of these (dtype, weak) take together: the least upper bound.

    Where 64 bits are switched off, what has 32 does not become 64: int32 and uint32 are int32 together.
    """
    return _promote(config.enable_x64, types)


@functools.cache
def _promote(x64: bool | None, types: tuple[tuple[np.dtype, bool], ...]) -> tuple[np.dtype, bool]:
    dtype, weak = _least_upper_bound(types, bool(x64))
    if x64 is False and not any(d in NARROW for d, _ in types):
        return NARROW.get(dtype, dtype), weak
    return dtype, weak


def _least_upper_bound(
    types: tuple[tuple[np.dtype, bool], ...], wide_numbers: bool
) -> tuple[np.dtype, bool]:
    if len({dtype for dtype, _ in types}) == 1:
        return types[0][0], all(weak for _, weak in types)
    nodes: set[_Node] = {
        _WEAK_NODES[kind(dtype)] if weak and dtype != bool_ else dtype for dtype, weak in types
    }
    if all(weak for _, weak in types):  # among weak types a wider default (float64) is kept
        widest = max((d for d, _ in types), key=lambda d: ("biufc".index(kind(d)), d.itemsize))
        return widest, True
    bounds = frozenset.intersection(*(_reachable(n) for n in nodes))
    if not bounds:
        names = [dtype.name + "*" * weak for dtype, weak in types]
        raise errors.TypePromotionError(
            f"the dtypes {' and '.join(names)} have no common dtype{errors.at_user_line()}: narrow types are not "
            "promoted implicitly; convert with x.astype"
        )
    least = next(n for n in bounds if bounds <= _reachable(n))
    if not isinstance(least, str):
        return least, False
    wide = wide_numbers or any(dtype in (int64, uint64) for dtype, weak in types if not weak)
    return (_WIDE_DTYPES if wide else _WEAK_DTYPES)[least], True


def finfo(dtype: Any) -> Any:
    """The machine limits of a floating dtype, or of an array's, as `numpy.finfo`.

    ValueError for a dtype of integers.

    >>> from covector import numpy as cnp
    >>> cnp.finfo(cnp.float32).eps
    np.float32(1.1920929e-07)
    """
    return ml_dtypes.finfo(named_dtype(getattr(dtype, "dtype", dtype)))


def iinfo(dtype: Any) -> Any:
    """The machine limits of an integer dtype, or of an array's, as `numpy.iinfo`.

    ValueError for another dtype.

    >>> from covector import numpy as cnp
    >>> cnp.iinfo(cnp.int8).max
    127
    """
    return ml_dtypes.iinfo(named_dtype(getattr(dtype, "dtype", dtype)))
