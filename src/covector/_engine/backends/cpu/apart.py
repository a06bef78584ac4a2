"""Loops as functions of their own, and loops that are the same but for what they are given: one function for all.

A network of twelve equal layers has twelve equal loops for each thing that a layer does. They differ in the
buffers, which come to the function in an array, so their texts are equal and LLVM sees one. What is left of the
entry function is calls, which need no optimisation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from covector._engine.backends.cpu.contents import buffers_of, locals_of
from covector._engine.backends.cpu.indices import Frame, LoopEmitter
from covector._engine.backends.cpu.instructions import register_element
from covector._engine.ir.kernel import Buffer, Init, Statement, walk
from covector._engine.ir.scalar import Expr

Bind = Callable[[Frame, LoopEmitter, str], None]


def function_of(
    outer: Frame,
    one: LoopEmitter,
    statements: Sequence[Statement],
    given: Mapping[str, str],
    write: Callable[[Frame, LoopEmitter], None],
) -> tuple[str, str]:
    """A function with the lines that `write` puts into its frame, and the operand that points to what it is given.

    `given` are symbols and their operands here, beside what the statements read. The function takes that pointer and
    the range of runs (%begin, %end).
    """
    captured = _captured(outer, one, statements, given)
    context = outer.alloca(f"[{max(len(captured), 1)} x i64]", 8)
    inner = Frame(outer.module, outer.memory_of, outer.target)
    emitter = LoopEmitter(inner)
    restore: list[str] = []
    for n, (type_, operand, bind) in enumerate(captured):
        slot = one.line(f"getelementptr i64, ptr {context}, i64 {n}")
        outer.lines.append(f"  store {type_} {operand}, ptr {slot}")
        place, name = inner.fresh(), inner.fresh()
        restore.append(f"  {place} = getelementptr i64, ptr %context, i64 {n}")
        restore.append(f"  {name} = load {type_}, ptr {place}")
        bind(inner, emitter, name)
    write(inner, emitter)
    name = outer.module.shared(
        "ptr noalias %context, i64 %begin, i64 %end",
        [*inner.entry, *restore, *inner.lines, "  ret void"],
    )
    return name, context


def _captured(
    outer: Frame, one: LoopEmitter, statements: Sequence[Statement], given: Mapping[str, str]
) -> list[tuple[str, str, Bind]]:
    """What statements read from outside: its type, its operand there, and how to make it known inside."""
    captured: list[tuple[str, str, Bind]] = []
    for buffer in buffers_of(statements):
        if buffer in outer.pointers:
            captured.append(("ptr", outer.pointer(buffer), _pointer(buffer)))
    for symbol, operand in {**outer.symbols, **given}.items():
        captured.append(("i64", operand, _symbol(symbol)))
    inside = {s.local for s in walk(statements) if isinstance(s, Init)}
    for local in locals_of(statements):
        if local not in inside:
            captured.append((register_element(local.dtype), one.value(local), _local(local)))
    return captured


def _pointer(buffer: Buffer) -> Bind:
    def bind(frame: Frame, emitter: LoopEmitter, name: str) -> None:
        frame.pointers[buffer] = name

    return bind


def _symbol(symbol: str) -> Bind:
    def bind(frame: Frame, emitter: LoopEmitter, name: str) -> None:
        frame.symbols[symbol] = name

    return bind


def _local(local: Expr) -> Bind:
    def bind(frame: Frame, emitter: LoopEmitter, name: str) -> None:
        emitter.values[local] = name

    return bind
