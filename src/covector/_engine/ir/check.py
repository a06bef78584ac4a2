"""Verifiers of both IRs: what every pass must leave true."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from covector._engine.base.depth import deep
from covector._engine.base.errors import VerificationError
from covector._engine.ir.access import uses
from covector._engine.ir.effects import is_kept
from covector._engine.ir.kernel import (
    Assign,
    Buffer,
    Callback,
    Fold,
    Init,
    Kernel,
    Loop,
    Routine,
    Statement,
    While,
    below,
    bodies,
    changes,
    children,
    indices,
    roots,
    title,
    walk,
)
from covector._engine.ir.legal import refused
from covector._engine.ir.program import Eqn, Literal, Program, Var, show
from covector._engine.ir.scalar import Expr
from covector._engine.ir.sharing import verify_plan
from covector._engine.types import dims
from covector._engine.types.dims import Dim, Polynomial


def verify(ir: Program | Kernel, after: str) -> None:
    """VerificationError, naming the pass and the place, if a law of the IR is broken."""
    if isinstance(ir, Program):
        verify_program(ir, after)
    else:
        verify_kernel(ir, after)


def verify_effects(before: Program | Kernel, now: Program | Kernel, after: str) -> None:
    """What has effects that are kept is what it was before: done as often, in the same loops, in the same order.

    A Kernel may have it several times for one equation of the Program that it is made from, as turns of a loop are
    written out: there the order in which each appears first counts.
    """
    old, new = effects_in(before), effects_in(now)
    if isinstance(before, Program) and isinstance(now, Kernel):
        old, new = tuple(_leaves(old)), tuple(_leaves(new))
    if old != new:
        raise VerificationError(
            f"after {after}: the effects are {_listed(new)}; they were {_listed(old)}\n{now}"
        )


@deep
def effects_in(ir: Program | Kernel) -> tuple[object, ...]:
    """What has effects that are kept, in order: primitives, and tuples of what is inside loops and branches."""
    if isinstance(ir, Kernel):
        return _effects_of_statements(ir.body)
    found: list[object] = []
    for eqn in ir.eqns:
        p = eqn.primitive
        if not is_kept(eqn.effects):
            continue
        if (called := p.inlined()) is not None:
            found += effects_in(called)
        else:
            inside = tuple([effects_in(program) for program in p.programs()])
            found.append(inside if p.has_programs else p)
    return tuple(found)


@deep
def _effects_of_statements(body: Sequence[Statement]) -> tuple[object, ...]:
    found: list[object] = []
    for s in body:
        if isinstance(s, Callback) and is_kept(s.who.effects):
            found.append(s.who)
        elif inside := [x for part in bodies(s) if (x := _effects_of_statements(part))]:
            found.append(tuple(inside))
    return tuple(found)


def _leaves(effects: tuple[object, ...]) -> Iterator[object]:
    """The primitives, each once, in the order of their first appearance."""
    seen = dict[object, None]()
    stack = list(reversed(effects))
    while stack:
        top = stack.pop()
        if isinstance(top, tuple):
            stack.extend(reversed(top))
        else:
            seen.setdefault(top)
    return iter(seen)


def _listed(effects: tuple[object, ...]) -> str:
    return ", ".join(getattr(p, "name", str(p)) for p in _leaves(effects)) or "none"


def verify_program(program: Program, after: str = "trace") -> None:
    """Each variable is bound once, before its uses, and has the type that its equation's rule gives."""
    seen = {program: None}
    pending = [program]
    while pending:  # each Program inside once, in however many places it is
        last = pending.pop()
        _verify_equations(last, after)
        inside = [p for e in last.eqns if e.primitive.has_programs for p in e.primitive.programs()]
        pending += [p for p in dict.fromkeys(inside) if p not in seen]
        seen |= dict.fromkeys(inside)


def _verify_equations(program: Program, after: str) -> None:
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
    for a in program.outputs:
        if not isinstance(a, Literal) and a not in bound:
            raise VerificationError(f"after {after}: a result is not bound\n{show(program)}")


def _check_types(eqn: Eqn, where: str, after: str) -> None:
    types = eqn.primitive.type(*[a.aval for a in eqn.inputs])
    for v, aval in zip(eqn.outputs, types if isinstance(types, tuple) else (types,), strict=True):
        if v.aval.shape != aval.shape or v.aval.dtype != aval.dtype:
            raise VerificationError(
                f"after {after}: {where} gives {aval.text()}, but its variable is {v.aval.text()}"
            )


def verify_kernel(kernel: Kernel, after: str = "lower") -> None:
    """Names are defined before use, locals initialised, buffers known, inputs not written, memory shared rightly."""
    _verify_functions(kernel, after)
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
    _Scopes(kernel, after).body(kernel.body)
    if after == "schedule":
        for loop, reason in refused(kernel):
            raise VerificationError(
                f"after {after}: the loop over {loop.name} cannot have{loop.schedule}: {reason}\n{kernel}"
            )


