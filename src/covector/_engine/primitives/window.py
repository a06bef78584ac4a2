"""Reductions of windows that slide over all axes, and what goes back through the selection of an extreme element.

A window of few places is written out where its result is needed, place by place.  One of many is reduced axis by
axis, and along an axis by doubling: of 1,000 places 19 steps are left.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.base.record import fields, record, replace
from covector._engine.core.primitive import (
    Index,
    Linear,
    MadeBy,
    Mapped,
    Primitive,
    Scalar,
    View,
    Zero,
    is_zero,
)
from covector._engine.core.trace import typeof
from covector._engine.ir import index as ix, scalar
from covector._engine.ir.program import Atom, Eqn, Literal
from covector._engine.ir.scalar import Expr, const
from covector._engine.primitives.laws import Rewriting
from covector._engine.primitives.slide import Pairs, Slide
from covector._engine.types import dims as sizes, dtypes
from covector._engine.types.avals import ShapedArray
from covector._engine.types.dims import Dim

__all__ = [
    "ScatterToPlaces",
    "SelectAndGatherAdd",
    "SelectAndScatterAdd",
    "WindowAll",
    "WindowAny",
    "WindowArg",
    "WindowFold",
    "WindowMax",
    "WindowMin",
    "WindowProd",
    "WindowSum",
    "WindowXor",
    "Windows",
]

Axes = tuple[int, ...]

FEW_PLACES = 16  # of a window that is written out


@record
class Windows(Mapped):
    """Windows over all axes of an operand."""

    window_dimensions: Axes
    window_strides: Axes
    padding: Pairs
    base_dilation: Axes
    window_dilation: Axes
    name: ClassVar[str] = "reduce_window"

    def slides(self, shape: Sequence[Dim]) -> tuple[Slide, ...]:
        """How a window slides along each axis of an operand of this shape."""
        return tuple(
            [
                Slide(n, window, stride, low, high, base, spread)
                for n, window, stride, (low, high), base, spread in zip(
                    shape,
                    self.window_dimensions,
                    self.window_strides,
                    self.padding,
                    self.base_dilation,
                    self.window_dilation,
                    strict=True,
                )
            ]
        )

    def counts(self, x: ShapedArray) -> tuple[Dim, ...]:
        """How many places the window has along each axis; ValueError if it does not fit."""
        for field in (
            "window_dimensions",
            "window_strides",
            "padding",
            "base_dilation",
            "window_dilation",
        ):
            if len(getattr(self, field)) != x.ndim:
                raise ValueError(
                    f"{self.name} of {x.text()} needs {field} for each of its {x.ndim} axes, got {getattr(self, field)}"
                    f"{errors.at_user_line()}"
                )
        if any(n < 1 for n in self.window_dimensions):
            raise ValueError(
                f"{self.name} needs windows of at least one place along each axis, got {self.window_dimensions}"
                f"{errors.at_user_line()}"
            )
        slides = self.slides(x.shape)
        prims.check_slides(self.name, slides)
        return tuple([s.count for s in slides])

    @property
    def places(self) -> int:
        """How many places the window has."""
        return int(np.prod(self.window_dimensions))

    def with_axis(self, d: int) -> Windows:
        """The same beside a batch axis at d."""
        return replace(
            self,
            **{
                field: (*getattr(self, field)[:d], none, *getattr(self, field)[d:])
                for field, none in (
                    ("window_dimensions", 1),
                    ("window_strides", 1),
                    ("padding", (0, 0)),
                    ("base_dilation", 1),
                    ("window_dilation", 1),
                )
            },
        )

    def batch(self, args: Sequence[Any], dims: Sequence[int | None], size: Dim) -> tuple[Any, Any]:
        xs, d = prims.same_batch_axis(args, dims, size)
        return self.with_axis(d)(*xs), d

    def work(self, operands: int) -> float:
        return float(operands * self.places)

    def parts(self, x: Any, padding: Any) -> Iterator[tuple[int, Any]]:
        """In NumPy: the elements under each place of the windows."""
        slides = self.slides(x.shape)
        padded = prims.padded_for(slides).reference(x, np.asarray(padding).astype(x.dtype)[()])
        for number, place in enumerate(np.ndindex(*self.window_dimensions)):
            under = [
                slice(k * s.spread, k * s.spread + (s.count - 1) * s.stride + 1, s.stride)
                for k, s in zip(place, slides, strict=True)
            ]
            yield number, padded[tuple(under)]


def _parameters(p: Windows) -> list[Any]:
    """The values of its fields, in order."""
    return [getattr(p, name) for name in fields(p)]


# ------------------------------------------------------------------------------------------------------ folds


class WindowFold(Windows):
    """A fold of the family `ScalarReduction` over what lies under the window; of nothing its identity."""

    name: ClassVar[str]
    of: ClassVar[str]  # the class of the fold, by name: the package is not complete yet
    by: ClassVar[str]  # the operation on arrays that folds two

    @property
    def fold(self) -> prims.ScalarReduction:
        """The reduction of the axes that a window covers."""
        return getattr(prims, self.of)(())

    def identity(self, dtype: np.dtype) -> Any:
        """What changes no value, in this dtype."""
        return np.asarray(type(self.fold).identity(dtype)).astype(dtype)[()]

    def type(self, x: ShapedArray) -> ShapedArray:
        self.fold.type(x)
        return x.with_shape(self.counts(x))

    def reference(self, x: Any) -> Any:
        dtype, wide = x.dtype, self.fold.accumulator(x.dtype)
        x = x.astype(wide)
        counts = [int(s.count) for s in self.slides(x.shape)]
        total = np.full(counts, self.identity(wide), wide)
        if total.size:
            with np.errstate(all="ignore"):
                for _, part in self.parts(x, self.identity(wide)):
                    total = self.fold.numpy(total, part)
        return np.asarray(total).astype(dtype)

    def element(self, index: Index, *xs: View) -> Scalar:
        (x,) = xs
        fold, dtype = self.fold, x.dtype
        start = fold.start(dtype)
        state: Any = None
        for at, own in prims.window_elements(self.slides(x.shape), index):
            if own.op == "const" and not own.attr:
                continue
            taken = fold.lift(at, x.guarded(own, at))
            taken = tuple([scalar.select(own, t, s) for t, s in zip(taken, start, strict=True)])
            state = taken if state is None else fold.combine(state, taken)
        return fold.finish(start if state is None else state, dtype)

    def simplified(self, eqn: Eqn, made_by: MadeBy) -> Sequence[Eqn] | None:
        """Of many places: axis by axis."""
        x = eqn.inputs[0]
        if self.places <= FEW_PLACES or not sizes.is_constant(x.aval.shape):
            return None
        steps, dtype = Rewriting(eqn), x.aval.dtype
        wide = self.fold.accumulator(dtype)
        slides = self.slides(x.aval.shape)
        found = steps(prims.Convert(wide), x) if wide != dtype else x
        nothing = Literal(self.identity(wide), ShapedArray((), wide))
        found = steps(prims.padded_for(slides), found, nothing)
        for axis, s in enumerate(slides):
            if s.count > 0:
                found = self._along(steps, found, axis, s.padded())
        return steps.end(prims.Convert(dtype), found)

    def _along(self, steps: Rewriting, x: Atom, axis: int, s: Slide) -> Atom:
        """The windows along one axis, which need no padding."""
        window, count = int(s.window), int(s.count)
        if window <= FEW_PLACES:
            plain = (1,) * axis, (1,) * (x.aval.ndim - axis - 1)
            none = ((0, 0),) * x.aval.ndim
            numbers = [(*plain[0], n, *plain[1]) for n in (window, s.stride, 1, s.spread)]
            return steps(type(self)(numbers[0], numbers[1], none, numbers[2], numbers[3]), x)
        if s.spread == 1 and s.stride >= window:  # apart: the rows of a matrix
            none = (0,) * x.aval.ndim
            more = count * s.stride - x.aval.shape[axis]
            high = (*none[:axis], more, *none[axis + 1 :])
            x = steps(prims.Pad(none, high, none), x, self._literal(x))
            shape = x.aval.shape
            x = steps(prims.Reshape((*shape[:axis], count, s.stride, *shape[axis + 1 :])), x)
            x = _cut(steps, x, axis + 1, 0, window, 1)
            return steps(getattr(prims, self.of)((axis + 1,)), x)
        operation: Primitive = getattr(prims, self.by)
        total: Atom | None = None
        done, length = 0, 1  # x holds the folds of so many places
        while True:
            if window & length:
                part = _cut(steps, x, axis, done * s.spread, count, s.stride)
                total = part if total is None else steps(operation, total, part)
                done += length
            if done == window:
                assert total is not None
                return total
            apart, whole = length * s.spread, int(x.aval.shape[axis])
            ends = [_cut(steps, x, axis, at, whole - apart, 1) for at in (0, apart)]
            x, length = steps(operation, *ends), 2 * length

    def _literal(self, x: Atom) -> Literal:
        return Literal(self.identity(x.aval.dtype), ShapedArray((), x.aval.dtype))


def _cut(steps: Rewriting, x: Atom, axis: int, start: int, count: int, stride: int) -> Atom:
    """Every `stride`-th element along an axis, from `start` on."""
    none, shape = (0,) * x.aval.ndim, x.aval.shape
    limit = start + (count - 1) * stride + 1
    cut = prims.Slice(
        (*none[:axis], start, *none[axis + 1 :]),
        (*shape[:axis], limit, *shape[axis + 1 :]),
        (*[1] * axis, stride, *[1] * (x.aval.ndim - axis - 1)),
    )
    return steps(cut, x)


@record
class WindowSum(WindowFold):
    """The sum of what lies under each window."""

    name = "reduce_window_sum"
    of = "Sum"
    by = "add"

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        return prims.linear_jvp(self, primals, tangents)

    def transpose(self, ct: Any, x: Linear) -> Sequence[Any]:
        """The sum of the windows that lie on each element: they slide the other way round."""
        if sizes.is_true(lambda: sizes.product((*typeof(ct).shape, *x.aval.shape)) == 0):
            return (prims.zeros(x.aval),)
        padding = tuple([s.around for s in self.slides(x.aval.shape)])
        back = WindowSum(
            self.window_dimensions,
            self.base_dilation,
            padding,
            self.window_strides,
            self.window_dilation,
        )
        return (back(ct),)


class _WindowExtremum(WindowFold):
    """The derivative is that of the first of the elements that are extreme."""

    select: ClassVar[str]

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        (x,), (t,) = primals, tangents
        return self(x), SelectAndGatherAdd(
            self.window_dimensions,
            self.window_strides,
            self.padding,
            self.base_dilation,
            self.window_dilation,
            self.select,
        )(t, x)


@record
class WindowMax(_WindowExtremum):
    """The largest of what lies under each window; NaN wins."""

    name = "reduce_window_max"
    of = "Max"
    by = "maximum"
    select = "ge"


@record
class WindowMin(_WindowExtremum):
    """The smallest of what lies under each window; NaN wins."""

    name = "reduce_window_min"
    of = "Min"
    by = "minimum"
    select = "le"


class _WindowBits(WindowFold):
    no_slope: ClassVar[str | None] = "its operand is bool or an integer"


@record
class WindowAny(_WindowBits):
    """Whether one of what lies under each window is true; of integers bit by bit."""

    name = "reduce_window_or"
    of = "Any_"
    by = "or_"


@record
class WindowAll(_WindowBits):
    """Whether all that lies under each window is true; of integers bit by bit."""

    name = "reduce_window_and"
    of = "All"
    by = "and_"


@record
class WindowXor(_WindowBits):
    """Whether an odd number of what lies under each window is true; of integers bit by bit."""

    name = "reduce_window_xor"
    of = "Xor"
    by = "xor"


@record
class WindowProd(WindowFold):
    """The product of what lies under each window."""

    name = "reduce_window_prod"
    of = "Prod"
    by = "mul"

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        """The product rule: the tangent of each place times the product of the others."""
        (x,), (t,) = primals, tangents
        slides = self.slides(typeof(x).shape)
        front = prims.expand_dims(x, (0,)), prims.expand_dims(t, (0,))
        one = np.ones((), typeof(x).dtype)[()]
        values = prims.window_under(front[0], slides, 1, one)
        moving = prims.window_under(front[1], slides, 1)
        places = typeof(values).shape[1]
        shape = (*typeof(values).shape[:1], places, *typeof(values).shape[1:])
        same = prims.eq(*[prims.Iota(shape, dtypes.int32, axis)() for axis in (1, 2)])
        others = prims.select(same, one, prims.Broadcast(shape, (1,))(values))
        tangent = prims.Sum((1,))(prims.mul(moving, prims.Prod((2,))(others)))
        return self(x), prims.squeeze(tangent, (0,))


# -------------------------------------------------------------------------------------------- extreme elements


@record
class WindowArg(Windows):
    """The number of the place of the window under which the extreme element lies: the first, or a NaN.

    `select` is 'ge' for the largest, 'le' for the smallest.  -1 where no element lies under the window.
    """

    select: str
    name: ClassVar[str] = "window_arg"
    no_slope: ClassVar[str | None] = "its result is a number of a place"

    def type(self, x: ShapedArray) -> ShapedArray:
        _check_selection(self.name, self.select, x)
        return ShapedArray(self.counts(x), dtypes.int32)

    def reference(self, x: Any) -> Any:
        counts = [int(s.count) for s in self.slides(x.shape)]
        found, best = np.full(counts, -1, np.int32), np.zeros(counts, x.dtype)
        if not found.size:
            return found
        own = self.parts(np.ones(x.shape, np.uint8), 0)
        for (number, part), (_, there) in zip(self.parts(x, 0), own, strict=True):
            takes = (there != 0) & ((found < 0) | _better(self.select, part, best))
            found = np.where(takes, number, found).astype(np.int32)
            best = np.where(takes, part, best)
        return found

    def element(self, index: Index, *xs: View) -> Scalar:
        (x,) = xs
        best, found = None, const(-1, dtypes.int32)
        for number, (_, at, own) in enumerate(prims.window_places(self.slides(x.shape), index)):
            if own.op == "const" and not own.attr:
                continue
            value, this = x.guarded(own, at), const(number, dtypes.int32)
            assert isinstance(value, Expr)
            if best is None:
                takes = own
                best = value
            else:
                takes = own & (
                    scalar.apply("lt", found, const(0, dtypes.int32))
                    | _wins(self.select, value, best)
                )
                best = scalar.select(takes, value, best)
            found = scalar.select(takes, this, found)
        return found


def _check_selection(name: str, select: str, x: ShapedArray) -> None:
    if select not in ("ge", "le") or dtypes.is_complex(x.dtype):
        raise TypeError(
            f"{name} selects by 'ge' or 'le' among real values, got {select!r} for {x.text()}{errors.at_user_line()}"
        )


def _better(select: str, new: Any, old: Any) -> Any:
    """In NumPy: whether a value takes the place of one before it."""
    with np.errstate(invalid="ignore"):
        wins = new > old if select == "ge" else new < old
        return wins | ((new != new) & (old == old))


def _wins(select: str, new: Expr, old: Expr) -> Expr:
    if new.dtype == scalar.BOOL:
        return new & ~old if select == "ge" else ~new & old
    wins = scalar.apply("gt" if select == "ge" else "lt", new, old)
    if dtypes.is_float(new.dtype):
        wins = wins | (scalar.differ(new, new) & scalar.equal(old, old))
    return wins


@record
class SelectAndGatherAdd(Windows):
    """For each window, what an array has where another one is extreme; 0 if nothing lies under it.

    Operands: the array, and the one that is compared, as `WindowArg` does.
    """

    select: str
    name: ClassVar[str] = "select_and_gather_add"

    def arg(self) -> WindowArg:
        """What says which places are selected."""
        return WindowArg(*_parameters(self))

    def type(self, values: ShapedArray, x: ShapedArray) -> ShapedArray:
        if values.shape != x.shape:
            raise errors.ShapeError(errors.shape_mismatch(self.name, [values.text(), x.text()]))
        return values.with_shape(self.arg().type(x).shape)

    def reference(self, values: Any, x: Any) -> Any:
        which = self.arg().reference(x)
        out = np.zeros(which.shape, values.dtype)
        if out.size:
            for number, part in self.parts(values, 0):
                out = np.where(which == number, part, out)
        return np.asarray(out).astype(values.dtype)

    def element(self, index: Index, *xs: View) -> Scalar:
        values, x = xs
        which = self.arg().element(index, x)
        real = dtypes.real_of(values.dtype)
        out: Any = (const(0, real),) * (2 if dtypes.is_complex(values.dtype) else 1)
        for number, (_, at, own) in enumerate(prims.window_places(self.slides(x.shape), index)):
            if own.op == "const" and not own.attr:
                continue
            chosen = scalar.equal(which, const(number, dtypes.int32))  # type: ignore[arg-type]
            value = values.guarded(own, at)
            parts = value if isinstance(value, tuple) else (value,)
            out = tuple([scalar.select(chosen, v, o) for v, o in zip(parts, out, strict=True)])
        return out if len(out) == 2 else out[0]

    def work(self, operands: int) -> float:
        return 4.0 * self.places

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        (values, x), (t, _) = primals, tangents
        out = self(values, x)
        return out, Zero(out) if is_zero(t) else self(t, x)

    def transpose(self, ct: Any, values: Any, x: Any) -> Sequence[Any]:
        return SelectAndScatterAdd(*_parameters(self))(ct, x), None


@record
class SelectAndScatterAdd(Windows):
    """What is added to each element, if each window adds a value to the one in it that is extreme.

    Operands: an array with a value for each window, and the one whose elements are compared.
    """

    select: str
    name: ClassVar[str] = "select_and_scatter_add"

    def gather(self) -> SelectAndGatherAdd:
        """What goes the other way."""
        return SelectAndGatherAdd(*_parameters(self))

    def type(self, source: ShapedArray, x: ShapedArray) -> ShapedArray:
        windows = self.gather().arg().type(x).shape
        if source.shape != windows:
            raise errors.ShapeError(
                f"{self.name}: {x.text()} has windows of shape {prims.show_shape(windows)}, and the source is "
                f"{source.text()}{errors.at_user_line()}"
            )
        return source.with_shape(x.shape)

    def reference(self, source: Any, x: Any) -> Any:
        return ScatterToPlaces.like(self, x.shape).reference(
            source, self.gather().arg().reference(x)
        )

    def element(self, index: Index, *xs: View) -> Scalar:
        source, x = xs
        arg = self.gather().arg()
        which = View(
            ShapedArray(arg.counts(x.aval), dtypes.int32),
            lambda at: arg.element(at, x),
            lambda own, at: arg.element(at, x.under(own)),
        )
        return ScatterToPlaces.like(self, x.shape).element(index, source, which)

    def simplified(self, eqn: Eqn, made_by: MadeBy) -> Sequence[Eqn]:
        """The places are found once for each window, not for each element that it covers."""
        source, x = eqn.inputs
        steps = Rewriting(eqn)
        which = steps(self.gather().arg(), x)
        return steps.end(ScatterToPlaces.like(self, x.aval.shape), source, which)

    def work(self, operands: int) -> float:
        return float(self.places**2)

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        (source, x), (t, _) = primals, tangents
        out = self(source, x)
        return out, Zero(out) if is_zero(t) else self(t, x)

    def transpose(self, ct: Any, source: Any, x: Any) -> Sequence[Any]:
        return self.gather()(ct, x), None


@record
class ScatterToPlaces(Windows):
    """The values of windows, each added to the element that lies under one place of it.

    Operands: the values, and the numbers of the places, int32; what is no such number adds nothing.
    """

    shape: tuple[Dim, ...]
    name: ClassVar[str] = "scatter_to_places"

    @classmethod
    def like(cls, windows: Windows, shape: tuple[Dim, ...]) -> ScatterToPlaces:
        """For the windows of another primitive over an array of this shape."""
        window, strides, padding, base, spread = _parameters(windows)[:5]
        return cls(window, strides, padding, base, spread, shape)

    def type(self, source: ShapedArray, which: ShapedArray) -> ShapedArray:
        if source.shape != which.shape or source.shape != self.counts(
            source.with_shape(self.shape)
        ):
            raise errors.ShapeError(errors.shape_mismatch(self.name, [source.text(), which.text()]))
        return source.with_shape(self.shape)

    def reference(self, source: Any, which: Any) -> Any:
        wide = prims.widened(source.dtype)
        out = np.zeros(prims.sizes(self.shape), wide)
        for at in np.ndindex(*source.shape):
            if which[at] < 0:
                continue
            place = np.unravel_index(which[at], self.window_dimensions) if at else ()
            where = [
                divmod(i * s.stride + int(k) * s.spread - s.low, s.base)
                for s, i, k in zip(self.slides(out.shape), at, place, strict=True)
            ]
            if all(r == 0 and 0 <= i < n for (i, r), n in zip(where, out.shape, strict=True)):
                out[tuple([i for i, _ in where])] += source[at]
        return out.astype(source.dtype)

    def element(self, index: Index, *xs: View) -> Scalar:
        source, which = xs
        wide = dtypes.real_of(prims.widened(source.dtype))
        zero = const(0, wide)
        total: Any = (zero,) * (2 if dtypes.is_complex(source.dtype) else 1)
        for place, at, own in prims.windows_over(self.slides(self.shape), index):
            if own.op == "const" and not own.attr:
                continue
            number = ix.to_scalar(ix.flatten(place, self.window_dimensions), dtypes.int32)
            chosen = own & scalar.equal(which.guarded(own, at), number)  # type: ignore[arg-type]
            value = source.guarded(own, at)
            parts = value if isinstance(value, tuple) else (value,)
            total = tuple(
                [
                    t + scalar.select(chosen, scalar.convert(v, wide), zero)
                    for t, v in zip(total, parts, strict=True)
                ]
            )
        if len(total) == 2:
            return total[0], total[1]
        return scalar.convert(total[0], source.dtype)

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        (source, which), (t, _) = primals, tangents
        return self(source, which), self(t, which)

    def transpose(self, ct: Any, source: Any, which: Any) -> Sequence[Any]:
        under = prims.window_under(prims.expand_dims(ct, (0,)), self.slides(self.shape), 1)
        shape = typeof(under).shape[1:]
        places = prims.Iota(shape, dtypes.int32, 0)()
        chosen = prims.eq(places, prims.Broadcast(shape, (0,))(which))
        zero = np.zeros((), typeof(ct).dtype)[()]
        return prims.Sum((0,))(prims.select(chosen, prims.squeeze(under, (0,)), zero)), None

    def batch(self, args: Sequence[Any], dims: Sequence[int | None], size: Dim) -> tuple[Any, Any]:
        xs, d = prims.same_batch_axis(args, dims, size)
        shape = (*self.shape[:d], size, *self.shape[d:])
        return replace(self.with_axis(d), shape=shape)(*xs), d
