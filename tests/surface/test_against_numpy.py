"""Every function of `covector.numpy` against NumPy: all dtypes, empty arrays, scalars, odd axes, NaN and infinities.

Where NumPy's rules and JAX's agree, so do ours.  The primitives are computed by their references, which takes seconds;
`make fuzz` does the same with random numbers and on compiled code, which takes minutes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
from tests.amount import FULL, TIMES
from tests.surface.conftest import by_reference
from tests.surface.numpy_cases import (
    BINARY,
    COMPARISONS,
    FOLDS,
    ORDERINGS,
    OTHER,
    POSITIONS,
    PRODUCTS,
    RUNNING,
    UNARY,
    VALUES,
    Call,
)  # fmt: skip
from tests.surface.numpy_outcomes import Difference, compare
from tests.surface.numpy_theme_cases import CASES as THEMES, ELSEWHERE as THEMES_ELSEWHERE

import covector.numpy as cnp
from covector._engine.types import dtypes

NAMES = [d.name for d in dtypes.STANDARD]

# The dtype of the result is another one, on purpose, or as JAX's: floats of integers, no float64 of float32.
OWN_DTYPE = {"reciprocal", "float_power", "vander", "round", "around", "square", "ldexp"}
# We take what NumPy refuses, as JAX does: places out of bounds, negative powers, complex degrees, sums of no weights,
# angles and sums of exponentials of complex numbers, medians of no rows along several axes.
ACCEPTS = {
    "arctan2",
    "atan2",
    "logaddexp",
    "logaddexp2",
    "average",
    "deg2rad",
    "degrees",
    "median",
    "positive",
    "pow",
    "power",
    "rad2deg",
    "radians",
    "take",
    "vsplit",
}
# NumPy's own arithmetic in small dtypes overflows, or their limits are not those of the wide ones: not compared.
LEFT_OUT = {
    "reciprocal": "biu", "trapezoid": "biu", "spacing": "biu", "exp2": "biu", "nextafter": "biu", "vander": "u",
}  # fmt: skip
NOT_IN_16_BITS = {"nan_to_num", "nextafter", "spacing"}
# Without values to compare, or tested elsewhere.
ELSEWHERE = {
    "argpartition",
    "array_repr",
    "array_str",
    "convolve",
    "correlate",
    "empty",
    "empty_like",
    "finfo",
    "from_dlpack",
    "iinfo",
    "ldexp",
    "lexsort",
    "partition",
    "result_type",
    "top_k",
}


def test_every_function_is_compared() -> None:
    compared = {
        *UNARY, *BINARY, *COMPARISONS, *FOLDS, *POSITIONS, *RUNNING, *ORDERINGS, *OTHER, *PRODUCTS, *VALUES, *ELSEWHERE,
    }  # fmt: skip
    compared |= {case.name for case in THEMES} | THEMES_ELSEWHERE
    functions = {n for n in dir(cnp) if not n.startswith("_") and callable(getattr(cnp, n))}
    functions = {n for n in functions if not isinstance(getattr(cnp, n), type)}
    assert not functions - compared, "put these into numpy_cases.py"


@pytest.fixture(autouse=True)
def reference() -> Iterator[None]:
    """In place of the folder's fixture: in full, and many times over, compiled code runs, as users run it."""
    with by_reference() if TIMES == 1 and not FULL else nullcontext():
        yield


def sample(dtype: np.dtype, special: bool, rng: np.random.Generator | None) -> np.ndarray:
    """Eight elements: with `special` the limits of the dtype, NaN, infinities and both zeros are among them."""
    kind = dtypes.kind(dtype)
    if rng is not None:
        real = rng.normal(size=8) * rng.choice([0.1, 1, 10])
        drawn = (
            real + 1j * rng.normal(size=8) if kind == "c" else np.abs(real) if kind == "u" else real
        )
        return drawn.astype(dtype)
    if kind == "b":
        return np.array([0, 1, 1, 0, 1, 0, 0, 1], bool)
    if kind in "iu":
        info = np.iinfo(dtype)
        third = 5 if kind == "u" else -3
        last = [info.max, info.min, info.max - 1] if special else [1, 4, 3]
        return np.array([0, 1, 2, 3, third, *last], dtype)
    plain = [0.0, 1.0, 1.5, -2.25, 2.0, -1.0, 0.5, 3.0]
    if kind == "c":  # NumPy's complex infinities are its own
        return np.array(
            [a + 1j * b for a, b in zip(plain, plain[3:] + plain[:3], strict=True)], dtype
        )
    return np.array(
        [0.0, -0.0, 1.5, -2.25, np.inf, -np.inf, np.nan, 0.3] if special else plain
    ).astype(dtype)


def factors(dtype: np.dtype, rng: np.random.Generator | None) -> np.ndarray:
    """Eight elements that are small multiples of one number, so that sums of their products are exact in any order."""
    if rng is None or not dtypes.is_inexact(dtype):
        return sample(dtype, False, rng)
    drawn = rng.integers(-2, 3, (2, 8)) * rng.choice([0.25, 1, 4])
    return (drawn[0] + 1j * drawn[1] if dtypes.is_complex(dtype) else drawn[0]).astype(dtype)


