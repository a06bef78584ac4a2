"""The methods and properties of JAX's arrays are those of arrays, tracers and keys, in jit as outside."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import covector as cv
from covector import numpy as cnp, random

X = cnp.array([[3, 1, 2], [6, 5, 4]], "int32")

# What JAX's arrays, tracers and keys have; of its keys, what is no abstract method.
ALL = """T addressable_data addressable_shards all any argmax argmin argpartition argsort astype at aval
    block_until_ready byteswap choose clip committed compress conj conjugate copy copy_to_host_async
    cumprod cumsum delete device devices diagonal dot dtype flat flatten format global_shards imag is_deleted
    is_fully_addressable is_fully_replicated is_ready item itemsize mT max mean min nbytes ndim nonzero
    on_device_size_in_bytes prod ptp ravel real repeat reshape round searchsorted shape sharding size
    sort squeeze std sum swapaxes take to_device tobytes tolist trace transpose unsafe_buffer_pointer
    var view weak_type""".split()  # noqa: SIM905 -- easier to read
DUNDERS = """abs add and array array_namespace bool complex contains copy deepcopy divmod dlpack dlpack_device eq float
    floordiv ge getitem gt index int invert iter le len lshift lt matmul mod mul ne neg or pos pow radd rand rdivmod
    reduce rfloordiv rlshift rmatmul rmod rmul ror round rpow rrshift rshift rsub rtruediv rxor setitem sub truediv
    xor""".split()  # noqa: SIM905
OF_KEYS = """T addressable_data addressable_shards at block_until_ready clone committed copy copy_to_host_async delete
    device devices dtype flat flatten global_shards is_deleted is_fully_addressable is_fully_replicated is_ready
    itemsize nbytes ndim on_device_size_in_bytes ravel reshape shape sharding size squeeze swapaxes take transpose
    unsafe_buffer_pointer __copy__ __deepcopy__ __eq__ __ne__ __getitem__ __iter__ __len__""".split()  # noqa: SIM905


def names_in(transform: Callable[[Callable[..., Any]], Any], x: Any) -> list[str]:
    """What `dir` says of the argument that a transformed function gets."""
    found: list[str] = []

    def f(tracer: Any) -> Any:
        found.extend(dir(tracer))
        return cnp.sum(tracer)

    transform(f)(x)
    return found


@pytest.mark.parametrize("transform", [cv.jit, cv.vmap, cv.grad, None])
def test_names_of_arrays(transform: Any) -> None:
    x = cnp.ones((2, 3))
    found = dir(x) if transform is None else names_in(transform, x)
    wanted = [*ALL, *[f"__{n}__" for n in DUNDERS]]
    assert sorted({*wanted} - {*found}) == []


def test_names_of_keys() -> None:
    keys = random.split(random.key(0), (2, 3))
    assert sorted({*OF_KEYS} - {*dir(keys)}) == []
    for twin in (copy.copy(keys), copy.deepcopy(keys)):
        assert bool(cnp.all(twin == keys))
    assert [bool(k == keys[i // 3, i % 3]) for i, k in enumerate(keys.flat)] == [True] * 6


CALLS: dict[str, Callable[[Any], Any]] = {
    **{
        n: lambda x, n=n: getattr(x, n)()
        for n in """all any argmax argmin argsort byteswap conj conjugate copy cumprod cumsum diagonal flatten max
        mean min prod ravel round squeeze std sum trace transpose var view""".split()  # noqa: SIM905
    },
    **{n: lambda x, n=n: getattr(x, n) for n in ("T", "mT", "flat", "real", "imag")},
    "argpartition": lambda x: x.argpartition(1),
    "astype": lambda x: x.astype("float32"),
    "choose": lambda x: (x[0] % 2).choose([x[1], x[0]]),
    "dot": lambda x: x.dot(x.T),
    "nonzero": lambda x: (x > 2).reshape(-1).argsort(stable=True),
    "repeat": lambda x: x.repeat(2, axis=0),
    "reshape": lambda x: x.reshape(3, 2),
    "searchsorted": lambda x: x[0].cumsum().searchsorted(x[1]),
    "swapaxes": lambda x: x.swapaxes(0, 1),
    "take": lambda x: x.take(np.array([4, 0])),
    "index of flat": lambda x: x.flat[4],
}


@pytest.mark.parametrize("name", CALLS)
def test_methods(name: str) -> None:
    call = CALLS[name]
    wanted = np.asarray(
        call(np.asarray(X)) if name not in ("clip", "flat", "index of flat") else call(X)
    )
    for f in (call, cv.jit(call)):
        np.testing.assert_allclose(np.asarray(f(X)), wanted, rtol=1e-6)


WIDTHS = ("bool", "int8", "uint16", "int32", "float16", "float32", "complex64")


@pytest.mark.parametrize("old", WIDTHS)
def test_view_across_widths(old: str) -> None:
    """The bytes are those of NumPy; a byte that is not 0 counts as true."""
    given = (np.arange(16).reshape(2, 8) % 7).astype(old)
    for new in WIDTHS:
        wanted = given.view("uint8" if new == "bool" else new)
        wanted = wanted != 0 if new == "bool" else wanted
        for f in (lambda x, new=new: x.view(new), cv.jit(lambda x, new=new: x.view(new))):
            found = f(cnp.asarray(given))
            assert found.dtype == wanted.dtype
            assert found.shape == wanted.shape
            bits = np.ascontiguousarray(wanted).view("uint8")
            np.testing.assert_array_equal(np.asarray(found).view("uint8"), bits)


@pytest.mark.parametrize(
    ("x", "dtype", "why"),
    [
        (cnp.ones(3, "uint8"), "int32", "3 times 8 bits"),
        (cnp.int32(3), "uint8", "without an axis"),
    ],
)
def test_views_that_do_not_fit(x: Any, dtype: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        x.view(dtype)
