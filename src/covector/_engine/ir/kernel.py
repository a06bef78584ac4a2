"""Kernel: the loop IR.  Statements over named buffers, with scalar expressions; schedules as data beside them.

Buffers are flat, of real dtypes (a complex array is a buffer of twice as many parts).  Indices are
dims expressions over loop variables.  A Program lowers to one Kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from covector._engine.base.errors import Source
from covector._engine.base.record import record, replace
from covector._engine.ir.scalar import Expr, show as show_expr, show_index
from covector._engine.types.avals import ShapedArray
from covector._engine.types.dims import Dim

BufferKind = Literal["input", "output", "temp", "local"]


@record(eq=False)
class Buffer:
    """Memory of `size` elements.  "temp" lives in the arena; "local" is private to one run of a parallel body.

    `inputs` are read only, unless an output was planned on top of one.
    """

    name: str
    dtype: np.dtype
    size: Dim
    kind: BufferKind

    @property
    def bytes(self) -> Dim:
        return self.size * self.dtype.itemsize

    def __repr__(self) -> str:
        return self.name


@record
class Schedule:
    """How a loop runs; never what it computes."""

    vector: int = 0  # lanes; 0: one element at a time
    parallel: bool = False
    unroll: int = 1  # copies of the body side by side, each with accumulators of its own

    def __str__(self) -> str:
        parts = [f"vector {self.vector}"] * bool(self.vector) + ["parallel"] * self.parallel
        parts += [f"unroll {self.unroll}"] * (self.unroll > 1)
        return f"  @ {', '.join(parts)}" if parts else ""


@record(eq=False)
class Loop:
    """Run the body for variable = 0 ... extent - 1, in order unless that is free."""

    variable: Dim
    extent: Dim
    body: tuple[Statement, ...]
    schedule: Schedule = Schedule()
    cost: float = 0.0  # of one run of the body, in nanoseconds, for the choice of grain
    # Runs may come in any order, and side by side: none depends on another one, but for what they fold.
    free: bool = False
    own: tuple[Buffer, ...] = ()  # scratch memory: runs that are side by side need one each

    @property
    def name(self) -> str:
        return str(self.variable)


@record(eq=False)
class Init:
    """Bring a local into being with a value; `local` is an Expr of op "local"."""

    local: Expr
    value: Expr


@record(eq=False)
class Combination:
    """How the states of a fold combine, in any order and grouping: `result` is that of some locals and of `taken`."""

    starts: tuple[Expr, ...]  # the state of nothing
    taken: tuple[Expr, ...]  # locals that stand for another state
    result: tuple[Expr, ...]


@record(eq=False)
class Assign:
    """Give locals new values, all at once.  If that is to fold something into them: how their states combine.

    Then the values are those where what is folded in comes after all that was, in the order of the loop.
    """

    locals: tuple[Expr, ...]
    values: tuple[Expr, ...]
    fold: Combination | None = None


@record(eq=False)
class Fold:
    """local := op(local, value).  The order of folds is free: op is associative and commutative."""

    local: Expr
    op: str
    value: Expr
    identity: Expr


@record(eq=False)
class Store:
    """buffer[index] := value, unless there is a condition and it is false."""

    buffer: Buffer
    index: Dim
    value: Expr
    condition: Expr | None = None


@record(eq=False)
class If:
    """Run the body if the condition holds, else what `orelse` has.  In a loop with lanes: each for its lanes."""

    condition: Expr
    body: tuple[Statement, ...]
    orelse: tuple[Statement, ...] = ()


@record(eq=False)
class While:
    """Run `test`, then the body if the condition holds, and again, until it does not.  Each lane runs to its own end.

    The condition sees the locals of `test`, so does the body.  What one run hands to the next is in buffers, or in
    locals from outside.
    """

    test: tuple[Statement, ...]
    condition: Expr
    body: tuple[Statement, ...]


@record(eq=False)
class Routine:
    """Call a named routine on places in buffers, with integer parameters."""

    name: str
    places: tuple[tuple[Buffer, Dim], ...]
    parameters: tuple[Dim, ...]
    writes: tuple[int, ...] = ()  # which places it writes
    updates: tuple[int, ...] = ()  # which of those it reads, too
    work: Dim = 1  # how many steps it takes: multiplications of a product, elements that are sorted


@record(eq=False)
class Callback:
    """Call a function of the host's on the values at the first places; what it returns goes to the others.

    Where it raises something the Program ends.  `who` is the primitive that it stands for: by it the order of effects
    is told.
    """

    who: Any
    function: Callable[..., Any]  # from arrays to a sequence of arrays
    places: tuple[tuple[Buffer, Dim], ...]
    types: tuple[ShapedArray, ...]  # of the values there
    operands: int  # how many of them are read; the others are written
    source: Source | None = None


@record
class Origin:
    """What a statement is for: a value of an operation, and the user's line with that."""

    value: ShapedArray
    operation: str
    line: Source | None

    def __str__(self) -> str:
        where = "" if self.line is None else f" (at {self.line})"
        return f"{self.value.text()} of {self.operation}{where}"


