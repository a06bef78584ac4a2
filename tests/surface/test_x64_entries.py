"""Where 64 bits are switched off, no function lets them in: all that are compared with NumPy, on arrays of 64 bits.

What a function gives for them is what it gives for the same arrays in 32 bits.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from tests.surface import numpy_cases as cases
from tests.surface.numpy_theme_cases import CASES as THEMES

import covector as cv
import covector.numpy as cnp
from covector import tree
from covector._engine.types import dtypes

WIDE = ("int64", "uint64", "float64", "complex128")
ALONG = (*cases.FOLDS, *cases.POSITIONS, *cases.RUNNING, *cases.ORDERINGS)
MOST = 1e-5


def calls() -> Iterator[tuple[str, int, Callable[..., Any]]]:
    """Name, number of operands, call."""
    for name in (*cases.UNARY, *ALONG):
        yield name, 1, lambda m, a, name=name: getattr(m, name)(a)
    for name in ALONG:
        yield name, 1, lambda m, a, name=name: getattr(m, name)(a, axis=0)
    for name in cases.BINARY:
        yield name, 2, lambda m, a, b, name=name: getattr(m, name)(a, b)
        yield name, 2, lambda m, a, b, name=name: getattr(m, name)(a, b[0])
    for name, several in cases.OTHER.items():
        yield from [(name, 1, call) for call in several]
    for name, several in cases.PRODUCTS.items():
        yield from [(name, 2, call) for call in several]


def outcome(call: Callable[..., Any], *operands: Any) -> Any:
    """The leaves of the result; the class of the exception if there is one."""
    try:
        return [x for x in tree.leaves(call(cnp, *operands)) if not isinstance(x, str)]
    except (TypeError, ValueError, OverflowError, NotImplementedError, IndexError) as error:
        return type(error)


def differs(narrow: Any, found: Any) -> bool:
    """Whether the leaves for operands of 64 bits are not those for operands of 32."""
    if isinstance(narrow, type) or isinstance(found, type):
        return narrow is not found
    if len(narrow) != len(found):
        return True
    for x, y in zip(narrow, found, strict=True):
        if cv.typeof(x) != cv.typeof(y) if isinstance(x, cv.Array) else type(x) is not type(y):
            return True
        if not np.allclose(np.asarray(x), np.asarray(y), MOST, MOST, equal_nan=True):
            return True
    return False


@pytest.mark.parametrize("name", WIDE)
def test_functions_of_wide_arrays(name: str) -> None:
    wide = np.dtype(name)
    plain = np.array([0, 1, 2, 3, 5, 1, 4, 3]).astype(wide)
    wrong: list[str] = []
    count = 0
    for function, number, call in calls():
        for x in (plain, plain[:4].reshape(2, 2)):
            operands = [x, np.roll(x, 1)][:number]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                narrow = outcome(call, *[y.astype(dtypes.NARROW[wide]) for y in operands])
                with cv.enable_x64(False):
                    found = outcome(call, *operands)
            count += not isinstance(found, type)
            if differs(narrow, found):
                wrong.append(f"{function} of {name}{list(x.shape)}: {found}, in 32 bits {narrow}")
    assert not wrong, f"{len(wrong)}:\n" + "\n".join(wrong[:30])
    assert count > 300


def test_functions_of_values_and_themes() -> None:
    wrong: list[str] = []
    values = [(name, call, ()) for name, several in cases.VALUES.items() for call in several]
    themes = [(case.name, case.call, case.operands) for case in THEMES]
    for name, call, operands in (*values, *themes):
        given = [
            x.astype(dtypes.WIDE.get(x.dtype, x.dtype)) if isinstance(x, np.ndarray) else x
            for x in operands
        ]
        with warnings.catch_warnings(), cv.enable_x64(False):
            warnings.simplefilter("ignore")
            found = outcome(call, *given)
        if isinstance(found, list) and any(
            isinstance(x, cv.Array) and x.dtype in dtypes.NARROW for x in found
        ):
            wrong.append(f"{name}: {found}")
    assert not wrong, "\n".join(wrong)
