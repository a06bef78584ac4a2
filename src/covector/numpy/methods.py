"""The operators, methods and properties of arrays, one table for `Array` and for tracers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from covector._engine import _native, primitives as prims
from covector._engine.base import errors
from covector._engine.base.locks import import_late
from covector._engine.base.public import boundary, native_form
from covector._engine.base.unforeseen import unforeseen
from covector._engine.core.trace import Tracer, typeof
from covector._engine.runtime.device import default_device, device_put
from covector._engine.types import dtypes
from covector.numpy import (
    creation,
    elementwise as el,
    indexing,
    interop,
    join,
    linear,
    matrices,
    ordering,
    reduce,
    selection,
    sorting,
    statistics,
)
from covector.numpy.places import (
    METHODS_OF_MEMORY,
    PROPERTIES_OF_MEMORY,
    described,
    placement,
)
from covector.numpy.promotion import Array, is_operand, stands_for_array
from covector.numpy.shape import matrix_transpose, ravel, reshape, squeeze, swapaxes, transpose
from covector.numpy.take import take
from covector.numpy.updates import At

# -------------------------------------------------------------------------------------------- operators

# The name in `_native.set_operators`, Python's name, the function.
_BINARY: tuple[tuple[str, str, Callable[..., Any]], ...] = (
    ("add", "add", el.add),
    ("subtract", "sub", el.subtract),
    ("multiply", "mul", el.multiply),
    ("true_divide", "truediv", el.divide),
    ("floor_divide", "floordiv", el.floor_divide),
    ("remainder", "mod", el.remainder),
    ("power", "pow", el.power),
    ("matmul", "matmul", linear.matmul),
    ("divmod", "divmod", el.divmod),
    ("and_", "and", el.bitwise_and),
    ("or_", "or", el.bitwise_or),
    ("xor", "xor", el.bitwise_xor),
    ("lshift", "lshift", el.left_shift),
    ("rshift", "rshift", el.right_shift),
)
_COMPARISONS: tuple[tuple[str, str, Callable[..., Any]], ...] = (
    ("equal", "eq", el.equal),
    ("not_equal", "ne", el.not_equal),
    ("less", "lt", el.less),
    ("less_equal", "le", el.less_equal),
    ("greater", "gt", el.greater),
    ("greater_equal", "ge", el.greater_equal),
)
_UNARY: tuple[tuple[str, str, Callable[..., Any]], ...] = (
    ("negative", "neg", el.negative),
    ("positive", "pos", el.positive),
    ("absolute", "abs", el.absolute),
    ("invert", "invert", el.invert),
)


def _forward(f: Callable[..., Any], equality: str = "") -> Callable[..., Any]:
    def method(self: Any, other: Any) -> Any:
        if is_operand(other) or stands_for_array(other):
            return f(self, other)
        if equality and isinstance(other, list | tuple | dict | set | frozenset):
            # Python would answer "not equal" by identity, where a reader expects the elements compared.
            raise TypeError(
                f"'{equality}' of a traced value and a {type(other).__name__}{errors.at_user_line()}: make it an "
                "array with covector.numpy.asarray, and then compare"
            )
        return NotImplemented

    return method


def _reflected(f: Callable[..., Any]) -> Callable[..., Any]:
    def method(self: Any, other: Any) -> Any:
        if is_operand(other) or stands_for_array(other):
            return f(other, self)
        return NotImplemented

    return method


def _unary(f: Callable[..., Any]) -> Callable[..., Any]:
    def method(self: Any) -> Any:
        return f(self)

    return method


def _set_operators() -> None:
    for _, name, f in (*_BINARY, *_COMPARISONS):
        equality = {"eq": "==", "ne": "!="}.get(name, "")
        _attach(f"__{name}__", _forward(f, equality), (Tracer,))
    for _, name, f in _BINARY:
        _attach(f"__r{name}__", _reflected(f), (Tracer,))
    for _, name, f in _UNARY:
        _attach(f"__{name}__", _unary(f), (Tracer,))
    table = (*_BINARY, *_COMPARISONS, *_UNARY)
    _native.set_operators({key: _seen_by_users(f) for key, _, f in table})


def _seen_by_users(f: Callable[..., Any]) -> Callable[..., Any]:
    """A function whose errors end at the user's line; those of ufuncs do so by themselves."""
    return f if isinstance(f, _native.Ufunc) else boundary(f)


def _seen(f: Callable[..., Any]) -> Any:
    """A method as users see it: what stands for an array may be an argument."""
    return _native.Boundary(f, None, None, True)


def _attach(name: str, value: Any, types: tuple[type, ...] = (Tracer, Array)) -> None:
    if callable(value):
        value.__name__ = name
        value.__qualname__ = f"Array.{name}"
    for t in types:  # what a tracer does is seen from inside of a boundary
        setattr(t, name, _seen(value) if t is Array and callable(value) else value)


