"""Operations of arrays, twice: `Ours` by Covector and `Theirs` by NumPy, which says what they mean.

`Theirs` is exact or raises `Inexact`: sums of floats are taken where every order of adding gives the same, so results
are compared bit by bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import ml_dtypes
import numpy as np

import covector.numpy as cnp
from covector import lax

Array = Any
Place = int | slice | np.ndarray


class Inexact(Exception):
    """The sum depends on its order."""


def kind_of(dtype: Any) -> str:
    """The letter for the kind of a dtype, the narrow ones too."""
    dtype = np.dtype(dtype)
    if dtype.kind not in "V":
        return dtype.kind
    return "f" if "float" in dtype.name else "u" if dtype.name.startswith("u") else "i"


def narrow(dtype: Any) -> bool:
    """Whether it is none of NumPy's own."""
    return np.dtype(dtype).isbuiltin != 1


def limits(dtype: Any) -> Any:
    return (ml_dtypes.finfo if kind_of(dtype) in "fc" else ml_dtypes.iinfo)(dtype)


class Both:
    """What is written alike for both; `xp` is the module."""

    xp: ClassVar[Any]

    @classmethod
    def named(cls, *xs: Array, name: str) -> Array:
        return getattr(cls.xp, name)(*xs)

    @classmethod
    def where(cls, where: Array, x: Array, y: Array) -> Array:
        return cls.xp.where(where, x, y)

    @classmethod
    def transpose(cls, x: Array, order: Sequence[int]) -> Array:
        return cls.xp.transpose(x, order)

    @classmethod
    def slice(cls, x: Array, index: tuple[slice, ...]) -> Array:
        return x[index]

    @classmethod
    def concatenate(cls, *xs: Array, axis: int) -> Array:
        return cls.xp.concatenate(xs, axis)

    @classmethod
    def reshape(cls, x: Array, shape: Sequence[int]) -> Array:
        return cls.xp.reshape(x, shape)

    @classmethod
    def broadcast(cls, x: Array, shape: Sequence[int]) -> Array:
        return cls.xp.broadcast_to(x, shape)

    @classmethod
    def roll(cls, x: Array, by: int, axis: int) -> Array:
        return cls.xp.roll(x, by, axis)

    @classmethod
    def flip(cls, x: Array, axes: tuple[int, ...]) -> Array:
        return cls.xp.flip(x, axes)

    @classmethod
    def minus_first(cls, x: Array, axis: int) -> Array:
        return x - cls.xp.expand_dims(cls.xp.take(x, 0, axis=axis), axis)

    @classmethod
    def spread(cls, x: Array, axes: tuple[int, ...], shape: Sequence[int]) -> Array:
        """What a reduction gave, beside all that it was made of."""
        return cls.xp.broadcast_to(cls.xp.expand_dims(x, axes), shape)


class Ours(Both):
    xp = cnp

    @staticmethod
    def lax(*xs: Array, name: str) -> Array:
        return getattr(lax, name)(*xs)

    @staticmethod
    def convert(x: Array, dtype: Any) -> Array:
        return lax.convert_element_type(x, dtype)

    @staticmethod
    def pad(x: Array, by: Any, config: Sequence[tuple[int, int, int]]) -> Array:
        return lax.pad(x, by, config)

    @staticmethod
    def reduce(x: Array, *where: Array, name: str, axes: Any, initial: Any) -> Array:
        options: dict[str, Any] = {"where": where[0]} if where else {}
        if initial is not None:
            options["initial"] = initial
        if name in ("sum", "prod"):
            options["dtype"] = x.dtype
        return getattr(cnp, name)(x, axis=axes, **options)

    @staticmethod
    def position(x: Array, name: str, axis: int) -> Array:
        return getattr(cnp, name)(x, axis=axis).astype(np.int32)

    @staticmethod
    def sort(*xs: Array, axis: int, keys: int, result: int) -> Array:
        return lax.sort(xs, dimension=axis, num_keys=keys)[result]

    @staticmethod
    def running(x: Array, name: str, axis: int, reverse: bool) -> Array:
        return getattr(lax, name)(x, axis, reverse=reverse)

    @staticmethod
    def product(x: Array, y: Array, sums: Any, batch: Any) -> Array:
        return lax.dot_general(x, y, (sums, batch), preferred_element_type=x.dtype)

    @staticmethod
    def gather(x: Array, *where: Array, index: Any, mode: str, fill: Any) -> Array:
        options = {"fill_value": fill} if mode == "fill" else {}
        return x.at[placed(index, where)].get(mode=mode, **options)

    @staticmethod
    def scatter(x: Array, y: Array, *where: Array, index: Any, mode: str, name: str) -> Array:
        return getattr(x.at[placed(index, where)], name)(y, mode=mode)

    @staticmethod
    def dynamic_slice(x: Array, starts: Sequence[int], sizes: Sequence[int]) -> Array:
        return lax.dynamic_slice(x, [cnp.asarray(s, np.int32) for s in starts], sizes)

    @staticmethod
    def dynamic_update(x: Array, y: Array, starts: Sequence[int]) -> Array:
        return lax.dynamic_update_slice(x, y, [cnp.asarray(s, np.int32) for s in starts])


