"""Ctrl-C ends loops that would go on for ever; the process goes on."""

import textwrap

import pytest
from tests.runtime.test_robustness import HEAD, run as run_script

# `ended(wait)` presses Ctrl-C until `wait` says that what it waits for was stopped; how often that had to be is not
# told, as under load a signal may come before the wait begins. `interrupted(call)` does so until a call has ended.
PRELUDE = """
from covector import errors
from covector._engine import _native
inf = float("inf")
armed, waiting = [], []
def handler(*_):
    if not waiting: return
    waiting.clear()  # none comes while another one is caught
    raise KeyboardInterrupt
signal.signal(signal.SIGINT, handler)

def press():
    while armed:
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGINT)

def pressed(wait, kind):
    armed.append(1)
    thread = threading.Thread(target=press)
    thread.start()
    while armed:
        try:
            try:
                waiting.append(1)
                wait()
                raise AssertionError("it ended by itself")
            except kind:
                armed.clear(), waiting.clear()
        except KeyboardInterrupt:
            pass
    thread.join()

def ended(wait):
    pressed(wait, errors.StoppedError)

def interrupted(call):
    pressed(call, KeyboardInterrupt)

def outlasted(wait):
    def to_the_end():
        wait()
        raise StopIteration
    pressed(to_the_end, StopIteration)

def endless(x): return lax.while_loop(lambda c: c < inf, lambda c: c * 1.0, x)
def goes_on():
    assert float(cv.jit(lambda x: endless(x))(inf)) == inf
    x = cnp.ones((500, 500))
    assert float((x @ x)[3, 4]) == 500
    assert float(cv.jit(lambda x: lax.fori_loop(0, 9, lambda i, c: c + x, 0.))(2.)) == 18
"""


def run(script: str, **options: object) -> str:
    """What the script prints."""
    return run_script(
        PRELUDE + textwrap.dedent(script),
        head=HEAD,
        **options,  # type: ignore[arg-type]
    )


LOOPS = {
    "a number": "cv.jit(endless)(x)",
    "not compiled": "endless(x)",
    "an array": "cv.jit(lambda x: lax.while_loop(lambda y: y[0] < inf, cnp.sin, cnp.ones(9) * x))(x)",
    "lanes": "cv.jit(cv.vmap(endless))(cnp.ones(9))",
    "lanes on threads": "cv.jit(cv.vmap(endless))(cnp.ones(300_000))",
    "lanes, not compiled": "cv.vmap(endless)(cnp.ones(9))",
    "in a branch": "cv.jit(lambda x: lax.cond(x > 0, endless, lambda x: x, x))(x)",
    "a branch inside": "cv.jit(lambda x: lax.while_loop(lambda c: c < inf, lambda c: lax.cond(c > 3, cnp.sin, "
    "cnp.cos, c), x))(x)",
    "in a scan": "cv.jit(lambda x: lax.scan(lambda c, y: (endless(c) + y, c), x, cnp.ones(7))[0])(x)",
    "in a loop": "cv.jit(lambda x: lax.while_loop(lambda c: c < 5, endless, x))(x)",
    "of a loop": "cv.jit(lambda x: lax.while_loop(lambda c: c < inf, lambda c: lax.while_loop(lambda d: d > 1, "
    "lambda d: d / 2, c + 1), x))(x)",
    "of products": "cv.jit(lambda x: lax.while_loop(lambda m: m[0, 0] < inf, lambda m: m @ m * .01, "
    "cnp.ones((100, 100)) * x))(x)",
    "its derivative": "cv.jit(lambda x: cv.jvp(endless, (x,), (x,))[1])(x)",
    "a long one with an end": "cv.jit(lambda x: lax.fori_loop(0, 10**15, lambda i, c: cnp.sin(c) + i, x))(x)",
    "a long scan": "cv.jit(lambda x: lax.scan(lambda c, _: (cnp.sin(c), None), x, None, 2**60)[0])(x)",
    "one of nine": "cv.jit(lambda *xs: [endless(x) for x in xs])(*[x + n for n in range(9)])[0]",
}


