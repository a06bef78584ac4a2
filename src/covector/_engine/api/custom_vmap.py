"""`custom_vmap` over pytrees: a function with a rule of the user's for its batching."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, Generic, ParamSpec, TypeVar, cast

from covector._engine.api.arguments import (
    as_array,
    check_callable,
    check_values,
    flatten,
    function_name,
    function_place,
    operand,
)
from covector._engine.api.rules import resolved
from covector._engine.base import errors, tree
from covector._engine.base.belongings import holds
from covector._engine.base.public import bounded
from covector._engine.control.custom import Memory, Outcome
from covector._engine.control.custom_vmap import OnlineVmap
from covector._engine.core.trace import stage, typeof
from covector._engine.types.avals import ShapedArray
from covector._engine.types.dims import Dim

P = ParamSpec("P")
R = TypeVar("R")
Function = Callable[..., Any]
Returned = tuple[Any, Sequence[ShapedArray]]  # the structure and types of a function's results


@bounded
class custom_vmap(Generic[P, R]):
    """A function with a rule of the user's for `vmap`.

    `rule(axis_size, in_batched, *args)`, given to `def_vmap`, gets the arguments with their batch axis in front, where
    `in_batched` says that they have one, and returns the result and `out_batched`, which says so of the result.

    >>> import covector
    >>> import covector.numpy as np
    >>> @covector.custom_batching.custom_vmap
    ... def f(x):
    ...     return x + 1
    >>> @f.def_vmap
    ... def rule(axis_size, in_batched, x):
    ...     return x + 10, True
    >>> print(covector.vmap(f)(np.arange(3)))
    [10 11 12]
    """

    def __init__(self, fun: Callable[P, R]):
        check_callable(fun, "custom_vmap")
        functools.update_wrapper(cast("Function", self), fun)
        self.fun = fun
        self.vmap_rule: Function | None = None
        self._table: dict[Any, Any] = {}

    def def_vmap(self, vmap_rule: Function) -> Function:
        """Give it the rule; returns the rule."""
        check_callable(vmap_rule, "def_vmap")
        self.vmap_rule = vmap_rule
        self._table.clear()
        return vmap_rule

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        rule, fun = self.vmap_rule, cast("Function", self.fun)
        if rule is None:
            raise AttributeError(
                f"no rule is defined for the custom_vmap function {function_place(fun)}{errors.at_user_line()}: "
                "give it one with def_vmap"
            )
        given = resolved(fun, args, kwargs, "custom_vmap")
        leaves, in_tree = flatten(given)
        names = [f"argument{tree.keystr(path)}" for path, _ in tree.leaves_with_path(given)]
        check_values(leaves, lambda: names, f"custom_vmap of {function_name(fun)}")
        outcome = Outcome()

        def results(of: Outcome, values: Sequence[Any]) -> list[Any]:
            outs, of.value = flatten(fun(*tree.unflatten(in_tree, values)))
            check_values(outs, lambda: _names(fun, of.value), "custom_vmap")
            return [as_array(x) for x in outs]

        def flat(*values: Any) -> list[Any]:
            return results(outcome, values)

        memory = Memory(self._table, tree.content(in_tree))

        def returned(avals: tuple[ShapedArray, ...]) -> Returned:
            types = memory.under("returned")
            found = types.get(avals)
            if found is None:
                asked = Outcome()
                program = stage(lambda *xs: results(asked, xs), avals, function_name(fun), {})
                count = asked.value.num_leaves  # what follows are references that are written
                found = asked.value, program.out_avals[:count]
                types.keep(avals, found)
            return found

        made = _Rule(rule, fun, in_tree, outcome, returned)
        online = OnlineVmap(function_name(fun), flat, made, outcome, memory)
        outs = online(*map(operand, leaves))
        return tree.unflatten(outcome.value, map(as_array, outs))


def _names(fun: Function, treedef: Any) -> list[str]:
    paths = tree.leaves_with_path(tree.unflatten(treedef, range(treedef.num_leaves)))
    return [f"the result{tree.keystr(path)} of {function_place(fun)}" for path, _ in paths]


class _Rule:
    """The rule, of flat values."""

    def __init__(
        self,
        rule: Function,
        fun: Function,
        in_tree: Any,
        outcome: Outcome,
        returned: Callable[[tuple[ShapedArray, ...]], Returned],
    ):
        self.rule, self.fun, self.in_tree, self.outcome = rule, fun, in_tree, outcome
        self.returned = returned

    def __call__(
        self, size: Dim, batched: Sequence[bool], args: Sequence[Any], constants: Sequence[Any]
    ) -> tuple[list[Any], list[bool]]:
        given = tree.unflatten(self.in_tree, args)
        found = self.rule(size, list(tree.unflatten(self.in_tree, batched)), *given)
        place = f"the rule {function_place(self.rule)} of the custom_vmap function {function_place(self.fun)}"
        if not isinstance(found, tuple | list) or len(found) != 2:
            raise ValueError(
                f"{place} must return a pair (result, out_batched), it returned {found!r}{errors.at_user_line()}"
            )
        out, out_batched = found
        leaves, treedef = flatten(out)
        flags, flag_tree = tree.flatten(out_batched)
        if flag_tree != treedef:
            raise ValueError(
                f"{place} must return out_batched with the structure of the result{errors.at_user_line()}:\n"
                f"    result      {treedef}\n    out_batched {flag_tree}"
            )
        elements = [
            a.with_shape(a.shape[1:]) if mine else a
            for a, mine in zip(map(typeof, args), batched, strict=True)
        ]
        known, types = self.returned(tuple(elements))
        if known != treedef:
            raise ValueError(
                f"{place} must return the structure that the function returns{errors.at_user_line()}:\n"
                f"    function {known}\n    rule     {treedef}"
            )
        names = _names(self.rule, treedef)
        check_values(leaves, lambda: names, "custom_vmap")
        self.outcome.value = treedef
        values = [as_array(x) for x in leaves]
        for x, mine, name, one in zip(values, flags, names, types, strict=True):
            aval, shape = typeof(x), (size, *one.shape) if mine else one.shape
            if aval.shape != shape or aval.dtype != one.dtype:
                whole = f", and out_batched says that it has a leading axis of size {size}"
                raise ValueError(
                    f"{place}: {name} is {aval.text()}{errors.at_user_line()}, but that of the function is "
                    f"{one.text()}{whole if mine else ''}: it must be {one.with_shape(shape).text()}"
                )
        return values, [bool(mine) for mine in flags]


holds(custom_vmap)
