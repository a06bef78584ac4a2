"""Movements: elements change place, not value."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.base.record import record
from covector._engine.core.families import Mapped, Movement, View
from covector._engine.core.symbolic import Linear
from covector._engine.core.trace import typeof
from covector._engine.ir import scalar
from covector._engine.ir.index import Index, both, compare, divide, flatten, to_scalar, unflatten
from covector._engine.ir.scalar import Expr, Scalar, const
from covector._engine.primitives import laws
from covector._engine.types import dims, dtypes
from covector._engine.types.avals import ShapedArray
from covector._engine.types.dims import Dim

__all__ = [
    "Broadcast",
    "Concatenate",
    "Copy",
    "Iota",
    "Pad",
    "Reshape",
    "Reverse",
    "Slice",
    "Transpose",
    "check_axes",
    "choose",
    "dilated",
    "expand_dims",
    "show_shape",
    "squeeze",
]

Shape = tuple[Dim, ...]


def show_shape(shape: Sequence[Dim]) -> str:
    """A shape for a message."""
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"


def check_axes(name: str, axes: Sequence[int], ndim: int) -> None:
    """ValueError unless the axes are different ones of an array of rank ndim."""
    if any(not 0 <= a < ndim for a in axes):
        raise errors.AxisError(
            f"{name} got axes {tuple(axes)} of an array with {ndim} dimensions{errors.at_user_line()}"
        )
    if len(set(axes)) != len(axes):
        raise errors.ShapeError(f"{name} got an axis twice: {tuple(axes)}{errors.at_user_line()}")


def check_sizes(name: str, shape: Shape) -> None:
    """ValueError if a dimension is negative."""
    for n in shape:
        if isinstance(n, int) and n < 0:
            raise errors.ShapeError(errors.negative_size(name, show_shape(shape)))


def _check_lengths(name: str, x: ShapedArray, **parameters: Sequence[Any]) -> None:
    for what, values in parameters.items():
        if len(values) != x.ndim:
            raise errors.ShapeError(
                f"{name} needs {what} for each of the {x.ndim} dimensions of {x.text()}, "
                f"got {tuple(values)}{errors.at_user_line()}"
            )


def _insert(values: Sequence[Any], position: int, value: Any) -> tuple[Any, ...]:
    return (*values[:position], value, *values[position:])


# ---------------------------------------------------------------------------------- broadcast, reshape, permute


@record
class Broadcast(Movement):
    """The operand repeated along new axes: `axes` of the result's `shape`; its other axes are the operand's."""

    shape: Shape
    axes: tuple[int, ...]
    fills: ClassVar[bool] = True
    name: ClassVar[str] = "broadcast"
    simplified = laws.broadcasts

    def kept(self) -> list[int]:
        """The axes of the result that are the operand's."""
        return [i for i in range(len(self.shape)) if i not in self.axes]

    def type(self, x: ShapedArray) -> ShapedArray:
        check_axes(self.name, self.axes, len(self.shape))
        check_sizes(self.name, self.shape)
        if x.shape != tuple([self.shape[i] for i in self.kept()]):
            raise errors.ShapeError(
                f"broadcast of {x.text()} to {show_shape(self.shape)} with the new axes {self.axes} does not keep "
                f"the operand's dimensions in order{errors.at_user_line()}"
            )
        return x.with_shape(self.shape)

    def reference(self, x: Any) -> Any:
        return np.broadcast_to(np.expand_dims(x, self.axes), prims.sizes(self.shape))

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        return prims.linear_jvp(self, primals, tangents)

    def transpose(self, ct: Any, x: Linear) -> Sequence[Any]:
        return (prims.Sum(tuple(sorted(self.axes)))(ct) if self.axes else ct,)

    def batch(self, args: Sequence[Any], dims: Sequence[int | None], size: Dim) -> tuple[Any, Any]:
        (x,), (d,) = args, dims
        assert d is not None
        place = (*self.kept(), len(self.shape))[d]
        axes = tuple([a + (a >= place) for a in self.axes])
        return Broadcast(_insert(self.shape, place, size), axes)(x), place

    def element(self, index: Index, *xs: View) -> Scalar:
        return xs[0](tuple([index[i] for i in self.kept()]))


