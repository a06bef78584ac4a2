"""What must never crash, hang or lose a value: threads, forks, signals, exits, memory limits.

Each case is a process of its own.  Its time limit is for what hangs: nothing else depends on how fast the machine is.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from tests.amount import HANGS

HEAD = """
import ctypes, os, signal, sys, threading, time
import numpy as np
import covector as cv, covector.numpy as cnp
from covector._engine import _native
from covector import lax, random

signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it

calm = threading.Event()  # nothing is to be interrupted any more

def raises(kinds, f, *words):
    try: f()
    except kinds as e:
        calm.set()
        assert all(w in str(e) for w in words), str(e)
        return
    raise AssertionError("no error")

def hold():
    # Nothing in the queue goes on until the event that this returns is set.
    opened = threading.Event()
    entry = ctypes.CFUNCTYPE(ctypes.c_int32, *[ctypes.c_void_p] * 3)(lambda *_: not opened.wait())
    address = ctypes.cast(entry, ctypes.c_void_p).value
    _native.Executable(address, [], [(11, (1,), False)], cost_ns=10**9, keepalive=entry).execute([])
    return opened

def interrupt_soon(seconds=0.3):
    # Until one has come through: Python drops what it raises while the callback of a weak reference runs.
    def press(wait=seconds):
        while not calm.wait(wait):
            os.kill(os.getpid(), signal.SIGINT)
            wait = 5
    threading.Thread(target=press, daemon=True).start()
"""


def run(script: str, *, head: str = HEAD, code: int = 0, seconds: float = HANGS, **env: str) -> str:
    """What the script prints; it must end with this exit code within the time."""
    done = subprocess.run(
        [sys.executable, "-c", head + textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=seconds,
        env={**os.environ, "COVECTOR_VERIFY": "0", **env},
        check=False,
    )
    assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


# ---------------------------------------------------------------------------------------- exit


def test_daemon_threads_at_exit() -> None:
    """Python ends them by unwinding their stacks, which must run neither through ours nor through optree's."""
    printed = run("""
        x = cnp.ones((300, 300))
        def compute():
            while True: float((x @ x)[0, 0])
        def eager():
            while True: (cnp.ones(100_000) + 1).sum()
        def compile():
            i = 0
            while True:
                i += 1
                cv.jit(lambda x: cnp.sin(x) * i)(cnp.ones(3))
        def trace():
            def body(x):
                time.sleep(0.001)
                return x
            while True: cv.jit(lambda x: body(x))(1.0)
        for f in (compute, eager, compile, trace):
            threading.Thread(target=f, daemon=True).start()
        time.sleep(0.4)
    """)
    assert printed == ""


def test_callbacks_in_threads_forks_and_at_exit() -> None:
    """They run on their caller's thread: nothing waits for something that waits for it."""
    printed = run("""
        m = cnp.ones((300, 300))
        big = cv.jit(lambda x: x @ x)
        f = cv.jit(lambda x: cv.pure_callback(lambda v: np.asarray(big(m))[0, 0] + np.asarray(v), x, x))
        g = cv.jit(lambda x: cv.pure_callback(lambda v: np.asarray(v).sum(), cnp.float32(0), x @ x))
        def work():
            for _ in range(20): assert float(f(1.0)) == 301 and float(g(m)) == 300.0 ** 3
        threads = [threading.Thread(target=work) for _ in range(4)]
        for t in threads: t.start()
        for t in threads: t.join()

        import warnings
        warnings.simplefilter("ignore", DeprecationWarning)  # Python's, from 3.12, of forks while threads run
        def fork(_):
            pid = os.fork()
            if pid == 0:
                print("child", float(big(m)[0, 0]), float(f(1.0)), flush=True)
                os._exit(0)
            os.waitpid(pid, 0)
        cv.jit(lambda x: cv.debug.callback(fork, x))(1.0)

        def slow(_):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(20)
        raises(KeyboardInterrupt, lambda: cv.jit(lambda x: cv.debug.callback(slow, x))(1.0))
        assert float(f(1.0)) == 301

        def forever():
            while True: f(1.0)
        for _ in range(2): threading.Thread(target=forever, daemon=True).start()
        import atexit
        atexit.register(lambda: print("late", float(f(2.0))))
        time.sleep(0.2)
    """)
    assert printed == "child 300.0 301.0\nlate 302.0\n"