@pytest.mark.parametrize("loop", LOOPS.values(), ids=LOOPS)
def test_a_loop_without_an_end_is_stopped(loop: str) -> None:
    """The wait for it ends, then the loop; what reads its result is told, and all else works as before."""
    run(f"""
        x = cnp.float32(1)
        goes_on()
        _native.synchronize()
        before = _native.memory_stats()["bytes_in_use"]
        y = {loop}
        z = y + 1
        ended(y.block_until_ready)
        for late in (y, z):
            raises(errors.StoppedError, late.block_until_ready, "Ctrl-C", "while_loop")
        goes_on()
        del y, z, late
        _native.synchronize()
        assert _native.memory_stats()["bytes_in_use"] - before < 4096
    """)


def test_a_loop_that_ended_soon_before() -> None:
    """It runs on the thread of its caller, which hears Ctrl-C itself; so do several threads that run its lanes."""
    run("""
        def halve(x): return lax.while_loop(lambda c: c < 100, lambda c: c * 2, x)
        one, lanes = cv.jit(halve), cv.jit(cv.vmap(halve))
        for f, good, bad in (one, 1., 0.), (lanes, cnp.ones(99), cnp.zeros(99)):
            for _ in range(3): f(good).block_until_ready()
            assert f(good).is_ready()
            interrupted(lambda: f(bad).block_until_ready())
            assert cnp.all(f(good) == 128)
        with cv.disable_jit(False):
            previous = _native.set_async(False)
            big = cv.jit(cv.vmap(halve))
            # Of the last piece, which another thread may run: the caller has nothing to do but wait for it.
            interrupted(lambda: big(cnp.ones(300_000).at[-1].set(0)))
            interrupted(lambda: big(cnp.ones(300_000).at[0].set(0)))
            assert cnp.all(big(cnp.ones(300_000)) == 128)
            _native.set_async(previous)
        goes_on()
    """)


def test_a_loop_that_calls_back() -> None:
    run("""
        def called(x):
            return x
        def body(c): return cv.pure_callback(called, cv.ShapeDtypeStruct((), cnp.float32), c)
        f = cv.jit(lambda x: lax.while_loop(lambda c: c < inf, body, x))
        interrupted(lambda: f(cnp.float32(1)))
        assert float(f(cnp.float32(inf))) == inf
        goes_on()
    """)


def test_what_another_thread_queued_goes_on() -> None:
    """A wait behind the work of another thread ends, and the work does not; a wait for its result stops it."""
    run("""
        made, go = [], threading.Event()
        def other():
            made.append(cv.jit(endless)(cnp.float32(1)))
            go.set()
        threading.Thread(target=other).start()
        go.wait()
        y = cv.jit(endless)(cnp.float32(inf))
        interrupted(y.block_until_ready)  # it stands behind that
        interrupted(_native.synchronize)
        time.sleep(1.5)
        assert not made[0].is_ready() and not y.is_ready()
        ended(made[0].block_until_ready)
        assert float(y) == inf  # it was asked to stop, but ended soon
        goes_on()
    """)


def test_threads_that_wait() -> None:
    """One waits for what is stopped, and is told; another one for what comes after, and gets it."""
    run("""
        f = cv.jit(endless)
        y, z = f(cnp.float32(1)), cnp.ones((500, 500)) @ cnp.ones((500, 500))
        told = []
        def wait(v):
            try: told.append(float(v.reshape(-1)[0]))
            except errors.StoppedError: told.append("stopped")
        threads = [threading.Thread(target=wait, args=(v,)) for v in (y, z)]
        for t in threads: t.start()
        ended(y.block_until_ready)
        for t in threads: t.join()
        assert sorted(map(str, told)) == ["500.0", "stopped"], told
        goes_on()
    """)


