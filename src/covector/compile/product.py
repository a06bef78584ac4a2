"""Products of matrices as calls of the routine gemm, where the operands lie as it wants them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from covector import ops
from covector.compile.elements import Place
from covector.compile.nest import Names
from covector.ir import index as ix
from covector.ir.kernel import Loop, Routine, Statement
from covector.ir.program import Eqn, Var
from covector.types import dims, dtypes
from covector.types.dims import Dim

GEMM = {
    dtypes.float32: "sgemm",
    dtypes.float64: "dgemm",
    dtypes.complex64: "cgemm",
    dtypes.complex128: "zgemm",
}


def contract_last(ndim: int, batch: tuple[int, ...], contract: tuple[int, ...]) -> bool | None:
    """Whether the axes are batch, free, contracted (True) or batch, contracted, free (False); None: neither."""
    if batch != tuple(range(len(batch))):
        return None
    free = [a for a in range(ndim) if a not in batch and a not in contract]
    rest = list(range(len(batch), ndim))
    if [*free, *contract] == rest:
        return True
    return False if [*contract, *free] == rest else None


def wanted_permutations(
    p: ops.DotGeneral, lhs_ndim: int, rhs_ndim: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Axis permutations of the operands after which gemm takes them; the identity where it does already."""
    order = sorted(range(len(p.lhs_contract)), key=lambda n: p.lhs_contract[n])
    lhs_contract = tuple(p.lhs_contract[n] for n in order)
    rhs_contract = tuple(p.rhs_contract[n] for n in order)
    left, right = tuple(range(lhs_ndim)), tuple(range(rhs_ndim))
    if contract_last(lhs_ndim, p.lhs_batch, lhs_contract) is None:
        left = (*p.lhs_batch, *p.lhs_free(lhs_ndim), *lhs_contract)
    if contract_last(rhs_ndim, p.rhs_batch, rhs_contract) is None:
        right = (*p.rhs_batch, *rhs_contract, *p.rhs_free(rhs_ndim))
    return left, right


def permuted(p: ops.DotGeneral, left: tuple[int, ...], right: tuple[int, ...]) -> ops.DotGeneral:
    """The same product of operands whose axes were permuted, contracted axes in the order of lhs."""
    pairs = sorted(
        (left.index(a), right.index(b)) for a, b in zip(p.lhs_contract, p.rhs_contract, strict=True)
    )
    return ops.DotGeneral(
        tuple(a for a, _ in pairs), tuple(b for _, b in pairs),
        tuple(left.index(a) for a in p.lhs_batch), tuple(right.index(a) for a in p.rhs_batch), p.preferred,
    )  # fmt: skip


def lower_product(
    eqn: Eqn, place_of: Callable[[Var], Place | None], names: Names
) -> list[Statement]:
    """One gemm a batch element."""
    p: Any = eqn.primitive
    lhs, rhs = (a.aval for a in eqn.inputs)
    (out,) = eqn.outputs
    batch = dims.product(lhs.shape[a] for a in p.lhs_batch)
    m = dims.product(lhs.shape[a] for a in p.lhs_free(lhs.ndim))
    n = dims.product(rhs.shape[a] for a in p.rhs_free(rhs.ndim))
    k = dims.product(lhs.shape[a] for a in p.lhs_contract)
    left = contract_last(lhs.ndim, p.lhs_batch, p.lhs_contract)
    right = contract_last(rhs.ndim, p.rhs_batch, p.rhs_contract)
    assert left is not None and right is not None, "the pass 'layouts' makes operands fit"
    parameters: tuple[Dim, ...] = (
        int(not left),
        int(right),
        m,
        n,
        k,
        k if left else m,
        k if right else n,
        n,
    )
    which: Dim = 0 if batch == 1 else ix.loop_variable(names.fresh("b"), batch)
    places = []
    for atom, size in ((eqn.inputs[0], m * k), (eqn.inputs[1], k * n), (out, m * n)):
        place = place_of(atom)  # type: ignore[arg-type]
        assert place is not None
        factor = 2 if dtypes.is_complex(lhs.dtype) else 1
        places.append((place.buffer, (place.offset + which * size) * factor))
    call = Routine(GEMM[lhs.dtype], tuple(places), parameters, (2,))
    return [call] if batch == 1 else [Loop(which, batch, (call,))]
