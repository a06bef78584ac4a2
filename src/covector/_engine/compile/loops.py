"""Lowering of scan: a loop whose carry lies in two buffers that take turns, or, if it is tiny, in locals."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from covector._engine import primitives as prims
from covector._engine.backends.base import Job, Limits
from covector._engine.compile.elements import Elements, Place, buffer_size, constant
from covector._engine.compile.fuse import fold_operands, fold_space, folds
from covector._engine.compile.nest import Folding, Names, parts, store, whole
from covector._engine.control.loop import Scan
from covector._engine.core.primitive import Index, Mapped, Reduction, Scalar
from covector._engine.ir import index as ix
from covector._engine.ir.kernel import Assign, Copy, Init, Loop, Statement, Swap
from covector._engine.ir.program import Eqn, Literal, Program, Var
from covector._engine.ir.scalar import Expr
from covector._engine.types import dims, dtypes
from covector._engine.types.dims import Dim

PlaceOf = Callable[[Var], Place | None]


class Lowering(Protocol):
    """What lowering a loop needs from `compile/lower.py`: fresh names and buffers, and its body lowered."""

    job: Job
    names: Names

    def temp_like(self, v: Var, stem: str = "t") -> Place: ...
    def program(
        self, program: Program, inputs: Sequence[Place], outputs: Sequence[Place]
    ) -> list[Statement]: ...


def lower_scan(lowering: Lowering, eqn: Eqn, place_of: PlaceOf) -> list[Statement]:
    """The statements of a scan."""
    scan = eqn.primitive
    assert isinstance(scan, Scan)
    statements: list[Statement] = []
    sources = [_stored(lowering, a, place_of, statements) for a in eqn.inputs]
    targets = [place_of(v) or lowering.temp_like(v) for v in eqn.outputs]
    lower = _tiny_scan if is_tiny(scan, lowering.job.target.limits) else _buffered_scan
    return statements + lower(lowering, eqn, sources, targets)


def _stored(lowering: Lowering, atom: Any, place_of: PlaceOf, statements: list[Statement]) -> Place:
    """The place of an operand; a literal is stored first."""
    if isinstance(atom, Literal):
        place = lowering.temp_like(Var(atom.aval))
        statements += store(place, (), (), constant(atom.value, atom.aval.dtype))
        return place
    place = place_of(atom)
    assert place is not None
    return place


def _step(scan: Scan, name: str) -> tuple[Dim, Dim]:
    """The loop variable, and the position in the stacked arrays that it stands for."""
    t = ix.loop_variable(name, scan.length)
    return t, scan.length - 1 - t if scan.reverse else t


def _slice(place: Place, v: Any, position: Dim) -> Place:
    """Where one step's slice of a stacked array is."""
    return Place(place.buffer, place.offset + position * v.aval.size)


def _copy(target: Place, source: Place, v: Any) -> Statement:
    factor = 2 if dtypes.is_complex(v.aval.dtype) else 1
    return Copy(
        (target.buffer, target.offset * factor),
        (source.buffer, source.offset * factor),
        buffer_size(v.aval),
    )


def _buffered_scan(
    lowering: Lowering, eqn: Eqn, sources: list[Place], targets: list[Place]
) -> list[Statement]:
    scan = eqn.primitive
    assert isinstance(scan, Scan)
    body, k, c = scan.body, scan.num_consts, scan.num_carry
    t, position = _step(scan, lowering.names.fresh("t"))
    carry_in = body.inputs[k : k + c]
    current = [lowering.temp_like(v, "carry") for v in carry_in]
    following = [lowering.temp_like(v, "next") for v in carry_in]
    before: list[Statement] = []
    swaps: list[Statement] = []
    for n, v in enumerate(carry_in):
        if body.outputs[n] is v:  # never changes
            current[n] = following[n] = sources[k + n]
            continue
        before.append(_copy(current[n], sources[k + n], v))
        swaps.append(Swap(current[n].buffer, following[n].buffer))
    slices = [
        _slice(p, v, position) for p, v in zip(sources[k + c :], body.inputs[k + c :], strict=True)
    ]
    stacks = [_slice(p, a, position) for p, a in zip(targets[c:], body.outputs[c:], strict=True)]
    inside = lowering.program(body, [*sources[:k], *current, *slices], [*following, *stacks])
    after = [_copy(targets[n], current[n], v) for n, v in enumerate(carry_in)]
    return [*before, Loop(t, scan.length, (*inside, *swaps)), *after]


# ------------------------------------------------------------------------------------------------- tiny bodies


