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
    data = link.emit_object("define i32 @entry() {\n  ret i32 7\n}")
    codes = [link.load_by_llvm(data) for _ in range(3 * link.SHARE)]
    middle = codes[link.SHARE + link.SHARE // 2]._linker  # one that is full, and of these alone
    mine = [code for code in codes if code._linker is middle]
    others = [code for code in codes if code._linker is not middle]
    gone = weakref.ref(middle)
    del codes, middle
    assert len(mine) == link.SHARE
    while mine:
        assert gone() is not None
        mine.pop()
    assert gone() is None
    assert all(code.address("entry") for code in others)
