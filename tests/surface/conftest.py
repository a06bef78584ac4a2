"""Tests of the surface look at its meaning, so primitives are computed by their NumPy references.

What compiled code makes of them is tested elsewhere, primitive by primitive.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from covector._engine import _native
from covector._engine.base.config import config
from covector._engine.core import trace
from covector._engine.core.primitive import Primitive
from covector._engine.types.avals import ShapedArray


def _wrap(value: Any, aval: ShapedArray) -> Any:
    value = np.asarray(value)
    assert (value.shape, value.dtype) == (aval.shape, aval.dtype), (value.shape, value.dtype, aval)
    return _native.array_from(value, None, aval.weak_type)


def evaluate(primitive: Primitive, args: Sequence[Any]) -> Any:
    """The result by the primitive's reference, held against its type rule."""
    avals = [trace.typeof(x) for x in args]
    types = primitive.type(*avals)
    out = primitive.reference(*[np.asarray(x, a.dtype) for x, a in zip(args, avals, strict=True)])
    if primitive.multiple:
        return tuple(_wrap(o, t) for o, t in zip(out, types, strict=True))
    return _wrap(out, types)


@contextmanager
def by_reference() -> Iterator[None]:
    """Computes by reference, without compiling anything."""
    before = trace._evaluator
    trace.set_evaluator(evaluate)
    with config.override(fast_paths=False, disable_jit=True):
        yield
    trace.set_evaluator(before)


@pytest.fixture(autouse=True)
def reference() -> Iterator[None]:
    """Compute by reference, without compiling anything."""
    with by_reference():
        yield