def is_tiny(scan: Scan, limits: Limits) -> bool:
    """Whether a body can be written out element by element."""
    body, k, c = scan.body, scan.num_consts, scan.num_carry
    stored = {*body.inputs[:k], *body.inputs[k + c :]}
    total = 0
    for eqn in body.eqns:
        if (
            isinstance(eqn.primitive, prims.Gather | prims.DynamicSlice)
            and eqn.inputs[0] not in stored
        ):
            return False  # a place that comes from data: locals have none
        if not isinstance(eqn.primitive, Mapped | Reduction | prims.DotGeneral):
            return False
        if folds(eqn):
            shape, _ = fold_space(eqn)
            if not dims.is_constant(shape):
                return False
            total += dims.product(shape)  # type: ignore[operator]
        for v in eqn.outputs:
            if not dims.is_constant(v.aval.shape) or v.aval.size > limits.tiny_array:
                return False
            total += v.aval.size  # type: ignore[operator]
    return total <= limits.tiny_body and all(
        dims.is_constant(a.aval.shape) and a.aval.size <= limits.tiny_array for a in body.outputs
    )


class UnrolledElements(Elements):
    """Elements of a tiny Program: folds are written out too."""

    def __init__(self, eqn_of: dict[Var, Eqn], place_of: PlaceOf, names: Names):
        super().__init__(eqn_of, place_of)
        self.names = names

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
        for n, point in enumerate(itertools.product(*[range(int(shape[a])) for a in inner])):
            for a, i in zip(inner, point, strict=True):
                fixed[a] = i
            at = tuple(fixed)
            if isinstance(eqn.primitive, prims.DotGeneral):
                left, right = fold_operands(eqn, at)
                value: Any = (self.at(eqn.inputs[0], left), self.at(eqn.inputs[1], right))
            else:
                value = self.at(eqn.inputs[0], at)
            lifted = folding.reduction.lift(value, at)
            # The first element replaces the start: one operation less, and no 0 + -0.
            state = lifted if n == 0 and folding.operation else self._merge(folding, state, lifted)
        return folding.reduction.finish(state, folding.dtype)

    def _merge(self, folding: Folding, state: Any, lifted: Any) -> Any:
        if isinstance(folding.eqn.primitive, prims.DotGeneral):
            return tuple(a + b for a, b in zip(state, lifted, strict=True))
        return folding.reduction.combine(state, lifted)


def _points(v: Any) -> list[Index]:
    return list(itertools.product(*[range(int(n)) for n in v.aval.shape]))


def _tiny_scan(
    lowering: Lowering, eqn: Eqn, sources: list[Place], targets: list[Place]
) -> list[Statement]:
    scan = eqn.primitive
    assert isinstance(scan, Scan)
    body, k, c, names = scan.body, scan.num_consts, scan.num_carry, lowering.names
    t, position = _step(scan, names.fresh("t"))
    places = dict(zip(body.inputs[:k], sources[:k], strict=True))
    for v, place in zip(body.inputs[k + c :], sources[k + c :], strict=True):
        places[v] = _slice(place, v, position)
    eqn_of = {v: e for e in body.eqns for v in e.outputs}
    elements = UnrolledElements(eqn_of, places.get, names)
    before: list[Statement] = []
    carried: list[tuple[Var, Index, Scalar]] = []
    for v, place in zip(body.inputs[k : k + c], sources[k : k + c], strict=True):
        reader = Elements({}, lambda _, place=place: place)
        for at in _points(v):
            start = parts(reader.at(v, at))
            local = whole([names.local(e.dtype, "c") for e in start])
            before += [Init(one, e) for one, e in zip(parts(local), start, strict=True)]
            elements.bound[v, at] = local
            carried.append((v, at, local))
    for inner in body.eqns:  # in order, so that no recursion grows with the body
        for v in inner.outputs:
            for at in _points(v):
                elements.at(v, at)
    inside: list[Statement] = []
    for a, place in zip(body.outputs[c:], targets[c:], strict=True):
        for at in _points(a):
            inside += store(_slice(place, a, position), a.aval.shape, at, elements.at(a, at))
    locals_, values = [], []
    for a, v in zip(body.outputs[:c], body.inputs[k : k + c], strict=True):
        for at in _points(v):
            new = parts(elements.at(a, at))
            old = parts(elements.bound[v, at])
            pairs = [(x, y) for x, y in zip(old, new, strict=True) if x is not y]
            locals_ += [x for x, _ in pairs]
            values += [y for _, y in pairs]
    if locals_:
        inside.append(Assign(tuple(locals_), tuple(values)))
    after: list[Statement] = []
    index_of = {v: n for n, v in enumerate(body.inputs[k : k + c])}
    for v, at, local in carried:
        after += store(targets[index_of[v]], v.aval.shape, at, local)
    return [*before, Loop(t, scan.length, tuple(inside)), *after]
