"""Loops over pytrees with a condition, or between two bounds: `while_loop`, `fori_loop`."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import islice
from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.api.arguments import (
    as_array,
    check_callable,
    flatten_marked,
    function_place,
    is_value,
    operand,
)
from covector._engine.base import errors, tree
from covector._engine.base.config import config
from covector._engine.base.record import record, replace
from covector._engine.control.checkpoint import Keeping, Policy
from covector._engine.control.while_ import While
from covector._engine.core.trace import Tracer, typeof
from covector._engine.ir.program import Program, Var, without_dead_code
from covector._engine.transforms.programs import interned
from covector._engine.types import dtypes
from covector.lax import by_steps
from covector.lax.control_flow import (
    Function,
    Step,
    Traced,
    check_carry,
    check_values,
    promoted,
    scanned,
    traced_step,
)
from covector.numpy.promotion import integer_of

__all__ = ["fori_loop", "while_loop"]


def while_loop(
    cond_fun: Callable[[Any], Any],
    body_fun: Callable[[Any], Any],
    init_val: Any,
    *,
    checkpoint: Policy | None = None,
    tape_bytes: int | None = None,
) -> Any:
    """`val = body_fun(val)` again and again as long as `cond_fun(val)` holds, from `init_val`; the last `val`.

    The value is a pytree that keeps its structure, shapes and dtypes.  The condition is a truth value.  Gradients are
    taken backwards too: the loop runs again, and each step leaves what its derivative needs on a tape of `tape_bytes`
    (16 MB), whose memory is only there where steps have written.  With more steps than there is room for, states are
    kept, and stretches of the loop are run again from these.  `checkpoint`, one of `checkpoint_policies`, says what is
    kept of each step when the loop runs first; with None that is nothing.

    >>> import covector
    >>> int(covector.lax.while_loop(lambda n: n < 100, lambda n: n * 3, 1))
    243
    >>> cube = lambda x: covector.lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, c[1] * x), (0, 1.0))[1]
    >>> float(covector.grad(cube)(2.0))
    12.0
    """
    check_callable(cond_fun, "while_loop (cond_fun)")
    check_callable(body_fun, "while_loop (body_fun)")
    memory = _memory("while_loop", checkpoint, tape_bytes)
    return _while("while_loop", (_TEST, cond_fun), (_STEP, body_fun), init_val, memory)


@record
class _Memory:
    """What the gradient of a loop may keep, as users say it."""

    policy: Policy | None
    tape: int | None

    @property
    def is_said(self) -> bool:
        return self.policy is not None or self.tape is not None

    def of(self, loop: While) -> While:
        """The loop whose gradient keeps that."""
        keep = None if self.policy is None else Keeping(self.policy)
        return replace(loop, keep=keep, tape=self.tape)


def _memory(api: str, policy: Any, tape: Any) -> _Memory:
    if policy is not None:
        check_callable(policy, f"{api} (checkpoint)")
    size = None if tape is None else integer_of(tape, f"tape_bytes of {api}")
    if size is not None and size < 0:
        raise ValueError(
            f"{api}: tape_bytes must not be negative, got {size}{errors.at_user_line()}"
        )
    return _Memory(policy, size)


_STEP = Step(lambda val, _: (val,), lambda f, _, out: (out, None), "while_loop")
_TEST = Step(lambda val, _: (val,), lambda f, val, out: (val, out))


def _while(
    api: str,
    condition: tuple[Step, Function],
    body: tuple[Step, Function],
    init_val: Any,
    memory: _Memory,
) -> Any:
    """The last value of a loop with a condition."""
    carry, carry_tree = flatten_marked(init_val)
    check_values(body[0], "init_val", init_val, carry)
    carry = [operand(x) for x in carry]
    if config.disable_jit:
        holds, advance = condition[0].of(condition[1]), body[0].of(body[1])
        val, done = by_steps.while_loop(
            lambda val: holds(val, None)[1],
            lambda val: advance(val, None)[0],
            tree.unflatten(carry_tree, map(as_array, carry)),
        )
        if done:
            return val
        carry, carry_tree = flatten_marked(val)  # the rest of the steps
    nothing = tree.flatten(None)[1], ()
    traced = traced_step(api, *body, carry, carry_tree, *nothing)
    if (
        traced.carry_tree == carry_tree
        and (strong := promoted(carry, traced.out_avals)) is not None
    ):
        carry = strong
        traced = traced_step(api, *body, carry, carry_tree, *nothing)
    check_carry(body[0], body[1], init_val, carry, carry_tree, traced)
    tested = traced_step(api, *condition, carry, carry_tree, *nothing)
    _check_condition(api, condition[1], tested, len(carry))
    test, step, constants = _together(tested, traced, len(carry))
    loop = memory.of(While(test, step, len(constants)))
    if not carry and not traced.written and not loop.effects:
        return tree.unflatten(carry_tree, ())
    held = [c._read() for c in traced.written]
    outs = loop(*map(as_array, constants), *carry, *held)
    n = len(carry)
    for cell, value in zip(traced.written, outs[n:], strict=True):
        cell._write(value)
    return tree.unflatten(carry_tree, outs[:n])


def _check_condition(api: str, f: Function, tested: Traced, count: int) -> None:
    """TypeError unless the condition is one truth value."""
    found = tested.out_avals[count:]
    place = function_place(f)
    if tested.written:
        raise TypeError(
            f"{api}: the condition {place} writes a Ref{errors.at_user_line()}; a condition may only read: write "
            "in the body"
        )
    if len(found) != 1 or tested.ys_tree != tree.flatten(0)[1]:
        raise TypeError(
            f"{api}: the condition {place} must return one truth value, it returned a {tested.ys_tree}"
            f"{errors.at_user_line()}"
        )
    (aval,) = found
    if aval.shape:
        raise TypeError(
            f"{api}: the condition {place} must return a scalar, it returned {aval.text()}{errors.at_user_line()}; "
            "take covector.numpy.any or all of it, or use vmap"
        )
    if aval.dtype != dtypes.bool_:
        raise TypeError(
            f"{api}: the condition {place} must return a truth value, it returned {aval.text()}"
            f"{errors.at_user_line()}; compare it, for example with `!= 0`"
        )


def _together(tested: Traced, traced: Traced, count: int) -> tuple[Program, Program, list[Any]]:
    """Condition and body with the constants of both in front, each once; and their values.

    References that are only read are constants.  Those that the body writes are carried, by both.
    """
    values = {id(x): x for t in (tested, traced) for x in t.constants}
    carried = {id(c) for c in traced.written}
    read = {id(c): c for t in (tested, traced) for c in t.read if id(c) not in carried}
    programs: list[Program] = []
    for t, outputs in ((tested, tested.body.outputs[count:]), (traced, traced.body.outputs)):
        inputs = iter(t.body.inputs)
        own = {id(x): next(inputs) for x in (*t.constants, *t.read)}
        shared = [own.get(key) or Var(typeof(x)) for key, x in values.items()]
        shared += [own.get(key) or Var(c._inner) for key, c in read.items()]
        carry = list(islice(inputs, count))
        own |= {id(c): v for c, v in zip(t.written, inputs, strict=True)}
        carry += [own.get(id(c)) or Var(c._inner) for c in traced.written]
        program = Program((*shared, *carry), t.body.eqns, outputs, name=t.body.name)
        programs.append(interned(without_dead_code(program)))
    return programs[0], programs[1], [*values.values(), *[c._read() for c in read.values()]]


def fori_loop(
    lower: Any,
    upper: Any,
    body_fun: Callable[[Any, Any], Any],
    init_val: Any,
    *,
    unroll: int | bool | None = None,
    checkpoint: Policy | None = None,
    tape_bytes: int | None = None,
) -> Any:
    """`val = body_fun(i, val)` for i from `lower` to below `upper`, starting from `init_val`; the last `val`.

    `lower` and `upper` are integers, or both floats, of one dtype if none of them is a Python number (else it is a
    TypeError); i is weakly typed if `lower` is, of its dtype.  Where they are known when the function is traced it is
    a `scan`, of which a turn does `unroll` steps; else, or where `checkpoint` or `tape_bytes` are given, a loop with a
    condition, and these mean what they mean to `while_loop`.

    >>> import covector
    >>> int(covector.lax.fori_loop(0, 5, lambda i, total: total + i, 0))
    10
    """
    check_callable(body_fun, "fori_loop")
    bounds = lower, upper
    memory = _memory("fori_loop", checkpoint, tape_bytes)
    if memory.is_said or any(isinstance(x, Tracer) and x.concrete() is None for x in bounds):
        return _between(*bounds, body_fun, init_val, unroll, memory)
    if _are_floats(*bounds):
        if not all(math.isfinite(x) for x in bounds):
            return _between(*bounds, body_fun, init_val, unroll, memory)
        first, stop = float(lower), float(upper)
        dtype = dtypes.promote(*[(typeof(x).dtype, typeof(x).weak_type) for x in bounds])[0]
    else:
        first, stop = [
            integer_of(x, f"the {what} bound of fori_loop")
            for what, x in zip(("lower", "upper"), bounds, strict=True)
        ]
        dtype = dtypes.position_dtype(abs(first), abs(stop))
        for bound in bounds:
            if not isinstance(bound, int):
                dtype, _ = dtypes.promote((dtype, True), (typeof(bound).dtype, False))
    _check_one_dtype(lower, upper)
    weak = _gives_way(lower, dtype)
    init = as_array(prims.Convert(dtype, weak)(dtype.type(first))), init_val
    length = max(math.ceil(stop - first), 0)
    turns = 1 if unroll is None else unroll
    (_, val), _ = scanned(_COUNTED, body_fun, init, None, length, unroll=turns)
    return val


def _next(f: Function, carry: Any, out: Any) -> Any:
    i, *stop, _val = carry
    return (prims.add(i, 1), *stop, out), None


_COUNTED = Step(lambda carry, _: carry, _next, "fori_loop", 1)
_BELOW_STOP = Step(lambda carry, _: carry, lambda f, carry, out: (carry, out))
_UP_TO_STOP = Step(lambda carry, _: (carry[0], carry[2]), _next, "fori_loop", 2)


def _below(i: Any, stop: Any, val: Any) -> Any:
    return prims.lt(i, stop)


def _are_floats(*bounds: Any) -> bool:
    """Whether both bounds of a loop are floats."""
    return all(
        is_value(x) and not typeof(x).shape and dtypes.is_float(typeof(x).dtype) for x in bounds
    )


def _check_one_dtype(lower: Any, upper: Any) -> None:
    """TypeError if the bounds are arrays of two dtypes: what the counter is would be a guess."""
    types = [typeof(operand(x)) for x in (lower, upper)]
    if not any(t.weak_type for t in types) and types[0].dtype != types[1].dtype:
        raise TypeError(
            f"fori_loop: the bounds must have one dtype, got {types[0].text()} and {types[1].text()}"
            f"{errors.at_user_line()}; convert one of them, or give it as a Python int"
        )


def _gives_way(lower: Any, dtype: np.dtype) -> bool:
    """Whether the counter is weakly typed, as Python's numbers are: of more bits it would widen what it meets.

    Where the other bound has another dtype it has that, and gives way no more.
    """
    aval = typeof(lower)
    return aval.weak_type and dtype == aval.dtype


def _between(
    lower: Any,
    upper: Any,
    body_fun: Function,
    init_val: Any,
    unroll: int | bool | None,
    memory: _Memory,
) -> Any:
    """A loop between bounds that are not known."""
    if unroll not in (None, False, 1):
        raise ValueError(
            f"fori_loop: unroll={unroll!r} needs bounds that are known when the function is traced"
            f"{errors.at_user_line()}; those here are {typeof(lower).text()} and {typeof(upper).text()}"
        )
    floats = _are_floats(lower, upper)
    for what, x in (("lower", lower), ("upper", upper)):
        if floats:
            break
        if not is_value(x) or typeof(x).shape or not dtypes.is_integer(typeof(x).dtype):
            found = typeof(x).text() if is_value(x) else f"{x!r} of type {type(x).__name__}"
            raise TypeError(
                f"fori_loop: the {what} bound must be an integer, got {found}{errors.at_user_line()}"
            )
    _check_one_dtype(lower, upper)
    types = [(typeof(x).dtype, typeof(x).weak_type) for x in (lower, upper)]
    dtype, weak = dtypes.promote(*types)
    if weak and not floats:
        dtype = np.dtype(np.int32) if dtype.itemsize <= 4 else dtype
    weak = _gives_way(lower, dtype)
    first, stop = [prims.Convert(dtype, w)(as_array(x)) for x, w in ((lower, weak), (upper, False))]
    init = first, stop, init_val
    _, _, val = _while("fori_loop", (_BELOW_STOP, _below), (_UP_TO_STOP, body_fun), init, memory)
    return val
