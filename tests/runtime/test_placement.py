"""Where arrays are: attributes of arrays on one device, shardings, and the arrays that are alive."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import covector as cv
import covector.numpy as cnp
from covector.sharding import Sharding, SingleDeviceSharding

DEVICE = cv.devices()[0]


def test_an_array_is_one_shard() -> None:
    x = cnp.ones((2, 3))
    assert x.aval == cv.typeof(x)
    assert x.devices() == {DEVICE}
    assert x.device == DEVICE
    assert (x.is_fully_addressable, x.is_fully_replicated, x.committed) == (True, True, False)
    (shard,) = x.addressable_shards
    assert shard.data is x
    assert (shard.device, shard.replica_id, shard.index) == (DEVICE, 0, (slice(None),) * 2)
    assert [s.data for s in x.global_shards] == [x.addressable_data(0)]
    assert x.addressable_data(-1) is x
    with pytest.raises(IndexError, match="there is one part"):
        x.addressable_data(1)
    assert x.on_device_size_in_bytes() == 24
    assert x.copy_to_host_async() is None
    assert x.block_until_ready() is x
    assert x.is_ready()
    assert (x.weak_type, cnp.asarray(1.0).weak_type) == (False, True)
    x.delete()
    with pytest.raises(RuntimeError, match="deleted"):
        x.copy_to_host_async()


def test_shardings() -> None:
    s = cnp.ones(3).sharding
    assert s == SingleDeviceSharding(DEVICE)
    assert hash(s) == hash(SingleDeviceSharding(DEVICE))
    assert isinstance(s, Sharding)
    assert s.device_set == s.addressable_devices == {DEVICE}
    assert (s.num_devices, s.has_addressable_devices) == (1, True)
    assert s.devices_indices_map((2, 3)) == {DEVICE: (slice(None), slice(None))}
    assert s.addressable_devices_indices_map((4,)) == {DEVICE: (slice(None),)}
    assert s.shard_shape((4, 2)) == (4, 2)
    assert s.is_equivalent_to(cnp.ones(1).sharding, 1)
    assert s.with_memory_kind("device") == s
    assert s.memory_kind == "device"
    with pytest.raises(ValueError, match="no memory of kind"):
        s.with_memory_kind("pinned_host")
    with pytest.raises(ValueError, match="is not a device here"):
        SingleDeviceSharding("tpu")  # type: ignore[arg-type]


def test_traced_values() -> None:
    def f(x: Any) -> Any:
        assert x.sharding == SingleDeviceSharding(DEVICE)
        for name in ("devices", "addressable_data", "copy_to_host_async"):
            with pytest.raises(cv.errors.ConcretizationTypeError):
                getattr(x, name)()
        with pytest.raises(cv.errors.ConcretizationTypeError):
            _ = x.addressable_shards
        return x

    cv.jit(f)(1.0)
    seen: list[Any] = []

    def g(x: Any) -> Any:
        seen.append((x.devices(), x.is_fully_addressable, x.on_device_size_in_bytes()))
        return x * 2

    cv.grad(g)(cnp.float32(1.0))
    assert seen == [({DEVICE}, True, 4)]


def is_live(x: Any) -> bool:
    return any(y is x for y in cv.live_arrays())


class Slotted:
    __slots__ = ("x",)


def test_live_arrays_are_found_wherever_they_are() -> None:
    local = cnp.ones(11)
    assert is_live(local)
    holder = Slotted()
    holder.x = cnp.ones(12)
    nested = ({"a": (cnp.ones(13),)}, [cnp.ones(14)])
    closure = (lambda x: lambda: x)(cnp.ones(15))

    def generate() -> Iterator[int]:
        inside = cnp.ones(16)
        yield 1
        del inside

    paused = generate()
    next(paused)
    begun, done = threading.Event(), threading.Event()

    def wait() -> None:
        elsewhere = cnp.ones(17)
        begun.set()
        done.wait()
        del elsewhere

    thread = threading.Thread(target=wait)
    thread.start()
    begun.wait()
    try:
        found = cv.live_arrays()
        assert {11, 12, 13, 14, 15, 16, 17} <= {x.size for x in found}
        assert len({id(x) for x in found}) == len(found)
    finally:
        done.set()
        thread.join()
    assert cv.live_arrays("cpu")
    assert (len(nested), closure().size) == (2, 15)


def test_live_arrays_that_were_frozen_are_found() -> None:
    """`gc.freeze`, as before a fork, hides objects from the collector, and what they refer to."""
    code = (
        "import gc, covector as cv, covector.numpy as cnp\n"
        "class Holder: pass\n"
        "holder = Holder()\n"
        "holder.kept = [{'x': (cnp.ones(1234),)}]\n"
        "gc.collect(), gc.freeze()\n"
        "later = [cnp.ones(1235)]\n"
        "print({1234, 1235} <= {x.size for x in cv.live_arrays()})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


def test_dropped_and_deleted_arrays_are_not() -> None:
    def sizes() -> set[int]:
        return {x.size for x in cv.live_arrays()}

    x, y = cnp.ones(1234567), cnp.ones(1234568)
    assert {1234567, 1234568} <= sizes()
    x.delete()
    del y
    assert not {1234567, 1234568} & sizes()
    z = cnp.ones(1234569)
    cv.jit(lambda a: a + 1, donate_argnums=0)(z)
    assert 1234569 not in {v.size for v in cv.live_arrays() if v is z}
    with pytest.raises(RuntimeError):
        cv.live_arrays("tpu")


PLACES: dict[str, Any] = {
    "device": DEVICE, "sharding": SingleDeviceSharding(DEVICE), "none": None,
    "tree": (SingleDeviceSharding(DEVICE), {"a": None, "b": DEVICE}),
}  # fmt: skip


@pytest.mark.parametrize("name", PLACES)
def test_where_things_are_is_accepted(name: str) -> None:
    place = PLACES[name]
    f = cv.jit(lambda x: x + 1, in_shardings=place, out_shardings=place)
    assert float(f(1.0)) == 2
    assert float(cv.jit(in_shardings=place)(lambda x: x * 2)(3.0)) == 6
    assert float(cv.device_put(1.0, place)) == 1
    found = cv.pure_callback(lambda x: x, cv.ShapeDtypeStruct((), "float32"), 1.0, sharding=place)
    assert float(found) == 1


@pytest.mark.parametrize("place", ["gpu:0", 3, [DEVICE, "tpu"]])
def test_where_nothing_is(place: Any) -> None:
    where = r"is not a device here, nor a sharding over such \(at test_placement"
    for what in ("in_shardings", "out_shardings", "device"):
        with pytest.raises(ValueError, match=rf"jit: {what}=.*{where}"):
            cv.jit(lambda x: x, **{what: place})
    with pytest.raises(ValueError, match=f"device_put: device=.*{where}"):
        cv.device_put(1.0, place)
