"""Small Programs written out element by element, their values in registers: bodies of loops on a few numbers."""

from __future__ import annotations

import itertools
from collections.abc import Container, Sequence
from typing import Any

from covector._engine.backends.base import Limits
from covector._engine.base.depth import deep
from covector._engine.base.record import replace
from covector._engine.compile.elements import Elements
from covector._engine.compile.folding import Folding
from covector._engine.compile.fuse import fold_places, fold_space, folds
from covector._engine.compile.late import equations_last
from covector._engine.core.families import Folded, Mapped, Update
from covector._engine.core.primitive import Primitive
from covector._engine.ir.builder import (
    Builder,
    Fit,
    Fitting,
    Kept,
    Names,
    Place,
    StoredElements,
    buffer_dtype,
    buffer_size,
    constant,
    load,
    parts,
    whole,
)
from covector._engine.ir.index import Index
from covector._engine.ir.kernel import Buffer
from covector._engine.ir.program import Eqn, Literal, Program, Var, seen_through
from covector._engine.ir.scalar import Expr, Scalar, combined
from covector._engine.types import dims
from covector._engine.types.avals import ShapedArray
from covector._engine.types.dims import Dim

MADE = -1  # the number that stands for new memory, beside those of the inputs


class Small(Fitting):
    """Programs of small arrays, and of large ones of which single elements are read and changed, in place.

    What was found out of a Program is kept: a loop is asked for by each of those around it.
    """

    def __init__(self, limits: Limits, called: Container[Primitive] = ()):
        self.limits, self.called = limits, called  # functions of their own take what is in memory
        self._fitted: dict[tuple[Program, tuple[bool, ...]], _Fitted] = {}

    def is_tiny(self, aval: ShapedArray) -> bool:
        return dims.is_constant(aval.shape) and bool(aval.size <= self.limits.tiny_array)

    def __call__(self, program: Program, in_locals: Sequence[bool]) -> Fit | None:
        return self.fitted(program, in_locals).result()

    @deep
    def fitted(self, program: Program, in_locals: Sequence[bool]) -> _Fitted:
        """How far a Program fits, and its equations in the order in which they do."""
        key = program, tuple(in_locals)
        found = self._fitted.get(key)
        if found is None:
            ordered = equations_last(seen_through(program))
            found = self._fitted[key] = _Fitted(ordered, in_locals, self)
        return found


def of_any_length(limits: Limits) -> Small:
    """For Programs of which it is known that they are to be written out."""
    return Small(replace(limits, tiny_body=1 << 62, private_row=1 << 62))