def test_exit_does_not_wait_for_what_nobody_reads() -> None:
    run("""
        f = cv.jit(lambda x: lax.fori_loop(0, 2 * 10**12, lambda i, y: cnp.sin(y) + y * .5, x))
        f(cnp.float32(1))
    """)


def test_exit_without_cleaning_up() -> None:
    run("x = cnp.ones((900, 900)); y = x @ x; os._exit(3)", code=3)
    run("x = cnp.ones((900, 900)); y = x @ x; sys.exit(4)", code=4)


def test_handlers_at_exit() -> None:
    """Those that run after ours compute and compile like any other code; what one raises is printed."""
    head = """
import atexit
def late():
    print((cnp.sin(cnp.ones(3)) > 0).tolist())
atexit.register(late)
"""
    printed = run(
        """
        atexit.register(lambda: print(float(cv.jit(lambda x: x * 3)(cnp.ones(())))))
        atexit.register(lambda: 1 / 0)
        class Last:
            def __del__(self): print(self.x.tolist())
        last = Last()
        last.x = cnp.arange(3) + 1
        """,
        head=head + HEAD,
    )
    assert "3.0" in printed
    assert "[True, True, True]" in printed
    assert "[1, 2, 3]" in printed
    assert "ZeroDivisionError" in printed


# --------------------------------------------------------------------------------------- forks


def test_forks_wait_for_locks_in_any_order() -> None:
    run("""
        from covector._engine.base.locks import COMPILING, guard
        mine = guard(threading.RLock())
        def take(first, second):
            while True:
                with first:
                    time.sleep(0.0005)
                    with second: pass
                time.sleep(0.0005)
        threading.Thread(target=take, args=(mine, COMPILING), daemon=True).start()
        def fork():
            for _ in range(10):
                pid = os.fork()
                if pid == 0:
                    signal.alarm(600)
                    with mine, COMPILING: os._exit(0)
                assert os.waitpid(pid, 0)[1] == 0, "the child hung or died"
            done.append(1)
        done = []
        forking = [threading.Thread(target=fork, daemon=True) for _ in range(2)]
        for t in forking: t.start()
        for t in forking: t.join(600)
        assert len(done) == 2, done
    """)


def test_fork_while_other_threads_compile_and_compute() -> None:
    run("""
        def compile():
            i = 0
            while True:
                i += 1
                cv.jit(lambda x: cnp.sin(x) * i)(cnp.ones(i % 50 + 1))
        a = cnp.ones((300, 300))
        def compute():
            while True: float((a @ a)[0, 0])
        for f in (compile, compute, compute):
            threading.Thread(target=f, daemon=True).start()
        time.sleep(0.3)
        for _ in range(8):
            pid = os.fork()
            if pid == 0:
                signal.alarm(600)
                ok = cv.jit(lambda x: cnp.cos(x) + 1)(cnp.zeros(7)).tolist() == [2.0] * 7
                ok = ok and float((a @ a)[0, 0]) == 300
                os._exit(0 if ok else 1)
            assert os.waitpid(pid, 0)[1] == 0, "the child hung or died"
    """)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_processes(method: str, tmp_path: Path) -> None:
    script = tmp_path / "main.py"
    script.write_text(
        "import multiprocessing\n"
        "import numpy as np, covector as cv, covector.numpy as cnp\n"
        "def work(x):\n"
        "    return cv.jit(lambda x: (x @ x).sum())(x)\n"
        "if __name__ == '__main__':\n"
        "    arrays = [cnp.full((8, 8), n, 'float32') for n in range(4)]\n"
        "    work(arrays[0])\n"
        f"    with multiprocessing.get_context({method!r}).Pool(2) as pool:\n"
        "        assert [float(y) for y in pool.map(work, arrays)] == [0, 512, 2048, 4608]\n"
    )
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=HANGS, check=False
    )
    assert done.returncode == 0, done.stderr


