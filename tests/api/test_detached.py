"""No derivative is lost in silence: what leaves the traces raises, or has none."""

from __future__ import annotations

import array
import ctypes
import math
import operator
import pickle
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import covector as cv
import covector.numpy as cnp
from covector import errors, lax, random

V = cnp.arange(1.0, 3.0)

# What takes a value out of the traces; each a function of a vector to a scalar.
WAYS: dict[str, Callable[[Any], Any]] = {
    "float": lambda v: float(v[0]) * v[0], "int": lambda v: int(v[0]) * v[0], "complex": lambda v: complex(v[0]) * v[0],
    "math": lambda v: v[0] * math.sin(v[1]), "round to int": lambda v: v[0] * math.floor(v[1]),
    "item": lambda v: v[0].item() * v[0], "tolist": lambda v: (v * v.tolist()[0]).sum(),
    "tobytes": lambda v: v[0] * len(v.tobytes()), "asarray": lambda v: (np.asarray(v) * v).sum(),
    "array": lambda v: (np.array([v[0], v[1]]) * v).sum(), "float32": lambda v: (v * np.float32(v[0])).sum(),
    "dot": lambda v: np.dot(v, v), "concatenate": lambda v: np.concatenate([v, v]).sum() * v[0],
    "linalg": lambda v: v[0] * np.linalg.norm(v), "where": lambda v: np.where(True, v, v).sum() * v[0],
    "reduce": lambda v: np.add.reduce(v), "out": lambda v: np.sin(v, out=np.zeros(2, "f")).sum() * v[0],
    "dlpack": lambda v: np.from_dlpack(v).sum() * v[0], "memoryview": lambda v: memoryview(v)[0] * v[0],
    "ctypes": lambda v: ctypes.c_float(v[0]).value * v[0], "struct": lambda v: len(struct.pack("f", v[0])) * v[0],
    "array.array": lambda v: array.array("f", [v[0]])[0] * v[0], "percent": lambda v: float("%f".__mod__(v[0])) * v[0],
    "device_get": lambda v: (cv.device_get(v) * v).sum(), "index": lambda v: v[operator.index(v[0])],
    "full": lambda v: (np.full(2, v[0]) * v).sum(), "pickle": lambda v: pickle.loads(pickle.dumps(v))[0] * v[0],
    "subscript": lambda v: _subscript(v),
}  # fmt: skip


def _subscript(v: Any) -> Any:
    a = np.zeros(2, "f")
    a[0] = v[0]
    return (a * v).sum()


def _linear(f: Callable[[Any], Any]) -> Any:
    return cv.linearize(f, V)[1](V)


@pytest.mark.parametrize("way", WAYS)
def test_ways_out(way: str) -> None:
    f = WAYS[way]
    for transformed in (
        cv.grad(f), lambda v: cv.jvp(f, (v,), (v,)), lambda v: cv.vjp(f, v), lambda v: _linear(f),
        cv.grad(cv.grad(lambda v: f(v * v[0]))), cv.jit(cv.grad(f)), cv.vmap(lambda s: cv.grad(f)(V * s)),
    ):  # fmt: skip
        with pytest.raises((TypeError, ValueError, struct.error, errors.CovectorError)):
            transformed(V)


def test_what_may_be_asked() -> None:
    """Conditions, text, and what has no derivative."""
    assert cv.grad(lambda x: x * 2 if x > 0 else x * 3)(1.0) == 2
    assert cv.grad(lambda x: x * 2 if x else x * 3)(1.0) == 2
    assert cv.grad(lambda x: x * (3.0 if f"{x:.1f}" == "1.0" else 2.0))(1.0) == 3
    assert cv.grad(lambda x: x * float(lax.stop_gradient(x)))(3.0) == 3
    assert cv.grad(lambda x: x * float(cnp.floor(x)))(3.5) == 3
    assert cv.grad(lambda x: x * int(cnp.argmax(cnp.stack([x, x + 1]))))(3.5) == 1
    assert cv.grad(lambda x, n: x * int(n), argnums=0)(3.5, cnp.int32(2)) == 2
    assert cv.grad(lambda x: x * cnp.nonzero(cnp.stack([x, x]))[0].shape[0])(3.5) == 2
    _, found = cv.grad(lambda x: (x * x, {"x": x}), has_aux=True)(2.0)
    assert float(found["x"]) == 2


