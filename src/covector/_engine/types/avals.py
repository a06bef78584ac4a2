"""`ShapedArray`: what is known of an array before it is computed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from covector._engine.base import errors
from covector._engine.base.locks import import_late
from covector._engine.types import dims, dtypes
from covector._engine.types.dims import Dim, product

if TYPE_CHECKING:
    from covector._engine.types.sharding import NamedSharding, Sharding

MAX_BYTES = 2**62  # what the native core allows: sums of offsets fit an int64

# What short names of dtypes say for their kinds; the longer names come first.
_LETTERS = (
    ("bfloat", "bf"),
    ("float", "f"),
    ("uint", "u"),
    ("int", "i"),
    ("complex", "c"),
)


class ShapedArray:
    """An abstract value: shape (of dims), dtype, weak type.  Immutable; equal by content.

    A sharding that is given says nothing: there is one device.

    A plain class with slots, not a frozen dataclass: tracing makes one per operation, and this is 4 times
    quicker to build.
    """

    __slots__ = ("_hash", "dtype", "shape", "weak_type")

    def __init__(
        self,
        shape: tuple[Dim, ...],
        dtype: np.dtype | type | str,
        weak_type: bool = False,
        *,
        sharding: Sharding | None = None,
    ):
        self.shape = shape if type(shape) is tuple else tuple(shape)
        # As users may write it: a scalar type, or its name.
        self.dtype: np.dtype = dtypes.as_dtype(dtype) if isinstance(dtype, type | str) else dtype
        self.weak_type = weak_type
        self._hash = 0

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> Dim:
        """The number of elements."""
        return product(self.shape)

    @property
    def sharding(self) -> NamedSharding:
        """How values of this type are spread: over no mesh."""
        return import_late("covector._engine.types.sharding").over_no_mesh(self.ndim)

    def __eq__(self, other: object) -> bool:
        return self is other or (
            type(other) is ShapedArray
            and self.shape == other.shape
            and self.dtype == other.dtype
            and self.weak_type == other.weak_type
        )

    def __hash__(self) -> int:
        if not self._hash:
            self._hash = hash((self.shape, self.dtype, self.weak_type))
        return self._hash

    def __repr__(self) -> str:
        return f"ShapedArray({self.text()})"

    def __str__(self) -> str:
        return self.text()

    def str_short(self, short_dtypes: bool = False) -> str:
        """What JAX has of that name: without weakness, and with letters for dtypes if they are to be short: f32[3]."""
        text = self.strong().text()
        for kind, letter in _LETTERS if short_dtypes else ():
            text = text.replace(kind, letter)
        return text

    def text(self) -> str:
        """Short form: float32[3,n]; a star marks a weak type."""
        return f"{self.dtype.name}{'*' if self.weak_type else ''}[{','.join(map(str, self.shape))}]"

    def check_size(self, what: str) -> None:
        """MemoryError if it has more bytes than can be addressed; indices would overflow."""
        if dims.is_constant(self.shape) and self.size * self.dtype.itemsize >= MAX_BYTES:
            raise MemoryError(errors.too_large(what, self.text()))

    def strong(self) -> ShapedArray:
        """The same without weakness."""
        return ShapedArray(self.shape, self.dtype) if self.weak_type else self

    def with_shape(self, shape: tuple[Dim, ...]) -> ShapedArray:
        """The same dtype and weakness in another shape."""
        return ShapedArray(shape, self.dtype, self.weak_type)

    def update(self, **changes: Any) -> ShapedArray:
        """The same with another shape, dtype, or weakness."""
        return ShapedArray(
            tuple(changes.pop("shape", self.shape)),
            np.dtype(changes.pop("dtype", self.dtype)),
            changes.pop("weak_type", self.weak_type),
            **changes,
        )

    def wide(self) -> ShapedArray | None:
        """Of what may come from numbers and has 32 bits, the type in 64; None for other types."""
        dtype = dtypes.WIDE.get(self.dtype) if self.weak_type else None
        return None if dtype is None else ShapedArray(self.shape, dtype, True)

    def tangent(self) -> ShapedArray:
        """The type of tangents and cotangents of values of this type."""
        return ShapedArray(self.shape, self.dtype, self.weak_type)

    def to_tangent_aval(self) -> ShapedArray:
        """The same, under JAX's name."""
        return self.tangent()

    def at_least_vspace(self) -> ShapedArray:
        """The same, under a name that JAX had before."""
        return self.tangent()

    def differentiable(self) -> bool:
        """Whether values of this type have tangents: floating and complex ones do."""
        return dtypes.is_inexact(self.dtype)


