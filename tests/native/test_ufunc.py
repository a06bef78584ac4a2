"""Ufunc: signatures, broadcasting against NumPy, what is left to the fallback, the queue."""

import inspect
import threading
import weakref

import numpy as np
import pytest

CODES = {3: "i32", 4: "i64", 11: "f32", 12: "f64"}
SLOW = 10**6


class Subtract:
    """A ufunc over the kernels of kernels.c, with a record of what it asked for."""

    def __init__(self, native, address, lib, cost=0.5):
        self.native, self.address, self.lib, self.cost = native, address, lib, cost
        self.signatures: list = []
        self.fallbacks: list = []
        self.ufunc = native.Ufunc("subtract", self.fallback, self.compile, 2)

    def compile(self, signature):
        self.signatures.append(signature)
        types = "_".join(CODES.get(code, "none") for code, _, _ in signature)
        kinds = "".join("s" if scalar else "v" for _, _, scalar in signature)
        try:
            found = self.address(f"sub_{types}_{kinds}")
        except AttributeError:
            return None
        out = {"f64": 12, "i64": 4}.get(types.split("_")[0], 11)
        return found, out, all(weak for _, weak, _ in signature), self.cost, self.lib

    def fallback(self, *args, **kwargs):
        self.fallbacks.append((args, kwargs))
        return "fallback"

    def __call__(self, *args):
        return self.ufunc(*args)


@pytest.fixture
def subtract(native, address, lib):
    return lambda cost=0.5: Subtract(native, address, lib, cost)


def array(native, values, dtype="float32", weak=False):
    return native.array_from(np.asarray(values), dtype, weak)


def test_signatures(native, subtract):
    sub = subtract()
    x, y = array(native, [5, 6]), array(native, [1, 2])
    zero = array(native, 7)
    for args, signature, result in (
        ((x, y), ((11, False, False), (11, False, False)), [4, 4]),
        ((x, zero), ((11, False, False), (11, False, True)), [-2, -1]),
        ((zero, x), ((11, False, True), (11, False, False)), [2, 1]),
        ((x, 1), ((11, False, False), (3, True, True)), [4, 5]),
        ((1, x), ((3, True, True), (11, False, False)), [-4, -5]),
        ((x, 0.5), ((11, False, False), (11, True, True)), [4.5, 5.5]),
        ((zero, 1), ((11, False, False), (3, True, True)), 6),
        ((1, zero), ((3, True, False), (11, False, True)), -6),
        ((zero, zero), ((11, False, False), (11, False, True)), 0),
        ((x, array(native, [[3]])), ((11, False, False), (11, False, True)), [[2, 3]]),
    ):
        before = len(sub.signatures)
        assert sub(*args).tolist() == result
        assert sub.signatures[before:] in ([signature], [])
        assert signature in sub.signatures
        assert sub(*args).tolist() == result
    assert len(sub.signatures) == len(set(sub.signatures))
    assert not sub.fallbacks


def test_result_types(native, subtract):
    sub = subtract()
    weak = array(native, 5, weak=True)
    result = sub(weak, 1.0)
    assert (result.weak_type, result.dtype, result.shape) == (True, np.float32, ())
    result = sub(array(native, [5.0]), weak)
    assert (result.weak_type, result.shape) == (False, (1,))


def test_python_numbers_are_as_wide_as_the_arrays(native, subtract):
    sub = subtract()
    x = array(native, [1.0, 2.0], "float64")
    assert sub(x, 0.1).tolist() == [0.9, 1.9]
    assert sub.signatures == [((12, False, False), (12, True, True))]
    assert sub(0.1, x).tolist() == [0.1 - 1, 0.1 - 2]
    assert sub(x, 1).tolist() == [0, 1]
    assert sub(x, 2**40).tolist() == [1 - 2**40, 2 - 2**40]
    assert sub.signatures[2:] == [
        ((12, False, False), (3, True, True)), ((12, False, False), (4, True, True))
    ]  # fmt: skip
    x = array(native, [2**40, 1], "int64")
    assert sub(x, 2**40).tolist() == [0, 1 - 2**40]
    assert sub(x, 1).tolist() == [2**40 - 1, 0]
    assert sub.signatures[4:] == [((4, False, False), (4, True, True))]
    assert sub(x, 2**63) == "fallback"
    assert sub(array(native, [1.0]), 2**31) == "fallback"


