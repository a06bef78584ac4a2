"""Choices between functions over pytrees: `cond`, `switch`, `platform_dependent`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np

from covector._engine import primitives as prims
from covector._engine.api.arguments import (
    as_array,
    check_callable,
    flatten,
    flatten_marked,
    function_name,
    function_place,
    is_value,
    operand,
)
from covector._engine.base import errors, tree
from covector._engine.base.record import record
from covector._engine.control.cond import Cond
from covector._engine.core.numbers import number
from covector._engine.core.refs import Among, Uses, uses_of
from covector._engine.core.trace import Tracer, stage, typeof
from covector._engine.ir.program import Atom, Eqn, Program, Var, map_eqns
from covector._engine.transforms.programs import interned
from covector._engine.types import dtypes
from covector._engine.types.avals import ShapedArray
from covector._engine.types.nothing import leaf_paths
from covector.lax import by_steps
from covector.lax.control_flow import leaf_path

Function = Callable[..., Any]

__all__ = ["cond", "platform_dependent", "switch"]

_NOT_GIVEN: Any = object()
_INT32 = np.dtype(np.int32)


def cond(
    pred: Any, true_fun: Any, false_fun: Any, *operands: Any, operand: Any = _NOT_GIVEN
) -> Any:
    """`true_fun(*operands)` if `pred` holds, else `false_fun(*operands)`; only the one that is chosen runs.

    `pred` is a scalar: a truth value, or a real number, which holds unless it is zero.  Both functions return one
    structure of one type.  Mapped over several values of `pred`, both run and results are selected.  The form
    `cond(pred, true_operand, true_fun, false_operand, false_fun)` gives each function an operand of its own.

    >>> import covector
    >>> float(covector.lax.cond(True, lambda x: x + 1.0, lambda x: x - 1.0, 3.0))
    4.0
    """
    functions = {"true_fun": true_fun, "false_fun": false_fun}
    values: Sequence[Any] = operands
    if len(operands) == 2 and callable(false_fun) and callable(operands[1]):
        yes, no = false_fun, operands[1]
        values = true_fun, operands[0]
        functions = {
            "true_fun": _OnOperand(yes, 0),
            "false_fun": _OnOperand(no, 1),
        }
    values = _with_operand("cond", values, operand)
    for what, f in functions.items():
        check_callable(f, f"cond ({what})")
    return _choose("cond", _truth(pred), functions, values)


class _OnOperand:
    """A function of one of the operands."""

    def __init__(self, f: Function, position: int):
        self.__wrapped__, self._position = f, position
        self.__name__ = function_name(f)

    def __call__(self, *operands: Any) -> Any:
        return self.__wrapped__(operands[self._position])


def switch(
    index: Any, branches: Sequence[Function], *operands: Any, operand: Any = _NOT_GIVEN
) -> Any:
    """`branches[index](*operands)`; an index below 0 counts as 0, one beyond the last branch as the last.

    All branches return one structure of one type; only the one that is chosen runs.  Mapped over several indices, all
    run and results are selected.

    >>> import covector
    >>> [int(covector.lax.switch(i, [lambda x: x, lambda x: x * x], 3)) for i in (-1, 0, 1, 2)]
    [3, 3, 9, 9]
    """
    if not branches:
        raise ValueError(
            f"switch needs a sequence of functions to choose from, got {branches!r}{errors.at_user_line()}"
        )
    for i, f in enumerate(branches):
        check_callable(f, f"switch (branch {i})")
    values = _with_operand("switch", operands, operand)
    aval = _scalar_type("switch", "the index", index)
    if not dtypes.is_integer(aval.dtype):
        raise TypeError(
            f"switch: the index must be an integer, got {aval.text()}{errors.at_user_line()}; "
            "convert it, for example with .astype(int), or use cond for a truth value"
        )
    if len(branches) == 1:
        return branches[0](*values)
    if type(index) is int:
        index = min(max(index, 0), len(branches) - 1)
    last = number(min(len(branches) - 1, np.iinfo(aval.dtype).max), aval)
    clamped = prims.maximum(prims.minimum(as_array(index), last), number(0, aval))
    names = {f"branch {i}": f for i, f in enumerate(branches)}
    return _choose("switch", prims.Convert(_INT32, False)(clamped), names, values)


def platform_dependent(
    *args: Any, default: Function | None = None, **per_platform: Function
) -> Any:
    """The function that is given for the platform it is compiled for (`cpu`), else `default`, of `args`.

    >>> import covector
    >>> covector.lax.platform_dependent(2, cpu=lambda x: x + 1, default=lambda x: x - 1)
    3
    """
    chosen = per_platform.get("cpu", default)
    if chosen is None:
        raise NotImplementedError(
            f"platform_dependent: nothing is given for the platform cpu, only for {', '.join(per_platform)}"
            f"{errors.at_user_line()}; give cpu= or default="
        )
    check_callable(chosen, "platform_dependent")
    return chosen(*args)


def _with_operand(api: str, operands: Sequence[Any], operand: Any) -> Sequence[Any]:
    """The operands, which may be given as one by keyword."""
    if operand is _NOT_GIVEN:
        return operands
    if operands:
        raise TypeError(
            f"{api}: operand= stands for the only operand, but {len(operands)} others are given"
            f"{errors.at_user_line()}"
        )
    return (operand,)


def _scalar_type(api: str, what: str, x: Any) -> ShapedArray:
    """The type of a scalar; TypeError if it is none."""
    if not is_value(x):
        raise TypeError(
            f"{api}: {what} must be a scalar, got {x!r} of type {type(x).__name__}{errors.at_user_line()}"
        )
    aval = typeof(x)
    if aval.shape:
        raise TypeError(
            f"{api}: {what} must be a scalar, got {aval.text()}{errors.at_user_line()}; for a choice for each "
            "element use covector.numpy.where, or vmap"
        )
    return aval


def _truth(pred: Any) -> Any:
    """0 or 1 for whether a scalar holds."""
    aval = _scalar_type("cond", "the condition", pred)
    if dtypes.is_complex(aval.dtype) or not (aval.dtype == dtypes.bool_ or aval.dtype.kind != "V"):
        raise TypeError(
            f"cond: the condition must be a truth value or a real number, got {aval.text()}{errors.at_user_line()}"
        )
    if not isinstance(pred, Tracer):
        return as_array(_INT32.type(bool(pred)))
    if aval.dtype != dtypes.bool_:
        pred = prims.ne(pred, number(0, aval))
    return prims.Convert(_INT32, False)(pred)


# -------------------------------------------------------------------------------------------------- branches


@record(eq=False)
class _Branch:
    """A traced function: its Program, open over constants, and the structure that it returns."""

    what: str
    place: str
    program: Program  # after the operands it takes the references of `uses`
    out_tree: tree.TreeDef
    paths: tuple[str, ...]  # of its results, for messages
    uses: Uses


def _choose(api: str, index: Any, functions: dict[str, Function], operands: Sequence[Any]) -> Any:
    """The results of the chosen function, as one operation."""
    leaves, in_tree = flatten(tuple(operands))
    among = Among(api, leaves)
    for i, x in enumerate(leaves):
        if not is_value(x) and i not in among.refs:
            raise TypeError(errors.not_a_value(api, leaf_path("operands", operands, i), x))
    leaves = [operand(x) for x in among.others(leaves)]
    avals = [typeof(x) for x in leaves]

    def arguments(values: Sequence[Any]) -> Any:
        return tree.unflatten(in_tree, among.merged(values))

    if api == "cond":  # in the order of the index
        functions = dict(reversed(functions.items()))
    if by_steps.known(index) is not None:
        return by_steps.choose(index, list(functions.values()), operands)
    branches = [_traced(api, what, f, avals, arguments) for what, f in functions.items()]
    _check_structures(api, branches)
    types = [_common_type(api, branches, i) for i in range(len(branches[0].paths))]
    cells = {id(u.cell): u.cell for b in branches for u in b.uses}
    changed = {id(u.cell): u.cell for b in branches for u in b.uses if u.written}
    programs, constants = _closed(
        [
            _with_refs(_converted(b.program, types), b.uses, len(leaves), cells, changed)
            for b in branches
        ]
    )
    choice = Cond(tuple(map(interned, programs)))
    if not types and not changed and not choice.effects:
        return tree.unflatten(branches[0].out_tree, ())
    held = [cell._read() for cell in cells.values()]
    outs = choice(index, *leaves, *held, *map(as_array, constants))
    n = len(types)
    for cell, value in zip(changed.values(), outs[n:], strict=True):
        cell._write(value)
    return tree.unflatten(branches[0].out_tree, outs[:n])


def _traced(
    api: str, what: str, f: Function, avals: Sequence[ShapedArray], arguments: Function
) -> _Branch:
    found: list[Any] = []
    place = function_place(f)

    def unpack(values: Sequence[Any]) -> tuple[Any, dict[str, Any]]:
        return arguments(values), {}

    def pack(out: Any) -> list[Any]:
        leaves, out_tree = flatten_marked(out)
        paths = tuple([f"result{path}" for path in leaf_paths(out)])
        for path, x in zip(paths, leaves, strict=True):
            if not is_value(x):
                raise TypeError(errors.not_a_value(api, f"{path} of {place}", x))
        found[:] = out_tree, paths
        return leaves

    touched: dict[Any, Any] = {}
    program = stage(f, avals, function_name(f), touched, (unpack, pack))
    uses = uses_of(touched)
    return _Branch(what, place, program, found[0], found[1], uses)


def _with_refs(
    program: Program, uses: Uses, count: int, cells: dict[int, Any], changed: dict[int, Any]
) -> Program:
    """A branch that takes all references of all branches after its operands, and gives all that one changes."""
    own = {id(u.cell): v for u, v in zip(uses, program.inputs[count:], strict=True)}
    variables = {key: own.get(key) or Var(cell._inner) for key, cell in cells.items()}
    written = [id(u.cell) for u in uses if u.written]
    n = len(program.outputs) - len(written)
    last: dict[int, Atom] = {**variables, **dict(zip(written, program.outputs[n:], strict=True))}
    inputs = (*program.inputs[:count], *variables.values())
    outputs = (*program.outputs[:n], *[last[key] for key in changed])
    pairs = program.constant_vars, program.constants
    return Program(inputs, program.eqns, outputs, *pairs, name=program.name)


def _check_structures(api: str, branches: Sequence[_Branch]) -> None:
    first = branches[0]
    for other in branches[1:]:
        if other.out_tree != first.out_tree:
            raise TypeError(
                f"{api}: the functions to choose from must return one structure{errors.at_user_line()}:"
                f"\n    {first.what} {first.place}: {first.out_tree}"
                f"\n    {other.what} {other.place}: {other.out_tree}"
            )


def _common_type(api: str, branches: Sequence[_Branch], position: int) -> ShapedArray:
    """The type of a result of all branches: weakly typed ones take that of the others; TypeError if they differ."""
    avals = [b.program.outputs[position].aval for b in branches]
    dtype, weak = reduce(dtypes.promote, [(a.dtype, a.weak_type) for a in avals])
    for branch, a in zip(branches, avals, strict=True):
        if a.shape != avals[0].shape or (a.dtype != dtype and not a.weak_type):
            other = next(
                (b, t)
                for b, t in zip(branches, avals, strict=True)
                if t.shape != a.shape or t.dtype != a.dtype
            )
            raise TypeError(
                f"{api}: the functions to choose from must return the same types{errors.at_user_line()}; "
                f"{branch.paths[position]} is"
                f"\n    {a.text()} of {branch.what} {branch.place}"
                f"\n    {other[1].text()} of {other[0].what} {other[0].place}"
                "\nConvert one of them, for example with .astype, or broadcast it."
            )
    return ShapedArray(avals[0].shape, dtype, weak)


def _converted(program: Program, types: Sequence[ShapedArray]) -> Program:
    """The Program with its results converted to these types."""
    eqns, outputs = list(program.eqns), list[Atom]()
    for a, aval in zip(program.outputs, types, strict=False):  # after these come references
        if (a.aval.dtype, a.aval.weak_type) != (aval.dtype, aval.weak_type):
            made = Var(aval)
            convert = prims.Convert(aval.dtype, aval.weak_type)
            eqns.append(Eqn(convert, (a,), (made,), None))
            a = made
        outputs.append(a)
    return map_eqns(program, eqns, [*outputs, *program.outputs[len(types) :]])


def _closed(programs: Sequence[Program]) -> tuple[list[Program], list[Any]]:
    """The Programs with the constants of all as trailing inputs, each once; and their values."""
    values = {id(x): x for p in programs for x in p.constants}
    closed: list[Program] = []
    for p in programs:
        own = {id(x): v for v, x in zip(p.constant_vars, p.constants, strict=True)}
        shared = tuple([own.get(key) or Var(typeof(x)) for key, x in values.items()])
        closed.append(Program(p.inputs + shared, p.eqns, p.outputs, name=p.name))
    return closed, list(values.values())
