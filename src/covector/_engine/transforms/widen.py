"""Numbers that keep their bits inside a Program.

A Python number is weakly typed: it takes the dtype of the arrays that it meets, with all of its 64 bits if they have
so many.  A Program that is traced for one cannot know which they are, and computes with it in 32 bits.  So before it is
compiled, what was computed from numbers alone and becomes one of 64 bits is computed once more, in 64 bits, from the
numbers themselves: through loops and branches, which then carry both.  What nothing needs any more is dead code.

Nobody else knows of it: Programs, their transformations and users' functions see numbers of 32 bits.
"""

from __future__ import annotations

from itertools import compress

from covector._engine import primitives as prims
from covector._engine.base.errors import Source
from covector._engine.base.record import record
from covector._engine.core.primitive import Primitive
from covector._engine.ir.program import (
    Atom,
    Eqn,
    Literal,
    Program,
    Var,
    atoms_read,
    inline_calls,
    map_eqns,
    without_dead_code,
)
from covector._engine.transforms.programs import Mask, derived
from covector._engine.types import dtypes
from covector._engine.types.avals import ShapedArray


def with_numbers(program: Program, numbers: Mask) -> Program:
    """The Program for arguments of which those in the mask are Python numbers: their inputs may have 64 bits then.

    An integer of which 32 bits are needed too has an input of 32: what does not fit them is an error.
    """
    if not meets_64_bits(program):
        return program
    closed = inline_calls(program.close())
    count = len(closed.inputs)
    takes = _narrow(closed, numbers)
    found = wide_program(closed, takes, (False,) * len(closed.outputs)).program
    read = atoms_read(found)
    inputs, first = list(closed.inputs), list[Eqn]()
    for i, wide in zip(compress(range(count), takes), found.inputs[count:], strict=True):
        narrow = inputs[i]
        exact = not dtypes.is_inexact(narrow.aval.dtype)
        if wide not in read:
            continue
        if narrow in read:
            made, of = (wide, narrow) if exact else (narrow, wide)
            first.append(Eqn(prims.Convert(made.aval.dtype, True), (of,), (made,), None))
        if narrow not in read or not exact:
            inputs[i] = wide
    n, eqns = len(program.inputs), (*first, *found.eqns)
    constants = tuple(inputs[n:]), program.constants
    return Program(tuple(inputs[:n]), eqns, found.outputs, *constants, program.name)


def from_numbers(program: Program, numbers: Mask) -> Program:
    """The Program that takes those of its inputs that are floating numbers in 64 bits, and rounds them."""
    inputs, first = list(program.inputs), list[Eqn]()
    for i in compress(range(len(inputs)), _narrow(program, numbers)):
        aval = inputs[i].aval
        if dtypes.is_inexact(aval.dtype):
            wide = Var(_wide(aval))
            first.append(Eqn(prims.Convert(aval.dtype, True), (wide,), (inputs[i],), None))
            inputs[i] = wide
    return Program(
        tuple(inputs),
        (*first, *program.eqns),
        program.outputs,
        program.constant_vars,
        program.constants,
        program.name,
    )


def _narrow(program: Program, numbers: Mask) -> Mask:
    """Those of the inputs in a mask, which may be shorter, that have less bits than they could."""
    mask = (*numbers, *[False] * (len(program.inputs) - len(numbers)))
    return tuple(
        [m and v.aval.wide() is not None for m, v in zip(mask, program.inputs, strict=True)]
    )


def meets_64_bits(program: Program) -> bool:
    """Whether a weakly typed value of 32 bits becomes one of 64 anywhere, also in the Programs inside."""
    seen, pending = {program}, [program]
    while pending:  # a stack of our own: calls nest deep
        for eqn in pending.pop().eqns:
            if asks_for_bits(eqn):
                return True
            new = [p for p in eqn.primitive.programs() if p not in seen]
            seen.update(new)
            pending += new
    return False


def asks_for_bits(eqn: Eqn) -> bool:
    """Whether an equation takes what may come from numbers with all the bits that these have."""
    return eqn.primitive.asks_for_bits and any(a.aval.wide() is not None for a in eqn.inputs)


@record(eq=False)
class WideProgram:
    """A Program that takes some inputs in 64 bits too, after its own, and gives such results after its own."""

    program: Program
    gives: Mask  # which results it gives in 64 bits too


