"""Loops as functions of their own, and loops that are the same but for what they are given: one function for all.

A network of twelve equal layers has twelve equal loops for each thing that a layer does. They differ in the
buffers, which come to the function in an array, so their texts are equal and LLVM sees one. What is left of the
entry function is calls, which need no optimisation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from covector._engine.backends.cpu.contents import buffers_of, locals_of
from covector._engine.backends.cpu.frame import Frame
from covector._engine.backends.cpu.instructions import register_element
from covector._engine.backends.cpu.leaves import LoopEmitter
from covector._engine.ir.alike import Shape
from covector._engine.ir.kernel import Buffer, Init, Statement, walk
from covector._engine.ir.scalar import Expr

Bind = Callable[[Frame, LoopEmitter, str], None]
# What a function gets from outside: the type, what gives the operand there, and how to make it known inside.
Captured = list[tuple[str, Callable[[], str], Bind]]
Write = Callable[[Frame, LoopEmitter], None]


def function_of(
    outer: Frame,
    one: LoopEmitter,
    statements: Sequence[Statement],
    given: Mapping[str, str],
    write: Write,
    failed_at: str | None = None,
) -> tuple[str, str]:
    """A function with the lines that `write` puts into its frame, and the operand that points to what it is given.

    `given` are symbols and their operands here, beside what the statements read.  The function takes that pointer and
    the range of runs (%begin, %end).  Where something fails in it, it leaves the status in `failed_at`.
    """
    captured = _captured(outer, buffers_of(statements), given)
    if failed_at is not None:
        captured.append(("ptr", partial(str, failed_at), _failed_at))
    inside = {s.local for s in walk(statements) if isinstance(s, Init)}
    for local in locals_of(statements):
        if local not in inside:
            given_here = partial(one.value, local)
            captured.append((register_element(local.dtype), given_here, _local(local)))
    context = _handed_over(outer, one, captured)
    return _function(outer, captured, write), context


def one_of_many(
    outer: Frame,
    one: LoopEmitter,
    statements: Sequence[Statement],
    constants: Mapping[Expr, Expr],
    write: Write,
    failed_at: str | None = None,
) -> tuple[str, str]:
    """The same for statements that get nothing but memory, and these constants, from outside.

    Those that are alike share a function.
    """
    shape = Shape(statements)
    numbers = {outer.memory_of(b): n for b, n in shape.buffers.items()}
    memories = tuple([numbers[outer.memory_of(b)] for b in shape.buffers])
    known = tuple([outer.knows(b) for b in shape.buffers])
    key = shape.key, memories, known, tuple(outer.symbols), len(constants), failed_at is None
    captured = _captured(outer, shape.buffers, {})
    for local, constant in constants.items():
        operand = partial(one.value, constant)
        captured.append((register_element(local.dtype), operand, _local(local)))
    if failed_at is not None:
        captured.append(("ptr", partial(str, failed_at), _failed_at))
    name = outer.module.alike.get(key)
    if name is None:
        name = outer.module.alike[key] = _function(outer, captured, write)
    return name, _handed_over(outer, one, captured)


def _function(outer: Frame, captured: Captured, write: Write) -> str:
    inner = Frame(outer.module, outer.memory_of, outer.target)
    emitter = LoopEmitter(inner)
    restore: list[str] = []
    for n, (type_, _, bind) in enumerate(captured):
        place, name = inner.fresh(), inner.fresh()
        restore.append(f"  {place} = getelementptr i64, ptr %context, i64 {n}")
        restore.append(f"  {name} = load {type_}, ptr {place}")
        bind(inner, emitter, name)
    write(inner, emitter)
    return outer.module.shared(
        "ptr noalias %context, i64 %begin, i64 %end",
        [*inner.entry, *restore, *inner.lines, "  ret void"],
    )


def _handed_over(outer: Frame, one: LoopEmitter, captured: Captured) -> str:
    """The operand that points to what a function gets from outside; it is written right before the call.

    Each pointer is made where it is written.  Where calls take 1,000 in all, made before the first was written, LLVM
    took 260 ms for the function that calls, and 110 so.
    """
    context = outer.words(max(len(captured), 1))
    for n, (type_, given_here, _) in enumerate(captured):
        operand = given_here()
        slot = one.line(f"getelementptr i64, ptr {context}, i64 {n}")
        outer.lines.append(f"  store {type_} {operand}, ptr {slot}")
    return context


def _captured(outer: Frame, buffers: Iterable[Buffer], given: Mapping[str, str]) -> Captured:
    """The buffers and symbols that statements get from outside."""
    found: Captured = []
    for buffer in buffers:
        if outer.knows(buffer):
            found.append(("ptr", partial(_brought, outer, buffer), _pointer(buffer)))
    for symbol, operand in {**outer.symbols, **given}.items():
        found.append(("i64", partial(str, operand), _symbol(symbol)))
    return found


def _brought(outer: Frame, buffer: Buffer) -> str:
    outer.bring((buffer,))
    return outer.pointer(buffer)


def _pointer(buffer: Buffer) -> Bind:
    def bind(frame: Frame, emitter: LoopEmitter, name: str) -> None:
        frame.pointers[buffer] = name

    return bind


def _symbol(symbol: str) -> Bind:
    def bind(frame: Frame, emitter: LoopEmitter, name: str) -> None:
        frame.symbols[symbol] = name

    return bind


def _failed_at(frame: Frame, emitter: LoopEmitter, name: str) -> None:
    frame.failed_at = name


def _local(local: Expr) -> Bind:
    def bind(frame: Frame, emitter: LoopEmitter, name: str) -> None:
        emitter.values[local] = name

    return bind
