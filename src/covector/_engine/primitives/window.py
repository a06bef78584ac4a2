"""Reductions of windows that slide over all axes.

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
from covector._engine.core.families import Mapped, View
from covector._engine.core.primitive import MadeBy, Primitive
from covector._engine.core.symbolic import Linear
from covector._engine.core.trace import typeof
from covector._engine.ir import scalar
from covector._engine.ir.index import Index
from covector._engine.ir.program import Atom, Eqn, Literal
from covector._engine.ir.scalar import Scalar
from covector._engine.primitives.laws import Rewriting
from covector._engine.primitives.slide import Pairs, Slide
from covector._engine.types import dims as sizes, dtypes
from covector._engine.types.avals import ShapedArray
from covector._engine.types.dims import Dim

__all__ = [
    "WindowAll",
    "WindowAny",
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
                raise errors.ShapeError(
                    f"{self.name} of {x.text()} needs {field} for each of its {x.ndim} axes, got {getattr(self, field)}"
                    f"{errors.at_user_line()}"
                )
        if any(n < 1 for n in self.window_dimensions):
            raise errors.ShapeError(
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


def parameters(p: Windows) -> list[Any]:
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

    def type(self, x: ShapedArray) -> ShapedArray:
        self.fold.type(x)
        return x.with_shape(self.counts(x))

    def reference(self, x: Any) -> Any:
        dtype, wide = x.dtype, self.fold.accumulator(x.dtype)
        x = x.astype(wide)
        counts = [int(s.count) for s in self.slides(x.shape)]
        nothing = self.fold.nothing(dtype)
        total = np.full(counts, nothing, wide)
        if total.size:
            with np.errstate(all="ignore"):
                for _, part in self.parts(x, nothing):
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
        nothing = Literal(self.fold.nothing(dtype), ShapedArray((), wide))
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
        dtype = x.aval.dtype
        return Literal(self.fold.nothing(dtype), ShapedArray((), dtype))


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
        return self(x), prims.SelectAndGatherAdd(
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
