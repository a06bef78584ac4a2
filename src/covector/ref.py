"""Mutable references to arrays: names and meanings are those of `jax.ref`.

A `Ref` holds an array that is read with `ref[...]` and replaced with `ref[...] = value`, at any index of NumPy's, also
inside `jit`, loops, branches and transformed functions.  See docs/refs.md.
"""

from __future__ import annotations

from typing import Any, NoReturn, Protocol, overload

import numpy as np

from covector._engine import primitives as prims
from covector._engine.api.arguments import is_value
from covector._engine.base import errors
from covector._engine.base.public import bounded, publish
from covector._engine.base.record import record
from covector._engine.core import trace
from covector._engine.core.refs import Cell
from covector._engine.types import dtypes
from covector._engine.types.avals import ShapedArray, ShapeDtypeStruct
from covector.numpy.creation import asarray
from covector.numpy.dtype import prng_key
from covector.numpy.shape import broadcast_shapes, broadcast_to
from covector.numpy.updates import At, update_taken

__all__ = [
    "AbstractRef",
    "Ref",
    "addupdate",
    "empty_ref",
    "free_ref",
    "freeze",
    "get",
    "new_ref",
    "set",
    "swap",
]


@record
class AbstractRef:
    """The type of a Ref: that of the array it holds, `inner_aval`.

    >>> import covector
    >>> covector.new_ref(1.0).aval.inner_aval
    ShapedArray(float32[])
    """

    inner_aval: ShapedArray
    memory_space: object = None
    kind: str | None = None

    def __str__(self) -> str:
        return f"Ref{{{self.inner_aval.text()}}}"

    @property
    def shape(self) -> tuple[Any, ...]:
        """The shape of the array.

        >>> import covector
        >>> covector.new_ref(covector.numpy.ones((2, 3))).aval.shape
        (2, 3)
        """
        return self.inner_aval.shape

    @property
    def dtype(self) -> Any:
        """The dtype of the array.

        >>> import covector
        >>> covector.new_ref(covector.numpy.ones((2, 3))).aval.dtype
        dtype('float32')
        """
        return self.inner_aval.dtype

    @property
    def ndim(self) -> int:
        """The number of axes of the array.

        >>> import covector
        >>> covector.new_ref(covector.numpy.ones((2, 3))).aval.ndim
        2
        """
        return self.inner_aval.ndim

    @property
    def size(self) -> Any:
        """The number of elements of the array.

        >>> import covector
        >>> covector.new_ref(covector.numpy.ones((2, 3))).aval.size
        6
        """
        return self.inner_aval.size


