"""The dtype of a product: of operands of any two dtypes, and as `preferred_element_type` asks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import covector.numpy as cnp
from covector import lax
from covector._engine.types import dtypes

X, Y = np.array([[1, 2], [3, 1]]), np.array([[1, 0], [2, 1]])
WIDER = [dtypes.int64, dtypes.float32, dtypes.float64, dtypes.complex64, dtypes.complex128]
# What a product is of is the later one: as JAX has it, which ranks exponents above digits, and signs above none.
RANKS = [
    "bool",
    "uint8",
    "int8",
    "uint16",
    "int16",
    "uint32",
    "int32",
    "uint64",
    "int64",
    "float16",
    "bfloat16",
    "float32",
    "float64",
    "complex64",
    "complex128",
]


def product(x: np.dtype | str, y: np.dtype | str, preferred: Any = None) -> Any:
    left, right = cnp.asarray(X).astype(x), cnp.asarray(Y).astype(y)
    return lax.dot_general(left, right, (((1,), (0,)), ((), ())), preferred_element_type=preferred)


@pytest.mark.parametrize("x", RANKS)
def test_two_dtypes(x: str) -> None:
    for y in RANKS:
        left, right = X.astype(dtypes.as_dtype(x)), Y.astype(dtypes.as_dtype(y))
        wide = np.dtype(bool) if x == y == "bool" else np.dtype("complex128")
        wanted = (left.astype(wide) @ right.astype(wide)).astype("complex128")
        found = product(x, y)
        assert found.dtype == dtypes.as_dtype(max(x, y, key=RANKS.index)), (x, y)
        np.testing.assert_array_equal(np.asarray(found).astype("complex128"), wanted)


@pytest.mark.parametrize("preferred", WIDER, ids=lambda d: d.name)
def test_preferred_dtypes(preferred: np.dtype) -> None:
    for x in ("bool", "int8", "uint16", "int32", "float16", "bfloat16", "float32", "complex64"):
        left = X.astype(dtypes.as_dtype(x)).astype("complex128")
        if x == "complex64" and not dtypes.is_complex(preferred):
            continue
        found = product(x, x, preferred)
        assert found.dtype == preferred
        right = Y.astype(dtypes.as_dtype(x)).astype("complex128")
        np.testing.assert_array_equal(np.asarray(found).astype("complex128"), left @ right)


REFUSED = [
    ("int32", "int8"),
    ("int64", "float32"),
    ("int8", "bool"),
    ("complex64", "float64"),
    ("complex128", "complex64"),
]


@pytest.mark.parametrize(("x", "preferred"), REFUSED)
def test_what_drops_bits_is_refused(x: str, preferred: str) -> None:
    with pytest.raises(
        TypeError, match=rf"preferred_element_type={preferred}.*holds less than {x}"
    ):
        product(x, x, preferred)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "dot": cnp.dot,
    "matmul": cnp.matmul,
    "inner": cnp.inner,
    "tensordot": cnp.tensordot,
    "vecdot": cnp.vecdot,
    "vdot": cnp.vdot,
    "einsum": lambda x, y, **how: cnp.einsum("ij,jk", x, y, **how),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_of_numpy(name: str) -> None:
    x = cnp.asarray(X).astype("int8")
    plain = FUNCTIONS[name](x, x)
    for preferred in ("int32", "float32"):
        found = FUNCTIONS[name](x, x, preferred_element_type=preferred, precision="highest")
        assert found.dtype == preferred
        np.testing.assert_array_equal(found, plain)
    with pytest.raises(ValueError, match=f"{name}: 'exact' is not a precision"):
        FUNCTIONS[name](x, x, precision="exact")
