"""Eager evaluation: one primitive on arrays, by kernels compiled once and kept.

Elementwise primitives and functions have kernels for a symbolic length, so that a new shape compiles nothing; the
native ufuncs call them.  Other primitives are compiled for their operands' types.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from covector._engine import _native, primitives as prims
from covector._engine.base.caches import forgotten_by
from covector._engine.base.config import config
from covector._engine.core import trace
from covector._engine.core.primitive import Primitive
from covector._engine.core.trace import Array
from covector._engine.ir.program import Program, Var, without_dead_code
from covector._engine.runtime.late import compile_program
from covector._engine.types import dims, dtypes
from covector._engine.types.avals import ShapedArray

if TYPE_CHECKING:
    from covector._engine.runtime.executable import Executable

OperandTypes = tuple[tuple[int, bool, bool], ...]


def as_array(x: Any) -> Any:
    """An operand as an Array: NumPy values keep their dtype, Python's numbers are weak."""
    if type(x) is Array:
        return x
    aval = trace.typeof(x)
    if isinstance(x, trace.SCALARS):
        return _native.scalar(x, aval.dtype, aval.weak_type)
    return _native.array_from(np.asarray(x, aval.dtype), weak_type=aval.weak_type)


def aval_of(x: Any) -> ShapedArray:
    """The type of an Array."""
    return ShapedArray(x.shape, x.dtype, x.weak_type)


@functools.lru_cache(8192)
def executable(
    primitive: Primitive, avals: tuple[ShapedArray, ...], flags: tuple[object, ...]
) -> Executable:
    """The compiled form of a primitive on operands of these types, while the flags that change code are so."""
    inputs = tuple(map(Var, avals))
    return compile_program(_one_equation(primitive, inputs))


def _one_equation(primitive: Primitive, inputs: tuple[Var, ...]) -> Program:
    def run(*xs: Any) -> Sequence[Any]:
        out = primitive(*xs)
        return out if primitive.multiple else (out,)

    with trace.using(trace.EVAL):
        return trace.stage(run, [v.aval for v in inputs], primitive.name)


@functools.cache
def ufunc_of(primitive: prims.ElementwiseBase, arity: int) -> Any:
    """The native ufunc of an elementwise primitive."""

    def run(*xs: Any) -> Any:
        return primitive(*xs)

    return _native.Ufunc(
        primitive.name,
        functools.partial(general, primitive),
        lambda signature: compile_ufunc(run, signature),
        arity,
    )


def evaluate(primitive: Primitive, args: Sequence[Any]) -> Any:
    """The result of a primitive on concrete operands: the evaluator that `core.trace` calls."""
    if isinstance(primitive, prims.ElementwiseBase):
        return ufunc_of(primitive, len(args))(*[as_array(x) for x in args])
    if primitive.same_memory:
        x = as_array(args[0])
        shape = primitive.type(aval_of(x)).shape
        if dims.is_constant(shape):
            return _native.reshape(x, tuple([int(n) for n in shape]))
    return general(primitive, *args)


def general(primitive: Primitive, *args: Any) -> Any:
    """A primitive compiled for its operands' types."""
    return function_of(primitive)(*[as_array(x) for x in args])


@functools.lru_cache(8192)
def function_of(primitive: Primitive) -> Any:
    """The native function of a primitive, which looks the operands' types up as `jit` does."""

    def miss(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        made = executable(primitive, tuple(map(aval_of, args)), config.code_key())
        if made.native is None:
            return None
        leaves = [("leaf", n) for n in range(len(made.out_avals))]
        constants = [as_array(c) for c in made.program.constants]
        spec = ("tuple", leaves) if primitive.multiple else leaves[0]
        return _native.Entry(made.native, list(range(len(args))), constants, spec, [])

    def bypass(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        results = executable(primitive, tuple(map(aval_of, args)), config.code_key())(args)
        return tuple(results) if primitive.multiple else results[0]

    return _native.JitFunction(primitive, miss, bypass)


def compile_ufunc(python: Callable[..., Any], signature: OperandTypes) -> Any:
    """A kernel for operands of symbolic length n, or single numbers: what a native ufunc asks for.

    None if the function is not one kernel from elements to elements without scratch memory, or refuses such operands:
    called as it is, it says so with their own shapes.
    """
    n = dims.symbol("n", 0)
    avals = [
        ShapedArray(() if scalar else (n,), dtypes.ALL[code], weak and code != 0)
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
