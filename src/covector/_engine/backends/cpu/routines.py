"""Calls of the runtime's routines from emitted code: how each one's places and parameters are passed."""

from __future__ import annotations

from covector._engine.backends.base import Costs
from covector._engine.backends.cpu.indices import LoopEmitter
from covector._engine.ir.kernel import Routine
from covector._engine.types import dims

_GEMMS = ("sgemm", "dgemm", "cgemm", "zgemm")


def call(emitter: LoopEmitter, routine: Routine) -> None:
    """Emit the call."""
    one = emitter.one
    addresses = [one.address(buffer, one.scalar_index(offset)) for buffer, offset in routine.places]
    numbers = [one.scalar_index(d) for d in routine.parameters]
    if routine.name in _GEMMS:
        arguments = _gemm(routine.name, addresses, numbers)
    else:
        arguments = [f"ptr {a}" for a in addresses] + [f"i64 {n}" for n in numbers]
    types = ", ".join(a.split(" ")[0] for a in arguments)
    name = f"@cv_{routine.name}"
    if routine.name in _GEMMS:
        emitter.module.declare(name, f"declare void {name}({types})")
        emitter.lines.append(f"  call void {name}({', '.join(arguments)})")
        return
    emitter.module.declare(name, f"declare i32 {name}({types})")
    status = one.line(f"call i32 {name}({', '.join(arguments)})")
    failed = one.line(f"icmp ne i32 {status}, 0")
    stem = one.fresh()[1:]
    emitter.lines.append(f"  br i1 {failed}, label %{stem}.failed, label %{stem}.ok")
    emitter.label(f"{stem}.failed")
    emitter.lines.append(f"  ret i32 {status}")  # only entry functions call routines that can fail
    emitter.label(f"{stem}.ok")


def _gemm(name: str, addresses: list[str], numbers: list[str]) -> list[str]:
    """c = op(a) op(b)."""
    ta, tb, m, n, k, lda, ldb, ldc = numbers
    a, b, c = addresses
    part = "float" if name in ("sgemm", "cgemm") else "double"
    return [
        f"i32 {ta}", f"i32 {tb}", f"i64 {m}", f"i64 {n}", f"i64 {k}", f"ptr {a}", f"i64 {lda}", f"ptr {b}",
        f"i64 {ldb}", f"{part} 0.0", f"ptr {c}", f"i64 {ldc}",
    ]  # fmt: skip


def cost(routine: Routine, costs: Costs) -> float:
    """Nanoseconds, roughly."""
    return costs.step(routine.name) * (dims.bounds(routine.work)[0] or 1)