@record(eq=False)
class Copy:
    """Copy `size` elements between places."""

    target: tuple[Buffer, Dim]
    source: tuple[Buffer, Dim]
    size: Dim
    origin: Origin | None = None


@record(eq=False)
class Swap:
    """Exchange the memory of two buffers."""

    first: Buffer
    second: Buffer
    origin: Origin | None = None


@record(eq=False)
class Note:
    """Names what the next statements compute."""

    text: str


Statement = (
    Loop | Init | Assign | Fold | Store | If | While | Routine | Callback | Copy | Swap | Note
)


@record(eq=False)
class Kernel:
    """The entry of a compiled Program: parameters, statements in order, and the plan of its buffers."""

    name: str
    inputs: tuple[Buffer, ...]
    outputs: tuple[Buffer, ...]
    dims: tuple[str, ...]  # the symbols, in the order in which their values are passed
    body: tuple[Statement, ...]
    aliases: tuple[tuple[int, int], ...] = ()  # (output, input) that may share memory
    offsets: Mapping[Buffer, Dim] = MappingProxyType({})  # of each temp in the arena, in bytes
    arena: Dim = 0
    # Buffers in the memory of another one.
    shares: Mapping[Buffer, Buffer] = MappingProxyType({})
    # What its routines of these names do, those that others call first.  Each takes its inputs, then its outputs; an
    # output that it updates may lie where the input does.
    functions: Mapping[str, Kernel] = MappingProxyType({})

    def memories(self) -> dict[Buffer, Buffer]:
        """Of each buffer that lies, or may lie, in the memory of another one: the one that stands for all."""
        taken = {self.outputs[out]: self.inputs[inp] for out, inp in self.aliases}
        shared = {b: self.memory_of(b) for b in self.shares}
        return taken | {b: taken.get(memory, memory) for b, memory in shared.items()}

    def memory_of(self, buffer: Buffer) -> Buffer:
        """The buffer whose memory a buffer uses: itself, or the one that it shares."""
        while buffer in self.shares:
            buffer = self.shares[buffer]
        return buffer

    def is_idle(self, statement: Statement) -> bool:
        """Whether a copy or an exchange has nothing to do, as both sides are the same memory."""
        match statement:
            case Copy((target, at), (source, start)):
                return at == start and self.memory_of(target) is self.memory_of(source)
            case Swap(first, second):
                return self.memory_of(first) is self.memory_of(second)
            case _:
                return False

    def busy(self) -> Kernel:
        """The same without idle statements, and without loops and branches that are left with nothing."""

        def kept(body: tuple[Statement, ...]) -> tuple[Statement, ...]:
            found: list[Statement] = []
            for s in body:
                if isinstance(s, (Loop, If)):
                    inside, orelse = kept(s.body), kept(s.orelse) if isinstance(s, If) else ()
                    given = any(not isinstance(x, Note) for x in (*inside, *orelse))
                    if not given and children(s):
                        continue
                    if inside != s.body:
                        s = replace(s, body=inside)
                    if isinstance(s, If) and orelse != s.orelse:
                        s = replace(s, orelse=orelse)
                    found.append(s)
                elif isinstance(s, While):
                    found.append(While(kept(s.test), s.condition, kept(s.body)))
                elif not self.is_idle(s):
                    found.append(s)
            return tuple(found)

        return self.with_body(kept(self.body)).with_functions(Kernel.busy)

    def __str__(self) -> str:
        return show(self)

    def with_body(self, body: tuple[Statement, ...]) -> Kernel:
        """The same with other statements."""
        return replace(self, body=body)

    def with_functions(self, change: Callable[[Kernel], Kernel]) -> Kernel:
        """The same with its functions changed."""
        if not self.functions:
            return self
        return replace(self, functions={name: change(f) for name, f in self.functions.items()})


def children(statement: Statement) -> tuple[Statement, ...]:
    """The statements inside, in the order in which they are written."""
    inside = bodies(statement)
    return inside[0] if len(inside) == 1 else tuple([s for body in inside for s in body])


