"""Operands as this family takes them: equal dtypes, one shape; Python numbers adapt to the arrays beside them."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from covector._engine.base import errors
from covector._engine.core.numbers import NUMBERS, SCALARS, entered, plain_number
from covector._engine.core.trace import Tracer, typeof
from covector._engine.types import dtypes
from covector._engine.types.avals import ShapedArray
from covector.numpy.promotion import Array, constant, convert_scalar, fitted, lift, type_key

# The kinds of dtype that a Python number of each type can become.
_FITS = {bool: "b", int: "iufc", float: "fc", complex: "c"}


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


def array(name: str, x: Any) -> Any:
    """An operand as an array or tracer; TypeError if it is no array or number."""
    return lift(name, x)


def operand(name: str, x: Any) -> Any:
    """An operand that may stay a NumPy scalar or Python number; TypeError if it is no array or number."""
    if type(x) is Array or isinstance(x, Tracer) or type(x) in SCALARS:
        return x
    return entered(x) if isinstance(x, np.generic) else lift(name, x)


def operands(name: str, *args: Any) -> list[Any]:
    """The operands of an elementwise operation.

    Python numbers take the others' dtype where they fit its kind.  Axes of size 1 are repeated; TypeError for other
    shapes of different ranks, but one of shape () goes with any.  The primitives themselves refuse different dtypes.
    """
    xs = [operand(name, x) for x in args]
    dtype = next((x.dtype for x in xs if type(x) not in NUMBERS), None)
    if dtype is None:
        found, weak = dtypes.promote(*[type_key(x) for x in xs])
        xs = [constant(x, found, weak) for x in xs]
    else:
        xs = [_beside(plain_number(x), dtype) if type(x) in NUMBERS else x for x in xs]
    if len(xs) < 2:
        return xs
    avals = [typeof(x) for x in xs]
    if len({a.ndim for a in avals if a.shape}) > 1:
        raise errors.ShapeError(errors.shape_mismatch(name, [a.text() for a in avals]))
    return fitted(name, xs)


def _beside(x: Any, dtype: np.dtype) -> Any:
    """A Python number as an operand beside one of this dtype; in its own dtype if that is of a lesser kind."""
    if dtypes.kind(dtype) in _FITS[type(x)]:
        return convert_scalar(x, dtype, False)
    return dtypes.of_number(type(x)).type(x)


def check_shapes(name: str, avals: Sequence[ShapedArray]) -> None:
    """TypeError unless the operands that are not of shape () have one shape."""
    if len({a.shape for a in avals if a.shape}) > 1:
        raise errors.ShapeError(errors.shape_mismatch(name, [a.text() for a in avals]))


def preferred_dtype(name: str, dtype: np.dtype, preferred: Any) -> np.dtype | None:
    """The dtype that a product of operands of a dtype is asked to have; TypeError if it is narrower than that."""
    if preferred is None:
        return None
    wanted = dtypes.as_dtype(preferred)
    kinds, wide = (dtypes.kind(dtype), dtypes.kind(wanted)), (dtype.itemsize, wanted.itemsize)
    fits = kinds[0] == kinds[1] or "".join(kinds) in ("if", "uf", "iu", "ui", "bi", "bu", "bf")
    if wanted != dtype and (not fits or wide[0] > wide[1]):
        raise TypeError(
            f"{name} of {dtype.name} cannot give preferred_element_type={wanted.name}{errors.at_user_line()}: it must "
            "be of the operands' kind, or float for integers, and not narrower"
        )
    return wanted