@record
class Reshape(Movement):
    """The same elements in row-major order in another shape."""

    shape: Shape
    name: ClassVar[str] = "reshape"
    same_memory: ClassVar[bool] = True
    simplified = laws.reshapes

    def type(self, x: ShapedArray) -> ShapedArray:
        check_sizes(self.name, self.shape)
        if dims.product(self.shape) != x.size:
            raise errors.ShapeError(
                f"reshape of {x.text()}, which has {x.size} elements, to {show_shape(self.shape)}, "
                f"which has {dims.product(self.shape)}{errors.at_user_line()}"
            )
        return x.with_shape(self.shape)

    def reference(self, x: Any) -> Any:
        return np.reshape(x, prims.sizes(self.shape))

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        return prims.linear_jvp(self, primals, tangents)

    def transpose(self, ct: Any, x: Linear) -> Sequence[Any]:
        return (Reshape(x.aval.shape)(ct),)

    def batch(self, args: Sequence[Any], dims: Sequence[int | None], size: Dim) -> tuple[Any, Any]:
        (x,), (d,) = args, dims
        assert d is not None
        shape = typeof(x).shape
        place = _same_prefix(shape[:d], self.shape)
        if place is None:  # the batch axis is inside a group of axes that merge or split
            x, place = prims.move_axis(x, d, 0), 0
        return Reshape(_insert(self.shape, place, size))(x), place

    def element(self, index: Index, *xs: View) -> Scalar:
        (x,) = xs
        result: list[Dim] = [0] * len(x.shape)
        for old, new in axis_groups(x.shape, self.shape):
            if len(old) == len(new) == 1:
                result[old[0]] = index[new[0]]
                continue
            offset = flatten([index[i] for i in new], [self.shape[i] for i in new])
            for axis, i in zip(old, unflatten(offset, [x.shape[a] for a in old]), strict=True):
                result[axis] = i
        return x(tuple(result))


def _same_prefix(prefix: Shape, shape: Shape) -> int | None:
    """How many axes of `shape` hold as many elements as `prefix`, if that can be."""
    wanted = dims.product(prefix)
    for place in range(len(shape) + 1):
        if dims.product(shape[:place]) == wanted:
            return place
    return None


def axis_groups(old: Shape, new: Shape) -> list[tuple[list[int], list[int]]]:
    """The smallest groups of neighbouring axes that a reshape maps to each other; axes of size 1 are in none."""
    olds = [i for i, d in enumerate(old) if d != 1]
    news = [i for i, d in enumerate(new) if d != 1]
    groups: list[tuple[list[int], list[int]]] = []
    start, done = 0, 0
    for end in range(1, len(olds) + 1):
        size = dims.product([old[i] for i in olds[start:end]])
        stops = [
            n
            for n in range(done + 1, len(news) + 1)
            if dims.product([new[i] for i in news[done:n]]) == size
        ]
        if stops:
            groups.append((olds[start:end], news[done : stops[0]]))
            start, done = end, stops[0]
    if start < len(olds) or done < len(news):  # only where a size is 0
        groups.append((olds[start:], news[done:]))
    return groups


def expand_dims(x: Any, axes: Sequence[int]) -> Any:
    """The array with new axes of size 1, at these places of the result."""
    shape = list(typeof(x).shape)
    for a in sorted(axes):
        shape.insert(a, 1)
    return Reshape(tuple(shape))(x) if axes else x


def squeeze(x: Any, axes: Sequence[int]) -> Any:
    """The array without these axes, which have size 1."""
    shape = typeof(x).shape
    return Reshape(tuple([d for i, d in enumerate(shape) if i not in axes]))(x) if axes else x


