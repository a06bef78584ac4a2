"""Program: typed straight-line tensor IR, immutable, and its printed form."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import WeakSet

import numpy as np

from covector._engine.base.caches import forgotten_by, members
from covector._engine.base.depth import deep
from covector._engine.base.errors import Source
from covector._engine.base.record import fields, record, replace
from covector._engine.ir.effects import Effect, is_kept
from covector._engine.types.avals import ShapedArray
from covector._engine.types.dims import Dim, Polynomial, substitute

if TYPE_CHECKING:
    from collections.abc import Callable

    from covector._engine.core.primitive import Primitive


class Var:
    """A name bound once.  Identity is equality."""

    __slots__ = ("aval",)

    def __init__(self, aval: ShapedArray):
        self.aval = aval

    def __repr__(self) -> str:
        return f"Var({self.aval.text()})"


class Literal:
    """A scalar constant in place.  `number` is the Python number that it was rounded from, if it was one."""

    __slots__ = ("aval", "number", "value")

    def __init__(self, value: np.generic, aval: ShapedArray, number: complex | None = None):
        self.value, self.aval, self.number = value, aval, number

    def __repr__(self) -> str:
        return f"{self.value}"

    @property
    def val(self) -> np.generic:
        """The value, under the name that JAX has for it."""
        return self.value


Atom = Var | Literal


class Eqn:
    """One application of a primitive: inputs to outputs, with the user's line it comes from."""

    __slots__ = ("inputs", "outputs", "primitive", "source")

    def __init__(
        self,
        primitive: Primitive,
        inputs: tuple[Atom, ...],
        outputs: tuple[Var, ...],
        source: Source | None,
    ):
        self.primitive, self.inputs, self.outputs, self.source = primitive, inputs, outputs, source

    @property
    def effects(self) -> frozenset[Effect]:
        """What running it does beside computing its outputs."""
        return self.primitive.effects

    def __repr__(self) -> str:
        return f"Eqn({self.primitive}, {self.inputs}, {self.outputs})"


@record(eq=False)
class Program:
    """Inputs, equations in order, outputs.

    `constants` are inputs whose values are known: they follow `inputs` when it runs.  They are concrete
    arrays, or tracers of an enclosing trace until the Program is closed over them.
    """

    inputs: tuple[Var, ...]
    eqns: tuple[Eqn, ...]
    outputs: tuple[Atom, ...]
    constant_vars: tuple[Var, ...] = ()
    constants: tuple[Any, ...] = ()
    name: str = "main"
    derived: ClassVar[dict[Any, Any] | None] = (
        None  # of a Program: what was made of it, see `derived_from`
    )
    _effects: ClassVar[frozenset[Effect] | None] = None

    @property
    def consts(self) -> list[Any]:
        """The values of its constants, as JAX's Jaxprs call them."""
        return list(self.constants)

    @property
    def in_avals(self) -> tuple[ShapedArray, ...]:
        return tuple(v.aval for v in self.inputs)

    @property
    def out_avals(self) -> tuple[ShapedArray, ...]:
        return tuple(a.aval for a in self.outputs)

    @property
    def effects(self) -> frozenset[Effect]:
        """What running it does beside computing its outputs."""
        pending = [] if self._effects is not None else [self]
        while pending:  # those inside first, and each once: the Programs around ask again
            eqns = pending[-1].eqns
            inside = [p for e in eqns if e.primitive.has_programs for p in e.primitive.programs()]
            missing = [p for p in inside if p._effects is None]
            if missing:
                pending += missing
                continue
            found = frozenset[Effect]().union(*[eqn.effects for eqn in eqns])
            object.__setattr__(pending.pop(), "_effects", found)
        assert self._effects is not None
        return self._effects

    @property
    def depth(self) -> int:
        """How many levels of Programs are inside of it, those of calls as well."""
        found: dict[Program, int] = {}
        pending = [self]
        while pending:
            eqns = [e for e in pending[-1].eqns if e.primitive.has_programs]
            inside = [p for e in eqns for p in e.primitive.programs()]
            missing = [p for p in inside if p not in found]
            if missing:
                pending += missing
                continue
            found[pending.pop()] = 1 + max([found[p] for p in inside], default=-1)
        return found[self]

    def within(self) -> list[Program]:
        """This Program and all inside of it, each once."""
        found: dict[Program, None] = {self: None}
        pending = [self]
        while pending:
            eqns = [e for e in pending.pop().eqns if e.primitive.has_programs]
            new = [p for e in eqns for p in e.primitive.programs() if p not in found]
            found |= dict.fromkeys(new)
            pending += new
        return list(found)

    def close(self) -> Program:
        """The same Program with its constants as ordinary trailing inputs."""
        return Program(self.inputs + self.constant_vars, self.eqns, self.outputs, name=self.name)

    def __str__(self) -> str:
        return show(self)

    def __repr__(self) -> str:
        return show(self)


