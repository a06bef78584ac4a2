"""Complex numbers from their real and imaginary parts, and the parts of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.core.symbolic import Linear
from covector._engine.ir.scalar import Expr, convert
from covector._engine.types import dtypes
from covector._engine.types.avals import ShapedArray

__all__ = ["complex_", "conj", "imag", "real"]


def _pair(x: Expr, y: Expr) -> Any:
    """The complex element with these parts: of 16-bit floats it has parts of 32."""
    part = dtypes.real_of(dtypes.complex_of(x.dtype))
    return convert(x, part), convert(y, part)


def _no_complex(*xs: Expr) -> Expr:
    raise AssertionError("only for complex operands")


def _numpy_complex(x: Any, y: Any) -> Any:
    out = np.empty(np.broadcast_shapes(np.shape(x), np.shape(y)), dtypes.complex_of(x.dtype))
    out.real, out.imag = x, y
    return out


class _PartOfComplex(prims.Elementwise):
    """Real and imaginary parts and their inverses: linear over the reals, so each has its own transpose."""

    def transpose(self, ct: Any, *args: Any) -> Sequence[Any]:
        if self.name == "real":
            return (complex_(ct, 0.0),)
        if self.name == "imag":
            return (complex_(0.0, prims.neg(ct)),)
        if self.name == "conj":
            return (conj(ct),)
        parts = real(ct), prims.neg(imag(ct))
        return [
            _as(a.aval, p) if isinstance(a, Linear) else None
            for a, p in zip(args, parts, strict=True)
        ]


def _as(aval: ShapedArray, part: Any) -> Any:
    """The cotangent of an operand, which may be a number beside an array, and of 16 bits."""
    if part.shape and not aval.shape:
        part = prims.Sum(tuple(range(len(part.shape))))(part)
    return part if part.dtype == aval.dtype else prims.Convert(aval.dtype)(part)


real = _PartOfComplex(
    "real", np.real, (lambda t, *_: real(t),), _no_complex, "c", "real", lambda p: p[0]
)
imag = _PartOfComplex(
    "imag", np.imag, (lambda t, *_: imag(t),), _no_complex, "c", "real", lambda p: p[1]
)
conj = _PartOfComplex(
    "conj", np.conj, (lambda t, *_: conj(t),), _no_complex, "c", on_complex=lambda p: (p[0], -p[1])
)
complex_ = _PartOfComplex(
    "complex",
    _numpy_complex,
    (lambda t, *_: complex_(t, 0.0), lambda t, *_: complex_(0.0, t)),
    _pair,
    "f",
    "complex",
)
