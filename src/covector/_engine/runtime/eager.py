"""Eager evaluation: one primitive on arrays, by kernels compiled once and kept.

Elementwise primitives and functions have kernels for a symbolic length, so that a new shape compiles nothing; the
native ufuncs call them.  Other primitives are compiled for their operands' types.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from itertools import compress
from typing import TYPE_CHECKING, Any

from covector._engine import _native, primitives as prims
from covector._engine.base.caches import forgotten_by
from covector._engine.base.config import config
from covector._engine.control.call import Call
from covector._engine.core import numbers, trace
from covector._engine.core.levels import LevelTracer, outside, trace_of
from covector._engine.core.primitive import Primitive
from covector._engine.core.symbolic import Zero, is_zero
from covector._engine.ir.effects import CHECKING
from covector._engine.ir.program import Eqn, Program, Var, map_eqns, without_dead_code
from covector._engine.runtime.batched import level_entry
from covector._engine.runtime.late import compile_program, evaluate_checked, look_at
from covector._engine.runtime.linearized import are_numbers, as_array, fitted, met_again
from covector._engine.transforms.batch import Batching
from covector._engine.transforms.forward import Tape, linearize_flat
from covector._engine.transforms.transpose import pull
from covector._engine.transforms.widen import with_numbers
from covector._engine.types import dims, dtypes
from covector._engine.types.avals import ShapedArray

if TYPE_CHECKING:
    from covector._engine.runtime.executable import Executable

OperandTypes = tuple[tuple[int, bool, bool], ...]


def aval_of(x: Any) -> ShapedArray:
    """The type of an Array."""
    return ShapedArray(x.shape, x.dtype, x.weak_type)


@functools.lru_cache(8192)
def executable(
    primitive: Primitive,
    avals: tuple[ShapedArray, ...],
    numbers: tuple[bool, ...],
    flags: tuple[object, ...],
) -> Executable:
    """The compiled form of a primitive on operands of these types, while the flags that change code are so.

    The operands in `numbers` are Python numbers.
    """
    inputs = tuple(map(Var, avals))
    return compile_program(with_numbers(one_equation(primitive, inputs), numbers))


def one_equation(primitive: Primitive, inputs: tuple[Var, ...]) -> Program:
    """The Program of a primitive alone, on operands of some types."""

    def run(*xs: Any) -> Sequence[Any]:
        out = primitive(*xs)
        return out if primitive.multiple else (out,)

    with trace.using(trace.EVAL):
        program = trace.stage(run, [v.aval for v in inputs], primitive.name)
    # It serves for all lines that apply the primitive to such operands.
    return map_eqns(program, [Eqn(e.primitive, e.inputs, e.outputs, None) for e in program.eqns])


@functools.cache
def ufunc_of(primitive: prims.ElementwiseBase, arity: int) -> Any:
    """The native ufunc of an elementwise primitive."""

    def run(*xs: Any) -> Any:
        return primitive(*xs)

    return _native.Ufunc(
        primitive.name,
        functools.partial(_python_form, primitive),
        lambda signature: compile_ufunc(run, signature),
        arity,
    )


def _python_form(primitive: Primitive, *args: Any) -> Any:
    """What a ufunc does where no kernel serves, and what it is where it is traced.

    In a batch operands may lack the leading axes of others.
    """
    shape: tuple[Any, ...] = max([x.shape for x in args], key=len)
    given = [
        prims.Broadcast(shape, tuple(range(len(shape) - x.ndim)))(x)
        if 0 < x.ndim < len(shape)
        else x
        for x in args
    ]
    return primitive(*given) if trace.current().staging else general(primitive, *given)


def evaluate(primitive: Primitive, args: Sequence[Any]) -> Any:
    """The result of a primitive on concrete operands: the evaluator that `core.trace` calls."""
    if isinstance(primitive, prims.ElementwiseBase):
        return ufunc_of(primitive, len(args))(*[as_array(x) for x in args])
    if primitive.effects and not primitive.has_programs:
        arrays = [host_operand(primitive, x) for x in args]
        found = primitive.on_host(arrays)
        if found is not NotImplemented:
            results = found if primitive.multiple else (found,)
            if config.debug_nans or config.debug_infs:
                look_at(primitive.name, arrays, results)
            if any(type(x) is trace.Array and x.committed for x in arrays):
                results = tuple(map(_native.commit, results))
            return results if primitive.multiple else results[0]
    if primitive.same_memory:
        x = as_array(args[0])
        aval = primitive.type(aval_of(x))
        if isinstance(aval, ShapedArray) and dims.is_constant(aval.shape):
            return _native.reshape(x, tuple([int(n) for n in aval.shape]))
    return general(primitive, *args)


def general(primitive: Primitive, *args: Any) -> Any:
    """A primitive compiled for its operands' types.

    Users' checks in Programs that no `jit` compiles, such as those of rules, raise where they fail.
    """
    if CHECKING in primitive.effects:
        operands = [operand_of(primitive, x) for x in args]
        program = one_equation(primitive, tuple([Var(trace.typeof(x)) for x in operands]))
        outs = evaluate_checked(program.close(), [*operands, *program.constants])
        return tuple(outs) if primitive.multiple else outs[0]
    function = acting_function_of if primitive.effects else function_of
    return function(primitive)(*[operand_of(primitive, x) for x in args])


def operand_of(primitive: Primitive, x: Any) -> Any:
    """An operand as an Array; for what holds Programs a number stays one, as it has more bits."""
    if primitive.has_programs:
        plain = numbers.plain_number(x)
        if type(plain) in numbers.SCALARS and trace.typeof(plain) == trace.typeof(x):
            return plain
    return as_array(x)


def host_operand(primitive: Primitive, x: Any) -> Any:
    """An operand as an Array, of a number with all bits where the primitive asks for them."""
    if primitive.asks_for_bits and isinstance(x, numbers.SCALARS):
        aval = trace.typeof(x).wide()
        if aval is not None:
            return fitted(numbers.plain_number(x), aval)
    return as_array(x)


@functools.lru_cache(32)
def acting_function_of(primitive: Primitive) -> Any:
    """The function of a loop that calls back: it keeps the user's functions alive, so few are kept."""
    return _compiled(primitive, executable.__wrapped__)