def test_what_falls_back(native, subtract):
    sub = subtract()
    x = array(native, [1, 2, 3])
    for args in (
        (x, np.ones(3)), (x, np.float32(1)), (1, 2), (x, "a"), (x, None), (x, [1, 2, 3]), (x,),
        (x, x, x), (), (x, array(native, [1, 2])), (x, True), (x, 1j),
        (x, array(native, [1, 2, 3], "int8")),
    ):  # fmt: skip
        assert sub(*args) == "fallback"
        assert all(a is b for a, b in zip(sub.fallbacks[-1][0], args, strict=True))
        assert sub(*args) == "fallback"
    assert sub.ufunc(x, y=x) == "fallback"
    assert sub.fallbacks[-1][1]["y"] is x
    known = len(sub.signatures)
    assert known == len(set(sub.signatures)) == 3
    native.set_tracing(True)
    assert sub(x, x) == "fallback"
    native.set_tracing(False)
    native.set_fast_paths(False)
    assert sub(x, x) == "fallback"
    native.set_fast_paths(True)
    assert sub(x, x).tolist() == [0, 0, 0]
    x.delete()
    with pytest.raises(RuntimeError, match="has been deleted"):
        sub(x, x)


def test_broadcasting_like_numpy(native, subtract, rng):
    sub = subtract()
    checked = 0
    for _ in range(1500):
        ndim = int(rng.integers(0, 6))
        full = rng.choice([0, 1, 1, 2, 3, 5, 33], ndim, p=[0.04, 0.2, 0.1, 0.2, 0.2, 0.2, 0.06])
        shapes = []
        for _ in range(2):
            shape = np.where(rng.random(ndim) < 0.4, 1, full)
            shapes.append(tuple(int(n) for n in shape[int(rng.integers(0, ndim + 1)) :]))
        a, b = (rng.standard_normal(shape).astype(np.float32) for shape in shapes)
        result = sub(native.array_from(a), native.array_from(b))
        if isinstance(result, str):
            assert (a - b).size > 1024
            continue
        assert result.shape == (a - b).shape
        np.testing.assert_array_equal(np.asarray(result), a - b)
        checked += 1
    assert checked > 1000


@pytest.mark.parametrize("cost", [0.0, 0.5, 1000.0])
def test_long_rows(native, subtract, cost):
    """Rows that are shared among threads, at once and through the queue."""
    sub = subtract(cost)
    a = np.arange(300 * 200, dtype=np.float32).reshape(300, 1, 200)
    b = np.arange(3 * 200, dtype=np.float32).reshape(3, 200)
    c = np.arange(300 * 3, dtype=np.float32).reshape(300, 3, 1)
    x, y, z = map(native.array_from, (a, b, c))
    np.testing.assert_array_equal(np.asarray(sub(x, y)), a - b)
    np.testing.assert_array_equal(np.asarray(sub(x, z)), a - c)
    np.testing.assert_array_equal(np.asarray(sub(z, x)), c - a)
    assert not sub.fallbacks


def test_short_rows_fall_back(native, subtract):
    sub = subtract()
    x, y = native.empty((2000, 2, 3), "float32"), native.empty((2000, 1, 3), "float32")
    assert sub(x, y) == "fallback"
    assert sub(x, native.empty((2, 3), "float32")) == "fallback"
    assert sub(native.empty((10, 2, 3), "float32"), native.empty((3,), "float32")).shape == (
        10,
        2,
        3,
    )


def test_the_queue(native, subtract, make, gate, four):
    sub = subtract(1000.0)
    x = array(native, np.arange(1000))
    y = sub(x, 1)
    assert not y.is_ready() or y.tolist()[0] == -1
    np.testing.assert_array_equal(np.asarray(sub(y, x)), np.full(1000, -1))
    (slow,) = gate.program.execute([four()])
    cheap = subtract(0.0)
    z = cheap(slow, 1)
    assert not z.is_ready()
    gate.open()
    assert z.tolist() == [0, 1, 2, 3]
    native.set_async(False)
    (slow,) = make("add_one_slowly", cost_ns=SLOW).execute([four()])
    assert sub(x, 1).is_ready()
    assert cheap(slow, 1).tolist() == [0, 1, 2, 3]


