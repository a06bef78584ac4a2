"""Scalar expressions of arrays, compiled and run: what the tests and measurements of functions share."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence

import numpy as np

from covector._engine.backends.cpu import link
from covector._engine.backends.cpu.library import Library
from covector._engine.backends.cpu.scalars import Emitter, ModuleText, memory_type
from covector._engine.ir.scalar import Expr


class ArrayEmitter(Emitter):
    """Loads parameters `p0`, `p1`, ... at index %i of arrays %b0, %b1, ..."""

    def leaf(self, e: Expr) -> str:
        assert e.op == "local", e
        assert isinstance(e.attr, str), e
        where = self.line(f"getelementptr {memory_type(e.dtype, 1)}, ptr %b{e.attr[1:]}, i64 %i")
        raw = self.line(f"load {memory_type(e.dtype, self.width)}, ptr {where}, align 1")
        return self.from_memory(raw, e.dtype)


def parameter(position: int, dtype: np.dtype) -> Expr:
    """The element of input `position`."""
    return Expr("local", (), np.dtype(dtype), f"p{position}")


def program(results: Sequence[Expr], inputs: int, width: int, target: link.Processor) -> ModuleText:
    """A module with `entry(buffers, n)`: a loop that stores the results; n is a multiple of the width."""
    module = ModuleText(target)
    lines: list[str] = []
    for k in range(inputs + len(results)):
        lines += [
            f"  %a{k} = getelementptr ptr, ptr %buffers, i64 {k}",
            f"  %b{k} = load ptr, ptr %a{k}",
        ]
    lines += ["  br label %start", "start:", "  br label %loop", "loop:"]
    lines += ["  %i = phi i64 [0, %start], [%next, %latch]"]
    emitter = ArrayEmitter(module, width, lines)
    for k, e in enumerate(results):
        stored = emitter.to_memory(emitter.value(e), e.dtype)
        lines.append(
            f"  %to{k} = getelementptr {memory_type(e.dtype, 1)}, ptr %b{inputs + k}, i64 %i"
        )
        lines.append(f"  store {memory_type(e.dtype, width)} {stored}, ptr %to{k}, align 1")
    lines += [f"  %next = add i64 %i, {width}", "  %more = icmp slt i64 %next, %n"]
    lines += [
        "  br i1 %more, label %latch, label %end",
        "latch:",
        "  br label %loop",
        "end:",
        "  ret void",
    ]
    module.define("entry", "void @entry(ptr %buffers, i64 %n)", lines)
    return module


@functools.cache
def library(target: link.Processor) -> Library:
    """What compiled expressions call."""
    return Library(target, {}, lambda _, make: make())


class Compiled:
    """A native loop over arrays that computes expressions of the parameters p0, p1, ..."""

    def __init__(
        self, results: Sequence[Expr], inputs: int, width: int, target: link.Processor | None = None
    ):
        self.width = width
        self.dtypes = [e.dtype for e in results]
        target = target or link.host()
        module = program(results, inputs, width, target)
        self.text = module.text()
        functions = library(target).resolve(module.wanted)
        self.loaded = link.load(link.emit_object(self.text, target, verify=True), functions)
        kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)
        self.entry = kind(self.loaded.address("entry"))

    def __call__(self, *arrays: np.ndarray) -> list[np.ndarray]:
        """The results for arrays of one length, a multiple of the width."""
        count = len(arrays[0])
        assert count % self.width == 0
        outputs = [np.zeros(count, d) for d in self.dtypes]
        held = [np.ascontiguousarray(a) for a in arrays] + outputs
        pointers = (ctypes.c_void_p * len(held))(*[a.ctypes.data for a in held])
        self.entry(ctypes.addressof(pointers), count)
        return outputs


def run(
    results: Sequence[Expr],
    arrays: Sequence[np.ndarray],
    width: int,
    target: link.Processor | None = None,
) -> list[np.ndarray]:
    """The results for the elements of the arrays, which are parameters p0, p1, ..."""
    return Compiled(results, len(arrays), width, target)(*arrays)
