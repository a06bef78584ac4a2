"""Every public method and property of arrays works on traced values too, or says why it cannot."""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
import pytest

import covector as cv
import covector.numpy as cnp
from covector import errors
from covector._engine.core.trace import Tracer

Array = type(cnp.zeros(1))
PUBLIC = sorted(name for name in dir(Array) if not name.startswith("_"))

# What a method is called with; those that are not here, with nothing.
ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "argpartition": (1,),
    "choose": ([np.ones(3), 2.0, 3.0], None, "clip"), "compress": (np.array([True, False, True]), 0),
    "astype": ("float16",), "clip": (-1.0, 1.0), "dot": (np.ones(3, np.float32),), "repeat": (2,),
    "reshape": (3, 3), "searchsorted": (0.5,), "swapaxes": (0, 1), "take": (np.array([0, 2]),),
    "view": ("int32",), "to_device": (cv.devices()[0],), "addressable_data": (0,),
}  # fmt: skip

# What needs the elements, or the memory: not under jit and vmap.
OF_VALUES = {
    "delete", "is_deleted", "is_ready", "item", "nonzero", "tobytes", "tolist", "unsafe_buffer_pointer",
    "addressable_data", "addressable_shards", "committed", "copy_to_host_async", "devices", "format", "global_shards",
    "is_fully_addressable", "is_fully_replicated", "on_device_size_in_bytes", "platform",
}  # fmt: skip
# What gives the elements away: not under grad, where their derivative would be lost.
OF_ELEMENTS = {"item", "tobytes", "tolist"}
FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "float": float, "int": int, "complex": complex, "bool": bool, "operator.index": lambda x: range(3)[x],
    "numpy.asarray": np.asarray, "a formatted text": lambda x: f"{x:.2f}", "hash": hash,
}  # fmt: skip


def operand(name: str) -> Any:
    """A square matrix; integers for `choose`; a vector for `searchsorted`, an array of one element for `item`."""
    values = np.arange(9, dtype=np.float32).reshape(3, 3) / 4 - 1
    if name == "choose":
        return cnp.asarray(np.arange(9, dtype=np.int32).reshape(3, 3) % 3)
    if name == "searchsorted":
        return cnp.asarray(values.ravel())
    return cnp.asarray(values[1, 1] if name == "item" else values)


def use(name: str) -> Callable[[Any], Any]:
    def f(x: Any) -> Any:
        value = getattr(x, name)
        if name == "at":
            return value[0].set(1.0)
        return value(*ARGUMENTS.get(name, ())) if callable(value) else value

    return f


def arrays_of(x: Any) -> list[Any]:
    """The arrays of a result, if it has some."""
    return [v for v in (x if isinstance(x, tuple) else (x,)) if isinstance(v, Array | Tracer)]


def results(f: Callable[[Any], Any], found: list[Any]) -> Callable[[Any], Any]:
    """The function with arrays alone as results; what else it returned is appended to `found`."""

    def g(x: Any) -> Any:
        out = f(x)
        arrays = arrays_of(out)
        if not arrays:
            found.append(out)
        return arrays

    return g


def same(actual: Any, wanted: Any) -> None:
    for a, w in zip(actual, wanted, strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(w), rtol=1e-6)


@pytest.mark.parametrize("name", PUBLIC)
def test_on_a_traced_value_under_jit(name: str) -> None:
    f, x, found = use(name), operand(name), list[Any]()
    if name in OF_VALUES:
        with pytest.raises(errors.ConcretizationTypeError, match=r"test_methods\.py") as caught:
            cv.jit(f)(x)
        assert "traced float32" in str(caught.value)
        return
    same(cv.jit(results(f, found))(x), arrays_of(f(x)))
    assert found == [f(x)] * len(found)


@pytest.mark.parametrize("name", PUBLIC)
def test_under_grad_outside_jit(name: str) -> None:
    """There values are concrete, so all that loses no derivative works."""
    if name in ("delete", "choose"):  # which is of integers
        return
    if name in OF_ELEMENTS:
        with pytest.raises(errors.ConcretizationTypeError, match="stop_gradient"):
            cv.grad(lambda x: (use(name)(x), x.sum())[1])(operand(name))
        return
    f, x, found = use(name), operand(name), list[Any]()

    def loss(x: Any) -> Any:
        found.append(f(x))
        return (x * x).sum()

    cv.grad(loss)(x)
    if name == "unsafe_buffer_pointer":
        return
    if name in ("addressable_shards", "global_shards"):
        same([shard.data for shard in found[0]], [x])
        return
    same(arrays_of(found[0]), arrays_of(f(x))) if not isinstance(found[0], Tracer) else None
    if not arrays_of(found[0]):
        assert found[0] == f(x)


