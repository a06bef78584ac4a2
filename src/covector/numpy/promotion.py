"""Operands: what counts as an array, the dtype that several take together, how their shapes fit."""

from __future__ import annotations

import operator
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import Any, Literal

import numpy as np

from covector._engine import _native, primitives as prims
from covector._engine.base import errors
from covector._engine.base.config import config
from covector._engine.core import trace
from covector._engine.core.numbers import (
    NUMBERS,
    SCALARS,
    entered,
    number,
    number_type,
    plain_number,
)
from covector._engine.core.trace import Tracer, typeof
from covector._engine.types import conversion, dtypes
from covector._engine.types.avals import ShapedArray
from covector._engine.types.dims import Dim, Polynomial

Array = _native.Array
Shape = tuple[Dim, ...]
TypeKey = tuple[np.dtype, bool]  # dtype, weak

# What an operation makes of the operands' common dtype: nothing; bool counts as int32; and as
# floats, integers too.  Or they meet a Python number in it: of an int, bool becomes weak integers
# (which count as floats in the last of these), of a float, integers become weak floats.
Kind = Literal["any", "numeric", "inexact", "with int", "with float", "inexact with int"]
_MET: dict[Kind, type] = {"with int": int, "with float": float, "inexact with int": int}

OPERAND_TYPES = (Tracer, np.ndarray, np.generic, *SCALARS)  # and Array itself: see `is_operand`


def own(x: Any) -> Any:
    """A second array, of the same memory if it is ours: deleting or donating the one leaves the other."""
    return x.__copy__() if type(x) is Array else x


def target(kind: Kind, *types: TypeKey) -> TypeKey:
    """The (dtype, weak) in which an operation of this kind computes on operands of these.

    TypePromotionError if the flag `numpy_dtype_promotion` is "strict" and they do not have one dtype.
    """
    if config.numpy_dtype_promotion == "strict":
        _check_strict(types)
    if kind in _MET:
        types = (*types, (dtypes.of_number(_MET[kind]), True))
    dtype, weak = dtypes.promote(*types)
    if kind == "numeric" and dtype == dtypes.bool_:
        return dtypes.int32, weak
    return dtypes.inexact_of(dtype) if kind.startswith("inexact") else dtype, weak


def _check_strict(types: Sequence[TypeKey]) -> None:
    """Operands of one dtype, beside Python's numbers of its kind or of one that is contained in it."""
    strong = {dtype for dtype, weak in types if not weak}
    own = min([_RANK[dtypes.kind(dtype)] for dtype in strong], default=3)
    weak = max([_RANK[dtypes.kind(dtype)] for dtype, is_weak in types if is_weak], default=0)
    if len(strong) > 1 or weak > own:
        found = [dtype.name + ("*" if is_weak else "") for dtype, is_weak in types]
        raise errors.TypePromotionError(errors.strict_promotion(found))


_RANK = {"b": 0, "i": 1, "u": 1, "f": 2, "c": 3}


# The dtypes that an operation of each kind computes in as they are.
_NUMERIC = frozenset(d for d in dtypes.ALL if d != dtypes.bool_)
_INEXACT = frozenset(dtypes.FLOATS + dtypes.COMPLEX)
DIRECT: dict[Kind, frozenset[np.dtype]] = {
    "any": frozenset(dtypes.ALL),
    "numeric": _NUMERIC,
    "inexact": _INEXACT,
    "with int": _NUMERIC,
    "with float": _INEXACT,
    "inexact with int": _INEXACT,
}


def type_key(x: Any) -> TypeKey:
    """The (dtype, weak) of an operand."""
    if type(x) in NUMBERS:
        return number_type(type(x)), type(x) is not bool
    aval = typeof(entered(x))
    return aval.dtype, aval.weak_type


def is_operand(x: Any) -> bool:
    """Whether it is an array, a tracer or a number.  (Keys count as arrays for isinstance, but not here.)"""
    return type(x) is Array or isinstance(x, OPERAND_TYPES)


def operand_of(name: str, x: Any) -> Any:
    """The operand, or the array that it stands for; TypeError if it is no array or number, as lists are none."""
    if type(x) is Array or isinstance(x, Tracer):
        return x
    if is_operand(x):
        if isinstance(x, np.ndarray) and dtypes.native(x.dtype) is None:
            raise TypeError(errors.not_an_array(x, name))
        return entered(x)
    if stands_for_array(x):
        return array_it_stands_for(x)
    raise TypeError(errors.not_an_array(x, name))