# ------------------------------------------------------------------------------------- signals


def test_interrupt_in_a_long_loop() -> None:
    """Ctrl-C ends the wait, not the computation; what was donated to it is not lost."""
    run("""
        def f(x):
            y = lax.fori_loop(0, 10**7, lambda i, y: cnp.sin(y) + y * .5, x[0])
            return x.at[0].set(y)
        f, x = cv.jit(f, donate_argnums=0), cnp.ones(5000)
        f.lower(x).compile()
        opened = hold()
        y = f(x)
        raises(KeyboardInterrupt, lambda: (interrupt_soon(), y.block_until_ready()))
        assert not y.is_ready()
        opened.set()
        assert np.asarray(y)[1:].tolist() == [1.0] * 4999
    """)


@pytest.mark.parametrize(
    "loop",
    [
        "lax.while_loop(lambda y: y >= 0, lambda y: y * 0.5 + 1, x)",
        "cv.jit(lambda x: lax.while_loop(lambda y: y >= 0, lambda y: y * 0.5 + 1, x))(x)",
        "cv.jit(lambda x: lax.while_loop(lambda y: y[0] >= 0, cnp.sin, cnp.ones(9) * x))(x)",
        "cv.jit(cv.vmap(lambda x: lax.while_loop(lambda y: y >= 0, lambda y: y, x)))(cnp.ones(9))",
    ],
)
def test_a_loop_without_an_end(loop: str) -> None:
    """Its length is not known before: other threads go on beside it, and Ctrl-C ends the wait for it."""
    run(f"""
        x, ticks = cnp.float32(1), []
        def tick():
            for _ in range(4):
                time.sleep(0.05)
                ticks.append(float(cv.jit(lambda x: x + len(ticks))(1.0)))
            interrupt_soon(0)
        thread = threading.Thread(target=tick)
        raises(KeyboardInterrupt, lambda: (thread.start(), ({loop}).block_until_ready()))
        thread.join()
        assert ticks == [1, 2, 3, 4]
        os._exit(0)  # it never ends
    """)


def test_loops_that_ended_soon_run_at_once() -> None:
    """A loop whose last run was short is not handed to another thread; what the system stopped on its way was long."""
    run("""
        f = cv.jit(lambda x: lax.while_loop(lambda y: y < 100, lambda y: y * 2 + 1, x))
        for _ in range(200):
            f(1.0).block_until_ready()
            opened = hold()  # what is handed over is not ready
            ready = f(1.0).is_ready()
            opened.set()
            if ready: break
        else: raise AssertionError("each was handed over")
    """)


def test_interrupt_while_the_queue_is_full() -> None:
    """Nothing is given up for a call that waits for room."""
    run("""
        step = cv.jit(lambda x: (x.sort() + 1), donate_argnums=0)
        x, n = step(cnp.zeros(100_000)), 1
        def interrupt():
            while n < 64: time.sleep(0.01)
            interrupt_soon()
        opened = hold()
        threading.Thread(target=interrupt).start()
        try:
            while True:
                x = step(x)
                n += 1
        except KeyboardInterrupt:
            calm.set()
        opened.set()
        assert n >= 64
        assert float(x[0]) in (n, n + 1)
    """)


def test_interrupts_at_any_time() -> None:
    """While a function is traced, compiled or run: afterwards everything works as before."""
    run("""
        def interrupt(*_): raise KeyboardInterrupt
        signal.signal(signal.SIGALRM, interrupt)
        x = cnp.ones(5)
        hits = 0
        for i in range(40):
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.001 + 0.001 * i)
                for k in range(50):
                    f = cv.jit(cv.grad(lambda x: (cnp.sin(x) * i + k).sum()))
                    f(x)
                    cv.vmap(lambda x: cnp.tanh(x) + i)(x)
            except KeyboardInterrupt:
                hits += 1
            signal.setitimer(signal.ITIMER_REAL, 0)
            assert _native.set_tracing(False) is False
            assert cv.grad(lambda x: x * x)(3.0) == 6.0
            assert cv.jit(lambda x: cnp.cos(x) * 0 + i)(x).tolist() == [i] * 5
        assert hits > 10, hits
    """)