@pytest.mark.parametrize("name", PUBLIC)
def test_under_vmap(name: str) -> None:
    f, x, found = use(name), operand(name), list[Any]()
    batch = cnp.stack([x, x + 1])
    if name in OF_VALUES:
        with pytest.raises(errors.ConcretizationTypeError, match="mapped"):
            cv.vmap(f)(batch)
        return
    outs = cv.vmap(results(f, found))(batch)
    each = [arrays_of(f(element)) for element in batch]
    same(outs, [cnp.stack(list(parts)) for parts in zip(*each, strict=True)])
    assert found == [f(x)] * len(found)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_conversions(name: str) -> None:
    f, x = FUNCTIONS[name], cnp.asarray(1 if name == "operator.index" else 1.5)
    error: Any = TypeError if name == "hash" else errors.ConcretizationTypeError
    for traced, mark in ((cv.jit, "traced"), (cv.vmap, "mapped")):
        with pytest.raises(error) as caught:
            traced(lambda x: f(x) * x)(x if traced is cv.jit else x[None])
        if name != "hash":
            assert mark in str(caught.value)
            assert "test_methods.py" in str(caught.value)
    if name in ("hash", "operator.index"):
        return
    if name not in ("bool", "a formatted text"):
        with pytest.raises(error, match=r"differentiated .*test_methods\.py") as caught:
            cv.grad(lambda x: (f(x), x)[1])(x)
        for way in ("stop_gradient", "has_aux", "debug.print"):
            assert way in str(caught.value)
        return
    found: list[Any] = []
    cv.grad(lambda x: (found.append(f(x)), x)[1])(x)
    np.testing.assert_array_equal(found[0], f(x))


def test_the_trace_of_a_matrix() -> None:
    """`trace` is the method; the interpreter of a traced value has another name."""
    x = operand("trace")
    np.testing.assert_array_equal(cv.grad(lambda x: x.trace() * 2.0)(x), 2 * np.eye(3))
    assert cv.jit(lambda x: x.trace(1))(x) == x.trace(1)


def test_numbers_of_an_array_are_the_native_ones() -> None:
    for name in ("item", "tolist"):
        assert type(Array.__dict__[name]).__name__ == "method_descriptor"
    x = operand("tolist")
    assert x.tolist() == np.asarray(x).tolist()
    assert x.item(4) == x.item(1, 1) == float(x[1, 1])


def test_copies_of_a_traced_value() -> None:
    def f(x: Any) -> Any:
        return copy.copy(x) + copy.deepcopy({"a": x})["a"] + x.copy()

    assert cv.jit(f)(1.0) == 3.0
    assert cv.grad(f)(1.0) == 3.0


def test_methods_of_functions() -> None:
    x = operand("sort")[::-1]
    y = np.asarray(x)
    same([x.sort(), x.argsort(axis=0), x.cumsum(1)], [np.sort(y), np.argsort(y, 0), y.cumsum(1)])
    np.testing.assert_allclose(x.cumprod(0), y.cumprod(0), rtol=1e-6)
    assert x.device == cv.devices()[0]


def test_no_array_is_hashable() -> None:
    """Funsor asks so, before it looks something up by its value or else by its identity."""
    seen: list[Any] = [cnp.ones(2), cv.random.key(0)]

    def keep(x: Any) -> Any:
        seen.append(x)
        return x * 2

    cv.jit(keep)(1.0)
    cv.vmap(keep)(cnp.ones(2))
    cv.grad(keep)(1.0)
    cv.vmap(cv.grad(keep))(cnp.ones(2))
    cv.jit(seen.append)(cv.random.key(0))
    assert len(seen) == 7
    assert not [x for x in seen if isinstance(x, Hashable)]
    for x in seen:
        with pytest.raises(TypeError, match="unhashable type"):
            hash(x)