@record
class Transpose(Movement):
    """Axes in another order: axis i of the result is axis permutation[i] of the operand."""

    permutation: tuple[int, ...]
    name: ClassVar[str] = "transpose"
    simplified = laws.permutations

    def type(self, x: ShapedArray) -> ShapedArray:
        if sorted(self.permutation) != list(range(x.ndim)):
            raise errors.ShapeError(
                f"transpose got {self.permutation}, which is not a permutation of the {x.ndim} axes of {x.text()}"
                f"{errors.at_user_line()}"
            )
        return x.with_shape(tuple([x.shape[p] for p in self.permutation]))

    def reference(self, x: Any) -> Any:
        return np.transpose(x, self.permutation)

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        return prims.linear_jvp(self, primals, tangents)

    def transpose(self, ct: Any, x: Linear) -> Sequence[Any]:
        return (Transpose(prims.inverse_permutation(self.permutation))(ct),)

    def batch(self, args: Sequence[Any], dims: Sequence[int | None], size: Dim) -> tuple[Any, Any]:
        (x,), (d,) = args, dims
        assert d is not None
        return Transpose((d, *[p + (p >= d) for p in self.permutation]))(x), 0

    def element(self, index: Index, *xs: View) -> Scalar:
        return xs[0](tuple([index[i] for i in prims.inverse_permutation(self.permutation)]))


@record
class Reverse(Movement):
    """The axes run backwards."""

    axes: tuple[int, ...]
    name: ClassVar[str] = "rev"

    def type(self, x: ShapedArray) -> ShapedArray:
        check_axes(self.name, self.axes, x.ndim)
        return x

    def reference(self, x: Any) -> Any:
        return np.flip(x, self.axes)

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        return prims.linear_jvp(self, primals, tangents)

    def transpose(self, ct: Any, x: Linear) -> Sequence[Any]:
        return (self(ct),)

    def batch(self, args: Sequence[Any], dims: Sequence[int | None], size: Dim) -> tuple[Any, Any]:
        (x,), (d,) = args, dims
        assert d is not None
        return Reverse(tuple([a + (a >= d) for a in self.axes]))(x), d

    def element(self, index: Index, *xs: View) -> Scalar:
        (x,) = xs
        numbered = enumerate(zip(index, x.shape, strict=True))
        return x(tuple([n - 1 - i if a in self.axes else i for a, (i, n) in numbered]))


@record
class Copy(Movement):
    """The operand itself, as a value of its own."""

    name: ClassVar[str] = "copy"

    def type(self, x: ShapedArray) -> ShapedArray:
        return x

    def reference(self, x: Any) -> Any:
        return np.copy(x)

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        return prims.linear_jvp(self, primals, tangents)

    def transpose(self, ct: Any, x: Linear) -> Sequence[Any]:
        return (ct,)

    def batch(self, args: Sequence[Any], dims: Sequence[int | None], size: Dim) -> tuple[Any, Any]:
        return self(args[0]), dims[0]

    def element(self, index: Index, *xs: View) -> Scalar:
        return xs[0](index)


# ------------------------------------------------------------------------------------------------ slice and pad


def dilated(n: Dim, interior: int) -> Dim:
    """The length of n elements with `interior` others between each two."""
    return n if interior == 0 else n + dims.maximum(n - 1, 0) * interior


