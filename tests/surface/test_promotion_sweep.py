"""Result dtypes and weak types for all pairs of operands, against JAX's: golden/promotion_sweep.txt.

What differs on purpose is said here, by functions and operands; everything else is as in JAX.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.surface import promotion_sweep as sweep

import covector as cv
import covector.numpy as cnp

GOLDEN = sweep.read((Path(__file__).parent / "golden" / "promotion_sweep.txt").read_text())
FUNCTIONS = sorted({name.rpartition(" ")[0] for name in GOLDEN})


class Cell:
    """What a function gives for a pair of operands, here and in JAX."""

    def __init__(self, name: str, key: str, ours: str, theirs: str):
        self.name, self.ours, self.theirs = name, ours, theirs
        self.operands = [part.removeprefix("np.") for part in key.split()]

    def has(self, names: str) -> bool:
        return bool(set(names.split()) & {*self.operands})


NARROW = "int2 uint2 int4 uint4"
DELIBERATE: dict[str, Callable[[Cell], bool]] = {
    "integers of two and four bits count as others do; JAX leaves those of two as they are, or refuses": (
        lambda c: c.has(NARROW) and c.ours != "!" and c.theirs in ("!", "int2", "uint2")
    ),
    "truth values are strong, and what is beside them or NumPy's integers; so is logaddexp of complex numbers": (
        lambda c: (
            c.ours + "*" == c.theirs
            and c.name in ("logaddexp", "logaddexp2", "heaviside", "logical_and")
        )
    ),
    "powers and divisors of truth values and weak integers are weak, as sums are": (
        lambda c: (
            c.name in ("pow()", "power", "gcd")
            and c.ours in ("int32*", "int64*")
            and c.has("bool True")
        )
    ),
    "the sign of narrow floats can be copied": (
        lambda c: (
            c.name == "copysign" and c.theirs == "!" and c.ours.startswith(("float4", "float8"))
        )
    ),
    "a number takes the dtype of the array beside it": (
        lambda c: (
            c.name in ("dot", "vdot") and c.theirs == "!" and c.has("1 1.0 1j int* float* complex*")
        )
    ),
    "promote_types takes types of Python": (
        lambda c: c.name == "promote_types" and c.theirs == "!" and c.has("True 1 1.0 1j")
    ),
    "a complex number fills no array of real ones": (
        lambda c: c.name == "full_like" and c.ours == "!" and c.has("1j")
    ),
}


@pytest.fixture(params=[True, False], ids=["x64", "x32"])
def x64(request: pytest.FixtureRequest) -> Iterator[bool]:
    with cv.enable_x64(request.param):
        yield request.param


@pytest.mark.parametrize("name", FUNCTIONS)
def test_dtypes(name: str, x64: bool) -> None:
    values = sweep.operands(cnp, x64)
    wanted = GOLDEN[f"{name} {64 if x64 else 32}"]
    found = sweep.table(cv, sweep.functions(cnp)[name], values)
    assert found.keys() == wanted.keys()
    wrong = [Cell(name, k, found[k], v) for k, v in wanted.items() if found[k] != v]
    left = [c for c in wrong if not any(is_so(c) for is_so in DELIBERATE.values())]
    assert not left, "\n".join(f"{name} {c.operands}: {c.ours}, not {c.theirs}" for c in left[:20])
