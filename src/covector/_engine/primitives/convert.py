"""Changes of dtype: by value, and by bits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.base.record import record
from covector._engine.core.inside import Widening
from covector._engine.core.numbers import NUMBERS, SCALARS
from covector._engine.core.symbolic import NO_SLOPE, Zero, is_zero
from covector._engine.core.trace import typeof
from covector._engine.ir import scalar
from covector._engine.ir.program import Atom, Eqn
from covector._engine.ir.scalar import Scalar, const
from covector._engine.primitives import laws
from covector._engine.types import conversion, dtypes
from covector._engine.types.avals import ShapedArray

__all__ = ["BitcastConvert", "Convert", "bitcast", "convert", "convert_number"]


@record
class Convert(prims.ElementwiseBase):
    """The values in another dtype.

    Float to integer truncates and saturates; of complex numbers real ones are a part, and truth that of either part.
    """

    dtype: np.dtype
    weak: bool = False
    name: ClassVar[str] = "convert"
    simplified = laws.same_type

    @property
    def asks_for_bits(self) -> bool:  # type: ignore[override]
        return self.dtype.itemsize >= 8 and self.dtype != dtypes.complex64

    def __call__(self, *args: Any) -> Any:
        (x,) = args
        if (
            self.asks_for_bits
            and type(x) in NUMBERS
            and not self.weak
            and not isinstance(x, bool | complex)
        ):
            return self.dtype.type(x) if dtypes.is_inexact(self.dtype) else super().__call__(x)
        return super().__call__(x)

    def widened(self, eqn: Eqn, how: Widening) -> Sequence[Atom | None]:
        (x,) = eqn.inputs
        wide = how.wide(x)
        if wide is not None and self.asks_for_bits:
            eqn = Eqn(self, (wide,), eqn.outputs, eqn.source)
        how.record(eqn)
        aval = eqn.outputs[0].aval.wide()
        if aval is None:
            return (None,)
        if x.aval.weak_type and x.aval.dtype == aval.dtype:  # it was a number of 64 bits
            return (x,)
        made = Convert(aval.dtype, True)
        return (None if wide is None else how.computed(made, (wide,), eqn.source),)

    def dtype_of(self, avals: Sequence[ShapedArray]) -> np.dtype:
        return self.dtype

    def type(self, *avals: ShapedArray) -> ShapedArray:
        return ShapedArray(avals[0].shape, self.dtype, self.weak)

    def reference(self, x: Any) -> Any:
        return conversion.convert(np.asarray(x), self.dtype)

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        out = self(*primals)
        if not dtypes.is_inexact(self.dtype) or is_zero(tangents[0]):
            return out, Zero(typeof(out))
        return out, self(tangents[0])

    def transpose(self, ct: Any, x: Any) -> Sequence[Any]:
        return (Convert(x.aval.dtype, True)(ct) if x.aval.weak_type else convert(ct, x.aval.dtype),)

    def on_elements(self, avals: Sequence[ShapedArray], *xs: Scalar) -> Scalar:
        (x,) = xs
        if self.dtype == dtypes.bool_:
            real, *imaginary = [scalar.differ(p, 0) for p in (x if isinstance(x, tuple) else (x,))]
            return real | imaginary[0] if imaginary else real
        if not dtypes.is_complex(self.dtype):
            return scalar.convert(x[0] if isinstance(x, tuple) else x, self.dtype)
        real_dtype = dtypes.real_of(self.dtype)
        if isinstance(x, tuple):
            return scalar.convert(x[0], real_dtype), scalar.convert(x[1], real_dtype)
        return scalar.convert(x, real_dtype), const(0, real_dtype)


def convert_number(x: Any, dtype: np.dtype) -> Any:
    """A number as a NumPy scalar of a dtype, converted as arrays are."""
    if (
        type(x) in (int, float) and dtype.kind == "f" and abs(x) < 65504
    ):  # in every float: 0.2 us, not 2.5
        return dtype.type(x)
    return conversion.convert(np.asarray(x), dtype)[()]


def convert(x: Any, dtype: np.dtype) -> Any:
    """The value in a dtype; itself if it has it.  A Python scalar becomes a NumPy scalar."""
    if type(x) in SCALARS:
        return convert_number(x, dtype)
    aval = typeof(x)
    return x if aval.dtype == dtype and not aval.weak_type else Convert(dtype)(x)


@record
class BitcastConvert(prims.ElementwiseBase):
    """The same bits as another dtype of the same width."""

    dtype: np.dtype
    name: ClassVar[str] = "bitcast_convert_type"

    def dtype_of(self, avals: Sequence[ShapedArray]) -> np.dtype:
        x = avals[0].dtype
        if (
            dtypes.bits(x) != dtypes.bits(self.dtype)
            or dtypes.bool_ in (x, self.dtype)
            or dtypes.is_complex(x)
        ):
            raise TypeError(
                f"bitcast_convert_type from {x.name} to {self.dtype.name}{errors.at_user_line()}: "
                "both must be real, not bool, and of one width"
            )
        return self.dtype

    def type(self, *avals: ShapedArray) -> ShapedArray:
        return ShapedArray(avals[0].shape, self.dtype_of(avals))

    def pushes(self) -> tuple[prims.PartialRule, ...]:
        return (NO_SLOPE,)

    def reference(self, x: Any) -> Any:
        return np.ascontiguousarray(x).view(self.dtype).reshape(np.shape(x))

    def on_elements(self, avals: Sequence[ShapedArray], *xs: Scalar) -> Scalar:
        return scalar.bitcast(xs[0], self.dtype)  # type: ignore[arg-type]


def bitcast(x: Any, dtype: np.dtype) -> Any:
    """The same bits as another dtype of the same width."""
    return x if typeof(x).dtype == dtype else BitcastConvert(dtype)(x)
