"""JitFunction as a Python object: construction, attributes, garbage collection, threads."""

import gc
import inspect
import threading
import weakref

import pytest


def test_construction(native):
    with pytest.raises(TypeError, match="miss and bypass must be callable"):
        native.Calls(len, 3)
    with pytest.raises(TypeError, match="argument names must be str, not 3"):
        native.Calls(len, len, static_argnames=[3])
    with pytest.raises(TypeError):
        native.Calls(len, len, static_argnums="a")
    with pytest.raises(TypeError):
        native.Calls()
    for fun, calls in ((len, len), (3, native.Calls(len, len))):
        with pytest.raises(TypeError, match="needs something callable and its Calls"):
            native.JitFunction(fun, calls)
    with pytest.raises(TypeError):
        native.JitFunction()


def test_looks_like_a_function(native):
    def fun(a, b=1):
        """Text."""

    jit = native.JitFunction(fun, native.Calls(len, len))
    assert jit.__wrapped__ is fun
    assert inspect.signature(jit) == inspect.signature(fun)
    assert repr(jit) == f"<compiled {fun!r}>"
    jit.__doc__ = fun.__doc__
    jit.own = 3
    assert (jit.__doc__, jit.own) == ("Text.", 3)
    assert weakref.ref(jit)() is jit

    calls = []

    def bypass(args, kwargs):
        calls.append((args, kwargs))
        return "bypassed"

    method = native.JitFunction(fun, native.Calls(bypass, bypass))
    Owner = type("Owner", (), {"method": method})
    assert Owner.method is method
    owner = Owner()
    assert owner.method.__self__ is owner
    assert owner.method(1) == "bypassed"
    assert calls == [((owner, 1), {})]


def test_cycles_are_collected(native, make):
    def build():
        def fun(x):
            return jit(x)

        run = make("copy_float", [(11, ())], [(11, (), False)])
        entry = native.Entry(run, [0], [], ("custom", lambda c: (fun, c), [("leaf", 0)]))
        jit = native.JitFunction(fun, native.Calls(lambda a, k: entry, len))
        jit(1.0)
        return weakref.ref(jit)

    ref = build()
    gc.collect()
    assert ref() is None


def test_threads(native, make):
    run = make("copy_float", [(11, ())], [(11, (), False)])
    misses = []

    def miss(args, kwargs):
        misses.append(args)
        return native.Entry(run, [0], [], ("leaf", 0))

    jit = native.JitFunction(len, native.Calls(miss, len, static_argnums=1))
    wrong = []

    def work(seed):
        for i in range(2000):
            if jit(float(i), (seed * 7 + i) % 50).item() != i:
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert jit.calls.size() == 50
    assert 50 <= len(misses) <= 200
