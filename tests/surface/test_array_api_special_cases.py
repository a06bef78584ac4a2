"""The special cases of the Python Array API standard, from a table: real and complex, in float32 and float64."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from tests.surface.conftest import by_reference

import covector.numpy as cnp

INF, NAN = math.inf, math.nan
POSITIVE = [0.5, 1.0, 1.5, 2.5, 3.0, 2.0]
FINITE = [0.0, -0.0, *POSITIVE, *[-v for v in POSITIVE]]
NUMBERS = [*FINITE, INF, -INF]
# What a word of the table stands for; any other is a number.
SETS: dict[str, list[float]] = {
    "any": [*NUMBERS, NAN],
    "number": NUMBERS,
    "number1": [v for v in NUMBERS if math.isfinite(v)],
    "finite": FINITE,
    "nonzero": [v for v in FINITE if v],
    "pos": POSITIVE,
    "neg": [-v for v in POSITIVE],
    "pos1": [v for v in POSITIVE if v != 1],
    "whole": [v for v in FINITE if v == int(v)],
    "part": [v for v in FINITE if v != int(v)],
    "part1": [0.5, -0.5],
    "oddpos": [1.0, 3.0],
    "evenpos": [2.0],
    "partpos": [0.5, 1.5, 2.5],
    "oddneg": [-1.0, -3.0],
    "evenneg": [-2.0],
    "partneg": [-0.5, -1.5, -2.5],
    "+-0": [0.0, -0.0],
    "+-inf": [INF, -INF],
    "+-1": [1.0, -1.0],
    ">1": [1.5, 3.0, INF],
    "<1": [0.5, 0.0, -0.0, -1.0, -3.0, -INF],
    "<-1": [-1.5, -3.0, -INF],
}
# The functions of complex numbers that the standard defines by others of the number turned by 90 degrees.
TURNED: dict[str, tuple[str, Callable[[complex], complex]]] = {
    "asin": ("asinh", lambda w: complex(w.imag, -w.real)),
    "atan": ("atanh", lambda w: complex(w.imag, -w.real)),
    "cos": ("cosh", lambda w: w),
    "sin": ("sinh", lambda w: complex(w.imag, -w.real)),
    "tan": ("tanh", lambda w: complex(w.imag, -w.real)),
}


class Case(NamedTuple):
    """One case: operands, and the numbers of which the result is one, for its parts."""

    section: str
    name: str
    operands: tuple[float, ...]
    wanted: list[list[float]]


def numbers(word: str) -> list[float]:
    """The set that a word names."""
    return SETS[word] if word in SETS else [float(word)]


def results(word: str, name: str, x: float, y: float) -> list[float]:
    """The numbers that a result may be."""
    unit = {"log2": math.log(2), "log10": math.log(10)}.get(name, 1.0)
    names = {"x": x, "y": y, "pi": math.pi, "inf": INF, "nan": NAN, "u": lambda v: v / unit}
    names |= {"sin": math.sin, "cos": math.cos, "abs": abs}
    found = []
    for one in word.split("|"):
        signs = (1, -1) if one.startswith("+-") else (1,)
        text = one.removeprefix("+-")
        zero = -0.0 if text == "-0" else None
        found += [s * float(eval(text, names) if zero is None else zero) for s in signs]
    return found


def cases() -> Iterator[Case]:
    section = ""
    text = (Path(__file__).parent / "array_api_special_cases.txt").read_text()
    for line in text.splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and line[0] != "#":
            names, _, rows = line.partition(": ")
            for name, row in product(names.split(), rows.split("; ")):
                sets, _, wanted = row.partition(" -> ")
                for operands in product(*map(numbers, sets.split())):
                    x, y = (*operands, NAN)[:2]
                    parts = [results(w, name, x, y) for w in _words(wanted)]
                    yield Case(section, name, operands, parts)


def _words(text: str) -> list[str]:
    return [text] if " != " in text else text.split(" ")


CASES = list(cases())
FUNCTIONS = dict.fromkeys((c.section, c.name) for c in CASES)


def same(found: float, wanted: float, tolerance: float) -> bool:
    if math.isnan(wanted) or math.isnan(found):
        return math.isnan(wanted) and math.isnan(found)
    if wanted == 0 or math.isinf(wanted):
        return found == wanted and math.copysign(1, found) == math.copysign(1, wanted)
    return math.isclose(found, wanted, rel_tol=tolerance)


def wrong(name: str, cases: list[Case], found: np.ndarray, tolerance: float) -> list[str]:
    """The cases whose results are others."""
    out: list[str] = []
    for case, value in zip(cases, found.tolist(), strict=True):
        parts = [value.real, value.imag] if len(case.wanted) == 2 else [value]
        for part, allowed in zip(parts, case.wanted, strict=True):
            if not any(same(part, w, tolerance) for w in allowed):
                out.append(f"{name}{case.operands} is {value}, not {case.wanted}")
    return out


@pytest.fixture(autouse=True, params=["compiled", "by reference"])
def reference(request: pytest.FixtureRequest) -> Iterator[None]:
    """In place of the folder's fixture: both as users run it, and by the references."""
    with by_reference() if request.param == "by reference" else nullcontext():
        yield


@pytest.mark.parametrize("double", [False, True], ids=["float32", "float64"])
@pytest.mark.parametrize(("section", "name"), FUNCTIONS)
def test_special_cases(section: str, name: str, double: bool) -> None:
    mine = [c for c in CASES if (c.section, c.name) == (section, name)]
    tolerance = 1e-14 if double else 3e-7
    operands = [
        np.array(v, "float64" if double else "float32")
        for v in zip(*(c.operands for c in mine), strict=True)
    ]
    if section == "complex":
        for sign in (1, -1):
            z = np.empty(len(mine), "complex128" if double else "complex64")
            z.real, z.imag = operands[0], sign * operands[1]
            found = np.asarray(getattr(cnp, name)(z))
            found = found.conj() if found.dtype.kind == "c" and sign < 0 else found
            assert not (failed := wrong(name, mine, found, tolerance)), "\n".join(failed)
    else:
        found = np.asarray(getattr(cnp, name)(*operands))
        assert not (failed := wrong(name, mine, found, tolerance)), "\n".join(failed)


@pytest.mark.parametrize("double", [False, True], ids=["complex64", "complex128"])
@pytest.mark.parametrize("name", TURNED)
def test_functions_that_are_turned(name: str, double: bool) -> None:
    """sin(z) is -1j * sinh(1j * z), and so on: in every part that is not left open."""
    other, back = TURNED[name]
    mine = [c for c in CASES if (c.section, c.name) == ("complex", other)]
    z = np.empty(len(mine), "complex128" if double else "complex64")
    # w = 1j * z, so z = -1j * w.
    z.real, z.imag = [c.operands[1] for c in mine], [-c.operands[0] for c in mine]
    found = np.asarray(getattr(cnp, name)(z))
    turned = [Case(c.section, name, c.operands, _turned(c.wanted, back)) for c in mine]
    assert not (failed := wrong(name, turned, found, 1e-14 if double else 3e-7)), "\n".join(failed)


def _turned(wanted: list[list[float]], back: Callable[[complex], complex]) -> list[list[float]]:
    made = [back(complex(r, i)) for r, i in product(*wanted)]
    return [[w.real for w in made], [w.imag for w in made]]
