"""The selection of the extreme element under each window, and what goes the way of it, there and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.base.record import record, replace
from covector._engine.core.families import View
from covector._engine.core.primitive import MadeBy
from covector._engine.core.symbolic import Zero, is_zero
from covector._engine.core.trace import typeof
from covector._engine.ir import index as ix, scalar
from covector._engine.ir.index import Index
from covector._engine.ir.program import Eqn
from covector._engine.ir.scalar import Expr, Scalar, const
from covector._engine.primitives.laws import Rewriting
from covector._engine.primitives.window import Windows, parameters
from covector._engine.types import dtypes
from covector._engine.types.avals import ShapedArray
from covector._engine.types.dims import Dim

__all__ = ["ScatterToPlaces", "SelectAndGatherAdd", "SelectAndScatterAdd", "WindowArg"]

# Operands without a slope, and why.
SELECTS: Mapping[int, str] = MappingProxyType({1: "it only says which elements are meant"})


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
    no_slope_of: ClassVar[Mapping[int, str]] = SELECTS

    def arg(self) -> WindowArg:
        """What says which places are selected."""
        return WindowArg(*parameters(self))

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
        return SelectAndScatterAdd(*parameters(self))(ct, x), None


@record
class SelectAndScatterAdd(Windows):
    """What is added to each element, if each window adds a value to the one in it that is extreme.

    Operands: an array with a value for each window, and the one whose elements are compared.
    """

    select: str
    name: ClassVar[str] = "select_and_scatter_add"
    no_slope_of: ClassVar[Mapping[int, str]] = SELECTS

    def gather(self) -> SelectAndGatherAdd:
        """What goes the other way."""
        return SelectAndGatherAdd(*parameters(self))

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
        window, strides, padding, base, spread = parameters(windows)[:5]
        return cls(window, strides, padding, base, spread, shape)

    def type(self, source: ShapedArray, which: ShapedArray) -> ShapedArray:
        if source.shape != which.shape or source.shape != self.counts(
            source.with_shape(self.shape)
        ):
            raise errors.ShapeError(errors.shape_mismatch(self.name, [source.text(), which.text()]))
        return source.with_shape(self.shape)

    def reference(self, source: Any, which: Any) -> Any:
        wide = dtypes.computed_in(source.dtype)
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
        wide = dtypes.real_of(dtypes.computed_in(source.dtype))
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