def test_what_stands_before() -> None:
    """A thread that waits for something else than its own endless loop gets rid of that, too, and of all of them."""
    run("""
        f = cv.jit(endless)
        lost = [f(cnp.float32(n)) for n in range(1, 30)]
        y = cnp.ones((500, 500)) @ cnp.ones((500, 500))
        outlasted(y.block_until_ready)
        for late in lost: raises(errors.StoppedError, late.block_until_ready)
        assert float(y[0, 0]) == 500
        goes_on()
    """)


def test_what_ends_soon_is_finished() -> None:
    """A loop whose turn comes only after Ctrl-C is not lost, nor what was donated to it."""
    run("""
        slow = cv.jit(lambda x: lax.fori_loop(0, 10**8, lambda i, y: cnp.sin(y) + y * .5, x))
        short = cv.jit(lambda s, x: s + lax.while_loop(lambda c: c < 100, lambda c: c * 2 + 1, x * 0), donate_argnums=0)
        slow.lower(1.0).compile()
        short.lower(cnp.ones(5000), 1.0).compile()
        y = short(cnp.ones(5000), slow(1.0))
        interrupted(y.block_until_ready)
        assert np.asarray(y).tolist() == [128.0] * 5000
    """)


def test_a_full_queue() -> None:
    """A call that waits for room is interrupted: what it waits for is stopped."""
    run("""
        f = cv.jit(endless)
        many = []
        def push():
            while True: many.append(f(cnp.float32(1)))
        while len(many) <= 60: interrupted(push)  # the first time it may be while it is compiled
        ended(many[0].block_until_ready)
        for late in many: raises(errors.StoppedError, late.block_until_ready)
        goes_on()
    """)


@pytest.mark.parametrize(
    "ending",
    [
        "",
        "sys.exit(0)",
        "raise SystemExit(0)",
        "y = cv.jit(endless)(2.0) + cv.jit(cv.vmap(endless))(cnp.ones(300_000))",
        "threading.Thread(target=lambda: float(y), daemon=True).start(); time.sleep(0.3)",
    ],
)
def test_exit_with_an_endless_loop(ending: str) -> None:
    run(f"""
        y = cv.jit(endless)(1.0)
        {ending}
    """)


def test_exit_while_it_runs_on_threads_of_ours_and_of_a_caller() -> None:
    run("""
        f = cv.jit(lambda x: lax.while_loop(lambda c: c < 100, lambda c: c * 2, x))
        for _ in range(3): f(1.0).block_until_ready()
        threading.Thread(target=lambda: f(0.0), daemon=True).start()
        time.sleep(0.3)
    """)


def test_fork_with_an_endless_loop() -> None:
    """A fork waits for it until Ctrl-C, and goes on; the child has none of it, and works; the parent's is stopped."""
    run("""
        f = cv.jit(endless)
        y = f(cnp.float32(1))
        for pressing in armed, waiting:
            os.register_at_fork(after_in_parent=pressing.clear, after_in_child=pressing.clear)
        thread = threading.Thread(target=press)
        armed.append(1)
        thread.start()
        while armed:
            try:
                waiting.append(1)
                child = os.fork()
            except KeyboardInterrupt: pass  # before it began
        if child == 0:
            raises(RuntimeError, y.block_until_ready, "forked")
            goes_on()
            z = f(cnp.float32(1))
            ended(z.block_until_ready)
            goes_on()
            os._exit(7)
        thread.join()
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        ended(y.block_until_ready)
        goes_on()
    """)


def test_code_from_the_disk(tmp_path: object) -> None:
    """What was compiled by another process is stopped, too."""
    for _ in range(2):
        run(
            """
            ended(cv.jit(endless)(cnp.float32(1)).block_until_ready)
            goes_on()
            """,
            COVECTOR_CACHE_DIR=str(tmp_path),
        )