def shapes(x: np.ndarray) -> list[np.ndarray]:
    """The elements in several shapes, empty ones and () among them."""
    return [
        x,
        x[:6].reshape(2, 3),
        x[:4].reshape(2, 2),
        np.asarray(x[3]),
        x[:0],
        x[:0].reshape(2, 0, 3),
        x.reshape(2, 2, 2),
    ]


class Tally:
    """The differences found, and how many results were equal."""

    def __init__(self) -> None:
        self.equal = 0
        self.found: list[str] = []

    def __call__(self, name: str, call: Call, *operands: np.ndarray, about: Any = "") -> None:
        kind = dtypes.kind(operands[0].dtype) if operands else "f"
        small = operands and dtypes.is_float(operands[0].dtype) and operands[0].dtype.itemsize == 2
        if kind in LEFT_OUT.get(name, "") or (small and name in NOT_IN_16_BITS):
            return
        try:
            self.equal += compare(call, list(operands), name in OWN_DTYPE, name in ACCEPTS)
        except Difference as difference:
            types = ", ".join(f"{x.dtype}{list(x.shape)}" for x in operands)
            self.found.append(f"{name}({types}) {about}: {str(difference)[:300]}")

    def report(self, least: int) -> None:
        assert not self.found, f"{len(self.found)} differences:\n" + "\n".join(self.found[:40])
        assert self.equal >= least, f"only {self.equal} results were compared"


def generators() -> Iterator[np.random.Generator | None]:
    if TIMES == 1:
        yield None
    for _ in range(TIMES if TIMES > 1 else 0):
        yield np.random.default_rng()


@pytest.mark.parametrize("dtype", dtypes.STANDARD, ids=NAMES)
def test_elementwise(dtype: np.dtype) -> None:
    tally = Tally()
    for rng in generators():
        x, y = sample(dtype, True, rng), np.roll(sample(dtype, True, rng), 3)
        for name in UNARY:
            for a in (x, x[:6].reshape(2, 3), np.asarray(x[3]), x[:0]):
                tally(name, lambda m, a, name=name: getattr(m, name)(a), a)
        for name in (*BINARY, *COMPARISONS):
            divides = name in ("floor_divide", "divmod") and not dtypes.is_inexact(dtype)
            every = np.repeat(x, 8), np.tile(y, 8)
            for a, b in (every, (x[:6].reshape(2, 3), y[:1]), (x[:0], y[:1])):
                if divides:  # integers by zero are left alone
                    b = np.where(b == 0, b.dtype.type(1), b)
                tally(name, lambda m, a, b, name=name: getattr(m, name)(a, b), a, b)
            for number in (2, 1.5, True):
                tally(
                    name, lambda m, a, n=number, name=name: getattr(m, name)(a, n), x, about=number
                )
                if not divides:
                    tally(
                        name,
                        lambda m, a, n=number, name=name: getattr(m, name)(n, a),
                        x,
                        about=number,
                    )
    tally.report(200)


@pytest.mark.parametrize("dtype", dtypes.STANDARD, ids=NAMES)
def test_along_axes(dtype: np.dtype) -> None:
    tally = Tally()
    for rng in generators():
        special, plain = sample(dtype, True, rng), sample(dtype, False, rng)
        arrays = [special, special[:6].reshape(2, 3), *shapes(plain)[2:]]
        if dtype in (np.int32, np.int64, np.uint32, np.uint64):
            arrays[:2] = [plain, plain[:6].reshape(2, 3)]  # their means are in float32
        for name in (*FOLDS, *POSITIONS):
            for a in arrays:
                for options in (
                    {},
                    {"axis": 0},
                    {"axis": -1, "keepdims": True},
                    {"axis": (0, -1)},
                    {"axis": 5},
                ):
                    tally(
                        name,
                        lambda m, a, o=options, name=name: getattr(m, name)(a, **o),
                        a,
                        about=options,
                    )
        for name in RUNNING:
            for a in arrays:
                for options in ({}, {"axis": -1}, {"axis": 5}):
                    tally(
                        name,
                        lambda m, a, o=options, name=name: getattr(m, name)(
                            a, dtype=None if a.dtype == bool else a.dtype, **o
                        ),
                        a,
                        about=options,
                    )
        for name in ORDERINGS:
            for a in arrays:
                for options in ({}, {"axis": 0}, {"axis": None}, {"axis": 4}):
                    tally(
                        name,
                        lambda m, a, o=options, name=name: getattr(m, name)(a, stable=True, **o),
                        a,
                        about=options,
                    )
    tally.report(200)


@pytest.mark.parametrize("dtype", dtypes.STANDARD, ids=NAMES)
def test_shapes_and_products(dtype: np.dtype) -> None:
    tally = Tally()
    for rng in generators():
        special, plain = sample(dtype, True, rng), sample(dtype, False, rng)
        for name, calls in OTHER.items():
            for number, call in enumerate(calls):
                for a in (special, special[:6].reshape(2, 3), *shapes(plain)[2:]):
                    tally(name, call, a, about=f"call {number}")
        for name, calls in PRODUCTS.items():
            for number, call in enumerate(calls):
                for a in shapes(factors(dtype, rng)):
                    tally(name, call, a, about=f"call {number}")
    tally.report(200)


def test_values() -> None:
    tally = Tally()
    for name, calls in VALUES.items():
        for number, call in enumerate(calls):
            tally(name, call, about=f"call {number}")
    tally.report(len(VALUES))
