"""The execution queue: order, readiness, errors, limits, fork, exit."""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import warnings
import weakref

import numpy as np
import pytest

MIB = 1 << 20
SLOW = 10**6  # ns: far beyond the threshold of inline runs


def test_small_programs_run_at_once(make, four):
    (y,) = make("add_one").execute([four()])
    assert y.is_ready()
    (y,) = make("add_one", cost_ns=49_999).execute([four()])
    assert y.is_ready()


def test_large_programs_are_futures(gate, four):
    (y,) = gate.program.execute([four()])
    assert not y.is_ready()
    assert (y.shape, y.dtype, y.size) == ((4,), np.dtype("float32"), 4)
    gate.open()
    assert y.block_until_ready() is y
    assert y.is_ready()
    assert y.tolist() == [1, 2, 3, 4]


def test_dependents_wait_their_turn(native, make, gate, four):
    quick = make("add_one")
    (y,) = gate.program.execute([four()])
    (z,) = quick.execute([y])
    assert not z.is_ready()
    del y
    gate.open()
    assert z.tolist() == [2, 3, 4, 5]
    (y,) = make("add_one_slowly", cost_ns=SLOW).execute([four()])
    native.synchronize()
    assert y.is_ready()


def test_order(native, make):
    count = make("count_runs", [(3, ())], [(4, (), False)], cost_ns=SLOW)
    waits = [3000, 0, 1000, 0, 0, 2000, 0]
    runs = [count.execute([native.scalar(wait, "int32")])[0] for wait in waits]
    numbers = [int(run) for run in runs]
    assert numbers == list(range(numbers[0], numbers[0] + len(waits)))


def test_depth_is_bounded(native, make):
    count = make("count_runs", [(3, ())], [(4, (), False)], cost_ns=SLOW)
    wait = native.scalar(1000, "int32")
    runs = [count.execute([wait])[0] for _ in range(150)]
    waiting = sum(not run.is_ready() for run in runs)
    assert waiting <= 67
    numbers = [int(run) for run in runs]
    assert numbers == list(range(numbers[0], numbers[0] + 150))


@pytest.mark.parametrize("read", [np.asarray, lambda y: y.tolist(), memoryview, np.from_dlpack])
def test_errors_surface_where_the_value_is_read(make, four, read):
    failing = make("fail_with_7", cost_ns=SLOW)
    x = four()
    (y,) = failing.execute([x])
    with pytest.raises(RuntimeError, match="error number 7"):
        read(y)
    (z,) = make("add_one").execute([y])
    (w,) = make("add_one_slowly", cost_ns=SLOW).execute([z])
    for dependent in (y, z, w):
        with pytest.raises(RuntimeError, match="error number 7"):
            dependent.block_until_ready()
        assert dependent.is_ready()
    assert x.tolist() == [0, 1, 2, 3]


def test_memory_errors(make, four):
    (y,) = make("run_out_of_memory", cost_ns=SLOW).execute([four()])
    with pytest.raises(MemoryError, match="ran out of memory"):
        y.item(0)
    with pytest.raises(MemoryError, match="ran out of memory"):
        make("run_out_of_memory").execute([four()])


def test_results_get_their_memory_when_they_are_computed(native, make, four):
    big = make("add_one_slowly", outputs=[(11, (4,), False), (5, (4 * MIB,), False)], cost_ns=SLOW)
    native.reset_peak_memory()
    before = native.memory_stats()
    kept = [big.execute([four()])[0] for _ in range(8)]
    assert native.memory_stats()["bytes_in_use"] - before["bytes_in_use"] < 9 * MIB
    native.synchronize()
    assert native.memory_stats()["peak_bytes_in_use"] - before["peak_bytes_in_use"] < 9 * MIB
    assert [y.tolist() for y in kept] == [[1, 2, 3, 4]] * 8


def test_no_room_for_a_result(native, make, four):
    big = make("add_one_slowly", outputs=[(11, (4,), False), (5, (4 * MIB,), False)], cost_ns=SLOW)
    native.synchronize()
    native.set_memory_limit(native.memory_stats()["bytes_in_use"] + 6 * MIB)
    try:
        pairs = [big.execute([four()]) for _ in range(2)]
        assert pairs[0][0].tolist() == [1, 2, 3, 4]
        with pytest.raises(MemoryError, match="cannot allocate 4194304 bytes"):
            pairs[1][1].block_until_ready()
        del pairs
        assert big.execute([four()])[0].tolist() == [1, 2, 3, 4]
    finally:
        native.set_memory_limit(0)


