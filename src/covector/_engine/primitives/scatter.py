"""Writing at indices that come from data: scatter and dynamic update slices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.base.record import record, replace
from covector._engine.core.families import Update, View
from covector._engine.core.inside import Fault
from covector._engine.core.primitive import MadeBy, Types
from covector._engine.core.routine import RoutineCall, lower_call
from covector._engine.core.symbolic import Linear, Zero, is_zero
from covector._engine.core.trace import typeof
from covector._engine.ir.builder import Builder, Operand, Result
from covector._engine.ir.index import Index, constant
from covector._engine.ir.program import Eqn
from covector._engine.ir.scalar import Expr
from covector._engine.types import dims, dtypes
from covector._engine.types.avals import ShapedArray
from covector._engine.types.dims import Dim, product

__all__ = [
    "Combination",
    "DynamicUpdateSlice",
    "Scatter",
    "ScatterDimensionNumbers",
    "Setting",
    "ordered",
    "scattered",
]

Combination = Literal["set", "add", "mul", "min", "max"]
Axes = tuple[int, ...]


@record
class ScatterDimensionNumbers:
    """Which axes of operand, indices and updates belong together: those of a gather, in the other direction.

    - `update_window_dims`: the updates' axes that run inside a window; the others are those of the indices, in order.
    - `inserted_window_dims`: the operand's axes that the windows do not have, where they have size 1.
    - `scatter_dims_to_operand_dims`: the operand's axis that each component of an index vector is for.
    - `operand_batching_dims`, `scatter_indices_batching_dims`: axes that operand and indices share, pairwise.

    >>> from covector import lax
    >>> lax.ScatterDimensionNumbers((), (0,), (0,)).inserted_window_dims
    (0,)
    """

    update_window_dims: Axes
    inserted_window_dims: Axes
    scatter_dims_to_operand_dims: Axes
    operand_batching_dims: Axes = ()
    scatter_indices_batching_dims: Axes = ()

    def gather(self) -> Any:
        """The dimension numbers of the gather that reads what the scatter writes."""
        return prims.GatherDimensionNumbers(
            self.update_window_dims,
            self.inserted_window_dims,
            self.scatter_dims_to_operand_dims,
            self.operand_batching_dims,
            self.scatter_indices_batching_dims,
        )

    def window(self, ndim: int, updates: tuple[Dim, ...]) -> tuple[Dim, ...]:
        """The size of a window along each of the operand's axes."""
        left_out = (*self.inserted_window_dims, *self.operand_batching_dims)
        sizes = iter([updates[a] for a in self.update_window_dims])
        return tuple([1 if a in left_out else next(sizes) for a in range(ndim)])


def ordered(shape: Sequence[int], axes: Axes) -> Iterator[tuple[int, ...]]:
    """All indices of a shape, with the loops over its axes in this order."""
    back = prims.inverse_permutation(axes)
    for spot in np.ndindex(*[shape[a] for a in axes]):
        yield tuple([spot[i] for i in back])


class Setting(Update):
    """A family: updates of which it is known what changes nothing."""

    def may_leave(self, x: ShapedArray) -> bool:
        """Whether something changes nothing: no complex number does in a product, as infinities times 0 are NaN."""
        return not (self.combination == "mul" and dtypes.is_complex(x.dtype))

    def there(self, *operands: Any) -> Any:
        """What the operand has at the places of the update."""
        raise self._missing("there")

    def nothing(self, *operands: Any) -> Any:
        """An update that leaves the operand as it is."""
        aval = typeof(operands[self.update])
        dtype = aval.dtype
        none = complex(-0.0, -0.0) if dtypes.is_complex(dtype) else -0.0
        neutral: dict[str, Any] = {"add": none if dtypes.is_inexact(dtype) else 0, "mul": 1}
        match self.combination:
            case "set":
                return self.there(*operands)
            case "min":
                value = dtypes.highest(dtype)
            case "max":
                value = dtypes.lowest(dtype)
            case other:
                value = neutral[other]
        return prims.full(aval.shape, value, dtype)


