"""The collector of garbage is held back while something compiles, and is as it was afterwards."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from tests.amount import HANGS

import covector
from covector._engine.base.collection import NO_COLLECTION, NO_FULL_COLLECTION


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    assert gc.isenabled()
    yield
    gc.enable()


def fail() -> None:
    with NO_COLLECTION:
        assert not gc.isenabled()
        raise RuntimeError("while it is off")


def test_it_is_back_after_a_compilation_and_after_a_failed_one() -> None:
    covector.jit(lambda x: x * 3 + 1)(2.0)
    assert gc.isenabled()
    with pytest.raises(RuntimeError, match="while it is off"):
        fail()
    assert gc.isenabled()


def test_only_young_garbage_is_looked_for_while_something_is_traced() -> None:
    before, seen = gc.get_threshold(), list[tuple[int, int, int]]()

    def traced(x: float) -> float:
        seen.append(gc.get_threshold())
        assert gc.isenabled()
        return covector.jit(lambda x: seen.append(gc.get_threshold()) or x * 3)(x)

    covector.jit(traced)(2.0)
    assert gc.get_threshold() == before
    assert seen == [(*before[:2], seen[0][2])] * 2
    assert seen[0][2] > 1000 * before[2]


def test_thresholds_that_are_set_inside_stay() -> None:
    before = gc.get_threshold()
    try:
        with NO_FULL_COLLECTION:
            gc.set_threshold(before[0] + 1, before[1])
        assert gc.get_threshold() == (before[0] + 1, *before[1:])
    finally:
        gc.set_threshold(*before)


def test_who_turned_it_off_finds_it_off() -> None:
    gc.disable()
    with NO_COLLECTION:
        pass
    assert not gc.isenabled()


def test_threads_that_compile_side_by_side() -> None:
    inside, leave = threading.Event(), threading.Event()

    def other() -> None:
        with NO_COLLECTION:
            inside.set()
            leave.wait(HANGS)

    thread = threading.Thread(target=other)
    thread.start()
    assert inside.wait(HANGS)
    with NO_COLLECTION:
        pass
    assert not gc.isenabled()
    leave.set()
    thread.join()
    assert gc.isenabled()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_of_fork_collects_though_another_thread_was_compiling() -> None:
    inside, leave = threading.Event(), threading.Event()

    def other() -> None:
        with NO_COLLECTION:
            inside.set()
            leave.wait(HANGS)

    thread = threading.Thread(target=other)
    thread.start()
    assert inside.wait(HANGS)
    child = os.fork()
    if child == 0:
        os._exit(0 if gc.isenabled() else 1)
    _, status = os.waitpid(child, 0)
    leave.set()
    thread.join()
    assert os.waitstatus_to_exitcode(status) == 0


@pytest.mark.parametrize("before", ["gc.enable()", "gc.disable()"])
def test_import_leaves_the_collector_as_it_was(before: str) -> None:
    code = (
        f"import gc; {before}; was = gc.isenabled(); import covector; assert gc.isenabled() == was"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
