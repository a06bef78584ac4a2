"""Calls of the runtime's routines from emitted code: how each one's places and parameters are passed."""

from __future__ import annotations

from covector._engine.backends.base import Costs
from covector._engine.backends.cpu.leaves import LoopEmitter
from covector._engine.core.foreign import MachineFunction, is_users
from covector._engine.core.routine import ROUTINES
from covector._engine.ir.kernel import Callback, Routine, Statement
from covector._engine.types import dims, dtypes

_FIRST_OF_USERS = 1 << 30  # kUsersRoutine in native/runtime/status.h


def call(emitter: LoopEmitter, routine: Routine) -> None:
    """Emit the call."""
    one = emitter.one
    addresses = [one.address(buffer, one.scalar_index(offset)) for buffer, offset in routine.places]
    numbers = [one.scalar_index(d) for d in routine.parameters]
    if routine.name in emitter.module.functions:
        table = _table(emitter, "ptr", addresses)
        arguments = f"(ptr {table}, ptr %dims, ptr %arena)"
        end_if_failed(emitter, one.line(f"call i32 @{routine.name}{arguments}"))
        return
    passed = "one by one" if is_users(routine.name) else ROUTINES[routine.name].passed
    match passed:
        case "as to BLAS":
            arguments = _gemm(routine.name, addresses, numbers)
        case "as a table":  # they are many, and lie in memory
            arguments = [f"ptr {a}" for a in (*addresses, _table(emitter, "i64", numbers))]
        case "one by one":
            arguments = [f"ptr {a}" for a in addresses] + [f"i64 {n}" for n in numbers]
    types = ", ".join(a.split(" ")[0] for a in arguments)
    name = f"@cv_{routine.name}"
    if not can_fail(routine):
        emitter.module.declare(name, f"declare void {name}({types})")
        emitter.lines.append(f"  call void {name}({', '.join(arguments)})")
        return
    emitter.module.declare(name, f"declare i32 {name}({types})")
    status = one.line(f"call i32 {name}({', '.join(arguments)})")
    end_if_failed(emitter, _users(emitter, status) if is_users(routine.name) else status)


def _table(emitter: LoopEmitter, type_: str, operands: list[str]) -> str:
    """The address of integers or pointers in memory: among the constants if they are some, else on the stack."""
    if all(x.removeprefix("-").isdigit() for x in operands):
        return emitter.module.numbers(operands)
    one = emitter.one
    table = emitter.frame.words(len(operands))
    for n, operand in enumerate(operands):
        slot = one.line(f"getelementptr i64, ptr {table}, i64 {n}")
        emitter.lines.append(f"  store {type_} {operand}, ptr {slot}")
    return table


def _users(emitter: LoopEmitter, status: str) -> str:
    """The status of a user's routine apart from our own error numbers: 0, or `kUsersRoutine` and above."""
    one = emitter.one
    bits = one.line(f"and i32 {status}, {_FIRST_OF_USERS - 1}")
    number = one.line(f"or i32 {bits}, {_FIRST_OF_USERS}")
    good = one.line(f"icmp eq i32 {status}, 0")
    return one.line(f"select i1 {good}, i32 0, i32 {number}")


def can_fail(s: Statement) -> bool:
    """Whether a statement is a call that may end the Program."""
    if not isinstance(s, Routine):
        return isinstance(s, Callback)
    known = ROUTINES.get(s.name)
    return known is None or known.can_fail


def end_if_failed(emitter: LoopEmitter, status: str) -> None:
    """Leave the function with a status that is not 0: one for runs of a loop on threads leaves it to its caller."""
    one, failed_at = emitter.one, emitter.frame.failed_at
    failed = one.line(f"icmp ne i32 {status}, 0")
    stem = one.fresh()[1:]
    emitter.lines.append(f"  br i1 {failed}, label %{stem}.failed, label %{stem}.ok")
    emitter.label(f"{stem}.failed")
    emitter.lines += emitter.frame.leaving
    if failed_at is None:
        emitter.lines.append(f"  ret i32 {status}")
    else:  # other threads may do so too: one of their numbers stays
        store = f"  store atomic i32 {status}, ptr {failed_at} monotonic, align 4"
        emitter.lines += [store, "  ret void"]
    emitter.label(f"{stem}.ok")


def call_back(emitter: LoopEmitter, callback: Callback) -> None:
    """Emit the call of a function of the host's; its values are described as `Host::call_back` wants it."""
    one, module = emitter.one, emitter.module
    words: list[tuple[str, str]] = []
    for (buffer, offset), aval in zip(callback.places, callback.types, strict=True):
        code = dtypes.CODES[aval.dtype] | int(aval.weak_type) << 8 | len(aval.shape) << 16
        words.append(("ptr", one.address(buffer, one.scalar_index(offset))))
        words += [("i64", str(code)), *[("i64", one.scalar_index(d)) for d in aval.shape]]
    described = emitter.frame.words(max(len(words), 1))
    for n, (type_, operand) in enumerate(words):
        slot = one.line(f"getelementptr i64, ptr {described}, i64 {n}")
        emitter.lines.append(f"  store {type_} {operand}, ptr {slot}")
    counts = f"i64 {callback.operands}, i64 {len(callback.types)}, ptr {described}"
    if isinstance(callback.function, MachineFunction):
        who = f"@cv_foreign_{len(module.foreign)}"
        module.foreign[who[1:]] = callback.function
        module.declare(who, f"{who} = external global i8")
        module.declare("@cv_foreign", "declare i32 @cv_foreign(ptr, i64, i64, ptr)")
        end_if_failed(emitter, one.line(f"call i32 @cv_foreign(ptr {who}, {counts})"))
        return
    number = len(module.callbacks)
    module.callbacks.append(callback)
    module.declare("@cv_callbacks", "@cv_callbacks = external global i8")
    module.declare("@cv_callback", "declare i32 @cv_callback(ptr, i64, i64, i64, ptr)")
    table = f"ptr @cv_callbacks, i64 {number}"
    end_if_failed(emitter, one.line(f"call i32 @cv_callback({table}, {counts})"))


def _gemm(name: str, addresses: list[str], numbers: list[str]) -> list[str]:
    """c = op(a) op(b)."""
    ta, tb, m, n, k, lda, ldb, ldc = numbers
    a, b, c = addresses
    part = "double" if name in ("dgemm", "zgemm") else "float"
    return [
        f"i32 {ta}", f"i32 {tb}", f"i64 {m}", f"i64 {n}", f"i64 {k}", f"ptr {a}", f"i64 {lda}", f"ptr {b}",
        f"i64 {ldb}", f"{part} 0.0", f"ptr {c}", f"i64 {ldc}",
    ]  # fmt: skip


def cost(routine: Routine, costs: Costs) -> float:
    """Nanoseconds, roughly."""
    return costs.step(routine.name) * (dims.bounds(routine.work)[0] or 1)
