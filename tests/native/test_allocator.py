"""The allocator: reuse, limits, threads, statistics."""

import ctypes
import gc
import threading

import numpy as np
import pytest

MIB = 1 << 20


@pytest.fixture
def memory(native):
    """The module with an empty cache, and its limits put back."""
    gc.collect()
    native.synchronize()  # nothing is freed later of what was before
    native.clear_memory_cache()
    limit = native.memory_stats()["cache_limit"]
    yield native
    native.set_memory_limit(0)
    native.set_memory_cache_limit(limit)
    native.clear_memory_cache()


def in_use(native) -> int:
    return native.memory_stats()["bytes_in_use"]


def test_small_blocks_are_reused(memory):
    before = in_use(memory)
    x = memory.empty((100,), "float32")
    assert 400 <= in_use(memory) - before <= 640
    pointer = x.unsafe_buffer_pointer()
    del x
    assert in_use(memory) == before
    assert memory.empty((100,), "float32").unsafe_buffer_pointer() == pointer


@pytest.mark.parametrize("size", [100_000, MIB, 5 * MIB, 40 * MIB])
def test_blocks_are_reused(memory, size):
    before = memory.memory_stats()
    x = memory.empty((size,), "uint8")
    pointer = x.unsafe_buffer_pointer()
    used = in_use(memory) - before["bytes_in_use"]
    assert size <= used <= size * 1.25 + 4096
    del x
    after = memory.memory_stats()
    assert after["bytes_in_use"] == before["bytes_in_use"]
    assert after["bytes_cached"] - before["bytes_cached"] >= size
    slightly_smaller = memory.empty((int(size * 0.99),), "uint8")
    assert slightly_smaller.unsafe_buffer_pointer() == pointer
    del slightly_smaller
    memory.clear_memory_cache()
    assert memory.memory_stats()["bytes_cached"] == 0


def test_every_size_is_usable(memory, rng):
    sizes = [*range(0, 1100, 7), *(int(s) for s in 2 ** rng.uniform(10, 23, 200))]
    arrays = [memory.array_from(np.full(size, size % 251, np.uint8)) for size in sizes]
    for size, array in zip(sizes, arrays, strict=True):
        assert array.tobytes() == bytes([size % 251]) * size


def test_peak(memory):
    memory.reset_peak_memory()
    base = memory.memory_stats()["peak_bytes_in_use"]
    x = memory.empty((8 * MIB,), "uint8")
    del x
    stats = memory.memory_stats()
    assert stats["peak_bytes_in_use"] - base >= 8 * MIB
    assert stats["num_allocs"] > 0
    memory.reset_peak_memory()
    assert memory.memory_stats()["peak_bytes_in_use"] < base + MIB


def test_cache_limit(memory):
    memory.set_memory_cache_limit(10 * MIB)
    arrays = [memory.empty((4 * MIB,), "uint8") for _ in range(4)]
    big = memory.empty((20 * MIB,), "uint8")
    del arrays, big
    assert memory.memory_stats()["bytes_cached"] <= 10 * MIB
    memory.set_memory_cache_limit(0)
    assert memory.memory_stats()["bytes_cached"] == 0
    with pytest.raises(ValueError, match="must not be negative: -1"):
        memory.set_memory_cache_limit(-1)


def test_memory_limit(memory, make):
    x = memory.array_from(np.arange(4, dtype=np.float32))
    memory.set_memory_limit(in_use(memory) + MIB)
    message = r"cannot allocate 4194304 bytes: \d+ bytes are in use and the limit is \d+"
    with pytest.raises(MemoryError, match=message):
        memory.empty((4 * MIB,), "uint8")
    big = make("add_one", outputs=[(11, (4,), False), (5, (4 * MIB,), False)])
    for cost in (0, 1_000_000):
        failing = memory.Executable(big.address, big.inputs, big.outputs, cost_ns=cost)
        with pytest.raises(MemoryError, match=message):
            failing.execute([x], [0])
        assert x.tolist() == [0, 1, 2, 3]
    with pytest.raises(MemoryError, match="scratch memory is 4194304 bytes"):
        make("add_one", arena_bytes=4 * MIB).execute([x])
    (y,) = make("add_one", arena_bytes=4 * MIB, cost_ns=10**6).execute([x])
    with pytest.raises(MemoryError, match="ran out of memory"):
        y.tolist()
    memory.set_memory_limit(0)
    assert memory.empty((4 * MIB,), "uint8").size == 4 * MIB


def test_threads(memory):
    """Blocks freed by other threads than the one that took them are neither lost nor shared."""
    before = in_use(memory)
    errors = []
    shelf: list = []

    def work(seed):
        rng = np.random.default_rng(seed)
        own = []
        for step in range(300):
            size = int(2 ** rng.uniform(0, 16))
            own.append((memory.array_from(np.full(size, step % 256, np.uint8)), step % 256))
            if len(own) > 20:
                shelf.append(own.pop(int(rng.integers(20))))
            if len(shelf) > 10:
                array, value = shelf.pop()
                if set(array.tobytes()) - {value}:
                    errors.append(value)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    shelf.clear()
    assert not errors
    assert in_use(memory) == before


def test_scratch_for_compiled_code(memory):
    symbols = memory.symbols()
    alloc = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_int64)(symbols["cv_alloc"])
    free = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(symbols["cv_free"])
    before = in_use(memory)
    for size in (0, 1, 1000, 100_000, 3 * MIB):
        pointer = alloc(size)
        assert pointer % 64 == 0
        ctypes.memset(pointer, 1, size)
        free(pointer)
    free(None)
    assert alloc(-1) is None
    assert alloc(1 << 60) is None
    assert in_use(memory) == before
