"""A call on NumPy's arrays and on ours: whether values, shapes and dtypes are the same."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import covector.numpy as cnp
from covector._engine.types import dtypes

Call = Callable[..., Any]

# NumPy computes on 16-bit floats in 32 bits, as ours do inside; and knows no bfloat16.
WIDE = {"float16": np.dtype("float32"), "bfloat16": np.dtype("float32")}
DIGITS = {
    "float16": 2e-3, "bfloat16": 2e-2, "float32": 2e-5, "complex64": 5e-5, "float64": 1e-12, "complex128": 1e-12,
}  # fmt: skip
REFUSALS = (
    TypeError, ValueError, IndexError, NotImplementedError, OverflowError, AttributeError, ZeroDivisionError,
)  # fmt: skip


class Difference(AssertionError):
    """Ours gives something else than NumPy."""


def outcome(call: Call, module: Any, operands: list[Any]) -> Any:
    """The result, or the exception."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            return call(module, *operands)
        except REFUSALS as error:
            return error


def compare(call: Call, operands: list[np.ndarray], any_dtype: bool, accepts: bool) -> bool:
    """Whether both gave a result; Difference if these differ, or if only NumPy refuses and ours does not `accept` more.

    That only ours refuses is no difference: it says so.
    """
    got = outcome(call, cnp, [cnp.asarray(x) for x in operands])
    if isinstance(got, Exception):
        return False
    differences: list[Difference] = []
    for right, operand in references(call, operands, got):
        if not isinstance(right, Exception):
            try:
                same(got, right, operand, any_dtype)
            except Difference as difference:
                differences.append(difference)
                continue
            return True
        if not differences:
            if accepts:
                return False
            raise Difference(f"no error, but NumPy says: {right}")
    raise differences[0]


def references(call: Call, operands: list[np.ndarray], got: Any) -> Iterator[tuple[Any, np.dtype]]:
    """What NumPy gives, as closely as it can, and for operands of which dtype; then as ours may round on the way."""
    dtype = operands[0].dtype if operands else np.dtype("float64")
    right = outcome(call, np, [x.astype(WIDE.get(x.dtype.name, x.dtype)) for x in operands])
    if dtype in (np.int8, np.uint8) and np.dtype(np.float16) in dtypes_of(right):
        # NumPy computes functions of bytes in 16 bits, where e^12 is infinite; ours are in 32, as JAX's.
        right = outcome(call, np, [x.astype(f"{dtype.kind}2") for x in operands])
    yield right, dtype
    if dtype.name in WIDE:  # the cube of 0.002 is 0
        yield outcome(call, np, operands), dtype
    elif dtype.kind in "iu" and dtype.itemsize >= 4 and dtypes_of(got) == {np.dtype("float32")}:
        # Integers become float32, which has 24 bits of them: so do NumPy's.
        yield outcome(call, np, [x.astype("float32") for x in operands]), np.dtype("float32")


def dtypes_of(x: Any) -> set[np.dtype | None]:
    """The dtypes in a result; None for what has none."""
    return {getattr(p, "dtype", None) for p in parts(x)}


def parts(x: Any) -> list[Any]:
    """The arrays and other values of a result."""
    return [p for y in x for p in parts(y)] if isinstance(x, list | tuple) else [x]


def same(got: Any, right: Any, operand: np.dtype, any_dtype: bool) -> None:
    """Difference unless the results agree."""
    ours, theirs = parts(got), parts(right)
    if len(ours) != len(theirs):
        raise Difference(f"{len(ours)} results, not {len(theirs)}")
    for x, y in zip(ours, theirs, strict=True):
        if not hasattr(x, "shape"):
            if x != y:
                raise Difference(f"{x}, not {y}")
            continue
        y = np.asarray(y)
        if x.shape != y.shape:
            raise Difference(f"the shape {x.shape}, not {y.shape}")
        if not any_dtype and x.dtype not in allowed(y.dtype, operand):
            raise Difference(f"{x.dtype}, not {y.dtype}")
        check_values(np.asarray(x), y)


def allowed(right: np.dtype, operand: np.dtype) -> set[np.dtype]:
    """The dtypes that ours may have where NumPy's result has this one, for an operand of that one.

    Ours are 32 bits wide where NumPy's integers grow to 64 by themselves, and float32 for those of small integers.
    """
    if operand.name in WIDE:
        narrow = (
            {operand} if right.kind == "f" else {right, np.dtype(right.name.replace("64", "32"))}
        )
        return narrow | ({np.dtype("complex64")} if right.kind == "c" else set())
    if operand.kind == "b" and right == np.int8:
        return {np.dtype(bool), np.dtype("int32")}
    wide = (operand.itemsize == 8 and operand.kind in "iu") or operand in (
        np.float64,
        np.complex128,
    )
    if right.kind in "iu":
        return {right, np.dtype(f"{right.kind}{min(4, right.itemsize)}")}
    if operand.kind in "biu" and right.kind in "fc" and not wide:
        return {np.dtype("float32" if right.kind == "f" else "complex64")}
    if operand.kind in "iu" and right.kind == "f":
        return {right, np.dtype("float32")}
    return {right}


def check_values(x: np.ndarray, y: np.ndarray) -> None:
    """Difference unless the elements agree, as closely as the dtypes have digits."""
    if not dtypes.is_inexact(x.dtype):
        with np.errstate(all="ignore"):
            y = y.astype(x.dtype)
        if not np.array_equal(x, y):
            raise Difference(f"{x.tolist()}, not {y.tolist()}")
        return
    digits = 4 * max(DIGITS[x.dtype.name], DIGITS.get(y.dtype.name, 0))
    with np.errstate(all="ignore"):
        y = y.astype(x.dtype)
        size = np.abs(y.astype(np.complex128))
        for p, q in ((np.real(x), np.real(y)), (np.imag(x), np.imag(y))):
            p, q = np.asarray(p, np.float64), np.asarray(q, np.float64)
            near = np.abs(p - q) <= digits * (np.where(np.isfinite(size), size, 0) + 0.05)
            alike = (p == q) | (np.isnan(p) & np.isnan(q))
            if not np.where(np.isfinite(q), near, alike).all():
                raise Difference(f"{x.tolist()}, not {y.tolist()}")