class ShapeDtypeStruct:
    """A shape and a dtype in place of an array: for `eval_shape`, `make_jaxpr` and `jit(f).lower`.

    >>> import covector
    >>> from covector import numpy as cnp
    >>> covector.eval_shape(cnp.sum, covector.ShapeDtypeStruct((3, 2), cnp.float32))
    ShapeDtypeStruct(shape=(), dtype=float32)
    """

    __slots__ = ("dtype", "shape", "sharding", "weak_type")

    def __init__(
        self, shape: Any, dtype: Any, *, sharding: Sharding | None = None, weak_type: bool = False
    ):
        self.shape: tuple[Dim, ...] = tuple(shape)
        self.dtype = dtypes.named_dtype(dtype)
        self.weak_type = weak_type
        self.sharding = sharding  # as it was given: there is one device

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> Dim:
        """The number of elements."""
        return product(self.shape)

    def update(self, **changes: Any) -> ShapeDtypeStruct:
        """The same with another shape, dtype, sharding or weak type.

        >>> import covector
        >>> covector.ShapeDtypeStruct((3,), float).update(shape=(2,))
        ShapeDtypeStruct(shape=(2,), dtype=float32)
        """
        names = ("shape", "dtype", "sharding", "weak_type")
        return ShapeDtypeStruct(
            **{name: changes.pop(name, getattr(self, name)) for name in names}, **changes
        )

    def _key(self) -> tuple[Any, ...]:
        return self.shape, self.dtype, self.sharding, self.weak_type

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ShapeDtypeStruct) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a ShapeDtypeStruct of shape ()")
        return int(self.shape[0])

    def __repr__(self) -> str:
        weak = ", weak_type=True" if self.weak_type else ""
        return f"ShapeDtypeStruct(shape={self.shape}, dtype={self.dtype.name}{weak})"


def described(x: ShapeDtypeStruct | ShapedArray) -> ShapedArray:
    """The type of the array in whose place it is."""
    if isinstance(x, ShapedArray):
        return x
    return ShapedArray(x.shape, dtypes.canonical(x.dtype), x.weak_type)


def bind_dims(avals: Sequence[ShapedArray], shapes: Sequence[Sequence[int]]) -> dict[str, Dim]:
    """The values of the symbolic dimensions, from the operands' shapes; ValueError if they contradict each other."""
    values: dict[str, Dim] = {}
    for aval, shape in zip(avals, shapes, strict=True):
        for d, n in zip(aval.shape, shape, strict=True):
            if isinstance(d, int):
                continue
            name = str(d)
            if (
                len(d.terms) == 1
                and d.terms[0][1] == 1
                and len(d.terms[0][0]) == 1
                and d.terms[0][0][0].op == "symbol"
            ):
                known = values.setdefault(name, n)
                if known != n:
                    raise ValueError(
                        f"the dimension {name} is {known} in one operand and {n} in another"
                    )
    for aval, shape in zip(avals, shapes, strict=True):
        for d, n in zip(aval.shape, shape, strict=True):
            if dims.substitute(d, values) != n:
                raise ValueError(
                    f"the dimension {d} of {aval.text()} is {dims.substitute(d, values)}, but the operand has {n}"
                )
    return values


# Selecting from arrays of so many elements costs less than changing single ones of them.
FEW = 64


def is_large(aval: ShapedArray) -> bool:
    """Whether to go through all of an array costs more than to change single elements."""
    return not (isinstance(aval.size, int) and aval.size <= FEW)