# ---------------------------------------------------------------------------------------------- methods


def _method(f: Callable[..., Any]) -> Callable[..., Any]:
    """A function as a method: the array is its first argument."""
    called = native_form(f)

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return called(self, *args, **kwargs)

    method.__doc__ = f.__doc__
    method.__wrapped__ = f  # type: ignore[attr-defined] -- `inspect` shows its parameters
    return method


def _several(args: tuple[Any, ...]) -> Any:
    """Axes or lengths given one by one, or as one sequence."""
    return args[0] if len(args) == 1 else args


def _reshape(
    self: Any, *args: Any, order: str = "C", out_sharding: Any = None, **kwargs: Any
) -> Any:
    """The elements in another shape, given as one tuple or number by number.

    TypeError if the numbers of elements differ.

    >>> from covector import numpy as cnp
    >>> cnp.arange(4).reshape(2, 2)
    Array([[0, 1],
           [2, 3]], dtype=int32)
    """
    return reshape(self, _several(args), order, out_sharding=out_sharding, **kwargs)


def _transpose(self: Any, *args: Any) -> Any:
    """The axes in another order, given as one tuple or axis by axis; reversed by default.

    ValueError unless each axis is named once.

    >>> from covector import numpy as cnp
    >>> cnp.ones((2, 3, 4)).transpose(2, 0, 1).shape
    (4, 2, 3)
    """
    axes = _several(args) if args else None
    return transpose(self, axes)


def _to_device(self: Any, device: Any, *, stream: Any = None) -> Any:
    """The array on a device, or as a sharding says; `stream` is for devices that have streams.

    ValueError for a device that is not there.

    >>> from covector import numpy as cnp
    >>> cnp.ones(2).to_device(cnp.ones(2).device)
    Array([1., 1.], dtype=float32)
    """
    if stream is not None:
        raise ValueError(
            f"to_device: stream={stream!r}{errors.at_user_line()}, but the device has no streams; leave it out"
        )
    return device_put(self, device)


def _astype(self: Any, dtype: Any, copy: bool = False, device: Any = None) -> Any:
    """The elements in another dtype.

    As `covector.numpy.astype`.

    >>> from covector import numpy as cnp
    >>> cnp.array([1.7, -1.7]).astype(int)
    Array([ 1, -1], dtype=int32)
    """
    return creation.astype(self, dtype, copy=copy, device=device)


def _flatten(self: Any, order: str = "C", *, out_sharding: Any = None) -> Any:
    """The elements on one axis.

    In row-major order.

    >>> from covector import numpy as cnp
    >>> cnp.array([[1, 2], [3, 4]]).flatten()
    Array([1, 2, 3, 4], dtype=int32)
    """
    return ravel(self, order, out_sharding=out_sharding)


def _clip(self: Any, min: Any = None, max: Any = None) -> Any:
    """Elements below `min` raised to it, those above `max` lowered to it.

    Either bound may be left out; they are broadcast with the array.

    >>> from covector import numpy as cnp
    >>> cnp.array([1, 5, 9]).clip(2, 6)
    Array([2, 5, 6], dtype=int32)
    """
    return selection.clip(self, min, max)


def _view(self: Any, dtype: Any = None, type: None = None) -> Any:
    """The same bytes as another dtype; of one of another width there are more or fewer along the last axis.

    ValueError for another width if there is no axis, or its bytes are not so many whole elements.

    >>> from covector import numpy as cnp
    >>> cnp.array([1.0]).view(cnp.int32)
    Array([1065353216], dtype=int32)
    >>> cnp.array([1.0]).view(cnp.uint8)
    Array([  0,   0, 128,  63], dtype=uint8)
    """
    return import_late("covector.numpy.views").view(self, dtype)


def _array_namespace(self: Any, /, *, api_version: str | None = None) -> Any:
    """The module of the functions of the Python Array API standard, which is `covector.numpy`.

    ValueError for a version of the standard that it does not follow.

    >>> from covector import numpy as cnp
    >>> cnp.ones(2).__array_namespace__() is cnp
    True
    """
    return import_late("covector.numpy.namespace").namespace_of(api_version)


def _choose(self: Any, choices: Any, out: None = None, mode: str = "raise") -> Any:
    """For each element the element of the array among `choices` that it numbers, as `covector.numpy.choose`.

    >>> from covector import numpy as cnp
    >>> cnp.array([1, 0]).choose([cnp.array([1, 2]), cnp.array([3, 4])])
    Array([3, 2], dtype=int32)
    """
    return import_late("covector.numpy.edits").choose(self, choices, out, mode)