def stands_for_array(x: Any) -> bool:
    """Whether an object of another library says that it stands for an array."""
    return any(hasattr(type(x), name) for name in errors.ARRAY_PROTOCOL)


def array_it_stands_for(x: Any) -> Any:
    """The array that an object of another library stands for; TypeError if it gives something else."""
    name = next(name for name in errors.ARRAY_PROTOCOL if hasattr(type(x), name))
    found = getattr(x, name)()
    if is_operand(found) or hasattr(found, "dtype"):  # keys have one, too
        return found
    raise TypeError(
        f"{name} of {type(x).__name__} returned {found!r} of type {type(found).__name__}{errors.at_user_line()}; "
        "it must return an array"
    )


_native.set_hooks(stands_for=array_it_stands_for)


def lift(name: str, x: Any) -> Any:
    """An operand as an array or tracer.  TypeError if it is no array or number."""
    if isinstance(x, Tracer) or type(x) is Array:
        return x
    return _lift_foreign(name, x)


def _lift_foreign(name: str, x: Any) -> Any:
    if isinstance(x, np.ndarray) and x.ndim:
        return from_numpy(name, entered(x))
    if not is_operand(x):
        return lift(name, operand_of(name, x))
    x = entered(x)
    aval = typeof(x)
    return constant(x, aval.dtype, aval.weak_type)


def plain(name: str, x: Any) -> np.ndarray:
    """A value as a NumPy array; TypeError where that would drop a mask."""
    if _native.is_masked(x):
        raise TypeError(errors.masked_array(name))
    return np.asarray(x)


def from_numpy(name: str, x: np.ndarray, dtype: np.dtype | None = None) -> Any:
    """A NumPy array as an Array, in the dtype of what comes from outside or the given one; TypeError if none fits."""
    x = plain(name, x)
    native = dtypes.native(x.dtype)
    if native is None:
        raise TypeError(errors.not_an_array(x, name))
    wanted = dtypes.canonical(native) if dtype is None else dtype
    if x.dtype == wanted:
        return _native.array_from(x)
    if dtypes.is_integer(wanted) and dtypes.is_float(native):
        return _native.array_from(conversion.convert(x.astype(native), wanted))
    with np.errstate(over="ignore"):  # what is beyond the range of float32 is infinite
        return _native.array_from(x.astype(wanted), None, False, False)


def whole(name: str, x: Any, wanted: np.dtype) -> Any:
    """An operand that is about to be converted to a dtype, with all its bits where 64 are switched off.

    OverflowError for an integer beyond 64 bits among integers.
    """
    if isinstance(x, int) and not isinstance(x, bool):
        x = _as_many_bits(int(x), wanted)
    elif type(x) in (float, complex):
        x = np.asarray(x)
    if not isinstance(x, np.ndarray | np.generic) or dtypes.native(x.dtype) is None:
        return lift(name, x)
    if isinstance(x, np.ndarray) and config.transfer_guard != "allow":
        errors.guard_transfer(config.transfer_guard, x)
    return _native.array_from(plain(name, x))


def _as_many_bits(x: int, wanted: np.dtype) -> Any:
    """An integer as a number of 64 bits, which wraps where a dtype has fewer; beyond them the nearest float."""
    if -(2**63) <= x < 2**64 or wanted == dtypes.bool_:
        return np.asarray(x if wanted != dtypes.bool_ else x != 0)
    if not dtypes.is_integer(wanted):
        return np.asarray(float(x))
    raise OverflowError(
        f"the integer {x} does not fit 64 bits{errors.at_user_line()}, so it is no {wanted.name}"
    )


def constant(value: Any, dtype: np.dtype, weak: bool = False) -> Any:
    """A number as an array of shape (); inside jit a literal of the Program."""
    if trace.current().staging:
        found = _number(value, dtype)
        if weak and type(value) in NUMBERS:  # with all its bits, which count where it meets 64
            found = number(value, ShapedArray((), dtype, True))
        return prims.Convert(dtype, weak)(found)
    return _native.array_from(_number(value, dtype), None, weak)


