"""Functions that make arrays: from Python and NumPy values, constants, and masks of matrices."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from covector._engine import _native, primitives as prims
from covector._engine.base import errors
from covector._engine.base.config import config
from covector._engine.core import trace
from covector._engine.core.numbers import SCALARS
from covector._engine.core.trace import Tracer
from covector._engine.runtime.device import devices
from covector._engine.runtime.late import look_at
from covector._engine.types import dtypes
from covector._engine.types.avals import ShapeDtypeStruct, described
from covector.numpy.join import stack
from covector.numpy.operands import beside, converted, placed
from covector.numpy.promotion import (
    Array,
    Shape,
    array_it_stands_for,
    constant,
    from_numpy,
    lift,
    own,
    plain,
    shape_of,
    spread,
    stands_for_array,
    target,
    type_key,
    whole,
    within,
)
from covector.numpy.shape import broadcast_shapes, reshape

__all__ = [
    "array",
    "asarray",
    "astype",
    "copy",
    "empty",
    "empty_like",
    "from_dlpack",
    "frombuffer",
    "full",
    "full_like",
    "ones",
    "ones_like",
    "zeros",
    "zeros_like",
]


# ------------------------------------------------------------------------------------------ from values


def asarray(
    a: Any,
    dtype: Any = None,
    order: str | None = None,
    *,
    copy: bool | None = None,
    device: Any = None,
    out_sharding: Any = None,
) -> Any:
    """A value as an array: itself if it is one.

    NumPy arrays keep their dtype, float64 too.  Python numbers become int32, float32, complex64 or bool, and as
    single values stay weakly typed.  Nested lists become an array of their shape; they may hold traced values.
    TypeError if it is none of these, OverflowError if an integer does not fit.

    >>> from covector import numpy as cnp
    >>> cnp.asarray([1.0, 2.0])
    Array([1., 2.], dtype=float32)
    """
    _check_order("asarray", order)
    x = array_of(a, None if dtype is None else dtypes.as_dtype(dtype))
    if x is not a and (config.debug_nans or config.debug_infs) and type(x) is Array:
        look_at("array", (), [x])
    return placed("asarray", prims.Copy()(x) if copy and x is a else x, device, out_sharding)


def _check_order(name: str, order: Any) -> None:
    """ValueError for what is no order of elements in memory; arrays have one order, whichever is asked for."""
    if order is not None and (type(order) is not str or order not in ("K", "A", "C", "F")):
        raise ValueError(
            f"{name}: order must be 'K', 'A', 'C', 'F' or None{errors.at_user_line()}, got {order!r}"
        )


def array_of(a: Any, wanted: np.dtype | None = None) -> Any:
    """A value as an array, in a dtype that is taken as it is."""
    if isinstance(a, Tracer) or type(a) is Array:
        return a if wanted is None else converted(a, wanted)
    if type(a) in SCALARS:
        weak = wanted is None and type(a) is not bool
        return constant(a, wanted or dtypes.of_number(type(a)), weak)
    if isinstance(a, np.ndarray | np.generic):
        objects = wanted is not None and a.dtype.kind == "O"
        return from_numpy(
            "asarray", plain("asarray", np.asarray(a, wanted) if objects else a), wanted
        )
    if isinstance(a, list | tuple | range):
        return _from_list(a, wanted)
    for t in SCALARS:  # subclasses of Python's numbers
        if isinstance(a, t):
            return array_of(t(a), wanted)  # type: ignore[arg-type]
    if stands_for_array(a):
        return array_of(array_it_stands_for(a), wanted)
    if any(hasattr(a, name) for name in _OF_NUMPY) or _is_buffer(a):
        return from_numpy("asarray", plain("asarray", a), wanted)
    if isinstance(a, Sequence) and not isinstance(a, str | bytes):
        return _from_list(list(a), wanted)
    raise TypeError(errors.not_an_array(a, "asarray"))


# What objects have that NumPy makes an array of.
_OF_NUMPY = ("__array__", "__array_interface__", "__array_struct__")


def _is_buffer(x: Any) -> bool:
    """Whether it shows its memory, as `array.array` and the arrays of ctypes do; bytes are text."""
    if isinstance(x, bytes):
        return False
    try:
        memoryview(x).release()
    except TypeError:
        return False
    return True


def array(
    object: Any,
    dtype: Any = None,
    *,
    copy: bool = True,
    order: str | None = "K",
    ndmin: int = 0,
    device: Any = None,
    out_sharding: Any = None,
) -> Any:
    """A value as an array of its own, as `asarray` but never sharing memory with a NumPy array.

    >>> from covector import numpy as cnp
    >>> cnp.array([[1, 2], [3, 4]])
    Array([[1, 2],
           [3, 4]], dtype=int32)
    """
    _check_order("array", order)
    x = asarray(object, dtype)
    if copy and x is object:
        x = own(x)
    x = x if x.ndim >= ndmin else reshape(x, (1,) * (ndmin - x.ndim) + x.shape)
    return placed("array", x, device, out_sharding)


def _leaf_types(x: Sequence[Any], into: set[type]) -> set[type]:
    """The types of what is inside nested lists."""
    for t in set(map(type, x)):
        if t in (list, tuple, range):
            for y in x:
                if type(y) is t:
                    _leaf_types(y, into)
        else:
            into.add(t)
    return into


def _from_list(x: Sequence[Any], wanted: np.dtype | None) -> Any:
    types = _leaf_types(x, set())
    if any(any(hasattr(t, name) for name in errors.ARRAY_PROTOCOL) for t in types):
        x = _with_arrays(x)
        types = _leaf_types(x, set())
    if all(t in SCALARS for t in types):
        return _from_numbers(x, wanted, types)
    if any(issubclass(t, Tracer) for t in types) or (Array in types and trace.current().staging):
        parts = [y if type(y) in SCALARS else asarray(y) for y in x]
        shapes = {np.shape(p) for p in parts}
        if len(shapes) > 1:
            raise ValueError(
                f"a list of arrays of different shapes {shapes} is no array{errors.at_user_line()}"
            )
        return stack(parts, dtype=wanted)
    leaves = _leaves(x)
    for leaf in leaves:
        if not hasattr(leaf, "__array__") and not isinstance(leaf, SCALARS):
            raise TypeError(errors.not_an_array(leaf, "asarray"))
    if wanted is None:
        wanted = target("any", *[type_key(leaf) for leaf in leaves])[0]
    if dtypes.is_integer(wanted) and all(issubclass(t, np.integer | int) for t in types):
        return _from_numbers(_as_python(x), wanted, {int})
    listed = _to_numpy(x)
    values = np.array(listed)
    if (
        values.dtype.kind == "O"
    ):  # NumPy knows no dtype for numbers of its own beside those of ml_dtypes
        values = np.array(listed, wanted)
    made = from_numpy("asarray", values, wanted)
    return beside(leaves, made) if Array in types else made


def _as_python(x: Any) -> Any:
    """Nested lists with Python's integers in the place of NumPy's, which NumPy would wrap."""
    return [_as_python(y) for y in x] if isinstance(x, list | tuple | range) else int(x)


def _with_arrays(x: Any) -> Any:
    """Nested lists with arrays in the place of what stands for them."""
    if isinstance(x, list | tuple | range):
        return [_with_arrays(y) for y in x]
    return array_it_stands_for(x) if stands_for_array(x) else x


def _leaves(x: Any) -> list[Any]:
    return [leaf for y in x for leaf in _leaves(y)] if isinstance(x, list | tuple | range) else [x]


def _to_numpy(x: Any) -> Any:
    return [_to_numpy(y) for y in x] if isinstance(x, list | tuple | range) else plain("asarray", x)


def _from_numbers(x: Sequence[Any], wanted: np.dtype | None, types: set[type]) -> Any:
    if wanted is None:
        default = [dtypes.of_number(t) for t in types or (float,)]
        wanted = dtypes.promote(*[(d, d != dtypes.bool_) for d in default])[0]
    if complex in types and dtypes.is_float(wanted):
        raise TypeError(
            f"a list of complex numbers as {wanted.name}{errors.at_user_line()}: the imaginary parts would be lost"
        )
    try:
        if types & {int, float} and dtypes.is_integer(wanted):
            return _native.array_from(np.array(x, wanted))
        return from_numpy("asarray", np.array(x), wanted)
    except OverflowError:
        limits = np.iinfo(wanted)
        beyond = (n for n in np.array(x, object).flat if not limits.min <= n <= limits.max)
        raise OverflowError(errors.does_not_fit(int(next(beyond)), wanted.name)) from None
    except ValueError as error:
        raise ValueError(f"{error}{errors.at_user_line()}") from None


def copy(a: Any, order: str | None = None) -> Any:
    """A copy of the array.

    >>> from covector import numpy as cnp
    >>> x = cnp.array([1, 2])
    >>> cnp.copy(x) is x
    False
    """
    _check_order("copy", order)
    return prims.Copy()(asarray(a))


def kept(x: Any) -> Any:
    """An array from outside in the dtype of what comes from there."""
    dtype = dtypes.canonical(x.dtype)
    return x if dtype is x.dtype else prims.Convert(dtype)(x)


def astype(x: Any, dtype: Any, /, *, copy: bool = False, device: Any = None) -> Any:
    """The elements in another dtype.  Floats become integers by truncation, saturating; complex parts are dropped.

    An array that has the dtype is returned itself, unless `copy` asks for one of its own.  TypeError for what is no
    dtype, OverflowError for a number of Python's that is no integer here.

    >>> from covector import numpy as cnp
    >>> cnp.astype(cnp.array([1.7, -1.7]), int)
    Array([ 1, -1], dtype=int32)
    """
    wanted = dtypes.as_dtype(dtype)
    x = lift("astype", x) if isinstance(x, int) else whole("astype", x, wanted)
    out = converted(x, wanted)
    return placed("astype", own(out) if copy and out is x else out, device)


def from_dlpack(x: Any, /, *, device: Any = None, copy: bool | None = None) -> Any:
    """An array over the memory of another library's array, through DLPack.

    The two share memory unless `copy` asks for a copy, or the elements are not in row-major order.  TypeError for what
    has no `__dlpack__`; BufferError for elements that the protocol, or Covector, cannot describe, and with `copy=False`
    for what has to be copied.

    >>> from covector import numpy as cnp
    >>> import numpy as np
    >>> cnp.from_dlpack(np.arange(3))
    Array([0, 1, 2], dtype=int64)
    """
    try:
        shared = _native.from_dlpack(x, share=copy is False)
    except BufferError as error:  # of the other library, for what it cannot describe
        raise BufferError(
            f"from_dlpack of {type(x).__name__}{errors.at_user_line()}: {error}"
        ) from error
    if (made := kept(shared)) is not shared and copy is False:
        raise BufferError(
            f"from_dlpack(copy=False) of {shared.dtype}{errors.at_user_line()}: with 64 bits switched off its elements "
            f"have to become {made.dtype}"
        )
    return placed("from_dlpack", prims.Copy()(made) if copy else made, device or devices()[0])


def frombuffer(buffer: Any, dtype: Any = float, count: int = -1, offset: int = 0) -> Any:
    r"""The bytes of a buffer as a one-dimensional array.

    The bytes are read as NumPy reads them: `float` is 8 bytes, `int` 8, `complex` 16.  ValueError unless the bytes
    make up whole elements.

    >>> from covector import numpy as cnp
    >>> cnp.frombuffer(b'\x01\x02', cnp.uint8)
    Array([1, 2], dtype=uint8)
    """
    if dtype in (float, int, complex):
        dtype = np.dtype(dtype)
    read = np.frombuffer(buffer, dtypes.named_dtype(dtype), count, offset)
    return from_numpy("frombuffer", read)


# ------------------------------------------------------------------------------------------- constants


def filled(shape: Shape, value: Any, dtype: np.dtype, weak: bool = False) -> Any:
    """A number everywhere in a shape."""
    value = within(value, dtype)
    if not shape:
        return constant(value, dtype, weak)
    number = constant(value, dtype, True) if weak else dtype.type(value)
    return prims.Broadcast(shape, tuple(range(len(shape))))(number)


def zeros(shape: Any, dtype: Any = None, *, device: Any = None, out_sharding: Any = None) -> Any:
    """Zeros; float32 unless a dtype is given.

    >>> from covector import numpy as cnp
    >>> cnp.zeros((2, 2))
    Array([[0., 0.],
           [0., 0.]], dtype=float32)
    """
    made = filled(shape_of(shape), 0, dtypes.or_default(dtype))
    return placed("zeros", made, device, out_sharding)


def ones(shape: Any, dtype: Any = None, *, device: Any = None, out_sharding: Any = None) -> Any:
    """Ones; float32 unless a dtype is given.

    ValueError for a negative length.

    >>> from covector import numpy as cnp
    >>> cnp.ones((2, 2))
    Array([[1., 1.],
           [1., 1.]], dtype=float32)
    """
    made = filled(shape_of(shape), 1, dtypes.or_default(dtype))
    return placed("ones", made, device, out_sharding)


def empty(shape: Any, dtype: Any = None, *, device: Any = None, out_sharding: Any = None) -> Any:
    """An array whose contents do not matter: zeros.

    float32 unless a dtype is given.

    >>> from covector import numpy as cnp
    >>> cnp.empty((2, 3)).shape
    (2, 3)
    """
    return placed("empty", zeros(shape, dtype), device, out_sharding)


def full(
    shape: Any, fill_value: Any, dtype: Any = None, *, device: Any = None, out_sharding: Any = None
) -> Any:
    """One value everywhere; it broadcasts to the shape, and gives the dtype if none is given.

    ValueError if the value does not broadcast to the shape.

    >>> from covector import numpy as cnp
    >>> cnp.full((2, 2), cnp.array([1, 2]))
    Array([[1, 2],
           [1, 2]], dtype=int32)
    """
    return placed("full", _full(shape, fill_value, dtype), device, out_sharding)


def _full(shape: Any, fill_value: Any, dtype: Any) -> Any:
    new = shape_of(shape)
    wanted = None if dtype is None else dtypes.as_dtype(dtype)
    if type(fill_value) in SCALARS:
        weak = wanted is None and type(fill_value) is not bool
        return filled(new, fill_value, wanted or dtypes.of_number(type(fill_value)), weak)
    value = asarray(fill_value, wanted)
    if broadcast_shapes(value.shape, new) != new:
        raise ValueError(
            f"full: a value of shape {value.shape} does not fit {new}{errors.at_user_line()}"
        )
    return spread(value, new)


def _like(name: str, a: Any, dtype: Any, shape: Any) -> tuple[Shape, np.dtype, bool]:
    if isinstance(a, ShapeDtypeStruct):
        a = described(a)
    else:
        a = lift(name, a)
    weak = dtype is None and a.weak_type
    return (
        a.shape if shape is None else shape_of(shape),
        a.dtype if dtype is None else dtypes.as_dtype(dtype),
        weak,
    )


def zeros_like(
    a: Any, dtype: Any = None, shape: Any = None, *, device: Any = None, out_sharding: Any = None
) -> Any:
    """Zeros in the shape and dtype of another array.

    `dtype` and `shape` stand for those of the array if given.

    >>> from covector import numpy as cnp
    >>> cnp.zeros_like(cnp.array([1, 2]), shape=(2, 2))
    Array([[0, 0],
           [0, 0]], dtype=int32)
    """
    new, own, weak = _like("zeros_like", a, dtype, shape)
    made = beside((a,), filled(new, 0, own, weak))
    return placed("zeros_like", made, device, out_sharding)


def ones_like(
    a: Any, dtype: Any = None, shape: Any = None, *, device: Any = None, out_sharding: Any = None
) -> Any:
    """Ones in the shape and dtype of another array.

    `dtype` and `shape` stand for those of the array if given.

    >>> from covector import numpy as cnp
    >>> cnp.ones_like(cnp.array([1, 2]), dtype=float)
    Array([1., 1.], dtype=float32)
    """
    new, own, weak = _like("ones_like", a, dtype, shape)
    made = beside((a,), filled(new, 1, own, weak))
    return placed("ones_like", made, device, out_sharding)


def empty_like(prototype: Any, dtype: Any = None, shape: Any = None, *, device: Any = None) -> Any:
    """An array whose contents do not matter, in the shape and dtype of another: zeros.

    >>> from covector import numpy as cnp
    >>> cnp.empty_like(cnp.array([1, 2])).dtype
    dtype('int32')
    """
    return placed("empty_like", zeros_like(prototype, dtype, shape), device)


def full_like(
    a: Any,
    fill_value: Any,
    dtype: Any = None,
    shape: Any = None,
    *,
    device: Any = None,
    out_sharding: Any = None,
) -> Any:
    """One value everywhere, in the shape and dtype of another array.

    >>> from covector import numpy as cnp
    >>> cnp.full_like(cnp.array([1.0, 2.0]), 7)
    Array([7., 7.], dtype=float32)
    """
    new, own, weak = _like("full_like", a, dtype, shape)
    if type(fill_value) in SCALARS:
        number = fill_value if own != dtypes.bool_ else bool(fill_value)
        made = filled(new, number, own, weak)
    else:
        made = _full(new, fill_value, own)
        made = prims.Convert(own, True)(made) if weak else made
    return placed("full_like", beside((a,), made), device, out_sharding)


def iota(shape: Iterable[Any], dtype: np.dtype, axis: int) -> Any:
    """The index along an axis of a shape."""
    shape = tuple(shape)
    sizes = [n for n in shape if isinstance(n, int)]
    if trace.current().staging or len(sizes) != len(shape):
        return prims.Iota(shape, dtype, axis)()
    others = tuple([i for i in range(len(shape)) if i != axis])
    counts = np.expand_dims(np.arange(sizes[axis]).astype(dtype), others)
    return _native.array_from(np.broadcast_to(counts, sizes))
