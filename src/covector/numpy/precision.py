"""How exactly products are asked to be computed, as `jax.lax` names it."""

from __future__ import annotations

import enum
from typing import Any, NamedTuple

from covector._engine.base import errors
from covector._engine.types import dtypes

__all__ = ["DotAlgorithm", "DotAlgorithmPreset", "Precision", "PrecisionLike", "check_precision"]


class Precision(enum.Enum):
    """How exactly products are computed.  All values mean the same here: in the operands' full precision.

    >>> from covector import lax, numpy as cnp
    >>> lax.dot(cnp.ones(2), cnp.ones(2), precision=lax.Precision.HIGHEST)
    Array(2., dtype=float32)
    """

    DEFAULT = 0
    HIGH = 1
    HIGHEST = 2


class DotAlgorithm(NamedTuple):
    """How a product is to be computed: what operands are rounded to, what sums are in, of how many components.

    >>> from covector import lax, numpy as cnp
    >>> exact = lax.DotAlgorithm("float32", "float32", "float32")
    >>> lax.dot(cnp.ones(2), cnp.ones(2), precision=exact)
    Array(2., dtype=float32)
    """

    lhs_precision_type: Any
    rhs_precision_type: Any
    accumulation_type: Any
    lhs_component_count: int = 1
    rhs_component_count: int = 1
    num_primitive_operations: int = 1
    allow_imprecise_accumulation: bool = False


class DotAlgorithmPreset(enum.Enum):
    """Algorithms of products by name.  Some are for other processors: ValueError where one of these is asked for.

    Those that are there all mean the same: products in the operands' full precision.

    >>> from covector import lax, numpy as cnp
    >>> lax.dot(cnp.ones(2), cnp.ones(2), precision=lax.DotAlgorithmPreset.F32_F32_F32)
    Array(2., dtype=float32)
    """

    DEFAULT = 0
    ANY_F8_ANY_F8_F32 = 1
    ANY_F8_ANY_F8_F32_FAST_ACCUM = 2
    ANY_F8_ANY_F8_ANY = 3
    ANY_F8_ANY_F8_ANY_FAST_ACCUM = 4
    F16_F16_F16 = 5
    F16_F16_F32 = 6
    BF16_BF16_BF16 = 7
    BF16_BF16_F32 = 8
    BF16_BF16_F32_X3 = 9
    BF16_BF16_F32_X6 = 10
    BF16_BF16_F32_X9 = 11
    TF32_TF32_F32 = 12
    TF32_TF32_F32_X3 = 13
    F32_F32_F32 = 14
    F64_F64_F64 = 15


_HERE = frozenset(
    {
        "DEFAULT",
        "F16_F16_F16",
        "BF16_BF16_F32",
        "BF16_BF16_F32_X3",
        "BF16_BF16_F32_X6",
        "F32_F32_F32",
        "F64_F64_F64",
    }
)
PrecisionLike = (
    None
    | str
    | Precision
    | DotAlgorithm
    | DotAlgorithmPreset
    | tuple[str, str]
    | tuple[Precision, Precision]
)
_PRECISIONS = (
    "default",
    "high",
    "highest",
    "fastest",
    "bfloat16",
    "bfloat16_3x",
    "tensorfloat32",
    "float32",
)


def check_precision(name: str, precision: Any) -> None:
    """ValueError unless it is a `Precision`, an algorithm that is there, a name of one, a pair of these, or None."""
    if isinstance(precision, str) and precision in DotAlgorithmPreset.__members__:
        precision = DotAlgorithmPreset[precision]
    if isinstance(precision, (DotAlgorithm, DotAlgorithmPreset)):
        return _check_algorithm(name, precision)
    for p in precision if isinstance(precision, tuple) else (precision,):
        if not (p is None or isinstance(p, Precision) or p in _PRECISIONS):
            raise ValueError(
                f"{name}: {precision!r} is not a precision{errors.at_user_line()}; "
                f"it is a covector.lax.Precision or one of {', '.join(_PRECISIONS)}"
            )


def _check_algorithm(name: str, algorithm: DotAlgorithm | DotAlgorithmPreset) -> None:
    """ValueError for an algorithm that this processor has not."""
    if isinstance(algorithm, DotAlgorithmPreset):
        there = algorithm.name in _HERE
    else:
        types = [dtypes.named_dtype(t) for t in algorithm[:3]]
        there = (
            types[0] == types[1] == types[2]
            and types[0].itemsize >= 4
            and set(algorithm[3:6]) == {1}
        )
    if not there:
        raise ValueError(
            f"{name}: the precision {algorithm!r} is not there on this processor{errors.at_user_line()}; "
            "lax.Precision.HIGHEST is the operands' own"
        )
