"""Contraction: products of elements of two arrays, summed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.base.record import record
from covector._engine.core.primitive import Index, Linear, Primitive, Zero, is_zero
from covector._engine.core.trace import typeof
from covector._engine.types import dtypes
from covector._engine.types.avals import ShapedArray
from covector._engine.types.dims import Dim

__all__ = ["DotGeneral"]

Axes = tuple[int, ...]


@record
class DotGeneral(Primitive):
    """Contract axes of lhs with axes of rhs, for each element of the batch axes, which the two share.

    The result's axes are the batch axes, then the free axes of lhs, then those of rhs.  Its dtype is `preferred`,
    or the operands'.  16-bit floats accumulate in float32; everything else accumulates in the result's dtype.
    """

    lhs_contract: Axes
    rhs_contract: Axes
    lhs_batch: Axes = ()
    rhs_batch: Axes = ()
    preferred: np.dtype | None = None
    name: ClassVar[str] = "dot_general"

    # -- structure, for lowering too --------------------------------------------------------------

    def lhs_free(self, ndim: int) -> Axes:
        """The axes of lhs that are neither contracted nor batch axes."""
        return _free(ndim, self.lhs_contract, self.lhs_batch)

    def rhs_free(self, ndim: int) -> Axes:
        """The axes of rhs that are neither contracted nor batch axes."""
        return _free(ndim, self.rhs_contract, self.rhs_batch)

    def operand_indices(
        self, index: Index, contracted: Index, lhs_ndim: int, rhs_ndim: int
    ) -> tuple[Index, Index]:
        """Which elements of lhs and rhs meet in the result's element at `index`, at a place on the contracted axes."""
        n = len(self.lhs_batch)
        lhs_free, rhs_free = self.lhs_free(lhs_ndim), self.rhs_free(rhs_ndim)
        split = n + len(lhs_free)
        return (
            _place(
                lhs_ndim,
                (self.lhs_batch, index[:n]),
                (lhs_free, index[n:split]),
                (self.lhs_contract, contracted),
            ),
            _place(
                rhs_ndim,
                (self.rhs_batch, index[:n]),
                (rhs_free, index[split:]),
                (self.rhs_contract, contracted),
            ),
        )

    def accumulator(self, dtype: np.dtype) -> np.dtype:
        """The dtype that products are summed in, for operands of this dtype."""
        return prims.widened(self.preferred or dtype)

    # -- rules ------------------------------------------------------------------------------------

    def type(self, lhs: ShapedArray, rhs: ShapedArray) -> ShapedArray:
        prims.check_axes("dot_general (lhs)", (*self.lhs_contract, *self.lhs_batch), lhs.ndim)
        prims.check_axes("dot_general (rhs)", (*self.rhs_contract, *self.rhs_batch), rhs.ndim)
        if lhs.dtype != rhs.dtype or lhs.dtype == dtypes.bool_:
            raise TypeError(
                f"dot_general of {lhs.text()} and {rhs.text()}{errors.at_user_line()}: both must have one dtype, "
                "which is not bool"
            )
        for what, left, right in (
            ("contracted", self.lhs_contract, self.rhs_contract),
            ("batch", self.lhs_batch, self.rhs_batch),
        ):
            shapes = tuple([lhs.shape[a] for a in left]), tuple([rhs.shape[a] for a in right])
            if shapes[0] != shapes[1]:
                raise TypeError(
                    f"dot_general of {lhs.text()} and {rhs.text()}{errors.at_user_line()}: the {what} axes {left} of "
                    f"lhs and {right} of rhs have different sizes, {shapes[0]} and {shapes[1]}"
                )
        if self.preferred is not None and _order(self.preferred) < _order(lhs.dtype):
            raise TypeError(
                f"dot_general of {lhs.text()} and {rhs.text()} cannot give {self.preferred.name}"
                f"{errors.at_user_line()}: the preferred dtype must be of the operands' kind, or one above"
            )
        shape = (
            *[lhs.shape[a] for a in self.lhs_batch],
            *[lhs.shape[a] for a in self.lhs_free(lhs.ndim)],
            *[rhs.shape[a] for a in self.rhs_free(rhs.ndim)],
        )
        weak = lhs.weak_type and rhs.weak_type and self.preferred is None
        return ShapedArray(shape, self.preferred or lhs.dtype, weak)

    def reference(self, lhs: Any, rhs: Any) -> Any:
        wide = self.accumulator(lhs.dtype)
        left, right = [-1] * lhs.ndim, [-1] * rhs.ndim
        count = 0
        for ours, theirs in (
            (self.lhs_contract, self.rhs_contract),
            (self.lhs_batch, self.rhs_batch),
        ):
            for a, b in zip(ours, theirs, strict=True):
                left[a] = right[b] = count
                count += 1
        for labels in (left, right):
            for a, label in enumerate(labels):
                if label < 0:
                    labels[a], count = count, count + 1
        out = [
            *[left[a] for a in self.lhs_batch],
            *[left[a] for a in self.lhs_free(lhs.ndim)],
            *[right[a] for a in self.rhs_free(rhs.ndim)],
        ]
        with np.errstate(all="ignore"):
            result = np.einsum(
                lhs.astype(wide),
                left,
                rhs.astype(wide),
                right,
                out,
                optimize=lhs.size * rhs.size > 10_000,
            )
            return np.asarray(result).astype(self.preferred or lhs.dtype)

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        (x, y), (t, u) = primals, tangents
        out = self(x, y)
        terms = ([] if is_zero(t) else [self(t, y)]) + ([] if is_zero(u) else [self(x, u)])
        if not terms:
            return out, Zero(out)
        return out, terms[0] if len(terms) == 1 else prims.add(*terms)

    def transpose(self, ct: Any, lhs: Any, rhs: Any) -> Sequence[Any]:
        assert isinstance(lhs, Linear) != isinstance(rhs, Linear)
        n, total = len(self.lhs_batch), typeof(ct).ndim
        batch = tuple(range(n))
        if isinstance(lhs, Linear):
            kept = self.rhs_free(typeof(rhs).ndim)
            dot = DotGeneral(tuple(range(total - len(kept), total)), kept, batch, self.rhs_batch)
            ours = [a for _, a in sorted(zip(self.rhs_contract, self.lhs_contract, strict=True))]
            order = (*self.lhs_batch, *self.lhs_free(lhs.aval.ndim), *ours)
            return _permuted(
                dot(ct, prims.convert(rhs, typeof(ct).dtype)), order, lhs.aval.dtype
            ), None
        kept = self.lhs_free(typeof(lhs).ndim)
        dot = DotGeneral(kept, tuple(range(n, n + len(kept))), self.lhs_batch, batch)
        ours = [b for _, b in sorted(zip(self.lhs_contract, self.rhs_contract, strict=True))]
        order = (*self.rhs_batch, *ours, *self.rhs_free(rhs.aval.ndim))
        return None, _permuted(dot(prims.convert(lhs, typeof(ct).dtype), ct), order, rhs.aval.dtype)

    def batch(self, args: Sequence[Any], dims: Sequence[int | None], size: Dim) -> tuple[Any, Any]:
        lhs, rhs = args
        d, e = dims
        n, left_free = len(self.lhs_batch), len(self.lhs_free(typeof(lhs).ndim - (d is not None)))
        lhs_contract, lhs_batch = _shifted(self.lhs_contract, d), _shifted(self.lhs_batch, d)
        rhs_contract, rhs_batch = _shifted(self.rhs_contract, e), _shifted(self.rhs_batch, e)
        if d is not None and e is not None:
            lhs_batch, rhs_batch, place = (d, *lhs_batch), (e, *rhs_batch), 0
        elif d is not None:
            place = n + d - sum(a < d for a in (*lhs_contract, *lhs_batch))
        else:
            assert e is not None
            place = n + left_free + e - sum(a < e for a in (*rhs_contract, *rhs_batch))
        return DotGeneral(lhs_contract, rhs_contract, lhs_batch, rhs_batch, self.preferred)(
            lhs, rhs
        ), place


def _free(ndim: int, contract: Axes, batch: Axes) -> Axes:
    return tuple([a for a in range(ndim) if a not in contract and a not in batch])


def _place(ndim: int, *parts: tuple[Axes, Index]) -> Index:
    """The index that has these values on these axes."""
    index: list[Dim] = [0] * ndim
    for axes, values in parts:
        for a, i in zip(axes, values, strict=True):
            index[a] = i
    return tuple(index)


def _shifted(axes: Axes, d: int | None) -> Axes:
    """The axes beside a batch axis at d."""
    return axes if d is None else tuple([a + (a >= d) for a in axes])


def _order(dtype: np.dtype) -> int:
    """Integers, floats, complex numbers."""
    return {"b": 0, "i": 1, "u": 1, "f": 2, "c": 3}[dtypes.kind(dtype)]


def _permuted(x: Any, order: Axes, dtype: np.dtype) -> Any:
    """The array whose axis order[i] is axis i of x, in a dtype."""
    x = prims.convert(x, dtype)
    return (
        x
        if order == tuple(range(len(order)))
        else prims.Transpose(prims.inverse_permutation(order))(x)
    )