class _Fitted:
    """Goes through a Program: which variables lie in memory, and where: at the place of an input, or in new memory."""

    def __init__(self, program: Program, in_locals: Sequence[bool], small: Small):
        self.program, self.small = program, small
        self.stored: dict[Var, int] = {
            v: n
            for n, (v, local) in enumerate(zip(program.inputs, in_locals, strict=True))
            if not local
        }
        self.made: dict[Var, Eqn] = {}  # what is filled anew for each that reads it
        self.gone: set[Var] = set()  # what lay where something else is now
        self.changed: set[int] = set()
        self.size = self.memory = 0
        held = (v for v, local in zip(program.inputs, in_locals, strict=True) if local)
        self.fits = all(small.is_tiny(v.aval) for v in held)
        for eqn in program.eqns:
            self.fits = self.fits and self._equation(eqn) and self._is_short()
            if not self.fits:
                break

    def _is_short(self) -> bool:
        limits = self.small.limits  # of memory: on the thread's stack, for each lane
        return self.size <= limits.tiny_body and self.memory <= limits.private_row

    def result(self) -> Fit | None:
        """How the Program fits."""
        places: list[int | None] = []
        for a in self.program.outputs:
            place = None if self.small.is_tiny(a.aval) else self.stored.get(a, -1)  # type: ignore[arg-type]
            if a in self.gone or (place is not None and place < 0):
                return None
            places.append(place)
        return (
            Fit(tuple(places), frozenset(self.changed - {MADE}), self.size, self.memory)
            if self.fits
            else None
        )

    def _equation(self, eqn: Eqn) -> bool:
        """Take in an equation; whether it fits."""
        p = eqn.primitive
        if not self.gone.isdisjoint(eqn.inputs):
            return False
        made = [a for a in eqn.inputs if isinstance(a, Var) and a in self.made]
        self.memory += sum([int(a.aval.size) for a in made])  # type: ignore[arg-type]
        if isinstance(p, Update):
            return self._update(eqn, p)
        if makes_memory(eqn, self.small):
            self.stored[eqn.outputs[0]] = MADE
            self.made[eqn.outputs[0]] = eqn
            return True
        if p.has_programs:
            return self._inside(eqn)
        if isinstance(p, Mapped):
            if p.at_data and eqn.inputs[0] not in self.stored:
                return False  # a place that comes from data: locals have none
        elif isinstance(p, Folded):
            shape, _ = fold_space(eqn)
            if not dims.is_constant(shape):
                return False
            self.size += int(dims.product(shape))  # type: ignore[arg-type]
        else:
            return False
        return self._in_locals(eqn.outputs)

    def _in_locals(self, values: Sequence[Var]) -> bool:
        for v in values:
            if not self.small.is_tiny(v.aval):
                return False
            self.size += int(v.aval.size)  # type: ignore[arg-type]
        return True

    def _update(self, eqn: Eqn, p: Update) -> bool:
        (out,) = eqn.outputs
        x, update = eqn.inputs[0], eqn.inputs[p.update]
        if not isinstance(x, Var) or x not in self.stored or not self.small.is_tiny(update.aval):
            return False
        self.size += int(update.aval.size)  # type: ignore[arg-type]
        return self._changes(x, eqn) and self._lies(out, x)

    def _changes(self, x: Var, eqn: Eqn) -> bool:
        self.changed.add(self.stored[x])
        if x in self.made:
            return True
        self.gone.add(x)
        return eqn.inputs.count(x) == 1

    def _lies(self, v: Var, x: Var) -> bool:
        self.stored[v] = self.stored[x]
        return True

    def _inside(self, eqn: Eqn) -> bool:
        if eqn.primitive in self.small.called:
            return False
        local = [a not in self.stored for a in eqn.inputs]
        found = eqn.primitive.fits_locals(self.small, local)
        if found is None:
            return False
        self.size += found.size
        self.memory += found.memory
        for v, place in zip(eqn.outputs, found.places, strict=True):
            x = None if place is None else eqn.inputs[place]
            if not (self._lies(v, x) if isinstance(x, Var) else self._in_locals((v,))):
                return False
        inputs = [eqn.inputs[n] for n in found.changed]
        return all(self._changes(x, eqn) for x in inputs if isinstance(x, Var))


def makes_memory(eqn: Eqn, small: Fitting) -> bool:
    """Whether an equation fills a large array with one number, or is memory that something will fill."""
    p = eqn.primitive
    if not p.scratch and not (p.fills and isinstance(eqn.inputs[0], Literal)):
        return False
    aval = eqn.outputs[0].aval
    return dims.is_constant(aval.shape) and not small.is_tiny(aval)


def written_out(program: Program, inputs: Sequence[Kept], b: Builder, small: Small) -> list[Kept]:
    """The results of a Program that fits, where each input lies at a place or is these elements."""
    fitted = small.fitted(program, [not isinstance(x, Place) for x in inputs])
    program = fitted.program
    assert fitted.fits, program
    places = {v: x for v, x in zip(program.inputs, inputs, strict=True) if isinstance(x, Place)}
    elements = _WrittenOut({v: e for e in program.eqns for v in e.outputs}, places, b.names)
    for v, x in zip(program.inputs, inputs, strict=True):
        if not isinstance(x, Place):
            elements.bound.update(((v, at), element) for at, element in x.items())
    for eqn in program.eqns:  # in order, so that no recursion grows with the body
        _write(eqn, elements, places, b, fitted)
    return [
        places[a]
        if isinstance(a, Var) and a in places and not small.is_tiny(a.aval)
        else {at: elements.at(a, at) for at in points(a.aval.shape)}
        for a in program.outputs
    ]