def test_kernel_errors(native, address, four, make):
    failing = native.Ufunc("bad", len, lambda s: (address("fail_with_7"), 11, False, 0.0, None), 1)
    with pytest.raises(RuntimeError, match="error number 7"):
        failing(four())
    late = native.Ufunc("bad", len, lambda s: (address("fail_with_7"), 11, False, 1e6, None), 1)
    y = late(four())
    with pytest.raises(RuntimeError, match="error number 7"):
        y.tolist()
    native.set_async(False)
    with pytest.raises(RuntimeError, match="error number 7"):
        late(four())
    with pytest.raises(RuntimeError, match="error number 7"):
        native.Ufunc("copy", len, lambda s: (address("add_one"), 11, False, 0.0, None), 1)(y)


def test_compile_misbehaves(native, four):
    def raising(signature):
        raise ZeroDivisionError("inside compile")

    for compile, error, message in (
        (raising, ZeroDivisionError, "inside compile"),
        (lambda s: 3, TypeError, "must return None or a tuple, not int"),
        (lambda s: (1, 2), TypeError, "compile must return"),
        (lambda s: (0, 11, False, 0.0, None), ValueError, "null address"),
        (lambda s: (1, 99, False, 0.0, None), ValueError, "bad dtype code"),
    ):
        for _ in range(2):
            with pytest.raises(error, match=message):
                native.Ufunc("bad", len, compile, 1)(four())
    with pytest.raises(ValueError, match="nin must be 1 to 8, not 9"):
        native.Ufunc("bad", len, len, 9)
    with pytest.raises(TypeError, match="must be callable"):
        native.Ufunc("bad", len, 3, 1)


def test_compile_may_do_anything(native, address, lib, four):
    """Operands deleted while their kernel is compiled give an error, not a crash."""
    x = four()

    def compile(signature):
        x.delete()
        return address("add_one"), 11, False, 0.0, lib

    with pytest.raises(RuntimeError, match="has been deleted"):
        native.Ufunc("bad", len, compile, 1)(x)

    def again(signature):
        if len(depth) < 3:
            depth.append(1)
            ufunc(four())
        return address("add_one"), 11, False, 0.0, lib

    depth: list = []
    ufunc = native.Ufunc("again", len, again, 1)
    assert ufunc(four()).tolist() == [1, 2, 3, 4]


def test_memory(native, subtract):
    sub = subtract()
    x = native.empty((1 << 20, 1), "float32")
    native.set_memory_limit(native.memory_stats()["bytes_in_use"] + (1 << 20))
    try:
        with pytest.raises(MemoryError, match="cannot allocate 4194304 bytes"):
            sub(x, 1).block_until_ready()
    finally:
        native.set_memory_limit(0)
    y = native.empty((1, 1 << 22), "float32")
    with pytest.raises(MemoryError, match="cannot allocate 17592186044416 bytes"):
        sub(x, y)


@pytest.mark.parametrize("count", [1 << 15, 1 << 20])
def test_a_result_that_got_no_memory_gives_none_back(native, subtract, count):
    """It was counted as freed, and the block that it did not have was kept for the next one."""
    sub = subtract()
    x = native.empty((count, 1), "float32")
    sub(x, 1).block_until_ready()
    before = native.memory_stats()["bytes_in_use"]
    native.set_memory_limit(before + 4096)
    try:
        for _ in range(3):
            with pytest.raises(MemoryError, match="cannot allocate"):
                sub(x, 1).block_until_ready()
    finally:
        native.set_memory_limit(0)
    assert abs(native.memory_stats()["bytes_in_use"] - before) < 4096
    assert sub(x, 1).block_until_ready() is not None


def test_looks_like_a_function(native):
    def wanted(x, y):
        """Text."""

    ufunc = native.Ufunc("name", wanted, len, 2)
    assert (ufunc.__name__, ufunc.__doc__, ufunc.__wrapped__) == ("name", "Text.", wanted)
    assert inspect.signature(ufunc) == inspect.signature(wanted)
    assert repr(ufunc) == "<function name of covector>"
    assert ufunc.nin == 2
    ufunc.own = 3
    assert ufunc.own == 3
    assert weakref.ref(ufunc)() is ufunc
    owner = type("Owner", (), {"function": ufunc})()
    assert owner.function is ufunc


def test_threads(native, subtract):
    sub = subtract()
    wrong = []

    def work():
        x = array(native, [5.0, 6.0])
        for i in range(2000):
            if sub(x, float(i)).tolist() != [5.0 - i, 6.0 - i]:
                wrong.append(i)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