def _compress(
    self: Any,
    condition: Any,
    axis: int | None = None,
    *,
    out: None = None,
    size: int | None = None,
    fill_value: Any = 0,
) -> Any:
    """The elements, or slices along an axis, where the condition is true, as `covector.numpy.compress`.

    >>> from covector import numpy as cnp
    >>> cnp.array([1, 2, 3]).compress(cnp.array([True, False, True]))
    Array([1, 3], dtype=int32)
    """
    compress = import_late("covector.numpy.edits").compress
    return compress(condition, self, axis, size=size, fill_value=fill_value, out=out)


def _byteswap(self: Any) -> Any:
    """The elements with their bytes in the opposite order, as those of a machine of the other kind.

    >>> from covector import numpy as cnp
    >>> cnp.array([1, 256], cnp.uint16).byteswap().tolist()
    [256, 1]
    """
    if dtypes.is_complex(self.dtype):
        return prims.complex_(_byteswap(prims.real(self)), _byteswap(prims.imag(self)))
    width = self.dtype.itemsize
    if width == 1:
        return self
    unsigned = np.dtype(f"u{width}")
    bits, apart = prims.bitcast(self, unsigned), 1
    while (
        apart < width
    ):  # pairs of neighbours change places: bytes, then pairs of bytes, then fours
        low = np.tile(np.repeat(np.array([255, 0], np.uint8), apart), width // (2 * apart)).view(
            unsigned
        )[0]
        step = unsigned.type(8 * apart)
        up = prims.shift_left(prims.and_(bits, low), step)
        down = prims.and_(prims.shift_right_logical(bits, step), low)
        bits, apart = prims.or_(up, down), 2 * apart
    return prims.bitcast(bits, self.dtype)


def _reversed_rows(self: Any) -> Iterator[Any]:
    return reversed(list(_iterate(self)))


def _getitem(self: Any, index: Any) -> Any:
    return indexing.getitem(self, index)


def _iterate(self: Any) -> Iterator[Any]:
    if not self.shape:
        raise TypeError(f"an array of shape () cannot be iterated over{errors.at_user_line()}")
    return iter(join.unstack(self))


def _contains(self: Any, item: Any) -> bool:
    if np.ndim(item):
        raise ValueError(
            f"'in' looks for one number, got an operand of shape {np.shape(item)}{errors.at_user_line()}; "
            "for several, compare with == and use any or all"
        )
    return bool(reduce.any(el.equal(self, item)))


def _setitem(self: Any, index: Any, value: Any) -> None:
    raise TypeError(
        f"arrays are immutable{errors.at_user_line()}: instead of x[idx] = value, write "
        "x = x.at[idx].set(value), which returns the changed array"
    )


# Functions whose first argument is the array.
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "all": reduce.all,
    "any": reduce.any,
    "argmax": reduce.argmax,
    "argmin": reduce.argmin,
    "argpartition": sorting.argpartition,
    "argsort": sorting.argsort,
    "conj": el.conj,
    "conjugate": el.conj,
    "copy": creation.copy,
    "cumprod": ordering.cumprod,
    "cumsum": ordering.cumsum,
    "diagonal": matrices.diagonal,
    "dot": linear.dot,
    "max": reduce.max,
    "mean": statistics.mean,
    "min": reduce.min,
    "nonzero": selection.nonzero,
    "prod": reduce.prod,
    "ptp": reduce.ptp,
    "ravel": ravel,
    "repeat": join.repeat,
    "round": el.round,
    "searchsorted": ordering.searchsorted,
    "sort": sorting.sort,
    "squeeze": squeeze,
    "std": statistics.std,
    "sum": reduce.sum,
    "swapaxes": swapaxes,
    "take": take,
    "trace": linear.trace,
    "var": statistics.var,
}


_METHODS: dict[str, Callable[..., Any]] = {
    "astype": _astype,
    "byteswap": _byteswap,
    "choose": _choose,
    "clip": _clip,
    "clone": _method(creation.copy),
    "compress": _compress,
    "flatten": _flatten,
    "reshape": _reshape,
    "to_device": _to_device,
    "transpose": _transpose,
    "view": _view,
}


_PROPERTIES: dict[str, tuple[Callable[..., Any], str]] = {
    "T": (transpose, "The axes in the opposite order."),
    "mT": (matrix_transpose, "The last two axes exchanged."),
    "flat": (
        ravel,
        described(
            "The elements on one axis, in row-major order: to be iterated over, or indexed.",
            "flat[1]",
            "Array(1., dtype=float32)",
        ),
    ),
    "at": (At, "Updates at an index: x.at[index].set(values) returns the changed array."),
    "real": (el.real, "The real part."),
    "imag": (el.imag, "The imaginary part."),
    "device": (lambda x: default_device(), "Where the array lives."),
    "sharding": (
        lambda x: placement().sharding_of(x),
        described(
            "Which part of the array each device has.",
            "sharding",
            "SingleDeviceSharding(device=CpuDevice(id=0))",
        ),
    ),
}