@record
class Scatter(Setting):
    """The operand with each window of the updates combined into it.  Operands: x, the indices, the updates.

    A window that does not fit is moved ('clip') or left out ('fill'); 'promise_in_bounds' says that all fit.
    Several updates of one element are all combined, in any order.  With 'set' the one of the last index vector (in
    row-major order) stays, always, and so in the derivative.  `unique_indices` promises that there are no several.
    """

    numbers: ScatterDimensionNumbers
    mode: Literal["clip", "fill", "promise_in_bounds"] = "fill"
    combine: Combination = "set"
    unique_indices: bool = False
    update: ClassVar[int] = 2

    @property
    def name(self) -> str:  # type: ignore[override]
        return "scatter" if self.combine == "set" else f"scatter_{self.combine}"

    @property
    def makes_nan(self) -> bool:  # type: ignore[override]
        return self.combine != "set"

    @property
    def combination(self) -> str:
        return self.combine

    def loop_axes(self, ndim: int) -> tuple[int, ...]:
        windows = self.numbers.update_window_dims
        return (*[a for a in range(ndim) if a not in windows], *windows)

    def independent_axes(self, ndim: int) -> tuple[int, ...]:
        n = self.numbers
        if self._loops_are_free():
            return tuple(range(ndim))
        rank = (
            len(n.update_window_dims) + len(n.inserted_window_dims) + len(n.operand_batching_dims)
        )
        still = {
            u
            for a, u in zip(n.gather().window_dims(rank), n.update_window_dims, strict=True)
            if a not in n.scatter_dims_to_operand_dims
        }
        index_axes = [a for a in range(ndim) if a not in n.update_window_dims]
        shared = {index_axes[b] for b in n.scatter_indices_batching_dims}
        return tuple(sorted(still | shared))

    def type(self, x: ShapedArray, indices: ShapedArray, updates: ShapedArray) -> ShapedArray:
        n = self.numbers
        batching = n.operand_batching_dims, n.scatter_indices_batching_dims
        prims.check_indices(self.name, x, indices, n.scatter_dims_to_operand_dims, batching)
        prims.check_axes(f"{self.name} (updates)", n.update_window_dims, updates.ndim)
        left_out = (*n.inserted_window_dims, *n.operand_batching_dims)
        prims.check_axes(f"{self.name} (windows)", left_out, x.ndim)
        batch = tuple([d for a, d in enumerate(updates.shape) if a not in n.update_window_dims])
        fits = len(n.update_window_dims) + len(left_out) == x.ndim and batch == indices.shape[:-1]
        if not fits or any(
            dims.is_true(lambda w=w, d=d: w > d)
            for a, (w, d) in enumerate(zip(n.window(x.ndim, updates.shape), x.shape, strict=True))
            if a not in n.operand_batching_dims
        ):
            raise errors.ShapeError(
                f"{self.name} into {x.text()} with indices {indices.text()} got updates {updates.text()}, which do not "
                f"fit {n}{errors.at_user_line()}"
            )
        bad = self.combine != "set" and x.dtype == dtypes.bool_
        if (
            x.dtype != updates.dtype
            or bad
            or (self.combine in ("min", "max") and dtypes.is_complex(x.dtype))
        ):
            raise TypeError(
                f"{self.name} into {x.text()} got updates {updates.text()}{errors.at_user_line()}: it needs one dtype"
                " for both, not bool unless it sets, and not complex for min and max"
            )
        return ShapedArray(x.shape, x.dtype, x.weak_type and updates.weak_type)

    def faults(self, *avals: ShapedArray) -> Sequence[Fault]:
        x, indices, updates = avals
        axes = self.numbers.scatter_dims_to_operand_dims
        window = self.numbers.window(x.ndim, updates.shape)
        vectors = product(indices.shape[:-1])
        return prims.out_of_bounds(x, axes, [window[a] for a in axes], 1, vectors)

    def reference(self, x: Any, indices: Any, updates: Any) -> Any:
        n = self.numbers
        out = np.array(x)
        spots = np.indices(updates.shape)
        place = [i for a, i in enumerate(spots) if a not in n.update_window_dims]
        window = n.window(x.ndim, updates.shape)
        target = [np.zeros(updates.shape, np.int64) for _ in x.shape]
        for a, b in zip(n.operand_batching_dims, n.scatter_indices_batching_dims, strict=True):
            target[a] = place[b]
        for a, u in zip(n.gather().window_dims(x.ndim), n.update_window_dims, strict=True):
            target[a] = spots[u]
        inside = np.ones(updates.shape, bool)
        indices = prims.as_int64(indices)
        for k, a in enumerate(n.scatter_dims_to_operand_dims):
            start = (
                indices[(*place, np.full(updates.shape, k))]
                if place
                else np.full(updates.shape, indices[k])
            )
            last = x.shape[a] - window[a]
            inside &= (start >= 0) & (start <= last)
            target[a] = target[a] + np.clip(start, 0, last)
        combined = {"add": np.add, "mul": np.multiply, "min": np.minimum, "max": np.maximum}.get(
            self.combine
        )
        with np.errstate(all="ignore"):
            for u in ordered(updates.shape, self.loop_axes(updates.ndim)):
                if self.mode == "fill" and not inside[u]:
                    continue
                at = tuple([int(t[u]) for t in target])
                out[at] = updates[u] if combined is None else combined(out[at], updates[u])
        return out

    def target(self, index: Index, *xs: View) -> tuple[Index, Expr | None]:
        x, indices, updates = xs
        window = self.numbers.window(len(x.shape), updates.shape)
        place, inside = prims.gather_target(
            self.numbers.gather(), x.shape, window, self.mode, index, indices
        )
        return place, None if constant(inside) else inside

    # -- as a call of the routine ------------------------------------------------------------------

    def simplified(self, eqn: Eqn, made_by: MadeBy) -> Eqn | None:
        call = self._call([a.aval for a in eqn.inputs])
        return None if call is None else prims.single_scatter(eqn, made_by)

    def lower(self, b: Builder, operands: Sequence[Operand], results: Sequence[Result]) -> None:
        call = self._call([x.aval for x in operands])
        if call is None:
            super().lower(b, operands, results)
        else:
            lower_call(call, self.begins_as, b, operands, results)

    def _call(self, avals: Types) -> RoutineCall | None:
        """The runtime's routine, for many vectors that name whole rows of the operand; None for all others.

        Where places may meet, loops run one after the other; the routine shares the places among the threads.
        """
        x, indices, updates = avals
        n, k = self.numbers, indices.shape[-1]
        front, rows = tuple(range(_size(k) or 0)), x.shape[len(n.inserted_window_dims) :]
        trailing = tuple(range(indices.ndim - 1, updates.ndim))
        count, width = _size(product(indices.shape[:-1])), _size(product(rows))
        places = _size(product(x.shape[: len(front)]))
        if (
            self._loops_are_free()
            or not 1 <= len(front) <= MOST_COMPONENTS
            or n.operand_batching_dims
            or (n.scatter_dims_to_operand_dims, n.inserted_window_dims) != (front, front)
            or (n.update_window_dims, updates.shape[indices.ndim - 1 :]) != (trailing, rows)
            or indices.dtype not in (dtypes.int32, dtypes.int64)
            or count is None
            or width is None
            or count * width < _MANY
            or places is None
            or places >= 2**31
        ):
            return None
        outside = 0 if self.mode == "fill" else 1
        return prims.scatter_call(
            x, indices.dtype, self.combine, outside, False, count, width, len(front)
        )

    def _loops_are_free(self) -> bool:
        """Whether no two updates meet, so that loops run on all threads."""
        return self.unique_indices and self.mode != "clip"

    # -- derivatives ------------------------------------------------------------------------------

    def _with(self, combine: Combination) -> Scatter:
        return replace(self, combine=combine)

    def _gather(self, x: Any, indices: Any, updates: ShapedArray) -> Any:
        """The elements of x that the updates go to; 0 for those that are left out."""
        window = self.numbers.window(typeof(x).ndim, updates.shape)
        return prims.Gather(self.numbers.gather(), window, self.mode, 0)(x, indices)

    def there(self, *operands: Any) -> Any:
        x, indices, updates = operands
        return self._gather(x, indices, typeof(updates))

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        (x, indices, updates), (t, _, u) = primals, tangents
        out = self(x, indices, updates)
        if is_zero(t) and is_zero(u):
            return out, Zero(out)
        if self.combine in ("set", "add"):
            return out, self(prims.materialize(t), indices, prims.materialize(u))
        if self.combine == "mul":
            return out, self._tangent_of_product(x, indices, updates, t, u)
        return out, self._tangent_of_extremum(
            out, x, indices, updates, prims.materialize(t), prims.materialize(u)
        )

    def _tangent_of_product(self, x: Any, indices: Any, updates: Any, t: Any, u: Any) -> Any:
        tangent = prims.zeros(typeof(x)) if is_zero(t) else self(t, indices, updates)
        if is_zero(u):
            return tangent
        if not self.meets_nothing(typeof(updates)):
            raise NotImplementedError(
                "scatter_mul has a derivative with respect to its updates only if no element is updated twice"
                f"{errors.at_user_line()}: say so with unique_indices=True"
            )
        there = self._gather(x, indices, typeof(updates))
        return self._with("add")(tangent, indices, prims.mul(there, u))

    def _tangent_of_extremum(
        self, out: Any, x: Any, indices: Any, updates: Any, t: Any, u: Any
    ) -> Any:
        """Elements that are equally extreme share the gradient; NaN has none."""
        dtype, shape = typeof(x).dtype, typeof(updates)
        there = self._gather(out, indices, shape)
        taken = prims.convert(prims.eq(updates, there), dtype)
        if self.meets_nothing(shape):  # a few elements, not all of the arrays
            kept = prims.convert(prims.eq(self._gather(x, indices, shape), there), dtype)
            count = prims.maximum(prims.add(kept, taken), 1.0)
            both = prims.add(prims.mul(self._gather(t, indices, shape), kept), prims.mul(u, taken))
            return self._with("set")(t, indices, prims.div(both, count))
        add, kept = self._with("add"), prims.convert(prims.eq(x, out), dtype)
        count = prims.maximum(add(kept, indices, taken), 1.0)
        return prims.div(add(prims.mul(t, kept), indices, prims.mul(u, taken)), count)

    def transpose(self, ct: Any, x: Any, indices: Any, updates: Any) -> Sequence[Any]:
        to_x, to_updates = isinstance(x, Linear), isinstance(updates, Linear)
        shape = updates.aval if isinstance(updates, Linear) else typeof(updates)
        if self.combine == "add":
            return (
                ct if to_x else None,
                None,
                self._gather(ct, indices, shape) if to_updates else None,
            )
        if self.combine == "mul":
            assert not to_updates
            return self(ct, indices, updates), None, None
        assert self.combine == "set"
        back_x = self(ct, indices, prims.zeros(shape)) if to_x else None
        if not to_updates:
            return back_x, None, None
        back = self._gather(ct, indices, shape)
        if not self.meets_nothing(shape):
            back = prims.select(
                self._stays(ct, indices, shape), back, np.zeros((), shape.dtype)[()]
            )
        return back_x, None, back

    def meets_nothing(self, updates: ShapedArray) -> bool:
        """Whether no element is surely updated twice: also where there is one index vector.

        In the gradient of a loop of 20,000 `x.at[i].set` the numbers of the updates were scattered in each step.
        """
        windows = self.numbers.update_window_dims
        axes = [a for a in range(updates.ndim) if a not in windows]
        shared = {axes[b] for b in self.numbers.scatter_indices_batching_dims}
        vectors = product([updates.shape[a] for a in axes if a not in shared])
        return self.unique_indices or vectors == 1

    def _stays(self, x: Any, indices: Any, updates: ShapedArray) -> Any:
        """Which updates stay and are not overwritten by a later one: found by scattering their numbers."""
        shape = updates.shape
        numbers = prims.Iota((product(shape),), dtypes.int64, 0)()
        mine = prims.Reshape(shape)(prims.add(numbers, np.int64(1)))
        written = self(prims.full(typeof(x).shape, 0, dtypes.int64), indices, mine)
        return prims.eq(mine, self._gather(written, indices, updates))

    # -- batching ---------------------------------------------------------------------------------

    def batch(self, args: Sequence[Any], dims: Sequence[int | None], size: Dim) -> tuple[Any, Any]:
        (x, indices, updates), (d, e, f) = args, dims
        x, updates = prims.batch_to_front(x, d, size), prims.batch_to_front(updates, f, size)
        indices = indices if e is None else prims.move_axis(indices, e, 0)
        n = self.numbers
        windows = _up(n.update_window_dims)
        batching, index_batching = _up(n.operand_batching_dims), n.scatter_indices_batching_dims
        if e is None:  # the batch axis is one of the windows'
            windows = (0, *windows)
        else:
            batching, index_batching = (0, *batching), (0, *_up(index_batching))
        numbers = ScatterDimensionNumbers(
            windows,
            _up(n.inserted_window_dims),
            _up(n.scatter_dims_to_operand_dims),
            batching,
            index_batching,
        )
        return replace(self, numbers=numbers)(x, indices, updates), 0


