"""The NumPy oracle: primitives computed by their reference rules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from covector._engine.base.errors import VerificationError
from covector._engine.core.primitive import Primitive
from covector._engine.core.trace import typeof
from covector._engine.types.avals import ShapedArray


def evaluate_reference(primitive: Primitive, args: Sequence[Any]) -> Any:
    """The result on concrete operands as NumPy arrays; an evaluator for `trace.set_evaluator`.

    It is of the type that the type rule says; if not, one of the two rules is wrong and that is an error.
    """
    avals = [typeof(x) for x in args]
    types = primitive.type(*avals)
    out = primitive.reference(
        *[np.asarray(x, aval.dtype) for x, aval in zip(args, avals, strict=True)]
    )
    if not isinstance(types, tuple):
        return _checked(primitive, types, out)
    if len(out) != len(types):
        raise VerificationError(
            f"{primitive.text()} has {len(types)} results by its type, {len(out)} by its reference"
        )
    return tuple([_checked(primitive, t, x) for t, x in zip(types, out, strict=True)])


def _checked(primitive: Primitive, aval: ShapedArray, x: Any) -> np.ndarray:
    x = np.asarray(x)
    if x.shape != aval.shape or x.dtype != aval.dtype:
        raise VerificationError(
            f"{primitive.text()} is {aval.text()} by its type rule, {x.dtype.name}{list(x.shape)} by its reference"
        )
    return x