@derived
def wide_program(program: Program, takes: Mask, asked: Mask, wanted: Mask = ()) -> WideProgram:
    """The Program that also takes the inputs in `takes` in 64 bits.

    It also gives those of the results in `asked` that come from numbers, and those in `wanted` in any case.
    """
    widening = _Widening(program, asked)
    taken = tuple([Var(_wide(v.aval)) for v in compress(program.inputs, takes)])
    widening.forms.update(zip(compress(program.inputs, takes), taken, strict=True))
    widening.run()
    results: list[Atom | None] = [None] * len(asked)
    for i in compress(range(len(asked)), asked):
        found = widening.wide(program.outputs[i])
        if found is None and wanted and wanted[i]:
            found = widening.widened(program.outputs[i])
        results[i] = found
    gives = tuple([x is not None for x in results])
    outputs = (*program.outputs, *[x for x in results if x is not None])
    made = Program((*program.inputs, *taken), tuple(widening.eqns), outputs, name=program.name)
    return WideProgram(_without_unread(made), gives)


def _without_unread(program: Program) -> Program:
    """Without dead code, and without operands of what holds Programs that these do not read: numbers of 32 bits."""
    eqns: list[Eqn] = []
    for eqn in without_dead_code(program).eqns:
        left = eqn.primitive.live([True] * len(eqn.outputs)) if eqn.primitive.has_programs else None
        if left is not None and not all(left[1]):
            inputs = tuple(compress(eqn.inputs, left[1]))
            eqn = Eqn(left[0], inputs, eqn.outputs, eqn.source)
        eqns.append(eqn)
    return without_dead_code(map_eqns(program, eqns))


class _Widening:
    """The equations of a Program, and those that compute the forms in 64 bits that something asks for."""

    def __init__(self, program: Program, asked: Mask):
        self.program = program
        self.eqns: list[Eqn] = []
        self.forms: dict[Var, Atom] = {}
        self.constant: set[Atom] = set()
        self.needed: set[Atom] = set(compress(program.outputs, asked))
        self.asking: set[Eqn] = set()

    def run(self) -> None:
        """Go through the equations, those that ask for such forms by the rules of their primitives."""
        for eqn in reversed(self.program.eqns):
            inside = any(map(meets_64_bits, eqn.primitive.programs()))
            if inside or asks_for_bits(eqn) or not self.needed.isdisjoint(eqn.outputs):
                self.asking.add(eqn)
                self.needed.update([a for a in eqn.inputs if a.aval.wide() is not None])
        for eqn in self.program.eqns:
            if eqn not in self.asking:
                self.eqns.append(eqn)
                continue
            forms = eqn.primitive.widened(eqn, self)
            for v, form in zip(eqn.outputs, forms, strict=True):
                if form is not None:
                    self.forms[v] = form
                    if all(self.is_constant(a) for a in eqn.inputs if a.aval.wide() is not None):
                        self.constant.add(v)

    # -- what rules ask: `core.inside.Widening` --------------------------------------------------------

    def wide(self, a: Atom) -> Atom | None:
        if isinstance(a, Var):
            return self.forms.get(a)
        aval = a.aval.wide()
        if aval is None:
            return None
        return Literal(aval.dtype.type(a.value if a.number is None else a.number), aval, a.number)

    def widened(self, a: Atom, source: Source | None = None) -> Atom:
        found = self.wide(a)
        if found is None:
            found = self.computed(prims.Convert(_wide(a.aval).dtype, True), (a,), source)
        return found

    def is_constant(self, a: Atom) -> bool:
        return isinstance(a, Literal) or a in self.constant

    def record(self, eqn: Eqn) -> None:
        self.eqns.append(eqn)

    def computed(
        self, primitive: Primitive, inputs: tuple[Atom, ...], source: Source | None
    ) -> Var:
        aval = primitive.type(*[a.aval for a in inputs])
        assert not isinstance(aval, tuple)
        result = Var(aval)
        self.eqns.append(Eqn(primitive, inputs, (result,), source))
        return result


def _wide(aval: ShapedArray) -> ShapedArray:
    """The type in 64 bits of what has one."""
    wide = aval.wide()
    assert wide is not None
    return wide