def scattered(primitive: Scatter, x: Any, indices: Any, updates: Any) -> Any:
    """The result of a scatter, of the least or greatest truth values and complex numbers too.

    Complex numbers are in the order of their real parts, equal ones in that of their imaginary parts.
    """
    dtype = typeof(x).dtype
    if primitive.combine not in ("min", "max") or dtype != typeof(updates).dtype:
        return primitive(x, indices, updates)
    if dtype == dtypes.bool_:
        x, updates = (prims.convert(v, dtypes.uint8) for v in (x, updates))
        return prims.ne(primitive(x, indices, updates), np.uint8(0))
    if not dtypes.is_complex(dtype):
        return primitive(x, indices, updates)
    real = primitive(prims.real(x), indices, prims.real(updates))
    there = primitive._gather(real, indices, typeof(prims.real(updates)))
    last = dtypes.real_of(dtype).type(np.inf if primitive.combine == "min" else -np.inf)
    parts = [
        prims.select(prims.eq(prims.real(v), first), prims.imag(v), last)
        for v, first in ((x, real), (updates, there))
    ]
    return prims.complex_(real, primitive(parts[0], indices, parts[1]))


MOST_COMPONENTS = 4  # of an index vector that the routine takes
_MANY = 4_096  # elements from which a call of the routine is not longer than the loop