# ------------------------------------------------------------------- traced values are arrays


def test_traced_values_are_arrays() -> None:
    seen: list[Any] = []

    def look(x: Any) -> Any:
        seen.append(
            isinstance(x, cv.Array) and isinstance(x, cnp.ndarray) and issubclass(type(x), cv.Array)
        )
        return x

    cv.jit(look)(1.0)
    cv.vmap(look)(V)
    cv.grad(look)(1.0)
    cv.jit(cv.vmap(cv.grad(look)))(V)
    lax.scan(lambda c, x: (look(c), look(x)), 0.0, V)
    cv.linearize(look, 1.0)[1](1.0)
    key = random.key(0)
    look(key)
    cv.vmap(lambda k: (look(k), k)[1])(random.split(key))
    assert len(seen) >= 8
    assert all(seen)
    assert isinstance(V, cv.Array)
    assert type(V) is cv.Array
    for other in (1, 1.0, np.ones(2), [V], None, cv.Array):
        assert not isinstance(other, cv.Array)
    with pytest.raises(TypeError, match="takes a class"):
        cv.Array.register(3)  # type: ignore[arg-type]


# -------------------------------------------------------------------------- NumPy's functions


def ufuncs() -> list[np.ufunc]:
    return sorted(
        {f for f in vars(np).values() if isinstance(f, np.ufunc)}, key=lambda f: f.__name__
    )


@pytest.mark.parametrize("ufunc", ufuncs(), ids=lambda f: f.__name__)
def test_ufuncs(ufunc: np.ufunc) -> None:
    """NumPy's ufuncs take our arrays: what they give is what ours, or NumPy's on the values, give."""
    if ufunc.signature is not None or ufunc.__name__ == "isnat":
        return
    dtype = (
        np.int32
        if "i" in ufunc.types[0].split("->")[0] or "bitwise" in ufunc.__name__
        else np.float32
    )
    if ufunc.__name__ in ("gcd", "lcm", "left_shift", "right_shift", "invert", "ldexp"):
        dtype = np.int32
    values = [np.array([1, 0, 1], dtype)] * ufunc.nin
    with np.errstate(all="ignore"):
        found, wanted = ufunc(*map(cnp.asarray, values)), ufunc(*values)
    for a, b in zip(*(x if isinstance(x, tuple) else (x,) for x in (found, wanted)), strict=True):
        np.testing.assert_allclose(np.asarray(a, np.float64), np.asarray(b, np.float64), rtol=1e-5)


def test_numpy_beside_ours() -> None:
    a = np.ones(2, "f")
    for x in (
        a + V,
        np.add(a, V),
        V + a,
        np.sin(V),
        np.float64(2) * V,
        a @ cnp.ones((2, 2)),
        a < V,
        a[0] + V,
    ):
        assert type(x) is cv.Array
    b = a
    b += V
    assert b is a
    assert a.tolist() == [2, 3]
    out = np.zeros(2, "f")
    assert np.exp(V, where=np.array([True, False]), out=out) is out
    assert out[1] == 0
    assert np.add.reduce(V) == 3
    assert np.maximum(V, [0, 5]).tolist() == [1, 5]
    np.testing.assert_allclose(V, [1, 2])
    with pytest.raises(TypeError, match="immutable"):
        np.add(a, a, out=V)
    np.testing.assert_allclose(
        cv.grad(lambda v: (np.sin(v) * a).sum())(V), 2 * np.cos([1, 2]) * [1, 1.5], rtol=1e-6
    )
    np.testing.assert_allclose(
        cv.jit(lambda v: np.multiply(a, np.exp(v)))(V), a * np.exp([1, 2]), rtol=1e-6
    )
    with pytest.raises(TypeError):
        np.add(random.key(0), 1)