@record
class Slice(Movement):
    """The elements from `starts` to below `limits`, each `strides`-th of them."""

    starts: Shape
    limits: Shape
    strides: tuple[int, ...]
    name: ClassVar[str] = "slice"
    simplified = laws.same_shape

    def lengths(self) -> Shape:
        """The shape of the result."""
        sizes = [
            dims.floordiv(stop - start + step - 1, step)
            for start, stop, step in zip(self.starts, self.limits, self.strides, strict=True)
        ]
        return tuple(sizes)

    def type(self, x: ShapedArray) -> ShapedArray:
        _check_lengths(self.name, x, starts=self.starts, limits=self.limits, strides=self.strides)
        for axis, (start, stop, step, n) in enumerate(
            zip(self.starts, self.limits, self.strides, x.shape, strict=True)
        ):
            bad = dims.is_true(lambda a=start: a < 0) or dims.is_true(lambda a=start, b=stop: a > b)
            if step < 1 or bad or dims.is_true(lambda b=stop, n=n: b > n):
                raise errors.ShapeError(
                    f"slice from {start} to {stop} with stride {step} does not fit axis {axis} of {x.text()}"
                    f"{errors.at_user_line()}; it needs 0 <= start <= limit <= {n} and a stride of at least 1"
                )
        return x.with_shape(self.lengths())

    def reference(self, x: Any) -> Any:
        slices = zip(self.starts, self.limits, self.strides, strict=True)
        return x[tuple([slice(*s) for s in slices])]

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        return prims.linear_jvp(self, primals, tangents)

    def transpose(self, ct: Any, x: Linear) -> Sequence[Any]:
        interior = tuple([step - 1 for step in self.strides])
        axes = zip(x.aval.shape, self.starts, typeof(ct).shape, interior, strict=True)
        high = [n - start - dilated(m, i) for n, start, m, i in axes]
        return (Pad(self.starts, tuple(high), interior)(ct, np.zeros((), typeof(ct).dtype)[()]),)

    def batch(self, args: Sequence[Any], dims: Sequence[int | None], size: Dim) -> tuple[Any, Any]:
        (x,), (d,) = args, dims
        assert d is not None
        return Slice(
            _insert(self.starts, d, 0), _insert(self.limits, d, size), _insert(self.strides, d, 1)
        )(x), d

    def element(self, index: Index, *xs: View) -> Scalar:
        return xs[0](
            tuple([a + i * s for i, a, s in zip(index, self.starts, self.strides, strict=True)])
        )