@bounded
class Ref(Cell):
    """A mutable reference to an array, made by `new_ref`: `ref[index]` reads, `ref[index] = value` writes.

    Its shape and dtype stay what they are.  It is no array: to compute with it, read it, `ref[...]`.  What it holds may
    stand for something else, as words do for keys of random numbers: then it is of a class of its own.

    >>> import covector
    >>> import covector.numpy as np
    >>> ref = covector.new_ref(np.zeros(3))
    >>> @covector.jit
    ... def step(x):
    ...     ref[1] += x
    >>> step(2.0)
    >>> step(3.0)
    >>> ref
    Ref([0., 5., 0.], dtype=float32)
    """

    __slots__ = ()

    @property
    def aval(self) -> AbstractRef:
        """Its type.

        >>> import covector
        >>> covector.new_ref(1.0).aval.inner_aval
        ShapedArray(float32[])
        """
        return AbstractRef(self._inner)

    @property
    def shape(self) -> tuple[Any, ...]:
        """The shape of the array that it holds.

        >>> import covector
        >>> covector.new_ref(covector.numpy.ones(3)).shape
        (3,)
        """
        return self._inner.shape

    @property
    def dtype(self) -> Any:
        """The dtype of the array that it holds.

        >>> import covector
        >>> covector.new_ref(1.0).dtype
        dtype('float32')
        """
        return self._inner.dtype

    @property
    def ndim(self) -> int:
        """The number of axes.

        >>> import covector
        >>> covector.new_ref(1.0).ndim
        0
        """
        return self._inner.ndim

    @property
    def size(self) -> Any:
        """The number of elements.

        >>> import covector
        >>> covector.new_ref(covector.numpy.ones((2, 3))).size
        6
        """
        return self._inner.size

    @property
    def at(self) -> RefAt:
        """Parts of it: `ref.at[index]` is read and written as a Ref is, and changes this one.

        >>> import covector
        >>> ref = covector.new_ref(covector.numpy.zeros((2, 2)))
        >>> row = ref.at[0]
        >>> row[1] = 3.0
        >>> ref
        Ref([[0., 3.],
             [0., 0.]], dtype=float32)
        """
        return RefAt(self, ())

    def _shown(self, array: Any) -> Any:
        """What its array stands for: here the array itself."""
        return array

    def _held_as(self, value: Any, combine: str) -> Any:
        """The array that stands for a value to be written, or added.  TypeError if it is of another kind."""
        return _fitted(self, value)

    def _place(self, index: Any) -> Any:
        """The index in its array of what is at an index of what that stands for."""
        return index

    def __getitem__(self, index: Any) -> Any:
        value = self._shown(self._read())
        return value if index is ... else value[index]

    def __setitem__(self, index: Any, value: Any) -> None:
        self._update(index, value, "set")

    def addupdate(self, x: Any, idx: Any = ...) -> None:
        """Add to the elements at an index.

        >>> import covector
        >>> ref = covector.new_ref(covector.numpy.zeros(3))
        >>> ref.addupdate(2.0, idx=1)
        >>> ref
        Ref([0., 2., 0.], dtype=float32)
        """
        self._update(idx, x, "add")

    def _update(self, index: Any, value: Any, combine: str) -> None:
        value = self._held_as(value, combine)
        whole = index is ...
        if whole and combine == "set":
            self._write(_whole(self, value))
        elif self._lendable(value):
            taken = self._lend()
            made = None
            try:
                made = update_taken(taken, self._place(index), value, combine)
            finally:
                self._settle(made)
        else:
            place = At(self._read())[self._place(index)]
            self._write(place.add(value) if combine == "add" else place.set(value))

    def unsafe_buffer_pointer(self) -> int:
        """The address of the memory that it has now.

        >>> import covector
        >>> ref = covector.new_ref(covector.numpy.zeros(1000) + 1)
        >>> before = ref.unsafe_buffer_pointer()
        >>> ref[0] = 5.0
        >>> ref.unsafe_buffer_pointer() == before
        True
        """
        return self._read().unsafe_buffer_pointer()  # type: ignore[no-any-return]

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a Ref without dimensions")
        return self.shape[0]  # type: ignore[no-any-return]

    def __iter__(self) -> NoReturn:
        raise TypeError(
            f"a Ref is not iterable{errors.at_user_line()}: iterate over its value, ref[...]"
        )

    def __bool__(self) -> NoReturn:
        raise TypeError(f"a Ref has no truth value{errors.at_user_line()}: ask its value, ref[...]")

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NoReturn:
        raise TypeError(errors.not_an_array(self, "a conversion to a NumPy array"))

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"a Ref cannot be copied or pickled{errors.at_user_line()}: copy its value, ref[...]"
        )

    def __repr__(self) -> str:
        value = self._peek()
        if type(value) is not trace.Array:
            return f"Ref<{self.aval.inner_aval.text()}>"
        text = repr(self._shown(value)).removeprefix("Array").removeprefix("Key")
        return "Ref" + text.replace("\n  ", "\n")


@bounded
class RefAt:
    """What `ref.at` gives: indexed, it gives a part of the Ref."""

    __slots__ = ("_indices", "ref")

    def __init__(self, ref: Ref, indices: tuple[Any, ...]):
        self.ref, self._indices = ref, indices

    def __getitem__(self, index: Any) -> RefPart:
        return RefPart(self.ref, (*self._indices, index))


@bounded
class RefPart:
    """A part of a Ref, which is read and written as a Ref is, and changes it: what `ref.at[index]` gives."""

    __slots__ = ("_indices", "ref")

    def __init__(self, ref: Ref, indices: tuple[Any, ...]):
        self.ref, self._indices = ref, indices

    @property
    def at(self) -> RefAt:
        """Parts of this part."""
        return RefAt(self.ref, self._indices)

    def __getitem__(self, index: Any) -> Any:
        value = self.ref[...]
        for i in (*self._indices, index):
            value = value[i]
        return value

    def __setitem__(self, index: Any, value: Any) -> None:
        self._update(index, value, "set")

    def _update(self, index: Any, value: Any, combine: str) -> None:
        first, *rest = (*self._indices, index)
        if rest == [...]:
            self.ref._update(first, value, combine)
            return
        self.ref._held_as(value, combine)  # or it would be converted
        part = _nested(self.ref[first], rest, value, combine)
        self.ref[first] = part

    def __repr__(self) -> str:
        return f"{self.ref!r}.at{''.join(f'[{i!r}]' for i in self._indices)}"


