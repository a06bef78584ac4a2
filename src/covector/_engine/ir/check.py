"""Verifiers of both IRs: what every pass must leave true."""

from __future__ import annotations

from collections.abc import Sequence

from covector._engine.base.errors import VerificationError
from covector._engine.ir.access import uses
from covector._engine.ir.kernel import (
    Assign,
    Buffer,
    Fold,
    If,
    Init,
    Kernel,
    Loop,
    Statement,
    While,
    bodies,
    changes,
    roots,
    title,
    walk,
)
from covector._engine.ir.legal import refused
from covector._engine.ir.program import Eqn, Literal, Program, Var, show
from covector._engine.ir.scalar import Expr
from covector._engine.ir.sharing import verify_plan
from covector._engine.types import dims


def verify(ir: Program | Kernel, after: str) -> None:
    """VerificationError, naming the pass and the place, if a law of the IR is broken."""
    if isinstance(ir, Program):
        verify_program(ir, after)
    else:
        verify_kernel(ir, after)


def verify_program(program: Program, after: str = "trace") -> None:
    """Each variable is bound once, before its uses, and has the type that its equation's rule gives."""
    bound: set[Var] = set()

    def bind(v: Var, where: str) -> None:
        if v in bound:
            raise VerificationError(
                f"after {after}: {where} binds a variable twice\n{show(program)}"
            )
        bound.add(v)

    for v in (*program.inputs, *program.constant_vars):
        bind(v, "the head")
    for n, eqn in enumerate(program.eqns):
        where = f"equation {n} ({eqn.primitive.name}{'' if eqn.source is None else f' at {eqn.source}'})"
        for a in eqn.inputs:
            if isinstance(a, Var) and a not in bound:
                raise VerificationError(
                    f"after {after}: {where} reads a variable that is not bound\n{show(program)}"
                )
        _check_types(eqn, where, after)
        for v in eqn.outputs:
            bind(v, where)
        for inner in eqn.primitive.programs():
            verify_program(inner, after)
    for a in program.outputs:
        if not isinstance(a, Literal) and a not in bound:
            raise VerificationError(f"after {after}: a result is not bound\n{show(program)}")


def _check_types(eqn: Eqn, where: str, after: str) -> None:
    types = eqn.primitive.type(*[a.aval for a in eqn.inputs])
    for v, aval in zip(eqn.outputs, types if eqn.primitive.multiple else (types,), strict=True):
        if v.aval.shape != aval.shape or v.aval.dtype != aval.dtype:
            raise VerificationError(
                f"after {after}: {where} gives {aval.text()}, but its variable is {v.aval.text()}"
            )


def verify_kernel(kernel: Kernel, after: str = "lower") -> None:
    """Names are defined before use, locals initialised, buffers known, inputs not written, memory shared rightly."""
    known: set[Buffer] = {*kernel.inputs, *kernel.outputs}
    for buffer, use in uses(kernel.body).items():
        if buffer not in known and buffer.kind in ("input", "output"):
            raise VerificationError(
                f"after {after}: {buffer} is not a parameter of {kernel.name}\n{kernel}"
            )
        if use.writes and buffer.kind == "input":
            raise VerificationError(f"after {after}: the input {buffer} is written\n{kernel}")
    if after == "memory":
        verify_plan(kernel, after)
    _verify_body(kernel.body, frozenset(kernel.dims), set(), after, kernel)
    if after == "schedule":
        for loop, reason in refused(kernel):
            raise VerificationError(
                f"after {after}: the loop over {loop.name} cannot have{loop.schedule}: {reason}\n{kernel}"
            )
    _Freshness(kernel, after).verify(kernel.body, set(), set())


class _Freshness:
    """An expression keeps its value in the scope where it is first computed; one of a local is not used any more after
    that was assigned, nor in a loop that assigns it: what is used there is built anew.
    """

    def __init__(self, kernel: Kernel, after: str):
        self.kernel, self.after = kernel, after
        self.locals: dict[Expr, frozenset[Expr]] = {}

    def verify(self, body: Sequence[Statement], known: set[Expr], stale: set[Expr]) -> None:
        """`known` have a value here, `stale` one of before."""
        for s in body:
            pending = list(roots(s))
            while pending:
                node = pending.pop()
                if node in stale:
                    raise VerificationError(
                        f"after {self.after}: `{title(s)}` uses {node} with the value that it had before a local of it "
                        f"was assigned\n{self.kernel}"
                    )
                if node not in known:
                    known.add(node)
                    pending.extend(node.args)
            changed = {local for inner in walk((s,)) for local in changes(inner)}
            gone = self._depending(known, changed) if changed else set[Expr]()
            for inner in bodies(s):
                again = gone if isinstance(s, (Loop, While)) else set[Expr]()
                self.verify(inner, set(known), stale | again)
            stale |= gone

    def _depending(self, known: set[Expr], changed: set[Expr]) -> set[Expr]:
        return {n for n in known if n.op != "local" and not changed.isdisjoint(self._read(n))}

    def _read(self, node: Expr) -> frozenset[Expr]:
        """The locals that an expression reads; without recursion, since chains can be long."""
        found, stack = self.locals, [node]
        while stack:
            top = stack[-1]
            missing = [x for x in top.args if x not in found]
            if top in found or not missing:
                own = [top] if top.op == "local" else []
                found[top] = frozenset(own).union(*[found[x] for x in top.args])
                stack.pop()
            else:
                stack.extend(missing)
        return found[node]


def _verify_body(
    body: tuple[Statement, ...],
    symbols: frozenset[str],
    locals_: set[Expr],
    after: str,
    kernel: Kernel,
) -> None:
    for s in body:
        for e in roots(s):
            _verify_expression(e, symbols, locals_, after, kernel)
        match s:
            case Init(local, _):
                locals_.add(local)
            case Fold(local, _, _, _):
                if local not in locals_:
                    raise VerificationError(
                        f"after {after}: fold into {local}, which has no start\n{kernel}"
                    )
            case Assign(targets, values, _):
                if any(t not in locals_ for t in targets) or len(targets) != len(values):
                    raise VerificationError(
                        f"after {after}: a local without a start is assigned\n{kernel}"
                    )
            case Loop(_, _, inner):
                _verify_body(inner, symbols | {s.name}, set(locals_), after, kernel)
            case If(_, inner, orelse):
                _verify_body(inner, symbols, set(locals_), after, kernel)
                _verify_body(orelse, symbols, set(locals_), after, kernel)
            case While(test, condition, inner):
                seen = set(locals_)  # those of the test are seen by the condition and the body
                _verify_body(test, symbols, seen, after, kernel)
                _verify_expression(condition, symbols, seen, after, kernel)
                _verify_body(inner, symbols, seen, after, kernel)
            case _:
                pass


def _verify_expression(
    e: Expr, symbols: frozenset[str], locals_: set[Expr], after: str, kernel: Kernel
) -> None:
    seen: set[Expr] = set()
    stack = [e]
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        stack.extend(node.args)
        index = node.attr[1] if node.op == "load" else node.attr if node.op == "index" else 0  # type: ignore[index]
        for factor in dims.factors(index):  # type: ignore[arg-type]
            if (
                factor.op == "symbol"
                and not isinstance(factor.payload, Expr)
                and factor.key not in symbols
            ):
                raise VerificationError(
                    f"after {after}: {node.op} uses {factor.key}, which is not in scope\n{kernel}"
                )
        if node.op == "local" and isinstance(node.attr, str) and node not in locals_:
            raise VerificationError(
                f"after {after}: the local {node.attr} is read before it has a value\n{kernel}"
            )