@record
class Pad(Movement):
    """The operand with a value around it and between its elements; negative padding cuts.  Operands: x, the value."""

    low: Shape
    high: Shape
    interior: tuple[int, ...]
    name: ClassVar[str] = "pad"
    simplified = laws.no_padding

    def type(self, x: ShapedArray, value: ShapedArray) -> ShapedArray:
        _check_lengths(self.name, x, low=self.low, high=self.high, interior=self.interior)
        if value.shape or value.dtype != x.dtype:
            raise TypeError(
                f"pad of {x.text()} needs a scalar of the same dtype as the padding value, got {value.text()}"
                f"{errors.at_user_line()}"
            )
        axes = zip(x.shape, self.low, self.high, self.interior, strict=True)
        shape = tuple([low + dilated(n, interior) + high for n, low, high, interior in axes])
        if any(i < 0 for i in self.interior) or any(dims.is_true(lambda n=n: n < 0) for n in shape):
            raise errors.ShapeError(
                f"pad of {x.text()} with low={self.low}, high={self.high}, interior={self.interior} gives the shape "
                f"{show_shape(shape)}{errors.at_user_line()}"
            )
        return ShapedArray(shape, x.dtype, x.weak_type and value.weak_type)

    def reference(self, x: Any, value: Any) -> Any:
        spread = np.full(
            [dilated(n, i) for n, i in zip(x.shape, self.interior, strict=True)], value, x.dtype
        )
        spread[tuple([slice(None, None, i + 1) for i in self.interior])] = x
        ends = list(zip(prims.sizes(self.low), prims.sizes(self.high), strict=True))
        around = [(max(a, 0), max(b, 0)) for a, b in ends]
        padded = np.pad(spread, around, constant_values=value) if around else spread
        keep = [
            slice(max(-a, 0), n - max(-b, 0)) for (a, b), n in zip(ends, padded.shape, strict=True)
        ]
        return padded[tuple(keep)]

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        return prims.linear_jvp(self, primals, tangents)

    def transpose(self, ct: Any, x: Any, value: Any) -> Sequence[Any]:
        back = self._inside(ct, (x.aval if isinstance(x, Linear) else typeof(x)).shape)
        to_value = None
        if isinstance(value, Linear):
            everything = tuple(range(typeof(ct).ndim))
            to_value = prims.sub(prims.Sum(everything)(ct), prims.Sum(everything)(back))
        return back if isinstance(x, Linear) else None, to_value

    def _inside(self, ct: Any, shape: Shape) -> Any:
        """The elements of the result that are the operand's; zeros for those that were cut away."""
        spread = [dilated(n, i) for n, i in zip(shape, self.interior, strict=True)]
        if all(dims.is_true(lambda p=p: p >= 0) for p in (*self.low, *self.high)):
            starts, limits = self.low, tuple([a + n for a, n in zip(self.low, spread, strict=True)])
        else:
            low, high = (tuple([-p for p in padding]) for padding in (self.low, self.high))
            ct = Pad(low, high, (0,) * len(low))(ct, np.zeros((), typeof(ct).dtype)[()])
            starts, limits = (0,) * len(low), tuple(spread)
        return Slice(starts, limits, tuple([i + 1 for i in self.interior]))(ct)

    def batch(self, args: Sequence[Any], dims: Sequence[int | None], size: Dim) -> tuple[Any, Any]:
        (x, value), (d, e) = args, dims
        if d is None:
            x, d = prims.add_batch_axis(x, size), 0
        padding = Pad(
            _insert(self.low, d, 0), _insert(self.high, d, 0), _insert(self.interior, d, 0)
        )
        if e is None:
            return padding(x, value), d
        dtype, shape = typeof(x).dtype, typeof(x).shape
        padded = padding(x, np.zeros((), dtype)[()])
        own = padding(prims.full(shape, True, dtypes.bool_), np.False_)
        out = typeof(padded).shape
        values = prims.Broadcast(out, tuple([i for i in range(len(out)) if i != d]))(value)
        return prims.select(own, padded, values), d

    def work(self, operands: int) -> float:
        return 2.0

    def element(self, index: Index, *xs: View) -> Scalar:
        x, value = xs
        conditions: list[Expr] = []
        inner: list[Dim] = []
        for i, low, interior, n in zip(index, self.low, self.interior, x.shape, strict=True):
            place, rest = divide(i - low, interior + 1)
            conditions += [
                compare("ge", i - low, 0),
                compare("lt", place, n),
                compare("eq", rest, 0),
            ]
            inner.append(place)
        own = both(*conditions)
        return choose(own, x.guarded(own, tuple(inner)), value(()))


def choose(condition: Expr, yes: Scalar, no: Scalar) -> Scalar:
    """`yes` where the condition holds, else `no`, also of complex elements; a constant condition folds."""
    if condition.op == "const":
        return yes if condition.attr else no
    if isinstance(yes, tuple):
        assert isinstance(no, tuple)
        return scalar.select(condition, yes[0], no[0]), scalar.select(condition, yes[1], no[1])
    assert isinstance(no, Expr)
    return scalar.select(condition, yes, no)


# -------------------------------------------------------------------------------------------- concatenate, iota