def _nested(x: Any, indices: list[Any], value: Any, combine: str) -> Any:
    """The array with what x[i][j]... is replaced by, or gets added."""
    first, *rest = indices
    if rest:
        return x.at[first].set(_nested(x[first], rest, value, combine))
    return x.at[first].add(value) if combine == "add" else x.at[first].set(value)


def _fitted(ref: Ref, value: Any) -> Any:
    """A value that may be written: of the dtype of the Ref, or a number of its kind.  TypeError if it is not."""
    if not is_value(value):
        raise TypeError(errors.not_an_array(value, "a write to a Ref"))
    aval = trace.typeof(value)
    own = ref._inner.dtype
    if aval.dtype == own:
        return value
    if not aval.weak_type or dtypes.promote((own, False), (aval.dtype, True))[0] != own:
        raise TypeError(
            f"{aval.text()} is written to a Ref of {ref._inner.text()}{errors.at_user_line()}; convert it, for example "
            f"with .astype(ref.dtype)"
        )
    return value


def _whole(ref: Ref, value: Any) -> Any:
    """A value in the type of the Ref; ValueError if its shape does not fit."""
    wanted = ref._inner
    value = asarray(value, wanted.dtype)
    if value.weak_type:
        value = prims.Convert(wanted.dtype, False)(value)
    if value.shape == wanted.shape:
        return value
    try:
        fits = broadcast_shapes(value.shape, wanted.shape) == wanted.shape
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(
            f"{trace.typeof(value).text()} is written to a Ref of {wanted.text()}{errors.at_user_line()}; the shape "
            "does not fit, and that of a Ref does not change"
        )
    return broadcast_to(value, wanted.shape)


class Kind(Protocol):
    """A class of references whose arrays stand for values of an extended dtype."""

    def holding(self, value: Any) -> Ref:
        """A reference that begins with this value."""
        ...

    def empty(self, of: Any) -> Ref:
        """One that is to be written before it is read."""
        ...


_KINDS: dict[Any, Kind] = {}  # by the scalar type of the dtype


def register_kind(scalar_type: Any, kind: Kind) -> None:
    """Let references to values whose dtype has this scalar type be of this class."""
    _KINDS[scalar_type] = kind


def _kind_of(x: Any) -> Any:
    return getattr(getattr(x, "dtype", None), "type", None)


def new_ref(
    init_val: Any, *, memory_space: Any = None, kind: str | None = None, pin: bool = False
) -> Ref:
    """A mutable reference that begins with this array; for a Python number, with one of 32 bits.

    Arrays lie in one memory here, so `memory_space` and `pin` change nothing; nor does `kind`, which is None or
    "no_grad_no_remat".

    >>> import covector
    >>> import covector.numpy as np
    >>> ref = covector.new_ref(np.arange(3))
    >>> ref[0] = 7
    >>> ref
    Ref([7, 1, 2], dtype=int32)
    """
    if (of := _KINDS.get(_kind_of(init_val))) is not None:
        return of.holding(init_val)
    if isinstance(init_val, Cell):
        raise TypeError(
            f"new_ref of a Ref{errors.at_user_line()}: there are no Refs of Refs; take its value, ref[...]"
        )
    if not is_value(init_val):
        raise TypeError(errors.not_an_array(init_val, "new_ref"))
    if kind not in (None, "no_grad_no_remat"):
        raise ValueError(f"new_ref: there is no kind {kind!r}{errors.at_user_line()}")
    value = asarray(init_val)
    if value.weak_type:
        value = prims.Convert(value.dtype, False)(value)
    return Ref(trace.typeof(value), value)


