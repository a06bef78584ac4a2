"""Products of matrices as calls of the routine gemm, where the operands lie as it wants them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from covector._engine import primitives as prims
from covector._engine.backends.base import Target
from covector._engine.compile.elements import Place, rejoin
from covector._engine.compile.nest import Names
from covector._engine.ir import index as ix
from covector._engine.ir.kernel import Buffer, Loop, Routine, Schedule, Statement
from covector._engine.ir.program import Eqn, Var
from covector._engine.types import dims, dtypes
from covector._engine.types.dims import Dim

Shape = tuple[Dim, ...]

GEMM = {
    dtypes.float32: "sgemm",
    dtypes.float64: "dgemm",
    dtypes.complex64: "cgemm",
    dtypes.complex128: "zgemm",
}


@dataclass(frozen=True)
class Matrix:
    """How an operand is a stack of matrices in memory, as gemm takes them."""

    transposed: bool
    leading: Dim  # the stride of the axis that is not contiguous
    batch: tuple[Dim, ...]  # the strides of the batch axes


def matrix(
    shape: Sequence[Dim], batch: Sequence[int], rows: Sequence[int], columns: Sequence[int]
) -> Matrix | None:
    """The operand as matrices of these axes; None if its rows or its columns are not one axis in memory."""
    strides = ix.suffix_products(shape)
    row, column = _stride(shape, strides, rows), _stride(shape, strides, columns)
    m, n = (dims.product(shape[a] for a in axes) for axes in (rows, columns))
    stacked = tuple(strides[a] for a in batch)
    if column == 1 or (n == 1 and row is not None):
        return None if row is None else Matrix(False, n if m == 1 else row, stacked)
    if row == 1 or (m == 1 and column is not None):
        return None if column is None else Matrix(True, m if n == 1 else column, stacked)
    return None


def _stride(shape: Sequence[Dim], strides: Sequence[Dim], axes: Sequence[int]) -> Dim | None:
    """The one stride of several axes; None if they are not one axis in memory."""
    kept = [a for a in axes if shape[a] != 1]
    for outer, inner in itertools.pairwise(kept):
        if strides[outer] != shape[inner] * strides[inner]:
            return None
    return strides[kept[-1]] if kept else 1


def operands(p: prims.DotGeneral, lhs: Shape, rhs: Shape) -> tuple[Matrix | None, Matrix | None]:
    """The operands of a product as matrices, (m, k) and (k, n)."""
    lhs_contract, rhs_contract = _in_order(p)
    left = matrix(lhs, p.lhs_batch, p.lhs_free(len(lhs)), lhs_contract)
    right = matrix(rhs, p.rhs_batch, rhs_contract, p.rhs_free(len(rhs)))
    return left, right


def _in_order(p: prims.DotGeneral) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The contracted axes of both operands, in the order of those of the left one."""
    order = sorted(range(len(p.lhs_contract)), key=lambda n: p.lhs_contract[n])
    return tuple(p.lhs_contract[n] for n in order), tuple(p.rhs_contract[n] for n in order)


def wanted_permutations(
    p: prims.DotGeneral, lhs: Shape, rhs: Shape
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Axis permutations of the operands after which gemm takes them; the identity where it does already."""
    lhs_contract, rhs_contract = _in_order(p)
    left, right = tuple(range(len(lhs))), tuple(range(len(rhs)))
    as_left, as_right = operands(p, lhs, rhs)
    if as_left is None:
        left = (*p.lhs_batch, *p.lhs_free(len(lhs)), *lhs_contract)
    if as_right is None:
        right = (*p.rhs_batch, *rhs_contract, *p.rhs_free(len(rhs)))
    return left, right


def permuted(
    p: prims.DotGeneral, left: tuple[int, ...], right: tuple[int, ...]
) -> prims.DotGeneral:
    """The same product of operands whose axes were permuted, contracted axes in the order of lhs."""
    pairs = sorted(
        (left.index(a), right.index(b)) for a, b in zip(p.lhs_contract, p.rhs_contract, strict=True)
    )
    return prims.DotGeneral(
        tuple(a for a, _ in pairs), tuple(b for _, b in pairs),
        tuple(left.index(a) for a in p.lhs_batch), tuple(right.index(a) for a in p.rhs_batch), p.preferred,
    )  # fmt: skip


def lower_product(
    eqn: Eqn, place_of: Callable[[Var], Place | None], names: Names, target: Target
) -> list[Statement]:
    """One gemm a batch element; small ones side by side on the threads."""
    p: Any = eqn.primitive
    lhs, rhs = (a.aval for a in eqn.inputs)
    (out,) = eqn.outputs
    sizes = [lhs.shape[a] for a in p.lhs_batch]
    batch = dims.product(sizes)
    m = dims.product(lhs.shape[a] for a in p.lhs_free(lhs.ndim))
    n = dims.product(rhs.shape[a] for a in p.rhs_free(rhs.ndim))
    k = dims.product(lhs.shape[a] for a in p.lhs_contract)
    left, right = operands(p, lhs.shape, rhs.shape)
    assert left is not None and right is not None, "the pass 'layouts' makes operands fit"
    parameters = (
        int(left.transposed),
        int(right.transposed),
        m,
        n,
        k,
        left.leading,
        right.leading,
        n,
    )
    which: Dim = 0 if batch == 1 else ix.loop_variable(names.fresh("b"), batch)
    index = ix.unflatten(which, sizes)
    rest = tuple(m * n * step for step in ix.suffix_products(sizes))
    places: list[tuple[Buffer, Dim]] = []
    for atom, strides in ((eqn.inputs[0], left.batch), (eqn.inputs[1], right.batch), (out, rest)):
        place = place_of(atom)  # type: ignore[arg-type]
        assert place is not None
        steps = sum((i * step for i, step in zip(index, strides, strict=True)), 0)
        offset = rejoin(place.offset + steps)
        places.append((place.buffer, offset * 2 if dtypes.is_complex(lhs.dtype) else offset))
    call = Routine(GEMM[lhs.dtype], tuple(places), parameters, (2,))
    if batch == 1:
        return [call]
    alone = dims.is_true(lambda: m * n * k <= target.limits.product_alone)
    low, _ = dims.bounds(m * n * k)
    cost = target.costs.multiplication * max(low or 1, 1)
    return [Loop(which, batch, (call,), Schedule(parallel=alone and target.threads > 1), cost)]