@record
class Concatenate(Movement):
    """The operands one after another along an axis."""

    axis: int
    name: ClassVar[str] = "concatenate"
    simplified = laws.concatenation

    def type(self, *xs: ShapedArray) -> ShapedArray:
        if not xs:
            raise TypeError(f"concatenate needs at least one array{errors.at_user_line()}")
        first = xs[0]
        check_axes(self.name, (self.axis,), first.ndim)
        rest = [x.shape[: self.axis] + x.shape[self.axis + 1 :] for x in xs if x.ndim == first.ndim]
        if (
            len(rest) != len(xs)
            or any(r != rest[0] for r in rest)
            or any(x.dtype != first.dtype for x in xs)
        ):
            raise TypeError(
                f"concatenate along axis {self.axis} needs arrays of one dtype that differ in that axis only, "
                f"got {', '.join(x.text() for x in xs)}{errors.at_user_line()}"
            )
        length: Dim = 0
        for x in xs:
            length = length + x.shape[self.axis]
        shape = (*first.shape[: self.axis], length, *first.shape[self.axis + 1 :])
        return ShapedArray(shape, first.dtype, all(x.weak_type for x in xs))

    def reference(self, *xs: Any) -> Any:
        return np.concatenate(xs, self.axis)

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        return prims.linear_jvp(self, primals, tangents)

    def transpose(self, ct: Any, *xs: Any) -> Sequence[Any]:
        start: Dim = 0
        result: list[Any] = []
        for x in xs:
            shape = (x.aval if isinstance(x, Linear) else typeof(x)).shape
            stop = start + shape[self.axis]
            starts = tuple([start if a == self.axis else 0 for a in range(len(shape))])
            limits = tuple([stop if a == self.axis else n for a, n in enumerate(shape)])
            result.append(
                Slice(starts, limits, (1,) * len(shape))(ct) if isinstance(x, Linear) else None
            )
            start = stop
        return result

    def batch(self, args: Sequence[Any], dims: Sequence[int | None], size: Dim) -> tuple[Any, Any]:
        xs, d = prims.same_batch_axis(args, dims, size)
        return Concatenate(self.axis + (self.axis >= d))(*xs), d

    def work(self, operands: int) -> float:
        return float(operands)  # a comparison and a choice for each but one

    def element(self, index: Index, *xs: View) -> Scalar:
        starts: list[Dim] = [0]
        for x in xs:
            starts.append(starts[-1] + x.shape[self.axis])
        i = index[self.axis]
        result: Scalar | None = None
        for k in reversed(self._met(starts, i)):
            inner = (*index[: self.axis], i - starts[k], *index[self.axis + 1 :])
            below, above = compare("lt", i, starts[k + 1]), compare("ge", i, starts[k])
            mine = both(below, above)
            if xs[k].shape[self.axis] == 0 or (mine.op == "const" and not mine.attr):
                continue
            value = xs[k].guarded(mine, inner)
            result = value if result is None else choose(below, value, result)
        return xs[-1](index) if result is None else result

    def _met(self, starts: Sequence[Dim], i: Dim) -> range:
        """Which operands an index can be in: of a thousand operands of one element, one, if it is a number."""
        count = len(starts) - 1
        low, high = dims.bounds(i)
        known = [n for n in starts if isinstance(n, int)]
        if low is None or high is None or len(known) <= count:
            return range(count)
        return range(max(bisect_right(known, low) - 1, 0), min(bisect_left(known, high + 1), count))


@record
class Iota(Mapped):
    """The index along an axis, as a value.  It has no operands."""

    shape: Shape
    dtype: np.dtype
    axis: int
    name: ClassVar[str] = "iota"
    no_slope: ClassVar[str | None] = "it has no operands"

    def type(self) -> ShapedArray:
        check_axes(self.name, (self.axis,), len(self.shape))
        check_sizes(self.name, self.shape)
        if self.dtype == dtypes.bool_:
            raise TypeError(f"iota needs a number dtype, got bool{errors.at_user_line()}")
        return ShapedArray(self.shape, self.dtype)

    def reference(self) -> Any:
        shape = prims.sizes(self.shape)
        counts = np.arange(shape[self.axis]).astype(self.dtype)
        others = tuple([a for a in range(len(shape)) if a != self.axis])
        return np.broadcast_to(np.expand_dims(counts, others), shape)

    def work(self, operands: int) -> float:
        return 1.0

    def element(self, index: Index, *xs: View) -> Scalar:
        real = dtypes.real_of(self.dtype)
        value = to_scalar(index[self.axis], real)
        return (value, const(0, real)) if dtypes.is_complex(self.dtype) else value