def empty_ref(ty: Any, memory_space: Any = None, pin: bool = False) -> Ref:
    """A mutable reference for an array of a type, a `ShapeDtypeStruct`, to be written before it is read.

    >>> import covector
    >>> ref = covector.empty_ref(covector.ShapeDtypeStruct((2,), "float32"))
    >>> ref[...] = covector.numpy.ones(2)
    >>> ref
    Ref([1., 1.], dtype=float32)
    """
    if isinstance(ty, AbstractRef):
        ty = ty.inner_aval
    if (of := _KINDS.get(_kind_of(ty))) is not None:
        return of.empty(ty)
    if not isinstance(ty, ShapedArray | ShapeDtypeStruct):
        raise TypeError(
            f"empty_ref takes the type of an array, such as a ShapeDtypeStruct, got {ty!r}{errors.at_user_line()}"
        )
    return new_ref(
        asarray(prims.zeros(ShapedArray(ty.shape, dtypes.canonical(ty.dtype)))),
        memory_space=memory_space,
    )


def _checked(ref: Any, api: str) -> Any:
    if not isinstance(ref, Ref | RefPart):
        raise TypeError(
            f"{api} takes a Ref, got {ref!r} of type {type(ref).__name__}{errors.at_user_line()}"
        )
    return ref


def _index(idx: Any) -> Any:
    return ... if idx is None else idx


def freeze(ref: Ref) -> Any:
    """The last value of a Ref, which cannot be used after that.  Only the scope that made it may freeze it.

    >>> import covector
    >>> ref = covector.new_ref(1.0)
    >>> ref[...] += 1
    >>> print(covector.freeze(ref))
    2.0
    """
    whole = _checked(ref, "freeze")
    return whole._shown(whole._frozen("it was frozen"))


def free_ref(ref: Ref) -> None:
    """Give the memory of a Ref back; it cannot be used after that.

    >>> import covector
    >>> ref = covector.new_ref(1.0)
    >>> covector.free_ref(ref)
    """
    _checked(ref, "free_ref")._frozen("it was freed")


def get(ref: Ref, idx: Any = None) -> Any:
    """`ref[idx]`; the whole array without an index.

    >>> import covector
    >>> print(covector.ref.get(covector.new_ref(covector.numpy.arange(5)), slice(1, 3)))
    [1 2]
    """
    return _checked(ref, "get")[_index(idx)]


def set(ref: Ref, idx: Any, value: Any) -> None:
    """`ref[idx] = value`.

    >>> import covector
    >>> ref = covector.new_ref(covector.numpy.zeros(3))
    >>> covector.ref.set(ref, 1, 10.0)
    >>> ref
    Ref([ 0., 10.,  0.], dtype=float32)
    """
    _checked(ref, "set")[_index(idx)] = value


def swap(ref: Ref, idx: Any, value: Any) -> Any:
    """`ref[idx] = value`; what was there before.

    >>> import covector
    >>> ref = covector.new_ref(covector.numpy.zeros(3))
    >>> print(covector.ref.swap(ref, 1, 10.0), ref[1])
    0.0 10.0
    """
    index = _index(idx)
    before = _checked(ref, "swap")[index]
    ref[index] = value
    return before


def addupdate(ref: Ref, idx: Any, x: Any) -> None:
    """Add to the elements at an index; of one that is named twice both count.

    >>> import covector
    >>> import covector.numpy as np
    >>> ref = covector.new_ref(np.zeros(3))
    >>> covector.ref.addupdate(ref, np.array([1, 1]), 1.0)
    >>> ref
    Ref([0., 2., 0.], dtype=float32)
    """
    _checked(ref, "addupdate")._update(_index(idx), x, "add")


@overload
def typeof(x: Ref) -> AbstractRef:  # type: ignore[reportOverlappingOverload]
    """The type of a Ref."""


@overload
def typeof(x: object) -> ShapedArray:
    """Of an array, tracer or number."""


def typeof(x: object) -> ShapedArray | AbstractRef:
    """The type of an array, tracer, number, key or Ref; TypeError if it is none of these.

    >>> import covector
    >>> covector.typeof(covector.numpy.ones((2, 3)))
    ShapedArray(float32[2,3])
    >>> covector.typeof(covector.new_ref(1.0)).dtype
    dtype('float32')
    """
    if isinstance(x, Ref):
        return x.aval
    dtype: Any = getattr(x, "dtype", None)
    if getattr(dtype, "type", None) is prng_key:
        return ShapedArray(x.shape, dtype)  # type: ignore[attr-defined]
    found = trace.typeof(x)
    if not isinstance(x, np.ndarray | np.generic):
        return found
    return ShapedArray(found.shape, dtypes.canonical(found.dtype))  # as it is when it enters


publish(__name__)