class ShortNames:
    """Short names for variables: a, b, ..., z, aa, ..."""

    def __init__(self) -> None:
        self._names: dict[Var, str] = {}
        self._fresh = map("".join, itertools.chain.from_iterable(
            itertools.product("abcdefghijklmnopqrstuvwxyz", repeat=n) for n in itertools.count(1)
        ))  # fmt: skip

    def __getitem__(self, atom: Atom) -> str:
        if isinstance(atom, Literal):
            return f"{atom.value}"
        if atom not in self._names:
            self._names[atom] = next(self._fresh)
        return self._names[atom]

    def typed(self, atom: Atom) -> str:
        return f"{self[atom]}:{atom.aval.text()}"


@deep
def show(program: Program, indent: str = "", names: ShortNames | None = None) -> str:
    """The Program as text, an equation a line, with the user's lines at the right."""
    names = ShortNames() if names is None else names
    head = ", ".join(names.typed(v) for v in program.inputs)
    if program.constant_vars:
        head += "; " + ", ".join(names.typed(v) for v in program.constant_vars)
    lines = [f"{indent}{program.name}({head}) {{"]
    for eqn in program.eqns:
        lines.extend(_show_eqn(eqn, indent + "    ", names))
    lines.append(f"{indent}    return {', '.join(names[a] for a in program.outputs)}")
    lines.append(indent + "}")
    return "\n".join(lines)


def _show_eqn(eqn: Eqn, indent: str, names: ShortNames) -> Iterable[str]:
    outs = ", ".join(names.typed(v) for v in eqn.outputs)
    args = " ".join(names[a] for a in eqn.inputs)
    given = f"{outs} = " if outs else ""
    text = f"{indent}{given}{eqn.primitive.text()} {args}".rstrip()
    yield text if eqn.source is None else f"{text:<72}  # {eqn.source}"
    for program in eqn.primitive.programs():
        yield show(program, indent + "  ")


def map_eqns(
    program: Program, eqns: Sequence[Eqn], outputs: Sequence[Atom] | None = None
) -> Program:
    """The same Program with other equations (and outputs)."""
    return Program(
        program.inputs, tuple(eqns), program.outputs if outputs is None else tuple(outputs),
        program.constant_vars, program.constants, program.name,
    )  # fmt: skip


def atoms_read(program: Program) -> set[Atom]:
    """What the equations read, and the results: an input that is not among them does not matter."""
    return {a for eqn in program.eqns for a in eqn.inputs} | {*program.outputs}


def inputs_read(program: Program) -> tuple[bool, ...]:
    """Which of its inputs it reads."""
    read = atoms_read(program)
    return tuple([v in read for v in program.inputs])


def replace_inputs(program: Program, inputs: Sequence[Var]) -> Program:
    """The same closed Program with its inputs in another order, or with others."""
    return Program(tuple(inputs), program.eqns, program.outputs, name=program.name)


def renamed(program: Program, names: Mapping[Atom, Atom], inputs: Sequence[Var]) -> Program:
    """The same closed Program with these inputs, and other atoms in the place of some."""
    eqns = [
        Eqn(e.primitive, tuple([names.get(a, a) for a in e.inputs]), e.outputs, e.source)
        for e in program.eqns
    ]
    outputs = tuple([names.get(a, a) for a in program.outputs])
    return Program(tuple(inputs), tuple(eqns), outputs, name=program.name)


def without_dead_code(
    program: Program, keep: Callable[[Eqn], bool] = lambda eqn: is_kept(eqn.effects)
) -> Program:
    """Without equations, and parts of them, whose results nobody reads."""
    live = {a for a in program.outputs if isinstance(a, Var)}
    kept: list[Eqn] = []
    same = True
    for eqn in reversed(program.eqns):
        used = [v in live for v in eqn.outputs]
        if not any(used) and not keep(eqn):
            same = False
            continue
        if not all(used) and (left := eqn.primitive.live(used)) is not None:
            same = False
            primitive, takes, gives = left
            inputs = tuple(itertools.compress(eqn.inputs, takes))
            outputs = tuple(itertools.compress(eqn.outputs, gives))
            eqn = Eqn(primitive, inputs, outputs, eqn.source)
        kept.append(eqn)
        live.update(a for a in eqn.inputs if isinstance(a, Var))
    return program if same else map_eqns(program, kept[::-1])


_derived: WeakSet[Program] = WeakSet()  # those from which something was derived


def derived_from(program: Program) -> dict[Any, Any]:
    """What was derived from a Program, by what was asked for.

    It is with the Program, not in a table of all: a callback in what was derived may lead back to the Program, and
    only in a cycle of objects does the collector of garbage see that.
    """
    table = program.derived
    if table is None:
        table = {}
        object.__setattr__(program, "derived", table)
        _derived.add(program)
    return table


def _forget() -> None:
    for program in members(_derived):
        object.__setattr__(program, "derived", None)
    _derived.clear()


forgotten_by(_forget)