def bodies(statement: Statement) -> tuple[tuple[Statement, ...], ...]:
    """The lists of statements inside, each of which is a scope.

    The one of a `While` has its condition in the middle, as a branch with nothing in it.
    """
    match statement:
        case Loop():
            return (statement.body,)
        case If():
            return (statement.body, statement.orelse) if statement.orelse else (statement.body,)
        case While():
            return ((*statement.test, If(statement.condition, ()), *statement.body),)
        case _:
            return ()


def changes(statement: Statement) -> tuple[Expr, ...]:
    """The locals that a statement itself gives another value."""
    match statement:
        case Assign(targets, _, _):
            return targets
        case Fold(local, _, _, _):
            return (local,)
        case _:
            return ()


def folded_into(statement: Statement) -> Iterator[tuple[Expr, Expr]]:
    """The locals that a statement folds something into, and the state of nothing in each."""
    if isinstance(statement, Fold):
        yield statement.local, statement.identity
    elif isinstance(statement, Assign) and statement.fold is not None:
        yield from zip(statement.locals, statement.fold.starts, strict=True)


class Changes:
    """Which locals from outside statements change.  It is kept: each loop and branch around them asks again."""

    def __init__(self) -> None:
        self._inside: dict[int, tuple[Statement, tuple[Expr, ...]]] = {}  # by identity

    def of(self, statements: Sequence[Statement]) -> list[Expr]:
        """The locals that begin before the statements, and have another value after them, in order."""
        found, own = dict[Expr, None](), set[Expr]()
        for s in statements:
            if isinstance(s, Init):
                own.add(s.local)
            found.update(dict.fromkeys(self._of_one(s)))
        return [local for local in found if local not in own]

    def _of_one(self, s: Statement) -> tuple[Expr, ...]:
        inside = children(s)
        if not inside:
            return changes(s)
        known = self._inside.get(id(s))
        if known is None:
            known = self._inside[id(s)] = s, tuple(self.of(inside))
        return known[1]


def walk(body: Sequence[Statement]) -> Iterator[Statement]:
    """All statements, outer before inner."""
    stack = list(reversed(body))
    while stack:  # a generator for each level would hand each statement up through all of them
        statement = stack.pop()
        yield statement
        stack.extend(reversed(children(statement)))


def expressions(statement: Statement) -> tuple[Expr, ...]:
    """The scalar expressions of a statement, those inside it not included."""
    match statement:
        case Init(_, value):
            return (value,)
        case Fold(_, _, value, identity):
            return (value, identity)
        case Assign(_, values, _):
            return values
        case Store(_, _, value, condition):
            return (value,) if condition is None else (value, condition)
        case If(condition, _, _):
            return (condition,)
        case _:
            return ()


def nodes(roots: Iterable[Expr], seen: set[Expr]) -> Iterator[Expr]:
    """All nodes of expressions, also of the indices that come from data; `seen` holds those visited before."""
    stack = list(roots)
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        yield node
        stack += below(node) if node.op in _WITH_MORE else node.args


_WITH_MORE = frozenset(
    ("load", "index", "iterate")
)  # that are computed from more than their operands


def below(e: Expr) -> Sequence[Expr]:
    """What an expression is computed from: its operands, the values in its place, the body of an iteration."""
    match e.op:
        case "load":
            return [*e.args, *index_values(e.attr[1])]  # type: ignore[index]
        case "index":
            return [*e.args, *index_values(e.attr)]  # type: ignore[arg-type]
        case "iterate":
            return [*e.args, e.attr.condition, *e.attr.step]  # type: ignore[union-attr]
        case _:
            return e.args


def roots(statement: Statement) -> tuple[Expr, ...]:
    """All expressions that a statement computes: its own, and those that its places and sizes depend on."""
    found = list(expressions(statement))
    for d in indices(statement):
        if not isinstance(d, int):
            found += index_values(d)
    return tuple(found)


def indices(statement: Statement) -> tuple[Dim, ...]:
    """The places, sizes and extents of a statement, those inside it not included."""
    match statement:
        case Store(_, index, _, _):
            return (index,)
        case Loop(_, extent):
            return (extent,)
        case Routine(_, places, parameters):
            return (*[place for _, place in places], *parameters)
        case Callback(_, _, places, types, _, _):
            return (*[place for _, place in places], *[d for t in types for d in t.shape])
        case Copy((_, at), (_, start), size):
            return at, start, size
        case _:
            return ()