# Methods of `Array` that need its elements, or only its memory: of a tracer if it has a value.
_OF_ELEMENTS = ("__dlpack__", "item", "tobytes", "tolist")
_OF_MEMORY = ("__dlpack_device__", "delete", "is_deleted", "is_ready", "unsafe_buffer_pointer")


def _of_memory(name: str, f: Callable[..., Any]) -> Callable[..., Any]:
    """The function of the tracer's value; ConcretizationTypeError if it has none."""

    def method(self: Any, *args: Any) -> Any:
        value = self.concrete()
        if isinstance(value, Tracer) or value is None:
            raise errors.ConcretizationTypeError(
                self._unknown(f"an operand of {name}, which needs its memory")
            )
        return f(value, *args)

    method.__doc__ = f.__doc__
    return method


def _of_value(name: str) -> Callable[..., Any]:
    """The method of the tracer's value; ConcretizationTypeError if it has none, or must not give it away."""
    native: Any = getattr(Array, name)

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        wanted = f"an operand of {name}(), which needs its elements"
        value = self.concrete() if name in _OF_MEMORY else None
        value = self._value(wanted) if value is None else value
        array = value if type(value) is Array else creation.asarray(value)
        return native(array, *args, **kwargs)

    method.__doc__ = native.__doc__
    return method


def _set_methods() -> None:
    for name, f in _FUNCTIONS.items():
        _attach(name, _method(f))
    for name, f in _METHODS.items():
        _attach(name, f)
    _attach(
        "aval",
        property(
            typeof,
            doc=described(
                "Shape, dtype, weak type: known before its values.",
                "aval",
                "ShapedArray(float32[2])",
            ),
        ),
        (Array,),
    )
    for name, f in METHODS_OF_MEMORY.items():
        _attach(name, f, (Array,))
        _attach(name, _of_memory(name, f), (Tracer,))
    for name, (f, doc) in PROPERTIES_OF_MEMORY.items():
        _attach(name, property(_unary(f), doc=doc), (Array,))
        _attach(name, property(_of_memory(name, f), doc=doc), (Tracer,))
    for name, (f, doc) in _PROPERTIES.items():
        _attach(name, property(_unary(f), doc=doc))
    for name, f in (
        ("__getitem__", _getitem),
        ("__setitem__", _setitem),
        ("__iter__", _iterate),
        ("__contains__", _contains),
    ):
        _attach(name, f, (Tracer,))
    _attach(
        "itemsize",
        property(lambda self: self.dtype.itemsize, doc="The bytes of an element."),
        (Tracer,),
    )
    _attach(
        "nbytes",
        property(lambda self: self.dtype.itemsize * self.size, doc="The bytes of all."),
        (Tracer,),
    )
    for name in ("block_until_ready", "__copy__"):
        _attach(name, _unary(lambda x: x), (Tracer,))
    _attach("__deepcopy__", lambda self, memo: self, (Tracer,))
    for name in (*_OF_ELEMENTS, *_OF_MEMORY):
        _attach(name, _of_value(name), (Tracer,))
    _attach("__reversed__", _reversed_rows)
    _attach("__array_namespace__", _array_namespace)
    _attach("__array_ufunc__", interop.array_ufunc)
    _attach("__round__", interop.rounded)


# ------------------------------------------------------------------------------------------- as text


def represent(x: Any) -> str:
    """The array as text, in JAX's form: Array([1., 2.], dtype=float32)."""
    notes = [f"dtype={x.dtype.name}"]
    if x.weak_type:
        notes.append("weak_type=True")
    if x.size == 0:  # NumPy has no array of some of these shapes
        notes = notes if x.shape == (0,) else [f"shape={x.shape}", *notes]
        return f"Array([], {', '.join(notes)})"
    body = np.array2string(np.asarray(x), separator=", ", prefix="Array(")
    return f"Array({body}, {', '.join(notes)})"


def format_array(x: Any, spec: str) -> str:
    """The text under a format specification: that of the number for shape (), else of the NumPy array."""
    values = np.asarray(x)
    return format(values[()] if not values.shape else values, spec)


def install() -> None:
    """Give `Array` and tracers their operators and methods."""
    _set_operators()
    _set_methods()
    _native.set_hooks(unforeseen=unforeseen, stopped=errors.stopped)
    hooks = {
        "getitem": indexing.getitem,
        "iter": _iterate,
        "contains": _contains,
        "repr": represent,
        "format": format_array,
    }
    _native.set_hooks(tracer=Tracer, **{name: boundary(f) for name, f in hooks.items()})


install()