def _size(n: Dim) -> int | None:
    """A dimension that is known."""
    return n if isinstance(n, int) else None


def _up(axes: Axes) -> Axes:
    """The axes behind a new one in front."""
    return tuple([a + 1 for a in axes])


@record
class DynamicUpdateSlice(Setting):
    """The operand with a slice replaced.  Operands: x, the update, and a scalar start for each axis.

    A start with which the update does not fit is moved so that it does.
    """

    name: ClassVar[str] = "dynamic_update_slice"
    makes_nan: ClassVar[bool] = False
    update: ClassVar[int] = 1

    @property
    def combination(self) -> str:
        return "set"

    def independent_axes(self, ndim: int) -> tuple[int, ...]:
        return tuple(range(ndim))

    def type(self, x: ShapedArray, update: ShapedArray, *starts: ShapedArray) -> ShapedArray:
        prims.check_starts(self.name, x, starts)
        if (
            update.dtype != x.dtype
            or update.ndim != x.ndim
            or any(
                dims.is_true(lambda s=s, n=n: s > n)
                for s, n in zip(update.shape, x.shape, strict=True)
            )
        ):
            raise TypeError(
                f"dynamic_update_slice of {x.text()} got the update {update.text()}{errors.at_user_line()}, which must "
                "have its dtype, and its rank, and fit into it"
            )
        return ShapedArray(x.shape, x.dtype, x.weak_type and update.weak_type)

    def faults(self, *avals: ShapedArray) -> Sequence[Fault]:
        x, update = avals[:2]
        return prims.out_of_bounds(x, range(x.ndim), update.shape, 2, None)

    def reference(self, x: Any, update: Any, *starts: Any) -> Any:
        out = np.array(x)
        begin = [
            min(max(int(s), 0), n - m)
            for s, n, m in zip(starts, x.shape, update.shape, strict=True)
        ]
        out[tuple([slice(b, b + m) for b, m in zip(begin, update.shape, strict=True)])] = update
        return out

    def there(self, *operands: Any) -> Any:
        x, update, *starts = operands
        return prims.DynamicSlice(typeof(update).shape)(x, *starts)

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        (t, u), starts = tangents[:2], primals[2:]
        out = self(*primals)
        if is_zero(t) and is_zero(u):
            return out, Zero(out)
        return out, self(prims.materialize(t), prims.materialize(u), *starts)

    def transpose(self, ct: Any, x: Any, update: Any, *starts: Any) -> Sequence[Any]:
        aval = update.aval if isinstance(update, Linear) else typeof(update)
        to_x = self(ct, prims.zeros(aval), *starts) if isinstance(x, Linear) else None
        to_update = (
            prims.DynamicSlice(aval.shape)(ct, *starts) if isinstance(update, Linear) else None
        )
        return to_x, to_update, *[None for _ in starts]

    def target(self, index: Index, *xs: View) -> tuple[Index, Expr | None]:
        x, update, *starts = xs
        begin, fits = prims.window_starts([s(()) for s in starts], x.shape, update.shape, "clip")
        place = tuple([b + i for b, i in zip(begin, index, strict=True)])
        return place, None if constant(fits) else fits

    def batch(self, args: Sequence[Any], dims: Sequence[int | None], size: Dim) -> tuple[Any, Any]:
        (x, update, *starts), (d, e, *start_dims) = args, dims
        if all(f is None for f in start_dims):
            (x, update), axis = prims.same_batch_axis((x, update), (d, e), size)
            starts.insert(
                axis, np.zeros((), typeof(starts[0]).dtype if starts else dtypes.int32)[()]
            )
            return self(x, update, *starts), axis
        axes = tuple(range(len(starts)))
        scatter = Scatter(ScatterDimensionNumbers(axes, (), axes), "clip", "set", True)
        return scatter.batch(
            (x, prims.stack_starts(starts, start_dims, size), update), (d, 0, e), size
        )
