"""The digest of Programs that compiled code is kept by: equal in each process, and never of two Programs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.primitives.samples import all_samples

import covector as cv
import covector.numpy as cnp
from covector import lax
from covector._engine import primitives as prims
from covector._engine.core import trace
from covector._engine.ir.content import content
from covector._engine.ir.program import Eqn, map_eqns
from covector._engine.runtime.executable import _named_primitives
from covector._engine.types import dims
from covector._engine.types.avals import ShapedArray
from covector.lax import GatherDimensionNumbers

VECTOR = ShapedArray((5,), np.dtype(np.float32))


def digest(f: Callable[..., Any], avals: tuple[ShapedArray, ...] = (VECTOR,)) -> bytes | None:
    """Of the Program that tracing the function gives."""
    with trace.using(trace.EVAL):
        program = trace.stage(lambda *xs: cv.tree.leaves(f(*xs)), list(avals), "f")
    return content(program.close(), _named_primitives())


# No two of these compile to the same code.
DIFFERENT: dict[str, Callable[..., Any]] = {
    "sin": cnp.sin,
    "cos": cnp.cos,
    "zero": lambda x: x + np.float32(0.0),
    "minus zero": lambda x: x + np.float32(-0.0),
    "pad 0": lambda x: lax.pad(x, np.float32(0.0), [(1, 0, 0)]),
    "pad -0": lambda x: lax.pad(x, np.float32(-0.0), [(1, 0, 0)]),
    "pad before": lambda x: lax.pad(x, np.float32(0.0), [(0, 1, 0)]),
    "slice": lambda x: x[1:3],
    "another slice": lambda x: x[1:4],
    "product": lambda x: x * x,
    "of others": lambda x: x * (x + 1),
    "operands": lambda x: (x + 1) - x,
    "swapped": lambda x: x - (x + 1),
    "results": lambda x: (x + 1, x),
    "results swapped": lambda x: (x, x + 1),
    "scan": lambda x: lax.scan(lambda c, e: (c + e, None), np.float32(0), x)[0],
    "scan back": lambda x: lax.scan(lambda c, e: (c + e, None), np.float32(0), x, reverse=True)[0],
    "another body": lambda x: lax.scan(lambda c, e: (c * e, None), np.float32(0), x)[0],
    "jit": lambda x: cv.jit(lambda y: y + 1)(x),
    "jit twice": lambda x: cv.jit(lambda y: y + 1)(cv.jit(lambda y: y + 1)(x)),
    "checkpoint": lambda x: cv.checkpoint(cnp.sin)(x),
    "policy": lambda x: cv.checkpoint(cnp.sin, policy=cv.checkpoint_policies.dots_saveable)(x),
    "another policy": lambda x: cv.checkpoint(
        cnp.sin, policy=cv.checkpoint_policies.everything_saveable
    )(x),
    "policy of names": lambda x: cv.checkpoint(
        cnp.sin, policy=cv.checkpoint_policies.save_only_these_names("a")
    )(x),
    "branches": lambda x: lax.cond(x[0] > 0, cnp.sin, cnp.cos, x),
    "branches swapped": lambda x: lax.cond(x[0] > 0, cnp.cos, cnp.sin, x),
    "half": lambda x: x.astype(cnp.float16),
    "bfloat16": lambda x: x.astype(cnp.bfloat16),
}


def test_different_programs_have_different_digests() -> None:
    found = {name: digest(f) for name, f in DIFFERENT.items()}
    assert None not in found.values()
    assert len({*found.values()}) == len(DIFFERENT)
    n = dims.symbol("n", 0)
    types = [
        VECTOR,
        ShapedArray((5,), np.dtype(np.float32), True),
        ShapedArray((5,), np.dtype(np.int32)),
        ShapedArray((5, 1), np.dtype(np.float32)),
        ShapedArray((n,), np.dtype(np.float32)),
        ShapedArray((n + 1,), np.dtype(np.float32)),
        ShapedArray((dims.symbol("n", 1),), np.dtype(np.float32)),
        ShapedArray((dims.symbol("m", 0),), np.dtype(np.float32)),
    ]
    assert len({digest(lambda x: x + 1, (t,)) for t in types}) == len(types)


def test_equal_programs_have_equal_digests() -> None:
    for f in DIFFERENT.values():
        assert digest(f) == digest(f)


PRINT = """
from tests.ir.test_content import DIFFERENT, digest
print(*[digest(f).hex() for f in DIFFERENT.values()])
"""


def test_digests_are_the_same_in_another_process() -> None:
    printed = [
        subprocess.run(
            [sys.executable, "-c", PRINT],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        for seed in ("1", "2")
    ]
    assert printed[0] == printed[1] == [(digest(f) or b"").hex() for f in DIFFERENT.values()]


def test_nothing_is_too_deep() -> None:
    f: Callable[[Any], Any] = cnp.sin
    for _ in range(150):
        f = cv.jit(lambda x, f=f: f(x) + 1)
    assert digest(f)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: cv.pure_callback(np.sin, x, x),
        lambda x: lax.map(lambda e: cv.pure_callback(np.sin, e, e), x),
        lambda x: cv.debug.callback(print, x),
    ],
)
def test_functions_of_this_process_have_none(f: Callable[..., Any]) -> None:
    assert digest(f) is None


def test_parameters_are_known_by_all_that_they_hold() -> None:
    """By their fields; what holds more than is compared is not known."""

    def of(x: Any) -> Any:
        with trace.using(trace.EVAL):
            empty = trace.stage(list, [], "f")
        eqn = Eqn(x, (), (), None)
        return content(map_eqns(empty, [eqn]), {})

    numbers = [GatherDimensionNumbers((0,), (i,), (0,)) for i in range(3)]
    kept = [of(n) for n in (*numbers, prims.Slice((0,), (2,), (1,)), prims.Slice((1,), (2,), (1,)))]
    assert len({*kept}) == 5
    assert None not in kept
    assert of(prims.sin) is None
    marked = prims.Slice((0,), (3,), (1,))
    object.__setattr__(marked, "more", 1)
    assert of(marked) is None


def test_primitives_of_users_have_none() -> None:
    class Mine(type(prims.Slice((0,), (2,), (1,)))):  # type: ignore[misc]
        """Lowered by code that may be another one in the next process."""

    assert digest(lambda x: prims.Slice((0,), (2,), (1,))(x))
    assert digest(lambda x: Mine((0,), (2,), (1,))(x)) is None


def test_every_primitive_of_ours_has_one() -> None:
    """So that code of each is found on the disk: all their parameters are values."""
    without = [str(s) for s in all_samples() if not digest(s.primitive, s.avals)]
    assert without == []
