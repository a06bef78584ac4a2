"""Collectives: operations along a named axis, each of whose elements is a computation of its own.

`vmap(f, axis_name="i")` gives the axis its name; inside, `f` sees one element, and a collective is how the elements
meet.  A primitive says once what it does to an array that holds all elements along one axis (`exchange`); batching
along the named axis is nothing but that.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, ClassVar

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.base.record import record, replace
from covector._engine.core.primitive import Primitive
from covector._engine.core.symbolic import Linear
from covector._engine.core.trace import typeof
from covector._engine.types import dtypes
from covector._engine.types.avals import ShapedArray
from covector._engine.types.dims import Dim

__all__ = [
    "AllGather",
    "AllReduce",
    "AllToAll",
    "AlongNames",
    "AxisIndex",
    "Permute",
    "ReduceScatter",
    "take_rows",
]

Groups = tuple[tuple[int, ...], ...] | None


def take_rows(x: Any, rows: Sequence[int], axis: int) -> Any:
    """Elements along an axis, chosen by known numbers; zeros for a negative one."""
    shape = typeof(x).shape
    numbers = prims.GatherDimensionNumbers(
        offset_dims=tuple([a for a in range(len(shape)) if a != axis]),
        collapsed_slice_dims=(axis,),
        start_index_map=(axis,),
    )
    sizes = tuple([1 if a == axis else n for a, n in enumerate(shape)])
    indices = np.asarray(rows, np.int32).reshape(-1, 1)
    return prims.Gather(numbers, sizes, "fill", 0)(x, indices)


def _merge(x: Any, axis: int) -> Any:
    """The array with an axis and the next one as one."""
    shape = typeof(x).shape
    return prims.Reshape((*shape[:axis], shape[axis] * shape[axis + 1], *shape[axis + 2 :]))(x)


def _split(x: Any, axis: int, parts: Dim) -> Any:
    """The array with an axis as two, the first of this size."""
    shape = typeof(x).shape
    return prims.Reshape((*shape[:axis], parts, shape[axis] // parts, *shape[axis + 1 :]))(x)


class AlongNames(Primitive):
    """An operation along named axes, linear unless it says otherwise: `axis_names` are those that are outside of it."""

    def meet(self, x: Any, axis_name: Hashable) -> tuple[Any, int | None]:
        """The results for all elements of one of the named axes, from their operands, along the first axis.

        With the results' axis.
        """
        raise self._missing("meet")

    def reference(self, *xs: Any) -> Any:
        raise NameError(errors.unbound_axis(min(self.axis_names, key=str), ()))

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        return prims.linear_jvp(self, primals, tangents)

    def batch_named(
        self, args: Sequence[Any], dims: Sequence[int | None], size: Dim, axis_name: Hashable
    ) -> tuple[Any, Any]:
        if axis_name not in self.axis_names:
            return self.batch(args, dims, size)
        (x,), (d,) = args, dims
        return self.meet(prims.batch_to_front(x, d, size), axis_name)


class Collective(AlongNames):
    """An operation along one named axis."""

    axis_name: Hashable

    def grouping(self) -> Groups:
        """The groups within which the elements meet; None if all do."""
        return None

    @property
    def axis_names(self) -> frozenset[Hashable]:  # type: ignore[override]
        return frozenset((self.axis_name,))

    def exchange(self, x: Any, place: int) -> tuple[Any, int | None]:
        """The results for all elements, from the operands of all elements along the axis `place`.

        With the results' axis: `place`, or None if all elements have the same result.  Axes before `place` are groups.
        """
        raise self._missing("exchange")

    def shifted(self) -> Collective:
        """The same on operands with one more axis, in front, which it does not touch."""
        return self

    def batch(self, args: Sequence[Any], dims: Sequence[int | None], size: Dim) -> tuple[Any, Any]:
        (x,), (d,) = args, dims
        assert d is not None
        return self.shifted()(prims.move_axis(x, d, 0)), 0

    def meet(self, x: Any, axis_name: Hashable) -> tuple[Any, int | None]:
        whole = typeof(x)
        self.type(whole.with_shape(whole.shape[1:]))  # the operand of an element must fit
        groups = self.grouping()
        if groups is None:
            return self.exchange(x, 0)
        order = [i for group in groups for i in group]
        count, each = len(groups), len(groups[0])
        out, place = self.exchange(_split(take_rows(x, order, 0), 0, count), 1)
        if place is None:
            out = prims.add_batch_axis(out, each, 1)
        return take_rows(_merge(out, 0), prims.inverse_permutation(order), 0), 0

    def _check_axis(self, what: str, axis: int, x: ShapedArray, extra: int = 0) -> None:
        if not 0 <= axis < x.ndim + extra:
            raise errors.AxisError(
                f"{self.name} got {what}={axis} for {x.text()}{errors.at_user_line()}"
            )


class Grouped(Collective):
    """A collective of all `size` elements, or of those of each group, then of that size."""

    size: Dim
    groups: Groups

    def grouping(self) -> Groups:
        return self.groups

    def _check_size(self, axis: int, x: ShapedArray, tiled: bool) -> None:
        n = x.shape[axis]
        if n % self.size if tiled else n != self.size:
            wanted = "a multiple of " if tiled else ""
            raise ValueError(
                f"{self.name}: axis {axis} of {x.text()} must have {wanted}the size {self.size} of the axis "
                f"{self.axis_name!r}{errors.at_user_line()}"
            )


@record
class AllReduce(Grouped):
    """Each element gets the sum, the maximum or the minimum of all."""

    axis_name: Hashable
    op: str  # add, max, min
    size: Dim
    groups: Groups = None
    name: ClassVar[str] = "all_reduce"

    def type(self, x: ShapedArray) -> ShapedArray:
        return x

    def exchange(self, x: Any, place: int) -> tuple[Any, int | None]:
        fold = {"add": prims.Sum, "max": prims.Max, "min": prims.Min}[self.op]
        return fold((place,))(x), None

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        if self.op == "add":
            return super().jvp(primals, tangents)
        (x,), (t,) = primals, tangents
        out, total = self(x), AllReduce(self.axis_name, "add", self.size, self.groups)
        wins = prims.Convert(t.dtype)(prims.eq(x, out))  # ties share the derivative, NaN has none
        return out, prims.div(total(prims.mul(t, wins)), prims.maximum(total(wins), 1.0))

    def transpose(self, ct: Any, x: Linear) -> Sequence[Any]:
        return (self(ct),)


@record
class AllGather(Grouped):
    """Each element gets the operands of all, stacked along a new axis, or joined along one that is there (`tiled`)."""

    axis_name: Hashable
    axis: int
    tiled: bool
    size: Dim
    groups: Groups = None
    name: ClassVar[str] = "all_gather"

    def type(self, x: ShapedArray) -> ShapedArray:
        self._check_axis("axis", self.axis, x, 0 if self.tiled else 1)
        s, a = x.shape, self.axis
        if self.tiled:
            return x.with_shape((*s[:a], s[a] * self.size, *s[a + 1 :]))
        return x.with_shape((*s[:a], self.size, *s[a:]))

    def exchange(self, x: Any, place: int) -> tuple[Any, int | None]:
        x = prims.move_axis(x, place, place + self.axis)
        return (_merge(x, place + self.axis) if self.tiled else x), None

    def shifted(self) -> AllGather:
        return replace(self, axis=self.axis + 1)

    def transpose(self, ct: Any, x: Linear) -> Sequence[Any]:
        return (ReduceScatter(self.axis_name, self.axis, self.tiled, self.size, self.groups)(ct),)


@record
class ReduceScatter(Grouped):
    """The sum of all operands, of which each element gets its part along an axis."""

    axis_name: Hashable
    axis: int
    tiled: bool
    size: Dim
    groups: Groups = None
    name: ClassVar[str] = "reduce_scatter"

    def type(self, x: ShapedArray) -> ShapedArray:
        self._check_axis("scatter_dimension", self.axis, x)
        self._check_size(self.axis, x, self.tiled)
        s, a = x.shape, self.axis
        part = (s[a] // self.size,) if self.tiled else ()
        return x.with_shape((*s[:a], *part, *s[a + 1 :]))

    def exchange(self, x: Any, place: int) -> tuple[Any, int | None]:
        x = prims.Sum((place,))(x)
        axis = place + self.axis
        if self.tiled:
            x = _split(x, axis, self.size)
        return prims.move_axis(x, axis, place), place

    def shifted(self) -> ReduceScatter:
        return replace(self, axis=self.axis + 1)

    def transpose(self, ct: Any, x: Linear) -> Sequence[Any]:
        return (AllGather(self.axis_name, self.axis, self.tiled, self.size, self.groups)(ct),)


@record
class AllToAll(Grouped):
    """Element i gets part i along `split` of each operand, one after the other along `concat`."""

    axis_name: Hashable
    split: int
    concat: int
    tiled: bool
    size: Dim
    groups: Groups = None
    name: ClassVar[str] = "all_to_all"

    def type(self, x: ShapedArray) -> ShapedArray:
        self._check_axis("split_axis", self.split, x)
        self._check_axis("concat_axis", self.concat, x)
        self._check_size(self.split, x, self.tiled)
        shape = list(x.shape)
        if self.tiled:
            shape[self.split] = shape[self.split] // self.size
            shape[self.concat] = shape[self.concat] * self.size
        else:
            shape.insert(self.concat, shape.pop(self.split))
        return x.with_shape(tuple(shape))

    def exchange(self, x: Any, place: int) -> tuple[Any, int | None]:
        if self.tiled:  # the parts of each operand along a new axis, before the one they come from
            x = _split(x, place + 1 + self.split, self.size)
        x = prims.move_axis(x, place + 1 + self.split, place)  # (receiver, sender, rest)
        x = prims.move_axis(x, place + 1, place + 1 + self.concat)
        return (_merge(x, place + 1 + self.concat) if self.tiled else x), place

    def shifted(self) -> AllToAll:
        return replace(self, split=self.split + 1, concat=self.concat + 1)

    def transpose(self, ct: Any, x: Linear) -> Sequence[Any]:
        back = replace(self, split=self.concat, concat=self.split)
        return (back(ct),)


@record
class Permute(AlongNames):
    """Element j gets the operand of element `sources[j]`, zeros if that is negative.  No operand goes to two.

    Elements are counted along all named axes as if they were one, the last of them fastest.  Those in `here` are no
    longer outside: the operand has their elements along its first axes, in the order of the names.
    """

    names: tuple[Hashable, ...]
    sizes: tuple[int, ...]
    sources: tuple[int, ...]
    here: frozenset[Hashable] = frozenset()
    name: ClassVar[str] = "permute"

    @property
    def axis_names(self) -> frozenset[Hashable]:  # type: ignore[override]
        return frozenset(self.names) - self.here

    def type(self, x: ShapedArray) -> ShapedArray:
        return x

    def transpose(self, ct: Any, x: Linear) -> Sequence[Any]:
        back = [-1] * len(self.sources)
        for j, s in enumerate(self.sources):
            if s >= 0:
                back[s] = j
        return (replace(self, sources=tuple(back))(ct),)

    def batch(self, args: Sequence[Any], dims: Sequence[int | None], size: Dim) -> tuple[Any, Any]:
        (x,), (d,) = args, dims
        assert d is not None
        behind = len(self.here)
        return self(prims.move_axis(x, d, behind)), behind

    def meet(self, x: Any, axis_name: Hashable) -> tuple[Any, int | None]:
        here = self.here | {axis_name}
        held = [n for n in self.names if n in here]
        place = held.index(axis_name)
        x = prims.move_axis(x, 0, place)
        if len(here) < len(self.names):
            return replace(self, here=here)(x), place
        shape = typeof(x).shape
        rows = prims.Reshape((len(self.sources), *shape[len(held) :]))(x)
        return prims.Reshape(shape)(take_rows(rows, self.sources, 0)), place


@record
class AxisIndex(Collective):
    """Which element of the named axis it is: an int32."""

    axis_name: Hashable
    name: ClassVar[str] = "axis_index"
    no_slope: ClassVar[str | None] = "it has no operands"
    jvp = Primitive.jvp

    def type(self) -> ShapedArray:
        return ShapedArray((), dtypes.int32)

    def batch_named(
        self, args: Sequence[Any], dims: Sequence[int | None], size: Dim, axis_name: Hashable
    ) -> tuple[Any, Any]:
        return prims.Iota((size,), dtypes.int32, 0)(), 0