# ------------------------------------------------------------------------------- odd inputs


def test_masks_are_not_dropped() -> None:
    masked = np.ma.array([1.0, 99.0], mask=[0, 1])
    for use in (
        cnp.asarray, cnp.array, cnp.sum, lambda m: V + m, cv.jit(lambda m: m), cnp.sin,
        cv.grad(lambda m: m.sum()), cv.vmap(lambda m: m), lambda m: cnp.stack([m, m]), lambda m: cnp.asarray([m, m]),
        lambda m: lax.add(V, m), cv.device_put,
    ):  # fmt: skip
        with pytest.raises((TypeError, ValueError)):
            use(masked)
    assert cnp.asarray(masked.filled(0)).tolist() == [1, 0]
    assert (masked + V).mask.tolist() == [False, True]  # NumPy's own addition, which keeps the mask


ODD: dict[str, Any] = {
    "big-endian": np.arange(6, dtype=">f4"), "big-endian int": np.arange(6, dtype=">i8"),
    "read-only": np.broadcast_to(np.float32(2), (6,)), "backwards": np.arange(6, dtype="f")[::-1],
    "one axis of strides 0": np.broadcast_to(np.arange(3, dtype="f"), (2, 3)), "0-d": np.array(2.5, "f"),
    "Fortran": np.asfortranarray(np.arange(6, dtype="f").reshape(2, 3)),
    "matrix": np.arange(6, dtype="f").view(np.matrix),
    "unaligned": np.frombuffer(b"\0" + np.arange(6, dtype="f").tobytes(), "f", offset=1),
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_odd_arrays(name: str) -> None:
    x = ODD[name]
    wanted = np.asarray(x).astype(x.dtype.newbyteorder("="))
    one = np.zeros((), wanted.dtype)
    for f in (
        cnp.asarray, lambda x: x + cnp.zeros((), wanted.dtype), cv.jit(lambda x: x), cv.jit(lambda x: x + one),
        lambda x: lax.add(x, cnp.zeros(x.shape, wanted.dtype)), cnp.ravel,
    ):  # fmt: skip
        np.testing.assert_array_equal(np.ravel(f(x)), np.ravel(wanted))
        assert f(x).dtype == wanted.dtype


@pytest.mark.parametrize("x", [
    np.array([(1, 2.0)], [("a", "i4"), ("b", "f4")]), np.array(["2020-01-01"], "M8[D]"), np.array(["a"]),
    np.array([None]), np.array([1], "m8[s]"), np.array([1], np.longdouble),
], ids=str)  # fmt: skip
def test_arrays_that_are_none(x: Any) -> None:
    for f in (cnp.asarray, lambda x: V + x, cv.jit(lambda x: x), cv.vmap(lambda x: x), cnp.sin):
        with pytest.raises(TypeError):
            f(x)


def test_sizes_that_cannot_be() -> None:
    too_large = (MemoryError, OverflowError, ValueError)
    for make in (
        lambda: cnp.zeros(2**63), lambda: cnp.zeros((2**40, 2**40)), lambda: cnp.tile(V, 2**62),
        lambda: random.normal(random.key(0), (2**62,)), lambda: cnp.ones((2**40, 2**40)).sum(),
        cv.jit(lambda: cnp.ones((2**31, 2**31)).sum()),
    ):  # fmt: skip
        with pytest.raises(too_large):
            make()
    with pytest.raises(MemoryError, match="1099511627776"):
        cnp.zeros((2**40, 2**40))
    for bad in ({"dl_device": 3}, {"max_version": 1}, {"dl_device": (1,)}):
        with pytest.raises(TypeError, match=next(iter(bad))):
            V.__dlpack__(**bad)


def test_the_package_asks_for_the_type() -> None:
    """Tracers and keys are instances of Array too, so inside the package isinstance would not tell them apart."""
    root = Path(cv.__file__).parent
    found = [
        p.name
        for p in root.rglob("*.py")
        if re.search(r"isinstance\([^()]*(?<!covector\.)\bArray\b", p.read_text())
    ]
    assert found == []