def _convert(x: Any, dtype: np.dtype) -> np.generic:
    """A number in a dtype; what is beyond the range of floats is infinite, of which NumPy would warn."""
    if type(x) in SCALARS and abs(x) > 65504:  # the largest float16
        with np.errstate(over="ignore"):
            return dtype.type(x)
    return dtype.type(x)


def _number(x: Any, dtype: np.dtype) -> np.generic:
    """A number as a NumPy scalar; OverflowError if it does not fit."""
    try:
        return _convert(x, dtype)
    except OverflowError:
        raise OverflowError(errors.does_not_fit(int(x), dtype.name)) from None


def convert_scalar(x: Any, dtype: np.dtype, weak: bool) -> Any:
    """A number as an operand beside others: a NumPy scalar, or a weak array.

    An integer that fits its own dtype (int32; beside 64 bits int64), but not that of the others, wraps as arrays do.
    """
    if weak:
        return constant(x, dtype, True)
    try:
        return _convert(x, dtype)
    except OverflowError:
        bits = 64 if dtype.itemsize == 8 else 8 * dtypes.of_number(int).itemsize
        if type(x) is int and -(2 ** (bits - 1)) <= x < 2 ** (bits - 1):
            return np.asarray(x).astype(dtype)[()]
        return _number(x, dtype)


def within(x: Any, dtype: np.dtype) -> Any:
    """A number that fills or begins an array of a dtype: a float among integers is what `astype` makes of it."""
    if not isinstance(x, float | np.floating) or not dtypes.is_integer(dtype):
        return x
    return prims.convert_number(x, dtype)


def cast(x: Any, dtype: np.dtype, weak: bool = False) -> Any:
    """An operand in a dtype; itself if it has it, weak or not."""
    if type(x) in NUMBERS:
        return convert_scalar(plain_number(x), dtype, weak)
    return x if x.dtype == dtype else prims.Convert(dtype, weak)(x)


def promoted(name: str, kind: Kind, args: Sequence[Any]) -> list[Any]:
    """The operands in one dtype.  Python numbers become NumPy scalars, weak arrays if all are weak."""
    args = [operand_of(name, x) for x in args]
    dtype, weak = target(kind, *[type_key(x) for x in args])
    return [cast(x, dtype, weak) for x in args]


def broadcast_shapes(*shapes: Sequence[Dim] | Dim) -> Shape:
    """The shape that arrays of these shapes take together; ValueError if they do not fit, or one is negative.

    A number is the shape of a vector.  TypeError for what is no integer.

    >>> import covector.numpy as cnp
    >>> cnp.broadcast_shapes((3, 1), (4,))
    (3, 4)
    """
    tuples = [shape_of(s, "a shape of broadcast_shapes") for s in shapes]
    result = _join(tuples)
    if result is None:
        raise ValueError(
            f"shapes {' and '.join(map(str, tuples))} do not fit together{errors.at_user_line()}: aligned "
            "at the last axis, sizes must be equal or 1"
        )
    return result


def _join(shapes: Sequence[Sequence[Dim]]) -> Shape | None:
    rank = max((len(s) for s in shapes), default=0)
    result: list[Dim] = [1] * rank
    for shape in shapes:
        for i, n in enumerate(shape, rank - len(shape)):
            if result[i] == 1:
                result[i] = n
            elif n != 1 and n != result[i]:
                return None
    return tuple(result)


def common_shape(name: str, avals: Sequence[ShapedArray]) -> Shape:
    """The shape of an operation's result; TypeError names the operation and the operands."""
    result = _join([a.shape for a in avals])
    if result is None:
        raise errors.ShapeError(errors.shape_mismatch(name, [a.text() for a in avals]))
    return result


def spread(x: Any, shape: Shape) -> Any:
    """An operand repeated to a shape that it fits: axes of size 1 go, then new ones come."""
    own = typeof(x).shape
    if own == shape:
        return x
    offset = len(shape) - len(own)
    new = list(range(offset))
    kept: list[Dim] = []
    for i, n in enumerate(own, offset):
        if n == shape[i]:
            kept.append(n)
        else:
            new.append(i)
    if len(kept) != len(own):
        x = prims.Reshape(tuple(kept))(x)
    return prims.Broadcast(shape, tuple(new))(x)


