"""Contraction: products of elements of two arrays, summed."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.base.record import record, replace
from covector._engine.core.families import Folded, State
from covector._engine.core.primitive import MadeBy, Types
from covector._engine.core.routine import (
    ByRoutine,
    Read,
    RoutineCall,
    RoutineMeaning,
    RuntimeRoutine,
    Write,
    dense,
    runtime_routine,
)
from covector._engine.core.symbolic import Linear, Zero, is_zero
from covector._engine.core.trace import typeof
from covector._engine.ir import index as ix, scalar
from covector._engine.ir.index import Index
from covector._engine.ir.program import Eqn
from covector._engine.ir.scalar import Expr, Scalar, const
from covector._engine.primitives import laws
from covector._engine.types import dims as sizes, dtypes
from covector._engine.types.avals import ShapedArray
from covector._engine.types.dims import Dim

__all__ = ["GEMM", "DotGeneral"]

# 16-bit floats are converted first where each element has so many uses, ...
USES = 16
# ... and in batches of products of so few multiply-adds, where putting elements into pairs takes as long.
SMALL = 32**3
Axes = tuple[int, ...]
Shape = tuple[Dim, ...]


def _product(dtype: np.dtype, preferred: np.dtype | None = None) -> RoutineMeaning:
    """c = op(a) op(b), rows of c `ldc` apart; op transposes where `ta` or `tb` is 1."""

    def run(parameters: Sequence[int], read: Read, write: Write) -> None:
        ta, tb, m, n, k, lda, ldb, ldc = parameters
        a = read(0, dense((k, m) if ta else (m, k), (lda, 1)), dtype)
        b = read(1, dense((n, k) if tb else (k, n), (ldb, 1)), dtype)
        product = DotGeneral((1 - ta,), (tb,), preferred=preferred).reference(a, b)
        write(2, dense((m, n), (ldc, 1)), product)

    return run


GEMM = {
    dtype: runtime_routine(
        RuntimeRoutine(f"{letter}gemm", "multiplied", _product(dtype), "as to BLAS", True, False)
    )
    for letter, dtype in (
        ("s", dtypes.float32),
        ("d", dtypes.float64),
        ("c", dtypes.complex64),
        ("z", dtypes.complex128),
    )
}
# Of bfloat16, which gives float32: the processor's own products of pairs take half as long as those of float32.
PAIRS = runtime_routine(
    RuntimeRoutine(
        "bgemm", "multiplied", _product(dtypes.bfloat16, dtypes.float32), "as to BLAS", True
    )
)


@record
class DotGeneral(ByRoutine, Folded):
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
    begins_nest: ClassVar[bool] = True

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
        return dtypes.computed_in(self.preferred or dtype)

    def simplified(self, eqn: Eqn, made_by: MadeBy) -> Eqn | Sequence[Eqn] | None:
        """Of operands as they lie; of what is summed in a wider type, if it is worth it, by the routine for that."""
        simpler = laws.product(self, eqn, made_by)
        if simpler is not None:
            return simpler
        lhs, rhs = (x.aval for x in eqn.inputs)
        wide = self.accumulator(lhs.dtype)
        if wide not in GEMM or lhs.dtype == rhs.dtype == eqn.outputs[0].aval.dtype == wide:
            return None
        by_pairs = lhs.dtype == dtypes.bfloat16 and not self._are_small((lhs, rhs))
        if not self._is_worth_it(lhs, rhs) or (by_pairs and self._takes_pairs(lhs)):
            return None
        if by_pairs and wide == dtypes.float32:
            steps = laws.Rewriting(eqn)
            product = steps(replace(self, preferred=wide), *eqn.inputs)
            return steps.end(prims.Convert(eqn.outputs[0].aval.dtype), product)
        return laws.converted(eqn, replace(self, preferred=None), wide)

    def _are_small(self, avals: Types) -> bool:
        """Whether it is a batch of small products."""
        shape, batch = self.space(avals)[0], len(self.lhs_batch)
        return batch > 0 and sizes.is_true(lambda: sizes.product(shape[batch:]) <= SMALL)

    def _takes_pairs(self, lhs: ShapedArray) -> bool:
        """Whether this is what the routine for pairs of bfloat16 computes."""
        return lhs.dtype == dtypes.bfloat16 and self.preferred == dtypes.float32

    def by_pairs(self, lhs: ShapedArray, rhs: ShapedArray) -> bool:
        """Whether the routine for pairs of bfloat16 is the quickest for operands of these types."""
        if not self._takes_pairs(lhs) or lhs.dtype != rhs.dtype:
            return False
        self.type(lhs, rhs)  # refuses axes that are not there
        return self._is_worth_it(lhs, rhs)

    def _is_worth_it(self, lhs: ShapedArray, rhs: ShapedArray) -> bool:
        """Whether elements are used so often that converting them, or putting them into pairs, is little."""
        lengths = (
            [lhs.shape[a] for a in self.lhs_free(lhs.ndim)],
            [rhs.shape[a] for a in self.rhs_free(rhs.ndim)],
            [lhs.shape[a] for a in self.lhs_contract],
        )
        return all(sizes.is_true(lambda n=n: sizes.product(n) >= USES) for n in lengths)

    # -- a small one: a fold over the contracted axes -----------------------------------------------

    def alone(self, avals: Types, small: int) -> bool:
        lhs, rhs = avals
        if self._takes_pairs(lhs):
            return self.by_pairs(lhs, rhs)
        if lhs.dtype not in GEMM or (self.preferred or lhs.dtype) != lhs.dtype:
            return False  # these routines give what they take
        shape, folded = self.space(avals)
        if all(n == 1 for n in shape[len(self.lhs_batch) : len(shape) - len(folded)]):
            return False  # a product of vectors is a sum, which has more accumulators than a tile
        if not sizes.is_constant(shape):
            return True
        batch = sizes.product(shape[: len(self.lhs_batch)])
        return batch == 0 or sizes.product(shape) // batch > small  # type: ignore[operator]

    def space(self, avals: Types) -> tuple[tuple[Dim, ...], tuple[int, ...]]:
        lhs, rhs = avals
        folded = tuple([lhs.shape[a] for a in self.lhs_contract])
        outer = self.type(lhs, rhs).shape
        return outer + folded, tuple(range(len(outer), len(outer) + len(folded)))

    def places(self, index: Index, avals: Types) -> tuple[Index, ...]:
        split = len(index) - len(self.lhs_contract)
        return self.operand_indices(index[:split], index[split:], avals[0].ndim, avals[1].ndim)

    def operation(self, dtype: np.dtype) -> str:
        return "add"

    def start(self, dtype: np.dtype) -> State:
        wide = self.accumulator(dtype)
        zero = const(0, dtypes.real_of(wide))
        return (zero, zero) if dtypes.is_complex(wide) else (zero,)

    def lift(self, index: Index, *xs: Scalar) -> State:
        x, y = xs
        if isinstance(x, tuple) and isinstance(y, tuple):
            part = dtypes.real_of(self.accumulator(dtypes.complex_of(x[0].dtype)))
            a, b, c, d = (scalar.convert(e, part) for e in (*x, *y))
            return a * c - b * d, a * d + b * c
        assert isinstance(x, Expr) and isinstance(y, Expr)
        wide = self.accumulator(x.dtype)
        part = dtypes.real_of(wide)
        product = scalar.convert(x, part) * scalar.convert(y, part)
        return (product, const(0, part)) if dtypes.is_complex(wide) else (product,)

    def combine(self, a: State, b: State) -> State:
        return tuple([x + y for x, y in zip(a, b, strict=True)])

    def finish(self, state: State, dtype: np.dtype) -> Scalar:
        if len(state) == 2:
            return state[0], state[1]
        return scalar.convert(state[0], self.preferred or dtype)

    # -- a large one: the routine gemm --------------------------------------------------------------

    def _operands(self, lhs: Shape, rhs: Shape) -> tuple[Matrix | None, Matrix | None]:
        """The operands as matrices, (m, k) and (k, n)."""
        lhs_contract, rhs_contract = self._in_order()
        left = _matrix(lhs, self.lhs_batch, self.lhs_free(len(lhs)), lhs_contract)
        right = _matrix(rhs, self.rhs_batch, rhs_contract, self.rhs_free(len(rhs)))
        return left, right

    def takes(self, lhs: Shape, rhs: Shape) -> bool:
        """Whether gemm takes operands of these shapes as they lie."""
        return None not in self._operands(lhs, rhs)

    def _in_order(self) -> tuple[Axes, Axes]:
        """The contracted axes of both operands, in the order of those of the left one."""
        pairs = sorted(zip(self.lhs_contract, self.rhs_contract, strict=True))
        return tuple([a for a, _ in pairs]), tuple([b for _, b in pairs])

    def arranged(self, avals: Types) -> tuple[DotGeneral, tuple[Axes, ...]] | None:
        """Operands whose rows and columns are one axis each in memory, contracted axes in the order of lhs."""
        lhs, rhs = (a.shape for a in avals)
        lhs_contract, rhs_contract = self._in_order()
        left, right = tuple(range(len(lhs))), tuple(range(len(rhs)))
        as_left, as_right = self._operands(lhs, rhs)
        if as_left is None:
            left = (*self.lhs_batch, *self.lhs_free(len(lhs)), *lhs_contract)
        if as_right is None:
            right = (*self.rhs_batch, *rhs_contract, *self.rhs_free(len(rhs)))
        pairs = sorted(
            (left.index(a), right.index(b)) for a, b in zip(lhs_contract, rhs_contract, strict=True)
        )
        product = DotGeneral(
            tuple([a for a, _ in pairs]),
            tuple([b for _, b in pairs]),
            tuple([left.index(a) for a in self.lhs_batch]),
            tuple([right.index(a) for a in self.rhs_batch]),
            self.preferred,
        )
        return product, (left, right)

    def call(self, avals: Types) -> RoutineCall:
        lhs, rhs = avals
        left, right = self._operands(lhs.shape, rhs.shape)
        assert left is not None and right is not None, "the pass 'layouts' makes operands fit"
        batch = tuple([lhs.shape[a] for a in self.lhs_batch])
        m = sizes.product(lhs.shape[a] for a in self.lhs_free(lhs.ndim))
        n = sizes.product(rhs.shape[a] for a in self.rhs_free(rhs.ndim))
        k = sizes.product(lhs.shape[a] for a in self.lhs_contract)
        flags = int(left.transposed), int(right.transposed)
        parameters = (*flags, m, n, k, left.leading, right.leading, n)
        out = tuple([m * n * step for step in ix.suffix_products(batch)])
        steps = left.batch, right.batch, out
        name = PAIRS if self._takes_pairs(lhs) else GEMM[lhs.dtype]
        return RoutineCall(name, parameters, batch, steps, m * n * k, side_by_side=True)

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


# --------------------------------------------------------------------------------------- matrices in memory


@record
class Matrix:
    """How an operand is a stack of matrices in memory, as gemm takes them."""

    transposed: bool
    leading: Dim  # the stride of the axis that is not contiguous
    batch: tuple[Dim, ...]  # the strides of the batch axes


def _matrix(shape: Shape, batch: Axes, rows: Axes, columns: Axes) -> Matrix | None:
    """The operand as matrices of these axes; None if its rows or its columns are not one axis in memory."""
    strides = ix.suffix_products(shape)
    row, column = _stride(shape, strides, rows), _stride(shape, strides, columns)
    m, n = (sizes.product(shape[a] for a in axes) for axes in (rows, columns))
    stacked = tuple([strides[a] for a in batch])
    if column == 1 or (n == 1 and row is not None):
        return None if row is None else Matrix(False, n if m == 1 else row, stacked)
    if row == 1 or (m == 1 and column is not None):
        return None if column is None else Matrix(True, m if n == 1 else column, stacked)
    return None


def _stride(shape: Shape, strides: Sequence[Dim], axes: Axes) -> Dim | None:
    """The one stride of several axes; None if they are not one axis in memory."""
    kept = [a for a in axes if shape[a] != 1]
    for outer, inner in itertools.pairwise(kept):
        if strides[outer] != shape[inner] * strides[inner]:
            return None
    return strides[kept[-1]] if kept else 1