# -------------------------------------------------------------------------------------- memory


@pytest.mark.parametrize("mib", [0, 16, 120])
def test_address_space_that_ends(mib: int) -> None:
    """MemoryError from arrays, products, sorts and the compiler; what there was is still there."""
    run(
        f"""
        import resource
        x = cnp.arange(1000.0)
        y = cv.block_until_ready(x + 1)
        float(y.sum()), float(y[3])
        used = int(open("/proc/self/statm").read().split()[0]) * 4096 + ({mib} << 20)
        resource.setrlimit(resource.RLIMIT_AS, (used, resource.RLIM_INFINITY))
        kept, failures = [], 0
        try:
            while True: kept.append((cnp.zeros(1 << 18) + 1).block_until_ready())
        except MemoryError: failures += 1
        for i in range(30):
            try:
                square = lambda x: x.reshape(10, 100) @ x.reshape(100, 10)
                cv.block_until_ready(cv.jit(lambda x: cnp.sort(x) * i + square(x).sum())(x))
            except MemoryError: failures += 1
        assert failures > 0
        assert float(y[3]) == 4
        del kept
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
        assert float((x + 1).sum()) == float(y.sum()) == 500500
        assert cv.jit(lambda x: cnp.sort(x) + 2)(y)[0] == 3
        """,
        COVECTOR_CACHE="0",
    )


def test_gradients_of_loops_that_find_no_memory() -> None:
    """The states that they keep do not fit: a MemoryError, after which all that there was is still there."""
    run(
        """
        import resource
        def f(x, n, policy):
            step = lambda _, x: cv.ad_checkpoint.checkpoint_name(cnp.sin(x), "v") * 1.1
            loop = lambda x: cv.lax.fori_loop(0, n, step, x)
            return (loop if policy is None else cv.checkpoint(loop, policy=policy))(x).sum()
        policy = cv.checkpoint_policies.save_only_these_names("v")
        for p, size in ((None, 1 << 20), (policy, 1 << 22)):  # what the first gave back is too small for the second
            x = cv.block_until_ready(cnp.ones(size))
            slope = cv.jit(cv.grad(lambda x, n: f(x, n, p)))
            slope.lower(x, 3).compile()
            used = int(open("/proc/self/statm").read().split()[0]) * 4096 + (24 << 20)
            resource.setrlimit(resource.RLIMIT_AS, (used, resource.RLIM_INFINITY))
            raises(MemoryError, lambda: cv.block_until_ready(slope(x, 3)), "")
            assert float(x[7]) == 1
            resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
            assert abs(float(slope(x, 3)[0]) - float(cv.grad(lambda x: f(x, 3, None))(x[:1])[0])) < 1e-5
        """,
        COVECTOR_CACHE="0",
    )


def test_no_more_threads() -> None:
    """A system that gives no threads: the pool is smaller, and calls that need the queue say so."""
    run("""
        import resource
        f = cv.jit(lambda x: cnp.sin(x).sum())
        f.lower(cnp.ones(1 << 20)).compile()
        used = int(open("/proc/self/statm").read().split()[0]) * 4096 + (12 << 20)
        resource.setrlimit(resource.RLIMIT_AS, (used, resource.RLIM_INFINITY))
        try: float(f(cnp.ones(1 << 20)))
        except (MemoryError, RuntimeError): pass
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
        assert abs(float(f(cnp.ones(1 << 20))) / (1 << 20) - np.sin(1)) < 1e-4
    """)


