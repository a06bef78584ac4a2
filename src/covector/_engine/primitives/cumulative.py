"""Cumulative operations: each element is a fold of those up to it, along one axis.

Their derivatives are all one linear recurrence, s_k = keep_k s_{k-1} + take_k t_k, in which `keep` and `take` are
the slopes of one step in the running value and in the new element.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.base.record import record
from covector._engine.core.families import Cumulative, Reduction, State
from covector._engine.core.symbolic import Linear, is_zero
from covector._engine.core.trace import typeof
from covector._engine.ir import scalar
from covector._engine.ir.scalar import Expr, Scalar, const
from covector._engine.types import dtypes
from covector._engine.types.avals import ShapedArray
from covector._engine.types.dims import Dim

__all__ = [
    "CumLogSumExp",
    "CumMax",
    "CumMin",
    "CumProd",
    "CumSum",
    "Recurrence",
    "RunningFold",
    "shifted",
]


def shifted(x: Any, axis: int, first: Any, backwards: bool = False) -> Any:
    """The elements one place further along an axis, behind `first`; one place back, before it, if `backwards`."""
    aval = typeof(x)
    low = tuple([(-1 if backwards else 1) if a == axis else 0 for a in range(aval.ndim)])
    pad = prims.Pad(low, tuple([-p for p in low]), (0,) * aval.ndim)
    return pad(x, np.asarray(first).astype(aval.dtype)[()])


def accumulate(step: np.ufunc, x: Any, axis: int, reverse: bool) -> Any:
    """NumPy's running fold, also from the end."""
    x = np.flip(x, axis) if reverse else x
    with np.errstate(all="ignore"):
        out = step.accumulate(x, axis)
    return np.flip(out, axis) if reverse else out


class _OneAxis(Cumulative):
    """The type and batch rules of all of them."""

    name: ClassVar[str]
    kinds: ClassVar[str]

    def type(self, *xs: ShapedArray) -> ShapedArray:
        x = xs[0]
        prims.check_axes(self.name, (self.axis,), x.ndim)
        if any(y.shape != x.shape or y.dtype != x.dtype for y in xs):
            raise TypeError(
                f"{self.name} needs operands of one shape and dtype, got {', '.join(y.text() for y in xs)}"
                f"{errors.at_user_line()}"
            )
        if dtypes.kind(x.dtype) not in self.kinds:
            raise TypeError(f"{self.name} does not take {x.text()}{errors.at_user_line()}")
        return ShapedArray(x.shape, x.dtype, all(y.weak_type for y in xs))

    def batch(self, args: Sequence[Any], dims: Sequence[int | None], size: Dim) -> tuple[Any, Any]:
        xs, d = prims.same_batch_axis(args, dims, size)
        return type(self)(self.axis + (self.axis >= d), self.reverse)(*xs), d  # type: ignore[call-arg]


@record
class Recurrence(_OneAxis):
    """The linear recurrence s_k = a_k s_{k-1} + b_k along an axis, from s_{-1} = 0.  Operands: a, b."""

    axis: int
    reverse: bool = False
    name = "recurrence"
    kinds = "iufc"

    def reference(self, a: Any, b: Any) -> Any:
        wide = dtypes.computed_in(a.dtype)
        ours, theirs = (np.moveaxis(x.astype(wide), self.axis, 0) for x in (a, b))
        out = np.zeros_like(theirs)
        state = np.zeros(theirs.shape[1:], wide)
        with np.errstate(all="ignore"):
            for k in reversed(range(len(theirs))) if self.reverse else range(len(theirs)):
                out[k] = state = ours[k] * state + theirs[k]
            return np.moveaxis(out, 0, self.axis).astype(a.dtype)

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        (a, b), (t, u) = primals, tangents
        out = self(a, b)
        source = prims.materialize(u)
        if not is_zero(t):
            before = prims.mul(t, shifted(out, self.axis, 0, self.reverse))
            source = before if is_zero(u) else prims.add(before, source)
        return out, self(a, source)

    def transpose(self, ct: Any, a: Any, b: Any) -> Sequence[Any]:
        assert isinstance(b, Linear)
        assert not isinstance(a, Linear)
        after = shifted(a, self.axis, 0, not self.reverse)
        return None, Recurrence(self.axis, not self.reverse)(after, ct)

    def start(self, dtype: np.dtype) -> State:
        real = dtypes.real_of(dtypes.computed_in(dtype))
        one, zero = const(1, real), const(0, real)
        return (one, zero, zero, zero) if dtypes.is_complex(dtype) else (one, zero)

    def lift(self, *xs: Scalar) -> State:
        a, b = xs
        if isinstance(a, tuple) and isinstance(b, tuple):
            return *a, *b
        assert isinstance(a, Expr)
        assert isinstance(b, Expr)
        wide = dtypes.computed_in(a.dtype)
        return scalar.convert(a, wide), scalar.convert(b, wide)

    def combine(self, a: State, b: State) -> State:
        if len(a) == 2:
            return a[0] * b[0], b[0] * a[1] + b[1]
        factor, (re, im) = _times(a[:2], b[:2]), _times(b[:2], a[2:])
        return *factor, re + b[2], im + b[3]

    def finish(self, state: State, dtype: np.dtype) -> Scalar:
        return scalar.convert(state[1], dtype) if len(state) == 2 else (state[2], state[3])


