"""Compiled functions that nobody holds leave nothing."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import weakref

import covector as cv
import covector.numpy as cnp
from covector._engine.backends.cpu import link

SCRIPT = """
import gc, covector as cv, covector.numpy as cnp
def memory(): return int(open("/proc/self/statm").read().split()[1]) * 4096
def one(i): cv.block_until_ready(cv.jit(lambda x: x * i + i)(cnp.ones(3)))
for i in range(150): one(i)
gc.collect(); before = memory()
for i in range(150, 550): one(i)
print((memory() - before) / 400)
"""


def test_a_dropped_function_leaves_less_than_two_kilobytes() -> None:
    environment = os.environ | {"COVECTOR_CACHE": "0", "COVECTOR_VERIFY": "0"}
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=True
    )
    assert float(run.stdout) < 2048


def test_a_jitted_function_goes_at_once() -> None:
    """The collector sees little of what machine code takes, so it would come late."""
    function = cv.jit(lambda x: x + 0.4375)
    function(cnp.ones(3))
    gone = weakref.ref(function)
    gc.disable()
    try:
        del function
        assert gone() is None
    finally:
        gc.enable()


def test_a_linker_goes_with_the_last_of_its_objects() -> None:
    code = cv.jit(lambda x: x + 0.375).lower(cnp.ones(3)).compile()._executable.loaded.code
    linker = weakref.ref(code._linker)
    data = link.emit_object("define i32 @entry() {\n  ret i32 7\n}")
    others = [link.load(data) for _ in range(link.SHARE)]  # the linker of `code` is full now
    assert link._linkers.current is not linker()
    assert len({id(other._linker) for other in others}) <= 2
    others = [other for other in others if other._linker is not linker()]
    assert linker() is not None
    del code  # at once, without the collector
    assert linker() is None
    assert all(other.address("entry") for other in others)