def test_sizes_that_cannot_be() -> None:
    run("""
        refused = (ValueError, MemoryError, OverflowError)
        raises(refused, lambda: cnp.zeros(2**63), "9223372036854775808")
        raises(refused, lambda: cnp.zeros((2**40, 2**40)), "1099511627776")
        raises(refused, lambda: cnp.tile(cnp.ones(3), 2**62))
        raises(refused, lambda: cnp.zeros(2**45))
        raises(refused, lambda: cnp.broadcast_to(1.0, (2**50,)).block_until_ready())
        raises(refused, lambda: random.normal(random.key(0), (2**62,)))
        raises(refused, lambda: cnp.zeros(-1))
        raises(refused, lambda: cnp.zeros((1,) * 65))
        raises(TypeError, lambda: cnp.ones(3).__dlpack__(dl_device=3), "dl_device")
        raises(TypeError, lambda: cnp.ones(3).__dlpack__(max_version=3), "max_version")
        raises(BufferError, lambda: cnp.ones(3).__dlpack__(dl_device=(2, 0)))
    """)


def test_deep_and_circular_pytrees() -> None:
    run("""
        for wrap in (lambda x: [x], lambda x: (x,), lambda x: {"a": x}):
            x = 1.0
            for _ in range(100_000): x = wrap(x)
            for f in (cv.jit(lambda x: 1.0), cv.grad(lambda x: 1.0), cv.vmap(lambda x: x)):
                raises(RecursionError, lambda: f(x))
            raises(RecursionError, lambda: cv.jit(lambda y: x)(1.0))
            raises(RecursionError, lambda: cv.block_until_ready(x))
        loop = []
        loop.append(loop)
        raises(RecursionError, lambda: cv.jit(lambda x: 1.0)(loop))
        raises(RecursionError, lambda: cv.jit(lambda x: loop)(1.0))
        assert cv.jit(lambda x: x + 1)(1.0) == 2
        os._exit(0)  # Python itself takes its time to free such lists
    """)


# ------------------------------------------------------------------------------------- threads


def test_threads_that_share_functions() -> None:
    run("""
        f = cv.jit(lambda x: cnp.sin(x) * 2 + x.sum())
        wrong = []
        def work(seed):
            rng = np.random.default_rng(seed)
            for i in range(30):
                x = rng.standard_normal(1 + (i + seed) % 7).astype("f")
                y = np.asarray(f(x))
                if not np.allclose(y, np.sin(x) * 2 + x.sum(), atol=1e-5): wrong.append(x)
                g = cv.grad(lambda z: (z ** 2 * i).sum())(x)
                if not np.allclose(g, 2 * x * i, atol=1e-5): wrong.append(x)
        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
        for t in threads: t.start()
        for t in threads: t.join()
        assert not wrong
    """)


def test_subinterpreters_are_refused() -> None:
    run(
        """
        try:
            import _interpreters as interpreters
        except ImportError:
            import _xxsubinterpreters as interpreters
        code = "import warnings; warnings.simplefilter('ignore')\\n"
        code += "try: import covector\\nexcept ImportError: pass\\nelse: raise SystemExit"
        interpreters.run_string(interpreters.create(), code)
        os._exit(0)
        """,
        head="import os",
    )


def test_a_refused_subinterpreter_changes_nothing() -> None:
    """What the import there began is not left in the place of what was here."""
    run("""
        try:
            import _interpreters as interpreters
        except ImportError:
            import _xxsubinterpreters as interpreters
        other = interpreters.create()
        for _ in range(2):
            try:
                interpreters.run_string(other, "import covector")
            except Exception:
                pass
        assert cv.jit(lambda x: x * 3 + 2)(cnp.ones(3)).tolist() == [5, 5, 5]
        assert random.normal(random.key(0), (2,)).shape == (2,)
        os._exit(0)
    """)


def test_caches_are_cleared_while_others_compile() -> None:
    run(
        """
        stop = threading.Event()
        def clear():
            while not stop.is_set(): cv.clear_caches()
        thread = threading.Thread(target=clear)
        wrong = []
        def work(seed):
            try:
                for k in range(40):
                    f = cv.jit(lambda x: x * k + seed)
                    if float(f(2.0)) != 2 * k + seed: wrong.append(k)
            except BaseException as error:
                wrong.append(error)
        sys.setswitchinterval(1e-5)
        threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
        for t in (thread, *threads): t.start()
        for t in threads: t.join()
        stop.set()
        thread.join()
        assert not wrong, wrong
    """
    )