def _times(p: State, q: State) -> tuple[Expr, Expr]:
    """The product of two complex numbers."""
    return p[0] * q[0] - p[1] * q[1], p[0] * q[1] + p[1] * q[0]


# --------------------------------------------------------------------------------------- running folds


class RunningFold(_OneAxis):
    """A fold of the family `ScalarReduction`, element by element."""

    numpy: ClassVar[np.ufunc]
    of: ClassVar[str]  # the class of the fold, by name: the package is not complete yet

    def fold(self) -> Reduction:
        """The reduction that gives the last element."""
        return getattr(prims, self.of)((self.axis,))

    def reference(self, x: Any) -> Any:
        wide = dtypes.computed_in(x.dtype)
        return accumulate(self.numpy, x.astype(wide), self.axis, self.reverse).astype(x.dtype)

    def slopes(self, before: Any, x: Any, out: Any) -> tuple[Any, Any]:
        """The slopes of one step in the value before it, and in the element x."""
        raise NotImplementedError

    first: ClassVar[float] = 0  # what stands for the value before the first element, in `slopes`

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        (x,), (t,) = primals, tangents
        out = self(x)
        before = shifted(out, self.axis, self.first, self.reverse)
        keep, take = self.slopes(before, x, out)
        return out, Recurrence(self.axis, self.reverse)(keep, prims.mul(take, t))

    def start(self, dtype: np.dtype) -> State:
        return self.fold().start(dtype)

    def lift(self, *xs: Scalar) -> State:
        return self.fold().lift((), *xs)

    def combine(self, a: State, b: State) -> State:
        return self.fold().combine(a, b)

    def finish(self, state: State, dtype: np.dtype) -> Scalar:
        return self.fold().finish(state, dtype)


@record
class CumSum(RunningFold):
    """The sums up to each element, along an axis."""

    axis: int
    reverse: bool = False
    name = "cumsum"
    kinds = "iufc"
    numpy = np.add
    of = "Sum"

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        return prims.linear_jvp(self, primals, tangents)

    def transpose(self, ct: Any, x: Linear) -> Sequence[Any]:
        return (CumSum(self.axis, not self.reverse)(ct),)


@record
class CumProd(RunningFold):
    """The products up to each element, along an axis."""

    axis: int
    reverse: bool = False
    name = "cumprod"
    kinds = "iufc"
    numpy = np.multiply
    of = "Prod"
    first = 1

    def slopes(self, before: Any, x: Any, out: Any) -> tuple[Any, Any]:
        return x, before


class _RunningExtremum(RunningFold):
    """The derivative is that of the element that is extreme; of two equal ones, half of each.

    Where NaN has come in it is 0, as that of `maximum`.
    """

    kinds: ClassVar[str] = "iuf"
    first: ClassVar[float] = np.nan  # the first element is extreme, even if it is infinite

    def slopes(self, before: Any, x: Any, out: Any) -> tuple[Any, Any]:
        stays = (prims.gt if self.of == "Max" else prims.lt)(before, x)
        tie = prims.select(prims.eq(before, x), *(prims.convert(v, x.dtype) for v in (0.5, 0.0)))
        keep = prims.select(stays, prims.convert(1.0, x.dtype), tie)
        begin = shifted(prims.zeros(typeof(x)), self.axis, 1, self.reverse)
        take = prims.sub(prims.convert(1.0, x.dtype), keep)
        return keep, prims.select(prims.eq(out, out), take, begin)


@record
class CumMax(_RunningExtremum):
    """The largest up to each element, along an axis."""

    axis: int
    reverse: bool = False
    name = "cummax"
    numpy = np.maximum
    of = "Max"


@record
class CumMin(_RunningExtremum):
    """The smallest up to each element, along an axis."""

    axis: int
    reverse: bool = False
    name = "cummin"
    numpy = np.minimum
    of = "Min"


@record
class CumLogSumExp(RunningFold):
    """The logarithms of the sums of exponentials up to each element, along an axis; nothing overflows."""

    axis: int
    reverse: bool = False
    name = "cumlogsumexp"
    kinds = "f"
    numpy = np.logaddexp
    of = "Max"
    first = -np.inf

    def slopes(self, before: Any, x: Any, out: Any) -> tuple[Any, Any]:
        empty = prims.eq(before, -np.inf)  # nothing has come yet
        zero, one = (prims.convert(v, x.dtype) for v in (0.0, 1.0))
        keep = prims.select(empty, zero, prims.share_of_exp(before, x))
        return keep, prims.select(empty, one, prims.share_of_exp(x, before))

    def start(self, dtype: np.dtype) -> State:
        wide = dtypes.computed_in(dtype)
        return const(-np.inf, wide), const(0, wide)

    def lift(self, *xs: Scalar) -> State:
        (x,) = xs
        assert isinstance(x, Expr)
        wide = scalar.convert(x, dtypes.computed_in(x.dtype))
        return wide, const(1, wide.dtype)

    def combine(self, a: State, b: State) -> State:
        top = scalar.maximum(a[0], b[0])

        def part(s: State) -> Expr:
            same = scalar.equal(s[0], top)
            return s[1] * scalar.call("exp", scalar.select(same, 0, s[0] - top))

        return top, part(a) + part(b)

    def finish(self, state: State, dtype: np.dtype) -> Scalar:
        return scalar.convert(state[0] + scalar.call("log", state[1]), dtype)