def index_values(index: Dim) -> list[Expr]:
    """The scalar expressions that an index depends on."""
    if isinstance(index, int):
        return []
    found: list[Expr] = []
    pending = [factor for monomial, _ in index.terms for factor in monomial]
    while pending:
        factor = pending.pop()
        if isinstance(factor.payload, Expr):
            found.append(factor.payload)
        for arg in factor.args:
            if not isinstance(arg, int):
                pending.extend(a for monomial, _ in arg.terms for a in monomial)
    return found


def show(kernel: Kernel) -> str:
    """The Kernel as text: parameters, the buffer plan, statements."""
    lines = [
        f"kernel {kernel.name}({', '.join([_declare(b) for b in (*kernel.inputs, *kernel.outputs)])})"
    ]
    if kernel.dims:
        lines.append(f"    dims {', '.join(kernel.dims)}")
    for out, inp in kernel.aliases:
        lines.append(f"    {kernel.outputs[out]} may lie on {kernel.inputs[inp]}")
    for buffer, offset in kernel.offsets.items():
        lines.append(f"    {_declare(buffer)} at arena + {offset}")
    for buffer, other in kernel.shares.items():
        lines.append(f"    {_declare(buffer)} in the memory of {other}")
    lines.extend(_show_body(kernel.body, "    ", kernel.is_idle))
    lines.extend(show(f) for f in kernel.functions.values())
    return "\n".join(lines)


def title(statement: Statement) -> str:
    """The first line of a statement."""
    return next(_show_body((statement,), ""))


def _declare(buffer: Buffer) -> str:
    return f"{buffer.name}: {buffer.dtype.name}[{buffer.size}]"


def _show_body(
    body: tuple[Statement, ...],
    indent: str,
    is_idle: Callable[[Statement], bool] = lambda statement: False,
) -> Iterator[str]:
    for statement in body:
        match statement:
            case Loop(_, extent, inner, schedule):
                yield f"{indent}for {statement.name} < {extent}:{schedule}"
                yield from _show_body(inner, indent + "    ", is_idle)
            case If(condition, inner, orelse):
                yield f"{indent}if {show_expr(condition)}:"
                yield from _show_body(inner, indent + "    ", is_idle)
                if orelse:
                    yield f"{indent}else:"
                    yield from _show_body(orelse, indent + "    ", is_idle)
            case While(test, condition, inner):
                yield f"{indent}while:"
                yield from _show_body(test, indent + "    ", is_idle)
                yield f"{indent}if {show_expr(condition)}, do:"
                yield from _show_body(inner, indent + "    ", is_idle)
            case Init(local, value):
                yield f"{indent}{show_expr(local)} := {_clip(value)}"
            case Assign(targets, values, _):
                names = ", ".join(map(show_expr, targets))
                yield f"{indent}{names} := {', '.join(map(_clip, values))}"
            case Fold(local, op, value, _):
                yield f"{indent}{show_expr(local)} {op}= {_clip(value)}"
            case Store(buffer, index, value, condition):
                when = "" if condition is None else f" if {_clip(condition)}"
                yield f"{indent}{buffer}[{show_index(index)}] := {_clip(value)}{when}"
            case Routine(name, places, parameters):
                where = ", ".join(f"{b}[{offset}:]" for b, offset in places)
                yield f"{indent}{name}({where}; {', '.join(map(str, parameters))})"
            case Callback(who, _, places, types, operands, _):
                values = [
                    f"{b}[{place}:]: {t.text()}"
                    for (b, place), t in zip(places, types, strict=True)
                ]
                given = f"{', '.join(values[operands:])} := " if values[operands:] else ""
                yield f"{indent}{given}call {who.name}({', '.join(values[:operands])})"
            case Copy(target, source, size):
                place = f"{indent}{target[0]}[{target[1]}:] := {source[0]}[{source[1]}:] ({size})"
                yield place + "  (nothing to do)" * is_idle(statement)
            case Swap(first, second):
                yield f"{indent}{first} <-> {second}" + "  (nothing to do)" * is_idle(statement)
            case Note(text):
                yield f"{indent}# {text}"


def _clip(e: Expr, limit: int = 400) -> str:
    """An expression as text; a very long one is cut (sharing would be written out again and again)."""
    if _size(e, limit) >= limit:
        return f"<{e.op} of more than {limit} nodes>"
    return show_expr(e)


def _size(e: Expr, limit: int) -> int:
    count, stack = 0, [e]
    while stack and count < limit:
        count += 1
        stack.extend(stack.pop().args)
    return count
