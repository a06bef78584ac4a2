"""Reductions: axes disappear.  Sum and Broadcast are each other's transpose.

Sums and products of 16-bit floats accumulate in float32 and are rounded once, at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.base.record import record
from covector._engine.core.families import Reduction, State
from covector._engine.core.primitive import MadeBy
from covector._engine.core.symbolic import Linear
from covector._engine.core.trace import typeof
from covector._engine.ir import scalar
from covector._engine.ir.index import Index, to_scalar
from covector._engine.ir.program import Atom, Eqn
from covector._engine.ir.scalar import Expr, Scalar, const
from covector._engine.primitives.laws import Rewriting
from covector._engine.types import dims, dtypes
from covector._engine.types.avals import ShapedArray
from covector._engine.types.dims import Dim

__all__ = [
    "All",
    "Any_",
    "ArgReduction",
    "Argmax",
    "Argmin",
    "Max",
    "Min",
    "Prod",
    "ScalarReduction",
    "Sum",
    "Xor",
    "remaining",
]


MANY = 1 << 14  # elements from which what is summed apart is worth the memory for it


SHORT = 32  # elements of a row that fills few vectors
ROWS = 64  # so many of them are taken for one


def remaining(shape: tuple[Dim, ...], axes: tuple[int, ...]) -> tuple[Dim, ...]:
    """The dimensions that are not reduced."""
    return tuple([n for i, n in enumerate(shape) if i not in axes])


def _shifted(axes: tuple[int, ...], d: int) -> tuple[tuple[int, ...], int]:
    """The axes beside a batch axis at d, and where that is in the result."""
    return tuple([a + (a >= d) for a in axes]), d - sum(a < d for a in axes)


def _are_short(shape: tuple[Dim, ...], axes: tuple[int, ...]) -> bool:
    """Whether the columns of a long table are reduced whose rows fill few vectors."""
    if axes != (0,) or len(shape) != 2 or not all(isinstance(n, int) for n in shape):
        return False
    rows, short = (int(n) for n in shape)
    return 0 < short < SHORT and rows * short >= MANY


class ScalarReduction(Reduction):
    """A reduction by one scalar operation on each scalar of the element.

    A member is its operation, its identity and the NumPy function, and the kinds of dtype it takes.
    """

    name: ClassVar[str]
    op: ClassVar[str]
    op_of_bool: ClassVar[str | None] = None  # where it is another one for bool
    identity: ClassVar[Callable[[np.dtype], Any]]
    numpy: ClassVar[np.ufunc]
    kinds: ClassVar[str]
    widens: ClassVar[bool] = False
    instead: ClassVar[str] = ""  # the advice for dtypes it does not take

    def type(self, x: ShapedArray) -> ShapedArray:
        prims.check_axes(self.name, self.axes, x.ndim)
        if dtypes.kind(x.dtype) not in self.kinds:
            raise TypeError(
                f"{self.name} does not take {x.text()}{errors.at_user_line()}{self.instead}"
            )
        return x.with_shape(remaining(x.shape, self.axes))

    def accumulator(self, dtype: np.dtype) -> np.dtype:
        """The dtype in which it accumulates."""
        return dtypes.computed_in(dtype) if self.widens or dtypes.is_narrow(dtype) else dtype

    def nothing(self, dtype: np.dtype) -> Any:
        """What changes no value of a dtype, in that in which it accumulates."""
        return np.asarray(type(self).identity(dtype)).astype(self.accumulator(dtype))[()]

    def reference(self, x: Any) -> Any:
        wide, initial = self.accumulator(x.dtype), self.nothing(x.dtype)
        numpy = self.numpy
        if x.dtype == dtypes.bool_ and self.op_of_bool:
            numpy = {"or": np.logical_or, "and": np.logical_and}[self.op_of_bool]
        with np.errstate(all="ignore"):
            result = numpy.reduce(x.astype(wide), axis=self.axes, dtype=wide, initial=initial)
            return np.asarray(result).astype(x.dtype)

    def batch(self, args: Sequence[Any], dims: Sequence[int | None], size: Dim) -> tuple[Any, Any]:
        (x,), (d,) = args, dims
        assert d is not None
        axes, place = _shifted(self.axes, d)
        return type(self)(axes)(x), place  # type: ignore[call-arg]

    def simplified(self, eqn: Eqn, made_by: MadeBy) -> Atom | Sequence[Eqn] | None:
        """Of an array of short rows, several of which are taken for one: then they fill vectors."""
        (x,) = eqn.inputs
        if not self.axes:
            return x
        shape, dtype = x.aval.shape, x.aval.dtype
        if not _are_short(shape, self.axes) or made_by(x) or self.accumulator(dtype) != dtype:
            return None
        rows, short = (int(n) for n in shape)
        steps, reduced = Rewriting(eqn), type(self)((0,))  # type: ignore[call-arg]
        whole = rows // ROWS * ROWS
        first = x if whole == rows else steps(prims.Slice((0, 0), (whole, short), (1, 1)), x)
        longer = steps(prims.Reshape((whole // ROWS, ROWS * short)), first)
        few = steps(prims.Reshape((ROWS, short)), steps(reduced, longer))
        if whole < rows:
            rest = steps(prims.Slice((whole, 0), (rows, short), (1, 1)), x)
            few = steps(prims.Concatenate(0), few, rest)
        return steps.end(reduced, few)

    def operation(self, dtype: np.dtype) -> str | None:
        if dtypes.is_complex(dtype) and self.op != "add":
            return None
        return self.op_of_bool if dtype == dtypes.bool_ and self.op_of_bool else self.op

    def start(self, dtype: np.dtype) -> State:
        identity = const(self.nothing(dtype).real.item(), dtypes.real_of(self.accumulator(dtype)))
        return (identity, const(0, identity.dtype)) if dtypes.is_complex(dtype) else (identity,)

    def lift(self, index: Index, *xs: Scalar) -> State:
        (x,) = xs
        return x if isinstance(x, tuple) else (scalar.convert(x, self.accumulator(x.dtype)),)

    def combine(self, a: State, b: State) -> State:
        if len(a) == 2 and self.op == "mul":
            return a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0]
        op = self.operation(a[0].dtype)
        assert op is not None
        return tuple([scalar.apply(op, x, y) for x, y in zip(a, b, strict=True)])

    def finish(self, state: State, dtype: np.dtype) -> Scalar:
        return (state[0], state[1]) if len(state) == 2 else scalar.convert(state[0], dtype)


@record
class Sum(ScalarReduction):
    """Add up along `axes`."""

    axes: tuple[int, ...]
    name = "reduce_sum"
    op = "add"
    identity = staticmethod(lambda dtype: 0)
    numpy = np.add
    kinds = "iufc"
    widens = True
    instead = "; convert it to an integer dtype to count, or use any or all"

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        return prims.linear_jvp(self, primals, tangents)

    def transpose(self, ct: Any, x: Linear) -> Sequence[Any]:
        return (prims.Broadcast(x.aval.shape, self.axes)(ct),)

    def simplified(self, eqn: Eqn, made_by: MadeBy) -> Atom | Sequence[Eqn] | None:
        """Of complex numbers, whose rows are added up, the parts on their own, which lie apart until they are summed.

        Where sums went into a row of complex numbers, columns were summed one after the other: 10 times as long.
        """
        (x,) = eqn.inputs
        if not dtypes.is_complex(x.aval.dtype) or not self._adds_rows(x.aval.shape):
            return super().simplified(eqn, made_by)
        steps = Rewriting(eqn)
        parts = [steps(self, steps(part, x)) for part in (prims.real, prims.imag)]
        return steps.end(prims.complex_, *steps.apart(parts))

    def _adds_rows(self, shape: tuple[Dim, ...]) -> bool:
        """Whether many elements are summed, and not along the rows."""
        many = dims.is_true(lambda: dims.product(shape) >= MANY)
        return bool(self.axes) and many and len(shape) - 1 not in self.axes


class Extremum(ScalarReduction):
    """Max and Min.  NaN wins, and has no slope; elements that are equally extreme share the gradient."""

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        (x,), (t,) = primals, tangents
        out = self(x)
        shape, dtype = typeof(x).shape, typeof(x).dtype
        mine = prims.convert(prims.eq(x, prims.Broadcast(shape, self.axes)(out)), dtype)
        total = Sum(self.axes)
        return out, prims.div(total(prims.mul(t, mine)), prims.maximum(total(mine), 1.0))


@record
class Max(Extremum):
    """The largest along `axes`; minus infinity, or the least integer, of no elements."""

    axes: tuple[int, ...]
    name = "reduce_max"
    op = "max"
    op_of_bool = "or"
    identity = staticmethod(dtypes.lowest)
    numpy = np.maximum
    kinds = "biuf"


@record
class Min(Extremum):
    """The smallest along `axes`; infinity, or the largest integer, of no elements."""

    axes: tuple[int, ...]
    name = "reduce_min"
    op = "min"
    op_of_bool = "and"
    identity = staticmethod(dtypes.highest)
    numpy = np.minimum
    kinds = "biuf"


@record
class Prod(ScalarReduction):
    """Multiply along `axes`."""

    axes: tuple[int, ...]
    name = "reduce_prod"
    op = "mul"
    identity = staticmethod(lambda dtype: 1)
    numpy = np.multiply
    kinds = "iufc"
    widens = True
    instead = "; use all"

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        (x,), (t,) = primals, tangents
        shape = typeof(x).shape
        if dims.is_constant([shape[a] for a in self.axes]):
            tangent = self._tangent_by_halves(x, t)
        else:
            tangent = self._tangent_by_steps(x, t)
        return self(x), tangent

    def _tangent_by_halves(self, x: Any, t: Any) -> Any:
        """The product rule on pairs of halves: right with zeros among the elements, and so are its derivatives."""
        for axis in self.axes:
            n = typeof(x).shape[axis]
            assert isinstance(n, int)
            half = 1 << max(n - 1, 0).bit_length()
            if half != n:
                ndim = typeof(x).ndim
                high = tuple([half - n if a == axis else 0 for a in range(ndim)])
                pad = prims.Pad((0,) * ndim, high, (0,) * ndim)
                dtype = typeof(x).dtype
                x, t = pad(x, np.ones((), dtype)[()]), pad(t, np.zeros((), dtype)[()])
            while half > 1:
                half //= 2
                (a, s), (b, u) = (
                    (_part(x, axis, i, half), _part(t, axis, i, half)) for i in (0, half)
                )
                x, t = prims.mul(a, b), prims.add(prims.mul(s, b), prims.mul(a, u))
        return prims.Reshape(remaining(typeof(t).shape, self.axes))(t)

    def _tangent_by_steps(self, x: Any, t: Any) -> Any:
        """For symbolic lengths: the product rule element by element, just as right."""
        for axis in self.axes:
            ndim, length = typeof(x).ndim, typeof(x).shape[axis]
            pad = prims.Pad(tuple([int(a == axis) for a in range(ndim)]), (0,) * ndim, (0,) * ndim)
            dtype = typeof(
                x
            ).dtype  # with a 1 in front there is a last product, also of no elements
            x, t = pad(x, np.ones((), dtype)[()]), pad(t, np.zeros((), dtype)[()])
            products = prims.CumProd(axis)(x)
            before = prims.shifted(products, axis, 1)
            tangents = prims.Recurrence(axis)(x, prims.mul(before, t))
            x, t = (_part(v, axis, length, 1) for v in (products, tangents))
        return prims.Reshape(remaining(typeof(t).shape, self.axes))(t)


def _part(x: Any, axis: int, start: Dim, length: int) -> Any:
    """Some elements along an axis."""
    shape = typeof(x).shape
    starts = tuple([start if a == axis else 0 for a in range(len(shape))])
    limits = tuple([start + length if a == axis else n for a, n in enumerate(shape)])
    return prims.Slice(starts, limits, (1,) * len(shape))(x)


class Bitwise(ScalarReduction):
    """Any, All, Xor: of bool, or of each bit of integers."""

    no_slope: ClassVar[str | None] = "its operand is bool or an integer"
    kinds = "biu"


@record
class Any_(Bitwise):
    """Whether one of them is true, along `axes`; bitwise or of integers."""

    axes: tuple[int, ...]
    name = "reduce_or"
    op = "or"
    identity = staticmethod(lambda dtype: 0)
    numpy = np.bitwise_or


@record
class All(Bitwise):
    """Whether all are true, along `axes`; bitwise and of integers."""

    axes: tuple[int, ...]
    name = "reduce_and"
    op = "and"
    identity = staticmethod(
        lambda dtype: -1 if dtypes.kind(dtype) == "i" else dtypes.highest(dtype)
    )
    numpy = np.bitwise_and


@record
class Xor(Bitwise):
    """Whether an odd number of them is true, along `axes`; bitwise of integers."""

    axes: tuple[int, ...]
    name = "reduce_xor"
    op = "xor"
    identity = staticmethod(lambda dtype: 0)
    numpy = np.bitwise_xor


class ArgReduction(Reduction):
    """Where the extreme element is, along one axis: the first of equals; the first NaN, if there is one."""

    name: ClassVar[str]
    wins: ClassVar[str]  # the comparison that a better element passes
    worst: ClassVar[Callable[[np.dtype], Any]]
    no_slope: ClassVar[str | None] = "its result is an index"
    axis: int
    index_dtype: np.dtype

    @property
    def axes(self) -> tuple[int, ...]:  # type: ignore[override]
        return (self.axis,)

    def type(self, x: ShapedArray) -> ShapedArray:
        prims.check_axes(self.name, self.axes, x.ndim)
        if dtypes.is_complex(x.dtype) or not dtypes.is_integer(self.index_dtype):
            raise TypeError(
                f"{self.name} of {x.text()} as {self.index_dtype.name}{errors.at_user_line()}: "
                "the operand must be real and the result an integer"
            )
        length, most = x.shape[self.axis], dtypes.iinfo(self.index_dtype).max
        if type(length) is int and length - 1 > most:
            raise ValueError(
                f"{self.name} along axis {self.axis} of {x.text()} as {self.index_dtype.name}{errors.at_user_line()}: "
                f"there are positions beyond {most}"
            )
        if x.shape[self.axis] == 0:
            raise ValueError(
                f"{self.name} along axis {self.axis} of {x.text()}, which is empty{errors.at_user_line()}"
            )
        return ShapedArray(remaining(x.shape, self.axes), self.index_dtype)

    def reference(self, x: Any) -> Any:
        numpy = np.argmax if self.wins == "gt" else np.argmin
        wide = x.astype(dtypes.computed_in(x.dtype))
        return np.asarray(numpy(wide, self.axis)).astype(self.index_dtype)

    def batch(self, args: Sequence[Any], dims: Sequence[int | None], size: Dim) -> tuple[Any, Any]:
        (x,), (d,) = args, dims
        assert d is not None
        (axis,), place = _shifted((self.axis,), d)
        return type(self)(axis, self.index_dtype)(x), place  # type: ignore[call-arg]

    def start(self, dtype: np.dtype) -> State:
        none = -1 if self._signed else dtypes.iinfo(self.index_dtype).max
        return const(type(self).worst(dtype), dtype), const(none, self.index_dtype)

    @property
    def _signed(self) -> bool:
        return dtypes.kind(self.index_dtype) == "i"

    def lift(self, index: Index, *xs: Scalar) -> State:
        (x,) = xs
        assert isinstance(x, Expr)
        return x, to_scalar(index[self.axis], self.index_dtype)

    def combine(self, a: State, b: State) -> State:
        (x, i), (y, j) = a, b
        earlier = j < i
        if x.dtype == scalar.BOOL:
            better = ~x & y if self.wins == "gt" else x & ~y
            equal = ~(x ^ y)
        else:
            better, equal = scalar.apply(self.wins, y, x), scalar.equal(x, y)
        if dtypes.is_float(x.dtype):
            x_nan, y_nan = scalar.differ(x, x), scalar.differ(y, y)
            better = better | (y_nan & ~x_nan)
            equal = equal | (x_nan & y_nan)
        takes = better | (equal & earlier)
        return scalar.select(takes, y, x), scalar.select(takes, j, i)

    def follow(self, a: State, b: State) -> State:
        """One that only equals those before never counts: 3 comparisons less, half the time along rows."""
        (x, i), (y, j) = a, b
        if x.dtype == scalar.BOOL or not self._signed:
            return self.combine(a, b)
        if dtypes.is_float(x.dtype):  # not y <= x: greater, or a NaN
            no_better = scalar.apply("le" if self.wins == "gt" else "ge", y, x)
            takes = ~no_better & scalar.equal(x, x)
        else:
            takes = scalar.apply(self.wins, y, x)
        return scalar.select(takes, y, x), scalar.select(takes, j, i)

    def finish(self, state: State, dtype: np.dtype) -> Scalar:
        """Where nothing was better than the worst there is, all are that: the first."""
        zero = const(0, self.index_dtype)
        return scalar.select(state[1] < 0, zero, state[1]) if self._signed else state[1]


@record
class Argmax(ArgReduction):
    """The index of the largest element along an axis."""

    axis: int
    index_dtype: np.dtype
    name = "argmax"
    wins = "gt"
    worst = staticmethod(dtypes.lowest)


@record
class Argmin(ArgReduction):
    """The index of the smallest element along an axis."""

    axis: int
    index_dtype: np.dtype
    name = "argmin"
    wins = "lt"
    worst = staticmethod(dtypes.highest)
