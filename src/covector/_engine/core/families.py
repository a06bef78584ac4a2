"""The families of primitives whose members share rules: movements, reductions, running folds, updates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import ClassVar

import numpy as np

from covector._engine.core.primitive import Primitive, Types
from covector._engine.ir import index as ix
from covector._engine.ir.builder import Builder, Operand, Result
from covector._engine.ir.index import Index
from covector._engine.ir.scalar import Expr, Scalar, combined
from covector._engine.types.avals import ShapedArray
from covector._engine.types.dims import Dim

State = tuple[Expr, ...]  # of a fold


class View:
    """In an `element` rule: an operand, as a function from an index to the element there."""

    __slots__ = ("aval", "read", "read_guarded")

    def __init__(
        self,
        aval: ShapedArray,
        read: Callable[[Index], Scalar],
        read_guarded: Callable[[Expr, Index], Scalar] | None = None,
    ):
        self.aval, self.read, self.read_guarded = aval, read, read_guarded

    def __call__(self, index: Index) -> Scalar:
        return self.read(index)

    def guarded(self, condition: Expr, index: Index) -> Scalar:
        """The element where the condition holds, else an unspecified value, for which no memory is read."""
        if self.read_guarded is None or (condition.op == "const" and condition.attr):
            return self.read(index)
        return self.read_guarded(condition, index)

    def under(self, condition: Expr) -> View:
        """The same operand, of which every element is read only where the condition holds."""
        return View(
            self.aval,
            lambda index: self.guarded(condition, index),
            lambda inner, index: self.guarded(condition & inner, index),
        )

    @property
    def shape(self) -> tuple[Dim, ...]:
        return self.aval.shape

    @property
    def dtype(self) -> np.dtype:
        return self.aval.dtype


class Mapped(Primitive):
    """Each element of the result comes from a few elements of the operands: computed inside its consumer."""

    at_data: ClassVar[bool] = False  # where it reads its first operand comes from others' values

    def alone(self, avals: Types, small: int) -> bool:
        return False

    def element(self, index: Index, *xs: View) -> Scalar:
        """The result's element at an index."""
        raise self._missing("element")

    def work(self, operands: int) -> float:
        """Operations that an element takes beside those of its operands' elements, about."""
        return 100.0


class Movement(Mapped):
    """Elements change place, not value.  Linear in every floating operand."""

    makes_nan: ClassVar[bool] = False

    def element_operands(self, count: int) -> Sequence[int]:
        return range(count)

    def work(self, operands: int) -> float:
        return 0.5


class Folded(Primitive):
    """Each element of the result is a fold over axes of a space, with a state of one or several scalars.

    The result's element is `finish(s)`, where s begins as `start` and takes in what the operands have at each point,
    lifted to a state, with `combine`.  That is associative and commutative up to rounding: any order and grouping
    will do.
    """

    begins_nest: ClassVar[bool] = False  # others may join its loop nest, but it joins none

    def alone(self, avals: Types, small: int) -> bool:
        return False

    def space(self, avals: Types) -> tuple[tuple[Dim, ...], tuple[int, ...]]:
        """The space's shape, and the axes that are folded; the others are the result's, in order."""
        raise self._missing("space")

    def places(self, index: Index, avals: Types) -> tuple[Index, ...]:
        """Where each operand is read for a point of the space."""
        raise self._missing("places")

    def operation(self, dtype: np.dtype) -> str | None:
        """The scalar operation that combines each scalar of the state on its own; None if it is not one."""
        return None

    def start(self, dtype: np.dtype) -> State:
        """The state before the first element, for operands of this dtype."""
        raise self._missing("start")

    def lift(self, index: Index, *xs: Scalar) -> State:
        """The state of one element of each operand, at this point of the space."""
        raise self._missing("lift")

    def combine(self, a: State, b: State) -> State:
        """The state of the elements of both."""
        raise self._missing("combine")

    def follow(self, a: State, b: State) -> State:
        """What `combine` gives where b is the state of one element, which comes after all those of a."""
        return self.combine(a, b)

    def finish(self, state: State, dtype: np.dtype) -> Scalar:
        """The result's element."""
        raise self._missing("finish")


class Reduction(Folded):
    """Axes of the one operand disappear."""

    axes: tuple[int, ...]

    def space(self, avals: Types) -> tuple[tuple[Dim, ...], tuple[int, ...]]:
        return avals[0].shape, self.axes

    def places(self, index: Index, avals: Types) -> tuple[Index, ...]:
        return (index,)