def _write(
    eqn: Eqn, elements: _WrittenOut, places: dict[Var, Place], b: Builder, fitted: _Fitted
) -> None:
    """The elements of an equation's results, and the statements that are needed for them."""
    if eqn.outputs[0] in fitted.made:
        return
    given: list[Place | None] = []
    for a in eqn.inputs:  # one that is there twice is filled twice: each may be changed
        if isinstance(a, Var) and a in fitted.made:
            places[a] = _filled(fitted.made[a], b)
        given.append(places.get(a) if isinstance(a, Var) else None)
    if isinstance(eqn.primitive, Update):
        _change(eqn, eqn.primitive, elements, places, b)
    elif eqn.primitive.has_programs:
        operands: list[Kept] = [
            {at: elements.at(a, at) for at in points(a.aval.shape)} if place is None else place
            for a, place in zip(eqn.inputs, given, strict=True)
        ]
        for v, found in zip(eqn.outputs, eqn.primitive.written(b, operands), strict=True):
            if isinstance(found, Place):
                places[v] = found
            else:
                elements.bound.update(((v, at), element) for at, element in found.items())
    else:
        roots = {fitted.stored.get(a) for a in eqn.inputs if isinstance(a, Var)}
        passing = not roots.isdisjoint(fitted.changed)  # what is there changes: it is read here
        for v in eqn.outputs:
            for at in points(v.aval.shape):
                element = elements.at(v, at)
                if passing:
                    elements.bound[v, at] = whole([b.local(e) for e in parts(element)])


def _change(
    eqn: Eqn, p: Update, elements: _WrittenOut, places: dict[Var, Place], b: Builder
) -> None:
    """Store an update's elements where the operand lies, which is where the result does."""
    (out,), x, update = eqn.outputs, eqn.inputs[0], eqn.inputs[p.update]
    assert isinstance(x, Var)
    place = places[out] = places[x]
    views = [elements.view(a) for a in eqn.inputs]
    for at in [(*i,) for i in points(update.aval.shape)]:
        where, inside = p.target(at, *views)
        value = elements.at(update, at)
        if p.combination != "set":
            value = combined(
                p.combination, StoredElements(place, out.aval).at(where, inside), value
            )
        b.store(place, out.aval.shape, where, value, inside)


def _filled(eqn: Eqn, b: Builder) -> Place:
    """New memory, which each run of the loops around has for itself."""
    aval, size = eqn.outputs[0].aval, eqn.outputs[0].aval.size
    buffer = Buffer(b.names.fresh("stack"), buffer_dtype(aval), buffer_size(aval), "local")
    if eqn.primitive.scratch:
        return Place(buffer)
    (number,) = eqn.inputs
    assert isinstance(number, Literal)
    i = b.variable("i", size)
    with b.loop(i, size):
        b.store(Place(buffer), (size,), (i,), constant(number.value, aval.dtype))
    return Place(buffer)


def points(shape: Sequence[Any]) -> list[Index]:
    """All indices of a shape, in order."""
    return list(itertools.product(*[range(int(n)) for n in shape]))


class _WrittenOut(Elements):
    """Elements of a small Program: folds are written out too."""

    def __init__(self, eqn_of: dict[Var, Eqn], places: dict[Var, Place], names: Names):
        super().__init__(eqn_of, places.get)
        self.names = names

    def _one(self, buffer: Buffer, offset: Dim, condition: Expr | None) -> Expr:
        """A load for each variable: two that lie in one place are what was there and what is there now."""
        return load(buffer, offset, condition)

    def _compute(self, var: Var, index: Index, condition: Expr | None) -> Scalar:
        shape = var.aval.shape
        if any(isinstance(i, int) and not 0 <= i < n for i, n in zip(index, shape, strict=True)):
            return constant(
                var.aval.dtype.type(0), var.aval.dtype
            )  # around a padded operand: not used
        eqn = self.eqn_of.get(var)
        if eqn is None or not folds(eqn):
            return super()._compute(var, index, condition)
        shape, inner = fold_space(eqn)
        folding = Folding(eqn, self.names)
        outer = iter(index)
        fixed = [0 if a in inner else next(outer) for a in range(len(shape))]
        state = folding.starts
        for n, point in enumerate(points([shape[a] for a in inner])):
            for a, i in zip(inner, point, strict=True):
                fixed[a] = i
            at = tuple(fixed)
            places = zip(eqn.inputs, fold_places(eqn, at), strict=True)
            lifted = folding.fold.lift(at, *[self.at(a, place) for a, place in places])
            # The first element replaces the start: one operation less, and no 0 + -0.
            first = n == 0 and folding.operation
            state = lifted if first else folding.fold.combine(state, lifted)
        return folding.fold.finish(state, folding.dtype)
