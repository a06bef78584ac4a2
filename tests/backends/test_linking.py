"""Object files in memory: by the runtime's linker, which needs no LLVM, and what is left to LLVM."""

from __future__ import annotations

import ctypes
import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import covector as cv
import covector.numpy as cnp
from covector._engine import _native
from covector._engine.backends.cpu import link

OURS = sys.platform == "linux" and platform.machine() == "x86_64"
only_ours = pytest.mark.skipif(not OURS, reason="LLVM links here")

# Calls a function that is far away, one of its own, and one by its address; reads a table, and constants.
MODULE = """
@table = private unnamed_addr constant [4 x double] [double 1.0, double 2.0, double 4.0, double 8.0]
declare double @far(double)
declare void @further()
define double @own(double %x) noinline nounwind {
  %y = fmul double %x, 3.5
  ret double %y
}
define double @entry(i64 %i, double %x) nounwind {
  %place = getelementptr [4 x double], ptr @table, i64 0, i64 %i
  %scale = load double, ptr %place
  %y = call double @own(double %x)
  %z = call double @far(double %y)
  %same = icmp eq ptr @further, null
  %w = select i1 %same, double 0.0, double %z
  %r = fmul double %w, %scale
  ret double %r
}
"""
FAR = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)(lambda x: x + 1)
SYMBOLS = {"far": ctypes.cast(FAR, ctypes.c_void_p).value or 0, "further": 64}


def called(code: link.MachineCode, i: int, x: float) -> float:
    signature = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_int64, ctypes.c_double)
    return signature(code.address("entry"))(i, x)


@pytest.mark.parametrize("load", [link.load, link.load_by_llvm])
def test_both_linkers_give_the_same_code(load: type[link.LinkedByLlvm]) -> None:
    code = load(link.emit_object(MODULE), SYMBOLS)
    assert [called(code, i, 2.0) for i in range(4)] == [8.0, 16.0, 32.0, 64.0]
    with pytest.raises(KeyError):
        code.address("nowhere")


@only_ours
def test_what_is_emitted_is_linked_without_llvm() -> None:
    assert isinstance(link.load(link.emit_object(MODULE), SYMBOLS), _native.ObjectCode)


def test_what_is_not_found_is_an_error() -> None:
    data = link.emit_object(MODULE)
    assert _native.link(data, {"far": SYMBOLS["far"]}) is None
    with pytest.raises(RuntimeError, match="symbol"):
        link.load(data, {"far": SYMBOLS["far"]})


@only_ours
def test_damaged_objects_are_refused() -> None:
    """Cut off anywhere, they are; with some bytes changed they are linked or refused, and nothing beyond is touched."""
    data = link.emit_object(MODULE)
    for length in range(0, len(data), 7):
        assert _native.link(data[:length], SYMBOLS) is None
    rng = np.random.default_rng(0)
    for _ in range(2000):
        changed = bytearray(data)
        for at in rng.integers(0, len(data), 3):
            changed[at] = int(rng.integers(256))
        _native.link(bytes(changed), SYMBOLS)
    written = link.emit_object("@x = global i32 7\ndefine ptr @entry() nounwind {\n  ret ptr @x\n}")
    assert _native.link(written, {}) is None


def test_a_processor_survives_as_bytes() -> None:
    assert link.Processor.unpack(link.host().pack()) == link.host()


SCRIPT = """
import sys, covector.numpy as cnp
assert abs(float(cnp.sum(cnp.sin(cnp.ones(10)))) - 8.4147) < 1e-3
print("llvmlite" in sys.modules)
"""


@only_ours
def test_what_is_found_on_the_disk_runs_without_llvm(tmp_path: Path) -> None:
    environment = os.environ | {"COVECTOR_CACHE": "1", "COVECTOR_CACHE_DIR": str(tmp_path)}
    environment |= {"COVECTOR_VERIFY": "0"}
    told = [
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for _ in range(2)
    ]
    assert told == ["True", "False"]


def test_freed_code_is_mapped_again() -> None:
    x = cnp.arange(3.0)
    for i in range(20):
        np.testing.assert_array_equal(cv.jit(lambda x, i=i: x * i)(x), np.arange(3.0) * i)