@functools.lru_cache(8192)
def function_of(primitive: Primitive) -> Any:
    """The native function of a primitive, which looks the operands' types up as `jit` does."""
    return _compiled(primitive, executable)


def as_function(program: Program, committed: bool = False) -> Any:
    """The native function of a closed Program, for values of levels: what was compiled of it goes with it."""
    return _compiled(Call(program), executable.__wrapped__, committed)


def _compiled(
    primitive: Primitive, executable: Callable[..., Executable], committed: bool = False
) -> Any:
    """The function, by what compiles the primitive for operands of some types."""
    seen: set[Any] = set()

    def _executable(args: tuple[Any, ...]) -> Executable:
        return executable(
            primitive, tuple(map(trace.typeof, args)), are_numbers(args), config.code_key()
        )

    def miss(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if any(isinstance(x, LevelTracer) for x in args):
            first = isinstance(primitive, prims.ElementwiseBase) and not met_again(seen, args)
            return None if first else _level_entry(primitive, args, committed)
        made = _executable(args)
        if made.native is None:
            return None
        constants = [as_array(c) for c in made.program.constants]
        spec = _out_spec(primitive, len(made.out_avals))
        kept = list(range(len(args)))
        return _native.Entry(made.native, kept, constants, spec, committed=committed)

    def bypass(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if any(isinstance(x, LevelTracer) for x in args):
            return by_rules(primitive, args)
        made = _executable(args)
        results = made([fitted(x, a) for x, a in zip(args, made.program.in_avals, strict=True)])
        return tuple(results) if primitive.multiple else results[0]

    return _native.JitFunction(primitive, _native.Calls(miss, bypass))


def _out_spec(primitive: Primitive, results: int) -> tuple[Any, ...]:
    leaves = [("leaf", n) for n in range(results)]
    return ("tuple", leaves) if primitive.multiple else leaves[0]


def _level_entry(primitive: Primitive, args: Sequence[Any], committed: bool) -> Any:
    """A call of a primitive with operands of the innermost level, compiled; None if it must go by its rules."""
    if primitive.effects or primitive.axis_names:
        return None
    program = primitive.inlined() if primitive.transparent else None
    constants: Sequence[Any] = ()
    if program is None:
        staged = one_equation(primitive, tuple([Var(trace.typeof(x)) for x in args]))
        program, constants = staged.close(), staged.constants
    spec = _out_spec(primitive, len(program.outputs))
    return level_entry(program, args, constants, spec, as_function, committed)


def by_rules(primitive: Primitive, args: Sequence[Any]) -> Any:
    """A primitive with operands of levels, by the traces that are written in Python."""
    marks, _ = _native.marks(args)
    level = _native.level()
    assert level is not None
    if all(mark is None for mark in marks):  # it is of a level further out, or leaked
        inside = trace_of(level)
        with outside(inside):
            assert inside.parent is not None
            return inside.parent.process(primitive, args)
    if isinstance(level, _native.Batch):
        return batched_by_rules(primitive, args, marks, level)
    return _taped_by_rules(primitive, args, tuple([mark is not None for mark in marks]), level)


def batched_by_rules(
    primitive: Primitive, args: Sequence[Any], axes: Sequence[int | None], batch: _native.Batch
) -> Any:
    """The same in a batch, where operands have these batch axes."""
    inside = trace_of(batch)
    values = [x if axis is None else x.value for x, axis in zip(args, axes, strict=True)]
    with outside(inside):
        how = Batching(batch.size, inside.axis_name, batch)
        out, found = how.applied(primitive, values, axes)
        if not primitive.multiple:
            return out if found is None else batch.input(as_array(out), found)
        pairs = zip(out, found, strict=True)
        return tuple([x if axis is None else batch.input(as_array(x), axis) for x, axis in pairs])


def _taped_by_rules(
    primitive: Primitive, args: Sequence[Any], live: tuple[bool, ...], tape: _native.Tape
) -> Any:
    """The same on a tape, as one node of it."""
    tracers = tuple(compress(args, live))
    primals = [x.primal if mine else x for x, mine in zip(args, live, strict=True)]

    def run(*xs: Any) -> Sequence[Any]:
        out = primitive(*xs)
        return out if primitive.multiple else (out,)

    with outside(trace_of(tape)):  # users' functions must not record on it what they close over
        outs, linear = linearize_flat(run, primals, live)
    back = ByRules(linear, [trace.typeof(out) for out in outs])
    nonzero = [i is not None for i in linear.outputs]
    on_tape = iter(
        tape.record(tracers, tuple([as_array(x) for x in compress(outs, nonzero)]), back)
    )
    results = [next(on_tape) if there else out for out, there in zip(outs, nonzero, strict=True)]
    return tuple(results) if primitive.multiple else results[0]


class ByRules:
    """What leads back from the results of a primitive to its operands on the tape, or forward, by its rules."""

    __slots__ = ("linear", "types")

    def __init__(self, linear: Tape, types: Sequence[ShapedArray]):
        self.linear, self.types = linear, types

    def push(self, residuals: Sequence[Any], tangents: Sequence[Any]) -> Sequence[Any]:
        """The tangents of the results that are on the tape; the residuals are the rules' own."""
        return [t for t in self.linear.push(tangents) if t is not None]

    def pull(self, residuals: Sequence[Any], cotangents: Sequence[Any]) -> list[Any]:
        """The cotangents of the operands, under the current trace; those that are zero may be symbolic."""
        given = iter(cotangents)
        cts = [None if i is None else next(given) for i in self.linear.outputs]
        types = zip(cts, self.types, strict=True)
        return pull(self.linear, [Zero(t) if ct is None else ct for ct, t in types])

    def __call__(self, cotangents: Sequence[Any]) -> list[Any]:
        """The cotangents of the operands as arrays; None where they are zero."""
        return [None if is_zero(ct) else as_array(ct) for ct in self.pull((), cotangents)]


def compile_ufunc(python: Callable[..., Any], signature: OperandTypes) -> Any:
    """A kernel for operands of symbolic length n, or single numbers: what a native ufunc asks for.

    None if the function is not one kernel from elements to elements without scratch memory, or refuses such operands:
    called as it is, it says so with their own shapes.  And none with weak operands where a result is weak by its shape.
    """
    by_shape = getattr(python, "weak_by_shape", "")  # the kinds of dtypes of which it is
    kinds = {dtypes.kind(dtypes.ALL[code]) for code, weak, _ in signature if weak}
    if not kinds.isdisjoint(by_shape):
        return None
    n = dims.symbol("n", 0)
    avals = [
        ShapedArray(() if scalar else (n,), dtypes.ALL[code], weak)
        for code, weak, scalar in signature
    ]
    try:
        with trace.using(trace.EVAL):
            program = trace.stage(
                lambda *xs: [python(*xs)], avals, getattr(python, "__name__", "ufunc")
            )
    except TypeError:
        return None
    if program.constants or program.out_avals[0].shape != (n,):
        return None
    made = compile_program(without_dead_code(program))
    out = program.out_avals[0]
    kernel = made.loaded.elementwise()
    if kernel is None:
        return None
    address, keepalive = kernel
    return (
        address,
        dtypes.CODES[out.dtype],
        out.weak_type,
        max(made.loaded.cost_ns, 0.05),
        keepalive,
    )


trace.set_evaluator(evaluate)
forgotten_by(executable.cache_clear)
forgotten_by(function_of.cache_clear)
