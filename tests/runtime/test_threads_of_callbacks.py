"""Callbacks from many threads, which compile and run again: nothing waits forever, and all works afterwards.

Each program runs in a process of its own, with a watchdog that ends it and says where each thread was.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest
from tests.amount import HANGS

PRELUDE = '''
import faulthandler
faulthandler.dump_traceback_later(400, exit=True)
import os, signal, threading, time
import numpy as np
import covector as cv
from covector import lax, numpy as cnp
from covector.experimental import io_callback

def threads(count, f):
    """The results of f(0), f(1), ... in threads, and what they raised, by number."""
    outs, errors = [None] * count, {}
    def run(i):
        try:
            outs[i] = f(i)
        except BaseException as error:
            errors[i] = error
    started = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    [t.start() for t in started]
    [t.join() for t in started]
    return outs, errors

def call(f, shape, *args, dtype=np.float32, **options):
    return cv.pure_callback(f, cv.ShapeDtypeStruct(shape, dtype), *args, **options)

x = np.random.default_rng(0).random((300, 300), np.float32)

@cv.jit
def inner(x):
    return cnp.sum(cnp.sin(x) @ cnp.ones((x.shape[-1],)))

@cv.jit
def outer(x):  # products in the pool, before and in the callback
    return call(lambda v: np.asarray(inner(v @ v.T)), (), x @ x)

want = float(outer(x))
'''

PROGRAMS = {
    "jit in callbacks": """
        found, errors = threads(8, lambda i: [float(outer(x)) for _ in range(5)])
        assert not errors, errors
        assert all(v == want for each in found for v in each), found
    """,
    "the same function in its own callback": """
        @cv.jit
        def factorial(n):
            def host(n):
                return np.int32(1 if n <= 1 else n * int(factorial(n - 1)))
            return call(host, (), n, dtype=np.int32)
        found, errors = threads(6, lambda i: int(factorial(np.int32(6))))
        assert not errors and found == [720] * 6, (found, errors)
    """,
    "functions compiled in callbacks": """
        @cv.jit
        def f(i):
            return call(lambda i: np.asarray(cv.jit(lambda y: y * 2.0 + int(i))(1.0)), (), i)
        found, errors = threads(8, lambda i: float(f(np.int32(i))))
        assert not errors and found == [2.0 + i for i in range(8)], (found, errors)
    """,
    "threads started in a callback": """
        @cv.jit
        def f(x):
            def host(v):
                found, errors = threads(3, lambda i: float(outer(v)))
                assert not errors and len(set(found)) == 1, (found, errors)
                return np.float32(found[0])
            return call(host, (), x)
        found, errors = threads(3, lambda i: float(f(x)))
        assert not errors and found == [want] * 3, (found, errors)
    """,
    "callbacks that wait for each other": """
        events = [threading.Event(), threading.Event()]
        @cv.jit
        def meet(i):
            def host(i):
                events[int(i)].set()
                assert events[1 - int(i)].wait(600)
                return np.int32(i)
            return call(host, (), i, dtype=np.int32)
        found, errors = threads(2, lambda i: int(meet(np.int32(i))))
        assert not errors and found == [0, 1], (found, errors)
    """,
    "one of many raises": """
        def host(x, i):
            if int(i) % 3 == 0:
                raise ValueError(f"number {int(i)}")
            return np.float32(i)
        @cv.jit
        def f(x, i):
            return call(host, (), x @ x, i)
        for _ in range(3):
            found, errors = threads(9, lambda i: float(f(x, np.int32(i))))
            assert sorted(errors) == [0, 3, 6], errors
            for i, error in errors.items():
                assert type(error) is ValueError and str(error) == f"number {i}"
                assert "raised in a pure_callback" in error.__notes__[0]
            assert [v for v in found if v is not None] == [1, 2, 4, 5, 7, 8]
    """,
    "ordered effects": """
        logs = [[] for _ in range(6)]
        @cv.jit
        def f(i):
            def step(c, k):
                io_callback(lambda i, k: logs[int(i)].append(int(k)), None, i, k, ordered=True)
                return c + 1, None
            return lax.scan(step, 0, cnp.arange(20))[0]
        found, errors = threads(6, lambda i: int(f(np.int32(i))))
        assert not errors and found == [20] * 6, (found, errors)
        assert logs == [list(range(20))] * 6
    """,
    "callbacks in a batch of derivatives of a loop": """
        seen = []
        def f(x):
            def step(c, _):
                cv.debug.callback(lambda v: seen.append(float(v)), c)
                v = lax.stop_gradient(c)
                return cnp.sin(c) * call(np.asarray, (), v, vmap_method="sequential"), None
            return lax.scan(step, x, None, length=4)[0]
        g = cv.jit(cv.vmap(cv.grad(f)))
        found, errors = threads(4, lambda i: np.asarray(g(cnp.arange(3.0) + 1)).tolist())
        assert not errors and found == [found[0]] * 4, (found, errors)
        assert len(seen) == 4 * 4 * 3
        slopes = [float(cv.grad(f)(v)) for v in (1.0, 2.0, 3.0)]
        np.testing.assert_allclose(found[0], slopes, rtol=1e-5)
    """,
    "derivatives and batches in callbacks": """
        def host(v):
            return np.asarray(cv.vmap(cv.grad(cnp.sin))(cnp.asarray(v)))
        f = cv.jit(lambda v: call(host, (3,), v))
        found, errors = threads(6, lambda i: np.asarray(f(cnp.arange(3.0))))
        assert not errors, errors
        np.testing.assert_allclose(found, np.cos([[0.0, 1.0, 2.0]] * 6), rtol=1e-6)
    """,
    "an interrupt in a long loop": """
        started, ended, told = threading.Event(), threading.Event(), []
        def host(c):
            started.set()
            time.sleep(0.001)
        @cv.jit
        def f(c):
            def step(c):
                cv.debug.callback(host, c)
                return c + 1
            return lax.while_loop(lambda c: c < 1_000_000, step, c)
        def interrupt():
            started.wait()
            while not ended.wait(5 if ended in told else 0):  # Python drops one that comes at a bad time
                told.append(ended)
                os.kill(os.getpid(), signal.SIGINT)
        threading.Thread(target=interrupt).start()
        try:
            f(0)
        except KeyboardInterrupt:
            ended.set()
        else:
            raise AssertionError("it was not interrupted")
        assert int(f(999_998)) == 1_000_000
    """,
    "a callback that ends the process": """
        def host(v):
            raise SystemExit(3)
        try:
            cv.jit(lambda x: call(host, (), x))(1.0)
        except SystemExit as error:
            assert error.code == 3
        else:
            raise AssertionError("it did not end")
    """,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_threads(name: str) -> None:
    code = PRELUDE + textwrap.dedent(PROGRAMS[name]) + "\nassert float(outer(x)) == want\n"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=HANGS
    )
    assert done.returncode == 0, done.stderr[-4000:]
