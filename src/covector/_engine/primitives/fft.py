"""Fourier transforms along any axes, of complex numbers and of reals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.base.record import record
from covector._engine.core.primitive import Primitive
from covector._engine.core.routine import Called, RuntimeRoutine, as_primitive, runtime_routine
from covector._engine.core.symbolic import Linear
from covector._engine.core.trace import typeof
from covector._engine.ir.builder import Builder, Operand, Place, Result
from covector._engine.types import dims as sizes, dtypes
from covector._engine.types.avals import ShapedArray
from covector._engine.types.dims import Dim

__all__ = ["Fft", "fft_of"]

KINDS = ("fft", "ifft", "rfft", "irfft")  # by the numbers that `cv_fft` knows them by
TAKES = {"fft": "c", "ifft": "c", "rfft": "f", "irfft": "c"}


@record
class Fft(Primitive):
    """The discrete Fourier transform along `axes`, of which those of reals halve the last one.

    "fft" sums with e^(-2πi jk/n), "ifft" with e^(2πi jk/n) and divides by the n's; "rfft" is the former of reals, of
    which it gives the n // 2 + 1 results that the others are conjugates of; "irfft" is the inverse of that.
    `lengths` are the n's.
    """

    kind: str
    lengths: tuple[Dim, ...]
    axes: tuple[int, ...]
    name: ClassVar[str] = "fft"

    def type(self, x: ShapedArray) -> ShapedArray:
        prims.check_axes(self.kind, self.axes, x.ndim)
        if self.kind == "rfft" and self.lengths[-1] == 0:
            raise errors.ShapeError(
                f"rfft of no numbers{errors.at_user_line()}; it needs at least one"
            )
        if len(set(self.axes)) < len(self.axes) or not self.axes:
            raise errors.ShapeError(
                f"{self.kind} needs axes that are not the same, got {self.axes}{errors.at_user_line()}"
            )
        if dtypes.kind(x.dtype) != TAKES[self.kind] or x.dtype in dtypes.FLOATS[:2]:
            takes = "float32 or float64" if TAKES[self.kind] == "f" else "complex numbers"
            raise TypeError(f"{self.kind} takes {takes}, got {x.text()}{errors.at_user_line()}")
        shape = list(x.shape)
        for axis, n in zip(self.axes, self.lengths, strict=True):
            halved = self.kind == "irfft" and axis == self.axes[-1]
            if shape[axis] != (n // 2 + 1 if halved else n):
                raise errors.ShapeError(
                    f"{self.kind} of lengths {self.lengths} along the axes {self.axes} does not fit {x.text()}"
                    f"{errors.at_user_line()}"
                )
        last, n = self.axes[-1], self.lengths[-1]
        if self.kind in ("rfft", "irfft"):
            shape[last] = n // 2 + 1 if self.kind == "rfft" else n
        dtype = {"rfft": dtypes.complex_of, "irfft": dtypes.real_of}.get(self.kind, lambda d: d)
        return ShapedArray(tuple(shape), dtype(x.dtype))

    def reference(self, x: Any) -> Any:
        out = self.type(ShapedArray(x.shape, x.dtype))
        if 0 in x.shape or 0 in out.shape:
            return np.zeros(sizes_of(out), out.dtype)
        with np.errstate(all="ignore"):
            wide = x.astype(dtypes.computed_in(x.dtype))
            found = getattr(np.fft, f"{self.kind}n")(wide, sizes_of(self.lengths), self.axes)
            return found.astype(out.dtype)

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        return prims.linear_jvp(self, primals, tangents)

    def transpose(self, ct: Any, x: Linear) -> Sequence[Any]:
        if self.kind in ("fft", "ifft"):
            return (self(ct),)
        axis, n = self.axes[-1], self.lengths[-1]
        if self.kind == "rfft":  # the sum over half of the results, of which x takes the real part
            high = [n - typeof(ct).shape[axis] if a == axis else 0 for a in range(typeof(ct).ndim)]
            zeros = (0,) * len(high)
            whole = prims.Pad(zeros, tuple(high), zeros)(ct, typeof(ct).dtype.type(0))
            return (prims.real(Fft("fft", self.lengths, self.axes)(whole)),)
        # Each number but the first, and the middle one of an even number, stands for its conjugate too.
        out = Fft("rfft", self.lengths, self.axes)(ct)
        half, real = x.aval.shape[axis], dtypes.real_of(x.aval.dtype)
        k = prims.Iota(x.aval.shape, dtypes.index_dtype(half), axis)()
        alone = prims.or_(prims.eq(k, k.dtype.type(0)), prims.eq(prims.add(k, k), k.dtype.type(n)))
        scale = 1.0 / float(sizes.product(self.lengths))
        weight = prims.select(alone, real.type(scale), real.type(2 * scale))
        return (prims.mul(prims.conj(out), prims.complex_(weight, real.type(0))),)

    def batch(self, args: Sequence[Any], dims: Sequence[int | None], size: Dim) -> tuple[Any, Any]:
        (x,), (d,) = args, dims
        assert d is not None
        axes = tuple([a + (a >= d) for a in self.axes])
        return Fft(self.kind, self.lengths, axes)(x), d

    def steps(self) -> Iterator[tuple[int, Dim, str]]:
        """The transforms along one axis each, in their order: the axis, its length, the kind.

        Those of reals do the halved axis first, their inverse does it last.
        """
        pairs = list(zip(self.axes, self.lengths, strict=True))
        axis, n = pairs.pop()
        along = [(a, m, "ifft" if self.kind in ("ifft", "irfft") else "fft") for a, m in pairs]
        halved = (axis, n, self.kind)
        yield from [*along, halved] if self.kind == "irfft" else [halved, *along]

    def lower(self, b: Builder, operands: Sequence[Operand], results: Sequence[Result]) -> None:
        """A call for each axis; all but the first are done in place, until an inverse gives reals."""
        (x,), (out,) = operands, results
        at, to = (x.place, x.aval), (out.place, out.aval)
        if self.kind == "irfft" and len(self.axes) > 1:
            between = b.temp("spectrum", x.aval.dtype, sizes.product(x.aval.shape))
            to = Place(between), x.aval
        for axis, n, kind in self.steps():
            if kind == "irfft":
                to = out.place, out.aval
            shape = to[1].shape
            around = sizes.product(shape[:axis]), n, sizes.product(shape[axis + 1 :])
            wide = int(dtypes.real_of(x.aval.dtype) == dtypes.float64)
            b.routine(
                ROUTINE,
                (at, to),
                (KINDS.index(kind), wide, *around),
                (1,),
                (1,) if at[0] == to[0] else (),
                sizes.product(around),
            )
            at = to


def _along_one_axis(kind: int, wide: int, outer: int, n: int, inner: int) -> Called:
    name, real = KINDS[kind], dtypes.float64 if wide else dtypes.float32
    shape = (outer, n // 2 + 1 if name == "irfft" else n, inner)
    dtype = real if TAKES[name] == "f" else dtypes.complex_of(real)
    return Called(Fft(name, (n,), (1,)), (ShapedArray(shape, dtype),))


ROUTINE = runtime_routine(RuntimeRoutine("fft", "transformed", as_primitive(_along_one_axis)))


def sizes_of(shape: Any) -> tuple[int, ...]:
    """A shape without symbols, as ints."""
    return prims.sizes(shape.shape if isinstance(shape, ShapedArray) else shape)


def fft_of(x: Any, kind: str, lengths: Sequence[Dim], axes: Sequence[int]) -> Any:
    """The transform along these axes, which may be none: then it is the operand."""
    if not axes:
        return x
    return Fft(kind, tuple(lengths), tuple(axes))(x)
