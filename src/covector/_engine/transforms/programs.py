"""The transformations of Programs: stage the interpreter run under the trace.  What was derived is kept per Program."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import wraps
from itertools import compress
from typing import Any, ParamSpec, TypeVar

from covector._engine import primitives as prims
from covector._engine.base import errors
from covector._engine.base.caches import forgotten_by
from covector._engine.base.depth import deep
from covector._engine.base.locks import guard
from covector._engine.base.record import record
from covector._engine.core.refs import Later
from covector._engine.core.symbolic import Zero, is_zero
from covector._engine.core.trace import (
    EVAL,
    _state,
    current,
    evaluate,
    stage,
    using,
)
from covector._engine.ir.program import (
    Atom,
    Eqn,
    Literal,
    Program,
    Var,
    derived_from,
    map_eqns,
    replace_inputs,
    without_dead_code,
)
from covector._engine.transforms.batch import batch_flat, place_axis
from covector._engine.transforms.forward import (
    FlatFunction,
    Tape,
    jvp_flat,
    linearize_flat,
    record_flat,
)
from covector._engine.transforms.transpose import transpose_flat
from covector._engine.types.avals import ShapedArray
from covector._engine.types.dims import Dim

P = ParamSpec("P")
T = TypeVar("T")
Mask = tuple[bool, ...]


def derived(f: Callable[P, T]) -> Callable[P, T]:
    """Remember results as long as the Program lives that is the first argument; the others must be hashable.

    Programs inside of Programs may be as deep as they like: the stack is not.
    """

    @wraps(f)
    def cached(*args: P.args, **kwargs: P.kwargs) -> T:
        assert not kwargs
        program, *rest = args
        table, key = derived_from(program), (f, *rest)  # type: ignore[arg-type]
        if key in table:
            return table[key]
        # Else each equation looks for it, through all frames of the derivation.
        before = _state.source
        _state.source = before or errors.user_source()
        try:
            found = table[key] = roomy(*args, **kwargs)
        finally:
            _state.source = before
        return found

    roomy = deep(f)
    return cached


# By what they do, the last used last: see `interned`.
_interned: OrderedDict[Any, Program] = OrderedDict()
MAX_INTERNED = 1024
# Those that call back: they keep the user's functions alive, with all that these close over.
_acting: OrderedDict[Any, Program] = OrderedDict()
MAX_ACTING = 32
_lock = guard(threading.RLock())
forgotten_by(_interned.clear)


def interned(program: Program) -> Program:
    """The Program that stands for all that do the same, from the same lines of the user's.

    So what was derived from it and compiled of it is found again when a function is traced again.  The Program must
    be closed: it has no constants.  One that calls back is kept by what it is traced into alone, if there is that.
    """
    assert not program.constants
    table, most = _interned, MAX_INTERNED
    if program.effects:
        if current().staging:
            return program
        table, most = _acting, MAX_ACTING
    key = _content(program)
    with _lock:
        found = table.setdefault(key, program)
        table.move_to_end(key)
        if len(table) > most:
            table.popitem(last=False)
    return found


def _content(program: Program) -> Any:
    """A key that is equal for Programs that differ only in the identity of their variables."""
    numbers: dict[Atom, int] = {v: i for i, v in enumerate(program.inputs)}

    def atom(a: Atom) -> Any:
        return numbers[a] if isinstance(a, Var) else (a.aval, a.value.tobytes())

    eqns: list[Any] = []
    for eqn in program.eqns:
        inputs = tuple([atom(a) for a in eqn.inputs])
        source = eqn.source
        where = None if source is None else (source.code, source.line)
        types = tuple([v.aval for v in eqn.outputs])
        eqns.append((eqn.primitive, inputs, types, where))
        for v in eqn.outputs:
            numbers[v] = len(numbers)
    return program.name, program.in_avals, tuple(eqns), tuple([atom(a) for a in program.outputs])


def stage_closed(
    f: FlatFunction, avals: Sequence[ShapedArray], name: str, later: bool = False
) -> tuple[Program, tuple[Any, ...]]:
    """The Program of a function with its constants as trailing inputs, and their values.

    `later`: it runs on a way back, so what it does to references is done then.
    """
    with using(EVAL):
        program = stage(f, avals, name, Later() if later else None)
    program = without_dead_code(program)
    return program.close() if program.constants else program, program.constants


def stage_without_constants(f: FlatFunction, avals: Sequence[ShapedArray], name: str) -> Program:
    """The Program of a rule, which makes what it gives of its operands and of numbers."""
    program, constants = stage_closed(f, avals, name)
    assert not constants, f"{name} closes over arrays"
    return program


@derived
def part_of(program: Program, gives: Mask, takes: Mask | None = None) -> Program:
    """What a closed Program does for those of its results in a mask; it takes only some inputs, if that is said.

    It is remembered, as are the parts of the Programs inside: else what is dead in loops would be looked for again and
    again, for each loop around them.
    """
    outputs = tuple(compress(program.outputs, gives))
    inputs = program.inputs if takes is None else tuple(compress(program.inputs, takes))
    return without_dead_code(Program(inputs, program.eqns, outputs, name=program.name))


def without_duplicates(program: Program) -> Program:
    """Equal equations merged, so that equal residuals are one."""
    names: dict[Atom, Atom] = {}
    seen: dict[Any, Eqn] = {}
    kept: list[Eqn] = []
    for eqn in program.eqns:
        inputs = tuple([names.get(a, a) for a in eqn.inputs])
        key = (
            eqn.primitive,
            *[a if isinstance(a, Var) else (a.aval, a.value.tobytes()) for a in inputs],
        )
        before = None if eqn.effects else seen.setdefault(key, eqn)
        if before is None or before is eqn:
            kept.append(Eqn(eqn.primitive, inputs, eqn.outputs, eqn.source))
        else:
            names.update(zip(eqn.outputs, before.outputs, strict=True))
    if not names:
        return program
    return map_eqns(program, kept, [names.get(a, a) for a in program.outputs])


@record(eq=False)
class JVPProgram:
    """Inputs: primals, the tangents that are not Zero, constants.  Outputs: primals, tangents that are not Zero."""

    program: Program
    constants: tuple[Any, ...]
    nonzero: Mask  # which output tangents there are


@derived
def jvp_program(program: Program, nonzero: Mask, wanted: Mask = ()) -> JVPProgram:
    """The Program that also pushes tangents forward; output tangents in `wanted` are there even if zero."""
    n = len(program.inputs)
    found: list[bool] = []

    def run(*args: Any) -> list[Any]:
        given = iter(args[n:])
        tangents = [
            next(given) if live else Zero(p) for p, live in zip(args[:n], nonzero, strict=True)
        ]
        outs, out_tangents = jvp_flat(lambda *xs: evaluate(program, xs), args[:n], tangents)
        out_tangents = [
            prims.materialize(t) if want else t
            for t, want in zip(out_tangents, wanted or (False,) * len(outs), strict=True)
        ]
        found[:] = [not is_zero(t) for t in out_tangents]
        return outs + list(compress(out_tangents, found))

    avals = [*program.in_avals, *[a.tangent() for a in compress(program.in_avals, nonzero)]]
    staged, constants = stage_closed(run, avals, f"jvp_{program.name}")
    return JVPProgram(staged, constants, tuple(found))


@record(eq=False)
class SplitProgram:
    """A Program in two: `known` computes what is known, and residuals; `linear` the rest from them.

    Inputs of `known`: the known inputs, constants.  Its outputs: the known outputs, then stored residuals.
    Inputs of `linear`: residuals, then the linear inputs.  `residuals` says where each residual is found in
    [inputs of known, outputs of known].
    """

    known: Program
    constants: tuple[Any, ...]
    linear: Program
    residuals: tuple[int, ...]
    nonzero: Mask  # which outputs `linear` computes

    def residual_values(self, inputs: Sequence[Any], outputs: Sequence[Any]) -> list[Any]:
        """The residuals among the values that `known` was given and gave."""
        values = [*inputs, *outputs]
        return [values[i] for i in self.residuals]


def _split(
    f: Callable[..., tuple[list[Any], Tape]], avals: Sequence[ShapedArray], name: str
) -> SplitProgram:
    """Stage a function that gives known outputs and a tape."""
    taped: list[Any] = []

    def run(*args: Any) -> list[Any]:
        outs, tape = f(*args)
        linear, residuals = _with_few_axes(*tape.program(f"linear_{name}"))
        taped[:] = [linear, tuple(i is not None for i in tape.outputs), len(outs)]
        return outs + residuals

    known, constants = stage_closed(run, avals, f"known_{name}")
    linear, nonzero, count = taped
    known, linear = _filled_again(known, linear, count)
    known, where = with_residuals(known, count)
    return SplitProgram(known, constants, linear, where, nonzero)


def _filled_again(known: Program, linear: Program, count: int) -> tuple[Program, Program]:
    """The same, where arrays of one number are no residuals: out of a branch they would come as whole arrays.

    The linear Program's first inputs are what the known one gives after so many results.
    """
    fills = {
        e.outputs[0]: e for e in known.eqns if e.primitive.fills and type(e.inputs[0]) is Literal
    }
    residuals = known.outputs[count:]
    rows = list(zip(linear.inputs, residuals, strict=False))
    again = [
        Eqn(fills[a].primitive, fills[a].inputs, (v,), fills[a].source)
        for v, a in rows
        if a in fills
    ]
    if not again:
        return known, linear
    left = [(v, a) for v, a in rows if a not in fills]
    inputs = (*[v for v, _ in left], *linear.inputs[len(rows) :])
    outputs = (*known.outputs[:count], *[a for _, a in left])
    linear = Program(inputs, (*again, *linear.eqns), linear.outputs, name=linear.name)
    return without_dead_code(map_eqns(known, known.eqns, outputs)), linear


# An array has at most 64 axes, and each loop around gives the residuals of its steps one more.
MOST_AXES = 32


def _with_few_axes(linear: Program, residuals: list[Any]) -> tuple[Program, list[Any]]:
    """A linear Program and its residuals, which come first: those of many axes as rows."""
    inputs, eqns, values = list(linear.inputs), list[Eqn](), list(residuals)
    for n, value in enumerate(residuals):
        var = linear.inputs[n]
        if var.aval.ndim > MOST_AXES and isinstance(var.aval.size, int):
            row = (var.aval.size,)
            inputs[n], values[n] = Var(var.aval.with_shape(row)), prims.Reshape(row)(value)
            eqns.append(Eqn(prims.Reshape(var.aval.shape), (inputs[n],), (var,), None))
    if not eqns:
        return linear, residuals
    eqns += linear.eqns
    return Program(tuple(inputs), tuple(eqns), linear.outputs, name=linear.name), values


def with_residuals(program: Program, count: int) -> tuple[Program, tuple[int, ...]]:
    """The Program, whose outputs after the first `count` are residuals, without those that it has or gives anyway.

    And where each residual is found in [inputs, outputs].
    """
    program = without_duplicates(program)
    outputs = list(program.outputs[:count])
    places: dict[Any, int] = {}
    for i, a in enumerate((*program.inputs, *outputs)):
        places.setdefault(a, i)
    where: list[int] = []
    for atom in program.outputs[count:]:
        if atom not in places:
            places[atom] = len(program.inputs) + len(outputs)
            outputs.append(atom)
        where.append(places[atom])
    return map_eqns(program, program.eqns, outputs), tuple(where)


@derived
def dependent(program: Program, on: Mask) -> Mask:
    """Which results depend on the inputs in a mask."""
    found = dependents(program, on)
    return tuple([a in found for a in program.outputs])


def dependents(program: Program, on: Mask) -> set[Atom]:
    """What depends on the inputs in a mask: they themselves, and results of equations."""
    found: set[Atom] = set(compress(program.inputs, on))
    for eqn in program.eqns:
        mine = tuple([a in found for a in eqn.inputs])
        if any(mine):
            outs = eqn.primitive.depends(mine)
            found.update(eqn.outputs if outs is None else compress(eqn.outputs, outs))
    return found


@derived
def linearize_program(program: Program, nonzero: Mask, wanted: Mask = ()) -> SplitProgram:
    """The Program's results and residuals; the linear Program from the tangents of inputs in `nonzero` to outputs'.

    Output tangents in `wanted` are there even if zero.
    """

    def run(*args: Any) -> tuple[list[Any], Tape]:
        outs, tape = linearize_flat(lambda *xs: evaluate(program, xs), args, nonzero)
        for i, (want, a) in enumerate(zip(wanted, program.outputs, strict=False)):
            if want:
                tape.instantiate(i, a.aval.tangent())
        return outs, tape

    return _split(run, program.in_avals, program.name)


@derived
def split_program(program: Program, linear: Mask, wanted: Mask = ()) -> SplitProgram:
    """A Program that is linear in some inputs, split into what does not depend on these, and the rest.

    Outputs in `wanted` are computed by the second even if they do not depend on them.
    """
    wanted = wanted or (False,) * len(program.outputs)

    def run(*args: Any) -> tuple[list[Any], Tape]:
        given = iter(args)
        values = [
            v.aval if mine else next(given) for v, mine in zip(program.inputs, linear, strict=True)
        ]
        outs, tape = record_flat(lambda *xs: evaluate(program, xs), values, linear)
        for i, (want, out) in enumerate(zip(wanted, outs, strict=True)):
            if want:
                tape.add_known(i, out)
        return [o for o, i in zip(outs, tape.outputs, strict=True) if i is None], tape

    avals = [v.aval for v, mine in zip(program.inputs, linear, strict=True) if not mine]
    return _split(run, avals, program.name)


@record(eq=False)
class TransposedProgram:
    """Inputs: known inputs, cotangents of outputs that are not Zero, sums, constants.  Outputs: cotangents, not Zero.

    The sums are what cotangents are added to.
    """

    program: Program
    constants: tuple[Any, ...]
    nonzero: Mask  # which linear inputs get a cotangent, among the linear inputs
    summed: Mask = ()  # which of these are added to sums


@derived
def transpose_program(
    program: Program, linear: Mask, given: Mask, wanted: Mask = (), sums: Mask = ()
) -> TransposedProgram:
    """The Program from the outputs' cotangents (those in `given`) to the linear inputs'.

    Of these (masks of the linear inputs) those in `wanted` are there even if zero, and those in `sums` are added to
    what is given, if anything arrives.
    """
    known = [v.aval for v, mine in zip(program.inputs, linear, strict=True) if not mine]
    types = [v.aval.tangent() for v, mine in zip(program.inputs, linear, strict=True) if mine]
    outs = [a.aval.tangent() for a in program.outputs]
    adds, wanted = sums or (False,) * len(types), wanted or (False,) * len(types)
    found: list[bool] = []

    def run(*args: Any) -> list[Any]:
        rest = iter(args)
        values = [
            v.aval if mine else next(rest) for v, mine in zip(program.inputs, linear, strict=True)
        ]
        cts = [next(rest) if live else Zero(a) for a, live in zip(outs, given, strict=True)]
        before = [next(rest) if mine else None for mine in adds]
        result = transpose_flat(program, values, linear, cts, before)
        rows = zip(result, before, wanted, strict=True)
        result = [Zero(x) if ct is x and not want else ct for ct, x, want in rows]
        result = [
            prims.materialize(ct) if want else ct for ct, want in zip(result, wanted, strict=True)
        ]
        found[:] = [not is_zero(ct) for ct in result]
        return list(compress(result, found))

    assert len(types) == sum(linear)
    own = [*known, *compress(outs, given)]
    staged, constants = stage_closed(
        run, [*own, *compress(types, adds)], f"transposed_{program.name}", later=True
    )
    summed = tuple([mine and live for mine, live in zip(adds, found, strict=True)])
    if any(adds):
        n, stop = len(own), len(own) + sum(adds)
        inputs = staged.inputs
        kept = compress(inputs[n:stop], compress(found, adds))
        staged = replace_inputs(staged, (*inputs[:n], *kept, *inputs[stop:]))
    return TransposedProgram(staged, constants, tuple(found), summed)


@record(eq=False)
class BatchedProgram:
    """The Program with batch axes; constants follow the inputs."""

    program: Program
    constants: tuple[Any, ...]
    dims: tuple[int | None, ...]  # the outputs' batch axes


@derived
def batch_program(
    program: Program,
    dims: tuple[int | None, ...],
    size: Dim,
    axis_name: Any = None,
    wanted: Mask = (),
) -> BatchedProgram:
    """The Program on inputs with these batch axes.  Outputs in `wanted` have the batch axis 0."""
    found: list[int | None] = []

    def run(*args: Any) -> list[Any]:
        outs, axes = batch_flat(lambda *xs: evaluate(program, xs), args, dims, size, axis_name)
        for i, want in enumerate(wanted):
            if want:
                outs[i], axes[i] = place_axis(outs[i], axes[i], 0, size), 0
        found[:] = axes
        return outs

    avals = [
        a if d is None else a.with_shape((*a.shape[:d], size, *a.shape[d:]))
        for a, d in zip(program.in_avals, dims, strict=True)
    ]
    staged, constants = stage_closed(run, avals, f"batched_{program.name}")
    return BatchedProgram(staged, constants, tuple(found))