def placed(index: Sequence[Any], where: Sequence[Array]) -> tuple[Any, ...]:
    """An index, whose ellipses stand for arrays that are computed."""
    rest = iter(where)
    return tuple([next(rest) if i is Ellipsis else i for i in index])


class Theirs(Both):
    xp = np

    # -- elementwise -------------------------------------------------------------------------------

    @classmethod
    def named(cls, *xs: Array, name: str) -> Array:
        """In the dtype of the operands, which NumPy's loops for narrow ones leave."""
        found = super().named(*xs, name=name)
        if found.dtype.kind == "c" and name in ("multiply", "square"):
            wide = super().named(*[x.astype(np.complex128) for x in xs], name=name)
            if not np.array_equal(found, wide, equal_nan=True):
                raise Inexact  # in what order it rounds is NumPy's own
        asked = name in ("isnan", "isfinite", "real", "imag") or found.dtype == bool
        return found if asked else found.astype(xs[0].dtype)

    @staticmethod
    def lax(*xs: Array, name: str) -> Array:
        return LAX[name](*xs)

    @staticmethod
    def convert(x: Array, dtype: Any) -> Array:
        """Floats go to the nearest integer towards zero that the dtype has, NaN to 0."""
        if kind_of(x.dtype) != "f" or kind_of(dtype) not in "iu":
            return x.astype(np.int64).astype(dtype) if x.dtype.kind == "b" else x.astype(dtype)
        info, wide = limits(dtype), np.trunc(x.astype(np.float64))
        low, high = wide <= float(info.min), wide >= float(info.max)
        inside = np.where(low | high | np.isnan(wide), 0.0, wide).astype(np.int64)
        if np.dtype(dtype) == np.uint64:
            inside = np.where(low | high | np.isnan(wide), 0.0, wide).astype(np.uint64)
        least, most = [np.asarray(n).astype(dtype) for n in (info.min, info.max)]
        return np.where(low, least, np.where(high, most, inside.astype(dtype)))

    # -- shapes ------------------------------------------------------------------------------------

    @staticmethod
    def pad(x: Array, by: Any, config: Sequence[tuple[int, int, int]]) -> Array:
        for axis, (low, high, inside) in enumerate(config):
            size = x.shape[axis] + max(0, x.shape[axis] - 1) * inside
            whole = np.full(_with(x.shape, axis, size + max(low, 0) + max(high, 0)), by, x.dtype)
            whole[_along(axis, slice(max(low, 0), max(low, 0) + size, inside + 1))] = x
            cut = slice(max(-low, 0), whole.shape[axis] - max(-high, 0))
            x = whole[_along(axis, cut)]
        return x

    # -- reductions --------------------------------------------------------------------------------

    @staticmethod
    def reduce(x: Array, *where: Array, name: str, axes: Any, initial: Any) -> Array:
        if name in ("sum", "prod"):
            exact(x, None if name == "sum" else axes)
        if where:
            start = {"sum": 0, "prod": 1, "any": False, "all": True}.get(name, initial)
            x = np.where(where[0], x, np.asarray(start).astype(x.dtype))
        if name in ("any", "all"):
            return np.asarray(getattr(np, name)(x, axis=axes))
        options: dict[str, Any] = {"dtype": x.dtype} if name in ("sum", "prod") else {}
        if initial is not None:
            options["initial"] = np.asarray(initial).astype(x.dtype)
        return np.asarray(getattr(np, name)(x, axis=axes, **options)).astype(x.dtype)

    @staticmethod
    def position(x: Array, name: str, axis: int) -> Array:
        options = {"kind": "stable"} if name == "argsort" else {}
        return getattr(np, name)(_orderly(x), axis=axis, **options).astype(np.int32)

    @staticmethod
    def sort(*xs: Array, axis: int, keys: int, result: int) -> Array:
        order = np.lexsort([_orderly(x) for x in reversed(xs[:keys])], axis=axis)
        return np.take_along_axis(xs[result], order, axis)

    @staticmethod
    def running(x: Array, name: str, axis: int, reverse: bool) -> Array:
        if name in ("cumsum", "cumprod"):
            exact(x, None if name == "cumsum" else ())
        fold = RUNNING[name]
        turned = np.flip(x, axis) if reverse else x
        found = fold.accumulate(turned, axis, dtype=x.dtype)
        return np.flip(found, axis) if reverse else found

    @staticmethod
    def product(x: Array, y: Array, sums: Any, batch: Any) -> Array:
        exact(x, None, y)
        left, right = list(range(x.ndim)), [20 + i for i in range(y.ndim)]
        for a, b in zip((*sums[0], *batch[0]), (*sums[1], *batch[1]), strict=True):
            right[b] = left[a]
        paired = [left[a] for a in batch[0]]
        first = [n for a, n in enumerate(left) if a not in (*sums[0], *batch[0])]
        last = [n for b, n in enumerate(right) if b not in (*sums[1], *batch[1])]
        wide = [z.astype(np.float64) if kind_of(z.dtype) == "f" else z for z in (x, y)]
        found = np.einsum(wide[0], left, wide[1], right, [*paired, *first, *last])
        return np.asarray(found).astype(x.dtype)

    # -- places ------------------------------------------------------------------------------------

    @staticmethod
    def gather(x: Array, *where: Array, index: Any, mode: str, fill: Any) -> Array:
        index = placed(index, where)
        if mode != "fill":
            return x[_inside(x.shape, index, mode)]
        return _edged(x, index, fill)[_inside(x.shape, index, mode)]

    @staticmethod
    def scatter(x: Array, y: Array, *where: Array, index: Any, mode: str, name: str) -> Array:
        """What falls out falls on an edge that is cut off."""
        index = placed(index, where)
        if name in ("add", "multiply"):
            exact(np.concatenate([x.ravel(), y.ravel()]), None if name == "add" else ())
        whole = _edged(x, index, x.dtype.type(0)).copy()
        places = _inside(x.shape, index, mode)
        if name == "set":
            whole[places] = y
        else:
            getattr(np, NAMES.get(name, name)).at(whole, places, y)
        return whole[tuple([slice(0, n) for n in x.shape])]

    @staticmethod
    def dynamic_slice(x: Array, starts: Sequence[int], sizes: Sequence[int]) -> Array:
        return x[_window(x.shape, starts, sizes)]

    @staticmethod
    def dynamic_update(x: Array, y: Array, starts: Sequence[int]) -> Array:
        x = x.copy()
        x[_window(x.shape, starts, y.shape)] = y
        return x