class Cumulative(Primitive):
    """A running fold along one axis: each element of the result is that of the operands' elements up to it.

    Operands and result have one shape.  Element k is `finish(s_k)`, with s_k = combine(s_{k-1}, lift(elements at k))
    from s_{-1} = `start`; from the other end with `reverse`.  `combine` is associative but need not commute: the
    state of the elements that come first is its first operand.
    """

    axis: int
    reverse: bool

    def start(self, dtype: np.dtype) -> State:
        """The state before the first element, for operands of this dtype."""
        raise self._missing("start")

    def lift(self, *xs: Scalar) -> State:
        """The state of one element of each operand."""
        raise self._missing("lift")

    def combine(self, a: State, b: State) -> State:
        """The state of the elements of a, then those of b."""
        raise self._missing("combine")

    def finish(self, state: State, dtype: np.dtype) -> Scalar:
        """The result's element."""
        raise self._missing("finish")

    def lower(self, b: Builder, operands: Sequence[Operand], results: Sequence[Result]) -> None:
        """A state that takes in one element after the other along the axis; the other axes are loops around it."""
        (out,) = results
        shape, dtype = out.aval.shape, out.aval.dtype
        index = [b.variable("c", n) for n in shape]
        step, extent = index[self.axis], shape[self.axis]
        index[self.axis] = extent - 1 - step if self.reverse else step
        at = tuple(index)
        with ExitStack() as loops:
            for axis, n in enumerate(shape):
                if axis != self.axis:
                    loops.enter_context(b.loop(index[axis], n, free=True))
            state = tuple([b.local(e) for e in self.start(dtype)])
            with b.loop(step, extent):
                b.assign(state, self.combine(state, self.lift(*[x.at(at) for x in operands])))
                b.store(out.place, shape, at, self.finish(state, dtype))


class Update(Primitive):
    """The first operand with elements of another, the update, combined into places that indices name.

    For each element u of the update where `in_bounds` holds: out[target] = combine(out[target], u), with loops over
    the update's axes in the order that `loop_axes` says.
    """

    update: ClassVar[int]  # which operand is the update; those but it and the first are indices
    begins_as: ClassVar[tuple[int | None, ...]] = (0,)

    def element_operands(self, count: int) -> Sequence[int]:
        return 0, self.update

    @property
    def combination(self) -> str:
        """What becomes of an element of the result: 'set', or a scalar operation (add, mul, min, max)."""
        raise NotImplementedError

    def loop_axes(self, ndim: int) -> tuple[int, ...]:
        """The axes of an update of this rank, the outermost loop's first.  It matters where 'set' meets duplicates."""
        return tuple(range(ndim))

    def independent_axes(self, ndim: int) -> tuple[int, ...]:
        """The axes of the update of which each value has places of its own: its loop's runs do not meet.

        Where a place is the same all along such an axis, one value at most is in bounds.
        """
        raise NotImplementedError

    def target(self, index: Index, *xs: View) -> tuple[Index, Expr | None]:
        """(where, in_bounds) of the update's element at an index; None: it always is in bounds.

        Given the views of all operands, it reads those of the indices only.
        """
        raise self._missing("target")

    def lower(self, b: Builder, operands: Sequence[Operand], results: Sequence[Result]) -> None:
        """Copy what the update starts from, unless it lies there, then combine the update's elements into it."""
        (out,) = results
        b.copy(out.place, operands[0])
        update = operands[self.update]
        shape = update.aval.shape
        index = tuple([b.variable("u", n) for n in shape])
        where, inside = self.target(index, *[View(x.aval, x.at, x.guarded) for x in operands])
        value = update.at(index)
        if self.combination != "set":
            value = combined(self.combination, b.element(out, where), value)
        order = self.loop_axes(len(shape))
        place = ix.flatten(where, out.aval.shape)
        free = {a for a in self.independent_axes(len(shape)) if ix.depends(place, str(index[a]))}
        with ExitStack() as loops:
            for axis in order:
                loops.enter_context(b.loop(index[axis], shape[axis], free=axis in free))
            if inside is not None:
                loops.enter_context(b.if_(inside))
            b.store(out.place, out.aval.shape, where, value)