def _verify_functions(kernel: Kernel, after: str) -> None:
    """Functions are Kernels themselves, known before they are called, with as many places as they have parameters."""
    for f in kernel.functions.values():
        verify_kernel(f, after)
    known: dict[str, Kernel] = {}
    for caller in (*kernel.functions.values(), kernel):
        for s in walk(caller.body):
            f = kernel.functions.get(s.name) if isinstance(s, Routine) else None
            if f is None:
                continue
            assert isinstance(s, Routine)
            sizes = [b.size for b in (*f.inputs, *f.outputs)]
            if s.name not in known or len(sizes) != len(s.places):
                raise VerificationError(f"after {after}: {title(s)} does not fit {f}\n{caller}")
        known[caller.name] = caller


class _Scopes:
    """What is known at one point of a Kernel: loop variables, locals, and the expressions that have a value.

    An expression keeps its value in the scope where it is first computed; one of a local is not used any more after
    that was assigned, nor in a loop that assigns it: what is used there is built anew.  What a scope adds is taken
    back where it ends, so a Kernel is gone through once.
    """

    def __init__(self, kernel: Kernel, after: str):
        self.kernel, self.after = kernel, after
        self.symbols: dict[str, Dim | None] = dict.fromkeys(kernel.dims)  # variables of loops
        self.locals: set[Expr] = set()
        self.known: set[Expr] = set()
        self.users: dict[Expr, list[Expr]] = {}  # of known expressions, those that read them
        self.stale: set[Expr] = set()  # computed before a local of theirs was assigned
        self.changed: dict[Statement, set[Expr]] = {}

    def fail(self, text: str) -> VerificationError:
        return VerificationError(f"after {self.after}: {text}\n{self.kernel}")

    def body(self, body: Sequence[Statement], stale: Iterable[Expr] = ()) -> None:
        """A scope, in which also those of `stale` have a value of before."""
        known, locals_ = list[Expr](), list[Expr]()
        gone = [e for e in stale if e not in self.stale]
        self.stale.update(gone)
        for s in body:
            for e in roots(s):
                self.expression(e, s, known)
            for d in indices(s):
                self.index(d, s)
            self.local(s, locals_)
            late = self.depending(self.changes(s))
            self.inside(s, late)
            self.stale.update(late)
            gone += late
        self.stale.difference_update(gone)
        self.locals.difference_update(locals_)
        self.known.difference_update(known)
        for e in reversed(known):
            for x in below(e):
                self.users[x].pop()

    def inside(self, s: Statement, late: Sequence[Expr]) -> None:
        """The bodies of a statement; in a loop, what it changes later is stale from the beginning."""
        if isinstance(s, Loop):
            if s.name in self.symbols:
                raise self.fail(f"`{title(s)}` counts {s.name}, which is in scope already")
            self.symbols[s.name] = s.variable
        for inner in bodies(s):
            self.body(inner, late if isinstance(s, (Loop, While)) else ())
        if isinstance(s, Loop):
            del self.symbols[s.name]

    def changes(self, s: Statement) -> set[Expr]:
        """The locals that a statement and those inside it give other values."""
        found = self.changed.get(s)
        if found is None:
            inside = [self.changes(x) for x in children(s)]
            found = self.changed[s] = set(changes(s)).union(*inside)
        return found

    def depending(self, locals_: Iterable[Expr]) -> list[Expr]:
        """The known expressions of some locals that are not stale yet, the locals themselves excepted."""
        found: dict[Expr, None] = {}
        pending = list(locals_)
        while pending:
            for e in self.users.get(pending.pop(), ()):
                if e not in found and e not in self.stale:
                    found[e] = None
                    pending.append(e)
        return list(found)

    def local(self, s: Statement, new: list[Expr]) -> None:
        """Locals are brought into being before they are changed."""
        match s:
            case Init(local, _):
                if local not in self.locals:
                    self.locals.add(local)
                    new.append(local)
            case Fold(local, _, _, _):
                if local not in self.locals:
                    raise self.fail(f"fold into {local}, which has no start")
            case Assign(targets, values, _):
                if any(t not in self.locals for t in targets) or len(targets) != len(values):
                    raise self.fail("a local without a start is assigned")
            case _:
                pass

    def expression(self, e: Expr, s: Statement, new: list[Expr]) -> None:
        """All that an expression is made of has a value, and that of now."""
        pending = [e]
        while pending:
            node = pending.pop()
            if node in self.stale:
                raise self.fail(
                    f"`{title(s)}` uses {node} with the value that it had before a local of it was assigned"
                )
            if node in self.known:
                continue
            self.known.add(node)
            new.append(node)
            inside = below(node)
            for x in inside:
                self.users.setdefault(x, []).append(node)
            pending += inside
            if node.op == "load":
                self.index(node.attr[1], s)  # type: ignore[index]
            elif node.op == "index":
                self.index(node.attr, s)  # type: ignore[arg-type]
            elif node.op == "local" and isinstance(node.attr, str) and node not in self.locals:
                raise self.fail(f"the local {node.attr} is read before it has a value")

    def index(self, d: Dim, s: Statement) -> None:
        """The variables of an index are in scope, and are those of the loops around: of the same length."""
        for factor in dims.factors(d):
            if factor.op != "symbol" or isinstance(factor.payload, Expr):
                continue
            if factor.key not in self.symbols:
                raise self.fail(f"`{title(s)}` uses {factor.key}, which is not in scope")
            variable = self.symbols[factor.key]
            if isinstance(variable, Polynomial) and variable.terms[0][0] != (factor,):
                raise self.fail(f"`{title(s)}` uses {factor.key} of another loop")