RUNNING: Mapping[str, np.ufunc] = {
    "cumsum": np.add, "cumprod": np.multiply, "cummax": np.maximum, "cummin": np.minimum,
}  # fmt: skip
NAMES = {"max": "maximum", "min": "minimum"}


# ------------------------------------------------------------------------------------------- the rest


def _with(shape: Sequence[int], axis: int, size: int) -> tuple[int, ...]:
    return (*shape[:axis], size, *shape[axis + 1 :])


def _along(axis: int, part: slice) -> tuple[slice, ...]:
    return (slice(None),) * axis + (part,)


def _window(shape: Any, starts: Any, sizes: Any) -> tuple[slice, ...]:
    """Negative starts count from the end, and what would stick out is moved inside."""
    moved = [s + n if s < 0 else s for s, n in zip(starts, shape, strict=True)]
    inside = [min(max(s, 0), n - z) for s, n, z in zip(moved, shape, sizes, strict=True)]
    return tuple([slice(s, s + z) for s, z in zip(inside, sizes, strict=True)])


def _inside(shape: Sequence[int], index: Sequence[Place], mode: str) -> tuple[Place, ...]:
    """The index with places that NumPy takes: those out of bounds clipped, or at the edge that `_edged` adds."""
    found: list[Place] = []
    for n, place in zip(shape, index, strict=True):
        if isinstance(place, slice):
            found.append(slice(*place.indices(n)) if place.step is None else place)
            continue
        wide = np.asarray(place).astype(np.int64)
        wide = np.where(wide < 0, wide + n, wide)
        wide = np.clip(wide, 0, n - 1) if mode == "clip" else wide
        found.append(np.where((wide < 0) | (wide >= n), n, wide))
    return tuple(found)