def fitted(name: str, args: Sequence[Any], any_ranks: bool = False) -> list[Any]:
    """Operands of an elementwise operation in one shape; those that are one number stay, or become, scalars.

    `any_ranks`: whatever the flag `numpy_rank_promotion` says.
    """
    avals = [typeof(x) for x in args]
    shapes = {a.shape for a in avals if a.shape}
    if len(shapes) <= 1:
        return list(args)
    if not any_ranks and config.numpy_rank_promotion != "allow":
        _check_ranks(name, avals)
    shape = common_shape(name, avals)
    big = any(n != 1 for n in shape)
    return [_fit(x, a.shape, shape, big) for x, a in zip(args, avals, strict=True)]


def check_ranks(name: str, *args: Any) -> None:
    """What the flag `numpy_rank_promotion` wants of operands that are joined by other means than `fitted`."""
    if config.numpy_rank_promotion != "allow":
        _check_ranks(name, [typeof(x) for x in args])


def _check_ranks(name: str, avals: Sequence[ShapedArray]) -> None:
    """What the flag `numpy_rank_promotion` wants where operands that are no numbers have different ranks."""
    if len({a.ndim for a in avals if a.shape}) < 2:
        return
    text = errors.rank_promotion(name, [a.text() for a in avals])
    if config.numpy_rank_promotion == "raise":
        raise errors.ShapeError(text)
    warnings.warn(text, stacklevel=2)


def _fit(x: Any, own: Shape, shape: Shape, big: bool) -> Any:
    if not own or own == shape:
        return x
    if big and all(n == 1 for n in own):
        return prims.Reshape(())(x)
    if (
        len(own) < len(shape)
        and shape[-len(own) :] == own
        and all(n == 1 for n in shape[: -len(own)])
    ):
        return prims.Reshape(shape)(x)
    return spread(x, shape)


# ----------------------------------------------------------------------------------- axes and shapes


def is_number(x: Any) -> bool:
    """Whether it is an array (or traced value) of shape (), which has the method that makes it look iterable."""
    return getattr(x, "shape", None) == ()


def axis_of(axis: Any, ndim: int, name: str = "axis") -> int:
    """An axis counted from the front; ValueError if there is none such."""
    i = integer_of(axis, name)
    if not -ndim <= i < ndim:
        raise errors.AxisError(
            f"{name} {i} is out of bounds for an array of {ndim} dimensions{errors.at_user_line()}"
        )
    return i + ndim if i < 0 else i


def axes_of(axis: Any, ndim: int, name: str = "axis") -> tuple[int, ...]:
    """Axes counted from the front: all for None, one, or several; ValueError if one is there twice."""
    if axis is None:
        return tuple(range(ndim))
    if not isinstance(axis, Iterable) or isinstance(axis, str) or is_number(axis):
        return (axis_of(axis, ndim, name),)
    axes = tuple([axis_of(a, ndim, name) for a in axis])
    if len(set(axes)) != len(axes):
        raise ValueError(f"{name} {tuple(axis)} names an axis twice{errors.at_user_line()}")
    return axes


def integer_of(n: Any, name: str) -> int:
    """A parameter as an int; TypeError if it is none."""
    try:
        return operator.index(n)
    except TypeError as error:
        if isinstance(error, errors.CovectorError):
            raise
        raise TypeError(errors.not_an_integer(name, n)) from None


def dim_of(n: Any, name: str = "a dimension") -> Dim:
    """A dimension: an int, or a symbolic one as it is."""
    return n if type(n) is int or isinstance(n, Polynomial) else integer_of(n, name)


def shape_of(shape: Any, name: str = "shape") -> Shape:
    """A shape from an int or a sequence of ints; ValueError if one is negative."""
    try:
        if isinstance(shape, bytes | bytearray | Set | Mapping | Iterator):
            raise TypeError("what has no order, or is no sequence, has no axes")
        if isinstance(shape, Polynomial) or not isinstance(shape, Iterable) or is_number(shape):
            result = (dim_of(shape),)
        else:
            result = tuple([dim_of(n) for n in shape])
    except TypeError as error:
        if isinstance(error, errors.CovectorError):
            raise
        raise TypeError(
            f"{name} must be an integer or a sequence of integers, got {shape!r}{errors.at_user_line()}"
        ) from None
    for n in result:
        if type(n) is int and n < 0:
            raise errors.ShapeError(
                f"{name} {result} has a negative dimension{errors.at_user_line()}"
            )
    return result