class Rewriting:
    """A change of a Program, and of the Programs inside: each is changed once, however many equations hold it.

    What a loop does forwards is in its way back several times, and that again in the way back of the loop around it.
    With `kept`, which names the change, what it gives is remembered as long as the Program lives: a change that is
    asked for anew for each level gives the same Programs each time.
    """

    def __init__(
        self, change: Callable[[Program, Rewriting], Program], kept: Hashable | None = None
    ):
        self._change, self._kept = change, kept
        self._done: dict[Program, Program] = {}

    @deep
    def __call__(self, program: Program) -> Program:
        table: dict[Any, Any] = self._done if self._kept is None else derived_from(program)
        key = program if self._kept is None else self._kept
        found = table.get(key)
        if found is None:
            found = table[key] = self._change(program, self)
        return found

    def inside(self, p: Primitive) -> Primitive:
        """The primitive that holds the changed Programs."""
        if not p.has_programs:
            return p
        before = p.programs()
        after = [self(program) for program in before]
        return p if all(map(operator.is_, before, after)) else p.with_programs(after)


def inline_calls(program: Program) -> Program:
    """The Program with the bodies of its calls in their place, and the same done in the Programs inside.

    Rules are gone with the calls: this is for what is not transformed again.
    """
    return Rewriting(lambda program, inside: _inlined(program, inside, lambda _: False))(program)


def inline_transparent(program: Program, but: type[Any] | None = None) -> Program:
    """The same, but what has rules of its own stays as it is, and what is of a class."""

    def stays(p: Primitive) -> bool:
        return not p.transparent or (but is not None and isinstance(p, but))

    kept = inline_transparent, but
    return Rewriting(lambda program, inside: _inlined(program, inside, stays), kept)(program)


def _inlined(program: Program, inlined: Rewriting, leaves: Callable[[Primitive], bool]) -> Program:
    if not any(eqn.primitive.has_programs for eqn in program.eqns):
        return program
    eqns: list[Eqn] = []
    env: dict[Atom, Atom] = {}
    same = True

    def atom(a: Atom) -> Atom:
        return env.get(a, a) if isinstance(a, Var) else a

    @deep
    def run(body: Program, arguments: Sequence[Atom]) -> list[Atom]:
        nonlocal same
        env.update(zip(body.inputs, arguments, strict=True))
        for eqn in body.eqns:
            inputs = tuple([atom(a) for a in eqn.inputs])
            called = eqn.primitive.inlined()
            stays = called is not None and leaves(eqn.primitive)
            if called is not None and not stays:
                same = False
                env.update(zip(eqn.outputs, run(called, inputs), strict=True))
                continue
            outputs = tuple([Var(v.aval) for v in eqn.outputs])  # a body may be inlined twice
            env.update(zip(eqn.outputs, outputs, strict=True))
            primitive = eqn.primitive if stays else inlined.inside(eqn.primitive)
            same = same and primitive is eqn.primitive
            eqns.append(Eqn(primitive, inputs, outputs, eqn.source))
        return [atom(a) for a in body.outputs]

    outputs = run(program, program.inputs)
    if same:
        return program
    return Program(program.inputs, tuple(eqns), tuple(outputs), name=program.name)


def seen_through(program: Program) -> Program:
    """The Program without what only hands operands on."""
    if not any(eqn.primitive.passes_on for eqn in program.eqns):
        return program
    names: dict[Atom, Atom] = {}
    eqns: list[Eqn] = []
    for eqn in program.eqns:
        inputs = tuple([names.get(a, a) for a in eqn.inputs])
        if eqn.primitive.passes_on:
            names.update(zip(eqn.outputs, inputs, strict=True))
        else:
            eqns.append(Eqn(eqn.primitive, inputs, eqn.outputs, eqn.source))
    return map_eqns(program, eqns, [names.get(a, a) for a in program.outputs])


@deep
def with_dims(program: Program, values: Mapping[str, Dim]) -> Program:
    """The Program for these values of its symbolic dimensions: in types and in primitives' parameters."""
    variables: dict[Var, Var] = {}

    def typed(aval: ShapedArray) -> ShapedArray:
        shape = tuple(substitute(d, values) for d in aval.shape)
        return ShapedArray(shape, aval.dtype, aval.weak_type)

    def atom(a: Atom) -> Atom:
        return a if isinstance(a, Literal) else var(a)

    def var(v: Var) -> Var:
        found = variables.get(v)
        if found is None:
            found = variables[v] = Var(typed(v.aval))
        return found

    def field(x: object) -> object:
        if isinstance(x, Polynomial):
            return substitute(x, values)
        if isinstance(x, tuple):
            return tuple(map(field, x))
        return with_dims(x, values) if isinstance(x, Program) else x

    eqns: list[Eqn] = []
    for eqn in program.eqns:
        p = eqn.primitive
        changed = {name: field(getattr(p, name)) for name in fields(p)}
        p = replace(p, **changed) if any(x is not getattr(p, n) for n, x in changed.items()) else p
        outputs = tuple(map(var, eqn.outputs))
        eqns.append(Eqn(p, tuple(map(atom, eqn.inputs)), outputs, eqn.source))
    return Program(
        tuple(map(var, program.inputs)),
        tuple(eqns),
        tuple(map(atom, program.outputs)),
        tuple(map(var, program.constant_vars)),
        program.constants,
        program.name,
    )