def _edged(x: Array, index: Sequence[Place], fill: Any) -> Array:
    """One place more along each axis that has indices."""
    more = [(0, 0) if isinstance(place, slice) else (0, 1) for place in index]
    whole = np.full([n + b for n, (_, b) in zip(x.shape, more, strict=True)], fill, x.dtype)
    whole[tuple([slice(0, n) for n in x.shape])] = x
    return whole


def _orderly(x: Array) -> Array:
    """As numbers that `lexsort` orders as we do: NaNs last."""
    if kind_of(x.dtype) == "f":
        return x.astype(np.float64)
    return x.astype(np.int64) if narrow(x.dtype) else x


def exact(x: Array, axes: Any, other: Array | None = None) -> None:
    """See that sums of these floats, or of their products with others, are the same in any order; products never are.

    They are when all are multiples of some power of 2 and the sum of their moduli is small enough beside it.
    """
    kind = kind_of(x.dtype)
    if kind not in "fc":
        return
    if axes is not None:
        raise Inexact
    digits = limits(x.dtype).nmant + 1
    reach = 1.0
    for z in (x, other):
        if z is None:
            continue
        wide = np.abs(z.astype(np.complex128 if kind == "c" else np.float64))
        parts = np.asarray(z).astype(np.complex128)
        if not np.isfinite(wide).all() or (parts * 8 != np.round(parts * 8)).any():
            raise Inexact
        reach *= max(float(wide.sum()), 1.0) * 8
    if reach >= 2.0**digits:
        raise Inexact


# ---------------------------------------------------------------------------------------- names of lax


def _unsigned(x: Array) -> Array:
    return x.view(np.dtype(f"u{x.dtype.itemsize}"))


def _signed(x: Array) -> Array:
    return x.view(np.dtype(f"i{x.dtype.itemsize}"))


def _div(x: Array, y: Array) -> Array:
    """Towards zero; by 0 it is -1, all bits set, and the least number by -1 itself."""
    wide = [z.astype(object) for z in (x, y)]
    quotient = np.frompyfunc(
        lambda a, b: -1 if b == 0 else abs(a) // abs(b) * (-1 if (a < 0) != (b < 0) else 1), 2, 1
    )(*wide)
    return _wrapped(quotient, x.dtype)


def _rem(x: Array, y: Array) -> Array:
    """With the sign of the first; by 0 it is the first."""
    wide = [z.astype(object) for z in (x, y)]
    left = np.frompyfunc(
        lambda a, b: a if b == 0 else abs(a) % abs(b) * (-1 if a < 0 else 1), 2, 1
    )(*wide)
    return _wrapped(left, x.dtype)


def _wrapped(x: Array, dtype: Any) -> Array:
    """Python's integers, into a dtype as it wraps."""
    bits = 8 * np.dtype(dtype).itemsize
    low = 0 if np.dtype(dtype).kind == "u" else -(2 ** (bits - 1))
    inside = np.frompyfunc(lambda a: (int(a) - low) % 2**bits + low, 1, 1)(x)
    return np.asarray(inside).astype(dtype)


def _shift(arithmetic: bool, left: bool) -> Callable[[Array, Array], Array]:
    def shift(x: Array, y: Array) -> Array:
        """By all bits or more nothing is left, or the sign."""
        bits = 8 * x.dtype.itemsize
        by = _unsigned(y).astype(np.uint64)
        far = by >= bits
        if arithmetic:
            z = _signed(x)
            return (z >> np.where(far, bits - 1, by).astype(z.dtype)).view(x.dtype)
        z = _unsigned(x)
        near = np.where(far, 0, by).astype(z.dtype)
        moved = z << near if left else z >> near
        return np.where(far, z.dtype.type(0), moved).astype(z.dtype).view(x.dtype)

    return shift


def _clz(x: Array) -> Array:
    wide = _unsigned(x).astype(object)
    bits = 8 * x.dtype.itemsize
    return np.asarray(np.frompyfunc(lambda a: bits - int(a).bit_length(), 1, 1)(wide)).astype(
        x.dtype
    )


LAX: Mapping[str, Callable[..., Array]] = {
    "div": _div, "rem": _rem, "clz": _clz,
    "shift_left": _shift(False, True), "shift_right_logical": _shift(False, False),
    "shift_right_arithmetic": _shift(True, False),
    "population_count": lambda x: np.bitwise_count(_unsigned(x)).astype(x.dtype),
}  # fmt: skip
