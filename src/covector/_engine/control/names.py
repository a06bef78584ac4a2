"""The primitives by the names that JAX has for them: `sin_p`, `dot_general_p`, ..."""

from __future__ import annotations

from covector._engine import primitives as prims
from covector._engine.base.single import single
from covector._engine.control.call import Call
from covector._engine.control.cond import Cond
from covector._engine.control.custom_jvp import CustomJVP
from covector._engine.control.custom_vjp import CustomVJP
from covector._engine.control.loop import Scan
from covector._engine.control.open import OpenPrimitive, own
from covector._engine.control.parameters import NAMES
from covector._engine.control.while_ import While
from covector._engine.core.primitive import Primitive
from covector._engine.primitives import linalg_orthogonal, linalg_solve, linalg_spectral

# Those with parameters: names of ours, and the names of JAX's that differ.  What has other operands has no entry.
_CLASSES: tuple[type[Primitive], ...] = (
    prims.All,
    prims.Any_,
    prims.Argmax,
    prims.Argmin,
    prims.BitcastConvert,
    prims.Broadcast,
    Call,
    prims.Concatenate,
    Cond,
    prims.Conv,
    prims.Convert,
    prims.Copy,
    prims.CumLogSumExp,
    prims.CumMax,
    prims.CumMin,
    prims.CumProd,
    prims.CumSum,
    CustomJVP,
    CustomVJP,
    prims.DotGeneral,
    prims.DynamicSlice,
    prims.DynamicUpdateSlice,
    prims.Fft,
    prims.Gather,
    prims.IntegerPow,
    prims.Iota,
    prims.Max,
    prims.Min,
    prims.Named,
    prims.OptimizationBarrier,
    prims.Pad,
    prims.Prod,
    prims.ReducePrecision,
    prims.Reshape,
    prims.Reverse,
    Scan,
    prims.SelectAndGatherAdd,
    prims.SelectAndScatterAdd,
    prims.Slice,
    prims.Sum,
    prims.Transpose,
    While,
    prims.WindowMax,
    prims.WindowMin,
    prims.WindowSum,
    prims.Xor,
    linalg_solve.Cholesky,
    linalg_solve.Lu,
    linalg_solve.PivotsToPermutation,
    linalg_solve.TriangularSolve,
    linalg_orthogonal.Geqrf,
    linalg_orthogonal.HouseholderProduct,
    linalg_orthogonal.Ormqr,
    linalg_orthogonal.Qr,
    linalg_spectral.CholeskyUpdate,
    linalg_spectral.Eig,
    linalg_spectral.Eigh,
    linalg_spectral.Hessenberg,
    linalg_spectral.Schur,
    linalg_spectral.Svd,
    linalg_spectral.Tridiagonal,
    linalg_spectral.TridiagonalSolve,
)
_JAX_NAMES = {
    **NAMES,
    "round_half_even": "round",
}


@single
def names() -> dict[str, OpenPrimitive]:
    """All of them, by name."""
    rows = {p.name: p for p in vars(prims).values() if isinstance(p, prims.Elementwise)}
    found: dict[str, OpenPrimitive] = {}
    for name, what in (*rows.items(), *[(c.name, c) for c in _CLASSES]):
        found[f"{_JAX_NAMES.get(name, name)}_p"] = own(
            name, what() if isinstance(what, type) and not getattr(what, "_fields", ()) else what
        )
    for what in (prims.clamp, prims.select):
        found[f"{_JAX_NAMES.get(what.name, what.name)}_p"] = own(what.name, what)
    found["pjit_p"] = found["jit_p"]
    return found


def named(name: str) -> OpenPrimitive:
    """The primitive of a name; AttributeError if there is none."""
    found = names().get(name)
    if found is None:
        raise AttributeError(f"there is no primitive {name!r} here")
    return found