def test_inline_errors(make, four):
    for cost in (0, 20_000):
        with pytest.raises(RuntimeError, match="failed with error number 7"):
            make("fail_with_7", cost_ns=cost).execute([four()])


def test_without_the_queue(native, make, four):
    (y,) = make("add_one_slowly", cost_ns=SLOW).execute([four()])
    (failed,) = make("fail_with_7", cost_ns=SLOW).execute([four()])
    assert native.set_async(False) is True
    (z,) = make("add_one").execute([y])
    assert z.is_ready()
    assert z.tolist() == [2, 3, 4, 5]
    (z,) = make("add_one_slowly", cost_ns=SLOW).execute([four()])
    assert z.is_ready()
    with pytest.raises(RuntimeError, match="error number 7"):
        make("fail_with_7", cost_ns=SLOW).execute([four()])
    with pytest.raises(RuntimeError, match="error number 7"):
        make("add_one").execute([failed])
    assert native.set_async(True) is False


def test_waiting_lets_other_threads_run(gate, four):
    (y,) = gate.program.execute([four()])
    thread = threading.Timer(0.05, gate.open)  # without which the wait has no end
    thread.start()
    assert y.block_until_ready().tolist() == [1, 2, 3, 4]
    thread.join()


def test_runs_without_the_gil(make, four):
    run = make("meet_four", cost_ns=20_000)
    met = []
    threads = [threading.Thread(target=lambda: met.append(run.execute([four()]))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(met) == 4


def test_operands_may_be_dropped_meanwhile(native, gate, four):
    x = four()
    (y,) = gate.program.execute([x])
    (z,) = gate.program.execute([y])
    x.delete()
    y.delete()
    del x, y
    gate.open()
    assert z.tolist() == [2, 3, 4, 5]
    gate.shut()
    (dropped,) = gate.program.execute([four()])
    del dropped
    gate.open()
    native.synchronize()


def test_the_program_lives_while_it_is_queued(native, gate, four):
    class Owner:
        pass

    owner = Owner()
    deaths = []
    watch = weakref.ref(owner, lambda _: deaths.append(1))
    known = gate.program
    run = native.Executable(
        known.address, known.inputs, known.outputs, cost_ns=known.cost_ns, keepalive=owner
    )
    (y,) = run.execute([four()])
    del run, owner
    assert watch() is not None
    gate.open()
    assert y.tolist() == [1, 2, 3, 4]
    native.synchronize()
    assert deaths == [1]


def test_threads_share_the_queue(native, make, four):
    run = make("add_one", cost_ns=SLOW)
    results = []

    def work():
        x = four()
        for _ in range(100):
            (x,) = run.execute([x])
        results.append(x.tolist())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [[100, 101, 102, 103]] * 4


def test_inputs_are_checked(native, make, four):
    run = make("add_one")
    with pytest.raises(TypeError, match="takes 1 arrays, not 2"):
        run.execute([four(), four()])
    with pytest.raises(TypeError, match=r"input 0 must be float32\[4\], not float32\[5\]"):
        run.execute([native.empty((5,), "float32")])
    with pytest.raises(TypeError, match=r"input 0 must be float32\[4\], not int32\[4\]"):
        run.execute([native.empty((4,), "int32")])
    with pytest.raises(TypeError, match=r"input 0 must be an Array, not numpy\.ndarray"):
        run.execute([np.zeros(4, np.float32)])
    with pytest.raises(TypeError, match="takes a list of Arrays"):
        run.execute(3)
    x = four()
    x.delete()
    with pytest.raises(RuntimeError, match="has been deleted"):
        run.execute([x])


def test_executables_are_checked(native, make):
    for options, message in (
        ({"inputs": [(11, (4,), False)]}, "must have 2 parts"),
        ({"outputs": [(11, (4,))]}, "must have 3 parts"),
        ({"inputs": [(99, (4,))]}, "no dtype code 99"),
        ({"outputs": [(11, (-4,), False)]}, "must not be negative|None"),
        ({"arena_bytes": -1}, "arena_bytes must not be negative"),
        ({"aliases": [(1, 0)]}, "existing positions"),
        ({"aliases": [(0,)]}, "existing positions"),
    ):
        with pytest.raises(ValueError, match=message):
            make("add_one", **options)
    with pytest.raises(ValueError, match="address must not be 0"):
        native.Executable(0, [], [])


def test_attributes(make, lib):
    run = make("add_one", [(11, (4, None))], [(11, (None,), True)], arena_bytes=8, cost_ns=9)
    assert run.inputs == [(11, (4, None))]
    assert run.outputs == [(11, (None,), True)]
    assert (run.arena_bytes, run.cost_ns, run.keepalive) == (8, 9, lib)


def test_symbolic(native, make):
    run = make("add_one_symbolic", [(11, (None,))], [(11, (None,), True)])
    for n in (0, 1, 5, 100_000):
        x = native.array_from(np.arange(n, dtype=np.float32))
        for cost in (None, SLOW):
            (y,) = run.execute_symbolic([x], [n], [(n,)], cost_ns=cost)
            np.testing.assert_array_equal(np.asarray(y), np.arange(1, n + 1))
            assert y.weak_type
    with pytest.raises(TypeError, match="execute_symbolic"):
        run.execute([x])
    with pytest.raises(ValueError, match=r"declared float32\[\?\], which float32\[2,2\] does not"):
        run.execute_symbolic([x], [4], [(2, 2)])
    with pytest.raises(TypeError, match="1 outputs; output_shapes has 2"):
        run.execute_symbolic([x], [4], [(4,), (4,)])
    with pytest.raises(TypeError, match=r"input 0 must be float32\[\?\]"):
        run.execute_symbolic([native.empty((2, 2), "float32")], [4], [(4,)])


def test_arena(native, make, four):
    run = make("addresses", outputs=[(4, (3,), False)], arena_bytes=1000)
    for cost in (0, 20_000, SLOW):
        run = make("addresses", outputs=[(4, (3,), False)], arena_bytes=1000, cost_ns=cost)
        (y,) = run.execute([four()])
        assert y.item(2) != 0
        assert y.item(2) % 64 == 0
    (y,) = make("addresses", outputs=[(4, (3,), False)]).execute([four()])
    assert y.item(2) == 0


def test_fork(native, make, four):
    """A child gets a queue and a pool of its own, and keeps the parent's values."""
    slow = make("add_one_slowly", cost_ns=SLOW)
    (y,) = slow.execute([four()])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python warns of forks with threads
        child = os.fork()
    if child == 0:
        good = False
        try:
            (z,) = slow.execute([y])
            good = z.tolist() == [2, 3, 4, 5] and native.empty((10**6,), "int8").size == 10**6
        finally:
            os._exit(0 if good else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    (z,) = slow.execute([y])
    assert z.tolist() == [2, 3, 4, 5]


def test_fork_behind_our_back(gate, four):
    """A fork that Python's hooks do not see loses queued work, and says so."""
    slow = gate.program
    ready = four()
    (y,) = slow.execute([four()])
    (z,) = slow.execute([y])
    child = ctypes.PyDLL(None).fork()
    gate.open()
    if child == 0:
        good = 0
        for lost in (y, z):
            try:
                lost.tolist()
            except RuntimeError as error:
                good += "still being computed when the process forked" in str(error)
        (w,) = slow.execute([ready])
        os._exit(0 if good == 2 and w.tolist() == [1, 2, 3, 4] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert z.tolist() == [2, 3, 4, 5]


def test_interrupt(gate, four):
    """Ctrl-C ends the wait, not the computation."""
    x = four()
    for _ in range(8):
        (x,) = gate.program.execute([x])
    killer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012
        killer.start()
        x.block_until_ready()
    killer.join()
    assert not x.is_ready()
    gate.open()
    assert x.tolist() == [8, 9, 10, 11]


EXIT_SCRIPT = """
import ctypes, sys
import numpy as np
import covector._engine._native as native
sys.path.insert(0, sys.argv[2])
from conftest import DTYPES
native.register_dtypes(DTYPES)
lib = ctypes.CDLL(sys.argv[1])
address = ctypes.cast(lib.add_one_slowly, ctypes.c_void_p).value
run = native.Executable(address, [(11, (4,))], [(11, (4,), False)], 0, 10**6, lib)
x = native.array_from(np.zeros(4, np.float32))
for _ in range(3):
    (x,) = run.execute([x])
print("queued")
"""


def test_exit_with_queued_work(lib):
    here = os.path.dirname(__file__)
    done = subprocess.run(
        [
            sys.executable,
            *(["-S"] if sys.flags.no_site else []),
            "-c",
            EXIT_SCRIPT,
            lib._name,
            here,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "queued\n", "")
