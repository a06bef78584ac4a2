"""Primitives with all their rules: in loops, by statements, by NumPy, by other operations, by a C function."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy

import covector.numpy as np
from covector import extend
from covector.extend import scalar


@extend.record
class Scaled(extend.Mapped):
    """x times a number, element by element."""

    factor: float
    name: ClassVar[str] = "scaled"

    def type(self, x: extend.ShapedArray) -> extend.ShapedArray:
        return x

    def reference(self, x: Any) -> Any:
        return x * x.dtype.type(self.factor)

    def element(self, index: Any, *xs: extend.View) -> Any:
        (x,) = xs
        return x(index) * self.factor  # type: ignore[operator]

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        return extend.linear_jvp(self, primals, tangents)

    def transpose(self, ct: Any, *args: Any) -> Sequence[Any]:
        return (self(ct),)

    def batch(self, args: Sequence[Any], dims: Sequence[int | None], size: Any) -> tuple[Any, Any]:
        return self(*args), dims[0]


softsign = extend.Elementwise(
    "softsign",
    lambda x: x / (1 + numpy.abs(x)),
    (lambda t, y, x: t * (1 - np.abs(y)) ** 2,),
    lambda x: x / (scalar.apply("abs", x) + 1),
    kinds="f",
    widen=True,
)


@extend.record
class Newton(extend.Primitive):
    """The square root of each element, by steps that stop when nothing changes any more: loops and branches."""

    name: ClassVar[str] = "newton"

    def type(self, x: extend.ShapedArray) -> extend.ShapedArray:
        return x

    def reference(self, x: Any) -> Any:
        return numpy.sqrt(x)

    def lower(
        self,
        b: extend.Builder,
        operands: Sequence[extend.Operand],
        results: Sequence[extend.Result],
    ) -> None:
        (x,), (out,) = operands, results
        shape = out.aval.shape
        index = tuple([b.variable("i", n) for n in shape])
        loops = [b.loop(i, n, free=True) for i, n in zip(index, shape, strict=True)]
        for loop in loops:
            loop.__enter__()
        value: Any = x.at(index)
        guess = b.local(scalar.maximum(value, 1.0))
        with b.while_() as holds:
            better = b.local((guess + value / guess) * 0.5)
            holds(better < guess)
            b.assign((guess,), (better,))
        b.store(out.place, shape, index, guess)
        for loop in reversed(loops):
            loop.__exit__(None, None, None)

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        root = self(*primals)
        return root, tangents[0] / (2 * root)

    def batch(self, args: Sequence[Any], dims: Sequence[int | None], size: Any) -> tuple[Any, Any]:
        return self(*args), dims[0]


@extend.record
class Roots(extend.OnHost):
    """The eigenvalues of a symmetric matrix, and their number above zero, by NumPy."""

    name: ClassVar[str] = "roots"
    multiple: ClassVar[bool] = True

    def type(self, x: extend.ShapedArray) -> tuple[extend.ShapedArray, ...]:
        return x.with_shape(x.shape[:-1]), extend.ShapedArray(x.shape[:-2], numpy.dtype("int32"))

    def reference(self, x: Any) -> Any:
        found = numpy.linalg.eigvalsh((x + numpy.swapaxes(x, -1, -2)) / 2)
        return found.astype(x.dtype), numpy.sum(found > 0, -1).astype(numpy.int32)

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        values, count = self(*primals)
        tangent = Vectors()(*primals, tangents[0])
        return (values, count), (tangent, extend.Zero(count))

    def batch(self, args: Sequence[Any], dims: Sequence[int | None], size: Any) -> tuple[Any, Any]:
        return self(extend.batch_to_front(args[0], dims[0], size)), (0, 0)


@extend.record
class Vectors(extend.OnHost):
    """How the eigenvalues of the first operand move with the second: linear in that."""

    name: ClassVar[str] = "vectors"

    def type(self, x: extend.ShapedArray, t: extend.ShapedArray) -> extend.ShapedArray:
        return t.with_shape(t.shape[:-1])

    def reference(self, x: Any, t: Any) -> Any:
        _, v = numpy.linalg.eigh((x + numpy.swapaxes(x, -1, -2)) / 2)
        return numpy.einsum("...ik,...ij,...jk->...k", v, t, v).astype(t.dtype)

    def transpose(self, ct: Any, *args: Any) -> Sequence[Any]:
        return None, Back()(args[0], ct)

    def batch(self, args: Sequence[Any], dims: Sequence[int | None], size: Any) -> tuple[Any, Any]:
        return self(
            *[extend.batch_to_front(x, d, size) for x, d in zip(args, dims, strict=True)]
        ), 0


@extend.record
class Back(extend.OnHost):
    """The transpose of `Vectors`."""

    name: ClassVar[str] = "back"

    def type(self, x: extend.ShapedArray, ct: extend.ShapedArray) -> extend.ShapedArray:
        return x

    def reference(self, x: Any, ct: Any) -> Any:
        _, v = numpy.linalg.eigh((x + numpy.swapaxes(x, -1, -2)) / 2)
        return numpy.einsum("...ik,...k,...jk->...ij", v, ct, v).astype(x.dtype)

    def batch(self, args: Sequence[Any], dims: Sequence[int | None], size: Any) -> tuple[Any, Any]:
        return self(
            *[extend.batch_to_front(x, d, size) for x, d in zip(args, dims, strict=True)]
        ), 0


@extend.record
class SafeNorm(extend.Composite):
    """The length of a vector, with the slope 0 at 0, and its square."""

    name: ClassVar[str] = "safe_norm"
    multiple: ClassVar[bool] = True

    def compute(self, *xs: Any) -> Any:
        square = np.sum(xs[0] * xs[0])
        return np.sqrt(square), square

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        (x,), (t,) = primals, tangents
        length, square = self(x)
        along = np.sum(x * t)
        slope = np.where(length == 0, 0, along / np.where(length == 0, 1, length))
        return (length, square), (slope.astype(x.dtype), 2 * along)


@extend.record
class Mixed(extend.Composite):
    """A function without rules of its own: all are those of what it does."""

    power: int
    name: ClassVar[str] = "mixed"

    def compute(self, *xs: Any) -> Any:
        x, y = xs
        return np.sin(x) * y**self.power + np.arange(3, dtype=x.dtype)


@extend.record
class RowNorms(extend.ByRoutine):
    """Of each row, the sum of squares: one call of a C function for each."""

    routine: str
    side_by_side: bool = False
    name: ClassVar[str] = "row_norms"

    def type(self, x: extend.ShapedArray) -> extend.ShapedArray:
        return x.with_shape(x.shape[:-1])

    def reference(self, x: Any) -> Any:
        return numpy.sum(x * x, -1)

    def call(self, avals: Any) -> extend.RoutineCall:
        (x,) = avals
        *front, n = x.shape
        (rows,) = front
        steps = (n,), (1,)
        return extend.RoutineCall(self.routine, (n,), (rows,), steps, n, self.side_by_side)

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        (x,), (t,) = primals, tangents
        return self(x), 2 * np.sum(x * t, -1)

    def batch(self, args: Sequence[Any], dims: Sequence[int | None], size: Any) -> tuple[Any, Any]:
        front = extend.batch_to_front(args[0], dims[0], size)
        flat = np.reshape(front, (-1, front.shape[-1]))
        return np.reshape(self(flat), front.shape[:-1]), 0
