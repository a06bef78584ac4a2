"""Eager `jvp`: a primitive that tangents go through is one compiled call, which gives its result and the tangent.

The rules run once for each primitive, operands' types, and mask of those with tangents.  `transforms/forward.py` is
the specification, and serves what is inside other traces, what has effects, and what holds Programs: that is one call.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from covector._engine import _native
from covector._engine.base.caches import forgotten_by
from covector._engine.base.config import config
from covector._engine.core import levels
from covector._engine.core.levels import LevelTracer
from covector._engine.core.numbers import SCALARS
from covector._engine.core.primitive import Primitive
from covector._engine.core.symbolic import Zero
from covector._engine.core.trace import typeof
from covector._engine.ir.program import Atom, Var, map_eqns
from covector._engine.runtime.batched import level_entry
from covector._engine.runtime.eager import as_function, one_equation
from covector._engine.runtime.late import compile_program
from covector._engine.runtime.linearized import as_array
from covector._engine.transforms.forward import FlatFunction, jvp_flat
from covector._engine.transforms.programs import Mask, jvp_program
from covector._engine.types.avals import ShapedArray


def push(
    f: FlatFunction, primals: Sequence[Any], tangents: Sequence[Any]
) -> tuple[list[Any], list[Any]]:
    """As `jvp_flat`, by compiled calls where these serve."""
    return jvp_flat(f, primals, tangents, *([_compiled_rule] if levels.serves() else []))


def _compiled_rule(
    primitive: Primitive, primals: Sequence[Any], tangents: Sequence[Any]
) -> tuple[Any, Any]:
    if primitive.effects or primitive.has_programs or primitive.online or primitive.axis_names:
        return primitive.jvp(primals, tangents)
    if _reads_number_in_full(primals):
        return primitive.jvp(primals, tangents)
    live = tuple([type(t) is not Zero for t in tangents])
    given = [t for t in tangents if type(t) is not Zero]
    out, pushed = _function_of(primitive, live)(*map(as_array, (*primals, *given)))
    return out, pushed


def _reads_number_in_full(xs: Sequence[Any]) -> bool:
    """Whether a Python number may be read as it is written, and not in the dtype that it has alone."""
    numbers = [isinstance(x, SCALARS) for x in xs]
    if not any(numbers):
        return False
    wide = [typeof(x).dtype.itemsize >= 8 for x, mine in zip(xs, numbers, strict=True) if not mine]
    return not wide or any(wide)


@functools.lru_cache(8192)
def _function_of(primitive: Primitive, live: Mask) -> Any:
    """The native function of operands, and of tangents of those in a mask: to (results, tangents)."""
    seen: set[Any] = set()

    def miss(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        types = tuple(map(typeof, args))
        if (key := (types, config.code_key())) not in seen:
            seen.add(key)  # shapes that occur once compile nothing
            return None
        return _entry(primitive, live, args)

    def bypass(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """By the rule, under the current trace."""
        given = iter(args[len(live) :])
        primals = args[: len(live)]
        tangents = [next(given) if t else Zero(x) for x, t in zip(primals, live, strict=True)]
        return primitive.jvp(primals, tangents)

    return _native.JitFunction(primitive, _native.Calls(miss, bypass))


def _entry(primitive: Primitive, live: Mask, args: tuple[Any, ...]) -> Any:
    """How the call is run; None if it must go by the rule."""
    staged = one_equation(primitive, tuple([Var(typeof(x)) for x in args[: len(live)]]))
    if staged.constants:
        return None
    made = jvp_program(staged, live)
    # What passes unchanged, such as the tangent of a sum of which one operand has one, is not computed.
    at_level = any(isinstance(x, LevelTracer) for x in args)
    passed = {} if at_level else {v: i for i, v in enumerate(made.program.inputs[: len(args)])}
    computed: list[Atom] = []
    leaves: list[tuple[Any, ...]] = []
    for a in made.program.outputs:
        if isinstance(a, Var) and a in passed:
            leaves.append(("input", passed[a]))
        else:
            leaves.append(("leaf", len(computed)))
            computed.append(a)
    spec = _out_spec(primitive.multiple, leaves, staged.out_avals, made.nonzero)
    constants = [as_array(c) for c in made.constants]
    if at_level:
        return level_entry(made.program, args, constants, spec, as_function)
    program = map_eqns(made.program, made.program.eqns, computed)
    native = compile_program(program).native if computed else None
    return (
        None if native is None else _native.Entry(native, list(range(len(args))), constants, spec)
    )


def _out_spec(
    multiple: bool, leaves: list[tuple[Any, ...]], types: Sequence[ShapedArray], nonzero: Mask
) -> tuple[Any, ...]:
    """(result, tangent), or (results, tangents): a tangent that is zero wherever there is one is a constant."""
    outs, given = leaves[: len(types)], iter(leaves[len(types) :])
    tangents = [
        next(given) if there else ("const", Zero(t.tangent()))
        for t, there in zip(types, nonzero, strict=True)
    ]
    if multiple:
        return "tuple", [("tuple", outs), ("tuple", tangents)]
    return "tuple", [outs[0], tangents[0]]


forgotten_by(_function_of.cache_clear)
