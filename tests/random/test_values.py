"""Numbers of every sampler against JAX's, in both states of `enable_x64`: of other dtypes, shapes and arguments.

A line of values.jsonl is the state, a call, and what JAX gives: dtype, shape and numbers.  Integers, and what is made
of bits by exact operations, are equal; what goes through logarithms and the like differs in the last places.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import covector as cv
from covector import random

LINES = (Path(__file__).parent / "values.jsonl").read_text().splitlines()
ROWS: dict[str, list[Any]] = {}
for row in map(json.loads, LINES):
    sampler = re.match(r"random\.(\w+)", row[1])
    assert sampler is not None
    ROWS.setdefault(f"{sampler[1]} {row[0]}", []).append(row)
# Differences of numbers that are close to each other lose digits there.
PLACES = {"wald": 64, "gamma": 32, "loggamma": 32, "dirichlet": 32}


@pytest.mark.parametrize("name", ROWS)
def test_numbers_are_jaxs(name: str) -> None:
    for state, call, dtype, shape, numbers in ROWS[name]:
        with cv.enable_x64(state == "on"):
            got = np.asarray(eval(call, {"random": random, "key": random.key, "numpy": np}))
        assert (str(got.dtype), list(got.shape)) == (dtype, shape), call
        wanted = np.array(numbers, got.dtype).reshape(shape)
        if got.dtype.kind in "iub" or ".uniform(" in call:
            np.testing.assert_array_equal(got, wanted, call)
        else:
            places = PLACES.get(name.split()[0], 8) * float(ml_dtypes.finfo(got.dtype).eps)
            near = np.isclose(got.astype(float), wanted.astype(float), rtol=places, atol=places)
            assert near.all(), (call, got, wanted)
